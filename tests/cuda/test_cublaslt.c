/* SPDX-License-Identifier: Apache-2.0
 *
 * What becomes of the cuBLASLt row with a library that is missing, incomplete, failing, lying or right; when it is
 * preferred; and its hot path. fake_cublaslt.c holds the calls to the contract of the real library, and qmm validate
 * the results to the specification. argv: the stand-in, and a library that is none. */
#define _POSIX_C_SOURCE 200809L
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <dlfcn.h>

#include "api/support.h"
#include "calls.h"
#include "context.h"
#include "process.h"

#define ROW "cuda:matmul:cublaslt"

static const char *fake_library, *no_library;

/* ---- a matmul whose result is known ----------------------------------------------------------------------------- */

/* Every code -128: each element of the exact result is k * 16384. A, B transposed and C in one buffer. */
typedef struct fixture {
    qmm_context *context;
    qmm_buffer *buffer;
    qmm_matmul_desc desc;
    qmm_tensor a, b, c;
} fixture;

static bool open_fixture(fixture *f, int64_t m, int64_t n, int64_t k) {
    const int64_t a_bytes = (m * k + 15) / 16 * 16, b_bytes = (n * k + 15) / 16 * 16;
    if (!expect(qmm_context_open("cuda", NULL, &f->context) == QMM_OK, "cuda does not open")) return false;
    trust_all(f->context);
    f->buffer = make_buffer(f->context, NULL, (size_t)(a_bytes + b_bytes + m * n * 4));
    expect_ok(f->context, qmm_buffer_fill(f->context, f->buffer, 0, 0x80, (size_t)(a_bytes + b_bytes)), "fill");
    f->a = tensor_at(f->buffer, 0, QMM_S8, m, k, k);
    f->b = tensor_at(f->buffer, (size_t)a_bytes, QMM_S8, n, k, k);
    f->c = tensor_at(f->buffer, (size_t)(a_bytes + b_bytes), QMM_S32, m, n, n);
    f->desc = (qmm_matmul_desc)QMM_MATMUL_DESC_INIT;
    f->desc.transpose_b = 1;
    return true;
}

static qmm_status run(const fixture *f) {
    return qmm_matmul(f->context, &f->desc, &f->a, &f->b, &f->c);
}

static void expect_exact(const fixture *f) {
    const size_t count = (size_t)(f->c.rows * f->c.cols);
    int32_t *got = malloc(count * sizeof *got);
    size_t right = 0;
    assert_non_null(got);
    expect_ok(f->context, run(f), "matmul");
    expect_ok(f->context, qmm_buffer_download(f->context, f->buffer, f->c.offset, got, count * sizeof *got),
              "download");
    while (right < count && got[right] == f->a.cols * 16384) right++;
    expect(right == count, "element %zu of %zu is %d", right, count, right < count ? (int)got[right] : 0);
    free(got);
}

typedef struct verdict {
    char reason[256], chosen[64];
} verdict;

static void keep_verdict(void *user, const char *kernel, const char *reason) {
    verdict *v = user;
    if (!reason && !v->chosen[0]) snprintf(v->chosen, sizeof v->chosen, "%s", kernel);
    if (reason && strcmp(kernel, ROW) == 0) snprintf(v->reason, sizeof v->reason, "%s", reason);
}

/* What becomes of the row when it alone may run, and what is chosen when every row may. */
static verdict explain(const fixture *f, bool forced) {
    verdict v = { "", "" };
    expect_ok(f->context, qmm_kernel_force(f->context, forced ? ROW : NULL), "force");
    expect_ok(f->context, qmm_matmul_explain(f->context, &f->desc, &f->a, &f->b, &f->c, keep_verdict, &v), "explain");
    expect_ok(f->context, qmm_kernel_force(f->context, NULL), "take back");
    return v;
}

/* ---- refusals --------------------------------------------------------------------------------------------------- */

typedef struct refusal {
    const char *library, *behaviour, *words;
    bool tested; /* by its known answers: no row is trusted without */
} refusal;

/* The row is refused with these words, forcing it says so, and the matmul is right all the same. */
static void check_refusal(void *argument) {
    const refusal *r = argument;
    fixture f;
    verdict v;
    if (!open_fixture(&f, 300, 260, 2048)) return;
    if (r->tested) memset(f.context->trust, 0, sizeof f.context->trust);
    expect_exact(&f);
    v = explain(&f, true);
    expect(strstr(v.reason, r->words) != NULL, "it is refused because '%s', not '%s'", v.reason, r->words);
    v = explain(&f, false);
    expect(v.chosen[0] && strcmp(v.chosen, ROW) != 0, "the choice is '%s'", v.chosen);
    expect_ok(f.context, qmm_kernel_force(f.context, ROW), "force");
    expect(run(&f) == QMM_UNSUPPORTED, "it runs");
    expect(strstr(qmm_context_error(f.context), r->words) != NULL, "said: %s", qmm_context_error(f.context));
    expect_ok(f.context, qmm_kernel_force(f.context, NULL), "take back");
    expect_exact(&f);
    qmm_context_close(f.context);
}

