/* SPDX-License-Identifier: Apache-2.0
 *
 * matmul: every kernel row over the linear layers of Llama 3, 1 to 8192 tokens.
 *
 * Weights are packed, s8 with a scale per column, or s4 with a scale for each group of 128; activations are s8 with a
 * scale per row; the result is f16. An s32 result on the row that calls cuBLASLt, the same call to cuBLASLt itself, and
 * the dequantization of that result, stand beside it as peers. */
#include <stdio.h>
#include <string.h>

#include "cuda_cublaslt.h"
#include "cuda_rig.h"

typedef struct layer {
    const char *name;
    int64_t n, k;
} layer;

/* Query, key and value are one matrix, and so are gate and up. The most telling come first: time may be limited. */
static const layer layers[] = {
    { "70B o", 8192, 8192 },     { "8B o", 4096, 4096 },     { "8B gate, up", 28672, 4096 },
    { "8B down", 4096, 14336 },  { "8B qkv", 6144, 4096 },   { "70B gate, up", 57344, 8192 },
    { "70B down", 8192, 28672 }, { "70B qkv", 10240, 8192 },
};
static const layer simulated_layers[] = { { "tiny", 96, 256 } };
static const layer quick_layers[] = { { "8B o", 4096, 4096 }, { "70B o", 8192, 8192 } };

static const int64_t tokens[] = { 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192 };
static const int64_t quick_tokens[] = { 1, 16, 256, 4096 };
static const int64_t simulated_tokens[] = { 1, 17 };

/* A row that would take longer than this is left out: its time follows from fewer tokens. */
static const double TOO_SLOW = 0.3;

enum { ROWS_MAX = 16, GROUP = 128 };

typedef struct matmul_state {
    const layer *l;
    qmm_type weights_type, c_type;
    int64_t m;
    int turns;
    qmm_weights *weights[BENCH_TURNS_MAX];
    qmm_buffer *a, *b, *c; /* all turns'; b: plain, for the peer */
    qmm_tensor scale_a;
    qmm_quant quant_a;
    size_t a_step, b_step, c_step; /* bytes from a turn's operand to the next's */
    int a_turns, c_turns;          /* how many there is room for */
    double slow[ROWS_MAX];         /* seconds a token of each row, as last seen */
} matmul_state;

/* ---- operands ---------------------------------------------------------------------------------------------------- */

static size_t aligned(size_t bytes) {
    return (bytes + 255) / 256 * 256;
}

static void pack_weights(bench_rig *r, matmul_state *s) {
    const bool grouped = s->weights_type == QMM_S4;
    qmm_tensor b = qmm_matrix(NULL, s->weights_type, s->l->n, s->l->k); /* N x K: transposed */
    qmm_tensor scale = qmm_matrix(NULL, QMM_F32, s->l->n, grouped ? s->l->k / GROUP : 1);
    qmm_weights_options options = QMM_WEIGHTS_OPTIONS_INIT;
    qmm_quant quant = QMM_QUANT_INIT;
    size_t bytes;
    bench_require(r->context, qmm_matrix_bytes(s->weights_type, b.rows, b.cols, 1, &bytes));
    s->turns = bench_turns(r, bytes);
    s->b_step = aligned(bytes);
    s->b = b.buffer = bench_codes(r, s->b_step * (size_t)s->turns);
    scale.buffer = bench_reals(r, QMM_F32, scale.rows * scale.cols);
    quant.granularity = grouped ? QMM_PER_ROW_GROUP : QMM_PER_ROW;
    quant.group_size = grouped ? GROUP : 0;
    quant.scale = &scale;
    options.transpose_b = 1;
    options.quant = &quant;
    for (int i = 0; i < s->turns; i++, b.offset += s->b_step)
        bench_require(r->context, qmm_weights_create(r->context, &b, &options, &s->weights[i]));
    bench_require(r->context, qmm_context_synchronize(r->context));
    qmm_buffer_free(scale.buffer);
}

static void open_layer(bench_rig *r, matmul_state *s, int64_t most_tokens) {
    const qmm_quant plain = QMM_QUANT_INIT;
    pack_weights(r, s);
    s->a = bench_codes(r, (size_t)(most_tokens * s->l->k));
    s->c = bench_buffer(r->context, (size_t)(most_tokens * s->l->n) * sizeof(int32_t));
    s->scale_a = qmm_matrix(bench_reals(r, QMM_F32, most_tokens), QMM_F32, most_tokens, 1);
    s->quant_a = plain;
    s->quant_a.granularity = QMM_PER_ROW;
    s->quant_a.scale = &s->scale_a;
    memset(s->slow, 0, sizeof s->slow);
}

static void close_layer(matmul_state *s) {
    for (int i = 0; i < s->turns; i++) qmm_weights_free(s->weights[i]);
    qmm_buffer_free(s->a);
    qmm_buffer_free(s->b);
    qmm_buffer_free(s->c);
    qmm_buffer_free(s->scale_a.buffer);
}

