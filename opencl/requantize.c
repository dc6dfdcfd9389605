/* SPDX-License-Identifier: Apache-2.0
 *
 * The row opencl:requantize:vector, which takes everything. */
#include "convert.h"
#include "rows.h"

qmm_status qmmi_opencl_requantize(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                  size_t workspace_offset) {
    (void)workspace, (void)workspace_offset;
    return qmmi_opencl_convert_run(context, problem, QMMI_OPENCL_requantize_requantize_kernel,
                                   QMMI_OPENCL_requantize_requantize_blocks_kernel);
}
