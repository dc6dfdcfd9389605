/* SPDX-License-Identifier: Apache-2.0
 *
 * matmul:
 *
 *     acc[i,j] = sum over k of (a[i,k] - za) * (b[k,j] - zb), an s32 bias added     the exact integer
 *     y = (float)acc; y = y * sb; y = y * sa; y = y + bias; y = y + residual; y = activation(y)
 *     c = y rounded to f32, f16, bf16, or quantized
 *
 * With groups along K: y = sum over groups in order of ((float)acc_group * sb) * sa, each factor that is given per
 * group; the others follow once. An s32 c is acc, saturated. */
#include "matmul.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "oracle.h"

/* ---- the oracle -------------------------------------------------------------------------------------------------- */

/* The two operands of one matrix of the batch, zero points taken out: a is M x K, b is N x K. */
typedef struct operands {
    int32_t *a, *b;
} operands;

static void load_operand(const validate_case *c, const validate_quant *q, int tensor, bool k_is_row, int64_t batch,
                         int64_t outer, int64_t k, int32_t *to) {
    const validate_tensor *t = &c->tensors[tensor];
    const int64_t b = t->batch == 1 ? 0 : batch;
    for (int64_t o = 0; o < outer; o++)
        for (int64_t n = 0; n < k; n++) {
            const int64_t i = k_is_row ? o : n, j = k_is_row ? n : o;
            to[o * k + n] = (int32_t)validate_load(t, t->before, b, i, j) - oracle_zero(c, q, b, i, j);
        }
}

static int64_t dot(const int32_t *a, const int32_t *b, int64_t length) {
    int64_t sum = 0;
    for (int64_t k = 0; k < length; k++) sum += (int64_t)a[k] * b[k];
    return sum;
}

/* Scales of row i of A and of column j of B, at place k along the sum. */
static double scale_a(const validate_case *c, int64_t batch, int64_t i, int64_t k) {
    const validate_matmul *p = &c->as.matmul;
    const int64_t b = c->tensors[MATMUL_A].batch == 1 ? 0 : batch;
    return oracle_scale(c, &p->a, b, p->transpose_a ? k : i, p->transpose_a ? i : k);
}

static double scale_b(const validate_case *c, int64_t batch, int64_t j, int64_t k) {
    const validate_matmul *p = &c->as.matmul;
    const int64_t b = c->tensors[MATMUL_B].batch == 1 ? 0 : batch;
    return oracle_scale(c, &p->b, b, p->transpose_b ? j : k, p->transpose_b ? k : j);
}

static double bias_at(const validate_case *c, int64_t batch, int64_t j) {
    const validate_tensor *t = &c->tensors[c->as.matmul.bias];
    const bool across = t->rows == 1 && t->cols == c->as.matmul.n;
    return validate_load(t, t->before, t->batch == 1 ? 0 : batch, across ? 0 : j, across ? j : 0);
}

static bool has_bias(const validate_case *c, qmm_type type) {
    return c->as.matmul.bias >= 0 && c->tensors[c->as.matmul.bias].type == type;
}

/* The product of the scales and the sum, before bias and activation. */
static double scaled_sum(const validate_case *c, const operands *o, int64_t batch, int64_t i, int64_t j) {
    const validate_matmul *p = &c->as.matmul;
    const int64_t group = p->a.group_size ? p->a.group_size : p->b.group_size ? p->b.group_size : p->k;
    const int32_t *a = o->a + i * p->k, *b = o->b + j * p->k;
    double y = 0.0;
    if (!p->a.group_size && !p->b.group_size) {
        const int64_t acc = dot(a, b, p->k) + (has_bias(c, QMM_S32) ? (int64_t)bias_at(c, batch, j) : 0);
        return oracle_f32(oracle_f32(oracle_f32((double)acc) * scale_b(c, batch, j, 0)) * scale_a(c, batch, i, 0));
    }
    for (int64_t k = 0; k < p->k; k += group) {
        double term = oracle_f32((double)dot(a + k, b + k, group));
        if (p->b.group_size) term = oracle_f32(term * scale_b(c, batch, j, k));
        if (p->a.group_size) term = oracle_f32(term * scale_a(c, batch, i, k));
        y = oracle_f32(y + term);
    }
    if (!p->b.group_size) y = oracle_f32(y * scale_b(c, batch, j, 0));
    if (!p->a.group_size) y = oracle_f32(y * scale_a(c, batch, i, 0));
    return y;
}

