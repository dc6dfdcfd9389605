/* SPDX-License-Identifier: Apache-2.0
 *
 * A caller's OpenCL: its cl_context, cl_command_queue and cl_mem are used, and left as they were; what does not fit is
 * refused in words; contexts on one device share buffers; copies of every size and alignment. */
#define _POSIX_C_SOURCE 200809L
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "calls.h"

enum { MIB = 1 << 20, ALL = 9 * MIB + 8192 };

static caller own;

/* Around nothing, and around sizes that drivers and kernels like. */
static const size_t sizes[] = { 1,       3,       4096,         65537,   MIB - 1,     MIB,
                                MIB + 1, 2 * MIB + 5, 4 * MIB - 1, 4 * MIB, 4 * MIB + 1, 9 * MIB + 17 };
static const size_t offsets[] = { 0, 1, 255, 4095 };

static unsigned char *pattern(size_t bytes, uint64_t seed) {
    unsigned char *const p = malloc(bytes);
    assert_non_null(p);
    fill_random(p, bytes, seed);
    return p;
}

static qmm_status open_with(cl_context native, cl_command_queue queue, qmm_context **context, char text[512]) {
    qmm_context_options options = QMM_CONTEXT_OPTIONS_INIT;
    options.native_context = native;
    options.native_queue = queue;
    options.error_text = text;
    options.error_text_size = 512;
    text[0] = '\0';
    return qmm_context_open("opencl", &options, context);
}

/* A small matmul whose result is known. */
static void expect_works(qmm_context *context, qmm_buffer *in, qmm_buffer *out) {
    static const int8_t a[6] = { 1, -2, 3, -4, 5, -128 }, b[6] = { 7, 8, -9, 10, 11, -128 };
    static const int32_t wanted[4] = { 1 * 7 - 2 * -9 + 3 * 11, 1 * 8 - 2 * 10 + 3 * -128, -4 * 7 + 5 * -9 - 128 * 11,
                                       -4 * 8 + 5 * 10 + 128 * 128 };
    qmm_tensor ta = qmm_matrix(in, QMM_S8, 2, 3), tb = qmm_matrix(in, QMM_S8, 3, 2), tc = qmm_matrix(out, QMM_S32, 2, 2);
    int32_t c[4] = { 0 };
    tb.offset = 64;
    expect_ok(context, qmm_buffer_upload(context, in, 0, a, sizeof a), "upload");
    expect_ok(context, qmm_buffer_upload(context, in, 64, b, sizeof b), "upload");
    expect_ok(context, qmm_buffer_fill(context, out, 0, 0x5a, sizeof c), "fill");
    expect_ok(context, qmm_matmul(context, NULL, &ta, &tb, &tc), "matmul");
    expect_ok(context, qmm_buffer_download(context, out, 0, c, sizeof c), "download");
    expect_bytes(c, wanted, sizeof c, "c");
}

static void expect_context_works(qmm_context *context) {
    qmm_buffer *const in = make_buffer(context, NULL, 128), *const out = make_buffer(context, NULL, 128);
    expect_works(context, in, out);
    qmm_buffer_free(in), qmm_buffer_free(out);
}

static cl_uint references(cl_context context) {
    cl_uint count = 0;
    cl_require(own.api->clGetContextInfo(context, CL_CONTEXT_REFERENCE_COUNT, sizeof count, &count, NULL), "references");
    return count;
}

/* A driver's threads may hold on to what they have just done for a moment. */
static bool come_down_to(cl_context context, cl_uint wanted) {
    const struct timespec moment = { .tv_nsec = 10 * 1000 * 1000 };
    for (int i = 0; i < 200 && references(context) != wanted; i++) nanosleep(&moment, NULL);
    return references(context) == wanted;
}

/* ---- copies --------------------------------------------------------------------------------------------------- */

