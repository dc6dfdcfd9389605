/* SPDX-License-Identifier: Apache-2.0
 *
 * What measure_error.c and its kernels agree on. */
#ifndef QMMI_OPENCL_MEASURE_ERROR_H
#define QMMI_OPENCL_MEASURE_ERROR_H

#include "arguments.h"

/* The tree of host/cpu/measure_error.c. A work-group does one block of it. */
enum {
    QMMI_CL_ERROR_BLOCK = 4096, /* terms */
    QMMI_CL_ERROR_LANES = 256,  /* work-items */
    QMMI_CL_ERROR_SUMS = 4      /* error squared, reference squared, got squared, product: of a block, side by side */
};

/* At the beginning of the workspace. Zeros before anything is found. */
typedef struct qmmi_cl_error_found {
    cl_uint skipped[2];           /* low and high half: pairs with a value that is not finite */
    cl_uint max_error, max_value; /* patterns of values that are at least 0: ordered as integers */
} qmmi_cl_error_found;

/* The argument of the kernel that makes the terms. Memory: reference, got, the workspace. */
typedef struct qmmi_cl_error_pairs {
    qmmi_cl_view reference, got;
    cl_long terms;
    cl_long step_batch, step_row, step_col; /* QMMI_CL_ERROR_LANES terms, taken apart */
    cl_long to;                             /* where the sums of the blocks go, in bytes of the workspace */
    cl_float factor;
    cl_int unused;
} qmmi_cl_error_pairs;

/* One level up: the sums of blocks are terms. Memory: the workspace. */
typedef struct qmmi_cl_error_level {
    cl_long terms;
    cl_long from, to; /* bytes of the workspace */
} qmmi_cl_error_level;

#endif
