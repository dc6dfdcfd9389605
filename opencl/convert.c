/* SPDX-License-Identifier: Apache-2.0
 *
 * How a tensor is shared out among work-items: run.h has the picture. */
#include "convert.h"

#include "../host/type.h"

_Static_assert(sizeof(qmmi_cl_walk) % 8 == 0 && sizeof(qmmi_cl_convert_run) % 8 == 0,
               "no padding that two compilers could see differently");

/* ---- joining ------------------------------------------------------------------------------------------------------ */

static bool rows_touch(const qmmi_view *v) {
    return v->rows == 1 || v->row_stride == v->cols;
}

static bool matrices_touch(const qmmi_view *v) {
    return v->batch == 1 || v->batch_stride == v->rows * v->cols;
}

static void join(qmmi_view *v, bool matrices) {
    v->cols *= v->rows;
    v->rows = 1;
    v->row_stride = v->cols;
    if (!matrices) return;
    v->cols *= v->batch;
    v->row_stride = v->cols;
    v->batch = 1;
    v->batch_stride = 0;
}

void qmmi_opencl_join_view(qmmi_view *v) {
    if (rows_touch(v)) join(v, matrices_touch(v));
}

/* One block of parameters in a matrix; one for the whole batch. Sides without codes have none at all. */
static bool one_block(const qmmi_quant *q) {
    return q->param_rows <= 1 && q->param_cols <= 1;
}

static bool one_batch(const qmmi_quant *q) {
    return q->scale.batch_stride == 0 && q->zero.batch_stride == 0;
}

static void set_blocks(qmmi_quant *q, const qmmi_view *v) {
    q->block_rows = 1;
    q->block_cols = v->cols;
}

static void join_rows(qmmi_convert_problem *p) {
    qmmi_view *const x = &p->source, *const y = &p->target;
    qmmi_quant *const from = &p->source_quant, *const to = &p->target_quant;
    const bool sums = p->sums.memory != NULL;
    const bool rows = rows_touch(x) && rows_touch(y) && one_block(from) && one_block(to) && (!sums || x->rows == 1);
    const bool matrices = matrices_touch(x) && matrices_touch(y) && one_batch(from) && one_batch(to) && !sums;
    if (!rows || x->rows == 0 || x->cols == 0) return;
    join(x, matrices);
    join(y, matrices);
    set_blocks(from, x);
    set_blocks(to, y);
}

qmmi_convert_problem qmmi_opencl_joined(const qmmi_problem *problem) {
    qmmi_convert_problem p = problem->as.convert;
    join_rows(&p);
    return p;
}

/* ---- runs --------------------------------------------------------------------------------------------------------- */

/* A buffer begins at a multiple of 128 bytes: CL_DEVICE_MEM_BASE_ADDR_ALIGN is no less. */
cl_int qmmi_opencl_aligned(const qmmi_view *v) {
    const int64_t bits = qmm_type_bits(v->type), bytes = bits == 4 ? 8 : 16;
    return v->offset % (size_t)bytes == 0 && (v->rows == 1 || v->row_stride * bits / 8 % bytes == 0) &&
           (v->batch == 1 || v->batch_stride * bits / 8 % bytes == 0);
}

/* As many lanes as leave at most a quarter of their last places in a row empty, measured over the row. */
static cl_int choose_lanes_log2(int64_t cols) {
    cl_int lanes_log2;
    for (lanes_log2 = QMMI_CL_RUN_ITEMS_LOG2; lanes_log2 > 0; lanes_log2--) {
        const int64_t size = (int64_t)QMMI_CL_RUN << lanes_log2;
        if (qmmi_opencl_parts(cols, size) * size - cols <= cols / 4) break;
    }
    return lanes_log2;
}

qmmi_cl_walk qmmi_opencl_walk_over(int64_t batch, int64_t rows, int64_t cols, qmmi_opencl_grid *grid) {
    const qmmi_cl_walk walk = { .batch = batch, .rows = rows, .cols = cols, .lanes_log2 = choose_lanes_log2(cols) };
    const int64_t along = qmmi_opencl_parts(cols, (int64_t)QMMI_CL_RUN << walk.lanes_log2);
    const int64_t across = qmmi_opencl_parts(batch * rows, QMMI_CL_RUN_ITEMS >> walk.lanes_log2);
    const int64_t third = qmmi_opencl_parts(across, QMMI_CL_RUN_GROUPS_MAX);
    const int64_t second = third > 0 ? qmmi_opencl_parts(across, third) : 0; /* so that few groups are empty */
    *grid = (qmmi_opencl_grid){ .groups = { along, second, third }, .local = { QMMI_CL_RUN_ITEMS, 1, 1 } };
    return walk;
}

/* ---- conversions -------------------------------------------------------------------------------------------------- */

qmm_status qmmi_opencl_convert_run(qmm_context *context, const qmmi_problem *problem, qmmi_opencl_kernel by_row,
                                   qmmi_opencl_kernel any) {
    const qmmi_convert_problem p = qmmi_opencl_joined(problem);
    const bool one_block_a_row = p.source_quant.param_cols <= 1 && p.target_quant.param_cols <= 1;
    qmmi_opencl_memory all[QMMI_CL_CONVERT_MEMORY], memory[QMMI_CL_CONVERT_MEMORY];
    qmmi_cl_convert_run a = { .source_aligned = qmmi_opencl_aligned(&p.source),
                              .target_aligned = qmmi_opencl_aligned(&p.target) };
    qmmi_opencl_grid grid;
    bool one_row_a_group;
    int count = 0;
    qmmi_opencl_convert(&p, &a.p, all);
    a.walk = qmmi_opencl_walk_over(p.source.batch, p.source.rows, p.source.cols, &grid);
    memory[count++] = all[QMMI_CL_SOURCE];
    memory[count++] = all[QMMI_CL_TARGET];
    if (!qmmi_type_in(p.source.type, QMMI_REALS)) {
        memory[count++] = all[QMMI_CL_SOURCE_SCALE];
        memory[count++] = all[QMMI_CL_SOURCE_ZERO];
    }
    if (!qmmi_type_in(p.target.type, QMMI_REALS)) {
        memory[count++] = all[QMMI_CL_TARGET_SCALE];
        memory[count++] = all[QMMI_CL_TARGET_ZERO];
    }
    one_row_a_group = a.walk.lanes_log2 == QMMI_CL_RUN_ITEMS_LOG2;
    return qmmi_opencl_launch(context, one_block_a_row && one_row_a_group ? by_row : any, &grid, &a, sizeof a, memory,
                              count);
}
