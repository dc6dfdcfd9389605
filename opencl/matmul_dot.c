/* SPDX-License-Identifier: Apache-2.0
 *
 * The rows of matmul_dot.cl, which differ in the program that they launch. */
#include "matmul_dot.h"

#include "../host/context.h"
#include "matmul_prepare.h"
#include "matmul_tile.h"
#include "rows.h"

_Static_assert(QMMI_CL_DOT_TILE_M / QMMI_CL_DOT_ROWS * (QMMI_CL_DOT_TILE_N / QMMI_CL_DOT_COLUMNS) == QMMI_CL_DOT_ITEMS,
               "the items make up the tile");
_Static_assert(QMMI_CL_DOT_ROWS == 4 && QMMI_CL_DOT_COLUMNS == 4 && QMMI_CL_DOT_STRIDE % 4 == 0,
               "an item's rows, and columns, are one load of 16 bytes");
_Static_assert(QMMI_CL_DOT_ITEMS == 4 * QMMI_CL_DOT_TILE_M && QMMI_CL_DOT_TILE_M == QMMI_CL_DOT_TILE_N,
               "half of the items bring A, two of them a row; the other half B");
_Static_assert(QMMI_CL_DOT_ITEMS >= QMMI_CL_DOT_TILE_M + QMMI_CL_DOT_TILE_N, "an item brings one side of a group");
_Static_assert(2 * 2 * (QMMI_K_ALIGNMENT / 4) >= QMMI_CL_DOT_PART_M, "a part of the finished tile fits the stages");
_Static_assert(QMMI_CL_DOT_PART_M % QMMI_CL_DOT_ROWS == 0, "an item's rows are in one part");

static const qmmi_opencl_matmul_shape shape = { .packed_4bit = true };

const char *qmmi_opencl_matmul_dot_accepts(const qmm_context *context, const qmmi_problem *problem) {
    return qmmi_opencl_matmul_accepts(context, &problem->as.matmul);
}

size_t qmmi_opencl_matmul_dot_workspace(const qmm_context *context, const qmmi_problem *problem) {
    return qmmi_opencl_matmul_workspace(context, &problem->as.matmul, &shape);
}

static qmm_status run(qmm_context *context, const qmmi_problem *problem, void *workspace, size_t workspace_offset,
                      qmmi_opencl_kernel kernel) {
    const qmmi_matmul_problem *p = &problem->as.matmul;
    const qmmi_opencl_grid grid = { .groups = { qmmi_opencl_tiles(p, QMMI_CL_DOT_TILE_M, QMMI_CL_DOT_TILE_N), 1, 1 },
                                    .local = { QMMI_CL_DOT_ITEMS, 1, 1 } };
    qmmi_opencl_memory memory[QMMI_CL_MATMUL_MEMORY];
    qmmi_cl_matmul m;
    QMMI_TRY(qmmi_opencl_matmul_prepare(context, p, &shape, workspace, workspace_offset, &m, memory));
    return qmmi_opencl_launch(context, kernel, &grid, &m, sizeof m, memory, QMMI_CL_MATMUL_MEMORY);
}

qmm_status qmmi_opencl_matmul_dot(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                  size_t workspace_offset) {
    return run(context, problem, workspace, workspace_offset, QMMI_OPENCL_matmul_dot_matmul_dot_kernel);
}

qmm_status qmmi_opencl_matmul_integer_dot(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                          size_t workspace_offset) {
    return run(context, problem, workspace, workspace_offset, QMMI_OPENCL_matmul_integer_dot_matmul_dot_kernel);
}

qmm_status qmmi_opencl_matmul_arm_dot(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                      size_t workspace_offset) {
    return run(context, problem, workspace, workspace_offset, QMMI_OPENCL_matmul_arm_dot_matmul_dot_kernel);
}

qmm_status qmmi_opencl_matmul_nv_dp4a(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                      size_t workspace_offset) {
    return run(context, problem, workspace, workspace_offset, QMMI_OPENCL_matmul_nv_dp4a_matmul_dot_kernel);
}
