/* SPDX-License-Identifier: Apache-2.0
 *
 * qmm quantize: a float array in, its codes and their scales and zero points out, and what it cost. */
#define _POSIX_C_SOURCE 200809L
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli.h"
#include "npy.h"
#include "progress.h"

static const char help[] =
    "usage: qmm quantize [OPTION ...] IN.npy OUT.npy\n\n"
    "Quantizes an array of f4 or f2 with at most three dimensions (of three, the first counts matrices). Writes the\n"
    "codes to OUT.npy, the scales (f4) to OUT.scale.npy and the zero points (i4) to OUT.zero.npy, so that\n"
    "real = scale * (code - zero), and prints how far that is from IN. Codes of 4 bits are written one to a byte, as\n"
    "i1 or u1.\n\n"
    "  --type TYPE           s8 (the default), u8, s4, u4, s16 or u16\n"
    "  --bits N              use N bits of the type only: 2..8, for s4 and u4 2..4, for s16 and u16 9..16\n"
    "  --granularity WHICH   which elements share a scale:\n"
    "                          tensor        all (the default)\n"
    "                          row, column   those of a row, of a column\n"
    "                          row-group     N consecutive elements of a row, N from --group-size\n"
    "                          column-group  N consecutive elements of a column\n"
    "  --group-size N        elements of a group; divides the row or the column\n"
    "  --asymmetric          use a zero point, so that the codes span min..max. Without it u8, u4 and u16 hold no\n"
    "                        negative values\n"
    "  --method METHOD       how the range of the whole array is chosen, for --granularity tensor:\n"
    "                          minmax      smallest and largest value (the default)\n"
    "                          percentile  leaves out a share of the values, see --percentile\n"
    "                          mse         least mean squared error\n"
    "                          entropy     least Kullback-Leibler divergence; symmetric only\n"
    "  --percentile P        above 50, at most 100 (default 99.99): keep P % of the values\n"
    "  --dynamic             find minmax parameters on the device in float32, a set for each matrix, as during\n"
    "                        inference. Rows, columns and groups are always quantized in this way; for the tensor\n"
    "                        the default is one set for the whole array, computed in double\n"
    "  --device NAME         a device of `qmm devices`; auto (the default) is the best one\n"
    "  -h, --help            this text\n";

typedef struct arguments {
    const char *input, *output, *device;
    int type, granularity, method; /* qmm_type, qmm_granularity, qmm_range_method */
    int64_t bits, group_size;
    double percentile;
    bool asymmetric, dynamic, help;
} arguments;

/* ---- arguments --------------------------------------------------------------------------------------------------- */

enum { TYPE = 1, BITS, GRANULARITY, GROUP_SIZE, ASYMMETRIC, METHOD, PERCENTILE, DYNAMIC, DEVICE };

static const struct option options[] = {
    { "type", required_argument, NULL, TYPE },
    { "bits", required_argument, NULL, BITS },
    { "granularity", required_argument, NULL, GRANULARITY },
    { "group-size", required_argument, NULL, GROUP_SIZE },
    { "asymmetric", no_argument, NULL, ASYMMETRIC },
    { "method", required_argument, NULL, METHOD },
    { "percentile", required_argument, NULL, PERCENTILE },
    { "dynamic", no_argument, NULL, DYNAMIC },
    { "device", required_argument, NULL, DEVICE },
    { "help", no_argument, NULL, 'h' },
    { NULL, 0, NULL, 0 },
};

static const cli_word types[] = { { "s8", QMM_S8 },   { "u8", QMM_U8 },   { "s4", QMM_S4 }, { "u4", QMM_U4 },
                                  { "s16", QMM_S16 }, { "u16", QMM_U16 }, { NULL, 0 } };
static const cli_word granularities[] = { { "tensor", QMM_PER_TENSOR },
                                          { "row", QMM_PER_ROW },
                                          { "column", QMM_PER_COLUMN },
                                          { "row-group", QMM_PER_ROW_GROUP },
                                          { "column-group", QMM_PER_COLUMN_GROUP },
                                          { NULL, 0 } };
static const cli_word methods[] = { { "minmax", QMM_RANGE_MINMAX },
                                    { "percentile", QMM_RANGE_PERCENTILE },
                                    { "mse", QMM_RANGE_MSE },
                                    { "entropy", QMM_RANGE_ENTROPY },
                                    { NULL, 0 } };

