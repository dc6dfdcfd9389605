/* SPDX-License-Identifier: Apache-2.0
 *
 * matmul with few rows of A, as in decoding: the weights are read once, at the speed of memory, and every product is a
 * dp4a. Canonical operands (host/canonical.h); specification host/cpu/matmul.c.
 *
 * A block's tile of C is ROWS x 8. Each of its two warps owns 4 columns and goes along K in steps of 512 bytes each:
 *
 *     lane        0         1        ...      31
 *     column j    16 bytes  16 bytes  ...  16 bytes      one load instruction: 512 bytes in a row
 *     column j+1  ...                                    4 columns: 2 KB of a warp under way
 *
 * The next step's weights are loaded before this step's are multiplied, straight into registers and past the caches, so
 * a multiprocessor always waits for 24 to 40 KB and never for a barrier. The rows of A come from the first-level cache,
 * where all warps of the multiprocessor read the same bytes at about the same time; each is used for 4 columns.
 *
 * At the end of a segment the lanes' sums of a column are added up across the warp. Blocks that share a tile add
 * integers (matmul_tile.cuh). With factors per group of K, as many lanes share a group as it has pieces of 16 bytes,
 * so that a step still reads 512 bytes: its groups are added up each across its lanes, put into shared memory,
 * become floats there, all at once, and are added to the tile in the order of k. One warp then does all of K for its
 * columns. */
#include "matmul_small.h"
#include "matmul_tile.cuh"
#include "ptx.cuh"

constexpr int THREADS = QMMI_CUDA_SMALL_THREADS;
constexpr int COLUMNS = QMMI_CUDA_SMALL_COLUMNS;
constexpr int TILE_N = QMMI_CUDA_SMALL_TILE_N;
constexpr int CHUNK = 16; /* bytes of one load */
static_assert(32 * CHUNK == QMMI_CUDA_SMALL_STEP, "a step is one load of each lane");
static_assert(COLUMNS == 4, "a warp's part of a row of the tile is 16 bytes");

/* ---- the way along K -------------------------------------------------------------------------------------------- */

/* `lanes` lanes share a group of `chunks` pieces of b, so a warp works on `slots` groups at a time, and on one piece of
 * each lane; without factors per group all of K is one group. */
struct walk {
    int groups, chunks, lanes, slots;
    int slot, piece; /* of this lane: its group's place among them, its place in the group */
    bool four_bit;
};

DEVICE walk walk_of(const qmmi_cuda_matmul &m, bool grouped) {
    const int lane = threadIdx.x % 32;
    walk w;
    w.four_bit = m.b.bits == 4;
    w.groups = grouped ? (int)m.p.groups : 1;
    w.chunks = (int)((grouped ? m.group_k : m.k) / (w.four_bit ? 2 * CHUNK : CHUNK));
    w.lanes = grouped ? QMMI_CUDA_SMALL_LANES(w.chunks) : 32;
    w.slots = 32 / w.lanes;
    w.slot = lane / w.lanes;
    w.piece = lane % w.lanes;
    return w;
}

/* Where the warp stands: the first of its groups, the first of its pieces in each. */
struct position {
    int group, chunk;
};

DEVICE void advance(const walk &w, position &at) {
    at.chunk += w.lanes;
    if (at.chunk < w.chunks) return;
    at.chunk = 0;
    at.group += w.slots;
}

/* ---- loads ------------------------------------------------------------------------------------------------------ */

/* The rows of both operands that a warp reads; edges: the last piece of each where it is no full 16 bytes, filled up
 * with zeros, in shared memory, and behind them a piece of zeros. */
template <int ROWS>
struct sources {
    const unsigned char *a, *column[COLUMNS];
    const int4 *a_edges, *b_edges, *zeros;
    int rows;
};

/* One step of one lane. */
struct step {
    int64_t offset; /* of its piece in a row of b */
    bool valid;     /* there is one */
    bool whole;     /* all lanes' pieces, of a and b, are full */
    int4 b[COLUMNS];
};

/* A piece that may be past the end of the row, or reach beyond it. */
DEVICE int4 load_edge(const unsigned char *row, int64_t offset, int64_t k_bytes, bool valid, const int4 *edge,
                      const int4 *zeros) {
    const int4 *piece = valid && offset < k_bytes ? edge : zeros;
    if (valid && offset + CHUNK <= k_bytes) piece = (const int4 *)(row + offset);
    return *piece;
}

