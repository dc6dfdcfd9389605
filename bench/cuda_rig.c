/* SPDX-License-Identifier: Apache-2.0 */
#include "cuda_rig.h"

#include <stdlib.h>
#include <string.h>

enum { L2_CACHE_BYTES = 38 }; /* CUdevice_attribute */

static const size_t PLUG_BYTES = (size_t)1 << 30; /* a fill of a third of a millisecond: longer than queueing a batch */
static const size_t NOISE_BYTES = (size_t)61 << 20; /* odd beside every matrix: copies of it do not line up */
static const double SECONDS_EACH = 0.02;            /* of runs of one figure */

/* ---- open and close ---------------------------------------------------------------------------------------------- */

static void open_context(bench_rig *r, const char *device) {
    qmm_context_options options = QMM_CONTEXT_OPTIONS_INIT;
    char text[512] = "";
    options.error_text = text;
    options.error_text_size = sizeof text;
    if (qmm_context_open(device, &options, &r->context) == QMM_OK) return;
    fprintf(stderr, "benchmark: %s\n", text);
    exit(3);
}

static int ordinal_of(const char *name) {
    const char *const colon = strchr(name, ':');
    return colon ? atoi(colon + 1) : 0;
}

void bench_rig_open(bench_rig *r, const char *device, bool quick, double deadline) {
    const qmm_device_info info = QMM_DEVICE_INFO_INIT;
    *r = (bench_rig){ .quick = quick, .deadline = deadline, .info = info };
    open_context(r, device);
    bench_require(r->context, qmm_context_get_device_info(r->context, &r->info));
    bench_driver_open(&r->driver, ordinal_of(r->info.name), qmm_context_native_queue(r->context));
    r->simulated = r->driver.simulated;
    r->l2_bytes = (size_t)bench_driver_attribute(&r->driver, L2_CACHE_BYTES);
    bench_require(r->context, qmm_context_prepare(r->context));
    for (int i = 0; i < BENCH_BATCH; i++) {
        bench_driver_require(r->driver.event_create(&r->begin[i], 0), "cuEventCreate");
        bench_driver_require(r->driver.event_create(&r->end[i], 0), "cuEventCreate");
    }
    r->plug = bench_buffer(r->context, r->simulated ? 4096 : PLUG_BYTES);
    r->noise = bench_codes(r, r->simulated ? 65521 : NOISE_BYTES);
}

void bench_rig_close(bench_rig *r) {
    for (int i = 0; i < BENCH_BATCH; i++) {
        r->driver.event_destroy(r->begin[i]);
        r->driver.event_destroy(r->end[i]);
    }
    qmm_context_close(r->context);
    bench_driver_close(&r->driver);
}

/* ---- time -------------------------------------------------------------------------------------------------------- */

/* Queues `count` runs behind a fill, and waits for them. */
static void time_batch(bench_rig *r, bench_work work, void *state, int turn, int count, double *seconds) {
    const bench_driver *const d = &r->driver;
    const uint64_t plug = (uint64_t)(uintptr_t)qmm_buffer_native(r->plug);
    bench_driver_require(d->fill(plug, 0x5a, qmm_buffer_bytes(r->plug), d->stream), "cuMemsetD8Async");
    for (int i = 0; i < count; i++) {
        bench_driver_require(d->event_record(r->begin[i], d->stream), "cuEventRecord");
        work(r, state, turn + i);
        bench_driver_require(d->event_record(r->end[i], d->stream), "cuEventRecord");
    }
    bench_require(r->context, qmm_context_synchronize(r->context));
    for (int i = 0; i < count; i++) {
        float milliseconds;
        bench_driver_require(d->event_elapsed(&milliseconds, r->begin[i], r->end[i]), "cuEventElapsedTime");
        seconds[i] = (double)milliseconds * 1e-3;
    }
}

static int at_most(int x, int limit) {
    return x < limit ? x : limit;
}

bench_timing bench_measure(bench_rig *r, bench_work work, void *state) {
    double seconds[BENCH_RUNS_MAX], spent;
    int runs = 1, turn = 2, least;
    time_batch(r, work, state, 0, 2, seconds); /* the first warms up, the second says how long one takes */
    seconds[0] = seconds[1];
    spent = seconds[0];
    least = r->simulated ? 1 : r->quick || spent > SECONDS_EACH ? 3 : 7;
    while (runs < least || (spent < SECONDS_EACH && runs < BENCH_RUNS_MAX && !r->simulated)) {
        const int wanted = 1 + (int)(SECONDS_EACH / (seconds[0] > 1e-6 ? seconds[0] : 1e-6));
        const int count = at_most(at_most(wanted > least ? wanted : least, BENCH_RUNS_MAX) - runs, BENCH_BATCH);
        time_batch(r, work, state, turn, count, seconds + runs);
        for (int i = 0; i < count; i++) spent += seconds[runs + i];
        runs += count;
        turn += count;
        if (runs >= wanted && runs >= least) break;
    }
    return bench_summarize(seconds, runs);
}

int bench_turns(const bench_rig *r, size_t bytes) {
    const size_t turns = r->l2_bytes * 3 / (bytes ? bytes : 1) + 1;
    if (r->simulated) return 2;
    return turns < BENCH_TURNS_MAX ? (int)turns : BENCH_TURNS_MAX;
}

/* ---- data -------------------------------------------------------------------------------------------------------- */

/* Repeats what the host made, from the device's own memory. */
static qmm_buffer *repeat(bench_rig *r, const void *pattern, size_t pattern_bytes, size_t bytes) {
    qmm_buffer *buffer = bench_buffer(r->context, bytes);
    size_t done = pattern_bytes < bytes ? pattern_bytes : bytes;
    bench_require(r->context, qmm_buffer_upload(r->context, buffer, 0, pattern, done));
    while (done < bytes) {
        const size_t step = done < bytes - done ? done : bytes - done;
        bench_require(r->context, qmm_buffer_copy(r->context, buffer, done, buffer, 0, step));
        done += step;
    }
    return buffer;
}

