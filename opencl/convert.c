/* SPDX-License-Identifier: Apache-2.0
 *
 * How a tensor is shared out among work-items: run.h has the picture. */
#include "convert.h"

#include "../host/type.h"

_Static_assert(sizeof(qmmi_cl_walk) % 8 == 0 && sizeof(qmmi_cl_convert_run) % 8 == 0,
               "no padding that two compilers could see differently");

/* ---- runs --------------------------------------------------------------------------------------------------------- */

/* A buffer begins at a multiple of 128 bytes: CL_DEVICE_MEM_BASE_ADDR_ALIGN is no less. */
cl_int qmmi_opencl_aligned(const qmmi_view *v) {
    const int64_t bits = qmm_type_bits(v->type), bytes = bits == 4 ? 8 : 16;
    return v->offset % (size_t)bytes == 0 && (v->rows == 1 || v->row_stride * bits / 8 % bytes == 0) &&
           (v->batch == 1 || v->batch_stride * bits / 8 % bytes == 0);
}

qmmi_cl_walk qmmi_opencl_walk_over(int64_t batch, int64_t rows, int64_t cols, qmmi_opencl_grid *grid) {
    const qmmi_cl_walk walk = { .batch = batch,
                                .rows = rows,
                                .cols = cols,
                                .lanes_log2 = qmmi_lanes_log2(cols, QMMI_CL_RUN, QMMI_CL_RUN_ITEMS_LOG2) };
    const int64_t along = qmmi_parts(cols, (int64_t)QMMI_CL_RUN << walk.lanes_log2);
    const int64_t across = qmmi_parts(batch * rows, QMMI_CL_RUN_ITEMS >> walk.lanes_log2);
    const int64_t third = qmmi_parts(across, QMMI_CL_RUN_GROUPS_MAX);
    const int64_t second = third > 0 ? qmmi_parts(across, third) : 0; /* so that few groups are empty */
    *grid = (qmmi_opencl_grid){ .groups = { along, second, third }, .local = { QMMI_CL_RUN_ITEMS, 1, 1 } };
    return walk;
}

/* ---- conversions -------------------------------------------------------------------------------------------------- */

qmm_status qmmi_opencl_convert_run(qmm_context *context, const qmmi_problem *problem, qmmi_opencl_kernel by_row,
                                   qmmi_opencl_kernel any) {
    const qmmi_convert_problem p = qmmi_joined(problem);
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