template <int ROWS>
DEVICE void load_step(const qmmi_cuda_matmul &m, const walk &w, const sources<ROWS> &from, const position &at,
                      step &to) {
    const int group = at.group + w.slot, chunk = at.chunk + w.piece;
    const int64_t a_chunks = w.four_bit ? 2 : 1;
    to.offset = ((int64_t)group * w.chunks + chunk) * CHUNK;
    to.valid = chunk < w.chunks && group < w.groups;
    to.whole = __all_sync(0xffffffffu, to.valid && to.offset + CHUNK <= m.b.k_bytes &&
                                           (to.offset + CHUNK) * a_chunks <= m.a.k_bytes) != 0;
    if (to.whole) {
#pragma unroll
        for (int c = 0; c < COLUMNS; c++) to.b[c] = __ldcs((const int4 *)(from.column[c] + to.offset));
    } else {
#pragma unroll
        for (int c = 0; c < COLUMNS; c++)
            to.b[c] = load_edge(from.column[c], to.offset, m.b.k_bytes, to.valid, from.b_edges + c, from.zeros);
    }
}

template <int ROWS>
DEVICE int4 load_a(const qmmi_cuda_matmul &m, const sources<ROWS> &from, const step &now, int64_t offset, int i) {
    const unsigned char *row = from.a + i * m.a.outer_stride;
    if (now.whole) return __ldg((const int4 *)(row + offset));
    return load_edge(row, offset, m.a.k_bytes, now.valid, from.a_edges + i, from.zeros);
}

/* The last pieces of `rows` rows from `row` on, of an operand of `outer` rows, where they are no full 16 bytes:
 * rare, so that one thread does a row byte by byte. */
DEVICE void fill_edges(const qmmi_cuda_operand &o, int64_t b, int64_t row, int64_t outer, int rows, int4 *edges) {
    const int64_t r = row + threadIdx.x, start = o.k_bytes / CHUNK * CHUNK;
    const unsigned char *codes = (const unsigned char *)o.codes + b * o.batch_stride + r * o.outer_stride + start;
    unsigned char *edge = (unsigned char *)(edges + threadIdx.x);
    if (o.k_bytes == start || (int)threadIdx.x >= rows || r >= outer) return;
#pragma unroll 1
    for (int n = 0; n < CHUNK; n++) edge[n] = start + n < o.k_bytes ? codes[n] : 0;
}

/* ---- products --------------------------------------------------------------------------------------------------- */

DEVICE int dot(const int4 &a, const int4 &b, int sum) {
    sum = ptx_dp4a(a.x, b.x, sum);
    sum = ptx_dp4a(a.y, b.y, sum);
    sum = ptx_dp4a(a.z, b.z, sum);
    return ptx_dp4a(a.w, b.w, sum);
}

/* 32 codes: the low nibbles of a piece are those of the first 16 k, the high ones those of the second. */
DEVICE int dot_nibbles(const int4 &first, const int4 &second, const int4 &b, int sum) {
    constexpr unsigned MASK = 0xf0f0f0f0u;
    const int4 low = make_int4((int)((unsigned)b.x << 4 & MASK), (int)((unsigned)b.y << 4 & MASK),
                               (int)((unsigned)b.z << 4 & MASK), (int)((unsigned)b.w << 4 & MASK));
    const int4 high = make_int4((int)((unsigned)b.x & MASK), (int)((unsigned)b.y & MASK), (int)((unsigned)b.z & MASK),
                                (int)((unsigned)b.w & MASK));
    return dot(second, high, dot(first, low, sum));
}

template <int ROWS>
DEVICE void multiply_step(const qmmi_cuda_matmul &m, const walk &w, const sources<ROWS> &from, const step &now,
                          int (&acc)[ROWS * COLUMNS]) {
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        if (i > 0 && i >= from.rows) break;
        const int4 a = load_a(m, from, now, w.four_bit ? 2 * now.offset : now.offset, i);
        int *sum = acc + i * COLUMNS;
        if (w.four_bit) {
            const int4 second = load_a(m, from, now, 2 * now.offset + CHUNK, i);
#pragma unroll
            for (int c = 0; c < COLUMNS; c++) sum[c] = dot_nibbles(a, second, now.b[c], sum[c]);
        } else {
#pragma unroll
            for (int c = 0; c < COLUMNS; c++) sum[c] = dot(a, now.b[c], sum[c]);
        }
    }
}

/* ---- sums across lanes ------------------------------------------------------------------------------------------ */

