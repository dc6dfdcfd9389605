/* SPDX-License-Identifier: Apache-2.0
 *
 * matmul: the public bodies. */
#include "context.h"
#include "kernel.h"

static bool is_empty(const qmmi_matmul_problem *p) {
    return p->m == 0 || p->n == 0;
}

qmm_status qmm_matmul(qmm_context *context, const qmm_matmul_desc *desc, const qmm_tensor *a, const qmm_tensor *b,
                      const qmm_tensor *c) {
    const qmmi_call call = { context, __func__, false };
    qmm_matmul_desc checked;
    qmmi_problem problem;
    QMMI_ENTER(context);
    QMMI_TRY(qmmi_check_matmul(&call, desc, a, b, c, &checked, &problem));
    if (is_empty(&problem.as.matmul)) return QMM_OK;
    return qmmi_run(&call, &problem,
                    &(qmmi_workspace){ checked.workspace, checked.workspace_offset, checked.workspace_bytes });
}

qmm_status qmm_matmul_workspace(qmm_context *context, const qmm_matmul_desc *desc, const qmm_tensor *a,
                                const qmm_tensor *b, const qmm_tensor *c, size_t *bytes) {
    const qmmi_call call = { context, __func__, true };
    qmm_matmul_desc checked;
    qmmi_problem problem;
    const qmmi_row *row;
    QMMI_ENTER(context);
    QMMI_REQUIRE(context, bytes, "bytes is NULL");
    QMMI_TRY(qmmi_check_matmul(&call, desc, a, b, c, &checked, &problem));
    if (is_empty(&problem.as.matmul)) {
        *bytes = 0;
        return QMM_OK;
    }
    QMMI_TRY(qmmi_select(&call, &problem, NULL, NULL, &row));
    *bytes = qmmi_row_workspace(context, row, &problem);
    return QMM_OK;
}

qmm_status qmm_matmul_explain(qmm_context *context, const qmm_matmul_desc *desc, const qmm_tensor *a,
                              const qmm_tensor *b, const qmm_tensor *c, qmm_explain_function explain, void *user) {
    const qmmi_call call = { context, __func__, true };
    qmm_matmul_desc checked;
    qmmi_problem problem;
    const qmmi_row *row;
    QMMI_ENTER(context);
    QMMI_REQUIRE(context, explain, "explain is NULL");
    QMMI_TRY(qmmi_check_matmul(&call, desc, a, b, c, &checked, &problem));
    return qmmi_select(&call, &problem, explain, user, &row);
}
