/* SPDX-License-Identifier: Apache-2.0
 *
 * Rewrites an operand of a matmul into the canonical form of host/canonical.h, and sums canonical codes along K.
 *
 * pack: a block turns 128 rows (of A; columns of B) by 64 canonical k, through shared memory, so that both sides are
 * read and written along memory. A thread brings 4 rows by 4 k at a time:
 *
 *     K lies across memory (a plain B)         K lies along memory
 *     32 lanes = 128 neighbouring rows         16 lanes = 64 neighbouring k, 2 x 4 rows
 *     4 words of 4 rows, turned                4 words of 4 k
 *
 * sums: one group of lanes for each sum. */
#include "epilogue.cuh"
#include "matmul_operand.cuh"
#include "matmul_prepare.h"
#include "ptx.cuh"

constexpr int OUTER = QMMI_CUDA_PACK_OUTER, K = QMMI_CUDA_PACK_K, THREADS = QMMI_CUDA_PACK_THREADS;
constexpr int STRIDE = K / 4 + 1; /* words; odd, so that rows begin in different banks */
constexpr int QUADS = OUTER / 4 * (K / 4);

static_assert(QUADS % THREADS == 0, "every thread brings as many quads");
static_assert(OUTER / 4 == 32, "where K lies across memory, a warp's lanes take all rows");
static_assert(K / 4 == 16, "where K lies along memory, half a warp takes all k");

/* 4 rows by 4 k: word[r] has the k of row r. */
struct quad {
    uint32_t word[4];
};

/* Bytes 0 .. 3 of word n become byte n of words 0 .. 3. */
DEVICE quad turned(const quad &q) {
    const uint32_t *w = q.word;
    const uint32_t low01 = __byte_perm(w[0], w[1], 0x5140), high01 = __byte_perm(w[0], w[1], 0x7362);
    const uint32_t low23 = __byte_perm(w[2], w[3], 0x5140), high23 = __byte_perm(w[2], w[3], 0x7362);
    return { { __byte_perm(low01, low23, 0x5410), __byte_perm(low01, low23, 0x7632),
               __byte_perm(high01, high23, 0x5410), __byte_perm(high01, high23, 0x7632) } };
}

/* k of the source at canonical k; -1 in the padding. */
DEVICE int64_t source_k(const qmmi_cuda_pack &p, int64_t k) {
    if (p.group_k == p.group_size || k < p.group_size) return k < p.k ? k : -1;
    const int64_t group = k / p.group_k, rest = k - group * p.group_k;
    return rest < p.group_size && k < p.target_k ? group * p.group_size + rest : -1;
}

/* A quad, element by element, of any type. */
DEVICE quad load_elements(const qmmi_cuda_pack &p, int64_t b, int64_t outer, int64_t k) {
    quad q = { { 0, 0, 0, 0 } };
#pragma unroll 1
    for (int n = 0; n < 4; n++) {
        const int64_t from = source_k(p, k + n);
        if (from < 0) continue;
        const int64_t at_k = p.from.packed ? packed_k(p.from, p.from_group, from) : from;
#pragma unroll
        for (int r = 0; r < 4; r++) {
            if (outer + r >= p.outer) continue;
            const int code = operand_code(p.from, row_of(p.from, b, outer + r), at_k) - p.recenter;
            q.word[r] |= (uint32_t)(code & 255) << n * 8;
        }
    }
    return q;
}

/* A quad by whole words, from 8-bit codes. */
DEVICE quad load_words(const qmmi_cuda_pack &p, int64_t b, int64_t outer, int64_t k, bool across) {
    const int64_t along = across ? p.from.k_stride : p.from.outer_stride;
    const unsigned char *first = at(p.from.memory, p.from.offset) + b * p.from.batch_stride +
                                 outer * p.from.outer_stride + source_k(p, k) * p.from.k_stride;
    const uint32_t flip = p.recenter ? 0x80808080u : 0; /* a code less 128 */
    quad q;
#pragma unroll
    for (int n = 0; n < 4; n++) q.word[n] = *(const uint32_t *)(first + n * along) ^ flip;
    return across ? turned(q) : q;
}

/* May the quads of this problem be read by words: do words begin where quads do? */
DEVICE bool words_fit(const qmmi_cuda_pack &p, bool across) {
    const int64_t along = across ? p.from.k_stride : p.from.outer_stride;
    const uintptr_t first = (uintptr_t)at(p.from.memory, p.from.offset);
    const bool bytes = !p.from.packed && (p.from.type == QMM_S8 || p.from.type == QMM_U8);
    const bool groups_fit = across || p.group_size == p.k || p.group_size % 4 == 0;
    return bytes && groups_fit && (across ? p.from.outer_stride : p.from.k_stride) == 1 &&
           (first | (uintptr_t)along | (uintptr_t)p.from.batch_stride) % 4 == 0;
}

/* Are the 4 k from k on neighbours in the source, none of them padding? */
DEVICE bool quad_is_whole(const qmmi_cuda_pack &p, int64_t k) {
    const int64_t from = source_k(p, k);
    return from >= 0 && source_k(p, k + 3) == from + 3;
}

