/* SPDX-License-Identifier: Apache-2.0
 *
 * One operation as the checker sees it. All modes are made of the same few functions; a new operation is a file with a
 * descriptor and its line in descriptors.c. */
#ifndef QMM_VALIDATE_DESCRIPTOR_H
#define QMM_VALIDATE_DESCRIPTOR_H

#include <stdio.h>

#include "case.h"

typedef struct validate_descriptor {
    const char *name;
    const char *kernel_operation; /* as in "cpu:matmul:reference": its rows are forced in turn; NULL: there are none */
    int64_t quick_cases, full_cases; /* soak goes on from there, see harness.h */
    int performance_shapes;
    const char *performance_unit; /* "GOPS" or "GB/s" */

    /* Makes case c->index of c->seed (or c->performance_shape): parameters, tensors, inputs. */
    void (*generate)(validate_case *c);

    /* Sets `want` of the outputs, want_values, or want_status; on entry want is what was before. */
    void (*expect)(validate_case *c);

    /* Calls the library. A failure is told by its status; anything else that is wrong by e->complaint. */
    qmm_status (*run)(const validate_case *c, validate_execution *e);

    /* One line. */
    void (*describe)(const validate_case *c, char *text, size_t bytes);

    /* Where several values are right: "" or what is wrong with e->values. NULL: they equal want_values. */
    void (*judge)(const validate_case *c, const validate_execution *e, char *text, size_t bytes);

    /* Changes what may not change a byte of the result: whose workspace is used. NULL: there is nothing of the kind. */
    void (*vary)(validate_case *c);

    /* No other context can tell what is right: the oracle does it at every size. */
    bool oracle_only;
} validate_descriptor;

extern const validate_descriptor validate_quantize, validate_quantize_dynamic, validate_dequantize, validate_requantize,
    validate_matmul_plain, validate_weights, validate_find_range, validate_measure_error, validate_verify_matmul;

/* All of them, ended by NULL. */
extern const validate_descriptor *const validate_descriptors[];

#endif
