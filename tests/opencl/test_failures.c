/* SPDX-License-Identifier: Apache-2.0
 *
 * Calls that fail: the n-th of each kind, for every n and every function of the API. The status says what it was, nothing
 * leaks, nothing wrong is given out, and the context goes on. Needs the shim. */
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

typedef struct kind {
    const char *function;
    int code;
} kind;

/* Calls that may find no memory. */
static const kind kinds[] = { { "clCreateContext", CL_OUT_OF_HOST_MEMORY },
                              { "clCreateCommandQueue", CL_OUT_OF_HOST_MEMORY },
                              { "clCreateBuffer", CL_MEM_OBJECT_ALLOCATION_FAILURE },
                              { "clCreateBuffer", CL_OUT_OF_HOST_MEMORY },
                              { "clCreateBuffer", CL_INVALID_BUFFER_SIZE },
                              { "clCreateBuffer", CL_OUT_OF_RESOURCES },
                              { "clCreateKernel", CL_OUT_OF_HOST_MEMORY } };
static const kind building[] = { { "clCreateProgramWithSource", CL_OUT_OF_HOST_MEMORY },
                                 { "clCreateProgramWithSource", CL_OUT_OF_RESOURCES },
                                 { "clBuildProgram", CL_OUT_OF_HOST_MEMORY } };

static world the_world;
static world *const w = &the_world;
static watch the_watch;

/* ---- what must be gone when all is closed --------------------------------------------------------------------- */

static const char *const live[] = { "live_contexts", "live_queues",  "live_buffers",
                                    "live_programs", "live_kernels", "live_events" };
static long long kept[COUNT_OF(live)]; /* by the context that keeps the programs */
static qmm_context *keeper;

/* Contexts on one device share their programs: while one is open that has them all, the others build none. */
static void keep_programs(void) {
    if (!keeper) {
        keeper = open_device(NULL);
        expect_ok(keeper, qmm_context_prepare(keeper), "prepare");
    }
    for (size_t i = 0; i < COUNT_OF(live); i++) kept[i] = shim_get(live[i]);
}

static void expect_nothing_live(const char *what) {
    for (size_t i = 0; i < COUNT_OF(live); i++)
        expect(shim_get(live[i]) == kept[i], "%s: %s is %lld", what, live[i], shim_get(live[i]) - kept[i]);
}

static void fail_nth(const char *function, int n, int code) {
    shim_set("fail=%s:%d:%d", function, n, code);
}

/* Did the call that was to fail come? */
static bool has_failed(void) {
    const bool failed = shim_get("failing") == 0;
    shim_set("fail=none");
    return failed;
}

/* ---- opening -------------------------------------------------------------------------------------------------- */

/* False: it needs no n-th. */
static bool fail_opening(const kind *k, int n) {
    qmm_context_options options = QMM_CONTEXT_OPTIONS_INIT;
    qmm_context *context = NULL;
    char text[512] = "";
    qmm_status status;
    bool failed;
    options.error_text = text;
    options.error_text_size = sizeof text;
    fail_nth(k->function, n, k->code);
    status = qmm_context_open("opencl", &options, &context);
    failed = has_failed();
    if (status != QMM_OK) {
        expect(failed && status == QMM_OUT_OF_MEMORY && context == NULL, "%s %d, %d: %s: %s", k->function, n, k->code,
               qmm_status_name(status), text);
        expect(text[0] != '\0', "%s %d: no text", k->function, n);
    }
    qmm_context_close(context);
    expect_nothing_live(k->function);
    return failed;
}

static void test_open(void **state) {
    static const kind any = { "any", CL_OUT_OF_HOST_MEMORY };
    int failed = 0;
    (void)state;
    for (size_t k = 0; k < COUNT_OF(kinds); k++) {
        int n = 1;
        while (n < FAILURES_MAX && fail_opening(&kinds[k], n)) n++;
        expect(n < FAILURES_MAX, "%s: opening never succeeds", kinds[k].function);
        failed += n - 1;
    }
    expect(failed >= 4, "only %d failures", failed);
    for (failed = 0; failed < FAILURES_MAX && fail_opening(&any, failed + 1);) failed++;
    expect(failed >= 3 && failed < FAILURES_MAX, "%d calls failed", failed);
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
        options.cache_directory = "/nonexistent";
        the_watch.fail_at = n;
        status = qmm_context_open("opencl", &options, &context);
        qmm_context_close(context);
        expect(the_watch.live == 0 && the_watch.faults == 0, "allocation %d: %lld live", n, (long long)the_watch.live);
        expect_nothing_live("host memory");
        if (status == QMM_OK) break;
        expect(status == QMM_OUT_OF_MEMORY && context == NULL, "allocation %d: %s", n, qmm_status_name(status));
    }
    expect(n > 2 && n < FAILURES_MAX, "%d", n);
    end_of_test();
}

/* ---- every function ------------------------------------------------------------------------------------------- */

static void close_world(const char *what) {
    world_close(w);
    expect_nothing_live(what);
}

