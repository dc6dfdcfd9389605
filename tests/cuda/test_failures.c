/* SPDX-License-Identifier: Apache-2.0
 *
 * Allocations that fail: the n-th of each kind, for every n and every function of the API, and device memory that is
 * full. The status is QMM_OUT_OF_MEMORY, nothing leaks, nothing is written, and the context goes on. */
#define _POSIX_C_SOURCE 200809L
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/world.h"
#include "calls.h"
#include "context.h"

enum { FAILURES_MAX = 400 };

/* Options of the simulated device that fail the n-th call of a kind, once. */
static const char *const kinds[] = { "fail_allocation", "fail_host_allocation", "fail_stream", "fail_event",
                                     "fail_module" };

static world the_world;
static world *const w = &the_world;
static watch the_watch;

/* ---- what must be gone when all is closed ------------------------------------------------------------------------- */

static long long leaks; /* that were to be expected: objects whose release was made to fail */

static void expect_nothing_live(const char *what) {
    static const char *const counters[] = { "live_allocations", "live_host_allocations", "live_streams",
                                            "live_events",      "live_modules",          "live_bytes" };
    expect(simulator_get("leaks") == leaks, "%s: %lld objects are left to the driver", what,
           simulator_get("leaks") - leaks);
    leaks = simulator_get("leaks");
    for (size_t i = 0; i < COUNT_OF(counters); i++)
        expect(simulator_get(counters[i]) == 0, "%s: %s is %lld", what, counters[i], simulator_get(counters[i]));
}

/* ---- opening ------------------------------------------------------------------------------------------------------ */

/* False: it needs no n-th. */
static bool fail_opening(const char *kind, int n) {
    qmm_context_options options = QMM_CONTEXT_OPTIONS_INIT;
    qmm_context *context = NULL;
    char text[512] = "";
    qmm_status status;
    bool failed;
    options.error_text = text;
    options.error_text_size = sizeof text;
    simulator_set(kind, n);
    status = qmm_context_open("cuda", &options, &context);
    failed = simulator_get(kind) == 0;
    simulator_set(kind, 0);
    if (strcmp(kind, "fail_call") == 0) leaks = simulator_get("leaks");
    if (failed && status != QMM_OK) {
        expect(status == QMM_OUT_OF_MEMORY && context == NULL, "%s %d: %s", kind, n, qmm_status_name(status));
        expect(text[0] != '\0', "%s %d: no text", kind, n);
        expect_nothing_live(kind);
    }
    qmm_context_close(context);
    expect_nothing_live(kind);
    return failed;
}

static void test_open(void **state) {
    int failed = 0;
    (void)state;
    for (size_t k = 0; k < COUNT_OF(kinds); k++) {
        int n = 1;
        while (n < FAILURES_MAX && fail_opening(kinds[k], n)) n++;
        expect(n < FAILURES_MAX, "%s: opening never succeeds", kinds[k]);
        failed += n - 1;
    }
    expect(failed >= 4, "only %d failures", failed); /* a stream, events, staging memory, modules */
    end_of_test();
}

/* The n-th call of any function of the driver. Some the library can do without. */
static void test_open_any_call(void **state) {
    int n = 1;
    (void)state;
    while (n < FAILURES_MAX && fail_opening("fail_call", n)) n++;
    expect(n > 10 && n < FAILURES_MAX, "%d calls failed", n - 1);
    end_of_test();
}

