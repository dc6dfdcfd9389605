/* SPDX-License-Identifier: Apache-2.0
 *
 * Tuning: what is measured, what is kept and for which calls, and that it changes no byte; on a table of made-up rows
 * with a clock of its own. Files are in test_tuning_file.c, bad arguments in test_bad_arguments.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "fake_backend.h"

static qmm_context *context;
static fake_call call;

static int set_up(void **state) {
    (void)state;
    fake_reset();
    context = fake_open(NULL);
    call = fake_call_open(context, 8, 5, 6, QMM_S32);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    qmm_context_close(context);
    return 0;
}

/* ---- tuning, and what it reports --------------------------------------------------------------------------------- */

enum { TRIALS = FAKE_ROWS + FAKE_VARIANTS };

typedef struct trials {
    int count;
    char names[TRIALS][96]; /* "kernel/variant" */
    double seconds[TRIALS];
    char reasons[TRIALS][256];
} trials;

static void keep(void *user, const char *kernel, const char *variant, double seconds, const char *reason) {
    trials *t = user;
    assert_in_range(t->count, 0, TRIALS - 1);
    snprintf(t->names[t->count], sizeof t->names[0], "%s/%s", kernel, variant);
    snprintf(t->reasons[t->count], sizeof t->reasons[0], "%s", reason ? reason : "");
    expect((seconds > 0) == !reason, "%s: %g seconds and a reason", kernel, seconds);
    t->seconds[t->count++] = seconds;
}

static qmm_status tune(trials *t, size_t flush_bytes) {
    qmm_tune_options options = QMM_TUNE_OPTIONS_INIT;
    options.seconds = 1e-9; /* the least number of runs */
    options.flush_bytes = flush_bytes;
    if (t) t->count = 0;
    return qmm_tune_matmul(context, NULL, &call.a, &call.b, &call.c, &options, t ? keep : NULL, t);
}

static void set_seconds(double first, double second, double wide, double narrow, double third, double reference) {
    fake.rows[FAKE_FIRST].seconds[0] = first;
    fake.rows[FAKE_SECOND].seconds[0] = second;
    fake.rows[FAKE_SECOND].seconds[1] = wide;
    fake.rows[FAKE_SECOND].seconds[2] = narrow;
    fake.rows[FAKE_THIRD].seconds[0] = third;
    fake.rows[FAKE_REFERENCE].seconds[0] = reference;
}

static void expect_plan(const char *kernel, const char *variant, int tuned) {
    const qmm_matmul_plan_info plan = fake_call_plan(&call);
    expect(strcmp(plan.kernel, kernel) == 0 && strcmp(plan.variant, variant) == 0 && (plan.tuned != 0) == tuned,
           "planned is %s/%s%s, not %s/%s%s", plan.kernel, plan.variant, plan.tuned ? " (tuned)" : "", kernel, variant,
           tuned ? " (tuned)" : "");
}

