/* SPDX-License-Identifier: Apache-2.0
 *
 * What only shows when things are large: more than 2^31 elements (3 GB of memory), and matmuls that only Freivalds' check
 * can afford to verify. Label full. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "qmm/qmm.h"

static qmm_context *context;

static qmm_buffer *buffer_of(size_t bytes) {
    qmm_buffer *buffer;
    assert_int_equal(qmm_buffer_create(context, bytes, &buffer), QMM_OK);
    return buffer;
}

static void fill(qmm_buffer *buffer, uint64_t state) {
    unsigned char *to = qmm_buffer_native(buffer);
    for (size_t i = 0; i < qmm_buffer_bytes(buffer); i++) {
        state ^= state >> 12, state ^= state << 25, state ^= state >> 27;
        to[i] = (unsigned char)((state * 0x2545f4914f6cdd1du) >> 56);
    }
}

/* One row of 65,536 floats, quantized 32,769 times over: 2^31 + 65,536 codes. Each copy must equal the first. */
static void more_than_2_to_31_codes(void **state) {
    enum { COLS = 65536, COPIES = 32769 };
    qmm_buffer *x = buffer_of(COLS * sizeof(float)), *q = buffer_of((size_t)COLS * COPIES);
    qmm_tensor from = qmm_matrix(x, QMM_F32, 1, COLS), to = qmm_matrix(q, QMM_S8, 1, COLS);
    qmm_quant quant = QMM_QUANT_INIT;
    const unsigned char *codes = qmm_buffer_native(q);
    float *values = qmm_buffer_native(x);
    (void)state;
    for (int i = 0; i < COLS; i++) values[i] = (float)(i % 255 - 127) * 0.5f;
    quant.scale_value = 0.5f;
    from.batch = to.batch = COPIES;
    to.batch_stride = COLS;
    assert_int_equal(qmm_buffer_fill(context, q, 0, 0x55, (size_t)COLS * COPIES), QMM_OK);
    assert_int_equal(qmm_quantize(context, &from, &quant, &to), QMM_OK);
    for (int i = 0; i < COLS; i++) assert_int_equal((int8_t)codes[i], i % 255 - 127);
    for (size_t copy = 1; copy < COPIES; copy++) assert_memory_equal(codes, codes + copy * COLS, COLS);
    qmm_buffer_free(x);
    qmm_buffer_free(q);
}

/* The result passes; with one element off by one it does not, and the row is named. */
static void verify_shape(int64_t m, int64_t n, int64_t k) {
    qmm_buffer *a = buffer_of((size_t)(m * k)), *b = buffer_of((size_t)(k * n)), *c = buffer_of((size_t)(m * n) * 4);
    qmm_tensor ta = qmm_matrix(a, QMM_S8, m, k), tb = qmm_matrix(b, QMM_S8, k, n), tc = qmm_matrix(c, QMM_S32, m, n);
    qmm_verify_result result = QMM_VERIFY_RESULT_INIT;
    fill(a, 1);
    fill(b, 2);
    assert_int_equal(qmm_matmul(context, NULL, &ta, &tb, &tc), QMM_OK);
    assert_int_equal(qmm_verify_matmul(context, NULL, &ta, &tb, &tc, NULL, &result), QMM_OK);
    assert_true(result.passed);
    ((int32_t *)qmm_buffer_native(c))[(m - 1) * n + n / 2] += 1;
    assert_int_equal(qmm_verify_matmul(context, NULL, &ta, &tb, &tc, NULL, &result), QMM_OK);
    assert_false(result.passed);
    assert_int_equal(result.wrong_rows, 1);
    assert_int_equal(result.row, m - 1);
    qmm_buffer_free(a);
    qmm_buffer_free(b);
    qmm_buffer_free(c);
}

static void large_matmuls_are_verified(void **state) {
    (void)state;
    verify_shape(4096, 4096, 4096);
    verify_shape(8192, 8192, 8192);
    verify_shape(1, 8192, 131071);
    verify_shape(8192, 1, 131071);
    verify_shape(1000, 8191, 8193);
}

static int open_context(void **state) {
    (void)state;
    return qmm_context_open("cpu", NULL, &context);
}

static int close_context(void **state) {
    (void)state;
    qmm_context_close(context);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(more_than_2_to_31_codes),
        cmocka_unit_test(large_matmuls_are_verified),
    };
    return cmocka_run_group_tests(tests, open_context, close_context);
}
