/* SPDX-License-Identifier: Apache-2.0
 *
 * qmm validate --weights FILE: every matrix of a model through quantization, matmul and verification; a table of what
 * quantization costs and of what the device computed. */
#define _POSIX_C_SOURCE 200809L
#include "model.h"

#include <fnmatch.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static const char help[] =
    "usage: qmm validate --weights FILE.safetensors|FILE.npy [OPTION ...]\n\n"
    "Runs every matrix of a model (two dimensions; F32, F16 or BF16; N x K, as PyTorch keeps the weights of a linear\n"
    "layer) through qmm: its weights are quantized, random normal activations are quantized per row, both are\n"
    "multiplied to f32, and the product is verified. Prints for each matrix\n"
    "  weights dB   SQNR of the quantized weights against the file's\n"
    "  product dB   SQNR of the product against the same product in double, on at most 8 of its rows; and the cosine\n"
    "  checked      exact: every element compared with the cpu's reference row; freivalds: by qmm_verify_matmul\n\n"
    "  --type TYPE        of the quantized weights: s8 (the default) or s4\n"
    "  --granularity W    column   a scale per column of B, which is a row of the file's matrix (the default)\n"
    "                     tensor   one\n"
    "                     group:G  one for each G elements along K\n"
    "  --m N              rows of the activations, 1 to 65536 (32)\n"
    "  --match GLOB       only matrices whose name matches, as 'encoder.*.weight'\n"
    "  --list             the file's matrices, and what is left out; runs nothing\n"
    "  --exact-limit N    a product of up to N operations (2MNK; 17179869184) is compared bit for bit with the cpu's\n"
    "                     reference row, a larger one checked by Freivalds' method\n"
    "  --device NAME      cpu (the default), auto, or a name from qmm devices\n"
    "  --seed N           of the activations and of the verification (1)\n"
    "  --format FORMAT    text (the default), json or csv\n"
    "  -h, --help         this text\n\n"
    "Exit codes: 0 all passed, 1 a product is wrong or none ran, 2 bad usage or file, 3 no such device.\n";

/* ---- arguments --------------------------------------------------------------------------------------------------- */

enum { WEIGHTS = 1, TYPE, GRANULARITY, ROWS, MATCH, LIST, EXACT_LIMIT, DEVICE, SEED, FORMAT };

static const struct option options[] = {
    { "weights", required_argument, NULL, WEIGHTS },
    { "type", required_argument, NULL, TYPE },
    { "granularity", required_argument, NULL, GRANULARITY },
    { "m", required_argument, NULL, ROWS },
    { "match", required_argument, NULL, MATCH },
    { "list", no_argument, NULL, LIST },
    { "exact-limit", required_argument, NULL, EXACT_LIMIT },
    { "device", required_argument, NULL, DEVICE },
    { "seed", required_argument, NULL, SEED },
    { "format", required_argument, NULL, FORMAT },
    { "help", no_argument, NULL, 'h' },
    { NULL, 0, NULL, 0 },
};

static const cli_word types[] = { { "s8", QMM_S8 }, { "s4", QMM_S4 }, { NULL, 0 } };
static const cli_word formats[] = { { "text", MODEL_TEXT }, { "json", MODEL_JSON }, { "csv", MODEL_CSV }, { NULL, 0 } };

static int read_granularity(const char *command, model_arguments *a) {
    a->per_tensor = strcmp(optarg, "tensor") == 0;
    a->group = 0;
    if (a->per_tensor || strcmp(optarg, "column") == 0) return CLI_OK;
    if (strncmp(optarg, "group:", 6) == 0 && cli_read_int(optarg + 6, 1, INT64_MAX, &a->group)) return CLI_OK;
    return cli_error(CLI_USAGE, command, "--granularity '%s' is none of column tensor group:G", optarg);
}

static int read_option(const char *command, int option, model_arguments *a) {
    switch (option) {
    case WEIGHTS: a->weights = optarg; break;
    case TYPE: return cli_read_word(command, "--type", optarg, types, &a->type);
    case GRANULARITY: return read_granularity(command, a);
    case ROWS: return cli_read_number(command, "--m", optarg, 1, 65536, &a->m);
    case MATCH: a->match = optarg; break;
    case LIST: a->list = true; break;
    case EXACT_LIMIT:
        if (cli_read_double(optarg, 0.0, 1e18, &a->exact_limit)) return CLI_OK;
        return cli_error(CLI_USAGE, command, "--exact-limit '%s' is not a number from 0 to 1e18", optarg);
    case DEVICE: a->device = optarg; break;
    case SEED: return cli_read_number(command, "--seed", optarg, 0, INT64_MAX, &a->seed);
    case FORMAT: return cli_read_word(command, "--format", optarg, formats, &a->format);
    case 'h': a->help = true; break;
    }
    return CLI_OK;
}

