/* SPDX-License-Identifier: Apache-2.0
 *
 * What a work-item of the matmul kernels for CPUs does (matmul_panels.h), but for the products: those are
 * multiply_range, which the file that includes this one defines. Specification: host/cpu/matmul.c. */
#ifndef QMM_OPENCL_MATMUL_PANEL_CL
#define QMM_OPENCL_MATMUL_PANEL_CL

#include "epilogue.cl"
#include "matmul_panels.h"

enum { ITEM_ELEMENTS = QMMI_CL_ITEM_ROWS * QMMI_CL_PANEL };

/* Part of C: rows i .., columns j .. of matrix b. */
typedef struct matmul_item {
    long b, i, j;
    int rows, columns;
    const __global char *a; /* row i of A */
    const __global int *panel;
} matmul_item;

/* Puts sum a' b' over the `length` k from `start` on into rows of QMMI_CL_PANEL sums. Both are multiples of 32. */
static void multiply_range(const qmmi_cl_matmul *m, const matmul_item *item, long start, int length, int *sums);

static void find_item(const qmmi_cl_matmul *m, int item_rows, const matmul_memory *memory, matmul_item *item) {
    item->b = get_global_id(2);
    item->i = (long)get_global_id(0) * item_rows;
    item->j = (long)get_global_id(1) * QMMI_CL_PANEL;
    item->rows = (int)min(m->p.m - item->i, (long)item_rows);
    item->columns = (int)min(m->p.n - item->j, (long)QMMI_CL_PANEL);
    item->a = (const __global char *)(memory->a + m->a.offset + item->b * m->a.batch_stride +
                                      item->i * m->a.outer_stride);
    item->panel = (const __global int *)(memory->b + m->b.offset + item->b * m->b.batch_stride +
                                         item->j * m->b.outer_stride);
}

/* One accumulator over all of K. */
static void multiply_whole(const qmmi_cl_matmul *m, const matmul_memory *memory, const matmul_item *item) {
    int sums[ITEM_ELEMENTS];
    multiply_range(m, item, 0, (int)m->k, sums);
    for (int r = 0; r < item->rows; r++)
        for (int c = 0; c < item->columns; c += EPILOGUE_RUN)
            epilogue_run(m, memory, item->b, item->i + r, item->j + c, min(item->columns - c, (int)EPILOGUE_RUN),
                         sums + r * QMMI_CL_PANEL + c);
}

/* One for each group, and y adds them up. */
static void multiply_groups(const qmmi_cl_matmul *m, const matmul_memory *memory, const matmul_item *item) {
    int sums[ITEM_ELEMENTS];
    float y[ITEM_ELEMENTS];
    matmul_side columns[QMMI_CL_PANEL];
    for (int n = 0; n < ITEM_ELEMENTS; n++) y[n] = 0.0f;
    for (long group = 0; group < m->p.groups; group++) {
        multiply_range(m, item, group * m->group_k, (int)m->group_k, sums);
        for (int c = 0; c < item->columns; c++) columns[c] = side_of_b(m, memory, item->b, item->j + c, group);
        for (int r = 0; r < item->rows; r++) {
            const matmul_side row = side_of_a(m, memory, item->b, item->i + r, group);
            for (int c = 0; c < item->columns; c++) {
                const int n = r * QMMI_CL_PANEL + c;
                y[n] = add_group(m, &row, &columns[c], sums[n], y[n]);
            }
        }
    }
    for (int r = 0; r < item->rows; r++)
        for (int c = 0; c < item->columns; c += EPILOGUE_RUN)
            epilogue_finish_run(m, memory, item->b, item->i + r, item->j + c,
                                min(item->columns - c, (int)EPILOGUE_RUN), y + r * QMMI_CL_PANEL + c);
}

/* Work-items: (rows, panel, matrix). */
static void multiply_item(const qmmi_cl_matmul_panels *p, const matmul_memory *memory) {
    matmul_item item;
    find_item(&p->m, p->item_rows, memory, &item);
    if (p->m.grouped)
        multiply_groups(&p->m, memory, &item);
    else
        multiply_whole(&p->m, memory, &item);
}

#endif
