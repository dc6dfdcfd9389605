/* SPDX-License-Identifier: Apache-2.0
 *
 * The figures as Markdown. A row of qmm has its speed-up over each peer of its case beside it: above 1, qmm is
 * faster. */
#include <math.h>
#include <string.h>

#include "report.h"

enum { OPERATIONS_COLUMN = 1, BYTES_COLUMN = 2 };

static int columns_of(bench_operation operation) {
    if (operation == BENCH_CALL) return 0;
    return operation == BENCH_MATMUL || operation == BENCH_TOKENS ? OPERATIONS_COLUMN | BYTES_COLUMN : BYTES_COLUMN;
}

void bench_markdown_head(const bench_report *r, FILE *out) {
    const bench_device *d = r->device;
    const bench_clocks now = bench_driver_clocks(&d->driver);
    char copies[160];
    bench_device_copies_text(d, copies, sizeof copies);
    fprintf(out, "# qmm bench: %s\n\n", d->info.description);
    fprintf(out, "qmm %s, %s; %s; %d units%s%s; %s.\n", qmm_version(), bench_build(), d->info.name,
            (int)d->info.compute_units, d->info.driver[0] ? "; " : "", d->info.driver, r->date);
    if (d->rig.simulated) {
        fputs("The device is simulated: its shapes are tiny, and no speed is stated.\n", out);
        return;
    }
    fprintf(out, "Random data over the full range; %s; times by the %s's clock, medians with quartiles.\n", copies,
            bench_device_clock(d));
    if (d->copy_bandwidth > 0.0)
        fprintf(out, "Copy of %zu MiB in the device's memory: %.4g GB/s, read plus written.\n", d->copy_bytes >> 20,
                d->copy_bandwidth * 1e-9);
    if (d->int8_peak > 0.0)
        fprintf(out, "int8 peak on paper, at its largest clock: %.4g TOPS.\n", d->int8_peak * 1e-12);
    if (now.multiprocessor)
        fprintf(out, "Clocks at the start: %u MHz, memory %u MHz, %.0f W.\n", now.multiprocessor, now.memory,
                now.watts);
}

static void table_head(const bench_report *r, bench_operation operation, FILE *out) {
    const int columns = columns_of(operation);
    fprintf(out, "\n## %s\n\n| shape | what | who | time", bench_operation_name(operation));
    if (!r->device->rig.simulated) {
        fputs(" (quartiles) | runs |", out);
        if (columns & OPERATIONS_COLUMN) fputs(" TOPS | floor, us | of peak |", out);
        if (columns & BYTES_COLUMN) fputs(" GB/s | floor, us | of copy |", out);
        fputs(" speed-up over |\n|---|---|---|---|---|", out);
        if (columns & OPERATIONS_COLUMN) fputs("---|---|---|", out);
        if (columns & BYTES_COLUMN) fputs("---|---|---|", out);
        fputs("---|\n", out);
    } else {
        fputs(" |\n|---|---|---|---|\n", out);
    }
}

/* In the unit that leaves one to three digits before the point. */
static void put_time(const bench_timing *t, FILE *out) {
    static const struct {
        double seconds;
        const char *name;
    } units[] = { { 1.0, "s" }, { 1e-3, "ms" }, { 1e-6, "us" }, { 1e-9, "ns" } };
    int u = 0;
    while (u < 3 && t->median < units[u].seconds) u++;
    fprintf(out, " %.4g (%.4g-%.4g) %s | %d |", t->median / units[u].seconds, t->quartile_1 / units[u].seconds,
            t->quartile_3 / units[u].seconds, units[u].name, t->runs);
}

static void put_figure(double value, FILE *out) {
    if (isfinite(value))
        fprintf(out, " %.4g |", value);
    else
        fputs(" - |", out);
}

static void put_share(double value, FILE *out) {
    if (isfinite(value))
        fprintf(out, " %.1f %% |", 100.0 * value);
    else
        fputs(" - |", out);
}

