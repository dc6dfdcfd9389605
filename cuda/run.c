/* SPDX-License-Identifier: Apache-2.0
 *
 * How a tensor is shared out among threads: run.h has the picture. */
#include "share.h"

#include <stdint.h>

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

void qmmi_cuda_join_view(qmmi_view *v) {
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

qmmi_convert_problem qmmi_cuda_joined(const qmmi_problem *problem) {
    qmmi_convert_problem p = problem->as.convert;
    join_rows(&p);
    return p;
}

/* ---- pieces ------------------------------------------------------------------------------------------------------- */

static bool aligned(const qmmi_view *v, int64_t piece) {
    const int64_t bytes = piece * qmm_type_bits(v->type) / 8;
    const int64_t row_bytes = v->row_stride * qmm_type_bits(v->type) / 8;
    const int64_t batch_bytes = v->batch_stride * qmm_type_bits(v->type) / 8;
    return ((uintptr_t)v->memory + v->offset) % (uintptr_t)bytes == 0 && (v->rows == 1 || row_bytes % bytes == 0) &&
           (v->batch == 1 || batch_bytes % bytes == 0);
}

int32_t qmmi_cuda_piece(const qmmi_view *x, const qmmi_view *y) {
    const int x_bits = qmm_type_bits(x->type), y_bits = qmm_type_bits(y->type);
    const int bits = x_bits > y_bits ? x_bits : y_bits;
    const int32_t piece = bits < 8 ? QMMI_CUDA_RUN : 128 / bits;
    return aligned(x, piece) && aligned(y, piece) ? piece : QMMI_CUDA_SINGLE;
}

/* ---- walks -------------------------------------------------------------------------------------------------------- */

/* As many lanes as leave at most a quarter of the last tile's places empty, measured over the row; a warp at most. */
static int32_t choose_lanes_log2(int64_t cols) {
    for (int32_t lanes_log2 = 5; lanes_log2 > 0; lanes_log2--) {
        const int64_t tile = (int64_t)QMMI_CUDA_RUN << lanes_log2;
        if (qmmi_cuda_parts(cols, tile) * tile - cols <= cols / 4) return lanes_log2;
    }
    return 0;
}

qmmi_cuda_walk qmmi_cuda_walk_over(int64_t batch, int64_t rows, int64_t cols) {
    const int32_t lanes_log2 = choose_lanes_log2(cols);
    const int64_t tiles = qmmi_cuda_parts(cols, (int64_t)QMMI_CUDA_RUN << lanes_log2);
    return (qmmi_cuda_walk){
        .rows = rows, .tiles = tiles, .items = batch * rows * tiles, .span = 1, .lanes_log2 = lanes_log2
    };
}

int64_t qmmi_cuda_walk_blocks(const qmmi_cuda_walk *walk, int64_t threads) {
    return qmmi_cuda_parts(qmmi_cuda_parts(walk->items, walk->span), threads >> walk->lanes_log2);
}

int64_t qmmi_cuda_set_span(const qmm_context *context, qmmi_cuda_walk *walk, int64_t threads,
                           int64_t blocks_per_multiprocessor) {
    const int64_t blocks = qmmi_cuda_device_of(context)->multiprocessors * blocks_per_multiprocessor;
    walk->span = qmmi_cuda_parts(walk->items, blocks * (threads >> walk->lanes_log2));
    return qmmi_cuda_walk_blocks(walk, threads);
}

/* ---- conversions -------------------------------------------------------------------------------------------------- */

qmm_status qmmi_cuda_convert_run(qmm_context *context, const qmmi_problem *problem, qmmi_cuda_kernel by_row,
                                 qmmi_cuda_kernel by_block) {
    qmmi_cuda_convert a = { .p = qmmi_cuda_joined(problem) };
    const bool several = a.p.source_quant.param_cols > 1 || a.p.target_quant.param_cols > 1;
    a.walk = qmmi_cuda_walk_over(a.p.source.batch, a.p.source.rows, a.p.source.cols);
    a.piece = qmmi_cuda_piece(&a.p.source, &a.p.target);
    if (a.walk.items == 0) return QMM_OK;
    return qmmi_cuda_launch(context, several ? by_block : by_row, qmmi_cuda_walk_blocks(&a.walk, QMMI_CUDA_RUN_THREADS),
                            QMMI_CUDA_RUN_THREADS, 0, &a);
}
