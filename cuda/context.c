/* SPDX-License-Identifier: Apache-2.0
 *
 * A context's CUDA state: the device's primary context, which the CUDA runtime and everything above it use too, so that
 * their pointers and streams work here; a stream; the kernels, all loaded at once, because a stream under capture allows
 * no loading. */
#include "context.h"

#include <stdint.h>
#include <string.h>

#include "images.h"

/* ---- kernels ----------------------------------------------------------------------------------------------------- */

static const struct {
    const char *image, *kernel;
    int shared_bytes;
} kernels[] = {
#define KERNEL_LINE(image, kernel, shared_bytes) { #image, #kernel, (shared_bytes) },
    QMMI_CUDA_KERNELS(KERNEL_LINE)
#undef KERNEL_LINE
};

/* What a block may have without asking is 48 KiB, static arrays included; those of our kernels have up to 4 KiB. */
#define SHARED_BYTES_STATIC (4 * 1024)
#define SHARED_BYTES_FREE (48 * 1024 - SHARED_BYTES_STATIC)

/* On a device that has not so much, the rows that launch the kernel are not for it. */
static qmm_status allow_shared(qmm_context *context, cu_function function, int bytes) {
    const qmmi_cuda_state *s = qmmi_cuda_state_of(context);
    int most = 0;
    if (bytes <= SHARED_BYTES_FREE) return QMM_OK;
    CU_TRY(context, cuDeviceGetAttribute, &most, CU_DEVICE_SHARED_BYTES_MAX, s->facts->handle);
    if (bytes <= most - SHARED_BYTES_STATIC)
        CU_TRY(context, cuFuncSetAttribute, function, CU_FUNCTION_MAX_DYNAMIC_SHARED_BYTES, bytes);
    return QMM_OK;
}

static qmm_status find_kernel(qmm_context *context, int kernel, cu_module module) {
    qmmi_cuda_state *s = qmmi_cuda_state_of(context);
    cu_function *function = &s->functions[kernel];
    if (s->driver->cuModuleGetFunction(function, module, kernels[kernel].kernel) != CU_SUCCESS) {
        *function = NULL; /* a launch will say so */
        return QMM_OK;
    }
    QMMI_TRY(allow_shared(context, *function, kernels[kernel].shared_bytes));
    /* A lazy driver would load the kernel at its first launch. Of CUDA 12.2 and 12.3, which are lazy too but have no
     * cuFuncLoad, cuModuleGetFunction has loaded it; older ones loaded all with the module. */
    if (s->driver->cuFuncLoad) CU_TRY(context, cuFuncLoad, *function);
    return QMM_OK;
}

/* A driver refuses an image that has no code for its device. */
static bool is_loaded(const qmm_context *context, const char *image) {
    static const struct {
        const char *image;
        uint32_t needs;
    } of_some[] = {
#define IMAGE_LINE(image, needs) { #image, (needs) },
        QMMI_CUDA_IMAGES_OF_SOME(IMAGE_LINE)
#undef IMAGE_LINE
    };
    for (size_t i = 0; i < sizeof of_some / sizeof of_some[0]; i++)
        if (strcmp(image, of_some[i].image) == 0) return (of_some[i].needs & context->capabilities) != 0;
    return true;
}

static qmm_status load_kernels(qmm_context *context) {
    qmmi_cuda_state *s = qmmi_cuda_state_of(context);
    int module_of[QMMI_CUDA_KERNEL_COUNT];
    for (int k = 0; k < QMMI_CUDA_KERNEL_COUNT; k++) {
        int same = 0;
        if (!is_loaded(context, kernels[k].image)) continue;
        while (same < k && strcmp(kernels[same].image, kernels[k].image) != 0) same++;
        module_of[k] = same < k ? module_of[same] : s->module_count;
        if (same == k) {
            CU_TRY(context, cuModuleLoadData, &s->modules[s->module_count], qmmi_cuda_image(kernels[k].image));
            s->module_count++;
        }
        QMMI_TRY(find_kernel(context, k, s->modules[module_of[k]]));
    }
    return QMM_OK;
}

/* ---- the caller's stream ------------------------------------------------------------------------------------------- */

/* The two default streams have numbers for handles, and belong to whatever context is current. */
static bool is_default_stream(const void *stream) {
    return (uintptr_t)stream <= 2;
}

/* A stream of another device or CUDA context would fail at some later call, without a word of why. */
static qmm_status set_stream(qmm_context *context, const char *function, void *stream) {
    qmmi_cuda_state *s = qmmi_cuda_state_of(context);
    cu_context owner = s->primary;
    cu_result result = CU_SUCCESS;
    bool entered;
    if (!is_default_stream(stream)) {
        result = qmmi_cuda_enter(s, &entered);
        if (result == CU_SUCCESS) result = s->driver->cuStreamGetCtx(stream, &owner);
        qmmi_cuda_leave(s, entered);
    }
    if (result != CU_SUCCESS) return qmmi_cuda_fail(context, "cuStreamGetCtx", result);
    if (owner != s->primary)
        return qmmi_fail(context, QMM_INVALID_ARGUMENT, function,
                         "native_queue is a stream of another CUDA context than the primary one of device %d",
                         (int)s->facts->handle);
    s->stream = stream;
    return QMM_OK;
}

