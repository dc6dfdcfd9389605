/* SPDX-License-Identifier: Apache-2.0
 *
 * Launches matmul_generic.cu. It takes everything, needs no workspace, and is slow. */
#include "matmul_generic.h"

#include "cuda.h"
#include "rows.h"

qmm_status qmmi_cuda_matmul_generic(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                    size_t workspace_offset) {
    const qmmi_matmul_problem *p = &problem->as.matmul;
    const int64_t items = p->batch * p->m * ((p->n + 7) / 8);
    const int64_t blocks = (items + QMMI_CUDA_GENERIC_THREADS - 1) / QMMI_CUDA_GENERIC_THREADS;
    (void)workspace, (void)workspace_offset;
    return qmmi_cuda_launch(context, QMMI_CUDA_matmul_generic_kernel, blocks < INT32_MAX ? blocks : INT32_MAX,
                            QMMI_CUDA_GENERIC_THREADS, 0, p);
}
