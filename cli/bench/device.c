/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

#define MIB ((size_t)1 << 20)

enum { COPIES_MAX = 64 };

/* ---- random memory ----------------------------------------------------------------------------------------------- */

/* Repeated over what is larger: an odd number of kilobytes, so that the rows of a matrix do not resemble each other. */
enum { PATTERN_BYTES = 16 * 1024 * 1024 - 1028 * 3 };

/* xorshift64*: Vigna, ACM TOMS 42 (2016). */
static void fill_random(unsigned char *bytes, size_t count) {
    uint64_t state = 0x9e3779b97f4a7c15u;
    for (size_t i = 0; i < count; i += sizeof state) {
        uint64_t word;
        state ^= state >> 12, state ^= state << 25, state ^= state >> 27;
        word = state * 0x2545f4914f6cdd1du;
        memcpy(bytes + i, &word, count - i < sizeof word ? count - i : sizeof word);
    }
}

/* Sign and mantissa at random, the exponent that of 0.5 or 1: the last byte with these bits kept, and these set. */
static void make_reals(qmm_type type, unsigned char *bytes, size_t count) {
    const size_t size = type == QMM_F32 ? 4 : 2;
    const unsigned kept = type == QMM_F16 ? 0x87 : 0x80, set = type == QMM_F16 ? 0x38 : 0x3f;
    for (size_t i = size - 1; i < count; i += size) bytes[i] = (unsigned char)((bytes[i] & kept) | set);
}

static qmm_status repeat(qmm_context *context, qmm_buffer *buffer, const void *pattern, size_t filled, size_t bytes) {
    qmm_status status = qmm_buffer_upload(context, buffer, 0, pattern, filled);
    while (status == QMM_OK && filled < bytes) {
        const size_t more = filled < bytes - filled ? filled : bytes - filled;
        status = qmm_buffer_copy(context, buffer, filled, buffer, 0, more);
        filled += more;
    }
    return status;
}

qmm_status bench_device_random(qmm_context *context, qmm_type type, size_t bytes, qmm_buffer **buffer) {
    const size_t part = bytes < PATTERN_BYTES ? bytes : PATTERN_BYTES;
    unsigned char *const pattern = malloc(part ? part : 1);
    qmm_status status = QMM_OUT_OF_MEMORY;
    *buffer = NULL;
    if (!pattern) return status;
    fill_random(pattern, part);
    if (type == QMM_F32 || type == QMM_F16 || type == QMM_BF16) make_reals(type, pattern, part);
    status = qmm_buffer_create(context, bytes, buffer);
    if (status == QMM_OK) status = repeat(context, *buffer, pattern, part, bytes);
    free(pattern);
    if (status == QMM_OK) return QMM_OK;
    qmm_buffer_free(*buffer);
    *buffer = NULL;
    return status;
}

size_t bench_aligned(size_t bytes) {
    return (bytes + 255) / 256 * 256;
}

/* ---- what failed ------------------------------------------------------------------------------------------------- */

/* A driver's own calls, and the host's malloc, leave no text on the context. */
const char *bench_why(const qmm_context *context, qmm_status status) {
    if (qmm_context_error_status(context) == status) return qmm_context_error(context);
    if (status == QMM_OUT_OF_MEMORY) return "no host memory";
    return status == QMM_DEVICE_FAILED ? "a call of the driver failed" : qmm_status_name(status);
}

int bench_device_failed(const char *command, qmm_context *context, qmm_status status) {
    if (qmm_context_error_status(context) == status) return cli_qmm_error(command, context);
    return cli_error(CLI_FAILED, command, "%s", bench_why(context, status));
}

/* ---- facts ------------------------------------------------------------------------------------------------------- */

static bool is_cuda(const bench_device *d) {
    return strncmp(d->info.name, "cuda", 4) == 0;
}

/* Dense int8 operations that one multiprocessor does in a clock, from the makers' peak numbers over clock and
 * multiprocessors: T4 130 TOPS, A100 624, RTX 3090 284, RTX 4090 661, H100 SXM 1979, B200 4500, RTX 5090 838. */
