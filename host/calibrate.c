/* SPDX-License-Identifier: Apache-2.0
 *
 * Ranges for calibration, of one tensor or of many batches. The device counts (find_minmax, histogram); the choice is
 * made here, in double, from the counts, so it is the same for every device.
 *
 * The histogram has 2 x 4096 bins whose width is a power of two. When a batch brings a larger value the width doubles
 * and neighbouring bins merge, which loses no count. */
#include <math.h>
#include <string.h>

#include "context.h"
#include "type.h"
#include "validate.h"

enum { HALF = QMMI_HISTOGRAM_HALF, BINS = QMMI_HISTOGRAM_BINS, EXPONENT_MIN = -112 };

struct qmm_calibrator {
    qmmi_object object;
    qmm_range_options options;
    int64_t batches; /* with a finite value */
    double min, max; /* of finite values; 0 <= ... is not implied */
    int exponent;    /* of the bins' width */
    uint64_t total;
    uint64_t bins[BINS];
};

/* ---- observing --------------------------------------------------------------------------------------------------- */

/* The smallest width that holds `largest`, never a narrower one than `exponent`. */
static int width_exponent(double largest, int exponent) {
    int e = exponent;
    while (largest >= ldexp(HALF, e)) e++;
    return e;
}

/* Doubles the width until it is 2^exponent: bins 2i and 2i + 1, counted from 0 outwards, become bin i. */
static void merge_bins(qmm_calibrator *c, int exponent) {
    for (; c->exponent < exponent && c->total > 0; c->exponent++) {
        for (int i = 0; i < HALF / 2; i++) {
            c->bins[HALF + i] = c->bins[HALF + 2 * i] + c->bins[HALF + 2 * i + 1];
            c->bins[HALF - 1 - i] = c->bins[HALF - 1 - 2 * i] + c->bins[HALF - 2 - 2 * i];
        }
        memset(&c->bins[HALF + HALF / 2], 0, HALF / 2 * sizeof c->bins[0]);
        memset(&c->bins[0], 0, HALF / 2 * sizeof c->bins[0]);
    }
    c->exponent = exponent;
}

static void observe_minmax(qmm_calibrator *c, double min, double max) {
    const double weight = c->options.moving_average;
    if (c->batches == 0) {
        c->min = min;
        c->max = max;
    } else if (weight > 0.0) {
        c->min = c->min + weight * (min - c->min);
        c->max = c->max + weight * (max - c->max);
    } else {
        c->min = fmin(c->min, min);
        c->max = fmax(c->max, max);
    }
    c->batches++;
}

static qmm_status observe(qmm_context *context, qmm_calibrator *c, const qmmi_view *x) {
    int64_t count = 0;
    float min = 0.0f, max = 0.0f;
    if (x->rows > 0 && x->cols > 0) QMMI_TRY(context->backend->find_minmax(context, x, &count, &min, &max));
    if (count == 0) return QMM_OK;
    if (c->options.method != QMM_RANGE_MINMAX) {
        merge_bins(c, width_exponent(fmax(-(double)min, (double)max), c->exponent));
        QMMI_TRY(context->backend->histogram(context, x, c->exponent, c->bins));
        c->total += (uint64_t)count;
    }
    observe_minmax(c, (double)min, (double)max);
    return QMM_OK;
}

/* ---- percentile -------------------------------------------------------------------------------------------------- */

static double bin_width(const qmm_calibrator *c) {
    return ldexp(1.0, c->exponent);
}

/* The value below which `share` of the counts lie; count(i) is bin i's, edge(i) its lower edge. */
static double quantile(const uint64_t *counts, int bins, double first_edge, double width, uint64_t total,
                       double share) {
    const double wanted = share * (double)total;
    double seen = 0.0;
    for (int i = 0; i < bins; i++) {
        const double here = (double)counts[i];
        if (here > 0.0 && seen + here >= wanted)
            return first_edge + width * (i + fmax(wanted - seen, 0.0) / here);
        seen += here;
    }
    return first_edge + width * bins;
}

/* Counts of |x| by bin. */
static void fold(const qmm_calibrator *c, uint64_t *magnitudes) {
    for (int i = 0; i < HALF; i++) magnitudes[i] = c->bins[HALF + i] + c->bins[HALF - 1 - i];
}

static double within(double value, double min, double max) {
    return fmin(fmax(value, min), max);
}

static void percentile_range(const qmm_calibrator *c, const uint64_t *magnitudes, double *min, double *max) {
    const double share = c->options.percentile / 100.0, width = bin_width(c);
    if (c->options.symmetric) {
        *max = fmin(quantile(magnitudes, HALF, 0.0, width, c->total, share), fmax(-c->min, c->max));
        *min = -*max;
        return;
    }
    *min = within(quantile(c->bins, BINS, -width * HALF, width, c->total, 1.0 - share), c->min, c->max);
    *max = within(quantile(c->bins, BINS, -width * HALF, width, c->total, share), c->min, c->max);
}

