/* SPDX-License-Identifier: Apache-2.0
 *
 * host/numerics.h against independent arithmetic in double: T7 to T11 of the test plan.
 * --all, or QMM_TEST_FULL=1, takes every one of the 2^32 floats where a sample is taken otherwise. */
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "numerics.h"
#include "specification.h"

static bool all;

/* Distance from one sampled float pattern to the next: odd, so the low bits run through all their values. */
static uint64_t stride(uint64_t sampled) {
    return all ? 1 : sampled;
}

/* ---- rounding ---------------------------------------------------------------------------------------------------- */

static void test_round_even(void **state) {
    const uint64_t last = 0x4a800000; /* 2^22, the end of its domain */
    (void)state;
    for (uint64_t bits = 0; bits <= last; bits += stride(101)) {
        const float x = spec_from_bits((uint32_t)bits);
        if (qmmn_round_even(x) != rintf(x)) spec_expect_bits("round_even", (int64_t)bits, qmmn_round_even(x), rintf(x));
        if (qmmn_round_even(-x) != rintf(-x))
            spec_expect_bits("round_even", -(int64_t)bits, qmmn_round_even(-x), rintf(-x));
        spec_count(2);
    }
    for (int k = -(1 << 17); k < 1 << 17; k++) { /* every tie a code can meet */
        const float even = (float)(k % 2 == 0 ? k : k + 1);
        if (qmmn_round_even((float)k + 0.5f) != even)
            spec_expect_bits("tie", k, qmmn_round_even((float)k + 0.5f), even);
        spec_count(1);
    }
}

static void test_is_finite(void **state) {
    (void)state;
    for (uint64_t bits = 0; bits <= UINT32_MAX; bits += stride(65537)) {
        const float x = spec_from_bits((uint32_t)bits);
        if ((qmmn_is_finite(x) != 0) != (isfinite(x) != 0)) fail_msg("is_finite(%a)", (double)x);
        spec_count(1);
    }
}

/* ---- half precision ---------------------------------------------------------------------------------------------- */

static void test_half_patterns(void **state) {
    (void)state;
    for (uint32_t p = 0; p < 65536; p++) {
        const float h = qmmn_f16_to_f32(p), b = qmmn_bf16_to_f32(p);
        spec_expect_bits("f16 to f32", p, h, (float)spec_f16_value(p));
        spec_expect_bits("bf16 to f32", p, b, (float)spec_bf16_value(p));
        /* And back: the pattern itself, or the quiet NaN of its sign. */
        spec_expect_int("f32 to f16", p, qmmn_f32_to_f16(h), isnan(h) ? ((p & 0x8000u) | 0x7e00u) : p);
        spec_expect_int("f32 to bf16", p, qmmn_f32_to_bf16(b), isnan(b) ? ((p & 0x8000u) | 0x7fc0u) : p);
    }
}

static void check_narrowing(uint32_t bits) {
    const float x = spec_from_bits(bits);
    const uint32_t h = qmmn_f32_to_f16(x), b = qmmn_f32_to_bf16(x);
    if (h != spec_f16((double)x)) spec_expect_int("f32 to f16", bits, h, spec_f16((double)x));
    if (b != spec_bf16((double)x)) spec_expect_int("f32 to bf16", bits, b, spec_bf16((double)x));
#if defined(__FLT16_MAX__) && !defined(__clang__)
    if (!isnan(x)) {
        __extension__ const _Float16 compiled = (_Float16)x;
        uint16_t pattern;
        memcpy(&pattern, &compiled, sizeof pattern);
        if (h != pattern) spec_expect_int("f32 to f16, the compiler's", bits, h, pattern);
        spec_count(1);
    }
#endif
    spec_count(2);
}

