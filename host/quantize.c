/* SPDX-License-Identifier: Apache-2.0
 *
 * quantize, quantize_dynamic, dequantize, requantize: the public bodies. */
#include "context.h"
#include "kernel.h"

static qmm_status convert(const qmmi_call *call, qmmi_operation operation, const char *source_name,
                          const qmm_tensor *source, const qmm_quant *source_quant, const char *target_name,
                          const qmm_tensor *target, const qmm_quant *target_quant) {
    qmmi_problem problem;
    QMMI_TRY(qmmi_enter(call->context, call->function));
    QMMI_TRY(qmmi_check_convert(call, operation, source_name, source, source_quant, target_name, target, target_quant,
                                &problem));
    /* Nothing to do; a dynamic quantize of empty rows still owes them their parameters, and both owe them sums. */
    if (problem.as.convert.source.rows == 0 || problem.as.convert.source.cols == 0) {
        if (operation != QMMI_QUANTIZE_DYNAMIC && !problem.as.convert.sums.memory) return QMM_OK;
    }
    return qmmi_run(call, &problem, NULL);
}

qmm_status qmm_quantize(qmm_context *context, const qmm_tensor *x, const qmm_quant *quant, const qmm_tensor *q) {
    const qmmi_call call = { context, __func__, false };
    return convert(&call, QMMI_QUANTIZE, "x", x, NULL, "q", q, quant);
}

qmm_status qmm_quantize_dynamic(qmm_context *context, const qmm_tensor *x, const qmm_quant *quant,
                                const qmm_tensor *q) {
    const qmmi_call call = { context, __func__, false };
    return convert(&call, QMMI_QUANTIZE_DYNAMIC, "x", x, NULL, "q", q, quant);
}

qmm_status qmm_dequantize(qmm_context *context, const qmm_tensor *q, const qmm_quant *quant, const qmm_tensor *x) {
    const qmmi_call call = { context, __func__, false };
    return convert(&call, QMMI_DEQUANTIZE, "q", q, quant, "x", x, NULL);
}

qmm_status qmm_requantize(qmm_context *context, const qmm_tensor *source, const qmm_quant *source_quant,
                          const qmm_tensor *target, const qmm_quant *target_quant) {
    const qmmi_call call = { context, __func__, false };
    return convert(&call, QMMI_REQUANTIZE, "source", source, source_quant, "target", target, target_quant);
}
