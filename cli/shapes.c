/* SPDX-License-Identifier: Apache-2.0
 *
 * Lists of numbers and shapes: as text on the command line, from the sets in the tables below, or from a file. */
#define _POSIX_C_SOURCE 200809L
#include "shapes.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"

#define NUMBER_MAX INT32_MAX
enum { NUMBERS_MAX = 100000, SHAPES_MAX = 1000000, FILE_MAX = 1 << 20, SHOWN = 60 };

/* ---- the built-in sets ------------------------------------------------------------------------------------------- */

typedef struct layer {
    const char *name, *m; /* m as cli_numbers_read takes it; NULL: the set's */
    int64_t n, k;
} layer;

typedef struct set {
    const char *name, *m, *what;
    const layer *layers;
    int count;
} set;

/* Where kernels go wrong: sizes of one, tails of tiles and of vector loads, either side of powers of two. */
static const layer edges[] = {
    { "one", "1", 1, 1 },
    { "row", "1", 37, 64 },
    { "row-long-k", "1", 24, 4099 },
    { "row-wide", "1", 1031, 40 },
    { "column", "65", 1, 96 },
    { "outer-product", "33", 47, 1 },
    { "dot-product", "1", 1, 1000 },
    { "k-2", "17", 19, 2 },
    { "k-3", "16", 16, 3 },
    { "k-tail-4", "16", 16, 36 },
    { "k-tail-15", "32", 32, 47 },
    { "k-tail-17", "32", 64, 49 },
    { "k-tail-31", "64", 64, 95 },
    { "k-tail-33", "64", 128, 97 },
    { "k-tail-127", "128", 64, 255 },
    { "n-tail", "64", 129, 64 },
    { "n-odd", "31", 7, 80 },
    { "m-tail", "129", 64, 64 },
    { "primes-small", "7", 11, 13 },
    { "primes", "61", 67, 71 },
    { "primes-large", "127", 257, 521 },
    { "below-powers", "63", 127, 255 },
    { "powers", "64", 128, 256 },
    { "above-powers", "65", 129, 257 },
    { "tall", "1025", 9, 65 },
    { "few-rows", "5", 255, 513 },
    { "few-rows-16", "16", 300, 200 },
};

/* Of the models' config.json: hidden size H, feed-forward size F, Q query heads and V key-value heads of D; a fused
 * projection of queries, keys and values is (Q + 2 V) D x H, gate and up together 2 F x H. */
/* meta-llama/Meta-Llama-3-8B: H 4096, F 14336, Q 32, V 8, D 128 */
static const layer llama3_8b[] = {
    { "qkv", NULL, 6144, 4096 },
    { "o", NULL, 4096, 4096 },
    { "gate_up", NULL, 28672, 4096 },
    { "down", NULL, 4096, 14336 },
};
/* meta-llama/Meta-Llama-3-70B: H 8192, F 28672, Q 64, V 8, D 128 */
static const layer llama3_70b[] = {
    { "qkv", NULL, 10240, 8192 },
    { "o", NULL, 8192, 8192 },
    { "gate_up", NULL, 57344, 8192 },
    { "down", NULL, 8192, 28672 },
};
/* Qwen/Qwen2.5-7B: H 3584, F 18944, Q 28, V 4, D 128 */
static const layer qwen25_7b[] = {
    { "qkv", NULL, 4608, 3584 },
    { "o", NULL, 3584, 3584 },
    { "gate_up", NULL, 37888, 3584 },
    { "down", NULL, 3584, 18944 },
};
/* google-bert/bert-base-uncased and google/vit-base-patch16-224 alike: H 768, F 3072, Q = V 12, D 64 */
static const layer encoder_base[] = {
    { "qkv", NULL, 2304, 768 },
    { "o", NULL, 768, 768 },
    { "up", NULL, 3072, 768 },
    { "down", NULL, 768, 3072 },
};

