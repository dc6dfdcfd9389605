/* SPDX-License-Identifier: Apache-2.0
 *
 * qmm bench, once its options are read. */
#ifndef QMM_BENCH_RUN_H
#define QMM_BENCH_RUN_H

#include "device.h"
#include "plan.h"

typedef enum bench_format { BENCH_MARKDOWN, BENCH_JSON, BENCH_CSV } bench_format;

typedef struct bench_options {
    const char *device;
    bench_wishes wishes;
    const char *kernels; /* NULL: as the preset has it */
    const char *peers;
    double seconds;    /* of each figure */
    int64_t runs;      /* of each figure, at least */
    double time_limit; /* for all; 0: none */
    bench_cache cache;
    uint64_t seed;
    bool verify;
    bench_format format;
    const char *output;         /* a file for the JSON; NULL: none */
    const char *compare, *with; /* earlier figures; those to hold against them, instead of measuring. NULL: none */
    double noise;               /* a share */
} bench_options;

#define BENCH_OPTIONS_INIT                                                                                          \
    {                                                                                                               \
        .device = "cpu", .wishes = { .call = CLI_CALL_INIT }, .peers = "all", .seconds = 0.1, .runs = 5, .seed = 1, \
        .noise = 0.05                                                                                               \
    }

/* Exit codes: 0 all was measured, 1 a result is wrong, a figure is a loss or nothing was measured, 2 bad options, 3 no
 * such device. */
int bench_run(const char *command, const bench_options *options);

/* Operations, presets, shapes, peers and the device's kernels. The same codes. */
int bench_list(const char *command, const bench_options *options);

#endif
