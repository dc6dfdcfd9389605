/* SPDX-License-Identifier: Apache-2.0
 *
 * qmm_measure_error: the quantities against double, and the order of summation, bit for bit, against the tree as the
 * head of host/cpu/measure_error.c describes it, written here from that text alone. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "specification.h"

/* ---- the tree ---------------------------------------------------------------------------------------------------- */

enum { BLOCK = 4096, LANES = 256 };

/* The sum of at most 4096 terms: lanes, then halves. */
static float block_sum(const float *terms, int64_t count) {
    float lanes[LANES];
    for (int l = 0; l < LANES; l++) {
        lanes[l] = 0.0f;
        for (int64_t n = l; n < BLOCK; n += LANES) lanes[l] = lanes[l] + (n < count ? terms[n] : 0.0f);
    }
    for (int half = LANES / 2; half >= 1; half /= 2)
        for (int l = 0; l < half; l++) lanes[l] = lanes[l] + lanes[l + half];
    return lanes[0];
}

/* Sums of blocks become the terms of the next level, in place, until one is left. */
static float tree_sum(float *terms, int64_t count) {
    do {
        const int64_t blocks = (count + BLOCK - 1) / BLOCK;
        for (int64_t b = 0; b < blocks; b++)
            terms[b] = block_sum(terms + b * BLOCK, count - b * BLOCK < BLOCK ? count - b * BLOCK : BLOCK);
        count = blocks;
    } while (count > 1);
    return terms[0];
}

/* Pair n of a test: any function of n. */
typedef struct pair {
    float reference, got;
} pair;

typedef struct sums {
    float error, reference, got, product, max_error;
    double exact_error, exact_reference, exact_got, exact_product;
    int64_t count, skipped;
} sums;

static sums independent_sums(const float *r, const float *g, int64_t rows, int64_t cols, int64_t batch, bool repeated) {
    const int64_t count = batch * rows * cols;
    float *terms[4];
    sums s = { 0 };
    for (int t = 0; t < 4; t++) {
        terms[t] = malloc((size_t)count * sizeof(float));
        assert_non_null(terms[t]);
    }
    for (int64_t n = 0; n < count; n++) {
        const int64_t at = repeated ? n % (rows * cols) : n;
        pair p = { r[at], g[at] };
        float e;
        if (isfinite(p.reference) && isfinite(p.got)) {
            s.count++;
        } else {
            s.skipped++;
            p.reference = p.got = 0.0f;
        }
        e = p.got - p.reference;
        s.max_error = fmaxf(s.max_error, fabsf(e));
        terms[0][n] = e * e;
        terms[1][n] = p.reference * p.reference;
        terms[2][n] = p.got * p.got;
        terms[3][n] = p.reference * p.got;
        s.exact_error += ((double)p.got - (double)p.reference) * ((double)p.got - (double)p.reference);
        s.exact_reference += (double)p.reference * (double)p.reference;
        s.exact_got += (double)p.got * (double)p.got;
        s.exact_product += (double)p.reference * (double)p.got;
    }
    s.error = tree_sum(terms[0], count);
    s.reference = tree_sum(terms[1], count);
    s.got = tree_sum(terms[2], count);
    s.product = tree_sum(terms[3], count);
    for (int t = 0; t < 4; t++) free(terms[t]);
    return s;
}

static void check_measure(const qmm_error_measure *m, const sums *s) {
    spec_expect_int("count", 0, m->count, s->count);
    spec_expect_int("skipped", 0, m->skipped, s->skipped);
    spec_expect_bits("max error", 0, (float)m->max_error, s->max_error);
    /* mse is the float sum over the count, in double: times the count, it is the float again. */
    spec_expect_bits("sum of squared errors", 0, (float)(m->mse * (double)m->count), s->error);
    spec_expect_near("sqnr of the float sums", m->sqnr_db, 10.0 * log10((double)s->reference / (double)s->error),
                     1e-11);
    spec_expect_near("cosine of the float sums", m->cosine,
                     (double)s->product / sqrt((double)s->reference) / sqrt((double)s->got), 1e-14);
    spec_expect_near("mse", m->mse, s->exact_error / (double)s->count, 1e-5 * s->exact_error / (double)s->count);
    spec_expect_near("sqnr", m->sqnr_db, 10.0 * log10(s->exact_reference / s->exact_error), 1e-4); /* 1e-5 of a ratio */
    spec_expect_near("cosine", m->cosine, s->exact_product / sqrt(s->exact_reference * s->exact_got), 1e-5);
}

