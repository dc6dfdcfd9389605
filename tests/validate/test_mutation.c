/* SPDX-License-Identifier: Apache-2.0
 *
 * The checker must be able to fail. Each test puts a faulty device behind a descriptor: its `run` calls the library and
 * then spoils the result. What comes out must be FAILED with a line that repeats the case. */
#define _POSIX_C_SOURCE 200809L
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "generate.h"
#include "harness.h"

/* ---- faulty devices ---------------------------------------------------------------------------------------------- */

static const validate_descriptor *right; /* the operation whose run is spoiled */
static int calls;

/* The first output that has elements; NULL if there is none. */
static const validate_tensor *output_of(const validate_case *c, int *place) {
    for (int n = 0; n < c->tensor_count; n++) {
        const validate_tensor *t = &c->tensors[n];
        *place = n;
        if (t->output && t->rows > 0 && t->cols > 0) return t;
    }
    return NULL;
}

static size_t byte_of(const validate_tensor *t, int64_t b, int64_t i, int64_t j) {
    return t->offset + (size_t)(b * t->batch_stride + i * t->row_stride + j) * (size_t)qmm_type_bits(t->type) / 8;
}

static void change_byte(validate_execution *e, int place, size_t at, unsigned char bits) {
    unsigned char byte;
    assert_int_equal(qmm_buffer_download(e->context, e->buffers[place], at, &byte, 1), QMM_OK);
    byte ^= bits;
    assert_int_equal(qmm_buffer_upload(e->context, e->buffers[place], at, &byte, 1), QMM_OK);
}

/* An element chosen by the case's own number changes in one bit. */
static qmm_status flip_element(const validate_case *c, validate_execution *e) {
    const qmm_status status = right->run(c, e);
    validate_random r = { (uint64_t)c->index };
    int place;
    const validate_tensor *t = output_of(c, &place);
    if (t && status == QMM_OK) {
        const int64_t j = validate_between(&r, 0, t->cols - 1), i = validate_between(&r, 0, t->rows - 1);
        const int64_t b = validate_between(&r, 0, t->batch - 1);
        change_byte(e, place, byte_of(t, b, i, j), qmm_type_bits(t->type) == 4 && j % 2 ? 0x10 : 0x01);
    }
    return status;
}

/* One element keeps what was there before the call. */
static qmm_status skip_element(const validate_case *c, validate_execution *e) {
    const qmm_status status = right->run(c, e);
    int place;
    const validate_tensor *t = output_of(c, &place);
    if (t && status == QMM_OK) {
        const size_t at = byte_of(t, t->batch - 1, t->rows - 1, t->cols - 1);
        const size_t bytes = qmm_type_bits(t->type) > 8 ? (size_t)qmm_type_bits(t->type) / 8 : 1;
        assert_int_equal(qmm_buffer_upload(e->context, e->buffers[place], at, t->before + at, bytes), QMM_OK);
    }
    return status;
}

static qmm_status write_before(const validate_case *c, validate_execution *e) {
    const qmm_status status = right->run(c, e);
    int place;
    const validate_tensor *t = output_of(c, &place);
    if (t && status == QMM_OK) change_byte(e, place, t->offset - 1, 0x80);
    return status;
}

static qmm_status write_behind(const validate_case *c, validate_execution *e) {
    const qmm_status status = right->run(c, e);
    int place;
    const validate_tensor *t = output_of(c, &place);
    if (t && status == QMM_OK) change_byte(e, place, t->bytes - VALIDATE_GUARD, 0x01);
    return status;
}

/* The element behind a row's last, where the stride leaves room. */
static qmm_status write_between_rows(const validate_case *c, validate_execution *e) {
    const qmm_status status = right->run(c, e);
    int place;
    const validate_tensor *t = output_of(c, &place);
    if (t && status == QMM_OK && t->rows > 1 && t->batch == 1 && t->row_stride > t->cols)
        change_byte(e, place, byte_of(t, 0, 0, t->cols), qmm_type_bits(t->type) == 4 && t->cols % 2 ? 0x10 : 0x01);
    return status;
}

static qmm_status write_input(const validate_case *c, validate_execution *e) {
    const qmm_status status = right->run(c, e);
    change_byte(e, 0, c->tensors[0].offset - 3, 0x04);
    return status;
}

static qmm_status do_nothing(const validate_case *c, validate_execution *e) {
    (void)c, (void)e;
    return QMM_OK;
}

