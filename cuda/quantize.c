/* SPDX-License-Identifier: Apache-2.0
 *
 * The row cuda:quantize:vector, which takes everything. */
#include "../host/context.h"
#include "rows.h"
#include "share.h"

qmm_status qmmi_cuda_quantize(qmm_context *context, const qmmi_problem *problem, void *workspace,
                              size_t workspace_offset) {
    (void)workspace, (void)workspace_offset;
    QMMI_TRY(qmmi_cuda_convert_run(context, problem, QMMI_CUDA_quantize_kernel, QMMI_CUDA_quantize_blocks_kernel));
    return qmmi_cuda_row_sums(context, problem);
}
