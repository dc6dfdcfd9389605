/* SPDX-License-Identifier: Apache-2.0
 *
 * The activations of the matmul epilogue. Same language subset and same rules as numerics.h, which see: + - * /,
 * comparisons and bit casts only, so the results are the same bits on every IEEE machine.
 *
 * Largest error over all 2^32 floats, in ulp of the true value (2^-149 where that is subnormal):
 *
 *     qmmn_relu 0    qmmn_silu 2.75    qmmn_gelu 2.84    qmmn_gelu_tanh 2.77
 *
 * measured against the C library's double functions by tests/specification/activation_sweep.c; run it with --all to repeat.
 * The polynomials' coefficients and the split constants are printed by docs/derivations/fit_activations.py.
 *
 * Every function of x is computed at t = |x|, from a decaying exponential, so nothing cancels on the negative side:
 *
 *     silu(-t) = -t e / (1 + e)                  silu(t) = t / (1 + e)           e = exp(-t)
 *     gelu_tanh(x): the same with e = exp(-w),   w = 2 sqrt(2/pi) (t + 0.044715 t^3)
 *     gelu(-t) = -t Phi(-t) = -F(t) exp(-t^2/2)  gelu(t) = t + gelu(-t)          because Phi(t) + Phi(-t) = 1
 *
 * An exponent of 100 must be known to 2^-25, more than a float holds: w and t^2/2 are carried as high + low.
 * The power of two of exp is multiplied in last, so a subnormal result is rounded once. A call costs about 30 (silu) or
 * 50 (gelu, gelu_tanh) additions and multiplications and one division.
 *
 * NaN gives the quiet NaN 0x7fc00000 whatever its payload was (hardware differs in what it does to payloads). For silu,
 * gelu, gelu_tanh: +0 gives +0, -0 gives -0, +Inf gives +Inf, and -Inf and whatever underflows on the way there give -0.
 */
#ifndef QMMN_NUMERICS_ACTIVATION_H
#define QMMN_NUMERICS_ACTIVATION_H

#include "numerics.h"

#define QMMN_QUIET_NAN QMMN_AS_FLOAT(0x7fc00000u)

/* ---- exp ----------------------------------------------------------------------------------------------------------
 * exp(-(high + low)) = (1 + s) 2^-m, for 0 <= high < 120 and |low| < 0.2: m = qmmn_exp_steps, s = qmmn_exp_rest. */

/* m, an integer, such that high + low - m ln(2) is at most ln(2)/2 in size. */
QMMN_FUNCTION float qmmn_exp_steps(float high, float low) {
    return qmmn_round_even((high + low) * 1.44269502f); /* 1 / ln(2) */
}

/* s = exp(r) - 1 with r = m ln(2) - high - low. ln(2) is split into 16 bits and a rest: m times the 16 bits is exact, and
 * so is its distance from high. s = r + r^2 E(r), its error 0.05 * 2^-24 of 1 + s before rounding. */
QMMN_FUNCTION float qmmn_exp_rest(float m, float high, float low) {
    const float r = (m * 0.693145752f - high) + (m * 1.42860677e-06f - low);
    float e = 0.00138199842f;
    e = e * r + 0.00836887863f;
    e = e * r + 0.041668281f;
    e = e * r + 0.166665196f;
    e = e * r + 0.49999994f;
    return r + r * r * e;
}

/* 2^-n, 0 <= n <= 126. */
QMMN_FUNCTION float qmmn_negative_power(int n) {
    return QMMN_AS_FLOAT((unsigned int)(127 - n) << 23);
}

/* v 2^-m, 0 <= m <= 252: the first product is exact unless v is tiny, the second rounds if the result is subnormal. */
QMMN_FUNCTION float qmmn_scale_down(float v, float m) {
    const int n = (int)m;
    return v * qmmn_negative_power(n >> 1) * qmmn_negative_power(n - (n >> 1));
}

/* ---- helpers ------------------------------------------------------------------------------------------------------ */

/* |x|, and limit where that is larger or x is NaN. */
QMMN_FUNCTION float qmmn_magnitude(float x, float limit) {
    const float t = QMMN_AS_FLOAT(QMMN_AS_UINT(x) & 0x7fffffffu);
    return t < limit ? t : limit;
}

/* The leading 12 of the 24 bits of x: products of two such numbers are exact. */
QMMN_FUNCTION float qmmn_leading_bits(float x) {
    return QMMN_AS_FLOAT(QMMN_AS_UINT(x) & 0xfffff000u);
}

/* x / (1 + exp(-w)) for x >= 0 and x / (1 + exp(w)) for x < 0, where w = high + low >= 0 and t = |x|, cut off where
 * the latter is zero. With e = (1 + s) 2^-m, the sum 1 + e is (1 + 2^-m) + s 2^-m: one rounding while it matters. */
