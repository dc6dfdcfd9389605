/* SPDX-License-Identifier: Apache-2.0
 *
 * From opening to closing: handles and who frees them, failed devices, error texts, the log, names and tables, and
 * matrices without elements. */
#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "context.h"
#include "world.h"

static world the_world;
static world *const w = &the_world;
static watch the_watch;
static watch *const a = &the_watch;

static qmm_context_options watched_options(void) {
    qmm_context_options options = QMM_CONTEXT_OPTIONS_INIT;
    watch_init(a, true);
    options.allocator = &a->allocator;
    return options;
}

/* ---- open and close ----------------------------------------------------------------------------------------------- */

static void test_many_times(void **state) {
    const qmm_context_options options = watched_options();
    (void)state;
    for (int i = 0; i < 1000; i++) {
        qmm_context *context;
        qmm_buffer *buffer;
        if (!expect(qmm_context_open(i % 2 ? "cpu:0" : "cpu", &options, &context) == QMM_OK, "open %d", i)) break;
        expect(strcmp(qmm_context_error(context), "") == 0 && qmm_context_error_status(context) == QMM_OK,
               "a new context has an error");
        expect_ok(context, qmm_buffer_create(context, 100, &buffer), "create");
        if (i % 3 == 0) qmm_buffer_free(buffer);
        qmm_context_close(context);
        expect(a->live == 0, "%lld allocations live after closing", (long long)a->live);
    }
    expect(a->faults == 0, "%lld bad releases", (long long)a->faults);
    end_of_test();
}

/* Closing frees what is still alive, in whatever order it was made, and leaves wrapped memory alone. */
static void test_close_frees(void **state) {
    enum { OBJECTS = 30 };
    static unsigned char native[4096];
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        const qmm_context_options options = watched_options();
        uint64_t random = seed;
        memset(native, 0x77, sizeof native);
        world_open(w, &options);
        for (int i = 0; i < OBJECTS; i++) {
            qmm_buffer *buffer;
            qmm_weights *weights;
            qmm_calibrator *calibrator;
            qmm_timer *timer;
            const bool free_now = next_random(&random) % 3 == 0;
            switch (next_random(&random) % 5) {
            case 0:
                expect_ok(w->context, qmm_buffer_create(w->context, 1 + next_random(&random) % 5000, &buffer),
                          "create");
                if (free_now) qmm_buffer_free(buffer);
                break;
            case 1:
                expect_ok(w->context, qmm_buffer_wrap(w->context, native, sizeof native, &buffer), "wrap");
                expect(qmm_buffer_native(buffer) == native && qmm_buffer_bytes(buffer) == sizeof native, "wrap");
                if (free_now) qmm_buffer_free(buffer);
                break;
            case 2:
                expect_ok(w->context, qmm_weights_create(w->context, &w->large_b, NULL, &weights), "weights");
                if (free_now) qmm_weights_free(weights);
                break;
            case 3:
                expect_ok(w->context, qmm_timer_create(w->context, &timer), "timer");
                expect_ok(w->context, qmm_timer_start(timer), "start");
                if (free_now) qmm_timer_free(timer);
                break;
            default:
                expect_ok(w->context, qmm_calibrator_create(w->context, NULL, &calibrator), "calibrator");
                if (free_now) qmm_calibrator_free(calibrator);
                break;
            }
        }
        world_close(w);
        expect(a->live == 0 && a->live_bytes == 0 && a->faults == 0, "%lld live, %lld bad releases", (long long)a->live,
               (long long)a->faults);
        for (size_t i = 0; i < sizeof native; i++)
            if (native[i] != 0x77) expect(false, "wrapped byte %zu was touched", i);
    }
    end_of_test();
}

static void test_null_frees(void **state) {
    (void)state;
    qmm_context_close(NULL);
    qmm_buffer_free(NULL);
    qmm_weights_free(NULL);
    qmm_calibrator_free(NULL);
    qmm_timer_free(NULL);
    expect(true, " ");
    end_of_test();
}

