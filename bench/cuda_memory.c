/* SPDX-License-Identifier: Apache-2.0
 *
 * What is limited by memory: the device's own copy, and beside it the conversions, in bytes read plus bytes written. */
#include "cuda_rig.h"

#include <stdio.h>

/* ---- copy -------------------------------------------------------------------------------------------------------- */

typedef struct copy_state {
    uint64_t source, target;
    size_t bytes;
} copy_state;

static void run_copy(bench_rig *r, void *state, int turn) {
    const copy_state *s = state;
    (void)turn;
    bench_driver_require(r->driver.copy(s->target, s->source, s->bytes, r->driver.stream), "cuMemcpyDtoDAsync");
}

static void bench_copy(bench_rig *r) {
    const size_t bytes = r->simulated ? 65536 : (size_t)1 << 30;
    qmm_buffer *source = bench_codes(r, bytes), *target = bench_buffer(r->context, bytes);
    copy_state s = { (uint64_t)(uintptr_t)qmm_buffer_native(source), (uint64_t)(uintptr_t)qmm_buffer_native(target),
                     bytes };
    bench_figure f = { .group = "memory", .name = "copy by the driver", .kernel = "", .bytes = 2.0 * (double)bytes };
    snprintf(f.shape, sizeof f.shape, "%zu MiB", bytes >> 20);
    f.time = bench_measure(r, run_copy, &s);
    if (!r->simulated) r->copy_bandwidth = f.bytes / f.time.median;
    bench_report(r, &f);
    qmm_buffer_free(source);
    qmm_buffer_free(target);
}

/* ---- conversions ------------------------------------------------------------------------------------------------- */

typedef enum conversion { DYNAMIC, STATIC, DEQUANTIZE, REQUANTIZE, RANGE } conversion;

/* A line of the table. Rows and columns of 0: the rig's usual ones. */
typedef struct convert_case {
    const char *name;
    conversion what;
    qmm_type real, code; /* REQUANTIZE: code is the target, s32 the source */
    qmm_granularity granularity;
    int64_t group, rows, cols;
    size_t offset; /* elements that the first one lies behind the start of its buffer */
} convert_case;

static const convert_case cases[] = {
    { "dynamic quantize bf16 to s8, per row", DYNAMIC, QMM_BF16, QMM_S8, QMM_PER_ROW, 0, 0, 0, 0 },
    { "dynamic quantize f16 to s8, per row", DYNAMIC, QMM_F16, QMM_S8, QMM_PER_ROW, 0, 0, 0, 0 },
    { "dynamic quantize f32 to s8, per row", DYNAMIC, QMM_F32, QMM_S8, QMM_PER_ROW, 0, 0, 0, 0 },
    { "dynamic quantize bf16 to s8, group 128", DYNAMIC, QMM_BF16, QMM_S8, QMM_PER_ROW_GROUP, 128, 0, 0, 0 },
    { "dynamic quantize bf16 to s8, per tensor", DYNAMIC, QMM_BF16, QMM_S8, QMM_PER_TENSOR, 0, 0, 0, 0 },
    { "dynamic quantize bf16 to s8, per column", DYNAMIC, QMM_BF16, QMM_S8, QMM_PER_COLUMN, 0, 0, 0, 0 },
    { "the same per row, width 4095", DYNAMIC, QMM_BF16, QMM_S8, QMM_PER_ROW, 0, 0, 4095, 0 },
    { "the same per row, one element off", DYNAMIC, QMM_BF16, QMM_S8, QMM_PER_ROW, 0, 0, 0, 1 },
    { "the same per row, width 16384", DYNAMIC, QMM_BF16, QMM_S8, QMM_PER_ROW, 0, 8192, 16384, 0 },
    { "quantize bf16 to s8, per tensor", STATIC, QMM_BF16, QMM_S8, QMM_PER_TENSOR, 0, 0, 0, 0 },
    { "quantize bf16 to s8, per row", STATIC, QMM_BF16, QMM_S8, QMM_PER_ROW, 0, 0, 0, 0 },
    { "quantize f32 to s8, per row", STATIC, QMM_F32, QMM_S8, QMM_PER_ROW, 0, 0, 0, 0 },
    { "quantize bf16 to s4, group 128", STATIC, QMM_BF16, QMM_S4, QMM_PER_ROW_GROUP, 128, 0, 0, 0 },
    { "dequantize s8 to f16, per row", DEQUANTIZE, QMM_F16, QMM_S8, QMM_PER_ROW, 0, 0, 0, 0 },
    { "dequantize s8 to f32, per row", DEQUANTIZE, QMM_F32, QMM_S8, QMM_PER_ROW, 0, 0, 0, 0 },
    { "dequantize s4 to bf16, group 128", DEQUANTIZE, QMM_BF16, QMM_S4, QMM_PER_ROW_GROUP, 128, 0, 0, 0 },
    { "dequantize s32 to f16, per column", DEQUANTIZE, QMM_F16, QMM_S32, QMM_PER_COLUMN, 0, 0, 0, 0 },
    { "requantize s32 to s8, per row", REQUANTIZE, QMM_F32, QMM_S8, QMM_PER_ROW, 0, 0, 0, 0 },
    { "range of bf16, which the host waits for", RANGE, QMM_BF16, QMM_S8, QMM_PER_TENSOR, 0, 0, 0, 0 },
    { "one token: dynamic quantize bf16 to s8", DYNAMIC, QMM_BF16, QMM_S8, QMM_PER_ROW, 0, 1, 4096, 0 },
    { "one token: dynamic quantize f16 to s8", DYNAMIC, QMM_F16, QMM_S8, QMM_PER_ROW, 0, 1, 4096, 0 },
    { "one token: dequantize s8 to f16", DEQUANTIZE, QMM_F16, QMM_S8, QMM_PER_ROW, 0, 1, 4096, 0 },
};

