/* SPDX-License-Identifier: Apache-2.0
 *
 * check_large [--small]: what is too large for the oracle of `qmm validate`, on the first CUDA device.
 *
 *     matmul     s8 x s8 to s32 on every kernel row; the first that takes it by Freivalds' check, the others bit for
 *                bit like it; and with scales to f16, which qmm_verify_matmul checks by accumulators and epilogue
 *     quantize   more than 2^31 elements, looked at around 2^31 and at both ends
 *
 * --small runs the same over small shapes. Exit codes: 0 all held, 1 something did not, 3 no device. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "qmm/qmm.h"

static qmm_context *context;
static int checks, failures;

static void require(qmm_status status, const char *what) {
    if (status == QMM_OK) return;
    fprintf(stderr, "%s: %s: %s\n", what, qmm_status_name(status), qmm_context_error(context));
    exit(1);
}

static void report(bool holds, const char *what, const char *row) {
    checks++;
    if (!holds) failures++;
    printf("%-7s %-24s %s\n", holds ? "passed" : "FAILED", row, what);
    fflush(stdout);
}

/* Random codes: 4 MiB and a few bytes of them, again and again. */
static qmm_buffer *random_buffer(size_t bytes) {
    enum { PATTERN = (4 << 20) + 4099 };
    const size_t first = bytes < PATTERN ? bytes : PATTERN;
    unsigned char *const pattern = malloc(PATTERN);
    uint64_t state = 1 + bytes;
    qmm_buffer *buffer;
    if (!pattern) exit(1);
    for (size_t i = 0; i < first; i++) {
        state ^= state >> 12, state ^= state << 25, state ^= state >> 27;
        pattern[i] = (unsigned char)((state * UINT64_C(0x2545f4914f6cdd1d)) >> 56);
    }
    require(qmm_buffer_create(context, bytes, &buffer), "buffer");
    for (size_t done = 0; done < bytes; done += first)
        require(qmm_buffer_upload(context, buffer, done, pattern, bytes - done < first ? bytes - done : first),
                "upload");
    free(pattern);
    return buffer;
}

static qmm_buffer *scales_of(int64_t count) {
    float *const values = malloc((size_t)count * sizeof *values);
    qmm_buffer *buffer;
    if (!values) exit(1);
    for (int64_t i = 0; i < count; i++) values[i] = 0x1p-12f * (float)(1 + i % 7);
    require(qmm_buffer_create(context, (size_t)count * sizeof *values, &buffer), "buffer");
    require(qmm_buffer_upload(context, buffer, 0, values, (size_t)count * sizeof *values), "upload");
    free(values);
    return buffer;
}

/* ---- matmul ------------------------------------------------------------------------------------------------------ */

typedef struct product {
    int64_t m, n, k;
    qmm_tensor a, b, c, first; /* `first`: what the first row gave */
    bool verified;
    char text[96];
} product;

static bool freivalds(const product *p, const qmm_matmul_desc *desc, const qmm_tensor *c) {
    qmm_verify_result result = QMM_VERIFY_RESULT_INIT;
    require(qmm_verify_matmul(context, desc, &p->a, &p->b, c, NULL, &result), "qmm_verify_matmul");
    return result.passed != 0;
}

static bool equal(const qmm_tensor *x, const qmm_tensor *y) {
    qmm_compare_result result = QMM_COMPARE_RESULT_INIT;
    require(qmm_compare(context, x, y, &result), "qmm_compare");
    return result.mismatches == 0 && result.count == x->rows * x->cols;
}

static void check_row(product *p, const char *row) {
    const qmm_tensor *const c = p->verified ? &p->c : &p->first;
    qmm_status status;
    require(qmm_kernel_force(context, NULL), "force");
    require(qmm_kernel_force(context, row), "force");
    require(qmm_buffer_fill(context, c->buffer, 0, 0x5a, qmm_buffer_bytes(c->buffer)), "fill");
    status = qmm_matmul(context, NULL, &p->a, &p->b, c);
    if (status == QMM_UNSUPPORTED) {
        printf("%-7s %-24s %s\n", "refused", row, p->text);
        return;
    }
    require(status, "qmm_matmul");
    report(p->verified ? equal(&p->first, c) : freivalds(p, NULL, c), p->text, row);
    p->verified = true;
}

