/* SPDX-License-Identifier: Apache-2.0
 *
 * Timers: the device's clock where the queue keeps times and those have sense, else the host's. Needs the shim. */
#define _POSIX_C_SOURCE 200809L
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "calls.h"

/* Some milliseconds of work between start and stop; what the timer says of it lies within what the host saw. */
static void check_timer(qmm_context *context, const char *clock) {
    enum { BYTES = 1 << 24, FILLS = 8 };
    const double begin = seconds_now();
    qmm_timer *timer;
    qmm_buffer *buffer;
    double seconds = -1, elapsed;
    assert_int_equal(qmm_timer_create(context, &timer), QMM_OK);
    expect(strcmp(qmm_timer_clock(timer), clock) == 0, "the clock is the %s's, not the %s's", qmm_timer_clock(timer),
           clock);
    buffer = make_buffer(context, NULL, BYTES);
    for (int again = 0; again < 3; again++) { /* a timer is for more than one time */
        expect_ok(context, qmm_timer_start(timer), "start");
        for (int i = 0; i < FILLS; i++)
            expect_ok(context, qmm_buffer_fill(context, buffer, 0, (uint8_t)i, BYTES), "fill");
        expect_ok(context, qmm_timer_stop(timer), "stop");
        expect_ok(context, qmm_timer_seconds(timer, &seconds), "seconds");
    }
    elapsed = seconds_now() - begin;
    expect(seconds > 0 && seconds <= elapsed * 1.01, "%g s of %g", seconds, elapsed);
    qmm_timer_free(timer);
    qmm_buffer_free(buffer);
}

static qmm_context *open_profiled(const qmm_context_options *given, log_text *log) {
    qmm_context_options options = *given;
    qmm_context *context;
    options.profile = 1;
    assert_int_equal(open_logged(&options, log, &context), QMM_OK);
    return context;
}

static void test_own_queue(void **state) {
    static log_text log;
    const qmm_context_options defaults = QMM_CONTEXT_OPTIONS_INIT;
    qmm_context *context;
    const long long live = shim_get("live_events");
    (void)state;
    context = open_profiled(&defaults, &log);
    check_timer(context, "device");
    qmm_context_close(context);
    expect(strstr(log.text, "host's clock") == NULL, "said: %s", log.text);
    assert_int_equal(qmm_context_open("opencl", NULL, &context), QMM_OK);
    check_timer(context, "host");
    qmm_context_close(context);
    expect(shim_get("live_events") == live, "%lld events are left", shim_get("live_events") - live);
    end_of_test();
}

/* A caller's queue keeps times if the caller made it so. `profile` changes nothing of it. */
static void test_callers_queue(void **state) {
    qmm_context_options options = QMM_CONTEXT_OPTIONS_INIT;
    cl_command_queue with, without;
    qmm_context *context;
    qmm_timer *timer;
    double seconds;
    caller c;
    (void)state;
    caller_open(&c);
    with = caller_queue(&c, CL_QUEUE_PROFILING_ENABLE);
    without = caller_queue(&c, 0);
    options.native_context = c.context;
    options.native_queue = without;
    options.profile = 1;
    assert_int_equal(qmm_context_open("opencl:0", &options, &context), QMM_OK);
    check_timer(context, "host");
    expect_ok(context, qmm_context_set_queue(context, with), "set_queue");
    check_timer(context, "device");
    /* A timer of the queue that keeps times, on one that does not. */
    expect_ok(context, qmm_timer_create(context, &timer), "create");
    expect_ok(context, qmm_context_set_queue(context, without), "set_queue");
    expect_ok(context, qmm_timer_start(timer), "start");
    expect_ok(context, qmm_timer_stop(timer), "stop");
    expect_error(context, qmm_timer_seconds(timer, &seconds), QMM_INVALID_ARGUMENT,
                 "qmm_timer_seconds: the context's queue was changed to one that keeps no times");
    qmm_context_close(context); /* and frees the timer */
    cl_require(c.api->clReleaseCommandQueue(with), "clReleaseCommandQueue");
    cl_require(c.api->clReleaseCommandQueue(without), "clReleaseCommandQueue");
    caller_close(&c);
    end_of_test();
}

static void test_nonsense(void **state) {
    static const struct {
        const char *option, *said;
    } cases[] = { { "times=constant", "work takes no time by them" },
                  { "times=backwards", "the end of work comes before its start" },
                  { "times=slow", "it says that work took longer than it was waited for" },
                  { "fail=clGetEventProfilingInfo:1:-7+", "it does not tell them" } };
    static log_text log;
    qmm_context_options options = QMM_CONTEXT_OPTIONS_INIT;
    const long long live = shim_get("live_events");
    (void)state;
    options.log_level = QMM_LOG_WARNING;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        qmm_context *context;
        log.text[0] = '\0';
        context = open_profiled(&options, &log);
        shim_set("%s", cases[i].option);
        check_timer(context, "host");
        expect(strstr(log.text, cases[i].said) != NULL, "%s: said '%s'", cases[i].option, log.text);
        shim_set("times=right,fail=none");
        qmm_context_close(context);
    }
    expect(shim_get("live_events") == live, "%lld events are left", shim_get("live_events") - live);
    end_of_test();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_own_queue),
        cmocka_unit_test(test_callers_queue),
        cmocka_unit_test(test_nonsense),
    };
    if (setenv("QMM_TEST_DEVICE", "opencl", 1) != 0) return 2;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
