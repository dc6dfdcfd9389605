/* SPDX-License-Identifier: Apache-2.0
 *
 * Every function against every bad argument: status, exact text, nothing touched, the context as good as before. */
#define _GNU_SOURCE /* MAP_ANONYMOUS */
#include <fcntl.h>
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "context.h"
#include "type.h"
#include "world.h"

static world the_world;
static world *const w = &the_world;

/* A pointer to a value made in place. */
#define TENSOR(value) ((const qmm_tensor[]){ (value) })
#define QUANT(value) ((const qmm_quant[]){ (value) })
#define DESC(value) ((const qmm_matmul_desc[]){ (value) })

static int open_world(void **state) {
    (void)state;
    world_open(w, NULL);
    return 0;
}

static int close_world(void **state) {
    (void)state;
    world_close(w);
    return 0;
}

/* What every failing call must leave behind. */
static void rejected(int line, qmm_status got, qmm_status status, const char *text) {
    bool right = expect_error(w->context, got, status, text);
    right = expect(qmm_context_error_status(w->context) == status, "the context's last status is %s",
                   qmm_status_name(qmm_context_error_status(w->context))) &&
            right;
    right = world_unharmed(w) && right;
    right = world_works(w) && right;
    if (right) return;
    print_error("    ^ line %d\n", line);
    memcpy(qmm_buffer_native(w->in), w->in_copy, WORLD_BYTES); /* what was harmed spoils no other case */
    world_poison(w);
}

#define BAD(call, text) rejected(__LINE__, (call), QMM_INVALID_ARGUMENT, (text))
#define REFUSED(call, status, text) rejected(__LINE__, (call), (status), (text))

static const char *said(const char *format, ...) TEST_FORMAT(1, 2);
static const char *said(const char *format, ...) {
    static char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return text;
}

/* ---- every tensor argument of every function ---------------------------------------------------------------------- */

static qmm_quant by_row(const qmm_tensor *scale, const qmm_tensor *zero) {
    qmm_quant q = QMM_QUANT_INIT;
    q.granularity = QMM_PER_ROW;
    q.scale = scale;
    q.zero = zero;
    return q;
}

static qmm_quant with_scale(const qmm_tensor *scale) {
    return by_row(scale ? scale : &w->scales, NULL);
}

static qmm_quant with_zero(const qmm_tensor *zero) {
    return by_row(&w->scales, zero);
}

static qmm_matmul_desc desc_with(const qmm_quant *a, const qmm_quant *c, const qmm_tensor *bias,
                                 const qmm_tensor *residual) {
    qmm_matmul_desc desc = QMM_MATMUL_DESC_INIT;
    desc.quant_a = a;
    desc.quant_c = c;
    desc.bias = bias;
    desc.residual = residual;
    return desc;
}

static void no_row(void *user, const char *kernel, const char *reason) {
    (void)user, (void)kernel, (void)reason;
}

static qmm_status weights_with(const qmm_tensor *b, const qmm_quant *quant) {
    qmm_weights_options options = QMM_WEIGHTS_OPTIONS_INIT;
    qmm_weights *weights;
    options.quant = quant;
    return qmm_weights_create(w->context, b, &options, &weights);
}

#define CALL(name, expression)                    \
    static qmm_status name(const qmm_tensor *t) { \
        return (expression);                      \
    }
CALL(quantize_x, qmm_quantize(w->context, t, NULL, &w->q))
CALL(quantize_q, qmm_quantize(w->context, &w->x, NULL, t))
CALL(quantize_scale, qmm_quantize(w->context, &w->x, QUANT(with_scale(t)), &w->q))
CALL(quantize_zero, qmm_quantize(w->context, &w->x, QUANT(with_zero(t)), &w->q))
CALL(dynamic_x, qmm_quantize_dynamic(w->context, t, &w->row_quant_out, &w->q))
CALL(dynamic_q, qmm_quantize_dynamic(w->context, &w->x, &w->row_quant_out, t))
CALL(dynamic_scale, qmm_quantize_dynamic(w->context, &w->x, QUANT(by_row(t, NULL)), &w->q))
CALL(dynamic_zero, qmm_quantize_dynamic(w->context, &w->x, QUANT(by_row(&w->scales_out, t)), &w->q))
CALL(dequantize_q, qmm_dequantize(w->context, t, NULL, &w->real))
CALL(dequantize_x, qmm_dequantize(w->context, &w->codes, NULL, t))
CALL(dequantize_scale, qmm_dequantize(w->context, &w->codes, QUANT(with_scale(t)), &w->real))
CALL(dequantize_zero, qmm_dequantize(w->context, &w->codes, QUANT(with_zero(t)), &w->real))
CALL(requantize_source, qmm_requantize(w->context, t, NULL, &w->q, NULL))
CALL(requantize_target, qmm_requantize(w->context, &w->codes, NULL, t, NULL))
CALL(requantize_source_scale, qmm_requantize(w->context, &w->codes, QUANT(with_scale(t)), &w->q, NULL))
CALL(requantize_source_zero, qmm_requantize(w->context, &w->codes, QUANT(with_zero(t)), &w->q, NULL))
CALL(requantize_target_scale, qmm_requantize(w->context, &w->codes, NULL, &w->q, QUANT(with_scale(t))))
CALL(requantize_target_zero, qmm_requantize(w->context, &w->codes, NULL, &w->q, QUANT(with_zero(t))))
CALL(find_range_x, qmm_find_range(w->context, t, NULL, &w->results.min, &w->results.max))
CALL(observe_x, qmm_calibrator_observe(w->calibrator, t))
CALL(measure_reference, qmm_measure_error(w->context, t, &w->x, &w->results.measure))
CALL(measure_got, qmm_measure_error(w->context, &w->x, t, &w->results.measure))
CALL(compare_expected, qmm_compare(w->context, t, &w->codes, &w->results.compared))
CALL(compare_got, qmm_compare(w->context, &w->codes, t, &w->results.compared))
CALL(matmul_a, qmm_matmul(w->context, NULL, t, &w->b, &w->c))
CALL(matmul_b, qmm_matmul(w->context, NULL, &w->a, t, &w->c))
CALL(matmul_c, qmm_matmul(w->context, NULL, &w->a, &w->b, t))
CALL(matmul_bias, qmm_matmul(w->context, DESC(desc_with(NULL, NULL, t, NULL)), &w->a, &w->b, &w->c_real))
CALL(matmul_residual, qmm_matmul(w->context, DESC(desc_with(NULL, NULL, NULL, t)), &w->a, &w->b, &w->c_real))
CALL(matmul_a_scale,
     qmm_matmul(w->context, DESC(desc_with(QUANT(with_scale(t)), NULL, NULL, NULL)), &w->a, &w->b, &w->c_real))
CALL(matmul_a_zero,
     qmm_matmul(w->context, DESC(desc_with(QUANT(with_zero(t)), NULL, NULL, NULL)), &w->a, &w->b, &w->c_real))
CALL(matmul_c_scale,
     qmm_matmul(w->context, DESC(desc_with(NULL, QUANT(with_scale(t)), NULL, NULL)), &w->a, &w->b, &w->c_codes))
CALL(matmul_c_zero,
     qmm_matmul(w->context, DESC(desc_with(NULL, QUANT(with_zero(t)), NULL, NULL)), &w->a, &w->b, &w->c_codes))
CALL(workspace_a, qmm_matmul_workspace(w->context, NULL, t, &w->b, &w->c, &w->results.bytes))
CALL(workspace_b, qmm_matmul_workspace(w->context, NULL, &w->a, t, &w->c, &w->results.bytes))
CALL(workspace_c, qmm_matmul_workspace(w->context, NULL, &w->a, &w->b, t, &w->results.bytes))
CALL(explain_a, qmm_matmul_explain(w->context, NULL, t, &w->b, &w->c, no_row, NULL))
CALL(explain_b, qmm_matmul_explain(w->context, NULL, &w->a, t, &w->c, no_row, NULL))
CALL(explain_c, qmm_matmul_explain(w->context, NULL, &w->a, &w->b, t, no_row, NULL))
CALL(plan_a, qmm_matmul_plan(w->context, NULL, t, &w->b, &w->c, &w->results.plan))
CALL(plan_b, qmm_matmul_plan(w->context, NULL, &w->a, t, &w->c, &w->results.plan))
CALL(plan_c, qmm_matmul_plan(w->context, NULL, &w->a, &w->b, t, &w->results.plan))
CALL(tune_a, qmm_tune_matmul(w->context, NULL, t, &w->b, &w->c, NULL, NULL, NULL))
CALL(tune_b, qmm_tune_matmul(w->context, NULL, &w->a, t, &w->c, NULL, NULL, NULL))
CALL(tune_c, qmm_tune_matmul(w->context, NULL, &w->a, &w->b, t, NULL, NULL, NULL))
CALL(verify_a, qmm_verify_matmul(w->context, NULL, t, &w->b, &w->c, NULL, &w->results.verified))
CALL(verify_b, qmm_verify_matmul(w->context, NULL, &w->a, t, &w->c, NULL, &w->results.verified))
CALL(verify_c, qmm_verify_matmul(w->context, NULL, &w->a, &w->b, t, NULL, &w->results.verified))
CALL(weights_bytes_b, qmm_weights_bytes(w->context, t, NULL, &w->results.bytes))
CALL(weights_create_b, weights_with(t, NULL))
CALL(weights_scale,
     weights_with(&w->b, QUANT(with_scale(t)))) /* per row is K here: only the tensor's faults are looked at */

enum {
    CODES_8_4 = QMMI_CODES_8 | QMMI_CODES_4,
    OUTPUTS = QMMI_CODES_8 | QMMI_CODES_16 | QMMI_S32 | QMMI_REALS,
    ZEROS = QMMI_S32 | QMMI_CODES_8,
    F32 = QMMI_TYPE_BIT(QMM_F32)
};

typedef struct slot {
    const char *function, *name;
    qmm_status (*call)(const qmm_tensor *);
    const qmm_tensor *good;
    unsigned types;
    bool optional, written;
} slot;

static const slot slots[] = {
    { "qmm_quantize", "x", quantize_x, &the_world.x, QMMI_REALS, false, false },
    { "qmm_quantize", "q", quantize_q, &the_world.q, QMMI_CODES, false, true },
    { "qmm_quantize", "scale of quant", quantize_scale, &the_world.scales, QMMI_REALS, true, false },
    { "qmm_quantize", "zero of quant", quantize_zero, &the_world.zeros, ZEROS, true, false },
    { "qmm_quantize_dynamic", "x", dynamic_x, &the_world.x, QMMI_REALS, false, false },
    { "qmm_quantize_dynamic", "q", dynamic_q, &the_world.q, QMMI_CODES, false, true },
    { "qmm_quantize_dynamic", "scale of quant", dynamic_scale, &the_world.scales_out, F32, true, true },
    { "qmm_quantize_dynamic", "zero of quant", dynamic_zero, &the_world.zeros_out, QMMI_S32, true, true },
    { "qmm_dequantize", "q", dequantize_q, &the_world.codes, QMMI_CODES | QMMI_S32, false, false },
    { "qmm_dequantize", "x", dequantize_x, &the_world.real, QMMI_REALS, false, true },
    { "qmm_dequantize", "scale of quant", dequantize_scale, &the_world.scales, QMMI_REALS, true, false },
    { "qmm_dequantize", "zero of quant", dequantize_zero, &the_world.zeros, ZEROS, true, false },
    { "qmm_requantize", "source", requantize_source, &the_world.codes, QMMI_CODES | QMMI_S32, false, false },
    { "qmm_requantize", "target", requantize_target, &the_world.q, QMMI_CODES, false, true },
    { "qmm_requantize", "scale of source_quant", requantize_source_scale, &the_world.scales, QMMI_REALS, true, false },
    { "qmm_requantize", "zero of source_quant", requantize_source_zero, &the_world.zeros, ZEROS, true, false },
    { "qmm_requantize", "scale of target_quant", requantize_target_scale, &the_world.scales, QMMI_REALS, true, false },
    { "qmm_requantize", "zero of target_quant", requantize_target_zero, &the_world.zeros, ZEROS, true, false },
    { "qmm_find_range", "x", find_range_x, &the_world.x, QMMI_REALS, false, false },
    { "qmm_calibrator_observe", "x", observe_x, &the_world.x, QMMI_REALS, false, false },
    { "qmm_measure_error", "reference", measure_reference, &the_world.x, QMMI_REALS, false, false },
    { "qmm_measure_error", "got", measure_got, &the_world.x, QMMI_REALS, false, false },
    { "qmm_compare", "expected", compare_expected, &the_world.codes, QMMI_ALL_TYPES, false, false },
    { "qmm_compare", "got", compare_got, &the_world.codes, QMMI_ALL_TYPES, false, false },
    { "qmm_matmul", "a", matmul_a, &the_world.a, QMMI_CODES_8, false, false },
    { "qmm_matmul", "b", matmul_b, &the_world.b, CODES_8_4, false, false },
    { "qmm_matmul", "c", matmul_c, &the_world.c, OUTPUTS, false, true },
    { "qmm_matmul", "bias", matmul_bias, &the_world.bias, F32 | QMMI_S32, true, false },
    { "qmm_matmul", "residual", matmul_residual, &the_world.residual, QMMI_REALS, true, false },
    { "qmm_matmul", "scale of quant_a", matmul_a_scale, &the_world.scales, QMMI_REALS, true, false },
    { "qmm_matmul", "zero of quant_a", matmul_a_zero, &the_world.zeros, ZEROS, true, false },
    { "qmm_matmul", "scale of quant_c", matmul_c_scale, &the_world.scales, QMMI_REALS, true, false },
    { "qmm_matmul", "zero of quant_c", matmul_c_zero, &the_world.zeros, ZEROS, true, false },
    { "qmm_matmul_workspace", "a", workspace_a, &the_world.a, QMMI_CODES_8, false, false },
    { "qmm_matmul_workspace", "b", workspace_b, &the_world.b, CODES_8_4, false, false },
    { "qmm_matmul_workspace", "c", workspace_c, &the_world.c, OUTPUTS, false, true },
    { "qmm_matmul_explain", "a", explain_a, &the_world.a, QMMI_CODES_8, false, false },
    { "qmm_matmul_explain", "b", explain_b, &the_world.b, CODES_8_4, false, false },
    { "qmm_matmul_explain", "c", explain_c, &the_world.c, OUTPUTS, false, true },
    { "qmm_matmul_plan", "a", plan_a, &the_world.a, QMMI_CODES_8, false, false },
    { "qmm_matmul_plan", "b", plan_b, &the_world.b, CODES_8_4, false, false },
    { "qmm_matmul_plan", "c", plan_c, &the_world.c, OUTPUTS, false, true },
    { "qmm_tune_matmul", "a", tune_a, &the_world.a, QMMI_CODES_8, false, false },
    { "qmm_tune_matmul", "b", tune_b, &the_world.b, CODES_8_4, false, false },
    { "qmm_tune_matmul", "c", tune_c, &the_world.c, OUTPUTS, false, true },
    { "qmm_verify_matmul", "a", verify_a, &the_world.a, QMMI_CODES_8, false, false },
    { "qmm_verify_matmul", "b", verify_b, &the_world.b, CODES_8_4, false, false },
    { "qmm_verify_matmul", "c", verify_c, &the_world.c, OUTPUTS, false, true },
    { "qmm_weights_bytes", "b", weights_bytes_b, &the_world.b, CODES_8_4, false, false },
    { "qmm_weights_create", "b", weights_create_b, &the_world.b, CODES_8_4, false, false },
    { "qmm_weights_create", "scale of quant", weights_scale, &the_world.scales, QMMI_REALS, true, false },
};

