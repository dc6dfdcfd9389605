/* SPDX-License-Identifier: Apache-2.0
 *
 * Plans from options, and the presets: the tables below. */
#include "plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

static const char *const operation_names[BENCH_OPERATIONS] = {
    "copy", "call", "matmul", "tokens", "quantize", "quantize_dynamic", "dequantize", "requantize", "find_range",
};

const char *bench_operation_name(bench_operation operation) {
    return operation_names[operation];
}

double bench_matmul_operations(const cli_shape *s) {
    return 2.0 * (double)s->m * (double)s->n * (double)s->k * (double)s->batch;
}

/* ---- presets ----------------------------------------------------------------------------------------------------- */

/* Cases: shapes and M of a matmul; sizes and conversions of the others. */
typedef struct line {
    bench_operation operation;
    const cli_call *call;
    const char *sizes, *with;
} line;

typedef struct section {
    const line *lines;
    int count;
} section;

enum { SECTIONS = 3 };

typedef struct preset {
    const char *name, *what;
    const char *kernels; /* as of --kernel */
    section sections[SECTIONS];
} preset;

static const cli_call packed_f16 = { .a = QMM_S8,
                                     .b = QMM_S8,
                                     .c = QMM_F16,
                                     .scales_by_row = true,
                                     .scales_by_column = true,
                                     .packed = true,
                                     .transpose_b = true };
static const cli_call packed_s4 = { .a = QMM_S8,
                                    .b = QMM_S4,
                                    .c = QMM_F16,
                                    .scales_by_row = true,
                                    .group = 128,
                                    .packed = true,
                                    .transpose_b = true };
static const cli_call plain_f16 = {
    .a = QMM_S8, .b = QMM_S8, .c = QMM_F16, .scales_by_row = true, .scales_by_column = true
};
static const cli_call columns_f16 = {
    .a = QMM_S8, .b = QMM_S8, .c = QMM_F16, .scales_by_row = true, .scales_by_column = true, .transpose_b = true
};
static const cli_call plain_s32 = { .a = QMM_S8, .b = QMM_S8, .c = QMM_S32 };

#define WORKED_UP "32768x4096"

static const line default_lines[] = {
    { BENCH_COPY, NULL, NULL, NULL },
    { BENCH_CALL, NULL, NULL, NULL },
    { BENCH_MATMUL, &packed_f16, "llama3-8b/o", "1,16,256" },
    { BENCH_TOKENS, &packed_f16, "llama3-8b/o", "1" },
    { BENCH_QUANTIZE, NULL, "4096x4096", "f32:s8:tensor,f16:s8:row" },
    { BENCH_QUANTIZE_DYNAMIC, NULL, "4096x4096", "f16:s8:row" },
    { BENCH_DEQUANTIZE, NULL, "4096x4096", "s8:f32:tensor,s8:f16:row" },
    { BENCH_REQUANTIZE, NULL, "4096x4096", "s32:s8:row" },
    { BENCH_FIND_RANGE, NULL, "4096x4096", "f32" },
};

static const line quick_lines[] = {
    { BENCH_COPY, NULL, NULL, NULL },
    { BENCH_CALL, NULL, NULL, NULL },
    { BENCH_MATMUL, &packed_f16, "256x256x256,1x256x256", NULL },
    { BENCH_QUANTIZE, NULL, "256x1024", "f32:s8:tensor" },
    { BENCH_DEQUANTIZE, NULL, "256x1024", "s8:f32:tensor" },
};

static const line cpu_lines[] = {
    { BENCH_COPY, NULL, NULL, NULL },
    { BENCH_CALL, NULL, NULL, NULL },
    { BENCH_MATMUL, &plain_s32, "1024x1024x1024,4096x4096x4096", NULL },
    { BENCH_MATMUL, &plain_f16, "1024x1024x1024,4096x4096x4096", NULL },
    { BENCH_QUANTIZE, NULL, "16384x4096", "f32:s8:tensor" },
    { BENCH_DEQUANTIZE, NULL, "16384x4096", "s8:f32:tensor" },
};

