/* SPDX-License-Identifier: Apache-2.0
 *
 * The checker's report as JUnit's XML: a suite for each operation, a test case for each of its rows, with the counts as
 * its output. A row that refused everything, or proved nothing, is skipped. */
#include <inttypes.h>

#include "../text.h"
#include "session.h"

/* What XML 1.0 has no way to hold becomes U+FFFD: control characters, U+FFFE and U+FFFF, bytes that are not UTF-8. */
static void put_text(FILE *out, const char *text) {
    static const char replacement[] = "\xef\xbf\xbd";
    for (const unsigned char *p = (const unsigned char *)text; *p;) {
        const size_t length = text_utf8_length(p);
        const bool noncharacter = length == 3 && p[0] == 0xef && p[1] == 0xbf && p[2] >= 0xbe;
        if (*p == '&') fputs("&amp;", out);
        else if (*p == '<') fputs("&lt;", out);
        else if (*p == '>') fputs("&gt;", out);
        else if (*p == '"') fputs("&quot;", out);
        else if (*p == '\n' || *p == '\t') fprintf(out, "&#%d;", *p);
        else if (length == 0 || *p < 0x20 || *p == 0x7f || noncharacter) fputs(replacement, out);
        else fwrite(p, 1, length, out);
        p += length ? length : 1;
    }
}

static void put_attribute(FILE *out, const char *name, const char *value) {
    fprintf(out, " %s=\"", name);
    put_text(out, value);
    putc('"', out);
}

static bool is_skipped(const validate_cell *cell) {
    return cell->failed == 0 && cell->passed == 0;
}

/* ---- a row ------------------------------------------------------------------------------------------------------- */

static void put_failures(const validate_session *s, const validate_cell *cell) {
    FILE *out = s->options->out;
    const int64_t run = cell->passed + cell->failed + cell->mistrusted;
    fprintf(out, "      <failure type=\"FAILED\" message=\"%" PRId64 " of %" PRId64 " cases failed\">", cell->failed,
            run);
    for (int n = 0; n < s->failures_kept; n++) {
        const validate_failure *f = &s->failures[n];
        if (f->cell != cell) continue;
        put_text(out, f->repro);
        fputs("\n  ", out);
        put_text(out, f->description);
        fputs(": ", out);
        put_text(out, f->mismatch);
        putc('\n', out);
    }
    fputs("</failure>\n", out);
}

static void put_skipped(FILE *out, const validate_cell *cell) {
    const char *reason = cell->mistrusted       ? "mistrusted: nearly all output is zero or saturated"
                         : cell->reason_count ? cell->reasons[0].text
                                              : "no case was run";
    fputs("      <skipped", out);
    put_attribute(out, "message", reason);
    fputs("/>\n", out);
}

static void put_cell(const validate_session *s, const validate_cell *cell) {
    FILE *out = s->options->out;
    fprintf(out, "    <testcase classname=\"qmm.%s\"", cell->descriptor->name);
    put_attribute(out, "name", cell->kernel);
    fprintf(out, " time=\"%.6f\">\n", cell->seconds);
    if (cell->failed) put_failures(s, cell);
    if (is_skipped(cell)) put_skipped(out, cell);
    fprintf(out,
            "      <system-out>passed %" PRId64 ", failed %" PRId64 ", refused %" PRId64 ", mistrusted %" PRId64
            ", exact %" PRId64 ", freivalds %" PRId64 "\n",
            cell->passed, cell->failed, cell->refused, cell->mistrusted, cell->exact, cell->freivalds);
    for (int n = 0; n < cell->reason_count; n++) {
        fprintf(out, "refused %" PRId64 ": ", cell->reasons[n].count);
        put_text(out, cell->reasons[n].text);
        putc('\n', out);
    }
    fputs("</system-out>\n    </testcase>\n", out);
}

static void put_timing(const validate_session *s, const validate_timing *t) {
    FILE *out = s->options->out;
    fprintf(out, "    <testcase classname=\"qmm.%s\" name=\"", t->cell->descriptor->name);
    put_text(out, t->cell->kernel);
    fputs(": ", out);
    put_text(out, t->description);
    fprintf(out, "\" time=\"%.9f\"><system-out>%.6g %s, median of %d runs</system-out></testcase>\n", t->seconds,
            t->rate, t->cell->descriptor->performance_unit, t->runs);
}

/* ---- suites ------------------------------------------------------------------------------------------------------ */

typedef struct counts {
    int tests, failures, skipped;
    double seconds;
} counts;

static bool times(const validate_session *s) {
    return s->options->mode == VALIDATE_PERFORMANCE;
}

/* Of one operation, or with d NULL of all. */
static counts count(const validate_session *s, const validate_descriptor *d) {
    counts c = { 0 };
    for (int n = 0; n < s->cell_count && !times(s); n++) {
        const validate_cell *cell = &s->cells[n];
        if (d && cell->descriptor != d) continue;
        c.tests++;
        c.failures += cell->failed > 0;
        c.skipped += is_skipped(cell);
        c.seconds += cell->seconds;
    }
    for (int n = 0; n < s->timing_count; n++) {
        if (d && s->timings[n].cell->descriptor != d) continue;
        c.tests++;
        c.seconds += s->timings[n].seconds;
    }
    return c;
}

static void put_counts(FILE *out, counts c) {
    fprintf(out, " tests=\"%d\" failures=\"%d\" errors=\"0\" skipped=\"%d\" time=\"%.6f\">\n", c.tests, c.failures,
            c.skipped, c.seconds);
}

static void put_suite(const validate_session *s, const validate_descriptor *d) {
    FILE *out = s->options->out;
    const counts c = count(s, d);
    if (c.tests == 0) return;
    fprintf(out, "  <testsuite name=\"qmm validate %s\"", d->name);
    put_counts(out, c);
    fputs("    <properties>\n      <property name=\"device\"", out);
    put_attribute(out, "value", s->options->device);
    fprintf(out, "/>\n      <property name=\"mode\" value=\"%s\"/>\n", validate_mode_name(s->options->mode));
    fprintf(out, "      <property name=\"seed\" value=\"%" PRIu64 "\"/>\n    </properties>\n", s->options->seed);
    for (int n = 0; n < s->cell_count && !times(s); n++)
        if (s->cells[n].descriptor == d) put_cell(s, &s->cells[n]);
    for (int n = 0; n < s->timing_count; n++)
        if (s->timings[n].cell->descriptor == d) put_timing(s, &s->timings[n]);
    fputs("  </testsuite>\n", out);
}

/* A run in which nothing passed has failed, though no row did. */
static void put_nothing_passed(FILE *out) {
    fputs("  <testsuite name=\"qmm validate\" tests=\"1\" failures=\"1\" errors=\"0\" skipped=\"0\" time=\"0\">\n"
          "    <testcase classname=\"qmm\" name=\"at least one case passes\" time=\"0\">\n"
          "      <failure type=\"FAILED\" message=\"no case passed\"/>\n    </testcase>\n  </testsuite>\n",
          out);
}

void validate_print_junit(const validate_session *s, bool passed) {
    FILE *out = s->options->out;
    counts c = count(s, NULL);
    const int nothing = !passed && c.failures == 0;
    c.tests += nothing;
    c.failures += nothing;
    c.seconds = s->seconds;
    fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"qmm validate\"", out);
    put_counts(out, c);
    for (const validate_descriptor *const *d = s->options->descriptors; *d; d++) put_suite(s, *d);
    if (nothing) put_nothing_passed(out);
    fputs("</testsuites>\n", out);
}
