/* SPDX-License-Identifier: Apache-2.0
 *
 * quantize, quantize_dynamic, dequantize and requantize through the public API, every kernel row in turn, against
 * vectors worked by hand and formulas in double. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "specification.h"

static const qmm_type code_types[] = { QMM_S4, QMM_U4, QMM_S8, QMM_U8, QMM_S16, QMM_U16 };
static const qmm_type real_types[] = { QMM_F32, QMM_F16, QMM_BF16 };

static int bits_min(qmm_type type) {
    return qmm_type_bits(type) == 16 ? 9 : 2;
}

static qmm_quant host_quant(float scale, int32_t zero, int bits) {
    qmm_quant q = QMM_QUANT_INIT;
    q.scale_value = scale;
    q.zero_value = zero;
    q.bits = bits;
    return q;
}

/* ---- by hand ----------------------------------------------------------------------------------------------------- */

static void test_quantize_by_hand(void **state) {
    spec *s = *state;
    /* x / 0.25:               0   1  -1  1.5  2.5 -0.5  -1.5  510  512  -512  -516  inf  -inf  NaN */
    const float x[] = { 0.0f,   0.25f,  -0.25f,  0.375f,  0.625f,   -0.125f,   -0.375f,
                        127.5f, 128.0f, -128.0f, -129.0f, INFINITY, -INFINITY, NAN };
    static const struct {
        qmm_type type;
        int bits;
        int32_t zero, q[14];
    } cases[] = {
        { QMM_S8, 0, 0, { 0, 1, -1, 2, 2, 0, -2, 127, 127, -128, -128, 127, -128, 0 } },
        { QMM_S8, 0, -3, { -3, -2, -4, -1, -1, -3, -5, 127, 127, -128, -128, 127, -128, -3 } },
        { QMM_S8, 2, 1, { 1, 1, 0, 1, 1, 1, -1, 1, 1, -2, -2, 1, -2, 1 } },
        { QMM_U8, 0, 7, { 7, 8, 6, 9, 9, 7, 5, 255, 255, 0, 0, 255, 0, 7 } },
        { QMM_U8, 3, 0, { 0, 1, 0, 2, 2, 0, 0, 7, 7, 0, 0, 7, 0, 0 } },
        { QMM_S4, 0, 1, { 1, 2, 0, 3, 3, 1, -1, 7, 7, -8, -8, 7, -8, 1 } },
        { QMM_S4, 2, 0, { 0, 1, -1, 1, 1, 0, -2, 1, 1, -2, -2, 1, -2, 0 } },
        { QMM_U4, 0, 15, { 15, 15, 14, 15, 15, 15, 13, 15, 15, 0, 0, 15, 0, 15 } },
        { QMM_S16, 0, 5, { 5, 6, 4, 7, 7, 5, 3, 515, 517, -507, -511, 32767, -32768, 5 } },
        { QMM_S16, 10, 0, { 0, 1, -1, 2, 2, 0, -2, 510, 511, -512, -512, 511, -512, 0 } },
        { QMM_U16, 0, 600, { 600, 601, 599, 602, 602, 600, 598, 1110, 1112, 88, 84, 65535, 0, 600 } },
        { QMM_U16, 9, 256, { 256, 257, 255, 258, 258, 256, 254, 511, 511, 0, 0, 511, 0, 256 } },
    };
    FOR_EACH_ROW(s, "quantize") {
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
            for (int r = 0; r < 3; r++) { /* every x is an f16 and a bf16 too */
                const qmm_tensor source = spec_reals(s, real_types[r], 2, 7, x);
                const qmm_tensor target = spec_tensor(s, cases[i].type, 2, 7, 1);
                const qmm_quant q = host_quant(0.25f, cases[i].zero, cases[i].bits);
                spec_ok(s, qmm_quantize(s->context, &source, &q, &target));
                spec_expect_codes(s, qmm_type_name(cases[i].type), &target, cases[i].q);
                spec_clear(s);
            }
        }
    }
}

/* No parameters: scale 1 and zero 0. */
static void test_no_parameters(void **state) {
    spec *s = *state;
    const float x[] = { 0.5f, 1.5f, -2.5f, 200.0f };
    const int32_t q[] = { 0, 2, -2, 127 };
    const float back[] = { 0.0f, 2.0f, -2.0f, 127.0f };
    const qmm_tensor source = spec_reals(s, QMM_F32, 1, 4, x), target = spec_tensor(s, QMM_S8, 1, 4, 1);
    const qmm_tensor again = spec_tensor(s, QMM_F32, 1, 4, 1);
    spec_ok(s, qmm_quantize(s->context, &source, NULL, &target));
    spec_expect_codes(s, "no parameters", &target, q);
    spec_ok(s, qmm_dequantize(s->context, &target, NULL, &again));
    spec_expect_reals(s, "no parameters", &again, back);
}

/* Every code type and every number of bits: each code survives dequantize and quantize, and the ends saturate. */
static void test_every_width(void **state) {
    spec *s = *state;
    const float scale = 0.1f;
    FOR_EACH_ROW(s, "quantize") {
        for (size_t t = 0; t < 6; t++) {
            for (int bits = bits_min(code_types[t]); bits <= qmm_type_bits(code_types[t]); bits++) {
                int32_t qmin, qmax, count;
                float *x;
                int32_t *expected;
                qmm_tensor source, target;
                qmm_quant q;
                spec_range(code_types[t], bits, &qmin, &qmax);
                count = qmax - qmin + 5;
                x = malloc((size_t)count * sizeof *x);
                expected = malloc((size_t)count * sizeof *expected);
                assert_true(x && expected);
                q = host_quant(scale, qmin + (qmax - qmin) / 3, bits);
                for (int32_t i = 0; i < count; i++) {
                    const int32_t code = qmin - 2 + i;
                    x[i] = spec_dequantize(code, q.zero_value, scale);
                    expected[i] = code < qmin ? qmin : code > qmax ? qmax : code;
                }
                source = spec_reals(s, QMM_F32, 1, count, x);
                target = spec_tensor(s, code_types[t], 1, count, 1);
                spec_ok(s, qmm_quantize(s->context, &source, &q, &target));
                spec_expect_codes(s, "every width", &target, expected);
                free(x);
                free(expected);
                spec_clear(s);
            }
        }
    }
}

