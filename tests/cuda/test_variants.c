/* SPDX-License-Identifier: Apache-2.0
 *
 * Every variant of every matmul row, forced by name: the bytes of the generic row, by the tile and the number of parts
 * that its name says; or it is refused, and that only where the variant is not made for the problem. On the simulated
 * device, which counts threads. */
#define _POSIX_C_SOURCE 200809L
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/support.h"
#include "calls.h"
#include "context.h"
#include "process.h"

enum { GROUP = 128 };

typedef enum kind { PLAIN, PACKED_4BIT, GROUPED, HALVES } kind; /* HALVES: C, and scales of B's columns, are f16 */

typedef struct size {
    int64_t m, n, k;
    kind kind;
} size;

/* Around the steps of a split along K, 512 of 8-bit codes and 1,024 of 4-bit ones; several tiles; one row. */
static const size sizes[] = {
    { 1, 24, 4096, PLAIN },       { 5, 40, 4090, PLAIN },       { 20, 70, 1100, PLAIN },   { 140, 150, 96, PLAIN },
    { 3, 24, 8200, PACKED_4BIT }, { 17, 40, 2047, PACKED_4BIT }, { 6, 40, 1024, GROUPED }, { 70, 130, 4224, GROUPED },
    { 150, 136, 300, HALVES },
};

typedef struct fixture {
    qmm_context *context;
    qmm_buffer *buffer;
    qmm_weights *weights;
    qmm_quant quant_b;
    qmm_tensor a, b, scale, c;
    qmm_matmul_desc desc;
    size size;
} fixture;

static size_t bytes_of(const qmm_tensor *t) {
    return (size_t)(t->rows * t->cols) * (size_t)qmm_type_bits(t->type) / 8;
}

static void fill(const fixture *f) {
    const size_t bytes = f->c.offset;
    unsigned char *codes = malloc(bytes);
    const float scale = 0.25f;
    assert_non_null(codes);
    for (size_t i = 0; i < bytes; i++) codes[i] = (unsigned char)(i * 2654435761u >> 11);
    for (size_t i = f->scale.offset; i + 4 <= bytes; i += 4) memcpy(codes + i, &scale, sizeof scale);
    expect_ok(f->context, qmm_buffer_upload(f->context, f->buffer, 0, codes, bytes), "upload");
    free(codes);
}

static void pack(fixture *f) {
    qmm_weights_options options = QMM_WEIGHTS_OPTIONS_INIT;
    options.transpose_b = 1;
    expect_ok(f->context, qmm_weights_create(f->context, &f->b, &options, &f->weights), "weights");
    f->desc.weights = f->weights;
    f->desc.transpose_b = 0;
}

static const qmm_type c_types[] = {
    [PLAIN] = QMM_S32, [PACKED_4BIT] = QMM_S32, [GROUPED] = QMM_F32, [HALVES] = QMM_F16
};

static void open_fixture(fixture *f, const size *s) {
    const int64_t groups = s->kind == GROUPED ? s->k / GROUP : 1, k = (s->k + 15) / 16 * 16;
    const qmm_type type = s->kind == PACKED_4BIT ? QMM_S4 : QMM_S8;
    *f = (fixture){ .size = *s };
    assert_int_equal(qmm_context_open("cuda", NULL, &f->context), QMM_OK);
    trust_all(f->context);
    f->buffer = make_buffer(f->context, NULL, (size_t)((s->m + s->n) * k + 4 * s->n * groups + 4 * s->m * s->n + 64));
    f->a = tensor_at(f->buffer, 0, QMM_S8, s->m, s->k, k);
    f->b = tensor_at(f->buffer, (size_t)(s->m * k), type, s->n, s->k, k);
    f->scale = tensor_at(f->buffer, (size_t)((s->m + s->n) * k), s->kind == HALVES ? QMM_F16 : QMM_F32, s->n, groups,
                         groups);
    f->c = tensor_at(f->buffer, f->scale.offset + bytes_of(&f->scale), c_types[s->kind], s->m, s->n, s->n);
    fill(f);
    f->desc = (qmm_matmul_desc)QMM_MATMUL_DESC_INIT;
    f->quant_b = (qmm_quant)QMM_QUANT_INIT;
    f->desc.transpose_b = 1;
    if (s->kind == PACKED_4BIT) pack(f);
    if (s->kind != GROUPED && s->kind != HALVES) return;
    f->quant_b.granularity = s->kind == GROUPED ? QMM_PER_ROW_GROUP : QMM_PER_ROW;
    if (s->kind == GROUPED) f->quant_b.group_size = GROUP;
    f->quant_b.scale = &f->scale;
    f->desc.quant_b = &f->quant_b;
}

