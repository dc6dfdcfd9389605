/* SPDX-License-Identifier: Apache-2.0 */
#include "jobs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GROUP = 32, SPACE = 256, BATCH = 3 };

/* ---- the world --------------------------------------------------------------------------------------------------- */

static void require(const qmm_context *context, qmm_status status, const char *what) {
    if (status == QMM_OK) return;
    fprintf(stderr, "%s: %s: %s\n", what, qmm_status_name(status), context ? qmm_context_error(context) : "");
    exit(1);
}

/* splitmix64 */
static uint64_t next_random(uint64_t *state) {
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* Inputs are laid out one behind the other. */
typedef struct layout {
    unsigned char *bytes; /* NULL: only measuring */
    size_t used;
    uint64_t random;
} layout;

static qmm_tensor place(layout *l, qmm_type type, int64_t rows, int64_t cols) {
    qmm_tensor t = qmm_matrix(NULL, type, rows, cols);
    size_t bytes;
    require(NULL, qmm_matrix_bytes(type, rows, cols, 1, &bytes), "qmm_matrix_bytes");
    t.offset = l->used;
    l->used = (l->used + bytes + SPACE - 1) / SPACE * SPACE;
    if (!l->bytes) return t;
    for (size_t i = 0; i < bytes; i++) l->bytes[t.offset + i] = (unsigned char)(next_random(&l->random) >> 40);
    return t;
}

/* Sign and mantissa at random, the exponent that of 0.5 or 1 (f16: of 0.5 to 4). */
static qmm_tensor place_reals(layout *l, qmm_type type, int64_t rows, int64_t cols, bool positive) {
    const qmm_tensor t = place(l, type, rows, cols);
    const size_t size = type == QMM_F32 ? 4 : 2, count = (size_t)(rows * cols);
    const unsigned kept = (type == QMM_F16 ? 0x87u : 0x80u) & (positive ? 0x7fu : 0xffu);
    for (size_t i = 0; l->bytes && i < count; i++) {
        unsigned char *top = l->bytes + t.offset + i * size + size - 1;
        *top = (unsigned char)((*top & kept) | (type == QMM_F16 ? 0x38u : 0x3fu));
    }
    return t;
}

static qmm_tensor place_zeros(layout *l, int64_t rows) {
    const qmm_tensor t = place(l, QMM_S32, rows, 1);
    for (int64_t i = 0; l->bytes && i < rows; i++) {
        const int32_t zero = (int32_t)(i % 11) - 5;
        memcpy(l->bytes + t.offset + (size_t)i * sizeof zero, &zero, sizeof zero);
    }
    return t;
}

static void lay_out(job_world *w, layout *l) {
    const job_sizes *s = &w->sizes;
    w->real = place_reals(l, QMM_F32, s->rows, s->cols, false);
    w->half = place_reals(l, QMM_F16, s->rows, s->cols, false);
    w->codes = place(l, QMM_S8, s->rows, s->cols);
    w->sums = place(l, QMM_S32, s->rows, s->cols);
    w->a = place(l, QMM_S8, s->m * BATCH, s->k);
    w->b = place(l, QMM_S8, s->k, s->n);
    w->b_transposed = place(l, QMM_S8, s->n, s->k);
    w->bias = place_reals(l, QMM_F32, 1, s->n, false);
    w->residual = place_reals(l, QMM_F32, s->m, s->n, false);
    w->row_scale = place_reals(l, QMM_F32, s->rows, 1, true);
    w->row_zero = place_zeros(l, s->rows);
    w->column_scale = place_reals(l, QMM_F32, 1, s->cols, true);
    w->a_scale = place_reals(l, QMM_F32, s->m, 1, true);
    w->b_scale = place_reals(l, QMM_F32, s->n, 1, true);
    w->group_scale = place_reals(l, QMM_F32, s->n, s->k / GROUP, true);
    w->a.rows = s->m;
}

static void attach(job_world *w) {
    qmm_tensor *const tensors[] = { &w->real,     &w->half,         &w->codes,   &w->sums,     &w->a,
                                    &w->b,        &w->b_transposed, &w->bias,    &w->residual, &w->row_scale,
                                    &w->row_zero, &w->column_scale, &w->a_scale, &w->b_scale,  &w->group_scale };
    for (size_t i = 0; i < sizeof tensors / sizeof tensors[0]; i++) tensors[i]->buffer = w->in;
}

static void pack(job_world *w) {
    qmm_weights_options options = QMM_WEIGHTS_OPTIONS_INIT;
    qmm_quant quant = QMM_QUANT_INIT;
    qmm_tensor b4 = qmm_matrix(w->in, QMM_S4, w->sizes.n, w->sizes.k);
    b4.offset = w->b_transposed.offset; /* half of its bytes, read as twice the codes */
    options.transpose_b = 1;
    options.quant = &quant;
    quant.granularity = QMM_PER_ROW;
    quant.scale = &w->b_scale;
    require(w->context, qmm_weights_create(w->context, &w->b_transposed, &options, &w->weights8), "weights");
    quant.granularity = QMM_PER_ROW_GROUP;
    quant.group_size = GROUP;
    quant.scale = &w->group_scale;
    require(w->context, qmm_weights_create(w->context, &b4, &options, &w->weights4), "weights");
}

/* Room for the largest result, an s32 matrix of either kind, and parameters behind it. */
static size_t bytes_out(const job_sizes *s) {
    const int64_t product = s->m * s->n * BATCH, converted = s->rows * s->cols;
    return (size_t)(product > converted ? product : converted) * 4 + (size_t)s->rows * 16 + 2 * SPACE;
}

void job_world_open(job_world *w, const char *device, const qmm_context_options *options, job_sizes sizes) {
    qmm_context_options given = QMM_CONTEXT_OPTIONS_INIT;
    char text[512] = "";
    layout measured = { NULL, 0, 0 }, filled = { NULL, 0, 1 };
    if (options) given = *options;
    given.error_text = text;
    given.error_text_size = sizeof text;
    *w = (job_world){ .sizes = sizes, .out_bytes = bytes_out(&sizes) };
    if (qmm_context_open(device, &given, &w->context) != QMM_OK) {
        fprintf(stderr, "%s\n", text);
        exit(1);
    }
    lay_out(w, &measured);
    filled.bytes = malloc(measured.used);
    if (!filled.bytes) require(NULL, QMM_OUT_OF_MEMORY, "a world");
    lay_out(w, &filled);
    require(w->context, qmm_buffer_create(w->context, filled.used, &w->in), "buffer");
    require(w->context, qmm_buffer_create(w->context, w->out_bytes, &w->out), "buffer");
    require(w->context, qmm_buffer_upload(w->context, w->in, 0, filled.bytes, filled.used), "upload");
    free(filled.bytes);
    attach(w);
    pack(w);
    require(w->context, qmm_context_synchronize(w->context), "synchronize");
}

void job_world_close(job_world *w) {
    qmm_context_close(w->context);
}

/* ---- results ----------------------------------------------------------------------------------------------------- */

void job_poison(const job_world *w, qmm_context *context) {
    require(context, qmm_buffer_fill(context, w->out, 0, 0x5a, w->out_bytes), "fill");
}

unsigned char *job_result(const job_world *w, qmm_context *context) {
    unsigned char *bytes = malloc(w->out_bytes);
    if (!bytes) require(NULL, QMM_OUT_OF_MEMORY, "a result");
    require(context, qmm_buffer_download(context, w->out, 0, bytes, w->out_bytes), "download");
    return bytes;
}

bool job_holds(const job_world *w, qmm_context *context, const unsigned char *wanted, const char *what) {
    unsigned char *const got = job_result(w, context);
    const bool holds = memcmp(got, wanted, w->out_bytes) == 0;
    size_t at = 0;
    while (!holds && got[at] == wanted[at]) at++;
    if (!holds)
        fprintf(stderr, "%s: byte %zu of %zu is 0x%02x, not 0x%02x\n", what, at, w->out_bytes, got[at], wanted[at]);
    free(got);
    return holds;
}

bool job_row(qmm_context *context, const job *j, int index, job_kernel *row) {
    const size_t length = strlen(j->operation);
    row->name[0] = '\0';
    if (index == 0) return true;
    for (int i = 0; i < qmm_kernel_count(context); i++) {
        const char *const name = qmm_kernel_name(context, i), *const operation = strchr(name, ':') + 1;
        int variants = 0;
        if (strncmp(operation, j->operation, length) != 0 || operation[length] != ':') continue;
        while (qmm_kernel_variant_name(context, i, variants)[0]) variants++;
        if (index <= 1 + variants) {
            snprintf(row->name, sizeof row->name, index == 1 ? "%s" : "%s/%s", name,
                     qmm_kernel_variant_name(context, i, index - 2));
            return true;
        }
        index -= 1 + variants;
    }
    return false;
}

/* ---- the jobs ---------------------------------------------------------------------------------------------------- */

static qmm_tensor out_tensor(const job_world *w, qmm_type type, int64_t rows, int64_t cols) {
    return qmm_matrix(w->out, type, rows, cols);
}

/* A vector for each row behind the result. */
static qmm_tensor out_vector(const job_world *w, qmm_type type, int64_t rows, int which) {
    qmm_tensor t = qmm_matrix(w->out, type, rows, 1);
    const size_t used = (size_t)(w->sizes.rows * (which + 1)) * 4;
    t.offset = (w->out_bytes - used) / 4 * 4;
    return t;
}

static qmm_quant by_row(const job_world *w) {
    qmm_quant q = QMM_QUANT_INIT;
    q.granularity = QMM_PER_ROW;
    q.scale = &w->row_scale;
    q.zero = &w->row_zero;
    return q;
}

static qmm_status run_quantize(const job_world *w, qmm_context *context) {
    const qmm_tensor q = out_tensor(w, QMM_S8, w->sizes.rows, w->sizes.cols);
    const qmm_quant quant = by_row(w);
    return qmm_quantize(context, &w->real, &quant, &q);
}

static qmm_status run_quantize_s4(const job_world *w, qmm_context *context) {
    const qmm_tensor q = out_tensor(w, QMM_S4, w->sizes.rows, w->sizes.cols);
    qmm_quant quant = QMM_QUANT_INIT;
    quant.scale_value = 0.25f;
    return qmm_quantize(context, &w->half, &quant, &q);
}

static qmm_status run_dynamic_rows(const job_world *w, qmm_context *context) {
    const int64_t rows = w->sizes.rows;
    const qmm_tensor q = out_tensor(w, QMM_S8, rows, w->sizes.cols);
    const qmm_tensor scale = out_vector(w, QMM_F32, rows, 0), zero = out_vector(w, QMM_S32, rows, 1);
    const qmm_tensor sums = out_vector(w, QMM_S32, rows, 2);
    qmm_quant quant = QMM_QUANT_INIT;
    quant.granularity = QMM_PER_ROW;
    quant.scale = &scale, quant.zero = &zero, quant.sums = &sums;
    return qmm_quantize_dynamic(context, &w->real, &quant, &q);
}

static qmm_status run_dynamic_tensor(const job_world *w, qmm_context *context) {
    const qmm_tensor q = out_tensor(w, QMM_U8, w->sizes.rows, w->sizes.cols);
    const qmm_tensor scale = out_vector(w, QMM_F32, 1, 0), zero = out_vector(w, QMM_S32, 1, 1);
    qmm_quant quant = QMM_QUANT_INIT;
    quant.scale = &scale, quant.zero = &zero;
    return qmm_quantize_dynamic(context, &w->half, &quant, &q);
}

static qmm_status run_dequantize(const job_world *w, qmm_context *context) {
    const qmm_tensor x = out_tensor(w, QMM_F16, w->sizes.rows, w->sizes.cols);
    qmm_quant quant = QMM_QUANT_INIT;
    quant.granularity = QMM_PER_COLUMN;
    quant.scale = &w->column_scale;
    return qmm_dequantize(context, &w->codes, &quant, &x);
}

static qmm_status run_requantize(const job_world *w, qmm_context *context) {
    const qmm_tensor q = out_tensor(w, QMM_U8, w->sizes.rows, w->sizes.cols);
    const qmm_quant from = by_row(w);
    qmm_quant to = QMM_QUANT_INIT;
    to.scale_value = 0.75f, to.zero_value = 128;
    return qmm_requantize(context, &w->codes, &from, &q, &to);
}

static qmm_status run_sums(const job_world *w, qmm_context *context) {
    const qmm_tensor c = out_tensor(w, QMM_S32, w->sizes.m, w->sizes.n);
    return qmm_matmul(context, NULL, &w->a, &w->b, &c);
}

/* Everything at once: zero points, transposed B, bias, residual, activation, f16. */
static qmm_status run_epilogue(const job_world *w, qmm_context *context) {
    const qmm_tensor c = out_tensor(w, QMM_F16, w->sizes.m, w->sizes.n);
    qmm_quant quant_a = QMM_QUANT_INIT, quant_b = QMM_QUANT_INIT;
    qmm_matmul_desc desc = QMM_MATMUL_DESC_INIT;
    quant_a.granularity = QMM_PER_ROW, quant_a.scale = &w->a_scale, quant_a.zero_value = 3;
    quant_b.granularity = QMM_PER_ROW, quant_b.scale = &w->b_scale, quant_b.zero_value = -7;
    desc.quant_a = &quant_a, desc.quant_b = &quant_b;
    desc.transpose_b = 1;
    desc.bias = &w->bias, desc.residual = &w->residual;
    desc.activation = QMM_ACTIVATION_GELU;
    return qmm_matmul(context, &desc, &w->a, &w->b_transposed, &c);
}

static qmm_status run_weights(const job_world *w, qmm_context *context, qmm_weights *weights, int64_t m,
                              qmm_type type) {
    const qmm_tensor c = out_tensor(w, type, m, w->sizes.n);
    qmm_tensor a = w->a, a_scale = w->a_scale;
    qmm_quant quant_a = QMM_QUANT_INIT;
    qmm_matmul_desc desc = QMM_MATMUL_DESC_INIT;
    a.rows = a_scale.rows = m;
    quant_a.granularity = QMM_PER_ROW, quant_a.scale = &a_scale;
    desc.quant_a = &quant_a, desc.weights = weights;
    return qmm_matmul(context, &desc, &a, NULL, &c);
}

static qmm_status run_weights8(const job_world *w, qmm_context *context) {
    return run_weights(w, context, w->weights8, w->sizes.m, QMM_BF16);
}

static qmm_status run_weights4(const job_world *w, qmm_context *context) {
    return run_weights(w, context, w->weights4, w->sizes.m, QMM_F32);
}

static qmm_status run_decode8(const job_world *w, qmm_context *context) {
    return run_weights(w, context, w->weights8, 1, QMM_F16);
}

static qmm_status run_decode4(const job_world *w, qmm_context *context) {
    return run_weights(w, context, w->weights4, 1, QMM_F16);
}

/* A batch, with one B for all, to s8. */
static qmm_status run_batch(const job_world *w, qmm_context *context) {
    qmm_tensor a = w->a, c = out_tensor(w, QMM_S8, w->sizes.m, w->sizes.n);
    qmm_quant quant_c = QMM_QUANT_INIT;
    qmm_matmul_desc desc = QMM_MATMUL_DESC_INIT;
    a.batch = c.batch = BATCH;
    a.batch_stride = w->sizes.m * w->sizes.k;
    c.batch_stride = w->sizes.m * w->sizes.n;
    quant_c.scale_value = 512.0f, quant_c.zero_value = -1;
    desc.quant_c = &quant_c;
    return qmm_matmul(context, &desc, &a, &w->b, &c);
}

const job jobs[] = {
    { "quantize f32 to s8, per row with zero points", "quantize", run_quantize },
    { "quantize f16 to s4, per tensor", "quantize", run_quantize_s4 },
    { "dynamic quantize f32 to s8, per row with zero points and sums", "quantize_dynamic", run_dynamic_rows },
    { "dynamic quantize f16 to u8, per tensor", "quantize_dynamic", run_dynamic_tensor },
    { "dequantize s8 to f16, per column", "dequantize", run_dequantize },
    { "requantize s8 to u8", "requantize", run_requantize },
    { "matmul to s32", "matmul", run_sums },
    { "matmul with every part of the epilogue to f16", "matmul", run_epilogue },
    { "matmul with packed s8 weights to bf16", "matmul", run_weights8 },
    { "matmul with packed s4 weights in groups to f32", "matmul", run_weights4 },
    { "matmul of one row with packed s8 weights to f16", "matmul", run_decode8 },
    { "matmul of one row with packed s4 weights to f16", "matmul", run_decode4 },
    { "matmul of a batch to s8", "matmul", run_batch },
};
const int job_count = (int)(sizeof jobs / sizeof jobs[0]);
