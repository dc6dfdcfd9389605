/* SPDX-License-Identifier: Apache-2.0
 *
 * Packed weights: storage is [codes | code sums | scales | zero points], each part aligned. */
#include "weights.h"

#include "buffer.h"
#include "checked.h"
#include "validate.h"

/* Where the parts lie in the storage, and how many matrices each has: a B that serves a whole batch may have parameters
 * for each matrix of it. */
typedef struct layout {
    size_t sums, scale, zero, total;
    int64_t code_matrices, param_matrices;
} layout;

typedef struct packing {
    qmm_weights_options options;
    qmmi_view b;
    qmmi_operand operand;
    qmmi_operand_shape shape;
    int64_t groups;
    layout at;
} packing;

/* Bytes of a dense [matrices][groups][n] array of 32-bit elements, aligned. */
static bool part_overflows(const packing *p, int64_t matrices, size_t *bytes) {
    int64_t count;
    if (qmmi_mul_overflows(p->shape.outer, p->groups, &count) || qmmi_mul_overflows(count, matrices, &count) ||
        qmmi_bytes_overflow(count, 32, bytes) || *bytes > PTRDIFF_MAX / 8)
        return true;
    *bytes = qmmi_round_up(*bytes, QMMI_ALIGNMENT);
    return false;
}

/* k where there are no groups. */
static int64_t group_size(const packing *p) {
    return p->operand.grouped ? p->shape.group_size : p->shape.k;
}

static qmm_status lay_out(const qmmi_call *call, packing *p) {
    const qmmi_operand *b = &p->operand;
    layout *at = &p->at;
    size_t sums, params;
    at->code_matrices = b->batch_stride ? p->shape.batch : 1;
    at->param_matrices = b->batch_stride || b->scale.batch_stride || b->zero.batch_stride ? p->shape.batch : 1;
    at->sums = call->context->backend->weights_bytes(p->shape.outer, p->shape.k, at->code_matrices, group_size(p),
                                                     b->type);
    if (at->sums > PTRDIFF_MAX / 8 || part_overflows(p, at->code_matrices, &sums) ||
        part_overflows(p, at->param_matrices, &params))
        return qmmi_fail(call->context, QMM_INVALID_ARGUMENT, call->function, "the size of the packed b overflows");
    at->sums = qmmi_round_up(at->sums, QMMI_ALIGNMENT);
    at->scale = at->sums + sums;
    at->zero = at->scale + (b->scale.memory ? params : 0);
    at->total = at->zero + (b->zero.memory ? params : 0);
    return QMM_OK;
}

static qmm_status check(const qmmi_call *call, const qmm_tensor *b, const qmm_weights_options *given, packing *p) {
    p->options = (qmm_weights_options)QMM_WEIGHTS_OPTIONS_INIT;
    QMMI_TRY(qmmi_read_struct(call->context, call->function, "options", given, &p->options, sizeof p->options,
                              QMMI_OLDEST_WEIGHTS_OPTIONS));
    QMMI_TRY(qmmi_check_weights(call, &p->options, b, &p->b, &p->operand, &p->shape));
    p->groups = p->operand.grouped && p->shape.k > 0 ? p->shape.k / p->shape.group_size : 1;
    return lay_out(call, p);
}

/* A dense [matrices][groups][n] parameter; a stride along what it does not vary with is 0. */
static qmmi_param dense_param(const qmm_weights *w, size_t offset, qmm_type type, int64_t groups, int64_t matrices) {
    const int64_t n = w->shape.outer;
    return (qmmi_param){ .memory = w->storage,
                         .offset = offset,
                         .bytes = (size_t)(matrices * groups * n) * sizeof(int32_t),
                         .type = type,
                         .row_stride = 1,
                         .col_stride = groups > 1 ? n : 0,
                         .batch_stride = matrices > 1 ? groups * n : 0 };
}

static qmm_status pack(const packing *p, qmm_weights *w) {
    const qmmi_backend *backend = w->object.context->backend;
    qmmi_operand *packed = &w->operand;
    *packed = p->operand;
    packed->memory = w->storage;
    packed->offset = w->offset;
    packed->bytes = p->at.sums;
    packed->packed = true;
    packed->sums = dense_param(w, w->offset + p->at.sums, QMM_S32, p->groups, p->at.code_matrices);
    if (p->shape.outer == 0) return QMM_OK;
    QMMI_TRY(backend->weights_pack(w->object.context, &p->operand, p->shape.outer, p->shape.k, p->at.code_matrices,
                                   group_size(p), packed));
    if (p->operand.scale.memory)
        packed->scale = dense_param(w, w->offset + p->at.scale, QMM_F32, p->groups, p->at.param_matrices);
    if (p->operand.zero.memory)
        packed->zero = dense_param(w, w->offset + p->at.zero, QMM_S32, p->groups, p->at.param_matrices);
    return backend->weights_gather(w->object.context, &p->operand, p->shape.outer, p->groups, p->at.param_matrices,
                                   p->operand.scale.memory ? &packed->scale : NULL,
                                   p->operand.zero.memory ? &packed->zero : NULL);
}

static void destroy_weights(qmmi_object *object) {
    qmm_weights *w = (qmm_weights *)object;
    if (w->owned) object->context->backend->release(object->context, w->storage, w->bytes);
}

static qmm_status set_storage(const qmmi_call *call, const packing *p, qmm_weights *w) {
    const qmm_weights_options *o = &p->options;
    w->bytes = p->at.total;
    if (o->storage) {
        w->offset = o->storage_offset;
        QMMI_TRY(qmmi_check_region(call, "storage", o->storage, o->storage_offset, p->at.total));
        w->storage = o->storage->memory;
        return qmmi_check_storage_disjoint(call, w, &p->b, &p->operand);
    }
    if (p->at.total == 0) return QMM_OK;
    QMMI_TRY(qmmi_enter_waiting(call->context, call->function));
    QMMI_TRY(qmmi_allocate_device(call->context, call->function, "weights", p->at.total, &w->storage));
    w->owned = true;
    return QMM_OK;
}

qmm_status qmm_weights_bytes(qmm_context *context, const qmm_tensor *b, const qmm_weights_options *options,
                             size_t *bytes) {
    const qmmi_call call = { context, __func__, true };
    packing p;
    QMMI_ENTER(context);
    QMMI_REQUIRE(context, bytes, "bytes is NULL");
    QMMI_TRY(check(&call, b, options, &p));
    *bytes = p.at.total;
    return QMM_OK;
}

qmm_status qmm_weights_create(qmm_context *context, const qmm_tensor *b, const qmm_weights_options *options,
                              qmm_weights **weights) {
    const qmmi_call call = { context, __func__, false };
    packing p;
    qmm_weights *w;
    qmm_status status;
    QMMI_ENTER(context);
    QMMI_REQUIRE(context, weights, "weights is NULL");
    *weights = NULL;
    QMMI_TRY(check(&call, b, options, &p));
    w = qmmi_object_create(context, QMMI_MAGIC_WEIGHTS, sizeof *w, destroy_weights);
    if (!w) return QMMI_FAIL(context, QMM_OUT_OF_MEMORY, "no host memory for the handle of weights");
    w->shape = p.shape;
    status = set_storage(&call, &p, w);
    if (status == QMM_OK) status = pack(&p, w);
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
