/* SPDX-License-Identifier: Apache-2.0
 *
 * qmm validate --a A.npy --b B.npy --c C.npy: is somebody else's matmul right, and where not. Its options. */
#include <getopt.h>
#include <stdio.h>

#include "call.h"
#include "cli.h"
#include "result.h"

static const char help[] =
    "usage: qmm validate --a A.npy --b B.npy --c C.npy [OPTION ...]\n\n"
    "Checks a result of your own: is C the product of A and B, and where not? The arrays say types and shapes: A i1\n"
    "or u1, M x K; B i1 or u1, K x N; C i4, f4, f2, i1, u1, i2 or u2, M x N; a dimension before these counts\n"
    "matrices. C is held to what qmm_matmul defines, bit for bit. A program has the same checks in qmm_compare and\n"
    "qmm_verify_matmul of qmm/qmm.h.\n\n"
    "  --scale-a X, --scale-b X, --scale-c X\n"
    "                     scales: a number, or a .npy (f4, f2, or u2 for bf16) with one for each row of A, column of\n"
    "                     B, row (M x 1) or column of C; of A and B, with --group, one for each group\n"
    "  --zero-a X, --zero-b X, --zero-c X\n"
    "                     zero points: a whole number, or a .npy (i4, i1, u1) in the same shapes\n"
    "  --group G          G elements along K have a scale: those of A are M x K/G, those of B K/G x N, each turned\n"
    "                     around where the matrix is\n"
    "  --bias F.npy       f4 or i4, one for each column of C\n"
    "  --residual F.npy   f4, f2, or u2 for bf16, M x N\n"
    "  --activation WORD  none (the default), relu, gelu, gelu_tanh or silu\n"
    "  --transpose-a      A is stored K x M\n"
    "  --transpose-b      B is stored N x K\n"
    "  --type-b TYPE      s4 or u4: B holds codes of 4 bits, one to a byte\n"
    "  --type-c bf16      the u2 of C are bf16; else they are codes\n"
    "  --exact-limit N    up to N operations (2MNK; 17179869184), the cpu's reference row computes what is expected,\n"
    "                     and every element is compared; beyond, qmm_verify_matmul checks C (Freivalds), and the\n"
    "                     first row that is wrong is computed and compared\n"
    "  --device NAME      the device on which qmm_verify_matmul works: cpu (the default), auto, or a name from qmm\n"
    "                     devices\n"
    "  --seed N           of its random vectors (1)\n"
    "  --rounds N         of its check, 1 to 64 (1)\n"
    "  --save DIR         write what was expected to DIR/expected.npy, if elements were compared and C is wrong\n"
    "  --format FORMAT    text (the default) or json\n"
    "  -h, --help         this text\n\n"
    "Exit codes: 0 C is right, 1 it is wrong, 2 bad usage, file or shape, 3 no such device.\n";

/* ---- options ----------------------------------------------------------------------------------------------------- */

enum { GROUP = RESULT_INPUTS + 1, ACTIVATION, TRANSPOSE_A, TRANSPOSE_B, TYPE_B, TYPE_C, EXACT_LIMIT, DEVICE, SEED,
       ROUNDS, SAVE, FORMAT };

/* The values of the inputs' options are their names plus 1. */
static const struct option options[] = {
    { "a", required_argument, NULL, RESULT_A + 1 },
    { "b", required_argument, NULL, RESULT_B + 1 },
    { "c", required_argument, NULL, RESULT_C + 1 },
    { "bias", required_argument, NULL, RESULT_BIAS + 1 },
    { "residual", required_argument, NULL, RESULT_RESIDUAL + 1 },
    { "scale-a", required_argument, NULL, RESULT_SCALE_A + 1 },
    { "scale-b", required_argument, NULL, RESULT_SCALE_B + 1 },
    { "scale-c", required_argument, NULL, RESULT_SCALE_C + 1 },
    { "zero-a", required_argument, NULL, RESULT_ZERO_A + 1 },
    { "zero-b", required_argument, NULL, RESULT_ZERO_B + 1 },
    { "zero-c", required_argument, NULL, RESULT_ZERO_C + 1 },
    { "group", required_argument, NULL, GROUP },
    { "activation", required_argument, NULL, ACTIVATION },
    { "transpose-a", no_argument, NULL, TRANSPOSE_A },
    { "transpose-b", no_argument, NULL, TRANSPOSE_B },
    { "type-b", required_argument, NULL, TYPE_B },
    { "type-c", required_argument, NULL, TYPE_C },
    { "exact-limit", required_argument, NULL, EXACT_LIMIT },
    { "device", required_argument, NULL, DEVICE },
    { "seed", required_argument, NULL, SEED },
    { "rounds", required_argument, NULL, ROUNDS },
    { "save", required_argument, NULL, SAVE },
    { "format", required_argument, NULL, FORMAT },
    { "help", no_argument, NULL, 'h' },
    { NULL, 0, NULL, 0 },
};

