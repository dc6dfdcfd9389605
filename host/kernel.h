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

/* Has every operation at most QMMI_ROWS_MAX rows? */
bool qmmi_rows_fit(const qmmi_backend *backend);

/* The first row that takes the problem. explain may be NULL. */
qmm_status qmmi_select(const qmmi_call *call, const qmmi_problem *problem, qmm_explain_function explain, void *user,
                       const qmmi_row **row);

size_t qmmi_row_workspace(const qmm_context *context, const qmmi_row *row, const qmmi_problem *problem);

/* Selects, finds workspace, runs. workspace NULL: the context's own. */
qmm_status qmmi_run(const qmmi_call *call, const qmmi_problem *problem, const qmmi_workspace *workspace);

/* host/self_test.c: runs the known-answer test of a row's operation. *reason is NULL if it passed, else why not. An error
 * (no memory, a lost device) says nothing of the row. */
qmm_status qmmi_self_test(const qmmi_call *call, qmmi_operation operation, const qmmi_row *row, const char **reason);

#endif
