/* SPDX-License-Identifier: Apache-2.0
 *
 * A stand-in for libcublasLt over the simulated device. It takes what the cuBLAS reference promises for s8 x s8 into
 * s32 (regular ordering, no IMMA layouts) and answers anything else with NOT_SUPPORTED: the first operand transposed,
 * the second not, rows of the result, k, leading dimensions and batch strides multiples of 4, pointers as aligned as
 * was said. It multiplies in stream order, by a host function, and writes over all of the workspace it was given.
 *
 * The environment variable FAKE_CUBLASLT chooses:
 *     right          (or not set) exact
 *     wrong          one product is missing
 *     no_handle      cublasLtCreate fails
 *     no_algorithm   the heuristic finds none
 *     out_of_memory  cublasLtMatmul has no memory
 *     fail           cublasLtMatmul fails on the device */
#define _GNU_SOURCE /* RTLD_NOLOAD */
#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../cuda/cublaslt.h"

enum { NOT_INITIALIZED = 1, INVALID_VALUE = 7, TRANSPOSE_B = 4, WORKSPACE = 8192, MAGIC = 0x6c74 };

typedef struct operation {
    int compute, scale;
    int32_t transpose_a, transpose_b;
} operation;

typedef struct layout {
    int type;
    int64_t rows, cols, ld;
    int32_t batch;
    int64_t batch_stride;
} layout;

typedef struct preference {
    uint64_t workspace;
    uint32_t alignment[4]; /* A, B, C, D */
} preference;

#define DECLARE(result, field, name, parameters) result name parameters;
QMMI_CUBLASLT_CALLS(DECLARE)
#undef DECLARE

/* How often the library was asked for an algorithm: a shape seen before must not ask again. */
int fake_cublaslt_heuristics(void);
static int heuristics;
int fake_cublaslt_heuristics(void) {
    return heuristics;
}

/* Handles and descriptors that live. */
int fake_cublaslt_live(void);
static int live;
int fake_cublaslt_live(void) {
    return live;
}

static bool mode_is(const char *name) {
    const char *mode = getenv("FAKE_CUBLASLT");
    return mode && strcmp(mode, name) == 0;
}

static int make(void **made, const void *value, size_t bytes) {
    *made = malloc(bytes);
    if (!*made) return QMMI_CUBLAS_STATUS_ALLOC_FAILED;
    memcpy(*made, value, bytes);
    live++;
    return QMMI_CUBLAS_STATUS_SUCCESS;
}

static int drop(void *made) {
    free(made);
    live--;
    return QMMI_CUBLAS_STATUS_SUCCESS;
}

static int set(void *field, size_t field_bytes, const void *value, size_t bytes) {
    if (!value || bytes != field_bytes) return INVALID_VALUE;
    memcpy(field, value, bytes);
    return QMMI_CUBLAS_STATUS_SUCCESS;
}

/* ---- handles and descriptors ------------------------------------------------------------------------------------ */

size_t cublasLtGetVersion(void) {
    return 130000;
}

int cublasLtCreate(void **handle) {
    const int magic = MAGIC;
    return mode_is("no_handle") ? NOT_INITIALIZED : make(handle, &magic, sizeof magic);
}

int cublasLtDestroy(void *handle) {
    return drop(handle);
}

int cublasLtMatmulDescCreate(void **desc, int compute_type, int scale_type) {
    return make(desc, &(operation){ compute_type, scale_type, QMMI_CUBLAS_OP_N, QMMI_CUBLAS_OP_N }, sizeof(operation));
}

int cublasLtMatmulDescSetAttribute(void *desc, int attribute, const void *value, size_t bytes) {
    operation *o = desc;
    if (attribute == QMMI_CUBLASLT_MATMUL_DESC_TRANSA) return set(&o->transpose_a, sizeof o->transpose_a, value, bytes);
    if (attribute == TRANSPOSE_B) return set(&o->transpose_b, sizeof o->transpose_b, value, bytes);
    return INVALID_VALUE;
}

int cublasLtMatmulDescDestroy(void *desc) {
    return drop(desc);
}

int cublasLtMatrixLayoutCreate(void **made, int type, uint64_t rows, uint64_t cols, int64_t ld) {
    return make(made, &(layout){ type, (int64_t)rows, (int64_t)cols, ld, 1, 0 }, sizeof(layout));
}

