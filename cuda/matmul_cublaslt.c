/* SPDX-License-Identifier: Apache-2.0
 *
 * matmul by cuBLASLt's s8 x s8 into s32, then the common epilogue over its accumulators (matmul_epilogue.cu).
 *
 * The library is column-major and wants its first operand transposed. Our row-major C = A B is its D = C transposed:
 * B's canonical rows (columns of B, along K) are its first operand, transposed, and A's rows its second as they lie:
 *
 *     D  n x m, column-major  =  C  m x n, row-major
 *     rows of D = n, k, leading dimensions: multiples of 4, so B is brought to a multiple of 4 rows, and all rows are
 *     readable to a multiple of 4; the columns of C past n are never looked at
 *
 * C is done in panels, so that the accumulators need no more memory than one of them. An s32 C without zero points and
 * bias needs no epilogue: the library writes it. */
#include "../host/checked.h"
#include "context.h"
#include "matmul_epilogue.h"
#include "matmul_estimate.h"
#include "rows.h"

enum { MULTIPLE = 4 };

/* Accumulators of a panel: enough work to fill a device, little enough to be in part in its L2 cache still when the
 * epilogue reads them. Expected, not measured. */
#define PANEL_BYTES ((int64_t)64 << 20)
#define PANEL_ROWS_MIN 256

/* tile_m, tile_n, tile_k, blocks: no kernel of ours multiplies. */
static const qmmi_cuda_matmul_shape shape = { .tile_m = 128,
                                              .tile_n = 128,
                                              .tile_k = 64,
                                              .blocks_per_multiprocessor = 1,
                                              .cluster = 1,
                                              .arrivals = 1,
                                              .packed_4bit = false,
                                              .splits = false,
                                              .multiple = MULTIPLE,
                                              .efficiency = 1.0 };

/* For the estimate, where the library has instructions that our kernels have not: the tile that public kernels for them
 * have, and something off for what is not known of it. */
static const qmmi_cuda_matmul_shape reckoned = { .tile_m = 128,
                                                 .tile_n = 256,
                                                 .tile_k = 128,
                                                 .blocks_per_multiprocessor = 1,
                                                 .cluster = 1,
                                                 .arrivals = 1,
                                                 .packed_4bit = false,
                                                 .splits = true,
                                                 .multiple = MULTIPLE,
                                                 .efficiency = 0.9 };

typedef struct plan {
    qmmi_cuda_matmul m;
    bool direct;                         /* the library writes C */
    int64_t rows, batches;               /* of a panel; one of several matrices has all of their rows */
    int64_t n;                           /* of the accumulators: a multiple of 4 */
    size_t accumulators, library, bytes; /* in the workspace, behind what prepare needs */
} plan;

static int64_t larger(int64_t x, int64_t y) {
    return x > y ? x : y;
}

/* Addresses and strides of C that the library can write to. */
static bool c_is_direct(const qmmi_matmul_problem *p) {
    return p->c.type == QMM_S32 && !qmmi_zero_matters(&p->a) && !qmmi_zero_matters(&p->b) && !p->bias.memory &&
           p->n % MULTIPLE == 0 && (p->m == 1 || p->c.row_stride % MULTIPLE == 0) &&
           (p->batch == 1 || p->c.batch_stride % MULTIPLE == 0);
}

static int64_t multiple_of(int64_t n) {
    return (n + MULTIPLE - 1) / MULTIPLE * MULTIPLE;
}

/* Rows of a panel. */
static int64_t panel_rows(const qmmi_matmul_problem *p) {
    return qmmi_smaller(p->m, larger(PANEL_BYTES / 4 / multiple_of(p->n) / PANEL_ROWS_MIN, 1) * PANEL_ROWS_MIN);
}

/* Matrices of a panel that is not C itself. */
static int64_t panel_batches(const qmmi_matmul_problem *p) {
    const int64_t rows = panel_rows(p);
    return rows < p->m ? 1 : qmmi_smaller(p->batch, larger(PANEL_BYTES / 4 / multiple_of(p->n) / rows, 1));
}

