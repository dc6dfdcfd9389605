/* SPDX-License-Identifier: Apache-2.0
 *
 * A problem: one call, complete and checked, in the form every backend takes. Nothing below this header looks anything up
 * in a public struct or checks an argument again. C, C++ and CUDA C++ compile it: the CUDA kernels take these structs as
 * their arguments. */
#ifndef QMMI_PROBLEM_H
#define QMMI_PROBLEM_H

#include <stdbool.h>

#include "qmm/qmm.h"

/* A tensor: `memory` is the buffer's native memory, strides count elements. */
typedef struct qmmi_view {
    void *memory;
    size_t offset; /* bytes, to the first element */
    size_t bytes;  /* from there to the end of the last */
    qmm_type type;
    int64_t rows, cols, row_stride;
    int64_t batch, batch_stride; /* batch_stride is 0 where one matrix serves all */
} qmmi_view;

/* Scales, zero points or a bias: the element for block (r, c) of matrix b is at b * batch_stride + r * row_stride +
 * c * col_stride; strides are 0 along what it does not vary with. Without memory it is the value. */
typedef struct qmmi_param {
    void *memory;
    size_t offset, bytes; /* as a view's */
    qmm_type type;
    int64_t row_stride, col_stride, batch_stride;
    float real_value;
    int32_t integer_value;
} qmmi_param;

/* Element (i, j) takes the parameters of block (i / block_rows, j / block_cols). */
typedef struct qmmi_quant {
    qmm_granularity granularity;
    int64_t block_rows, block_cols;
    int64_t param_rows, param_cols; /* how many blocks there are each way */
    int32_t qmin, qmax;         /* codes are clamped to these */
    int32_t zero_min, zero_max; /* zero points from memory are clamped to these */
    bool has_zero;
    qmmi_param scale, zero;
} qmmi_quant;

/* quantize, quantize_dynamic (parameters are written), dequantize, requantize. Shapes are equal, and not empty but for
 * quantize_dynamic, which owes parameters to rows without elements too, and for sums, which owe zeros to them. */
typedef struct qmmi_convert_problem {
    qmmi_view source, target;
    qmmi_quant source_quant, target_quant; /* of the side that holds codes; the other one is all zeros */
    qmmi_param sums;  /* s32, to be written: of the target's codes in row i, over columns [g, g + 1) * sum_cols, modulo
                       * 2^32. No memory: not wanted. row_stride steps along i, col_stride along g */
    int64_t sum_cols; /* at least 1 */
} qmmi_convert_problem;

/* A or B of a matmul, transposes absorbed by the strides: element (outer, k), outer being a row of A or a column of B.
 * Parameters: row_stride steps along outer, col_stride along groups. */
typedef struct qmmi_operand {
    void *memory;
    size_t offset, bytes; /* as a view's */
    qmm_type type;
    int64_t outer_stride, k_stride, batch_stride; /* elements */
    bool packed;       /* in the layout of the backend's weights_pack; the strides are then its own business */
    bool has_zero;
    bool grouped;      /* parameters vary along K */
    int32_t zero_min, zero_max;
    qmmi_param scale, zero;
    qmmi_param sums;   /* sum over the k of each group of the codes, s32, same strides; no memory: not known.
                        * Packed weights have them */
} qmmi_operand;

typedef struct qmmi_matmul_problem {
    int64_t m, n, k, batch;
    qmmi_operand a, b;
    int64_t group_size; /* along K; k where there are no groups */
    int64_t groups;     /* k / group_size: 1 where there are no groups, 0 where k is 0 */
    int64_t k_limit;    /* an accumulation over no more than this many k stays inside int32 */
    qmmi_view c;
    qmmi_quant c_quant; /* code outputs */
    qmmi_param bias;    /* by column, s32 or f32; no memory: none */
    qmmi_view residual; /* no memory: none */
    qmm_activation activation;
    int variant;        /* of the row that runs it: 0 is the row's own choice (backend.h) */
} qmmi_matmul_problem;

typedef enum qmmi_operation {
    QMMI_QUANTIZE,
    QMMI_QUANTIZE_DYNAMIC,
    QMMI_DEQUANTIZE,
    QMMI_REQUANTIZE,
    QMMI_MATMUL,
    QMMI_OPERATION_COUNT
} qmmi_operation;

typedef struct qmmi_problem {
    qmmi_operation operation;
    union {
        qmmi_convert_problem convert;
        qmmi_matmul_problem matmul;
    } as;
} qmmi_problem;

#endif