static void test_copies(void **state) {
    unsigned char *const wanted = pattern(ALL, 1), *const source = malloc(ALL), *const got = malloc(ALL);
    qmm_context *const c = open_device(NULL);
    qmm_buffer *const buffer = make_buffer(c, NULL, ALL), *const other = make_buffer(c, NULL, ALL);
    (void)state;
    assert_true(source && got);
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        for (size_t o = 0; o < COUNT_OF(offsets); o++) {
            memcpy(source, wanted, sizes[i]);
            expect_ok(c, qmm_buffer_fill(c, buffer, 0, 0x5a, ALL), "fill");
            expect_ok(c, qmm_buffer_upload(c, buffer, offsets[o], source, sizes[i]), "upload");
            memset(source, 0xee, sizes[i]); /* free at once */
            expect_ok(c, qmm_buffer_copy(c, other, 3, buffer, offsets[o], sizes[i]), "copy");
            expect_ok(c, qmm_buffer_fill(c, buffer, 0, 0, offsets[o] + sizes[i]), "fill");
            memset(got, 0xdd, sizes[i] + 1);
            expect_ok(c, qmm_buffer_download(c, other, 3, got, sizes[i]), "download");
            expect_bytes(got, wanted, sizes[i], "what came back");
            expect(got[sizes[i]] == 0xdd, "a download of %zu bytes wrote more", sizes[i]);
        }
    }
    free(wanted), free(source), free(got);
    qmm_context_close(c);
    end_of_test();
}

/* Copies that are only queued, in order with what lies between them. */
static void test_async(void **state) {
    unsigned char *const wanted = pattern(ALL, 3), *const got = malloc(ALL);
    qmm_context *const c = open_device(NULL);
    qmm_buffer *const first = make_buffer(c, NULL, ALL), *const second = make_buffer(c, NULL, ALL);
    (void)state;
    assert_non_null(got);
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        expect_ok(c, qmm_buffer_upload_async(c, first, 1, wanted, sizes[i]), "upload");
        expect_ok(c, qmm_buffer_copy(c, second, 3, first, 1, sizes[i]), "copy");
        expect_ok(c, qmm_buffer_fill(c, first, 0, 0, sizes[i] + 1), "fill");
        memset(got, 0xdd, sizes[i]);
        expect_ok(c, qmm_buffer_download_async(c, second, 3, got, sizes[i]), "download");
        expect_ok(c, qmm_context_synchronize(c), "synchronize");
        expect_bytes(got, wanted, sizes[i], "what came back");
    }
    free(wanted), free(got);
    qmm_context_close(c);
    end_of_test();
}

/* ---- the caller's context and queue --------------------------------------------------------------------------- */

static void test_context_and_queue(void **state) {
    const cl_uint before = references(own.context);
    cl_command_queue const second = caller_queue(&own, CL_QUEUE_PROFILING_ENABLE);
    qmm_context *context;
    char text[512];
    (void)state;
    for (int way = 0; way < 3; way++) { /* both, the queue alone (its context is then used), the context alone */
        const qmm_status status =
            open_with(way == 1 ? NULL : own.context, way == 2 ? NULL : own.queue, &context, text);
        if (!expect(status == QMM_OK, "opening: %s", text)) continue;
        expect((qmm_context_native_queue(context) == own.queue) == (way != 2), "another queue");
        expect_context_works(context);
        expect_ok(context, qmm_context_set_queue(context, second), "set_queue");
        expect(qmm_context_native_queue(context) == second, "another queue");
        expect_context_works(context);
        expect_ok(context, qmm_context_set_queue(context, own.queue), "set_queue");
        expect_context_works(context);
        qmm_context_close(context);
        cl_require(own.api->clFinish(own.queue), "the caller's queue after the context is closed");
    }
    cl_require(own.api->clReleaseCommandQueue(second), "clReleaseCommandQueue");
    expect(come_down_to(own.context, before), "the caller's context had %u references, and has %u", before,
           references(own.context));
    end_of_test();
}

