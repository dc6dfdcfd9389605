/* SPDX-License-Identifier: Apache-2.0
 *
 * The choice of a kernel row: the first in the device's table that has what it needs, accepts the problem, and has
 * passed its known-answer test. */
#include "kernel.h"

#include <stdio.h>
#include <string.h>

#include "buffer.h"

bool qmmi_rows_fit(const qmmi_backend *backend) {
    for (int o = 0; o < QMMI_OPERATION_COUNT; o++) {
        int count = 0;
        while (backend->rows[o] && backend->rows[o][count].name) count++;
        if (count > QMMI_ROWS_MAX) return false;
    }
    return true;
}

static int row_index(const qmm_context *context, qmmi_operation operation, const qmmi_row *row) {
    return (int)(row - context->backend->rows[operation]);
}

static const char *why_mistrusted(qmmi_trust trust) {
    if (trust == QMMI_UNTESTABLE) return "its known-answer test could not run on this device";
    return trust == QMMI_REFUSED ? "it failed its known-answer test on this device" : NULL;
}

/* Says nothing of the row: the next attempt may succeed, or none will. */
static bool is_no_verdict(qmm_status status) {
    return status == QMM_OUT_OF_MEMORY || status == QMM_DEVICE_FAILED;
}

/* *reason: NULL if the row may be used, else why not. Runs the row's self-test at its first use. */
static qmm_status distrust(const qmmi_call *call, qmmi_operation operation, const qmmi_row *row,
                           const char **reason) {
    qmm_context *const context = call->context;
    qmmi_trust *trust = &context->trust[operation][row_index(context, operation, row)];
    qmm_status status;
    *reason = why_mistrusted(*trust);
    if (!row->self_test || *trust != QMMI_UNTESTED) return QMM_OK;
    if (qmmi_capturing(context))
        return qmmi_fail(context, QMM_INVALID_ARGUMENT, call->function,
                         "%s cannot run its known-answer test while its queue is being captured: call "
                         "qmm_context_prepare and qmm_context_reserve_workspace before",
                         row->name);
    status = qmmi_self_test(call, operation, row, reason);
    if (is_no_verdict(status)) return status;
    *trust = status != QMM_OK ? QMMI_UNTESTABLE : *reason ? QMMI_REFUSED : QMMI_TRUSTED;
    if (status != QMM_OK) *reason = why_mistrusted(*trust); /* the log has the error */
    if (*reason) context->mistrusted++;
    qmmi_log(context, *reason ? QMM_LOG_WARNING : QMM_LOG_DEBUG, "%s: %s", row->name,
             *reason ? *reason : "passed its known-answer test");
    return QMM_OK;
}

/* *reason: NULL if this row runs the problem, else why not. */
static qmm_status refusal(const qmmi_call *call, const qmmi_problem *problem, const qmmi_row *row,
                          const char **reason) {
    const qmm_context *const context = call->context;
    const qmmi_row *forced = context->forced[problem->operation];
    *reason = NULL;
    if (forced && row != forced) *reason = "another row is forced";
    else if ((row->needs & context->capabilities) != row->needs) *reason = "the device lacks what it needs";
    else if (row->accepts) *reason = row->accepts(context, problem);
    if (!*reason && row->declines && !forced) *reason = row->declines(context, problem);
    return *reason ? QMM_OK : distrust(call, problem->operation, row, reason);
}

/* *row: the first that runs the problem, NULL if none does. explain, if given, hears of every row. */
static qmm_status walk(const qmmi_call *call, const qmmi_problem *problem, qmm_explain_function explain, void *user,
                       const qmmi_row **row) {
    const qmmi_row *r = call->context->backend->rows[problem->operation];
    *row = NULL;
    for (; r && r->name && (explain || !*row); r++) {
        const char *reason;
        QMMI_TRY(refusal(call, problem, r, &reason));
        if (explain) explain(user, r->name, reason);
        if (!reason && !*row) *row = r;
    }
    return QMM_OK;
}

typedef struct reasons {
    char text[QMMI_ERROR_TEXT_BYTES / 2];
    size_t used;
} reasons;

static void collect(void *user, const char *kernel, const char *reason) {
    reasons *all = user;
    if (reason && all->used < sizeof all->text)
        all->used += (size_t)snprintf(all->text + all->used, sizeof all->text - all->used, "\n  %s: %s", kernel, reason);
}

