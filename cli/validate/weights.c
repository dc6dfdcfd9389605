/* SPDX-License-Identifier: Apache-2.0
 *
 * weights: matmul with a packed b. The cases are those of matmul under another name, so from other random numbers; b
 * and its parameters are spoiled once they are packed, and restored before anybody looks. */
#include <string.h>

#include "matmul.h"

static void generate(validate_case *c) {
    matmul_generate(c);
    c->as.matmul.clobber_weights = validate_one_in(&c->random, 2);
    c->as.matmul.storage = validate_one_in(&c->random, 4);
}

/* Overwrites b and its parameters, or brings them back. */
static qmm_status spoil(const validate_case *c, validate_execution *e, bool restore) {
    const int tensors[] = { MATMUL_B, c->as.matmul.b.scale, c->as.matmul.b.zero };
    if (!c->as.matmul.clobber_weights) return QMM_OK;
    for (int n = 0; n < 3; n++) {
        const validate_tensor *t = tensors[n] < 0 ? NULL : &c->tensors[tensors[n]];
        qmm_status status = QMM_OK;
        if (t && restore)
            status = qmm_buffer_upload(e->context, e->buffers[tensors[n]], 0, t->before, t->bytes);
        else if (t)
            status = qmm_buffer_fill(e->context, e->buffers[tensors[n]], 0, 0x6b, t->bytes);
        if (status != QMM_OK) return status;
    }
    return QMM_OK;
}

static qmm_status multiply(const validate_case *c, validate_execution *e, matmul_arguments *a, qmm_weights *weights) {
    qmm_status status = spoil(c, e, false), restored;
    a->desc.weights = weights;
    a->desc.quant_b = NULL;
    a->desc.transpose_b = 0;
    if (status == QMM_OK) status = matmul_call(c, e, a);
    restored = spoil(c, e, true); /* whatever came of the call */
    return status == QMM_OK ? restored : status;
}

static qmm_status run(const validate_case *c, validate_execution *e) {
    qmm_weights_options options = QMM_WEIGHTS_OPTIONS_INIT;
    qmm_weights *weights = NULL;
    matmul_arguments a;
    qmm_status status;
    size_t bytes = 0;
    matmul_arguments_on_device(c, e, &a);
    options.transpose_b = a.desc.transpose_b;
    options.quant = a.desc.quant_b;
    if (c->as.matmul.storage) {
        status = qmm_weights_bytes(e->context, &a.b, &options, &bytes);
        if (status != QMM_OK) return status;
        options.storage = matmul_guard_create(e->context, bytes);
        if (!options.storage) return qmm_context_error_status(e->context);
        options.storage_offset = 256;
    }
    status = qmm_weights_create(e->context, &a.b, &options, &weights);
    if (status == QMM_OK) status = multiply(c, e, &a, weights);
    qmm_weights_free(weights);
    if (options.storage && !matmul_guard_check(e->context, options.storage, bytes))
        validate_append(e->complaint, sizeof e->complaint, "storage: bytes outside its %zu are not as before", bytes);
    qmm_buffer_free(options.storage);
    return status;
}

static void vary(validate_case *c) {
    matmul_vary(c);
    c->as.matmul.storage = !c->as.matmul.storage;
}

static void describe(const validate_case *c, char *text, size_t bytes) {
    matmul_describe(c, text, bytes);
    if (c->as.matmul.storage) validate_append(text, bytes, ", own storage");
    if (c->as.matmul.clobber_weights) validate_append(text, bytes, ", b spoiled after packing");
}

const validate_descriptor validate_weights = {
    .name = "weights",
    .kernel_operation = "matmul",
    .quick_cases = 4000,
    .full_cases = 25000,
    .performance_shapes = 0,
    .performance_unit = "GOPS",
    .generate = generate,
    .expect = matmul_expect,
    .run = run,
    .describe = describe,
    .vary = vary,
};
