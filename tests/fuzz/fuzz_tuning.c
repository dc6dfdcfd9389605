/* SPDX-License-Identifier: Apache-2.0
 *
 * The reader of tuning files on any bytes, as they are and with a last line made to fit, without which nearly nothing
 * gets past the checksum: a refusal is one line of text, and what is accepted gives the same text when written again. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "tuning_file.h"

static const char *const variants[] = { "wide", "narrow", NULL };
static const qmmi_row rows[] = { { .name = "cpu:matmul:onednn" },
                                 { .name = "cpu:matmul:varied", .variants = variants },
                                 { .name = "cpu:matmul:reference" },
                                 { 0 } };
static const qmmi_tuning_identity identity = { "0.1.0", "cpu", "Fuzzed CPU", "2", "none" };

static void check_choices(const qmmi_tuned *choices, int count, const uint8_t *data, size_t size) {
    char *again = malloc(qmmi_tuning_text_bytes(count));
    FUZZ_CHECK(again && count >= 0 && count <= QMMI_TUNED_MAX);
    FUZZ_CHECK(qmmi_tuning_write_text(&identity, choices, count, again) == size);
    FUZZ_CHECK(memcmp(again, data, size) == 0);
    for (int i = 0; i < count; i++) {
        FUZZ_CHECK(choices[i].row >= rows && choices[i].row < rows + 3);
        FUZZ_CHECK(choices[i].variant >= 0 && choices[i].variant <= (choices[i].row == &rows[1] ? 2 : 0));
        FUZZ_CHECK(choices[i].m >= 1 && choices[i].n >= 1 && choices[i].k >= 0 && choices[i].batch >= 1);
        FUZZ_CHECK(i == 0 || qmmi_tuned_order(&choices[i - 1], &choices[i]) < 0);
    }
    free(again);
}

static void read_text(const uint8_t *data, size_t size, qmmi_tuned *choices) {
    char reason[QMMI_TUNING_REASON_BYTES] = "";
    int count = 0;
    if (qmmi_tuning_parse((const char *)data, size, &identity, rows, choices, &count, reason, sizeof reason)) {
        FUZZ_CHECK(reason[0] == '\0');
        check_choices(choices, count, data, size);
    } else {
        fuzz_check_line(reason);
    }
}

/* With the last line that fits what is before the last "end", or before the end of the data. */
static void read_sealed(const uint8_t *data, size_t size, qmmi_tuned *choices) {
    enum { LAST_LINE = 64, HEADER_LINES = 6 };
    char *sealed = malloc(size + LAST_LINE);
    int lines = 0;
    FUZZ_CHECK(sealed);
    if (size) memcpy(sealed, data, size);
    for (size_t at = size; at > 4; at--) {
        if (memcmp(sealed + at - 5, "\nend ", 5) != 0) continue;
        size = at - 4;
        break;
    }
    for (size_t i = 0; i < size; i++) lines += sealed[i] == '\n';
    size += (size_t)snprintf(sealed + size, LAST_LINE, "end %d %08" PRIx32 "\n", lines - HEADER_LINES,
                             qmmi_tuning_crc(sealed, size));
    read_text((const uint8_t *)sealed, size, choices);
    free(sealed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    qmmi_tuned *choices = malloc(QMMI_TUNED_MAX * sizeof *choices);
    FUZZ_CHECK(choices);
    read_text(data, size, choices);
    read_sealed(data, size, choices);
    free(choices);
    return 0;
}