static int read_number(const char *command, const char *option, const char *text, int64_t max, int64_t *value) {
    if (cli_read_int(text, 1, max, value)) return CLI_OK;
    return cli_error(CLI_USAGE, command, "%s '%s' is not a whole number of at least 1", option, text);
}

static int read_percentile(const char *command, const char *text, double *value) {
    if (cli_read_double(text, 50.0, 100.0, value) && *value > 50.0) return CLI_OK;
    return cli_error(CLI_USAGE, command, "--percentile '%s' is not above 50 and at most 100", text);
}

static int read_option(const char *command, int option, arguments *a) {
    switch (option) {
    case TYPE: return cli_read_word(command, "--type", optarg, types, &a->type);
    case BITS: return read_number(command, "--bits", optarg, 99, &a->bits);
    case GRANULARITY: return cli_read_word(command, "--granularity", optarg, granularities, &a->granularity);
    case GROUP_SIZE: return read_number(command, "--group-size", optarg, INT64_MAX, &a->group_size);
    case METHOD: return cli_read_word(command, "--method", optarg, methods, &a->method);
    case PERCENTILE: return read_percentile(command, optarg, &a->percentile);
    case ASYMMETRIC: a->asymmetric = true; break;
    case DYNAMIC: a->dynamic = true; break;
    case DEVICE: a->device = optarg; break;
    case 'h': a->help = true; break;
    }
    return CLI_OK;
}

/* What the options may not say together. */
static int check_options(const char *command, const arguments *a) {
    const bool grouped = a->granularity == QMM_PER_ROW_GROUP || a->granularity == QMM_PER_COLUMN_GROUP;
    const bool minmax = a->method == QMM_RANGE_MINMAX;
    int32_t qmin, qmax;
    const char *rule =
        qmm_type_range((qmm_type)a->type, (int)a->bits, &qmin, &qmax) != QMM_OK
            ? "--bits does not fit --type: 2..8 for s8 and u8, 2..4 for s4 and u4, 9..16 for s16 and u16"
        : grouped && a->group_size == 0                   ? "--granularity row-group and column-group need --group-size"
        : !grouped && a->group_size != 0                  ? "--group-size needs --granularity row-group or column-group"
        : !minmax && a->dynamic                           ? "--dynamic goes with --method minmax only"
        : !minmax && a->granularity != QMM_PER_TENSOR     ? "--method other than minmax needs --granularity tensor"
        : a->method == QMM_RANGE_ENTROPY && a->asymmetric ? "--method entropy is symmetric; it excludes --asymmetric"
        : a->percentile > 0.0 && a->method != QMM_RANGE_PERCENTILE ? "--percentile needs --method percentile"
                                                                   : NULL;
    return rule ? cli_error(CLI_USAGE, command, "%s", rule) : CLI_OK;
}