static void test_fastest(void **state) {
    static const char *const names[] = { "cpu:matmul:first/",      "cpu:matmul:second/", "cpu:matmul:second/wide",
                                         "cpu:matmul:second/narrow", "cpu:matmul:third/",  "cpu:matmul:reference/" };
    const double seconds[] = { 4, 3, 3, 2, 5, 6 };
    int32_t before[40], after[40];
    trials t;
    (void)state;
    set_seconds(4, 3, 3, 2, 5, 6);
    expect_ok(context, fake_call_run(&call), "run");
    expect_ok(context, qmm_buffer_download(context, call.buffer, call.c.offset, before, sizeof before), "download");
    expect_plan("cpu:matmul:first", "", 0);
    expect_ok(context, tune(&t, 0), "tune");
    expect(t.count == TRIALS, "%d trials", t.count);
    for (int i = 0; i < t.count; i++)
        expect(strcmp(t.names[i], names[i]) == 0 && t.seconds[i] == seconds[i], "trial %d: %s in %g s", i, t.names[i],
               t.seconds[i]);
    expect_ok(context, qmm_buffer_download(context, call.buffer, call.c.offset, after, sizeof after), "download");
    expect_bytes(after, before, sizeof before, "c after tuning");
    expect(qmm_tuning_count(context) == 1, "%d choices", qmm_tuning_count(context));
    expect_plan("cpu:matmul:second", "narrow", 1);
    fake_forget_calls();
    expect_ok(context, qmm_buffer_fill(context, call.buffer, call.c.offset, 0, sizeof after), "fill");
    expect_ok(context, fake_call_run(&call), "run");
    expect(fake.rows[FAKE_SECOND].runs == 1 && fake.rows[FAKE_SECOND].last_variant == 2 &&
               fake.rows[FAKE_FIRST].runs == 0,
           "the choice does not run");
    expect_ok(context, qmm_buffer_download(context, call.buffer, call.c.offset, after, sizeof after), "download");
    expect_bytes(after, before, sizeof before, "c of the tuned choice");
    end_of_test();
}

/* Warm-up and three runs; flushes before each, outside the time. One without hope runs just once; one that may merely
 * have loaded and built at first (a second and a half) once more. */
static void test_runs(void **state) {
    trials t;
    (void)state;
    expect_ok(context, qmm_context_prepare(context), "prepare");
    set_seconds(2, 2, 2, 2, 15, 17);
    fake_forget_calls();
    expect_ok(context, tune(&t, 4096), "tune");
    expect(fake.rows[FAKE_FIRST].runs == 4 && fake.rows[FAKE_SECOND].runs == 12 && fake.rows[FAKE_THIRD].runs == 4 &&
               fake.rows[FAKE_REFERENCE].runs == 1,
           "%d, %d, %d and %d runs", fake.rows[FAKE_FIRST].runs, fake.rows[FAKE_SECOND].runs,
           fake.rows[FAKE_THIRD].runs, fake.rows[FAKE_REFERENCE].runs);
    expect(fake.fills == 4 * 5 + 1, "%d flushes", fake.fills);
    expect(t.seconds[0] == 2 && t.seconds[5] == 17, "%g and %g s", t.seconds[0], t.seconds[5]);
    set_seconds(0.125, 0.125, 0.125, 0.125, 0.125, 1.5);
    fake_forget_calls();
    expect_ok(context, tune(NULL, 0), "tune without a report");
    expect(fake.rows[FAKE_REFERENCE].runs == 2, "%d runs of what may have loaded", fake.rows[FAKE_REFERENCE].runs);
    expect(fake.fills > 0 && fake.fills % (4 * 5 + 2) == 0, "%d fills before starts", fake.fills);
    fake.no_device_clock = true;
    fake_forget_calls();
    expect_ok(context, tune(NULL, 0), "tune by the host's clock");
    expect(fake.fills == 0, "%d flushes where none are asked for", fake.fills);
    end_of_test();
}

/* What takes less than the clock shows is run more often between a start and an end; what still shows nothing is not the
 * fastest. */
static void test_resolution(void **state) {
    trials t;
    (void)state;
    fake.tick = 1.0;
    set_seconds(0.5, 0.25, 0.25, 0.25, 0.125, 2);
    expect_ok(context, tune(&t, 0), "tune");
    expect(t.seconds[0] == 0.5 && t.seconds[1] == 0.25 && t.seconds[4] == 0.125 && t.seconds[5] == 2,
           "%g, %g, %g and %g s", t.seconds[0], t.seconds[1], t.seconds[4], t.seconds[5]);
    expect_plan("cpu:matmul:third", "", 1);
    set_seconds(2, 2, 2, 2, 0, 2);
    expect_ok(context, tune(&t, 0), "one takes no time");
    expect(strcmp(t.reasons[4], "it takes less time than the clock shows") == 0, "said: %s", t.reasons[4]);
    expect(qmm_tuning_count(context) == 0, "%d choices", qmm_tuning_count(context));
    set_seconds(0, 0, 0, 0, 0, 0);
    expect_ok(context, tune(&t, 0), "none takes any");
    expect(qmm_tuning_count(context) == 0, "%d choices", qmm_tuning_count(context));
    end_of_test();
}

