/* SPDX-License-Identifier: Apache-2.0
 *
 * A matmul call from options, and its operands on a device. */
#include "call.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

/* ---- options ----------------------------------------------------------------------------------------------------- */

static const cli_word types_a[] = { { "s8", QMM_S8 }, { "u8", QMM_U8 }, { NULL, 0 } };
static const cli_word types_b[] = { { "s8", QMM_S8 }, { "u8", QMM_U8 }, { "s4", QMM_S4 },
                                    { "u4", QMM_U4 }, { NULL, 0 } };
static const cli_word types_c[] = { { "s32", QMM_S32 },   { "f32", QMM_F32 }, { "f16", QMM_F16 },
                                    { "bf16", QMM_BF16 }, { "s8", QMM_S8 },   { "u8", QMM_U8 },
                                    { "s16", QMM_S16 },   { "u16", QMM_U16 }, { NULL, 0 } };
const cli_word cli_activations[] = { { "none", QMM_ACTIVATION_NONE },
                                     { "relu", QMM_ACTIVATION_RELU },
                                     { "gelu", QMM_ACTIVATION_GELU },
                                     { "gelu_tanh", QMM_ACTIVATION_GELU_TANH },
                                     { "silu", QMM_ACTIVATION_SILU },
                                     { NULL, 0 } };

static int read_types(const char *command, const char *text, cli_call *call) {
    static const struct {
        const char *name;
        const cli_word *words;
    } operands[] = { { "--types, A:", types_a }, { "--types, B:", types_b }, { "--types, C:", types_c } };
    int values[3];
    for (int i = 0; i < 3; i++) {
        char word[16];
        const size_t length = strcspn(text, ",");
        int code;
        if ((text[length] == ',') != (i < 2))
            return cli_error(CLI_USAGE, command, "--types takes three, as s8,s8,f16: those of A, B and C");
        snprintf(word, sizeof word, "%.*s", length < sizeof word ? (int)length : (int)sizeof word - 1, text);
        code = cli_read_word(command, operands[i].name, word, operands[i].words, &values[i]);
        if (code != CLI_OK) return code;
        text += length + 1;
    }
    call->a = (qmm_type)values[0], call->b = (qmm_type)values[1], call->c = (qmm_type)values[2];
    return CLI_OK;
}

static int read_scales(const char *command, const char *text, cli_call *call) {
    const bool row_column = strcmp(text, "row-column") == 0, row_group = strncmp(text, "row-group:", 10) == 0;
    const char *const size = row_group ? text + 10 : strncmp(text, "group:", 6) == 0 ? text + 6 : NULL;
    int64_t group = 0;
    if (!row_column && strcmp(text, "tensor") != 0 && !(size && cli_read_int(size, 1, INT32_MAX, &group)))
        return cli_error(CLI_USAGE, command,
                         "--scales '%.60s' is none of row-column tensor row-group:G group:G, G from 1 to 2147483647",
                         text);
    call->scales_by_row = row_column || row_group;
    call->scales_by_column = row_column;
    call->group = group;
    return CLI_OK;
}

static int read_activation(const char *command, const char *text, cli_call *call) {
    int value = QMM_ACTIVATION_NONE;
    const int code = cli_read_word(command, "--activation", text, cli_activations, &value);
    if (code == CLI_OK) call->activation = (qmm_activation)value;
    return code;
}

int cli_call_option(const char *command, int option, const char *text, cli_call *call) {
    switch (option) {
    case CLI_CALL_TYPES: return read_types(command, text, call);
    case CLI_CALL_SCALES: return read_scales(command, text, call);
    case CLI_CALL_ZEROS: call->zeros = true; break;
    case CLI_CALL_BIAS: call->bias = true; break;
    case CLI_CALL_RESIDUAL: call->residual = true; break;
    case CLI_CALL_ACTIVATION: return read_activation(command, text, call);
    case CLI_CALL_PLAIN: call->packed = false; break;
    case CLI_CALL_TRANSPOSE_A: call->transpose_a = true; break;
    case CLI_CALL_TRANSPOSE_B: call->transpose_b = true; break;
    }
    return CLI_OK;
}

/* s32 holds the accumulators themselves, which no scale is applied to. */
static bool is_scaled(const cli_call *call) {
    return call->c != QMM_S32;
}

static const char *activation_name(qmm_activation activation) {
    const cli_word *w = cli_activations;
    while (w->word && w->value != (int)activation) w++;
    return w->word ? w->word : "an unknown activation";
}

