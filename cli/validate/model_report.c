/* SPDX-License-Identifier: Apache-2.0 */
#include "model.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "json.h"
#include "text.h"

static const char *const outcome_names[] = { "not_run", "passed", "failed", "refused" };

model_totals model_count(const model *m) {
    model_totals t = { 0 };
    for (size_t i = 0; i < m->count; i++) {
        const model_matrix *x = &m->items[i];
        t.outcomes[x->outcome]++;
        t.seconds += x->seconds;
        if (x->outcome != MODEL_PASSED && x->outcome != MODEL_FAILED) continue;
        t.parameters += x->n * x->k;
        if (!t.worst_weights || x->weights_db < t.worst_weights->weights_db) t.worst_weights = x;
        if (!t.worst_product || x->product_db < t.worst_product->product_db) t.worst_product = x;
    }
    return t;
}

bool model_is_right(const model *m) {
    const model_totals t = model_count(m);
    return t.outcomes[MODEL_FAILED] == 0 && t.outcomes[MODEL_NOT_RUN] == 0 && t.outcomes[MODEL_PASSED] > 0;
}

/* A name may hold anything that UTF-8 can; a table has one line for it. */
static void print_name(const char *name, int width) {
    for (int length = text_print(stdout, name); length < width; length++) putchar(' ');
}

static int name_width(const model *m) {
    size_t width = 6;
    for (size_t i = 0; i < m->count; i++)
        if (strlen(m->items[i].name) > width) width = strlen(m->items[i].name);
    return width > 64 ? 64 : (int)width;
}

static void print_left_out(const model_left_out *l) {
    const struct { int64_t count; const char *what; } parts[] = {
        { l->vectors, "of fewer than 2 dimensions" }, { l->other_dims, "of more than 2 dimensions" },
        { l->not_real, "not of F32, F16 or BF16" },   { l->empty, "without elements" },
        { l->not_matched, "not matched" },
    };
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (parts[i].count > 0) printf("left out: %" PRId64 " tensors %s\n", parts[i].count, parts[i].what);
}

static void print_worst(const char *what, const model_matrix *x, double db) {
    printf("worst %s: %.2f dB, ", what, db);
    print_name(x->name, 0);
    putchar('\n');
}

static void print_text(const model *m) {
    const int width = name_width(m);
    const model_totals t = model_count(m);
    printf("%-*s  %-5s %13s %11s %11s  %-9s  %-9s %8s  %s\n", width, "MATRIX", "DTYPE", "N x K", "WEIGHTS DB",
           "PRODUCT DB", "COSINE", "CHECKED", "SECONDS", "RESULT");
    for (size_t i = 0; i < m->count; i++) {
        const model_matrix *x = &m->items[i];
        char shape[48];
        snprintf(shape, sizeof shape, "%" PRId64 " x %" PRId64, x->n, x->k);
        print_name(x->name, width);
        printf("  %-5s %13s ", x->dtype, shape);
        if (x->outcome == MODEL_REFUSED) {
            printf("%-52s  REFUSED: ", "");
            print_name(x->reason, 0);
            putchar('\n');
            continue;
        }
        printf("%11.2f %11.2f  %.7f  %-9s %8.3f  %s%s\n", x->weights_db, x->product_db, x->cosine,
               x->exact ? "exact" : "freivalds", x->seconds, x->outcome == MODEL_PASSED ? "PASSED" : "FAILED: ",
               x->reason);
    }
    printf("\n%" PRId64 " passed, %" PRId64 " failed, %" PRId64 " refused; %" PRId64 " parameters, %.2f s\n",
           t.outcomes[MODEL_PASSED], t.outcomes[MODEL_FAILED], t.outcomes[MODEL_REFUSED], t.parameters, t.seconds);
    if (t.worst_weights) print_worst("weights", t.worst_weights, t.worst_weights->weights_db);
    if (t.worst_product) print_worst("product", t.worst_product, t.worst_product->product_db);
    print_left_out(&m->left);
}

static void print_json_number(const char *name, double value) {
    printf(", \"%s\": ", name);
    json_print_number(stdout, value);
}

