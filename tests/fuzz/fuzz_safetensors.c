/* SPDX-License-Identifier: Apache-2.0
 *
 * The .safetensors reader on any bytes: a refusal is one line of text, and the tensors of an accepted file cover its
 * data, each with the bytes of its shape. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "safetensors.h"

#ifdef QMM_HAVE_JANSSON

static void check_file(const safetensors_file *file, const uint8_t *data, size_t size) {
    uint64_t at = 8, header = 0;
    for (int i = 7; i >= 0; i--) header = header << 8 | data[i];
    at += header;
    for (size_t i = 0; i < file->count; i++) {
        const safetensors_tensor *t = &file->tensors[i];
        int64_t count = 1;
        FUZZ_CHECK(t->name && t->dtype && t->dims >= 0 && t->dims <= SAFETENSORS_DIMS_MAX);
        for (int d = 0; d < SAFETENSORS_DIMS_MAX; d++) {
            FUZZ_CHECK(t->shape[d] >= 0 && (d < t->dims || t->shape[d] == 1));
            count *= t->shape[d] < 1 << 20 ? t->shape[d] : 0; /* a small file has longer ones only beside a 0 */
        }
        if (strcmp(t->dtype, "F32") == 0) FUZZ_CHECK(t->bytes == 4 * (uint64_t)count);
        FUZZ_CHECK(t->offset == at);
        at += t->bytes;
    }
    FUZZ_CHECK(at == size && file->descriptor == -1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char error[SAFETENSORS_ERROR_BYTES] = "";
    safetensors_file file = { .count = 77 };
    if (safetensors_parse(data, size, &file, error, sizeof error)) {
        FUZZ_CHECK(error[0] == '\0');
        check_file(&file, data, size);
        safetensors_close(&file);
    } else {
        FUZZ_CHECK(file.count == 77);
        fuzz_check_line(error);
    }
    return 0;
}

#else

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    (void)data, (void)size;
    puts("skipped: this build has no reader for .safetensors files: it is without Jansson");
    exit(77);
}

#endif
