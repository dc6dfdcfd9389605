/* SPDX-License-Identifier: Apache-2.0
 *
 * What the two tensor-core kernels share: the layout of operands in shared memory, and the way of accumulators to the
 * epilogue.
 *
 * Operands lie in strips: the rows of A, or columns of B, of a tile over one step along K, each row CHUNKS chunks of 16
 * bytes. ldmatrix reads a matrix as 8 rows of 16 bytes, without a bank conflict if they lie in 8 different 16-byte
 * columns of the 128 bytes that shared memory gives at a time. Rows of 64 bytes would put chunk c of every second row
 * into one such column, so the chunks of a row change places:
 *
 *     chunk c of row r lies in place c ^ (r / 2 % 4)           rows of 64 bytes; of 32 bytes: c ^ (r / 4 % 2)
 *
 *     row 0   0 1 2 3     row 1   0 1 2 3     chunk 1 of rows 0 .. 7 lies in columns
 *     row 2   1 0 3 2     row 3   1 0 3 2     1 5 0 4 3 7 2 6: all 8
 *     row 4   2 3 0 1     row 5   2 3 0 1
 *     row 6   3 2 1 0     row 7   3 2 1 0
 *
 * Copies write whole rows, for which any order of chunks is as good. The pattern repeats every 8 rows, so that a lane
 * that steps by 8 rows adds a constant. */
#ifndef QMM_CUDA_MATMUL_MMA_CUH
#define QMM_CUDA_MATMUL_MMA_CUH

#include "matmul_tile.cuh"
#include "ptx.cuh"

constexpr int CHUNK = 16; /* bytes */

/* Byte of a strip at which the chunk begins. */
template <int CHUNKS>
DEVICE int chunk_offset(int row, int chunk) {
    static_assert(CHUNKS == 2 || CHUNKS == 4, "a row of a strip is 32 or 64 bytes");
    return (row * CHUNKS + (chunk ^ (row * CHUNKS / 8 % CHUNKS))) * CHUNK;
}

/* 4-bit codes as host/canonical.h has them: the s8 of k = 4t .. + 3 and of k = 16 + 4t .. + 3, times 16. */
DEVICE uint32_t low_codes(uint32_t word) {
    return word << 4 & 0xf0f0f0f0u;
}

DEVICE uint32_t high_codes(uint32_t word) {
    return word & 0xf0f0f0f0u;
}

/* ---- accumulators ------------------------------------------------------------------------------------------------ */

/* A warp's part of a tile is made of 8 x 8 blocks, of which lane l holds row l / 4, columns l % 4 * 2 .. + 1. */
DEVICE int lane_row() {
    return threadIdx.x % 32 / 4;
}

DEVICE int lane_col() {
    return threadIdx.x % 4 * 2;
}

DEVICE int as_word(int sum) {
    return sum;
}

DEVICE int as_word(float y) {
    return __float_as_int(y);
}

/* Words from row to row of a tile on its way to the epilogue: 8 modulo 32, so that the 16 lanes that store 8 bytes at a
 * time meet all banks. */
template <int TILE_N>
constexpr int TILE_STRIDE = TILE_N + 8;

/* Stores a warp's sums; `corner` is where the first of them goes. */
template <int STRIDE, class SUM, int BLOCKS_M, int BLOCKS_N>
DEVICE void put_sums(int *corner, const SUM (&acc)[BLOCKS_M][BLOCKS_N][2]) {
    static_assert(STRIDE % 32 == 8, "the lanes meet all banks");
    int *to = corner + lane_row() * STRIDE + lane_col();
#pragma unroll
    for (int r = 0; r < BLOCKS_M; r++)
#pragma unroll
        for (int c = 0; c < BLOCKS_N; c++)
            *(int2 *)(to + r * 8 * STRIDE + c * 8) = make_int2(as_word(acc[r][c][0]), as_word(acc[r][c][1]));
}

/* The block is done with a segment, and the warp at (row, col) of the tile has these sums of it. They go through shared
 * memory PART_M rows of the tile at a time. Begins and ends with a barrier: past the first, nobody reads the last strips
 * any more, which the tile overwrites. */
