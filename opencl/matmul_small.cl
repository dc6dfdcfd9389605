/* SPDX-License-Identifier: Apache-2.0
 *
 * matmul with few rows of A, as in decoding: what counts is that the weights are read once, at the speed of memory.
 * Canonical operands (host/canonical.h); specification host/cpu/matmul.c.
 *
 * A work-group's tile of C is ROWS x 8. Its items share K, by runs of 32 k:
 *
 *     item        0     1     ...  63    0     1     ...
 *     column j    run   run   ...  run   run   run   ...    32 bytes each, or 16 of 4-bit codes
 *     column j+1  ...                                       8 columns: all of an item's loads of a step are independent
 *
 * The items' sums are added up in local memory. With factors per group of K, as many items (lanes) share a group as it
 * has runs; the groups that the work-group has at a time become floats there, side by side, and are added to the tile
 * in the order of k.
 *
 * Build options: ROWS; those of dot.cl; ONE_ITEM: a work-group is one item, which suits a CPU: it reads along each row,
 * and multiplies in vectors. */
#ifndef ONE_ITEM
#define QMM_ROLLED_EPILOGUE
#endif

#include "dot.cl"
#include "epilogue.cl"
#include "matmul_small.h"

#ifdef ONE_ITEM
enum { ITEMS = 1 };
#else
enum { ITEMS = QMMI_CL_SMALL_ITEMS };
#endif

enum { COLUMNS = QMMI_CL_SMALL_COLUMNS, ELEMENTS = ROWS * COLUMNS, RUN = QMMI_K_ALIGNMENT };

/* ---- products ---------------------------------------------------------------------------------------------------- */

/* 16 codes, ready to be multiplied, and sums of their products. */
#ifdef ONE_ITEM

typedef short16 codes16;
typedef int8 sums;

static codes16 codes_of(int4 bytes) {
    return convert_short16(as_char16(bytes));
}

/* A product of two codes fits 16 bits. */
static sums multiply_add(codes16 a, codes16 b, sums sum) {
    const short16 product = a * b;
    return sum + convert_int8(product.lo) + convert_int8(product.hi);
}

static int total_of(sums sum) {
    const int4 v = sum.lo + sum.hi;
    return v.x + v.y + v.z + v.w;
}

#else

typedef int4 codes16;
typedef int sums;

static codes16 codes_of(int4 bytes) {
    return bytes;
}

static sums multiply_add(codes16 a, codes16 b, sums sum) {
    return dot4(a.w, b.w, dot4(a.z, b.z, dot4(a.y, b.y, dot4(a.x, b.x, sum))));
}

static int total_of(sums sum) {
    return sum;
}

#endif

/* The codes of a run. */
typedef struct run_codes {
    codes16 first, second;
} run_codes;

static run_codes load_codes(const __global uchar *from, int bits) {
    const int4 bytes = *(const __global int4 *)from;
    run_codes codes;
    if (bits == 4) { /* 16 times the codes: low nibbles are the first 16 k, high ones the second */
        codes.first = codes_of((bytes << 4) & (int4)0xf0f0f0f0);
        codes.second = codes_of(bytes & (int4)0xf0f0f0f0);
    } else {
        codes.first = codes_of(bytes);
        codes.second = codes_of(((const __global int4 *)from)[1]);
    }
    return codes;
}

/* ---- the way along K --------------------------------------------------------------------------------------------- */

/* A tile of C; outside it, and so of no matter, are rows from `rows` on, columns from `columns` on. */
typedef struct tile_place {
    long b, i, j;
    int rows, columns;
} tile_place;

/* `lanes` items share a group of `runs` runs, so the work-group has `slots` groups at a time; without factors per group
 * all of K is one group. */
typedef struct walk {
    int groups, runs, lanes, slots;
    int slot, lane; /* of this item: its group's place among them, its place in the group */
} walk;

INLINE walk walk_of(const qmmi_cl_matmul *m, int item) {
    walk w;
    w.groups = m->grouped ? (int)m->p.groups : 1;
    w.runs = (int)((m->grouped ? m->group_k : m->k) / RUN);
    w.lanes = ITEMS;
    while (w.lanes / 2 >= w.runs) w.lanes /= 2;
    w.slots = ITEMS / w.lanes;
    w.slot = item / w.lanes;
    w.lane = item % w.lanes;
    return w;
}

/* The products of one run. `bits` is a constant where this is called: without branches between them, a compiler can
 * issue all loads before the first product. */
INLINE void multiply_run(const qmmi_cl_matmul *m, const tile_place *at, const __global uchar *a,
                         const __global uchar *b, int bits, sums *acc) {
    run_codes x[ROWS];
#pragma unroll
    for (int i = 0; i < ROWS; i++) x[i] = load_codes(a + min(i, at->rows - 1) * m->a.outer_stride, 8);
#pragma unroll
    for (int c = 0; c < COLUMNS; c++) {
        const run_codes y = load_codes(b + min(c, at->columns - 1) * m->b.outer_stride, bits);
#pragma unroll
        for (int i = 0; i < ROWS; i++) {
            sums *sum = acc + i * COLUMNS + c;
            *sum = multiply_add(x[i].second, y.second, multiply_add(x[i].first, y.first, *sum));
        }
    }
}

