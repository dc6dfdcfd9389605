/* SPDX-License-Identifier: Apache-2.0
 *
 * What the driver is given to compile. */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shim_parts.h"

static char *planted_from, *planted_to;

/* Ends the program where there is no memory: it is a test. */
static char *allocate(size_t bytes) {
    char *const text = malloc(bytes);
    if (text) return text;
    fprintf(stderr, "the shim has no memory\n");
    exit(1);
}

/* NULL if there is no such file. */
static char *read_file(const char *name) {
    FILE *const file = fopen(name, "rb");
    long bytes;
    char *text;
    if (!file || fseek(file, 0, SEEK_END) != 0 || (bytes = ftell(file)) < 0) return NULL;
    rewind(file);
    text = allocate((size_t)bytes + 1);
    text[fread(text, 1, (size_t)bytes, file)] = '\0';
    fclose(file);
    return text;
}

/* ---- options -------------------------------------------------------------------------------------------------- */

void shim_set_rewrite(const char *value) {
    static const char line[] = "\n====\n";
    char *const text = read_file(value), *middle = text ? strstr(text, line) : NULL, *end;
    if (!middle) shim_refuse("rewrite", value);
    *middle = '\0';
    planted_from = text;
    planted_to = middle + strlen(line);
    end = planted_to + strlen(planted_to);
    if (end > planted_to && end[-1] == '\n') end[-1] = '\0'; /* the file's own */
}

/* ---- sources -------------------------------------------------------------------------------------------------- */

static char *joined(cl_uint number, const char **texts, const size_t *lengths) {
    size_t bytes = 1;
    char *text, *end;
    for (cl_uint i = 0; i < number; i++) bytes += lengths && lengths[i] ? lengths[i] : strlen(texts[i]);
    text = end = allocate(bytes);
    for (cl_uint i = 0; i < number; i++) {
        const size_t length = lengths && lengths[i] ? lengths[i] : strlen(texts[i]);
        memcpy(end, texts[i], length);
        end += length;
    }
    *end = '\0';
    return text;
}

/* The first place only: a fault, not a style. */
static char *planted(char *text) {
    char *const place = planted_from ? strstr(text, planted_from) : NULL;
    char *changed;
    size_t bytes;
    if (!place) return text;
    bytes = strlen(text) - strlen(planted_from) + strlen(planted_to) + 1;
    changed = allocate(bytes);
    snprintf(changed, bytes, "%.*s%s%s", (int)(place - text), text, planted_to, place + strlen(planted_from));
    free(text);
    return changed;
}

static char *with_stand_ins(char *text) {
    char name[1024];
    char *stand_ins, *all;
    size_t bytes;
    if (!shim_stand_ins()) return text;
    snprintf(name, sizeof name, QMM_SHIM_STAND_INS "/%s", shim_stand_ins());
    stand_ins = read_file(name);
    if (!stand_ins) shim_refuse("report", name);
    bytes = strlen(stand_ins) + strlen(text) + 2;
    all = allocate(bytes);
    snprintf(all, bytes, "%s\n%s", stand_ins, text);
    free(stand_ins);
    free(text);
    return all;
}

char *shim_source(cl_uint number, const char **texts, const size_t *lengths) {
    return planted(with_stand_ins(joined(number, texts, lengths)));
}

/* Drivers whose own language has no such built-ins refuse its newer versions too, and other vendors' options. */
char *shim_build_options(const char *options) {
    static const char *const foreign[] = { "-cl-std=CL3.0", "-cl-nv-maxrregcount=128" };
    char *const text = allocate(strlen(options ? options : "") + 1);
    strcpy(text, options ? options : "");
    for (unsigned i = 0; shim_stand_ins() && i < sizeof foreign / sizeof foreign[0]; i++) {
        char *const place = strstr(text, foreign[i]);
        if (place) memset(place, ' ', strlen(foreign[i]));
    }
    return text;
}
