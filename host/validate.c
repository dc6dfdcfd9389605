/* SPDX-License-Identifier: Apache-2.0
 *
 * Checks of tensors and quantization parameters, and of the four conversions. Texts name argument, value and rule. */
#include "validate_parts.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "buffer.h"
#include "checked.h"
#include "type.h"

/* ---- tensors ----------------------------------------------------------------------------------------------------- */

static qmm_status reject_type(const qmmi_call *call, const char *name, qmm_type type, unsigned types) {
    char list[80] = "";
    size_t used = 0;
    for (int i = QMM_S4; i <= QMM_BF16; i++) {
        if (types & QMMI_TYPE_BIT(i))
            used += (size_t)snprintf(list + used, sizeof list - used, " %s", qmm_type_name((qmm_type)i));
    }
    return REJECT(call, "type %s (%d) of %s is not one of%s", qmm_type_name(type), (int)type, name, list);
}

static qmm_status check_strides(const qmmi_call *call, const char *name, const qmm_tensor *t) {
    REQUIRE(call, t->rows >= 0, "rows %" PRId64 " of %s is negative", t->rows, name);
    REQUIRE(call, t->cols >= 0, "cols %" PRId64 " of %s is negative", t->cols, name);
    REQUIRE(call, t->batch >= 1, "batch %" PRId64 " of %s is less than 1", t->batch, name);
    REQUIRE(call, t->batch_stride >= 0, "batch stride %" PRId64 " of %s is negative", t->batch_stride, name);
    REQUIRE(call, t->row_stride >= t->cols, "row stride %" PRId64 " of %s is less than its %" PRId64 " columns",
            t->row_stride, name, t->cols);
    if (qmm_type_bits(t->type) == 4) {
        REQUIRE(call, t->row_stride % 2 == 0, "row stride %" PRId64 " of %s is odd: rows of %s begin on a byte",
                t->row_stride, name, qmm_type_name(t->type));
        REQUIRE(call, t->batch_stride % 2 == 0, "batch stride %" PRId64 " of %s is odd: matrices of %s begin on a byte",
                t->batch_stride, name, qmm_type_name(t->type));
    }
    return QMM_OK;
}

/* Elements from the first to the last, plus one. 0 if there is none. */
static bool extent_overflows(const qmm_tensor *t, int64_t *elements) {
    int64_t rows, matrices, sum;
    *elements = 0;
    if (t->rows == 0 || t->cols == 0) return false;
    if (qmmi_mul_overflows(t->rows - 1, t->row_stride, &rows)) return true;
    if (qmmi_mul_overflows(t->batch - 1, t->batch_stride, &matrices)) return true;
    if (qmmi_add_overflows(rows, matrices, &sum)) return true;
    return qmmi_add_overflows(sum, t->cols, elements);
}

/* An output's matrices follow one another, or lie side by side in each row; nothing is written twice. */
static bool matrices_apart(const qmmi_view *v) {
    if (v->batch == 1 || v->rows == 0 || v->cols == 0) return true;
    if (v->batch_stride >= (v->rows - 1) * v->row_stride + v->cols) return true;
    return v->batch_stride >= v->cols && (v->batch - 1) * v->batch_stride + v->cols <= v->row_stride;
}

/* What a tensor without a buffer is given while sizes are asked for; never read. Aligned, as memory mostly is. */
static const _Alignas(QMMI_ALIGNMENT) char no_memory_yet;

