/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of the CPU backend give one another. */
#ifndef QMMI_CPU_H
#define QMMI_CPU_H

#include "../backend.h"

/* One list of rows per operation; backend.c lists them. */
qmm_status qmmi_cpu_quantize_reference(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                       size_t workspace_offset);
qmm_status qmmi_cpu_quantize_chunked(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                     size_t workspace_offset);
qmm_status qmmi_cpu_quantize_dynamic_reference(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                               size_t workspace_offset);
qmm_status qmmi_cpu_quantize_dynamic_chunked(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                             size_t workspace_offset);
qmm_status qmmi_cpu_dequantize_reference(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                         size_t workspace_offset);
qmm_status qmmi_cpu_dequantize_chunked(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                       size_t workspace_offset);
qmm_status qmmi_cpu_requantize_reference(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                         size_t workspace_offset);
qmm_status qmmi_cpu_requantize_chunked(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                       size_t workspace_offset);
qmm_status qmmi_cpu_matmul_reference(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                     size_t workspace_offset);

const char *qmmi_cpu_onednn_accepts(const qmm_context *context, const qmmi_problem *problem);
const char *qmmi_cpu_onednn_declines(const qmm_context *context, const qmmi_problem *problem);
size_t qmmi_cpu_onednn_workspace(const qmm_context *context, const qmmi_problem *problem);
qmm_status qmmi_cpu_matmul_onednn(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                  size_t workspace_offset);

/* Both rows of quantize end with it: the sums of the codes, where they are wanted. */
void qmmi_cpu_row_sums(const qmmi_convert_problem *p);

qmm_status qmmi_cpu_find_minmax(qmm_context *context, const qmmi_view *x, int64_t *count, float *min, float *max);
qmm_status qmmi_cpu_histogram(qmm_context *context, const qmmi_view *x, int exponent, uint64_t *bins);
qmm_status qmmi_cpu_measure_error(qmm_context *context, const qmmi_view *reference, const qmmi_view *got, float factor,
                                  qmmi_error_sums *sums);

size_t qmmi_cpu_weights_bytes(int64_t n, int64_t k, int64_t batch, int64_t group_size, qmm_type type);
qmm_status qmmi_cpu_weights_pack(qmm_context *context, const qmmi_operand *b, int64_t n, int64_t k, int64_t batch,
                                 int64_t group_size, qmmi_operand *packed);
qmm_status qmmi_cpu_weights_gather(qmm_context *context, const qmmi_operand *b, int64_t n, int64_t groups,
                                   int64_t batch, const qmmi_param *scale, const qmmi_param *zero);

#endif
