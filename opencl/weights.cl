/* SPDX-License-Identifier: Apache-2.0
 *
 * Gathers the parameters of packed weights into dense arrays: f32 of the scales, s32 (clamped) of the zero points.
 * Specification: host/cpu/weights.c. The codes are packed by matmul_prepare.cl. */
#include "element.cl"
#include "weights.h"

__kernel void weights_gather_kernel(const qmmi_cl_gather g, const MEMORY b_scale, const MEMORY b_zero, MEMORY scale,
                                    MEMORY zero) {
    const long item = get_global_id(0);
    const long row = quotient(item, g.n), j = item - row * g.n;
    const long b = quotient(row, g.groups), group = row - b * g.groups;
    if (b >= g.batch) return;
    if (g.scale.in_memory)
        store_real(QMM_F32, scale + g.scale.offset, param_index(&g.scale, b, j, group),
                   scale_at(&g.b.scale, b_scale, b, j, group));
    if (g.zero.in_memory)
        store_code(QMM_S32, zero + g.zero.offset, param_index(&g.zero, b, j, group),
                   zero_at(&g.b.zero, g.b.zero_min, g.b.zero_max, b_zero, b, j, group));
}