static void print_json_matrix(const model_matrix *x, bool list) {
    fputs("{", stdout);
    json_print_member(stdout, "name", x->name);
    printf(", \"dtype\": \"%s\", \"n\": %" PRId64 ", \"k\": %" PRId64, x->dtype, x->n, x->k);
    if (!list) {
        printf(", \"result\": \"%s\", ", outcome_names[x->outcome]);
        json_print_member(stdout, "reason", x->reason);
    }
    if (!list && x->outcome != MODEL_REFUSED) {
        printf(", \"checked\": \"%s\"", x->exact ? "exact" : "freivalds");
        print_json_number("weights_db", x->weights_db);
        print_json_number("product_db", x->product_db);
        print_json_number("cosine", x->cosine);
        print_json_number("seconds", x->seconds);
    }
    putchar('}');
}

static void print_json_head(const model_arguments *a, const model *m) {
    fputs("{\n  ", stdout);
    json_print_head(stdout, "validate", a->list ? NULL : &m->device);
    fputs(",\n  \"mode\": \"weights\",\n  ", stdout);
    json_print_member(stdout, "weights", a->weights);
    printf(",\n  \"type\": \"%s\",\n  \"granularity\": \"%s\",\n  \"group\": %" PRId64 ",\n  \"m\": %" PRId64
           ",\n  \"seed\": %" PRId64,
           qmm_type_name((qmm_type)a->type), a->per_tensor ? "tensor" : a->group ? "group" : "column", a->group, a->m,
           a->seed);
    if (!a->list) printf(",\n  \"result\": \"%s\"", outcome_names[model_is_right(m) ? MODEL_PASSED : MODEL_FAILED]);
}

static void print_json(const model_arguments *a, const model *m) {
    const model_totals t = model_count(m);
    const model_left_out *l = &m->left;
    print_json_head(a, m);
    fputs(",\n  \"matrices\": [", stdout);
    for (size_t i = 0; i < m->count; i++) {
        fputs(i ? ",\n    " : "\n    ", stdout);
        print_json_matrix(&m->items[i], a->list);
    }
    printf("\n  ],\n  \"left_out\": {\"vectors\": %" PRId64 ", \"other_dimensions\": %" PRId64
           ", \"not_real\": %" PRId64 ", \"empty\": %" PRId64 ", \"not_matched\": %" PRId64 "}",
           l->vectors, l->other_dims, l->not_real, l->empty, l->not_matched);
    if (!a->list)
        printf(",\n  \"passed\": %" PRId64 ",\n  \"failed\": %" PRId64 ",\n  \"refused\": %" PRId64
               ",\n  \"parameters\": %" PRId64 ",\n  \"seconds\": %.6f",
               t.outcomes[MODEL_PASSED], t.outcomes[MODEL_FAILED], t.outcomes[MODEL_REFUSED], t.parameters, t.seconds);
    puts("\n}");
}

static void print_csv(const model_arguments *a, const model *m) {
    puts(a->list ? "name,dtype,n,k"
                 : "name,dtype,n,k,result,checked,weights_db,product_db,cosine,seconds,reason");
    for (size_t i = 0; i < m->count; i++) {
        const model_matrix *x = &m->items[i];
        text_print_cell(stdout, x->name);
        printf(",%s,%" PRId64 ",%" PRId64, x->dtype, x->n, x->k);
        if (!a->list && x->outcome == MODEL_REFUSED) printf(",refused,,,,,%.6f,", x->seconds);
        if (!a->list && x->outcome != MODEL_REFUSED)
            printf(",%s,%s,%.4f,%.4f,%.9f,%.6f,", outcome_names[x->outcome], x->exact ? "exact" : "freivalds",
                   x->weights_db, x->product_db, x->cosine, x->seconds);
        if (!a->list) text_print_cell(stdout, x->reason);
        putchar('\n');
    }
}

static void print_list(const model *m) {
    const int width = name_width(m);
    int64_t parameters = 0;
    printf("%-*s  %-5s %13s\n", width, "MATRIX", "DTYPE", "N x K");
    for (size_t i = 0; i < m->count; i++) {
        const model_matrix *x = &m->items[i];
        char shape[48];
        snprintf(shape, sizeof shape, "%" PRId64 " x %" PRId64, x->n, x->k);
        print_name(x->name, width);
        printf("  %-5s %13s\n", x->dtype, shape);
        parameters += x->n * x->k;
    }
    printf("\n%zu matrices, %" PRId64 " parameters\n", m->count, parameters);
    print_left_out(&m->left);
}

void model_report(const model_arguments *a, const model *m) {
    switch ((model_format)a->format) {
    case MODEL_TEXT: (a->list ? print_list : print_text)(m); break;
    case MODEL_JSON: print_json(a, m); break;
    case MODEL_CSV: print_csv(a, m); break;
    }
}
