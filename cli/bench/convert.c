/* SPDX-License-Identifier: Apache-2.0
 *
 * What memory limits: the copy, and the conversions beside it, in bytes read plus bytes written, each once. */
#include <string.h>

#include "peers.h"

typedef struct convert_state {
    bench_session *s;
    const bench_case *c;
    int copies;
    qmm_tensor from, to, scale; /* the copies lie behind each other */
    size_t from_step, to_step;  /* bytes */
    char what[BENCH_WHAT];
} convert_state;

/* ---- one run ----------------------------------------------------------------------------------------------------- */

static qmm_status convert(void *state, int turn) {
    const convert_state *v = state;
    qmm_context *const context = v->s->device.context;
    const qmm_quant plain = QMM_QUANT_INIT;
    qmm_quant quant = QMM_QUANT_INIT;
    qmm_tensor from = v->from, to = v->to;
    double min, max;
    from.offset += (size_t)(turn % v->copies) * v->from_step;
    to.offset += (size_t)(turn % v->copies) * v->to_step;
    quant.granularity = v->c->conversion.granularity;
    quant.group_size = v->c->conversion.group;
    quant.scale = &v->scale;
    switch (v->c->operation) {
    case BENCH_QUANTIZE: return qmm_quantize(context, &from, &quant, &to);
    case BENCH_QUANTIZE_DYNAMIC: return qmm_quantize_dynamic(context, &from, &quant, &to);
    case BENCH_DEQUANTIZE: return qmm_dequantize(context, &from, &quant, &to);
    case BENCH_REQUANTIZE: return qmm_requantize(context, &from, &plain, &to, &quant);
    case BENCH_FIND_RANGE: return qmm_find_range(context, &from, NULL, &min, &max);
    case BENCH_COPY:
    case BENCH_CALL:
    case BENCH_MATMUL:
    case BENCH_TOKENS:
    case BENCH_OPERATIONS: break;
    }
    return QMM_INTERNAL;
}

/* ---- operands ---------------------------------------------------------------------------------------------------- */

/* A dense matrix, `offset` elements behind the start of memory of its own, so many times. */
static qmm_status make_tensor(const convert_state *v, qmm_type type, qmm_tensor *t, size_t *step) {
    const bench_case *c = v->c;
    const int bits = qmm_type_bits(type);
    size_t bytes;
    qmm_status status = qmm_matrix_bytes(type, c->shape.m, c->shape.n, 1, &bytes);
    if (status != QMM_OK) return qmm_buffer_create(v->s->device.context, PTRDIFF_MAX, &t->buffer); /* says so */
    *t = qmm_matrix(NULL, type, c->shape.m, c->shape.n);
    t->offset = (size_t)c->conversion.offset * (size_t)(bits < 8 ? 8 : bits) / 8;
    *step = bench_aligned(bytes + t->offset);
    return bench_device_random(v->s->device.context, type, *step * (size_t)v->copies, &t->buffer);
}

static qmm_status make_scale(convert_state *v) {
    const bench_conversion *n = &v->c->conversion;
    const cli_shape *s = &v->c->shape;
    const int64_t group = n->group > 0 ? n->group : 1;
    const int64_t rows = n->granularity == QMM_PER_ROW || n->granularity == QMM_PER_ROW_GROUP ? s->m : 1;
    const int64_t cols = n->granularity == QMM_PER_COLUMN      ? s->n
                         : n->granularity == QMM_PER_ROW_GROUP ? s->n / group
                                                               : 1;
    v->scale = qmm_matrix(NULL, QMM_F32, rows, cols);
    return bench_device_random(v->s->device.context, QMM_F32, (size_t)(rows * cols) * 4, &v->scale.buffer);
}

static qmm_status make_operands(convert_state *v) {
    const bench_conversion *n = &v->c->conversion;
    qmm_status status = make_tensor(v, n->from, &v->from, &v->from_step);
    if (status == QMM_OK) status = make_scale(v);
    if (status == QMM_OK && n->to) status = make_tensor(v, n->to, &v->to, &v->to_step);
    return status;
}

