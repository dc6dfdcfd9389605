/* SPDX-License-Identifier: Apache-2.0
 *
 * matmul: the library's own choice together with the peers, then the other rows that are asked for, one by one. */
#include <string.h>

#include "peers.h"

typedef struct matmul_state {
    bench_session *s;
    const bench_case *c;
    cli_operands operands;
    char what[BENCH_WHAT];
    double operations, bytes;
} matmul_state;

/* Rows that are not the choice and would take longer than this are left out: a smaller shape says so. */
static double too_slow(const bench_session *s) {
    return s->device.info.kind == QMM_DEVICE_KIND_CPU ? 1.0 : 0.3;
}

/* Beyond as many operations a row whose speed is not known is tried on a smaller shape first. */
static const double TRUSTED_OPERATIONS = 4e9;

static qmm_status run_operands(void *operands, int turn) {
    return cli_operands_run(operands, turn);
}

static bench_work work_of(const bench_session *s, cli_operands *operands) {
    return (bench_work){ .run = run_operands, .state = operands, .context = s->device.context, .on_device = true };
}

/* ---- the choice, and what else there is -------------------------------------------------------------------------- */

static qmm_status plan(const matmul_state *m, qmm_matmul_plan_info *info) {
    const cli_operands_call call = cli_operands_at(&m->operands, 0);
    *info = (qmm_matmul_plan_info)QMM_MATMUL_PLAN_INFO_INIT;
    return qmm_matmul_plan(m->s->device.context, call.desc, call.a, call.b, call.c, info);
}

static qmm_status find_chosen(const matmul_state *m, bench_candidate *chosen) {
    qmm_matmul_plan_info info;
    const qmm_status status = plan(m, &info);
    *chosen = (bench_candidate){ .named = true };
    snprintf(chosen->kernel, sizeof chosen->kernel, "%s", info.kernel);
    snprintf(chosen->variant, sizeof chosen->variant, "%s", info.variant);
    return status;
}

static bench_pace *pace_of(bench_session *s, const char *name) {
    for (int i = 0; i < s->pace_count; i++)
        if (strcmp(s->paces[i].name, name) == 0) return &s->paces[i];
    return NULL;
}

static void note_pace(bench_session *s, const char *name, double seconds) {
    bench_pace *pace = pace_of(s, name);
    if (!pace && s->pace_count == BENCH_PACES) return;
    if (!pace) pace = &s->paces[s->pace_count++];
    snprintf(pace->name, sizeof pace->name, "%s", name);
    pace->seconds = seconds;
}

static bool run_and_wait(const matmul_state *m, cli_operands *operands) {
    return cli_operands_run(operands, 0) == QMM_OK && qmm_context_synchronize(m->s->device.context) == QMM_OK;
}

/* One run of a smaller shape on the row that is forced, after one that is not timed: that one waits for the operands, and
 * may be the kernel's first. */
static void try_smaller(matmul_state *m, const char *name) {
    cli_shape shape = m->c->shape;
    cli_operands operands;
    shape.batch = 1;
    if (shape.m > 128) shape.m = 128;
    if (shape.n > 1024) shape.n = 1024;
    if (shape.k > 1024) shape.k = 1024;
    if (cli_operands_create(m->s->device.context, &m->c->call, &shape, 1, m->s->seed, &operands) != QMM_OK) return;
    if (run_and_wait(m, &operands)) {
        const double start = bench_now();
        if (run_and_wait(m, &operands)) note_pace(m->s, name, (bench_now() - start) / bench_matmul_operations(&shape));
    }
    cli_operands_free(&operands);
}

static bool is_too_slow(matmul_state *m, const bench_candidate *candidate) {
    const bench_pace *pace = pace_of(m->s, candidate->force);
    if (candidate->named) return false;
    if (!pace && m->operations > TRUSTED_OPERATIONS) {
        try_smaller(m, candidate->force);
        pace = pace_of(m->s, candidate->force);
    }
    return pace && pace->seconds * m->operations > too_slow(m->s);
}

/* ---- rows -------------------------------------------------------------------------------------------------------- */

/* What a kernel leaves out must not be the last one's result. */
static qmm_status poison(const matmul_state *m) {
    const qmm_tensor *c = cli_operands_at(&m->operands, 0).c;
    if (!m->s->verify) return QMM_OK;
    return qmm_buffer_fill(m->s->device.context, c->buffer, 0, 0xff, qmm_buffer_bytes(c->buffer));
}

static const char *verified(matmul_state *m, const bench_candidate *candidate) {
    char reason[300] = "";
    const char *verdict;
    if (!m->s->verify) return "no";
    (void)qmm_kernel_force(m->s->device.context, NULL); /* the check runs kernels too */
    verdict = bench_verify(&m->s->verifier, &m->operands, reason, sizeof reason);
    if (verdict && strcmp(verdict, "wrong") != 0) return verdict;
    bench_skip_case(m->s, m->c, "qmm", candidate->kernel, verdict ? "WRONG RESULT" : "the check of the result", reason);
    if (verdict) m->s->wrong = true;
    return verdict ? verdict : "no";
}

