/* SPDX-License-Identifier: Apache-2.0
 *
 * One matrix of a model at a time: its weights quantized, times random activations, verified, and beside the product in
 * double. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "difference.h"
#include "model.h"
#include "progress.h"
#include "random.h"

/* ---- one matrix on the device ------------------------------------------------------------------------------------ */

enum { SAMPLE_ROWS = 8, BUFFERS_MAX = 16, PIECE_BYTES = 1 << 20 };

typedef struct job {
    const char *command;
    const model_arguments *a;
    model *m;
    qmm_context *context, *oracle; /* oracle: the cpu with its reference row */
    qmm_context *at_work;          /* the one that an error is of */
    qmm_buffer *buffers[BUFFERS_MAX]; /* of the matrix at work */
    int buffer_count;
    model_matrix *x;
    qmm_tensor w, codes, scale, restored, activations, a_codes, a_scale, c;
    qmm_quant quant_a, quant_b;
    qmm_matmul_desc desc;
    float *values;       /* m x k activations */
    double *columns;     /* k x SAMPLE_ROWS of them, for the product in double */
    double *row;         /* k weights */
    double *product;     /* SAMPLE_ROWS x n */
    float *got;          /* n elements of c */
    unsigned char *piece;
    bool file_failed;
    char error[SAFETENSORS_ERROR_BYTES];
} job;

static qmm_status create(job *j, qmm_context *context, qmm_type type, int64_t rows, int64_t cols, qmm_tensor *t) {
    qmm_buffer *buffer;
    size_t bytes;
    CLI_TRY(qmm_matrix_bytes(type, rows, cols, 1, &bytes));
    CLI_TRY(qmm_buffer_create(context, bytes, &buffer));
    j->buffers[j->buffer_count++] = buffer;
    *t = qmm_matrix(buffer, type, rows, cols);
    return QMM_OK;
}

/* The weights from the file, piece by piece. */
static qmm_status upload_weights(job *j) {
    const uint64_t bytes = (uint64_t)qmm_buffer_bytes(j->w.buffer);
    for (uint64_t at = 0; at < bytes; at += PIECE_BYTES) {
        const size_t length = bytes - at < PIECE_BYTES ? (size_t)(bytes - at) : (size_t)PIECE_BYTES;
        if (!model_read_piece(j->m, j->x, at, j->piece, length, j->error, sizeof j->error)) {
            j->file_failed = true;
            return QMM_INVALID_ARGUMENT;
        }
        CLI_TRY(qmm_buffer_upload(j->context, j->w.buffer, (size_t)at, j->piece, length));
    }
    return QMM_OK;
}

static qmm_status quantize_weights(job *j, int64_t *not_finite) {
    const int64_t n = j->x->n, k = j->x->k, group = j->a->group;
    qmm_error_measure error = QMM_ERROR_MEASURE_INIT;
    j->quant_b.granularity = group ? QMM_PER_ROW_GROUP : j->a->per_tensor ? QMM_PER_TENSOR : QMM_PER_ROW;
    j->quant_b.group_size = group;
    CLI_TRY(create(j, j->context, j->x->type, n, k, &j->w));
    CLI_TRY(upload_weights(j));
    CLI_TRY(create(j, j->context, (qmm_type)j->a->type, n, k, &j->codes));
    CLI_TRY(create(j, j->context, QMM_F32, j->a->per_tensor ? 1 : n, group ? k / group : 1, &j->scale));
    CLI_TRY(create(j, j->context, QMM_F32, n, k, &j->restored));
    CLI_TRY(qmm_quantize_dynamic(j->context, &j->w, &j->quant_b, &j->codes));
    CLI_TRY(qmm_dequantize(j->context, &j->codes, &j->quant_b, &j->restored));
    CLI_TRY(qmm_measure_error(j->context, &j->w, &j->restored, &error));
    j->x->weights_db = error.sqnr_db;
    *not_finite = error.skipped;
    return QMM_OK;
}

static int64_t sample_count(const job *j) {
    return j->a->m < SAMPLE_ROWS ? j->a->m : SAMPLE_ROWS;
}

/* Rows spread over all. */
static int64_t sample_row(const job *j, int64_t s) {
    return s * j->a->m / sample_count(j);
}

