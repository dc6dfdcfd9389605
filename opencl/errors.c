/* SPDX-License-Identifier: Apache-2.0
 *
 * What the driver answers, in our words. */
#include "context.h"

static const struct {
    cl_int result;
    const char *name;
    qmm_status status;
} meanings[] = {
    /* Something can be freed, and the next call works. */
    { CL_MEM_OBJECT_ALLOCATION_FAILURE, "CL_MEM_OBJECT_ALLOCATION_FAILURE", QMM_OUT_OF_MEMORY },
    { CL_OUT_OF_HOST_MEMORY, "CL_OUT_OF_HOST_MEMORY", QMM_OUT_OF_MEMORY },
    { CL_INVALID_BUFFER_SIZE, "CL_INVALID_BUFFER_SIZE", QMM_OUT_OF_MEMORY }, /* more than one allocation may have */

    /* NVIDIA's and others' word for a kernel that went wrong, found at whatever call comes next; where a call makes
     * something, or launches and the queue goes on, it is no more than what it says (qmmi_opencl_fail_to_make, launch.c). */
    { CL_OUT_OF_RESOURCES, "CL_OUT_OF_RESOURCES", QMM_DEVICE_FAILED },
    { CL_DEVICE_NOT_AVAILABLE, "CL_DEVICE_NOT_AVAILABLE", QMM_DEVICE_FAILED },
    { CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST, "CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST", QMM_DEVICE_FAILED },
    { CL_INVALID_COMMAND_QUEUE, "CL_INVALID_COMMAND_QUEUE", QMM_DEVICE_FAILED },
    { -9999, "NVIDIA: illegal access by a kernel", QMM_DEVICE_FAILED },

    { CL_COMPILER_NOT_AVAILABLE, "CL_COMPILER_NOT_AVAILABLE", QMM_BUILD_FAILED },
    { CL_BUILD_PROGRAM_FAILURE, "CL_BUILD_PROGRAM_FAILURE", QMM_BUILD_FAILED },
    { CL_INVALID_BUILD_OPTIONS, "CL_INVALID_BUILD_OPTIONS", QMM_BUILD_FAILED },
    { CL_INVALID_PROGRAM_EXECUTABLE, "CL_INVALID_PROGRAM_EXECUTABLE", QMM_BUILD_FAILED },
    { CL_INVALID_KERNEL_NAME, "CL_INVALID_KERNEL_NAME", QMM_BUILD_FAILED },

    /* The caller's context, queue or memory is not what was said. */
    { CL_INVALID_CONTEXT, "CL_INVALID_CONTEXT", QMM_INVALID_ARGUMENT },
    { CL_INVALID_MEM_OBJECT, "CL_INVALID_MEM_OBJECT", QMM_INVALID_ARGUMENT },
    { CL_INVALID_OPERATION, "CL_INVALID_OPERATION", QMM_INVALID_ARGUMENT }, /* memory that the host may not touch */
    { CL_MISALIGNED_SUB_BUFFER_OFFSET, "CL_MISALIGNED_SUB_BUFFER_OFFSET", QMM_INVALID_ARGUMENT },
    { CL_MEM_COPY_OVERLAP, "CL_MEM_COPY_OVERLAP", QMM_INVALID_ARGUMENT }, /* sub-buffers of one buffer */

    /* Defects of ours. */
    { CL_INVALID_VALUE, "CL_INVALID_VALUE", QMM_INTERNAL },
    { CL_INVALID_ARG_SIZE, "CL_INVALID_ARG_SIZE", QMM_INTERNAL },
    { CL_INVALID_ARG_INDEX, "CL_INVALID_ARG_INDEX", QMM_INTERNAL },
    { CL_INVALID_KERNEL_ARGS, "CL_INVALID_KERNEL_ARGS", QMM_INTERNAL },
    { CL_INVALID_WORK_GROUP_SIZE, "CL_INVALID_WORK_GROUP_SIZE", QMM_INTERNAL },
    { CL_INVALID_WORK_ITEM_SIZE, "CL_INVALID_WORK_ITEM_SIZE", QMM_INTERNAL },
};

qmm_status qmmi_opencl_fail_to_make(qmm_context *context, const char *call, cl_int result) {
    if (result != CL_OUT_OF_RESOURCES) return qmmi_opencl_fail(context, call, result);
    return qmmi_fail(context, QMM_OUT_OF_MEMORY, call, "CL_OUT_OF_RESOURCES (%d)", (int)result);
}

qmm_status qmmi_opencl_fail(qmm_context *context, const char *call, cl_int result) {
    for (size_t i = 0; i < sizeof meanings / sizeof meanings[0]; i++) {
        if (meanings[i].result != result) continue;
        return qmmi_fail(context, meanings[i].status, call, "%s (%d)%s", meanings[i].name, (int)result,
                         meanings[i].status == QMM_DEVICE_FAILED ? ", which may be of work queued earlier" : "");
    }
    return qmmi_fail(context, QMM_INTERNAL, call, "OpenCL's error %d", (int)result);
}
