/* SPDX-License-Identifier: Apache-2.0 */
#include "specification.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int64_t comparisons;

void spec_count(int64_t count) {
    comparisons += count;
}

int spec_end(int failures) {
    printf("%" PRId64 " comparisons\n", comparisons);
    if (comparisons == 0) fprintf(stderr, "no comparison was made\n");
    return failures != 0 || comparisons == 0;
}

bool spec_full(void) {
    const char *full = getenv("QMM_TEST_FULL");
    return full && *full && strcmp(full, "0") != 0;
}

/* ---- a context and its tensors ----------------------------------------------------------------------------------- */

int spec_open(void **state) {
    spec *s = calloc(1, sizeof *s);
    *state = s;
    return s && qmm_context_open("cpu", NULL, &s->context) == QMM_OK ? 0 : -1;
}

int spec_close(void **state) {
    spec *s = *state;
    spec_clear(s);
    qmm_context_close(s->context);
    free(s);
    return 0;
}

static void check_guard(spec *s, qmm_buffer *buffer, size_t offset) {
    unsigned char guard[SPEC_GUARD];
    spec_ok(s, qmm_buffer_download(s->context, buffer, offset, guard, sizeof guard));
    for (int i = 0; i < SPEC_GUARD; i++)
        if (guard[i] != SPEC_POISON) fail_msg("guard byte %d at %zu was overwritten", i, offset);
}

void spec_clear(spec *s) {
    while (s->count > 0) {
        const int i = --s->count;
        check_guard(s, s->slots[i].buffer, 0);
        check_guard(s, s->slots[i].buffer, SPEC_GUARD + s->slots[i].bytes);
        qmm_buffer_free(s->slots[i].buffer);
    }
}

qmm_tensor spec_tensor(spec *s, qmm_type type, int64_t rows, int64_t cols, int64_t batch) {
    qmm_tensor t;
    size_t bytes = 0;
    qmm_buffer *buffer = NULL;
    if (s->count == SPEC_SLOTS) fail_msg("more than %d tensors", SPEC_SLOTS);
    spec_ok(s, qmm_matrix_bytes(type, rows, cols, batch, &bytes));
    spec_ok(s, qmm_buffer_create(s->context, bytes + 2 * (size_t)SPEC_GUARD, &buffer));
    s->slots[s->count].buffer = buffer;
    s->slots[s->count++].bytes = bytes;
    spec_ok(s, qmm_buffer_fill(s->context, buffer, 0, SPEC_POISON, bytes + 2 * (size_t)SPEC_GUARD));
    t = qmm_matrix(buffer, type, rows, cols);
    t.offset = SPEC_GUARD;
    t.batch = batch;
    t.batch_stride = rows * t.row_stride;
    return t;
}

qmm_tensor spec_codes(spec *s, qmm_type type, int64_t rows, int64_t cols, const int32_t *values) {
    const qmm_tensor t = spec_tensor(s, type, rows, cols, 1);
    spec_write_codes(s, &t, values);
    return t;
}

qmm_tensor spec_reals(spec *s, qmm_type type, int64_t rows, int64_t cols, const float *values) {
    const qmm_tensor t = spec_tensor(s, type, rows, cols, 1);
    spec_write_reals(s, &t, values);
    return t;
}

static size_t dense_bytes(const qmm_tensor *t) {
    size_t bytes = 0;
    assert_int_equal(qmm_matrix_bytes(t->type, t->rows, t->cols, t->batch, &bytes), QMM_OK);
    return bytes;
}

void spec_read_bytes(spec *s, const qmm_tensor *t, void *bytes, size_t count) {
    spec_ok(s, qmm_buffer_download(s->context, t->buffer, t->offset, bytes, count));
}

void spec_write_bytes(spec *s, const qmm_tensor *t, const void *bytes, size_t count) {
    spec_ok(s, qmm_buffer_upload(s->context, t->buffer, t->offset, bytes, count));
}

