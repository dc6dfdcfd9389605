/* SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L
#include "harness.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../progress.h"
#include "generate.h"
#include "session.h"

double validate_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

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

static bool values_hold(const validate_case *c, const validate_execution *e, bool use_judge, char *text, size_t bytes) {
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

static bool tensors_hold(const validate_case *c, char *text, size_t bytes) {
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
    return tensors_hold(c, text, bytes) && values_hold(c, e, use_judge, text, bytes);
}

/* The row's own line of a refusal, or the first that gives a reason. */
static void count_refusal(validate_cell *cell, const char *error) {
    const char *line = strstr(error, "\n  "), *own = strstr(error, cell->kernel), *from, *end;
    validate_reason *r = cell->reasons;
    char text[sizeof r->text] = "";
    from = own ? strstr(own, ": ") : line ? strstr(line, ": ") : NULL;
    from = from ? from + 2 : error;
    end = strchr(from, '\n');
    validate_append(text, sizeof text, "%.*s", (int)(end ? end - from : (ptrdiff_t)strlen(from)), from);
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
}

static void fail(validate_session *s, const validate_case *c, validate_cell *cell, const char *mismatch) {
    const validate_options *o = s->options;
    validate_failure f = { .repro = "" };
    cell->failed++;
    validate_append(f.repro, sizeof f.repro,
                    "qmm validate --device %s --operation %s --kernel %s --seed %" PRIu64 " --start %" PRId64
                    " --cases 1",
                    o->device, c->descriptor->name, cell->kernel, c->seed, c->index);
    if (o->mode == VALIDATE_BITWISE) validate_append(f.repro, sizeof f.repro, " --mode bitwise");
    if (o->oracle_limit != VALIDATE_ORACLE_LIMIT)
        validate_append(f.repro, sizeof f.repro, " --oracle-limit %.0f", o->oracle_limit);
    c->descriptor->describe(c, f.description, sizeof f.description);
    validate_append(f.mismatch, sizeof f.mismatch, "%s", mismatch);
    validate_report_failure(s, &f);
}

/* ---- one case on one row ----------------------------------------------------------------------------------------- */

qmm_status validate_force(qmm_context *context, const validate_cell *cell) {
    const qmm_status status = qmm_kernel_force(context, NULL);
    if (status != QMM_OK || strcmp(cell->kernel, "auto") == 0) return status;
    return qmm_kernel_force(context, cell->kernel);
}

static void check_row(validate_session *s, const validate_case *c, validate_cell *cell, bool little, bool use_judge) {
    char mismatch[VALIDATE_TEXT] = "";
    validate_execution e;
    qmm_status status = validate_force(s->context, cell);
    if (status == QMM_OK) status = validate_execute(s, c, s->context, &e);
    if (status == QMM_UNSUPPORTED && nothing_changed(c, mismatch, sizeof mismatch)) {
        count_refusal(cell, qmm_context_error(s->context));
        validate_report_case(s, c, cell, "REFUSED");
    } else if (mismatch[0] || !case_holds(c, &e, status, use_judge, mismatch, sizeof mismatch)) {
        fail(s, c, cell, mismatch);
        validate_report_case(s, c, cell, "FAILED");
    } else {
        if (little)
            cell->mistrusted++;
        else
            cell->passed++;
        validate_report_case(s, c, cell, little ? "MISTRUSTED" : "PASSED");
    }
}

/* The first result becomes what is wanted, byte for byte, NaNs too. */
static void keep_result(validate_case *c, const validate_execution *e, qmm_status status) {
    c->want_status = status;
    for (int n = 0; n < c->tensor_count; n++) memcpy(c->tensors[n].want, c->tensors[n].after, c->tensors[n].bytes);
    memcpy(c->want_values, e->values, sizeof e->values);
}

static bool same_bytes(const validate_case *c, const validate_execution *e, qmm_status status, const char *which,
                       char *text, size_t bytes) {
    if (status != c->want_status) {
        validate_append(text, bytes, "%s: %s after %s", which, qmm_status_name(status),
                        qmm_status_name(c->want_status));
        return false;
    }
    for (int n = 0; n < c->tensor_count; n++) {
        const validate_tensor *t = &c->tensors[n];
        if (memcmp(t->want, t->after, t->bytes) == 0) continue;
        validate_append(text, bytes, "%s: other bytes: ", which);
        if (validate_tensor_holds(t, text + strlen(text), bytes - strlen(text)))
            validate_append(text, bytes, "%s: NaNs of other bits", t->name);
        return false;
    }
    if (memcmp(c->want_values, e->values, sizeof e->values) != 0) {
        validate_append(text, bytes, "%s: other values", which);
        return false;
    }
    return true;
}

