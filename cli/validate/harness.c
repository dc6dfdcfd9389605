/* SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L
#include "harness.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../cli.h"
#include "generate.h"
#include "../interrupt.h"
#include "session.h"

/* ---- cases ------------------------------------------------------------------------------------------------------- */

void validate_make_case(const validate_session *s, const validate_descriptor *d, int64_t index, int performance_shape,
                        validate_case *c) {
    memset(c, 0, sizeof *c);
    c->descriptor = d;
    c->seed = s->options->seed;
    c->index = index;
    c->performance_shape = performance_shape;
    validate_random_start(&c->random, c->seed, d->name, index);
    d->generate(c);
    validate_want_no_change(c);
}

/* The results of the cpu's reference rows, for cases too large for the oracle. */
static bool expect_from_reference(const validate_session *s, validate_case *c) {
    validate_execution e;
    const qmm_status status = validate_execute(s, c, s->reference, &e);
    if (status != QMM_OK && status != QMM_INVALID_ARGUMENT) return false;
    c->want_status = status;
    for (int n = 0; n < c->tensor_count; n++) memcpy(c->tensors[n].want, c->tensors[n].after, c->tensors[n].bytes);
    memcpy(c->want_values, e.values, sizeof e.values);
    return true;
}

/* Did anything but zeros and ends come out? Few elements say little either way. */
static bool proves_little(const validate_case *c) {
    enum { ENOUGH = 16 };
    if (c->trivial || c->want_status != QMM_OK) return false;
    for (int n = 0; n < c->tensor_count; n++) {
        const validate_tensor *t = &c->tensors[n];
        int32_t qmin, qmax;
        int64_t count;
        if (!t->output) continue;
        validate_code_range(t->type, 0, &qmin, &qmax);
        if (validate_trivial_share(t, qmin, qmax, &count) > 0.9 && count >= ENOUGH) return true;
    }
    return false;
}

/* ---- judging ----------------------------------------------------------------------------------------------------- */

bool validate_values_hold(const validate_case *c, const validate_execution *e, bool use_judge, char *text,
                          size_t bytes) {
    if (use_judge && c->descriptor->judge) {
        c->descriptor->judge(c, e, text, bytes);
        return text[0] == '\0';
    }
    for (int n = 0; n < c->value_count; n++) {
        const double want = c->want_values[n], got = e->values[n];
        if (want == got || (isnan(want) && isnan(got))) continue;
        validate_append(text, bytes, "%s: expected %.17g, got %.17g", c->value_names[n], want, got);
        return false;
    }
    return true;
}

bool validate_tensors_hold(const validate_case *c, char *text, size_t bytes) {
    for (int n = 0; n < c->tensor_count; n++)
        if (!validate_tensor_holds(&c->tensors[n], text, bytes)) return false;
    return true;
}

/* After a call that was refused nothing has changed. */
static bool nothing_changed(const validate_case *c, char *text, size_t bytes) {
    for (int n = 0; n < c->tensor_count; n++) {
        const validate_tensor *t = &c->tensors[n];
        if (memcmp(t->before, t->after, t->bytes) == 0) continue;
        validate_append(text, bytes, "%s: changed by a call that failed", t->name);
        return false;
    }
    return true;
}

static bool case_holds(const validate_case *c, const validate_execution *e, qmm_status status, bool use_judge,
                       char *text, size_t bytes) {
    text[0] = '\0';
    if (status != c->want_status) {
        validate_append(text, bytes, "expected %s, got %s: %s", qmm_status_name(c->want_status),
                        qmm_status_name(status), qmm_context_error(e->context));
        for (char *p = text; *p; p++)
            if (*p == '\n') *p = ';';
        return false;
    }
    if (e->complaint[0]) {
        validate_append(text, bytes, "%s", e->complaint);
        return false;
    }
    if (status != QMM_OK) return nothing_changed(c, text, bytes);
    return validate_tensors_hold(c, text, bytes) && validate_values_hold(c, e, use_judge, text, bytes);
}

/* The part of `error` that tells why this cell's row refused: "ROW: reason", or all of it. */
static const char *own_reason(const validate_cell *cell, const char *error) {
    char row[sizeof cell->kernel + 2] = "";
    const char *line = strstr(error, "\n  "), *own, *from;
    validate_append(row, sizeof row, "%.*s: ", (int)strcspn(cell->kernel, "/"), cell->kernel);
    own = strstr(error, row);
    from = own ? own + strlen(row) : line ? strstr(line, ": ") : NULL;
    return !from ? error : own ? from : from + 2;
}

