/* SPDX-License-Identifier: Apache-2.0
 *
 * verify_matmul: a right C passes; a C with one wrong element fails, in that row and, but for s32, at that element. */
#include <math.h>

#include "matmul.h"

enum { PASSED, WRONG_ROWS, BATCH, ROW, COL };

static void generate(validate_case *c) {
    validate_matmul *p = &c->as.matmul;
    validate_random *r = &c->random;
    c->index += 1740; /* past the grid of small sizes and the bounds, which are matmul's own */
    matmul_generate(c);
    c->index -= 1740;
    c->trivial = true;
    p->workspace = false;
    if (p->residual_is_c) p->residual = -1, p->residual_is_c = false; /* c is only read here */
    if (p->m > 0 && p->n > 0 && validate_one_in(r, 2)) {
        p->wrong_batch = validate_between(r, 0, p->batch - 1);
        p->wrong_row = validate_between(r, 0, p->m - 1);
        p->wrong_col = validate_between(r, 0, p->n - 1);
    }
    p->verify_seed = validate_draw(r);
}

/* Another value than `right`, however small the difference; NaNs are all one. */
static double wrong_value(const validate_tensor *t, validate_random *r, double right) {
    int32_t qmin, qmax;
    validate_code_range(t->type, 0, &qmin, &qmax);
    if (t->type == QMM_S32) qmin = INT32_MIN, qmax = INT32_MAX;
    if (!validate_is_real(t->type))
        return right > qmin && (right == qmax || validate_one_in(r, 2)) ? right - 1 : right + 1;
    if (t->type == QMM_F32 && isfinite(right)) return (double)nextafterf((float)right, INFINITY);
    return right == 1.0 ? 2.0 : 1.0;
}

static void expect(validate_case *c) {
    static const char *const names[] = { "passed", "wrong_rows", "batch", "row", "col" };
    const validate_matmul *p = &c->as.matmul;
    validate_tensor *t = &c->tensors[MATMUL_C];
    const bool wrong = p->wrong_row >= 0;
    matmul_expect(c);
    for (int n = 0; n < 5; n++) c->value_names[n] = names[n];
    c->value_count = 5;
    if (c->want_status != QMM_OK) return;
    if (wrong)
        validate_store(
            t, t->want, p->wrong_batch, p->wrong_row, p->wrong_col,
            wrong_value(t, &c->random, validate_load(t, t->want, p->wrong_batch, p->wrong_row, p->wrong_col)));
    c->want_values[PASSED] = wrong ? 0.0 : 1.0;
    c->want_values[WRONG_ROWS] = wrong ? 1.0 : 0.0;
    c->want_values[BATCH] = (double)p->wrong_batch;
    c->want_values[ROW] = (double)p->wrong_row;
    c->want_values[COL] = t->type == QMM_S32 && p->bias < 0 ? -1.0 : (double)p->wrong_col;
}

static qmm_status run(const validate_case *c, validate_execution *e) {
    qmm_verify_options options = QMM_VERIFY_OPTIONS_INIT;
    qmm_verify_result result = QMM_VERIFY_RESULT_INIT;
    const validate_tensor *t = &c->tensors[MATMUL_C];
    matmul_arguments a;
    qmm_status status;
    options.seed = c->as.matmul.verify_seed;
    matmul_arguments_on_device(c, e, &a);
    /* What the oracle wants is here the input to judge. */
    status = qmm_buffer_upload(e->context, e->buffers[MATMUL_C], 0, t->want, t->bytes);
    if (status == QMM_OK) status = qmm_verify_matmul(e->context, &a.desc, &a.a, &a.b, &a.c, &options, &result);
    if (status != QMM_OK) qmm_buffer_upload(e->context, e->buffers[MATMUL_C], 0, t->before, t->bytes);
    e->values[PASSED] = result.passed ? 1.0 : 0.0;
    e->values[WRONG_ROWS] = (double)result.wrong_rows;
    e->values[BATCH] = (double)result.batch;
    e->values[ROW] = (double)result.row;
    e->values[COL] = (double)result.col;
    return status;
}

static void describe(const validate_case *c, char *text, size_t bytes) {
    const validate_matmul *p = &c->as.matmul;
    matmul_describe(c, text, bytes);
    if (p->wrong_row >= 0)
        validate_append(text, bytes, ", wrong at [%d][%d,%d]", (int)p->wrong_batch, (int)p->wrong_row,
                        (int)p->wrong_col);
}

const validate_descriptor validate_verify_matmul = {
    .name = "verify_matmul",
    .kernel_operation = "matmul",
    .quick_cases = 2000,
    .full_cases = 10000,
    .performance_shapes = 0,
    .performance_unit = "GOPS",
    .generate = generate,
    .expect = expect,
    .run = run,
    .describe = describe,
    .oracle_only = true,
};
