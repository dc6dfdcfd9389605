/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs a fuzz target where there is no fuzzer: over every file of a corpus, every truncation of it, and a number of
 * mutations that are the same on every machine. The last line before an abort says among which mutations it was; fewer
 * of them, from a later first one on, narrow it down.
 *
 * usage: replay CORPUS [MUTATIONS [FIRST]] */
#define _POSIX_C_SOURCE 200809L
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

enum { FILES_MAX = 64, FILE_BYTES = 4096, MUTANT_BYTES = 2 * FILE_BYTES, REPORT_EVERY = 5000 };

typedef struct seed {
    char name[256];
    size_t count;
    uint8_t bytes[FILE_BYTES];
} seed;

/* ---- the corpus -------------------------------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b) {
    return strcmp(((const seed *)a)->name, ((const seed *)b)->name);
}

static void fail(const char *what, const char *name) {
    fprintf(stderr, "%s: %s\n", name, what);
    exit(1);
}

static void read_seed(const char *folder, const char *name, seed *s) {
    char path[PATH_MAX];
    FILE *file;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    snprintf(s->name, sizeof s->name, "%s", name);
    if (!(file = fopen(path, "rb"))) fail("cannot open", path);
    s->count = fread(s->bytes, 1, sizeof s->bytes, file);
    if (s->count == sizeof s->bytes) fail("too large for a corpus", path);
    fclose(file);
}

/* By name, so that a mutation's number means the same everywhere. */
static int read_corpus(const char *folder, seed *seeds) {
    DIR *directory = opendir(folder);
    const struct dirent *entry;
    int count = 0;
    if (!directory) fail("cannot open", folder);
    while ((entry = readdir(directory))) {
        if (entry->d_name[0] == '.') continue;
        if (count == FILES_MAX) fail("holds too many files", folder);
        read_seed(folder, entry->d_name, &seeds[count++]);
    }
    closedir(directory);
    if (count == 0) fail("holds no file", folder);
    qsort(seeds, (size_t)count, sizeof *seeds, by_name);
    return count;
}

/* ---- one input --------------------------------------------------------------------------------------------------- */

/* Runs a copy whose end is the end of its memory, so that a sanitizer sees a byte read behind it. */
static void run(const uint8_t *bytes, size_t count) {
    uint8_t *copy = malloc(count ? count : 1);
    if (!copy) fail("no memory", "replay");
    if (count) memcpy(copy, bytes, count);
    LLVMFuzzerTestOneInput(count ? copy : copy + 1, count);
    free(copy);
}

/* ---- mutations --------------------------------------------------------------------------------------------------- */

static uint64_t draw(uint64_t *state, uint64_t below) { /* splitmix64 */
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (z ^ (z >> 31)) % below;
}

static size_t insert(uint8_t *bytes, size_t count, size_t at, const void *what, size_t length) {
    uint8_t copy[64];
    if (count + length > MUTANT_BYTES || length > sizeof copy) return count;
    memcpy(copy, what, length); /* it may lie within bytes */
    memmove(bytes + at + length, bytes + at, count - at);
    memcpy(bytes + at, copy, length);
    return count + length;
}

static size_t erase(uint8_t *bytes, size_t count, size_t at, size_t length) {
    if (length > count - at) length = count - at;
    memmove(bytes + at, bytes + at + length, count - at - length);
    return count - length;
}

/* Words that the readers' formats have, and numbers at the ends of their types. */
static size_t mutate(uint64_t *state, uint8_t *bytes, size_t count) {
    static const char *const words[] = {
        "-1", "0", "1", "2147483648", "4294967296", "9223372036854775807", "18446744073709551616", "1e999", "nan", "(",
        ")", "{", "}", "[", "]", "'", "\"", ",", ":", "\\u0000", "\\", "True", "null", "\t", " ", "\n", "=", "\r\n",
        "L",
    };
    const size_t at = (size_t)draw(state, count ? count : 1);
    const char *word = words[draw(state, sizeof words / sizeof words[0])];
    const size_t length = strlen(word);
    if (count == 0) return insert(bytes, 0, 0, word, length);
    switch (draw(state, 8)) {
    case 0: bytes[at] ^= (uint8_t)(1u << draw(state, 8)); break;
    case 1: bytes[at] = (uint8_t)draw(state, 256); break;
    case 2: return erase(bytes, count, at, (size_t)draw(state, 8) + 1);
    case 3: return insert(bytes, count, at, word, length);
    case 4: if (at + length <= count) memcpy(bytes + at, word, length); break;
    case 5: return insert(bytes, count, at, bytes + at, (size_t)draw(state, count - at < 60 ? count - at : 60));
    case 6: bytes[draw(state, count < 16 ? count : 16)] = (uint8_t)draw(state, 256); break;
    case 7: return erase(bytes, count, at, count); /* truncated */
    }
    return count;
}

static void run_mutation(const seed *seeds, int seed_count, uint64_t number) {
    uint8_t bytes[MUTANT_BYTES];
    uint64_t state = number * UINT64_C(0x2545f4914f6cdd1d);
    const seed *s = &seeds[draw(&state, (uint64_t)seed_count)];
    size_t count = s->count;
    memcpy(bytes, s->bytes, count);
    for (uint64_t n = draw(&state, 4) + 1; n > 0; n--) count = mutate(&state, bytes, count);
    run(bytes, count);
}

/* ---- the program ------------------------------------------------------------------------------------------------- */

static void run_seeds(const seed *seeds, int count) {
    for (int i = 0; i < count; i++)
        for (size_t length = 0; length <= seeds[i].count; length++) run(seeds[i].bytes, length);
}

static void run_mutations(const seed *seeds, int count, uint64_t first, uint64_t mutations) {
    for (uint64_t i = 0; i < mutations; i++) {
        if (i % REPORT_EVERY == 0) {
            printf("mutations from %llu\n", (unsigned long long)(first + i));
            fflush(stdout);
        }
        run_mutation(seeds, count, first + i);
    }
}

int main(int argc, char **argv) {
    const uint64_t mutations = argc > 2 ? strtoull(argv[2], NULL, 0) : 20000;
    const uint64_t first = argc > 3 ? strtoull(argv[3], NULL, 0) : 1;
    seed *seeds = calloc(FILES_MAX, sizeof *seeds);
    int count;
    if (argc < 2) fail("usage: replay CORPUS [MUTATIONS [FIRST]]", argv[0]);
    if (!seeds) fail("no memory", argv[0]);
    count = read_corpus(argv[1], seeds);
    run_seeds(seeds, count);
    run_mutations(seeds, count, first, mutations);
    printf("%d files of the corpus with all their truncations, %llu mutations\n", count, (unsigned long long)mutations);
    free(seeds);
    return 0;
}
