/* SPDX-License-Identifier: Apache-2.0
 *
 * What the specification tests share: a CPU context whose tensors lie between guard bytes, the rows of an operation one
 * by one, and formats worked out in double, independently of host/numerics.h. */
#ifndef QMM_SPECIFICATION_H
#define QMM_SPECIFICATION_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "qmm/qmm.h"

/* ---- a context and its tensors ----------------------------------------------------------------------------------- */

enum { SPEC_SLOTS = 64, SPEC_GUARD = 256, SPEC_POISON = 0x5a };

typedef struct spec {
    qmm_context *context;
    int count; /* tensors alive */
    struct {
        qmm_buffer *buffer;
        size_t bytes; /* between the guards */
    } slots[SPEC_SLOTS];
} spec;

/* cmocka's setup and teardown: *state is a spec. */
int spec_open(void **state);
int spec_close(void **state);

/* Frees every tensor and checks its guards. */
void spec_clear(spec *s);

/* A dense, poisoned tensor, in a buffer of its own between guards. */
qmm_tensor spec_tensor(spec *s, qmm_type type, int64_t rows, int64_t cols, int64_t batch);
/* ... filled with values, row by row; batch 1. */
qmm_tensor spec_codes(spec *s, qmm_type type, int64_t rows, int64_t cols, const int32_t *values);
qmm_tensor spec_reals(spec *s, qmm_type type, int64_t rows, int64_t cols, const float *values);
/* Writes and reads a dense tensor, of any batch, row by row. */
void spec_write_codes(spec *s, const qmm_tensor *t, const int32_t *values);
void spec_write_reals(spec *s, const qmm_tensor *t, const float *values);
void spec_read_codes(spec *s, const qmm_tensor *t, int32_t *values);
void spec_read_reals(spec *s, const qmm_tensor *t, float *values);
void spec_poison(spec *s, const qmm_tensor *t);
/* The tensor's bytes, as they lie. */
void spec_read_bytes(spec *s, const qmm_tensor *t, void *bytes, size_t count);
void spec_write_bytes(spec *s, const qmm_tensor *t, const void *bytes, size_t count);

/* Forces the index-th kernel row of an operation; false past the last, when nothing is forced any more. */
bool spec_force_row(spec *s, const char *operation, int index);
#define FOR_EACH_ROW(s, operation) for (int row_ = 0; spec_force_row((s), (operation), row_); row_++)

/* Does the forced row of matmul take anything at all? A row whose library is not there does not. */
bool spec_matmul_runs(spec *s);
#define FOR_EACH_MATMUL_ROW(s) FOR_EACH_ROW(s, "matmul") if (spec_matmul_runs(s))

/* ---- checks ------------------------------------------------------------------------------------------------------ */

#define spec_ok(s, call)                                                                  \
    do {                                                                                  \
        if ((call) != QMM_OK) fail_msg("%s: %s", #call, qmm_context_error((s)->context)); \
    } while (0)

/* `what` names the case in a failure. Bits are compared; NaN equals NaN. */
void spec_expect_codes(spec *s, const char *what, const qmm_tensor *got, const int32_t *expected);
void spec_expect_reals(spec *s, const char *what, const qmm_tensor *got, const float *expected);
void spec_expect_bits(const char *what, int64_t index, float got, float expected);
void spec_expect_int(const char *what, int64_t index, int64_t got, int64_t expected);
void spec_expect_near(const char *what, double got, double expected, double tolerance);

/* QMM_TEST_FULL is set, and not to 0. */
bool spec_full(void);

/* Runs the tests and prints how many comparisons were made; none is a failure. */
#define spec_run(tests) spec_end(cmocka_run_group_tests((tests), NULL, NULL))
int spec_end(int failures);
void spec_count(int64_t comparisons);

/* ---- numbers ----------------------------------------------------------------------------------------------------- */

uint64_t spec_random(uint64_t *state);
double spec_uniform(uint64_t *state); /* 0 <= x < 1 */
double spec_normal(uint64_t *state);
int32_t spec_between(uint64_t *state, int32_t low, int32_t high);

float spec_from_bits(uint32_t bits);
uint32_t spec_to_bits(float x);

/* Nearest f16, bf16 as a pattern (NaN: the quiet NaN of its sign), and the value of a pattern. */
uint32_t spec_f16(double x);
uint32_t spec_bf16(double x);
double spec_f16_value(uint32_t pattern);
double spec_bf16_value(uint32_t pattern);
/* x rounded once to `type`, as a float. */
float spec_round(qmm_type type, double x);

/* Range of a type's codes, from first principles. */
void spec_range(qmm_type type, int bits, int32_t *qmin, int32_t *qmax);

/* clamp(rint(x / scale) + zero), the quotient correctly rounded to float. */
int32_t spec_quantize(float x, float scale, int32_t zero, int32_t qmin, int32_t qmax);
/* (float)(q - zero) * scale, two roundings. */
float spec_dequantize(int64_t q, int64_t zero, float scale);

#endif
