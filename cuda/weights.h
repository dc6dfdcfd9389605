/* SPDX-License-Identifier: Apache-2.0
 *
 * Packed weights of the CUDA backend: canonical rows (host/canonical.h), 8-bit or packed 4-bit, one after another. The
 * operand's outer_stride and batch_stride are in bytes, its k_stride is the padded length of a group. */
#ifndef QMMI_CUDA_WEIGHTS_H
#define QMMI_CUDA_WEIGHTS_H

#include "../host/problem.h"

enum { QMMI_CUDA_GATHER_THREADS = 256 };

/* The argument of weights_gather_kernel; no memory: not wanted. */
typedef struct qmmi_cuda_gather {
    qmmi_operand b;
    int64_t n, groups, batch;
    qmmi_param scale, zero;
} qmmi_cuda_gather;

#endif
