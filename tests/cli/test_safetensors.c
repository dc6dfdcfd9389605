/* SPDX-License-Identifier: Apache-2.0
 *
 * The .safetensors reader: good files give the tensors they hold, every truncation is refused, and so is a file that
 * breaks a rule of the format, by that rule. tests/fuzz goes on from here. */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "safetensors.h"

#define CHECK(condition)                                                              \
    do {                                                                              \
        if (!(condition)) {                                                           \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);   \
            exit(1);                                                                  \
        }                                                                             \
    } while (0)

enum { FILE_MAX = 1024, TEXT_MAX = 300, SKIPPED = 77 };

#define ENTRY(name, dtype, shape, begin, end) \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" #begin "," #end "]}"

/* Good files: header and number of data bytes, and how many tensors there are. */
static const struct { const char *header; size_t data_bytes, tensors; } seeds[] = {
    { "{}", 0, 0 },
    { "{}      ", 0, 0 },
    { "{" ENTRY("w", "F32", "[2,3]", 0, 24) "}", 24, 1 },
    { "{" ENTRY("w", "BF16", "[]", 0, 2) "}\n", 2, 1 },
    { "{" ENTRY("b", "F16", "[1]", 4, 6) "," ENTRY("a", "I8", "[2,2]", 0, 4) "}", 6, 2 },
    { "{\"__metadata__\":{\"format\":\"pt\",\"\":\"\"}," ENTRY("a", "F64", "[3,0,5]", 0, 0) "}", 0, 1 },
    { "{\"__metadata__\":{}," ENTRY("a", "BOOL", "[3]", 0, 3) "," ENTRY("b", "U8", "[0]", 3, 3) ","
      ENTRY("c", "I64", "[1,1,1]", 3, 11) "}", 11, 3 },
    { "{ \"layer.0\\u00e9\\n\\\"x\" : { \"data_offsets\" : [ 0 , 2 ] , \"shape\" : [ 2 , 1 ] , "
      "\"dtype\" : \"F8_E4M3\" } }", 2, 1 },
    { "{" ENTRY("four bits", "F4", "[4,3]", 0, 6) "}", 6, 1 },
    { "{" ENTRY("\xc3\xa9", "U16", "[1,2,1,1,1,1,1,1]", 0, 4) "," ENTRY("z", "C64", "[1]", 4, 12) "}", 12, 2 },
    { "{\"a\":{\"dtype\":\"I32\",\"shape\":[1],\"data_offsets\":[0,4],\"more\":{}}}", 4, 1 },
};
enum { SEEDS = sizeof seeds / sizeof seeds[0] };

static size_t make_file(const char *header, size_t length, size_t data_bytes, unsigned char *bytes) {
    memset(bytes, 0, FILE_MAX);
    for (int i = 0; i < 8; i++) bytes[i] = (unsigned char)((uint64_t)length >> 8 * i);
    memcpy(bytes + 8, header, length);
    return 8 + length + data_bytes;
}

/* Parses a copy whose end is the end of its memory. */
static bool parse(const unsigned char *bytes, size_t count, safetensors_file *file, char *error) {
    unsigned char *copy = malloc(count ? count : 1);
    bool good;
    CHECK(copy);
    memcpy(copy, bytes, count);
    error[0] = '\0';
    good = safetensors_parse(count ? copy : copy + 1, count, file, error, TEXT_MAX);
    free(copy);
    CHECK(good == (error[0] == '\0') && strlen(error) < TEXT_MAX);
    for (const char *c = error; *c; c++) CHECK(*c >= 0x20 && *c <= 0x7e);
    return good;
}

static void test_seeds_and_truncations(void) {
    unsigned char bytes[FILE_MAX];
    char error[TEXT_MAX];
    safetensors_file file = { .count = 77 };
    for (size_t i = 0; i < SEEDS; i++) {
        const size_t count = make_file(seeds[i].header, strlen(seeds[i].header), seeds[i].data_bytes, bytes);
        uint64_t end = 8 + strlen(seeds[i].header);
        if (!parse(bytes, count, &file, error)) fprintf(stderr, "%s: %s\n", seeds[i].header, error);
        CHECK(!error[0] && file.count == seeds[i].tensors && file.descriptor == -1);
        for (size_t t = 0; t < file.count; t++) {
            CHECK(file.tensors[t].offset == end);
            end += file.tensors[t].bytes;
        }
        CHECK(end == count);
        safetensors_close(&file);
        file.count = 77;
        for (size_t shorter = 0; shorter < count; shorter++) CHECK(!parse(bytes, shorter, &file, error));
        CHECK(!parse(bytes, count + 1, &file, error));
        CHECK(file.count == 77);
    }
}

