/* SPDX-License-Identifier: Apache-2.0 */
#include "convert.h"

#include <inttypes.h>

/* Most are small; one in 64 is long enough for a second thread and for runs of every length. */
static void choose_shape(validate_case *c) {
    static const int64_t performance[][2] = { { 1024, 1024 }, { 4096, 4096 }, { 1, 1 << 22 } };
    static const int64_t long_rows[] = { 511, 512, 513, 1000, 4096, 65535, 65537, 70001 };
    validate_convert *p = &c->as.convert;
    validate_random *r = &c->random;
    p->batch = validate_one_in(r, 4) ? validate_between(r, 2, 3) : 1;
    do {
        p->rows = validate_pick_size(r);
        p->cols = validate_pick_size(r);
    } while (p->rows * p->cols * p->batch > 8192);
    if (validate_one_in(r, 64)) {
        p->rows = validate_between(r, 1, 2);
        p->cols = VALIDATE_PICK(r, long_rows);
    }
    if (c->performance_shape >= 0) {
        p->batch = 1;
        p->rows = performance[c->performance_shape][0];
        p->cols = performance[c->performance_shape][1];
    }
}

void convert_begin(validate_case *c, const qmm_type *source_types, int source_count, const qmm_type *target_types,
                   int target_count) {
    validate_convert *p = &c->as.convert;
    qmm_type source, target;
    choose_shape(c);
    source = source_types[c->performance_shape >= 0 ? 0 : validate_between(&c->random, 0, source_count - 1)];
    target = target_types[c->performance_shape >= 0 ? 0 : validate_between(&c->random, 0, target_count - 1)];
    validate_add_tensor(c, "source", source, p->rows, p->cols, p->batch, VALIDATE_INPUT);
    validate_add_tensor(c, "target", target, p->rows, p->cols, p->batch, VALIDATE_OUTPUT);
    validate_no_quant(&p->source_quant, source);
    validate_no_quant(&p->target_quant, target);
}

void convert_choose_quant(validate_case *c, validate_quant *q, int tensor, bool written, double scale) {
    const validate_convert *p = &c->as.convert;
    const validate_quant_choice choice = {
        .type = c->tensors[tensor].type,
        .rows = p->rows,
        .cols = p->cols,
        .batch = p->batch,
        .granularities = c->performance_shape >= 0 ? 1u << QMM_PER_ROW : VALIDATE_ALL_GRANULARITIES,
        .scale = c->performance_shape >= 0 ? 0.05 : scale,
        .written = written,
        .scale_name = tensor == CONVERT_SOURCE ? "scale of source" : "scale of target",
        .zero_name = tensor == CONVERT_SOURCE ? "zero of source" : "zero of target",
    };
    if (!written && validate_one_in(&c->random, 16)) return;
    validate_choose_quant(c, q, &choice);
}

void convert_choose_sums(validate_case *c) {
    const validate_convert *p = &c->as.convert;
    validate_quant *q = &c->as.convert.target_quant;
    const int64_t groups = q->granularity == QMM_PER_ROW_GROUP ? q->param_cols : 1;
    if (!q->given || c->performance_shape >= 0 || !validate_one_in(&c->random, 4)) return;
    q->sums = validate_add_tensor(c, "sums", QMM_S32, p->rows, groups, p->batch, VALIDATE_OUTPUT);
}

/* sums[i,g] = sum of the codes of row i, group g. */
void convert_expect_sums(validate_case *c) {
    const validate_quant *q = &c->as.convert.target_quant;
    const validate_tensor *codes = &c->tensors[CONVERT_TARGET], *sums;
    const int64_t length = q->granularity == QMM_PER_ROW_GROUP ? q->block_cols : c->as.convert.cols;
    if (q->sums < 0) return;
    sums = &c->tensors[q->sums];
    for (int64_t b = 0; b < sums->batch; b++)
        for (int64_t i = 0; i < sums->rows; i++)
            for (int64_t g = 0; g < sums->cols; g++) {
                double sum = 0.0;
                for (int64_t j = g * length; j < (g + 1) * length; j++)
                    sum += validate_load(codes, codes->want, b, i, j);
                validate_store(sums, sums->want, b, i, g, sum);
            }
}

void convert_end(validate_case *c) {
    const validate_convert *p = &c->as.convert;
    const double elements = (double)p->rows * (double)p->cols * (double)p->batch;
    c->operations = elements;
    c->bytes_moved = elements *
                     (qmm_type_bits(c->tensors[CONVERT_SOURCE].type) + qmm_type_bits(c->tensors[CONVERT_TARGET].type)) /
                     8.0;
}

void convert_describe(const validate_case *c, char *text, size_t bytes) {
    const validate_convert *p = &c->as.convert;
    const validate_tensor *s = &c->tensors[CONVERT_SOURCE], *t = &c->tensors[CONVERT_TARGET];
    char source[96], target[96];
    validate_describe_quant(c, &p->source_quant, source, sizeof source);
    validate_describe_quant(c, &p->target_quant, target, sizeof target);
    validate_append(text, bytes,
                    "%" PRId64 " x %" PRId64 " batch %" PRId64 ", %s (%s; strides %" PRId64 " %" PRId64
                    ") to %s (%s; strides %" PRId64 " %" PRId64 "), fill %d",
                    p->rows, p->cols, p->batch, qmm_type_name(s->type), source, s->row_stride, s->batch_stride,
                    qmm_type_name(t->type), target, t->row_stride, t->batch_stride, p->fill);
}
