/* SPDX-License-Identifier: Apache-2.0 */
#include "session.h"

#include <string.h>

#include "cli.h"

bool bench_is_fatal(qmm_status status) {
    return status == QMM_DEVICE_FAILED || status == QMM_INTERNAL || status == QMM_NO_DEVICE;
}

bench_row bench_row_of(const bench_case *c, const char *who, const char *what) {
    bench_row row = { .operation = c->operation, .shape = c->shape, .verified = "no" };
    snprintf(row.who, sizeof row.who, "%s", who);
    snprintf(row.what, sizeof row.what, "%s", what);
    return row;
}

/* A reason is a cell of a table. */
static void copy_line(char *to, size_t bytes, const char *from) {
    snprintf(to, bytes, "%s", from);
    for (; *to; to++)
        if ((unsigned char)*to < 0x20 || *to == '|') *to = ' ';
}

void bench_skip_case(bench_session *s, const bench_case *c, const char *who, const char *kernel, const char *what,
                     const char *reason) {
    bench_skip skip = { .operation = c->operation, .shape = c->shape };
    snprintf(skip.who, sizeof skip.who, "%s", who);
    snprintf(skip.kernel, sizeof skip.kernel, "%s", kernel);
    snprintf(skip.what, sizeof skip.what, "%s", what);
    copy_line(skip.reason, sizeof skip.reason, reason);
    bench_report_skip(&s->report, &skip);
}

void bench_skip_once(bench_session *s, const bench_case *c, const char *who, const char *kernel, const char *what,
                     const char *reason) {
    bench_report *const r = &s->report;
    const int before = r->skipped_count;
    bench_skip_case(s, c, who, kernel, what, reason);
    for (int i = 0; i < before && r->skipped_count > before; i++) {
        const bench_skip *seen = &r->skipped[i], *last = &r->skipped[before];
        if (seen->operation == last->operation && strcmp(seen->kernel, last->kernel) == 0 &&
            strcmp(seen->what, last->what) == 0 && strcmp(seen->reason, last->reason) == 0)
            r->skipped_count = before;
    }
}

/* ---- candidates -------------------------------------------------------------------------------------------------- */

/* "cpu:matmul:onednn" is of matmul. */
static bool is_row_of(const char *kernel, bench_operation operation) {
    const char *const name = bench_operation_name(operation), *const colon = strchr(kernel, ':');
    const size_t length = strlen(name);
    return colon && strncmp(colon + 1, name, length) == 0 && colon[1 + length] == ':';
}

const char *bench_only_row(const bench_session *s, bench_operation operation) {
    const char *only = "";
    for (int i = 0; i < qmm_kernel_count(s->device.context); i++) {
        const char *const kernel = qmm_kernel_name(s->device.context, i);
        if (!is_row_of(kernel, operation)) continue;
        if (only[0]) return "";
        only = kernel;
    }
    return only;
}

typedef struct collector {
    bench_candidate *list;
    int count;
} collector;

static void collect(collector *to, const char *kernel, const char *variant, bool named) {
    bench_candidate c = { .named = named };
    if (to->count == BENCH_CANDIDATES) return;
    snprintf(c.kernel, sizeof c.kernel, "%s", kernel);
    snprintf(c.variant, sizeof c.variant, "%s", variant);
    snprintf(c.force, sizeof c.force, "%s%s%s", kernel, variant[0] ? "/" : "", variant);
    for (int i = 0; i < to->count; i++)
        if (strcmp(to->list[i].kernel, c.kernel) == 0 && strcmp(to->list[i].variant, c.variant) == 0) return;
    to->list[to->count++] = c;
}

static void collect_all(const bench_session *s, bench_operation operation, bool variants, collector *to) {
    qmm_context *const context = s->device.context;
    for (int i = 0; i < qmm_kernel_count(context); i++) {
        const char *const kernel = qmm_kernel_name(context, i);
        if (!is_row_of(kernel, operation)) continue;
        collect(to, kernel, "", false);
        for (int v = 0; variants && qmm_kernel_variant_name(context, i, v)[0]; v++)
            collect(to, kernel, qmm_kernel_variant_name(context, i, v), false);
    }
}

/* The next of names with commas between, as ROW and VARIANT. */
static const char *next_name(const char *list, char *kernel, size_t kernel_bytes, char *variant, size_t variant_bytes) {
    char name[100];
    const char *const rest = bench_next_word(list, name, sizeof name);
    char *const slash = strchr(name, '/');
    if (slash) *slash = '\0';
    snprintf(kernel, kernel_bytes, "%.*s", (int)kernel_bytes - 1, name);
    snprintf(variant, variant_bytes, "%.*s", (int)variant_bytes - 1, slash ? slash + 1 : "");
    return rest;
}

static void collect_named(const bench_session *s, bench_operation operation, collector *to) {
    char kernel[64], variant[32];
    for (const char *names = s->kernels; names;) {
        names = next_name(names, kernel, sizeof kernel, variant, sizeof variant);
        if (is_row_of(kernel, operation)) collect(to, kernel, variant, true);
    }
}

int bench_candidates(const bench_session *s, bench_operation operation, const bench_candidate *chosen,
                     bench_candidate *list) {
    const bool automatic = strcmp(s->kernels, "auto") == 0, all = strcmp(s->kernels, "all") == 0;
    const bool variants = strcmp(s->kernels, "variants") == 0;
    collector to = { list, 0 };
    if (automatic || all || variants) {
        if (chosen) list[to.count++] = *chosen;
        if (!automatic) collect_all(s, operation, variants, &to);
    } else {
        collect_named(s, operation, &to);
    }
    return to.count;
}

int bench_kernels_check(const bench_session *s) {
    qmm_context *const context = s->device.context;
    char kernel[64], variant[32], name[100];
    if (strcmp(s->kernels, "auto") == 0 || strcmp(s->kernels, "all") == 0 || strcmp(s->kernels, "variants") == 0)
        return CLI_OK;
    for (const char *names = s->kernels; names;) {
        names = next_name(names, kernel, sizeof kernel, variant, sizeof variant);
        snprintf(name, sizeof name, "%s%s%s", kernel, variant[0] ? "/" : "", variant);
        if (qmm_kernel_force(context, name) != QMM_OK)
            return cli_error(CLI_USAGE, s->command, "--kernel '%s' is no kernel of %s; see qmm bench --list", name,
                             s->device.info.name);
    }
    (void)qmm_kernel_force(context, NULL);
    return CLI_OK;
}