int cublasLtMatrixLayoutSetAttribute(void *given, int attribute, const void *value, size_t bytes) {
    layout *l = given;
    if (attribute == QMMI_CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT) return set(&l->batch, sizeof l->batch, value, bytes);
    if (attribute == QMMI_CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET)
        return set(&l->batch_stride, sizeof l->batch_stride, value, bytes);
    return INVALID_VALUE;
}

int cublasLtMatrixLayoutDestroy(void *given) {
    return drop(given);
}

int cublasLtMatmulPreferenceCreate(void **made) {
    return make(made, &(preference){ 0, { 256, 256, 256, 256 } }, sizeof(preference));
}

int cublasLtMatmulPreferenceSetAttribute(void *given, int attribute, const void *value, size_t bytes) {
    preference *p = given;
    const int operand = attribute - QMMI_CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES;
    if (attribute == QMMI_CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES)
        return set(&p->workspace, sizeof p->workspace, value, bytes);
    if (operand >= 0 && operand < 4) return set(&p->alignment[operand], sizeof p->alignment[0], value, bytes);
    return INVALID_VALUE;
}

int cublasLtMatmulPreferenceDestroy(void *given) {
    return drop(given);
}

/* ---- the contract ----------------------------------------------------------------------------------------------- */

static bool is_good_layout(const layout *l, int type, int64_t rows, int64_t cols, int32_t batch) {
    return l->type == type && l->rows == rows && l->cols == cols && l->ld >= rows && l->ld % 4 == 0 &&
           l->batch == batch && l->batch_stride % 4 == 0 && l->batch_stride >= 0 && rows > 0 && cols > 0 &&
           rows <= INT32_MAX && cols <= INT32_MAX;
}

static bool is_supported(const operation *o, const layout *a, const layout *b, const layout *c, const layout *d) {
    const int64_t m = a->cols, n = b->cols, k = a->rows;
    return o->compute == QMMI_CUBLAS_COMPUTE_32I && o->scale == QMMI_CUDA_R_32I && o->transpose_a == QMMI_CUBLAS_OP_T &&
           o->transpose_b == QMMI_CUBLAS_OP_N && m % 4 == 0 && k % 4 == 0 && d->batch >= 1 &&
           is_good_layout(a, QMMI_CUDA_R_8I, k, m, d->batch) && is_good_layout(b, QMMI_CUDA_R_8I, k, n, d->batch) &&
           is_good_layout(c, QMMI_CUDA_R_32I, m, n, d->batch) && is_good_layout(d, QMMI_CUDA_R_32I, m, n, d->batch) &&
           (d->batch == 1 || d->batch_stride >= d->ld * (n - 1) + m);
}

/* What an algorithm was made for. */
typedef struct algorithm {
    int64_t magic, m, n, k;
    uint32_t alignment[4];
} algorithm;
_Static_assert(sizeof(algorithm) <= sizeof(qmmi_cublaslt_algorithm), "an algorithm fits the library's");

int cublasLtMatmulAlgoGetHeuristic(void *handle, void *desc, void *a, void *b, void *c, void *d, void *given,
                                   int wanted, qmmi_cublaslt_heuristic *results, int *found) {
    const preference *p = given;
    algorithm made = { MAGIC, ((layout *)a)->cols, ((layout *)b)->cols, ((layout *)a)->rows, { 0 } };
    heuristics++;
    *found = 0;
    if (!handle || wanted < 1) return INVALID_VALUE;
    if (mode_is("no_algorithm") || !is_supported(desc, a, b, c, d)) return QMMI_CUBLAS_STATUS_NOT_SUPPORTED;
    memcpy(made.alignment, p->alignment, sizeof made.alignment);
    memset(results, 0, sizeof *results);
    memcpy(&results->algorithm, &made, sizeof made);
    results->workspace_bytes = p->workspace < WORKSPACE ? (size_t)p->workspace : WORKSPACE;
    results->status = QMMI_CUBLAS_STATUS_SUCCESS;
    *found = 1;
    return QMMI_CUBLAS_STATUS_SUCCESS;
}

