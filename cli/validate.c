/* SPDX-License-Identifier: Apache-2.0
 *
 * qmm validate: reads the options; the checker is the library in validate/. */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "validate/generate.h"
#include "validate/harness.h"

static const char help[] =
    "usage: qmm validate [OPTION ...]\n"
    "       qmm validate --shapes LIST [--m LIST] [CALL OPTION ...] [OPTION ...]\n"
    "       qmm validate --a A.npy --b B.npy --c C.npy ...     your own result; see qmm validate --help --a\n"
    "       qmm validate --weights FILE ...                    a model's weights; see qmm validate --help --weights\n\n"
    "Checks every operation of a device, on every kernel row it has, against an independent oracle, bit for bit; or,\n"
    "with --shapes, matmuls of those shapes on every row and tile variant.\n\n"
    "  --device NAME      cpu (the default), auto, or a name from qmm devices\n"
    "  --operation LIST   these operations only: names with commas between; may be given again; see --list\n"
    "  --kernel NAME      this kernel row only, or ROW/VARIANT; auto: only the device's own choice\n"
    "  --mode MODE        correctness  against the oracle (the default)\n"
    "                     bitwise      the same call again, and on a second context: the same bytes\n"
    "                     determinism  the same call --repeat times, on two contexts (two streams), with and without\n"
    "                                  a workspace of its own, on every row and tile variant: the same bytes\n"
    "                     performance  median time and rate per row; judges nothing\n"
    "                     fuzz         correctness of random cases for --seconds (60), or of --cases each\n"
    "  --tier TIER        how many cases: quick (the default), full or soak; determinism takes every 50th\n"
    "  --seed N           of the random cases (1)\n"
    "  --start N          number of the first case (0)\n"
    "  --cases N          how many cases of each operation, in place of the tier's\n"
    "  --repeat N         runs of each case (1; determinism: 100)\n"
    "  --seconds S        stop after so long\n"
    "  --oracle-limit N   compare cases of more than N operations with the cpu's reference rows (268435456)\n"
    "  --format FORMAT    text (the default), json, csv (a line for each row) or junit (XML)\n"
    "  --output FILE      write there, not to standard output\n"
    "  --save DIR         keep the tensors of the first 50 failures there, as .npy, and the lines that repeat them\n"
    "  --allow-distrusted a row that fails its known-answer test is REFUSED, not FAILED\n"
    "  --verbose          a line for each case\n"
    "  --list             operations, their cases, the device's kernels, and the sets of shapes\n"
    "  -h, --help         this text\n\n"
    "  --shapes LIST      MxNxK or MxNxKxBATCH, names of sets (--list), files of lines `NAME M N K [BATCH]`; may be\n"
    "                     given again. A result is compared bit for bit with the cpu's reference row (exact), or\n"
    "                     checked by Freivalds' method, which a wrong one passes with a probability below 2^-60\n"
    "                     (freivalds)\n"
    "  --m LIST           M of sets and files: 1,16,64 or 1..4096*2 or 16..64+16\n"
    "  --exact-limit N    operations (2MNK) up to which a shape is compared (17179869184: about a second each)\n\n"
    "The call of --shapes:\n\n" CLI_CALL_HELP "\n"
    "A case is PASSED, FAILED, REFUSED (the row does not take it, or memory is short; the table has the reasons) or\n"
    "MISTRUSTED (right, but nearly all of its output is zero or saturated, so it proves little). A failure prints the\n"
    "line that repeats it.\n\n"
    "Exit codes: 0 all passed, 1 a case failed or none passed, 2 bad usage or file, 3 no such device.\n";

enum { OPERATIONS_MAX = 32, SHAPES_MAX = 32 };

typedef struct settings {
    validate_options options;
    const validate_descriptor *chosen[OPERATIONS_MAX];
    int chosen_count;
    validate_shapes shapes;
    const char *shapes_texts[SHAPES_MAX]; /* as given; read when all of --m is known */
    int shapes_count;
    const char *m, *output;
    char call_arguments[256]; /* the call options, as they were given */
    uint32_t given;           /* bit 1 << option of each that was */
    bool list, help;
} settings;

static int unknown_operation(const char *command, const char *name, size_t length) {
    char known[400] = "";
    for (const validate_descriptor *const *d = validate_descriptors; *d; d++)
        snprintf(known + strlen(known), sizeof known - strlen(known), " %s", (*d)->name);
    return cli_error(CLI_USAGE, command, "--operation '%.*s' is none of%s", (int)length, name, known);
}

