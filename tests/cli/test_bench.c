/* SPDX-License-Identifier: Apache-2.0
 *
 * The parts of qmm bench that its command does not show: quartiles, the check of results against spoiled ones, plans,
 * what is said where something is missing. */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compare.h"
#include "cuda_cublaslt.h"
#include "measure.h"
#include "plan.h"
#include "verify.h"

/* ---- figures ----------------------------------------------------------------------------------------------------- */

/* Medians and quartiles of whole numbers, which are exact; by the definition: in proportion between two. */
static void test_quartiles(void **state) {
    double odd[] = { 5, 1, 4, 2, 3 }, even[] = { 4, 1, 3, 2 }, one[] = { 7 };
    const bench_timing o = bench_summarize(odd, 5), e = bench_summarize(even, 4), s = bench_summarize(one, 1);
    (void)state;
    assert_true(o.median == 3 && o.quartile_1 == 2 && o.quartile_3 == 4 && o.minimum == 1 && o.maximum == 5 &&
                o.runs == 5);
    assert_true(e.median == 2.5 && e.quartile_1 == 1.75 && e.quartile_3 == 3.25);
    assert_true(s.median == 7 && s.quartile_1 == 7 && s.quartile_3 == 7 && s.runs == 1);
}

typedef struct counted {
    int runs, turns[64];
} counted;

static qmm_status count_run(void *state, int turn) {
    counted *c = state;
    if (c->runs < 64) c->turns[c->runs] = turn;
    c->runs++;
    return QMM_OK;
}

static qmm_status fail_third(void *state, int turn) {
    (void)turn;
    return ++((counted *)state)->runs == 3 ? QMM_DEVICE_FAILED : QMM_OK;
}

/* As many runs as are asked for, after the warm-up, each with its turn; a work that fails has no figures, and the other
 * one has. */
static void test_measure(void **state) {
    counted good = { 0 }, bad = { 0 };
    bench_rig rig = { .seconds = 0.0, .runs = 9 };
    bench_work works[] = { { .run = count_run, .state = &good, .repeats = 1 }, { .run = fail_third, .state = &bad } };
    (void)state;
    bench_measure(&rig, works, 2);
    assert_int_equal(works[0].time.runs, 9);
    assert_int_equal(good.runs, 9 + BENCH_WARM_UP);
    for (int i = 0; i < good.runs; i++) assert_int_equal(good.turns[i], i);
    assert_int_equal(works[0].status, QMM_OK);
    assert_int_equal(works[1].status, QMM_DEVICE_FAILED);
    assert_int_equal(works[1].time.runs, 0);
    assert_int_equal(bad.runs, 3);
}

/* A work in another device's queue is timed by that device's rig: in batches there, while ours takes single runs. */
static void test_other_rig(void **state) {
    const qmm_device_info info = QMM_DEVICE_INFO_INIT;
    counted ours = { 0 }, theirs = { 0 };
    bench_rig rig = { .seconds = 0.0, .runs = 9 }, other;
    bench_work works[] = { { .run = count_run, .state = &ours, .on_device = true },
                           { .run = count_run, .state = &theirs, .on_device = true, .rig = &other } };
    qmm_context *context;
    (void)state;
    assert_int_equal(qmm_context_open("cpu", NULL, &context), QMM_OK);
    assert_int_equal(bench_rig_open(&other, context, &info, false), QMM_OK);
    other.device_clock = true; /* by what the cpu has for one */
    other.runs = 5;
    assert_int_equal(qmm_buffer_create(context, 4096, &other.plug), QMM_OK);
    bench_measure(&rig, works, 2);
    assert_int_equal(works[0].time.runs, 9);
    assert_int_equal(works[1].status, QMM_OK);
    assert_int_equal(works[1].time.runs, 5);
    for (int i = 0; i < theirs.runs; i++) assert_int_equal(theirs.turns[i], i);
    bench_rig_close(&other);
    qmm_context_close(context);
}

/* The peak is of int8 operations: other ones have no share of it. */
static void test_of_peak(void **state) {
    static const bench_device device = { .int8_peak = 1e12, .copy_bandwidth = 1e9 };
    const bench_report report = { .device = &device };
    bench_row row = { .time = { .median = 1e-3 }, .operations = 5e8, .bytes = 2e5 };
    (void)state;
    assert_true(fabs(bench_row_of_peak(&report, &row) - 0.5) < 1e-12);
    row.other_peak = true;
    assert_true(isnan(bench_row_of_peak(&report, &row)));
    assert_true(fabs(bench_row_of_copy(&report, &row) - 0.2) < 1e-12);
    assert_true(isnan(bench_row_peak_floor(&report, &row)));
    assert_true(fabs(bench_row_copy_floor(&report, &row) - 2e-4) < 1e-16);
    row.other_peak = false;
    assert_true(fabs(bench_row_peak_floor(&report, &row) - 5e-4) < 1e-16);
    row.bytes = 0.0;
    assert_true(isnan(bench_row_copy_floor(&report, &row)) && isnan(bench_row_of_copy(&report, &row)));
}

