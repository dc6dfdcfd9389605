/* SPDX-License-Identifier: Apache-2.0
 *
 * A device whose instructions are not what it says: the row that relies on them fails its known-answer test and is
 * refused with that reason, the next one gives the right result, and where none is left the call says so. */
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
#include "process.h"

/* Whole tiles of every kernel, so that none leaves the problem to a row for smaller ones. */
enum { M = 256, N = 256, K = 130, B = 40960, C = 81920, BYTES = C + 4 * M * N };

typedef struct liar {
    const char *options;
    const char *row; /* a part of the names of the rows that are found out */
} liar;

/* What explain says of all rows of a matmul. */
typedef struct verdicts {
    char refused[8][64], reasons[8][160], chosen[64];
    int count;
} verdicts;

static void keep(void *user, const char *kernel, const char *reason) {
    verdicts *v = user;
    if (!reason && !v->chosen[0]) snprintf(v->chosen, sizeof v->chosen, "%s", kernel);
    if (!reason || v->count == 8) return;
    snprintf(v->refused[v->count], sizeof v->refused[0], "%s", kernel);
    snprintf(v->reasons[v->count++], sizeof v->reasons[0], "%s", reason);
}

static int found_out(const verdicts *v, const char *row) {
    int count = 0;
    for (int i = 0; i < v->count; i++)
        count += strstr(v->refused[i], row) && strstr(v->reasons[i], "it failed its known-answer test on this device");
    return count;
}

/* Every code -128: the exact result is K * 16384. */
static void expect_exact(qmm_context *context, const qmm_tensor *c) {
    static int32_t got[M * N];
    expect_ok(context, qmm_buffer_download(context, c->buffer, c->offset, got, sizeof got), "download");
    for (int i = 0; i < M * N; i++)
        if (!expect(got[i] == K * 16384, "element %d is %d", i, (int)got[i])) return;
}

static void check_liar(void *argument) {
    const liar *l = argument;
    qmm_context *context;
    qmm_buffer *buffer;
    qmm_tensor a, b, c;
    verdicts v = { .count = 0 };
    if (!expect(qmm_context_open("cuda", NULL, &context) == QMM_OK, "cuda does not open")) return;
    buffer = make_buffer(context, NULL, BYTES);
    expect_ok(context, qmm_buffer_fill(context, buffer, 0, 0x80, BYTES), "fill");
    a = tensor_at(buffer, 0, QMM_S8, M, K, K);
    b = tensor_at(buffer, B, QMM_S8, K, N, N);
    c = tensor_at(buffer, C, QMM_S32, M, N, N);
    expect_ok(context, qmm_matmul_explain(context, NULL, &a, &b, &c, keep, &v), "explain");
    expect(found_out(&v, l->row) > 0, "no row %s was found out; the choice is %s", l->row, v.chosen);
    expect(v.chosen[0] && !strstr(v.chosen, l->row), "the choice is '%s'", v.chosen);
    print_message("             %s: %s instead\n", l->options, v.chosen);
    expect_ok(context, qmm_matmul(context, NULL, &a, &b, &c), "matmul");
    expect_exact(context, &c);
    for (int i = 0; i < v.count; i++) {
        if (!strstr(v.refused[i], l->row) || !strstr(v.reasons[i], "known-answer")) continue;
        expect_ok(context, qmm_kernel_force(context, v.refused[i]), "force");
        expect(qmm_matmul(context, NULL, &a, &b, &c) == QMM_UNSUPPORTED, "%s runs", v.refused[i]);
        expect(strstr(qmm_context_error(context), v.reasons[i]) != NULL, "said: %s", qmm_context_error(context));
        expect_ok(context, qmm_kernel_force(context, NULL), "take back");
    }
    expect_exact(context, &c);
    qmm_context_close(context);
}

static void test_liars(void **state) {
    /* Where dp4a lies too, no row is left to be tested at length. */
    static liar liars[] = {
        { "compute=75,lie_mma_k16=1", ":mma" },
        { "compute=80,lie_mma_k32=1,lie_dp4a=1", ":mma" },
        { "compute=80,lie_ldmatrix=1,lie_dp4a=1", ":mma" },
        { "compute=90,lie_cp_async=1,lie_dp4a=1", ":mma" },
        { "compute=90,lie_wgmma=1,lie_mma_k16=1", ":wgmma" },
        { "compute=90,lie_tma=1,lie_mma=1", ":wgmma" },
        { "compute=80,lie_mma=1,lie_dp4a=1", ":dp4a" },
        { "compute=80,lie_dp4a=1", ":dp4a" },
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(liars); i++) {
        const char *const variables[] = { "QMM_SIMULATOR", liars[i].options, NULL };
        in_process(variables, check_liar, &liars[i]);
    }
    end_of_test();
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_liars) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
