/* SPDX-License-Identifier: Apache-2.0
 *
 * Device memory, and copies to and from it. Memory of the caller's that is page-locked is copied as it is; any other goes
 * by way of a ring of page-locked slots, so that an upload returns as soon as its bytes are in the ring, and nothing is
 * allocated. */
#include <stdint.h>
#include <string.h>

#include "context.h"

static cu_pointer pointer(const void *memory, size_t offset) {
    return (cu_pointer)(uintptr_t)memory + offset;
}

/* ---- allocation -------------------------------------------------------------------------------------------------- */

static cu_result allocate(const qmmi_cuda_state *s, size_t bytes, void **memory) {
    cu_pointer made = 0;
    bool entered;
    cu_result result = qmmi_cuda_enter(s, &entered);
    if (result == CU_SUCCESS) {
        const int mode = qmmi_cuda_relax(s);
        result = s->driver->cuMemAlloc(&made, bytes);
        qmmi_cuda_restore(s, mode);
    }
    qmmi_cuda_leave(s, entered);
    *memory = (void *)(uintptr_t)made;
    return result;
}

qmm_status qmmi_cuda_allocate(qmm_context *context, size_t bytes, void **memory) {
    const qmm_allocator *a = &context->allocator;
    cu_result result;
    if (a->allocate_device) {
        *memory = a->allocate_device(a->user, bytes, QMMI_ALIGNMENT);
        return *memory ? QMM_OK : QMM_OUT_OF_MEMORY;
    }
    result = allocate(qmmi_cuda_state_of(context), bytes, memory);
    if (result == CU_SUCCESS) return QMM_OK;
    return result == CU_ERROR_OUT_OF_MEMORY ? QMM_OUT_OF_MEMORY : qmmi_cuda_fail(context, "cuMemAlloc", result);
}

/* Queued work may still use it: this waits. */
static cu_result free_memory(const qmmi_cuda_state *s, void *memory) {
    bool entered;
    cu_result result = qmmi_cuda_enter(s, &entered);
    if (result == CU_SUCCESS) {
        const int mode = qmmi_cuda_relax(s);
        s->driver->cuStreamSynchronize(s->stream);
        result = s->driver->cuMemFree(pointer(memory, 0));
        qmmi_cuda_restore(s, mode);
    }
    qmmi_cuda_leave(s, entered);
    return result;
}

void qmmi_cuda_release(qmm_context *context, void *memory, size_t bytes) {
    const qmm_allocator *a = &context->allocator;
    if (a->release_device) {
        qmmi_cuda_synchronize(context);
        a->release_device(a->user, memory, bytes);
        return;
    }
    /* Any call may answer with an error of earlier work, once: the memory is still there then. */
    if (free_memory(qmmi_cuda_state_of(context), memory) != CU_SUCCESS)
        free_memory(qmmi_cuda_state_of(context), memory);
}

/* ---- the ring ---------------------------------------------------------------------------------------------------- */

qmm_status qmmi_cuda_staging_open(qmm_context *context) {
    qmmi_cuda_state *s = qmmi_cuda_state_of(context);
    void *memory;
    CU_TRY(context, cuMemHostAlloc, &memory, QMMI_CUDA_STAGING_SLOTS * QMMI_CUDA_STAGING_BYTES, 0);
    s->staging = memory;
    for (int i = 0; i < QMMI_CUDA_STAGING_SLOTS; i++)
        CU_TRY(context, cuEventCreate, &s->slots[i].done, CU_EVENT_NO_TIMING_FLAG);
    return QMM_OK;
}

void qmmi_cuda_staging_close(qmm_context *context) {
    qmmi_cuda_state *s = qmmi_cuda_state_of(context);
    for (int i = 0; i < QMMI_CUDA_STAGING_SLOTS; i++)
        if (s->slots[i].done) s->driver->cuEventDestroy(s->slots[i].done);
    if (s->staging) s->driver->cuMemFreeHost(s->staging);
}

static unsigned char *bytes_of(const qmmi_cuda_state *s, int slot) {
    return s->staging + (size_t)slot * QMMI_CUDA_STAGING_BYTES;
}

/* Waits for the slot's copy, and brings what it downloaded to its target. If the wait fails, the copy may still be
 * under way: the slot stays as it is. */