qmm_status qmmi_check_tensor(const qmmi_call *call, const char *name, const qmm_tensor *tensor, unsigned types,
                             bool output, qmmi_view *view) {
    const size_t element_bytes = tensor ? (size_t)qmm_type_bits(tensor->type) / 8 : 0;
    int64_t elements;
    size_t bytes;
    REQUIRE(call, tensor, "%s is NULL", name);
    if (!qmmi_type_in(tensor->type, types)) return reject_type(call, name, tensor->type, types);
    QMMI_TRY(check_strides(call, name, tensor));
    REQUIRE(call,
            !extent_overflows(tensor, &elements) && !qmmi_bytes_overflow(elements, qmm_type_bits(tensor->type), &bytes),
            "the size of %s, %" PRId64 " x %" PRId64 " with strides %" PRId64 " and %" PRId64 " in a batch of %" PRId64
            ", overflows",
            name, tensor->rows, tensor->cols, tensor->row_stride, tensor->batch_stride, tensor->batch);

    *view = (qmmi_view){ .type = tensor->type,
                         .rows = tensor->rows,
                         .cols = tensor->cols,
                         .row_stride = tensor->row_stride,
                         .batch = tensor->batch,
                         .batch_stride = tensor->batch == 1 ? 0 : tensor->batch_stride };
    if (elements == 0) return QMM_OK;
    view->bytes = bytes;
    if (call->sizing && !tensor->buffer) {
        view->memory = (void *)(uintptr_t)&no_memory_yet;
        return QMM_OK;
    }
    QMMI_TRY(
        qmmi_check_buffer(call->context, call->function, "buffer of ", name, tensor->buffer, tensor->offset, bytes));
    view->memory = tensor->buffer->memory;
    view->offset = tensor->offset;
    if (element_bytes > 1)
        REQUIRE(call, (call->context->backend->address(view->memory) + view->offset) % element_bytes == 0,
                "offset %zu of %s is not aligned to the %zu bytes of its %s elements", tensor->offset, name,
                element_bytes, qmm_type_name(tensor->type));
    if (output)
        REQUIRE(call, matrices_apart(view),
                "batch stride %" PRId64 " of %s makes its matrices overlap, and it is written", tensor->batch_stride,
                name);
    return QMM_OK;
}

qmm_status qmmi_check_same_shape(const qmmi_call *call, const char *name, const qmmi_view *view, const char *other_name,
                                 const qmmi_view *other) {
    REQUIRE(call, view->rows == other->rows && view->cols == other->cols,
            "%s is %" PRId64 " x %" PRId64 " but %s is %" PRId64 " x %" PRId64, name, view->rows, view->cols,
            other_name, other->rows, other->cols);
    REQUIRE(call, view->batch == other->batch, "batch %" PRId64 " of %s is not the %" PRId64 " of %s", view->batch,
            name, other->batch, other_name);
    return QMM_OK;
}

/* ---- overlap ----------------------------------------------------------------------------------------------------- */

static int64_t row_bytes(const qmmi_view *v, int64_t elements) {
    size_t bytes;
    return qmmi_bytes_overflow(elements, qmm_type_bits(v->type), &bytes) ? INT64_MAX : (int64_t)bytes;
}

/* Columns of one parent: with equal row strides in bytes and no batch, two views are apart if their bytes are apart
 * within the stride, although their ranges interlock. */
static bool columns_apart(const qmmi_view *x, const qmmi_view *y, int64_t distance) {
    const int64_t stride = row_bytes(x, x->row_stride);
    int64_t phase;
    if (x->batch != 1 || y->batch != 1 || stride != row_bytes(y, y->row_stride) || stride == 0) return false;
    phase = distance % stride; /* where y's columns begin, seen from x's */
    if (phase < 0) phase += stride;
    return phase >= row_bytes(x, x->cols) && row_bytes(y, y->cols) <= stride - phase;
}

static bool views_overlap(const qmm_context *context, const qmmi_view *x, const qmmi_view *y) {
    const uintptr_t x_base = context->backend->address(x->memory), y_base = context->backend->address(y->memory);
    int64_t distance;
    if (!x->memory || !y->memory || x->rows == 0 || x->cols == 0 || y->rows == 0 || y->cols == 0) return false;
    if (x_base == 0 && x->memory != y->memory) return false; /* opaque handles: other memory */
    distance = (int64_t)((y_base + y->offset) - (x_base + x->offset));
    if (distance >= (int64_t)x->bytes || -distance >= (int64_t)y->bytes) return false;
    return !columns_apart(x, y, distance);
}

qmm_status qmmi_check_disjoint(const qmmi_call *call, const char *output_name, const qmmi_view *output,
                               const char *input_name, const qmmi_view *input) {
    REQUIRE(call, call->sizing || !views_overlap(call->context, output, input), "%s overlaps %s, and %s is written",
            output_name, input_name, output_name);
    return QMM_OK;
}

