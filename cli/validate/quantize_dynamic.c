/* SPDX-License-Identifier: Apache-2.0
 *
 * quantize_dynamic: per block of elements that share parameters, over the finite values, in float32,
 *
 *     symmetric    scale = absmax / qmax
 *     asymmetric   scale = (max - min) / (qmax - qmin), zero = clamp(rint(qmin - min / scale), qmin, qmax)
 *
 * then quantize with them. A range is widened to contain 0; a scale below 2^-126 is raised to it; an all-zero or empty
 * block has scale 1, and zero 0 or qmin; where max - min overflows the quotients are subtracted instead. */
#include <math.h>

#include "convert.h"
#include "oracle.h"

static const qmm_type reals[] = { QMM_F32, QMM_F16, QMM_BF16 };
static const qmm_type codes[] = { QMM_S8, QMM_U8, QMM_S4, QMM_U4, QMM_S16, QMM_U16 };

static void generate(validate_case *c) {
    validate_convert *p = &c->as.convert;
    convert_begin(c, reals, 3, codes, 6);
    convert_choose_quant(c, &p->target_quant, CONVERT_TARGET, true, 0.0);
    p->fill = c->performance_shape >= 0 ? 0 : (int)validate_between(&c->random, VALIDATE_NORMAL, VALIDATE_PATTERNS);
    validate_fill_reals(c, CONVERT_SOURCE, (validate_real_fill)p->fill, NULL);
    /* A block of one or two values, or of few bits, has nothing but ends. */
    c->trivial = p->fill == VALIDATE_PATTERNS || p->fill == VALIDATE_ZERO_ROWS || p->fill == VALIDATE_SPECIALS ||
                 p->target_quant.qmax - p->target_quant.qmin < 32 ||
                 p->target_quant.block_rows * p->target_quant.block_cols < 16;
    convert_choose_sums(c);
    convert_end(c);
}

static double least_scale(double scale) {
    return scale < 0x1p-126 ? 0x1p-126 : scale;
}

static double choose_scale(double min, double max, bool symmetric, double qmin, double qmax) {
    const double levels = qmax - qmin, span = oracle_f32(max - min);
    if (min == 0.0 && max == 0.0) return 1.0;
    if (symmetric) return least_scale(oracle_f32(fmax(-min, max) / qmax));
    if (isinf(span)) return oracle_f32(oracle_f32(max / levels) - oracle_f32(min / levels));
    return least_scale(oracle_f32(span / levels));
}

static double choose_zero(double min, double scale, double qmin, double qmax) {
    return fmin(fmax(rint(oracle_f32(qmin - oracle_f32(min / scale))), qmin), qmax);
}

/* Parameters of block (r, s) of matrix b. */
static void expect_block(validate_case *c, int64_t b, int64_t r, int64_t s) {
    const validate_convert *p = &c->as.convert;
    const validate_quant *q = &p->target_quant;
    const validate_tensor *x = &c->tensors[CONVERT_SOURCE], *scales = &c->tensors[q->scale];
    const bool turned = scales->rows != q->param_rows || scales->cols != q->param_cols;
    double min = 0.0, max = 0.0, scale;
    for (int64_t i = r * q->block_rows; i < p->rows && i < (r + 1) * q->block_rows; i++)
        for (int64_t j = s * q->block_cols; j < p->cols && j < (s + 1) * q->block_cols; j++) {
            const double value = validate_load(x, x->before, b, i, j);
            if (!isfinite(value)) continue;
            min = fmin(min, value);
            max = fmax(max, value);
        }
    scale = choose_scale(min, max, q->zero < 0, q->qmin, q->qmax);
    validate_store(scales, scales->want, b, turned ? s : r, turned ? r : s, scale);
    if (q->zero >= 0) {
        const validate_tensor *zeros = &c->tensors[q->zero];
        const bool zeros_turned = zeros->rows != q->param_rows || zeros->cols != q->param_cols;
        validate_store(zeros, zeros->want, b, zeros_turned ? s : r, zeros_turned ? r : s,
                       choose_zero(min, scale, q->qmin, q->qmax));
    }
}

static void expect(validate_case *c) {
    const validate_quant *q = &c->as.convert.target_quant;
    const validate_tensor *x = &c->tensors[CONVERT_SOURCE], *y = &c->tensors[CONVERT_TARGET];
    for (int64_t b = 0; b < c->as.convert.batch; b++)
        for (int64_t r = 0; r < q->param_rows; r++)
            for (int64_t s = 0; s < q->param_cols; s++) expect_block(c, b, r, s);
    CONVERT_FOR_EACH(c)
    validate_store(y, y->want, b, i, j,
                   oracle_quantize(validate_load(x, x->before, b, i, j), oracle_scale(c, q, b, i, j),
                                   oracle_zero(c, q, b, i, j), q->qmin, q->qmax));
    convert_expect_sums(c);
}

static qmm_status run(const validate_case *c, validate_execution *e) {
    const qmm_tensor x = validate_on_device(c, e, CONVERT_SOURCE), q = validate_on_device(c, e, CONVERT_TARGET);
    validate_quant_arguments arguments;
    return qmm_quantize_dynamic(e->context, &x, validate_quant_on_device(c, e, &c->as.convert.target_quant, &arguments),
                                &q);
}

const validate_descriptor validate_quantize_dynamic = {
    .name = "quantize_dynamic",
    .kernel_operation = "quantize_dynamic",
    .quick_cases = 3000,
    .full_cases = 30000,
    .performance_shapes = 3,
    .performance_unit = "GB/s",
    .generate = generate,
    .expect = expect,
    .run = run,
    .describe = convert_describe,
};
