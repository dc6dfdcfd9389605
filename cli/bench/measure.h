/* SPDX-License-Identifier: Apache-2.0
 *
 * How qmm bench measures.
 *
 * On the host's clock a run ends when the device is done, and those that are compared take turns, so that a machine
 * that slows down slows all of them. On the device's clock each run is timed by two marks in the queue; a batch of
 * runs is queued behind a fill so long that the device never waits for the host, so that a time is the device's alone:
 * except find_range's, whose call waits for the device and reads its answer back before the second mark is made.
 * Figures are medians, with the quartiles and the ends beside them; the first runs are not counted. */
#ifndef QMM_BENCH_MEASURE_H
#define QMM_BENCH_MEASURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "qmm/qmm.h"

enum { BENCH_BATCH = 16, BENCH_RUNS_MAX = 2000, BENCH_WARM_UP = 2, BENCH_HOST_RUNS = 20 };

typedef struct bench_timing {
    double median, minimum, maximum, quartile_1, quartile_3; /* seconds of a run */
    int runs;
} bench_timing;

/* Seconds of a clock that only goes forward. */
double bench_now(void);

/* Sorts `seconds`; runs is 1 at least. A quartile between two runs is theirs in proportion. */
bench_timing bench_summarize(double *seconds, int runs);

typedef struct bench_rig {
    qmm_context *context; /* the device that is measured */
    bool device_clock;
    bool simulated; /* the stand-in of the tests: few runs, whose times mean nothing */
    double seconds; /* of runs of each work, at least */
    int runs;       /* of each work, at least */
    qmm_buffer *plug;
    qmm_timer *timers[BENCH_BATCH];
} bench_rig;

/* Makes the timers and finds which clock there is. After a failure too the rig is to be closed. */
qmm_status bench_rig_open(bench_rig *rig, qmm_context *context, const qmm_device_info *info, bool simulated);
void bench_rig_close(bench_rig *rig);

/* Something to be timed. */
typedef struct bench_work {
    /* Queues one run, or does it; `turn` counts them, so that runs can go over copies of their operands. */
    qmm_status (*run)(void *state, int turn);
    void *state;
    qmm_context *context; /* whose queue it is in; NULL: it is done when `run` returns */
    bool on_device;       /* it is in the rig's queue, so the device's clock can time it */
    const bench_rig *rig; /* of another device, if it is in that one's queue; NULL: the rig that measures */
    int repeats;          /* what is done in one run, so many times; its figures are of one */
    bench_timing time;    /* set by bench_measure; runs is 0 if it failed */
    qmm_status status;    /* of the run that failed; the text is on `context` */
} bench_work;

/* Times all of them. */
void bench_measure(bench_rig *rig, bench_work *works, int count);

/* What the host needs to queue one: `calls` of them at a time between two waits; on a device with a clock of its own,
 * where that is all that is measured, BENCH_HOST_RUNS times at least (10,000 calls, if 500 at a time). */
void bench_measure_host(const bench_rig *rig, bench_work *work, int calls);

#endif