/* This item's sums over one group. Rows and columns outside the tile are read as its last ones. */
INLINE void multiply_group(const qmmi_cl_matmul *m, const matmul_memory *memory, const tile_place *at, const walk *w,
                           int group, sums *acc) {
    const int b_bytes = m->b.bits * RUN / 8;
    const long first = (long)group * w->runs + w->lane;
    const __global uchar *a = memory->a + m->a.offset + at->b * m->a.batch_stride + at->i * m->a.outer_stride +
                              first * RUN;
    const __global uchar *b = memory->b + m->b.offset + at->b * m->b.batch_stride + at->j * m->b.outer_stride +
                              first * b_bytes;
    if (m->b.bits == 4) {
        for (int run = w->lane; run < w->runs; run += w->lanes, a += w->lanes * RUN, b += w->lanes * (RUN / 2))
            multiply_run(m, at, a, b, 4, acc);
    } else {
        for (int run = w->lane; run < w->runs; run += w->lanes, a += w->lanes * RUN, b += w->lanes * RUN)
            multiply_run(m, at, a, b, 8, acc);
    }
}

/* ---- sums across items ------------------------------------------------------------------------------------------- */

/* part[element][item]: adds up over the lanes of each group, into the first of them. */
static void add_lanes(__local int *part, const walk *w, int item) {
    for (int distance = w->lanes / 2; distance > 0; distance /= 2) {
        barrier(CLK_LOCAL_MEM_FENCE);
        if (w->lane < distance)
            for (int e = 0; e < ELEMENTS; e++) part[e * ITEMS + item] += part[e * ITEMS + item + distance];
    }
    barrier(CLK_LOCAL_MEM_FENCE);
}

/* The sums of the groups from `group` on become floats, as bits, each where it was, and are added to `tile` in the
 * order of k. */
INLINE void add_groups(const qmmi_cl_matmul *m, const matmul_memory *memory, const tile_place *at, const walk *w,
                       int group, int item, __local int *part, __local int *tile) {
    const int count = min(w->groups - group, w->slots);
    for (int n = item; n < count * COLUMNS; n += ITEMS) {
        const int slot = n / COLUMNS, c = n % COLUMNS;
        const matmul_side b = side_of_b(m, memory, at->b, at->j + min(c, at->columns - 1), group + slot);
        for (int i = 0; i < ROWS; i++) {
            __local int *word = part + (i * COLUMNS + c) * ITEMS + slot * w->lanes;
            const matmul_side a = side_of_a(m, memory, at->b, at->i + min(i, at->rows - 1), group + slot);
            *word = as_int(add_group(m, &a, &b, *word, 0.0f));
        }
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int e = item; e < ELEMENTS; e += ITEMS) {
        float y = as_float(tile[e]);
        for (int slot = 0; slot < count; slot++) y = y + as_float(part[e * ITEMS + slot * w->lanes]);
        tile[e] = as_int(y);
    }
    barrier(CLK_LOCAL_MEM_FENCE);
}

/* ---- kernel ------------------------------------------------------------------------------------------------------ */

INLINE tile_place place_of(const qmmi_cl_matmul *m, long group) {
    const long tiles_m = (m->p.m + ROWS - 1) / ROWS, tiles_n = (m->p.n + COLUMNS - 1) / COLUMNS;
    const long column = quotient(group, tiles_m); /* tiles of the same weights come together */
    tile_place at;
    at.b = quotient(column, tiles_n);
    at.i = (group - column * tiles_m) * ROWS;
    at.j = (column - at.b * tiles_n) * COLUMNS;
    at.rows = (int)min(m->p.m - at.i, (long)ROWS);
    at.columns = (int)min(m->p.n - at.j, (long)COLUMNS);
    return at;
}

__kernel void matmul_small_kernel(const qmmi_cl_matmul m, MATMUL_PARAMETERS) {
    MATMUL_MEMORY(memory);
    __local int part[ELEMENTS * ITEMS];
    __local int tile[ELEMENTS]; /* sums, or with groups the floats, as bits */
    const int item = (int)get_local_id(0);
    const tile_place at = place_of(&m, get_group_id(0));
    const walk w = walk_of(&m, item);
    for (int e = item; e < ELEMENTS; e += ITEMS) tile[e] = 0;
    for (int group = 0; group < w.groups; group += w.slots) {
        sums acc[ELEMENTS];
#pragma unroll
        for (int e = 0; e < ELEMENTS; e++) acc[e] = 0;
        if (group + w.slot < w.groups) multiply_group(&m, &memory, &at, &w, group + w.slot, acc);
#pragma unroll
        for (int e = 0; e < ELEMENTS; e++) part[e * ITEMS + item] = total_of(acc[e]);
        add_lanes(part, &w, item);
        if (m.grouped) {
            add_groups(&m, &memory, &at, &w, group, item, part, tile);
        } else {
            for (int e = item; e < ELEMENTS; e += ITEMS) tile[e] = part[e * ITEMS];
            barrier(CLK_LOCAL_MEM_FENCE);
        }
    }
    for (int i = item; i < at.rows; i += ITEMS) {
        int word[COLUMNS];
        for (int c = 0; c < COLUMNS; c++) word[c] = tile[i * COLUMNS + c];
        epilogue_words(&m, &memory, m.grouped, at.b, at.i + i, at.j, at.columns, word);
    }
}
