/* SPDX-License-Identifier: Apache-2.0
 *
 * One element of a tensor on the CPU: where it is, and its value. The specification is written with these; the faster
 * rows use chunk.h. */
#ifndef QMMI_CPU_ELEMENT_H
#define QMMI_CPU_ELEMENT_H

#include <string.h>

#include "../backend.h"
#include "../numerics.h"

static inline unsigned char *qmmi_cpu_at(const void *memory, size_t offset) {
    return (unsigned char *)(uintptr_t)memory + offset;
}

/* Index of element (i, j) of matrix b from the view's start. */
static inline int64_t qmmi_cpu_index(const qmmi_view *v, int64_t b, int64_t i, int64_t j) {
    return b * v->batch_stride + i * v->row_stride + j;
}

/* An integer element. 4-bit: the even element is the low nibble. */
static inline int32_t qmmi_cpu_load_code(qmm_type type, const unsigned char *base, int64_t index) {
    switch (type) {
    case QMM_S4: {
        const int nibble = (base[index / 2] >> (index & 1 ? 4 : 0)) & 15;
        return (nibble ^ 8) - 8;
    }
    case QMM_U4: return (base[index / 2] >> (index & 1 ? 4 : 0)) & 15;
    case QMM_S8: return ((const int8_t *)base)[index];
    case QMM_U8: return base[index];
    case QMM_S16: return ((const int16_t *)(const void *)base)[index];
    case QMM_U16: return ((const uint16_t *)(const void *)base)[index];
    case QMM_S32: return ((const int32_t *)(const void *)base)[index];
    case QMM_F32:
    case QMM_F16:
    case QMM_BF16: break;
    }
    return 0;
}

static inline void qmmi_cpu_store_code(qmm_type type, unsigned char *base, int64_t index, int32_t code) {
    switch (type) {
    case QMM_S4:
    case QMM_U4: {
        const int shift = index & 1 ? 4 : 0;
        base[index / 2] = (unsigned char)((base[index / 2] & ~(15 << shift)) | ((code & 15) << shift));
        break;
    }
    case QMM_S8:
    case QMM_U8: base[index] = (unsigned char)(code & 0xff); break;
    case QMM_S16:
    case QMM_U16: ((uint16_t *)(void *)base)[index] = (uint16_t)(code & 0xffff); break;
    case QMM_S32: ((int32_t *)(void *)base)[index] = code; break;
    case QMM_F32:
    case QMM_F16:
    case QMM_BF16: break;
    }
}

/* A real element, as f32: exact. */
static inline float qmmi_cpu_load_real(qmm_type type, const unsigned char *base, int64_t index) {
    if (type == QMM_F16) return qmmn_f16_to_f32(((const uint16_t *)(const void *)base)[index]);
    if (type == QMM_BF16) return qmmn_bf16_to_f32(((const uint16_t *)(const void *)base)[index]);
    return ((const float *)(const void *)base)[index];
}

static inline void qmmi_cpu_store_real(qmm_type type, unsigned char *base, int64_t index, float value) {
    if (type == QMM_F16)
        ((uint16_t *)(void *)base)[index] = (uint16_t)qmmn_f32_to_f16(value);
    else if (type == QMM_BF16)
        ((uint16_t *)(void *)base)[index] = (uint16_t)qmmn_f32_to_bf16(value);
    else
        ((float *)(void *)base)[index] = value;
}

/* The parameter of block (r, c) of matrix b. */
static inline int64_t qmmi_cpu_param_index(const qmmi_param *p, int64_t b, int64_t r, int64_t c) {
    return b * p->batch_stride + r * p->row_stride + c * p->col_stride;
}

static inline float qmmi_cpu_scale(const qmmi_param *p, int64_t b, int64_t r, int64_t c) {
    if (!p->memory) return p->real_value;
    return qmmi_cpu_load_real(p->type, qmmi_cpu_at(p->memory, p->offset), qmmi_cpu_param_index(p, b, r, c));
}

static inline int32_t qmmi_cpu_clamp(int32_t value, int32_t low, int32_t high) {
    return value < low ? low : value > high ? high : value;
}

static inline int32_t qmmi_cpu_zero(const qmmi_param *p, int32_t low, int32_t high, int64_t b, int64_t r, int64_t c) {
    if (!p->memory) return p->integer_value;
    return qmmi_cpu_clamp(
        qmmi_cpu_load_code(p->type, qmmi_cpu_at(p->memory, p->offset), qmmi_cpu_param_index(p, b, r, c)), low, high);
}

/* Dynamic parameters of block (r, c) of matrix b, from the range min <= 0 <= max of its values, stored where the caller
 * wants them. No zero tensor: symmetric. */
static inline void qmmi_cpu_store_params(const qmmi_quant *to, int64_t b, int64_t r, int64_t c, float min, float max) {
    const bool symmetric = !to->zero.memory;
    const float scale = symmetric ? qmmn_symmetric_scale(-min > max ? -min : max, to->qmax)
                                  : qmmn_asymmetric_scale(min, max, to->qmin, to->qmax);
    qmmi_cpu_store_real(to->scale.type, qmmi_cpu_at(to->scale.memory, to->scale.offset),
                        qmmi_cpu_param_index(&to->scale, b, r, c), scale);
    if (symmetric) return;
    qmmi_cpu_store_code(to->zero.type, qmmi_cpu_at(to->zero.memory, to->zero.offset),
                        qmmi_cpu_param_index(&to->zero, b, r, c),
                        qmmn_asymmetric_zero(min, scale, to->qmin, to->qmax));
}

#endif
