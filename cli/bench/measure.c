/* SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L
#include "measure.h"

#include <stdlib.h>
#include <time.h>

static const size_t PLUG_BYTES = (size_t)1 << 30; /* a fill of a third of a millisecond on a GPU with HBM */

double bench_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int ascending(const void *x, const void *y) {
    const double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
}

static double quantile(const double *sorted, int runs, double share) {
    const double place = share * (runs - 1);
    const int below = (int)place, above = below + 1 < runs ? below + 1 : below;
    return sorted[below] + (place - below) * (sorted[above] - sorted[below]);
}

bench_timing bench_summarize(double *seconds, int runs) {
    qsort(seconds, (size_t)runs, sizeof *seconds, ascending);
    return (bench_timing){ .median = quantile(seconds, runs, 0.5),
                           .minimum = seconds[0],
                           .maximum = seconds[runs - 1],
                           .quartile_1 = quantile(seconds, runs, 0.25),
                           .quartile_3 = quantile(seconds, runs, 0.75),
                           .runs = runs };
}

/* ---- the rig ----------------------------------------------------------------------------------------------------- */

/* A device that is a CPU is measured on the host's clock: its peers run on the same cores, and must take turns with
 * it. */
static bool wants_device_clock(const bench_rig *rig, const qmm_device_info *info) {
    const bool has = qmm_timer_clock(rig->timers[0])[0] == 'd';
    return has && (rig->simulated || info->kind != QMM_DEVICE_KIND_CPU);
}

static size_t plug_bytes(const bench_rig *rig, const qmm_device_info *info) {
    const size_t share = (size_t)(info->memory_bytes / 16);
    if (rig->simulated || share == 0) return 4096;
    return share < PLUG_BYTES ? share : PLUG_BYTES;
}

qmm_status bench_rig_open(bench_rig *rig, qmm_context *context, const qmm_device_info *info, bool simulated) {
    *rig = (bench_rig){ .context = context, .simulated = simulated };
    for (int i = 0; i < BENCH_BATCH; i++) {
        const qmm_status status = qmm_timer_create(context, &rig->timers[i]);
        if (status != QMM_OK) return status;
    }
    rig->device_clock = wants_device_clock(rig, info);
    return rig->device_clock ? qmm_buffer_create(context, plug_bytes(rig, info), &rig->plug) : QMM_OK;
}

void bench_rig_close(bench_rig *rig) {
    for (int i = 0; i < BENCH_BATCH; i++) qmm_timer_free(rig->timers[i]);
    qmm_buffer_free(rig->plug);
}

/* ---- samples ----------------------------------------------------------------------------------------------------- */

typedef struct samples {
    double seconds[BENCH_RUNS_MAX];
    double spent;
    int runs, turn;
} samples;

static bool are_enough(const bench_rig *rig, const samples *s, int runs) {
    if (rig->simulated) return s->runs > 0;
    return s->runs >= BENCH_RUNS_MAX || (s->runs >= runs && s->spent >= rig->seconds);
}

static bool is_enough(const bench_rig *rig, const samples *s) {
    return are_enough(rig, s, rig->runs);
}

static void finish(bench_work *w, samples *s) {
    const int repeats = w->repeats > 1 ? w->repeats : 1;
    for (int i = 0; i < s->runs; i++) s->seconds[i] /= repeats;
    w->time = w->status == QMM_OK && s->runs > 0 ? bench_summarize(s->seconds, s->runs) : (bench_timing){ .runs = 0 };
}

static void keep(samples *s, double seconds) {
    s->seconds[s->runs++] = seconds;
    s->spent += seconds;
}

/* ---- on the host's clock ----------------------------------------------------------------------------------------- */

static double run_once(bench_work *w, int turn) {
    const double start = bench_now();
    w->status = w->run(w->state, turn);
    if (w->status == QMM_OK && w->context) w->status = qmm_context_synchronize(w->context);
    return bench_now() - start;
}

/* The rig whose device's clock times a work; NULL: the host's clock does. */
static const bench_rig *device_rig(const bench_rig *rig, const bench_work *w) {
    const bench_rig *const own = w->rig ? w->rig : rig;
    return w->on_device && own->device_clock ? own : NULL;
}

static void take_turns(const bench_rig *rig, bench_work *works, samples *s, int count) {
    for (bool all = false; !all;) {
        all = true;
        for (int i = 0; i < count; i++) {
            double seconds;
            if (device_rig(rig, &works[i]) || works[i].status != QMM_OK || is_enough(rig, &s[i])) continue;
            seconds = run_once(&works[i], s[i].turn++);
            if (s[i].turn > BENCH_WARM_UP) keep(&s[i], seconds);
            all = false;
        }
    }
}

