/* SPDX-License-Identifier: Apache-2.0
 *
 * The operands and the work of this backend's matmul kernels: operands in the canonical form of host/canonical.h, in
 * which an operand used where it lies has no padding in memory: bytes from `k_bytes` of a row on must be read as zeros,
 * and are not readable. */
#ifndef QMMI_CUDA_MATMUL_H
#define QMMI_CUDA_MATMUL_H

#include "../host/canonical.h"

typedef struct qmmi_cuda_operand {
    const void *codes;
    int64_t outer_stride, batch_stride; /* bytes */
    int64_t k_bytes;                    /* readable bytes of a row */
    int32_t bits;                       /* 8 or 4 */
    int32_t recenter;                   /* 0, 8, 128: what was taken from the codes as given */
    bool is_unsigned;                   /* u8 as given, for kernels that multiply those: 8 bits, nothing taken */
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
    int64_t blocks; /* that share the work; of a kernel of clusters, clusters of blocks */
    int32_t steps;  /* along K, of one tile: ceil(k / tile_k) */
    int32_t split_tiles, split_blocks;
    int32_t *partials; /* [split tile][tile rows][tile columns]; matmul_wgmma.h has another order */
    uint32_t *arrived; /* [split tile][arrivals] */
} qmmi_cuda_matmul;

#endif
