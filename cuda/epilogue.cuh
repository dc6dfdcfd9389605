/* SPDX-License-Identifier: Apache-2.0
 *
 * The epilogue of matmul on a CUDA device, for runs of 8 columns of one row of C. Specification: host/cpu/epilogue.c
 * and docs/numerics.md; the zero points come out of the accumulators as host/canonical.h derives.
 *
 * Every kernel ends in epilogue_run, or with factors per group of K in add_group and epilogue_finish_run, so kernels
 * can only differ in their accumulators. What varies between problems (types, strides, what there is) is a run-time
 * switch, uniform over a launch. */
#ifndef QMM_CUDA_EPILOGUE_CUH
#define QMM_CUDA_EPILOGUE_CUH

#include "element.cuh"
#include "matmul.h"

#include "../host/numerics_activation.h"

constexpr int EPILOGUE_RUN = 8;

/* Has the problem factors per group of K, so that a single accumulator does not serve it? */
DEVICE bool epilogue_grouped(const qmmi_matmul_problem &p) {
    return (p.a.grouped || p.b.grouped) && p.c.type != QMM_S32;
}

/* ---- zero points ------------------------------------------------------------------------------------------------- */

/* What one row of A, or one column of B, brings to the accumulators of one group. */
struct matmul_side {
    int zero;    /* za', zb' */
    int sum;     /* of A: sum a' - group_size za'; of B: sum b' */
    float scale; /* 1 unless given per group */
};

DEVICE int recentered_zero(const qmmi_operand &o, int recenter, int64_t b, int64_t outer, int64_t group) {
    return zero_at(o.zero, o.zero_min, o.zero_max, b, outer, group) - recenter;
}

DEVICE int recentered_sum(const qmmi_cuda_operand &o, int64_t group_size, int64_t b, int64_t outer, int64_t group) {
    const int64_t index = b * o.sums_batch_stride + group * o.sums_group_stride + outer * o.sums_outer_stride;
    return o.sums[index] - o.recenter * (int)group_size;
}

DEVICE matmul_side side_of_a(const qmmi_cuda_matmul &m, int64_t b, int64_t i, int64_t group) {
    matmul_side side;
    side.zero = m.corrects_a ? recentered_zero(m.p.a, m.a.recenter, b, i, group) : 0;
    side.sum = m.corrects_b ? recentered_sum(m.a, m.p.group_size, b, i, group) - (int)m.p.group_size * side.zero : 0;
    side.scale = m.p.a.grouped ? scale_at(m.p.a.scale, b, i, group) : 1.0f;
    return side;
}

DEVICE matmul_side side_of_b(const qmmi_cuda_matmul &m, int64_t b, int64_t j, int64_t group) {
    matmul_side side;
    side.zero = m.corrects_b ? recentered_zero(m.p.b, m.b.recenter, b, j, group) : 0;
    side.sum = m.corrects_a ? recentered_sum(m.b, m.p.group_size, b, j, group) : 0;
    side.scale = m.p.b.grouped ? scale_at(m.p.b.scale, b, j, group) : 1.0f;
    return side;
}

/* sum a' b' of what the kernel accumulated. */
DEVICE int plain_sum(const qmmi_cuda_matmul &m, int acc) {
    return m.b.bits == 4 ? acc >> 4 : acc;
}

/* What zero points take from sum a' b': za' sum b' + zb' (sum a' - group_size za'). */
DEVICE long long correction(const matmul_side &a, const matmul_side &b) {
    return (long long)a.zero * b.sum + (long long)b.zero * a.sum;
}

/* ---- groups along K ---------------------------------------------------------------------------------------------- */

/* y + ((float)acc * sb) * sa, with the factors that are given per group. y begins as 0; a kernel loads a side once per
 * row, or column, and group. */
DEVICE float add_group(const qmmi_cuda_matmul &m, const matmul_side &a, const matmul_side &b, int acc, float y) {
    float term;
    if (m.corrects_a || m.corrects_b)
        term = (float)(plain_sum(m, acc) - correction(a, b));
    else
        term = (float)plain_sum(m, acc);
    if (m.p.b.grouped) term = term * b.scale;
    if (m.p.a.grouped) term = term * a.scale;
    return y + term;
}

