/* SPDX-License-Identifier: Apache-2.0 */
#include "generate.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "oracle.h"

int64_t validate_pick_size(validate_random *r) {
    static const int64_t sizes[] = { 0,  1,  2,  3,  4,  5,   7,   8,   15,  16,  17, 31,
                                     32, 33, 63, 64, 65, 127, 128, 129, 255, 256, 257 };
    const int64_t size = VALIDATE_PICK(r, sizes);
    return size == 0 && !validate_one_in(r, 4) ? 1 : size; /* empty cases prove little: fewer of them */
}

void validate_code_range(qmm_type type, int bits, int32_t *qmin, int32_t *qmax) {
    const bool is_signed = type == QMM_S4 || type == QMM_S8 || type == QMM_S16;
    const int used = bits ? bits : qmm_type_bits(type);
    *qmin = *qmax = 0;
    if (type == QMM_S32 || validate_is_real(type)) return;
    *qmin = is_signed ? -(1 << (used - 1)) : 0;
    *qmax = is_signed ? (1 << (used - 1)) - 1 : (1 << used) - 1;
}

void validate_append(char *text, size_t bytes, const char *format, ...) {
    const size_t used = strlen(text);
    va_list arguments;
    va_start(arguments, format);
    if (used < bytes) vsnprintf(text + used, bytes - used, format, arguments);
    va_end(arguments);
}

/* ---- codes ------------------------------------------------------------------------------------------------------- */

static double draw_code(validate_random *r, validate_fill fill, int64_t number, double low, double high) {
    switch (fill) {
    case VALIDATE_UNIFORM: return (double)validate_between(r, (int64_t)low, (int64_t)high);
    case VALIDATE_LOWEST: return low;
    case VALIDATE_HIGHEST: return high;
    case VALIDATE_ALTERNATING: return number % 2 ? high : low;
    case VALIDATE_ONE_HOT: return 0.0;
    case VALIDATE_MOSTLY_ZERO:
        return validate_one_in(r, 8) ? (double)validate_between(r, (int64_t)low, (int64_t)high) : 0.0;
    }
    return 0.0;
}

/* Does what follows with b, i, j for every element. */
#define FOR_EACH_ELEMENT(t)                     \
    for (int64_t b = 0; b < (t)->batch; b++)    \
        for (int64_t i = 0; i < (t)->rows; i++) \
            for (int64_t j = 0; j < (t)->cols; j++)

void validate_fill_codes(validate_case *c, int tensor, validate_fill fill) {
    const validate_tensor *t = &c->tensors[tensor];
    validate_random *r = &c->random;
    int32_t qmin, qmax;
    double low, high;
    int64_t hot = 0;
    validate_code_range(t->type, 0, &qmin, &qmax);
    low = t->type == QMM_S32 ? (double)INT32_MIN : qmin;
    high = t->type == QMM_S32 ? (double)INT32_MAX : qmax;
    if (t->type == QMM_S32 && validate_one_in(r, 2)) low = -1e5, high = 1e5;
    if (t->rows * t->cols > 0) hot = validate_between(r, 0, t->rows * t->cols - 1);
    FOR_EACH_ELEMENT(t) {
        const bool is_hot = fill == VALIDATE_ONE_HOT && i * t->cols + j == hot;
        validate_store(t, t->before, b, i, j, is_hot ? high : draw_code(r, fill, i + j, low, high));
    }
}

/* ---- reals ------------------------------------------------------------------------------------------------------- */

static double draw_special(validate_random *r) {
    static const double specials[] = { (double)NAN, (double)INFINITY, -(double)INFINITY, 0.0,
                                       -0.0,        0x1p-149,         -0x1p-149,         0x1p-126,
                                       -0x1p-127,   (double)FLT_MAX,  -(double)FLT_MAX,  65504.0,
                                       65520.0,     0x1p-25 };
    return VALIDATE_PICK(r, specials);
}

static double draw_pattern(validate_random *r) {
    return oracle_decode_real(QMM_F32, (uint32_t)validate_draw(r));
}

/* `scale` and the ends of the codes tell what is a wide spread, and where the ties are. */
static double draw_real(validate_random *r, validate_real_fill fill, int64_t row, double scale, int32_t qmin,
                        int32_t qmax) {
    const double spread = scale * ((double)qmax - qmin);
    switch (fill) {
    case VALIDATE_NORMAL: return validate_normal(r) * spread / 4.0;
    case VALIDATE_REAL_UNIFORM: return (validate_unit(r) - 0.5) * spread * 1.2;
    case VALIDATE_TIES: return ((double)validate_between(r, qmin - qmax - 2, qmax - qmin + 2) / 2.0 + 0.5) * scale;
    case VALIDATE_SPECIALS: return validate_one_in(r, 3) ? draw_special(r) : validate_normal(r) * spread / 4.0;
    case VALIDATE_ZERO_ROWS: return row % 2 ? validate_normal(r) * spread / 4.0 : 0.0;
    case VALIDATE_PATTERNS: return draw_pattern(r);
    }
    return 0.0;
}

