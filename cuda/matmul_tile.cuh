/* SPDX-License-Identifier: Apache-2.0
 *
 * What the tiled matmul kernels share: which tiles, and which part of K, a block works on, and how a finished tile
 * leaves it. matmul.h has the picture; a kernel is
 *
 *     tile_cursor cursor = first_segment(m, blockIdx.x);
 *     tile_segment s;
 *     while (next_segment<TILE_M, TILE_N>(m, cursor, s)) {
 *         multiply rows s.i .., columns s.j .. of matrix s.b over steps s.step .. s.end of K;
 *         put the accumulators into shared memory (with groups: the floats, as bits);
 *         finish_tile<TILE_M, TILE_N, THREADS>(m, s, tile, STRIDE);
 *     }
 *
 * A tile too large for shared memory is handed over in parts of PART_M rows: add_part of each, then arrive, and if this
 * was the last block, read_part and epilogue_part of each; a whole tile needs only epilogue_part. */
#ifndef QMM_CUDA_MATMUL_TILE_CUH
#define QMM_CUDA_MATMUL_TILE_CUH

#include "epilogue.cuh"

/* ---- the work ---------------------------------------------------------------------------------------------------- */

struct tile_segment {
    int64_t b, i, j; /* matrix, first row, first column */
    int step, end;   /* of K */
    int split_tile;  /* number among the split tiles; -1: this block does all of the tile */
};

/* What is left to a block: its next whole tile, then its steps of the split tiles, counted through all of them. */
struct tile_cursor {
    int64_t tile;
    int unit, unit_end;
};

/* block: its number among the m.blocks that share the work; a cluster of thread blocks counts as one. */
DEVICE tile_cursor first_segment(const qmmi_cuda_matmul &m, int64_t block) {
    const int64_t units = (int64_t)m.split_tiles * m.steps;
    tile_cursor cursor = { block, 0, 0 };
    if (block < m.split_blocks) {
        cursor.unit = (int)(units * block / m.split_blocks);
        cursor.unit_end = (int)(units * (block + 1) / m.split_blocks);
    }
    return cursor;
}

/* Tiles are numbered along bands of 2,048 rows of C, in a band column by column: blocks that run at the same time share
 * the rows of A and the columns of B in the L2 cache. The tiles that a large device has at a time, some 4 million elements
 * of C, are then about as many rows as columns. */
template <int TILE_M, int TILE_N>
DEVICE void tile_place(const qmmi_cuda_matmul &m, int64_t tile, tile_segment &s) {
    constexpr int64_t BAND = 2048 / TILE_M;
    static_assert(2048 % TILE_M == 0, "a band is made of whole tiles");
    const int64_t matrix_tiles = m.tiles_m * m.tiles_n;
    s.b = tile / matrix_tiles;
    const int64_t in_matrix = tile - s.b * matrix_tiles, band = in_matrix / (BAND * m.tiles_n);
    const int64_t in_band = in_matrix - band * BAND * m.tiles_n;
    const int64_t rows = m.tiles_m - band * BAND < BAND ? m.tiles_m - band * BAND : BAND, column = in_band / rows;
    s.i = (band * BAND + in_band - column * rows) * TILE_M;
    s.j = column * TILE_N;
}

/* The block's next piece of work; false: there is none. */
template <int TILE_M, int TILE_N>
DEVICE bool next_segment(const qmmi_cuda_matmul &m, tile_cursor &cursor, tile_segment &s) {
    int64_t tile = cursor.tile;
    if (tile < m.whole_tiles) {
        cursor.tile += m.blocks;
        s.step = 0, s.end = m.steps, s.split_tile = -1;
    } else {
        if (cursor.unit >= cursor.unit_end) return false;
        const int split = cursor.unit / m.steps, first = split * m.steps;
        s.step = cursor.unit - first;
        s.end = cursor.unit_end - first < m.steps ? cursor.unit_end - first : m.steps;
        s.split_tile = s.end - s.step == m.steps ? -1 : split;
        cursor.unit = first + s.end;
        tile = m.whole_tiles + split;
    }
    tile_place<TILE_M, TILE_N>(m, tile, s);
    return true;
}

/* ---- groups along K ---------------------------------------------------------------------------------------------- */

/* Brings what the rows and columns of the tile have for a group into shared memory: TILE_M sides of A, then TILE_N of
 * B, those outside of C as if they were its last row or column. All threads call it; begins and ends with a barrier. */