/* Programs and kernels stay once they are made: they are no leak. */
static long long live_objects(void) {
    return shim_get("live_contexts") + shim_get("live_queues") + shim_get("live_buffers") - (w->context->workspace ? 1 : 0);
}

/* Fails the n-th call of a kind in the first call on a fresh context. False: it needs no n-th. */
static bool fail_first_call(const entry *e, const kind *k, int n, const outcome *right) {
    static outcome after;
    long long before;
    qmm_status status;
    bool failed;
    world_open(w, NULL);
    before = live_objects();
    fail_nth(k->function, n, k->code);
    status = e->call(w, w->context);
    failed = has_failed();
    if (failed) {
        expect_error(w->context, status, QMM_OUT_OF_MEMORY, NULL);
        expect(live_objects() == before, "%s: %s %d: %lld objects were live, now %lld", e->name, k->function, n, before,
               live_objects());
        if (!world_unharmed(w)) print_error("    ^ %s: %s %d\n", e->name, k->function, n);
        expect(!w->context->failed, "%s: out of memory made the device fail", e->name);
        world_run(w, e, &after);
        world_expect_same(e, &after, right);
    } else {
        expect_ok(w->context, status, e->name);
    }
    close_world(e->name);
    return failed;
}

/* Building, in a cl_context that has no programs yet. */
static void test_building(void **state) {
    static const char *const names[] = { "qmm_quantize", "qmm_matmul" };
    static outcome right;
    int failed = 0;
    (void)state;
    for (size_t i = 0; i < entry_count; i++) {
        if (strcmp(entries[i].name, names[0]) != 0 && strcmp(entries[i].name, names[1]) != 0) continue;
        world_open(w, NULL);
        world_run(w, &entries[i], &right);
        close_world(entries[i].name);
        for (size_t k = 0; k < COUNT_OF(building); k++) {
            int n = 1;
            while (n < FAILURES_MAX && fail_first_call(&entries[i], &building[k], n, &right)) n++;
            expect(n < FAILURES_MAX, "%s never succeeds", entries[i].name);
            failed += n - 1;
        }
    }
    expect(failed >= 2 * (int)COUNT_OF(building), "only %d failed", failed);
    end_of_test();
}

static void test_first_calls(void **state) {
    static outcome right;
    int failed = 0;
    (void)state;
    keep_programs();
    for (size_t i = 0; i < entry_count; i++) {
        world_open(w, NULL);
        world_run(w, &entries[i], &right);
        close_world(entries[i].name);
        for (size_t k = 0; k < COUNT_OF(kinds); k++) {
            int n = 1;
            while (n < FAILURES_MAX && fail_first_call(&entries[i], &kinds[k], n, &right)) n++;
            expect(n < FAILURES_MAX, "%s never succeeds", entries[i].name);
            failed += n - 1;
        }
    }
    print_message("             %d calls failed\n", failed);
    expect(failed >= 20, "only %d calls failed", failed);
    end_of_test();
}

/* Fails the n-th call of any function of the driver, on a context that goes on from one to the next. An output may be
 * half written then, by the contract, but the call says so or is right. */
static bool fail_any_call(const entry *e, int n, const outcome *right) {
    static outcome after;
    qmm_status status;
    bool failed;
    world_poison(w);
    fail_nth("any", n, CL_OUT_OF_HOST_MEMORY);
    status = e->call(w, w->context);
    failed = has_failed();
    if (status == QMM_OK) {
        world_read(w, w->out, 0, after.out, WORLD_BYTES);
        expect_bytes(after.out, right->out, WORLD_BYTES, e->name);
        expect_bytes(&w->results, &right->results, sizeof w->results, e->name);
    } else {
        /* Memory that the driver does not know is none. */
        const bool asks = strcmp(e->name, "qmm_buffer_wrap") == 0;
        expect_error(w->context, status, asks ? QMM_INVALID_ARGUMENT : QMM_OUT_OF_MEMORY, NULL);
        world_read(w, w->in, 0, after.out, WORLD_BYTES);
        expect_bytes(after.out, w->in_copy, WORLD_BYTES, "the inputs");
    }
    expect(!w->context->failed, "%s: call %d made the device fail", e->name, n);
    if (failed && status != QMM_OK) {
        world_run(w, e, &after);
        world_expect_same(e, &after, right);
    }
    return failed;
}

