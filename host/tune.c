/* SPDX-License-Identifier: Apache-2.0
 *
 * Tuning: measures every row and variant that takes a matmul, and keeps the fastest. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernel.h"
#include "timer.h"
#include "tuning_file.h"

#define RUNS_MIN 3
#define RUNS_MAX 1000
#define HOPELESS 8   /* times the fastest: not measured any longer */
#define LOADING 2.0  /* seconds that a first run may take for what is loaded and built once */
#define GAIN 0.98    /* of the usual choice's time; what is not below is noise */
#define REPEATS_MAX 4096 /* runs between one start and one end, where a single one takes less than the clock shows */

/* By the device's clock, without a flush: what the device does while the host queues the run, which would be waited for
 * and counted otherwise. As short as that takes, so that the caches keep what they have. Reckoned, not measured. */
#define COVER_BYTES ((size_t)1 << 20)
#define COVER_FILLS 8
#define TRIALS_MAX (QMMI_ROWS_MAX * (1 + QMMI_VARIANTS_MAX))

typedef struct trial {
    const qmmi_row *row;
    int variant;
    double seconds;
} trial;

typedef struct tuner {
    qmmi_call call;
    qmmi_problem problem;
    qmm_tune_options options;
    qmm_tune_function report;
    void *user;
    qmmi_timer timer;
    void *flush;        /* memory to overwrite before a run, so many bytes, so many times; NULL: none */
    size_t flush_bytes;
    int flushes;
    void *workspace;    /* of the trials: the context's own stays as it is */
    size_t workspace_bytes;
    qmm_status failure; /* of the last trial that failed */
    qmm_status error_status; /* the context's before: a row that fails is no failure of the call */
    char error_text[QMMI_ERROR_TEXT_BYTES];
    trial trials[TRIALS_MAX];
    int count;
    const trial *fastest;
} tuner;

/* ---- one trial --------------------------------------------------------------------------------------------------- */

/* The queue may still work on it: a run that failed has not been waited for. */
static qmm_status release_workspace(tuner *t) {
    qmm_context *const context = t->call.context;
    qmm_status waited;
    if (!t->workspace) return QMM_OK;
    waited = context->backend->synchronize(context);
    context->backend->release(context, t->workspace, t->workspace_bytes);
    t->workspace = NULL;
    t->workspace_bytes = 0;
    return waited;
}

static qmm_status find_workspace(tuner *t, size_t bytes) {
    if (bytes <= t->workspace_bytes) return QMM_OK;
    QMMI_TRY(release_workspace(t));
    QMMI_TRY(qmmi_allocate_device(t->call.context, t->call.function, "a workspace", bytes, &t->workspace));
    t->workspace_bytes = bytes;
    return QMM_OK;
}

/* Seconds of one run, of `repeats` between a start and an end. The flush stands in the queue before the start. */
static qmm_status run_timed(tuner *t, const qmmi_row *row, int repeats, double *seconds) {
    qmm_context *const context = t->call.context;
    for (int i = 0; i < t->flushes; i++)
        QMMI_TRY(context->backend->fill(context, t->flush, 0, 0x5a, t->flush_bytes));
    QMMI_TRY(qmmi_timer_record(context, &t->timer, false));
    for (int i = 0; i < repeats; i++) QMMI_TRY(row->run(context, &t->problem, t->workspace, 0));
    QMMI_TRY(qmmi_timer_record(context, &t->timer, true));
    QMMI_TRY(qmmi_timer_read(context, &t->timer, seconds));
    *seconds /= repeats;
    return QMM_OK;
}

static int compare_doubles(const void *x, const void *y) {
    const double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
}

static bool is_hopeless(const tuner *t, double seconds) {
    return t->fastest && seconds > HOPELESS * t->fastest->seconds && seconds > t->options.seconds;
}

/* 0 where one of them took less than the clock shows: the others are then a multiple of its step, no time. */
static qmm_status measure_median(tuner *t, const qmmi_row *row, int repeats, double *median) {
    const double begin = qmmi_now();
    double seconds[RUNS_MAX];
    int runs = 0;
    do {
        QMMI_TRY(run_timed(t, row, repeats, &seconds[runs]));
        if (is_hopeless(t, seconds[runs++])) break;
    } while (runs < RUNS_MIN || (runs < RUNS_MAX && qmmi_now() - begin < t->options.seconds));
    qsort(seconds, (size_t)runs, sizeof seconds[0], compare_doubles);
    *median = seconds[0] > 0 ? seconds[runs / 2] : 0;
    return QMM_OK;
}