/* A dead handle, where its memory can still be read, is refused and not freed twice. */
static void test_dead_handles(void **state) {
    const qmm_context_options options = watched_options();
    qmm_buffer *buffer;
    qmm_weights *weights;
    qmm_calibrator *calibrator;
    qmm_timer *timer;
    qmm_context *closed;
    qmm_matmul_desc desc = QMM_MATMUL_DESC_INIT;
    double min, max;
    (void)state;
    a->keep = true;
    world_open(w, &options);
    expect_ok(w->context, qmm_buffer_create(w->context, 4096, &buffer), "create");
    expect_ok(w->context, qmm_weights_create(w->context, &w->b, NULL, &weights), "weights");
    expect_ok(w->context, qmm_calibrator_create(w->context, NULL, &calibrator), "calibrator");
    expect_ok(w->context, qmm_timer_create(w->context, &timer), "timer");
    for (int again = 0; again < 2; again++) {
        qmm_buffer_free(buffer);
        qmm_weights_free(weights);
        qmm_calibrator_free(calibrator);
        qmm_timer_free(timer);
    }
    expect(a->faults == 0, "freed twice: %lld bad releases", (long long)a->faults);
    expect_error(w->context, qmm_buffer_fill(w->context, buffer, 0, 0, 1), QMM_INVALID_ARGUMENT,
                 "qmm_buffer_fill: buffer is not a buffer, or freed");
    expect(qmm_buffer_bytes(buffer) == 0 && qmm_buffer_native(buffer) == NULL, "a freed buffer has a size");
    desc.weights = weights;
    expect_error(w->context, qmm_matmul(w->context, &desc, &w->a, NULL, &w->c), QMM_INVALID_ARGUMENT,
                 "qmm_matmul: weights of desc is not packed weights, or freed");
    expect(qmm_calibrator_observe(calibrator, &w->x) == QMM_INVALID_ARGUMENT, "observe by a freed calibrator");
    expect(qmm_calibrator_range(calibrator, &min, &max) == QMM_INVALID_ARGUMENT, "range of a freed calibrator");
    expect(qmm_timer_start(timer) == QMM_INVALID_ARGUMENT && qmm_timer_stop(timer) == QMM_INVALID_ARGUMENT &&
               qmm_timer_seconds(timer, &min) == QMM_INVALID_ARGUMENT,
           "a freed timer");
    closed = w->context;
    world_close(w);
    for (size_t i = 0; i < entry_count; i++)
        if (!(entries[i].flags & BY_HANDLE))
            expect(entries[i].call(w, closed) == QMM_INVALID_ARGUMENT, "%s of a closed context", entries[i].name);
    for (size_t i = 0; i < TUNING_ENTRIES; i++)
        expect(tuning_entries[i].call(w, closed) == QMM_INVALID_ARGUMENT, "%s of a closed context",
               tuning_entries[i].name);
    expect(strcmp(qmm_context_error(closed), "not a context") == 0, "the error of a closed context");
    expect(qmm_kernel_count(closed) == 0, "the kernels of a closed context");
    qmm_context_close(closed);
    qmm_buffer_free(w->in); /* died with its context */
    qmm_weights_free(w->weights);
    qmm_calibrator_free(w->calibrator);
    qmm_timer_free(w->timer);
    expect(a->live == 0 && a->faults == 0, "%lld live, %lld bad releases", (long long)a->live, (long long)a->faults);
    watch_free_kept(a);
    end_of_test();
}

static void test_shared_buffers(void **state) {
    qmm_context *other = open_device(NULL);
    qmm_matmul_desc desc = QMM_MATMUL_DESC_INIT;
    int32_t wanted[30], got[30];
    (void)state;
    world_open(w, NULL);
    expect_ok(w->context, qmm_matmul(w->context, NULL, &w->a, &w->b, &w->c), "own context");
    expect_ok(w->context, qmm_buffer_download(w->context, w->out, w->c.offset, wanted, sizeof wanted), "download");
    world_poison(w);
    desc.weights = w->weights;
    expect_ok(other, qmm_matmul(other, NULL, &w->a, &w->b, &w->c), "another's buffers");
    expect_ok(other, qmm_buffer_download(other, w->out, w->c.offset, got, sizeof got), "another's buffer");
    expect_bytes(got, wanted, sizeof wanted, "another context on the device");
    expect_ok(other, qmm_matmul(other, &desc, &w->a, NULL, &w->c), "another's weights");
    expect_ok(w->context, qmm_buffer_download(w->context, w->out, w->c.offset, got, sizeof got), "download");
    expect_bytes(got, wanted, sizeof wanted, "another context's weights");
    qmm_context_close(other);
    world_poison(w);
    world_works(w);
    world_close(w);
    end_of_test();
}

/* ---- a failed device ---------------------------------------------------------------------------------------------- */

