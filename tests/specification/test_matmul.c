/* SPDX-License-Identifier: Apache-2.0
 *
 * qmm_matmul on every kernel row: vectors worked by hand, the order of the float operations seen in the bits, extremes
 * of operands and of K, all products in all lanes, packed weights, workspace, explain. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "specification.h"

static const qmm_type a_types[] = { QMM_S8, QMM_U8 };
static const qmm_type b_types[] = { QMM_S8, QMM_U8, QMM_S4, QMM_U4 };

/* A row that does not take a problem says so; the caller counts those that did. */
static bool multiply(spec *s, const qmm_matmul_desc *desc, const qmm_tensor *a, const qmm_tensor *b,
                     const qmm_tensor *c) {
    const qmm_status status = qmm_matmul(s->context, desc, a, b, c);
    if (status == QMM_UNSUPPORTED) return false;
    if (status != QMM_OK) fail_msg("qmm_matmul: %s", qmm_context_error(s->context));
    return true;
}

static qmm_quant per(qmm_granularity granularity, int64_t group, const qmm_tensor *scale, const qmm_tensor *zero) {
    qmm_quant q = QMM_QUANT_INIT;
    q.granularity = granularity;
    q.group_size = group;
    q.scale = scale;
    q.zero = zero;
    return q;
}

/* ---- by hand ----------------------------------------------------------------------------------------------------- */

static void test_zero_points_by_hand(void **state) {
    spec *s = *state;
    int ran = 0;
    const int32_t a[] = { 1, 2, 3, 4, 5, 6 }, b[] = { 7, 8, 9, 10, 11, 12 }; /* 2 x 3 and 3 x 2 */
    const int32_t za[] = { 1, -1 }, zb[] = { 2, -2 };
    /* plain: rows 7+18+33, 8+20+36 / 28+45+66, 32+50+72 */
    const int32_t plain[] = { 58, 64, 139, 154 };
    /* A - za: 0 1 2 / 5 6 7; B - zb: 5 7 9 in the first column, 10 12 14 in the second */
    const int32_t zeros[] = { 0 + 7 + 18, 0 + 12 + 28, 25 + 42 + 63, 50 + 72 + 98 };
    FOR_EACH_MATMUL_ROW(s) {
        const qmm_tensor ta = spec_codes(s, QMM_S8, 2, 3, a), tb = spec_codes(s, QMM_S8, 3, 2, b);
        const qmm_tensor tza = spec_codes(s, QMM_S32, 2, 1, za), tzb = spec_codes(s, QMM_S8, 1, 2, zb);
        const float ones[] = { 1.0f, 1.0f };
        const qmm_tensor one = spec_reals(s, QMM_F32, 1, 2, ones), c = spec_tensor(s, QMM_S32, 2, 2, 1);
        const qmm_quant qa = per(QMM_PER_ROW, 0, &one, &tza), qb = per(QMM_PER_COLUMN, 0, &one, &tzb);
        qmm_matmul_desc desc = QMM_MATMUL_DESC_INIT;
        ran += multiply(s, NULL, &ta, &tb, &c);
        spec_expect_codes(s, "plain", &c, plain);
        desc.quant_a = &qa;
        desc.quant_b = &qb;
        multiply(s, &desc, &ta, &tb, &c);
        spec_expect_codes(s, "zero points by row and column", &c, zeros);
        { /* transposed: A stored 3 x 2, B stored 2 x 3; the parameters turn with them */
            const int32_t at[] = { 1, 4, 2, 5, 3, 6 }, bt[] = { 7, 9, 11, 8, 10, 12 };
            const qmm_tensor tat = spec_codes(s, QMM_S8, 3, 2, at), tbt = spec_codes(s, QMM_S8, 2, 3, bt);
            const qmm_quant qat = per(QMM_PER_COLUMN, 0, &one, &tza), qbt = per(QMM_PER_ROW, 0, &one, &tzb);
            desc.transpose_a = desc.transpose_b = 1;
            desc.quant_a = &qat;
            desc.quant_b = &qbt;
            multiply(s, &desc, &tat, &tbt, &c);
            spec_expect_codes(s, "transposed", &c, zeros);
        }
        spec_clear(s);
    }
    assert_true(ran >= 1);
}

/* ---- scales: the order of operations, in the bits ---------------------------------------------------------------- */

enum { M = 7, N = 9, K = 24 };

typedef struct problem {
    int32_t a[M * K], b[K * N], za[M * K], zb[K * N];
    float sa[M * K], sb[K * N], bias[N], residual[M * N];
    int64_t group; /* along K; K where there is none */
    bool a_grouped, b_grouped;
} problem;

static void draw(problem *p, uint64_t seed, int64_t group, bool a_grouped, bool b_grouped) {
    for (int n = 0; n < M * K; n++) {
        p->a[n] = spec_between(&seed, -128, 127);
        p->za[n] = spec_between(&seed, -128, 127);
        p->sa[n] = (float)(0.001 + spec_uniform(&seed));
    }
    for (int n = 0; n < K * N; n++) {
        p->b[n] = spec_between(&seed, -128, 127);
        p->zb[n] = spec_between(&seed, -128, 127);
        p->sb[n] = (float)(0.001 + spec_uniform(&seed));
    }
    for (int n = 0; n < N; n++) p->bias[n] = (float)(1000.0 * spec_normal(&seed));
    for (int n = 0; n < M * N; n++) p->residual[n] = (float)(1000.0 * spec_normal(&seed));
    p->group = group;
    p->a_grouped = a_grouped;
    p->b_grouped = b_grouped;
}

/* The ways to be wrong that the bits must tell from the contract's. */
typedef enum order {
    CONTRACT,
    A_FIRST,
    PRODUCT_FIRST,
    FUSED_BIAS,
    FUSED_GROUPS,
    GROUPS_BACKWARDS,
    ONE_SUM,
    ORDERS
} order;

/* Parameters are stored [outer][group], group 0 alone where they do not vary along K. */
static float reference(const problem *p, int i, int j, order how, bool with_bias, bool with_residual) {
    const int64_t groups = K / p->group;
    volatile float y = 0.0f, term;
    double all = 0.0;
    for (int64_t n = 0; n < groups; n++) {
        const int64_t g = how == GROUPS_BACKWARDS ? groups - 1 - n : n;
        const float sa = p->sa[i * groups + g], sb = p->sb[j * groups + g];
        const int32_t za = p->za[i * (p->a_grouped ? groups : 1) + (p->a_grouped ? g : 0)];
        const int32_t zb = p->zb[j * (p->b_grouped ? groups : 1) + (p->b_grouped ? g : 0)];
        int64_t acc = 0;
        for (int64_t k = g * p->group; k < (g + 1) * p->group; k++)
            acc += (int64_t)(p->a[i * K + k] - za) * (p->b[k * N + j] - zb);
        term = (float)acc;
        if (how == A_FIRST) {
            if (p->a_grouped) term = term * sa;
            if (p->b_grouped) term = term * sb;
        } else if (how == PRODUCT_FIRST && p->a_grouped && p->b_grouped) {
            volatile float product = sa * sb;
            term = term * product;
        } else {
            if (p->b_grouped) term = term * sb;
            if (how == FUSED_GROUPS && p->a_grouped) {
                y = fmaf(term, sa, y);
                continue;
            }
            if (p->a_grouped) term = term * sa;
        }
        all += (double)term;
        y = y + term;
    }
    if (how == ONE_SUM) y = (float)all;
    if (!p->a_grouped && !p->b_grouped && how == PRODUCT_FIRST) {
        volatile float product = p->sa[i * groups] * p->sb[j * groups];
        y = y * product;
    } else if (how == A_FIRST) {
        if (!p->a_grouped) y = y * p->sa[i * groups];
        if (!p->b_grouped) y = y * p->sb[j * groups];
    } else {
        if (!p->b_grouped) y = y * p->sb[j * groups];
        if (!p->a_grouped && how == FUSED_BIAS && with_bias) {
            y = fmaf(y, p->sa[i * groups], p->bias[j]);
            with_bias = false;
        } else if (!p->a_grouped) {
            y = y * p->sa[i * groups];
        }
    }
    if (with_bias) y = y + p->bias[j];
    if (with_residual) y = y + p->residual[i * N + j];
    return y;
}