static bool is_chosen(const settings *s, const validate_descriptor *d) {
    for (int n = 0; n < s->chosen_count; n++)
        if (s->chosen[n] == d) return true;
    return false;
}

static int choose_operation(const char *command, settings *s, const char *name, size_t length) {
    for (const validate_descriptor *const *d = validate_descriptors; *d; d++) {
        if (strlen((*d)->name) != length || strncmp((*d)->name, name, length) != 0) continue;
        if (!is_chosen(s, *d)) s->chosen[s->chosen_count++] = *d;
        s->options.descriptors = s->chosen; /* chosen ends with a NULL: there are fewer descriptors than room */
        return CLI_OK;
    }
    return unknown_operation(command, name, length);
}

static int choose_operations(const char *command, settings *s, const char *list) {
    for (;;) {
        const size_t length = strcspn(list, ",");
        const int code = choose_operation(command, s, list, length);
        if (code != CLI_OK || list[length] == '\0') return code;
        list += length + 1;
    }
}

/* ---- options ----------------------------------------------------------------------------------------------------- */

enum {
    DEVICE = 1,
    OPERATION,
    KERNEL,
    MODE,
    TIER,
    SEED,
    START,
    CASES,
    REPEAT,
    SECONDS,
    ORACLE_LIMIT,
    EXACT_LIMIT,
    FORMAT,
    OUTPUT,
    SAVE,
    SHAPES,
    M,
    ALLOW_DISTRUSTED,
    VERBOSE,
    LIST
};

static const struct option long_options[] = {
    { "device", required_argument, NULL, DEVICE },
    { "operation", required_argument, NULL, OPERATION },
    { "kernel", required_argument, NULL, KERNEL },
    { "mode", required_argument, NULL, MODE },
    { "tier", required_argument, NULL, TIER },
    { "seed", required_argument, NULL, SEED },
    { "start", required_argument, NULL, START },
    { "cases", required_argument, NULL, CASES },
    { "repeat", required_argument, NULL, REPEAT },
    { "seconds", required_argument, NULL, SECONDS },
    { "oracle-limit", required_argument, NULL, ORACLE_LIMIT },
    { "exact-limit", required_argument, NULL, EXACT_LIMIT },
    { "format", required_argument, NULL, FORMAT },
    { "output", required_argument, NULL, OUTPUT },
    { "save", required_argument, NULL, SAVE },
    { "shapes", required_argument, NULL, SHAPES },
    { "m", required_argument, NULL, M },
    { "allow-distrusted", no_argument, NULL, ALLOW_DISTRUSTED },
    { "verbose", no_argument, NULL, VERBOSE },
    { "list", no_argument, NULL, LIST },
    { "help", no_argument, NULL, 'h' },
    CLI_CALL_OPTIONS,
    { NULL, 0, NULL, 0 },
};

static const char *name_of(int option) {
    const struct option *o = long_options;
    while (o->name && o->val != option) o++;
    return o->name;
}

/* Numbers of cases stay far from the end of int64_t. */
#define NUMBER_MAX INT64_C(1000000000000000)

static int read_number(const char *command, int option, const char *text, int64_t *value) {
    if (cli_read_int(text, 0, NUMBER_MAX, value)) return CLI_OK;
    return cli_error(CLI_USAGE, command, "--%s '%s' is not a whole number from 0 to 10^15", name_of(option), text);
}

static int read_real(const char *command, int option, const char *text, double *value) {
    if (cli_read_double(text, 0.0, 1e18, value)) return CLI_OK;
    return cli_error(CLI_USAGE, command, "--%s '%s' is not a number from 0 to 1e18", name_of(option), text);
}

static int read_repeat(const char *command, const char *text, int64_t *value) {
    if (cli_read_int(text, 1, 1000000000, value)) return CLI_OK;
    return cli_error(CLI_USAGE, command, "--repeat '%s' is not a whole number from 1 to 10^9", text);
}

static int read_choice(const char *command, int option, const char *text, validate_options *o) {
    static const cli_word modes[] = { { "correctness", VALIDATE_CORRECTNESS },
                                      { "bitwise", VALIDATE_BITWISE },
                                      { "determinism", VALIDATE_DETERMINISM },
                                      { "performance", VALIDATE_PERFORMANCE },
                                      { "fuzz", VALIDATE_FUZZ },
                                      { NULL, 0 } };
    static const cli_word tiers[] = {
        { "quick", VALIDATE_QUICK }, { "full", VALIDATE_FULL }, { "soak", VALIDATE_SOAK }, { NULL, 0 }
    };
    static const cli_word formats[] = { { "text", VALIDATE_FORMAT_TEXT },
                                        { "json", VALIDATE_FORMAT_JSON },
                                        { "csv", VALIDATE_FORMAT_CSV },
                                        { "junit", VALIDATE_FORMAT_JUNIT },
                                        { NULL, 0 } };
    int value = 0, code;
    if (option == MODE) {
        code = cli_read_word(command, "--mode", text, modes, &value);
        o->mode = (validate_mode)value;
    } else if (option == TIER) {
        code = cli_read_word(command, "--tier", text, tiers, &value);
        o->tier = (validate_tier)value;
    } else {
        code = cli_read_word(command, "--format", text, formats, &value);
        o->format = (validate_format)value;
    }
    return code;
}