static void make_activations(job *j) {
    const int64_t k = j->x->k;
    validate_random random;
    validate_random_start(&random, (uint64_t)j->a->seed, j->x->name, 0);
    for (int64_t i = 0; i < j->a->m * k; i++) j->values[i] = (float)validate_normal(&random);
    for (int64_t s = 0; s < SAMPLE_ROWS; s++)
        for (int64_t i = 0; i < k; i++)
            j->columns[i * SAMPLE_ROWS + s] =
                s < sample_count(j) ? (double)j->values[sample_row(j, s) * k + i] : 0.0;
}

static qmm_status multiply(job *j) {
    const int64_t m = j->a->m, k = j->x->k;
    make_activations(j);
    CLI_TRY(create(j, j->context, QMM_F32, m, k, &j->activations));
    CLI_TRY(create(j, j->context, QMM_S8, m, k, &j->a_codes));
    CLI_TRY(create(j, j->context, QMM_F32, m, 1, &j->a_scale));
    CLI_TRY(create(j, j->context, QMM_F32, m, j->x->n, &j->c));
    CLI_TRY(qmm_buffer_upload(j->context, j->activations.buffer, 0, j->values,
                              qmm_buffer_bytes(j->activations.buffer)));
    CLI_TRY(qmm_quantize_dynamic(j->context, &j->activations, &j->quant_a, &j->a_codes));
    return qmm_matmul(j->context, &j->desc, &j->a_codes, &j->codes, &j->c);
}

/* ---- verification ------------------------------------------------------------------------------------------------ */

/* The same tensor in the oracle's memory. The device's part of it is done before the oracle's. */
static qmm_status copy_to_oracle(job *j, const qmm_tensor *t, qmm_tensor *copy) {
    const size_t bytes = qmm_buffer_bytes(t->buffer);
    void *host = malloc(bytes + 1);
    qmm_status status = host ? QMM_OK : QMM_OUT_OF_MEMORY;
    j->at_work = j->context;
    if (status == QMM_OK) status = qmm_buffer_download(j->context, t->buffer, 0, host, bytes);
    if (status == QMM_OK) {
        j->at_work = j->oracle;
        status = create(j, j->oracle, t->type, t->rows, t->cols, copy);
    }
    if (status == QMM_OK) status = qmm_buffer_upload(j->oracle, copy->buffer, 0, host, bytes);
    free(host);
    return status;
}

static qmm_status check_exact(job *j, bool *right) {
    qmm_quant quant_a = j->quant_a, quant_b = j->quant_b;
    qmm_matmul_desc desc = j->desc;
    qmm_tensor a, b, c, a_scale, b_scale, expected;
    qmm_compare_result result = QMM_COMPARE_RESULT_INIT;
    CLI_TRY(copy_to_oracle(j, &j->a_codes, &a));
    CLI_TRY(copy_to_oracle(j, &j->codes, &b));
    CLI_TRY(copy_to_oracle(j, &j->c, &c));
    CLI_TRY(copy_to_oracle(j, &j->a_scale, &a_scale));
    CLI_TRY(copy_to_oracle(j, &j->scale, &b_scale));
    j->at_work = j->oracle;
    CLI_TRY(create(j, j->oracle, QMM_F32, c.rows, c.cols, &expected));
    quant_a.scale = &a_scale;
    quant_b.scale = &b_scale;
    desc.quant_a = &quant_a;
    desc.quant_b = &quant_b;
    CLI_TRY(qmm_matmul(j->oracle, &desc, &a, &b, &expected));
    CLI_TRY(qmm_compare(j->oracle, &expected, &c, &result));
    j->at_work = j->context;
    *right = result.mismatches == 0;
    if (!*right)
        snprintf(j->x->reason, sizeof j->x->reason, "C[%" PRId64 ", %" PRId64 "]: expected %.9g, got %.9g", result.row,
                 result.col, result.expected, result.got);
    return QMM_OK;
}

