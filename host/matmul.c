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

qmm_status qmm_matmul_plan(qmm_context *context, const qmm_matmul_desc *desc, const qmm_tensor *a, const qmm_tensor *b,
                           const qmm_tensor *c, qmm_matmul_plan_info *plan) {
    const qmmi_call call = { context, __func__, true };
    qmm_matmul_plan_info found = QMM_MATMUL_PLAN_INFO_INIT;
    qmm_matmul_desc checked;
    qmmi_problem problem;
    qmmi_workspace workspace;
    qmmi_choice choice;
    int variant;
    QMMI_ENTER(context);
    QMMI_REQUIRE(context, plan, "plan is NULL");
    QMMI_CHECK_RESULT(context, plan, QMMI_OLDEST_MATMUL_PLAN_INFO);
    QMMI_TRY(qmmi_check_matmul(&call, desc, a, b, c, &checked, &problem));
    if (!is_empty(&problem.as.matmul)) {
        workspace = workspace_of(&checked);
        QMMI_TRY(qmmi_select(&call, &problem, &workspace, &choice));
        variant = problem.as.matmul.variant;
        snprintf(found.kernel, sizeof found.kernel, "%s", choice.row->name);
        if (variant) snprintf(found.variant, sizeof found.variant, "%s", choice.row->variants[variant - 1]);
        found.tuned = choice.tuned;
        found.workspace_bytes = qmmi_row_workspace(context, choice.row, &problem);
        found.estimate = qmmi_row_estimate(context, choice.row, &problem);
    }
    qmmi_write_struct(plan, &found, sizeof found);
    return QMM_OK;
}
