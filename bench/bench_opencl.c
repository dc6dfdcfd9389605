/* SPDX-License-Identifier: Apache-2.0
 *
 * Speed of an OpenCL device, each figure beside its peer in the same run:
 *
 *     matmul, every row that takes the problem and leaves it to no later one, against another device of qmm: cuda where
 *     there is one, else cpu, whose own choice of row is oneDNN's gemm; few runs of rows that are not the choice
 *     quantize and dequantize against a copy in the device's memory, and on a device that is a CPU against memcpy too, in
 *     bytes read plus bytes written
 *     first use: opening, the first quantize and the first matmul, each with what it builds; building all the rest
 *     the host cost of a call: a 1 x 1 x 1 matmul that is only queued
 *
 * Uniform full-range inputs; runs repeat on the same operands (warm caches where they fit); a run ends when the device is
 * done. Prints Markdown; --json FILE keeps the figures. */
#define _POSIX_C_SOURCE 200809L
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pair.h"

static FILE *json;

/* ---- two devices --------------------------------------------------------------------------------------------------- */

typedef struct side {
    qmm_context *context;
    qmm_device_info info;
} side;

static side open_side(const char *name, bool required) {
    side s = { NULL, QMM_DEVICE_INFO_INIT };
    char text[512];
    qmm_context_options options = QMM_CONTEXT_OPTIONS_INIT;
    options.error_text = text;
    options.error_text_size = sizeof text;
    if (qmm_context_open(name, &options, &s.context) == QMM_OK) {
        bench_require(s.context, qmm_context_get_device_info(s.context, &s.info));
    } else if (required) {
        fprintf(stderr, "%s\n", text);
        exit(3);
    }
    return s;
}

/* ---- matmul -------------------------------------------------------------------------------------------------------- */

typedef struct multiplication {
    qmm_context *context;
    qmm_matmul_desc desc;
    qmm_tensor a, b, c;
    qmm_quant quant_a, quant_b;
    qmm_tensor by_row, by_column;
} multiplication;

typedef struct matmul_state {
    multiplication ours, theirs;
} matmul_state;

static void upload_random(qmm_context *context, qmm_buffer *buffer, uint64_t seed) {
    const size_t bytes = qmm_buffer_bytes(buffer);
    void *const host = malloc(bytes);
    if (!host) exit(1);
    bench_fill(host, bytes, seed);
    bench_require(context, qmm_buffer_upload(context, buffer, 0, host, bytes));
    free(host);
}

static void make(multiplication *x, qmm_context *context, int64_t m, int64_t n, int64_t k, qmm_type c_type) {
    const float factor = 0.001f;
    float *const factors = malloc((size_t)(m + n) * sizeof factor);
    qmm_buffer *scales = bench_buffer(context, (size_t)(m + n) * sizeof factor);
    if (!factors) exit(1);
    for (int64_t i = 0; i < m + n; i++) factors[i] = factor;
    bench_require(context, qmm_buffer_upload(context, scales, 0, factors, (size_t)(m + n) * sizeof factor));
    free(factors);
    *x = (multiplication){
        .context = context, .desc = QMM_MATMUL_DESC_INIT, .quant_a = QMM_QUANT_INIT, .quant_b = QMM_QUANT_INIT
    };
    x->a = qmm_matrix(bench_buffer(context, (size_t)(m * k)), QMM_S8, m, k);
    x->b = qmm_matrix(bench_buffer(context, (size_t)(k * n)), QMM_S8, k, n);
    x->c = qmm_matrix(bench_buffer(context, (size_t)(m * n) * 4), c_type, m, n);
    upload_random(context, x->a.buffer, 1);
    upload_random(context, x->b.buffer, 2);
    x->by_row = qmm_matrix(scales, QMM_F32, m, 1), x->by_column = qmm_matrix(scales, QMM_F32, 1, n);
    x->by_column.offset = (size_t)m * sizeof factor;
    x->quant_a.granularity = QMM_PER_ROW, x->quant_b.granularity = QMM_PER_COLUMN;
    if (c_type == QMM_S32) return;
    x->quant_a.scale = &x->by_row, x->quant_b.scale = &x->by_column;
    x->desc.quant_a = &x->quant_a, x->desc.quant_b = &x->quant_b;
}

static void free_multiplication(multiplication *x) {
    qmm_buffer_free(x->a.buffer), qmm_buffer_free(x->b.buffer), qmm_buffer_free(x->c.buffer);
    qmm_buffer_free(x->by_row.buffer);
}

