/* SPDX-License-Identifier: Apache-2.0
 *
 * Matmul on tensor cores: mma.m16n8k32 s8, from sm_80 on. Operands are canonical (host/canonical.h), 4-bit codes of B
 * stay so as far as the registers. Specification: host/cpu/matmul.c.
 *
 *                 B   128 columns
 *               .-----.-----.-----.-----.       A block of 8 warps makes 128 x 128 of C, each warp 64 x 32
 *               |  64 k a step: strips  |       (the small tile: 4 warps, 64 x 64, each 32 x 32).
 *               '-----'-----'-----'-----'
 *        .----. .-----.-----.-----.-----.       Each step along K is 64 k: a strip of A and one of B, in one of 3
 *     A  |    | | w0  | w2  | w4  | w6  |       to 5 stages of shared memory (as matmul_mma.cuh lays them out).
 *        |    | |     |     |     |     |       cp.async fills stages ahead of use, with zeros for what is outside
 *        .----. .-----.-----.-----.-----.       the matrix; it reads no byte outside.
 *        |    | | w1  | w3  | w5  | w7  |
 *        |    | |     |     |     |     |       One barrier a step does for both: copies into the stage are seen by
 *        '----' '-----'-----'-----'-----'       all, and all have read the stage that is filled next. */
#include "matmul_mma.cuh"
#include "matmul_mma.h"

constexpr int STEP_K = QMMI_CUDA_MMA_K;
constexpr int A_ROW = STEP_K; /* bytes of a row of a strip of A */

struct large_tile {
    static constexpr int M = QMMI_CUDA_MMA_LARGE_M, N = QMMI_CUDA_MMA_LARGE_N;
    static constexpr int WARP_M = QMMI_CUDA_MMA_LARGE_WARP_M, WARP_N = QMMI_CUDA_MMA_LARGE_WARP_N;
    static constexpr int THREADS = QMMI_CUDA_MMA_LARGE_THREADS, SHARED = QMMI_CUDA_MMA_LARGE_SHARED;
};

struct small_tile {
    static constexpr int M = QMMI_CUDA_MMA_SMALL_M, N = QMMI_CUDA_MMA_SMALL_N;
    static constexpr int WARP_M = QMMI_CUDA_MMA_SMALL_WARP_M, WARP_N = QMMI_CUDA_MMA_SMALL_WARP_N;
    static constexpr int THREADS = QMMI_CUDA_MMA_SMALL_THREADS, SHARED = QMMI_CUDA_MMA_SMALL_SHARED;
};

/* ---- load -------------------------------------------------------------------------------------------------------- */

/* Copies strips of one operand, step after step. Each thread has one place in a row, and every ROWS_A_PASS-th row. */
template <int ROWS, int CHUNKS, int THREADS>
struct strip_copier {
    static constexpr int ROWS_A_PASS = THREADS / CHUNKS, PASSES = ROWS / ROWS_A_PASS;
    static_assert(ROWS % ROWS_A_PASS == 0 && ROWS_A_PASS % 8 == 0, "each pass copies whole periods of the layout");

    const unsigned char *source;
    int64_t pass_stride;
    int rows; /* of the matrix, from this thread's first row on */

    DEVICE void start(const qmmi_cuda_operand &o, int64_t b, int64_t first, int64_t outer, int step) {
        const int row = (int)threadIdx.x / CHUNKS, chunk = (int)threadIdx.x % CHUNKS;
        source = (const unsigned char *)o.codes + b * o.batch_stride + (first + row) * o.outer_stride +
                 ((int64_t)step * CHUNKS + chunk) * CHUNK;
        pass_stride = o.outer_stride * ROWS_A_PASS;
        rows = (int)(outer - first < ROWS ? outer - first : ROWS) - row;
    }

    /* bytes: how many of this thread's chunk are in the matrix. */
    DEVICE void copy(unsigned char *strip, int bytes) {
        unsigned char *to = strip + chunk_offset<CHUNKS>((int)threadIdx.x / CHUNKS, (int)threadIdx.x % CHUNKS);
#pragma unroll
        for (int pass = 0; pass < PASSES; pass++)
            ptx_cp_async_16(to + pass * (ROWS_A_PASS * CHUNKS * CHUNK), source + pass * pass_stride,
                            pass * ROWS_A_PASS < rows ? (uint32_t)bytes : 0);
        source += CHUNKS * CHUNK;
    }
};

