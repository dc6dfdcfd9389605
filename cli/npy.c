/* SPDX-License-Identifier: Apache-2.0
 *
 * A file is: magic "\x93NUMPY", version (two bytes), length of the header (two bytes in version 1, four in 2 and 3),
 * header, data. The header is a Python literal, as {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }. */
#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64
#include "npy.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const unsigned char MAGIC[6] = { 0x93, 'N', 'U', 'M', 'P', 'Y' };
enum { PREAMBLE_MAX = 12, DATA_ALIGNMENT = 64 };

static const struct {
    const char *name;
    size_t bytes;
} types[] = {
    [NPY_F4] = { "f4", 4 }, [NPY_F2] = { "f2", 2 }, [NPY_I1] = { "i1", 1 }, [NPY_U1] = { "u1", 1 },
    [NPY_I2] = { "i2", 2 }, [NPY_U2] = { "u2", 2 }, [NPY_I4] = { "i4", 4 },
};
enum { TYPES = sizeof types / sizeof types[0] };

const char *npy_type_name(npy_type type) {
    return types[type].name;
}

size_t npy_type_bytes(npy_type type) {
    return types[type].bytes;
}

npy_array npy_view(npy_type type, int dims, const int64_t *shape, const void *data) {
    npy_array array = { .type = type, .dims = dims, .shape = { 1, 1, 1 }, .count = 1, .data = data };
    for (int i = 0; i < dims; i++) array.count *= array.shape[i] = shape[i];
    array.bytes = (size_t)array.count * npy_type_bytes(type);
    return array;
}

/* ---- the header: a reader of one Python literal ------------------------------------------------------------------ */

typedef struct reader {
    const char *at, *end;
    char *error;
    size_t error_bytes;
} reader;

#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
static bool
fail(const reader *r, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(r->error, r->error_bytes, format, arguments);
    va_end(arguments);
    return false;
}

static void skip_blanks(reader *r) {
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r')) r->at++;
}

/* Takes `c` after blanks, if it is next. */
static bool accept(reader *r, char c) {
    skip_blanks(r);
    if (r->at == r->end || *r->at != c) return false;
    r->at++;
    return true;
}

static bool expect(reader *r, char c, const char *where) {
    return accept(r, c) || fail(r, "malformed header: no '%c' %s", c, where);
}

static bool accept_word(reader *r, const char *word) {
    const size_t length = strlen(word);
    skip_blanks(r);
    if ((size_t)(r->end - r->at) < length || memcmp(r->at, word, length) != 0) return false;
    r->at += length;
    return true;
}

/* A string without escapes, of printable ASCII and at most `size` - 1 characters: no key or type needs more. */
static bool read_string(reader *r, const char *what, char *text, size_t size) {
    size_t length = 0;
    char quote;
    skip_blanks(r);
    if (r->at == r->end || (*r->at != '\'' && *r->at != '"'))
        return fail(r, "malformed header: %s is not a string", what);
    quote = *r->at++;
    for (; r->at < r->end && *r->at != quote; r->at++) {
        if (*r->at < 0x20 || *r->at > 0x7e || *r->at == '\\')
            return fail(r, "malformed header: %s is not plain text", what);
        if (length + 1 == size) return fail(r, "malformed header: %s is longer than %zu characters", what, size - 1);
        text[length++] = *r->at;
    }
    text[length] = '\0';
    return expect(r, quote, "at the end of a string");
}

static bool read_descr(reader *r, npy_array *out) {
    char text[24];
    skip_blanks(r);
    if (r->at < r->end && *r->at == '[') return fail(r, "dtype is a record; supported are f4 f2 i1 u1 i2 u2 i4");
    if (!read_string(r, "descr", text, sizeof text)) return false;
    if (text[0] == '>') return fail(r, "dtype '%s' is big-endian; only little-endian files are read", text);
    for (int i = 0; i < (int)TYPES; i++) {
        if (!text[0] || !strchr("<|=", text[0]) || strcmp(text + 1, types[i].name) != 0) continue;
        out->type = (npy_type)i;
        return true;
    }
    return fail(r, "dtype '%s' is none of f4 f2 i1 u1 i2 u2 i4", text);
}

static bool read_fortran_order(reader *r) {
    if (accept_word(r, "False")) return true;
    if (accept_word(r, "True")) return fail(r, "the array is in Fortran order; save it with numpy.ascontiguousarray");
    return fail(r, "malformed header: fortran_order is neither True nor False");
}