static void run(multiplication *x) {
    bench_require(x->context, qmm_matmul(x->context, &x->desc, &x->a, &x->b, &x->c));
    bench_require(x->context, qmm_context_synchronize(x->context));
}

static void run_ours(void *state) {
    run(&((matmul_state *)state)->ours);
}

static void run_theirs(void *state) {
    run(&((matmul_state *)state)->theirs);
}

typedef struct choice {
    char kernel[64]; /* that runs of its own choice */
    const char *wanted;
    bool taken; /* the wanted one takes the problem, and leaves it to no later one as faster */
} choice;

static void choose(void *user, const char *kernel, const char *reason) {
    choice *c = user;
    if (!reason && !c->kernel[0]) snprintf(c->kernel, sizeof c->kernel, "%s", kernel);
    if (c->wanted && !reason && strcmp(kernel, c->wanted) == 0) c->taken = true;
}

static choice explain(multiplication *x, const char *wanted) {
    choice c = { "", wanted, false };
    bench_require(x->context, qmm_matmul_explain(x->context, &x->desc, &x->a, &x->b, &x->c, choose, &c));
    return c;
}

static void bench_matmul(const side *ours, const side *theirs, int64_t m, int64_t n, int64_t k, qmm_type c_type,
                         int runs) {
    const double operations = 2.0 * (double)m * (double)n * (double)k;
    matmul_state s;
    char shape[80], name[128], peer[64];
    make(&s.ours, ours->context, m, n, k, c_type);
    make(&s.theirs, theirs->context, m, n, k, c_type);
    snprintf(shape, sizeof shape, "%lld x %lld x %lld", (long long)m, (long long)n, (long long)k);
    snprintf(peer, sizeof peer, "%s", explain(&s.theirs, NULL).kernel);
    for (int i = 0; i < qmm_kernel_count(ours->context); i++) {
        const char *const kernel = qmm_kernel_name(ours->context, i);
        bench_timing our_time, their_time;
        if (!strstr(kernel, ":matmul:") || strstr(kernel, ":generic")) continue;
        const choice c = explain(&s.ours, kernel);
        const bool chosen = strcmp(c.kernel, kernel) == 0;
        if (!c.taken) continue;
        bench_require(ours->context, qmm_kernel_force(ours->context, kernel));
        bench_pair(run_ours, run_theirs, &s, chosen ? runs : (runs + 14) / 15, &our_time, &their_time);
        snprintf(name, sizeof name, "%s -> %s%s", kernel, qmm_type_name(c_type), chosen ? ", its choice" : "");
        bench_pair_report(json, name, shape, operations, "GOPS", our_time, peer, their_time);
        bench_require(ours->context, qmm_kernel_force(ours->context, NULL));
    }
    free_multiplication(&s.ours);
    free_multiplication(&s.theirs);
}

enum { CALLS = 1000 };

static void run_calls(void *state) {
    multiplication *x = &((matmul_state *)state)->ours;
    for (int i = 0; i < CALLS; i++) bench_require(x->context, qmm_matmul(x->context, &x->desc, &x->a, &x->b, &x->c));
}

static void bench_call(const side *ours) {
    double queued[11];
    matmul_state s;
    bench_timing times;
    make(&s.ours, ours->context, 1, 1, 32, QMM_S32);
    for (int i = 0; i < 11; i++) {
        double start;
        run_ours(&s);
        start = bench_now();
        run_calls(&s);
        queued[i] = bench_now() - start;
        bench_require(ours->context, qmm_context_synchronize(ours->context));
    }
    times = bench_summarize(queued, 11);
    printf("\nHost cost of a matmul of 1 x 1 x 32 that is only queued: %.0f ns (median of 11 times %d calls).\n",
           times.median / CALLS * 1e9, CALLS);
    free_multiplication(&s.ours);
}

/* ---- quantize and dequantize --------------------------------------------------------------------------------------- */

typedef struct convert_state {
    qmm_context *context;
    qmm_quant quant;
    qmm_tensor x, q, scale;
    qmm_buffer *scratch;
    unsigned char *host_from, *host_to;
    size_t copied; /* bytes; read and written, they are as many as the operation's */
} convert_state;

static void run_quantize(void *state) {
    convert_state *s = state;
    bench_require(s->context, qmm_quantize(s->context, &s->x, &s->quant, &s->q));
    bench_require(s->context, qmm_context_synchronize(s->context));
}

