/* SPDX-License-Identifier: Apache-2.0
 *
 * Speed of the CPU device, each figure beside its peer in the same run:
 *
 *     matmul through the API against oneDNN's gemm called directly; the reference row for scale
 *     quantize f32 -> s8 and dequantize s8 -> f32 against memcpy, in bytes read plus bytes written
 *     the host cost of a call: a 1 x 1 x 1 matmul
 *
 * The two of a pair take turns, so that a machine that slows down slows both; figures are medians, with the fastest and
 * slowest run beside them. Uniform full-range inputs; runs repeat on the same operands (warm caches where they fit).
 * Prints Markdown; --json FILE keeps the figures. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "qmm/qmm.h"

/* ---- timing ------------------------------------------------------------------------------------------------------ */

enum { RUNS_MAX = 101 };

typedef struct timing {
    double median, fastest, slowest; /* seconds */
} timing;

typedef void (*work)(void *state);

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int ascending(const void *x, const void *y) {
    const double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
}

static timing summarize(double *seconds, int runs) {
    qsort(seconds, (size_t)runs, sizeof *seconds, ascending);
    return (timing){ seconds[runs / 2], seconds[0], seconds[runs - 1] };
}

static double timed(work run, void *state) {
    const double start = now();
    run(state);
    return now() - start;
}

/* Runs the two in turn. peer may be NULL. */
static void measure(work ours, work peer, void *state, int runs, timing *our_time, timing *peer_time) {
    double a[RUNS_MAX], b[RUNS_MAX];
    ours(state);
    if (peer) peer(state);
    for (int i = 0; i < runs; i++) {
        a[i] = timed(ours, state);
        b[i] = peer ? timed(peer, state) : 0.0;
    }
    *our_time = summarize(a, runs);
    *peer_time = summarize(b, runs);
}

/* ---- report ------------------------------------------------------------------------------------------------------ */

static FILE *json;
static int json_rows;

/* One line: `amount` operations or bytes in `unit`, per second. */
static void report(const char *name, const char *shape, double amount, const char *unit, timing ours, const char *peer,
                   timing theirs) {
    printf("| %s | %s | %.4g (%.4g-%.4g) %s |", name, shape, amount / ours.median * 1e-9, amount / ours.slowest * 1e-9,
           amount / ours.fastest * 1e-9, unit);
    if (peer[0])
        printf(" %s %.4g | %.2f |\n", peer, amount / theirs.median * 1e-9, theirs.median / ours.median);
    else
        printf(" - | - |\n");
    fflush(stdout);
    if (!json) return;
    fprintf(json,
            "%s\n    {\"name\": \"%s\", \"shape\": \"%s\", \"unit\": \"%s\", \"median\": %.6g, \"slowest\": %.6g, "
            "\"fastest\": %.6g, \"peer\": \"%s\", \"peer_median\": %.6g, \"ratio\": %.4g}",
            json_rows++ ? "," : "", name, shape, unit, amount / ours.median * 1e-9, amount / ours.slowest * 1e-9,
            amount / ours.fastest * 1e-9, peer, peer[0] ? amount / theirs.median * 1e-9 : 0.0,
            peer[0] ? theirs.median / ours.median : 0.0);
}

static void require(qmm_context *context, qmm_status status) {
    if (status == QMM_OK) return;
    fprintf(stderr, "qmm_bench_cpu: %s: %s\n", qmm_status_name(status), qmm_context_error(context));
    exit(1);
}

static qmm_buffer *buffer_of(qmm_context *context, size_t bytes) {
    qmm_buffer *buffer;
    require(context, qmm_buffer_create(context, bytes, &buffer));
    return buffer;
}

/* Bytes over their full range; xorshift64*. */
static void fill_bytes(void *memory, size_t bytes) {
    uint64_t state = 0x9e3779b97f4a7c15u;
    unsigned char *to = memory;
    for (size_t i = 0; i < bytes; i++) {
        state ^= state >> 12, state ^= state << 25, state ^= state >> 27;
        to[i] = (unsigned char)((state * 0x2545f4914f6cdd1du) >> 56);
    }
}

/* ---- matmul ------------------------------------------------------------------------------------------------------ */

typedef int (*gemm_function)(char, char, char, int64_t, int64_t, int64_t, float, const int8_t *, int64_t, int8_t,
                             const int8_t *, int64_t, int8_t, float, int32_t *, int64_t, const int32_t *);

typedef struct matmul_state {
    qmm_context *context;
    qmm_matmul_desc desc;
    qmm_tensor a, b, c;
    gemm_function gemm;
    qmm_buffer *direct_c;
} matmul_state;

