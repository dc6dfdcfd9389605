/* SPDX-License-Identifier: Apache-2.0
 *
 * The row cuda:requantize:vector, which takes everything. */
#include "rows.h"
#include "share.h"

qmm_status qmmi_cuda_requantize(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                size_t workspace_offset) {
    (void)workspace, (void)workspace_offset;
    return qmmi_cuda_convert_run(context, problem, QMMI_CUDA_requantize_kernel, QMMI_CUDA_requantize_blocks_kernel);
}
