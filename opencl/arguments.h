/* SPDX-License-Identifier: Apache-2.0
 *
 * What the host hands to the kernels besides memory, in the common subset of C11 and OpenCL C: the structs of
 * host/problem.h without their pointers, which OpenCL allows in no argument. arguments.c makes these from those.
 *
 * A kernel's first parameter is one such struct, by value; its memory follows, each as a `__global uchar *`. 64-bit
 * fields come first in every struct, and each is a multiple of 8 bytes long, so that both languages lay it out alike. */
#ifndef QMMI_OPENCL_ARGUMENTS_H
#define QMMI_OPENCL_ARGUMENTS_H

#ifdef __OPENCL_VERSION__

typedef long cl_long;
typedef int cl_int;
typedef uint cl_uint;
typedef float cl_float;

/* qmm_type and qmm_activation; arguments.c holds these numbers against the public header's. */
enum {
    QMM_S4 = 1,
    QMM_U4 = 2,
    QMM_S8 = 3,
    QMM_U8 = 4,
    QMM_S16 = 5,
    QMM_U16 = 6,
    QMM_S32 = 7,
    QMM_F32 = 8,
    QMM_F16 = 9,
    QMM_BF16 = 10
};

enum {
    QMM_ACTIVATION_NONE = 0,
    QMM_ACTIVATION_RELU = 1,
    QMM_ACTIVATION_GELU = 2,
    QMM_ACTIVATION_GELU_TANH = 3,
    QMM_ACTIVATION_SILU = 4
};

#else

#include "api.h"

#endif

/* A tensor (qmmi_view). */
typedef struct qmmi_cl_view {
    cl_long offset; /* bytes */
    cl_long rows, cols, row_stride, batch, batch_stride; /* elements */
    cl_int type, in_memory; /* in_memory 0: there is none */
} qmmi_cl_view;

/* Scales, zero points, sums or a bias (qmmi_param); in_memory 0: the value serves. */
typedef struct qmmi_cl_param {
    cl_long offset;
    cl_long row_stride, col_stride, batch_stride;
    cl_int type, in_memory;
    cl_float real_value;
    cl_int integer_value;
} qmmi_cl_param;

/* qmmi_quant. */
typedef struct qmmi_cl_quant {
    cl_long block_rows, block_cols, param_rows, param_cols;
    qmmi_cl_param scale, zero;
    cl_int qmin, qmax, zero_min, zero_max;
} qmmi_cl_quant;

/* quantize, quantize_dynamic, dequantize, requantize (qmmi_convert_problem). */
typedef struct qmmi_cl_convert {
    qmmi_cl_view source, target;
    qmmi_cl_quant source_quant, target_quant; /* of the side that holds codes */
    qmmi_cl_param sums;
} qmmi_cl_convert;

/* The memory of a conversion, in the order of the kernel's parameters. */
enum {
    QMMI_CL_SOURCE,
    QMMI_CL_TARGET,
    QMMI_CL_SOURCE_SCALE,
    QMMI_CL_SOURCE_ZERO,
    QMMI_CL_TARGET_SCALE,
    QMMI_CL_TARGET_ZERO,
    QMMI_CL_SUMS,
    QMMI_CL_CONVERT_MEMORY
};

/* A or B of a matmul as the caller gave it (qmmi_operand), but for the sums: matmul.h has where they are. */
typedef struct qmmi_cl_operand {
    cl_long offset; /* bytes */
    cl_long outer_stride, k_stride, batch_stride;
    qmmi_cl_param scale, zero;
    cl_int type, packed, grouped, zero_min, zero_max, unused;
} qmmi_cl_operand;

/* qmmi_matmul_problem. */
typedef struct qmmi_cl_matmul_problem {
    cl_long m, n, k, batch;
    cl_long group_size, groups;
    qmmi_cl_operand a, b;
    qmmi_cl_view c, residual;
    qmmi_cl_quant c_quant;
    qmmi_cl_param bias;
    cl_int activation, unused;
} qmmi_cl_matmul_problem;

/* The memory of a matmul, in the order of the kernel's parameters. CODES and SUMS are where the canonical operands of
 * matmul.h are: the caller's memory or the workspace. */
enum {
    QMMI_CL_A,
    QMMI_CL_B,
    QMMI_CL_A_SUMS,
    QMMI_CL_B_SUMS,
    QMMI_CL_A_SCALE,
    QMMI_CL_A_ZERO,
    QMMI_CL_B_SCALE,
    QMMI_CL_B_ZERO,
    QMMI_CL_C,
    QMMI_CL_C_SCALE,
    QMMI_CL_C_ZERO,
    QMMI_CL_BIAS,
    QMMI_CL_RESIDUAL,
    QMMI_CL_MATMUL_MEMORY
};

#endif
