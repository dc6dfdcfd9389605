/* SPDX-License-Identifier: Apache-2.0
 *
 * The row opencl:dequantize:vector, which takes everything. */
#include "convert.h"
#include "rows.h"

qmm_status qmmi_opencl_dequantize(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                  size_t workspace_offset) {
    (void)workspace, (void)workspace_offset;
    return qmmi_opencl_convert_run(context, problem, QMMI_OPENCL_dequantize_dequantize_kernel,
                                   QMMI_OPENCL_dequantize_dequantize_blocks_kernel);
}
