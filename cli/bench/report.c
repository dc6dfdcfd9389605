/* SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L
#include "report.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "json.h"

const char *bench_build(void) {
    return QMM_BENCH_BUILD;
}

void bench_report_open(bench_report *r, const bench_device *device, uint64_t seed) {
    const time_t now = time(NULL);
    struct tm utc;
    *r = (bench_report){ .device = device, .seed = seed };
    if (gmtime_r(&now, &utc)) strftime(r->date, sizeof r->date, "%Y-%m-%d", &utc);
}

void bench_report_free(bench_report *r) {
    free(r->rows);
    free(r->skipped);
    r->rows = NULL, r->skipped = NULL;
    r->row_count = r->skipped_count = 0;
}

void bench_report_row(bench_report *r, const bench_row *row) {
    bench_row *rows = realloc(r->rows, (size_t)(r->row_count + 1) * sizeof *rows);
    if (!rows) {
        r->out_of_memory = true;
        return;
    }
    r->rows = rows;
    r->rows[r->row_count] = *row;
    if (!row->verified) r->rows[r->row_count].verified = "no";
    r->rows[r->row_count++].clocks = bench_driver_clocks(&r->device->driver);
}

void bench_report_skip(bench_report *r, const bench_skip *skip) {
    bench_skip *skipped = realloc(r->skipped, (size_t)(r->skipped_count + 1) * sizeof *skipped);
    if (!skipped) {
        r->out_of_memory = true;
        return;
    }
    r->skipped = skipped;
    r->skipped[r->skipped_count++] = *skip;
}

/* ---- figures ----------------------------------------------------------------------------------------------------- */

static void name_shape(bench_operation operation, const cli_shape *s, char *text, size_t bytes) {
    if (s->name[0])
        snprintf(text, bytes, "%s", s->name);
    else if (operation == BENCH_MATMUL || s->k > 0)
        cli_shape_sizes(s, text, bytes);
    else if (s->m > 0)
        snprintf(text, bytes, "%" PRId64 "x%" PRId64, s->m, s->n);
    else
        snprintf(text, bytes, "-");
}

void bench_shape_name(const bench_row *row, char *text, size_t bytes) {
    name_shape(row->operation, &row->shape, text, bytes);
}

void bench_shape_full(bench_operation operation, const cli_shape *shape, char *text, size_t bytes) {
    size_t length;
    name_shape(operation, shape, text, bytes);
    length = strlen(text);
    if (!shape->name[0] || length + 2 > bytes) return;
    text[length] = ' ';
    cli_shape_sizes(shape, text + length + 1, bytes - length - 1);
}

double bench_row_rate(const bench_report *r, double amount, const bench_row *row) {
    return r->device->rig.simulated || amount <= 0.0 || row->time.median <= 0.0 ? (double)NAN
                                                                                : amount / row->time.median;
}

static double floor_of(double amount, double rate) {
    return rate > 0.0 && amount > 0.0 ? amount / rate : (double)NAN;
}

double bench_row_copy_floor(const bench_report *r, const bench_row *row) {
    return floor_of(row->bytes, r->device->copy_bandwidth);
}

double bench_row_peak_floor(const bench_report *r, const bench_row *row) {
    return floor_of(row->other_peak ? 0.0 : row->operations, r->device->int8_peak);
}

static double share_of(double floor, const bench_row *row) {
    return row->time.median > 0.0 ? floor / row->time.median : (double)NAN;
}

double bench_row_of_copy(const bench_report *r, const bench_row *row) {
    return share_of(bench_row_copy_floor(r, row), row);
}

double bench_row_of_peak(const bench_report *r, const bench_row *row) {
    return share_of(bench_row_peak_floor(r, row), row);
}

