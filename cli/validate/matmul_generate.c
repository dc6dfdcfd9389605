/* SPDX-License-Identifier: Apache-2.0
 *
 * Cases of matmul, by number:
 *
 *     0 .. 1599      every M in 1..40 with every K in 1..40, N small
 *     1600 .. 1659   K = 1024, 1025, 1040, 1041, 2049, 4097 with ends of the range: sums no float holds
 *     1660 .. 1739   K at the bound of int32 and one above, for every pair of types, s32 and other outputs
 *     1740 ..        sizes around powers of two, everything else at random
 */
#include <math.h>

#include "matmul.h"
#include "oracle.h"

enum { GRID_END = 1600, SUMS_END = 1660, BOUND_END = 1740 };

static const qmm_type a_types[] = { QMM_S8, QMM_U8 };
static const qmm_type b_types[] = { QMM_S8, QMM_U8, QMM_S4, QMM_U4 };
static const qmm_type c_types[] = { QMM_S32, QMM_F32, QMM_F16, QMM_BF16, QMM_S8, QMM_U8, QMM_S16, QMM_U16 };

/* Types and options before there are tensors. */
typedef struct plan {
    qmm_type a, b, c;
    bool zeros;         /* there may be zero points */
    int64_t bound_step; /* -1: K is not at the bound; else K = bound + this */
} plan;

/* ---- sizes ------------------------------------------------------------------------------------------------------- */

static void random_sizes(validate_case *c) {
    validate_matmul *p = &c->as.matmul;
    validate_random *r = &c->random;
    const int64_t kind = validate_between(r, 0, 99);
    const int64_t budget = kind < 86 ? 20000 : kind < 98 ? 200000 : 2000000; /* products */
    p->batch = validate_one_in(r, 5) ? validate_between(r, 2, 3) : 1;
    do {
        p->m = validate_one_in(r, 5) ? 1 : validate_pick_size(r);
        p->n = validate_pick_size(r);
        p->k = validate_pick_size(r);
    } while (p->m * p->n * p->k * p->batch > budget);
}

static void sum_sizes(validate_case *c) {
    static const int64_t ks[] = { 1024, 1025, 1040, 1041, 2049, 4097 };
    validate_matmul *p = &c->as.matmul;
    p->batch = 1;
    p->m = validate_between(&c->random, 1, 5);
    p->n = validate_between(&c->random, 1, 9);
    p->k = ks[(c->index - GRID_END) % 6];
}

static int64_t reach(qmm_type type, bool has_zero) {
    int32_t qmin, qmax;
    validate_code_range(type, 0, &qmin, &qmax);
    return has_zero ? (int64_t)qmax - qmin : qmax > -qmin ? qmax : -(int64_t)qmin;
}

/* Every pair of types, without and with zero points, at the bound and above, s32 and not. */
static void bound_sizes(validate_case *c, plan *t) {
    validate_matmul *p = &c->as.matmul;
    const int64_t at = c->index - SUMS_END;
    t->a = a_types[at % 2];
    t->b = b_types[at / 2 % 4];
    t->bound_step = at / 8 % 2;
    t->c = at / 16 % 2 ? c_types[validate_between(&c->random, 1, 7)] : QMM_S32;
    t->zeros = at / 32 % 2 == 1;
    p->batch = 1;
    p->k = INT32_MAX / (reach(t->a, t->zeros) * reach(t->b, t->zeros)) + t->bound_step;
    p->m = p->k > 300000 ? 1 : validate_between(&c->random, 1, 2);
    p->n = p->k > 300000 ? 1 : validate_between(&c->random, 1, 3);
}

static void performance_sizes(validate_case *c, plan *t) {
    static const int64_t shapes[][3] = {
        { 256, 256, 256 }, { 1024, 1024, 1024 }, { 1, 4096, 4096 }, { 16, 4096, 4096 }
    };
    static const qmm_type outputs[] = { QMM_S32, QMM_F32, QMM_F32, QMM_F16 };
    validate_matmul *p = &c->as.matmul;
    p->batch = 1;
    p->m = shapes[c->performance_shape][0];
    p->n = shapes[c->performance_shape][1];
    p->k = shapes[c->performance_shape][2];
    *t = (plan){ QMM_S8, QMM_S8, outputs[c->performance_shape], false, -1 };
}

