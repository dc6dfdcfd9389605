/* SPDX-License-Identifier: Apache-2.0
 *
 * What quantize_dynamic.c and its kernels agree on. */
#ifndef QMMI_CUDA_QUANTIZE_DYNAMIC_H
#define QMMI_CUDA_QUANTIZE_DYNAMIC_H

#include "run.h"

enum {
    QMMI_CUDA_DYNAMIC_RUN = 32,       /* elements that a thread holds where a thread block does a row in one pass */
    QMMI_CUDA_DYNAMIC_THREADS = 1024, /* of its largest block */
    QMMI_CUDA_DYNAMIC_ONE_PASS = QMMI_CUDA_DYNAMIC_RUN * QMMI_CUDA_DYNAMIC_THREADS
};

/* The argument of all kernels of quantize_dynamic; each says what it does with it. */
typedef struct qmmi_cuda_quantize_dynamic {
    qmmi_convert_problem p;
    qmmi_cuda_walk walk;
    int64_t length;           /* elements of a row that share parameters */
    int64_t parts, part_rows; /* stretches that a block's columns are cut into, and the rows of one */
    int32_t lanes;
    int32_t piece;
    bool sums; /* the sum of the codes of each block is wanted */
} qmmi_cuda_quantize_dynamic;

#endif
