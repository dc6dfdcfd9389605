/* SPDX-License-Identifier: Apache-2.0
 *
 * Finding cuBLASLt at run time, its handle, and the plans of the shapes it has multiplied. The library is half a
 * gigabyte: it is loaded when a row first wants it, not when a context opens. */
#define _GNU_SOURCE /* RTLD_NODELETE */
#include "cublaslt.h"

#include <dlfcn.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "context.h"

/* ---- the library ------------------------------------------------------------------------------------------------ */

static const char *status_name(int status) {
    static const char *const names[] = {
        [0] = "success",        [1] = "not initialized", [3] = "allocation failed", [7] = "invalid value",
        [8] = "arch mismatch",  [11] = "mapping error",  [13] = "execution failed", [14] = "internal error",
        [15] = "not supported", [16] = "license error"
    };
    const bool known = status >= 0 && (size_t)status < sizeof names / sizeof names[0] && names[status];
    return known ? names[status] : "unknown";
}

/* Never unloaded: the CUDA runtime inside it has registered with the driver for as long as the process lives. */
static void *open_library(const char *name) {
    return dlopen(name, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
}

/* Version 13 wants a driver for CUDA 13. */
static void *find_library(const qmmi_cuda_driver *driver, qmmi_cublaslt *lt) {
    const char *const wanted = getenv("QMM_CUBLASLT_LIBRARY");
    void *handle = NULL;
    if (wanted && strcmp(wanted, "none") == 0) {
        snprintf(lt->reason, sizeof lt->reason, "QMM_CUBLASLT_LIBRARY is none");
        return NULL;
    }
    if (wanted) {
        handle = open_library(wanted);
        if (!handle) snprintf(lt->reason, sizeof lt->reason, "QMM_CUBLASLT_LIBRARY: %s", dlerror());
        return handle;
    }
    if (driver->version >= 13000) handle = open_library("libcublasLt.so.13");
    if (!handle) handle = open_library("libcublasLt.so.12");
    if (!handle)
        snprintf(lt->reason, sizeof lt->reason, "%s was found",
                 driver->version >= 13000 ? "neither libcublasLt.so.13 nor libcublasLt.so.12" : "no libcublasLt.so.12");
    return handle;
}

/* ISO C has no cast from void * to a function pointer; POSIX promises that the bits serve. */
static bool find_symbol(qmmi_cublaslt *lt, void *library, const char *name, void *field) {
    void *address = dlsym(library, name);
    memcpy(field, &address, sizeof address);
    if (!address) snprintf(lt->reason, sizeof lt->reason, "the cuBLASLt found has no %s", name);
    return address != NULL;
}

static bool find_symbols(qmmi_cublaslt *lt, void *library) {
#define FIND(result, field, name, parameters) \
    if (!find_symbol(lt, library, #name, &lt->field)) return false;
    QMMI_CUBLASLT_CALLS(FIND)
#undef FIND
    return true;
}

/* What every multiplication shares. The second operand is not transposed by default. */
static int make_handles(qmmi_cublaslt *lt, const char **call) {
    const int32_t transposed = QMMI_CUBLAS_OP_T;
    int status;
    *call = "cublasLtCreate";
    status = lt->create(&lt->handle);
    if (status != QMMI_CUBLAS_STATUS_SUCCESS) return status;
    *call = "cublasLtMatmulDescCreate";
    status = lt->desc_create(&lt->desc, QMMI_CUBLAS_COMPUTE_32I, QMMI_CUDA_R_32I);
    if (status != QMMI_CUBLAS_STATUS_SUCCESS) return status;
    *call = "cublasLtMatmulDescSetAttribute";
    status = lt->desc_set(lt->desc, QMMI_CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof transposed);
    if (status != QMMI_CUBLAS_STATUS_SUCCESS) return status;
    *call = "cublasLtMatmulPreferenceCreate";
    return lt->preference_create(&lt->preference);
}

static void free_handles(qmmi_cublaslt *lt) {
    if (lt->preference) lt->preference_destroy(lt->preference);
    if (lt->desc) lt->desc_destroy(lt->desc);
    if (lt->handle) lt->destroy(lt->handle);
    lt->preference = lt->desc = lt->handle = NULL;
}

static void load(const qmm_context *context, qmmi_cublaslt *lt) {
    void *library = NULL;
    const char *call;
    int status;
    const qmmi_cuda_driver *const driver = qmmi_cuda_state_of(context)->driver;
    if (driver->simulated && !getenv("QMM_CUBLASLT_LIBRARY"))
        snprintf(lt->reason, sizeof lt->reason, "cuBLASLt would look for a real device behind the simulated one");
    else
        library = find_library(driver, lt);
    if (!library || !find_symbols(lt, library)) return;
    lt->version = lt->get_version();
    status = make_handles(lt, &call);
    if (status == QMMI_CUBLAS_STATUS_SUCCESS) {
        qmmi_log(context, QMM_LOG_DEBUG, "cuBLASLt %zu is loaded", lt->version);
        return;
    }
    snprintf(lt->reason, sizeof lt->reason, "%s of cuBLASLt %zu gave status %d (%s)", call, lt->version, status,
             status_name(status));
    free_handles(lt);
}

const char *qmmi_cuda_cublaslt_load(const qmm_context *context) {
    const qmmi_cuda_state *const s = qmmi_cuda_state_of(context);
    qmmi_cublaslt *const lt = qmmi_cuda_cublaslt_of(context);
    bool entered;
    if (!lt->tried) {
        int mode;
        if (qmmi_cuda_capturing(context)) return "not loaded yet, and the queue is being captured";
        if (qmmi_cuda_enter(s, &entered) != CU_SUCCESS) return "the device's CUDA context cannot be made current";
        mode = qmmi_cuda_relax(s);
        lt->tried = true;
        load(context, lt);
        qmmi_cuda_restore(s, mode);
        qmmi_cuda_leave(s, entered);
    }
    return lt->reason[0] ? lt->reason : NULL;
}

/* ---- plans ------------------------------------------------------------------------------------------------------ */

size_t qmmi_cuda_cublaslt_workspace(const qmm_context *context) {
    /* NVIDIA's advice for cublasSetWorkspace: 32 MiB on Hopper and data-centre Blackwell, 4 MiB before. */
    return (size_t)(qmmi_cuda_device_of(context)->compute_major >= 9 ? 32 : 4) << 20;
}

static int make_layout(const qmmi_cublaslt *lt, void **layout, int type, int64_t rows, int64_t cols, int64_t ld,
                       int64_t batch, int64_t batch_stride) {
    const int32_t count = (int32_t)batch;
    int status = lt->layout_create(layout, type, (uint64_t)rows, (uint64_t)cols, ld);
    if (status == QMMI_CUBLAS_STATUS_SUCCESS)
        status = lt->layout_set(*layout, QMMI_CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof count);
    if (status == QMMI_CUBLAS_STATUS_SUCCESS)
        status = lt->layout_set(*layout, QMMI_CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &batch_stride,
                                sizeof batch_stride);
    return status;
}

static int make_layouts(const qmmi_cublaslt *lt, qmmi_cublaslt_plan *plan) {
    const qmmi_cublaslt_shape *s = &plan->shape;
    int status = make_layout(lt, &plan->a, QMMI_CUDA_R_8I, s->k, s->rows, s->a_ld, s->batch, s->a_batch_stride);
    if (status == QMMI_CUBLAS_STATUS_SUCCESS)
        status = make_layout(lt, &plan->b, QMMI_CUDA_R_8I, s->k, s->cols, s->b_ld, s->batch, s->b_batch_stride);
    if (status == QMMI_CUBLAS_STATUS_SUCCESS)
        status = make_layout(lt, &plan->d, QMMI_CUDA_R_32I, s->rows, s->cols, s->d_ld, s->batch, s->d_batch_stride);
    return status;
}

static int set_preferences(const qmmi_cublaslt *lt, const qmmi_cublaslt_shape *shape, uint64_t workspace) {
    const uint32_t input = QMMI_CUBLASLT_ALIGNMENT, output = (uint32_t)shape->d_alignment;
    const struct {
        int attribute;
        uint32_t bytes;
    } alignments[] = { { QMMI_CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, input },
                       { QMMI_CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, input },
                       { QMMI_CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, output },
                       { QMMI_CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, output } };
    int status =
        lt->preference_set(lt->preference, QMMI_CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof workspace);
    for (size_t i = 0; i < sizeof alignments / sizeof alignments[0] && status == QMMI_CUBLAS_STATUS_SUCCESS; i++)
        status = lt->preference_set(lt->preference, alignments[i].attribute, &alignments[i].bytes,
                                    sizeof alignments[i].bytes);
    return status;
}

static int ask_heuristic(const qmmi_cublaslt *lt, qmmi_cublaslt_plan *plan, size_t workspace) {
    qmmi_cublaslt_heuristic best = { 0 };
    int found = 0, status = set_preferences(lt, &plan->shape, workspace);
    if (status == QMMI_CUBLAS_STATUS_SUCCESS)
        status = lt->get_heuristic(lt->handle, lt->desc, plan->a, plan->b, plan->d, plan->d, lt->preference, 1, &best,
                                   &found);
    if (status != QMMI_CUBLAS_STATUS_SUCCESS) return status;
    if (found < 1 || best.workspace_bytes > workspace) return QMMI_CUBLAS_STATUS_NOT_SUPPORTED;
    plan->algorithm = best.algorithm;
    plan->workspace_bytes = best.workspace_bytes;
    return best.status;
}

static void free_plan(const qmmi_cublaslt *lt, qmmi_cublaslt_plan *plan) {
    if (plan->a) lt->layout_destroy(plan->a);
    if (plan->b) lt->layout_destroy(plan->b);
    if (plan->d) lt->layout_destroy(plan->d);
    *plan = (qmmi_cublaslt_plan){ 0 };
}

static bool is_plan_for(const qmmi_cublaslt_plan *plan, const qmmi_cublaslt_shape *shape) {
    return memcmp(&plan->shape, shape, sizeof *shape) == 0;
}

/* In place of the oldest plan. */
static void make_plan(const qmm_context *context, qmmi_cublaslt *lt, const qmmi_cublaslt_shape *shape) {
    const qmmi_cuda_state *const s = qmmi_cuda_state_of(context);
    qmmi_cublaslt_plan *const plan = &lt->plans[lt->oldest];
    int status;
    bool entered;
    lt->recent = lt->oldest;
    lt->oldest = (lt->oldest + 1) % QMMI_CUBLASLT_PLANS;
    free_plan(lt, plan);
    if (qmmi_cuda_enter(s, &entered) != CU_SUCCESS) return;
    plan->shape = *shape;
    status = make_layouts(lt, plan);
    if (status == QMMI_CUBLAS_STATUS_SUCCESS) status = ask_heuristic(lt, plan, qmmi_cuda_cublaslt_workspace(context));
    if (status == QMMI_CUBLAS_STATUS_ALLOC_FAILED) free_plan(lt, plan); /* it says nothing of the shape */
    plan->supported = status == QMMI_CUBLAS_STATUS_SUCCESS;
    qmmi_cuda_leave(s, entered);
}

const qmmi_cublaslt_plan *qmmi_cuda_cublaslt_plan(const qmm_context *context, const qmmi_cublaslt_shape *shape) {
    qmmi_cublaslt *const lt = qmmi_cuda_cublaslt_of(context);
    for (int i = 0; i < QMMI_CUBLASLT_PLANS && !is_plan_for(&lt->plans[lt->recent], shape); i++) lt->recent = i;
    if (!is_plan_for(&lt->plans[lt->recent], shape)) make_plan(context, lt, shape);
    return lt->plans[lt->recent].supported ? &lt->plans[lt->recent] : NULL;
}

/* ---- the call --------------------------------------------------------------------------------------------------- */

/* "Execution failed" may be a launch that was refused, or a device that is lost: the driver knows. */
static qmm_status fail(qmm_context *context, int status) {
    const qmmi_cuda_state *const s = qmmi_cuda_state_of(context);
    unsigned capture;
    if (status == QMMI_CUBLAS_STATUS_EXECUTION_FAILED) {
        const cu_result result = s->driver->cuStreamIsCapturing(s->stream, &capture);
        if (result != CU_SUCCESS && result != CU_ERROR_STREAM_CAPTURE_IMPLICIT)
            return qmmi_cuda_fail(context, "cublasLtMatmul", result);
    }
    return qmmi_fail(context, status == QMMI_CUBLAS_STATUS_ALLOC_FAILED ? QMM_OUT_OF_MEMORY : QMM_INTERNAL,
                     "qmm_matmul", "cublasLtMatmul of cuBLASLt %zu gave status %d (%s)", s->cublaslt.version, status,
                     status_name(status));
}

qmm_status qmmi_cuda_cublaslt_multiply(qmm_context *context, const qmmi_cublaslt_plan *plan, const void *a,
                                       const void *b, void *d, void *workspace) {
    const qmmi_cuda_state *const s = qmmi_cuda_state_of(context);
    const qmmi_cublaslt *const lt = &s->cublaslt;
    const int32_t one = 1, zero = 0;
    bool entered;
    const cu_result result = qmmi_cuda_enter(s, &entered);
    qmm_status failure = QMM_OK;
    int status;
    if (result != CU_SUCCESS) return qmmi_cuda_fail(context, "cuCtxPushCurrent", result);
    status = lt->matmul(lt->handle, lt->desc, &one, a, plan->a, b, plan->b, &zero, d, plan->d, d, plan->d,
                        &plan->algorithm, workspace, plan->workspace_bytes, s->stream);
    if (status != QMMI_CUBLAS_STATUS_SUCCESS) failure = fail(context, status);
    qmmi_cuda_leave(s, entered);
    return failure;
}

void qmmi_cuda_cublaslt_close(qmm_context *context) {
    qmmi_cublaslt *const lt = qmmi_cuda_cublaslt_of(context);
    for (int i = 0; i < QMMI_CUBLASLT_PLANS; i++) free_plan(lt, &lt->plans[i]);
    free_handles(lt);
}
