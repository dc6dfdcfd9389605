/* SPDX-License-Identifier: Apache-2.0
 *
 * The caller's allocator: the n-th allocation fails for every n and every function, nothing leaks, everything goes on;
 * and what is called a second time allocates nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "context.h"
#include "world.h"

enum { ALLOCATIONS_MAX = 64 };

static world the_world;
static world *const w = &the_world;
static watch the_watch;
static watch *const a = &the_watch;

static qmm_context_options watched_options(bool device_functions) {
    qmm_context_options options = QMM_CONTEXT_OPTIONS_INIT;
    watch_init(a, device_functions);
    options.allocator = &a->allocator;
    return options;
}

static void open_watched(bool device_functions) {
    const qmm_context_options options = watched_options(device_functions);
    world_open(w, &options);
}

static void close_watched(const char *name) {
    world_close(w);
    expect(a->live == 0 && a->live_bytes == 0, "%s: %lld allocations, %zu bytes are left after closing", name,
           (long long)a->live, a->live_bytes);
    expect(a->faults == 0, "%s: %lld releases of what was not allocated so", name, (long long)a->faults);
}

/* The context's workspace is kept for the next call: no leak. */
static int64_t live_but_workspace(void) {
    return a->live - (w->context->workspace ? 1 : 0);
}

/* Fails the n-th allocation of the entry's first call on a fresh context. False: it needs no n-th. */
static bool fail_nth(const entry *e, bool device_functions, int n, const outcome *right) {
    static outcome after;
    int64_t live;
    qmm_status status;
    bool failed;
    open_watched(device_functions);
    live = live_but_workspace();
    a->fail_at = a->calls + n;
    status = e->call(w, w->context);
    failed = a->calls >= a->fail_at;
    a->fail_at = 0;
    if (failed) {
        expect_error(w->context, status, QMM_OUT_OF_MEMORY, NULL);
        /* The text names the function called, or the test that its first use brought about. */
        expect(strncmp(qmm_context_error(w->context), e->name, strlen(e->name)) == 0 ||
                   strncmp(qmm_context_error(w->context), "known-answer test: ", 19) == 0,
               "allocation %d of %s failed, and the text is: %s", n, e->name, qmm_context_error(w->context));
        if (!expect(live_but_workspace() == live, "allocation %d of %s failed: %lld were live, now %lld", n, e->name,
                    (long long)live, (long long)live_but_workspace()))
            print_error("    ^ %s\n", e->name);
        if (!world_unharmed(w)) print_error("    ^ allocation %d of %s\n", n, e->name);
        expect(!w->context->failed, "%s: out of memory made the device fail", e->name);
        world_run(w, e, &after);
        world_expect_same(e, &after, right);
    } else {
        expect_ok(w->context, status, e->name);
    }
    close_watched(e->name);
    return failed;
}

static int fail_entries(bool device_functions) {
    static outcome right;
    int injected = 0;
    for (size_t i = 0; i < entry_count; i++) {
        int n = 1;
        /* Without them the same functions are asked for the same: what makes handles will do. */
        if (!device_functions && (entries[i].flags & HOT)) continue;
        open_watched(device_functions);
        world_run(w, &entries[i], &right);
        close_watched(entries[i].name);
        while (n < ALLOCATIONS_MAX && fail_nth(&entries[i], device_functions, n, &right)) n++;
        expect(n < ALLOCATIONS_MAX, "%s never succeeds", entries[i].name);
        injected += n - 1;
    }
    return injected;
}

static void test_every_entry(void **state) {
    int injected;
    (void)state;
    injected = fail_entries(false) + fail_entries(true);
    print_message("             %d allocations failed\n", injected);
    expect(injected >= 20, "only %d allocations failed", injected);
    end_of_test();
}

/* ---- opening ------------------------------------------------------------------------------------------------------ */

static int error_lines;

static void count_errors(void *user, qmm_log_level level, const char *line) {
    (void)user;
    if (level == QMM_LOG_ERROR && strstr(line, "no memory")) error_lines++;
}

