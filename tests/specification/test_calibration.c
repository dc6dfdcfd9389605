/* SPDX-License-Identifier: Apache-2.0
 *
 * qmm_find_range and the calibrators against implementations of their own: a sort, a brute-force search, a formula. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "specification.h"

enum { COUNT = 20000 };
static float data[COUNT];

static const qmm_range_method methods[] = { QMM_RANGE_MINMAX, QMM_RANGE_PERCENTILE, QMM_RANGE_MSE, QMM_RANGE_ENTROPY };

typedef struct range {
    double min, max;
} range;

static qmm_range_options with(qmm_range_method method, bool symmetric) {
    qmm_range_options o = QMM_RANGE_OPTIONS_INIT;
    o.method = method;
    o.symmetric = symmetric;
    return o;
}

static range find(spec *s, qmm_type type, const float *x, int64_t count, const qmm_range_options *options) {
    range r = { -7.0, -7.0 };
    const qmm_tensor t = spec_reals(s, type, 1, count, x);
    spec_ok(s, qmm_find_range(s->context, &t, options, &r.min, &r.max));
    spec_clear(s);
    return r;
}

static void fill_uniform(uint64_t seed, double low, double high) {
    for (int n = 0; n < COUNT; n++) data[n] = (float)(low + (high - low) * spec_uniform(&seed));
}

static void fill_normal(uint64_t seed, double sigma, double mean) {
    for (int n = 0; n < COUNT; n++) data[n] = (float)(mean + sigma * spec_normal(&seed));
}

/* Student's t of 3 degrees of freedom: most values near 0, few far out. */
static void fill_heavy_tailed(uint64_t seed) {
    for (int n = 0; n < COUNT; n++) {
        double chi = 0.0;
        for (int d = 0; d < 3; d++) {
            const double z = spec_normal(&seed);
            chi += z * z;
        }
        data[n] = (float)(spec_normal(&seed) / sqrt(chi / 3.0));
    }
}