void cli_call_describe(const cli_call *call, char *text, size_t bytes) {
    char scales[64] = "";
    if (is_scaled(call) && call->group > 0) {
        snprintf(scales, sizeof scales, ", scales per %sgroup of %lld", call->scales_by_row ? "row and " : "",
                 (long long)call->group);
    } else if (is_scaled(call)) {
        snprintf(scales, sizeof scales, ", scales per %s",
                 call->scales_by_row && call->scales_by_column ? "row and column"
                 : call->scales_by_row                         ? "row and tensor"
                 : call->scales_by_column                      ? "tensor and column"
                                                               : "tensor");
    }
    snprintf(text, bytes, "%s x %s -> %s%s%s%s%s%s%s%s%s%s", qmm_type_name(call->a), qmm_type_name(call->b),
             qmm_type_name(call->c), scales, call->zeros ? ", zero points" : "", call->bias ? ", bias" : "",
             call->residual ? ", residual" : "", call->activation ? ", " : "",
             call->activation ? activation_name(call->activation) : "", call->transpose_a ? ", A transposed" : "",
             call->transpose_b ? ", B transposed" : "", call->packed ? ", packed" : "");
}

/* ---- tensors and parameters -------------------------------------------------------------------------------------- */

static qmm_tensor batched(qmm_type type, int64_t rows, int64_t cols, int64_t batch) {
    qmm_tensor t = qmm_matrix(NULL, type, rows, cols);
    t.batch = batch;
    t.batch_stride = rows * t.row_stride;
    return t;
}

static int64_t middle_of(qmm_type type) {
    return type == QMM_U4 ? 8 : type == QMM_U8 ? 128 : type == QMM_U16 ? 32768 : 0;
}

/* Of codes that are all alike likely, less the zero point. */
static double mean_of(const cli_call *call, qmm_type type) {
    int32_t low = 0, high = 0;
    (void)qmm_type_range(type, 0, &low, &high);
    return call->zeros ? 0.0 : ((double)low + (double)high) / 2.0;
}

static double mean_square_of(const cli_call *call, qmm_type type) {
    const double values = (double)(1 << qmm_type_bits(type)), mean = mean_of(call, type);
    return (values * values - 1.0) / 12.0 + mean * mean;
}

/* The scale of A and of B that brings the results near 1. */
static double scale_near(const cli_call *call, int64_t k) {
    const double drift = (double)k * mean_of(call, call->a) * mean_of(call, call->b);
    const double spread = (double)k * mean_square_of(call, call->a) * mean_square_of(call, call->b);
    const double size = sqrt(spread + drift * drift);
    return size > 1.0 ? 1.0 / sqrt(size) : 1.0;
}

/* One side's parameters. `outer` rows of A or columns of B; group 0: no groups; k_is_row: a row of the tensor runs
 * along K. */
static void set_quant(const cli_call *call, bool by_outer, int64_t group, bool k_is_row, qmm_type type, int64_t outer,
                      int64_t k, qmm_quant *quant, qmm_tensor *scale, qmm_tensor *zero) {
    const int64_t groups = group > 0 ? k / group : 1;
    const int32_t middle = (int32_t)middle_of(type);
    *quant = (qmm_quant)QMM_QUANT_INIT;
    if (is_scaled(call)) quant->scale_value = (float)scale_near(call, k);
    if (call->zeros) quant->zero_value = middle + (type == QMM_S4 || type == QMM_U4 ? 1 : 5);
    if (!is_scaled(call) || (group == 0 && !by_outer)) return;
    if (group > 0) {
        quant->granularity = k_is_row ? QMM_PER_ROW_GROUP : QMM_PER_COLUMN_GROUP;
        quant->group_size = group;
        *scale = k_is_row ? qmm_matrix(NULL, QMM_F32, outer, groups) : qmm_matrix(NULL, QMM_F32, groups, outer);
    } else {
        quant->granularity = k_is_row ? QMM_PER_ROW : QMM_PER_COLUMN;
        *scale = qmm_matrix(NULL, QMM_F32, 1, outer);
    }
    quant->scale = scale;
    if (!call->zeros) return;
    quant->zero_value = 0;
    *zero = *scale;
    zero->type = QMM_S32;
    quant->zero = zero;
}

