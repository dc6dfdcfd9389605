/* SPDX-License-Identifier: Apache-2.0
 *
 * The tuning file: its text in and out, and the file around it. */
#define _XOPEN_SOURCE 700 /* realpath */
#include "tuning_file.h"

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

#include "context.h"
#include "kernel.h"

#define FORMAT "1"
#define HEADER_BYTES_MAX 512 /* all lines but the choices' */
#define LINE_BYTES_MAX 320   /* of a choice: six numbers of 19 digits, the names of a row and a variant */
#define NAME_BYTES 64        /* of a row or a variant */

_Static_assert(HEADER_BYTES_MAX + QMMI_TUNED_MAX * LINE_BYTES_MAX <= QMMI_TUNING_FILE_BYTES_MAX,
               "a full table can be read back");
_Static_assert(sizeof(qmmi_tuning_identity) + 100 <= HEADER_BYTES_MAX, "the lines of an identity fit");

/* ---- identity ---------------------------------------------------------------------------------------------------- */

static bool is_printable(char c) {
    return c >= ' ' && c <= '~';
}

/* In one line of printable ASCII, and never nothing. */
static void clean(char *target, size_t bytes, const char *source) {
    size_t i = 0;
    for (; i + 1 < bytes && source[i]; i++) target[i] = is_printable(source[i]) ? source[i] : '?';
    target[i] = '\0';
    if (i == 0) snprintf(target, bytes, "none");
}

qmmi_tuning_identity qmmi_tuning_identify(const qmm_context *context) {
    qmm_device_info info = QMM_DEVICE_INFO_INIT;
    qmmi_tuning_identity identity;
    context->backend->device_info(context->device, &info);
    clean(identity.library, sizeof identity.library, qmm_version());
    clean(identity.backend, sizeof identity.backend, context->backend->name);
    clean(identity.device, sizeof identity.device, info.description);
    clean(identity.driver, sizeof identity.driver, info.driver);
    snprintf(identity.units, sizeof identity.units, "%d", (int)info.compute_units);
    return identity;
}

/* ---- writing a text ---------------------------------------------------------------------------------------------- */

uint32_t qmmi_tuning_crc(const void *bytes, size_t count) {
    const unsigned char *b = bytes;
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < count; i++) {
        crc ^= b[i];
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return ~crc;
}

size_t qmmi_tuning_text_bytes(int count) {
    return HEADER_BYTES_MAX + (size_t)count * LINE_BYTES_MAX;
}

static int write_choice(const qmmi_tuned *t, char *text, size_t bytes) {
    const qmmi_kinds kinds = qmmi_kinds_unpack(t->kinds);
    return snprintf(text, bytes,
                    "matmul n=%" PRId64 " k=%" PRId64 " batch=%" PRId64 " group=%" PRId64
                    " a=%s b=%s c=%s transposed=%d%d packed=%d m=%" PRId64 " kernel=%s variant=%s\n",
                    t->n, t->k, t->batch, t->group_size, qmm_type_name(kinds.a), qmm_type_name(kinds.b),
                    qmm_type_name(kinds.c), kinds.a_transposed, kinds.b_transposed, kinds.b_packed, t->m, t->row->name,
                    t->variant ? t->row->variants[t->variant - 1] : "-");
}

size_t qmmi_tuning_write_text(const qmmi_tuning_identity *identity, const qmmi_tuned *choices, int count, char *text) {
    const size_t bytes = qmmi_tuning_text_bytes(count);
    size_t used = (size_t)snprintf(text, bytes,
                                   "qmm tuning " FORMAT "\nlibrary %s\nbackend %s\ndevice %s\nunits %s\ndriver %s\n",
                                   identity->library, identity->backend, identity->device, identity->units,
                                   identity->driver);
    for (int i = 0; i < count; i++) used += (size_t)write_choice(&choices[i], text + used, bytes - used);
    return used + (size_t)snprintf(text + used, bytes - used, "end %d %08" PRIx32 "\n", count,
                                   qmmi_tuning_crc(text, used));
}

/* ---- reading a text ---------------------------------------------------------------------------------------------- */

/* The text from `at` on; `line` counts for messages. */
typedef struct reader {
    const char *at, *end;
    int line;
    char *reason;
    size_t reason_bytes;
} reader;

/* The status, with its reason. */
static qmm_status fail(char *reason, size_t bytes, qmm_status status, const char *format, ...) QMMI_FORMAT(4, 5);
static qmm_status fail(char *reason, size_t bytes, qmm_status status, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, bytes, format, arguments);
    va_end(arguments);
    return status;
}

/* false, with the reader's reason. */
#define REFUSE(r, ...) (fail((r)->reason, (r)->reason_bytes, QMM_INVALID_ARGUMENT, __VA_ARGS__) == QMM_OK)

