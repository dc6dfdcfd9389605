/* SPDX-License-Identifier: Apache-2.0
 *
 * The row of matmul_dp4a.cu. */
#include "matmul_dp4a.h"

#include "../host/context.h"
#include "matmul_estimate.h"
#include "rows.h"

static const qmmi_cuda_matmul_shape shape = { .tile_m = QMMI_CUDA_DP4A_TILE_M,
                                              .tile_n = QMMI_CUDA_DP4A_TILE_N,
                                              .tile_k = QMMI_CUDA_DP4A_TILE_K,
                                              .blocks_per_multiprocessor = QMMI_CUDA_DP4A_BLOCKS,
                                              .cluster = 1,
                                              .arrivals = 1,
                                              .packed_4bit = true,
                                              .splits = true,
                                              .efficiency = 0.7 }; /* loads from shared memory take the rest */

const char *qmmi_cuda_matmul_dp4a_accepts(const qmm_context *context, const qmmi_problem *problem) {
    (void)context;
    return qmmi_canonical_accepts(&problem->as.matmul);
}

double qmmi_cuda_matmul_dp4a_estimate(const qmm_context *context, const qmmi_problem *problem) {
    const double dp4a = qmmi_cuda_device_of(context)->rates.dp4a;
    return qmmi_cuda_matmul_estimate(context, &problem->as.matmul, &shape, dp4a);
}

qmmi_split qmmi_cuda_matmul_dp4a_split(const qmm_context *context, const qmmi_problem *problem) {
    return qmmi_cuda_matmul_split(context, &problem->as.matmul, &shape);
}

size_t qmmi_cuda_matmul_dp4a_workspace(const qmm_context *context, const qmmi_problem *problem) {
    return qmmi_cuda_matmul_workspace(context, &problem->as.matmul, &shape);
}

qmm_status qmmi_cuda_matmul_dp4a(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                 size_t workspace_offset) {
    qmmi_cuda_matmul m;
    QMMI_TRY(qmmi_cuda_matmul_prepare(context, &problem->as.matmul, &shape, workspace, workspace_offset, &m));
    return qmmi_cuda_launch(context, QMMI_CUDA_matmul_dp4a_kernel, m.blocks, QMMI_CUDA_DP4A_THREADS, 0, &m);
}
