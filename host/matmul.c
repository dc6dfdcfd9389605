/* SPDX-License-Identifier: Apache-2.0
 *
 * matmul: the public bodies. */
#include <stdio.h>

#include "context.h"
#include "kernel.h"

/* The caller's, where desc has one. */
static qmmi_workspace workspace_of(const qmm_matmul_desc *checked) {
    return (qmmi_workspace){ checked->workspace, checked->workspace_offset, checked->workspace_bytes };
}

static bool is_empty(const qmmi_matmul_problem *p) {
    return p->m == 0 || p->n == 0;
}

qmm_status qmm_matmul(qmm_context *context, const qmm_matmul_desc *desc, const qmm_tensor *a, const qmm_tensor *b,
                      const qmm_tensor *c) {
    const qmmi_call call = { context, __func__, false };
    qmm_matmul_desc checked;
    qmmi_problem problem;
    qmmi_workspace workspace;
    QMMI_ENTER(context);
    QMMI_TRY(qmmi_check_matmul(&call, desc, a, b, c, &checked, &problem));
    if (is_empty(&problem.as.matmul)) return QMM_OK;
    workspace = workspace_of(&checked);
    return qmmi_run(&call, &problem, &workspace);
}

qmm_status qmm_matmul_workspace(qmm_context *context, const qmm_matmul_desc *desc, const qmm_tensor *a,
                                const qmm_tensor *b, const qmm_tensor *c, size_t *bytes) {
    const qmmi_call call = { context, __func__, true };
    qmm_matmul_desc checked;
    qmmi_problem problem;
    qmmi_choice choice;
    QMMI_ENTER(context);
    QMMI_REQUIRE(context, bytes, "bytes is NULL");
    QMMI_TRY(qmmi_check_matmul(&call, desc, a, b, c, &checked, &problem));
    if (is_empty(&problem.as.matmul)) {
        *bytes = 0;
        return QMM_OK;
    }
    QMMI_TRY(qmmi_select(&call, &problem, NULL, &choice));
    *bytes = qmmi_row_workspace(context, choice.row, &problem);
    return QMM_OK;
}

qmm_status qmm_matmul_explain(qmm_context *context, const qmm_matmul_desc *desc, const qmm_tensor *a,
                              const qmm_tensor *b, const qmm_tensor *c, qmm_explain_function explain, void *user) {
    const qmmi_call call = { context, __func__, true };
    qmm_matmul_desc checked;
    qmmi_problem problem;
    qmmi_workspace workspace;
    QMMI_ENTER(context);
    QMMI_REQUIRE(context, explain, "explain is NULL");
    QMMI_TRY(qmmi_check_matmul(&call, desc, a, b, c, &checked, &problem));
    workspace = workspace_of(&checked);
    return qmmi_explain(&call, &problem, &workspace, explain, user);
}

static void name_variant(const qmmi_row *row, int variant, char *name, size_t bytes) {
    if (variant) snprintf(name, bytes, "%s", row->variants[variant - 1]);
}

static void describe_choice(const qmm_context *context, const qmmi_choice *choice, const qmmi_problem *problem,
                            qmm_matmul_plan_info *plan) {
    const qmmi_row *const row = choice->row;
    const qmmi_split split = row->split ? row->split(context, problem) : (qmmi_split){ 0, 0 };
    snprintf(plan->kernel, sizeof plan->kernel, "%s", row->name);
    name_variant(row, problem->as.matmul.variant, plan->variant, sizeof plan->variant);
    name_variant(row, qmmi_row_variant(context, row, problem), plan->tile, sizeof plan->tile);
    plan->tuned = choice->tuned;
    plan->workspace_bytes = qmmi_row_workspace(context, row, problem);
    plan->estimate = qmmi_row_estimate(context, row, problem);
    plan->split_tiles = split.tiles;
    plan->split_blocks = split.sharers;
}

qmm_status qmm_matmul_plan(qmm_context *context, const qmm_matmul_desc *desc, const qmm_tensor *a, const qmm_tensor *b,
                           const qmm_tensor *c, qmm_matmul_plan_info *plan) {
    const qmmi_call call = { context, __func__, true };
    qmm_matmul_plan_info found = QMM_MATMUL_PLAN_INFO_INIT;
    qmm_matmul_desc checked;
    qmmi_problem problem;
    qmmi_workspace workspace;
    qmmi_choice choice;
    QMMI_ENTER(context);
    QMMI_REQUIRE(context, plan, "plan is NULL");
    QMMI_CHECK_RESULT(context, plan, QMMI_OLDEST_MATMUL_PLAN_INFO);
    QMMI_TRY(qmmi_check_matmul(&call, desc, a, b, c, &checked, &problem));
    if (!is_empty(&problem.as.matmul)) {
        workspace = workspace_of(&checked);
        QMMI_TRY(qmmi_select(&call, &problem, &workspace, &choice));
        describe_choice(context, &choice, &problem, &found);
    }
    qmmi_write_struct(plan, &found, sizeof found);
    return QMM_OK;
}
