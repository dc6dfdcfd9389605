/* SPDX-License-Identifier: Apache-2.0
 *
 * Specification of the matmul epilogue. Per element, one rounding per operation, in this order:
 *
 *     acc = acc + bias[j]                  s32 bias; in 64 bits
 *     y   = (float)acc
 *     y   = y * sb[j];  y = y * sa[i]      a product, never sa * sb first
 *     y   = y + bias[j]                    f32 bias
 *     y   = y + residual[i,j]
 *     y   = activation(y)
 *     c   = y rounded once to f32, f16, bf16; or clamp(rint(y / sc) + zc, qmin, qmax)
 *
 * An s32 c is acc, saturated. Each step is a loop of its own over a chunk of a row, which the compiler vectorises. */
#include "epilogue.h"

#include "../numerics_activation.h"

/* ---- the factors ------------------------------------------------------------------------------------------------- */

QMMI_CPU_INLINE void multiply_by_b(const qmmi_matmul_problem *p, int64_t batch, int64_t j, int64_t count, int64_t group,
                                   float *y) {
    const qmmi_param *scale = &p->b.scale;
    if (!scale->memory || scale->row_stride == 0) {
        const float s = qmmi_cpu_scale(scale, batch, 0, group);
        for (int64_t n = 0; n < count; n++) y[n] = y[n] * s;
    } else if (scale->type == QMM_F32 && scale->row_stride == 1) {
        const float *s = (const float *)(const void *)qmmi_cpu_at(scale->memory, scale->offset) +
                         qmmi_cpu_param_index(scale, batch, j, group);
        for (int64_t n = 0; n < count; n++) y[n] = y[n] * s[n];
    } else {
        for (int64_t n = 0; n < count; n++) y[n] = y[n] * qmmi_cpu_scale(scale, batch, j + n, group);
    }
}

QMMI_CPU_INLINE void multiply_by_a(const qmmi_matmul_problem *p, int64_t batch, int64_t i, int64_t count, int64_t group,
                                   float *y) {
    const float s = qmmi_cpu_scale(&p->a.scale, batch, i, group);
    for (int64_t n = 0; n < count; n++) y[n] = y[n] * s;
}

/* ---- bias, residual, activation ---------------------------------------------------------------------------------- */

QMMI_CPU_INLINE void add_bias(const qmmi_matmul_problem *p, int64_t batch, int64_t j, int64_t count, float *y) {
    const float *bias;
    if (!p->bias.memory || p->bias.type != QMM_F32) return;
    bias = (const float *)(const void *)qmmi_cpu_at(p->bias.memory, p->bias.offset) +
           qmmi_cpu_param_index(&p->bias, batch, 0, j);
    for (int64_t n = 0; n < count; n++) y[n] = y[n] + bias[n * p->bias.col_stride];
}

QMMI_CPU_INLINE void add_residual(const qmmi_matmul_problem *p, int64_t batch, int64_t i, int64_t j, int64_t count,
                                  float *y) {
    const qmmi_view *r = &p->residual;
    const unsigned char *base = qmmi_cpu_at(r->memory, r->offset);
    const int64_t start = qmmi_cpu_index(r, batch, i, j);
    if (!r->memory) return;
    for (int64_t n = 0; n < count; n++) y[n] = y[n] + qmmi_cpu_load_real(r->type, base, start + n);
}

QMMI_CPU_INLINE void activate(qmm_activation activation, int64_t count, float *y) {
    switch (activation) {
    case QMM_ACTIVATION_NONE: break;
    case QMM_ACTIVATION_RELU:
        for (int64_t n = 0; n < count; n++) y[n] = qmmn_relu(y[n]);
        break;
    case QMM_ACTIVATION_GELU:
        for (int64_t n = 0; n < count; n++) y[n] = qmmn_gelu(y[n]);
        break;
    case QMM_ACTIVATION_GELU_TANH:
        for (int64_t n = 0; n < count; n++) y[n] = qmmn_gelu_tanh(y[n]);
        break;
    case QMM_ACTIVATION_SILU:
        for (int64_t n = 0; n < count; n++) y[n] = qmmn_silu(y[n]);
        break;
    }
}