static void run_dequantize(void *state) {
    convert_state *s = state;
    bench_require(s->context, qmm_dequantize(s->context, &s->q, &s->quant, &s->x));
    bench_require(s->context, qmm_context_synchronize(s->context));
}

static void run_dynamic(void *state) {
    convert_state *s = state;
    bench_require(s->context, qmm_quantize_dynamic(s->context, &s->x, &s->quant, &s->q));
    bench_require(s->context, qmm_context_synchronize(s->context));
}

static void run_copy(void *state) {
    convert_state *s = state;
    bench_require(s->context, qmm_buffer_copy(s->context, s->scratch, 0, s->x.buffer, 0, s->copied));
    bench_require(s->context, qmm_context_synchronize(s->context));
}

static void run_memcpy(void *state) {
    convert_state *s = state;
    memcpy(s->host_to, s->host_from, s->copied);
}

static void compare(convert_state *s, const side *ours, bench_work work, const char *name, const char *shape,
                    double bytes, int runs) {
    bench_timing our_time, their_time;
    bench_pair(work, run_copy, s, runs, &our_time, &their_time);
    bench_pair_report(json, name, shape, bytes, "GB/s", our_time, "copy on the device", their_time);
    if (ours->info.kind != QMM_DEVICE_KIND_CPU) return;
    bench_pair(work, run_memcpy, s, runs, &our_time, &their_time);
    bench_pair_report(json, name, shape, bytes, "GB/s", our_time, "memcpy", their_time);
}

static void bench_convert(const side *ours, qmm_type real, int64_t rows, int64_t cols, int runs) {
    const size_t count = (size_t)(rows * cols), size = (size_t)qmm_type_bits(real) / 8;
    const double bytes = (double)count * (double)(size + 1);
    convert_state s = { .context = ours->context, .quant = QMM_QUANT_INIT, .copied = count * (size + 1) / 2 };
    char shape[48], name[96];
    snprintf(shape, sizeof shape, "%lld x %lld", (long long)rows, (long long)cols);
    s.x = qmm_matrix(bench_buffer(ours->context, count * size), real, rows, cols);
    s.q = qmm_matrix(bench_buffer(ours->context, count), QMM_S8, rows, cols);
    s.scale = qmm_matrix(bench_buffer(ours->context, (size_t)rows * 4), QMM_F32, rows, 1);
    s.scratch = bench_buffer(ours->context, count * size);
    s.host_from = malloc(s.copied), s.host_to = malloc(s.copied);
    if (!s.host_from || !s.host_to) exit(1);
    bench_fill(s.host_from, s.copied, 0), bench_fill(s.host_to, s.copied, 0);
    s.quant.scale_value = 0.05f;
    upload_random(ours->context, s.q.buffer, 3);
    run_dequantize(&s);
    snprintf(name, sizeof name, "quantize %s -> s8 per tensor", qmm_type_name(real));
    compare(&s, ours, run_quantize, name, shape, bytes, runs);
    snprintf(name, sizeof name, "dequantize s8 -> %s per tensor", qmm_type_name(real));
    compare(&s, ours, run_dequantize, name, shape, bytes, runs);
    s.quant.granularity = QMM_PER_ROW, s.quant.scale = &s.scale;
    snprintf(name, sizeof name, "quantize_dynamic %s -> s8 per row", qmm_type_name(real));
    compare(&s, ours, run_dynamic, name, shape, bytes, runs);
    snprintf(name, sizeof name, "quantize %s -> s8 per row", qmm_type_name(real));
    compare(&s, ours, run_quantize, name, shape, bytes, runs);
    qmm_buffer_free(s.x.buffer), qmm_buffer_free(s.q.buffer), qmm_buffer_free(s.scale.buffer),
        qmm_buffer_free(s.scratch);
    free(s.host_from), free(s.host_to);
}

/* ---- the whole ------------------------------------------------------------------------------------------------------ */

/* Seconds that the first calls of a process take; the driver's own cache is as it was. */
typedef struct first_use {
    double open, quantize, matmul, prepare;
} first_use;