/* ---- least mean squared error ------------------------------------------------------------------------------------ */

/* Squared error of quantizing and dequantizing every bin's middle with the range min .. max. */
static double squared_error(const qmm_calibrator *c, double min, double max, int32_t qmin, int32_t qmax) {
    const double width = bin_width(c);
    float scale_value;
    int32_t zero;
    double sum = 0.0, scale;
    qmm_choose_params(min, max, c->options.type, c->options.bits, c->options.symmetric, &scale_value, &zero);
    scale = (double)scale_value;
    for (int i = 0; i < BINS; i++) {
        const double x = ((double)(i - HALF) + 0.5) * width;
        double q, error;
        if (c->bins[i] == 0) continue;
        q = fmin(fmax(rint(x / scale) + zero, qmin), qmax);
        error = x - (q - zero) * scale;
        sum += (double)c->bins[i] * error * error;
    }
    return sum;
}

/* Shrinks the whole range in steps of 1 %, both ends alike; the largest of equally good ranges wins. */
static void mse_range(const qmm_calibrator *c, double *min, double *max) {
    const double full_min = c->options.symmetric ? -fmax(-c->min, c->max) : fmin(c->min, 0.0);
    const double full_max = c->options.symmetric ? -full_min : fmax(c->max, 0.0);
    double best = INFINITY;
    int32_t qmin, qmax;
    qmm_type_range(c->options.type, c->options.bits, &qmin, &qmax);
    for (int percent = 100; percent > 0; percent--) {
        const double low = full_min * percent / 100.0, high = full_max * percent / 100.0;
        const double error = squared_error(c, low, high, qmin, qmax);
        if (error >= best) continue;
        best = error;
        *min = low;
        *max = high;
    }
}

/* ---- least divergence -------------------------------------------------------------------------------------------- */

/* Divergence between the histogram of |x| cut at `bins` bins, what is beyond added to its last bin, and the same cut
 * (without what is beyond) brought down to `levels` levels and spread back over the bins that were not empty.
 * Source: the KL calibration of TensorRT, S. Migacz, GTC 2017. */
static double divergence(const uint64_t *counts, int bins, int levels, double beyond) {
    double total = beyond, quantized_total = 0.0, sum = 0.0;
    for (int i = 0; i < bins; i++) quantized_total += (double)counts[i];
    total += quantized_total;
    for (int level = 0; level < levels; level++) {
        const int begin = (int)((int64_t)level * bins / levels), end = (int)((int64_t)(level + 1) * bins / levels);
        double mass = 0.0;
        int used = 0;
        for (int i = begin; i < end; i++) {
            mass += (double)counts[i];
            used += counts[i] > 0;
        }
        for (int i = begin; i < end; i++) {
            const double p = ((double)counts[i] + (i == bins - 1 ? beyond : 0.0)) / total;
            const double q = counts[i] > 0 ? mass / used / quantized_total : 0.0;
            if (p > 0.0) sum += p * log(p / fmax(q, 1e-12));
        }
    }
    return sum;
}

static void entropy_range(const qmm_calibrator *c, const uint64_t *magnitudes, double *min, double *max) {
    int32_t qmin, qmax;
    int levels, used, best_bins;
    double best = INFINITY, beyond = 0.0;
    qmm_type_range(c->options.type, c->options.bits, &qmin, &qmax);
    levels = qmax + 1 < HALF ? qmax + 1 : HALF;
    for (used = HALF; used > 1 && magnitudes[used - 1] == 0;) used--;
    best_bins = used;
    for (int bins = used; bins >= levels; bins--) {
        const double d = divergence(magnitudes, bins, levels, beyond);
        if (d < best) {
            best = d;
            best_bins = bins;
        }
        beyond += (double)magnitudes[bins - 1];
    }
    *max = fmin(bin_width(c) * best_bins, fmax(-c->min, c->max));
    *min = -*max;
}

/* ---- the range --------------------------------------------------------------------------------------------------- */

static void minmax_range(const qmm_calibrator *c, double *min, double *max) {
    *min = c->min;
    *max = c->max;
    if (!c->options.symmetric) return;
    *max = fmax(fmax(-c->min, c->max), 0.0);
    *min = -*max;
}

static void choose_range(const qmm_calibrator *c, double *min, double *max) {
    uint64_t magnitudes[HALF];
    *min = *max = 0.0;
    if (c->batches == 0) return;
    fold(c, magnitudes);
    switch (c->options.method) {
    case QMM_RANGE_MINMAX: minmax_range(c, min, max); break;
    case QMM_RANGE_PERCENTILE: percentile_range(c, magnitudes, min, max); break;
    case QMM_RANGE_MSE: mse_range(c, min, max); break;
    case QMM_RANGE_ENTROPY: entropy_range(c, magnitudes, min, max); break;
    }
}