static void bad_types(const slot *s) {
    static const int others[] = { 0, -1, 11, 99, INT32_MAX };
    char list[80] = "";
    for (int i = QMM_S4; i <= QMM_BF16; i++) {
        if (!(s->types & QMMI_TYPE_BIT(i))) continue;
        strcat(strcat(list, " "), qmm_type_name((qmm_type)i));
    }
    for (int i = QMM_S4; i <= QMM_BF16; i++) {
        qmm_tensor t = *s->good;
        t.type = (qmm_type)i;
        if (s->types & QMMI_TYPE_BIT(i)) continue;
        BAD(s->call(&t),
            said("%s: type %s (%d) of %s is not one of%s", s->function, qmm_type_name(t.type), i, s->name, list));
    }
    for (size_t i = 0; i < COUNT_OF(others); i++) {
        qmm_tensor t = *s->good;
        t.type = (qmm_type)others[i];
        BAD(s->call(&t),
            said("%s: type unknown type (%d) of %s is not one of%s", s->function, others[i], s->name, list));
    }
}

static void bad_strides(const slot *s) {
    const qmm_tensor g = *s->good;
    qmm_tensor t;
    t = g, t.rows = -1;
    BAD(s->call(&t), said("%s: rows -1 of %s is negative", s->function, s->name));
    t = g, t.cols = -1, t.row_stride = -1;
    BAD(s->call(&t), said("%s: cols -1 of %s is negative", s->function, s->name));
    t = g, t.batch = 0;
    BAD(s->call(&t), said("%s: batch 0 of %s is less than 1", s->function, s->name));
    t = g, t.batch = INT64_MIN;
    BAD(s->call(&t), said("%s: batch %" PRId64 " of %s is less than 1", s->function, INT64_MIN, s->name));
    t = g, t.batch_stride = -1;
    BAD(s->call(&t), said("%s: batch stride -1 of %s is negative", s->function, s->name));
    t = g, t.row_stride = g.cols - 1;
    BAD(s->call(&t), said("%s: row stride %" PRId64 " of %s is less than its %" PRId64 " columns", s->function,
                          t.row_stride, s->name, t.cols));
    t = g, t.row_stride = INT64_MIN;
    BAD(s->call(&t), said("%s: row stride %" PRId64 " of %s is less than its %" PRId64 " columns", s->function,
                          t.row_stride, s->name, t.cols));
    if (!(s->types & QMMI_TYPE_BIT(QMM_S4))) return;
    for (int type = QMM_S4; type <= QMM_U4; type++) {
        t = g, t.type = (qmm_type)type, t.row_stride = 9;
        BAD(s->call(&t), said("%s: row stride 9 of %s is odd: rows of %s begin on a byte", s->function, s->name,
                              qmm_type_name(t.type)));
        t = g, t.type = (qmm_type)type, t.row_stride = 8, t.batch = 2, t.batch_stride = 63;
        BAD(s->call(&t), said("%s: batch stride 63 of %s is odd: matrices of %s begin on a byte", s->function, s->name,
                              qmm_type_name(t.type)));
    }
}

/* Calls that run nothing take tensors whose memory is not there yet: test_sizing. */
static bool is_sizing(const char *function) {
    return strcmp(function, "qmm_matmul_workspace") == 0 || strcmp(function, "qmm_matmul_explain") == 0 ||
           strcmp(function, "qmm_matmul_plan") == 0 || strcmp(function, "qmm_weights_bytes") == 0;
}

static void bad_places(const slot *s) {
    const size_t element = (size_t)qmm_type_bits(s->good->type) / 8, bytes = extent_of(s->good);
    void *const native = (char *)qmm_buffer_native(s->good->buffer) + s->good->offset;
    qmm_tensor t = *s->good;
    qmm_buffer *small;
    t.buffer = NULL;
    if (!is_sizing(s->function)) BAD(s->call(&t), said("%s: buffer of %s is NULL", s->function, s->name));
    t.buffer = (qmm_buffer *)(void *)w->context;
    BAD(s->call(&t), said("%s: buffer of %s is not a buffer, or freed", s->function, s->name));
    t.buffer = (qmm_buffer *)(void *)w->weights;
    BAD(s->call(&t), said("%s: buffer of %s is not a buffer, or freed", s->function, s->name));

    /* One byte short, at the start and at the end of a buffer. */
    assert_int_equal(qmm_buffer_wrap(w->context, native, bytes - 1, &small), QMM_OK);
    t = *s->good, t.buffer = small, t.offset = 0;
    BAD(s->call(&t),
        said("%s: %zu bytes at offset 0 of %s end past its %zu bytes", s->function, bytes, s->name, bytes - 1));
    qmm_buffer_free(small);
    t = *s->good, t.offset = WORLD_BYTES - bytes + element;
    BAD(s->call(&t), said("%s: %zu bytes at offset %zu of %s end past its %d bytes", s->function, bytes, t.offset,
                          s->name, (int)WORLD_BYTES));
    t.offset = SIZE_MAX;
    BAD(s->call(&t), said("%s: %zu bytes at offset %zu of %s end past its %d bytes", s->function, bytes, t.offset,
                          s->name, (int)WORLD_BYTES));
    if (element == 1) return;
    t.offset = s->good->offset + 1;
    BAD(s->call(&t), said("%s: offset %zu of %s is not aligned to the %zu bytes of its %s elements", s->function,
                          t.offset, s->name, element, qmm_type_name(t.type)));
}

static void bad_sizes(const slot *s) {
    qmm_tensor t = *s->good;
    t.rows = INT64_MAX, t.row_stride = 8 > t.cols ? 8 : t.cols;
    BAD(s->call(&t), said("%s: the size of %s, %" PRId64 " x %" PRId64 " with strides %" PRId64 " and %" PRId64
                          " in a batch of 1, overflows",
                          s->function, s->name, t.rows, t.cols, t.row_stride, t.batch_stride));
    t = *s->good, t.batch = INT64_MAX, t.batch_stride = 1024;
    BAD(s->call(&t), said("%s: the size of %s, %" PRId64 " x %" PRId64 " with strides %" PRId64
                          " and 1024 in a batch of %" PRId64 ", overflows",
                          s->function, s->name, t.rows, t.cols, t.row_stride, t.batch));
    if (!s->written || s->good->rows < 2) return;
    t = *s->good, t.batch = 2, t.batch_stride = (t.rows - 1) * t.row_stride + t.cols - 1;
    BAD(s->call(&t), said("%s: batch stride %" PRId64 " of %s makes its matrices overlap, and it is written",
                          s->function, t.batch_stride, s->name));
}

static void test_tensors(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT_OF(slots); i++) {
        const slot *s = &slots[i];
        if (!s->optional) BAD(s->call(NULL), said("%s: %s is NULL", s->function, s->name));
        bad_types(s);
        bad_strides(s);
        bad_places(s);
        bad_sizes(s);
    }
    end_of_test();
}

/* ---- sizes near 2^31, 2^32, 2^63 ---------------------------------------------------------------------------------- */

static const int64_t extremes[] = {
    INT64_C(-1),          INT64_C(-0x80000000),        INT64_MIN,
    INT64_C(0x7fffffff),  INT64_C(0x80000000),         INT64_C(0x100000000),
    INT64_C(0x100000001), INT64_C(0x4000000000000000), INT64_MAX,
};

/* Any error will do, and no trap. Sizes within the buffer cannot come out of these. */
static void extreme_case(const slot *s, const qmm_tensor *t, int *cases) {
    const qmm_status got = s->call(t);
    ++*cases;
    if (!expect(got == QMM_INVALID_ARGUMENT,
                "%s %s: %" PRId64 " x %" PRId64 " stride %" PRId64 " batch %" PRId64 " stride %" PRId64 ": %s",
                s->function, s->name, t->rows, t->cols, t->row_stride, t->batch, t->batch_stride, qmm_status_name(got)))
        world_poison(w);
}

static void test_extreme_sizes(void **state) {
    int cases = 0;
    (void)state;
    for (size_t n = 0; n < COUNT_OF(slots); n++) {
        const slot *s = &slots[n];
        for (size_t i = 0; i < COUNT_OF(extremes); i++) {
            for (size_t j = 0; j < COUNT_OF(extremes); j++) {
                const int64_t x = extremes[i], y = extremes[j];
                qmm_tensor t = *s->good;
                t.rows = x, t.cols = t.row_stride = y;
                extreme_case(s, &t, &cases);
                t = *s->good, t.rows = 2, t.row_stride = x, t.batch = 2, t.batch_stride = y;
                extreme_case(s, &t, &cases);
                t = *s->good, t.batch = x, t.batch_stride = y;
                extreme_case(s, &t, &cases);
                t = *s->good, t.rows = x, t.row_stride = y;
                extreme_case(s, &t, &cases);
            }
        }
    }
    world_unharmed(w);
    world_works(w);
    expect(cases >= 200, "only %d cases", cases);
    end_of_test();
}

static void test_matrix_sizes(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT_OF(extremes); i++) {
        for (size_t j = 0; j < COUNT_OF(extremes); j++) {
            for (int type = QMM_S4; type <= QMM_BF16; type++) {
                const int64_t x = extremes[i], y = extremes[j];
                const long double exact = (long double)x * (long double)y * qmm_type_bits((qmm_type)type) / 8;
                size_t bytes = 77;
                qmm_status got = qmm_matrix_bytes((qmm_type)type, x, y, 1, &bytes);
                if (x < 0 || y < 0 || exact > 0x1p64L)
                    expect(got == QMM_INVALID_ARGUMENT && bytes == 77, "%" PRId64 " x %" PRId64 " %s: %s %zu", x, y,
                           qmm_type_name((qmm_type)type), qmm_status_name(got), bytes);
                got = qmm_matrix_bytes((qmm_type)type, x, 1, y, &bytes);
                expect(got == QMM_OK || got == QMM_INVALID_ARGUMENT, "%s", qmm_status_name(got));
                qmm_matrix(w->in, (qmm_type)type, x, y); /* never fails */
            }
        }
    }
    expect(qmm_matrix_bytes(QMM_S8, 1, 1, 1, NULL) == QMM_INVALID_ARGUMENT, "NULL bytes");
    expect(qmm_matrix_bytes((qmm_type)0, 1, 1, 1, &(size_t){ 0 }) == QMM_INVALID_ARGUMENT, "type 0");
    expect(qmm_matrix_bytes((qmm_type)11, 1, 1, 1, &(size_t){ 0 }) == QMM_INVALID_ARGUMENT, "type 11");
    expect(qmm_matrix_bytes(QMM_S8, 1, 1, -1, &(size_t){ 0 }) == QMM_INVALID_ARGUMENT, "batch -1");
    end_of_test();
}

/* A wrapped buffer may claim any size: the sizes of what is made of it must not overflow either. */
static void test_claimed_sizes(void **state) {
    qmm_buffer *claimed;
    size_t bytes = 77;
    qmm_weights_options turned = QMM_WEIGHTS_OPTIONS_INIT;
    (void)state;
    turned.transpose_b = 1;
    assert_int_equal(qmm_buffer_wrap(w->context, qmm_buffer_native(w->in), PTRDIFF_MAX / 4, &claimed), QMM_OK);
    for (int log = 52; log <= 60; log++) {
        const qmm_tensor b = tensor_at(claimed, 0, QMM_S8, INT64_C(1) << log, 1, 1);
        const qmm_status got = qmm_weights_bytes(w->context, &b, &turned, &bytes);
        expect(got == QMM_INVALID_ARGUMENT || (got == QMM_OK && bytes >= UINT64_C(64) << log && bytes <= PTRDIFF_MAX),
               "weights of 2^%d rows of 1: %s, %zu bytes", log, qmm_status_name(got), bytes);
    }
    qmm_buffer_free(claimed);
    world_works(w);
    end_of_test();
}

