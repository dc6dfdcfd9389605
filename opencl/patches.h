/* SPDX-License-Identifier: Apache-2.0
 *
 * The host's side of reduce.h: how a reduction is shared out. */
#ifndef QMMI_OPENCL_PATCHES_H
#define QMMI_OPENCL_PATCHES_H

#include "opencl.h"
#include "reduce.h"

/* Turns of a work-item's loop, at most: there are drivers whose work-items stop, without a word, after 65535. */
#define QMMI_OPENCL_TURNS_MAX 32768

/* Work-items of a group of an operation that reduces. */
size_t qmmi_opencl_reduce_items(const qmm_context *context);

/* As many groups of those as keep the device busy. */
int64_t qmmi_opencl_reduce_groups(const qmm_context *context);

/* rows x cols elements in patches of no more than 2^26 elements, and the grid that goes with them; they are shared out
 * `times` times, by groups one above the other. */
qmmi_cl_patches qmmi_opencl_patches(const qmm_context *context, int64_t rows, int64_t cols, int64_t times,
                                    qmmi_opencl_grid *grid);

#endif
