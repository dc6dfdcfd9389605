/* SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L
#include "run.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli.h"
#include "compare.h"
#include "peers.h"
#include "progress.h"

/* ---- measuring --------------------------------------------------------------------------------------------------- */

static qmm_status run_case(bench_session *s, const bench_case *c) {
    switch (c->operation) {
    case BENCH_COPY: return bench_run_copy(s, c);
    case BENCH_CALL: return bench_run_calls(s, c);
    case BENCH_MATMUL: return bench_run_matmul(s, c);
    case BENCH_TOKENS: return bench_run_tokens(s, c);
    case BENCH_QUANTIZE:
    case BENCH_QUANTIZE_DYNAMIC:
    case BENCH_DEQUANTIZE:
    case BENCH_REQUANTIZE:
    case BENCH_FIND_RANGE: return bench_run_conversion(s, c);
    case BENCH_OPERATIONS: break;
    }
    return QMM_INTERNAL;
}

static void skip_rest(bench_session *s, const bench_plan *plan, int from) {
    char what[BENCH_WHAT];
    for (int i = from; i < plan->count; i++) {
        const bench_case *c = &plan->items[i];
        what[0] = '\0';
        if (c->operation == BENCH_MATMUL || c->operation == BENCH_TOKENS)
            cli_call_describe(&c->call, what, sizeof what);
        else if (c->conversion.from)
            bench_conversion_describe(c, what, sizeof what);
        bench_skip_case(s, c, "qmm", "", what, "the time was over");
    }
}

static int measure_all(bench_session *s, const bench_options *o, const bench_plan *plan) {
    const double begun = bench_now();
    qmm_status status = QMM_OK;
    progress bar;
    progress_start(&bar, "bench");
    for (int i = 0; i < plan->count && status == QMM_OK; i++) {
        const int first = s->report.row_count;
        progress_show(&bar, i, plan->count);
        if (o->time_limit > 0.0 && bench_now() - begun > o->time_limit) {
            skip_rest(s, plan, i);
            break;
        }
        status = run_case(s, &plan->items[i]);
        if (o->format != BENCH_MARKDOWN) continue;
        progress_end(&bar);
        bench_markdown_rows(&s->report, first, stdout);
    }
    progress_end(&bar);
    return status == QMM_OK ? CLI_OK : bench_device_failed(s->command, s->device.context, status);
}

/* ---- the session ------------------------------------------------------------------------------------------------- */

static void close_session(bench_session *s) {
    bench_report_free(&s->report);
    bench_verifier_close(&s->verifier);
    bench_others_close(s);
    bench_device_close(&s->device);
}

