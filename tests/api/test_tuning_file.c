/* SPDX-License-Identifier: Apache-2.0
 *
 * The tuning file: what is saved is loaded again, everything else is refused with its reason, and nothing that is done
 * to a file or beside it harms a context. */
#define _POSIX_C_SOURCE 200809L
#include <dirent.h>
#include <inttypes.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake_backend.h"
#include "tuning_file.h"

static qmm_context *context;
static char folder[64];

/* "folder/name"; two at a time. */
static const char *in_folder(const char *name) {
    static char paths[2][512];
    static int which;
    which = !which;
    snprintf(paths[which], sizeof paths[0], "%s/%s", folder, name);
    return paths[which];
}

static int set_up(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "qmm_tuning_XXXXXX");
    assert_non_null(mkdtemp(folder));
    fake_reset();
    context = fake_open(NULL);
    return 0;
}

/* Nothing but what a test made may be left: `expected` files. */
static void expect_files(int expected) {
    DIR *directory = opendir(folder);
    const struct dirent *file;
    int found = 0;
    assert_non_null(directory);
    while ((file = readdir(directory)) != NULL) found += file->d_name[0] != '.';
    closedir(directory);
    expect(found == expected, "%d files in the folder, not %d", found, expected);
}

static int tear_down(void **state) {
    DIR *directory = opendir(folder);
    const struct dirent *file;
    (void)state;
    while ((file = readdir(directory)) != NULL)
        if (file->d_name[0] != '.') remove(in_folder(file->d_name));
    closedir(directory);
    rmdir(folder);
    qmm_context_close(context);
    return 0;
}

static void write_file(const char *path, const void *bytes, size_t count) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, count, file), count);
    assert_int_equal(fclose(file), 0);
}

/* ---- tables and texts -------------------------------------------------------------------------------------------- */

static const qmmi_row *rows(void) {
    return context->backend->rows[QMMI_MATMUL];
}

static int64_t any_number(uint64_t *random) {
    const int64_t number = (int64_t)(next_random(random) % 20000);
    return next_random(random) % 5 ? 1 + number : INT64_MAX - number % 3;
}

static qmmi_tuned any_choice(uint64_t *random) {
    const qmmi_kinds kinds = {
        .a = (qmm_type)(QMM_S4 + next_random(random) % 10),
        .b = (qmm_type)(QMM_S4 + next_random(random) % 10),
        .c = (qmm_type)(QMM_S4 + next_random(random) % 10),
        .a_transposed = next_random(random) % 2,
        .b_transposed = next_random(random) % 2,
        .b_packed = next_random(random) % 2,
    };
    qmmi_tuned t = { .n = any_number(random), .k = any_number(random) - 1, .batch = any_number(random),
                     .m = any_number(random), .kinds = qmmi_kinds_pack(&kinds) };
    t.group_size = next_random(random) % 2 ? t.k / 2 : 0;
    t.row = &rows()[next_random(random) % FAKE_ROWS];
    t.variant = t.row == &rows()[FAKE_SECOND] ? (int)(next_random(random) % (1 + FAKE_VARIANTS)) : 0;
    return t;
}

static void fill_table(int count, uint64_t seed) {
    qmmi_tuning_free(context);
    while (context->tuning.count < count) {
        const qmmi_tuned choice = any_choice(&seed);
        assert_true(qmmi_tuning_reserve(context));
        qmmi_tuning_put(&context->tuning, &choice);
    }
}

/* The text of the context's table, to be freed. */
static char *text_of_table(size_t *bytes) {
    const qmmi_tuning_identity identity = qmmi_tuning_identify(context);
    char *text = malloc(qmmi_tuning_text_bytes(context->tuning.count));
    assert_non_null(text);
    *bytes = qmmi_tuning_write_text(&identity, context->tuning.choices, context->tuning.count, text);
    return text;
}

