/* SPDX-License-Identifier: Apache-2.0
 *
 * The device that is measured: its context, its facts, the rig, and how fast it copies. */
#ifndef QMM_BENCH_DEVICE_H
#define QMM_BENCH_DEVICE_H

#include "cuda_driver.h"
#include "measure.h"

/* What the first calls on the device took, in seconds, each with what it builds; the driver's own cache was as it was.
 * */
typedef struct bench_first_use {
    double open, quantize, matmul, prepare;
} bench_first_use;

typedef enum bench_cache { BENCH_CACHE_OWN, BENCH_CACHE_WARM, BENCH_CACHE_COLD } bench_cache;

typedef struct bench_device {
    qmm_context *context;
    qmm_device_info info;
    bench_rig rig;
    bench_driver driver; /* library NULL: none */
    bench_first_use first;
    bool cold;             /* runs go over copies of their operands */
    size_t cache_bytes;    /* its L2, or the last one of a CPU; 0: unknown */
    size_t outsize_bytes;  /* what the copies have to outsize together */
    double copy_bandwidth; /* bytes read plus bytes written, a second; 0: not measured, or not to be stated */
    double int8_peak;      /* operations a second on paper; 0: unknown */
    bench_timing copy_time;
    size_t copy_bytes;
} bench_device;

/* Opens it, sees to its first uses, prepares all kernels. Prints what failed, and gives an exit code. */
int bench_device_open(const char *command, const char *name, bench_cache cache, double seconds, int runs,
                      bench_device *device);
void bench_device_close(bench_device *device);

/* Measures the copy. */
qmm_status bench_device_copy(bench_device *device);

/* How many copies of operands of `bytes` bytes a run goes over. */
int bench_device_copies(const bench_device *device, double bytes);

/* Memory of random codes, or of random reals of that type between 0.5 and 2 in size. Where there is none, *buffer is
 * NULL; bench_why says of the status why. */
qmm_status bench_device_random(qmm_context *context, qmm_type type, size_t bytes, qmm_buffer **buffer);

/* Why one of these functions, or a call on the context, gave this status: the context's text, if it is of that call. */
const char *bench_why(const qmm_context *context, qmm_status status);

/* Prints that, and gives the exit code of the status, which is not QMM_OK. */
int bench_device_failed(const char *command, qmm_context *context, qmm_status status);

/* Up to a multiple of 256: where a copy of operands begins behind another. */
size_t bench_aligned(size_t bytes);

/* In words, for the figures. */
const char *bench_device_clock(const bench_device *device);
void bench_device_copies_text(const bench_device *device, char *text, size_t bytes);

#endif