/* Trials have memory of their own: the context's workspace stays where and as large as it was. */
static void test_workspace_stays(void **state) {
    static watch watched;
    qmm_context_options options = QMM_CONTEXT_OPTIONS_INIT;
    qmm_context *const outer = context;
    const fake_call outer_call = call;
    (void)state;
    watch_init(&watched, true);
    options.allocator = &watched.allocator;
    context = fake_open(&options);
    call = fake_call_open(context, 8, 5, 6, QMM_S32);
    fake.rows[FAKE_FIRST].workspace = 300, fake.rows[FAKE_THIRD].workspace = 5000;
    expect_ok(context, qmm_context_prepare(context), "prepare");
    expect_ok(context, qmm_context_reserve_workspace(context, 1000), "reserve");
    for (int failing = 0; failing < 2; failing++) {
        const void *const before = context->workspace;
        trials t;
        if (failing) watched.fail_at = watched.calls + 4; /* the timer, the flush, 300 bytes, 5,000 */
        expect_ok(context, tune(&t, 4096), "tune");
        expect((strstr(t.reasons[4], "no device memory for a workspace of 5000 bytes") != NULL) == failing, "said: %s",
               t.reasons[4]);
        watched.fail_at = 0;
        expect(context->workspace == before && context->workspace_bytes == 1000, "the workspace has %zu bytes now",
               context->workspace_bytes);
    }
    qmm_context_close(context);
    expect(watched.live == 0 && watched.faults == 0, "%lld live", (long long)watched.live);
    context = outer;
    call = outer_call;
    end_of_test();
}

static void test_two_percent(void **state) {
    static const struct {
        double third;
        int kept;
        const char *what;
    } steps[] = { { 0.985, 0, "1.5 % faster" }, { 0.97, 1, "3 % faster" },   { 0.97, 1, "the same again" },
                  { 0.985, 0, "no longer" },    { 2.0, 0, "never at all" }, { 0.5, 1, "twice as fast" } };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        set_seconds(1, 2, 2, 2, steps[i].third, 2);
        expect_ok(context, tune(NULL, 0), steps[i].what);
        expect(qmm_tuning_count(context) == steps[i].kept, "%s: %d choices", steps[i].what, qmm_tuning_count(context));
        expect_plan(steps[i].kept ? "cpu:matmul:third" : "cpu:matmul:first", "", steps[i].kept);
    }
    end_of_test();
}

/* The usual choice is what it would be without this one: another call's choice may reach as far. */
static void test_against_a_neighbour(void **state) {
    fake_call larger = fake_call_open(context, 10, 5, 6, QMM_S32);
    const fake_call own = call;
    (void)state;
    set_seconds(2, 3, 3, 3, 1, 3);
    call = larger;
    expect_ok(context, tune(NULL, 0), "M 10");
    call = own;
    expect_plan("cpu:matmul:third", "", 1);
    set_seconds(2, 3, 3, 3, 4, 3); /* not so at M 8 */
    expect_ok(context, tune(NULL, 0), "M 8");
    expect(qmm_tuning_count(context) == 2, "%d choices", qmm_tuning_count(context));
    expect_plan("cpu:matmul:first", "", 1);
    call = larger;
    expect_plan("cpu:matmul:third", "", 1);
    call = own;
    end_of_test();
}

/* ---- what a choice is for ---------------------------------------------------------------------------------------- */

