/* SPDX-License-Identifier: Apache-2.0
 *
 * The same numbers give the same bytes: again and again, in a batch or alone, on every row, from packed weights, from a
 * sub-matrix of a larger parent, at any alignment. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support.h"

enum { BATCH_MAX = 3, ARENA = 256 * 1024 };

static uint64_t case_count = 50;
static int again_count = 100;

static qmm_context *c;
static qmm_buffer *arena; /* everything lies here; what is free is random */
static size_t used;

static int open_arena(void **state) {
    unsigned char *bytes = malloc(ARENA);
    (void)state;
    assert_non_null(bytes);
    fill_random(bytes, ARENA, 99);
    if (!on_cpu()) case_count = 12, again_count = 5; /* a simulated device is slow */
    c = open_device(NULL);
    arena = make_buffer(c, bytes, ARENA);
    free(bytes);
    return 0;
}

static int close_arena(void **state) {
    (void)state;
    qmm_context_close(c);
    return 0;
}

/* Room for a tensor of these strides, `shift` elements off its alignment. */
static qmm_tensor place(qmm_type type, int64_t rows, int64_t cols, int64_t row_stride, int64_t batch, size_t shift) {
    const size_t element = qmm_type_bits(type) < 8 ? 1 : (size_t)qmm_type_bits(type) / 8;
    qmm_tensor t = tensor_at(arena, 0, type, rows, cols, row_stride);
    used = (used + 63) / 64 * 64;
    t.offset = used + shift * element;
    t.batch = batch;
    t.batch_stride = rows * row_stride;
    used = t.offset + extent_of(&t) + 64;
    assert_true(used <= ARENA);
    return t;
}

/* The host's to touch on the cpu; and on the simulated device, but for a build that looks for just that. */
static char *native(const qmm_tensor *t) {
    assert_int_equal(qmm_context_synchronize(c), QMM_OK);
    return (char *)qmm_buffer_native(t->buffer) + t->offset;
}

static qmm_tensor matrix_of(qmm_tensor t, int64_t i) {
    t.offset += (size_t)(i * t.batch_stride) * (size_t)qmm_type_bits(t.type) / 8;
    t.batch = 1;
    return t;
}

/* Row i of matrix b, its columns only. 4-bit: its whole bytes; columns are even here. */
static void copy_rows(const qmm_tensor *from, const qmm_tensor *to) {
    const size_t bits = (size_t)qmm_type_bits(from->type), bytes = ((size_t)from->cols * bits + 7) / 8;
    for (int64_t b = 0; b < from->batch; b++)
        for (int64_t i = 0; i < from->rows; i++)
            memcpy(native(to) + (size_t)(b * to->batch_stride + i * to->row_stride) * bits / 8,
                   native(from) + (size_t)(b * from->batch_stride + i * from->row_stride) * bits / 8, bytes);
}

static bool same(const qmm_tensor *x, const qmm_tensor *y, const char *what, uint64_t number) {
    qmm_compare_result r = QMM_COMPARE_RESULT_INIT;
    if (!expect_ok(c, qmm_compare(c, x, y, &r), what)) return false;
    return expect(r.mismatches == 0 && r.count == x->rows * x->cols * x->batch,
                  "case %" PRIu64 ": %s: %" PRId64 " of %" PRId64 " differ, first %" PRId64 ",%" PRId64 ": %g and %g",
                  number, what, r.mismatches, r.count, r.row, r.col, r.expected, r.got);
}

/* A result worth comparing: not all of it zero. */
static bool is_something(const qmm_tensor *t) {
    const char *bytes = native(t);
    size_t zeros = 0;
    const size_t all = extent_of(t);
    for (size_t i = 0; i < all; i++) zeros += bytes[i] == 0;
    return zeros * 10 <= all * 9;
}

/* ---- matmul ------------------------------------------------------------------------------------------------------- */

static const qmm_type b_types[] = { QMM_S8, QMM_U8, QMM_S4, QMM_U4 };
static const qmm_type c_types[] = { QMM_S32, QMM_F32, QMM_F16, QMM_BF16, QMM_S8, QMM_U8, QMM_S16, QMM_U16 };

