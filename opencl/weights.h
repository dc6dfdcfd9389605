/* SPDX-License-Identifier: Apache-2.0
 *
 * Packed weights of the OpenCL backend: canonical rows (host/canonical.h), 8-bit or packed 4-bit, one after another.
 * The operand's outer_stride and batch_stride are in bytes, its k_stride is the padded length of a group. */
#ifndef QMMI_OPENCL_WEIGHTS_H
#define QMMI_OPENCL_WEIGHTS_H

#include "arguments.h"

enum { QMMI_CL_GATHER_ITEMS = 64 };

/* The first argument of weights_gather_kernel; not in memory: not wanted. Memory: b's scales and zero points, and where
 * they go. */
typedef struct qmmi_cl_gather {
    qmmi_cl_operand b;
    cl_long n, groups, batch;
    qmmi_cl_param scale, zero;
} qmmi_cl_gather;

#endif
