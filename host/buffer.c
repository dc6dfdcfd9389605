/* SPDX-License-Identifier: Apache-2.0
 *
 * Buffers: device memory, owned or wrapped, and the copies to and from it. */
#include "buffer.h"

#include <stdint.h>

#include "checked.h"

static void destroy_buffer(qmmi_object *object) {
    qmm_buffer *buffer = (qmm_buffer *)object;
    if (buffer->owned && buffer->memory)
        object->context->backend->release(object->context, buffer->memory, buffer->bytes);
}

static qmm_status make_buffer(qmm_context *context, const char *function, size_t bytes, qmm_buffer **buffer) {
    *buffer = qmmi_object_create(context, QMMI_MAGIC_BUFFER, sizeof **buffer, destroy_buffer);
    if (!*buffer) return qmmi_fail(context, QMM_OUT_OF_MEMORY, function, "no host memory for a buffer's handle");
    (*buffer)->bytes = bytes;
    return QMM_OK;
}

qmm_status qmm_buffer_create(qmm_context *context, size_t bytes, qmm_buffer **buffer) {
    qmm_status status;
    QMMI_ENTER_WAITING(context);
    QMMI_REQUIRE(context, buffer, "buffer is NULL");
    *buffer = NULL;
    QMMI_REQUIRE(context, bytes <= PTRDIFF_MAX, "bytes %zu is more than the %td an object can have", bytes,
                 PTRDIFF_MAX);
    QMMI_TRY(make_buffer(context, __func__, bytes, buffer));
    (*buffer)->owned = true;
    if (bytes == 0) return QMM_OK;
    status = qmmi_allocate_device(context, __func__, "a buffer", bytes, &(*buffer)->memory);
    if (status == QMM_OK) return QMM_OK;
    qmmi_object_free(&(*buffer)->object);
    *buffer = NULL;
    return status;
}

qmm_status qmm_buffer_wrap(qmm_context *context, void *native, size_t bytes, qmm_buffer **buffer) {
    QMMI_ENTER(context);
    QMMI_REQUIRE(context, buffer, "buffer is NULL");
    *buffer = NULL;
    QMMI_REQUIRE(context, native || bytes == 0, "native is NULL but bytes is %zu", bytes);
    QMMI_REQUIRE(context,
                 bytes <= PTRDIFF_MAX && context->backend->address(native) <= UINTPTR_MAX - bytes,
                 "bytes %zu from native %p is past the end of the address space", bytes, native);
    if (native && context->backend->check_memory)
        QMMI_TRY(context->backend->check_memory(context, __func__, native, bytes));
    QMMI_TRY(make_buffer(context, __func__, bytes, buffer));
    (*buffer)->memory = native;
    return QMM_OK;
}

void qmm_buffer_free(qmm_buffer *buffer) {
    if (buffer && buffer->object.magic == QMMI_MAGIC_BUFFER) qmmi_object_free(&buffer->object);
}

static bool is_buffer(const qmm_buffer *buffer) {
    return buffer && buffer->object.magic == QMMI_MAGIC_BUFFER;
}

size_t qmm_buffer_bytes(const qmm_buffer *buffer) {
    return is_buffer(buffer) ? buffer->bytes : 0;
}

void *qmm_buffer_native(const qmm_buffer *buffer) {
    return is_buffer(buffer) ? buffer->memory : NULL;
}

qmm_status qmmi_check_buffer(qmm_context *context, const char *function, const char *prefix, const char *owner,
                             const qmm_buffer *buffer, size_t offset, size_t bytes) {
    size_t end;
    if (!is_buffer(buffer))
        return qmmi_fail(context, QMM_INVALID_ARGUMENT, function, "%s%s is %s", prefix, owner,
                         buffer ? "not a buffer, or freed" : "NULL");
    if (!qmmi_same_device(buffer->object.context, context))
        return qmmi_fail(context, QMM_INVALID_ARGUMENT, function, "%s%s belongs to a context on another device", prefix,
                         owner);
    if (qmmi_add_size_overflows(offset, bytes, &end) || end > buffer->bytes)
        return qmmi_fail(context, QMM_INVALID_ARGUMENT, function,
                         "%zu bytes at offset %zu of %s end past its %zu bytes", bytes, offset, owner, buffer->bytes);
    return QMM_OK;
}