static void test_contents(void) {
    unsigned char bytes[FILE_MAX];
    char error[TEXT_MAX];
    safetensors_file file;
    const size_t count = make_file(seeds[4].header, strlen(seeds[4].header), seeds[4].data_bytes, bytes);
    CHECK(parse(bytes, count, &file, error));
    CHECK(strcmp(file.tensors[0].name, "a") == 0 && strcmp(file.tensors[0].dtype, "I8") == 0);
    CHECK(file.tensors[0].dims == 2 && file.tensors[0].shape[0] == 2 && file.tensors[0].shape[1] == 2);
    CHECK(strcmp(file.tensors[1].name, "b") == 0 && strcmp(file.tensors[1].dtype, "F16") == 0);
    CHECK(file.tensors[1].dims == 1 && file.tensors[1].shape[0] == 1 && file.tensors[1].shape[1] == 1);
    safetensors_close(&file);
}

static void expect_error_of(const unsigned char *bytes, size_t count, const char *what, const char *wanted) {
    char error[TEXT_MAX];
    safetensors_file file;
    if (parse(bytes, count, &file, error)) snprintf(error, sizeof error, "nothing: it is accepted");
    if (strstr(error, wanted)) return;
    fprintf(stderr, "%s\n    gives '%s', not '%s'\n", what, error, wanted);
    exit(1);
}

static void expect_error(const char *header, size_t data_bytes, const char *wanted) {
    unsigned char bytes[FILE_MAX];
    expect_error_of(bytes, make_file(header, strlen(header), data_bytes, bytes), header, wanted);
}

static void test_places(void) {
    expect_error("{" ENTRY("a", "U8", "[4]", 0, 4) "," ENTRY("b", "U8", "[4]", 2, 6) "}", 6, "overlaps 'a'");
    expect_error("{" ENTRY("a", "U8", "[4]", 0, 4) "," ENTRY("b", "U8", "[4]", 0, 4) "}", 4, "overlaps");
    expect_error("{" ENTRY("a", "U8", "[4]", 0, 4) "," ENTRY("b", "U8", "[2]", 1, 3) "}", 4, "overlaps 'a'");
    expect_error("{" ENTRY("a", "U8", "[4]", 0, 4) "," ENTRY("b", "U8", "[0]", 2, 2) "}", 4, "overlaps 'a'");
    expect_error("{" ENTRY("a", "U8", "[4]", 0, 4) "," ENTRY("b", "U8", "[4]", 5, 9) "}", 9, "a gap");
    expect_error("{" ENTRY("a", "U8", "[4]", 1, 5) "}", 5, "a gap");
    expect_error("{" ENTRY("a", "U8", "[4]", 0, 4) "}", 5, "too long");
    expect_error("{}", 1, "too long");
    expect_error("{" ENTRY("a", "U8", "[4]", 0, 4) "}", 3, "truncated?");
    expect_error("{" ENTRY("a", "U8", "[4]", 4, 0) "}", 4, "before they begin");
    expect_error("{" ENTRY("a", "U8", "[4]", 0, 3) "}", 3, "take 4 bytes, its data_offsets 3");
    expect_error("{" ENTRY("a", "F4", "[3]", 0, 2) "}", 2, "no whole number of bytes");
    expect_error("{" ENTRY("a", "U8", "[4]", 0, 9223372036854775807) "}", 4, "truncated?");
    expect_error("{" ENTRY("a", "U8", "[4]", 0, 9223372036854775808) "}", 4, "malformed header");
    expect_error("{" ENTRY("a", "U8", "[4]", -1, 3) "}", 4, "negative");
    expect_error("{" ENTRY("a", "U8", "[4]", 0.0, 4) "}", 4, "no whole number");
}

