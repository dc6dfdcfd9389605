/* SPDX-License-Identifier: Apache-2.0
 *
 * qmm tune: measures the kernels that take given matmuls, and keeps the choices in a file. */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"
#include "interrupt.h"
#include "json.h"
#include "progress.h"
#include "selection.h"

#define DEFAULT_FILE "qmm-tuning.txt"

static const char help[] =
    "usage: qmm tune --shapes LIST [OPTION ...]\n"
    "       qmm tune --m LIST --n N --k K [OPTION ...]\n\n"
    "Measures for every shape each kernel, and each variant of it, that takes the matmul, and keeps in a file which\n"
    "is the fastest. Results do not change by it, only times do. A choice serves M from above half of the one it was\n"
    "measured at up to that. TIME is the median of a run of the kernel that is used from now on; GAIN is the time of\n"
    "the one that is used without tuning, divided by that.\n\n" CLI_SELECTION_HELP CLI_CALL_HELP
    "  --output FILE      where the choices are kept (" DEFAULT_FILE "); those that it has are added to, if they\n"
    "                     are of this device. It is written after each shape; an interrupt (SIGINT) ends the work\n"
    "                     after the present one\n"
    "  --seconds S        spent on each kernel and variant (0.05)\n"
    "  --cache WORD       cold  overwrite the caches before each run, with 256 MiB, on a CPU with 64 MiB (the default\n"
    "                           on GPUs)\n"
    "                     warm  do not (the default on CPUs)\n" CLI_SELECTION_OUTPUT_HELP
    "  -h, --help         this text\n\n"
    "Exit codes: 0 the file is written, 1 no shape could be tuned, or the work was ended or failed, 2 bad usage, or\n"
    "the file is of another device, 3 no such device.\n";

typedef struct arguments {
    cli_selection selection;
    const char *output;
    double seconds;
    int cold; /* --cache: 1 cold, 0 warm, -1 not given */
    bool help;
} arguments;

/* The work on all shapes. */
typedef struct tuner {
    const char *command;
    const arguments *a;
    qmm_context *context;
    qmm_context *usual; /* another one without tuning: what would run otherwise */
    qmm_tune_options options;
    progress bar;
    int candidates; /* of matmul on this device: rows and variants */
    int shape, tuned, skipped;
} tuner;

/* What came out for one shape. */
typedef struct outcome {
    const cli_shape *shape;
    cli_candidates tried;
    qmm_matmul_plan_info chosen, usual;
    const cli_candidate *fastest, *before; /* those two among the tried; NULL: not measured */
    char problem[1024];                    /* why it was skipped; empty: it was not */
} outcome;

/* ---- one shape --------------------------------------------------------------------------------------------------- */

typedef struct listener {
    tuner *t;
    cli_candidates *tried;
} listener;

static void note_candidate(void *user, const char *kernel, const char *variant, double seconds, const char *reason) {
    const listener *l = user;
    tuner *t = l->t;
    const int64_t shapes = t->a->selection.shapes.count;
    cli_candidates_add(l->tried, kernel, variant, seconds, reason);
    progress_show_rate(&t->bar, "shapes", t->shape, shapes,
                       ((double)t->shape + (double)l->tried->count / t->candidates) / (double)shapes);
}

static bool is_matmul(const char *kernel) {
    return strstr(kernel, ":matmul:") != NULL;
}

/* Every matmul row, by itself and with each variant. */
static int count_candidates(qmm_context *context) {
    int count = 0;
    for (int i = 0; i < qmm_kernel_count(context); i++) {
        if (!is_matmul(qmm_kernel_name(context, i))) continue;
        count++;
        for (int v = 0; qmm_kernel_variant_name(context, i, v)[0]; v++) count++;
    }
    return count ? count : 1;
}

static const cli_candidate *find_candidate(const cli_candidates *list, const qmm_matmul_plan_info *plan) {
    for (int i = 0; i < list->count; i++) {
        const cli_candidate *c = &list->items[i];
        const bool same = strcmp(c->kernel, plan->kernel) == 0 && strcmp(c->variant, plan->variant) == 0;
        if (same && c->seconds > 0.0) return c;
    }
    return NULL;
}

