/* SPDX-License-Identifier: Apache-2.0
 *
 * What matmul_mma.cu and its launcher agree on. Two tiles of C: a large one for problems that fill the device with it,
 * and a small one for those that do not, and for factors per group of K, which need a second register per element. */
#ifndef QMMI_CUDA_MATMUL_MMA_H
#define QMMI_CUDA_MATMUL_MMA_H

enum {
    QMMI_CUDA_MMA_K = 64, /* of one step: a row of a strip is 64 bytes, or 32 of 4-bit codes */

    QMMI_CUDA_MMA_LARGE_M = 128, /* 8 warps, each 64 x 32 */
    QMMI_CUDA_MMA_LARGE_N = 128,
    QMMI_CUDA_MMA_LARGE_WARP_M = 64,
    QMMI_CUDA_MMA_LARGE_WARP_N = 32,
    QMMI_CUDA_MMA_LARGE_THREADS = 256,
    QMMI_CUDA_MMA_LARGE_BLOCKS = 2, /* on a multiprocessor */
    QMMI_CUDA_MMA_LARGE_SHARED = 68 * 1024, /* 4 stages, or 5 of 4-bit codes; a finished tile: 128 x 136 words */

    QMMI_CUDA_MMA_SMALL_M = 64, /* 4 warps, each 32 x 32 */
    QMMI_CUDA_MMA_SMALL_N = 64,
    QMMI_CUDA_MMA_SMALL_WARP_M = 32,
    QMMI_CUDA_MMA_SMALL_WARP_N = 32,
    QMMI_CUDA_MMA_SMALL_THREADS = 128,
    QMMI_CUDA_MMA_SMALL_BLOCKS = 4,
    QMMI_CUDA_MMA_GROUPED_BLOCKS = 3,
    QMMI_CUDA_MMA_SMALL_SHARED = 24 * 1024 /* 3 stages, or 4 */
};

#endif