const char *validate_count_refusal(validate_cell *cell, const char *error) {
    const char *from = own_reason(cell, error);
    validate_reason *r = cell->reasons;
    char text[sizeof r->text] = "";
    validate_append(text, sizeof text, "%.*s", (int)strcspn(from, "\n"), from);
    cell->refused++;
    for (int n = 0; n < cell->reason_count; n++, r++)
        if (strcmp(r->text, text) == 0) break;
    if (r == cell->reasons + cell->reason_count) {
        if (cell->reason_count == VALIDATE_REASONS)
            r--;
        else
            cell->reason_count++;
        memcpy(r->text, text, sizeof text);
    }
    r->count++;
    return r->text;
}

bool validate_distrusts(const validate_session *s, validate_cell *cell, const char *error) {
    const bool first = !cell->distrusted;
    if (s->options->allow_distrusted || !strstr(own_reason(cell, error), "known-answer test")) return false;
    if (strcmp(cell->kernel, "auto") == 0) return false; /* the text lists every row */
    cell->distrusted = true;
    return first;
}

void validate_fail(validate_session *s, const validate_case *c, validate_cell *cell, const char *mismatch) {
    const validate_options *o = s->options;
    validate_failure f = { .cell = cell };
    cell->failed++;
    validate_append(f.label, sizeof f.label, "%s-%s-%" PRId64, c->descriptor->name, cell->kernel, c->index);
    validate_append(f.repro, sizeof f.repro,
                    "qmm validate --device %s --operation %s --kernel %s --seed %" PRIu64 " --start %" PRId64
                    " --cases 1",
                    o->device, c->descriptor->name, cell->kernel, c->seed, c->index);
    if (o->mode == VALIDATE_BITWISE || o->mode == VALIDATE_DETERMINISM)
        validate_append(f.repro, sizeof f.repro, " --mode %s", validate_mode_name(o->mode));
    if (o->repeat > 0) validate_append(f.repro, sizeof f.repro, " --repeat %" PRId64, o->repeat);
    if (o->oracle_limit != VALIDATE_ORACLE_LIMIT)
        validate_append(f.repro, sizeof f.repro, " --oracle-limit %.0f", o->oracle_limit);
    c->descriptor->describe(c, f.description, sizeof f.description);
    validate_append(f.mismatch, sizeof f.mismatch, "%s", mismatch);
    validate_report_failure(s, &f);
    if (o->save && s->failure_count <= VALIDATE_FAILURES_KEPT) validate_save_case(s, &f, c);
}

void validate_refuse(validate_session *s, const validate_case *c, validate_cell *cell) {
    const char *const error = qmm_context_error(s->context);
    const bool failed = validate_distrusts(s, cell, error);
    char reason[VALIDATE_TEXT] = "";
    validate_append(reason, sizeof reason, "%.*s", (int)strcspn(own_reason(cell, error), "\n"), own_reason(cell, error));
    if (failed)
        validate_fail(s, c, cell, reason);
    else
        validate_count_refusal(cell, error);
    validate_report_case(s, c, cell, failed ? "FAILED" : "REFUSED");
}

/* ---- one case on one row ----------------------------------------------------------------------------------------- */

qmm_status validate_force(qmm_context *context, const validate_cell *cell) {
    const qmm_status status = qmm_kernel_force(context, NULL);
    if (status != QMM_OK || strcmp(cell->kernel, "auto") == 0) return status;
    return qmm_kernel_force(context, cell->kernel);
}

typedef enum verdict { HELD, REFUSED, WRONG } verdict;

/* One run. The mismatch is empty unless it is WRONG. */
static verdict run_row(const validate_session *s, const validate_case *c, const validate_cell *cell, bool use_judge,
                       char *mismatch, size_t bytes) {
    validate_execution e;
    qmm_status status = validate_force(s->context, cell);
    mismatch[0] = '\0';
    if (status == QMM_OK) status = validate_execute(s, c, s->context, &e);
    if (status == QMM_UNSUPPORTED && nothing_changed(c, mismatch, bytes)) return REFUSED;
    if (mismatch[0]) return WRONG;
    return case_holds(c, &e, status, use_judge, mismatch, bytes) ? HELD : WRONG;
}

