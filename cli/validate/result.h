/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of `qmm validate --a --b --c` share: result.c has the options, result_inputs.c the arrays and the
 * rules they obey, result_check.c the check, result_report.c what is printed. */
#ifndef QMM_VALIDATE_RESULT_H
#define QMM_VALIDATE_RESULT_H

#include <stdbool.h>
#include <stdint.h>

#include "difference.h"
#include "npy.h"
#include "qmm/qmm.h"

typedef enum result_name {
    RESULT_A,
    RESULT_B,
    RESULT_C,
    RESULT_BIAS,
    RESULT_RESIDUAL,
    RESULT_SCALE_A,
    RESULT_SCALE_B,
    RESULT_SCALE_C,
    RESULT_ZERO_A,
    RESULT_ZERO_B,
    RESULT_ZERO_C,
    RESULT_INPUTS
} result_name;

typedef struct result_input {
    const char *text; /* of the option; NULL: not given */
    bool is_number;
    double number;
    npy_array array; /* if it is no number */
} result_input;

typedef struct result_arguments {
    result_input inputs[RESULT_INPUTS];
    int64_t group, seed, rounds;
    int activation, type_b, type_c; /* qmm_activation; qmm_type, 0: as the array says */
    bool transpose_a, transpose_b, json, help;
    double exact_limit;
    const char *device, *save;
} result_arguments;

typedef struct result_shape {
    int64_t batch, rows, cols;
} result_shape;

typedef struct result_sizes {
    int64_t m, n, k, batch;
} result_sizes;

typedef struct result_verdict {
    bool exact; /* every element was compared; else qmm_verify_matmul was asked */
    qmm_device_info device; /* that it was done on */
    double seconds;
    difference found;           /* in all of C; or, if not exact and wrong, in the first row that is */
    qmm_verify_result verified; /* if not exact */
} result_verdict;

/* ---- result_inputs.c --------------------------------------------------------------------------------------------- */

/* "--a", "--scale-b" ... */
const char *result_option(result_name name);

/* Reads what was given; free it whatever comes of it. Functions that give an int print what is wrong, and give the code
 * to exit with. */
int result_read_inputs(const char *command, result_arguments *a);
void result_free_inputs(result_arguments *a);

/* M, N, K and batch, once the three matrices fit each other; and do the other arrays fit them? */
int result_find_sizes(const char *command, const result_arguments *a, result_sizes *z);
int result_check_epilogue(const char *command, const result_arguments *a, const result_sizes *z);

/* What an array's elements are; 0: none that `name` may have. */
qmm_type result_type_of(const result_arguments *a, result_name name);

/* Of one dimension: a row. */
result_shape result_shape_of(const npy_array *array);

/* One matrix, or as many as C has? */
bool result_fits_batch(const result_shape *s, const result_sizes *z);

/* Prints that an array's shape breaks a rule; gives CLI_USAGE. */
int result_bad_shape(const char *command, const result_arguments *a, result_name name, const char *wanted,
                     const result_sizes *z);

/* ---- result_check.c, result_report.c ----------------------------------------------------------------------------- */

int result_check(const char *command, const result_arguments *a, const result_sizes *z, result_verdict *verdict);
bool result_is_right(const result_verdict *verdict);
void result_report(const result_arguments *a, const result_sizes *z, const result_verdict *verdict);

#endif
