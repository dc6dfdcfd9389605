/* SPDX-License-Identifier: Apache-2.0
 *
 * What the host files of the OpenCL backend give one another: for those of the operations, all they see of a context. */
#ifndef QMMI_OPENCL_H
#define QMMI_OPENCL_H

#include "../host/backend.h"
#include "../host/share.h"
#include "arguments.h"
#include "kernels.h"

/* context->capabilities. A bit says what the device reports; that it is true, the row's known-answer test must show. */
enum {
    QMMI_OPENCL_CPU = 1 << 0,          /* CL_DEVICE_TYPE_CPU */
    QMMI_OPENCL_INTEGER_DOT = 1 << 1,  /* cl_khr_integer_dot_product, 4 x 8 bits packed, reported as accelerated */
    QMMI_OPENCL_ARM_DOT = 1 << 2,      /* cl_arm_integer_dot_product_accumulate_int8 */
    QMMI_OPENCL_NV_DP4A = 1 << 3,      /* NVIDIA's platform, vendor and compute capability 6.1 or above */
    QMMI_OPENCL_NV_MMA = 1 << 4,       /* ... 8.0 or above */
    QMMI_OPENCL_INTEL_DPAS8 = 1 << 5,  /* cl_intel_subgroup_matrix_multiply_accumulate, and subgroups of 8 ... */
    QMMI_OPENCL_INTEL_DPAS16 = 1 << 6, /* ... of 16; both only with QMM_OPENCL_DPAS=1 in the environment */
    QMMI_OPENCL_X86_VNNI = 1 << 7      /* a CPU device of PoCL's in this process, whose CPU has AVX512-VNNI */
};

/* What rows may ask of the device. */
typedef struct qmmi_opencl_device {
    int compute_units;
    size_t local_bytes; /* of local memory for a work-group */
    size_t max_group;   /* work-items of a work-group */
    int64_t max_turns;  /* of all the loops of a work-item: its driver stops it there, without a word */
} qmmi_opencl_device;

const qmmi_opencl_device *qmmi_opencl_device_of(const qmm_context *context);

/* Memory that is an argument of a kernel: a cl_mem, or NULL where there is none (the kernel must not touch it then). */
typedef void *qmmi_opencl_memory;

/* What is launched: `groups` work-groups of `local` work-items each way, 1 in those not used. */
typedef struct qmmi_opencl_grid {
    int64_t groups[3];
    size_t local[3];
} qmmi_opencl_grid;

/* Queues one kernel: its first argument is a copy of the struct, the others are memory. The program is built if this is
 * its first use. A grid of no group queues nothing. Errors name the kernel; QMM_UNSUPPORTED where the kernel needs more
 * local memory or larger work-groups than the device has, which is found before the driver is asked. */
qmm_status qmmi_opencl_launch(qmm_context *context, qmmi_opencl_kernel kernel, const qmmi_opencl_grid *grid,
                              const void *arguments, size_t argument_bytes, const qmmi_opencl_memory *memory,
                              int memory_count);

/* Makes the kernel, and finds out whether the device has room for groups of so many items: for operations of several
 * kernels, which must not fail between them. */
qmm_status qmmi_opencl_need(qmm_context *context, qmmi_opencl_kernel kernel, size_t items);

/* ---- arguments (arguments.c): host/problem.h's structs without their pointers -------------------------------------- */

qmmi_cl_view qmmi_opencl_view(const qmmi_view *view);
qmmi_cl_param qmmi_opencl_param(const qmmi_param *param);
qmmi_cl_quant qmmi_opencl_quant(const qmmi_quant *quant);
qmmi_cl_operand qmmi_opencl_operand(const qmmi_operand *operand);

/* The whole problem, and its memory in the order of QMMI_CL_SOURCE ... / QMMI_CL_A ... */
void qmmi_opencl_convert(const qmmi_convert_problem *p, qmmi_cl_convert *arguments,
                         qmmi_opencl_memory memory[QMMI_CL_CONVERT_MEMORY]);
void qmmi_opencl_matmul_problem(const qmmi_matmul_problem *p, qmmi_cl_matmul_problem *arguments,
                                qmmi_opencl_memory memory[QMMI_CL_MATMUL_MEMORY]);

#endif