static verdict repeat_row(const validate_session *s, const validate_case *c, const validate_cell *cell, bool use_judge,
                          char *mismatch, size_t bytes) {
    const int64_t runs = validate_runs(s->options);
    verdict v = HELD;
    for (int64_t run = 1; run <= runs && v == HELD; run++) {
        char text[VALIDATE_TEXT];
        v = run_row(s, c, cell, use_judge, text, sizeof text);
        if (v == WRONG && runs > 1) validate_append(mismatch, bytes, "run %" PRId64 " of %" PRId64 ": ", run, runs);
        validate_append(mismatch, bytes, "%s", text);
    }
    return v;
}

static void check_row(validate_session *s, const validate_case *c, validate_cell *cell, bool little, bool use_judge) {
    char mismatch[VALIDATE_TEXT] = "";
    switch (repeat_row(s, c, cell, use_judge, mismatch, sizeof mismatch)) {
    case REFUSED:
        validate_refuse(s, c, cell);
        return;
    case WRONG:
        validate_fail(s, c, cell, mismatch);
        validate_report_case(s, c, cell, "FAILED");
        break;
    case HELD:
        if (little)
            cell->mistrusted++;
        else
            cell->passed++;
        validate_report_case(s, c, cell, little ? "MISTRUSTED" : "PASSED");
        break;
    }
    cell->exact++;
}

/* What correctness is judged by: the oracle, or for large cases the reference rows. */
static bool expect_case(const validate_session *s, validate_case *c) {
    const bool use_judge = c->descriptor->oracle_only || c->operations <= s->options->oracle_limit;
    if (use_judge || !expect_from_reference(s, c)) c->descriptor->expect(c);
    return use_judge;
}

/* A case on every cell of its descriptor. */
static void check_case(validate_session *s, const validate_descriptor *d, int64_t index) {
    const validate_mode mode = s->options->mode;
    validate_case c;
    bool little = false, use_judge = true, known = false;
    validate_make_case(s, d, index, -1, &c);
    if (mode == VALIDATE_CORRECTNESS || mode == VALIDATE_FUZZ) {
        use_judge = expect_case(s, &c);
        little = proves_little(&c);
    }
    for (int n = 0; n < s->cell_count; n++) {
        validate_cell *cell = &s->cells[n];
        const double begin = cli_now();
        if (cell->descriptor != d) continue;
        if (mode == VALIDATE_BITWISE)
            validate_check_bitwise(s, &c, cell);
        else if (mode == VALIDATE_DETERMINISM)
            validate_check_determinism(s, &c, cell, &known);
        else
            check_row(s, &c, cell, little, use_judge);
        cell->seconds += cli_now() - begin;
    }
    validate_free_tensors(&c);
    s->cases_done++;
}

/* ---- all cases --------------------------------------------------------------------------------------------------- */

/* Determinism makes a hundred runs of each case: it takes every fiftieth. */
enum { DETERMINISM_STEP = 50, FUZZ_TURN = 20, FUZZ_FIRST = 1000000 };

static int64_t tier_count(const validate_session *s, const validate_descriptor *d) {
    switch (s->options->tier) {
    case VALIDATE_QUICK: return d->quick_cases;
    case VALIDATE_FULL: return d->full_cases;
    case VALIDATE_SOAK: return 20 * d->full_cases;
    }
    return 0;
}

int64_t validate_runs(const validate_options *o) {
    enum { BITWISE_RUNS = 3 }; /* once more, and on a second context */
    if (o->mode == VALIDATE_BITWISE) return BITWISE_RUNS;
    return o->repeat > 0 ? o->repeat : o->mode == VALIDATE_DETERMINISM ? VALIDATE_REPEAT : 1;
}

static int64_t case_step(const validate_session *s) {
    return s->options->mode == VALIDATE_DETERMINISM && s->options->cases < 0 ? DETERMINISM_STEP : 1;
}

static int64_t case_count(const validate_session *s, const validate_descriptor *d) {
    return s->options->cases >= 0 ? s->options->cases : tier_count(s, d) / case_step(s);
}

bool validate_is_over(const validate_session *s) {
    return (s->options->seconds > 0.0 && cli_now() - s->started >= s->options->seconds) || cli_interrupted() ||
           qmm_context_error_status(s->context) == QMM_DEVICE_FAILED;
}

static bool has_cells(const validate_session *s, const validate_descriptor *d) {
    for (int n = 0; n < s->cell_count; n++)
        if (s->cells[n].descriptor == d) return true;
    return false;
}