static void put_for(qmm_type c, int64_t group_size, int64_t m, int row, int variant) {
    qmmi_tuned choice = { .n = 5,
                          .k = 6,
                          .batch = 1,
                          .group_size = group_size,
                          .m = m,
                          .variant = variant,
                          .row = &context->backend->rows[QMMI_MATMUL][row] };
    const qmmi_kinds kinds = { .a = QMM_S8, .b = QMM_S8, .c = c };
    choice.kinds = qmmi_kinds_pack(&kinds);
    assert_true(qmmi_tuning_reserve(context));
    qmmi_tuning_put(&context->tuning, &choice);
}

static void put(int64_t m, int row, int variant) {
    put_for(QMM_S32, 0, m, row, variant);
}

static void test_range_of_m(void **state) {
    uint64_t random = 3;
    (void)state;
    for (int table = 0; table < 50; table++) {
        int64_t entries[6];
        for (int i = 0; i < 6; i++) put(entries[i] = 1 + (int64_t)(next_random(&random) % 64), FAKE_THIRD, 0);
        for (int64_t m = 1; m <= 70; m++) {
            int64_t wanted = 0, found;
            qmmi_matmul_problem problem = { .m = m, .n = 5, .k = 6, .batch = 1, .a = { .type = QMM_S8, .k_stride = 1 },
                                            .b = { .type = QMM_S8, .k_stride = 5 }, .c = { .type = QMM_S32 } };
            const qmmi_tuned *tuned = qmmi_tuning_find(&context->tuning, &problem);
            for (int i = 0; i < 6; i++)
                if (entries[i] >= m && (!wanted || entries[i] < wanted)) wanted = entries[i];
            if (2 * m <= wanted) wanted = 0;
            found = tuned ? tuned->m : 0;
            expect(found == wanted, "table %d: M %lld has the choice of %lld, not %lld", table, (long long)m,
                   (long long)found, (long long)wanted);
            tuned = qmmi_tuning_find_exact(&context->tuning, &problem);
            expect((tuned != NULL) == (found == m), "table %d: M %lld exactly", table, (long long)m);
        }
        for (int i = 1; i < context->tuning.count; i++)
            expect(qmmi_tuned_order(&context->tuning.choices[i - 1], &context->tuning.choices[i]) < 0, "not in order");
        while (context->tuning.count > 0)
            qmmi_tuning_remove(&context->tuning, &context->tuning.choices[next_random(&random) %
                                                                          (uint64_t)context->tuning.count]);
    }
    end_of_test();
}

/* A choice at M 8 is for this very kind of call. */
static void test_other_calls(void **state) {
    qmm_matmul_desc desc = QMM_MATMUL_DESC_INIT;
    qmm_quant groups = QMM_QUANT_INIT;
    qmm_weights *weights;
    qmm_tensor a = call.a, b = call.b, c = call.c, scales;
    qmm_matmul_plan_info plan = QMM_MATMUL_PLAN_INFO_INIT;
    (void)state;
#define EXPECT_TUNED(yes, what)                                                                                  \
    do {                                                                                                         \
        expect_ok(context, qmm_matmul_plan(context, &desc, &a, desc.weights ? NULL : &b, &c, &plan), what);      \
        expect((plan.tuned != 0) == (yes), "%s: tuned is %d", what, (int)plan.tuned);                            \
        desc = (qmm_matmul_desc)QMM_MATMUL_DESC_INIT, a = call.a, b = call.b, c = call.c;                        \
    } while (0)
    put(8, FAKE_THIRD, 0);
    EXPECT_TUNED(true, "this call");
    a.rows = c.rows = 5;
    EXPECT_TUNED(true, "M 5");
    a.rows = c.rows = 4;
    EXPECT_TUNED(false, "M 4");
    b.cols = c.cols = 4;
    EXPECT_TUNED(false, "another N");
    a.cols = 5, b.rows = 5;
    EXPECT_TUNED(false, "another K");
    a.rows = c.rows = 5, a = batched(a, 2, 0), b = batched(b, 2, 0), c = batched(c, 2, 25);
    c.buffer = a.buffer = b.buffer = NULL;
    EXPECT_TUNED(false, "a batch");
    a.type = QMM_U8;
    EXPECT_TUNED(false, "another type of A");
    b.type = QMM_U8;
    EXPECT_TUNED(false, "another type of B");
    c.type = QMM_F32;
    EXPECT_TUNED(false, "another type of C");
    desc.transpose_a = 1, a.rows = 6, a.cols = a.row_stride = 8;
    EXPECT_TUNED(false, "A transposed");
    desc.transpose_b = 1, b.rows = 5, b.cols = b.row_stride = 6;
    EXPECT_TUNED(false, "B transposed");
    assert_int_equal(qmm_weights_create(context, &call.b, NULL, &weights), QMM_OK);
    desc.weights = weights;
    EXPECT_TUNED(false, "B packed");
    scales = tensor_at(NULL, 0, QMM_F32, 2, 5, 5);
    groups.granularity = QMM_PER_COLUMN_GROUP, groups.group_size = 3, groups.scale = &scales;
    put_for(QMM_F32, 0, 8, FAKE_THIRD, 0);
    put_for(QMM_F32, 2, 8, FAKE_THIRD, 0);
    c.type = QMM_F32;
    EXPECT_TUNED(true, "without groups");
    desc.quant_b = &groups, c.type = QMM_F32;
    EXPECT_TUNED(false, "groups");
    put_for(QMM_F32, 3, 8, FAKE_THIRD, 0);
    desc.quant_b = &groups, c.type = QMM_F32;
    EXPECT_TUNED(true, "groups of their size");
    c.row_stride = 6, c.buffer = NULL;
    EXPECT_TUNED(true, "another stride");
#undef EXPECT_TUNED
    end_of_test();
}