static void test_failed_device(void **state) {
    const qmm_context_options options = watched_options();
    char text[256];
    (void)state;
    world_open(w, &options);
    expect_error(w->context, qmmi_fail(w->context, QMM_DEVICE_FAILED, "qmm_matmul", "the launch failed: %d", 719),
                 QMM_DEVICE_FAILED, "qmm_matmul: the launch failed: 719");
    expect(w->context->failed, "QMM_DEVICE_FAILED is not sticky");
    for (int again = 0; again < 2; again++) {
        for (size_t i = 0; i < entry_count + TUNING_ENTRIES; i++) {
            const entry *const e = i < entry_count ? &entries[i] : &tuning_entries[i - entry_count];
            snprintf(text, sizeof text,
                     "%s: the device of this context failed earlier; close the context and open another; if that fails "
                     "too, the process must be restarted",
                     e->name);
            expect_error(w->context, e->call(w, w->context), QMM_DEVICE_FAILED, text);
            expect(qmm_context_error_status(w->context) == QMM_DEVICE_FAILED, "error status");
            world_unharmed(w);
        }
    }
    /* Bad arguments do not hide it. */
    expect_error(w->context, qmm_matmul(w->context, NULL, NULL, NULL, NULL), QMM_DEVICE_FAILED, NULL);
    expect_error(w->context, qmm_buffer_create(w->context, 1, NULL), QMM_DEVICE_FAILED, NULL);
    expect(qmm_kernel_count(w->context) > 0, "a failed context has no kernels");
    qmm_buffer_free(w->scratch);
    qmm_calibrator_free(w->calibrator);
    world_close(w);
    expect(a->live == 0 && a->faults == 0, "%lld live, %lld bad releases", (long long)a->live, (long long)a->faults);
    end_of_test();
}

static void test_error_text(void **state) {
    qmm_buffer *buffer;
    (void)state;
    world_open(w, NULL);
    expect(strcmp(qmm_context_error(w->context), "") == 0, "text before any error");
    expect(qmm_context_error_status(w->context) == QMM_OK, "status before any error");
    expect_error(w->context, qmm_buffer_fill(w->context, NULL, 0, 0, 1), QMM_INVALID_ARGUMENT,
                 "qmm_buffer_fill: buffer is NULL");
    world_works(w); /* success leaves the last error as it is */
    expect(strcmp(qmm_context_error(w->context), "qmm_buffer_fill: buffer is NULL") == 0, "%s",
           qmm_context_error(w->context));
    expect(qmm_context_error_status(w->context) == QMM_INVALID_ARGUMENT, "the last status");
    expect_error(w->context, qmm_buffer_create(w->context, (size_t)1 << 60, &buffer), QMM_OUT_OF_MEMORY, NULL);
    expect(qmm_context_error_status(w->context) == QMM_OUT_OF_MEMORY, "the last status");
    /* A text longer than there is room for is cut and ended. */
    qmmi_fail(w->context, QMM_INTERNAL, "qmm_matmul", "%5000d", 1);
    expect(strlen(qmm_context_error(w->context)) == QMMI_ERROR_TEXT_BYTES - 1, "%zu bytes of text",
           strlen(qmm_context_error(w->context)));
    expect(!w->context->failed, "QMM_INTERNAL made the device fail");
    world_close(w);
    end_of_test();
}

/* ---- the log ------------------------------------------------------------------------------------------------------ */

typedef struct log_lines {
    int count[5];
    int strange; /* levels, newlines, empty lines */
    char last[512];
    qmm_log_level last_level;
} log_lines;

static void keep_line(void *user, qmm_log_level level, const char *line) {
    log_lines *lines = user;
    if (level < QMM_LOG_ERROR || level > QMM_LOG_DEBUG || line[0] == '\0' || strchr(line, '\n')) {
        lines->strange++;
        return;
    }
    lines->count[level]++;
    lines->last_level = level;
    snprintf(lines->last, sizeof lines->last, "%s", line);
}

static void test_log(void **state) {
    qmm_context_options options = QMM_CONTEXT_OPTIONS_INIT;
    const qmm_tensor empty_a = { NULL, 0, QMM_S8, 6, 0, 0, 1, 0 }, empty_b = { NULL, 0, QMM_S8, 0, 5, 5, 1, 0 };
    (void)state;
    for (int level = 0; level <= QMM_LOG_DEBUG; level++) {
        log_lines lines = { { 0 }, 0, "", QMM_LOG_DEBUG };
        qmm_context *context;
        options.log = keep_line;
        options.log_user = &lines;
        options.log_level = (qmm_log_level)level;
        world_open(w, &options);
        expect(lines.count[QMM_LOG_INFO] == (level >= QMM_LOG_INFO ? 1 : 0), "%d lines of opening at level %d",
               lines.count[QMM_LOG_INFO], level);
        if (level >= QMM_LOG_INFO) expect(strcmp(lines.last, "opened cpu device 0") == 0, "%s", lines.last);
        expect_ok(w->context, qmm_context_prepare(w->context), "prepare");
        if (level < QMM_LOG_DEBUG) expect(lines.count[QMM_LOG_DEBUG] == 0, "debug lines at level %d", level);
        expect(lines.count[QMM_LOG_ERROR] == 0, "errors where none are");
        qmm_buffer_fill(w->context, NULL, 0, 0, 1);
        expect(lines.count[QMM_LOG_ERROR] == (level >= QMM_LOG_ERROR ? 1 : 0), "%d errors", lines.count[QMM_LOG_ERROR]);
        if (level >= QMM_LOG_ERROR)
            expect(strcmp(lines.last, "qmm_buffer_fill: buffer is NULL") == 0 && lines.last_level == QMM_LOG_ERROR,
                   "%d: %s", lines.last_level, lines.last);
        /* A text of many lines is logged as lines. */
        expect_ok(w->context, qmm_kernel_force(w->context, "cpu:matmul:onednn"), "force");
        expect_error(w->context, qmm_matmul(w->context, NULL, &empty_a, &empty_b, &w->c), QMM_UNSUPPORTED, NULL);
        expect(lines.strange == 0, "%d strange lines at level %d", lines.strange, level);
        expect((lines.count[QMM_LOG_ERROR] >= 2) == (level >= QMM_LOG_ERROR), "%d errors", lines.count[QMM_LOG_ERROR]);
        world_close(w);
        memset(&lines, 0, sizeof lines);
        expect(qmm_context_open("nosuch", &options, &context) == QMM_NO_DEVICE, "nosuch");
        expect(lines.count[QMM_LOG_ERROR] == (level >= QMM_LOG_ERROR ? 1 : 0), "a failed open logs %d lines",
               lines.count[QMM_LOG_ERROR]);
    }
    end_of_test();
}