static int64_t total_count(const validate_session *s) {
    int64_t total = 0;
    for (const validate_descriptor *const *d = s->options->descriptors; *d; d++)
        if (has_cells(s, *d)) total += case_count(s, *d);
    return total;
}

void validate_show_progress(validate_session *s, int64_t total) {
    const double limit = s->options->seconds;
    const double by_time = limit > 0.0 ? (cli_now() - s->started) / limit : 0.0;
    const double by_count = total > 0 ? (double)s->cases_done / (double)total : 0.0;
    progress_show_rate(&s->bar, "cases", s->cases_done, total, by_time > by_count ? by_time : by_count);
}

static void check_descriptor(validate_session *s, const validate_descriptor *d, int64_t total) {
    const int64_t count = case_count(s, d), step = case_step(s);
    s->bar.title = d->name;
    for (int64_t n = 0; n < count && !s->cut_short; n++) {
        check_case(s, d, s->options->start + n * step);
        validate_show_progress(s, total);
        s->cut_short = validate_is_over(s) && s->cases_done < total;
    }
}

/* In turns of all operations; numbers go on from --start, by default behind those of the tiers. */
static void fuzz(validate_session *s) {
    const int64_t first = s->options->start > 0 ? s->options->start : FUZZ_FIRST, cases = s->options->cases;
    const int64_t total = cases < 0 ? -1 : total_count(s);
    for (int64_t n = first; !validate_is_over(s) && (cases < 0 || n < first + cases); n += FUZZ_TURN) {
        const int64_t turn = cases >= 0 && first + cases - n < FUZZ_TURN ? first + cases - n : FUZZ_TURN;
        for (const validate_descriptor *const *d = s->options->descriptors; *d; d++) {
            for (int64_t i = 0; i < turn && has_cells(s, *d) && !validate_is_over(s); i++) check_case(s, *d, n + i);
            validate_show_progress(s, total);
        }
    }
}

/* ---- cells ------------------------------------------------------------------------------------------------------- */

bool validate_is_row_of(const char *kernel, const char *operation) {
    const char *colon = strchr(kernel, ':');
    const size_t length = operation ? strlen(operation) : 0;
    return operation && colon && strncmp(colon + 1, operation, length) == 0 && colon[1 + length] == ':';
}

static void add_cell(validate_session *s, const validate_descriptor *d, const char *kernel) {
    validate_cell *cell = &s->cells[s->cell_count];
    if (s->options->kernel && strcmp(s->options->kernel, kernel) != 0) return;
    if (s->cell_count == VALIDATE_CELLS) return;
    *cell = (validate_cell){ .descriptor = d };
    validate_append(cell->kernel, sizeof cell->kernel, "%s", kernel);
    s->cell_count++;
}

/* The tile variants of a row: where the same bytes of all are the question, for shapes, and where one is named. */
static bool wants_variants(const validate_session *s) {
    const validate_options *o = s->options;
    return o->shapes || o->mode == VALIDATE_DETERMINISM || (o->kernel && strchr(o->kernel, '/'));
}

static void add_row(validate_session *s, const validate_descriptor *d, int index) {
    const char *kernel = qmm_kernel_name(s->context, index), *variant;
    add_cell(s, d, kernel);
    for (int n = 0; wants_variants(s) && (variant = qmm_kernel_variant_name(s->context, index, n))[0]; n++) {
        char name[sizeof s->cells[0].kernel] = "";
        validate_append(name, sizeof name, "%s/%s", kernel, variant);
        add_cell(s, d, name);
    }
}