static void report(matmul_state *m, const bench_candidate *candidate, bool chosen, const bench_work *work) {
    bench_row row = bench_row_of(m->c, "qmm", m->what);
    if (work->status != QMM_OK) {
        bench_skip_case(m->s, m->c, "qmm", candidate->kernel, m->what, bench_why(m->s->device.context, work->status));
        return;
    }
    memcpy(row.kernel, candidate->kernel, sizeof row.kernel);
    memcpy(row.variant, candidate->variant, sizeof row.variant);
    row.chosen = chosen;
    row.time = work->time;
    row.operations = m->operations;
    row.bytes = m->bytes;
    if (!m->s->device.rig.simulated) note_pace(m->s, candidate->force, work->time.median / m->operations);
    row.verified = verified(m, candidate);
    bench_report_row(&m->s->report, &row);
}

/* The choice and the peers take turns. */
static qmm_status measure_chosen(matmul_state *m, const bench_candidate *candidate, bool chosen) {
    bench_work works[1 + BENCH_PEERS_MAX];
    bench_peer_set peers;
    qmm_status status = poison(m);
    bench_peers_open(m->s, m->c, &peers);
    works[0] = work_of(m->s, &m->operands);
    bench_peers_works(&peers, works + 1);
    if (status == QMM_OK && candidate->force[0]) status = qmm_kernel_force(m->s->device.context, candidate->force);
    if (status == QMM_OK) {
        bench_measure(&m->s->device.rig, works, 1 + peers.count);
        status = works[0].status;
        report(m, candidate, chosen, &works[0]);
        bench_peers_report(m->s, m->c, &peers, works + 1);
    }
    bench_peers_close(&peers);
    return status;
}

static qmm_status measure_alone(matmul_state *m, const bench_candidate *candidate, bool chosen) {
    bench_work work = work_of(m->s, &m->operands);
    qmm_status status = poison(m);
    if (status == QMM_OK) status = qmm_kernel_force(m->s->device.context, candidate->force);
    if (status != QMM_OK) return status;
    if (is_too_slow(m, candidate)) {
        bench_skip_case(m->s, m->c, "qmm", candidate->force, m->what, "too slow, as a smaller shape shows");
        return QMM_OK;
    }
    bench_measure(&m->s->device.rig, &work, 1);
    report(m, candidate, chosen, &work);
    return work.status;
}

typedef struct refusal {
    const char *kernel;
    char reason[256];
} refusal;

static void note_refusal(void *user, const char *kernel, const char *reason) {
    refusal *r = user;
    if (reason && strcmp(kernel, r->kernel) == 0) snprintf(r->reason, sizeof r->reason, "%s", reason);
}

/* Leaves the candidate forced if it does not. */
static bool refuses(matmul_state *m, const bench_candidate *candidate) {
    qmm_context *const context = m->s->device.context;
    const cli_operands_call call = cli_operands_at(&m->operands, 0);
    refusal r = { candidate->kernel, "" };
    qmm_matmul_plan_info info;
    qmm_status status;
    if (!candidate->force[0]) return false;
    status = qmm_kernel_force(context, candidate->force);
    if (status == QMM_OK) status = plan(m, &info);
    if (status == QMM_OK) return false;
    snprintf(r.reason, sizeof r.reason, "%s", bench_why(context, status));
    (void)qmm_matmul_explain(context, call.desc, call.a, call.b, call.c, note_refusal, &r);
    bench_skip_once(m->s, m->c, "qmm", candidate->force, m->what, r.reason);
    (void)qmm_kernel_force(context, NULL);
    return true;
}

/* ---- a case ------------------------------------------------------------------------------------------------------ */

static qmm_status run_rows(matmul_state *m) {
    bench_candidate list[BENCH_CANDIDATES], chosen;
    qmm_status status = find_chosen(m, &chosen);
    const bool has_choice = status == QMM_OK;
    const int count = bench_candidates(m->s, BENCH_MATMUL, has_choice ? &chosen : NULL, list);
    bool first = true;
    if (bench_is_fatal(status)) return status;
    if (!has_choice) bench_skip_case(m->s, m->c, "qmm", "", m->what, bench_why(m->s->device.context, status));
    for (int i = 0; i < count && !bench_is_fatal(status); i++) {
        const bool is_chosen =
            has_choice && strcmp(list[i].kernel, chosen.kernel) == 0 && strcmp(list[i].variant, chosen.variant) == 0;
        if (refuses(m, &list[i])) continue;
        status = first ? measure_chosen(m, &list[i], is_chosen) : measure_alone(m, &list[i], is_chosen);
        (void)qmm_kernel_force(m->s->device.context, NULL);
        first = false;
    }
    return bench_is_fatal(status) ? status : QMM_OK;
}

qmm_status bench_run_matmul(bench_session *s, const bench_case *c) {
    matmul_state m = { .s = s, .c = c, .operations = bench_matmul_operations(&c->shape) };
    cli_operands sizes;
    qmm_status status;
    cli_operands_plan(&c->call, &c->shape, &sizes);
    m.bytes = cli_operands_bytes(&sizes);
    cli_call_describe(&c->call, m.what, sizeof m.what);
    status = cli_operands_create(s->device.context, &c->call, &c->shape, bench_device_copies(&s->device, m.bytes),
                                 s->seed, &m.operands);
    if (status != QMM_OK) {
        bench_skip_case(s, c, "qmm", "", m.what, bench_why(s->device.context, status));
        return bench_is_fatal(status) ? status : QMM_OK;
    }
    bench_verifier_next(&s->verifier);
    status = run_rows(&m);
    cli_operands_free(&m.operands);
    return status;
}
