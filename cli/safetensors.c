/* SPDX-License-Identifier: Apache-2.0
 *
 * The header is parsed by Jansson; what comes before, as it bounds the parser's depth, and everything after is here. */
#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64
#include "safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct reader {
    char *error;
    size_t error_bytes;
} reader;

/* Names are shortened by the callers; what is not printable ASCII becomes '?', so that a line is a line. */
#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
static bool
fail(const reader *r, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(r->error, r->error_bytes, format, arguments);
    va_end(arguments);
    for (char *c = r->error; r->error_bytes > 0 && *c; c++)
        if (*c < 0x20 || *c > 0x7e) *c = '?';
    return false;
}

void safetensors_close(safetensors_file *file) {
    for (size_t i = 0; i < file->count; i++) free(file->tensors[i].name);
    free(file->tensors);
    if (file->descriptor >= 0) close(file->descriptor);
    *file = (safetensors_file){ .descriptor = -1 };
}

#ifdef QMM_HAVE_JANSSON

#include <jansson.h>

enum { LENGTH_BYTES = 8, DEPTH_MAX = 3, ARRAY_MAX = 64, KEYS_MAX = 1000000 };

#define DATA_MAX ((uint64_t)INT64_MAX)

static const struct {
    const char *name;
    unsigned bits;
} dtypes[] = {
    { "F32", 32 },     { "F16", 16 },    { "BF16", 16 },   { "F64", 64 },    { "I8", 8 },       { "U8", 8 },
    { "BOOL", 8 },     { "I16", 16 },    { "U16", 16 },    { "I32", 32 },    { "U32", 32 },     { "I64", 64 },
    { "U64", 64 },     { "C64", 64 },    { "F8_E4M3", 8 }, { "F8_E5M2", 8 }, { "F8_E8M0", 8 },  { "F6_E2M3", 6 },
    { "F6_E3M2", 6 },  { "F4", 4 },
};
enum { DTYPES = sizeof dtypes / sizeof dtypes[0] };

bool safetensors_supported(void) {
    return true;
}

/* ---- before the parser ------------------------------------------------------------------------------------------- */

/* The places of the text that are not inside a string. */
typedef struct scanner {
    const unsigned char *at, *end;
    bool inside, escaped;
} scanner;

/* The next byte outside of strings; 0 at the end. */
static unsigned char next_outside(scanner *s) {
    for (; s->at < s->end; s->at++) {
        const unsigned char c = *s->at;
        if (s->inside) {
            if (!s->escaped && c == '"') s->inside = false;
            s->escaped = !s->escaped && c == '\\';
        } else if (c == '"') {
            s->inside = true;
        } else {
            s->at++;
            return c ? c : ' ';
        }
    }
    return 0;
}

/* A header is three deep, its arrays have a few numbers, and no model has a quarter of a million tensors in a file. The
 * parser believes what it is given: it would take twenty times the header's memory for millions of values, a minute for
 * millions of keys, and a stack for depth. */
static bool check_nesting(const reader *r, const unsigned char *header, size_t bytes) {
    scanner s = { .at = header, .end = header + bytes };
    int depth = 0, commas = 0, keys = 0;
    for (unsigned char c = next_outside(&s); c; c = next_outside(&s)) {
        if (c == '{' || c == '[') {
            commas = 0;
            if (c == '[' && depth < DEPTH_MAX - 1) return fail(r, "malformed header: an array where a tensor belongs");
            if (++depth > DEPTH_MAX) return fail(r, "malformed header: nested deeper than %d", DEPTH_MAX);
        } else if (c == '}' || c == ']') {
            depth--;
        } else if (c == ':' && ++keys > KEYS_MAX) {
            return fail(r, "header of more than %d keys", KEYS_MAX);
        } else if (c == ',' && depth == DEPTH_MAX && ++commas >= ARRAY_MAX) {
            return fail(r, "malformed header: more than %d elements in a tensor's shape or data_offsets", ARRAY_MAX);
        }
    }
    return true;
}

