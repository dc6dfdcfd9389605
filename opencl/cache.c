/* SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L
#include "cache.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A file: this, the key, the binary. */
typedef struct header {
    char magic[8];
    uint64_t key_bytes, binary_bytes;
    uint64_t check; /* of key and binary */
} header;

static const char magic[8] = { 'q', 'm', 'm', ' ', 'c', 'l', ' ', '1' };

#define BINARY_BYTES_MAX ((uint64_t)1 << 30) /* more is no program */

/* FNV-1a. */
static uint64_t hash_on(uint64_t hash, const void *bytes, size_t length) {
    const unsigned char *b = bytes;
    for (size_t i = 0; i < length; i++) hash = (hash ^ b[i]) * UINT64_C(0x100000001b3);
    return hash;
}

uint64_t qmmi_opencl_cache_hash(const void *bytes, size_t length) {
    return hash_on(UINT64_C(0xcbf29ce484222325), bytes, length);
}

static uint64_t check_of(const char *key, const unsigned char *binary, size_t bytes) {
    return hash_on(qmmi_opencl_cache_hash(key, strlen(key)), binary, bytes);
}

/* The file of a key; false if the name is too long. */
static bool write_path(const char *directory, const char *key, const char *ending, char *path, size_t bytes) {
    const int length =
        snprintf(path, bytes, "%s/qmm-%016" PRIx64 "%s", directory, qmmi_opencl_cache_hash(key, strlen(key)), ending);
    return length > 0 && (size_t)length < bytes;
}

/* What an open file holds, if it is what its header says, for this key. */
static unsigned char *read_binary(FILE *file, const char *key, size_t *bytes) {
    const size_t key_bytes = strlen(key);
    unsigned char *binary = NULL;
    char stored_key[2048], beyond;
    header h;
    if (fread(&h, sizeof h, 1, file) != 1 || memcmp(h.magic, magic, sizeof magic) != 0) return NULL;
    if (h.key_bytes != key_bytes || key_bytes > sizeof stored_key || h.binary_bytes == 0 ||
        h.binary_bytes > BINARY_BYTES_MAX)
        return NULL;
    if (fread(stored_key, 1, key_bytes, file) != key_bytes || memcmp(stored_key, key, key_bytes) != 0) return NULL;
    *bytes = (size_t)h.binary_bytes;
    binary = malloc(*bytes);
    if (binary && fread(binary, 1, *bytes, file) == *bytes && fread(&beyond, 1, 1, file) == 0 &&
        check_of(key, binary, *bytes) == h.check)
        return binary;
    free(binary);
    return NULL;
}

unsigned char *qmmi_opencl_cache_load(const qmm_context *context, const char *directory, const char *key,
                                      size_t *bytes) {
    unsigned char *binary;
    char path[4096];
    FILE *file;
    if (!write_path(directory, key, ".bin", path, sizeof path)) return NULL;
    file = fopen(path, "rb");
    if (!file) {
        if (errno != ENOENT) qmmi_log(context, QMM_LOG_WARNING, "OpenCL: %s cannot be read: %s", path, strerror(errno));
        return NULL;
    }
    binary = read_binary(file, key, bytes);
    fclose(file);
    if (!binary)
        qmmi_log(context, QMM_LOG_WARNING, "OpenCL: %s is damaged or of another program; it is not used", path);
    return binary;
}

static bool write_file(FILE *file, const char *key, const unsigned char *binary, size_t bytes) {
    header h = { .key_bytes = strlen(key), .binary_bytes = bytes, .check = check_of(key, binary, bytes) };
    memcpy(h.magic, magic, sizeof magic);
    return fwrite(&h, sizeof h, 1, file) == 1 && fwrite(key, 1, strlen(key), file) == strlen(key) &&
           fwrite(binary, 1, bytes, file) == bytes;
}

void qmmi_opencl_cache_store(const qmm_context *context, const char *directory, const char *key,
                             const unsigned char *binary, size_t bytes) {
    char path[4096], temporary[4096];
    FILE *file = NULL;
    int descriptor = -1;
    bool written = false;
    if (!write_path(directory, key, ".bin", path, sizeof path) ||
        !write_path(directory, key, ".XXXXXX", temporary, sizeof temporary)) {
        errno = ENAMETOOLONG;
    } else if ((descriptor = mkstemp(temporary)) >= 0) {
        file = fdopen(descriptor, "wb");
        written = file && write_file(file, key, binary, bytes);
        if (file)
            written = fclose(file) == 0 && written;
        else
            close(descriptor);
        written = written && rename(temporary, path) == 0;
        if (!written) remove(temporary);
    }
    if (!written)
        qmmi_log(context, QMM_LOG_WARNING, "OpenCL: a built program cannot be kept in %s: %s", directory,
                 strerror(errno));
}
