/* SPDX-License-Identifier: Apache-2.0
 *
 * Where the arguments of every operation are checked, once, and become problems. Texts name argument, value and rule. */
#include "validate.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "buffer.h"
#include "checked.h"
#include "type.h"
#include "weights.h"

#define REJECT(call, ...) qmmi_fail((call)->context, QMM_INVALID_ARGUMENT, (call)->function, __VA_ARGS__)

#define REQUIRE(call, condition, ...)                        \
    do {                                                     \
        if (!(condition)) return REJECT((call), __VA_ARGS__); \
    } while (0)

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
    REQUIRE(call, t->row_stride >= t->cols,
            "row stride %" PRId64 " of %s is less than its %" PRId64 " columns", t->row_stride, name, t->cols);
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

qmm_status qmmi_check_tensor(const qmmi_call *call, const char *name, const qmm_tensor *tensor, unsigned types,
                             bool output, qmmi_view *view) {
    const size_t element_bytes = tensor ? (size_t)qmm_type_bits(tensor->type) / 8 : 0;
    int64_t elements;
    size_t bytes;
    REQUIRE(call, tensor, "%s is NULL", name);
    if (!qmmi_type_in(tensor->type, types)) return reject_type(call, name, tensor->type, types);
    QMMI_TRY(check_strides(call, name, tensor));
    REQUIRE(call, !extent_overflows(tensor, &elements) &&
                      !qmmi_bytes_overflow(elements, qmm_type_bits(tensor->type), &bytes),
            "the size of %s, %" PRId64 " x %" PRId64 " with strides %" PRId64 " and %" PRId64
            " in a batch of %" PRId64 ", overflows",
            name, tensor->rows, tensor->cols, tensor->row_stride, tensor->batch_stride, tensor->batch);

    *view = (qmmi_view){ .type = tensor->type, .rows = tensor->rows, .cols = tensor->cols,
                         .row_stride = tensor->row_stride, .batch = tensor->batch,
                         .batch_stride = tensor->batch == 1 ? 0 : tensor->batch_stride };
    if (elements == 0) return QMM_OK;
    QMMI_TRY(qmmi_check_buffer(call->context, call->function, "buffer of ", name, tensor->buffer, tensor->offset, bytes));
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

static int64_t extent_bytes(const qmmi_view *v) {
    const int64_t elements = (v->batch - 1) * v->batch_stride + (v->rows - 1) * v->row_stride + v->cols;
    return (elements * qmm_type_bits(v->type) + 7) / 8;
}

static int64_t row_bytes(const qmmi_view *v, int64_t elements) {
    return (elements * qmm_type_bits(v->type) + 7) / 8;
}

/* Columns of one parent: with equal row strides in bytes and no batch, two views are apart if their bytes are apart
 * within the stride, although their ranges interlock. */
static bool columns_apart(const qmmi_view *x, const qmmi_view *y, int64_t distance) {
    const int64_t stride = row_bytes(x, x->row_stride);
    int64_t phase;
    if (x->batch != 1 || y->batch != 1 || stride != row_bytes(y, y->row_stride) || stride == 0) return false;
    phase = distance % stride; /* where y's columns begin, seen from x's */
    if (phase < 0) phase += stride;
    return phase >= row_bytes(x, x->cols) && phase + row_bytes(y, y->cols) <= stride;
}

static bool views_overlap(const qmm_context *context, const qmmi_view *x, const qmmi_view *y) {
    const uintptr_t x_base = context->backend->address(x->memory), y_base = context->backend->address(y->memory);
    int64_t distance;
    if (!x->memory || !y->memory || x->rows == 0 || x->cols == 0 || y->rows == 0 || y->cols == 0) return false;
    if (x_base == 0 && x->memory != y->memory) return false; /* opaque handles: other memory */
    distance = (int64_t)((y_base + y->offset) - (x_base + x->offset));
    if (distance >= extent_bytes(x) || -distance >= extent_bytes(y)) return false;
    return !columns_apart(x, y, distance);
}

qmm_status qmmi_check_disjoint(const qmmi_call *call, const char *output_name, const qmmi_view *output,
                               const char *input_name, const qmmi_view *input) {
    REQUIRE(call, !views_overlap(call->context, output, input), "%s overlaps %s, and %s is written", output_name,
            input_name, output_name);
    return QMM_OK;
}

static bool same_place(const qmmi_view *x, const qmmi_view *y) {
    return x->memory == y->memory && x->offset == y->offset && x->type == y->type && x->row_stride == y->row_stride &&
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
static qmmi_view bytes_view(void *memory, size_t offset, size_t bytes) {
    return (qmmi_view){ .memory = memory, .offset = offset, .type = QMM_U8, .rows = 1, .cols = (int64_t)bytes,
                        .row_stride = (int64_t)bytes, .batch = 1 };
}

/* ---- quantization parameters ------------------------------------------------------------------------------------- */

static const char *granularity_name(qmm_granularity granularity) {
    switch (granularity) {
    case QMM_PER_TENSOR: return "per tensor";
    case QMM_PER_ROW: return "per row";
    case QMM_PER_COLUMN: return "per column";
    case QMM_PER_ROW_GROUP: return "per row group";
    case QMM_PER_COLUMN_GROUP: return "per column group";
    }
    return NULL;
}

static bool is_group(qmm_granularity granularity) {
    return granularity == QMM_PER_ROW_GROUP || granularity == QMM_PER_COLUMN_GROUP;
}

static qmm_status check_granularity(const qmmi_call *call, const char *name, const qmm_quant *q,
                                    const char *tensor_name, const qmmi_view *tensor) {
    const bool by_row = q->granularity == QMM_PER_ROW_GROUP;
    const int64_t length = by_row ? tensor->cols : tensor->rows;
    REQUIRE(call, granularity_name(q->granularity), "granularity %d of %s is none of qmm_granularity",
            (int)q->granularity, name);
    if (!is_group(q->granularity)) {
        REQUIRE(call, q->group_size == 0, "group size %" PRId64 " of %s must be 0: it is %s", q->group_size, name,
                granularity_name(q->granularity));
        return QMM_OK;
    }
    REQUIRE(call, q->group_size >= 1, "group size %" PRId64 " of %s is less than 1", q->group_size, name);
    REQUIRE(call, length % q->group_size == 0,
            "group size %" PRId64 " of %s does not divide the %" PRId64 " %s of %s", q->group_size, name, length,
            by_row ? "columns" : "rows", tensor_name);
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
            rows, cols, granularity_name(quant->granularity));
    REQUIRE(call, view->batch == tensor->batch || (view->batch == 1 && !written),
            "batch %" PRId64 " of %s is not %s%" PRId64, view->batch, name,
            written || tensor->batch == 1 ? "" : "1 or ", tensor->batch);
    param->memory = view->memory;
    param->offset = view->offset;
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
            granularity_name(q->granularity));
    REQUIRE(call, q->zero || (q->zero_value >= quant->qmin && q->zero_value <= quant->qmax),
            "zero value %" PRId32 " of %s is outside %" PRId32 " to %" PRId32, q->zero_value, name, quant->qmin,
            quant->qmax);
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
                            const char *tensor_name, const qmmi_view *tensor, bool written, qmmi_quant *quant) {
    const char *const name = names->quant;
    qmm_quant q = QMM_QUANT_INIT;
    qmmi_view scale_view, zero_view;
    QMMI_TRY(qmmi_read_struct(call->context, call->function, name, given, &q, sizeof q, sizeof q));
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

/* rows x cols parameters per matrix, taken as one long row from the first to the last. */
static qmmi_view param_view(const qmmi_param *param, int64_t rows, int64_t cols, int64_t batch) {
    const int64_t span = (rows - 1) * param->row_stride + (cols - 1) * param->col_stride + 1;
    if (!param->memory || rows == 0 || cols == 0) return (qmmi_view){ .batch = 1 };
    return (qmmi_view){ .memory = param->memory, .offset = param->offset, .type = param->type, .rows = 1, .cols = span,
                        .row_stride = span, .batch = param->batch_stride ? batch : 1,
                        .batch_stride = param->batch_stride };
}

/* An output is apart from the parameters of a quant, or, if these are written, they from an input. */
static qmm_status check_quant_disjoint(const qmmi_call *call, const qmmi_quant_names *names, const qmmi_view *tensor,
                                       const qmmi_quant *quant, bool params_written, const char *other_name,
                                       const qmmi_view *other) {
    const qmmi_view views[] = { param_view(&quant->scale, quant->param_rows, quant->param_cols, tensor->batch),
                                param_view(&quant->zero, quant->param_rows, quant->param_cols, tensor->batch) };
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
static const qmmi_quant_names quant_a_names = QMMI_QUANT_NAMES("quant_a");
static const qmmi_quant_names quant_b_names = QMMI_QUANT_NAMES("quant_b");
static const qmmi_quant_names quant_c_names = QMMI_QUANT_NAMES("quant_c");

/* ---- conversions ------------------------------------------------------------------------------------------------- */

qmm_status qmmi_check_convert(const qmmi_call *call, qmmi_operation operation, const char *source_name,
                              const qmm_tensor *source, const qmm_quant *source_quant, const char *target_name,
                              const qmm_tensor *target, const qmm_quant *target_quant, qmmi_problem *problem) {
    qmmi_convert_problem *p = &problem->as.convert;
    const bool from_codes = operation == QMMI_DEQUANTIZE || operation == QMMI_REQUANTIZE;
    const bool to_codes = operation != QMMI_DEQUANTIZE;
    const bool writes_params = operation == QMMI_QUANTIZE_DYNAMIC;
    problem->operation = operation;
    QMMI_TRY(qmmi_check_tensor(call, source_name, source, from_codes ? QMMI_CODES | QMMI_S32 : QMMI_REALS, false,
                               &p->source));
    QMMI_TRY(qmmi_check_tensor(call, target_name, target, to_codes ? QMMI_CODES : QMMI_REALS, true, &p->target));
    QMMI_TRY(qmmi_check_same_shape(call, target_name, &p->target, source_name, &p->source));
    QMMI_TRY(qmmi_check_disjoint(call, target_name, &p->target, source_name, &p->source));
    if (from_codes) {
        const qmmi_quant_names *const names = to_codes ? &source_quant_names : &quant_names;
        QMMI_TRY(qmmi_check_quant(call, names, source_quant, source_name, &p->source, false, &p->source_quant));
        QMMI_TRY(check_quant_disjoint(call, names, &p->source, &p->source_quant, false, target_name,
                                      &p->target));
    }
    if (to_codes) {
        const qmmi_quant_names *const names = from_codes ? &target_quant_names : &quant_names;
        QMMI_TRY(qmmi_check_quant(call, names, target_quant, target_name, &p->target, writes_params, &p->target_quant));
        QMMI_TRY(check_quant_disjoint(call, names, &p->target, &p->target_quant, false, target_name,
                                      &p->target));
        if (writes_params)
            QMMI_TRY(check_quant_disjoint(call, names, &p->source, &p->target_quant, true, source_name,
                                          &p->source));
    }
    return QMM_OK;
}

/* ---- matmul ------------------------------------------------------------------------------------------------------ */

/* Largest |code - zero|. */
static int64_t largest_difference(qmm_type type, bool has_zero) {
    int32_t qmin, qmax;
    if (!qmmi_type_in(type, QMMI_CODES_8 | QMMI_CODES_4)) return 0;
    qmm_type_range(type, 0, &qmin, &qmax);
    if (has_zero) return qmax - qmin;
    return qmax > -qmin ? qmax : -qmin;
}

int64_t qmm_matmul_k_limit(qmm_type a, int a_has_zero, qmm_type b, int b_has_zero) {
    const int64_t product = largest_difference(a, a_has_zero != 0) * largest_difference(b, b_has_zero != 0);
    return product == 0 || !qmmi_type_in(a, QMMI_CODES_8) ? 0 : INT32_MAX / product;
}

/* A tensor becomes an operand. `k_is_row`: K runs along the rows of the stored tensor (A as M x K, B as N x K), so its
 * row is what the operand calls outer. */
static qmm_status make_operand(const qmmi_call *call, const char *name, const qmm_tensor *tensor, unsigned types,
                               bool k_is_row, const qmmi_quant_names *names, const qmm_quant *given, qmmi_operand *operand,
                               qmmi_operand_shape *shape) {
    const qmm_granularity along_outer = k_is_row ? QMM_PER_ROW : QMM_PER_COLUMN;
    const qmm_granularity along_k = k_is_row ? QMM_PER_ROW_GROUP : QMM_PER_COLUMN_GROUP;
    qmmi_view view;
    qmmi_quant quant;
    QMMI_TRY(qmmi_check_tensor(call, name, tensor, types, false, &view));
    QMMI_TRY(qmmi_check_quant(call, names, given, name, &view, false, &quant));
    REQUIRE(call, quant.granularity == QMM_PER_TENSOR || quant.granularity == along_outer ||
                      quant.granularity == along_k,
            "%s is %s, but the sum runs over the %s of %s: it may be per tensor, %s or %s", names->quant,
            granularity_name(quant.granularity), k_is_row ? "columns" : "rows", name, granularity_name(along_outer),
            granularity_name(along_k));
    *operand = (qmmi_operand){
        .memory = view.memory, .offset = view.offset, .type = view.type,
        .outer_stride = k_is_row ? view.row_stride : 1, .k_stride = k_is_row ? 1 : view.row_stride,
        .batch_stride = view.batch_stride, .has_zero = quant.has_zero, .grouped = quant.granularity == along_k,
        .zero_min = quant.zero_min, .zero_max = quant.zero_max, .scale = quant.scale, .zero = quant.zero,
    };
    if (!k_is_row) { /* row_stride steps along outer, col_stride along groups */
        operand->scale.row_stride = quant.scale.col_stride, operand->scale.col_stride = quant.scale.row_stride;
        operand->zero.row_stride = quant.zero.col_stride, operand->zero.col_stride = quant.zero.row_stride;
    }
    shape->outer = k_is_row ? view.rows : view.cols;
    shape->k = k_is_row ? view.cols : view.rows;
    shape->batch = view.batch;
    shape->group_size = operand->grouped ? (k_is_row ? quant.block_cols : quant.block_rows) : 0;
    return QMM_OK;
}

qmm_status qmmi_check_weights(const qmmi_call *call, const qmm_weights_options *options, const qmm_tensor *b,
                              qmmi_operand *operand, qmmi_operand_shape *shape) {
    return make_operand(call, "b", b, QMMI_CODES_8 | QMMI_CODES_4, options->transpose_b != 0, &quant_names, options->quant,
                        operand, shape);
}

static qmm_status take_weights(const qmmi_call *call, const qmm_matmul_desc *desc, const qmm_tensor *b,
                               qmmi_operand *operand, qmmi_operand_shape *shape) {
    const qmm_weights *w = desc->weights;
    REQUIRE(call, w->object.magic == QMMI_MAGIC_WEIGHTS, "weights of desc is not packed weights, or freed");
    REQUIRE(call, qmmi_same_device(w->object.context, call->context),
            "weights of desc belongs to a context on another device");
    REQUIRE(call, !b, "b is given beside the weights of desc");
    REQUIRE(call, !desc->quant_b, "quant_b of desc is given beside its weights, which hold their own");
    REQUIRE(call, !desc->transpose_b, "transpose_b of desc is set beside its weights, which are laid out already");
    *operand = w->operand;
    *shape = w->shape;
    return QMM_OK;
}

static qmm_status check_batch(const qmmi_call *call, const char *name, int64_t batch, int64_t batch_of_c) {
    REQUIRE(call, batch == 1 || batch == batch_of_c, "batch %" PRId64 " of %s is neither 1 nor the %" PRId64 " of c",
            batch, name, batch_of_c);
    return QMM_OK;
}

static qmm_status set_groups(const qmmi_call *call, int64_t group_a, int64_t group_b, qmmi_matmul_problem *p) {
    REQUIRE(call, !group_a || !group_b || group_a == group_b,
            "group size %" PRId64 " of quant_a is not the %" PRId64 " of quant_b", group_a, group_b);
    p->group_size = group_a ? group_a : group_b ? group_b : p->k;
    p->groups = p->k == 0 ? 0 : p->k / p->group_size;
    return QMM_OK;
}

static qmm_status check_bias(const qmmi_call *call, const qmm_tensor *given, qmmi_matmul_problem *p) {
    qmmi_view view;
    if (!given) return QMM_OK;
    QMMI_TRY(qmmi_check_tensor(call, "bias", given, QMMI_TYPE_BIT(QMM_F32) | QMMI_S32, false, &view));
    REQUIRE(call, (view.rows == 1 && view.cols == p->n) || (view.rows == p->n && view.cols == 1),
            "bias is %" PRId64 " x %" PRId64 ", not 1 x the %" PRId64 " columns of c", view.rows, view.cols, p->n);
    QMMI_TRY(check_batch(call, "bias", view.batch, p->batch));
    REQUIRE(call, view.type != QMM_S32 || (!p->a.grouped && !p->b.grouped),
            "bias is s32, but with groups along K there is no one accumulator to add it to");
    QMMI_TRY(qmmi_check_disjoint(call, "c", &p->c, "bias", &view));
    p->bias = (qmmi_param){ .memory = view.memory, .offset = view.offset, .type = view.type,
                            .col_stride = view.rows == 1 ? 1 : view.row_stride, .batch_stride = view.batch_stride };
    return QMM_OK;
}

static qmm_status check_residual(const qmmi_call *call, const qmm_tensor *given, qmmi_matmul_problem *p) {
    qmmi_view *view = &p->residual;
    if (!given) return QMM_OK;
    QMMI_TRY(qmmi_check_tensor(call, "residual", given, QMMI_REALS, false, view));
    REQUIRE(call, view->rows == p->m && view->cols == p->n,
            "residual is %" PRId64 " x %" PRId64 ", not the %" PRId64 " x %" PRId64 " of c", view->rows, view->cols,
            p->m, p->n);
    QMMI_TRY(check_batch(call, "residual", view->batch, p->batch));
    return same_place(view, &p->c) ? QMM_OK : qmmi_check_disjoint(call, "c", &p->c, "residual", view);
}

static qmm_status check_output(const qmmi_call *call, const qmm_matmul_desc *desc, qmmi_matmul_problem *p) {
    const qmm_type type = p->c.type;
    REQUIRE(call, desc->activation >= QMM_ACTIVATION_NONE && desc->activation <= QMM_ACTIVATION_SILU,
            "activation %d of desc is none of qmm_activation", (int)desc->activation);
    p->activation = desc->activation;
    if (qmmi_type_in(type, QMMI_CODES)) {
        QMMI_TRY(qmmi_check_quant(call, &quant_c_names, desc->quant_c, "c", &p->c, false, &p->c_quant));
        REQUIRE(call, !is_group(p->c_quant.granularity), "quant_c is %s: it may be per tensor, per row or per column",
                granularity_name(p->c_quant.granularity));
        QMMI_TRY(check_quant_disjoint(call, &quant_c_names, &p->c, &p->c_quant, false, "c", &p->c));
    } else {
        REQUIRE(call, !desc->quant_c, "quant_c of desc is given but c is %s, which is not quantized",
                qmm_type_name(type));
    }
    if (type != QMM_S32) return QMM_OK;
    REQUIRE(call, p->k <= p->k_limit,
            "K %" PRId64 " is more than %" PRId64 ", the most an s32 c of %s x %s%s can hold: choose another type for c",
            p->k, p->k_limit, qmm_type_name(p->a.type), qmm_type_name(p->b.type),
            p->a.has_zero || p->b.has_zero ? " with zero points" : "");
    REQUIRE(call, p->activation == QMM_ACTIVATION_NONE, "activation %d of desc needs a c other than s32",
            (int)p->activation);
    REQUIRE(call, !desc->residual, "residual of desc needs a c other than s32");
    REQUIRE(call, !p->bias.memory || p->bias.type == QMM_S32, "bias of desc is f32, which needs a c other than s32");
    return QMM_OK;
}

/* What is written overlaps no part of an operand: its tensor as it was given, or the weights, and its parameters. */
static qmm_status check_operand_disjoint(const qmmi_call *call, const char *output_name, const qmmi_view *output,
                                         const char *name, const qmmi_quant_names *names, const qmm_tensor *tensor,
                                         const qmmi_operand *operand, int64_t outer, const qmmi_matmul_problem *p) {
    const int64_t groups = operand->grouped ? p->groups : 1;
    const qmmi_view scale = param_view(&operand->scale, outer, groups, p->batch);
    const qmmi_view zero = param_view(&operand->zero, outer, groups, p->batch);
    qmmi_view view;
    if (tensor) {
        QMMI_TRY(qmmi_check_tensor(call, name, tensor, QMMI_ALL_TYPES, false, &view));
        QMMI_TRY(qmmi_check_disjoint(call, output_name, output, name, &view));
    }
    QMMI_TRY(qmmi_check_disjoint(call, output_name, output, names->scale, &scale));
    return qmmi_check_disjoint(call, output_name, output, names->zero, &zero);
}

static qmm_status check_operands_disjoint(const qmmi_call *call, const char *output_name, const qmmi_view *output,
                                          const qmm_matmul_desc *desc, const qmm_tensor *a, const qmm_tensor *b,
                                          const qmmi_matmul_problem *p) {
    QMMI_TRY(check_operand_disjoint(call, output_name, output, "a", &quant_a_names, a, &p->a, p->m, p));
    if (desc->weights) {
        const qmmi_view view = bytes_view(desc->weights->storage, desc->weights->offset, desc->weights->bytes);
        return qmmi_check_disjoint(call, output_name, output, "the weights", &view);
    }
    return check_operand_disjoint(call, output_name, output, "b", &quant_b_names, b, &p->b, p->n, p);
}

static qmm_status check_workspace(const qmmi_call *call, const qmm_matmul_desc *desc, const qmm_tensor *a,
                                  const qmm_tensor *b, const qmmi_matmul_problem *p) {
    const qmmi_view bias = param_view(&p->bias, 1, p->n, p->batch);
    qmmi_view view;
    if (!desc->workspace) return QMM_OK;
    QMMI_TRY(qmmi_check_region(call, "workspace", desc->workspace, desc->workspace_offset, desc->workspace_bytes));
    view = bytes_view(desc->workspace->memory, desc->workspace_offset, desc->workspace_bytes);
    QMMI_TRY(qmmi_check_disjoint(call, "workspace", &view, "c", &p->c));
    QMMI_TRY(qmmi_check_disjoint(call, "workspace", &view, "bias", &bias));
    QMMI_TRY(qmmi_check_disjoint(call, "workspace", &view, "residual", &p->residual));
    QMMI_TRY(check_quant_disjoint(call, &quant_c_names, &p->c, &p->c_quant, false, "workspace", &view));
    return check_operands_disjoint(call, "workspace", &view, desc, a, b, p);
}

qmm_status qmmi_check_storage_disjoint(const qmmi_call *call, const qmm_weights *weights, const qmm_tensor *b,
                                       const qmm_weights_options *options) {
    const qmmi_view storage = bytes_view(weights->storage, weights->offset, weights->bytes);
    const qmm_tensor *const params[] = { options->quant ? options->quant->scale : NULL,
                                         options->quant ? options->quant->zero : NULL };
    const char *const param_names[] = { quant_names.scale, quant_names.zero };
    qmmi_view view;
    QMMI_TRY(qmmi_check_tensor(call, "b", b, QMMI_ALL_TYPES, false, &view));
    QMMI_TRY(qmmi_check_disjoint(call, "storage", &storage, "b", &view));
    for (int i = 0; i < 2; i++) {
        if (!params[i]) continue;
        QMMI_TRY(qmmi_check_tensor(call, param_names[i], params[i], QMMI_ALL_TYPES, false, &view));
        QMMI_TRY(qmmi_check_disjoint(call, "storage", &storage, param_names[i], &view));
    }
    return QMM_OK;
}

qmm_status qmmi_check_matmul(const qmmi_call *call, const qmm_matmul_desc *given, const qmm_tensor *a,
                             const qmm_tensor *b, const qmm_tensor *c, qmm_matmul_desc *desc, qmmi_problem *problem) {
    qmmi_matmul_problem *p = &problem->as.matmul;
    qmmi_operand_shape of_a = { 0 }, of_b = { 0 };
    *desc = (qmm_matmul_desc)QMM_MATMUL_DESC_INIT;
    QMMI_TRY(qmmi_read_struct(call->context, call->function, "desc", given, desc, sizeof *desc, sizeof *desc));
    problem->operation = QMMI_MATMUL;
    *p = (qmmi_matmul_problem){ 0 };
    QMMI_TRY(make_operand(call, "a", a, QMMI_CODES_8, !desc->transpose_a, &quant_a_names, desc->quant_a, &p->a,
                          &of_a));
    if (desc->weights)
        QMMI_TRY(take_weights(call, desc, b, &p->b, &of_b));
    else
        QMMI_TRY(make_operand(call, "b", b, QMMI_CODES_8 | QMMI_CODES_4, desc->transpose_b != 0, &quant_b_names,
                              desc->quant_b, &p->b, &of_b));
    REQUIRE(call, of_a.k == of_b.k, "K is %" PRId64 " in a but %" PRId64 " in b", of_a.k, of_b.k);
    p->m = of_a.outer;
    p->n = of_b.outer;
    p->k = of_a.k;
    QMMI_TRY(qmmi_check_tensor(call, "c", c, QMMI_CODES_8 | QMMI_CODES_16 | QMMI_S32 | QMMI_REALS, true, &p->c));
    REQUIRE(call, p->c.rows == p->m && p->c.cols == p->n,
            "c is %" PRId64 " x %" PRId64 ", not the %" PRId64 " x %" PRId64 " of a times b", p->c.rows, p->c.cols,
            p->m, p->n);
    p->batch = p->c.batch;
    QMMI_TRY(check_batch(call, "a", of_a.batch, p->batch));
    QMMI_TRY(check_batch(call, "b", of_b.batch, p->batch));
    QMMI_TRY(set_groups(call, of_a.group_size, of_b.group_size, p));
    p->k_limit = qmm_matmul_k_limit(p->a.type, p->a.has_zero, p->b.type, p->b.has_zero);
    QMMI_TRY(check_operands_disjoint(call, "c", &p->c, desc, a, b, p));
    QMMI_TRY(check_bias(call, desc->bias, p));
    QMMI_TRY(check_output(call, desc, p));
    QMMI_TRY(check_residual(call, desc->residual, p));
    return check_workspace(call, desc, a, b, p);
}