static void test_refusals(void **state) {
    refusal refusals[] = {
        { "/nonexistent/libcublasLt.so", "right", "QMM_CUBLASLT_LIBRARY: /nonexistent/libcublasLt.so", false },
        { "none", "right", "QMM_CUBLASLT_LIBRARY is none", false },
        { NULL, "right", "would look for a real device", false },
        { no_library, "right", "the cuBLASLt found has no cublasLtGetVersion", false },
        { fake_library, "no_handle", "cublasLtCreate of cuBLASLt 130000 gave status 1 (not initialized)", false },
        { fake_library, "no_algorithm", "cuBLASLt has no algorithm for this shape", false },
        { fake_library, "wrong", "it failed its known-answer test", true },
        { fake_library, "fail", "its known-answer test could not run", true },
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(refusals); i++) {
        const char *const variables[] = { "QMM_SIMULATOR",        "compute=90",
                                          "QMM_CUBLASLT_LIBRARY", refusals[i].library,
                                          "FAKE_CUBLASLT",        refusals[i].behaviour,
                                          NULL };
        in_process(variables, check_refusal, &refusals[i]);
    }
    end_of_test();
}

/* ---- preference ------------------------------------------------------------------------------------------------- */

typedef struct preference {
    const char *options;
    int64_t m, n, k;
    bool preferred;
} preference;

static void check_preference(void *argument) {
    const preference *p = argument;
    fixture f;
    verdict v;
    if (!open_fixture(&f, p->m, p->n, p->k)) return;
    v = explain(&f, false);
    expect((strcmp(v.chosen, ROW) == 0) == p->preferred, "the choice is '%s'", v.chosen);
    expect_exact(&f);
    qmm_context_close(f.context);
}

/* Where the library has instructions that our rows lack, and the problem is large enough for that to count. */
static void test_preference(void **state) {
    preference preferences[] = {
        { "compute=90", 300, 508, 2048, false }, { "compute=100", 300, 508, 2048, true },
        { "compute=80", 300, 508, 2048, false }, { "compute=120", 300, 508, 2048, false },
        { "compute=100", 8, 260, 2048, false }, { "compute=100", 300, 260, 256, false },
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(preferences); i++) {
        const char *const variables[] = { "QMM_SIMULATOR", preferences[i].options,
                                          "QMM_CUBLASLT_LIBRARY", fake_library, NULL };
        in_process(variables, check_preference, &preferences[i]);
    }
    end_of_test();
}

/* ---- a call that fails ------------------------------------------------------------------------------------------ */

static void check_failing_call(void *argument) {
    fixture f;
    (void)argument;
    if (!open_fixture(&f, 20, 24, 64)) return;
    expect_ok(f.context, qmm_kernel_force(f.context, ROW), "force");
    expect_exact(&f);
    setenv("FAKE_CUBLASLT", "out_of_memory", 1);
    expect_error(f.context, run(&f), QMM_OUT_OF_MEMORY,
                 "qmm_matmul: cublasLtMatmul of cuBLASLt 130000 gave status 3 (allocation failed)");
    setenv("FAKE_CUBLASLT", "right", 1);
    expect_exact(&f);
    setenv("FAKE_CUBLASLT", "fail", 1);
    expect_error(f.context, run(&f), QMM_INTERNAL,
                 "qmm_matmul: cublasLtMatmul of cuBLASLt 130000 gave status 13 (execution failed)");
    setenv("FAKE_CUBLASLT", "right", 1);
    expect_exact(&f);
    setenv("FAKE_CUBLASLT", "fail", 1);
    simulator_set("sticky", 719);
    expect_error(f.context, run(&f), QMM_DEVICE_FAILED, NULL);
    expect(strstr(qmm_context_error(f.context), "cublasLtMatmul: CUDA_ERROR_LAUNCH_FAILED") != NULL, "said: %s",
           qmm_context_error(f.context));
    setenv("FAKE_CUBLASLT", "right", 1);
    expect(run(&f) == QMM_DEVICE_FAILED, "the failure is not sticky");
    qmm_context_close(f.context);
}

static void test_failing_call(void **state) {
    const char *const variables[] = { "QMM_SIMULATOR", "compute=90", "QMM_CUBLASLT_LIBRARY", fake_library, NULL };
    (void)state;
    in_process(variables, check_failing_call, NULL);
    end_of_test();
}

/* ---- the hot path ----------------------------------------------------------------------------------------------- */

/* A counter of the stand-in that the library has loaded. */
static int fake_counter(const char *name) {
    void *const library = dlopen(fake_library, RTLD_NOW);
    void *const address = library ? dlsym(library, name) : NULL;
    int (*counter)(void);
    assert_non_null(address);
    memcpy(&counter, &address, sizeof counter);
    return counter();
}