#define LAYERS(table) table, sizeof(table) / sizeof((table)[0])
/* ViT-B/16 makes 14 x 14 patches and a class token of an image of 224 x 224: 197 rows; here 1, 8 and 32 images. */
static const set sets[] = {
    { "edges", NULL, "sizes of one, tails, primes, around powers of two", LAYERS(edges) },
    { "llama3-8b", "1..8192*2", "Llama-3 8B", LAYERS(llama3_8b) },
    { "llama3-70b", "1..8192*2", "Llama-3 70B", LAYERS(llama3_70b) },
    { "qwen2.5-7b", "1..8192*2", "Qwen2.5 7B", LAYERS(qwen25_7b) },
    { "bert-base", "1..8192*2", "BERT base", LAYERS(encoder_base) },
    { "vit-b16", "197,1576,6304", "ViT-B/16 of 1, 8 and 32 images", LAYERS(encoder_base) },
};
enum { SETS = sizeof sets / sizeof sets[0] };

/* ---- numbers ----------------------------------------------------------------------------------------------------- */

typedef struct numbers {
    int64_t *values;
    int count, capacity;
} numbers;

static bool add_number(numbers *list, int64_t value) {
    if (list->count == list->capacity) {
        const int capacity = list->capacity ? 2 * list->capacity : 16;
        int64_t *values = realloc(list->values, (size_t)capacity * sizeof *values);
        if (!values) return false;
        list->values = values;
        list->capacity = capacity;
    }
    list->values[list->count++] = value;
    return true;
}

/* Takes digits at *at; a number too large for int64 becomes the largest there is. */
static bool take_digits(const char **at, const char *end, int64_t *value) {
    const char *const begin = *at;
    int64_t v = 0;
    for (; *at < end && **at >= '0' && **at <= '9'; (*at)++) {
        const int digit = **at - '0';
        v = v > (INT64_MAX - digit) / 10 ? INT64_MAX : v * 10 + digit;
    }
    *value = v;
    return *at > begin;
}

typedef struct range {
    int64_t first, last, step;
    char kind; /* '+' or '*' */
} range;

/* One term of a list: N, N..N, N..N+N or N..N*N, all of the text up to `end`. */
static bool parse_term(const char *at, const char *end, range *r) {
    *r = (range){ .step = 1, .kind = '+' };
    if (!take_digits(&at, end, &r->first)) return false;
    r->last = r->first;
    if (at == end) return true;
    if (end - at < 2 || at[0] != '.' || at[1] != '.') return false;
    at += 2;
    if (!take_digits(&at, end, &r->last)) return false;
    if (at == end) return true;
    r->kind = *at++;
    return (r->kind == '+' || r->kind == '*') && take_digits(&at, end, &r->step) && at == end;
}

static const char *why_no_range(const range *r) {
    return r->last < r->first                  ? "goes downwards"
           : r->kind == '*' && r->step < 2     ? "has a factor below 2"
           : r->kind == '*' && r->first == 0   ? "multiplies 0 and never ends"
           : r->kind == '+' && r->step < 1     ? "has a step of 0"
                                               : NULL;
}

typedef struct list_source {
    const char *command, *option, *text;
    int64_t min, max;
} list_source;

static int term_error(const list_source *s, const char *term, const char *end, const char *what) {
    const int length = end - term > SHOWN ? SHOWN : (int)(end - term);
    return cli_error(CLI_USAGE, s->command, "%s: '%.*s' %s", s->option, length, term, what);
}

static int add_term(const list_source *s, const char *term, const char *end, numbers *list) {
    char text[96];
    range r;
    const char *reason;
    if (!parse_term(term, end, &r))
        return term_error(s, term, end, "is no whole number, nor first..last, first..last+step, first..last*factor");
    if (r.first < s->min || r.first > s->max || r.last < s->min || r.last > s->max) {
        snprintf(text, sizeof text, "is not within %" PRId64 "..%" PRId64, s->min, s->max);
        return term_error(s, term, end, text);
    }
    if ((reason = why_no_range(&r)) != NULL) return term_error(s, term, end, reason);
    for (int64_t v = r.first;; v = r.kind == '*' ? v * r.step : v + r.step) {
        if (list->count == NUMBERS_MAX)
            return term_error(s, s->text, s->text + strlen(s->text), "is over 100000 numbers");
        if (!add_number(list, v)) return cli_error(CLI_FAILED, s->command, "%s: no memory for the numbers", s->option);
        if (r.kind == '*' ? v > r.last / r.step : v > r.last - r.step) return CLI_OK;
    }
}

