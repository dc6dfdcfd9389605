/* SPDX-License-Identifier: Apache-2.0
 *
 * How the CUDA benchmark measures. Runs are timed on the device by a pair of events each. A batch of them is queued
 * behind a fill long enough that the device never waits for the host, so that a time is the device's alone. Runs go
 * over several copies of their operands in turn, together larger than the L2 cache, so that no run finds its own. */
#ifndef QMM_BENCH_CUDA_RIG_H
#define QMM_BENCH_CUDA_RIG_H

#include <stdbool.h>

#include "common.h"
#include "cuda_driver.h"

enum { BENCH_BATCH = 16, BENCH_TURNS_MAX = 16 };

typedef struct bench_rig {
    qmm_context *context;
    bench_driver driver;
    qmm_device_info info;
    bool quick, simulated;
    double deadline; /* by bench_now(); 0: none */
    size_t l2_bytes;
    qmm_buffer *plug;                            /* what the fill fills */
    qmm_buffer *noise;                           /* random bytes, full range */
    void *begin[BENCH_BATCH], *end[BENCH_BATCH]; /* events */
    double copy_bandwidth;                       /* bytes read plus bytes written, a second; measured first */
    FILE *json;                                  /* NULL: none */
    int json_rows;
} bench_rig;

/* Ends the program, saying why, where there is no device. */
void bench_rig_open(bench_rig *r, const char *device, bool quick, double deadline);
void bench_rig_close(bench_rig *r);

/* Queues one run; `turn` counts them. */
typedef void (*bench_work)(bench_rig *r, void *state, int turn);

/* Of one run, by events. */
bench_timing bench_measure(bench_rig *r, bench_work work, void *state);

/* How many copies of `bytes` bytes outsize the cache. */
int bench_turns(const bench_rig *r, size_t bytes);

/* A buffer of random codes; of random reals of a type, between 0.5 and 2 in size, of either sign. */
qmm_buffer *bench_codes(bench_rig *r, size_t bytes);
qmm_buffer *bench_reals(bench_rig *r, qmm_type type, int64_t count);

/* One figure. */
typedef struct bench_figure {
    const char *group, *name, *kernel; /* kernel "": no row is meant */
    char shape[64];
    bench_timing time;
    double bytes, operations; /* of a run; 0: not counted */
    bool chosen;              /* the row is the device's own choice */
} bench_figure;

/* No new figure is begun then. */
bool bench_time_is_over(const bench_rig *r);

void bench_table_head(bench_rig *r, const char *title);
void bench_report(bench_rig *r, const bench_figure *figure);

/* What is not measured, and why. */
void bench_skip(bench_rig *r, const char *group, const char *name, const char *kernel, const char *shape,
                const char *reason);

/* ---- the parts of the benchmark ---------------------------------------------------------------------------------- */

void bench_cuda_memory(bench_rig *r); /* sets copy_bandwidth */
void bench_cuda_matmul(bench_rig *r);
void bench_cuda_calls(bench_rig *r);

#endif