static double operations_a_clock(const qmm_device_info *i) {
    static const struct {
        int major, minor;
        double operations;
    } rates[] = { { 7, 5, 2048 }, { 8, 0, 4096 },   { 8, 6, 2048 }, { 8, 9, 2048 },
                  { 9, 0, 8192 }, { 10, 0, 16384 }, { 12, 0, 2048 } };
    for (size_t r = 0; r < sizeof rates / sizeof rates[0]; r++)
        if (rates[r].major == i->compute_major && rates[r].minor == i->compute_minor) return rates[r].operations;
    return 0.0;
}

/* At the largest clock that the driver knows, which few boards keep under such a load. */
static double paper_peak(const bench_device *d) {
    if (!is_cuda(d) || d->rig.simulated) return 0.0;
    return operations_a_clock(&d->info) * d->info.compute_units * 1e3 *
           bench_driver_attribute(&d->driver, BENCH_CU_CLOCK_KHZ);
}

static size_t cache_of(const bench_device *d) {
    long last = 0;
    if (is_cuda(d)) return (size_t)bench_driver_attribute(&d->driver, BENCH_CU_L2_BYTES);
#ifdef _SC_LEVEL3_CACHE_SIZE
    if (d->info.kind == QMM_DEVICE_KIND_CPU) last = sysconf(_SC_LEVEL3_CACHE_SIZE);
#endif
    return last > 0 ? (size_t)last : 0;
}

static void learn_cache(bench_device *d, bench_cache cache) {
    const bool cpu = d->info.kind == QMM_DEVICE_KIND_CPU;
    d->cold = cache == BENCH_CACHE_OWN ? !cpu : cache == BENCH_CACHE_COLD;
    d->cache_bytes = cache_of(d);
    d->outsize_bytes = d->cache_bytes ? 3 * d->cache_bytes : (cpu ? 64 : 256) * MIB;
}

int bench_device_copies(const bench_device *d, double bytes) {
    const double wanted = (double)d->outsize_bytes / (bytes > 1.0 ? bytes : 1.0) + 1.0;
    const double room = d->info.memory_bytes ? (double)d->info.memory_bytes / 4.0 / (bytes > 1.0 ? bytes : 1.0) : 1e9;
    const double copies = wanted < room ? wanted : room;
    if (!d->cold || copies < 2.0) return 1;
    if (d->rig.simulated) return 2;
    return copies < COPIES_MAX ? (int)copies : COPIES_MAX;
}

const char *bench_device_clock(const bench_device *d) {
    return d->rig.device_clock ? "device" : "host";
}

void bench_device_copies_text(const bench_device *d, char *text, size_t bytes) {
    if (d->cold)
        snprintf(text, bytes, "as many copies of the operands in turn, up to %d, as outsize %zu MiB (%s)", COPIES_MAX,
                 d->outsize_bytes / MIB, d->cache_bytes ? "3 times the cache" : "the cache's size is not known");
    else
        snprintf(text, bytes, "one copy of the operands, which stays in the caches as far as it fits");
}

/* ---- first uses -------------------------------------------------------------------------------------------------- */

static qmm_status first_quantize(bench_device *d, qmm_buffer *memory) {
    const qmm_tensor x = qmm_matrix(memory, QMM_F32, 64, 64);
    qmm_tensor q = qmm_matrix(memory, QMM_S8, 64, 64);
    const double start = bench_now();
    qmm_status status;
    q.offset = 64 * 64 * 4;
    status = qmm_quantize(d->context, &x, NULL, &q);
    if (status == QMM_OK) status = qmm_context_synchronize(d->context);
    d->first.quantize = bench_now() - start;
    return status;
}

static qmm_status first_matmul(bench_device *d, qmm_buffer *memory) {
    const qmm_tensor a = qmm_matrix(memory, QMM_S8, 64, 64);
    qmm_tensor c = qmm_matrix(memory, QMM_F32, 64, 64);
    const double start = bench_now();
    qmm_status status;
    c.offset = 64 * 64;
    status = qmm_matmul(d->context, NULL, &a, &a, &c);
    if (status == QMM_OK) status = qmm_context_synchronize(d->context);
    d->first.matmul = bench_now() - start;
    return status;
}

