/* SPDX-License-Identifier: Apache-2.0 */
#include "difference.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- elements ---------------------------------------------------------------------------------------------------- */

/* A double is wide enough to hold every f16: its exponent moves, its fraction grows at the end. */
static double half_value(unsigned pattern) {
    const unsigned exponent = pattern >> 10 & 31, fraction = pattern & 0x3ff;
    const double sign = pattern >> 15 ? -1.0 : 1.0;
    uint64_t bits = (uint64_t)(exponent + 1023 - 15) << 52 | (uint64_t)fraction << 42;
    double value;
    if (exponent == 0) return sign * (double)fraction * 0x1p-24;
    if (exponent == 31) bits = UINT64_C(0x7ff) << 52 | (uint64_t)fraction << 42;
    memcpy(&value, &bits, sizeof value);
    return sign * value;
}

static double single_value(uint32_t pattern) {
    float value;
    memcpy(&value, &pattern, sizeof value);
    return (double)value;
}

/* The element's bits, as a code's value or a real's pattern. memcpy: a .npy held in memory may lie anywhere. */
static int64_t bits_of(qmm_type type, const void *elements, int64_t index) {
    const unsigned char *at = (const unsigned char *)elements + index * (qmm_type_bits(type) / 8);
    uint32_t u = 0;
    memcpy(&u, at, (size_t)qmm_type_bits(type) / 8);
    switch (type) {
    case QMM_S8: return (int8_t)u;
    case QMM_S16: return (int16_t)u;
    case QMM_S32: return (int32_t)u;
    case QMM_S4:
    case QMM_U4:
    case QMM_U8:
    case QMM_U16:
    case QMM_F32:
    case QMM_F16:
    case QMM_BF16: break;
    }
    return (int64_t)u;
}

static double value_of(qmm_type type, int64_t bits) {
    if (type == QMM_F32) return single_value((uint32_t)bits);
    if (type == QMM_F16) return half_value((unsigned)bits);
    if (type == QMM_BF16) return single_value((uint32_t)bits << 16);
    return (double)bits;
}

double difference_value(qmm_type type, const void *elements, int64_t index) {
    return value_of(type, bits_of(type, elements, index));
}

static bool is_real(qmm_type type) {
    return type == QMM_F32 || type == QMM_F16 || type == QMM_BF16;
}

/* Reals in order: neighbours differ by 1, both zeros are 0. */
static int64_t rank_of(qmm_type type, int64_t bits) {
    const int64_t sign = INT64_C(1) << (qmm_type_bits(type) - 1);
    return bits & sign ? -(bits & (sign - 1)) : bits;
}

/* ---- the comparison ---------------------------------------------------------------------------------------------- */

typedef struct work {
    qmm_type type;
    int64_t batch, rows, cols;
    const void *expected, *got;
    int64_t *by_matrix, *by_row, *by_col; /* wrong elements of each, over the other two */
    bool some_nan;                        /* a NaN on one side only */
    bool all_zero;                        /* every wrong element is a 0 */
    bool same_distance;                   /* ... is as far from what is expected: */
    double distance;
    double biggest, factor;               /* the largest |expected| of them, and got / expected there */
    difference *out;
} work;

static void record(work *w, const difference_place *p) {
    difference *d = w->out;
    const double distance = p->got - p->expected;
    if (d->place_count < DIFFERENCE_PLACES) d->places[d->place_count++] = *p;
    w->by_matrix[p->batch]++;
    w->by_row[p->row]++;
    w->by_col[p->col]++;
    if (isfinite(distance) && fabs(distance) > d->largest) d->largest = fabs(distance);
    if (d->wrong == 0) w->distance = distance;
    if (!(distance == w->distance)) w->same_distance = false;
    if (p->got != 0.0) w->all_zero = false;
    if (isfinite(p->expected) && fabs(p->expected) > w->biggest) {
        w->biggest = fabs(p->expected);
        w->factor = p->got / p->expected;
    }
    d->wrong++;
}

/* Gives whether the element is wrong. */
static bool compare_element(work *w, int64_t b, int64_t i, int64_t j) {
    const int64_t index = (b * w->rows + i) * w->cols + j;
    const int64_t x = bits_of(w->type, w->expected, index), y = bits_of(w->type, w->got, index);
    const difference_place place = { b, i, j, value_of(w->type, x), value_of(w->type, y) };
    const bool one_is_nan = isnan(place.expected) || isnan(place.got);
    if (x == y || (isnan(place.expected) && isnan(place.got))) return false;
    record(w, &place);
    if (one_is_nan) w->some_nan = true;
    if (is_real(w->type) && !one_is_nan) {
        const int64_t steps = llabs(rank_of(w->type, y) - rank_of(w->type, x));
        if (steps > w->out->steps) w->out->steps = steps;
    }
    return true;
}

static void compare(work *w) {
    for (int64_t b = 0; b < w->batch; b++) {
        for (int64_t i = 0; i < w->rows; i++) {
            bool wrong = false;
            for (int64_t j = 0; j < w->cols; j++) wrong |= compare_element(w, b, i, j);
            w->out->wrong_rows += wrong;
        }
    }
    for (int64_t j = 0; j < w->cols; j++) w->out->wrong_columns += w->by_col[j] > 0;
}

