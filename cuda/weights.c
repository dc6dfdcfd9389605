/* SPDX-License-Identifier: Apache-2.0
 *
 * Packing of weights: once, into the rows that the kernels read, with the sums that zero points need. */
#include "weights.h"

#include "../host/context.h"
#include "matmul_prepare.h"
#include "rows.h"

static qmm_status sum_packed(qmm_context *context, const qmmi_cuda_pack *pack, int64_t groups, const qmmi_param *to) {
    const int64_t row_bytes = pack->outer_stride;
    qmmi_cuda_sums sums = { .from = { .codes = pack->codes,
                                      .outer_stride = row_bytes,
                                      .batch_stride = pack->batch_stride,
                                      .k_bytes = row_bytes,
                                      .bits = pack->bits,
                                      .recenter = pack->recenter },
                            .outer = pack->outer,
                            .groups = groups,
                            .matrices = pack->matrices,
                            .group_size = pack->group_size,
                            .group_k = pack->group_k,
                            .sums = (int32_t *)(void *)((unsigned char *)to->memory + to->offset),
                            .outer_stride = to->row_stride,
                            .group_stride = to->col_stride,
                            .batch_stride = to->batch_stride };
    return qmmi_cuda_run_sums(context, &sums);
}

qmm_status qmmi_cuda_weights_pack(qmm_context *context, const qmmi_operand *b, int64_t n, int64_t k, int64_t batch,
                                  int64_t group_size, qmmi_operand *packed) {
    const int64_t groups = qmmi_group_count(k, group_size), length = k > 0 ? group_size : 0;
    const int32_t bits = qmm_type_bits(b->type) == 4 ? 4 : 8;
    qmmi_cuda_pack pack = { .from = *b,
                            .outer = n,
                            .target_outer = n,
                            .k = k,
                            .matrices = batch,
                            .group_size = length,
                            .group_k = qmmi_group_k(length),
                            .codes = (unsigned char *)packed->memory + packed->offset,
                            .bits = bits,
                            .recenter = qmmi_recenter(b->type) };
    pack.target_k = groups * pack.group_k;
    pack.outer_stride = pack.target_k * bits / 8;
    pack.batch_stride = batch > 1 ? n * pack.outer_stride : 0;
    packed->outer_stride = pack.outer_stride;
    packed->batch_stride = pack.batch_stride;
    packed->k_stride = pack.group_k;
    QMMI_TRY(qmmi_cuda_run_pack(context, &pack));
    return sum_packed(context, &pack, groups, &packed->sums);
}

qmm_status qmmi_cuda_weights_gather(qmm_context *context, const qmmi_operand *b, int64_t n, int64_t groups,
                                    int64_t batch, const qmmi_param *scale, const qmmi_param *zero) {
    const int64_t items = n * groups * batch;
    const int64_t blocks = (items + QMMI_CUDA_GATHER_THREADS - 1) / QMMI_CUDA_GATHER_THREADS;
    qmmi_cuda_gather gather = { .b = *b, .n = n, .groups = groups, .batch = batch };
    if (scale) gather.scale = *scale;
    if (zero) gather.zero = *zero;
    if (items == 0 || (!scale && !zero)) return QMM_OK;
    return qmmi_cuda_launch(context, QMMI_CUDA_weights_gather_kernel, blocks < INT32_MAX ? blocks : INT32_MAX,
                            QMMI_CUDA_GATHER_THREADS, 0, &gather);
}
