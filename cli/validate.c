/* SPDX-License-Identifier: Apache-2.0
 *
 * qmm validate: reads the options; the checker is the library in validate/. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "validate/harness.h"

static const char help[] =
    "usage: qmm validate [OPTION ...]\n\n"
    "Checks every operation of a device, on every kernel row it has, against an independent oracle, bit for bit.\n\n"
    "  --device NAME      cpu (the default), auto, or a name from qmm devices\n"
    "  --operation LIST   these operations only: names with commas between; may be given again; see --list\n"
    "  --kernel NAME      this kernel row only; auto: only the device's own choice\n"
    "  --mode MODE        correctness  against the oracle (the default)\n"
    "                     bitwise      the same call again, and on a second context: the same bytes\n"
    "                     performance  median time and rate per row; judges nothing\n"
    "                     fuzz         correctness of random cases until --seconds (60) are over\n"
    "  --tier TIER        how many cases: quick (the default), full or soak\n"
    "  --seed N           of the random cases (1)\n"
    "  --start N          number of the first case (0)\n"
    "  --cases N          how many cases of each operation, in place of the tier's\n"
    "  --seconds S        stop after so long\n"
    "  --oracle-limit N   compare cases of more than N operations with the cpu's reference rows (268435456)\n"
    "  --format FORMAT    text (the default) or json\n"
    "  --verbose          a line for each case\n"
    "  --list             operations, their cases, and the device's kernels\n"
    "  -h, --help         this text\n\n"
    "A case is PASSED, FAILED, REFUSED (the row does not take it; the table has the reasons) or MISTRUSTED (right, "
    "but\n"
    "nearly all of its output is zero or saturated, so it proves little). A failure prints the line that repeats "
    "it.\n\n"
    "Exit codes: 0 all passed, 1 a case failed or none passed, 2 bad usage, 3 no such device.\n";

enum { OPERATIONS_MAX = 32 };

typedef struct settings {
    validate_options options;
    const validate_descriptor *chosen[OPERATIONS_MAX];
    int chosen_count;
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

enum { DEVICE = 1, OPERATION, KERNEL, MODE, TIER, SEED, START, CASES, SECONDS, ORACLE_LIMIT, FORMAT, VERBOSE, LIST };

static const struct option long_options[] = {
    { "device", required_argument, NULL, DEVICE },
    { "operation", required_argument, NULL, OPERATION },
    { "kernel", required_argument, NULL, KERNEL },
    { "mode", required_argument, NULL, MODE },
    { "tier", required_argument, NULL, TIER },
    { "seed", required_argument, NULL, SEED },
    { "start", required_argument, NULL, START },
    { "cases", required_argument, NULL, CASES },
    { "seconds", required_argument, NULL, SECONDS },
    { "oracle-limit", required_argument, NULL, ORACLE_LIMIT },
    { "format", required_argument, NULL, FORMAT },
    { "verbose", no_argument, NULL, VERBOSE },
    { "list", no_argument, NULL, LIST },
    { "help", no_argument, NULL, 'h' },
    { NULL, 0, NULL, 0 },
};

/* Numbers of cases stay far from the end of int64_t. */
#define NUMBER_MAX INT64_C(1000000000000000)

static int read_number(const char *command, const char *option, const char *text, int64_t *value) {
    if (cli_read_int(text, 0, NUMBER_MAX, value)) return CLI_OK;
    return cli_error(CLI_USAGE, command, "%s '%s' is not a whole number from 0 to 10^15", option, text);
}

static int read_real(const char *command, const char *option, const char *text, double *value) {
    if (cli_read_double(text, 0.0, 1e18, value)) return CLI_OK;
    return cli_error(CLI_USAGE, command, "%s '%s' is not a number from 0 to 1e18", option, text);
}

static int read_choice(const char *command, int option, const char *text, validate_options *o) {
    static const cli_word modes[] = { { "correctness", VALIDATE_CORRECTNESS },
                                      { "bitwise", VALIDATE_BITWISE },
                                      { "performance", VALIDATE_PERFORMANCE },
                                      { "fuzz", VALIDATE_FUZZ },
                                      { NULL, 0 } };
    static const cli_word tiers[] = {
        { "quick", VALIDATE_QUICK }, { "full", VALIDATE_FULL }, { "soak", VALIDATE_SOAK }, { NULL, 0 }
    };
    static const cli_word formats[] = { { "text", 0 }, { "json", 1 }, { NULL, 0 } };
    int value = 0, code;
    if (option == MODE) {
        code = cli_read_word(command, "--mode", text, modes, &value);
        o->mode = (validate_mode)value;
    } else if (option == TIER) {
        code = cli_read_word(command, "--tier", text, tiers, &value);
        o->tier = (validate_tier)value;
    } else {
        code = cli_read_word(command, "--format", text, formats, &value);
        o->json = value == 1;
    }
    return code;
}

static int read_option(const char *command, int option, const char *text, settings *s) {
    validate_options *o = &s->options;
    int64_t seed = 0;
    int code = CLI_OK;
    switch (option) {
    case DEVICE: o->device = text; break;
    case OPERATION: code = choose_operations(command, s, text); break;
    case KERNEL: o->kernel = text; break;
    case MODE:
    case TIER:
    case FORMAT: code = read_choice(command, option, text, o); break;
    case SEED:
        code = read_number(command, "--seed", text, &seed);
        o->seed = (uint64_t)seed;
        break;
    case START: code = read_number(command, "--start", text, &o->start); break;
    case CASES: code = read_number(command, "--cases", text, &o->cases); break;
    case SECONDS: code = read_real(command, "--seconds", text, &o->seconds); break;
    case ORACLE_LIMIT: code = read_real(command, "--oracle-limit", text, &o->oracle_limit); break;
    case VERBOSE: o->verbose = true; break;
    case LIST: s->list = true; break;
    case 'h': s->help = true; break;
    default: break;
    }
    return code;
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
    if (s->options.mode == VALIDATE_FUZZ && s->options.seconds == 0.0) s->options.seconds = 60.0;
    return CLI_OK;
}

int cmd_validate(int argc, char **argv) {
    settings s = { .options = VALIDATE_OPTIONS_INIT };
    int code;
    s.options.out = stdout;
    code = read_options(argc, argv, &s);
    if (code != CLI_OK) return code;
    if (s.help) {
        fputs(help, stdout);
        return CLI_OK;
    }
    return s.list ? validate_list(&s.options) : validate_run(&s.options);
}
