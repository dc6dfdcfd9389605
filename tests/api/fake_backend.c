/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_backend.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cpu/cpu.h"

fake_backend fake;

const char *const fake_names[FAKE_ROWS] = { "cpu:matmul:first", "cpu:matmul:second", "cpu:matmul:third",
                                            "cpu:matmul:reference" };

/* ---- rows -------------------------------------------------------------------------------------------------------- */

static const char *accepts(fake_row *row, const qmmi_problem *problem) {
    const int variant = problem->as.matmul.variant;
    row->accepts_asked++;
    assert_in_range(variant, 0, FAKE_VARIANTS);
    return variant && row->refused_variants[variant] ? row->refused_variants[variant] : row->accepts;
}

static double estimate(fake_row *row) {
    row->estimates_asked++;
    return row->estimate;
}

static qmm_status run(fake_row *row, qmm_context *context, const qmmi_problem *problem) {
    const qmmi_matmul_problem *const p = &problem->as.matmul;
    row->runs++;
    row->last_variant = p->variant;
    row->variants_run |= 1u << p->variant;
    if (row->status != QMM_OK) return qmmi_fail(context, row->status, "a fake row", "it was told to fail");
    fake.clock += row->seconds[p->variant];
    QMMI_TRY(qmmi_cpu_matmul_reference(context, problem, NULL, 0));
    if (p->variant == row->wrong_variant) ++*((char *)p->c.memory + p->c.offset);
    return QMM_OK;
}

/* A row's functions are given no row. */
#define ROW_FUNCTIONS(index)                                                                                     \
    static const char *accepts_##index(const qmm_context *context, const qmmi_problem *problem) {                \
        (void)context;                                                                                           \
        return accepts(&fake.rows[index], problem);                                                              \
    }                                                                                                            \
    static const char *declines_##index(const qmm_context *context, const qmmi_problem *problem) {               \
        (void)context, (void)problem;                                                                            \
        return fake.rows[index].declines;                                                                        \
    }                                                                                                            \
    static double estimate_##index(const qmm_context *context, const qmmi_problem *problem) {                    \
        (void)context, (void)problem;                                                                            \
        return estimate(&fake.rows[index]);                                                                      \
    }                                                                                                            \
    static size_t workspace_##index(const qmm_context *context, const qmmi_problem *problem) {                   \
        (void)context, (void)problem;                                                                            \
        return fake.rows[index].workspace;                                                                       \
    }                                                                                                            \
    static qmm_status run_##index(qmm_context *context, const qmmi_problem *problem, void *workspace, size_t at) { \
        (void)at;                                                                                                \
        assert_true(fake.rows[index].workspace == 0 || workspace);                                               \
        return run(&fake.rows[index], context, problem);                                                         \
    }

ROW_FUNCTIONS(0)
ROW_FUNCTIONS(1)
ROW_FUNCTIONS(2)
ROW_FUNCTIONS(3)

#define ROW(index)                                                                                 \
    .accepts = accepts_##index, .declines = declines_##index, .estimate = estimate_##index,        \
    .workspace = workspace_##index, .run = run_##index

static const char *const variants[FAKE_VARIANTS + 1] = { "wide", "narrow", NULL };

static const qmmi_row rows[] = {
    { .name = "cpu:matmul:first", ROW(0) },
    { .name = "cpu:matmul:second", ROW(1), .variants = variants, .self_test = true },
    { .name = "cpu:matmul:third", ROW(2), .needs = FAKE_ABILITY },
    { .name = "cpu:matmul:reference", ROW(3) },
    { 0 },
};

/* ---- the clock --------------------------------------------------------------------------------------------------- */

typedef struct pair {
    double time[2];
} pair;

static qmm_status timer_create(qmm_context *context, void **made) {
    if (fake.no_device_clock) return QMM_OK;
    *made = qmmi_allocate(context, sizeof(pair));
    if (!*made) return qmmi_fail(context, QMM_OUT_OF_MEMORY, "a fake timer", "no memory for a pair of events");
    fake.timers++;
    return QMM_OK;
}