/* cuBLASLt that is named and not there: the reason names it. */
static void test_no_cublaslt(void **state) {
    char reason[256] = "";
    (void)state;
    assert_int_equal(setenv("QMM_CUBLASLT_LIBRARY", "none", 1), 0);
    assert_null(bench_cublaslt_open(false, 13000, NULL, 0, reason, sizeof reason));
    assert_string_equal(reason, "QMM_CUBLASLT_LIBRARY is none");
    assert_int_equal(setenv("QMM_CUBLASLT_LIBRARY", "/nonexistent/libcublasLt.so", 1), 0);
    assert_null(bench_cublaslt_open(true, 12040, NULL, 0, reason, sizeof reason));
    assert_non_null(strstr(reason, "QMM_CUBLASLT_LIBRARY: /nonexistent/libcublasLt.so"));
    unsetenv("QMM_CUBLASLT_LIBRARY");
}

/* Without memory there is a reason, not the text of a call before. */
static void test_no_memory(void **state) {
    qmm_context *context;
    qmm_buffer *buffer;
    (void)state;
    assert_int_equal(qmm_context_open("cpu", NULL, &context), QMM_OK);
    assert_string_equal(bench_why(context, QMM_OUT_OF_MEMORY), "no host memory");
    assert_int_equal(qmm_kernel_force(context, "nothing"), QMM_INVALID_ARGUMENT);
    assert_string_equal(bench_why(context, QMM_OUT_OF_MEMORY), "no host memory");
    assert_string_equal(bench_why(context, QMM_INVALID_ARGUMENT), qmm_context_error(context));
    assert_int_equal(bench_device_failed("bench", context, QMM_OUT_OF_MEMORY), 1);
    assert_int_equal(bench_device_random(context, QMM_S8, PTRDIFF_MAX, &buffer), QMM_OUT_OF_MEMORY);
    assert_null(buffer);
    assert_string_equal(bench_why(context, QMM_OUT_OF_MEMORY), qmm_context_error(context));
    qmm_context_close(context);
}

/* ---- the check of results ---------------------------------------------------------------------------------------- */

/* A spoiled element at every corner and in the middle, by both checks, for a result of numbers and one of reals. */
static void spoil_each(bench_verifier *v, const cli_operands *o, const char *expected) {
    const qmm_tensor *c = cli_operands_at(o, 0).c;
    const int64_t places[] = { 0, c->cols - 1, c->rows * c->cols / 2, (c->rows - 1) * c->cols, c->rows * c->cols - 1 };
    const size_t size = (size_t)qmm_type_bits(c->type) / 8;
    unsigned char *const memory = qmm_buffer_native(c->buffer);
    char text[300] = "";
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        unsigned char *const byte = memory + (size_t)places[i] * size;
        *byte ^= 1; /* the last bit of the element */
        assert_string_equal(bench_verify(v, o, text, sizeof text), "wrong");
        assert_true(text[0] != '\0');
        *byte ^= 1;
    }
    assert_string_equal(bench_verify(v, o, text, sizeof text), expected);
}

static void check_spoiled(qmm_type c_type, bool packed, double limit, const char *expected) {
    cli_call call = CLI_CALL_INIT;
    const cli_shape shape = { "", 23, 37, 65, 1 };
    qmm_context *context;
    cli_operands operands;
    bench_verifier verifier;
    char text[300] = "";
    call.c = c_type;
    call.packed = packed;
    assert_int_equal(qmm_context_open("cpu", NULL, &context), QMM_OK);
    assert_int_equal(cli_operands_create(context, &call, &shape, 2, 5, &operands), QMM_OK);
    bench_verifier_open(&verifier, 5);
    verifier.limit = limit;
    assert_string_equal(bench_verify(&verifier, &operands, text, sizeof text), "wrong"); /* nothing was computed yet */
    assert_int_equal(cli_operands_run(&operands, 0), QMM_OK);
    spoil_each(&verifier, &operands, expected);
    bench_verifier_close(&verifier);
    cli_operands_free(&operands);
    qmm_context_close(context);
}