/* Two views of the same shape that are the same elements, whichever handles they came by. */
bool qmmi_same_place(const qmm_context *context, const qmmi_view *x, const qmmi_view *y) {
    const uintptr_t x_base = context->backend->address(x->memory), y_base = context->backend->address(y->memory);
    const bool same_start =
        x_base != 0 ? x_base + x->offset == y_base + y->offset : x->memory == y->memory && x->offset == y->offset;
    return same_start && x->type == y->type && (x->row_stride == y->row_stride || x->rows == 1) &&
           x->batch == y->batch && x->batch_stride == y->batch_stride;
}

qmm_status qmmi_check_region(const qmmi_call *call, const char *name, const qmm_buffer *buffer, size_t offset,
                             size_t bytes) {
    QMMI_TRY(qmmi_check_buffer(call->context, call->function, "", name, buffer, offset, bytes));
    REQUIRE(call, (call->context->backend->address(buffer->memory) + offset) % QMMI_ALIGNMENT == 0,
            "offset %zu of %s is not aligned to %u bytes", offset, name, QMMI_ALIGNMENT);
    return QMM_OK;
}

/* A stretch of bytes as a view, to compare places with. */
qmmi_view qmmi_bytes_view(void *memory, size_t offset, size_t bytes) {
    return (qmmi_view){ .memory = memory,
                        .offset = offset,
                        .bytes = bytes,
                        .type = QMM_U8,
                        .rows = 1,
                        .cols = (int64_t)bytes,
                        .row_stride = (int64_t)bytes,
                        .batch = 1 };
}

/* ---- quantization parameters ------------------------------------------------------------------------------------- */

const char *qmmi_granularity_name(qmm_granularity granularity) {
    switch (granularity) {
    case QMM_PER_TENSOR: return "per tensor";
    case QMM_PER_ROW: return "per row";
    case QMM_PER_COLUMN: return "per column";
    case QMM_PER_ROW_GROUP: return "per row group";
    case QMM_PER_COLUMN_GROUP: return "per column group";
    }
    return NULL;
}

bool qmmi_is_group(qmm_granularity granularity) {
    return granularity == QMM_PER_ROW_GROUP || granularity == QMM_PER_COLUMN_GROUP;
}

static qmm_status check_granularity(const qmmi_call *call, const char *name, const qmm_quant *q,
                                    const char *tensor_name, const qmmi_view *tensor) {
    const bool by_row = q->granularity == QMM_PER_ROW_GROUP;
    const int64_t length = by_row ? tensor->cols : tensor->rows;
    REQUIRE(call, qmmi_granularity_name(q->granularity), "granularity %d of %s is none of qmm_granularity",
            (int)q->granularity, name);
    if (!qmmi_is_group(q->granularity)) {
        REQUIRE(call, q->group_size == 0, "group size %" PRId64 " of %s must be 0: it is %s", q->group_size, name,
                qmmi_granularity_name(q->granularity));
        return QMM_OK;
    }
    REQUIRE(call, q->group_size >= 1, "group size %" PRId64 " of %s is less than 1", q->group_size, name);
    REQUIRE(call, length % q->group_size == 0, "group size %" PRId64 " of %s does not divide the %" PRId64 " %s of %s",
            q->group_size, name, length, by_row ? "columns" : "rows", tensor_name);
    return QMM_OK;
}

static int64_t at_least_1(int64_t value) {
    return value > 0 ? value : 1;
}

static void set_blocks(const qmm_quant *q, const qmmi_view *tensor, qmmi_quant *quant) {
    const bool by_row = q->granularity == QMM_PER_ROW || q->granularity == QMM_PER_ROW_GROUP;
    const bool by_col = q->granularity == QMM_PER_COLUMN || q->granularity == QMM_PER_COLUMN_GROUP;
    quant->granularity = q->granularity;
    quant->block_rows = by_row ? 1 : by_col && q->group_size ? q->group_size : at_least_1(tensor->rows);
    quant->block_cols = by_col ? 1 : by_row && q->group_size ? q->group_size : at_least_1(tensor->cols);
    quant->param_rows = by_row || q->group_size ? tensor->rows / quant->block_rows : 1;
    quant->param_cols = by_col || q->group_size ? tensor->cols / quant->block_cols : 1;
}

