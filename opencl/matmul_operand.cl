/* SPDX-License-Identifier: Apache-2.0
 *
 * Operands of a matmul, element by element, in any form a caller may give them: any type and stride, or packed
 * weights. */
#ifndef QMM_OPENCL_MATMUL_OPERAND_CL
#define QMM_OPENCL_MATMUL_OPERAND_CL

#include "element.cl"

/* Where row `outer` of A, or column `outer` of B, of matrix b begins: in bytes if packed, else in elements. */
static long operand_row(const qmmi_cl_operand *o, long b, long outer) {
    return b * o->batch_stride + outer * o->outer_stride;
}

/* Where in packed weights k lies; their rows are canonical, with groups of `group_size`, padded to k_stride. */
static long packed_k(const qmmi_cl_operand *o, long group_size, long k) {
    const long group = k < group_size ? 0 : quotient(k, group_size);
    return group * o->k_stride + (k - group * group_size);
}

/* The code at k of the row that begins at `row`, as given; of packed weights at packed_k. */
static int operand_code(const qmmi_cl_operand *o, const __global uchar *memory, long row, long k) {
    const __global uchar *base = memory + o->offset;
    int nibble;
    if (!o->packed) return load_code(o->type, base, row + k * o->k_stride);
    if (o->type == QMM_S8) return ((const __global char *)base)[row + k];
    if (o->type == QMM_U8) return ((const __global char *)base)[row + k] + 128;
    nibble = (base[row + k / 32 * 16 + k % 16] >> (k & 16 ? 4 : 0)) & 15;
    return (nibble ^ 8) - (o->type == QMM_S4 ? 8 : 0);
}

#endif
