/* SPDX-License-Identifier: Apache-2.0 */
#include "descriptor.h"

const validate_descriptor *const validate_descriptors[] = {
    &validate_quantize,      &validate_quantize_dynamic,
    &validate_dequantize,    &validate_requantize,
    &validate_matmul_plain,  &validate_weights,
    &validate_find_range,    &validate_measure_error,
    &validate_verify_matmul, NULL,
};
