/* SPDX-License-Identifier: Apache-2.0
 *
 * Device memory and copies. Native memory is a cl_mem. What drivers do with ranges beyond a buffer's end differs (some
 * accept them), so every range was checked before it comes here. */
#include "context.h"

#define MEMORY_ALIGNMENT 128 /* of every cl_mem that a driver makes: of the longest vector of OpenCL C */

/* qmm says const where a cl_mem is only read; OpenCL does not. */
static cl_mem memory_of(const void *memory) {
    return (cl_mem)(uintptr_t)memory;
}

/* Of a creation, not of work: these say that there is no memory. */
static bool is_out_of_memory(cl_int result) {
    return result == CL_MEM_OBJECT_ALLOCATION_FAILURE || result == CL_OUT_OF_HOST_MEMORY ||
           result == CL_OUT_OF_RESOURCES || result == CL_INVALID_BUFFER_SIZE;
}

qmm_status qmmi_opencl_create(qmm_context *context, size_t bytes, void **memory) {
    const qmmi_opencl_state *s = qmmi_opencl_state_of(context);
    cl_int result;
    *memory = s->api->clCreateBuffer(s->context, CL_MEM_READ_WRITE, bytes, NULL, &result);
    if (*memory) return QMM_OK;
    return is_out_of_memory(result) ? QMM_OUT_OF_MEMORY : qmmi_opencl_fail(context, "clCreateBuffer", result);
}

qmm_status qmmi_opencl_allocate(qmm_context *context, size_t bytes, void **memory) {
    const qmm_allocator *a = &context->allocator;
    qmm_status status;
    if (!a->allocate_device) return qmmi_opencl_create(context, bytes, memory);
    *memory = a->allocate_device(a->user, bytes, QMMI_ALIGNMENT);
    if (!*memory) return QMM_OUT_OF_MEMORY;
    status = qmmi_opencl_check_memory(context, "allocate_device of the allocator", *memory, bytes);
    if (status != QMM_OK) a->release_device(a->user, *memory, bytes);
    return status;
}

/* The driver keeps its own memory while queued work uses it; the caller's allocator cannot know. */
void qmmi_opencl_release(qmm_context *context, void *memory, size_t bytes) {
    const qmm_allocator *a = &context->allocator;
    if (!a->release_device) {
        qmmi_opencl_state_of(context)->api->clReleaseMemObject(memory);
        return;
    }
    qmmi_opencl_synchronize(context);
    a->release_device(a->user, memory, bytes);
}

typedef struct memory_facts {
    cl_context context;
    cl_mem_object_type type;
    cl_mem_flags flags;
    void *host;
    size_t bytes;
} memory_facts;

static bool ask_memory(const qmmi_opencl_api *api, cl_mem memory, memory_facts *f) {
    return api->clGetMemObjectInfo(memory, CL_MEM_CONTEXT, sizeof f->context, &f->context, NULL) == CL_SUCCESS &&
           api->clGetMemObjectInfo(memory, CL_MEM_TYPE, sizeof f->type, &f->type, NULL) == CL_SUCCESS &&
           api->clGetMemObjectInfo(memory, CL_MEM_FLAGS, sizeof f->flags, &f->flags, NULL) == CL_SUCCESS &&
           api->clGetMemObjectInfo(memory, CL_MEM_HOST_PTR, sizeof f->host, &f->host, NULL) == CL_SUCCESS &&
           api->clGetMemObjectInfo(memory, CL_MEM_SIZE, sizeof f->bytes, &f->bytes, NULL) == CL_SUCCESS;
}

qmm_status qmmi_opencl_check_memory(qmm_context *context, const char *function, void *memory, size_t bytes) {
    const qmmi_opencl_state *s = qmmi_opencl_state_of(context);
    memory_facts f = { .context = NULL };
    if (!ask_memory(s->api, memory, &f) || f.type != CL_MEM_OBJECT_BUFFER)
        return qmmi_fail(context, QMM_INVALID_ARGUMENT, function, "native is not a cl_mem that is a buffer");
    if (f.context != s->context)
        return qmmi_fail(context, QMM_INVALID_ARGUMENT, function,
                         "native is memory of another cl_context than this context's: give that one as native_context");
    /* A CPU device uses it in place. */
    if ((f.flags & CL_MEM_USE_HOST_PTR) && (uintptr_t)f.host % MEMORY_ALIGNMENT != 0)
        return qmmi_fail(context, QMM_INVALID_ARGUMENT, function,
                         "native uses host memory at %p, which is not aligned to %d bytes as a cl_mem's own is", f.host,
                         MEMORY_ALIGNMENT);
    if (f.bytes < bytes)
        return qmmi_fail(context, QMM_INVALID_ARGUMENT, function, "native has %zu bytes, which is less than bytes %zu",
                         f.bytes, bytes);
    return QMM_OK;
}

qmm_status qmmi_opencl_upload(qmm_context *context, void *memory, size_t offset, const void *source, size_t bytes,
                              bool wait) {
    CL_TRY(context, clEnqueueWriteBuffer, qmmi_opencl_state_of(context)->queue, memory_of(memory), wait, offset, bytes,
           source, 0, NULL, NULL);
    return QMM_OK;
}

qmm_status qmmi_opencl_download(qmm_context *context, const void *memory, size_t offset, void *target, size_t bytes,
                                bool wait) {
    CL_TRY(context, clEnqueueReadBuffer, qmmi_opencl_state_of(context)->queue, memory_of(memory), wait, offset, bytes,
           target, 0, NULL, NULL);
    return QMM_OK;
}

qmm_status qmmi_opencl_copy(qmm_context *context, void *target, size_t target_offset, const void *source,
                            size_t source_offset, size_t bytes) {
    CL_TRY(context, clEnqueueCopyBuffer, qmmi_opencl_state_of(context)->queue, memory_of(source), memory_of(target),
           source_offset, target_offset, bytes, 0, NULL, NULL);
    return QMM_OK;
}

qmm_status qmmi_opencl_fill(qmm_context *context, void *memory, size_t offset, uint8_t value, size_t bytes) {
    CL_TRY(context, clEnqueueFillBuffer, qmmi_opencl_state_of(context)->queue, memory_of(memory), &value, sizeof value,
           offset, bytes, 0, NULL, NULL);
    return QMM_OK;
}
