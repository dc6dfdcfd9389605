/* SPDX-License-Identifier: Apache-2.0
 *
 * The CPU with a made-up table of matmul rows and a clock of its own: what a row says, takes and breaks is what the test
 * sets. All rows compute by the reference. */
#ifndef QMM_TEST_FAKE_BACKEND_H
#define QMM_TEST_FAKE_BACKEND_H

#include "context.h"
#include "support.h"

/* cpu:matmul:first, :second (variants "wide" and "narrow", a known-answer test), :third (in need of FAKE_ABILITY), and
 * :reference. */
enum { FAKE_FIRST, FAKE_SECOND, FAKE_THIRD, FAKE_REFERENCE, FAKE_ROWS, FAKE_VARIANTS = 2, FAKE_ABILITY = 1 };

extern const char *const fake_names[FAKE_ROWS];

typedef struct fake_row {
    const char *accepts, *declines; /* what it says */
    const char *refused_variants[1 + FAKE_VARIANTS]; /* what it says to those; [0] is not used */
    double estimate;
    double seconds[1 + FAKE_VARIANTS]; /* of a run, by variant */
    size_t workspace;
    qmm_status status;                 /* of a run */
    int wrong_variant;                 /* whose results are wrong; -1: none */
    /* what happened */
    int accepts_asked, estimates_asked, runs, last_variant;
    unsigned variants_run; /* a bit each */
} fake_row;

typedef struct fake_backend {
    fake_row rows[FAKE_ROWS];
    double clock;
    double tick;          /* the clock shows multiples of this; 0: everything */
    bool no_device_clock; /* timers fall back on the host's */
    bool capturing;
    int timers, fills, waits;
} fake_backend;

extern fake_backend fake;

/* As if nothing had happened: every row takes everything in a second and can say nothing. */
void fake_reset(void);
void fake_forget_calls(void);

/* A context on it. */
qmm_context *fake_open(const qmm_context_options *options);

/* A matmul of s8 to `type` in a buffer of its own. */
typedef struct fake_call {
    qmm_context *context;
    qmm_buffer *buffer;
    qmm_tensor a, b, c;
} fake_call;

fake_call fake_call_open(qmm_context *context, int64_t m, int64_t n, int64_t k, qmm_type type);
qmm_status fake_call_run(const fake_call *call);
qmm_matmul_plan_info fake_call_plan(const fake_call *call);
void fake_call_close(fake_call *call);

#endif
