/* SPDX-License-Identifier: Apache-2.0
 *
 * What the descriptors of matmul, weights and verify_matmul share. */
#ifndef QMM_VALIDATE_MATMUL_H
#define QMM_VALIDATE_MATMUL_H

#include "descriptor.h"
#include "generate.h"

/* Places of the three tensors in every such case. */
enum { MATMUL_A, MATMUL_B, MATMUL_C };

/* Everything qmm_matmul takes, as it takes it. */
typedef struct matmul_arguments {
    qmm_matmul_desc desc;
    validate_quant_arguments quant_a, quant_b, quant_c;
    qmm_tensor a, b, c, bias, residual;
} matmul_arguments;

void matmul_generate(validate_case *c);
void matmul_expect(validate_case *c);
void matmul_describe(const validate_case *c, char *text, size_t bytes);
void matmul_vary(validate_case *c);
void matmul_arguments_on_device(const validate_case *c, const validate_execution *e, matmul_arguments *arguments);

/* qmm_matmul, with a workspace of exactly the size asked for where the case has one of its own. */
qmm_status matmul_call(const validate_case *c, validate_execution *e, matmul_arguments *arguments);

/* A buffer of `bytes` at an offset of 256, with guards around that matmul_guard_check finds whole. */
qmm_buffer *matmul_guard_create(qmm_context *context, size_t bytes);
bool matmul_guard_check(qmm_context *context, const qmm_buffer *buffer, size_t bytes);

#endif
