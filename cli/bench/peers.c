/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of peers, and those of them that need no GPU. */
#define _GNU_SOURCE
#include "peers.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static bool refuse(bench_peer_run *run, const char *reason) {
    snprintf(run->reason, sizeof run->reason, "%s", reason);
    return false;
}

/* ---- oneDNN's gemm, called directly ------------------------------------------------------------------------------ */

typedef int (*gemm_s8)(char, char, char, int64_t, int64_t, int64_t, float, const int8_t *, int64_t, int8_t,
                       const int8_t *, int64_t, int8_t, float, int32_t *, int64_t, const int32_t *);
typedef int (*gemm_u8)(char, char, char, int64_t, int64_t, int64_t, float, const uint8_t *, int64_t, uint8_t,
                       const int8_t *, int64_t, int8_t, float, int32_t *, int64_t, const int32_t *);

typedef struct onednn_state {
    void *library;
    gemm_s8 s8;
    gemm_u8 u8;
    cli_operands operands; /* s8 or u8 by s8 into s32, the transposes of the case */
} onednn_state;

static bool load_onednn(onednn_state *o) {
    const char *const given = getenv("QMM_ONEDNN_LIBRARY"); /* strict: that one or none */
    void *s8, *u8;
    o->library = dlopen(given ? given : "libdnnl.so.3", RTLD_NOW | RTLD_LOCAL);
    if (!o->library && !given) o->library = dlopen("libdnnl.so.2", RTLD_NOW | RTLD_LOCAL);
    if (!o->library) return false;
    s8 = dlsym(o->library, "dnnl_gemm_s8s8s32"), u8 = dlsym(o->library, "dnnl_gemm_u8s8s32");
    memcpy(&o->s8, &s8, sizeof s8), memcpy(&o->u8, &u8, sizeof u8);
    return s8 && u8;
}

static qmm_status run_onednn(void *state, int turn) {
    const onednn_state *o = state;
    const cli_operands_call call = cli_operands_at(&o->operands, turn);
    const cli_shape *s = &o->operands.shape;
    const char transpose_a = o->operands.call.transpose_a ? 'T' : 'N',
               transpose_b = o->operands.call.transpose_b ? 'T' : 'N';
    const int32_t zero = 0;
    int result = 0;
    for (int64_t i = 0; i < s->batch && result == 0; i++) {
        const unsigned char *const a =
            (const unsigned char *)qmm_buffer_native(call.a->buffer) + i * call.a->batch_stride;
        const int8_t *const b = (const int8_t *)qmm_buffer_native(call.b->buffer) + i * call.b->batch_stride;
        int32_t *const c = (int32_t *)qmm_buffer_native(call.c->buffer) + i * call.c->batch_stride;
        if (o->operands.call.a == QMM_U8)
            result = o->u8(transpose_a, transpose_b, 'F', s->m, s->n, s->k, 1.0f, a, call.a->row_stride, 0, b,
                           call.b->row_stride, 0, 0.0f, c, call.c->row_stride, &zero);
        else
            result = o->s8(transpose_a, transpose_b, 'F', s->m, s->n, s->k, 1.0f, (const int8_t *)a, call.a->row_stride,
                           0, b, call.b->row_stride, 0, 0.0f, c, call.c->row_stride, &zero);
    }
    return result == 0 ? QMM_OK : QMM_INTERNAL;
}

static void close_onednn(void *state) {
    onednn_state *o = state;
    cli_operands_free(&o->operands); /* the library stays loaded: it has threads of its own */
    free(o);
}