static double or_nan(double value) {
    return value > 0.0 ? value : (double)NAN;
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

static void put_text(FILE *out, const char *key, const char *text) {
    fprintf(out, "\"%s\": ", key);
    json_print_string(out, text);
    fputs(", ", out);
}

static void put_number(FILE *out, const char *key, double value) {
    fprintf(out, "\"%s\": ", key);
    json_print_number(out, value);
    fputs(", ", out);
}

static void put_whole(FILE *out, const char *key, int64_t value) {
    fprintf(out, "\"%s\": %" PRId64 ", ", key, value);
}

static void put_device(const bench_report *r, FILE *out) {
    const bench_device *d = r->device;
    fputs(" \"device\": {", out);
    put_text(out, "name", d->info.name);
    put_text(out, "description", d->info.description);
    put_text(out, "driver", d->info.driver);
    put_text(out, "kind", qmm_device_kind_name(d->info.kind));
    put_text(out, "int8_class", qmm_int8_class_name(d->info.int8_class));
    put_whole(out, "compute_units", d->info.compute_units);
    put_whole(out, "memory_bytes", (int64_t)d->info.memory_bytes);
    fprintf(out, "\"simulated\": %s, ", d->rig.simulated ? "true" : "false");
    put_number(out, "copy_bandwidth", or_nan(d->copy_bandwidth));
    put_number(out, "int8_peak", or_nan(d->int8_peak));
    fputs("\"cache_bytes\": ", out);
    json_print_number(out, or_nan((double)d->cache_bytes));
    fputs("},\n", out);
}

static void put_method(const bench_report *r, FILE *out) {
    const bench_device *d = r->device;
    char copies[160];
    bench_device_copies_text(d, copies, sizeof copies);
    fputs(" \"method\": {", out);
    put_text(out, "clock", bench_device_clock(d));
    put_text(out, "cache", d->cold ? "cold" : "warm");
    put_text(out, "copies", copies);
    put_text(out, "fill", "uniform, full range");
    fprintf(out, "\"seed\": %" PRIu64 ", ", r->seed);
    put_whole(out, "warm_up", BENCH_WARM_UP);
    fputs("\"seconds_each\": ", out);
    json_print_number(out, d->rig.seconds);
    fputs("},\n", out);
}

static void put_times(FILE *out, const bench_timing *t) {
    put_whole(out, "runs", t->runs);
    put_number(out, "median", t->median);
    put_number(out, "minimum", t->minimum);
    put_number(out, "maximum", t->maximum);
    put_number(out, "quartile_1", t->quartile_1);
    put_number(out, "quartile_3", t->quartile_3);
}

static void put_row(const bench_report *r, const bench_row *row, FILE *out) {
    char shape[96];
    bench_shape_name(row, shape, sizeof shape);
    fputs("\n  {", out);
    put_text(out, "operation", bench_operation_name(row->operation));
    put_text(out, "who", row->who);
    put_text(out, "kernel", row->kernel);
    put_text(out, "variant", row->variant);
    fprintf(out, "\"chosen\": %s, ", row->chosen ? "true" : "false");
    put_text(out, "shape", shape);
    put_whole(out, "m", row->shape.m);
    put_whole(out, "n", row->shape.n);
    put_whole(out, "k", row->shape.k);
    put_whole(out, "batch", row->shape.batch);
    put_text(out, "what", row->what);
    put_times(out, &row->time);
    put_number(out, "operations", row->operations);
    put_number(out, "bytes", row->bytes);
    put_number(out, "tops", bench_row_rate(r, row->operations, row) * 1e-12);
    put_number(out, "gbps", bench_row_rate(r, row->bytes, row) * 1e-9);
    put_number(out, "of_copy", bench_row_of_copy(r, row));
    put_number(out, "of_peak", bench_row_of_peak(r, row));
    put_number(out, "copy_floor", bench_row_copy_floor(r, row));
    put_number(out, "peak_floor", bench_row_peak_floor(r, row));
    put_number(out, "launches", or_nan(row->launches));
    put_text(out, "verified", row->verified);
    put_text(out, "device", r->device->info.description);
    put_text(out, "driver", r->device->info.driver);
    put_number(out, "clock_mhz", or_nan(row->clocks.multiprocessor));
    put_number(out, "memory_clock_mhz", or_nan(row->clocks.memory));
    put_number(out, "watts", or_nan(row->clocks.watts));
    put_text(out, "build", bench_build());
    fputs("\"date\": ", out);
    json_print_string(out, r->date);
    putc('}', out);
}

static void put_skip(const bench_skip *s, FILE *out) {
    char shape[96];
    name_shape(s->operation, &s->shape, shape, sizeof shape);
    fputs("\n  {", out);
    put_text(out, "operation", bench_operation_name(s->operation));
    put_text(out, "who", s->who);
    put_text(out, "kernel", s->kernel);
    put_text(out, "shape", shape);
    put_text(out, "what", s->what);
    fputs("\"reason\": ", out);
    json_print_string(out, s->reason);
    putc('}', out);
}

void bench_json(const bench_report *r, FILE *out) {
    fprintf(out, "{\n \"tool\": \"qmm bench\", \"schema\": 1, \"version\": \"%s\", ", qmm_version());
    put_text(out, "build", bench_build());
    fprintf(out, "\"date\": \"%s\",\n", r->date);
    put_device(r, out);
    put_method(r, out);
    fputs(" \"rows\": [", out);
    for (int i = 0; i < r->row_count; i++) {
        if (i > 0) putc(',', out);
        put_row(r, &r->rows[i], out);
    }
    fputs("\n ],\n \"skipped\": [", out);
    for (int i = 0; i < r->skipped_count; i++) {
        if (i > 0) putc(',', out);
        put_skip(&r->skipped[i], out);
    }
    fputs("\n ]\n}\n", out);
}

/* ---- CSV --------------------------------------------------------------------------------------------------------- */

/* Quoted as RFC 4180 has it. */
static void cell(FILE *out, const char *text) {
    putc('"', out);
    for (; *text; text++) {
        if (*text == '"') putc('"', out);
        putc((unsigned char)*text < 0x20 ? ' ' : *text, out);
    }
    fputs("\",", out);
}

static void number(FILE *out, double value) {
    if (isfinite(value)) fprintf(out, "%.9g", value);
    putc(',', out);
}

static void csv_row(const bench_report *r, const bench_row *row, FILE *out) {
    const bench_timing *t = &row->time;
    char shape[96];
    bench_shape_name(row, shape, sizeof shape);
    cell(out, bench_operation_name(row->operation)), cell(out, row->who), cell(out, row->kernel),
        cell(out, row->variant);
    fprintf(out, "%s,", row->chosen ? "true" : "false");
    cell(out, shape);
    fprintf(out, "%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64 ",", row->shape.m, row->shape.n, row->shape.k,
            row->shape.batch);
    cell(out, row->what);
    fprintf(out, "%d,", t->runs);
    number(out, t->median), number(out, t->minimum), number(out, t->maximum), number(out, t->quartile_1);
    number(out, t->quartile_3), number(out, row->operations), number(out, row->bytes);
    number(out, bench_row_rate(r, row->operations, row) * 1e-12),
        number(out, bench_row_rate(r, row->bytes, row) * 1e-9);
    number(out, bench_row_of_copy(r, row)), number(out, bench_row_of_peak(r, row));
    number(out, bench_row_copy_floor(r, row)), number(out, bench_row_peak_floor(r, row));
    number(out, or_nan(row->launches));
    cell(out, row->verified), cell(out, r->device->info.description), cell(out, r->device->info.driver);
    number(out, or_nan(row->clocks.multiprocessor)), number(out, or_nan(row->clocks.memory));
    number(out, or_nan(row->clocks.watts));
    cell(out, bench_build());
    fprintf(out, "%s\n", r->date);
}

void bench_csv(const bench_report *r, FILE *out) {
    fputs(
        "operation,who,kernel,variant,chosen,shape,m,n,k,batch,what,runs,median,minimum,maximum,quartile_1,quartile_3,"
        "operations,bytes,tops,gbps,of_copy,of_peak,copy_floor,peak_floor,launches,verified,device,driver,clock_mhz,"
        "memory_clock_mhz,watts,build,date\n",
        out);
    for (int i = 0; i < r->row_count; i++) csv_row(r, &r->rows[i], out);
}
