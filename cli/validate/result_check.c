/* SPDX-License-Identifier: Apache-2.0
 *
 * Up to --exact-limit operations the cpu's reference row computes what is expected, and every element is compared;
 * beyond that it is qmm_verify_matmul, and where that finds a wrong row, this row alone is computed and compared. */
#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli.h"
#include "result.h"

/* ---- tensors ----------------------------------------------------------------------------------------------------- */

typedef struct job {
    const char *command;
    const result_arguments *a;
    const result_sizes *z;
    result_verdict *verdict;
    qmm_context *context; /* frees the buffers */
    qmm_matmul_desc desc;
    qmm_quant quant[3];   /* of A, B, C */
    qmm_tensor scale[3], zero[3], bias, residual, t[3], expected;
} job;

static qmm_status create(job *j, qmm_type type, const result_shape *s, qmm_tensor *t) {
    qmm_buffer *buffer;
    size_t bytes;
    CLI_TRY(qmm_matrix_bytes(type, s->rows, s->cols, s->batch, &bytes));
    CLI_TRY(qmm_buffer_create(j->context, bytes, &buffer));
    *t = qmm_matrix(buffer, type, s->rows, s->cols);
    t->batch = s->batch;
    t->batch_stride = s->rows * t->row_stride;
    return QMM_OK;
}

static qmm_status upload(job *j, qmm_type type, const result_shape *s, const void *data, qmm_tensor *t) {
    CLI_TRY(create(j, type, s, t));
    return qmm_buffer_upload(j->context, t->buffer, 0, data, qmm_buffer_bytes(t->buffer));
}

/* One code a byte becomes two, the even one in the low nibble; rows begin on a byte. NULL: no memory. */
static unsigned char *pack4(const npy_array *array, const result_shape *s) {
    const int64_t rows = s->batch * s->rows, row_bytes = (s->cols + 1) / 2;
    const unsigned char *codes = array->data;
    unsigned char *packed = calloc((size_t)(rows * row_bytes) + 1, 1);
    for (int64_t i = 0; packed && i < rows; i++)
        for (int64_t k = 0; k < s->cols; k++)
            packed[i * row_bytes + k / 2] |= (unsigned char)((codes[i * s->cols + k] & 15) << (k % 2 ? 4 : 0));
    return packed;
}

static int check_codes4(const job *j) {
    const npy_array *array = &j->a->inputs[RESULT_B].array;
    int32_t low = 0, high = 0;
    if (!j->a->type_b) return CLI_OK;
    qmm_type_range((qmm_type)j->a->type_b, 0, &low, &high);
    for (int64_t i = 0; i < array->count; i++) {
        const double code = difference_value(array->type == NPY_I1 ? QMM_S8 : QMM_U8, array->data, i);
        if (code < low || code > high)
            return cli_error(CLI_USAGE, j->command, "--b %s: element %" PRId64 " is %d, no code of --type-b %s: %d..%d",
                             j->a->inputs[RESULT_B].text, i, (int)code, qmm_type_name((qmm_type)j->a->type_b), low,
                             high);
    }
    return CLI_OK;
}

static int upload_operand(job *j, result_name name) {
    const npy_array *array = &j->a->inputs[name].array;
    const result_shape s = result_shape_of(array);
    const qmm_type type = result_type_of(j->a, name);
    unsigned char *packed = NULL;
    qmm_status status;
    if (qmm_type_bits(type) == 4 && !(packed = pack4(array, &s)))
        return cli_error(CLI_FAILED, j->command, "no host memory for B");
    status = upload(j, type, &s, packed ? packed : array->data, &j->t[name]);
    free(packed);
    return status == QMM_OK ? CLI_OK : cli_qmm_error(j->command, j->context);
}

/* ---- scales and zero points -------------------------------------------------------------------------------------- */

/* Which elements of an operand, as it is stored, share an element of the array; -1: the array fits none.
 * A's and B's parameters go along with rows of A and columns of B, or with groups of these; C's with either. */
static int granularity_of(const job *j, result_name operand, const result_shape *p) {
    const result_shape s = result_shape_of(&j->a->inputs[operand].array);
    const bool by_row = operand == RESULT_A   ? !j->a->transpose_a
                        : operand == RESULT_B ? j->a->transpose_b
                                              : p->cols == 1;
    const int64_t g = operand == RESULT_C ? 0 : j->a->group, length = by_row ? s.rows : s.cols;
    if (!result_fits_batch(p, j->z)) return -1;
    if (g > 0 && by_row && p->rows == s.rows && p->cols == s.cols / g) return QMM_PER_ROW_GROUP;
    if (g > 0 && !by_row && p->cols == s.cols && p->rows == s.rows / g) return QMM_PER_COLUMN_GROUP;
    if (p->rows * p->cols == length && (p->rows == 1 || p->cols == 1)) return by_row ? QMM_PER_ROW : QMM_PER_COLUMN;
    return p->rows == 1 && p->cols == 1 ? QMM_PER_TENSOR : -1;
}

