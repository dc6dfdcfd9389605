/* SPDX-License-Identifier: Apache-2.0 */
#include "patches.h"

#include "../host/context.h"

_Static_assert(sizeof(qmmi_cl_patches) % 8 == 0, "no padding that two compilers could see differently");
_Static_assert(INT64_C(1) * QMMI_OPENCL_TURNS_MAX * QMMI_CL_REDUCE_ITEMS * QMMI_CL_RUN <= 1 << 26,
               "patches are as small as they are said to be");

/* Of a compute unit. */
#define GROUPS 16

/* Runs of a work-item that is a group by itself: telling others what it found then costs little beside them. */
#define ALONE_RUNS 64

size_t qmmi_opencl_reduce_items(const qmm_context *context) {
    return context->capabilities & QMMI_OPENCL_CPU ? 1 : QMMI_CL_REDUCE_ITEMS;
}

int64_t qmmi_opencl_reduce_groups(const qmm_context *context) {
    return (int64_t)qmmi_opencl_device_of(context)->compute_units * GROUPS;
}

qmmi_cl_patches qmmi_opencl_patches(const qmm_context *context, int64_t rows, int64_t cols, int64_t times,
                                    qmmi_opencl_grid *grid) {
    const size_t items = qmmi_opencl_reduce_items(context);
    const int64_t groups = qmmi_parts(qmmi_opencl_reduce_groups(context), times);
    qmmi_cl_patches p = { .rows = rows, .cols = cols };
    int64_t row_step, col_step, down, across, steps;
    p.lanes_log2 = qmmi_lanes_log2(cols, QMMI_CL_RUN, items == 1 ? 0 : QMMI_CL_REDUCE_ITEMS_LOG2);
    row_step = (int64_t)items >> p.lanes_log2;
    col_step = (int64_t)QMMI_CL_RUN << p.lanes_log2;
    down = qmmi_parts(rows, row_step);
    across = qmmi_parts(cols, col_step);
    /* Steps of a group: whole rows of a patch, or a part of one. */
    steps = qmmi_parts(down * across, groups);
    if (items == 1 && steps < ALONE_RUNS) steps = ALONE_RUNS;
    if (steps > QMMI_OPENCL_TURNS_MAX) steps = QMMI_OPENCL_TURNS_MAX;
    p.across = qmmi_parts(across, steps);
    p.patch_cols = qmmi_parts(across, p.across) * col_step;
    p.patch_rows = (p.across > 1 ? 1 : steps / across) * row_step;
    *grid = (qmmi_opencl_grid){ .groups = { p.across * qmmi_parts(rows, p.patch_rows),
                                            qmmi_smaller(times, QMMI_CL_RUN_GROUPS_MAX), 1 },
                                .local = { items, 1, 1 } };
    return p;
}
