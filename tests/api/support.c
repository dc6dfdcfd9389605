/* SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L
#include "support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "context.h"

/* The library must live with a NULL from malloc, whatever AddressSanitizer thinks of the size. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) {
    return "allocator_may_return_null=1:max_allocation_size_mb=4096";
}

/* ---- checks ------------------------------------------------------------------------------------------------------ */

enum { SHOWN_MAX = 400 };

static int64_t checks, failures, checks_before, failures_before;

bool expect(bool holds, const char *format, ...) {
    va_list arguments;
    checks++;
    if (holds) return true;
    if (++failures > SHOWN_MAX) return false;
    fputs("    ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    return false;
}

bool expect_error(const qmm_context *context, qmm_status got, qmm_status wanted, const char *text) {
    const char *said = qmm_context_error(context);
    if (!expect(got == wanted, "%s, not %s: %s; wanted: %s", qmm_status_name(got), qmm_status_name(wanted), said,
                text ? text : "any text"))
        return false;
    if (text) return expect(strcmp(said, text) == 0, "said:   %s\n    wanted: %s", said, text);
    return expect(said[0] != '\0', "%s without a text", qmm_status_name(got));
}

bool expect_ok(const qmm_context *context, qmm_status got, const char *what) {
    return expect(got == QMM_OK, "%s: %s: %s", what, qmm_status_name(got), context ? qmm_context_error(context) : "");
}

bool expect_bytes(const void *got, const void *wanted, size_t bytes, const char *what) {
    const unsigned char *g = got, *w = wanted;
    size_t at = 0;
    if (bytes == 0 || memcmp(g, w, bytes) == 0) return expect(true, " ");
    while (g[at] == w[at]) at++;
    return expect(false, "%s: byte %zu of %zu is 0x%02x, not 0x%02x", what, at, bytes, g[at], w[at]);
}

int64_t check_count(void) {
    return checks;
}

int64_t failure_count(void) {
    return failures;
}

void end_of_test(void) {
    const int64_t done = checks - checks_before, wrong = failures - failures_before;
    checks_before = checks;
    failures_before = failures;
    print_message("             %lld checks\n", (long long)done);
    assert_true(done > 0);
    assert_int_equal(wrong, 0);
}

double seconds_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- data -------------------------------------------------------------------------------------------------------- */

/* splitmix64 */
uint64_t next_random(uint64_t *state) {
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

void fill_random(void *target, size_t bytes, uint64_t seed) {
    unsigned char *to = target;
    for (size_t i = 0; i < bytes; i++) to[i] = (unsigned char)(next_random(&seed) >> 40);
}

/* -4 .. 4 in steps of 1/64: exact in f32, f16 and nearly so in bf16; the patterns are made by hand. */
void fill_reals(void *target, qmm_type type, int64_t count, uint64_t seed) {
    for (int64_t i = 0; i < count; i++) {
        const float value = (float)((int)(next_random(&seed) % 513) - 256) / 64.0f;
        uint32_t bits;
        uint16_t half;
        memcpy(&bits, &value, sizeof bits);
        if (type == QMM_F32) {
            memcpy((char *)target + (size_t)i * sizeof value, &value, sizeof value);
            continue;
        }
        if (type == QMM_BF16)
            half = (uint16_t)(bits >> 16);
        else /* all values are 0 or normal halves */
            half =
                (uint16_t)(value == 0.0f ? 0 : ((bits >> 16) & 0x8000u) | (((bits & 0x7fffffffu) - 0x38000000u) >> 13));
        memcpy((char *)target + (size_t)i * sizeof half, &half, sizeof half);
    }
}

qmm_tensor tensor_at(qmm_buffer *buffer, size_t offset, qmm_type type, int64_t rows, int64_t cols, int64_t row_stride) {
    qmm_tensor t = qmm_matrix(buffer, type, rows, cols);
    t.offset = offset;
    t.row_stride = row_stride;
    return t;
}

qmm_tensor batched(qmm_tensor tensor, int64_t batch, int64_t batch_stride) {
    tensor.batch = batch;
    tensor.batch_stride = batch_stride;
    return tensor;
}

size_t extent_of(const qmm_tensor *t) {
    int64_t elements;
    if (t->rows == 0 || t->cols == 0) return 0;
    elements = (t->batch - 1) * t->batch_stride + (t->rows - 1) * t->row_stride + t->cols;
    return ((size_t)elements * (size_t)qmm_type_bits(t->type) + 7) / 8;
}

/* ---- contexts ---------------------------------------------------------------------------------------------------- */

const char *device_name(void) {
    const char *const name = getenv("QMM_TEST_DEVICE");
    return name ? name : "cpu";
}

bool on_cpu(void) {
    return strcmp(device_name(), "cpu") == 0;
}

qmm_context *open_device(const qmm_context_options *options) {
    qmm_context *context;
    assert_int_equal(qmm_context_open(device_name(), options, &context), QMM_OK);
    return context;
}

void trust_all(qmm_context *context) {
    for (int o = 0; o < QMMI_OPERATION_COUNT && !on_cpu(); o++)
        for (int row = 0; row < QMMI_ROWS_MAX; row++)
            for (int v = 0; v <= QMMI_VARIANTS_MAX; v++) context->trust[o][row][v] = QMMI_TRUSTED;
}

void force_reference(qmm_context *context) {
    for (int i = 0; i < qmm_kernel_count(context); i++) {
        const char *name = qmm_kernel_name(context, i);
        if (strstr(name, ":reference")) assert_int_equal(qmm_kernel_force(context, name), QMM_OK);
    }
}

qmm_buffer *make_buffer(qmm_context *context, const void *source, size_t bytes) {
    qmm_buffer *buffer;
    assert_int_equal(qmm_buffer_create(context, bytes, &buffer), QMM_OK);
    if (source)
        assert_int_equal(qmm_buffer_upload(context, buffer, 0, source, bytes), QMM_OK);
    else
        assert_int_equal(qmm_buffer_fill(context, buffer, 0, 0x5a, bytes), QMM_OK);
    return buffer;
}

/* ---- a watched allocator ----------------------------------------------------------------------------------------- */

enum { HOST_MARK = 0x484f5354, DEVICE_MARK = 0x44455643, ALIGNMENT_MAX = 4096 };

/* Lies just before what the library gets. */
typedef struct record {
    void *block;
    size_t bytes;
    uint32_t mark;
} record;

static void *watched_allocate(watch *w, size_t bytes, size_t alignment, uint32_t mark) {
    char *block, *memory;
    record r;
    w->calls++;
    if (mark == DEVICE_MARK) w->device_calls++;
    expect(bytes > 0, "an allocation of 0 bytes");
    expect(alignment > 0 && (alignment & (alignment - 1)) == 0 && alignment <= ALIGNMENT_MAX, "alignment %zu",
           alignment);
    if (w->calls == w->fail_at || bytes > SIZE_MAX / 4) return NULL;
    block = malloc(bytes + alignment + sizeof r);
    if (!block) return NULL;
    memory = block + sizeof r;
    memory += (alignment - (uintptr_t)memory % alignment) % alignment;
    r = (record){ block, bytes, mark };
    memcpy(memory - sizeof r, &r, sizeof r);
    memset(memory, 0xa5, bytes); /* so that nobody counts on zeros */
    w->live++;
    if (mark == DEVICE_MARK) w->live_device++;
    w->live_bytes += bytes;
    return memory;
}

static void watched_release(watch *w, void *pointer, size_t bytes, uint32_t mark) {
    record r;
    if (!pointer) {
        w->faults++;
        return;
    }
    memcpy(&r, (char *)pointer - sizeof r, sizeof r);
    if (r.mark != mark || r.bytes != bytes) {
        w->faults++;
        return; /* whatever it is, it is not to be freed */
    }
    w->live--;
    if (mark == DEVICE_MARK) w->live_device--;
    w->live_bytes -= bytes;
    memset((char *)pointer - sizeof r, 0, sizeof r);
    if (w->keep && w->kept_count < COUNT_OF(w->kept))
        w->kept[w->kept_count++] = r.block;
    else
        free(r.block);
}

static void *allocate_host(void *user, size_t bytes, size_t alignment) {
    return watched_allocate(user, bytes, alignment, HOST_MARK);
}

static void release_host(void *user, void *pointer, size_t bytes) {
    watched_release(user, pointer, bytes, HOST_MARK);
}

static void *allocate_device(void *user, size_t bytes, size_t alignment) {
    return watched_allocate(user, bytes, alignment, DEVICE_MARK);
}

static void release_device(void *user, void *pointer, size_t bytes) {
    watched_release(user, pointer, bytes, DEVICE_MARK);
}

void watch_init(watch *w, bool device_functions) {
    memset(w, 0, sizeof *w);
    w->allocator = (qmm_allocator)QMM_ALLOCATOR_INIT;
    w->allocator.user = w;
    w->allocator.allocate = allocate_host;
    w->allocator.release = release_host;
    if (!device_functions) return;
    w->allocator.allocate_device = allocate_device;
    w->allocator.release_device = release_device;
}

void watch_free_kept(watch *w) {
    while (w->kept_count > 0) free(w->kept[--w->kept_count]);
}
