/* SPDX-License-Identifier: Apache-2.0
 *
 * A layer as an application runs it: activations of bf16, quantized per token (row) on the device, times weights that
 * were quantized before; one run is both calls. */
#include <string.h>

#include "peers.h"

typedef struct tokens_state {
    bench_session *s;
    const bench_case *c;
    cli_operands operands;
    qmm_buffer *reals; /* A before it is quantized, as often as there are operands */
    size_t step;       /* bytes from one to the next */
    char what[BENCH_WHAT];
} tokens_state;

static qmm_status run_tokens(void *state, int turn) {
    const tokens_state *t = state;
    const int copy = turn % t->operands.copies;
    const cli_operands_call call = cli_operands_at(&t->operands, copy);
    qmm_tensor x = qmm_matrix(t->reals, QMM_BF16, call.a->rows, call.a->cols);
    qmm_quant quant = QMM_QUANT_INIT;
    qmm_status status;
    x.offset = (size_t)copy * t->step;
    quant.granularity = QMM_PER_ROW;
    quant.scale = call.desc->quant_a->scale;
    status = qmm_quantize_dynamic(t->operands.context, &x, &quant, call.a);
    return status == QMM_OK ? qmm_matmul(t->operands.context, call.desc, call.a, call.b, call.c) : status;
}

/* What quantize_dynamic gives has to be what the matmul takes. */
static bool fits(const bench_case *c) {
    const cli_call *call = &c->call;
    return call->a == QMM_S8 && call->scales_by_row && call->c != QMM_S32 && !call->zeros && !call->transpose_a &&
           c->shape.batch == 1 && c->shape.m > 0 && c->shape.k > 0;
}

static qmm_status make_operands(tokens_state *t) {
    qmm_context *const context = t->s->device.context;
    const cli_shape *shape = &t->c->shape;
    cli_operands sizes;
    qmm_status status;
    cli_operands_plan(&t->c->call, shape, &sizes);
    status =
        cli_operands_create(context, &t->c->call, shape, bench_device_copies(&t->s->device, cli_operands_bytes(&sizes)),
                            t->s->seed, &t->operands);
    if (status != QMM_OK) return status;
    t->step = bench_aligned((size_t)(shape->m * shape->k) * 2);
    status = bench_device_random(context, QMM_BF16, t->step * (size_t)t->operands.copies, &t->reals);
    if (status != QMM_OK) cli_operands_free(&t->operands);
    return status;
}

/* How much the device is given to do in one run: kernels, copies and fills. 0: the driver does not tell. */
static int count_launches(tokens_state *t) {
    const bench_driver *d = &t->s->device.driver;
    void *graph = NULL;
    size_t nodes = 0;
    qmm_status status;
    int ended;
    if (!d->library || !d->graph_nodes || d->begin_capture(d->stream, 0) != 0) return 0;
    status = run_tokens(t, 0);
    ended = d->end_capture(d->stream, &graph);
    if (status != QMM_OK || ended != 0 || d->graph_nodes(graph, NULL, &nodes) != 0) nodes = 0;
    if (graph) d->graph_free(graph);
    return (int)nodes;
}

static void report(tokens_state *t, const bench_work *work) {
    bench_row row = bench_row_of(t->c, "qmm", t->what);
    const cli_operands_call call = cli_operands_at(&t->operands, 0);
    qmm_matmul_plan_info info = QMM_MATMUL_PLAN_INFO_INIT;
    if (qmm_matmul_plan(t->operands.context, call.desc, call.a, call.b, call.c, &info) == QMM_OK) {
        snprintf(row.kernel, sizeof row.kernel, "%s", info.kernel);
        snprintf(row.variant, sizeof row.variant, "%s", info.variant);
    }
    row.chosen = true;
    row.time = work->time;
    row.operations = bench_matmul_operations(&t->c->shape);
    row.bytes = cli_operands_bytes(&t->operands) + (double)t->c->shape.m * (double)t->c->shape.k; /* 2 bytes, not 1 */
    row.launches = count_launches(t);
    bench_report_row(&t->s->report, &row);
}

qmm_status bench_run_tokens(bench_session *s, const bench_case *c) {
    tokens_state t = { .s = s, .c = c };
    bench_work work = { .run = run_tokens, .state = &t, .context = s->device.context, .on_device = true };
    char call[BENCH_WHAT - 32];
    qmm_status status;
    cli_call_describe(&c->call, call, sizeof call);
    snprintf(t.what, sizeof t.what, "bf16 -> s8 per row, then %s", call);
    if (!fits(c)) {
        bench_skip_case(s, c, "qmm", "", t.what, "it takes s8 with a scale per row, to a type with scales, one matrix");
        return QMM_OK;
    }
    status = make_operands(&t);
    if (status != QMM_OK) {
        bench_skip_case(s, c, "qmm", "", t.what, bench_why(s->device.context, status));
        return bench_is_fatal(status) ? status : QMM_OK;
    }
    bench_measure(&s->device.rig, &work, 1);
    if (work.status == QMM_OK)
        report(&t, &work);
    else
        bench_skip_case(s, c, "qmm", "", t.what, bench_why(s->device.context, work.status));
    cli_operands_free(&t.operands);
    qmm_buffer_free(t.reals);
    return bench_is_fatal(work.status) ? work.status : QMM_OK;
}