/* Median of a run; 0 where even many take less than the clock shows. A first run is for what is loaded, built and woken
 * once, and counts only if it is far beyond what that may take and what others take. */
static qmm_status measure(tuner *t, const qmmi_row *row, double *median) {
    QMMI_TRY(find_workspace(t, qmmi_row_workspace(t->call.context, row, &t->problem)));
    QMMI_TRY(run_timed(t, row, 1, median));
    if (*median > LOADING && is_hopeless(t, *median)) return QMM_OK;
    *median = 0;
    for (int repeats = 1; repeats <= REPEATS_MAX && !(*median > 0); repeats *= 8)
        QMMI_TRY(measure_median(t, row, repeats, median));
    return QMM_OK;
}

static void keep_trial(tuner *t, const qmmi_row *row, double seconds) {
    trial *const kept = &t->trials[t->count++];
    *kept = (trial){ row, t->problem.as.matmul.variant, seconds };
    if (!t->fastest || seconds < t->fastest->seconds) t->fastest = kept;
}

/* A row that fails is left out, as one that refuses: others may do. Not so where the device failed. */
static qmm_status try_row(tuner *t, const qmmi_row *row, int variant) {
    const char *reason = NULL;
    double seconds = 0;
    qmm_status status;
    t->problem.as.matmul.variant = variant;
    status = qmmi_row_refusal(&t->call, &t->problem, row, &reason);
    if (status == QMM_OK && !reason) status = measure(t, row, &seconds);
    if (status == QMM_DEVICE_FAILED) return status;
    if (status == QMM_OK && !reason && !(seconds > 0)) reason = "it takes less time than the clock shows";
    if (status != QMM_OK) {
        t->failure = status;
        reason = qmm_context_error(t->call.context);
    }
    if (!reason) keep_trial(t, row, seconds);
    if (!t->report) return QMM_OK;
    t->report(t->user, row->name, variant ? row->variants[variant - 1] : "", reason ? 0 : seconds, reason);
    return QMM_OK;
}

static qmm_status try_all(tuner *t) {
    for (const qmmi_row *row = t->call.context->backend->rows[QMMI_MATMUL]; row && row->name; row++) {
        const int variants = qmmi_row_variants(row);
        for (int v = 0; v <= variants; v++) QMMI_TRY(try_row(t, row, v));
    }
    return QMM_OK;
}

/* ---- the choice -------------------------------------------------------------------------------------------------- */

/* NULL: it was not measured. */
static const trial *find_trial(const tuner *t, const qmmi_row *row, int variant) {
    for (int i = 0; i < t->count; i++)
        if (t->trials[i].row == row && t->trials[i].variant == variant) return &t->trials[i];
    return NULL;
}

/* Weighs the fastest against what would run without a choice for this very call. */
static qmm_status keep_fastest(tuner *t) {
    qmmi_tuning *const tuning = &t->call.context->tuning;
    qmmi_tuned choice = qmmi_tuned_call(&t->problem.as.matmul), older = { .row = NULL };
    const qmmi_tuned *const found = qmmi_tuning_find_exact(tuning, &t->problem.as.matmul);
    const trial *usual;
    qmmi_choice chosen;
    qmm_status status;
    if (found) {
        older = *found;
        qmmi_tuning_remove(tuning, found);
    }
    status = qmmi_select(&t->call, &t->problem, NULL, &chosen);
    if (status == QMM_OK && !t->fastest) status = t->failure;
    if (status != QMM_OK) {
        if (older.row) qmmi_tuning_put(tuning, &older);
        return status;
    }
    if (!t->fastest) return QMM_OK; /* all take less than the clock shows */
    usual = find_trial(t, chosen.row, t->problem.as.matmul.variant);
    if (usual && !(t->fastest->seconds < GAIN * usual->seconds)) return QMM_OK;
    choice.row = t->fastest->row;
    choice.variant = t->fastest->variant;
    qmmi_tuning_put(tuning, &choice);
    return QMM_OK;
}

static qmm_status reserve_choice(tuner *t) {
    qmm_context *const context = t->call.context;
    if (context->tuning.count >= QMMI_TUNED_MAX && !qmmi_tuning_find_exact(&context->tuning, &t->problem.as.matmul))
        return qmmi_fail(context, QMM_INVALID_ARGUMENT, t->call.function,
                         "the table of tuned choices is full: it has %d", context->tuning.count);
    if (!qmmi_tuning_reserve(context))
        return qmmi_fail(context, QMM_OUT_OF_MEMORY, t->call.function, "no memory for a tuned choice");
    return QMM_OK;
}

