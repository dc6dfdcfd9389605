/* SPDX-License-Identifier: Apache-2.0
 *
 * The sums that go with codes: sums[i,g] = sum over the run of q[i,j], modulo 2^32. Specification: host/cpu/row_sums.c.
 * quantize_dynamic makes them on the way where it can; everything else reads the codes again, which are small. */
#include "row_sums.h"
#include "run.cuh"

enum { THREADS = QMMI_CUDA_ROW_SUMS_THREADS, WARPS = THREADS / 32 };

/* This thread's part of the sum of `length` codes from column `first` on. */
DEVICE unsigned sum_part(const qmmi_cuda_row_sums_arguments &a, const place &here, int64_t first, int lane) {
    const int size = QMMI_CUDA_RUN * a.lanes;
    const int64_t end = first + a.length;
    unsigned sum = 0;
    for (; first < end; first += size) {
        const tile t = make_tile(first, end, size, lane, a.lanes, a.piece);
        int q[QMMI_CUDA_RUN];
        load_codes(a.codes, here, t, q);
#pragma unroll
        for (int e = 0; e < QMMI_CUDA_RUN; e++) sum += (unsigned)q[e];
    }
    return sum;
}

KERNEL(row_sums_kernel, QMMI_CUDA_ROW_SUMS_THREADS, 2, qmmi_cuda_row_sums_arguments, a) {
    SHARED_ARRAY(unsigned, warp_sums, WARPS);
    const int lane = threadIdx.x & (a.lanes - 1), warp_lanes = min(a.lanes, 32);
    const int64_t item = ((int64_t)blockIdx.x * THREADS + threadIdx.x) / (unsigned)a.lanes;
    const int64_t row = (int64_t)((uint64_t)item / (uint64_t)a.groups), g = item - row * a.groups;
    const place here = { row / a.codes.rows, row % a.codes.rows, 0 };
    unsigned sum = item < a.items ? sum_part(a, here, g * a.length, lane) : 0;
    for (int other = 1; other < warp_lanes; other *= 2) sum += __shfl_xor_sync(~0u, sum, other);
    if (a.lanes > 32) {
        if (threadIdx.x % 32 == 0) warp_sums[threadIdx.x / 32] = sum;
        __syncthreads();
        sum = 0;
        for (int warp = 0; warp < WARPS; warp++) sum += warp_sums[warp];
    }
    if (item < a.items && lane == 0)
        ((unsigned *)at(a.sums.memory, a.sums.offset))[param_index(a.sums, here.b, here.i, g)] = sum;
}
