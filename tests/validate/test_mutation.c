/* SPDX-License-Identifier: Apache-2.0
 *
 * The checker must be able to fail. Each test puts a faulty device behind a descriptor: its `run` calls the library and
 * then spoils the result. What comes out must be FAILED with a line that repeats the case.
 *
 * `--save DIR` and `--hostile FORMAT` are for test_save.py and test_formats.py: runs of a faulty device, the report on
 * standard output. */
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

/* Wrong only on the context that does not come first, or in a workspace that is not the context's. */
static qmm_status wrong_elsewhere(const validate_case *c, validate_execution *e) {
    static qmm_context *first; /* that of the checker's first call */
    if (calls++ == 0) first = e->context;
    return e->context == first ? right->run(c, e) : flip_element(c, e);
}

static qmm_status wrong_in_workspace(const validate_case *c, validate_execution *e) {
    return c->as.matmul.workspace ? flip_element(c, e) : right->run(c, e);
}

/* The same wrong bytes every time, from the third call on: the second row's. */
static qmm_status wrong_row(const validate_case *c, validate_execution *e) {
    return ++calls < 3 ? right->run(c, e) : flip_element(c, e);
}

/* What no format may be confused by. */
static const char hostile_text[] = "<a href=\"x\">&amp; ]]> 'q' , \t\x01\x1f\x7f \xff\xc3( \xef\xbf\xbf \xc3\xa9 end";

static qmm_status complain(const validate_case *c, validate_execution *e) {
    snprintf(e->complaint, sizeof e->complaint, "%s", hostile_text);
    return right->run(c, e);
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
    int64_t passed, failed, refused, mistrusted, exact, freivalds;
    char *text;
} outcome;

static outcome run_options(validate_options o) {
    outcome result = { 0 };
    size_t bytes = 0;
    const char *totals;
    o.out = open_memstream(&result.text, &bytes);
    assert_non_null(o.out);
    result.code = validate_run(&o);
    fclose(o.out);
    totals = strstr(result.text, "\"totals\"");
    if (o.format == VALIDATE_FORMAT_JSON) {
        assert_non_null(totals);
        assert_int_equal(sscanf(totals,
                                "\"totals\": {\"passed\": %" SCNd64 ", \"failed\": %" SCNd64 ", \"refused\": %" SCNd64
                                ", \"mistrusted\": %" SCNd64 ", \"exact\": %" SCNd64 ", \"freivalds\": %" SCNd64,
                                &result.passed, &result.failed, &result.refused, &result.mistrusted, &result.exact,
                                &result.freivalds),
                         6);
    }
    return result;
}

static outcome run_checker(validate_descriptor d, validate_mode mode, int64_t start, int64_t cases, bool json) {
    const validate_descriptor *const descriptors[] = { &d, NULL };
    validate_options o = VALIDATE_OPTIONS_INIT;
    o.descriptors = descriptors;
    o.kernel = "auto";
    o.mode = mode;
    o.start = start;
    o.cases = cases;
    o.seed = 7;
    o.format = json ? VALIDATE_FORMAT_JSON : VALIDATE_FORMAT_TEXT;
    return run_options(o);
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
             mode == VALIDATE_BITWISE      ? " --mode bitwise"
             : mode == VALIDATE_DETERMINISM ? " --mode determinism"
                                            : "");
    assert_memory_equal(at, line, strlen(line));
    again = run_checker(spoiled(d, run), mode, index, 1, true);
    if (mode == VALIDATE_CORRECTNESS) assert_int_equal(again.code, 1); /* a wavering device need not repeat */
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

/* Determinism finds what wavers, and what a bitwise comparison on the same context and workspace cannot see. */
static void test_determinism(void **state) {
    outcome o;
    (void)state;
    expect_caught(&validate_matmul_plain, waver, VALIDATE_DETERMINISM, 0.9);
    o = run_checker(spoiled(&validate_matmul_plain, wrong_elsewhere), VALIDATE_DETERMINISM, 0, 50, true);
    assert_int_equal(o.failed, 50);
    assert_non_null(strstr(o.text, "run 2 of 100, on a second context: other bytes: c: 1 of "));
    free(o.text);
    o = run_checker(spoiled(&validate_matmul_plain, wrong_in_workspace), VALIDATE_DETERMINISM, 0, 50, true);
    assert_int_equal(o.failed, 50);
    assert_non_null(strstr(o.text, "run 3 of 100, in another workspace: other bytes: c: 1 of "));
    free(o.text);
}

/* Two rows that each repeat themselves must also agree. */
static void test_rows_agree(void **state) {
    const validate_descriptor d = spoiled(&validate_matmul_plain, wrong_row);
    const validate_descriptor *const descriptors[] = { &d, NULL };
    validate_options o = VALIDATE_OPTIONS_INIT;
    outcome result;
    (void)state;
    o.descriptors = descriptors;
    o.mode = VALIDATE_DETERMINISM;
    o.repeat = 2;
    o.cases = 1;
    o.format = VALIDATE_FORMAT_JSON;
    result = run_options(o);
    assert_true(result.passed == 1 && result.failed >= 1);
    assert_non_null(strstr(result.text, "not as the row before: c: 1 of "));
    assert_non_null(strstr(result.text, "--mode determinism --repeat 2"));
    free(result.text);
}