static void *pattern_of(size_t bytes) {
    void *const pattern = malloc(bytes);
    if (!pattern) bench_driver_require(2, "host memory");
    bench_fill(pattern, bytes, bytes);
    return pattern;
}

qmm_buffer *bench_codes(bench_rig *r, size_t bytes) {
    qmm_buffer *buffer = bench_buffer(r->context, bytes);
    if (!r->noise) {
        void *const pattern = pattern_of(bytes);
        bench_require(r->context, qmm_buffer_upload(r->context, buffer, 0, pattern, bytes));
        free(pattern);
        return buffer;
    }
    for (size_t done = 0; done < bytes;) {
        const size_t all = qmm_buffer_bytes(r->noise), step = bytes - done < all ? bytes - done : all;
        bench_require(r->context, qmm_buffer_copy(r->context, buffer, done, r->noise, 0, step));
        done += step;
    }
    return buffer;
}

/* Sign and mantissa at random, the exponent that of 0.5 or 1: bytes with these bits kept, and these set. */
static void make_reals(qmm_type type, unsigned char *bytes, size_t count) {
    const size_t size = type == QMM_F32 ? 4 : 2;
    const unsigned kept = type == QMM_F16 ? 0x87 : 0x80, set = type == QMM_F16 ? 0x38 : 0x3f;
    for (size_t i = size - 1; i < count * size; i += size) bytes[i] = (unsigned char)((bytes[i] & kept) | set);
}

qmm_buffer *bench_reals(bench_rig *r, qmm_type type, int64_t count) {
    enum { PATTERN = 1 << 20 };
    const size_t size = type == QMM_F32 ? 4 : 2, bytes = (size_t)count * size;
    const size_t pattern_bytes = (size_t)(r->simulated ? 4096 : PATTERN) * size;
    unsigned char *const pattern = pattern_of(pattern_bytes);
    qmm_buffer *buffer;
    make_reals(type, pattern, pattern_bytes / size);
    buffer = repeat(r, pattern, pattern_bytes, bytes);
    free(pattern);
    return buffer;
}

bool bench_time_is_over(const bench_rig *r) {
    return r->deadline > 0.0 && bench_now() > r->deadline;
}

/* ---- report ------------------------------------------------------------------------------------------------------ */

void bench_table_head(bench_rig *r, const char *title) {
    printf("\n%s\n\n", title);
    if (r->simulated)
        printf("| what | kernel | shape | |\n|---|---|---|---|\n");
    else
        printf("| what | kernel | shape | microseconds: median (fastest-slowest) | TB/s | of copy | TOPS |\n"
               "|---|---|---|---|---|---|---|\n");
}

static void print_rate(double amount, double seconds) {
    if (amount > 0.0)
        printf(" %.4g |", amount / seconds * 1e-12);
    else
        printf(" - |");
}

static void print_json(bench_rig *r, const bench_figure *f) {
    const bench_clocks clocks = bench_driver_clocks(&r->driver);
    fprintf(r->json, "%s\n    {", r->json_rows++ ? "," : "");
    bench_json_text(r->json, "group", f->group);
    bench_json_text(r->json, "name", f->name);
    bench_json_text(r->json, "kernel", f->kernel);
    bench_json_text(r->json, "shape", f->shape);
    if (r->simulated)
        fprintf(r->json, "\"ran\": true}");
    else
        fprintf(r->json,
                "\"microseconds\": %.6g, \"fastest\": %.6g, \"slowest\": %.6g, \"runs\": %d, \"bytes\": %.0f, "
                "\"operations\": %.0f, \"of_copy\": %.4g, \"chosen\": %s, \"sm_mhz\": %u, \"memory_mhz\": %u, "
                "\"watts\": %.0f}",
                f->time.median * 1e6, f->time.fastest * 1e6, f->time.slowest * 1e6, f->time.runs, f->bytes,
                f->operations, r->copy_bandwidth > 0.0 ? f->bytes / f->time.median / r->copy_bandwidth : 0.0,
                f->chosen ? "true" : "false", clocks.multiprocessor, clocks.memory, clocks.watts);
}

void bench_report(bench_rig *r, const bench_figure *f) {
    printf("| %s | %s%s | %s |", f->name, f->kernel, f->chosen ? " *" : "", f->shape);
    if (r->simulated) {
        printf(" ran |\n");
    } else {
        printf(" %.5g (%.5g-%.5g) |", f->time.median * 1e6, f->time.fastest * 1e6, f->time.slowest * 1e6);
        print_rate(f->bytes, f->time.median);
        if (f->bytes > 0.0 && r->copy_bandwidth > 0.0)
            printf(" %.3f |", f->bytes / f->time.median / r->copy_bandwidth);
        else
            printf(" - |");
        print_rate(f->operations, f->time.median);
        printf("\n");
    }
    fflush(stdout);
    if (r->json) print_json(r, f);
}

void bench_skip(bench_rig *r, const char *group, const char *name, const char *kernel, const char *shape,
                const char *reason) {
    if (!r->json) return;
    fprintf(r->json, "%s\n    {", r->json_rows++ ? "," : "");
    bench_json_text(r->json, "group", group);
    bench_json_text(r->json, "name", name);
    bench_json_text(r->json, "kernel", kernel);
    bench_json_text(r->json, "shape", shape);
    bench_json_text(r->json, "skipped", reason);
    fprintf(r->json, "\"ran\": false}");
}