static void test_any_call(void **state) {
    static outcome right;
    qmm_context_options options = QMM_CONTEXT_OPTIONS_INIT;
    int failed = 0;
    (void)state;
    options.profile = 1; /* for the timer's calls */
    keep_programs();
    for (size_t i = 0; i < entry_count; i++) {
        long long before;
        int n = 1;
        world_open(w, &options);
        world_run(w, &entries[i], &right);
        before = live_objects();
        while (n < FAILURES_MAX && fail_any_call(&entries[i], n, &right)) n++;
        expect(n < FAILURES_MAX, "%s never succeeds", entries[i].name);
        expect(live_objects() <= before + n, "%s: %lld objects were live, now %lld", entries[i].name, before,
               live_objects());
        failed += n - 1;
        close_world(entries[i].name);
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
    keep_programs();
    for (size_t i = 0; i < entry_count; i++) {
        const entry *e = &entries[i];
        watch_init(&the_watch, false);
        options.allocator = &the_watch.allocator;
        world_open(w, &options);
        failed += world_fail_allocations(w, e, &the_watch);
        close_world(e->name);
        expect(the_watch.live == 0 && the_watch.faults == 0, "%s leaves %lld", e->name, (long long)the_watch.live);
    }
    expect(failed >= 5, "only %d allocations failed", failed);
    end_of_test();
}

/* ---- other failures ------------------------------------------------------------------------------------------- */

/* More than the device gives out at once, and more than there can be. */
static void test_too_large(void **state) {
    static const size_t sizes[] = { (size_t)1 << 44, (size_t)1 << 62, SIZE_MAX / 2 };
    qmm_buffer *buffer;
    (void)state;
    keep_programs();
    world_open(w, NULL);
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        expect_error(w->context, qmm_buffer_create(w->context, sizes[i], &buffer), QMM_OUT_OF_MEMORY, NULL);
        expect(buffer == NULL, "a handle of nothing");
        expect_error(w->context, qmm_context_reserve_workspace(w->context, sizes[i]), QMM_OUT_OF_MEMORY, NULL);
        world_works(w);
    }
    close_world("too large");
    end_of_test();
}

/* What fails for another reason says so: the function and the error by their names, or the error's number. */
static void test_said(void **state) {
    static const struct {
        kind failure;
        qmm_status status;
        const char *said[2];
    } cases[] = {
        { { "clCreateBuffer", -60 }, QMM_INTERNAL, { "clCreateBuffer", "-60" } },
        { { "clEnqueueNDRangeKernel", CL_OUT_OF_RESOURCES }, QMM_UNSUPPORTED, { "_kernel", "lacks resources" } },
        { { "clEnqueueNDRangeKernel", CL_INVALID_WORK_GROUP_SIZE }, QMM_UNSUPPORTED, { "_kernel", "lacks resources" } },
        { { "clEnqueueFillBuffer", CL_INVALID_OPERATION }, QMM_INVALID_ARGUMENT, { "clEnqueueFillBuffer", "-59" } },
        { { "clEnqueueNDRangeKernel", CL_INVALID_VALUE }, QMM_INTERNAL, { "_kernel", "CL_INVALID_VALUE (-30)" } },
        { { "clSetKernelArg", CL_INVALID_ARG_SIZE }, QMM_INTERNAL, { "_kernel", "CL_INVALID_ARG_SIZE (-51)" } },
        { { "clEnqueueNDRangeKernel", CL_MEM_OBJECT_ALLOCATION_FAILURE },
          QMM_OUT_OF_MEMORY,
          { "_kernel", "CL_MEM_OBJECT_ALLOCATION_FAILURE (-4)" } },
        { { "clEnqueueFillBuffer", -1234 }, QMM_INTERNAL, { "clEnqueueFillBuffer", "-1234" } },
    };
    (void)state;
    keep_programs();
    world_open(w, NULL);
    world_works(w);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        qmm_buffer *buffer = NULL;
        qmm_status status;
        fail_nth(cases[i].failure.function, 1, cases[i].failure.code);
        status = qmm_buffer_create(w->context, 100, &buffer);
        if (status == QMM_OK) status = qmm_buffer_fill(w->context, w->out, 0, 0x5a, 10);
        if (status == QMM_OK) status = qmm_matmul(w->context, NULL, &w->a, &w->b, &w->c);
        expect(has_failed(), "%s is not called", cases[i].failure.function);
        expect_error(w->context, status, cases[i].status, NULL);
        for (int s = 0; s < 2; s++)
            expect(strstr(qmm_context_error(w->context), cases[i].said[s]) != NULL, "'%s' lacks %s",
                   qmm_context_error(w->context), cases[i].said[s]);
        qmm_buffer_free(buffer);
        world_poison(w);
        world_works(w);
    }
    close_world("what is said");
    end_of_test();
}

static void test_many_times(void **state) {
    (void)state;
    for (int i = 0; i < 50; i++) {
        qmm_context *context;
        qmm_buffer *buffer;
        if (!expect(qmm_context_open("opencl:0", NULL, &context) == QMM_OK, "open %d", i)) break;
        expect_ok(context, qmm_buffer_create(context, 100, &buffer), "create");
        if (i % 3 == 0) qmm_buffer_free(buffer);
        qmm_context_close(context);
    }
    expect_nothing_live("opened and closed");
    end_of_test();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open),        cmocka_unit_test(test_open_host_memory), cmocka_unit_test(test_building),
        cmocka_unit_test(test_first_calls), cmocka_unit_test(test_any_call),         cmocka_unit_test(test_host_memory),
        cmocka_unit_test(test_too_large),   cmocka_unit_test(test_said),             cmocka_unit_test(test_many_times),
    };
    int failed;
    if (setenv("QMM_TEST_DEVICE", "opencl", 1) != 0) return 2;
    if (qmm_device_count() < 2) return 2; /* finds the devices, once in a process: not a call that is failed here */
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    qmm_context_close(keeper);
    return failed;
}