static plan choose_plan(validate_case *c) {
    validate_matmul *p = &c->as.matmul;
    validate_random *r = &c->random;
    plan t = { .bound_step = -1 };
    t.a = VALIDATE_PICK(r, a_types);
    t.b = VALIDATE_PICK(r, b_types);
    t.c = VALIDATE_PICK(r, c_types);
    t.zeros = validate_one_in(r, 2);
    if (c->performance_shape >= 0) {
        performance_sizes(c, &t);
    } else if (c->index < GRID_END) {
        p->batch = 1;
        p->m = 1 + c->index / 40;
        p->k = 1 + c->index % 40;
        p->n = validate_between(r, 1, 9);
    } else if (c->index < SUMS_END) {
        sum_sizes(c);
    } else if (c->index < BOUND_END) {
        bound_sizes(c, &t);
    } else {
        random_sizes(c);
    }
    return t;
}

/* ---- A and B ----------------------------------------------------------------------------------------------------- */

static int add_operand(validate_case *c, const char *name, qmm_type type, int64_t outer, int64_t k, bool k_is_row) {
    const int64_t batch = validate_one_in(&c->random, 2) ? 1 : c->as.matmul.batch;
    return validate_add_tensor(c, name, type, k_is_row ? outer : k, k_is_row ? k : outer, batch, VALIDATE_INPUT);
}

static void fill_operands(validate_case *c) {
    validate_matmul *p = &c->as.matmul;
    validate_random *r = &c->random;
    const bool ends = c->index >= GRID_END && c->index < BOUND_END;
    p->fill_a = p->fill_b = VALIDATE_UNIFORM;
    if (c->performance_shape < 0 && (ends || validate_one_in(r, 2))) {
        p->fill_a = (int)validate_between(r, ends ? VALIDATE_LOWEST : VALIDATE_UNIFORM,
                                          ends ? VALIDATE_HIGHEST : VALIDATE_MOSTLY_ZERO);
        p->fill_b = (int)validate_between(r, ends ? VALIDATE_LOWEST : VALIDATE_UNIFORM,
                                          ends ? VALIDATE_HIGHEST : VALIDATE_MOSTLY_ZERO);
    }
    if (p->fill_a != VALIDATE_UNIFORM || p->fill_b != VALIDATE_UNIFORM || p->k == 0) c->trivial = true;
    validate_fill_codes(c, MATMUL_A, (validate_fill)p->fill_a);
    validate_fill_codes(c, MATMUL_B, (validate_fill)p->fill_b);
}

/* One group size for both sides. */
static int64_t choose_group_size(validate_case *c) {
    static const int64_t sizes[] = { 1, 2, 3, 4, 5, 8, 16, 32, 64, 128 };
    const int64_t k = c->as.matmul.k;
    if (k == 0) return 1;
    for (int attempt = 0; attempt < 8; attempt++) {
        const int64_t size = VALIDATE_PICK(&c->random, sizes);
        if (k % size == 0) return size;
    }
    return k;
}

static void choose_operand_quant(validate_case *c, validate_quant *q, int tensor, bool k_is_row, bool zeros,
                                 bool grouped, int64_t group_size) {
    const validate_tensor *t = &c->tensors[tensor];
    const qmm_granularity along_outer = k_is_row ? QMM_PER_ROW : QMM_PER_COLUMN;
    const qmm_granularity along_k = k_is_row ? QMM_PER_ROW_GROUP : QMM_PER_COLUMN_GROUP;
    const validate_quant_choice choice = {
        .type = t->type,
        .rows = t->rows,
        .cols = t->cols,
        .batch = t->batch,
        .group_size = grouped ? group_size : 0,
        .granularities = grouped ? 1u << along_k : 1u << QMM_PER_TENSOR | 1u << along_outer,
        .scale = 0.02,
        .no_zero = !zeros,
        .scale_name = tensor == MATMUL_A ? "scale of a" : "scale of b",
        .zero_name = tensor == MATMUL_A ? "zero of a" : "zero of b",
    };
    if (validate_one_in(&c->random, 8)) return;
    validate_choose_quant(c, q, &choice);
}

