/* SPDX-License-Identifier: Apache-2.0
 *
 * Compiled, never run: our own declarations of cuBLASLt against NVIDIA's, where its header is at hand. */
#include <cublasLt.h>
#include <stddef.h>

#include "../../cuda/cublaslt.h"

#define SAME(ours, theirs) _Static_assert((int)(ours) == (int)(theirs), #theirs " has another value")
SAME(QMMI_CUBLAS_STATUS_SUCCESS, CUBLAS_STATUS_SUCCESS);
SAME(QMMI_CUBLAS_STATUS_ALLOC_FAILED, CUBLAS_STATUS_ALLOC_FAILED);
SAME(QMMI_CUBLAS_STATUS_EXECUTION_FAILED, CUBLAS_STATUS_EXECUTION_FAILED);
SAME(QMMI_CUBLAS_STATUS_NOT_SUPPORTED, CUBLAS_STATUS_NOT_SUPPORTED);
SAME(QMMI_CUBLAS_COMPUTE_32I, CUBLAS_COMPUTE_32I);
SAME(QMMI_CUBLAS_OP_N, CUBLAS_OP_N);
SAME(QMMI_CUBLAS_OP_T, CUBLAS_OP_T);
SAME(QMMI_CUDA_R_8I, CUDA_R_8I);
SAME(QMMI_CUDA_R_32I, CUDA_R_32I);
SAME(QMMI_CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT);
SAME(QMMI_CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET);
SAME(QMMI_CUBLASLT_MATMUL_DESC_TRANSA, CUBLASLT_MATMUL_DESC_TRANSA);
SAME(QMMI_CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES);
SAME(QMMI_CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES);
SAME(QMMI_CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES);
SAME(QMMI_CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES);
SAME(QMMI_CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES);

SAME(sizeof(qmmi_cublaslt_algorithm), sizeof(cublasLtMatmulAlgo_t));
SAME(sizeof(qmmi_cublaslt_heuristic), sizeof(cublasLtMatmulHeuristicResult_t));
SAME(offsetof(qmmi_cublaslt_heuristic, algorithm), offsetof(cublasLtMatmulHeuristicResult_t, algo));
SAME(offsetof(qmmi_cublaslt_heuristic, workspace_bytes), offsetof(cublasLtMatmulHeuristicResult_t, workspaceSize));
SAME(offsetof(qmmi_cublaslt_heuristic, status), offsetof(cublasLtMatmulHeuristicResult_t, state));
SAME(offsetof(qmmi_cublaslt_heuristic, waves), offsetof(cublasLtMatmulHeuristicResult_t, wavesCount));

/* Enums are passed as int, handles and descriptors as pointers. */
SAME(sizeof(int), sizeof(cublasStatus_t));
SAME(sizeof(int), sizeof(cublasComputeType_t));
SAME(sizeof(int), sizeof(cudaDataType));
SAME(sizeof(int), sizeof(cublasLtMatmulDescAttributes_t));
SAME(sizeof(int), sizeof(cublasLtMatrixLayoutAttribute_t));
SAME(sizeof(int), sizeof(cublasLtMatmulPreferenceAttributes_t));
SAME(sizeof(void *), sizeof(cublasLtHandle_t));
SAME(sizeof(void *), sizeof(cublasLtMatmulDesc_t));
SAME(sizeof(void *), sizeof(cublasLtMatrixLayout_t));
SAME(sizeof(void *), sizeof(cublasLtMatmulPreference_t));
SAME(sizeof(void *), sizeof(cudaStream_t));

/* A call with our parameters is a call of theirs, converted: the compiler counts the arguments and knows their
 * classes. */
#define CALL(name, ...) (void)name(__VA_ARGS__)
void check_parameters(void *p, const void *q, int i, uint64_t u, int64_t s, size_t n);
void check_parameters(void *p, const void *q, int i, uint64_t u, int64_t s, size_t n) {
    CALL(cublasLtGetVersion);
    CALL(cublasLtCreate, p);
    CALL(cublasLtDestroy, p);
    CALL(cublasLtMatmulDescCreate, p, (cublasComputeType_t)i, (cudaDataType)i);
    CALL(cublasLtMatmulDescSetAttribute, p, (cublasLtMatmulDescAttributes_t)i, q, n);
    CALL(cublasLtMatmulDescDestroy, p);
    CALL(cublasLtMatrixLayoutCreate, p, (cudaDataType)i, u, u, s);
    CALL(cublasLtMatrixLayoutSetAttribute, p, (cublasLtMatrixLayoutAttribute_t)i, q, n);
    CALL(cublasLtMatrixLayoutDestroy, p);
    CALL(cublasLtMatmulPreferenceCreate, p);
    CALL(cublasLtMatmulPreferenceSetAttribute, p, (cublasLtMatmulPreferenceAttributes_t)i, q, n);
    CALL(cublasLtMatmulPreferenceDestroy, p);
    CALL(cublasLtMatmulAlgoGetHeuristic, p, p, p, p, p, p, p, i, p, p);
    CALL(cublasLtMatmul, p, p, q, q, p, q, p, q, q, p, p, p, q, p, n, p);
}