static double accumulator(const validate_case *c, const operands *o, int64_t batch, int64_t i, int64_t j) {
    const validate_matmul *p = &c->as.matmul;
    const int64_t acc = dot(o->a + i * p->k, o->b + j * p->k, p->k);
    return fmin(fmax((double)acc + (has_bias(c, QMM_S32) ? bias_at(c, batch, j) : 0.0), INT32_MIN), INT32_MAX);
}

static double element(const validate_case *c, const operands *o, int64_t batch, int64_t i, int64_t j) {
    const validate_matmul *p = &c->as.matmul;
    double y;
    if (c->tensors[MATMUL_C].type == QMM_S32) return accumulator(c, o, batch, i, j);
    y = scaled_sum(c, o, batch, i, j);
    if (has_bias(c, QMM_F32)) y = oracle_f32(y + bias_at(c, batch, j));
    if (p->residual >= 0) {
        const validate_tensor *t = &c->tensors[p->residual];
        y = oracle_f32(y + validate_load(t, t->before, t->batch == 1 ? 0 : batch, i, j));
    }
    y = oracle_activate(p->activation, y);
    if (validate_is_real(c->tensors[MATMUL_C].type)) return y;
    return oracle_quantize(y, oracle_scale(c, &p->c, batch, i, j), oracle_zero(c, &p->c, batch, i, j), p->c.qmin,
                           p->c.qmax);
}

static int64_t reach(const validate_tensor *t, const validate_quant *q) {
    const bool has_zero = q->zero >= 0 || q->zero_value != 0;
    int32_t qmin, qmax;
    validate_code_range(t->type, 0, &qmin, &qmax);
    return has_zero ? (int64_t)qmax - qmin : qmax > -qmin ? qmax : -(int64_t)qmin;
}

static bool int32_may_overflow(const validate_case *c) {
    const validate_matmul *p = &c->as.matmul;
    return p->k * reach(&c->tensors[MATMUL_A], &p->a) * reach(&c->tensors[MATMUL_B], &p->b) > INT32_MAX;
}

void matmul_expect(validate_case *c) {
    const validate_matmul *p = &c->as.matmul;
    const validate_tensor *t = &c->tensors[MATMUL_C];
    const int64_t a_count = p->m * p->k, b_count = p->n * p->k;
    operands o;
    if (t->type == QMM_S32 && int32_may_overflow(c)) {
        c->want_status = QMM_INVALID_ARGUMENT;
        return;
    }
    o.a = malloc((size_t)(a_count + b_count + 1) * sizeof *o.a);
    if (!o.a) abort(); /* as in case.c */
    o.b = o.a + a_count;
    for (int64_t batch = 0; batch < p->batch; batch++) {
        load_operand(c, &p->a, MATMUL_A, !p->transpose_a, batch, p->m, p->k, o.a);
        load_operand(c, &p->b, MATMUL_B, p->transpose_b, batch, p->n, p->k, o.b);
        for (int64_t i = 0; i < p->m; i++)
            for (int64_t j = 0; j < p->n; j++) validate_store(t, t->want, batch, i, j, element(c, &o, batch, i, j));
    }
    free(o.a);
}

/* ---- the call ---------------------------------------------------------------------------------------------------- */

void matmul_arguments_on_device(const validate_case *c, const validate_execution *e, matmul_arguments *arguments) {
    const validate_matmul *p = &c->as.matmul;
    qmm_matmul_desc *d = &arguments->desc;
    *d = (qmm_matmul_desc)QMM_MATMUL_DESC_INIT;
    d->transpose_a = p->transpose_a;
    d->transpose_b = p->transpose_b;
    d->activation = p->activation;
    d->quant_a = validate_quant_on_device(c, e, &p->a, &arguments->quant_a);
    d->quant_b = validate_quant_on_device(c, e, &p->b, &arguments->quant_b);
    d->quant_c = validate_quant_on_device(c, e, &p->c, &arguments->quant_c);
    arguments->a = validate_on_device(c, e, MATMUL_A);
    arguments->b = validate_on_device(c, e, MATMUL_B);
    arguments->c = validate_on_device(c, e, MATMUL_C);
    if (p->bias >= 0) {
        arguments->bias = validate_on_device(c, e, p->bias);
        d->bias = &arguments->bias;
    }
    if (p->residual >= 0) {
        arguments->residual = validate_on_device(c, e, p->residual);
        d->residual = &arguments->residual;
    }
}

enum { GUARD = 256 };

qmm_buffer *matmul_guard_create(qmm_context *context, size_t bytes) {
    qmm_buffer *buffer;
    if (qmm_buffer_create(context, bytes + 2 * GUARD, &buffer) != QMM_OK) return NULL;
    if (qmm_buffer_fill(context, buffer, 0, 0xa5, bytes + 2 * GUARD) != QMM_OK) {
        qmm_buffer_free(buffer);
        return NULL;
    }
    return buffer;
}