static void test_narrowing(void **state) {
    (void)state;
    for (uint64_t bits = 0; bits <= UINT32_MAX; bits += stride(251)) check_narrowing((uint32_t)bits); /* 17.1 million */
    /* The tie above every f16 and bf16 value, what is next to it, and the values themselves. */
    for (uint32_t p = 0; p < 65535; p++) {
        const double h = (spec_f16_value(p) + spec_f16_value(p + 1)) / 2; /* exact */
        const double b = (spec_bf16_value(p) + spec_bf16_value(p + 1)) / 2;
        const uint32_t ties[2] = { isfinite(h) ? spec_to_bits((float)h) : 0, isfinite(b) ? spec_to_bits((float)b) : 0 };
        for (int t = 0; t < 2; t++)
            for (uint32_t d = 0; d < 3; d++) check_narrowing(ties[t] + d - 1u);
    }
    /* By hand. */
    spec_expect_int("65504, the largest", 0, qmmn_f32_to_f16(65504.0f), 0x7bff);
    spec_expect_int("below the tie at 65520", 0, qmmn_f32_to_f16(65519.996f), 0x7bff);
    spec_expect_int("the tie goes to infinity", 0, qmmn_f32_to_f16(65520.0f), 0x7c00);
    spec_expect_int("2^-25, the tie below 2^-24, goes to 0", 0, qmmn_f32_to_f16(0x1p-25f), 0);
    spec_expect_int("just above it", 0, qmmn_f32_to_f16(0x1.000002p-25f), 1);
    spec_expect_int("-2^-24", 0, qmmn_f32_to_f16(-0x1p-24f), 0x8001);
    spec_expect_int("1 + 2^-11, a tie, to even", 0, qmmn_f32_to_f16(0x1.002p0f), 0x3c00);
    spec_expect_int("1 + 3 * 2^-11, a tie, to even", 0, qmmn_f32_to_f16(0x1.006p0f), 0x3c02);
    spec_expect_int("bf16: 1 + 2^-8, a tie, to even", 0, qmmn_f32_to_bf16(0x1.01p0f), 0x3f80);
    spec_expect_int("bf16: 1 + 3 * 2^-8, a tie, to even", 0, qmmn_f32_to_bf16(0x1.03p0f), 0x3f82);
    spec_expect_int("bf16: FLT_MAX rounds to infinity", 0, qmmn_f32_to_bf16(FLT_MAX), 0x7f80);
    spec_expect_int("bf16: the smallest float is below half a unit", 0, qmmn_f32_to_bf16(0x1p-149f), 0);
}

/* ---- quantize ---------------------------------------------------------------------------------------------------- */

static const int zeros_s8[] = { 0, 1, -128, 127 };

/* One float against every zero point: the correctly rounded quotient, then rint, in double. */
static void check_quantize(float x, float scale, const int *zeros, int zero_count, int qmin, int qmax) {
    const double rounded = rint((double)(float)((double)x / (double)scale));
    for (int z = 0; z < zero_count; z++) {
        const double sum = rounded != rounded ? zeros[z] : rounded + zeros[z];
        const int expected = sum < qmin ? qmin : sum > qmax ? qmax : (int)sum;
        const int got = qmmn_quantize(x, scale, zeros[z], qmin, qmax);
        if (got != expected)
            fail_msg("quantize %a / %a + %d: got %d, expected %d", (double)x, (double)scale, zeros[z], got, expected);
    }
    spec_count(zero_count);
}

static void test_quantize_sweep(void **state) {
    static const float scales[] = { 1.0f, 0.5f, 1.0f / 3.0f, 0.1f, 0x1p-126f, FLT_MAX };
    static const int zeros_u16[] = { 0, 1, 32768, 65535 }, zeros_s16[] = { 0, -1, -32768, 32767 };
    (void)state;
    for (size_t s = 0; s < sizeof scales / sizeof scales[0]; s++) {
        for (uint64_t bits = 0; bits <= UINT32_MAX; bits += stride(427)) /* 10.06 million */
            check_quantize(spec_from_bits((uint32_t)bits), scales[s], zeros_s8, 4, -128, 127);
        for (uint64_t bits = 0; bits <= UINT32_MAX; bits += stride(8191)) {
            check_quantize(spec_from_bits((uint32_t)bits), scales[s], zeros_u16, 4, 0, 65535);
            check_quantize(spec_from_bits((uint32_t)bits), scales[s], zeros_s16, 4, -32768, 32767);
        }
        /* Both neighbours of every tie a code can meet. */
        for (int k = -300; k <= 300; k++) {
            const uint32_t tie = spec_to_bits((float)(((double)k + 0.5) * (double)scales[s]));
            for (uint32_t d = 0; d < 5; d++)
                check_quantize(spec_from_bits(tie + d - 2u), scales[s], zeros_s8, 4, -128, 127);
        }
    }
}

