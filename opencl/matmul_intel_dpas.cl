/* SPDX-License-Identifier: Apache-2.0
 *
 * Matmul on the matrix engines of Intel's GPUs, by dpas.cl: QMM_DPAS_SUBGROUP is 8 (Xe-HPG) or 16 (Xe-HPC, Xe2).
 * Operands are canonical (host/canonical.h). Specification: host/cpu/matmul.c.
 *
 * A work-group of 128 makes 64 x 64 of C in steps of 32 k, as matmul_tile.cl has it. A subgroup makes 16 rows by twice
 * as many columns as it has lanes: 2 x 2 instructions a step.
 *
 *     subgroups of 8      s0  s1  s2  s3            subgroups of 16     s0      s1
 *                         s4  s5  s6  s7   16 x 16                      s2      s3      16 x 32
 *                         ...                                           ...
 *
 * Every item brings 16 bytes of A and of B. In local memory A's strip is 32 bytes of a row, then those of the next; a
 * subgroup reads a row at a time. B's is word [k / 4][column], columns padded to 68: a subgroup reads the k of its
 * columns side by side. The finished tile has local memory of its own, where the floats are from the start if there are
 * groups: the registers would not hold them too. 28 KiB in all, of the 64 that these devices have. */
#include "matmul_tile.cl"

#include "dpas.cl"
#include "matmul_intel_dpas.h"

enum {
    TILE = QMMI_CL_DPAS_TILE,
    ITEMS = QMMI_CL_DPAS_ITEMS,
    LANES = QMM_DPAS_SUBGROUP,
    BLOCK_M = 8, /* rows of an instruction; it has as many columns as lanes */
    BLOCKS = 2,  /* of a subgroup, each way */
    SUBGROUPS_N = TILE / (BLOCKS * LANES),
    STEP_K = QMMI_K_ALIGNMENT,
    STRIDE = QMMI_CL_DPAS_STRIDE,
    A_ROW = STEP_K / 4, /* words */
    A_STRIP = TILE * A_ROW,
    STAGE = A_STRIP + STEP_K / 4 * STRIDE,
    SIDES = 2 * TILE
};

/* ---- codes ------------------------------------------------------------------------------------------------------- */

static void store_b(__local int *strip, int column, int bits, int which, int4 piece) {
    __local int *low = strip + tile_piece_first(bits, which) * STRIDE + column;
    __local int *high = low + tile_piece_second(bits) * STRIDE;
    low[0] = piece.x, low[STRIDE] = piece.y;
    high[0] = piece.z, high[STRIDE] = piece.w;
}

/* A lane's part of 8 rows. */
static dpas_a load_a(const __local int *rows, int lane) {
    const __local dpas_part *part = (const __local dpas_part *)rows + lane;
    const int row = A_ROW * 4 / (int)sizeof(dpas_part);
    return (dpas_a)(part[0], part[row], part[2 * row], part[3 * row], part[4 * row], part[5 * row], part[6 * row],
                    part[7 * row]);
}

/* A lane's column. */
static int8 load_b(const __local int *column) {
    return (int8)(column[0], column[STRIDE], column[2 * STRIDE], column[3 * STRIDE], column[4 * STRIDE],
                  column[5 * STRIDE], column[6 * STRIDE], column[7 * STRIDE]);
}

/* ---- sums -------------------------------------------------------------------------------------------------------- */

/* acc += a subgroup's rows by its columns, over one step. */
static void multiply(const __local int *rows, const __local int *column, int lane, int8 *acc DPAS_SCRATCH_PARAMETER) {
    const dpas_a upper = load_a(rows, lane), lower = load_a(rows + BLOCK_M * A_ROW, lane);
    const int8 left = load_b(column), right = load_b(column + LANES);
    acc[0] = dpas_i8_k32(upper, left, acc[0] DPAS_SCRATCH_ARGUMENT);
    acc[1] = dpas_i8_k32(upper, right, acc[1] DPAS_SCRATCH_ARGUMENT);
    acc[2] = dpas_i8_k32(lower, left, acc[2] DPAS_SCRATCH_ARGUMENT);
    acc[3] = dpas_i8_k32(lower, right, acc[3] DPAS_SCRATCH_ARGUMENT);
}

static void put_block(__local int *to, int8 word) {
    to[0] = word.s0, to[STRIDE] = word.s1, to[2 * STRIDE] = word.s2, to[3 * STRIDE] = word.s3;
    to[4 * STRIDE] = word.s4, to[5 * STRIDE] = word.s5, to[6 * STRIDE] = word.s6, to[7 * STRIDE] = word.s7;
}

