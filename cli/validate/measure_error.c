/* SPDX-License-Identifier: Apache-2.0
 *
 * measure_error. Differences, squares and products in float32; each sum over one fixed tree: terms in blocks of 4096
 * (the last filled up with zeros), in a block lane l of 256 adds terms l, l + 256 ... in order, the lanes are halved
 * down to one; the blocks' sums are the terms of the next level. Both sides first times the power of two that brings the
 * largest finite value below 2, so that squares neither overflow nor vanish. Quotients in double. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "descriptor.h"
#include "generate.h"
#include "oracle.h"

enum { REFERENCE, GOT };
enum { COUNT, SKIPPED, MSE, MAX_ERROR, SQNR, COSINE };
enum { BLOCK = 4096, LANES = 256 };

static void generate(validate_case *c) {
    static const qmm_type types[] = { QMM_F32, QMM_F16, QMM_BF16 };
    static const char *const names[] = { "count", "skipped", "mse", "max_error", "sqnr_db", "cosine" };
    validate_measure *p = &c->as.measure;
    validate_random *r = &c->random;
    p->batch = validate_one_in(r, 4) ? validate_between(r, 2, 3) : 1;
    do {
        p->rows = validate_pick_size(r);
        p->cols = validate_pick_size(r);
    } while (p->rows * p->cols * p->batch > 20000);
    if (c->performance_shape >= 0) {
        p->batch = 1;
        p->rows = p->cols = 2048;
    }
    validate_add_tensor(c, "reference", c->performance_shape >= 0 ? QMM_F32 : VALIDATE_PICK(r, types), p->rows, p->cols,
                        p->batch, VALIDATE_INPUT);
    validate_add_tensor(c, "got", c->performance_shape >= 0 ? QMM_F32 : VALIDATE_PICK(r, types), p->rows, p->cols,
                        p->batch, VALIDATE_INPUT);
    p->fill = c->performance_shape >= 0 ? 0 : (int)validate_between(r, VALIDATE_NORMAL, VALIDATE_PATTERNS);
    validate_fill_reals(c, REFERENCE, (validate_real_fill)p->fill, NULL);
    validate_fill_reals(c, GOT, (validate_real_fill)p->fill, NULL);
    c->operations = (double)p->rows * (double)p->cols * (double)p->batch;
    c->bytes_moved =
        c->operations * (qmm_type_bits(c->tensors[REFERENCE].type) + qmm_type_bits(c->tensors[GOT].type)) / 8.0;
    for (int n = 0; n < 6; n++) c->value_names[n] = names[n];
    c->value_count = 6;
}

/* ---- the oracle -------------------------------------------------------------------------------------------------- */

static double sum_block(const double *terms, int64_t count) {
    double lanes[LANES] = { 0 };
    for (int64_t n = 0; n < count; n++) lanes[n % LANES] = oracle_f32(lanes[n % LANES] + terms[n]);
    for (int width = LANES / 2; width >= 1; width /= 2)
        for (int lane = 0; lane < width; lane++) lanes[lane] = oracle_f32(lanes[lane] + lanes[lane + width]);
    return lanes[0];
}

/* Level by level, in place. */
static double sum_tree(double *terms, int64_t count) {
    if (count == 0) return 0.0;
    do {
        const int64_t blocks = (count + BLOCK - 1) / BLOCK;
        for (int64_t n = 0; n < blocks; n++)
            terms[n] = sum_block(terms + n * BLOCK, count - n * BLOCK < BLOCK ? count - n * BLOCK : BLOCK);
        count = blocks;
    } while (count > 1);
    return terms[0];
}

/* e of the power of two 2^-e, from the pairs that are measured. */
static int exponent_of(const validate_case *c) {
    const validate_measure *p = &c->as.measure;
    const validate_tensor *x = &c->tensors[REFERENCE], *y = &c->tensors[GOT];
    double largest = 0.0;
    for (int64_t b = 0; b < p->batch; b++)
        for (int64_t i = 0; i < p->rows; i++)
            for (int64_t j = 0; j < p->cols; j++) {
                const double r = fabs(validate_load(x, x->before, b, i, j));
                const double g = fabs(validate_load(y, y->before, b, i, j));
                if (isfinite(r) && isfinite(g)) largest = fmax(largest, fmax(r, g));
            }
    return largest > 0.0 ? (int)fmin(fmax(floor(log2(largest)), -126.0), 126.0) : 0;
}