/* Adds up values over `lanes` neighbouring lanes, and puts them into `to`, whose rows of 4 are `row_stride` words
 * apart. At each stage a lane keeps one half of its COUNT values, of which `first` is the first, and gives the other
 * half to its partner, so that SIZE shuffles do for all; with one value left both keep it, and one of them writes
 * it. */
template <int COUNT, int STRIDE, int SIZE>
DEVICE void reduce(int (&v)[SIZE], int lanes, int first, bool writes, int *to, int row_stride) {
    const bool upper = (threadIdx.x & STRIDE) != 0;
    if (STRIDE == 32 || lanes == STRIDE) {
#pragma unroll
        for (int n = 0; n < COUNT; n++)
            if (writes) to[(first + n) / COLUMNS * row_stride + (first + n) % COLUMNS] = v[n];
        return;
    }
    if constexpr (STRIDE < 32 && COUNT > 1) {
#pragma unroll
        for (int n = 0; n < COUNT / 2; n++) {
            const int given = upper ? v[n] : v[n + COUNT / 2], kept = upper ? v[n + COUNT / 2] : v[n];
            v[n] = kept + __shfl_xor_sync(0xffffffffu, given, STRIDE);
        }
        reduce<COUNT / 2, 2 * STRIDE>(v, lanes, first + (upper ? COUNT / 2 : 0), writes, to, row_stride);
    } else if constexpr (STRIDE < 32) {
        v[0] += __shfl_xor_sync(0xffffffffu, v[0], STRIDE);
        reduce<1, 2 * STRIDE>(v, lanes, first, writes && !upper, to, row_stride);
    }
}

/* The sums of the groups from `group` on, 32 / lanes of them, become floats in `stage`, one after another a row of
 * ROWS x 4 and a word that keeps the rows on different banks, and are added to the warp's floats in `tile` in order
 * of k. */
template <int ROWS>
DEVICE void add_groups(const qmmi_cuda_matmul &argument, const tile_segment &s, const walk &w,
                       const sources<ROWS> &from, int group, int64_t j, int *stage, int *tile) {
    constexpr int WIDTH = ROWS * COLUMNS + 1;
    const int lane = threadIdx.x % 32, elements = from.rows * COLUMNS;
    const int count = w.groups - group < w.slots ? w.groups - group : w.slots;
    __syncwarp();
    /* The argument, but the compiler cannot know that it is: it would prepare all addresses of parameters before the
     * loop over K, and hold them there in some 40 registers. */
    const qmmi_cuda_matmul &m = (&argument)[from.zeros->x];
#pragma unroll 1
    for (int n = lane; n < w.slots * elements; n += 32) { /* slots side by side: their parameters are read at once */
        const int slot = n & (w.slots - 1), e = n / w.slots, i = e / COLUMNS;
        const int64_t column = j + e % COLUMNS;
        int *word = stage + slot * WIDTH + e;
        if (slot >= count || column >= m.p.n) continue;
        *word = __float_as_int(add_group(m, side_of_a(m, s.b, s.i + i, group + slot),
                                         side_of_b(m, s.b, column, group + slot), *word, 0.0f));
    }
    __syncwarp();
    for (int e = lane; e < elements; e += 32) {
        int *y = tile + e / COLUMNS * TILE_N + e % COLUMNS;
        float sum = __int_as_float(*y);
        for (int slot = 0; slot < count; slot++) sum = sum + __int_as_float(stage[slot * WIDTH + e]);
        *y = __float_as_int(sum);
    }
    __syncwarp();
}

/* ---- a segment -------------------------------------------------------------------------------------------------- */

DEVICE int64_t smaller(int64_t x, int64_t y) {
    return x < y ? x : y;
}

template <int ROWS>
DEVICE sources<ROWS> sources_of(const qmmi_cuda_matmul &m, const tile_segment &s, int64_t j, int4 *edges) {
    sources<ROWS> from;
    from.rows = (int)smaller(m.p.m - s.i, ROWS);
    from.a = (const unsigned char *)m.a.codes + s.b * m.a.batch_stride + s.i * m.a.outer_stride;
#pragma unroll
    for (int c = 0; c < COLUMNS; c++) /* past the last column: that one again, for nobody */
        from.column[c] =
            (const unsigned char *)m.b.codes + s.b * m.b.batch_stride + smaller(j + c, m.p.n - 1) * m.b.outer_stride;
    from.a_edges = edges;
    from.b_edges = edges + ROWS + (j - s.j);
    from.zeros = edges + ROWS + TILE_N;
    return from;
}

/* Multiplies a segment; this warp's columns of the tile are then in `tile`: sums, or with groups the floats, as
 * bits. */