static const line opencl_lines[] = {
    { BENCH_COPY, NULL, NULL, NULL },
    { BENCH_CALL, NULL, NULL, NULL },
    { BENCH_MATMUL, &plain_s32, "512x512x512,1024x1024x1024,2048x2048x2048", NULL },
    { BENCH_MATMUL, &plain_f16, "512x512x512,1024x1024x1024,2048x2048x2048,1x4096x4096", NULL },
    { BENCH_QUANTIZE, NULL, "16384x4096", "f32:s8:tensor,f32:s8:row,f16:s8:tensor,f16:s8:row" },
    { BENCH_DEQUANTIZE, NULL, "16384x4096", "s8:f32:tensor,s8:f16:tensor" },
    { BENCH_QUANTIZE_DYNAMIC, NULL, "16384x4096", "f32:s8:row,f16:s8:row" },
};

/* For GPUs, in sections whose time may be limited: the most telling cases come first. */
static const line memory_lines[] = {
    { BENCH_COPY, NULL, NULL, NULL },
    { BENCH_CALL, NULL, NULL, NULL },
    { BENCH_QUANTIZE_DYNAMIC, NULL, WORKED_UP, "bf16:s8:row,f16:s8:row,f32:s8:row,bf16:s8:group128" },
    { BENCH_QUANTIZE, NULL, WORKED_UP, "f32:s8:row,bf16:s8:row,f16:s8:row,bf16:s8:group128" },
    { BENCH_DEQUANTIZE, NULL, WORKED_UP, "s8:f16:row,s8:bf16:row,s8:f32:row,s8:f16:group128" },
    { BENCH_FIND_RANGE, NULL, WORKED_UP, "bf16,f16,f32" },
    { BENCH_QUANTIZE_DYNAMIC, NULL, "32768x4095,32767x4097,8192x16384", "bf16:s8:row,f32:s8:row" },
    { BENCH_QUANTIZE, NULL, "32768x4095,32767x4097", "bf16:s8:row,f32:s8:row" },
    { BENCH_DEQUANTIZE, NULL, "32768x4095,32767x4097", "s8:f16:row,s8:f32:row" },
    { BENCH_QUANTIZE_DYNAMIC, NULL, WORKED_UP, "bf16:s8:row:offset1,f32:s8:row:offset1" },
    { BENCH_QUANTIZE, NULL, WORKED_UP, "bf16:s8:row:offset1,f32:s8:row:offset1" },
    { BENCH_DEQUANTIZE, NULL, WORKED_UP, "s8:f16:row:offset1,s8:f32:row:offset1" },
    { BENCH_QUANTIZE_DYNAMIC, NULL, "1x4096", "bf16:s8:row,f16:s8:row" },
    { BENCH_QUANTIZE, NULL, "1x4096", "bf16:s8:row,f32:s8:row" },
    { BENCH_DEQUANTIZE, NULL, "1x4096", "s8:f16:row" },
    { BENCH_QUANTIZE_DYNAMIC, NULL, WORKED_UP,
      "f16:s8:group128,f32:s8:group128,bf16:s8:tensor,bf16:s8:column,bf16:s4:group128" },
    { BENCH_QUANTIZE, NULL, WORKED_UP, "f16:s8:group128,f32:s8:group128,bf16:s8:tensor,bf16:s4:group128" },
    { BENCH_DEQUANTIZE, NULL, WORKED_UP, "s8:f32:group128,s4:bf16:group128,s32:f16:column" },
    { BENCH_REQUANTIZE, NULL, WORKED_UP, "s32:s8:row" },
};

/* Weights of 64 MB and more, then the others. s4 weights matter where memory is the limit, and at the top for
 * comparison. */
#define LAYERS_HEAVY "llama3-70b/o,llama3-8b/gate_up,llama3-70b/down,llama3-70b/gate_up,llama3-70b/qkv"
#define LAYERS_LIGHT "llama3-8b/down,llama3-8b/qkv,llama3-8b/o"
#define FEW_TOKENS "1..16*2"