/* Puts a right last line behind `bytes` bytes of text, which has room for it. */
static size_t seal(char *text, size_t bytes, int count) {
    return bytes + (size_t)sprintf(text + bytes, "end %d %08" PRIx32 "\n", count, qmmi_tuning_crc(text, bytes));
}

static size_t without_end(const char *text, size_t bytes) {
    bytes--;
    while (bytes > 0 && text[bytes - 1] != '\n') bytes--;
    return bytes;
}

static qmmi_tuned parsed[QMMI_TUNED_MAX];
static char why[QMMI_TUNING_REASON_BYTES];

/* From memory that ends where the text does, so that a sanitizer sees a byte read beyond. */
static int parse(const char *text, size_t bytes) {
    const qmmi_tuning_identity identity = qmmi_tuning_identify(context);
    char *exact = malloc(bytes ? bytes : 1);
    int count = -1;
    bool read;
    if (bytes) memcpy(exact, text, bytes);
    why[0] = '\0';
    read = qmmi_tuning_parse(exact, bytes, &identity, rows(), parsed, &count, why, sizeof why);
    free(exact);
    expect(read == (why[0] == '\0'), "refused without a reason, or read with one: %s", why);
    expect(why[strcspn(why, "\n\r\t\033\177")] == '\0', "the reason is not printable: %s", why);
    return read ? count : -1;
}

static int compare_choices(const qmmi_tuned *x, const qmmi_tuned *y) {
    return qmmi_tuned_order(x, y) != 0 || x->row != y->row || x->variant != y->variant;
}

static void test_round_trip(void **state) {
    static const int counts[] = { 0, 1, 2, 50, QMMI_TUNED_MAX };
    qmmi_tuned *before;
    int64_t checked = 0;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(counts); i++) {
        const int count = counts[i];
        fill_table(count, i);
        before = malloc((size_t)(count + 1) * sizeof *before);
        if (count) memcpy(before, context->tuning.choices, (size_t)count * sizeof *before);
        expect_ok(context, qmm_tuning_save(context, in_folder("tuned")), "save");
        qmmi_tuning_free(context);
        expect_ok(context, qmm_tuning_load(context, in_folder("tuned")), "load");
        expect(qmm_tuning_count(context) == count, "%d choices of %d", qmm_tuning_count(context), count);
        for (int c = 0; c < count && c < qmm_tuning_count(context); c++, checked++)
            if (compare_choices(&context->tuning.choices[c], &before[c])) expect(false, "choice %d is another", c);
        free(before);
        expect_files(1);
    }
    expect(checked == 2101, "%lld choices", (long long)checked);
    end_of_test();
}

/* A loaded choice goes over an older one of its call, and leaves the others. */
static void test_merge(void **state) {
    qmmi_tuned mine, theirs, other;
    uint64_t random = 1;
    (void)state;
    mine = any_choice(&random), other = any_choice(&random);
    mine.row = &rows()[FAKE_FIRST], mine.variant = 0;
    theirs = mine, theirs.row = &rows()[FAKE_THIRD];
    assert_true(qmmi_tuning_reserve(context));
    qmmi_tuning_put(&context->tuning, &theirs);
    expect_ok(context, qmm_tuning_save(context, in_folder("theirs")), "save");
    qmmi_tuning_put(&context->tuning, &mine);
    qmmi_tuning_put(&context->tuning, &other);
    expect(qmm_tuning_count(context) == 2, "%d choices", qmm_tuning_count(context));
    expect_ok(context, qmm_tuning_load(context, in_folder("theirs")), "load");
    expect(qmm_tuning_count(context) == 2, "%d choices", qmm_tuning_count(context));
    for (int i = 0; i < qmm_tuning_count(context); i++) {
        const qmmi_tuned *const found = &context->tuning.choices[i];
        const bool is_other = qmmi_tuned_order(found, &other) == 0;
        expect(!compare_choices(found, is_other ? &other : &theirs), "choice %d", i);
    }
    /* Too many together: none. */
    fill_table(QMMI_TUNED_MAX, 5);
    expect_error(context, qmm_tuning_load(context, in_folder("theirs")), QMM_INVALID_ARGUMENT, NULL);
    expect(strstr(qmm_context_error(context), "would make the table longer than its limit") != NULL, "said: %s",
           qmm_context_error(context));
    expect(qmm_tuning_count(context) == QMMI_TUNED_MAX, "%d choices", qmm_tuning_count(context));
    end_of_test();
}

