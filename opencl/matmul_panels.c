/* SPDX-License-Identifier: Apache-2.0
 *
 * The rows of the matmul kernels for CPUs: canonical operands, then panels of B behind them in the workspace, then the
 * products. */
#include "matmul_panels.h"

#include "../host/context.h"
#include "matmul_prepare.h"

_Static_assert(sizeof(qmmi_cl_panels) % 8 == 0 && sizeof(qmmi_cl_matmul_panels) % 8 == 0,
               "no padding that two compilers could see differently");
_Static_assert(sizeof(qmmi_cl_matmul_panels) + QMMI_CL_MATMUL_MEMORY * 8 <= 1024,
               "every device takes 1024 bytes of arguments");
_Static_assert(QMMI_CL_PANELS_CHUNK % QMMI_K_ALIGNMENT == 0, "a chunk of a panel is whole runs of canonical k");

/* The panels are unpacked, and their columns past the last one are made of that one. */
static const qmmi_opencl_matmul_shape shape = { .packed_4bit = true };

typedef struct plan {
    qmmi_matmul_problem p; /* as prepare is to see it */
    int64_t row_stride;    /* 0, or the panels are made of B's rows where they lie ... */
    bool sum_b;            /* ... and so are its sums */
    int64_t panels, k;     /* of a matrix; canonical k of a column */
    int64_t matrices;
    size_t panels_offset, sums_offset, bytes; /* in the workspace */
} plan;

/* An s8 B that lies row by row, as B does unless it is transposed: made canonical, it would be transposed twice. */
static bool has_rows(const qmmi_matmul_problem *p) {
    const bool whole_runs = p->k % QMMI_K_ALIGNMENT == 0 && qmmi_groups_lie_direct(p);
    return !p->b.packed && p->b.type == QMM_S8 && p->b.outer_stride == 1 && p->b.k_stride > 1 && whole_runs;
}

/* `workspace`: what the sums are said to lie in. */
static plan make_plan(const qmm_context *context, const qmmi_matmul_problem *p, void *workspace,
                      size_t workspace_offset) {
    plan s = { .p = *p };
    s.k = p->groups * qmmi_group_k(p->group_size);
    s.panels = qmmi_parts(p->n, QMMI_CL_PANEL);
    s.matrices = qmmi_matrices_of(p, &p->b);
    if (has_rows(p)) {
        s.row_stride = p->b.k_stride;
        s.sum_b = qmmi_zero_matters(&p->a) && !p->b.sums.memory;
        s.p.b.offset = 0; /* canonical, so that prepare leaves it alone */
        s.p.b.k_stride = 1;
        s.p.b.outer_stride = s.k;
        s.p.b.batch_stride = p->b.batch_stride ? p->n * s.k : 0;
    }
    if (s.sum_b)
        s.p.b.sums = (qmmi_param){ .memory = workspace,
                                   .type = QMM_S32,
                                   .row_stride = 1,
                                   .col_stride = p->n,
                                   .batch_stride = p->b.batch_stride ? p->groups * p->n : 0 };
    s.panels_offset = workspace_offset + qmmi_opencl_matmul_workspace(context, &s.p, &shape);
    s.sums_offset = s.panels_offset + (size_t)(s.matrices * s.panels * s.k * QMMI_CL_PANEL);
    s.bytes = s.sums_offset + (s.sum_b ? (size_t)(s.matrices * p->groups * p->n * 4) : 0) - workspace_offset;
    s.p.b.sums.offset = s.sum_b ? s.sums_offset : p->b.sums.offset;
    return s;
}

const char *qmmi_opencl_matmul_panels_accepts(const qmm_context *context, const qmmi_problem *problem) {
    return qmmi_opencl_matmul_accepts(context, &problem->as.matmul);
}

size_t qmmi_opencl_matmul_panels_workspace(const qmm_context *context, const qmmi_problem *problem) {
    static char any;
    return make_plan(context, &problem->as.matmul, &any, 0).bytes;
}

/* Variants: rows of C for one work-item. A problem's variant is one more than the index here. */
enum { VARIANTS = 5 };
static const int32_t variant_rows[VARIANTS] = { 96, 48, 24, 12, 6 };
const char *const qmmi_opencl_matmul_panels_variants[VARIANTS + 1] = { "rows96", "rows48", "rows24", "rows12",
                                                                       "rows6" };