/* The header's length, from the file's first bytes. */
static bool check_length(const reader *r, const unsigned char *bytes, uint64_t total, size_t *header) {
    uint64_t length = 0;
    if (total < LENGTH_BYTES) return fail(r, "too short for a .safetensors file: %" PRIu64 " bytes", total);
    for (int i = LENGTH_BYTES - 1; i >= 0; i--) length = length << 8 | bytes[i];
    if (length > SAFETENSORS_HEADER_MAX)
        return fail(r, "header of %" PRIu64 " bytes; the limit is %d", length, SAFETENSORS_HEADER_MAX);
    if (length > total - LENGTH_BYTES)
        return fail(r, "truncated: header of %" PRIu64 " bytes, but only %" PRIu64 " follow", length,
                    total - LENGTH_BYTES);
    if (total > DATA_MAX) return fail(r, "the file is larger than 2^63 - 1 bytes");
    *header = (size_t)length;
    return true;
}

/* ---- one tensor -------------------------------------------------------------------------------------------------- */

/* A whole number from 0 to 2^63 - 1 of the header; `what` names it. */
static bool read_number(const reader *r, const char *name, const char *what, const json_t *value, uint64_t *number) {
    if (!json_is_integer(value)) return fail(r, "tensor '%.80s': %s holds what is no whole number", name, what);
    if (json_integer_value(value) < 0)
        return fail(r, "tensor '%.80s': %s holds the negative number %" JSON_INTEGER_FORMAT, name, what,
                    json_integer_value(value));
    *number = (uint64_t)json_integer_value(value);
    return true;
}

static bool read_dtype(const reader *r, const json_t *value, safetensors_tensor *t, unsigned *bits) {
    if (!json_is_string(value)) return fail(r, "tensor '%.80s': dtype is missing or no string", t->name);
    for (size_t i = 0; i < DTYPES; i++) {
        if (strcmp(json_string_value(value), dtypes[i].name) != 0) continue;
        t->dtype = dtypes[i].name;
        *bits = dtypes[i].bits;
        return true;
    }
    return fail(r, "tensor '%.80s': dtype '%.16s' is not known", t->name, json_string_value(value));
}

/* The shape, and the bytes that it and the type take. Dimensions beside a 0 are multiplied too: their product is meant
 * to fit as well. */
static bool read_shape(const reader *r, const json_t *value, unsigned bits, safetensors_tensor *t, uint64_t *bytes) {
    uint64_t count = 1;
    bool empty = false;
    if (!json_is_array(value)) return fail(r, "tensor '%.80s': shape is missing or no array", t->name);
    if (json_array_size(value) > SAFETENSORS_DIMS_MAX)
        return fail(r, "tensor '%.80s': more than %d dimensions", t->name, SAFETENSORS_DIMS_MAX);
    t->dims = (int)json_array_size(value);
    for (int i = 0; i < SAFETENSORS_DIMS_MAX; i++) {
        uint64_t dimension = 1;
        if (i < t->dims && !read_number(r, t->name, "shape", json_array_get(value, (size_t)i), &dimension))
            return false;
        t->shape[i] = (int64_t)dimension;
        if (dimension == 0) empty = true;
        if (dimension > 0 && count > DATA_MAX / bits / dimension)
            return fail(r, "tensor '%.80s': the size of its shape overflows", t->name);
        if (dimension > 0) count *= dimension;
    }
    if (empty) count = 0;
    if (count * bits % 8 != 0) return fail(r, "tensor '%.80s': its size is no whole number of bytes", t->name);
    *bytes = count * bits / 8;
    return true;
}

static bool read_offsets(const reader *r, const json_t *value, uint64_t data_bytes, safetensors_tensor *t) {
    uint64_t begin = 0, end = 0;
    if (!json_is_array(value) || json_array_size(value) != 2)
        return fail(r, "tensor '%.80s': data_offsets is missing or no pair of numbers", t->name);
    if (!read_number(r, t->name, "data_offsets", json_array_get(value, 0), &begin) ||
        !read_number(r, t->name, "data_offsets", json_array_get(value, 1), &end))
        return false;
    if (begin > end)
        return fail(r, "tensor '%.80s': data_offsets end at %" PRIu64 ", before they begin at %" PRIu64, t->name, end,
                    begin);
    if (end > data_bytes)
        return fail(r, "tensor '%.80s': data_offsets end at %" PRIu64 ", the data at %" PRIu64 " (truncated?)",
                    t->name, end, data_bytes);
    t->offset = begin;
    t->bytes = end - begin;
    return true;
}