static bool read_dimension(reader *r, int64_t *value) {
    int64_t v = 0;
    skip_blanks(r);
    if (r->at < r->end && *r->at == '-') return fail(r, "a dimension of the shape is negative");
    if (r->at == r->end || *r->at < '0' || *r->at > '9')
        return fail(r, "malformed header: a dimension is not a number");
    for (; r->at < r->end && *r->at >= '0' && *r->at <= '9'; r->at++) {
        const int digit = *r->at - '0';
        if (v > (INT64_MAX - digit) / 10) return fail(r, "a dimension of the shape is above 2^63 - 1");
        v = v * 10 + digit;
    }
    if (r->at < r->end && *r->at == 'L') r->at++; /* Python 2 wrote long integers so */
    *value = v;
    return true;
}

/* A tuple: () or (3,) or (3, 4) or (3, 4,); (3) is a number in brackets, not a tuple. */
static bool read_shape(reader *r, npy_array *out) {
    bool comma = true;
    out->dims = 0;
    for (int i = 0; i < NPY_DIMS_MAX; i++) out->shape[i] = 1;
    if (!expect(r, '(', "before the shape")) return false;
    while (!accept(r, ')')) {
        int64_t dimension = 0;
        if (!comma) return fail(r, "malformed header: no ',' between the dimensions");
        if (!read_dimension(r, &dimension)) return false;
        if (out->dims == NPY_DIMS_MAX) return fail(r, "the array has more than %d dimensions", NPY_DIMS_MAX);
        out->shape[out->dims++] = dimension;
        comma = accept(r, ',');
    }
    return out->dims != 1 || comma || fail(r, "malformed header: the shape is not a tuple");
}

static bool read_entry(reader *r, npy_array *out, unsigned *seen) {
    static const char *const keys[] = { "descr", "fortran_order", "shape" };
    char key[24];
    unsigned which = 0;
    if (!read_string(r, "a key", key, sizeof key)) return false;
    while (which < 3 && strcmp(key, keys[which]) != 0) which++;
    if (which == 3) return fail(r, "malformed header: unknown key '%s'", key);
    if (*seen & 1u << which) return fail(r, "malformed header: key '%s' is there twice", key);
    *seen |= 1u << which;
    if (!expect(r, ':', "after a key")) return false;
    return which == 0 ? read_descr(r, out) : which == 1 ? read_fortran_order(r) : read_shape(r, out);
}

static bool read_header(reader *r, npy_array *out) {
    unsigned seen = 0;
    bool comma = true;
    if (!expect(r, '{', "at its beginning")) return false;
    while (!accept(r, '}')) {
        if (!comma) return fail(r, "malformed header: no ',' between the entries");
        if (!read_entry(r, out, &seen)) return false;
        comma = accept(r, ',');
    }
    if (seen != 7)
        return fail(r, "malformed header: no key '%s'",
                    !(seen & 1)   ? "descr"
                    : !(seen & 2) ? "fortran_order"
                                  : "shape");
    skip_blanks(r);
    return r->at == r->end || fail(r, "malformed header: something follows the '}'");
}

/* ---- sizes ------------------------------------------------------------------------------------------------------- */

/* Elements and bytes of the shape. Dimensions beside a 0 are multiplied too: their product is meant to fit as well. */
static bool count_elements(const reader *r, npy_array *out) {
    const uint64_t limit = PTRDIFF_MAX < INT64_MAX ? (uint64_t)PTRDIFF_MAX : (uint64_t)INT64_MAX;
    uint64_t count = 1;
    bool empty = false;
    for (int i = 0; i < out->dims; i++) {
        const uint64_t dimension = (uint64_t)out->shape[i];
        if (dimension == 0) empty = true;
        if (dimension > 0 && count > limit / npy_type_bytes(out->type) / dimension)
            return fail(r, "the size of the shape overflows");
        if (dimension > 0) count *= dimension;
    }
    out->count = empty ? 0 : (int64_t)count;
    out->bytes = (size_t)out->count * npy_type_bytes(out->type);
    return true;
}