static bool open_onednn(bench_session *s, const bench_case *c, bench_peer_run *run) {
    const cli_call call = { .a = c->call.a,
                            .b = QMM_S8,
                            .c = QMM_S32,
                            .transpose_a = c->call.transpose_a,
                            .transpose_b = c->call.transpose_b };
    cli_operands plan;
    qmm_status status;
    onednn_state *o;
    int copies;
    if (c->call.b != QMM_S8) return refuse(run, "its gemm takes s8 x s8 and u8 x s8");
    o = calloc(1, sizeof *o);
    if (!o) return refuse(run, "no memory");
    run->state = o;
    cli_operands_plan(&call, &c->shape, &plan);
    run->bytes = cli_operands_bytes(&plan);
    run->operations = bench_matmul_operations(&c->shape);
    copies = bench_device_copies(&s->device, run->bytes);
    snprintf(run->what, sizeof run->what, "%s x s8 -> s32, gemm called directly", qmm_type_name(call.a));
    if (!load_onednn(o)) {
        close_onednn(o);
        return refuse(run, "there is no oneDNN library");
    }
    status = cli_operands_create(s->device.context, &call, &c->shape, copies, s->seed, &o->operands);
    if (status == QMM_OK) return true;
    close_onednn(o);
    return refuse(run, bench_why(s->device.context, status));
}

/* ---- copies ------------------------------------------------------------------------------------------------------ */

/* As many bytes, read plus written, as the operation. */
double bench_conversion_bytes(const bench_case *c) {
    const double elements = (double)c->shape.m * (double)c->shape.n;
    const bench_conversion *v = &c->conversion;
    double parameters = 1.0;
    if (c->operation == BENCH_COPY) return 0.0;
    if (c->operation == BENCH_FIND_RANGE) return elements * qmm_type_bits(v->from) / 8.0;
    if (v->granularity == QMM_PER_ROW) parameters = (double)c->shape.m;
    if (v->granularity == QMM_PER_COLUMN) parameters = (double)c->shape.n;
    if (v->granularity == QMM_PER_ROW_GROUP) parameters = elements / (double)v->group;
    return elements * (qmm_type_bits(v->from) + qmm_type_bits(v->to)) / 8.0 + 4.0 * parameters;
}

/* What is copied, in as many copies as the operation has of its operands. */
typedef struct moved {
    size_t bytes, step; /* step: to the next */
    int copies;
} moved;

static moved moved_by(const bench_session *s, const bench_case *c) {
    moved m = { s->device.copy_bytes, 0, 1 };
    if (c->operation != BENCH_COPY) {
        m.bytes = (size_t)(bench_conversion_bytes(c) / 2.0) + 1;
        m.copies = bench_device_copies(&s->device, bench_conversion_bytes(c));
    }
    m.step = bench_aligned(m.bytes);
    return m;
}

static size_t all_bytes(const moved *m) {
    return m->step * (size_t)m->copies;
}

static size_t place_of(const moved *m, int turn) {
    return m->step * (size_t)(turn % m->copies);
}

typedef struct memcpy_state {
    unsigned char *from, *to;
    moved moved;
} memcpy_state;

static qmm_status run_memcpy(void *state, int turn) {
    const memcpy_state *m = state;
    const size_t place = place_of(&m->moved, turn);
    memcpy(m->to + place, m->from + place, m->moved.bytes);
    return QMM_OK;
}

static void close_memcpy(void *state) {
    memcpy_state *m = state;
    free(m->from), free(m->to), free(m);
}

static bool open_memcpy(bench_session *s, const bench_case *c, bench_peer_run *run) {
    const moved what = moved_by(s, c);
    const size_t bytes = all_bytes(&what);
    memcpy_state *m;
    if (s->device.info.kind != QMM_DEVICE_KIND_CPU) return refuse(run, "the device is no CPU");
    m = calloc(1, sizeof *m);
    if (!m) return refuse(run, "no memory");
    *m = (memcpy_state){ malloc(bytes), malloc(bytes), what };
    if (!m->from || !m->to) {
        close_memcpy(m);
        return refuse(run, "no memory");
    }
    memset(m->from, 0x5a, bytes), memset(m->to, 0, bytes);
    run->state = m;
    run->bytes = 2.0 * (double)what.bytes;
    snprintf(run->what, sizeof run->what, "memcpy of as many bytes, read plus written, on one thread");
    return true;
}

typedef struct driver_state {
    qmm_context *context;
    qmm_buffer *from, *to;
    moved moved;
} driver_state;

static qmm_status run_driver(void *state, int turn) {
    const driver_state *d = state;
    const size_t place = place_of(&d->moved, turn);
    return qmm_buffer_copy(d->context, d->to, place, d->from, place, d->moved.bytes);
}