static bool read_tensor(const reader *r, const json_t *value, uint64_t data_bytes, safetensors_tensor *t) {
    unsigned bits = 0;
    uint64_t bytes = 0;
    if (!json_is_object(value)) return fail(r, "tensor '%.80s' is no JSON object", t->name);
    if (!read_dtype(r, json_object_get(value, "dtype"), t, &bits) ||
        !read_shape(r, json_object_get(value, "shape"), bits, t, &bytes) ||
        !read_offsets(r, json_object_get(value, "data_offsets"), data_bytes, t))
        return false;
    return t->bytes == bytes || fail(r, "tensor '%.80s': its type and shape take %" PRIu64
                                        " bytes, its data_offsets %" PRIu64, t->name, bytes, t->bytes);
}

/* ---- all of them ------------------------------------------------------------------------------------------------- */

static bool check_metadata(const reader *r, json_t *metadata) {
    const char *key;
    json_t *value;
    if (!json_is_object(metadata)) return fail(r, "__metadata__ is no JSON object");
    json_object_foreach(metadata, key, value) {
        if (!json_is_string(value)) return fail(r, "__metadata__ '%.80s' is no string", key);
    }
    return true;
}

static int by_place(const void *a, const void *b) {
    const safetensors_tensor *x = a, *y = b;
    if (x->offset != y->offset) return x->offset < y->offset ? -1 : 1;
    return x->bytes < y->bytes ? -1 : x->bytes > y->bytes; /* an empty one before one that begins there */
}

/* The format wants the tensors to cover the data: nothing twice, nothing left out. */
static bool check_cover(const reader *r, const safetensors_file *file, uint64_t data_bytes) {
    uint64_t end = 0;
    for (size_t i = 0; i < file->count; i++) {
        const safetensors_tensor *t = &file->tensors[i];
        if (t->offset < end)
            return fail(r, "tensor '%.80s' begins at %" PRIu64 " and overlaps '%.80s', which ends at %" PRIu64, t->name,
                        t->offset, file->tensors[i - 1].name, end);
        if (t->offset > end)
            return fail(r, "a gap in the data: nothing from %" PRIu64 " to tensor '%.80s' at %" PRIu64, end, t->name,
                        t->offset);
        end = t->offset + t->bytes;
    }
    return end == data_bytes ||
           fail(r, "too long: the tensors end at %" PRIu64 ", the data at %" PRIu64, end, data_bytes);
}

static bool read_tensors(const reader *r, json_t *root, size_t header, uint64_t data_bytes, safetensors_file *file) {
    const char *key;
    json_t *value;
    file->tensors = calloc(json_object_size(root) + 1, sizeof *file->tensors);
    if (!file->tensors) return fail(r, "no memory for %zu tensors", json_object_size(root));
    json_object_foreach(root, key, value) {
        safetensors_tensor *t = &file->tensors[file->count];
        if (strcmp(key, "__metadata__") == 0) {
            if (!check_metadata(r, value)) return false;
            continue;
        }
        if (!(t->name = strdup(key))) return fail(r, "no memory for %zu tensors", json_object_size(root));
        file->count++;
        if (!read_tensor(r, value, data_bytes, t)) return false;
    }
    qsort(file->tensors, file->count, sizeof *file->tensors, by_place);
    if (!check_cover(r, file, data_bytes)) return false;
    for (size_t i = 0; i < file->count; i++) file->tensors[i].offset += LENGTH_BYTES + header;
    return true;
}

/* The index from the header alone; the file has `total` bytes. */
static bool parse_header(const reader *r, const unsigned char *header, size_t bytes, uint64_t total,
                         safetensors_file *out) {
    safetensors_file file = { .descriptor = -1 };
    json_error_t error;
    json_t *root;
    bool good;
    if (bytes == 0 || header[0] != '{') return fail(r, "malformed header: it does not begin with '{'");
    if (!check_nesting(r, header, bytes)) return false;
    root = json_loadb((const char *)header, bytes, JSON_REJECT_DUPLICATES, &error);
    if (!root) return fail(r, "malformed header: %s (byte %d of it)", error.text, error.position);
    good = read_tensors(r, root, bytes, total - LENGTH_BYTES - bytes, &file);
    json_decref(root);
    if (good) {
        *out = file;
    } else {
        safetensors_close(&file);
    }
    return good;
}

