/* SPDX-License-Identifier: Apache-2.0
 *
 * dequantize: x = (float)(q - zero) * scale, then one rounding to f16 or bf16. */
#include "convert.h"
#include "oracle.h"

static const qmm_type codes[] = { QMM_S8, QMM_U8, QMM_S4, QMM_U4, QMM_S16, QMM_U16, QMM_S32 };
static const qmm_type reals[] = { QMM_F32, QMM_F16, QMM_BF16 };

static void generate(validate_case *c) {
    validate_convert *p = &c->as.convert;
    convert_begin(c, codes, 7, reals, 3);
    convert_choose_quant(c, &p->source_quant, CONVERT_SOURCE, false, 0.0);
    p->fill = c->performance_shape >= 0 ? 0 : (int)validate_between(&c->random, VALIDATE_UNIFORM, VALIDATE_MOSTLY_ZERO);
    validate_fill_codes(c, CONVERT_SOURCE, (validate_fill)p->fill);
    c->trivial = c->trivial || p->fill != VALIDATE_UNIFORM;
    convert_end(c);
}

static void expect(validate_case *c) {
    const validate_quant *q = &c->as.convert.source_quant;
    const validate_tensor *x = &c->tensors[CONVERT_SOURCE], *y = &c->tensors[CONVERT_TARGET];
    CONVERT_FOR_EACH(c)
    validate_store(y, y->want, b, i, j,
                   oracle_dequantize(validate_load(x, x->before, b, i, j), oracle_zero(c, q, b, i, j),
                                     oracle_scale(c, q, b, i, j)));
}

static qmm_status run(const validate_case *c, validate_execution *e) {
    const qmm_tensor q = validate_on_device(c, e, CONVERT_SOURCE), x = validate_on_device(c, e, CONVERT_TARGET);
    validate_quant_arguments arguments;
    return qmm_dequantize(e->context, &q, validate_quant_on_device(c, e, &c->as.convert.source_quant, &arguments), &x);
}

const validate_descriptor validate_dequantize = {
    .name = "dequantize",
    .kernel_operation = "dequantize",
    .quick_cases = 3000,
    .full_cases = 30000,
    .performance_shapes = 3,
    .performance_unit = "GB/s",
    .generate = generate,
    .expect = expect,
    .run = run,
    .describe = convert_describe,
};