/* Parameters of B stored K x N: groups x N. */
static void transpose(const float *from, float *to, int64_t rows, int64_t cols) {
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < cols; c++) to[c * rows + r] = from[r * cols + c];
}

static void transpose_codes(const int32_t *from, int32_t *to, int64_t rows, int64_t cols) {
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < cols; c++) to[c * rows + r] = from[r * cols + c];
}

static void check_orders(spec *s, const problem *p, bool with_bias, bool with_residual, int *separated) {
    const int64_t groups = K / p->group, a_groups = p->a_grouped ? groups : 1, b_groups = p->b_grouped ? groups : 1;
    float sa[M * K], sb[K * N], sb_turned[K * N], expected[M * N];
    int32_t zb_turned[K * N];
    qmm_tensor a, b, c, scale_a, scale_b, zero_a, zero_b, bias, residual;
    qmm_quant qa, qb;
    qmm_matmul_desc desc = QMM_MATMUL_DESC_INIT;
    for (int i = 0; i < M; i++)
        for (int64_t g = 0; g < a_groups; g++) sa[i * a_groups + g] = p->sa[i * groups + g];
    for (int j = 0; j < N; j++)
        for (int64_t g = 0; g < b_groups; g++) sb[j * b_groups + g] = p->sb[j * groups + g];
    transpose(sb, sb_turned, N, b_groups);
    transpose_codes(p->zb, zb_turned, N, b_groups);
    for (int n = 0; n < M * N; n++) {
        expected[n] = reference(p, n / N, n % N, CONTRACT, with_bias, with_residual);
        for (int how = 0; how < ORDERS; how++)
            separated[how] += reference(p, n / N, n % N, (order)how, with_bias, with_residual) != expected[n];
    }
    a = spec_codes(s, QMM_S8, M, K, p->a);
    b = spec_codes(s, QMM_S8, K, N, p->b);
    c = spec_tensor(s, QMM_F32, M, N, 1);
    scale_a = spec_reals(s, QMM_F32, M, a_groups, sa);
    scale_b = spec_reals(s, QMM_F32, b_groups, N, sb_turned);
    zero_a = spec_codes(s, QMM_S32, M, a_groups, p->za);
    zero_b = spec_codes(s, QMM_S32, b_groups, N, zb_turned);
    bias = spec_reals(s, QMM_F32, 1, N, p->bias);
    residual = spec_reals(s, QMM_F32, M, N, p->residual);
    qa = per(p->a_grouped ? QMM_PER_ROW_GROUP : QMM_PER_ROW, p->a_grouped ? p->group : 0, &scale_a, &zero_a);
    qb = per(p->b_grouped ? QMM_PER_COLUMN_GROUP : QMM_PER_COLUMN, p->b_grouped ? p->group : 0, &scale_b, &zero_b);
    desc.quant_a = &qa;
    desc.quant_b = &qb;
    desc.bias = with_bias ? &bias : NULL;
    desc.residual = with_residual ? &residual : NULL;
    multiply(s, &desc, &a, &b, &c);
    spec_expect_reals(s, "order of operations", &c, expected);
    { /* B stored N x K: its parameters lie by row */
        int32_t turned[K * N];
        transpose_codes(p->b, turned, K, N);
        b = spec_codes(s, QMM_S8, N, K, turned);
        scale_b = spec_reals(s, QMM_F32, N, b_groups, sb);
        zero_b = spec_codes(s, QMM_S32, N, b_groups, p->zb);
        qb.granularity = p->b_grouped ? QMM_PER_ROW_GROUP : QMM_PER_ROW;
        desc.transpose_b = 1;
        spec_poison(s, &c);
        multiply(s, &desc, &a, &b, &c);
        spec_expect_reals(s, "order of operations, B transposed", &c, expected);
    }
    spec_clear(s);
}

static void test_order_of_operations(void **state) {
    spec *s = *state;
    int separated[ORDERS] = { 0 };
    FOR_EACH_MATMUL_ROW(s) {
        problem p;
        for (uint64_t seed = 0; seed < 20; seed++) {
            draw(&p, seed, K, false, false);
            check_orders(s, &p, false, false, separated);
            check_orders(s, &p, true, true, separated);
            for (int64_t group = 1; group <= 12; group++) { /* odd sizes too */
                if (K % group != 0) continue;
                draw(&p, seed + 100, group, true, true);
                check_orders(s, &p, seed % 2 == 0, seed % 3 == 0, separated);
                draw(&p, seed + 200, group, false, true);
                check_orders(s, &p, seed % 2 == 0, false, separated);
                draw(&p, seed + 300, group, true, false);
                check_orders(s, &p, false, seed % 2 == 0, separated);
            }
        }
    }
    assert_int_equal(separated[CONTRACT], 0);
    for (int how = 1; how < ORDERS; how++)
        if (separated[how] < 1000) fail_msg("wrong order %d would have been seen only %d times", how, separated[how]);
}

/* One element, in literals. 3 * fl(1/3) rounds to 1, but 0.1 * fl(1/3) * 3 does not come out as 0.1 in every order. */
static void test_order_by_hand(void **state) {
    spec *s = *state;
    FOR_EACH_MATMUL_ROW(s) {
        const int32_t code_a[] = { 127 }, code_b[] = { 127 }; /* acc = 16129 */
        const float sa = 0.1f, sb = 0.7f, bias = -1129.03f;
        const qmm_tensor a = spec_codes(s, QMM_S8, 1, 1, code_a), b = spec_codes(s, QMM_S8, 1, 1, code_b);
        const qmm_tensor c = spec_tensor(s, QMM_F32, 1, 1, 1), t = spec_reals(s, QMM_F32, 1, 1, &bias);
        qmm_quant qa = QMM_QUANT_INIT, qb = QMM_QUANT_INIT;
        qmm_matmul_desc desc = QMM_MATMUL_DESC_INIT;
        /* In exact terms: 0.7f = 11744051 * 2^-24, 0.1f = 13421773 * 2^-27. */
        const double first = (double)(float)(16129.0 * (11744051.0 * 0x1p-24));
        const float second = (float)(first * (13421773.0 * 0x1p-27));
        const float expected = (float)((double)second + (double)bias);
        if (expected == (float)(first * (13421773.0 * 0x1p-27) + (double)bias)) fail_msg("FMA is not told apart");
        qa.scale_value = sa;
        qb.scale_value = sb;
        desc.quant_a = &qa;
        desc.quant_b = &qb;
        desc.bias = &t;
        if (multiply(s, &desc, &a, &b, &c)) spec_expect_reals(s, "one element", &c, &expected);
        spec_clear(s);
    }
}

/* ---- bias, residual, activation, codes --------------------------------------------------------------------------- */