static void check_shape(spec *s, int64_t rows, int64_t cols, int64_t batch, qmm_type reference_type, qmm_type got_type,
                        bool specials) {
    const int64_t count = rows * cols * batch;
    float *r = malloc((size_t)count * sizeof *r), *g = malloc((size_t)count * sizeof *g);
    uint64_t random = (uint64_t)count;
    qmm_error_measure measure = QMM_ERROR_MEASURE_INIT;
    qmm_tensor reference = spec_tensor(s, reference_type, rows, cols, batch),
               got = spec_tensor(s, got_type, rows, cols, batch);
    sums expected;
    assert_true(r && g);
    for (int64_t n = 0; n < count; n++) {
        const double x = spec_normal(&random);
        r[n] = spec_round(reference_type, x);
        g[n] = spec_round(got_type, x + 0.01 * spec_normal(&random));
        if (!specials) continue;
        if (n % 11 == 3) r[n] = n % 2 ? NAN : INFINITY;
        if (n % 13 == 5) g[n] = n % 2 ? -INFINITY : NAN;
    }
    spec_write_reals(s, &reference, r);
    spec_write_reals(s, &got, g);
    expected = independent_sums(r, g, rows, cols, batch, false);
    spec_ok(s, qmm_measure_error(s->context, &reference, &got, &measure));
    check_measure(&measure, &expected);
    free(r);
    free(g);
    spec_clear(s);
}

static void test_sizes(void **state) {
    static const int64_t sizes[] = {
        1, 2, 255, 256, 257, 4095, 4096, 4097, 5000, 8191, 8192, 8193, 3 * 4096 + 1, 100003
    };
    spec *s = *state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        check_shape(s, 1, sizes[i], 1, QMM_F32, QMM_F32, false);
        check_shape(s, sizes[i], 1, 1, QMM_F32, QMM_F16, false);
        if (sizes[i] > 20) check_shape(s, 1, sizes[i], 1, QMM_BF16, QMM_F32, true);
    }
    check_shape(s, 17, 31, 5, QMM_F32, QMM_F32, true); /* pairs are numbered through rows and batch */
    check_shape(s, 70, 64, 3, QMM_F16, QMM_BF16, false);
}

/* Many pairs from few: a batch stride of 0 repeats one matrix. */
static void check_repeated(spec *s, int64_t rows, int64_t cols, int64_t batch) {
    const int64_t each = rows * cols;
    float *r = malloc((size_t)each * sizeof *r), *g = malloc((size_t)each * sizeof *g);
    uint64_t random = (uint64_t)each;
    qmm_error_measure measure = QMM_ERROR_MEASURE_INIT;
    qmm_tensor reference = spec_tensor(s, QMM_F32, rows, cols, 1), got = spec_tensor(s, QMM_F32, rows, cols, 1);
    sums expected;
    assert_true(r && g);
    for (int64_t n = 0; n < each; n++) {
        r[n] = (float)spec_normal(&random);
        g[n] = r[n] + (float)(0.01 * spec_normal(&random));
    }
    spec_write_reals(s, &reference, r);
    spec_write_reals(s, &got, g);
    reference.batch = got.batch = batch;
    reference.batch_stride = got.batch_stride = 0;
    expected = independent_sums(r, g, rows, cols, batch, true);
    spec_ok(s, qmm_measure_error(s->context, &reference, &got, &measure));
    check_measure(&measure, &expected);
    free(r);
    free(g);
    spec_clear(s);
}

/* Where the third level begins: 4096 blocks of 4096. */
static void test_third_level(void **state) {
    spec *s = *state;
    check_repeated(s, 1, 4095, 4097); /* 4096^2 - 1: the last block is open, and it is the 4096th */
    if (!spec_full()) return;
    check_repeated(s, 1, 4096, 4096); /* 4096^2 */
    check_repeated(s, 1, 257, 65281); /* 4096^2 + 1 */
    check_repeated(s, 1, 4096, 4095); /* 4095 whole blocks */
    check_repeated(s, 1, 5000, 4096);
    check_repeated(s, 1, 4099, 8200); /* two blocks of the third level */
}

static void test_third_level_entered(void **state) {
    check_repeated(*state, 1, 257, 65281); /* 4096^2 + 1 */
}

/* ---- limits ------------------------------------------------------------------------------------------------------ */

static qmm_error_measure measure_row(spec *s, const float *r, const float *g, int64_t count) {
    qmm_error_measure m = QMM_ERROR_MEASURE_INIT;
    const qmm_tensor reference = spec_reals(s, QMM_F32, 1, count, r), got = spec_reals(s, QMM_F32, 1, count, g);
    spec_ok(s, qmm_measure_error(s->context, &reference, &got, &m));
    spec_clear(s);
    return m;
}

static void test_by_hand(void **state) {
    spec *s = *state;
    const float r[] = { 3.0f, 4.0f, NAN, 0.0f, 1.0f }, g[] = { 3.0f, 6.0f, 1.0f, INFINITY, -1.0f };
    /* errors 0 2 - - -2: squares 8; reference 9 + 16 + 1 = 26; got 9 + 36 + 1 = 46; product 9 + 24 - 1 = 32 */
    qmm_error_measure m = measure_row(s, r, g, 5);
    spec_expect_int("count", 0, m.count, 3);
    spec_expect_int("skipped", 0, m.skipped, 2);
    spec_expect_near("mse", m.mse, 8.0 / 3.0, 1e-15);
    spec_expect_near("max error", m.max_error, 2.0, 0.0);
    spec_expect_near("sqnr", m.sqnr_db, 10.0 * log10(26.0 / 8.0), 1e-13);
    spec_expect_near("cosine", m.cosine, 32.0 / sqrt(26.0 * 46.0), 1e-15);
}