void validate_fill_reals(validate_case *c, int tensor, validate_real_fill fill, const validate_quant *q) {
    const validate_tensor *t = &c->tensors[tensor];
    FOR_EACH_ELEMENT(t) {
        const double scale = q ? oracle_scale(c, q, b, i, j) : 1.0;
        validate_store(t, t->before, b, i, j,
                       draw_real(&c->random, fill, i, scale, q ? q->qmin : -128, q ? q->qmax : 127));
    }
}

/* ---- quantization parameters ------------------------------------------------------------------------------------- */

void validate_no_quant(validate_quant *q, qmm_type type) {
    *q = (validate_quant){ .scale_value = 1.0f,
                           .scale = -1,
                           .zero = -1,
                           .sums = -1,
                           .block_rows = 1,
                           .block_cols = 1,
                           .param_rows = 1,
                           .param_cols = 1 };
    validate_code_range(type, 0, &q->qmin, &q->qmax);
    validate_code_range(type, 0, &q->zero_min, &q->zero_max);
}

static int64_t pick_group_size(validate_random *r, int64_t length) {
    static const int64_t sizes[] = { 1, 2, 3, 4, 8, 16, 31, 32, 64, 127, 128 };
    if (length == 0) return validate_between(r, 1, 4);
    for (int attempt = 0; attempt < 8; attempt++) {
        const int64_t size = VALIDATE_PICK(r, sizes);
        if (length % size == 0) return size;
    }
    return length;
}

static void choose_blocks(validate_random *r, validate_quant *q, const validate_quant_choice *choice) {
    const int64_t rows = choice->rows, cols = choice->cols;
    do q->granularity = (qmm_granularity)validate_between(r, QMM_PER_TENSOR, QMM_PER_COLUMN_GROUP);
    while (!(choice->granularities >> q->granularity & 1u));
    q->block_rows = rows, q->block_cols = cols;
    if (q->granularity == QMM_PER_ROW || q->granularity == QMM_PER_ROW_GROUP) q->block_rows = 1;
    if (q->granularity == QMM_PER_COLUMN || q->granularity == QMM_PER_COLUMN_GROUP) q->block_cols = 1;
    if (q->granularity == QMM_PER_ROW_GROUP)
        q->group_size = q->block_cols = choice->group_size ? choice->group_size : pick_group_size(r, cols);
    if (q->granularity == QMM_PER_COLUMN_GROUP)
        q->group_size = q->block_rows = choice->group_size ? choice->group_size : pick_group_size(r, rows);
    q->param_rows = q->granularity == QMM_PER_TENSOR || q->granularity == QMM_PER_COLUMN ? 1 : rows / q->block_rows;
    q->param_cols = q->granularity == QMM_PER_TENSOR || q->granularity == QMM_PER_ROW ? 1 : cols / q->block_cols;
    /* rows / block_rows where a block is one row, also if there is none */
    if (q->block_rows == 0) q->block_rows = 1;
    if (q->block_cols == 0) q->block_cols = 1;
}

static void choose_bits(validate_random *r, validate_quant *q, qmm_type type) {
    const int container = qmm_type_bits(type);
    if (type != QMM_S32 && validate_one_in(r, 4))
        q->bits = (int32_t)validate_between(r, container == 16 ? 9 : 2, container);
    validate_code_range(type, q->bits, &q->qmin, &q->qmax);
    validate_code_range(type, 0, &q->zero_min, &q->zero_max);
}

static int add_parameters(validate_case *c, const validate_quant *q, const validate_quant_choice *choice,
                          const char *name, qmm_type type) {
    const bool vector = q->param_rows == 1 || q->param_cols == 1;
    const bool turned = vector && validate_one_in(&c->random, 2);
    const int64_t batch = choice->written || validate_one_in(&c->random, 2) ? choice->batch : 1;
    return validate_add_tensor(c, name, type, turned ? q->param_cols : q->param_rows,
                               turned ? q->param_rows : q->param_cols, batch,
                               choice->written ? VALIDATE_OUTPUT : VALIDATE_INPUT);
}

/* A scale about `typical`; where any will do, one case in eight has the extremes of float. */
static double draw_scale(validate_random *r, double typical, bool wild) {
    static const double extremes[] = { 0x1p-149, 0x1p-127, 0x1p-126, (double)FLT_MAX, 0x1p127, 1e-30 };
    if (wild) return VALIDATE_PICK(r, extremes);
    return (typical > 0.0 ? typical : 0.05) * exp2(2.0 * validate_unit(r) - 1.0);
}

