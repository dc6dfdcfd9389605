/* SPDX-License-Identifier: Apache-2.0
 *
 * Buffers: copies of every kind and place, and operations on memory that begins and ends exactly at pages which may
 * not be touched. */
#define _GNU_SOURCE /* MAP_ANONYMOUS */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "world.h"

enum { BYTES = 1024, GUARD = 64 };

/* ---- copies ------------------------------------------------------------------------------------------------------- */

/* What the buffer should hold, kept beside it. */
static unsigned char model[2][BYTES + 2 * GUARD], memory[2][BYTES + 2 * GUARD];

static void check_model(int line) {
    for (int i = 0; i < 2; i++)
        if (!expect_bytes(memory[i], model[i], sizeof model[i], "memory and its guards"))
            print_error("    ^ line %d\n", line);
}

static void test_copies(void **state) {
    static const size_t places[] = { 0, 1, 3, 7, 63, 64, 500, 1000, BYTES - 1, BYTES };
    qmm_context *c = open_device(NULL);
    qmm_buffer *buffer[2];
    unsigned char host[BYTES];
    (void)state;
    fill_random(host, sizeof host, 5);
    for (int i = 0; i < 2; i++) {
        fill_random(memory[i], sizeof memory[i], (uint64_t)i);
        memcpy(model[i], memory[i], sizeof model[i]);
        assert_int_equal(qmm_buffer_wrap(c, memory[i] + GUARD, BYTES, &buffer[i]), QMM_OK);
    }
    for (size_t p = 0; p < COUNT_OF(places); p++) {
        for (size_t s = 0; s < COUNT_OF(places); s++) {
            const size_t at = places[p], bytes = places[s] <= BYTES - at ? places[s] : BYTES - at;
            unsigned char got[BYTES];
            for (int async = 0; async < 2; async++) {
                memcpy(model[0] + GUARD + at, host, bytes);
                expect_ok(c,
                          async ? qmm_buffer_upload_async(c, buffer[0], at, host, bytes)
                                : qmm_buffer_upload(c, buffer[0], at, host, bytes),
                          "upload");
                expect_ok(c, qmm_context_synchronize(c), "synchronize");
                check_model(__LINE__);
                memset(got, 0, sizeof got);
                expect_ok(c,
                          async ? qmm_buffer_download_async(c, buffer[0], at, got, bytes)
                                : qmm_buffer_download(c, buffer[0], at, got, bytes),
                          "download");
                expect_ok(c, qmm_context_synchronize(c), "synchronize");
                expect_bytes(got, host, bytes, "download");
            }
            memset(model[1] + GUARD + at, (int)(p * 16 + s), bytes);
            expect_ok(c, qmm_buffer_fill(c, buffer[1], at, (uint8_t)(p * 16 + s), bytes), "fill");
            check_model(__LINE__);
            memcpy(model[1] + GUARD + BYTES - at - bytes, model[0] + GUARD + at, bytes);
            expect_ok(c, qmm_buffer_copy(c, buffer[1], BYTES - at - bytes, buffer[0], at, bytes), "copy");
            check_model(__LINE__);
        }
    }
    /* Nothing, from nowhere. */
    expect_ok(c, qmm_buffer_upload(c, buffer[0], BYTES, NULL, 0), "upload nothing");
    expect_ok(c, qmm_buffer_download(c, buffer[0], 5, NULL, 0), "download nothing");
    expect_ok(c, qmm_buffer_upload_async(c, buffer[0], 0, NULL, 0), "upload nothing");
    expect_ok(c, qmm_buffer_download_async(c, buffer[0], BYTES, NULL, 0), "download nothing");
    expect_ok(c, qmm_buffer_fill(c, buffer[0], BYTES, 1, 0), "fill nothing");
    expect_ok(c, qmm_buffer_copy(c, buffer[0], 7, buffer[0], 7, 0), "copy nothing");
    check_model(__LINE__);
    /* Within one buffer, up to the very byte. */
    memcpy(model[0] + GUARD + 100, model[0] + GUARD, 100);
    expect_ok(c, qmm_buffer_copy(c, buffer[0], 100, buffer[0], 0, 100), "copy up");
    memcpy(model[0] + GUARD + 300, model[0] + GUARD + 400, 100);
    expect_ok(c, qmm_buffer_copy(c, buffer[0], 300, buffer[0], 400, 100), "copy down");
    check_model(__LINE__);
    for (int shift = -99; shift < 100; shift++)
        expect(qmm_buffer_copy(c, buffer[0], (size_t)(500 + shift), buffer[0], 500, 100) == QMM_INVALID_ARGUMENT,
               "a copy overlaps by %d", shift);
    check_model(__LINE__);
    qmm_buffer_free(buffer[0]);
    qmm_context_close(c);
    check_model(__LINE__);
    end_of_test();
}