/* ---- what goes before a choice ----------------------------------------------------------------------------------- */

/* What explain says of the first row; of the one that runs it says nothing. */
typedef struct hearsay {
    char first[256];
    const char *chosen;
} hearsay;

static void hear(void *user, const char *kernel, const char *reason) {
    hearsay *h = user;
    if (strcmp(kernel, fake_names[FAKE_FIRST]) == 0) snprintf(h->first, sizeof h->first, "%s", reason ? reason : "");
    if (strcmp(kernel, h->chosen) == 0) expect(!reason, "the chosen row: %s", reason);
}

static void expect_explained(const char *chosen, const char *first) {
    hearsay h = { "", chosen };
    expect_ok(context, qmm_matmul_explain(context, NULL, &call.a, &call.b, &call.c, hear, &h), "explain");
    expect(strcmp(h.first, first) == 0, "said: %s", h.first);
}

static void test_choice_or_usual(void **state) {
    (void)state;
    put(8, FAKE_THIRD, 0);
    fake.rows[FAKE_THIRD].declines = "never mind"; /* it was faster all the same */
    expect_plan("cpu:matmul:third", "", 1);
    expect_explained("cpu:matmul:third", "cpu:matmul:third was faster when this was tuned");
    fake.rows[FAKE_THIRD].accepts = "not aligned so";
    expect_plan("cpu:matmul:first", "", 0);
    fake.rows[FAKE_THIRD].accepts = NULL;
    context->capabilities = 0;
    expect_plan("cpu:matmul:first", "", 0);
    context->capabilities = FAKE_ABILITY;
    expect_ok(context, qmm_kernel_force(context, fake_names[FAKE_REFERENCE]), "force");
    expect_plan("cpu:matmul:reference", "", 0);
    expect_error(context, tune(NULL, 0), QMM_INVALID_ARGUMENT,
                 "qmm_tune_matmul: cpu:matmul:reference is forced: give NULL to qmm_kernel_force first");
    expect_ok(context, qmm_kernel_force(context, NULL), "take back");
    expect_plan("cpu:matmul:third", "", 1);
    /* A variant that refuses this leaves no variant to the row that runs. */
    put(8, FAKE_SECOND, 2);
    expect_plan("cpu:matmul:second", "narrow", 1);
    fake.rows[FAKE_FIRST].refused_variants[2] = "asked for another row's variant";
    expect_explained("cpu:matmul:second", "cpu:matmul:second was faster when this was tuned");
    fake.rows[FAKE_SECOND].refused_variants[2] = "not so narrow";
    expect_plan("cpu:matmul:first", "", 0);
    fake.rows[FAKE_FIRST].accepts = "no";
    expect_plan("cpu:matmul:second", "", 0);
    /* A choice is not trusted more than any row. */
    put(8, FAKE_SECOND, 1);
    memset(context->trust, 0, sizeof context->trust);
    fake.rows[FAKE_SECOND].refused_variants[2] = NULL;
    fake.rows[FAKE_SECOND].wrong_variant = 2;
    fake.rows[FAKE_THIRD].declines = NULL;
    expect_plan("cpu:matmul:third", "", 0);
    end_of_test();
}