/* Two contexts in the caller's cl_context, and one that is not. */
static void test_shared(void **state) {
    qmm_context *first, *second, *apart, *also_apart;
    qmm_buffer *in, *out, *stranger;
    char text[512];
    (void)state;
    assert_int_equal(open_with(own.context, NULL, &first, text), QMM_OK);
    assert_int_equal(open_with(NULL, own.queue, &second, text), QMM_OK);
    assert_int_equal(open_with(NULL, NULL, &apart, text), QMM_OK);
    assert_int_equal(open_with(NULL, NULL, &also_apart, text), QMM_OK);
    in = make_buffer(first, NULL, 128), out = make_buffer(second, NULL, 128);
    expect_ok(second, qmm_context_synchronize(second), "synchronize");
    expect_works(first, in, out);
    expect_ok(first, qmm_context_synchronize(first), "synchronize");
    expect_works(second, in, out);
    stranger = make_buffer(apart, NULL, 128);
    expect_error(first, qmm_buffer_fill(first, stranger, 0, 1, 10), QMM_INVALID_ARGUMENT, NULL);
    expect_error(apart, qmm_buffer_copy(apart, stranger, 0, in, 0, 10), QMM_INVALID_ARGUMENT, NULL);
    expect_ok(apart, qmm_context_synchronize(apart), "synchronize");
    expect_works(also_apart, stranger, make_buffer(also_apart, NULL, 128)); /* those without a caller's share one cl_context */
    qmm_context_close(first), qmm_context_close(second), qmm_context_close(apart), qmm_context_close(also_apart);
    end_of_test();
}

/* ---- refused -------------------------------------------------------------------------------------------------- */

static void test_refused(void **state) {
    caller other;
    cl_command_queue const disorderly = caller_queue(&own, CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE);
    qmm_context *context;
    char text[512];
    (void)state;
    caller_open(&other);
    expect(open_with(own.context, disorderly, &context, text) == QMM_INVALID_ARGUMENT && !context, "it opens");
    expect(strstr(text, "native_queue is out of order") != NULL, "said: %s", text);
    expect(open_with(other.context, own.queue, &context, text) == QMM_INVALID_ARGUMENT && !context, "it opens");
    expect(strstr(text, "native_queue is of another cl_context than native_context") != NULL, "said: %s", text);

    assert_int_equal(open_with(own.context, own.queue, &context, text), QMM_OK);
    expect_error(context, qmm_context_set_queue(context, disorderly), QMM_INVALID_ARGUMENT, NULL);
    expect(strstr(qmm_context_error(context), "out of order") != NULL, "said: %s", qmm_context_error(context));
    expect_error(context, qmm_context_set_queue(context, other.queue), QMM_INVALID_ARGUMENT, NULL);
    expect(strstr(qmm_context_error(context), "another cl_context") != NULL, "said: %s", qmm_context_error(context));
    expect_error(context, qmm_context_set_queue(context, NULL), QMM_INVALID_ARGUMENT, NULL);
    expect(qmm_context_native_queue(context) == own.queue, "the queue is another now");
    expect_context_works(context);
    qmm_context_close(context);
    cl_require(own.api->clReleaseCommandQueue(disorderly), "clReleaseCommandQueue");
    caller_close(&other);
    end_of_test();
}

/* ---- the caller's memory -------------------------------------------------------------------------------------- */

