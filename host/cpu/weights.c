/* SPDX-License-Identifier: Apache-2.0
 *
 * Packed weights on the CPU: N rows of K codes of their own type, each row padded to 64 bytes, so that a dot product
 * runs along memory; beside them the sum of the codes of each row and group. */
#include <string.h>

#include "../checked.h"
#include "cpu.h"
#include "element.h"

static int64_t padded_row_bytes(int64_t k, qmm_type type) {
    return (int64_t)qmmi_round_up((size_t)((k * qmm_type_bits(type) + 7) / 8), 64);
}

size_t qmmi_cpu_weights_bytes(int64_t n, int64_t k, int64_t batch, int64_t group_size, qmm_type type) {
    int64_t rows, bytes;
    (void)group_size; /* groups lie side by side, unpadded */
    if (k > INT64_MAX / 8 || qmmi_mul_overflows(n, batch, &rows) ||
        qmmi_mul_overflows(rows, padded_row_bytes(k, type), &bytes))
        return SIZE_MAX;
    return (size_t)bytes;
}

qmm_status qmmi_cpu_weights_pack(qmm_context *context, const qmmi_operand *b, int64_t n, int64_t k, int64_t batch,
                                 int64_t group_size, qmmi_operand *packed) {
    const int64_t row_elements = padded_row_bytes(k, b->type) * 8 / qmm_type_bits(b->type);
    const int64_t groups = group_size > 0 ? k / group_size : 1;
    const unsigned char *from = qmmi_cpu_at(b->memory, b->offset);
    unsigned char *to = qmmi_cpu_at(packed->memory, packed->offset);
    unsigned char *sums = qmmi_cpu_at(packed->sums.memory, packed->sums.offset);
    (void)context;
    packed->outer_stride = row_elements;
    packed->k_stride = 1;
    packed->batch_stride = b->batch_stride ? n * row_elements : 0;
    memset(to, 0, qmmi_cpu_weights_bytes(n, k, batch, group_size, b->type));
    for (int64_t m = 0; m < batch; m++) {
        for (int64_t j = 0; j < n; j++) {
            for (int64_t g = 0; g < groups; g++) {
                uint32_t sum = 0; /* modulo 2^32, as whoever uses it reckons */
                for (int64_t i = g * group_size; i < (g + 1) * group_size; i++) {
                    const int32_t code = qmmi_cpu_load_code(
                        b->type, from, m * b->batch_stride + j * b->outer_stride + i * b->k_stride);
                    qmmi_cpu_store_code(b->type, to, (m * n + j) * row_elements + i, code);
                    sum += (uint32_t)code;
                }
                qmmi_cpu_store_code(QMM_S32, sums, qmmi_cpu_param_index(&packed->sums, m, j, g),
                                    (int32_t)sum);
            }
        }
    }
    return QMM_OK;
}

qmm_status qmmi_cpu_weights_gather(qmm_context *context, const qmmi_operand *b, int64_t n, int64_t groups,
                                   int64_t batch, const qmmi_param *scale, const qmmi_param *zero) {
    (void)context;
    for (int64_t m = 0; m < batch; m++) {
        for (int64_t g = 0; g < groups; g++) {
            for (int64_t j = 0; j < n; j++) {
                if (scale)
                    qmmi_cpu_store_real(QMM_F32, qmmi_cpu_at(scale->memory, scale->offset),
                                        qmmi_cpu_param_index(scale, m, j, g), qmmi_cpu_scale(&b->scale, m, j, g));
                if (zero)
                    qmmi_cpu_store_code(QMM_S32, qmmi_cpu_at(zero->memory, zero->offset),
                                        qmmi_cpu_param_index(zero, m, j, g),
                                        qmmi_cpu_zero(&b->zero, b->zero_min, b->zero_max, m, j, g));
            }
        }
    }
    return QMM_OK;
}