typedef struct matmul_case {
    uint64_t number;
    int64_t m, n, k, batch, shared_b;
    qmm_tensor a, b, c, scale, zero, bias, residual;
    qmm_quant qa, qb, qc;
    qmm_matmul_desc desc;
} matmul_case;

static void fill_parameters(matmul_case *x) {
    float *scales = (float *)(void *)native(&x->scale);
    int32_t *zeros = (int32_t *)(void *)native(&x->zero);
    for (int64_t i = 0; i < x->scale.rows; i++) {
        scales[i] = 0.01f * (float)(i % 7 + 1);
        zeros[i] = (int32_t)(i % 5) - 2;
    }
    fill_reals(native(&x->bias), QMM_F32, x->n, x->number);
    fill_reals(native(&x->residual), QMM_F16, x->m * x->n * x->batch, x->number);
}

static void make_case(matmul_case *x, uint64_t number) {
    static const qmm_activation activations[] = { QMM_ACTIVATION_NONE, QMM_ACTIVATION_RELU, QMM_ACTIVATION_GELU,
                                                  QMM_ACTIVATION_GELU_TANH, QMM_ACTIVATION_SILU };
    const qmm_quant plain = QMM_QUANT_INIT;
    const qmm_matmul_desc desc = QMM_MATMUL_DESC_INIT;
    uint64_t random = number;
    bool sums;
    memset(x, 0, sizeof *x);
    used = 0;
    x->number = number;
    x->m = 1 + (int64_t)(next_random(&random) % 33);
    x->n = 2 + (int64_t)(next_random(&random) % 20) * 2;
    x->k = 2 + (int64_t)(next_random(&random) % 60) * 2;
    x->batch = 1 + (int64_t)(number % BATCH_MAX);
    x->shared_b = number % 4 == 0;
    x->desc = desc, x->qa = x->qb = x->qc = plain;
    x->desc.transpose_a = next_random(&random) % 2, x->desc.transpose_b = next_random(&random) % 2;
    x->a = place(number % 5 ? QMM_S8 : QMM_U8, x->desc.transpose_a ? x->k : x->m, x->desc.transpose_a ? x->m : x->k,
                 x->desc.transpose_a ? x->m : x->k, x->batch, 0);
    x->b = place(b_types[number % 4], x->desc.transpose_b ? x->n : x->k, x->desc.transpose_b ? x->k : x->n,
                 x->desc.transpose_b ? x->k : x->n, x->shared_b ? 1 : x->batch, 0);
    x->c = place(c_types[number % 8], x->m, x->n, x->n, x->batch, 0);
    x->scale = place(QMM_F32, x->desc.transpose_a ? 1 : x->m, 1, 1, 1, 0);
    x->zero = place(QMM_S32, x->desc.transpose_a ? 1 : x->m, 1, 1, 1, 0);
    x->bias = place(QMM_F32, 1, x->n, x->n, 1, 0);
    x->residual = place(QMM_F16, x->m, x->n, x->n, x->batch, 0);
    fill_parameters(x);
    sums = x->c.type == QMM_S32;
    x->qa.granularity = x->desc.transpose_a ? QMM_PER_TENSOR : QMM_PER_ROW;
    x->qa.scale = &x->scale, x->qa.zero = &x->zero;
    x->qb.scale_value = 0.25f, x->qb.zero_value = x->b.type == QMM_U8 ? 100 : 1;
    x->qc.scale_value = 0.5f, x->qc.zero_value = 3;
    x->desc.quant_a = &x->qa, x->desc.quant_b = &x->qb;
    if (x->c.type == QMM_S8 || x->c.type == QMM_U8 || x->c.type == QMM_S16 || x->c.type == QMM_U16)
        x->desc.quant_c = &x->qc;
    if (!sums && number % 3) x->desc.bias = &x->bias;
    if (!sums && number % 7 < 3) x->desc.residual = &x->residual;
    if (!sums) x->desc.activation = activations[number % 5];
}

