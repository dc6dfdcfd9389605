/* SPDX-License-Identifier: Apache-2.0
 *
 * The row of matmul_x86_vnni.cl. */
#include "matmul_panels.h"
#include "rows.h"

const char *qmmi_opencl_matmul_x86_vnni_accepts(const qmm_context *context, const qmmi_problem *problem) {
    return qmmi_opencl_matmul_panels_accepts(context, problem);
}

size_t qmmi_opencl_matmul_x86_vnni_workspace(const qmm_context *context, const qmmi_problem *problem) {
    return qmmi_opencl_matmul_panels_workspace(context, problem);
}

qmm_status qmmi_opencl_matmul_x86_vnni(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                       size_t workspace_offset) {
    return qmmi_opencl_matmul_panels(context, problem, workspace, workspace_offset, true,
                                     QMMI_OPENCL_matmul_x86_vnni_matmul_x86_vnni_kernel);
}
