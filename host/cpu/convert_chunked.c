/* SPDX-License-Identifier: Apache-2.0
 *
 * The fast rows of quantize, quantize_dynamic, dequantize and requantize: the specification's formulas over runs of a
 * row, each step a loop the compiler vectorises, segments of rows over threads. They must equal the reference. */
#include "chunk.h"
#include "cpu.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* ---- runs -------------------------------------------------------------------------------------------------------- */

/* Codes of at most 16 bits: the difference to a zero point fits an int and a float, so no 64-bit conversion is needed. */
QMMI_CPU_INLINE void dequantize_run(const int32_t *codes, int64_t count, const qmmi_cpu_run_params *params, float *x) {
    if (params->vary) {
        for (int64_t n = 0; n < count; n++) x[n] = (float)(codes[n] - params->zeros[n]) * params->scales[n];
    } else {
        const float scale = params->scale;
        const int32_t zero = params->zero;
        for (int64_t n = 0; n < count; n++) x[n] = (float)(codes[n] - zero) * scale;
    }
}

/* Stores past the caches: an output larger than they are would otherwise first be read into them, which costs half as
 * much again (measured: dequantize of 64 Mi s8 to f32, one thread, 0.54 of memcpy's rate without, 1.05 with). */
QMMI_CPU_INLINE void stream_floats(float *to, const float *from, int64_t count) {
    int64_t n = 0;
#ifdef __SSE2__
    for (; n < count && (uintptr_t)(to + n) % 16 != 0; n++) to[n] = from[n];
    for (; n + 4 <= count; n += 4) _mm_stream_ps(to + n, _mm_loadu_ps(from + n));
#endif
    for (; n < count; n++) to[n] = from[n];
}

static bool output_exceeds_caches(const qmmi_convert_problem *p) {
    return p->target.batch * p->target.rows * p->target.cols >= 16 << 20;
}

/* ---- segments ---------------------------------------------------------------------------------------------------- */

typedef void (*segment_function)(const qmmi_convert_problem *p, int64_t b, int64_t i, int64_t begin, int64_t end);

QMMI_CPU_CLONES static void quantize_segment(const qmmi_convert_problem *p, int64_t b, int64_t i, int64_t begin,
                                             int64_t end) {
    const qmmi_quant *to = &p->target_quant;
    const unsigned char *from_base = qmmi_cpu_at(p->source.memory, p->source.offset);
    unsigned char *to_base = qmmi_cpu_at(p->target.memory, p->target.offset);
    qmmi_cpu_run_params params;
    float room[QMMI_CPU_RUN];
    int32_t codes[QMMI_CPU_RUN];
    for (int64_t j = begin, count; j < end; j += count) {
        const float *x;
        count = qmmi_cpu_run_length(to, j, end);
        qmmi_cpu_load_params(to, b, i, j, count, &params);
        x = qmmi_cpu_load_reals(p->source.type, from_base, qmmi_cpu_index(&p->source, b, i, j), count, room);
        qmmi_cpu_quantize_run(x, count, &params, to->qmin, to->qmax, codes);
        qmmi_cpu_store_codes(p->target.type, to_base, qmmi_cpu_index(&p->target, b, i, j), count, codes);
    }
}

QMMI_CPU_CLONES static void dequantize_segment(const qmmi_convert_problem *p, int64_t b, int64_t i, int64_t begin,
                                               int64_t end) {
    const qmmi_quant *from = &p->source_quant;
    const unsigned char *from_base = qmmi_cpu_at(p->source.memory, p->source.offset);
    unsigned char *to_base = qmmi_cpu_at(p->target.memory, p->target.offset);
    const bool stream = p->target.type == QMM_F32 && output_exceeds_caches(p);
    qmmi_cpu_run_params params;
    int32_t codes[QMMI_CPU_RUN];
    float x[QMMI_CPU_RUN];
    for (int64_t j = begin, count; j < end; j += count) {
        count = qmmi_cpu_run_length(from, j, end);
        qmmi_cpu_load_params(from, b, i, j, count, &params);
        qmmi_cpu_load_codes(p->source.type, from_base, qmmi_cpu_index(&p->source, b, i, j), count, codes);
        dequantize_run(codes, count, &params, x);
        if (stream)
            stream_floats((float *)(void *)to_base + qmmi_cpu_index(&p->target, b, i, j), x, count);
        else
            qmmi_cpu_store_reals(p->target.type, to_base, qmmi_cpu_index(&p->target, b, i, j), count, x);
    }
#ifdef __SSE2__
    if (stream) _mm_sfence();
#endif
}