static qmm_status check_freivalds(job *j, bool *right) {
    qmm_verify_options o = QMM_VERIFY_OPTIONS_INIT;
    qmm_verify_result v = QMM_VERIFY_RESULT_INIT;
    o.seed = (uint64_t)j->a->seed;
    CLI_TRY(qmm_verify_matmul(j->context, &j->desc, &j->a_codes, &j->codes, &j->c, &o, &v));
    *right = v.passed != 0;
    if (!*right)
        snprintf(j->x->reason, sizeof j->x->reason, "%" PRId64 " of %" PRId64 " rows wrong, the first is %" PRId64,
                 v.wrong_rows, j->a->m, v.row);
    return QMM_OK;
}

/* ---- the product in double --------------------------------------------------------------------------------------- */

/* One row of weights from `bytes`; a column of the product. */
static void multiply_row(job *j, const unsigned char *bytes, int64_t n) {
    double sums[SAMPLE_ROWS] = { 0 };
    for (int64_t k = 0; k < j->x->k; k++) j->row[k] = difference_value(j->x->type, bytes, k);
    for (int64_t k = 0; k < j->x->k; k++)
        for (int s = 0; s < SAMPLE_ROWS; s++) sums[s] += j->row[k] * j->columns[k * SAMPLE_ROWS + s];
    for (int s = 0; s < SAMPLE_ROWS; s++) j->product[s * j->x->n + n] = sums[s];
}

static qmm_status multiply_in_double(job *j) {
    const size_t row_bytes = (size_t)j->x->k * (size_t)qmm_type_bits(j->x->type) / 8;
    const int64_t at_once = row_bytes < PIECE_BYTES ? (int64_t)(PIECE_BYTES / row_bytes) : 1;
    for (int64_t n = 0; n < j->x->n; n += at_once) {
        const int64_t rows = j->x->n - n < at_once ? j->x->n - n : at_once;
        if (!model_read_piece(j->m, j->x, (uint64_t)n * row_bytes, j->piece, (size_t)rows * row_bytes, j->error,
                        sizeof j->error)) {
            j->file_failed = true;
            return QMM_INVALID_ARGUMENT;
        }
        for (int64_t i = 0; i < rows; i++) multiply_row(j, j->piece + (size_t)i * row_bytes, n + i);
    }
    return QMM_OK;
}

/* Values that are not finite are left out, on either side. */
static qmm_status measure_product(job *j) {
    const int64_t n = j->x->n;
    double signal = 0.0, noise = 0.0, dot = 0.0, power = 0.0;
    CLI_TRY(multiply_in_double(j));
    for (int64_t s = 0; s < sample_count(j); s++) {
        CLI_TRY(qmm_buffer_download(j->context, j->c.buffer, (size_t)(sample_row(j, s) * n) * sizeof *j->got, j->got,
                                (size_t)n * sizeof *j->got));
        for (int64_t i = 0; i < n; i++) {
            const double wanted = j->product[s * n + i], got = (double)j->got[i];
            if (!isfinite(wanted) || !isfinite(got)) continue;
            signal += wanted * wanted;
            power += got * got;
            dot += wanted * got;
            noise += (got - wanted) * (got - wanted);
        }
    }
    j->x->product_db = noise > 0.0 ? 10.0 * log10(signal / noise) : INFINITY;
    j->x->cosine = signal > 0.0 && power > 0.0 ? dot / (sqrt(signal) * sqrt(power)) : signal == power ? 1.0 : 0.0;
    return QMM_OK;
}

/* ---- one matrix -------------------------------------------------------------------------------------------------- */

static bool take_memory(job *j) {
    const size_t m = (size_t)j->a->m, n = (size_t)j->x->n, k = (size_t)j->x->k;
    const size_t row_bytes = k * sizeof(float);
    j->values = calloc(m * k, sizeof *j->values);
    j->columns = calloc(k * SAMPLE_ROWS, sizeof *j->columns);
    j->row = calloc(k, sizeof *j->row);
    j->product = calloc(n * SAMPLE_ROWS, sizeof *j->product);
    j->got = calloc(n, sizeof *j->got);
    j->piece = malloc(row_bytes > PIECE_BYTES ? row_bytes : PIECE_BYTES);
    return j->values && j->columns && j->row && j->product && j->got && j->piece;
}