static void check_repetition(validate_session *s, validate_case *c, validate_cell *cell) {
    char mismatch[VALIDATE_TEXT] = "";
    validate_execution e;
    qmm_status status;
    if (validate_force(s->context, cell) != QMM_OK || validate_force(s->second, cell) != QMM_OK) {
        fail(s, c, cell, "the row cannot be forced");
        return;
    }
    status = validate_execute(s, c, s->context, &e);
    if (status == QMM_UNSUPPORTED) {
        count_refusal(cell, qmm_context_error(s->context));
        return;
    }
    keep_result(c, &e, status);
    status = validate_execute(s, c, s->context, &e);
    if (same_bytes(c, &e, status, "again", mismatch, sizeof mismatch)) {
        status = validate_execute(s, c, s->second, &e);
        same_bytes(c, &e, status, "on a second context", mismatch, sizeof mismatch);
    }
    if (mismatch[0])
        fail(s, c, cell, mismatch);
    else
        cell->passed++;
    validate_report_case(s, c, cell, mismatch[0] ? "FAILED" : "PASSED");
}

/* A case on every cell of its descriptor. */
static void check_case(validate_session *s, const validate_descriptor *d, int64_t index) {
    validate_case c;
    bool little = false, use_judge = true;
    const bool bitwise = s->options->mode == VALIDATE_BITWISE;
    validate_make_case(s, d, index, -1, &c);
    if (!bitwise) {
        use_judge = d->oracle_only || c.operations <= s->options->oracle_limit;
        if (use_judge || !expect_from_reference(s, &c)) d->expect(&c);
        little = proves_little(&c);
    }
    for (int n = 0; n < s->cell_count; n++) {
        validate_cell *cell = &s->cells[n];
        const double begin = validate_now();
        if (cell->descriptor != d) continue;
        if (bitwise)
            check_repetition(s, &c, cell);
        else
            check_row(s, &c, cell, little, use_judge);
        cell->seconds += validate_now() - begin;
    }
    validate_free_tensors(&c);
}

/* ---- all cases --------------------------------------------------------------------------------------------------- */

static int64_t case_count(const validate_session *s, const validate_descriptor *d) {
    if (s->options->cases >= 0) return s->options->cases;
    switch (s->options->tier) {
    case VALIDATE_QUICK: return d->quick_cases;
    case VALIDATE_FULL: return d->full_cases;
    case VALIDATE_SOAK: return 20 * d->full_cases;
    }
    return 0;
}

/* The time is over, or the device is: a failed one fails every further case too. */
static bool is_over(const validate_session *s) {
    return (s->options->seconds > 0.0 && validate_now() - s->started >= s->options->seconds) ||
           qmm_context_error_status(s->context) == QMM_DEVICE_FAILED;
}

static bool has_cells(const validate_session *s, const validate_descriptor *d) {
    for (int n = 0; n < s->cell_count; n++)
        if (s->cells[n].descriptor == d) return true;
    return false;
}

static void check_descriptor(validate_session *s, const validate_descriptor *d) {
    const int64_t count = case_count(s, d);
    progress bar;
    progress_start(&bar, d->name);
    for (int64_t n = 0; n < count && !is_over(s); n++) {
        check_case(s, d, s->options->start + n);
        progress_show(&bar, n + 1, count);
    }
    progress_end(&bar);
}

/* In turns of all operations; numbers go on from --start, by default behind those of the tiers. */
static void fuzz(validate_session *s) {
    enum { TURN = 20 };
    const int64_t first = s->options->start > 0 ? s->options->start : 1000000;
    const int64_t total = (int64_t)(s->options->seconds * 10.0);
    progress bar;
    progress_start(&bar, "fuzz");
    for (int64_t n = first; !is_over(s) && (s->options->cases < 0 || n < first + s->options->cases); n += TURN) {
        for (const validate_descriptor *const *d = s->options->descriptors; *d; d++)
            for (int64_t i = 0; i < TURN && has_cells(s, *d) && !is_over(s); i++) check_case(s, *d, n + i);
        progress_show(&bar, (int64_t)((validate_now() - s->started) * 10.0), total);
    }
    progress_end(&bar);
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

static void add_cells(validate_session *s) {
    for (const validate_descriptor *const *d = s->options->descriptors; *d; d++) {
        const int rows = qmm_kernel_count(s->context);
        add_cell(s, *d, "auto");
        for (int n = 0; n < rows; n++) {
            const char *kernel = qmm_kernel_name(s->context, n);
            if (validate_is_row_of(kernel, (*d)->kernel_operation)) add_cell(s, *d, kernel);
        }
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
}

static bool all_passed(const validate_session *s) {
    int64_t passed = 0, failed = 0;
    for (int n = 0; n < s->cell_count; n++) {
        passed += s->cells[n].passed;
        failed += s->cells[n].failed;
    }
    return s->options->mode == VALIDATE_PERFORMANCE ? s->timing_count > 0 : failed == 0 && passed > 0;
}

static void run_mode(validate_session *s) {
    if (s->options->mode == VALIDATE_FUZZ) {
        fuzz(s);
        return;
    }
    for (const validate_descriptor *const *d = s->options->descriptors; *d; d++) {
        if (!has_cells(s, *d)) continue;
        if (s->options->mode == VALIDATE_PERFORMANCE)
            validate_time_rows(s, *d);
        else
            check_descriptor(s, *d);
    }
}

int validate_run(const validate_options *options) {
    validate_session *s = calloc(1, sizeof *s);
    int code;
    bool passed;
    if (!s) return 1;
    s->options = options;
    s->started = validate_now();
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
        s->seconds = validate_now() - s->started;
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
