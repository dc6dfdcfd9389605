/* SPDX-License-Identifier: Apache-2.0
 *
 * A context's CUDA state, and how every driver call is made with it. */
#ifndef QMMI_CUDA_CONTEXT_H
#define QMMI_CUDA_CONTEXT_H

#include "../host/context.h"
#include "cublaslt.h"
#include "cuda.h"
#include "device.h"
#include "driver.h"
#include "tensor_map.h"

/* Host memory of programs is pageable, and the device can read it only through page-locked memory: this ring of slots,
 * each with an event that says when its copy is done. */
#define QMMI_CUDA_STAGING_SLOTS 4
#define QMMI_CUDA_STAGING_BYTES ((size_t)1 << 20) /* of a slot; expected, not measured: longer on its way than queueing takes */

typedef struct qmmi_cuda_slot {
    cu_event done;
    bool busy;
    void *target; /* where its bytes go once they are here: a download under way; else NULL */
    size_t bytes;
} qmmi_cuda_slot;

/* Tiles that matmul_wgmma.c has lately chosen, and all that its choice depends on: it is made several times a call. */
#define QMMI_CUDA_WGMMA_PICKS 64 /* a power of 2 */

typedef struct qmmi_cuda_wgmma_pick {
    int64_t m, n, k, canonical_k, batch;
    uint32_t kinds;
    int32_t variant; /* 0: none yet */
} qmmi_cuda_wgmma_pick;

typedef struct qmmi_cuda_state {
    const qmmi_cuda_driver *driver;
    const qmmi_cuda_facts *facts;
    cu_context primary;
    cu_stream stream, own_stream; /* what the context works on; and what is ours to destroy */
    int module_count;
    cu_module modules[QMMI_CUDA_KERNEL_COUNT];
    cu_function functions[QMMI_CUDA_KERNEL_COUNT]; /* NULL: not in its image, or that is not for the device */
    unsigned char *staging;
    qmmi_cuda_slot slots[QMMI_CUDA_STAGING_SLOTS];
    int next_slot;
    qmmi_cublaslt cublaslt;
    qmmi_cuda_wgmma_pick wgmma_picks[QMMI_CUDA_WGMMA_PICKS];
} qmmi_cuda_state;

static inline qmmi_cuda_state *qmmi_cuda_state_of(const qmm_context *context) {
    return context->device_state;
}

/* ---- errors (errors.c) ------------------------------------------------------------------------------------------- */

/* The status for a driver's result, as the text "call: CUDA_ERROR_... (number: words)" of the context. */
qmm_status qmmi_cuda_fail(qmm_context *context, const char *call, cu_result result);

