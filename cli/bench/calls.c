/* SPDX-License-Identifier: Apache-2.0
 *
 * What a call costs the host, and what a small one takes on the device: a matmul whose kernel is over before the next
 * is queued, beside the launch of a kernel that does nothing; the same calls recorded in a graph; and the first uses
 * of the device. */
#include <string.h>

#include "peers.h"

enum {
    AT_ONCE = 500, /* fewer than a driver's queue holds, so that the host never waits for the device */
    RECORDED = 100
};

typedef struct calls_state {
    bench_session *s;
    const bench_case *c;
    cli_operands smallest, packed; /* 1 x 1 x 1 without packing; 1 x 64 x 512 with it */
    qmm_buffer *memory;
    qmm_tensor real, brief, codes, scale; /* 1 x 4096: f32, bf16, s8; and a scale for them */
    void *graph;
} calls_state;

static const cli_call smallest_call = { .a = QMM_S8, .b = QMM_S8, .c = QMM_S32 };
static const cli_call packed_call = { .a = QMM_S8, .b = QMM_S8, .c = QMM_F32, .packed = true, .transpose_b = true };
static const cli_shape smallest_shape = { "", 1, 1, 1, 1 }, packed_shape = { "", 1, 64, 512, 1 },
                       converted_shape = { "", 1, 4096, 0, 1 }, no_shape = { "", 0, 0, 0, 1 };

/* ---- what is called ---------------------------------------------------------------------------------------------- */

static qmm_status run_smallest(void *state, int turn) {
    (void)turn;
    return cli_operands_run(&((calls_state *)state)->smallest, 0);
}

static qmm_status run_packed(void *state, int turn) {
    (void)turn;
    return cli_operands_run(&((calls_state *)state)->packed, 0);
}

static qmm_status run_quantize(void *state, int turn) {
    const calls_state *s = state;
    (void)turn;
    return qmm_quantize(s->s->device.context, &s->real, NULL, &s->codes);
}

static qmm_quant by_row(const calls_state *s) {
    qmm_quant quant = QMM_QUANT_INIT;
    quant.granularity = QMM_PER_ROW;
    quant.scale = &s->scale;
    return quant;
}

static qmm_status run_dynamic(void *state, int turn) {
    const calls_state *s = state;
    const qmm_quant quant = by_row(s);
    (void)turn;
    return qmm_quantize_dynamic(s->s->device.context, &s->brief, &quant, &s->codes);
}

static qmm_status run_dequantize(void *state, int turn) {
    const calls_state *s = state;
    const qmm_quant quant = by_row(s);
    (void)turn;
    return qmm_dequantize(s->s->device.context, &s->codes, &quant, &s->brief);
}

static qmm_status run_nothing(void *state, int turn) {
    (void)state, (void)turn;
    return QMM_OK;
}

/* Of a driver's own call, which leaves no text on the context. */
static qmm_status of_driver(int result) {
    return result == 0 ? QMM_OK : QMM_DEVICE_FAILED;
}

static qmm_status run_empty(void *state, int turn) {
    (void)turn;
    return of_driver(bench_driver_empty(&((calls_state *)state)->s->device.driver));
}

static qmm_status run_graph(void *state, int turn) {
    const calls_state *s = state;
    const bench_driver *d = &s->s->device.driver;
    (void)turn;
    return of_driver(d->graph_launch(s->graph, d->stream));
}

typedef qmm_status (*run_function)(void *state, int turn);

/* ---- figures ----------------------------------------------------------------------------------------------------- */

static void report(calls_state *s, const char *who, const cli_shape *shape, const char *what,
                   const bench_timing *time) {
    bench_row row = bench_row_of(s->c, who, what);
    row.shape = *shape;
    row.chosen = strcmp(who, "qmm") == 0;
    row.time = *time;
    bench_report_row(&s->s->report, &row);
}

static qmm_status finish(calls_state *s, const char *who, const cli_shape *shape, const char *what,
                         const bench_work *work) {
    bench_case c = *s->c;
    c.shape = *shape;
    if (work->status == QMM_OK)
        report(s, who, shape, what, &work->time);
    else
        bench_skip_case(s->s, &c, who, "", what, bench_why(s->s->device.context, work->status));
    return bench_is_fatal(work->status) ? work->status : QMM_OK;
}

static bench_work work_of(calls_state *s, run_function run) {
    return (bench_work){ .run = run, .state = s, .context = s->s->device.context, .on_device = true };
}

static qmm_status on_host(calls_state *s, const char *who, const cli_shape *shape, const char *what, run_function run) {
    bench_work work = work_of(s, run);
    bench_measure_host(&s->s->device.rig, &work, AT_ONCE);
    return finish(s, who, shape, what, &work);
}

static qmm_status on_device(calls_state *s, const char *who, const cli_shape *shape, const char *what,
                            run_function run) {
    bench_work work = work_of(s, run);
    bench_measure(&s->s->device.rig, &work, 1);
    return finish(s, who, shape, what, &work);
}

/* ---- graphs ------------------------------------------------------------------------------------------------------ */

/* RECORDED runs as one graph. */
static qmm_status record(calls_state *s, run_function run) {
    const bench_driver *d = &s->s->device.driver;
    qmm_status status = of_driver(d->begin_capture(d->stream, 0));
    void *graph = NULL;
    int ended;
    if (status != QMM_OK) return status;
    for (int i = 0; i < RECORDED && status == QMM_OK; i++) status = run(s, i);
    ended = d->end_capture(d->stream, &graph);
    if (status == QMM_OK) status = of_driver(ended);
    if (status == QMM_OK) status = of_driver(d->graph_instantiate(&s->graph, graph, 0));
    if (graph) d->graph_free(graph);
    return status;
}

