/* SPDX-License-Identifier: Apache-2.0
 *
 * quantize_dynamic: finds scale and zero point of every block of elements that share them, stores them, and quantizes with
 * what was stored. Specification: host/cpu/quantize_dynamic.c.
 *
 *     one pass     a block is a stretch of one row that a thread block holds in registers: it is read once. Short ones
 *                  are done by some lanes of a warp, longer ones by all threads of a block.
 *     two passes   ranges of stretches of rows, or of columns, are gathered by atomic maxima; then parameters are made of
 *                  them; then the kernels of quantize.cu read everything again.
 *
 * A range holds 0, so -min and max are at least 0 and their patterns are ordered as integers. Scales that are written are
 * f32 and zero points s32 (host/validate.c): a pattern has room in the place of either. */
#include "quantize_dynamic.h"
#include "run.cuh"

enum {
    RUN = QMMI_CUDA_DYNAMIC_RUN,
    CHUNK = 8, /* of a run: what no lane has is passed over in chunks */
    WARPS = QMMI_CUDA_DYNAMIC_THREADS / 32,
    ROWS_AHEAD = 4 /* loads under way in a walk down columns */
};

static_assert(RUN % CHUNK == 0, "a run is whole chunks");
static_assert(WARPS <= 32, "the ranges of a block's warps are reduced by one warp");

/* ---- ranges ------------------------------------------------------------------------------------------------------- */

/* min <= 0 <= max. */
struct range {
    float min, max;
};

DEVICE void widen(range &r, const range &other) {
    r.min = min(r.min, other.min);
    r.max = max(r.max, other.max);
}

/* The comparisons pass over NaN. Only where an infinity came through are all elements looked at again. */
template <int run> DEVICE range range_of(const float (&x)[run]) {
    range r = { 0.0f, 0.0f };
#pragma unroll
    for (int e = 0; e < run; e++) widen(r, { x[e], x[e] });
    if (qmmn_is_finite(r.min) && qmmn_is_finite(r.max)) return r;
    r = { 0.0f, 0.0f };
#pragma unroll
    for (int e = 0; e < run; e++) {
        const float value = qmmn_is_finite(x[e]) ? x[e] : 0.0f;
        widen(r, { value, value });
    }
    return r;
}

/* Over the first `lanes` lanes of a warp, a power of two of them; each gets it. */
DEVICE void reduce(range &r, int lanes) {
    for (int other = 1; other < lanes; other *= 2)
        widen(r, { __shfl_xor_sync(~0u, r.min, other), __shfl_xor_sync(~0u, r.max, other) });
}

/* ---- parameters --------------------------------------------------------------------------------------------------- */

/* Block (r, c) of matrix b. */
struct block {
    int64_t b, r, c;
};

struct pair {
    float scale;
    int zero;
};

/* The parameters of a range. */
DEVICE pair choose(const qmmi_quant &to, const range &r) {
    const float low = r.min < 0.0f ? r.min : 0.0f, high = r.max > 0.0f ? r.max : 0.0f; /* -0 becomes 0 */
    if (!to.zero.memory) return { qmmn_symmetric_scale(-low > high ? -low : high, to.qmax), to.zero.integer_value };
    const float scale = qmmn_asymmetric_scale(low, high, to.qmin, to.qmax);
    return { scale, qmmn_asymmetric_zero(low, scale, to.qmin, to.qmax) };
}

DEVICE void store_params(const qmmi_quant &to, const block &where, const pair &params) {
    const int64_t scale = param_index(to.scale, where.b, where.r, where.c);
    store_real(to.scale.type, at(to.scale.memory, to.scale.offset), scale, params.scale);
    if (!to.zero.memory) return;
    const int64_t zero = param_index(to.zero, where.b, where.r, where.c);
    store_code(to.zero.type, at(to.zero.memory, to.zero.offset), zero, params.zero);
}

