/* SPDX-License-Identifier: Apache-2.0
 *
 * The .npy reader: every file it writes reads back, every truncation is refused, and no mutation of a good file makes
 * it crash, read outside of the bytes given, or accept a shape that does not fit them. A sanitizer sees more here.
 *
 * usage: cli.npy [MUTATIONS [SEED]] */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "npy.h"

#define CHECK(condition)                                                              \
    do {                                                                              \
        if (!(condition)) {                                                           \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);   \
            exit(1);                                                                  \
        }                                                                             \
    } while (0)

enum { MUTANT_MAX = 512, TEXT_MAX = 300 };

/* Good files: header and number of data bytes. */
static const struct { unsigned char version; const char *header; size_t data_bytes; } seeds[] = {
    { 1, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n", 24 },
    { 1, "{'descr': '|i1', 'fortran_order': False, 'shape': (), }   \n", 1 },
    { 2, "{\"shape\":(7,),\"descr\":\"=u2\",\"fortran_order\":False}", 14 },
    { 3, "{'descr': '<f2', 'fortran_order': False, 'shape': (2L, 1, 3,)}", 12 },
    { 1, "{'descr': '<i4', 'fortran_order': False, 'shape': (0, 9), }\n", 0 },
    { 1, " {'descr' : '|u1' ,'fortran_order' : False,\t'shape':( 3 , ) ,} \n", 3 },
    { 2, "{'descr': '<i2', 'fortran_order': False, 'shape': (1, 4), }", 8 },
    { 3, "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, 1), }                    \n", 4 },
    { 1, "{'shape': (0,), 'fortran_order': False, 'descr': '=f4'}", 0 },
    { 1, "{'fortran_order': False, 'shape': (5, 0, 2), 'descr': '<f2'}", 0 },
};
enum { SEEDS = sizeof seeds / sizeof seeds[0] };

static size_t make_seed(size_t index, unsigned char *bytes) {
    const size_t header = strlen(seeds[index].header), preamble = seeds[index].version == 1 ? 10 : 12;
    memset(bytes, 0, MUTANT_MAX);
    memcpy(bytes, "\x93NUMPY", 6);
    bytes[6] = seeds[index].version;
    bytes[8] = (unsigned char)header;
    memcpy(bytes + preamble, seeds[index].header, header);
    return preamble + header + seeds[index].data_bytes;
}

/* Parses a copy whose end is the end of its memory, and holds the result to what npy.h promises. */
static bool parse(const unsigned char *bytes, size_t count) {
    char error[TEXT_MAX] = "";
    npy_array array = { .dims = 77 };
    unsigned char *copy = malloc(count ? count : 1);
    bool good;
    CHECK(copy);
    memcpy(copy, bytes, count);
    good = npy_parse(count ? copy : copy + 1, count, &array, error, sizeof error);
    if (good) {
        int64_t product = 1;
        CHECK(array.dims >= 0 && array.dims <= NPY_DIMS_MAX && !array.storage && error[0] == '\0');
        for (int i = 0; i < NPY_DIMS_MAX; i++) CHECK(array.shape[i] >= 0 && (i < array.dims || array.shape[i] == 1));
        for (int i = 0; i < array.dims; i++) product *= array.shape[i];
        CHECK(product == array.count && array.bytes == (size_t)product * npy_type_bytes(array.type));
        CHECK((const unsigned char *)array.data + array.bytes == copy + count);
    } else {
        CHECK(array.dims == 77);
        CHECK(error[0] != '\0' && strlen(error) < TEXT_MAX);
        for (const char *c = error; *c; c++) CHECK(*c >= 0x20 && *c <= 0x7e);
    }
    free(copy);
    return good;
}

static void test_seeds_and_truncations(void) {
    unsigned char bytes[MUTANT_MAX];
    for (size_t i = 0; i < SEEDS; i++) {
        const size_t count = make_seed(i, bytes);
        CHECK(parse(bytes, count));
        for (size_t shorter = 0; shorter < count; shorter++) CHECK(!parse(bytes, shorter));
        CHECK(!parse(bytes, count + 1));
    }
}

/* The text of an error for a given header, or "" where it is accepted. */
static void expect_error(const char *header, const char *wanted) {
    unsigned char bytes[MUTANT_MAX] = { 0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0 };
    char error[TEXT_MAX] = "";
    npy_array array;
    const size_t length = strlen(header);
    bytes[8] = (unsigned char)length;
    memcpy(bytes + 10, header, length);
    npy_parse(bytes, 10 + length, &array, error, sizeof error);
    if (strstr(error, wanted)) return;
    fprintf(stderr, "%s\n    gives '%s', not '%s'\n", header, error, wanted);
    exit(1);
}

static void test_errors(void) {
#define WITH_SHAPE(shape) "{'descr': '<f4', 'fortran_order': False, 'shape': " shape "}"
#define WITH_DESCR(descr) "{'descr': " descr ", 'fortran_order': False, 'shape': (0,)}"
    expect_error(WITH_SHAPE("(4294967296, 4294967296)"), "the size of the shape overflows");
    expect_error(WITH_SHAPE("(0, 9223372036854775807, 9223372036854775807)"), "the size of the shape overflows");
    expect_error(WITH_SHAPE("(9223372036854775807,)"), "the size of the shape overflows");
    expect_error(WITH_SHAPE("(9223372036854775808,)"), "above 2^63 - 1");
    expect_error(WITH_SHAPE("(99999999999999999999999999999999999999,)"), "above 2^63 - 1");
    expect_error(WITH_SHAPE("(-1,)"), "negative");
    expect_error(WITH_SHAPE("(1, 1, 1, 1)"), "more than 3 dimensions");
    expect_error(WITH_SHAPE("(1)"), "not a tuple");
    expect_error(WITH_SHAPE("(1 1)"), "no ',' between the dimensions");
    expect_error(WITH_SHAPE("(,)"), "not a number");
    expect_error(WITH_SHAPE("(1.0,)"), "no ',' between the dimensions");
    expect_error(WITH_SHAPE("(two,)"), "not a number");
    expect_error(WITH_SHAPE("[1]"), "no '(' before the shape");
    expect_error(WITH_SHAPE("(1,"), "not a number");
    expect_error(WITH_SHAPE("(1,)"), "truncated: the shape needs 4 bytes of data, the file has 0");
    expect_error(WITH_SHAPE("(0,)") "x", "something follows");
    expect_error(WITH_SHAPE("(0,), 'shape': (0,)"), "key 'shape' is there twice");
    expect_error(WITH_SHAPE("(0,), 'size': 0"), "unknown key 'size'");
    expect_error(WITH_DESCR("'>f4'"), "big-endian");
    expect_error(WITH_DESCR("'<f8'"), "dtype '<f8' is none of f4 f2 i1 u1 i2 u2 i4");
    expect_error(WITH_DESCR("'|O'"), "dtype '|O' is none of");
    expect_error(WITH_DESCR("''"), "dtype '' is none of");
    expect_error(WITH_DESCR("'f4'"), "dtype 'f4' is none of");
    expect_error(WITH_DESCR("[('x', '<f4')]"), "record");
    expect_error(WITH_DESCR("'<f4aaaaaaaaaaaaaaaaaaaaaaaaaaaa'"), "longer than");
    expect_error(WITH_DESCR("'<f4\\x20'"), "not plain text");
    expect_error("{'descr': '<f4', 'fortran_order': True, 'shape': (0,)}", "Fortran order");
    expect_error("{'descr': '<f4', 'fortran_order': 0, 'shape': (0,)}", "neither True nor False");
    expect_error("{'descr': '<f4', 'fortran_order': False}", "no key 'shape'");
    expect_error("{'descr': '<f4' 'fortran_order': False}", "no ',' between the entries");
    expect_error("{descr: '<f4'}", "a key is not a string");
    expect_error("{'descr': '<f4", "no '''");
    expect_error("{", "a key is not a string");
    expect_error("", "no '{'");
}

/* ---- mutations --------------------------------------------------------------------------------------------------- */

static uint64_t state;

static uint64_t draw(uint64_t below) { /* splitmix64 */
    uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (z ^ (z >> 31)) % below;
}

static size_t insert(unsigned char *bytes, size_t count, size_t at, const void *what, size_t length) {
    unsigned char copy[MUTANT_MAX];
    if (count + length > MUTANT_MAX) return count;
    memcpy(copy, what, length); /* it may lie within bytes */
    memmove(bytes + at + length, bytes + at, count - at);
    memcpy(bytes + at, copy, length);
    return count + length;
}

static size_t erase(unsigned char *bytes, size_t count, size_t at, size_t length) {
    if (length > count - at) length = count - at;
    memmove(bytes + at, bytes + at + length, count - at - length);
    return count - length;
}

static size_t mutate(unsigned char *bytes, size_t count) {
    static const char *const words[] = {
        "-1", "0", "1", "9223372036854775807", "18446744073709551616", "(", ")", "{", "}", "[", "'", "\"", ",", ":",
        "\\", "True", "False", "None", "'shape': (1,), ", "'descr': '<f4', ", "<f4", ">f4", "|i1", "<u2", "L", " ",
        "\n", "#",
    };
    const size_t at = (size_t)draw(count ? count : 1);
    const char *word = words[draw(sizeof words / sizeof words[0])];
    switch (count ? draw(8) : 7) {
    case 0: bytes[at] ^= (unsigned char)(1u << draw(8)); break;
    case 1: bytes[at] = (unsigned char)draw(256); break;
    case 2: return erase(bytes, count, at, (size_t)draw(8) + 1);
    case 3: return insert(bytes, count, at, word, strlen(word));
    case 4: return at + strlen(word) <= count ? (memcpy(bytes + at, word, strlen(word)), count) : count;
    case 5: return insert(bytes, count, at, bytes + at, (size_t)draw(count - at < 40 ? count - at : 40));
    case 6: if (count > 12) bytes[8 + draw(4)] = (unsigned char)draw(256); break;
    case 7: return (size_t)draw(count + 1);
    }
    return count;
}

/* Keeps the length of the header and the amount of data right half of the time, so that mutants get far. */
static size_t repair(unsigned char *bytes, size_t count) {
    const unsigned char *end = count > 12 ? memchr(bytes + 12, '}', count - 12) : NULL;
    if (!end || bytes[6] != 1 || draw(2)) return count;
    bytes[8] = (unsigned char)(end + 1 - bytes - 10);
    bytes[9] = (unsigned char)((end + 1 - bytes - 10) >> 8);
    return (size_t)(end + 1 - bytes) + 24 <= MUTANT_MAX ? (size_t)(end + 1 - bytes) + 4 * (size_t)draw(7) : count;
}

static void test_mutations(long mutations) {
    unsigned char bytes[MUTANT_MAX];
    long accepted = 0;
    for (long i = 0; i < mutations; i++) {
        size_t count = make_seed((size_t)draw(SEEDS), bytes);
        for (uint64_t n = draw(4) + 1; n > 0; n--) count = mutate(bytes, count);
        accepted += parse(bytes, repair(bytes, count));
    }
    printf("%ld mutations, %ld accepted\n", mutations, accepted);
    CHECK(mutations < 1000 || (accepted > mutations / 100 && accepted < mutations / 2));
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

static void test_round_trip(void) {
    static const int64_t shapes[][3] = { { 0, 0, 0 }, { 6, 0, 0 }, { 2, 3, 0 }, { 1, 2, 3 } };
    static const char path[] = "cli.npy.test.npy";
    unsigned char data[24];
    char error[TEXT_MAX] = "";
    for (int i = 0; i < 24; i++) data[i] = (unsigned char)(i * 11);
    for (int type = NPY_F4; type <= NPY_I4; type++) {
        for (int dims = 0; dims <= NPY_DIMS_MAX; dims++) {
            const npy_file file = { path, npy_view((npy_type)type, dims, shapes[dims], data) };
            npy_array back;
            CHECK(npy_write(&file, 1, error, sizeof error));
            CHECK(npy_read(path, &back, error, sizeof error));
            CHECK(back.type == (npy_type)type && back.dims == dims && back.count == (dims == 0 ? 1 : 6));
            for (int i = 0; i < dims; i++) CHECK(back.shape[i] == shapes[dims][i]);
            CHECK((uintptr_t)back.data % 64 == 0 && memcmp(back.data, data, back.bytes) == 0);
            npy_free(&back);
        }
    }
    remove(path);
}

int main(int argc, char **argv) {
    const long mutations = argc > 1 ? atol(argv[1]) : 200000;
    state = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
    test_seeds_and_truncations();
    test_errors();
    test_round_trip();
    test_mutations(mutations);
    return 0;
}