static void add_cells(validate_session *s) {
    for (const validate_descriptor *const *d = s->options->descriptors; *d; d++) {
        const int rows = qmm_kernel_count(s->context);
        add_cell(s, *d, "auto");
        for (int n = 0; n < rows; n++)
            if (validate_is_row_of(qmm_kernel_name(s->context, n), (*d)->kernel_operation)) add_row(s, *d, n);
    }
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

static qmm_status open_context(const char *device, qmm_context **context) {
    char text[512] = "";
    qmm_context_options options = QMM_CONTEXT_OPTIONS_INIT;
    qmm_status status;
    options.error_text = text;
    options.error_text_size = sizeof text;
    status = qmm_context_open(device, &options, context);
    if (status != QMM_OK) fprintf(stderr, "qmm validate: %s\n", text[0] ? text : qmm_status_name(status));
    return status;
}

/* The reference context runs every operation on the row of that name. */
static void force_reference(qmm_context *context) {
    for (int n = 0; n < qmm_kernel_count(context); n++) {
        const char *name = qmm_kernel_name(context, n), *end = strrchr(name, ':');
        if (end && strcmp(end, ":reference") == 0) qmm_kernel_force(context, name);
    }
}

static int open_session(validate_session *s) {
    qmm_device_info info = QMM_DEVICE_INFO_INIT;
    qmm_status status = open_context(s->options->device, &s->context);
    if (status == QMM_OK) status = open_context(s->options->device, &s->second);
    if (status == QMM_OK) status = open_context("cpu", &s->reference);
    if (status == QMM_NO_DEVICE || status == QMM_INVALID_ARGUMENT) return 3;
    if (status != QMM_OK) return 1;
    force_reference(s->reference);
    if (qmm_context_get_device_info(s->context, &info) == QMM_OK) s->host_device = strncmp(info.name, "cpu", 3) == 0;
    return 0;
}

static void close_session(validate_session *s) {
    qmm_context_close(s->reference);
    qmm_context_close(s->second);
    qmm_context_close(s->context);
    free(s->failures);
    free(s->timings);
    free(s->shape_results);
}

const validate_cell *validate_untried(const validate_session *s) {
    const bool counts = s->options->mode != VALIDATE_PERFORMANCE && s->options->mode != VALIDATE_FUZZ;
    for (const validate_cell *c = s->cells; counts && c < s->cells + s->cell_count; c++)
        if (c->passed + c->failed + c->refused + c->mistrusted == 0) return c;
    return NULL;
}

static bool all_passed(const validate_session *s) {
    validate_cell sum;
    validate_add_up(s, &sum);
    if (s->options->mode == VALIDATE_PERFORMANCE) return s->timing_count > 0;
    return sum.failed == 0 && sum.passed > 0 && !validate_untried(s) && !cli_interrupted();
}

static void run_descriptors(validate_session *s) {
    const int64_t total = total_count(s);
    for (const validate_descriptor *const *d = s->options->descriptors; *d; d++) {
        if (!has_cells(s, *d)) continue;
        if (s->options->mode == VALIDATE_PERFORMANCE)
            validate_time_rows(s, *d);
        else
            check_descriptor(s, *d, total);
    }
}

static void run_mode(validate_session *s) {
    progress_start(&s->bar, validate_mode_name(s->options->mode));
    if (s->options->shapes)
        validate_check_shapes(s);
    else if (s->options->mode == VALIDATE_FUZZ)
        fuzz(s);
    else
        run_descriptors(s);
    progress_end(&s->bar);
}

int validate_run(const validate_options *options) {
    validate_session *s = calloc(1, sizeof *s);
    int code;
    bool passed;
    if (!s) return 1;
    s->options = options;
    s->started = cli_now();
    cli_hold_interrupts();
    code = open_session(s);
    if (code == 0) {
        add_cells(s);
        if (s->cell_count == 0) {
            fprintf(stderr, "qmm validate: none of these operations has a kernel '%s' on %s; see --list\n",
                    options->kernel ? options->kernel : "", options->device);
            code = 2;
        }
    }
    if (code == 0) {
        run_mode(s);
        s->seconds = cli_now() - s->started;
        passed = all_passed(s);
        validate_report(s, passed);
        code = passed ? 0 : 1;
    }
    close_session(s);
    free(s);
    return code;
}

int validate_list(const validate_options *options) {
    qmm_context *context;
    const qmm_status status = open_context(options->device, &context);
    if (status != QMM_OK) return status == QMM_NO_DEVICE || status == QMM_INVALID_ARGUMENT ? 3 : 1;
    fprintf(options->out, "%-18s %8s %8s  kernels on %s\n", "operation", "quick", "full", options->device);
    for (const validate_descriptor *const *d = options->descriptors; *d; d++) {
        fprintf(options->out, "%-18s %8" PRId64 " %8" PRId64 "  auto", (*d)->name, (*d)->quick_cases, (*d)->full_cases);
        for (int n = 0; n < qmm_kernel_count(context); n++)
            if (validate_is_row_of(qmm_kernel_name(context, n), (*d)->kernel_operation))
                fprintf(options->out, " %s", qmm_kernel_name(context, n));
        fputc('\n', options->out);
    }
    qmm_context_close(context);
    return 0;
}
