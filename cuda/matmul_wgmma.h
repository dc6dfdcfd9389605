/* SPDX-License-Identifier: Apache-2.0
 *
 * What matmul_wgmma.cu and its launcher agree on: the tiles, and the kernels' argument. */
#ifndef QMMI_CUDA_MATMUL_WGMMA_H
#define QMMI_CUDA_MATMUL_WGMMA_H

#include <stdbool.h>

#include "matmul.h"
#include "tensor_map.h"

/* X(name, blocks, n, cluster, swapped)
 *
 * wgmma multiplies 64 rows of one operand by n of the other, both along K. Each of the two math warpgroups of a thread
 * block has `blocks` such products, so that a thread block has 128 * blocks rows of the one operand, here called the
 * tall one, and n of the other, the wide one. The tall one is A and the wide one B; swapped, for few rows of C, the tall
 * one is B and the wide one A.
 *
 * `cluster` thread blocks (1 or 2) have neighbouring rows of the tall operand and the same ones of the wide, of which
 * each loads its share for all. The name is that of a thread block's tile of C, rows x columns, and the cluster if it is
 * not 1. */
#define QMMI_CUDA_WGMMA_TILES(X) QMMI_CUDA_WGMMA_TILES_WITH(QMMI_CUDA_WGMMA_TILE, X)
#define QMMI_CUDA_WGMMA_TILE(X, name, blocks, n, cluster, swapped) X(name, blocks, n, cluster, swapped)

/* ... through another macro, F(X, name, blocks, n, cluster, swapped). */
#define QMMI_CUDA_WGMMA_TILES_WITH(F, X) \
    F(X, 128x256c2, 1, 256, 2, 0)        \
    F(X, 128x256, 1, 256, 1, 0)          \
    F(X, 256x128, 2, 128, 1, 0)          \
    F(X, 128x192c2, 1, 192, 2, 0)        \
    F(X, 128x192, 1, 192, 1, 0)          \
    F(X, 128x160, 1, 160, 1, 0)          \
    F(X, 128x128c2, 1, 128, 2, 0)        \
    F(X, 128x128, 1, 128, 1, 0)          \
    F(X, 64x128, 1, 64, 1, 1)            \
    F(X, 32x128, 1, 32, 1, 1)            \
    F(X, 16x128, 1, 16, 1, 1)

enum {
    QMMI_CUDA_WGMMA_K = 128, /* of one step: the 128 bytes over which TMA and wgmma swizzle */
    QMMI_CUDA_WGMMA_THREADS = 384, /* a warpgroup that loads, and two that multiply */
    QMMI_CUDA_WGMMA_GROUPS = 2,    /* ... and arrive apart from one another at a tile that is split along K */
    QMMI_CUDA_WGMMA_STAGES_MAX = 8,
    QMMI_CUDA_WGMMA_SHARED_MAX = 223 * 1024, /* a thread block may have 227 KiB, 4 of which are for static arrays */

    /* A finished tile goes to the epilogue, and from there to the copy engine, by pieces of 16 rows and 32 columns for
     * each of the 8 math warps, which has memory for s32 accumulators (rows padded to 40 words) and for elements of C of at
     * most 2 bytes. */
    QMMI_CUDA_WGMMA_STORE_ROWS = 16,
    QMMI_CUDA_WGMMA_STORE_COLS = 32,
    QMMI_CUDA_WGMMA_PATCH = 16 * 40 * 4,
    QMMI_CUDA_WGMMA_STORE = 16 * 32 * 2,
    QMMI_CUDA_WGMMA_WARP = QMMI_CUDA_WGMMA_PATCH + QMMI_CUDA_WGMMA_STORE,
    QMMI_CUDA_WGMMA_PATCHES = 8 * QMMI_CUDA_WGMMA_WARP
};

/* Bytes of a stage: 128 k of the tall and of the wide rows. Stages that there is room for. Dynamic shared memory: the
 * stages, then the pieces. */
#define QMMI_CUDA_WGMMA_STAGE(blocks, n) ((128 * (blocks) + (n)) * QMMI_CUDA_WGMMA_K)
#define QMMI_CUDA_WGMMA_ROOM(blocks, n) \
    ((QMMI_CUDA_WGMMA_SHARED_MAX - QMMI_CUDA_WGMMA_PATCHES) / QMMI_CUDA_WGMMA_STAGE(blocks, n))
#define QMMI_CUDA_WGMMA_STAGES(blocks, n)                                            \
    (QMMI_CUDA_WGMMA_ROOM(blocks, n) < QMMI_CUDA_WGMMA_STAGES_MAX ? QMMI_CUDA_WGMMA_ROOM(blocks, n) \
                                                                  : QMMI_CUDA_WGMMA_STAGES_MAX)
#define QMMI_CUDA_WGMMA_SHARED(blocks, n) \
    (QMMI_CUDA_WGMMA_STAGES(blocks, n) * QMMI_CUDA_WGMMA_STAGE(blocks, n) + QMMI_CUDA_WGMMA_PATCHES)

/* The kernels' argument. m.blocks and the division of the work count clusters, and the tiles of clusters: 128 * blocks *
 * cluster rows of the tall operand, n of the wide (of C, rows and columns, or swapped columns and rows). m.partials has
 * the sums of a split tile in the order of the kernel's registers, [split tile][thread block of the cluster][warpgroup]
 * [64 * blocks * n]; m.arrived is [split tile][thread block of the cluster][warpgroup].
 *
 * The maps are of three dimensions: k, rows, matrices, with boxes of 128 k x rows of a thread block's tile (of the wide
 * operand its share: n / cluster) x 1, swizzled over 128 bytes, zeros outside; of C: columns, rows, matrices, with boxes
 * of STORE_COLS x STORE_ROWS x 1, swizzled over 64 bytes where an element has 2 bytes, and not where it has 1. */
typedef struct qmmi_cuda_wgmma {
    qmmi_cuda_tensor_map tall, wide, c; /* c: undefined unless stores_c */
    qmmi_cuda_matmul m;
    bool tall_batched, wide_batched; /* the operand has a matrix for each of the batch, not one for all */
    bool stores_c; /* C can be stored by the copy engine: aligned to 16 bytes, elements of 1 or 2 bytes, not swapped */
    bool only_scales; /* ... it is f16 or bf16, and all that the epilogue does is to multiply by the scales of B, one or f32
                       * side by side, and of A */
} qmmi_cuda_wgmma;

#endif