static qmm_status measure(tuner *t, const cli_operands *operands, outcome *o) {
    const cli_operands_call at = cli_operands_at(operands, 0);
    listener l = { t, &o->tried };
    qmm_status status = qmm_matmul_plan(t->usual, at.desc, at.a, at.b, at.c, &o->usual);
    if (status != QMM_OK) { /* no kernel takes it: the context with the text is the other one */
        snprintf(o->problem, sizeof o->problem, "%s", cli_why(t->usual, status));
        return QMM_OK;
    }
    status = qmm_tune_matmul(t->context, at.desc, at.a, at.b, at.c, &t->options, note_candidate, &l);
    if (status == QMM_OK) status = qmm_matmul_plan(t->context, at.desc, at.a, at.b, at.c, &o->chosen);
    if (status == QMM_OK && o->tried.no_memory) status = QMM_OUT_OF_MEMORY;
    if (status != QMM_OK) return status;
    o->fastest = find_candidate(&o->tried, &o->chosen);
    o->before = find_candidate(&o->tried, &o->usual);
    return QMM_OK;
}

/* Bytes of the operands, of B a second time as packed, and of what caches are flushed with. */
static double bytes_needed(const tuner *t, const cli_shape *shape) {
    const cli_call *call = &t->a->selection.call;
    const double weights = (double)shape->n * (double)shape->k * (double)shape->batch;
    cli_operands plan;
    cli_operands_plan(call, shape, &plan);
    return cli_operands_bytes(&plan) + (call->packed ? weights : 0.0) + (double)t->options.flush_bytes;
}

static void tune_shape(tuner *t, outcome *o) {
    cli_operands operands;
    qmm_status status;
    if (o->shape->m == 0 || o->shape->n == 0) {
        snprintf(o->problem, sizeof o->problem, "it has no element: nothing is run");
        return;
    }
    if (!cli_memory_fits(t->context, bytes_needed(t, o->shape), o->problem, sizeof o->problem)) return;
    status = cli_operands_create(t->context, &t->a->selection.call, o->shape, 1, 1, &operands);
    if (status == QMM_OK) {
        status = measure(t, &operands, o);
        cli_operands_free(&operands);
    }
    if (status != QMM_OK) snprintf(o->problem, sizeof o->problem, "%s", cli_why(t->context, status));
}

/* ---- text -------------------------------------------------------------------------------------------------------- */

/* "mma/large" of cuda:matmul:mma. */
static void short_name(const char *kernel, const char *variant, char *text, size_t bytes) {
    const char *last = strrchr(kernel, ':');
    snprintf(text, bytes, "%s%s%s", last ? last + 1 : kernel, variant[0] ? "/" : "", variant);
}

static double gain_of(const outcome *o) {
    return o->fastest && o->before ? o->before->seconds / o->fastest->seconds : 0.0;
}

static int by_seconds(const void *x, const void *y) {
    const double a = ((const cli_candidate *)x)->seconds, b = ((const cli_candidate *)y)->seconds;
    return (a > b) - (a < b);
}

/* All that were measured, fastest first. */
static void print_candidates(const outcome *o) {
    const char *separator = "";
    cli_candidate *sorted = calloc((size_t)o->tried.count + 1, sizeof *sorted);
    if (!sorted) return;
    if (o->tried.count > 0) memcpy(sorted, o->tried.items, (size_t)o->tried.count * sizeof *sorted);
    qsort(sorted, (size_t)o->tried.count, sizeof *sorted, by_seconds);
    for (int i = 0; i < o->tried.count; i++) {
        char name[96], seconds[32];
        if (!(sorted[i].seconds > 0.0)) continue;
        short_name(sorted[i].kernel, sorted[i].variant, name, sizeof name);
        cli_seconds_text(sorted[i].seconds, seconds, sizeof seconds);
        printf("%s%s %s", separator, name, seconds);
        separator = ", ";
    }
    free(sorted);
}

