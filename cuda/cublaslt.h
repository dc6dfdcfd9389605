/* SPDX-License-Identifier: Apache-2.0
 *
 * cuBLASLt, found at run time: our own declarations of the few calls used, so that no header of NVIDIA's is needed to
 * build. tests/cuda/check_cublaslt_header.c holds them against the real cublasLt.h where there is one.
 *
 * What it multiplies (cuBLAS reference, cublasLtMatmul, "regular ordering"): s8 by s8 into s32, column-major, the first
 * operand transposed and the second not, rows of the result, k and all leading dimensions multiples of 4. */
#ifndef QMMI_CUDA_CUBLASLT_H
#define QMMI_CUDA_CUBLASLT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../host/backend.h"

/* ---- what cublasLt.h says --------------------------------------------------------------------------------------- */

typedef enum qmmi_cublaslt_constant {
    QMMI_CUBLAS_STATUS_SUCCESS = 0,
    QMMI_CUBLAS_STATUS_ALLOC_FAILED = 3,
    QMMI_CUBLAS_STATUS_EXECUTION_FAILED = 13,
    QMMI_CUBLAS_STATUS_NOT_SUPPORTED = 15,
    QMMI_CUBLAS_COMPUTE_32I = 72,
    QMMI_CUBLAS_OP_N = 0,
    QMMI_CUBLAS_OP_T = 1,
    QMMI_CUDA_R_8I = 3,
    QMMI_CUDA_R_32I = 10,
    QMMI_CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT = 5,          /* int32_t */
    QMMI_CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET = 6, /* int64_t, elements */
    QMMI_CUBLASLT_MATMUL_DESC_TRANSA = 3,                 /* int32_t */
    QMMI_CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES = 1,    /* uint64_t */
    QMMI_CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES = 5,  /* uint32_t, as the next three */
    QMMI_CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES = 6,
    QMMI_CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES = 7,
    QMMI_CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES = 8
} qmmi_cublaslt_constant;

typedef struct qmmi_cublaslt_algorithm {
    uint64_t data[8];
} qmmi_cublaslt_algorithm;

typedef struct qmmi_cublaslt_heuristic {
    qmmi_cublaslt_algorithm algorithm;
    size_t workspace_bytes;
    int status;
    float waves;
    int reserved[4];
} qmmi_cublaslt_heuristic;

/* Handles and descriptors are pointers to what only the library knows; enums are ints; 0 is success. X(result, field,
 * name in the library, parameters) */
#define QMMI_CUBLASLT_CALLS(X)                                                                                     \
    X(size_t, get_version, cublasLtGetVersion, (void))                                                             \
    X(int, create, cublasLtCreate, (void **handle))                                                                \
    X(int, destroy, cublasLtDestroy, (void *handle))                                                               \
    X(int, desc_create, cublasLtMatmulDescCreate, (void **desc, int compute_type, int scale_type))                 \
    X(int, desc_set, cublasLtMatmulDescSetAttribute, (void *desc, int attribute, const void *value, size_t bytes)) \
    X(int, desc_destroy, cublasLtMatmulDescDestroy, (void *desc))                                                  \
    X(int, layout_create, cublasLtMatrixLayoutCreate,                                                              \
      (void **layout, int type, uint64_t rows, uint64_t cols, int64_t ld))                                         \
    X(int, layout_set, cublasLtMatrixLayoutSetAttribute,                                                           \
      (void *layout, int attribute, const void *value, size_t bytes))                                              \
    X(int, layout_destroy, cublasLtMatrixLayoutDestroy, (void *layout))                                            \
    X(int, preference_create, cublasLtMatmulPreferenceCreate, (void **preference))                                 \
    X(int, preference_set, cublasLtMatmulPreferenceSetAttribute,                                                   \
      (void *preference, int attribute, const void *value, size_t bytes))                                          \
    X(int, preference_destroy, cublasLtMatmulPreferenceDestroy, (void *preference))                                \
    X(int, get_heuristic, cublasLtMatmulAlgoGetHeuristic,                                                          \
      (void *handle, void *desc, void *a, void *b, void *c, void *d, void *preference, int wanted,                 \
       qmmi_cublaslt_heuristic *results, int *found))                                                              \
    X(int, matmul, cublasLtMatmul,                                                                                 \
      (void *handle, void *desc, const void *alpha, const void *a, void *a_layout, const void *b, void *b_layout,  \
       const void *beta, const void *c, void *c_layout, void *d, void *d_layout,                                   \
       const qmmi_cublaslt_algorithm *algorithm, void *workspace, size_t workspace_bytes, void *stream))