static void test_exact_catches(void **state) {
    (void)state;
    check_spoiled(QMM_F16, true, BENCH_EXACT_LIMIT, "exact");
    check_spoiled(QMM_S32, false, BENCH_EXACT_LIMIT, "exact");
}

static void test_freivalds_catches(void **state) {
    (void)state;
    check_spoiled(QMM_F16, true, 0.0, "freivalds");
    check_spoiled(QMM_S32, false, 0.0, "freivalds");
}

/* ---- plans ------------------------------------------------------------------------------------------------------- */

/* Every preset can be made, and cut for a simulated device, where all is tiny and nothing stands twice. */
static void test_presets(void **state) {
    static const char *const names[] = { NULL, "quick", "cpu", "gpu", "memory", "decode", "gemm", "opencl" };
    (void)state;
    for (int i = 0; i < 8; i++) {
        const bench_wishes wishes = { .preset = names[i], .call = CLI_CALL_INIT };
        bench_plan whole, tiny;
        assert_int_equal(bench_plan_make("bench", &wishes, false, &whole), 0);
        assert_int_equal(bench_plan_make("bench", &wishes, true, &tiny), 0);
        assert_true(tiny.count > 0 && tiny.count <= whole.count);
        for (int c = 0; c < tiny.count; c++) {
            const cli_shape *s = &tiny.items[c].shape;
            assert_true(s->m <= 17 && s->n <= 256 && s->k <= 256);
        }
        bench_plan_free(&whole);
        bench_plan_free(&tiny);
    }
}

static bool is_in(const bench_plan *plan, const bench_case *c) {
    int times = 0;
    for (int i = 0; i < plan->count; i++) {
        const bench_case *x = &plan->items[i];
        times += x->operation == c->operation && x->shape.m == c->shape.m && x->shape.n == c->shape.n &&
                 x->shape.k == c->shape.k && strcmp(x->shape.name, c->shape.name) == 0 &&
                 memcmp(&x->call, &c->call, sizeof c->call) == 0 &&
                 memcmp(&x->conversion, &c->conversion, sizeof c->conversion) == 0;
    }
    return times == 1;
}

/* The GPU preset is its three sections, in which some cases are twice, and each of those once. */
static void test_sections(void **state) {
    static const char *const names[] = { "memory", "decode", "gemm" };
    const bench_wishes all = { .preset = "gpu" };
    int cases = 0;
    bench_plan whole;
    (void)state;
    assert_int_equal(bench_plan_make("bench", &all, false, &whole), 0);
    for (int i = 0; i < 3; i++) {
        const bench_wishes wishes = { .preset = names[i] };
        bench_plan part;
        assert_int_equal(bench_plan_make("bench", &wishes, false, &part), 0);
        for (int c = 0; c < part.count; c++) assert_true(is_in(&whole, &part.items[c]));
        cases += part.count;
        bench_plan_free(&part);
    }
    assert_true(whole.count < cases && whole.count > cases / 2);
    bench_plan_free(&whole);
    assert_string_equal(bench_preset_kernels("decode"), "variants");
    assert_string_equal(bench_preset_kernels(NULL), "auto");
}

/* Layers of the GPU preset: all of Llama-3's, at every power of two up to 8192. */
static void test_gpu_layers(void **state) {
    const bench_wishes wishes = { .preset = "gpu", .operations = 1u << BENCH_MATMUL };
    int64_t seen = 0;
    int count = 0;
    bench_plan plan;
    (void)state;
    assert_int_equal(bench_plan_make("bench", &wishes, false, &plan), 0);
    for (int i = 0; i < plan.count; i++) {
        if (plan.items[i].call.b != QMM_S8) continue;
        assert_int_equal(plan.items[i].operation, BENCH_MATMUL);
        if (!plan.items[i].call.packed || !strchr(plan.items[i].shape.name, '/')) continue; /* the squares */
        seen |= plan.items[i].shape.m;
        count++;
    }
    assert_int_equal(count, 8 * 14);
    assert_int_equal(seen, 2 * 8192 - 1);
    bench_plan_free(&plan);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quartiles),     cmocka_unit_test(test_measure),
        cmocka_unit_test(test_other_rig),     cmocka_unit_test(test_of_peak),
        cmocka_unit_test(test_no_cublaslt),   cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_exact_catches), cmocka_unit_test(test_freivalds_catches),
        cmocka_unit_test(test_presets),       cmocka_unit_test(test_sections),
        cmocka_unit_test(test_gpu_layers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