/* ---- multiply ---------------------------------------------------------------------------------------------------- */

/* Rows of A, 16 at a time, over one slice of 32 k; `strip` begins with the warp's rows. */
template <int ROWS>
DEVICE void load_a(uint32_t (&a)[ROWS / 16][4], const unsigned char *strip, int slice) {
    const int lane = threadIdx.x % 32;
    const unsigned char *from = strip + chunk_offset<A_ROW / CHUNK>(lane % 16, slice * 2 + lane / 16);
#pragma unroll
    for (int i = 0; i < ROWS / 16; i++) ptx_ldmatrix_x4(a[i], from + i * 16 * A_ROW);
}

/* Columns of B, 8 at a time. 8-bit: an ldmatrix brings both halves of the slice of 16 columns. */
template <int COLUMNS>
DEVICE void load_b8(uint32_t (&b)[COLUMNS / 8][2], const unsigned char *strip, int slice) {
    const int lane = threadIdx.x % 32;
    const unsigned char *from =
        strip + chunk_offset<STEP_K / CHUNK>(lane % 8 + lane / 16 * 8, slice * 2 + lane / 8 % 2);
    uint32_t word[4];
#pragma unroll
    for (int j = 0; j < COLUMNS / 8; j += 2) {
        ptx_ldmatrix_x4(word, from + j * 8 * STEP_K);
        b[j][0] = word[0], b[j][1] = word[1];
        b[j + 1][0] = word[2], b[j + 1][1] = word[3];
    }
}

/* 4-bit: an ldmatrix brings the slice of 32 columns, to each lane the words that unpack to its part of fragments. */
template <int COLUMNS>
DEVICE void load_b4(uint32_t (&b)[COLUMNS / 8][2], const unsigned char *strip, int slice) {
    const unsigned char *from = strip + chunk_offset<STEP_K / 2 / CHUNK>(threadIdx.x % 32, slice);
    uint32_t word[4];
#pragma unroll
    for (int j = 0; j < COLUMNS / 8; j += 4) {
        ptx_ldmatrix_x4(word, from + j * 8 * (STEP_K / 2));
#pragma unroll
        for (int e = 0; e < 4; e++) b[j + e][0] = low_codes(word[e]), b[j + e][1] = high_codes(word[e]);
    }
}

/* ---- the engine of matmul_mma.cuh -------------------------------------------------------------------------------- */

template <class TILE, int BITS>
struct mma_engine : TILE {
    static constexpr int SLICES = STEP_K / 32;
    static constexpr int B_ROW = STEP_K * BITS / 8, A_BYTES = TILE::M * A_ROW, STAGE_BYTES = A_BYTES + TILE::N * B_ROW;
    static constexpr int STAGES = TILE::SHARED / STAGE_BYTES, AHEAD = STAGES - 1;
    static constexpr int PART_M = TILE::M;
    static_assert(STAGES >= 3, "two stages at least are under way while one is read");
    static_assert(PART_M * TILE_STRIDE<TILE::N> * 4 <= TILE::SHARED, "the finished tile fits the stages' memory");
    static_assert(TILE::WARP_M % 16 == 0 && TILE::WARP_N % 32 == 0, "an ldmatrix brings 16 rows, or 32 columns");

    strip_copier<TILE::M, A_ROW / CHUNK, TILE::THREADS> a;
    strip_copier<TILE::N, B_ROW / CHUNK, TILE::THREADS> b;
    int steps;        /* whose copies have not begun */
    int left;         /* k of them that both operands have in memory: what only one has is multiplied by zeros */
    int filled, used; /* bytes from the first stage to the one that is filled next, and to the one used next */

    /* Begins the copies of one step. After the last there are empty groups, so that `next` can count. */
    DEVICE void fill(unsigned char *memory) {
        if (steps > 0) {
            const int a_bytes = min(max(left - (int)threadIdx.x % (A_ROW / CHUNK) * CHUNK, 0), CHUNK);
            const int b_bytes = BITS == 8 ? a_bytes : (int)threadIdx.x % (B_ROW / CHUNK) * 32 < left ? CHUNK : 0;
            a.copy(memory + filled, a_bytes);
            b.copy(memory + filled + A_BYTES, b_bytes);
            filled = filled < AHEAD * STAGE_BYTES ? filled + STAGE_BYTES : 0;
            left -= STEP_K, steps--;
        }
        ptx_cp_async_commit();
    }

