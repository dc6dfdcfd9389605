/* SPDX-License-Identifier: Apache-2.0
 *
 * Makes the panels of B that matmul_panels.h describes, from canonical codes (host/canonical.h) or from the rows of an
 * s8 B.
 *
 * From canonical codes: in words of four k a panel is the transpose of its columns. 16 columns at a time go through
 * 16 x 8 words in registers: one row of words per column, read at once, one vector of 16 columns per word, written at
 * once. From rows: four of them make a row of words.
 *
 * Columns past the last one are made of that one again: nobody looks at what comes of them. */
#include "device.cl"
#include "matmul_panels.h"

enum {
    COLUMNS = 16, /* at a time */
    RUN = 32      /* canonical k at a time: 8 words, or 4 of packed nibbles */
};

#define RECENTER 0x80808080 /* adds 128 to each of four s8, which makes u8 of them */
#define NIBBLES (int)0xf0f0f0f0

/* ---- a transpose in registers ------------------------------------------------------------------------------------ */

/* Exchanges, in squares of 2 * s words along the diagonals of x and y, the upper right one of four with the lower left
 * one. */
static void exchange_1(int16 *x, int16 *y) {
    const int16 a = *x, b = *y;
    *x = (int16)(a.s0, b.s0, a.s2, b.s2, a.s4, b.s4, a.s6, b.s6, a.s8, b.s8, a.sa, b.sa, a.sc, b.sc, a.se, b.se);
    *y = (int16)(a.s1, b.s1, a.s3, b.s3, a.s5, b.s5, a.s7, b.s7, a.s9, b.s9, a.sb, b.sb, a.sd, b.sd, a.sf, b.sf);
}

static void exchange_2(int16 *x, int16 *y) {
    const int16 a = *x, b = *y;
    *x = (int16)(a.s01, b.s01, a.s45, b.s45, a.s89, b.s89, a.scd, b.scd);
    *y = (int16)(a.s23, b.s23, a.s67, b.s67, a.sab, b.sab, a.sef, b.sef);
}

static void exchange_4(int16 *x, int16 *y) {
    const int16 a = *x, b = *y;
    *x = (int16)(a.s0123, b.s0123, a.s89ab, b.s89ab);
    *y = (int16)(a.s4567, b.s4567, a.scdef, b.scdef);
}

/* ---- canonical codes: one run of 32 k of 16 columns -------------------------------------------------------------- */

/* 8 words a column: x[i] has columns i and i + 8, then word i of all columns. */
static void transpose_bytes(const __global uchar *from, const long *column, long k, int16 *x) {
#pragma unroll
    for (int i = 0; i < 8; i++)
        x[i] = (int16)(vload8(0, (const __global int *)(from + column[i] + k)),
                       vload8(0, (const __global int *)(from + column[i + 8] + k)));
#pragma unroll
    for (int i = 0; i < 8; i += 2) exchange_1(x + i, x + i + 1);
#pragma unroll
    for (int i = 0; i < 8; i += 4) exchange_2(x + i, x + i + 2), exchange_2(x + i + 1, x + i + 3);
#pragma unroll
    for (int i = 0; i < 4; i++) exchange_4(x + i, x + i + 4);
}

/* 4 words a column, of low and high nibbles: host/canonical.h. */
static void transpose_nibbles(const __global uchar *from, const long *column, long k, int16 *x) {
#pragma unroll
    for (int i = 0; i < 4; i++)
        x[i] = (int16)(vload4(0, (const __global int *)(from + column[i] + k / 2)),
                       vload4(0, (const __global int *)(from + column[i + 4] + k / 2)),
                       vload4(0, (const __global int *)(from + column[i + 8] + k / 2)),
                       vload4(0, (const __global int *)(from + column[i + 12] + k / 2)));
#pragma unroll
    for (int i = 0; i < 4; i += 2) exchange_1(x + i, x + i + 1);
#pragma unroll
    for (int i = 0; i < 2; i++) exchange_2(x + i, x + i + 2);
#pragma unroll
    for (int i = 0; i < 4; i++) {
        x[i + 4] = x[i] & (int16)NIBBLES;
        x[i] = x[i] << 4 & (int16)NIBBLES;
    }
}