static void test_limits(void **state) {
    spec *s = *state;
    const float x[] = { 1.0f, -2.0f, 3.0f }, zeros[] = { 0.0f, -0.0f, 0.0f }, minus[] = { -1.0f, 2.0f, -3.0f };
    const float lost[] = { NAN, INFINITY, -INFINITY };
    qmm_error_measure m = measure_row(s, x, x, 3);
    spec_expect_near("equal: mse", m.mse, 0.0, 0.0);
    spec_expect_near("equal: max error", m.max_error, 0.0, 0.0);
    assert_true(isinf(m.sqnr_db) && m.sqnr_db > 0.0);
    spec_expect_near("equal: cosine", m.cosine, 1.0, 1e-15);
    m = measure_row(s, zeros, zeros, 3);
    assert_true(isinf(m.sqnr_db) && m.sqnr_db > 0.0);
    spec_expect_near("zeros: cosine", m.cosine, 1.0, 0.0);
    spec_expect_int("zeros: count", 0, m.count, 3);
    m = measure_row(s, x, minus, 3);
    spec_expect_near("opposite: cosine", m.cosine, -1.0, 1e-15);
    spec_expect_near("opposite: sqnr of 14 / 56", m.sqnr_db, 10.0 * log10(0.25), 1e-13);
    m = measure_row(s, x, zeros, 3);
    spec_expect_near("zeros for x: sqnr", m.sqnr_db, 0.0, 0.0);
    spec_expect_near("zeros for x: cosine", m.cosine, 0.0, 0.0);
    m = measure_row(s, zeros, x, 3);
    assert_true(isinf(m.sqnr_db) && m.sqnr_db < 0.0);
    m = measure_row(s, lost, x, 3);
    spec_expect_int("all lost: count", 0, m.count, 0);
    spec_expect_int("all lost: skipped", 0, m.skipped, 3);
    spec_expect_near("all lost: mse", m.mse, 0.0, 0.0);
    m = measure_row(s, x, x, 0);
    spec_expect_int("empty", 0, m.count + m.skipped, 0);
    spec_expect_near("empty: mse", m.mse, 0.0, 0.0);
    {
        const float big[] = { FLT_MAX }, small[] = { -FLT_MAX };
        const float tiny[] = { 1e-30f }, opposite[] = { -1e-30f };
        m = measure_row(s, big, small, 1); /* the difference is beyond float, and its square beyond that */
        spec_expect_near("largest: max_error", m.max_error, 2.0 * (double)FLT_MAX, 0.0);
        spec_expect_near("largest: mse", m.mse / (4.0 * (double)FLT_MAX * (double)FLT_MAX), 1.0, 1e-6);
        spec_expect_near("largest: cosine", m.cosine, -1.0, 1e-6);
        spec_expect_near("largest: sqnr", m.sqnr_db, 10.0 * log10(0.25), 1e-6);
        spec_expect_int("largest: count", 0, m.count, 1);
        m = measure_row(s, tiny, opposite, 1); /* whose squares float cannot hold */
        spec_expect_near("tiny: mse", m.mse / 4e-60, 1.0, 1e-6);
        spec_expect_near("tiny: cosine", m.cosine, -1.0, 1e-6);
    }
}

/* A sub-matrix: what lies beside it is not measured. */
static void test_sub_matrix(void **state) {
    spec *s = *state;
    const float r[] = { 1.0f, 2.0f, 99.0f, 3.0f, 4.0f, 99.0f }, g[] = { 77.0f, 1.0f, 2.5f, 77.0f, 3.0f, 4.0f };
    qmm_error_measure m = QMM_ERROR_MEASURE_INIT;
    qmm_tensor reference = spec_reals(s, QMM_F32, 2, 3, r), got = spec_reals(s, QMM_F32, 2, 3, g);
    reference.cols = got.cols = 2;
    got.offset += sizeof(float);
    spec_ok(s, qmm_measure_error(s->context, &reference, &got, &m));
    spec_expect_int("count", 0, m.count, 4);
    spec_expect_near("mse", m.mse, 0.25 / 4.0, 0.0);
}

int main(void) {
#define TEST(function) cmocka_unit_test_setup_teardown(function, spec_open, spec_close)
    const struct CMUnitTest tests[] = {
        TEST(test_sizes),  TEST(test_third_level_entered), TEST(test_third_level), TEST(test_by_hand),
        TEST(test_limits), TEST(test_sub_matrix),
    };
    return spec_run(tests);
}