/* ---- granularity ------------------------------------------------------------------------------------------------- */

enum { ROWS = 4, COLS = 6, BATCH = 3 };

typedef struct params {
    qmm_granularity granularity;
    int64_t group, rows, cols; /* shape of the parameters */
} params;

static const params shapes[] = {
    { QMM_PER_TENSOR, 0, 1, 1 },
    { QMM_PER_ROW, 0, ROWS, 1 },
    { QMM_PER_ROW, 0, 1, ROWS },
    { QMM_PER_COLUMN, 0, 1, COLS },
    { QMM_PER_COLUMN, 0, COLS, 1 },
    { QMM_PER_ROW_GROUP, 2, ROWS, COLS / 2 },
    { QMM_PER_ROW_GROUP, 3, ROWS, 2 },
    { QMM_PER_ROW_GROUP, 1, ROWS, COLS },
    { QMM_PER_ROW_GROUP, COLS, ROWS, 1 },
    { QMM_PER_COLUMN_GROUP, 2, 2, COLS },
    { QMM_PER_COLUMN_GROUP, 1, ROWS, COLS },
    { QMM_PER_COLUMN_GROUP, ROWS, 1, COLS },
};

/* Which parameter, counted row by row in its tensor, element (i, j) takes: the header's table in words of its own. */
static int64_t which(const params *p, int64_t i, int64_t j) {
    switch (p->granularity) {
    case QMM_PER_TENSOR: return 0;
    case QMM_PER_ROW: return i;
    case QMM_PER_COLUMN: return j;
    case QMM_PER_ROW_GROUP: return i * (COLS / p->group) + j / p->group;
    case QMM_PER_COLUMN_GROUP: return i / p->group * COLS + j;
    }
    return -1;
}

static void check_granularity(spec *s, const params *p, qmm_type scale_type, qmm_type zero_type, bool with_zero,
                              int64_t param_batch, qmm_type code_type, qmm_type real_type) {
    const int64_t each = p->rows * p->cols;
    float x[BATCH * ROWS * COLS], scales[BATCH * ROWS * COLS], back[BATCH * ROWS * COLS];
    int32_t zeros[BATCH * ROWS * COLS], expected[BATCH * ROWS * COLS], qmin, qmax;
    uint64_t random = (uint64_t)p->granularity * 100 + (uint64_t)p->group;
    const int32_t low = zero_type == QMM_S32 ? INT32_MIN : zero_type == QMM_S8 ? -128 : 0;
    const int32_t high = zero_type == QMM_S32 ? INT32_MAX : zero_type == QMM_S8 ? 127 : 255;
    qmm_tensor source = spec_tensor(s, real_type, ROWS, COLS, BATCH),
               codes = spec_tensor(s, code_type, ROWS, COLS, BATCH);
    qmm_tensor again = spec_tensor(s, real_type, ROWS, COLS, BATCH);
    qmm_tensor scale = spec_tensor(s, scale_type, p->rows, p->cols, param_batch);
    qmm_tensor zero = spec_tensor(s, zero_type, p->rows, p->cols, param_batch);
    qmm_quant q = QMM_QUANT_INIT;
    spec_range(code_type, 0, &qmin, &qmax);
    for (int n = 0; n < BATCH * ROWS * COLS; n++) {
        x[n] = spec_round(real_type, 10.0 * spec_normal(&random));
        scales[n] = spec_round(scale_type, 0.01 + spec_uniform(&random));
        zeros[n] = spec_between(&random, qmin > low ? qmin : low, qmax < high ? qmax : high);
    }
    spec_write_reals(s, &source, x);
    spec_write_reals(s, &scale, scales);
    spec_write_codes(s, &zero, zeros);
    q.granularity = p->granularity;
    q.group_size = p->group;
    q.scale = &scale;
    q.zero = with_zero ? &zero : NULL;
    for (int64_t n = 0; n < BATCH * ROWS * COLS; n++) {
        const int64_t b = n / (ROWS * COLS), i = n / COLS % ROWS, j = n % COLS;
        const int64_t at = (param_batch == 1 ? 0 : b) * each + which(p, i, j);
        const int32_t z = with_zero ? zeros[at] : 0;
        expected[n] = spec_quantize(x[n], scales[at], z, qmin, qmax);
        back[n] = spec_round(real_type, (double)spec_dequantize(expected[n], z, scales[at]));
    }
    spec_ok(s, qmm_quantize(s->context, &source, &q, &codes));
    spec_expect_codes(s, "granularity", &codes, expected);
    spec_ok(s, qmm_dequantize(s->context, &codes, &q, &again));
    spec_expect_reals(s, "granularity, back", &again, back);
    spec_clear(s);
}

static void force_both(spec *s, const char *way) {
    char name[64];
    const char *const operations[] = { "quantize", "quantize_dynamic", "dequantize", "requantize" };
    for (int o = 0; o < 4; o++) {
        bool known = false;
        for (int i = 0; i < qmm_kernel_count(s->context); i++) {
            strcpy(name, "cpu:");
            strcat(name, operations[o]);
            strcat(name, ":");
            strcat(name, way);
            known = known || strcmp(name, qmm_kernel_name(s->context, i)) == 0;
        }
        if (known) spec_ok(s, qmm_kernel_force(s->context, name));
    }
}

static void test_granularity(void **state) {
    spec *s = *state;
    const qmm_type zero_types[] = { QMM_S32, QMM_S8, QMM_U8 };
    const char *const ways[] = { "reference", "chunked" };
    for (int w = 0; w < 2; w++) {
        force_both(s, ways[w]);
        for (size_t p = 0; p < sizeof shapes / sizeof shapes[0]; p++)
            for (int st = 0; st < 3; st++)
                for (int zt = 0; zt < 4; zt++)
                    for (int batched = 0; batched < 2; batched++)
                        for (int c = 0; c < 6; c++)
                            check_granularity(s, &shapes[p], real_types[st], zero_types[zt % 3], zt < 3,
                                              batched ? BATCH : 1, code_types[c], real_types[(c + st) % 3]);
        spec_ok(s, qmm_kernel_force(s->context, NULL));
    }
}

