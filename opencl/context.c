/* SPDX-License-Identifier: Apache-2.0
 *
 * A context's OpenCL state: a cl_context (the caller's, or one that all contexts of the device share, so that buffers go
 * from one to the other), an in-order queue, and its own kernels. */
#include "context.h"

#include <string.h>

#include "programs.h"

/* ---- the caller's queue -------------------------------------------------------------------------------------------- */

typedef struct queue_facts {
    cl_context context;
    cl_device_id device;
    cl_command_queue_properties properties;
} queue_facts;

static qmm_status ask_queue(qmm_context *context, const char *function, cl_command_queue queue, queue_facts *facts) {
    const qmmi_opencl_api *api = qmmi_opencl_load();
    if (api->clGetCommandQueueInfo(queue, CL_QUEUE_CONTEXT, sizeof facts->context, &facts->context, NULL) !=
            CL_SUCCESS ||
        api->clGetCommandQueueInfo(queue, CL_QUEUE_DEVICE, sizeof facts->device, &facts->device, NULL) != CL_SUCCESS ||
        api->clGetCommandQueueInfo(queue, CL_QUEUE_PROPERTIES, sizeof facts->properties, &facts->properties, NULL) !=
            CL_SUCCESS)
        return qmmi_fail(context, QMM_INVALID_ARGUMENT, function, "native_queue is not a cl_command_queue");
    if (facts->properties & CL_QUEUE_OUT_OF_ORDER_EXEC_MODE_ENABLE)
        return qmmi_fail(context, QMM_INVALID_ARGUMENT, function,
                         "native_queue is out of order: the work of a context needs an in-order queue");
    return QMM_OK;
}

static qmm_status check_device(qmm_context *context, const char *function, cl_device_id device) {
    const qmmi_opencl_state *s = qmmi_opencl_state_of(context);
    const int index = qmmi_opencl_device_find(device);
    if (device == s->facts->handle) return QMM_OK;
    if (index < 0)
        return qmmi_fail(context, QMM_INVALID_ARGUMENT, function,
                         "native_queue is of a device that qmm does not use, not of %s", s->facts->info.name);
    return qmmi_fail(context, QMM_INVALID_ARGUMENT, function, "native_queue is of %s, not of %s",
                     qmmi_opencl_device_facts(index)->info.name, s->facts->info.name);
}

qmm_status qmmi_opencl_set_queue(qmm_context *context, void *native_queue) {
    qmmi_opencl_state *s = qmmi_opencl_state_of(context);
    queue_facts facts;
    QMMI_TRY(ask_queue(context, "qmm_context_set_queue", native_queue, &facts));
    QMMI_TRY(check_device(context, "qmm_context_set_queue", facts.device));
    if (facts.context != s->context)
        return qmmi_fail(context, QMM_INVALID_ARGUMENT, "qmm_context_set_queue",
                         "native_queue is of another cl_context than this context's");
    s->queue = native_queue;
    return QMM_OK;
}

void *qmmi_opencl_get_queue(const qmm_context *context) {
    return qmmi_opencl_state_of(context)->queue;
}

qmm_status qmmi_opencl_synchronize(qmm_context *context) {
    CL_TRY(context, clFinish, qmmi_opencl_state_of(context)->queue);
    return QMM_OK;
}

/* ---- open and close ------------------------------------------------------------------------------------------------ */

/* Does the caller's cl_context have the device? */
static qmm_status check_native_context(qmm_context *context, cl_context native) {
    const qmmi_opencl_state *s = qmmi_opencl_state_of(context);
    cl_device_id devices[64];
    size_t bytes = 0;
    if (s->api->clGetContextInfo(native, CL_CONTEXT_DEVICES, sizeof devices, devices, &bytes) != CL_SUCCESS)
        return qmmi_fail(context, QMM_INVALID_ARGUMENT, "qmm_context_open", "native_context is not a cl_context");
    for (size_t i = 0; i < bytes / sizeof *devices; i++)
        if (devices[i] == s->facts->handle) return QMM_OK;
    return qmmi_fail(context, QMM_INVALID_ARGUMENT, "qmm_context_open", "native_context does not have the device %s",
                     s->facts->info.name);
}