static qmm_status use_first(bench_device *d) {
    qmm_buffer *memory;
    qmm_status status = bench_device_random(d->context, QMM_F32, 64 * 64 * 5, &memory);
    double start;
    if (status == QMM_OK) status = first_quantize(d, memory);
    if (status == QMM_OK) status = first_matmul(d, memory);
    start = bench_now();
    if (status == QMM_OK) status = qmm_context_prepare(d->context);
    d->first.prepare = bench_now() - start;
    qmm_buffer_free(memory);
    return status;
}

/* ---- open and close ---------------------------------------------------------------------------------------------- */

static void open_driver(bench_device *d) {
    const char *const colon = strchr(d->info.name, ':');
    if (is_cuda(d)) bench_driver_open(&d->driver, colon ? atoi(colon + 1) : 0, qmm_context_native_queue(d->context));
}

int bench_device_open(const char *command, const char *name, bench_cache cache, double seconds, int runs,
                      bench_device *d) {
    qmm_context_options options = QMM_CONTEXT_OPTIONS_INIT;
    double start = bench_now();
    qmm_status status;
    int code;
    *d = (bench_device){ .info = QMM_DEVICE_INFO_INIT };
    options.profile = 1;
    if ((code = cli_open_with(command, name, &options, &d->context)) != CLI_OK) return code;
    d->first.open = bench_now() - start;
    status = qmm_context_get_device_info(d->context, &d->info);
    if (status == QMM_OK) open_driver(d);
    if (status == QMM_OK) status = use_first(d);
    if (status == QMM_OK) status = bench_rig_open(&d->rig, d->context, &d->info, d->driver.simulated);
    if (status != QMM_OK) {
        code = bench_device_failed(command, d->context, status);
        bench_device_close(d);
        return code;
    }
    d->rig.seconds = seconds;
    d->rig.runs = runs;
    d->int8_peak = paper_peak(d);
    learn_cache(d, cache);
    return CLI_OK;
}

void bench_device_close(bench_device *d) {
    bench_rig_close(&d->rig);
    qmm_context_close(d->context);
    bench_driver_close(&d->driver);
}

/* ---- copy -------------------------------------------------------------------------------------------------------- */

typedef struct copy_state {
    qmm_context *context;
    qmm_buffer *source, *target;
    size_t bytes;
} copy_state;

static qmm_status run_copy(void *state, int turn) {
    const copy_state *s = state;
    (void)turn;
    return qmm_buffer_copy(s->context, s->target, 0, s->source, 0, s->bytes);
}

static size_t copied_bytes(const bench_device *d) {
    const size_t usual = d->info.kind == QMM_DEVICE_KIND_CPU ? 128 * MIB : 1024 * MIB;
    const size_t share = (size_t)(d->info.memory_bytes / 16);
    if (d->rig.simulated) return 65536;
    return share == 0 || share > usual ? usual : share;
}

qmm_status bench_device_copy(bench_device *d) {
    copy_state s = { d->context, NULL, NULL, copied_bytes(d) };
    bench_work work = { .run = run_copy, .state = &s, .context = d->context, .on_device = true };
    qmm_status status = bench_device_random(d->context, QMM_S8, s.bytes, &s.source);
    if (status == QMM_OK) status = qmm_buffer_create(d->context, s.bytes, &s.target);
    if (status == QMM_OK) {
        bench_measure(&d->rig, &work, 1);
        status = work.status;
    }
    qmm_buffer_free(s.source);
    qmm_buffer_free(s.target);
    if (status != QMM_OK) return status;
    d->copy_bytes = s.bytes;
    d->copy_time = work.time;
    if (!d->rig.simulated && work.time.median > 0.0) d->copy_bandwidth = 2.0 * (double)s.bytes / work.time.median;
    return QMM_OK;
}
