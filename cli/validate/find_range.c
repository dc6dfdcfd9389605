/* SPDX-License-Identifier: Apache-2.0
 *
 * find_range. MINMAX is compared exactly. The others choose among candidates by sums of doubles, so what is checked is
 * what makes a range right:
 *
 *     PERCENTILE  the share of values inside it is as asked, to one bin
 *     MSE         it is the full range in whole percent, and no other percent has a smaller error
 *     ENTROPY     it is a number of bins, and no other number has a smaller divergence
 *
 * on a histogram of 4096 bins a side, as wide as the smallest power of two that holds every value. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "descriptor.h"
#include "generate.h"
#include "oracle.h"

enum { X = 0, MIN = 0, MAX = 1, HALF = 4096 };

static const double CLOSE = 1e-9; /* of sums of doubles in another order */

static void generate(validate_case *c) {
    static const qmm_type types[] = { QMM_F32, QMM_F16, QMM_BF16 },
                          codes[] = { QMM_S8, QMM_U8, QMM_S4, QMM_U4, QMM_S16 };
    static const double percentiles[] = { 99.99, 99.0, 100.0, 90.0, 50.5 };
    validate_measure *p = &c->as.measure;
    validate_random *r = &c->random;
    p->options = (qmm_range_options)QMM_RANGE_OPTIONS_INIT;
    p->options.method = (qmm_range_method)validate_between(r, QMM_RANGE_MINMAX, QMM_RANGE_MSE);
    if (validate_one_in(r, 40)) p->options.method = QMM_RANGE_ENTROPY; /* it looks at 4,000 ranges: half a second */
    p->options.symmetric = p->options.method == QMM_RANGE_ENTROPY || validate_one_in(r, 2);
    p->options.type = VALIDATE_PICK(r, codes);
    if (p->options.method == QMM_RANGE_ENTROPY) p->options.type = QMM_S8;
    p->options.percentile = VALIDATE_PICK(r, percentiles);
    p->batch = validate_one_in(r, 4) ? validate_between(r, 2, 3) : 1;
    do {
        p->rows = validate_pick_size(r);
        p->cols = validate_pick_size(r);
    } while (p->rows * p->cols * p->batch > 16384);
    if (c->performance_shape >= 0) {
        p->options.method = (qmm_range_method)c->performance_shape;
        p->batch = 1;
        p->rows = p->cols = 2048;
    }
    p->fill = c->performance_shape >= 0 ? 0 : (int)validate_between(r, VALIDATE_NORMAL, VALIDATE_PATTERNS);
    validate_add_tensor(c, "x", c->performance_shape >= 0 ? QMM_F32 : VALIDATE_PICK(r, types), p->rows, p->cols,
                        p->batch, VALIDATE_INPUT);
    validate_fill_reals(c, X, (validate_real_fill)p->fill, NULL);
    c->operations = (double)p->rows * (double)p->cols * (double)p->batch;
    c->bytes_moved = c->operations * qmm_type_bits(c->tensors[X].type) / 8.0;
    c->value_names[MIN] = "min";
    c->value_names[MAX] = "max";
    c->value_count = 2;
}

/* ---- the data as the judge sees it ------------------------------------------------------------------------------ */

typedef struct data {
    int64_t count;
    double min, max, width;
    double *values;
    double bins[2 * HALF];
} data;

static data *gather(const validate_case *c) {
    const validate_measure *p = &c->as.measure;
    const validate_tensor *x = &c->tensors[X];
    data *d = calloc(1, sizeof *d);
    if (!d) abort(); /* as in case.c */
    d->values = malloc((size_t)(p->rows * p->cols * p->batch + 1) * sizeof *d->values);
    if (!d->values) abort();
    for (int64_t b = 0; b < p->batch; b++)
        for (int64_t i = 0; i < p->rows; i++)
            for (int64_t j = 0; j < p->cols; j++) {
                const double value = validate_load(x, x->before, b, i, j);
                if (!isfinite(value)) continue;
                d->min = d->count ? fmin(d->min, value) : value;
                d->max = d->count ? fmax(d->max, value) : value;
                d->values[d->count++] = value;
            }
    d->width = 0x1p-112;
    while (fmax(-d->min, d->max) >= d->width * HALF) d->width *= 2.0;
    for (int64_t n = 0; n < d->count; n++) {
        const double place = floor(fabs(d->values[n]) / d->width);
        d->bins[d->values[n] >= 0.0 ? HALF + (int)place : HALF - 1 - (int)place] += 1.0;
    }
    return d;
}