static plan make_plan(const qmm_context *context, const qmmi_matmul_problem *p) {
    plan s = { 0 };
    qmmi_cuda_plan prepared;
    qmmi_cuda_matmul_plan(context, p, &shape, &prepared);
    s.m = prepared.m;
    s.direct = c_is_direct(p);
    s.n = multiple_of(p->n);
    s.rows = p->m;
    s.batches = p->batch;
    if (!s.direct) {
        s.rows = panel_rows(p);
        s.batches = panel_batches(p);
    }
    s.accumulators = prepared.bytes;
    s.library = s.accumulators;
    if (!s.direct) s.library += qmmi_round_up((size_t)(s.batches * s.rows * s.n) * sizeof(int32_t), QMMI_ALIGNMENT);
    s.bytes = s.library + qmmi_cuda_cublaslt_workspace(context);
    return s;
}

/* Leading dimension of an operand's rows; a single row may come without a stride. */
static int64_t leading_dimension(const qmmi_cuda_operand *o) {
    return o->outer_stride ? o->outer_stride : (int64_t)qmmi_round_up((size_t)o->k_bytes, 16);
}

/* `rows` rows of each of `batches` matrices. */
static qmmi_cublaslt_shape shape_of(const qmmi_matmul_problem *p, const plan *s, int64_t rows, int64_t batches) {
    const uintptr_t c = (uintptr_t)p->c.memory + p->c.offset;
    return (qmmi_cublaslt_shape){ .rows = s->n,
                                  .cols = rows,
                                  .k = qmmi_smaller(s->m.a.k_bytes, s->m.b.k_bytes),
                                  .batch = batches,
                                  .a_ld = leading_dimension(&s->m.b),
                                  .a_batch_stride = s->m.b.batch_stride,
                                  .b_ld = leading_dimension(&s->m.a),
                                  .b_batch_stride = s->m.a.batch_stride,
                                  .d_ld = s->direct && p->m > 1 ? p->c.row_stride : s->n,
                                  .d_batch_stride = !s->direct    ? rows * s->n
                                                    : batches > 1 ? p->c.batch_stride
                                                                  : 0,
                                  .d_alignment = s->direct && c % 16 != 0 ? 4 : 16 };
}

/* ---- what it takes ---------------------------------------------------------------------------------------------- */

/* All panels but the last are of one shape. */
static bool has_algorithms(const qmm_context *context, const qmmi_matmul_problem *p, const plan *s) {
    const int64_t last_rows = p->m - (p->m - 1) / s->rows * s->rows;
    const int64_t last_batches = p->batch - (p->batch - 1) / s->batches * s->batches;
    const qmmi_cublaslt_shape first = shape_of(p, s, s->rows, s->batches);
    const qmmi_cublaslt_shape last = shape_of(p, s, last_rows, last_batches);
    return qmmi_cuda_cublaslt_plan(context, &first) && qmmi_cuda_cublaslt_plan(context, &last);
}

const char *qmmi_cuda_matmul_cublaslt_accepts(const qmm_context *context, const qmmi_problem *problem) {
    const qmmi_matmul_problem *p = &problem->as.matmul;
    const char *reason = qmmi_canonical_accepts(p);
    plan s;
    if (reason) return reason;
    if (p->a.grouped || p->b.grouped) return "factors per group of K need accumulators of their own";
    if (p->m > INT32_MAX || p->n > INT32_MAX - MULTIPLE || p->batch > INT32_MAX)
        return "M, N or the batch is more than the library counts";
    reason = qmmi_cuda_cublaslt_load(context);
    if (reason) return reason;
    s = make_plan(context, p);
    return has_algorithms(context, p, &s) ? NULL : "cuBLASLt has no algorithm for this shape";
}

/* ---- the estimate ----------------------------------------------------------------------------------------------- */

/* Accumulators are written and read once, through the second-level cache as far as it holds those of a panel. Each panel
 * is a launch of the library and one of the epilogue; library_seconds has the first of them. */
static double epilogue_seconds(const qmmi_cuda_device *device, const qmmi_matmul_problem *p) {
    const double matrices = (double)panel_batches(p), panel = 4.0 * (double)panel_rows(p) * matrices * (double)p->n;
    const double accumulators = 8.0 * (double)p->m * (double)p->n * (double)p->batch;
    const double in_cache = panel > (double)device->l2_bytes ? (double)device->l2_bytes / panel : 1.0;
    const double panels = (double)qmmi_parts(p->m, panel_rows(p)) * (double)qmmi_parts(p->batch, panel_batches(p));
    const qmmi_cuda_work work = { .launches = 2.0 * panels - 1.0,
                                  .memory_bytes = qmmi_cuda_output_bytes(p) + (1.0 - in_cache) * accumulators,
                                  .l2_bytes = accumulators };
    return qmmi_cuda_seconds(&device->rates, &work);
}

