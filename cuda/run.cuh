/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs of elements: what the kernels that are limited by memory are made of. run.h has the picture of a tile and of its
 * pieces. All loads of a run are under way before the first value is used.
 *
 * The element types and the piece are run-time values, the same for the whole launch (and, in the last tile of a row, for
 * all lanes of the tile): a branch costs little beside 16 elements of memory traffic, and one kernel serves all types. */
#ifndef QMM_CUDA_RUN_CUH
#define QMM_CUDA_RUN_CUH

#include "element.cuh"
#include "run.h"

static_assert(QMMI_CUDA_RUN % 16 == 0, "a run is whole pieces of every size");
static_assert(QMMI_CUDA_RUN_THREADS % 32 == 0, "a block is whole warps, which tiles do not straddle");

/* ---- where a tile is ---------------------------------------------------------------------------------------------- */

/* Tile t of row i of matrix b. */
struct place {
    int64_t b, i, t;
};

/* One matrix, as most calls have it, costs one division; 64-bit divisions are short where both sides fit 32 bits. */
DEVICE place place_of(const qmmi_cuda_walk &w, int64_t item) {
    const int64_t row = (int64_t)((uint64_t)item / (uint64_t)w.tiles);
    const int64_t b = row < w.rows ? 0 : (int64_t)((uint64_t)row / (uint64_t)w.rows);
    return { b, row - b * w.rows, item - row * w.tiles };
}

/* The first tile of this thread, numbered over the grid. */
DEVICE int64_t first_item(const qmmi_cuda_walk &w) {
    return (((int64_t)blockIdx.x * blockDim.x + threadIdx.x) >> w.lanes_log2) * w.span;
}

DEVICE void next_place(const qmmi_cuda_walk &w, place &here) {
    if (++here.t < w.tiles) return;
    here.t = 0;
    if (++here.i < w.rows) return;
    here.i = 0;
    here.b++;
}

/* ---- a tile ------------------------------------------------------------------------------------------------------- */

struct tile {
    int64_t first; /* column */
    int count;     /* of the tile's elements, those in the row */
    int lane, lanes;
    int piece; /* elements; no piece is partly in the row but where it is QMMI_CUDA_SINGLE */
};

DEVICE int smaller(int64_t x, int64_t y) {
    return (int)(x < y ? x : y);
}

/* Columns from `first` on, at most `size` and none from `end` on. Only where all of them are whole pieces, and the first
 * is where a piece of the row begins, are they taken in pieces. */
DEVICE tile make_tile(int64_t first, int64_t end, int size, int lane, int lanes, int piece) {
    const int count = smaller(end - first, size);
    return { first, count, lane, lanes, (((int)first | count) & (piece - 1)) == 0 ? piece : (int)QMMI_CUDA_SINGLE };
}

DEVICE tile tile_at(const qmmi_cuda_walk &w, const place &here, int64_t cols, int piece) {
    const int lanes = 1 << w.lanes_log2, size = QMMI_CUDA_RUN << w.lanes_log2;
    return make_tile(here.t * size, cols, size, threadIdx.x & (lanes - 1), lanes, piece);
}

/* Where element e of this thread's run is in the tile. */
template <int piece> DEVICE int in_tile(const tile &t, int e) {
    return (e / piece * t.lanes + t.lane) * piece + e % piece;
}

/* The same, where the piece is known at run time only. */
DEVICE int in_tile(const tile &t, int piece_log2, int e) {
    return (((e >> piece_log2) * t.lanes + t.lane) << piece_log2) + (e & ((1 << piece_log2) - 1));
}

DEVICE int type_bits(qmm_type type) {
    switch (type) {
    case QMM_S4:
    case QMM_U4: return 4;
    case QMM_S8:
    case QMM_U8: return 8;
    case QMM_S16:
    case QMM_U16:
    case QMM_F16:
    case QMM_BF16: return 16;
    default: return 32;
    }
}

/* The byte that the tile begins in. A tile of 4-bit elements begins at an odd one only in groups of odd length. */
DEVICE unsigned char *tile_start(const qmmi_view &v, const place &here, const tile &t) {
    const int64_t index = index_of(v, here.b, here.i, t.first);
    return at(v.memory, v.offset) + (index * type_bits(v.type) >> 3);
}

