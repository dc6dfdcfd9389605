/* SPDX-License-Identifier: Apache-2.0
 *
 * The hot path, by the simulated driver's counters: once a context is prepared, a call allocates nothing, waits for
 * nothing and loads nothing; and what cannot be recorded in a graph fails with a reason and leaves the recording in order.
 * Recording and replaying itself is in check_device.c, which runs on real devices too. */
#define _POSIX_C_SOURCE 200809L
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/world.h"
#include "calls.h"
#include "context.h"
#include "jobs.h"
#include "kernel.h"

enum { WORKSPACE = 1 << 22, GLOBAL = 0, ACTIVE = 1 };

static const cuda_calls *cuda;

/* What a call in the hot path must not do. */
static const char *const counters[] = { "allocations", "host_allocations", "streams",         "events",
                                        "modules",     "graphs",           "synchronizations" };

/* ---- the hot path ------------------------------------------------------------------------------------------------- */

static void expect_quiet(const job_world *w, const job *j, const char *row) {
    long long before[COUNT_OF(counters)], calls;
    for (size_t i = 0; i < COUNT_OF(counters); i++) before[i] = simulator_get(counters[i]);
    calls = simulator_get("calls");
    for (int again = 0; again < 3; again++) {
        const qmm_status status = j->run(w, w->context);
        if (status == QMM_UNSUPPORTED && row[0]) return;
        expect_ok(w->context, status, j->name);
    }
    for (size_t i = 0; i < COUNT_OF(counters); i++)
        expect(simulator_get(counters[i]) == before[i], "%s, %s: %s went from %lld to %lld", j->name, row, counters[i],
               before[i], simulator_get(counters[i]));
    /* A context that is looked up and a launch, for each of a few kernels. */
    expect(simulator_get("calls") - calls <= 3 * 16, "%s, %s: %lld calls of the driver", j->name, row,
           (simulator_get("calls") - calls) / 3);
}

static void test_hot_path(void **state) {
    const job_sizes small = JOB_SIZES_SMALL;
    job_world w;
    (void)state;
    job_world_open(&w, "cuda", NULL, small);
    trust_all(w.context);
    expect_ok(w.context, qmm_context_reserve_workspace(w.context, WORKSPACE), "reserve");
    for (int i = 0; i < job_count; i++) {
        job_kernel row;
        for (int n = 0; job_row(w.context, &jobs[i], n, &row); n++) {
            expect_ok(w.context, qmm_kernel_force(w.context, row.name[0] ? row.name : NULL), "force");
            expect_quiet(&w, &jobs[i], row.name);
            expect_ok(w.context, qmm_context_synchronize(w.context), "synchronize");
            expect_ok(w.context, qmm_kernel_force(w.context, NULL), "take back");
        }
    }
    job_world_close(&w);
    end_of_test();
}

/* ---- what cannot be recorded --------------------------------------------------------------------------------------- */

static world the_world;
static world *const w = &the_world;

static void begin(void) {
    cuda_require(cuda->begin_capture(qmm_context_native_queue(w->context), GLOBAL), "cuStreamBeginCapture");
}

/* The recording is still in order: it goes on, and what is recorded next runs when it is replayed. */
static void end_and_replay(const char *what) {
    void *const stream = qmm_context_native_queue(w->context);
    void *graph = NULL, *executable = NULL;
    unsigned char last;
    int status = -1;
    cuda_require(cuda->is_capturing(stream, &status), "cuStreamIsCapturing");
    expect(status == ACTIVE, "%s: the recording is in state %d", what, status);
    expect_ok(w->context, qmm_buffer_fill(w->context, w->out, 0, 0x33, 64), what);
    expect(cuda->end_capture(stream, &graph) == 0, "%s: the recording is lost", what);
    if (!graph) return;
    cuda_require(cuda->graph_instantiate(&executable, graph, 0), "cuGraphInstantiate");
    cuda_require(cuda->graph_launch(executable, stream), "cuGraphLaunch");
    expect_ok(w->context, qmm_context_synchronize(w->context), what);
    world_read(w, w->out, 63, &last, 1);
    expect(last == 0x33, "%s: the replay did nothing", what);
    cuda_require(cuda->executable_destroy(executable), "cuGraphExecDestroy");
    cuda_require(cuda->graph_destroy(graph), "cuGraphDestroy");
}

