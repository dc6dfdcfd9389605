/* SPDX-License-Identifier: Apache-2.0
 *
 * What the checker prints: as text failures as they come, then a table; or one document in another format. */
#include <inttypes.h>
#include <stdlib.h>

#include "session.h"

const char *validate_mode_name(validate_mode mode) {
    static const char *const names[] = { "correctness", "bitwise", "determinism", "performance", "fuzz" };
    return names[mode];
}

const char *validate_tier_name(validate_tier tier) {
    static const char *const names[] = { "quick", "full", "soak" };
    return names[tier];
}

static bool is_text(const validate_session *s) {
    return s->options->format == VALIDATE_FORMAT_TEXT;
}

/* ---- text, as it comes ------------------------------------------------------------------------------------------- */

static void keep(validate_session *s, const validate_failure *failure) {
    validate_failure *all = realloc(s->failures, (size_t)(s->failures_kept + 1) * sizeof *all);
    if (!all) return;
    s->failures = all;
    all[s->failures_kept++] = *failure;
}

void validate_report_failure(validate_session *s, const validate_failure *failure) {
    FILE *out = s->options->out;
    if (s->failure_count++ >= VALIDATE_FAILURES_KEPT) return;
    keep(s, failure);
    if (!is_text(s)) return;
    progress_end(&s->bar); /* it may be on the same terminal */
    fprintf(out, "FAILED  %s\n        %s: %s\n", failure->repro, failure->description, failure->mismatch);
    if (s->failure_count == VALIDATE_FAILURES_KEPT) fprintf(out, "        further failures are only counted\n");
    fflush(out);
}

void validate_report_line(const validate_session *s, const validate_cell *cell, const char *status, const char *text) {
    if (s->options->verbose && is_text(s))
        fprintf(s->options->out, "%-10s %s %s %s\n", status, cell->descriptor->name, cell->kernel, text);
}

void validate_report_case(const validate_session *s, const validate_case *c, const validate_cell *cell,
                          const char *status) {
    char text[VALIDATE_TEXT] = "", line[VALIDATE_TEXT + 32];
    if (!s->options->verbose) return;
    c->descriptor->describe(c, text, sizeof text);
    snprintf(line, sizeof line, "%" PRId64 ": %s", c->index, text);
    validate_report_line(s, cell, status, line);
}

void validate_report_timing(const validate_session *s, const validate_timing *t) {
    if (!is_text(s)) return;
    fprintf(s->options->out, "%-16s %-30s %10.4f ms %10.2f %-4s %5d runs  %s\n", t->cell->descriptor->name,
            t->cell->kernel, 1e3 * t->seconds, t->rate, t->cell->descriptor->performance_unit, t->runs, t->description);
    fflush(s->options->out);
}

/* ---- the table --------------------------------------------------------------------------------------------------- */

void validate_add_up(const validate_session *s, validate_cell *sum) {
    *sum = (validate_cell){ .kernel = "" };
    for (int n = 0; n < s->cell_count; n++) {
        sum->passed += s->cells[n].passed;
        sum->failed += s->cells[n].failed;
        sum->refused += s->cells[n].refused;
        sum->mistrusted += s->cells[n].mistrusted;
        sum->exact += s->cells[n].exact;
        sum->freivalds += s->cells[n].freivalds;
        sum->seconds += s->cells[n].seconds;
    }
}

static void print_line(FILE *out, const char *operation, const validate_cell *cell, double seconds) {
    fprintf(out, "%-16s %-32s %9" PRId64 " %7" PRId64 " %8" PRId64 " %11" PRId64 " %9.2f\n", operation, cell->kernel,
            cell->passed, cell->failed, cell->refused, cell->mistrusted, seconds);
    for (int r = 0; r < cell->reason_count; r++)
        fprintf(out, "%-16s   refused %" PRId64 ": %s\n", "", cell->reasons[r].count, cell->reasons[r].text);
}

/* How results were judged, where that is not by the oracle. */
static void print_checks(const validate_session *s, const validate_cell *sum) {
    if (s->options->mode == VALIDATE_DETERMINISM)
        fprintf(s->options->out, "each case %" PRId64 " times on two contexts, its bytes compared with the first\n",
                validate_runs(s->options));
    if (s->options->shapes && sum->exact + sum->freivalds > 0)
        fprintf(s->options->out, "checked: %" PRId64 " exact (every bit compared), %" PRId64 " freivalds\n", sum->exact,
                sum->freivalds);
}

static const char *why_failed(const validate_session *s, const validate_cell *sum) {
    if (sum->failed > 0) return "";
    if (sum->passed == 0) return ": no case passed";
    return validate_untried(s) ? ": a row was not reached" : ": interrupted";
}

static void print_table(const validate_session *s, bool passed) {
    FILE *out = s->options->out;
    validate_cell sum;
    fprintf(out, "%-16s %-32s %9s %7s %8s %11s %9s\n", "operation", "kernel", "passed", "failed", "refused",
            "mistrusted", "seconds");
    for (int n = 0; n < s->cell_count; n++)
        print_line(out, s->cells[n].descriptor->name, &s->cells[n], s->cells[n].seconds);
    validate_add_up(s, &sum);
    print_line(out, "all", &sum, s->seconds);
    print_checks(s, &sum);
    if (s->cut_short) fprintf(out, "cut short after %" PRId64 " cases\n", s->cases_done);
    if (passed)
        fprintf(out, "PASSED on %s, seed %" PRIu64 "\n", s->options->device, s->options->seed);
    else
        fprintf(out, "FAILED on %s, seed %" PRIu64 "%s\n", s->options->device, s->options->seed,
                why_failed(s, &sum));
}

void validate_report(const validate_session *s, bool passed) {
    switch (s->options->format) {
    case VALIDATE_FORMAT_TEXT:
        if (s->options->mode != VALIDATE_PERFORMANCE) print_table(s, passed);
        break;
    case VALIDATE_FORMAT_JSON: validate_print_json(s, passed); break;
    case VALIDATE_FORMAT_CSV: validate_print_csv(s); break;
    case VALIDATE_FORMAT_JUNIT: validate_print_junit(s, passed); break;
    }
}