static int read_call_option(const char *command, int option, const char *text, settings *s) {
    const int code = cli_call_option(command, option, text, &s->shapes.call);
    if (code != CLI_OK) return code;
    validate_append(s->call_arguments, sizeof s->call_arguments, " --%s%s%s", name_of(option), text ? " " : "",
                    text ? text : "");
    return CLI_OK;
}

static int add_shapes(const char *command, const char *text, settings *s) {
    if (s->shapes_count == SHAPES_MAX)
        return cli_error(CLI_USAGE, command, "--shapes is given more than %d times", (int)SHAPES_MAX);
    s->shapes_texts[s->shapes_count++] = text;
    return CLI_OK;
}

static int read_option(const char *command, int option, const char *text, settings *s) {
    validate_options *o = &s->options;
    int64_t seed = 0;
    int code = CLI_OK;
    if (option >= CLI_CALL_OPTION && option <= CLI_CALL_OPTION_END) return read_call_option(command, option, text, s);
    if (option < 32) s->given |= UINT32_C(1) << option;
    switch (option) {
    case DEVICE: o->device = text; break;
    case OPERATION: code = choose_operations(command, s, text); break;
    case KERNEL: o->kernel = text; break;
    case MODE:
    case TIER:
    case FORMAT: code = read_choice(command, option, text, o); break;
    case SEED:
        code = read_number(command, SEED, text, &seed);
        o->seed = (uint64_t)seed;
        break;
    case START: code = read_number(command, START, text, &o->start); break;
    case CASES: code = read_number(command, CASES, text, &o->cases); break;
    case REPEAT: code = read_repeat(command, text, &o->repeat); break;
    case SECONDS: code = read_real(command, SECONDS, text, &o->seconds); break;
    case ORACLE_LIMIT: code = read_real(command, ORACLE_LIMIT, text, &o->oracle_limit); break;
    case EXACT_LIMIT: code = read_real(command, EXACT_LIMIT, text, &o->exact_limit); break;
    case OUTPUT: s->output = text; break;
    case SAVE: o->save = text; break;
    case SHAPES: code = add_shapes(command, text, s); break;
    case M: s->m = text; break;
    case ALLOW_DISTRUSTED: o->allow_distrusted = true; break;
    case VERBOSE: o->verbose = true; break;
    case LIST: s->list = true; break;
    case 'h': s->help = true; break;
    default: break;
    }
    return code;
}

/* ---- what goes with what ----------------------------------------------------------------------------------------- */

#define BIT(option) (UINT32_C(1) << (option))

/* The first option of `set` that was given; 0: none. */
static int given_of(const settings *s, uint32_t set) {
    for (int option = 1; option < 32; option++)
        if (s->given & set & BIT(option)) return option;
    return 0;
}

static int check_shapes_options(const char *command, const settings *s) {
    const validate_mode mode = s->options.mode;
    const int without = given_of(s, BIT(M) | BIT(EXACT_LIMIT));
    const int with = given_of(s, BIT(OPERATION) | BIT(TIER) | BIT(START) | BIT(CASES) | BIT(ORACLE_LIMIT));
    if (s->shapes_count == 0 && without)
        return cli_error(CLI_USAGE, command, "--%s needs --shapes", name_of(without));
    if (s->shapes_count == 0 && s->call_arguments[0])
        return cli_error(CLI_USAGE, command, "%.*s needs --shapes", (int)strcspn(s->call_arguments + 1, " "),
                         s->call_arguments + 1);
    if (s->shapes_count == 0) return CLI_OK;
    if (with) return cli_error(CLI_USAGE, command, "--%s does not go with --shapes", name_of(with));
    if (mode == VALIDATE_PERFORMANCE || mode == VALIDATE_FUZZ)
        return cli_error(CLI_USAGE, command, "--mode %s does not go with --shapes%s",
                         mode == VALIDATE_FUZZ ? "fuzz" : "performance",
                         mode == VALIDATE_FUZZ ? "" : ": qmm bench measures shapes");
    return CLI_OK;
}

