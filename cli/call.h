/* SPDX-License-Identifier: Apache-2.0
 *
 * A matmul call as the subcommands bench, tune, explain and validate make it from options: types, where the scales are,
 * the epilogue, and its operands on a device. */
#ifndef QMM_CLI_CALL_H
#define QMM_CLI_CALL_H

#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cli.h"
#include "qmm/qmm.h"
#include "shapes.h"

/* What --types, --scales, --zeros, --bias, --residual, --activation, --plain, --transpose-a, --transpose-b say. */
typedef struct cli_call {
    qmm_type a, b, c;
    bool scales_by_row, scales_by_column; /* of A by row, of B by column; else one per tensor */
    int64_t group;                        /* along K: of B, and of A unless its scales are by row; 0: none */
    bool zeros;                           /* zero points on both sides */
    bool bias, residual;
    qmm_activation activation;
    bool packed;                          /* B as qmm_weights */
    bool transpose_a, transpose_b;
} cli_call;

/* s8 x s8 -> f16, a scale per row of A and per column of B, packed. */
#define CLI_CALL_INIT \
    { QMM_S8, QMM_S8, QMM_F16, true, true, 0, false, false, false, QMM_ACTIVATION_NONE, true, false, false }

/* The options' part of a subcommand's help text, and of its getopt table (their values are from CLI_CALL_OPTION on). */
#define CLI_CALL_HELP                                                                                             \
    "  --types LIST       types of A, B and C: s8,s8,f16 (the default); A s8 u8; B s8 u8 s4 u4;\n"                 \
    "                     C s32 f32 f16 bf16 s8 u8 s16 u16\n"                                                     \
    "  --scales WHICH     row-column   one per row of A and column of B (the default; with C s32 none are used)\n" \
    "                     tensor       one per tensor\n"                                                          \
    "                     group:G      one per G elements along K, of rows of A and columns of B\n"               \
    "                     row-group:G  one per row of A, and per G elements along K of columns of B\n"            \
    "  --zeros            zero points on both sides\n"                                                            \
    "  --bias             f32, one per column of C\n"                                                             \
    "  --residual         added to C, of type f32\n"                                                              \
    "  --activation WORD  none (the default), relu, gelu, gelu_tanh or silu\n"                                    \
    "  --plain            B as a tensor, not packed beforehand\n"                                                 \
    "  --transpose-a      A is stored K x M\n"                                                                    \
    "  --transpose-b      B is stored N x K\n"

/* The values of those options, beyond those that a subcommand has for its own. */
enum {
    CLI_CALL_TYPES = 1000,
    CLI_CALL_SCALES,
    CLI_CALL_ZEROS,
    CLI_CALL_BIAS,
    CLI_CALL_RESIDUAL,
    CLI_CALL_ACTIVATION,
    CLI_CALL_PLAIN,
    CLI_CALL_TRANSPOSE_A,
    CLI_CALL_TRANSPOSE_B,
    CLI_CALL_OPTION = CLI_CALL_TYPES,
    CLI_CALL_OPTION_END = CLI_CALL_TRANSPOSE_B
};

#define CLI_CALL_OPTIONS                                          \
    { "types", required_argument, NULL, CLI_CALL_TYPES },         \
    { "scales", required_argument, NULL, CLI_CALL_SCALES },       \
    { "zeros", no_argument, NULL, CLI_CALL_ZEROS },               \
    { "bias", no_argument, NULL, CLI_CALL_BIAS },                 \
    { "residual", no_argument, NULL, CLI_CALL_RESIDUAL },         \
    { "activation", required_argument, NULL, CLI_CALL_ACTIVATION }, \
    { "plain", no_argument, NULL, CLI_CALL_PLAIN },               \
    { "transpose-a", no_argument, NULL, CLI_CALL_TRANSPOSE_A },   \
    { "transpose-b", no_argument, NULL, CLI_CALL_TRANSPOSE_B }

/* The words of --activation. */
extern const cli_word cli_activations[];

/* Takes one of those options; prints what is wrong with its text, and gives CLI_USAGE. */
int cli_call_option(const char *command, int option, const char *text, cli_call *call);

/* "s8 x s8 -> f16, scales per row and column, bias, gelu, packed": for tables. */
void cli_call_describe(const cli_call *call, char *text, size_t bytes);

/* The tensors of a call; those that it does without have no type. */
enum {
    CLI_A,
    CLI_B,
    CLI_C,
    CLI_BIAS,
    CLI_RESIDUAL,
    CLI_SCALE_A,
    CLI_SCALE_B,
    CLI_ZERO_A,
    CLI_ZERO_B,
    CLI_TENSORS
};

/* One set of operands. The pointers of desc lead into the same struct, which therefore must not be moved. */
typedef struct cli_operands_copy {
    qmm_tensor tensors[CLI_TENSORS];
    qmm_quant quant_a, quant_b, quant_c;
    qmm_weights *weights;
    qmm_matmul_desc desc, plain_desc;
} cli_operands_copy;

/* The operands of a call on a device: random codes over their full range; scales such that results are near 1 before
 * they are rounded, so that f16 does not overflow; code outputs scaled so that few of them saturate; other reals near
 * normal. `copies` of A, B, C, taken in turn, so that a run does not find the last one's operands in a cache. */
typedef struct cli_operands {
    qmm_context *context;
    cli_call call;
    cli_shape shape;
    int copies;
    cli_operands_copy *copy;
    cli_operands_copy plan; /* what copy points at where there is no memory */
} cli_operands;

/* Tensors without memory: for plans, workspace and sizes. desc points into *operands, which must stay where it is;
 * nothing need be freed. B is a tensor here even if the call packs it: there are no weights without memory. */
void cli_operands_plan(const cli_call *call, const cli_shape *shape, cli_operands *operands);

/* The same, but where the call packs B, with weights of zeros on the context's device, because kernel rows judge packed
 * weights by what they are. *operands begins as { 0 } or is the plan of another shape of the same call on the same
 * context, whose weights are taken over if they fit. Gives the status of what failed, with nothing left behind. */
qmm_status cli_operands_plan_packed(qmm_context *context, const cli_call *call, const cli_shape *shape,
                                    cli_operands *operands);

/* With memory, filled from the seed. Gives the status of what failed, with nothing left behind. */
qmm_status cli_operands_create(qmm_context *context, const cli_call *call, const cli_shape *shape, int copies,
                               uint64_t seed, cli_operands *operands);
void cli_operands_free(cli_operands *operands);

/* Bytes that one run must read and write, each once: codes as they are in B, parameters, C. */
double cli_operands_bytes(const cli_operands *operands);

/* What a call of copy `copy` (modulo copies) takes; the pointers stay valid until the operands are freed. b is NULL if
 * it is packed. `plain_b` is B as it was before that (for verification), kept of the first copy only and else NULL. */
typedef struct cli_operands_call {
    const qmm_matmul_desc *desc;
    const qmm_tensor *a, *b, *c;
    const qmm_matmul_desc *plain_desc; /* the same call with B as a tensor */
    const qmm_tensor *plain_b;
} cli_operands_call;
cli_operands_call cli_operands_at(const cli_operands *operands, int copy);

/* qmm_matmul of that copy. */
qmm_status cli_operands_run(const cli_operands *operands, int copy);

#endif