/* A code output: results, which are near 1, up to 4 fit its range. */
static void set_quant_c(const cli_call *call, qmm_quant *quant) {
    int32_t low = 0, high = 0;
    *quant = (qmm_quant)QMM_QUANT_INIT;
    if (qmm_type_range(call->c, 0, &low, &high) != QMM_OK) return;
    quant->scale_value = (float)(8.0 / ((double)high - (double)low));
    quant->zero_value = (int32_t)middle_of(call->c);
}

static bool is_code(qmm_type type) {
    int32_t low, high;
    return qmm_type_range(type, 0, &low, &high) == QMM_OK;
}

static void set_desc(const cli_call *call, cli_operands_copy *o) {
    qmm_matmul_desc *d = &o->plain_desc;
    *d = (qmm_matmul_desc)QMM_MATMUL_DESC_INIT;
    d->transpose_a = call->transpose_a;
    d->transpose_b = call->transpose_b;
    d->activation = call->activation;
    d->quant_a = &o->quant_a;
    d->quant_b = &o->quant_b;
    d->quant_c = is_code(call->c) ? &o->quant_c : NULL;
    d->bias = call->bias ? &o->tensors[CLI_BIAS] : NULL;
    d->residual = call->residual ? &o->tensors[CLI_RESIDUAL] : NULL;
    o->desc = *d;
}

/* Everything but memory. */
static void lay_out(const cli_call *call, const cli_shape *s, cli_operands_copy *o) {
    qmm_tensor *t = o->tensors;
    memset(o, 0, sizeof *o);
    t[CLI_A] = call->transpose_a ? batched(call->a, s->k, s->m, s->batch) : batched(call->a, s->m, s->k, s->batch);
    t[CLI_B] = call->transpose_b ? batched(call->b, s->n, s->k, s->batch) : batched(call->b, s->k, s->n, s->batch);
    t[CLI_C] = batched(call->c, s->m, s->n, s->batch);
    if (call->bias) t[CLI_BIAS] = qmm_matrix(NULL, QMM_F32, 1, s->n);
    if (call->residual) t[CLI_RESIDUAL] = batched(QMM_F32, s->m, s->n, s->batch);
    set_quant(call, call->scales_by_row, call->scales_by_row ? 0 : call->group, !call->transpose_a, call->a, s->m, s->k,
              &o->quant_a, &t[CLI_SCALE_A], &t[CLI_ZERO_A]);
    set_quant(call, call->scales_by_column, call->group, call->transpose_b, call->b, s->n, s->k, &o->quant_b,
              &t[CLI_SCALE_B], &t[CLI_ZERO_B]);
    set_quant_c(call, &o->quant_c);
    set_desc(call, o);
}

/* From now on the call takes B from the weights. */
static void use_weights(cli_operands_copy *o, qmm_weights *weights) {
    o->weights = weights;
    o->desc.weights = weights;
    o->desc.quant_b = NULL;
    o->desc.transpose_b = 0;
}

/* ---- random values ----------------------------------------------------------------------------------------------- */

/* A pattern of random bytes is repeated over a tensor: its length is prime, so that rows do not resemble each other. */
enum { PATTERN_BYTES = 1048573, PATTERN_WORDS = 262139 };

/* splitmix64: Steele, Lea, Flood, OOPSLA 2014. */
static uint64_t next_random(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static void random_codes(uint64_t seed, unsigned char *bytes, size_t count) {
    for (size_t i = 0; i < count; i += sizeof seed) {
        uint64_t state = seed + i;
        const uint64_t word = next_random(&state);
        memcpy(bytes + i, &word, count - i < sizeof word ? count - i : sizeof word);
    }
}

/* Uniform in 0.75 .. 1.25 of `near`. */
static void random_scales(uint64_t seed, float near, float *values, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const float uniform = (float)(next_random(&seed) >> 40) / 16777216.0f;
        values[i] = near * (0.75f + 0.5f * uniform);
    }
}

/* The sum of four uniform numbers: near normal, mean 0, variance 1. */
static void random_reals(uint64_t seed, float *values, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const uint64_t r = next_random(&seed);
        const int32_t sum = (int32_t)(r & 0xffff) + (int32_t)(r >> 16 & 0xffff) + (int32_t)(r >> 32 & 0xffff) +
                            (int32_t)(r >> 48);
        values[i] = ((float)sum - 131070.0f) * (1.7320508f / 65536.0f);
    }
}