/* The scale as it is read back. */
DEVICE float as_stored(qmm_type type, float scale) {
    if (type == QMM_F16) return qmmn_f16_to_f32(qmmn_f32_to_f16(scale));
    if (type == QMM_BF16) return qmmn_bf16_to_f32(qmmn_f32_to_bf16(scale));
    return scale;
}

/* ---- one pass ----------------------------------------------------------------------------------------------------- */

/* Over the block; each thread gets it. Every warp reduces the results of all, so that one barrier is enough. */
DEVICE void reduce_block(range &r) {
    SHARED_ARRAY(range, warp_ranges, WARPS);
    const int lane = threadIdx.x % 32;
    reduce(r, 32);
    if (lane == 0) warp_ranges[threadIdx.x / 32] = r;
    __syncthreads();
    r = { 0.0f, 0.0f };
    if (lane < (int)blockDim.x / 32) r = warp_ranges[lane];
    reduce(r, 32);
}

DEVICE unsigned sum_block(unsigned sum) {
    SHARED_ARRAY(unsigned, warp_sums, WARPS);
    if (threadIdx.x % 32 == 0) warp_sums[threadIdx.x / 32] = sum;
    __syncthreads();
    sum = 0;
    for (int warp = 0; warp < (int)blockDim.x / 32; warp++) sum += warp_sums[warp];
    return sum;
}

/* `sum` is over all places that the lanes have, `places` in all; those beyond the row hold the code of 0. */
template <bool whole_block>
DEVICE void store_sum(const qmmi_cuda_quantize_dynamic &a, const place &here, bool stores, unsigned sum, int places,
                      int zero_code) {
    for (int other = 1; other < min(a.lanes, 32); other *= 2) sum += __shfl_xor_sync(~0u, sum, other);
    if (whole_block) sum = sum_block(sum);
    if (!stores) return;
    sum -= (unsigned)(places - (int)a.length) * (unsigned)zero_code;
    ((unsigned *)at(a.p.sums.memory, a.p.sums.offset))[param_index(a.p.sums, here.b, here.i, here.t)] = sum;
}

/* Block of parameters `item`, by `lanes` threads: a power of two within a warp, or the whole thread block. */
template <int run, bool whole_block>
DEVICE void one_pass(const qmmi_cuda_quantize_dynamic &a, int64_t item, int lane, bool active) {
    const qmmi_quant &to = a.p.target_quant;
    const place here = place_of(a.walk, active ? item : 0);
    const int64_t first = here.t * a.length;
    const tile t = make_tile(first, active ? first + a.length : first, run * a.lanes, lane, a.lanes, a.piece);
    float x[run];
    int q[run], places = 0;
    unsigned sum = 0;
    load_reals(a.p.source, here, t, 0.0f, x);
    range r = range_of(x);
    if (whole_block)
        reduce_block(r);
    else
        reduce(r, a.lanes);
    const pair params = choose(to, r);
    const bool stores = active && lane == 0;
    if (stores) store_params(to, { here.b, here.i, here.t }, params);
    const float scale = as_stored(to.scale.type, params.scale);
#pragma unroll
    for (int chunk = 0; chunk < run; chunk += CHUNK) {
        if (chunk * a.lanes >= a.length) continue; /* no lane has any of these */
        places += CHUNK * a.lanes;
#pragma unroll
        for (int e = chunk; e < chunk + CHUNK; e++) {
            q[e] = qmmn_quantize(x[e], scale, params.zero, to.qmin, to.qmax);
            sum += (unsigned)q[e];
        }
    }
    store_codes(a.p.target, here, t, q);
    if (a.sums)
        store_sum<whole_block>(a, here, stores, sum, places, qmmn_round_to_code(0.0f, params.zero, to.qmin, to.qmax));
}

KERNEL(quantize_dynamic_warp_kernel, QMMI_CUDA_RUN_THREADS, QMMI_CUDA_RUN_BLOCKS, qmmi_cuda_quantize_dynamic, a) {
    const int64_t item = first_item(a.walk);
    one_pass<QMMI_CUDA_RUN, false>(a, item, threadIdx.x & (a.lanes - 1), item < a.walk.items);
}

