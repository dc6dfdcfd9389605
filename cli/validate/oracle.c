/* SPDX-License-Identifier: Apache-2.0 */
#include "oracle.h"

#include <math.h>
#include <string.h>

/* The only thing taken from the library's sources: gelu, gelu_tanh and silu are defined as the bits this header gives.
 * tests/specification/activation_sweep.c holds it against the real functions over all floats. */
#include "../../host/numerics_activation.h"

/* ---- real formats ------------------------------------------------------------------------------------------------ */

/* value = significand * 2^(exponent - digits + 1), 2^(digits-1) <= significand < 2^digits; below 2^lowest subnormal. */
typedef struct format {
    int digits, lowest, highest;
} format;

static format format_of(qmm_type type) {
    if (type == QMM_F16) return (format){ 11, -14, 15 };
    if (type == QMM_BF16) return (format){ 8, -126, 127 };
    return (format){ 24, -126, 127 };
}

/* Works with the integer number of steps between 0 and |x|: it is also the pattern's low bits, for the exponent counts
 * blocks of 2^(digits-1) steps. */
uint32_t oracle_encode_real(qmm_type type, double x) {
    const format f = format_of(type);
    const uint32_t block = 1u << (f.digits - 1);
    const uint32_t infinity = (uint32_t)(f.highest - f.lowest + 2) * block;
    const uint32_t sign = signbit(x) ? (uint32_t)(f.highest + 1) * 2 * block : 0;
    int exponent;
    double steps;
    uint32_t magnitude;
    if (isnan(x)) return infinity + block / 2;
    if (isinf(x)) return sign + infinity;
    frexp(x, &exponent);
    exponent = x == 0.0 || exponent - 1 < f.lowest ? f.lowest : exponent - 1;
    steps = rint(ldexp(fabs(x), f.digits - 1 - exponent));
    magnitude = (uint32_t)(exponent - f.lowest) * block + (uint32_t)steps;
    return sign + (magnitude < infinity ? magnitude : infinity);
}

double oracle_decode_real(qmm_type type, uint32_t bits) {
    const format f = format_of(type);
    const uint32_t block = 1u << (f.digits - 1), sign = (uint32_t)(f.highest + 1) * 2 * block;
    const uint32_t magnitude = bits % sign, exponent = magnitude / block;
    double value;
    if (exponent == (uint32_t)(f.highest - f.lowest + 2))
        value = magnitude % block ? (double)NAN : (double)INFINITY;
    else
        value = ldexp((double)(exponent ? magnitude % block + block : magnitude),
                      (exponent ? (int)exponent - 1 : 0) + f.lowest - f.digits + 1);
    return bits >= sign ? -value : value;
}

/* ---- scalars ----------------------------------------------------------------------------------------------------- */

double oracle_quantize(double x, double scale, int32_t zero, int32_t qmin, int32_t qmax) {
    const double quotient = oracle_f32(x / scale);
    const double code = isnan(quotient) ? zero : rint(quotient) + zero;
    return fmin(fmax(code, qmin), qmax);
}

double oracle_dequantize(double code, int32_t zero, double scale) {
    return oracle_f32(oracle_f32(code - zero) * scale);
}

double oracle_activate(qmm_activation activation, double y) {
    switch (activation) {
    case QMM_ACTIVATION_NONE: return y;
    case QMM_ACTIVATION_RELU: return isnan(y) || y > 0.0 ? y : 0.0;
    case QMM_ACTIVATION_GELU: return (double)qmmn_gelu((float)y);
    case QMM_ACTIVATION_GELU_TANH: return (double)qmmn_gelu_tanh((float)y);
    case QMM_ACTIVATION_SILU: return (double)qmmn_silu((float)y);
    }
    return y;
}

/* ---- parameters -------------------------------------------------------------------------------------------------- */

/* Element of a parameter tensor for element (i, j); a vector may lie the other way round. */
static double parameter(const validate_case *c, const validate_quant *q, int tensor, int64_t b, int64_t i, int64_t j) {
    const validate_tensor *t = &c->tensors[tensor];
    const int64_t row = q->param_rows == 1 ? 0 : i / q->block_rows, col = q->param_cols == 1 ? 0 : j / q->block_cols;
    const bool turned = t->rows != q->param_rows || t->cols != q->param_cols;
    return validate_load(t, t->output ? t->want : t->before, t->batch == 1 ? 0 : b, turned ? col : row,
                         turned ? row : col);
}

double oracle_scale(const validate_case *c, const validate_quant *q, int64_t b, int64_t i, int64_t j) {
    return q->scale < 0 ? (double)q->scale_value : parameter(c, q, q->scale, b, i, j);
}

int32_t oracle_zero(const validate_case *c, const validate_quant *q, int64_t b, int64_t i, int64_t j) {
    if (q->zero < 0) return q->zero_value;
    return (int32_t)fmin(fmax(parameter(c, q, q->zero, b, i, j), q->zero_min), q->zero_max);
}