/* Every row of the table that takes the problem. */
static void other_rows(matmul_case *x) {
    int ran = 0;
    for (int i = 0; i < qmm_kernel_count(c); i++) {
        const char *name = qmm_kernel_name(c, i);
        qmm_tensor out;
        qmm_status status;
        if (!strstr(name, ":matmul:")) continue;
        out = place(x->c.type, x->m, x->n, x->n, x->batch, 0);
        expect_ok(c, qmm_kernel_force(c, name), name);
        status = qmm_matmul(c, &x->desc, &x->a, &x->b, &out);
        expect(status == QMM_OK || status == QMM_UNSUPPORTED, "%s: %s", name, qmm_context_error(c));
        if (status == QMM_OK) ran++, same(&x->c, &out, name, x->number);
    }
    expect(ran > 0, "no row takes case %" PRIu64, x->number);
    expect_ok(c, qmm_kernel_force(c, NULL), "take back");
}

static void packed_weights(matmul_case *x) {
    qmm_weights_options options = QMM_WEIGHTS_OPTIONS_INIT;
    qmm_matmul_desc desc = x->desc;
    qmm_tensor out = place(x->c.type, x->m, x->n, x->n, x->batch, 0);
    qmm_weights *weights;
    options.transpose_b = x->desc.transpose_b, options.quant = &x->qb;
    if (!expect_ok(c, qmm_weights_create(c, &x->b, &options, &weights), "pack")) return;
    desc.weights = weights, desc.quant_b = NULL, desc.transpose_b = 0;
    for (int row = -1; row < qmm_kernel_count(c); row++) {
        if (row >= 0 && !strstr(qmm_kernel_name(c, row), ":matmul:")) continue;
        expect_ok(c, qmm_kernel_force(c, row < 0 ? NULL : qmm_kernel_name(c, row)), "force");
        if (qmm_matmul(c, &desc, &x->a, NULL, &out) == QMM_OK || row < 0)
            same(&x->c, &out, "packed weights", x->number);
    }
    expect_ok(c, qmm_kernel_force(c, NULL), "take back");
    qmm_weights_free(weights);
}

/* Each matrix of the batch alone. */
static void parts_of_batch(matmul_case *x) {
    qmm_tensor out = place(x->c.type, x->m, x->n, x->n, x->batch, 0);
    for (int64_t i = 0; i < x->batch; i++) {
        const qmm_tensor a = matrix_of(x->a, i), b = x->shared_b ? x->b : matrix_of(x->b, i), one = matrix_of(out, i);
        const qmm_tensor residual = matrix_of(x->residual, i);
        qmm_matmul_desc desc = x->desc;
        if (desc.residual) desc.residual = &residual;
        expect_ok(c, qmm_matmul(c, &desc, &a, &b, &one), "a part of the batch");
    }
    same(&x->c, &out, "parts of the batch", x->number);
}

/* All rows of M one by one: what a row gives does not hang on its neighbours. */
static void rows_alone(matmul_case *x) {
    qmm_tensor out = place(x->c.type, x->m, x->n, x->n, 1, 0), first = matrix_of(x->c, 0);
    if (x->desc.transpose_a) return;
    for (int64_t i = 0; i < x->m; i++) {
        qmm_tensor a = matrix_of(x->a, 0), b = matrix_of(x->b, 0), row = out, residual = matrix_of(x->residual, 0);
        qmm_tensor scale = x->scale, zero = x->zero;
        qmm_quant qa = x->qa;
        qmm_matmul_desc desc = x->desc;
        a.rows = row.rows = residual.rows = scale.rows = zero.rows = 1;
        a.offset += (size_t)(i * a.row_stride);
        row.offset += (size_t)(i * x->n) * (size_t)qmm_type_bits(row.type) / 8;
        residual.offset += (size_t)(i * x->n) * 2;
        scale.offset += (size_t)i * 4, zero.offset += (size_t)i * 4;
        qa.scale = &scale, qa.zero = &zero;
        desc.quant_a = &qa;
        if (desc.residual) desc.residual = &residual;
        expect_ok(c, qmm_matmul(c, &desc, &a, &b, &row), "a row alone");
    }
    same(&first, &out, "rows alone", x->number);
}