static int bad_parameter(const job *j, result_name name, result_name operand) {
    static const char *const wanted[] = { "there is one, one for each row of A, or one for each group of --group",
                                          "there is one, one for each column of B, or one for each group of --group",
                                          "there is one, one for each row (M x 1) or column of C" };
    return result_bad_shape(j->command, j->a, name, wanted[operand], j->z);
}

/* A number where the other parameter is an array: the array of that number. */
static int spread(job *j, float value, const result_shape *s, qmm_tensor *t) {
    const size_t count = (size_t)(s->batch * s->rows * s->cols);
    float *values = malloc((count + 1) * sizeof *values);
    qmm_status status;
    if (!values) return cli_error(CLI_FAILED, j->command, "no host memory for %zu scales", count);
    for (size_t i = 0; i < count; i++) values[i] = value;
    status = upload(j, QMM_F32, s, values, t);
    free(values);
    return status == QMM_OK ? CLI_OK : cli_qmm_error(j->command, j->context);
}

static int upload_array(job *j, result_name name, result_name operand, int *granularity, qmm_tensor *t) {
    const npy_array *array = &j->a->inputs[name].array;
    const result_shape s = result_shape_of(array);
    *granularity = granularity_of(j, operand, &s);
    if (*granularity < 0) return bad_parameter(j, name, operand);
    if (upload(j, result_type_of(j->a, name), &s, array->data, t) == QMM_OK) return CLI_OK;
    return cli_qmm_error(j->command, j->context);
}

static int make_quant(job *j, result_name operand) {
    const result_name scale_name = (result_name)(RESULT_SCALE_A + operand);
    const result_name zero_name = (result_name)(RESULT_ZERO_A + operand);
    const result_input *scale = &j->a->inputs[scale_name], *zero = &j->a->inputs[zero_name];
    qmm_quant *q = &j->quant[operand];
    int scale_granularity = QMM_PER_TENSOR, zero_granularity = QMM_PER_TENSOR, code = CLI_OK;
    if (scale->is_number) q->scale_value = (float)scale->number;
    if (zero->is_number) q->zero_value = (int32_t)zero->number;
    if (scale->text && !scale->is_number) {
        code = upload_array(j, scale_name, operand, &scale_granularity, &j->scale[operand]);
        q->scale = &j->scale[operand];
        q->granularity = (qmm_granularity)scale_granularity;
    }
    if (code == CLI_OK && zero->text && !zero->is_number) {
        const result_shape s = result_shape_of(&zero->array);
        code = upload_array(j, zero_name, operand, &zero_granularity, &j->zero[operand]);
        q->zero = &j->zero[operand];
        if (code == CLI_OK && q->scale && zero_granularity != scale_granularity)
            return result_bad_shape(j->command, j->a, zero_name, "the scales' shape goes another way", j->z);
        q->granularity = (qmm_granularity)zero_granularity;
        if (code == CLI_OK && !q->scale) {
            code = spread(j, q->scale_value, &s, &j->scale[operand]);
            q->scale = &j->scale[operand];
        }
    }
    if (q->granularity == QMM_PER_ROW_GROUP || q->granularity == QMM_PER_COLUMN_GROUP) q->group_size = j->a->group;
    return code;
}

/* ---- the work ---------------------------------------------------------------------------------------------------- */

static int upload_epilogue(job *j) {
    const npy_array *bias = &j->a->inputs[RESULT_BIAS].array, *residual = &j->a->inputs[RESULT_RESIDUAL].array;
    if (j->a->inputs[RESULT_BIAS].text) {
        const result_shape s = { bias->count == j->z->n ? 1 : j->z->batch, 1, j->z->n };
        if (upload(j, result_type_of(j->a, RESULT_BIAS), &s, bias->data, &j->bias) != QMM_OK)
            return cli_qmm_error(j->command, j->context);
        j->desc.bias = &j->bias;
    }
    if (j->a->inputs[RESULT_RESIDUAL].text) {
        const result_shape s = result_shape_of(residual);
        if (upload(j, result_type_of(j->a, RESULT_RESIDUAL), &s, residual->data, &j->residual) != QMM_OK)
            return cli_qmm_error(j->command, j->context);
        j->desc.residual = &j->residual;
    }
    return CLI_OK;
}