/* ---- names and tables --------------------------------------------------------------------------------------------- */

static void test_names(void **state) {
    static const char *const statuses[] = {
        "QMM_OK",           "QMM_INVALID_ARGUMENT", "QMM_UNSUPPORTED", "QMM_NO_DEVICE", "QMM_OUT_OF_MEMORY",
        "QMM_BUILD_FAILED", "QMM_DEVICE_FAILED",    "QMM_INTERNAL"
    };
    static const char *const types[] = { NULL, "s4", "u4", "s8", "u8", "s16", "u16", "s32", "f32", "f16", "bf16" };
    static const int bits[] = { 0, 4, 4, 8, 8, 16, 16, 32, 32, 16, 16 };
    static const char *const classes[] = { "none", "dp4a", "mma", "wgmma", "tcgen05", "reduced", "vnni" };
    static const int unknown[] = { -1, 11, 99, INT32_MAX, INT32_MIN };
    char version[32];
    (void)state;
    for (int i = 0; i < (int)COUNT_OF(statuses); i++)
        expect(strcmp(qmm_status_name((qmm_status)i), statuses[i]) == 0, "status %d: %s", i,
               qmm_status_name((qmm_status)i));
    for (int i = 1; i < (int)COUNT_OF(types); i++) {
        expect(strcmp(qmm_type_name((qmm_type)i), types[i]) == 0, "type %d: %s", i, qmm_type_name((qmm_type)i));
        expect(qmm_type_bits((qmm_type)i) == bits[i], "bits of %s", types[i]);
    }
    expect(strcmp(qmm_type_name((qmm_type)0), "unknown type") == 0 && qmm_type_bits((qmm_type)0) == 0, "type 0");
    for (int i = 0; i < (int)COUNT_OF(classes); i++)
        expect(strcmp(qmm_int8_class_name((qmm_int8_class)i), classes[i]) == 0, "class %d", i);
    for (size_t i = 0; i < COUNT_OF(unknown); i++) {
        expect(strcmp(qmm_status_name((qmm_status)unknown[i]), "unknown status") == 0, "status %d", unknown[i]);
        expect(strcmp(qmm_type_name((qmm_type)unknown[i]), "unknown type") == 0, "type %d", unknown[i]);
        expect(qmm_type_bits((qmm_type)unknown[i]) == 0, "bits of type %d", unknown[i]);
        expect(strcmp(qmm_int8_class_name((qmm_int8_class)unknown[i]), "unknown class") == 0, "class %d", unknown[i]);
    }
    expect(strcmp(qmm_status_name((qmm_status)8), "unknown status") == 0, "status 8");
    snprintf(version, sizeof version, "%d.%d.%d", QMM_VERSION_MAJOR, QMM_VERSION_MINOR, QMM_VERSION_PATCH);
    expect(strcmp(qmm_version(), version) == 0, "version %s", qmm_version());
    end_of_test();
}

