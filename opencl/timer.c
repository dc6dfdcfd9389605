/* SPDX-License-Identifier: Apache-2.0
 *
 * Time between two places of the context's queue, as the device takes it: two markers, of which the ends count. In an
 * in-order queue a marker ends when all that was queued before it has ended. Only a queue that was made to keep times
 * has them, and not every driver that keeps them keeps sense: that is tried before a timer is given out. */
#include "../host/timer.h"
#include "context.h"

enum { START, END, MARKERS };

typedef struct pair {
    cl_event markers[MARKERS]; /* NULL: not queued yet */
} pair;

/* ---- markers ----------------------------------------------------------------------------------------------------- */

static void forget(const qmmi_opencl_state *s, cl_event *marker) {
    if (*marker) s->api->clReleaseEvent(*marker);
    *marker = NULL;
}

static qmm_status mark(qmm_context *context, pair *p, int which) {
    const qmmi_opencl_state *const s = qmmi_opencl_state_of(context);
    forget(s, &p->markers[which]);
    CL_TRY(context, clEnqueueMarkerWithWaitList, s->queue, 0, NULL, &p->markers[which]);
    return QMM_OK;
}

/* Nanoseconds, once the markers have ended. */
static cl_int read_ends(const qmmi_opencl_state *s, const pair *p, cl_ulong ends[MARKERS]) {
    cl_int result = CL_SUCCESS;
    for (int i = START; i < MARKERS && result == CL_SUCCESS; i++)
        result = s->api->clGetEventProfilingInfo(p->markers[i], CL_PROFILING_COMMAND_END, sizeof ends[i], &ends[i],
                                                 NULL);
    return result;
}

qmm_status qmmi_opencl_timer_record(qmm_context *context, void *made, bool end) {
    return mark(context, made, end ? END : START);
}

qmm_status qmmi_opencl_timer_seconds(qmm_context *context, void *made, double *seconds) {
    const qmmi_opencl_state *const s = qmmi_opencl_state_of(context);
    const pair *const p = made;
    cl_ulong ends[MARKERS];
    cl_int result;
    CL_TRY(context, clWaitForEvents, MARKERS, p->markers);
    result = read_ends(s, p, ends);
    if (result == CL_PROFILING_INFO_NOT_AVAILABLE)
        return qmmi_fail(context, QMM_INVALID_ARGUMENT, "qmm_timer_seconds",
                         "the context's queue was changed to one that keeps no times");
    if (result != CL_SUCCESS) return qmmi_opencl_fail(context, "clGetEventProfilingInfo", result);
    *seconds = ends[END] > ends[START] ? 1e-9 * (double)(ends[END] - ends[START]) : 0;
    return QMM_OK;
}

/* ---- is there sense in them? ------------------------------------------------------------------------------------- */

/* Times some work, and what the host's clock says of it and of queueing and waiting for it. */
static qmm_status time_work(qmm_context *context, pair *p, int fills, double *elapsed) {
    const qmmi_opencl_state *const s = qmmi_opencl_state_of(context);
    const double begin = qmmi_now();
    const unsigned char zero = 0;
    QMMI_TRY(mark(context, p, START));
    for (int i = 0; i < fills; i++)
        CL_TRY(context, clEnqueueFillBuffer, s->queue, s->nothing, &zero, 1, 0, QMMI_ALIGNMENT, 0, NULL, NULL);
    QMMI_TRY(mark(context, p, END));
    CL_TRY(context, clFinish, s->queue);
    *elapsed = qmmi_now() - begin;
    return QMM_OK;
}

/* *reason: NULL, or what is wrong with the driver's times. Work may be too short for them, and is then made longer;
 * both ends lie within what the host saw, but for clocks that do not run alike. */
static qmm_status try_times(qmm_context *context, pair *p, const char **reason) {
    const qmmi_opencl_state *const s = qmmi_opencl_state_of(context);
    for (int fills = 8; fills <= 512; fills *= 8) {
        cl_ulong ends[MARKERS];
        double elapsed = 0;
        QMMI_TRY(time_work(context, p, fills, &elapsed));
        *reason = "it does not tell them";
        if (read_ends(s, p, ends) != CL_SUCCESS) return QMM_OK;
        *reason = "the end of work comes before its start";
        if (ends[END] < ends[START]) return QMM_OK;
        *reason = "it says that work took longer than it was waited for";
        if (1e-9 * (double)(ends[END] - ends[START]) > 1.5 * elapsed + 1e-3) return QMM_OK;
        *reason = NULL;
        if (ends[END] > ends[START]) return QMM_OK;
    }
    *reason = "work takes no time by them";
    return QMM_OK;
}

/* ---- making and freeing ------------------------------------------------------------------------------------------ */

static qmm_status keeps_times(qmm_context *context, bool *keeps) {
    const qmmi_opencl_state *const s = qmmi_opencl_state_of(context);
    cl_command_queue_properties properties = 0;
    CL_TRY(context, clGetCommandQueueInfo, s->queue, CL_QUEUE_PROPERTIES, sizeof properties, &properties, NULL);
    *keeps = (properties & CL_QUEUE_PROFILING_ENABLE) != 0;
    return QMM_OK;
}

qmm_status qmmi_opencl_timer_create(qmm_context *context, void **made) {
    const char *reason = NULL;
    bool keeps = false;
    pair *p;
    qmm_status status;
    *made = NULL;
    QMMI_TRY(keeps_times(context, &keeps));
    if (!keeps) return QMM_OK;
    p = qmmi_allocate(context, sizeof *p);
    if (!p) return qmmi_fail(context, QMM_OUT_OF_MEMORY, "qmm_timer_create", "no memory for a pair of markers");
    *p = (pair){ .markers = { NULL } };
    status = try_times(context, p, &reason);
    if (status == QMM_OK && !reason) {
        *made = p;
        return QMM_OK;
    }
    if (status == QMM_OK)
        qmmi_log(context, QMM_LOG_WARNING, "the driver's times are not used, the host's clock is: %s", reason);
    qmmi_opencl_timer_free(context, p);
    return status;
}

void qmmi_opencl_timer_free(qmm_context *context, void *made) {
    pair *const p = made;
    for (int i = START; i < MARKERS; i++) forget(qmmi_opencl_state_of(context), &p->markers[i]);
    qmmi_release(context, p, sizeof *p);
}