static void close_driver(void *state) {
    driver_state *d = state;
    qmm_buffer_free(d->from), qmm_buffer_free(d->to);
    free(d);
}

static bool open_driver(bench_session *s, const bench_case *c, bench_peer_run *run) {
    driver_state *const d = calloc(1, sizeof *d);
    qmm_status status;
    if (!d) return refuse(run, "no memory");
    *d = (driver_state){ .context = s->device.context, .moved = moved_by(s, c) };
    status = bench_device_random(d->context, QMM_S8, all_bytes(&d->moved), &d->from);
    if (status == QMM_OK) status = qmm_buffer_create(d->context, all_bytes(&d->moved), &d->to);
    if (status != QMM_OK) {
        close_driver(d);
        return refuse(run, bench_why(s->device.context, status));
    }
    run->state = d;
    run->context = s->device.context;
    run->on_device = true;
    run->bytes = 2.0 * (double)d->moved.bytes;
    snprintf(run->what, sizeof run->what, "copy in the device's memory of as many bytes, read plus written");
    return true;
}

/* ---- other devices of qmm ---------------------------------------------------------------------------------------- */

/* Timed as ours is: by its own device's clock where ours is on one, else by the host's. */
static bool open_rig(const bench_session *s, bench_other *o) {
    qmm_device_info info = QMM_DEVICE_INFO_INIT;
    qmm_status status = qmm_context_get_device_info(o->context, &info);
    if (status == QMM_OK && strstr(info.description, "imulated")) {
        snprintf(o->reason, sizeof o->reason, "that device is simulated");
        return false;
    }
    if (status == QMM_OK) status = bench_rig_open(&o->rig, o->context, &info, false);
    if (status != QMM_OK) {
        snprintf(o->reason, sizeof o->reason, "%s", bench_why(o->context, status));
        return false;
    }
    o->rig.seconds = s->device.rig.seconds, o->rig.runs = s->device.rig.runs;
    if (!s->device.rig.device_clock || o->rig.device_clock) return true;
    snprintf(o->reason, sizeof o->reason, "ours is timed by the device's clock, and that device has none");
    return false;
}

static void close_other_device(bench_other *o) {
    bench_rig_close(&o->rig);
    qmm_context_close(o->context);
    o->rig = (bench_rig){ .context = NULL };
    o->context = NULL;
}

void bench_others_close(bench_session *s) {
    for (int i = 0; i < BENCH_OTHERS; i++) close_other_device(&s->others[i]);
}

static bench_other *other_device(bench_session *s, int which) {
    static const char *const names[] = { "cuda", "cpu" };
    bench_other *const o = &s->others[which];
    qmm_context_options options = QMM_CONTEXT_OPTIONS_INIT;
    if (o->tried) return o;
    o->tried = true;
    options.profile = 1; /* as ours */
    options.error_text = o->reason, options.error_text_size = sizeof o->reason;
    if (qmm_context_open(names[which], &options, &o->context) != QMM_OK) return o;
    (void)qmm_context_prepare(o->context);
    if (!open_rig(s, o)) close_other_device(o);
    return o;
}

static qmm_status run_other(void *state, int turn) {
    return cli_operands_run(state, turn);
}

static void close_other(void *state) {
    cli_operands_free(state);
    free(state);
}

/* The operands of the call there, in as many copies as here. */
static qmm_status make_other(bench_session *s, const bench_case *c, qmm_context *context, cli_operands *o,
                             qmm_matmul_plan_info *plan) {
    cli_operands_call call;
    qmm_status status;
    cli_operands sizes;
    cli_operands_plan(&c->call, &c->shape, &sizes);
    status = cli_operands_create(context, &c->call, &c->shape,
                                 bench_device_copies(&s->device, cli_operands_bytes(&sizes)), s->seed, o);
    if (status != QMM_OK) return status;
    call = cli_operands_at(o, 0);
    status = qmm_matmul_plan(context, call.desc, call.a, call.b, call.c, plan);
    if (status != QMM_OK) cli_operands_free(o);
    return status;
}

