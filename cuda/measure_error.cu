/* SPDX-License-Identifier: Apache-2.0
 *
 * The sums behind measure_error, over the fixed tree of host/cpu/measure_error.c, which is the specification: a thread is
 * a lane of a block of 4096 terms. The first kernel makes the terms and sums their blocks; the second sums blocks of those
 * sums, level after level, until one is left. */
#include "measure_error.h"
#include "element.cuh"

enum {
    BLOCK = QMMI_CUDA_ERROR_BLOCK,
    LANES = QMMI_CUDA_ERROR_LANES,
    SUMS = QMMI_CUDA_ERROR_SUMS,
    TERMS = BLOCK / LANES, /* of a thread */
    WARPS = LANES / 32
};

static_assert(LANES == 256 && TERMS == 16, "the halving begins with 128 lanes; a thread holds all its terms at once");

/* s[l] = s[l] + s[l + 128], then 64, 32 ... 1. Thread 0 has the result. */
DEVICE void halve(float (&sums)[SUMS]) {
    SHARED_ARRAY(float, lanes, SUMS *LANES);
#pragma unroll
    for (int s = 0; s < SUMS; s++) lanes[s * LANES + threadIdx.x] = sums[s];
    for (int half = LANES / 2; half >= 32; half /= 2) {
        __syncthreads();
        if ((int)threadIdx.x >= half) continue;
#pragma unroll
        for (int s = 0; s < SUMS; s++) {
            sums[s] = sums[s] + lanes[s * LANES + threadIdx.x + half];
            lanes[s * LANES + threadIdx.x] = sums[s];
        }
    }
    if (threadIdx.x >= 32) return;
    for (int half = 16; half > 0; half /= 2) {
#pragma unroll
        for (int s = 0; s < SUMS; s++) sums[s] = sums[s] + __shfl_down_sync(~0u, sums[s], half);
    }
}

/* ---- the terms ---------------------------------------------------------------------------------------------------- */

/* An element as it is in memory, so that loading it is one thing and waiting for it another. */
DEVICE uint32_t load_bits(qmm_type type, const unsigned char *base, int64_t index) {
    if (type == QMM_F32) return ((const uint32_t *)base)[index];
    return ((const uint16_t *)base)[index];
}

DEVICE float real_of(qmm_type type, uint32_t bits) {
    if (type == QMM_F32) return __uint_as_float(bits);
    return type == QMM_F16 ? qmmn_f16_to_f32(bits) : qmmn_bf16_to_f32(bits);
}

struct seen {
    int count;
    uint32_t max_error, max_value;
};

DEVICE uint32_t magnitude(float x) {
    return __float_as_uint(x) & 0x7fffffffu;
}

DEVICE void add_pair(float r, float g, float factor, bool inside, float (&sums)[SUMS], seen &seen_here) {
    const bool measured = qmmn_is_finite(r) && qmmn_is_finite(g);
    r = measured ? r : 0.0f;
    g = measured ? g : 0.0f;
    seen_here.count += measured && inside;
    seen_here.max_value = max(seen_here.max_value, max(magnitude(r), magnitude(g)));
    r = r * factor;
    g = g * factor;
    const float e = g - r;
    seen_here.max_error = max(seen_here.max_error, magnitude(e));
    sums[0] = sums[0] + e * e;
    sums[1] = sums[1] + r * r;
    sums[2] = sums[2] + g * g;
    sums[3] = sums[3] + r * g;
}

DEVICE void join_seen(qmmi_cuda_error_found *found, seen here) {
    SHARED_ARRAY(seen, warps, WARPS);
    for (int other = 1; other < 32; other *= 2) {
        here.count += __shfl_xor_sync(~0u, here.count, other);
        here.max_error = max(here.max_error, __shfl_xor_sync(~0u, here.max_error, other));
        here.max_value = max(here.max_value, __shfl_xor_sync(~0u, here.max_value, other));
    }
    if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = here;
    __syncthreads();
    if (threadIdx.x != 0) return;
    for (int warp = 1; warp < WARPS; warp++) {
        here.count += warps[warp].count;
        here.max_error = max(here.max_error, warps[warp].max_error);
        here.max_value = max(here.max_value, warps[warp].max_value);
    }
    atomicAdd((unsigned long long *)&found->count, (unsigned long long)here.count);
    atomicMax(&found->max_error, here.max_error);
    atomicMax(&found->max_value, here.max_value);
}

KERNEL(measure_error_kernel, QMMI_CUDA_ERROR_LANES, 3, qmmi_cuda_error_pairs, a) {
    const unsigned char *reference = at(a.reference.memory, a.reference.offset);
    const unsigned char *got = at(a.got.memory, a.got.offset);
    const int64_t first = (int64_t)blockIdx.x * BLOCK + threadIdx.x, rows = a.got.rows, cols = a.got.cols;
    const int64_t row = (int64_t)((uint64_t)first / (uint64_t)cols);
    int64_t b = (int64_t)((uint64_t)row / (uint64_t)rows), i = row - b * rows, j = first - row * cols;
    uint32_t r[TERMS], g[TERMS];
    float sums[SUMS] = { 0.0f, 0.0f, 0.0f, 0.0f };
    seen here = { 0, 0, 0 };
#pragma unroll
    for (int n = 0; n < TERMS; n++) {
        const bool inside = first + n * LANES < a.terms;
        r[n] = inside ? load_bits(a.reference.type, reference, index_of(a.reference, b, i, j)) : 0;
        g[n] = inside ? load_bits(a.got.type, got, index_of(a.got, b, i, j)) : 0;
        j += a.step_col;
        i += a.step_row + (j >= cols);
        j -= j >= cols ? cols : 0;
        b += a.step_batch + (i >= rows);
        i -= i >= rows ? rows : 0;
    }
#pragma unroll
    for (int n = 0; n < TERMS; n++)
        add_pair(real_of(a.reference.type, r[n]), real_of(a.got.type, g[n]), a.factor, first + n * LANES < a.terms,
                 sums, here);
    join_seen(a.found, here);
    halve(sums);
    if (threadIdx.x != 0) return;
#pragma unroll
    for (int s = 0; s < SUMS; s++) a.sums[s * (int64_t)gridDim.x + blockIdx.x] = sums[s];
}

/* ---- the levels above --------------------------------------------------------------------------------------------- */

KERNEL(measure_error_level_kernel, QMMI_CUDA_ERROR_LANES, 3, qmmi_cuda_error_level, a) {
    const int64_t first = (int64_t)blockIdx.x * BLOCK + threadIdx.x;
    float sums[SUMS];
#pragma unroll
    for (int s = 0; s < SUMS; s++) {
        float terms[TERMS];
#pragma unroll
        for (int n = 0; n < TERMS; n++)
            terms[n] = first + n * LANES < a.terms ? a.from[s * a.terms + first + n * LANES] : 0.0f;
        sums[s] = 0.0f;
#pragma unroll
        for (int n = 0; n < TERMS; n++) sums[s] = sums[s] + terms[n];
    }
    halve(sums);
    if (threadIdx.x != 0) return;
#pragma unroll
    for (int s = 0; s < SUMS; s++) a.to[s * a.blocks + blockIdx.x] = sums[s];
}
