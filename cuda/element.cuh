/* SPDX-License-Identifier: Apache-2.0
 *
 * Elements on a CUDA device, one at a time, as host/cpu/element.h has them. run.cuh has many at a time, with wide loads
 * and stores. The element types are run-time values: a switch is uniform over a launch, and it keeps the number of kernels
 * small. */
#ifndef QMM_CUDA_ELEMENT_CUH
#define QMM_CUDA_ELEMENT_CUH

#include "device.cuh"

#include "../host/numerics.h"
#include "../host/problem.h"

DEVICE unsigned char *at(const void *memory, size_t offset) {
    return (unsigned char *)memory + offset;
}

/* Index of element (i, j) of matrix b from the view's start. */
DEVICE int64_t index_of(const qmmi_view &v, int64_t b, int64_t i, int64_t j) {
    return b * v.batch_stride + i * v.row_stride + j;
}

/* ---- one element -------------------------------------------------------------------------------------------------- */

/* An integer element. 4-bit: the even element is the low nibble. */
DEVICE int load_code(qmm_type type, const unsigned char *base, int64_t index) {
    switch (type) {
    case QMM_S4: return (((base[index / 2] >> (index & 1 ? 4 : 0)) & 15) ^ 8) - 8;
    case QMM_U4: return (base[index / 2] >> (index & 1 ? 4 : 0)) & 15;
    case QMM_S8: return ((const int8_t *)base)[index];
    case QMM_U8: return base[index];
    case QMM_S16: return ((const int16_t *)base)[index];
    case QMM_U16: return ((const uint16_t *)base)[index];
    case QMM_S32: return ((const int32_t *)base)[index];
    default: return 0; /* no integer */
    }
}

/* Not for 4-bit types: two threads may own one byte. Those are stored in runs (run.cuh). */
DEVICE void store_code(qmm_type type, unsigned char *base, int64_t index, int code) {
    switch (type) {
    case QMM_S8:
    case QMM_U8: base[index] = (unsigned char)code; break;
    case QMM_S16:
    case QMM_U16: ((uint16_t *)base)[index] = (uint16_t)code; break;
    case QMM_S32: ((int32_t *)base)[index] = code; break;
    default: break;
    }
}

/* A real element, as f32: exact. */
DEVICE float load_real(qmm_type type, const unsigned char *base, int64_t index) {
    if (type == QMM_F16) return qmmn_f16_to_f32(((const uint16_t *)base)[index]);
    if (type == QMM_BF16) return qmmn_bf16_to_f32(((const uint16_t *)base)[index]);
    return ((const float *)base)[index];
}

DEVICE void store_real(qmm_type type, unsigned char *base, int64_t index, float value) {
    if (type == QMM_F16)
        ((uint16_t *)base)[index] = (uint16_t)qmmn_f32_to_f16(value);
    else if (type == QMM_BF16)
        ((uint16_t *)base)[index] = (uint16_t)qmmn_f32_to_bf16(value);
    else
        ((float *)base)[index] = value;
}

/* ---- parameters --------------------------------------------------------------------------------------------------- */

DEVICE int64_t param_index(const qmmi_param &p, int64_t b, int64_t r, int64_t c) {
    return b * p.batch_stride + r * p.row_stride + c * p.col_stride;
}

DEVICE float scale_at(const qmmi_param &p, int64_t b, int64_t r, int64_t c) {
    return p.memory ? load_real(p.type, at(p.memory, p.offset), param_index(p, b, r, c)) : p.real_value;
}

DEVICE int zero_at(const qmmi_param &p, int low, int high, int64_t b, int64_t r, int64_t c) {
    if (!p.memory) return p.integer_value;
    const int zero = load_code(p.type, at(p.memory, p.offset), param_index(p, b, r, c));
    return zero < low ? low : zero > high ? high : zero;
}

#endif