static const cli_word types_b[] = { { "s4", QMM_S4 }, { "u4", QMM_U4 }, { NULL, 0 } };
static const cli_word types_c[] = { { "bf16", QMM_BF16 }, { NULL, 0 } };
static const cli_word formats[] = { { "text", 0 }, { "json", 1 }, { NULL, 0 } };

static int read_format(const char *command, result_arguments *a) {
    int value = 0;
    const int code = cli_read_word(command, "--format", optarg, formats, &value);
    a->json = value == 1;
    return code;
}

static int read_option(const char *command, int option, result_arguments *a) {
    if (option >= 1 && option <= RESULT_INPUTS) {
        a->inputs[option - 1].text = optarg;
        return CLI_OK;
    }
    switch (option) {
    case GROUP: return cli_read_number(command, "--group", optarg, 1, INT64_MAX, &a->group);
    case SEED: return cli_read_number(command, "--seed", optarg, 0, INT64_MAX, &a->seed);
    case ROUNDS: return cli_read_number(command, "--rounds", optarg, 1, 64, &a->rounds);
    case ACTIVATION: return cli_read_word(command, "--activation", optarg, cli_activations, &a->activation);
    case TYPE_B: return cli_read_word(command, "--type-b", optarg, types_b, &a->type_b);
    case TYPE_C: return cli_read_word(command, "--type-c", optarg, types_c, &a->type_c);
    case FORMAT: return read_format(command, a);
    case EXACT_LIMIT:
        if (cli_read_double(optarg, 0.0, 1e18, &a->exact_limit)) return CLI_OK;
        return cli_error(CLI_USAGE, command, "--exact-limit '%s' is not a number from 0 to 1e18", optarg);
    case TRANSPOSE_A: a->transpose_a = true; break;
    case TRANSPOSE_B: a->transpose_b = true; break;
    case DEVICE: a->device = optarg; break;
    case SAVE: a->save = optarg; break;
    case 'h': a->help = true; break;
    }
    return CLI_OK;
}

static int parse(int argc, char **argv, result_arguments *a) {
    int option, code;
    opterr = 0;
    while ((option = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
        if (option == '?' || option == ':') return cli_bad_option(argv[0], option, argv);
        if ((code = read_option(argv[0], option, a)) != CLI_OK || a->help) return code;
    }
    if (optind < argc) return cli_error(CLI_USAGE, argv[0], "unexpected argument '%s'", argv[optind]);
    for (int i = RESULT_A; i <= RESULT_C; i++)
        if (!a->inputs[i].text)
            return cli_error(CLI_USAGE, argv[0], "--a, --b and --c are needed together; %s is missing",
                             result_option((result_name)i));
    return CLI_OK;
}

int cli_validate_result(int argc, char **argv) {
    result_arguments a = { .device = "cpu", .seed = 1, .rounds = 1, .exact_limit = CLI_EXACT_LIMIT };
    result_verdict verdict;
    result_sizes z;
    int code = parse(argc, argv, &a);
    if (code != CLI_OK) return code;
    if (a.help) {
        fputs(help, stdout);
        return CLI_OK;
    }
    code = result_read_inputs(argv[0], &a);
    if (code == CLI_OK) code = result_find_sizes(argv[0], &a, &z);
    if (code == CLI_OK) code = result_check_epilogue(argv[0], &a, &z);
    if (code == CLI_OK && a.save) code = cli_make_directory(argv[0], a.save);
    if (code == CLI_OK) code = result_check(argv[0], &a, &z, &verdict);
    if (code == CLI_OK) {
        result_report(&a, &z, &verdict);
        code = result_is_right(&verdict) ? CLI_OK : CLI_FAILED;
    }
    result_free_inputs(&a);
    return code;
}
