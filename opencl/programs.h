/* SPDX-License-Identifier: Apache-2.0
 *
 * Programs, built at their first use, and shared by all contexts on one device and cl_context. */
#ifndef QMMI_OPENCL_PROGRAMS_H
#define QMMI_OPENCL_PROGRAMS_H

#include "device.h"

/* What arithmetic.c found. */
typedef enum qmmi_opencl_arithmetic {
    QMMI_OPENCL_ARITHMETIC_UNKNOWN,
    QMMI_OPENCL_ARITHMETIC_EXACT,
    QMMI_OPENCL_ARITHMETIC_NO_DIVISION, /* exact but for division, which is then done in integers */
    QMMI_OPENCL_ARITHMETIC_OTHER        /* no kernel here would give the right bits */
} qmmi_opencl_arithmetic;

typedef struct qmmi_opencl_programs qmmi_opencl_programs;

/* The programs of that device in that cl_context, or in the one that contexts without a caller's share (NULL); made if
 * these are its first. NULL, and the driver's result, if that fails. Thread-safe, as is everything here. */
qmmi_opencl_programs *qmmi_opencl_programs_acquire(const qmmi_opencl_facts *facts, cl_context context, cl_int *result);
void qmmi_opencl_programs_release(qmmi_opencl_programs *programs);
cl_context qmmi_opencl_programs_context(const qmmi_opencl_programs *programs);

/* Finds out, once, what arithmetic.c can say of the device. QMM_UNSUPPORTED if no kernel here would be right on it. */
qmm_status qmmi_opencl_know_arithmetic(qmm_context *context);

/* One of them, built if it is not. QMM_BUILD_FAILED and the compiler's log if it does not build, now or before; the
 * arithmetic is known first, but for the program that finds it out. */
qmm_status qmmi_opencl_program_get(qmm_context *context, qmmi_opencl_program program, cl_program *built);

#endif
