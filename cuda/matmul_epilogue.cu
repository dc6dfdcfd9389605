/* SPDX-License-Identifier: Apache-2.0
 *
 * The epilogue of matmul over raw accumulators that lie in memory, for products made by a library: zero points, scales,
 * bias, activation and the store, as every other row ends. A thread does 8 columns of one row. */
#include "epilogue.cuh"
#include "matmul_epilogue.h"

KERNEL(matmul_epilogue_kernel, QMMI_CUDA_EPILOGUE_THREADS, 2, qmmi_cuda_epilogue, e) {
    const int64_t n = e.m.p.n, runs = (n + 7) / 8, items = e.batches * e.rows * runs;
    const int64_t first = (int64_t)blockIdx.x * blockDim.x + threadIdx.x, step = (int64_t)gridDim.x * blockDim.x;
    for (int64_t item = first; item < items; item += step) {
        const int64_t row = item / runs, j = item % runs * 8, b = row / e.rows, i = row % e.rows;
        const int count = n - j < 8 ? (int)(n - j) : 8;
        uint32_t word[8];
        int acc[8];
        load_words(e.acc + b * e.batch_stride + i * e.row_stride + j, 1, count, word);
#pragma unroll
        for (int c = 0; c < 8; c++) acc[c] = (int)word[c];
        const run_of_c c = { e.m.p.c, e.first_batch + b, e.first_row + i, j, count };
        epilogue_run(e.m, c.b, c.i, j, count, c, acc);
    }
}