/* In a child, because it might trap or never end. True: it returned 0 in time. */
static bool survives(int (*work)(void)) {
    int status = 0;
    pid_t child;
    fflush(NULL);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const int quiet = open("/dev/null", O_WRONLY);
        dup2(quiet, STDERR_FILENO);
        alarm(10);
        _exit(work());
    }
    waitpid(child, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Empty matrices in a batch of any size are nothing, quickly. */
static const qmm_tensor no_codes = { NULL, 0, QMM_S8, 0, 8, 8, INT64_C(1) << 62, 0 };
static const qmm_tensor no_reals = { NULL, 0, QMM_F32, 0, 8, 8, INT64_C(1) << 62, 0 };
static const qmm_tensor no_scales = { NULL, 0, QMM_F32, 0, 1, 1, INT64_C(1) << 62, 0 };

static int compare_nothing(void) {
    const qmm_status got = qmm_compare(w->context, &no_codes, &no_codes, &w->results.compared);
    return got == QMM_OK && w->results.compared.count == 0 ? 0 : 1;
}

static int quantize_nothing(void) {
    return qmm_quantize(w->context, &no_reals, NULL, &no_codes) == QMM_OK ? 0 : 1;
}

static int quantize_nothing_dynamic(void) {
    return qmm_quantize_dynamic(w->context, &no_reals, QUANT(by_row(&no_scales, NULL)), &no_codes) == QMM_OK ? 0 : 1;
}

static int measure_nothing(void) {
    const qmm_status range = qmm_find_range(w->context, &no_reals, NULL, &w->results.min, &w->results.max);
    return range == QMM_OK && qmm_measure_error(w->context, &no_reals, &no_reals, &w->results.measure) == QMM_OK ? 0
                                                                                                                 : 1;
}

static void test_empty_batch(void **state) {
    (void)state;
    expect(survives(compare_nothing), "qmm_compare of 2^62 empty matrices");
    expect(survives(quantize_nothing), "qmm_quantize of 2^62 empty matrices");
    expect(survives(quantize_nothing_dynamic), "qmm_quantize_dynamic of 2^62 empty matrices");
    expect(survives(measure_nothing), "qmm_find_range and qmm_measure_error of 2^62 empty matrices");
    end_of_test();
}

/* ---- shapes and types of one against another ---------------------------------------------------------------------- */

static qmm_tensor sized(qmm_tensor t, int64_t rows, int64_t cols) {
    t.rows = rows;
    t.cols = cols;
    if (t.row_stride < cols) t.row_stride = cols;
    return t;
}

static qmm_tensor typed(qmm_tensor t, qmm_type type) {
    t.type = type;
    return t;
}

static void test_shapes(void **state) {
    const qmm_tensor wide_q = sized(w->q, 6, 9), two_q = batched(w->q, 2, 48);
    (void)state;
    BAD(qmm_quantize(w->context, &w->x, NULL, &wide_q), "qmm_quantize: q is 6 x 9 but x is 6 x 8");
    BAD(qmm_quantize(w->context, &w->x, NULL, &two_q), "qmm_quantize: batch 2 of q is not the 1 of x");
    BAD(qmm_quantize_dynamic(w->context, &w->x, &w->row_quant_out, &wide_q),
        "qmm_quantize_dynamic: q is 6 x 9 but x is 6 x 8");
    BAD(qmm_dequantize(w->context, &w->codes, NULL, TENSOR(sized(w->real, 5, 8))),
        "qmm_dequantize: x is 5 x 8 but q is 6 x 8");
    BAD(qmm_requantize(w->context, &w->codes, NULL, TENSOR(sized(w->q, 8, 6)), NULL),
        "qmm_requantize: target is 8 x 6 but source is 6 x 8");
    BAD(qmm_measure_error(w->context, &w->x, TENSOR(sized(w->x, 6, 7)), &w->results.measure),
        "qmm_measure_error: got is 6 x 7 but reference is 6 x 8");
    BAD(qmm_measure_error(w->context, &w->x, TENSOR(batched(w->x, 3, 48)), &w->results.measure),
        "qmm_measure_error: batch 3 of got is not the 1 of reference");
    BAD(qmm_compare(w->context, &w->codes, TENSOR(sized(w->codes, 5, 8)), &w->results.compared),
        "qmm_compare: got is 5 x 8 but expected is 6 x 8");
    BAD(qmm_compare(w->context, &w->codes, TENSOR(typed(w->codes, QMM_U8)), &w->results.compared),
        "qmm_compare: type u8 of got is not the s8 of expected");
    BAD(qmm_matmul(w->context, NULL, &w->a, TENSOR(sized(w->b, 7, 5)), &w->c), "qmm_matmul: K is 8 in a but 7 in b");
    BAD(qmm_matmul(w->context, NULL, &w->a, &w->b, TENSOR(sized(w->c, 6, 4))),
        "qmm_matmul: c is 6 x 4, not the 6 x 5 of a times b");
    BAD(qmm_matmul(w->context, NULL, &w->a, &w->b, TENSOR(sized(w->c, 5, 6))),
        "qmm_matmul: c is 5 x 6, not the 6 x 5 of a times b");
    BAD(qmm_matmul(w->context, NULL, TENSOR(batched(w->a, 2, 48)), &w->b, &w->c),
        "qmm_matmul: batch 2 of a is neither 1 nor the 1 of c");
    BAD(qmm_matmul(w->context, NULL, &w->a, TENSOR(batched(w->b, 2, 40)), TENSOR(batched(w->c, 3, 30))),
        "qmm_matmul: batch 2 of b is neither 1 nor the 3 of c");
    {
        qmm_matmul_desc turned = QMM_MATMUL_DESC_INIT;
        turned.transpose_a = 1;
        BAD(qmm_matmul(w->context, &turned, &w->a, &w->b, &w->c), "qmm_matmul: K is 6 in a but 8 in b");
        turned.transpose_a = 0, turned.transpose_b = -1;
        BAD(qmm_matmul(w->context, &turned, &w->a, &w->b, &w->c), "qmm_matmul: K is 8 in a but 5 in b");
    }
    end_of_test();
}

/* ---- sums of codes ------------------------------------------------------------------------------------------------ */

static qmm_quant with_sums(const qmm_tensor *sums) {
    qmm_quant q = QMM_QUANT_INIT;
    q.sums = sums;
    return q;
}

static void test_sums(void **state) {
    const qmm_tensor column = sized(w->c, 6, 1), wrong_shape = sized(w->c, 5, 1), wrong_type = typed(column, QMM_F32);
    const qmm_quant good = with_sums(&column), bad_shape = with_sums(&wrong_shape), bad_type = with_sums(&wrong_type);
    const qmm_quant on_codes = with_sums(TENSOR(typed(sized(w->q, 6, 1), QMM_S32)));
    (void)state;
    expect(qmm_quantize(w->context, &w->x, &good, &w->q) == QMM_OK, "sums beside codes: %s",
           qmm_context_error(w->context));
    world_poison(w);
    BAD(qmm_quantize(w->context, &w->x, &bad_shape, &w->q),
        "qmm_quantize: sums of quant is 5 x 1, not 6 x 1: one for each row and group");
    BAD(qmm_quantize(w->context, &w->x, &bad_type, &w->q),
        "qmm_quantize: type f32 (8) of sums of quant is not one of s32");
    BAD(qmm_quantize(w->context, &w->x, &on_codes, &w->q),
        "qmm_quantize: sums of quant overlaps q, and sums of quant is written");
    BAD(qmm_dequantize(w->context, &w->codes, &good, &w->real),
        "qmm_dequantize: sums of quant is given: only quantize writes sums, and only a matmul's quant_a brings them");
    BAD(qmm_matmul(w->context, DESC(desc_with(NULL, &good, NULL, NULL)), &w->a, &w->b, &w->c_codes),
        "qmm_matmul: sums of quant_c is given: only quantize writes sums, and only a matmul's quant_a brings them");
    end_of_test();
}

/* ---- quantization parameters -------------------------------------------------------------------------------------- */

static qmm_quant quant_of(qmm_granularity granularity, int64_t group_size, const qmm_tensor *scale,
                          const qmm_tensor *zero) {
    qmm_quant q = QMM_QUANT_INIT;
    q.granularity = granularity;
    q.group_size = group_size;
    q.scale = scale;
    q.zero = zero;
    return q;
}

static qmm_quant host_quant(float scale, int32_t zero, int32_t bits) {
    qmm_quant q = QMM_QUANT_INIT;
    q.scale_value = scale;
    q.zero_value = zero;
    q.bits = bits;
    return q;
}

static qmm_status quantize_with(qmm_quant q) {
    return qmm_quantize(w->context, &w->x, &q, &w->q);
}

static void test_host_values(void **state) {
    static const float scales[] = { 0.0f, -0.0f, -1.0f, -FLT_MIN, NAN, INFINITY, -INFINITY };
    qmm_matmul_desc desc = QMM_MATMUL_DESC_INIT;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(scales); i++) {
        const qmm_quant q = host_quant(scales[i], 0, 0);
        const double s = (double)scales[i];
        BAD(quantize_with(q), said("qmm_quantize: scale value %g of quant is not finite and above 0", s));
        BAD(qmm_dequantize(w->context, &w->codes, &q, &w->real),
            said("qmm_dequantize: scale value %g of quant is not finite and above 0", s));
        BAD(qmm_requantize(w->context, &w->codes, &q, &w->q, NULL),
            said("qmm_requantize: scale value %g of source_quant is not finite and above 0", s));
        BAD(qmm_requantize(w->context, &w->codes, NULL, &w->q, &q),
            said("qmm_requantize: scale value %g of target_quant is not finite and above 0", s));
        desc = desc_with(&q, NULL, NULL, NULL);
        BAD(qmm_matmul(w->context, &desc, &w->a, &w->b, &w->c_real),
            said("qmm_matmul: scale value %g of quant_a is not finite and above 0", s));
        desc = desc_with(NULL, &q, NULL, NULL);
        BAD(qmm_matmul(w->context, &desc, &w->a, &w->b, &w->c_codes),
            said("qmm_matmul: scale value %g of quant_c is not finite and above 0", s));
        desc = desc_with(NULL, NULL, NULL, NULL), desc.quant_b = &q;
        BAD(qmm_matmul(w->context, &desc, &w->a, &w->b, &w->c_real),
            said("qmm_matmul: scale value %g of quant_b is not finite and above 0", s));
        BAD(weights_with(&w->b, &q), said("qmm_weights_create: scale value %g of quant is not finite and above 0", s));
    }
    BAD(quantize_with(host_quant(1.0f, 128, 0)), "qmm_quantize: zero value 128 of quant is outside -128 to 127");
    BAD(quantize_with(host_quant(1.0f, INT32_MIN, 0)),
        "qmm_quantize: zero value -2147483648 of quant is outside -128 to 127");
    BAD(quantize_with(host_quant(1.0f, 128, 4)), "qmm_quantize: zero value 128 of quant is outside -128 to 127");
    BAD(qmm_quantize(w->context, &w->x, QUANT(host_quant(1.0f, -1, 0)), TENSOR(typed(w->q, QMM_U8))),
        "qmm_quantize: zero value -1 of quant is outside 0 to 255");
    BAD(qmm_matmul(w->context, DESC(desc_with(QUANT(host_quant(1.0f, 256, 0)), NULL, NULL, NULL)),
                   TENSOR(typed(w->a, QMM_U8)), &w->b, &w->c),
        "qmm_matmul: zero value 256 of quant_a is outside 0 to 255");
    for (int bits = -1; bits <= 17; bits++) {
        if (bits == 0 || (bits >= 2 && bits <= 8)) continue;
        BAD(quantize_with(host_quant(1.0f, 0, bits)),
            said("qmm_quantize: bits %d of quant cannot be had in s8, the type of q", bits));
    }
    BAD(qmm_quantize(w->context, &w->x, QUANT(host_quant(1.0f, 0, 8)), TENSOR(typed(w->q, QMM_S16))),
        "qmm_quantize: bits 8 of quant cannot be had in s16, the type of q");
    BAD(qmm_quantize(w->context, &w->x, QUANT(host_quant(1.0f, 0, 5)), TENSOR(typed(w->q, QMM_U4))),
        "qmm_quantize: bits 5 of quant cannot be had in u4, the type of q");
    end_of_test();
}

static void test_granularity(void **state) {
    const qmm_tensor *s = &w->scales, *z = &w->zeros;
    const qmm_tensor row = sized(*s, 1, 6), short_row = sized(*s, 1, 5), square = sized(*s, 2, 3);
    const qmm_tensor eight = sized(*s, 8, 1), groups = sized(*s, 6, 2);
    (void)state;
    BAD(quantize_with(quant_of((qmm_granularity)5, 0, s, NULL)),
        "qmm_quantize: granularity 5 of quant is none of qmm_granularity");
    BAD(quantize_with(quant_of((qmm_granularity)-1, 0, s, NULL)),
        "qmm_quantize: granularity -1 of quant is none of qmm_granularity");
    BAD(quantize_with(quant_of(QMM_PER_ROW, 4, s, NULL)),
        "qmm_quantize: group size 4 of quant must be 0: it is per row");
    BAD(quantize_with(quant_of(QMM_PER_TENSOR, -4, NULL, NULL)),
        "qmm_quantize: group size -4 of quant must be 0: it is per tensor");
    BAD(quantize_with(quant_of(QMM_PER_ROW_GROUP, 0, s, NULL)), "qmm_quantize: group size 0 of quant is less than 1");
    BAD(quantize_with(quant_of(QMM_PER_COLUMN_GROUP, -1, s, NULL)),
        "qmm_quantize: group size -1 of quant is less than 1");
    BAD(quantize_with(quant_of(QMM_PER_ROW_GROUP, INT64_MIN, s, NULL)),
        said("qmm_quantize: group size %" PRId64 " of quant is less than 1", INT64_MIN));
    BAD(quantize_with(quant_of(QMM_PER_ROW_GROUP, 3, s, NULL)),
        "qmm_quantize: group size 3 of quant does not divide the 8 columns of q");
    BAD(quantize_with(quant_of(QMM_PER_ROW_GROUP, INT64_MAX, s, NULL)),
        said("qmm_quantize: group size %" PRId64 " of quant does not divide the 8 columns of q", INT64_MAX));
    BAD(quantize_with(quant_of(QMM_PER_COLUMN_GROUP, 4, s, NULL)),
        "qmm_quantize: group size 4 of quant does not divide the 6 rows of q");
    BAD(quantize_with(quant_of(QMM_PER_ROW, 0, NULL, NULL)),
        "qmm_quantize: scale of quant is NULL but it is per row: a host value serves per tensor only");
    BAD(quantize_with(quant_of(QMM_PER_COLUMN, 0, NULL, z)),
        "qmm_quantize: scale of quant is NULL but it is per column: a host value serves per tensor only");
    BAD(quantize_with(quant_of(QMM_PER_ROW, 0, &short_row, NULL)),
        "qmm_quantize: scale of quant is 1 x 5, not the 6 x 1 of per row");
    BAD(quantize_with(quant_of(QMM_PER_ROW, 0, &square, NULL)),
        "qmm_quantize: scale of quant is 2 x 3, not the 6 x 1 of per row");
    BAD(quantize_with(quant_of(QMM_PER_COLUMN, 0, &row, NULL)),
        "qmm_quantize: scale of quant is 1 x 6, not the 1 x 8 of per column");
    BAD(quantize_with(quant_of(QMM_PER_TENSOR, 0, &row, NULL)),
        "qmm_quantize: scale of quant is 1 x 6, not the 1 x 1 of per tensor");
    BAD(quantize_with(quant_of(QMM_PER_ROW_GROUP, 2, &groups, NULL)),
        "qmm_quantize: scale of quant is 6 x 2, not the 6 x 4 of per row group");
    BAD(quantize_with(quant_of(QMM_PER_COLUMN_GROUP, 3, &groups, NULL)),
        "qmm_quantize: scale of quant is 6 x 2, not the 2 x 8 of per column group");
    BAD(quantize_with(quant_of(QMM_PER_ROW, 0, s, TENSOR(sized(*z, 5, 1)))),
        "qmm_quantize: zero of quant is 5 x 1, not the 6 x 1 of per row");
    BAD(quantize_with(quant_of(QMM_PER_ROW, 0, TENSOR(batched(*s, 2, 8)), NULL)),
        "qmm_quantize: batch 2 of scale of quant is not 1");
    {
        qmm_quant both = quant_of(QMM_PER_ROW, 0, s, z);
        both.zero_value = 1;
        BAD(quantize_with(both), "qmm_quantize: zero value 1 of quant is given beside its zero tensor");
    }
    /* What is written */
    BAD(qmm_quantize_dynamic(w->context, &w->x, NULL, &w->q),
        "qmm_quantize_dynamic: scale of quant is NULL: it is where the scales go");
    BAD(qmm_quantize_dynamic(w->context, &w->x, QUANT(quant_of(QMM_PER_TENSOR, 0, NULL, &w->zeros_out)), &w->q),
        "qmm_quantize_dynamic: scale of quant is NULL: it is where the scales go");
    BAD(qmm_quantize_dynamic(w->context, TENSOR(batched(w->x, 2, 0)),
                             QUANT(quant_of(QMM_PER_ROW, 0, &w->scales_out, NULL)), TENSOR(batched(w->q, 2, 48))),
        "qmm_quantize_dynamic: batch 1 of scale of quant is not 2");
    {
        qmm_quant given = quant_of(QMM_PER_ROW, 0, &w->scales_out, NULL);
        given.zero_value = 5; /* symmetric: there is no place for one */
        BAD(qmm_quantize_dynamic(w->context, &w->x, &given, &w->q),
            "qmm_quantize_dynamic: zero value 5 of quant must be 0: the zero points are found, not given");
    }
    /* Accumulators have no zero point and no bits. */
    {
        const qmm_tensor sums = tensor_at(w->in, 2048, QMM_S32, 6, 8, 8);
        BAD(qmm_dequantize(w->context, &sums, QUANT(host_quant(1.0f, 0, 8)), &w->real),
            "qmm_dequantize: bits 8 of quant must be 0: q is s32");
        BAD(qmm_dequantize(w->context, &sums, QUANT(host_quant(1.0f, 1, 0)), &w->real),
            "qmm_dequantize: zero value 1 of quant must be 0: q is s32");
        BAD(qmm_dequantize(w->context, &sums, QUANT(quant_of(QMM_PER_ROW, 0, s, z)), &w->real),
            "qmm_dequantize: zero of quant is given but q is s32: its zero point is 0");
    }
    /* Matmul operands vary along the side that K does not run along. */
    BAD(qmm_matmul(w->context, DESC(desc_with(QUANT(quant_of(QMM_PER_COLUMN, 0, &eight, NULL)), NULL, NULL, NULL)),
                   &w->a, &w->b, &w->c_real),
        "qmm_matmul: quant_a is per column, but the sum runs over the columns of a: it may be per tensor, per row or "
        "per row group");
    BAD(weights_with(&w->b, QUANT(quant_of(QMM_PER_ROW, 0, &eight, NULL))),
        "qmm_weights_create: quant is per row, but the sum runs over the rows of b: it may be per tensor, per column "
        "or per column group");
    {
        qmm_matmul_desc desc = QMM_MATMUL_DESC_INIT;
        const qmm_tensor b_groups = tensor_at(w->in, 768, QMM_F32, 2, 5, 5);
        const qmm_tensor a_groups = tensor_at(w->in, 768, QMM_F32, 6, 4, 4);
        const qmm_quant qb = quant_of(QMM_PER_COLUMN_GROUP, 4, &b_groups, NULL);
        const qmm_quant qa = quant_of(QMM_PER_ROW_GROUP, 2, &a_groups, NULL);
        const qmm_quant qc = quant_of(QMM_PER_ROW_GROUP, 5, s, NULL);
        desc.quant_a = &qa, desc.quant_b = &qb;
        BAD(qmm_matmul(w->context, &desc, &w->a, &w->b, &w->c_real),
            "qmm_matmul: group size 2 of quant_a is not the 4 of quant_b");
        desc.quant_a = NULL, desc.bias = &w->bias32;
        BAD(qmm_matmul(w->context, &desc, &w->a, &w->b, &w->c_real),
            "qmm_matmul: bias is s32, but with groups along K there is no one accumulator to add it to");
        desc.quant_b = NULL, desc.bias = NULL, desc.quant_c = &qc;
        BAD(qmm_matmul(w->context, &desc, &w->a, &w->b, &w->c_codes),
            "qmm_matmul: quant_c is per row group: it may be per tensor, per row or per column");
    }
    end_of_test();
}

