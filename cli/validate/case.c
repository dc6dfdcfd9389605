/* SPDX-License-Identifier: Apache-2.0 */
#include "case.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "oracle.h"

bool validate_is_real(qmm_type type) {
    return type == QMM_F32 || type == QMM_F16 || type == QMM_BF16;
}

/* ---- elements ---------------------------------------------------------------------------------------------------- */

static size_t bit_of(const validate_tensor *t, int64_t b, int64_t i, int64_t j) {
    const int64_t index = b * t->batch_stride + i * t->row_stride + j;
    return t->offset * 8 + (size_t)index * (size_t)qmm_type_bits(t->type);
}

/* The element's bits, least significant byte first, as a number without sign. */
static uint32_t load_bits(const validate_tensor *t, const unsigned char *image, int64_t b, int64_t i, int64_t j) {
    const size_t bit = bit_of(t, b, i, j);
    const int bits = qmm_type_bits(t->type);
    uint32_t value = 0;
    if (bits == 4) return (image[bit / 8] >> (bit % 8)) & 15u;
    for (int n = 0; n < bits / 8; n++) value |= (uint32_t)image[bit / 8 + (size_t)n] << (8 * n);
    return value;
}

static void store_bits(const validate_tensor *t, unsigned char *image, int64_t b, int64_t i, int64_t j,
                       uint32_t value) {
    const size_t bit = bit_of(t, b, i, j);
    const int bits = qmm_type_bits(t->type);
    unsigned char *byte = image + bit / 8;
    if (bits == 4) {
        *byte = (unsigned char)((*byte & (bit % 8 ? 0x0fu : 0xf0u)) | ((value & 15u) << (bit % 8)));
        return;
    }
    for (int n = 0; n < bits / 8; n++) byte[n] = (unsigned char)(value >> (8 * n));
}

static bool is_signed(qmm_type type) {
    return type == QMM_S4 || type == QMM_S8 || type == QMM_S16 || type == QMM_S32;
}

double validate_load(const validate_tensor *t, const unsigned char *image, int64_t b, int64_t i, int64_t j) {
    const uint32_t bits = load_bits(t, image, b, i, j);
    const double modulus = 2.0 * (double)(1u << (qmm_type_bits(t->type) - 1));
    if (t->type == QMM_F32) {
        float value;
        memcpy(&value, &bits, sizeof value);
        return (double)value;
    }
    if (validate_is_real(t->type)) return oracle_decode_real(t->type, bits);
    return is_signed(t->type) && (double)bits >= modulus / 2 ? (double)bits - modulus : (double)bits;
}

void validate_store(const validate_tensor *t, unsigned char *image, int64_t b, int64_t i, int64_t j, double value) {
    if (t->type == QMM_F32) {
        const float single = (float)value;
        uint32_t bits;
        memcpy(&bits, &single, sizeof bits);
        store_bits(t, image, b, i, j, bits);
    } else if (validate_is_real(t->type)) {
        store_bits(t, image, b, i, j, oracle_encode_real(t->type, value));
    } else {
        store_bits(t, image, b, i, j, (uint32_t)(int64_t)value);
    }
}

/* ---- layout ------------------------------------------------------------------------------------------------------ */

static int64_t even(int64_t value) {
    return value + value % 2;
}

static int64_t round_up_16(int64_t value) {
    return (value + 15) / 16 * 16;
}

/* Strides: the narrowest in half of the cases, else up to 17 more. Matrices follow one another or, rarely, lie side by
 * side in wide rows; inputs sometimes use one matrix for all. 4-bit rows begin on a byte. In half of the cases all
 * tensors are laid out for wide loads, since kernels then take other ways. */
static void choose_strides(validate_case *c, validate_tensor *t) {
    static const int64_t pads[] = { 0, 0, 0, 0, 1, 3, 16, 17 };
    validate_random *r = &c->random;
    const bool nibbles = qmm_type_bits(t->type) == 4;
    t->row_stride = t->cols + VALIDATE_PICK(r, pads);
    if (nibbles) t->row_stride = even(t->row_stride);
    t->batch_stride = t->rows * t->row_stride + VALIDATE_PICK(r, pads);
    if (t->batch > 1 && validate_one_in(r, 6)) {
        t->batch_stride = nibbles ? even(t->cols) : t->cols;
        t->row_stride = t->batch * t->batch_stride + (nibbles ? 2 : 1) * validate_between(r, 0, 2);
    } else if (c->wide) {
        t->row_stride = round_up_16(t->row_stride);
        t->batch_stride = round_up_16(t->rows * t->row_stride);
    }
    if (nibbles) t->batch_stride = even(t->batch_stride);
    if (!t->output && t->batch > 1 && validate_one_in(r, 6)) t->batch_stride = 0;
}

/* Offsets are odd for types of one byte or less, and no more aligned than need be but in cases for wide loads. */
static void choose_place(validate_case *c, validate_tensor *t) {
    const size_t element = qmm_type_bits(t->type) < 8 ? 1 : (size_t)qmm_type_bits(t->type) / 8;
    const int64_t elements =
        t->rows == 0 || t->cols == 0 ? 0 : (t->batch - 1) * t->batch_stride + (t->rows - 1) * t->row_stride + t->cols;
    const size_t used = ((size_t)elements * (size_t)qmm_type_bits(t->type) + 7) / 8;
    t->offset = VALIDATE_GUARD + (c->wide ? 16 : element) * (size_t)validate_between(&c->random, 0, 16);
    t->exact_end = !t->output && validate_one_in(&c->random, 4);
    t->bytes = t->offset + used + (t->exact_end ? 0 : VALIDATE_GUARD);
}

