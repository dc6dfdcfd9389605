/* SPDX-License-Identifier: Apache-2.0
 *
 * find_minmax and histogram, over the finite values of x. Specification: host/cpu/range.c. Counts are integers and the
 * extremes do not depend on an order, so atomics give the same result in any.
 *
 * An extreme is kept as a pattern whose order as an integer is that of the floats, so that an atomic maximum finds it: the
 * sign bit of a positive float is set, all bits of a negative one are turned over. That of max is larger the larger the
 * value, that of min the smaller; 0 is less than either of any finite value. */
#include "range.h"
#include "run.cuh"

/* NaN: it is passed over. */
DEVICE float outside() {
    return __uint_as_float(0x7fc00000u);
}

DEVICE uint32_t ordered(float x) {
    const uint32_t bits = __float_as_uint(x);
    return bits >> 31 ? ~bits : bits | 0x80000000u;
}

/* ---- find_minmax -------------------------------------------------------------------------------------------------- */

DEVICE void join_minmax(qmmi_cuda_minmax *found, long long count, float low, float high) {
    for (int other = 1; other < 32; other *= 2) {
        count += __shfl_xor_sync(~0u, count, other);
        low = min(low, __shfl_xor_sync(~0u, low, other));
        high = max(high, __shfl_xor_sync(~0u, high, other));
    }
    if (threadIdx.x % 32 != 0 || count == 0) return;
    atomicAdd((unsigned long long *)&found->count, (unsigned long long)count);
    atomicMax(&found->min, ~ordered(low));
    atomicMax(&found->max, ordered(high));
}

KERNEL(find_minmax_kernel, QMMI_CUDA_RUN_THREADS, QMMI_CUDA_RUN_BLOCKS, qmmi_cuda_range, a) {
    const float infinity = __uint_as_float(0x7f800000u);
    int64_t item = first_item(a.walk);
    const int64_t end = item + a.walk.span < a.walk.items ? item + a.walk.span : a.walk.items;
    place here = place_of(a.walk, item);
    long long count = 0;
    float low = infinity, high = -infinity;
    for (; item < end; item++, next_place(a.walk, here)) {
        const tile t = tile_at(a.walk, here, a.x.cols, a.piece);
        float x[QMMI_CUDA_RUN];
        int finite = 0;
        load_reals(a.x, here, t, outside(), x);
#pragma unroll
        for (int e = 0; e < QMMI_CUDA_RUN; e++) {
            if (!qmmn_is_finite(x[e])) continue;
            finite++;
            low = min(low, x[e]);
            high = max(high, x[e]);
        }
        count += finite;
    }
    join_minmax(a.minmax, count, low, high);
}

/* ---- histogram ---------------------------------------------------------------------------------------------------- */

enum { BINS = QMMI_CUDA_HISTOGRAM_BINS, HALF = BINS / 2 };

DEVICE int bin_of(float x, float inverse_width) {
    return x >= 0.0f ? HALF + (int)(x * inverse_width) : HALF - 1 - (int)(-x * inverse_width);
}

/* Each block counts for itself, and no span is so long that a count could leave 32 bits (range.c). */
KERNEL(histogram_kernel, QMMI_CUDA_HISTOGRAM_THREADS, QMMI_CUDA_HISTOGRAM_BLOCKS, qmmi_cuda_range, a) {
    SHARED_ARRAY(unsigned, counts, BINS);
    int64_t item = first_item(a.walk);
    const int64_t end = item + a.walk.span < a.walk.items ? item + a.walk.span : a.walk.items;
    place here = place_of(a.walk, item);
    for (int bin = threadIdx.x; bin < BINS; bin += QMMI_CUDA_HISTOGRAM_THREADS) counts[bin] = 0;
    __syncthreads();
    for (; item < end; item++, next_place(a.walk, here)) {
        const tile t = tile_at(a.walk, here, a.x.cols, a.piece);
        float x[QMMI_CUDA_RUN];
        load_reals(a.x, here, t, outside(), x);
#pragma unroll
        for (int e = 0; e < QMMI_CUDA_RUN; e++)
            if (qmmn_is_finite(x[e])) atomicAdd(counts + bin_of(x[e], a.inverse_width), 1u);
    }
    __syncthreads();
    for (int bin = threadIdx.x; bin < BINS; bin += QMMI_CUDA_HISTOGRAM_THREADS)
        if (counts[bin] > 0) atomicAdd((unsigned long long *)(a.bins + bin), (unsigned long long)counts[bin]);
}