/* Writes one row of the tile, whose words of 4 k are in `row`, from canonical k on. */
DEVICE void store_row(const qmmi_cuda_pack &p, int64_t b, int64_t outer, int64_t k, const uint32_t *row, int piece) {
    unsigned char *to = (unsigned char *)p.codes + b * p.batch_stride + outer * p.outer_stride;
    if (p.bits == 8) { /* 16 k */
        const uint32_t *word = row + piece * 4;
        if (k + piece * 16 < p.target_k)
            *(uint4 *)(to + k + piece * 16) = make_uint4(word[0], word[1], word[2], word[3]);
        return;
    }
    const uint32_t *word = row + piece * 8; /* 32 k */
    uint32_t both[4];
    if (piece * 32 >= K || k + piece * 32 >= p.target_k) return;
#pragma unroll
    for (int t = 0; t < 4; t++) both[t] = (word[t] & 0x0f0f0f0fu) | (word[t + 4] & 0x0f0f0f0fu) << 4;
    *(uint4 *)(to + (k + piece * 32) / 2) = make_uint4(both[0], both[1], both[2], both[3]);
}

KERNEL(matmul_pack_kernel, QMMI_CUDA_PACK_THREADS, 4, qmmi_cuda_pack, p) {
    SHARED_ARRAY(uint32_t, tile, OUTER * STRIDE);
    const int64_t tiles_k = (p.target_k + K - 1) / K, tiles_outer = (p.target_outer + OUTER - 1) / OUTER;
    const bool across = p.from.k_stride != 1 && !p.from.packed;
    const bool words = words_fit(p, across);
    for (int64_t work = blockIdx.x; work < p.matrices * tiles_outer * tiles_k; work += gridDim.x) {
        const int64_t b = work / (tiles_outer * tiles_k), in_matrix = work % (tiles_outer * tiles_k);
        const int64_t outer0 = in_matrix / tiles_k * OUTER, k0 = in_matrix % tiles_k * K;
#pragma unroll
        for (int n = threadIdx.x; n < QUADS; n += THREADS) {
            const int row = across ? n % 32 * 4 : n / 16 * 4, column = across ? n / 32 : n % 16; /* of words */
            const int64_t outer = outer0 + row, k = k0 + column * 4;
            const bool whole = words && outer + 4 <= p.outer && quad_is_whole(p, k);
            const quad q = whole ? load_words(p, b, outer, k, across) : load_elements(p, b, outer, k);
#pragma unroll
            for (int r = 0; r < 4; r++) tile[(row + r) * STRIDE + column] = q.word[r];
        }
        __syncthreads();
        for (int n = threadIdx.x; n < OUTER * (K / 16); n += THREADS) {
            const int row = n / (K / 16), piece = n % (K / 16);
            if (outer0 + row < p.target_outer) store_row(p, b, outer0 + row, k0, tile + row * STRIDE, piece);
        }
        __syncthreads();
    }
}

/* ---- sums -------------------------------------------------------------------------------------------------------- */

/* Sum of the four codes of a word, or 16 times that of its eight 4-bit codes. */
DEVICE int sum_word(int word, const qmmi_cuda_operand &from, int sum) {
    if (from.is_unsigned) return ptx_dp4a_u8_s8((uint32_t)word, 0x01010101, sum);
    if (from.bits == 8) return ptx_dp4a(word, 0x01010101, sum);
    sum = ptx_dp4a((int)((uint32_t)word << 4) & (int)0xf0f0f0f0, 0x01010101, sum);
    return ptx_dp4a(word & (int)0xf0f0f0f0, 0x01010101, sum);
}

/* A lane's part of the sum over one group of a row. */
DEVICE int sum_lane(const qmmi_cuda_sums &p, int64_t b, int64_t outer, int64_t group, int lane) {
    const int64_t group_bytes = p.group_k * p.from.bits / 8, first = group * group_bytes;
    const int64_t end = first + group_bytes < p.from.k_bytes ? first + group_bytes : p.from.k_bytes;
    const unsigned char *row =
        (const unsigned char *)p.from.codes + b * p.from.batch_stride + outer * p.from.outer_stride;
    int sum = 0;
    for (int64_t n = first + lane * 16; n < end; n += p.lanes * 16) {
        const int4 word = load_canonical(row + n, end - n);
        sum = sum_word(word.x, p.from, sum);
        sum = sum_word(word.y, p.from, sum);
        sum = sum_word(word.z, p.from, sum);
        sum = sum_word(word.w, p.from, sum);
    }
    return sum;
}

KERNEL(matmul_sums_kernel, QMMI_CUDA_SUMS_THREADS, 4, qmmi_cuda_sums, p) {
    const int64_t thread = (int64_t)blockIdx.x * blockDim.x + threadIdx.x, items = p.matrices * p.outer * p.groups;
    const int64_t first = thread / p.lanes, step = (int64_t)gridDim.x * blockDim.x / p.lanes;
    const int lane = threadIdx.x % p.lanes;
    const int64_t turns = (items + step - 1) / step; /* all lanes of a warp take as many */
    for (int64_t turn = 0; turn < turns; turn++) {
        const int64_t item = first + turn * step;
        const int64_t group = item % p.groups, row = item / p.groups, b = row / p.outer, outer = row % p.outer;
        int sum = item < items ? sum_lane(p, b, outer, group, lane) : 0;
        for (int distance = p.lanes / 2; distance > 0; distance /= 2)
            sum += __shfl_xor_sync(0xffffffffu, sum, distance);
        if (p.from.bits == 4) sum /= 16;
        if (item < items && lane == 0)
            p.sums[b * p.batch_stride + group * p.group_stride + outer * p.outer_stride] =
                (int)((uint32_t)sum + (uint32_t)p.from.recenter * (uint32_t)p.group_size);
    }
}