QMMI_CPU_CLONES static void requantize_segment(const qmmi_convert_problem *p, int64_t b, int64_t i, int64_t begin,
                                               int64_t end) {
    const qmmi_quant *from = &p->source_quant, *to = &p->target_quant;
    const unsigned char *from_base = qmmi_cpu_at(p->source.memory, p->source.offset);
    unsigned char *to_base = qmmi_cpu_at(p->target.memory, p->target.offset);
    qmmi_cpu_run_params params;
    int32_t codes[QMMI_CPU_RUN];
    float y[QMMI_CPU_RUN];
    for (int64_t j = begin, count; j < end; j += count) {
        count = qmmi_cpu_run_length(from, j, end);
        count = qmmi_cpu_run_length(to, j, j + count);
        qmmi_cpu_load_codes(p->source.type, from_base, qmmi_cpu_index(&p->source, b, i, j), count, codes);
        qmmi_cpu_load_params(from, b, i, j, count, &params);
        dequantize_run(codes, count, &params, y);
        qmmi_cpu_load_params(to, b, i, j, count, &params);
        qmmi_cpu_quantize_run(y, count, &params, to->qmin, to->qmax, codes);
        qmmi_cpu_store_codes(p->target.type, to_base, qmmi_cpu_index(&p->target, b, i, j), count, codes);
    }
}

/* Rows are cut into segments, so that one long row is shared by threads too. An even length: two threads never write
 * one byte of 4-bit codes. */
#define SEGMENT 65536

static void for_all_segments(const qmmi_convert_problem *p, segment_function run) {
    const int64_t segments = (p->source.cols + SEGMENT - 1) / SEGMENT;
    const int64_t items = p->source.batch * p->source.rows * segments;
    QMMI_CPU_PARALLEL_FOR(p->source.batch * p->source.rows * p->source.cols > SEGMENT)
    for (int64_t item = 0; item < items; item++) {
        const int64_t begin = item % segments * SEGMENT;
        const int64_t end = begin + SEGMENT < p->source.cols ? begin + SEGMENT : p->source.cols;
        const int64_t row = item / segments;
        run(p, row / p->source.rows, row % p->source.rows, begin, end);
    }
}

qmm_status qmmi_cpu_quantize_chunked(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                     size_t workspace_offset) {
    (void)context, (void)workspace, (void)workspace_offset;
    for_all_segments(&problem->as.convert, quantize_segment);
    qmmi_cpu_row_sums(&problem->as.convert);
    return QMM_OK;
}

qmm_status qmmi_cpu_dequantize_chunked(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                       size_t workspace_offset) {
    (void)context, (void)workspace, (void)workspace_offset;
    for_all_segments(&problem->as.convert, dequantize_segment);
    return QMM_OK;
}

qmm_status qmmi_cpu_requantize_chunked(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                       size_t workspace_offset) {
    (void)context, (void)workspace, (void)workspace_offset;
    for_all_segments(&problem->as.convert, requantize_segment);
    return QMM_OK;
}

/* ---- dynamic parameters ------------------------------------------------------------------------------------------ */

/* Ranges side by side: of adjacent blocks of one column each, or the partial ranges of one block, so that its loop has
 * no chain of comparisons (min and max take any order). Non-finite values count as 0, which every range holds. */
