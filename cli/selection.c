/* SPDX-License-Identifier: Apache-2.0 */
#include "selection.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "host_memory.h"
#include "json.h"

/* ---- options ----------------------------------------------------------------------------------------------------- */

int cli_selection_option(const char *command, int option, const char *text, cli_selection *selection) {
    static const cli_word formats[] = { { "text", 0 }, { "json", 1 }, { NULL, 0 } };
    int json = 0, code;
    switch (option) {
    case CLI_SELECTION_DEVICE: selection->device = text; break;
    case CLI_SELECTION_SHAPES: selection->shapes_text = text; break;
    case CLI_SELECTION_M: selection->m = text; break;
    case CLI_SELECTION_N: selection->n = text; break;
    case CLI_SELECTION_K: selection->k = text; break;
    case CLI_SELECTION_BATCH: selection->batch = text; break;
    case CLI_SELECTION_FORMAT:
        if ((code = cli_read_word(command, "--format", text, formats, &json)) != CLI_OK) return code;
        selection->json = json != 0;
        break;
    default: return cli_call_option(command, option, text, &selection->call);
    }
    return CLI_OK;
}

static int read_size(const char *command, const char *option, const char *text, int64_t min, int64_t *value) {
    if (!text || cli_read_int(text, min, INT32_MAX, value)) return CLI_OK;
    return cli_error(CLI_USAGE, command, "%s '%.60s' is not a whole number within %" PRId64 "..2147483647", option,
                     text, min);
}

/* --m, --n, --k and --batch: a shape for each M. */
static int read_by_hand(const char *command, const int64_t *m, int count, cli_selection *s) {
    cli_shape shape = { .batch = 1 };
    int code;
    if (!s->m || !s->n || !s->k) return cli_error(CLI_USAGE, command, "--shapes is needed, or --m, --n and --k");
    if ((code = read_size(command, "--n", s->n, 0, &shape.n)) != CLI_OK) return code;
    if ((code = read_size(command, "--k", s->k, 0, &shape.k)) != CLI_OK) return code;
    if ((code = read_size(command, "--batch", s->batch, 1, &shape.batch)) != CLI_OK) return code;
    s->shapes.items = malloc((size_t)count * sizeof shape);
    if (!s->shapes.items) return cli_error(CLI_FAILED, command, "no memory for %d shapes", count);
    for (s->shapes.count = 0; s->shapes.count < count; s->shapes.count++) {
        shape.m = m[s->shapes.count];
        s->shapes.items[s->shapes.count] = shape;
    }
    return CLI_OK;
}

int cli_selection_read(const char *command, cli_selection *s) {
    int64_t *m = NULL;
    int count = 0, code = CLI_OK;
    if (s->shapes_text && (s->n || s->k || s->batch))
        return cli_error(CLI_USAGE, command, "--n, --k and --batch do not go with --shapes");
    if (s->m) code = cli_numbers_read(command, "--m", s->m, 0, INT32_MAX, &m, &count);
    if (code == CLI_OK)
        code = s->shapes_text ? cli_shapes_read(command, s->shapes_text, m, count, &s->shapes)
                              : read_by_hand(command, m, count, s);
    free(m);
    return code;
}

static void ignore_row(void *user, const char *kernel, const char *reason) {
    (void)user, (void)kernel, (void)reason;
}

int cli_selection_check(const char *command, qmm_context *context, const cli_selection *s) {
    for (int i = 0; i < s->shapes.count; i++) {
        char title[160];
        cli_operands plan;
        cli_operands_call at;
        cli_operands_plan(&s->call, &s->shapes.items[i], &plan);
        at = cli_operands_at(&plan, 0);
        if (qmm_matmul_explain(context, at.desc, at.a, at.b, at.c, ignore_row, NULL) != QMM_INVALID_ARGUMENT) continue;
        cli_shape_title(&s->shapes.items[i], title, sizeof title);
        return cli_error(CLI_USAGE, command, "%s: %s", title, qmm_context_error(context));
    }
    return CLI_OK;
}

void cli_selection_free(cli_selection *selection) {
    cli_shapes_free(&selection->shapes);
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

bool cli_memory_fits(qmm_context *context, double bytes, char *reason, size_t reason_bytes) {
    const double mib = 1048576.0;
    qmm_device_info info = QMM_DEVICE_INFO_INIT;
    double available;
    if (qmm_context_get_device_info(context, &info) != QMM_OK) return true; /* the allocation will tell */
    available = info.kind == QMM_DEVICE_KIND_CPU ? 0.9 * cli_memory_available() : (double)info.memory_bytes;
    if (available <= 0.0 || bytes <= available) return true;
    snprintf(reason, reason_bytes, "it takes %.0f MiB of memory, and %.0f MiB are available", bytes / mib,
             available / mib);
    return false;
}

/* ---- candidates -------------------------------------------------------------------------------------------------- */

void cli_candidates_add(cli_candidates *list, const char *kernel, const char *variant, double seconds,
                        const char *reason) {
    cli_candidate *items = realloc(list->items, ((size_t)list->count + 1) * sizeof *items);
    cli_candidate *added;
    if (!items) {
        list->no_memory = true;
        return;
    }
    list->items = items;
    added = &items[list->count++];
    snprintf(added->kernel, sizeof added->kernel, "%s", kernel);
    snprintf(added->variant, sizeof added->variant, "%s", variant);
    added->seconds = seconds;
    snprintf(added->reason, sizeof added->reason, "%s", reason ? reason : "");
}

void cli_candidates_free(cli_candidates *list) {
    free(list->items);
    *list = (cli_candidates){ NULL, 0, false };
}

/* ---- text -------------------------------------------------------------------------------------------------------- */

void cli_seconds_text(double seconds, char *text, size_t bytes) {
    static const struct {
        double seconds;
        const char *name;
    } units[] = { { 1.0, "s" }, { 1e-3, "ms" }, { 1e-6, "us" }, { 1e-9, "ns" } };
    int i = 0;
    while (i < 3 && seconds < units[i].seconds) i++;
    snprintf(text, bytes, "%.3g %s", seconds / units[i].seconds, units[i].name);
}

void cli_shape_title(const cli_shape *shape, char *text, size_t bytes) {
    char sizes[96];
    cli_shape_sizes(shape, sizes, sizeof sizes);
    snprintf(text, bytes, "%s%s%s", shape->name, shape->name[0] ? " " : "", sizes);
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

void cli_json_begin(const char *command, qmm_context *context, const cli_call *call) {
    char text[256];
    qmm_device_info info = QMM_DEVICE_INFO_INIT;
    (void)qmm_context_get_device_info(context, &info);
    cli_call_describe(call, text, sizeof text);
    fputs("{\n  ", stdout);
    json_print_head(stdout, command, &info);
    fputs(",\n  ", stdout);
    json_print_member(stdout, "call", text);
    fputs(",\n", stdout);
}

void cli_json_shape(const cli_shape *shape) {
    char sizes[96];
    cli_shape_sizes(shape, sizes, sizeof sizes);
    json_print_member(stdout, "shape", shape->name[0] ? shape->name : sizes);
    printf(", \"m\": %" PRId64 ", \"n\": %" PRId64 ", \"k\": %" PRId64 ", \"batch\": %" PRId64, shape->m, shape->n,
           shape->k, shape->batch);
}
