/* SPDX-License-Identifier: Apache-2.0
 *
 * qmm explain: which kernel row a matmul would run, and why every other would not. Nothing is run. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "json.h"
#include "selection.h"

static const char help[] =
    "usage: qmm explain --shapes LIST [OPTION ...]\n"
    "       qmm explain --m LIST --n N --k K [OPTION ...]\n\n"
    "Prints for every shape which kernel a matmul would run, its workspace and the time that it expects to take\n"
    "(where the kernel can tell), and why each other kernel would not run; `could` marks those that would do as well.\n"
    "No matmul is run, but packed weights are made, of zeros, because kernels judge them as they are (--plain does\n"
    "without).\n\n" CLI_SELECTION_HELP CLI_CALL_HELP
    "  --tuning FILE      with the choices of this file of qmm tune; without the option, those of the file that\n"
    "                     QMM_TUNING_FILE names, if any\n" CLI_SELECTION_OUTPUT_HELP
    "  -h, --help         this text\n\n"
    "Exit codes: 0 there is a kernel for every shape, 1 not for every, 2 bad usage or file, 3 no such device.\n";

typedef struct arguments {
    cli_selection selection;
    const char *tuning;
    bool help;
} arguments;

/* What is known of one shape. */
typedef struct finding {
    const cli_shape *shape;
    cli_candidates rows;
    qmm_matmul_plan_info plan;
    char problem[1024]; /* why nothing runs; empty: something does */
} finding;

/* ---- finding out ------------------------------------------------------------------------------------------------- */

static void note_row(void *user, const char *kernel, const char *reason) {
    cli_candidates_add(user, kernel, "", 0.0, reason);
}

/* An empty result takes no kernel, though one is named. */
static bool is_empty(const cli_shape *shape) {
    return shape->m == 0 || shape->n == 0;
}

static qmm_status ask(qmm_context *context, const cli_operands *plan, finding *f) {
    const cli_operands_call at = cli_operands_at(plan, 0);
    const qmm_status status = qmm_matmul_explain(context, at.desc, at.a, at.b, at.c, note_row, &f->rows);
    return status == QMM_OK ? qmm_matmul_plan(context, at.desc, at.a, at.b, at.c, &f->plan) : status;
}

/* B and its packed form, both on the device for a moment. */
static bool weights_fit(qmm_context *context, const cli_call *call, const cli_shape *shape, finding *f) {
    const double bytes = (double)shape->n * (double)shape->k * (double)shape->batch;
    return !call->packed || cli_memory_fits(context, 2.0 * bytes, f->problem, sizeof f->problem);
}

/* The first line: a list of every row's refusal follows it, which is printed anyway. */
static void note_problem(finding *f, const char *text) {
    snprintf(f->problem, sizeof f->problem, "%.*s", (int)strcspn(text, "\n"), text);
}

static void look_at(qmm_context *context, const cli_call *call, cli_operands *plan, finding *f) {
    qmm_status status;
    if (is_empty(f->shape)) {
        note_problem(f, "it has no element: nothing is run");
        return;
    }
    if (!weights_fit(context, call, f->shape, f)) return;
    status = cli_operands_plan_packed(context, call, f->shape, plan);
    if (status == QMM_OK) status = ask(context, plan, f);
    if (status == QMM_OK && f->rows.no_memory) status = QMM_OUT_OF_MEMORY;
    if (status != QMM_OK) note_problem(f, cli_why(context, status));
}

/* ---- text -------------------------------------------------------------------------------------------------------- */

static void print_choice(const qmm_matmul_plan_info *p) {
    printf("  runs     %s%s%s%s, workspace %zu bytes", p->kernel, p->variant[0] ? "/" : "", p->variant,
           p->tuned ? " (tuned)" : "", p->workspace_bytes);
    if (p->estimate > 0.0) {
        char text[32];
        cli_seconds_text(p->estimate, text, sizeof text);
        printf(", %s expected", text);
    }
    if (p->tile[0] && !p->variant[0]) printf(", tile %s", p->tile);
    if (p->split_tiles > 0)
        printf(", K of %lld tiles shared by %lld blocks or clusters", (long long)p->split_tiles, (long long)p->split_blocks);
    putchar('\n');
}

static void print_finding(const finding *f) {
    char title[160];
    cli_shape_title(f->shape, title, sizeof title);
    printf("\n%s\n", title);
    if (f->problem[0]) {
        printf("  nothing  %s\n", f->problem);
    } else {
        print_choice(&f->plan);
    }
    for (int i = 0; i < f->rows.count; i++) {
        const cli_candidate *row = &f->rows.items[i];
        const bool could = row->reason[0] == '\0';
        if (strcmp(row->kernel, f->plan.kernel) == 0) continue;
        printf("  %s  %s%s%s\n", could ? "could  " : "not    ", row->kernel, could ? "" : ": ", row->reason);
    }
}

