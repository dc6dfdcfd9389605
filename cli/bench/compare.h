/* SPDX-License-Identifier: Apache-2.0
 *
 * qmm bench --compare: the figures of an earlier file beside new ones. */
#ifndef QMM_BENCH_COMPARE_H
#define QMM_BENCH_COMPARE_H

#include "report.h"

/* What is compared of a figure. Equal figures agree in all but the shape's name and the times. */
typedef struct bench_figure {
    char operation[24], who[24], kernel[64], variant[32], shape[96], what[BENCH_WHAT];
    int64_t m, n, k, batch;
    int64_t runs;
    double median, quartile_1, quartile_3;
} bench_figure;

typedef struct bench_figures {
    char device[128], driver[128], build[128], version[32], date[32];
    char cache[16]; /* "cold", "warm" */
    bench_figure *items;
    int count;
} bench_figures;

/* Reads a file that qmm bench wrote. Prints what is wrong, and gives CLI_USAGE. */
int bench_figures_read(const char *command, const char *path, bench_figures *figures);

/* Those of a report; false: no memory. */
bool bench_figures_of(const bench_report *report, bench_figures *figures);
void bench_figures_free(bench_figures *figures);

/* Writes a table in Markdown, and gives the number of losses: figures of ours that are slower than before by more than `noise`
 * (a share: 0.05), and whose middle halves of runs do not overlap. Figures of fewer than three runs, or of 0
 * seconds, are shown, not judged. */
int bench_compare(const bench_figures *old, const bench_figures *now, double noise, FILE *out);

#endif
