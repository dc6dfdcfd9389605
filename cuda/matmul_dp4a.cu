/* SPDX-License-Identifier: Apache-2.0
 *
 * matmul by dp4a, four products an instruction, on every architecture and without tensor cores.
 * Specification: host/cpu/matmul.c; the operands are canonical (host/canonical.h).
 *
 * A block makes a tile of 64 x 64 in steps of 64 k. The next step's codes travel through registers while this one's, in
 * shared memory, are multiplied; there are two such stages, so that a step costs one barrier.
 *
 *     stage         word [k / 4][row], rows padded to 68: a thread reads its rows side by side, and 2 x 16 lanes that
 *                   write 16 bytes of a row each meet all 32 banks
 *     thread        rows 4 * (t / 16) .. + 4, columns 4 * (t % 16) .. + 4
 *
 * The same shared memory then takes the finished tile. */
#include "matmul_dp4a.h"
#include "matmul_operand.cuh"
#include "matmul_tile.cuh"
#include "ptx.cuh"

constexpr int TILE_M = QMMI_CUDA_DP4A_TILE_M, TILE_N = QMMI_CUDA_DP4A_TILE_N, TILE_K = QMMI_CUDA_DP4A_TILE_K;
constexpr int THREADS = QMMI_CUDA_DP4A_THREADS;
constexpr int ROWS = 4, COLUMNS = 4;      /* of a thread */
constexpr int STRIDE = TILE_N + 4;        /* words, of a stage and of the finished tile */
constexpr int SIDE = TILE_K / 4 * STRIDE; /* words of one operand's stage */
constexpr int RUN = 32;                   /* k between two looks at the groups */

static_assert(TILE_M == TILE_N, "both operands fill stages of one shape");
static_assert(TILE_M / ROWS * (TILE_N / COLUMNS) == THREADS, "the threads make up the tile");
static_assert(TILE_M * (TILE_K / 16) == THREADS, "a thread brings 16 bytes of each operand");
static_assert(4 * SIDE >= TILE_M * STRIDE, "the finished tile fits the stages' memory");
static_assert(TILE_K % RUN == 0 && QMMI_K_ALIGNMENT % RUN == 0, "groups end between runs");

/* ---- the stages -------------------------------------------------------------------------------------------------- */

/* The row, and the 16 bytes of it, that a thread brings of either operand. */
DEVICE int staged_row() {
    return threadIdx.x / 2 % TILE_M;
}

DEVICE int staged_piece() {
    return threadIdx.x % 2 + threadIdx.x / (2 * TILE_M) * 2;
}

DEVICE int4 load_piece(const qmmi_cuda_operand &o, int64_t b, int64_t row, int64_t rows, int step) {
    const int step_bytes = TILE_K * o.bits / 8;
    const int64_t offset = (int64_t)step * step_bytes + staged_piece() * 16;
    if (row >= rows || offset >= o.k_bytes || staged_piece() * 16 >= step_bytes) return make_int4(0, 0, 0, 0);
    return load_canonical((const unsigned char *)o.codes + b * o.batch_stride + row * o.outer_stride + offset,
                          o.k_bytes - offset);
}

DEVICE void store_words(int *stage, int k4, int4 piece) {
    int *to = stage + k4 * STRIDE + staged_row();
    to[0] = piece.x, to[STRIDE] = piece.y, to[2 * STRIDE] = piece.z, to[3 * STRIDE] = piece.w;
}

DEVICE int4 nibbles_of(int4 piece, int shift) {
    const uint32_t mask = 0xf0f0f0f0u;
    return make_int4((int)(((uint32_t)piece.x << shift) & mask), (int)(((uint32_t)piece.y << shift) & mask),
                     (int)(((uint32_t)piece.z << shift) & mask), (int)(((uint32_t)piece.w << shift) & mask));
}

DEVICE void store_piece(int *stage, int bits, int4 piece) {
    if (bits == 8) {
        store_words(stage, staged_piece() * 4, piece);
    } else if (staged_piece() * 32 < TILE_K) { /* 32 k, as 16 times the codes */
        store_words(stage, staged_piece() * 8, nibbles_of(piece, 4));
        store_words(stage, staged_piece() * 8 + 4, nibbles_of(piece, 0));
    }
}

/* ---- the products ------------------------------------------------------------------------------------------------ */