/* ---- public bodies ----------------------------------------------------------------------------------------------- */

static qmm_status check_options(const qmmi_call *call, const qmm_range_options *given, qmm_range_options *options) {
    int32_t qmin, qmax;
    *options = (qmm_range_options)QMM_RANGE_OPTIONS_INIT;
    QMMI_TRY(qmmi_read_struct(call->context, call->function, "options", given, options, sizeof *options,
                              QMMI_OLDEST_RANGE_OPTIONS));
#define REQUIRE(condition, ...)                                                                              \
    do {                                                                                                     \
        if (!(condition)) return qmmi_fail(call->context, QMM_INVALID_ARGUMENT, call->function, __VA_ARGS__); \
    } while (0)
    REQUIRE(options->method >= QMM_RANGE_MINMAX && options->method <= QMM_RANGE_ENTROPY,
            "method %d of options is none of qmm_range_method", (int)options->method);
    REQUIRE(qmmi_type_in(options->type, QMMI_CODES), "type %s (%d) of options is not a code type",
            qmm_type_name(options->type), (int)options->type);
    REQUIRE(qmm_type_range(options->type, options->bits, &qmin, &qmax) == QMM_OK,
            "bits %d of options cannot be had in %s", (int)options->bits, qmm_type_name(options->type));
    REQUIRE(options->percentile > 50.0 && options->percentile <= 100.0,
            "percentile %g of options is not above 50 and at most 100", options->percentile);
    REQUIRE(options->moving_average >= 0.0 && options->moving_average <= 1.0,
            "moving average %g of options is not between 0 and 1", options->moving_average);
    REQUIRE(options->moving_average == 0.0 || options->method == QMM_RANGE_MINMAX,
            "moving average %g of options needs method MINMAX", options->moving_average);
    REQUIRE(options->symmetric || options->method != QMM_RANGE_ENTROPY,
            "symmetric of options is 0, but method ENTROPY is symmetric only");
#undef REQUIRE
    return QMM_OK;
}

static qmm_status create(const qmmi_call *call, const qmm_range_options *given, qmm_calibrator **calibrator) {
    qmm_range_options options;
    *calibrator = NULL;
    QMMI_TRY(check_options(call, given, &options));
    *calibrator = qmmi_object_create(call->context, QMMI_MAGIC_CALIBRATOR, sizeof **calibrator, NULL);
    if (!*calibrator)
        return qmmi_fail(call->context, QMM_OUT_OF_MEMORY, call->function, "no host memory for a calibrator");
    (*calibrator)->options = options;
    (*calibrator)->exponent = EXPONENT_MIN;
    return QMM_OK;
}

qmm_status qmm_calibrator_create(qmm_context *context, const qmm_range_options *options, qmm_calibrator **calibrator) {
    const qmmi_call call = { context, __func__, false };
    QMMI_ENTER(context);
    QMMI_REQUIRE(context, calibrator, "calibrator is NULL");
    return create(&call, options, calibrator);
}

static bool is_calibrator(const qmm_calibrator *calibrator) {
    return calibrator && calibrator->object.magic == QMMI_MAGIC_CALIBRATOR;
}

qmm_status qmm_calibrator_observe(qmm_calibrator *calibrator, const qmm_tensor *x) {
    qmm_context *context = is_calibrator(calibrator) ? calibrator->object.context : NULL;
    const qmmi_call call = { context, __func__, false };
    qmmi_view view;
    QMMI_ENTER_WAITING(context);
    QMMI_TRY(qmmi_check_tensor(&call, "x", x, QMMI_REALS, false, &view));
    return observe(context, calibrator, &view);
}

qmm_status qmm_calibrator_range(qmm_calibrator *calibrator, double *min, double *max) {
    qmm_context *context = is_calibrator(calibrator) ? calibrator->object.context : NULL;
    QMMI_ENTER(context);
    QMMI_REQUIRE(context, min && max, "%s is NULL", min ? "max" : "min");
    choose_range(calibrator, min, max);
    return QMM_OK;
}

void qmm_calibrator_free(qmm_calibrator *calibrator) {
    if (is_calibrator(calibrator)) qmmi_object_free(&calibrator->object);
}

qmm_status qmm_find_range(qmm_context *context, const qmm_tensor *x, const qmm_range_options *options, double *min,
                          double *max) {
    const qmmi_call call = { context, __func__, false };
    qmm_calibrator *calibrator;
    qmmi_view view;
    qmm_status status;
    QMMI_ENTER_WAITING(context);
    QMMI_REQUIRE(context, min && max, "%s is NULL", min ? "max" : "min");
    QMMI_TRY(qmmi_check_tensor(&call, "x", x, QMMI_REALS, false, &view));
    QMMI_TRY(create(&call, options, &calibrator));
    status = observe(context, calibrator, &view);
    if (status == QMM_OK) choose_range(calibrator, min, max);
    qmm_calibrator_free(calibrator);
    return status;
}
