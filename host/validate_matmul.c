/* SPDX-License-Identifier: Apache-2.0
 *
 * Checks of a matmul and of packed weights: operands, batches, groups, bias, residual, output, workspace. */
#include "validate_parts.h"

#include <inttypes.h>

#include "type.h"
#include "weights.h"

static const qmmi_quant_names weights_quant_names = QMMI_QUANT_NAMES("quant");
static const qmmi_quant_names quant_a_names = QMMI_QUANT_NAMES("quant_a");
static const qmmi_quant_names quant_b_names = QMMI_QUANT_NAMES("quant_b");
static const qmmi_quant_names quant_c_names = QMMI_QUANT_NAMES("quant_c");

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
                               bool k_is_row, const qmmi_quant_names *names, const qmm_quant *given,
                               qmmi_quant_use use, qmmi_view *view, qmmi_operand *operand, qmmi_operand_shape *shape) {
    const qmm_granularity along_outer = k_is_row ? QMM_PER_ROW : QMM_PER_COLUMN;
    const qmm_granularity along_k = k_is_row ? QMM_PER_ROW_GROUP : QMM_PER_COLUMN_GROUP;
    qmmi_quant quant;
    QMMI_TRY(qmmi_check_tensor(call, name, tensor, types, false, view));
    QMMI_TRY(qmmi_check_quant(call, names, given, name, view, use, &quant));
    REQUIRE(call,
            quant.granularity == QMM_PER_TENSOR || quant.granularity == along_outer || quant.granularity == along_k,
            "%s is %s, but the sum runs over the %s of %s: it may be per tensor, %s or %s", names->quant,
            qmmi_granularity_name(quant.granularity), k_is_row ? "columns" : "rows", name,
            qmmi_granularity_name(along_outer), qmmi_granularity_name(along_k));
    *operand = (qmmi_operand){
        .memory = view->memory,
        .offset = view->offset,
        .bytes = view->bytes,
        .type = view->type,
        .outer_stride = k_is_row ? view->row_stride : 1,
        .k_stride = k_is_row ? 1 : view->row_stride,
        .batch_stride = view->batch_stride,
        .has_zero = quant.has_zero,
        .grouped = quant.granularity == along_k,
        .zero_min = quant.zero_min,
        .zero_max = quant.zero_max,
        .scale = quant.scale,
        .zero = quant.zero,
    };
    if (!k_is_row) { /* row_stride steps along outer, col_stride along groups */
        operand->scale.row_stride = quant.scale.col_stride, operand->scale.col_stride = quant.scale.row_stride;
        operand->zero.row_stride = quant.zero.col_stride, operand->zero.col_stride = quant.zero.row_stride;
    }
    shape->outer = k_is_row ? view->rows : view->cols;
    shape->k = k_is_row ? view->cols : view->rows;
    shape->batch = view->batch;
    shape->group_size = operand->grouped ? (k_is_row ? quant.block_cols : quant.block_rows) : 0;
    return QMM_OK;
}

