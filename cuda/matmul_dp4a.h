/* SPDX-License-Identifier: Apache-2.0
 *
 * Sizes of matmul_dp4a.cu, for the kernel and its launcher. */
#ifndef QMMI_CUDA_MATMUL_DP4A_H
#define QMMI_CUDA_MATMUL_DP4A_H

enum {
    QMMI_CUDA_DP4A_TILE_M = 64,
    QMMI_CUDA_DP4A_TILE_N = 64,
    QMMI_CUDA_DP4A_TILE_K = 64,
    QMMI_CUDA_DP4A_THREADS = 256,
    QMMI_CUDA_DP4A_BLOCKS = 2 /* on a multiprocessor */
};

#endif
