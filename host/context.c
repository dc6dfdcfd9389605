/* SPDX-License-Identifier: Apache-2.0
 *
 * Contexts: opening by name, the objects they own, errors and log lines, memory. */
#include "context.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checked.h"
#include "device.h"
#include "kernel.h"
#include "tuning_file.h"

/* ---- errors and log ---------------------------------------------------------------------------------------------- */

void qmmi_log(const qmm_context *context, qmm_log_level level, const char *format, ...) {
    char line[QMMI_ERROR_TEXT_BYTES];
    va_list arguments;
    if (!context->log || level > context->log_level) return;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    for (char *next, *start = line; start; start = next) { /* a text may have several lines */
        next = strchr(start, '\n');
        if (next) *next++ = '\0';
        context->log(context->log_user, level, start);
    }
}

qmm_status qmmi_fail(qmm_context *context, qmm_status status, const char *function, const char *format, ...) {
    va_list arguments;
    const int head = snprintf(context->error_text, sizeof context->error_text, "%s: ", function);
    va_start(arguments, format);
    vsnprintf(context->error_text + head, sizeof context->error_text - (size_t)head, format, arguments);
    va_end(arguments);
    context->error_status = status;
    if (status == QMM_DEVICE_FAILED) context->failed = true;
    qmmi_log(context, QMM_LOG_ERROR, "%s", context->error_text);
    return status;
}

const char *qmm_context_error(const qmm_context *context) {
    return context && context->magic == QMMI_MAGIC_CONTEXT ? context->error_text : "not a context";
}

qmm_status qmm_context_error_status(const qmm_context *context) {
    return context && context->magic == QMMI_MAGIC_CONTEXT ? context->error_status : QMM_INVALID_ARGUMENT;
}

qmm_status qmmi_enter(qmm_context *context, const char *function) {
    if (!context || context->magic != QMMI_MAGIC_CONTEXT) return QMM_INVALID_ARGUMENT;
    if (context->failed)
        return qmmi_fail(context, QMM_DEVICE_FAILED, function,
                         "the device of this context failed earlier; close the context and open another; if that fails "
                         "too, the process must be restarted");
    return QMM_OK;
}

bool qmmi_capturing(const qmm_context *context) {
    return context->backend->capturing && context->backend->capturing(context);
}

qmm_status qmmi_enter_waiting(qmm_context *context, const char *function) {
    QMMI_TRY(qmmi_enter(context, function));
    if (qmmi_capturing(context))
        return qmmi_fail(context, QMM_INVALID_ARGUMENT, function,
                         "this waits for the device or takes memory of it, which it cannot while its queue is being "
                         "captured: do it before or after");
    return QMM_OK;
}

/* ---- structs of other versions ----------------------------------------------------------------------------------- */

/* No header will ever add more; a struct_size beyond it is garbage. */
#define NEWER_BYTES_MAX 4096

qmm_status qmmi_read_struct(qmm_context *context, const char *function, const char *name, const void *source,
                            void *target, size_t known, size_t oldest) {
    size_t size;
    if (!source) return QMM_OK;
    memcpy(&size, source, sizeof size);
    if (size < oldest)
        return qmmi_fail(context, QMM_INVALID_ARGUMENT, function,
                         "struct_size %zu of %s is less than %zu: set it from its ..._INIT macro", size, name, oldest);
    for (size_t i = known; i < size; i++) {
        if (size - known > NEWER_BYTES_MAX || ((const unsigned char *)source)[i] != 0)
            return qmmi_fail(context, QMM_INVALID_ARGUMENT, function,
                             "struct_size %zu of %s is more than the %zu this qmm %s knows", size, name, known,
                             qmm_version());
    }
    memcpy(target, source, size < known ? size : known);
    memcpy(target, &known, sizeof known);
    return QMM_OK;
}

bool qmmi_struct_size_fits(const void *result, size_t oldest) {
    size_t size;
    memcpy(&size, result, sizeof size);
    return size >= oldest;
}