static void test_bias(void **state) {
    spec *s = *state;
    FOR_EACH_MATMUL_ROW(s) {
        const int32_t code_a[] = { 100, 1 }, code_b[] = { 100, -100, 1, 0, 1, 7 };
        /* acc = 100 b0 + b1 = { 10000, -9999, 107 }: b is 2 x 3 */
        const int32_t bias[] = { INT32_MAX, INT32_MIN, -107 };
        const int32_t saturated[] = { INT32_MAX, INT32_MIN, 0 };
        const float wide[] = { 2147493647.0f, -2147493647.0f, 0.0f }; /* in 64 bits: 2^31 - 1 + 10000, -2^31 - 9999 */
        const qmm_tensor a = spec_codes(s, QMM_S8, 1, 2, code_a), b = spec_codes(s, QMM_S8, 2, 3, code_b);
        const qmm_tensor row = spec_codes(s, QMM_S32, 1, 3, bias), column = spec_codes(s, QMM_S32, 3, 1, bias);
        const qmm_tensor c = spec_tensor(s, QMM_S32, 1, 3, 1), y = spec_tensor(s, QMM_F32, 1, 3, 1);
        qmm_matmul_desc desc = QMM_MATMUL_DESC_INIT;
        desc.bias = &row;
        if (!multiply(s, &desc, &a, &b, &c)) continue;
        spec_expect_codes(s, "s32 bias saturates", &c, saturated);
        multiply(s, &desc, &a, &b, &y);
        spec_expect_reals(s, "s32 bias before the float", &y, wide);
        desc.bias = &column;
        spec_poison(s, &c);
        multiply(s, &desc, &a, &b, &c);
        spec_expect_codes(s, "s32 bias as a column", &c, saturated);
        { /* added before the conversion: 10000 + 16777217 - 10001 */
            const int32_t exact_bias[] = { 16777217, 16777217, 16777217 };
            const float exact[] = { 16787217.0f, 16767218.0f, 16777324.0f };
            const qmm_tensor t = spec_codes(s, QMM_S32, 1, 3, exact_bias);
            desc.bias = &t;
            multiply(s, &desc, &a, &b, &y);
            spec_expect_reals(s, "s32 bias, one rounding", &y, exact);
        }
        { /* f32 bias comes after the scales; a bias per matrix of the batch; a strided column */
            const float real_bias[] = { 0.5f, 9.0f, -1.0f, 9.0f, 3.0f, 9.0f };
            const float after[] = { 5000.5f, -5000.5f, 56.5f }; /* acc / 2 + bias */
            qmm_tensor t = spec_reals(s, QMM_F32, 3, 2, real_bias);
            qmm_quant half = QMM_QUANT_INIT;
            half.scale_value = 0.5f;
            t.cols = 1;
            desc.bias = &t;
            desc.quant_b = &half;
            multiply(s, &desc, &a, &b, &y);
            spec_expect_reals(s, "f32 bias after the scale", &y, after);
        }
        spec_clear(s);
        {
            const int32_t a2[] = { 1, 2 }, b2[] = { 10 };
            const float bias2[] = { 0.25f, 0.75f }, expected[] = { 10.25f, 20.75f };
            qmm_tensor ta = spec_tensor(s, QMM_U8, 1, 1, 2), tc = spec_tensor(s, QMM_F32, 1, 1, 2);
            const qmm_tensor tb = spec_codes(s, QMM_U8, 1, 1, b2);
            qmm_tensor bias_t = spec_tensor(s, QMM_F32, 1, 1, 2);
            qmm_matmul_desc d = QMM_MATMUL_DESC_INIT;
            spec_write_codes(s, &ta, a2);
            spec_write_reals(s, &bias_t, bias2);
            d.bias = &bias_t;
            multiply(s, &d, &ta, &tb, &tc);
            spec_expect_reals(s, "a bias per matrix", &tc, expected);
        }
        spec_clear(s);
    }
}

static void test_residual(void **state) {
    spec *s = *state;
    const qmm_type types[] = { QMM_F32, QMM_F16, QMM_BF16 };
    FOR_EACH_MATMUL_ROW(s) {
        for (int r = 0; r < 3; r++) {
            for (int o = 0; o < 3; o++) {
                const int32_t code_a[] = { 3, -7 }, code_b[] = { 5, 9, 100 }; /* 15 27 300 / -35 -63 -700 */
                const float plus[] = { 0.5f, -27.0f, 0.375f, 35.0f, 1.0f, 1000.0f };
                float expected[6];
                const qmm_tensor a = spec_codes(s, QMM_S8, 2, 1, code_a), b = spec_codes(s, QMM_S8, 1, 3, code_b);
                const qmm_tensor residual = spec_reals(s, types[r], 2, 3, plus), c = spec_tensor(s, types[o], 2, 3, 1);
                qmm_matmul_desc desc = QMM_MATMUL_DESC_INIT;
                for (int n = 0; n < 6; n++)
                    expected[n] = spec_round(types[o], code_a[n / 3] * code_b[n % 3] + (double)plus[n]);
                desc.residual = &residual;
                multiply(s, &desc, &a, &b, &c);
                spec_expect_reals(s, "residual", &c, expected);
                if (r == o) {
                    multiply(s, &desc, &a, &b, &residual); /* in place */
                    spec_expect_reals(s, "residual in place", &residual, expected);
                }
                spec_clear(s);
            }
        }
        { /* the sum rounds once: 2049 in f16 is a tie of the sum, not of its parts */
            const int32_t code_a[] = { 64 }, code_b[] = { 32 };
            const float plus = 1.0f, tie = 2048.0f;
            const qmm_tensor a = spec_codes(s, QMM_S8, 1, 1, code_a), b = spec_codes(s, QMM_S8, 1, 1, code_b);
            const qmm_tensor residual = spec_reals(s, QMM_F16, 1, 1, &plus), c = spec_tensor(s, QMM_F16, 1, 1, 1);
            qmm_matmul_desc desc = QMM_MATMUL_DESC_INIT;
            desc.residual = &residual;
            multiply(s, &desc, &a, &b, &c);
            spec_expect_reals(s, "f16 tie", &c, &tie);
            spec_clear(s);
        }
        { /* one residual for a batch of two */
            const int32_t code_a[] = { 1, 2 }, code_b[] = { 10 };
            const float plus = 0.5f, expected[] = { 10.5f, 20.5f };
            const qmm_tensor a = spec_tensor(s, QMM_S8, 1, 1, 2), b = spec_codes(s, QMM_S8, 1, 1, code_b);
            const qmm_tensor residual = spec_reals(s, QMM_F32, 1, 1, &plus), c = spec_tensor(s, QMM_F32, 1, 1, 2);
            qmm_matmul_desc desc = QMM_MATMUL_DESC_INIT;
            spec_write_codes(s, &a, code_a);
            desc.residual = &residual;
            multiply(s, &desc, &a, &b, &c);
            spec_expect_reals(s, "residual for a batch", &c, expected);
            spec_clear(s);
        }
    }
}

static double exact_activation(qmm_activation activation, double x) {
    switch (activation) {
    case QMM_ACTIVATION_NONE: return x;
    case QMM_ACTIVATION_RELU: return x > 0.0 ? x : 0.0;
    case QMM_ACTIVATION_GELU: return x * 0.5 * erfc(-x / sqrt(2.0));
    case QMM_ACTIVATION_GELU_TANH: {
        const double w = 2.0 * sqrt(2.0 / 3.14159265358979323846) * (x + 0.044715 * x * x * x);
        return x / (1.0 + exp(-w));
    }
    case QMM_ACTIVATION_SILU: return x / (1.0 + exp(-x));
    }
    return NAN;
}