static qmm_status run_within(qmm_buffer *workspace, size_t bytes, qmm_matmul_plan_info *plan) {
    qmm_matmul_desc desc = QMM_MATMUL_DESC_INIT;
    desc.workspace = workspace, desc.workspace_bytes = bytes;
    QMMI_TRY(qmm_matmul_plan(context, &desc, &call.a, &call.b, &call.c, plan));
    return qmm_matmul(context, &desc, &call.a, &call.b, &call.c);
}

/* A call that worked without a choice works with it: one that needs more than the caller's workspace waits. */
static void test_choice_and_workspace(void **state) {
    qmm_matmul_plan_info plan = QMM_MATMUL_PLAN_INFO_INIT;
    qmm_buffer *workspace;
    size_t needed = 0;
    (void)state;
    assert_int_equal(qmm_buffer_create(context, 8192, &workspace), QMM_OK);
    fake.rows[FAKE_FIRST].workspace = 100, fake.rows[FAKE_THIRD].workspace = 5000;
    put(8, FAKE_THIRD, 0);
    fake_forget_calls();
    expect_ok(context, run_within(workspace, 100, &plan), "too little for the choice");
    expect(fake.rows[FAKE_FIRST].runs == 1 && fake.rows[FAKE_THIRD].runs == 0 && !plan.tuned &&
               strcmp(plan.kernel, fake_names[FAKE_FIRST]) == 0,
           "planned is %s", plan.kernel);
    expect_ok(context, run_within(workspace, 5000, &plan), "enough for it");
    expect(fake.rows[FAKE_THIRD].runs == 1 && plan.tuned, "planned is %s", plan.kernel);
    expect_error(context, run_within(workspace, 99, &plan), QMM_INVALID_ARGUMENT,
                 "qmm_matmul: workspace of 99 bytes is less than the 100 that cpu:matmul:first needs");
    expect_ok(context, qmm_matmul_workspace(context, NULL, &call.a, &call.b, &call.c, &needed), "workspace");
    expect(needed == 5000, "the choice needs %zu", needed);
    expect_ok(context, fake_call_run(&call), "the context's own");
    expect(fake.rows[FAKE_THIRD].runs == 2, "the choice does not run in the context's own workspace");
    qmm_buffer_free(workspace);
    end_of_test();
}

/* Under capture nothing can be tested and nothing can grow: the usual order runs until that was done before. */
static void test_choice_under_capture(void **state) {
    (void)state;
    put(8, FAKE_SECOND, 2);
    fake.capturing = true;
    expect_plan("cpu:matmul:first", "", 0);
    expect_ok(context, fake_call_run(&call), "captured, untested");
    fake.capturing = false;
    expect_ok(context, qmm_context_prepare(context), "prepare");
    fake.rows[FAKE_SECOND].workspace = 5000;
    fake.capturing = true;
    expect_plan("cpu:matmul:first", "", 0);
    expect_ok(context, fake_call_run(&call), "captured, without workspace");
    fake.capturing = false;
    expect_ok(context, qmm_context_reserve_workspace(context, 5000), "reserve");
    fake.capturing = true;
    expect_plan("cpu:matmul:second", "narrow", 1);
    expect_ok(context, fake_call_run(&call), "captured, prepared");
    fake.capturing = false;
    end_of_test();
}

