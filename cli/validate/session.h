/* SPDX-License-Identifier: Apache-2.0
 *
 * A run of the checker under way: what its files share. */
#ifndef QMM_VALIDATE_SESSION_H
#define QMM_VALIDATE_SESSION_H

#include "../progress.h"
#include "harness.h"

enum { VALIDATE_TEXT = 640, VALIDATE_REASONS = 4, VALIDATE_CELLS = 512, VALIDATE_FAILURES_KEPT = 50 };

typedef struct validate_reason {
    char text[160];
    int64_t count;
} validate_reason;

/* One operation on one row: a line of the table. */
typedef struct validate_cell {
    const validate_descriptor *descriptor;
    char kernel[112]; /* "auto": the device's own choice; "ROW/VARIANT" */
    int64_t passed, failed, refused, mistrusted;
    bool distrusted;          /* the row failed its known-answer test, which was told as a failure */
    int64_t exact, freivalds; /* of these, compared bit for bit; checked by Freivalds' method */
    double seconds;
    validate_reason reasons[VALIDATE_REASONS]; /* of refusals; a fifth reason counts with the fourth */
    int reason_count;
} validate_cell;

typedef struct validate_failure {
    const validate_cell *cell;
    char label[200]; /* begins the names of saved files */
    char repro[640], description[VALIDATE_TEXT], mismatch[VALIDATE_TEXT];
} validate_failure;

/* A line of performance mode. */
typedef struct validate_timing {
    const validate_cell *cell;
    char description[VALIDATE_TEXT];
    double seconds, rate; /* median of a run; in the descriptor's unit */
    int runs;
} validate_timing;

/* What came of a shape on a row. */
typedef struct validate_shape_result {
    const cli_shape *shape;
    const validate_cell *cell;
    const char *status, *check; /* "PASSED"; "exact", "freivalds", "repeated", "" if refused */
    double seconds;
} validate_shape_result;

typedef struct validate_session {
    const validate_options *options;
    qmm_context *context, *second, *reference;
    bool host_device; /* device memory is host memory */
    validate_cell cells[VALIDATE_CELLS];
    int cell_count;
    validate_failure *failures; /* the first VALIDATE_FAILURES_KEPT */
    int failure_count, failures_kept;
    validate_timing *timings;
    int timing_count;
    validate_shape_result *shape_results;
    int shape_result_count;
    progress bar;
    int64_t cases_done;
    double started, seconds;
    bool cut_short; /* by an interrupt or --seconds, before all cases of the tier or list were run */
} validate_session;

/* The time is over, or the device is: a failed one fails every further case too. */
bool validate_is_over(const validate_session *s);

/* Of `total` cases (below 0: nobody knows), or of the time there is: whichever is nearer its end. */
void validate_show_progress(validate_session *s, int64_t total);

/* ---- cases of descriptors ---------------------------------------------------------------------------------------- */

/* Runs a case: buffers, upload, call, download into `after`, buffers away. */
qmm_status validate_execute(const validate_session *s, const validate_case *c, qmm_context *context,
                            validate_execution *e);

/* The same in two steps, for timing: buffers with their contents; and what must be undone. */
qmm_status validate_prepare(const validate_session *s, const validate_case *c, qmm_context *context,
                            validate_execution *e);
void validate_finish(const validate_case *c, validate_execution *e);

/* Makes case `index`; free its tensors afterwards. */
void validate_make_case(const validate_session *s, const validate_descriptor *d, int64_t index, int performance_shape,
                        validate_case *c);

/* Forces the cell's row, or none. */
qmm_status validate_force(qmm_context *context, const validate_cell *cell);

/* Are tensors and values the wanted ones, NaNs being one class? If not, says in `text` where. */
bool validate_tensors_hold(const validate_case *c, char *text, size_t bytes);
bool validate_values_hold(const validate_case *c, const validate_execution *e, bool use_judge, char *text,
                          size_t bytes);

/* A refusal in the cell: the row's own line of `error`, or the first that gives a reason. Gives that line. */
const char *validate_count_refusal(validate_cell *cell, const char *error);

/* The row does not take the case: counts it, with the reason in the context's error. */
void validate_refuse(validate_session *s, const validate_case *c, validate_cell *cell);

/* A row that not one case has reached; NULL: there is none, or which are reached is a matter of time (fuzz). */
const validate_cell *validate_untried(const validate_session *s);

/* Is it the first refusal of a row that failed its known-answer test? Then its kernel is wrong: it is to be told as a
 * failure, once. */
bool validate_distrusts(const validate_session *s, validate_cell *cell, const char *error);

/* A failure: counted, reported, saved if that is wanted. */
void validate_fail(validate_session *s, const validate_case *c, validate_cell *cell, const char *mismatch);

void validate_time_rows(validate_session *s, const validate_descriptor *d);

/* The case on the cell for VALIDATE_BITWISE: twice, and on a second context. */
void validate_check_bitwise(validate_session *s, validate_case *c, validate_cell *cell);

/* ... for VALIDATE_DETERMINISM. *known: the case has a result, of another row, in `want`. */
void validate_check_determinism(validate_session *s, validate_case *c, validate_cell *cell, bool *known);

/* Is the row `kernel` ("cpu:matmul:reference") one of `operation` ("matmul", NULL: none)? */
bool validate_is_row_of(const char *kernel, const char *operation);

/* ---- shapes ------------------------------------------------------------------------------------------------------ */

void validate_check_shapes(validate_session *s);

/* ---- what is said ------------------------------------------------------------------------------------------------ */

void validate_report_failure(validate_session *s, const validate_failure *failure);
void validate_report_case(const validate_session *s, const validate_case *c, const validate_cell *cell,
                          const char *status);
void validate_report_line(const validate_session *s, const validate_cell *cell, const char *status, const char *text);
void validate_report_timing(const validate_session *s, const validate_timing *timing);
void validate_report(const validate_session *s, bool passed);

/* How often each case is run: --repeat, or the mode's own number. */
int64_t validate_runs(const validate_options *options);

/* The sum of all cells. */
void validate_add_up(const validate_session *s, validate_cell *sum);

/* The words of modes and tiers. */
const char *validate_mode_name(validate_mode mode);
const char *validate_tier_name(validate_tier tier);

void validate_print_json(const validate_session *s, bool passed);
void validate_print_csv(const validate_session *s);
void validate_print_junit(const validate_session *s, bool passed);

/* ---- tensors of failures ----------------------------------------------------------------------------------------- */

/* Elements of `tensor`, out of `bytes`, for a file NAME.npy. */
typedef struct validate_image {
    char name[48];
    const validate_tensor *tensor;
    const unsigned char *bytes;
} validate_image;

/* Writes LABEL-NAME.npy of each and LABEL.txt; says on standard error if it cannot. */
void validate_save(const validate_session *s, const validate_failure *failure, const validate_image *images,
                   int count);

/* The same with the tensors of a case. */
void validate_save_case(const validate_session *s, const validate_failure *failure, const validate_case *c);

#endif