static void test_memory(void **state) {
    enum { BYTES = 4096, ROWS = 3, COLS = 37 };
    unsigned char host[BYTES], got[BYTES];
    cl_int result;
    cl_mem const memory = own.api->clCreateBuffer(own.context, CL_MEM_READ_WRITE, BYTES, NULL, &result);
    qmm_context *c;
    qmm_buffer *whole;
    char text[512];
    (void)state;
    cl_require(result, "clCreateBuffer");
    fill_random(host, sizeof host, 5);
    assert_int_equal(open_with(own.context, own.queue, &c, text), QMM_OK);
    expect_ok(c, qmm_buffer_wrap(c, memory, BYTES, &whole), "wrap");
    expect(qmm_buffer_native(whole) == memory && qmm_buffer_bytes(whole) == BYTES, "other memory");
    for (size_t shift = 0; shift < 20; shift++) {
        const size_t bytes = ROWS * COLS, at = 100 + shift; /* codes need no alignment */
        qmm_buffer *const copied = make_buffer(c, host + at, bytes), *const reals = make_buffer(c, NULL, bytes * 4);
        qmm_tensor q = qmm_matrix(whole, QMM_S8, ROWS, COLS), x = qmm_matrix(reals, QMM_F32, ROWS, COLS);
        const qmm_tensor copy = qmm_matrix(copied, QMM_S8, ROWS, COLS);
        qmm_quant quant = QMM_QUANT_INIT;
        qmm_compare_result compared = QMM_COMPARE_RESULT_INIT;
        q.offset = at;
        /* By the caller's own call, in the order of its queue. */
        cl_require(own.api->clEnqueueWriteBuffer(own.queue, memory, CL_FALSE, 0, BYTES, host, 0, NULL, NULL), "write");
        expect_ok(c, qmm_compare(c, &copy, &q, &compared), "compare");
        expect(compared.mismatches == 0, "%lld elements differ", (long long)compared.mismatches);
        /* There and back: quantizing what was dequantized gives the codes again, in place. */
        quant.scale_value = 0.37f, quant.zero_value = 5;
        expect_ok(c, qmm_dequantize(c, &q, &quant, &x), "dequantize");
        expect_ok(c, qmm_buffer_fill(c, whole, at, 0, bytes), "fill");
        expect_ok(c, qmm_quantize(c, &x, &quant, &q), "quantize");
        cl_require(own.api->clEnqueueReadBuffer(own.queue, memory, CL_TRUE, 0, BYTES, got, 0, NULL, NULL), "read");
        expect_bytes(got, host, BYTES, "the memory and what is around it");
        qmm_buffer_free(copied), qmm_buffer_free(reals);
    }
    qmm_context_close(c);
    cl_require(own.api->clEnqueueReadBuffer(own.queue, memory, CL_TRUE, 0, BYTES, got, 0, NULL, NULL), "still there");
    cl_require(own.api->clReleaseMemObject(memory), "clReleaseMemObject");
    end_of_test();
}

static void test_memory_refused(void **state) {
    cl_int result;
    cl_mem const memory = own.api->clCreateBuffer(own.context, CL_MEM_READ_WRITE, 100, NULL, &result);
    qmm_context *inside, *outside;
    qmm_buffer *buffer;
    char text[512];
    (void)state;
    cl_require(result, "clCreateBuffer");
    assert_int_equal(open_with(own.context, NULL, &inside, text), QMM_OK);
    assert_int_equal(open_with(NULL, NULL, &outside, text), QMM_OK);
    expect_error(inside, qmm_buffer_wrap(inside, memory, 101, &buffer), QMM_INVALID_ARGUMENT, NULL);
    expect(strstr(qmm_context_error(inside), "100") && strstr(qmm_context_error(inside), "101"), "said: %s",
           qmm_context_error(inside));
    expect_error(outside, qmm_buffer_wrap(outside, memory, 100, &buffer), QMM_INVALID_ARGUMENT, NULL);
    expect(strstr(qmm_context_error(outside), "another cl_context") != NULL, "said: %s", qmm_context_error(outside));
    expect_error(inside, qmm_buffer_wrap(inside, NULL, 1, &buffer), QMM_INVALID_ARGUMENT, NULL);
    expect_ok(inside, qmm_buffer_wrap(inside, memory, 100, &buffer), "wrap");
    qmm_context_close(inside), qmm_context_close(outside);
    cl_require(own.api->clReleaseMemObject(memory), "clReleaseMemObject");
    end_of_test();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_copies),  cmocka_unit_test(test_async),   cmocka_unit_test(test_context_and_queue),
        cmocka_unit_test(test_shared),  cmocka_unit_test(test_refused), cmocka_unit_test(test_memory),
        cmocka_unit_test(test_memory_refused),
    };
    int failed;
    if (setenv("QMM_TEST_DEVICE", "opencl", 1) != 0) return 2;
    caller_open(&own);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    caller_close(&own);
    return failed;
}
