/* SPDX-License-Identifier: Apache-2.0
 *
 * Many threads, each with its own context, on shared read-only buffers and weights: no race, and the bytes of one
 * thread. It keeps to the reference rows, whose every access ThreadSanitizer sees. */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "world.h"

enum { THREADS = 8, OUT_BYTES = 4096, KINDS = 10 };

static int call_count = 1000, open_count = 50;

static world the_world;
static world *const w = &the_world;
static unsigned char wanted[KINDS][OUT_BYTES];

typedef struct worker {
    pthread_t thread;
    uint64_t seed;
    int calls, failed, wrong;
} worker;

/* One of KINDS calls on `context`, reading what the main thread made, writing only `out`. */
static qmm_status call_kind(qmm_context *context, qmm_buffer *out, int kind) {
    qmm_matmul_desc desc = QMM_MATMUL_DESC_INIT;
    const qmm_tensor q = tensor_at(out, 0, QMM_S8, 6, 8, 8), real = tensor_at(out, 0, QMM_F32, 6, 8, 8);
    const qmm_tensor c = tensor_at(out, 0, QMM_S32, 6, 5, 5), c_real = tensor_at(out, 0, QMM_F32, 6, 5, 5);
    const qmm_tensor large = tensor_at(out, 0, QMM_S8, 16, 64, 64);
    qmm_tensor few = w->large_a;
    double range[2] = { 0.0, 0.0 };
    qmm_compare_result compared = QMM_COMPARE_RESULT_INIT;
    qmm_verify_result verified = QMM_VERIFY_RESULT_INIT;
    qmm_status status;
    few.rows = 16;
    switch (kind) {
    case 0: return qmm_quantize(context, &w->x, &w->row_quant, &q);
    case 1: return qmm_dequantize(context, &w->codes, &w->row_quant, &real);
    case 2: return qmm_requantize(context, &w->codes, &w->row_quant, &q, NULL);
    case 3: return qmm_matmul(context, NULL, &w->a, &w->b, &c);
    case 4:
        desc.weights = w->weights, desc.quant_a = &w->row_quant, desc.bias = &w->bias;
        desc.activation = QMM_ACTIVATION_SILU;
        return qmm_matmul(context, &desc, &w->a, NULL, &c_real);
    case 5: desc.quant_a = &w->large_quant; return qmm_matmul(context, &desc, &few, &w->large_b, &large);
    case 6: return qmm_buffer_copy(context, out, 64, w->in, 128, 1000);
    case 7:
        status = qmm_find_range(context, &w->x, NULL, &range[0], &range[1]);
        return status == QMM_OK ? qmm_buffer_upload(context, out, 0, range, sizeof range) : status;
    case 8:
        status = qmm_compare(context, &w->a, &w->codes, &compared);
        return status == QMM_OK ? qmm_buffer_fill(context, out, 0, compared.mismatches == 0 ? 1 : 2, 8) : status;
    default:
        status = qmm_matmul(context, NULL, &w->a, &w->b, &c);
        if (status == QMM_OK) status = qmm_verify_matmul(context, NULL, &w->a, &w->b, &c, NULL, &verified);
        return status == QMM_OK ? qmm_buffer_fill(context, out, 128, verified.passed ? 1 : 2, 8) : status;
    }
}

static qmm_status open_reference(qmm_context **context, qmm_buffer **out) {
    qmm_status status = qmm_context_open(device_name(), NULL, context);
    if (status != QMM_OK) return status;
    trust_all(*context);
    for (int i = 0; i < qmm_kernel_count(*context); i++) {
        const char *name = qmm_kernel_name(*context, i);
        if (strstr(name, ":reference") && status == QMM_OK) status = qmm_kernel_force(*context, name);
    }
    return status == QMM_OK ? qmm_buffer_create(*context, OUT_BYTES, out) : status;
}

/* The same call as in one thread, and its bytes. */
static void check_call(worker *self, qmm_context *context, qmm_buffer *out, int kind) {
    unsigned char got[OUT_BYTES];
    self->calls++;
    if (qmm_buffer_fill(context, out, 0, 0x5a, OUT_BYTES) != QMM_OK || call_kind(context, out, kind) != QMM_OK ||
        qmm_buffer_download(context, out, 0, got, sizeof got) != QMM_OK)
        self->failed++;
    else if (memcmp(got, wanted[kind], sizeof got) != 0)
        self->wrong++;
}

