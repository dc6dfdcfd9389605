/* SPDX-License-Identifier: Apache-2.0
 *
 * Time between two places of the context's stream, as the device takes it: a pair of events. */
#include "context.h"

typedef struct pair {
    cu_event start, end;
} pair;

/* With the primary context current. */
static qmm_status make_events(qmm_context *context, pair *p) {
    CU_TRY(context, cuEventCreate, &p->start, CU_EVENT_DEFAULT_FLAGS);
    CU_TRY(context, cuEventCreate, &p->end, CU_EVENT_DEFAULT_FLAGS);
    return QMM_OK;
}

static void free_events(const qmmi_cuda_state *s, pair *p) {
    if (p->start) s->driver->cuEventDestroy(p->start);
    if (p->end) s->driver->cuEventDestroy(p->end);
}

static qmm_status fail_to_enter(qmm_context *context, cu_result result) {
    return qmmi_cuda_fail(context, "cuCtxPushCurrent", result);
}

qmm_status qmmi_cuda_timer_create(qmm_context *context, void **made) {
    const qmmi_cuda_state *const s = qmmi_cuda_state_of(context);
    pair *const p = qmmi_allocate(context, sizeof *p);
    bool entered;
    cu_result result;
    qmm_status status;
    *made = NULL;
    if (!p) return qmmi_fail(context, QMM_OUT_OF_MEMORY, "qmm_timer_create", "no memory for a pair of events");
    *p = (pair){ .start = NULL };
    result = qmmi_cuda_enter(s, &entered);
    status = result == CU_SUCCESS ? make_events(context, p) : fail_to_enter(context, result);
    if (status != QMM_OK) free_events(s, p);
    qmmi_cuda_leave(s, entered);
    if (status == QMM_OK)
        *made = p;
    else
        qmmi_release(context, p, sizeof *p);
    return status;
}

/* With the primary context current. */
static qmm_status record(qmm_context *context, cu_event event) {
    CU_TRY(context, cuEventRecord, event, qmmi_cuda_state_of(context)->stream);
    return QMM_OK;
}

qmm_status qmmi_cuda_timer_record(qmm_context *context, void *made, bool end) {
    const qmmi_cuda_state *const s = qmmi_cuda_state_of(context);
    const pair *const p = made;
    bool entered;
    const cu_result result = qmmi_cuda_enter(s, &entered);
    qmm_status status = QMM_OK;
    if (result == CU_SUCCESS)
        status = record(context, end ? p->end : p->start);
    else
        status = fail_to_enter(context, result);
    qmmi_cuda_leave(s, entered);
    return status;
}

/* With the primary context current. The two may have been recorded on different streams, so both are waited for. */
static qmm_status read_milliseconds(qmm_context *context, const pair *p, float *milliseconds) {
    CU_TRY(context, cuEventSynchronize, p->start);
    CU_TRY(context, cuEventSynchronize, p->end);
    CU_TRY(context, cuEventElapsedTime, milliseconds, p->start, p->end);
    return QMM_OK;
}

qmm_status qmmi_cuda_timer_seconds(qmm_context *context, void *made, double *seconds) {
    const qmmi_cuda_state *const s = qmmi_cuda_state_of(context);
    float milliseconds = 0;
    bool entered;
    const cu_result result = qmmi_cuda_enter(s, &entered);
    qmm_status status;
    if (result == CU_SUCCESS) {
        const int mode = qmmi_cuda_relax(s);
        status = read_milliseconds(context, made, &milliseconds);
        qmmi_cuda_restore(s, mode);
    } else {
        status = fail_to_enter(context, result);
    }
    qmmi_cuda_leave(s, entered);
    if (status == QMM_OK) *seconds = 1e-3 * (double)milliseconds;
    return status;
}

void qmmi_cuda_timer_free(qmm_context *context, void *made) {
    const qmmi_cuda_state *const s = qmmi_cuda_state_of(context);
    bool entered;
    if (qmmi_cuda_enter(s, &entered) == CU_SUCCESS) {
        const int mode = qmmi_cuda_relax(s);
        free_events(s, made);
        qmmi_cuda_restore(s, mode);
    }
    qmmi_cuda_leave(s, entered);
    qmmi_release(context, made, sizeof(pair));
}