static void test_empty_buffers(void **state) {
    qmm_context *c = open_device(NULL);
    qmm_buffer *created, *wrapped;
    (void)state;
    expect_ok(c, qmm_buffer_create(c, 0, &created), "create 0");
    expect_ok(c, qmm_buffer_wrap(c, NULL, 0, &wrapped), "wrap NULL");
    expect(qmm_buffer_bytes(created) == 0 && qmm_buffer_bytes(wrapped) == 0, "sizes");
    expect_ok(c, qmm_buffer_fill(c, created, 0, 1, 0), "fill");
    expect_ok(c, qmm_buffer_copy(c, created, 0, wrapped, 0, 0), "copy");
    expect_ok(c, qmm_buffer_upload(c, wrapped, 0, NULL, 0), "upload");
    expect(qmm_buffer_fill(c, created, 0, 1, 1) == QMM_INVALID_ARGUMENT, "a byte in none");
    expect(qmm_buffer_download(c, wrapped, 0, memory[0], 1) == QMM_INVALID_ARGUMENT, "a byte from none");
    qmm_buffer_free(created);
    qmm_buffer_free(wrapped);
    qmm_context_close(c);
    end_of_test();
}

/* ---- guard pages -------------------------------------------------------------------------------------------------- */

/* Memory between two pages without access, at the end or the start of what lies between. */
typedef struct guarded {
    char *pages;
    size_t length;
    qmm_buffer *buffer;
    void *bytes;
} guarded;

static guarded guard(qmm_context *c, const qmm_tensor *t, bool at_end, uint64_t seed) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes = extent_of(t);
    const size_t inside = (bytes + page - 1) / page * page + (bytes == 0 ? page : 0);
    guarded g = { .length = inside + 2 * page };
    g.pages = mmap(NULL, g.length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(g.pages != MAP_FAILED);
    assert_int_equal(mprotect(g.pages, page, PROT_NONE), 0);
    assert_int_equal(mprotect(g.pages + page + inside, page, PROT_NONE), 0);
    g.bytes = g.pages + page + (at_end ? inside - bytes : 0);
    if (t->type == QMM_F32 || t->type == QMM_F16 || t->type == QMM_BF16)
        fill_reals(g.bytes, t->type, (int64_t)(bytes * 8 / (size_t)qmm_type_bits(t->type)), seed);
    else
        fill_random(g.bytes, bytes, seed);
    assert_int_equal(qmm_buffer_wrap(c, g.bytes, bytes, &g.buffer), QMM_OK);
    return g;
}

static void unguard(guarded *g) {
    qmm_buffer_free(g->buffer);
    munmap(g->pages, g->length);
}

static qmm_tensor strided(qmm_type type, int64_t rows, int64_t cols, int64_t pad) {
    qmm_tensor t = qmm_matrix(NULL, type, rows, cols);
    t.row_stride += pad;
    return t;
}

static const struct {
    int64_t rows, cols;
} shapes[] = { { 1, 1 },  { 1, 2 },  { 2, 1 },  { 3, 7 },   { 5, 16 },
               { 4, 31 }, { 7, 33 }, { 9, 64 }, { 2, 257 }, { 64, 65 } };

typedef qmm_status (*convert)(qmm_context *, const qmm_tensor *, const qmm_quant *, const qmm_tensor *);

static qmm_status requantize(qmm_context *c, const qmm_tensor *source, const qmm_quant *quant,
                             const qmm_tensor *target) {
    return qmm_requantize(c, source, NULL, target, quant);
}

/* source -> target under `quant` (by row, its parameters guarded too), at the end and the start of pages. */
static void guard_convert(qmm_context *c, convert call, qmm_tensor source, qmm_tensor target, bool written) {
    for (int at_end = 0; at_end < 2; at_end++) {
        qmm_tensor scale = qmm_matrix(NULL, QMM_F32, source.rows, 1), zero = qmm_matrix(NULL, QMM_S32, source.rows, 1);
        qmm_quant quant = QMM_QUANT_INIT;
        guarded g[4] = { guard(c, &source, at_end, 1), guard(c, &target, at_end, 2), guard(c, &scale, at_end, 3),
                         guard(c, &zero, at_end, 4) };
        source.buffer = g[0].buffer, target.buffer = g[1].buffer, scale.buffer = g[2].buffer, zero.buffer = g[3].buffer;
        if (!written) {
            for (int64_t i = 0; i < source.rows; i++) {
                ((float *)g[2].bytes)[i] = 0.25f;
                ((int32_t *)g[3].bytes)[i] = 1;
            }
        }
        quant.granularity = QMM_PER_ROW;
        quant.scale = &scale, quant.zero = &zero;
        expect_ok(c, call(c, &source, &quant, &target), "a conversion between guard pages");
        for (int i = 0; i < 4; i++) unguard(&g[i]);
    }
}