static int parse(int argc, char **argv, model_arguments *a) {
    int option, code;
    opterr = 0;
    while ((option = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
        if (option == '?' || option == ':') return cli_bad_option(argv[0], option, argv);
        if ((code = read_option(argv[0], option, a)) != CLI_OK || a->help) return code;
    }
    if (optind < argc) return cli_error(CLI_USAGE, argv[0], "unexpected argument '%s'", argv[optind]);
    if (!a->weights) return cli_error(CLI_USAGE, argv[0], "--weights FILE is missing");
    return CLI_OK;
}

/* ---- the file ---------------------------------------------------------------------------------------------------- */

static bool ends_in(const char *text, const char *ending) {
    const size_t length = strlen(text), wanted = strlen(ending);
    return length >= wanted && strcmp(text + length - wanted, ending) == 0;
}

static void add_tensor(const model_arguments *a, const safetensors_tensor *t, model *m) {
    static const cli_word reals[] = { { "F32", QMM_F32 }, { "F16", QMM_F16 }, { "BF16", QMM_BF16 }, { NULL, 0 } };
    const cli_word *type = reals;
    while (type->word && strcmp(type->word, t->dtype) != 0) type++;
    if (!type->word) {
        m->left.not_real++;
    } else if (t->dims < 2) {
        m->left.vectors++;
    } else if (t->dims > 2) {
        m->left.other_dims++;
    } else if (t->bytes == 0) {
        m->left.empty++;
    } else if (a->match && fnmatch(a->match, t->name, 0) != 0) {
        m->left.not_matched++;
    } else {
        m->items[m->count++] = (model_matrix){ .name = t->name, .dtype = t->dtype, .type = (qmm_type)type->value,
                                         .n = t->shape[0], .k = t->shape[1], .tensor = t };
    }
}

static int open_safetensors(const char *command, const model_arguments *a, model *m) {
    char error[SAFETENSORS_ERROR_BYTES + PATH_MAX];
    if (!safetensors_open(a->weights, &m->file, error, sizeof error))
        return cli_error(CLI_USAGE, command, "--weights %s", error);
    m->items = calloc(m->file.count + 1, sizeof *m->items);
    if (!m->items) return cli_error(CLI_FAILED, command, "no memory for %zu matrices", m->file.count);
    for (size_t i = 0; i < m->file.count; i++) add_tensor(a, &m->file.tensors[i], m);
    return CLI_OK;
}

static int open_npy(const char *command, const model_arguments *a, model *m) {
    char error[NPY_ERROR_BYTES + PATH_MAX];
    const npy_array *array = &m->array;
    if (!npy_read(a->weights, &m->array, error, sizeof error))
        return cli_error(CLI_USAGE, command, "--weights %s", error);
    if ((array->type != NPY_F4 && array->type != NPY_F2) || array->dims != 2)
        return cli_error(CLI_USAGE, command, "--weights %s: a matrix of f4 or f2 is needed, not %d dimensions of %s",
                         a->weights, array->dims, npy_type_name(array->type));
    m->items = calloc(1, sizeof *m->items);
    if (!m->items) return cli_error(CLI_FAILED, command, "no memory for a matrix");
    m->left.empty = array->count == 0;
    m->left.not_matched = array->count > 0 && a->match && fnmatch(a->match, a->weights, 0) != 0;
    m->count = m->left.empty || m->left.not_matched ? 0 : 1;
    *m->items = (model_matrix){ .name = a->weights, .dtype = npy_type_name(array->type),
                                .type = array->type == NPY_F4 ? QMM_F32 : QMM_F16,
                                .n = array->shape[0], .k = array->shape[1] };
    return CLI_OK;
}

static int open_model(const char *command, const model_arguments *a, model *m) {
    int code;
    if (ends_in(a->weights, ".npy")) {
        code = open_npy(command, a, m);
    } else if (ends_in(a->weights, ".safetensors")) {
        code = open_safetensors(command, a, m);
    } else {
        return cli_error(CLI_USAGE, command, "--weights '%s' ends neither in .safetensors nor in .npy", a->weights);
    }
    if (code == CLI_OK && m->count == 0)
        return cli_error(CLI_USAGE, command, "--weights %s: holds no matrix of reals%s", a->weights,
                         a->match ? " that --match lets through" : "");
    return code;
}

static void close_model(model *m) {
    safetensors_close(&m->file);
    npy_free(&m->array);
    free(m->items);
}

bool model_read_piece(const model *m, const model_matrix *x, uint64_t first, void *target, size_t bytes, char *error,
                       size_t error_bytes) {
    if (x->tensor) return safetensors_read(&m->file, x->tensor, first, target, bytes, error, error_bytes);
    memcpy(target, (const unsigned char *)m->array.data + first, bytes);
    return true;
}

/* ---- the command ------------------------------------------------------------------------------------------------- */

int cli_validate_weights(int argc, char **argv) {
    model_arguments a = { .device = "cpu", .type = QMM_S8, .m = 32, .seed = 1, .exact_limit = CLI_EXACT_LIMIT };
    model m = { .file = { .descriptor = -1 }, .device = QMM_DEVICE_INFO_INIT };
    int code = parse(argc, argv, &a);
    if (code != CLI_OK) return code;
    if (a.help) {
        fputs(help, stdout);
        return CLI_OK;
    }
    code = open_model(argv[0], &a, &m);
    if (code == CLI_OK && !a.list) code = model_run(argv[0], &a, &m);
    if (code == CLI_OK) {
        model_report(&a, &m);
        if (!a.list && !model_is_right(&m)) code = CLI_FAILED;
    }
    close_model(&m);
    return code;
}
