/* SPDX-License-Identifier: Apache-2.0
 *
 * Specification of dequantize:   x[i,j] = (float)(q[i,j] - zero) * scale
 *
 * then one rounding to f16 or bf16 if x is of that type. scale and zero are those of the block of (i, j).
 * Source: ONNX DequantizeLinear. */
#include "cpu.h"
#include "element.h"

qmm_status qmmi_cpu_dequantize_reference(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                         size_t workspace_offset) {
    const qmmi_view *q = &problem->as.convert.source, *x = &problem->as.convert.target;
    const qmmi_quant *from = &problem->as.convert.source_quant;
    const unsigned char *from_base = qmmi_cpu_at(q->memory, q->offset);
    unsigned char *to_base = qmmi_cpu_at(x->memory, x->offset);
    (void)context, (void)workspace, (void)workspace_offset;
    for (int64_t b = 0; b < q->batch; b++) {
        for (int64_t i = 0; i < q->rows; i++) {
            for (int64_t j = 0; j < q->cols; j++) {
                const int64_t r = i / from->block_rows, c = j / from->block_cols;
                const float scale = qmmi_cpu_scale(&from->scale, b, r, c);
                const int32_t zero = qmmi_cpu_zero(&from->zero, from->zero_min, from->zero_max, b, r, c);
                const int32_t code = qmmi_cpu_load_code(q->type, from_base, qmmi_cpu_index(q, b, i, j));
                qmmi_cpu_store_real(x->type, to_base, qmmi_cpu_index(x, b, i, j), qmmn_dequantize(code, zero, scale));
            }
        }
    }
    return QMM_OK;
}