/* The sums that quantize would have written with A, in one case of four. */
static void add_sums_of_a(validate_case *c, int64_t group_size) {
    validate_matmul *p = &c->as.matmul;
    const validate_tensor *a = &c->tensors[MATMUL_A], *sums;
    const int64_t groups = group_size ? p->k / group_size : 1, length = group_size ? group_size : p->k;
    if (!p->a.given || p->transpose_a || c->performance_shape >= 0 || !validate_one_in(&c->random, 4)) return;
    p->a.sums = validate_add_tensor(c, "sums of a", QMM_S32, p->m, groups, a->batch, VALIDATE_INPUT);
    a = &c->tensors[MATMUL_A], sums = &c->tensors[p->a.sums];
    if (sums->batch > 1 && sums->batch_stride == 0 && a->batch_stride != 0) { /* one matrix of sums for several of A */
        p->a.sums = -1;
        return;
    }
    for (int64_t b = 0; b < sums->batch; b++)
        for (int64_t i = 0; i < sums->rows; i++)
            for (int64_t g = 0; g < groups; g++) {
                double sum = 0.0;
                for (int64_t k = g * length; k < (g + 1) * length; k++) sum += validate_load(a, a->before, b, i, k);
                validate_store(sums, sums->before, b, i, g, sum);
            }
}

static void choose_operand_quants(validate_case *c, const plan *t) {
    validate_matmul *p = &c->as.matmul;
    const bool grouped = c->performance_shape < 0 && t->bound_step < 0 && validate_one_in(&c->random, 4);
    const int64_t group_size = grouped ? choose_group_size(c) : 0, which = validate_between(&c->random, 1, 3);
    choose_operand_quant(c, &p->a, MATMUL_A, !p->transpose_a, t->zeros, grouped && which & 1, group_size);
    choose_operand_quant(c, &p->b, MATMUL_B, p->transpose_b, t->zeros, grouped && which & 2, group_size);
    add_sums_of_a(c, p->a.group_size ? p->a.group_size : p->b.group_size);
}

/* ---- C, bias, residual ------------------------------------------------------------------------------------------- */

/* Root mean square and mean of code - zero, were all codes alike. */
static void spread_of(const validate_case *c, const validate_quant *q, int tensor, double *mean, double *deviation) {
    const validate_tensor *t = &c->tensors[tensor];
    int32_t qmin, qmax;
    validate_code_range(t->type, 0, &qmin, &qmax);
    *deviation = ((double)qmax - qmin) / 3.46;
    *mean = ((double)qmax + qmin) / 2.0 - (t->rows > 0 && t->cols > 0 ? oracle_zero(c, q, 0, 0, 0) : 0);
}

/* About the size of the accumulators, and of the values before the activation. */
static double typical_sum(const validate_case *c) {
    const validate_matmul *p = &c->as.matmul;
    double mean_a, mean_b, a, b;
    spread_of(c, &p->a, MATMUL_A, &mean_a, &a);
    spread_of(c, &p->b, MATMUL_B, &mean_b, &b);
    return 1.0 + (double)p->k * fabs(mean_a * mean_b) +
           sqrt((double)p->k) * (a * b + fabs(mean_a) * b + fabs(mean_b) * a);
}

static double typical_scale(const validate_quant *q) {
    return q->scale >= 0 ? 0.02 : (double)q->scale_value;
}

static void choose_bias(validate_case *c, qmm_type c_type) {
    validate_matmul *p = &c->as.matmul;
    validate_random *r = &c->random;
    const bool grouped = p->a.group_size || p->b.group_size;
    const bool real = c_type != QMM_S32 && (grouped || validate_one_in(r, 2));
    const bool turned = validate_one_in(r, 2), huge = validate_one_in(r, 8);
    const double size = typical_sum(c) * (real ? typical_scale(&p->a) * typical_scale(&p->b) : 1.0);
    const validate_tensor *t;
    p->bias = -1;
    if (validate_one_in(r, 2) || (c_type == QMM_S32 && grouped)) return;
    p->bias = validate_add_tensor(c, "bias", real ? QMM_F32 : QMM_S32, turned ? p->n : 1, turned ? 1 : p->n,
                                  validate_one_in(r, 2) ? 1 : p->batch, VALIDATE_INPUT);
    if (huge) c->trivial = true;
    t = &c->tensors[p->bias];
    for (int64_t b = 0; b < t->batch; b++)
        for (int64_t i = 0; i < t->rows; i++)
            for (int64_t j = 0; j < t->cols; j++)
                validate_store(t, t->before, b, i, j,
                               huge   ? (double)(validate_one_in(r, 2) ? INT32_MIN : INT32_MAX)
                               : real ? validate_normal(r) * size
                                      : rint(fmin(fmax(validate_normal(r) * size, -2e9), 2e9)));
}

