/* SPDX-License-Identifier: Apache-2.0
 *
 * The canonical form in which every fast matmul kernel of this backend takes its operands, so that a kernel is written
 * once for all types, strides, transposes, groups and zero points. matmul_prepare.c makes it: an operand that already
 * has it is used where it lies, any other is rewritten into the workspace, packed weights have it from the start.
 *
 *   - Signed 8-bit codes along K, K being contiguous: element (outer, k) of matrix b is the byte at
 *     offset + b * batch_stride + outer * outer_stride + k; offset and strides are multiples of 16 bytes.
 *   - u8 and u4 are recentered: the byte is the code minus 128 (or 8), and so is the zero point that goes with it.
 *   - Each group of K is padded with zeros to a multiple of 32: group_k elements, k = groups * group_k in all. Without
 *     groups there is one group. So kernels know no tail of K: an operand whose K is no multiple of 32 is rewritten.
 *   - Packed 4-bit weights stay 4-bit where a kernel reads them: a run of 32 k is 16 bytes, word t (0 .. 3) of which
 *     holds in the low nibbles of its four bytes k = 4t .. 4t + 3 and in the high nibbles k = 16 + 4t .. 16 + 4t + 3,
 *     each a signed nibble. A kernel reads (word << 4) & 0xf0f0f0f0 and word & 0xf0f0f0f0: four s8 that are 16 times
 *     the codes. Its accumulators are then 16 times the sum; epilogue.cl divides them before it does anything else.
 *
 * With a' = a - recenter_a, za' = za - recenter_a and likewise for b, all sums over the real k of one group:
 *
 *     sum (a - za)(b - zb) = sum a' b' - za' sum b' - zb' sum a' + group_size za' zb'
 *
 * A kernel makes sum a' b' (the padding adds nothing); epilogue.cl adds the rest in 64 bits, from the sums of a' and
 * b'. |a' b'| is at most 2^14 (16 times a 4-bit code is an 8-bit code), so 131,071 k fit an int32: no accumulation is
 * longer, longer problems have no canonical form.
 *
 * Groups along K: with an s32 output one accumulator runs over all of K, and the epilogue takes the zero points out
 * group by group. With any other output each group has its own accumulator, which the kernel adds to a float (add_group
 * in epilogue.cl) when the group ends, which is at a multiple of 32 of k.
 *
 * Compiled by C11 and OpenCL C. */
#ifndef QMMI_OPENCL_MATMUL_H
#define QMMI_OPENCL_MATMUL_H

#include "arguments.h"

enum {
    QMMI_CL_K_ALIGNMENT = 32,  /* canonical groups are padded to so many k */
    QMMI_CL_K_LIMIT = 131071   /* k of one accumulation: 131,071 * 2^14 < 2^31 */
};

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
