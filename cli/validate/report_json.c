/* SPDX-License-Identifier: Apache-2.0
 *
 * The checker's report as one JSON document. */
#include <ctype.h>
#include <inttypes.h>

#include "../json.h"
#include "session.h"

static void json_counts(FILE *out, const validate_cell *cell, double seconds) {
    fprintf(out,
            "\"passed\": %" PRId64 ", \"failed\": %" PRId64 ", \"refused\": %" PRId64 ", \"mistrusted\": %" PRId64
            ", \"exact\": %" PRId64 ", \"freivalds\": %" PRId64 ", \"seconds\": ",
            cell->passed, cell->failed, cell->refused, cell->mistrusted, cell->exact, cell->freivalds);
    json_print_number(out, seconds);
}

static void json_cell(FILE *out, const validate_cell *cell) {
    fprintf(out, "{");
    json_print_member(out, "operation", cell->descriptor->name);
    fprintf(out, ", ");
    json_print_member(out, "kernel", cell->kernel);
    fprintf(out, ", ");
    json_counts(out, cell, cell->seconds);
    fprintf(out, ", \"reasons\": [");
    for (int r = 0; r < cell->reason_count; r++) {
        fprintf(out, "%s{\"count\": %" PRId64 ", ", r ? ", " : "", cell->reasons[r].count);
        json_print_member(out, "reason", cell->reasons[r].text);
        fprintf(out, "}");
    }
    fprintf(out, "]}");
}

static void json_failure(FILE *out, const validate_failure *f) {
    fprintf(out, "{");
    json_print_member(out, "repro", f->repro);
    fprintf(out, ", ");
    json_print_member(out, "case", f->description);
    fprintf(out, ", ");
    json_print_member(out, "mismatch", f->mismatch);
    fprintf(out, "}");
}

static void json_timing(FILE *out, const validate_timing *t) {
    fprintf(out, "{");
    json_print_member(out, "operation", t->cell->descriptor->name);
    fprintf(out, ", ");
    json_print_member(out, "kernel", t->cell->kernel);
    fprintf(out, ", ");
    json_print_member(out, "case", t->description);
    fprintf(out, ", \"seconds\": ");
    json_print_number(out, t->seconds);
    fprintf(out, ", \"rate\": ");
    json_print_number(out, t->rate);
    fprintf(out, ", ");
    json_print_member(out, "unit", t->cell->descriptor->performance_unit);
    fprintf(out, ", \"runs\": %d}", t->runs);
}

static void json_head(const validate_session *s, bool passed) {
    const validate_options *o = s->options;
    qmm_device_info info = QMM_DEVICE_INFO_INIT;
    validate_cell sum;
    validate_add_up(s, &sum);
    qmm_context_get_device_info(s->context, &info);
    putc('{', o->out);
    json_print_head(o->out, "validate", &info);
    fprintf(o->out,
            ",\n \"mode\": \"%s\", \"tier\": \"%s\", \"seed\": %" PRIu64 ", \"start\": %" PRId64
            ", \"repeat\": %" PRId64 ", \"cut_short\": %s, \"result\": \"%s\",\n \"totals\": {",
            validate_mode_name(o->mode), validate_tier_name(o->tier), o->seed, o->start, validate_runs(o), s->cut_short ? "true" : "false",
            passed ? "passed" : "failed");
    json_counts(o->out, &sum, s->seconds);
    fprintf(o->out, "},\n");
}

static void json_shape_result(FILE *out, const validate_shape_result *r) {
    fprintf(out, "{");
    json_print_member(out, "kernel", r->cell->kernel);
    fprintf(out, ", ");
    json_print_member(out, "name", r->shape->name);
    fprintf(out, ", \"m\": %" PRId64 ", \"n\": %" PRId64 ", \"k\": %" PRId64 ", \"batch\": %" PRId64, r->shape->m,
            r->shape->n, r->shape->k, r->shape->batch);
    fputs(", \"status\": \"", out);
    for (const char *c = r->status; *c; c++) putc(tolower((unsigned char)*c), out); /* as the other results here */
    fprintf(out, "\", \"check\": \"%s\", \"seconds\": ", r->check);
    json_print_number(out, r->seconds);
    fprintf(out, "}");
}

/* Only where there are shapes. */
static void json_shape_results(FILE *out, const validate_session *s) {
    char call[VALIDATE_TEXT] = "";
    if (!s->options->shapes) return;
    cli_call_describe(&s->options->shapes->call, call, sizeof call);
    fprintf(out, " ");
    json_print_member(out, "call", call);
    fprintf(out, ",\n \"shapes\": [");
    for (int n = 0; n < s->shape_result_count; n++) {
        fprintf(out, "%s\n  ", n ? "," : "");
        json_shape_result(out, &s->shape_results[n]);
    }
    fprintf(out, "],\n");
}

void validate_print_json(const validate_session *s, bool passed) {
    FILE *out = s->options->out;
    json_head(s, passed);
    json_shape_results(out, s);
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
    for (int n = 0; n < s->failures_kept; n++) {
        fprintf(out, "%s\n  ", n ? "," : "");
        json_failure(out, &s->failures[n]);
    }
    fprintf(out, "]}\n");
}