/* ---- pieces: bits ------------------------------------------------------------------------------------------------- */

/* Words that hold a piece. One of four 4-bit elements fills half a word. */
template <int piece, int bits> struct words_of { static const int count = piece * bits < 32 ? 1 : piece * bits / 32; };

/* The pieces of a run that are in the row, as they are in memory; others are words of `outside`. */
template <int run, int piece, int bits>
DEVICE void load_pieces(const unsigned char *from, const tile &t, uint32_t outside,
                        uint32_t (&raw)[run / piece * words_of<piece, bits>::count]) {
    const int words = words_of<piece, bits>::count;
#pragma unroll
    for (int k = 0; k < run / piece; k++) {
        const int col = in_tile<piece>(t, k * piece);
        const unsigned char *p = from + col * bits / 8;
        uint32_t *const w = raw + k * words;
#pragma unroll
        for (int n = 0; n < words; n++) w[n] = outside;
        if (col >= t.count) continue;
        if (piece * bits == 16) {
            w[0] = *(const uint16_t *)p;
        } else if (words == 1) {
            w[0] = *(const uint32_t *)p;
        } else if (words == 2) {
            const uint2 pair = *(const uint2 *)p;
            w[0] = pair.x, w[1] = pair.y;
        } else {
            const uint4 four = *(const uint4 *)p;
            w[0] = four.x, w[1] = four.y, w[2] = four.z, w[3] = four.w;
        }
    }
}

template <int run, int piece, int bits>
DEVICE void store_pieces(unsigned char *to, const tile &t,
                         const uint32_t (&raw)[run / piece * words_of<piece, bits>::count]) {
    const int words = words_of<piece, bits>::count;
#pragma unroll
    for (int k = 0; k < run / piece; k++) {
        const int col = in_tile<piece>(t, k * piece);
        unsigned char *p = to + col * bits / 8;
        const uint32_t *const w = raw + k * words;
        if (col >= t.count) continue;
        if (piece * bits == 16)
            *(uint16_t *)p = (uint16_t)w[0];
        else if (words == 1)
            *(uint32_t *)p = w[0];
        else if (words == 2)
            *(uint2 *)p = make_uint2(w[0], w[1]);
        else
            *(uint4 *)p = make_uint4(w[0], w[1], w[2], w[3]);
    }
}

/* Element e of the words of a run, and which of their bits it is. */
template <int piece, int bits> DEVICE int word_of(int e) {
    return e / piece * words_of<piece, bits>::count + e % piece * bits / 32;
}

template <int piece, int bits> DEVICE int shift_of(int e) {
    return e % piece * bits % 32;
}

/* ---- reals -------------------------------------------------------------------------------------------------------- */

template <int run>
DEVICE void load_single_reals(qmm_type type, const unsigned char *from, const tile &t, float outside, float (&x)[run]) {
    if (type == QMM_F32) {
#pragma unroll
        for (int e = 0; e < run; e++) {
            const int col = in_tile<QMMI_CUDA_SINGLE>(t, e);
            x[e] = col < t.count ? ((const float *)from)[col] : outside;
        }
    } else {
        uint32_t bits[run];
#pragma unroll
        for (int e = 0; e < run; e++) {
            const int col = in_tile<QMMI_CUDA_SINGLE>(t, e);
            bits[e] = col < t.count     ? ((const uint16_t *)from)[col]
                      : type == QMM_F16 ? qmmn_f32_to_f16(outside)
                                        : qmmn_f32_to_bf16(outside);
        }
#pragma unroll
        for (int e = 0; e < run; e++) x[e] = type == QMM_F16 ? qmmn_f16_to_f32(bits[e]) : qmmn_bf16_to_f32(bits[e]);
    }
}