/* ---- runs of 8 --------------------------------------------------------------------------------------------------- */

/* Whole runs that are aligned go by 16 bytes; any other element by element, in a loop that turns the run in registers:
 * a loop over its index would put it into local memory, eight copies of the loop's body would be most of a kernel. */
template <typename T>
DEVICE void turn(T (&v)[8], T next) {
#pragma unroll
    for (int n = 0; n < 7; n++) v[n] = v[n + 1];
    v[7] = next;
}

DEVICE bool is_aligned(const void *address, unsigned bytes) {
    return ((uintptr_t)address & (bytes - 1)) == 0;
}

/* The 32-bit words at first, first + step, ...; `count` of them, zeros behind. */
DEVICE void load_words(const void *first, int64_t step, int count, uint32_t (&v)[8]) {
    if (count == 8 && step == 1 && is_aligned(first, 16)) {
        const uint4 x = ((const uint4 *)first)[0], y = ((const uint4 *)first)[1];
        v[0] = x.x, v[1] = x.y, v[2] = x.z, v[3] = x.w, v[4] = y.x, v[5] = y.y, v[6] = y.z, v[7] = y.w;
        return;
    }
    const uint32_t *word = (const uint32_t *)first;
#pragma unroll
    for (int n = 0; n < 8; n++) v[n] = 0; /* or the compiler keeps registers for it from the kernel's start on */
#pragma unroll 1
    for (int n = 0; n < 8; n++, word += step) turn(v, n < count ? *word : 0u);
}

/* The halves at first, first + step, ... as f32. */
DEVICE void load_halves(qmm_type type, const void *first, int64_t step, int count, float (&v)[8]) {
    uint32_t pair[4] = { 0, 0, 0, 0 };
    if (count == 8 && step == 1 && is_aligned(first, 16)) {
        const uint4 x = *(const uint4 *)first;
        pair[0] = x.x, pair[1] = x.y, pair[2] = x.z, pair[3] = x.w;
    } else {
        const uint16_t *half = (const uint16_t *)first;
#pragma unroll 1
        for (int n = 0; n < 4; n++, half += 2 * step) {
            const uint32_t low = 2 * n < count ? half[0] : 0, high = 2 * n + 1 < count ? half[step] : 0;
            pair[0] = pair[1], pair[1] = pair[2], pair[2] = pair[3], pair[3] = low | high << 16;
        }
    }
#pragma unroll
    for (int n = 0; n < 8; n++) {
        const uint32_t pattern = n % 2 ? pair[n / 2] >> 16 : pair[n / 2] & 0xffffu;
        v[n] = type == QMM_F16 ? qmmn_f16_to_f32(pattern) : qmmn_bf16_to_f32(pattern);
    }
}

/* The reals at index, index + step, ...; `count` of them. */
DEVICE void load_run(qmm_type type, const unsigned char *base, int64_t index, int64_t step, int count, float (&v)[8]) {
    uint32_t word[8];
    if (type != QMM_F32) {
        load_halves(type, base + index * 2, step, count, v);
        return;
    }
    load_words(base + index * 4, step, count, word);
#pragma unroll
    for (int n = 0; n < 8; n++) v[n] = __uint_as_float(word[n]);
}