void spec_poison(spec *s, const qmm_tensor *t) {
    spec_ok(s, qmm_buffer_fill(s->context, t->buffer, t->offset, SPEC_POISON, dense_bytes(t)));
}

static unsigned char *room(const qmm_tensor *t) {
    unsigned char *bytes = calloc(dense_bytes(t) + 1, 1);
    assert_non_null(bytes);
    return bytes;
}

static size_t row_bytes(const qmm_tensor *t) {
    return ((size_t)t->row_stride * (size_t)qmm_type_bits(t->type)) / 8;
}

/* Element j of a row, in little-endian bytes; the even 4-bit element is the low nibble. */
static void put_bits(unsigned char *row, int bits, int64_t j, uint32_t value) {
    if (bits == 4) {
        const uint32_t byte = row[j / 2], nibble = value & 15u;
        row[j / 2] = (unsigned char)(j % 2 ? (byte & 0x0fu) | nibble << 4 : (byte & 0xf0u) | nibble);
        return;
    }
    for (int b = 0; b < bits / 8; b++) row[j * (bits / 8) + b] = (unsigned char)((value >> (8 * b)) & 0xffu);
}

static uint32_t get_bits(const unsigned char *row, int bits, int64_t j) {
    uint32_t value = 0;
    if (bits == 4) return (uint32_t)row[j / 2] >> (j % 2 ? 4 : 0) & 15u;
    for (int b = 0; b < bits / 8; b++) value |= (uint32_t)row[j * (bits / 8) + b] << (8 * b);
    return value;
}

static int32_t to_code(qmm_type type, uint32_t bits) {
    switch (type) {
    case QMM_S4: return bits >= 8 ? (int32_t)bits - 16 : (int32_t)bits;
    case QMM_S8: return bits >= 128 ? (int32_t)bits - 256 : (int32_t)bits;
    case QMM_S16: return bits >= 32768 ? (int32_t)bits - 65536 : (int32_t)bits;
    case QMM_U4:
    case QMM_U8:
    case QMM_U16:
    case QMM_S32:
    case QMM_F32:
    case QMM_F16:
    case QMM_BF16: break;
    }
    return (int32_t)bits;
}

static uint32_t to_pattern(qmm_type type, float x) {
    return type == QMM_F16 ? spec_f16((double)x) : type == QMM_BF16 ? spec_bf16((double)x) : spec_to_bits(x);
}

static float to_value(qmm_type type, uint32_t pattern) {
    if (type == QMM_F16) return (float)spec_f16_value(pattern);
    return type == QMM_BF16 ? (float)spec_bf16_value(pattern) : spec_from_bits(pattern);
}

#define FOR_EACH_ELEMENT(t, bytes, row, j, n)                                                            \
    for (int64_t r_ = 0, n = 0; r_ < (t)->batch * (t)->rows; r_++)                                       \
        for (unsigned char *row = (bytes) + (size_t)r_ * row_bytes(t), *end_ = row; end_ == row; end_++) \
            for (int64_t j = 0; j < (t)->cols; j++, n++)

void spec_write_codes(spec *s, const qmm_tensor *t, const int32_t *values) {
    unsigned char *bytes = room(t);
    FOR_EACH_ELEMENT(t, bytes, row, j, n) put_bits(row, qmm_type_bits(t->type), j, (uint32_t)values[n]);
    spec_write_bytes(s, t, bytes, dense_bytes(t));
    free(bytes);
}

void spec_write_reals(spec *s, const qmm_tensor *t, const float *values) {
    unsigned char *bytes = room(t);
    FOR_EACH_ELEMENT(t, bytes, row, j, n) put_bits(row, qmm_type_bits(t->type), j, to_pattern(t->type, values[n]));
    spec_write_bytes(s, t, bytes, dense_bytes(t));
    free(bytes);
}