/* A 2 x 4 matrix by hand: rows of scale 1 and 2, columns of zero point 0, 1, 2, 3 cannot be had together;
 * each alone. */
static void test_granularity_by_hand(void **state) {
    spec *s = *state;
    const float x[] = { 2.0f, 3.0f, 4.0f, 5.0f, 2.0f, 3.0f, 4.0f, 5.0f };
    const float two[] = { 1.0f, 2.0f }, four[] = { 1.0f, 2.0f, 4.0f, 0.5f };
    const int32_t by_row[] = { 2, 3, 4, 5, 1, 2, 2, 2 };        /* 3/2 and 5/2 are ties */
    const int32_t by_column[] = { 2, 2, 1, 10, 2, 2, 1, 10 };   /* 2/1 3/2 4/4 5/.5 */
    const int32_t by_row_group[] = { 2, 3, 2, 2, 0, 1, 8, 10 }; /* /1 /1 /2 /2, then /4 /4 (2/4: a tie) /.5 /.5 */
    const struct {
        qmm_granularity granularity;
        int64_t group, rows, cols;
        const float *scales;
        const int32_t *expected;
    } cases[] = {
        { QMM_PER_ROW, 0, 2, 1, two, by_row },
        { QMM_PER_ROW, 0, 1, 2, two, by_row },
        { QMM_PER_COLUMN, 0, 1, 4, four, by_column },
        { QMM_PER_COLUMN, 0, 4, 1, four, by_column },
        { QMM_PER_COLUMN_GROUP, 2, 1, 4, four, by_column },
        { QMM_PER_ROW_GROUP, 2, 2, 2, four, by_row_group },
    };
    FOR_EACH_ROW(s, "quantize") {
        for (int c = 0; c < 6; c++) {
            const qmm_tensor source = spec_reals(s, QMM_F32, 2, 4, x), target = spec_tensor(s, QMM_S8, 2, 4, 1);
            const qmm_tensor scale = spec_reals(s, QMM_F32, cases[c].rows, cases[c].cols, cases[c].scales);
            qmm_quant q = QMM_QUANT_INIT;
            q.granularity = cases[c].granularity;
            q.group_size = cases[c].group;
            q.scale = &scale;
            spec_ok(s, qmm_quantize(s->context, &source, &q, &target));
            spec_expect_codes(s, "by hand", &target, cases[c].expected);
            spec_clear(s);
        }
    }
}

/* A vector of parameters that is a column of a larger matrix: its elements are a row stride apart. */
static void test_strided_parameters(void **state) {
    spec *s = *state;
    const float x[] = { 2.0f, 4.0f, 6.0f, 8.0f }, table[] = { 9.0f, 1.0f, 9.0f, 9.0f, 2.0f, 9.0f };
    const int32_t expected_rows[] = { 2, 4, 3, 4 }, expected_cols[] = { 2, 2, 6, 4 };
    FOR_EACH_ROW(s, "quantize") {
        const qmm_tensor source = spec_reals(s, QMM_F32, 2, 2, x), target = spec_tensor(s, QMM_S8, 2, 2, 1);
        qmm_tensor scale = spec_reals(s, QMM_F32, 2, 3, table); /* the middle column: 1, 2 */
        qmm_quant q = QMM_QUANT_INIT;
        scale.offset += sizeof(float);
        scale.cols = 1;
        q.scale = &scale;
        q.granularity = QMM_PER_ROW;
        spec_ok(s, qmm_quantize(s->context, &source, &q, &target));
        spec_expect_codes(s, "scales in a column, by row", &target, expected_rows);
        q.granularity = QMM_PER_COLUMN;
        spec_ok(s, qmm_quantize(s->context, &source, &q, &target));
        spec_expect_codes(s, "scales in a column, by column", &target, expected_cols);
        spec_clear(s);
    }
}

/* ---- layout ------------------------------------------------------------------------------------------------------ */

static void test_nibbles(void **state) {
    spec *s = *state;
    const float x[] = { 1.0f, -2.0f, 3.0f, -4.0f, 5.0f, -8.0f, 7.0f, 0.0f, -1.0f, 6.0f };
    /* Two rows of five: low nibble first, the odd end keeps the high nibble of the poison 0x5a. */
    const unsigned char expected[] = { 0xe1, 0xc3, 0x55, 0x78, 0xf0, 0x56 };
    const unsigned char expected_unsigned[] = { 0x01, 0x03, 0x55, 0x70, 0x00, 0x56 };
    unsigned char bytes[16];
    FOR_EACH_ROW(s, "quantize") {
        const qmm_tensor source = spec_reals(s, QMM_F32, 2, 5, x);
        qmm_tensor target = spec_tensor(s, QMM_S4, 2, 5, 1), window = spec_tensor(s, QMM_S4, 2, 8, 1);
        spec_ok(s, qmm_quantize(s->context, &source, NULL, &target));
        spec_read_bytes(s, &target, bytes, 6);
        assert_memory_equal(bytes, expected, 6);
        target.type = QMM_U4;
        spec_poison(s, &target);
        spec_ok(s, qmm_quantize(s->context, &source, NULL, &target));
        spec_read_bytes(s, &target, bytes, 6);
        assert_memory_equal(bytes, expected_unsigned, 6);
        /* Columns 2 to 4 of an 8-wide matrix: one byte in, three elements, neighbours untouched. */
        {
            qmm_tensor part = source, inner = window;
            const unsigned char inside[] = { 0x5a, 0xe1, 0x53, 0x5a, 0x5a, 0x78, 0x50, 0x5a };
            part.cols = 3;
            inner.cols = 3;
            inner.offset += 1;
            spec_ok(s, qmm_quantize(s->context, &part, NULL, &inner));
            spec_read_bytes(s, &window, bytes, 8);
            assert_memory_equal(bytes, inside, 8);
        }
        spec_count(20);
        spec_clear(s);
    }
    FOR_EACH_ROW(s, "dequantize") {
        const float back[] = { 1.0f, -2.0f, 3.0f, -4.0f, 5.0f, -8.0f, 7.0f, 0.0f, -1.0f, 6.0f };
        const float back_unsigned[] = { 1.0f, 14.0f, 3.0f, 12.0f, 5.0f, 8.0f, 7.0f, 0.0f, 15.0f, 6.0f };
        qmm_tensor source = spec_tensor(s, QMM_S4, 2, 5, 1);
        const qmm_tensor target = spec_tensor(s, QMM_F32, 2, 5, 1);
        spec_write_bytes(s, &source, expected, 6);
        spec_ok(s, qmm_dequantize(s->context, &source, NULL, &target));
        spec_expect_reals(s, "s4", &target, back);
        source.type = QMM_U4;
        spec_ok(s, qmm_dequantize(s->context, &source, NULL, &target));
        spec_expect_reals(s, "u4", &target, back_unsigned);
        spec_clear(s);
    }
}