static void test_type_ranges(void **state) {
    static const struct {
        qmm_type type;
        int width, fewest;
    } codes[] = { { QMM_S4, 4, 2 }, { QMM_U4, 4, 2 },   { QMM_S8, 8, 2 },
                  { QMM_U8, 8, 2 }, { QMM_S16, 16, 9 }, { QMM_U16, 16, 9 } };
    (void)state;
    for (int type = -1; type <= 12; type++) {
        for (int bits = -2; bits <= 40; bits++) {
            int32_t qmin = 77, qmax = 77;
            const qmm_status got = qmm_type_range((qmm_type)type, bits, &qmin, &qmax);
            bool valid = false;
            int32_t low = 77, high = 77;
            for (size_t i = 0; i < COUNT_OF(codes); i++) {
                const int width = bits ? bits : codes[i].width;
                const bool is_signed = codes[i].type == QMM_S4 || codes[i].type == QMM_S8 || codes[i].type == QMM_S16;
                if ((int)codes[i].type != type || width < codes[i].fewest || width > codes[i].width) continue;
                valid = true;
                low = is_signed ? -(1 << (width - 1)) : 0;
                high = is_signed ? (1 << (width - 1)) - 1 : (1 << width) - 1;
            }
            expect(got == (valid ? QMM_OK : QMM_INVALID_ARGUMENT) && qmin == low && qmax == high,
                   "type %d with %d bits: %s %d to %d", type, bits, qmm_status_name(got), (int)qmin, (int)qmax);
        }
    }
    end_of_test();
}

static void test_matrix_bytes(void **state) {
    static const struct {
        qmm_type type;
        int64_t rows, cols, batch;
        size_t bytes;
    } table[] = {
        { QMM_S8, 0, 0, 0, 0 },
        { QMM_S8, 3, 0, 5, 0 },
        { QMM_F32, 0, 7, 2, 0 },
        { QMM_S8, 3, 5, 0, 0 },
        { QMM_S8, 3, 5, 1, 15 },
        { QMM_U8, 3, 5, 2, 30 },
        { QMM_S4, 1, 1, 1, 1 },
        { QMM_S4, 3, 5, 1, 9 },
        { QMM_U4, 3, 5, 4, 36 },
        { QMM_U4, 3, 6, 1, 9 },
        { QMM_S4, 7, 0, 1, 0 },
        { QMM_S16, 3, 5, 1, 30 },
        { QMM_U16, 3, 5, 2, 60 },
        { QMM_S32, 3, 5, 1, 60 },
        { QMM_F32, 3, 5, 2, 120 },
        { QMM_F16, 3, 5, 1, 30 },
        { QMM_BF16, 3, 5, 1, 30 },
        { QMM_S8, 65536, 65536, 1, (size_t)1 << 32 },
        { QMM_S4, 65536, 65535, 1, (size_t)1 << 31 },
        { QMM_F32, 1, (int64_t)1 << 40, 1, (size_t)1 << 42 },
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(table); i++) {
        size_t bytes = 77;
        const qmm_status got = qmm_matrix_bytes(table[i].type, table[i].rows, table[i].cols, table[i].batch, &bytes);
        qmm_tensor t = qmm_matrix(NULL, table[i].type, table[i].rows, table[i].cols);
        expect(got == QMM_OK && bytes == table[i].bytes, "row %zu: %s, %zu bytes", i, qmm_status_name(got), bytes);
        expect(t.buffer == NULL && t.offset == 0 && t.type == table[i].type && t.rows == table[i].rows &&
                   t.cols == table[i].cols && t.batch == 1,
               "row %zu: qmm_matrix", i);
        expect(t.row_stride >= t.cols && t.row_stride <= t.cols + (qmm_type_bits(t.type) == 4), "row %zu: stride", i);
        expect(qmm_type_bits(t.type) != 4 || t.row_stride % 2 == 0, "row %zu: rows not on a byte", i);
    }
    end_of_test();
}