int cli_numbers_read(const char *command, const char *option, const char *text, int64_t min, int64_t max,
                     int64_t **values, int *count) {
    const list_source source = { command, option, text, min, max };
    numbers list = { NULL, 0, 0 };
    for (const char *term = text;; term++) {
        const char *end = term + strcspn(term, ",");
        const int code = add_term(&source, term, end, &list);
        if (code != CLI_OK) {
            free(list.values);
            return code;
        }
        term = end;
        if (*term == '\0') break;
    }
    *values = list.values;
    *count = list.count;
    return CLI_OK;
}

/* ---- shapes ------------------------------------------------------------------------------------------------------ */

/* What a shape is read with. */
typedef struct reader {
    const char *command;
    const int64_t *m; /* of the option; NULL: none */
    int m_count;
    cli_shapes *shapes;
} reader;

static int add_shape(const reader *r, const cli_shape *shape) {
    cli_shapes *s = r->shapes;
    if (s->count == SHAPES_MAX) return cli_error(CLI_USAGE, r->command, "over %d shapes", (int)SHAPES_MAX);
    if ((s->count & (s->count - 1)) == 0) { /* full: the capacity is the next power of two */
        const size_t capacity = s->count ? 2 * (size_t)s->count : 1;
        cli_shape *items = realloc(s->items, capacity * sizeof *items);
        if (!items) return cli_error(CLI_FAILED, r->command, "no memory for %d shapes", s->count + 1);
        s->items = items;
    }
    s->items[s->count++] = *shape;
    return CLI_OK;
}

/* `shape` with each M of the option, or else of the text `m`, which `where` names in errors. */
static int add_shapes(const reader *r, cli_shape shape, const char *where, const char *m) {
    int64_t *own = NULL;
    const int64_t *values = r->m;
    int count = r->m_count, code = CLI_OK;
    if (!values) {
        if ((code = cli_numbers_read(r->command, where, m, 0, NUMBER_MAX, &own, &count)) != CLI_OK) return code;
        values = own;
    }
    for (int i = 0; i < count && code == CLI_OK; i++) {
        shape.m = values[i];
        code = add_shape(r, &shape);
    }
    free(own);
    return code;
}

static int add_layer(const reader *r, const set *s, const layer *l) {
    cli_shape shape = { .n = l->n, .k = l->k, .batch = 1 };
    snprintf(shape.name, sizeof shape.name, "%s/%s", s->name, l->name);
    return add_shapes(r, shape, s->name, l->m ? l->m : s->m);
}

/* "SET" or "SET/LAYER". *found tells whether there is one. */
static int add_set(const reader *r, const char *text, bool *found) {
    *found = false;
    for (int i = 0; i < (int)SETS; i++) {
        const size_t length = strlen(sets[i].name);
        if (strncmp(text, sets[i].name, length) != 0 || (text[length] != '\0' && text[length] != '/')) continue;
        for (int j = 0; j < sets[i].count; j++) {
            int code;
            if (text[length] == '/' && strcmp(text + length + 1, sets[i].layers[j].name) != 0) continue;
            *found = true;
            if ((code = add_layer(r, &sets[i], &sets[i].layers[j])) != CLI_OK) return code;
        }
    }
    return CLI_OK;
}

