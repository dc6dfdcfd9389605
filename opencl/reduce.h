/* SPDX-License-Identifier: Apache-2.0
 *
 * How the operations that reduce share out rows x cols elements: in patches, each of one work-group, whose work-items
 * are 2^lanes_log2 lanes for neighbouring runs of a row, times as many rows as that leaves. They go on, in steps of so
 * many runs and rows, to the end of the patch, so that most of a reduction is done before work-items have to tell one
 * another what they found.
 *
 *     patch   row 0 | run 0 | run 1 | ... lanes | run 0 | run 1 | ...
 *             row 1 | run 0 | run 1 | ...
 *             ...
 *             row 0 | run 0 | run 1 | ...
 *
 * On a CPU device a work-group is one work-item: those of a group run one after the other there, and each would come
 * through the whole patch in large steps. */
#ifndef QMMI_OPENCL_REDUCE_H
#define QMMI_OPENCL_REDUCE_H

#include "run.h"

enum {
    QMMI_CL_REDUCE_ITEMS_LOG2 = QMMI_CL_RUN_ITEMS_LOG2,
    QMMI_CL_REDUCE_ITEMS = 1 << QMMI_CL_REDUCE_ITEMS_LOG2 /* of a work-group, or 1: see above */
};

typedef struct qmmi_cl_patches {
    cl_long rows, cols;             /* what is shared out */
    cl_long patch_rows, patch_cols; /* of one patch; the last may have fewer */
    cl_long across;                 /* patches side by side */
    cl_int lanes_log2;
    cl_int unused;
} qmmi_cl_patches;

#endif
