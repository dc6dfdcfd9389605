/* SPDX-License-Identifier: Apache-2.0
 *
 * The oracle's own arithmetic against facts worked out elsewhere, so that it and the library cannot be wrong alike. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <string.h>

#include <cmocka.h>

#include "oracle.h"

/* Patterns as IEEE 754 and any table of it gives them. */
static void test_real_formats(void **state) {
    static const struct {
        qmm_type type;
        double value;
        uint32_t bits;
    } facts[] = {
        { QMM_F16, 0.0, 0x0000 },
        { QMM_F16, -0.0, 0x8000 },
        { QMM_F16, 1.0, 0x3c00 },
        { QMM_F16, -2.0, 0xc000 },
        { QMM_F16, 65504.0, 0x7bff },
        { QMM_F16, 0x1p-14, 0x0400 },
        { QMM_F16, 0x1p-24, 0x0001 },
        { QMM_F16, 0.333251953125, 0x3555 },
        { QMM_F16, (double)INFINITY, 0x7c00 },
        { QMM_BF16, 1.0, 0x3f80 },
        { QMM_BF16, -3.140625, 0xc049 },
        { QMM_BF16, 0x1p-133, 0x0001 },
        { QMM_BF16, 0x1.fep127, 0x7f7f },
        { QMM_BF16, (double)-INFINITY, 0xff80 },
        { QMM_F32, 0x1p-149, 1 },
        { QMM_F32, 1.5, 0x3fc00000 },
        { QMM_F32, -0x1.fffffep127, 0xff7fffff },
    };
    (void)state;
    for (size_t n = 0; n < sizeof facts / sizeof facts[0]; n++) {
        const double value = oracle_decode_real(facts[n].type, facts[n].bits);
        assert_int_equal(oracle_encode_real(facts[n].type, facts[n].value), facts[n].bits);
        assert_memory_equal(&value, &facts[n].value, sizeof value);
    }
}

/* Ties to even, the last step below and the first of infinity. */
static void test_real_rounding(void **state) {
    (void)state;
    assert_int_equal(oracle_encode_real(QMM_F16, 1.0 + 0x1p-11), 0x3c00);
    assert_int_equal(oracle_encode_real(QMM_F16, 1.0 + 0x3p-11), 0x3c02);
    assert_int_equal(oracle_encode_real(QMM_F16, 1.0 + 0x1.0002p-11), 0x3c01);
    assert_int_equal(oracle_encode_real(QMM_F16, 65519.9), 0x7bff);
    assert_int_equal(oracle_encode_real(QMM_F16, 65520.0), 0x7c00);
    assert_int_equal(oracle_encode_real(QMM_F16, 0x1p-25), 0x0000);
    assert_int_equal(oracle_encode_real(QMM_F16, 0x1.0002p-25), 0x0001);
    assert_int_equal(oracle_encode_real(QMM_F16, 0x1.ff8p-15), 0x03ff);
    assert_int_equal(oracle_encode_real(QMM_F16, 0x1.ffcp-15), 0x0400); /* a tie that carries into the normal numbers */
    assert_int_equal(oracle_encode_real(QMM_BF16, 1.00390625), 0x3f80);
    assert_int_equal(oracle_encode_real(QMM_BF16, 1.01171875), 0x3f82);
    assert_int_equal(oracle_encode_real(QMM_BF16, 0x1.ffp127), 0x7f80);
    assert_true(isnan(oracle_decode_real(QMM_F16, oracle_encode_real(QMM_F16, (double)NAN))));
}

/* f32 as the compiler's own conversions do it. */
static void test_single(void **state) {
    validate_random r = { 3 };
    (void)state;
    for (int n = 0; n < 100000; n++) {
        const uint32_t bits = (uint32_t)validate_draw(&r);
        float single;
        memcpy(&single, &bits, sizeof single);
        if (isnan(single)) continue;
        assert_true(oracle_decode_real(QMM_F32, bits) == (double)single);
        assert_int_equal(oracle_encode_real(QMM_F32, (double)single), bits);
    }
}

/* ONNX QuantizeLinear's examples, ties, saturation, NaN. */
static void test_quantize(void **state) {
    (void)state;
    assert_true(oracle_quantize(3.0, 2.0, 128, 0, 255) == 130.0);
    assert_true(oracle_quantize(1000.0, 2.0, 128, 0, 255) == 255.0);
    assert_true(oracle_quantize(-254.0, 2.0, 128, 0, 255) == 1.0);
    assert_true(oracle_quantize(0.5, 1.0, 0, -128, 127) == 0.0);
    assert_true(oracle_quantize(1.5, 1.0, 1, -128, 127) == 3.0);
    assert_true(oracle_quantize(2.5, 1.0, 1, -128, 127) == 3.0);
    assert_true(oracle_quantize((double)NAN, 1.0, 5, -128, 127) == 5.0);
    assert_true(oracle_quantize(-(double)INFINITY, 1.0, 5, -128, 127) == -128.0);
    assert_true(oracle_dequantize(-34.0, -3, 0.1875) == -5.8125);
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_real_formats), cmocka_unit_test(test_real_rounding),
                                        cmocka_unit_test(test_single), cmocka_unit_test(test_quantize) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