static void test_guarded_conversions(void **state) {
    static const qmm_type reals[] = { QMM_F32, QMM_F16, QMM_BF16 };
    static const qmm_type codes[] = { QMM_S4, QMM_U4, QMM_S8, QMM_U8, QMM_S16, QMM_U16 };
    qmm_context *c = open_device(NULL);
    (void)state;
    for (int reference = 0; reference < 2; reference++) {
        if (reference) force_reference(c);
        for (size_t s = 0; s < COUNT_OF(shapes); s++) {
            for (size_t q = 0; q < COUNT_OF(codes); q++) {
                const int64_t rows = shapes[s].rows, cols = shapes[s].cols, pad = s % 2 ? 0 : 2;
                const qmm_tensor code = strided(codes[q], rows, cols, pad);
                for (size_t r = 0; r < COUNT_OF(reals); r++) {
                    const qmm_tensor real = strided(reals[r], rows, cols, pad);
                    guard_convert(c, qmm_quantize, real, code, false);
                    guard_convert(c, qmm_quantize_dynamic, real, code, true);
                    guard_convert(c, qmm_dequantize, code, real, false);
                }
                guard_convert(c, requantize, code, strided(codes[(q + 1) % COUNT_OF(codes)], rows, cols, 0), false);
            }
        }
    }
    qmm_context_close(c);
    end_of_test();
}

static void test_guarded_reductions(void **state) {
    static const qmm_type reals[] = { QMM_F32, QMM_F16, QMM_BF16 };
    qmm_context *c = open_device(NULL);
    (void)state;
    for (size_t s = 0; s < COUNT_OF(shapes); s++) {
        for (size_t r = 0; r < COUNT_OF(reals); r++) {
            for (int at_end = 0; at_end < 2; at_end++) {
                qmm_tensor x = strided(reals[r], shapes[s].rows, shapes[s].cols, s % 2 ? 3 : 0), y = x;
                guarded g[2] = { guard(c, &x, at_end, 1), guard(c, &y, at_end, 2) };
                qmm_error_measure measure = QMM_ERROR_MEASURE_INIT;
                qmm_compare_result compared = QMM_COMPARE_RESULT_INIT;
                double min, max;
                x.buffer = g[0].buffer, y.buffer = g[1].buffer;
                for (int method = QMM_RANGE_MINMAX; method <= QMM_RANGE_ENTROPY; method++) {
                    qmm_range_options o = QMM_RANGE_OPTIONS_INIT;
                    if (method > QMM_RANGE_PERCENTILE && s > 5) continue; /* slow, and the same bins */
                    o.method = (qmm_range_method)method;
                    expect_ok(c, qmm_find_range(c, &x, &o, &min, &max), "find_range");
                }
                expect_ok(c, qmm_measure_error(c, &x, &y, &measure), "measure_error");
                expect(measure.count == x.rows * x.cols, "%" PRId64 " measured", measure.count);
                expect_ok(c, qmm_compare(c, &x, &y, &compared), "compare");
                expect(compared.count == x.rows * x.cols, "%" PRId64 " compared", compared.count);
                unguard(&g[0]), unguard(&g[1]);
            }
        }
    }
    qmm_context_close(c);
    end_of_test();
}