static void release(data *d) {
    free(d->values);
    free(d);
}

static void expect(validate_case *c) {
    data *d = gather(c);
    const double largest = fmax(-d->min, d->max);
    c->want_values[MIN] = c->as.measure.options.symmetric ? -largest : d->min;
    c->want_values[MAX] = c->as.measure.options.symmetric ? largest : d->max;
    release(d);
}

/* ---- judges ------------------------------------------------------------------------------------------------------ */

/* Values up to `limit`, or of at most that size. */
static double count_up_to(const data *d, double limit, bool magnitude) {
    double count = 0.0;
    for (int64_t n = 0; n < d->count; n++) count += (magnitude ? fabs(d->values[n]) : d->values[n]) <= limit;
    return count;
}

/* A quantile may be anywhere in the bin in which the count reaches `wanted`. */
static bool is_quantile(const data *d, double place, double wanted, bool magnitude) {
    return count_up_to(d, place + d->width, magnitude) >= wanted - CLOSE * wanted - 1e-6 &&
           count_up_to(d, place - d->width, magnitude) <= wanted + CLOSE * wanted + 1e-6;
}

static void judge_percentile(const qmm_range_options *o, const data *d, const double *got, char *text, size_t bytes) {
    const double share = o->percentile / 100.0, n = (double)d->count;
    if (o->symmetric) {
        if (got[MAX] > fmax(-d->min, d->max) || !is_quantile(d, got[MAX], share * n, true))
            validate_append(text, bytes, "max %.9g is no %.4g percentile of the magnitudes", got[MAX], o->percentile);
        return;
    }
    if (got[MIN] < d->min || got[MAX] > d->max || !is_quantile(d, got[MIN], (1.0 - share) * n, false) ||
        !is_quantile(d, got[MAX], share * n, false))
        validate_append(text, bytes, "%.9g to %.9g are no %.4g percentiles", got[MIN], got[MAX], o->percentile);
}

/* Squared error of the bins' middles with a range, the scale as qmm_choose_params gives it: rounded to float, at least
 * 2^-126. */
static double squared_error(const qmm_range_options *o, const data *d, double min, double max) {
    int32_t qmin, qmax;
    double scale, zero = 0.0, sum = 0.0;
    validate_code_range(o->type, o->bits, &qmin, &qmax);
    scale = o->symmetric ? fmax(-min, max) / qmax : (max - min) / ((double)qmax - qmin);
    zero = o->symmetric ? 0.0 : fmin(fmax(rint(qmin - min / scale), qmin), qmax);
    scale = scale < 0x1p-126 ? 0x1p-126 : oracle_f32(scale);
    for (int i = 0; i < 2 * HALF; i++) {
        const double x = (i - HALF + 0.5) * d->width, code = fmin(fmax(rint(x / scale) + zero, qmin), qmax);
        if (d->bins[i] > 0.0) sum += d->bins[i] * pow(x - (code - zero) * scale, 2.0);
    }
    return sum;
}

static void judge_mse(const qmm_range_options *o, const data *d, const double *got, char *text, size_t bytes) {
    const double largest = fmax(-d->min, d->max);
    const double min = o->symmetric ? -largest : fmin(d->min, 0.0), max = o->symmetric ? largest : fmax(d->max, 0.0);
    double best = INFINITY, chosen = INFINITY;
    int best_percent = 0;
    if (min == 0.0 && max == 0.0) { /* every range is as good */
        if (got[MIN] != 0.0 || got[MAX] != 0.0) validate_append(text, bytes, "a range other than 0 for zeros");
        return;
    }
    for (int percent = 1; percent <= 100; percent++) {
        const double error = squared_error(o, d, min * percent / 100.0, max * percent / 100.0);
        if (error <= best) best = error, best_percent = percent;
        if (got[MIN] == min * percent / 100.0 && got[MAX] == max * percent / 100.0) chosen = error;
    }
    if (chosen > best * (1.0 + CLOSE))
        validate_append(text, bytes, "%.9g to %.9g has squared error %.9g, but %d %% of the range has %.9g", got[MIN],
                        got[MAX], chosen, best_percent, best);
}

