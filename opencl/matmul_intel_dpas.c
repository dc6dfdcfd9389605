/* SPDX-License-Identifier: Apache-2.0
 *
 * The rows of matmul_intel_dpas.cl: one for subgroups of 8, one for those of 16. */
#include "matmul_intel_dpas.h"

#include "../host/context.h"
#include "matmul_prepare.h"
#include "matmul_tile.h"
#include "rows.h"

_Static_assert(QMMI_CL_DPAS_ITEMS == 2 * QMMI_CL_DPAS_TILE,
               "two items bring a row of a strip; an item brings one side of a group");

static const qmmi_opencl_matmul_shape shape = { .packed_4bit = true };

const char *qmmi_opencl_matmul_intel_dpas_accepts(const qmm_context *context, const qmmi_problem *problem) {
    return qmmi_opencl_matmul_accepts(context, &problem->as.matmul);
}

size_t qmmi_opencl_matmul_intel_dpas_workspace(const qmm_context *context, const qmmi_problem *problem) {
    return qmmi_opencl_matmul_workspace(context, &problem->as.matmul, &shape);
}

static qmm_status run(qmm_context *context, const qmmi_problem *problem, void *workspace, size_t workspace_offset,
                      qmmi_opencl_kernel kernel) {
    const qmmi_matmul_problem *p = &problem->as.matmul;
    const qmmi_opencl_grid grid = { .groups = { qmmi_opencl_tiles(p, QMMI_CL_DPAS_TILE, QMMI_CL_DPAS_TILE), 1, 1 },
                                    .local = { QMMI_CL_DPAS_ITEMS, 1, 1 } };
    qmmi_opencl_memory memory[QMMI_CL_MATMUL_MEMORY];
    qmmi_cl_matmul m;
    QMMI_TRY(qmmi_opencl_matmul_prepare(context, p, &shape, workspace, workspace_offset, &m, memory));
    return qmmi_opencl_launch(context, kernel, &grid, &m, sizeof m, memory, QMMI_CL_MATMUL_MEMORY);
}

qmm_status qmmi_opencl_matmul_intel_dpas8(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                          size_t workspace_offset) {
    return run(context, problem, workspace, workspace_offset,
               QMMI_OPENCL_matmul_intel_dpas8_matmul_intel_dpas_kernel);
}

qmm_status qmmi_opencl_matmul_intel_dpas16(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                           size_t workspace_offset) {
    return run(context, problem, workspace, workspace_offset,
               QMMI_OPENCL_matmul_intel_dpas16_matmul_intel_dpas_kernel);
}
