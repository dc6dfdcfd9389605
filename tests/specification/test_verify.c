/* SPDX-License-Identifier: Apache-2.0
 *
 * qmm_verify_matmul and qmm_compare: what is right passes, what is wrong is caught at its place (T33, T34). */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "specification.h"

static const qmm_type b_types[] = { QMM_S8, QMM_U8, QMM_S4, QMM_U4 };
static const qmm_type c_types[] = { QMM_S32, QMM_F32, QMM_F16, QMM_BF16, QMM_S8, QMM_U8, QMM_S16, QMM_U16 };

/* ---- a problem with everything in it ----------------------------------------------------------------------------- */

typedef struct shape {
    int64_t m, n, k, batch;
    qmm_type a_type, b_type, c_type;
    bool transpose_a, transpose_b, zeros, repeat_b, packed;
    int64_t group; /* of B along K; 0: scales by column */
    bool group_a;  /* A's too */
    qmm_type bias; /* 0: none */
    bool residual;
    qmm_activation activation;
} shape;

typedef struct problem {
    qmm_tensor a, b, c, scale_a, scale_b, zero_a, zero_b, bias, residual, scale_c;
    qmm_quant qa, qb, qc;
    qmm_matmul_desc desc;
    qmm_weights *weights;
} problem;

static void fill_codes(spec *s, const qmm_tensor *t, uint64_t *random) {
    const int64_t count = t->batch * t->rows * t->cols;
    int32_t *values = malloc((size_t)count * sizeof *values + 1), low = -100000, high = 100000;
    assert_non_null(values);
    if (t->type != QMM_S32) spec_range(t->type, 0, &low, &high);
    for (int64_t n = 0; n < count; n++) values[n] = spec_between(random, low, high);
    spec_write_codes(s, t, values);
    free(values);
}

static void fill_reals(spec *s, const qmm_tensor *t, uint64_t *random, double low, double high) {
    const int64_t count = t->batch * t->rows * t->cols;
    float *values = malloc((size_t)count * sizeof *values + 1);
    assert_non_null(values);
    for (int64_t n = 0; n < count; n++) values[n] = (float)(low + (high - low) * spec_uniform(random));
    spec_write_reals(s, t, values);
    free(values);
}

static qmm_quant quant(const qmm_tensor *scale, const qmm_tensor *zero, bool by_row, int64_t group) {
    qmm_quant q = QMM_QUANT_INIT;
    q.granularity = group ? (by_row ? QMM_PER_ROW_GROUP : QMM_PER_COLUMN_GROUP) : by_row ? QMM_PER_ROW : QMM_PER_COLUMN;
    q.group_size = group;
    q.scale = scale;
    q.zero = zero;
    return q;
}

/* Parameters of an operand: outer x groups, laid out as its tensor is. */
static void make_params(spec *s, qmm_quant *q, qmm_tensor *scale, qmm_tensor *zero, bool zeros, int64_t outer,
                        int64_t groups, bool by_row, int64_t group, uint64_t *random) {
    *scale = spec_tensor(s, QMM_F32, by_row ? outer : groups, by_row ? groups : outer, 1);
    *zero = spec_tensor(s, QMM_S8, scale->rows, scale->cols, 1);
    fill_reals(s, scale, random, 0.001, 0.01);
    fill_codes(s, zero, random);
    *q = quant(scale, zeros ? zero : NULL, by_row, group);
}