static void put_ratios(const bench_report *r, const bench_row *row, int first, FILE *out) {
    const char *separator = " ";
    bool any = false;
    for (int i = first; i < r->row_count && strcmp(row->who, "qmm") == 0; i++) {
        const bench_row *peer = &r->rows[i];
        if (strcmp(peer->who, "qmm") == 0 || row->time.median <= 0.0) continue;
        fprintf(out, "%s%.2f %s", separator, peer->time.median / row->time.median,
                peer->peer[0] ? peer->peer : peer->who);
        separator = ", ", any = true;
    }
    fputs(any ? " |\n" : " - |\n", out);
}

/* The peers of a call are other things than calls, and a ratio would say nothing. */
static void put_row(const bench_report *r, const bench_row *row, int first, FILE *out) {
    const int columns = columns_of(row->operation);
    char shape[128];
    bench_shape_full(row->operation, &row->shape, shape, sizeof shape);
    fprintf(out, "| %s | %s%s | ", shape, row->what, strcmp(row->verified, "wrong") == 0 ? ": WRONG RESULT" : "");
    fprintf(out, "%s%s%s", row->kernel[0] ? row->kernel : row->who, row->variant[0] ? "/" : "", row->variant);
    fprintf(out, "%s |", row->chosen && row->kernel[0] ? " *" : "");
    if (r->device->rig.simulated) {
        fputs(" ran |\n", out);
        return;
    }
    put_time(&row->time, out);
    if (columns & OPERATIONS_COLUMN) {
        put_figure(bench_row_rate(r, row->operations, row) * 1e-12, out);
        put_figure(bench_row_peak_floor(r, row) * 1e6, out);
        put_share(bench_row_of_peak(r, row), out);
    }
    if (columns & BYTES_COLUMN) {
        put_figure(bench_row_rate(r, row->bytes, row) * 1e-9, out);
        put_figure(bench_row_copy_floor(r, row) * 1e6, out);
        put_share(bench_row_of_copy(r, row), out);
    }
    put_ratios(r, row, row->operation == BENCH_CALL ? r->row_count : first, out);
}

void bench_markdown_rows(const bench_report *r, int first, FILE *out) {
    for (int i = first; i < r->row_count; i++) {
        if (i == 0 || r->rows[i].operation != r->rows[i - 1].operation) table_head(r, r->rows[i].operation, out);
        put_row(r, &r->rows[i], first, out);
    }
    fflush(out);
}

static void put_checks(const bench_report *r, FILE *out) {
    int exact = 0, freivalds = 0;
    for (int i = 0; i < r->row_count; i++) {
        exact += strcmp(r->rows[i].verified, "exact") == 0;
        freivalds += strcmp(r->rows[i].verified, "freivalds") == 0;
    }
    if (exact + freivalds > 0)
        fprintf(out, "\nResults that are right: %d, %d of them bit for bit, %d by Freivalds' check.\n",
                exact + freivalds, exact, freivalds);
}

void bench_markdown_end(const bench_report *r, FILE *out) {
    char shape[128];
    if (r->row_count > 0) fputs("\n\\* what the library chooses by itself\n", out);
    if (r->row_count > 0 && !r->device->rig.simulated)
        fputs("\nspeed-up over: the time of a peer, by its name in --peers, divided by the time of the row: above 1, "
              "qmm is faster\n",
              out);
    put_checks(r, out);
    if (r->skipped_count > 0)
        fputs("\n## skipped\n\n| operation | shape | what | who | why |\n|---|---|---|---|---|\n", out);
    for (int i = 0; i < r->skipped_count; i++) {
        const bench_skip *s = &r->skipped[i];
        bench_shape_full(s->operation, &s->shape, shape, sizeof shape);
        fprintf(out, "| %s | %s | %s | %s | %s |\n", bench_operation_name(s->operation), shape, s->what,
                s->kernel[0] ? s->kernel : s->who, s->reason);
    }
}