/* The same numbers inside larger parents, at odd offsets. */
static void sub_matrices(matmul_case *x) {
    for (size_t shift = 0; shift < 16; shift += 5) {
        const int64_t pad = (int64_t)(shift + (shift & 1));
        const size_t kept = used;
        qmm_tensor a = place(x->a.type, x->a.rows, x->a.cols, x->a.row_stride + pad, x->a.batch, shift);
        qmm_tensor b = place(x->b.type, x->b.rows, x->b.cols, x->b.row_stride + pad, x->b.batch, shift);
        qmm_tensor out = place(x->c.type, x->m, x->n, x->n + (int64_t)shift, x->batch, shift);
        copy_rows(&x->a, &a);
        copy_rows(&x->b, &b);
        expect_ok(c, qmm_matmul(c, &x->desc, &a, &b, &out), "sub-matrices");
        same(&x->c, &out, "sub-matrices", x->number);
        used = kept;
    }
}

static void test_matmul(void **state) {
    int trivial = 0;
    (void)state;
    for (uint64_t number = 0; number < case_count; number++) {
        matmul_case x;
        qmm_tensor out;
        make_case(&x, number);
        if (!expect_ok(c, qmm_matmul(c, &x.desc, &x.a, &x.b, &x.c), "matmul")) continue;
        if (!is_something(&x.c)) trivial++;
        out = place(x.c.type, x.m, x.n, x.n, x.batch, 0);
        for (int again = 0; again < again_count; again++) {
            memset(native(&out), again, extent_of(&out));
            expect_ok(c, qmm_matmul(c, &x.desc, &x.a, &x.b, &out), "again");
            expect_bytes(native(&out), native(&x.c), extent_of(&out), "the same call again");
        }
        other_rows(&x);
        packed_weights(&x);
        parts_of_batch(&x);
        rows_alone(&x);
        sub_matrices(&x);
    }
    expect(trivial <= (int)case_count / 5, "%d cases are nearly all zero", trivial);
    end_of_test();
}

/* ---- conversions -------------------------------------------------------------------------------------------------- */

static const qmm_type real_types[] = { QMM_F32, QMM_F16, QMM_BF16 };
static const qmm_type code_types[] = { QMM_S8, QMM_U8, QMM_S4, QMM_U4, QMM_S16, QMM_U16 };