_Static_assert(QMMI_CL_ITEM_ROWS == 96 && QMMI_CL_PANEL_TILE_ROWS == 6, "from the most rows to those of one tile");

/* Left to the row: as many as keep every core busy. */
static int32_t item_rows(const qmm_context *context, const qmmi_matmul_problem *p) {
    const int64_t wanted = 4 * (int64_t)qmmi_opencl_device_of(context)->compute_units;
    const int64_t panels = p->batch * qmmi_parts(p->n, QMMI_CL_PANEL);
    int v = 0;
    if (p->variant) return variant_rows[p->variant - 1];
    while (v < VARIANTS - 1 && panels * qmmi_parts(p->m, variant_rows[v]) < wanted) v++;
    return variant_rows[v];
}

/* Makes the panels, and sums where they are wanted, and has *m and the memory refer to the panels instead of B. */
static qmm_status make_panels(qmm_context *context, const plan *s, const qmmi_operand *b, void *workspace,
                              bool unsigned_codes, qmmi_cl_matmul *m,
                              qmmi_opencl_memory memory[QMMI_CL_MATMUL_MEMORY]) {
    qmmi_cl_panels work = { .from = m->b,
                            .row_stride = s->row_stride,
                            .n = s->p.n,
                            .k = s->k,
                            .groups = s->p.groups,
                            .group_k = m->group_k,
                            .offset = (cl_long)s->panels_offset,
                            .batch_stride = s->p.b.batch_stride ? s->panels * s->k * QMMI_CL_PANEL : 0,
                            .unsigned_codes = unsigned_codes };
    const qmmi_opencl_grid chunks = {
        .groups = { qmmi_parts(s->k, QMMI_CL_PANELS_CHUNK), s->panels, s->matrices }, .local = { 1, 1, 1 }
    };
    const qmmi_opencl_grid groups = { .groups = { s->p.groups, s->panels, s->matrices }, .local = { 1, 1, 1 } };
    const qmmi_opencl_memory codes_and_panels[] = { memory[QMMI_CL_B], workspace };
    const qmmi_opencl_memory panels_and_sums[] = { workspace, workspace };
    if (s->row_stride) {
        work.from.offset = (cl_long)b->offset;
        work.from.batch_stride = b->batch_stride;
    }
    memory[QMMI_CL_B] = workspace;
    m->b.offset = work.offset;
    m->b.outer_stride = s->k;
    m->b.batch_stride = work.batch_stride;
    QMMI_TRY(qmmi_opencl_launch(context, QMMI_OPENCL_matmul_panels_matmul_panels_kernel, &chunks, &work, sizeof work,
                                codes_and_panels, 2));
    if (!s->sum_b) return QMM_OK;
    return qmmi_opencl_launch(context, QMMI_OPENCL_matmul_panels_matmul_panel_sums_kernel, &groups, &work, sizeof work,
                              panels_and_sums, 2);
}

qmm_status qmmi_opencl_matmul_panels(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                     size_t workspace_offset, bool unsigned_codes, qmmi_opencl_kernel kernel) {
    const qmmi_matmul_problem *p = &problem->as.matmul;
    const plan s = make_plan(context, p, workspace, workspace_offset);
    qmmi_cl_matmul_panels arguments = { .item_rows = item_rows(context, p) };
    const qmmi_opencl_grid grid = { .groups = { qmmi_parts(p->m, arguments.item_rows), s.panels, p->batch },
                                    .local = { 1, 1, 1 } };
    qmmi_opencl_memory memory[QMMI_CL_MATMUL_MEMORY];
    QMMI_TRY(qmmi_opencl_matmul_prepare(context, &s.p, &shape, workspace, workspace_offset, &arguments.m, memory));
    QMMI_TRY(make_panels(context, &s, &p->b, workspace, unsigned_codes, &arguments.m, memory));
    return qmmi_opencl_launch(context, kernel, &grid, &arguments, sizeof arguments, memory, QMMI_CL_MATMUL_MEMORY);
}
