/* SPDX-License-Identifier: Apache-2.0
 *
 * Timers by the device's events, on every kind of stream; what they say lies within what the host saw. That failing
 * calls of the driver are told, and capture refused, is in test_failures.c and test_capture.c. */
#define _POSIX_C_SOURCE 200809L
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/support.h"
#include "calls.h"

enum { BYTES = 1 << 22, FILLS = 4 };

static void fill(qmm_context *context, qmm_buffer *buffer) {
    for (int i = 0; i < FILLS; i++)
        expect_ok(context, qmm_buffer_fill(context, buffer, 0, (uint8_t)i, BYTES), "fill");
}

/* The simulated device does its work when it is waited for: after stop has returned. */
static void check_timer(qmm_context *context, qmm_timer *timer, qmm_buffer *buffer, const char *stream) {
    const double begin = seconds_now();
    double seconds = -1, empty = -1, elapsed;
    expect_ok(context, qmm_timer_start(timer), "start");
    fill(context, buffer);
    expect_ok(context, qmm_timer_stop(timer), "stop");
    expect_ok(context, qmm_timer_seconds(timer, &seconds), "seconds");
    elapsed = seconds_now() - begin;
    expect(seconds > 0 && seconds <= elapsed * 1.01, "%s: %g s of %g", stream, seconds, elapsed);
    expect_ok(context, qmm_timer_start(timer), "start");
    expect_ok(context, qmm_timer_stop(timer), "stop");
    expect_ok(context, qmm_timer_seconds(timer, &empty), "seconds");
    expect(empty >= 0 && empty < seconds, "%s: %g s for nothing, %g for work", stream, empty, seconds);
}

static void test_streams(void **state) {
    const cuda_calls *const cuda = cuda_calls_open();
    qmm_context *context;
    qmm_timer *timer;
    qmm_buffer *buffer;
    void *stream;
    double seconds;
    long long live;
    (void)state;
    assert_int_equal(qmm_context_open("cuda", NULL, &context), QMM_OK);
    cuda_require(cuda->stream_create(&stream, 1), "cuStreamCreate");
    buffer = make_buffer(context, NULL, BYTES);
    live = simulator_get("live_events");
    assert_int_equal(qmm_timer_create(context, &timer), QMM_OK);
    expect(simulator_get("live_events") == live + 2, "%lld events", simulator_get("live_events") - live);
    expect(strcmp(qmm_timer_clock(timer), "device") == 0, "the clock is the %s's", qmm_timer_clock(timer));
    check_timer(context, timer, buffer, "the context's stream");
    expect_ok(context, qmm_context_set_queue(context, stream), "set_queue");
    check_timer(context, timer, buffer, "the caller's stream");
    expect_ok(context, qmm_context_set_queue(context, (void *)(uintptr_t)1), "set_queue");
    check_timer(context, timer, buffer, "the legacy stream");
    expect_ok(context, qmm_context_set_queue(context, (void *)(uintptr_t)2), "set_queue");
    check_timer(context, timer, buffer, "the thread's stream");
    /* From one stream to another. */
    expect_ok(context, qmm_timer_start(timer), "start");
    expect_ok(context, qmm_context_set_queue(context, stream), "set_queue");
    fill(context, buffer);
    expect_ok(context, qmm_timer_stop(timer), "stop");
    expect_ok(context, qmm_timer_seconds(timer, &seconds), "seconds");
    qmm_timer_free(timer);
    expect(simulator_get("live_events") == live, "%lld events are left", simulator_get("live_events") - live);
    qmm_context_close(context);
    cuda_require(cuda->stream_destroy(stream), "cuStreamDestroy");
    end_of_test();
}

/* A timer that nobody freed goes with its context, and its events with it. */
static void test_forgotten(void **state) {
    const long long live = simulator_get("live_events");
    qmm_context *context;
    qmm_timer *timer;
    (void)state;
    assert_int_equal(qmm_context_open("cuda", NULL, &context), QMM_OK);
    assert_int_equal(qmm_timer_create(context, &timer), QMM_OK);
    qmm_context_close(context);
    expect(simulator_get("live_events") == live, "%lld events are left", simulator_get("live_events") - live);
    end_of_test();
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_streams), cmocka_unit_test(test_forgotten) };
    if (setenv("QMM_TEST_DEVICE", "cuda", 1) != 0) return 2;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
