/* SPDX-License-Identifier: Apache-2.0
 *
 * Copies to and from a device whose work runs later: the host's memory is free at once after an upload, filled after a
 * download, of every size around that of the staging memory and at every alignment; and memory of the caller's. */
#define _POSIX_C_SOURCE 200809L
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/support.h"
#include "calls.h"

enum { MIB = 1 << 20, ALL = 9 * MIB + 8192 };

static const cuda_calls *cuda;
static qmm_context *c;

/* Around nothing, a slot of the staging memory, all of it, and more. */
static const size_t sizes[] = { 1,       3,           4096,        65537,   MIB - 1,     MIB,
                                MIB + 1, 2 * MIB + 5, 4 * MIB - 1, 4 * MIB, 4 * MIB + 1, 9 * MIB + 17 };
static const size_t offsets[] = { 0, 1, 255, 4095 };

static unsigned char *pattern(size_t bytes, uint64_t seed) {
    unsigned char *const p = malloc(bytes);
    assert_non_null(p);
    fill_random(p, bytes, seed);
    return p;
}

/* ---- the host's memory is free at once ----------------------------------------------------------------------------- */

static void test_upload_and_forget(void **state) {
    unsigned char *const wanted = pattern(ALL, 1), *const source = malloc(ALL), *const got = malloc(ALL);
    qmm_buffer *const buffer = make_buffer(c, NULL, ALL);
    (void)state;
    assert_true(source && got);
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        for (size_t o = 0; o < COUNT_OF(offsets); o++) {
            memcpy(source, wanted, sizes[i]);
            expect_ok(c, qmm_buffer_fill(c, buffer, 0, 0x5a, ALL), "fill");
            expect_ok(c, qmm_buffer_upload(c, buffer, offsets[o], source, sizes[i]), "upload");
            memset(source, 0xee, sizes[i]); /* before anything has run */
            memset(got, 0xdd, ALL);
            expect_ok(c, qmm_buffer_download(c, buffer, offsets[o], got, sizes[i]), "download");
            expect_bytes(got, wanted, sizes[i], "what came back");
            expect(sizes[i] == ALL || got[sizes[i]] == 0xdd, "a download of %zu bytes wrote more", sizes[i]);
        }
    }
    free(wanted), free(source), free(got);
    qmm_buffer_free(buffer);
    end_of_test();
}

/* Many uploads from one buffer of the host, each other bytes, none waited for. */
static void test_many_uploads(void **state) {
    enum { MANY = 40, BYTES = 300001 };
    unsigned char *const all = pattern((size_t)MANY * BYTES, 2), *const source = malloc(BYTES),
                         *const got = malloc(BYTES);
    qmm_buffer *const buffer = make_buffer(c, NULL, (size_t)MANY * BYTES);
    (void)state;
    assert_true(source && got);
    for (size_t i = 0; i < MANY; i++) {
        memcpy(source, all + i * BYTES, BYTES);
        expect_ok(c, qmm_buffer_upload(c, buffer, i * BYTES, source, BYTES), "upload");
    }
    for (size_t i = 0; i < MANY; i++) {
        expect_ok(c, qmm_buffer_download(c, buffer, i * BYTES, got, BYTES), "download");
        expect_bytes(got, all + i * BYTES, BYTES, "one of many");
    }
    free(all), free(source), free(got);
    qmm_buffer_free(buffer);
    end_of_test();
}

/* Copies that are only queued, from page-locked memory and from any other, in order with what lies between them. */
static void test_async(void **state) {
    void *locked;
    unsigned char *const wanted = pattern(ALL, 3), *const got = malloc(ALL);
    qmm_buffer *const first = make_buffer(c, NULL, ALL), *const second = make_buffer(c, NULL, ALL);
    (void)state;
    assert_non_null(got);
    cuda_require(cuda->host_allocate(&locked, ALL, 0), "cuMemHostAlloc");
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        for (int where = 0; where < 4; where++) {
            unsigned char *const source = where & 1 ? locked : wanted, *const target = where & 2 ? locked : got;
            if (source == locked) memcpy(locked, wanted, sizes[i]);
            expect_ok(c, qmm_buffer_upload_async(c, first, 1, source, sizes[i]), "upload");
            expect_ok(c, qmm_buffer_copy(c, second, 3, first, 1, sizes[i]), "copy");
            expect_ok(c, qmm_buffer_fill(c, first, 0, 0, sizes[i] + 1), "fill");
            if (source == target) expect_ok(c, qmm_context_synchronize(c), "synchronize");
            memset(target, 0xdd, target == source ? 0 : sizes[i]);
            expect_ok(c, qmm_buffer_download_async(c, second, 3, target, sizes[i]), "download");
            expect_ok(c, qmm_context_synchronize(c), "synchronize");
            expect_bytes(target, wanted, sizes[i], "what came back");
        }
    }
    cuda_require(cuda->host_free(locked), "cuMemFreeHost");
    free(wanted), free(got);
    qmm_buffer_free(first), qmm_buffer_free(second);
    end_of_test();
}