int validate_add_tensor(validate_case *c, const char *name, qmm_type type, int64_t rows, int64_t cols, int64_t batch,
                        validate_layout layout) {
    validate_tensor *t = &c->tensors[c->tensor_count];
    *t = (validate_tensor){
        .name = name, .output = layout == VALIDATE_OUTPUT, .type = type, .rows = rows, .cols = cols, .batch = batch
    };
    if (c->tensor_count == 0) c->wide = validate_one_in(&c->random, 2);
    choose_strides(c, t);
    choose_place(c, t);
    t->before = malloc(3 * t->bytes);
    if (!t->before) abort(); /* a checker without memory has nothing to report */
    t->want = t->before + t->bytes;
    t->after = t->want + t->bytes;
    validate_noise(&c->random, t->before, t->bytes);
    return c->tensor_count++;
}

void validate_want_no_change(validate_case *c) {
    for (int i = 0; i < c->tensor_count; i++) memcpy(c->tensors[i].want, c->tensors[i].before, c->tensors[i].bytes);
}

void validate_free_tensors(validate_case *c) {
    for (int i = 0; i < c->tensor_count; i++) free(c->tensors[i].before);
    c->tensor_count = 0;
}

qmm_tensor validate_on_device(const validate_case *c, const validate_execution *e, int tensor) {
    const validate_tensor *t = &c->tensors[tensor];
    return (qmm_tensor){ .buffer = e->buffers[tensor],
                         .offset = t->offset,
                         .type = t->type,
                         .rows = t->rows,
                         .cols = t->cols,
                         .row_stride = t->row_stride,
                         .batch = t->batch,
                         .batch_stride = t->batch_stride };
}

/* ---- comparison -------------------------------------------------------------------------------------------------- */

static void print_element(const validate_tensor *t, const unsigned char *image, int64_t b, int64_t i, int64_t j,
                          char *text, size_t text_bytes) {
    const double value = validate_load(t, image, b, i, j);
    if (validate_is_real(t->type))
        snprintf(text, text_bytes, "%.9g (0x%0*" PRIx32 ")", value, qmm_type_bits(t->type) / 4,
                 load_bits(t, image, b, i, j));
    else
        snprintf(text, text_bytes, "%.0f", value);
}

static bool elements_equal(const validate_tensor *t, int64_t b, int64_t i, int64_t j) {
    if (load_bits(t, t->after, b, i, j) == load_bits(t, t->want, b, i, j)) return true;
    return validate_is_real(t->type) && isnan(validate_load(t, t->after, b, i, j)) &&
           isnan(validate_load(t, t->want, b, i, j));
}

/* Compares the elements; equal ones become the same bytes, so that what differs then is outside them. */
static int64_t compare_elements(const validate_tensor *t, char *text, size_t text_bytes) {
    char expected[48], got[48];
    int64_t wrong = 0, at[3] = { 0, 0, 0 };
    for (int64_t b = 0; b < t->batch; b++)
        for (int64_t i = 0; i < t->rows; i++)
            for (int64_t j = 0; j < t->cols; j++) {
                if (elements_equal(t, b, i, j))
                    store_bits(t, t->after, b, i, j, load_bits(t, t->want, b, i, j));
                else if (wrong++ == 0)
                    at[0] = b, at[1] = i, at[2] = j;
            }
    if (wrong == 0) return 0;
    print_element(t, t->want, at[0], at[1], at[2], expected, sizeof expected);
    print_element(t, t->after, at[0], at[1], at[2], got, sizeof got);
    snprintf(text, text_bytes,
             "%s: %" PRId64 " of %" PRId64 " elements wrong, first [%" PRId64 "][%" PRId64 ",%" PRId64
             "]: expected %s, got %s",
             t->name, wrong, t->batch * t->rows * t->cols, at[0], at[1], at[2], expected, got);
    return wrong;
}

bool validate_tensor_holds(const validate_tensor *t, char *text, size_t text_bytes) {
    size_t at = 0;
    if (memcmp(t->after, t->want, t->bytes) == 0) return true;
    if (t->output && compare_elements(t, text, text_bytes) > 0) return false;
    while (at < t->bytes && t->after[at] == t->want[at]) at++;
    if (at == t->bytes) return true;
    snprintf(text, text_bytes, "%s: byte %zu of %zu, %s, was 0x%02x and is 0x%02x", t->name, at, t->bytes,
             at < t->offset ? "before its first element"
             : t->output    ? "outside its elements"
                            : "of an input",
             t->want[at], t->after[at]);
    return false;
}

double validate_trivial_share(const validate_tensor *t, int32_t qmin, int32_t qmax, int64_t *count) {
    int64_t trivial = 0;
    *count = t->batch * t->rows * t->cols;
    for (int64_t b = 0; b < t->batch; b++)
        for (int64_t i = 0; i < t->rows; i++)
            for (int64_t j = 0; j < t->cols; j++) {
                const double value = validate_load(t, t->want, b, i, j);
                trivial += value == 0.0 || (qmin < qmax && (value == qmin || value == qmax));
            }
    return *count ? (double)trivial / (double)*count : 0.0;
}