template <int ROWS>
DEVICE void multiply_segment(const qmmi_cuda_matmul &m, const tile_segment &s, bool grouped, int4 *edges, int *stage,
                             int *tile) {
    constexpr int SIZE = ROWS * COLUMNS;
    const int lane = threadIdx.x % 32;
    const int warp = threadIdx.x / 32;
    const walk w = walk_of(m, grouped);
    const sources<ROWS> from = sources_of<ROWS>(m, s, s.j + warp * COLUMNS, edges);
    const int passes = (w.groups + w.slots - 1) / w.slots, rounds = (w.chunks + w.lanes - 1) / w.lanes;
    int left = grouped ? passes * rounds : s.end - s.step;
    position at = { 0, grouped ? 0 : s.step * w.lanes };
    int acc[SIZE];
    step now, next;
    tile += warp * COLUMNS;
    stage += warp * w.slots * (SIZE + 1);
#pragma unroll
    for (int n = 0; n < SIZE; n++) acc[n] = 0;
    if (grouped)
        for (int n = lane; n < SIZE; n += 32) tile[n / COLUMNS * TILE_N + n % COLUMNS] = 0;
    load_step(m, w, from, at, next);
#pragma unroll 1
    for (; left > 0; left--) {
        const int group = at.group;
        now = next;
        advance(w, at);
        if (left > 1) load_step(m, w, from, at, next);
        multiply_step(m, w, from, now, acc);
        if (left > 1 && (!grouped || at.chunk != 0)) continue;
        reduce<SIZE, 1>(acc, w.lanes, 0, true, grouped ? stage + w.slot * (SIZE + 1) : tile,
                        grouped ? COLUMNS : TILE_N);
        if (!grouped) break;
        add_groups<ROWS>(m, s, w, from, group, s.j + warp * COLUMNS, stage, tile);
#pragma unroll
        for (int n = 0; n < SIZE; n++) acc[n] = 0;
    }
}

/* A block does one part of one tile: m.split_blocks parts make a tile. */
template <int ROWS>
DEVICE tile_segment segment_of(const qmmi_cuda_matmul &m) {
    const int64_t tile = blockIdx.x / (unsigned)m.split_blocks, part = blockIdx.x % (unsigned)m.split_blocks;
    tile_segment s;
    tile_place<ROWS, TILE_N>(m, tile, s);
    s.step = (int)(m.steps * part / m.split_blocks);
    s.end = (int)(m.steps * (part + 1) / m.split_blocks);
    s.split_tile = m.split_blocks > 1 ? (int)tile : -1;
    return s;
}

template <int ROWS>
DEVICE void multiply(const qmmi_cuda_matmul &m) {
    SHARED_ARRAY(int4, tile_words, ROWS * TILE_N / 4);
    SHARED_ARRAY(int4, edges, ROWS + TILE_N + 1);
    SHARED_ARRAY(tile_segment, segment, 1); /* in registers it would be there all through the loop over K */
    DYNAMIC_SHARED(stages);
    const bool grouped = epilogue_grouped(m.p);
    const tile_segment &s = segment[0];
    int *tile = (int *)tile_words;
    if (threadIdx.x == 0) {
        segment[0] = segment_of<ROWS>(m);
        edges[ROWS + TILE_N] = make_int4(0, 0, 0, 0);
    }
    __syncthreads();
    fill_edges(m.a, s.b, s.i, m.p.m, ROWS, edges);
    fill_edges(m.b, s.b, s.j, m.p.n, TILE_N, edges + ROWS);
    __syncthreads();
    multiply_segment<ROWS>(m, s, grouped, edges, (int *)stages, tile);
    finish_tile<ROWS, TILE_N, THREADS>(m, s, tile, TILE_N);
}

/* ---- kernels ---------------------------------------------------------------------------------------------------- */

KERNEL(matmul_small_1_kernel, QMMI_CUDA_SMALL_THREADS, QMMI_CUDA_SMALL_BLOCKS_1, qmmi_cuda_matmul, m) {
    multiply<1>(m);
}

KERNEL(matmul_small_4_kernel, QMMI_CUDA_SMALL_THREADS, QMMI_CUDA_SMALL_BLOCKS_4, qmmi_cuda_matmul, m) {
    multiply<4>(m);
}

KERNEL(matmul_small_16_kernel, QMMI_CUDA_SMALL_THREADS, QMMI_CUDA_SMALL_BLOCKS_16, qmmi_cuda_matmul, m) {
    multiply<16>(m);
}