static qmm_status fail_for_want_of_a_row(const qmmi_call *call, const qmmi_problem *problem, const qmmi_row **row) {
    reasons all = { .used = 0 };
    QMMI_TRY(walk(call, problem, collect, &all, row));
    return qmmi_fail(call->context, QMM_UNSUPPORTED, call->function, "no kernel takes this:%s",
                     all.used ? all.text : " the device has none for it");
}

/* Rows decline in favour of later ones. Where one of those has just failed its known-answer test the choice is made
 * again, so that it is the same from the first call on. */
qmm_status qmmi_select(const qmmi_call *call, const qmmi_problem *problem, qmm_explain_function explain, void *user,
                       const qmmi_row **row) {
    const qmm_context *const context = call->context;
    int mistrusted;
    do {
        mistrusted = context->mistrusted;
        QMMI_TRY(walk(call, problem, NULL, NULL, row));
    } while (context->mistrusted != mistrusted);
    if (explain) return walk(call, problem, explain, user, row);
    return *row ? QMM_OK : fail_for_want_of_a_row(call, problem, row);
}

size_t qmmi_row_workspace(const qmm_context *context, const qmmi_row *row, const qmmi_problem *problem) {
    return row->workspace ? row->workspace(context, problem) : 0;
}

qmm_status qmmi_run(const qmmi_call *call, const qmmi_problem *problem, const qmmi_workspace *workspace) {
    qmm_context *context = call->context;
    const qmmi_row *row;
    size_t needed;
    QMMI_TRY(qmmi_select(call, problem, NULL, NULL, &row));
    needed = qmmi_row_workspace(context, row, problem);
    if (needed == 0) return row->run(context, problem, NULL, 0);
    if (!workspace || !workspace->buffer) {
        QMMI_TRY(qmmi_workspace_reserve(context, needed, call->function));
        return row->run(context, problem, context->workspace, 0);
    }
    if (workspace->bytes < needed)
        return qmmi_fail(context, QMM_INVALID_ARGUMENT, call->function,
                         "workspace of %zu bytes is less than the %zu that %s needs", workspace->bytes, needed,
                         row->name);
    return row->run(context, problem, workspace->buffer->memory, workspace->offset);
}

/* ---- the table, as the user sees it ------------------------------------------------------------------------------ */

/* The index-th row of all operations; NULL past the end. */
static const qmmi_row *nth_row(const qmm_context *context, int index, qmmi_operation *operation) {
    for (int o = 0; o < QMMI_OPERATION_COUNT; o++) {
        for (const qmmi_row *r = context->backend->rows[o]; r && r->name; r++) {
            if (index-- > 0) continue;
            *operation = (qmmi_operation)o;
            return r;
        }
    }
    return NULL;
}

int qmm_kernel_count(qmm_context *context) {
    qmmi_operation operation;
    int count = 0;
    if (!context || context->magic != QMMI_MAGIC_CONTEXT) return 0;
    while (nth_row(context, count, &operation)) count++;
    return count;
}

const char *qmm_kernel_name(qmm_context *context, int index) {
    qmmi_operation operation;
    const qmmi_row *row = NULL;
    if (context && context->magic == QMMI_MAGIC_CONTEXT && index >= 0) row = nth_row(context, index, &operation);
    return row ? row->name : "";
}

qmm_status qmm_kernel_force(qmm_context *context, const char *name) {
    QMMI_ENTER(context);
    if (!name) {
        memset(context->forced, 0, sizeof context->forced);
        return QMM_OK;
    }
    for (int i = 0;; i++) {
        qmmi_operation operation;
        const qmmi_row *row = nth_row(context, i, &operation);
        QMMI_REQUIRE(context, row, "name '%s' is not a kernel of this device", name);
        if (strcmp(row->name, name) != 0) continue;
        context->forced[operation] = row;
        return QMM_OK;
    }
}

qmm_status qmm_context_prepare(qmm_context *context) {
    const qmmi_call call = { context, __func__, false };
    qmmi_operation operation;
    const qmmi_row *row;
    const char *reason;
    QMMI_ENTER(context);
    if (context->backend->prepare) QMMI_TRY(context->backend->prepare(context));
    for (int i = 0; (row = nth_row(context, i, &operation)) != NULL; i++) {
        if ((row->needs & context->capabilities) == row->needs)
            QMMI_TRY(distrust(&call, operation, row, &reason));
    }
    return QMM_OK;
}