static void print_heading(qmm_context *context, const cli_call *call) {
    char text[256];
    qmm_device_info info = QMM_DEVICE_INFO_INIT;
    const int choices = qmm_tuning_count(context);
    (void)qmm_context_get_device_info(context, &info);
    cli_call_describe(call, text, sizeof text);
    printf("device  %s: %s\ncall    %s\ntuning  %d choice%s\n", info.name, info.description, text, choices,
           choices == 1 ? "" : "s");
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

static void print_json_rows(const cli_candidates *rows) {
    fputs("\"rows\": [", stdout);
    for (int i = 0; i < rows->count; i++) {
        fputs(i ? ", {" : "{", stdout);
        json_print_member(stdout, "kernel", rows->items[i].kernel);
        fputs(", ", stdout);
        if (rows->items[i].reason[0]) {
            json_print_member(stdout, "reason", rows->items[i].reason);
        } else {
            fputs("\"reason\": null", stdout);
        }
        putchar('}');
    }
    putchar(']');
}

static void print_json_choice(const qmm_matmul_plan_info *p) {
    json_print_member(stdout, "kernel", p->kernel);
    fputs(", ", stdout);
    json_print_member(stdout, "variant", p->variant);
    printf(", \"tuned\": %s, \"workspace_bytes\": %zu", p->tuned ? "true" : "false", p->workspace_bytes);
    fputs(", \"estimate\": ", stdout);
    if (p->estimate > 0.0) {
        json_print_number(stdout, p->estimate);
    } else {
        fputs("null", stdout);
    }
    fputs(", ", stdout);
    json_print_member(stdout, "tile", p->tile);
    printf(", \"split_tiles\": %lld, \"split_blocks\": %lld", (long long)p->split_tiles, (long long)p->split_blocks);
    fputs(", \"problem\": null, ", stdout);
}

static void print_json_finding(const finding *f) {
    fputs("    {", stdout);
    cli_json_shape(f->shape);
    fputs(", ", stdout);
    if (f->problem[0]) {
        fputs("\"kernel\": null, \"variant\": null, \"tuned\": false, ", stdout);
        fputs("\"workspace_bytes\": null, \"estimate\": null, \"tile\": null, ", stdout);
        fputs("\"split_tiles\": null, \"split_blocks\": null, ", stdout);
        json_print_member(stdout, "problem", f->problem);
        fputs(", ", stdout);
    } else {
        print_json_choice(&f->plan);
    }
    print_json_rows(&f->rows);
    putchar('}');
}

/* ---- all shapes -------------------------------------------------------------------------------------------------- */

static int explain_all(qmm_context *context, const cli_selection *s) {
    cli_operands plan = { .copies = 0 };
    int without = 0;
    if (s->json) {
        cli_json_begin("explain", context, &s->call);
        printf("  \"choices\": %d,\n  \"shapes\": [\n", qmm_tuning_count(context));
    } else {
        print_heading(context, &s->call);
    }
    for (int i = 0; i < s->shapes.count; i++) {
        finding f = { .shape = &s->shapes.items[i], .plan = QMM_MATMUL_PLAN_INFO_INIT };
        if (i > 0 && s->json) fputs(",\n", stdout);
        look_at(context, &s->call, &plan, &f);
        (s->json ? print_json_finding : print_finding)(&f);
        if (f.problem[0] && !is_empty(f.shape)) without++;
        cli_candidates_free(&f.rows);
    }
    if (s->json) fputs("\n  ]\n}\n", stdout);
    cli_operands_free(&plan);
    return without ? CLI_FAILED : CLI_OK;
}

/* Errors come back from the calls, too. */
static void print_warning(void *user, qmm_log_level level, const char *line) {
    if (level == QMM_LOG_WARNING) cli_error(CLI_OK, user, "%s", line);
}

/* With --tuning a file that cannot be used is an error; what QMM_TUNING_FILE names is passed over with a line. */
static int open_context(char *command, const arguments *a, qmm_context **context) {
    qmm_context_options options = QMM_CONTEXT_OPTIONS_INIT;
    int code;
    options.tuning_file = a->tuning ? "" : NULL;
    options.log = print_warning;
    options.log_user = command;
    options.log_level = QMM_LOG_WARNING;
    if ((code = cli_open_with(command, a->selection.device, &options, context)) != CLI_OK) return code;
    if (!a->tuning || qmm_tuning_load(*context, a->tuning) == QMM_OK) return CLI_OK;
    code = cli_qmm_error(command, *context);
    qmm_context_close(*context);
    *context = NULL;
    return code;
}

static int read_arguments(int argc, char **argv, arguments *a) {
    enum { TUNING = 1 };
    static const struct option options[] = { CLI_SELECTION_OPTIONS,
                                             { "tuning", required_argument, NULL, TUNING },
                                             { "help", no_argument, NULL, 'h' },
                                             { NULL, 0, NULL, 0 } };
    int option, code = CLI_OK;
    opterr = 0;
    while (code == CLI_OK && (option = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
        switch (option) {
        case TUNING: a->tuning = optarg; break;
        case 'h': a->help = true; return CLI_OK;
        case ':':
        case '?': return cli_bad_option(argv[0], option, argv);
        default: code = cli_selection_option(argv[0], option, optarg, &a->selection); break;
        }
    }
    if (code != CLI_OK) return code;
    if (optind < argc) return cli_error(CLI_USAGE, argv[0], "unexpected argument '%s'", argv[optind]);
    return cli_selection_read(argv[0], &a->selection);
}

int cmd_explain(int argc, char **argv) {
    arguments a = { .selection = CLI_SELECTION_INIT };
    qmm_context *context = NULL;
    int code = read_arguments(argc, argv, &a);
    if (code == CLI_OK && a.help) {
        fputs(help, stdout);
        return CLI_OK;
    }
    if (code == CLI_OK) code = open_context(argv[0], &a, &context);
    if (code == CLI_OK) code = cli_selection_check(argv[0], context, &a.selection);
    if (code == CLI_OK) code = explain_all(context, &a.selection);
    qmm_context_close(context);
    cli_selection_free(&a.selection);
    return code;
}
