/* SPDX-License-Identifier: Apache-2.0
 *
 * matmul in f32 on CPUs, whose vector units multiply and add floats faster than bytes. Specification host/cpu/matmul.c;
 * panels of B and the rest of the work: matmul_panels.h, matmul_panel.cl.
 *
 * A product of two s8 is at most 2^14 in size, so that sums of up to 1,024 of them are integers of at most 2^24: all
 * exact in f32, with a rounding after the product or without. The s32 sums take them over after each BLOCK of k.
 *
 * A block of the panel becomes floats once for all rows of the work-item, ROWS rows of A once for all its columns:
 *
 *                    COLUMNS at a time: vectors of LANES
 *     row 0  a       [ sums ] [ sums ] ...
 *     ...              in registers
 *     row 5  a       [ sums ] [ sums ] ... */
#include "matmul_panel.cl"

/* 24 vectors of 16 with the 32 registers of AVX512, else 12 of 8 with 16 registers. */
#ifdef __AVX512F__
typedef float16 lanes;
#define LOAD vload16
#define STORE vstore16
#define TO_INTS convert_int16
typedef int16 int_lanes;
enum { LANES = 16, COLUMNS = 64 };
#else
typedef float8 lanes;
#define LOAD vload8
#define STORE vstore8
#define TO_INTS convert_int8
typedef int8 int_lanes;
enum { LANES = 8, COLUMNS = 16 };
#endif

enum {
    ROWS = QMMI_CL_PANEL_TILE_ROWS,
    VECTORS = COLUMNS / LANES,
    BLOCK = 256 /* k at a time: at most 1,024; the floats of COLUMNS columns are to stay near the first-level cache */
};

/* ---- floats ------------------------------------------------------------------------------------------------------ */

/* The block of the panel as [COLUMNS columns each][k][column]. */
static void load_panel(const __global int *panel, int length, float *b) {
    for (int k = 0; k < length; k += 4) {
        for (int c = 0; c < QMMI_CL_PANEL; c += 16) {
            const int16 four = vload16(0, panel + k / 4 * QMMI_CL_PANEL + c);
            float *to = b + c / COLUMNS * (BLOCK * COLUMNS) + k * COLUMNS + c % COLUMNS;
            vstore16(convert_float16(four << 24 >> 24), 0, to);
            vstore16(convert_float16(four << 16 >> 24), 0, to + COLUMNS);
            vstore16(convert_float16(four << 8 >> 24), 0, to + 2 * COLUMNS);
            vstore16(convert_float16(four >> 24), 0, to + 3 * COLUMNS);
        }
    }
}

static void load_row(const __global char *from, int length, float *a) {
    for (int k = 0; k < length; k += 16) vstore16(convert_float16(vload16(0, from + k)), 0, a + k);
}

/* ---- products ---------------------------------------------------------------------------------------------------- */

/* Adds to the sums of ROWS rows, COLUMNS columns. */
static void multiply_tile(const float *a, const float *b, int length, int *sums) {
#pragma OPENCL FP_CONTRACT ON
    lanes c[ROWS][VECTORS];
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
#pragma unroll
        for (int v = 0; v < VECTORS; v++) c[r][v] = (lanes)(0.0f);
    }
    for (int k = 0; k < length; k++) {
        lanes columns[VECTORS];
#pragma unroll
        for (int v = 0; v < VECTORS; v++) columns[v] = LOAD(v, b + k * COLUMNS);
#pragma unroll
        for (int r = 0; r < ROWS; r++) {
            const lanes row = (lanes)(a[r * BLOCK + k]);
#pragma unroll
            for (int v = 0; v < VECTORS; v++) c[r][v] = row * columns[v] + c[r][v];
        }
    }
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
#pragma unroll
        for (int v = 0; v < VECTORS; v++) {
            int *to = sums + r * QMMI_CL_PANEL;
            STORE(LOAD(v, to) + TO_INTS(c[r][v]), v, to);
        }
    }
}

/* A last tile of fewer rows does its last row again. */
static void multiply_range(const qmmi_cl_matmul *m, const matmul_item *item, long start, int length, int *sums) {
    float a[ROWS * BLOCK], b[BLOCK * QMMI_CL_PANEL];
    for (int n = 0; n < ITEM_ELEMENTS; n++) sums[n] = 0;
    for (int k = 0; k < length; k += BLOCK) {
        const int part = min(length - k, (int)BLOCK);
        load_panel(item->panel + (start + k) / 4 * QMMI_CL_PANEL, part, b);
        for (int first = 0; first < item->rows; first += ROWS) {
            for (int r = 0; r < ROWS; r++)
                load_row(item->a + min(first + r, item->rows - 1) * m->a.outer_stride + start + k, part, a + r * BLOCK);
            for (int c = 0; c < QMMI_CL_PANEL; c += COLUMNS)
                multiply_tile(a, b + c * BLOCK, part, sums + first * QMMI_CL_PANEL + c);
        }
    }
}

__kernel void matmul_exact_f32_kernel(const qmmi_cl_matmul_panels p, MATMUL_PARAMETERS) {
    MATMUL_MEMORY(memory);
    multiply_item(&p, &memory);
}
