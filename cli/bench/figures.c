/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads the JSON that qmm bench writes. The file may be anything: all that is taken from it is looked at first. */
#define _POSIX_C_SOURCE 200809L
#include "compare.h"

#include <stdlib.h>
#include <string.h>

#include "cli.h"

#ifdef QMM_HAVE_JANSSON
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_MAX = 64 << 20, ROWS_MAX = 10000 /* each is looked for among those of the other file */ };

typedef struct reader {
    const char *command, *path;
    int row; /* -1: not in a row */
} reader;

static int bad(const reader *r, const char *key, const char *rule) {
    if (r->row < 0) return cli_error(CLI_USAGE, r->command, "%s: '%s' %s", r->path, key, rule);
    return cli_error(CLI_USAGE, r->command, "%s: row %d: '%s' %s", r->path, r->row, key, rule);
}

static int read_text(const reader *r, const json_t *object, const char *key, char *text, size_t bytes) {
    const json_t *value = json_object_get(object, key);
    if (!json_is_string(value)) return bad(r, key, "is no string");
    if (json_string_length(value) >= bytes) return bad(r, key, "is too long");
    memcpy(text, json_string_value(value), json_string_length(value) + 1);
    for (const char *c = text; *c; c++)
        if ((unsigned char)*c < 0x20) return bad(r, key, "holds a control character");
    return CLI_OK;
}

static int read_whole(const reader *r, const json_t *object, const char *key, int64_t *number) {
    const json_t *value = json_object_get(object, key);
    if (!json_is_integer(value) || json_integer_value(value) < 0) return bad(r, key, "is no whole number from 0 on");
    *number = (int64_t)json_integer_value(value);
    return CLI_OK;
}

static int read_seconds(const reader *r, const json_t *object, const char *key, double *seconds) {
    const json_t *value = json_object_get(object, key);
    const double number = json_is_number(value) ? json_number_value(value) : -1.0;
    if (!(number >= 0.0 && number < 1e9)) return bad(r, key, "is no number of seconds from 0 to 10^9");
    *seconds = number;
    return CLI_OK;
}

static int read_row(const reader *r, const json_t *row, bench_figure *f) {
    int code;
    if (!json_is_object(row)) return bad(r, "rows", "holds what is no object");
    if ((code = read_text(r, row, "operation", f->operation, sizeof f->operation)) != CLI_OK ||
        (code = read_text(r, row, "who", f->who, sizeof f->who)) != CLI_OK ||
        (code = read_text(r, row, "kernel", f->kernel, sizeof f->kernel)) != CLI_OK ||
        (code = read_text(r, row, "variant", f->variant, sizeof f->variant)) != CLI_OK ||
        (code = read_text(r, row, "shape", f->shape, sizeof f->shape)) != CLI_OK ||
        (code = read_text(r, row, "what", f->what, sizeof f->what)) != CLI_OK ||
        (code = read_whole(r, row, "m", &f->m)) != CLI_OK || (code = read_whole(r, row, "n", &f->n)) != CLI_OK ||
        (code = read_whole(r, row, "k", &f->k)) != CLI_OK ||
        (code = read_whole(r, row, "batch", &f->batch)) != CLI_OK ||
        (code = read_whole(r, row, "runs", &f->runs)) != CLI_OK ||
        (code = read_seconds(r, row, "median", &f->median)) != CLI_OK ||
        (code = read_seconds(r, row, "quartile_1", &f->quartile_1)) != CLI_OK)
        return code;
    if ((code = read_seconds(r, row, "quartile_3", &f->quartile_3)) != CLI_OK) return code;
    return f->quartile_1 <= f->median && f->median <= f->quartile_3 ? CLI_OK
                                                                    : bad(r, "median", "is not between the quartiles");
}

static int read_head(const reader *r, const json_t *root, bench_figures *figures) {
    const json_t *device = json_object_get(root, "device"), *method = json_object_get(root, "method");
    char tool[32] = "";
    int64_t schema = 0;
    int code;
    if (!json_is_object(root)) return cli_error(CLI_USAGE, r->command, "%s: it is no object", r->path);
    if ((code = read_text(r, root, "tool", tool, sizeof tool)) != CLI_OK) return code;
    if (strcmp(tool, "qmm bench") != 0) return bad(r, "tool", "is not 'qmm bench': another program wrote this");
    if ((code = read_whole(r, root, "schema", &schema)) != CLI_OK) return code;
    if (schema != 1) return bad(r, "schema", "is not 1, which is what this version reads");
    if (!json_is_object(device)) return bad(r, "device", "is no object");
    if (!json_is_object(method)) return bad(r, "method", "is no object");
    if ((code = read_text(r, device, "description", figures->device, sizeof figures->device)) != CLI_OK ||
        (code = read_text(r, device, "driver", figures->driver, sizeof figures->driver)) != CLI_OK ||
        (code = read_text(r, root, "build", figures->build, sizeof figures->build)) != CLI_OK ||
        (code = read_text(r, root, "version", figures->version, sizeof figures->version)) != CLI_OK ||
        (code = read_text(r, method, "cache", figures->cache, sizeof figures->cache)) != CLI_OK)
        return code;
    return read_text(r, root, "date", figures->date, sizeof figures->date);
}

static int read_rows(reader *r, const json_t *rows, bench_figures *figures) {
    if (!json_is_array(rows)) return bad(r, "rows", "is no list");
    if (json_array_size(rows) > ROWS_MAX)
        return bad(r, "rows", "holds more than 10000 figures, which is what can be compared");
    figures->items = calloc(json_array_size(rows) + 1, sizeof *figures->items);
    if (!figures->items) return cli_error(CLI_FAILED, r->command, "no memory to read %s", r->path);
    for (size_t i = 0; i < json_array_size(rows); i++) {
        int code;
        r->row = (int)i;
        if ((code = read_row(r, json_array_get(rows, i), &figures->items[i])) != CLI_OK) return code;
        figures->count = (int)i + 1;
    }
    return CLI_OK;
}

/* A file's descriptor; below 0 if it cannot be used, which is printed. */
static int open_regular(const reader *r) {
    const int file = open(r->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC); /* a pipe does not keep it waiting */
    struct stat facts;
    if (file < 0) {
        cli_error(CLI_USAGE, r->command, "%s: cannot read: %s", r->path, strerror(errno));
    } else if (fstat(file, &facts) != 0 || !S_ISREG(facts.st_mode) || facts.st_size > FILE_MAX) {
        cli_error(CLI_USAGE, r->command, "%s: no regular file of at most 64 MiB", r->path);
        close(file);
        return -1;
    }
    return file;
}

int bench_figures_read(const char *command, const char *path, bench_figures *figures) {
    reader r = { command, path, -1 };
    json_error_t error;
    json_t *root;
    int code;
    const int file = open_regular(&r);
    *figures = (bench_figures){ .count = 0 };
    if (file < 0) return CLI_USAGE;
    root = json_loadfd(file, JSON_REJECT_DUPLICATES, &error);
    close(file);
    if (!root) return cli_error(CLI_USAGE, command, "%s: line %d: %s", path, error.line, error.text);
    code = read_head(&r, root, figures);
    if (code == CLI_OK) code = read_rows(&r, json_object_get(root, "rows"), figures);
    json_decref(root);
    if (code != CLI_OK) bench_figures_free(figures);
    return code;
}

#else

int bench_figures_read(const char *command, const char *path, bench_figures *figures) {
    *figures = (bench_figures){ .count = 0 };
    return cli_error(CLI_USAGE, command, "%s cannot be read: this qmm was built without Jansson, which --compare needs",
                     path);
}

#endif
