/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QMMI_CUDA_ROW_SUMS_H
#define QMMI_CUDA_ROW_SUMS_H

#include "run.h"

enum {
    QMMI_CUDA_ROW_SUMS_THREADS = 256,
    QMMI_CUDA_ROW_SUMS_LONG = 4096 /* codes of which a whole block makes the sum */
};

/* One sum after the other, each by `lanes` threads: a power of two up to a warp, or a block. */
typedef struct qmmi_cuda_row_sums_arguments {
    qmmi_view codes;
    qmmi_param sums;
    int64_t length; /* codes of a sum */
    int64_t groups; /* sums of a row */
    int64_t items;  /* sums in all */
    int32_t lanes;
    int32_t piece;
} qmmi_cuda_row_sums_arguments;

#endif