static qmm_status fail_late(const validate_case *c, validate_execution *e) {
    const qmm_status status = right->run(c, e);
    return status == QMM_OK ? QMM_INVALID_ARGUMENT : status;
}

static qmm_status refuse_all(const validate_case *c, validate_execution *e) {
    (void)c, (void)e;
    return QMM_UNSUPPORTED;
}

static qmm_status refuse_late(const validate_case *c, validate_execution *e) {
    const qmm_status status = right->run(c, e);
    return status == QMM_OK ? QMM_UNSUPPORTED : status;
}

/* A result for the host that is off by the smallest step. */
static qmm_status wrong_value(const validate_case *c, validate_execution *e) {
    const qmm_status status = right->run(c, e);
    uint64_t bits;
    memcpy(&bits, &e->values[0], sizeof bits);
    bits ^= 1;
    memcpy(&e->values[0], &bits, sizeof bits);
    return status;
}

/* Right two times out of three. */
static qmm_status waver(const validate_case *c, validate_execution *e) {
    return ++calls % 3 ? right->run(c, e) : flip_element(c, e);
}

/* Inputs of which only zeros come. */
static void generate_zeros(validate_case *c) {
    right->generate(c);
    validate_fill_codes(c, 0, VALIDATE_MOSTLY_ZERO);
    for (int64_t b = 0; b < c->tensors[0].batch; b++)
        for (int64_t i = 0; i < c->tensors[0].rows; i++)
            for (int64_t j = 0; j < c->tensors[0].cols; j++)
                validate_store(&c->tensors[0], c->tensors[0].before, b, i, j, 0.0);
    c->as.convert.source_quant.zero_value = 0;
    if (c->as.convert.source_quant.zero >= 0) c->as.convert.source_quant.zero = -1;
    c->trivial = false;
}

/* ---- running ----------------------------------------------------------------------------------------------------- */

typedef struct outcome {
    int code;
    int64_t passed, failed, refused, mistrusted;
    char *text;
} outcome;

static outcome run_checker(validate_descriptor d, validate_mode mode, int64_t start, int64_t cases, bool json) {
    const validate_descriptor *const descriptors[] = { &d, NULL };
    validate_options o = VALIDATE_OPTIONS_INIT;
    outcome result = { 0 };
    size_t bytes = 0;
    const char *totals;
    o.out = open_memstream(&result.text, &bytes);
    assert_non_null(o.out);
    o.descriptors = descriptors;
    o.kernel = "auto";
    o.mode = mode;
    o.start = start;
    o.cases = cases;
    o.seed = 7;
    o.json = json;
    result.code = validate_run(&o);
    fclose(o.out);
    totals = strstr(result.text, "\"totals\"");
    if (json) {
        assert_non_null(totals);
        assert_int_equal(sscanf(totals,
                                "\"totals\": {\"passed\": %" SCNd64 ", \"failed\": %" SCNd64 ", \"refused\": %" SCNd64
                                ", \"mistrusted\": %" SCNd64,
                                &result.passed, &result.failed, &result.refused, &result.mistrusted),
                         4);
    }
    return result;
}

typedef qmm_status run_function(const validate_case *c, validate_execution *e);

static validate_descriptor spoiled(const validate_descriptor *d, run_function *run) {
    validate_descriptor s = *d;
    right = d;
    calls = 0;
    s.run = run;
    return s;
}

/* At least `share` of the cases fail; the first line printed repeats a case that fails spoiled and passes right. */
static void expect_caught(const validate_descriptor *d, run_function *run, validate_mode mode, double share) {
    enum { CASES = 300, START = 1800 };
    const validate_descriptor wrong = spoiled(d, run);
    outcome all = run_checker(wrong, mode, START, CASES, true), text, again, good;
    char repro[200], line[256];
    int64_t index = -1;
    const char *at;
    assert_int_equal(all.code, 1);
    if ((double)all.failed < share * CASES) fail_msg("%s: only %d of %d cases failed", d->name, (int)all.failed, CASES);
    text = run_checker(wrong, mode, START, CASES, false);
    snprintf(repro, sizeof repro, "FAILED  qmm validate --device cpu --operation %s --kernel auto --seed 7 --start ",
             d->name);
    at = strstr(text.text, repro);
    assert_non_null(at);
    assert_int_equal(sscanf(at + strlen(repro), "%" SCNd64 " --cases 1", &index), 1);
    assert_in_range(index, START, START + CASES - 1);
    snprintf(line, sizeof line, "%s%" PRId64 " --cases 1%s\n", repro, index,
             mode == VALIDATE_BITWISE ? " --mode bitwise" : "");
    assert_memory_equal(at, line, strlen(line));
    again = run_checker(spoiled(d, run), mode, index, 1, true);
    assert_int_equal(again.code, mode == VALIDATE_BITWISE ? again.code : 1); /* a wavering device need not repeat */
    good = run_checker(*d, mode, index, 1, true);
    assert_int_equal(good.failed, 0);
    free(all.text), free(text.text), free(again.text), free(good.text);
}

