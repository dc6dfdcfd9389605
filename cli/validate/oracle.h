/* SPDX-License-Identifier: Apache-2.0
 *
 * The expected results, worked out without the library: reals are doubles, integers 64 bits wide.
 *
 * One rounding to float of a double result is the correctly rounded float result: the product of two floats is exact in
 * a double, and for sums and quotients 53 >= 2 * 24 + 2 digits make the second rounding harmless (Figueroa 1995). */
#ifndef QMM_VALIDATE_ORACLE_H
#define QMM_VALIDATE_ORACLE_H

#include "case.h"

/* The nearest float, ties to even, as a double. */
static inline double oracle_f32(double x) {
    return (double)(float)x;
}

/* The bits of the f16 or bf16 (or f32) nearest to x, ties to even, and the value of such bits. */
uint32_t oracle_encode_real(qmm_type type, double x);
double oracle_decode_real(qmm_type type, uint32_t bits);

/* clamp(rint(x / scale) + zero, qmin, qmax), the quotient rounded to float; a NaN x is taken as 0. */
double oracle_quantize(double x, double scale, int32_t zero, int32_t qmin, int32_t qmax);

/* (float)(code - zero) * scale. */
double oracle_dequantize(double code, int32_t zero, double scale);

/* The parameters of element (i, j), as stored, of matrix b. Tensors of batch 1 serve every b. */
double oracle_scale(const validate_case *c, const validate_quant *q, int64_t b, int64_t i, int64_t j);
int32_t oracle_zero(const validate_case *c, const validate_quant *q, int64_t b, int64_t i, int64_t j);

double oracle_activate(qmm_activation activation, double y);

#endif