static qmm_status timer_record(qmm_context *context, void *events, bool end) {
    (void)context;
    ((pair *)events)->time[end] = fake.tick > 0 ? floor(fake.clock / fake.tick) * fake.tick : fake.clock;
    return QMM_OK;
}

static qmm_status timer_seconds(qmm_context *context, void *events, double *seconds) {
    const pair *const p = events;
    (void)context;
    *seconds = p->time[1] - p->time[0];
    return QMM_OK;
}

static void timer_free(qmm_context *context, void *events) {
    qmmi_release(context, events, sizeof(pair));
    fake.timers--;
}

/* Takes a time that must not count. */
static qmm_status fill(qmm_context *context, void *memory, size_t offset, uint8_t value, size_t bytes) {
    fake.fills++;
    fake.clock += 1000.0;
    return qmmi_cpu_backend.fill(context, memory, offset, value, bytes);
}

static bool capturing(const qmm_context *context) {
    (void)context;
    return fake.capturing;
}

static qmm_status synchronize(qmm_context *context) {
    fake.waits++;
    return qmmi_cpu_backend.synchronize(context);
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

void fake_reset(void) {
    memset(&fake, 0, sizeof fake);
    for (int r = 0; r < FAKE_ROWS; r++) {
        fake.rows[r].wrong_variant = -1;
        for (int v = 0; v <= FAKE_VARIANTS; v++) fake.rows[r].seconds[v] = 1.0;
    }
}

void fake_forget_calls(void) {
    for (int r = 0; r < FAKE_ROWS; r++) {
        fake_row *const row = &fake.rows[r];
        row->accepts_asked = row->estimates_asked = row->runs = row->last_variant = 0;
        row->variants_run = 0;
    }
    fake.fills = fake.waits = 0;
}

qmm_context *fake_open(const qmm_context_options *options) {
    static qmmi_backend backend;
    qmm_context *context;
    backend = qmmi_cpu_backend;
    backend.rows[QMMI_MATMUL] = rows;
    backend.timer_create = timer_create;
    backend.timer_record = timer_record;
    backend.timer_seconds = timer_seconds;
    backend.timer_free = timer_free;
    backend.fill = fill;
    backend.synchronize = synchronize;
    backend.capturing = capturing;
    assert_int_equal(qmm_context_open("cpu", options, &context), QMM_OK);
    context->backend = &backend;
    context->capabilities = FAKE_ABILITY;
    return context;
}

fake_call fake_call_open(qmm_context *context, int64_t m, int64_t n, int64_t k, qmm_type type) {
    const size_t a = (size_t)(m * k), b = (size_t)(k * n), c = (a + b + 63) / 64 * 64;
    fake_call call = { .context = context };
    unsigned char *bytes;
    assert_int_equal(qmm_buffer_create(context, c + (size_t)(m * n) * 4 + 64, &call.buffer), QMM_OK);
    bytes = qmm_buffer_native(call.buffer);
    fill_random(bytes, a + b, 5);
    call.a = tensor_at(call.buffer, 0, QMM_S8, m, k, k);
    call.b = tensor_at(call.buffer, a, QMM_S8, k, n, n);
    call.c = tensor_at(call.buffer, c, type, m, n, n);
    return call;
}

qmm_status fake_call_run(const fake_call *call) {
    return qmm_matmul(call->context, NULL, &call->a, &call->b, &call->c);
}

qmm_matmul_plan_info fake_call_plan(const fake_call *call) {
    qmm_matmul_plan_info plan = QMM_MATMUL_PLAN_INFO_INIT;
    expect_ok(call->context, qmm_matmul_plan(call->context, NULL, &call->a, &call->b, &call->c, &plan), "plan");
    return plan;
}

void fake_call_close(fake_call *call) {
    qmm_buffer_free(call->buffer);
    call->buffer = NULL;
}
