/* SPDX-License-Identifier: Apache-2.0 */
#include "share.h"

int32_t qmmi_lanes_log2(int64_t cols, int64_t run, int32_t most_log2) {
    int32_t lanes_log2 = most_log2;
    for (; lanes_log2 > 0; lanes_log2--) {
        const int64_t size = run << lanes_log2;
        if (qmmi_parts(cols, size) * size - cols <= cols / 4) break;
    }
    return lanes_log2;
}

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

void qmmi_join_view(qmmi_view *v) {
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

qmmi_convert_problem qmmi_joined(const qmmi_problem *problem) {
    qmmi_convert_problem p = problem->as.convert;
    join_rows(&p);
    return p;
}
