/* SPDX-License-Identifier: Apache-2.0
 *
 * The row of matmul_exact_f32.cl. */
#include "matmul_panels.h"
#include "rows.h"

const char *qmmi_opencl_matmul_exact_f32_accepts(const qmm_context *context, const qmmi_problem *problem) {
    return qmmi_opencl_matmul_panels_accepts(context, problem);
}

size_t qmmi_opencl_matmul_exact_f32_workspace(const qmm_context *context, const qmmi_problem *problem) {
    return qmmi_opencl_matmul_panels_workspace(context, problem);
}

qmm_status qmmi_opencl_matmul_exact_f32(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                       size_t workspace_offset) {
    return qmmi_opencl_matmul_panels(context, problem, workspace, workspace_offset, false,
                                     QMMI_OPENCL_matmul_exact_f32_matmul_exact_f32_kernel);
}