static const line decode_lines[] = {
    { BENCH_COPY, NULL, NULL, NULL },
    { BENCH_MATMUL, &packed_f16, "llama3-70b/o", "1" },
    { BENCH_MATMUL, &packed_s4, "llama3-70b/o", "1" },
    { BENCH_TOKENS, &packed_f16, "llama3-70b/o,llama3-8b/o", "1,16" },
    { BENCH_TOKENS, &packed_s4, "llama3-70b/o,llama3-8b/o", "1,16" },
    { BENCH_MATMUL, &packed_f16, LAYERS_HEAVY, FEW_TOKENS },
    { BENCH_MATMUL, &packed_s4, LAYERS_HEAVY, FEW_TOKENS },
    { BENCH_MATMUL, &packed_f16, LAYERS_LIGHT, FEW_TOKENS },
    { BENCH_MATMUL, &packed_s4, LAYERS_LIGHT, FEW_TOKENS },
};

#define LAYERS_FIRST "llama3-70b/o,llama3-8b/o,llama3-8b/gate_up"
#define LAYERS_THEN "llama3-8b/down,llama3-8b/qkv,llama3-70b/gate_up,llama3-70b/down,llama3-70b/qkv"
#define MANY_TOKENS "16..8192*2"

static const line gemm_lines[] = {
    { BENCH_COPY, NULL, NULL, NULL },
    { BENCH_MATMUL, &packed_f16, "8192x8192x8192,4096x4096x4096", NULL },
    { BENCH_MATMUL, &columns_f16, "8192x8192x8192,4096x4096x4096", NULL },
    { BENCH_MATMUL, &packed_f16, LAYERS_FIRST, MANY_TOKENS },
    { BENCH_MATMUL, &packed_s4, "llama3-70b/o", "8192" },
    { BENCH_MATMUL, &packed_f16, LAYERS_THEN, MANY_TOKENS },
    { BENCH_MATMUL, &packed_s4, LAYERS_FIRST "," LAYERS_THEN, "32,64,8192" },
    { BENCH_TOKENS, &packed_f16, "llama3-70b/o,llama3-8b/o", "256,8192" },
};

#define LINES(lines) { lines, COUNT(lines) }

static const preset presets[] = {
    { "default", "a layer at three sizes, one conversion of each kind: what runs without a preset", "auto",
      { LINES(default_lines) } },
    { "quick", "tiny shapes: that everything runs", "auto", { LINES(quick_lines) } },
    { "cpu", "matmul of 1024^3 and 4096^3, conversions of 16384 x 4096, a call; every row", "all",
      { LINES(cpu_lines) } },
    { "gpu", "the next three, every row", "all", { LINES(memory_lines), LINES(decode_lines), LINES(gemm_lines) } },
    { "memory", "what memory limits: conversions of 32768 x 4096, odd widths, single tokens, calls; every row", "all",
      { LINES(memory_lines) } },
    { "decode", "the layers of Llama-3 8B and 70B at M = 1 to 16; every row and variant", "variants",
      { LINES(decode_lines) } },
    { "gemm", "8192^3, 4096^3, those layers at M = 16 to 8192; every row and variant", "variants",
      { LINES(gemm_lines) } },
    { "opencl", "matmul of 512^3 to 2048^3, conversions of 16384 x 4096, calls; every row", "all",
      { LINES(opencl_lines) } },
};

static const preset *find_preset(const char *name) {
    for (int i = 0; i < COUNT(presets); i++)
        if (strcmp(presets[i].name, name ? name : "default") == 0) return &presets[i];
    return NULL;
}

const char *bench_preset_kernels(const char *name) {
    const preset *p = find_preset(name);
    return p ? p->kernels : "auto";
}

void bench_presets_list(void) {
    for (int i = 0; i < COUNT(presets); i++) printf("  %-10s %s\n", presets[i].name, presets[i].what);
}

/* ---- words ------------------------------------------------------------------------------------------------------- */

const char *bench_next_word(const char *list, char *word, size_t bytes) {
    const size_t length = strcspn(list, ",");
    snprintf(word, bytes, "%.*s", (int)length, list);
    return list[length] ? list + length + 1 : NULL;
}

