/* SPDX-License-Identifier: Apache-2.0
 *
 * What the checker prints: failures as they come, then a table; or one JSON document. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "../json.h"
#include "session.h"

static const char *const modes[] = { "correctness", "bitwise", "performance", "fuzz" };
static const char *const tiers[] = { "quick", "full", "soak" };

/* ---- text, as it comes ------------------------------------------------------------------------------------------- */

void validate_report_failure(validate_session *s, const validate_failure *failure) {
    FILE *out = s->options->out;
    validate_failure *all;
    if (s->failure_count++ >= VALIDATE_FAILURES_KEPT) return;
    all = realloc(s->failures, (size_t)s->failure_count * sizeof *all);
    if (all) {
        s->failures = all;
        all[s->failure_count - 1] = *failure;
    } else {
        s->failure_count--;
    }
    if (s->options->json) return;
    fprintf(out, "FAILED  %s\n        %s: %s\n", failure->repro, failure->description, failure->mismatch);
    if (s->failure_count == VALIDATE_FAILURES_KEPT) fprintf(out, "        further failures are only counted\n");
    fflush(out);
}

void validate_report_case(const validate_session *s, const validate_case *c, const validate_cell *cell,
                          const char *status) {
    char text[VALIDATE_TEXT] = "";
    if (!s->options->verbose || s->options->json) return;
    c->descriptor->describe(c, text, sizeof text);
    fprintf(s->options->out, "%-10s %s %s %" PRId64 ": %s\n", status, c->descriptor->name, cell->kernel, c->index,
            text);
}

void validate_report_timing(const validate_session *s, const validate_timing *t) {
    if (s->options->json) return;
    fprintf(s->options->out, "%-16s %-30s %10.4f ms %10.2f %-4s %5d runs  %s\n", t->cell->descriptor->name,
            t->cell->kernel, 1e3 * t->seconds, t->rate, t->cell->descriptor->performance_unit, t->runs, t->description);
    fflush(s->options->out);
}

/* ---- the table --------------------------------------------------------------------------------------------------- */

static void add_up(const validate_session *s, validate_cell *sum) {
    *sum = (validate_cell){ .kernel = "" };
    for (int n = 0; n < s->cell_count; n++) {
        sum->passed += s->cells[n].passed;
        sum->failed += s->cells[n].failed;
        sum->refused += s->cells[n].refused;
        sum->mistrusted += s->cells[n].mistrusted;
        sum->seconds += s->cells[n].seconds;
    }
}

static void print_line(FILE *out, const char *operation, const validate_cell *cell, double seconds) {
    fprintf(out, "%-16s %-32s %9" PRId64 " %7" PRId64 " %8" PRId64 " %11" PRId64 " %9.2f\n", operation, cell->kernel,
            cell->passed, cell->failed, cell->refused, cell->mistrusted, seconds);
    for (int r = 0; r < cell->reason_count; r++)
        fprintf(out, "%-16s   refused %" PRId64 ": %s\n", "", cell->reasons[r].count, cell->reasons[r].text);
}

