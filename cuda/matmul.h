/* SPDX-License-Identifier: Apache-2.0
 *
 * The canonical form in which every fast matmul kernel of this backend takes its operands, so that a kernel is written
 * once for all types, strides, transposes, groups and zero points. matmul_prepare.c makes it: an operand that already
 * has it is used where it lies, any other is rewritten into the workspace, packed weights have it from the start.
 *
 *   - Signed 8-bit codes, along K, K being contiguous: element (outer, k) of matrix b is the byte
 *     codes[b * batch_stride + outer * outer_stride + k]; codes, strides: multiples of 16 bytes.
 *   - u8 and u4 are recentered: the byte is the code minus 128 (or 8), and so is the zero point that goes with it.
 *   - Each group of K is padded with zeros to a multiple of 32: group_k elements, k = groups * group_k in all. Without
 *     groups there is one group. A direct operand has no padding in memory: bytes from `k_bytes` of a row on must be
 *     read as zeros, and are not readable.
 *   - Packed 4-bit weights stay 4-bit: a run of 32 k is 16 bytes, word t (0 .. 3) of which holds in the low nibbles of
 *     its four bytes k = 4t .. 4t + 3 and in the high nibbles k = 16 + 4t .. 16 + 4t + 3, each a signed nibble. A
 *     kernel reads (word << 4) & 0xf0f0f0f0 and word & 0xf0f0f0f0: four s8 that are 16 times the codes. Its
 *     accumulators are then 16 times the sum; epilogue.cuh divides them before it does anything else.
 *
 * With a' = a - recenter_a, za' = za - recenter_a and likewise for b, all sums over the real k of one group:
 *
 *     sum (a - za)(b - zb) = sum a' b' - za' sum b' - zb' sum a' + group_size za' zb'
 *
 * A kernel makes sum a' b' (the padding adds nothing); epilogue.cuh adds the rest in 64 bits, from the sums of a' and
 * b'. |a' b'| is at most 2^14 (16 times a 4-bit code is an 8-bit code), so 131,071 k fit an int32: no accumulation is
 * longer, longer problems have no canonical form.
 *
 * Groups along K: with an s32 output one accumulator runs over all of K, and the epilogue takes the zero points out
 * group by group. With any other output each group has its own accumulator, which the kernel adds to a float (add_group
 * in epilogue.cuh) when the group ends, which is at a multiple of 32 of k. */
#ifndef QMMI_CUDA_MATMUL_H
#define QMMI_CUDA_MATMUL_H

#include "../host/problem.h"

/* Canonical groups are padded to this many k. */
#define QMMI_CUDA_K_ALIGNMENT 32
/* k of one accumulation: 131,071 * 2^14 < 2^31. */
#define QMMI_CUDA_K_LIMIT 131071

typedef struct qmmi_cuda_operand {
    const void *codes;
    int64_t outer_stride, batch_stride; /* bytes */
    int64_t k_bytes;                    /* readable bytes of a row */
    int32_t bits;                       /* 8 or 4 */
    int32_t recenter;                   /* 0, 8, 128 */
    /* Sums of the codes as given, s32, [batch][groups][outer]; NULL where nothing needs them. The sum of the recentered
     * codes is sums - recenter * group_size. */
    const int32_t *sums;
    int64_t sums_outer_stride, sums_group_stride, sums_batch_stride;
} qmmi_cuda_operand;

/* The argument of every matmul kernel. */
typedef struct qmmi_cuda_matmul {
    qmmi_matmul_problem p;
    qmmi_cuda_operand a, b;
    int64_t k, group_k; /* canonical: padded */
    bool corrects_a;    /* za' may be other than 0: sums of b are there */
    bool corrects_b;    /* zb' may be: sums of a are there */

    /* Work: tiles of C, of the shape that the kernel's row decides, numbered as tile_place in matmul_tile.cuh has it.
     * Tiles 0 .. whole_tiles - 1 are dealt to the blocks in turn; a block does such a tile from start to end and goes
     * straight to the epilogue. Of the split_tiles that follow, too few to keep all blocks busy, the blocks 0 ..
     * split_blocks - 1 each take an even share of all steps along K (stream-K). They add their s32 partial sums to
     * `partials` (zeroed before the launch) and the steps they did to `arrived`; who brings that to all steps of the
     * tile runs the epilogue. Integer sums: any order, the same bytes. */
    int64_t tiles_m, tiles_n; /* per matrix of the batch */
    int64_t whole_tiles;
    int64_t blocks; /* of the launch */
    int32_t steps;  /* along K, of one tile: ceil(k / tile_k) */
    int32_t split_tiles, split_blocks;
    int32_t *partials; /* [split tile][tile rows][tile columns] */
    uint32_t *arrived; /* [split tile] */
} qmmi_cuda_matmul;

#endif
