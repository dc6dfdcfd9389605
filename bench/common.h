/* SPDX-License-Identifier: Apache-2.0
 *
 * What the benchmark programs share: times, random data, buffers, figures as lines of JSON. */
#ifndef QMM_BENCH_COMMON_H
#define QMM_BENCH_COMMON_H

#include <stdint.h>
#include <stdio.h>

#include "qmm/qmm.h"

enum { BENCH_RUNS_MAX = 101 };

typedef struct bench_timing {
    double median, fastest, slowest; /* seconds */
    int runs;
} bench_timing;

/* Seconds of a clock that only goes forward. */
double bench_now(void);

/* Sorts `seconds`. */
bench_timing bench_summarize(double *seconds, int runs);

/* Bytes over their full range, the same for the same seed. */
void bench_fill(void *memory, size_t bytes, uint64_t seed);

/* Ends the program, with the context's text, where a call failed. */
void bench_require(qmm_context *context, qmm_status status);
qmm_buffer *bench_buffer(qmm_context *context, size_t bytes);

/* A file of figures: members, then a list of results; NULL where none is wanted. Ends the program where it cannot be
 * written. */
FILE *bench_json_open(const char *path);
void bench_json_text(FILE *json, const char *name, const char *value); /* "name": "value", escaped, and a comma */
void bench_json_close(FILE *json);

/* Today, as 2026-11-21. */
void bench_date(char *text, size_t bytes);

#endif
