/* SPDX-License-Identifier: Apache-2.0
 *
 * Specification of quantize:   q[i,j] = clamp(rint(x[i,j] / scale) + zero, qmin, qmax)
 *
 * f16 and bf16 convert exactly to f32 first. True division, ties to even, the zero point added after rounding; NaN gives
 * zero, infinities saturate. scale and zero are those of the block of (i, j). Source: ONNX QuantizeLinear. */
#include "cpu.h"
#include "element.h"

qmm_status qmmi_cpu_quantize_reference(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                       size_t workspace_offset) {
    const qmmi_view *x = &problem->as.convert.source, *q = &problem->as.convert.target;
    const qmmi_quant *to = &problem->as.convert.target_quant;
    const unsigned char *from_base = qmmi_cpu_at(x->memory, x->offset);
    unsigned char *to_base = qmmi_cpu_at(q->memory, q->offset);
    (void)context, (void)workspace, (void)workspace_offset;
    for (int64_t b = 0; b < x->batch; b++) {
        for (int64_t i = 0; i < x->rows; i++) {
            for (int64_t j = 0; j < x->cols; j++) {
                const int64_t r = i / to->block_rows, c = j / to->block_cols;
                const float scale = qmmi_cpu_scale(&to->scale, b, r, c);
                const int32_t zero = qmmi_cpu_zero(&to->zero, to->zero_min, to->zero_max, b, r, c);
                const float value = qmmi_cpu_load_real(x->type, from_base, qmmi_cpu_index(x, b, i, j));
                qmmi_cpu_store_code(q->type, to_base, qmmi_cpu_index(q, b, i, j),
                                    qmmn_quantize(value, scale, zero, to->qmin, to->qmax));
            }
        }
    }
    qmmi_cpu_row_sums(&problem->as.convert);
    return QMM_OK;
}
