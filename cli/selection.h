/* SPDX-License-Identifier: Apache-2.0
 *
 * What tune and explain share: options that name a device, shapes and a call; lists of candidates; JSON of these. */
#ifndef QMM_CLI_SELECTION_H
#define QMM_CLI_SELECTION_H

#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>

#include "call.h"
#include "shapes.h"

typedef struct cli_selection {
    const char *device, *shapes_text, *m, *n, *k, *batch; /* as given; NULL: not */
    bool json;
    cli_call call;
    cli_shapes shapes;
} cli_selection;

#define CLI_SELECTION_INIT { "cpu", NULL, NULL, NULL, NULL, NULL, false, CLI_CALL_INIT, { NULL, 0 } }

#define CLI_SELECTION_HELP                                                                                          \
    "  --shapes LIST      commas between MxNxK, MxNxKxBATCH, files of lines `NAME M N K [BATCH]`, built-in sets:\n" \
    "                     edges llama3-8b llama3-70b qwen2.5-7b bert-base vit-b16; or one layer, bert-base/qkv\n"  \
    "  --m LIST           these M in place of those of sets and files: 1,16 or 1..8192*2 or 8..64+8\n"            \
    "  --n N, --k K       with --m and without --shapes: one matrix B; --batch N: so many of them\n"

#define CLI_SELECTION_OUTPUT_HELP                                       \
    "  --device NAME      cpu (the default), auto, or a name from qmm devices\n" \
    "  --format FORMAT    text (the default) or json\n"

/* The values of the options: beyond those of the call. */
enum {
    CLI_SELECTION_DEVICE = CLI_CALL_OPTION_END + 1,
    CLI_SELECTION_SHAPES,
    CLI_SELECTION_M,
    CLI_SELECTION_N,
    CLI_SELECTION_K,
    CLI_SELECTION_BATCH,
    CLI_SELECTION_FORMAT
};

#define CLI_SELECTION_OPTIONS                                    \
    CLI_CALL_OPTIONS,                                            \
    { "device", required_argument, NULL, CLI_SELECTION_DEVICE }, \
    { "shapes", required_argument, NULL, CLI_SELECTION_SHAPES }, \
    { "m", required_argument, NULL, CLI_SELECTION_M },           \
    { "n", required_argument, NULL, CLI_SELECTION_N },           \
    { "k", required_argument, NULL, CLI_SELECTION_K },           \
    { "batch", required_argument, NULL, CLI_SELECTION_BATCH },   \
    { "format", required_argument, NULL, CLI_SELECTION_FORMAT }

/* Takes one of those options, those of the call among them. Prints what is wrong, and gives CLI_USAGE. */
int cli_selection_option(const char *command, int option, const char *text, cli_selection *selection);

/* Reads the shapes. */
int cli_selection_read(const char *command, cli_selection *selection);

/* Is there a shape that the library takes in no case, as groups that do not divide K? Prints the first, and gives
 * CLI_USAGE: before any work is done. */
int cli_selection_check(const char *command, qmm_context *context, const cli_selection *selection);

void cli_selection_free(cli_selection *selection);

/* Has the device, and on the CPU the system, so much memory? If not, says so in `reason`. */
bool cli_memory_fits(qmm_context *context, double bytes, char *reason, size_t reason_bytes);

/* Rows and variants that were tried or asked. */
typedef struct cli_candidate {
    char kernel[64], variant[32];
    double seconds;   /* 0: not measured */
    char reason[512]; /* why it refuses; empty: it accepts */
} cli_candidate;

typedef struct cli_candidates {
    cli_candidate *items;
    int count;
    bool no_memory; /* some are missing */
} cli_candidates;

/* reason NULL: it accepts. */
void cli_candidates_add(cli_candidates *list, const char *kernel, const char *variant, double seconds,
                        const char *reason);
void cli_candidates_free(cli_candidates *list);

/* "12.3 us", in a unit that keeps it between 1 and 1000. */
void cli_seconds_text(double seconds, char *text, size_t bytes);

/* "llama3-8b/qkv 16x6144x4096". */
void cli_shape_title(const cli_shape *shape, char *text, size_t bytes);

/* The first members of a file: tool, version, device, call. Ends behind a comma. */
void cli_json_begin(const char *command, qmm_context *context, const cli_call *call);

/* `"shape": "bert-base/qkv", "m": 1, "n": 2304, "k": 768, "batch": 1`. */
void cli_json_shape(const cli_shape *shape);

#endif