/* A download that is under way when the staging memory is needed for something else. */
static void test_interleaved(void **state) {
    enum { PARTS = 12, BYTES = 700001 };
    unsigned char *const all = pattern((size_t)PARTS * BYTES, 4), *const got = malloc((size_t)PARTS * BYTES);
    qmm_buffer *const buffer = make_buffer(c, all, (size_t)PARTS * BYTES), *const other = make_buffer(c, NULL, BYTES);
    (void)state;
    assert_non_null(got);
    for (size_t i = 0; i < PARTS; i++) {
        expect_ok(c, qmm_buffer_download_async(c, buffer, i * BYTES, got + i * BYTES, BYTES), "download");
        expect_ok(c, qmm_buffer_upload(c, other, 0, all, BYTES), "upload");
    }
    expect_ok(c, qmm_context_synchronize(c), "synchronize");
    expect_bytes(got, all, (size_t)PARTS * BYTES, "the parts");
    free(all), free(got);
    qmm_buffer_free(buffer), qmm_buffer_free(other);
    end_of_test();
}

/* ---- memory of the caller's ----------------------------------------------------------------------------------------- */

/* A wrapped pointer that is aligned to nothing; what lies around it stays as it is. */
static void test_wrapped(void **state) {
    enum { BYTES = 4096, ROWS = 3, COLS = 37 };
    unsigned char host[BYTES], got[BYTES];
    uint64_t memory;
    (void)state;
    fill_random(host, sizeof host, 5);
    cuda_require(cuda->memory_allocate(&memory, BYTES), "cuMemAlloc");
    for (size_t shift = 0; shift < 20; shift++) {
        const size_t bytes = ROWS * COLS;
        unsigned char *const native = (unsigned char *)(uintptr_t)memory + 100 + shift;
        qmm_buffer *whole, *part;
        qmm_tensor q, x;
        qmm_quant quant = QMM_QUANT_INIT;
        qmm_compare_result compared = QMM_COMPARE_RESULT_INIT;
        qmm_tensor copy;
        qmm_buffer *copied = make_buffer(c, host + 100 + shift, bytes), *reals = make_buffer(c, NULL, bytes * 8);
        expect_ok(c, qmm_buffer_wrap(c, (void *)(uintptr_t)memory, BYTES, &whole), "wrap");
        expect_ok(c, qmm_buffer_wrap(c, native, bytes, &part), "wrap");
        expect(qmm_buffer_native(part) == native && qmm_buffer_bytes(part) == bytes, "another pointer");
        expect_ok(c, qmm_buffer_upload(c, whole, 0, host, BYTES), "upload");
        q = qmm_matrix(part, QMM_S8, ROWS, COLS), copy = qmm_matrix(copied, QMM_S8, ROWS, COLS);
        expect_ok(c, qmm_compare(c, &copy, &q, &compared), "compare");
        expect(compared.mismatches == 0, "%lld elements differ", (long long)compared.mismatches);
        /* There and back: quantizing what was dequantized gives the codes again, in place. */
        x = qmm_matrix(reals, QMM_F32, ROWS, COLS);
        quant.scale_value = 0.37f, quant.zero_value = 5;
        expect_ok(c, qmm_dequantize(c, &q, &quant, &x), "dequantize");
        expect_ok(c, qmm_buffer_fill(c, part, 0, 0, bytes), "fill");
        expect_ok(c, qmm_quantize(c, &x, &quant, &q), "quantize");
        expect_ok(c, qmm_buffer_download(c, whole, 0, got, BYTES), "download");
        expect_bytes(got, host, BYTES, "the memory and what is around it");
        qmm_buffer_free(whole), qmm_buffer_free(part), qmm_buffer_free(copied), qmm_buffer_free(reals);
    }
    cuda_require(cuda->memory_free(memory), "cuMemFree");
    end_of_test();
}

/* The CUDA context that was current stays so: the library puts it back. */
static void test_current_context(void **state) {
    qmm_buffer *buffer;
    (void)state;
    cuda_require(cuda->set_current(NULL), "cuCtxSetCurrent");
    buffer = make_buffer(c, NULL, 4096);
    qmm_buffer_free(buffer);
    expect_ok(c, qmm_context_synchronize(c), "synchronize");
    expect(cuda->stream_create(&(void *){ NULL }, 0) != 0, "a CUDA context is current that was not");
    cuda_require(cuda->set_current(cuda_primary_context()), "cuCtxSetCurrent");
    end_of_test();
}

static int open_context(void **state) {
    (void)state;
    c = open_device(NULL);
    return 0;
}

static int close_context(void **state) {
    (void)state;
    qmm_context_close(c);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_upload_and_forget),
        cmocka_unit_test(test_many_uploads),
        cmocka_unit_test(test_async),
        cmocka_unit_test(test_interleaved),
        cmocka_unit_test(test_wrapped),
        cmocka_unit_test(test_current_context),
    };
    if (setenv("QMM_TEST_DEVICE", "cuda", 1) != 0) return 2;
    cuda = cuda_calls_open();
    return cuda ? cmocka_run_group_tests(tests, open_context, close_context) : 2;
}
