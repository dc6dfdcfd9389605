/* SPDX-License-Identifier: Apache-2.0
 *
 * Packing of weights: once, into the rows that the kernels read, with the sums that zero points need. */
#include "weights.h"

#include "../host/context.h"
#include "matmul_prepare.h"
#include "rows.h"

_Static_assert(sizeof(qmmi_cl_gather) % 8 == 0, "no padding that two compilers could see differently");

static qmm_status sum_packed(qmm_context *context, const qmmi_cl_pack *pack, int64_t groups,
                             const qmmi_operand *packed) {
    const qmmi_param *to = &packed->sums;
    qmmi_cl_sums sums = { .from = { .offset = pack->offset,
                                    .outer_stride = pack->outer_stride,
                                    .batch_stride = pack->batch_stride,
                                    .sums_offset = (cl_long)to->offset,
                                    .sums_outer_stride = to->row_stride,
                                    .sums_group_stride = to->col_stride,
                                    .sums_batch_stride = to->batch_stride,
                                    .bits = pack->bits,
                                    .recenter = pack->recenter },
                          .outer = pack->outer,
                          .groups = groups,
                          .matrices = pack->matrices,
                          .group_size = pack->group_size,
                          .group_k = pack->group_runs * QMMI_CL_PACK_RUN };
    return qmmi_opencl_run_sums(context, &sums, packed->memory, to->memory);
}

qmm_status qmmi_opencl_weights_pack(qmm_context *context, const qmmi_operand *b, int64_t n, int64_t k, int64_t batch,
                                    int64_t group_size, qmmi_operand *packed) {
    const int64_t groups = qmmi_group_count(k, group_size), length = k > 0 ? group_size : 0;
    const int64_t group_k = qmmi_group_k(length);
    const int32_t bits = qmm_type_bits(b->type) == 4 ? 4 : 8;
    qmmi_cl_pack pack = { .from = qmmi_opencl_operand(b),
                          .outer = n,
                          .matrices = batch,
                          .group_size = length,
                          .group_runs = group_k / QMMI_CL_PACK_RUN,
                          .target_runs = groups * group_k / QMMI_CL_PACK_RUN,
                          .target_outer = n,
                          .offset = (cl_long)packed->offset,
                          .outer_stride = groups * group_k * bits / 8,
                          .bits = bits,
                          .recenter = qmmi_recenter(b->type),
                          .across = b->k_stride != 1 };
    pack.batch_stride = batch > 1 ? n * pack.outer_stride : 0;
    packed->outer_stride = pack.outer_stride;
    packed->batch_stride = pack.batch_stride;
    packed->k_stride = group_k;
    QMMI_TRY(qmmi_opencl_run_pack(context, &pack, b->memory, packed->memory));
    return sum_packed(context, &pack, groups, packed);
}

qmm_status qmmi_opencl_weights_gather(qmm_context *context, const qmmi_operand *b, int64_t n, int64_t groups,
                                      int64_t batch, const qmmi_param *scale, const qmmi_param *zero) {
    const int64_t items = n * groups * batch;
    const qmmi_opencl_grid grid = { .groups = { qmmi_parts(items, QMMI_CL_GATHER_ITEMS), 1, 1 },
                                    .local = { QMMI_CL_GATHER_ITEMS, 1, 1 } };
    const qmmi_opencl_memory memory[4] = { b->scale.memory, b->zero.memory, scale ? scale->memory : NULL,
                                           zero ? zero->memory : NULL };
    qmmi_cl_gather gather = { .b = qmmi_opencl_operand(b), .n = n, .groups = groups, .batch = batch };
    if (scale) gather.scale = qmmi_opencl_param(scale);
    if (zero) gather.zero = qmmi_opencl_param(zero);
    if (items == 0 || (!scale && !zero)) return QMM_OK;
    return qmmi_opencl_launch(context, QMMI_OPENCL_weights_weights_gather_kernel, &grid, &gather, sizeof gather, memory,
                              4);
}
