/* SPDX-License-Identifier: Apache-2.0
 *
 * The rows of matmul_nv_mma.cl, one for each of its tiles. */
#include "matmul_nv_mma.h"

#include "../host/context.h"
#include "matmul_prepare.h"
#include "matmul_tile.h"
#include "rows.h"

_Static_assert(QMMI_CL_NV_MMA_LARGE_ITEMS == 2 * QMMI_CL_NV_MMA_LARGE_TILE &&
                   QMMI_CL_NV_MMA_SMALL_ITEMS == 2 * QMMI_CL_NV_MMA_SMALL_TILE,
               "two items bring a row of a strip; an item brings one side of a group");
_Static_assert(QMMI_CL_NV_MMA_LARGE_TILE / QMMI_CL_NV_MMA_LARGE_WARP_M *
                           (QMMI_CL_NV_MMA_LARGE_TILE / QMMI_CL_NV_MMA_WARP_N) * 32 ==
                       QMMI_CL_NV_MMA_LARGE_ITEMS &&
                   QMMI_CL_NV_MMA_SMALL_TILE / QMMI_CL_NV_MMA_SMALL_WARP_M *
                           (QMMI_CL_NV_MMA_SMALL_TILE / QMMI_CL_NV_MMA_WARP_N) * 32 ==
                       QMMI_CL_NV_MMA_SMALL_ITEMS,
               "the warps cover the tile");

static const qmmi_opencl_matmul_shape shape = { .packed_4bit = true };

static int64_t large_tiles(const qmmi_matmul_problem *p) {
    return qmmi_opencl_tiles(p, QMMI_CL_NV_MMA_LARGE_TILE, QMMI_CL_NV_MMA_LARGE_TILE);
}

const char *qmmi_opencl_matmul_nv_mma_accepts(const qmm_context *context, const qmmi_problem *problem) {
    if (qmmi_grouped(&problem->as.matmul)) return "factors per group of K need a second register per element";
    return qmmi_opencl_matmul_accepts(context, &problem->as.matmul);
}

/* Large tiles that leave a multiprocessor without one lose more than their better use of memory gains. This is
 * reckoned, not measured. */
const char *qmmi_opencl_matmul_nv_mma_declines(const qmm_context *context, const qmmi_problem *problem) {
    if (large_tiles(&problem->as.matmul) >= qmmi_opencl_device_of(context)->compute_units) return NULL;
    return "a smaller tile keeps more of the device busy";
}

const char *qmmi_opencl_matmul_nv_mma_small_accepts(const qmm_context *context, const qmmi_problem *problem) {
    return qmmi_opencl_matmul_accepts(context, &problem->as.matmul);
}

size_t qmmi_opencl_matmul_nv_mma_workspace(const qmm_context *context, const qmmi_problem *problem) {
    return qmmi_opencl_matmul_workspace(context, &problem->as.matmul, &shape);
}

static qmm_status run(qmm_context *context, const qmmi_problem *problem, void *workspace, size_t workspace_offset,
                      qmmi_opencl_kernel kernel, int64_t tiles, size_t items) {
    const qmmi_opencl_grid grid = { .groups = { tiles, 1, 1 }, .local = { items, 1, 1 } };
    qmmi_opencl_memory memory[QMMI_CL_MATMUL_MEMORY];
    qmmi_cl_matmul m;
    QMMI_TRY(qmmi_opencl_matmul_prepare(context, &problem->as.matmul, &shape, workspace, workspace_offset, &m, memory));
    return qmmi_opencl_launch(context, kernel, &grid, &m, sizeof m, memory, QMMI_CL_MATMUL_MEMORY);
}

qmm_status qmmi_opencl_matmul_nv_mma(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                     size_t workspace_offset) {
    return run(context, problem, workspace, workspace_offset, QMMI_OPENCL_matmul_nv_mma_matmul_nv_mma_kernel,
               large_tiles(&problem->as.matmul), QMMI_CL_NV_MMA_LARGE_ITEMS);
}

qmm_status qmmi_opencl_matmul_nv_mma_small(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                           size_t workspace_offset) {
    return run(context, problem, workspace, workspace_offset, QMMI_OPENCL_matmul_nv_mma_small_matmul_nv_mma_kernel,
               qmmi_opencl_tiles(&problem->as.matmul, QMMI_CL_NV_MMA_SMALL_TILE, QMMI_CL_NV_MMA_SMALL_TILE),
               QMMI_CL_NV_MMA_SMALL_ITEMS);
}