/* A device tensor of parameters: rows x cols blocks, or the same as a vector the other way round. */
static qmm_status check_param(const qmmi_call *call, const char *name, const qmm_tensor *given, unsigned types,
                              bool written, const qmmi_view *tensor, const qmmi_quant *quant, qmmi_param *param,
                              qmmi_view *view) {
    const int64_t rows = quant->param_rows, cols = quant->param_cols;
    bool turned;
    QMMI_TRY(qmmi_check_tensor(call, name, given, types, written, view));
    turned = (rows == 1 || cols == 1) && view->rows == cols && view->cols == rows;
    REQUIRE(call, turned || (view->rows == rows && view->cols == cols),
            "%s is %" PRId64 " x %" PRId64 ", not the %" PRId64 " x %" PRId64 " of %s", name, view->rows, view->cols,
            rows, cols, qmmi_granularity_name(quant->granularity));
    REQUIRE(call, view->batch == tensor->batch || (view->batch == 1 && !written),
            "batch %" PRId64 " of %s is not %s%" PRId64, view->batch, name,
            written || tensor->batch == 1 ? "" : "1 or ", tensor->batch);
    param->memory = view->memory;
    param->offset = view->offset;
    param->bytes = view->bytes;
    param->type = view->type;
    param->batch_stride = view->batch_stride;
    /* Along what does not vary, the stride is 0. A vector turned round steps by the other stride. */
    param->row_stride = rows == 1 ? 0 : turned ? 1 : view->row_stride;
    param->col_stride = cols == 1 ? 0 : turned ? view->row_stride : 1;
    return QMM_OK;
}

static qmm_status check_host_values(const qmmi_call *call, const char *name, const qmm_quant *q,
                                    const qmmi_quant *quant) {
    if (!q->scale)
        REQUIRE(call, isfinite(q->scale_value) && q->scale_value > 0.0f,
                "scale value %g of %s is not finite and above 0", (double)q->scale_value, name);
    REQUIRE(call, q->scale || q->granularity == QMM_PER_TENSOR,
            "scale of %s is NULL but it is %s: a host value serves per tensor only", name,
            qmmi_granularity_name(q->granularity));
    REQUIRE(call, q->zero || (q->zero_value >= quant->zero_min && q->zero_value <= quant->zero_max),
            "zero value %" PRId32 " of %s is outside %" PRId32 " to %" PRId32, q->zero_value, name, quant->zero_min,
            quant->zero_max);
    REQUIRE(call, !q->zero || q->zero_value == 0, "zero value %" PRId32 " of %s is given beside its zero tensor",
            q->zero_value, name);
    return QMM_OK;
}

static qmm_status set_code_range(const qmmi_call *call, const char *name, const qmm_quant *q, const char *tensor_name,
                                 qmm_type type, qmmi_quant *quant) {
    if (type == QMM_S32) { /* accumulators: no zero point, no narrowing */
        REQUIRE(call, q->zero_value == 0, "zero value %" PRId32 " of %s must be 0: %s is s32", q->zero_value, name,
                tensor_name);
        REQUIRE(call, q->bits == 0, "bits %" PRId32 " of %s must be 0: %s is s32", q->bits, name, tensor_name);
        REQUIRE(call, !q->zero, "zero of %s is given but %s is s32: its zero point is 0", name, tensor_name);
        return QMM_OK;
    }
    REQUIRE(call, qmm_type_range(type, q->bits, &quant->qmin, &quant->qmax) == QMM_OK,
            "bits %" PRId32 " of %s cannot be had in %s, the type of %s", q->bits, name, qmm_type_name(type),
            tensor_name);
    qmm_type_range(type, 0, &quant->zero_min, &quant->zero_max);
    return QMM_OK;
}