static int check_options(const char *command, const settings *s) {
    const validate_mode mode = s->options.mode;
    if (s->list && given_of(s, BIT(OUTPUT) | BIT(SAVE)))
        return cli_error(CLI_USAGE, command, "--%s does not go with --list",
                         name_of(given_of(s, BIT(OUTPUT) | BIT(SAVE))));
    if (mode == VALIDATE_PERFORMANCE && given_of(s, BIT(SAVE) | BIT(REPEAT)))
        return cli_error(CLI_USAGE, command, "--%s does not go with --mode performance",
                         name_of(given_of(s, BIT(SAVE) | BIT(REPEAT))));
    if (mode == VALIDATE_BITWISE && given_of(s, BIT(REPEAT)))
        return cli_error(CLI_USAGE, command, "--repeat does not go with --mode bitwise: see --mode determinism");
    return check_shapes_options(command, s);
}

static int read_options(int argc, char **argv, settings *s) {
    int option, code;
    opterr = 0;
    while ((option = getopt_long(argc, argv, ":h", long_options, NULL)) != -1) {
        if (option == ':' || option == '?') return cli_bad_option(argv[0], option, argv);
        code = read_option(argv[0], option, optarg, s);
        if (code != CLI_OK || s->help) return code;
    }
    if (optind < argc) return cli_error(CLI_USAGE, argv[0], "unexpected argument '%s'", argv[optind]);
    if (s->options.mode == VALIDATE_FUZZ && s->options.seconds == 0.0 && s->options.cases < 0)
        s->options.seconds = 60.0;
    return check_options(argv[0], s);
}

static int read_shapes(const char *command, settings *s) {
    static const validate_descriptor *const only_matmul[] = { &validate_matmul_plain, NULL };
    int64_t *m = NULL;
    int count = 0, code = CLI_OK;
    if (s->shapes_count == 0) return CLI_OK;
    if (s->m) code = cli_numbers_read(command, "--m", s->m, 0, INT32_MAX, &m, &count);
    for (int n = 0; n < s->shapes_count && code == CLI_OK; n++)
        code = cli_shapes_read(command, s->shapes_texts[n], m, count, &s->shapes.list);
    free(m);
    s->shapes.arguments = s->call_arguments;
    s->options.shapes = &s->shapes;
    s->options.descriptors = only_matmul;
    return code;
}

/* ---- where it goes ----------------------------------------------------------------------------------------------- */

static int run_into_file(const char *command, settings *s) {
    int code;
    bool whole;
    s->options.out = fopen(s->output, "w");
    if (!s->options.out) return cli_error(CLI_USAGE, command, "--output %s: %s", s->output, strerror(errno));
    code = validate_run(&s->options);
    whole = !ferror(s->options.out);
    if (fclose(s->options.out) == 0 && whole) return code;
    return cli_error(CLI_FAILED, command, "cannot write %s: %s", s->output, strerror(errno));
}

static int run(const char *command, settings *s) {
    int code = read_shapes(command, s);
    if (code == CLI_OK && s->options.save) code = cli_make_directory(command, s->options.save);
    if (code == CLI_OK) code = s->output ? run_into_file(command, s) : validate_run(&s->options);
    cli_shapes_free(&s->shapes.list);
    return code;
}

static int list(const settings *s) {
    const int code = validate_list(&s->options);
    if (code != CLI_OK) return code;
    puts("\nsets of shapes");
    cli_shapes_list();
    return CLI_OK;
}

/* Is one of the arguments this option, with or without a value behind an equals sign? */
static bool has_option(int argc, char **argv, const char *option) {
    const size_t length = strlen(option);
    for (int n = 1; n < argc; n++)
        if (strncmp(argv[n], option, length) == 0 && (argv[n][length] == '\0' || argv[n][length] == '=')) return true;
    return false;
}

int cmd_validate(int argc, char **argv) {
    settings s = { .options = VALIDATE_OPTIONS_INIT, .shapes.call = CLI_CALL_INIT };
    int code;
    if (has_option(argc, argv, "--weights")) return cli_validate_weights(argc, argv);
    if (has_option(argc, argv, "--a") || has_option(argc, argv, "--b") || has_option(argc, argv, "--c"))
        return cli_validate_result(argc, argv);
    s.options.out = stdout;
    code = read_options(argc, argv, &s);
    if (code != CLI_OK) return code;
    if (s.help) {
        fputs(help, stdout);
        return CLI_OK;
    }
    return s.list ? list(&s) : run(argv[0], &s);
}
