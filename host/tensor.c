/* SPDX-License-Identifier: Apache-2.0
 *
 * Tensors: dense ones, and their size. */
#include "checked.h"
#include "type.h"

/* Elements from a row to the next where rows begin on a byte. */
static int64_t dense_stride(qmm_type type, int64_t cols) {
    return qmm_type_bits(type) == 4 && cols < INT64_MAX ? cols + (cols & 1) : cols;
}

qmm_tensor qmm_matrix(qmm_buffer *buffer, qmm_type type, int64_t rows, int64_t cols) {
    const qmm_tensor tensor = { .buffer = buffer, .type = type, .rows = rows, .cols = cols,
                                .row_stride = dense_stride(type, cols), .batch = 1 };
    return tensor;
}

qmm_status qmm_matrix_bytes(qmm_type type, int64_t rows, int64_t cols, int64_t batch, size_t *bytes) {
    int64_t elements;
    if (!bytes || !qmmi_type_in(type, QMMI_ALL_TYPES)) return QMM_INVALID_ARGUMENT;
    if (rows < 0 || cols < 0 || batch < 0) return QMM_INVALID_ARGUMENT;
    if (qmmi_mul_overflows(rows, dense_stride(type, cols), &elements) ||
        qmmi_mul_overflows(elements, batch, &elements) || qmmi_bytes_overflow(elements, qmm_type_bits(type), bytes))
        return QMM_INVALID_ARGUMENT;
    return QMM_OK;
}
