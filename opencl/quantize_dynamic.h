/* SPDX-License-Identifier: Apache-2.0
 *
 * What quantize_dynamic.c and its kernels agree on. */
#ifndef QMMI_OPENCL_QUANTIZE_DYNAMIC_H
#define QMMI_OPENCL_QUANTIZE_DYNAMIC_H

#include "reduce.h"

/* The argument of all kernels of quantize_dynamic; each says what it does with it. */
typedef struct qmmi_cl_quantize_dynamic {
    qmmi_cl_convert p;
    cl_long blocks;           /* of parameters, in the batch */
    cl_long length;           /* elements of a row that share parameters */
    cl_long parts, part_rows; /* stretches that a block's columns are cut into, and the rows of one */
    qmmi_cl_patches patches;  /* of the rows of a block */
    cl_int lanes_log2;
    cl_int sums; /* the sum of the codes of each block is wanted */
    cl_int source_aligned, target_aligned;
} qmmi_cl_quantize_dynamic;

/* The memory of its kernels: each takes so many of these as it has use for. */
enum {
    QMMI_CL_DYNAMIC_SCALE,
    QMMI_CL_DYNAMIC_ZERO,
    QMMI_CL_DYNAMIC_SOURCE,
    QMMI_CL_DYNAMIC_TARGET,
    QMMI_CL_DYNAMIC_SUMS,
    QMMI_CL_DYNAMIC_MEMORY
};

#endif