int bench_operations_read(const char *command, const char *text, unsigned *operations) {
    static const cli_word words[] = {
        { "copy", BENCH_COPY },
        { "call", BENCH_CALL },
        { "matmul", BENCH_MATMUL },
        { "tokens", BENCH_TOKENS },
        { "quantize", BENCH_QUANTIZE },
        { "quantize_dynamic", BENCH_QUANTIZE_DYNAMIC },
        { "dequantize", BENCH_DEQUANTIZE },
        { "requantize", BENCH_REQUANTIZE },
        { "find_range", BENCH_FIND_RANGE },
        { NULL, 0 },
    };
    char word[64];
    while (text) {
        int value, code;
        text = bench_next_word(text, word, sizeof word);
        if ((code = cli_read_word(command, "--operation", word, words, &value)) != CLI_OK) return code;
        *operations |= 1u << value;
    }
    return CLI_OK;
}

static qmm_type type_of(const char *name) {
    for (int t = QMM_S4; t <= QMM_BF16; t++)
        if (strcmp(qmm_type_name((qmm_type)t), name) == 0) return (qmm_type)t;
    return (qmm_type)0;
}

static bool read_granularity(const char *text, bench_conversion *c) {
    static const struct {
        const char *word;
        qmm_granularity granularity;
    } words[] = { { "tensor", QMM_PER_TENSOR }, { "row", QMM_PER_ROW }, { "column", QMM_PER_COLUMN } };
    for (int i = 0; i < COUNT(words); i++) {
        if (strcmp(words[i].word, text) != 0) continue;
        c->granularity = words[i].granularity;
        return true;
    }
    c->granularity = QMM_PER_ROW_GROUP;
    return strncmp(text, "group", 5) == 0 && cli_read_int(text + 5, 1, INT32_MAX, &c->group);
}

static bool is_real(qmm_type t) {
    return t == QMM_F32 || t == QMM_F16 || t == QMM_BF16;
}

/* Whether the operation converts from and to these; what it cannot do otherwise, the library says. */
static bool suits(bench_operation operation, const bench_conversion *c) {
    switch (operation) {
    case BENCH_QUANTIZE:
    case BENCH_QUANTIZE_DYNAMIC: return is_real(c->from) && c->to && !is_real(c->to) && c->to != QMM_S32;
    case BENCH_DEQUANTIZE: return c->from && !is_real(c->from) && is_real(c->to);
    case BENCH_REQUANTIZE: return c->from && !is_real(c->from) && c->to && !is_real(c->to) && c->to != QMM_S32;
    case BENCH_FIND_RANGE: return is_real(c->from) && !c->to;
    case BENCH_COPY:
    case BENCH_CALL:
    case BENCH_MATMUL:
    case BENCH_TOKENS:
    case BENCH_OPERATIONS: break;
    }
    return false;
}

/* FROM:TO:GRANULARITY[:offsetN]; of a range FROM alone. */
static bool read_conversion(const char *text, bench_conversion *c) {
    char parts[4][24] = { "", "", "tensor", "" };
    *c = (bench_conversion){ .granularity = QMM_PER_TENSOR };
    for (int i = 0; text; i++) {
        const size_t length = strcspn(text, ":");
        if (i == 4 || length == 0 || length >= sizeof parts[0]) return false;
        snprintf(parts[i], sizeof parts[i], "%.*s", (int)length, text);
        text = text[length] ? text + length + 1 : NULL;
    }
    c->from = type_of(parts[0]), c->to = type_of(parts[1]);
    if (!c->from || (parts[1][0] && !c->to) || !read_granularity(parts[2], c)) return false;
    return !parts[3][0] || (strncmp(parts[3], "offset", 6) == 0 && cli_read_int(parts[3] + 6, 0, 4096, &c->offset));
}