/* ---- damage ------------------------------------------------------------------------------------------------------ */

/* If a text is read, writing what was read gives that very text: it said nothing else. */
static bool is_harmless(const char *text, size_t bytes, int count) {
    const qmmi_tuning_identity identity = qmmi_tuning_identify(context);
    char *again = malloc(qmmi_tuning_text_bytes(count));
    const size_t written = qmmi_tuning_write_text(&identity, parsed, count, again);
    const bool same = written == bytes && memcmp(again, text, bytes) == 0;
    free(again);
    return same;
}

/* Every beginning of ten files, and every file with one byte changed, is refused; with a checksum made to fit, it is
 * refused or means just what it says. */
static void test_damage(void **state) {
    static const int counts[] = { 0, 1, 1, 2, 3, 4, 5, 6, 8, 10 };
    int64_t tried = 0, read = 0;
    (void)state;
    for (size_t s = 0; s < COUNT_OF(counts); s++) {
        size_t bytes, body;
        char *text, *changed;
        fill_table(counts[s], 100 + s);
        text = text_of_table(&bytes);
        body = without_end(text, bytes);
        changed = malloc(bytes + 64);
        expect(parse(text, bytes) == counts[s] && is_harmless(text, bytes, counts[s]), "seed %zu: %s", s, why);
        for (size_t length = 0; length < bytes; length++, tried++)
            if (parse(text, length) >= 0) expect(false, "seed %zu: its first %zu bytes are read", s, length);
        for (size_t at = 0; at < bytes; at++) {
            const unsigned char old = (unsigned char)text[at];
            const unsigned char others[] = { old ^ 1, old ^ 2, old ^ 0x10, old ^ 0x80, 0, '\n', ' ', '9' };
            for (size_t o = 0; o < COUNT_OF(others); o++, tried++) {
                if (others[o] == old) continue;
                memcpy(changed, text, bytes);
                changed[at] = (char)others[o];
                if (parse(changed, bytes) >= 0) expect(false, "seed %zu: byte %zu as %d is read", s, at, others[o]);
                if (at >= body) continue;
                for (int more = 0; more < 2; more++) { /* the count of choices as it was, or for a line gone wrong */
                    const size_t sealed = seal(changed, body, counts[s] - more);
                    const int count = parse(changed, sealed);
                    read += count >= 0;
                    if (count >= 0 && !is_harmless(changed, sealed, count))
                        expect(false, "seed %zu: byte %zu as %d, sealed, is read as another text", s, at, others[o]);
                }
            }
        }
        free(text);
        free(changed);
    }
    print_message("             %lld texts, %lld of the sealed ones read\n", (long long)tried, (long long)read);
    expect(tried > 10000 && read > 100, "%lld and %lld", (long long)tried, (long long)read);
    end_of_test();
}

/* ---- texts that are whole, and not for here ---------------------------------------------------------------------- */

/* The table's text with `from` replaced by `to`, sealed. */
static char *with(const char *from, const char *to, size_t *bytes) {
    char *text = text_of_table(bytes), *changed = malloc(*bytes + strlen(to) + 64);
    const size_t body = without_end(text, *bytes);
    char *place;
    size_t length;
    text[body] = '\0';
    place = strstr(text, from);
    assert_non_null(place);
    length = (size_t)sprintf(changed, "%.*s%s%s", (int)(place - text), text, to, place + strlen(from));
    *bytes = seal(changed, length, context->tuning.count);
    free(text);
    return changed;
}

