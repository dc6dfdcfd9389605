/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of `qmm validate --weights` share: model.c has the options and the file, model_run.c what is done with
 * a matrix, model_report.c what is printed. */
#ifndef QMM_VALIDATE_MODEL_H
#define QMM_VALIDATE_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "npy.h"
#include "qmm/qmm.h"
#include "safetensors.h"

typedef enum model_format { MODEL_TEXT, MODEL_JSON, MODEL_CSV } model_format;

typedef struct model_arguments {
    const char *weights, *device, *match;
    int type, format; /* qmm_type, model_format */
    bool per_tensor, list, help;
    int64_t group, m, seed;
    double exact_limit;
} model_arguments;

/* What became of a matrix; the first until it is known. */
typedef enum model_outcome { MODEL_NOT_RUN, MODEL_PASSED, MODEL_FAILED, MODEL_REFUSED, MODEL_OUTCOMES } model_outcome;

/* A matrix of the file, and what became of it. */
typedef struct model_matrix {
    const char *name, *dtype;
    qmm_type type;
    int64_t n, k;
    const safetensors_tensor *tensor; /* NULL: all of the .npy */
    model_outcome outcome;
    bool exact;
    char reason[160]; /* of a refusal or failure */
    double weights_db, product_db, cosine, seconds;
} model_matrix;

/* Tensors that are left out, by why. */
typedef struct model_left_out {
    int64_t vectors, other_dims, not_real, empty, not_matched;
} model_left_out;

typedef struct model {
    safetensors_file file;
    npy_array array;
    model_matrix *items;
    size_t count;
    model_left_out left;
    qmm_device_info device; /* that they ran on */
} model;

/* A piece of a matrix's bytes. False puts one line into `error`. */
bool model_read_piece(const model *m, const model_matrix *x, uint64_t first, void *target, size_t bytes, char *error,
                      size_t error_bytes);

/* Runs every matrix on the device, and fills in what became of it. What ends the run it prints, and gives the code to
 * exit with. */
int model_run(const char *command, const model_arguments *a, model *m);

typedef struct model_totals {
    int64_t outcomes[MODEL_OUTCOMES], parameters;
    double seconds;
    const model_matrix *worst_weights, *worst_product; /* NULL: none ran */
} model_totals;

model_totals model_count(const model *m);

/* Was one matrix right at least, and none wrong? */
bool model_is_right(const model *m);

/* Prints the list, or the results. */
void model_report(const model_arguments *a, const model *m);

#endif