static gemm_function find_gemm(void) {
    const char *const names[] = { getenv("QMM_ONEDNN_LIBRARY"), "libdnnl.so.3", "libdnnl.so.2" };
    gemm_function gemm = NULL;
    for (int i = 0; i < 3 && !gemm; i++) {
        void *library = names[i] ? dlopen(names[i], RTLD_NOW | RTLD_LOCAL) : NULL;
        void *symbol = library ? dlsym(library, "dnnl_gemm_s8s8s32") : NULL;
        memcpy(&gemm, &symbol, sizeof gemm);
        if (names[i] && i == 0) break; /* the variable is strict */
    }
    return gemm;
}

static void run_matmul(void *state) {
    matmul_state *s = state;
    require(s->context, qmm_matmul(s->context, &s->desc, &s->a, &s->b, &s->c));
}

static void run_gemm(void *state) {
    matmul_state *s = state;
    const int32_t zero = 0;
    s->gemm('N', 'N', 'F', s->c.rows, s->c.cols, s->a.cols, 1.0f, qmm_buffer_native(s->a.buffer), s->a.cols, 0,
            qmm_buffer_native(s->b.buffer), s->c.cols, 0, 0.0f, qmm_buffer_native(s->direct_c), s->c.cols, &zero);
}

/* s8 x s8 -> s32, and -> f16 with a scale per row of A and per column of B. */
static void bench_matmul(qmm_context *context, gemm_function gemm, int64_t size, int runs) {
    const size_t codes = (size_t)(size * size), scales = (size_t)size;
    matmul_state s = { .context = context, .desc = QMM_MATMUL_DESC_INIT, .gemm = gemm };
    qmm_buffer *a = buffer_of(context, codes), *b = buffer_of(context, codes), *c = buffer_of(context, codes * 4);
    qmm_buffer *factors = buffer_of(context, scales * sizeof(float));
    qmm_tensor by_row = qmm_matrix(factors, QMM_F32, size, 1), by_column = qmm_matrix(factors, QMM_F32, 1, size);
    qmm_quant quant_a = QMM_QUANT_INIT, quant_b = QMM_QUANT_INIT;
    const double operations = 2.0 * (double)size * (double)size * (double)size;
    timing ours, theirs;
    char shape[32];
    snprintf(shape, sizeof shape, "%lld^3", (long long)size);
    fill_bytes(qmm_buffer_native(a), codes);
    fill_bytes(qmm_buffer_native(b), codes);
    for (size_t i = 0; i < scales; i++) ((float *)qmm_buffer_native(factors))[i] = 0.001f;
    s.direct_c = buffer_of(context, codes * 4);
    s.a = qmm_matrix(a, QMM_S8, size, size), s.b = qmm_matrix(b, QMM_S8, size, size);
    s.c = qmm_matrix(c, QMM_S32, size, size);
    measure(run_matmul, gemm ? run_gemm : NULL, &s, runs, &ours, &theirs);
    report("matmul s8 x s8 -> s32, fast row", shape, operations, "GOPS", ours, gemm ? "oneDNN gemm" : "", theirs);

    quant_a.granularity = QMM_PER_ROW, quant_a.scale = &by_row;
    quant_b.granularity = QMM_PER_COLUMN, quant_b.scale = &by_column;
    s.desc.quant_a = &quant_a, s.desc.quant_b = &quant_b;
    s.c = qmm_matrix(c, QMM_F16, size, size);
    measure(run_matmul, gemm ? run_gemm : NULL, &s, runs, &ours, &theirs);
    report("matmul s8 x s8 -> f16, row and column scales", shape, operations, "GOPS", ours,
           gemm ? "oneDNN gemm, s32" : "", theirs);

    if (size <= 1024) {
        require(context, qmm_kernel_force(context, "cpu:matmul:reference"));
        measure(run_matmul, NULL, &s, 3, &ours, &theirs);
        report("the same, reference row", shape, operations, "GOPS", ours, "", theirs);
        require(context, qmm_kernel_force(context, NULL));
    }
    qmm_buffer_free(a), qmm_buffer_free(b), qmm_buffer_free(c), qmm_buffer_free(factors), qmm_buffer_free(s.direct_c);
}

enum { CALLS = 10000 };

static void run_calls(void *state) {
    for (int i = 0; i < CALLS; i++) run_matmul(state);
}

static void bench_call(qmm_context *context) {
    matmul_state s = { .context = context, .desc = QMM_MATMUL_DESC_INIT };
    qmm_buffer *memory = buffer_of(context, 1024);
    timing ours, none;
    s.a = qmm_matrix(memory, QMM_S8, 1, 1), s.b = s.a, s.c = qmm_matrix(memory, QMM_S32, 1, 1);
    s.b.offset = 256, s.c.offset = 512;
    fill_bytes(qmm_buffer_native(memory), 1024);
    measure(run_calls, NULL, &s, 11, &ours, &none);
    report("calls of matmul", "1 x 1 x 1", CALLS * 1e3, "million a second", ours, "", none);
    printf("\nHost cost of a call: %.0f ns (median of 11 times %d calls; kernel included).\n",
           ours.median / CALLS * 1e9, CALLS);
    qmm_buffer_free(memory);
}

/* ---- quantize and dequantize ------------------------------------------------------------------------------------- */