QMMI_CPU_INLINE void widen(const float *x, int64_t count, float *min, float *max) {
    for (int64_t n = 0; n < count; n++) {
        const float value = qmmn_is_finite(x[n]) ? x[n] : 0.0f;
        min[n] = value < min[n] ? value : min[n];
        max[n] = value > max[n] ? value : max[n];
    }
}

static int64_t smaller(int64_t x, int64_t y) {
    return x < y ? x : y;
}

/* Block (r, c) of matrix b. */
QMMI_CPU_CLONES static void choose_block(const qmmi_convert_problem *p, int64_t b, int64_t r, int64_t c) {
    enum { LANES = 32 };
    const qmmi_view *x = &p->source;
    const qmmi_quant *to = &p->target_quant;
    const unsigned char *base = qmmi_cpu_at(x->memory, x->offset);
    const int64_t row_end = smaller((r + 1) * to->block_rows, x->rows);
    const int64_t begin = c * to->block_cols, end = smaller(begin + to->block_cols, x->cols);
    float min[LANES] = { 0 }, max[LANES] = { 0 }, room[QMMI_CPU_RUN];
    for (int64_t i = r * to->block_rows; i < row_end; i++) {
        for (int64_t j = begin; j < end; j += QMMI_CPU_RUN) {
            const int64_t count = smaller(end - j, QMMI_CPU_RUN);
            const float *values = qmmi_cpu_load_reals(x->type, base, qmmi_cpu_index(x, b, i, j), count, room);
            int64_t n = 0;
            for (; n + LANES <= count; n += LANES) widen(values + n, LANES, min, max);
            widen(values + n, count - n, min, max);
        }
    }
    for (int n = 1; n < LANES; n++) {
        min[0] = min[n] < min[0] ? min[n] : min[0];
        max[0] = max[n] > max[0] ? max[n] : max[0];
    }
    qmmi_cpu_store_params(to, b, r, c, min[0], max[0]);
}

/* `count` blocks of one column each, from (r, c) of matrix b on. */
QMMI_CPU_CLONES static void choose_columns(const qmmi_convert_problem *p, int64_t b, int64_t r, int64_t c,
                                           int64_t count) {
    const qmmi_view *x = &p->source;
    const qmmi_quant *to = &p->target_quant;
    const unsigned char *base = qmmi_cpu_at(x->memory, x->offset);
    const int64_t row_end = smaller((r + 1) * to->block_rows, x->rows);
    float min[QMMI_CPU_RUN] = { 0 }, max[QMMI_CPU_RUN] = { 0 }, room[QMMI_CPU_RUN];
    for (int64_t i = r * to->block_rows; i < row_end; i++)
        widen(qmmi_cpu_load_reals(x->type, base, qmmi_cpu_index(x, b, i, c), count, room), count, min, max);
    for (int64_t n = 0; n < count; n++) qmmi_cpu_store_params(to, b, r, c + n, min[n], max[n]);
}

qmm_status qmmi_cpu_quantize_dynamic_chunked(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                             size_t workspace_offset) {
    const qmmi_convert_problem *p = &problem->as.convert;
    const qmmi_quant *to = &p->target_quant;
    /* A row of blocks is taken block by block, or many columns at a time; both serve rows without elements. */
    const bool by_columns = to->block_cols == 1 && p->source.cols > 0;
    const int64_t step = by_columns ? QMMI_CPU_RUN : 1;
    const int64_t steps = (to->param_cols + step - 1) / step;
    const int64_t items = p->source.batch * to->param_rows * steps;
    QMMI_CPU_PARALLEL_FOR(p->source.batch * p->source.rows * p->source.cols > SEGMENT)
    for (int64_t item = 0; item < items; item++) {
        const int64_t c = item % steps * step, block = item / steps;
        if (by_columns)
            choose_columns(p, block / to->param_rows, block % to->param_rows, c, smaller(to->param_cols - c, step));
        else
            choose_block(p, block / to->param_rows, block % to->param_rows, c);
    }
    return qmmi_cpu_quantize_chunked(context, problem, workspace, workspace_offset);
}