static qmm_status finish_slot(qmm_context *context, int slot) {
    qmmi_cuda_state *s = qmmi_cuda_state_of(context);
    qmmi_cuda_slot *const at = &s->slots[slot];
    cu_result result;
    int mode;
    if (!at->busy) return QMM_OK;
    mode = qmmi_cuda_relax(s);
    result = s->driver->cuEventSynchronize(at->done);
    qmmi_cuda_restore(s, mode);
    if (result != CU_SUCCESS) return qmmi_cuda_fail(context, "cuEventSynchronize", result);
    if (at->target) memcpy(at->target, bytes_of(s, slot), at->bytes);
    at->busy = false;
    return QMM_OK;
}

/* Of a download that failed: when the copies under way are done, the caller's memory may be gone. */
static void forget_target(qmmi_cuda_state *s, const void *target, size_t bytes) {
    for (int i = 0; i < QMMI_CUDA_STAGING_SLOTS; i++)
        if ((uintptr_t)s->slots[i].target - (uintptr_t)target < bytes) s->slots[i].target = NULL;
}

/* Oldest first. */
qmm_status qmmi_cuda_staging_drain(qmm_context *context) {
    const int first = qmmi_cuda_state_of(context)->next_slot;
    for (int i = 0; i < QMMI_CUDA_STAGING_SLOTS; i++)
        QMMI_TRY(finish_slot(context, (first + i) % QMMI_CUDA_STAGING_SLOTS));
    return QMM_OK;
}

/* The next slot, free. */
static qmm_status take_slot(qmm_context *context, int *slot) {
    qmmi_cuda_state *s = qmmi_cuda_state_of(context);
    *slot = s->next_slot;
    QMMI_TRY(finish_slot(context, *slot));
    s->next_slot = (*slot + 1) % QMMI_CUDA_STAGING_SLOTS;
    return QMM_OK;
}

/* A copy was queued that reads or writes the slot. */
static qmm_status mark_slot(qmm_context *context, int slot, void *target, size_t bytes) {
    qmmi_cuda_state *s = qmmi_cuda_state_of(context);
    CU_TRY(context, cuEventRecord, s->slots[slot].done, s->stream);
    s->slots[slot].busy = true;
    s->slots[slot].target = target;
    s->slots[slot].bytes = bytes;
    return QMM_OK;
}

static size_t piece(size_t bytes) {
    return bytes < QMMI_CUDA_STAGING_BYTES ? bytes : QMMI_CUDA_STAGING_BYTES;
}

static qmm_status upload_staged(qmm_context *context, cu_pointer target, const unsigned char *source, size_t bytes) {
    qmmi_cuda_state *s = qmmi_cuda_state_of(context);
    for (size_t done = 0, length; done < bytes; done += length) {
        int slot;
        length = piece(bytes - done);
        QMMI_TRY(take_slot(context, &slot));
        memcpy(bytes_of(s, slot), source + done, length);
        CU_TRY(context, cuMemcpyHtoDAsync, target + done, bytes_of(s, slot), length, s->stream);
        QMMI_TRY(mark_slot(context, slot, NULL, 0));
    }
    return QMM_OK;
}

static qmm_status download_staged(qmm_context *context, unsigned char *target, cu_pointer source, size_t bytes) {
    qmmi_cuda_state *s = qmmi_cuda_state_of(context);
    for (size_t done = 0, length; done < bytes; done += length) {
        int slot;
        length = piece(bytes - done);
        QMMI_TRY(take_slot(context, &slot));
        CU_TRY(context, cuMemcpyDtoHAsync, bytes_of(s, slot), source + done, length, s->stream);
        QMMI_TRY(mark_slot(context, slot, target + done, length));
    }
    return QMM_OK;
}

/* ---- copies ------------------------------------------------------------------------------------------------------ */

/* The call for several attributes, since that for one has an error, not 0, for memory that CUDA does not know. */
static bool is_page_locked(const qmmi_cuda_state *s, const void *host) {
    unsigned attribute = CU_POINTER_MEMORY_TYPE, type = 0;
    void *value = &type;
    return s->driver->cuPointerGetAttributes(1, &attribute, &value, pointer(host, 0)) == CU_SUCCESS &&
           type == CU_MEMORY_TYPE_HOST;
}

static qmm_status wait_here(qmm_context *context) {
    const cu_result result = qmmi_cuda_wait(qmmi_cuda_state_of(context));
    return result == CU_SUCCESS ? QMM_OK : qmmi_cuda_fail(context, "cuStreamSynchronize", result);
}

