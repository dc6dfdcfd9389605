/* SPDX-License-Identifier: Apache-2.0
 *
 * Speed of the CPU device, each figure beside its peer in the same run:
 *
 *     matmul through the API against oneDNN's gemm called directly; the reference row for scale
 *     quantize f32 -> s8 and dequantize s8 -> f32 against memcpy, in bytes read plus bytes written
 *     the host cost of a call: a 1 x 1 x 1 matmul
 *
 * Uniform full-range inputs; runs repeat on the same operands (warm caches where they fit).
 * Prints Markdown; --json FILE keeps the figures. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pair.h"

static FILE *json;

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
    bench_require(s->context, qmm_matmul(s->context, &s->desc, &s->a, &s->b, &s->c));
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
    qmm_buffer *a = bench_buffer(context, codes), *b = bench_buffer(context, codes),
               *c = bench_buffer(context, codes * 4);
    qmm_buffer *factors = bench_buffer(context, scales * sizeof(float));
    qmm_tensor by_row = qmm_matrix(factors, QMM_F32, size, 1), by_column = qmm_matrix(factors, QMM_F32, 1, size);
    qmm_quant quant_a = QMM_QUANT_INIT, quant_b = QMM_QUANT_INIT;
    const double operations = 2.0 * (double)size * (double)size * (double)size;
    bench_timing ours, theirs;
    char shape[32];
    snprintf(shape, sizeof shape, "%lld^3", (long long)size);
    bench_fill(qmm_buffer_native(a), codes, 0);
    bench_fill(qmm_buffer_native(b), codes, 0);
    for (size_t i = 0; i < scales; i++) ((float *)qmm_buffer_native(factors))[i] = 0.001f;
    s.direct_c = bench_buffer(context, codes * 4);
    s.a = qmm_matrix(a, QMM_S8, size, size), s.b = qmm_matrix(b, QMM_S8, size, size);
    s.c = qmm_matrix(c, QMM_S32, size, size);
    bench_pair(run_matmul, gemm ? run_gemm : NULL, &s, runs, &ours, &theirs);
    bench_pair_report(json, "matmul s8 x s8 -> s32, fast row", shape, operations, "GOPS", ours, gemm ? "oneDNN gemm" : "", theirs);

    quant_a.granularity = QMM_PER_ROW, quant_a.scale = &by_row;
    quant_b.granularity = QMM_PER_COLUMN, quant_b.scale = &by_column;
    s.desc.quant_a = &quant_a, s.desc.quant_b = &quant_b;
    s.c = qmm_matrix(c, QMM_F16, size, size);
    bench_pair(run_matmul, gemm ? run_gemm : NULL, &s, runs, &ours, &theirs);
    bench_pair_report(json, "matmul s8 x s8 -> f16, row and column scales", shape, operations, "GOPS", ours,
           gemm ? "oneDNN gemm, s32" : "", theirs);

    if (size <= 1024) {
        bench_require(context, qmm_kernel_force(context, "cpu:matmul:reference"));
        bench_pair(run_matmul, NULL, &s, 3, &ours, &theirs);
        bench_pair_report(json, "the same, reference row", shape, operations, "GOPS", ours, "", theirs);
        bench_require(context, qmm_kernel_force(context, NULL));
    }
    qmm_buffer_free(a), qmm_buffer_free(b), qmm_buffer_free(c), qmm_buffer_free(factors), qmm_buffer_free(s.direct_c);
}

enum { CALLS = 10000 };

static void run_calls(void *state) {
    for (int i = 0; i < CALLS; i++) run_matmul(state);
}

static void bench_call(qmm_context *context) {
    matmul_state s = { .context = context, .desc = QMM_MATMUL_DESC_INIT };
    qmm_buffer *memory = bench_buffer(context, 1024);
    bench_timing ours, none;
    s.a = qmm_matrix(memory, QMM_S8, 1, 1), s.b = s.a, s.c = qmm_matrix(memory, QMM_S32, 1, 1);
    s.b.offset = 256, s.c.offset = 512;
    bench_fill(qmm_buffer_native(memory), 1024, 0);
    bench_pair(run_calls, NULL, &s, 11, &ours, &none);
    bench_pair_report(json, "calls of matmul", "1 x 1 x 1", CALLS * 1e3, "million a second", ours, "", none);
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
    bench_require(s->context, qmm_quantize(s->context, &s->x, &s->quant, &s->q));
}

static void run_dequantize(void *state) {
    convert_state *s = state;
    bench_require(s->context, qmm_dequantize(s->context, &s->q, &s->quant, &s->x));
}

static void run_memcpy(void *state) {
    convert_state *s = state;
    memcpy(s->scratch, qmm_buffer_native(s->x.buffer), s->copied);
}

/* memcpy moves as many bytes, read plus written, as the operation: 5 an element. */
static void bench_convert(qmm_context *context, int64_t rows, int64_t cols, int runs) {
    const size_t count = (size_t)(rows * cols);
    convert_state s = { .context = context, .quant = QMM_QUANT_INIT, .copied = count * 5 / 2 };
    qmm_buffer *x = bench_buffer(context, count * 4), *q = bench_buffer(context, count);
    qmm_buffer *scratch = bench_buffer(context, count * 4);
    float *values = qmm_buffer_native(x);
    bench_timing ours, theirs;
    char shape[48];
    snprintf(shape, sizeof shape, "%lld x %lld", (long long)rows, (long long)cols);
    bench_fill(qmm_buffer_native(q), count, 0);
    bench_fill(qmm_buffer_native(scratch), count, 0);
    for (size_t i = 0; i < count; i++) values[i] = (float)((const int8_t *)qmm_buffer_native(q))[i] * 0.049f;
    s.scratch = qmm_buffer_native(scratch);
    s.quant.scale_value = 0.05f;
    s.x = qmm_matrix(x, QMM_F32, rows, cols), s.q = qmm_matrix(q, QMM_S8, rows, cols);
    bench_pair(run_quantize, run_memcpy, &s, runs, &ours, &theirs);
    bench_pair_report(json, "quantize f32 -> s8 per tensor", shape, (double)count * 5.0, "GB/s", ours, "memcpy", theirs);
    bench_pair(run_dequantize, run_memcpy, &s, runs, &ours, &theirs);
    bench_pair_report(json, "dequantize s8 -> f32 per tensor", shape, (double)count * 5.0, "GB/s", ours, "memcpy", theirs);
    qmm_buffer_free(x), qmm_buffer_free(q), qmm_buffer_free(scratch);
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

static void open_json(const char *path, const qmm_device_info *info) {
    char date[32];
    json = bench_json_open(path);
    bench_date(date, sizeof date);
    fprintf(json,
            "\"qmm\": \"%s\", \"build\": \"%s\", \"device\": \"%s\", \"cores\": %d, \"date\": \"%s\",\n"
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
    bench_require(context, qmm_context_prepare(context));
    bench_require(context, qmm_context_get_device_info(context, &info));
    if (path) open_json(path, &info);
    gemm = find_gemm();
    printf("qmm %s, %s, %d cores, %s; oneDNN %s; uniform full-range inputs; runs repeat on the same operands "
           "(warm caches where they fit)\n\n",
           qmm_version(), info.description, (int)info.compute_units, QMM_BENCH_BUILD, gemm ? "found" : "not found");
    bench_pair_head();
    bench_matmul(context, gemm, quick ? 256 : 1024, quick ? 3 : 51);
    if (!quick) bench_matmul(context, gemm, 4096, 11);
    bench_convert(context, quick ? 1024 : 16384, 4096, quick ? 3 : 21);
    bench_call(context);
    bench_json_close(json);
    qmm_context_close(context);
    return 0;
}