/* Stores the low `bytes` (1, 2, 4) of `count` words. */
DEVICE void store_run(unsigned char *to, int bytes, int count, uint32_t (&word)[8]) {
    if (count < 8 || !is_aligned(to, bytes == 1 ? 8 : 16)) {
#pragma unroll 1
        for (int n = 0; n < count; n++, to += bytes) {
            if (bytes == 4)
                *(uint32_t *)to = word[0];
            else if (bytes == 2)
                *(uint16_t *)to = (uint16_t)word[0];
            else
                *to = (unsigned char)word[0];
            turn(word, 0u);
        }
    } else if (bytes == 4) {
        ((uint4 *)to)[0] = make_uint4(word[0], word[1], word[2], word[3]);
        ((uint4 *)to)[1] = make_uint4(word[4], word[5], word[6], word[7]);
    } else {
        const uint32_t w0 = __byte_perm(word[0], word[1], 0x5410), w1 = __byte_perm(word[2], word[3], 0x5410);
        const uint32_t w2 = __byte_perm(word[4], word[5], 0x5410), w3 = __byte_perm(word[6], word[7], 0x5410);
        if (bytes == 2)
            *(uint4 *)to = make_uint4(w0, w1, w2, w3);
        else
            *(uint2 *)to = make_uint2(__byte_perm(w0, w1, 0x6420), __byte_perm(w2, w3, 0x6420));
    }
}

/* ---- factors, bias, residual, activation ------------------------------------------------------------------------- */

DEVICE void multiply_by_b(const qmmi_param &scale, int64_t b, int64_t j, int count, float (&y)[8]) {
    float s[8];
    if (!scale.memory || scale.row_stride == 0) {
        const float one = scale_at(scale, b, 0, 0);
#pragma unroll
        for (int n = 0; n < 8; n++) y[n] = y[n] * one;
        return;
    }
    load_run(scale.type, at(scale.memory, scale.offset), param_index(scale, b, j, 0), scale.row_stride, count, s);
#pragma unroll
    for (int n = 0; n < 8; n++) y[n] = y[n] * s[n];
}

DEVICE void multiply_by_a(const qmmi_param &scale, int64_t b, int64_t i, float (&y)[8]) {
    const float s = scale_at(scale, b, i, 0);
#pragma unroll
    for (int n = 0; n < 8; n++) y[n] = y[n] * s;
}

/* An f32 bias. */
DEVICE void add_bias(const qmmi_param &bias, int64_t b, int64_t j, int count, float (&y)[8]) {
    float s[8];
    load_run(QMM_F32, at(bias.memory, bias.offset), param_index(bias, b, 0, j), bias.col_stride, count, s);
#pragma unroll
    for (int n = 0; n < 8; n++) y[n] = y[n] + s[n];
}

DEVICE void add_residual(const qmmi_view &r, int64_t b, int64_t i, int64_t j, int count, float (&y)[8]) {
    float s[8];
    load_run(r.type, at(r.memory, r.offset), index_of(r, b, i, j), 1, count, s);
#pragma unroll
    for (int n = 0; n < 8; n++) y[n] = y[n] + s[n];
}

DEVICE float activation_of(qmm_activation activation, float x) {
    switch (activation) {
    case QMM_ACTIVATION_RELU: return qmmn_relu(x);
    case QMM_ACTIVATION_GELU: return qmmn_gelu(x);
    case QMM_ACTIVATION_GELU_TANH: return qmmn_gelu_tanh(x);
    case QMM_ACTIVATION_SILU: return qmmn_silu(x);
    default: return x;
    }
}

/* Two elements at a time, to have two chains of operations under way. */
DEVICE void activate(qmm_activation activation, float (&y)[8]) {
#pragma unroll 1
    for (int n = 0; n < 4; n++) {
        const float first = activation_of(activation, y[0]), second = activation_of(activation, y[1]);
        turn(y, first);
        turn(y, second);
    }
}

/* ---- the store --------------------------------------------------------------------------------------------------- */

/* Where a run goes: to C, of which `count` of the 8 columns are there. Another place has the same two members. */
struct run_of_c {
    const qmmi_view &c;
    int64_t b, i, j;
    int count;

    DEVICE unsigned char *first(int bytes) const { return at(c.memory, c.offset) + index_of(c, b, i, j) * bytes; }
};

/* Block of `index`; 0 where the parameter does not vary this way. */
DEVICE int64_t block_of(int64_t index, int64_t block, bool varies) {
    return !varies ? 0 : block == 1 ? index : index / block;
}