void qmmi_write_struct(void *result, const void *found, size_t known) {
    size_t size;
    memcpy(&size, result, sizeof size);
    memcpy(result, found, size < known ? size : known);
    memcpy(result, &size, sizeof size);
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

static void *default_allocate(void *user, size_t bytes, size_t alignment) {
    (void)user;
    return bytes > SIZE_MAX - alignment ? NULL : aligned_alloc(alignment, qmmi_round_up(bytes, alignment));
}

static void default_release(void *user, void *pointer, size_t bytes) {
    (void)user;
    (void)bytes;
    free(pointer);
}

void *qmmi_allocate(const qmm_context *context, size_t bytes) {
    return context->allocator.allocate(context->allocator.user, bytes ? bytes : 1, 64);
}

void qmmi_release(const qmm_context *context, void *pointer, size_t bytes) {
    if (pointer) context->allocator.release(context->allocator.user, pointer, bytes ? bytes : 1);
}

void *qmmi_object_create(qmm_context *context, qmmi_magic magic, size_t bytes, void (*destroy)(qmmi_object *)) {
    qmmi_object *object = qmmi_allocate(context, bytes);
    if (!object) return NULL;
    memset(object, 0, bytes);
    object->magic = magic;
    object->context = context;
    object->bytes = bytes;
    object->destroy = destroy;
    object->next = context->objects;
    if (object->next) object->next->previous = object;
    context->objects = object;
    return object;
}

void qmmi_object_free(qmmi_object *object) {
    qmm_context *context = object->context;
    if (object->previous)
        object->previous->next = object->next;
    else
        context->objects = object->next;
    if (object->next) object->next->previous = object->previous;
    if (object->destroy) object->destroy(object);
    object->magic = QMMI_MAGIC_DEAD;
    qmmi_release(context, object, object->bytes);
}

qmm_status qmmi_allocate_device(qmm_context *context, const char *function, const char *what, size_t bytes,
                                void **memory) {
    const qmm_status status = context->backend->allocate(context, bytes, memory);
    if (status == QMM_OK) return QMM_OK;
    *memory = NULL;
    if (status != QMM_OUT_OF_MEMORY) return status; /* the backend said why */
    return qmmi_fail(context, QMM_OUT_OF_MEMORY, function, "no device memory for %s of %zu bytes", what, bytes);
}

qmm_status qmmi_workspace_reserve(qmm_context *context, size_t bytes, const char *function) {
    if (bytes <= context->workspace_bytes) return QMM_OK;
    if (qmmi_capturing(context))
        return qmmi_fail(context, QMM_INVALID_ARGUMENT, function,
                         "the workspace cannot grow to %zu bytes while its queue is being captured: call "
                         "qmm_context_prepare and qmm_context_reserve_workspace before",
                         bytes);
    if (context->workspace) {
        /* Work queued earlier may still use it. */
        QMMI_TRY(context->backend->synchronize(context));
        context->backend->release(context, context->workspace, context->workspace_bytes);
    }
    context->workspace = NULL;
    context->workspace_bytes = 0;
    QMMI_TRY(qmmi_allocate_device(context, function, "a workspace", bytes, &context->workspace));
    context->workspace_bytes = bytes;
    return QMM_OK;
}

qmm_status qmm_context_reserve_workspace(qmm_context *context, size_t bytes) {
    QMMI_ENTER(context);
    return qmmi_workspace_reserve(context, bytes, __func__);
}

/* ---- open and close ---------------------------------------------------------------------------------------------- */

/* What opening reports to before there is a context: a context that owns nothing, for its text and log alone. */
static qmm_status finish_open(const qmm_context *reporter, const qmm_context_options *options, qmm_status status) {
    if (status != QMM_OK && options->error_text && options->error_text_size > 0)
        snprintf(options->error_text, options->error_text_size, "%s", reporter->error_text);
    return status;
}

static qmm_status check_options(qmm_context *reporter, const qmm_context_options *given, qmm_context_options *options) {
    static const char function[] = "qmm_context_open";
    qmm_allocator allocator = QMM_ALLOCATOR_INIT, *const a = &reporter->allocator;
    QMMI_TRY(qmmi_read_struct(reporter, function, "options", given, options, sizeof *options,
                             QMMI_OLDEST_CONTEXT_OPTIONS));
    reporter->log = options->log;
    reporter->log_user = options->log_user;
    reporter->log_level = options->log_level;
    QMMI_TRY(qmmi_read_struct(reporter, function, "allocator of options", options->allocator, &allocator,
                              sizeof allocator, QMMI_OLDEST_ALLOCATOR));
    *a = allocator;
    if (!a->allocate != !a->release)
        return qmmi_fail(reporter, QMM_INVALID_ARGUMENT, function,
                         "allocator of options has one of allocate and release but not the other");
    if (!a->allocate_device != !a->release_device)
        return qmmi_fail(reporter, QMM_INVALID_ARGUMENT, function,
                         "allocator of options has one of allocate_device and release_device but not the other");
    if (!a->allocate) a->allocate = default_allocate, a->release = default_release;
    return QMM_OK;
}

/* The option's, or the environment's; "" is none. Tuning is about speed only, so that no file of it stops anybody. */
static void read_tuning_file(qmm_context *context, const char *path) {
    char reason[QMMI_TUNING_REASON_BYTES];
    if (!path) path = getenv("QMM_TUNING_FILE");
    if (!path || !path[0]) return;
    if (qmmi_tuning_load(context, path, reason, sizeof reason) != QMM_OK)
        qmmi_log(context, QMM_LOG_WARNING, "tuning file %s%s %s: it is ignored", qmmi_path_dots(path),
                 qmmi_path_end(path), reason);
    else
        qmmi_log(context, QMM_LOG_INFO, "tuning file %s: %d choices", path, context->tuning.count);
}

qmm_status qmm_context_open(const char *device, const qmm_context_options *given, qmm_context **context) {
    qmm_context_options options = QMM_CONTEXT_OPTIONS_INIT;
    qmm_context reporter;
    qmm_context *opened;
    const qmmi_backend *backend;
    qmm_status status;
    int index;

    if (!context) return QMM_INVALID_ARGUMENT;
    *context = NULL;
    memset(&reporter, 0, sizeof reporter);
    status = check_options(&reporter, given, &options);
    if (status != QMM_OK) return finish_open(&reporter, &options, status);
    status = qmmi_device_find(&reporter, device, &backend, &index);
    if (status != QMM_OK) return finish_open(&reporter, &options, status);

    opened = qmmi_allocate(&reporter, sizeof *opened);
    if (!opened)
        return finish_open(&reporter, &options,
                           QMMI_FAIL(&reporter, QMM_OUT_OF_MEMORY, "no memory for a context"));
    *opened = reporter;
    opened->magic = QMMI_MAGIC_CONTEXT;
    opened->backend = backend;
    opened->device = index;
    status = qmmi_rows_fit(backend) ? backend->open(opened, index, &options)
                                    : QMMI_FAIL(opened, QMM_INTERNAL, "%s has more kernel rows than QMMI_ROWS_MAX, or "
                                                "variants than QMMI_VARIANTS_MAX",
                                                backend->name);
    if (status != QMM_OK) {
        finish_open(opened, &options, status);
        opened->magic = QMMI_MAGIC_DEAD;
        qmmi_release(&reporter, opened, sizeof *opened);
        return status;
    }
    *context = opened;
    qmmi_log(opened, QMM_LOG_INFO, "opened %s device %d", backend->name, index);
    read_tuning_file(opened, options.tuning_file);
    return QMM_OK;
}

void qmm_context_close(qmm_context *context) {
    qmm_context owner;
    if (!context || context->magic != QMMI_MAGIC_CONTEXT) return;
    context->backend->synchronize(context);
    while (context->objects) qmmi_object_free(context->objects);
    if (context->workspace) context->backend->release(context, context->workspace, context->workspace_bytes);
    qmmi_tuning_free(context);
    context->backend->close(context);
    context->magic = QMMI_MAGIC_DEAD;
    owner.allocator = context->allocator;
    qmmi_release(&owner, context, sizeof *context);
}

qmm_status qmm_context_get_device_info(qmm_context *context, qmm_device_info *info) {
    qmm_device_info found = QMM_DEVICE_INFO_INIT;
    QMMI_ENTER(context);
    QMMI_REQUIRE(context, info, "info is NULL");
    QMMI_CHECK_RESULT(context, info, QMMI_OLDEST_DEVICE_INFO);
    context->backend->device_info(context->device, &found);
    qmmi_write_struct(info, &found, sizeof found);
    return QMM_OK;
}

void *qmm_context_native_queue(qmm_context *context) {
    if (qmmi_enter(context, __func__) != QMM_OK) return NULL;
    return context->backend->get_queue(context);
}

qmm_status qmm_context_set_queue(qmm_context *context, void *native_queue) {
    QMMI_ENTER(context);
    QMMI_REQUIRE(context, native_queue, "native_queue is NULL");
    return context->backend->set_queue(context, native_queue);
}

qmm_status qmm_context_synchronize(qmm_context *context) {
    QMMI_ENTER_WAITING(context);
    return context->backend->synchronize(context);
}