static int ascending(const void *a, const void *b) {
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* A bin's width: the power of two by which 4096 bins hold the largest value. */
static double bin_width(const float *x, int count) {
    double largest = 0.0, width = 0x1p-112;
    for (int n = 0; n < count; n++) largest = fmax(largest, fabs((double)x[n]));
    while (largest >= 4096.0 * width) width *= 2.0;
    return width;
}

/* ---- min and max ------------------------------------------------------------------------------------------------- */

static void test_minmax(void **state) {
    spec *s = *state;
    const float x[] = { NAN, 3.0f, -INFINITY, -1.5f, INFINITY, 2.0f }, positive[] = { 5.0f, 2.0f, 3.0f };
    const float none[] = { NAN, INFINITY, -INFINITY }, far[] = { FLT_MAX, -FLT_MAX, 0x1p-149f };
    const qmm_range_options plain = with(QMM_RANGE_MINMAX, false), symmetric = with(QMM_RANGE_MINMAX, true);
    const qmm_type types[] = { QMM_F32, QMM_F16, QMM_BF16 };
    range r;
    for (int t = 0; t < 3; t++) { /* exact in all three */
        r = find(s, types[t], x, 6, &plain);
        spec_expect_near("min", r.min, -1.5, 0.0);
        spec_expect_near("max", r.max, 3.0, 0.0);
        r = find(s, types[t], x, 6, &symmetric);
        spec_expect_near("symmetric min", r.min, -3.0, 0.0);
        spec_expect_near("symmetric max", r.max, 3.0, 0.0);
    }
    r = find(s, QMM_F32, x, 6, NULL); /* the default: symmetric */
    spec_expect_near("default", r.max, 3.0, 0.0);
    r = find(s, QMM_F32, positive, 3, &plain); /* not widened to 0: that is choose_params' work */
    spec_expect_near("positive min", r.min, 2.0, 0.0);
    spec_expect_near("positive max", r.max, 5.0, 0.0);
    r = find(s, QMM_F32, far, 3, &plain);
    spec_expect_near("-FLT_MAX", r.min, -(double)FLT_MAX, 0.0);
    spec_expect_near("FLT_MAX", r.max, (double)FLT_MAX, 0.0);
    for (int m = 0; m < 4; m++) { /* nothing finite, and nothing at all */
        const qmm_range_options o = with(methods[m], true);
        r = find(s, QMM_F32, none, 3, &o);
        spec_expect_near("nothing finite", fmax(fabs(r.min), fabs(r.max)), 0.0, 0.0);
        r = find(s, QMM_F32, none, 0, &o);
        spec_expect_near("empty", fmax(fabs(r.min), fabs(r.max)), 0.0, 0.0);
    }
}

/* Every method finds what there is to find where there is one value, or all values are 0, tiny or huge. */
static void test_degenerate(void **state) {
    spec *s = *state;
    static const float values[] = { 0.0f, 1.0f, -1.0f, 0x1p-149f, -0x1p-126f, FLT_MAX, -FLT_MAX, 1e-30f, 3.0f };
    float same[50];
    for (size_t v = 0; v < sizeof values / sizeof values[0]; v++) {
        for (int n = 0; n < 50; n++) same[n] = values[v];
        for (int m = 0; m < 4; m++) {
            for (int symmetric = 1; symmetric >= (methods[m] == QMM_RANGE_ENTROPY); symmetric--) {
                const qmm_range_options o = with(methods[m], symmetric != 0);
                const range r = find(s, QMM_F32, same, 50, &o);
                const double size = fabs((double)values[v]);
                if (!(r.min <= r.max && isfinite(r.min) && isfinite(r.max)))
                    fail_msg("method %d, symmetric %d, only %a: %a .. %a", m, symmetric, (double)values[v], r.min,
                             r.max);
                if (symmetric) spec_expect_near("symmetric", r.min, -r.max, 0.0);
                assert_true(r.max <= size && r.min >= -size);
                if (methods[m] == QMM_RANGE_MSE) continue; /* may shrink: below */
                spec_expect_near("one value", fmax(-r.min, r.max), size, 0.0);
            }
        }
    }
}

/* ---- many batches ------------------------------------------------------------------------------------------------ */

static range accumulate(spec *s, const qmm_range_options *o, const float *x, const int *order, const int *cuts,
                        int batches) {
    qmm_calibrator *calibrator = NULL;
    range r;
    spec_ok(s, qmm_calibrator_create(s->context, o, &calibrator));
    for (int i = 0; i < batches; i++) {
        const int b = order[i];
        const qmm_tensor t = spec_reals(s, QMM_F32, 1, cuts[b + 1] - cuts[b], x + cuts[b]);
        spec_ok(s, qmm_calibrator_observe(calibrator, &t));
        spec_clear(s);
    }
    spec_ok(s, qmm_calibrator_range(calibrator, &r.min, &r.max));
    {
        range again; /* may be asked more than once */
        spec_ok(s, qmm_calibrator_range(calibrator, &again.min, &again.max));
        assert_true(again.min == r.min && again.max == r.max);
    }
    qmm_calibrator_free(calibrator);
    return r;
}

/* Many batches, in any order, are one tensor: widths are powers of two, and two bins merged are one bin of twice
 * the width, so even the histograms are the same. The third batch is 40 times, the fifth 3000 times larger than the
 * rest. */
static void test_batches(void **state) {
    spec *s = *state;
    static const int orders[4][6] = {
        { 0, 1, 2, 3, 4, 5 }, { 5, 4, 3, 2, 1, 0 }, { 4, 0, 5, 1, 2, 3 }, { 2, 4, 0, 1, 5, 3 }
    };
    static const int cuts[] = { 0, 100, 5000, 5001, 9000, 9001, COUNT };
    for (int widening = 0; widening < 3; widening++) {
        fill_normal(5, 1.0, 0.2);
        if (widening > 0) data[5000] = -40.0f;
        if (widening > 1) data[9000] = 3000.0f;
        data[50] = NAN;
        data[60] = INFINITY;
        for (int m = 0; m < 4; m++) {
            for (int symmetric = 1; symmetric >= (methods[m] == QMM_RANGE_ENTROPY); symmetric--) {
                const qmm_range_options o = with(methods[m], symmetric != 0);
                const range whole = find(s, QMM_F32, data, COUNT, &o);
                for (int order = 0; order < 4; order++) {
                    const range r = accumulate(s, &o, data, orders[order], cuts, 6);
                    spec_expect_near("min of batches", r.min, whole.min, 0.0);
                    spec_expect_near("max of batches", r.max, whole.max, 0.0);
                }
            }
        }
    }
}

static void test_moving_average(void **state) {
    spec *s = *state;
    static const float x[] = { -1.0f, 2.0f, -3.0f, 4.0f, -5.0f, 1.0f };
    static const int order[] = { 0, 1, 2 }, cuts[] = { 0, 2, 4, 6 };
    qmm_range_options o = with(QMM_RANGE_MINMAX, false);
    range r;
    o.moving_average = 0.25;
    /* min: -1, -1 + (-3 + 1)/4 = -1.5, -1.5 + (-5 + 1.5)/4 = -2.375; max: 2, 2.5, 2.5 - 1.5/4 = 2.125 */
    r = accumulate(s, &o, x, order, cuts, 3);
    spec_expect_near("min", r.min, -2.375, 0.0);
    spec_expect_near("max", r.max, 2.125, 0.0);
    o.symmetric = 1;
    r = accumulate(s, &o, x, order, cuts, 3);
    spec_expect_near("symmetric", r.max, 2.375, 0.0);
    o.symmetric = 0;
    o.moving_average = 1.0; /* only the last batch counts */
    r = accumulate(s, &o, x, order, cuts, 3);
    spec_expect_near("min", r.min, -5.0, 0.0);
    spec_expect_near("max", r.max, 1.0, 0.0);
    { /* a batch without a finite value is no batch */
        static const float with_nothing[] = { -1.0f, 2.0f, NAN, INFINITY, -3.0f, 4.0f };
        o.moving_average = 0.5;
        r = accumulate(s, &o, with_nothing, order, cuts, 3);
        spec_expect_near("min", r.min, -2.0, 0.0);
        spec_expect_near("max", r.max, 3.0, 0.0);
    }
}

/* ---- percentile -------------------------------------------------------------------------------------------------- */

static void test_percentile(void **state) {
    spec *s = *state;
    static const double percentiles[] = { 50.5, 75.0, 90.0, 99.0, 99.9, 99.99, 100.0 };
    static float sorted[COUNT], magnitudes[COUNT];
    for (int shape = 0; shape < 3; shape++) {
        double width;
        if (shape == 0) fill_uniform(1, -1.0, 3.0);
        if (shape == 1) fill_normal(2, 5.0, 1.0);
        if (shape == 2) fill_heavy_tailed(3);
        width = bin_width(data, COUNT);
        memcpy(sorted, data, sizeof data);
        for (int n = 0; n < COUNT; n++) magnitudes[n] = fabsf(data[n]);
        qsort(sorted, COUNT, sizeof(float), ascending);
        qsort(magnitudes, COUNT, sizeof(float), ascending);
        for (int p = 0; p < 7; p++) {
            const double share = percentiles[p] / 100.0;
            /* Between the two values that the share of COUNT falls between. */
            const int at = (int)floor(share * COUNT), low_at = (int)floor((1.0 - share) * COUNT);
            const double above = (double)magnitudes[at < COUNT ? at : COUNT - 1], below = (double)magnitudes[at - 1];
            qmm_range_options o = with(QMM_RANGE_PERCENTILE, true);
            range r;
            o.percentile = percentiles[p];
            r = find(s, QMM_F32, data, COUNT, &o);
            spec_expect_near("symmetric", r.min, -r.max, 0.0);
            if (r.max < below - width || r.max > above + width)
                fail_msg("percentile %g of |x|: %g is not within %g .. %g", percentiles[p], r.max, below, above);
            o.symmetric = 0;
            r = find(s, QMM_F32, data, COUNT, &o);
            if (r.max < (double)sorted[at - 1] - width || r.max > (double)sorted[at < COUNT ? at : COUNT - 1] + width)
                fail_msg("percentile %g: %g", percentiles[p], r.max);
            if (r.min < (double)sorted[low_at > 0 ? low_at - 1 : 0] - width || r.min > (double)sorted[low_at] + width)
                fail_msg("percentile %g from below: %g", percentiles[p], r.min);
            spec_count(3);
            if (percentiles[p] < 100.0) continue;
            spec_expect_near("all of them, min", r.min, (double)sorted[0], 0.0);
            spec_expect_near("all of them, max", r.max, (double)sorted[COUNT - 1], 0.0);
        }
    }
}

/* ---- least mean squared error ------------------------------------------------------------------------------------ */

static double mean_squared_error(range r, qmm_type type, int bits, bool symmetric) {
    int32_t qmin, qmax, zero;
    float scale;
    double sum = 0.0;
    spec_range(type, bits, &qmin, &qmax);
    assert_int_equal(qmm_choose_params(r.min, r.max, type, bits, symmetric, &scale, &zero), QMM_OK);
    for (int n = 0; n < COUNT; n++) {
        const int32_t q = spec_quantize(data[n], scale, zero, qmin, qmax);
        const double error = (double)spec_dequantize(q, zero, scale) - (double)data[n];
        sum += error * error;
    }
    return sum / COUNT;
}

static void check_mse(spec *s, qmm_type type, int bits, bool symmetric, double worth) {
    qmm_range_options o = with(QMM_RANGE_MSE, symmetric);
    const qmm_range_options whole = with(QMM_RANGE_MINMAX, symmetric);
    const range all = find(s, QMM_F32, data, COUNT, &whole);
    double best = INFINITY, whole_error, error;
    range r;
    o.type = type;
    o.bits = bits;
    r = find(s, QMM_F32, data, COUNT, &o);
    whole_error = mean_squared_error(all, type, bits, symmetric);
    error = mean_squared_error(r, type, bits, symmetric);
    for (int step = 400; step > 0; step--) { /* brute force on the data, four times as fine */
        const range tried = { fmin(all.min, 0.0) * step / 400.0, fmax(all.max, 0.0) * step / 400.0 };
        best = fmin(best, mean_squared_error(tried, type, bits, symmetric));
    }
    spec_count(2);
    if (error > whole_error * 1.02) fail_msg("mse %g, of min and max %g", error, whole_error);
    if (error > best * 1.05) fail_msg("mse %g, by brute force %g", error, best);
    if (error > whole_error * worth) fail_msg("mse %g, hoped for less than %g of %g", error, worth, whole_error);
}

static void test_mse(void **state) {
    spec *s = *state;
    fill_heavy_tailed(7);
    check_mse(s, QMM_S8, 0, true, 0.95);
    check_mse(s, QMM_S8, 4, true, 0.5);
    check_mse(s, QMM_S4, 0, true, 0.5);
    check_mse(s, QMM_U8, 0, false, 0.97);
    check_mse(s, QMM_S8, 6, false, 0.8);
    fill_uniform(8, -2.0, 1.0);
    check_mse(s, QMM_S8, 0, false, 1.02);
    check_mse(s, QMM_S8, 0, true, 1.02);
    check_mse(s, QMM_U4, 0, false, 1.02);
    fill_normal(9, 3.0, 0.0);
    check_mse(s, QMM_S8, 4, true, 0.8);
    check_mse(s, QMM_S8, 3, false, 0.8);
}

/* ---- least divergence -------------------------------------------------------------------------------------------- */

static void test_entropy(void **state) {
    spec *s = *state;
    const qmm_range_options o = with(QMM_RANGE_ENTROPY, true);
    range r;
    double largest = 0.0, width;
    int beyond = 0;
    fill_uniform(10, -3.0, 3.0);
    r = find(s, QMM_F32, data, COUNT, &o);
    spec_expect_near("symmetric", r.min, -r.max, 0.0);
    if (r.max < 0.97 * 3.0 || r.max > 3.0) fail_msg("of a uniform distribution to 3, %g is kept", r.max);
    fill_heavy_tailed(11);
    for (int n = 0; n < COUNT; n++) largest = fmax(largest, fabs((double)data[n]));
    width = bin_width(data, COUNT);
    r = find(s, QMM_F32, data, COUNT, &o);
    for (int n = 0; n < COUNT; n++) beyond += fabs((double)data[n]) > r.max;
    /* Clips the tail, but never below as many bins as there are levels. */
    if (r.max > 0.7 * largest) fail_msg("of a heavy tail to %g, %g is kept", largest, r.max);
    if (r.max < 128.0 * width) fail_msg("%g is less than the 128 levels' bins of %g", r.max, width);
    if (beyond > COUNT / 10) fail_msg("%d of %d values are cut", beyond, COUNT);
    { /* one lonely outlier is cut off altogether */
        fill_normal(12, 1.0, 0.0);
        data[77] = 100.0f;
        r = find(s, QMM_F32, data, COUNT, &o);
        if (r.max > 20.0 || r.max < 2.0) fail_msg("an outlier of 100 beside a normal distribution: %g", r.max);
    }
    spec_count(6);
}

/* ---- input ------------------------------------------------------------------------------------------------------- */

/* f16 and bf16 are the floats they stand for; rows, batches and strides are walked through; NaN and Inf are passed
 * over. */
static void test_input(void **state) {
    spec *s = *state;
    const qmm_type types[] = { QMM_F16, QMM_BF16 };
    static float rounded[COUNT], padded[COUNT + COUNT / 4];
    fill_normal(13, 2.0, 1.0);
    for (int m = 0; m < 4; m++) {
        const qmm_range_options o = with(methods[m], true);
        range plain, other;
        for (int t = 0; t < 2; t++) {
            for (int n = 0; n < COUNT; n++) rounded[n] = spec_round(types[t], (double)data[n]);
            plain = find(s, QMM_F32, rounded, COUNT, &o);
            other = find(s, types[t], rounded, COUNT, &o);
            spec_expect_near("half precision", other.max, plain.max, 0.0);
        }
        plain = find(s, QMM_F32, data, COUNT, &o);
        for (int n = 0; n < COUNT + COUNT / 4; n++) /* four of five columns; the fifth is huge */
            padded[n] = n % 5 == 4 ? 1e30f : data[n / 5 * 4 + n % 5];
        {
            qmm_tensor t = spec_reals(s, QMM_F32, COUNT / 4, 5, padded);
            t.rows = COUNT / 16; /* in a batch of four */
            t.cols = 4;
            t.batch = 4;
            t.batch_stride = COUNT / 16 * 5;
            spec_ok(s, qmm_find_range(s->context, &t, &o, &other.min, &other.max));
            spec_expect_near("strides and batch", other.max, plain.max, 0.0);
            spec_clear(s);
        }
        memcpy(rounded, data, sizeof data);
        for (int n = 0; n < COUNT; n += 10) rounded[n] = n % 3 == 0 ? NAN : n % 3 == 1 ? INFINITY : -INFINITY;
        other = find(s, QMM_F32, rounded, COUNT, &o);
        {
            int kept = 0;
            for (int n = 0; n < COUNT; n++)
                if (isfinite(rounded[n])) rounded[kept++] = rounded[n];
            plain = find(s, QMM_F32, rounded, kept, &o);
            spec_expect_near("non-finite values", other.max, plain.max, 0.0);
        }
    }
}

int main(void) {
#define TEST(function) cmocka_unit_test_setup_teardown(function, spec_open, spec_close)
    const struct CMUnitTest tests[] = {
        TEST(test_minmax),     TEST(test_degenerate), TEST(test_batches), TEST(test_moving_average),
        TEST(test_percentile), TEST(test_mse),        TEST(test_entropy), TEST(test_input),
    };
    return spec_run(tests);
}
