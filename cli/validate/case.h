/* SPDX-License-Identifier: Apache-2.0
 *
 * A case: one call of one operation, with its tensors as bytes on the host. Everything about it follows from the seed
 * and the case's number, whatever the tier, so that a number repeats it. */
#ifndef QMM_VALIDATE_CASE_H
#define QMM_VALIDATE_CASE_H

#include <stdbool.h>
#include <stdint.h>

#include "qmm/qmm.h"
#include "random.h"

enum { VALIDATE_TENSORS = 12, VALIDATE_VALUES = 8, VALIDATE_GUARD = 64 };

/* A tensor and the bytes around it: a guard of at least VALIDATE_GUARD bytes on both sides, and what lies between rows
 * whose stride is larger than their width. All bytes that are no element hold noise that nobody may touch. */
typedef struct validate_tensor {
    const char *name;
    bool output;    /* its elements may change; an output that is also read holds its input in `before` */
    bool exact_end; /* no guard behind it, so that a sanitizer sees a read past the end */
    qmm_type type;
    int64_t rows, cols, row_stride, batch, batch_stride;
    size_t offset, bytes;  /* of the first element; of all */
    unsigned char *before; /* what is uploaded */
    unsigned char *want;   /* what must be there afterwards */
    unsigned char *after;  /* what is */
} validate_tensor;

/* Quantization parameters of one tensor. */
typedef struct validate_quant {
    bool given;
    qmm_granularity granularity;
    int64_t group_size;
    int32_t bits;
    int32_t qmin, qmax;         /* codes are clamped to these */
    int32_t zero_min, zero_max; /* zero points from tensors are clamped to these */
    float scale_value;
    int32_t zero_value;
    int scale, zero; /* places in the case's tensors; -1: the values above */
    int sums;        /* the same; -1: none */
    int64_t block_rows, block_cols, param_rows, param_cols;
} validate_quant;

/* How codes are filled. */
typedef enum validate_fill {
    VALIDATE_UNIFORM, /* the full range */
    VALIDATE_LOWEST,
    VALIDATE_HIGHEST,
    VALIDATE_ALTERNATING, /* the two ends in turn */
    VALIDATE_ONE_HOT,     /* a single element that is not 0 */
    VALIDATE_MOSTLY_ZERO
} validate_fill;

/* How reals are filled. */
typedef enum validate_real_fill {
    VALIDATE_NORMAL,
    VALIDATE_REAL_UNIFORM,
    VALIDATE_TIES,      /* (k + 0.5) * scale */
    VALIDATE_SPECIALS,  /* NaN, infinities, signed zeros, subnormals, FLT_MAX, among others */
    VALIDATE_ZERO_ROWS, /* every other row all zero */
    VALIDATE_PATTERNS   /* any bits */
} validate_real_fill;

typedef struct validate_convert {
    int64_t rows, cols, batch;
    validate_quant source_quant, target_quant;
    int fill;
} validate_convert;

typedef struct validate_matmul {
    int64_t m, n, k, batch;
    bool transpose_a, transpose_b, clobber_weights, residual_is_c, workspace, storage;
    validate_quant a, b, c;
    int bias, residual; /* places, -1: none */
    qmm_activation activation;
    int fill_a, fill_b;
    /* verify_matmul: the element made wrong, -1: none */
    int64_t wrong_batch, wrong_row, wrong_col;
    uint64_t verify_seed;
} validate_matmul;

typedef struct validate_measure {
    qmm_range_options options;
    int64_t rows, cols, batch;
    int fill;
} validate_measure;

struct validate_descriptor;

typedef struct validate_case {
    const struct validate_descriptor *descriptor;
    uint64_t seed;
    int64_t index;
    bool wide; /* offsets and row strides are multiples of 16 */
    int performance_shape; /* of --mode performance; -1: by seed and index */
    validate_random random;

    validate_tensor tensors[VALIDATE_TENSORS];
    int tensor_count;
    double want_values[VALIDATE_VALUES]; /* results that the call gives to the host */
    const char *value_names[VALIDATE_VALUES];
    int value_count;
    qmm_status want_status; /* anything but QMM_OK: outputs stay as they are */
    bool trivial;           /* outputs that are all zero or saturated are meant */
    double operations, bytes_moved;

    union {
        validate_convert convert;
        validate_matmul matmul;
        validate_measure measure;
    } as;
} validate_case;

/* One run of a case on a context. */
typedef struct validate_execution {
    qmm_context *context;
    qmm_buffer *buffers[VALIDATE_TENSORS];
    void *memory[VALIDATE_TENSORS]; /* wrapped, where the device is the host */
    double values[VALIDATE_VALUES];
    char complaint[160]; /* what `run` itself found wrong; "" if nothing */
} validate_execution;

/* ---- tensors of a case ------------------------------------------------------------------------------------------- */

typedef enum validate_layout { VALIDATE_INPUT, VALIDATE_OUTPUT } validate_layout;

/* Adds a tensor with random offset and strides, and its bytes, all noise. Gives its place. */
int validate_add_tensor(validate_case *c, const char *name, qmm_type type, int64_t rows, int64_t cols, int64_t batch,
                        validate_layout layout);

/* Sets the wanted bytes of every tensor to those before the call. */
void validate_want_no_change(validate_case *c);

void validate_free_tensors(validate_case *c);

/* The tensor as the API takes it. */
qmm_tensor validate_on_device(const validate_case *c, const validate_execution *e, int tensor);

/* Elements of `image` (before, want or after of t). A real is exact in a double; a code too. */
double validate_load(const validate_tensor *t, const unsigned char *image, int64_t b, int64_t i, int64_t j);
void validate_store(const validate_tensor *t, unsigned char *image, int64_t b, int64_t i, int64_t j, double value);

/* Are all elements equal, NaNs being one class, and all other bytes the wanted ones? If not, says in `text` where. */
bool validate_tensor_holds(const validate_tensor *t, char *text, size_t text_bytes);

/* Share of the wanted elements that are zero or, for codes, at an end of qmin..qmax. */
double validate_trivial_share(const validate_tensor *t, int32_t qmin, int32_t qmax, int64_t *count);

bool validate_is_real(qmm_type type);

#endif