static qmm_status check_host(qmm_context *context, const char *function, const char *name, const void *pointer,
                             size_t bytes) {
    if (pointer || bytes == 0) return QMM_OK;
    return qmmi_fail(context, QMM_INVALID_ARGUMENT, function, "%s is NULL but bytes is %zu", name, bytes);
}

static qmm_status upload(qmm_context *context, const char *function, qmm_buffer *buffer, size_t offset,
                         const void *source, size_t bytes, bool wait) {
    QMMI_TRY(wait ? qmmi_enter_waiting(context, function) : qmmi_enter(context, function));
    QMMI_TRY(qmmi_check_buffer(context, function, "", "buffer", buffer, offset, bytes));
    QMMI_TRY(check_host(context, function, "source", source, bytes));
    return bytes ? context->backend->upload(context, buffer->memory, offset, source, bytes, wait) : QMM_OK;
}

static qmm_status download(qmm_context *context, const char *function, const qmm_buffer *buffer, size_t offset,
                           void *target, size_t bytes, bool wait) {
    QMMI_TRY(wait ? qmmi_enter_waiting(context, function) : qmmi_enter(context, function));
    QMMI_TRY(qmmi_check_buffer(context, function, "", "buffer", buffer, offset, bytes));
    QMMI_TRY(check_host(context, function, "target", target, bytes));
    return bytes ? context->backend->download(context, buffer->memory, offset, target, bytes, wait) : QMM_OK;
}

qmm_status qmm_buffer_upload(qmm_context *context, qmm_buffer *buffer, size_t offset, const void *source,
                             size_t bytes) {
    return upload(context, __func__, buffer, offset, source, bytes, true);
}

qmm_status qmm_buffer_upload_async(qmm_context *context, qmm_buffer *buffer, size_t offset, const void *source,
                                   size_t bytes) {
    return upload(context, __func__, buffer, offset, source, bytes, false);
}

qmm_status qmm_buffer_download(qmm_context *context, const qmm_buffer *buffer, size_t offset, void *target,
                               size_t bytes) {
    return download(context, __func__, buffer, offset, target, bytes, true);
}

qmm_status qmm_buffer_download_async(qmm_context *context, const qmm_buffer *buffer, size_t offset, void *target,
                                     size_t bytes) {
    return download(context, __func__, buffer, offset, target, bytes, false);
}

/* Two buffers may wrap the same memory, so addresses decide; opaque handles overlap only within one. */
static bool ranges_overlap(const qmm_context *context, const qmm_buffer *x, size_t x_offset, const qmm_buffer *y,
                           size_t y_offset, size_t bytes) {
    const uintptr_t x_begin = context->backend->address(x->memory) + x_offset;
    const uintptr_t y_begin = context->backend->address(y->memory) + y_offset;
    if (context->backend->address(x->memory) == 0 && x->memory != y->memory) return false;
    return x_begin < y_begin + bytes && y_begin < x_begin + bytes;
}

qmm_status qmm_buffer_copy(qmm_context *context, qmm_buffer *target, size_t target_offset, const qmm_buffer *source,
                           size_t source_offset, size_t bytes) {
    QMMI_ENTER(context);
    QMMI_TRY(qmmi_check_buffer(context, __func__, "", "target", target, target_offset, bytes));
    QMMI_TRY(qmmi_check_buffer(context, __func__, "", "source", source, source_offset, bytes));
    if (bytes == 0) return QMM_OK;
    QMMI_REQUIRE(context, !ranges_overlap(context, target, target_offset, source, source_offset, bytes),
                 "%zu bytes at offset %zu of target overlap those at offset %zu of source", bytes, target_offset,
                 source_offset);
    return context->backend->copy(context, target->memory, target_offset, source->memory, source_offset, bytes);
}

qmm_status qmm_buffer_fill(qmm_context *context, qmm_buffer *buffer, size_t offset, uint8_t value, size_t bytes) {
    QMMI_ENTER(context);
    QMMI_TRY(qmmi_check_buffer(context, __func__, "", "buffer", buffer, offset, bytes));
    return bytes ? context->backend->fill(context, buffer->memory, offset, value, bytes) : QMM_OK;
}
