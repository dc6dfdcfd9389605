/* SPDX-License-Identifier: Apache-2.0
 *
 * Building: what prepare says, programs that do not build, devices whose kernels would need more than they have, and
 * built programs kept on disk, which are used, and never trusted. Needs the shim. argv: a folder to write to, rewritings
 * of the sources: one that does not build. */
#define _POSIX_C_SOURCE 200809L
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "calls.h"
#include "cuda/process.h"

enum { ROWS = 7, COLS = 45, BYTES = ROWS * COLS, PATH_BYTES = 1024, FILE_BYTES_MAX = 1 << 22 };

static const char *folder, *no_build;
static log_text the_log;

/* Does log text hold this? */
static bool says(const char *text) {
    return strstr(the_log.text, text) != NULL;
}

static qmm_context *open_with_cache(const char *directory) {
    qmm_context_options options = QMM_CONTEXT_OPTIONS_INIT;
    qmm_context *context;
    options.cache_directory = directory;
    the_log.text[0] = '\0';
    assert_int_equal(open_logged(&options, &the_log, &context), QMM_OK);
    return context;
}

/* Quantizes; right is what the cpu device gives. */
static qmm_status quantize(qmm_context *context, unsigned char got[BYTES]) {
    static float x[BYTES];
    qmm_buffer *const reals = make_buffer(context, NULL, sizeof x), *const codes = make_buffer(context, NULL, BYTES);
    const qmm_tensor tx = qmm_matrix(reals, QMM_F32, ROWS, COLS), tq = qmm_matrix(codes, QMM_S8, ROWS, COLS);
    qmm_quant quant = QMM_QUANT_INIT;
    qmm_status status;
    fill_reals(x, QMM_F32, BYTES, 9);
    quant.scale_value = 1.0f / 32.0f;
    status = qmm_buffer_upload(context, reals, 0, x, sizeof x);
    if (status == QMM_OK) status = qmm_quantize(context, &tx, &quant, &tq);
    if (status == QMM_OK) status = qmm_buffer_download(context, codes, 0, got, BYTES);
    qmm_buffer_free(reals), qmm_buffer_free(codes);
    return status;
}

static void expect_right(qmm_context *context) {
    static unsigned char wanted[BYTES];
    unsigned char got[BYTES];
    if (!wanted[0]) {
        qmm_context *cpu;
        assert_int_equal(qmm_context_open("cpu", NULL, &cpu), QMM_OK);
        assert_int_equal(quantize(cpu, wanted), QMM_OK);
        qmm_context_close(cpu);
    }
    memset(got, 0x5a, sizeof got);
    expect_ok(context, quantize(context, got), "quantize");
    expect_bytes(got, wanted, BYTES, "codes");
}

/* ---- prepare -------------------------------------------------------------------------------------------------- */

static void test_prepare(void **state) {
    qmm_context *context = open_with_cache(NULL);
    long long kernels;
    (void)state;
    expect_ok(context, qmm_context_prepare(context), "prepare");
    expect(says("built quantize in") && says(" ms"), "no program's build is told of: %s", the_log.text);
    expect(says("kernel 1 of") && says("quantize_kernel"), "no kernel is told of: %s", the_log.text);
    kernels = shim_get("live_kernels");
    expect(kernels > 8, "%lld kernels are made", kernels);
    the_log.text[0] = '\0';
    expect_ok(context, qmm_context_prepare(context), "prepare again");
    expect(!says("built"), "built again: %s", the_log.text);
    expect_right(context);
    expect(shim_get("live_kernels") == kernels, "more kernels than prepare made");
    /* A second context builds nothing, but has kernels of its own. */
    the_log.text[0] = '\0';
    {
        qmm_context *other = open_with_cache(NULL);
        expect_right(other);
        expect(!says("built"), "built again: %s", the_log.text);
        expect(shim_get("live_kernels") > kernels, "a kernel is shared");
        qmm_context_close(other);
    }
    qmm_context_close(context);
    expect(shim_get("live_kernels") == 0 && shim_get("live_programs") == 0, "%lld kernels, %lld programs are left",
           shim_get("live_kernels"), shim_get("live_programs"));
    end_of_test();
}

