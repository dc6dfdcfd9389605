/* SPDX-License-Identifier: Apache-2.0
 *
 * How a tensor is shared out among threads: run.h has the picture. */
#include "share.h"

#include <stdint.h>

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

#define WARP_LOG2 5

qmmi_cuda_walk qmmi_cuda_walk_over(int64_t batch, int64_t rows, int64_t cols) {
    const int32_t lanes_log2 = qmmi_lanes_log2(cols, QMMI_CUDA_RUN, WARP_LOG2);
    const int64_t tiles = qmmi_parts(cols, (int64_t)QMMI_CUDA_RUN << lanes_log2);
    return (qmmi_cuda_walk){
        .rows = rows, .tiles = tiles, .items = batch * rows * tiles, .span = 1, .lanes_log2 = lanes_log2
    };
}

int64_t qmmi_cuda_walk_blocks(const qmmi_cuda_walk *walk, int64_t threads) {
    return qmmi_parts(qmmi_parts(walk->items, walk->span), threads >> walk->lanes_log2);
}

int64_t qmmi_cuda_set_span(const qmm_context *context, qmmi_cuda_walk *walk, int64_t threads,
                           int64_t blocks_per_multiprocessor) {
    const int64_t blocks = qmmi_cuda_device_of(context)->multiprocessors * blocks_per_multiprocessor;
    walk->span = qmmi_parts(walk->items, blocks * (threads >> walk->lanes_log2));
    return qmmi_cuda_walk_blocks(walk, threads);
}

/* ---- conversions -------------------------------------------------------------------------------------------------- */

qmm_status qmmi_cuda_convert_run(qmm_context *context, const qmmi_problem *problem, qmmi_cuda_kernel by_row,
                                 qmmi_cuda_kernel by_block) {
    qmmi_cuda_convert a = { .p = qmmi_joined(problem) };
    const bool several = a.p.source_quant.param_cols > 1 || a.p.target_quant.param_cols > 1;
    a.walk = qmmi_cuda_walk_over(a.p.source.batch, a.p.source.rows, a.p.source.cols);
    a.piece = qmmi_cuda_piece(&a.p.source, &a.p.target);
    if (a.walk.items == 0) return QMM_OK;
    return qmmi_cuda_launch(context, several ? by_block : by_row, qmmi_cuda_walk_blocks(&a.walk, QMMI_CUDA_RUN_THREADS),
                            QMMI_CUDA_RUN_THREADS, 0, &a);
}
