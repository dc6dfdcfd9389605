/* SPDX-License-Identifier: Apache-2.0
 *
 * A device whose instructions are not what it says: the row that relies on them fails its known-answer test and is
 * refused with that reason, the next one gives the right result; and the same device when it tells the truth, whose row
 * is trusted. Needs the shim. argv: the rewriting of the stand-ins that makes them lie: -128 is -127 to them. */
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
#include "cuda/process.h"

/* Large enough that no row leaves it to another. */
enum { M = 70, N = 130, K = 130, B = 16384, C = 40960, BYTES = C + 4 * M * N };

static const char *lie;

typedef struct liar {
    const char *report;
    const char *row; /* a part of the names of the rows that rely on what is reported */
    bool lies;
} liar;

/* What explain says of all rows of a matmul. */
typedef struct verdicts {
    char names[16][64], reasons[16][200], chosen[64];
    int count;
} verdicts;

static void keep(void *user, const char *kernel, const char *reason) {
    verdicts *v = user;
    if (!reason && !v->chosen[0]) snprintf(v->chosen, sizeof v->chosen, "%s", kernel);
    if (v->count == 16) return;
    snprintf(v->names[v->count], sizeof v->names[0], "%s", kernel);
    snprintf(v->reasons[v->count++], sizeof v->reasons[0], "%s", reason ? reason : "");
}

static bool is_found_out(const verdicts *v, int i) {
    return strstr(v->reasons[i], "it failed its known-answer test on this device") != NULL;
}

/* Every code -128: the exact result is K * 16384. */
static void expect_exact(qmm_context *context, const qmm_tensor *a, const qmm_tensor *b, const qmm_tensor *c) {
    static int32_t got[M * N];
    expect_ok(context, qmm_matmul(context, NULL, a, b, c), "matmul");
    expect_ok(context, qmm_buffer_download(context, c->buffer, c->offset, got, sizeof got), "download");
    for (int i = 0; i < M * N; i++)
        if (!expect(got[i] == K * 16384, "element %d is %d", i, (int)got[i])) return;
}

/* The row that is found out does not run; the one that is not, does, and is right. */
static void check_row(qmm_context *context, const verdicts *v, int i, bool lies, const qmm_tensor t[3]) {
    expect(is_found_out(v, i) == lies, "%s: '%s'", v->names[i], v->reasons[i]);
    expect_ok(context, qmm_kernel_force(context, v->names[i]), "force");
    if (lies) {
        expect(qmm_matmul(context, NULL, &t[0], &t[1], &t[2]) == QMM_UNSUPPORTED, "%s runs", v->names[i]);
        expect(strstr(qmm_context_error(context), v->reasons[i]) != NULL, "said: %s", qmm_context_error(context));
    } else if (!strstr(v->reasons[i], "tile")) { /* not one that leaves small problems to a smaller tile */
        expect(v->reasons[i][0] == '\0', "%s is refused: %s", v->names[i], v->reasons[i]);
        expect_exact(context, &t[0], &t[1], &t[2]);
    }
    expect_ok(context, qmm_kernel_force(context, NULL), "take back");
}

static void check_liar(void *argument) {
    const liar *l = argument;
    qmm_context *context;
    qmm_buffer *buffer;
    qmm_tensor t[3];
    verdicts v = { .count = 0 };
    int rows = 0;
    if (!expect(qmm_context_open("opencl", NULL, &context) == QMM_OK, "opencl does not open")) return;
    buffer = make_buffer(context, NULL, BYTES);
    expect_ok(context, qmm_buffer_fill(context, buffer, 0, 0x80, BYTES), "fill");
    t[0] = tensor_at(buffer, 0, QMM_S8, M, K, K);
    t[1] = tensor_at(buffer, B, QMM_S8, K, N, N);
    t[2] = tensor_at(buffer, C, QMM_S32, M, N, N);
    expect_ok(context, qmm_matmul_explain(context, NULL, &t[0], &t[1], &t[2], keep, &v), "explain");
    for (int i = 0; i < v.count; i++) {
        if (!strstr(v.names[i], l->row)) continue;
        check_row(context, &v, i, l->lies, t);
        rows++;
    }
    expect(rows > 0, "there is no row %s", l->row);
    if (l->lies) expect(v.chosen[0] && !strstr(v.chosen, l->row), "the choice is '%s'", v.chosen);
    print_message("             %s%s: the choice is %s\n", l->report, l->lies ? ", lying" : "", v.chosen);
    expect_exact(context, &t[0], &t[1], &t[2]);
    qmm_context_close(context);
}

static void test_liars(void **state) {
    static const liar reports[] = { { "khr_dot", ":integer_dot", false }, { "arm", ":arm_dot", false },
                                    { "nvidia", ":nv_", false },          { "intel8", ":intel_dpas8", false },
                                    { "intel16", ":intel_dpas16", false } };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(reports); i++) {
        for (int lies = 0; lies < 2; lies++) {
            char options[1024];
            const char *const variables[] = { "QMM_OPENCL_SHIM", options, "QMM_OPENCL_DPAS", "1", NULL };
            liar l = reports[i];
            l.lies = lies;
            snprintf(options, sizeof options, lies ? "report=%s,rewrite=%s" : "report=%s", l.report, lie);
            in_process(variables, check_liar, &l);
        }
    }
    end_of_test();
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_liars) };
    if (argc != 2) return 2;
    lie = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
