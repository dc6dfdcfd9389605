/* SPDX-License-Identifier: Apache-2.0
 *
 * The arithmetic of qmm, written once. This header is in the common subset of C11, CUDA C++ and OpenCL C: scalar
 * arithmetic only, no loads, no stores, no library calls. Every backend compiles it, so equal results are by
 * construction; docs/numerics.md has the derivations.
 *
 * Rules: IEEE-754 binary32, round to nearest even, one rounding per written operation, no contraction into FMA,
 * subnormals kept. Division is always written QMMN_DIV, because OpenCL devices may need a corrected division.
 */
#ifndef QMMN_NUMERICS_H
#define QMMN_NUMERICS_H

#if defined(__OPENCL_VERSION__)

#pragma OPENCL FP_CONTRACT OFF
#define QMMN_FUNCTION static
typedef long qmmn_int64;
#define QMMN_AS_UINT(x) as_uint(x)
#define QMMN_AS_FLOAT(x) as_float(x)
#ifndef QMMN_DIV
#define QMMN_DIV(a, b) ((a) / (b))
#endif

#elif defined(__CUDACC__) || defined(QMM_SIMULATED_CUDA)

#define QMMN_FUNCTION static __device__ __forceinline__
typedef long long qmmn_int64;
#define QMMN_AS_UINT(x) __float_as_uint(x)
#define QMMN_AS_FLOAT(x) __uint_as_float(x)
#define QMMN_DIV(a, b) __fdiv_rn((a), (b))

#else

#include <float.h>
#include <stdint.h>

/* 16 widens _Float16 only. */
#if defined(FLT_EVAL_METHOD) && FLT_EVAL_METHOD != 0 && FLT_EVAL_METHOD != 16
#error "qmm needs float arithmetic evaluated in float (FLT_EVAL_METHOD 0); on 32-bit x86 build with -msse2 -mfpmath=sse"
#endif

#define QMMN_FUNCTION static inline
typedef int64_t qmmn_int64;

QMMN_FUNCTION unsigned int qmmn_as_uint(float x) {
    union { float f; unsigned int u; } pun;
    pun.f = x;
    return pun.u;
}

QMMN_FUNCTION float qmmn_as_float(unsigned int x) {
    union { float f; unsigned int u; } pun;
    pun.u = x;
    return pun.f;
}

#define QMMN_AS_UINT(x) qmmn_as_uint(x)
#define QMMN_AS_FLOAT(x) qmmn_as_float(x)
#define QMMN_DIV(a, b) ((a) / (b))

#endif

#define QMMN_SMALLEST_NORMAL 1.17549435e-38f /* 2^-126 */

/* ---- rounding and clamping ---------------------------------------------------------------------------------------- */

/* The integer nearest to v, ties to even, as a float. For |v| <= 2^22: adding 1.5 * 2^23 leaves no bit below the unit,
 * so the addition itself rounds, to nearest even. */
QMMN_FUNCTION float qmmn_round_even(float v) {
    return (v + 12582912.0f) - 12582912.0f;
}

QMMN_FUNCTION int qmmn_is_finite(float x) {
    return (QMMN_AS_UINT(x) & 0x7f800000u) != 0x7f800000u;
}

/* q = clamp(rint(v) + zero, qmin, qmax), NaN gives zero.
 * The clamp moves in front of the rounding: its bounds are integers, so the two commute, and v then fits
 * qmmn_round_even. qmin - zero and qmax - zero are at most 2^17 in size, hence exact as floats. */
QMMN_FUNCTION int qmmn_round_to_code(float v, int zero, int qmin, int qmax) {
    const float low = (float)(qmin - zero);
    const float high = (float)(qmax - zero);
    v = v == v ? v : 0.0f;
    v = v < low ? low : v;
    v = v > high ? high : v;
    return (int)qmmn_round_even(v) + zero;
}

/* ---- quantize, dequantize ----------------------------------------------------------------------------------------- */

/* ONNX QuantizeLinear: a true division, then round, then the zero point. */
QMMN_FUNCTION int qmmn_quantize(float x, float scale, int zero, int qmin, int qmax) {
    return qmmn_round_to_code(QMMN_DIV(x, scale), zero, qmin, qmax);
}

/* ONNX DequantizeLinear. The difference is exact; its conversion to float is the first rounding (none below 2^24). */
QMMN_FUNCTION float qmmn_dequantize(int q, int zero, float scale) {
    return (float)((qmmn_int64)q - zero) * scale;
}