/* The library is not loaded in a capture, but after. */
static void check_late_load(void *argument) {
    fixture f;
    verdict v;
    const cuda_calls *cuda = cuda_calls_open();
    void *stream, *graph;
    (void)argument;
    if (!open_fixture(&f, 300, 260, 2048)) return;
    stream = qmm_context_native_queue(f.context);
    cuda_require(cuda->begin_capture(stream, 0), "cuStreamBeginCapture");
    v = explain(&f, true);
    expect(strstr(v.reason, "not loaded yet, and the queue is being captured") != NULL, "'%s'", v.reason);
    cuda_require(cuda->end_capture(stream, &graph), "cuStreamEndCapture");
    cuda_require(cuda->graph_destroy(graph), "cuGraphDestroy");
    v = explain(&f, true);
    expect(strcmp(v.chosen, ROW) == 0, "the choice is '%s'", v.chosen);
    qmm_context_close(f.context);
}

static void test_late_load(void **state) {
    const char *const variables[] = { "QMM_SIMULATOR", "compute=90", "QMM_CUBLASLT_LIBRARY", fake_library, NULL };
    (void)state;
    in_process(variables, check_late_load, NULL);
    end_of_test();
}

/* Recorded once, replayed: the same bytes, and nothing asked or allocated on the way. */
static void record_and_replay(const fixture *f) {
    const cuda_calls *cuda = cuda_calls_open();
    void *const stream = qmm_context_native_queue(f->context);
    void *graph, *executable;
    cuda_require(cuda->begin_capture(stream, 0), "cuStreamBeginCapture");
    expect_ok(f->context, run(f), "matmul under capture");
    cuda_require(cuda->end_capture(stream, &graph), "cuStreamEndCapture");
    cuda_require(cuda->graph_instantiate(&executable, graph, 0), "cuGraphInstantiate");
    for (int replay = 0; replay < 3; replay++) {
        cuda_require(cuda->graph_launch(executable, stream), "cuGraphLaunch");
        expect_ok(f->context, qmm_context_synchronize(f->context), "synchronize");
    }
    cuda_require(cuda->executable_destroy(executable), "cuGraphExecDestroy");
    cuda_require(cuda->graph_destroy(graph), "cuGraphDestroy");
}

static void check_hot_path(void *argument) {
    fixture f;
    int asked, live;
    long long allocations;
    (void)argument;
    if (!open_fixture(&f, 300, 260, 2048)) return;
    expect_ok(f.context, qmm_context_reserve_workspace(f.context, (size_t)48 << 20), "reserve");
    expect_ok(f.context, qmm_kernel_force(f.context, ROW), "force");
    expect_exact(&f);
    asked = fake_counter("fake_cublaslt_heuristics");
    live = fake_counter("fake_cublaslt_live");
    allocations = simulator_get("allocations");
    for (int again = 0; again < 3; again++) expect_ok(f.context, run(&f), "matmul");
    expect(fake_counter("fake_cublaslt_heuristics") == asked, "a known shape is asked for again");
    expect(fake_counter("fake_cublaslt_live") == live, "a known shape makes descriptors");
    record_and_replay(&f);
    expect(simulator_get("allocations") == allocations, "the hot path allocates");
    expect_exact(&f);
    qmm_context_close(f.context);
    expect(fake_counter("fake_cublaslt_live") == 0, "%d handles or descriptors are left",
           fake_counter("fake_cublaslt_live"));
}

static void test_hot_path(void **state) {
    const char *const variables[] = { "QMM_SIMULATOR", "compute=90", "QMM_CUBLASLT_LIBRARY", fake_library, NULL };
    (void)state;
    in_process(variables, check_hot_path, NULL);
    end_of_test();
}

/* More shapes than there are plans: old ones give way and come back. */
static void check_many_shapes(void *argument) {
    fixture f;
    (void)argument;
    if (!open_fixture(&f, 100, 8, 32)) return;
    expect_ok(f.context, qmm_kernel_force(f.context, ROW), "force");
    for (int round = 0; round < 2; round++) {
        for (int64_t m = 1; m <= 100; m++) {
            f.a.rows = f.c.rows = m;
            expect_ok(f.context, run(&f), "matmul");
        }
    }
    expect_exact(&f);
    qmm_context_close(f.context);
    expect(fake_counter("fake_cublaslt_live") == 0, "handles or descriptors are left");
}

static void test_many_shapes(void **state) {
    const char *const variables[] = { "QMM_SIMULATOR", "compute=90", "QMM_CUBLASLT_LIBRARY", fake_library, NULL };
    (void)state;
    in_process(variables, check_many_shapes, NULL);
    end_of_test();
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusals),     cmocka_unit_test(test_preference),  cmocka_unit_test(test_failing_call),
        cmocka_unit_test(test_late_load),    cmocka_unit_test(test_hot_path),    cmocka_unit_test(test_many_shapes),
    };
    if (argc != 3) return 2;
    fake_library = argv[1];
    no_library = argv[2];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
