/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "opencl.h"

/* arguments.h repeats these for OpenCL C. */
_Static_assert(QMM_S4 == 1 && QMM_U4 == 2 && QMM_S8 == 3 && QMM_U8 == 4 && QMM_S16 == 5 && QMM_U16 == 6 &&
                   QMM_S32 == 7 && QMM_F32 == 8 && QMM_F16 == 9 && QMM_BF16 == 10,
               "the kernels know the types by these numbers");
_Static_assert(QMM_ACTIVATION_NONE == 0 && QMM_ACTIVATION_RELU == 1 && QMM_ACTIVATION_GELU == 2 &&
                   QMM_ACTIVATION_GELU_TANH == 3 && QMM_ACTIVATION_SILU == 4,
               "the kernels know the activations by these numbers");
_Static_assert(sizeof(qmmi_cl_view) % 8 == 0 && sizeof(qmmi_cl_param) % 8 == 0 && sizeof(qmmi_cl_quant) % 8 == 0 &&
                   sizeof(qmmi_cl_convert) % 8 == 0 && sizeof(qmmi_cl_operand) % 8 == 0 &&
                   sizeof(qmmi_cl_matmul_problem) % 8 == 0,
               "no padding that two compilers could see differently");

qmmi_cl_view qmmi_opencl_view(const qmmi_view *v) {
    return (qmmi_cl_view){ .offset = (cl_long)v->offset,
                           .rows = v->rows,
                           .cols = v->cols,
                           .row_stride = v->row_stride,
                           .batch = v->batch,
                           .batch_stride = v->batch_stride,
                           .type = (cl_int)v->type,
                           .in_memory = v->memory != NULL };
}

qmmi_cl_param qmmi_opencl_param(const qmmi_param *p) {
    return (qmmi_cl_param){ .offset = (cl_long)p->offset,
                            .row_stride = p->row_stride,
                            .col_stride = p->col_stride,
                            .batch_stride = p->batch_stride,
                            .type = (cl_int)p->type,
                            .in_memory = p->memory != NULL,
                            .real_value = p->real_value,
                            .integer_value = p->integer_value };
}

qmmi_cl_quant qmmi_opencl_quant(const qmmi_quant *q) {
    return (qmmi_cl_quant){ .block_rows = q->block_rows,
                            .block_cols = q->block_cols,
                            .param_rows = q->param_rows,
                            .param_cols = q->param_cols,
                            .scale = qmmi_opencl_param(&q->scale),
                            .zero = qmmi_opencl_param(&q->zero),
                            .qmin = q->qmin,
                            .qmax = q->qmax,
                            .zero_min = q->zero_min,
                            .zero_max = q->zero_max };
}

qmmi_cl_operand qmmi_opencl_operand(const qmmi_operand *o) {
    return (qmmi_cl_operand){ .offset = (cl_long)o->offset,
                              .outer_stride = o->outer_stride,
                              .k_stride = o->k_stride,
                              .batch_stride = o->batch_stride,
                              .scale = qmmi_opencl_param(&o->scale),
                              .zero = qmmi_opencl_param(&o->zero),
                              .type = (cl_int)o->type,
                              .packed = o->packed,
                              .grouped = o->grouped,
                              .zero_min = o->zero_min,
                              .zero_max = o->zero_max };
}

void qmmi_opencl_convert(const qmmi_convert_problem *p, qmmi_cl_convert *arguments,
                         qmmi_opencl_memory memory[QMMI_CL_CONVERT_MEMORY]) {
    *arguments = (qmmi_cl_convert){ .source = qmmi_opencl_view(&p->source),
                                    .target = qmmi_opencl_view(&p->target),
                                    .source_quant = qmmi_opencl_quant(&p->source_quant),
                                    .target_quant = qmmi_opencl_quant(&p->target_quant),
                                    .sums = qmmi_opencl_param(&p->sums) };
    memory[QMMI_CL_SOURCE] = p->source.memory;
    memory[QMMI_CL_TARGET] = p->target.memory;
    memory[QMMI_CL_SOURCE_SCALE] = p->source_quant.scale.memory;
    memory[QMMI_CL_SOURCE_ZERO] = p->source_quant.zero.memory;
    memory[QMMI_CL_TARGET_SCALE] = p->target_quant.scale.memory;
    memory[QMMI_CL_TARGET_ZERO] = p->target_quant.zero.memory;
    memory[QMMI_CL_SUMS] = p->sums.memory;
}

void qmmi_opencl_matmul_problem(const qmmi_matmul_problem *p, qmmi_cl_matmul_problem *arguments,
                                qmmi_opencl_memory memory[QMMI_CL_MATMUL_MEMORY]) {
    *arguments = (qmmi_cl_matmul_problem){ .m = p->m,
                                           .n = p->n,
                                           .k = p->k,
                                           .batch = p->batch,
                                           .group_size = p->group_size,
                                           .groups = p->groups,
                                           .a = qmmi_opencl_operand(&p->a),
                                           .b = qmmi_opencl_operand(&p->b),
                                           .c = qmmi_opencl_view(&p->c),
                                           .residual = qmmi_opencl_view(&p->residual),
                                           .c_quant = qmmi_opencl_quant(&p->c_quant),
                                           .bias = qmmi_opencl_param(&p->bias),
                                           .activation = (cl_int)p->activation };
    memory[QMMI_CL_A] = p->a.memory;
    memory[QMMI_CL_B] = p->b.memory;
    memory[QMMI_CL_A_SUMS] = p->a.sums.memory;
    memory[QMMI_CL_B_SUMS] = p->b.sums.memory;
    memory[QMMI_CL_A_SCALE] = p->a.scale.memory;
    memory[QMMI_CL_A_ZERO] = p->a.zero.memory;
    memory[QMMI_CL_B_SCALE] = p->b.scale.memory;
    memory[QMMI_CL_B_ZERO] = p->b.zero.memory;
    memory[QMMI_CL_C] = p->c.memory;
    memory[QMMI_CL_C_SCALE] = p->c_quant.scale.memory;
    memory[QMMI_CL_C_ZERO] = p->c_quant.zero.memory;
    memory[QMMI_CL_BIAS] = p->bias.memory;
    memory[QMMI_CL_RESIDUAL] = p->residual.memory;
}
