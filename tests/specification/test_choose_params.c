/* SPDX-License-Identifier: Apache-2.0
 *
 * qmm_choose_params: the formulas of the contract in double, rounded to float once. No context is needed. */
#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "specification.h"

static const qmm_type code_types[] = { QMM_S4, QMM_U4, QMM_S8, QMM_U8, QMM_S16, QMM_U16 };

static void expect(double min, double max, qmm_type type, int bits, bool symmetric, float scale, int32_t zero) {
    float got_scale = -1.0f;
    int32_t got_zero = -12345;
    assert_int_equal(qmm_choose_params(min, max, type, bits, symmetric, &got_scale, &got_zero), QMM_OK);
    spec_expect_bits("scale", 0, got_scale, scale);
    spec_expect_int("zero", 0, got_zero, zero);
}

static void test_by_hand(void **state) {
    (void)state;
    /* Asymmetric: (max - min) / 255, and qmin - min / scale. */
    expect(-2.0, 3.0, QMM_S8, 0, false, 0.019607844f, -26); /* 5/255; -128 + 2 * 51 */
    expect(-2.0, 3.0, QMM_U8, 0, false, 0.019607844f, 102);
    expect(-10.0, 37.8125, QMM_S8, 0, false, 0.1875f, -75); /* 47.8125/255; -128 + 53.33 */
    expect(0.0, 255.0, QMM_U8, 0, false, 1.0f, 0);
    expect(-128.0, 127.0, QMM_S8, 0, false, 1.0f, 0);
    expect(-1.0, 14.0, QMM_S4, 0, false, 1.0f, -7); /* 15 levels; -8 + 1 */
    expect(-1.0, 14.0, QMM_U4, 0, false, 1.0f, 1);
    expect(-1.0, 2.0, QMM_U8, 2, false, 1.0f, 1); /* 3 levels */
    expect(-1.0, 2.0, QMM_S8, 2, false, 1.0f, -1);
    expect(-32768.0, 32767.0, QMM_S16, 0, false, 1.0f, 0);
    expect(-0.5, 65534.5, QMM_U16, 0, false, 1.0f, 0);    /* 0 + 0.5, a tie, to even */
    expect(-1.5, 253.5, QMM_U8, 0, false, 1.0f, 2);       /* 1.5, a tie, to even */
    expect(-2.5, 252.5, QMM_U8, 0, false, 1.0f, 2);       /* 2.5, a tie, to even */
    expect(-100.0, 411.0, QMM_S16, 9, false, 1.0f, -156); /* 511 levels; -256 + 100 */

    /* Symmetric: the larger end / qmax. */
    expect(-1.0, 1.0, QMM_S8, 0, true, 0.007874016f, 0); /* 1/127 */
    expect(-127.0, 3.0, QMM_S8, 0, true, 1.0f, 0);
    expect(-3.0, 127.0, QMM_S8, 0, true, 1.0f, 0);
    expect(-7.0, 7.0, QMM_S8, 4, true, 1.0f, 0);
    expect(-7.0, 7.0, QMM_S4, 0, true, 1.0f, 0);
    expect(-1.0, 1.0, QMM_S4, 2, true, 1.0f, 0); /* codes -2..1 */
    expect(0.0, 255.0, QMM_U8, 0, true, 1.0f, 0);
    expect(-510.0, 255.0, QMM_U8, 0, true, 2.0f, 0);
    expect(-32767.0, 0.0, QMM_S16, 0, true, 1.0f, 0);
    expect(-255.0, 255.0, QMM_S16, 9, true, 1.0f, 0);
    expect(0.0, 65535.0, QMM_U16, 0, true, 1.0f, 0);

    /* Widened to contain 0. */
    expect(51.0, 255.0, QMM_U8, 0, false, 1.0f, 0);
    expect(-255.0, -51.0, QMM_S8, 0, false, 1.0f, 127);
    expect(-255.0, -51.0, QMM_U8, 0, false, 1.0f, 255);
    expect(51.0, 127.0, QMM_S8, 0, true, 1.0f, 0);
    expect(5.0, 5.0, QMM_U8, 0, false, (float)(5.0 / 255.0), 0); /* a single value */

    /* Nothing but 0. */
    expect(0.0, 0.0, QMM_S8, 0, true, 1.0f, 0);
    expect(0.0, 0.0, QMM_U8, 0, true, 1.0f, 0);
    expect(0.0, 0.0, QMM_S8, 0, false, 1.0f, -128);
    expect(-0.0, 0.0, QMM_U8, 0, false, 1.0f, 0);
    expect(0.0, 0.0, QMM_S4, 3, false, 1.0f, -4);

    /* The zero point comes from the double scale, not from its rounding to float. */
    expect(-1.0, 1.0, QMM_U8, 0, false, (float)(2.0 / 255.0), 128); /* 127.5, a tie, to even */
    expect(-1.0, 1.0, QMM_S8, 0, false, (float)(2.0 / 255.0), 0);   /* -0.5, a tie, to even */
}

