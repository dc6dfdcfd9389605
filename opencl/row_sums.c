/* SPDX-License-Identifier: Apache-2.0
 *
 * Queues the sums that go with codes: see row_sums.cl. */
#include "row_sums.h"

#include "convert.h"

_Static_assert(sizeof(qmmi_cl_row_sums) % 8 == 0, "no padding that two compilers could see differently");

/* Codes for each lane: adding up what the lanes have costs about a run. */
#define LANE_CODES ((int64_t)QMMI_CL_RUN * 8)

static cl_int choose_lanes_log2(int64_t length) {
    cl_int lanes_log2 = 0;
    while (lanes_log2 < QMMI_CL_ROW_SUMS_ITEMS_LOG2 && LANE_CODES << lanes_log2 < length) lanes_log2++;
    return lanes_log2;
}

qmm_status qmmi_opencl_need_row_sums(qmm_context *context, const qmmi_problem *problem) {
    if (!problem->as.convert.sums.memory) return QMM_OK;
    return qmmi_opencl_need(context, QMMI_OPENCL_row_sums_row_sums_kernel, QMMI_CL_ROW_SUMS_ITEMS);
}

qmm_status qmmi_opencl_row_sums(qmm_context *context, const qmmi_problem *problem) {
    const qmmi_convert_problem *p = &problem->as.convert;
    const qmmi_view *q = &p->target;
    const qmmi_opencl_memory memory[] = { q->memory, p->sums.memory };
    qmmi_cl_row_sums a = { .codes = qmmi_opencl_view(q),
                           .sums = qmmi_opencl_param(&p->sums),
                           .length = q->cols > 0 ? p->sum_cols : 0,
                           .groups = q->cols > 0 ? q->cols / p->sum_cols : 1 };
    qmmi_opencl_grid grid = { .groups = { 0, 1, 1 }, .local = { QMMI_CL_ROW_SUMS_ITEMS, 1, 1 } };
    if (!p->sums.memory) return QMM_OK;
    a.items = q->batch * q->rows * a.groups;
    a.lanes_log2 = choose_lanes_log2(a.length);
    a.aligned = qmmi_opencl_aligned(q) && (a.groups == 1 || a.length % QMMI_CL_RUN == 0);
    grid.groups[0] = qmmi_parts(a.items, QMMI_CL_ROW_SUMS_ITEMS >> a.lanes_log2);
    return qmmi_opencl_launch(context, QMMI_OPENCL_row_sums_row_sums_kernel, &grid, &a, sizeof a, memory, 2);
}
