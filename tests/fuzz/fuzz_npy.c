/* SPDX-License-Identifier: Apache-2.0
 *
 * The .npy reader on any bytes: a refusal is one line of text, and what is accepted is what npy.h promises. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "npy.h"

static void check_array(const npy_array *array, const uint8_t *data, size_t size) {
    int64_t product = 1;
    FUZZ_CHECK(array->dims >= 0 && array->dims <= NPY_DIMS_MAX && !array->storage);
    for (int i = 0; i < NPY_DIMS_MAX; i++)
        FUZZ_CHECK(array->shape[i] >= 0 && (i < array->dims || array->shape[i] == 1));
    for (int i = 0; i < array->dims; i++) product *= array->shape[i];
    FUZZ_CHECK(product == array->count && array->bytes == (size_t)product * npy_type_bytes(array->type));
    FUZZ_CHECK((const uint8_t *)array->data + array->bytes == data + size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char error[NPY_ERROR_BYTES] = "";
    npy_array array = { .dims = 77 };
    if (npy_parse(data, size, &array, error, sizeof error)) {
        FUZZ_CHECK(error[0] == '\0');
        check_array(&array, data, size);
    } else {
        FUZZ_CHECK(array.dims == 77);
        fuzz_check_line(error);
    }
    return 0;
}
