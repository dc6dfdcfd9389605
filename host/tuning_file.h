/* SPDX-License-Identifier: Apache-2.0
 *
 * The tuning file: text, for one device, driver and version of the library.
 *
 *     qmm tuning 1
 *     library 0.1.0
 *     backend cuda
 *     device NVIDIA H100 80GB HBM3
 *     units 132
 *     driver 580.95.05
 *     matmul n=64 k=64 batch=1 group=0 a=s8 b=s8 c=f16 transposed=01 packed=0 m=512 kernel=cuda:matmul:mma variant=large
 *     end 1 8d0f4a6c
 *
 * One line a choice, in the order of the table, each call once; variant=- is the row's own choice; transposed: of A,
 * then of B. The last line has their number and the CRC-32 of all bytes before it, so that a file cut short or changed
 * anywhere is found out. Lines are written in just one way, and only that is read. */
#ifndef QMMI_TUNING_FILE_H
#define QMMI_TUNING_FILE_H

#include <string.h>

#include "tuning.h"

#define QMMI_TUNING_FILE_BYTES_MAX ((size_t)1 << 20)

/* Whose choices they are: what the lines behind the first say. */
typedef struct qmmi_tuning_identity {
    char library[32], backend[32], device[128], units[16], driver[128];
} qmmi_tuning_identity;

qmmi_tuning_identity qmmi_tuning_identify(const qmm_context *context);

/* CRC-32 as of IEEE 802.3. */
uint32_t qmmi_tuning_crc(const void *bytes, size_t count);

/* Bytes that the text of so many choices takes at most; the text, giving back its bytes. */
size_t qmmi_tuning_text_bytes(int count);
size_t qmmi_tuning_write_text(const qmmi_tuning_identity *identity, const qmmi_tuned *choices, int count, char *text);

/* Reads a text: the choices, of which `choices` has room for QMMI_TUNED_MAX, and how many. `rows` are the device's for
 * matmul. On failure, false, `reason` says what is wrong as in "is empty", in one line of printable ASCII. Touches nothing
 * else, and no byte beyond `bytes`. */
bool qmmi_tuning_parse(const char *text, size_t bytes, const qmmi_tuning_identity *identity, const qmmi_row *rows,
                       qmmi_tuned *choices, int *count, char *reason, size_t reason_bytes);

/* Adds a file's choices to the context's table. On failure the table is as it was, and `reason` says why, as above. */
qmm_status qmmi_tuning_load(qmm_context *context, const char *path, char *reason, size_t reason_bytes);

/* Writes the context's table to a file, which is replaced at once or not at all and keeps its mode; of a link, the file
 * that it leads to. */
qmm_status qmmi_tuning_save(qmm_context *context, const char *path, char *reason, size_t reason_bytes);

#define QMMI_TUNING_REASON_BYTES 512

/* What a message shows of a path, as "%s%s": its end, so that the reason has room behind it. */
#define QMMI_PATH_SHOWN 1024
static inline const char *qmmi_path_dots(const char *path) {
    return strlen(path) > QMMI_PATH_SHOWN ? "..." : "";
}
static inline const char *qmmi_path_end(const char *path) {
    const size_t length = strlen(path);
    return length > QMMI_PATH_SHOWN ? path + length - QMMI_PATH_SHOWN : path;
}

#endif