/* Device scales are the caller's promise, but none of them may trap. */
static void test_device_scales(void **state) {
    static const float bad[6] = { 0.0f, -1.0f, NAN, INFINITY, FLT_MIN / 4, -0.0f };
    static const int32_t far[6] = { INT32_MAX, INT32_MIN, 300, -300, 128, -129 };
    qmm_quant q;
    (void)state;
    qmm_buffer_upload(w->context, w->in, 768, bad, sizeof bad);
    qmm_buffer_upload(w->context, w->in, 896, far, sizeof far);
    q = quant_of(QMM_PER_ROW, 0, &w->scales, &w->zeros);
    expect_ok(w->context, qmm_quantize(w->context, &w->x, &q, &w->q), "quantize");
    expect_ok(w->context, qmm_dequantize(w->context, &w->codes, &q, &w->real), "dequantize");
    expect_ok(w->context, qmm_requantize(w->context, &w->codes, &q, &w->q, &q), "requantize");
    expect_ok(w->context, qmm_matmul(w->context, DESC(desc_with(&q, &q, NULL, NULL)), &w->a, &w->b, &w->c_codes),
              "matmul");
    qmm_buffer_upload(w->context, w->in, 0, w->in_copy, WORLD_BYTES);
    world_poison(w);
    world_works(w);
    end_of_test();
}

/* ---- overlap ------------------------------------------------------------------------------------------------------ */

static void test_overlap(void **state) {
    qmm_matmul_desc desc = QMM_MATMUL_DESC_INIT;
    qmm_weights_options options = QMM_WEIGHTS_OPTIONS_INIT;
    qmm_weights *weights;
    const qmm_tensor on_x = tensor_at(w->in, 0, QMM_S8, 6, 8, 8), last_of_x = tensor_at(w->in, 191, QMM_S8, 6, 8, 8);
    const qmm_tensor real_on_codes = tensor_at(w->in, 256, QMM_F32, 6, 8, 8);
    const qmm_tensor c_on_a = tensor_at(w->in, 300, QMM_S8, 6, 5, 5), c_on_b = tensor_at(w->in, 512, QMM_S8, 6, 5, 5);
    const qmm_tensor c_on_bias = tensor_at(w->in, 1040, QMM_F32, 6, 5, 5);
    const qmm_tensor c_on_residual = tensor_at(w->in, 1284, QMM_F32, 6, 5, 5);
    const qmm_tensor c_on_scales = tensor_at(w->in, 780, QMM_S8, 6, 5, 5);
    const qmm_tensor c_on_zeros = tensor_at(w->in, 900, QMM_S8, 6, 5, 5);
    const qmm_tensor row_scales = sized(w->scales, 1, 5);
    const qmm_quant b_quant = quant_of(QMM_PER_COLUMN, 0, &row_scales, NULL);
    (void)state;
    BAD(qmm_quantize(w->context, &w->x, NULL, &on_x), "qmm_quantize: q overlaps x, and q is written");
    BAD(qmm_quantize(w->context, &w->x, NULL, &last_of_x), "qmm_quantize: q overlaps x, and q is written");
    BAD(qmm_quantize(w->context, &w->x, &w->row_quant, TENSOR(tensor_at(w->in, 791, QMM_S8, 6, 8, 8))),
        "qmm_quantize: q overlaps scale of quant, and q is written");
    BAD(qmm_quantize(w->context, &w->x, &w->row_quant, TENSOR(tensor_at(w->in, 849, QMM_S8, 6, 8, 8))),
        "qmm_quantize: q overlaps zero of quant, and q is written");
    BAD(qmm_dequantize(w->context, &w->codes, NULL, &real_on_codes), "qmm_dequantize: x overlaps q, and x is written");
    BAD(qmm_requantize(w->context, &w->codes, NULL, &w->codes, NULL),
        "qmm_requantize: target overlaps source, and target is written");
    BAD(qmm_quantize_dynamic(w->context, &w->x, &w->row_quant_out, TENSOR(tensor_at(w->out, 1024, QMM_S8, 6, 8, 8))),
        "qmm_quantize_dynamic: q overlaps scale of quant, and q is written");
    BAD(qmm_quantize_dynamic(w->context, &w->x, &w->row_quant_out, TENSOR(tensor_at(w->out, 1152, QMM_S8, 6, 8, 8))),
        "qmm_quantize_dynamic: q overlaps zero of quant, and q is written");
    BAD(qmm_quantize_dynamic(w->context, &w->x,
                             QUANT(by_row(&w->scales_out, TENSOR(tensor_at(w->out, 1044, QMM_S32, 6, 1, 1)))), &w->q),
        "qmm_quantize_dynamic: scale of quant overlaps zero of quant, and scale of quant is written");
    BAD(qmm_quantize_dynamic(w->context, &w->x, QUANT(by_row(TENSOR(tensor_at(w->in, 188, QMM_F32, 6, 1, 1)), NULL)),
                             &w->q),
        "qmm_quantize_dynamic: scale of quant overlaps x, and scale of quant is written");
    BAD(qmm_matmul(w->context, NULL, &w->a, &w->b, &c_on_a), "qmm_matmul: c overlaps a, and c is written");
    BAD(qmm_matmul(w->context, NULL, &w->a, &w->b, &c_on_b), "qmm_matmul: c overlaps b, and c is written");
    desc.bias = &w->bias;
    BAD(qmm_matmul(w->context, &desc, &w->a, &w->b, &c_on_bias), "qmm_matmul: c overlaps bias, and c is written");
    desc = desc_with(NULL, NULL, NULL, &w->residual);
    BAD(qmm_matmul(w->context, &desc, &w->a, &w->b, &c_on_residual),
        "qmm_matmul: c overlaps residual, and c is written");
    /* As large and in the same place, but with other strides or types it is no longer the residual itself. */
    BAD(qmm_matmul(w->context, &desc, &w->a, &w->b, TENSOR(tensor_at(w->in, 1280, QMM_F32, 6, 5, 6))),
        "qmm_matmul: c overlaps residual, and c is written");
    BAD(qmm_matmul(w->context, &desc, &w->a, &w->b, TENSOR(tensor_at(w->in, 1280, QMM_F16, 6, 5, 5))),
        "qmm_matmul: c overlaps residual, and c is written");
    desc = desc_with(&w->row_quant, NULL, NULL, NULL);
    BAD(qmm_matmul(w->context, &desc, &w->a, &w->b, &c_on_scales),
        "qmm_matmul: c overlaps scale of quant_a, and c is written");
    BAD(qmm_matmul(w->context, &desc, &w->a, &w->b, &c_on_zeros),
        "qmm_matmul: c overlaps zero of quant_a, and c is written");
    desc = desc_with(NULL, NULL, NULL, NULL), desc.quant_b = &b_quant;
    BAD(qmm_matmul(w->context, &desc, &w->a, &w->b, &c_on_scales),
        "qmm_matmul: c overlaps scale of quant_b, and c is written");
    desc = desc_with(NULL, &w->row_quant, NULL, NULL);
    BAD(qmm_matmul(w->context, &desc, &w->a, &w->b, &c_on_scales),
        "qmm_matmul: c overlaps scale of quant_c, and c is written");
    /* Workspace is written too. */
    desc = desc_with(NULL, NULL, NULL, NULL), desc.workspace = w->out, desc.workspace_offset = 512;
    desc.workspace_bytes = 256;
    BAD(qmm_matmul(w->context, &desc, &w->a, &w->b, &w->c),
        "qmm_matmul: workspace overlaps c, and workspace is written");
    desc.workspace = w->in, desc.workspace_offset = 256;
    BAD(qmm_matmul(w->context, &desc, &w->a, &w->b, &w->c),
        "qmm_matmul: workspace overlaps a, and workspace is written");
    desc.workspace_offset = 512;
    BAD(qmm_matmul(w->context, &desc, &w->a, &w->b, &w->c),
        "qmm_matmul: workspace overlaps b, and workspace is written");
    desc.bias = &w->bias, desc.workspace_offset = 1024, desc.workspace_bytes = 64;
    BAD(qmm_matmul(w->context, &desc, &w->a, &w->b, &w->c_real),
        "qmm_matmul: workspace overlaps bias, and workspace is written");
    options.storage = w->in, options.storage_offset = 0;
    BAD(qmm_weights_create(w->context, &w->b, &options, &weights),
        "qmm_weights_create: storage overlaps b, and storage is written");
    end_of_test();
}

/* c of a matmul whose weights lie in the caller's buffer. */
static void test_overlap_storage(void **state) {
    qmm_matmul_desc desc = QMM_MATMUL_DESC_INIT;
    qmm_weights_options options = QMM_WEIGHTS_OPTIONS_INIT;
    qmm_weights *weights;
    const qmm_tensor c = tensor_at(w->scratch, 4, QMM_S32, 6, 5, 5);
    (void)state;
    options.storage = w->scratch;
    assert_int_equal(qmm_weights_create(w->context, &w->b, &options, &weights), QMM_OK);
    desc.weights = weights;
    BAD(qmm_matmul(w->context, &desc, &w->a, NULL, &c), "qmm_matmul: c overlaps the weights, and c is written");
    qmm_weights_free(weights);
    end_of_test();
}

/* What looks like overlap and is none. */
static void test_allowed_overlap(void **state) {
    qmm_matmul_desc desc = QMM_MATMUL_DESC_INIT;
    qmm_buffer *shared = make_buffer(w->context, NULL, 4096);
    float whole[6][16];
    int8_t *bytes = qmm_buffer_native(shared);
    int32_t apart[60], heads[60];
    (void)state;
    /* Sub-matrices side by side of one parent of bytes: codes in columns 0-7, quantized into 8-15. */
    memcpy(bytes, w->in_copy + 256, 96);
    expect_ok(w->context,
              qmm_requantize(w->context, TENSOR(tensor_at(shared, 0, QMM_S8, 6, 8, 16)), NULL,
                             TENSOR(tensor_at(shared, 8, QMM_S8, 6, 8, 16)), NULL),
              "side by side");
    for (int i = 0; i < 6; i++) expect_bytes(bytes + i * 16 + 8, bytes + i * 16, 8, "side by side");
    expect_ok(w->context,
              qmm_requantize(w->context, TENSOR(tensor_at(shared, 8, QMM_S8, 6, 8, 16)), NULL,
                             TENSOR(tensor_at(shared, 0, QMM_S8, 6, 8, 16)), NULL),
              "side by side, turned");
    BAD(qmm_requantize(w->context, TENSOR(tensor_at(shared, 0, QMM_S8, 6, 8, 16)), NULL,
                       TENSOR(tensor_at(shared, 7, QMM_S8, 6, 8, 16)), NULL),
        "qmm_requantize: target overlaps source, and target is written");
    BAD(qmm_requantize(w->context, TENSOR(tensor_at(shared, 0, QMM_S8, 6, 8, 16)), NULL,
                       TENSOR(tensor_at(shared, 9, QMM_S8, 6, 8, 16)), NULL), /* wraps round to the next row */
        "qmm_requantize: target overlaps source, and target is written");
    /* 4-bit codes side by side. */
    expect_ok(w->context,
              qmm_requantize(w->context, TENSOR(tensor_at(shared, 0, QMM_S4, 6, 8, 16)), NULL,
                             TENSOR(tensor_at(shared, 4, QMM_U4, 6, 8, 16)), NULL),
              "nibbles side by side");
    /* Floats: x in columns 0-7 of a parent, dequantized codes from elsewhere into 8-15, range of the left untouched. */
    memset(qmm_buffer_native(shared), 0, sizeof whole);
    expect_ok(w->context, qmm_dequantize(w->context, &w->codes, NULL, TENSOR(tensor_at(shared, 32, QMM_F32, 6, 8, 16))),
              "right half");
    memcpy(whole, qmm_buffer_native(shared), sizeof whole);
    for (int i = 0; i < 6; i++)
        for (int j = 0; j < 8; j++)
            expect(whole[i][j] == 0.0f && whole[i][j + 8] == (float)(int8_t)w->in_copy[256 + i * 8 + j], "(%d,%d)", i,
                   j);
    /* The residual is c itself. */
    memcpy(bytes, w->in_copy + 1280, 120);
    desc.residual = TENSOR(tensor_at(shared, 0, QMM_F32, 6, 5, 5));
    expect_ok(w->context, qmm_matmul(w->context, &desc, &w->a, &w->b, desc.residual), "residual is c");
    memcpy(whole, bytes, 120);
    desc.residual = &w->residual;
    expect_ok(w->context, qmm_matmul(w->context, &desc, &w->a, &w->b, &w->c_real), "residual apart");
    expect_bytes(whole, (char *)qmm_buffer_native(w->out) + 768, 120, "residual is c");
    world_poison(w);
    /* Heads of a batch interleaved in each row of c: 2 matrices of 6 x 5, rows 10 apart, matrices 5 apart. */
    desc.residual = NULL;
    expect_ok(w->context,
              qmm_matmul(w->context, NULL, TENSOR(batched(w->a, 2, 0)), TENSOR(batched(w->b, 2, 3)),
                         TENSOR(batched(tensor_at(shared, 0, QMM_S32, 6, 5, 5), 2, 30))),
              "heads apart");
    memcpy(apart, bytes, sizeof apart);
    expect_ok(w->context,
              qmm_matmul(w->context, NULL, TENSOR(batched(w->a, 2, 0)), TENSOR(batched(w->b, 2, 3)),
                         TENSOR(batched(tensor_at(shared, 0, QMM_S32, 6, 5, 10), 2, 5))),
              "heads interleaved");
    memcpy(heads, bytes, sizeof heads);
    for (int h = 0; h < 2; h++)
        for (int i = 0; i < 6; i++)
            expect_bytes(&heads[i * 10 + h * 5], &apart[h * 30 + i * 5], 20, "heads interleaved");
    BAD(qmm_matmul(w->context, NULL, TENSOR(batched(w->a, 2, 0)), TENSOR(batched(w->b, 2, 3)),
                   TENSOR(batched(tensor_at(shared, 0, QMM_S32, 6, 5, 10), 2, 4))),
        "qmm_matmul: batch stride 4 of c makes its matrices overlap, and it is written");
    BAD(qmm_matmul(w->context, NULL, TENSOR(batched(w->a, 3, 0)), TENSOR(batched(w->b, 3, 3)),
                   TENSOR(batched(tensor_at(shared, 0, QMM_S32, 6, 5, 10), 3, 5))),
        "qmm_matmul: batch stride 5 of c makes its matrices overlap, and it is written");
    qmm_buffer_free(shared);
    end_of_test();
}