/* ---- programs that do not build ------------------------------------------------------------------------------- */

static void check_no_build(void *argument) {
    unsigned char got[BYTES];
    qmm_context *context = open_with_cache(NULL);
    (void)argument;
    for (int again = 0; again < 2; again++) {
        expect_error(context, quantize(context, got), QMM_BUILD_FAILED, NULL);
        expect(strstr(qmm_context_error(context), "does not build on") != NULL, "said: %s", qmm_context_error(context));
        expect(strstr(qmm_context_error(context), "planted_error") != NULL, "without the compiler's log: %s",
               qmm_context_error(context));
        print_message("             %.100s\n", qmm_context_error(context));
    }
    expect(qmm_context_prepare(context) == QMM_OK || qmm_context_error_status(context) == QMM_BUILD_FAILED, "prepare: %s",
           qmm_context_error(context));
    expect_ok(context, qmm_buffer_fill(context, make_buffer(context, NULL, 100), 0, 1, 100), "fill");
    qmm_context_close(context);
}

static void check_build_error(void *argument) {
    unsigned char got[BYTES];
    qmm_context *context = open_with_cache(NULL);
    (void)argument;
    expect_error(context, quantize(context, got), QMM_BUILD_FAILED, NULL);
    expect_error(context, quantize(context, got), QMM_BUILD_FAILED, NULL);
    qmm_context_close(context);
    context = open_with_cache(NULL); /* the failure was of that cl_context's programs */
    shim_set("fail=none");
    expect_right(context);
    qmm_context_close(context);
}

static void test_no_build(void **state) {
    char rewrite[PATH_BYTES];
    const char *const rewritten[] = { "QMM_OPENCL_SHIM", rewrite, NULL };
    const char *const failing[] = { "QMM_OPENCL_SHIM", "fail=clBuildProgram:1:-11+", NULL };
    (void)state;
    snprintf(rewrite, sizeof rewrite, "rewrite=%s", no_build);
    in_process(rewritten, check_no_build, NULL);
    in_process(failing, check_build_error, NULL);
    end_of_test();
}

/* ---- less than a kernel needs --------------------------------------------------------------------------------- */

/* The driver is not asked: some of them end the process then. */
static void check_shortage(void *argument) {
    const char *const said = argument;
    qmm_context *context = open_with_cache(NULL);
    unsigned char got[BYTES];
    qmm_tensor a, b, c;
    qmm_buffer *const in = make_buffer(context, NULL, 64 * 64), *const out = make_buffer(context, NULL, 64 * 64 * 4);
    a = b = qmm_matrix(in, QMM_S8, 64, 64), c = qmm_matrix(out, QMM_S32, 64, 64);
    for (int i = 0; i < qmm_kernel_count(context); i++) {
        const char *const name = qmm_kernel_name(context, i);
        qmm_status status;
        if (!strstr(name, ":matmul:") && !strstr(name, ":quantize:")) continue;
        expect_ok(context, qmm_kernel_force(context, NULL), "force");
        expect_ok(context, qmm_kernel_force(context, name), "force");
        status = strstr(name, ":matmul:") ? qmm_matmul(context, NULL, &a, &b, &c) : quantize(context, got);
        expect(status == QMM_OK || status == QMM_UNSUPPORTED, "%s: %s", name, qmm_context_error(context));
    }
    expect(says(said), "nothing is refused for want of it: %s", the_log.text);
    qmm_context_close(context);
}

