/* SPDX-License-Identifier: Apache-2.0
 *
 * Lists of numbers and of shapes: what they mean, and that bad ones and bad files give one line and CLI_USAGE.
 *
 * usage: cli.shapes [MUTATIONS [SEED]] */
#define _POSIX_C_SOURCE 200809L
#include "shapes.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"

#define CHECK(condition)                                                            \
    do {                                                                            \
        if (!(condition)) {                                                         \
            printf("%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);          \
            exit(1);                                                                \
        }                                                                           \
    } while (0)

enum { COUNT_MAX = 16, MUTANT_MAX = 512 };
static char folder[] = "/tmp/qmm_shapes_XXXXXX";

/* ---- standard error ---------------------------------------------------------------------------------------------- */

/* A new file each time: some file systems write a file out at once when it is cut to nothing. */
static void errors_begin(void) {
    (void)unlink("errors");
    CHECK(freopen("errors", "w+", stderr));
}

/* What was printed since, and whether it was `code`'s share of it: one line, or nothing where all was well. */
static const char *errors_end(int code) {
    static char text[8192];
    size_t bytes;
    char *newline;
    CHECK(fflush(stderr) == 0);
    rewind(stderr);
    bytes = fread(text, 1, sizeof text - 1, stderr);
    text[bytes] = '\0';
    if (code == CLI_OK) {
        CHECK(bytes == 0);
        return text;
    }
    CHECK(code == CLI_USAGE);
    newline = strchr(text, '\n');
    CHECK(strncmp(text, "qmm test: ", 10) == 0 && newline && newline[1] == '\0' && strlen(text) == bytes);
    for (const char *c = text; c < newline; c++) CHECK((unsigned char)*c >= 0x20);
    return text;
}

static int read_shapes(const char *text, const int64_t *m, int m_count, cli_shapes *shapes) {
    int code;
    *shapes = (cli_shapes){ NULL, 0 };
    errors_begin();
    code = cli_shapes_read("test", text, m, m_count, shapes);
    CHECK((code == CLI_OK) == (errors_end(code)[0] == '\0'));
    CHECK((code == CLI_OK) == (shapes->count > 0) && (shapes->count > 0) == (shapes->items != NULL));
    return code;
}

/* ---- numbers ----------------------------------------------------------------------------------------------------- */

static void test_numbers(void) {
    static const struct {
        const char *text;
        int count;
        int64_t values[COUNT_MAX];
    } good[] = {
        { "0", 1, { 0 } },
        { "1,16,300", 3, { 1, 16, 300 } },
        { "7..7", 1, { 7 } },
        { "3..6", 4, { 3, 4, 5, 6 } },
        { "1..8192*2", 14, { 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192 } },
        { "1..100*10", 3, { 1, 10, 100 } },
        { "1..99*10", 2, { 1, 10 } },
        { "5..20+5,1", 5, { 5, 10, 15, 20, 1 } },
        { "0..9+4", 3, { 0, 4, 8 } },
        { "00012", 1, { 12 } },
        { "2147483646..2147483647", 2, { 2147483646, 2147483647 } },
        { "1073741824..2147483647*2", 1, { 1073741824 } },
        { "1..2147483647*2147483647", 2, { 1, 2147483647 } },
        { "2147483647..2147483647+2147483647", 1, { 2147483647 } },
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        int64_t *values = NULL;
        int count = 0, code;
        errors_begin();
        code = cli_numbers_read("test", "--m", good[i].text, 0, INT32_MAX, &values, &count);
        errors_end(code);
        CHECK(code == CLI_OK && count == good[i].count);
        CHECK(memcmp(values, good[i].values, (size_t)count * sizeof *values) == 0);
        free(values);
    }
}

static void test_bad_numbers(void) {
    static const struct {
        const char *text, *says;
    } bad[] = {
        { "", "'' is no whole number" },
        { ",", "'' is no whole number" },
        { "1,", "'' is no whole number" },
        { "1,,2", "'' is no whole number" },
        { "x", "'x' is no whole number" },
        { "-1", "'-1' is no whole number" },
        { "+1", "'+1' is no whole number" },
        { " 1", "' 1' is no whole number" },
        { "1 ", "'1 ' is no whole number" },
        { "1.5", "'1.5' is no whole number" },
        { "0x10", "'0x10' is no whole number" },
        { "1e3", "'1e3' is no whole number" },
        { "1..", "'1..' is no whole number" },
        { "..5", "'..5' is no whole number" },
        { "1..5*", "'1..5*' is no whole number" },
        { "1..5*2*2", "'1..5*2*2' is no whole number" },
        { "1..5/2", "'1..5/2' is no whole number" },
        { "1*2", "'1*2' is no whole number" },
        { "1..5-1", "'1..5-1' is no whole number" },
        { "5..1", "'5..1' goes downwards" },
        { "1..8*1", "'1..8*1' has a factor below 2" },
        { "1..8*0", "'1..8*0' has a factor below 2" },
        { "0..8*2", "'0..8*2' multiplies 0" },
        { "1..8+0", "'1..8+0' has a step of 0" },
        { "2147483648", "'2147483648' is not within 0..2147483647" },
        { "1..99999999999999999999999", "is not within 0..2147483647" },
        { "18446744073709551617", "is not within 0..2147483647" },
        { "0..2147483647", "is over 100000 numbers" },
        { "1..100000,1", "is over 100000 numbers" },
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        int64_t *values = NULL;
        int count = 0, code;
        errors_begin();
        code = cli_numbers_read("test", "--m", bad[i].text, 0, INT32_MAX, &values, &count);
        CHECK(code == CLI_USAGE && !values && count == 0);
        CHECK(strstr(errors_end(code), bad[i].says));
    }
}

/* ---- shapes ------------------------------------------------------------------------------------------------------ */

static bool same(const cli_shape *s, const char *name, int64_t m, int64_t n, int64_t k, int64_t batch) {
    return strcmp(s->name, name) == 0 && s->m == m && s->n == n && s->k == k && s->batch == batch;
}

static void test_by_hand(void) {
    const int64_t m[] = { 5, 6 };
    char text[64];
    cli_shapes shapes;
    CHECK(read_shapes("1x2x3,40x50x60x7,0x0x0", m, 2, &shapes) == CLI_OK && shapes.count == 3);
    CHECK(same(&shapes.items[0], "", 1, 2, 3, 1));
    CHECK(same(&shapes.items[1], "", 40, 50, 60, 7));
    cli_shape_sizes(&shapes.items[0], text, sizeof text);
    CHECK(strcmp(text, "1x2x3") == 0);
    cli_shape_sizes(&shapes.items[1], text, sizeof text);
    CHECK(strcmp(text, "40x50x60x7") == 0);
    cli_shapes_free(&shapes);
    CHECK(read_shapes("2147483647x2147483647x2147483647x2147483647", NULL, 0, &shapes) == CLI_OK);
    cli_shape_sizes(&shapes.items[0], text, sizeof text);
    CHECK(strcmp(text, "2147483647x2147483647x2147483647x2147483647") == 0);
    cli_shapes_free(&shapes);
}

/* The weights of all layers of a model as its card counts them, less embeddings, norms and biases. */
static void test_sets(void) {
    static const struct {
        const char *name;
        int64_t hidden, ffn, of_kv, matrices; /* into the feed-forward part: 2 with a gate, else 1 */
    } models[] = {
        { "llama3-8b", 4096, 14336, 8 * 128, 2 },  { "llama3-70b", 8192, 28672, 8 * 128, 2 },
        { "qwen2.5-7b", 3584, 18944, 4 * 128, 2 }, { "bert-base", 768, 3072, 768, 1 },
        { "vit-b16", 768, 3072, 768, 1 },
    };
    const int64_t m[] = { 3 };
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++) {
        const int64_t h = models[i].hidden, f = models[i].ffn;
        int64_t weights = 0;
        cli_shapes shapes, layer;
        char name[64];
        CHECK(read_shapes(models[i].name, m, 1, &shapes) == CLI_OK && shapes.count == 4);
        for (int j = 0; j < 4; j++) weights += shapes.items[j].n * shapes.items[j].k;
        CHECK(weights == h * (h + 2 * models[i].of_kv) + h * h + (models[i].matrices + 1) * h * f);
        CHECK(shapes.items[1].m == 3 && shapes.items[1].n == h && shapes.items[1].k == h && shapes.items[1].batch == 1);
        snprintf(name, sizeof name, "%s/down", models[i].name);
        CHECK(read_shapes(name, m, 1, &layer) == CLI_OK && layer.count == 1);
        CHECK(same(&layer.items[0], name, 3, h, f, 1) && same(&shapes.items[3], name, 3, h, f, 1));
        cli_shapes_free(&shapes);
        cli_shapes_free(&layer);
    }
}

static void test_own_m(void) {
    cli_shapes shapes;
    int largest = 0;
    CHECK(read_shapes("llama3-8b/qkv", NULL, 0, &shapes) == CLI_OK && shapes.count == 14);
    for (int i = 0; i < shapes.count; i++)
        CHECK(same(&shapes.items[i], "llama3-8b/qkv", (int64_t)1 << i, 6144, 4096, 1));
    cli_shapes_free(&shapes);
    CHECK(read_shapes("edges,5x5x5", NULL, 0, &shapes) == CLI_OK && shapes.count > 24);
    for (int i = 0; i < shapes.count; i++) {
        for (int j = 0; j < i; j++) CHECK(memcmp(&shapes.items[i], &shapes.items[j], sizeof(cli_shape)) != 0);
        largest = shapes.items[i].m > largest ? (int)shapes.items[i].m : largest;
    }
    CHECK(largest > 1000);
    cli_shapes_free(&shapes);
}

static void test_bad_shapes(void) {
    static const struct {
        const char *text, *says;
    } bad[] = {
        { "", "is empty" },
        { "1x2x3,", "is empty" },
        { ",edges", "is empty" },
        { "1", "'1' is not MxNxK" },
        { "1x2", "'1x2' is not MxNxK" },
        { "1x2x", "'1x2x' is not MxNxK" },
        { "1xx3", "'1xx3' is not MxNxK" },
        { "1x2x3x", "'1x2x3x' is not MxNxK" },
        { "1x2x3x4x5", "'1x2x3x4x5' is not MxNxK" },
        { "2147483648x1x1", "a size is above 2147483647" },
        { "1x1x18446744073709551617", "a size is above 2147483647" },
        { "1x1x1x0", "the batch is 0" },
        { "llama3-8b/none", "no built-in set and no file" },
        { "llama3-9b", "no built-in set and no file" },
        { "edges/", "no built-in set and no file" },
        { "-1x2x3", "no built-in set and no file" },
        { ".", "not a regular file" },
        { "/dev/zero", "not a regular file" },
        { "pipe", "not a regular file" },
    };
    CHECK(mkfifo("pipe", 0600) == 0);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cli_shapes shapes = { NULL, 0 };
        int code;
        errors_begin();
        code = cli_shapes_read("test", bad[i].text, NULL, 0, &shapes);
        CHECK(code == CLI_USAGE && !shapes.items && shapes.count == 0);
        CHECK(strstr(errors_end(code), bad[i].says));
    }
}

/* A list longer than anyone needs is refused, not tried. */
static void test_too_many(void) {
    int64_t *m;
    int count;
    cli_shapes shapes;
    CHECK(cli_numbers_read("test", "--m", "1..100000", 0, INT32_MAX, &m, &count) == CLI_OK);
    CHECK(read_shapes("bert-base,bert-base", m, count, &shapes) == CLI_OK && shapes.count == 800000);
    cli_shapes_free(&shapes);
    CHECK(read_shapes("bert-base,bert-base,bert-base", m, count, &shapes) == CLI_USAGE);
    free(m);
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

static void write_file(const char *name, const char *bytes, size_t count) {
    FILE *file;
    (void)unlink(name);
    file = fopen(name, "wb");
    CHECK(file && fwrite(bytes, 1, count, file) == count && fclose(file) == 0);
}

static void test_file(void) {
    static const char text[] = "\xef\xbb\xbf# layers\r\n\r\n  up 1,2 10 20 # more\r\n"
                               "\tdown\t7\t20\t10\t3\nlast 1..4*2 0 1";
    const int64_t m[] = { 9 };
    cli_shapes shapes;
    write_file("edges", text, sizeof text - 1); /* the name of a set, with ./ before it */
    CHECK(read_shapes("./edges,1x1x1", NULL, 0, &shapes) == CLI_OK && shapes.count == 7);
    CHECK(same(&shapes.items[0], "up", 1, 10, 20, 1) && same(&shapes.items[1], "up", 2, 10, 20, 1));
    CHECK(same(&shapes.items[2], "down", 7, 20, 10, 3) && same(&shapes.items[5], "last", 4, 0, 1, 1));
    cli_shapes_free(&shapes);
    CHECK(read_shapes("./edges", m, 1, &shapes) == CLI_OK && shapes.count == 3);
    CHECK(same(&shapes.items[1], "down", 9, 20, 10, 3));
    cli_shapes_free(&shapes);
}

static void test_bad_files(void) {
    static const struct {
        const char *text, *says;
    } bad[] = {
        { "", "file: holds no shape" },
        { "\n\n# only this", "file: holds no shape" },
        { "a 1 2\n", "file:1: it is not NAME M N K [BATCH]" },
        { "a 1 2 3\nb 1 2 3 4 5\n", "file:2: it is not NAME M N K [BATCH]" },
        { "a x 2 3\n", "file:1: M: 'x' is no whole number" },
        { "a 1,2,5..3 2 3\n", "file:1: M: '5..3' goes downwards" },
        { "a 1 -2 3\n", "file:1: N '-2' is not a whole number" },
        { "a 1 2 3.0\n", "file:1: K '3.0' is not a whole number" },
        { "a 1 2147483648 3\n", "file:1: N '2147483648' is not" },
        { "a 1 2 3 0\n", "file:1: BATCH '0' is not a whole number within 1.." },
        { "a 1 2 3 99999999999999999999\n", "file:1: BATCH" },
        { "\na 1 2 3\x01\n", "file:2: it holds a control character" },
        { "a 1 2 3\r\r\n", "file:1: it holds a control character" },
        { "a23456789012345678901234567890123456789012345678 1 2 3", "is longer than 47 characters" },
    };
    char *large = malloc(3 << 20);
    cli_shapes shapes;
    CHECK(large);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        int code;
        shapes = (cli_shapes){ NULL, 0 };
        write_file("file", bad[i].text, strlen(bad[i].text));
        errors_begin();
        code = cli_shapes_read("test", "file", NULL, 0, &shapes);
        CHECK(code == CLI_USAGE && strstr(errors_end(code), bad[i].says));
    }
    write_file("file", "a 1 2 3\0", 8);
    CHECK(read_shapes("file", NULL, 0, &shapes) == CLI_USAGE);
    memset(large, '#', 3 << 20); /* one long line */
    memcpy(large, "a 1 2 3", 7);
    write_file("file", large, 1 << 20);
    CHECK(read_shapes("file", NULL, 0, &shapes) == CLI_OK && shapes.count == 1);
    cli_shapes_free(&shapes);
    write_file("file", large, (1 << 20) + 1);
    CHECK(read_shapes("file", NULL, 0, &shapes) == CLI_USAGE);
    memset(large, 'x', 3 << 20);
    write_file("file", large, 1 << 20);
    CHECK(read_shapes("file", NULL, 0, &shapes) == CLI_USAGE);
    free(large);
}

/* ---- hostile files ----------------------------------------------------------------------------------------------- */

static const char *const seeds[] = {
    "a 1 2 3\n",
    "layer/qkv 1..8192*2 6144 4096\nlayer/o 1,2,3 4096 4096 8\n",
    "# comment\r\n\r\nx 0 0 0\r\n",
    "\xef\xbb\xbfname 5..20+5 7 9 # more",
    "\t tabs \t 12 \t 34 \t 56 \t 7 \t\n",
    "\xc3\xa9\xe6\x97\xa5 2147483647 2147483647 2147483647 2147483647\n",
    "a 1..300 2 3\n\n\nb 4..4 5 6",
    "a 1 2 3\r\nb 4 5 6\rc 7 8 9\n",
    "a 99999999999999999999 2 3\n",
    "a 1 2 3 4 5 6 7 8 9",
};
enum { SEEDS = sizeof seeds / sizeof seeds[0] };

/* Reads these bytes; the result is as it must be, good or bad. */
static void try_bytes(const char *bytes, size_t count) {
    cli_shapes shapes;
    int code;
    write_file("mutant", bytes, count);
    code = read_shapes("mutant", NULL, 0, &shapes);
    CHECK(code == CLI_OK || code == CLI_USAGE);
    for (int i = 0; i < shapes.count; i++) {
        const cli_shape *s = &shapes.items[i];
        CHECK(memchr(s->name, '\0', sizeof s->name) && s->name[0] != '\0');
        CHECK(s->m >= 0 && s->n >= 0 && s->k >= 0 && s->batch >= 1);
        CHECK(s->m <= INT32_MAX && s->n <= INT32_MAX && s->k <= INT32_MAX && s->batch <= INT32_MAX);
    }
    cli_shapes_free(&shapes);
}

static void test_truncations(void) {
    for (int i = 0; i < (int)SEEDS; i++)
        for (size_t length = 0; length <= strlen(seeds[i]); length++) try_bytes(seeds[i], length);
}

static uint64_t next_random(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

static void test_mutations(long count, uint64_t seed) {
    for (long i = 0; i < count; i++) {
        static const char likely[] = "0123456789.*+, \t\r\n#x";
        char bytes[MUTANT_MAX];
        const char *from = seeds[next_random(&seed) % SEEDS];
        const size_t length = strlen(from);
        memcpy(bytes, from, length);
        for (uint64_t changes = 1 + next_random(&seed) % 4; changes > 0; changes--) {
            const size_t place = next_random(&seed) % length;
            const bool any = next_random(&seed) % 2;
            bytes[place] = any ? (char)next_random(&seed) : likely[next_random(&seed) % (sizeof likely - 1)];
        }
        try_bytes(bytes, length);
    }
}

static void remove_files(void) {
    static const char *const names[] = { "errors", "pipe", "edges", "file", "mutant" };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) (void)unlink(names[i]);
    (void)rmdir(folder);
}

int main(int argc, char **argv) {
    const long mutations = argc > 1 ? atol(argv[1]) : 2000;
    const uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    CHECK(mkdtemp(folder) && chdir(folder) == 0);
    test_numbers();
    test_bad_numbers();
    test_by_hand();
    test_sets();
    test_own_m();
    test_bad_shapes();
    test_too_many();
    test_file();
    test_bad_files();
    test_truncations();
    test_mutations(mutations, seed);
    remove_files();
    printf("ok: %ld mutations of %d files\n", mutations, (int)SEEDS);
    return 0;
}