/* Quantize dynamically, dequantize, requantize: dense once, then by every row, again, and strided. */
static void test_conversions(void **state) {
    (void)state;
    for (uint64_t number = 0; number < case_count; number++) {
        uint64_t random = number;
        const int64_t rows = 1 + (int64_t)(next_random(&random) % 40),
                      cols = 2 + 2 * (int64_t)(next_random(&random) % 60);
        const qmm_type real = real_types[number % 3], code = code_types[number % 6],
                       other = code_types[(number + 1) % 6];
        qmm_tensor x, q, y, r, scale, zero;
        qmm_quant quant = QMM_QUANT_INIT, target = QMM_QUANT_INIT;
        used = 0;
        x = place(real, rows, cols, cols, 1, 0), q = place(code, rows, cols, cols, 1, 0);
        y = place(real, rows, cols, cols, 1, 0), r = place(other, rows, cols, cols, 1, 0);
        scale = place(QMM_F32, rows, 1, 1, 1, 0), zero = place(QMM_S32, rows, 1, 1, 1, 0);
        fill_reals(native(&x), real, rows * cols, number);
        quant.granularity = QMM_PER_ROW, quant.scale = &scale, quant.zero = number % 2 ? &zero : NULL;
        target.scale_value = 0.5f, target.zero_value = 1;
        expect_ok(c, qmm_quantize_dynamic(c, &x, &quant, &q), "dynamic");
        expect_ok(c, qmm_dequantize(c, &q, &quant, &y), "dequantize");
        expect_ok(c, qmm_requantize(c, &q, &quant, &r, &target), "requantize");
        expect(is_something(&y), "case %" PRIu64 " is nearly all zero", number);
        for (int again = 0; again < again_count; again++) {
            const size_t kept = used;
            const int64_t pad = again % 5 * 2;
            qmm_tensor x2 = place(real, rows, cols, cols + pad, 1, (size_t)again % 3);
            qmm_tensor q2 = place(code, rows, cols, cols + pad, 1, (size_t)again % 4);
            qmm_tensor y2 = place(real, rows, cols, cols + pad, 1, (size_t)again % 5);
            qmm_tensor r2 = place(other, rows, cols, cols + pad, 1, (size_t)again % 2);
            qmm_tensor s2 = place(QMM_F32, rows, 1, 1, 1, 0), z2 = place(QMM_S32, rows, 1, 1, 1, 0);
            qmm_quant quant2 = quant;
            quant2.scale = &s2, quant2.zero = quant.zero ? &z2 : NULL;
            copy_rows(&x, &x2);
            if (again % 2) force_reference(c);
            expect_ok(c, qmm_quantize_dynamic(c, &x2, &quant2, &q2), "dynamic");
            same(&q, &q2, "dynamic codes", number);
            same(&scale, &s2, "dynamic scales", number);
            if (quant.zero) same(&zero, &z2, "dynamic zero points", number);
            expect_ok(c, qmm_quantize(c, &x2, &quant, &q2), "quantize");
            same(&q, &q2, "static codes", number);
            expect_ok(c, qmm_dequantize(c, &q2, &quant, &y2), "dequantize");
            same(&y, &y2, "dequantized", number);
            expect_ok(c, qmm_requantize(c, &q2, &quant, &r2, &target), "requantize");
            same(&r, &r2, "requantized", number);
            expect_ok(c, qmm_kernel_force(c, NULL), "take back");
            used = kept;
        }
    }
    end_of_test();
}

/* What reductions give does not hang on strides or alignment either. */
static void test_reductions(void **state) {
    (void)state;
    for (uint64_t number = 0; number < case_count; number++) {
        const int64_t rows = 1 + (int64_t)(number % 17), cols = 2 + 2 * (int64_t)number;
        const qmm_type type = real_types[number % 3];
        qmm_error_measure first = QMM_ERROR_MEASURE_INIT, measure = first;
        qmm_range_options options = QMM_RANGE_OPTIONS_INIT;
        double min, max, min2, max2;
        qmm_tensor x, y;
        used = 0;
        x = place(type, rows, cols, cols, 1, 0), y = place(type, rows, cols, cols, 1, 0);
        fill_reals(native(&x), type, rows * cols, number), fill_reals(native(&y), type, rows * cols, number + 1);
        options.method = (qmm_range_method)(number % 2);
        options.symmetric = number % 4 < 2;
        expect_ok(c, qmm_measure_error(c, &x, &y, &first), "measure");
        expect_ok(c, qmm_find_range(c, &x, &options, &min, &max), "range");
        for (size_t again = 0; again < 20; again++) {
            const size_t kept = used;
            qmm_tensor x2 = place(type, rows, cols, cols + (int64_t)again, 1, again % 5);
            qmm_tensor y2 = place(type, rows, cols, cols + 3, 1, again % 7);
            copy_rows(&x, &x2), copy_rows(&y, &y2);
            expect_ok(c, qmm_measure_error(c, &x2, &y2, &measure), "measure");
            expect_bytes(&measure, &first, sizeof first, "the measured error");
            expect_ok(c, qmm_find_range(c, &x2, &options, &min2, &max2), "range");
            expect(min == min2 && max == max2, "case %" PRIu64 ": range %g %g, then %g %g", number, min, max, min2,
                   max2);
            used = kept;
        }
    }
    end_of_test();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matmul),
        cmocka_unit_test(test_conversions),
        cmocka_unit_test(test_reductions),
    };
    return cmocka_run_group_tests(tests, open_arena, close_arena);
}
