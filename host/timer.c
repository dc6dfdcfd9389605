/* SPDX-License-Identifier: Apache-2.0
 *
 * Timers: the device's own events where it has them, else the host's clock. */
#define _POSIX_C_SOURCE 200809L
#include "timer.h"

#include <time.h>

/* ---- for the library --------------------------------------------------------------------------------------------- */

double qmmi_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

qmm_status qmmi_timer_open(qmm_context *context, qmmi_timer *timer) {
    *timer = (qmmi_timer){ .pair = NULL };
    return context->backend->timer_create ? context->backend->timer_create(context, &timer->pair) : QMM_OK;
}

/* The queue must have nothing left to do before the host's clock says anything of it. */
qmm_status qmmi_timer_record(qmm_context *context, qmmi_timer *timer, bool end) {
    if (timer->pair) return context->backend->timer_record(context, timer->pair, end);
    QMMI_TRY(context->backend->synchronize(context));
    *(end ? &timer->stop : &timer->start) = qmmi_now();
    return QMM_OK;
}

qmm_status qmmi_timer_read(qmm_context *context, const qmmi_timer *timer, double *seconds) {
    if (timer->pair) return context->backend->timer_seconds(context, timer->pair, seconds);
    *seconds = timer->stop - timer->start;
    return QMM_OK;
}

void qmmi_timer_close(qmm_context *context, qmmi_timer *timer) {
    if (timer->pair) context->backend->timer_free(context, timer->pair);
    timer->pair = NULL;
}

/* ---- for the user ------------------------------------------------------------------------------------------------ */

struct qmm_timer {
    qmmi_object object;
    qmmi_timer timer;
    bool started, stopped;
};

static void destroy(qmmi_object *object) {
    qmmi_timer_close(object->context, &((qmm_timer *)object)->timer);
}

qmm_status qmm_timer_create(qmm_context *context, qmm_timer **timer) {
    qmm_timer *t;
    qmm_status status;
    if (timer) *timer = NULL;
    QMMI_ENTER_WAITING(context);
    QMMI_REQUIRE(context, timer, "timer is NULL");
    t = qmmi_object_create(context, QMMI_MAGIC_TIMER, sizeof *t, destroy);
    if (!t) return QMMI_FAIL(context, QMM_OUT_OF_MEMORY, "no memory for a timer");
    status = qmmi_timer_open(context, &t->timer);
    if (status != QMM_OK) {
        qmmi_object_free(&t->object);
        return status;
    }
    *timer = t;
    return QMM_OK;
}

static bool is_timer(const qmm_timer *timer) {
    return timer && timer->object.magic == QMMI_MAGIC_TIMER;
}

const char *qmm_timer_clock(const qmm_timer *timer) {
    return is_timer(timer) && timer->timer.pair ? "device" : "host";
}

qmm_status qmm_timer_start(qmm_timer *timer) {
    if (!is_timer(timer)) return QMM_INVALID_ARGUMENT;
    QMMI_ENTER_WAITING(timer->object.context);
    timer->started = timer->stopped = false;
    QMMI_TRY(qmmi_timer_record(timer->object.context, &timer->timer, false));
    timer->started = true;
    return QMM_OK;
}

qmm_status qmm_timer_stop(qmm_timer *timer) {
    if (!is_timer(timer)) return QMM_INVALID_ARGUMENT;
    QMMI_ENTER_WAITING(timer->object.context);
    QMMI_REQUIRE(timer->object.context, timer->started, "timer was not started");
    timer->stopped = false;
    QMMI_TRY(qmmi_timer_record(timer->object.context, &timer->timer, true));
    timer->stopped = true;
    return QMM_OK;
}

qmm_status qmm_timer_seconds(qmm_timer *timer, double *seconds) {
    if (!is_timer(timer)) return QMM_INVALID_ARGUMENT;
    QMMI_ENTER_WAITING(timer->object.context);
    QMMI_REQUIRE(timer->object.context, seconds, "seconds is NULL");
    QMMI_REQUIRE(timer->object.context, timer->stopped, "timer has no start and stop yet");
    return qmmi_timer_read(timer->object.context, &timer->timer, seconds);
}

void qmm_timer_free(qmm_timer *timer) {
    if (is_timer(timer)) qmmi_object_free(&timer->object);
}
