/* SPDX-License-Identifier: Apache-2.0
 *
 * Specification of requantize:   y = (float)(p[i,j] - zero) * scale
 *                                q[i,j] = clamp(rint(y / scale') + zero', qmin, qmax)
 *
 * the parameters being those of the blocks of (i, j) on either side: dequantize to f32 and quantize, in one pass. */
#include "cpu.h"
#include "element.h"

qmm_status qmmi_cpu_requantize_reference(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                         size_t workspace_offset) {
    const qmmi_view *p = &problem->as.convert.source, *q = &problem->as.convert.target;
    const qmmi_quant *from = &problem->as.convert.source_quant, *to = &problem->as.convert.target_quant;
    const unsigned char *from_base = qmmi_cpu_at(p->memory, p->offset);
    unsigned char *to_base = qmmi_cpu_at(q->memory, q->offset);
    (void)context, (void)workspace, (void)workspace_offset;
    for (int64_t b = 0; b < p->batch; b++) {
        for (int64_t i = 0; i < p->rows; i++) {
            for (int64_t j = 0; j < p->cols; j++) {
                const int64_t r = i / from->block_rows, c = j / from->block_cols;
                const int64_t r2 = i / to->block_rows, c2 = j / to->block_cols;
                const int32_t code = qmmi_cpu_load_code(p->type, from_base, qmmi_cpu_index(p, b, i, j));
                const float y =
                    qmmn_dequantize(code, qmmi_cpu_zero(&from->zero, from->zero_min, from->zero_max, b, r, c),
                                    qmmi_cpu_scale(&from->scale, b, r, c));
                const int32_t zero = qmmi_cpu_zero(&to->zero, to->zero_min, to->zero_max, b, r2, c2);
                qmmi_cpu_store_code(
                    q->type, to_base, qmmi_cpu_index(q, b, i, j),
                    qmmn_quantize(y, qmmi_cpu_scale(&to->scale, b, r2, c2), zero, to->qmin, to->qmax));
            }
        }
    }
    return QMM_OK;
}