static bool skip(reader *r, const char *words) {
    const size_t length = strlen(words);
    if ((size_t)(r->end - r->at) < length || memcmp(r->at, words, length) != 0) return false;
    r->at += length;
    return true;
}

/* Digits without zeros before them, of at most INT64_MAX. */
static bool read_number(reader *r, int64_t *value) {
    const char *const start = r->at;
    for (*value = 0; r->at < r->end && *r->at >= '0' && *r->at <= '9'; r->at++) {
        if (__builtin_mul_overflow(*value, 10, value) || __builtin_add_overflow(*value, *r->at - '0', value))
            return false;
    }
    return r->at > start && (*start != '0' || r->at == start + 1);
}

static bool read_flag(reader *r, bool *flag) {
    if (r->at == r->end || (*r->at != '0' && *r->at != '1')) return false;
    *flag = *r->at++ == '1';
    return true;
}

/* Up to what is no printable letter: a blank, a newline, the end. */
static bool read_word(reader *r, char *word, size_t bytes) {
    size_t length = 0;
    while (r->at + length < r->end && is_printable(r->at[length]) && r->at[length] != ' ') length++;
    if (length == 0 || length >= bytes) return false;
    memcpy(word, r->at, length);
    word[length] = '\0';
    r->at += length;
    return true;
}

static bool read_type(reader *r, qmm_type *type) {
    char word[8];
    if (!read_word(r, word, sizeof word)) return false;
    for (int t = QMM_S4; t <= QMM_BF16; t++) {
        *type = (qmm_type)t;
        if (strcmp(qmm_type_name(*type), word) == 0) return true;
    }
    return false;
}

/* `name VALUE`, which is to be this one. */
static bool read_identity_line(reader *r, const char *name, const char *expected) {
    const char *newline = memchr(r->at, '\n', (size_t)(r->end - r->at));
    char found[160], shown[160];
    size_t length;
    r->line++;
    if (!newline || !skip(r, name) || !skip(r, " "))
        return REFUSE(r, "is damaged: line %d is not its %s", r->line, name);
    length = (size_t)(newline - r->at);
    if (length == strlen(expected) && skip(r, expected)) return skip(r, "\n");
    if (length >= sizeof found) length = sizeof found - 1;
    memcpy(found, r->at, length);
    found[length] = '\0';
    clean(shown, sizeof shown, found);
    return REFUSE(r, "was made with %s '%s'; this is '%s'", name, shown, expected);
}

static bool read_identity(reader *r, const qmmi_tuning_identity *identity) {
    return read_identity_line(r, "library", identity->library) && read_identity_line(r, "backend", identity->backend) &&
           read_identity_line(r, "device", identity->device) && read_identity_line(r, "units", identity->units) &&
           read_identity_line(r, "driver", identity->driver);
}

static bool read_call(reader *r, qmmi_tuned *t) {
    qmmi_kinds kinds;
    if (!(skip(r, "matmul n=") && read_number(r, &t->n) && skip(r, " k=") && read_number(r, &t->k) &&
          skip(r, " batch=") && read_number(r, &t->batch) && skip(r, " group=") && read_number(r, &t->group_size) &&
          skip(r, " a=") && read_type(r, &kinds.a) && skip(r, " b=") && read_type(r, &kinds.b) && skip(r, " c=") &&
          read_type(r, &kinds.c) && skip(r, " transposed=") && read_flag(r, &kinds.a_transposed) &&
          read_flag(r, &kinds.b_transposed) && skip(r, " packed=") && read_flag(r, &kinds.b_packed) &&
          skip(r, " m=") && read_number(r, &t->m)))
        return false;
    t->kinds = qmmi_kinds_pack(&kinds);
    return t->m >= 1 && t->n >= 1 && t->batch >= 1 && (t->group_size <= t->k || t->k == 0);
}

static const qmmi_row *find_row(const qmmi_row *rows, const char *name) {
    for (; rows && rows->name; rows++)
        if (strcmp(rows->name, name) == 0) return rows;
    return NULL;
}

static bool read_choice(reader *r, const qmmi_row *rows, qmmi_tuned *t) {
    char kernel[NAME_BYTES], variant[NAME_BYTES];
    r->line++;
    if (!(read_call(r, t) && skip(r, " kernel=") && read_word(r, kernel, sizeof kernel) && skip(r, " variant=") &&
          read_word(r, variant, sizeof variant) && skip(r, "\n")))
        return REFUSE(r, "is damaged: line %d is no choice", r->line);
    t->row = find_row(rows, kernel);
    if (!t->row) return REFUSE(r, "cannot be used: line %d has '%s', which is no matmul kernel here", r->line, kernel);
    t->variant = strcmp(variant, "-") == 0 ? 0 : qmmi_row_find_variant(t->row, variant);
    if (t->variant >= 0) return true;
    return REFUSE(r, "cannot be used: line %d has '%s', which is no variant of %s", r->line, variant, kernel);
}

