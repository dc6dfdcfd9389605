/* SPDX-License-Identifier: Apache-2.0
 *
 * A run of the checker under way: what harness.c, execute.c and report.c share. */
#ifndef QMM_VALIDATE_SESSION_H
#define QMM_VALIDATE_SESSION_H

#include "harness.h"

enum { VALIDATE_TEXT = 640, VALIDATE_REASONS = 4, VALIDATE_CELLS = 96, VALIDATE_FAILURES_KEPT = 50 };

typedef struct validate_reason {
    char text[160];
    int64_t count;
} validate_reason;

/* One operation on one row: a line of the table. */
typedef struct validate_cell {
    const validate_descriptor *descriptor;
    char kernel[64]; /* "auto": the device's own choice */
    int64_t passed, failed, refused, mistrusted;
    double seconds;
    validate_reason reasons[VALIDATE_REASONS]; /* of refusals; a fifth reason counts with the fourth */
    int reason_count;
} validate_cell;

typedef struct validate_failure {
    char repro[256], description[VALIDATE_TEXT], mismatch[VALIDATE_TEXT];
} validate_failure;

/* A line of performance mode. */
typedef struct validate_timing {
    const validate_cell *cell;
    char description[VALIDATE_TEXT];
    double seconds, rate; /* median of a run; in the descriptor's unit */
    int runs;
} validate_timing;

typedef struct validate_session {
    const validate_options *options;
    qmm_context *context, *second, *reference;
    bool host_device; /* device memory is host memory */
    validate_cell cells[VALIDATE_CELLS];
    int cell_count;
    validate_failure *failures; /* the first VALIDATE_FAILURES_KEPT */
    int failure_count;
    validate_timing *timings;
    int timing_count;
    double started, seconds;
} validate_session;

double validate_now(void);

/* Runs a case: buffers, upload, call, download into `after`, buffers away. */
qmm_status validate_execute(const validate_session *s, const validate_case *c, qmm_context *context,
                            validate_execution *e);

/* The same in two steps, for timing: buffers with their contents; and what must be undone. */
qmm_status validate_prepare(const validate_session *s, const validate_case *c, qmm_context *context,
                            validate_execution *e);
void validate_finish(const validate_case *c, validate_execution *e);

void validate_time_rows(validate_session *s, const validate_descriptor *d);

void validate_report_failure(validate_session *s, const validate_failure *failure);
void validate_report_case(const validate_session *s, const validate_case *c, const validate_cell *cell,
                          const char *status);
void validate_report_timing(const validate_session *s, const validate_timing *timing);
void validate_report(const validate_session *s, bool passed);

/* Is the row `kernel` ("cpu:matmul:reference") one of `operation` ("matmul", NULL: none)? */
bool validate_is_row_of(const char *kernel, const char *operation);

/* Makes case `index`; free its tensors afterwards. */
void validate_make_case(const validate_session *s, const validate_descriptor *d, int64_t index, int performance_shape,
                        validate_case *c);

/* Forces the cell's row, or none. */
qmm_status validate_force(qmm_context *context, const validate_cell *cell);

#endif
