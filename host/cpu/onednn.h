/* SPDX-License-Identifier: Apache-2.0
 *
 * oneDNN's integer gemm, found at run time. Row-major C (m x n) = op(A) op(B), as the BLAS says it. */
#ifndef QMMI_CPU_ONEDNN_H
#define QMMI_CPU_ONEDNN_H

#include <stdbool.h>
#include <stdint.h>

/* dnnl_gemm_s8s8s32 and dnnl_gemm_u8s8s32, differing in what a is; 0 is success. */
typedef int (*qmmi_onednn_gemm)(char transpose_a, char transpose_b, char offset_c, int64_t m, int64_t n, int64_t k,
                                float alpha, const void *a, int64_t lda, int8_t a_offset, const int8_t *b, int64_t ldb,
                                int8_t b_offset, float beta, int32_t *c, int64_t ldc, const int32_t *c_offset);

/* State of a context's CPU device. */
typedef struct qmmi_onednn {
    bool tried;
    char reason[256]; /* why it is not there */
    qmmi_onednn_gemm gemm_s8, gemm_u8;
} qmmi_onednn;

/* Loads it at the first call: the library the environment variable QMM_ONEDNN_LIBRARY names, and no other, or else
 * libdnnl.so.3, libdnnl.so.2. "none" in the variable means: do not load it. NULL if it is there, else why not. */
const char *qmmi_onednn_load(qmmi_onednn *library);

#endif