/* 1 x 1 times 1 x N, the bias being x: y = 0 * scale + x. */
static void test_activations(void **state) {
    spec *s = *state;
    enum { COUNT = 4001 };
    static float x[COUNT], y[COUNT];
    FOR_EACH_MATMUL_ROW(s) {
        for (int f = QMM_ACTIVATION_NONE; f <= QMM_ACTIVATION_SILU; f++) {
            const qmm_tensor a = spec_tensor(s, QMM_S8, 1, 1, 1), b = spec_tensor(s, QMM_S8, 1, COUNT, 1);
            const qmm_tensor c = spec_tensor(s, QMM_F32, 1, COUNT, 1), bias = spec_tensor(s, QMM_F32, 1, COUNT, 1);
            const int32_t zero = 0;
            qmm_matmul_desc desc = QMM_MATMUL_DESC_INIT;
            spec_write_codes(s, &a, &zero);
            for (int n = 0; n < COUNT; n++) x[n] = (float)(n - COUNT / 2) / 100.0f; /* -20 .. 20 */
            x[0] = NAN, x[1] = INFINITY, x[2] = -INFINITY, x[3] = FLT_MAX, x[4] = -FLT_MAX, x[5] = 0x1p-140f;
            spec_write_reals(s, &bias, x);
            desc.bias = &bias;
            desc.activation = (qmm_activation)f;
            multiply(s, &desc, &a, &b, &c);
            spec_read_reals(s, &c, y);
            assert_true(isnan(y[0]));
            spec_expect_bits("of infinity", 1, y[1], INFINITY);
            spec_expect_near("of -infinity", (double)y[2], f == QMM_ACTIVATION_NONE ? -(double)INFINITY : 0.0, 0.0);
            spec_expect_bits("of FLT_MAX", 3, y[3], FLT_MAX);
            spec_expect_near("of -FLT_MAX", (double)y[4], f == QMM_ACTIVATION_NONE ? -(double)FLT_MAX : 0.0, 0.0);
            for (int n = 6; n < COUNT; n++) {
                const double exact = exact_activation((qmm_activation)f, (double)x[n]);
                int exponent;
                (void)frexp(exact, &exponent);
                /* three units in the last place; none where nothing is computed */
                spec_expect_near("activation", (double)y[n], exact,
                                 f <= QMM_ACTIVATION_RELU ? 0.0 : fmax(ldexp(3.0, exponent - 24), 0x1p-149));
            }
            spec_clear(s);
        }
    }
}

static void test_code_outputs(void **state) {
    spec *s = *state;
    const qmm_type types[] = { QMM_S8, QMM_U8, QMM_S16, QMM_U16 };
    FOR_EACH_MATMUL_ROW(s) {
        for (int t = 0; t < 4; t++) {
            for (int way = 0; way < 3; way++) {
                for (int narrow = 0; narrow < 2; narrow++) {
                    enum { ROWS = 5, COLS = 6 };
                    int32_t code_a[ROWS * 4], code_b[4 * COLS], zeros[COLS], expected[ROWS * COLS], qmin, qmax;
                    float scales[COLS];
                    uint64_t random = (uint64_t)(t * 10 + way);
                    const int bits = narrow ? (t < 2 ? 5 : 11) : 0;
                    const int64_t count = way == 0 ? 1 : way == 1 ? ROWS : COLS;
                    qmm_tensor a, b, c, scale, zero;
                    qmm_quant qc, qb = QMM_QUANT_INIT;
                    qmm_matmul_desc desc = QMM_MATMUL_DESC_INIT;
                    spec_range(types[t], bits, &qmin, &qmax);
                    for (int n = 0; n < ROWS * 4; n++) code_a[n] = spec_between(&random, -128, 127);
                    for (int n = 0; n < 4 * COLS; n++) code_b[n] = spec_between(&random, -128, 127);
                    for (int n = 0; n < COLS; n++) {
                        scales[n] = (float)(0.1 + 40.0 * spec_uniform(&random));
                        zeros[n] = spec_between(&random, qmin, qmax);
                    }
                    for (int n = 0; n < ROWS * COLS; n++) {
                        const int i = n / COLS, j = n % COLS, at = way == 0 ? 0 : way == 1 ? i : j;
                        int32_t acc = 0;
                        for (int k = 0; k < 4; k++) acc += code_a[i * 4 + k] * code_b[k * COLS + j];
                        expected[n] = spec_quantize((float)acc * 0.3f, scales[at], zeros[at], qmin, qmax);
                    }
                    a = spec_codes(s, QMM_S8, ROWS, 4, code_a);
                    b = spec_codes(s, QMM_S8, 4, COLS, code_b);
                    c = spec_tensor(s, types[t], ROWS, COLS, 1);
                    scale = spec_reals(s, QMM_F32, way == 1 ? count : 1, way == 1 ? 1 : count, scales);
                    zero = spec_codes(s, QMM_S32, way == 1 ? count : 1, way == 1 ? 1 : count, zeros);
                    qc = per(way == 0 ? QMM_PER_TENSOR : way == 1 ? QMM_PER_ROW : QMM_PER_COLUMN, 0, &scale, &zero);
                    qc.bits = bits;
                    qb.scale_value = 0.3f;
                    desc.quant_b = &qb;
                    desc.quant_c = &qc;
                    multiply(s, &desc, &a, &b, &c);
                    spec_expect_codes(s, "requantized", &c, expected);
                    spec_clear(s);
                }
            }
        }
        { /* by hand: 6 / 4 and 10 / 4 are ties; plus 3, an odd zero point */
            const int32_t code_a[] = { 2 }, code_b[] = { 3, 5, 127, -128 }, expected[] = { 5, 5, 67, -61 };
            const qmm_tensor a = spec_codes(s, QMM_S8, 1, 1, code_a), b = spec_codes(s, QMM_S8, 1, 4, code_b);
            const qmm_tensor c = spec_tensor(s, QMM_S8, 1, 4, 1);
            qmm_quant qc = QMM_QUANT_INIT;
            qmm_matmul_desc desc = QMM_MATMUL_DESC_INIT;
            qc.scale_value = 4.0f;
            qc.zero_value = 3;
            desc.quant_c = &qc;
            multiply(s, &desc, &a, &b, &c);
            spec_expect_codes(s, "ties", &c, expected); /* 254/4 = 63.5 -> 64; -256/4 = -64 */
            spec_clear(s);
        }
    }
}

/* The whole chain on one element: each step changes the bits of the next. */
static void test_whole_epilogue(void **state) {
    spec *s = *state;
    FOR_EACH_MATMUL_ROW(s) {
        const int32_t code_a[] = { 77 }, code_b[] = { -91 }, expected[] = { 33 };
        const float bias = 0.3f, plus = 76.0f;
        /* 77 * -91 = -7007; * 0.02 = -140.14; * 0.5 = -70.07; + 0.3 = -69.77; + 76 = 6.23; relu;
         * / 0.25 = 24.92 -> 25; + 8 */
        const qmm_tensor a = spec_codes(s, QMM_S8, 1, 1, code_a), b = spec_codes(s, QMM_S8, 1, 1, code_b);
        const qmm_tensor t = spec_reals(s, QMM_F32, 1, 1, &bias), r = spec_reals(s, QMM_BF16, 1, 1, &plus);
        const qmm_tensor c = spec_tensor(s, QMM_U8, 1, 1, 1);
        qmm_quant qa = QMM_QUANT_INIT, qb = QMM_QUANT_INIT, qc = QMM_QUANT_INIT;
        qmm_matmul_desc desc = QMM_MATMUL_DESC_INIT;
        qa.scale_value = 0.5f, qb.scale_value = 0.02f, qc.scale_value = 0.25f, qc.zero_value = 8;
        desc.quant_a = &qa, desc.quant_b = &qb, desc.quant_c = &qc;
        desc.bias = &t, desc.residual = &r, desc.activation = QMM_ACTIVATION_RELU;
        multiply(s, &desc, &a, &b, &c);
        spec_expect_codes(s, "the whole epilogue", &c, expected);
        spec_clear(s);
    }
}