/* Near the middle of the type's codes, so that the results stay near 0. */
static void random_zeros(uint64_t seed, qmm_type type, int32_t *values, size_t count) {
    const int32_t spread = qmm_type_bits(type) == 4 ? 4 : 16;
    for (size_t i = 0; i < count; i++)
        values[i] = (int32_t)middle_of(type) - spread / 2 + (int32_t)(next_random(&seed) % (uint64_t)spread);
}

static void make_pattern(const cli_operands_copy *o, int which, uint64_t seed, void *pattern, size_t bytes) {
    switch (which) {
    case CLI_A:
    case CLI_B: random_codes(seed, pattern, bytes); break;
    case CLI_C: memset(pattern, 0xff, bytes); break; /* NaN, so that what a kernel leaves out is seen */
    case CLI_BIAS:
    case CLI_RESIDUAL: random_reals(seed, pattern, bytes / sizeof(float)); break;
    case CLI_SCALE_A: random_scales(seed, o->quant_a.scale_value, pattern, bytes / sizeof(float)); break;
    case CLI_SCALE_B: random_scales(seed, o->quant_b.scale_value, pattern, bytes / sizeof(float)); break;
    case CLI_ZERO_A: random_zeros(seed, o->tensors[CLI_A].type, pattern, bytes / sizeof(int32_t)); break;
    case CLI_ZERO_B: random_zeros(seed, o->tensors[CLI_B].type, pattern, bytes / sizeof(int32_t)); break;
    }
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

static qmm_status create_buffer(qmm_context *context, qmm_tensor *t, size_t *bytes) {
    qmm_status status = qmm_matrix_bytes(t->type, t->rows, t->cols, t->batch, bytes);
    if (status != QMM_OK) *bytes = PTRDIFF_MAX; /* the context then says what is wrong with that */
    return qmm_buffer_create(context, *bytes, &t->buffer);
}

/* The pattern at the buffer's start, and then what is there again and again. */
static qmm_status repeat(qmm_context *context, qmm_buffer *buffer, const void *pattern, size_t pattern_bytes,
                         size_t bytes) {
    size_t filled = pattern_bytes < bytes ? pattern_bytes : bytes;
    qmm_status status = qmm_buffer_upload(context, buffer, 0, pattern, filled);
    while (status == QMM_OK && filled < bytes) {
        const size_t more = filled < bytes - filled ? filled : bytes - filled;
        status = qmm_buffer_copy(context, buffer, filled, buffer, 0, more);
        filled += more;
    }
    return status;
}

static qmm_status create_tensor(qmm_context *context, cli_operands_copy *o, int which, uint64_t seed, void *pattern) {
    qmm_tensor *t = &o->tensors[which];
    const size_t period = which == CLI_A || which == CLI_B ? PATTERN_BYTES : PATTERN_WORDS * sizeof(float);
    size_t bytes;
    qmm_status status = create_buffer(context, t, &bytes);
    if (status != QMM_OK || bytes == 0) return status;
    make_pattern(o, which, seed, pattern, bytes < period ? bytes : period);
    return repeat(context, t->buffer, pattern, period, bytes);
}

static void free_tensor(qmm_tensor *t) {
    qmm_buffer_free(t->buffer);
    t->buffer = NULL;
}

static qmm_status pack(qmm_context *context, const cli_call *call, cli_operands_copy *o) {
    qmm_weights_options options = QMM_WEIGHTS_OPTIONS_INIT;
    qmm_weights *weights;
    qmm_status status;
    options.transpose_b = call->transpose_b;
    options.quant = &o->quant_b;
    status = qmm_weights_create(context, &o->tensors[CLI_B], &options, &weights);
    if (status == QMM_OK) use_weights(o, weights);
    return status;
}

/* Only the first copy keeps B beside its packed form. */
static qmm_status create_copy(cli_operands *operands, int index, uint64_t seed, void *pattern) {
    cli_operands_copy *o = &operands->copy[index];
    qmm_status status = QMM_OK;
    lay_out(&operands->call, &operands->shape, o);
    for (int i = 0; i < CLI_TENSORS && status == QMM_OK; i++) {
        uint64_t state = seed + (uint64_t)index * CLI_TENSORS + (uint64_t)i;
        if (o->tensors[i].type != 0)
            status = create_tensor(operands->context, o, i, next_random(&state), pattern);
    }
    if (status != QMM_OK || !operands->call.packed) return status;
    status = pack(operands->context, &operands->call, o);
    if (index > 0) free_tensor(&o->tensors[CLI_B]);
    return status;
}

qmm_status cli_operands_create(qmm_context *context, const cli_call *call, const cli_shape *shape, int copies,
                               uint64_t seed, cli_operands *operands) {
    void *pattern = malloc(PATTERN_BYTES);
    qmm_status status = QMM_OK;
    *operands = (cli_operands){ .context = context, .call = *call, .shape = *shape };
    operands->copy = calloc((size_t)copies, sizeof *operands->copy);
    if (!pattern || !operands->copy) status = QMM_OUT_OF_MEMORY;
    for (int i = 0; i < copies && status == QMM_OK; i++) {
        operands->copies = i + 1;
        status = create_copy(operands, i, seed, pattern);
    }
    free(pattern);
    if (status != QMM_OK) cli_operands_free(operands);
    return status;
}

void cli_operands_free(cli_operands *operands) {
    for (int i = 0; i < operands->copies; i++) {
        cli_operands_copy *o = &operands->copy[i];
        qmm_weights_free(o->weights);
        for (int j = 0; j < CLI_TENSORS; j++) free_tensor(&o->tensors[j]);
    }
    if (operands->copy != &operands->plan) free(operands->copy);
    *operands = (cli_operands){ .copies = 0 };
}

/* ---- plans ------------------------------------------------------------------------------------------------------- */

void cli_operands_plan(const cli_call *call, const cli_shape *shape, cli_operands *operands) {
    *operands = (cli_operands){ .call = *call, .shape = *shape, .copies = 1 };
    operands->copy = &operands->plan;
    lay_out(call, shape, &operands->plan);
}

/* B and its parameters, all zeros, packed. */
static qmm_status pack_zeros(qmm_context *context, const cli_call *call, cli_operands_copy *o) {
    static const int of_weights[] = { CLI_B, CLI_SCALE_B, CLI_ZERO_B };
    qmm_status status = QMM_OK;
    for (int i = 0; i < 3 && status == QMM_OK; i++) {
        qmm_tensor *t = &o->tensors[of_weights[i]];
        size_t bytes;
        if (t->type == 0) continue;
        status = create_buffer(context, t, &bytes);
        if (status == QMM_OK) status = qmm_buffer_fill(context, t->buffer, 0, 0, bytes);
    }
    if (status == QMM_OK) status = pack(context, call, o);
    for (int i = 0; i < 3; i++) free_tensor(&o->tensors[of_weights[i]]);
    return status;
}

qmm_status cli_operands_plan_packed(qmm_context *context, const cli_call *call, const cli_shape *shape,
                                    cli_operands *operands) {
    const cli_shape old = operands->shape;
    qmm_weights *weights = operands->plan.weights;
    qmm_status status = QMM_OK;
    if (weights && (old.n != shape->n || old.k != shape->k || old.batch != shape->batch)) {
        qmm_weights_free(weights);
        weights = NULL;
    }
    cli_operands_plan(call, shape, operands);
    operands->context = context;
    if (!call->packed) return QMM_OK;
    if (weights) {
        use_weights(&operands->plan, weights);
    } else {
        status = pack_zeros(context, call, &operands->plan);
    }
    if (status != QMM_OK) cli_operands_free(operands);
    return status;
}

/* ---- use --------------------------------------------------------------------------------------------------------- */

double cli_operands_bytes(const cli_operands *operands) {
    const qmm_tensor *tensors = operands->copy[0].tensors;
    double total = 0.0;
    for (int i = 0; i < CLI_TENSORS; i++) {
        size_t bytes;
        if (tensors[i].type == 0) continue;
        if (qmm_matrix_bytes(tensors[i].type, tensors[i].rows, tensors[i].cols, tensors[i].batch, &bytes) == QMM_OK)
            total += (double)bytes;
    }
    return total;
}

cli_operands_call cli_operands_at(const cli_operands *operands, int copy) {
    const cli_operands_copy *o = &operands->copy[copy % operands->copies];
    const bool plain = o->tensors[CLI_B].buffer || operands->copy == &operands->plan;
    return (cli_operands_call){ .desc = &o->desc,
                                .a = &o->tensors[CLI_A],
                                .b = o->weights ? NULL : &o->tensors[CLI_B],
                                .c = &o->tensors[CLI_C],
                                .plain_desc = &o->plain_desc,
                                .plain_b = plain ? &o->tensors[CLI_B] : NULL };
}

qmm_status cli_operands_run(const cli_operands *operands, int copy) {
    const cli_operands_call call = cli_operands_at(operands, copy);
    return qmm_matmul(operands->context, call.desc, call.a, call.b, call.c);
}