static bool read_choices(reader *r, const qmmi_row *rows, qmmi_tuned *choices, int *count) {
    for (*count = 0; r->at < r->end; ++*count) {
        if (*count == QMMI_TUNED_MAX) return REFUSE(r, "has more than %d choices", QMMI_TUNED_MAX);
        if (!read_choice(r, rows, &choices[*count])) return false;
        if (*count == 0) continue;
        switch (qmmi_tuned_order(&choices[*count - 1], &choices[*count])) {
        case -1: break;
        case 0: return REFUSE(r, "is damaged: line %d is for the same call as the line before", r->line);
        default: return REFUSE(r, "is damaged: line %d is out of order", r->line);
        }
    }
    return true;
}

/* The last line: takes it off the text, having compared its checksum. */
static bool read_end(reader *r, int64_t *count) {
    const char *const start = r->at;
    reader last = *r;
    char expected[32];
    if (r->at == r->end || r->end[-1] != '\n') return REFUSE(r, "is cut short: its last line has no end");
    last.at = r->end - 1;
    while (last.at > start && last.at[-1] != '\n') last.at--;
    r->end = last.at;
    if (!skip(&last, "end ") || !read_number(&last, count))
        return REFUSE(r, "is cut short: its last line is not 'end ...'");
    snprintf(expected, sizeof expected, " %08" PRIx32 "\n", qmmi_tuning_crc(start, (size_t)(r->end - start)));
    return skip(&last, expected) || REFUSE(r, "is damaged: its checksum is wrong");
}

