/* SPDX-License-Identifier: Apache-2.0
 *
 * A thousand seeded faults of each kind that kernels have, each in a single element of a matmul's result. Both
 * verifiers must find every one, and say where: qmm_verify_matmul (Freivalds' method) and qmm_compare (bit for bit).
 *
 * A fault is made by the library itself: a result of other inputs (a step along K without effect, two scales swapped)
 * gives the one element that is put into the right result. Where that element comes out the same, nothing is wrong, and
 * the next attempt is made. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "qmm/qmm.h"
#include "random.h"

enum { FAULTS = 1000 }; /* of each kind */
enum { SIZE_MAX_EACH = 40, ELEMENTS_MAX = SIZE_MAX_EACH * SIZE_MAX_EACH, ATTEMPTS_MAX = 100 };

typedef enum kind { BIT_FLIP, OFF_BY_ONE, DROPPED_K_STEP, SWAPPED_SCALES, KINDS } kind;

static const char *const kind_names[KINDS] = { "bit flips", "off by one", "dropped k steps", "swapped scales" };

/* One matmul on the cpu device, whose memory is the host's. */
typedef struct call {
    qmm_context *context;
    int64_t m, n, k;
    qmm_type type; /* of C */
    int8_t a[ELEMENTS_MAX], b[ELEMENTS_MAX];
    float scale_a[SIZE_MAX_EACH], scale_b[SIZE_MAX_EACH];
    unsigned char right[4 * ELEMENTS_MAX], wrong[4 * ELEMENTS_MAX], other[4 * ELEMENTS_MAX];
} call;

typedef struct arguments {
    qmm_matmul_desc desc;
    qmm_quant quant_a, quant_b, quant_c;
    qmm_tensor a, b, c, scale_a, scale_b;
} arguments;

static qmm_tensor wrap(call *p, void *memory, qmm_type type, int64_t rows, int64_t cols) {
    qmm_buffer *buffer;
    const size_t bytes = (size_t)(rows * cols * qmm_type_bits(type) / 8);
    assert_int_equal(qmm_buffer_wrap(p->context, memory, bytes, &buffer), QMM_OK);
    return qmm_matrix(buffer, type, rows, cols);
}

static void open_arguments(call *p, void *result, arguments *x) {
    *x = (arguments){ .desc = QMM_MATMUL_DESC_INIT, .quant_a = QMM_QUANT_INIT, .quant_b = QMM_QUANT_INIT,
                      .quant_c = QMM_QUANT_INIT };
    x->a = wrap(p, p->a, QMM_S8, p->m, p->k);
    x->b = wrap(p, p->b, QMM_S8, p->k, p->n);
    x->c = wrap(p, result, p->type, p->m, p->n);
    x->scale_a = wrap(p, p->scale_a, QMM_F32, p->m, 1);
    x->scale_b = wrap(p, p->scale_b, QMM_F32, 1, p->n);
    x->quant_a.granularity = QMM_PER_ROW;
    x->quant_a.scale = &x->scale_a;
    x->quant_b.granularity = QMM_PER_COLUMN;
    x->quant_b.scale = &x->scale_b;
    x->desc.quant_a = &x->quant_a;
    x->desc.quant_b = &x->quant_b;
    if (p->type == QMM_S8) x->desc.quant_c = &x->quant_c;
}

static void close_arguments(arguments *x) {
    qmm_buffer_free(x->a.buffer);
    qmm_buffer_free(x->b.buffer);
    qmm_buffer_free(x->c.buffer);
    qmm_buffer_free(x->scale_a.buffer);
    qmm_buffer_free(x->scale_b.buffer);
}

static void multiply(call *p, void *result) {
    arguments x;
    open_arguments(p, result, &x);
    assert_int_equal(qmm_matmul(p->context, &x.desc, &x.a, &x.b, &x.c), QMM_OK);
    close_arguments(&x);
}

/* ---- making faults ----------------------------------------------------------------------------------------------- */

static size_t element_bytes(const call *p) {
    return (size_t)qmm_type_bits(p->type) / 8;
}

/* Sizes, inputs over their full range, and the right result. */
static void generate(call *p, validate_random *r, kind k) {
    static const qmm_type types[] = { QMM_S32, QMM_F32, QMM_F16, QMM_BF16, QMM_S8 };
    /* a swap of scales needs two of them, and an output that has any */
    p->type = k == SWAPPED_SCALES ? types[validate_between(r, 1, 4)] : VALIDATE_PICK(r, types);
    p->m = validate_between(r, 1, SIZE_MAX_EACH);
    p->n = validate_between(r, 2, SIZE_MAX_EACH);
    p->k = validate_between(r, 1, SIZE_MAX_EACH);
    for (int64_t n = 0; n < p->m * p->k; n++) p->a[n] = (int8_t)validate_between(r, -128, 127);
    for (int64_t n = 0; n < p->k * p->n; n++) p->b[n] = (int8_t)validate_between(r, -128, 127);
    for (int64_t n = 0; n < p->m; n++) p->scale_a[n] = (float)(0.01 + 0.02 * validate_unit(r));
    for (int64_t n = 0; n < p->n; n++) p->scale_b[n] = (float)(0.01 + 0.02 * validate_unit(r));
    multiply(p, p->right);
}

static void flip_bit(call *p, validate_random *r, size_t at) {
    const int64_t bit = validate_between(r, 0, qmm_type_bits(p->type) - 1);
    p->wrong[at + (size_t)bit / 8] ^= (unsigned char)(1u << bit % 8);
}