/* With a scale per row and column, to f16, on the row that the device chooses. */
static void check_scaled(const product *p) {
    qmm_buffer *const scales = scales_of(p->m + p->n);
    qmm_tensor by_row = qmm_matrix(scales, QMM_F32, p->m, 1), by_column = qmm_matrix(scales, QMM_F32, 1, p->n);
    const qmm_tensor c = qmm_matrix(p->c.buffer, QMM_F16, p->m, p->n);
    qmm_quant quant_a = QMM_QUANT_INIT, quant_b = QMM_QUANT_INIT;
    qmm_matmul_desc desc = QMM_MATMUL_DESC_INIT;
    by_column.offset = (size_t)p->m * sizeof(float);
    quant_a.granularity = QMM_PER_ROW, quant_a.scale = &by_row;
    quant_b.granularity = QMM_PER_COLUMN, quant_b.scale = &by_column;
    desc.quant_a = &quant_a, desc.quant_b = &quant_b;
    desc.activation = QMM_ACTIVATION_SILU;
    require(qmm_kernel_force(context, NULL), "force");
    require(qmm_matmul(context, &desc, &p->a, &p->b, &c), "qmm_matmul");
    report(freivalds(p, &desc, &c), "the same with scales and SiLU, to f16", "the device's choice");
    qmm_buffer_free(scales);
}

static void check_product(int64_t m, int64_t n, int64_t k, bool scaled) {
    product p = { .m = m, .n = n, .k = k };
    const size_t c_bytes = (size_t)(m * n) * sizeof(int32_t);
    qmm_buffer *c, *first;
    snprintf(p.text, sizeof p.text, "%lld x %lld x %lld, s8 x s8 to s32", (long long)m, (long long)n, (long long)k);
    require(qmm_buffer_create(context, c_bytes, &c), "buffer");
    require(qmm_buffer_create(context, c_bytes, &first), "buffer");
    p.a = qmm_matrix(random_buffer((size_t)(m * k)), QMM_S8, m, k);
    p.b = qmm_matrix(random_buffer((size_t)(k * n)), QMM_S8, k, n);
    p.c = qmm_matrix(c, QMM_S32, m, n);
    p.first = qmm_matrix(first, QMM_S32, m, n);
    for (int i = 0; i < qmm_kernel_count(context); i++)
        if (strstr(qmm_kernel_name(context, i), ":matmul:")) check_row(&p, qmm_kernel_name(context, i));
    if (!p.verified) report(false, p.text, "no row takes it");
    if (scaled) check_scaled(&p);
    require(qmm_kernel_force(context, NULL), "force");
    qmm_buffer_free(p.a.buffer);
    qmm_buffer_free(p.b.buffer);
    qmm_buffer_free(c);
    qmm_buffer_free(first);
}

/* ---- quantize ---------------------------------------------------------------------------------------------------- */

enum { PERIOD = 1 << 16 };

/* Every bit pattern of f16, NaNs and all, again and again. */
static qmm_buffer *every_half(int64_t count) {
    uint16_t *const values = malloc(PERIOD * sizeof *values);
    const size_t bytes = (size_t)count * sizeof *values, period = PERIOD * sizeof *values;
    qmm_buffer *buffer;
    if (!values) exit(1);
    for (int i = 0; i < PERIOD; i++) values[i] = (uint16_t)i;
    require(qmm_buffer_create(context, bytes, &buffer), "buffer");
    require(qmm_buffer_upload(context, buffer, 0, values, bytes < period ? bytes : period), "upload");
    for (size_t done = period; done < bytes; done *= 2)
        require(qmm_buffer_copy(context, buffer, done, buffer, 0, bytes - done < done ? bytes - done : done), "copy");
    free(values);
    return buffer;
}