static void make(spec *s, const shape *h, uint64_t *random, problem *p) {
    memset(p, 0, sizeof *p);
    p->desc = (qmm_matmul_desc)QMM_MATMUL_DESC_INIT;
    p->a = spec_tensor(s, h->a_type, h->transpose_a ? h->k : h->m, h->transpose_a ? h->m : h->k, h->batch);
    p->b = spec_tensor(s, h->b_type, h->transpose_b ? h->n : h->k, h->transpose_b ? h->k : h->n,
                       h->repeat_b ? 1 : h->batch);
    p->c = spec_tensor(s, h->c_type, h->m, h->n, h->batch);
    fill_codes(s, &p->a, random);
    fill_codes(s, &p->b, random);
    make_params(s, &p->qa, &p->scale_a, &p->zero_a, h->zeros, h->m, h->group_a ? h->k / h->group : 1, !h->transpose_a,
                h->group_a ? h->group : 0, random);
    make_params(s, &p->qb, &p->scale_b, &p->zero_b, h->zeros, h->n, h->group ? h->k / h->group : 1, h->transpose_b,
                h->group, random);
    p->desc.transpose_a = h->transpose_a;
    p->desc.transpose_b = h->transpose_b;
    p->desc.quant_a = &p->qa;
    p->desc.quant_b = &p->qb;
    p->desc.activation = h->activation;
    if (h->bias) {
        p->bias = spec_tensor(s, h->bias, 1, h->n, 1);
        if (h->bias == QMM_S32)
            fill_codes(s, &p->bias, random);
        else
            fill_reals(s, &p->bias, random, -1.0, 1.0);
        p->desc.bias = &p->bias;
    }
    if (h->residual) {
        p->residual = spec_tensor(s, QMM_BF16, h->m, h->n, h->batch);
        fill_reals(s, &p->residual, random, -1.0, 1.0);
        p->desc.residual = &p->residual;
    }
    if (qmm_type_bits(h->c_type) <= 16 && h->c_type != QMM_F16 && h->c_type != QMM_BF16) {
        p->scale_c = spec_tensor(s, QMM_F32, 1, h->n, 1);
        fill_reals(s, &p->scale_c, random, 0.01, 0.1);
        p->qc = quant(&p->scale_c, NULL, false, 0);
        p->desc.quant_c = &p->qc;
    }
}

static void pack(spec *s, problem *p) {
    qmm_weights_options options = QMM_WEIGHTS_OPTIONS_INIT;
    options.transpose_b = p->desc.transpose_b;
    options.quant = &p->qb;
    spec_ok(s, qmm_weights_create(s->context, &p->b, &options, &p->weights));
    p->desc.weights = p->weights;
    p->desc.quant_b = NULL;
    p->desc.transpose_b = 0;
}

static const qmm_tensor *plain_b(const problem *p) {
    return p->weights ? NULL : &p->b;
}

static void multiply(spec *s, const problem *p) {
    spec_ok(s, qmm_matmul(s->context, &p->desc, &p->a, plain_b(p), &p->c));
}

static void clear(spec *s, problem *p) {
    qmm_weights_free(p->weights);
    spec_clear(s);
}

static qmm_verify_result verify(spec *s, const problem *p, uint64_t seed, int rounds) {
    qmm_verify_options options = QMM_VERIFY_OPTIONS_INIT;
    qmm_verify_result result = QMM_VERIFY_RESULT_INIT;
    options.seed = seed;
    options.rounds = rounds;
    spec_ok(s, qmm_verify_matmul(s->context, &p->desc, &p->a, plain_b(p), &p->c, &options, &result));
    return result;
}

static void describe(const shape *h, char *text, size_t size) {
    snprintf(text, size, "%dx%dx%d batch %d, %s %s %s,%s%s%s%s%s group %d%s, bias %d, residual %d, activation %d",
             (int)h->m, (int)h->n, (int)h->k, (int)h->batch, qmm_type_name(h->a_type), qmm_type_name(h->b_type),
             qmm_type_name(h->c_type), h->transpose_a ? " ta" : "", h->transpose_b ? " tb" : "",
             h->zeros ? " zeros" : "", h->repeat_b ? " one b" : "", h->packed ? " packed" : "", (int)h->group,
             h->group_a ? " of a too" : "", (int)h->bias, h->residual, (int)h->activation);
}

static void expect_passed(spec *s, const shape *h, const problem *p, uint64_t seed) {
    qmm_verify_result r = QMM_VERIFY_RESULT_INIT;
    qmm_verify_options options = QMM_VERIFY_OPTIONS_INIT;
    char text[256];
    describe(h, text, sizeof text);
    options.seed = seed;
    if (qmm_verify_matmul(s->context, &p->desc, &p->a, plain_b(p), &p->c, &options, &r) != QMM_OK)
        fail_msg("%s: %s", text, qmm_context_error(s->context));
    if (!r.passed || r.wrong_rows != 0 || r.batch != -1 || r.row != -1 || r.col != -1)
        fail_msg("%s: a right result does not pass: %d wrong rows, first %d %d %d", text, (int)r.wrong_rows,
                 (int)r.batch, (int)r.row, (int)r.col);
    spec_count(1);
}

