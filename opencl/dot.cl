/* SPDX-License-Identifier: Apache-2.0
 *
 * Four products of bytes added to a sum: what matmul_dot.cl is made of. A build option chooses the way; tests define
 * QMM_DOT_CL (or QMM_PTX_CL) before this text, and a function of the same name, to run a way without its device. */
#ifndef QMM_DOT_CL
#define QMM_DOT_CL

#if defined(QMM_DOT_NV)

#include "ptx.cl"

static int dot4(int a, int b, int acc) {
    return ptx_dp4a(a, b, acc);
}

#elif defined(QMM_DOT_ARM)

/* cl_arm_integer_dot_product_accumulate_int8 */
#pragma OPENCL EXTENSION cl_arm_integer_dot_product_accumulate_int8 : enable

static int dot4(int a, int b, int acc) {
    return arm_dot_acc(as_char4(a), as_char4(b), acc);
}

#elif defined(QMM_DOT_INTEGER)

/* cl_khr_integer_dot_product, declared from OpenCL C 3.0 on. The form that accumulates saturates, which costs more than
 * the addition. */
static int dot4(int a, int b, int acc) {
    return acc + dot_4x8packed_ss_int((uint)a, (uint)b);
}

#else

/* In this order of operations compilers for Intel's and AMD's GPUs find their instruction for it. */
static int dot4(int a, int b, int acc) {
    const char4 x = as_char4(a), y = as_char4(b);
    return acc + x.x * y.x + x.y * y.y + x.z * y.z + x.w * y.w;
}

#endif

#endif
