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
#include "matmul_prepare.h"
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
                                              .packed_4bit = false,
                                              .splits = false,
                                              .multiple = MULTIPLE };

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
static bool c_is_direct(const qmmi_matmul_problem *p, const qmmi_cuda_matmul *m) {
    return p->c.type == QMM_S32 && !m->corrects_a && !m->corrects_b && !p->bias.memory && p->n % MULTIPLE == 0 &&
           (p->m == 1 || p->c.row_stride % MULTIPLE == 0) && (p->batch == 1 || p->c.batch_stride % MULTIPLE == 0);
}

static plan make_plan(const qmm_context *context, const qmmi_matmul_problem *p) {
    plan s = { 0 };
    qmmi_cuda_matmul_describe(context, p, &shape, &s.m);
    s.direct = c_is_direct(p, &s.m);
    s.n = (p->n + MULTIPLE - 1) / MULTIPLE * MULTIPLE;
    s.rows = p->m;
    s.batches = p->batch;
    if (!s.direct) {
        s.rows = qmmi_smaller(p->m, larger(PANEL_BYTES / 4 / s.n / PANEL_ROWS_MIN, 1) * PANEL_ROWS_MIN);
        s.batches = s.rows < p->m ? 1 : qmmi_smaller(p->batch, larger(PANEL_BYTES / 4 / s.n / s.rows, 1));
    }
    s.accumulators = qmmi_cuda_matmul_workspace(context, p, &shape);
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

const char *qmmi_cuda_matmul_cublaslt_declines(const qmm_context *context, const qmmi_problem *problem) {
    const qmmi_matmul_problem *p = &problem->as.matmul;
    /* Expected, not measured: a call into the library and a second launch cost some microseconds more than one
     * launch of ours, which is what our dp4a kernel needs for as many products. */
    const bool too_small = (double)p->m * (double)p->n * (double)p->k < 64e6;
    (void)context;
    return too_small ? "for so few products a kernel of our own is expected to be done sooner" : NULL;
}

static bool is_refused(const qmm_context *context) {
    const qmmi_row *rows = context->backend->rows[QMMI_MATMUL];
    int i = 0;
    while (rows[i].name && rows[i].run != qmmi_cuda_matmul_cublaslt) i++;
    return !rows[i].name || context->trust[QMMI_MATMUL][i] >= QMMI_REFUSED;
}

const char *qmmi_cuda_matmul_mma_declines(const qmm_context *context, const qmmi_problem *problem) {
    const qmmi_cuda_device *device = qmmi_cuda_device_of(context);
    const qmmi_matmul_problem *p = &problem->as.matmul;
    const int compute = 10 * device->compute_major + device->compute_minor;
    /* These devices have instructions for s8 (wgmma; tcgen05, which 10.3 has not for s8) that the library uses and our
     * mma kernels do not: mma.sync is known to reach 62 to 75 % of wgmma's rate. Where that counts is expected, not
     * measured: */
    const bool newer_instructions = compute == 90 || compute == 100 || compute == 110;
    /* for fewer rows or columns, reading the operands takes most of the time, whoever multiplies; */
    const bool large = p->m >= 256 && p->n >= 256;
    /* and accumulators that go through memory, 8 bytes each, cost about what the products of 2,048 k gain. */
    const bool long_k = p->k >= 2048;
    const bool preferred = newer_instructions && large && long_k && !is_refused(context) &&
                           !qmmi_cuda_matmul_cublaslt_accepts(context, problem);
    return preferred ? "cuBLASLt is expected to be faster here: it has instructions that this kernel has not" : NULL;
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
