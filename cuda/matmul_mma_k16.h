/* SPDX-License-Identifier: Apache-2.0
 *
 * What matmul_mma_k16.cu and its launcher agree on: a tile of C, and a smaller one for factors per group of K, which
 * need a second register per element. */
#ifndef QMMI_CUDA_MATMUL_MMA_K16_H
#define QMMI_CUDA_MATMUL_MMA_K16_H

enum {
    QMMI_CUDA_MMA_K16_K = 64, /* of one step */

    QMMI_CUDA_MMA_K16_M = 128, /* 8 warps, each 64 x 32 */
    QMMI_CUDA_MMA_K16_N = 128,
    QMMI_CUDA_MMA_K16_WARP_M = 64,
    QMMI_CUDA_MMA_K16_THREADS = 256,
    QMMI_CUDA_MMA_K16_BLOCKS = 1,         /* on a multiprocessor: what the registers allow */
    QMMI_CUDA_MMA_K16_PART_M = 64,        /* rows of a finished tile in shared memory: Turing has no room for 128 */
    QMMI_CUDA_MMA_K16_SHARED = 34 * 1024, /* those rows, of 136 words; 2 stages need 32 KB */

    QMMI_CUDA_MMA_K16_GROUPED_M = 64, /* 4 warps, each 32 x 32 */
    QMMI_CUDA_MMA_K16_GROUPED_N = 64,
    QMMI_CUDA_MMA_K16_GROUPED_WARP_M = 32,
    QMMI_CUDA_MMA_K16_GROUPED_THREADS = 128,
    QMMI_CUDA_MMA_K16_GROUPED_BLOCKS = 2,
    QMMI_CUDA_MMA_K16_GROUPED_PART_M = 64,
    QMMI_CUDA_MMA_K16_GROUPED_SHARED = 18 * 1024 /* 64 rows of 72 words; 2 stages need 16 KB */
};

#endif