/* The caller's cl_context: given, or that of the queue given. NULL: neither. */
static qmm_status find_native(qmm_context *context, const qmm_context_options *options, cl_context *native) {
    queue_facts facts;
    *native = options->native_context;
    if (options->native_queue) {
        QMMI_TRY(ask_queue(context, "qmm_context_open", options->native_queue, &facts));
        QMMI_TRY(check_device(context, "qmm_context_open", facts.device));
        if (*native && *native != facts.context)
            return qmmi_fail(context, QMM_INVALID_ARGUMENT, "qmm_context_open",
                             "native_queue is of another cl_context than native_context");
        *native = facts.context;
    }
    return *native ? check_native_context(context, *native) : QMM_OK;
}

static qmm_status open_queue(qmm_context *context, const qmm_context_options *options) {
    qmmi_opencl_state *s = qmmi_opencl_state_of(context);
    const cl_command_queue_properties properties = options->profile ? CL_QUEUE_PROFILING_ENABLE : 0;
    cl_int result = CL_SUCCESS;
    s->queue = options->native_queue;
    if (s->queue) return QMM_OK;
    s->own_queue = s->api->clCreateCommandQueue(s->context, s->facts->handle, properties, &result);
    if (!s->own_queue) return qmmi_opencl_fail_to_make(context, "clCreateCommandQueue", result);
    s->queue = s->own_queue;
    return QMM_OK;
}

static qmm_status copy_directory(qmm_context *context, const char *directory) {
    qmmi_opencl_state *s = qmmi_opencl_state_of(context);
    if (!directory) return QMM_OK;
    if (!*directory)
        return qmmi_fail(context, QMM_INVALID_ARGUMENT, "qmm_context_open",
                         "cache_directory of options is an empty text");
    s->cache_directory = qmmi_allocate(context, strlen(directory) + 1);
    if (!s->cache_directory)
        return qmmi_fail(context, QMM_OUT_OF_MEMORY, "qmm_context_open", "no memory for cache_directory");
    memcpy(s->cache_directory, directory, strlen(directory) + 1);
    return QMM_OK;
}

static qmm_status open_parts(qmm_context *context, const qmm_context_options *options) {
    qmmi_opencl_state *s = qmmi_opencl_state_of(context);
    cl_context native;
    cl_int result = CL_SUCCESS;
    qmm_status status;
    QMMI_TRY(find_native(context, options, &native));
    s->programs = qmmi_opencl_programs_acquire(s->facts, native, &result);
    if (!s->programs) return qmmi_opencl_fail_to_make(context, "clCreateContext", result);
    s->context = qmmi_opencl_programs_context(s->programs);
    context->device_key = s->context;
    QMMI_TRY(open_queue(context, options));
    status = qmmi_opencl_create(context, QMMI_ALIGNMENT, &s->nothing);
    if (status == QMM_OUT_OF_MEMORY) return qmmi_fail(context, status, "qmm_context_open", "no device memory at all");
    QMMI_TRY(status);
    return copy_directory(context, options->cache_directory);
}

qmm_status qmmi_opencl_open(qmm_context *context, int device, const qmm_context_options *options) {
    qmmi_opencl_state *s = qmmi_allocate(context, sizeof *s);
    qmm_status status;
    if (!s) return qmmi_fail(context, QMM_OUT_OF_MEMORY, "qmm_context_open", "no memory for the OpenCL device");
    *s = (qmmi_opencl_state){ .api = qmmi_opencl_load(), .facts = qmmi_opencl_device_facts(device) };
    context->device_state = s;
    context->capabilities = s->facts->capabilities;
    status = open_parts(context, options);
    if (status != QMM_OK) qmmi_opencl_close(context);
    return status;
}

/* In reverse order. */
void qmmi_opencl_close(qmm_context *context) {
    qmmi_opencl_state *s = qmmi_opencl_state_of(context);
    for (int k = 0; k < QMMI_OPENCL_KERNEL_COUNT; k++)
        if (s->kernels[k]) s->api->clReleaseKernel(s->kernels[k]);
    if (s->cache_directory) qmmi_release(context, s->cache_directory, strlen(s->cache_directory) + 1);
    if (s->nothing) s->api->clReleaseMemObject(s->nothing);
    if (s->own_queue) s->api->clReleaseCommandQueue(s->own_queue);
    if (s->programs) qmmi_opencl_programs_release(s->programs);
    qmmi_release(context, s, sizeof *s);
    context->device_state = NULL;
}
