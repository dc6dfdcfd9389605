/* SPDX-License-Identifier: Apache-2.0 */
#include "compare.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef enum verdict { SAME, LOSS, GAIN } verdict;

static bool is_same_figure(const bench_figure *x, const bench_figure *y) {
    return x->m == y->m && x->n == y->n && x->k == y->k && x->batch == y->batch &&
           strcmp(x->operation, y->operation) == 0 && strcmp(x->who, y->who) == 0 &&
           strcmp(x->kernel, y->kernel) == 0 && strcmp(x->variant, y->variant) == 0 && strcmp(x->what, y->what) == 0;
}

/* The figure in `in` that answers figure `index` of `of`. A peer stands beside several of our figures in words that may be
 * the same: the first answers the first, the second the second. NULL: there is none. */
static const bench_figure *find(const bench_figures *in, const bench_figures *of, int index) {
    const bench_figure *const like = &of->items[index];
    int before = 0;
    for (int i = 0; i < index; i++) before += is_same_figure(&of->items[i], like);
    for (int i = 0; i < in->count; i++)
        if (is_same_figure(&in->items[i], like) && before-- == 0) return &in->items[i];
    return NULL;
}

static bool is_ours(const bench_figure *f) {
    return strcmp(f->who, "qmm") == 0;
}

static verdict judge(const bench_figure *old, const bench_figure *now, double noise) {
    if (old->runs < 3 || now->runs < 3 || old->median == 0.0 || now->median == 0.0) return SAME;
    if (now->median > old->median * (1.0 + noise) && now->quartile_1 > old->quartile_3) return LOSS;
    if (old->median > now->median * (1.0 + noise) && old->quartile_1 > now->quartile_3) return GAIN;
    return SAME;
}

/* Above 1 it is faster now; the clock of a device may be too coarse to tell. */
static void put_times(const bench_figure *old, const bench_figure *now, FILE *out) {
    fprintf(out, " %.5g | %.5g |", old->median * 1e6, now->median * 1e6);
    if (now->median > 0.0)
        fprintf(out, " %.3f |", old->median / now->median);
    else
        fputs(" - |", out);
}

static void put_name(const bench_figure *f, FILE *out) {
    fprintf(out, "| %s | %s", f->operation, f->shape);
    if (f->shape[0] < '0' || f->shape[0] > '9') fprintf(out, ", m %" PRId64, f->m);
    fprintf(out, " | %s | %s%s%s |", f->what, f->kernel[0] ? f->kernel : f->who, f->variant[0] ? "/" : "", f->variant);
}

static void put_difference(const char *which, const char *old, const char *now, FILE *out) {
    if (strcmp(old, now) != 0) fprintf(out, "The %s differs: '%s' before, '%s' now.\n", which, old, now);
}

static void put_only(const bench_figures *in, const bench_figures *other, const char *where, FILE *out) {
    for (int i = 0; i < in->count; i++) {
        if (find(other, in, i)) continue;
        put_name(&in->items[i], out);
        fprintf(out, " %s |\n", where);
    }
}

static bool has_only(const bench_figures *in, const bench_figures *other) {
    for (int i = 0; i < in->count; i++)
        if (!find(other, in, i)) return true;
    return false;
}

int bench_compare(const bench_figures *old, const bench_figures *now, double noise, FILE *out) {
    static const char *const words[] = { "", "loss", "gain" }, *const of_peers[] = { "", "slower", "faster" };
    int counts[3] = { 0, 0, 0 }, peers[3] = { 0, 0, 0 };
    fprintf(out, "\n## compared with %s\n\n", old->date[0] ? old->date : "before");
    put_difference("device", old->device, now->device, out);
    put_difference("driver", old->driver, now->driver, out);
    put_difference("build", old->build, now->build, out);
    put_difference("version", old->version, now->version, out);
    put_difference("state of the caches", old->cache, now->cache, out);
    fputs("\n| operation | shape | what | who | before, us | now, us | speed-up | "
          "|\n|---|---|---|---|---|---|---|---|\n",
          out);
    for (int i = 0; i < now->count; i++) {
        const bench_figure *f = &now->items[i], *before = find(old, now, i);
        verdict v;
        if (!before) continue;
        v = judge(before, f, noise);
        (is_ours(f) ? counts : peers)[v]++;
        put_name(f, out);
        put_times(before, f, out);
        fprintf(out, " %s |\n", (is_ours(f) ? words : of_peers)[v]);
    }
    fputs("\nspeed-up: the time before, divided by the time now: above 1, it is faster now\n", out);
    if (has_only(old, now) || has_only(now, old)) {
        fputs("\n| operation | shape | what | who | only |\n|---|---|---|---|---|\n", out);
        put_only(old, now, "before", out);
        put_only(now, old, "now", out);
    }
    fprintf(out, "\n%d compared: %d slower, %d faster, beyond %.3g %% and the quartiles of both.\n",
            counts[SAME] + counts[LOSS] + counts[GAIN], counts[LOSS], counts[GAIN], 100.0 * noise);
    fprintf(out, "Of peers %d: %d slower, %d faster: the machine, not qmm.\n",
            peers[SAME] + peers[LOSS] + peers[GAIN], peers[LOSS], peers[GAIN]);
    return counts[LOSS];
}

/* ---- of a report ------------------------------------------------------------------------------------------------- */

static void copy_row(const bench_row *row, bench_figure *f) {
    bench_shape_name(row, f->shape, sizeof f->shape);
    snprintf(f->operation, sizeof f->operation, "%s", bench_operation_name(row->operation));
    snprintf(f->who, sizeof f->who, "%s", row->who);
    snprintf(f->kernel, sizeof f->kernel, "%s", row->kernel);
    snprintf(f->variant, sizeof f->variant, "%s", row->variant);
    snprintf(f->what, sizeof f->what, "%s", row->what);
    f->m = row->shape.m, f->n = row->shape.n, f->k = row->shape.k, f->batch = row->shape.batch;
    f->runs = row->time.runs;
    f->median = row->time.median, f->quartile_1 = row->time.quartile_1, f->quartile_3 = row->time.quartile_3;
}

bool bench_figures_of(const bench_report *r, bench_figures *figures) {
    *figures = (bench_figures){ .count = r->row_count };
    figures->items = calloc((size_t)r->row_count + 1, sizeof *figures->items);
    if (!figures->items) return false;
    snprintf(figures->device, sizeof figures->device, "%s", r->device->info.description);
    snprintf(figures->driver, sizeof figures->driver, "%s", r->device->info.driver);
    snprintf(figures->build, sizeof figures->build, "%s", bench_build());
    snprintf(figures->version, sizeof figures->version, "%s", qmm_version());
    snprintf(figures->date, sizeof figures->date, "%s", r->date);
    snprintf(figures->cache, sizeof figures->cache, "%s", r->device->cold ? "cold" : "warm");
    for (int i = 0; i < r->row_count; i++) copy_row(&r->rows[i], &figures->items[i]);
    return true;
}

void bench_figures_free(bench_figures *figures) {
    free(figures->items);
    *figures = (bench_figures){ .count = 0 };
}
