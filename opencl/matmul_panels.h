/* SPDX-License-Identifier: Apache-2.0
 *
 * What the matmul kernels for CPUs share: a C tile of few rows and many columns stays in vector registers, so B is
 * first brought into panels that are read from start to end:
 *
 *     panel of 64 columns, k / 4 steps of      column 0         column 1   ...   column 63
 *                                         k k+1 k+2 k+3    k k+1 k+2 k+3
 *
 * A work-item makes some rows of C, of one panel's columns. It reads its rows of A where they lie, and the panel again
 * for every few of them, so the panel is to stay in the cache of a core; neighbouring work-items share it.
 *
 *     matmul_panels.c    workspace, and what is queued
 *     matmul_panels.cl   the kernel that makes the panels
 *     matmul_panel.cl    what a work-item does but for the products, ...
 *     matmul_exact_f32.cl, matmul_x86_vnni.cl    ... and those
 *
 * Compiled by C11 and, for the kernels' arguments, by OpenCL C. */
#ifndef QMMI_OPENCL_MATMUL_PANELS_H
#define QMMI_OPENCL_MATMUL_PANELS_H

#include "matmul.h"

enum {
    QMMI_CL_PANEL = 64,          /* columns */
    QMMI_CL_ITEM_ROWS = 96,      /* of C for one work-item, at most */
    QMMI_CL_PANEL_TILE_ROWS = 6, /* of those, in registers at a time */
    QMMI_CL_PANELS_CHUNK = 1024  /* k of one panel that one work-item of matmul_panels.cl makes */
};

/* Makes the panels, of canonical codes, or of an s8 B that lies row by row. Memory: codes, panels.
 * And makes the sums of the codes of each group of K, from the panels. Memory: panels, sums. */
typedef struct qmmi_cl_panels {
    qmmi_cl_codes from;           /* the sums' strides are in it, too */
    cl_long row_stride;           /* of that s8 B, bytes; 0: canonical codes */
    cl_long n, k;                 /* canonical k */
    cl_long groups, group_k;
    cl_long offset, batch_stride; /* of the panels, bytes */
    cl_int unsigned_codes;        /* 128 is added to each code, and the panel is of u8 */
    cl_int unused;
} qmmi_cl_panels;

/* The first parameter of the kernels of the products. */
typedef struct qmmi_cl_matmul_panels {
    qmmi_cl_matmul m; /* b: the panels; its outer_stride is their k */
    cl_int item_rows, unused;
} qmmi_cl_matmul_panels;

#ifndef __OPENCL_VERSION__

#include "opencl.h"

extern const char *const qmmi_opencl_matmul_panels_variants[];
const char *qmmi_opencl_matmul_panels_accepts(const qmm_context *context, const qmmi_problem *problem);
size_t qmmi_opencl_matmul_panels_workspace(const qmm_context *context, const qmmi_problem *problem);

/* Queues all of it; the kernel is that of the products. */
qmm_status qmmi_opencl_matmul_panels(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                     size_t workspace_offset, bool unsigned_codes, qmmi_opencl_kernel kernel);

#endif
#endif