/* A group of K has ended: adds its terms to the floats, which are in local memory as bits; acc begins anew. The
 * pointers are to the subgroup's first row, and to the item's first column. Blocks, and elements, take turns in the
 * first place: an index that varies would put them into memory. */
static void end_group(const qmmi_cl_matmul *m, const __local matmul_side *rows, const __local matmul_side *column,
                      int8 *acc, __local int *y) {
#pragma unroll 1
    for (int n = 0; n < BLOCKS * BLOCKS; n++) {
        const matmul_side of_column = column[n % BLOCKS * LANES];
        int8 sums = acc[0];
#pragma unroll 1
        for (int r = n / BLOCKS * BLOCK_M; r < (n / BLOCKS + 1) * BLOCK_M; r++) {
            const matmul_side of_row = rows[r];
            __local int *const to = y + r * STRIDE + n % BLOCKS * LANES;
            *to = as_int(add_group(m, &of_row, &of_column, sums.s0, as_float(*to)));
            sums = sums.s12345670;
        }
        acc[0] = acc[1], acc[1] = acc[2], acc[2] = acc[3], acc[3] = (int8)(0);
    }
}

/* Stores what an item has of its subgroup's part of the tile. */
static void put_blocks(__local int *to, const int8 *word) {
    put_block(to, word[0]);
    put_block(to + LANES, word[1]);
    put_block(to + BLOCK_M * STRIDE, word[2]);
    put_block(to + BLOCK_M * STRIDE + LANES, word[3]);
}

/* ---- the kernel -------------------------------------------------------------------------------------------------- */

__kernel DPAS_KERNEL __attribute__((reqd_work_group_size(ITEMS, 1, 1))) void
matmul_intel_dpas_kernel(const qmmi_cl_matmul m, MATMUL_PARAMETERS) {
    __local int4 stages[2 * STAGE / 4], tile[TILE * STRIDE / 4];
    __local matmul_side sides[2 * SIDES];
    DPAS_SCRATCH(ITEMS)
    MATMUL_MEMORY(memory);
    const tile_corner corner = tile_of_group(&m, TILE, TILE);
    const int item = (int)get_local_id(0), lane = dpas_lane(), b_bits = m.b.bits;
    const int row = dpas_subgroup() / SUBGROUPS_N * BLOCKS * BLOCK_M; /* the subgroup's first */
    const int column = dpas_subgroup() % SUBGROUPS_N * BLOCKS * LANES + lane; /* the item's first */
    const int brought = item / 2, which = item % 2;
    const MEMORY a_row = tile_row(&m.a, memory.a, corner.b, corner.i + brought, m.p.m);
    const MEMORY b_row = tile_row(&m.b, memory.b, corner.b, corner.j + brought, m.p.n);
    int4 a_piece = tile_piece(a_row, 8, 0, which), b_piece = tile_piece(b_row, b_bits, 0, which);
    int8 acc[BLOCKS * BLOCKS] = { (int8)(0), (int8)(0), (int8)(0), (int8)(0) };
    __local int *const own = (__local int *)tile + row * STRIDE + column;
    long group = 0, group_left = m.group_k;
    int turn = 0;
    if (m.grouped) put_blocks(own, acc);
    for (long k = 0; k < m.k; k += STEP_K) {
        __local int *const stage = (__local int *)stages + turn * STAGE;
        __local matmul_side *const of_group = sides + (group & 1) * SIDES;
        group_left -= STEP_K;
        *(__local int4 *)(stage + brought * A_ROW + which * 4) = a_piece;
        store_b(stage + A_STRIP, brought, b_bits, which, b_piece);
        if (m.grouped && group_left == 0) of_group[item] = tile_side(&m, &memory, &corner, TILE, item, group);
        barrier(CLK_LOCAL_MEM_FENCE);
        if (k + STEP_K < m.k) {
            a_piece = tile_piece(a_row, 8, k + STEP_K, which);
            b_piece = tile_piece(b_row, b_bits, k + STEP_K, which);
        }
        multiply(stage + row * A_ROW, stage + A_STRIP + column, lane, acc DPAS_SCRATCH_ARGUMENT);
        if (m.grouped && group_left == 0) {
            end_group(&m, of_group + row, of_group + TILE + column, acc, own);
            group++, group_left = m.group_k;
        }
        turn ^= 1;
    }
    if (!m.grouped) put_blocks(own, acc);
    barrier(CLK_LOCAL_MEM_FENCE);
    tile_finish(&m, &memory, &corner, 0, TILE, TILE, (const __local int *)tile, STRIDE, ITEMS);
}