/* ---- a context's cuBLASLt --------------------------------------------------------------------------------------- */

/* All that the library's choice of an algorithm depends on, without padding. D, column-major, is rows x cols. */
typedef struct qmmi_cublaslt_shape {
    int64_t rows, cols, k, batch;
    int64_t a_ld, a_batch_stride; /* k x rows, in elements, as the next two lines */
    int64_t b_ld, b_batch_stride; /* k x cols */
    int64_t d_ld, d_batch_stride;
    int64_t d_alignment; /* bytes; that of A and B is QMMI_CUBLASLT_ALIGNMENT at least */
} qmmi_cublaslt_shape;

/* A shape seen before: its descriptors and the algorithm the library chose for it. Kept, so that a repeated call
 * allocates nothing and asks nothing. */
typedef struct qmmi_cublaslt_plan {
    qmmi_cublaslt_shape shape; /* rows is 0 in an entry not in use */
    bool supported;            /* the library has an algorithm for it */
    void *a, *b, *d;           /* layouts */
    qmmi_cublaslt_algorithm algorithm;
    size_t workspace_bytes;
} qmmi_cublaslt_plan;

enum {
    QMMI_CUBLASLT_ALIGNMENT = 16, /* canonical operands have it */
    QMMI_CUBLASLT_PLANS = 64      /* the linear layers of a model, at a few batch sizes */
};

/* Part of the device state; zeroed at open. */
typedef struct qmmi_cublaslt {
    bool tried;
    char reason[256]; /* why it is not there */
#define QMMI_CUBLASLT_FIELD(result, field, name, parameters) result(*field) parameters;
    QMMI_CUBLASLT_CALLS(QMMI_CUBLASLT_FIELD)
#undef QMMI_CUBLASLT_FIELD
    size_t version;
    void *handle;
    void *desc; /* s8 x s8 into s32, the first operand transposed */
    void *preference;
    qmmi_cublaslt_plan plans[QMMI_CUBLASLT_PLANS];
    int recent; /* of plans: the last one asked for */
    int oldest; /* the next one to give way */
} qmmi_cublaslt;

/* In the device state; cuda/context.c. */
qmmi_cublaslt *qmmi_cuda_cublaslt_of(const qmm_context *context);

/* Loads the library at the first call and makes a handle: the library that the environment variable
 * QMM_CUBLASLT_LIBRARY names, and no other, or else libcublasLt.so.13, libcublasLt.so.12. "none" in the variable means:
 * do not load it. NULL if it is there, else why not. */
const char *qmmi_cuda_cublaslt_load(const qmm_context *context);

/* Bytes of workspace, aligned as device memory is, that a multiplication may take. */
size_t qmmi_cuda_cublaslt_workspace(const qmm_context *context);

/* The plan for a shape, once the library is loaded; NULL where it has no algorithm for it. Of a shape that is not among
 * the plans the library's heuristic is asked, which runs on the host and touches no stream: safe under capture. */
const qmmi_cublaslt_plan *qmmi_cuda_cublaslt_plan(const qmm_context *context, const qmmi_cublaslt_shape *shape);

/* Queues D = A^T B on the context's stream. Pointers are the device's. */
qmm_status qmmi_cuda_cublaslt_multiply(qmm_context *context, const qmmi_cublaslt_plan *plan, const void *a,
                                       const void *b, void *d, void *workspace);

/* Frees everything; the device's context is still there, and current. */
void qmmi_cuda_cublaslt_close(qmm_context *context);

#endif