static int build(job *j) {
    const qmm_type c = result_type_of(j->a, RESULT_C);
    int code = check_codes4(j);
    for (int i = RESULT_A; i <= RESULT_C && code == CLI_OK; i++) code = upload_operand(j, (result_name)i);
    for (int i = RESULT_A; i <= RESULT_C && code == CLI_OK; i++) code = make_quant(j, (result_name)i);
    if (code == CLI_OK) code = upload_epilogue(j);
    j->desc.transpose_a = j->a->transpose_a;
    j->desc.transpose_b = j->a->transpose_b;
    j->desc.activation = (qmm_activation)j->a->activation;
    j->desc.quant_a = &j->quant[RESULT_A];
    j->desc.quant_b = &j->quant[RESULT_B];
    if (c != QMM_S32 && c != QMM_F32 && c != QMM_F16 && c != QMM_BF16) j->desc.quant_c = &j->quant[RESULT_C];
    return code;
}

static int save(const job *j, const void *expected) {
    const npy_array *c = &j->a->inputs[RESULT_C].array;
    char path[PATH_MAX], error[NPY_ERROR_BYTES + PATH_MAX];
    const npy_file file = { path, npy_view(c->type, c->dims, c->shape, expected) };
    if (snprintf(path, sizeof path, "%s/expected.npy", j->a->save) >= (int)sizeof path)
        return cli_error(CLI_USAGE, j->command, "--save '%s' is too long", j->a->save);
    return npy_write(&file, 1, error, sizeof error) ? CLI_OK : cli_error(CLI_USAGE, j->command, "--save %s", error);
}

static int compare(job *j) {
    const npy_array *c = &j->a->inputs[RESULT_C].array;
    const result_shape s = result_shape_of(c);
    const qmm_type type = result_type_of(j->a, RESULT_C);
    void *expected = malloc(c->bytes + 1);
    int code = CLI_OK;
    if (!expected) return cli_error(CLI_FAILED, j->command, "no host memory for what is expected");
    if (create(j, type, &s, &j->expected) != QMM_OK ||
        qmm_kernel_force(j->context, "cpu:matmul:reference") != QMM_OK ||
        qmm_matmul(j->context, &j->desc, &j->t[RESULT_A], &j->t[RESULT_B], &j->expected) != QMM_OK ||
        qmm_buffer_download(j->context, j->expected.buffer, 0, expected, c->bytes) != QMM_OK) {
        code = cli_qmm_error(j->command, j->context);
    } else if (!difference_find(type, s.batch, s.rows, s.cols, expected, c->data, &j->verdict->found)) {
        code = cli_error(CLI_FAILED, j->command, "no host memory for the comparison");
    } else if (j->a->save && j->verdict->found.wrong > 0) {
        code = save(j, expected);
    }
    free(expected);
    return code;
}

/* Part of a matrix of the batch, or of the one that there is. */
static qmm_tensor slice(const qmm_tensor *t, int64_t batch, int64_t row, int64_t col, int64_t rows, int64_t cols) {
    const int64_t elements = (t->batch > 1 ? batch * t->batch_stride : 0) + row * t->row_stride + col;
    qmm_tensor part = *t;
    part.offset += (size_t)elements * (size_t)qmm_type_bits(t->type) / 8;
    part.rows = rows;
    part.cols = cols;
    part.batch = 1;
    return part;
}

/* Parameters of row `row` of C, from those of all: `t` becomes its part. `by_row`: they differ from row to row of C. */
static void slice_parameter(const qmm_quant *q, bool by_row, int64_t batch, int64_t row, qmm_tensor *t) {
    if (!by_row) {
        *t = slice(t, batch, 0, 0, t->rows, t->cols);
    } else if (q->granularity == QMM_PER_ROW_GROUP) {
        *t = slice(t, batch, row, 0, 1, t->cols);
    } else if (q->granularity == QMM_PER_COLUMN_GROUP) {
        *t = slice(t, batch, 0, row, t->rows, 1);
    } else {
        *t = t->cols == 1 ? slice(t, batch, row, 0, 1, 1) : slice(t, batch, 0, row, 1, 1);
    }
}