/* T10: NaN, infinities, zeros, subnormals, FLT_MAX in every position of a row long enough for every vector loop. */
static void test_specials_everywhere(void **state) {
    spec *s = *state;
    enum { WIDTH = 37 };
    const float specials[] = { NAN, INFINITY, -INFINITY, 0.0f, -0.0f, 0x1p-149f, FLT_MAX, -FLT_MAX };
    const int32_t codes[] = { 3, 127, -128, 3, 3, 3, 127, -128 }; /* zero point 3 */
    FOR_EACH_ROW(s, "quantize") {
        const qmm_tensor source = spec_tensor(s, QMM_F32, 1, WIDTH, 1), target = spec_tensor(s, QMM_S8, 1, WIDTH, 1);
        const qmm_quant q = host_quant(0.5f, 3, 0);
        for (int special = 0; special < 8; special++) {
            for (int at = 0; at < WIDTH; at++) {
                float x[WIDTH];
                int32_t expected[WIDTH];
                for (int j = 0; j < WIDTH; j++) {
                    x[j] = j == at ? specials[special] : (float)j;
                    expected[j] = j == at ? codes[special] : 2 * j + 3;
                }
                spec_write_reals(s, &source, x);
                spec_ok(s, qmm_quantize(s->context, &source, &q, &target));
                spec_expect_codes(s, "special", &target, expected);
            }
        }
        spec_clear(s);
    }
}

/* ---- dequantize -------------------------------------------------------------------------------------------------- */

static void test_dequantize_rounding(void **state) {
    spec *s = *state;
    FOR_EACH_ROW(s, "dequantize") {
        { /* f16 has 11 bits and ends at 65504; 65520 is the tie that goes to infinity */
            const int32_t q[] = { 2049, 2051, 4098, 65503, 65504, 65519, 65520, 65535 };
            const float x[] = { 2048.0f, 2052.0f, 4096.0f, 65504.0f, 65504.0f, 65504.0f, INFINITY, INFINITY };
            const qmm_tensor source = spec_codes(s, QMM_U16, 1, 8, q), target = spec_tensor(s, QMM_F16, 1, 8, 1);
            spec_ok(s, qmm_dequantize(s->context, &source, NULL, &target));
            spec_expect_reals(s, "f16", &target, x);
        }
        { /* bf16 has 8 bits */
            const int32_t q[] = { 255, 257, 259, 258, -257, -259, 32767, -32768 };
            const float x[] = { 255.0f, 256.0f, 260.0f, 258.0f, -256.0f, -260.0f, 32768.0f, -32768.0f };
            const qmm_tensor source = spec_codes(s, QMM_S16, 1, 8, q), target = spec_tensor(s, QMM_BF16, 1, 8, 1);
            spec_ok(s, qmm_dequantize(s->context, &source, NULL, &target));
            spec_expect_reals(s, "bf16", &target, x);
        }
        { /* overflow: 127 * FLT_MAX; 2^127 * 2 - ... fits; f16 subnormals: 3 * 2^-25 is a tie, to 2^-23 */
            const int32_t q[] = { 127, 1, -128, 0 };
            const float big[] = { INFINITY, FLT_MAX, -INFINITY, 0.0f };
            const int32_t tiny_q[] = { 3, 1, 2, -5 };
            const float tiny[] = { 0x1p-23f, 0.0f, 0x1p-24f, -0x1p-23f };
            const qmm_tensor source = spec_codes(s, QMM_S8, 1, 4, q), target = spec_tensor(s, QMM_F32, 1, 4, 1);
            const qmm_tensor small = spec_codes(s, QMM_S8, 1, 4, tiny_q), half = spec_tensor(s, QMM_F16, 1, 4, 1);
            qmm_quant quant = host_quant(FLT_MAX, 0, 0);
            spec_ok(s, qmm_dequantize(s->context, &source, &quant, &target));
            spec_expect_reals(s, "overflow", &target, big);
            quant.scale_value = 0x1p-25f;
            spec_ok(s, qmm_dequantize(s->context, &small, &quant, &half));
            spec_expect_reals(s, "f16 subnormal", &half, tiny);
        }
        { /* s32: 24 bits survive */
            const int32_t q[] = { 16777217, 16777219, INT32_MAX, INT32_MIN, -16777217, 7 };
            const float x[] = { 16777216.0f, 16777220.0f, 2147483648.0f, -2147483648.0f, -16777216.0f, 7.0f };
            const qmm_tensor source = spec_codes(s, QMM_S32, 2, 3, q), target = spec_tensor(s, QMM_F32, 2, 3, 1);
            spec_ok(s, qmm_dequantize(s->context, &source, NULL, &target));
            spec_expect_reals(s, "s32", &target, x);
        }
        { /* two roundings, not one: 131071 * (1 + 2^-23) = 131071.0156.. in f32; and the sign of zero */
            const int32_t q[] = { 12345, -12345, 100 };
            float x[3];
            const qmm_tensor source = spec_codes(s, QMM_S16, 1, 3, q), target = spec_tensor(s, QMM_F16, 1, 3, 1);
            const qmm_quant quant = host_quant(0.1f, 100, 0);
            for (int i = 0; i < 3; i++) x[i] = spec_round(QMM_F16, (double)spec_dequantize(q[i], 100, 0.1f));
            spec_ok(s, qmm_dequantize(s->context, &source, &quant, &target));
            spec_expect_reals(s, "f16 of a product", &target, x);
        }
        spec_clear(s);
    }
}

