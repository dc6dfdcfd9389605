/* SPDX-License-Identifier: Apache-2.0
 *
 * The checker's report as comma-separated values (RFC 4180): a heading, then a line for each operation and row; in
 * performance mode a line for each time taken. */
#include <inttypes.h>

#include "../text.h"
#include "session.h"

static const validate_failure *first_failure(const validate_session *s, const validate_cell *cell) {
    for (int n = 0; n < s->failures_kept; n++)
        if (s->failures[n].cell == cell) return &s->failures[n];
    return NULL;
}

static void put_head(const validate_session *s, const char *operation, const char *kernel) {
    FILE *out = s->options->out;
    text_print_cell(out, s->options->device);
    fprintf(out, ",%s,%" PRIu64 ",%s,", validate_mode_name(s->options->mode), s->options->seed, operation);
    text_print_cell(out, kernel);
}

static void put_cell(const validate_session *s, const validate_cell *cell) {
    FILE *out = s->options->out;
    const validate_failure *f = first_failure(s, cell);
    put_head(s, cell->descriptor->name, cell->kernel);
    fprintf(out, ",%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64 ",%.6f,", cell->passed,
            cell->failed, cell->refused, cell->mistrusted, cell->exact, cell->freivalds, cell->seconds);
    text_print_cell(out, cell->reason_count ? cell->reasons[0].text : "");
    putc(',', out);
    text_print_cell(out, f ? f->repro : "");
    putc(',', out);
    text_print_cell(out, f ? f->mismatch : "");
    putc('\n', out);
}

static void put_timing(const validate_session *s, const validate_timing *t) {
    FILE *out = s->options->out;
    put_head(s, t->cell->descriptor->name, t->cell->kernel);
    putc(',', out);
    text_print_cell(out, t->description);
    fprintf(out, ",%.9g,%.9g,%s,%d\n", t->seconds, t->rate, t->cell->descriptor->performance_unit, t->runs);
}

void validate_print_csv(const validate_session *s) {
    FILE *out = s->options->out;
    if (s->options->mode == VALIDATE_PERFORMANCE) {
        fputs("device,mode,seed,operation,kernel,case,seconds,rate,unit,runs\n", out);
        for (int n = 0; n < s->timing_count; n++) put_timing(s, &s->timings[n]);
        return;
    }
    fputs("device,mode,seed,operation,kernel,passed,failed,refused,mistrusted,exact,freivalds,seconds,first_reason,"
          "first_repro,first_mismatch\n",
          out);
    for (int n = 0; n < s->cell_count; n++) put_cell(s, &s->cells[n]);
}