/* c by another handle is c all the same: every run would add to it. */
static void test_residual_is_c(void **state) {
    qmm_matmul_desc desc = QMM_MATMUL_DESC_INIT;
    qmm_verify_result verified = QMM_VERIFY_RESULT_INIT;
    float memory[64] = { 0 };
    qmm_buffer *handles[2];
    qmm_tensor c, residual;
    (void)state;
    for (int i = 0; i < 2; i++)
        assert_int_equal(qmm_buffer_wrap(context, (char *)memory + 16 * i, sizeof memory - 16, &handles[i]), QMM_OK);
    c = tensor_at(handles[0], 16, QMM_F32, 8, 5, 5);
    residual = tensor_at(handles[1], 0, QMM_F32, 8, 5, 5);
    desc.residual = &residual;
    expect_error(context, qmm_tune_matmul(context, &desc, &call.a, &call.b, &c, NULL, NULL, NULL), QMM_INVALID_ARGUMENT,
                 "qmm_tune_matmul: residual of desc is c itself: every run would add to it");
    expect_error(context, qmm_verify_matmul(context, &desc, &call.a, &call.b, &c, NULL, &verified),
                 QMM_INVALID_ARGUMENT,
                 "qmm_verify_matmul: residual of desc is c itself: what was added is no longer there");
    for (int i = 0; i < 2; i++) qmm_buffer_free(handles[i]);
    end_of_test();
}

/* ---- rows that fail ---------------------------------------------------------------------------------------------- */

static void test_failing_rows(void **state) {
    trials t;
    (void)state;
    set_seconds(4, 3, 3, 3, 2, 6);
    expect_error(context, qmm_kernel_force(context, "x"), QMM_INVALID_ARGUMENT, NULL);
    fake.rows[FAKE_THIRD].status = QMM_BUILD_FAILED;
    fake.rows[FAKE_SECOND].accepts = "not this";
    expect_ok(context, tune(&t, 0), "tune");
    expect(t.count == TRIALS && strcmp(t.reasons[1], "not this") == 0 && strcmp(t.reasons[3], "not this") == 0 &&
               strcmp(t.reasons[4], "a fake row: it was told to fail") == 0,
           "said: %s; %s", t.reasons[1], t.reasons[4]);
    expect(qmm_tuning_count(context) == 0, "%d choices", qmm_tuning_count(context));
    expect(qmm_context_error_status(context) == QMM_INVALID_ARGUMENT &&
               strcmp(qmm_context_error(context), "qmm_kernel_force: name 'x' is not a kernel of this device") == 0,
           "a success has changed the last error: %s", qmm_context_error(context));
    fake.rows[FAKE_FIRST].status = fake.rows[FAKE_REFERENCE].status = QMM_INTERNAL;
    put(8, FAKE_REFERENCE, 0);
    expect(tune(&t, 0) == QMM_INTERNAL && qmm_tuning_count(context) == 1, "no row runs, and tuning succeeds");
    fake.rows[FAKE_FIRST].accepts = fake.rows[FAKE_THIRD].accepts = fake.rows[FAKE_REFERENCE].accepts = "nor this";
    expect(tune(&t, 0) == QMM_UNSUPPORTED && qmm_tuning_count(context) == 1, "no row accepts, and tuning succeeds");
    expect(strncmp(qmm_context_error(context), "qmm_tune_matmul: no kernel takes this:", 38) == 0, "said: %s",
           qmm_context_error(context));
    fake.rows[FAKE_FIRST].accepts = NULL;
    fake.rows[FAKE_FIRST].status = QMM_DEVICE_FAILED;
    fake_forget_calls();
    expect(tune(&t, 0) == QMM_DEVICE_FAILED && t.count == 0, "a failed device is tuned on");
    expect(qmm_context_error_status(context) == QMM_DEVICE_FAILED, "%s", qmm_context_error(context));
    end_of_test();
}

