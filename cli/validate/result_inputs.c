/* SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L
#include "result.h"

#include <float.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>

#include "cli.h"

const char *result_option(result_name name) {
    static const char *const options[RESULT_INPUTS] = {
        [RESULT_A] = "--a",
        [RESULT_B] = "--b",
        [RESULT_C] = "--c",
        [RESULT_BIAS] = "--bias",
        [RESULT_RESIDUAL] = "--residual",
        [RESULT_SCALE_A] = "--scale-a",
        [RESULT_SCALE_B] = "--scale-b",
        [RESULT_SCALE_C] = "--scale-c",
        [RESULT_ZERO_A] = "--zero-a",
        [RESULT_ZERO_B] = "--zero-b",
        [RESULT_ZERO_C] = "--zero-c",
    };
    return options[name];
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

static int bad_input(const char *command, const result_arguments *a, result_name name, const char *rule) {
    return cli_error(CLI_USAGE, command, "%s %s: %s", result_option(name), a->inputs[name].text, rule);
}

static bool is_scale(result_name name) {
    return name >= RESULT_SCALE_A && name <= RESULT_SCALE_C;
}

static bool is_zero_point(result_name name) {
    return name >= RESULT_ZERO_A && name <= RESULT_ZERO_C;
}

qmm_type result_type_of(const result_arguments *a, result_name name) {
    const npy_type type = a->inputs[name].array.type;
    const bool codes = name == RESULT_A || name == RESULT_B || name == RESULT_C || is_zero_point(name);
    const bool reals = name == RESULT_C || name == RESULT_BIAS || name == RESULT_RESIDUAL || is_scale(name);
    switch (type) {
    case NPY_I1: return name == RESULT_B && a->type_b ? (qmm_type)a->type_b : codes ? QMM_S8 : 0;
    case NPY_U1: return name == RESULT_B && a->type_b ? (qmm_type)a->type_b : codes ? QMM_U8 : 0;
    case NPY_I4: return name == RESULT_C || name == RESULT_BIAS || is_zero_point(name) ? QMM_S32 : 0;
    case NPY_F4: return reals ? QMM_F32 : 0;
    case NPY_F2: return reals && name != RESULT_BIAS ? QMM_F16 : 0;
    case NPY_I2: return name == RESULT_C ? QMM_S16 : 0;
    case NPY_U2:
        if (name == RESULT_C) return a->type_c ? QMM_BF16 : QMM_U16;
        return name == RESULT_RESIDUAL || is_scale(name) ? QMM_BF16 : 0;
    }
    return 0;
}

/* A scale of one element is taken as a number, as is a zero point. */
static void make_number(const result_arguments *a, result_name name, result_input *in) {
    if (!(is_scale(name) || is_zero_point(name)) || in->array.count != 1) return;
    in->number = difference_value(result_type_of(a, name), in->array.data, 0);
    in->is_number = true;
}

static int check_type(const char *command, const result_arguments *a, result_name name) {
    char rule[128];
    const char *wanted = name == RESULT_C                            ? "i4 f4 f2 i1 u1 i2 u2"
                         : name == RESULT_BIAS                       ? "f4 i4"
                         : name == RESULT_RESIDUAL || is_scale(name) ? "f4 f2 u2 (bf16)"
                         : is_zero_point(name)                ? "i4 i1 u1"
                                                              : "i1 u1";
    if (result_type_of(a, name) != 0) return CLI_OK;
    snprintf(rule, sizeof rule, "type %s is none of %s", npy_type_name(a->inputs[name].array.type), wanted);
    return bad_input(command, a, name, rule);
}

static int check_number(const char *command, const result_arguments *a, result_name name) {
    const double x = a->inputs[name].number;
    if (is_scale(name) && !(x > 0.0 && x <= (double)FLT_MAX && (float)x > 0.0f))
        return bad_input(command, a, name, "a scale is above 0 and finite");
    return CLI_OK;
}

static int read_input(const char *command, result_arguments *a, result_name name) {
    result_input *in = &a->inputs[name];
    char error[NPY_ERROR_BYTES + PATH_MAX];
    int64_t whole;
    int code = CLI_OK;
    if (is_scale(name) && cli_read_double(in->text, -DBL_MAX, DBL_MAX, &in->number)) {
        in->is_number = true;
    } else if (is_zero_point(name) && cli_read_int(in->text, INT32_MIN, INT32_MAX, &whole)) {
        in->number = (double)whole;
        in->is_number = true;
    } else {
        if (!npy_read(in->text, &in->array, error, sizeof error))
            return cli_error(CLI_USAGE, command, "%s %s", result_option(name), error);
        if ((code = check_type(command, a, name)) != CLI_OK) return code;
        make_number(a, name, in);
    }
    return in->is_number ? check_number(command, a, name) : CLI_OK;
}

int result_read_inputs(const char *command, result_arguments *a) {
    int code = CLI_OK;
    for (int i = 0; i < RESULT_INPUTS && code == CLI_OK; i++)
        if (a->inputs[i].text) code = read_input(command, a, (result_name)i);
    return code;
}