template <int TILE_M, int TILE_N, int THREADS>
DEVICE void load_sides(const qmmi_cuda_matmul &m, const tile_segment &s, int64_t group, matmul_side *sides) {
    __syncthreads();
    for (int n = threadIdx.x; n < TILE_M + TILE_N; n += THREADS) {
        const bool of_a = n < TILE_M;
        const int64_t outer = of_a ? s.i + n : s.j + n - TILE_M, last = of_a ? m.p.m - 1 : m.p.n - 1;
        sides[n] = of_a ? side_of_a(m, s.b, outer < last ? outer : last, group)
                        : side_of_b(m, s.b, outer < last ? outer : last, group);
    }
    __syncthreads();
}

/* ---- parts of a tile --------------------------------------------------------------------------------------------- */

/* In each, `part` is rows row .. row + PART_M of the tile, in shared memory, its rows `stride` words apart (a multiple
 * of 4). All threads of the block call it; it neither begins nor ends with a barrier. */

/* Adds the part to the tile's sums in memory. */
template <int TILE_M, int TILE_N, int PART_M, int THREADS>
DEVICE void add_part(const qmmi_cuda_matmul &m, const tile_segment &s, int row, const int *part, int stride) {
    int32_t *sums = m.partials + ((int64_t)s.split_tile * TILE_M + row) * TILE_N;
#pragma unroll 1 /* nothing waits for the additions, and addresses cost registers */
    for (int n = threadIdx.x; n < PART_M * TILE_N; n += THREADS) {
        const int r = n / TILE_N, c = n % TILE_N;
        if (s.i + row + r < m.p.m && s.j + c < m.p.n) atomicAdd(sums + n, part[r * stride + c]);
    }
}

/* Says that all parts of the segment are added. Is the tile complete, so that this block finishes it? */
DEVICE bool arrive(const qmmi_cuda_matmul &m, const tile_segment &s) {
    SHARED_ARRAY(int, is_last, 1);
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) {
        const uint32_t steps = (uint32_t)(s.end - s.step);
        is_last[0] = atomicAdd(m.arrived + s.split_tile, steps) + steps == (uint32_t)m.steps;
        __threadfence();
    }
    __syncthreads();
    return is_last[0] != 0;
}

/* Brings the tile's sums from memory into the part, past the first-level cache: other blocks' sums do not reach it. */
template <int TILE_M, int TILE_N, int PART_M, int THREADS>
DEVICE void read_part(const qmmi_cuda_matmul &m, const tile_segment &s, int row, int *part, int stride) {
    const int4 *sums = (const int4 *)(m.partials + ((int64_t)s.split_tile * TILE_M + row) * TILE_N);
    for (int n = threadIdx.x; n < PART_M * TILE_N / 4; n += THREADS)
        *(int4 *)(part + n / (TILE_N / 4) * stride + n % (TILE_N / 4) * 4) = __ldcg(sums + n);
}

template <int TILE_M, int TILE_N, int PART_M, int THREADS>
DEVICE void epilogue_part(const qmmi_cuda_matmul &m, const tile_segment &s, int row, const int *part, int stride) {
    static_assert(TILE_N % EPILOGUE_RUN == 0, "a row of a tile is made of whole runs");
    const bool grouped = epilogue_grouped(m.p);
#pragma unroll 1
    for (int n = threadIdx.x; n < PART_M * (TILE_N / EPILOGUE_RUN); n += THREADS) {
        const int r = n / (TILE_N / EPILOGUE_RUN), c = n % (TILE_N / EPILOGUE_RUN) * EPILOGUE_RUN;
        const int64_t i = s.i + row + r, j = s.j + c;
        if (i >= m.p.m || j >= m.p.n) continue;
        const int count = m.p.n - j < EPILOGUE_RUN ? (int)(m.p.n - j) : EPILOGUE_RUN;
        const int4 x = *(const int4 *)(part + r * stride + c), y = *(const int4 *)(part + r * stride + c + 4);
        const int acc[8] = { x.x, x.y, x.z, x.w, y.x, y.y, y.z, y.w };
        epilogue_words(m, grouped, s.b, i, j, count, acc);
    }
}

/* ---- a tile ------------------------------------------------------------------------------------------------------ */

/* The block is done with a segment, whose 32-bit tile it has put into shared memory, rows `stride` words apart (a
 * multiple of 4). Begins and ends with a barrier. */
template <int TILE_M, int TILE_N, int THREADS>
DEVICE void finish_tile(const qmmi_cuda_matmul &m, const tile_segment &s, int *tile, int stride) {
    __syncthreads();
    bool complete = true;
    if (s.split_tile >= 0) {
        add_part<TILE_M, TILE_N, TILE_M, THREADS>(m, s, 0, tile, stride);
        complete = arrive(m, s);
        if (complete) {
            read_part<TILE_M, TILE_N, TILE_M, THREADS>(m, s, 0, tile, stride);
            __syncthreads();
        }
    }
    if (complete) epilogue_part<TILE_M, TILE_N, TILE_M, THREADS>(m, s, 0, tile, stride);
    __syncthreads();
}

#endif