static bool read_size(const char *text, cli_shape *shape) {
    const size_t length = strcspn(text, "x");
    char rows[24];
    if (!text[length] || length >= sizeof rows) return false;
    snprintf(rows, sizeof rows, "%.*s", (int)length, text);
    *shape = (cli_shape){ .batch = 1 };
    return cli_read_int(rows, 1, INT32_MAX, &shape->m) && cli_read_int(text + length + 1, 1, INT32_MAX, &shape->n);
}

void bench_conversion_describe(const bench_case *c, char *text, size_t bytes) {
    static const char *const granularities[] = { "tensor", "row", "column", "row and group", "column and group" };
    const bench_conversion *v = &c->conversion;
    size_t length;
    if (c->operation == BENCH_FIND_RANGE) {
        snprintf(text, bytes, "%s, which the host waits for", qmm_type_name(v->from));
        return;
    }
    snprintf(text, bytes, "%s -> %s, scale per %s", qmm_type_name(v->from), qmm_type_name(v->to),
             granularities[v->granularity]);
    length = strlen(text);
    if (v->group > 0) snprintf(text + length, bytes - length, " of %lld", (long long)v->group);
    length = strlen(text);
    if (v->offset > 0) snprintf(text + length, bytes - length, ", %lld elements off", (long long)v->offset);
}

/* ---- the plan ---------------------------------------------------------------------------------------------------- */

static bool same_conversion(const bench_conversion *x, const bench_conversion *y) {
    return x->from == y->from && x->to == y->to && x->granularity == y->granularity && x->group == y->group &&
           x->offset == y->offset;
}

static bool same_call(const cli_call *x, const cli_call *y) {
    return x->a == y->a && x->b == y->b && x->c == y->c && x->scales_by_row == y->scales_by_row &&
           x->scales_by_column == y->scales_by_column && x->group == y->group && x->zeros == y->zeros &&
           x->bias == y->bias && x->residual == y->residual && x->activation == y->activation &&
           x->packed == y->packed && x->transpose_a == y->transpose_a && x->transpose_b == y->transpose_b;
}

static bool is_matmul(bench_operation operation) {
    return operation == BENCH_MATMUL || operation == BENCH_TOKENS;
}

static bool same_case(const bench_case *x, const bench_case *y) {
    return x->operation == y->operation && x->shape.m == y->shape.m && x->shape.n == y->shape.n &&
           x->shape.k == y->shape.k && x->shape.batch == y->shape.batch &&
           same_conversion(&x->conversion, &y->conversion) && same_call(&x->call, &y->call);
}

static int add(const char *command, bench_plan *plan, const bench_case *c) {
    bench_case *items = realloc(plan->items, (size_t)(plan->count + 1) * sizeof *items);
    if (!items) return cli_error(CLI_FAILED, command, "no memory for %d cases", plan->count + 1);
    plan->items = items;
    plan->items[plan->count++] = *c;
    return CLI_OK;
}

/* Sections of a preset overlap, and cut sizes are often equal: those need no name in common. */
static int add_once(const char *command, bench_plan *plan, const bench_case *c, bool tiny) {
    for (int i = 0; i < plan->count; i++)
        if (same_case(&plan->items[i], c) && (tiny || strcmp(plan->items[i].shape.name, c->shape.name) == 0))
            return CLI_OK;
    return add(command, plan, c);
}

static int64_t at_most(int64_t x, int64_t limit) {
    return x < limit ? x : limit;
}

/* Tests want the same paths in a moment: odd widths stay odd, single rows stay single. */
static void cut(bench_case *c) {
    cli_shape *s = &c->shape;
    if (is_matmul(c->operation)) {
        s->m = at_most(s->m, 17), s->n = at_most(s->n, 96), s->k = at_most(s->k, 256);
    } else {
        s->m = at_most(s->m, 3), s->n = at_most(s->n, s->n % 2 ? 129 : 256);
    }
}