static void panel_from_codes(const qmmi_cl_panels *p, const __global uchar *from, long first, long start, long end,
                             int16 recenter, __global int *to) {
    for (int c = 0; c < QMMI_CL_PANEL; c += COLUMNS) {
        long column[COLUMNS];
        for (int i = 0; i < COLUMNS; i++) column[i] = min(first + c + i, p->n - 1) * p->from.outer_stride;
        for (long k = start; k < end; k += RUN) {
            int16 x[8];
            if (p->from.bits == 4)
                transpose_nibbles(from, column, k, x);
            else
                transpose_bytes(from, column, k, x);
#pragma unroll
            for (int i = 0; i < 8; i++) vstore16(x[i] ^ recenter, 0, to + (k / 4 + i) * QMMI_CL_PANEL + c);
        }
    }
}

/* ---- rows of an s8 B: each has the same k of all columns --------------------------------------------------------- */

static uint16 load_row(const __global uchar *row, long left) {
    uchar code[COLUMNS];
    if (left >= COLUMNS) return convert_uint16(vload16(0, row));
    for (int i = 0; i < COLUMNS; i++) code[i] = row[min((long)i, left - 1)];
    return convert_uint16(vload16(0, code));
}

static void panel_from_rows(const qmmi_cl_panels *p, const __global uchar *from, long first, long start, long end,
                            int16 recenter, __global int *to) {
    for (long k = start; k < end; k += 4) {
        for (int c = 0; c < QMMI_CL_PANEL; c += COLUMNS) {
            const long column = min(first + c, p->n - 1), left = p->n - column;
            const __global uchar *row = from + k * p->row_stride + column;
            const uint16 word = load_row(row, left) | load_row(row + p->row_stride, left) << 8 |
                                load_row(row + 2 * p->row_stride, left) << 16 |
                                load_row(row + 3 * p->row_stride, left) << 24;
            vstore16(as_int16(word) ^ recenter, 0, to + k / 4 * QMMI_CL_PANEL + c);
        }
    }
}

/* ---- kernels ----------------------------------------------------------------------------------------------------- */

static int16 recentering(const qmmi_cl_panels *p) {
    return (int16)(p->unsigned_codes ? (int)RECENTER : 0);
}

/* Work-items: (chunk of k, panel, matrix). */
__kernel void matmul_panels_kernel(const qmmi_cl_panels p, const MEMORY codes, MEMORY panels) {
    const long b = get_global_id(2), first = (long)get_global_id(1) * QMMI_CL_PANEL;
    const long start = (long)get_global_id(0) * QMMI_CL_PANELS_CHUNK;
    const long end = min(start + QMMI_CL_PANELS_CHUNK, p.k);
    const __global uchar *from = codes + p.from.offset + b * p.from.batch_stride;
    __global int *to = (__global int *)(panels + p.offset + b * p.batch_stride + first * p.k);
    if (p.row_stride)
        panel_from_rows(&p, from, first, start, end, recentering(&p), to);
    else
        panel_from_codes(&p, from, first, start, end, recentering(&p), to);
}

/* Work-items: (group of k, panel, matrix). */
__kernel void matmul_panel_sums_kernel(const qmmi_cl_panels p, const MEMORY panels, MEMORY sums) {
    const long group = get_global_id(0), first = (long)get_global_id(1) * QMMI_CL_PANEL, b = get_global_id(2);
    const __global int *panel = (const __global int *)(panels + p.offset + b * p.batch_stride + first * p.k) +
                                group * p.group_k / 4 * QMMI_CL_PANEL;
    __global int *to = (__global int *)(sums + p.from.sums_offset) + b * p.from.sums_batch_stride +
                       group * p.from.sums_group_stride;
    for (int c = 0; c < QMMI_CL_PANEL; c += COLUMNS) {
        int sum_of[COLUMNS];
        int16 sum = 0;
        for (long k = 0; k < p.group_k; k += 4) {
            const int16 word = vload16(0, panel + k / 4 * QMMI_CL_PANEL + c) ^ recentering(&p);
            sum += (word << 24 >> 24) + (word << 16 >> 24) + (word << 8 >> 24) + (word >> 24);
        }
        vstore16(sum, 0, sum_of);
        for (int i = 0; i < COLUMNS; i++)
            if (first + c + i < p.n) to[(first + c + i) * p.from.sums_outer_stride] = sum_of[i];
    }
}