static void test_open(void **state) {
    char text[256];
    int n = 0;
    (void)state;
    for (int device_functions = 0; device_functions < 2; device_functions++) {
        for (n = 1; n < ALLOCATIONS_MAX; n++) {
            qmm_context_options options = watched_options(device_functions);
            qmm_context *context = w->context;
            qmm_status status;
            a->fail_at = n;
            text[0] = '\0';
            error_lines = 0;
            options.error_text = text;
            options.error_text_size = sizeof text;
            options.log = count_errors;
            status = qmm_context_open("cpu", &options, &context);
            if (status == QMM_OK) {
                qmm_context_close(context);
                expect(a->live == 0 && a->faults == 0, "open and close leave %lld", (long long)a->live);
                break;
            }
            expect(status == QMM_OUT_OF_MEMORY && context == NULL, "open: %s", qmm_status_name(status));
            expect(strncmp(text, "qmm_context_open: no memory", 27) == 0, "open: '%s'", text);
            expect(error_lines == 1, "%d lines in the log", error_lines);
            expect(a->live == 0 && a->faults == 0, "a failed open leaves %lld", (long long)a->live);
        }
        expect(n > 1 && n < ALLOCATIONS_MAX, "%d", n);
    }
    end_of_test();
}

/* ---- the hot path ------------------------------------------------------------------------------------------------- */

static void test_hot_path(void **state) {
    (void)state;
    for (size_t i = 0; i < entry_count; i++) {
        const entry *e = &entries[i];
        int64_t calls, live;
        open_watched(true);
        expect_ok(w->context, e->call(w, w->context), e->name);
        calls = a->calls;
        live = a->live;
        for (int again = 0; again < 3; again++) expect_ok(w->context, e->call(w, w->context), e->name);
        if (e->flags & HOT)
            expect(a->calls == calls, "%s: %lld allocations in its second to fourth call", e->name,
                   (long long)(a->calls - calls));
        expect(a->live == live, "%s: live allocations grow from %lld to %lld", e->name, (long long)live,
               (long long)a->live);
        close_watched(e->name);
    }
    end_of_test();
}

/* Prepared, and with a workspace reserved or given, even the first call allocates nothing. */
static void test_first_call(void **state) {
    (void)state;
    for (int given = 0; given < 2; given++) {
        for (size_t i = 0; i < entry_count; i++) {
            const entry *e = &entries[i];
            const bool brings_workspace = i > 0 && i + 1 < entry_count && strcmp(e->name, "qmm_matmul") == 0 &&
                                          strcmp(entries[i + 1].name, "qmm_matmul_workspace") == 0;
            int64_t calls;
            if (!(e->flags & HOT) || (given && !brings_workspace)) continue;
            open_watched(true);
            expect_ok(w->context, qmm_context_prepare(w->context), "prepare");
            if (!given) expect_ok(w->context, qmm_context_reserve_workspace(w->context, 1 << 20), "reserve");
            calls = a->calls;
            expect_ok(w->context, e->call(w, w->context), e->name);
            expect(a->calls == calls, "%s: %lld allocations in its first call", e->name, (long long)(a->calls - calls));
            close_watched(e->name);
        }
    }
    end_of_test();
}

/* ---- buffers, weights, workspace ---------------------------------------------------------------------------------- */