/* T8: every k + 0.5, with even and odd zero points. Half to even and half away must give different codes. */
static void test_quantize_ties(void **state) {
    static const int zeros[] = { 0, 2, -128, 1, -3, 127 };
    static const float scales[] = { 1.0f, 0.5f, 0x1p-20f,
                                    3.0f }; /* (k + 0.5) * scale is exact, and so is the quotient */
    int separated = 0;
    (void)state;
    for (int z = 0; z < 6; z++) {
        for (int s = 0; s < 4; s++) {
            for (int k = -129; k <= 128; k++) {
                const float x = ((float)k + 0.5f) * scales[s];
                const int even = (k % 2 == 0 ? k : k + 1) + zeros[z];
                const int away = (k >= 0 ? k + 1 : k) + zeros[z];
                const int clamped_even = even < -128 ? -128 : even > 127 ? 127 : even;
                const int clamped_away = away < -128 ? -128 : away > 127 ? 127 : away;
                spec_expect_int("tie", k, qmmn_quantize(x, scales[s], zeros[z], -128, 127), clamped_even);
                separated += clamped_even != clamped_away;
            }
        }
    }
    assert_true(separated > 6 * 4 * 60);
    /* By hand: 2.5 + 1. To even 2 + 1; away, or with the zero point added before rounding (3.5), 4. */
    spec_expect_int("2.5 and zero 1", 0, qmmn_quantize(2.5f, 1.0f, 1, -128, 127), 3);
    spec_expect_int("-0.5 and zero 1", 0, qmmn_quantize(-0.5f, 1.0f, 1, -128, 127), 1);
    spec_expect_int("126.5 and zero 1", 0, qmmn_quantize(126.5f, 1.0f, 1, -128, 127), 127);
    spec_expect_int("-128.5", 0, qmmn_quantize(-128.5f, 1.0f, 0, -128, 127), -128);
}

/* T9: a true division, not a product with the reciprocal. */
static void test_division(void **state) {
    uint64_t random = 9;
    int found = 0;
    const float inverse = 1.0f / 0.00214854861f, inverse_onnx = 1.0f / 0.0196078438f;
    (void)state;
    /* FBGEMM's pair: the quotient is 127.499992, the product 127.5. */
    spec_expect_int("FBGEMM", 0, qmmn_quantize(0.273939937f, 0.00214854861f, 0, 0, 255), 127);
    spec_expect_bits("FBGEMM by reciprocal", 0, rintf(0.273939937f * inverse), 128.0f);
    /* ONNX DynamicQuantizeLinear's -2.5: -127.49999 + 153 = 26; by the reciprocal -127.5, which rounds to -128. */
    spec_expect_int("ONNX", 0, qmmn_quantize(-2.5f, 0.0196078438f, 153, 0, 255), 26);
    spec_expect_bits("ONNX by reciprocal", 0, rintf(-2.5f * inverse_onnx), -128.0f);
    while (found < 1000) {
        const float scale = (float)(0.001 + spec_uniform(&random));
        const float inv_scale = 1.0f / scale;
        const int k = spec_between(&random, -127, 126);
        const uint32_t near = spec_to_bits((float)(((double)k + 0.5) * (double)scale));
        const float x = spec_from_bits(near + (uint32_t)spec_between(&random, 0, 4) - 2u);
        const int expected = spec_quantize(x, scale, 0, -128, 127);
        if (rintf(x * inv_scale) == (float)expected) continue;
        found++;
        spec_expect_int("division", found, qmmn_quantize(x, scale, 0, -128, 127), expected);
    }
}

