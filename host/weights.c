/* SPDX-License-Identifier: Apache-2.0
 *
 * Packed weights: storage is [codes | code sums | scales | zero points], each part aligned. */
#include "weights.h"

#include "buffer.h"
#include "checked.h"
#include "validate.h"

/* Where the parts lie in the storage. */
typedef struct layout {
    size_t sums, scale, zero, total;
} layout;

typedef struct packing {
    qmm_weights_options options;
    qmmi_operand operand;
    qmmi_operand_shape shape;
    int64_t groups;
    layout at;
} packing;

static qmm_status lay_out(const qmmi_call *call, packing *p) {
    const int64_t matrices = p->operand.batch_stride ? p->shape.batch : 1;
    int64_t count;
    size_t part;
    if (qmmi_mul_overflows(p->shape.outer, p->groups, &count) || qmmi_mul_overflows(count, matrices, &count) ||
        qmmi_bytes_overflow(count, 32, &part) || part > PTRDIFF_MAX / 8)
        return qmmi_fail(call->context, QMM_INVALID_ARGUMENT, call->function, "the size of the packed b overflows");
    part = qmmi_round_up(part, QMMI_ALIGNMENT);
    p->at.sums = qmmi_round_up(
        call->context->backend->weights_bytes(p->shape.outer, p->shape.k, matrices, p->operand.type), QMMI_ALIGNMENT);
    p->at.scale = p->at.sums + part;
    p->at.zero = p->at.scale + (p->operand.scale.memory ? part : 0);
    p->at.total = p->at.zero + (p->operand.zero.memory ? part : 0);
    return QMM_OK;
}

static qmm_status check(const qmmi_call *call, const qmm_tensor *b, const qmm_weights_options *given, packing *p) {
    p->options = (qmm_weights_options)QMM_WEIGHTS_OPTIONS_INIT;
    QMMI_TRY(qmmi_read_struct(call->context, call->function, "options", given, &p->options, sizeof p->options,
                              sizeof p->options));
    QMMI_TRY(qmmi_check_weights(call, &p->options, b, &p->operand, &p->shape));
    p->groups = p->operand.grouped && p->shape.k > 0 ? p->shape.k / p->shape.group_size : 1;
    return lay_out(call, p);
}

/* A dense [batch][groups][n] parameter. */
static qmmi_param dense_param(const qmm_weights *w, size_t offset, qmm_type type, int64_t groups, int64_t batch_stride) {
    return (qmmi_param){ .memory = w->storage, .offset = offset, .type = type, .row_stride = 1, .col_stride = w->shape.outer,
                         .batch_stride = batch_stride ? groups * w->shape.outer : 0 };
}

static qmm_status pack(const packing *p, size_t offset, qmm_weights *w) {
    const qmmi_backend *backend = w->object.context->backend;
    const int64_t matrices = p->operand.batch_stride ? p->shape.batch : 1;
    qmmi_operand *packed = &w->operand;
    *packed = p->operand;
    packed->memory = w->storage;
    packed->offset = offset;
    packed->packed = true;
    packed->sums = dense_param(w, offset + p->at.sums, QMM_S32, p->groups, p->operand.batch_stride);
    if (p->shape.outer == 0) return QMM_OK;
    QMMI_TRY(backend->weights_pack(w->object.context, &p->operand, p->shape.outer, p->shape.k, matrices,
                                   p->operand.grouped ? p->shape.group_size : p->shape.k, packed));
    if (p->operand.scale.memory)
        packed->scale = dense_param(w, offset + p->at.scale, QMM_F32, p->groups, p->operand.batch_stride);
    if (p->operand.zero.memory)
        packed->zero = dense_param(w, offset + p->at.zero, QMM_S32, p->groups, p->operand.batch_stride);
    return backend->weights_gather(w->object.context, &p->operand, p->shape.outer, p->groups, matrices,
                                   p->operand.scale.memory ? &packed->scale : NULL,
                                   p->operand.zero.memory ? &packed->zero : NULL);
}

static void destroy_weights(qmmi_object *object) {
    qmm_weights *w = (qmm_weights *)object;
    if (w->bytes) object->context->backend->release(object->context, w->storage, w->bytes);
}

static qmm_status set_storage(const qmmi_call *call, const packing *p, qmm_weights *w, size_t *offset) {
    const qmm_weights_options *o = &p->options;
    *offset = 0;
    if (o->storage) {
        QMMI_TRY(qmmi_check_buffer(call->context, call->function, "storage", o->storage, o->storage_offset,
                                   p->at.total));
        if ((call->context->backend->address(o->storage->memory) + o->storage_offset) % QMMI_ALIGNMENT != 0)
            return qmmi_fail(call->context, QMM_INVALID_ARGUMENT, call->function,
                             "storage_offset %zu of options is not aligned to %u bytes", o->storage_offset,
                             QMMI_ALIGNMENT);
        w->storage = o->storage->memory;
        *offset = o->storage_offset;
        return QMM_OK;
    }
    if (p->at.total == 0) return QMM_OK;
    w->storage = call->context->backend->allocate(call->context, p->at.total);
    if (!w->storage)
        return qmmi_fail(call->context, QMM_OUT_OF_MEMORY, call->function, "no device memory for weights of %zu bytes",
                         p->at.total);
    w->bytes = p->at.total;
    return QMM_OK;
}

qmm_status qmm_weights_bytes(qmm_context *context, const qmm_tensor *b, const qmm_weights_options *options,
                             size_t *bytes) {
    const qmmi_call call = { context, __func__ };
    packing p;
    QMMI_ENTER(context);
    QMMI_REQUIRE(context, bytes, "bytes is NULL");
    QMMI_TRY(check(&call, b, options, &p));
    *bytes = p.at.total;
    return QMM_OK;
}

qmm_status qmm_weights_create(qmm_context *context, const qmm_tensor *b, const qmm_weights_options *options,
                              qmm_weights **weights) {
    const qmmi_call call = { context, __func__ };
    packing p;
    qmm_weights *w;
    size_t offset;
    qmm_status status;
    QMMI_ENTER(context);
    QMMI_REQUIRE(context, weights, "weights is NULL");
    *weights = NULL;
    QMMI_TRY(check(&call, b, options, &p));
    w = qmmi_object_create(context, QMMI_MAGIC_WEIGHTS, sizeof *w, destroy_weights);
    if (!w) return QMMI_FAIL(context, QMM_OUT_OF_MEMORY, "no host memory for the handle of weights");
    w->shape = p.shape;
    status = set_storage(&call, &p, w, &offset);
    if (status == QMM_OK) status = pack(&p, offset, w);
    if (status != QMM_OK) {
        qmmi_object_free(&w->object);
        return status;
    }
    *weights = w;
    return QMM_OK;
}

void qmm_weights_free(qmm_weights *weights) {
    if (weights && weights->object.magic == QMMI_MAGIC_WEIGHTS) qmmi_object_free(&weights->object);
}