static void random_shape(uint64_t *random, qmm_type c_type, shape *h) {
    memset(h, 0, sizeof *h);
    h->m = spec_between(random, 1, 12);
    h->n = spec_between(random, 1, 12);
    h->k = spec_between(random, 1, 12);
    h->batch = spec_between(random, 1, 3);
    h->a_type = spec_between(random, 0, 1) ? QMM_S8 : QMM_U8;
    h->b_type = b_types[spec_between(random, 0, 3)];
    h->c_type = c_type;
    h->transpose_a = spec_between(random, 0, 1) != 0;
    h->transpose_b = spec_between(random, 0, 1) != 0;
    h->zeros = spec_between(random, 0, 1) != 0;
    h->repeat_b = spec_between(random, 0, 1) != 0;
    h->packed = spec_between(random, 0, 2) == 0;
    if (spec_between(random, 0, 2) == 0) { /* groups, odd sizes too */
        h->group = spec_between(random, 1, 5);
        h->k = h->group * spec_between(random, 1, 4);
        h->group_a = spec_between(random, 0, 1) != 0;
    } else if (spec_between(random, 0, 2) == 0) {
        h->bias = QMM_S32;
    }
    if (c_type == QMM_S32) return;
    if (!h->bias && spec_between(random, 0, 1)) h->bias = QMM_F32;
    h->residual = spec_between(random, 0, 2) == 0;
    h->activation = (qmm_activation)spec_between(random, 0, 4);
}

/* ---- right results ----------------------------------------------------------------------------------------------- */

static void test_right(void **state) {
    spec *s = *state;
    uint64_t random = 1;
    FOR_EACH_MATMUL_ROW(s) {
        for (int n = 0; n < 3000; n++) {
            shape h;
            problem p;
            random_shape(&random, c_types[n % 8], &h);
            make(s, &h, &random, &p);
            if (h.packed) pack(s, &p);
            multiply(s, &p);
            expect_passed(s, &h, &p, (uint64_t)n);
            clear(s, &p);
        }
    }
}

/* 4-bit codes whose pieces of K begin in the middle of a byte: groups of odd size along a row of B. */
static void test_odd_groups_of_nibbles(void **state) {
    spec *s = *state;
    uint64_t random = 2;
    for (int64_t group = 1; group <= 7; group++) {
        for (int packed = 0; packed < 2; packed++) {
            shape h = { .m = 3,
                        .n = 4,
                        .k = 4 * group,
                        .batch = 1,
                        .a_type = QMM_S8,
                        .b_type = packed ? QMM_U4 : QMM_S4,
                        .c_type = QMM_F32,
                        .transpose_b = true,
                        .zeros = true,
                        .group = group,
                        .packed = packed != 0 };
            problem p;
            make(s, &h, &random, &p);
            if (packed) pack(s, &p);
            multiply(s, &p);
            expect_passed(s, &h, &p, 1);
            clear(s, &p);
        }
    }
}

static void test_beyond_the_bound(void **state) {
    spec *s = *state;
    uint64_t random = 3;
    static const qmm_type types[][2] = {
        { QMM_S8, QMM_S8 }, { QMM_U8, QMM_S8 }, { QMM_U8, QMM_U8 }, { QMM_S8, QMM_S4 }
    };
    for (int t = 0; t < 4; t++) {
        for (int zeros = 0; zeros < 2; zeros++) {
            for (int transposed = 0; transposed < 2; transposed++) {
                const int64_t limit = qmm_matmul_k_limit(types[t][0], zeros, types[t][1], zeros);
                shape h = { .m = 2,
                            .n = 3,
                            .k = 2 * limit + 5,
                            .batch = 1,
                            .a_type = types[t][0],
                            .b_type = types[t][1],
                            .c_type = QMM_F32,
                            .transpose_b = transposed != 0,
                            .zeros = zeros != 0,
                            .bias = QMM_S32 };
                problem p;
                qmm_verify_result r;
                unsigned char byte;
                if (h.k > 300000 && !(transposed && zeros)) continue; /* s4: large */
                make(s, &h, &random, &p);
                multiply(s, &p);
                expect_passed(s, &h, &p, 1);
                { /* one bit of the last element */
                    qmm_tensor last = p.c;
                    last.offset += (2 * 3 - 1) * 4;
                    spec_read_bytes(s, &last, &byte, 1);
                    byte ^= 1;
                    spec_write_bytes(s, &last, &byte, 1);
                }
                r = verify(s, &p, 1, 1);
                spec_expect_int("caught", t, r.passed, 0);
                spec_expect_int("row", t, r.row, 1);
                spec_expect_int("col", t, r.col, 2);
                clear(s, &p);
            }
        }
    }
}