bool safetensors_parse(const unsigned char *bytes, size_t count, safetensors_file *out, char *error,
                       size_t error_bytes) {
    const reader r = { error, error_bytes };
    size_t header = 0;
    return check_length(&r, bytes, count, &header) && parse_header(&r, bytes + LENGTH_BYTES, header, count, out);
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

/* All of `bytes`; false with errno, which is 0 at the end of the file. */
static bool read_all(int descriptor, uint64_t offset, unsigned char *target, size_t bytes) {
    while (bytes > 0) {
        const ssize_t got = pread(descriptor, target, bytes, (off_t)offset);
        if (got < 0 && errno == EINTR) continue;
        if (got == 0) errno = 0;
        if (got <= 0) return false;
        target += got;
        offset += (uint64_t)got;
        bytes -= (size_t)got;
    }
    return true;
}

static bool fail_read(const reader *r) {
    return errno ? fail(r, "cannot read: %s", strerror(errno)) : fail(r, "it changed while being read");
}

static bool read_index(const reader *r, int descriptor, safetensors_file *out) {
    unsigned char length[LENGTH_BYTES] = { 0 }, *header;
    struct stat facts;
    size_t bytes = 0;
    uint64_t total;
    bool good;
    if (fstat(descriptor, &facts) != 0) return fail_read(r);
    if (!S_ISREG(facts.st_mode)) return fail(r, "not a regular file");
    total = (uint64_t)facts.st_size;
    if (total >= LENGTH_BYTES && !read_all(descriptor, 0, length, LENGTH_BYTES)) return fail_read(r);
    if (!check_length(r, length, total, &bytes)) return false;
    header = malloc(bytes ? bytes : 1);
    if (!header) return fail(r, "no memory for its header of %zu bytes", bytes);
    good = read_all(descriptor, LENGTH_BYTES, header, bytes) ? parse_header(r, header, bytes, total, out)
                                                             : fail_read(r);
    free(header);
    return good;
}

bool safetensors_open(const char *path, safetensors_file *out, char *error, size_t error_bytes) {
    char text[SAFETENSORS_ERROR_BYTES] = "";
    const reader r = { error, error_bytes }, inner = { text, sizeof text };
    safetensors_file file;
    /* Non-blocking, so that a pipe without a writer is refused instead of waited for. */
    const int descriptor = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (descriptor < 0) return fail(&r, "%s: cannot open: %s", path, strerror(errno));
    if (!read_index(&inner, descriptor, &file)) {
        close(descriptor);
        return fail(&r, "%s: %s", path, text);
    }
    file.descriptor = descriptor;
    *out = file;
    return true;
}

bool safetensors_read(const safetensors_file *file, const safetensors_tensor *tensor, uint64_t first, void *target,
                      size_t bytes, char *error, size_t error_bytes) {
    const reader r = { error, error_bytes };
    return read_all(file->descriptor, tensor->offset + first, target, bytes) || fail_read(&r);
}

#else /* no Jansson */

static bool refuse(char *error, size_t error_bytes) {
    const reader r = { error, error_bytes };
    return fail(&r, "a .safetensors file, for which this build has no reader: it was built without Jansson");
}

bool safetensors_supported(void) {
    return false;
}

bool safetensors_parse(const unsigned char *bytes, size_t count, safetensors_file *out, char *error,
                       size_t error_bytes) {
    (void)bytes, (void)count, (void)out;
    return refuse(error, error_bytes);
}

bool safetensors_open(const char *path, safetensors_file *out, char *error, size_t error_bytes) {
    const reader r = { error, error_bytes };
    char text[SAFETENSORS_ERROR_BYTES];
    (void)out;
    refuse(text, sizeof text);
    return fail(&r, "%s: %s", path, text);
}

bool safetensors_read(const safetensors_file *file, const safetensors_tensor *tensor, uint64_t first, void *target,
                      size_t bytes, char *error, size_t error_bytes) {
    (void)file, (void)tensor, (void)first, (void)target, (void)bytes;
    return refuse(error, error_bytes);
}

#endif
