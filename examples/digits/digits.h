/* SPDX-License-Identifier: Apache-2.0
 *
 * A small network that reads handwritten digits, in float32 and in four quantized formats, through the C API of qmm.
 *
 *     logits = relu(relu(x W1 + b1) W2 + b2) W3 + b3        64 -> 128 -> 64 -> 10, weights stored K x N
 *
 * digits.c is the part to copy from: how a float network becomes a quantized one. data.c reads the files that train.py
 * made, report.c prints the table. */
#ifndef QMM_EXAMPLES_DIGITS_H
#define QMM_EXAMPLES_DIGITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "npy.h"
#include "qmm/qmm.h"

enum { DIGITS_LAYERS = 3, DIGITS_CLASSES = 10 };

/* What train.py wrote, in host memory. */
typedef struct digits_data {
    npy_array images;                /* count x 64, f4 */
    npy_array labels;                /* count, i4 */
    npy_array calibration;           /* some x 64, f4: training images from which static scales are chosen */
    npy_array weight[DIGITS_LAYERS]; /* K x N, f4 */
    npy_array bias[DIGITS_LAYERS];   /* N, f4 */
} digits_data;

/* Reads DIRECTORY/images.npy and the others. False leaves a line in `error`. */
bool digits_load(const char *directory, digits_data *data, char *error, size_t error_bytes);
void digits_free(digits_data *data);

/* The formats, in the order of the table. */
enum { DIGITS_FLOAT, DIGITS_INT8_STATIC, DIGITS_INT8_CHANNEL, DIGITS_INT4_GROUP, DIGITS_INT4_CHANNEL, DIGITS_FORMATS };

typedef struct digits_result {
    const char *name;    /* of the format */
    const char *weights; /* how they are stored */
    const char *inputs;  /* how each layer's input is */
    int64_t right;       /* images whose largest logit is their label's */
    int64_t same;        /* images with the class that float gives */
    double sqnr_db;      /* of the logits against float's */
    size_t weight_bytes; /* codes and scales */
    double seconds;      /* for all images, median of DIGITS_RUNS */
    uint32_t checksum;   /* FNV-1a of the logits' bytes */
} digits_result;

enum { DIGITS_RUNS = 9 };

/* Called after each of `total` steps. */
typedef void (*digits_step)(void *user, int done, int total);

/* Runs every format on the context's device. step may be NULL. False leaves a line in `error`. */
bool digits_run(qmm_context *context, const digits_data *data, digits_result results[DIGITS_FORMATS], digits_step step,
                void *user, char *error, size_t error_bytes);

/* The table, and below it what its columns mean. */
void digits_print(FILE *out, const digits_data *data, const digits_result results[DIGITS_FORMATS]);

/* Percentage points of accuracy that int8 per channel loses against float; negative if it gains. */
double digits_loss(const digits_data *data, const digits_result results[DIGITS_FORMATS]);

#endif
