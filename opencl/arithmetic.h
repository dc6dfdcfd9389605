/* SPDX-License-Identifier: Apache-2.0
 *
 * Is the device's float arithmetic that of host/numerics.h? What devices report of themselves is not always true, and
 * everything rests on this, so it is tried before the first kernel runs. */
#ifndef QMMI_OPENCL_ARITHMETIC_H
#define QMMI_OPENCL_ARITHMETIC_H

#include "arguments.h"

enum { QMMI_OPENCL_ARITHMETIC_LOCAL = 64, QMMI_OPENCL_ARITHMETIC_CASES = 4096 };

/* Of one case, x y z: the results in the order of the kernel's stores. */
enum {
    QMMI_CL_DIVIDED,    /* x / y, the device's own */
    QMMI_CL_MULTIPLIED, /* x * y: subnormals must be kept */
    QMMI_CL_COMBINED,   /* x * y + z, two roundings: not contracted */
    QMMI_CL_ADDED,      /* x + z */
    QMMI_CL_ROUNDED,    /* qmmn_round_even(x): not simplified to x */
    QMMI_CL_CODE,       /* qmmn_round_to_code(x): comparisons, NaN, float to int */
    QMMI_CL_DIFFERENCE, /* of the bits of x and y as integers: 64 bits to float (qmmn_dequantize) */
    QMMI_CL_HALF,       /* qmmn_f16_to_f32 of the low bits of z */
    QMMI_CL_TO_HALF,    /* qmmn_f32_to_f16(x), as an integer */
    QMMI_CL_RESULTS
};

typedef struct qmmi_cl_arithmetic {
    cl_long results; /* where they are: bytes */
    cl_int cases, unused;
} qmmi_cl_arithmetic;

#ifndef __OPENCL_VERSION__
#include "opencl.h"

/* *divides: the division is correctly rounded in all cases. *computes: so is everything else. Waits. */
qmm_status qmmi_opencl_test_arithmetic(qmm_context *context, bool *divides, bool *computes);
#endif

#endif
