/* SPDX-License-Identifier: Apache-2.0
 *
 * Every operation that runs on a stream, as calls with the same inputs on any device: what tests of streams, graphs and
 * determinism repeat. The same inputs lie in every world; the bytes that the cpu device gives are the right ones. */
#ifndef QMM_TEST_CUDA_JOBS_H
#define QMM_TEST_CUDA_JOBS_H

#include <stdbool.h>

#include "qmm/qmm.h"

typedef struct job_sizes {
    int64_t m, n, k;    /* of the matmuls; k a multiple of 32 */
    int64_t rows, cols; /* of the conversions; cols a multiple of 32 */
} job_sizes;

#define JOB_SIZES_SMALL \
    { 19, 38, 96, 5, 160 }
#define JOB_SIZES_LARGE \
    { 300, 520, 1056, 257, 4128 }

typedef struct job_world {
    qmm_context *context;
    job_sizes sizes;
    qmm_buffer *in, *out; /* `out` alone is written */
    size_t out_bytes;
    qmm_tensor real, half, codes, sums;           /* rows x cols: f32, f16, s8, s32 */
    qmm_tensor a, b, b_transposed;                /* m x k, k x n, n x k codes */
    qmm_tensor bias, residual;                    /* f32: 1 x n, m x n */
    qmm_tensor row_scale, row_zero, column_scale; /* of the conversions: rows x 1, rows x 1, 1 x cols */
    qmm_tensor a_scale, b_scale, group_scale;     /* of the matmuls: m x 1, n x 1, n x k / 32 */
    qmm_weights *weights8, *weights4;             /* of b_transposed: s8 per column, s4 in groups of 32 */
} job_world;

/* Opens a context on `device` and fills its world. Ends the program where that fails. options may be NULL. */
void job_world_open(job_world *w, const char *device, const qmm_context_options *options, job_sizes sizes);
void job_world_close(job_world *w);

typedef struct job {
    const char *name;
    const char *operation;                                       /* whose kernel rows may run it */
    qmm_status (*run)(const job_world *w, qmm_context *context); /* on that context's queue */
} job;

extern const job jobs[];
extern const int job_count;

/* Queues a fill of `out` with a poison. */
void job_poison(const job_world *w, qmm_context *context);

/* What is in `out`; waits. The caller frees it. */
unsigned char *job_result(const job_world *w, qmm_context *context);

/* Does `out` hold these bytes? Waits; says where not, on standard error. */
bool job_holds(const job_world *w, qmm_context *context, const unsigned char *wanted, const char *what);

/* What qmm_kernel_force takes for the job's operation: every kernel row, and every variant of each, "ROW/VARIANT". 0 is
 * the device's own choice, "". False: there is no index-th. */
typedef struct job_kernel {
    char name[128];
} job_kernel;
bool job_row(qmm_context *context, const job *j, int index, job_kernel *row);

#endif