/* A run as f32; elements beyond the row are `outside`. A piece is 16 bytes here. */
template <int run>
DEVICE void load_reals(const qmmi_view &v, const place &here, const tile &t, float outside, float (&x)[run]) {
    const unsigned char *from = tile_start(v, here, t);
    if (t.piece == QMMI_CUDA_SINGLE) {
        load_single_reals(v.type, from, t, outside, x);
    } else if (v.type == QMM_F32) {
        uint32_t raw[run];
        load_pieces<run, 4, 32>(from, t, __float_as_uint(outside), raw);
#pragma unroll
        for (int e = 0; e < run; e++) x[e] = __uint_as_float(raw[e]);
    } else {
        const uint32_t half = v.type == QMM_F16 ? qmmn_f32_to_f16(outside) : qmmn_f32_to_bf16(outside);
        uint32_t raw[run / 2];
        load_pieces<run, 8, 16>(from, t, half * 0x10001u, raw);
        if (v.type == QMM_F16) {
#pragma unroll
            for (int e = 0; e < run; e++) x[e] = qmmn_f16_to_f32(raw[e / 2] >> e % 2 * 16 & 0xffffu);
        } else {
#pragma unroll
            for (int e = 0; e < run; e++) x[e] = qmmn_bf16_to_f32(raw[e / 2] >> e % 2 * 16 & 0xffffu);
        }
    }
}

template <int run>
DEVICE void store_single_reals(qmm_type type, unsigned char *to, const tile &t, const float (&x)[run]) {
#pragma unroll
    for (int e = 0; e < run; e++) {
        const int col = in_tile<QMMI_CUDA_SINGLE>(t, e);
        if (col < t.count) store_real(type, to, col, x[e]);
    }
}

template <int piece, int run> DEVICE void store_halves(unsigned char *to, const tile &t, const uint32_t (&half)[run]) {
    uint32_t raw[run / 2];
#pragma unroll
    for (int n = 0; n < run / 2; n++) raw[n] = half[2 * n] | half[2 * n + 1] << 16;
    store_pieces<run, piece, 16>(to, t, raw);
}

template <int run>
DEVICE void store_reals(const qmmi_view &v, const place &here, const tile &t, const float (&x)[run]) {
    unsigned char *to = tile_start(v, here, t);
    uint32_t bits[run];
    if (t.piece == QMMI_CUDA_SINGLE) {
        store_single_reals(v.type, to, t, x);
        return;
    }
    if (v.type == QMM_F32) {
#pragma unroll
        for (int e = 0; e < run; e++) bits[e] = __float_as_uint(x[e]);
        store_pieces<run, 4, 32>(to, t, bits);
        return;
    }
    if (v.type == QMM_F16) {
#pragma unroll
        for (int e = 0; e < run; e++) bits[e] = qmmn_f32_to_f16(x[e]);
    } else {
#pragma unroll
        for (int e = 0; e < run; e++) bits[e] = qmmn_f32_to_bf16(x[e]);
    }
    if (t.piece == 4)
        store_halves<4>(to, t, bits);
    else
        store_halves<8>(to, t, bits);
}

/* ---- codes -------------------------------------------------------------------------------------------------------- */

/* The sign bit of a code, 0 for unsigned ones: (pattern ^ sign) - sign is the code. */
DEVICE int sign_bit(qmm_type type) {
    return type == QMM_S4 || type == QMM_S8 || type == QMM_S16 ? 1 << (type_bits(type) - 1) : 0;
}

template <int run>
DEVICE void load_single_codes(qmm_type type, const unsigned char *from, const tile &t, int (&q)[run]) {
    const int skew = type_bits(type) == 4 ? (int)(t.first & 1) : 0;
#pragma unroll
    for (int e = 0; e < run; e++) {
        const int col = in_tile<QMMI_CUDA_SINGLE>(t, e);
        q[e] = col < t.count ? load_code(type, from, col + skew) : 0;
    }
}

template <int piece, int bits, int run>
DEVICE void load_piece_codes(const unsigned char *from, const tile &t, int sign, int (&q)[run]) {
    uint32_t raw[run / piece * words_of<piece, bits>::count];
    load_pieces<run, piece, bits>(from, t, 0, raw);
#pragma unroll
    for (int e = 0; e < run; e++) {
        const uint32_t word = raw[word_of<piece, bits>(e)] >> shift_of<piece, bits>(e);
        q[e] = bits == 32 ? (int)word : (int)((word & ((1u << bits % 32) - 1u)) ^ (uint32_t)sign) - sign;
    }
}

