/* SPDX-License-Identifier: Apache-2.0
 *
 * qmm bench: reads the options; the measuring is the library in bench/. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "bench/run.h"
#include "call.h"
#include "cli.h"

static const char help_first[] =
    "usage: qmm bench [OPTION ...]\n\n"
    "Measures a device's operations beside their peers in the same run: other libraries, copies, other devices.\n\n"
    "What is measured\n"
    "  --device NAME      cpu (the default), auto, or a name from qmm devices\n"
    "  --preset NAME      a set of cases, see --list; without one `default`; cpu, opencl, gpu and its parts memory,\n"
    "                     decode, gemm: for results to be kept\n"
    "  --operation LIST   these only: copy call matmul tokens quantize quantize_dynamic dequantize requantize find_range\n"
    "  --shapes LIST      of matmul: MxNxK or MxNxKxBATCH, names of sets as llama3-8b or llama3-8b/qkv, files\n"
    "  --m LIST           takes the place of M of sets and files: 1,16,256 or 1..8192*2\n"
    "  --size LIST        of conversions: ROWSxCOLS\n"
    "  --conversion LIST  FROM:TO:GRANULARITY[:offsetN], as f32:s8:row, s8:f16:tensor, bf16:s4:group128,\n"
    "                     s32:s8:column; find_range takes FROM alone\n"
    "  --kernel LIST      auto: what the device picks; all rows; variants: all rows and all their variants; or names;\n"
    "                     auto unless the preset has all\n"
    "  --peers LIST       all (the default), none, or names from --list\n"
    "A matmul without a preset\n";

static const char help_last[] =
    "How\n"
    "  --seconds S        of runs for each figure, at least (0.1)\n"
    "  --runs N           for each figure, at least (5); at most 2000 are made\n"
    "  --time-limit S     begin nothing new after so long\n"
    "  --cache WORD       cold: runs go over copies of their operands, together larger than the caches; warm: they do\n"
    "                     not; cold on GPUs and warm on CPUs unless given\n"
    "  --seed N           of the operands (1)\n"
    "  --verify           check the result of every measured matmul: bit for bit against the reference up to 2^31\n"
    "                     operations, by Freivalds' check beyond\n"
    "What comes out\n"
    "  --format FORMAT    markdown (the default), json or csv\n"
    "  --output FILE      the JSON into a file too\n"
    "  --compare FILE     beside the figures of an earlier --output: losses and gains\n"
    "  --with FILE        with --compare: those of this file, and nothing is measured\n"
    "  --noise PERCENT    differences up to this are none (5), nor are those within the quartiles of both\n"
    "  --list             operations, presets, shapes, peers, and the device's kernels\n"
    "  -h, --help         this text\n\n"
    "Exit codes: 0 all is well, 1 a result is wrong, a figure is a loss, or nothing was measured, 2 bad usage or\n"
    "a bad file, 3 no such device.\n";

enum {
    DEVICE = 1,
    PRESET,
    OPERATION,
    SHAPES,
    M,
    SIZE,
    CONVERSION,
    KERNEL,
    PEERS,
    SECONDS,
    RUNS,
    TIME_LIMIT,
    CACHE,
    SEED,
    VERIFY,
    FORMAT,
    OUTPUT,
    COMPARE,
    WITH,
    NOISE,
    LIST
};

static const struct option long_options[] = {
    { "device", required_argument, NULL, DEVICE },
    { "preset", required_argument, NULL, PRESET },
    { "operation", required_argument, NULL, OPERATION },
    { "shapes", required_argument, NULL, SHAPES },
    { "m", required_argument, NULL, M },
    { "size", required_argument, NULL, SIZE },
    { "conversion", required_argument, NULL, CONVERSION },
    { "kernel", required_argument, NULL, KERNEL },
    { "peers", required_argument, NULL, PEERS },
    { "seconds", required_argument, NULL, SECONDS },
    { "runs", required_argument, NULL, RUNS },
    { "time-limit", required_argument, NULL, TIME_LIMIT },
    { "cache", required_argument, NULL, CACHE },
    { "seed", required_argument, NULL, SEED },
    { "verify", no_argument, NULL, VERIFY },
    { "format", required_argument, NULL, FORMAT },
    { "output", required_argument, NULL, OUTPUT },
    { "compare", required_argument, NULL, COMPARE },
    { "with", required_argument, NULL, WITH },
    { "noise", required_argument, NULL, NOISE },
    { "list", no_argument, NULL, LIST },
    { "help", no_argument, NULL, 'h' },
    CLI_CALL_OPTIONS,
    { NULL, 0, NULL, 0 },
};

typedef struct settings {
    bench_options options;
    bool list, help;
    const char *call; /* an option of the matmul's call that was given; NULL: none */
} settings;

static int read_seconds(const char *command, const char *option, const char *text, double max, double *value) {
    if (cli_read_double(text, 0.0, max, value)) return CLI_OK;
    return cli_error(CLI_USAGE, command, "%s '%s' is not a number from 0 to %g", option, text, max);
}