/* A device zero point outside the type's range is taken as the nearest end of it; inside the type's but outside the
 * narrowed range of `bits` it stands. */
static void test_zero_points_out_of_range(void **state) {
    spec *s = *state;
    const int32_t zeros[] = { 1000, -1000, INT32_MAX, INT32_MIN, 5, 127 };
    const float x[] = { 0.0f, 0.0f, -1.0f, 1.0f, 2.0f, -3.0f };
    const int32_t s8[] = { 127, -128, 126, -127, 7, 124 };
    const int32_t u8[] = { 255, 0, 254, 1, 7, 124 };
    const int32_t s4[] = { 7, -8, 6, -7, 7, 4 };
    const int32_t s8_of_4[] = { 7, -8, 7, -8, 7, 7 }; /* the zero points are 127, -128, 127, -128, 5, 127 */
    const struct {
        qmm_type type;
        int bits;
        const int32_t *expected;
    } cases[] = { { QMM_S8, 0, s8 }, { QMM_U8, 0, u8 }, { QMM_S4, 0, s4 }, { QMM_S8, 4, s8_of_4 } };
    const char *const ways[] = { "reference", "chunked" };
    for (int w = 0; w < 2; w++) {
        force_both(s, ways[w]);
        for (int c = 0; c < 4; c++) {
            const qmm_tensor source = spec_reals(s, QMM_F32, 1, 6, x), target = spec_tensor(s, cases[c].type, 1, 6, 1);
            const qmm_tensor again = spec_tensor(s, QMM_F32, 1, 6, 1);
            const qmm_tensor zero = spec_codes(s, QMM_S32, 1, 6, zeros);
            const float ones[] = { 1.0f, 1.0f, 1.0f, 1.0f, 1.0f, 1.0f };
            const qmm_tensor scale = spec_reals(s, QMM_F32, 1, 6, ones);
            qmm_quant q = QMM_QUANT_INIT;
            q.granularity = QMM_PER_COLUMN;
            q.scale = &scale;
            q.zero = &zero;
            q.bits = cases[c].bits;
            spec_ok(s, qmm_quantize(s->context, &source, &q, &target));
            spec_expect_codes(s, "zero point out of range", &target, cases[c].expected);
            spec_ok(s, qmm_dequantize(s->context, &target, &q, &again));
            if (c < 2) spec_expect_reals(s, "and back", &again, x);
            spec_clear(s);
        }
        spec_ok(s, qmm_kernel_force(s->context, NULL));
    }
}

/* ---- requantize -------------------------------------------------------------------------------------------------- */

static void test_requantize(void **state) {
    spec *s = *state;
    enum { COUNT = 301 };
    uint64_t random = 8;
    const qmm_type sources[] = { QMM_S4, QMM_U4, QMM_S8, QMM_U8, QMM_S16, QMM_U16, QMM_S32 };
    FOR_EACH_ROW(s, "requantize") {
        for (int from = 0; from < 7; from++) {
            for (int to = 0; to < 6; to++) {
                int32_t codes[COUNT], expected[COUNT], qmin = INT32_MIN, qmax = INT32_MAX, to_min, to_max;
                qmm_quant source_quant, target_quant;
                qmm_tensor source, target, middle, twice;
                if (sources[from] != QMM_S32) spec_range(sources[from], 0, &qmin, &qmax);
                spec_range(code_types[to], 0, &to_min, &to_max);
                source_quant = host_quant((float)(0.001 + spec_uniform(&random)),
                                          sources[from] == QMM_S32 ? 0 : spec_between(&random, qmin, qmax), 0);
                target_quant =
                    host_quant((float)(0.001 + spec_uniform(&random)), spec_between(&random, to_min, to_max), 0);
                for (int n = 0; n < COUNT; n++) {
                    float y;
                    codes[n] = qmm_type_bits(sources[from]) <= 8 ? qmin + n % (qmax - qmin + 1)
                                                                 : spec_between(&random, qmin, qmax) / (1 << (n % 24));
                    y = spec_dequantize(codes[n], source_quant.zero_value, source_quant.scale_value);
                    expected[n] = spec_quantize(y, target_quant.scale_value, target_quant.zero_value, to_min, to_max);
                }
                source = spec_codes(s, sources[from], 1, COUNT, codes);
                target = spec_tensor(s, code_types[to], 1, COUNT, 1);
                middle = spec_tensor(s, QMM_F32, 1, COUNT, 1);
                twice = spec_tensor(s, code_types[to], 1, COUNT, 1);
                spec_ok(s, qmm_requantize(s->context, &source, &source_quant, &target, &target_quant));
                spec_expect_codes(s, "requantize", &target, expected);
                spec_ok(s, qmm_dequantize(s->context, &source, &source_quant, &middle));
                spec_ok(s, qmm_quantize(s->context, &middle, &target_quant, &twice));
                spec_expect_codes(s, "dequantize, quantize", &twice, expected);
                spec_clear(s);
            }
        }
    }
}

/* Different granularities on the two sides: per row from, per column to. */
static void test_requantize_granularity(void **state) {
    spec *s = *state;
    const int32_t codes[] = { 2, 4, 6, 2, 4, 6 }, zeros[] = { 0, 10, -10 };
    const float row[] = { 1.0f, 3.0f }, column[] = { 2.0f, 4.0f, 4.0f };
    /* y = 2 4 6 / 6 12 18; divided by 2 4 4: 1 1 1.5 / 3 3 4.5; ties to even 2 and 4; plus 0 10 -10 */
    const int32_t expected[] = { 1, 11, -8, 3, 13, -6 };
    FOR_EACH_ROW(s, "requantize") {
        const qmm_tensor source = spec_codes(s, QMM_U8, 2, 3, codes), target = spec_tensor(s, QMM_S8, 2, 3, 1);
        const qmm_tensor from = spec_reals(s, QMM_F32, 2, 1, row), to = spec_reals(s, QMM_BF16, 1, 3, column);
        const qmm_tensor zero = spec_codes(s, QMM_S8, 1, 3, zeros);
        qmm_quant source_quant = QMM_QUANT_INIT, target_quant = QMM_QUANT_INIT;
        source_quant.granularity = QMM_PER_ROW;
        source_quant.scale = &from;
        target_quant.granularity = QMM_PER_COLUMN;
        target_quant.scale = &to;
        target_quant.zero = &zero;
        spec_ok(s, qmm_requantize(s->context, &source, &source_quant, &target, &target_quant));
        spec_expect_codes(s, "requantize", &target, expected);
        spec_clear(s);
    }
}