/* ---- the store --------------------------------------------------------------------------------------------------- */

QMMI_CPU_INLINE void store_codes(const qmmi_matmul_problem *p, int64_t batch, int64_t i, int64_t j, int64_t count,
                                 const float *y) {
    unsigned char *base = qmmi_cpu_at(p->c.memory, p->c.offset);
    qmmi_cpu_run_params params;
    int32_t codes[QMMI_CPU_RUN];
    qmmi_cpu_load_params(&p->c_quant, batch, i, j, count, &params);
    qmmi_cpu_quantize_run(y, count, &params, p->c_quant.qmin, p->c_quant.qmax, codes);
    qmmi_cpu_store_codes(p->c.type, base, qmmi_cpu_index(&p->c, batch, i, j), count, codes);
}

QMMI_CPU_INLINE void store(const qmmi_matmul_problem *p, int64_t batch, int64_t i, int64_t j, int64_t count,
                           const float *y) {
    const qmm_type type = p->c.type;
    if (type == QMM_F32 || type == QMM_F16 || type == QMM_BF16)
        qmmi_cpu_store_reals(type, qmmi_cpu_at(p->c.memory, p->c.offset), qmmi_cpu_index(&p->c, batch, i, j), count, y);
    else
        store_codes(p, batch, i, j, count, y);
}

static void store_s32(const qmmi_matmul_problem *p, int64_t batch, int64_t i, int64_t j, int64_t count,
                      const int64_t *acc) {
    int32_t *c = (int32_t *)(void *)qmmi_cpu_at(p->c.memory, p->c.offset) + qmmi_cpu_index(&p->c, batch, i, j);
    for (int64_t n = 0; n < count; n++)
        c[n] = (int32_t)(acc[n] < INT32_MIN ? INT32_MIN : acc[n] > INT32_MAX ? INT32_MAX : acc[n]);
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

QMMI_CPU_CLONES void qmmi_cpu_epilogue_add_group(const qmmi_matmul_problem *p, int64_t batch, int64_t i, int64_t j,
                                                 int64_t count, int64_t group, float *term, float *y) {
    if (p->b.grouped) multiply_by_b(p, batch, j, count, group, term);
    if (p->a.grouped) multiply_by_a(p, batch, i, count, group, term);
    for (int64_t n = 0; n < count; n++) y[n] = y[n] + term[n];
}

QMMI_CPU_CLONES void qmmi_cpu_epilogue_finish(const qmmi_matmul_problem *p, int64_t batch, int64_t i, int64_t j,
                                              int64_t count, float *y) {
    if (!p->b.grouped) multiply_by_b(p, batch, j, count, 0, y);
    if (!p->a.grouped) multiply_by_a(p, batch, i, count, 0, y);
    add_bias(p, batch, j, count, y);
    add_residual(p, batch, i, j, count, y);
    activate(p->activation, count, y);
    store(p, batch, i, j, count, y);
}

void qmmi_cpu_epilogue(const qmmi_matmul_problem *p, int64_t batch, int64_t i, int64_t j, int64_t count,
                       const int64_t *acc) {
    int64_t biased[QMMI_CPU_RUN];
    float y[QMMI_CPU_RUN];
    if (p->bias.memory && p->bias.type == QMM_S32) {
        const int32_t *bias = (const int32_t *)(const void *)qmmi_cpu_at(p->bias.memory, p->bias.offset) +
                              qmmi_cpu_param_index(&p->bias, batch, 0, j);
        for (int64_t n = 0; n < count; n++) biased[n] = acc[n] + bias[n * p->bias.col_stride];
        acc = biased;
    }
    if (p->c.type == QMM_S32) {
        store_s32(p, batch, i, j, count, acc);
        return;
    }
    for (int64_t n = 0; n < count; n++) y[n] = (float)acc[n];
    qmmi_cpu_epilogue_finish(p, batch, i, j, count, y);
}