static int parse(int argc, char **argv, arguments *a) {
    int option, code;
    opterr = 0;
    while ((option = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
        if (option == '?' || option == ':') return cli_bad_option(argv[0], option, argv);
        if ((code = read_option(argv[0], option, a)) != CLI_OK || a->help) return code;
    }
    if (argc - optind < 2)
        return cli_error(CLI_USAGE, argv[0], "IN.npy and OUT.npy are needed; see qmm quantize --help");
    if (argc - optind > 2) return cli_error(CLI_USAGE, argv[0], "unexpected argument '%s'", argv[optind + 2]);
    a->input = argv[optind];
    a->output = argv[optind + 1];
    return check_options(argv[0], a);
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

typedef struct output_names {
    char scale[PATH_MAX], zero[PATH_MAX];
} output_names;

static bool is_same_file(const char *a, const char *b) {
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* OUT.npy gives OUT.scale.npy and OUT.zero.npy; none of the three may be the input. */
static int name_outputs(const char *command, const arguments *a, output_names *names) {
    const size_t length = strlen(a->output);
    const int stem = (int)length - 4;
    if (length >= PATH_MAX - 10) return cli_error(CLI_USAGE, command, "the path of OUT.npy is too long");
    if (stem < 1 || strcmp(a->output + stem, ".npy") != 0 || a->output[stem - 1] == '/')
        return cli_error(CLI_USAGE, command, "OUT.npy '%s' does not end in .npy", a->output);
    snprintf(names->scale, sizeof names->scale, "%.*s.scale.npy", stem, a->output);
    snprintf(names->zero, sizeof names->zero, "%.*s.zero.npy", stem, a->output);
    if (is_same_file(a->input, a->output) || is_same_file(a->input, names->scale) ||
        is_same_file(a->input, names->zero))
        return cli_error(CLI_USAGE, command, "IN.npy '%s' would be overwritten", a->input);
    return CLI_OK;
}

static int read_input(const char *command, const arguments *a, npy_array *input) {
    char error[NPY_ERROR_BYTES + PATH_MAX];
    int code = CLI_OK;
    if (!npy_read(a->input, input, error, sizeof error)) return cli_error(CLI_USAGE, command, "%s", error);
    if (input->type != NPY_F4 && input->type != NPY_F2) {
        code = cli_error(CLI_USAGE, command, "%s: type %s; f4 or f2 is needed", a->input, npy_type_name(input->type));
    } else if (input->dims == 3 && input->shape[0] == 0) {
        code = cli_error(CLI_USAGE, command, "%s: holds no matrix, its first dimension is 0", a->input);
    }
    if (code != CLI_OK) npy_free(input);
    return code;
}

/* ---- the work ---------------------------------------------------------------------------------------------------- */

/* Tensors on the device, and what comes back. The context frees the buffers. */
typedef struct job {
    const char *command;
    const arguments *a;
    qmm_context *context;
    bool dynamic; /* parameters from the device, in tensors; else one pair, in quant */
    qmm_tensor x, q, restored, scale, zero;
    qmm_quant quant;
    void *codes, *scales, *zeros; /* on the host; each may be NULL where there is no element */
    size_t scale_count;
    qmm_error_measure error;
} job;

static qmm_status create_tensor(job *j, qmm_type type, int64_t rows, int64_t cols, int64_t batch, qmm_tensor *t) {
    qmm_buffer *buffer;
    size_t bytes;
    CLI_TRY(qmm_matrix_bytes(type, rows, cols, batch, &bytes));
    CLI_TRY(qmm_buffer_create(j->context, bytes, &buffer));
    *t = qmm_matrix(buffer, type, rows, cols);
    t->batch = batch;
    t->batch_stride = rows * t->row_stride;
    return QMM_OK;
}

/* An array of three dimensions is a batch of matrices, one of one dimension a row. */
static qmm_status create_tensors(job *j, const npy_array *input) {
    const int64_t batch = input->dims == 3 ? input->shape[0] : 1;
    const int64_t rows = input->dims < 2 ? 1 : input->shape[input->dims - 2];
    const int64_t cols = input->dims < 1 ? 1 : input->shape[input->dims - 1];
    CLI_TRY(create_tensor(j, input->type == NPY_F4 ? QMM_F32 : QMM_F16, rows, cols, batch, &j->x));
    CLI_TRY(create_tensor(j, (qmm_type)j->a->type, rows, cols, batch, &j->q));
    CLI_TRY(create_tensor(j, QMM_F32, rows, cols, batch, &j->restored));
    return qmm_buffer_upload(j->context, j->x.buffer, 0, input->data, input->bytes);
}

static qmm_status quantize_static(job *j) {
    qmm_range_options range = QMM_RANGE_OPTIONS_INIT;
    double min, max;
    range.method = (qmm_range_method)j->a->method;
    range.symmetric = !j->a->asymmetric;
    range.type = (qmm_type)j->a->type;
    range.bits = (int32_t)j->a->bits;
    if (j->a->percentile > 0.0) range.percentile = j->a->percentile;
    CLI_TRY(qmm_find_range(j->context, &j->x, &range, &min, &max));
    CLI_TRY(qmm_choose_params(min, max, range.type, range.bits, range.symmetric, &j->quant.scale_value,
                          &j->quant.zero_value));
    return qmm_quantize(j->context, &j->x, &j->quant, &j->q);
}

/* Rows and columns of the scales of one matrix. A group that does not divide is left for the library to refuse. */
static void scale_shape(const arguments *a, const qmm_tensor *x, int64_t *rows, int64_t *cols) {
    const bool by_row = a->granularity == QMM_PER_ROW || a->granularity == QMM_PER_ROW_GROUP;
    const bool by_column = a->granularity == QMM_PER_COLUMN || a->granularity == QMM_PER_COLUMN_GROUP;
    *rows = by_row ? x->rows : a->granularity == QMM_PER_COLUMN_GROUP ? x->rows / a->group_size : 1;
    *cols = by_column ? x->cols : a->granularity == QMM_PER_ROW_GROUP ? x->cols / a->group_size : 1;
}

static qmm_status quantize_dynamic(job *j) {
    int64_t rows, cols;
    scale_shape(j->a, &j->x, &rows, &cols);
    CLI_TRY(create_tensor(j, QMM_F32, rows, cols, j->x.batch, &j->scale));
    j->quant.scale = &j->scale;
    if (j->a->asymmetric) {
        CLI_TRY(create_tensor(j, QMM_S32, rows, cols, j->x.batch, &j->zero));
        j->quant.zero = &j->zero;
    }
    return qmm_quantize_dynamic(j->context, &j->x, &j->quant, &j->q);
}

static qmm_status compute(job *j, const npy_array *input) {
    CLI_TRY(create_tensors(j, input));
    j->quant.granularity = (qmm_granularity)j->a->granularity;
    j->quant.group_size = j->a->group_size;
    j->quant.bits = (int32_t)j->a->bits;
    CLI_TRY(j->dynamic ? quantize_dynamic(j) : quantize_static(j));
    CLI_TRY(qmm_dequantize(j->context, &j->q, &j->quant, &j->restored));
    return qmm_measure_error(j->context, &j->x, &j->restored, &j->error);
}

/* ---- results to the host ----------------------------------------------------------------------------------------- */

/* One code a byte from two, in place: from the end, so that no code is overwritten before it is read. Rows begin on a
 * byte of their own. */
static void unpack4(signed char *codes, int64_t rows, int64_t cols, bool is_signed) {
    const int64_t row_bytes = (cols + 1) / 2;
    for (int64_t i = rows - 1; i >= 0; i--) {
        for (int64_t j = cols - 1; j >= 0; j--) {
            const int pair = (unsigned char)codes[i * row_bytes + j / 2], code = j % 2 ? pair >> 4 : pair & 15;
            codes[i * cols + j] = (signed char)(is_signed && code > 7 ? code - 16 : code);
        }
    }
}

static qmm_status download(job *j, const qmm_tensor *t, void *target) {
    return qmm_buffer_download(j->context, t->buffer, 0, target, qmm_buffer_bytes(t->buffer));
}

static qmm_status download_codes(job *j, const npy_array *input) {
    const bool packed = qmm_type_bits(j->q.type) == 4;
    CLI_TRY(download(j, &j->q, j->codes));
    if (packed && input->count > 0) unpack4(j->codes, j->q.batch * j->q.rows, j->q.cols, j->q.type == QMM_S4);
    return QMM_OK;
}

static qmm_status download_parameters(job *j) {
    if (!j->dynamic) {
        memcpy(j->scales, &j->quant.scale_value, sizeof j->quant.scale_value);
        memcpy(j->zeros, &j->quant.zero_value, sizeof j->quant.zero_value);
        return QMM_OK;
    }
    CLI_TRY(download(j, &j->scale, j->scales));
    return j->a->asymmetric ? download(j, &j->zero, j->zeros) : QMM_OK; /* symmetric: they stay 0 */
}

static int fetch(job *j, const npy_array *input) {
    const size_t code_bytes = qmm_type_bits(j->q.type) == 16 ? 2 : 1;
    j->scale_count = j->dynamic ? (size_t)(j->scale.rows * j->scale.cols * j->scale.batch) : 1;
    /* Packed codes fit too: a row of n takes (n + 1) / 2 bytes. One more, because of no bytes calloc may give NULL. */
    j->codes = calloc((size_t)input->count + 1, code_bytes);
    j->scales = calloc(j->scale_count + 1, sizeof(float));
    j->zeros = calloc(j->scale_count + 1, sizeof(int32_t));
    if (!j->codes || !j->scales || !j->zeros) return cli_error(CLI_FAILED, j->command, "no host memory for the codes");
    if (download_codes(j, input) != QMM_OK || download_parameters(j) != QMM_OK)
        return cli_qmm_error(j->command, j->context);
    return CLI_OK;
}

/* ---- writing and reporting --------------------------------------------------------------------------------------- */

static npy_type code_file_type(qmm_type type) {
    if (type == QMM_S16) return NPY_I2;
    if (type == QMM_U16) return NPY_U2;
    return type == QMM_S8 || type == QMM_S4 ? NPY_I1 : NPY_U1;
}

/* The parameters have as many dimensions as the input, so that NumPy spreads per-row and per-column ones by itself. */
static int write_outputs(const job *j, const npy_array *input, const output_names *names) {
    const int64_t shape[] = { j->scale.batch, j->scale.rows, j->scale.cols };
    const int dims = j->dynamic ? input->dims : 0;
    const int64_t *last = shape + NPY_DIMS_MAX - dims;
    const npy_file files[] = {
        { j->a->output, npy_view(code_file_type(j->q.type), input->dims, input->shape, j->codes) },
        { names->scale, npy_view(NPY_F4, dims, last, j->scales) },
        { names->zero, npy_view(NPY_I4, dims, last, j->zeros) },
    };
    char error[NPY_ERROR_BYTES + PATH_MAX];
    if (npy_write(files, sizeof files / sizeof files[0], error, sizeof error)) return CLI_OK;
    return cli_error(CLI_FAILED, j->command, "%s", error);
}

static void print_shape(const npy_array *array) {
    if (array->dims == 0) fputs("scalar", stdout);
    for (int i = 0; i < array->dims; i++) printf(i ? " x %lld" : "%lld", (long long)array->shape[i]);
}

static const char *word_of(const cli_word *words, int value) {
    while (words->word && words->value != value) words++;
    return words->word;
}

static void print_summary(const job *j, const npy_array *input, const output_names *names) {
    printf("input      %s: %s, ", j->a->input, npy_type_name(input->type));
    print_shape(input);
    printf("\ncodes      %s: %s", j->a->output, qmm_type_name(j->q.type));
    if (j->a->bits) printf(" with %d bits", (int)j->a->bits);
    printf(", %s, per %s", j->a->asymmetric ? "asymmetric" : "symmetric", word_of(granularities, j->a->granularity));
    if (j->a->group_size) printf(" of %lld", (long long)j->a->group_size);
    printf("\nscales     %s", names->scale);
    if (j->dynamic) {
        printf(": %zu, by minmax on the device\nzeros      %s\n", j->scale_count, names->zero);
    } else {
        printf(": %.9g, by %s\nzeros      %s: %d\n", (double)j->quant.scale_value, word_of(methods, j->a->method),
               names->zero, (int)j->quant.zero_value);
    }
    printf("SQNR       %.2f dB\nmax error  %.9g\nmse        %.9g\ncosine     %.9f\n", j->error.sqnr_db,
           j->error.max_error, j->error.mse, j->error.cosine);
    if (j->error.skipped > 0) printf("left out   %lld values that are NaN or infinite\n", (long long)j->error.skipped);
}

/* ---- the command ------------------------------------------------------------------------------------------------- */

enum { STEPS = 4 }; /* read, compute, fetch, write */

static int work(job *j, const output_names *names, progress *bar) {
    npy_array input;
    int code = read_input(j->command, j->a, &input);
    if (code != CLI_OK) return code;
    progress_show(bar, 1, STEPS);
    if (compute(j, &input) != QMM_OK) code = cli_qmm_error(j->command, j->context);
    progress_show(bar, 2, STEPS);
    if (code == CLI_OK) code = fetch(j, &input);
    progress_show(bar, 3, STEPS);
    if (code == CLI_OK) code = write_outputs(j, &input, names);
    progress_end(bar);
    if (code == CLI_OK) print_summary(j, &input, names);
    free(j->codes);
    free(j->scales);
    free(j->zeros);
    npy_free(&input);
    return code;
}

int cmd_quantize(int argc, char **argv) {
    arguments a = { .device = "auto", .type = QMM_S8, .granularity = QMM_PER_TENSOR, .method = QMM_RANGE_MINMAX };
    job j = { .command = argv[0], .a = &a, .quant = QMM_QUANT_INIT, .error = QMM_ERROR_MEASURE_INIT };
    output_names names;
    progress bar;
    int code = parse(argc, argv, &a);
    if (code != CLI_OK) return code;
    if (a.help) {
        fputs(help, stdout);
        return CLI_OK;
    }
    if ((code = name_outputs(j.command, &a, &names)) != CLI_OK) return code;
    if ((code = cli_open(j.command, a.device, &j.context)) != CLI_OK) return code;
    j.dynamic = a.dynamic || a.granularity != QMM_PER_TENSOR;
    progress_start(&bar, "quantize");
    code = work(&j, &names, &bar);
    qmm_context_close(j.context);
    return code;
}