/* MxNxK or MxNxKxBATCH. */
static int add_numbers(const reader *r, const char *text) {
    int64_t v[4] = { 0, 0, 0, 1 };
    const char *at = text, *const end = text + strlen(text);
    int count = 0;
    bool good = true;
    while (good && count < 4) {
        good = take_digits(&at, end, &v[count]);
        count++;
        if (*at != 'x') break;
        at++;
    }
    if (!good || count < 3 || *at != '\0' || at[-1] == 'x')
        return cli_error(CLI_USAGE, r->command, "'%.60s' is not MxNxK or MxNxKxBATCH", text);
    for (int i = 0; i < 4; i++)
        if (v[i] > NUMBER_MAX) return cli_error(CLI_USAGE, r->command, "'%.60s': a size is above 2147483647", text);
    if (v[3] == 0) return cli_error(CLI_USAGE, r->command, "'%.60s': the batch is 0; it is 1 or more", text);
    return add_shape(r, &(cli_shape){ .m = v[0], .n = v[1], .k = v[2], .batch = v[3] });
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

typedef struct place {
    const reader *r;
    const char *path;
    int line;
} place;

#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
static int line_error(const place *p, const char *format, ...) {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return cli_error(CLI_USAGE, p->r->command, "%s:%d: %s", p->path, p->line, text);
}

/* The next word of a line, ended by a zero; NULL if there is none. */
static char *take_word(char **at) {
    char *word = *at + strspn(*at, " \t"), *end = word + strcspn(word, " \t");
    if (*word == '\0') return NULL;
    *at = *end ? end + 1 : end;
    *end = '\0';
    return word;
}

static int read_size(const place *p, const char *what, const char *word, int64_t min, int64_t *value) {
    const char *at = word;
    if (take_digits(&at, word + strlen(word), value) && *at == '\0' && *value >= min && *value <= NUMBER_MAX)
        return CLI_OK;
    return line_error(p, "%s '%.60s' is not a whole number within %d..2147483647", what, word, (int)min);
}

/* NAME M N K [BATCH], a blank line, or a comment. */
static int read_line(const place *p, char *line) {
    cli_shape shape = { .batch = 1 };
    char where[4096], *word[6];
    int words = 0, code;
    line[strcspn(line, "#")] = '\0';
    while (words < 6 && (word[words] = take_word(&line)) != NULL) words++;
    if (words == 0) return CLI_OK;
    if (words < 4 || words > 5) return line_error(p, "it is not NAME M N K [BATCH]");
    if (strlen(word[0]) >= sizeof shape.name)
        return line_error(p, "the name '%.60s' is longer than %zu characters", word[0], sizeof shape.name - 1);
    memcpy(shape.name, word[0], strlen(word[0]) + 1);
    if ((code = read_size(p, "N", word[2], 0, &shape.n)) != CLI_OK) return code;
    if ((code = read_size(p, "K", word[3], 0, &shape.k)) != CLI_OK) return code;
    if (words == 5 && (code = read_size(p, "BATCH", word[4], 1, &shape.batch)) != CLI_OK) return code;
    snprintf(where, sizeof where, "%.3900s:%d: M", p->path, p->line);
    return add_shapes(p->r, shape, where, word[1]);
}

static bool is_plain(const char *line, size_t length) {
    for (size_t i = 0; i < length; i++)
        if (((unsigned char)line[i] < 0x20 && line[i] != '\t') || line[i] == 0x7f) return false;
    return true;
}

/* text[bytes] is writable. */
static int read_lines(const reader *r, const char *path, char *text, size_t bytes) {
    place p = { r, path, 0 };
    char *const end = text + bytes;
    if (bytes >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) text += 3; /* what some editors begin UTF-8 with */
    while (text < end) {
        char *newline = memchr(text, '\n', (size_t)(end - text));
        char *const next = newline ? newline + 1 : end;
        size_t length = (size_t)((newline ? newline : end) - text);
        int code;
        p.line++;
        if (length > 0 && text[length - 1] == '\r') length--;
        if (!is_plain(text, length)) return line_error(&p, "it holds a control character: this is no list of shapes");
        text[length] = '\0';
        if ((code = read_line(&p, text)) != CLI_OK) return code;
        text = next;
    }
    return CLI_OK;
}

static int open_file(const reader *r, const char *path, int *file) {
    struct stat facts;
    *file = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC); /* a pipe does not keep it waiting */
    if (*file < 0)
        return cli_error(CLI_USAGE, r->command, "'%s' is no MxNxK, no built-in set and no file that can be read: %s",
                         path, strerror(errno));
    if (fstat(*file, &facts) == 0 && S_ISREG(facts.st_mode)) return CLI_OK;
    close(*file);
    return cli_error(CLI_USAGE, r->command, "%s: not a regular file", path);
}