static qmm_status allocate_flush(tuner *t) {
    t->flushes = t->options.flush_bytes ? 1 : t->timer.pair ? COVER_FILLS : 0;
    t->flush_bytes = t->options.flush_bytes ? t->options.flush_bytes : COVER_BYTES;
    if (!t->flushes) return QMM_OK;
    return qmmi_allocate_device(t->call.context, t->call.function, "the flush of caches", t->flush_bytes, &t->flush);
}

/* A failed run may have left work behind that still uses them. */
static qmm_status release_memory(tuner *t) {
    qmm_context *const context = t->call.context;
    qmm_status status = release_workspace(t);
    if (t->flush) {
        const qmm_status waited = context->backend->synchronize(context);
        if (status == QMM_OK) status = waited;
        context->backend->release(context, t->flush, t->flush_bytes);
    }
    return status;
}

static qmm_status tune(tuner *t) {
    qmm_context *const context = t->call.context;
    qmm_status status, released;
    t->error_status = context->error_status;
    memcpy(t->error_text, context->error_text, sizeof t->error_text);
    QMMI_TRY(reserve_choice(t));
    QMMI_TRY(qmmi_timer_open(context, &t->timer));
    status = allocate_flush(t);
    if (status == QMM_OK) status = try_all(t);
    if (status == QMM_OK) status = keep_fastest(t);
    released = release_memory(t);
    if (status == QMM_OK) status = released;
    qmmi_timer_close(context, &t->timer);
    if (status == QMM_OK) {
        context->error_status = t->error_status;
        memcpy(context->error_text, t->error_text, sizeof t->error_text);
    }
    return status;
}

/* ---- the public bodies ------------------------------------------------------------------------------------------- */

qmm_status qmm_tune_matmul(qmm_context *context, const qmm_matmul_desc *desc, const qmm_tensor *a, const qmm_tensor *b,
                           const qmm_tensor *c, const qmm_tune_options *given, qmm_tune_function report, void *user) {
    tuner t = { .call = { context, __func__, false }, .report = report, .user = user };
    const qmm_tune_options defaults = QMM_TUNE_OPTIONS_INIT;
    const qmmi_matmul_problem *const p = &t.problem.as.matmul;
    qmm_matmul_desc checked;
    t.options = defaults;
    QMMI_ENTER_WAITING(context);
    QMMI_TRY(qmmi_read_struct(context, __func__, "options", given, &t.options, sizeof t.options,
                              QMMI_OLDEST_TUNE_OPTIONS));
    QMMI_REQUIRE(context, t.options.seconds > 0 && isfinite(t.options.seconds),
                 "seconds %g of options is not above 0 and finite", t.options.seconds);
    QMMI_TRY(qmmi_check_matmul(&t.call, desc, a, b, c, &checked, &t.problem));
    QMMI_REQUIRE(context, !qmmi_residual_is_c(context, p), "residual of desc is c itself: every run would add to it");
    QMMI_REQUIRE(context, !context->forced[QMMI_MATMUL], "%s is forced: give NULL to qmm_kernel_force first",
                 context->forced[QMMI_MATMUL]->name);
    if (p->m == 0 || p->n == 0) return QMM_OK;
    return tune(&t);
}

int qmm_tuning_count(qmm_context *context) {
    return context && context->magic == QMMI_MAGIC_CONTEXT ? context->tuning.count : 0;
}

/* Both functions of files: the context, a path, the work, and what to say of the path. */
static qmm_status with_file(qmm_context *context, const char *function, const char *path,
                            qmm_status (*work)(qmm_context *, const char *, char *, size_t)) {
    char reason[QMMI_TUNING_REASON_BYTES];
    qmm_status status;
    QMMI_TRY(qmmi_enter(context, function));
    if (!path || !path[0])
        return qmmi_fail(context, QMM_INVALID_ARGUMENT, function, "path is %s", path ? "empty" : "NULL");
    status = work(context, path, reason, sizeof reason);
    return status == QMM_OK ? QMM_OK : qmmi_fail(context, status, function, "file %s%s %s",
                                                         qmmi_path_dots(path), qmmi_path_end(path), reason);
}

qmm_status qmm_tuning_save(qmm_context *context, const char *path) {
    return with_file(context, __func__, path, qmmi_tuning_save);
}

qmm_status qmm_tuning_load(qmm_context *context, const char *path) {
    return with_file(context, __func__, path, qmmi_tuning_load);
}