static void expect_refused(const char *from, const char *to, const char *wanted) {
    size_t bytes;
    char *text = with(from, to, &bytes);
    expect(parse(text, bytes) < 0 && strcmp(why, wanted) == 0, "'%s' as '%s':\n    said:   %s\n    wanted: %s", from, to,
           why, wanted);
    free(text);
}

static void one_choice(void) {
    const qmmi_kinds kinds = { .a = QMM_S8, .b = QMM_S8, .c = QMM_S32 };
    qmmi_tuned choice = { .n = 5, .k = 6, .batch = 1, .m = 8, .variant = 2, .row = &rows()[FAKE_SECOND] };
    choice.kinds = qmmi_kinds_pack(&kinds);
    qmmi_tuning_free(context);
    assert_true(qmmi_tuning_reserve(context));
    qmmi_tuning_put(&context->tuning, &choice);
}

static void test_texts(void **state) {
    static const char *const numbers[] = { "9223372036854775808", "99999999999999999999999999", "-1", "+5", "05", "",
                                           "5.0", "0x5", "5e3", " 5" };
    static const char *const line = "matmul n=5 k=6 batch=1 group=0 a=s8 b=s8 c=s32 transposed=00 packed=0 m=8 "
                                    "kernel=cpu:matmul:second variant=narrow\n";
    const qmmi_tuning_identity identity = qmmi_tuning_identify(context);
    char from[256], to[512], wanted[512];
    size_t bytes;
    char *text;
    (void)state;
    one_choice();
    text = text_of_table(&bytes);
    expect(strstr(text, line) != NULL, "the text is another: %s", text);
    free(text);
    expect_refused("qmm tuning 1\n", "qmm tuning 2\n", "has not format 1, the one that qmm 0.1.0 reads");
    expect_refused("qmm tuning 1\n", "qmm_tuning 1\n", "is no tuning file of qmm");
    snprintf(wanted, sizeof wanted, "was made with library '0.0.9'; this is '%s'", qmm_version());
    expect_refused("library 0.1.0", "library 0.0.9", wanted);
    expect_refused("backend cpu", "backend cuda", "was made with backend 'cuda'; this is 'cpu'");
    snprintf(from, sizeof from, "device %s\n", identity.device);
    snprintf(wanted, sizeof wanted, "was made with device 'Some?GPU'; this is '%s'", identity.device);
    expect_refused(from, "device Some\033GPU\n", wanted);
    snprintf(from, sizeof from, "units %s\n", identity.units);
    snprintf(wanted, sizeof wanted, "was made with units '9%s'; this is '%s'", identity.units, identity.units);
    snprintf(to, sizeof to, "units 9%s\n", identity.units);
    expect_refused(from, to, wanted);
    expect_refused("driver none", "driver 580.95", "was made with driver '580.95'; this is 'none'");
    expect_refused("driver none\n", "", "is damaged: line 6 is not its driver");
    expect_refused("cpu:matmul:second", "cpu:matmul:nosuch",
                   "cannot be used: line 7 has 'cpu:matmul:nosuch', which is no matmul kernel here");
    expect_refused("cpu:matmul:second", "cpu:quantize:reference",
                   "cannot be used: line 7 has 'cpu:quantize:reference', which is no matmul kernel here");
    expect_refused("variant=narrow", "variant=narro",
                   "cannot be used: line 7 has 'narro', which is no variant of cpu:matmul:second");
    expect_refused("cpu:matmul:second", "cpu:matmul:third",
                   "cannot be used: line 7 has 'narrow', which is no variant of cpu:matmul:third");
    for (size_t i = 0; i < COUNT_OF(numbers); i++) {
        static const char *const names[] = { "n=5", "k=6", "batch=1", "group=0", " m=8" };
        for (size_t n = 0; n < COUNT_OF(names); n++) {
            snprintf(to, sizeof to, "%.*s%s", (int)(strchr(names[n], '=') + 1 - names[n]), names[n], numbers[i]);
            expect_refused(names[n], to, "is damaged: line 7 is no choice");
        }
    }
    expect_refused("n=5", "n=0", "is damaged: line 7 is no choice");
    expect_refused(" m=8", " m=0", "is damaged: line 7 is no choice");
    expect_refused("batch=1", "batch=0", "is damaged: line 7 is no choice");
    expect_refused("group=0", "group=7", "is damaged: line 7 is no choice");
    text = with("k=6 batch=1 group=0", "k=0 batch=1 group=7", &bytes);
    expect(parse(text, bytes) == 1, "groups of no K: %s", why);
    free(text);
    expect_refused("a=s8", "a=s9", "is damaged: line 7 is no choice");
    expect_refused("c=s32", "c=unknown type", "is damaged: line 7 is no choice");
    expect_refused("transposed=00", "transposed=02", "is damaged: line 7 is no choice");
    expect_refused("packed=0", "packed=yes", "is damaged: line 7 is no choice");
    expect_refused("kernel=cpu", "kernel=cpu cpu", "is damaged: line 7 is no choice");
    expect_refused("variant=narrow\n", "variant=narrow\r\n", "is damaged: line 7 is no choice");
    expect_refused("matmul n", "gemm n", "is damaged: line 7 is no choice");
    memset(to, 'x', 300), to[300] = '\0';
    expect_refused("cpu:matmul:second", to, "is damaged: line 7 is no choice");
    expect_refused("narrow", to, "is damaged: line 7 is no choice");
    expect_refused(line, "", "is damaged: it has 0 choices, and says 1");
    snprintf(to, sizeof to, "%s%s", line, line);
    expect_refused(line, to, "is damaged: line 8 is for the same call as the line before");
    snprintf(to, sizeof to, "%smatmul n=4%s", line, line + strlen("matmul n=5"));
    expect_refused(line, to, "is damaged: line 8 is out of order");
    end_of_test();
}