/* ---- the rest of matmul ------------------------------------------------------------------------------------------- */

static void test_matmul_rules(void **state) {
    qmm_matmul_desc desc = QMM_MATMUL_DESC_INIT;
    const qmm_quant plain = QMM_QUANT_INIT;
    const qmm_tensor turned_bias = tensor_at(w->in, 1024, QMM_F32, 5, 1, 1);
    (void)state;
    desc.activation = (qmm_activation)5;
    BAD(qmm_matmul(w->context, &desc, &w->a, &w->b, &w->c_real),
        "qmm_matmul: activation 5 of desc is none of qmm_activation");
    desc.activation = (qmm_activation)-1;
    BAD(qmm_matmul(w->context, &desc, &w->a, &w->b, &w->c_real),
        "qmm_matmul: activation -1 of desc is none of qmm_activation");
    desc.activation = QMM_ACTIVATION_RELU;
    BAD(qmm_matmul(w->context, &desc, &w->a, &w->b, &w->c),
        "qmm_matmul: activation 1 of desc needs a c other than s32");
    desc = desc_with(NULL, NULL, NULL, &w->residual);
    BAD(qmm_matmul(w->context, &desc, &w->a, &w->b, &w->c), "qmm_matmul: residual of desc needs a c other than s32");
    desc = desc_with(NULL, NULL, &w->bias, NULL);
    BAD(qmm_matmul(w->context, &desc, &w->a, &w->b, &w->c),
        "qmm_matmul: bias of desc is f32, which needs a c other than s32");
    desc = desc_with(NULL, &plain, NULL, NULL);
    BAD(qmm_matmul(w->context, &desc, &w->a, &w->b, &w->c),
        "qmm_matmul: quant_c of desc is given but c is s32, which is not quantized");
    BAD(qmm_matmul(w->context, &desc, &w->a, &w->b, &w->c_real),
        "qmm_matmul: quant_c of desc is given but c is f32, which is not quantized");
    desc = desc_with(NULL, NULL, TENSOR(sized(w->bias, 1, 4)), NULL);
    BAD(qmm_matmul(w->context, &desc, &w->a, &w->b, &w->c_real),
        "qmm_matmul: bias is 1 x 4, not 1 x the 5 columns of c");
    desc.bias = TENSOR(batched(w->bias, 2, 8));
    BAD(qmm_matmul(w->context, &desc, &w->a, &w->b, &w->c_real),
        "qmm_matmul: batch 2 of bias is neither 1 nor the 1 of c");
    desc.bias = &turned_bias;
    expect_ok(w->context, qmm_matmul(w->context, &desc, &w->a, &w->b, &w->c_real), "a bias of N x 1");
    world_poison(w);
    desc = desc_with(NULL, NULL, NULL, TENSOR(sized(w->residual, 5, 6)));
    BAD(qmm_matmul(w->context, &desc, &w->a, &w->b, &w->c_real), "qmm_matmul: residual is 5 x 6, not the 6 x 5 of c");
    desc.residual = TENSOR(batched(w->residual, 2, 30));
    BAD(qmm_matmul(w->context, &desc, &w->a, &w->b, &w->c_real),
        "qmm_matmul: batch 2 of residual is neither 1 nor the 1 of c");
    end_of_test();
}

static void test_k_limit(void **state) {
    static const struct {
        qmm_type a, b;
        int32_t za, zb;
        int64_t limit;
        const char *pair;
    } cases[] = {
        { QMM_S8, QMM_S8, 0, 0, 131071, "s8 x s8" },
        { QMM_U8, QMM_S8, 0, 0, 65793, "u8 x s8" },
        { QMM_S8, QMM_U8, 0, 0, 65793, "s8 x u8" },
        { QMM_U8, QMM_U8, 0, 0, 33025, "u8 x u8" },
        { QMM_S8, QMM_S8, 1, -1, 33025, "s8 x s8 with zero points" },
        { QMM_S8, QMM_S8, 0, 1, 65793, "s8 x s8 with zero points" },
    };
    enum { LENGTH = 131072 };
    qmm_buffer *large = make_buffer(w->context, NULL, LENGTH), *sum = make_buffer(w->context, NULL, 4);
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const int64_t k = cases[i].limit;
        const qmm_quant qa = host_quant(1.0f, cases[i].za, 0), qb = host_quant(1.0f, cases[i].zb, 0);
        const qmm_tensor c = tensor_at(sum, 0, QMM_S32, 1, 1, 1), real = tensor_at(sum, 0, QMM_F32, 1, 1, 1);
        qmm_matmul_desc desc = QMM_MATMUL_DESC_INIT;
        qmm_tensor a = tensor_at(large, 0, cases[i].a, 1, k, k), b = tensor_at(large, 0, cases[i].b, k, 1, 1);
        desc.quant_a = &qa, desc.quant_b = &qb;
        expect(qmm_matmul_k_limit(a.type, cases[i].za != 0, b.type, cases[i].zb != 0) == k, "the limit of %s",
               cases[i].pair);
        expect_ok(w->context, qmm_matmul(w->context, &desc, &a, &b, &c), cases[i].pair);
        a.cols = a.row_stride = b.rows = k + 1;
        if (k + 1 > LENGTH) continue;
        BAD(qmm_matmul(w->context, &desc, &a, &b, &c),
            said("qmm_matmul: K %" PRId64 " is more than %" PRId64
                 ", the most an s32 c of %s can hold: choose another type for c",
                 k + 1, k, cases[i].pair));
        expect_ok(w->context, qmm_matmul(w->context, &desc, &a, &b, &real), cases[i].pair);
    }
    for (int a = 0; a <= 11; a++)
        for (int b = 0; b <= 11; b++)
            if ((a != QMM_S8 && a != QMM_U8) || b < QMM_S4 || b > QMM_U8)
                expect(qmm_matmul_k_limit((qmm_type)a, 0, (qmm_type)b, 1) == 0, "a limit for %d x %d", a, b);
    qmm_buffer_free(large);
    qmm_buffer_free(sum);
    end_of_test();
}

static void test_workspace(void **state) {
    qmm_matmul_desc desc = QMM_MATMUL_DESC_INIT;
    size_t needed = 0;
    (void)state;
    desc.quant_a = &w->large_quant;
    desc.workspace = (qmm_buffer *)(void *)w->context;
    desc.workspace_bytes = 256;
    BAD(qmm_matmul(w->context, &desc, &w->large_a, &w->large_b, &w->large_c),
        "qmm_matmul: workspace is not a buffer, or freed");
    desc.workspace = w->scratch;
    desc.workspace_offset = 100;
    BAD(qmm_matmul(w->context, &desc, &w->large_a, &w->large_b, &w->large_c),
        "qmm_matmul: offset 100 of workspace is not aligned to 256 bytes");
    desc.workspace_offset = 256, desc.workspace_bytes = SCRATCH_BYTES;
    BAD(qmm_matmul(w->context, &desc, &w->large_a, &w->large_b, &w->large_c),
        said("qmm_matmul: %d bytes at offset 256 of workspace end past its %d bytes", (int)SCRATCH_BYTES,
             (int)SCRATCH_BYTES));
    desc.workspace_bytes = SIZE_MAX;
    BAD(qmm_matmul(w->context, &desc, &w->large_a, &w->large_b, &w->large_c),
        said("qmm_matmul: %zu bytes at offset 256 of workspace end past its %d bytes", SIZE_MAX, (int)SCRATCH_BYTES));
    desc.workspace = NULL;
    expect_ok(w->context, qmm_matmul_workspace(w->context, &desc, &w->large_a, &w->large_b, &w->large_c, &needed),
              "how much");
    if (needed > 0) { /* only a vendor's row needs some */
        desc.workspace = w->scratch, desc.workspace_bytes = needed - 1;
        BAD(qmm_matmul(w->context, &desc, &w->large_a, &w->large_b, &w->large_c),
            said("qmm_matmul: workspace of %zu bytes is less than the %zu that cpu:matmul:onednn needs", needed - 1,
                 needed));
        desc.workspace_bytes = needed;
        expect_ok(w->context, qmm_matmul(w->context, &desc, &w->large_a, &w->large_b, &w->large_c), "just enough");
        world_poison(w);
    }
    BAD(qmm_matmul_workspace(w->context, NULL, &w->a, &w->b, &w->c, NULL), "qmm_matmul_workspace: bytes is NULL");
    BAD(qmm_matmul_explain(w->context, NULL, &w->a, &w->b, &w->c, NULL, NULL), "qmm_matmul_explain: explain is NULL");
    end_of_test();
}

/* ---- packed weights ----------------------------------------------------------------------------------------------- */

static void test_weights(void **state) {
    qmm_matmul_desc desc = QMM_MATMUL_DESC_INIT;
    qmm_weights_options options = QMM_WEIGHTS_OPTIONS_INIT;
    qmm_weights *weights = (qmm_weights *)(void *)w;
    qmm_buffer *small;
    size_t bytes;
    const qmm_quant plain = QMM_QUANT_INIT;
    (void)state;
    desc.weights = w->weights;
    BAD(qmm_matmul(w->context, &desc, &w->a, &w->b, &w->c), "qmm_matmul: b is given beside the weights of desc");
    desc.quant_b = &plain;
    BAD(qmm_matmul(w->context, &desc, &w->a, NULL, &w->c),
        "qmm_matmul: quant_b of desc is given beside its weights, which hold their own");
    desc.quant_b = NULL, desc.transpose_b = 1;
    BAD(qmm_matmul(w->context, &desc, &w->a, NULL, &w->c),
        "qmm_matmul: transpose_b of desc is set beside its weights, which are laid out already");
    desc.transpose_b = 0, desc.weights = (const qmm_weights *)(const void *)w->context;
    BAD(qmm_matmul(w->context, &desc, &w->a, NULL, &w->c),
        "qmm_matmul: weights of desc is not packed weights, or freed");
    desc.weights = (const qmm_weights *)(const void *)w->in;
    BAD(qmm_matmul(w->context, &desc, &w->a, NULL, &w->c),
        "qmm_matmul: weights of desc is not packed weights, or freed");
    desc.weights = w->weights;
    BAD(qmm_matmul(w->context, &desc, TENSOR(sized(w->a, 6, 7)), NULL, &w->c), "qmm_matmul: K is 7 in a but 8 in b");
    BAD(qmm_matmul(w->context, &desc, &w->a, NULL, TENSOR(sized(w->c, 6, 4))),
        "qmm_matmul: c is 6 x 4, not the 6 x 5 of a times b");

    BAD(qmm_weights_bytes(w->context, &w->b, NULL, NULL), "qmm_weights_bytes: bytes is NULL");
    BAD(qmm_weights_create(w->context, &w->b, NULL, NULL), "qmm_weights_create: weights is NULL");
    BAD(qmm_weights_create(w->context, NULL, NULL, &weights), "qmm_weights_create: b is NULL");
    expect(weights == NULL, "a failed qmm_weights_create leaves a handle");
    assert_int_equal(qmm_weights_bytes(w->context, &w->b, NULL, &bytes), QMM_OK);
    assert_int_equal(qmm_buffer_create(w->context, bytes - 1, &small), QMM_OK);
    options.storage = small;
    BAD(qmm_weights_create(w->context, &w->b, &options, &weights),
        said("qmm_weights_create: %zu bytes at offset 0 of storage end past its %zu bytes", bytes, bytes - 1));
    options.storage = (qmm_buffer *)(void *)w->weights;
    BAD(qmm_weights_create(w->context, &w->b, &options, &weights),
        "qmm_weights_create: storage is not a buffer, or freed");
    options.storage = w->scratch, options.storage_offset = 64;
    BAD(qmm_weights_create(w->context, &w->b, &options, &weights),
        "qmm_weights_create: offset 64 of storage is not aligned to 256 bytes");
    options.storage_offset = SIZE_MAX - 255;
    BAD(qmm_weights_create(w->context, &w->b, &options, &weights),
        said("qmm_weights_create: %zu bytes at offset %zu of storage end past its %d bytes", bytes,
             options.storage_offset, (int)SCRATCH_BYTES));
    qmm_buffer_free(small);
    end_of_test();
}

/* ---- kernels ------------------------------------------------------------------------------------------------------ */

