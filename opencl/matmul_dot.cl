/* SPDX-License-Identifier: Apache-2.0
 *
 * matmul by products of four bytes at a time, for any GPU: dot.cl has the ways to make them. The operands are canonical
 * (host/canonical.h). Specification: host/cpu/matmul.c.
 *
 * A work-group of 256 makes a tile of 64 x 64 in steps of 32 k, as matmul_tile.cl has it. The first half of the items
 * brings A's codes, the second B's, 16 k each.
 *
 *     stage     word [k / 4][row], rows padded to 68: an item reads its rows side by side, and the items that store a
 *               piece meet all of 32 banks
 *     item      rows 4 * (t / 16) .. + 4, columns 4 * (t % 16) .. + 4
 *
 * The same local memory then takes the finished tile, 32 rows at a time: 11.5 KiB in all. */
#include "matmul_tile.cl"

#include "dot.cl"
#include "matmul_dot.h"

enum {
    TILE_M = QMMI_CL_DOT_TILE_M,
    TILE_N = QMMI_CL_DOT_TILE_N,
    ITEMS = QMMI_CL_DOT_ITEMS,
    ROWS = QMMI_CL_DOT_ROWS,
    COLUMNS = QMMI_CL_DOT_COLUMNS,
    STRIDE = QMMI_CL_DOT_STRIDE,
    PART_M = QMMI_CL_DOT_PART_M,
    STEP_K = QMMI_K_ALIGNMENT,
    STRIP = STEP_K / 4 * STRIDE, /* words of one operand's stage */
    SIDES = TILE_M + TILE_N
};

static void store_piece(__local int *strip, int row, int bits, int which, int4 piece) {
    __local int *low = strip + tile_piece_first(bits, which) * STRIDE + row;
    __local int *high = low + tile_piece_second(bits) * STRIDE;
    low[0] = piece.x, low[STRIDE] = piece.y;
    high[0] = piece.z, high[STRIDE] = piece.w;
}

/* One row of A by four columns of B, over 4 k. */
static int4 dot_row(int a, int4 b, int4 acc) {
    return (int4)(dot4(a, b.x, acc.x), dot4(a, b.y, acc.y), dot4(a, b.z, acc.z), dot4(a, b.w, acc.w));
}

/* acc[row] += rows of A by columns of B over one step, whose words begin at the item's own. What an item holds is never
 * indexed by a variable: a compiler that does not unroll would put it into memory. */
static void multiply(const __local int *a, const __local int *b, int4 *acc) {
#pragma unroll
    for (int k4 = 0; k4 < STEP_K / 4; k4++) {
        const int4 rows = *(const __local int4 *)(a + k4 * STRIDE), columns = *(const __local int4 *)(b + k4 * STRIDE);
        acc[0] = dot_row(rows.x, columns, acc[0]);
        acc[1] = dot_row(rows.y, columns, acc[1]);
        acc[2] = dot_row(rows.z, columns, acc[2]);
        acc[3] = dot_row(rows.w, columns, acc[3]);
    }
}

/* Adds what one row of the item's has of a group of K to y. */
static float4 end_row(const qmmi_cl_matmul *m, const __local matmul_side *row, const __local matmul_side *columns,
                      int4 acc, float4 y) {
    const matmul_side of_row = *row, c0 = columns[0], c1 = columns[1], c2 = columns[2], c3 = columns[3];
    return (float4)(add_group(m, &of_row, &c0, acc.x, y.x), add_group(m, &of_row, &c1, acc.y, y.y),
                    add_group(m, &of_row, &c2, acc.z, y.z), add_group(m, &of_row, &c3, acc.w, y.w));
}

/* A group of K has ended: adds its terms to y; acc begins anew. The rows take turns in the first place. */
static void end_group(const qmmi_cl_matmul *m, const __local matmul_side *rows, const __local matmul_side *columns,
                      int4 *acc, float4 *y) {
#pragma unroll 1
    for (int r = 0; r < ROWS; r++) {
        const float4 ended = end_row(m, rows + r, columns, acc[0], y[0]);
        acc[0] = acc[1], acc[1] = acc[2], acc[2] = acc[3], acc[3] = (int4)(0);
        y[0] = y[1], y[1] = y[2], y[2] = y[3], y[3] = ended;
    }
}

static void put_rows(__local int *to, const int4 *word) {
    *(__local int4 *)to = word[0];
    *(__local int4 *)(to + STRIDE) = word[1];
    *(__local int4 *)(to + 2 * STRIDE) = word[2];
    *(__local int4 *)(to + 3 * STRIDE) = word[3];
}

__kernel __attribute__((reqd_work_group_size(QMMI_CL_DOT_ITEMS, 1, 1))) void
matmul_dot_kernel(const qmmi_cl_matmul m, MATMUL_PARAMETERS) {
    __local int4 stages[2 * 2 * STRIP / 4];
    __local matmul_side sides[2 * SIDES];
    MATMUL_MEMORY(memory);
    __local int *const shared = (__local int *)stages;
    const tile_corner corner = tile_of_group(&m, TILE_M, TILE_N);
    const int item = (int)get_local_id(0), row = item / 16 * ROWS, column = item % 16 * COLUMNS;
    const bool brings_a = item < ITEMS / 2;
    const int bits = brings_a ? 8 : m.b.bits, brought = item % (ITEMS / 2) / 2, which = item % 2;
    const MEMORY from = brings_a ? tile_row(&m.a, memory.a, corner.b, corner.i + brought, m.p.m)
                                 : tile_row(&m.b, memory.b, corner.b, corner.j + brought, m.p.n);
    int4 piece = tile_piece(from, bits, 0, which);
    int4 acc[ROWS] = { (int4)(0), (int4)(0), (int4)(0), (int4)(0) };
    float4 y[ROWS] = { (float4)(0.0f), (float4)(0.0f), (float4)(0.0f), (float4)(0.0f) };
    long group = 0, group_left = m.group_k;
    int turn = 0;
    for (long k = 0; k < m.k; k += STEP_K) {
        __local int *const stage = shared + turn * 2 * STRIP;
        __local matmul_side *const of_group = sides + (group & 1) * SIDES;
        group_left -= STEP_K;
        store_piece(stage + (brings_a ? 0 : STRIP), brought, bits, which, piece);
        if (m.grouped && group_left == 0 && item < SIDES)
            of_group[item] = tile_side(&m, &memory, &corner, TILE_M, item, group);
        barrier(CLK_LOCAL_MEM_FENCE);
        if (k + STEP_K < m.k) piece = tile_piece(from, bits, k + STEP_K, which);
        multiply(stage + row, stage + STRIP + column, acc);
        if (m.grouped && group_left == 0) {
            end_group(&m, of_group + row, of_group + TILE_M + column, acc, y);
            group++, group_left = m.group_k;
        }
        turn ^= 1;
    }
    if (m.grouped)
        acc[0] = as_int4(y[0]), acc[1] = as_int4(y[1]), acc[2] = as_int4(y[2]), acc[3] = as_int4(y[3]);
#pragma unroll 1
    for (int first = 0; first < TILE_M; first += PART_M) {
        barrier(CLK_LOCAL_MEM_FENCE);
        if (row / PART_M * PART_M == first) put_rows(shared + (row - first) * STRIDE + column, acc);
        barrier(CLK_LOCAL_MEM_FENCE);
        tile_finish(&m, &memory, &corner, first, PART_M, TILE_N, shared, STRIDE, ITEMS);
    }
}
