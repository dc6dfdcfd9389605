/* SPDX-License-Identifier: Apache-2.0
 *
 * Every kernel: the image (the .cu file, without its ending) that holds it, its name, and the most dynamic shared memory
 * a launch may ask for. */
#ifndef QMMI_CUDA_KERNELS_H
#define QMMI_CUDA_KERNELS_H

#include "matmul_mma.h"
#include "matmul_mma_k16.h"
#include "matmul_small.h"
#include "matmul_wgmma.h"

/* Both of a tile: A is s8 or u8. */
#define QMMI_CUDA_WGMMA_KERNELS(X, name, blocks, n, cluster, swapped)                            \
    X(matmul_wgmma, matmul_s8_wgmma_##name##_kernel, QMMI_CUDA_WGMMA_SHARED(blocks, n)) \
    X(matmul_wgmma, matmul_u8_wgmma_##name##_kernel, QMMI_CUDA_WGMMA_SHARED(blocks, n))

/* Images in which not every device has code: X(image, capability bit of those that have). Others do not load them. */
#define QMMI_CUDA_IMAGES_OF_SOME(X) X(matmul_wgmma, QMMI_CUDA_WGMMA)

#define QMMI_CUDA_KERNELS(X)                          \
    X(quantize, quantize_kernel, 0)                   \
    X(quantize, quantize_blocks_kernel, 0)            \
    X(matmul_prepare, matmul_pack_kernel, 0)          \
    X(matmul_prepare, matmul_sums_kernel, 0)          \
    X(matmul_epilogue, matmul_epilogue_kernel, 0)     \
    X(matmul_dp4a, matmul_dp4a_kernel, 0)             \
    X(matmul_generic, matmul_generic_kernel, 0)       \
    X(matmul_small, matmul_small_1_kernel, QMMI_CUDA_SMALL_SHARED(1, 32)) \
    X(matmul_small, matmul_small_4_kernel, QMMI_CUDA_SMALL_SHARED(4, 32)) \
    X(matmul_small, matmul_small_16_kernel, QMMI_CUDA_SMALL_SHARED(16, 32)) \
    X(matmul_mma, matmul_s8_mma_large_kernel, QMMI_CUDA_MMA_LARGE_SHARED) \
    X(matmul_mma, matmul_s4_mma_large_kernel, QMMI_CUDA_MMA_LARGE_SHARED) \
    X(matmul_mma, matmul_s8_mma_small_kernel, QMMI_CUDA_MMA_SMALL_SHARED) \
    X(matmul_mma, matmul_s4_mma_small_kernel, QMMI_CUDA_MMA_SMALL_SHARED) \
    X(matmul_mma, matmul_s8_mma_grouped_kernel, QMMI_CUDA_MMA_SMALL_SHARED) \
    X(matmul_mma, matmul_s4_mma_grouped_kernel, QMMI_CUDA_MMA_SMALL_SHARED) \
    X(matmul_mma_k16, matmul_s8_mma_k16_kernel, QMMI_CUDA_MMA_K16_SHARED) \
    X(matmul_mma_k16, matmul_s4_mma_k16_kernel, QMMI_CUDA_MMA_K16_SHARED) \
    X(matmul_mma_k16, matmul_s8_mma_k16_grouped_kernel, QMMI_CUDA_MMA_K16_GROUPED_SHARED) \
    X(matmul_mma_k16, matmul_s4_mma_k16_grouped_kernel, QMMI_CUDA_MMA_K16_GROUPED_SHARED) \
    QMMI_CUDA_WGMMA_TILES_WITH(QMMI_CUDA_WGMMA_KERNELS, X) \
    X(weights, weights_gather_kernel, 0)              \
    X(dequantize, dequantize_kernel, 0)               \
    X(dequantize, dequantize_blocks_kernel, 0)        \
    X(requantize, requantize_kernel, 0)               \
    X(requantize, requantize_blocks_kernel, 0)        \
    X(row_sums, row_sums_kernel, 0)                   \
    X(quantize_dynamic, quantize_dynamic_warp_kernel, 0) \
    X(quantize_dynamic, quantize_dynamic_block_kernel, 0) \
    X(quantize_dynamic, quantize_dynamic_begin_kernel, 0) \
    X(quantize_dynamic, quantize_dynamic_rows_kernel, 0) \
    X(quantize_dynamic, quantize_dynamic_columns_kernel, 0) \
    X(quantize_dynamic, quantize_dynamic_end_kernel, 0) \
    X(range, find_minmax_kernel, 0)                   \
    X(range, histogram_kernel, 0)                     \
    X(measure_error, measure_error_kernel, 0)         \
    X(measure_error, measure_error_level_kernel, 0)

typedef enum qmmi_cuda_kernel {
#define QMMI_CUDA_KERNEL_ID(image, kernel, shared_bytes) QMMI_CUDA_##kernel,
    QMMI_CUDA_KERNELS(QMMI_CUDA_KERNEL_ID)
#undef QMMI_CUDA_KERNEL_ID
    QMMI_CUDA_KERNEL_COUNT
} qmmi_cuda_kernel;

#endif