static void test_empty(void **state) {
    spec *s = *state;
    for (int empty = 1; empty < 8; empty++) {
        for (int c = 0; c < 8; c++) {
            shape h = { .m = empty & 1 ? 0 : 2,
                        .n = empty & 2 ? 0 : 3,
                        .k = empty & 4 ? 0 : 4,
                        .batch = 2,
                        .a_type = QMM_S8,
                        .b_type = QMM_S8,
                        .c_type = c_types[c],
                        .zeros = true };
            uint64_t random = 4;
            problem p;
            make(s, &h, &random, &p);
            multiply(s, &p);
            expect_passed(s, &h, &p, 1);
            clear(s, &p);
        }
    }
}

/* ---- faults ------------------------------------------------------------------------------------------------------ */

static void expect_caught(spec *s, const shape *h, const problem *p, uint64_t seed, int64_t b, int64_t i, int64_t j) {
    const qmm_verify_result r = verify(s, p, seed, 1);
    const int64_t col = h->c_type == QMM_S32 && !p->desc.bias ? -1 : j;
    char text[256];
    describe(h, text, sizeof text);
    if (r.passed || r.wrong_rows != 1 || r.batch != b || r.row != i || r.col != col)
        fail_msg("%s: a fault at %d %d %d: passed %d, %d wrong rows, at %d %d %d", text, (int)b, (int)i, (int)j,
                 (int)r.passed, (int)r.wrong_rows, (int)r.batch, (int)r.row, (int)r.col);
    spec_count(4);
}

static bool same_value(double x, double y) {
    return x == y || (isnan(x) && isnan(y));
}

/* T34: one bit of one element; Freivalds and the comparer both see it, and where. */
static void test_faults(void **state) {
    spec *s = *state;
    uint64_t random = 34;
    for (int fault = 0; fault < 1000; fault++) {
        shape h;
        problem p;
        random_shape(&random, c_types[fault % 8], &h);
        make(s, &h, &random, &p);
        if (h.packed) pack(s, &p);
        multiply(s, &p);
        {
            const int64_t b = spec_between(&random, 0, (int32_t)h.batch - 1),
                          i = spec_between(&random, 0, (int32_t)h.m - 1);
            const int64_t j = spec_between(&random, 0, (int32_t)h.n - 1), at = (b * h.m + i) * h.n + j;
            const int bits = qmm_type_bits(h.c_type), bit = spec_between(&random, 0, bits - 1);
            const size_t bytes = (size_t)(h.batch * h.m * h.n * bits / 8);
            unsigned char *before = malloc(bytes), *after = malloc(bytes);
            const qmm_tensor good = spec_tensor(s, h.c_type, h.m, h.n, h.batch);
            qmm_compare_result compared = QMM_COMPARE_RESULT_INIT;
            assert_true(before && after);
            spec_read_bytes(s, &p.c, before, bytes);
            spec_write_bytes(s, &good, before, bytes);
            memcpy(after, before, bytes);
            after[at * bits / 8 + bit / 8] = (unsigned char)(after[at * bits / 8 + bit / 8] ^ (1 << bit % 8));
            spec_write_bytes(s, &p.c, after, bytes);
            expect_caught(s, &h, &p, (uint64_t)fault, b, i, j);
            spec_ok(s, qmm_compare(s->context, &good, &p.c, &compared));
            spec_expect_int("compared", fault, compared.count, h.batch * h.m * h.n);
            spec_expect_int("mismatches", fault, compared.mismatches, 1);
            spec_expect_int("batch", fault, compared.batch, b);
            spec_expect_int("row", fault, compared.row, i);
            spec_expect_int("col", fault, compared.col, j);
            if (h.c_type == QMM_F32 || h.c_type == QMM_F16 || h.c_type == QMM_BF16) {
                float x[3 * 12 * 12], y[3 * 12 * 12];
                spec_read_reals(s, &good, x);
                spec_read_reals(s, &p.c, y);
                assert_true(same_value(compared.expected, (double)x[at]) && same_value(compared.got, (double)y[at]));
            } else {
                int32_t x[3 * 12 * 12], y[3 * 12 * 12];
                spec_read_codes(s, &good, x);
                spec_read_codes(s, &p.c, y);
                assert_true(same_value(compared.expected, x[at]) && same_value(compared.got, y[at]));
            }
            spec_write_bytes(s, &p.c, before, bytes);
            expect_passed(s, &h, &p, (uint64_t)fault);
            free(before);
            free(after);
        }
        clear(s, &p);
    }
}