static void test_device_functions(void **state) {
    static const size_t sizes[] = { 1, 63, 255, 256, 257, 4096, 1000003 };
    qmm_buffer *buffer;
    qmm_weights *weights;
    int64_t calls, live;
    size_t bytes;
    (void)state;
    open_watched(true);
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        const size_t before = a->live_bytes;
        live = a->live_device;
        expect_ok(w->context, qmm_buffer_create(w->context, sizes[i], &buffer), "create");
        expect(a->live_device == live + 1, "a buffer of %zu bytes is not device memory", sizes[i]);
        expect((uintptr_t)qmm_buffer_native(buffer) % 256 == 0, "a buffer of %zu bytes is not aligned", sizes[i]);
        expect(qmm_buffer_bytes(buffer) == sizes[i], "its size is %zu", qmm_buffer_bytes(buffer));
        expect_ok(w->context, qmm_buffer_fill(w->context, buffer, 0, 1, sizes[i]), "fill");
        qmm_buffer_free(buffer);
        expect(a->live_device == live && a->live_bytes == before, "freeing a buffer of %zu bytes", sizes[i]);
    }
    calls = a->device_calls;
    expect_ok(w->context, qmm_buffer_create(w->context, 0, &buffer), "a buffer of 0 bytes");
    qmm_buffer_free(buffer);
    expect_ok(w->context, qmm_buffer_wrap(w->context, w->in_copy, 100, &buffer), "wrap");
    qmm_buffer_free(buffer);
    expect(a->device_calls == calls, "empty or wrapped buffers take device memory");

    /* Packed weights: their own device memory, as large as promised; or the caller's. */
    expect_ok(w->context, qmm_weights_bytes(w->context, &w->large_b, NULL, &bytes), "bytes");
    {
        qmm_weights_options options = QMM_WEIGHTS_OPTIONS_INIT;
        live = a->live_device;
        expect_ok(w->context, qmm_weights_create(w->context, &w->large_b, NULL, &weights), "weights");
        expect(a->live_device == live + 1, "weights take no device memory");
        qmm_weights_free(weights);
        expect(a->live_device == live, "freed weights keep device memory");
        calls = a->device_calls;
        expect(bytes <= SCRATCH_BYTES, "too large for this test");
        options.storage = w->scratch;
        expect_ok(w->context, qmm_weights_create(w->context, &w->large_b, &options, &weights), "weights");
        qmm_weights_free(weights);
        expect(a->device_calls == calls, "weights in the caller's storage take device memory");
        expect(qmm_buffer_bytes(w->scratch) == SCRATCH_BYTES, "freeing weights freed their storage");
    }
    /* Reserving grows only. */
    expect_ok(w->context, qmm_context_reserve_workspace(w->context, 100000), "reserve");
    calls = a->calls;
    expect_ok(w->context, qmm_context_reserve_workspace(w->context, 100000), "reserve again");
    expect_ok(w->context, qmm_context_reserve_workspace(w->context, 1), "reserve less");
    expect_ok(w->context, qmm_context_reserve_workspace(w->context, 0), "reserve nothing");
    expect(a->calls == calls, "reserving what is there allocates");
    expect_ok(w->context, qmm_context_reserve_workspace(w->context, 100001), "reserve more");
    expect(a->calls == calls + 1, "reserving more allocates not");
    close_watched("device functions");
    end_of_test();
}

/* More than there is: an error, and the next call works. */
static void test_too_large(void **state) {
    static const size_t sizes[] = { (size_t)1 << 48, (size_t)1 << 60, PTRDIFF_MAX };
    (void)state;
    for (int watched = 0; watched < 2; watched++) {
        const qmm_context_options options = watched_options(true);
        world_open(w, watched ? &options : NULL);
        for (size_t i = 0; i < COUNT_OF(sizes); i++) {
            qmm_buffer *buffer;
            a->fail_at = a->calls + 2; /* the handle is to be had */
            expect_error(w->context, qmm_buffer_create(w->context, sizes[i], &buffer), QMM_OUT_OF_MEMORY, NULL);
            expect(buffer == NULL, "a handle of nothing");
            a->fail_at = a->calls + 1;
            expect_error(w->context, qmm_context_reserve_workspace(w->context, sizes[i]), QMM_OUT_OF_MEMORY, NULL);
            a->fail_at = 0;
            world_works(w);
        }
        expect_error(w->context, qmm_context_reserve_workspace(w->context, SIZE_MAX), QMM_OUT_OF_MEMORY, NULL);
        expect_error(w->context, qmm_context_reserve_workspace(w->context, SIZE_MAX - 300), QMM_OUT_OF_MEMORY, NULL);
        world_works(w);
        for (size_t i = 0; i < entry_count; i++) expect_ok(w->context, entries[i].call(w, w->context), entries[i].name);
        if (watched)
            close_watched("too large");
        else
            world_close(w);
    }
    end_of_test();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_entry),      cmocka_unit_test(test_open),
        cmocka_unit_test(test_hot_path),         cmocka_unit_test(test_first_call),
        cmocka_unit_test(test_device_functions), cmocka_unit_test(test_too_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
