/* SPDX-License-Identifier: Apache-2.0
 *
 * What the fuzz targets share. A target is one file with LLVMFuzzerTestOneInput: it calls a reader with any bytes, and
 * aborts where the reader breaks its promise. With clang's libFuzzer it is a fuzzer; with replay.c, a test. */
#ifndef QMM_FUZZ_FUZZ_H
#define QMM_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_CHECK(condition)                                                         \
    do {                                                                              \
        if (!(condition)) {                                                           \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);   \
            abort();                                                                  \
        }                                                                             \
    } while (0)

/* The text of a refusal: there is some, and it is one line of printable ASCII. */
static inline void fuzz_check_line(const char *text) {
    FUZZ_CHECK(text[0] != '\0');
    for (; *text; text++) FUZZ_CHECK(*text >= 0x20 && *text <= 0x7e);
}

#endif
