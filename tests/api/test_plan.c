/* SPDX-License-Identifier: Apache-2.0
 *
 * The choice of a matmul's row: the usual order, estimates, variants, what is forced; that plan, explain and the run
 * agree; on a table of made-up rows. */
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
    call = fake_call_open(context, 4, 5, 6, QMM_S32);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    qmm_context_close(context);
    return 0;
}

/* Past the known-answer test, so that counts are those of the call alone. */
static void prepare(void) {
    expect_ok(context, qmm_context_prepare(context), "prepare");
    fake_forget_calls();
}

/* ---- what explain says ------------------------------------------------------------------------------------------- */

typedef struct verdicts {
    int count;
    char reasons[FAKE_ROWS][256]; /* empty: it accepts */
} verdicts;

static void keep(void *user, const char *kernel, const char *reason) {
    verdicts *v = user;
    assert_in_range(v->count, 0, FAKE_ROWS - 1);
    expect(strcmp(kernel, fake_names[v->count]) == 0, "row %d is %s", v->count, kernel);
    snprintf(v->reasons[v->count++], sizeof v->reasons[0], "%s", reason ? reason : "");
}

static verdicts explain(void) {
    verdicts v = { .count = 0 };
    expect_ok(context, qmm_matmul_explain(context, NULL, &call.a, &call.b, &call.c, keep, &v), "explain");
    expect(v.count == FAKE_ROWS, "%d rows explained", v.count);
    return v;
}

/* Plan, explain and the run name this row; -1: none takes it. */
static void expect_choice(int row, const char *what) {
    const verdicts v = explain();
    qmm_matmul_plan_info plan = QMM_MATMUL_PLAN_INFO_INIT;
    int first = 0;
    qmm_status status;
    while (first < FAKE_ROWS && v.reasons[first][0]) first++;
    expect((first == FAKE_ROWS ? -1 : first) == row, "%s: explained is %d, not %d", what, first, row);
    fake_forget_calls();
    status = fake_call_run(&call);
    expect(status == (row < 0 ? QMM_UNSUPPORTED : QMM_OK), "%s: %s", what, qmm_status_name(status));
    for (int r = 0; r < FAKE_ROWS; r++)
        expect(fake.rows[r].runs == (r == row), "%s: %s ran %d times", what, fake_names[r], fake.rows[r].runs);
    status = qmm_matmul_plan(context, NULL, &call.a, &call.b, &call.c, &plan);
    expect(status == (row < 0 ? QMM_UNSUPPORTED : QMM_OK), "%s: plan: %s", what, qmm_status_name(status));
    expect(strcmp(plan.kernel, row < 0 ? "" : fake_names[row]) == 0 && plan.tuned == 0, "%s: planned is '%s'", what,
           plan.kernel);
}

/* ---- tests ------------------------------------------------------------------------------------------------------- */

static void test_order(void **state) {
    (void)state;
    expect_choice(FAKE_FIRST, "all");
    fake.rows[FAKE_FIRST].accepts = "not this";
    expect_choice(FAKE_SECOND, "first refuses");
    fake.rows[FAKE_SECOND].declines = "a later one is faster";
    expect_choice(FAKE_THIRD, "second declines");
    context->capabilities = 0;
    expect_choice(FAKE_REFERENCE, "third lacks what it needs");
    fake.rows[FAKE_REFERENCE].accepts = "nor this";
    expect_choice(-1, "nobody");
    expect(strcmp(qmm_context_error(context), "qmm_matmul_plan: no kernel takes this:\n  cpu:matmul:first: not this\n"
                                              "  cpu:matmul:second: a later one is faster\n"
                                              "  cpu:matmul:third: the device lacks what it needs\n"
                                              "  cpu:matmul:reference: nor this") == 0,
           "said: %s", qmm_context_error(context));
    end_of_test();
}

static void set_estimates(double first, double second, double third) {
    fake.rows[FAKE_FIRST].estimate = first;
    fake.rows[FAKE_SECOND].estimate = second;
    fake.rows[FAKE_THIRD].estimate = third;
}

static void test_estimates(void **state) {
    (void)state;
    set_estimates(3, 2, 1);
    expect_choice(FAKE_THIRD, "the least");
    set_estimates(2, 2, 2);
    expect_choice(FAKE_FIRST, "a tie");
    set_estimates(2, 1, 0);
    expect_choice(FAKE_SECOND, "one cannot say");
    set_estimates(0, 1, 1);
    expect_choice(FAKE_FIRST, "the first cannot say");
    set_estimates(3, 2, 1);
    fake.rows[FAKE_THIRD].declines = "not here";
    expect_choice(FAKE_SECOND, "the least declines");
    context->capabilities = 0;
    fake.rows[FAKE_THIRD].declines = NULL;
    expect_choice(FAKE_SECOND, "the least lacks what it needs");
    expect(fake_call_plan(&call).estimate == 2.0, "the plan's estimate is %g", fake_call_plan(&call).estimate);
    end_of_test();
}