/* ---- dynamic parameters, float32 (ONNX DynamicQuantizeLinear) ------------------------------------------------------ */

/* A usable scale: never zero, subnormal, infinite or NaN. A span whose scale would be subnormal gets 2^-126: its codes
 * are then smaller than they could be, and still exact to half a scale. */
QMMN_FUNCTION float qmmn_guard_scale(float scale) {
    return scale < QMMN_SMALLEST_NORMAL ? QMMN_SMALLEST_NORMAL : scale;
}

/* scale = absmax / qmax; 1 for an all-zero or empty range. */
QMMN_FUNCTION float qmmn_symmetric_scale(float absmax, int qmax) {
    return absmax == 0.0f ? 1.0f : qmmn_guard_scale(QMMN_DIV(absmax, (float)qmax));
}

/* scale = (max - min) / (qmax - qmin) with the range widened to contain 0 by the caller (min <= 0 <= max);
 * 1 for an all-zero or empty range. Where max - min overflows, the quotients are subtracted instead. */
QMMN_FUNCTION float qmmn_asymmetric_scale(float min, float max, int qmin, int qmax) {
    const float levels = (float)(qmax - qmin);
    const float span = max - min;
    if (min == 0.0f && max == 0.0f) return 1.0f;
    if (!qmmn_is_finite(span)) return QMMN_DIV(max, levels) - QMMN_DIV(min, levels);
    return qmmn_guard_scale(QMMN_DIV(span, levels));
}

/* zero = clamp(rint(qmin - min / scale), qmin, qmax); qmin for an all-zero or empty range. */
QMMN_FUNCTION int qmmn_asymmetric_zero(float min, float scale, int qmin, int qmax) {
    return qmmn_round_to_code((float)qmin - QMMN_DIV(min, scale), 0, qmin, qmax);
}

/* ---- half precision, as bit patterns ------------------------------------------------------------------------------ */

/* f16 to f32, exact. Selections instead of branches, here and below, so that loops of these become vectors. */
QMMN_FUNCTION float qmmn_f16_to_f32(unsigned int pattern) {
    const unsigned int sign = (pattern & 0x8000u) << 16;
    const unsigned int magnitude = (pattern & 0x7fffu) << 13;
    /* As an f32 pattern the shifted magnitude is 2^-112 of the value, subnormals included; the product is exact. */
    const unsigned int finite = QMMN_AS_UINT(QMMN_AS_FLOAT(magnitude) * 5.192296858534828e+33f);
    /* Infinity and NaN: the exponent is all ones on both sides. */
    return QMMN_AS_FLOAT(sign | (magnitude >= 0x0f800000u ? magnitude | 0x7f800000u : finite));
}

/* f32 to f16, round to nearest even, overflow to infinity, NaN to a quiet NaN. */
QMMN_FUNCTION unsigned int qmmn_f32_to_f16(float x) {
    const unsigned int bits = QMMN_AS_UINT(x);
    const unsigned int sign = (bits >> 16) & 0x8000u;
    const unsigned int magnitude = bits & 0x7fffffffu;
    const unsigned int normal = (magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
    /* Below 2^-14 the half is subnormal: adding 0.5 aligns its last bit with the float's, and rounds. */
    const unsigned int subnormal = QMMN_AS_UINT(QMMN_AS_FLOAT(magnitude) + 0.5f) - 0x3f000000u;
    unsigned int half_bits = magnitude < 0x38800000u ? subnormal : normal;
    half_bits = magnitude >= 0x477ff000u ? 0x7c00u : half_bits; /* 65520 and above */
    half_bits = magnitude > 0x7f800000u ? 0x7e00u : half_bits;
    return sign | half_bits;
}

QMMN_FUNCTION float qmmn_bf16_to_f32(unsigned int pattern) {
    return QMMN_AS_FLOAT(pattern << 16);
}

/* f32 to bf16, round to nearest even, NaN to a quiet NaN. */
QMMN_FUNCTION unsigned int qmmn_f32_to_bf16(float x) {
    const unsigned int bits = QMMN_AS_UINT(x);
    const unsigned int rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    return (bits & 0x7fffffffu) > 0x7f800000u ? ((bits >> 16) & 0x8000u) | 0x7fc0u : rounded;
}

#endif