static void give_memory_back(job *j) {
    for (int i = 0; i < j->buffer_count; i++) qmm_buffer_free(j->buffers[i]);
    j->buffer_count = 0;
    free(j->values);
    free(j->columns);
    free(j->row);
    free(j->product);
    free(j->got);
    free(j->piece);
}

static int refuse(model_matrix *x, const char *reason) {
    x->outcome = MODEL_REFUSED;
    snprintf(x->reason, sizeof x->reason, "%s", reason);
    return CLI_OK;
}

static qmm_status run_matrix(job *j) {
    const double operations = 2.0 * (double)j->a->m * (double)j->x->n * (double)j->x->k;
    bool right = false;
    int64_t not_finite = 0;
    j->at_work = j->context;
    j->quant_a = j->quant_b = (qmm_quant)QMM_QUANT_INIT;
    j->quant_a.granularity = QMM_PER_ROW;
    j->quant_a.scale = &j->a_scale;
    j->quant_b.scale = &j->scale;
    j->desc = (qmm_matmul_desc)QMM_MATMUL_DESC_INIT;
    j->desc.transpose_b = 1;
    j->desc.quant_a = &j->quant_a;
    j->desc.quant_b = &j->quant_b;
    CLI_TRY(quantize_weights(j, &not_finite));
    if (not_finite > 0) { /* no quantization keeps them: what is wrong is the file */
        char reason[sizeof j->x->reason];
        snprintf(reason, sizeof reason, "%" PRId64 " of its values are NaN or infinite", not_finite);
        refuse(j->x, reason);
        return QMM_OK;
    }
    CLI_TRY(multiply(j));
    j->x->exact = operations <= j->a->exact_limit;
    CLI_TRY(j->x->exact ? check_exact(j, &right) : check_freivalds(j, &right));
    j->x->outcome = right ? MODEL_PASSED : MODEL_FAILED;
    return measure_product(j);
}

/* Is it this matrix that cannot be run? What else fails ends it all. */
static bool is_refusal(qmm_status status) {
    return status == QMM_INVALID_ARGUMENT || status == QMM_UNSUPPORTED || status == QMM_OUT_OF_MEMORY;
}

static int settle(job *j, qmm_status status) {
    if (j->file_failed) return cli_error(CLI_USAGE, j->command, "--weights %s: %s", j->a->weights, j->error);
    if (status == QMM_OK) return CLI_OK;
    if (is_refusal(status)) return refuse(j->x, cli_why(j->at_work, status));
    return cli_status_error(j->command, j->at_work, status);
}

/* A matrix that cannot be run is refused with its reason, and the next is tried; a file that cannot be read and a
 * device that failed end it all. */
static int try_matrix(job *j) {
    const double started = cli_now();
    int code;
    if (j->a->group && j->x->k % j->a->group != 0) return refuse(j->x, "the group does not divide K");
    code = take_memory(j) ? settle(j, run_matrix(j)) : refuse(j->x, "no host memory");
    give_memory_back(j);
    j->x->seconds = cli_now() - started;
    return code;
}

static int run_all(job *j) {
    progress bar;
    int64_t total = 0, done = 0;
    int code = CLI_OK;
    for (size_t i = 0; i < j->m->count; i++) total += j->m->items[i].n * j->m->items[i].k;
    progress_start(&bar, "validate");
    for (size_t i = 0; i < j->m->count && code == CLI_OK; i++) {
        j->x = &j->m->items[i];
        progress_show(&bar, done, total);
        code = try_matrix(j);
        done += j->x->n * j->x->k;
    }
    progress_end(&bar);
    return code;
}

int model_run(const char *command, const model_arguments *a, model *m) {
    job j = { .command = command, .a = a, .m = m };
    int code = cli_open(command, a->device, &j.context);
    if (code == CLI_OK) code = cli_open(command, "cpu", &j.oracle);
    if (code == CLI_OK && qmm_kernel_force(j.oracle, "cpu:matmul:reference") != QMM_OK)
        code = cli_qmm_error(command, j.oracle);
    if (code == CLI_OK && qmm_context_get_device_info(j.context, &m->device) != QMM_OK)
        code = cli_qmm_error(command, j.context);
    if (code == CLI_OK) code = run_all(&j);
    qmm_context_close(j.oracle);
    qmm_context_close(j.context);
    return code;
}