static double first_quantize(qmm_context *context) {
    convert_state s = { .context = context, .quant = QMM_QUANT_INIT };
    double start;
    s.x = qmm_matrix(bench_buffer(context, 64 * 64 * 4), QMM_F32, 64, 64);
    s.q = qmm_matrix(bench_buffer(context, 64 * 64), QMM_S8, 64, 64);
    s.quant.scale_value = 0.05f;
    start = bench_now();
    run_quantize(&s);
    start = bench_now() - start;
    qmm_buffer_free(s.x.buffer), qmm_buffer_free(s.q.buffer);
    return start;
}

static double first_matmul(qmm_context *context) {
    matmul_state s;
    double start;
    make(&s.ours, context, 64, 64, 64, QMM_F16);
    start = bench_now();
    run_ours(&s);
    start = bench_now() - start;
    free_multiplication(&s.ours);
    return start;
}

static side open_ours(const char *device, first_use *first) {
    double start = bench_now();
    const side ours = open_side(device, true);
    first->open = bench_now() - start;
    first->quantize = first_quantize(ours.context);
    first->matmul = first_matmul(ours.context);
    start = bench_now();
    bench_require(ours.context, qmm_context_prepare(ours.context));
    first->prepare = bench_now() - start;
    return ours;
}

static void open_json(const char *path, const side *ours, const side *theirs, const first_use *first) {
    char date[32];
    json = bench_json_open(path);
    bench_date(date, sizeof date);
    bench_json_text(json, "device", ours->info.description);
    bench_json_text(json, "driver", ours->info.driver);
    bench_json_text(json, "peer_device", theirs->info.description);
    fprintf(json,
            "\"qmm\": \"%s\", \"build\": \"%s\", \"units\": %d, \"date\": \"%s\",\n"
            "  \"fill\": \"uniform, full range\",\n"
            "  \"cache\": \"runs repeat on the same operands (warm caches where they fit)\",\n"
            "  \"first_use_seconds\": { \"open\": %.4f, \"quantize\": %.4f, \"matmul\": %.4f, \"all_other_kernels\": "
            "%.4f },\n"
            "  \"results\": [",
            qmm_version(), QMM_BENCH_BUILD, (int)ours->info.compute_units, date, first->open, first->quantize,
            first->matmul, first->prepare);
}

static int usage(void) {
    fprintf(stderr, "usage: qmm_bench_opencl [--device NAME] [--quick] [--json FILE]\n");
    return 2;
}

int main(int argc, char **argv) {
    const char *device = "opencl", *path = NULL;
    bool quick = false;
    first_use first;
    side ours, theirs;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--quick") == 0)
            quick = true;
        else if (strcmp(argv[i], "--device") == 0 && i + 1 < argc)
            device = argv[++i];
        else if (strcmp(argv[i], "--json") == 0 && i + 1 < argc)
            path = argv[++i];
        else
            return usage();
    }
    ours = open_ours(device, &first);
    theirs = open_side("cuda", false);
    if (!theirs.context) theirs = open_side("cpu", true);
    bench_require(theirs.context, qmm_context_prepare(theirs.context));
    if (path) open_json(path, &ours, &theirs, &first);
    printf("qmm %s, %s (%s), %d units, %s; peer %s; uniform full-range inputs; runs repeat on the same operands (warm "
           "caches where they fit)\n\n",
           qmm_version(), ours.info.description, ours.info.driver, (int)ours.info.compute_units, QMM_BENCH_BUILD,
           theirs.info.description);
    printf("First use, with what it builds: opening %.0f ms, quantize %.0f ms, matmul %.0f ms; building and testing "
           "all else "
           "%.0f ms. The driver's own cache was as it was.\n\n",
           1e3 * first.open, 1e3 * first.quantize, 1e3 * first.matmul, 1e3 * first.prepare);
    bench_pair_head();
    for (int64_t size = quick ? 256 : 512; size <= (quick ? 256 : 2048); size *= 2) {
        bench_matmul(&ours, &theirs, size, size, size, QMM_S32, quick ? 3 : 15);
        bench_matmul(&ours, &theirs, size, size, size, QMM_F16, quick ? 3 : 15);
    }
    bench_matmul(&ours, &theirs, 1, quick ? 256 : 4096, quick ? 256 : 4096, QMM_F16, quick ? 3 : 31);
    bench_convert(&ours, QMM_F32, quick ? 256 : 16384, 4096, quick ? 3 : 15);
    bench_convert(&ours, QMM_F16, quick ? 256 : 16384, 4096, quick ? 3 : 15);
    bench_call(&ours);
    bench_json_close(json);
    qmm_context_close(ours.context);
    qmm_context_close(theirs.context);
    return 0;
}