void spec_read_codes(spec *s, const qmm_tensor *t, int32_t *values) {
    unsigned char *bytes = room(t);
    spec_read_bytes(s, t, bytes, dense_bytes(t));
    FOR_EACH_ELEMENT(t, bytes, row, j, n) values[n] = to_code(t->type, get_bits(row, qmm_type_bits(t->type), j));
    free(bytes);
}

void spec_read_reals(spec *s, const qmm_tensor *t, float *values) {
    unsigned char *bytes = room(t);
    spec_read_bytes(s, t, bytes, dense_bytes(t));
    FOR_EACH_ELEMENT(t, bytes, row, j, n) values[n] = to_value(t->type, get_bits(row, qmm_type_bits(t->type), j));
    free(bytes);
}

bool spec_force_row(spec *s, const char *operation, int index) {
    char middle[64];
    snprintf(middle, sizeof middle, ":%s:", operation);
    spec_ok(s, qmm_kernel_force(s->context, NULL));
    for (int i = 0; i < qmm_kernel_count(s->context); i++) {
        const char *name = qmm_kernel_name(s->context, i);
        if (!strstr(name, middle) || index-- > 0) continue;
        spec_ok(s, qmm_kernel_force(s->context, name));
        return true;
    }
    return false;
}

bool spec_matmul_runs(spec *s) {
    const int32_t two = 2;
    const qmm_tensor a = spec_codes(s, QMM_S8, 1, 1, &two), c = spec_tensor(s, QMM_S32, 1, 1, 1);
    const qmm_status status = qmm_matmul(s->context, NULL, &a, &a, &c);
    spec_clear(s);
    if (status != QMM_OK) print_message("row left out: %s\n", qmm_context_error(s->context));
    return status == QMM_OK;
}

/* ---- checks ------------------------------------------------------------------------------------------------------ */

void spec_expect_int(const char *what, int64_t index, int64_t got, int64_t expected) {
    comparisons++;
    if (got != expected) fail_msg("%s [%" PRId64 "]: got %" PRId64 ", expected %" PRId64, what, index, got, expected);
}

void spec_expect_bits(const char *what, int64_t index, float got, float expected) {
    comparisons++;
    if (spec_to_bits(got) == spec_to_bits(expected) || (isnan(got) && isnan(expected))) return;
    fail_msg("%s [%" PRId64 "]: got %a (%.9g), expected %a (%.9g)", what, index, (double)got, (double)got,
             (double)expected, (double)expected);
}

void spec_expect_near(const char *what, double got, double expected, double tolerance) {
    comparisons++;
    if (fabs(got - expected) <= tolerance || got == expected) return;
    fail_msg("%s: got %.17g, expected %.17g within %g", what, got, expected, tolerance);
}

void spec_expect_codes(spec *s, const char *what, const qmm_tensor *got, const int32_t *expected) {
    const int64_t count = got->batch * got->rows * got->cols;
    int32_t *values = malloc(((size_t)count + 1) * sizeof *values);
    assert_non_null(values);
    spec_read_codes(s, got, values);
    for (int64_t n = 0; n < count; n++) spec_expect_int(what, n, values[n], expected[n]);
    free(values);
}

void spec_expect_reals(spec *s, const char *what, const qmm_tensor *got, const float *expected) {
    const int64_t count = got->batch * got->rows * got->cols;
    float *values = malloc(((size_t)count + 1) * sizeof *values);
    assert_non_null(values);
    spec_read_reals(s, got, values);
    for (int64_t n = 0; n < count; n++) spec_expect_bits(what, n, values[n], expected[n]);
    free(values);
}

/* ---- numbers ----------------------------------------------------------------------------------------------------- */

uint64_t spec_random(uint64_t *state) {
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

double spec_uniform(uint64_t *state) {
    return (double)(spec_random(state) >> 11) * 0x1p-53;
}

double spec_normal(uint64_t *state) {
    const double u = 1.0 - spec_uniform(state), v = spec_uniform(state);
    return sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v);
}

int32_t spec_between(uint64_t *state, int32_t low, int32_t high) {
    return (int32_t)(low + (int64_t)(spec_random(state) % (uint64_t)((int64_t)high - low + 1)));
}