/* What need not be asked is not: it would cost every call. */
static void test_asked(void **state) {
    (void)state;
    prepare();
    expect_ok(context, fake_call_run(&call), "run");
    for (int r = 1; r < FAKE_ROWS; r++)
        expect(fake.rows[r].accepts_asked == 0 && fake.rows[r].estimates_asked == 0, "%s was asked", fake_names[r]);
    set_estimates(1, 2, 3);
    fake_forget_calls();
    expect_ok(context, fake_call_run(&call), "run");
    for (int r = 1; r < FAKE_ROWS; r++)
        expect(fake.rows[r].accepts_asked == 0, "%s was asked, whose estimate is no less", fake_names[r]);
    expect(fake.rows[FAKE_FIRST].accepts_asked == 1, "the first was asked %d times",
           fake.rows[FAKE_FIRST].accepts_asked);
    set_estimates(3, 2, 1);
    context->capabilities = 0;
    fake_forget_calls();
    expect_ok(context, fake_call_run(&call), "run");
    expect(fake.rows[FAKE_THIRD].estimates_asked == 0, "a row that lacks what it needs was asked");
    end_of_test();
}

/* Random tables against the rule as the header states it. */
static void test_any_table(void **state) {
    uint64_t random = 7;
    (void)state;
    prepare();
    for (int n = 0; n < 2000; n++) {
        int wanted = -1;
        char what[32];
        for (int r = 0; r < FAKE_ROWS; r++) {
            fake_row *const row = &fake.rows[r];
            row->accepts = next_random(&random) % 3 ? NULL : "refused";
            row->declines = next_random(&random) % 4 ? NULL : "declined";
            row->estimate = (double)(next_random(&random) % 4);
            if (row->accepts || row->declines) continue;
            if (wanted < 0 || (fake.rows[wanted].estimate > 0 && row->estimate > 0 &&
                               row->estimate < fake.rows[wanted].estimate))
                wanted = r;
        }
        snprintf(what, sizeof what, "table %d", n);
        expect_choice(wanted, what);
    }
    end_of_test();
}

static void test_explained(void **state) {
    verdicts v;
    (void)state;
    set_estimates(31.2e-6, 12e-6, 40e-6);
    v = explain();
    expect(strcmp(v.reasons[FAKE_FIRST], "expected to take 31.2 us, cpu:matmul:second 12.0 us") == 0, "%s",
           v.reasons[FAKE_FIRST]);
    expect(strcmp(v.reasons[FAKE_THIRD], "expected to take 40.0 us, cpu:matmul:second 12.0 us") == 0, "%s",
           v.reasons[FAKE_THIRD]);
    expect(v.reasons[FAKE_SECOND][0] == '\0' && v.reasons[FAKE_REFERENCE][0] == '\0', "%s", v.reasons[FAKE_SECOND]);
    set_estimates(31.2e-6, 0, 12e-6);
    v = explain();
    expect(strcmp(v.reasons[FAKE_SECOND], "cannot say how long it takes, cpu:matmul:third 12.0 us") == 0, "%s",
           v.reasons[FAKE_SECOND]);
    expect_ok(context, qmm_kernel_force(context, fake_names[FAKE_THIRD]), "force");
    v = explain();
    for (int r = 0; r < FAKE_ROWS; r++)
        expect(strcmp(v.reasons[r], r == FAKE_THIRD ? "" : "another row is forced") == 0, "%s", v.reasons[r]);
    end_of_test();
}