/* Several wrong rows are counted, and the first is told. */
static void test_wrong_rows(void **state) {
    spec *s = *state;
    const shape h = { .m = 6, .n = 5, .k = 7, .batch = 3, .a_type = QMM_S8, .b_type = QMM_S8, .c_type = QMM_S32 };
    uint64_t random = 5;
    int32_t c[3 * 6 * 5];
    qmm_verify_result r;
    problem p;
    make(s, &h, &random, &p);
    multiply(s, &p);
    spec_read_codes(s, &p.c, c);
    c[(1 * 6 + 4) * 5 + 2] += 1;
    c[(1 * 6 + 4) * 5 + 3] -= 1; /* the same row, summing to nothing */
    c[(2 * 6 + 0) * 5 + 0] ^= 1;
    c[(2 * 6 + 5) * 5 + 4] ^= 1 << 30;
    spec_write_codes(s, &p.c, c);
    r = verify(s, &p, 9, 3);
    spec_expect_int("passed", 0, r.passed, 0);
    spec_expect_int("wrong rows", 0, r.wrong_rows, 3);
    spec_expect_int("batch", 0, r.batch, 1);
    spec_expect_int("row", 0, r.row, 4);
    clear(s, &p);
}

/* Results of a slightly different problem. */
static void test_systematic_faults(void **state) {
    spec *s = *state;
    static const qmm_type types[] = { QMM_S32, QMM_F32, QMM_F16, QMM_S16 };
    uint64_t random = 6;
    int caught[5] = { 0 };
    for (int n = 0; n < 400; n++) {
        for (int fault = 0; fault < 5; fault++) {
            shape h = { .m = 4,
                        .n = 5,
                        .k = 8,
                        .batch = 1,
                        .a_type = QMM_U8,
                        .b_type = QMM_S8,
                        .c_type = types[n % 4],
                        .transpose_b = n / 4 % 2 != 0,
                        .zeros = true,
                        .group = n / 8 % 2 && n % 4 ? 4 : 0 };
            problem p;
            qmm_compare_result changed = QMM_COMPARE_RESULT_INIT;
            qmm_tensor right;
            make(s, &h, &random, &p);
            right = spec_tensor(s, h.c_type, h.m, h.n, 1);
            spec_ok(s, qmm_matmul(s->context, &p.desc, &p.a, &p.b, &right));
            if (fault == 0 && !h.group) { /* the last step of K is dropped */
                qmm_tensor a = p.a, b = p.b;
                a.cols--;
                if (h.transpose_b)
                    b.cols--;
                else
                    b.rows--;
                spec_ok(s, qmm_matmul(s->context, &p.desc, &a, &b, &p.c));
            } else if (fault == 1 && h.c_type != QMM_S32) { /* two scales of B are swapped */
                float scales[10];
                const int other = h.group && h.transpose_b ? 2 : 1;
                const float kept = (spec_read_reals(s, &p.scale_b, scales), scales[0]);
                scales[0] = scales[other];
                scales[other] = kept;
                spec_write_reals(s, &p.scale_b, scales);
                multiply(s, &p);
                scales[other] = scales[0];
                scales[0] = kept;
                spec_write_reals(s, &p.scale_b, scales);
            } else if (fault == 2) { /* a zero point off by one */
                int32_t zeros[10];
                spec_read_codes(s, &p.zero_b, zeros);
                zeros[3] += zeros[3] > 0 ? -1 : 1;
                spec_write_codes(s, &p.zero_b, zeros);
                multiply(s, &p);
                zeros[3] += zeros[3] >= 0 ? 1 : -1;
                spec_read_codes(s, &p.zero_b, zeros);
                fill_codes(s, &p.zero_b, &random); /* and the right ones are anything else */
                spec_ok(s, qmm_matmul(s->context, &p.desc, &p.a, &p.b, &right));
            } else if (fault == 3) { /* a code of A off by one */
                int32_t codes[32];
                spec_read_codes(s, &p.a, codes);
                codes[11] ^= 1;
                spec_write_codes(s, &p.a, codes);
                multiply(s, &p);
                codes[11] ^= 1;
                spec_write_codes(s, &p.a, codes);
            } else if (fault == 4) { /* two rows of the result are swapped */
                qmm_tensor upper = p.c, rest = p.a;
                multiply(s, &p);
                (void)rest;
                {
                    unsigned char rows[2][5 * 4], bytes = (unsigned char)(5 * qmm_type_bits(h.c_type) / 8);
                    spec_read_bytes(s, &upper, rows[0], bytes);
                    upper.offset += bytes;
                    spec_read_bytes(s, &upper, rows[1], bytes);
                    spec_write_bytes(s, &upper, rows[0], bytes);
                    upper.offset -= bytes;
                    spec_write_bytes(s, &upper, rows[1], bytes);
                }
            } else {
                multiply(s, &p);
            }
            spec_ok(s, qmm_compare(s->context, &right, &p.c, &changed));
            { /* caught exactly if any bit differs */
                const qmm_verify_result r = verify(s, &p, (uint64_t)n, 1);
                spec_expect_int("caught", fault, r.passed != 0, changed.mismatches == 0);
                if (changed.mismatches > 0) {
                    caught[fault]++;
                    spec_expect_int("row", fault, r.row, changed.row);
                    if (h.c_type != QMM_S32) spec_expect_int("col", fault, r.col, changed.col);
                }
            }
            clear(s, &p);
        }
    }
    for (int fault = 0; fault < 5; fault++)
        if (caught[fault] < 150) fail_msg("fault %d changed only %d results", fault, caught[fault]);
}