qmm_status qmmi_check_weights(const qmmi_call *call, const qmm_weights_options *options, const qmm_tensor *b,
                              qmmi_view *view, qmmi_operand *operand, qmmi_operand_shape *shape) {
    return make_operand(call, "b", b, QMMI_CODES_8 | QMMI_CODES_4, options->transpose_b != 0, &weights_quant_names,
                        options->quant, QMMI_QUANT_READ, view, operand, shape);
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

static qmm_status check_sums_of_a(const qmmi_call *call, const qmm_matmul_desc *desc, int64_t batch,
                                  qmmi_matmul_problem *p) {
    qmmi_view view;
    QMMI_TRY(qmmi_check_sums(call, &quant_a_names, desc->quant_a, p->m, p->a.grouped || p->b.grouped ? p->groups : 1,
                             batch, false, &p->a.sums));
    view = qmmi_param_view(&p->a.sums);
    return qmmi_check_disjoint(call, "c", &p->c, quant_a_names.sums, &view);
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
    p->bias = (qmmi_param){ .memory = view.memory,
                            .offset = view.offset,
                            .bytes = view.bytes,
                            .type = view.type,
                            .col_stride = view.rows == 1 ? 1 : view.row_stride,
                            .batch_stride = view.batch_stride };
    return QMM_OK;
}

bool qmmi_residual_is_c(const qmm_context *context, const qmmi_matmul_problem *p) {
    return p->residual.memory && qmmi_same_place(context, &p->residual, &p->c);
}

static qmm_status check_residual(const qmmi_call *call, const qmm_tensor *given, qmmi_matmul_problem *p) {
    qmmi_view *view = &p->residual;
    if (!given) return QMM_OK;
    QMMI_TRY(qmmi_check_tensor(call, "residual", given, QMMI_REALS, false, view));
    REQUIRE(call, view->rows == p->m && view->cols == p->n,
            "residual is %" PRId64 " x %" PRId64 ", not the %" PRId64 " x %" PRId64 " of c", view->rows, view->cols,
            p->m, p->n);
    QMMI_TRY(check_batch(call, "residual", view->batch, p->batch));
    return qmmi_same_place(call->context, view, &p->c) ? QMM_OK
                                                       : qmmi_check_disjoint(call, "c", &p->c, "residual", view);
}

static qmm_status check_output(const qmmi_call *call, const qmm_matmul_desc *desc, qmmi_matmul_problem *p) {
    const qmm_type type = p->c.type;
    REQUIRE(call, desc->activation >= QMM_ACTIVATION_NONE && desc->activation <= QMM_ACTIVATION_SILU,
            "activation %d of desc is none of qmm_activation", (int)desc->activation);
    p->activation = desc->activation;
    if (qmmi_type_in(type, QMMI_CODES)) {
        QMMI_TRY(qmmi_check_quant(call, &quant_c_names, desc->quant_c, "c", &p->c, QMMI_QUANT_READ, &p->c_quant));
        REQUIRE(call, !qmmi_is_group(p->c_quant.granularity),
                "quant_c is %s: it may be per tensor, per row or per column",
                qmmi_granularity_name(p->c_quant.granularity));
        QMMI_TRY(qmmi_check_quant_disjoint(call, &quant_c_names, &p->c_quant, false, "c", &p->c));
    } else {
        REQUIRE(call, !desc->quant_c, "quant_c of desc is given but c is %s, which is not quantized",
                qmm_type_name(type));
    }
    if (type != QMM_S32) return QMM_OK;
    REQUIRE(call, p->k <= p->k_limit,
            "K %" PRId64 " is more than %" PRId64
            ", the most an s32 c of %s x %s%s can hold: choose another type for c",
            p->k, p->k_limit, qmm_type_name(p->a.type), qmm_type_name(p->b.type),
            p->a.has_zero || p->b.has_zero ? " with zero points" : "");
    REQUIRE(call, p->activation == QMM_ACTIVATION_NONE, "activation %d of desc needs a c other than s32",
            (int)p->activation);
    REQUIRE(call, !desc->residual, "residual of desc needs a c other than s32");
    REQUIRE(call, !p->bias.memory || p->bias.type == QMM_S32, "bias of desc is f32, which needs a c other than s32");
    return QMM_OK;
}

/* What is written overlaps no part of an operand: its tensor, or the storage of the weights, and its parameters. */
static qmm_status check_operand_disjoint(const qmmi_call *call, const char *output_name, const qmmi_view *output,
                                         const char *name, const qmmi_view *view, const qmmi_quant_names *names,
                                         const qmmi_operand *operand) {
    const qmmi_view scale = qmmi_param_view(&operand->scale), zero = qmmi_param_view(&operand->zero);
    QMMI_TRY(qmmi_check_disjoint(call, output_name, output, name, view));
    QMMI_TRY(qmmi_check_disjoint(call, output_name, output, names->scale, &scale));
    return qmmi_check_disjoint(call, output_name, output, names->zero, &zero);
}

/* The two operands as they were given; with weights, b is their storage. */
typedef struct operand_views {
    qmmi_view a, b;
    bool packed;
} operand_views;

static qmm_status check_operands_disjoint(const qmmi_call *call, const char *output_name, const qmmi_view *output,
                                          const operand_views *views, const qmmi_matmul_problem *p) {
    QMMI_TRY(check_operand_disjoint(call, output_name, output, "a", &views->a, &quant_a_names, &p->a));
    if (views->packed) return qmmi_check_disjoint(call, output_name, output, "the weights", &views->b);
    return check_operand_disjoint(call, output_name, output, "b", &views->b, &quant_b_names, &p->b);
}

static qmm_status check_workspace(const qmmi_call *call, const qmm_matmul_desc *desc, const operand_views *views,
                                  const qmmi_matmul_problem *p) {
    const qmmi_view bias = qmmi_param_view(&p->bias), sums = qmmi_param_view(&p->a.sums);
    qmmi_view view;
    if (!desc->workspace) return QMM_OK;
    QMMI_TRY(qmmi_check_region(call, "workspace", desc->workspace, desc->workspace_offset, desc->workspace_bytes));
    view = qmmi_bytes_view(desc->workspace->memory, desc->workspace_offset, desc->workspace_bytes);
    QMMI_TRY(qmmi_check_disjoint(call, "workspace", &view, "c", &p->c));
    QMMI_TRY(qmmi_check_disjoint(call, "workspace", &view, "bias", &bias));
    QMMI_TRY(qmmi_check_disjoint(call, "workspace", &view, quant_a_names.sums, &sums));
    QMMI_TRY(qmmi_check_disjoint(call, "workspace", &view, "residual", &p->residual));
    QMMI_TRY(qmmi_check_quant_disjoint(call, &quant_c_names, &p->c_quant, false, "workspace", &view));
    return check_operands_disjoint(call, "workspace", &view, views, p);
}

qmm_status qmmi_check_storage_disjoint(const qmmi_call *call, const qmm_weights *weights, const qmmi_view *b,
                                       const qmmi_operand *operand) {
    const qmmi_view storage = qmmi_bytes_view(weights->storage, weights->offset, weights->bytes);
    return check_operand_disjoint(call, "storage", &storage, "b", b, &weights_quant_names, operand);
}

qmm_status qmmi_check_matmul(const qmmi_call *call, const qmm_matmul_desc *given, const qmm_tensor *a,
                             const qmm_tensor *b, const qmm_tensor *c, qmm_matmul_desc *desc, qmmi_problem *problem) {
    qmmi_matmul_problem *p = &problem->as.matmul;
    qmmi_operand_shape of_a = { 0 }, of_b = { 0 };
    operand_views views = { .packed = false };
    *desc = (qmm_matmul_desc)QMM_MATMUL_DESC_INIT;
    QMMI_TRY(
        qmmi_read_struct(call->context, call->function, "desc", given, desc, sizeof *desc, QMMI_OLDEST_MATMUL_DESC));
    problem->operation = QMMI_MATMUL;
    *p = (qmmi_matmul_problem){ 0 };
    QMMI_TRY(make_operand(call, "a", a, QMMI_CODES_8, !desc->transpose_a, &quant_a_names, desc->quant_a,
                          desc->transpose_a ? QMMI_QUANT_READ : QMMI_QUANT_READ_SUMS, &views.a, &p->a, &of_a));
    if (desc->weights) {
        QMMI_TRY(take_weights(call, desc, b, &p->b, &of_b));
        views.packed = true;
        views.b = qmmi_bytes_view(desc->weights->storage, desc->weights->offset, desc->weights->bytes);
    } else {
        QMMI_TRY(make_operand(call, "b", b, QMMI_CODES_8 | QMMI_CODES_4, desc->transpose_b != 0, &quant_b_names,
                              desc->quant_b, QMMI_QUANT_READ, &views.b, &p->b, &of_b));
    }
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
    QMMI_TRY(check_operands_disjoint(call, "c", &p->c, &views, p));
    QMMI_TRY(check_sums_of_a(call, desc, of_a.batch, p));
    QMMI_TRY(check_bias(call, desc->bias, p));
    QMMI_TRY(check_output(call, desc, p));
    QMMI_TRY(check_residual(call, desc->residual, p));
    return check_workspace(call, desc, &views, p);
}
