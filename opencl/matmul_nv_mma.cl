/* SPDX-License-Identifier: Apache-2.0
 *
 * Matmul on NVIDIA's tensor cores: mma.m16n8k32 s8, from sm_80 on. Operands are canonical (host/canonical.h).
 * Specification: host/cpu/matmul.c.
 *
 *                 B   128 columns
 *               .-----.-----.-----.-----.       A work-group of 8 warps makes 128 x 128 of C, each warp 64 x 32
 *               |  64 k a step: strips  |       (QMM_NV_MMA_SMALL: 4 warps, 64 x 64, each 32 x 32, 32 k a step).
 *               '-----'-----'-----'-----'
 *        .----. .-----.-----.-----.-----.       Each step's strips of A and B come through registers to one of two
 *     A  |    | | w0  | w2  | w4  | w6  |       stages of local memory, as matmul_tile.cl has it; 4-bit codes of B
 *        |    | |     |     |     |     |       become 8-bit on the way.
 *        .----. .-----.-----.-----.-----.
 *        |    | | w1  | w3  | w5  | w7  |       A strip is made of slices of 32 k: 32 bytes of a row, then those of the
 *        |    | |     |     |     |     |       next row. Every item brings 16 bytes of each slice of both.
 *        '----' '-----'-----'-----'-----'
 *
 * Lane l is to hold, of row l / 4, the k at 4 * (l % 4) and at 16 + 4 * (l % 4). The order of k within a slice does not
 * matter as long as it is the same for A and B, so it takes the 8 bytes at 8 * (l % 4): one load, and a warp's 32 loads
 * lie side by side, which meets no bank twice. */
#include "matmul_tile.cl"

#include "matmul_nv_mma.h"
#include "ptx.cl"

enum {
#ifdef QMM_NV_MMA_SMALL
    TILE = QMMI_CL_NV_MMA_SMALL_TILE,
    WARP_M = QMMI_CL_NV_MMA_SMALL_WARP_M,
    ITEMS = QMMI_CL_NV_MMA_SMALL_ITEMS,
    SLICES = QMMI_CL_NV_MMA_SMALL_SLICES,
    GROUPS = 1, /* along K: knows them */
#else
    TILE = QMMI_CL_NV_MMA_LARGE_TILE,
    WARP_M = QMMI_CL_NV_MMA_LARGE_WARP_M,
    ITEMS = QMMI_CL_NV_MMA_LARGE_ITEMS,
    SLICES = QMMI_CL_NV_MMA_LARGE_SLICES,
    GROUPS = 0,
#endif
    WARP_N = QMMI_CL_NV_MMA_WARP_N,
    BLOCKS_M = WARP_M / 16, /* of a warp, each one instruction */
    BLOCKS_N = WARP_N / 8,
    SLICE_K = QMMI_K_ALIGNMENT,
    STEP_K = SLICES * SLICE_K,
    ROW = SLICE_K / 4,    /* words */
    SLICE = TILE * ROW,   /* words of a slice of a strip */
    STRIP = SLICES * SLICE,
    STRIDE = TILE + 8,    /* words from row to row of the finished tile: 8 modulo 32, so that lanes meet all banks */
    PART = WARP_M * STRIDE,
    LOCAL_WORDS = 4 * STRIP > PART ? 4 * STRIP : PART, /* two stages, or a part of the finished tile */
    SIDES = GROUPS ? 2 * TILE : 1
};

/* ---- codes ------------------------------------------------------------------------------------------------------- */

/* What an item brings of a step: its piece of each slice. */
static void load_pieces(const MEMORY row, int bits, int k, int k_end, int which, int4 *piece) {
#pragma unroll
    for (int s = 0; s < SLICES; s++)
        piece[s] = k + s * SLICE_K < k_end ? tile_piece(row, bits, k + s * SLICE_K, which) : (int4)(0);
}

static void store_pieces(__local int *strip, int row, int bits, int which, const int4 *piece) {
    __local int *const to = strip + row * ROW + tile_piece_first(bits, which);
#pragma unroll
    for (int s = 0; s < SLICES; s++) {
        if (bits == 8) {
            *(__local int4 *)(to + s * SLICE) = piece[s];
        } else {
            *(__local int2 *)(to + s * SLICE) = piece[s].lo;
            *(__local int2 *)(to + s * SLICE + tile_piece_second(bits)) = piece[s].hi;
        }
    }
}

/* ---- products ---------------------------------------------------------------------------------------------------- */

/* acc += a warp's rows by its columns, over one slice; the item's own row and column begin at a and b. */
static void multiply(const __local int *a, const __local int *b, int4 (*acc)[BLOCKS_N] PTX_SCRATCH_PARAMETER) {
    int2 columns[BLOCKS_N];
#pragma unroll
    for (int j = 0; j < BLOCKS_N; j++) columns[j] = *(const __local int2 *)(b + j * 8 * ROW);
#pragma unroll
    for (int i = 0; i < BLOCKS_M; i++) {
        const int2 upper = *(const __local int2 *)(a + i * 16 * ROW);
        const int2 lower = *(const __local int2 *)(a + (i * 16 + 8) * ROW);
        const int4 rows = (int4)(upper.x, lower.x, upper.y, lower.y);
#pragma unroll
        for (int j = 0; j < BLOCKS_N; j++)
            acc[i][j] = ptx_mma_m16n8k32_s8(rows, columns[j], acc[i][j] PTX_SCRATCH_ARGUMENT);
    }
}

