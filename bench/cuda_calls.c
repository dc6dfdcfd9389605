/* SPDX-License-Identifier: Apache-2.0
 *
 * What a call costs the host, and what a small one costs the device: a matmul whose kernel is over before the next is
 * queued, beside the launch of a kernel that does nothing; and the same calls recorded in a graph. */
#include "cuda_rig.h"

#include <stdio.h>

enum {
    CALLS = 10000,
    AT_ONCE = 500, /* fewer than the driver's queue holds, so that the host never waits for the device */
    RECORDED = 100
};

typedef struct calls_state {
    qmm_matmul_desc desc;
    qmm_tensor a, c, real, codes;
    qmm_weights *weights;
    qmm_quant quant;
    qmm_buffer *memory;
    void *graph;
} calls_state;

static void run_matmul(bench_rig *r, void *state, int turn) {
    const calls_state *s = state;
    (void)turn;
    bench_require(r->context, qmm_matmul(r->context, &s->desc, &s->a, NULL, &s->c));
}

static void run_quantize(bench_rig *r, void *state, int turn) {
    const calls_state *s = state;
    (void)turn;
    bench_require(r->context, qmm_quantize(r->context, &s->real, &s->quant, &s->codes));
}

static void run_empty(bench_rig *r, void *state, int turn) {
    (void)state, (void)turn;
    bench_driver_empty(&r->driver);
}

static void run_graph(bench_rig *r, void *state, int turn) {
    const calls_state *s = state;
    (void)turn;
    bench_driver_require(r->driver.graph_launch(s->graph, r->driver.stream), "cuGraphLaunch");
}

static void run_nothing(bench_rig *r, void *state, int turn) {
    (void)r, (void)state, (void)turn;
}

/* Seconds of the host for one call, over CALLS of them. */
static bench_timing host_cost(bench_rig *r, bench_work work, void *state) {
    const int rounds = r->simulated ? 1 : CALLS / AT_ONCE, calls = r->simulated ? 3 : AT_ONCE;
    double seconds[CALLS / AT_ONCE];
    for (int i = 0; i < rounds; i++) {
        double start;
        work(r, state, 0);
        bench_require(r->context, qmm_context_synchronize(r->context));
        start = bench_now();
        for (int n = 0; n < calls; n++) work(r, state, n);
        seconds[i] = (bench_now() - start) / calls;
        bench_require(r->context, qmm_context_synchronize(r->context));
    }
    return bench_summarize(seconds, rounds);
}

/* RECORDED runs as one graph. */
static void record(bench_rig *r, bench_work work, calls_state *s) {
    const bench_driver *d = &r->driver;
    void *graph;
    bench_driver_require(d->begin_capture(d->stream, 0), "cuStreamBeginCapture");
    for (int i = 0; i < RECORDED; i++) work(r, s, i);
    bench_driver_require(d->end_capture(d->stream, &graph), "cuStreamEndCapture");
    bench_driver_require(d->graph_instantiate(&s->graph, graph, 0), "cuGraphInstantiate");
    bench_driver_require(d->graph_free(graph), "cuGraphDestroy");
}

static void report(bench_rig *r, const char *name, const char *shape, bench_timing time) {
    bench_figure f = { .group = "calls", .name = name, .kernel = "", .time = time };
    snprintf(f.shape, sizeof f.shape, "%s", shape);
    bench_report(r, &f);
}

static bench_timing divided(bench_timing t, int by) {
    t.median /= by, t.fastest /= by, t.slowest /= by;
    return t;
}

static void report_replay(bench_rig *r, const char *name, const char *shape, bench_work work, calls_state *s) {
    record(r, work, s);
    report(r, name, shape, divided(bench_measure(r, run_graph, s), RECORDED));
    r->driver.executable_free(s->graph);
}

/* One token, 64 columns, K = 512, aligned, packed weights: a single small kernel where a row has one. */
static void open_state(bench_rig *r, calls_state *s) {
    enum { N = 64, K = 512, A = 65536, C = A + 4096, REAL = C + 4096, CODES = REAL + 16384, BYTES = CODES + 4096 };
    const qmm_quant plain = QMM_QUANT_INIT;
    const qmm_matmul_desc desc = QMM_MATMUL_DESC_INIT;
    qmm_weights_options options = QMM_WEIGHTS_OPTIONS_INIT;
    qmm_tensor b;
    s->memory = bench_codes(r, BYTES);
    b = qmm_matrix(s->memory, QMM_S8, N, K);
    options.transpose_b = 1;
    bench_require(r->context, qmm_weights_create(r->context, &b, &options, &s->weights));
    s->desc = desc;
    s->desc.weights = s->weights;
    s->quant = plain;
    s->a = qmm_matrix(s->memory, QMM_S8, 1, K), s->a.offset = A;
    s->c = qmm_matrix(s->memory, QMM_F32, 1, N), s->c.offset = C;
    s->real = qmm_matrix(s->memory, QMM_F32, 1, 4096), s->real.offset = REAL;
    s->codes = qmm_matrix(s->memory, QMM_S8, 1, 4096), s->codes.offset = CODES;
}

void bench_cuda_calls(bench_rig *r) {
    static const char matmul[] = "1 x 64 x 512", quantize[] = "1 x 4096";
    calls_state s;
    open_state(r, &s);
    bench_table_head(r, "Calls: what they cost the host, and what the smallest ones take on the device");
    report(r, "host: qmm_matmul, packed weights", matmul, host_cost(r, run_matmul, &s));
    report(r, "host: qmm_quantize", quantize, host_cost(r, run_quantize, &s));
    if (r->driver.empty_kernel) report(r, "host: launch of an empty kernel", "", host_cost(r, run_empty, &s));
    report(r, "device: between two events, nothing", "", bench_measure(r, run_nothing, &s));
    if (r->driver.empty_kernel) report(r, "device: an empty kernel", "", bench_measure(r, run_empty, &s));
    report(r, "device: qmm_matmul, packed weights", matmul, bench_measure(r, run_matmul, &s));
    report(r, "device: qmm_quantize f32 to s8", quantize, bench_measure(r, run_quantize, &s));
    report_replay(r, "graph of 100, one of them: qmm_matmul", matmul, run_matmul, &s);
    report_replay(r, "graph of 100, one of them: qmm_quantize", quantize, run_quantize, &s);
    if (r->driver.empty_kernel) report_replay(r, "graph of 100, one of them: an empty kernel", "", run_empty, &s);
    qmm_weights_free(s.weights);
    qmm_buffer_free(s.memory);
}