/* ---- dynamic ----------------------------------------------------------------------------------------------------- */

static void test_onnx_examples(void **state) {
    spec *s = *state;
    static const struct {
        int64_t rows, cols;
        float x[12];
        float scale;
        int32_t zero, y[12];
    } cases[] = {
        /* of the ONNX operator DynamicQuantizeLinear; 0.0196078438 is 5/255, 0.0156862754 is 4/255 */
        { 1, 6, { 0.0f, 2.0f, -3.0f, -2.5f, 1.34f, 0.5f }, 0.0196078438f, 153, { 153, 255, 0, 26, 221, 179 } },
        { 1, 6, { -1.0f, -2.1f, -1.3f, -2.5f, -3.34f, -4.0f }, 0.0156862754f, 255, { 191, 121, 172, 96, 42, 0 } },
        { 3,
          4,
          { 1.0f, 2.1f, 1.3f, 2.5f, 3.34f, 4.0f, 1.5f, 2.6f, 3.9f, 4.0f, 3.0f, 2.345f },
          0.0156862754f,
          0,
          { 64, 134, 83, 159, 213, 255, 96, 166, 249, 255, 191, 149 } },
    };
    FOR_EACH_ROW(s, "quantize_dynamic") {
        for (int c = 0; c < 3; c++) {
            const qmm_tensor x = spec_reals(s, QMM_F32, cases[c].rows, cases[c].cols, cases[c].x);
            const qmm_tensor y = spec_tensor(s, QMM_U8, cases[c].rows, cases[c].cols, 1);
            const qmm_tensor scale = spec_tensor(s, QMM_F32, 1, 1, 1), zero = spec_tensor(s, QMM_S32, 1, 1, 1);
            qmm_quant q = QMM_QUANT_INIT;
            q.scale = &scale;
            q.zero = &zero;
            spec_ok(s, qmm_quantize_dynamic(s->context, &x, &q, &y));
            spec_expect_reals(s, "ONNX scale", &scale, &cases[c].scale);
            spec_expect_codes(s, "ONNX zero point", &zero, &cases[c].zero);
            spec_expect_codes(s, "ONNX codes", &y, cases[c].y);
            spec_clear(s);
        }
    }
}

static void test_dynamic_by_hand(void **state) {
    spec *s = *state;
    /* Rows: plain; all zero; only NaN and infinities; one infinity; tiny; one-sided. */
    const float x[] = { 1.0f,      -127.0f,    63.5f, 0.5f,      1.5f,      0.0f,  0.0f,     -0.0f,  0.0f,  0.0f,
                        NAN,       INFINITY,   NAN,   -NAN,      -INFINITY, 12.7f, INFINITY, -1.27f, NAN,   0.0f,
                        0x1p-130f, -0x1p-128f, 0.0f,  0x1p-149f, 0x1p-127f, 3.0f,  6.0f,     9.0f,   12.0f, 12.75f };
    const float symmetric_scales[] = { 1.0f, 1.0f, 1.0f, 12.7f / 127.0f, 0x1p-126f, 12.75f / 127.0f };
    const int32_t symmetric[] = { 1,   -127, 64,  0, 2, 0, 0, 0, 0, 0, 0,  127, 0,  0,   -128,
                                  127, 127,  -13, 0, 0, 0, 0, 0, 0, 0, 30, 60,  90, 120, 127 };
    /* Spans 190.5, 0, none, 13.97, 2^-127 + 2^-128, 12.75, of 255 levels. Row 0: scale .747058809, zero
     * -128 + 127 / .747.. = -128 + 170 = 42. Row 3: .0547843128; -128 + 23.18 = -105. Row 4: 2^-126, and -128 + 0.25.
     * Row 5: 0.05 and -128. */
    const float asymmetric_scales[] = { 190.5f / 255.0f,          1.0f,      1.0f,
                                        (12.7f + 1.27f) / 255.0f, 0x1p-126f, 12.75f / 255.0f };
    const int32_t zeros[] = { 42, -128, -128, -105, -128, -128 };
    FOR_EACH_ROW(s, "quantize_dynamic") {
        const qmm_tensor source = spec_reals(s, QMM_F32, 6, 5, x), target = spec_tensor(s, QMM_S8, 6, 5, 1);
        const qmm_tensor scale = spec_tensor(s, QMM_F32, 6, 1, 1), zero = spec_tensor(s, QMM_S32, 1, 6, 1);
        int32_t asymmetric[30];
        qmm_quant q = QMM_QUANT_INIT;
        q.granularity = QMM_PER_ROW;
        q.scale = &scale;
        spec_ok(s, qmm_quantize_dynamic(s->context, &source, &q, &target));
        spec_expect_reals(s, "symmetric scales", &scale, symmetric_scales);
        spec_expect_codes(s, "symmetric codes", &target, symmetric);
        q.zero = &zero;
        spec_ok(s, qmm_quantize_dynamic(s->context, &source, &q, &target));
        spec_expect_reals(s, "asymmetric scales", &scale, asymmetric_scales);
        spec_expect_codes(s, "asymmetric zero points", &zero, zeros);
        for (int n = 0; n < 30; n++)
            asymmetric[n] = spec_quantize(x[n], asymmetric_scales[n / 5], zeros[n / 5], -128, 127);
        /* By hand: all-zero and NaN give the zero point, infinities the ends. */
        for (int j = 0; j < 5; j++) assert_int_equal(asymmetric[5 + j], -128);
        assert_int_equal(asymmetric[10], -128);
        assert_int_equal(asymmetric[11], 127);
        assert_int_equal(asymmetric[16], 127);
        assert_int_equal(asymmetric[18], -105);
        spec_expect_codes(s, "asymmetric codes", &target, asymmetric);
        spec_clear(s);
    }
}