/* A line's shapes and M. `once`: leave out what is in the plan. */
static int add_matmuls(const char *command, const line *l, bool tiny, bool once, bench_plan *plan) {
    cli_shapes shapes = { NULL, 0 };
    int64_t *m = NULL;
    int m_count = 0, code = CLI_OK;
    if (l->with) code = cli_numbers_read(command, "--m", l->with, 0, INT32_MAX, &m, &m_count);
    if (code == CLI_OK) code = cli_shapes_read(command, l->sizes, m, m_count, &shapes);
    for (int i = 0; i < shapes.count && code == CLI_OK; i++) {
        bench_case c = { .operation = l->operation, .call = *l->call, .shape = shapes.items[i] };
        if (tiny) cut(&c);
        code = tiny || once ? add_once(command, plan, &c, tiny) : add(command, plan, &c);
    }
    free(m);
    cli_shapes_free(&shapes);
    return code;
}

/* Every conversion at every size. */
static int add_conversions(const char *command, bench_operation operation, const char *sizes, const char *conversions,
                           bool tiny, bench_plan *plan) {
    char size[64], conversion[64];
    int code = CLI_OK;
    for (const char *s = sizes; s && code == CLI_OK;) {
        bench_case c = { .operation = operation };
        s = bench_next_word(s, size, sizeof size);
        if (!read_size(size, &c.shape))
            return cli_error(CLI_USAGE, command, "--size '%s' is not ROWSxCOLS with numbers from 1 to 2147483647",
                             size);
        if (tiny) cut(&c);
        for (const char *v = conversions; v && code == CLI_OK;) {
            v = bench_next_word(v, conversion, sizeof conversion);
            if (!read_conversion(conversion, &c.conversion))
                return cli_error(CLI_USAGE, command,
                                 "--conversion '%s' is not FROM:TO:GRANULARITY[:offsetN], as f32:s8:row", conversion);
            if (suits(operation, &c.conversion)) code = add_once(command, plan, &c, tiny);
        }
    }
    return code;
}

static int add_line(const char *command, const line *l, bool tiny, bench_plan *plan) {
    const bench_case c = { .operation = l->operation, .shape = { .batch = 1 } };
    if (is_matmul(l->operation)) return add_matmuls(command, l, tiny, true, plan);
    return l->sizes ? add_conversions(command, l->operation, l->sizes, l->with, tiny, plan)
                    : add_once(command, plan, &c, tiny);
}

/* A preset's line, with what the options put in its place. */
static int add_wish(const char *command, const bench_wishes *w, const line *l, bool tiny, bench_plan *plan) {
    const bool by_hand = w->sizes || w->conversions;
    if (is_matmul(l->operation) && !w->preset) {
        const line wished = { l->operation, &w->call, w->shapes ? w->shapes : l->sizes,
                              w->m        ? w->m
                              : w->shapes ? NULL
                                          : l->with };
        return add_matmuls(command, &wished, tiny && !w->shapes, false, plan);
    }
    if (!l->sizes || !by_hand) return add_line(command, l, tiny, plan);
    return add_conversions(command, l->operation, w->sizes ? w->sizes : l->sizes,
                           w->conversions ? w->conversions : l->with, tiny && !w->sizes, plan);
}

static int add_section(const char *command, const bench_wishes *w, const section *s, bool tiny, bench_plan *plan) {
    int code = CLI_OK;
    for (int i = 0; i < s->count && code == CLI_OK; i++)
        if (!w->operations || (w->operations >> s->lines[i].operation) % 2)
            code = add_wish(command, w, &s->lines[i], tiny, plan);
    return code;
}

int bench_plan_make(const char *command, const bench_wishes *w, bool tiny, bench_plan *plan) {
    const preset *p = find_preset(w->preset);
    int code = CLI_OK;
    *plan = (bench_plan){ NULL, 0 };
    if (!p) return cli_error(CLI_USAGE, command, "--preset '%s' is not in the list of qmm bench --list", w->preset);
    for (int i = 0; i < SECTIONS && code == CLI_OK; i++) code = add_section(command, w, &p->sections[i], tiny, plan);
    if (code == CLI_OK && plan->count == 0)
        code = cli_error(CLI_USAGE, command, "these options leave nothing to measure");
    if (code != CLI_OK) bench_plan_free(plan);
    return code;
}

void bench_plan_free(bench_plan *plan) {
    free(plan->items);
    *plan = (bench_plan){ NULL, 0 };
}