static int open_session(const char *command, const bench_options *o, bench_session *s) {
    qmm_status status;
    int code;
    *s = (bench_session){ .command = command, .seed = o->seed, .verify = o->verify };
    s->kernels = o->kernels ? o->kernels : bench_preset_kernels(o->wishes.preset);
    if ((code = bench_peers_read(command, o->peers, &s->peers)) != CLI_OK) return code;
    if ((code = bench_device_open(command, o->device, o->cache, o->seconds, (int)o->runs, &s->device)) != CLI_OK)
        return code;
    bench_report_open(&s->report, &s->device, o->seed);
    bench_verifier_open(&s->verifier, o->seed);
    if ((code = bench_kernels_check(s)) != CLI_OK) {
        close_session(s);
        return code;
    }
    if ((status = bench_device_copy(&s->device)) == QMM_OK) return CLI_OK;
    code = bench_device_failed(command, s->device.context, status);
    close_session(s);
    return code;
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

/* A pipe, a terminal or a link, as /dev/stdout is one, is written as it is; in place of a file comes the new one, when
 * it is whole. */
static bool is_replaced(const char *path) {
    struct stat facts;
    return lstat(path, &facts) != 0 || S_ISREG(facts.st_mode);
}

/* Where the figures are written first; free it. */
static char *first_name(const char *path) {
    const size_t bytes = strlen(path) + sizeof ".part";
    char *const name = malloc(bytes);
    if (name) snprintf(name, bytes, "%s%s", path, is_replaced(path) ? ".part" : "");
    return name;
}

static bool write_first(const bench_report *report, const char *name) {
    FILE *const file = fopen(name, "w");
    bool written;
    if (!file) return false;
    bench_json(report, file);
    written = !ferror(file);
    return fclose(file) == 0 && written;
}

static int write_file(const char *command, const char *path, const bench_report *report) {
    char *const name = first_name(path);
    int code = CLI_OK;
    if (!name) return cli_error(CLI_FAILED, command, "no memory to write %s", path);
    if (!write_first(report, name) || (strcmp(name, path) != 0 && rename(name, path) != 0)) {
        code = cli_error(CLI_FAILED, command, "--output %s could not be written: %s", path, strerror(errno));
        if (strcmp(name, path) != 0) remove(name);
    }
    free(name);
    return code;
}

/* Before anything is measured: a file that is there is left as it is, and none is left where there was none. */
static int check_output(const char *command, const char *path) {
    char *const name = path ? first_name(path) : NULL;
    FILE *file;
    int code = CLI_OK;
    if (!path) return CLI_OK;
    if (!name) return cli_error(CLI_FAILED, command, "no memory to write %s", path);
    file = fopen(name, "a");
    if (!file) code = cli_error(CLI_USAGE, command, "--output %s cannot be written: %s", path, strerror(errno));
    if (file) fclose(file);
    if (file && strcmp(name, path) != 0) remove(name);
    free(name);
    return code;
}

static void write_end(const bench_report *report, bench_format format) {
    switch (format) {
    case BENCH_MARKDOWN: bench_markdown_end(report, stdout); break;
    case BENCH_JSON: bench_json(report, stdout); break;
    case BENCH_CSV: bench_csv(report, stdout); break;
    }
}

/* Beside figures for a program the comparison, which is for people, goes to standard error. */
static int compare_report(const char *command, const bench_options *o, const bench_figures *old,
                          const bench_report *report) {
    bench_figures now;
    int losses;
    if (!bench_figures_of(report, &now)) return cli_error(CLI_FAILED, command, "no memory to compare");
    losses = bench_compare(old, &now, o->noise, o->format == BENCH_MARKDOWN ? stdout : stderr);
    bench_figures_free(&now);
    return losses > 0 ? CLI_FAILED : CLI_OK;
}

static int judge(const bench_session *s) {
    if (s->report.out_of_memory) return cli_error(CLI_FAILED, s->command, "no memory for all figures");
    if (s->report.row_count == 0) return cli_error(CLI_FAILED, s->command, "nothing was measured");
    return s->wrong ? cli_error(CLI_FAILED, s->command, "a measured result is wrong; see what was skipped") : CLI_OK;
}

/* ---- all together ------------------------------------------------------------------------------------------------ */

static int run_session(bench_session *s, const bench_options *o, const bench_plan *plan, const bench_figures *old) {
    int code, last;
    if (o->format == BENCH_MARKDOWN) bench_markdown_head(&s->report, stdout);
    code = measure_all(s, o, plan);
    write_end(&s->report, o->format);
    if (o->output && (last = write_file(s->command, o->output, &s->report)) != CLI_OK) return last;
    if (code != CLI_OK || (code = judge(s)) != CLI_OK) return code;
    return o->compare ? compare_report(s->command, o, old, &s->report) : CLI_OK;
}

static int measure(const char *command, const bench_options *o, const bench_figures *old) {
    bench_session *s = calloc(1, sizeof *s);
    bench_plan plan = { NULL, 0 };
    int code;
    if (!s) return cli_error(CLI_FAILED, command, "no memory");
    /* Once as it was asked for, so that bad options are told before a device is opened. */
    code = bench_plan_make(command, &o->wishes, false, &plan);
    if (code == CLI_OK) code = check_output(command, o->output);
    if (code == CLI_OK && (code = open_session(command, o, s)) == CLI_OK) {
        if (s->device.rig.simulated) {
            bench_plan_free(&plan);
            code = bench_plan_make(command, &o->wishes, true, &plan);
        }
        if (code == CLI_OK) code = run_session(s, o, &plan, old);
        close_session(s);
    }
    bench_plan_free(&plan);
    free(s);
    return code;
}

int bench_run(const char *command, const bench_options *o) {
    bench_figures old = { .count = 0 }, now = { .count = 0 };
    int code = CLI_OK;
    if (o->compare) code = bench_figures_read(command, o->compare, &old);
    if (code == CLI_OK && o->with) code = bench_figures_read(command, o->with, &now);
    if (code == CLI_OK && o->with)
        code = bench_compare(&old, &now, o->noise, stdout) > 0 ? CLI_FAILED : CLI_OK;
    else if (code == CLI_OK)
        code = measure(command, o, &old);
    bench_figures_free(&old);
    bench_figures_free(&now);
    return code;
}

static void list_kernels(qmm_context *context) {
    for (int i = 0; i < qmm_kernel_count(context); i++) {
        printf("  %s\n", qmm_kernel_name(context, i));
        for (int v = 0; qmm_kernel_variant_name(context, i, v)[0]; v++)
            printf("  %s/%s\n", qmm_kernel_name(context, i), qmm_kernel_variant_name(context, i, v));
    }
}

int bench_list(const char *command, const bench_options *o) {
    qmm_context *context;
    const int code = cli_open(command, o->device, &context);
    if (code != CLI_OK) return code;
    puts("operations");
    for (int i = 0; i < BENCH_OPERATIONS; i++) printf("  %s\n", bench_operation_name((bench_operation)i));
    puts("\npresets");
    bench_presets_list();
    puts("\npeers");
    bench_peers_list();
    puts("\nshapes");
    cli_shapes_list();
    printf("\nkernels of %s\n", o->device);
    list_kernels(context);
    qmm_context_close(context);
    return CLI_OK;
}
