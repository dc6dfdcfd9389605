/* SPDX-License-Identifier: Apache-2.0
 *
 * What range.c and its kernels agree on. */
#ifndef QMMI_OPENCL_RANGE_H
#define QMMI_OPENCL_RANGE_H

#include "reduce.h"

/* QMMI_HISTOGRAM_HALF: range.c holds the two together. The bins on one side of 0, 16 KiB of local memory. */
enum { QMMI_CL_HISTOGRAM_HALF = 4096 };

/* Zeros before anything is found. */
typedef struct qmmi_cl_minmax {
    cl_uint skipped[2]; /* low and high half: elements that are not finite */
    cl_uint min, max;   /* patterns in an order that integers have: see range.cl */
} qmmi_cl_minmax;

/* The argument of both kernels. Memory: x; the workspace, with a qmmi_cl_minmax or with the bins, each a low and a high
 * half. Rows are those of all matrices. */
typedef struct qmmi_cl_range {
    qmmi_cl_view x;
    qmmi_cl_patches patches;
    cl_int aligned;
    cl_float inverse_width; /* of a bin */
} qmmi_cl_range;

#endif