KERNEL(quantize_dynamic_block_kernel, QMMI_CUDA_DYNAMIC_THREADS, 1, qmmi_cuda_quantize_dynamic, a) {
    one_pass<RUN, true>(a, blockIdx.x, threadIdx.x, true);
}

/* ---- two passes --------------------------------------------------------------------------------------------------- */

/* A range under way lies where its parameters go: the pattern of the maximum in the place of the scale, and of -min in that
 * of the zero point; symmetric, that of the larger of the two alone. */
DEVICE unsigned *scale_place(const qmmi_quant &to, const block &where) {
    return (unsigned *)at(to.scale.memory, to.scale.offset) + param_index(to.scale, where.b, where.r, where.c);
}

DEVICE unsigned *zero_place(const qmmi_quant &to, const block &where) {
    return (unsigned *)at(to.zero.memory, to.zero.offset) + param_index(to.zero, where.b, where.r, where.c);
}

/* 0 - and 0 + make no -0. */
DEVICE void join_range(const qmmi_quant &to, const block &where, const range &r) {
    const float low = 0.0f - r.min, high = 0.0f + r.max;
    atomicMax(scale_place(to, where), __float_as_uint(to.zero.memory ? high : max(low, high)));
    if (to.zero.memory) atomicMax(zero_place(to, where), __float_as_uint(low));
}

DEVICE range joined_range(const qmmi_quant &to, const block &where) {
    const float high = __uint_as_float(*scale_place(to, where));
    return { to.zero.memory ? 0.0f - __uint_as_float(*zero_place(to, where)) : 0.0f, high };
}

/* What a warp found. */
DEVICE void join_warp(const qmmi_quant &to, const block &where, range r) {
    reduce(r, 32);
    if (threadIdx.x % 32 == 0) join_range(to, where, r);
}

/* Every block begins with the range 0 .. 0. */
KERNEL(quantize_dynamic_begin_kernel, QMMI_CUDA_RUN_THREADS, QMMI_CUDA_RUN_BLOCKS, qmmi_cuda_quantize_dynamic, a) {
    const int64_t item = first_item(a.walk);
    if (item >= a.walk.items) return;
    const place here = place_of(a.walk, item);
    const block now = { here.b, here.i, here.t };
    *scale_place(a.p.target_quant, now) = 0;
    if (a.p.target_quant.zero.memory) *zero_place(a.p.target_quant, now) = 0;
}

/* Rows are walked over in stretches of `length` elements, each within one block, a warp at a time. */
KERNEL(quantize_dynamic_rows_kernel, QMMI_CUDA_RUN_THREADS, QMMI_CUDA_RUN_BLOCKS, qmmi_cuda_quantize_dynamic, a) {
    const qmmi_quant &to = a.p.target_quant;
    const int size = QMMI_CUDA_RUN * 32, lane = threadIdx.x % 32;
    int64_t item = first_item(a.walk);
    const int64_t end = item + a.walk.span < a.walk.items ? item + a.walk.span : a.walk.items;
    range r = { 0.0f, 0.0f };
    block known = { 0, 0, -1 };
    if (item >= end) return;
    place here = place_of(a.walk, item);
    for (; item < end; item++, next_place(a.walk, here)) {
        const int64_t i = here.i / to.param_cols, c = here.i - i * to.param_cols; /* stretch c of row i */
        const block now = { here.b, block_row(to, i), c };
        const tile t = make_tile(c * a.length + here.t * size, (c + 1) * a.length, size, lane, 32, a.piece);
        float x[QMMI_CUDA_RUN];
        if (known.c >= 0 && (now.c != known.c || now.r != known.r || now.b != known.b)) {
            join_warp(to, known, r);
            r = { 0.0f, 0.0f };
        }
        known = now;
        load_reals(a.p.source, { here.b, i, 0 }, t, 0.0f, x);
        widen(r, range_of(x));
    }
    join_warp(to, known, r);
}