static bool check_preamble(const reader *r, const unsigned char *bytes, uint64_t total, size_t *preamble,
                           size_t *header) {
    if (total < sizeof MAGIC + 4) return fail(r, "too short for a .npy file: %" PRIu64 " bytes", total);
    if (memcmp(bytes, MAGIC, sizeof MAGIC) != 0) return fail(r, "not a .npy file: it does not begin with \\x93NUMPY");
    if (bytes[6] < 1 || bytes[6] > 3 || bytes[7] != 0)
        return fail(r, "version %d.%d of .npy is none of 1.0, 2.0, 3.0", bytes[6], bytes[7]);
    *preamble = bytes[6] == 1 ? 10 : 12;
    if (total < *preamble) return fail(r, "too short for a .npy file: %" PRIu64 " bytes", total);
    *header = (size_t)bytes[8] | (size_t)bytes[9] << 8;
    if (bytes[6] > 1) *header |= (size_t)bytes[10] << 16 | (size_t)bytes[11] << 24;
    if (*header > NPY_HEADER_MAX) return fail(r, "header of %zu bytes; the limit is %d", *header, NPY_HEADER_MAX);
    if (*header > total - *preamble)
        return fail(r, "truncated: header of %zu bytes, but only %" PRIu64 " follow", *header, total - *preamble);
    return true;
}

/* Everything but the data. `bytes` is the beginning of a file of `total` bytes and holds its whole header, if that is
 * within the limit. */
static bool parse_beginning(const unsigned char *bytes, uint64_t total, npy_array *out, size_t *data_offset,
                            char *error, size_t error_bytes) {
    reader r = { .error = error, .error_bytes = error_bytes };
    size_t preamble = 0, header = 0;
    if (!check_preamble(&r, bytes, total, &preamble, &header)) return false;
    r.at = (const char *)bytes + preamble;
    r.end = r.at + header;
    if (!read_header(&r, out) || !count_elements(&r, out)) return false;
    *data_offset = preamble + header;
    if (out->bytes != total - *data_offset)
        return fail(&r, "%s: the shape needs %zu bytes of data, the file has %" PRIu64,
                    out->bytes > total - *data_offset ? "truncated" : "too long", out->bytes, total - *data_offset);
    return true;
}

bool npy_parse(const unsigned char *bytes, size_t count, npy_array *out, char *error, size_t error_bytes) {
    npy_array array = { 0 };
    size_t data_offset;
    if (!parse_beginning(bytes, count, &array, &data_offset, error, error_bytes)) return false;
    array.data = bytes + data_offset;
    *out = array;
    return true;
}

/* ---- reading files ----------------------------------------------------------------------------------------------- */

/* Says `PATH: what`, with the system's reason. */
static bool fail_errno(const reader *r, const char *path, const char *what) {
    const int number = errno;
    return fail(r, "%s: %s: %s", path, what, strerror(number));
}

static bool read_data(const reader *r, const char *path, FILE *file, size_t offset, npy_array *array) {
    /* One byte for an empty array: malloc(0) may give NULL. */
    if (posix_memalign(&array->storage, DATA_ALIGNMENT, array->bytes ? array->bytes : 1) != 0) {
        array->storage = NULL;
        return fail(r, "%s: no memory for its %zu bytes of data", path, array->bytes);
    }
    array->data = array->storage;
    if (fseeko(file, (off_t)offset, SEEK_SET) != 0 || fread(array->storage, 1, array->bytes, file) != array->bytes) {
        npy_free(array);
        return ferror(file) ? fail_errno(r, path, "cannot read") : fail(r, "%s: it changed while being read", path);
    }
    return true;
}

static bool read_open_file(const reader *r, const char *path, FILE *file, unsigned char *beginning, uint64_t total,
                           npy_array *array) {
    const size_t limit = PREAMBLE_MAX + NPY_HEADER_MAX, wanted = total < limit ? (size_t)total : limit;
    char reason[NPY_ERROR_BYTES];
    size_t offset;
    if (fread(beginning, 1, wanted, file) != wanted)
        return ferror(file) ? fail_errno(r, path, "cannot read") : fail(r, "%s: it changed while being read", path);
    if (!parse_beginning(beginning, total, array, &offset, reason, sizeof reason))
        return fail(r, "%s: %s", path, reason);
    return read_data(r, path, file, offset, array);
}