QMMN_FUNCTION float qmmn_times_sigmoid(float x, float t, float high, float low) {
    const float m = qmmn_exp_steps(high, low);
    const float s = qmmn_exp_rest(m, high, low);
    const float power = qmmn_scale_down(1.0f, m);
    const float below = (1.0f + power) + s * power;
    if (x < 0.0f) return qmmn_scale_down(QMMN_DIV(-(t + t * s), below), m);
    return x == x ? QMMN_DIV(x, below) : QMMN_QUIET_NAN;
}

/* ---- the activations ---------------------------------------------------------------------------------------------- */

/* max(x, 0), never -0. */
QMMN_FUNCTION float qmmn_relu(float x) {
    if (x > 0.0f) return x;
    return x == x ? 0.0f : QMMN_QUIET_NAN;
}

/* x / (1 + exp(-x)). Below x = -112 the result is zero. */
QMMN_FUNCTION float qmmn_silu(float x) {
    const float t = qmmn_magnitude(x, 112.0f);
    return qmmn_times_sigmoid(x, t, t, 0.0f);
}

/* 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) = x sigmoid(2 sqrt(2/pi) (x + 0.044715 x^3)); zero below x = -11.
 * w = t (A + B t^2): each factor is split into 12 bits and a rest, and the products of 12 by 12 bits are exact. */
QMMN_FUNCTION float qmmn_gelu_tanh(float x) {
    const float a_high = 1.59570312f, a_low = 6.59966026e-05f;   /* A = 2 sqrt(2/pi) */
    const float b_high = 0.0713500977f, b_low = 4.71861631e-06f; /* B = 0.044715 A */
    const float t = qmmn_magnitude(x, 11.0f);
    const float t_high = qmmn_leading_bits(t), t_low = t - t_high;
    /* t^2 = square + (t + t_high) t_low = square_high + square_low */
    const float square = t_high * t_high, square_high = qmmn_leading_bits(square);
    const float square_low = (square - square_high) + (t + t_high) * t_low;
    /* A + B t^2 = g_high + g_low; a_high - g_high is exact, and product nearly cancels it */
    const float product = b_high * square_high, g_high = qmmn_leading_bits(a_high + product);
    const float g_low = ((a_high - g_high) + product) + (a_low + (b_high * square_low + b_low * (t * t)));
    return qmmn_times_sigmoid(x, t, t_high * g_high, t_low * g_high + t * g_low);
}

/* N(t) = Phi(-t) exp(t^2/2), for 0 <= t <= 1.25: a polynomial in d = t - 0.375, its error 0.22 * 2^-24 of N
 * before rounding. */
QMMN_FUNCTION float qmmn_gelu_near(float t) {
    const float d = t - 0.375f;
    float n = 0.000244013092f;
    n = n * d - 0.00129859883f;
    n = n * d + 0.00415376388f;
    n = n * d - 0.0114154154f;
    n = n * d + 0.0290679429f;
    n = n * d - 0.0678164139f;
    n = n * d + 0.141691193f;
    n = n * d - 0.256590664f;
    return n * d + 0.379604429f;
}

/* F(t) = t Phi(-t) exp(t^2/2), for 1.25 <= t <= 15: a polynomial in d = 1 / (t + 1) - 0.3671875, its error 0.27 * 2^-24
 * of F before rounding. F varies little, so the roundings of d are damped; 1 / t would need a higher degree. */
QMMN_FUNCTION float qmmn_gelu_far(float t) {
    const float d = QMMN_DIV(1.0f, t + 1.0f) - 0.3671875f;
    float f = -9.17284775f;
    f = f * d - 3.12168717f;
    f = f * d + 1.39133394f;
    f = f * d - 0.922662914f;
    f = f * d - 0.0109770158f;
    f = f * d + 0.570225596f;
    f = f * d - 0.420648634f;
    f = f * d - 0.414066136f;
    return f * d + 0.322690338f;
}

/* x Phi(x) = 0.5 x (1 + erf(x / sqrt(2))); zero below x = -15. */
QMMN_FUNCTION float qmmn_gelu(float x) {
    const float t = qmmn_magnitude(x, 15.0f);
    /* t^2/2 = high + low */
    const float t_high = qmmn_leading_bits(t), t_low = t - t_high;
    const float high = 0.5f * t_high * t_high, low = 0.5f * (t + t_high) * t_low;
    const float m = qmmn_exp_steps(high, low);
    const float s = qmmn_exp_rest(m, high, low);
    const float f = t < 1.25f ? t * qmmn_gelu_near(t) : qmmn_gelu_far(t);
    const float tail = qmmn_scale_down(f + f * s, m); /* t Phi(-t) */
    if (x >= 0.0f) return x - tail; /* of +0 and -0 too: it keeps their sign */
    return x == x ? -tail : QMMN_QUIET_NAN;
}

#endif
