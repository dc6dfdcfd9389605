/* SPDX-License-Identifier: Apache-2.0
 *
 * Matmul on tensor cores: mma.m8n8k16 s8, for Turing (sm_75), which has neither the larger instruction nor cp.async of
 * matmul_mma.cu; right on every architecture from there on. Operands are canonical (host/canonical.h), 4-bit codes of B
 * stay 4-bit as far as the registers. Specification: host/cpu/matmul.c.
 *
 * A block of 8 warps makes 128 x 128 of C, each warp 64 x 32 (with factors per group of K: 4 warps, 64 x 64, each 32 x
 * 32), in steps of 64 k. While a step is multiplied, the next is
 * on its way from memory to registers; from there it goes to the other of two stages:
 *
 *     step          0                 1                 2
 *     registers     | load 1          | load 2          | load 3
 *     stage 0       | multiply 0      |                 | multiply 2
 *     stage 1       |                 | multiply 1      |
 *                   '- store 0,       '- store 1,       '- store 2,
 *                      barrier           barrier           barrier
 *
 * One barrier a step is enough: whoever stores to a stage has passed the barrier that follows its last use. */
#include "matmul_mma.cuh"
#include "matmul_mma_k16.h"
#include "matmul_operand.cuh"

constexpr int STEP_K = QMMI_CUDA_MMA_K16_K;
constexpr int A_ROW = STEP_K; /* bytes of a row of a strip of A */

struct plain_tile {
    static constexpr int M = QMMI_CUDA_MMA_K16_M, N = QMMI_CUDA_MMA_K16_N, PART_M = QMMI_CUDA_MMA_K16_PART_M;
    static constexpr int WARP_M = QMMI_CUDA_MMA_K16_WARP_M, WARP_N = 32;
    static constexpr int THREADS = QMMI_CUDA_MMA_K16_THREADS, SHARED = QMMI_CUDA_MMA_K16_SHARED;
};

struct grouped_tile {
    static constexpr int M = QMMI_CUDA_MMA_K16_GROUPED_M, N = QMMI_CUDA_MMA_K16_GROUPED_N;
    static constexpr int PART_M = QMMI_CUDA_MMA_K16_GROUPED_PART_M;
    static constexpr int WARP_M = QMMI_CUDA_MMA_K16_GROUPED_WARP_M, WARP_N = 32;
    static constexpr int THREADS = QMMI_CUDA_MMA_K16_GROUPED_THREADS, SHARED = QMMI_CUDA_MMA_K16_GROUPED_SHARED;
};

/* ---- load -------------------------------------------------------------------------------------------------------- */

/* Brings strips of one operand to registers, then to shared memory. Each thread has one place in a row, and every
 * ROWS_A_PASS-th row. */
template <int ROWS, int CHUNKS, int THREADS>
struct strip_loader {
    static constexpr int ROWS_A_PASS = THREADS / CHUNKS, PASSES = ROWS / ROWS_A_PASS;
    static_assert(ROWS % ROWS_A_PASS == 0 && ROWS_A_PASS % 8 == 0, "each pass copies whole periods of the layout");

    const unsigned char *source;
    int64_t pass_stride;
    int left; /* readable bytes of a row, from this thread's next chunk on */
    int rows; /* of the matrix, from this thread's first row on */
    int4 chunk[PASSES];

    DEVICE void start(const qmmi_cuda_operand &o, int64_t b, int64_t first, int64_t outer, int step) {
        const int row = (int)threadIdx.x / CHUNKS, byte = (step * CHUNKS + (int)threadIdx.x % CHUNKS) * CHUNK;
        source = (const unsigned char *)o.codes + b * o.batch_stride + (first + row) * o.outer_stride + byte;
        pass_stride = o.outer_stride * ROWS_A_PASS;
        left = (int)o.k_bytes - byte;
        rows = (int)(outer - first < ROWS ? outer - first : ROWS) - row;
    }

    DEVICE void load() {
#pragma unroll
        for (int pass = 0; pass < PASSES; pass++) {
            chunk[pass] = make_int4(0, 0, 0, 0);
            if (left > 0 && pass * ROWS_A_PASS < rows) chunk[pass] = load_canonical(source + pass * pass_stride, left);
        }
        source += CHUNKS * CHUNK;
        left -= CHUNKS * CHUNK;
    }

    DEVICE void store(unsigned char *strip) const {
        unsigned char *to = strip + chunk_offset<CHUNKS>((int)threadIdx.x / CHUNKS, (int)threadIdx.x % CHUNKS);
#pragma unroll
        for (int pass = 0; pass < PASSES; pass++) *(int4 *)(to + pass * (ROWS_A_PASS * CHUNKS * CHUNK)) = chunk[pass];
    }
};

/* ---- the engine of matmul_mma.cuh -------------------------------------------------------------------------------- */

