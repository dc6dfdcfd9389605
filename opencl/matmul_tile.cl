/* SPDX-License-Identifier: Apache-2.0
 *
 * What the kernels share whose work-groups make a tile of C each: which tile, how codes come to local memory, and how a
 * finished tile leaves it. Work-groups have one dimension. A kernel is
 *
 *     for each step along K:
 *         store the pieces of codes that were loaded during the step before;
 *         if a group of K ends with the step, store its sides;
 *         barrier; begin to load the next pieces;
 *         multiply; if a group ends, add it to the floats (add_group in epilogue.cl);
 *     for each part of the tile: barrier; store it; barrier; tile_finish.
 *
 * Steps, and groups, take turns between two places in local memory. So one barrier a step is enough: who stores to a
 * place has passed the barrier that follows its last use. */
#ifndef QMM_OPENCL_MATMUL_TILE_CL
#define QMM_OPENCL_MATMUL_TILE_CL

#define QMM_ROLLED_EPILOGUE
#include "epilogue.cl"

/* ---- the work ---------------------------------------------------------------------------------------------------- */

typedef struct tile_corner {
    long b, i, j; /* matrix, first row, first column */
} tile_corner;

/* Tiles are numbered along bands of 8 rows of tiles, in a band column by column: work-groups that run at the same time
 * share rows of A and columns of B in the cache. */
static tile_corner tile_of_group(const qmmi_cl_matmul *m, int tile_m, int tile_n) {
    const long tiles_m = (m->p.m + tile_m - 1) / tile_m, tiles_n = (m->p.n + tile_n - 1) / tile_n;
    const long tile = (long)get_group_id(0), b = tile / (tiles_m * tiles_n), in_matrix = tile - b * tiles_m * tiles_n;
    const long band = in_matrix / (8 * tiles_n), in_band = in_matrix - band * 8 * tiles_n;
    const long rows = tiles_m - band * 8 < 8 ? tiles_m - band * 8 : 8, column = in_band / rows;
    tile_corner corner;
    corner.b = b;
    corner.i = (band * 8 + in_band - column * rows) * tile_m;
    corner.j = column * tile_n;
    return corner;
}

/* ---- codes ------------------------------------------------------------------------------------------------------- */

/* Where a row of A, or column of B, begins; outside of C it is the last one, whose products nobody stores. */
static const MEMORY tile_row(const qmmi_cl_codes *o, const MEMORY codes, long b, long row, long rows) {
    return codes + o->offset + b * o->batch_stride + (row < rows ? row : rows - 1) * o->outer_stride;
}

/* A piece is one half, number `which`, of the 32 k from k on of one row: 4 words of 4 k each; of 4-bit codes, those of
 * 16 times the codes. */
static int4 tile_piece(const MEMORY row, int bits, long k, int which) {
    if (bits == 4) {
        const uint2 word = *(const __global uint2 *)(row + k / 2 + which * 8);
        return as_int4((uint4)(word << 4, word) & 0xf0f0f0f0u);
    }
    return *(const __global int4 *)(row + k + which * 16);
}

/* Of the 8 words of the 32 k, a piece has two neighbours from `first` on, and two from first + `second` on. */
static int tile_piece_first(int bits, int which) {
    return which * (bits == 4 ? 2 : 4);
}

static int tile_piece_second(int bits) {
    return bits == 4 ? 4 : 2;
}

/* ---- groups along K ---------------------------------------------------------------------------------------------- */

/* Number n of what the tile has for a group: the sides of tile_m rows of A, then those of columns of B; outside of C
 * they are those of the last row or column. */
static matmul_side tile_side(const qmmi_cl_matmul *m, const matmul_memory *memory, const tile_corner *corner,
                             int tile_m, int n, long group) {
    const bool of_a = n < tile_m;
    const long outer = of_a ? corner->i + n : corner->j + n - tile_m, last = of_a ? m->p.m - 1 : m->p.n - 1;
    const long inside = outer < last ? outer : last;
    return of_a ? side_of_a(m, memory, corner->b, inside, group) : side_of_b(m, memory, corner->b, inside, group);
}

/* ---- the finished tile ------------------------------------------------------------------------------------------- */

/* The epilogue of rows row .. row + rows of the tile, which are in `part`, `stride` words apart (a multiple of 4). All
 * `items` of the work-group call it. */
static void tile_finish(const qmmi_cl_matmul *m, const matmul_memory *memory, const tile_corner *corner, int row,
                        int rows, int tile_n, const __local int *part, int stride, int items) {
    const int runs = tile_n / EPILOGUE_RUN;
    for (int n = (int)get_local_id(0); n < rows * runs; n += items) {
        const int r = n / runs, c = n % runs * EPILOGUE_RUN;
        const long i = corner->i + row + r, j = corner->j + c;
        if (i < m->p.m && j < m->p.n) {
            const __local int4 *from = (const __local int4 *)(part + r * stride + c);
            const int count = m->p.n - j < EPILOGUE_RUN ? (int)(m->p.n - j) : EPILOGUE_RUN;
            int word[EPILOGUE_RUN];
            vstore4(from[0], 0, word);
            vstore4(from[1], 1, word);
            epilogue_words(m, memory, m->grouped, corner->b, i, j, count, word);
        }
    }
}

#endif