/* ---- the multiplication ----------------------------------------------------------------------------------------- */

typedef struct job {
    struct job *next;
    layout a, b, d;
    const int8_t *a_codes, *b_codes;
    int32_t *result;
    void *workspace;
    size_t workspace_bytes;
    bool wrong;
} job;

/* Kept for good: a captured graph may run one again at any time. */
static job *jobs;

static void multiply(void *user) {
    const job *j = user;
    if (j->workspace) memset(j->workspace, 0xee, j->workspace_bytes);
    for (int32_t batch = 0; batch < j->d.batch; batch++) {
        for (int64_t col = 0; col < j->d.cols; col++) {
            for (int64_t row = 0; row < j->d.rows; row++) {
                const int8_t *x = j->a_codes + batch * j->a.batch_stride + row * j->a.ld;
                const int8_t *y = j->b_codes + batch * j->b.batch_stride + col * j->b.ld;
                int32_t sum = 0;
                for (int64_t k = j->wrong && row == 0 ? 1 : 0; k < j->a.rows; k++) sum += x[k] * y[k];
                j->result[batch * j->d.batch_stride + col * j->d.ld + row] = sum;
            }
        }
    }
}

/* cuLaunchHostFunc of the driver that the library under test has loaded. */
typedef unsigned (*launch_host)(void *stream, void (*function)(void *), void *user);

static launch_host find_launch_host(void) {
    const char *name = getenv("QMM_CUDA_LIBRARY");
    void *driver = name ? dlopen(name, RTLD_NOW | RTLD_NOLOAD) : NULL;
    void *address = driver ? dlsym(driver, "cuLaunchHostFunc") : NULL;
    launch_host function;
    memcpy(&function, &address, sizeof function);
    return function;
}

static bool is_aligned(const void *pointer, size_t alignment) {
    return (uintptr_t)pointer % alignment == 0;
}

static bool is_good_call(const algorithm *made, const layout *a, const layout *b, const void *a_codes,
                         const void *b_codes, const void *c, const void *d) {
    return made->magic == MAGIC && made->m == a->cols && made->n == b->cols && made->k == a->rows &&
           is_aligned(a_codes, made->alignment[0]) && is_aligned(b_codes, made->alignment[1]) &&
           is_aligned(c, made->alignment[2]) && is_aligned(d, made->alignment[3]);
}

int cublasLtMatmul(void *handle, void *desc, const void *alpha, const void *a, void *a_layout, const void *b,
                   void *b_layout, const void *beta, const void *c, void *c_layout, void *d, void *d_layout,
                   const qmmi_cublaslt_algorithm *chosen, void *workspace, size_t workspace_bytes, void *stream) {
    const launch_host launch = find_launch_host();
    algorithm made;
    job *j;
    if (mode_is("out_of_memory")) return QMMI_CUBLAS_STATUS_ALLOC_FAILED;
    if (mode_is("fail")) return QMMI_CUBLAS_STATUS_EXECUTION_FAILED;
    if (!handle || !chosen || *(const int32_t *)alpha != 1 || *(const int32_t *)beta != 0) return INVALID_VALUE;
    memcpy(&made, chosen, sizeof made);
    if (!is_supported(desc, a_layout, b_layout, c_layout, d_layout) ||
        !is_good_call(&made, a_layout, b_layout, a, b, c, d) || (workspace_bytes && !is_aligned(workspace, 256)))
        return QMMI_CUBLAS_STATUS_NOT_SUPPORTED;
    if (!launch) return NOT_INITIALIZED;
    j = malloc(sizeof *j);
    if (!j) return QMMI_CUBLAS_STATUS_ALLOC_FAILED;
    *j = (job){ .next = jobs,
                .a = *(layout *)a_layout,
                .b = *(layout *)b_layout,
                .d = *(layout *)d_layout,
                .a_codes = a,
                .b_codes = b,
                .result = d,
                .workspace = workspace,
                .workspace_bytes = workspace_bytes,
                .wrong = mode_is("wrong") };
    jobs = j;
    return launch(stream, multiply, j) == 0 ? QMMI_CUBLAS_STATUS_SUCCESS : QMMI_CUBLAS_STATUS_EXECUTION_FAILED;
}