/* Floats, as bits, become codes. */
DEVICE void quantize_run(const qmmi_quant &quant, int64_t b, int64_t i, int64_t j, int count, uint32_t (&word)[8]) {
    const int64_t r = block_of(i, quant.block_rows, quant.scale.row_stride || quant.zero.row_stride);
    const bool vary = quant.scale.col_stride || quant.zero.col_stride;
    float scale = 1.0f;
    int zero = 0;
#pragma unroll 1
    for (int n = 0; n < 8; n++) {
        if (n == 0 || (vary && n < count)) {
            const int64_t c = block_of(j + n, quant.block_cols, vary);
            scale = scale_at(quant.scale, b, r, c);
            zero = zero_at(quant.zero, quant.zero_min, quant.zero_max, b, r, c);
        }
        turn(word, (uint32_t)qmmn_quantize(__uint_as_float(word[0]), scale, zero, quant.qmin, quant.qmax));
    }
}

template <class TARGET>
DEVICE void store_y(const qmmi_matmul_problem &p, int64_t b, int64_t i, int64_t j, int count, const TARGET &target,
                    const float (&y)[8]) {
    uint32_t word[8];
    int bytes = 4;
#pragma unroll
    for (int n = 0; n < 8; n++) word[n] = __float_as_uint(y[n]);
    if (p.c.type == QMM_F16 || p.c.type == QMM_BF16) {
        bytes = 2;
#pragma unroll
        for (int n = 0; n < 8; n++) word[n] = p.c.type == QMM_F16 ? qmmn_f32_to_f16(y[n]) : qmmn_f32_to_bf16(y[n]);
    } else if (p.c.type != QMM_F32) {
        bytes = p.c.type == QMM_S8 || p.c.type == QMM_U8 ? 1 : 2;
        quantize_run(p.c_quant, b, i, j, count, word);
    }
    store_run(target.first(bytes), bytes, target.count, word);
}

template <class TARGET>
DEVICE void store_s32(const TARGET &target, const long long (&acc)[8]) {
    uint32_t word[8];
#pragma unroll
    for (int n = 0; n < 8; n++)
        word[n] = (uint32_t)(int)(acc[n] < INT32_MIN ? INT32_MIN : acc[n] > INT32_MAX ? INT32_MAX : acc[n]);
    store_run(target.first(4), 4, target.count, word);
}

/* ---- the whole: columns j .. j + count of row i of matrix b, count <= 8 ------------------------------------------ */

/* What follows the last group, or y = (float)acc where there is none: the factors not given per group, and the rest of
 * the epilogue. Changes y. */
template <class TARGET>
DEVICE void epilogue_finish_run(const qmmi_matmul_problem &p, int64_t b, int64_t i, int64_t j, int count,
                                const TARGET &target, float (&y)[8]) {
    if (!p.b.grouped) multiply_by_b(p.b.scale, b, j, count, y);
    if (!p.a.grouped) multiply_by_a(p.a.scale, b, i, y);
    if (p.bias.memory && p.bias.type == QMM_F32) add_bias(p.bias, b, j, count, y);
    if (p.residual.memory) add_residual(p.residual, b, i, j, count, y);
    if (p.activation != QMM_ACTIVATION_NONE) activate(p.activation, y);
    store_y(p, b, i, j, count, target, y);
}

/* From exact accumulators: an s32 bias, and an s32 C; is that all? Else y = (float)acc. */
template <class TARGET>
DEVICE bool epilogue_integer_run(const qmmi_matmul_problem &p, int64_t b, int64_t j, int count, const TARGET &target,
                                 long long (&acc)[8], float (&y)[8]) {
    if (p.bias.memory && p.bias.type == QMM_S32) {
        uint32_t bias[8];
        load_words(at(p.bias.memory, p.bias.offset) + param_index(p.bias, b, 0, j) * 4, p.bias.col_stride, count, bias);
#pragma unroll
        for (int n = 0; n < 8; n++) acc[n] += (int)bias[n];
    }
    if (p.c.type == QMM_S32) {
        store_s32(target, acc);
        return true;
    }
#pragma unroll
    for (int n = 0; n < 8; n++) y[n] = (float)acc[n];
    return false;
}

