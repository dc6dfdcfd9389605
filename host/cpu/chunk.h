/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs of elements of one row, unpacked to f32 or s32 and packed again. Each is a loop the compiler vectorises, one per
 * type; the faster rows are made of them. */
#ifndef QMMI_CPU_CHUNK_H
#define QMMI_CPU_CHUNK_H

#include "element.h"
#include "loops.h"

#define QMMI_CPU_RUN 512 /* elements at a time: the unpacked run stays in the first-level cache */

/* f32 of `count` elements; in place where they are f32 already, else in `room`. */
QMMI_CPU_INLINE const float *qmmi_cpu_load_reals(qmm_type type, const unsigned char *base, int64_t index, int64_t count,
                                               float *room) {
    const uint16_t *half = (const uint16_t *)(const void *)base + index;
    if (type == QMM_F16) {
        for (int64_t n = 0; n < count; n++) room[n] = qmmn_f16_to_f32(half[n]);
    } else if (type == QMM_BF16) {
        for (int64_t n = 0; n < count; n++) room[n] = qmmn_bf16_to_f32(half[n]);
    } else {
        return (const float *)(const void *)base + index;
    }
    return room;
}

QMMI_CPU_INLINE void qmmi_cpu_store_reals(qmm_type type, unsigned char *base, int64_t index, int64_t count,
                                        const float *values) {
    uint16_t *half = (uint16_t *)(void *)base + index;
    float *single = (float *)(void *)base + index;
    if (type == QMM_F16) {
        for (int64_t n = 0; n < count; n++) half[n] = (uint16_t)qmmn_f32_to_f16(values[n]);
    } else if (type == QMM_BF16) {
        for (int64_t n = 0; n < count; n++) half[n] = (uint16_t)qmmn_f32_to_bf16(values[n]);
    } else {
        for (int64_t n = 0; n < count; n++) single[n] = values[n];
    }
}

QMMI_CPU_INLINE void qmmi_cpu_load_codes(qmm_type type, const unsigned char *base, int64_t index, int64_t count,
                                       int32_t *codes) {
    switch (type) {
    case QMM_S8:
        for (int64_t n = 0; n < count; n++) codes[n] = ((const int8_t *)base)[index + n];
        break;
    case QMM_U8:
        for (int64_t n = 0; n < count; n++) codes[n] = base[index + n];
        break;
    case QMM_S16:
        for (int64_t n = 0; n < count; n++) codes[n] = ((const int16_t *)(const void *)base)[index + n];
        break;
    case QMM_U16:
        for (int64_t n = 0; n < count; n++) codes[n] = ((const uint16_t *)(const void *)base)[index + n];
        break;
    case QMM_S4:
    case QMM_U4:
    case QMM_S32:
    case QMM_F32:
    case QMM_F16:
    case QMM_BF16:
        for (int64_t n = 0; n < count; n++) codes[n] = qmmi_cpu_load_code(type, base, index + n);
        break;
    }
}

QMMI_CPU_INLINE void qmmi_cpu_store_codes(qmm_type type, unsigned char *base, int64_t index, int64_t count,
                                        const int32_t *codes) {
    uint16_t *wide = (uint16_t *)(void *)base + index;
    switch (type) {
    case QMM_S8:
    case QMM_U8:
        for (int64_t n = 0; n < count; n++) base[index + n] = (unsigned char)codes[n];
        break;
    case QMM_S16:
    case QMM_U16:
        for (int64_t n = 0; n < count; n++) wide[n] = (uint16_t)codes[n];
        break;
    case QMM_S4:
    case QMM_U4:
    case QMM_S32:
    case QMM_F32:
    case QMM_F16:
    case QMM_BF16:
        for (int64_t n = 0; n < count; n++) qmmi_cpu_store_code(type, base, index + n, codes[n]);
        break;
    }
}

/* The parameters of a run: one pair for all of it, or a pair an element. */
typedef struct qmmi_cpu_run_params {
    bool vary;
    float scale;
    int32_t zero;
    float scales[QMMI_CPU_RUN];
    int32_t zeros[QMMI_CPU_RUN];
} qmmi_cpu_run_params;

/* ... of elements (i, j) to (i, j + count - 1), which lie in one block unless blocks are one column wide. */
QMMI_CPU_INLINE void qmmi_cpu_load_params(const qmmi_quant *quant, int64_t b, int64_t i, int64_t j, int64_t count,
                                        qmmi_cpu_run_params *params) {
    const int64_t r = i / quant->block_rows;
    params->vary = quant->block_cols == 1 && count > 1 && quant->param_cols > 1;
    params->scale = qmmi_cpu_scale(&quant->scale, b, r, j / quant->block_cols);
    params->zero = qmmi_cpu_zero(&quant->zero, quant->zero_min, quant->zero_max, b, r, j / quant->block_cols);
    if (!params->vary) return;
    for (int64_t n = 0; n < count; n++) {
        params->scales[n] = qmmi_cpu_scale(&quant->scale, b, r, j + n);
        params->zeros[n] = qmmi_cpu_zero(&quant->zero, quant->zero_min, quant->zero_max, b, r, j + n);
    }
}

/* qmmn_quantize of each element. */
QMMI_CPU_INLINE void qmmi_cpu_quantize_run(const float *x, int64_t count, const qmmi_cpu_run_params *params, int32_t qmin,
                                         int32_t qmax, int32_t *codes) {
    if (params->vary) {
        for (int64_t n = 0; n < count; n++)
            codes[n] = qmmn_quantize(x[n], params->scales[n], params->zeros[n], qmin, qmax);
    } else {
        const float scale = params->scale;
        const int32_t zero = params->zero;
        for (int64_t n = 0; n < count; n++) codes[n] = qmmn_quantize(x[n], scale, zero, qmin, qmax);
    }
}

/* Elements from column j on that make a run: up to QMMI_CPU_RUN, not past `end`, not past j's block. */
QMMI_CPU_INLINE int64_t qmmi_cpu_run_length(const qmmi_quant *quant, int64_t j, int64_t end) {
    int64_t count = end - j < QMMI_CPU_RUN ? end - j : QMMI_CPU_RUN;
    if (quant->block_cols > 1 && quant->block_cols - j % quant->block_cols < count)
        count = quant->block_cols - j % quant->block_cols;
    return count;
}

#endif