template <int TILE_M, int TILE_N, int PART_M, int THREADS, class SUM, int BLOCKS_M, int BLOCKS_N>
DEVICE void leave_tile(const qmmi_cuda_matmul &m, const tile_segment &s, int *part, int row, int col,
                       const SUM (&acc)[BLOCKS_M][BLOCKS_N][2]) {
    constexpr int STRIDE = TILE_STRIDE<TILE_N>;
    static_assert(TILE_M % PART_M == 0 && PART_M % (BLOCKS_M * 8) == 0, "a warp's rows are in one part");
    const bool split = s.split_tile >= 0;
    if (split) {
#pragma unroll 1
        for (int first = 0; first < TILE_M; first += PART_M) {
            __syncthreads();
            if (first <= row && row < first + PART_M) put_sums<STRIDE>(part + (row - first) * STRIDE + col, acc);
            __syncthreads();
            add_part<TILE_M, TILE_N, PART_M, THREADS>(m, s, first, part, STRIDE);
        }
        if (!arrive(m, s)) return;
    }
#pragma unroll 1
    for (int first = 0; first < TILE_M; first += PART_M) {
        __syncthreads();
        if (split)
            read_part<TILE_M, TILE_N, PART_M, THREADS>(m, s, first, part, STRIDE);
        else if (first <= row && row < first + PART_M)
            put_sums<STRIDE>(part + (row - first) * STRIDE + col, acc);
        __syncthreads();
        epilogue_part<TILE_M, TILE_N, PART_M, THREADS>(m, s, first, part, STRIDE);
    }
    __syncthreads();
}

/* ---- groups along K ---------------------------------------------------------------------------------------------- */

/* Side number threadIdx.x of a tile: first those of its rows, then those of its columns. */
template <int TILE_M>
DEVICE matmul_side fetch_side(const qmmi_cuda_matmul &m, const tile_segment &s, int64_t group) {
    const int64_t i = s.i + threadIdx.x, j = s.j + threadIdx.x - TILE_M;
    if (threadIdx.x < TILE_M && i < m.p.m) return side_of_a(m, s.b, i, group);
    if (threadIdx.x >= TILE_M && j < m.p.n) return side_of_b(m, s.b, j, group);
    return { 0, 0, 1.0f };
}

/* Adds the accumulators of a group to the floats, and clears them. a, b: sides of the lane's first row and column.
 * __syncwarp is for the compiler, which would fetch all sides of B before it uses the first. */
template <int BLOCKS_M, int BLOCKS_N>
DEVICE void end_group(const qmmi_cuda_matmul &m, const matmul_side *a, const matmul_side *b,
                      int (&acc)[BLOCKS_M][BLOCKS_N][2], float (&y)[BLOCKS_M][BLOCKS_N][2]) {
#pragma unroll
    for (int c = 0; c < BLOCKS_N; c++) {
        __syncwarp();
#pragma unroll
        for (int e = 0; e < 2; e++) {
            const matmul_side of_column = b[c * 8 + e];
#pragma unroll
            for (int r = 0; r < BLOCKS_M; r++) {
                y[r][c][e] = add_group(m, a[r * 8], of_column, acc[r][c][e], y[r][c][e]);
                acc[r][c][e] = 0;
            }
        }
    }
}

/* ---- the kernels ------------------------------------------------------------------------------------------------- */

template <class SUM, int BLOCKS_M, int BLOCKS_N>
DEVICE void clear(SUM (&acc)[BLOCKS_M][BLOCKS_N][2]) {
#pragma unroll
    for (int r = 0; r < BLOCKS_M; r++)
#pragma unroll
        for (int c = 0; c < BLOCKS_N; c++) acc[r][c][0] = acc[r][c][1] = 0;
}

/* What a block does is the same for all its threads, and in shared memory: the accumulators want the registers. */
struct block_work {
    tile_cursor cursor;
    tile_segment segment;
    bool more;
};

/* The block's next segment; false: there is none. With a barrier. */
template <class ENGINE>
DEVICE bool next_work(const qmmi_cuda_matmul &m, block_work &work) {
    if (threadIdx.x == 0) work.more = next_segment<ENGINE::M, ENGINE::N>(m, work.cursor, work.segment);
    __syncthreads();
    return work.more;
}

/* ENGINE brings strips to shared memory and multiplies them:
 *
 *     M, N, WARP_M, WARP_N, THREADS   the tile, and a warp's part of it
 *     PART_M                          rows of a finished tile that shared memory has room for
 *     SLICES                          a step along K is this many times 32 k
 *     start(m, s, memory)             begins with a segment
 *     next(memory)                    the next step's strips, readable by all; with a barrier
 *     multiply(acc, strips, row, col, slice)
 *                                     adds a slice of the warp's part, which begins at (row, col) of the tile
 *
 * Warps whose part lies outside C multiply nothing. */

