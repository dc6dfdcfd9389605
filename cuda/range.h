/* SPDX-License-Identifier: Apache-2.0
 *
 * What range.c and its kernels agree on. */
#ifndef QMMI_CUDA_RANGE_H
#define QMMI_CUDA_RANGE_H

#include "run.h"

enum {
    QMMI_CUDA_HISTOGRAM_BINS = 8192,   /* QMMI_HISTOGRAM_BINS: range.c holds the two together */
    QMMI_CUDA_HISTOGRAM_THREADS = 512, /* share 32 KB of bins */
    QMMI_CUDA_HISTOGRAM_BLOCKS = 2     /* of which a multiprocessor of any device has room for so many */
};

/* Zeros before anything is found. */
typedef struct qmmi_cuda_minmax {
    uint64_t count;
    uint32_t min, max; /* patterns in an order that integers have: see range.cu */
} qmmi_cuda_minmax;

typedef struct qmmi_cuda_range {
    qmmi_view x;
    qmmi_cuda_walk walk;
    int32_t piece;
    float inverse_width; /* of a bin */
    qmmi_cuda_minmax *minmax;
    uint64_t *bins;
} qmmi_cuda_range;

#endif