/* acc += rows of A by columns of B over 32 k, the stages' words beginning at the thread's own. */
DEVICE void multiply_run(const int *a, const int *b, int (&acc)[ROWS][COLUMNS]) {
#pragma unroll
    for (int k4 = 0; k4 < RUN / 4; k4++) {
        const int4 rows = *(const int4 *)(a + k4 * STRIDE), columns = *(const int4 *)(b + k4 * STRIDE);
        const int x[ROWS] = { rows.x, rows.y, rows.z, rows.w };
        const int y[COLUMNS] = { columns.x, columns.y, columns.z, columns.w };
#pragma unroll
        for (int r = 0; r < ROWS; r++)
#pragma unroll
            for (int c = 0; c < COLUMNS; c++) acc[r][c] = ptx_dp4a(x[r], y[c], acc[r][c]);
    }
}

/* A group of K has ended: adds its terms to y; acc begins anew. */
DEVICE void end_group(const qmmi_cuda_matmul &m, const matmul_side *rows, const matmul_side *columns,
                      int (&acc)[ROWS][COLUMNS], float (&y)[ROWS][COLUMNS]) {
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
#pragma unroll
        for (int c = 0; c < COLUMNS; c++) {
            y[r][c] = add_group(m, rows[r], columns[c], acc[r][c], y[r][c]);
            acc[r][c] = 0;
        }
    }
}

DEVICE void put_tile(int *tile, bool grouped, const int (&acc)[ROWS][COLUMNS], const float (&y)[ROWS][COLUMNS]) {
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
        int word[COLUMNS];
#pragma unroll
        for (int c = 0; c < COLUMNS; c++) word[c] = grouped ? __float_as_int(y[r][c]) : acc[r][c];
        *(int4 *)(tile + r * STRIDE) = make_int4(word[0], word[1], word[2], word[3]);
    }
}

/* ---- the kernel -------------------------------------------------------------------------------------------------- */

KERNEL(matmul_dp4a_kernel, QMMI_CUDA_DP4A_THREADS, QMMI_CUDA_DP4A_BLOCKS, qmmi_cuda_matmul, m) {
    SHARED_ARRAY(int4, memory, SIDE); /* 2 stages of 2 operands */
    SHARED_ARRAY(matmul_side, sides, TILE_M + TILE_N);
    int *const shared = &memory[0].x;
    const bool grouped = epilogue_grouped(m.p);
    const int row = threadIdx.x / 16 * ROWS, column = threadIdx.x % 16 * COLUMNS;
    tile_cursor cursor = first_segment(m, blockIdx.x);
    tile_segment s;
    while (next_segment<TILE_M, TILE_N>(m, cursor, s)) {
        int acc[ROWS][COLUMNS] = {};
        float y[ROWS][COLUMNS] = {};
        int group = 0, k_of_group = 0;
        int4 a = load_piece(m.a, s.b, s.i + staged_row(), m.p.m, s.step);
        int4 b = load_piece(m.b, s.b, s.j + staged_row(), m.p.n, s.step);
        int *stage = shared;
        for (int step = s.step; step < s.end; step++) {
            store_piece(stage, m.a.bits, a);
            store_piece(stage + SIDE, m.b.bits, b);
            __syncthreads();
            if (step + 1 < s.end) {
                a = load_piece(m.a, s.b, s.i + staged_row(), m.p.m, step + 1);
                b = load_piece(m.b, s.b, s.j + staged_row(), m.p.n, step + 1);
            }
#pragma unroll 1
            for (int k4 = 0; k4 < TILE_K / 4; k4 += RUN / 4) {
                multiply_run(stage + k4 * STRIDE + row, stage + SIDE + k4 * STRIDE + column, acc);
                k_of_group += RUN;
                if (grouped && k_of_group == m.group_k && group < m.p.groups) {
                    load_sides<TILE_M, TILE_N, THREADS>(m, s, group, sides);
                    end_group(m, sides + row, sides + TILE_M + column, acc, y);
                    group++, k_of_group = 0;
                }
            }
            stage = stage == shared ? shared + 2 * SIDE : shared;
        }
        __syncthreads();
        put_tile(shared + row * STRIDE + column, grouped, acc, y);
        finish_tile<TILE_M, TILE_N, THREADS>(m, s, shared, STRIDE);
    }
}