/* Correctness of every third call: found if each case is run three times. */
static void test_repeat(void **state) {
    const validate_descriptor d = spoiled(&validate_matmul_plain, waver);
    const validate_descriptor *const descriptors[] = { &d, NULL };
    validate_options o = VALIDATE_OPTIONS_INIT;
    outcome result;
    (void)state;
    o.descriptors = descriptors;
    o.kernel = "auto";
    o.repeat = 3;
    o.cases = 100;
    o.format = VALIDATE_FORMAT_JSON;
    result = run_options(o);
    assert_int_equal(result.failed, 100);
    assert_non_null(strstr(result.text, "run 3 of 3: c: 1 of "));
    free(result.text);
}

/* ---- faulty matmuls of given shapes ------------------------------------------------------------------------------ */

/* Changes a bit of one element. */
static qmm_status spoil_element(qmm_context *context, const qmm_tensor *c, int64_t i, int64_t j) {
    const int bytes = qmm_type_bits(c->type) / 8;
    const size_t at = c->offset + (size_t)((i * c->row_stride + j) * bytes);
    unsigned char byte;
    qmm_status status = qmm_buffer_download(context, c->buffer, at, &byte, 1);
    byte ^= 1;
    return status == QMM_OK ? qmm_buffer_upload(context, c->buffer, at, &byte, 1) : status;
}

static qmm_status multiply_wrong(qmm_context *context, const qmm_matmul_desc *desc, const qmm_tensor *a,
                                 const qmm_tensor *b, const qmm_tensor *c) {
    const qmm_status status = qmm_matmul(context, desc, a, b, c);
    return status == QMM_OK ? spoil_element(context, c, 1, 2) : status;
}

/* One byte behind the last element. */
static qmm_status multiply_too_far(qmm_context *context, const qmm_matmul_desc *desc, const qmm_tensor *a,
                                   const qmm_tensor *b, const qmm_tensor *c) {
    const qmm_status status = qmm_matmul(context, desc, a, b, c);
    return status == QMM_OK ? spoil_element(context, c, c->rows - 1, c->cols) : status;
}

static qmm_status multiply_at_times(qmm_context *context, const qmm_matmul_desc *desc, const qmm_tensor *a,
                                    const qmm_tensor *b, const qmm_tensor *c) {
    return (++calls % 7 ? qmm_matmul : multiply_wrong)(context, desc, a, b, c);
}

static qmm_status multiply_wrong_elsewhere(qmm_context *context, const qmm_matmul_desc *desc, const qmm_tensor *a,
                                           const qmm_tensor *b, const qmm_tensor *c) {
    static qmm_context *first; /* that of the checker's first call */
    if (calls++ == 0) first = context;
    return (context == first ? qmm_matmul : multiply_wrong)(context, desc, a, b, c);
}

static qmm_status multiply_not(qmm_context *context, const qmm_matmul_desc *desc, const qmm_tensor *a,
                               const qmm_tensor *b, const qmm_tensor *c) {
    (void)context, (void)desc, (void)a, (void)b, (void)c;
    return QMM_OK;
}

static qmm_status multiply_and_fail(qmm_context *context, const qmm_matmul_desc *desc, const qmm_tensor *a,
                                    const qmm_tensor *b, const qmm_tensor *c) {
    const qmm_status status = qmm_matmul(context, desc, a, b, c);
    return status == QMM_OK ? QMM_UNSUPPORTED : status;
}

static cli_shape some_shapes[] = { { "one", 17, 33, 65, 1 }, { "two", 5, 16, 64, 2 } };

/* Two shapes of these types on every row, with that multiply. */
static outcome run_shapes(validate_multiply *multiply, qmm_type type, validate_mode mode, double exact_limit,
                          const char *save) {
    static const validate_descriptor *const descriptors[] = { &validate_matmul_plain, NULL };
    validate_shapes shapes = { .call = CLI_CALL_INIT, .list = { some_shapes, 2 }, .arguments = " --plain",
                               .multiply = multiply };
    validate_options o = VALIDATE_OPTIONS_INIT;
    shapes.call.c = type;
    shapes.call.b = type == QMM_BF16 ? QMM_S4 : QMM_S8;
    shapes.call.packed = false;
    o.descriptors = descriptors;
    o.shapes = &shapes;
    o.mode = mode;
    o.exact_limit = exact_limit;
    o.format = VALIDATE_FORMAT_JSON;
    o.save = save;
    calls = 0;
    return run_options(o);
}

/* Right matmuls pass; wrong ones fail, whichever way they are checked. With Freivalds' way the reference row is only
 * run where it is named. */