static bool open_other(bench_session *s, const bench_case *c, int which, bench_peer_run *run) {
    const bench_other *const other = other_device(s, which);
    qmm_matmul_plan_info plan = QMM_MATMUL_PLAN_INFO_INIT;
    qmm_device_info info = QMM_DEVICE_INFO_INIT;
    cli_operands *o;
    char what[BENCH_WHAT];
    qmm_status status;
    if (!other->context) return refuse(run, other->reason);
    o = calloc(1, sizeof *o);
    if (!o) return refuse(run, "no memory");
    status = make_other(s, c, other->context, o, &plan);
    if (status != QMM_OK) {
        free(o);
        return refuse(run, bench_why(other->context, status));
    }
    (void)qmm_context_get_device_info(other->context, &info); /* it did when the rig was opened */
    run->state = o;
    run->context = other->context;
    run->on_device = s->device.rig.device_clock;
    run->rig = &other->rig;
    run->bytes = cli_operands_bytes(o);
    run->operations = bench_matmul_operations(&c->shape);
    cli_call_describe(&c->call, what, sizeof what);
    snprintf(run->what, sizeof run->what, "%.100s, on %.24s, %.50s", what, info.name, plan.kernel);
    return true;
}

static bool open_cuda_device(bench_session *s, const bench_case *c, bench_peer_run *run) {
    return open_other(s, c, BENCH_OTHER_CUDA, run);
}

static bool open_cpu_device(bench_session *s, const bench_case *c, bench_peer_run *run) {
    if (s->device.info.kind != QMM_DEVICE_KIND_CPU) return refuse(run, "the device is no CPU");
    return open_other(s, c, BENCH_OTHER_CPU, run);
}

/* ---- the table --------------------------------------------------------------------------------------------------- */

#define MATMUL (1u << BENCH_MATMUL)
#define MOVES                                                                                          \
    (1u << BENCH_COPY | 1u << BENCH_QUANTIZE | 1u << BENCH_QUANTIZE_DYNAMIC | 1u << BENCH_DEQUANTIZE | \
     1u << BENCH_REQUANTIZE | 1u << BENCH_FIND_RANGE)

/* Launches are measured with the calls, in calls.c. */
const bench_peer bench_peers[] = {
    { "onednn", "oneDNN", "cpu", MATMUL, open_onednn, run_onednn, close_onednn, "gemm into s32, called directly" },
    { "memcpy", "memcpy", "cpu opencl", MOVES, open_memcpy, run_memcpy, close_memcpy,
      "as many bytes; devices that are CPUs" },
    { "driver", "driver", "cuda opencl", MOVES & ~(1u << BENCH_COPY), open_driver, run_driver, close_driver,
      "copy in the device's memory of as many bytes" },
    { "cublaslt", "cuBLASLt", "cuda", MATMUL, bench_open_cublaslt, bench_run_cublas, bench_close_cublas,
      "s8 x s8 -> s32" },
    { "cublaslt-dequantize", "cuBLASLt", "cuda", MATMUL, bench_open_cublaslt_dequantize, bench_run_cublas,
      bench_close_cublas, "s8 x s8 -> s32, then dequantize" },
    { "cublas-f16", "cuBLAS", "cuda", MATMUL, bench_open_cublas_f16, bench_run_cublas, bench_close_cublas,
      "f16 x f16 -> f16" },
    { "launch", "driver", "cuda", 1u << BENCH_CALL, NULL, NULL, NULL, "launching an empty kernel" },
    { "cuda", "qmm cuda", "opencl", MATMUL, open_cuda_device, run_other, close_other, "the same call on that device" },
    { "cpu", "qmm cpu", "opencl", MATMUL, open_cpu_device, run_other, close_other,
      "the same call there; OpenCL devices that are CPUs" },
    { .name = NULL },
};

void bench_peers_list(void) {
    for (int i = 0; bench_peers[i].name; i++)
        printf("  %-20s %s; beside %s\n", bench_peers[i].name, bench_peers[i].about, bench_peers[i].devices);
}