/* ---- open and close ---------------------------------------------------------------------------------------------- */

/* With the primary context current. */
static qmm_status open_parts(qmm_context *context, const qmm_context_options *options) {
    qmmi_cuda_state *s = qmmi_cuda_state_of(context);
    if (options->native_queue) {
        QMMI_TRY(set_stream(context, "qmm_context_open", options->native_queue));
    } else {
        CU_TRY(context, cuStreamCreate, &s->own_stream, CU_STREAM_NON_BLOCKING_FLAG);
        s->stream = s->own_stream;
    }
    QMMI_TRY(qmmi_cuda_staging_open(context));
    return load_kernels(context);
}

static void close_parts(qmm_context *context) {
    qmmi_cuda_state *s = qmmi_cuda_state_of(context);
    qmmi_cuda_cublaslt_close(context);
    qmmi_cuda_staging_close(context);
    while (s->module_count > 0) s->driver->cuModuleUnload(s->modules[--s->module_count]);
    if (s->own_stream) s->driver->cuStreamDestroy(s->own_stream);
}

qmm_status qmmi_cuda_open(qmm_context *context, int device, const qmm_context_options *options) {
    qmmi_cuda_state *s = qmmi_allocate(context, sizeof *s);
    qmm_status status;
    cu_result result;
    bool entered;
    if (!s) return qmmi_fail(context, QMM_OUT_OF_MEMORY, "qmm_context_open", "no memory for the CUDA device");
    *s = (qmmi_cuda_state){ .driver = qmmi_cuda_driver_load(), .facts = qmmi_cuda_device_facts(device) };
    context->device_state = s;
    result = s->driver->cuDevicePrimaryCtxRetain(&s->primary, s->facts->handle);
    if (result != CU_SUCCESS) {
        s->primary = NULL;
        status = qmmi_cuda_fail(context, "cuDevicePrimaryCtxRetain", result);
    } else if ((result = qmmi_cuda_enter(s, &entered)) != CU_SUCCESS) {
        status = qmmi_cuda_fail(context, "cuCtxPushCurrent", result);
    } else {
        const int mode = qmmi_cuda_relax(s);
        context->capabilities = s->facts->capabilities;
        context->device_key = s->primary;
        status = open_parts(context, options);
        qmmi_cuda_restore(s, mode);
        qmmi_cuda_leave(s, entered);
    }
    if (status != QMM_OK) qmmi_cuda_close(context);
    return status;
}

/* In reverse order. What the driver answers is of no use any more: after a sticky failure nothing can be freed. */
void qmmi_cuda_close(qmm_context *context) {
    qmmi_cuda_state *s = qmmi_cuda_state_of(context);
    bool entered = false;
    if (s->primary) {
        int mode;
        qmmi_cuda_enter(s, &entered);
        mode = qmmi_cuda_relax(s);
        close_parts(context);
        qmmi_cuda_restore(s, mode);
        qmmi_cuda_leave(s, entered);
        s->driver->cuDevicePrimaryCtxRelease(s->facts->handle);
    }
    qmmi_release(context, s, sizeof *s);
    context->device_state = NULL;
}

qmmi_cublaslt *qmmi_cuda_cublaslt_of(const qmm_context *context) {
    return &qmmi_cuda_state_of(context)->cublaslt;
}

/* ---- the queue --------------------------------------------------------------------------------------------------- */

cu_result qmmi_cuda_wait(const qmmi_cuda_state *s) {
    const int mode = qmmi_cuda_relax(s);
    const cu_result result = s->driver->cuStreamSynchronize(s->stream);
    qmmi_cuda_restore(s, mode);
    return result;
}

qmm_status qmmi_cuda_synchronize(qmm_context *context) {
    qmmi_cuda_state *s = qmmi_cuda_state_of(context);
    qmm_status status = QMM_OK;
    bool entered;
    cu_result result = qmmi_cuda_enter(s, &entered);
    if (result == CU_SUCCESS) result = qmmi_cuda_wait(s);
    if (result != CU_SUCCESS) status = qmmi_cuda_fail(context, "cuStreamSynchronize", result);
    if (status == QMM_OK) status = qmmi_cuda_staging_drain(context);
    qmmi_cuda_leave(s, entered);
    return status;
}

/* The legacy stream has no answer while another stream that it would wait for is captured. */
bool qmmi_cuda_capturing(const qmm_context *context) {
    const qmmi_cuda_state *s = qmmi_cuda_state_of(context);
    unsigned status = CU_CAPTURE_NONE;
    bool entered;
    cu_result result = qmmi_cuda_enter(s, &entered);
    if (result == CU_SUCCESS) result = s->driver->cuStreamIsCapturing(s->stream, &status);
    qmmi_cuda_leave(s, entered);
    return result == CU_ERROR_STREAM_CAPTURE_IMPLICIT || (result == CU_SUCCESS && status != CU_CAPTURE_NONE);
}

void *qmmi_cuda_get_queue(const qmm_context *context) {
    return qmmi_cuda_state_of(context)->stream;
}

qmm_status qmmi_cuda_set_queue(qmm_context *context, void *native_queue) {
    return set_stream(context, "qmm_context_set_queue", native_queue);
}