/* A run; elements beyond the row are 0. */
template <int run> DEVICE void load_codes(const qmmi_view &v, const place &here, const tile &t, int (&q)[run]) {
    const unsigned char *from = tile_start(v, here, t);
    const int sign = sign_bit(v.type);
    switch (t.piece << 8 | type_bits(v.type)) {
    case 4 << 8 | 4: load_piece_codes<4, 4>(from, t, sign, q); break;
    case 4 << 8 | 8: load_piece_codes<4, 8>(from, t, sign, q); break;
    case 4 << 8 | 16: load_piece_codes<4, 16>(from, t, sign, q); break;
    case 4 << 8 | 32: load_piece_codes<4, 32>(from, t, sign, q); break;
    case 8 << 8 | 4: load_piece_codes<8, 4>(from, t, sign, q); break;
    case 8 << 8 | 8: load_piece_codes<8, 8>(from, t, sign, q); break;
    case 8 << 8 | 16: load_piece_codes<8, 16>(from, t, sign, q); break;
    case 16 << 8 | 4: load_piece_codes<16, 4>(from, t, sign, q); break;
    case 16 << 8 | 8: load_piece_codes<16, 8>(from, t, sign, q); break;
    default: load_single_codes(v.type, from, t, q);
    }
}

/* A byte of two 4-bit elements is one thread's; where a row ends in the middle of one, its other half stays. */
template <int run>
DEVICE void store_single_codes(qmm_type type, unsigned char *to, const tile &t, const int (&q)[run]) {
#pragma unroll
    for (int e = 0; e < run; e += 2) {
        const int col = in_tile<QMMI_CUDA_SINGLE>(t, e);
        if (col >= t.count) continue;
        if (type_bits(type) == 4) {
            const int high = col + 1 < t.count ? q[e + 1] : to[col / 2] >> 4;
            to[col / 2] = (unsigned char)((q[e] & 15) | (high & 15) << 4);
        } else {
            store_code(type, to, col, q[e]);
            if (col + 1 < t.count) store_code(type, to, col + 1, q[e + 1]);
        }
    }
}

template <int piece, int bits, int run>
DEVICE void store_piece_codes(unsigned char *to, const tile &t, const int (&q)[run]) {
    const int words = run / piece * words_of<piece, bits>::count;
    uint32_t raw[words];
#pragma unroll
    for (int n = 0; n < words; n++) raw[n] = 0;
#pragma unroll
    for (int e = 0; e < run; e++)
        raw[word_of<piece, bits>(e)] |= ((uint32_t)q[e] & ((1u << bits) - 1u)) << shift_of<piece, bits>(e);
    store_pieces<run, piece, bits>(to, t, raw);
}

template <int run> DEVICE void store_codes(const qmmi_view &v, const place &here, const tile &t, const int (&q)[run]) {
    unsigned char *to = tile_start(v, here, t);
    switch (t.piece << 8 | type_bits(v.type)) {
    case 4 << 8 | 4: store_piece_codes<4, 4>(to, t, q); break;
    case 4 << 8 | 8: store_piece_codes<4, 8>(to, t, q); break;
    case 4 << 8 | 16: store_piece_codes<4, 16>(to, t, q); break;
    case 8 << 8 | 4: store_piece_codes<8, 4>(to, t, q); break;
    case 8 << 8 | 8: store_piece_codes<8, 8>(to, t, q); break;
    case 8 << 8 | 16: store_piece_codes<8, 16>(to, t, q); break;
    case 16 << 8 | 4: store_piece_codes<16, 4>(to, t, q); break;
    case 16 << 8 | 8: store_piece_codes<16, 8>(to, t, q); break;
    default: store_single_codes(v.type, to, t, q);
    }
}

/* ---- parameters --------------------------------------------------------------------------------------------------- */

/* Where a row has one block, a run has one pair of parameters. Zero points are clamped only when they are used, so that
 * nobody waits for one before he must. */
struct row_params {
    float scale;
    int zero;
};

/* Else a pair an element. */
struct block_params {
    float scale[QMMI_CUDA_RUN];
    int zero[QMMI_CUDA_RUN];
};

DEVICE float scale_of(const row_params &params, int) {
    return params.scale;
}

DEVICE float scale_of(const block_params &params, int e) {
    return params.scale[e];
}

DEVICE int zero_of(const row_params &params, int) {
    return params.zero;
}

DEVICE int zero_of(const block_params &params, int e) {
    return params.zero[e];
}

DEVICE int clamp_zero(const qmmi_quant &q, int zero) {
    return zero < q.zero_min ? q.zero_min : zero > q.zero_max ? q.zero_max : zero;
}