static void test_zero_point_of_double_scale(void **state) {
    uint64_t random = 21;
    int separated = 0;
    (void)state;
    for (int n = 0; n < 200000; n++) { /* min = -(k + 0.5) steps: a tie in double, seldom one with the float scale */
        const double step = 0.001 + spec_uniform(&random);
        const int k = spec_between(&random, 0, 254);
        const double min = -((double)k + 0.5) * step, max = min + 255.0 * step;
        const double exact = (max - min) / 255.0;
        const double zero = fmin(fmax(rint(0.0 - min / exact), 0.0), 255.0);
        separated += rint(0.0 - min / (double)(float)exact) != zero;
        expect(min, max, QMM_U8, 0, false, (float)exact, (int32_t)zero);
    }
    assert_true(separated > 10000);
}

static void test_extremes(void **state) {
    float scale;
    int32_t zero;
    (void)state;
    expect(0.0, DBL_MAX, QMM_U8, 0, false, FLT_MAX, 0);
    expect(0.0, DBL_MAX, QMM_S8, 0, true, FLT_MAX, 0);
    expect(-DBL_MAX, 0.0, QMM_S8, 0, true, FLT_MAX, 0);
    expect(-DBL_MAX, 0.0, QMM_U8, 0, false, FLT_MAX, 255);
    expect(0.0, 127.0 * (double)FLT_MAX, QMM_S8, 0, true, FLT_MAX, 0);
    expect(-(double)FLT_MAX, (double)FLT_MAX, QMM_S8, 0, false, 131586.0f * 0x1p104f, 0); /* 2 FLT_MAX / 255 */
    expect(0.0, 0x1p-140, QMM_U8, 0, false, FLT_MIN, 0);
    expect(0.0, 0x1p-1074, QMM_S8, 0, true, FLT_MIN, 0);
    expect(-0x1p-1074, 0.0, QMM_U8, 0, false, FLT_MIN, 0);
    expect(-127.0 * 0x1p-126, 0.0, QMM_S8, 0, true, FLT_MIN, 0);
    expect(-127.0 * 0x1p-127, 0.0, QMM_S8, 0, true, FLT_MIN, 0); /* subnormal: raised */
    /* The difference overflows even in double: any finite scale and a zero point of the type. */
    assert_int_equal(qmm_choose_params(-DBL_MAX, DBL_MAX, QMM_S8, 0, 0, &scale, &zero), QMM_OK);
    spec_expect_bits("DBL_MAX", 0, scale, FLT_MAX);
    assert_true(zero >= -128 && zero <= 127);
}

