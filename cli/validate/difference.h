/* SPDX-License-Identifier: Apache-2.0
 *
 * Where a result differs from the expected one, and what that looks like: a sentence for each pattern that is found. */
#ifndef QMM_VALIDATE_DIFFERENCE_H
#define QMM_VALIDATE_DIFFERENCE_H

#include <stdbool.h>
#include <stdint.h>

#include "qmm/qmm.h"

enum { DIFFERENCE_PLACES = 8, DIFFERENCE_PATTERNS = 8, DIFFERENCE_TEXT = 160 };

typedef struct difference_place {
    int64_t batch, row, col;
    double expected, got;
} difference_place;

typedef struct difference {
    int64_t count;            /* elements compared */
    int64_t wrong;            /* whose bits differ; two NaNs are equal */
    int64_t wrong_rows, rows; /* over the batch */
    int64_t wrong_columns, columns;
    double largest; /* |got - expected|, where both are finite */
    int64_t steps; /* reals: most steps between neighbouring numbers of the type from expected to got, without NaNs */
    int place_count, pattern_count;
    difference_place places[DIFFERENCE_PLACES]; /* the first */
    char patterns[DIFFERENCE_PATTERNS][DIFFERENCE_TEXT];
} difference;

/* An element of an array of any type but the 4-bit ones, as a number. */
double difference_value(qmm_type type, const void *elements, int64_t index);

/* Compares two dense batches of matrices of one such type. False: no memory. */
bool difference_find(qmm_type type, int64_t batch, int64_t rows, int64_t cols, const void *expected, const void *got,
                     difference *out);

#endif