/* ---- size -------------------------------------------------------------------------------------------------------- */

static void check_large(spec *s, int64_t m, int64_t n, int64_t k, qmm_type c_type) {
    const shape h = { .m = m, .n = n, .k = k, .batch = 1, .a_type = QMM_S8, .b_type = QMM_S8, .c_type = c_type };
    uint64_t random = 33;
    struct timespec start, middle, end;
    unsigned char byte;
    qmm_verify_result r;
    qmm_tensor last;
    problem p;
    make(s, &h, &random, &p);
    timespec_get(&start, TIME_UTC);
    multiply(s, &p);
    timespec_get(&middle, TIME_UTC);
    expect_passed(s, &h, &p, 77);
    timespec_get(&end, TIME_UTC);
    print_message("%d x %d x %d to %s: matmul %.2f s, verified in %.2f s\n", (int)m, (int)n, (int)k,
                  qmm_type_name(c_type),
                  (double)(middle.tv_sec - start.tv_sec) + 1e-9 * (double)(middle.tv_nsec - start.tv_nsec),
                  (double)(end.tv_sec - middle.tv_sec) + 1e-9 * (double)(end.tv_nsec - middle.tv_nsec));
    last = p.c;
    last.offset += (size_t)((m * n - 1) * qmm_type_bits(c_type) / 8);
    spec_read_bytes(s, &last, &byte, 1);
    byte ^= 1;
    spec_write_bytes(s, &last, &byte, 1);
    r = verify(s, &p, 77, 1);
    spec_expect_int("caught", 0, r.passed, 0);
    spec_expect_int("row", 0, r.row, m - 1);
    clear(s, &p);
}

static void test_large(void **state) {
    spec *s = *state;
    check_large(s, 384, 384, 384, QMM_S32);
    check_large(s, 200, 300, 500, QMM_F16);
    check_large(s, 1, 100, 131071, QMM_S32);
    if (!spec_full()) return;
    check_large(s, 2048, 2048, 2048, QMM_S32);
    check_large(s, 2048, 2048, 2048, QMM_F16);
    check_large(s, 1, 8192, 131071, QMM_S32);
}