static void test_devices(void **state) {
    static const int wrong[] = { -1, INT32_MIN, 1000, INT32_MAX };
    const int backends = qmm_backend_count(), devices = qmm_device_count();
    qmm_device_info info = QMM_DEVICE_INFO_INIT, own = QMM_DEVICE_INFO_INIT;
    qmm_context *context;
    int sum = 0;
    (void)state;
    expect(backends >= 1 && devices >= 1, "%d backends, %d devices", backends, devices);
    for (int i = 0; i < backends; i++) {
        qmm_backend_info backend = QMM_BACKEND_INFO_INIT;
        memset(backend.name, 'x', sizeof backend.name);
        memset(backend.reason, 'x', sizeof backend.reason);
        expect(qmm_backend_get_info(i, &backend) == QMM_OK, "backend %d", i);
        expect(backend.struct_size == sizeof backend, "struct_size of backend %d", i);
        expect(memchr(backend.name, 0, sizeof backend.name) && backend.name[0], "name of backend %d", i);
        expect(memchr(backend.reason, 0, sizeof backend.reason) != NULL, "reason of backend %d", i);
        expect((backend.devices > 0) == (backend.reason[0] == '\0'), "%s: %d devices, reason '%s'", backend.name,
               backend.devices, backend.reason);
        sum += backend.devices;
    }
    expect(sum == devices, "%d devices in the backends, %d in all", sum, devices);
    for (int i = 0; i < devices; i++) {
        expect(qmm_device_get_info(i, &info) == QMM_OK && info.struct_size == sizeof info && info.name[0], "device %d",
               i);
        expect(qmm_context_open(info.name, NULL, &context) == QMM_OK, "open %s", info.name);
        expect(qmm_context_get_device_info(context, &own) == QMM_OK, "own info");
        expect(memcmp(&own, &info, sizeof own) == 0, "%s: the context says other than the list", info.name);
        qmm_context_close(context);
    }
    expect(strcmp(info.name, "cpu") == 0, "the last device is %s", info.name);
    expect(info.compute_units >= 1 && info.memory_bytes > 0 && info.description[0], "the facts of the CPU");
    expect(info.compute_major == 0 && info.compute_minor == 0, "a CUDA capability of a CPU");
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        qmm_backend_info backend = QMM_BACKEND_INFO_INIT;
        qmm_device_info device = QMM_DEVICE_INFO_INIT;
        expect(qmm_backend_get_info(wrong[i], &backend) == QMM_INVALID_ARGUMENT && backend.name[0] == '\0',
               "backend %d", wrong[i]);
        expect(qmm_device_get_info(wrong[i], &device) == QMM_INVALID_ARGUMENT && device.name[0] == '\0', "device %d",
               wrong[i]);
    }
    expect(qmm_device_get_info(devices, &info) == QMM_INVALID_ARGUMENT, "one past the last device");
    expect(qmm_backend_get_info(backends, &(qmm_backend_info)QMM_BACKEND_INFO_INIT) == QMM_INVALID_ARGUMENT,
           "one past");
    expect(qmm_device_get_info(0, NULL) == QMM_INVALID_ARGUMENT, "NULL");
    expect(qmm_backend_get_info(0, NULL) == QMM_INVALID_ARGUMENT, "NULL");
    /* Whatever opens as "auto" is the first. */
    expect(qmm_device_get_info(0, &info) == QMM_OK && qmm_context_open("auto", NULL, &context) == QMM_OK, "auto");
    expect(qmm_context_get_device_info(context, &own) == QMM_OK && strcmp(own.name, info.name) == 0,
           "auto is %s, not %s", own.name, info.name);
    qmm_context_close(context);
    end_of_test();
}

static void test_kernel_table(void **state) {
    int count;
    (void)state;
    world_open(w, NULL);
    count = qmm_kernel_count(w->context);
    expect(count >= 6, "%d kernels", count);
    for (int i = 0; i < count; i++) {
        const char *name = qmm_kernel_name(w->context, i);
        expect(strncmp(name, "cpu:", 4) == 0 && strchr(name + 4, ':'), "kernel %d: %s", i, name);
        for (int j = 0; j < i; j++) expect(strcmp(name, qmm_kernel_name(w->context, j)) != 0, "%s twice", name);
        expect_ok(w->context, qmm_kernel_force(w->context, name), name);
    }
    expect_ok(w->context, qmm_kernel_force(w->context, NULL), "take back");
    world_works(w);
    world_close(w);
    end_of_test();
}

/* ---- no elements -------------------------------------------------------------------------------------------------- */

/* All sixteen combinations of M, N, K and the batch's matrices being there: c is the epilogue of 0, or untouched. */
static void test_zero_matmul(void **state) {
    static const qmm_type outputs[] = { QMM_S32, QMM_F32, QMM_F16, QMM_BF16, QMM_S8, QMM_U8, QMM_S16, QMM_U16 };
    (void)state;
    world_open(w, NULL);
    for (int mask = 0; mask < 8; mask++) {
        for (size_t type = 0; type < COUNT_OF(outputs); type++) {
            for (int batch = 1; batch <= 3; batch += 2) {
                const int64_t m = mask & 1 ? 0 : 6, n = mask & 2 ? 0 : 5, k = mask & 4 ? 0 : 8;
                const qmm_tensor a_tensor = batched(tensor_at(k && m ? w->in : NULL, 256, QMM_S8, m, k, k), batch, 0);
                const qmm_tensor b_tensor = batched(tensor_at(k && n ? w->in : NULL, 512, QMM_S8, k, n, n), batch, 0);
                qmm_tensor c = batched(tensor_at(m && n ? w->out : NULL, 512, outputs[type], m, n, n), batch, m * n);
                qmm_verify_result verified = QMM_VERIFY_RESULT_INIT;
                size_t bytes = 77;
                world_poison(w);
                expect_ok(w->context, qmm_matmul_workspace(w->context, NULL, &a_tensor, &b_tensor, &c, &bytes),
                          "workspace");
                expect_ok(w->context, qmm_matmul(w->context, NULL, &a_tensor, &b_tensor, &c), "empty matmul");
                expect_ok(w->context, qmm_verify_matmul(w->context, NULL, &a_tensor, &b_tensor, &c, NULL, &verified),
                          "verify");
                expect(verified.passed && verified.wrong_rows == 0,
                       "%" PRId64 " x %" PRId64 " x %" PRId64 " to %s does not verify", m, k, n, qmm_type_name(c.type));
                if (m == 0 || n == 0) {
                    world_unharmed(w);
                } else if (k == 0) {
                    static const unsigned char zeros[6 * 5 * 3 * 4];
                    expect_bytes((char *)qmm_buffer_native(w->out) + 512, zeros, extent_of(&c), "K = 0");
                }
                expect(((unsigned char *)qmm_buffer_native(w->out))[512 + extent_of(&c)] == 0x5a, "past the end of c");
            }
        }
    }
    world_close(w);
    end_of_test();
}

