/* SPDX-License-Identifier: Apache-2.0
 *
 * Times between two places of a context's queue, for the library's own use. */
#ifndef QMMI_TIMER_H
#define QMMI_TIMER_H

#include "context.h"

typedef struct qmmi_timer {
    void *pair;         /* of the backend; NULL: the host's clock */
    double start, stop; /* of the host's clock */
} qmmi_timer;

qmm_status qmmi_timer_open(qmm_context *context, qmmi_timer *timer);
qmm_status qmmi_timer_record(qmm_context *context, qmmi_timer *timer, bool end);
qmm_status qmmi_timer_read(qmm_context *context, const qmmi_timer *timer, double *seconds);
void qmmi_timer_close(qmm_context *context, qmmi_timer *timer);

/* Seconds of the host's clock, from some beginning. */
double qmmi_now(void);

#endif