static bool is_one_of(const char *name, const char *const *names) {
    while (*names && strcmp(*names, name) != 0) names++;
    return *names != NULL;
}

/* Every function of the API under capture, on a prepared context with a workspace: it is recorded, or refused. */
static void test_every_entry(void **state) {
    static const char *const refused[] = { "qmm_context_synchronize",
                                           "qmm_buffer_create",
                                           "qmm_buffer_upload",
                                           "qmm_buffer_download",
                                           "qmm_find_range",
                                           "qmm_calibrator_observe",
                                           "qmm_measure_error",
                                           "qmm_weights_create",
                                           "qmm_verify_matmul",
                                           "qmm_compare",
                                           "qmm_buffer_upload_async",
                                           "qmm_buffer_download_async",
                                           "qmm_timer_create",
                                           "qmm_timer_start",
                                           "qmm_timer_stop",
                                           "qmm_timer_seconds",
                                           NULL };
    static const char *const either[] = { "qmm_context_prepare",   "qmm_context_reserve_workspace",
                                          "qmm_calibrator_create", "qmm_buffer_wrap",
                                          "qmm_calibrator_range",  NULL };
    int recorded = 0;
    (void)state;
    for (size_t i = 0; i < entry_count; i++) {
        const entry *e = &entries[i];
        qmm_status status;
        world_open(w, NULL);
        expect_ok(w->context, qmm_context_prepare(w->context), "prepare");
        expect_ok(w->context, qmm_context_reserve_workspace(w->context, WORKSPACE), "reserve");
        world_poison(w);
        begin();
        status = e->call(w, w->context);
        if (is_one_of(e->name, refused))
            expect_error(w->context, status, QMM_INVALID_ARGUMENT, NULL);
        else if (!is_one_of(e->name, either))
            expect_ok(w->context, status, e->name);
        recorded += status == QMM_OK;
        end_and_replay(e->name);
        world_poison(w);
        world_works(w);
        world_close(w);
    }
    expect(recorded > 10, "only %d were recorded", recorded);
    end_of_test();
}

/* First uses: a workspace that would have to be allocated, a known-answer test that would have to be made. */
static void test_first_use(void **state) {
    long long launches;
    (void)state;
    for (int prepared = 0; prepared < 2; prepared++) {
        qmm_status status;
        int refused = 0;
        world_open(w, NULL);
        if (!prepared) memset(w->context->trust, 0, sizeof w->context->trust);
        if (!prepared) expect_ok(w->context, qmm_context_reserve_workspace(w->context, WORKSPACE), "reserve");
        world_poison(w);
        begin();
        for (size_t i = 0; i < entry_count; i++) {
            if (strcmp(entries[i].name, "qmm_matmul") != 0) continue;
            status = entries[i].call(w, w->context);
            if (status == QMM_OK) continue;
            expect_error(w->context, status, QMM_INVALID_ARGUMENT, NULL);
            expect(strstr(qmm_context_error(w->context), "captur") != NULL, "said: %s", qmm_context_error(w->context));
            refused++;
        }
        expect(refused > 0, "nothing was refused");
        end_and_replay(prepared ? "prepared, without a workspace" : "with a workspace, not prepared");
        world_poison(w);
        world_works(w);
        for (size_t i = 0; i < entry_count; i++) expect_ok(w->context, entries[i].call(w, w->context), entries[i].name);
        /* Prepared once is prepared. */
        expect_ok(w->context, qmm_context_prepare(w->context), "prepare");
        launches = simulator_get("launches");
        expect_ok(w->context, qmm_context_prepare(w->context), "prepare again");
        expect(simulator_get("launches") == launches, "%lld launches", simulator_get("launches") - launches);
        world_close(w);
    }
    end_of_test();
}

/* ---- tuned choices ----------------------------------------------------------------------------------------------- */

