/* SPDX-License-Identifier: Apache-2.0
 *
 * quantize: q = clamp(rint(x / scale) + zero, qmin, qmax). */
#include "convert.h"
#include "oracle.h"

static const qmm_type reals[] = { QMM_F32, QMM_F16, QMM_BF16 };
static const qmm_type codes[] = { QMM_S8, QMM_U8, QMM_S4, QMM_U4, QMM_S16, QMM_U16 };

static void generate(validate_case *c) {
    validate_convert *p = &c->as.convert;
    convert_begin(c, reals, 3, codes, 6);
    convert_choose_quant(c, &p->target_quant, CONVERT_TARGET, false, 0.0);
    p->fill = c->performance_shape >= 0 ? 0 : (int)validate_between(&c->random, VALIDATE_NORMAL, VALIDATE_PATTERNS);
    validate_fill_reals(c, CONVERT_SOURCE, (validate_real_fill)p->fill, &p->target_quant);
    /* Beside the fills that are meant to saturate: two to four bits hold little else than their ends and 0. */
    c->trivial = c->trivial || p->fill == VALIDATE_PATTERNS || p->fill == VALIDATE_ZERO_ROWS ||
                 p->fill == VALIDATE_SPECIALS || p->target_quant.qmax - p->target_quant.qmin < 32;
    convert_choose_sums(c);
    convert_end(c);
}

static void expect(validate_case *c) {
    const validate_quant *q = &c->as.convert.target_quant;
    const validate_tensor *x = &c->tensors[CONVERT_SOURCE], *y = &c->tensors[CONVERT_TARGET];
    CONVERT_FOR_EACH(c)
    validate_store(y, y->want, b, i, j,
                   oracle_quantize(validate_load(x, x->before, b, i, j), oracle_scale(c, q, b, i, j),
                                   oracle_zero(c, q, b, i, j), q->qmin, q->qmax));
    convert_expect_sums(c);
}

static qmm_status run(const validate_case *c, validate_execution *e) {
    const qmm_tensor x = validate_on_device(c, e, CONVERT_SOURCE), q = validate_on_device(c, e, CONVERT_TARGET);
    validate_quant_arguments arguments;
    return qmm_quantize(e->context, &x, validate_quant_on_device(c, e, &c->as.convert.target_quant, &arguments), &q);
}

const validate_descriptor validate_quantize = {
    .name = "quantize",
    .kernel_operation = "quantize",
    .quick_cases = 3000,
    .full_cases = 30000,
    .performance_shapes = 3,
    .performance_unit = "GB/s",
    .generate = generate,
    .expect = expect,
    .run = run,
    .describe = convert_describe,
};