/* ---- tests ------------------------------------------------------------------------------------------------------- */

static const validate_descriptor *const with_outputs[] = { &validate_quantize,     &validate_quantize_dynamic,
                                                           &validate_dequantize,   &validate_requantize,
                                                           &validate_matmul_plain, &validate_weights };

static void test_elements(void **state) {
    (void)state;
    for (int n = 0; n < 6; n++) {
        expect_caught(with_outputs[n], flip_element, VALIDATE_CORRECTNESS, 0.9);
        expect_caught(with_outputs[n], skip_element, VALIDATE_CORRECTNESS, 0.5);
        expect_caught(with_outputs[n], do_nothing, VALIDATE_CORRECTNESS, 0.8);
    }
}

static void test_canaries(void **state) {
    (void)state;
    for (int n = 0; n < 6; n++) {
        expect_caught(with_outputs[n], write_before, VALIDATE_CORRECTNESS, 0.9);
        expect_caught(with_outputs[n], write_behind, VALIDATE_CORRECTNESS, 0.9);
        expect_caught(with_outputs[n], write_between_rows, VALIDATE_CORRECTNESS, 0.1);
        expect_caught(with_outputs[n], write_input, VALIDATE_CORRECTNESS, 1.0);
    }
}

static void test_statuses(void **state) {
    (void)state;
    expect_caught(&validate_matmul_plain, fail_late, VALIDATE_CORRECTNESS, 0.9);
    expect_caught(&validate_matmul_plain, refuse_late, VALIDATE_CORRECTNESS, 0.9);
}

static void test_values(void **state) {
    (void)state;
    expect_caught(&validate_measure_error, wrong_value, VALIDATE_CORRECTNESS, 1.0);
    expect_caught(&validate_verify_matmul, wrong_value, VALIDATE_CORRECTNESS, 0.9);
    expect_caught(&validate_find_range, wrong_value, VALIDATE_CORRECTNESS, 0.3);
}

static void test_bitwise(void **state) {
    (void)state;
    expect_caught(&validate_matmul_plain, waver, VALIDATE_BITWISE, 0.9);
}

/* A thousand single wrong bits, each in a matmul of its own: all are found. Every case has outputs and succeeds: the
 * grid of small sizes. */
static void test_thousand_faults(void **state) {
    outcome o = run_checker(spoiled(&validate_matmul_plain, flip_element), VALIDATE_CORRECTNESS, 0, 1000, true);
    (void)state;
    assert_int_equal(o.failed, 1000);
    free(o.text);
}

/* Refusals are no pass. */
static void test_nothing_run(void **state) {
    outcome o = run_checker(spoiled(&validate_matmul_plain, refuse_all), VALIDATE_CORRECTNESS, 1800, 50, true);
    (void)state;
    assert_int_equal(o.code, 1);
    assert_int_equal(o.refused, 50);
    assert_int_equal(o.passed + o.failed, 0);
    free(o.text);
    o = run_checker(validate_matmul_plain, VALIDATE_CORRECTNESS, 0, 0, true);
    assert_int_equal(o.code, 1);
    free(o.text);
}

/* Zeros prove nothing, and do not count as passed. */
static void test_mistrusted(void **state) {
    validate_descriptor d = spoiled(&validate_dequantize, NULL);
    outcome o;
    (void)state;
    d.generate = generate_zeros;
    d.run = validate_dequantize.run;
    o = run_checker(d, VALIDATE_CORRECTNESS, 1800, 100, true);
    assert_int_equal(o.failed, 0);
    assert_true(o.mistrusted > 60);
    free(o.text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_elements),    cmocka_unit_test(test_canaries),   cmocka_unit_test(test_statuses),
        cmocka_unit_test(test_values),      cmocka_unit_test(test_bitwise),    cmocka_unit_test(test_thousand_faults),
        cmocka_unit_test(test_nothing_run), cmocka_unit_test(test_mistrusted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
