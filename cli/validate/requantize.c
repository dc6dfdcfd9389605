/* SPDX-License-Identifier: Apache-2.0
 *
 * requantize: y = (float)(source - zero) * scale, then target = clamp(rint(y / scale') + zero', qmin, qmax). */
#include "convert.h"
#include "oracle.h"

static const qmm_type sources[] = { QMM_S32, QMM_S8, QMM_U8, QMM_S4, QMM_U4, QMM_S16, QMM_U16 };
static const qmm_type targets[] = { QMM_S8, QMM_U8, QMM_S4, QMM_U4, QMM_S16, QMM_U16 };

/* The largest |code - zero| a source has about. */
static double reach(qmm_type type, const validate_quant *q) {
    return type == QMM_S32 ? 1e5 : (double)q->qmax - q->qmin;
}

static void generate(validate_case *c) {
    validate_convert *p = &c->as.convert;
    double scale;
    convert_begin(c, sources, 7, targets, 6);
    convert_choose_quant(c, &p->source_quant, CONVERT_SOURCE, false, 0.0);
    /* A target scale that spreads the sources over its codes. */
    scale = (p->source_quant.scale < 0 ? (double)p->source_quant.scale_value : 0.05) *
            reach(c->tensors[CONVERT_SOURCE].type, &p->source_quant) /
            ((double)p->target_quant.qmax - p->target_quant.qmin);
    convert_choose_quant(c, &p->target_quant, CONVERT_TARGET, false,
                         c->trivial || validate_one_in(&c->random, 8) ? 0.0 : scale);
    p->fill = c->performance_shape >= 0 ? 0 : (int)validate_between(&c->random, VALIDATE_UNIFORM, VALIDATE_MOSTLY_ZERO);
    validate_fill_codes(c, CONVERT_SOURCE, (validate_fill)p->fill);
    c->trivial = c->trivial || p->fill != VALIDATE_UNIFORM || !p->source_quant.given || !p->target_quant.given ||
                 p->target_quant.qmax - p->target_quant.qmin < 32;
    convert_end(c);
}

static void expect(validate_case *c) {
    const validate_quant *from = &c->as.convert.source_quant, *to = &c->as.convert.target_quant;
    const validate_tensor *x = &c->tensors[CONVERT_SOURCE], *y = &c->tensors[CONVERT_TARGET];
    CONVERT_FOR_EACH(c) {
        const double real = oracle_dequantize(validate_load(x, x->before, b, i, j), oracle_zero(c, from, b, i, j),
                                              oracle_scale(c, from, b, i, j));
        validate_store(
            y, y->want, b, i, j,
            oracle_quantize(real, oracle_scale(c, to, b, i, j), oracle_zero(c, to, b, i, j), to->qmin, to->qmax));
    }
}

static qmm_status run(const validate_case *c, validate_execution *e) {
    const validate_convert *p = &c->as.convert;
    const qmm_tensor source = validate_on_device(c, e, CONVERT_SOURCE),
                     target = validate_on_device(c, e, CONVERT_TARGET);
    validate_quant_arguments from, to;
    return qmm_requantize(e->context, &source, validate_quant_on_device(c, e, &p->source_quant, &from), &target,
                          validate_quant_on_device(c, e, &p->target_quant, &to));
}

const validate_descriptor validate_requantize = {
    .name = "requantize",
    .kernel_operation = "requantize",
    .quick_cases = 3000,
    .full_cases = 30000,
    .performance_shapes = 3,
    .performance_unit = "GB/s",
    .generate = generate,
    .expect = expect,
    .run = run,
    .describe = convert_describe,
};
