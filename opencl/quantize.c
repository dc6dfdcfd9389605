/* SPDX-License-Identifier: Apache-2.0
 *
 * The row opencl:quantize:vector, which takes everything. */
#include "../host/context.h"
#include "convert.h"
#include "rows.h"

qmm_status qmmi_opencl_quantize(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                size_t workspace_offset) {
    (void)workspace, (void)workspace_offset;
    QMMI_TRY(qmmi_opencl_need_row_sums(context, problem));
    QMMI_TRY(qmmi_opencl_convert_run(context, problem, QMMI_OPENCL_quantize_quantize_kernel,
                                     QMMI_OPENCL_quantize_quantize_blocks_kernel));
    return qmmi_opencl_row_sums(context, problem);
}
