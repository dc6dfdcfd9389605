/* SPDX-License-Identifier: Apache-2.0
 *
 * Operands of a matmul, element by element, in any form a caller may give them: any type and stride, or packed weights.
 * And canonical operands (host/canonical.h) by 16 bytes. */
#ifndef QMM_CUDA_MATMUL_OPERAND_CUH
#define QMM_CUDA_MATMUL_OPERAND_CUH

#include "element.cuh"
#include "matmul.h"

/* A row of A, or column of B, of one matrix. */
struct operand_row {
    const unsigned char *base;
    int64_t index;
};

DEVICE operand_row row_of(const qmmi_operand &o, int64_t b, int64_t outer) {
    const int64_t index = b * o.batch_stride + outer * o.outer_stride;
    if (o.packed) return { at(o.memory, o.offset) + index, 0 };
    return { at(o.memory, o.offset), index };
}

/* Where in packed weights k lies; their rows are canonical, with groups of `group_size`, padded to o.k_stride. */
DEVICE int64_t packed_k(const qmmi_operand &o, int64_t group_size, int64_t k) {
    return k < group_size ? k : k / group_size * o.k_stride + k % group_size;
}

/* The code at k, as given; of packed weights at packed_k. */
DEVICE int operand_code(const qmmi_operand &o, const operand_row &row, int64_t k) {
    if (!o.packed) return load_code(o.type, row.base, row.index + k * o.k_stride);
    if (o.type == QMM_S8) return (int8_t)row.base[k];
    if (o.type == QMM_U8) return (int8_t)row.base[k] + 128;
    const int nibble = row.base[k / 32 * 16 + k % 16] >> (k & 16 ? 4 : 0) & 15;
    return (nibble ^ 8) - (o.type == QMM_S4 ? 8 : 0);
}

/* 16 bytes of a canonical row, zeros from the `readable`-th on. The last bytes of a row come one by one, shifted in
 * from above. */
DEVICE int4 load_canonical(const unsigned char *codes, int64_t readable) {
    if (readable >= 16) return *(const int4 *)codes;
    uint32_t word[4] = { 0, 0, 0, 0 };
#pragma unroll 1
    for (int n = 0; n < 16; n++) {
        const uint32_t byte = n < readable ? codes[n] : 0;
        word[0] = word[0] >> 8 | word[1] << 24;
        word[1] = word[1] >> 8 | word[2] << 24;
        word[2] = word[2] >> 8 | word[3] << 24;
        word[3] = word[3] >> 8 | byte << 24;
    }
    return make_int4((int)word[0], (int)word[1], (int)word[2], (int)word[3]);
}

#endif
