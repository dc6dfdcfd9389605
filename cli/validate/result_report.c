/* SPDX-License-Identifier: Apache-2.0 */
#include "result.h"

#include <inttypes.h>
#include <stdio.h>

#include "json.h"

typedef struct report {
    const result_arguments *a;
    const result_sizes *z;
    const result_verdict *v;
} report;

bool result_is_right(const result_verdict *verdict) {
    return verdict->exact ? verdict->found.wrong == 0 : verdict->verified.passed != 0;
}

/* ---- text -------------------------------------------------------------------------------------------------------- */

static bool is_transposed(const result_arguments *a, result_name operand) {
    return operand == RESULT_A ? a->transpose_a : operand == RESULT_B && a->transpose_b;
}

static void print_operand(const report *r, const char *name, result_name operand) {
    const result_shape s = result_shape_of(&r->a->inputs[operand].array);
    printf("%-9s  %s: %s, ", name, r->a->inputs[operand].text, qmm_type_name(result_type_of(r->a, operand)));
    if (s.batch != 1) printf("%" PRId64 " of ", s.batch);
    printf("%" PRId64 " x %" PRId64 "%s\n", s.rows, s.cols, is_transposed(r->a, operand) ? ", transposed" : "");
}

static void print_place(const report *r, const difference_place *p) {
    if (r->z->batch > 1) {
        printf("C[%" PRId64 ", %" PRId64 ", %" PRId64 "]", p->batch, p->row, p->col);
    } else {
        printf("C[%" PRId64 ", %" PRId64 "]", p->row, p->col);
    }
    printf(": expected %.9g, got %.9g\n", p->expected, p->got);
}

static void print_differences(const report *r, const difference *d) {
    printf("largest    difference %.9g", d->largest);
    if (d->steps > 0) printf(", %" PRId64 " steps of %s", d->steps, qmm_type_name(result_type_of(r->a, RESULT_C)));
    putchar('\n');
    for (int i = 0; i < d->place_count; i++) {
        fputs(i ? "           " : "first      ", stdout);
        print_place(r, &d->places[i]);
    }
    for (int i = 0; i < d->pattern_count; i++)
        printf("%s%s%s\n", i ? "           " : "pattern    ", r->v->exact ? "" : "in that row, ", d->patterns[i]);
}

static void print_found(const report *r) {
    const difference *d = &r->v->found;
    printf("checked    element by element, against the cpu's reference row; %.3f s\n", r->v->seconds);
    printf("wrong      %" PRId64 " of %" PRId64 " elements, in %" PRId64 " of %" PRId64 " rows and %" PRId64
           " of %" PRId64 " columns\n",
           d->wrong, d->count, d->wrong_rows, d->rows, d->wrong_columns, d->columns);
    if (d->wrong > 0) print_differences(r, d);
}

static void print_verified(const report *r) {
    const qmm_verify_result *v = &r->v->verified;
    const difference *d = &r->v->found;
    printf("checked    by qmm_verify_matmul (Freivalds, %d round%s, seed %" PRId64 "); %.3f s\n", (int)v->rounds,
           v->rounds == 1 ? "" : "s", r->a->seed, r->v->seconds);
    printf("wrong      %" PRId64 " of %" PRId64 " rows", v->wrong_rows, r->z->batch * r->z->m);
    if (!v->passed)
        printf("; in the first, row %" PRId64 " of matrix %" PRId64 ", %" PRId64 " of %" PRId64 " elements", v->row,
               v->batch, d->wrong, d->count);
    putchar('\n');
    if (!v->passed) print_differences(r, d);
}

static void print_text(const report *r) {
    print_operand(r, "A", RESULT_A);
    print_operand(r, "B", RESULT_B);
    print_operand(r, "C", RESULT_C);
    (r->v->exact ? print_found : print_verified)(r);
    puts(result_is_right(r->v) ? "PASSED" : "FAILED");
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

static void print_json_differences(const difference *d, bool exact) {
    fputs("  \"largest\": ", stdout);
    json_print_number(stdout, d->largest);
    printf(",\n  \"steps\": %" PRId64 ",\n  \"first\": [", d->steps);
    for (int i = 0; i < d->place_count; i++) {
        const difference_place *p = &d->places[i];
        printf("%s\n    {\"batch\": %" PRId64 ", \"row\": %" PRId64 ", \"column\": %" PRId64 ", \"expected\": ",
               i ? "," : "", p->batch, p->row, p->col);
        json_print_number(stdout, p->expected);
        fputs(", \"got\": ", stdout);
        json_print_number(stdout, p->got);
        putchar('}');
    }
    printf("%s],\n  \"%s\": [", d->place_count ? "\n  " : "", exact ? "patterns" : "patterns_in_first_row");
    for (int i = 0; i < d->pattern_count; i++) {
        fputs(i ? ",\n    " : "\n    ", stdout);
        json_print_string(stdout, d->patterns[i]);
    }
    printf("%s]\n", d->pattern_count ? "\n  " : "");
}

static void print_json_counts(const result_verdict *v) {
    if (v->exact) {
        printf("  \"elements\": %" PRId64 ",\n  \"wrong\": %" PRId64 ",\n  \"wrong_rows\": %" PRId64
               ",\n  \"wrong_columns\": %" PRId64 ",\n",
               v->found.count, v->found.wrong, v->found.wrong_rows, v->found.wrong_columns);
    } else {
        printf("  \"rounds\": %d,\n  \"wrong_rows\": %" PRId64 ",\n  \"wrong_in_first_row\": %" PRId64 ",\n",
               (int)v->verified.rounds, v->verified.wrong_rows, v->found.wrong);
    }
}

static void print_json(const report *r) {
    fputs("{\n  ", stdout);
    json_print_head(stdout, "validate", &r->v->device);
    printf(",\n  \"mode\": \"result\",\n  \"result\": \"%s\",\n", result_is_right(r->v) ? "passed" : "failed");
    printf("  \"m\": %" PRId64 ", \"n\": %" PRId64 ", \"k\": %" PRId64 ", \"batch\": %" PRId64 ",\n", r->z->m,
           r->z->n, r->z->k, r->z->batch);
    printf("  \"types\": [\"%s\", \"%s\", \"%s\"],\n  \"checked\": \"%s\",\n  \"seconds\": %.6f,\n",
           qmm_type_name(result_type_of(r->a, RESULT_A)), qmm_type_name(result_type_of(r->a, RESULT_B)),
           qmm_type_name(result_type_of(r->a, RESULT_C)), r->v->exact ? "exact" : "freivalds", r->v->seconds);
    print_json_counts(r->v);
    print_json_differences(&r->v->found, r->v->exact);
    puts("}");
}

void result_report(const result_arguments *a, const result_sizes *z, const result_verdict *verdict) {
    const report r = { a, z, verdict };
    (a->json ? print_json : print_text)(&r);
}