float spec_from_bits(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

uint32_t spec_to_bits(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* A binary format: digits of its significand (the hidden one counted), its smallest normal and largest exponents. */
typedef struct format {
    int digits, exponent_min, exponent_max;
} format;

static const format f16 = { 11, -14, 15 }, bf16 = { 8, -126, 127 };

/* x as a multiple of the format's unit in its last place there, rounded by the double's own rint. */
static uint32_t encode(const format *f, double x) {
    const uint32_t sign = signbit(x) ? 0x8000u : 0;
    const uint32_t infinity = (uint32_t)(f->exponent_max - f->exponent_min + 2) << (f->digits - 1);
    int exponent;
    double units;
    if (isnan(x)) return sign | infinity | (1u << (f->digits - 2));
    if (isinf(x)) return sign | infinity;
    (void)frexp(x, &exponent);
    exponent -= 1; /* |x| = 1.m * 2^exponent */
    if (x == 0.0 || exponent < f->exponent_min) exponent = f->exponent_min;
    units = rint(ldexp(fabs(x), f->digits - 1 - exponent));
    /* Where units has its leading bit set, that adds 1 to the exponent field, which holds exponent - exponent_min. */
    if (exponent > f->exponent_max) return sign | infinity;
    {
        const uint32_t pattern = ((uint32_t)(exponent - f->exponent_min) << (f->digits - 1)) + (uint32_t)units;
        return sign | (pattern < infinity ? pattern : infinity);
    }
}

static double decode(const format *f, uint32_t pattern) {
    const uint32_t fraction = pattern & ((1u << (f->digits - 1)) - 1u);
    const int field = (int)((pattern & 0x7fffu) >> (f->digits - 1));
    double value;
    if (field == f->exponent_max - f->exponent_min + 2)
        value = fraction ? NAN : INFINITY;
    else if (field == 0)
        value = ldexp((double)fraction, f->exponent_min - f->digits + 1);
    else
        value = ldexp((double)(fraction + (1u << (f->digits - 1))), field - 1 + f->exponent_min - f->digits + 1);
    return pattern & 0x8000u ? -value : value;
}

uint32_t spec_f16(double x) {
    return encode(&f16, x);
}

uint32_t spec_bf16(double x) {
    return encode(&bf16, x);
}

double spec_f16_value(uint32_t pattern) {
    return decode(&f16, pattern);
}

double spec_bf16_value(uint32_t pattern) {
    return decode(&bf16, pattern);
}

float spec_round(qmm_type type, double x) {
    if (type == QMM_F16) return (float)spec_f16_value(spec_f16(x));
    return type == QMM_BF16 ? (float)spec_bf16_value(spec_bf16(x)) : (float)x;
}

void spec_range(qmm_type type, int bits, int32_t *qmin, int32_t *qmax) {
    const bool is_signed = type == QMM_S4 || type == QMM_S8 || type == QMM_S16;
    if (bits == 0) bits = type == QMM_S4 || type == QMM_U4 ? 4 : type == QMM_S8 || type == QMM_U8 ? 8 : 16;
    *qmin = is_signed ? -(1 << (bits - 1)) : 0;
    *qmax = is_signed ? (1 << (bits - 1)) - 1 : (1 << bits) - 1;
}

int32_t spec_quantize(float x, float scale, int32_t zero, int32_t qmin, int32_t qmax) {
    /* 53 bits are at least 2 * 24 + 2, so rounding the double quotient to float gives the float quotient. */
    const double quotient = (double)(float)((double)x / (double)scale);
    const double q = isnan(quotient) ? zero : rint(quotient) + zero;
    return q < qmin ? qmin : q > qmax ? qmax : (int32_t)q;
}

float spec_dequantize(int64_t q, int64_t zero, float scale) {
    const float difference = (float)(double)(q - zero);
    return (float)((double)difference * (double)scale); /* 48 bits: the double product is exact */
}