/* ---- the comparer ------------------------------------------------------------------------------------------------ */

static void test_compare(void **state) {
    spec *s = *state;
    qmm_compare_result r = QMM_COMPARE_RESULT_INIT;
    const qmm_type reals[] = { QMM_F32, QMM_F16, QMM_BF16 };
    const qmm_type codes[] = { QMM_S4, QMM_U4, QMM_S8, QMM_U8, QMM_S16, QMM_U16, QMM_S32 };
    for (int t = 0; t < 3; t++) {
        const float x[] = { 1.0f, NAN, 0.0f, INFINITY, -2.0f, NAN }, y[] = { 1.0f, -NAN, -0.0f, INFINITY, 2.0f, 5.0f };
        const qmm_tensor expected = spec_reals(s, reals[t], 2, 3, x), got = spec_reals(s, reals[t], 2, 3, y);
        spec_ok(s, qmm_compare(s->context, &expected, &got, &r));
        spec_expect_int("count", t, r.count, 6);
        spec_expect_int("NaN is NaN; 0 is not -0", t, r.mismatches, 3);
        spec_expect_int("batch", t, r.batch, 0);
        spec_expect_int("row", t, r.row, 0);
        spec_expect_int("col", t, r.col, 2);
        assert_true(r.expected == 0.0 && !signbit(r.expected) && r.got == 0.0 && signbit(r.got));
        spec_ok(s, qmm_compare(s->context, &expected, &expected, &r));
        spec_expect_int("itself", t, r.mismatches, 0);
        spec_expect_int("itself", t, r.col, -1);
        spec_clear(s);
    }
    for (int t = 0; t < 7; t++) {
        const int32_t x[] = { 1, 2, 3, 4, 5, 6, 7, 0, 1, 2 }, y[] = { 1, 2, 3, 4, 7, 6, 7, 0, 1, 3 };
        const qmm_tensor expected = spec_codes(s, codes[t], 2, 5, x), got = spec_codes(s, codes[t], 2, 5, y);
        spec_ok(s, qmm_compare(s->context, &expected, &got, &r));
        spec_expect_int("mismatches", t, r.mismatches, 2);
        spec_expect_int("row", t, r.row, 0);
        spec_expect_int("col", t, r.col, 4);
        spec_expect_near("expected", r.expected, 5.0, 0.0);
        spec_expect_near("got", r.got, 7.0, 0.0);
        spec_clear(s);
    }
    { /* the ends of s32; the place in a batch; what lies beside a sub-matrix is not compared */
        const int32_t x[] = { 0, 9, INT32_MIN, 9, 1, 9, 2, 9 }, y[] = { 0, 8, INT32_MAX, 8, 1, 8, 2, 8 };
        qmm_tensor expected = spec_codes(s, QMM_S32, 4, 2, x), got = spec_codes(s, QMM_S32, 4, 2, y);
        expected.rows = got.rows = expected.cols = got.cols = 1;
        expected.batch = got.batch = 4;
        expected.batch_stride = got.batch_stride = 2;
        spec_ok(s, qmm_compare(s->context, &expected, &got, &r));
        spec_expect_int("count", 0, r.count, 4);
        spec_expect_int("mismatches", 0, r.mismatches, 1);
        spec_expect_int("batch", 0, r.batch, 1);
        spec_expect_near("expected", r.expected, -2147483648.0, 0.0);
        spec_expect_near("got", r.got, 2147483647.0, 0.0);
        expected.rows = got.rows = 0;
        spec_ok(s, qmm_compare(s->context, &expected, &got, &r));
        spec_expect_int("nothing", 0, r.count + r.mismatches, 0);
    }
}

int main(void) {
#define TEST(function) cmocka_unit_test_setup_teardown(function, spec_open, spec_close)
    const struct CMUnitTest tests[] = {
        TEST(test_right),
        TEST(test_odd_groups_of_nibbles),
        TEST(test_beyond_the_bound),
        TEST(test_empty),
        TEST(test_faults),
        TEST(test_wrong_rows),
        TEST(test_systematic_faults),
        TEST(test_large),
        TEST(test_compare),
    };
    return spec_run(tests);
}
