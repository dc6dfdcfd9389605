/* SPDX-License-Identifier: Apache-2.0
 *
 * Where the arguments of every operation are checked, once, and become problems. */
#ifndef QMMI_VALIDATE_H
#define QMMI_VALIDATE_H

#include "backend.h"

/* The public function at work: where errors go and whose name they bear. */
typedef struct qmmi_call {
    qmm_context *context;
    const char *function;
    bool sizing; /* nothing will run: tensors need no memory yet, and places do not matter */
} qmmi_call;

/* A tensor argument of one of `types`, inside its buffer. output: its elements may not overlap one another. */
qmm_status qmmi_check_tensor(const qmmi_call *call, const char *name, const qmm_tensor *tensor, unsigned types,
                             bool output, qmmi_view *view);

/* Two tensors of the same rows, cols and batch. */
qmm_status qmmi_check_same_shape(const qmmi_call *call, const char *name, const qmmi_view *view, const char *other_name,
                                 const qmmi_view *other);

/* A caller's workspace or storage: inside its buffer, and aligned. */
qmm_status qmmi_check_region(const qmmi_call *call, const char *name, const qmm_buffer *buffer, size_t offset,
                             size_t bytes);

/* An output overlaps no input. */
qmm_status qmmi_check_disjoint(const qmmi_call *call, const char *output_name, const qmmi_view *output,
                               const char *input_name, const qmmi_view *input);

/* What messages call a qmm_quant and its parts; made at compile time, since calls are counted in nanoseconds. */
typedef struct qmmi_quant_names {
    const char *quant, *scale, *zero, *sums;
} qmmi_quant_names;

#define QMMI_QUANT_NAMES(name) { name, "scale of " name, "zero of " name, "sums of " name }

/* What a call does with the parts of a qmm_quant. */
typedef enum qmmi_quant_use {
    QMMI_QUANT_READ,         /* sums are refused */
    QMMI_QUANT_READ_SUMS,    /* sums are read too */
    QMMI_QUANT_WRITE_SUMS,   /* scale and zero are read, sums written */
    QMMI_QUANT_WRITE         /* all are written */
} qmmi_quant_use;

/* Copies and checks a qmm_quant but for its sums; NULL gives scale 1, zero 0. */
qmm_status qmmi_check_quant(const qmmi_call *call, const qmmi_quant_names *names, const qmm_quant *given,
                            const char *tensor_name, const qmmi_view *tensor, qmmi_quant_use use, qmmi_quant *quant);

/* The four conversions: which sides hold codes, and whether the parameters are outputs. */
qmm_status qmmi_check_convert(const qmmi_call *call, qmmi_operation operation, const char *source_name,
                              const qmm_tensor *source, const qmm_quant *source_quant, const char *target_name,
                              const qmm_tensor *target, const qmm_quant *target_quant, qmmi_problem *problem);

/* A matmul: `desc` receives a full copy of the caller's, defaults filled in. */
qmm_status qmmi_check_matmul(const qmmi_call *call, const qmm_matmul_desc *given, const qmm_tensor *a,
                             const qmm_tensor *b, const qmm_tensor *c, qmm_matmul_desc *desc, qmmi_problem *problem);

/* Of one that was checked: is there a residual, and is it c itself, whichever handles they came by? */
bool qmmi_residual_is_c(const qmm_context *context, const qmmi_matmul_problem *p);

/* Sizes of a matmul's operand: M or N, K, its matrices, and the length of its groups along K (0: none). */
typedef struct qmmi_operand_shape {
    int64_t outer, k, batch, group_size;
} qmmi_operand_shape;

/* Storage of packed weights overlaps nothing that is read while packing. */
struct qmm_weights;
qmm_status qmmi_check_storage_disjoint(const qmmi_call *call, const struct qmm_weights *weights, const qmmi_view *b,
                                       const qmmi_operand *operand);

/* B alone, for packing. `view` is the tensor as it was given. */
qmm_status qmmi_check_weights(const qmmi_call *call, const qmm_weights_options *options, const qmm_tensor *b,
                              qmmi_view *view, qmmi_operand *operand, qmmi_operand_shape *shape);

#endif