static void expect_shapes(qmm_type type, double exact_limit) {
    static validate_multiply *const wrong[] = { multiply_wrong, multiply_too_far, multiply_not, multiply_and_fail };
    outcome o = run_shapes(NULL, type, VALIDATE_CORRECTNESS, exact_limit, NULL);
    const int64_t passed = o.passed;
    assert_int_equal(o.code, 0);
    assert_int_equal(o.failed, 0);
    assert_int_equal(o.exact + o.freivalds, passed);
    assert_true(exact_limit > 0.0 ? o.exact > 0 && o.freivalds == 2 : o.exact == 0 && o.freivalds > 0);
    free(o.text);
    for (int n = 0; n < 4; n++) {
        o = run_shapes(wrong[n], type, VALIDATE_CORRECTNESS, exact_limit, NULL);
        assert_int_equal(o.code, 1);
        assert_int_equal(o.failed, passed);
        assert_int_equal(o.passed + o.mistrusted, 0);
        assert_non_null(strstr(o.text, "qmm validate --device cpu --kernel auto --seed 1 --shapes 17x33x65 --plain"));
        assert_non_null(strstr(o.text, " --shapes 5x16x64x2 --plain"));
        free(o.text);
    }
}

static void test_shapes(void **state) {
    static const qmm_type types[] = { QMM_S32, QMM_F32, QMM_F16, QMM_BF16, QMM_S8, QMM_U16 };
    (void)state;
    for (int n = 0; n < 6; n++) {
        expect_shapes(types[n], CLI_EXACT_LIMIT);
        expect_shapes(types[n], 0.0);
    }
}

static void test_shapes_determinism(void **state) {
    outcome o = run_shapes(NULL, QMM_F16, VALIDATE_DETERMINISM, 0.0, NULL);
    (void)state;
    assert_true(o.code == 0 && o.passed >= 4 && o.failed == 0);
    free(o.text);
    o = run_shapes(multiply_at_times, QMM_F16, VALIDATE_DETERMINISM, 0.0, NULL);
    assert_true(o.code == 1 && o.passed == 0 && o.failed >= 4);
    assert_non_null(strstr(o.text, "run 7 of 100, in a workspace of its own: other bytes: c: 1 of 561"));
    assert_non_null(strstr(o.text, "--plain --mode determinism\""));
    free(o.text);
    for (int mode = VALIDATE_BITWISE; mode <= VALIDATE_DETERMINISM; mode++) {
        o = run_shapes(multiply_wrong_elsewhere, QMM_F16, (validate_mode)mode, 0.0, NULL);
        assert_true(o.code == 1 && o.passed == 0 && o.failed >= 4);
        assert_non_null(strstr(o.text, "on a second context: other bytes: c: 1 of 561"));
        free(o.text);
    }
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

/* ---- for the Python tests ---------------------------------------------------------------------------------------- */

static int print(outcome o) {
    fputs(o.text, stdout);
    free(o.text);
    return fflush(stdout) == 0 ? o.code : 2;
}

/* Into DIR/types the failures of shapes, into DIR/cases those of an operation's cases. */
static int save_failures(const char *directory) {
    static const qmm_type types[] = { QMM_S32, QMM_F16, QMM_BF16 };
    const validate_descriptor d = spoiled(&validate_matmul_plain, flip_element);
    const validate_descriptor *const descriptors[] = { &d, NULL };
    validate_options o = VALIDATE_OPTIONS_INIT;
    char path[1024];
    for (int n = 0; n < 3; n++) {
        snprintf(path, sizeof path, "%s/%s", directory, qmm_type_name(types[n]));
        if (print(run_shapes(multiply_wrong, types[n], VALIDATE_CORRECTNESS, CLI_EXACT_LIMIT, path)) != 1)
            return 2;
    }
    snprintf(path, sizeof path, "%s/cases", directory);
    o.save = path;
    o.descriptors = descriptors;
    o.kernel = "auto";
    o.start = 1800;
    o.cases = 60;
    o.format = VALIDATE_FORMAT_JSON;
    return print(run_options(o));
}

static int print_hostile(const char *format) {
    const validate_descriptor d = spoiled(&validate_matmul_plain, complain);
    const validate_descriptor *const descriptors[] = { &d, NULL };
    validate_options o = VALIDATE_OPTIONS_INIT;
    o.descriptors = descriptors;
    o.cases = 2;
    o.format = strcmp(format, "csv") == 0    ? VALIDATE_FORMAT_CSV
               : strcmp(format, "json") == 0 ? VALIDATE_FORMAT_JSON
                                             : VALIDATE_FORMAT_JUNIT;
    return print(run_options(o));
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_elements),    cmocka_unit_test(test_canaries),   cmocka_unit_test(test_statuses),
        cmocka_unit_test(test_values),      cmocka_unit_test(test_bitwise),    cmocka_unit_test(test_thousand_faults),
        cmocka_unit_test(test_nothing_run), cmocka_unit_test(test_mistrusted),  cmocka_unit_test(test_determinism),
        cmocka_unit_test(test_rows_agree),  cmocka_unit_test(test_repeat),      cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_shapes_determinism),
    };
    if (argc == 3 && strcmp(argv[1], "--save") == 0) return save_failures(argv[2]);
    if (argc == 3 && strcmp(argv[1], "--hostile") == 0) return print_hostile(argv[2]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