/* Kullback-Leibler divergence of the magnitudes clipped at `bins`, and the same in `levels` levels. */
static double divergence(const double *counts, int bins, int levels) {
    double inside = 0.0, all = 0.0, sum = 0.0;
    for (int i = 0; i < HALF; i++) all += counts[i];
    for (int i = 0; i < bins; i++) inside += counts[i];
    for (int level = 0; level < levels; level++) {
        const int begin = (int)((int64_t)level * bins / levels), end = (int)((int64_t)(level + 1) * bins / levels);
        double mass = 0.0, used = 0.0;
        for (int i = begin; i < end; i++) mass += counts[i], used += counts[i] > 0.0;
        for (int i = begin; i < end; i++) {
            const double p = (counts[i] + (i == bins - 1 ? all - inside : 0.0)) / all;
            const double q = counts[i] > 0.0 ? mass / used / inside : 0.0;
            if (p > 0.0) sum += p * log(p / fmax(q, 1e-12));
        }
    }
    return sum;
}

static void judge_entropy(const qmm_range_options *o, const data *d, const double *got, char *text, size_t bytes) {
    const double largest = fmax(-d->min, d->max);
    double counts[HALF], best = INFINITY, chosen = INFINITY;
    int32_t qmin, qmax;
    int used = HALF, levels;
    validate_code_range(o->type, o->bits, &qmin, &qmax);
    levels = qmax + 1 < HALF ? qmax + 1 : HALF;
    for (int i = 0; i < HALF; i++) counts[i] = d->bins[HALF + i] + d->bins[HALF - 1 - i];
    while (used > 1 && counts[used - 1] == 0.0) used--;
    for (int bins = levels; bins <= used; bins++) {
        const double x = divergence(counts, bins, levels);
        best = fmin(best, x);
        if (got[MAX] == fmin(d->width * bins, largest)) chosen = fmin(chosen, x);
    }
    if (used < levels && got[MAX] == fmin(d->width * used, largest)) return;
    if (chosen > best + CLOSE * fabs(best) + 1e-12)
        validate_append(text, bytes, "max %.9g has divergence %.9g, but the least is %.9g", got[MAX], chosen, best);
}

static void judge(const validate_case *c, const validate_execution *e, char *text, size_t bytes) {
    const qmm_range_options *o = &c->as.measure.options;
    const double *got = e->values;
    data *d = gather(c);
    if (d->count == 0 || o->method == QMM_RANGE_MINMAX) {
        if (got[MIN] != c->want_values[MIN] || got[MAX] != c->want_values[MAX])
            validate_append(text, bytes, "expected %.9g to %.9g, got %.9g to %.9g", c->want_values[MIN],
                            c->want_values[MAX], got[MIN], got[MAX]);
    } else if (o->symmetric && got[MIN] != -got[MAX]) {
        validate_append(text, bytes, "min %.9g is not -max, -%.9g", got[MIN], got[MAX]);
    } else if (o->method == QMM_RANGE_PERCENTILE) {
        judge_percentile(o, d, got, text, bytes);
    } else if (o->method == QMM_RANGE_MSE) {
        judge_mse(o, d, got, text, bytes);
    } else {
        judge_entropy(o, d, got, text, bytes);
    }
    release(d);
}

/* ---- the call ---------------------------------------------------------------------------------------------------- */

static qmm_status run(const validate_case *c, validate_execution *e) {
    const qmm_tensor x = validate_on_device(c, e, X);
    return qmm_find_range(e->context, &x, &c->as.measure.options, &e->values[MIN], &e->values[MAX]);
}

static void describe(const validate_case *c, char *text, size_t bytes) {
    static const char *const methods[] = { "minmax", "percentile", "mse", "entropy" };
    const validate_measure *p = &c->as.measure;
    validate_append(text, bytes, "%" PRId64 " x %" PRId64 " batch %" PRId64 " %s, %s %g %s for %s, fill %d", p->rows,
                    p->cols, p->batch, qmm_type_name(c->tensors[X].type), methods[p->options.method],
                    p->options.percentile, p->options.symmetric ? "symmetric" : "asymmetric",
                    qmm_type_name(p->options.type), p->fill);
}

const validate_descriptor validate_find_range = {
    .name = "find_range",
    .kernel_operation = NULL,
    .quick_cases = 400,
    .full_cases = 5000,
    .performance_shapes = 3,
    .performance_unit = "GB/s",
    .generate = generate,
    .expect = expect,
    .run = run,
    .describe = describe,
    .judge = judge,
};
