/* SPDX-License-Identifier: Apache-2.0
 *
 * Arithmetic that says whether it overflowed. Every size that comes from a caller goes through here. */
#ifndef QMMI_CHECKED_H
#define QMMI_CHECKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool qmmi_mul_overflows(int64_t a, int64_t b, int64_t *product) {
    return __builtin_mul_overflow(a, b, product);
}

static inline bool qmmi_add_overflows(int64_t a, int64_t b, int64_t *sum) {
    return __builtin_add_overflow(a, b, sum);
}

static inline bool qmmi_add_size_overflows(size_t a, size_t b, size_t *sum) {
    return __builtin_add_overflow(a, b, sum);
}

/* Bytes that `elements` elements of `bits` bits take, rounded up to whole bytes. */
static inline bool qmmi_bytes_overflow(int64_t elements, int bits, size_t *bytes) {
    size_t total;
    if (elements < 0) return true;
    if (bits == 4)
        total = (size_t)(elements / 2 + elements % 2);
    else if (__builtin_mul_overflow((size_t)elements, (size_t)(bits / 8), &total) || total > PTRDIFF_MAX)
        return true;
    *bytes = total;
    return false;
}

static inline size_t qmmi_round_up(size_t value, size_t multiple) {
    return (value + multiple - 1) / multiple * multiple;
}

#endif