/* float32 formulas of the contract, one rounding an operation. */
static void dynamic_params(float min, float max, bool symmetric, int32_t qmin, int32_t qmax, float *scale,
                           int32_t *zero) {
    volatile float step;
    *zero = symmetric ? 0 : qmin;
    *scale = 1.0f;
    if (min == 0.0f && max == 0.0f) return;
    if (symmetric) {
        step = fmaxf(-min, max) / (float)qmax;
        *scale = fmaxf(step, FLT_MIN);
        return;
    }
    step = max - min;
    step = step / (float)(qmax - qmin);
    *scale = fmaxf(step, FLT_MIN);
    step = min / *scale;
    step = (float)qmin - step;
    *zero = (int32_t)fminf(fmaxf(rintf(step), (float)qmin), (float)qmax);
}

/* Every granularity, type and number of bits: parameters from the finite values of the block, codes from them. */
static void check_dynamic(spec *s, const params *p, bool symmetric, qmm_type real_type, qmm_type code_type, int bits) {
    const int64_t each = p->rows * p->cols;
    float x[BATCH * ROWS * COLS], min[BATCH * ROWS * COLS] = { 0 }, max[BATCH * ROWS * COLS] = { 0 };
    float scales[BATCH * ROWS * COLS];
    int32_t zeros[BATCH * ROWS * COLS], expected[BATCH * ROWS * COLS], qmin, qmax;
    uint64_t random = (uint64_t)bits * 7 + (uint64_t)p->granularity;
    qmm_tensor source = spec_tensor(s, real_type, ROWS, COLS, BATCH),
               target = spec_tensor(s, code_type, ROWS, COLS, BATCH);
    const qmm_tensor scale = spec_tensor(s, QMM_F32, p->rows, p->cols, BATCH);
    const qmm_tensor zero = spec_tensor(s, QMM_S32, p->rows, p->cols, BATCH);
    qmm_quant q = QMM_QUANT_INIT;
    spec_range(code_type, bits, &qmin, &qmax);
    for (int64_t n = 0; n < BATCH * ROWS * COLS; n++) {
        const int64_t at = n / (ROWS * COLS) * each + which(p, n / COLS % ROWS, n % COLS);
        const int kind = spec_between(&random, 0, 19);
        x[n] = kind == 0   ? NAN
               : kind == 1 ? INFINITY
                           : spec_round(real_type, spec_normal(&random) * pow(10.0, (double)(at % 5) - 2.0));
        if (!isfinite(x[n])) continue;
        min[at] = fminf(min[at], x[n]);
        max[at] = fmaxf(max[at], x[n]);
    }
    for (int64_t at = 0; at < BATCH * each; at++)
        dynamic_params(min[at], max[at], symmetric, qmin, qmax, &scales[at], &zeros[at]);
    for (int64_t n = 0; n < BATCH * ROWS * COLS; n++) {
        const int64_t at = n / (ROWS * COLS) * each + which(p, n / COLS % ROWS, n % COLS);
        expected[n] = spec_quantize(x[n], scales[at], zeros[at], qmin, qmax);
    }
    spec_write_reals(s, &source, x);
    q.granularity = p->granularity;
    q.group_size = p->group;
    q.bits = bits;
    q.scale = &scale;
    q.zero = symmetric ? NULL : &zero;
    spec_ok(s, qmm_quantize_dynamic(s->context, &source, &q, &target));
    spec_expect_reals(s, "dynamic scales", &scale, scales);
    if (!symmetric) spec_expect_codes(s, "dynamic zero points", &zero, zeros);
    spec_expect_codes(s, "dynamic codes", &target, expected);
    spec_clear(s);
}

static void test_dynamic_everything(void **state) {
    spec *s = *state;
    FOR_EACH_ROW(s, "quantize_dynamic") {
        for (size_t p = 0; p < sizeof shapes / sizeof shapes[0]; p++)
            for (int symmetric = 0; symmetric < 2; symmetric++)
                for (int c = 0; c < 6; c++)
                    for (int bits = bits_min(code_types[c]); bits <= qmm_type_bits(code_types[c]); bits++)
                        check_dynamic(s, &shapes[p], symmetric != 0, real_types[bits % 3], code_types[c], bits);
    }
}

/* T12: what lies beside the matrix, here huge, must not enter its range. */
static void test_padded_widths(void **state) {
    spec *s = *state;
    enum { PARENT = 160 };
    static float parent[3 * PARENT];
    static int32_t expected[2 * PARENT];
    FOR_EACH_ROW(s, "quantize_dynamic") {
        for (int width = 1; width <= 130; width++) {
            for (int g = 0; g < 3; g++) {
                const qmm_granularity granularity[] = { QMM_PER_TENSOR, QMM_PER_ROW, QMM_PER_COLUMN };
                const int64_t param_rows = g == 1 ? 2 : 1, param_cols = g == 2 ? width : 1;
                float scales[PARENT];
                qmm_tensor source, target, scale;
                qmm_quant q = QMM_QUANT_INIT;
                for (int n = 0; n < 3 * PARENT; n++) parent[n] = n % 2 ? 1e30f : -1e30f;
                for (int i = 0; i < 2; i++)
                    for (int j = 0; j < width; j++)
                        parent[i * PARENT + 7 + j] = (float)((i + 1) * (j + 1)) * (j % 2 ? -1.0f : 1.0f);
                for (int64_t n = 0; n < param_rows * param_cols; n++)
                    scales[n] = (g == 0   ? 2.0f * (float)width
                                 : g == 1 ? (float)((n + 1) * width)
                                          : 2.0f * (float)(n + 1)) /
                                127.0f;
                source = spec_reals(s, QMM_F32, 3, PARENT, parent);
                source.offset += 7 * sizeof(float);
                source.rows = 2;
                source.cols = width;
                target = spec_tensor(s, QMM_S8, 2, width, 1);
                scale = spec_tensor(s, QMM_F32, param_rows, param_cols, 1);
                q.granularity = granularity[g];
                q.scale = &scale;
                for (int n = 0; n < 2 * width; n++) {
                    const int i = n / width, j = n % width;
                    expected[n] = spec_quantize(parent[i * PARENT + 7 + j],
                                                scales[g == 1   ? i
                                                       : g == 2 ? j
                                                                : 0],
                                                0, -128, 127);
                }
                spec_ok(s, qmm_quantize_dynamic(s->context, &source, &q, &target));
                spec_expect_reals(s, "scale beside huge neighbours", &scale, scales);
                spec_expect_codes(s, "codes beside huge neighbours", &target, expected);
                spec_clear(s);
            }
        }
    }
}