bool matmul_guard_check(qmm_context *context, const qmm_buffer *buffer, size_t bytes) {
    unsigned char guards[2 * GUARD];
    if (qmm_buffer_download(context, buffer, 0, guards, GUARD) != QMM_OK) return false;
    if (qmm_buffer_download(context, buffer, GUARD + bytes, guards + GUARD, GUARD) != QMM_OK) return false;
    for (size_t i = 0; i < sizeof guards; i++)
        if (guards[i] != 0xa5) return false;
    return true;
}

qmm_status matmul_call(const validate_case *c, validate_execution *e, matmul_arguments *a) {
    const qmm_tensor *b = a->desc.weights ? NULL : &a->b;
    qmm_status status;
    size_t bytes;
    if (!c->as.matmul.workspace) return qmm_matmul(e->context, &a->desc, &a->a, b, &a->c);
    status = qmm_matmul_workspace(e->context, &a->desc, &a->a, b, &a->c, &bytes);
    if (status != QMM_OK) return status;
    a->desc.workspace = matmul_guard_create(e->context, bytes);
    if (!a->desc.workspace) return qmm_context_error_status(e->context);
    a->desc.workspace_offset = GUARD;
    a->desc.workspace_bytes = bytes;
    status = qmm_matmul(e->context, &a->desc, &a->a, b, &a->c);
    if (!matmul_guard_check(e->context, a->desc.workspace, bytes))
        validate_append(e->complaint, sizeof e->complaint, "workspace: bytes outside its %zu are not as before", bytes);
    qmm_buffer_free(a->desc.workspace);
    return status;
}

/* "s8", "u4 transposed", "s8 (1 for all)": a batch of one, or one matrix over and over. */
static void describe_operand(const validate_case *c, int tensor, bool transposed, char *text, size_t bytes) {
    const validate_tensor *t = &c->tensors[tensor];
    text[0] = '\0';
    validate_append(text, bytes, "%s%s", qmm_type_name(t->type), transposed ? " transposed" : "");
    if (c->as.matmul.batch > 1 && t->batch == 1) validate_append(text, bytes, " (1 for all)");
    if (t->batch > 1 && t->batch_stride == 0) validate_append(text, bytes, " (batch stride 0)");
}

static qmm_status run(const validate_case *c, validate_execution *e) {
    matmul_arguments arguments;
    matmul_arguments_on_device(c, e, &arguments);
    return matmul_call(c, e, &arguments);
}

void matmul_vary(validate_case *c) {
    c->as.matmul.workspace = !c->as.matmul.workspace;
}

void matmul_describe(const validate_case *c, char *text, size_t bytes) {
    static const char *const activations[] = { "no activation", "relu", "gelu", "gelu_tanh", "silu" };
    const validate_matmul *p = &c->as.matmul;
    char a[96], b[96], q[96], first[48], second[48];
    validate_describe_quant(c, &p->a, a, sizeof a);
    validate_describe_quant(c, &p->b, b, sizeof b);
    validate_describe_quant(c, &p->c, q, sizeof q);
    describe_operand(c, MATMUL_A, p->transpose_a, first, sizeof first);
    describe_operand(c, MATMUL_B, p->transpose_b, second, sizeof second);
    validate_append(text, bytes, "M %" PRId64 " N %" PRId64 " K %" PRId64 " batch %" PRId64 ", %s x %s to %s", p->m,
                    p->n, p->k, p->batch, first, second, qmm_type_name(c->tensors[MATMUL_C].type));
    validate_append(text, bytes, "; a %s; b %s; c %s; %s", a, b, q, activations[p->activation]);
    if (p->bias >= 0) validate_append(text, bytes, ", %s bias", qmm_type_name(c->tensors[p->bias].type));
    if (p->residual >= 0)
        validate_append(text, bytes, ", residual %s",
                        p->residual_is_c ? "in c" : qmm_type_name(c->tensors[p->residual].type));
    validate_append(text, bytes, ", fills %d %d%s", p->fill_a, p->fill_b, p->workspace ? ", own workspace" : "");
}

const validate_descriptor validate_matmul_plain = {
    .name = "matmul",
    .kernel_operation = "matmul",
    .quick_cases = 8000,
    .full_cases = 50000,
    .performance_shapes = 4,
    .performance_unit = "GOPS",
    .generate = matmul_generate,
    .expect = matmul_expect,
    .run = run,
    .describe = matmul_describe,
    .vary = matmul_vary,
};
