/* SPDX-License-Identifier: Apache-2.0
 *
 * The host's side of run.h: how a problem is brought into the form that the kernels like best, and shared out. */
#ifndef QMMI_OPENCL_CONVERT_H
#define QMMI_OPENCL_CONVERT_H

#include "opencl.h"
#include "run.h"

/* Is every whole run aligned to 16 bytes (8 where elements have 4 bits)? Buffers themselves always are. */
cl_int qmmi_opencl_aligned(const qmmi_view *v);

/* Rows in runs, and the grid that goes with them: of no group where there are no elements. */
qmmi_cl_walk qmmi_opencl_walk_over(int64_t batch, int64_t rows, int64_t cols, qmmi_opencl_grid *grid);

/* Queues a conversion: the kernel for groups of one row that has one block of parameters, or the one for everything. Their
 * memory is the source, the target, the scales and zero points of the source if that holds codes, and those of the target
 * if that does. */
qmm_status qmmi_opencl_convert_run(qmm_context *context, const qmmi_problem *problem, qmmi_opencl_kernel by_row,
                                   qmmi_opencl_kernel any);

/* Queues the sums that go with codes, where the problem wants them; and before anything is queued, are they to be had? */
qmm_status qmmi_opencl_need_row_sums(qmm_context *context, const qmmi_problem *problem);
qmm_status qmmi_opencl_row_sums(qmm_context *context, const qmmi_problem *problem);

#endif