static void test_zero_k_epilogue(void **state) {
    const qmm_tensor none_a = tensor_at(NULL, 0, QMM_S8, 6, 0, 0), none_b = tensor_at(NULL, 0, QMM_S8, 0, 5, 5);
    qmm_matmul_desc desc = QMM_MATMUL_DESC_INIT;
    qmm_quant qc = QMM_QUANT_INIT, qa = QMM_QUANT_INIT;
    float bias[5], residual[30], c[30];
    int32_t bias32[5], sums[30];
    int8_t codes[30];
    const qmm_weights_options options = QMM_WEIGHTS_OPTIONS_INIT;
    qmm_weights *weights;
    (void)state;
    world_open(w, NULL);
    memcpy(bias, w->in_copy + 1024, sizeof bias);
    memcpy(bias32, w->in_copy + 1152, sizeof bias32);
    memcpy(residual, w->in_copy + 1280, sizeof residual);
    qa.zero_value = 5, qa.scale_value = 0.5f;
    desc.quant_a = &qa;
    desc.bias = &w->bias, desc.residual = &w->residual, desc.activation = QMM_ACTIVATION_RELU;
    for (int packed = 0; packed < 2; packed++) {
        if (packed) {
            expect_ok(w->context, qmm_weights_create(w->context, &none_b, &options, &weights), "weights of K = 0");
            desc.weights = weights;
        }
        world_poison(w);
        expect_ok(w->context, qmm_matmul(w->context, &desc, &none_a, packed ? NULL : &none_b, &w->c_real), "K = 0");
        qmm_buffer_download(w->context, w->out, w->c_real.offset, c, sizeof c);
        for (int i = 0; i < 30; i++) {
            const float y = bias[i % 5] + residual[i], wanted = y > 0.0f ? y : 0.0f;
            expect(c[i] == wanted, "relu(bias + residual) %d: %g, not %g", i, (double)c[i], (double)wanted);
        }
    }
    desc = (qmm_matmul_desc)QMM_MATMUL_DESC_INIT;
    desc.bias = &w->bias32;
    expect_ok(w->context, qmm_matmul(w->context, &desc, &none_a, &none_b, &w->c), "K = 0");
    qmm_buffer_download(w->context, w->out, w->c.offset, sums, sizeof sums);
    for (int i = 0; i < 30; i++) expect(sums[i] == bias32[i % 5], "s32 bias %d: %d", i, (int)sums[i]);
    qc.scale_value = 0.5f, qc.zero_value = -3;
    desc.quant_c = &qc;
    expect_ok(w->context, qmm_matmul(w->context, &desc, &none_a, &none_b, &w->c_codes), "K = 0");
    qmm_buffer_download(w->context, w->out, w->c_codes.offset, codes, sizeof codes);
    for (int i = 0; i < 30; i++) expect(codes[i] == bias32[i % 5] * 2 - 3, "requantized %d: %d", i, codes[i]);
    world_close(w);
    end_of_test();
}