/* K = 0: the epilogue of 0. */
static void test_k_zero(void **state) {
    spec *s = *state;
    int ran = 0;
    FOR_EACH_ROW(s, "matmul") {
        const qmm_tensor a = spec_tensor(s, QMM_S8, 2, 0, 1), b = spec_tensor(s, QMM_S8, 0, 3, 1);
        const qmm_tensor c = spec_tensor(s, QMM_S32, 2, 3, 1), y = spec_tensor(s, QMM_F16, 2, 3, 1);
        const qmm_tensor q = spec_tensor(s, QMM_U8, 2, 3, 1);
        const int32_t zeros[6] = { 0 }, bias[] = { 5, -6, 7 }, biased[] = { 5, -6, 7, 5, -6, 7 };
        const float real_bias[] = { 0.5f, -0.5f, 2.0f }, real[] = { 0.5f, 0.0f, 2.0f, 0.5f, 0.0f, 2.0f };
        const int32_t codes[] = { 9, 7, 12, 9, 7, 12 }; /* bias / 0.5 = 1 -1 4, plus 8 */
        const qmm_tensor tb = spec_codes(s, QMM_S32, 1, 3, bias), tr = spec_reals(s, QMM_F32, 1, 3, real_bias);
        qmm_quant qc = QMM_QUANT_INIT;
        qmm_matmul_desc desc = QMM_MATMUL_DESC_INIT;
        if (!multiply(s, NULL, &a, &b, &c)) {
            spec_clear(s);
            continue;
        }
        ran++;
        spec_expect_codes(s, "K = 0", &c, zeros);
        desc.bias = &tb;
        multiply(s, &desc, &a, &b, &c);
        spec_expect_codes(s, "K = 0 with a bias", &c, biased);
        desc.bias = &tr;
        desc.activation = QMM_ACTIVATION_RELU;
        multiply(s, &desc, &a, &b, &y);
        spec_expect_reals(s, "K = 0 with an epilogue", &y, real);
        desc.activation = QMM_ACTIVATION_NONE;
        qc.scale_value = 0.5f;
        qc.zero_value = 8;
        desc.quant_c = &qc;
        multiply(s, &desc, &a, &b, &q);
        spec_expect_codes(s, "K = 0 to codes", &q, codes);
        spec_clear(s);
    }
    assert_true(ran >= 1);
}

static void test_empty(void **state) {
    spec *s = *state;
    for (int empty = 1; empty < 8; empty++) {
        const int64_t m = empty & 1 ? 0 : 2, n = empty & 2 ? 0 : 3, k = empty & 4 ? 0 : 4;
        const qmm_tensor a = spec_tensor(s, QMM_S8, m, k, 1), b = spec_tensor(s, QMM_S8, k, n, 1);
        const qmm_tensor c = spec_tensor(s, QMM_F32, m, n, 1);
        const float zeros[6] = { 0.0f };
        spec_ok(s, qmm_matmul(s->context, NULL, &a, &b, &c));
        spec_expect_reals(s, "empty", &c, zeros);
        spec_count(1);
        spec_clear(s);
    }
}

/* ---- extremes ---------------------------------------------------------------------------------------------------- */

static int64_t dot(const int32_t *a, const int32_t *b, int64_t k, int64_t n, int64_t i, int64_t j) {
    int64_t sum = 0;
    for (int64_t x = 0; x < k; x++) sum += (int64_t)a[i * k + x] * b[x * n + j];
    return sum;
}

/* T3: all lowest, all highest, lowest by highest, alternating, one non-zero, one-hot; shapes with tails everywhere. */
static void test_extremes(void **state) {
    spec *s = *state;
    static const int64_t shapes[][3] = { { 1, 1, 1 },    { 3, 5, 7 },    { 16, 16, 64 }, { 17, 33, 65 },
                                         { 1, 64, 257 }, { 33, 1, 129 }, { 5, 130, 31 } };
    static int32_t a[17 * 260 * 40], b[260 * 140], expected[40 * 140];
    FOR_EACH_MATMUL_ROW(s) {
        for (size_t shape = 0; shape < sizeof shapes / sizeof shapes[0]; shape++) {
            const int64_t m = shapes[shape][0], n = shapes[shape][1], k = shapes[shape][2];
            for (int pair = 0; pair < 8; pair++) {
                for (int fill = 0; fill < 7; fill++) {
                    int32_t a_low, a_high, b_low, b_high;
                    qmm_tensor ta, tb, tc;
                    spec_range(a_types[pair / 4], 0, &a_low, &a_high);
                    spec_range(b_types[pair % 4], 0, &b_low, &b_high);
                    for (int64_t x = 0; x < m * k; x++) {
                        const int64_t i = x / k, at = x % k;
                        const int32_t values[] = { a_low,
                                                   a_high,
                                                   a_low,
                                                   at % 2 ? a_low : a_high,
                                                   x == m * k / 2 ? a_low : 0,
                                                   at == i % k ? 1 : 0,
                                                   at % 3 ? a_high : a_low };
                        a[x] = values[fill];
                    }
                    for (int64_t x = 0; x < k * n; x++) {
                        const int64_t at = x / n;
                        const int32_t values[] = { b_low,
                                                   b_high,
                                                   b_high,
                                                   at % 2 ? b_high : b_low,
                                                   b_low,
                                                   (int32_t)(b_low + x % (b_high - b_low + 1)),
                                                   at % 5 ? b_low : b_high };
                        b[x] = values[fill];
                    }
                    for (int64_t x = 0; x < m * n; x++) expected[x] = (int32_t)dot(a, b, k, n, x / n, x % n);
                    ta = spec_codes(s, a_types[pair / 4], m, k, a);
                    tb = spec_codes(s, b_types[pair % 4], k, n, b);
                    tc = spec_tensor(s, QMM_S32, m, n, 1);
                    multiply(s, NULL, &ta, &tb, &tc);
                    spec_expect_codes(s, "extremes", &tc, expected);
                    spec_clear(s);
                }
            }
        }
    }
}

/* T4: every product of two codes in every lane of four, for the four pairs of signs. A has v in one lane and 0 in the
 * others; B has w there and anything elsewhere. */
static void test_lanes(void **state) {
    spec *s = *state;
    static int32_t a[256 * 4], b[4 * 256], c[256 * 256];
    int64_t products = 0;
    int rows = 0;
    FOR_EACH_MATMUL_ROW(s) {
        rows++;
        for (int pair = 0; pair < 4; pair++) {
            const int32_t a_low = pair & 1 ? 0 : -128, b_low = pair & 2 ? 0 : -128;
            for (int lane = 0; lane < 4; lane++) {
                qmm_tensor ta, tb, tc;
                for (int v = 0; v < 256; v++) {
                    for (int l = 0; l < 4; l++) {
                        a[v * 4 + l] = l == lane ? v + a_low : 0;
                        b[l * 256 + v] = l == lane ? v + b_low : (v * 37 + l * 11) % 256 + b_low;
                    }
                }
                ta = spec_codes(s, a_types[pair & 1], 256, 4, a);
                tb = spec_codes(s, b_types[pair / 2], 4, 256, b);
                tc = spec_tensor(s, QMM_S32, 256, 256, 1);
                multiply(s, NULL, &ta, &tb, &tc);
                spec_read_codes(s, &tc, c);
                for (int v = 0; v < 256; v++)
                    for (int w = 0; w < 256; w++, products++)
                        if (c[v * 256 + w] != (v + a_low) * (w + b_low))
                            spec_expect_int("lane", lane, c[v * 256 + w], (v + a_low) * (w + b_low));
                spec_clear(s);
            }
        }
    }
    assert_true(products == (int64_t)rows * 4 * 4 * 65536);
    spec_count(products);
}

