/* SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L
#include "common.h"

#include <stdlib.h>
#include <time.h>

double bench_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int ascending(const void *x, const void *y) {
    const double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
}

bench_timing bench_summarize(double *seconds, int runs) {
    qsort(seconds, (size_t)runs, sizeof *seconds, ascending);
    return (bench_timing){ seconds[runs / 2], seconds[0], seconds[runs - 1], runs };
}

/* xorshift64* */
void bench_fill(void *memory, size_t bytes, uint64_t seed) {
    uint64_t state = 0x9e3779b97f4a7c15u ^ seed;
    unsigned char *to = memory;
    for (size_t i = 0; i < bytes; i++) {
        state ^= state >> 12, state ^= state << 25, state ^= state >> 27;
        to[i] = (unsigned char)((state * 0x2545f4914f6cdd1du) >> 56);
    }
}

void bench_require(qmm_context *context, qmm_status status) {
    if (status == QMM_OK) return;
    fprintf(stderr, "benchmark: %s: %s\n", qmm_status_name(status), qmm_context_error(context));
    exit(1);
}

qmm_buffer *bench_buffer(qmm_context *context, size_t bytes) {
    qmm_buffer *buffer;
    bench_require(context, qmm_buffer_create(context, bytes, &buffer));
    return buffer;
}

FILE *bench_json_open(const char *path) {
    FILE *json = path ? fopen(path, "w") : NULL;
    if (path && !json) {
        fprintf(stderr, "benchmark: %s cannot be written\n", path);
        exit(2);
    }
    if (json) fprintf(json, "{\n  ");
    return json;
}

void bench_json_text(FILE *json, const char *name, const char *value) {
    fprintf(json, "\"%s\": \"", name);
    for (const char *c = value; *c; c++) {
        if (*c == '"' || *c == '\\') fputc('\\', json);
        fputc((unsigned char)*c < ' ' ? ' ' : *c, json);
    }
    fprintf(json, "\", ");
}

void bench_json_close(FILE *json) {
    if (!json) return;
    fprintf(json, "\n  ]\n}\n");
    if (fclose(json) == 0) return;
    fprintf(stderr, "benchmark: the figures could not be written\n");
    exit(1);
}

void bench_date(char *text, size_t bytes) {
    const time_t t = time(NULL);
    strftime(text, bytes, "%Y-%m-%d", gmtime(&t));
}