static void test_shortage(void **state) {
    const char *const local[] = { "QMM_OPENCL_SHIM", "device=0x1023:256", NULL };
    const char *const groups[] = { "QMM_OPENCL_SHIM", "device=0x1004:4", NULL };
    (void)state;
    in_process(local, check_shortage, (void *)(uintptr_t) "local memory");
    in_process(groups, check_shortage, (void *)(uintptr_t) "work-groups of");
    end_of_test();
}

/* ---- kept on disk --------------------------------------------------------------------------------------------- */

static unsigned char file_bytes[FILE_BYTES_MAX];

static void each_file(const char *directory, void (*visit)(const char *path, void *user), void *user) {
    DIR *const all = opendir(directory);
    const struct dirent *entry;
    assert_non_null(all);
    while ((entry = readdir(all)) != NULL) {
        char path[PATH_BYTES];
        if (entry->d_name[0] == '.') continue;
        if (snprintf(path, sizeof path, "%s/%s", directory, entry->d_name) >= PATH_BYTES) fail();
        visit(path, user);
    }
    closedir(all);
}

static void count_file(const char *path, void *user) {
    (void)path;
    ++*(int *)user;
}

static void remove_file(const char *path, void *user) {
    (void)user;
    remove(path);
}

static void keep_path(const char *path, void *user) {
    snprintf(user, PATH_BYTES, "%s", path);
}

static int count_files(const char *directory) {
    int count = 0;
    each_file(directory, count_file, &count);
    return count;
}

static size_t read_file(const char *path) {
    FILE *const file = fopen(path, "rb");
    size_t bytes;
    assert_non_null(file);
    bytes = fread(file_bytes, 1, sizeof file_bytes, file);
    fclose(file);
    assert_true(bytes > 0 && bytes < sizeof file_bytes);
    return bytes;
}

static void write_file(const char *path, const unsigned char *bytes, size_t count) {
    FILE *const file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, count, file), count);
    assert_int_equal(fclose(file), 0);
}

/* A new, empty folder in the one given. */
static const char *new_folder(const char *name) {
    static char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (mkdir(path, 0700) != 0) each_file(path, remove_file, NULL);
    return path;
}

/* Closed and opened anew, so that the programs in memory are gone. */
static void run_with_cache(const char *directory) {
    qmm_context *const context = open_with_cache(directory);
    expect_right(context);
    qmm_context_close(context);
}

static void test_cache(void **state) {
    const char *const directory = new_folder("used");
    long long builds;
    int files;
    (void)state;
    run_with_cache(NULL);
    expect(count_files(directory) == 0, "written unasked");
    run_with_cache(directory);
    expect(says("built quantize"), "not built: %s", the_log.text);
    files = count_files(directory);
    expect(files >= 1, "%d files", files);
    builds = shim_get("builds");
    run_with_cache(directory);
    expect(shim_get("builds") == builds && shim_get("binaries") >= 1, "built again: %s", the_log.text);
    expect(says("loaded quantize from the cache"), "nothing is told of: %s", the_log.text);
    expect(count_files(directory) == files, "%d files, then %d", files, count_files(directory));
    end_of_test();
}

/* A file that is not whole, byte for byte, is built anew with a line in the log, and is whole again after that. */
static void expect_rebuilt(const char *directory, const char *path, size_t whole, const char *what) {
    run_with_cache(directory);
    expect(says("damaged") && says("built "), "%s: %s", what, the_log.text);
    expect(read_file(path) == whole, "%s: not written anew", what);
}

