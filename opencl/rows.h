/* SPDX-License-Identifier: Apache-2.0
 *
 * The functions of the kernel rows and of the slots that launch kernels, one block a file; backend.c lists them. */
#ifndef QMMI_OPENCL_ROWS_H
#define QMMI_OPENCL_ROWS_H

#include "../host/backend.h"

/* quantize.c */
qmm_status qmmi_opencl_quantize(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                size_t workspace_offset);

/* quantize_dynamic.c */
const char *qmmi_opencl_quantize_dynamic_one_pass_accepts(const qmm_context *context, const qmmi_problem *problem);
const char *qmmi_opencl_quantize_dynamic_one_pass_declines(const qmm_context *context, const qmmi_problem *problem);
qmm_status qmmi_opencl_quantize_dynamic_one_pass(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                                 size_t workspace_offset);
qmm_status qmmi_opencl_quantize_dynamic_two_pass(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                                 size_t workspace_offset);

/* dequantize.c */
qmm_status qmmi_opencl_dequantize(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                  size_t workspace_offset);

/* requantize.c */
qmm_status qmmi_opencl_requantize(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                  size_t workspace_offset);

/* range.c: slots */
qmm_status qmmi_opencl_find_minmax(qmm_context *context, const qmmi_view *x, int64_t *count, float *min, float *max);
qmm_status qmmi_opencl_histogram(qmm_context *context, const qmmi_view *x, int exponent, uint64_t *bins);

/* measure_error.c: slot */
qmm_status qmmi_opencl_measure_error(qmm_context *context, const qmmi_view *reference, const qmmi_view *got,
                                     float factor, qmmi_error_sums *sums);

/* weights.c: slots */
qmm_status qmmi_opencl_weights_pack(qmm_context *context, const qmmi_operand *b, int64_t n, int64_t k, int64_t batch,
                                    int64_t group_size, qmmi_operand *packed);
qmm_status qmmi_opencl_weights_gather(qmm_context *context, const qmmi_operand *b, int64_t n, int64_t groups,
                                      int64_t batch, const qmmi_param *scale, const qmmi_param *zero);

/* matmul_generic.c */
const char *qmmi_opencl_matmul_generic_accepts(const qmm_context *context, const qmmi_problem *problem);
qmm_status qmmi_opencl_matmul_generic(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                      size_t workspace_offset);

/* matmul_small.c: few rows */
const char *qmmi_opencl_matmul_small_accepts(const qmm_context *context, const qmmi_problem *problem);
const char *qmmi_opencl_matmul_small_declines(const qmm_context *context, const qmmi_problem *problem);
const char *qmmi_opencl_matmul_small_cpu_declines(const qmm_context *context, const qmmi_problem *problem);
size_t qmmi_opencl_matmul_small_workspace(const qmm_context *context, const qmmi_problem *problem);
qmm_status qmmi_opencl_matmul_small(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                    size_t workspace_offset);
qmm_status qmmi_opencl_matmul_small_cpu(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                        size_t workspace_offset);

/* matmul_dot.c: one source, one program and row for each way to multiply four pairs of codes */
const char *qmmi_opencl_matmul_dot_accepts(const qmm_context *context, const qmmi_problem *problem);
size_t qmmi_opencl_matmul_dot_workspace(const qmm_context *context, const qmmi_problem *problem);
qmm_status qmmi_opencl_matmul_dot(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                  size_t workspace_offset);
qmm_status qmmi_opencl_matmul_integer_dot(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                          size_t workspace_offset);
qmm_status qmmi_opencl_matmul_arm_dot(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                      size_t workspace_offset);
qmm_status qmmi_opencl_matmul_nv_dp4a(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                      size_t workspace_offset);

/* matmul_nv_mma.c: large tiles, and small ones */
const char *qmmi_opencl_matmul_nv_mma_accepts(const qmm_context *context, const qmmi_problem *problem);
const char *qmmi_opencl_matmul_nv_mma_declines(const qmm_context *context, const qmmi_problem *problem);
const char *qmmi_opencl_matmul_nv_mma_small_accepts(const qmm_context *context, const qmmi_problem *problem);
size_t qmmi_opencl_matmul_nv_mma_workspace(const qmm_context *context, const qmmi_problem *problem);
qmm_status qmmi_opencl_matmul_nv_mma(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                     size_t workspace_offset);
qmm_status qmmi_opencl_matmul_nv_mma_small(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                           size_t workspace_offset);

/* matmul_intel_dpas.c: subgroups of 8, and of 16 */
const char *qmmi_opencl_matmul_intel_dpas_accepts(const qmm_context *context, const qmmi_problem *problem);
size_t qmmi_opencl_matmul_intel_dpas_workspace(const qmm_context *context, const qmmi_problem *problem);
qmm_status qmmi_opencl_matmul_intel_dpas8(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                          size_t workspace_offset);
qmm_status qmmi_opencl_matmul_intel_dpas16(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                           size_t workspace_offset);

/* matmul_x86_vnni.c */
const char *qmmi_opencl_matmul_x86_vnni_accepts(const qmm_context *context, const qmmi_problem *problem);
size_t qmmi_opencl_matmul_x86_vnni_workspace(const qmm_context *context, const qmmi_problem *problem);
qmm_status qmmi_opencl_matmul_x86_vnni(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                       size_t workspace_offset);

/* matmul_exact_f32.c */
const char *qmmi_opencl_matmul_exact_f32_accepts(const qmm_context *context, const qmmi_problem *problem);
size_t qmmi_opencl_matmul_exact_f32_workspace(const qmm_context *context, const qmmi_problem *problem);
qmm_status qmmi_opencl_matmul_exact_f32(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                        size_t workspace_offset);

#endif