static int turns_in(const qmm_buffer *buffer, size_t step) {
    const size_t turns = qmm_buffer_bytes(buffer) / step;
    return turns < 1 ? 1 : turns > 1000 ? 1000 : (int)turns;
}

static void set_tokens(matmul_state *s, int64_t m, qmm_type c_type) {
    s->m = m;
    s->c_type = c_type;
    s->scale_a.rows = m;
    s->a_step = aligned((size_t)(m * s->l->k));
    s->c_step = aligned((size_t)(m * s->l->n) * (size_t)qmm_type_bits(c_type) / 8);
    s->a_turns = turns_in(s->a, s->a_step);
    s->c_turns = turns_in(s->c, s->c_step);
}

static void operands(const matmul_state *s, int turn, qmm_matmul_desc *desc, qmm_tensor *a, qmm_tensor *c) {
    *desc = (qmm_matmul_desc)QMM_MATMUL_DESC_INIT;
    desc->quant_a = s->c_type == QMM_S32 ? NULL : &s->quant_a;
    desc->weights = s->weights[turn % s->turns];
    *a = qmm_matrix(s->a, QMM_S8, s->m, s->l->k);
    *c = qmm_matrix(s->c, s->c_type, s->m, s->l->n);
    a->offset = (size_t)(turn % s->a_turns) * s->a_step;
    c->offset = (size_t)(turn % s->c_turns) * s->c_step;
}

/* ---- runs -------------------------------------------------------------------------------------------------------- */

static void run_matmul(bench_rig *r, void *state, int turn) {
    qmm_matmul_desc desc;
    qmm_tensor a, c;
    operands(state, turn, &desc, &a, &c);
    bench_require(r->context, qmm_matmul(r->context, &desc, &a, NULL, &c));
}

/* The s32 result of a run to f16, with a scale per row: what a separate dequantization costs. */
static void run_dequantize(bench_rig *r, void *state, int turn) {
    const matmul_state *s = state;
    const qmm_tensor q = qmm_matrix(s->c, QMM_S32, s->m, s->l->n);
    qmm_tensor x = qmm_matrix(r->plug, QMM_F16, s->m, s->l->n);
    (void)turn;
    bench_require(r->context, qmm_dequantize(r->context, &q, &s->quant_a, &x));
}

typedef struct direct_state {
    bench_cublaslt *library;
    matmul_state *s;
} direct_state;

static void run_direct(bench_rig *r, void *state, int turn) {
    const direct_state *d = state;
    const matmul_state *s = d->s;
    const unsigned char *const a = qmm_buffer_native(s->a), *const b = qmm_buffer_native(s->b);
    unsigned char *const c = qmm_buffer_native(s->c);
    bench_cublaslt_run(d->library, b + (size_t)(turn % s->turns) * s->b_step,
                       a + (size_t)(turn % s->a_turns) * s->a_step, c + (size_t)(turn % s->c_turns) * s->c_step,
                       r->driver.stream);
}

/* ---- figures ----------------------------------------------------------------------------------------------------- */

static bench_figure figure_of(const matmul_state *s, const char *name, const char *kernel) {
    const double m = (double)s->m, n = (double)s->l->n, k = (double)s->l->k;
    const double weight_bits = s->weights_type == QMM_S4 ? 4.0 + 32.0 / GROUP : 8.0;
    bench_figure f = { .group = "matmul", .name = name, .kernel = kernel };
    snprintf(f.shape, sizeof f.shape, "%s: %lld x %lld x %lld", s->l->name, (long long)s->m, (long long)s->l->n,
             (long long)s->l->k);
    f.operations = 2.0 * m * n * k;
    f.bytes = m * k + n * k * weight_bits / 8.0 + m * n * qmm_type_bits(s->c_type) / 8.0;
    return f;
}

typedef struct choice {
    const char *chosen;
    const char *refused; /* of the row asked about; NULL: it takes the problem */
    const char *row;
    char reason[128];
} choice;

static void note_choice(void *user, const char *kernel, const char *reason) {
    choice *c = user;
    if (!reason && !c->chosen) c->chosen = kernel;
    if (strcmp(kernel, c->row) != 0 || !reason) return;
    snprintf(c->reason, sizeof c->reason, "%s", reason);
    c->refused = c->reason;
}

/* Who would run it unasked, then whether `row` would when forced, which stays so. */
static choice choose(bench_rig *r, const matmul_state *s, const char *row) {
    choice c = { .row = row }, forced = { .row = row };
    qmm_matmul_desc desc;
    qmm_tensor a, out;
    operands(s, 0, &desc, &a, &out);
    bench_require(r->context, qmm_kernel_force(r->context, NULL));
    bench_require(r->context, qmm_matmul_explain(r->context, &desc, &a, NULL, &out, note_choice, &c));
    bench_require(r->context, qmm_kernel_force(r->context, row));
    bench_require(r->context, qmm_matmul_explain(r->context, &desc, &a, NULL, &out, note_choice, &forced));
    forced.chosen = c.chosen;
    if (forced.refused) forced.refused = forced.reason;
    return forced;
}

