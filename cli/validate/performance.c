/* SPDX-License-Identifier: Apache-2.0
 *
 * Performance mode: the median time of a call, buffers and inputs being ready. For comparing rows and noticing a loss;
 * claims are measured by qmm bench. */
#include <stdlib.h>
#include <string.h>

#include "../cli.h"
#include "generate.h"
#include "session.h"

enum { RUNS_MAX = 1001 };
static const double SECONDS_EACH = 0.3;

static int by_value(const void *x, const void *y) {
    const double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
}

/* Median of at least 5 runs after one to warm up; below 0 if a run fails. */
static double median_time(const validate_case *c, validate_execution *e, int *runs) {
    double times[RUNS_MAX];
    const double begin = cli_now();
    *runs = 0;
    if (c->descriptor->run(c, e) != QMM_OK) return -1.0;
    while (*runs < 5 || (*runs < RUNS_MAX && cli_now() - begin < SECONDS_EACH)) {
        const double start = cli_now();
        if (c->descriptor->run(c, e) != QMM_OK || qmm_context_synchronize(e->context) != QMM_OK) return -1.0;
        times[(*runs)++] = cli_now() - start;
    }
    qsort(times, (size_t)*runs, sizeof times[0], by_value);
    return times[*runs / 2];
}

static void time_cell(validate_session *s, const validate_case *c, validate_cell *cell) {
    const bool by_operations = strcmp(c->descriptor->performance_unit, "GOPS") == 0;
    validate_timing t = { .cell = cell };
    validate_timing *timings;
    validate_execution e;
    if (validate_force(s->context, cell) != QMM_OK) return;
    if (validate_prepare(s, c, s->context, &e) == QMM_OK) t.seconds = median_time(c, &e, &t.runs);
    validate_finish(c, &e);
    if (t.seconds <= 0.0) {
        cell->refused++;
        return;
    }
    t.rate = (by_operations ? c->operations : c->bytes_moved) / t.seconds * 1e-9;
    c->descriptor->describe(c, t.description, sizeof t.description);
    timings = realloc(s->timings, (size_t)(s->timing_count + 1) * sizeof *timings);
    if (!timings) return;
    s->timings = timings;
    timings[s->timing_count++] = t;
    validate_report_timing(s, &t);
}

void validate_time_rows(validate_session *s, const validate_descriptor *d) {
    for (int shape = 0; shape < d->performance_shapes; shape++) {
        validate_case c;
        validate_make_case(s, d, 0, shape, &c);
        for (int n = 0; n < s->cell_count; n++)
            if (s->cells[n].descriptor == d) time_cell(s, &c, &s->cells[n]);
        validate_free_tensors(&c);
    }
}