static void free_operands(convert_state *v) {
    qmm_buffer_free(v->from.buffer), qmm_buffer_free(v->to.buffer), qmm_buffer_free(v->scale.buffer);
}

/* ---- rows -------------------------------------------------------------------------------------------------------- */

static bench_work work_of(convert_state *v) {
    return (bench_work){ .run = convert, .state = v, .context = v->s->device.context, .on_device = true };
}

static void report(convert_state *v, const bench_candidate *candidate, const bench_work *work) {
    bench_row row = bench_row_of(v->c, "qmm", v->what);
    if (work->status != QMM_OK) {
        bench_skip_case(v->s, v->c, "qmm", candidate->kernel, v->what, bench_why(v->s->device.context, work->status));
        return;
    }
    memcpy(row.kernel, candidate->kernel, sizeof row.kernel);
    memcpy(row.variant, candidate->variant, sizeof row.variant);
    row.chosen = candidate->force[0] == '\0';
    row.time = work->time;
    row.bytes = bench_conversion_bytes(v->c);
    bench_report_row(&v->s->report, &row);
}

static qmm_status measure(convert_state *v, const bench_candidate *candidate, bool with_peers) {
    bench_work works[1 + BENCH_PEERS_MAX];
    bench_peer_set peers = { .count = 0 };
    if (candidate->force[0] && qmm_kernel_force(v->s->device.context, candidate->force) != QMM_OK) return QMM_INTERNAL;
    if (with_peers) bench_peers_open(v->s, v->c, &peers);
    works[0] = work_of(v);
    bench_peers_works(&peers, works + 1);
    bench_measure(&v->s->device.rig, works, 1 + peers.count);
    report(v, candidate, &works[0]);
    bench_peers_report(v->s, v->c, &peers, works + 1);
    bench_peers_close(&peers);
    (void)qmm_kernel_force(v->s->device.context, NULL);
    return works[0].status;
}

/* No call says which row a conversion runs on: the choice is measured as such, without a name unless a device has but
 * one. */
static qmm_status run_rows(convert_state *v) {
    bench_candidate list[BENCH_CANDIDATES], chosen = { .named = true };
    qmm_status status = QMM_OK;
    int count;
    snprintf(chosen.kernel, sizeof chosen.kernel, "%s", bench_only_row(v->s, v->c->operation));
    count = bench_candidates(v->s, v->c->operation, &chosen, list);
    for (int i = 0; i < count && !bench_is_fatal(status); i++) status = measure(v, &list[i], i == 0);
    return bench_is_fatal(status) ? status : QMM_OK;
}

qmm_status bench_run_conversion(bench_session *s, const bench_case *c) {
    convert_state v = { .s = s, .c = c, .copies = bench_device_copies(&s->device, bench_conversion_bytes(c)) };
    qmm_status status;
    bench_conversion_describe(c, v.what, sizeof v.what);
    status = make_operands(&v);
    if (status == QMM_OK)
        status = run_rows(&v);
    else
        bench_skip_case(s, c, "qmm", "", v.what, bench_why(s->device.context, status));
    free_operands(&v);
    return bench_is_fatal(status) ? status : QMM_OK;
}

/* ---- the copy ---------------------------------------------------------------------------------------------------- */

/* It was measured at the start, since the others are held against it; here are its figures, and memcpy's. */
qmm_status bench_run_copy(bench_session *s, const bench_case *given) {
    bench_work works[BENCH_PEERS_MAX];
    bench_peer_set peers;
    bench_case c = *given;
    bench_row row;
    c.shape.m = 1;
    c.shape.n = (int64_t)s->device.copy_bytes;
    row = bench_row_of(&c, "qmm", "bytes, by qmm_buffer_copy");
    row.chosen = true;
    row.time = s->device.copy_time;
    row.bytes = 2.0 * (double)s->device.copy_bytes;
    bench_report_row(&s->report, &row);
    bench_peers_open(s, &c, &peers);
    bench_peers_works(&peers, works);
    bench_measure(&s->device.rig, works, peers.count);
    bench_peers_report(s, &c, &peers, works);
    bench_peers_close(&peers);
    return QMM_OK;
}
