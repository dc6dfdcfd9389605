/* SPDX-License-Identifier: Apache-2.0
 *
 * The figures of a run, and how they are written: Markdown line by line as they come, JSON and CSV at the end. */
#ifndef QMM_BENCH_REPORT_H
#define QMM_BENCH_REPORT_H

#include <stdio.h>

#include "device.h"
#include "plan.h"

enum { BENCH_WHAT = 192 };

/* One figure. Its case's peers are the rows of other makers with equal operation, shape and numbers. */
typedef struct bench_row {
    bench_operation operation;
    char who[24], kernel[64], variant[32];
    bool chosen; /* what the library picks by itself */
    cli_shape shape;
    char what[BENCH_WHAT];
    bench_timing time;
    double operations, bytes; /* of a run; 0: not counted */
    bool other_peak;          /* its operations are not int8, whose peak says nothing of them */
    char peer[24];            /* its name in --peers; "": ours */
    const char *verified;     /* "exact", "freivalds", "no", or "wrong" */
    int launches;             /* kernels, copies and fills of a run; 0: not counted */
    bench_clocks clocks;      /* 0: unknown */
} bench_row;

/* What was not measured, and why. */
typedef struct bench_skip {
    bench_operation operation;
    char who[24], kernel[64], what[BENCH_WHAT], reason[256];
    cli_shape shape;
} bench_skip;

typedef struct bench_report {
    const bench_device *device;
    uint64_t seed;
    char date[16];
    bench_row *rows;
    int row_count;
    bench_skip *skipped;
    int skipped_count;
    bool out_of_memory; /* a row was lost */
} bench_report;

void bench_report_open(bench_report *r, const bench_device *device, uint64_t seed);
void bench_report_free(bench_report *r);

void bench_report_row(bench_report *r, const bench_row *row);
void bench_report_skip(bench_report *r, const bench_skip *skip);

/* What was built, as "GNU 12.2.0 Release OpenMP off". */
const char *bench_build(void);

/* Name of a shape: its own, or its numbers; and the two together. */
void bench_shape_name(const bench_row *row, char *text, size_t bytes);
void bench_shape_full(bench_operation operation, const cli_shape *shape, char *text, size_t bytes);

/* Figures of a row; NAN where there is none to state. Its floors are the seconds that its bytes take at the rate of the
 * copy, and its operations at the peak. */
double bench_row_rate(const bench_report *r, double amount, const bench_row *row);
double bench_row_copy_floor(const bench_report *r, const bench_row *row);
double bench_row_peak_floor(const bench_report *r, const bench_row *row);
double bench_row_of_copy(const bench_report *r, const bench_row *row);
double bench_row_of_peak(const bench_report *r, const bench_row *row);

/* Markdown: the head of the page; the rows from `first` on, which are of one case, with the table's head where the
 * operation is not that of the row before; what was skipped, at the end. */
void bench_markdown_head(const bench_report *r, FILE *out);
void bench_markdown_rows(const bench_report *r, int first, FILE *out);
void bench_markdown_end(const bench_report *r, FILE *out);

void bench_json(const bench_report *r, FILE *out);
void bench_csv(const bench_report *r, FILE *out);

#endif