/* Codes from `at` on repeat those of the cpu. */
static bool repeats(const qmm_buffer *codes, const int8_t *wanted, int64_t at) {
    int8_t *const got = malloc(PERIOD);
    bool holds = true;
    if (!got) exit(1);
    require(qmm_buffer_download(context, codes, (size_t)at, got, PERIOD), "download");
    for (int64_t i = 0; i < PERIOD && holds; i++) holds = got[i] == wanted[(at + i) % PERIOD];
    free(got);
    return holds;
}

/* What the cpu makes of one period. */
static void quantize_period(const qmm_buffer *values, const qmm_quant *quant, int8_t *wanted) {
    qmm_context *cpu;
    qmm_buffer *x, *q;
    void *const host = malloc(PERIOD * 2);
    qmm_tensor source, target;
    if (!host || qmm_context_open("cpu", NULL, &cpu) != QMM_OK) exit(1);
    require(qmm_buffer_download(context, values, 0, host, PERIOD * 2), "download");
    if (qmm_buffer_wrap(cpu, host, PERIOD * 2, &x) != QMM_OK || qmm_buffer_wrap(cpu, wanted, PERIOD, &q) != QMM_OK)
        exit(1);
    source = qmm_matrix(x, QMM_F16, 1, PERIOD);
    target = qmm_matrix(q, QMM_S8, 1, PERIOD);
    if (qmm_quantize(cpu, &source, quant, &target) != QMM_OK) exit(1);
    qmm_context_close(cpu);
    free(host);
}

/* rows x cols of more than 2^31 elements: as one long row, and as many. */
static void check_quantize(int64_t count, int64_t rows) {
    const int64_t middle = count / 2 / PERIOD * PERIOD, edge = INT64_C(1) << 31;
    qmm_buffer *const x = every_half(count);
    int8_t *const wanted = malloc(PERIOD);
    qmm_quant quant = QMM_QUANT_INIT;
    qmm_tensor source = qmm_matrix(x, QMM_F16, rows, count / rows), target;
    qmm_buffer *q;
    char text[96];
    bool holds;
    if (!wanted) exit(1);
    quant.scale_value = 0.01f;
    snprintf(text, sizeof text, "quantize f16 to s8, %lld x %lld", (long long)rows, (long long)(count / rows));
    require(qmm_buffer_create(context, (size_t)count, &q), "buffer");
    require(qmm_buffer_fill(context, q, 0, 0x5a, (size_t)count), "fill");
    target = qmm_matrix(q, QMM_S8, rows, count / rows);
    quantize_period(x, &quant, wanted);
    require(qmm_quantize(context, &source, &quant, &target), "qmm_quantize");
    holds = repeats(q, wanted, 0) && repeats(q, wanted, middle) && repeats(q, wanted, count - PERIOD);
    if (count > edge + PERIOD) holds = holds && repeats(q, wanted, edge - PERIOD / 2) && repeats(q, wanted, edge);
    report(holds, text, "the device's choice");
    free(wanted);
    qmm_buffer_free(x);
    qmm_buffer_free(q);
}

int main(int argc, char **argv) {
    const bool small = argc > 1 && strcmp(argv[1], "--small") == 0;
    qmm_context_options options = QMM_CONTEXT_OPTIONS_INIT;
    char text[512] = "";
    options.error_text = text;
    options.error_text_size = sizeof text;
    if (qmm_context_open("cuda", &options, &context) != QMM_OK) {
        fprintf(stderr, "%s\n", text);
        return 3;
    }
    if (small) {
        check_product(70, 130, 200, true);
        check_product(1, 64, 4099, false);
        check_quantize(4 * PERIOD, 1);
        check_quantize(4 * PERIOD, 64);
    } else {
        check_product(4096, 4096, 4096, true);
        check_product(8192, 8192, 8192, false);
        check_product(1, 8192, 131071, false);
        check_quantize((INT64_C(1) << 31) + 4 * PERIOD, 1);
        check_quantize((INT64_C(1) << 31) + 4 * PERIOD, 32768);
    }
    qmm_context_close(context);
    printf("%s: %d checks, %d failed\n", failures ? "FAILED" : "PASSED", checks, failures);
    return failures ? 1 : 0;
}