static void test_zero_conversions(void **state) {
    static const qmm_granularity granularities[] = { QMM_PER_TENSOR, QMM_PER_ROW, QMM_PER_COLUMN, QMM_PER_ROW_GROUP,
                                                     QMM_PER_COLUMN_GROUP };
    (void)state;
    world_open(w, NULL);
    for (int mask = 1; mask < 4; mask++) {
        const int64_t rows = mask & 1 ? 0 : 6, cols = mask & 2 ? 0 : 8;
        const qmm_tensor real = tensor_at(NULL, 0, QMM_F32, rows, cols, cols),
                         codes = tensor_at(NULL, 0, QMM_S8, rows, cols, cols);
        const qmm_tensor nibbles = tensor_at(NULL, 12345, QMM_U4, rows, cols, cols);
        double min = 77.0, max = 77.0;
        host_results *r = &w->results;
        expect_ok(w->context, qmm_quantize(w->context, &real, NULL, &codes), "quantize");
        expect_ok(w->context, qmm_quantize(w->context, &real, NULL, &nibbles), "quantize");
        expect_ok(w->context, qmm_dequantize(w->context, &codes, NULL, &real), "dequantize");
        expect_ok(w->context, qmm_requantize(w->context, &codes, NULL, &nibbles, NULL), "requantize");
        world_unharmed(w);
        for (int method = QMM_RANGE_MINMAX; method <= QMM_RANGE_ENTROPY; method++) {
            qmm_range_options o = QMM_RANGE_OPTIONS_INIT;
            o.method = (qmm_range_method)method;
            min = max = 77.0;
            expect_ok(w->context, qmm_find_range(w->context, &real, &o, &min, &max), "find_range");
            expect(min == 0.0 && max == 0.0, "the range of nothing is %g to %g", min, max);
        }
        expect_ok(w->context, qmm_calibrator_observe(w->calibrator, &real), "observe");
        expect_ok(w->context, qmm_measure_error(w->context, &real, &real, &r->measure), "measure_error");
        expect(r->measure.count == 0 && r->measure.skipped == 0 && r->measure.mse == 0.0 &&
                   r->measure.max_error == 0.0 && isinf(r->measure.sqnr_db) && r->measure.cosine == 1.0,
               "the error of nothing");
        expect_ok(w->context, qmm_compare(w->context, &codes, &codes, &r->compared), "compare");
        expect(r->compared.count == 0 && r->compared.mismatches == 0 && r->compared.row == -1, "nothing compared");
        /* Empty rows, columns, or the empty tensor still get their parameters: scale 1, zero point qmin. */
        for (size_t g = 0; g < COUNT_OF(granularities); g++) {
            for (int symmetric = 0; symmetric < 2; symmetric++) {
                for (int reference = 0; reference < 2; reference++) {
                    qmm_quant q = QMM_QUANT_INIT;
                    const bool by_row = granularities[g] == QMM_PER_ROW, by_col = granularities[g] == QMM_PER_COLUMN;
                    const bool row_group = granularities[g] == QMM_PER_ROW_GROUP;
                    const bool group = granularities[g] >= QMM_PER_ROW_GROUP;
                    const int64_t prows = by_row || row_group ? rows : group ? rows / 2 : 1;
                    const int64_t pcols = by_col ? cols : group ? (row_group ? cols / 2 : cols) : 1;
                    const qmm_tensor scale = tensor_at(w->out, 1024, QMM_F32, prows, pcols, pcols);
                    const qmm_tensor zero = tensor_at(w->out, 2048, QMM_S32, prows, pcols, pcols);
                    float scales[48];
                    int32_t zeros[48];
                    world_poison(w);
                    q.granularity = granularities[g];
                    q.group_size = group ? 2 : 0;
                    q.scale = &scale, q.zero = symmetric ? NULL : &zero;
                    if (reference) force_reference(w->context);
                    expect_ok(w->context, qmm_quantize_dynamic(w->context, &real, &q, &codes), "dynamic");
                    expect_ok(w->context, qmm_kernel_force(w->context, NULL), "take back");
                    qmm_buffer_download(w->context, w->out, 1024, scales, sizeof scales);
                    qmm_buffer_download(w->context, w->out, 2048, zeros, sizeof zeros);
                    for (int64_t i = 0; i < prows * pcols; i++) {
                        expect(scales[i] == 1.0f, "granularity %zu: scale %g of nothing", g, (double)scales[i]);
                        if (!symmetric)
                            expect(zeros[i] == -128, "granularity %zu: zero %d of nothing", g, (int)zeros[i]);
                    }
                    expect(memcmp(&scales[prows * pcols], "ZZZZ", 4) == 0, "a scale too many");
                }
            }
        }
    }
    /* Weights without columns, and without K. */
    for (int mask = 1; mask < 4; mask++) {
        const qmm_tensor b = tensor_at(NULL, 0, QMM_S4, mask & 1 ? 0 : 8, mask & 2 ? 0 : 6, 6);
        qmm_weights *weights;
        size_t bytes;
        expect_ok(w->context, qmm_weights_bytes(w->context, &b, NULL, &bytes), "bytes of no weights");
        expect_ok(w->context, qmm_weights_create(w->context, &b, NULL, &weights), "no weights");
        qmm_weights_free(weights);
    }
    world_poison(w);
    world_works(w);
    world_close(w);
    end_of_test();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_times),      cmocka_unit_test(test_close_frees),
        cmocka_unit_test(test_null_frees),      cmocka_unit_test(test_dead_handles),
        cmocka_unit_test(test_shared_buffers),  cmocka_unit_test(test_failed_device),
        cmocka_unit_test(test_error_text),      cmocka_unit_test(test_log),
        cmocka_unit_test(test_names),           cmocka_unit_test(test_type_ranges),
        cmocka_unit_test(test_matrix_bytes),    cmocka_unit_test(test_devices),
        cmocka_unit_test(test_kernel_table),    cmocka_unit_test(test_zero_matmul),
        cmocka_unit_test(test_zero_k_epilogue), cmocka_unit_test(test_zero_conversions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
