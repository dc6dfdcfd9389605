/* SPDX-License-Identifier: Apache-2.0
 *
 * Launching kernels. At a kernel's first launch on a context its program is built, if no other context has; after that
 * a launch sets the arguments and queues. */
#include <limits.h>

#include "context.h"

static const struct {
    const char *name;
    qmmi_opencl_program program;
} kernels[] = {
#define KERNEL_LINE(program, kernel) { #kernel, QMMI_OPENCL_PROGRAM_##program },
    QMMI_OPENCL_KERNELS(KERNEL_LINE)
#undef KERNEL_LINE
};

const qmmi_opencl_device *qmmi_opencl_device_of(const qmm_context *context) {
    return &qmmi_opencl_state_of(context)->facts->device;
}

/* ---- making a kernel ----------------------------------------------------------------------------------------------- */

/* What drivers do with a launch that asks for too much differs, and one aborts the process: it is found out here. */
static qmm_status check_local(qmm_context *context, qmmi_opencl_kernel kernel, cl_kernel made) {
    const qmmi_opencl_state *s = qmmi_opencl_state_of(context);
    const size_t most = s->facts->device.local_bytes;
    cl_ulong bytes = 0;
    CL_TRY(context, clGetKernelWorkGroupInfo, made, s->facts->handle, CL_KERNEL_LOCAL_MEM_SIZE, sizeof bytes, &bytes,
           NULL);
    if (bytes <= most) return QMM_OK;
    return qmmi_fail(context, QMM_UNSUPPORTED, kernels[kernel].name,
                     "needs %llu bytes of local memory, the device has %zu", (unsigned long long)bytes, most);
}

static qmm_status make_kernel(qmm_context *context, qmmi_opencl_kernel kernel) {
    qmmi_opencl_state *s = qmmi_opencl_state_of(context);
    cl_program program;
    cl_kernel made;
    qmm_status status;
    cl_int result;
    QMMI_TRY(qmmi_opencl_program_get(context, kernels[kernel].program, &program));
    made = s->api->clCreateKernel(program, kernels[kernel].name, &result);
    if (!made) return qmmi_opencl_fail_to_make(context, kernels[kernel].name, result);
    status = check_local(context, kernel, made);
    if (status == QMM_OK)
        s->kernels[kernel] = made;
    else
        s->api->clReleaseKernel(made);
    return status;
}

/* ---- the launch ---------------------------------------------------------------------------------------------------- */

static qmm_status set_arguments(qmm_context *context, qmmi_opencl_kernel kernel, const void *arguments,
                                size_t argument_bytes, const qmmi_opencl_memory *memory, int memory_count) {
    const qmmi_opencl_state *s = qmmi_opencl_state_of(context);
    cl_int result = s->api->clSetKernelArg(s->kernels[kernel], 0, argument_bytes, arguments);
    for (int i = 0; i < memory_count && result == CL_SUCCESS; i++) {
        const cl_mem there = memory[i] ? memory[i] : s->nothing;
        result = s->api->clSetKernelArg(s->kernels[kernel], (cl_uint)i + 1, sizeof there, &there);
    }
    return result == CL_SUCCESS ? QMM_OK : qmmi_opencl_fail_to_make(context, kernels[kernel].name, result);
}

/* The device's own limit. That of the kernel (CL_KERNEL_WORK_GROUP_SIZE) one driver gives as 32 for everything, and then
 * runs larger groups: what a kernel's registers do not allow, the launch will say. */
static qmm_status check_group(qmm_context *context, qmmi_opencl_kernel kernel, size_t items) {
    const size_t most = qmmi_opencl_device_of(context)->max_group;
    if (items <= most) return QMM_OK;
    return qmmi_fail(context, QMM_UNSUPPORTED, kernels[kernel].name, "needs work-groups of %zu, the device has %zu",
                     items, most);
}

qmm_status qmmi_opencl_need(qmm_context *context, qmmi_opencl_kernel kernel, size_t items) {
    if (!qmmi_opencl_state_of(context)->kernels[kernel]) QMMI_TRY(make_kernel(context, kernel));
    return check_group(context, kernel, items);
}

/* Too much for this device, or is the device at fault? The queue tells. */
static qmm_status fail_to_launch(qmm_context *context, qmmi_opencl_kernel kernel, cl_int result) {
    const qmmi_opencl_state *s = qmmi_opencl_state_of(context);
    const bool too_much = result == CL_OUT_OF_RESOURCES || result == CL_INVALID_WORK_GROUP_SIZE;
    if (!too_much || s->api->clFinish(s->queue) != CL_SUCCESS)
        return qmmi_opencl_fail(context, kernels[kernel].name, result);
    return qmmi_fail(context, QMM_UNSUPPORTED, kernels[kernel].name, "the device lacks resources for this kernel (%d)",
                     (int)result);
}

qmm_status qmmi_opencl_launch(qmm_context *context, qmmi_opencl_kernel kernel, const qmmi_opencl_grid *grid,
                              const void *arguments, size_t argument_bytes, const qmmi_opencl_memory *memory,
                              int memory_count) {
    const qmmi_opencl_state *s = qmmi_opencl_state_of(context);
    size_t global[3];
    cl_int result;
    for (int i = 0; i < 3; i++) {
        if (grid->groups[i] == 0) return QMM_OK;
        global[i] = (size_t)grid->groups[i] * grid->local[i];
    }
    QMMI_TRY(qmmi_opencl_need(context, kernel, grid->local[0] * grid->local[1] * grid->local[2]));
    QMMI_TRY(set_arguments(context, kernel, arguments, argument_bytes, memory, memory_count));
    result = s->api->clEnqueueNDRangeKernel(s->queue, s->kernels[kernel], 3, NULL, global, grid->local, 0, NULL, NULL);
    return result == CL_SUCCESS ? QMM_OK : fail_to_launch(context, kernel, result);
}

/* ---- ahead of time ------------------------------------------------------------------------------------------------- */

static const uint32_t needs[] = {
#define PROGRAM_NEEDS(program, source, options, needs) needs,
    QMMI_OPENCL_PROGRAMS(PROGRAM_NEEDS)
#undef PROGRAM_NEEDS
};

/* What only some devices have is no error where it is not to be had: its rows are refused. What every device should have
 * is one. All others are made all the same. */
qmm_status qmmi_opencl_prepare(qmm_context *context) {
    qmm_status first_failure = QMM_OK;
    QMMI_TRY(qmmi_opencl_know_arithmetic(context));
    for (int k = 0; k < QMMI_OPENCL_KERNEL_COUNT; k++) {
        const uint32_t wanted = needs[kernels[k].program];
        qmm_status status = QMM_OK;
        if ((wanted & context->capabilities) != wanted) continue;
        if (!qmmi_opencl_state_of(context)->kernels[k]) status = make_kernel(context, (qmmi_opencl_kernel)k);
        if (status == QMM_OUT_OF_MEMORY || status == QMM_DEVICE_FAILED || status == QMM_INTERNAL) return status;
        if (status == QMM_BUILD_FAILED && wanted == 0 && first_failure == QMM_OK) first_failure = status;
        qmmi_log(context, QMM_LOG_INFO, "OpenCL: kernel %d of %d: %s%s", k + 1, (int)QMMI_OPENCL_KERNEL_COUNT,
                 kernels[k].name, status == QMM_OK ? "" : " is not to be had");
    }
    return first_failure;
}