/* What C is on this kernel; NULL: refused. The caller frees it. */
static unsigned char *result_on(const fixture *f, const char *kernel) {
    unsigned char *bytes;
    qmm_status status;
    expect_ok(f->context, qmm_kernel_force(f->context, kernel), kernel);
    expect_ok(f->context, qmm_buffer_fill(f->context, f->buffer, f->c.offset, 0x5a, bytes_of(&f->c)), "fill");
    status = qmm_matmul(f->context, &f->desc, &f->a, f->weights ? NULL : &f->b, &f->c);
    if (status == QMM_UNSUPPORTED) return NULL;
    expect_ok(f->context, status, kernel);
    bytes = malloc(bytes_of(&f->c));
    assert_non_null(bytes);
    expect_ok(f->context, qmm_buffer_download(f->context, f->buffer, f->c.offset, bytes, bytes_of(&f->c)), "download");
    return bytes;
}

/* ---- what a variant says ----------------------------------------------------------------------------------------- */

static int64_t parts(int64_t x, int64_t y) {
    return (x + y - 1) / y;
}

/* Of "split4" 4, of others 0. */
static int64_t split_of(const char *variant) {
    return strncmp(variant, "split", 5) == 0 ? strtol(variant + 5, NULL, 10) : 0;
}

static bool takes(const char *variant, const size *s) {
    const int64_t split = split_of(variant), step = s->kind == PACKED_4BIT ? 1024 : 512;
    if (s->kind == GROUPED) return split == 1;
    return split <= 1 || s->k / step >= split;
}

static void expect_shape(const char *kernel, const char *variant, const size *s, long long blocks, long long threads) {
    const int64_t rows = s->m == 1 ? 1 : s->m <= 4 ? 4 : 16;
    const int64_t split = split_of(variant);
    if (split) {
        const int64_t wanted = parts(s->m, rows) * parts(s->n, 8) * split;
        expect(blocks == wanted, "%s: %lld blocks, not %lld", kernel, blocks, (long long)wanted);
    } else if (s->kind != PACKED_4BIT || !strstr(kernel, ":wgmma/")) { /* whose codes a kernel of its own unpacks */
        const long long wanted = strstr(kernel, ":wgmma/") ? 384 : strcmp(variant, "large") == 0 ? 256 : 128;
        const int cluster = strstr(variant, "c2") ? 2 : 1;
        expect(threads == wanted * blocks && blocks % cluster == 0, "%s: %lld threads of %lld blocks", kernel, threads,
               blocks);
    }
}

/* ---- the test ---------------------------------------------------------------------------------------------------- */

static bool check_variant(const fixture *f, const char *row, const char *variant, const unsigned char *wanted) {
    const long long blocks = simulator_get("blocks_run"), threads = simulator_get("threads_run");
    unsigned char *got;
    char kernel[128];
    snprintf(kernel, sizeof kernel, "%s/%s", row, variant);
    got = result_on(f, kernel);
    expect((got != NULL) == takes(variant, &f->size), "%s, %lld x %lld x %lld, kind %d: %s", kernel,
           (long long)f->size.m, (long long)f->size.n, (long long)f->size.k, (int)f->size.kind,
           got ? "it is taken" : qmm_context_error(f->context));
    if (!got) return false;
    expect_bytes(got, wanted, bytes_of(&f->c), kernel);
    expect_shape(kernel, variant, &f->size, simulator_get("blocks_run") - blocks,
                 simulator_get("threads_run") - threads);
    free(got);
    return true;
}

/* A forced variant takes no other's place, and a name that is none is refused. */
static void check_names(qmm_context *context, const char *row) {
    char kernel[128];
    snprintf(kernel, sizeof kernel, "%s/nosuch", row);
    expect(qmm_kernel_force(context, kernel) == QMM_INVALID_ARGUMENT, "%s is forced", kernel);
}

static int check_rows(const fixture *f, const unsigned char *wanted, int *refused) {
    int ran = 0;
    for (const qmmi_row *r = f->context->backend->rows[QMMI_MATMUL]; r->name; r++) {
        if (!r->variants || (r->needs & f->context->capabilities) != r->needs) continue;
        check_names(f->context, r->name);
        for (int v = 0; r->variants[v]; v++) {
            const bool taken = check_variant(f, r->name, r->variants[v], wanted);
            ran += taken, *refused += !taken;
        }
    }
    return ran;
}

static void check_device(void *argument) {
    int ran = 0, refused = 0;
    (void)argument;
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        unsigned char *wanted;
        fixture f;
        open_fixture(&f, &sizes[i]);
        wanted = result_on(&f, "cuda:matmul:generic");
        assert_non_null(wanted);
        ran += check_rows(&f, wanted, &refused);
        free(wanted);
        qmm_context_close(f.context);
    }
    print_message("             %d ran, %d were refused\n", ran, refused);
    expect(ran >= 15 && refused >= 5, "only %d ran, %d were refused", ran, refused);
}

static void test_variants(void **state) {
    static const char *const devices[] = { "compute=75,multiprocessors=3", "compute=80,multiprocessors=16",
                                           "compute=86", "compute=90,multiprocessors=132" };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(devices); i++) {
        const char *const variables[] = { "QMM_SIMULATOR", devices[i], NULL };
        in_process(variables, check_device, NULL);
    }
    end_of_test();
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_variants) };
    if (setenv("QMM_TEST_DEVICE", "cuda", 1) != 0) return 2;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