/* All but the epilogue. A library that has no better instructions is taken to be as fast as our kernels are. */
static double library_seconds(const qmm_context *context, const qmmi_problem *problem) {
    const qmmi_cuda_device *const device = qmmi_cuda_device_of(context);
    const qmmi_matmul_problem *const p = &problem->as.matmul;
    qmmi_cuda_work work;
    if (device->rates.library <= device->rates.mma)
        return device->compute_major >= 8 ? qmmi_cuda_matmul_mma_estimate(context, problem)
                                          : qmmi_cuda_matmul_mma_k16_estimate(context, problem);
    work = qmmi_cuda_tile_work(device, p, &reckoned, device->rates.library);
    if (c_is_direct(p)) work.memory_bytes += qmmi_cuda_output_bytes(p);
    return qmmi_cuda_preparation_seconds(device, p, &reckoned) + qmmi_cuda_seconds(&device->rates, &work);
}

double qmmi_cuda_matmul_cublaslt_estimate(const qmm_context *context, const qmmi_problem *problem) {
    const qmmi_matmul_problem *const p = &problem->as.matmul;
    if (!qmmi_cuda_matmul_has_products(p)) return 0;
    return library_seconds(context, problem) +
           (c_is_direct(p) ? 0 : epilogue_seconds(qmmi_cuda_device_of(context), p));
}

size_t qmmi_cuda_matmul_cublaslt_workspace(const qmm_context *context, const qmmi_problem *problem) {
    return make_plan(context, &problem->as.matmul).bytes;
}

/* ---- the run ---------------------------------------------------------------------------------------------------- */

/* Rows first .. + rows of matrices first_batch .. + batches. */
static qmm_status run_panel(qmm_context *context, const plan *s, int64_t first_batch, int64_t batches, int64_t first,
                            int64_t rows, unsigned char *workspace) {
    const qmmi_matmul_problem *p = &s->m.p;
    const qmmi_cublaslt_shape of = shape_of(p, s, rows, batches);
    const qmmi_cublaslt_plan *library_plan = qmmi_cuda_cublaslt_plan(context, &of);
    const int8_t *a = (const int8_t *)s->m.a.codes + first_batch * s->m.a.batch_stride + first * s->m.a.outer_stride;
    const int8_t *b = (const int8_t *)s->m.b.codes + first_batch * s->m.b.batch_stride;
    void *accumulators = s->direct ? (unsigned char *)p->c.memory + p->c.offset : workspace + s->accumulators;
    const qmmi_cuda_epilogue epilogue = { .m = s->m,
                                          .acc = accumulators,
                                          .row_stride = s->n,
                                          .batch_stride = rows * s->n,
                                          .first_row = first,
                                          .rows = rows,
                                          .first_batch = first_batch,
                                          .batches = batches };
    if (!library_plan) /* accepts has found one, and would have refused */
        return qmmi_fail(context, QMM_OUT_OF_MEMORY, "qmm_matmul", "cuBLASLt had no memory for a plan");
    QMMI_TRY(qmmi_cuda_cublaslt_multiply(context, library_plan, b, a, accumulators, workspace + s->library));
    return s->direct ? QMM_OK : qmmi_cuda_run_epilogue(context, &epilogue);
}

qmm_status qmmi_cuda_matmul_cublaslt(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                     size_t workspace_offset) {
    const qmmi_matmul_problem *p = &problem->as.matmul;
    plan s = make_plan(context, p);
    QMMI_TRY(qmmi_cuda_matmul_prepare(context, p, &shape, workspace, workspace_offset, &s.m));
    for (int64_t batch = 0; batch < p->batch; batch += s.batches)
        for (int64_t i = 0; i < p->m; i += s.rows)
            QMMI_TRY(run_panel(context, &s, batch, qmmi_smaller(s.batches, p->batch - batch), i,
                               qmmi_smaller(s.rows, p->m - i), (unsigned char *)workspace + workspace_offset));
    return QMM_OK;
}