typedef struct convert_state {
    const convert_case *c;
    qmm_tensor x, q, scale; /* x: reals, or what is requantized */
    qmm_quant quant, plain;
} convert_state;

static void run_convert(bench_rig *r, void *state, int turn) {
    const convert_state *s = state;
    double min, max;
    (void)turn;
    switch (s->c->what) {
    case DYNAMIC: bench_require(r->context, qmm_quantize_dynamic(r->context, &s->x, &s->quant, &s->q)); break;
    case STATIC: bench_require(r->context, qmm_quantize(r->context, &s->x, &s->quant, &s->q)); break;
    case DEQUANTIZE: bench_require(r->context, qmm_dequantize(r->context, &s->q, &s->quant, &s->x)); break;
    case REQUANTIZE: bench_require(r->context, qmm_requantize(r->context, &s->x, &s->plain, &s->q, &s->quant)); break;
    case RANGE: bench_require(r->context, qmm_find_range(r->context, &s->x, NULL, &min, &max)); break;
    }
}

static qmm_tensor scale_tensor(bench_rig *r, const convert_case *c, int64_t rows, int64_t cols) {
    const int64_t param_rows = c->granularity == QMM_PER_ROW || c->granularity == QMM_PER_ROW_GROUP ? rows : 1;
    const int64_t param_cols = c->granularity == QMM_PER_COLUMN      ? cols
                               : c->granularity == QMM_PER_ROW_GROUP ? cols / c->group
                                                                     : 1;
    return qmm_matrix(bench_reals(r, QMM_F32, param_rows * param_cols), QMM_F32, param_rows, param_cols);
}

/* A dense tensor, `offset` elements into a buffer of its own. */
static qmm_tensor tensor_of(bench_rig *r, qmm_type type, int64_t rows, int64_t cols, size_t offset) {
    const bool real = type == QMM_F32 || type == QMM_F16 || type == QMM_BF16;
    qmm_tensor t = qmm_matrix(NULL, type, rows, cols);
    size_t bytes;
    bench_require(r->context, qmm_matrix_bytes(type, rows, cols, 1, &bytes));
    t.offset = offset * (size_t)(qmm_type_bits(type) < 8 ? 8 : qmm_type_bits(type)) / 8;
    t.buffer = real ? bench_reals(r, type, rows * cols + (int64_t)offset) : bench_codes(r, bytes + t.offset);
    return t;
}

static double bytes_of(qmm_type type, double elements) {
    return elements * qmm_type_bits(type) / 8.0;
}

static void bench_convert(bench_rig *r, const convert_case *c) {
    const int64_t cols = r->simulated ? (c->cols ? 129 : 256) : c->cols ? c->cols : 4096;
    const int64_t rows = r->simulated ? (c->rows ? 1 : 3) : c->rows ? c->rows : 32768;
    const qmm_type source = c->what == REQUANTIZE ? QMM_S32 : c->real;
    const double elements = (double)rows * (double)cols;
    const qmm_quant plain = QMM_QUANT_INIT;
    convert_state s = { .c = c, .quant = plain, .plain = plain };
    bench_figure f = { .group = "memory", .name = c->name, .kernel = "" };
    s.x = tensor_of(r, source, rows, cols, c->offset);
    s.q = tensor_of(r, c->code, rows, cols, c->offset);
    s.scale = scale_tensor(r, c, rows, cols);
    s.quant.granularity = c->granularity, s.quant.group_size = c->group;
    s.quant.scale = &s.scale;
    snprintf(f.shape, sizeof f.shape, "%lld x %lld", (long long)rows, (long long)cols);
    f.bytes = bytes_of(source, elements);
    if (c->what != RANGE)
        f.bytes += bytes_of(c->code, elements) + bytes_of(QMM_F32, (double)s.scale.rows * (double)s.scale.cols);
    f.time = bench_measure(r, run_convert, &s);
    bench_report(r, &f);
    qmm_buffer_free(s.x.buffer);
    qmm_buffer_free(s.q.buffer);
    qmm_buffer_free(s.scale.buffer);
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

void bench_cuda_memory(bench_rig *r) {
    bench_table_head(r, "Limited by memory: bytes read plus bytes written, each once, against the driver's copy");
    bench_copy(r);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0] && !bench_time_is_over(r); i++) bench_convert(r, &cases[i]);
}
