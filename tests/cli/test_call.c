/* SPDX-License-Identifier: Apache-2.0
 *
 * The operands that the subcommands make from options: every combination that the library takes runs and is right, its
 * results prove something, and what the library refuses comes back as its own error. */
#define _POSIX_C_SOURCE 200809L
#include "call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

#define CHECK(condition)                                                            \
    do {                                                                            \
        if (!(condition)) {                                                         \
            printf("%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);          \
            exit(1);                                                                \
        }                                                                           \
    } while (0)

static const cli_call initial = CLI_CALL_INIT;

/* The call of the options "types s8,s8,f16", "zeros" ... as getopt would bring them. */
static cli_call call_of(const char *const *words, int count) {
    static const struct option options[] = { CLI_CALL_OPTIONS, { NULL, 0, NULL, 0 } };
    cli_call call = initial;
    for (int i = 0; i < count; i++) {
        const size_t length = strcspn(words[i], " ");
        const struct option *o = options;
        while (o->name && (strncmp(o->name, words[i], length) != 0 || o->name[length] != '\0')) o++;
        CHECK(o->name && o->val >= CLI_CALL_OPTION && o->val <= CLI_CALL_OPTION_END);
        CHECK(cli_call_option("test", o->val, o->has_arg ? words[i] + length + 1 : NULL, &call) == CLI_OK);
    }
    return call;
}

static void test_options(void) {
    static const struct {
        const char *words[8];
        int count;
        const char *text;
    } cases[] = {
        { { NULL }, 0, "s8 x s8 -> f16, scales per row and column, packed" },
        { { "types u8,u4,bf16", "plain", "zeros" }, 3, "u8 x u4 -> bf16, scales per row and column, zero points" },
        { { "types s8,s8,s32" }, 1, "s8 x s8 -> s32, packed" },
        { { "types s8,s4,f32", "scales group:128" }, 2, "s8 x s4 -> f32, scales per group of 128, packed" },
        { { "scales group:4", "scales tensor", "bias", "activation gelu", "residual", "transpose-a", "transpose-b" },
          7,
          "s8 x s8 -> f16, scales per tensor, bias, residual, gelu, A transposed, B transposed, packed" },
        { { "activation none", "scales row-column" }, 2, "s8 x s8 -> f16, scales per row and column, packed" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const cli_call call = call_of(cases[i].words, cases[i].count);
        char text[256];
        cli_call_describe(&call, text, sizeof text);
        CHECK(strcmp(text, cases[i].text) == 0);
    }
}

/* ---- operands ---------------------------------------------------------------------------------------------------- */

/* Every value of C that is a number, as reals; how many are 0 or at an end of the range of a code. */
typedef struct spread {
    int64_t count, zeros, ends, others;
} spread;

static double code_at(const unsigned char *bytes, qmm_type type, size_t i) {
    int16_t s16;
    uint16_t u16;
    memcpy(&s16, bytes + 2 * i * (qmm_type_bits(type) == 16), sizeof s16);
    memcpy(&u16, &s16, sizeof u16);
    return type == QMM_S8 ? (signed char)bytes[i] : type == QMM_U8 ? bytes[i] : type == QMM_S16 ? s16 : u16;
}

static spread spread_of(qmm_context *context, const qmm_tensor *c) {
    const size_t count = (size_t)(c->rows * c->cols * c->batch), bytes = count * (size_t)qmm_type_bits(c->type) / 8;
    unsigned char *data = malloc(bytes + 1);
    spread s = { .count = (int64_t)count };
    int32_t low = 0, high = 0;
    CHECK(data && qmm_buffer_download(context, c->buffer, 0, data, bytes) == QMM_OK);
    CHECK(qmm_type_range(c->type, 0, &low, &high) == QMM_OK);
    for (size_t i = 0; i < count; i++) {
        const double value = code_at(data, c->type, i), zero = low < 0 ? 0 : (high + 1) / 2;
        s.zeros += value == zero;
        s.ends += value == low || value == high;
    }
    free(data);
    return s;
}

/* f16, bf16 and f32 results: all of them finite, and most not 0. The host compares, by way of dequantized bits. */
static void check_reals(qmm_context *context, const qmm_tensor *c) {
    qmm_error_measure m = QMM_ERROR_MEASURE_INIT;
    qmm_buffer *zeros = NULL;
    qmm_tensor none = *c;
    size_t bytes;
    CHECK(qmm_matrix_bytes(c->type, c->rows, c->cols, c->batch, &bytes) == QMM_OK);
    CHECK(qmm_buffer_create(context, bytes, &zeros) == QMM_OK);
    CHECK(qmm_buffer_fill(context, zeros, 0, 0, bytes) == QMM_OK);
    none.buffer = zeros;
    CHECK(qmm_measure_error(context, &none, c, &m) == QMM_OK);
    CHECK(m.skipped == 0 && m.count == c->rows * c->cols * c->batch && m.mse > 0.02 && m.max_error < 1000.0);
    qmm_buffer_free(zeros);
}

static void check_values(qmm_context *context, const cli_call *call, const qmm_tensor *c) {
    int32_t low, high;
    spread s;
    if (call->c == QMM_S32) return;
    if (qmm_type_range(call->c, 0, &low, &high) != QMM_OK) {
        check_reals(context, c);
        return;
    }
    s = spread_of(context, c);
    CHECK(s.ends * 4 < s.count);
    CHECK(call->activation || s.zeros * 4 < s.count);
}

/* Both copies run, are right by the verifier, prove something, and differ. */
static void check_call(qmm_context *context, const cli_call *call, const cli_shape *shape) {
    cli_operands operands, plan;
    size_t workspace = 1;
    qmm_compare_result compared = QMM_COMPARE_RESULT_INIT;
    if (cli_operands_create(context, call, shape, 2, 7, &operands) != QMM_OK) {
        printf("%s\n", qmm_context_error(context));
        exit(1);
    }
    for (int i = 0; i < 4; i++) {
        const cli_operands_call at = cli_operands_at(&operands, i);
        qmm_verify_result result = QMM_VERIFY_RESULT_INIT;
        CHECK((at.b == NULL) == call->packed && (at.plain_b != NULL) == (!call->packed || i % 2 == 0));
        CHECK(cli_operands_run(&operands, i) == QMM_OK);
        if (!at.plain_b) continue;
        CHECK(qmm_verify_matmul(context, at.plain_desc, at.a, at.plain_b, at.c, NULL, &result) == QMM_OK);
        CHECK(result.passed);
        check_values(context, call, at.c);
    }
    CHECK(qmm_compare(context, cli_operands_at(&operands, 0).c, cli_operands_at(&operands, 1).c, &compared) == QMM_OK);
    CHECK(compared.mismatches > compared.count / 2);
    cli_operands_plan(call, shape, &plan);
    CHECK(cli_operands_bytes(&plan) == cli_operands_bytes(&operands));
    {
        const cli_operands_call at = cli_operands_at(&plan, 3);
        CHECK(qmm_matmul_workspace(context, at.plain_desc, at.a, at.plain_b, at.c, &workspace) == QMM_OK);
    }
    cli_operands_free(&operands);
}

static void test_calls(qmm_context *context) {
    static const qmm_type a[] = { QMM_S8, QMM_U8 }, b[] = { QMM_S8, QMM_U8, QMM_S4, QMM_U4 };
    static const qmm_type c[] = { QMM_S32, QMM_F32, QMM_F16, QMM_BF16, QMM_S8, QMM_U8, QMM_S16, QMM_U16 };
    const cli_shape shapes[] = { { "", 12, 21, 40, 1 }, { "", 5, 8, 24, 3 } };
    for (int i = 0; i < 2 * 4 * 8 * 12; i++) {
        cli_call call = initial;
        const int how = i / 64;
        call.a = a[i % 2], call.b = b[i / 2 % 4], call.c = c[i / 8 % 8];
        call.scales_by_row = call.scales_by_column = how % 3 == 0;
        call.group = how % 3 == 1 ? 8 : 0;
        call.zeros = how % 2;
        call.packed = how / 6;
        call.transpose_a = i / 3 % 2, call.transpose_b = i / 5 % 2;
        call.bias = call.residual = call.c != QMM_S32 && i % 7 < 3;
        call.activation = call.c == QMM_S32 ? QMM_ACTIVATION_NONE : (qmm_activation)(i % 10 / 2);
        check_call(context, &call, &shapes[i % 2]);
    }
}

/* Long K, where sums are large. */
static void test_long(qmm_context *context) {
    const cli_shape shape = { "", 3, 17, 30000, 1 };
    for (int i = 0; i < 8; i++) {
        cli_call call = initial;
        call.a = i % 2 ? QMM_U8 : QMM_S8, call.b = i / 2 % 2 ? QMM_U8 : QMM_S8;
        call.c = i % 3 ? QMM_F16 : QMM_S8;
        call.zeros = i / 4;
        check_call(context, &call, &shape);
    }
}

/* A pattern that is repeated over memory: rows differ from each other, and it is the same for the same seed. */
static void test_fill(qmm_context *context) {
    const cli_shape shape = { "", 3000, 64, 1024, 1 };
    const size_t bytes = 3000 * 1024;
    unsigned char *first = malloc(bytes), *second = malloc(bytes);
    int64_t codes[256] = { 0 };
    cli_operands operands;
    CHECK(first && second);
    for (int i = 0; i < 3; i++) {
        CHECK(cli_operands_create(context, &initial, &shape, 1, (uint64_t)(i / 2), &operands) == QMM_OK);
        CHECK(qmm_buffer_download(context, cli_operands_at(&operands, 0).a->buffer, 0, i ? second : first, bytes) ==
              QMM_OK);
        CHECK(i == 0 || (memcmp(first, second, bytes) == 0) == (i == 1));
        cli_operands_free(&operands);
    }
    for (size_t i = 0; i < bytes; i++) codes[first[i]]++;
    for (int i = 0; i < 256; i++) CHECK(codes[i] > (int64_t)bytes / 512 && codes[i] < (int64_t)bytes / 128);
    for (size_t i = 1; i < 3000; i++) CHECK(memcmp(first, first + i * 1024, 1024) != 0);
    free(first);
    free(second);
}

static void count_row(void *user, const char *kernel, const char *reason) {
    (void)reason;
    CHECK(kernel[0]);
    ++*(int *)user;
}

/* Weights of zeros are made once for each N x K, and rows can be asked about them. */
static void test_packed_plan(qmm_context *context) {
    const cli_shape shapes[] = {
        { "", 1, 24, 32, 1 }, { "", 8, 24, 32, 1 }, { "", 8, 24, 32, 2 }, { "", 8, 16, 32, 2 }, { "", 8, 16, 32, 1 }
    };
    cli_operands plan = { .copies = 0 };
    const qmm_weights *before = NULL;
    for (int i = 0; i < 5; i++) {
        cli_operands_call at;
        int rows = 0;
        CHECK(cli_operands_plan_packed(context, &initial, &shapes[i], &plan) == QMM_OK);
        at = cli_operands_at(&plan, 0);
        CHECK(!at.b && at.desc->weights && (i != 1 || at.desc->weights == before));
        CHECK(qmm_matmul_explain(context, at.desc, at.a, at.b, at.c, count_row, &rows) == QMM_OK && rows > 0);
        before = at.desc->weights;
    }
    cli_operands_free(&plan);
    CHECK(!plan.copy && plan.copies == 0);
}

/* What the library refuses is its own error, and what has no memory says so. */
static void test_refusals(qmm_context *context) {
    const cli_shape shape = { "", 4, 4, 12, 1 }, empty = { "", 0, 4, 0, 1 };
    const cli_shape large = { "", INT32_MAX, INT32_MAX, INT32_MAX, 1 };
    const cli_shape overflow = { "", INT32_MAX, INT32_MAX, 4, INT32_MAX };
    cli_operands operands;
    cli_call call = initial;
    call.c = QMM_S32, call.bias = true;
    CHECK(cli_operands_create(context, &call, &shape, 1, 1, &operands) == QMM_OK);
    CHECK(cli_operands_run(&operands, 0) == QMM_INVALID_ARGUMENT);
    cli_operands_free(&operands);
    call = initial;
    call.group = 5;
    CHECK(cli_operands_create(context, &call, &shape, 1, 1, &operands) == QMM_INVALID_ARGUMENT && !operands.copy);
    CHECK(strstr(qmm_context_error(context), "group"));
    call = initial;
    CHECK(cli_operands_create(context, &call, &large, 1, 1, &operands) == QMM_OUT_OF_MEMORY && !operands.copy);
    CHECK(cli_operands_create(context, &call, &overflow, 1, 1, &operands) != QMM_OK && !operands.copy);
    CHECK(strlen(qmm_context_error(context)) > 0);
    CHECK(cli_operands_create(context, &call, &empty, 3, 1, &operands) == QMM_OK);
    for (int i = 0; i < 3; i++) CHECK(cli_operands_run(&operands, i) == QMM_OK);
    cli_operands_free(&operands);
}

int main(void) {
    qmm_context *context;
    CHECK(qmm_context_open("cpu", NULL, &context) == QMM_OK);
    test_options();
    test_calls(context);
    test_long(context);
    test_fill(context);
    test_packed_plan(context);
    test_refusals(context);
    qmm_context_close(context);
    puts("ok");
    return 0;
}