typedef struct convert_state {
    qmm_context *context;
    qmm_quant quant;
    qmm_tensor x, q;
    unsigned char *scratch; /* memcpy's target */
    size_t copied;
} convert_state;

static void run_quantize(void *state) {
    convert_state *s = state;
    require(s->context, qmm_quantize(s->context, &s->x, &s->quant, &s->q));
}

static void run_dequantize(void *state) {
    convert_state *s = state;
    require(s->context, qmm_dequantize(s->context, &s->q, &s->quant, &s->x));
}

static void run_memcpy(void *state) {
    convert_state *s = state;
    memcpy(s->scratch, qmm_buffer_native(s->x.buffer), s->copied);
}

/* memcpy moves as many bytes, read plus written, as the operation: 5 an element. */
static void bench_convert(qmm_context *context, int64_t rows, int64_t cols, int runs) {
    const size_t count = (size_t)(rows * cols);
    convert_state s = { .context = context, .quant = QMM_QUANT_INIT, .copied = count * 5 / 2 };
    qmm_buffer *x = buffer_of(context, count * 4), *q = buffer_of(context, count);
    qmm_buffer *scratch = buffer_of(context, count * 4);
    float *values = qmm_buffer_native(x);
    timing ours, theirs;
    char shape[48];
    snprintf(shape, sizeof shape, "%lld x %lld", (long long)rows, (long long)cols);
    fill_bytes(qmm_buffer_native(q), count);
    fill_bytes(qmm_buffer_native(scratch), count);
    for (size_t i = 0; i < count; i++) values[i] = (float)((const int8_t *)qmm_buffer_native(q))[i] * 0.049f;
    s.scratch = qmm_buffer_native(scratch);
    s.quant.scale_value = 0.05f;
    s.x = qmm_matrix(x, QMM_F32, rows, cols), s.q = qmm_matrix(q, QMM_S8, rows, cols);
    measure(run_quantize, run_memcpy, &s, runs, &ours, &theirs);
    report("quantize f32 -> s8 per tensor", shape, (double)count * 5.0, "GB/s", ours, "memcpy", theirs);
    measure(run_dequantize, run_memcpy, &s, runs, &ours, &theirs);
    report("dequantize s8 -> f32 per tensor", shape, (double)count * 5.0, "GB/s", ours, "memcpy", theirs);
    qmm_buffer_free(x), qmm_buffer_free(q), qmm_buffer_free(scratch);
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

static void open_json(const char *path, const qmm_device_info *info) {
    char date[32];
    const time_t t = time(NULL);
    json = fopen(path, "w");
    if (!json) {
        fprintf(stderr, "qmm_bench_cpu: %s cannot be written\n", path);
        exit(2);
    }
    strftime(date, sizeof date, "%Y-%m-%d", gmtime(&t));
    fprintf(json,
            "{\n  \"qmm\": \"%s\", \"build\": \"%s\", \"device\": \"%s\", \"cores\": %d, \"date\": \"%s\",\n"
            "  \"fill\": \"uniform, full range\",\n"
            "  \"cache\": \"runs repeat on the same operands (warm caches where they fit)\",\n  \"results\": [",
            qmm_version(), QMM_BENCH_BUILD, info->description, (int)info->compute_units, date);
}

int main(int argc, char **argv) {
    const bool quick = argc > 1 && strcmp(argv[1], "--quick") == 0;
    const char *const path = argc == 3 && strcmp(argv[1], "--json") == 0 ? argv[2] : NULL;
    qmm_device_info info = QMM_DEVICE_INFO_INIT;
    qmm_context *context;
    gemm_function gemm;
    if (argc > 1 && !quick && !path) {
        fprintf(stderr, "usage: qmm_bench_cpu [--quick | --json FILE]\n");
        return 2;
    }
    if (qmm_context_open("cpu", NULL, &context) != QMM_OK) return 1;
    require(context, qmm_context_prepare(context));
    require(context, qmm_context_get_device_info(context, &info));
    if (path) open_json(path, &info);
    gemm = find_gemm();
    printf("qmm %s, %s, %d cores, %s; oneDNN %s; uniform full-range inputs; runs repeat on the same operands "
           "(warm caches where they fit)\n\n",
           qmm_version(), info.description, (int)info.compute_units, QMM_BENCH_BUILD, gemm ? "found" : "not found");
    printf("| what | shape | qmm: median (slowest-fastest) | peer: median | qmm / peer |\n|---|---|---|---|---|\n");
    bench_matmul(context, gemm, quick ? 256 : 1024, quick ? 3 : 51);
    if (!quick) bench_matmul(context, gemm, 4096, 11);
    bench_convert(context, quick ? 1024 : 16384, 4096, quick ? 3 : 21);
    bench_call(context);
    if (json) fprintf(json, "\n  ]\n}\n");
    if (json && fclose(json) != 0) return 1;
    qmm_context_close(context);
    return 0;
}
