/* SPDX-License-Identifier: Apache-2.0
 *
 * What the descriptors of quantize, quantize_dynamic, dequantize and requantize share. */
#ifndef QMM_VALIDATE_CONVERT_H
#define QMM_VALIDATE_CONVERT_H

#include "descriptor.h"
#include "generate.h"

/* Places of the two tensors in every such case. */
enum { CONVERT_SOURCE, CONVERT_TARGET };

/* Draws sizes and types, and adds both tensors. */
void convert_begin(validate_case *c, const qmm_type *source_types, int source_count, const qmm_type *target_types,
                   int target_count);

/* Draws the parameters of one side; sometimes none. */
void convert_choose_quant(validate_case *c, validate_quant *q, int tensor, bool written, double scale);

/* Sums of the codes, in one case of four; and what they must be, once the codes are known. */
void convert_choose_sums(validate_case *c);
void convert_expect_sums(validate_case *c);

/* For case c: operations and bytes, to be called last. */
void convert_end(validate_case *c);

void convert_describe(const validate_case *c, char *text, size_t bytes);

/* Does what follows with b, i, j for every element. */
#define CONVERT_FOR_EACH(c)                                \
    for (int64_t b = 0; b < (c)->as.convert.batch; b++)    \
        for (int64_t i = 0; i < (c)->as.convert.rows; i++) \
            for (int64_t j = 0; j < (c)->as.convert.cols; j++)

#endif