/* A piece of 16 bytes of a row, or one element of it. */
template <int piece> DEVICE void load_row_piece(qmm_type type, const unsigned char *from, float (&x)[piece]) {
    if (piece == 1) {
        x[0] = load_real(type, from, 0);
        return;
    }
    const uint4 four = *(const uint4 *)from;
    const uint32_t raw[4] = { four.x, four.y, four.z, four.w };
#pragma unroll
    for (int n = 0; n < piece; n++) {
        const uint32_t half = raw[n * 4 / piece] >> n % 2 * 16 & 0xffffu;
        x[n] = piece == 4        ? __uint_as_float(raw[n * 4 / piece])
               : type == QMM_F16 ? qmmn_f16_to_f32(half)
                                 : qmmn_bf16_to_f32(half);
    }
}

/* The columns of one piece, from row `begin` to before row `end`, which are in row r of the blocks. */
template <int piece>
DEVICE void widen_columns(const qmmi_cuda_quantize_dynamic &a, const place &here, int64_t r, int64_t begin,
                          int64_t end) {
    const qmmi_view &v = a.p.source;
    const qmmi_quant &to = a.p.target_quant;
    const int bytes = type_bits(v.type) / 8;
    const unsigned char *from = at(v.memory, v.offset) + index_of(v, here.b, begin, here.t * piece) * bytes;
    range ranges[piece];
#pragma unroll
    for (int n = 0; n < piece; n++) ranges[n] = { 0.0f, 0.0f };
    for (int64_t i = begin; i < end; i += ROWS_AHEAD) {
        float x[ROWS_AHEAD][piece];
#pragma unroll
        for (int row = 0; row < ROWS_AHEAD; row++)
            if (i + row < end) load_row_piece<piece>(v.type, from + row * v.row_stride * bytes, x[row]);
#pragma unroll
        for (int row = 0; row < ROWS_AHEAD; row++) {
#pragma unroll
            for (int n = 0; n < piece; n++) {
                const float value = i + row < end && qmmn_is_finite(x[row][n]) ? x[row][n] : 0.0f;
                widen(ranges[n], { value, value });
            }
        }
        from += ROWS_AHEAD * v.row_stride * bytes;
    }
#pragma unroll
    for (int n = 0; n < piece; n++) {
        const block now = { here.b, r, here.t * piece + n };
        if (a.parts > 1)
            join_range(to, now, ranges[n]);
        else
            store_params(to, now, choose(to, ranges[n]));
    }
}

/* Each thread walks down the columns of a piece, through one stretch of rows. Where a stretch is all rows of a block, its
 * parameters are stored at once. */
KERNEL(quantize_dynamic_columns_kernel, QMMI_CUDA_RUN_THREADS, 2, qmmi_cuda_quantize_dynamic, a) {
    const qmmi_quant &to = a.p.target_quant;
    const int64_t item = first_item(a.walk);
    if (item >= a.walk.items) return;
    const place here = place_of(a.walk, item);
    const int64_t r = here.i / a.parts, begin = r * to.block_rows + (here.i - r * a.parts) * a.part_rows;
    const int64_t block_end = (r + 1) * to.block_rows;
    const int64_t end = begin + a.part_rows < block_end ? begin + a.part_rows : block_end;
    switch (a.piece) {
    case 8: widen_columns<8>(a, here, r, begin, end); break;
    case 4: widen_columns<4>(a, here, r, begin, end); break;
    default: widen_columns<1>(a, here, r, begin, end);
    }
}

/* The parameters of each block, from its range. */
KERNEL(quantize_dynamic_end_kernel, QMMI_CUDA_RUN_THREADS, QMMI_CUDA_RUN_BLOCKS, qmmi_cuda_quantize_dynamic, a) {
    const qmmi_quant &to = a.p.target_quant;
    const int64_t item = first_item(a.walk);
    if (item >= a.walk.items) return;
    const place here = place_of(a.walk, item);
    const block now = { here.b, here.i, here.t };
    store_params(to, now, choose(to, joined_range(to, now)));
}