/* The world's matmul on this variant of this row. */
static void choose(const char *row, int variant) {
    const qmmi_kinds kinds = { .a = QMM_S8, .b = QMM_S8, .c = QMM_S32 };
    qmmi_tuned choice = { .n = w->b.cols, .k = w->b.rows, .batch = 1, .m = w->a.rows, .variant = variant };
    qmmi_operation operation;
    choice.kinds = qmmi_kinds_pack(&kinds);
    choice.row = qmmi_row_find(w->context, row, strlen(row), &operation);
    assert_non_null(choice.row);
    assert_true(qmmi_tuning_reserve(w->context));
    qmmi_tuning_put(&w->context->tuning, &choice);
}

static void expect_planned(const char *variant, int tuned) {
    qmm_matmul_plan_info plan = QMM_MATMUL_PLAN_INFO_INIT;
    expect_ok(w->context, qmm_matmul_plan(w->context, NULL, &w->a, &w->b, &w->c, &plan), "plan");
    expect(strcmp(plan.variant, variant) == 0 && (plan.tuned != 0) == tuned, "planned is %s/%s, %s", plan.kernel,
           plan.variant, plan.tuned ? "tuned" : "not tuned");
}

/* A choice that is not tested yet makes no recording fail; the usual row is recorded. Once tested it runs, as the variant
 * that was chosen, and is recorded. */
static void test_tuned_choice(void **state) {
    long long blocks, threads;
    ptrdiff_t mma;
    (void)state;
    world_open(w, NULL);
    choose("cuda:matmul:mma", 1);
    mma = w->context->tuning.choices->row - w->context->backend->rows[QMMI_MATMUL];
    expect_ok(w->context, qmm_context_reserve_workspace(w->context, WORKSPACE), "reserve");
    w->context->trust[QMMI_MATMUL][mma][1] = QMMI_UNTESTED;
    begin();
    expect_planned("", 0);
    expect_ok(w->context, qmm_matmul(w->context, NULL, &w->a, &w->b, &w->c), "a matmul, not tested");
    expect_error(w->context, tuning_entries[0].call(w, w->context), QMM_INVALID_ARGUMENT, NULL); /* it waits */
    end_and_replay("a choice that is not tested");
    world_poison(w);
    trust_all(w->context);
    expect_planned("large", 1);
    blocks = simulator_get("blocks_run"), threads = simulator_get("threads_run");
    world_works(w);
    blocks = simulator_get("blocks_run") - blocks, threads = simulator_get("threads_run") - threads;
    expect(blocks > 0 && threads == 256 * blocks, "%lld threads of %lld blocks", threads, blocks);
    begin();
    expect_planned("large", 1);
    expect_ok(w->context, qmm_matmul(w->context, NULL, &w->a, &w->b, &w->c), "a matmul, tested");
    end_and_replay("a choice that is tested");
    world_close(w);
    end_of_test();
}

/* ---- another's capture ------------------------------------------------------------------------------------------- */

/* Everything that the API does, a context's life included, while another stream is captured in the global mode. */
static void test_capture_elsewhere(void **state) {
    void *stream = NULL, *graph = NULL;
    (void)state;
    cuda_require(cuda->stream_create(&stream, 1), "cuStreamCreate");
    cuda_require(cuda->begin_capture(stream, GLOBAL), "cuStreamBeginCapture");
    world_open(w, NULL);
    for (size_t i = 0; i < entry_count; i++) expect_ok(w->context, entries[i].call(w, w->context), entries[i].name);
    expect_ok(w->context, qmm_context_synchronize(w->context), "synchronize");
    world_poison(w);
    world_works(w);
    world_close(w);
    expect(cuda->end_capture(stream, &graph) == 0, "the other capture is lost");
    if (graph) cuda_require(cuda->graph_destroy(graph), "cuGraphDestroy");
    cuda_require(cuda->stream_destroy(stream), "cuStreamDestroy");
    end_of_test();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hot_path),
        cmocka_unit_test(test_every_entry),
        cmocka_unit_test(test_first_use),
        cmocka_unit_test(test_tuned_choice),
        cmocka_unit_test(test_capture_elsewhere),
    };
    if (setenv("QMM_TEST_DEVICE", "cuda", 1) != 0) return 2;
    cuda = cuda_calls_open();
    return cuda ? cmocka_run_group_tests(tests, NULL, NULL) : 2;
}