/* The host's allocations, by a caller's allocator. */
static void test_open_host_memory(void **state) {
    int n = 1;
    (void)state;
    for (; n < FAILURES_MAX; n++) {
        qmm_context_options options = QMM_CONTEXT_OPTIONS_INIT;
        qmm_context *context = NULL;
        qmm_status status;
        watch_init(&the_watch, false);
        options.allocator = &the_watch.allocator;
        the_watch.fail_at = n;
        status = qmm_context_open("cuda", &options, &context);
        qmm_context_close(context);
        expect(the_watch.live == 0 && the_watch.faults == 0, "allocation %d: %lld live", n, (long long)the_watch.live);
        expect_nothing_live("host memory");
        if (status == QMM_OK) break;
        expect(status == QMM_OUT_OF_MEMORY && context == NULL, "allocation %d: %s", n, qmm_status_name(status));
    }
    expect(n > 2 && n < FAILURES_MAX, "%d", n);
    end_of_test();
}

/* ---- every function ----------------------------------------------------------------------------------------------- */

static void open_world(const qmm_context_options *options) {
    world_open(w, options);
}

static void close_world(const char *what) {
    world_close(w);
    expect_nothing_live(what);
}

static long long live_objects(void) {
    return simulator_get("live_allocations") + simulator_get("live_host_allocations") + simulator_get("live_streams") +
           simulator_get("live_events") + simulator_get("live_modules") - (w->context->workspace ? 1 : 0);
}

/* Fails the n-th call of a kind in the first call on a fresh context. False: it needs no n-th. */
static bool fail_first_call(const entry *e, const char *kind, int n, const outcome *right) {
    static outcome after;
    long long live;
    qmm_status status;
    bool failed;
    open_world(NULL);
    live = live_objects();
    simulator_set(kind, n);
    status = e->call(w, w->context);
    failed = simulator_get(kind) == 0;
    simulator_set(kind, 0);
    if (failed) {
        expect_error(w->context, status, QMM_OUT_OF_MEMORY, NULL);
        expect(live_objects() == live, "%s: %s %d: %lld objects were live, now %lld", e->name, kind, n, live,
               live_objects());
        if (!world_unharmed(w)) print_error("    ^ %s: %s %d\n", e->name, kind, n);
        expect(!w->context->failed, "%s: out of memory made the device fail", e->name);
        world_run(w, e, &after);
        world_expect_same(e, &after, right);
    } else {
        expect_ok(w->context, status, e->name);
    }
    close_world(e->name);
    return failed;
}

static void test_first_calls(void **state) {
    static outcome right;
    int failed = 0;
    (void)state;
    for (size_t i = 0; i < entry_count; i++) {
        open_world(NULL);
        world_run(w, &entries[i], &right);
        close_world(entries[i].name);
        for (size_t k = 0; k < COUNT_OF(kinds); k++) {
            int n = 1;
            while (n < FAILURES_MAX && fail_first_call(&entries[i], kinds[k], n, &right)) n++;
            expect(n < FAILURES_MAX, "%s never succeeds", entries[i].name);
            failed += n - 1;
        }
    }
    print_message("             %d allocations failed\n", failed);
    expect(failed >= 8, "only %d allocations failed", failed);
    end_of_test();
}

/* Fails the n-th call of any function of the driver, on a context that goes on from one to the next. An output may be
 * half written then, by the contract, but the call says so or is right. */
static bool fail_any_call(const entry *e, int n, const outcome *right) {
    static outcome after;
    qmm_status status;
    bool failed;
    world_poison(w);
    simulator_set("fail_call", n);
    status = e->call(w, w->context);
    failed = simulator_get("fail_call") == 0;
    simulator_set("fail_call", 0);
    if (status == QMM_OK) {
        world_read(w, w->out, 0, after.out, WORLD_BYTES);
        expect_bytes(after.out, right->out, WORLD_BYTES, e->name);
        expect_bytes(&w->results, &right->results, sizeof w->results, e->name);
    } else {
        expect_error(w->context, status, QMM_OUT_OF_MEMORY, NULL);
        world_read(w, w->in, 0, after.out, WORLD_BYTES);
        expect_bytes(after.out, w->in_copy, WORLD_BYTES, "the inputs");
    }
    leaks = simulator_get("leaks");
    expect(!w->context->failed, "%s: call %d made the device fail", e->name, n);
    if (failed && status != QMM_OK) {
        world_run(w, e, &after);
        world_expect_same(e, &after, right);
    }
    return failed;
}