/* T5: K at the bound and one beyond. */
static void test_k_bound(void **state) {
    spec *s = *state;
    static const struct {
        qmm_type a_type, b_type;
        int32_t a, za, b, zb; /* with these the bound is sharp */
        int64_t bound;
    } cases[] = {
        { QMM_S8, QMM_S8, -128, 0, -128, 0, 131071 },    { QMM_U8, QMM_S8, 255, 0, -128, 0, 65793 },
        { QMM_S8, QMM_U8, -128, 0, 255, 0, 65793 },      { QMM_U8, QMM_U8, 255, 0, 255, 0, 33025 },
        { QMM_S8, QMM_S8, -128, 127, -128, 127, 33025 }, { QMM_U8, QMM_S8, 0, 255, 127, -128, 33025 },
        { QMM_S8, QMM_S8, -128, 127, -128, 0, 65793 },
    };
    FOR_EACH_MATMUL_ROW(s) {
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
            for (int beyond = 0; beyond < 4; beyond++) {
                const int64_t k = beyond < 2 ? cases[i].bound + beyond : beyond * cases[i].bound + 77;
                const int64_t acc = k * (cases[i].a - cases[i].za) * (cases[i].b - cases[i].zb);
                const int32_t bias = acc > 0 ? INT32_MIN : INT32_MAX;
                const float rounded = (float)acc, biased = (float)(acc + bias);
                const qmm_tensor a = spec_tensor(s, cases[i].a_type, 1, k, 1),
                                 b = spec_tensor(s, cases[i].b_type, k, 1, 1);
                const qmm_tensor c = spec_tensor(s, QMM_S32, 1, 1, 1), y = spec_tensor(s, QMM_F32, 1, 1, 1);
                const qmm_tensor t = spec_codes(s, QMM_S32, 1, 1, &bias);
                qmm_quant qa = QMM_QUANT_INIT, qb = QMM_QUANT_INIT;
                qmm_matmul_desc desc = QMM_MATMUL_DESC_INIT;
                qa.zero_value = cases[i].za;
                qb.zero_value = cases[i].zb;
                desc.quant_a = &qa;
                desc.quant_b = &qb;
                spec_ok(s, qmm_buffer_fill(s->context, a.buffer, a.offset, (uint8_t)(cases[i].a & 255), (size_t)k));
                spec_ok(s, qmm_buffer_fill(s->context, b.buffer, b.offset, (uint8_t)(cases[i].b & 255), (size_t)k));
                if (beyond == 0) {
                    const int32_t expected = (int32_t)acc;
                    multiply(s, &desc, &a, &b, &c);
                    spec_expect_codes(s, "at the bound", &c, &expected);
                } else {
                    const int32_t untouched = 0x5a5a5a5a;
                    spec_expect_int("beyond the bound", (int64_t)i, qmm_matmul(s->context, &desc, &a, &b, &c),
                                    QMM_INVALID_ARGUMENT);
                    spec_expect_codes(s, "untouched", &c, &untouched);
                }
                multiply(s, &desc, &a, &b, &y);
                spec_expect_reals(s, "any K as f32", &y, &rounded);
                desc.bias = &t; /* what the float hides: acc - 2^31 */
                multiply(s, &desc, &a, &b, &y);
                spec_expect_reals(s, "any K as f32, low bits", &y, &biased);
                spec_clear(s);
            }
        }
    }
}

/* T6: sums that a float accumulator could not hold. */
static void test_not_float(void **state) {
    spec *s = *state;
    static const int64_t lengths[] = { 1024, 1025, 1040, 1041, 2049, 4097 };
    FOR_EACH_MATMUL_ROW(s) {
        for (int l = 0; l < 6; l++) {
            const int64_t k = lengths[l];
            int32_t code_a[4097], code_b[4097];
            const int32_t expected = (int32_t)(k * 127 * 127 - 127 * 127 + 1); /* the last product is 1 * 1 */
            qmm_tensor a, b, c;
            for (int64_t n = 0; n < k; n++) code_a[n] = code_b[n] = n == k - 1 ? 1 : 127;
            a = spec_codes(s, QMM_S8, 1, k, code_a);
            b = spec_codes(s, QMM_S8, k, 1, code_b);
            c = spec_tensor(s, QMM_S32, 1, 1, 1);
            multiply(s, NULL, &a, &b, &c);
            spec_expect_codes(s, "exact", &c, &expected);
            spec_clear(s);
        }
    }
}

static void test_k_limits(void **state) {
    (void)state;
    static const struct {
        qmm_type a, b;
        int64_t plain, zero_a, zero_b, both;
    } table[] = {
        /* floor((2^31 - 1) / (A * B)); A, B: 128 255 8 15 plain, 255 255 15 15 with a zero point */
        { QMM_S8, QMM_S8, 131071, 65793, 65793, 33025 },
        { QMM_U8, QMM_S8, 65793, 65793, 33025, 33025 },
        { QMM_S8, QMM_U8, 65793, 33025, 65793, 33025 },
        { QMM_U8, QMM_U8, 33025, 33025, 33025, 33025 },
        { QMM_S8, QMM_S4, 2097151, 1052688, 1118481, 561433 },
        { QMM_S8, QMM_U4, 1118481, 561433, 1118481, 561433 },
        { QMM_U8, QMM_S4, 1052688, 1052688, 561433, 561433 },
        { QMM_U8, QMM_U4, 561433, 561433, 561433, 561433 },
        { QMM_S4, QMM_S8, 0, 0, 0, 0 },
        { QMM_S8, QMM_S16, 0, 0, 0, 0 },
        { QMM_F32, QMM_S8, 0, 0, 0, 0 },
        { (qmm_type)0, (qmm_type)99, 0, 0, 0, 0 },
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        spec_expect_int("plain", (int64_t)i, qmm_matmul_k_limit(table[i].a, 0, table[i].b, 0), table[i].plain);
        spec_expect_int("zero a", (int64_t)i, qmm_matmul_k_limit(table[i].a, 1, table[i].b, 0), table[i].zero_a);
        spec_expect_int("zero b", (int64_t)i, qmm_matmul_k_limit(table[i].a, 0, table[i].b, 1), table[i].zero_b);
        spec_expect_int("both", (int64_t)i, qmm_matmul_k_limit(table[i].a, 1, table[i].b, 1), table[i].both);
    }
}

/* ---- packed weights, workspace, explain -------------------------------------------------------------------------- */

typedef struct call {
    qmm_tensor a, b, c, scale_b, zero_b, zero_a;
    qmm_quant qa, qb;
    qmm_matmul_desc desc;
} call;

