/* SPDX-License-Identifier: Apache-2.0
 *
 * A machine with two CUDA devices (QMM_SIMULATOR: devices=2): names and numbers, buffers and streams of the other one,
 * and device memory from the caller's own functions. */
#define _POSIX_C_SOURCE 200809L
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/support.h"
#include "calls.h"

static const cuda_calls *cuda;

static qmm_context *open_named(const char *name, qmm_allocator *allocator) {
    qmm_context_options options = QMM_CONTEXT_OPTIONS_INIT;
    char text[256] = "";
    qmm_context *context;
    options.allocator = allocator;
    options.error_text = text;
    options.error_text_size = sizeof text;
    expect(qmm_context_open(name, &options, &context) == QMM_OK, "%s: %s", name, text);
    return context;
}

static void test_names(void **state) {
    static const char *const names[][2] = { { "cuda", "cuda:0" }, { "cuda:0", "cuda:0" }, { "cuda:1", "cuda:1" },
                                            { "auto", "cuda:0" } };
    qmm_context *none;
    (void)state;
    expect(qmm_device_count() == 3, "%d devices", qmm_device_count());
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        qmm_device_info info = QMM_DEVICE_INFO_INIT;
        qmm_context *context = open_named(names[i][0], NULL);
        expect_ok(context, qmm_context_get_device_info(context, &info), "info");
        expect(strcmp(info.name, names[i][1]) == 0, "%s is %s", names[i][0], info.name);
        qmm_context_close(context);
    }
    expect(qmm_context_open("cuda:2", NULL, &none) == QMM_NO_DEVICE, "cuda:2 opens");
    end_of_test();
}

/* Contexts on one device share buffers; those of another device's are refused. */
static void test_buffers(void **state) {
    qmm_context *first = open_named("cuda:0", NULL), *same = open_named("cuda:0", NULL);
    qmm_context *other = open_named("cuda:1", NULL);
    unsigned char sent[1000], got[1000];
    qmm_buffer *buffer;
    (void)state;
    fill_random(sent, sizeof sent, 1);
    expect_ok(first, qmm_buffer_create(first, sizeof sent, &buffer), "create");
    expect_ok(first, qmm_buffer_upload(first, buffer, 0, sent, sizeof sent), "upload");
    expect_ok(first, qmm_context_synchronize(first), "synchronize");
    expect_ok(same, qmm_buffer_download(same, buffer, 0, got, sizeof got), "download by another context");
    expect_bytes(got, sent, sizeof sent, "the buffer");
    expect_error(other, qmm_buffer_fill(other, buffer, 0, 0, 10), QMM_INVALID_ARGUMENT,
                 "qmm_buffer_fill: buffer belongs to a context on another device");
    qmm_context_close(other);
    qmm_context_close(same);
    qmm_context_close(first);
    end_of_test();
}

static void test_streams(void **state) {
    qmm_context_options options = QMM_CONTEXT_OPTIONS_INIT;
    qmm_context *context = open_named("cuda:0", NULL), *none;
    void *primary, *stream;
    char text[256] = "";
    void *const own = qmm_context_native_queue(context);
    (void)state;
    cuda_require(cuda->primary_retain(&primary, 1), "cuDevicePrimaryCtxRetain");
    cuda_require(cuda->set_current(primary), "cuCtxSetCurrent");
    cuda_require(cuda->stream_create(&stream, 0), "cuStreamCreate");
    expect_error(context, qmm_context_set_queue(context, stream), QMM_INVALID_ARGUMENT,
                 "qmm_context_set_queue: native_queue is a stream of another CUDA context than the primary one of device 0");
    expect(qmm_context_native_queue(context) == own, "the queue was changed");
    options.native_queue = stream;
    options.error_text = text;
    options.error_text_size = sizeof text;
    expect(qmm_context_open("cuda:0", &options, &none) == QMM_INVALID_ARGUMENT && !none, "it opens");
    expect(strstr(text, "qmm_context_open: native_queue") == text, "it says '%s'", text);
    cuda_require(cuda->stream_destroy(stream), "cuStreamDestroy");
    cuda_require(cuda->set_current(cuda_primary_context()), "cuCtxSetCurrent");
    cuda_require(cuda->primary_release(1), "cuDevicePrimaryCtxRelease");
    qmm_context_close(context);
    end_of_test();
}

/* ---- the caller's device memory ----------------------------------------------------------------------------------- */

typedef struct source {
    int live, made;
    size_t bytes;
    bool empty;
} source;

static void *take(void *user, size_t bytes, size_t alignment) {
    source *s = user;
    uint64_t memory;
    if (s->empty || cuda->memory_allocate(&memory, bytes) != 0) return NULL;
    expect(alignment == 256 && memory % alignment == 0, "alignment %zu", alignment);
    s->live++, s->made++;
    s->bytes += bytes;
    return (void *)(uintptr_t)memory;
}

static void give_back(void *user, void *pointer, size_t bytes) {
    source *s = user;
    s->live--;
    s->bytes -= bytes;
    cuda_require(cuda->memory_free((uint64_t)(uintptr_t)pointer), "cuMemFree");
}

static void test_allocator(void **state) {
    source s = { 0 };
    qmm_allocator allocator = QMM_ALLOCATOR_INIT;
    qmm_context *context;
    qmm_buffer *buffer, *none;
    unsigned char sent[300], got[300];
    (void)state;
    allocator.user = &s;
    allocator.allocate_device = take;
    allocator.release_device = give_back;
    context = open_named("cuda:0", &allocator);
    fill_random(sent, sizeof sent, 2);
    expect_ok(context, qmm_buffer_create(context, sizeof sent, &buffer), "create");
    expect_ok(context, qmm_buffer_upload(context, buffer, 0, sent, sizeof sent), "upload");
    expect_ok(context, qmm_buffer_download(context, buffer, 0, got, sizeof got), "download");
    expect_bytes(got, sent, sizeof sent, "the buffer");
    expect_ok(context, qmm_context_reserve_workspace(context, 4096), "reserve");
    expect(s.live == 2 && s.bytes == sizeof sent + 4096, "%d blocks of %zu bytes", s.live, s.bytes);
    s.empty = true;
    expect_error(context, qmm_buffer_create(context, 10, &none), QMM_OUT_OF_MEMORY,
                 "qmm_buffer_create: no device memory for a buffer of 10 bytes");
    s.empty = false;
    /* Given back once the work queued on it is done. */
    expect_ok(context, qmm_buffer_fill(context, buffer, 0, 7, sizeof sent), "fill");
    qmm_buffer_free(buffer);
    qmm_context_close(context);
    expect(s.live == 0 && s.bytes == 0 && s.made == 2, "%d blocks are left of %d", s.live, s.made);
    end_of_test();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_buffers),
        cmocka_unit_test(test_streams),
        cmocka_unit_test(test_allocator),
    };
    cuda = cuda_calls_open();
    return cuda ? cmocka_run_group_tests(tests, NULL, NULL) : 2;
}
