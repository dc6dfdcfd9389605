/* SPDX-License-Identifier: Apache-2.0
 *
 * The functions of the kernel rows, one block a file; backend.c lists them. */
#ifndef QMMI_CUDA_ROWS_H
#define QMMI_CUDA_ROWS_H

#include "../host/backend.h"

/* quantize.c */
qmm_status qmmi_cuda_quantize(qmm_context *context, const qmmi_problem *problem, void *workspace,
                              size_t workspace_offset);

/* quantize_dynamic.c */
const char *qmmi_cuda_quantize_dynamic_one_pass_accepts(const qmm_context *context, const qmmi_problem *problem);
qmm_status qmmi_cuda_quantize_dynamic_one_pass(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                               size_t workspace_offset);
qmm_status qmmi_cuda_quantize_dynamic_two_pass(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                               size_t workspace_offset);

/* dequantize.c */
qmm_status qmmi_cuda_dequantize(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                size_t workspace_offset);

/* requantize.c */
qmm_status qmmi_cuda_requantize(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                size_t workspace_offset);

/* range.c: slots */
qmm_status qmmi_cuda_find_minmax(qmm_context *context, const qmmi_view *x, int64_t *count, float *min, float *max);
qmm_status qmmi_cuda_histogram(qmm_context *context, const qmmi_view *x, int exponent, uint64_t *bins);

/* matmul_dp4a.c */
const char *qmmi_cuda_matmul_dp4a_accepts(const qmm_context *context, const qmmi_problem *problem);
double qmmi_cuda_matmul_dp4a_estimate(const qmm_context *context, const qmmi_problem *problem);
qmmi_split qmmi_cuda_matmul_dp4a_split(const qmm_context *context, const qmmi_problem *problem);
size_t qmmi_cuda_matmul_dp4a_workspace(const qmm_context *context, const qmmi_problem *problem);
qmm_status qmmi_cuda_matmul_dp4a(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                 size_t workspace_offset);

/* matmul_generic.c */
qmm_status qmmi_cuda_matmul_generic(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                    size_t workspace_offset);

/* matmul_cublaslt.c */
const char *qmmi_cuda_matmul_cublaslt_accepts(const qmm_context *context, const qmmi_problem *problem);
double qmmi_cuda_matmul_cublaslt_estimate(const qmm_context *context, const qmmi_problem *problem);
size_t qmmi_cuda_matmul_cublaslt_workspace(const qmm_context *context, const qmmi_problem *problem);
qmm_status qmmi_cuda_matmul_cublaslt(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                     size_t workspace_offset);

/* matmul_small.c */
extern const char *const qmmi_cuda_matmul_small_variants[];
const char *qmmi_cuda_matmul_small_accepts(const qmm_context *context, const qmmi_problem *problem);
double qmmi_cuda_matmul_small_estimate(const qmm_context *context, const qmmi_problem *problem);
qmmi_split qmmi_cuda_matmul_small_split(const qmm_context *context, const qmmi_problem *problem);
size_t qmmi_cuda_matmul_small_workspace(const qmm_context *context, const qmmi_problem *problem);
qmm_status qmmi_cuda_matmul_small(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                  size_t workspace_offset);

/* matmul_mma.c */
extern const char *const qmmi_cuda_matmul_mma_variants[];
const char *qmmi_cuda_matmul_mma_accepts(const qmm_context *context, const qmmi_problem *problem);
double qmmi_cuda_matmul_mma_estimate(const qmm_context *context, const qmmi_problem *problem);
int qmmi_cuda_matmul_mma_picks(const qmm_context *context, const qmmi_problem *problem);
qmmi_split qmmi_cuda_matmul_mma_split(const qmm_context *context, const qmmi_problem *problem);
size_t qmmi_cuda_matmul_mma_workspace(const qmm_context *context, const qmmi_problem *problem);
qmm_status qmmi_cuda_matmul_mma(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                size_t workspace_offset);

/* matmul_wgmma.c */
extern const char *const qmmi_cuda_matmul_wgmma_variants[];
const char *qmmi_cuda_matmul_wgmma_accepts(const qmm_context *context, const qmmi_problem *problem);
double qmmi_cuda_matmul_wgmma_estimate(const qmm_context *context, const qmmi_problem *problem);
int qmmi_cuda_matmul_wgmma_picks(const qmm_context *context, const qmmi_problem *problem);
qmmi_split qmmi_cuda_matmul_wgmma_split(const qmm_context *context, const qmmi_problem *problem);
size_t qmmi_cuda_matmul_wgmma_workspace(const qmm_context *context, const qmmi_problem *problem);
qmm_status qmmi_cuda_matmul_wgmma(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                  size_t workspace_offset);

/* matmul_mma_k16.c */
const char *qmmi_cuda_matmul_mma_k16_accepts(const qmm_context *context, const qmmi_problem *problem);
double qmmi_cuda_matmul_mma_k16_estimate(const qmm_context *context, const qmmi_problem *problem);
qmmi_split qmmi_cuda_matmul_mma_k16_split(const qmm_context *context, const qmmi_problem *problem);
size_t qmmi_cuda_matmul_mma_k16_workspace(const qmm_context *context, const qmmi_problem *problem);
qmm_status qmmi_cuda_matmul_mma_k16(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                    size_t workspace_offset);

/* weights.c: slots */
qmm_status qmmi_cuda_weights_pack(qmm_context *context, const qmmi_operand *b, int64_t n, int64_t k, int64_t batch,
                                  int64_t group_size, qmmi_operand *packed);
qmm_status qmmi_cuda_weights_gather(qmm_context *context, const qmmi_operand *b, int64_t n, int64_t groups,
                                    int64_t batch, const qmmi_param *scale, const qmmi_param *zero);

/* measure_error.c: slot */
qmm_status qmmi_cuda_measure_error(qmm_context *context, const qmmi_view *reference, const qmmi_view *got, float factor,
                                   qmmi_error_sums *sums);

#endif