bool qmmi_tuning_parse(const char *text, size_t bytes, const qmmi_tuning_identity *identity, const qmmi_row *rows,
                       qmmi_tuned *choices, int *count, char *reason, size_t reason_bytes) {
    reader r = { text, text + bytes, 1, reason, reason_bytes };
    reader first = r;
    int64_t said = 0;
    *count = 0;
    if (bytes == 0) return REFUSE(&r, "is empty");
    if (bytes > QMMI_TUNING_FILE_BYTES_MAX)
        return REFUSE(&r, "is larger than the %zu bytes that a tuning file may have", QMMI_TUNING_FILE_BYTES_MAX);
    if (!skip(&first, "qmm tuning ")) return REFUSE(&r, "is no tuning file of qmm");
    if (!skip(&first, FORMAT "\n"))
        return REFUSE(&r, "has not format " FORMAT ", the one that qmm %s reads", qmm_version());
    if (!read_end(&r, &said)) return false;
    r.at = first.at;
    if (!read_identity(&r, identity) || !read_choices(&r, rows, choices, count)) return false;
    if (said == *count) return true;
    return REFUSE(&r, "is damaged: it has %d choices, and says %" PRId64, *count, said);
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

/* Reads at most `bytes`, less at the end of the file; -1 with errno. */
static ssize_t read_all(int descriptor, char *target, size_t bytes) {
    size_t used = 0;
    while (used < bytes) {
        const ssize_t got = read(descriptor, target + used, bytes - used);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return -1;
        if (got == 0) break;
        used += (size_t)got;
    }
    return (ssize_t)used;
}

static bool write_all(int descriptor, const char *source, size_t bytes) {
    while (bytes > 0) {
        const ssize_t put = write(descriptor, source, bytes);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return false;
        source += put;
        bytes -= (size_t)put;
    }
    return true;
}

/* An open file's text, in memory of *room bytes. */
static qmm_status read_text(const qmm_context *context, int descriptor, char **text, size_t *room, size_t *bytes,
                            char *reason, size_t reason_bytes) {
    struct stat facts;
    ssize_t got;
    if (fstat(descriptor, &facts) != 0)
        return fail(reason, reason_bytes, QMM_INVALID_ARGUMENT, "cannot be read: %s", strerror(errno));
    if (!S_ISREG(facts.st_mode))
        return fail(reason, reason_bytes, QMM_INVALID_ARGUMENT, "cannot be read: it is %s",
                    S_ISDIR(facts.st_mode) ? "a directory" : "no regular file");
    if ((uintmax_t)facts.st_size > QMMI_TUNING_FILE_BYTES_MAX)
        return fail(reason, reason_bytes, QMM_INVALID_ARGUMENT,
                    "is larger than the %zu bytes that a tuning file may have", QMMI_TUNING_FILE_BYTES_MAX);
    *room = (size_t)facts.st_size + 1; /* one more: a file that grows meanwhile is not read as if it were whole */
    *text = qmmi_allocate(context, *room);
    if (!*text) return fail(reason, reason_bytes, QMM_OUT_OF_MEMORY, "cannot be read: no memory for its text");
    got = read_all(descriptor, *text, *room);
    if (got < 0) return fail(reason, reason_bytes, QMM_INVALID_ARGUMENT, "cannot be read: %s", strerror(errno));
    *bytes = (size_t)got;
    return QMM_OK;
}

/* Parses, and adds to the table. */
static qmm_status take_text(qmm_context *context, const char *text, size_t bytes, char *reason, size_t reason_bytes) {
    const qmmi_tuning_identity identity = qmmi_tuning_identify(context);
    const size_t room = QMMI_TUNED_MAX * sizeof(qmmi_tuned);
    qmmi_tuned *choices = qmmi_allocate(context, room);
    qmm_status status = QMM_INVALID_ARGUMENT;
    const char *why = NULL;
    int count;
    if (!choices) return fail(reason, reason_bytes, QMM_OUT_OF_MEMORY, "cannot be read: no memory for its choices");
    if (qmmi_tuning_parse(text, bytes, &identity, context->backend->rows[QMMI_MATMUL], choices, &count, reason,
                          reason_bytes)) {
        status = qmmi_tuning_merge(context, choices, count, &why);
        if (status != QMM_OK) fail(reason, reason_bytes, status, "%s", why);
    }
    qmmi_release(context, choices, room);
    return status;
}

/* Without waiting for anything: a pipe of that name is refused, too. */
qmm_status qmmi_tuning_load(qmm_context *context, const char *path, char *reason, size_t reason_bytes) {
    const int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    char *text = NULL;
    size_t room = 0, bytes = 0;
    qmm_status status;
    if (descriptor < 0)
        return fail(reason, reason_bytes, QMM_INVALID_ARGUMENT, "cannot be read: %s", strerror(errno));
    status = read_text(context, descriptor, &text, &room, &bytes, reason, reason_bytes);
    close(descriptor);
    if (status == QMM_OK) status = take_text(context, text, bytes, reason, reason_bytes);
    qmmi_release(context, text, room);
    return status;
}

/* A new file beside `path`, of a name that no other process and no other thread has, and that is short: the file's own
 * may be as long as names can be. -1 with errno. */
static int create_beside(const char *path, char *name, size_t bytes) {
    const char *const slash = strrchr(path, '/');
    const int folder = slash ? (int)(slash - path) + 1 : 0;
    for (int attempt = 0; attempt < 1000; attempt++) {
        const int length = snprintf(name, bytes, "%.*sqmm-tuning-%ld-%d", folder, path, (long)getpid(), attempt);
        int descriptor;
        if (length < 0 || (size_t)length >= bytes) {
            errno = ENAMETOOLONG;
            return -1;
        }
        descriptor = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (descriptor >= 0 || errno != EEXIST) return descriptor;
    }
    return -1;
}

/* On the disk before it has its name: a crash leaves the old file or the new one. `mode`: of the old one, 0 if there is
 * none. */
static bool replace_file(const char *path, mode_t mode, const char *text, size_t bytes) {
    char name[PATH_MAX];
    const int descriptor = create_beside(path, name, sizeof name);
    bool written;
    int error;
    if (descriptor < 0) return false;
    written = (!mode || fchmod(descriptor, mode) == 0) && write_all(descriptor, text, bytes) && fsync(descriptor) == 0;
    error = errno;
    if (close(descriptor) != 0 && written) written = false, error = errno;
    if (written && rename(name, path) == 0) return true;
    if (written) error = errno;
    unlink(name);
    errno = error;
    return false;
}

qmm_status qmmi_tuning_save(qmm_context *context, const char *path, char *reason, size_t reason_bytes) {
    const qmmi_tuning *const t = &context->tuning;
    const qmmi_tuning_identity identity = qmmi_tuning_identify(context);
    const size_t room = qmmi_tuning_text_bytes(t->count);
    char target[PATH_MAX]; /* behind links, which stay */
    const bool exists = realpath(path, target) != NULL;
    struct stat facts = { .st_mode = 0 };
    char *text;
    bool written;
    if (exists && stat(target, &facts) == 0 && !S_ISREG(facts.st_mode)) /* a device would be replaced, too */
        return fail(reason, reason_bytes, QMM_INVALID_ARGUMENT, "cannot be written: it is %s",
                    S_ISDIR(facts.st_mode) ? "a directory" : "no regular file");
    text = qmmi_allocate(context, room);
    if (!text) return fail(reason, reason_bytes, QMM_OUT_OF_MEMORY, "cannot be written: no memory for its text");
    written = replace_file(exists ? target : path, facts.st_mode & 0777, text,
                           qmmi_tuning_write_text(&identity, t->choices, t->count, text));
    if (!written) fail(reason, reason_bytes, QMM_INVALID_ARGUMENT, "cannot be written: %s", strerror(errno));
    qmmi_release(context, text, room);
    return written ? QMM_OK : QMM_INVALID_ARGUMENT;
}