static int read_file(const reader *r, const char *path, int file, char *text) {
    const int before = r->shapes->count;
    size_t bytes = 0;
    ssize_t got;
    int code;
    while ((got = read(file, text + bytes, FILE_MAX + 1 - bytes)) > 0) bytes += (size_t)got;
    if (got < 0) return cli_error(CLI_USAGE, r->command, "%s: cannot read: %s", path, strerror(errno));
    if (bytes > FILE_MAX) return cli_error(CLI_USAGE, r->command, "%s: larger than 1 MiB", path);
    if ((code = read_lines(r, path, text, bytes)) != CLI_OK) return code;
    return r->shapes->count > before ? CLI_OK : cli_error(CLI_USAGE, r->command, "%s: holds no shape", path);
}

static int add_file(const reader *r, const char *path) {
    char *text = NULL;
    int file, code = open_file(r, path, &file);
    if (code != CLI_OK) return code;
    text = malloc(FILE_MAX + 2);
    code = text ? read_file(r, path, file, text) : cli_error(CLI_FAILED, r->command, "no memory to read %s", path);
    free(text);
    close(file);
    return code;
}

/* ---- all together ------------------------------------------------------------------------------------------------ */

static int add_item(const reader *r, const char *text) {
    bool found;
    int code;
    if (*text == '\0') return cli_error(CLI_USAGE, r->command, "a name of shapes is empty");
    if (*text >= '0' && *text <= '9' && text[strspn(text, "0123456789x")] == '\0') return add_numbers(r, text);
    code = add_set(r, text, &found);
    return found ? code : add_file(r, text);
}

int cli_shapes_read(const char *command, const char *text, const int64_t *m, int m_count, cli_shapes *shapes) {
    const reader r = { command, m, m_count, shapes };
    char *const copy = malloc(strlen(text) + 1), *item = copy;
    int code = CLI_OK;
    if (!copy) return cli_error(CLI_FAILED, command, "no memory to read the shapes");
    memcpy(copy, text, strlen(text) + 1);
    for (bool last = false; !last && code == CLI_OK;) {
        char *const end = item + strcspn(item, ",");
        last = *end == '\0';
        *end = '\0';
        code = add_item(&r, item);
        item = end + 1;
    }
    free(copy);
    if (code != CLI_OK) cli_shapes_free(shapes);
    return code;
}

void cli_shapes_free(cli_shapes *shapes) {
    free(shapes->items);
    *shapes = (cli_shapes){ NULL, 0 };
}

double cli_shape_operations(const cli_shape *shape) {
    return 2.0 * (double)shape->m * (double)shape->n * (double)shape->k * (double)shape->batch;
}

void cli_shape_sizes(const cli_shape *shape, char *text, size_t bytes) {
    const int length = snprintf(text, bytes, "%" PRId64 "x%" PRId64 "x%" PRId64, shape->m, shape->n, shape->k);
    if (shape->batch > 1 && length >= 0 && (size_t)length < bytes)
        snprintf(text + length, bytes - (size_t)length, "x%" PRId64, shape->batch);
}

void cli_shapes_list(void) {
    for (int i = 0; i < (int)SETS; i++)
        printf("%-11s %2d layers, M = %-14s %s\n", sets[i].name, sets[i].count, sets[i].m ? sets[i].m : "its own",
               sets[i].what);
}