/* One more than the most. */
static void test_too_many(void **state) {
    size_t bytes;
    char *text;
    (void)state;
    fill_table(QMMI_TUNED_MAX, 9);
    text = with("matmul ", "matmul n=1 k=0 batch=1 group=0 a=s4 b=s4 c=s4 transposed=00 packed=0 m=1 "
                           "kernel=cpu:matmul:reference variant=-\nmatmul ", &bytes);
    expect(parse(text, bytes) < 0 && strcmp(why, "has more than 2048 choices") == 0, "said: %s", why);
    free(text);
    end_of_test();
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

static void expect_not_loaded(const char *path, const char *reason) {
    char wanted[512];
    const int before = qmm_tuning_count(context);
    snprintf(wanted, sizeof wanted, "qmm_tuning_load: file %s %s", path, reason);
    expect_error(context, qmm_tuning_load(context, path), QMM_INVALID_ARGUMENT, wanted);
    expect(qmm_tuning_count(context) == before, "a failed load left %d choices of %d", qmm_tuning_count(context),
           before);
}

static void expect_not_saved(const char *path, const char *reason) {
    char wanted[512];
    snprintf(wanted, sizeof wanted, "qmm_tuning_save: file %s %s", path, reason);
    expect_error(context, qmm_tuning_save(context, path), QMM_INVALID_ARGUMENT, wanted);
}

static void test_bad_files(void **state) {
    static char large[QMMI_TUNING_FILE_BYTES_MAX + 1];
    static char long_name[5000];
    (void)state;
    fill_table(3, 1);
    expect_not_loaded(in_folder("none"), "cannot be read: No such file or directory");
    expect_not_loaded(folder, "cannot be read: it is a directory");
    write_file(in_folder("empty"), "", 0);
    expect_not_loaded(in_folder("empty"), "is empty");
    write_file(in_folder("text"), "hello\n", 6);
    expect_not_loaded(in_folder("text"), "is no tuning file of qmm");
    expect_not_loaded(in_folder("text/x"), "cannot be read: Not a directory");
    memset(large, '\n', sizeof large);
    memcpy(large, "qmm tuning 1\n", 13);
    write_file(in_folder("large"), large, sizeof large);
    expect_not_loaded(in_folder("large"), "is larger than the 1048576 bytes that a tuning file may have");
    write_file(in_folder("large"), large, sizeof large - 1);
    expect_not_loaded(in_folder("large"), "is cut short: its last line is not 'end ...'");
    assert_int_equal(mkfifo(in_folder("pipe"), 0600), 0); /* nobody writes: it would wait for ever */
    expect_not_loaded(in_folder("pipe"), "cannot be read: it is no regular file");
    memset(long_name, 'n', sizeof long_name - 1);
    expect(qmm_tuning_load(context, long_name) == QMM_INVALID_ARGUMENT &&
               strstr(qmm_context_error(context), "nnn cannot be read: File name too long"),
           "a long name: %s", qmm_context_error(context));

    expect_not_saved(in_folder("none/x"), "cannot be written: No such file or directory");
    expect_not_saved(in_folder("text/x"), "cannot be written: Not a directory");
    expect_not_saved(folder, "cannot be written: it is a directory");
    expect_not_saved(in_folder("pipe"), "cannot be written: it is no regular file");
    expect_not_saved("/dev/null", "cannot be written: it is no regular file");
    expect(qmm_tuning_save(context, long_name) == QMM_INVALID_ARGUMENT &&
               strstr(qmm_context_error(context), "nnn cannot be written: File name too long"),
           "a long name: %s", qmm_context_error(context));
    expect_files(4);
    if (geteuid() != 0) { /* nothing is forbidden to root */
        assert_int_equal(chmod(in_folder("text"), 0), 0);
        expect_not_loaded(in_folder("text"), "cannot be read: Permission denied");
        assert_int_equal(chmod(folder, 0500), 0);
        expect_not_saved(in_folder("new"), "cannot be written: Permission denied");
        assert_int_equal(chmod(folder, 0700), 0);
    }
    end_of_test();
}

/* Where a link leads, the file is replaced and keeps its mode, and the link stays. A name may be as long as names are. */
static void test_names_and_modes(void **state) {
    char name[NAME_MAX + 1] = "";
    struct stat facts;
    (void)state;
    fill_table(3, 1);
    write_file(in_folder("target"), "old\n", 4);
    assert_int_equal(chmod(in_folder("target"), 0640), 0);
    assert_int_equal(symlink("target", in_folder("link")), 0);
    expect_ok(context, qmm_tuning_save(context, in_folder("link")), "save by a link");
    assert_int_equal(lstat(in_folder("link"), &facts), 0);
    expect(S_ISLNK(facts.st_mode), "the link was replaced");
    assert_int_equal(stat(in_folder("target"), &facts), 0);
    expect((facts.st_mode & 0777) == 0640, "the mode is %o now", (unsigned)(facts.st_mode & 0777));
    expect_ok(context, qmm_tuning_load(context, in_folder("target")), "load what the link leads to");
    memset(name, 'n', NAME_MAX);
    expect_ok(context, qmm_tuning_save(context, in_folder(name)), "save under a long name");
    expect_files(3);
    end_of_test();
}

/* A disk that is full half-way: the old file stays, and nothing else. */
static void test_failed_write(void **state) {
    struct rlimit limit, before;
    (void)state;
    fill_table(3, 1);
    expect_ok(context, qmm_tuning_save(context, in_folder("tuned")), "save");
    fill_table(100, 2);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = before;
    limit.rlim_cur = 1000;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    expect_not_saved(in_folder("tuned"), "cannot be written: File too large");
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    expect_files(1);
    qmmi_tuning_free(context);
    expect_ok(context, qmm_tuning_load(context, in_folder("tuned")), "load");
    expect(qmm_tuning_count(context) == 3, "%d choices", qmm_tuning_count(context));
    end_of_test();
}

/* ---- two who save, and one who reads ----------------------------------------------------------------------------- */

static void save_until_told(int count) {
    fill_table(count, (uint64_t)count);
    while (access(in_folder("stop"), F_OK) != 0)
        if (qmm_tuning_save(context, in_folder("tuned")) != QMM_OK) _exit(1);
    _exit(0);
}

static void test_at_once(void **state) {
    static const int counts[] = { 3, 700 };
    pid_t children[2];
    int seen[2] = { 0 }, status;
    (void)state;
    expect_ok(context, qmm_tuning_save(context, in_folder("tuned")), "save");
    for (int c = 0; c < 2; c++) {
        children[c] = fork();
        assert_true(children[c] >= 0);
        if (children[c] == 0) save_until_told(counts[c]);
    }
    for (int n = 0; n < 1000 || ((!seen[0] || !seen[1]) && n < 1000000); n++) {
        qmmi_tuning_free(context);
        if (!expect_ok(context, qmm_tuning_load(context, in_folder("tuned")), "a load")) break;
        for (int c = 0; c < 2; c++) seen[c] += qmm_tuning_count(context) == counts[c];
        expect(qmm_tuning_count(context) == 0 || qmm_tuning_count(context) == counts[0] ||
                   qmm_tuning_count(context) == counts[1],
               "%d choices", qmm_tuning_count(context));
    }
    write_file(in_folder("stop"), "", 0);
    for (int c = 0; c < 2; c++) {
        assert_int_equal(waitpid(children[c], &status, 0), children[c]);
        expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "a saving process failed: %d", status);
    }
    expect(seen[0] > 0 && seen[1] > 0, "%d and %d files of the two were seen", seen[0], seen[1]);
    expect_files(2);
    end_of_test();
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

typedef struct lines {
    int warnings, errors;
    char last[512]; /* warning */
} lines;

static void keep_line(void *user, qmm_log_level level, const char *line) {
    lines *l = user;
    l->errors += level == QMM_LOG_ERROR;
    if (level != QMM_LOG_WARNING) return;
    l->warnings++;
    snprintf(l->last, sizeof l->last, "%s", line);
}

/* Choices of a context opened with this option and variable; NULL: not set. `warning`: NULL, or what the log says. */
static void expect_opened(const char *option, const char *variable, int count, const char *warning, const char *what) {
    lines log = { .warnings = 0 };
    qmm_context_options options = QMM_CONTEXT_OPTIONS_INIT;
    qmm_context *opened;
    if (variable)
        setenv("QMM_TUNING_FILE", variable, 1);
    else
        unsetenv("QMM_TUNING_FILE");
    options.tuning_file = option;
    options.log = keep_line;
    options.log_user = &log;
    assert_int_equal(qmm_context_open("cpu", &options, &opened), QMM_OK);
    unsetenv("QMM_TUNING_FILE");
    expect(qmm_tuning_count(opened) == count, "%s: %d choices", what, qmm_tuning_count(opened));
    expect(log.errors == 0 && log.warnings == (warning ? 1 : 0), "%s: %d errors, %d warnings", what, log.errors,
           log.warnings);
    expect(strcmp(log.last, warning ? warning : "") == 0, "%s: said: %s", what, log.last);
    expect(qmm_context_error(opened)[0] == '\0', "%s: an error: %s", what, qmm_context_error(opened));
    qmm_context_close(opened);
}

static void test_open(void **state) {
    char good[512], bad[512], missing[512], said[1024];
    uint64_t random = 1;
    qmmi_tuned choice = any_choice(&random);
    (void)state;
    snprintf(good, sizeof good, "%s", in_folder("good"));
    snprintf(bad, sizeof bad, "%s", in_folder("bad"));
    snprintf(missing, sizeof missing, "%s", in_folder("missing"));
    choice.row = &rows()[FAKE_REFERENCE], choice.variant = 0; /* the one that the real table has, too */
    assert_true(qmmi_tuning_reserve(context));
    qmmi_tuning_put(&context->tuning, &choice);
    expect_ok(context, qmm_tuning_save(context, good), "save");
    write_file(bad, "qmm tuning 1\n", 13);
    expect_opened(NULL, NULL, 0, NULL, "nothing");
    expect_opened(good, NULL, 1, NULL, "an option");
    expect_opened(NULL, good, 1, NULL, "a variable");
    expect_opened("", good, 0, NULL, "an option that says none");
    expect_opened(NULL, "", 0, NULL, "a variable that says none");
    expect_opened(good, bad, 1, NULL, "an option over a variable");
    snprintf(said, sizeof said, "tuning file %s is cut short: its last line is not 'end ...': it is ignored", bad);
    expect_opened(bad, good, 0, said, "a bad option over a good variable");
    expect_opened(NULL, bad, 0, said, "a bad variable");
    snprintf(said, sizeof said, "tuning file %s cannot be read: No such file or directory: it is ignored", missing);
    expect_opened(missing, NULL, 0, said, "no such file");
    expect_opened(NULL, missing, 0, said, "no such file of a variable");
    snprintf(said, sizeof said, "tuning file %s cannot be read: it is a directory: it is ignored", folder);
    expect_opened(folder, NULL, 0, said, "a directory");
    end_of_test();
}

/* A caller of version 0.1, whose options end before the newer fields. */
static void test_older_options(void **state) {
    qmm_context_options options = QMM_CONTEXT_OPTIONS_INIT;
    qmm_context *opened;
    (void)state;
    options.struct_size = QMMI_OLDEST_CONTEXT_OPTIONS;
    options.profile = 77;
    expect(qmm_context_open("cpu", &options, &opened) == QMM_OK, "older options");
    qmm_context_close(opened);
    end_of_test();
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

/* The n-th allocation fails, for every n. */
static int fail_allocations(qmm_status (*work)(qmm_context *, const char *), int count) {
    static watch watched;
    qmm_context_options options = QMM_CONTEXT_OPTIONS_INIT;
    qmm_context *const outer = context;
    int n = 1;
    for (;; n++) {
        qmm_status status;
        watch_init(&watched, true);
        options.allocator = &watched.allocator;
        context = fake_open(&options);
        fill_table(count, 77);
        watched.fail_at = watched.calls + n;
        status = work(context, in_folder("tuned"));
        watched.fail_at = 0;
        if (status != QMM_OK) {
            expect_error(context, status, QMM_OUT_OF_MEMORY, NULL);
            expect(strstr(qmm_context_error(context), "no memory for its") != NULL, "%s", qmm_context_error(context));
            expect(qmm_tuning_count(context) == count, "%d choices", qmm_tuning_count(context));
            expect_ok(context, work(context, in_folder("tuned")), "the next");
        }
        qmm_context_close(context);
        expect(watched.live == 0 && watched.faults == 0, "allocation %d: %lld live", n, (long long)watched.live);
        if (status == QMM_OK) break;
    }
    context = outer;
    return n - 1;
}

static void test_memory(void **state) {
    int failed;
    (void)state;
    failed = fail_allocations(qmm_tuning_save, 20);
    expect(failed == 1, "%d allocations of a save failed", failed);
    failed = fail_allocations(qmm_tuning_load, 5);
    expect(failed == 3, "%d allocations of a load failed", failed);
    end_of_test();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trip, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_merge, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_damage, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_texts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_too_many, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bad_files, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_names_and_modes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_failed_write, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_open, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_older_options, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_memory, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
