/* SPDX-License-Identifier: Apache-2.0
 *
 * What matmul_small.cu and its row agree on. */
#ifndef QMMI_CUDA_MATMUL_SMALL_H
#define QMMI_CUDA_MATMUL_SMALL_H

enum {
    QMMI_CUDA_SMALL_WARPS = 2,   /* of a block */
    QMMI_CUDA_SMALL_COLUMNS = 4, /* of a warp */
    QMMI_CUDA_SMALL_THREADS = 32 * QMMI_CUDA_SMALL_WARPS,
    QMMI_CUDA_SMALL_TILE_N = QMMI_CUDA_SMALL_COLUMNS * QMMI_CUDA_SMALL_WARPS,
    QMMI_CUDA_SMALL_STEP = 512, /* bytes of a column that a warp reads at once */

    /* Blocks of each kernel that a multiprocessor runs at a time. */
    QMMI_CUDA_SMALL_BLOCKS_1 = 10,
    QMMI_CUDA_SMALL_BLOCKS_4 = 10,
    QMMI_CUDA_SMALL_BLOCKS_16 = 6
};

/* Dynamic shared memory of a block that keeps `groups` groups of K at a time, for `rows` rows. */
#define QMMI_CUDA_SMALL_SHARED(rows, groups) \
    (4 * QMMI_CUDA_SMALL_WARPS * (groups) * ((rows) * QMMI_CUDA_SMALL_COLUMNS + 1))

/* Lanes that share one group of `chunks` pieces of 16 bytes: a power of 2, so that 32 / lanes groups fit a warp. */
#define QMMI_CUDA_SMALL_LANES(chunks) \
    ((chunks) > 16 ? 32 : (chunks) > 8 ? 16 : (chunks) > 4 ? 8 : (chunks) > 2 ? 4 : (chunks) > 1 ? 2 : 1)

#endif