static void test_any_call(void **state) {
    static outcome right;
    int failed = 0;
    (void)state;
    for (size_t i = 0; i < entry_count; i++) {
        long long live;
        int n = 1;
        open_world(NULL);
        world_run(w, &entries[i], &right);
        live = live_objects();
        while (n < FAILURES_MAX && fail_any_call(&entries[i], n, &right)) n++;
        expect(n < FAILURES_MAX, "%s never succeeds", entries[i].name);
        expect(live_objects() <= live + n, "%s: %lld objects were live, now %lld", entries[i].name, live,
               live_objects());
        failed += n - 1;
        world_close(w);
        leaks = simulator_get("leaks");
        expect_nothing_live(entries[i].name);
    }
    print_message("             %d calls of the driver failed\n", failed);
    expect(failed >= 100, "only %d calls failed", failed);
    end_of_test();
}

/* The host's allocations. */
static void test_host_memory(void **state) {
    qmm_context_options options = QMM_CONTEXT_OPTIONS_INIT;
    int failed = 0;
    (void)state;
    for (size_t i = 0; i < entry_count; i++) {
        const entry *e = &entries[i];
        watch_init(&the_watch, false);
        options.allocator = &the_watch.allocator;
        open_world(&options);
        failed += world_fail_allocations(w, e, &the_watch);
        close_world(e->name);
        expect(the_watch.live == 0 && the_watch.faults == 0, "%s leaves %lld", e->name, (long long)the_watch.live);
    }
    expect(failed >= 5, "only %d allocations failed", failed);
    end_of_test();
}

/* ---- full device memory ------------------------------------------------------------------------------------------- */

static void test_full(void **state) {
    static const size_t sizes[] = { (size_t)1 << 20, (size_t)1 << 33, (size_t)1 << 48 };
    const long long memory = simulator_get("memory");
    qmm_buffer *buffer;
    (void)state;
    open_world(NULL);
    simulator_set("memory", simulator_get("live_bytes") + 4096);
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        expect_error(w->context, qmm_buffer_create(w->context, sizes[i], &buffer), QMM_OUT_OF_MEMORY, NULL);
        expect(buffer == NULL, "a handle of nothing");
        expect_error(w->context, qmm_context_reserve_workspace(w->context, sizes[i]), QMM_OUT_OF_MEMORY, NULL);
        world_works(w);
    }
    for (size_t i = 0; i < entry_count; i++) { /* either it needs no memory, or it says that there is none */
        const qmm_status status = entries[i].call(w, w->context);
        expect(status == QMM_OK || status == QMM_OUT_OF_MEMORY, "%s: %s", entries[i].name,
               qmm_context_error(w->context));
    }
    simulator_set("memory", memory);
    expect_ok(w->context, qmm_timer_stop(w->timer), "what the last entry began");
    for (size_t i = 0; i < entry_count; i++) expect_ok(w->context, entries[i].call(w, w->context), entries[i].name);
    world_poison(w);
    world_works(w);
    close_world("full memory");
    end_of_test();
}

/* ---- other failures ----------------------------------------------------------------------------------------------- */

/* A download under way outlives a wait that fails. */
static void test_failed_wait(void **state) {
    static unsigned char wanted[1000], got[1000];
    bool reached = false;
    (void)state;
    open_world(NULL);
    memset(wanted, 0x5c, sizeof wanted);
    for (int n = 1; n < 20; n++) {
        qmm_status status;
        memset(got, 0, sizeof got);
        expect_ok(w->context, qmm_buffer_fill(w->context, w->out, 0, 0x5c, sizeof got), "fill");
        expect_ok(w->context, qmm_buffer_download_async(w->context, w->out, 0, got, sizeof got), "download");
        simulator_set("fail_call", n);
        status = qmm_context_synchronize(w->context);
        simulator_set("fail_call", 0);
        reached = reached || strstr(qmm_context_error(w->context), "cuEventSynchronize");
        if (status != QMM_OK) expect_ok(w->context, qmm_context_synchronize(w->context), "synchronize again");
        expect_bytes(got, wanted, sizeof got, "what was downloaded");
    }
    expect(reached, "no wait for an event failed");
    close_world("a failed wait");
    end_of_test();
}