/* Makes a driver call; returns from the function it stands in if that fails. */
#define CU_TRY(context, call, ...)                                                            \
    do {                                                                                      \
        const cu_result tried = qmmi_cuda_state_of(context)->driver->call(__VA_ARGS__);       \
        if (tried != CU_SUCCESS) return qmmi_cuda_fail((context), #call, tried);              \
    } while (0)

/* ---- the current context (context.c) ----------------------------------------------------------------------------- */

/* The driver works on the thread's current CUDA context. It belongs to the caller: these make the device's primary one
 * current if it is not (which costs a look, as it mostly is), and put the caller's back. */
static inline cu_result qmmi_cuda_enter(const qmmi_cuda_state *s, bool *entered) {
    cu_context current = NULL;
    cu_result result = s->driver->cuCtxGetCurrent(&current);
    *entered = false;
    if (result != CU_SUCCESS || current == s->primary) return result;
    result = s->driver->cuCtxPushCurrent(s->primary);
    *entered = result == CU_SUCCESS;
    return result;
}

static inline void qmmi_cuda_leave(const qmmi_cuda_state *s, bool entered) {
    cu_context ours;
    if (entered) s->driver->cuCtxPopCurrent(&ours);
}

/* What waits, allocates, frees or loads spoils a capture in the global mode (PyTorch's) that any thread of the process
 * is at, unless the calling thread's own mode is relaxed: around such calls, with the primary context current. relax
 * gives the thread's mode before, for restore; -1 if the driver did not change it. */
static inline int qmmi_cuda_relax(const qmmi_cuda_state *s) {
    unsigned mode = CU_CAPTURE_MODE_RELAXED;
    return s->driver->cuThreadExchangeStreamCaptureMode(&mode) == CU_SUCCESS ? (int)mode : -1;
}

static inline void qmmi_cuda_restore(const qmmi_cuda_state *s, int before) {
    unsigned mode = (unsigned)before;
    if (before >= 0) s->driver->cuThreadExchangeStreamCaptureMode(&mode);
}

/* Waits for the stream. */
cu_result qmmi_cuda_wait(const qmmi_cuda_state *s);

/* Backend slots. */
qmm_status qmmi_cuda_open(qmm_context *context, int device, const qmm_context_options *options);
void qmmi_cuda_close(qmm_context *context);
qmm_status qmmi_cuda_synchronize(qmm_context *context);
bool qmmi_cuda_capturing(const qmm_context *context);
void *qmmi_cuda_get_queue(const qmm_context *context);
qmm_status qmmi_cuda_set_queue(qmm_context *context, void *native_queue);

/* ---- memory (memory.c) ------------------------------------------------------------------------------------------- */

qmm_status qmmi_cuda_allocate(qmm_context *context, size_t bytes, void **memory);
void qmmi_cuda_release(qmm_context *context, void *memory, size_t bytes);
qmm_status qmmi_cuda_upload(qmm_context *context, void *memory, size_t offset, const void *source, size_t bytes,
                            bool wait);
qmm_status qmmi_cuda_download(qmm_context *context, const void *memory, size_t offset, void *target, size_t bytes,
                              bool wait);
qmm_status qmmi_cuda_copy(qmm_context *context, void *target, size_t target_offset, const void *source,
                          size_t source_offset, size_t bytes);
qmm_status qmmi_cuda_fill(qmm_context *context, void *memory, size_t offset, uint8_t value, size_t bytes);

/* The ring: opened and closed with the context, with its CUDA context current; drained: every download under way is
 * where it belongs. */
qmm_status qmmi_cuda_staging_open(qmm_context *context);
void qmmi_cuda_staging_close(qmm_context *context);
qmm_status qmmi_cuda_staging_drain(qmm_context *context);

/* ---- tensor maps (tensor_map.c) ---------------------------------------------------------------------------------- */

/* Matrices that the copy engine is to bring, or to write, by boxes of box_rows x box_cols. Strides are in bytes, multiples
 * of 16 as is the address, and the second of the first; those of a single row or matrix are of no account. */
typedef struct qmmi_cuda_tensor {
    const void *memory;
    int element_bytes; /* 1 or 2 */
    int64_t cols, rows, matrices, row_stride, matrix_stride;
    int box_cols, box_rows;
    int swizzle; /* bytes over which boxes are swizzled in shared memory, and that a row of them has: 64, 128; 0: not */
    bool promoted; /* the second-level cache gets 256 bytes at a time: others will read them soon */
} qmmi_cuda_tensor;

#define QMMI_CUDA_TENSOR_STRIDE_END ((int64_t)1 << 40) /* strides are below this */

/* Can that be described? */
bool qmmi_cuda_tensor_fits(const qmmi_cuda_tensor *tensor);
qmm_status qmmi_cuda_tensor_map_make(qmm_context *context, const qmmi_cuda_tensor *tensor, qmmi_cuda_tensor_map *map);

/* ---- timers (timer.c): backend slots ------------------------------------------------------------------------------ */

qmm_status qmmi_cuda_timer_create(qmm_context *context, void **pair);
qmm_status qmmi_cuda_timer_record(qmm_context *context, void *pair, bool end);
qmm_status qmmi_cuda_timer_seconds(qmm_context *context, void *pair, double *seconds);
void qmmi_cuda_timer_free(qmm_context *context, void *pair);

#endif
