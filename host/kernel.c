/* SPDX-License-Identifier: Apache-2.0
 *
 * The choice of a kernel row, of those that have what they need, accept the problem, and have passed their known-answer
 * test: the one that was tuned, else the first in the device's table, or the one that expects to take the least time. */
#include "kernel.h"

#include <stdio.h>
#include <string.h>

#include "buffer.h"

/* Few enough variants, and names that a plan has room for? */
static bool row_fits(const qmmi_row *row) {
    const int variants = qmmi_row_variants(row);
    for (int v = 0; v < variants; v++)
        if (strlen(row->variants[v]) >= sizeof((qmm_matmul_plan_info *)NULL)->variant) return false;
    return variants <= QMMI_VARIANTS_MAX && strlen(row->name) < sizeof((qmm_matmul_plan_info *)NULL)->kernel;
}

bool qmmi_rows_fit(const qmmi_backend *backend) {
    for (int o = 0; o < QMMI_OPERATION_COUNT; o++) {
        int count = 0;
        while (backend->rows[o] && backend->rows[o][count].name)
            if (!row_fits(&backend->rows[o][count++])) return false;
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

static qmmi_trust *trust_of(qmm_context *context, qmmi_operation operation, const qmmi_row *row) {
    return context->trust[operation][row_index(context, operation, row)];
}

/* *reason: NULL if the variant, or with 0 the row, may be used, else why not. Runs its self-test at its first use. */
static qmm_status distrust_variant(const qmmi_call *call, qmmi_operation operation, const qmmi_row *row, int variant,
                                   const char **reason) {
    qmm_context *const context = call->context;
    qmmi_trust *trust = &trust_of(context, operation, row)[variant];
    const char *const slash = variant ? "/" : "", *const name = variant ? row->variants[variant - 1] : "";
    qmm_status status;
    *reason = why_mistrusted(*trust);
    if (!row->self_test || *trust != QMMI_UNTESTED) return QMM_OK;
    if (qmmi_capturing(context))
        return qmmi_fail(context, QMM_INVALID_ARGUMENT, call->function,
                         "%s cannot run its known-answer test while its queue is being captured: call "
                         "qmm_context_prepare and qmm_context_reserve_workspace before",
                         row->name);
    status = qmmi_self_test(call, operation, row, variant, reason);
    if (is_no_verdict(status)) return status;
    *trust = status != QMM_OK ? QMMI_UNTESTABLE : *reason ? QMMI_REFUSED : QMMI_TRUSTED;
    if (status != QMM_OK) *reason = why_mistrusted(*trust); /* the log has the error */
    if (*reason) context->mistrusted++;
    qmmi_log(context, *reason ? QMM_LOG_WARNING : QMM_LOG_DEBUG, "%s%s%s: %s", row->name, slash, name,
             *reason ? *reason : "passed its known-answer test");
    return QMM_OK;
}

int qmmi_row_variant(const qmm_context *context, const qmmi_row *row, const qmmi_problem *problem) {
    if (problem->operation != QMMI_MATMUL) return 0;
    return problem->as.matmul.variant || !row->picks ? problem->as.matmul.variant : row->picks(context, problem);
}

/* Then nobody need ask which one it picks. */
static bool are_all_trusted(qmm_context *context, qmmi_operation operation, const qmmi_row *row) {
    const qmmi_trust *const trust = trust_of(context, operation, row);
    int v = 0;
    while (row->variants[v] && trust[1 + v] == QMMI_TRUSTED) v++;
    return row->variants[v] == NULL;
}

/* The row, and the variant of it that would run this problem; the latter by itself only where the row says which. */
static qmm_status distrust(const qmmi_call *call, const qmmi_problem *problem, const qmmi_row *row,
                           const char **reason) {
    int variant;
    QMMI_TRY(distrust_variant(call, problem->operation, row, 0, reason));
    if (*reason || !row->self_test || !row->picks || are_all_trusted(call->context, problem->operation, row))
        return QMM_OK;
    variant = qmmi_row_variant(call->context, row, problem);
    return variant ? distrust_variant(call, problem->operation, row, variant, reason) : QMM_OK;
}

static bool is_untested(qmm_context *context, const qmmi_problem *problem, const qmmi_row *row) {
    const qmmi_trust *const trust = trust_of(context, problem->operation, row);
    if (!row->self_test) return false;
    return trust[0] == QMMI_UNTESTED ||
           (row->picks && trust[qmmi_row_variant(context, row, problem)] == QMMI_UNTESTED);
}

static bool has_its_needs(const qmm_context *context, const qmmi_row *row) {
    return (row->needs & context->capabilities) == row->needs;
}

/* NULL if the row is made for this device and problem, tested or not; else why not. */
static const char *why_not_taken(const qmm_context *context, const qmmi_problem *problem, const qmmi_row *row) {
    if (!has_its_needs(context, row)) return "the device lacks what it needs";
    return row->accepts ? row->accepts(context, problem) : NULL;
}

qmm_status qmmi_row_refusal(const qmmi_call *call, const qmmi_problem *problem, const qmmi_row *row,
                            const char **reason) {
    *reason = why_not_taken(call->context, problem, row);
    return *reason ? QMM_OK : distrust(call, problem, row, reason);
}

/* *reason: NULL if this row runs the problem in the usual order, else why not. */
static qmm_status refusal(const qmmi_call *call, const qmmi_problem *problem, const qmmi_row *row,
                          const char **reason) {
    const qmm_context *const context = call->context;
    const qmmi_row *forced = context->forced[problem->operation];
    *reason = forced && row != forced ? "another row is forced" : why_not_taken(context, problem, row);
    if (!*reason && row->declines && !forced) *reason = row->declines(context, problem);
    return *reason ? QMM_OK : distrust(call, problem, row, reason);
}

double qmmi_row_estimate(const qmm_context *context, const qmmi_row *row, const qmmi_problem *problem) {
    return row->estimate ? row->estimate(context, problem) : 0;
}

/* Of a matmul; no other operation has variants. */
static void set_variant(qmmi_problem *problem, int variant) {
    if (problem->operation == QMMI_MATMUL) problem->as.matmul.variant = variant;
}

/* The usual order: the first row that runs the problem, or a later one where both can say how long they take and it
 * takes less. A row that cannot say is not weighed against others, and that costs nothing. */
static qmm_status choose_in_order(const qmmi_call *call, const qmmi_problem *problem, qmmi_choice *choice) {
    const qmm_context *const context = call->context;
    const qmmi_row *r = context->backend->rows[problem->operation];
    double least = 0;
    for (; r && r->name; r++) {
        const char *reason;
        double estimate = 0;
        if (choice->row) {
            if (!r->estimate || !has_its_needs(context, r)) continue;
            estimate = r->estimate(context, problem);
            if (!(estimate > 0 && estimate < least)) continue;
        }
        QMMI_TRY(refusal(call, problem, r, &reason));
        if (reason) continue;
        least = choice->row ? estimate : qmmi_row_estimate(context, r, problem);
        choice->row = r;
        if (!(least > 0) || context->forced[problem->operation]) break;
    }
    return QMM_OK;
}

/* Must the row wait for another call? A tuned choice makes no call fail that would do without it: where the workspace
 * cannot grow it has to do with what is there, and under capture it has to be tested already. */
static bool must_wait(qmm_context *context, const qmmi_problem *problem, const qmmi_row *row,
                      const qmmi_workspace *workspace) {
    const size_t needed = qmmi_row_workspace(context, row, problem);
    const bool of_caller = workspace && workspace->buffer;
    if (of_caller && needed > workspace->bytes) return true;
    return (is_untested(context, problem, row) || (!of_caller && needed > context->workspace_bytes)) &&
           qmmi_capturing(context);
}

/* A tuned choice was faster when it was made, whatever the row declines. It may refuse: alignment and the like are not
 * part of what it is for. */
static qmm_status choose_tuned(const qmmi_call *call, qmmi_problem *problem, const qmmi_workspace *workspace,
                               qmmi_choice *choice) {
    qmm_context *const context = call->context;
    const qmmi_tuned *const tuned = qmmi_tuning_find(&context->tuning, &problem->as.matmul);
    const char *reason;
    if (!tuned) return QMM_OK;
    set_variant(problem, tuned->variant);
    if (why_not_taken(context, problem, tuned->row)) return QMM_OK;
    if (must_wait(context, problem, tuned->row, workspace)) return QMM_OK;
    QMMI_TRY(distrust(call, problem, tuned->row, &reason));
    if (reason) return QMM_OK;
    choice->row = tuned->row;
    choice->tuned = true;
    return QMM_OK;
}

/* choice->row: NULL if no row runs the problem. Leaves the chosen variant in it. */
static qmm_status choose(const qmmi_call *call, qmmi_problem *problem, const qmmi_workspace *workspace,
                         qmmi_choice *choice) {
    const qmm_context *const context = call->context;
    *choice = (qmmi_choice){ .row = NULL };
    if (problem->operation == QMMI_MATMUL && context->tuning.count > 0 && !context->forced[QMMI_MATMUL]) {
        QMMI_TRY(choose_tuned(call, problem, workspace, choice));
        if (choice->row) return QMM_OK;
    }
    set_variant(problem, context->forced_variant[problem->operation]);
    return choose_in_order(call, problem, choice);
}

/* ---- explaining -------------------------------------------------------------------------------------------------- */

typedef struct listener {
    qmm_explain_function explain;
    void *user;
} listener;

/* Why a row that would be right is not the one that runs. NULL: it merely comes later. */
static const char *why_passed_over(const qmm_context *context, const qmmi_problem *problem, const qmmi_row *row,
                                   const qmmi_choice *choice, char *text, size_t bytes) {
    double own, least;
    if (!choice->row || row == choice->row) return NULL;
    own = qmmi_row_estimate(context, row, problem);
    least = qmmi_row_estimate(context, choice->row, problem);
    if (choice->tuned)
        snprintf(text, bytes, "%s was faster when this was tuned", choice->row->name);
    else if (own > 0 && least > 0)
        snprintf(text, bytes, "expected to take %.1f us, %s %.1f us", own * 1e6, choice->row->name, least * 1e6);
    else if (row < choice->row)
        snprintf(text, bytes, "cannot say how long it takes, %s %.1f us", choice->row->name, least * 1e6);
    else
        return NULL;
    return text;
}

/* Says of every row why it does not run the problem, or nothing. */
static qmm_status explain_rows(const qmmi_call *call, qmmi_problem *problem, const qmmi_choice *choice, listener to) {
    const qmmi_row *r = call->context->backend->rows[problem->operation];
    qmmi_problem usual = *problem;
    set_variant(&usual, call->context->forced_variant[problem->operation]);
    for (; r && r->name; r++) {
        char text[256];
        const char *reason = NULL;
        if (r != choice->row) QMMI_TRY(refusal(call, &usual, r, &reason));
        if (!reason) reason = why_passed_over(call->context, &usual, r, choice, text, sizeof text);
        to.explain(to.user, r->name, reason);
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

static qmm_status fail_for_want_of_a_row(const qmmi_call *call, qmmi_problem *problem, const qmmi_choice *choice) {
    reasons all = { .used = 0 };
    QMMI_TRY(explain_rows(call, problem, choice, (listener){ collect, &all }));
    return qmmi_fail(call->context, QMM_UNSUPPORTED, call->function, "no kernel takes this:%s",
                     all.used ? all.text : " the device has none for it");
}

/* ---- selecting and running --------------------------------------------------------------------------------------- */

/* Rows decline in favour of later ones. Where one of those has just failed its known-answer test the choice is made
 * again, so that it is the same from the first call on. */
static qmm_status choose_among_trusted(const qmmi_call *call, qmmi_problem *problem, const qmmi_workspace *workspace,
                                       qmmi_choice *choice) {
    const qmm_context *const context = call->context;
    int mistrusted;
    do {
        mistrusted = context->mistrusted;
        QMMI_TRY(choose(call, problem, workspace, choice));
    } while (context->mistrusted != mistrusted);
    return QMM_OK;
}

qmm_status qmmi_select(const qmmi_call *call, qmmi_problem *problem, const qmmi_workspace *workspace,
                       qmmi_choice *choice) {
    QMMI_TRY(choose_among_trusted(call, problem, workspace, choice));
    return choice->row ? QMM_OK : fail_for_want_of_a_row(call, problem, choice);
}

qmm_status qmmi_explain(const qmmi_call *call, qmmi_problem *problem, const qmmi_workspace *workspace,
                        qmm_explain_function explain, void *user) {
    qmmi_choice choice;
    QMMI_TRY(choose_among_trusted(call, problem, workspace, &choice));
    return explain_rows(call, problem, &choice, (listener){ explain, user });
}

size_t qmmi_row_workspace(const qmm_context *context, const qmmi_row *row, const qmmi_problem *problem) {
    return row->workspace ? row->workspace(context, problem) : 0;
}

qmm_status qmmi_run(const qmmi_call *call, qmmi_problem *problem, const qmmi_workspace *workspace) {
    qmm_context *context = call->context;
    const qmmi_row *row;
    qmmi_choice choice;
    size_t needed;
    QMMI_TRY(qmmi_select(call, problem, workspace, &choice));
    row = choice.row;
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

int qmmi_row_variants(const qmmi_row *row) {
    int count = 0;
    while (row->variants && row->variants[count]) count++;
    return count;
}

const char *qmm_kernel_variant_name(qmm_context *context, int index, int variant) {
    qmmi_operation operation;
    const qmmi_row *row = NULL;
    if (context && context->magic == QMMI_MAGIC_CONTEXT && index >= 0) row = nth_row(context, index, &operation);
    return row && variant >= 0 && variant < qmmi_row_variants(row) ? row->variants[variant] : "";
}

int qmmi_row_find_variant(const qmmi_row *row, const char *name) {
    for (int v = 0; v < qmmi_row_variants(row); v++)
        if (strcmp(row->variants[v], name) == 0) return v + 1;
    return -1;
}

const qmmi_row *qmmi_row_find(const qmm_context *context, const char *name, size_t length, qmmi_operation *operation) {
    const qmmi_row *row;
    for (int i = 0; (row = nth_row(context, i, operation)) != NULL; i++)
        if (strncmp(row->name, name, length) == 0 && row->name[length] == '\0') break;
    return row;
}

qmm_status qmm_kernel_force(qmm_context *context, const char *name) {
    qmmi_operation operation;
    const qmmi_row *row;
    size_t length;
    int variant = 0;
    QMMI_ENTER(context);
    if (!name) {
        memset(context->forced, 0, sizeof context->forced);
        memset(context->forced_variant, 0, sizeof context->forced_variant);
        return QMM_OK;
    }
    length = strcspn(name, "/");
    row = qmmi_row_find(context, name, length, &operation);
    QMMI_REQUIRE(context, row, "name '%s' is not a kernel of this device", name);
    if (name[length]) variant = name[length + 1] ? qmmi_row_find_variant(row, name + length + 1) : -1;
    QMMI_REQUIRE(context, variant >= 0, "name '%s' has no variant of %s behind its slash", name, row->name);
    context->forced[operation] = row;
    context->forced_variant[operation] = variant;
    return QMM_OK;
}

/* The row, and each of its variants that is tested by itself. */
static qmm_status test_row(const qmmi_call *call, qmmi_operation operation, const qmmi_row *row) {
    const char *reason;
    QMMI_TRY(distrust_variant(call, operation, row, 0, &reason));
    if (reason || !row->self_test || !row->picks) return QMM_OK;
    for (int v = 1; v <= qmmi_row_variants(row); v++) QMMI_TRY(distrust_variant(call, operation, row, v, &reason));
    return QMM_OK;
}

qmm_status qmm_context_prepare(qmm_context *context) {
    const qmmi_call call = { context, __func__, false };
    qmmi_operation operation;
    const qmmi_row *row;
    QMMI_ENTER(context);
    if (context->backend->prepare) QMMI_TRY(context->backend->prepare(context));
    for (int i = 0; (row = nth_row(context, i, &operation)) != NULL; i++) {
        if (has_its_needs(context, row)) QMMI_TRY(test_row(&call, operation, row));
    }
    return QMM_OK;
}