/* The residual may be c itself, whose elements then hold it. */
static void choose_residual(validate_case *c) {
    static const qmm_type types[] = { QMM_F32, QMM_F16, QMM_BF16 };
    validate_matmul *p = &c->as.matmul;
    validate_random *r = &c->random;
    validate_real_fill fill = validate_one_in(r, 8) ? VALIDATE_SPECIALS : VALIDATE_NORMAL;
    p->residual = -1;
    if (c->tensors[MATMUL_C].type == QMM_S32 || !validate_one_in(r, 3)) return;
    p->residual_is_c = validate_is_real(c->tensors[MATMUL_C].type) && validate_one_in(r, 3);
    p->residual = p->residual_is_c ? MATMUL_C
                                   : validate_add_tensor(c, "residual", VALIDATE_PICK(r, types), p->m, p->n,
                                                         validate_one_in(r, 2) ? 1 : p->batch, VALIDATE_INPUT);
    if (fill == VALIDATE_SPECIALS) c->trivial = true;
    validate_fill_reals(c, p->residual, fill, NULL);
}

/* Outputs spread over about a third of the codes. */
static void choose_output_quant(validate_case *c, qmm_type type) {
    validate_matmul *p = &c->as.matmul;
    const double size = typical_sum(c) * typical_scale(&p->a) * typical_scale(&p->b);
    int32_t qmin, qmax;
    validate_quant_choice choice = {
        .type = type,
        .rows = p->m,
        .cols = p->n,
        .batch = p->batch,
        .granularities = VALIDATE_NO_GROUPS,
        .scale_name = "scale of c",
        .zero_name = "zero of c",
    };
    validate_no_quant(&p->c, type);
    if (type == QMM_S32 || validate_is_real(type)) return;
    validate_code_range(type, 0, &qmin, &qmax);
    choice.scale = size * 6.0 / ((double)qmax - qmin);
    if (validate_one_in(&c->random, 16)) {
        c->trivial = true;
        return;
    }
    validate_choose_quant(c, &p->c, &choice);
    /* A small signed sum in an unsigned type, or few bits: half of it may rightly be at an end. */
    if (p->c.qmax - p->c.qmin < 32 || p->k < 4) c->trivial = true;
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

static void choose_epilogue(validate_case *c, const plan *t) {
    validate_matmul *p = &c->as.matmul;
    p->activation = QMM_ACTIVATION_NONE;
    p->bias = p->residual = -1;
    choose_output_quant(c, t->c);
    if (c->performance_shape >= 0) return;
    choose_bias(c, t->c);
    choose_residual(c);
    if (t->c != QMM_S32 && validate_one_in(&c->random, 2))
        p->activation = (qmm_activation)validate_between(&c->random, QMM_ACTIVATION_RELU, QMM_ACTIVATION_SILU);
    if (p->activation != QMM_ACTIVATION_NONE) c->trivial = true; /* all of a row may be negative */
}

void matmul_generate(validate_case *c) {
    validate_matmul *p = &c->as.matmul;
    plan t;
    p->wrong_batch = p->wrong_row = p->wrong_col = -1;
    t = choose_plan(c);
    p->transpose_a = c->performance_shape < 0 && validate_one_in(&c->random, 2);
    p->transpose_b = c->performance_shape >= 0 || validate_one_in(&c->random, 2);
    p->workspace = validate_one_in(&c->random, 4);
    add_operand(c, "a", t.a, p->m, p->k, !p->transpose_a);
    add_operand(c, "b", t.b, p->n, p->k, p->transpose_b);
    validate_add_tensor(c, "c", t.c, p->m, p->n, p->batch, VALIDATE_OUTPUT);
    fill_operands(c);
    validate_no_quant(&p->a, t.a);
    validate_no_quant(&p->b, t.b);
    choose_operand_quants(c, &t);
    choose_epilogue(c, &t);
    if (c->performance_shape < 0 && c->tensors[MATMUL_A].batch == 1 && c->tensors[MATMUL_B].batch == 1 && p->k == 0)
        c->trivial = true;
    c->operations = 2.0 * (double)p->m * (double)p->n * (double)p->k * (double)p->batch;
    c->bytes_moved = (double)(c->tensors[MATMUL_A].bytes + c->tensors[MATMUL_B].bytes + c->tensors[MATMUL_C].bytes);
}