static void test_kernels(void **state) {
    static const char *const names[] = {
        "", "cpu", "cpu:matmul", "cpu:matmul:nosuch", "cpu:matmul:reference ", "CPU:MATMUL:REFERENCE", "cuda:matmul:mma"
    };
    const char *reason = "K is 0";
    const qmm_tensor a = tensor_at(w->in, 0, QMM_S8, 6, 0, 0), b = tensor_at(w->in, 0, QMM_S8, 0, 5, 5);
    (void)state;
    for (size_t i = 0; i < COUNT_OF(names); i++)
        BAD(qmm_kernel_force(w->context, names[i]),
            said("qmm_kernel_force: name '%s' is not a kernel of this device", names[i]));
    assert_int_equal(qmm_kernel_force(w->context, "cpu:matmul:reference"), QMM_OK);
    world_works(w);
    /* A forced row that refuses: oneDNN takes no K of 0, wherever it is. */
    assert_int_equal(qmm_kernel_force(w->context, "cpu:matmul:onednn"), QMM_OK);
    {
        const qmm_status got = qmm_matmul(w->context, NULL, &a, &b, &w->c);
        expect_error(w->context, got, QMM_UNSUPPORTED, NULL);
        expect(strstr(qmm_context_error(w->context), "qmm_matmul: no kernel takes this:") != NULL &&
                   strstr(qmm_context_error(w->context), reason) != NULL &&
                   strstr(qmm_context_error(w->context), "cpu:matmul:reference: another row is forced") != NULL,
               "the text lists not why: %s", qmm_context_error(w->context));
        world_unharmed(w);
    }
    expect(qmm_matmul_workspace(w->context, NULL, &a, &b, &w->c, &w->results.bytes) == QMM_UNSUPPORTED, "workspace");
    expect(qmm_verify_matmul(w->context, NULL, &a, &b, &w->c_real, NULL, &w->results.verified) != QMM_INVALID_ARGUMENT,
           "verify");
    world_poison(w);
    expect_ok(w->context, qmm_matmul_explain(w->context, NULL, &a, &b, &w->c, no_row, NULL), "explain refuses nothing");
    assert_int_equal(qmm_kernel_force(w->context, NULL), QMM_OK);
    expect_ok(w->context, qmm_matmul(w->context, NULL, &a, &b, &w->c), "taken back");
    world_poison(w);
    expect(strcmp(qmm_kernel_name(w->context, -1), "") == 0, "name -1");
    expect(strcmp(qmm_kernel_name(w->context, INT32_MIN), "") == 0, "name INT_MIN");
    expect(strcmp(qmm_kernel_name(w->context, qmm_kernel_count(w->context)), "") == 0, "name past the end");
    expect(strcmp(qmm_kernel_name(w->context, INT32_MAX), "") == 0, "name INT_MAX");
    world_works(w);
    end_of_test();
}

/* ---- buffers ------------------------------------------------------------------------------------------------------ */

static void test_buffers(void **state) {
    qmm_context *const c = w->context;
    qmm_buffer *const wrong = (qmm_buffer *)(void *)w->weights;
    qmm_buffer *buffer = wrong;
    unsigned char bytes[16] = { 0 };
    (void)state;
    BAD(qmm_buffer_create(c, 16, NULL), "qmm_buffer_create: buffer is NULL");
    BAD(qmm_buffer_create(c, SIZE_MAX, &buffer),
        said("qmm_buffer_create: bytes %zu is more than the %td an object can have", SIZE_MAX, PTRDIFF_MAX));
    expect(buffer == NULL, "a failed qmm_buffer_create leaves a handle");
    BAD(qmm_buffer_create(c, (size_t)PTRDIFF_MAX + 1, &buffer),
        said("qmm_buffer_create: bytes %zu is more than the %td an object can have", (size_t)PTRDIFF_MAX + 1,
             PTRDIFF_MAX));
    REFUSED(qmm_buffer_create(c, PTRDIFF_MAX, &buffer), QMM_OUT_OF_MEMORY,
            said("qmm_buffer_create: no device memory for a buffer of %zu bytes", (size_t)PTRDIFF_MAX));
    REFUSED(qmm_buffer_create(c, (size_t)1 << 60, &buffer), QMM_OUT_OF_MEMORY,
            said("qmm_buffer_create: no device memory for a buffer of %zu bytes", (size_t)1 << 60));
    expect(buffer == NULL, "a failed qmm_buffer_create leaves a handle");
    BAD(qmm_buffer_wrap(c, bytes, 16, NULL), "qmm_buffer_wrap: buffer is NULL");
    BAD(qmm_buffer_wrap(c, NULL, 1, &buffer), "qmm_buffer_wrap: native is NULL but bytes is 1");
    BAD(qmm_buffer_wrap(c, bytes, SIZE_MAX, &buffer),
        said("qmm_buffer_wrap: bytes %zu from native %p is past the end of the address space", SIZE_MAX,
             (void *)bytes));
    BAD(qmm_buffer_upload(c, NULL, 0, bytes, 1), "qmm_buffer_upload: buffer is NULL");
    BAD(qmm_buffer_upload(c, wrong, 0, bytes, 1), "qmm_buffer_upload: buffer is not a buffer, or freed");
    BAD(qmm_buffer_upload(c, (qmm_buffer *)(void *)c, 0, bytes, 1),
        "qmm_buffer_upload: buffer is not a buffer, or freed");
    BAD(qmm_buffer_upload(c, w->out, 0, NULL, 1), "qmm_buffer_upload: source is NULL but bytes is 1");
    BAD(qmm_buffer_upload(c, w->out, WORLD_BYTES - 15, bytes, 16),
        "qmm_buffer_upload: 16 bytes at offset 65521 of buffer end past its 65536 bytes");
    BAD(qmm_buffer_upload(c, w->out, SIZE_MAX, bytes, 1),
        said("qmm_buffer_upload: 1 bytes at offset %zu of buffer end past its 65536 bytes", SIZE_MAX));
    BAD(qmm_buffer_upload(c, w->out, 1, bytes, SIZE_MAX),
        said("qmm_buffer_upload: %zu bytes at offset 1 of buffer end past its 65536 bytes", SIZE_MAX));
    BAD(qmm_buffer_upload(c, w->out, WORLD_BYTES + 1, NULL, 0),
        "qmm_buffer_upload: 0 bytes at offset 65537 of buffer end past its 65536 bytes");
    BAD(qmm_buffer_upload_async(c, NULL, 0, bytes, 1), "qmm_buffer_upload_async: buffer is NULL");
    BAD(qmm_buffer_upload_async(c, w->out, 0, NULL, 1), "qmm_buffer_upload_async: source is NULL but bytes is 1");
    BAD(qmm_buffer_upload_async(c, w->out, WORLD_BYTES, bytes, 1),
        "qmm_buffer_upload_async: 1 bytes at offset 65536 of buffer end past its 65536 bytes");
    BAD(qmm_buffer_download(c, NULL, 0, bytes, 1), "qmm_buffer_download: buffer is NULL");
    BAD(qmm_buffer_download(c, wrong, 0, bytes, 1), "qmm_buffer_download: buffer is not a buffer, or freed");
    BAD(qmm_buffer_download(c, w->in, 0, NULL, 1), "qmm_buffer_download: target is NULL but bytes is 1");
    BAD(qmm_buffer_download(c, w->in, WORLD_BYTES, w->results.copied, 1),
        "qmm_buffer_download: 1 bytes at offset 65536 of buffer end past its 65536 bytes");
    BAD(qmm_buffer_download_async(c, NULL, 0, bytes, 1), "qmm_buffer_download_async: buffer is NULL");
    BAD(qmm_buffer_download_async(c, w->in, 0, NULL, 1), "qmm_buffer_download_async: target is NULL but bytes is 1");
    BAD(qmm_buffer_download_async(c, w->in, WORLD_BYTES - 63, w->results.copied, 64),
        "qmm_buffer_download_async: 64 bytes at offset 65473 of buffer end past its 65536 bytes");
    BAD(qmm_buffer_copy(c, NULL, 0, w->in, 0, 1), "qmm_buffer_copy: target is NULL");
    BAD(qmm_buffer_copy(c, w->out, 0, NULL, 0, 1), "qmm_buffer_copy: source is NULL");
    BAD(qmm_buffer_copy(c, wrong, 0, w->in, 0, 1), "qmm_buffer_copy: target is not a buffer, or freed");
    BAD(qmm_buffer_copy(c, w->out, 0, wrong, 0, 1), "qmm_buffer_copy: source is not a buffer, or freed");
    BAD(qmm_buffer_copy(c, w->out, WORLD_BYTES, w->in, 0, 1),
        "qmm_buffer_copy: 1 bytes at offset 65536 of target end past its 65536 bytes");
    BAD(qmm_buffer_copy(c, w->out, 0, w->in, WORLD_BYTES - 1, 2),
        "qmm_buffer_copy: 2 bytes at offset 65535 of source end past its 65536 bytes");
    BAD(qmm_buffer_copy(c, w->out, 100, w->out, 101, 8),
        "qmm_buffer_copy: 8 bytes at offset 100 of target overlap those at offset 101 of source");
    BAD(qmm_buffer_copy(c, w->out, 107, w->out, 100, 8),
        "qmm_buffer_copy: 8 bytes at offset 107 of target overlap those at offset 100 of source");
    BAD(qmm_buffer_fill(c, NULL, 0, 1, 1), "qmm_buffer_fill: buffer is NULL");
    BAD(qmm_buffer_fill(c, wrong, 0, 1, 1), "qmm_buffer_fill: buffer is not a buffer, or freed");
    BAD(qmm_buffer_fill(c, w->out, WORLD_BYTES - 1, 1, 2),
        "qmm_buffer_fill: 2 bytes at offset 65535 of buffer end past its 65536 bytes");
    expect(qmm_buffer_bytes(NULL) == 0 && qmm_buffer_native(NULL) == NULL, "a NULL buffer");
    expect(qmm_buffer_bytes(wrong) == 0 && qmm_buffer_native(wrong) == NULL, "a wrong buffer");
    qmm_buffer_free(wrong), qmm_buffer_free((qmm_buffer *)(void *)w->context);
    qmm_weights_free((qmm_weights *)(void *)w->in), qmm_weights_free((qmm_weights *)(void *)w->context);
    qmm_calibrator_free((qmm_calibrator *)(void *)w->in);
    qmm_context_close((qmm_context *)(void *)w->in);
    world_works(w);
    expect(qmm_buffer_bytes(w->in) == WORLD_BYTES, "freeing by a wrong handle freed a buffer");
    end_of_test();
}

/* A buffer or weights of another device: what tells devices apart is the backend, its number, and a key. */
static void test_other_device(void **state) {
    static const char key = 'k';
    qmm_context *other = open_device(NULL);
    qmm_buffer *buffer = make_buffer(other, NULL, 4096);
    qmm_matmul_desc desc = QMM_MATMUL_DESC_INIT;
    qmm_weights *weights;
    const qmm_tensor foreign = tensor_at(buffer, 0, QMM_S8, 6, 8, 8);
    (void)state;
    assert_int_equal(qmm_weights_create(other, &w->b, NULL, &weights), QMM_OK); /* the same device as yet */
    desc.weights = weights;
    expect_ok(w->context, qmm_matmul(w->context, &desc, &w->a, NULL, &w->c), "weights of another context");
    world_poison(w);
    other->device_key = &key;
    BAD(qmm_buffer_fill(w->context, buffer, 0, 0, 1), "qmm_buffer_fill: buffer belongs to a context on another device");
    BAD(qmm_matmul(w->context, NULL, &foreign, &w->b, &w->c),
        "qmm_matmul: buffer of a belongs to a context on another device");
    BAD(qmm_matmul(w->context, &desc, &w->a, NULL, &w->c),
        "qmm_matmul: weights of desc belongs to a context on another device");
    qmm_context_close(other);
    end_of_test();
}

/* ---- ranges, calibrators, results --------------------------------------------------------------------------------- */

static qmm_status range_with(qmm_range_options o) {
    return qmm_find_range(w->context, &w->x, &o, &w->results.min, &w->results.max);
}

static void test_ranges(void **state) {
    qmm_range_options o = QMM_RANGE_OPTIONS_INIT;
    qmm_calibrator *calibrator = (qmm_calibrator *)(void *)w;
    static const double percentiles[] = { 50.0, 0.0, -1.0, 100.0000001, NAN, INFINITY, -INFINITY };
    static const double averages[] = { -0.1, 1.1, NAN, INFINITY };
    (void)state;
    BAD(qmm_find_range(w->context, &w->x, NULL, NULL, &w->results.max), "qmm_find_range: min is NULL");
    BAD(qmm_find_range(w->context, &w->x, NULL, &w->results.min, NULL), "qmm_find_range: max is NULL");
    BAD(qmm_calibrator_range(w->calibrator, NULL, &w->results.max), "qmm_calibrator_range: min is NULL");
    BAD(qmm_calibrator_range(w->calibrator, &w->results.min, NULL), "qmm_calibrator_range: max is NULL");
    BAD(qmm_calibrator_create(w->context, NULL, NULL), "qmm_calibrator_create: calibrator is NULL");
    o.method = (qmm_range_method)4;
    BAD(range_with(o), "qmm_find_range: method 4 of options is none of qmm_range_method");
    BAD(qmm_calibrator_create(w->context, &o, &calibrator),
        "qmm_calibrator_create: method 4 of options is none of qmm_range_method");
    expect(calibrator == NULL, "a failed qmm_calibrator_create leaves a handle");
    o = (qmm_range_options)QMM_RANGE_OPTIONS_INIT, o.method = (qmm_range_method)-1;
    BAD(range_with(o), "qmm_find_range: method -1 of options is none of qmm_range_method");
    o = (qmm_range_options)QMM_RANGE_OPTIONS_INIT, o.type = QMM_F32;
    BAD(range_with(o), "qmm_find_range: type f32 (8) of options is not a code type");
    o.type = (qmm_type)0;
    BAD(range_with(o), "qmm_find_range: type unknown type (0) of options is not a code type");
    o = (qmm_range_options)QMM_RANGE_OPTIONS_INIT, o.bits = 9;
    BAD(range_with(o), "qmm_find_range: bits 9 of options cannot be had in s8");
    for (size_t i = 0; i < COUNT_OF(percentiles); i++) {
        o = (qmm_range_options)QMM_RANGE_OPTIONS_INIT, o.percentile = percentiles[i];
        BAD(range_with(o),
            said("qmm_find_range: percentile %g of options is not above 50 and at most 100", percentiles[i]));
    }
    for (size_t i = 0; i < COUNT_OF(averages); i++) {
        o = (qmm_range_options)QMM_RANGE_OPTIONS_INIT, o.moving_average = averages[i];
        BAD(range_with(o), said("qmm_find_range: moving average %g of options is not between 0 and 1", averages[i]));
    }
    o = (qmm_range_options)QMM_RANGE_OPTIONS_INIT, o.moving_average = 0.5, o.method = QMM_RANGE_MSE;
    BAD(range_with(o), "qmm_find_range: moving average 0.5 of options needs method MINMAX");
    o = (qmm_range_options)QMM_RANGE_OPTIONS_INIT, o.symmetric = 0, o.method = QMM_RANGE_ENTROPY;
    expect_error(w->context, range_with(o), QMM_INVALID_ARGUMENT, NULL);
    expect(strstr(qmm_context_error(w->context), "ENTROPY") && strstr(qmm_context_error(w->context), "symmetric"), "%s",
           qmm_context_error(w->context));
    BAD(qmm_measure_error(w->context, &w->x, &w->x, NULL), "qmm_measure_error: measure is NULL");
    BAD(qmm_compare(w->context, &w->x, &w->x, NULL), "qmm_compare: result is NULL");
    BAD(qmm_verify_matmul(w->context, NULL, &w->a, &w->b, &w->c, NULL, NULL), "qmm_verify_matmul: result is NULL");
    BAD(qmm_context_get_device_info(w->context, NULL), "qmm_context_get_device_info: info is NULL");
    {
        static const int32_t rounds[] = { 0, -1, 65, INT32_MAX, INT32_MIN };
        const qmm_tensor c = tensor_at(w->in, 4096, QMM_F32, 6, 5, 5);
        qmm_matmul_desc desc = desc_with(NULL, NULL, NULL, &c);
        qmm_verify_options v = QMM_VERIFY_OPTIONS_INIT;
        for (size_t i = 0; i < COUNT_OF(rounds); i++) {
            v.rounds = rounds[i];
            BAD(qmm_verify_matmul(w->context, NULL, &w->a, &w->b, &w->c, &v, &w->results.verified),
                said("qmm_verify_matmul: rounds %d of options is not between 1 and 64", (int)rounds[i]));
        }
        BAD(qmm_verify_matmul(w->context, &desc, &w->a, &w->b, &c, NULL, &w->results.verified),
            "qmm_verify_matmul: residual of desc is c itself: what was added is no longer there");
    }
    end_of_test();
}

