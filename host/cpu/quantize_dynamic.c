/* SPDX-License-Identifier: Apache-2.0
 *
 * Specification of quantize_dynamic. For every block of elements that share parameters, over its finite values:
 *
 *     symmetric    absmax = max |x|;  scale = absmax / qmax;  zero = 0
 *     asymmetric   min = min(0, x), max = max(0, x);  scale = (max - min) / (qmax - qmin)
 *                  zero = clamp(rint(qmin - min / scale), qmin, qmax)
 *
 * in float32 (numerics.h has the guards for zero, tiny and overflowing ranges), then quantize with them.
 * Source: ONNX DynamicQuantizeLinear. */
#include "cpu.h"
#include "element.h"

/* The parameters of block (r, c) of matrix b, stored where the caller wants them. */
static void choose(const qmmi_view *x, const qmmi_quant *to, int64_t b, int64_t r, int64_t c) {
    const unsigned char *base = qmmi_cpu_at(x->memory, x->offset);
    const int64_t row_end = (r + 1) * to->block_rows < x->rows ? (r + 1) * to->block_rows : x->rows;
    const int64_t col_end = (c + 1) * to->block_cols < x->cols ? (c + 1) * to->block_cols : x->cols;
    float min = 0.0f, max = 0.0f;
    for (int64_t i = r * to->block_rows; i < row_end; i++) {
        for (int64_t j = c * to->block_cols; j < col_end; j++) {
            const float value = qmmi_cpu_load_real(x->type, base, qmmi_cpu_index(x, b, i, j));
            if (!qmmn_is_finite(value)) continue;
            min = value < min ? value : min;
            max = value > max ? value : max;
        }
    }
    qmmi_cpu_store_params(to, b, r, c, min, max);
}

qmm_status qmmi_cpu_quantize_dynamic_reference(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                               size_t workspace_offset) {
    const qmmi_quant *to = &problem->as.convert.target_quant;
    const qmmi_view *x = &problem->as.convert.source;
    for (int64_t b = 0; b < x->batch; b++)
        for (int64_t r = 0; r < to->param_rows; r++)
            for (int64_t c = 0; c < to->param_cols; c++) choose(x, to, b, r, c);
    return qmmi_cpu_quantize_reference(context, problem, workspace, workspace_offset);
}
