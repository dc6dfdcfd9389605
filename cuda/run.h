/* SPDX-License-Identifier: Apache-2.0
 *
 * How the operations that are limited by memory share out a tensor, for the host that decides it and the kernels that
 * follow it. Plain C.
 *
 * A row is cut into tiles. A tile is done by 2^lanes_log2 neighbouring threads, QMMI_CUDA_RUN elements each, in pieces of
 * 16 bytes of the wider of the two sides: piece k of lane l is the elements from (k * lanes + l) * piece on, so that every
 * load and store of a warp is one stretch of memory.
 *
 *     row     | tile 0                              | tile 1 ...
 *     tile    | lane 0 | lane 1 | ... | lane 0 | lane 1 | ...
 *               piece 0  piece 0        piece 1  piece 1
 *
 * An operation that converts gives each thread one run. An operation that reduces gives it a span of consecutive tiles,
 * so that it seldom has to hand on what it found. */
#ifndef QMMI_CUDA_RUN_H
#define QMMI_CUDA_RUN_H

#include "../host/problem.h"

enum {
    QMMI_CUDA_RUN = 16,          /* elements of a tile that are one thread's */
    QMMI_CUDA_RUN_THREADS = 256, /* of a block, where an operation needs no other number */
    QMMI_CUDA_RUN_BLOCKS = 4,    /* ... of which a multiprocessor has room for so many */
    QMMI_CUDA_SINGLE = 2         /* in place of a piece: elements one by one, those of 4 bits two by two */
};

/* The tiles of `rows` rows in each matrix of a batch. */
typedef struct qmmi_cuda_walk {
    int64_t rows, tiles; /* of a matrix, of a row */
    int64_t items;       /* tiles in all */
    int64_t span;        /* consecutive tiles of one thread */
    int32_t lanes_log2;
} qmmi_cuda_walk;

/* The argument of quantize, dequantize and requantize. */
typedef struct qmmi_cuda_convert {
    qmmi_convert_problem p;
    qmmi_cuda_walk walk;
    int32_t piece; /* elements: 4, 8, 16, or QMMI_CUDA_SINGLE */
} qmmi_cuda_convert;

#endif