/* A group of K has ended: adds its terms to y; acc begins anew. The sides are those of the item's first row and
 * column. */
static void end_group(const qmmi_cl_matmul *m, const __local matmul_side *rows, const __local matmul_side *columns,
                      int4 (*acc)[BLOCKS_N], float4 (*y)[BLOCKS_N]) {
#pragma unroll
    for (int i = 0; i < BLOCKS_M; i++) {
        const matmul_side upper = rows[i * 16], lower = rows[i * 16 + 8];
#pragma unroll
        for (int j = 0; j < BLOCKS_N; j++) {
            const matmul_side left = columns[j * 8], right = columns[j * 8 + 1];
            const int4 sum = acc[i][j];
            y[i][j].x = add_group(m, &upper, &left, sum.x, y[i][j].x);
            y[i][j].y = add_group(m, &upper, &right, sum.y, y[i][j].y);
            y[i][j].z = add_group(m, &lower, &left, sum.z, y[i][j].z);
            y[i][j].w = add_group(m, &lower, &right, sum.w, y[i][j].w);
            acc[i][j] = (int4)(0);
        }
    }
}

static void put_block(__local int *to, int4 word) {
    *(__local int2 *)to = word.lo;
    *(__local int2 *)(to + 8 * STRIDE) = word.hi;
}

/* ---- the kernel -------------------------------------------------------------------------------------------------- */

__kernel __attribute__((reqd_work_group_size(ITEMS, 1, 1))) void
matmul_nv_mma_kernel(const qmmi_cl_matmul m, MATMUL_PARAMETERS) {
    __local int4 stages[LOCAL_WORDS / 4];
    __local matmul_side sides[2 * SIDES];
    __local tile_corner corner; /* not in registers: the accumulators want them */
    PTX_SCRATCH(ITEMS)
    MATMUL_MEMORY(memory);
    __local int *const shared = (__local int *)stages;
    const int item = (int)get_local_id(0), warp = item / 32, b_bits = m.b.bits, k_end = (int)m.k;
    const int warp_row = warp % (TILE / WARP_M) * WARP_M, warp_column = warp / (TILE / WARP_M) * WARP_N;
    const int row = warp_row + item % 32 / 4, column = warp_column + item % 4 * 2; /* of the item's sums */
    const int of_a = row * ROW + item % 4 * 2, of_b = STRIP + (warp_column + item % 32 / 4) * ROW + item % 4 * 2;
    const int brought = item / 2, which = item % 2;
    const tile_corner here = tile_of_group(&m, TILE, TILE);
    const MEMORY a_row = tile_row(&m.a, memory.a, here.b, here.i + brought, m.p.m);
    const MEMORY b_row = tile_row(&m.b, memory.b, here.b, here.j + brought, m.p.n);
    int4 a_piece[SLICES], b_piece[SLICES];
    int4 acc[BLOCKS_M][BLOCKS_N];
    float4 y[BLOCKS_M][BLOCKS_N];
    long group = 0, group_left = m.group_k;
    int turn = 0;
#pragma unroll
    for (int i = 0; i < BLOCKS_M; i++)
#pragma unroll
        for (int j = 0; j < BLOCKS_N; j++) acc[i][j] = (int4)(0), y[i][j] = (float4)(0.0f);
    if (item == 0) corner = here;
    load_pieces(a_row, 8, 0, k_end, which, a_piece);
    load_pieces(b_row, b_bits, 0, k_end, which, b_piece);
    for (int k = 0; k < k_end; k += STEP_K) {
        __local int *const stage = shared + turn * 2 * STRIP;
        __local matmul_side *const of_group = sides + (group & 1) * SIDES;
        group_left -= STEP_K;
        store_pieces(stage, brought, 8, which, a_piece);
        store_pieces(stage + STRIP, brought, b_bits, which, b_piece);
        if (GROUPS && m.grouped && group_left == 0)
            of_group[item] = tile_side(&m, &memory, &here, TILE, item, group);
        barrier(CLK_LOCAL_MEM_FENCE);
        if (k + STEP_K < k_end) {
            load_pieces(a_row, 8, k + STEP_K, k_end, which, a_piece);
            load_pieces(b_row, b_bits, k + STEP_K, k_end, which, b_piece);
        }
#pragma unroll 1
        for (int s = 0; s < SLICES; s++)
            multiply(stage + of_a + s * SLICE, stage + of_b + s * SLICE, acc PTX_SCRATCH_ARGUMENT);
        if (GROUPS && m.grouped && group_left == 0) {
            end_group(&m, of_group + row, of_group + TILE + column, acc, y);
            group++, group_left = m.group_k;
        }
        turn ^= 1;
    }
#pragma unroll 1
    for (int first = 0; first < TILE; first += WARP_M) {
        const tile_corner finished = corner;
        barrier(CLK_LOCAL_MEM_FENCE);
        if (warp_row == first) {
            __local int *const to = shared + (row - first) * STRIDE + column;
#pragma unroll
            for (int i = 0; i < BLOCKS_M; i++)
#pragma unroll
                for (int j = 0; j < BLOCKS_N; j++)
                    put_block(to + i * 16 * STRIDE + j * 8, GROUPS && m.grouped ? as_int4(y[i][j]) : acc[i][j]);
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        tile_finish(&m, &memory, &finished, first, WARP_M, TILE, shared, STRIDE, ITEMS);
    }
}