/* An allocation that fails for another reason says so. */
static void test_failed_allocation(void **state) {
    bool reached = false;
    (void)state;
    open_world(NULL);
    simulator_set("fail_call_error", 304);
    for (int n = 1; n < 10; n++) {
        qmm_buffer *buffer;
        qmm_status status;
        simulator_set("fail_call", n);
        status = qmm_buffer_create(w->context, 100, &buffer);
        simulator_set("fail_call", 0);
        if (status == QMM_OK) {
            qmm_buffer_free(buffer);
            continue;
        }
        expect_error(w->context, status, QMM_INTERNAL, NULL);
        reached = reached || strstr(qmm_context_error(w->context), "cuMemAlloc: CUDA_ERROR_OPERATING_SYSTEM");
    }
    expect(reached, "no allocation failed: %s", qmm_context_error(w->context));
    simulator_set("fail_call_error", 2);
    close_world("a failed allocation");
    end_of_test();
}

/* Tensor maps are made before anything is queued: a call that makes none has done nothing. */
static void test_failed_map(void **state) {
    int reached = 0, n = 1;
    bool failed = true;
    (void)state;
    open_world(NULL);
    expect_ok(w->context, qmm_kernel_force(w->context, "cuda:matmul:wgmma"), "force");
    world_works(w);
    for (; n < FAILURES_MAX && failed; n++) {
        const long long launches = simulator_get("launches"), fills = simulator_get("fills");
        qmm_status status;
        simulator_set("fail_call", n);
        status = qmm_matmul(w->context, NULL, &w->a, &w->b, &w->c);
        failed = simulator_get("fail_call") == 0;
        simulator_set("fail_call", 0);
        if (status == QMM_OK || !strstr(qmm_context_error(w->context), "cuTensorMapEncodeTiled")) continue;
        expect_error(w->context, status, QMM_OUT_OF_MEMORY, NULL);
        expect(simulator_get("launches") == launches && simulator_get("fills") == fills, "something was queued");
        reached++;
    }
    expect(reached >= 2 && !failed, "%d maps failed, of %d calls", reached, n);
    world_works(w);
    close_world("failed tensor maps");
    end_of_test();
}

/* The staging memory that comes and goes with a context does so often, too. */
static void test_many_times(void **state) {
    (void)state;
    for (int i = 0; i < 50; i++) {
        qmm_context *context;
        qmm_buffer *buffer;
        if (!expect(qmm_context_open("cuda:0", NULL, &context) == QMM_OK, "open %d", i)) break;
        expect_ok(context, qmm_buffer_create(context, 100, &buffer), "create");
        if (i % 3 == 0) qmm_buffer_free(buffer);
        qmm_context_close(context);
    }
    expect_nothing_live("opened and closed");
    end_of_test();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open),
        cmocka_unit_test(test_open_any_call),
        cmocka_unit_test(test_open_host_memory),
        cmocka_unit_test(test_first_calls),
        cmocka_unit_test(test_any_call),
        cmocka_unit_test(test_host_memory),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_failed_wait),
        cmocka_unit_test(test_failed_allocation),
        cmocka_unit_test(test_failed_map),
        cmocka_unit_test(test_many_times),
    };
    if (setenv("QMM_TEST_DEVICE", "cuda", 1) != 0) return 2;
    if (qmm_device_count() < 2) return 2; /* finds the devices, once in a process: not a call that is failed here */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