static void test_shapes(void) {
    expect_error("{" ENTRY("a", "F32", "[4294967296,4294967296]", 0, 0) "}", 0, "overflows");
    expect_error("{" ENTRY("a", "F32", "[0,9223372036854775807,9223372036854775807]", 0, 0) "}", 0, "overflows");
    expect_error("{" ENTRY("a", "U8", "[9223372036854775807,2]", 0, 0) "}", 0, "overflows");
    expect_error("{" ENTRY("a", "F32", "[2,2147483647,2147483647,2147483647]", 0, 0) "}", 0, "overflows");
    expect_error("{" ENTRY("a", "F32", "[18446744073709551616]", 0, 0) "}", 0, "malformed header");
    expect_error("{" ENTRY("a", "F32", "[-1]", 0, 0) "}", 0, "negative");
    expect_error("{" ENTRY("a", "F32", "[1.0]", 0, 4) "}", 4, "no whole number");
    expect_error("{" ENTRY("a", "F32", "[1e400]", 0, 4) "}", 4, "malformed header");
    expect_error("{" ENTRY("a", "F32", "[true]", 0, 4) "}", 4, "no whole number");
    expect_error("{" ENTRY("a", "F32", "[\"1\"]", 0, 4) "}", 4, "no whole number");
    expect_error("{" ENTRY("a", "F32", "4", 0, 16) "}", 16, "shape is missing or no array");
    expect_error("{" ENTRY("a", "F32", "[1,1,1,1,1,1,1,1,1]", 0, 4) "}", 4, "more than 8 dimensions");
    expect_error("{" ENTRY("a", "f32", "[1]", 0, 4) "}", 4, "dtype 'f32' is not known");
    expect_error("{" ENTRY("a", "", "[1]", 0, 4) "}", 4, "dtype '' is not known");
}

