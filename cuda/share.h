/* SPDX-License-Identifier: Apache-2.0
 *
 * The host's side of run.h: how a problem is brought into the form that the kernels like best, and shared out. */
#ifndef QMMI_CUDA_SHARE_H
#define QMMI_CUDA_SHARE_H

#include "cuda.h"
#include "run.h"

/* Elements of a piece, as the types of the two sides (which may be one) and their alignment allow. */
int32_t qmmi_cuda_piece(const qmmi_view *x, const qmmi_view *y);

/* Rows in tiles; each thread has a span of one tile. */
qmmi_cuda_walk qmmi_cuda_walk_over(int64_t batch, int64_t rows, int64_t cols);

/* Blocks of `threads` threads that the walk takes. */
int64_t qmmi_cuda_walk_blocks(const qmmi_cuda_walk *walk, int64_t threads);

/* Makes the spans so long that the device is filled once, with so many blocks. Gives the number of blocks. */
int64_t qmmi_cuda_set_span(const qmm_context *context, qmmi_cuda_walk *walk, int64_t threads,
                           int64_t blocks_per_multiprocessor);

/* Queues a conversion: the kernel for rows of one block of parameters, or the one for rows of several. */
qmm_status qmmi_cuda_convert_run(qmm_context *context, const qmmi_problem *problem, qmmi_cuda_kernel by_row,
                                 qmmi_cuda_kernel by_block);

/* Queues the sums that go with codes, where the problem wants them. */
qmm_status qmmi_cuda_row_sums(qmm_context *context, const qmmi_problem *problem);

#endif