/* ---- on the device's clock --------------------------------------------------------------------------------------- */

/* Queues `count` runs behind a fill, and waits for them. */
static qmm_status time_batch(const bench_rig *rig, const bench_work *w, int turn, int count, double *seconds) {
    qmm_status status = qmm_buffer_fill(rig->context, rig->plug, 0, 0x5a, qmm_buffer_bytes(rig->plug));
    for (int i = 0; i < count && status == QMM_OK; i++) {
        status = qmm_timer_start(rig->timers[i]);
        if (status == QMM_OK) status = w->run(w->state, turn + i);
        if (status == QMM_OK) status = qmm_timer_stop(rig->timers[i]);
    }
    for (int i = 0; i < count && status == QMM_OK; i++) status = qmm_timer_seconds(rig->timers[i], &seconds[i]);
    return status;
}

static int at_most(int x, int limit) {
    return x < limit ? x : limit;
}

/* How many more, from what one takes. */
static int batch_of(const bench_rig *rig, const samples *s, double one) {
    const double left = (rig->seconds - s->spent) / (one > 1e-7 ? one : 1e-7);
    const int by_time = left < 1.0 ? 1 : left > BENCH_RUNS_MAX ? BENCH_RUNS_MAX : (int)left + 1;
    const int by_count = rig->runs - s->runs;
    return at_most(at_most(by_time > by_count ? by_time : by_count, BENCH_RUNS_MAX - s->runs), BENCH_BATCH);
}

static void measure_on_device(const bench_rig *rig, bench_work *w, samples *s) {
    double seconds[BENCH_BATCH] = { 0.0 };
    w->status = time_batch(rig, w, 0, BENCH_WARM_UP, seconds);
    s->turn = BENCH_WARM_UP;
    seconds[0] = seconds[BENCH_WARM_UP - 1]; /* the last of the warm-up says how long one takes */
    while (w->status == QMM_OK && !is_enough(rig, s)) {
        const int count = rig->simulated ? 1 : batch_of(rig, s, seconds[0]);
        w->status = time_batch(rig, w, s->turn, count, seconds);
        for (int i = 0; i < count && w->status == QMM_OK; i++) keep(s, seconds[i]);
        s->turn += count;
    }
}

/* ---- all --------------------------------------------------------------------------------------------------------- */

void bench_measure(bench_rig *rig, bench_work *works, int count) {
    samples *s = calloc((size_t)(count > 0 ? count : 1), sizeof *s);
    for (int i = 0; i < count; i++) {
        works[i].status = s ? QMM_OK : QMM_OUT_OF_MEMORY;
        works[i].time = (bench_timing){ .runs = 0 };
    }
    if (!s) return;
    for (int i = 0; i < count; i++) {
        const bench_rig *const of_device = device_rig(rig, &works[i]);
        if (of_device) measure_on_device(of_device, &works[i], &s[i]);
    }
    take_turns(rig, works, s, count);
    for (int i = 0; i < count; i++) finish(&works[i], &s[i]);
    free(s);
}

static double queue_many(const bench_rig *rig, bench_work *w, int calls) {
    double start;
    w->status = qmm_context_synchronize(rig->context);
    start = bench_now();
    for (int i = 0; i < calls && w->status == QMM_OK; i++) w->status = w->run(w->state, i);
    start = bench_now() - start;
    if (w->status == QMM_OK) w->status = qmm_context_synchronize(rig->context);
    return start / calls;
}

void bench_measure_host(const bench_rig *rig, bench_work *w, int calls) {
    const int runs = rig->device_clock && rig->runs < BENCH_HOST_RUNS ? BENCH_HOST_RUNS : rig->runs;
    samples *s = calloc(1, sizeof *s);
    w->time = (bench_timing){ .runs = 0 };
    w->status = s ? QMM_OK : QMM_OUT_OF_MEMORY;
    if (!s) return;
    if (rig->simulated) calls = 3;
    queue_many(rig, w, calls);
    while (w->status == QMM_OK && !are_enough(rig, s, runs)) {
        const double start = bench_now(), seconds = queue_many(rig, w, calls);
        keep(s, seconds);
        s->spent += bench_now() - start - seconds; /* with the waits */
    }
    finish(w, s);
    free(s);
}