static int find_peer(const char *name, size_t length) {
    for (int i = 0; bench_peers[i].name; i++)
        if (strlen(bench_peers[i].name) == length && strncmp(bench_peers[i].name, name, length) == 0) return i;
    return -1;
}

int bench_peers_read(const char *command, const char *text, unsigned *peers) {
    *peers = 0;
    if (strcmp(text, "none") == 0) return CLI_OK;
    if (strcmp(text, "all") == 0) {
        *peers = ~0u;
        return CLI_OK;
    }
    for (;;) {
        const size_t length = strcspn(text, ",");
        const int peer = find_peer(text, length);
        if (peer < 0)
            return cli_error(CLI_USAGE, command, "--peers '%.*s' is no peer; see qmm bench --list", (int)length, text);
        *peers |= 1u << peer;
        if (text[length] == '\0') return CLI_OK;
        text += length + 1;
    }
}

static bool is_beside(const bench_session *s, const bench_peer *peer) {
    char family[32];
    snprintf(family, sizeof family, "%.*s", (int)strcspn(s->device.info.name, ":"), s->device.info.name);
    return strstr(peer->devices, family) != NULL;
}

/* Without --peers, those of other devices are none of this one's; by name they are refused, since what they are given
 * is memory of a device that they do not know. */
static bool is_wanted(bench_session *s, const bench_case *c, int peer) {
    const bench_peer *const p = &bench_peers[peer];
    if ((s->peers >> peer) % 2 == 0) return false;
    if (is_beside(s, p)) return true;
    if (s->peers != ~0u) bench_skip_once(s, c, p->who, "", p->about, "not beside this device");
    return false;
}

bool bench_peer_is_wanted(bench_session *s, const bench_case *c, const char *name) {
    const int peer = find_peer(name, strlen(name));
    return peer >= 0 && is_wanted(s, c, peer);
}

static bool ready(bench_session *s, const bench_case *c, const bench_peer *peer, bench_peer_run *run) {
    memset(run, 0, sizeof *run);
    if (s->device.rig.simulated && strcmp(peer->name, "driver") != 0)
        return refuse(run, "the device is simulated, and peers are not");
    return peer->open(s, c, run);
}

void bench_peers_open(bench_session *s, const bench_case *c, bench_peer_set *set) {
    set->count = 0;
    for (int i = 0; bench_peers[i].name; i++) {
        const bench_peer *peer = &bench_peers[i];
        bench_peer_run *run;
        if (!peer->open || !((peer->operations >> c->operation) % 2) || !is_wanted(s, c, i)) continue;
        run = &set->runs[set->count];
        if (ready(s, c, peer, run)) {
            set->peers[set->count++] = peer;
        } else {
            bench_skip_once(s, c, peer->who, "", peer->about, run->reason);
        }
    }
}

void bench_peers_works(const bench_peer_set *set, bench_work *works) {
    for (int i = 0; i < set->count; i++)
        works[i] = (bench_work){ .run = set->peers[i]->run,
                                 .state = set->runs[i].state,
                                 .context = set->runs[i].context,
                                 .on_device = set->runs[i].on_device,
                                 .rig = set->runs[i].rig };
}

void bench_peers_report(bench_session *s, const bench_case *c, const bench_peer_set *set, const bench_work *works) {
    for (int i = 0; i < set->count; i++) {
        const bench_peer_run *run = &set->runs[i];
        bench_row row = bench_row_of(c, set->peers[i]->who, run->what);
        if (works[i].status != QMM_OK || works[i].time.runs == 0) {
            const bool told = run->context && qmm_context_error_status(run->context) == works[i].status;
            bench_skip_case(s, c, set->peers[i]->who, "", run->what,
                            told ? qmm_context_error(run->context) : "its call failed");
            continue;
        }
        row.time = works[i].time;
        row.operations = run->operations;
        row.bytes = run->bytes;
        row.other_peak = run->other_peak;
        snprintf(row.peer, sizeof row.peer, "%s", set->peers[i]->name);
        bench_report_row(&s->report, &row);
    }
}

void bench_peers_close(bench_peer_set *set) {
    for (int i = 0; i < set->count; i++) set->peers[i]->close(set->runs[i].state);
    set->count = 0;
}