template <class TILE, int BITS>
struct mma_k16_engine : TILE {
    static constexpr int SLICES = STEP_K / 32;
    static constexpr int B_ROW = STEP_K * BITS / 8, A_BYTES = TILE::M * A_ROW, STAGE_BYTES = A_BYTES + TILE::N * B_ROW;
    static constexpr int BLOCKS_M = TILE::WARP_M / 8, BLOCKS_N = TILE::WARP_N / 8;
    static_assert(2 * STAGE_BYTES <= TILE::SHARED, "there are two stages");
    static_assert(TILE::PART_M * TILE_STRIDE<TILE::N> * 4 <= TILE::SHARED, "a part of the finished tile fits");
    static_assert(TILE::WARP_M % 32 == 0 && TILE::WARP_N == 32, "an ldmatrix brings 32 rows or columns");

    strip_loader<TILE::M, A_ROW / CHUNK, TILE::THREADS> a;
    strip_loader<TILE::N, B_ROW / CHUNK, TILE::THREADS> b;
    int steps; /* that are not loaded yet */
    int stage; /* the one that is filled next */

    DEVICE void load() {
        if (steps-- <= 0) return;
        a.load();
        b.load();
    }

    DEVICE void start(const qmmi_cuda_matmul &m, const tile_segment &s, unsigned char *) {
        a.start(m.a, s.b, s.i, m.p.m, s.step);
        b.start(m.b, s.b, s.j, m.p.n, s.step);
        steps = s.end - s.step, stage = 0;
        load();
    }

    DEVICE const unsigned char *next(unsigned char *memory) {
        unsigned char *strips = memory + stage * STAGE_BYTES;
        stage ^= 1;
        a.store(strips);
        b.store(strips + A_BYTES);
        __syncthreads();
        load();
        return strips;
    }

    /* 16 k: a chunk of each row, and the fragments of 32 columns. */
    DEVICE static void multiply_half(int (&acc)[BLOCKS_M][BLOCKS_N][2], const unsigned char *rows, int chunk,
                                     const uint32_t (&b)[4]) {
        const unsigned char *from = rows + chunk_offset<A_ROW / CHUNK>(threadIdx.x % 32, chunk);
        uint32_t a[4];
#pragma unroll
        for (int i = 0; i < BLOCKS_M; i++) {
            if (i % 4 == 0) ptx_ldmatrix_x4(a, from + i * 8 * A_ROW);
#pragma unroll
            for (int j = 0; j < BLOCKS_N; j++) ptx_mma_m8n8k16_s8(acc[i][j], a[i % 4], b[j]);
        }
    }

    DEVICE static void multiply(int (&acc)[BLOCKS_M][BLOCKS_N][2], const unsigned char *strips, int row, int col,
                                int slice) {
        const unsigned char *rows = strips + row * A_ROW, *columns = strips + A_BYTES + col * B_ROW;
        const int lane = threadIdx.x % 32;
        uint32_t word[4], b[4];
        if constexpr (BITS == 4) {
            ptx_ldmatrix_x4(word, columns + chunk_offset<B_ROW / CHUNK>(lane, slice));
#pragma unroll
            for (int j = 0; j < 4; j++) b[j] = low_codes(word[j]), word[j] = high_codes(word[j]);
        } else {
            ptx_ldmatrix_x4(b, columns + chunk_offset<B_ROW / CHUNK>(lane, slice * 2));
            ptx_ldmatrix_x4(word, columns + chunk_offset<B_ROW / CHUNK>(lane, slice * 2 + 1));
        }
        multiply_half(acc, rows, slice * 2, b);
        multiply_half(acc, rows, slice * 2 + 1, word);
    }
};

/* ---- the kernels ------------------------------------------------------------------------------------------------- */

KERNEL(matmul_s8_mma_k16_kernel, QMMI_CUDA_MMA_K16_THREADS, QMMI_CUDA_MMA_K16_BLOCKS, qmmi_cuda_matmul, m) {
    DYNAMIC_SHARED(memory);
    multiply_tiles<mma_k16_engine<plain_tile, 8>>(m, memory);
}

KERNEL(matmul_s4_mma_k16_kernel, QMMI_CUDA_MMA_K16_THREADS, QMMI_CUDA_MMA_K16_BLOCKS, qmmi_cuda_matmul, m) {
    DYNAMIC_SHARED(memory);
    multiply_tiles<mma_k16_engine<plain_tile, 4>>(m, memory);
}

KERNEL(matmul_s8_mma_k16_grouped_kernel, QMMI_CUDA_MMA_K16_GROUPED_THREADS, QMMI_CUDA_MMA_K16_GROUPED_BLOCKS,
       qmmi_cuda_matmul, m) {
    DYNAMIC_SHARED(memory);
    multiply_tiles_grouped<mma_k16_engine<grouped_tile, 8>>(m, memory);
}

KERNEL(matmul_s4_mma_k16_grouped_kernel, QMMI_CUDA_MMA_K16_GROUPED_THREADS, QMMI_CUDA_MMA_K16_GROUPED_BLOCKS,
       qmmi_cuda_matmul, m) {
    DYNAMIC_SHARED(memory);
    multiply_tiles_grouped<mma_k16_engine<grouped_tile, 4>>(m, memory);
}
