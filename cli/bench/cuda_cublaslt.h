/* SPDX-License-Identifier: Apache-2.0
 *
 * cuBLASLt called directly, as a peer: C = A B^T, with the library's own first choice of an algorithm. */
#ifndef QMM_BENCH_CUDA_CUBLASLT_H
#define QMM_BENCH_CUDA_CUBLASLT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct bench_cublaslt bench_cublaslt;

/* s8 by s8 into s32, or with `half` f16 by f16 into f16, summed in f32. NULL, and why, where it is not to be had. The
 * driver's version is cuDriverGetVersion's: 12040 is of CUDA 12.4. The workspace is device memory. */
bench_cublaslt *bench_cublaslt_open(bool half, int driver_version, void *workspace, size_t workspace_bytes,
                                    char *reason, size_t reason_bytes);
void bench_cublaslt_close(bench_cublaslt *l);

/* Chooses the algorithm of C[m x n] = A[m x k] B[n x k]^T, all dense; NULL, or why there is none. */
const char *bench_cublaslt_plan(bench_cublaslt *l, int64_t n, int64_t m, int64_t k);

/* Queues that product; the library's status, 0 if all is well. */
int bench_cublaslt_run(bench_cublaslt *l, const void *b, const void *a, void *c, void *stream);

#endif