void result_free_inputs(result_arguments *a) {
    for (int i = 0; i < RESULT_INPUTS; i++) npy_free(&a->inputs[i].array);
}

/* ---- shapes ------------------------------------------------------------------------------------------------------ */

result_shape result_shape_of(const npy_array *array) {
    result_shape s = { 1, 1, 1 };
    if (array->dims > 0) s.cols = array->shape[array->dims - 1];
    if (array->dims > 1) s.rows = array->shape[array->dims - 2];
    if (array->dims > 2) s.batch = array->shape[0];
    return s;
}

int result_bad_shape(const char *command, const result_arguments *a, result_name name, const char *wanted,
                     const result_sizes *z) {
    const result_shape s = result_shape_of(&a->inputs[name].array);
    return cli_error(CLI_USAGE, command,
                     "%s %s: %" PRId64 " x %" PRId64 " x %" PRId64 " elements, but %s (M %" PRId64 ", N %" PRId64
                     ", K %" PRId64 ", batch %" PRId64 ")",
                     result_option(name), a->inputs[name].text, s.batch, s.rows, s.cols, wanted, z->m, z->n, z->k,
                     z->batch);
}

bool result_fits_batch(const result_shape *s, const result_sizes *z) {
    return s->batch == 1 || s->batch == z->batch;
}

/* M and K are A's, N is B's, the batch C's; then everything else has to fit. */
int result_find_sizes(const char *command, const result_arguments *a, result_sizes *z) {
    result_shape x[3];
    for (int i = RESULT_A; i <= RESULT_C; i++) {
        if (a->inputs[i].array.dims < 2)
            return bad_input(command, a, (result_name)i, "it needs two or three dimensions");
        x[i] = result_shape_of(&a->inputs[i].array);
        if (x[i].batch == 0) return bad_input(command, a, (result_name)i, "holds no matrix, its first dimension is 0");
    }
    z->m = a->transpose_a ? x[RESULT_A].cols : x[RESULT_A].rows;
    z->k = a->transpose_a ? x[RESULT_A].rows : x[RESULT_A].cols;
    z->n = a->transpose_b ? x[RESULT_B].rows : x[RESULT_B].cols;
    z->batch = x[RESULT_C].batch;
    if ((a->transpose_b ? x[RESULT_B].cols : x[RESULT_B].rows) != z->k)
        return result_bad_shape(command, a, RESULT_B, "A and B share K: is one of them transposed?", z);
    if (x[RESULT_C].rows == z->n && x[RESULT_C].cols == z->m && z->m != z->n)
        return result_bad_shape(command, a, RESULT_C, "C is M x N: it looks transposed", z);
    if (x[RESULT_C].rows != z->m || x[RESULT_C].cols != z->n)
        return result_bad_shape(command, a, RESULT_C, "C is M x N", z);
    for (int i = RESULT_A; i <= RESULT_B; i++)
        if (!result_fits_batch(&x[i], z))
            return result_bad_shape(command, a, (result_name)i, "it has one matrix or as many as C", z);
    if (a->group > 0 && z->k % a->group != 0)
        return cli_error(CLI_USAGE, command, "--group %" PRId64 " does not divide K, which is %" PRId64, a->group,
                         z->k);
    return CLI_OK;
}

int result_check_epilogue(const char *command, const result_arguments *a, const result_sizes *z) {
    const qmm_type c = result_type_of(a, RESULT_C);
    const bool reals = c == QMM_F32 || c == QMM_F16 || c == QMM_BF16;
    if (a->type_c && a->inputs[RESULT_C].array.type != NPY_U2)
        return bad_input(command, a, RESULT_C, "--type-c bf16 needs an array of u2");
    if (c == QMM_S32 && (a->inputs[RESULT_SCALE_A].text || a->inputs[RESULT_SCALE_B].text))
        return cli_error(CLI_USAGE, command, "--scale-a and --scale-b are not applied to a C of i4");
    if ((reals || c == QMM_S32) && (a->inputs[RESULT_SCALE_C].text || a->inputs[RESULT_ZERO_C].text))
        return cli_error(CLI_USAGE, command, "--scale-c and --zero-c need a C of codes: i1 u1 i2 u2");
    if (a->inputs[RESULT_BIAS].text && a->inputs[RESULT_BIAS].array.count != z->n) {
        const result_shape s = result_shape_of(&a->inputs[RESULT_BIAS].array);
        if (!(s.batch == z->batch && s.rows * s.cols == z->n))
            return result_bad_shape(command, a, RESULT_BIAS, "there is one for each column of C", z);
    }
    if (a->inputs[RESULT_RESIDUAL].text) {
        const result_shape s = result_shape_of(&a->inputs[RESULT_RESIDUAL].array);
        if (s.rows != z->m || s.cols != z->n || !result_fits_batch(&s, z))
            return result_bad_shape(command, a, RESULT_RESIDUAL, "a residual is M x N", z);
    }
    return CLI_OK;
}