/* A problem with everything in it: groups or columns, zero points on both sides. */
static void make_call(spec *s, call *t, qmm_type a_type, qmm_type b_type, bool transposed, bool grouped,
                      int64_t batch_b, int64_t batch, qmm_type c_type, int64_t m, int64_t n, int64_t k) {
    const int64_t group = grouped ? k / 3 : 0, groups = grouped ? 3 : 1;
    const int64_t b_rows = transposed ? n : k, b_cols = transposed ? k : n;
    const int64_t p_rows = transposed ? n : groups, p_cols = transposed ? groups : n;
    uint64_t random = (uint64_t)(m + 3 * n + 5 * k);
    int32_t *codes = malloc((size_t)(batch * (m * k + k * n + n * 3)) * sizeof *codes), low, high;
    float *scales = malloc((size_t)(batch_b * n * groups) * sizeof *scales);
    assert_true(codes && scales);
    t->desc = (qmm_matmul_desc)QMM_MATMUL_DESC_INIT;
    t->a = spec_tensor(s, a_type, m, k, batch);
    t->b = spec_tensor(s, b_type, b_rows, b_cols, batch_b);
    t->c = spec_tensor(s, c_type, m, n, batch);
    t->scale_b = spec_tensor(s, QMM_BF16, p_rows, p_cols, batch_b);
    t->zero_b = spec_tensor(s, QMM_S8, p_rows, p_cols, batch_b);
    t->zero_a = spec_tensor(s, QMM_S32, 1, 1, 1);
    spec_range(a_type, 0, &low, &high);
    for (int64_t x = 0; x < batch * m * k; x++) codes[x] = spec_between(&random, low, high);
    spec_write_codes(s, &t->a, codes);
    spec_range(b_type, 0, &low, &high);
    for (int64_t x = 0; x < batch_b * k * n; x++) codes[x] = spec_between(&random, low, high);
    spec_write_codes(s, &t->b, codes);
    for (int64_t x = 0; x < batch_b * n * groups; x++) {
        codes[x] = spec_between(&random, -128, 127);
        scales[x] = (float)(0.01 + spec_uniform(&random));
    }
    spec_write_codes(s, &t->zero_b, codes);
    spec_write_reals(s, &t->scale_b, scales);
    codes[0] = 7;
    spec_write_codes(s, &t->zero_a, codes);
    t->qa = per(QMM_PER_TENSOR, 0, NULL, &t->zero_a);
    t->qa.scale_value = 0.5f;
    t->qb = per(grouped ? (transposed ? QMM_PER_ROW_GROUP : QMM_PER_COLUMN_GROUP)
                        : (transposed ? QMM_PER_ROW : QMM_PER_COLUMN),
                group, &t->scale_b, &t->zero_b);
    t->desc.quant_a = &t->qa;
    t->desc.quant_b = &t->qb;
    t->desc.transpose_b = transposed;
    free(codes);
    free(scales);
}

static void test_packed_weights(void **state) {
    spec *s = *state;
    enum { BYTES = 3 * 5 * 11 * 4, VARIANTS = 2 * 4 * 2 * 2 * 3 * 2 };
    static unsigned char first_row[VARIANTS][BYTES];
    unsigned char plain[BYTES], packed[BYTES];
    bool first = true;
    FOR_EACH_MATMUL_ROW(s) {
        for (int variant = 0; variant < VARIANTS; variant++) {
            const int64_t batch = variant / 32 % 3 == 0 ? 1 : 3, batch_b = variant / 32 % 3 == 2 ? 3 : 1;
            const bool in_storage = variant / 96 != 0;
            const size_t used = (size_t)(batch * 5 * 11 * 4);
            call t;
            qmm_weights_options options = QMM_WEIGHTS_OPTIONS_INIT;
            qmm_weights *weights = NULL;
            qmm_buffer *storage = NULL;
            size_t bytes = 0;
            make_call(s, &t, a_types[variant % 2], b_types[variant / 2 % 4], variant / 8 % 2 != 0,
                      variant / 16 % 2 != 0, batch_b, batch, QMM_F32, 5, 11, 21);
            multiply(s, &t.desc, &t.a, &t.b, &t.c);
            spec_read_bytes(s, &t.c, plain, used);
            if (first) memcpy(first_row[variant], plain, used);
            assert_memory_equal(plain, first_row[variant], used); /* every row gives the same bytes */
            options.transpose_b = t.desc.transpose_b;
            options.quant = &t.qb;
            spec_ok(s, qmm_weights_bytes(s->context, &t.b, &options, &bytes));
            assert_true(bytes > 0);
            if (in_storage) {
                unsigned char end[64];
                spec_ok(s, qmm_buffer_create(s->context, 256 + bytes + sizeof end, &storage));
                spec_ok(s, qmm_buffer_fill(s->context, storage, 0, SPEC_POISON, 256 + bytes + sizeof end));
                options.storage = storage;
                options.storage_offset = 256;
                spec_ok(s, qmm_weights_create(s->context, &t.b, &options, &weights));
                spec_ok(s, qmm_buffer_download(s->context, storage, 256 + bytes, end, sizeof end));
                for (size_t n = 0; n < sizeof end; n++) assert_int_equal(end[n], SPEC_POISON);
            } else {
                spec_ok(s, qmm_weights_create(s->context, &t.b, &options, &weights));
            }
            spec_poison(s, &t.b); /* b and its parameters are no longer needed */
            spec_poison(s, &t.scale_b);
            spec_poison(s, &t.zero_b);
            spec_poison(s, &t.c);
            t.desc.weights = weights;
            t.desc.quant_b = NULL;
            t.desc.transpose_b = 0;
            multiply(s, &t.desc, &t.a, NULL, &t.c);
            spec_read_bytes(s, &t.c, packed, used);
            assert_memory_equal(packed, plain, used);
            spec_count((int64_t)used / 4);
            qmm_weights_free(weights);
            qmm_buffer_free(storage);
            spec_clear(s);
        }
        first = false;
    }
}

/* The workspace asked for is enough, to the byte; one byte less is refused where any is needed. */
static void test_workspace(void **state) {
    spec *s = *state;
    unsigned char expected[3 * 40 * 50 * 4], got[sizeof expected];
    FOR_EACH_MATMUL_ROW(s) {
        for (int variant = 0; variant < 2 * 4 * 2 * 2; variant++) {
            const qmm_type c_type = variant / 16 % 2 ? QMM_S32 : QMM_F16;
            const size_t used = 3 * 40 * 50 * (size_t)(c_type == QMM_S32 ? 4 : 2);
            call t;
            size_t bytes = 12345;
            qmm_buffer *buffer = NULL;
            make_call(s, &t, a_types[variant % 2], b_types[variant / 2 % 4], variant % 3 == 0, variant / 8 % 2 != 0, 1,
                      3, c_type, 40, 50, 60);
            multiply(s, &t.desc, &t.a, &t.b, &t.c);
            spec_read_bytes(s, &t.c, expected, used);
            spec_ok(s, qmm_matmul_workspace(s->context, &t.desc, &t.a, &t.b, &t.c, &bytes));
            spec_ok(s, qmm_buffer_create(s->context, bytes + 512, &buffer));
            spec_ok(s, qmm_buffer_fill(s->context, buffer, 0, SPEC_POISON, bytes + 512));
            t.desc.workspace = buffer;
            t.desc.workspace_offset = 256;
            t.desc.workspace_bytes = bytes;
            spec_poison(s, &t.c);
            multiply(s, &t.desc, &t.a, &t.b, &t.c);
            spec_read_bytes(s, &t.c, got, used);
            assert_memory_equal(got, expected, used);
            {
                unsigned char guard[256];
                spec_ok(s, qmm_buffer_download(s->context, buffer, 0, guard, 256));
                for (int n = 0; n < 256; n++) assert_int_equal(guard[n], SPEC_POISON);
                spec_ok(s, qmm_buffer_download(s->context, buffer, 256 + bytes, guard, 256));
                for (int n = 0; n < 256; n++) assert_int_equal(guard[n], SPEC_POISON);
            }
            if (bytes > 0) {
                t.desc.workspace_bytes = bytes - 1;
                spec_expect_int("too small", variant, qmm_matmul(s->context, &t.desc, &t.a, &t.b, &t.c),
                                QMM_INVALID_ARGUMENT);
            }
            spec_count((int64_t)used / 4);
            qmm_buffer_free(buffer);
            spec_clear(s);
        }
    }
}

typedef struct explained {
    int rows;
    char chosen[64]; /* the first that accepts */
    char names[8][64];
    bool accepts[8];
} explained;