/* Any range: a normal scale, a zero point in range, 0.0 has a code, and both ends come back to within a step. */
static void test_properties(void **state) {
    uint64_t random = 2;
    (void)state;
    for (int n = 0; n < 300000; n++) {
        const qmm_type type = code_types[n % 6];
        const bool is_wide = qmm_type_bits(type) == 16;
        const int bits = spec_between(&random, is_wide ? 9 : 2, qmm_type_bits(type));
        const double size = pow(10.0, 60.0 * spec_uniform(&random) - 30.0);
        const double x = spec_normal(&random) * size, y = spec_normal(&random) * size;
        const double min = fmin(x, y), max = fmax(x, y), low = fmin(min, 0.0), high = fmax(max, 0.0);
        const bool symmetric = n / 6 % 2 != 0;
        int32_t qmin, qmax, zero;
        float scale;
        double exact;
        spec_range(type, bits, &qmin, &qmax);
        assert_int_equal(qmm_choose_params(min, max, type, bits, symmetric, &scale, &zero), QMM_OK);
        exact = symmetric ? fmax(-low, high) / qmax : (high - low) / (qmax - qmin);
        spec_expect_bits("scale", n, scale, (float)exact);
        spec_expect_int("zero", n, zero, symmetric ? 0 : (int64_t)fmin(fmax(rint(qmin - low / exact), qmin), qmax));
        if (!symmetric) { /* the ends' codes, unclamped, miss the range by at most half a code (rounded zero point) */
            assert_true(rint(low / (double)scale) + zero >= qmin - 1 && rint(high / (double)scale) + zero <= qmax + 1);
            assert_true(fabs((qmin - zero) * (double)scale - low) <= 0.51 * (double)scale);
            assert_true(fabs((qmax - zero) * (double)scale - high) <= 0.51 * (double)scale);
        }
    }
}

static void test_errors(void **state) {
    static const struct {
        double min, max;
        qmm_type type;
        int bits;
    } bad[] = {
        { 1.0, 0.0, QMM_S8, 0 },       { NAN, 1.0, QMM_S8, 0 },      { 0.0, NAN, QMM_S8, 0 },
        { -INFINITY, 0.0, QMM_S8, 0 }, { 0.0, INFINITY, QMM_S8, 0 }, { 0.0, 1.0, QMM_S32, 0 },
        { 0.0, 1.0, QMM_F32, 0 },      { 0.0, 1.0, (qmm_type)0, 0 }, { 0.0, 1.0, (qmm_type)99, 0 },
        { 0.0, 1.0, QMM_S8, 1 },       { 0.0, 1.0, QMM_S8, 9 },      { 0.0, 1.0, QMM_S4, 5 },
        { 0.0, 1.0, QMM_S16, 8 },      { 0.0, 1.0, QMM_U16, 17 },    { 0.0, 1.0, QMM_S8, -1 },
    };
    float scale = 3.0f;
    int32_t zero = 4;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        for (int symmetric = 0; symmetric < 2; symmetric++) {
            const qmm_status status =
                qmm_choose_params(bad[i].min, bad[i].max, bad[i].type, bad[i].bits, symmetric, &scale, &zero);
            spec_expect_int("status", (int64_t)i, status, QMM_INVALID_ARGUMENT);
            spec_expect_bits("untouched", (int64_t)i, scale, 3.0f);
            spec_expect_int("untouched", (int64_t)i, zero, 4);
        }
    }
    spec_expect_int("NULL", 0, qmm_choose_params(0.0, 1.0, QMM_S8, 0, 0, NULL, &zero), QMM_INVALID_ARGUMENT);
    spec_expect_int("NULL", 1, qmm_choose_params(0.0, 1.0, QMM_S8, 0, 0, &scale, NULL), QMM_INVALID_ARGUMENT);
}

/* Beside it: the ranges of the code types it works with. */
static void test_type_range(void **state) {
    (void)state;
    for (int t = QMM_S4; t <= QMM_BF16; t++) {
        for (int bits = -1; bits <= 33; bits++) {
            const bool is_code = t <= QMM_U16;
            const int most = is_code ? qmm_type_bits((qmm_type)t) : 0, least = most == 16 ? 9 : 2;
            int32_t qmin = 77, qmax = 78, low = 77, high = 78;
            const bool good = is_code && (bits == 0 || (bits >= least && bits <= most));
            if (good) spec_range((qmm_type)t, bits, &low, &high);
            spec_expect_int("type range", bits, qmm_type_range((qmm_type)t, bits, &qmin, &qmax),
                            good ? QMM_OK : QMM_INVALID_ARGUMENT);
            spec_expect_int("qmin", bits, qmin, low);
            spec_expect_int("qmax", bits, qmax, high);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_hand),  cmocka_unit_test(test_zero_point_of_double_scale),
        cmocka_unit_test(test_extremes), cmocka_unit_test(test_properties),
        cmocka_unit_test(test_errors),   cmocka_unit_test(test_type_range),
    };
    return spec_run(tests);
}