/* T10. */
static void test_quantize_specials(void **state) {
    static const struct {
        float x, scale;
        int zero, expected;
    } cases[] = {
        { NAN, 1.0f, 0, 0 },
        { -NAN, 0.5f, 17, 17 },
        { INFINITY, 1.0f, 5, 127 },
        { -INFINITY, 1.0f, 5, -128 },
        { 0.0f, 1.0f, -7, -7 },
        { -0.0f, 1.0f, -7, -7 },
        { FLT_MAX, 1.0f, 0, 127 },
        { -FLT_MAX, 1.0f, 0, -128 },
        { FLT_MAX, FLT_MAX, 3, 4 },
        { 0x1p-149f, 1.0f, 9, 9 },
        { 0x1p-149f, 0x1p-126f, 9, 9 },
        /* Subnormals are kept: 3 * 2^-127 / 2^-126 is 1.5, a tie, and 2^-127 / 2^-126 is 0.5. */
        { 0x1.8p-126f, 0x1p-126f, 0, 2 },
        { 0x1p-127f, 0x1p-126f, 0, 0 },
        { 0x1.8p-127f, 0x1p-126f, 0, 1 },
        { 1e30f, 0x1p-126f, 0, 127 },
        { -1e30f, 0x1p-126f, 0, -128 }, /* the quotient is infinite */
        { 1e-30f, FLT_MAX, -1, -1 },    /* the quotient is 0 */
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        spec_expect_int("special", (int64_t)i, qmmn_quantize(cases[i].x, cases[i].scale, cases[i].zero, -128, 127),
                        cases[i].expected);
    for (uint32_t payload = 1; payload < 0x800000; payload = payload * 2 + 1) /* every kind of NaN */
        for (uint32_t sign = 0; sign < 2; sign++)
            spec_expect_int("NaN", payload,
                            qmmn_quantize(spec_from_bits(sign << 31 | 0x7f800000u | payload), 0.1f, -5, -128, 127), -5);
    /* Narrow ranges, where the zero point lies outside them. */
    spec_expect_int("zero above qmax", 0, qmmn_quantize(0.0f, 1.0f, 100, -8, 7), 7);
    spec_expect_int("zero above qmax", 1, qmmn_quantize(-95.0f, 1.0f, 100, -8, 7), 5);
}

static void test_dequantize(void **state) {
    uint64_t random = 5;
    (void)state;
    spec_expect_bits("hand", 0, qmmn_dequantize(-34, -26, 0.1875f), -1.5f); /* -8 * 0.1875 */
    spec_expect_bits("2^24 + 1 is a tie, to even", 0, qmmn_dequantize(16777217, 0, 1.0f), 16777216.0f);
    spec_expect_bits("2^24 + 3 is a tie, to even", 0, qmmn_dequantize(16777219, 0, 1.0f), 16777220.0f);
    spec_expect_bits("no overflow", 0, qmmn_dequantize(INT32_MIN, 127, 1.0f), -2147483648.0f);
    spec_expect_bits("no overflow", 1, qmmn_dequantize(INT32_MAX, -1, 1.0f), 2147483648.0f);
    spec_expect_bits("overflow of the product", 0, qmmn_dequantize(2, 0, FLT_MAX), INFINITY);
    spec_expect_bits("subnormal product", 0, qmmn_dequantize(1, 0, 0x1p-126f), 0x1p-126f);
    spec_expect_bits("zero", 0, qmmn_dequantize(5, 5, 3.0f), 0.0f);
    for (int n = 0; n < 1000000; n++) {
        const int32_t q = (int32_t)(uint32_t)spec_random(&random), zero = spec_between(&random, -32768, 65535);
        const float scale = spec_from_bits((uint32_t)spec_between(&random, 0x00800000, 0x7f7fffff));
        const float got = qmmn_dequantize(q, zero, scale), expected = spec_dequantize(q, zero, scale);
        if (spec_to_bits(got) != spec_to_bits(expected)) spec_expect_bits("dequantize", n, got, expected);
        spec_count(1);
    }
}

/* ---- dynamic parameters ------------------------------------------------------------------------------------------ */

static void test_scales(void **state) {
    uint64_t random = 3;
    (void)state;
    spec_expect_bits("guard", 0, qmmn_guard_scale(0.0f), 0x1p-126f);
    spec_expect_bits("guard", 1, qmmn_guard_scale(0x1p-149f), 0x1p-126f);
    spec_expect_bits("guard", 2, qmmn_guard_scale(0x1.fffffcp-127f), 0x1p-126f);
    spec_expect_bits("guard", 3, qmmn_guard_scale(0x1p-126f), 0x1p-126f);
    spec_expect_bits("guard", 4, qmmn_guard_scale(0x1.000002p-126f), 0x1.000002p-126f);
    spec_expect_bits("guard", 5, qmmn_guard_scale(FLT_MAX), FLT_MAX);

    spec_expect_bits("symmetric, all zero", 0, qmmn_symmetric_scale(0.0f, 127), 1.0f);
    spec_expect_bits("symmetric", 1, qmmn_symmetric_scale(127.0f, 127), 1.0f);
    spec_expect_bits("symmetric, tiny", 2, qmmn_symmetric_scale(0x1p-149f, 127), 0x1p-126f);
    spec_expect_bits("symmetric, a subnormal quotient", 3, qmmn_symmetric_scale(0x1p-120f, 127), 0x1p-126f);
    spec_expect_bits("symmetric, largest", 4, qmmn_symmetric_scale(FLT_MAX, 1), FLT_MAX);

    spec_expect_bits("asymmetric, all zero", 0, qmmn_asymmetric_scale(0.0f, 0.0f, -128, 127), 1.0f);
    spec_expect_bits("asymmetric, -0", 0, qmmn_asymmetric_scale(-0.0f, 0.0f, -128, 127), 1.0f);
    spec_expect_bits("asymmetric", 1, qmmn_asymmetric_scale(-128.0f, 127.0f, -128, 127), 1.0f);
    spec_expect_bits("asymmetric, tiny", 2, qmmn_asymmetric_scale(-0x1p-149f, 0.0f, 0, 255), 0x1p-126f);
    /* FLT_MAX + FLT_MAX overflows: FLT_MAX / 255 twice. FLT_MAX = (2^24 - 1) 2^104 = 255 * 65793 * 2^104. */
    spec_expect_bits("asymmetric, overflowing span", 3, qmmn_asymmetric_scale(-FLT_MAX, FLT_MAX, -128, 127),
                     131586.0f * 0x1p104f);
    spec_expect_bits("asymmetric, one end", 4, qmmn_asymmetric_scale(0.0f, FLT_MAX, 0, 255), 65793.0f * 0x1p104f);
    spec_expect_bits("asymmetric, two levels a side", 5, qmmn_asymmetric_scale(-FLT_MAX, FLT_MAX, 0, 3),
                     2.0f * (FLT_MAX / 3.0f));

    spec_expect_int("zero point, all zero", 0, qmmn_asymmetric_zero(0.0f, 1.0f, -128, 127), -128);
    spec_expect_int("zero point, all zero", 1, qmmn_asymmetric_zero(0.0f, 1.0f, 0, 255), 0);
    spec_expect_int("zero point, ONNX", 2, qmmn_asymmetric_zero(-3.0f, 0.0196078438f, 0, 255), 153);
    spec_expect_int("zero point, negative range", 3, qmmn_asymmetric_zero(-4.0f, 0.0156862754f, 0, 255), 255);
    spec_expect_int("zero point of a tie", 4, qmmn_asymmetric_zero(-0.5f, 1.0f, 0, 255), 0);
    spec_expect_int("zero point of a tie", 5, qmmn_asymmetric_zero(-1.5f, 1.0f, 0, 255), 2);
    /* -128 + 128 (1 - 2^-24)... : 127.5 levels below 0; the difference -0.5 is a tie, to even. */
    spec_expect_int("zero point of +-FLT_MAX", 6, qmmn_asymmetric_zero(-FLT_MAX, 131586.0f * 0x1p104f, -128, 127), 0);

    for (int n = 0; n < 1000000; n++) { /* any pair of floats gives a usable pair of parameters */
        const float x = spec_from_bits((uint32_t)spec_random(&random)),
                    y = spec_from_bits((uint32_t)spec_random(&random));
        const float min = fminf(isfinite(x) ? x : 0.0f, fminf(isfinite(y) ? y : 0.0f, 0.0f));
        const float max = fmaxf(isfinite(x) ? x : 0.0f, fmaxf(isfinite(y) ? y : 0.0f, 0.0f));
        const int bits = spec_between(&random, 2, 16), qmin = -(1 << (bits - 1)), qmax = -qmin - 1;
        const float scale = qmmn_asymmetric_scale(min, max, qmin, qmax);
        const int zero = qmmn_asymmetric_zero(min, scale, qmin, qmax);
        const float sym = qmmn_symmetric_scale(fmaxf(-min, max), qmax);
        if (!(scale >= FLT_MIN && scale <= FLT_MAX && sym >= FLT_MIN && sym <= FLT_MAX) || zero < qmin || zero > qmax)
            fail_msg("range %a .. %a, %d bits: scales %a %a, zero %d", (double)min, (double)max, bits, (double)scale,
                     (double)sym, zero);
        spec_count(3);
    }
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_even),     cmocka_unit_test(test_is_finite),
        cmocka_unit_test(test_half_patterns),  cmocka_unit_test(test_narrowing),
        cmocka_unit_test(test_quantize_sweep), cmocka_unit_test(test_quantize_ties),
        cmocka_unit_test(test_division),       cmocka_unit_test(test_quantize_specials),
        cmocka_unit_test(test_dequantize),     cmocka_unit_test(test_scales),
    };
    all = spec_full() || (argc == 2 && strcmp(argv[1], "--all") == 0);
    return spec_run(tests);
}