static void test_variants(void **state) {
    qmm_matmul_plan_info plan;
    int second = 0;
    (void)state;
    while (strcmp(qmm_kernel_name(context, second), fake_names[FAKE_SECOND]) != 0) second++;
    expect(strcmp(qmm_kernel_variant_name(context, second, 0), "wide") == 0 &&
               strcmp(qmm_kernel_variant_name(context, second, 1), "narrow") == 0 &&
               strcmp(qmm_kernel_variant_name(context, second, 2), "") == 0 &&
               strcmp(qmm_kernel_variant_name(context, second - 1, 0), "") == 0,
           "the names of variants");
    prepare();
    expect_ok(context, qmm_kernel_force(context, "cpu:matmul:second/narrow"), "force");
    expect_choice(FAKE_SECOND, "a variant forced");
    expect(fake.rows[FAKE_SECOND].last_variant == 2, "variant %d ran", fake.rows[FAKE_SECOND].last_variant);
    plan = fake_call_plan(&call);
    expect(strcmp(plan.variant, "narrow") == 0, "planned is '%s'", plan.variant);
    fake.rows[FAKE_SECOND].refused_variants[2] = "not so narrow";
    expect(fake_call_run(&call) == QMM_UNSUPPORTED && strstr(qmm_context_error(context), "second: not so narrow"),
           "said: %s", qmm_context_error(context));
    expect_ok(context, qmm_kernel_force(context, "cpu:matmul:second/wide"), "force");
    expect_choice(FAKE_SECOND, "the other variant");
    expect(fake.rows[FAKE_SECOND].last_variant == 1, "variant %d ran", fake.rows[FAKE_SECOND].last_variant);
    expect_error(context, qmm_kernel_force(context, "cpu:matmul:second/wid"), QMM_INVALID_ARGUMENT,
                 "qmm_kernel_force: name 'cpu:matmul:second/wid' has no variant of cpu:matmul:second behind its slash");
    expect_ok(context, qmm_kernel_force(context, "cpu:matmul:second"), "force");
    expect_choice(FAKE_SECOND, "no variant");
    plan = fake_call_plan(&call);
    expect(fake.rows[FAKE_SECOND].last_variant == 0 && plan.variant[0] == '\0', "the variant stays forced");
    expect_ok(context, qmm_kernel_force(context, "cpu:matmul:second/wide"), "force");
    expect_ok(context, qmm_kernel_force(context, NULL), "take back");
    expect_choice(FAKE_FIRST, "taken back");
    expect(fake.rows[FAKE_FIRST].last_variant == 0, "variant %d of a row that has none",
           fake.rows[FAKE_FIRST].last_variant);
    end_of_test();
}

/* The known-answer test runs the row's own choice (variant 0) and every variant; one that is wrong makes the row
 * refused. */
static void test_variants_are_tested(void **state) {
    (void)state;
    expect_ok(context, qmm_context_prepare(context), "prepare");
    expect(fake.rows[FAKE_SECOND].variants_run == (1u << 0 | 1u << 1 | 1u << 2), "variants %x were tested",
           fake.rows[FAKE_SECOND].variants_run);
    for (int wrong = 0; wrong <= FAKE_VARIANTS; wrong++) {
        memset(context->trust, 0, sizeof context->trust);
        fake.rows[FAKE_SECOND].wrong_variant = wrong;
        expect_ok(context, qmm_kernel_force(context, fake_names[FAKE_SECOND]), "force");
        expect(fake_call_run(&call) == QMM_UNSUPPORTED && strstr(qmm_context_error(context), "known-answer test"),
               "variant %d is wrong, and: %s", wrong, qmm_context_error(context));
    }
    end_of_test();
}

/* ---- a row that says which variant it picks ---------------------------------------------------------------------- */

static int picked;

static int picks(const qmm_context *c, const qmmi_problem *problem) {
    (void)c;
    expect(problem->as.matmul.variant == 0, "it is asked, though variant %d is given", problem->as.matmul.variant);
    return picked;
}

static qmmi_split split(const qmm_context *c, const qmmi_problem *problem) {
    (void)c, (void)problem;
    return (qmmi_split){ 7, 9 };
}

/* The context's table, but that the second row picks and splits. */
static void let_second_pick(int variant) {
    static qmmi_backend backend;
    static qmmi_row rows[FAKE_ROWS + 1];
    memcpy(rows, context->backend->rows[QMMI_MATMUL], sizeof rows);
    rows[FAKE_SECOND].picks = picks;
    rows[FAKE_SECOND].split = split;
    backend = *context->backend;
    backend.rows[QMMI_MATMUL] = rows;
    context->backend = &backend;
    picked = variant;
    expect_ok(context, qmm_kernel_force(context, fake_names[FAKE_SECOND]), "force");
}

static void expect_tile(const char *variant, const char *tile) {
    const qmm_matmul_plan_info plan = fake_call_plan(&call);
    expect(strcmp(plan.variant, variant) == 0 && strcmp(plan.tile, tile) == 0, "planned is '%s', tile '%s'",
           plan.variant, plan.tile);
    expect(plan.split_tiles == 7 && plan.split_blocks == 9, "%lld tiles among %lld", (long long)plan.split_tiles,
           (long long)plan.split_blocks);
}

