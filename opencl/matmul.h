/* SPDX-License-Identifier: Apache-2.0
 *
 * The operands of this backend's matmul kernels, in the canonical form of host/canonical.h. Kernels know no tail of K:
 * an operand whose K is no multiple of 32 is rewritten.
 *
 * Compiled by C11 and OpenCL C. */
#ifndef QMMI_OPENCL_MATMUL_H
#define QMMI_OPENCL_MATMUL_H

#include "../host/canonical.h"
#include "arguments.h"

/* Where its codes and sums are in QMMI_CL_A and QMMI_CL_A_SUMS (or B's). */
typedef struct qmmi_cl_codes {
    cl_long offset, outer_stride, batch_stride; /* bytes */
    /* Sums of the codes as given, s32, [batch][groups][outer]. Of the recentered codes: sums - recenter * group_size.
     * There only where the other side's zero point may be other than 0. */
    cl_long sums_offset; /* bytes */
    cl_long sums_outer_stride, sums_group_stride, sums_batch_stride;
    cl_int bits;     /* 8 or 4 */
    cl_int recenter; /* 0, 8, 128 */
} qmmi_cl_codes;

/* The first parameter of every matmul kernel. */
typedef struct qmmi_cl_matmul {
    qmmi_cl_matmul_problem p;
    qmmi_cl_codes a, b;
    cl_long k, group_k; /* canonical: padded */
    cl_int corrects_a;  /* za' may be other than 0: sums of b are there */
    cl_int corrects_b;  /* zb' may be: sums of a are there */
    cl_int grouped;     /* factors per group of K, and C is not s32: a single accumulator does not serve */
    cl_int unused;
} qmmi_cl_matmul;

#endif
