/* SPDX-License-Identifier: Apache-2.0
 *
 * The choice of a kernel row for a problem, and its run. */
#ifndef QMMI_KERNEL_H
#define QMMI_KERNEL_H

#include "validate.h"

/* A caller's workspace; buffer NULL: the context's own. */
typedef struct qmmi_workspace {
    qmm_buffer *buffer;
    size_t offset, bytes;
} qmmi_workspace;

/* Has every operation at most QMMI_ROWS_MAX rows, each of them at most QMMI_VARIANTS_MAX variants, and do their names fit
 * into a qmm_matmul_plan_info? */
bool qmmi_rows_fit(const qmmi_backend *backend);

/* What a problem runs on; its variant is in the problem. */
typedef struct qmmi_choice {
    const qmmi_row *row;
    bool tuned;
} qmmi_choice;

/* The row that takes the problem; sets the problem's variant. workspace NULL: the context's own. A tuned row that needs
 * more than the caller's is passed over; the usual one is not, and its run fails. */
qmm_status qmmi_select(const qmmi_call *call, qmmi_problem *problem, const qmmi_workspace *workspace,
                       qmmi_choice *choice);

/* The same, telling of every row. That none takes the problem is no error. */
qmm_status qmmi_explain(const qmmi_call *call, qmmi_problem *problem, const qmmi_workspace *workspace,
                        qmm_explain_function explain, void *user);

/* *reason: NULL if this row, with the problem's variant, runs it, whether or not it would be chosen; else why not. */
qmm_status qmmi_row_refusal(const qmmi_call *call, const qmmi_problem *problem, const qmmi_row *row,
                            const char **reason);

size_t qmmi_row_workspace(const qmm_context *context, const qmmi_row *row, const qmmi_problem *problem);
double qmmi_row_estimate(const qmm_context *context, const qmmi_row *row, const qmmi_problem *problem);

/* How many variants a row has; the number of the one that is named, -1 if none is. 0 is the row's own
 * choice, which has no name. */
int qmmi_row_variants(const qmmi_row *row);
int qmmi_row_find_variant(const qmmi_row *row, const char *name);

/* The row whose name is these `length` bytes; NULL: there is none. */
const qmmi_row *qmmi_row_find(const qmm_context *context, const char *name, size_t length, qmmi_operation *operation);

/* Selects, finds workspace, runs. workspace NULL: the context's own. */
qmm_status qmmi_run(const qmmi_call *call, qmmi_problem *problem, const qmmi_workspace *workspace);

/* The variant that runs: the problem's, or the row's own choice, as far as it has a name. The row takes the problem. */
int qmmi_row_variant(const qmm_context *context, const qmmi_row *row, const qmmi_problem *problem);

/* host/self_test.c: runs the known-answer test of a row's operation: variant 0 the row's, any other one that variant's.
 * *reason is NULL if it passed, else why not. An error (no memory, a lost device) says nothing of the row. */
qmm_status qmmi_self_test(const qmmi_call *call, qmmi_operation operation, const qmmi_row *row, int variant,
                          const char **reason);

#endif
