/* SPDX-License-Identifier: Apache-2.0
 *
 * The epilogue as a kernel of its own: rows first_row .. + rows of matrices first_batch .. + batches, whose raw
 * accumulators, sums of a' b', are in memory. Not for problems with factors per group. */
#ifndef QMMI_CUDA_MATMUL_EPILOGUE_H
#define QMMI_CUDA_MATMUL_EPILOGUE_H

#include "cuda.h"
#include "matmul.h"

enum { QMMI_CUDA_EPILOGUE_THREADS = 128 };

typedef struct qmmi_cuda_epilogue {
    qmmi_cuda_matmul m; /* prepared */
    const int32_t *acc; /* of row first_row of matrix first_batch; 4-byte aligned */
    int64_t row_stride, batch_stride;
    int64_t first_row, rows, first_batch, batches;
} qmmi_cuda_epilogue;

qmm_status qmmi_cuda_run_epilogue(qmm_context *context, const qmmi_cuda_epilogue *epilogue);

#endif