/* A graph would read the ring at each replay, when other bytes are in it. */
static qmm_status check_staging(qmm_context *context, const char *function) {
    if (!qmmi_cuda_capturing(context)) return QMM_OK;
    return qmmi_fail(context, QMM_INVALID_ARGUMENT, function,
                     "the host memory is not page-locked, and the queue of this context is being captured");
}

static qmm_status upload_here(qmm_context *context, cu_pointer target, const void *source, size_t bytes, bool wait) {
    qmmi_cuda_state *s = qmmi_cuda_state_of(context);
    /* To wait for a short copy is to wait for all that is queued before it; to copy it aside is quick. */
    if (!is_page_locked(s, source) || (wait && bytes <= QMMI_CUDA_STAGING_BYTES)) {
        QMMI_TRY(check_staging(context, "qmm_buffer_upload_async"));
        return upload_staged(context, target, source, bytes);
    }
    CU_TRY(context, cuMemcpyHtoDAsync, target, source, bytes, s->stream);
    return wait ? wait_here(context) : QMM_OK;
}

static qmm_status download_here(qmm_context *context, void *target, cu_pointer source, size_t bytes, bool wait) {
    qmmi_cuda_state *s = qmmi_cuda_state_of(context);
    qmm_status status;
    if (is_page_locked(s, target)) {
        CU_TRY(context, cuMemcpyDtoHAsync, target, source, bytes, s->stream);
        return wait ? wait_here(context) : QMM_OK;
    }
    QMMI_TRY(check_staging(context, "qmm_buffer_download_async"));
    status = download_staged(context, target, source, bytes);
    if (status == QMM_OK && wait) status = qmmi_cuda_staging_drain(context);
    if (status != QMM_OK) forget_target(s, target, bytes);
    return status;
}

static qmm_status copy_here(qmm_context *context, cu_pointer target, cu_pointer source, size_t bytes) {
    CU_TRY(context, cuMemcpyDtoDAsync, target, source, bytes, qmmi_cuda_state_of(context)->stream);
    return QMM_OK;
}

static qmm_status fill_here(qmm_context *context, cu_pointer target, uint8_t value, size_t bytes) {
    CU_TRY(context, cuMemsetD8Async, target, value, bytes, qmmi_cuda_state_of(context)->stream);
    return QMM_OK;
}

static qmm_status clear_here(qmm_context *context, cu_pointer target, size_t bytes) {
    CU_TRY(context, cuMemsetD32Async, target, 0, bytes / 4, qmmi_cuda_state_of(context)->stream);
    return QMM_OK;
}

/* Runs `call` with the primary context current. */
#define WITH_CONTEXT(context, call)                                                                        \
    do {                                                                                                   \
        bool entered;                                                                                      \
        const cu_result entering = qmmi_cuda_enter(qmmi_cuda_state_of(context), &entered);                 \
        const qmm_status status =                                                                          \
            entering == CU_SUCCESS ? (call) : qmmi_cuda_fail((context), "cuCtxPushCurrent", entering);     \
        qmmi_cuda_leave(qmmi_cuda_state_of(context), entered);                                             \
        return status;                                                                                     \
    } while (0)

qmm_status qmmi_cuda_upload(qmm_context *context, void *memory, size_t offset, const void *source, size_t bytes,
                            bool wait) {
    WITH_CONTEXT(context, upload_here(context, pointer(memory, offset), source, bytes, wait));
}

qmm_status qmmi_cuda_download(qmm_context *context, const void *memory, size_t offset, void *target, size_t bytes,
                              bool wait) {
    WITH_CONTEXT(context, download_here(context, target, pointer(memory, offset), bytes, wait));
}

qmm_status qmmi_cuda_copy(qmm_context *context, void *target, size_t target_offset, const void *source,
                          size_t source_offset, size_t bytes) {
    WITH_CONTEXT(context, copy_here(context, pointer(target, target_offset), pointer(source, source_offset), bytes));
}

qmm_status qmmi_cuda_fill(qmm_context *context, void *memory, size_t offset, uint8_t value, size_t bytes) {
    WITH_CONTEXT(context, fill_here(context, pointer(memory, offset), value, bytes));
}

qmm_status qmmi_cuda_clear(qmm_context *context, void *memory, size_t offset, size_t bytes) {
    WITH_CONTEXT(context, clear_here(context, pointer(memory, offset), bytes));
}