/* Every row of matmul, plain and packed, its operands, bias, residual, storage and workspace between guard pages. */
static void guard_matmul(qmm_context *c, int64_t m, int64_t n, int64_t k, qmm_type bt, qmm_type ct, int variant) {
    const bool at_end = variant & 1, ta = variant & 2, tb = variant & 4, packed = variant & 8;
    const bool fused = variant & 16 && ct != QMM_S32;
    qmm_tensor a = strided(variant & 32 ? QMM_U8 : QMM_S8, ta ? k : m, ta ? m : k, variant & 64 ? 2 : 0);
    qmm_tensor b = strided(bt, tb ? n : k, tb ? k : n, variant & 64 ? 4 : 0);
    qmm_tensor out = strided(ct, m, n, variant & 64 ? 1 : 0);
    qmm_tensor bias = qmm_matrix(NULL, QMM_F32, 1, n), residual = strided(QMM_F16, m, n, 0);
    qmm_matmul_desc desc = QMM_MATMUL_DESC_INIT;
    qmm_quant qa = QMM_QUANT_INIT, qb = QMM_QUANT_INIT;
    qmm_weights *weights = NULL;
    guarded g[6], storage = { 0 }, work = { 0 };
    qmm_status status = QMM_OK;
    size_t bytes = 0;
    g[0] = guard(c, &a, at_end, 1), g[1] = guard(c, &b, at_end, 2), g[2] = guard(c, &out, at_end, 3);
    g[3] = guard(c, &bias, at_end, 4), g[4] = guard(c, &residual, at_end, 5);
    a.buffer = g[0].buffer, b.buffer = g[1].buffer, out.buffer = g[2].buffer;
    bias.buffer = g[3].buffer, residual.buffer = g[4].buffer;
    qa.zero_value = 3, qb.zero_value = variant & 2 ? 1 : 0;
    desc.transpose_a = ta, desc.quant_a = &qa;
    if (fused) desc.bias = &bias, desc.residual = &residual, desc.activation = QMM_ACTIVATION_GELU_TANH;
    if (packed) {
        qmm_weights_options options = QMM_WEIGHTS_OPTIONS_INIT;
        qmm_tensor block;
        options.transpose_b = tb, options.quant = &qb;
        expect_ok(c, qmm_weights_bytes(c, &b, &options, &bytes), "weights_bytes");
        expect(bytes % 256 == 0, "%zu bytes of weights cannot end at a page", bytes);
        block = qmm_matrix(NULL, QMM_U8, 1, (int64_t)bytes);
        storage = guard(c, &block, at_end, 6);
        options.storage = storage.buffer;
        status = qmm_weights_create(c, &b, &options, &weights);
        expect_ok(c, status, "weights between guard pages");
        desc.weights = weights;
    } else {
        desc.transpose_b = tb, desc.quant_b = &qb;
    }
    if (status == QMM_OK) status = qmm_matmul_workspace(c, &desc, &a, packed ? NULL : &b, &out, &bytes);
    if (status == QMM_OK && bytes > 0) {
        const qmm_tensor block = qmm_matrix(NULL, QMM_U8, 1, (int64_t)(bytes + 255) / 256 * 256);
        work = guard(c, &block, at_end, 7);
        desc.workspace = work.buffer, desc.workspace_bytes = extent_of(&block);
    }
    if (status == QMM_OK) status = qmm_matmul(c, &desc, &a, packed ? NULL : &b, &out);
    expect(status == QMM_OK || status == QMM_UNSUPPORTED, "matmul between guard pages: %s", qmm_context_error(c));
    if (status == QMM_OK && !fused) {
        qmm_verify_result verified = QMM_VERIFY_RESULT_INIT;
        expect_ok(c, qmm_verify_matmul(c, &desc, &a, packed ? NULL : &b, &out, NULL, &verified), "verify");
        expect(verified.passed, "%" PRId64 " x %" PRId64 " x %" PRId64 " %s -> %s, variant %d is wrong", m, n, k,
               qmm_type_name(bt), qmm_type_name(ct), variant);
    }
    qmm_weights_free(weights);
    for (int i = 0; i < 5; i++) unguard(&g[i]);
    if (storage.buffer) unguard(&storage);
    if (work.buffer) unguard(&work);
}

static void test_guarded_matmul(void **state) {
    static const qmm_type bs[] = { QMM_S8, QMM_U8, QMM_S4, QMM_U4 };
    static const qmm_type cs[] = { QMM_S32, QMM_F32, QMM_F16, QMM_BF16, QMM_S8, QMM_U8, QMM_S16, QMM_U16 };
    static const int64_t sizes[][3] = { { 1, 1, 1 },   { 1, 3, 2 },   { 3, 5, 7 },
                                        { 4, 17, 33 }, { 7, 16, 64 }, { 33, 9, 65 } };
    qmm_context *c = open_device(NULL);
    (void)state;
    for (int row = 0; row < qmm_kernel_count(c); row++) {
        int cases = 0;
        const char *name = qmm_kernel_name(c, row);
        if (!strstr(name, ":matmul:")) continue;
        expect_ok(c, qmm_kernel_force(c, name), name);
        for (size_t s = 0; s < COUNT_OF(sizes); s++)
            for (size_t b = 0; b < COUNT_OF(bs); b++)
                for (int variant = 0; variant < 128; variant += 1 + (int)(s % 3))
                    guard_matmul(c, sizes[s][0], sizes[s][1], sizes[s][2], bs[b], cs[(size_t)cases++ % COUNT_OF(cs)],
                                 variant);
    }
    qmm_context_close(c);
    end_of_test();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_copies),
        cmocka_unit_test(test_empty_buffers),
        cmocka_unit_test(test_guarded_conversions),
        cmocka_unit_test(test_guarded_reductions),
        cmocka_unit_test(test_guarded_matmul),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