/* ---- properties -------------------------------------------------------------------------------------------------- */

/* Within its range, x comes back to within half a scale, up to the roundings of the quotient and of the product. */
static void test_round_trip(void **state) {
    spec *s = *state;
    enum { COUNT = 20000 };
    static float x[COUNT], back[COUNT];
    uint64_t random = 4;
    FOR_EACH_ROW(s, "quantize_dynamic") {
        for (int c = 0; c < 6; c++) {
            for (int symmetric = 0; symmetric < 2; symmetric++) {
                const qmm_tensor source = spec_tensor(s, QMM_F32, 1, COUNT, 1),
                                 target = spec_tensor(s, code_types[c], 1, COUNT, 1);
                const qmm_tensor scale = spec_tensor(s, QMM_F32, 1, 1, 1), zero = spec_tensor(s, QMM_S32, 1, 1, 1);
                const bool is_unsigned = c % 2 == 1;
                float step;
                qmm_quant q = QMM_QUANT_INIT;
                for (int n = 0; n < COUNT; n++) {
                    x[n] = (float)(spec_normal(&random) + (symmetric ? 0.0 : 3.0));
                    if (is_unsigned && symmetric) x[n] = fabsf(x[n]);
                }
                spec_write_reals(s, &source, x);
                q.scale = &scale;
                q.zero = symmetric ? NULL : &zero;
                spec_ok(s, qmm_quantize_dynamic(s->context, &source, &q, &target));
                spec_ok(s, qmm_dequantize(s->context, &target, &q, &source));
                spec_read_reals(s, &scale, &step);
                spec_read_reals(s, &source, back);
                for (int n = 0; n < COUNT; n++) {
                    /* Quotients are at most 2^16, known to 2^-24 of that; an asymmetric end may miss by half a code,
                     * since the zero point is rounded too. */
                    const double end = symmetric ? 0.5 : 1.0;
                    const double slack = (double)step * 0x1p-8 + fabs((double)x[n]) * 0x1p-23;
                    const double error = fabs((double)back[n] - (double)x[n]);
                    if (error > end * (double)step + slack)
                        fail_msg("%s: %a came back as %a, scale %a", qmm_type_name(code_types[c]), (double)x[n],
                                 (double)back[n], (double)step);
                    spec_count(1);
                }
                spec_clear(s);
            }
        }
    }
}

/* Long rows and many rows: the segments and runs of the faster row meet without seam; f16 source; odd 4-bit widths. */
static void test_long_rows(void **state) {
    spec *s = *state;
    static const int64_t widths[] = { 511, 512, 513, 1025, 65535, 65536, 65537, 131077 };
    FOR_EACH_ROW(s, "quantize") {
        for (int w = 0; w < 8; w++) {
            for (int c = 0; c < 6; c++) {
                const int64_t count = 2 * widths[w];
                float *x = malloc((size_t)count * sizeof *x);
                int32_t *expected = malloc((size_t)count * sizeof *expected), qmin, qmax;
                uint64_t random = (uint64_t)count;
                qmm_tensor source, target;
                const qmm_quant q = host_quant(0.37f, 1, 0);
                assert_true(x && expected);
                spec_range(code_types[c], 0, &qmin, &qmax);
                for (int64_t n = 0; n < count; n++) {
                    x[n] = spec_round(QMM_F16, 3.0 * spec_uniform(&random) * (double)(n % 7));
                    expected[n] = spec_quantize(x[n], 0.37f, 1, qmin, qmax);
                }
                source = spec_reals(s, c % 2 ? QMM_F32 : QMM_F16, 2, widths[w], x);
                target = spec_tensor(s, code_types[c], 2, widths[w], 1);
                spec_ok(s, qmm_quantize(s->context, &source, &q, &target));
                spec_expect_codes(s, "long row", &target, expected);
                free(x);
                free(expected);
                spec_clear(s);
            }
        }
    }
}

/* Sizes of 0 are legal and touch nothing. */
static void test_empty(void **state) {
    spec *s = *state;
    const qmm_tensor x = spec_tensor(s, QMM_F32, 0, 5, 1), q = spec_tensor(s, QMM_S8, 0, 5, 1);
    const qmm_tensor x2 = spec_tensor(s, QMM_F32, 5, 0, 1), q2 = spec_tensor(s, QMM_S4, 5, 0, 1);
    const qmm_tensor scale = spec_tensor(s, QMM_F32, 1, 1, 1);
    qmm_quant quant = QMM_QUANT_INIT;
    quant.scale = &scale;
    spec_ok(s, qmm_quantize(s->context, &x, NULL, &q));
    spec_ok(s, qmm_dequantize(s->context, &q, NULL, &x));
    spec_ok(s, qmm_quantize(s->context, &x2, NULL, &q2));
    spec_ok(s, qmm_requantize(s->context, &q, NULL, &q, NULL));
    spec_ok(s, qmm_quantize_dynamic(s->context, &x, &quant, &q));
    spec_count(5);
}

int main(void) {
#define TEST(function) cmocka_unit_test_setup_teardown(function, spec_open, spec_close)
    const struct CMUnitTest tests[] = {
        TEST(test_quantize_by_hand),
        TEST(test_no_parameters),
        TEST(test_every_width),
        TEST(test_granularity_by_hand),
        TEST(test_granularity),
        TEST(test_strided_parameters),
        TEST(test_nibbles),
        TEST(test_specials_everywhere),
        TEST(test_dequantize_rounding),
        TEST(test_zero_points_out_of_range),
        TEST(test_requantize),
        TEST(test_requantize_granularity),
        TEST(test_onnx_examples),
        TEST(test_dynamic_by_hand),
        TEST(test_dynamic_everything),
        TEST(test_padded_widths),
        TEST(test_round_trip),
        TEST(test_long_rows),
        TEST(test_empty),
    };
    return spec_run(tests);
}
