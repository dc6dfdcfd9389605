/* SPDX-License-Identifier: Apache-2.0
 *
 * Queues the sums that go with codes: see row_sums.cu. */
#include "row_sums.h"

#include "share.h"

/* A run for each lane, a block for long ones. */
static int32_t choose_lanes(int64_t length) {
    int32_t lanes = 1;
    if (length > QMMI_CUDA_ROW_SUMS_LONG) return QMMI_CUDA_ROW_SUMS_THREADS;
    while (lanes < 32 && (int64_t)lanes * QMMI_CUDA_RUN < length) lanes *= 2;
    return lanes;
}

qmm_status qmmi_cuda_row_sums(qmm_context *context, const qmmi_problem *problem) {
    const qmmi_convert_problem *p = &problem->as.convert;
    const qmmi_view *q = &p->target;
    qmmi_cuda_row_sums_arguments a = { .codes = *q,
                                       .sums = p->sums,
                                       .length = q->cols > 0 ? p->sum_cols : 0,
                                       .groups = q->cols > 0 ? q->cols / p->sum_cols : 1 };
    if (!p->sums.memory) return QMM_OK;
    a.items = q->batch * q->rows * a.groups;
    a.lanes = choose_lanes(a.length);
    a.piece = qmmi_cuda_piece(q, q);
    return qmmi_cuda_launch(context, QMMI_CUDA_row_sums_kernel,
                            qmmi_parts(a.items, QMMI_CUDA_ROW_SUMS_THREADS / a.lanes), QMMI_CUDA_ROW_SUMS_THREADS, 0,
                            &a);
}