static void *mixed_calls(void *argument) {
    worker *self = argument;
    qmm_context *context;
    qmm_buffer *out;
    if (open_reference(&context, &out) != QMM_OK) {
        self->failed++;
        return NULL;
    }
    for (int i = 0; i < call_count; i++) check_call(self, context, out, (int)(next_random(&self->seed) % KINDS));
    qmm_context_close(context);
    return NULL;
}

/* Opens, works, fails and closes; makes weights of its own beside the shared ones. */
static void *open_and_close(void *argument) {
    worker *self = argument;
    for (int i = 0; i < open_count; i++) {
        qmm_context *context, *none;
        qmm_buffer *out;
        qmm_weights *weights;
        qmm_device_info info = QMM_DEVICE_INFO_INIT;
        if (open_reference(&context, &out) != QMM_OK) {
            self->failed++;
            continue;
        }
        for (int n = 0; n < 4; n++) check_call(self, context, out, (int)(next_random(&self->seed) % KINDS));
        if (qmm_weights_create(context, &w->b, NULL, &weights) != QMM_OK) self->failed++;
        if (qmm_buffer_fill(context, NULL, 0, 0, 1) != QMM_INVALID_ARGUMENT) self->failed++;
        if (strcmp(qmm_context_error(context), "qmm_buffer_fill: buffer is NULL") != 0) self->wrong++;
        if (qmm_context_open("nosuch", NULL, &none) != QMM_NO_DEVICE) self->failed++;
        if (qmm_device_get_info(0, &info) != QMM_OK || qmm_device_count() < 1) self->failed++;
        if (qmm_context_prepare(context) != QMM_OK) self->failed++;
        qmm_context_close(context);
    }
    return NULL;
}

static void run_threads(void *(*work)(void *), int calls) {
    worker workers[THREADS];
    memset(workers, 0, sizeof workers);
    for (int i = 0; i < THREADS; i++) {
        workers[i].seed = (uint64_t)i + 1;
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
        expect(workers[i].failed == 0, "thread %d: %d calls failed", i, workers[i].failed);
        expect(workers[i].wrong == 0, "thread %d: %d calls gave other bytes", i, workers[i].wrong);
        expect(workers[i].calls == calls, "thread %d made %d calls", i, workers[i].calls);
    }
    world_unharmed(w);
}

static int open_world(void **state) {
    qmm_context *context;
    qmm_buffer *out;
    (void)state;
    if (!on_cpu()) call_count = 20, open_count = 2; /* a simulated device is slow */
    world_open(w, NULL);
    assert_int_equal(open_reference(&context, &out), QMM_OK);
    for (int kind = 0; kind < KINDS; kind++) {
        assert_int_equal(qmm_buffer_fill(context, out, 0, 0x5a, OUT_BYTES), QMM_OK);
        assert_int_equal(call_kind(context, out, kind), QMM_OK);
        assert_int_equal(qmm_buffer_download(context, out, 0, wanted[kind], OUT_BYTES), QMM_OK);
    }
    qmm_context_close(context);
    return 0;
}

static int close_world(void **state) {
    (void)state;
    world_close(w);
    return 0;
}

static void test_mixed_calls(void **state) {
    (void)state;
    run_threads(mixed_calls, call_count);
    end_of_test();
}

static void test_open_and_close(void **state) {
    (void)state;
    run_threads(open_and_close, 4 * open_count);
    end_of_test();
}

/* One context, handed from thread to thread: one at a time, as the contract asks. */
static void *use_shared(void *argument) {
    worker *self = argument;
    for (int kind = 0; kind < KINDS; kind++) check_call(self, w->context, w->scratch, kind);
    return NULL;
}

static void test_handed_over(void **state) {
    (void)state;
    force_reference(w->context);
    for (int i = 0; i < THREADS; i++) {
        worker one;
        memset(&one, 0, sizeof one);
        assert_int_equal(pthread_create(&one.thread, NULL, use_shared, &one), 0);
        assert_int_equal(pthread_join(one.thread, NULL), 0);
        expect(one.failed == 0 && one.wrong == 0 && one.calls == KINDS, "thread %d: %d failed, %d wrong", i, one.failed,
               one.wrong);
    }
    end_of_test();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mixed_calls),
        cmocka_unit_test(test_open_and_close),
        cmocka_unit_test(test_handed_over),
    };
    return cmocka_run_group_tests(tests, open_world, close_world);
}