/* Takes the zero points of A out of a run of sums: za' sum b' of one group. */
DEVICE void correct_a(const qmmi_cuda_matmul &m, int zero, int64_t b, int64_t j, int64_t group, int count,
                      long long (&acc)[8]) {
    const int64_t index = b * m.b.sums_batch_stride + group * m.b.sums_group_stride + j * m.b.sums_outer_stride;
    const int recenter = m.b.recenter * (int)m.p.group_size;
    uint32_t sum[8];
    load_words(m.b.sums + index, m.b.sums_outer_stride, count, sum);
#pragma unroll
    for (int n = 0; n < 8; n++) acc[n] -= (long long)zero * ((int)sum[n] - recenter);
}

/* ... and those of B: zb' (sum a' - group_size za'). */
DEVICE void correct_b(const qmmi_cuda_matmul &m, int sum, int64_t b, int64_t j, int64_t group, int count,
                      long long (&acc)[8]) {
    const bool vary = m.p.b.zero.row_stride != 0;
    int zero = 0;
#pragma unroll 1
    for (int n = 0; n < 8; n++) {
        if (n == 0 || (vary && n < count)) zero = recentered_zero(m.p.b, m.b.recenter, b, j + n, group);
        turn(acc, acc[0] - (long long)zero * sum);
    }
}

DEVICE void correct_run(const qmmi_cuda_matmul &m, int64_t b, int64_t i, int64_t j, int count, long long (&acc)[8]) {
#pragma unroll 1
    for (int64_t group = 0; group < m.p.groups; group++) {
        const matmul_side a = side_of_a(m, b, i, group);
        if (m.corrects_a) correct_a(m, a.zero, b, j, group, count, acc);
        if (m.corrects_b) correct_b(m, a.sum, b, j, group, count, acc);
    }
}

/* Raw accumulators as y, or all done: an s32 C. */
template <class TARGET>
DEVICE bool epilogue_raw_run(const qmmi_cuda_matmul &m, int64_t b, int64_t i, int64_t j, int count, const TARGET &target,
                             const int (&acc)[8], float (&y)[8]) {
    const bool corrects = m.corrects_a || m.corrects_b;
    const bool s32_bias = m.p.bias.memory && m.p.bias.type == QMM_S32;
    if (corrects || s32_bias || m.p.c.type == QMM_S32) {
        long long wide[8];
#pragma unroll
        for (int n = 0; n < 8; n++) wide[n] = plain_sum(m, acc[n]);
        if (corrects) correct_run(m, b, i, j, count, wide);
        return epilogue_integer_run(m.p, b, j, count, target, wide, y);
    }
#pragma unroll
    for (int n = 0; n < 8; n++) y[n] = (float)plain_sum(m, acc[n]);
    return false;
}

/* One raw accumulator an element: the whole epilogue, and the store. */
template <class TARGET>
DEVICE void epilogue_run(const qmmi_cuda_matmul &m, int64_t b, int64_t i, int64_t j, int count, const TARGET &target,
                         const int (&acc)[8]) {
    float y[8];
    if (!epilogue_raw_run(m, b, i, j, count, target, acc, y)) epilogue_finish_run(m.p, b, i, j, count, target, y);
}

/* ... to C, and where the words may be the floats of a grouped problem, as bits. */
DEVICE void epilogue_words(const qmmi_cuda_matmul &m, bool grouped, int64_t b, int64_t i, int64_t j, int count,
                           const int (&word)[8]) {
    const run_of_c c = { m.p.c, b, i, j, count };
    float y[8];
    if (grouped) {
#pragma unroll
        for (int n = 0; n < 8; n++) y[n] = __int_as_float(word[n]);
    } else if (epilogue_raw_run(m, b, i, j, count, c, word, y)) {
        return;
    }
    epilogue_finish_run(m.p, b, i, j, count, c, y);
}

#endif