/* A driver may have no graphs: that is no end of the run, unless the device is lost with it. */
static qmm_status refuse_graph(calls_state *s, const char *who, const cli_shape *shape, const char *what) {
    bench_case c = *s->c;
    c.shape = *shape;
    bench_skip_case(s->s, &c, who, "", what, "the driver did not record it as a graph");
    return qmm_context_synchronize(s->s->device.context);
}

static qmm_status replay(calls_state *s, const char *who, const cli_shape *shape, const char *what, run_function run) {
    bench_work work = work_of(s, run_graph);
    const qmm_status status = record(s, run);
    if (status != QMM_OK) return refuse_graph(s, who, shape, what);
    work.repeats = RECORDED;
    bench_measure(&s->s->device.rig, &work, 1);
    s->s->device.driver.executable_free(s->graph);
    return finish(s, who, shape, what, &work);
}

/* ---- all of them ------------------------------------------------------------------------------------------------- */

static void report_first_use(calls_state *s) {
    const bench_first_use *f = &s->s->device.first;
    const struct {
        const char *what;
        double seconds;
    } uses[] = { { "first use: opening the device", f->open },
                 { "first use: quantize, with what it builds", f->quantize },
                 { "first use: matmul, with what it builds", f->matmul },
                 { "first use: building and testing all other kernels", f->prepare } };
    for (int i = 0; i < 4; i++) {
        const double t = uses[i].seconds;
        const bench_timing time = { t, t, t, t, t, 1 };
        report(s, "qmm", &no_shape, uses[i].what, &time);
    }
}

/* The first is of one element, and measured on the host alone; the others are of a token. */
static const struct {
    const char *what;
    const cli_shape *shape;
    run_function run;
} small_calls[] = {
    { "qmm_matmul, s8 x s8 -> s32", &smallest_shape, run_smallest },
    { "qmm_matmul, packed weights", &packed_shape, run_packed },
    { "qmm_quantize f32 -> s8", &converted_shape, run_quantize },
    { "qmm_quantize_dynamic bf16 -> s8", &converted_shape, run_dynamic },
    { "qmm_dequantize s8 -> bf16", &converted_shape, run_dequantize },
};

typedef qmm_status (*measure_function)(calls_state *s, const char *who, const cli_shape *shape, const char *what,
                                       run_function run);

static qmm_status run_all(calls_state *s, const char *how, measure_function measure, int first) {
    const int count = (int)(sizeof small_calls / sizeof small_calls[0]);
    qmm_status status = QMM_OK;
    for (int i = first; i < count && status == QMM_OK; i++) {
        char what[BENCH_WHAT];
        snprintf(what, sizeof what, "%s%s", how, small_calls[i].what);
        status = measure(s, "qmm", small_calls[i].shape, what, small_calls[i].run);
    }
    return status;
}

static qmm_status run_all_on_device(calls_state *s) {
    const qmm_status status = on_device(s, "driver", &no_shape, "device: between two marks, nothing", run_nothing);
    return status == QMM_OK ? run_all(s, "device: ", on_device, 1) : status;
}

static qmm_status run_all_empty(calls_state *s) {
    bench_case c = *s->c;
    qmm_status status;
    c.shape = no_shape;
    if (!bench_peer_is_wanted(s->s, &c, "launch")) return QMM_OK;
    if (!s->s->device.driver.empty_kernel) { /* as where the driver cannot be loaded a second time */
        bench_skip_case(s->s, &c, "driver", "", "launching an empty kernel", "the driver did not compile one");
        return QMM_OK;
    }
    status = on_host(s, "driver", &no_shape, "host: launch of an empty kernel", run_empty);
    if (status == QMM_OK) status = on_device(s, "driver", &no_shape, "device: an empty kernel", run_empty);
    if (status == QMM_OK)
        status = replay(s, "driver", &no_shape, "graph of 100, one of them: an empty kernel", run_empty);
    return status;
}

static qmm_status make_operands(calls_state *s) {
    qmm_context *const context = s->s->device.context;
    qmm_status status = cli_operands_create(context, &smallest_call, &smallest_shape, 1, s->s->seed, &s->smallest);
    if (status == QMM_OK) status = cli_operands_create(context, &packed_call, &packed_shape, 1, s->s->seed, &s->packed);
    if (status != QMM_OK) return status;
    status = bench_device_random(context, QMM_F32, 4096 * 7 + 4, &s->memory);
    s->real = qmm_matrix(s->memory, QMM_F32, 1, 4096);
    s->brief = qmm_matrix(s->memory, QMM_BF16, 1, 4096);
    s->codes = qmm_matrix(s->memory, QMM_S8, 1, 4096);
    s->scale = qmm_matrix(s->memory, QMM_F32, 1, 1);
    s->brief.offset = 4096 * 4, s->codes.offset = 4096 * 6, s->scale.offset = 4096 * 7;
    return status;
}

qmm_status bench_run_calls(bench_session *session, const bench_case *c) {
    calls_state s = { .s = session, .c = c };
    const bench_driver *const driver = &session->device.driver;
    qmm_status status = make_operands(&s);
    if (status == QMM_OK) status = run_all(&s, "host: ", on_host, 0);
    if (status == QMM_OK && session->device.rig.device_clock) status = run_all_on_device(&s);
    if (status == QMM_OK && driver->library) status = run_all(&s, "graph of 100, one of them: ", replay, 1);
    if (status == QMM_OK) status = run_all_empty(&s);
    if (status == QMM_OK) report_first_use(&s);
    cli_operands_free(&s.smallest);
    cli_operands_free(&s.packed);
    qmm_buffer_free(s.memory);
    return status;
}
