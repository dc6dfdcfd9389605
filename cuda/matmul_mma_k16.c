/* SPDX-License-Identifier: Apache-2.0
 *
 * The row of matmul_mma_k16.cu. */
#include "matmul_mma_k16.h"

#include "../host/context.h"
#include "matmul_estimate.h"
#include "rows.h"

static const qmmi_cuda_matmul_shape plain_shape = { .tile_m = QMMI_CUDA_MMA_K16_M,
                                                    .tile_n = QMMI_CUDA_MMA_K16_N,
                                                    .tile_k = QMMI_CUDA_MMA_K16_K,
                                                    .blocks_per_multiprocessor = QMMI_CUDA_MMA_K16_BLOCKS,
                                                    .cluster = 1,
                                                    .arrivals = 1,
                                                    .packed_4bit = true,
                                                    .splits = true,
                                                    .efficiency = 1.0 };

static const qmmi_cuda_matmul_shape grouped_shape = { .tile_m = QMMI_CUDA_MMA_K16_GROUPED_M,
                                                      .tile_n = QMMI_CUDA_MMA_K16_GROUPED_N,
                                                      .tile_k = QMMI_CUDA_MMA_K16_K,
                                                      .blocks_per_multiprocessor = QMMI_CUDA_MMA_K16_GROUPED_BLOCKS,
                                                      .cluster = 1,
                                                      .arrivals = 1,
                                                      .packed_4bit = true,
                                                      .efficiency = 0.7 };

static const qmmi_cuda_matmul_shape *shape_of(const qmmi_matmul_problem *p) {
    return qmmi_grouped(p) ? &grouped_shape : &plain_shape;
}

const char *qmmi_cuda_matmul_mma_k16_accepts(const qmm_context *context, const qmmi_problem *problem) {
    (void)context;
    return qmmi_canonical_accepts(&problem->as.matmul);
}

double qmmi_cuda_matmul_mma_k16_estimate(const qmm_context *context, const qmmi_problem *problem) {
    const qmmi_matmul_problem *p = &problem->as.matmul;
    return qmmi_cuda_matmul_estimate(context, p, shape_of(p), qmmi_cuda_device_of(context)->rates.mma_k16);
}

qmmi_split qmmi_cuda_matmul_mma_k16_split(const qmm_context *context, const qmmi_problem *problem) {
    return qmmi_cuda_matmul_split(context, &problem->as.matmul, shape_of(&problem->as.matmul));
}

size_t qmmi_cuda_matmul_mma_k16_workspace(const qmm_context *context, const qmmi_problem *problem) {
    return qmmi_cuda_matmul_workspace(context, &problem->as.matmul, shape_of(&problem->as.matmul));
}

qmm_status qmmi_cuda_matmul_mma_k16(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                    size_t workspace_offset) {
    const qmmi_matmul_problem *p = &problem->as.matmul;
    qmmi_cuda_matmul m;
    QMMI_TRY(qmmi_cuda_matmul_prepare(context, p, shape_of(p), workspace, workspace_offset, &m));
    if (qmmi_grouped(p))
        return qmmi_cuda_launch(context,
                                m.b.bits == 4 ? QMMI_CUDA_matmul_s4_mma_k16_grouped_kernel
                                              : QMMI_CUDA_matmul_s8_mma_k16_grouped_kernel,
                                m.blocks, QMMI_CUDA_MMA_K16_GROUPED_THREADS, QMMI_CUDA_MMA_K16_GROUPED_SHARED, &m);
    return qmmi_cuda_launch(
        context, m.b.bits == 4 ? QMMI_CUDA_matmul_s4_mma_k16_kernel : QMMI_CUDA_matmul_s8_mma_k16_kernel, m.blocks,
        QMMI_CUDA_MMA_K16_THREADS, QMMI_CUDA_MMA_K16_SHARED, &m);
}
