/* SPDX-License-Identifier: Apache-2.0
 *
 * matmul on x86 CPUs with AVX512-VNNI, for OpenCL drivers whose compiler is clang. Specification host/cpu/matmul.c;
 * panels of B and the rest of the work: matmul_panels.h, matmul_panel.cl.
 *
 * VPDPBUSD multiplies u8 by s8: B has 128 added to it, so that A is read where it lies, four k of one row at a time to
 * all lanes, and a sum begins at -128 sum a:
 *
 *                        64 columns: 4 vectors of 16 lanes x 4 k
 *     row 0  a a a a     [ sums ] [ sums ] [ sums ] [ sums ]
 *     ...                  24 vectors, in registers
 *     row 5  a a a a     [ sums ] [ sums ] [ sums ] [ sums ]
 *
 * In between sums wrap around; those of canonical problems fit an int32 in the end.
 *
 * The driver may compile for a lesser CPU than there is, since its clang can be older. So the function says itself what
 * it is compiled for, and must not become part of a kernel that is compiled for less. The host asks the CPU. */
#include "matmul_panel.cl"

enum {
    ROWS = QMMI_CL_PANEL_TILE_ROWS,
    VECTORS = 4 /* of columns */
};

#define WITH_VNNI __attribute__((noinline, target("avx512f,avx512bw,avx512vl,avx512vnni")))

/* -128 sum a. */
WITH_VNNI static int start_of_row(const __global char *a, int length) {
    int8 sums = (int8)(0);
    int4 folded;
    for (int k = 0; k < length; k += 32)
        sums = __builtin_ia32_vpdpbusd256(sums, (int8)((int)0x80808080), vload8(0, (const __global int *)(a + k)));
    folded = sums.lo + sums.hi;
    return -(folded.x + folded.y + folded.z + folded.w);
}

/* The sums of one tile: row r of A is at a + offset[r]. */
WITH_VNNI static void multiply_tile(const __global char *a, const long *offset, const __global int *panel, int length,
                                    int *sums) {
    const __global char *row[ROWS];
    int16 c[ROWS][VECTORS];
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
        const int start = start_of_row(a + offset[r], length);
        row[r] = a + offset[r];
#pragma unroll
        for (int v = 0; v < VECTORS; v++) c[r][v] = (int16)(start);
    }
    for (int k = 0; k < length; k += 4) {
        int16 b[VECTORS];
#pragma unroll
        for (int v = 0; v < VECTORS; v++) b[v] = vload16(v, panel + k / 4 * QMMI_CL_PANEL);
#pragma unroll
        for (int r = 0; r < ROWS; r++) {
            const int16 four = (int16)(*(const __global int *)(row[r] + k));
#pragma unroll
            for (int v = 0; v < VECTORS; v++) c[r][v] = __builtin_ia32_vpdpbusd512(c[r][v], b[v], four);
        }
    }
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
#pragma unroll
        for (int v = 0; v < VECTORS; v++) vstore16(c[r][v], v, sums + r * QMMI_CL_PANEL);
    }
}

/* A last tile of fewer rows does its last row again. */
static void multiply_range(const qmmi_cl_matmul *m, const matmul_item *item, long start, int length, int *sums) {
    for (int first = 0; first < item->rows; first += ROWS) {
        long offset[ROWS];
        for (int r = 0; r < ROWS; r++) offset[r] = min(first + r, item->rows - 1) * m->a.outer_stride;
        multiply_tile(item->a + start, offset, item->panel + start / 4 * QMMI_CL_PANEL, length,
                      sums + first * QMMI_CL_PANEL);
    }
}

__kernel void matmul_x86_vnni_kernel(const qmmi_cl_matmul_panels p, MATMUL_PARAMETERS) {
    MATMUL_MEMORY(memory);
    multiply_item(&p, &memory);
}