static void test_nothing_to_tune(void **state) {
    qmm_tensor a = call.a, c = call.c;
    trials t = { .count = 0 };
    (void)state;
    a.rows = c.rows = 0;
    expect_ok(context, qmm_tune_matmul(context, NULL, &a, &call.b, &c, NULL, keep, &t), "M 0");
    expect(t.count == 0 && qmm_tuning_count(context) == 0, "%d trials", t.count);
    end_of_test();
}

static void test_full_table(void **state) {
    (void)state;
    set_seconds(2, 3, 3, 3, 1, 3);
    for (int64_t m = 1; m <= QMMI_TUNED_MAX; m++) put(1000 * m, FAKE_THIRD, 0);
    expect_error(context, tune(NULL, 0), QMM_INVALID_ARGUMENT,
                 "qmm_tune_matmul: the table of tuned choices is full: it has 2048");
    qmmi_tuning_remove(&context->tuning, &context->tuning.choices[QMMI_TUNED_MAX - 1]);
    expect_ok(context, tune(NULL, 0), "room for one");
    expect_ok(context, tune(NULL, 0), "the same once more");
    expect(qmm_tuning_count(context) == QMMI_TUNED_MAX, "%d choices", qmm_tuning_count(context));
    end_of_test();
}

/* The n-th allocation fails, for every n: of the table, the timer, the flush; of a workspace, which that row is refused
 * for. Nothing is lost, nothing leaks. */
static void test_memory(void **state) {
    static watch watched;
    qmm_context_options options = QMM_CONTEXT_OPTIONS_INIT;
    qmm_context *const outer = context;
    const fake_call outer_call = call;
    int failed = 0, refused = 0;
    (void)state;
    for (int n = 1;; n++) {
        trials t;
        qmm_status status;
        bool injected;
        fake_reset();
        set_seconds(2, 3, 3, 3, 1, 3);
        fake.rows[FAKE_THIRD].workspace = 5000;
        watch_init(&watched, true);
        options.allocator = &watched.allocator;
        context = fake_open(&options);
        call = fake_call_open(context, 8, 5, 6, QMM_S32);
        expect_ok(context, qmm_context_prepare(context), "prepare");
        watched.fail_at = watched.calls + n;
        status = tune(&t, 4096);
        injected = watched.calls >= watched.fail_at;
        watched.fail_at = 0;
        if (status != QMM_OK) {
            expect_error(context, status, QMM_OUT_OF_MEMORY, NULL);
            expect(qmm_tuning_count(context) == 0, "%d choices", qmm_tuning_count(context));
            failed++;
        } else if (injected) {
            expect(strstr(t.reasons[4], "no device memory for a workspace of 5000 bytes") != NULL, "said: %s",
                   t.reasons[4]);
            expect(qmm_tuning_count(context) == 0, "%d choices", qmm_tuning_count(context));
            refused++;
        }
        expect_ok(context, tune(&t, 4096), "the next");
        expect_plan("cpu:matmul:third", "", 1);
        qmm_context_close(context);
        expect(watched.live == 0 && watched.faults == 0 && fake.timers == 0, "allocation %d: %lld live", n,
               (long long)watched.live);
        if (!injected) break;
    }
    expect(failed == 3 && refused == 1, "%d calls failed, %d rows were refused", failed, refused);
    context = outer;
    call = outer_call;
    end_of_test();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_fastest, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_runs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_resolution, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_workspace_stays, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_two_percent, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_against_a_neighbour, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_range_of_m, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_other_calls, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_choice_or_usual, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_choice_and_workspace, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_choice_under_capture, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_residual_is_c, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_failing_rows, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nothing_to_tune, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_full_table, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_memory, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