/* One accumulator for all of K. */
template <class ENGINE>
DEVICE void multiply_tiles(const qmmi_cuda_matmul &m, unsigned char *memory) {
    constexpr int WARPS_M = ENGINE::M / ENGINE::WARP_M;
    static_assert(WARPS_M * (ENGINE::N / ENGINE::WARP_N) * 32 == ENGINE::THREADS, "the warps cover the tile");
    const int warp = (int)threadIdx.x / 32;
    const int row = warp % WARPS_M * ENGINE::WARP_M, col = warp / WARPS_M * ENGINE::WARP_N;
    int acc[ENGINE::WARP_M / 8][ENGINE::WARP_N / 8][2];
    ENGINE engine;
    SHARED_ARRAY(block_work, work, 1);
    const tile_segment &s = work->segment;
    if (threadIdx.x == 0) work->cursor = first_segment(m, blockIdx.x);
    while (next_work<ENGINE>(m, *work)) {
        const int steps = s.end - s.step;
        const bool idle = s.i + row >= m.p.m || s.j + col >= m.p.n;
        clear(acc);
        engine.start(m, s, memory);
#pragma unroll 1
        for (int step = 0; step < steps; step++) {
            const unsigned char *strips = engine.next(memory);
            if (idle) continue;
#pragma unroll
            for (int slice = 0; slice < ENGINE::SLICES; slice++) ENGINE::multiply(acc, strips, row, col, slice);
        }
        leave_tile<ENGINE::M, ENGINE::N, ENGINE::PART_M, ENGINE::THREADS>(m, s, (int *)memory, row, col, acc);
    }
}

/* An accumulator for each group of K, and a float that takes them in order. Every group's sides are fetched while the
 * group before is multiplied, one by each thread. */
template <class ENGINE>
DEVICE void multiply_tiles_grouped(const qmmi_cuda_matmul &m, unsigned char *memory) {
    constexpr int WARPS_M = ENGINE::M / ENGINE::WARP_M;
    static_assert(ENGINE::M + ENGINE::N == ENGINE::THREADS, "there is a thread for each row and column of a tile");
    static_assert(QMMI_K_ALIGNMENT == 32, "a group ends where a slice does");
    const int warp = (int)threadIdx.x / 32;
    const int row = warp % WARPS_M * ENGINE::WARP_M, col = warp / WARPS_M * ENGINE::WARP_N;
    int acc[ENGINE::WARP_M / 8][ENGINE::WARP_N / 8][2];
    float y[ENGINE::WARP_M / 8][ENGINE::WARP_N / 8][2];
    ENGINE engine;
    SHARED_ARRAY(block_work, work, 1);
    const tile_segment &s = work->segment;
    SHARED_ARRAY(matmul_side, sides, 2 * ENGINE::THREADS); /* of two groups in turn: one barrier a group */
    if (threadIdx.x == 0) work->cursor = first_segment(m, blockIdx.x);
    while (next_work<ENGINE>(m, *work)) {
        const bool idle = s.i + row >= m.p.m || s.j + col >= m.p.n;
        const unsigned char *strips = nullptr;
        clear(acc), clear(y);
        engine.start(m, s, memory);
        matmul_side mine = fetch_side<ENGINE::M>(m, s, 0);
        int slice = ENGINE::SLICES, group_left = (int)m.group_k;
        int64_t group = 0;
#pragma unroll 1
        for (int k_left = (int)m.k; k_left > 0; k_left -= 32) {
            if (slice == ENGINE::SLICES) strips = engine.next(memory), slice = 0;
            if (!idle) ENGINE::multiply(acc, strips, row, col, slice);
            slice++, group_left -= 32;
            if (group_left > 0) continue;
            matmul_side *of_group = sides + group % 2 * ENGINE::THREADS;
            of_group[threadIdx.x] = mine;
            __syncthreads();
            group++, group_left = (int)m.group_k;
            if (group < m.p.groups) mine = fetch_side<ENGINE::M>(m, s, group);
            if (!idle)
                end_group(m, of_group + row + lane_row(), of_group + ENGINE::M + col + lane_col(), acc, y);
        }
        leave_tile<ENGINE::M, ENGINE::N, ENGINE::PART_M, ENGINE::THREADS>(m, s, (int *)memory, row, col, y);
    }
}

#endif