DEVICE float stored_scale(const qmmi_param &p, int64_t index) {
    return p.memory ? load_real(p.type, at(p.memory, p.offset), index) : p.real_value;
}

DEVICE int stored_zero(const qmmi_param &p, int64_t index) {
    return p.memory ? load_code(p.type, at(p.memory, p.offset), index) : p.integer_value;
}

/* Row of blocks that row i lies in: a division only for groups of rows. */
DEVICE int64_t block_row(const qmmi_quant &q, int64_t i) {
    return q.param_rows == 1 ? 0 : q.block_rows == 1 ? i : (int64_t)((uint64_t)i / (uint64_t)q.block_rows);
}

DEVICE void load_params(const qmmi_quant &q, const place &here, const tile &, row_params &params) {
    const int64_t r = block_row(q, here.i);
    params.scale = stored_scale(q.scale, param_index(q.scale, here.b, r, 0));
    params.zero = stored_zero(q.zero, param_index(q.zero, here.b, r, 0));
}

/* Which columns of blocks the elements of a run lie in, counted from the result; 0 beyond the row. Where blocks are whole
 * pieces, one division serves a piece. */
DEVICE int64_t find_blocks(const qmmi_quant &q, const tile &t, int (&blocks)[QMMI_CUDA_RUN]) {
    const int64_t limit = 1 << 30; /* longer blocks: a tile meets one end at most, and how far it is suffices */
    const int64_t first = (int64_t)((uint64_t)t.first / (uint64_t)q.block_cols);
    const int64_t left = (first + 1) * q.block_cols - t.first;
    const unsigned width = (unsigned)smaller(q.block_cols, limit), into = left < width ? width - (unsigned)left : 0;
    const int piece_log2 = 31 - __clz(t.piece), within = t.piece - 1;
    const bool whole_pieces = (width & (unsigned)within) == 0;
#pragma unroll
    for (int e = 0; e < QMMI_CUDA_RUN; e++) {
        const int col = in_tile(t, piece_log2, e);
        if (width == 1)
            blocks[e] = col;
        else if (e == 0 || (e & within) == 0 || !whole_pieces)
            blocks[e] = (int)((into + (unsigned)col) / width);
        else
            blocks[e] = blocks[e - 1];
        if (col >= t.count) blocks[e] = 0;
    }
    return first;
}

DEVICE void load_params(const qmmi_quant &q, const place &here, const tile &t, block_params &params) {
    const int64_t r = block_row(q, here.i);
    int blocks[QMMI_CUDA_RUN];
    const int64_t first = find_blocks(q, t, blocks);
    const int64_t scale = param_index(q.scale, here.b, r, first), zero = param_index(q.zero, here.b, r, first);
#pragma unroll
    for (int e = 0; e < QMMI_CUDA_RUN; e++)
        params.scale[e] = stored_scale(q.scale, scale + blocks[e] * q.scale.col_stride);
#pragma unroll
    for (int e = 0; e < QMMI_CUDA_RUN; e++) params.zero[e] = stored_zero(q.zero, zero + blocks[e] * q.zero.col_stride);
}

/* ---- conversions -------------------------------------------------------------------------------------------------- */

template <typename params_type>
DEVICE void quantize_run(const qmmi_quant &to, const params_type &params, const float (&x)[QMMI_CUDA_RUN],
                         int (&q)[QMMI_CUDA_RUN]) {
#pragma unroll
    for (int e = 0; e < QMMI_CUDA_RUN; e++)
        q[e] = qmmn_quantize(x[e], scale_of(params, e), clamp_zero(to, zero_of(params, e)), to.qmin, to.qmax);
}

/* qmmn_dequantize without 64 bits, which GPUs convert slowly: the difference of a code of at most 16 bits and a clamped
 * zero point fits an int, and the zero point of s32 is 0. */
template <typename params_type>
DEVICE void dequantize_run(const qmmi_quant &from, const params_type &params, const int (&q)[QMMI_CUDA_RUN],
                           float (&x)[QMMI_CUDA_RUN]) {
#pragma unroll
    for (int e = 0; e < QMMI_CUDA_RUN; e++)
        x[e] = (float)(q[e] - clamp_zero(from, zero_of(params, e))) * scale_of(params, e);
}

#endif