qmm_status qmmi_check_quant(const qmmi_call *call, const qmmi_quant_names *names, const qmm_quant *given,
                            const char *tensor_name, const qmmi_view *tensor, qmmi_quant_use use, qmmi_quant *quant) {
    const char *const name = names->quant;
    const bool written = use == QMMI_QUANT_WRITE;
    qmm_quant q = QMM_QUANT_INIT;
    qmmi_view scale_view, zero_view;
    QMMI_TRY(qmmi_read_struct(call->context, call->function, name, given, &q, sizeof q, QMMI_OLDEST_QUANT));
    REQUIRE(call, !q.sums || use != QMMI_QUANT_READ,
            "%s is given: only quantize writes sums, and only a matmul's quant_a brings them", names->sums);
    *quant = (qmmi_quant){ 0 };
    QMMI_TRY(check_granularity(call, name, &q, tensor_name, tensor));
    QMMI_TRY(set_code_range(call, name, &q, tensor_name, tensor->type, quant));
    set_blocks(&q, tensor, quant);
    if (written) {
        REQUIRE(call, q.scale, "scale of %s is NULL: it is where the scales go", name);
        REQUIRE(call, q.zero_value == 0, "zero value %" PRId32 " of %s must be 0: the zero points are found, not given",
                q.zero_value, name);
    }
    QMMI_TRY(check_host_values(call, name, &q, quant));

    quant->scale.real_value = q.scale_value;
    quant->zero.integer_value = q.zero_value;
    quant->has_zero = q.zero || q.zero_value != 0;
    if (q.scale)
        QMMI_TRY(check_param(call, names->scale, q.scale, written ? QMMI_TYPE_BIT(QMM_F32) : QMMI_REALS, written,
                             tensor, quant, &quant->scale, &scale_view));
    if (q.zero)
        QMMI_TRY(check_param(call, names->zero, q.zero, written ? QMMI_S32 : QMMI_S32 | QMMI_CODES_8, written, tensor,
                             quant, &quant->zero, &zero_view));
    if (written && q.zero) QMMI_TRY(qmmi_check_disjoint(call, names->scale, &scale_view, names->zero, &zero_view));
    return QMM_OK;
}

qmm_status qmmi_check_sums(const qmmi_call *call, const qmmi_quant_names *names, const qmm_quant *given, int64_t rows,
                           int64_t groups, int64_t batch, bool written, qmmi_param *sums) {
    qmmi_view view;
    *sums = (qmmi_param){ 0 };
    if (!given || !given->sums) return QMM_OK;
    QMMI_TRY(qmmi_check_tensor(call, names->sums, given->sums, QMMI_S32, written, &view));
    REQUIRE(call, view.rows == rows && view.cols == groups,
            "%s is %" PRId64 " x %" PRId64 ", not %" PRId64 " x %" PRId64 ": one for each row and group", names->sums,
            view.rows, view.cols, rows, groups);
    REQUIRE(call, view.batch == batch, "batch %" PRId64 " of %s is not %" PRId64, view.batch, names->sums, batch);
    *sums = (qmmi_param){ .memory = view.memory,
                          .offset = view.offset,
                          .bytes = view.bytes,
                          .type = QMM_S32,
                          .row_stride = view.row_stride,
                          .col_stride = 1,
                          .batch_stride = view.batch_stride };
    return QMM_OK;
}

/* Parameters as a stretch of bytes; none if they are values. */
qmmi_view qmmi_param_view(const qmmi_param *param) {
    return qmmi_bytes_view(param->memory, param->offset, param->memory ? param->bytes : 0);
}

/* An output is apart from the parameters of a quant, or, if these are written, they from an input. */
qmm_status qmmi_check_quant_disjoint(const qmmi_call *call, const qmmi_quant_names *names, const qmmi_quant *quant,
                                     bool params_written, const char *other_name, const qmmi_view *other) {
    const qmmi_view views[] = { qmmi_param_view(&quant->scale), qmmi_param_view(&quant->zero) };
    const char *const part_names[] = { names->scale, names->zero };
    for (int i = 0; i < 2; i++) {
        if (params_written)
            QMMI_TRY(qmmi_check_disjoint(call, part_names[i], &views[i], other_name, other));
        else
            QMMI_TRY(qmmi_check_disjoint(call, other_name, other, part_names[i], &views[i]));
    }
    return QMM_OK;
}