static void test_without_context(void **state) {
    float scale = 77.0f;
    int32_t zero = 77, qmin = 77, qmax = 77;
    static const struct {
        double min, max;
        qmm_type type;
        int bits;
    } bad[] = {
        { 1.0, -1.0, QMM_S8, 0 },      { NAN, 1.0, QMM_S8, 0 },      { -1.0, NAN, QMM_S8, 0 },
        { -INFINITY, 0.0, QMM_S8, 0 }, { 0.0, INFINITY, QMM_S8, 0 }, { 0.0, 1.0, QMM_F32, 0 },
        { 0.0, 1.0, QMM_S32, 0 },      { 0.0, 1.0, (qmm_type)0, 0 }, { 0.0, 1.0, (qmm_type)99, 0 },
        { 0.0, 1.0, QMM_S8, 1 },       { 0.0, 1.0, QMM_S8, 9 },      { 0.0, 1.0, QMM_S16, 8 },
        { 0.0, 1.0, QMM_U4, -4 },      { 0.0, 1.0, QMM_U16, 17 },
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        for (int symmetric = 0; symmetric < 2; symmetric++)
            expect(qmm_choose_params(bad[i].min, bad[i].max, bad[i].type, bad[i].bits, symmetric, &scale, &zero) ==
                           QMM_INVALID_ARGUMENT &&
                       scale == 77.0f && zero == 77,
                   "choose_params %zu", i);
    expect(qmm_choose_params(0, 1, QMM_S8, 0, 1, NULL, &zero) == QMM_INVALID_ARGUMENT, "NULL scale");
    expect(qmm_choose_params(0, 1, QMM_S8, 0, 1, &scale, NULL) == QMM_INVALID_ARGUMENT, "NULL zero");
    expect(qmm_type_range(QMM_S8, 0, NULL, &qmax) == QMM_INVALID_ARGUMENT, "NULL qmin");
    expect(qmm_type_range(QMM_S8, 0, &qmin, NULL) == QMM_INVALID_ARGUMENT, "NULL qmax");
    expect(qmin == 77 && qmax == 77, "touched");

    /* A NULL or wrong context. */
    for (size_t i = 0; i < entry_count; i++) {
        if (entries[i].flags & BY_HANDLE) continue;
        expect(entries[i].call(w, NULL) == QMM_INVALID_ARGUMENT, "%s of NULL", entries[i].name);
        expect(entries[i].call(w, (qmm_context *)(void *)w->in) == QMM_INVALID_ARGUMENT, "%s of a buffer",
               entries[i].name);
        expect(entries[i].call(w, (qmm_context *)(void *)w->weights) == QMM_INVALID_ARGUMENT, "%s of weights",
               entries[i].name);
        world_unharmed(w);
    }
    expect(qmm_calibrator_observe(NULL, &w->x) == QMM_INVALID_ARGUMENT, "observe of NULL");
    expect(qmm_calibrator_observe((qmm_calibrator *)(void *)w->in, &w->x) == QMM_INVALID_ARGUMENT,
           "observe of a buffer");
    expect(qmm_calibrator_range(NULL, &w->results.min, &w->results.max) == QMM_INVALID_ARGUMENT, "range of NULL");
    expect(qmm_timer_start(NULL) == QMM_INVALID_ARGUMENT && qmm_timer_stop(NULL) == QMM_INVALID_ARGUMENT &&
               qmm_timer_seconds(NULL, &w->results.min) == QMM_INVALID_ARGUMENT,
           "a timer of NULL");
    expect(qmm_timer_start((qmm_timer *)(void *)w->in) == QMM_INVALID_ARGUMENT, "a timer that is a buffer");
    expect(strcmp(qmm_timer_clock(NULL), "host") == 0, "the clock of NULL");
    qmm_timer_free((qmm_timer *)(void *)w->in);
    expect(qmm_tuning_count(NULL) == 0 && qmm_tuning_count((qmm_context *)(void *)w->in) == 0, "choices of NULL");
    expect(qmm_tuning_save(NULL, "x") == QMM_INVALID_ARGUMENT && qmm_tuning_load(NULL, "x") == QMM_INVALID_ARGUMENT,
           "files of NULL");
    expect(strcmp(qmm_kernel_variant_name(NULL, 0, 0), "") == 0, "variants of NULL");
    expect(qmm_calibrator_range((qmm_calibrator *)(void *)w->in, &w->results.min, &w->results.max) ==
               QMM_INVALID_ARGUMENT,
           "range of a buffer");
    expect(strcmp(qmm_context_error(NULL), "not a context") == 0, "error of NULL");
    expect(qmm_context_error_status(NULL) == QMM_INVALID_ARGUMENT, "error status of NULL");
    expect(strcmp(qmm_context_error((qmm_context *)(void *)w->in), "not a context") == 0, "error of a buffer");
    expect(qmm_kernel_count(NULL) == 0 && strcmp(qmm_kernel_name(NULL, 0), "") == 0, "kernels of NULL");
    expect(qmm_kernel_count((qmm_context *)(void *)w->in) == 0, "kernels of a buffer");
    world_unharmed(w);
    world_works(w);
    end_of_test();
}

/* ---- struct_size -------------------------------------------------------------------------------------------------- */

/* Room behind the largest struct for what a newer header might have appended. */
typedef union versioned {
    size_t struct_size;
    qmm_quant quant;
    qmm_matmul_desc desc;
    qmm_range_options range;
    qmm_weights_options weights;
    qmm_verify_options verify;
    qmm_device_info device;
    qmm_error_measure measure;
    qmm_verify_result verified;
    qmm_compare_result compared;
    qmm_tune_options tune;
    unsigned char bytes[8192];
} versioned;

static qmm_status size_quant(versioned *v) {
    return qmm_quantize(w->context, &w->x, &v->quant, &w->q);
}
static qmm_status size_desc(versioned *v) {
    return qmm_matmul(w->context, &v->desc, &w->a, &w->b, &w->c);
}
static qmm_status size_range(versioned *v) {
    return qmm_find_range(w->context, &w->x, &v->range, &w->results.min, &w->results.max);
}
static qmm_status size_weights(versioned *v) {
    return qmm_weights_bytes(w->context, &w->b, &v->weights, &w->results.bytes);
}
static qmm_status size_verify(versioned *v) {
    return qmm_verify_matmul(w->context, NULL, &w->a, &w->b, &w->c, &v->verify, &w->results.verified);
}

static qmm_status size_tune(versioned *v) {
    return qmm_tune_matmul(w->context, NULL, &w->a, &w->b, &w->c, &v->tune, NULL, NULL);
}

static void test_struct_sizes(void **state) {
    static const struct {
        const char *function, *name;
        qmm_status (*call)(versioned *);
        size_t known;
    } structs[] = {
        { "qmm_quantize", "quant", size_quant, sizeof(qmm_quant) },
        { "qmm_matmul", "desc", size_desc, sizeof(qmm_matmul_desc) },
        { "qmm_find_range", "options", size_range, sizeof(qmm_range_options) },
        { "qmm_weights_bytes", "options", size_weights, sizeof(qmm_weights_options) },
        { "qmm_verify_matmul", "options", size_verify, sizeof(qmm_verify_options) },
        { "qmm_tune_matmul", "options", size_tune, sizeof(qmm_tune_options) },
    };
    const qmm_quant quant = QMM_QUANT_INIT;
    const qmm_matmul_desc desc = QMM_MATMUL_DESC_INIT;
    const qmm_range_options range = QMM_RANGE_OPTIONS_INIT;
    const qmm_weights_options weights = QMM_WEIGHTS_OPTIONS_INIT;
    const qmm_verify_options verify = QMM_VERIFY_OPTIONS_INIT;
    const qmm_tune_options tune = QMM_TUNE_OPTIONS_INIT;
    static versioned v;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(structs); i++) {
        const size_t known = structs[i].known;
        const size_t small[] = { 0, 1, 8, known - 1 }, large[] = { known + 1, known + 8, known + 4096, sizeof v };
        memset(&v, 0, sizeof v);
        if (i == 0) v.quant = quant;
        if (i == 1) v.desc = desc;
        if (i == 2) v.range = range;
        if (i == 3) v.weights = weights;
        if (i == 4) v.verify = verify;
        if (i == 5) v.tune = tune, v.tune.seconds = 1e-9;
        for (size_t s = 0; s < COUNT_OF(small); s++) {
            v.struct_size = small[s];
            BAD(structs[i].call(&v), said("%s: struct_size %zu of %s is less than %zu: set it from its ..._INIT macro",
                                          structs[i].function, small[s], structs[i].name, known));
        }
        v.struct_size = known + 8; /* a newer struct, its new field unused */
        expect_ok(w->context, structs[i].call(&v), structs[i].name);
        world_poison(w);
        for (size_t s = 0; s < COUNT_OF(large); s++) {
            v.struct_size = large[s];
            v.bytes[large[s] - 1] = 1; /* used */
            BAD(structs[i].call(&v), said("%s: struct_size %zu of %s is more than the %zu this qmm %s knows",
                                          structs[i].function, large[s], structs[i].name, known, qmm_version()));
            v.bytes[large[s] - 1] = 0;
        }
    }
    end_of_test();
}

/* A size of chance must not send the library reading far behind the struct. */
static qmm_quant *wild_quant;

static int quantize_wild(void) {
    return qmm_quantize(w->context, &w->x, wild_quant, &w->q) == QMM_INVALID_ARGUMENT ? 0 : 1;
}

static void test_wild_struct_size(void **state) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *pages = mmap(NULL, page * 2, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const qmm_quant init = QMM_QUANT_INIT;
    (void)state;
    assert_true(pages != MAP_FAILED);
    assert_int_equal(mprotect(pages + page, page, PROT_NONE), 0);
    wild_quant = (qmm_quant *)(void *)(pages + page - sizeof init);
    *wild_quant = init;
    wild_quant->struct_size = SIZE_MAX;
    expect(survives(quantize_wild), "struct_size SIZE_MAX makes the library read past the struct");
    munmap(pages, page * 2);
    end_of_test();
}

static void count_rows(void *user, const char *kernel, const char *reason) {
    (void)kernel, (void)reason;
    ++*(int *)user;
}

/* Sizes are the same before there is memory, whatever the call needs: zero points, a bias, groups. */
static void test_sizing(void **state) {
    qmm_tensor a = w->large_a, b = w->large_b, c = w->large_c, scale, bias;
    qmm_quant quant = w->large_quant;
    qmm_matmul_desc desc = QMM_MATMUL_DESC_INIT;
    size_t with_memory = 1, without = 2, bytes = 1, bytes_without = 2;
    int rows = 0;
    (void)state;
    desc.quant_a = &w->large_quant;
    expect_ok(w->context, qmm_matmul_workspace(w->context, &desc, &a, &b, &c, &with_memory), "workspace");
    expect_ok(w->context, qmm_weights_bytes(w->context, &b, NULL, &bytes), "bytes");
    a.buffer = b.buffer = c.buffer = NULL;
    if (quant.scale) scale = *quant.scale, scale.buffer = NULL, quant.scale = &scale;
    desc.quant_a = &quant;
    expect_ok(w->context, qmm_matmul_workspace(w->context, &desc, &a, &b, &c, &without), "workspace without memory");
    expect(with_memory == without, "workspace of %zu bytes, without memory %zu", with_memory, without);
    expect_ok(w->context, qmm_weights_bytes(w->context, &b, NULL, &bytes_without), "bytes without memory");
    expect(bytes == bytes_without, "weights of %zu bytes, without memory %zu", bytes, bytes_without);
    expect_ok(w->context, qmm_matmul_explain(w->context, &desc, &a, &b, &c, count_rows, &rows), "explain");
    expect(rows > 0, "no rows explained");
    bias = (qmm_tensor){ NULL, 0, QMM_S32, 1, c.cols, c.cols, 1, 0 };
    desc.bias = &bias;
    expect_ok(w->context, qmm_matmul_workspace(w->context, &desc, &a, &b, &c, &without), "workspace with a bias");
    BAD(qmm_matmul(w->context, &desc, &a, &b, &c), "qmm_matmul: buffer of a is NULL");
    world_works(w);
    end_of_test();
}

static void test_queue(void **state) {
    (void)state;
    expect(qmm_context_native_queue(w->context) == NULL && qmm_context_native_queue(NULL) == NULL,
           "the CPU has a queue");
    BAD(qmm_context_set_queue(w->context, NULL), "qmm_context_set_queue: native_queue is NULL");
    BAD(qmm_context_set_queue(w->context, w), "qmm_context_set_queue: the CPU has no queue to set");
    expect(qmm_context_set_queue(NULL, w) == QMM_INVALID_ARGUMENT, "no context");
    end_of_test();
}