/* The same call for one row of C. */
static qmm_status multiply_row(job *j, int64_t batch, int64_t row, const qmm_tensor *expected) {
    const bool by_row[3] = { [RESULT_A] = j->quant[RESULT_A].granularity != QMM_PER_TENSOR,
                             [RESULT_C] = j->quant[RESULT_C].granularity == QMM_PER_ROW };
    const qmm_tensor *ta = &j->t[RESULT_A], *tb = &j->t[RESULT_B];
    const qmm_tensor a = j->a->transpose_a ? slice(ta, batch, 0, row, ta->rows, 1)
                                           : slice(ta, batch, row, 0, 1, ta->cols);
    const qmm_tensor b = slice(tb, batch, 0, 0, tb->rows, tb->cols);
    for (int i = RESULT_A; i <= RESULT_C; i++) {
        if (j->quant[i].scale) slice_parameter(&j->quant[i], by_row[i], batch, row, &j->scale[i]);
        if (j->quant[i].zero) slice_parameter(&j->quant[i], by_row[i], batch, row, &j->zero[i]);
    }
    if (j->desc.bias) j->bias = slice(&j->bias, batch, 0, 0, 1, j->z->n);
    if (j->desc.residual) j->residual = slice(&j->residual, batch, row, 0, 1, j->z->n);
    return qmm_matmul(j->context, &j->desc, &a, &b, expected);
}

/* What is wrong in the first row that qmm_verify_matmul found. The call's parameters are that row's afterwards. */
static int look_at_row(job *j) {
    const int64_t batch = j->verdict->verified.batch, row = j->verdict->verified.row, n = j->z->n;
    const result_shape s = { 1, 1, n };
    const qmm_type type = result_type_of(j->a, RESULT_C);
    const size_t row_bytes = (size_t)n * (size_t)qmm_type_bits(type) / 8;
    const unsigned char *got = (const unsigned char *)j->a->inputs[RESULT_C].array.data;
    difference *d = &j->verdict->found;
    void *expected = malloc(row_bytes + 1);
    int code = CLI_OK;
    if (!expected) return cli_error(CLI_FAILED, j->command, "no host memory for what is expected");
    got += (size_t)(batch * j->z->m + row) * row_bytes;
    if (create(j, type, &s, &j->expected) != QMM_OK || multiply_row(j, batch, row, &j->expected) != QMM_OK ||
        qmm_buffer_download(j->context, j->expected.buffer, 0, expected, row_bytes) != QMM_OK) {
        code = cli_qmm_error(j->command, j->context);
    } else if (!difference_find(type, 1, 1, n, expected, got, d)) {
        code = cli_error(CLI_FAILED, j->command, "no host memory for the comparison");
    }
    for (int i = 0; i < d->place_count; i++) {
        d->places[i].batch = batch;
        d->places[i].row = row;
    }
    free(expected);
    return code;
}

static int verify(job *j) {
    qmm_verify_options o = QMM_VERIFY_OPTIONS_INIT;
    o.seed = (uint64_t)j->a->seed;
    o.rounds = j->a->rounds;
    if (qmm_verify_matmul(j->context, &j->desc, &j->t[RESULT_A], &j->t[RESULT_B], &j->t[RESULT_C], &o,
                          &j->verdict->verified) != QMM_OK)
        return cli_qmm_error(j->command, j->context);
    return j->verdict->verified.passed ? CLI_OK : look_at_row(j);
}

/* ---- both checks ------------------------------------------------------------------------------------------------- */

static int run(job *j) {
    const double started = cli_now();
    int code = build(j);
    if (code == CLI_OK) code = j->verdict->exact ? compare(j) : verify(j);
    j->verdict->seconds = cli_now() - started;
    return code;
}

int result_check(const char *command, const result_arguments *a, const result_sizes *z, result_verdict *verdict) {
    const double operations = 2.0 * (double)z->m * (double)z->n * (double)z->k * (double)z->batch;
    job j = { .command = command,
              .a = a,
              .z = z,
              .verdict = verdict,
              .desc = QMM_MATMUL_DESC_INIT,
              .quant = { QMM_QUANT_INIT, QMM_QUANT_INIT, QMM_QUANT_INIT } };
    int code;
    *verdict = (result_verdict){ .exact = operations <= a->exact_limit, .device = QMM_DEVICE_INFO_INIT,
                                 .verified = QMM_VERIFY_RESULT_INIT };
    if ((code = cli_open(command, a->device, &j.context)) != CLI_OK) return code;
    if (verdict->exact) { /* the reference row tells, whatever the device */
        qmm_context_close(j.context);
        if ((code = cli_open(command, "cpu", &j.context)) != CLI_OK) return code;
    }
    (void)qmm_context_get_device_info(j.context, &verdict->device);
    code = run(&j);
    qmm_context_close(j.context);
    return code;
}