static void bench_rows(bench_rig *r, matmul_state *s, const char *name) {
    int row = 0;
    for (int i = 0; i < qmm_kernel_count(r->context) && row < ROWS_MAX; i++) {
        const char *const kernel = qmm_kernel_name(r->context, i);
        bench_figure f = figure_of(s, name, kernel);
        double *slow = &s->slow[row];
        choice c;
        if (!strstr(kernel, ":matmul:")) continue;
        row++;
        c = choose(r, s, kernel);
        if (c.refused) {
            bench_skip(r, "matmul", name, kernel, f.shape, c.reason);
        } else if (*slow * (double)s->m > TOO_SLOW) {
            bench_skip(r, "matmul", name, kernel, f.shape, "too slow, as fewer tokens show");
        } else {
            f.chosen = c.chosen && strcmp(c.chosen, kernel) == 0;
            f.time = bench_measure(r, run_matmul, s);
            *slow = f.time.median / (double)s->m;
            bench_report(r, &f);
        }
    }
    bench_require(r->context, qmm_kernel_force(r->context, NULL));
}

/* cuBLASLt without us, and the dequantization that it leaves to do. */
static void bench_peers(bench_rig *r, matmul_state *s, bench_cublaslt *library) {
    static const char name[] = "peer: cuBLASLt s8 x s8 to s32, called directly";
    direct_state d = { library, s };
    bench_figure f = figure_of(s, name, ""), after = figure_of(s, "peer: its s32 to f16, by qmm_dequantize", "");
    const char *reason = bench_cublaslt_plan(library, s->l->n, s->m, s->l->k);
    if (reason) {
        bench_skip(r, "matmul", name, "", f.shape, reason);
        return;
    }
    f.time = bench_measure(r, run_direct, &d);
    bench_report(r, &f);
    if ((size_t)(s->m * s->l->n) * 2 > qmm_buffer_bytes(r->plug)) return; /* no room for the result */
    after.bytes = 6.0 * (double)s->m * (double)s->l->n;
    after.operations = 0.0;
    after.time = bench_measure(r, run_dequantize, s);
    bench_report(r, &after);
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

typedef struct plan {
    const layer *layers;
    const int64_t *tokens;
    int layer_count, token_count;
} plan;

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

static plan plan_of(const bench_rig *r) {
    if (r->simulated)
        return (plan){ simulated_layers, simulated_tokens, COUNT(simulated_layers), COUNT(simulated_tokens) };
    if (r->quick) return (plan){ quick_layers, quick_tokens, COUNT(quick_layers), COUNT(quick_tokens) };
    return (plan){ layers, tokens, COUNT(layers), COUNT(tokens) };
}

/* s4 weights matter where memory is the limit, and at the top for comparison. */
static bool skips_s4(int64_t m) {
    return m > 64 && m < 8192;
}

static void bench_layer(bench_rig *r, const plan *p, const layer *l, qmm_type type, bench_cublaslt *library) {
    matmul_state s = { .l = l, .weights_type = type };
    open_layer(r, &s, p->tokens[p->token_count - 1]);
    for (int i = 0; i < p->token_count && !bench_time_is_over(r); i++) {
        if (type == QMM_S4 && skips_s4(p->tokens[i])) continue;
        set_tokens(&s, p->tokens[i], QMM_F16);
        bench_rows(r, &s, type == QMM_S4 ? "s8 x s4, groups of 128, to f16" : "s8 x s8, row and column scales, to f16");
        if (type == QMM_S4) continue;
        set_tokens(&s, p->tokens[i], QMM_S32);
        if (library) bench_peers(r, &s, library);
    }
    close_layer(&s);
}

void bench_cuda_matmul(bench_rig *r) {
    const plan p = plan_of(r);
    char reason[256] = "it would look for a real device";
    bench_cublaslt *library = NULL;
    if (!r->simulated)
        library = bench_cublaslt_open(qmm_buffer_native(r->plug), qmm_buffer_bytes(r->plug), reason, sizeof reason);
    if (!library) printf("\nWithout cuBLASLt: %s.\n", reason);
    bench_table_head(r, "Matmul: packed weights, operands never in the L2 cache; * marks the row the library chooses");
    for (int i = 0; i < 2 * p.layer_count && !bench_time_is_over(r); i++)
        bench_layer(r, &p, &p.layers[i / 2], i % 2 ? QMM_S4 : QMM_S8, i % 2 ? NULL : library);
    bench_cublaslt_close(library);
}
