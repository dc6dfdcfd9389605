/* SPDX-License-Identifier: Apache-2.0
 *
 * How the operations that are limited by memory share out a tensor, for the host that decides it and the kernels that
 * follow it.
 *
 * A row is cut into runs of QMMI_CL_RUN consecutive elements, each of one work-item. The work-items of a group are
 * 2^lanes_log2 lanes for neighbouring runs of a row, times as many rows as that leaves; the rows of all matrices are
 * numbered through, so that small matrices share a group.
 *
 *     group (0, 0)   row 0 | run 0 | run 1 | ... lanes        group (1, 0)   row 0 | run lanes | ...
 *                    row 1 | run 0 | run 1 | ...                             row 1 | run lanes | ...
 *
 * Groups are counted along a row and across rows, there in two dimensions, so that no work-item divides to find its place
 * in a matrix, and none has a loop, of which CPU devices make several passes over the group. */
#ifndef QMMI_OPENCL_RUN_H
#define QMMI_OPENCL_RUN_H

#include "arguments.h"

enum {
    QMMI_CL_RUN = 16, /* elements of a work-item: whole bytes of every type */
    QMMI_CL_RUN_ITEMS_LOG2 = 7,
    QMMI_CL_RUN_ITEMS = 1 << QMMI_CL_RUN_ITEMS_LOG2, /* work-items of a group */
    QMMI_CL_RUN_GROUPS_MAX = 65535                   /* across rows in one dimension: NVIDIA's devices take no more */
};

/* The runs of a batch of matrices. */
typedef struct qmmi_cl_walk {
    cl_long batch, rows, cols;
    cl_int lanes_log2, unused;
} qmmi_cl_walk;

/* The argument of quantize, dequantize and requantize. */
typedef struct qmmi_cl_convert_run {
    qmmi_cl_convert p;
    qmmi_cl_walk walk;
    cl_int source_aligned, target_aligned; /* is every whole run, to 16 bytes (8 where elements have 4 bits)? */
} qmmi_cl_convert_run;

#endif