static void print_outcome(const outcome *o) {
    char title[160], name[96], seconds[32] = "-";
    cli_shape_title(o->shape, title, sizeof title);
    if (o->problem[0]) {
        printf("%-36s skipped: %.*s\n", title, (int)strcspn(o->problem, "\n"), o->problem);
        return;
    }
    short_name(o->chosen.kernel, o->chosen.variant, name, sizeof name);
    if (o->fastest) cli_seconds_text(o->fastest->seconds, seconds, sizeof seconds);
    printf("%-36s %-20s %9s", title, name, seconds);
    if (gain_of(o) > 0.0) {
        printf(" %7.2fx  ", gain_of(o));
    } else {
        printf(" %8s  ", "-");
    }
    print_candidates(o);
    putchar('\n');
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

static void put_number(const char *key, double value) {
    printf("\"%s\": ", key);
    if (value > 0.0) {
        json_print_number(stdout, value);
    } else {
        fputs("null", stdout);
    }
}

static void put_choice(const qmm_matmul_plan_info *plan, const cli_candidate *measured) {
    json_print_member(stdout, "kernel", plan->kernel);
    fputs(", ", stdout);
    json_print_member(stdout, "variant", plan->variant);
    fputs(", ", stdout);
    put_number("seconds", measured ? measured->seconds : 0.0);
}

static void put_candidates(const cli_candidates *list) {
    fputs("\"candidates\": [", stdout);
    for (int i = 0; i < list->count; i++) {
        const cli_candidate *c = &list->items[i];
        fputs(i ? ",\n      {" : "\n      {", stdout);
        json_print_member(stdout, "kernel", c->kernel);
        fputs(", ", stdout);
        json_print_member(stdout, "variant", c->variant);
        fputs(", ", stdout);
        put_number("seconds", c->seconds);
        if (c->reason[0]) {
            fputs(", ", stdout);
            json_print_member(stdout, "reason", c->reason);
        } else {
            fputs(", \"reason\": null", stdout);
        }
        putchar('}');
    }
    putchar(']');
}

static void print_json_outcome(const outcome *o) {
    fputs("    {", stdout);
    cli_json_shape(o->shape);
    fputs(", ", stdout);
    if (o->problem[0]) {
        json_print_member(stdout, "skipped", o->problem);
        putchar('}');
        return;
    }
    printf("\"skipped\": null, \"tuned\": %s, ", o->chosen.tuned ? "true" : "false");
    put_choice(&o->chosen, o->fastest);
    fputs(", \"usual\": {", stdout);
    put_choice(&o->usual, o->before);
    fputs("}, ", stdout);
    put_number("gain", gain_of(o));
    fputs(", ", stdout);
    put_candidates(&o->tried);
    putchar('}');
}

static void print_json_begin(const tuner *t, int loaded) {
    const size_t flushed = t->options.flush_bytes;
    cli_json_begin(t->command, t->context, &t->a->selection.call);
    printf("  \"cache\": \"%s\", \"flush_bytes\": %zu, ", flushed ? "cold" : "warm", flushed);
    put_number("seconds_each", t->options.seconds);
    fputs(", ", stdout);
    json_print_member(stdout, "file", t->a->output);
    printf(", \"loaded\": %d,\n  \"shapes\": [\n", loaded);
}

static void print_begin(const tuner *t, int loaded) {
    const char *cache =
        t->options.flush_bytes ? "cold: overwritten before each run" : "warm: as the last run left them";
    char call[256];
    qmm_device_info info = QMM_DEVICE_INFO_INIT;
    (void)qmm_context_get_device_info(t->context, &info);
    cli_call_describe(&t->a->selection.call, call, sizeof call);
    printf("device  %s: %s\ncall    %s\n", info.name, info.description, call);
    printf("caches  %s\nfile    %s: %d choice%s so far\n\n", cache, t->a->output, loaded, loaded == 1 ? "" : "s");
    printf("%-36s %-20s %9s %8s  %s\n", "SHAPE", "KERNEL", "TIME", "GAIN", "ALL THAT WERE MEASURED");
}

static void print_end(const tuner *t) {
    const int choices = qmm_tuning_count(t->context);
    if (t->a->selection.json) {
        printf("\n  ],\n  \"tuned\": %d, \"skipped\": %d, \"choices\": %d\n}\n", t->tuned, t->skipped, choices);
        return;
    }
    printf("\n%d shape%s tuned, %d skipped\n", t->tuned, t->tuned == 1 ? "" : "s", t->skipped);
    if (t->tuned > 0)
        printf("%s has %d choice%s. To use it: QMM_TUNING_FILE=%s, or tuning_file of qmm_context_options.\n",
               t->a->output, choices, choices == 1 ? "" : "s", t->a->output);
}

/* ---- the file ---------------------------------------------------------------------------------------------------- */

/* "cuda device 'NVIDIA H100 PCIe' of 114 units", in a tuning file's words: it keeps printable ASCII only. */
static void describe_device(qmm_context *context, char *text, size_t bytes) {
    qmm_device_info info = QMM_DEVICE_INFO_INIT;
    (void)qmm_context_get_device_info(context, &info);
    snprintf(text, bytes, "%.*s device '%s' of %d units", (int)strcspn(info.name, ":"), info.name,
             info.description[0] ? info.description : "none", (int)info.compute_units);
    for (char *c = text; *c; c++)
        if (*c < ' ' || *c > '~') *c = '?';
}

/* The same from the first lines of a file; false: they are not those of a tuning file. */
static bool read_device(FILE *file, char *text, size_t bytes) {
    char backend[64], device[192], units[32];
    if (fscanf(file, "qmm tuning %*[^\n]\nlibrary %*[^\n]\nbackend %63[^\n]\ndevice %191[^\n]\nunits %31[^\n]", backend,
               device, units) != 3)
        return false;
    snprintf(text, bytes, "%s device '%s' of %s units", backend, device, units);
    return true;
}

/* A file that is there and is of something else, or of another device, is not to be lost. */
static int check_is_ours(const tuner *t, const char *path) {
    static const char magic[] = "qmm tuning ";
    char begin[sizeof magic - 1], made_on[320], this_one[320];
    FILE *file = fopen(path, "rb");
    bool is_tuning, is_known;
    size_t got;
    if (!file) return cli_error(CLI_USAGE, t->command, "%s: cannot open: %s", path, strerror(errno));
    got = fread(begin, 1, sizeof begin, file);
    is_tuning = got == 0 || (got == sizeof begin && memcmp(begin, magic, got) == 0);
    rewind(file);
    is_known = read_device(file, made_on, sizeof made_on);
    fclose(file);
    if (!is_tuning)
        return cli_error(CLI_USAGE, t->command, "%s: it is there and is no tuning file, so it is not overwritten",
                         path);
    describe_device(t->context, this_one, sizeof this_one);
    if (!is_known || strcmp(made_on, this_one) == 0) return CLI_OK;
    return cli_error(CLI_USAGE, t->command,
                     "%s: it is of %s, and this is %s, so it is not overwritten: name another file with --output", path,
                     made_on, this_one);
}

/* Before any work: a folder that cannot be written to. */
static int check_folder(const char *command, const char *path) {
    const char *slash = strrchr(path, '/');
    char folder[4096] = ".";
    if (slash && (size_t)(slash - path) >= sizeof folder) return cli_error(CLI_USAGE, command, "--output is too long");
    if (slash) snprintf(folder, sizeof folder, "%.*s", slash == path ? 1 : (int)(slash - path), path);
    if (access(folder, W_OK | X_OK) == 0) return CLI_OK;
    return cli_error(CLI_FAILED, command, "%s: cannot create: %s", path, strerror(errno));
}

/* Takes over what an older file of this device has; one that is damaged, or of another version or driver, is begun
 * anew. *loaded: its choices. */
static int load(const tuner *t, int *loaded) {
    const char *path = t->a->output;
    struct stat facts;
    int code;
    *loaded = 0;
    if (stat(path, &facts) != 0) return check_folder(t->command, path);
    if (!S_ISREG(facts.st_mode))
        return cli_error(CLI_USAGE, t->command, "%s: it is there and is not a regular file", path);
    if ((code = check_is_ours(t, path)) != CLI_OK) return code;
    if ((code = check_folder(t->command, path)) != CLI_OK) return code;
    if (facts.st_size > 0 && qmm_tuning_load(t->context, path) != QMM_OK)
        cli_error(CLI_OK, t->command, "%s; starting anew", qmm_context_error(t->context));
    *loaded = qmm_tuning_count(t->context);
    return CLI_OK;
}

/* ---- all shapes -------------------------------------------------------------------------------------------------- */

/* Shows the outcome and saves. The bar makes way for the line. */
static int finish_shape(tuner *t, const outcome *o) {
    progress_end(&t->bar);
    *(o->problem[0] ? &t->skipped : &t->tuned) += 1;
    if (t->a->selection.json && t->shape > 0) fputs(",\n", stdout);
    (t->a->selection.json ? print_json_outcome : print_outcome)(o);
    fflush(stdout);
    if (qmm_context_error_status(t->context) == QMM_DEVICE_FAILED) /* nothing works from now on */
        return cli_qmm_error(t->command, t->context);
    if (o->problem[0] || qmm_tuning_save(t->context, t->a->output) == QMM_OK) return CLI_OK;
    return cli_error(CLI_FAILED, t->command, "%s", qmm_context_error(t->context));
}

static int tune_all(tuner *t) {
    const cli_shapes *shapes = &t->a->selection.shapes;
    int code = CLI_OK, loaded;
    if ((code = load(t, &loaded)) != CLI_OK) return code;
    (t->a->selection.json ? print_json_begin : print_begin)(t, loaded);
    progress_start(&t->bar, "tuning");
    while (t->shape < shapes->count && code == CLI_OK && !cli_interrupted()) {
        outcome o = { .shape = &shapes->items[t->shape],
                      .chosen = QMM_MATMUL_PLAN_INFO_INIT,
                      .usual = QMM_MATMUL_PLAN_INFO_INIT };
        tune_shape(t, &o);
        code = finish_shape(t, &o);
        cli_candidates_free(&o.tried);
        t->shape++;
    }
    progress_end(&t->bar);
    print_end(t);
    if (code == CLI_OK && t->shape < shapes->count)
        return cli_error(CLI_FAILED, t->command, "interrupted after %d of %d shapes", t->shape, shapes->count);
    if (code == CLI_OK && t->tuned == 0) return cli_error(CLI_FAILED, t->command, "no shape could be tuned");
    return code;
}

static int open_contexts(tuner *t) {
    qmm_context_options options = QMM_CONTEXT_OPTIONS_INIT;
    int code;
    options.tuning_file = "";
    options.profile = 1; /* times from the device itself */
    code = cli_open_with(t->command, t->a->selection.device, &options, &t->context);
    if (code == CLI_OK) code = cli_open_with(t->command, t->a->selection.device, &options, &t->usual);
    return code;
}

static void set_options(tuner *t) {
    const size_t mib = (size_t)1 << 20;
    qmm_device_info info = QMM_DEVICE_INFO_INIT;
    bool is_cpu, cold;
    (void)qmm_context_get_device_info(t->context, &info);
    is_cpu = info.kind == QMM_DEVICE_KIND_CPU;
    cold = t->a->cold < 0 ? !is_cpu : t->a->cold != 0;
    t->options = (qmm_tune_options)QMM_TUNE_OPTIONS_INIT;
    t->options.seconds = t->a->seconds;
    t->options.flush_bytes = cold ? (is_cpu ? 64 : 256) * mib : 0;
    t->candidates = count_candidates(t->context);
}

static int run(const char *command, const arguments *a) {
    tuner t = { .command = command, .a = a };
    int code;
    cli_hold_interrupts(); /* before the contexts make threads, which have it from here */
    code = open_contexts(&t);
    if (code == CLI_OK) code = cli_selection_check(command, t.context, &a->selection);
    if (code == CLI_OK) {
        set_options(&t);
        code = tune_all(&t);
    }
    qmm_context_close(t.usual);
    qmm_context_close(t.context);
    return code;
}

/* ---- arguments --------------------------------------------------------------------------------------------------- */

enum { OUTPUT = 1, SECONDS, CACHE };

static int read_option(const char *command, int option, const char *text, arguments *a) {
    static const cli_word caches[] = { { "cold", 1 }, { "warm", 0 }, { NULL, 0 } };
    switch (option) {
    case OUTPUT:
        a->output = text;
        return *text ? CLI_OK : cli_error(CLI_USAGE, command, "--output is empty");
    case SECONDS:
        if (cli_read_double(text, 1e-6, 3600.0, &a->seconds)) return CLI_OK;
        return cli_error(CLI_USAGE, command, "--seconds '%.60s' is not a number within 0.000001..3600", text);
    case CACHE: return cli_read_word(command, "--cache", text, caches, &a->cold);
    default: return cli_selection_option(command, option, text, &a->selection);
    }
}

static int read_arguments(int argc, char **argv, arguments *a) {
    static const struct option options[] = { CLI_SELECTION_OPTIONS,
                                             { "output", required_argument, NULL, OUTPUT },
                                             { "seconds", required_argument, NULL, SECONDS },
                                             { "cache", required_argument, NULL, CACHE },
                                             { "help", no_argument, NULL, 'h' },
                                             { NULL, 0, NULL, 0 } };
    int option, code = CLI_OK;
    opterr = 0;
    while (code == CLI_OK && (option = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
        if (option == ':' || option == '?') return cli_bad_option(argv[0], option, argv);
        if ((a->help = option == 'h') != false) return CLI_OK;
        code = read_option(argv[0], option, optarg, a);
    }
    if (code != CLI_OK) return code;
    if (optind < argc) return cli_error(CLI_USAGE, argv[0], "unexpected argument '%s'", argv[optind]);
    return cli_selection_read(argv[0], &a->selection);
}

int cmd_tune(int argc, char **argv) {
    arguments a = { .selection = CLI_SELECTION_INIT, .output = DEFAULT_FILE, .seconds = 0.05, .cold = -1 };
    int code = read_arguments(argc, argv, &a);
    if (code == CLI_OK && a.help) {
        fputs(help, stdout);
        return CLI_OK;
    }
    if (code == CLI_OK) code = run(argv[0], &a);
    cli_selection_free(&a.selection);
    return code;
}