static const qmmi_quant_names quant_names = QMMI_QUANT_NAMES("quant");
static const qmmi_quant_names source_quant_names = QMMI_QUANT_NAMES("source_quant");
static const qmmi_quant_names target_quant_names = QMMI_QUANT_NAMES("target_quant");

/* ---- conversions ------------------------------------------------------------------------------------------------- */

/* The sums that go with the codes: apart from all else, whoever writes that. */
static qmm_status check_target_sums(const qmmi_call *call, const char *source_name, const char *target_name,
                                    const qmm_quant *given, qmmi_convert_problem *p) {
    const qmmi_quant *const q = &p->target_quant;
    qmmi_view sums;
    p->sum_cols = q->granularity == QMM_PER_ROW_GROUP ? q->block_cols : at_least_1(p->target.cols);
    QMMI_TRY(qmmi_check_sums(call, &quant_names, given, p->target.rows,
                             q->granularity == QMM_PER_ROW_GROUP ? q->param_cols : 1, p->target.batch, true,
                             &p->sums));
    sums = qmmi_param_view(&p->sums);
    QMMI_TRY(qmmi_check_disjoint(call, quant_names.sums, &sums, source_name, &p->source));
    QMMI_TRY(qmmi_check_disjoint(call, quant_names.sums, &sums, target_name, &p->target));
    return qmmi_check_quant_disjoint(call, &quant_names, q, false, quant_names.sums, &sums);
}

qmm_status qmmi_check_convert(const qmmi_call *call, qmmi_operation operation, const char *source_name,
                              const qmm_tensor *source, const qmm_quant *source_quant, const char *target_name,
                              const qmm_tensor *target, const qmm_quant *target_quant, qmmi_problem *problem) {
    qmmi_convert_problem *p = &problem->as.convert;
    const bool from_codes = operation == QMMI_DEQUANTIZE || operation == QMMI_REQUANTIZE;
    const bool to_codes = operation != QMMI_DEQUANTIZE;
    const bool writes_params = operation == QMMI_QUANTIZE_DYNAMIC;
    problem->operation = operation;
    *p = (qmmi_convert_problem){ .sum_cols = 1 }; /* a kernel is given all of it, unused sides too */
    QMMI_TRY(qmmi_check_tensor(call, source_name, source, from_codes ? QMMI_CODES | QMMI_S32 : QMMI_REALS, false,
                               &p->source));
    QMMI_TRY(qmmi_check_tensor(call, target_name, target, to_codes ? QMMI_CODES : QMMI_REALS, true, &p->target));
    QMMI_TRY(qmmi_check_same_shape(call, target_name, &p->target, source_name, &p->source));
    QMMI_TRY(qmmi_check_disjoint(call, target_name, &p->target, source_name, &p->source));
    if (from_codes) {
        const qmmi_quant_names *const names = to_codes ? &source_quant_names : &quant_names;
        QMMI_TRY(qmmi_check_quant(call, names, source_quant, source_name, &p->source, QMMI_QUANT_READ,
                                  &p->source_quant));
        QMMI_TRY(qmmi_check_quant_disjoint(call, names, &p->source_quant, false, target_name, &p->target));
    }
    if (to_codes) {
        const qmmi_quant_names *const names = from_codes ? &target_quant_names : &quant_names;
        QMMI_TRY(qmmi_check_quant(call, names, target_quant, target_name, &p->target,
                                  from_codes      ? QMMI_QUANT_READ
                                  : writes_params ? QMMI_QUANT_WRITE
                                                  : QMMI_QUANT_WRITE_SUMS,
                                  &p->target_quant));
        QMMI_TRY(qmmi_check_quant_disjoint(call, names, &p->target_quant, false, target_name, &p->target));
        if (writes_params)
            QMMI_TRY(qmmi_check_quant_disjoint(call, names, &p->target_quant, true, source_name, &p->source));
        if (!from_codes) QMMI_TRY(check_target_sums(call, source_name, target_name, target_quant, p));
    }
    return QMM_OK;
}