static void note(void *user, const char *kernel, const char *reason) {
    explained *e = user;
    assert_true(e->rows < 8 && strlen(kernel) < 64);
    strcpy(e->names[e->rows], kernel);
    e->accepts[e->rows++] = !reason;
    if (reason) assert_true(strlen(reason) > 3);
    if (!reason && !e->chosen[0]) strcpy(e->chosen, kernel);
}

static void test_explain(void **state) {
    spec *s = *state;
    static const int64_t sizes[][3] = { { 2, 3, 4 }, { 64, 64, 64 }, { 5, 5, 0 }, { 100, 1, 1000 } };
    for (int i = 0; i < 4; i++) {
        const qmm_tensor a = spec_tensor(s, QMM_U8, sizes[i][0], sizes[i][2], 1);
        const qmm_tensor b = spec_tensor(s, QMM_S8, sizes[i][2], sizes[i][1], 1);
        const qmm_tensor c = spec_tensor(s, QMM_S32, sizes[i][0], sizes[i][1], 1);
        explained free_choice = { 0 };
        int rows = 0;
        spec_ok(s, qmm_matmul_explain(s->context, NULL, &a, &b, &c, note, &free_choice));
        assert_true(free_choice.chosen[0] != 0);
        FOR_EACH_ROW(s, "matmul") {
            explained forced = { 0 };
            bool takes = false;
            qmm_status status;
            const char *name = free_choice.names[rows++];
            spec_ok(s, qmm_matmul_explain(s->context, NULL, &a, &b, &c, note, &forced));
            for (int r = 0; r < forced.rows; r++) {
                if (strcmp(forced.names[r], name) == 0)
                    takes = forced.accepts[r];
                else
                    assert_false(forced.accepts[r]); /* another is forced */
            }
            status = qmm_matmul(s->context, NULL, &a, &b, &c);
            spec_expect_int("what is explained runs", rows, status, takes ? QMM_OK : QMM_UNSUPPORTED);
            if (!takes) { /* the message names the row and its reason */
                assert_non_null(strstr(qmm_context_error(s->context), name));
                assert_int_equal(qmm_context_error_status(s->context), QMM_UNSUPPORTED);
            }
            if (strcmp(name, free_choice.chosen) == 0) assert_true(takes);
        }
        assert_int_equal(rows, free_choice.rows);
        spec_clear(s);
    }
}

/* ---- layout ------------------------------------------------------------------------------------------------------ */

/* Transposes, strides, sub-matrices, batches with A or B repeated: every element against the sum in 64 bits. */
static void check_layout(spec *s, uint64_t seed) {
    uint64_t random = seed;
    const int64_t m = spec_between(&random, 1, 9), n = spec_between(&random, 1, 9), k = spec_between(&random, 1, 9);
    const bool ta = spec_between(&random, 0, 1) != 0, tb = spec_between(&random, 0, 1) != 0;
    const qmm_type a_type = a_types[seed % 2], b_type = b_types[seed / 2 % 4];
    const int64_t batch = spec_between(&random, 1, 3), a_batch = spec_between(&random, 0, 1) ? batch : 1;
    const int64_t b_batch = spec_between(&random, 0, 1) ? batch : 1;
    /* parents: a frame of 2 columns left, up to 4 right, and a row between matrices */
    const int64_t a_rows = ta ? k : m, a_cols = ta ? m : k, b_rows = tb ? n : k, b_cols = tb ? k : n;
    qmm_tensor pa = spec_tensor(s, a_type, (a_rows + 1) * a_batch, a_cols + 2 + spec_between(&random, 0, 4), 1);
    qmm_tensor pb =
        spec_tensor(s, b_type, (b_rows + 1) * b_batch, (b_cols + 3 + spec_between(&random, 0, 4)) / 2 * 2, 1);
    qmm_tensor pc = spec_tensor(s, QMM_S32, (m + 1) * batch, n + 2 + spec_between(&random, 0, 4), 1);
    qmm_tensor a = pa, b = pb, c = pc;
    int32_t va[40 * 16], vb[40 * 16], vc[40 * 16], low, high;
    qmm_quant qa = QMM_QUANT_INIT, qb = QMM_QUANT_INIT;
    qmm_matmul_desc desc = QMM_MATMUL_DESC_INIT;
    spec_range(a_type, 0, &low, &high);
    for (int64_t x = 0; x < pa.rows * pa.cols; x++) va[x] = spec_between(&random, low, high);
    spec_range(b_type, 0, &low, &high);
    for (int64_t x = 0; x < pb.rows * pb.cols; x++) vb[x] = spec_between(&random, low, high);
    spec_write_codes(s, &pa, va);
    spec_write_codes(s, &pb, vb);
    a.offset += 2, a.rows = a_rows, a.cols = a_cols, a.batch = a_batch, a.batch_stride = (a_rows + 1) * pa.row_stride;
    b.offset += (size_t)(2 * qmm_type_bits(b_type) / 8), b.rows = b_rows, b.cols = b_cols, b.batch = b_batch;
    b.batch_stride = (b_rows + 1) * pb.row_stride;
    c.offset += 8, c.rows = m, c.cols = n, c.batch = batch, c.batch_stride = (m + 1) * pc.row_stride;
    desc.transpose_a = ta, desc.transpose_b = tb;
    if (seed % 3 != 0) { /* zero points on either side or both */
        spec_range(b_type, 0, &low, &high);
        qb.zero_value = seed % 3 == 1 ? 0 : spec_between(&random, low, high);
        spec_range(a_type, 0, &low, &high);
        qa.zero_value = seed % 12 == 2 ? 0 : spec_between(&random, low, high);
        desc.quant_a = &qa;
        desc.quant_b = &qb;
    }
    multiply(s, &desc, &a, &b, &c);
    spec_read_codes(s, &pc, vc);
    for (int64_t r = 0; r < pc.rows; r++) {
        for (int64_t x = 0; x < pc.cols; x++) {
            const int64_t t = r / (m + 1), i = r % (m + 1), j = x - 2;
            int64_t sum = 0x5a5a5a5a; /* outside */
            if (i < m && j >= 0 && j < n) {
                sum = 0;
                for (int64_t y = 0; y < k; y++)
                    sum += (int64_t)(va[((a_batch > 1 ? t : 0) * (a_rows + 1) + (ta ? y : i)) * pa.cols + 2 +
                                        (ta ? i : y)] -
                                     qa.zero_value) *
                           (vb[((b_batch > 1 ? t : 0) * (b_rows + 1) + (tb ? j : y)) * pb.cols + 2 + (tb ? y : j)] -
                            qb.zero_value);
            }
            spec_expect_int("layout", r * pc.cols + x, vc[r * pc.cols + x], sum);
        }
    }
    spec_clear(s);
}

static void test_layouts(void **state) {
    spec *s = *state;
    FOR_EACH_MATMUL_ROW(s) for (uint64_t seed = 0; seed < 2000; seed++) check_layout(s, seed);
}

int main(void) {
#define TEST(function) cmocka_unit_test_setup_teardown(function, spec_open, spec_close)
    const struct CMUnitTest tests[] = {
        TEST(test_zero_points_by_hand),
        TEST(test_order_of_operations),
        TEST(test_order_by_hand),
        TEST(test_bias),
        TEST(test_residual),
        TEST(test_activations),
        TEST(test_code_outputs),
        TEST(test_whole_epilogue),
        TEST(test_k_zero),
        TEST(test_empty),
        TEST(test_extremes),
        TEST(test_lanes),
        TEST(test_k_bound),
        TEST(test_not_float),
        TEST(test_k_limits),
        TEST(test_packed_weights),
        TEST(test_workspace),
        TEST(test_explain),
        TEST(test_layouts),
    };
    return spec_run(tests);
}
