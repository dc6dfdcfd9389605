/* SPDX-License-Identifier: Apache-2.0
 *
 * What becomes of the oneDNN row with a library that is missing, broken, lying or right. argv: the stand-in library,
 * and one that is none. */
#define _POSIX_C_SOURCE 200809L
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "qmm/qmm.h"

static const char *fake_library, *no_library;

enum { M = 5, N = 70, K = 130 };

typedef struct fixture {
    qmm_context *context;
    qmm_tensor a, b, c;
} fixture;

/* A matmul large enough that the row does not decline, every code -128: the exact result is K * 16384. */
static fixture open_fixture(const char *library, const char *behaviour) {
    fixture f;
    qmm_buffer *buffer;
    assert_int_equal(setenv("QMM_ONEDNN_LIBRARY", library, 1), 0);
    assert_int_equal(setenv("FAKE_ONEDNN", behaviour, 1), 0);
    assert_int_equal(qmm_context_open("cpu", NULL, &f.context), QMM_OK);
    assert_int_equal(qmm_buffer_create(f.context, 16384, &buffer), QMM_OK);
    assert_int_equal(qmm_buffer_fill(f.context, buffer, 0, 0x80, 16384), QMM_OK);
    f.a = qmm_matrix(buffer, QMM_S8, M, K);
    f.b = qmm_matrix(buffer, QMM_S8, K, N);
    f.b.offset = 1024;
    f.c = qmm_matrix(buffer, QMM_S32, M, N);
    f.c.offset = 12288;
    return f;
}

static void expect_exact(const fixture *f) {
    int32_t c[M * N];
    assert_int_equal(qmm_buffer_download(f->context, f->c.buffer, f->c.offset, c, sizeof c), QMM_OK);
    for (int i = 0; i < M * N; i++) assert_int_equal(c[i], K * 16384);
}

typedef struct verdict {
    char reason[256];
    int accepted;
} verdict;

static void keep_verdict(void *user, const char *kernel, const char *reason) {
    verdict *v = user;
    if (strcmp(kernel, "cpu:matmul:onednn") != 0) return;
    v->accepted = !reason;
    if (reason) strncpy(v->reason, reason, sizeof v->reason - 1);
}

static verdict explain(const fixture *f) {
    verdict v = { { 0 }, 0 };
    assert_int_equal(qmm_matmul_explain(f->context, NULL, &f->a, &f->b, &f->c, keep_verdict, &v), QMM_OK);
    return v;
}

/* The row is refused with these words, the matmul is right all the same, and forcing the row says why not. */
static void expect_refused(const char *library, const char *behaviour, const char *words) {
    const fixture f = open_fixture(library, behaviour);
    const verdict v = explain(&f);
    assert_false(v.accepted);
    assert_non_null(strstr(v.reason, words));
    assert_int_equal(qmm_matmul(f.context, NULL, &f.a, &f.b, &f.c), QMM_OK);
    expect_exact(&f);
    assert_int_equal(qmm_kernel_force(f.context, "cpu:matmul:onednn"), QMM_OK);
    assert_int_equal(qmm_matmul(f.context, NULL, &f.a, &f.b, &f.c), QMM_UNSUPPORTED);
    assert_non_null(strstr(qmm_context_error(f.context), "cpu:matmul:onednn: "));
    qmm_context_close(f.context);
}

static void a_missing_library_is_named(void **state) {
    (void)state;
    expect_refused("/nonexistent/libdnnl.so", "right", "QMM_ONEDNN_LIBRARY: /nonexistent/libdnnl.so");
    expect_refused("none", "right", "QMM_ONEDNN_LIBRARY is none");
}

static void a_library_without_the_gemm_is_refused(void **state) {
    (void)state;
    expect_refused(no_library, "right", "has no integer gemm");
}

static void a_saturating_library_fails_its_known_answers(void **state) {
    (void)state;
    expect_refused(fake_library, "saturate", "known-answer test");
}

static void a_right_library_is_used(void **state) {
    const fixture f = open_fixture(fake_library, "right");
    (void)state;
    assert_true(explain(&f).accepted);
    assert_int_equal(qmm_kernel_force(f.context, "cpu:matmul:onednn"), QMM_OK);
    assert_int_equal(qmm_matmul(f.context, NULL, &f.a, &f.b, &f.c), QMM_OK);
    expect_exact(&f);
    qmm_context_close(f.context);
}

/* A failing call is an error of that call: nothing is said about the row, nothing is computed elsewhere unasked. */
static void a_failing_call_is_reported(void **state) {
    const fixture f = open_fixture(fake_library, "right");
    (void)state;
    assert_int_equal(qmm_context_prepare(f.context), QMM_OK);
    assert_int_equal(setenv("FAKE_ONEDNN", "fail", 1), 0);
    assert_int_equal(qmm_matmul(f.context, NULL, &f.a, &f.b, &f.c), QMM_OUT_OF_MEMORY);
    assert_string_equal(qmm_context_error(f.context), "qmm_matmul: oneDNN's gemm gave status 1");
    assert_int_equal(setenv("FAKE_ONEDNN", "right", 1), 0);
    assert_int_equal(qmm_matmul(f.context, NULL, &f.a, &f.b, &f.c), QMM_OK);
    expect_exact(&f);
    qmm_context_close(f.context);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_missing_library_is_named),
        cmocka_unit_test(a_library_without_the_gemm_is_refused),
        cmocka_unit_test(a_saturating_library_fails_its_known_answers),
        cmocka_unit_test(a_right_library_is_used),
        cmocka_unit_test(a_failing_call_is_reported),
    };
    if (argc != 3) return 2;
    fake_library = argv[1];
    no_library = argv[2];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
