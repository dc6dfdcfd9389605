/* SPDX-License-Identifier: Apache-2.0
 *
 * Gathers the parameters of packed weights into dense arrays: f32 of the scales, s32 (clamped) of the zero points.
 * Specification: host/cpu/weights.c. The codes are packed by matmul_prepare.cu. */
#include "element.cuh"
#include "weights.h"

KERNEL(weights_gather_kernel, QMMI_CUDA_GATHER_THREADS, 4, qmmi_cuda_gather, g) {
    const int64_t first = (int64_t)blockIdx.x * blockDim.x + threadIdx.x, step = (int64_t)gridDim.x * blockDim.x;
    for (int64_t item = first; item < g.n * g.groups * g.batch; item += step) {
        const int64_t j = item % g.n, group = item / g.n % g.groups, b = item / g.n / g.groups;
        if (g.scale.memory)
            store_real(QMM_F32, at(g.scale.memory, g.scale.offset), param_index(g.scale, b, j, group),
                       scale_at(g.b.scale, b, j, group));
        if (g.zero.memory)
            store_code(QMM_S32, at(g.zero.memory, g.zero.offset), param_index(g.zero, b, j, group),
                       zero_at(g.b.zero, g.b.zero_min, g.b.zero_max, b, j, group));
    }
}