static void print_table(const validate_session *s, bool passed) {
    FILE *out = s->options->out;
    validate_cell sum;
    fprintf(out, "%-16s %-32s %9s %7s %8s %11s %9s\n", "operation", "kernel", "passed", "failed", "refused",
            "mistrusted", "seconds");
    for (int n = 0; n < s->cell_count; n++)
        print_line(out, s->cells[n].descriptor->name, &s->cells[n], s->cells[n].seconds);
    add_up(s, &sum);
    print_line(out, "all", &sum, s->seconds);
    if (passed)
        fprintf(out, "PASSED on %s, seed %" PRIu64 "\n", s->options->device, s->options->seed);
    else
        fprintf(out, "FAILED on %s, seed %" PRIu64 "%s\n", s->options->device, s->options->seed,
                sum.failed ? "" : ": no case passed");
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

static void json_pair(FILE *out, const char *name, const char *value) {
    fprintf(out, "\"%s\": ", name);
    json_string(out, value);
}

static void json_counts(FILE *out, const validate_cell *cell, double seconds) {
    fprintf(out,
            "\"passed\": %" PRId64 ", \"failed\": %" PRId64 ", \"refused\": %" PRId64 ", \"mistrusted\": %" PRId64
            ", \"seconds\": ",
            cell->passed, cell->failed, cell->refused, cell->mistrusted);
    json_number(out, seconds);
}

static void json_cell(FILE *out, const validate_cell *cell) {
    fprintf(out, "{");
    json_pair(out, "operation", cell->descriptor->name);
    fprintf(out, ", ");
    json_pair(out, "kernel", cell->kernel);
    fprintf(out, ", ");
    json_counts(out, cell, cell->seconds);
    fprintf(out, ", \"reasons\": [");
    for (int r = 0; r < cell->reason_count; r++) {
        fprintf(out, "%s{\"count\": %" PRId64 ", ", r ? ", " : "", cell->reasons[r].count);
        json_pair(out, "reason", cell->reasons[r].text);
        fprintf(out, "}");
    }
    fprintf(out, "]}");
}

static void json_failure(FILE *out, const validate_failure *f) {
    fprintf(out, "{");
    json_pair(out, "repro", f->repro);
    fprintf(out, ", ");
    json_pair(out, "case", f->description);
    fprintf(out, ", ");
    json_pair(out, "mismatch", f->mismatch);
    fprintf(out, "}");
}

static void json_timing(FILE *out, const validate_timing *t) {
    fprintf(out, "{");
    json_pair(out, "operation", t->cell->descriptor->name);
    fprintf(out, ", ");
    json_pair(out, "kernel", t->cell->kernel);
    fprintf(out, ", ");
    json_pair(out, "case", t->description);
    fprintf(out, ", \"seconds\": ");
    json_number(out, t->seconds);
    fprintf(out, ", \"rate\": ");
    json_number(out, t->rate);
    fprintf(out, ", ");
    json_pair(out, "unit", t->cell->descriptor->performance_unit);
    fprintf(out, ", \"runs\": %d}", t->runs);
}

static void json_head(const validate_session *s, bool passed) {
    const validate_options *o = s->options;
    qmm_device_info info = QMM_DEVICE_INFO_INIT;
    validate_cell sum;
    add_up(s, &sum);
    qmm_context_get_device_info(s->context, &info);
    fprintf(o->out, "{\"tool\": \"qmm validate\", ");
    json_pair(o->out, "version", qmm_version());
    fprintf(o->out, ",\n \"device\": {");
    json_pair(o->out, "name", info.name);
    fprintf(o->out, ", ");
    json_pair(o->out, "description", info.description);
    fprintf(o->out, ", ");
    json_pair(o->out, "driver", info.driver);
    fprintf(o->out,
            "},\n \"mode\": \"%s\", \"tier\": \"%s\", \"seed\": %" PRIu64 ", \"start\": %" PRId64
            ", \"result\": \"%s\",\n \"totals\": {",
            modes[o->mode], tiers[o->tier], o->seed, o->start, passed ? "passed" : "failed");
    json_counts(o->out, &sum, s->seconds);
    fprintf(o->out, "},\n");
}

static void print_json(const validate_session *s, bool passed) {
    FILE *out = s->options->out;
    const int kept = s->failure_count < VALIDATE_FAILURES_KEPT ? s->failure_count : VALIDATE_FAILURES_KEPT;
    json_head(s, passed);
    fprintf(out, " \"results\": [");
    for (int n = 0; n < s->cell_count; n++) {
        fprintf(out, "%s\n  ", n ? "," : "");
        json_cell(out, &s->cells[n]);
    }
    fprintf(out, "],\n \"timings\": [");
    for (int n = 0; n < s->timing_count; n++) {
        fprintf(out, "%s\n  ", n ? "," : "");
        json_timing(out, &s->timings[n]);
    }
    fprintf(out, "],\n \"failures\": [");
    for (int n = 0; n < kept; n++) {
        fprintf(out, "%s\n  ", n ? "," : "");
        json_failure(out, &s->failures[n]);
    }
    fprintf(out, "]}\n");
}

void validate_report(const validate_session *s, bool passed) {
    if (s->options->json)
        print_json(s, passed);
    else if (s->options->mode != VALIDATE_PERFORMANCE)
        print_table(s, passed);
}