/* ---- patterns ---------------------------------------------------------------------------------------------------- */

#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
static void
say(difference *d, const char *format, ...) {
    va_list arguments;
    if (d->pattern_count == DIFFERENCE_PATTERNS) return;
    va_start(arguments, format);
    vsnprintf(d->patterns[d->pattern_count++], DIFFERENCE_TEXT, format, arguments);
    va_end(arguments);
}

static int64_t common_divisor(int64_t a, int64_t b) {
    while (b != 0) {
        const int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* Along one of matrices, rows, columns: are the wrong ones a range, or so many apart? */
static void find_range(difference *d, const char *one, const char *many, const int64_t *wrong, int64_t count) {
    int64_t first = -1, last = -1, indices = 0, stride = 0;
    for (int64_t i = 0; i < count; i++) {
        if (wrong[i] == 0) continue;
        if (first < 0) first = i;
        stride = common_divisor(i - first, stride);
        last = i;
        indices++;
    }
    if (indices == count || count == 1) return;
    if (indices == 1) {
        say(d, "all in %s %" PRId64 " of 0..%" PRId64, one, first, count - 1);
    } else if (indices > 2 && stride > 1) {
        say(d, "all in %s that are %" PRId64 " modulo %" PRId64, many, first % stride, stride);
    } else if (indices == last - first + 1 || last - first < count / 2) {
        say(d, "all in %s %" PRId64 "..%" PRId64 " of 0..%" PRId64, many, first, last, count - 1);
    }
}

static void find_places(work *w) {
    difference *d = w->out;
    if (d->wrong == d->count) {
        say(d, "every element is wrong");
        return;
    }
    find_range(d, "matrix", "matrices", w->by_matrix, w->batch);
    find_range(d, "row", "rows", w->by_row, w->rows);
    find_range(d, "column", "columns", w->by_col, w->cols);
    if (w->cols > 1 && d->wrong == d->wrong_rows * w->cols) say(d, "rows are wrong from end to end");
    if (w->rows > 1 && d->wrong == d->wrong_columns * w->batch * w->rows) say(d, "columns are wrong from end to end");
}

/* Is got what was expected, stored column by column? */
static bool is_transposed(const work *w) {
    if (w->rows < 2 || w->cols < 2) return false;
    for (int64_t b = 0; b < w->batch; b++) {
        const int64_t matrix = b * w->rows * w->cols;
        for (int64_t i = 0; i < w->rows; i++)
            for (int64_t j = 0; j < w->cols; j++)
                if (bits_of(w->type, w->expected, matrix + i * w->cols + j) !=
                    bits_of(w->type, w->got, matrix + j * w->rows + i))
                    return false;
    }
    return true;
}

/* Is every wrong element that factor times what is expected, but for rounding (2^-7: two roundings to bf16)? */
static bool is_scaled(const work *w) {
    if (!(is_real(w->type) || w->type == QMM_S32) || w->out->wrong < 2) return false;
    if (!isfinite(w->factor) || fabs(w->factor - 1.0) < 0x1p-6) return false;
    for (int64_t i = 0; i < w->out->count; i++) {
        const int64_t x = bits_of(w->type, w->expected, i), y = bits_of(w->type, w->got, i);
        const double expected = value_of(w->type, x) * w->factor;
        if (x != y && !(fabs(value_of(w->type, y) - expected) <= 0x1p-7 * fabs(expected))) return false;
    }
    return true;
}

static void find_values(work *w) {
    difference *d = w->out;
    if (is_transposed(w)) say(d, "C is what is expected, stored column by column (transposed)");
    if (w->all_zero) {
        say(d, "every wrong element is 0: never written?");
    } else if (w->same_distance && d->wrong > 1) {
        say(d, "every wrong element is %.9g %s what is expected", fabs(w->distance),
            w->distance > 0 ? "above" : "below");
    } else if (is_scaled(w)) {
        say(d, "every wrong element is %.4g times what is expected: a scale?", w->factor);
    }
    if (is_real(w->type) && !w->some_nan && d->steps <= 2)
        say(d, "none is more than %" PRId64 " step%s of %s away: a rounding differs, not a sum", d->steps,
            d->steps == 1 ? "" : "s", qmm_type_name(w->type));
}

bool difference_find(qmm_type type, int64_t batch, int64_t rows, int64_t cols, const void *expected, const void *got,
                     difference *out) {
    work w = { .type = type, .batch = batch, .rows = rows, .cols = cols, .expected = expected, .got = got,
               .all_zero = true, .same_distance = true, .factor = 1.0, .out = out };
    int64_t *counts = calloc((size_t)batch + (size_t)rows + (size_t)cols, sizeof *counts);
    if (!counts) return false;
    *out = (difference){ .count = batch * rows * cols, .rows = batch * rows, .columns = cols };
    w.by_matrix = counts;
    w.by_row = counts + batch;
    w.by_col = counts + batch + rows;
    compare(&w);
    if (out->wrong > 0) {
        find_places(&w);
        find_values(&w);
    }
    free(counts);
    return true;
}