static void choose_scale(validate_case *c, validate_quant *q, const validate_quant_choice *choice) {
    static const qmm_type types[] = { QMM_F32, QMM_F32, QMM_F16, QMM_BF16 };
    validate_random *r = &c->random;
    const bool wild = choice->scale == 0.0 && !choice->written && validate_one_in(r, 12);
    qmm_type type = VALIDATE_PICK(r, types);
    if (wild) c->trivial = true;
    if (wild || choice->written || choice->scale > 1e3 || (choice->scale > 0.0 && choice->scale < 1e-3))
        type = QMM_F32; /* f16 would make it 0, subnormal or infinite */
    if (q->granularity == QMM_PER_TENSOR && !choice->written && validate_one_in(r, 2)) {
        q->scale_value = (float)draw_scale(r, choice->scale, wild);
        return;
    }
    q->scale = add_parameters(c, q, choice, choice->scale_name, type);
    if (choice->written) return;
    FOR_EACH_ELEMENT(&c->tensors[q->scale])
    validate_store(&c->tensors[q->scale], c->tensors[q->scale].before, b, i, j, draw_scale(r, choice->scale, wild));
}

/* In the range of the codes; sometimes anywhere, for the clamp. */
static void fill_zeros(validate_case *c, const validate_quant *q) {
    const validate_tensor *t = &c->tensors[q->zero];
    const bool anywhere = t->type == QMM_S32 && validate_one_in(&c->random, 8);
    int32_t low, high;
    validate_code_range(t->type, 0, &low, &high);
    if (t->type == QMM_S32) low = q->qmin, high = q->qmax;
    if (low < q->qmin) low = q->qmin;
    if (high > q->qmax) high = q->qmax;
    if (anywhere) low = q->zero_min - 1000, high = q->zero_max + 1000;
    FOR_EACH_ELEMENT(t)
    validate_store(t, t->before, b, i, j, (double)validate_between(&c->random, low, high));
}

static void choose_zero(validate_case *c, validate_quant *q, const validate_quant_choice *choice) {
    static const qmm_type types[] = { QMM_S32, QMM_S32, QMM_S8, QMM_U8 };
    validate_random *r = &c->random;
    if (choice->type == QMM_S32 || choice->no_zero || validate_one_in(r, 2)) return;
    if (q->granularity == QMM_PER_TENSOR && !choice->written && validate_one_in(r, 2)) {
        q->zero_value = (int32_t)validate_between(r, q->qmin, q->qmax);
        return;
    }
    q->zero = add_parameters(c, q, choice, choice->zero_name, choice->written ? QMM_S32 : VALIDATE_PICK(r, types));
    if (!choice->written) fill_zeros(c, q);
}

void validate_choose_quant(validate_case *c, validate_quant *q, const validate_quant_choice *choice) {
    validate_no_quant(q, choice->type);
    q->given = true;
    choose_blocks(&c->random, q, choice);
    choose_bits(&c->random, q, choice->type);
    choose_scale(c, q, choice);
    choose_zero(c, q, choice);
}

const qmm_quant *validate_quant_on_device(const validate_case *c, const validate_execution *e, const validate_quant *q,
                                          validate_quant_arguments *arguments) {
    qmm_quant *quant = &arguments->quant;
    *quant = (qmm_quant)QMM_QUANT_INIT;
    if (!q->given) return NULL;
    quant->granularity = q->granularity;
    quant->group_size = q->group_size;
    quant->bits = q->bits;
    quant->scale_value = q->scale_value;
    quant->zero_value = q->zero_value;
    if (q->scale >= 0) {
        arguments->scale = validate_on_device(c, e, q->scale);
        quant->scale = &arguments->scale;
    }
    if (q->zero >= 0) {
        arguments->zero = validate_on_device(c, e, q->zero);
        quant->zero = &arguments->zero;
    }
    if (q->sums >= 0) {
        arguments->sums = validate_on_device(c, e, q->sums);
        quant->sums = &arguments->sums;
    }
    return quant;
}

void validate_describe_quant(const validate_case *c, const validate_quant *q, char *text, size_t bytes) {
    static const char *const granularities[] = { "per tensor", "per row", "per column", "per row group",
                                                 "per column group" };
    text[0] = '\0';
    if (!q->given) {
        validate_append(text, bytes, "none");
        return;
    }
    validate_append(text, bytes, "%s", granularities[q->granularity]);
    if (q->group_size) validate_append(text, bytes, " of %" PRId64, q->group_size);
    if (q->bits) validate_append(text, bytes, ", %d bits", (int)q->bits);
    if (q->scale >= 0)
        validate_append(text, bytes, ", %s scale", qmm_type_name(c->tensors[q->scale].type));
    else
        validate_append(text, bytes, ", scale %g", (double)q->scale_value);
    if (q->zero >= 0) validate_append(text, bytes, ", %s zero", qmm_type_name(c->tensors[q->zero].type));
    if (q->zero_value) validate_append(text, bytes, ", zero %d", (int)q->zero_value);
    if (q->sums >= 0) validate_append(text, bytes, ", sums");
}
