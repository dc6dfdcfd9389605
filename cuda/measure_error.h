/* SPDX-License-Identifier: Apache-2.0
 *
 * What measure_error.c and its kernels agree on. */
#ifndef QMMI_CUDA_MEASURE_ERROR_H
#define QMMI_CUDA_MEASURE_ERROR_H

#include "run.h"

/* The tree of host/cpu/measure_error.c. A thread block does one block of it. */
enum {
    QMMI_CUDA_ERROR_BLOCK = 4096, /* terms */
    QMMI_CUDA_ERROR_LANES = 256,  /* threads */
    QMMI_CUDA_ERROR_SUMS = 4      /* error squared, reference squared, got squared, product */
};

/* Zeros before anything is found. */
typedef struct qmmi_cuda_error_found {
    uint64_t count;
    uint32_t max_error, max_value; /* patterns of values that are at least 0: ordered as integers */
    float sums[QMMI_CUDA_ERROR_SUMS];
} qmmi_cuda_error_found;

typedef struct qmmi_cuda_error_pairs {
    qmmi_view reference, got;
    float factor;
    int64_t terms;
    int64_t step_batch, step_row, step_col; /* QMMI_CUDA_ERROR_LANES terms, taken apart */
    qmmi_cuda_error_found *found;
    float *sums; /* of each block: [sum][block] */
} qmmi_cuda_error_pairs;

/* One level up: the sums of blocks are terms. */
typedef struct qmmi_cuda_error_level {
    int64_t terms, blocks; /* of each sum */
    const float *from;     /* [sum][term] */
    float *to;             /* [sum][block] */
} qmmi_cuda_error_level;

#endif