static void test_structure(void) {
    expect_error("{" ENTRY("a", "U8", "[1]", 0, 1) "," ENTRY("a", "U8", "[1]", 1, 2) "}", 2, "duplicate");
    expect_error("{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "duplicate");
    expect_error("{\"a\":{\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "dtype is missing");
    expect_error("{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,1]}}", 1, "shape is missing");
    expect_error("{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", 1, "data_offsets is missing");
    expect_error("{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1,1]}}", 1, "no pair");
    expect_error("{\"a\":{\"dtype\":8,\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "dtype is missing or no string");
    expect_error("{\"a\":[]}", 0, "an array where a tensor belongs");
    expect_error("{\"a\":\"b\"}", 0, "no JSON object");
    expect_error("{\"a\":null}", 0, "no JSON object");
    expect_error("{\"__metadata__\":\"x\"}", 0, "__metadata__ is no JSON object");
    expect_error("{\"__metadata__\":{\"x\":1}}", 0, "__metadata__ 'x' is no string");
    expect_error("{\"__metadata__\":{\"x\":{}}}", 0, "__metadata__ 'x' is no string");
    expect_error("", 0, "does not begin with '{'");
    expect_error(" {}", 0, "does not begin with '{'");
    expect_error("[]", 0, "does not begin with '{'");
    expect_error("{", 0, "malformed header");
    expect_error("{}}", 0, "malformed header");
    expect_error("{}x", 0, "malformed header");
    expect_error("{\"a\"}", 0, "malformed header");
    expect_error("{'a':{}}", 0, "malformed header");
    expect_error("{\"a\":{\"b\":{\"c\":{}}}}", 0, "nested deeper than 3");
    expect_error("{\"a\":{\"b\":[[]]}}", 0, "nested deeper than 3");
    expect_error("{\"\xff\":{}}", 0, "malformed header");
    expect_error("{\"\xc0\x80\":{}}", 0, "malformed header");
    expect_error("{\"\\u0000\":{}}", 0, "malformed header");
    expect_error("{\"\\ud800\":{}}", 0, "malformed header");
    expect_error("{\"a\nb\":{}}", 0, "malformed header");
}

/* A NUL is no end of a header. */
static void test_nul(void) {
    static const char in_name[] = "{\"a\0b\":{}}", behind[] = "{}\0\0";
    unsigned char bytes[FILE_MAX];
    expect_error_of(bytes, make_file(in_name, sizeof in_name - 1, 0, bytes), "NUL in a name", "malformed header");
    expect_error_of(bytes, make_file(behind, sizeof behind - 1, 0, bytes), "NUL behind", "malformed header");
}

static void test_lengths(void) {
    unsigned char bytes[FILE_MAX] = { 0 };
    memset(bytes, 0xff, 8);
    expect_error_of(bytes, 16, "2^64 - 1", "header of 18446744073709551615 bytes; the limit is 100000000");
    memset(bytes, 0, 8);
    bytes[7] = 0x80;
    expect_error_of(bytes, 16, "2^63", "the limit is");
    memcpy(bytes, "\x01\xe1\xf5\x05\0\0\0\0", 8);
    expect_error_of(bytes, 16, "the limit + 1", "header of 100000001 bytes; the limit is");
    memcpy(bytes, "\x00\xe1\xf5\x05\0\0\0\0", 8);
    expect_error_of(bytes, 16, "the limit", "truncated: header of 100000000 bytes, but only 8 follow");
}

/* A long header is refused soon, whatever it repeats: depth, the elements of an array, keys. */
static void test_long_headers(void) {
    static const struct { const char *begun, *repeated, *wanted; } headers[] = {
        { "{\"a\":", "[", "an array where a tensor belongs" },
        { "", "{\"a\":", "nested deeper than 3" },
        { "", "{\"a\":{\"b\":[", "nested deeper than 3" },
        { "{\"a\":{\"shape\":[", "0,", "more than 64 elements" },
        { "{\"a\":{\"shape\":[", "\"\",", "more than 64 elements" },
        { "{\"__metadata__\":{", "\"a\":\"\",", "header of more than 1000000 keys" },
        { "{\"", "\\\"", "malformed header" },
    };
    const size_t length = 20000000;
    unsigned char *bytes = malloc(8 + length);
    CHECK(bytes);
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        const clock_t started = clock();
        const size_t first = strlen(headers[i].begun), each = strlen(headers[i].repeated);
        for (int n = 0; n < 8; n++) bytes[n] = (unsigned char)((uint64_t)length >> 8 * n);
        memcpy(bytes + 8, headers[i].begun, first);
        for (size_t at = first; at < length; at++)
            bytes[8 + at] = (unsigned char)headers[i].repeated[(at - first) % each];
        expect_error_of(bytes, 8 + length, headers[i].repeated, headers[i].wanted);
        CHECK((double)(clock() - started) / CLOCKS_PER_SEC < 20.0);
    }
    free(bytes);
}

static void test_files(void) {
    static const char path[] = "cli.safetensors.test.safetensors";
    unsigned char bytes[FILE_MAX], data[2];
    char error[TEXT_MAX];
    safetensors_file file;
    const size_t count = make_file(seeds[4].header, strlen(seeds[4].header), seeds[4].data_bytes, bytes);
    FILE *out = fopen(path, "wb");
    for (unsigned char i = 0; i < 6; i++) bytes[count - 6 + i] = i;
    CHECK(out && fwrite(bytes, 1, count, out) == count && fclose(out) == 0);
    CHECK(safetensors_open(path, &file, error, sizeof error));
    CHECK(file.count == 2 && file.descriptor >= 0);
    CHECK(safetensors_read(&file, &file.tensors[0], 1, data, 2, error, sizeof error) && data[0] == 1 && data[1] == 2);
    CHECK(safetensors_read(&file, &file.tensors[1], 0, data, 2, error, sizeof error) && data[0] == 4 && data[1] == 5);
    CHECK(fclose(fopen(path, "wb")) == 0);
    CHECK(!safetensors_read(&file, &file.tensors[1], 0, data, 2, error, sizeof error) && strstr(error, "changed"));
    safetensors_close(&file);
    CHECK(file.descriptor == -1 && !file.tensors);
    CHECK(!safetensors_open(path, &file, error, sizeof error) && strstr(error, path) && strstr(error, "too short"));
    CHECK(!safetensors_open(".", &file, error, sizeof error) && strstr(error, "not a regular file"));
    remove(path);
    CHECK(!safetensors_open(path, &file, error, sizeof error) && strstr(error, "cannot open"));
}

int main(void) {
    if (!safetensors_supported()) {
        puts("skipped: this build has no reader for .safetensors files: Jansson was not found");
        return SKIPPED;
    }
    test_seeds_and_truncations();
    test_contents();
    test_places();
    test_shapes();
    test_structure();
    test_nul();
    test_lengths();
    test_long_headers();
    test_files();
    return 0;
}
