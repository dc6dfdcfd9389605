/* SPDX-License-Identifier: Apache-2.0
 *
 * check_large [--small]: what is too large for the oracle of `qmm validate`, on the first CUDA device.
 *
 *     matmul       s8 x s8 to s32 on every kernel row and variant; the first that takes it by Freivalds' check, the
 *                  others bit for bit like it; and with scales to f16, which qmm_verify_matmul checks by accumulators
 *                  and epilogue. A row that would take too long, as a smaller shape showed, is left out; that is said
 *     conversions  quantize, dynamic quantize and dequantize of more than 2^31 elements, looked at around 2^31 and at
 *                  both ends
 *
 * --small runs the same over small shapes. Exit codes: 0 all held, 1 something did not, 3 no device. */
#define _POSIX_C_SOURCE 200809L
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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
    printf("%-8s %-32s %s\n", holds ? "passed" : "FAILED", row, what);
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

/* How long each row and variant took for a multiply-add when it last ran. */
typedef struct pace {
    char name[96];
    double seconds;
} pace;

static pace paces[256];

static pace *pace_of(const char *row) {
    int i = 0;
    while (i < 255 && paces[i].name[0] && strcmp(paces[i].name, row) != 0) i++;
    snprintf(paces[i].name, sizeof paces[i].name, "%s", row);
    return &paces[i];
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void say(const char *what, const char *row, const char *text) {
    printf("%-8s %-32s %s\n", what, row, text);
    fflush(stdout);
}

static qmm_status multiply(const product *p, const char *row, const qmm_tensor *c) {
    const double start = now();
    qmm_status status = qmm_matmul(context, NULL, &p->a, &p->b, c);
    if (status == QMM_OK) status = qmm_context_synchronize(context);
    pace_of(row)->seconds = (now() - start) / ((double)p->m * (double)p->n * (double)p->k);
    return status;
}

static void check_row(product *p, const char *row) {
    const double too_long = 10.0;
    const qmm_tensor *const c = p->verified ? &p->c : &p->first;
    qmm_status status;
    if (pace_of(row)->seconds * (double)p->m * (double)p->n * (double)p->k > too_long) {
        say("left out", row, p->text);
        return;
    }
    require(qmm_kernel_force(context, NULL), "force");
    require(qmm_kernel_force(context, row), "force");
    require(qmm_buffer_fill(context, c->buffer, 0, 0x5a, qmm_buffer_bytes(c->buffer)), "fill");
    status = multiply(p, row, c);
    if (status == QMM_UNSUPPORTED) {
        say("refused", row, p->text);
        return;
    }
    require(status, "qmm_matmul");
    report(p->verified ? equal(&p->first, c) : freivalds(p, NULL, c), p->text, row);
    p->verified = true;
}

static void check_rows(product *p) {
    for (int i = 0; i < qmm_kernel_count(context); i++) {
        const char *const row = qmm_kernel_name(context, i);
        char name[sizeof paces[0].name];
        if (!strstr(row, ":matmul:")) continue;
        check_row(p, row);
        for (int v = 0; qmm_kernel_variant_name(context, i, v)[0]; v++) {
            snprintf(name, sizeof name, "%s/%s", row, qmm_kernel_variant_name(context, i, v));
            check_row(p, name);
        }
    }
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
    check_rows(&p);
    if (!p.verified) report(false, p.text, "no row takes it");
    if (scaled) check_scaled(&p);
    require(qmm_kernel_force(context, NULL), "force");
    qmm_buffer_free(p.a.buffer);
    qmm_buffer_free(p.b.buffer);
    qmm_buffer_free(c);
    qmm_buffer_free(first);
}

/* ---- more than 2^31 elements ------------------------------------------------------------------------------------- */

enum { PERIOD = 1 << 16 };

/* Element by element, so that a short matrix says what a long one has to give. */
typedef struct conversion {
    const char *name;
    qmm_type from, to;
    qmm_status (*run)(qmm_context *on, const qmm_tensor *from, const qmm_tensor *to);
} conversion;

static qmm_status quantize(qmm_context *on, const qmm_tensor *from, const qmm_tensor *to) {
    qmm_quant quant = QMM_QUANT_INIT;
    quant.scale_value = 0.01f;
    return qmm_quantize(on, from, &quant, to);
}

/* One scale for all, of a range that every period has. */
static qmm_status quantize_dynamic(qmm_context *on, const qmm_tensor *from, const qmm_tensor *to) {
    qmm_quant quant = QMM_QUANT_INIT;
    qmm_tensor scale = qmm_matrix(NULL, QMM_F32, 1, 1);
    qmm_status status = qmm_buffer_create(on, sizeof(float), &scale.buffer);
    quant.scale = &scale;
    if (status == QMM_OK) status = qmm_quantize_dynamic(on, from, &quant, to);
    if (status == QMM_OK) status = qmm_context_synchronize(on);
    qmm_buffer_free(scale.buffer);
    return status;
}

static qmm_status dequantize(qmm_context *on, const qmm_tensor *from, const qmm_tensor *to) {
    qmm_quant quant = QMM_QUANT_INIT;
    quant.scale_value = 0.01f;
    return qmm_dequantize(on, from, &quant, to);
}

static const conversion conversions[] = {
    { "quantize f16 to s8", QMM_F16, QMM_S8, quantize },
    { "dynamic quantize f16 to s8", QMM_F16, QMM_S8, quantize_dynamic },
    { "dequantize s8 to f16", QMM_S8, QMM_F16, dequantize },
};

static size_t bytes_of(qmm_type type, int64_t count) {
    return (size_t)count * (size_t)qmm_type_bits(type) / 8;
}

/* Every bit pattern of f16, NaNs and all; of s8 so too. */
static unsigned char *make_period(qmm_type type) {
    unsigned char *const bytes = malloc(bytes_of(type, PERIOD));
    if (!bytes) exit(1);
    for (int i = 0; i < PERIOD; i++) {
        const uint16_t half = (uint16_t)i;
        if (type == QMM_S8)
            bytes[i] = (unsigned char)(i % 256);
        else
            memcpy(bytes + 2 * i, &half, sizeof half);
    }
    return bytes;
}

/* One period, again and again. */
static qmm_buffer *repeat(const unsigned char *bytes, size_t period, size_t all) {
    qmm_buffer *buffer;
    require(qmm_buffer_create(context, all, &buffer), "buffer");
    require(qmm_buffer_upload(context, buffer, 0, bytes, all < period ? all : period), "upload");
    for (size_t done = period; done < all; done *= 2)
        require(qmm_buffer_copy(context, buffer, done, buffer, 0, all - done < done ? all - done : done), "copy");
    return buffer;
}

/* What the cpu makes of one period. */
static unsigned char *convert_period(const conversion *v, unsigned char *bytes) {
    unsigned char *const wanted = malloc(bytes_of(v->to, PERIOD));
    qmm_tensor from = qmm_matrix(NULL, v->from, 1, PERIOD), to = qmm_matrix(NULL, v->to, 1, PERIOD);
    qmm_context *cpu;
    if (!wanted || qmm_context_open("cpu", NULL, &cpu) != QMM_OK ||
        qmm_buffer_wrap(cpu, bytes, bytes_of(v->from, PERIOD), &from.buffer) != QMM_OK ||
        qmm_buffer_wrap(cpu, wanted, bytes_of(v->to, PERIOD), &to.buffer) != QMM_OK ||
        v->run(cpu, &from, &to) != QMM_OK)
        exit(1);
    qmm_context_close(cpu);
    return wanted;
}

/* Elements from `at` on repeat those of the cpu. */
static bool repeats(const qmm_tensor *t, const unsigned char *wanted, int64_t at) {
    const size_t size = bytes_of(t->type, 1), period = bytes_of(t->type, PERIOD), first = (size_t)(at % PERIOD) * size;
    unsigned char *const got = malloc(period);
    bool holds;
    if (!got) exit(1);
    require(qmm_buffer_download(context, t->buffer, (size_t)at * size, got, period), "download");
    holds = memcmp(got, wanted + first, period - first) == 0 && memcmp(got + period - first, wanted, first) == 0;
    free(got);
    return holds;
}

/* `count` elements as `rows` rows. */
static void check_conversion(const conversion *v, int64_t count, int64_t rows) {
    const int64_t middle = count / 2 / PERIOD * PERIOD, edge = INT64_C(1) << 31;
    unsigned char *const period = make_period(v->from), *const wanted = convert_period(v, period);
    qmm_tensor from = qmm_matrix(NULL, v->from, rows, count / rows), to = qmm_matrix(NULL, v->to, rows, count / rows);
    char text[96];
    bool holds;
    snprintf(text, sizeof text, "%s, %lld x %lld", v->name, (long long)rows, (long long)(count / rows));
    from.buffer = repeat(period, bytes_of(v->from, PERIOD), bytes_of(v->from, count));
    require(qmm_buffer_create(context, bytes_of(v->to, count), &to.buffer), "buffer");
    require(qmm_buffer_fill(context, to.buffer, 0, 0x5a, bytes_of(v->to, count)), "fill");
    require(v->run(context, &from, &to), v->name);
    holds = repeats(&to, wanted, 0) && repeats(&to, wanted, middle) && repeats(&to, wanted, count - PERIOD);
    if (count > edge + PERIOD) holds = holds && repeats(&to, wanted, edge - PERIOD / 2) && repeats(&to, wanted, edge);
    report(holds, text, "the device's choice");
    free(period);
    free(wanted);
    qmm_buffer_free(from.buffer);
    qmm_buffer_free(to.buffer);
}

/* As one long row, and as many. */
static void check_conversions(int64_t count, int64_t rows) {
    for (size_t i = 0; i < sizeof conversions / sizeof conversions[0]; i++) {
        check_conversion(&conversions[i], count, 1);
        check_conversion(&conversions[i], count, rows);
    }
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
        check_product(1, 4099, 64, false);
        check_conversions(2 * PERIOD, 64);
    } else {
        check_product(4096, 4096, 4096, true);
        check_product(8192, 8192, 8192, true);
        check_product(1, 8192, 131071, false); /* the longest K */
        check_product(1, 131071, 8192, false);
        check_conversions((INT64_C(1) << 31) + 4 * PERIOD, 32768);
    }
    qmm_context_close(context);
    printf("%s: %d checks, %d failed\n", failures ? "FAILED" : "PASSED", checks, failures);
    return failures ? 1 : 0;
}