/* The next pattern up or down: of an integer the next number, of a real the next one there is. */
static void step(call *p, validate_random *r, size_t at) {
    uint32_t bits = 0;
    memcpy(&bits, p->wrong + at, element_bytes(p));
    bits += validate_one_in(r, 2) ? 1u : UINT32_MAX;
    memcpy(p->wrong + at, &bits, element_bytes(p));
}

static void drop_k_step(call *p, validate_random *r, int64_t i, size_t at) {
    int8_t *a = &p->a[i * p->k + validate_between(r, 0, p->k - 1)], kept = *a;
    *a = 0;
    multiply(p, p->other);
    *a = kept;
    memcpy(p->wrong + at, p->other + at, element_bytes(p));
}

/* The column's scale is that of another column. */
static void swap_scales(call *p, validate_random *r, int64_t j, size_t at) {
    const float kept = p->scale_b[j];
    p->scale_b[j] = p->scale_b[(j + validate_between(r, 1, p->n - 1)) % p->n];
    multiply(p, p->other);
    p->scale_b[j] = kept;
    memcpy(p->wrong + at, p->other + at, element_bytes(p));
}

static bool is_nan(const call *p, size_t at) {
    uint32_t bits = 0;
    memcpy(&bits, p->wrong + at, element_bytes(p));
    if (p->type == QMM_F32) return (bits & 0x7fffffffu) > 0x7f800000u;
    if (p->type == QMM_F16) return (bits & 0x7fffu) > 0x7c00u;
    return p->type == QMM_BF16 && (bits & 0x7fffu) > 0x7f80u;
}

/* Puts one fault into `wrong`; gives the element's place. No right result here is a NaN, so a NaN is wrong as well. */
static bool plant(call *p, validate_random *r, kind k, int64_t *i, int64_t *j) {
    size_t at;
    *i = validate_between(r, 0, p->m - 1);
    *j = validate_between(r, 0, p->n - 1);
    at = (size_t)(*i * p->n + *j) * element_bytes(p);
    memcpy(p->wrong, p->right, sizeof p->right);
    switch (k) {
    case BIT_FLIP: flip_bit(p, r, at); break;
    case OFF_BY_ONE: step(p, r, at); break;
    case DROPPED_K_STEP: drop_k_step(p, r, *i, at); break;
    case SWAPPED_SCALES: swap_scales(p, r, *j, at); break;
    case KINDS: break;
    }
    return memcmp(p->wrong + at, p->right + at, element_bytes(p)) != 0;
}

/* ---- finding them ------------------------------------------------------------------------------------------------ */

typedef struct found {
    int faults, by_verify, by_compare, nans;
} found;

static qmm_verify_result verify(call *p, void *result, uint64_t seed) {
    qmm_verify_options options = QMM_VERIFY_OPTIONS_INIT;
    qmm_verify_result v = QMM_VERIFY_RESULT_INIT;
    arguments x;
    options.seed = seed;
    open_arguments(p, result, &x);
    assert_int_equal(qmm_verify_matmul(p->context, &x.desc, &x.a, &x.b, &x.c, &options, &v), QMM_OK);
    close_arguments(&x);
    return v;
}

static qmm_compare_result compare(call *p, void *result) {
    qmm_compare_result c = QMM_COMPARE_RESULT_INIT;
    qmm_tensor right = wrap(p, p->right, p->type, p->m, p->n), got = wrap(p, result, p->type, p->m, p->n);
    assert_int_equal(qmm_compare(p->context, &right, &got, &c), QMM_OK);
    qmm_buffer_free(right.buffer);
    qmm_buffer_free(got.buffer);
    return c;
}

static void look_for(call *p, uint64_t seed, int64_t i, int64_t j, found *all) {
    const qmm_verify_result v = verify(p, p->wrong, seed);
    const qmm_compare_result c = compare(p, p->wrong);
    all->faults++;
    all->nans += is_nan(p, (size_t)(i * p->n + j) * element_bytes(p));
    all->by_verify += !v.passed && v.wrong_rows == 1 && v.row == i && v.col == (p->type == QMM_S32 ? -1 : j);
    all->by_compare += c.mismatches == 1 && c.row == i && c.col == j;
}

static void one_fault(call *p, uint64_t seed, kind k, found *all) {
    validate_random r;
    int64_t i, j;
    validate_random_start(&r, seed, kind_names[k], 0);
    for (int attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
        generate(p, &r, k);
        if (!plant(p, &r, k, &i, &j)) continue;
        assert_true(verify(p, p->right, seed).passed);
        assert_int_equal(compare(p, p->right).mismatches, 0);
        look_for(p, seed, i, j, all);
        return;
    }
    fail_msg("seed %" PRIu64 ": no attempt at %s changed the result", seed, kind_names[k]);
}

static void test_every_fault_is_found(void **state) {
    call *p = calloc(1, sizeof *p);
    int total = 0;
    (void)state;
    assert_non_null(p);
    assert_int_equal(qmm_context_open("cpu", NULL, &p->context), QMM_OK);
    for (int k = 0; k < KINDS; k++) {
        found all = { 0 };
        for (int n = 0; n < FAULTS; n++) one_fault(p, (uint64_t)(1 + n), (kind)k, &all);
        printf("%-16s %d faults (%d NaNs): %d found by qmm_verify_matmul, %d by qmm_compare\n", kind_names[k],
               all.faults, all.nans, all.by_verify, all.by_compare);
        assert_int_equal(all.by_verify, all.faults);
        assert_int_equal(all.by_compare, all.faults);
        total += all.faults;
    }
    assert_int_equal(total, KINDS * FAULTS);
    qmm_context_close(p->context);
    free(p);
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_every_fault_is_found) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