/* Its variants are tested each when it is first picked, and refused each by itself. */
static void test_picked_variants(void **state) {
    (void)state;
    let_second_pick(1);
    fake.rows[FAKE_SECOND].wrong_variant = 2;
    expect_ok(context, fake_call_run(&call), "run");
    expect(fake.rows[FAKE_SECOND].variants_run == (1u << 0 | 1u << 1), "variants %x have run",
           fake.rows[FAKE_SECOND].variants_run);
    expect_tile("", "wide");
    picked = 2;
    expect(fake_call_run(&call) == QMM_UNSUPPORTED && strstr(qmm_context_error(context), "failed its known-answer"),
           "a wrong variant, and: %s", qmm_context_error(context));
    picked = 1;
    expect_ok(context, fake_call_run(&call), "the right variant again");
    picked = 0;
    expect_ok(context, fake_call_run(&call), "a choice without a name");
    expect_tile("", "");
    picked = 2;
    expect_ok(context, qmm_kernel_force(context, "cpu:matmul:second/wide"), "force");
    expect_ok(context, fake_call_run(&call), "what is given, not what would be picked");
    expect_tile("wide", "wide");
    fake_forget_calls();
    expect_ok(context, fake_call_run(&call), "run");
    expect(fake.rows[FAKE_SECOND].runs == 1, "%d runs: it is tested again", fake.rows[FAKE_SECOND].runs);
    end_of_test();
}

/* Not while a queue is captured, but all of them by qmm_context_prepare; none where the row itself is wrong. */
static void test_picked_variants_in_advance(void **state) {
    (void)state;
    let_second_pick(1);
    expect_ok(context, fake_call_run(&call), "run");
    fake.capturing = true;
    expect_ok(context, fake_call_run(&call), "tested, and captured");
    picked = 2;
    expect(fake_call_run(&call) == QMM_INVALID_ARGUMENT && strstr(qmm_context_error(context), "captured"),
           "not tested, and captured: %s", qmm_context_error(context));
    fake.capturing = false;
    prepare();
    fake.capturing = true;
    expect_ok(context, fake_call_run(&call), "prepared, and captured");
    fake.capturing = false;
    memset(context->trust, 0, sizeof context->trust);
    fake_forget_calls();
    fake.rows[FAKE_SECOND].wrong_variant = 0;
    expect_ok(context, qmm_context_prepare(context), "prepare");
    expect(fake.rows[FAKE_SECOND].variants_run == 1u << 0, "variants %x of a wrong row were tested",
           fake.rows[FAKE_SECOND].variants_run);
    end_of_test();
}

static void test_plan(void **state) {
    struct {
        qmm_matmul_plan_info known;
        int64_t later;
    } newer = { QMM_MATMUL_PLAN_INFO_INIT, 77 };
    fake_call unmade = call;
    qmm_matmul_plan_info plan;
    qmm_verify_result verified = QMM_VERIFY_RESULT_INIT;
    (void)state;
    fake.rows[FAKE_FIRST].workspace = 12345;
    fake.rows[FAKE_FIRST].estimate = 0.25;
    unmade.a.buffer = unmade.b.buffer = unmade.c.buffer = NULL;
    plan = fake_call_plan(&unmade);
    expect(plan.workspace_bytes == 12345 && plan.estimate == 0.25 && plan.tuned == 0 && plan.reserved == 0 &&
               plan.variant[0] == '\0' && strcmp(plan.kernel, fake_names[FAKE_FIRST]) == 0,
           "planned: %s, %zu bytes, %g s", plan.kernel, plan.workspace_bytes, plan.estimate);
    newer.known.struct_size = sizeof newer;
    expect_ok(context, qmm_matmul_plan(context, NULL, &call.a, &call.b, &call.c, &newer.known), "a newer struct");
    expect(newer.known.struct_size == sizeof newer && newer.known.workspace_bytes == 12345 && newer.later == 77,
           "a newer struct is not kept");
    unmade.a.rows = unmade.c.rows = 0;
    plan = fake_call_plan(&unmade);
    expect(plan.kernel[0] == '\0' && plan.workspace_bytes == 0 && plan.estimate == 0, "planned for M 0: %s",
           plan.kernel);
    /* Verification runs pieces by the same choice. */
    fake.rows[FAKE_FIRST].accepts = "no";
    expect_ok(context, qmm_kernel_force(context, "cpu:matmul:second/wide"), "force");
    fake_call_close(&call);
    call = fake_call_open(context, 4, 5, 6, QMM_F32);
    expect_ok(context, fake_call_run(&call), "run");
    fake_forget_calls();
    expect_ok(context, qmm_verify_matmul(context, NULL, &call.a, &call.b, &call.c, NULL, &verified), "verify");
    expect(verified.passed && fake.rows[FAKE_SECOND].variants_run == 1u << 1, "verified by variants %x",
           fake.rows[FAKE_SECOND].variants_run);
    end_of_test();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_estimates, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_asked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_any_table, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_explained, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_variants, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_variants_are_tested, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_picked_variants, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_picked_variants_in_advance, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_plan, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
