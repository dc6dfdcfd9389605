/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads and writes NumPy's .npy files, versions 1.0, 2.0 and 3.0: little-endian f4 f2 i1 u1 i2 u2 i4, C order, at most
 * three dimensions. Anything else is refused with one line of text that names the rule.
 *
 * Nothing in a file is believed: a header is at most 1 MiB, every product of dimensions is checked for overflow, and a
 * shape that does not account for the size of the file to the byte is refused before any memory is taken for it.
 * Source: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html */
#ifndef QMM_CLI_NPY_H
#define QMM_CLI_NPY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NPY_DIMS_MAX = 3, NPY_HEADER_MAX = 1 << 20, NPY_ERROR_BYTES = 512 };

typedef enum npy_type { NPY_F4, NPY_F2, NPY_I1, NPY_U1, NPY_I2, NPY_U2, NPY_I4 } npy_type;

typedef struct npy_array {
    npy_type type;
    int dims;                    /* 0..3; the array of 0 dimensions has one element */
    int64_t shape[NPY_DIMS_MAX]; /* 1 past dims */
    int64_t count;               /* of elements */
    size_t bytes;                /* of data */
    const void *data;            /* after npy_parse inside the bytes given, of any alignment; else aligned */
    void *storage;               /* what npy_free frees */
} npy_array;

/* "f4", "i1" ...: as NumPy writes it, without the byte order. */
const char *npy_type_name(npy_type type);

size_t npy_type_bytes(npy_type type);

/* An array of up to three dimensions over the caller's data; nothing is checked. */
npy_array npy_view(npy_type type, int dims, const int64_t *shape, const void *data);

/* Reads a whole file held in memory. False puts one line into `error` and leaves *out alone. */
bool npy_parse(const unsigned char *bytes, size_t count, npy_array *out, char *error, size_t error_bytes);

/* Reads a file; the array's data is its own until npy_free. The error begins with the path. */
bool npy_read(const char *path, npy_array *out, char *error, size_t error_bytes);

/* Frees what npy_read took; an array of zeros is fine. */
void npy_free(npy_array *array);

typedef struct npy_file {
    const char *path;
    npy_array array;
} npy_file;

/* Writes all the files or none: under temporary names first, renamed once every one is complete. A path that is there
 * and is not a regular file is refused. */
bool npy_write(const npy_file *files, size_t count, char *error, size_t error_bytes);

#endif