static void set_results(validate_case *c, double *const *terms, int64_t count, int exponent) {
    const double error = sum_tree(terms[0], count), reference = sum_tree(terms[1], count);
    const double got = sum_tree(terms[2], count), product = sum_tree(terms[3], count);
    const double length = sqrt(reference) * sqrt(got);
    double *want = c->want_values;
    want[MSE] = want[COUNT] > 0.0 ? ldexp(error / want[COUNT], 2 * exponent) : 0.0;
    want[MAX_ERROR] = ldexp(want[MAX_ERROR], exponent);
    want[SQNR] = error == 0.0 ? (double)INFINITY : 10.0 * log10(reference / error);
    want[COSINE] = length > 0.0 ? product / length : reference == got ? 1.0 : 0.0;
}

static void expect(validate_case *c) {
    const validate_measure *p = &c->as.measure;
    const validate_tensor *x = &c->tensors[REFERENCE], *y = &c->tensors[GOT];
    const int64_t elements = p->rows * p->cols * p->batch;
    const int exponent = exponent_of(c);
    double *terms[4];
    int64_t n = 0;
    terms[0] = malloc((size_t)(4 * elements + 1) * sizeof(double));
    if (!terms[0]) abort(); /* as in case.c */
    for (int t = 1; t < 4; t++) terms[t] = terms[0] + t * elements;
    for (int64_t b = 0; b < p->batch; b++)
        for (int64_t i = 0; i < p->rows; i++)
            for (int64_t j = 0; j < p->cols; j++, n++) {
                double r = validate_load(x, x->before, b, i, j), g = validate_load(y, y->before, b, i, j), e;
                const bool measured = isfinite(r) && isfinite(g);
                c->want_values[measured ? COUNT : SKIPPED] += 1.0;
                if (!measured) r = g = 0.0;
                r = oracle_f32(ldexp(r, -exponent));
                g = oracle_f32(ldexp(g, -exponent));
                e = oracle_f32(g - r);
                c->want_values[MAX_ERROR] = fmax(c->want_values[MAX_ERROR], fabs(e));
                terms[0][n] = oracle_f32(e * e);
                terms[1][n] = oracle_f32(r * r);
                terms[2][n] = oracle_f32(g * g);
                terms[3][n] = oracle_f32(r * g);
            }
    set_results(c, terms, elements, exponent);
    free(terms[0]);
}

/* ---- the call ---------------------------------------------------------------------------------------------------- */

static qmm_status run(const validate_case *c, validate_execution *e) {
    const qmm_tensor reference = validate_on_device(c, e, REFERENCE), got = validate_on_device(c, e, GOT);
    qmm_error_measure measure = QMM_ERROR_MEASURE_INIT;
    const qmm_status status = qmm_measure_error(e->context, &reference, &got, &measure);
    e->values[COUNT] = (double)measure.count;
    e->values[SKIPPED] = (double)measure.skipped;
    e->values[MSE] = measure.mse;
    e->values[MAX_ERROR] = measure.max_error;
    e->values[SQNR] = measure.sqnr_db;
    e->values[COSINE] = measure.cosine;
    return status;
}

static void describe(const validate_case *c, char *text, size_t bytes) {
    const validate_measure *p = &c->as.measure;
    validate_append(text, bytes, "%" PRId64 " x %" PRId64 " batch %" PRId64 ", %s and %s, fill %d", p->rows, p->cols,
                    p->batch, qmm_type_name(c->tensors[REFERENCE].type), qmm_type_name(c->tensors[GOT].type), p->fill);
}

const validate_descriptor validate_measure_error = {
    .name = "measure_error",
    .kernel_operation = NULL,
    .quick_cases = 2000,
    .full_cases = 20000,
    .performance_shapes = 1,
    .performance_unit = "GB/s",
    .generate = generate,
    .expect = expect,
    .run = run,
    .describe = describe,
};