bool npy_read(const char *path, npy_array *out, char *error, size_t error_bytes) {
    const reader r = { .error = error, .error_bytes = error_bytes };
    struct stat facts;
    npy_array array = { 0 };
    unsigned char *beginning = NULL;
    FILE *file = NULL;
    bool good = false;
    /* Non-blocking, so that a pipe without a writer is refused instead of waited for. */
    const int descriptor = open(path, O_RDONLY | O_NONBLOCK);
    if (descriptor < 0) return fail_errno(&r, path, "cannot open");
    if (fstat(descriptor, &facts) != 0) {
        fail_errno(&r, path, "cannot read");
    } else if (!S_ISREG(facts.st_mode)) {
        fail(&r, "%s: not a regular file", path);
    } else if (!(beginning = malloc(PREAMBLE_MAX + NPY_HEADER_MAX)) || !(file = fdopen(descriptor, "rb"))) {
        fail_errno(&r, path, "cannot read");
    } else {
        good = read_open_file(&r, path, file, beginning, (uint64_t)facts.st_size, &array);
    }
    if (file) {
        fclose(file);
    } else {
        close(descriptor);
    }
    free(beginning);
    if (good) *out = array;
    return good;
}

void npy_free(npy_array *array) {
    free(array->storage);
    *array = (npy_array){ 0 };
}

/* ---- writing files ----------------------------------------------------------------------------------------------- */

/* Version 1.0 as NumPy writes it: the header is padded with blanks, so that the data begins on a multiple of 64. */
static size_t make_header(const npy_array *array, char *header) {
    char shape[80] = "";
    size_t length = 0;
    int text;
    for (int i = 0; i < array->dims; i++)
        length +=
            (size_t)snprintf(shape + length, sizeof shape - length, i ? ", %" PRId64 : "%" PRId64, array->shape[i]);
    text = snprintf(header + 10, 256 - 10, "{'descr': '%c%s', 'fortran_order': False, 'shape': (%s%s), }",
                    npy_type_bytes(array->type) == 1 ? '|' : '<', npy_type_name(array->type), shape,
                    array->dims == 1 ? "," : "");
    length = ((size_t)text + 10 + 1 + DATA_ALIGNMENT - 1) / DATA_ALIGNMENT * DATA_ALIGNMENT;
    memset(header + 10 + text, ' ', length - 10 - (size_t)text);
    header[length - 1] = '\n';
    memcpy(header, MAGIC, sizeof MAGIC);
    header[6] = 1;
    header[7] = 0;
    header[8] = (char)((length - 10) & 0xff);
    header[9] = (char)((length - 10) >> 8);
    return length;
}

static bool is_writable_place(const reader *r, const char *path) {
    struct stat facts;
    if (stat(path, &facts) != 0 || S_ISREG(facts.st_mode)) return true;
    return fail(r, "%s: it is there and is not a regular file", path);
}

/* Creates the file `temporary`, beside the path so that a rename stays within its file system. */
static bool write_temporary(const reader *r, const npy_file *target, const char *temporary) {
    char header[256];
    const size_t header_bytes = make_header(&target->array, header), bytes = target->array.bytes;
    const int descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL, 0666);
    FILE *file = descriptor < 0 ? NULL : fdopen(descriptor, "wb");
    bool good;
    if (!file) {
        fail_errno(r, target->path, "cannot create");
        if (descriptor >= 0) {
            close(descriptor);
            unlink(temporary);
        }
        return false;
    }
    good = fwrite(header, 1, header_bytes, file) == header_bytes && fwrite(target->array.data, 1, bytes, file) == bytes;
    if (fclose(file) != 0) good = false; /* a full disk may show only here */
    if (good) return true;
    fail_errno(r, target->path, "cannot write");
    unlink(temporary);
    return false;
}

static bool temporary_name(const reader *r, const char *path, char *name) {
    const int length = snprintf(name, PATH_MAX, "%s.%ld.tmp", path, (long)getpid());
    return (length > 0 && length < PATH_MAX) || fail(r, "the path is longer than %d characters", PATH_MAX - 1);
}

bool npy_write(const npy_file *files, size_t count, char *error, size_t error_bytes) {
    const reader r = { .error = error, .error_bytes = error_bytes };
    char name[PATH_MAX];
    size_t written = 0, renamed = 0;
    for (; written < count; written++) {
        if (!is_writable_place(&r, files[written].path) || !temporary_name(&r, files[written].path, name) ||
            !write_temporary(&r, &files[written], name))
            break;
    }
    for (; written == count && renamed < count; renamed++) {
        temporary_name(&r, files[renamed].path, name);
        if (rename(name, files[renamed].path) == 0) continue;
        fail_errno(&r, files[renamed].path, "cannot write");
        break;
    }
    for (size_t i = renamed; i < written; i++) {
        temporary_name(&r, files[i].path, name);
        unlink(name);
    }
    return renamed == count;
}