static void test_damaged(void **state) {
    char path[PATH_BYTES], what[64];
    const char *const directory = new_folder("damaged");
    static unsigned char whole[FILE_BYTES_MAX];
    size_t bytes;
    uint64_t random = 1;
    (void)state;
    run_with_cache(directory);
    each_file(directory, keep_path, path);
    bytes = read_file(path);
    memcpy(whole, file_bytes, bytes);
    for (int n = 0; n < 12; n++) { /* cut: nothing, the header, the key, the binary, its last byte */
        const size_t kept = n < 6 ? (size_t)n * 8 : n < 10 ? bytes * (size_t)(n - 5) / 6 : bytes - (size_t)(12 - n);
        write_file(path, whole, kept);
        snprintf(what, sizeof what, "cut to %zu of %zu bytes", kept, bytes);
        expect_rebuilt(directory, path, bytes, what);
    }
    for (int n = 0; n < 16; n++) {
        const size_t at = n < 8 ? (size_t)n * 5 : (size_t)(next_random(&random) % bytes);
        memcpy(file_bytes, whole, bytes);
        file_bytes[at] ^= (unsigned char)(1u << (n % 8));
        write_file(path, file_bytes, bytes);
        snprintf(what, sizeof what, "byte %zu of %zu flipped", at, bytes);
        expect_rebuilt(directory, path, bytes, what);
    }
    memcpy(file_bytes, whole, bytes);
    file_bytes[bytes] = 0;
    write_file(path, file_bytes, bytes + 1);
    expect_rebuilt(directory, path, bytes, "a byte more");
    run_with_cache(directory);
    expect(!says("damaged") && !says("built "), "at last: %s", the_log.text);
    end_of_test();
}

/* The file of one program under the name of another: whole, but not what is asked for. */
static void copy_first(const char *path, void *user) {
    static char first[PATH_BYTES];
    int *const count = user;
    if ((*count)++ == 0)
        snprintf(first, sizeof first, "%s", path);
    else
        write_file(path, file_bytes, read_file(first));
}

static void test_foreign(void **state) {
    const char *const directory = new_folder("foreign");
    qmm_context *context = open_with_cache(directory);
    int files = 0;
    (void)state;
    expect_ok(context, qmm_context_prepare(context), "prepare");
    qmm_context_close(context);
    each_file(directory, copy_first, &files);
    expect(files > 3, "%d files", files);
    context = open_with_cache(directory);
    expect_ok(context, qmm_context_prepare(context), "prepare");
    expect_right(context);
    expect(says("of another program"), "nothing is told of: %s", the_log.text);
    qmm_context_close(context);
    end_of_test();
}

/* A driver that refuses what was whole. */
static void test_refused_binary(void **state) {
    const char *const directory = new_folder("refused");
    (void)state;
    run_with_cache(directory);
    shim_set("fail=clCreateProgramWithBinary:1:%d+", CL_INVALID_BINARY);
    run_with_cache(directory);
    shim_set("fail=none");
    expect(says("built "), "not built: %s", the_log.text);
    end_of_test();
}

static void test_unwritable(void **state) {
    char file[PATH_BYTES], longest[5000];
    const char *const directory = new_folder("file");
    qmm_context_options options = QMM_CONTEXT_OPTIONS_INIT;
    qmm_context *context;
    (void)state;
    run_with_cache("/nonexistent/folder");
    expect(says("cannot be kept in /nonexistent/folder"), "nothing is told of: %s", the_log.text);
    if (snprintf(file, sizeof file, "%s/file", directory) >= PATH_BYTES) fail();
    write_file(file, (const unsigned char *)"", 0);
    run_with_cache(file); /* a file where a folder should be */
    expect(says("cannot be kept in"), "nothing is told of: %s", the_log.text);
    options.cache_directory = "";
    expect(open_logged(&options, &the_log, &context) == QMM_INVALID_ARGUMENT, "an empty text is a directory");
    memset(longest, 'x', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    run_with_cache(longest);
    end_of_test();
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_build), cmocka_unit_test(test_shortage), /* before this process has a device */
        cmocka_unit_test(test_prepare),  cmocka_unit_test(test_cache),    cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_foreign),  cmocka_unit_test(test_refused_binary), cmocka_unit_test(test_unwritable),
    };
    if (argc != 3 || setenv("QMM_TEST_DEVICE", "opencl", 1) != 0) return 2;
    folder = argv[1], no_build = argv[2];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
