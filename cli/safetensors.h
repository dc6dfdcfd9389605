/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads the index of a .safetensors file, and pieces of its data: eight bytes with the length of a header, the header
 * in JSON, then the data. The header is
 *     {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ..., "__metadata__": {"key": "text"}}
 * A file that breaks a rule of the format is refused as a whole, with one line of text that names the rule.
 *
 * Nothing in a file is believed: the header is at most 100,000,000 bytes, as in the format's own reader, and is looked
 * through for depth and keys before it is parsed; every product is checked for overflow; a tensor's bytes are those of
 * its type and shape; the tensors cover the data, without a gap or an overlap. Tensors are read in pieces, never the
 * file as a whole.
 * Source: https://github.com/huggingface/safetensors, README, section Format. */
#ifndef QMM_CLI_SAFETENSORS_H
#define QMM_CLI_SAFETENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SAFETENSORS_HEADER_MAX = 100000000, SAFETENSORS_DIMS_MAX = 8, SAFETENSORS_ERROR_BYTES = 512 };

typedef struct safetensors_tensor {
    char *name;                          /* UTF-8 */
    const char *dtype;                   /* "F32", "BF16" ...; static storage */
    int dims;
    int64_t shape[SAFETENSORS_DIMS_MAX]; /* 1 past dims */
    uint64_t offset;                     /* in the file, of its first byte */
    uint64_t bytes;
} safetensors_tensor;

typedef struct safetensors_file {
    safetensors_tensor *tensors; /* in the order of their data */
    size_t count;
    int descriptor; /* of the open file; -1 for one in memory */
} safetensors_file;

/* Is there a reader in this build? Without Jansson the functions below refuse every file, with a line that says so. */
bool safetensors_supported(void);

/* The index of a whole file held in memory. False puts one line into `error` and leaves *out alone. */
bool safetensors_parse(const unsigned char *bytes, size_t count, safetensors_file *out, char *error,
                       size_t error_bytes);

/* The index of a file, which stays open until safetensors_close. The error begins with the path. */
bool safetensors_open(const char *path, safetensors_file *out, char *error, size_t error_bytes);

/* `bytes` bytes of a tensor's data, from its byte `first` on; they lie within it. */
bool safetensors_read(const safetensors_file *file, const safetensors_tensor *tensor, uint64_t first, void *target,
                      size_t bytes, char *error, size_t error_bytes);

/* Frees what parse and open took. */
void safetensors_close(safetensors_file *file);

#endif
