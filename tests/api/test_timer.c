/* SPDX-License-Identifier: Apache-2.0
 *
 * Timers: the host's clock, a device's own, and the memory they take. Bad arguments are in test_bad_arguments.c. */
#define _POSIX_C_SOURCE 200809L
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "fake_backend.h"

static void sleep_for(double seconds) {
    const struct timespec t = { 0, (long)(seconds * 1e9) };
    nanosleep(&t, NULL);
}

/* On whatever device: what it measures is no more than what passed around it; on the host's clock, no less than the
 * pause within. */
static void test_measures(void **state) {
    qmm_context *context = open_device(NULL);
    qmm_timer *timer;
    (void)state;
    expect_ok(context, qmm_timer_create(context, &timer), "create");
    for (int again = 0; again < 3; again++) {
        const double pause = again * 5e-3, before = seconds_now();
        double seconds = -1, same = -2, around;
        expect_ok(context, qmm_timer_start(timer), "start");
        sleep_for(pause);
        expect_ok(context, qmm_timer_stop(timer), "stop");
        expect_ok(context, qmm_timer_seconds(timer, &seconds), "seconds");
        around = seconds_now() - before;
        expect(seconds >= 0 && seconds <= around, "%g seconds in %g", seconds, around);
        if (strcmp(qmm_timer_clock(timer), "host") == 0)
            expect(seconds >= pause, "%g seconds of a pause of %g", seconds, pause);
        expect_ok(context, qmm_timer_seconds(timer, &same), "again");
        expect(same == seconds, "asked twice: %g, then %g", seconds, same);
    }
    qmm_timer_free(timer);
    qmm_context_close(context);
    end_of_test();
}

/* The last stop counts, from the last start. */
static void test_device_clock(void **state) {
    qmm_context *context;
    qmm_timer *timer, *other;
    double seconds = 0, others = 0;
    (void)state;
    fake_reset();
    context = fake_open(NULL);
    expect_ok(context, qmm_timer_create(context, &timer), "create");
    expect_ok(context, qmm_timer_create(context, &other), "create");
    expect(strcmp(qmm_timer_clock(timer), "device") == 0, "%s", qmm_timer_clock(timer));
    expect_ok(context, qmm_timer_start(timer), "start");
    fake.clock += 3;
    expect_ok(context, qmm_timer_start(other), "start");
    expect_ok(context, qmm_timer_start(timer), "start again");
    fake.clock += 0.5;
    expect_ok(context, qmm_timer_stop(timer), "stop");
    fake.clock += 0.25;
    expect_ok(context, qmm_timer_stop(timer), "stop again");
    expect_ok(context, qmm_timer_stop(other), "stop");
    expect_ok(context, qmm_timer_seconds(timer, &seconds), "seconds");
    expect_ok(context, qmm_timer_seconds(other, &others), "seconds");
    expect(seconds == 0.75 && others == 0.75, "%g and %g seconds", seconds, others);
    qmm_timer_free(other);
    expect(fake.timers == 1, "%d pairs are alive", fake.timers);
    qmm_context_close(context); /* with the other */
    expect(fake.timers == 0, "%d pairs are left", fake.timers);
    /* A queue that keeps no times. */
    fake.no_device_clock = true;
    context = fake_open(NULL);
    expect_ok(context, qmm_timer_create(context, &timer), "create");
    expect(strcmp(qmm_timer_clock(timer), "host") == 0, "%s", qmm_timer_clock(timer));
    fake_forget_calls();
    expect_ok(context, qmm_timer_start(timer), "start");
    expect(fake.waits == 1, "the host's clock is read before the queue is done");
    expect_ok(context, qmm_timer_stop(timer), "stop");
    expect(fake.waits == 2, "the host's clock is read before the queue is done");
    qmm_context_close(context);
    end_of_test();
}

static void test_memory(void **state) {
    static watch watched;
    qmm_context_options options = QMM_CONTEXT_OPTIONS_INIT;
    int n = 1;
    (void)state;
    fake_reset();
    for (;; n++) {
        qmm_context *context;
        qmm_timer *timer = (qmm_timer *)(void *)&watched;
        qmm_status status;
        watch_init(&watched, false);
        options.allocator = &watched.allocator;
        context = fake_open(&options);
        watched.fail_at = watched.calls + n;
        status = qmm_timer_create(context, &timer);
        if (status != QMM_OK) {
            expect_error(context, status, QMM_OUT_OF_MEMORY, NULL);
            expect(timer == NULL, "a handle of nothing");
            expect_ok(context, qmm_timer_create(context, &timer), "the next");
        }
        qmm_context_close(context);
        expect(watched.live == 0 && watched.faults == 0 && fake.timers == 0, "%lld live", (long long)watched.live);
        if (status == QMM_OK) break;
    }
    expect(n == 3, "%d allocations failed: the timer's and its pair's would", n - 1);
    end_of_test();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_measures),
        cmocka_unit_test(test_device_clock),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
