/* SPDX-License-Identifier: Apache-2.0
 *
 * What is to be measured: a list of cases, from options or from a preset. */
#ifndef QMM_BENCH_PLAN_H
#define QMM_BENCH_PLAN_H

#include "call.h"

typedef enum bench_operation {
    BENCH_COPY,
    BENCH_CALL,
    BENCH_MATMUL,
    BENCH_TOKENS, /* reals in: A is quantized per row on the device, then multiplied */
    BENCH_QUANTIZE,
    BENCH_QUANTIZE_DYNAMIC,
    BENCH_DEQUANTIZE,
    BENCH_REQUANTIZE,
    BENCH_FIND_RANGE,
    BENCH_OPERATIONS
} bench_operation;

/* As options and figures spell it. */
const char *bench_operation_name(bench_operation operation);

/* Of quantize, quantize_dynamic, dequantize, requantize (from s32) and find_range (which has no `to`). */
typedef struct bench_conversion {
    qmm_type from, to;
    qmm_granularity granularity;
    int64_t group;
    int64_t offset; /* elements from the start of the memory to the first one */
} bench_conversion;

typedef struct bench_case {
    bench_operation operation;
    cli_call call;               /* matmul, tokens */
    cli_shape shape;             /* of the others: m rows, n columns, k 0, batch 1 */
    bench_conversion conversion; /* from quantize on */
} bench_case;

typedef struct bench_plan {
    bench_case *items;
    int count;
} bench_plan;

/* What the options say of it. */
typedef struct bench_wishes {
    unsigned operations; /* a bit for each bench_operation; 0: all */
    cli_call call;
    const char *shapes, *m, *sizes, *conversions, *preset; /* as given; NULL: not */
} bench_wishes;

/* A list of operations to bits. Prints what is wrong, and gives CLI_USAGE. */
int bench_operations_read(const char *command, const char *text, unsigned *operations);

/* Makes the plan; `tiny` cuts the sizes that nobody asked for by hand, for a device that is simulated. Prints what is
 * wrong, and gives an exit code. Free the plan. */
int bench_plan_make(const char *command, const bench_wishes *wishes, bool tiny, bench_plan *plan);
void bench_plan_free(bench_plan *plan);

/* Which kernel rows the preset of this name, or the default one for NULL, measures: "auto", "all" or "variants". */
const char *bench_preset_kernels(const char *preset);

/* "f32 -> s8, scale per row": for tables. */
void bench_conversion_describe(const bench_case *c, char *text, size_t bytes);

/* The presets: a line each, on standard output. */
void bench_presets_list(void);

/* Multiplications and additions of a matmul. */
double bench_matmul_operations(const cli_shape *shape);

/* The next of words with commas between, cut to fit; NULL after the last. An empty one is given as "". */
const char *bench_next_word(const char *list, char *word, size_t bytes);

#endif
