/* SPDX-License-Identifier: Apache-2.0
 *
 * What every kernel begins with. OpenCL C 1.2; nothing here or below needs an extension unless it says so.
 *
 * QMM_EXACT_DIVISION, a build option: the device says that it divides correctly rounded, and arithmetic.c found nothing
 * else. Without it division is done in integers. */
#ifndef QMM_OPENCL_DEVICE_CL
#define QMM_OPENCL_DEVICE_CL

#ifndef QMM_EXACT_DIVISION
#define QMMN_DIV(a, b) divide(a, b)
static float divide(float a, float b);
#endif

#include "../host/numerics.h"
#include "arguments.h"

#ifndef QMM_EXACT_DIVISION
#include "divide.cl"
#endif

#define MEMORY __global uchar *

/* For functions that get a kernel's arguments by their address: where one is called, a compiler copies them to private
 * memory. */
#define INLINE __attribute__((always_inline)) static

#endif