static int read_whole(const char *command, const char *option, const char *text, int64_t max, int64_t *value) {
    if (cli_read_int(text, 1, max, value)) return CLI_OK;
    return cli_error(CLI_USAGE, command, "%s '%s' is not a whole number from 1 to %lld", option, text, (long long)max);
}

static int read_format(const char *command, const char *text, bench_options *o) {
    static const cli_word words[] = {
        { "markdown", BENCH_MARKDOWN }, { "json", BENCH_JSON }, { "csv", BENCH_CSV }, { NULL, 0 }
    };
    int value = 0;
    const int code = cli_read_word(command, "--format", text, words, &value);
    o->format = (bench_format)value;
    return code;
}

static int read_cache(const char *command, const char *text, bench_options *o) {
    static const cli_word words[] = { { "cold", BENCH_CACHE_COLD }, { "warm", BENCH_CACHE_WARM }, { NULL, 0 } };
    int value = BENCH_CACHE_OWN;
    const int code = cli_read_word(command, "--cache", text, words, &value);
    o->cache = (bench_cache)value;
    return code;
}

static int read_how(const char *command, int option, const char *text, bench_options *o) {
    int64_t seed = 0;
    int code = CLI_OK;
    switch (option) {
    case SECONDS: return read_seconds(command, "--seconds", text, 3600.0, &o->seconds);
    case RUNS: return read_whole(command, "--runs", text, BENCH_RUNS_MAX, &o->runs);
    case TIME_LIMIT: return read_seconds(command, "--time-limit", text, 1e9, &o->time_limit);
    case CACHE: return read_cache(command, text, o);
    case SEED:
        code = read_whole(command, "--seed", text, INT64_C(1000000000000000), &seed);
        o->seed = (uint64_t)seed;
        break;
    case VERIFY: o->verify = true; break;
    case FORMAT: return read_format(command, text, o);
    case OUTPUT: o->output = text; break;
    case COMPARE: o->compare = text; break;
    case WITH: o->with = text; break;
    case NOISE:
        code = read_seconds(command, "--noise", text, 1000.0, &o->noise);
        o->noise /= 100.0;
        break;
    default: break;
    }
    return code;
}

static int read_option(const char *command, int option, const char *text, settings *s) {
    bench_options *o = &s->options;
    switch (option) {
    case DEVICE: o->device = text; break;
    case PRESET: o->wishes.preset = text; break;
    case OPERATION: return bench_operations_read(command, text, &o->wishes.operations);
    case SHAPES: o->wishes.shapes = text; break;
    case M: o->wishes.m = text; break;
    case SIZE: o->wishes.sizes = text; break;
    case CONVERSION: o->wishes.conversions = text; break;
    case KERNEL: o->kernels = text; break;
    case PEERS: o->peers = text; break;
    case LIST: s->list = true; break;
    case 'h': s->help = true; break;
    default: return read_how(command, option, text, o);
    }
    return CLI_OK;
}

/* What is in a preset is not given again. */
static int check(const char *command, const settings *s) {
    const bench_wishes *w = &s->options.wishes;
    const char *given = w->shapes        ? "--shapes"
                        : w->m           ? "--m"
                        : w->sizes       ? "--size"
                        : w->conversions ? "--conversion"
                                         : s->call;
    if (w->preset && given)
        return cli_error(CLI_USAGE, command, "--preset has its own cases: %s cannot be given too", given);
    if (s->options.with && !s->options.compare) return cli_error(CLI_USAGE, command, "--with needs --compare");
    return CLI_OK;
}

static int read_options(int argc, char **argv, settings *s) {
    int option, code;
    opterr = 0;
    while ((option = getopt_long(argc, argv, ":h", long_options, NULL)) != -1) {
        if (option == ':' || option == '?') return cli_bad_option(argv[0], option, argv);
        if (option >= CLI_CALL_OPTION && option <= CLI_CALL_OPTION_END) {
            code = cli_call_option(argv[0], option, optarg, &s->options.wishes.call);
            s->call = "an option of the call";
        } else {
            code = read_option(argv[0], option, optarg, s);
        }
        if (code != CLI_OK || s->help) return code;
    }
    if (optind < argc) return cli_error(CLI_USAGE, argv[0], "unexpected argument '%s'", argv[optind]);
    return check(argv[0], s);
}

int cmd_bench(int argc, char **argv) {
    settings s = { .options = BENCH_OPTIONS_INIT };
    const int code = read_options(argc, argv, &s);
    if (code != CLI_OK) return code;
    if (s.help) {
        fputs(help_first, stdout);
        fputs(CLI_CALL_HELP, stdout);
        fputs(help_last, stdout);
        return CLI_OK;
    }
    return s.list ? bench_list(argv[0], &s.options) : bench_run(argv[0], &s.options);
}
