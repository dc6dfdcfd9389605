/* SPDX-License-Identifier: Apache-2.0
 *
 * A context's OpenCL state, and how every driver call is made with it. */
#ifndef QMMI_OPENCL_CONTEXT_H
#define QMMI_OPENCL_CONTEXT_H

#include "../host/context.h"
#include "device.h"
#include "opencl.h"
#include "programs.h"

typedef struct qmmi_opencl_state {
    const qmmi_opencl_api *api;
    const qmmi_opencl_facts *facts;
    qmmi_opencl_programs *programs; /* and the cl_context they are built in */
    cl_context context;
    cl_command_queue queue, own_queue; /* what the context works on; and what is ours to release */
    void *nothing;                     /* a little memory, for arguments that are not there */
    char *cache_directory;             /* a copy; NULL: built programs are not kept on disk */
    /* This context's own, because a cl_kernel holds its arguments. NULL: not used yet. */
    cl_kernel kernels[QMMI_OPENCL_KERNEL_COUNT];
} qmmi_opencl_state;

static inline qmmi_opencl_state *qmmi_opencl_state_of(const qmm_context *context) {
    return context->device_state;
}

/* ---- errors (errors.c) ------------------------------------------------------------------------------------------- */

/* The status for a driver's result, as the text "call: CL_... (number)" of the context. */
qmm_status qmmi_opencl_fail(qmm_context *context, const char *call, cl_int result);
/* Of a call that makes something. */
qmm_status qmmi_opencl_fail_to_make(qmm_context *context, const char *call, cl_int result);

/* Makes a driver call that gives its result; returns from the function it stands in if that fails. */
#define CL_TRY(context, call, ...)                                                           \
    do {                                                                                     \
        const cl_int tried_call = qmmi_opencl_state_of(context)->api->call(__VA_ARGS__);     \
        if (tried_call != CL_SUCCESS) return qmmi_opencl_fail((context), #call, tried_call); \
    } while (0)

/* ---- slots of the backend ----------------------------------------------------------------------------------------- */

/* context.c */
qmm_status qmmi_opencl_open(qmm_context *context, int device, const qmm_context_options *options);
void qmmi_opencl_close(qmm_context *context);
qmm_status qmmi_opencl_synchronize(qmm_context *context);
void *qmmi_opencl_get_queue(const qmm_context *context);
qmm_status qmmi_opencl_set_queue(qmm_context *context, void *native_queue);

/* timer.c */
qmm_status qmmi_opencl_timer_create(qmm_context *context, void **pair);
qmm_status qmmi_opencl_timer_record(qmm_context *context, void *pair, bool end);
qmm_status qmmi_opencl_timer_seconds(qmm_context *context, void *pair, double *seconds);
void qmmi_opencl_timer_free(qmm_context *context, void *pair);

/* launch.c */
qmm_status qmmi_opencl_prepare(qmm_context *context);

/* memory.c; create is allocate without the caller's allocator */
qmm_status qmmi_opencl_create(qmm_context *context, size_t bytes, void **memory);
qmm_status qmmi_opencl_allocate(qmm_context *context, size_t bytes, void **memory);
void qmmi_opencl_release(qmm_context *context, void *memory, size_t bytes);
qmm_status qmmi_opencl_check_memory(qmm_context *context, const char *function, void *memory, size_t bytes);
qmm_status qmmi_opencl_upload(qmm_context *context, void *memory, size_t offset, const void *source, size_t bytes,
                              bool wait);
qmm_status qmmi_opencl_download(qmm_context *context, const void *memory, size_t offset, void *target, size_t bytes,
                                bool wait);
qmm_status qmmi_opencl_copy(qmm_context *context, void *target, size_t target_offset, const void *source,
                            size_t source_offset, size_t bytes);
qmm_status qmmi_opencl_fill(qmm_context *context, void *memory, size_t offset, uint8_t value, size_t bytes);

#endif