    DEVICE void start(const qmmi_cuda_matmul &m, const tile_segment &s, unsigned char *memory) {
        a.start(m.a, s.b, s.i, m.p.m, s.step);
        b.start(m.b, s.b, s.j, m.p.n, s.step);
        steps = s.end - s.step, filled = used = 0;
        left = (int)(min(m.a.k_bytes, m.b.k_bytes * 8 / BITS) - (int64_t)s.step * STEP_K);
#pragma unroll 1
        for (int stage = 0; stage < AHEAD; stage++) fill(memory);
    }

    /* The barrier serves twice: all see this step's copies, and all have read the stage that is filled now. */
    DEVICE const unsigned char *next(unsigned char *memory) {
        const unsigned char *strips = memory + used;
        used = used < AHEAD * STAGE_BYTES ? used + STAGE_BYTES : 0;
        ptx_cp_async_wait<AHEAD - 1>();
        __syncthreads();
        fill(memory);
        return strips;
    }

    DEVICE static void multiply(int (&acc)[TILE::WARP_M / 8][TILE::WARP_N / 8][2], const unsigned char *strips, int row,
                                int col, int slice) {
        uint32_t a[TILE::WARP_M / 16][4], b[TILE::WARP_N / 8][2];
        if constexpr (BITS == 8)
            load_b8<TILE::WARP_N>(b, strips + A_BYTES + col * B_ROW, slice);
        else
            load_b4<TILE::WARP_N>(b, strips + A_BYTES + col * B_ROW, slice);
        load_a<TILE::WARP_M>(a, strips + row * A_ROW, slice);
#pragma unroll
        for (int i = 0; i < TILE::WARP_M / 16; i++) {
#pragma unroll
            for (int j = 0; j < TILE::WARP_N / 8; j++) {
                int(&upper)[2] = acc[i * 2][j], (&lower)[2] = acc[i * 2 + 1][j];
                int d[4] = { upper[0], upper[1], lower[0], lower[1] };
                ptx_mma_m16n8k32_s8(d, a[i], b[j]);
                upper[0] = d[0], upper[1] = d[1], lower[0] = d[2], lower[1] = d[3];
            }
        }
    }
};

/* ---- the kernels ------------------------------------------------------------------------------------------------- */

KERNEL(matmul_s8_mma_large_kernel, QMMI_CUDA_MMA_LARGE_THREADS, QMMI_CUDA_MMA_LARGE_BLOCKS, qmmi_cuda_matmul, m) {
    DYNAMIC_SHARED(memory);
    multiply_tiles<mma_engine<large_tile, 8>>(m, memory);
}

KERNEL(matmul_s4_mma_large_kernel, QMMI_CUDA_MMA_LARGE_THREADS, QMMI_CUDA_MMA_LARGE_BLOCKS, qmmi_cuda_matmul, m) {
    DYNAMIC_SHARED(memory);
    multiply_tiles<mma_engine<large_tile, 4>>(m, memory);
}

KERNEL(matmul_s8_mma_small_kernel, QMMI_CUDA_MMA_SMALL_THREADS, QMMI_CUDA_MMA_SMALL_BLOCKS, qmmi_cuda_matmul, m) {
    DYNAMIC_SHARED(memory);
    multiply_tiles<mma_engine<small_tile, 8>>(m, memory);
}

KERNEL(matmul_s4_mma_small_kernel, QMMI_CUDA_MMA_SMALL_THREADS, QMMI_CUDA_MMA_SMALL_BLOCKS, qmmi_cuda_matmul, m) {
    DYNAMIC_SHARED(memory);
    multiply_tiles<mma_engine<small_tile, 4>>(m, memory);
}

KERNEL(matmul_s8_mma_grouped_kernel, QMMI_CUDA_MMA_SMALL_THREADS, QMMI_CUDA_MMA_GROUPED_BLOCKS, qmmi_cuda_matmul, m) {
    DYNAMIC_SHARED(memory);
    multiply_tiles_grouped<mma_engine<small_tile, 8>>(m, memory);
}

KERNEL(matmul_s4_mma_grouped_kernel, QMMI_CUDA_MMA_SMALL_THREADS, QMMI_CUDA_MMA_GROUPED_BLOCKS, qmmi_cuda_matmul, m) {
    DYNAMIC_SHARED(memory);
    multiply_tiles_grouped<mma_engine<small_tile, 4>>(m, memory);
}