static void test_result_sizes(void **state) {
    static const size_t offsets[] = { 0, 8 };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(offsets); i++) {
        host_results *r = &w->results;
        qmm_device_info device = QMM_DEVICE_INFO_INIT;
        qmm_backend_info backend = QMM_BACKEND_INFO_INIT;
        const host_results before = *r;
        r->measure.struct_size = r->verified.struct_size = r->compared.struct_size = r->device.struct_size = offsets[i];
        r->plan.struct_size = offsets[i];
        expect_error(w->context, qmm_matmul_plan(w->context, NULL, &w->a, &w->b, &w->c, &r->plan), QMM_INVALID_ARGUMENT,
                     said("qmm_matmul_plan: struct_size %zu of plan is less than %zu: set it from its ..._INIT macro",
                          offsets[i], QMMI_OLDEST_MATMUL_PLAN_INFO));
        r->plan.struct_size = before.plan.struct_size;
        expect_error(
            w->context, qmm_measure_error(w->context, &w->x, &w->x, &r->measure), QMM_INVALID_ARGUMENT,
            said("qmm_measure_error: struct_size %zu of measure is less than %zu: set it from its ..._INIT macro",
                 offsets[i], sizeof r->measure));
        expect_error(w->context, qmm_compare(w->context, &w->x, &w->x, &r->compared), QMM_INVALID_ARGUMENT,
                     said("qmm_compare: struct_size %zu of result is less than %zu: set it from its ..._INIT macro",
                          offsets[i], sizeof r->compared));
        expect_error(
            w->context, qmm_verify_matmul(w->context, NULL, &w->a, &w->b, &w->c, NULL, &r->verified),
            QMM_INVALID_ARGUMENT,
            said("qmm_verify_matmul: struct_size %zu of result is less than %zu: set it from its ..._INIT macro",
                 offsets[i], sizeof r->verified));
        expect_error(
            w->context, qmm_context_get_device_info(w->context, &r->device), QMM_INVALID_ARGUMENT,
            said("qmm_context_get_device_info: struct_size %zu of info is less than %zu: set it from its ..._INIT "
                 "macro",
                 offsets[i], offsetof(qmm_device_info, kind)));
        r->measure.struct_size = before.measure.struct_size;
        r->verified.struct_size = before.verified.struct_size;
        r->compared.struct_size = before.compared.struct_size;
        r->device.struct_size = before.device.struct_size;
        world_unharmed(w);
        device.struct_size = backend.struct_size = offsets[i];
        expect(qmm_device_get_info(0, &device) == QMM_INVALID_ARGUMENT && device.name[0] == '\0', "device info");
        expect(qmm_backend_get_info(0, &backend) == QMM_INVALID_ARGUMENT && backend.name[0] == '\0', "backend info");
    }
    { /* A struct of a newer header: what this library knows of it is filled in. */
        struct {
            qmm_compare_result known;
            int64_t later;
        } newer = { QMM_COMPARE_RESULT_INIT, 77 };
        newer.known.struct_size = sizeof newer;
        expect_ok(w->context, qmm_compare(w->context, &w->x, &w->x, &newer.known), "a newer result");
        expect(newer.known.struct_size == sizeof newer && newer.known.count == w->x.rows * w->x.cols * w->x.batch &&
                   newer.later == 77,
               "a newer result is not kept");
    }
    world_works(w);
    end_of_test();
}

/* ---- rows, plans, timers, tuning ---------------------------------------------------------------------------------- */

static qmm_status tune_with(qmm_tune_options o) {
    return qmm_tune_matmul(w->context, NULL, &w->a, &w->b, &w->c, &o, NULL, NULL);
}

static void test_rows(void **state) {
    static const char *const unknown[] = { "", "/", "x", "cpu:matmul:", "cpu:matmul:referenc", "cpu:matmul:reference2" };
    static const char *const variantless[] = { "cpu:matmul:reference/", "cpu:matmul:reference/x",
                                               "cpu:matmul:reference//" };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(unknown); i++)
        BAD(qmm_kernel_force(w->context, unknown[i]),
            said("qmm_kernel_force: name '%s' is not a kernel of this device", unknown[i]));
    for (size_t i = 0; i < COUNT_OF(variantless); i++)
        BAD(qmm_kernel_force(w->context, variantless[i]),
            said("qmm_kernel_force: name '%s' has no variant of cpu:matmul:reference behind its slash",
                 variantless[i]));
    for (int row = -1; row <= qmm_kernel_count(w->context); row++)
        for (int variant = -1; variant < 2; variant++)
            expect(strcmp(qmm_kernel_variant_name(w->context, row, variant), "") == 0, "row %d variant %d", row,
                   variant);
    BAD(qmm_matmul_plan(w->context, NULL, &w->a, &w->b, &w->c, NULL), "qmm_matmul_plan: plan is NULL");
    end_of_test();
}

static void test_timers(void **state) {
    qmm_timer *timer = (qmm_timer *)(void *)w;
    double seconds = 77.0;
    (void)state;
    BAD(qmm_timer_create(w->context, NULL), "qmm_timer_create: timer is NULL");
    expect_ok(w->context, qmm_timer_create(w->context, &timer), "create");
    BAD(qmm_timer_stop(timer), "qmm_timer_stop: timer was not started");
    BAD(qmm_timer_seconds(timer, &seconds), "qmm_timer_seconds: timer has no start and stop yet");
    expect_ok(w->context, qmm_timer_start(timer), "start");
    BAD(qmm_timer_seconds(timer, &seconds), "qmm_timer_seconds: timer has no start and stop yet");
    expect_ok(w->context, qmm_timer_stop(timer), "stop");
    BAD(qmm_timer_seconds(timer, NULL), "qmm_timer_seconds: seconds is NULL");
    expect(seconds == 77.0, "seconds were written");
    expect_ok(w->context, qmm_timer_seconds(timer, &seconds), "seconds");
    expect_ok(w->context, qmm_timer_start(timer), "start again");
    BAD(qmm_timer_seconds(timer, &seconds), "qmm_timer_seconds: timer has no start and stop yet");
    qmm_timer_free(timer);
    end_of_test();
}

static void test_tuning(void **state) {
    static const double bad[] = { 0.0, -1.0, -0.0, NAN, INFINITY, -INFINITY };
    qmm_tune_options o = QMM_TUNE_OPTIONS_INIT;
    const qmm_tensor c = tensor_at(w->out, 4096, QMM_F32, 6, 5, 5);
    const qmm_matmul_desc desc = desc_with(NULL, NULL, NULL, &c);
    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        o.seconds = bad[i];
        BAD(tune_with(o), said("qmm_tune_matmul: seconds %g of options is not above 0 and finite", bad[i]));
    }
    o = (qmm_tune_options)QMM_TUNE_OPTIONS_INIT, o.flush_bytes = (size_t)1 << 60;
    REFUSED(tune_with(o), QMM_OUT_OF_MEMORY,
            said("qmm_tune_matmul: no device memory for the flush of caches of %zu bytes", o.flush_bytes));
    BAD(qmm_tune_matmul(w->context, &desc, &w->a, &w->b, &c, NULL, NULL, NULL),
        "qmm_tune_matmul: residual of desc is c itself: every run would add to it");
    expect_ok(w->context, qmm_kernel_force(w->context, "cpu:matmul:reference"), "force");
    o = (qmm_tune_options)QMM_TUNE_OPTIONS_INIT;
    expect_error(w->context, tune_with(o), QMM_INVALID_ARGUMENT,
                 "qmm_tune_matmul: cpu:matmul:reference is forced: give NULL to qmm_kernel_force first");
    expect_ok(w->context, qmm_kernel_force(w->context, NULL), "take back");
    BAD(qmm_tuning_save(w->context, NULL), "qmm_tuning_save: path is NULL");
    BAD(qmm_tuning_save(w->context, ""), "qmm_tuning_save: path is empty");
    BAD(qmm_tuning_load(w->context, NULL), "qmm_tuning_load: path is NULL");
    BAD(qmm_tuning_load(w->context, ""), "qmm_tuning_load: path is empty");
    expect(qmm_tuning_count(w->context) == 0, "%d choices", qmm_tuning_count(w->context));
    end_of_test();
}

/* ---- opening ------------------------------------------------------------------------------------------------------ */

static void expect_open(const char *device, qmm_context_options options, qmm_status status, const char *wanted) {
    char text[512] = "untouched";
    qmm_context *context = w->context;
    qmm_status got;
    options.error_text = text;
    options.error_text_size = sizeof text;
    got = qmm_context_open(device, &options, &context);
    expect(got == status && context == NULL, "open '%.40s': %s, %p", device ? device : "NULL", qmm_status_name(got),
           (void *)context);
    expect(strcmp(text, wanted) == 0, "said:   %s\n    wanted: %s", text, wanted);
    if (got == QMM_OK) qmm_context_close(context);
}

static void *some_allocate(void *user, size_t bytes, size_t alignment) {
    (void)user, (void)bytes, (void)alignment;
    return NULL;
}

static void some_release(void *user, void *pointer, size_t bytes) {
    (void)user, (void)pointer, (void)bytes;
}

static void test_open(void **state) {
    const qmm_context_options plain = QMM_CONTEXT_OPTIONS_INIT;
    qmm_context_options o;
    qmm_allocator half = QMM_ALLOCATOR_INIT;
    qmm_context *context;
    static char long_name[5000];
    char text[16];
    (void)state;
#define NOT_UNDERSTOOD(name) "qmm_context_open: device '" name "' is not auto, a backend, or a backend:number"
    expect_open(NULL, plain, QMM_INVALID_ARGUMENT, "qmm_context_open: device is NULL");
    expect_open("", plain, QMM_INVALID_ARGUMENT, NOT_UNDERSTOOD(""));
    expect_open(":", plain, QMM_INVALID_ARGUMENT, NOT_UNDERSTOOD(":"));
    expect_open(":0", plain, QMM_INVALID_ARGUMENT, NOT_UNDERSTOOD(":0"));
    expect_open("cpu:", plain, QMM_INVALID_ARGUMENT, NOT_UNDERSTOOD("cpu:"));
    expect_open("cpu:x", plain, QMM_INVALID_ARGUMENT, NOT_UNDERSTOOD("cpu:x"));
    expect_open("cpu:0x", plain, QMM_INVALID_ARGUMENT, NOT_UNDERSTOOD("cpu:0x"));
    expect_open("cpu:-1", plain, QMM_INVALID_ARGUMENT, NOT_UNDERSTOOD("cpu:-1"));
    expect_open("cpu:+0", plain, QMM_INVALID_ARGUMENT, NOT_UNDERSTOOD("cpu:+0"));
    expect_open("cpu: 0", plain, QMM_INVALID_ARGUMENT, NOT_UNDERSTOOD("cpu: 0"));
    expect_open("cpu:0:0", plain, QMM_INVALID_ARGUMENT, NOT_UNDERSTOOD("cpu:0:0"));
    expect_open("cpu:99999999999999999999", plain, QMM_INVALID_ARGUMENT, NOT_UNDERSTOOD("cpu:99999999999999999999"));
    expect_open("cpu:1", plain, QMM_NO_DEVICE, "qmm_context_open: no device 'cpu:1': there are 1, numbered from 0");
    expect_open("nosuch", plain, QMM_NO_DEVICE, "qmm_context_open: no device 'nosuch': this build has no such backend");
    expect_open("nosuch:3", plain, QMM_NO_DEVICE,
                "qmm_context_open: no device 'nosuch:3': this build has no such backend");
    expect_open("CPU", plain, QMM_NO_DEVICE, "qmm_context_open: no device 'CPU': this build has no such backend");
    expect_open("cpux", plain, QMM_NO_DEVICE, "qmm_context_open: no device 'cpux': this build has no such backend");
    expect_open("cp", plain, QMM_NO_DEVICE, "qmm_context_open: no device 'cp': this build has no such backend");
    expect_open("auto:0", plain, QMM_NO_DEVICE, "qmm_context_open: no device 'auto:0': this build has no such backend");
#undef NOT_UNDERSTOOD
    expect(qmm_context_open("cuda:999", NULL, &context) == QMM_NO_DEVICE && context == NULL, "cuda:999");

    /* The rule is still there behind a name of any length. */
    {
        char whole[512];
        memset(long_name, 'n', sizeof long_name - 1);
        o = plain, o.error_text = whole, o.error_text_size = sizeof whole;
        expect(qmm_context_open(long_name, &o, &context) == QMM_NO_DEVICE && context == NULL, "a long name");
        expect(strstr(whole, "this build has no such backend") != NULL, "the rule is cut off: %.80s...", whole);
    }
    /* A short place for the text is filled and ended. */
    memset(text, 'x', sizeof text);
    o = plain, o.error_text = text, o.error_text_size = 8;
    expect(qmm_context_open("nosuch", &o, &context) == QMM_NO_DEVICE, "nosuch");
    expect(memcmp(text, "qmm_con\0xxxxxxxx", 16) == 0, "cut to '%.16s'", text);
    o.error_text_size = 0, text[0] = 'x';
    expect(qmm_context_open("nosuch", &o, &context) == QMM_NO_DEVICE && text[0] == 'x', "a place of 0 bytes");
    expect(qmm_context_open("cpu", NULL, NULL) == QMM_INVALID_ARGUMENT, "NULL context");

    o = plain, o.struct_size = 0;
    expect(qmm_context_open("cpu", &o, &context) == QMM_INVALID_ARGUMENT && context == NULL, "struct_size 0");
    o.struct_size = QMMI_OLDEST_CONTEXT_OPTIONS - 1;
    expect(qmm_context_open("cpu", &o, &context) == QMM_INVALID_ARGUMENT && context == NULL, "struct_size less 1");

#define HALF(what) "qmm_context_open: allocator of options has one of " what " but not the other"
    o = plain, o.allocator = &half;
    half = (qmm_allocator){ sizeof half, NULL, some_allocate, NULL, NULL, NULL };
    expect_open("cpu", o, QMM_INVALID_ARGUMENT, HALF("allocate and release"));
    half = (qmm_allocator){ sizeof half, NULL, NULL, some_release, NULL, NULL };
    expect_open("cpu", o, QMM_INVALID_ARGUMENT, HALF("allocate and release"));
    half = (qmm_allocator){ sizeof half, NULL, NULL, NULL, some_allocate, NULL };
    expect_open("cpu", o, QMM_INVALID_ARGUMENT, HALF("allocate_device and release_device"));
    half = (qmm_allocator){ sizeof half, NULL, NULL, NULL, NULL, some_release };
    expect_open("cpu", o, QMM_INVALID_ARGUMENT, HALF("allocate_device and release_device"));
#undef HALF
    half = (qmm_allocator){ sizeof half, NULL, some_allocate, some_release, NULL, NULL };
    expect_open("cpu", o, QMM_OUT_OF_MEMORY, "qmm_context_open: no memory for a context");
    o = plain, o.native_queue = text;
    expect_open("cpu", o, QMM_INVALID_ARGUMENT,
                "qmm_context_open: native_context and native_queue of options must be NULL: the CPU has neither");
    o = plain, o.native_context = text;
    expect_open("cpu", o, QMM_INVALID_ARGUMENT,
                "qmm_context_open: native_context and native_queue of options must be NULL: the CPU has neither");
    world_works(w);
    end_of_test();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tensors),
        cmocka_unit_test(test_extreme_sizes),
        cmocka_unit_test(test_matrix_sizes),
        cmocka_unit_test(test_claimed_sizes),
        cmocka_unit_test(test_empty_batch),
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_sums),
        cmocka_unit_test(test_host_values),
        cmocka_unit_test(test_granularity),
        cmocka_unit_test(test_device_scales),
        cmocka_unit_test(test_overlap),
        cmocka_unit_test(test_overlap_storage),
        cmocka_unit_test(test_allowed_overlap),
        cmocka_unit_test(test_matmul_rules),
        cmocka_unit_test(test_k_limit),
        cmocka_unit_test(test_workspace),
        cmocka_unit_test(test_weights),
        cmocka_unit_test(test_kernels),
        cmocka_unit_test(test_buffers),
        cmocka_unit_test(test_other_device),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_without_context),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_timers),
        cmocka_unit_test(test_tuning),
        cmocka_unit_test(test_struct_sizes),
        cmocka_unit_test(test_wild_struct_size),
        cmocka_unit_test(test_result_sizes),
        cmocka_unit_test(test_open),
        cmocka_unit_test(test_sizing),
        cmocka_unit_test(test_queue),
    };
    return cmocka_run_group_tests(tests, open_world, close_world);
}
