/* SPDX-License-Identifier: Apache-2.0
 *
 * The rows of quantize_dynamic: cuda:quantize_dynamic:one_pass, for blocks of parameters that are a stretch of one row, and
 * cuda:quantize_dynamic:two_pass, which takes everything. */
#include "quantize_dynamic.h"

#include "../host/context.h"
#include "rows.h"
#include "share.h"

_Static_assert(QMMI_CUDA_DYNAMIC_ONE_PASS == 32768, "one_pass says so where it refuses more");

static bool is_empty(const qmmi_view *v) {
    return v->rows == 0 || v->cols == 0;
}

/* What both rows begin with. */
static qmmi_cuda_quantize_dynamic begin(const qmmi_problem *problem) {
    qmmi_cuda_quantize_dynamic a = { .p = qmmi_joined(problem) };
    a.length = is_empty(&a.p.source) ? 0 : a.p.target_quant.block_cols;
    return a;
}

/* A walk in which blocks of parameters take the place of tiles. */
static qmmi_cuda_walk walk_over_blocks(const qmmi_convert_problem *p, int32_t lanes_log2) {
    const qmmi_quant *to = &p->target_quant;
    return (qmmi_cuda_walk){ .rows = to->param_rows,
                             .tiles = to->param_cols,
                             .items = p->source.batch * to->param_rows * to->param_cols,
                             .span = 1,
                             .lanes_log2 = lanes_log2 };
}

/* ---- one pass ----------------------------------------------------------------------------------------------------- */

const char *qmmi_cuda_quantize_dynamic_one_pass_accepts(const qmm_context *context, const qmmi_problem *problem) {
    const qmmi_cuda_quantize_dynamic a = begin(problem);
    const qmmi_quant *to = &a.p.target_quant;
    (void)context;
    if (a.length == 0) return NULL;
    if (to->block_rows > 1) return "several rows share their parameters";
    if (a.length > QMMI_CUDA_DYNAMIC_ONE_PASS) return "more than 32768 elements of a row share their parameters";
    if (qmm_type_bits(a.p.target.type) == 4 && to->param_cols > 1 && a.length % 2 != 0)
        return "4-bit groups of an odd length share bytes";
    return NULL;
}

/* The lanes of a warp that do a short block: a run of QMMI_CUDA_RUN each. */
static int32_t choose_lanes_log2(int64_t length) {
    int32_t lanes_log2 = 0;
    while ((int64_t)QMMI_CUDA_RUN << lanes_log2 < length) lanes_log2++;
    return lanes_log2;
}

/* The threads of a block that does a longer one: whole warps, a run of QMMI_CUDA_DYNAMIC_RUN each. */
static int32_t choose_threads(int64_t length) {
    return (int32_t)qmmi_parts(length, (int64_t)QMMI_CUDA_DYNAMIC_RUN * 32) * 32;
}

/* Are the sums' stretches the blocks of parameters? */
static bool sums_by_block(const qmmi_convert_problem *p) {
    const qmmi_quant *to = &p->target_quant;
    const bool same_cols = p->target.cols == 0 ? to->param_cols == 1 : to->block_cols == p->sum_cols;
    return p->sums.memory && to->param_rows == p->target.rows && same_cols;
}

qmm_status qmmi_cuda_quantize_dynamic_one_pass(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                               size_t workspace_offset) {
    qmmi_cuda_quantize_dynamic a = begin(problem);
    const bool in_warp = a.length <= QMMI_CUDA_RUN * 32;
    (void)workspace, (void)workspace_offset;
    a.walk = walk_over_blocks(&a.p, in_warp ? choose_lanes_log2(a.length) : 0);
    a.lanes = in_warp ? 1 << a.walk.lanes_log2 : choose_threads(a.length);
    a.piece = qmmi_cuda_piece(&a.p.source, &a.p.target);
    a.sums = sums_by_block(&a.p);
    if (a.length == 0) /* there is no memory to step through */
        a.p.source.row_stride = a.p.source.batch_stride = a.p.target.row_stride = a.p.target.batch_stride = 0;
    if (a.walk.items > 0 && in_warp)
        QMMI_TRY(qmmi_cuda_launch(context, QMMI_CUDA_quantize_dynamic_warp_kernel,
                                  qmmi_cuda_walk_blocks(&a.walk, QMMI_CUDA_RUN_THREADS), QMMI_CUDA_RUN_THREADS, 0, &a));
    else if (a.walk.items > 0)
        QMMI_TRY(
            qmmi_cuda_launch(context, QMMI_CUDA_quantize_dynamic_block_kernel, a.walk.items, (unsigned)a.lanes, 0, &a));
    return a.sums ? QMM_OK : qmmi_cuda_row_sums(context, problem);
}

/* ---- two passes --------------------------------------------------------------------------------------------------- */

/* Rows of a block below which a column is not cut: a thread then spends most of its time loading. */
#define PART_ROWS_MIN 64

/* Columns are cut until each multiprocessor has so many threads. */
#define THREADS_PER_MULTIPROCESSOR 1024

static void cut_columns(const qmm_context *context, qmmi_cuda_quantize_dynamic *a) {
    const qmmi_view *x = &a->p.source;
    const qmmi_quant *to = &a->p.target_quant;
    const int64_t wanted = (int64_t)qmmi_cuda_device_of(context)->multiprocessors * THREADS_PER_MULTIPROCESSOR;
    const int32_t piece = qmmi_cuda_piece(x, x);
    int64_t threads, most = to->block_rows / PART_ROWS_MIN;
    a->piece = piece != QMMI_CUDA_SINGLE && x->cols % piece == 0 ? piece : 1;
    threads = x->batch * to->param_rows * (x->cols / a->piece);
    if (most > wanted / threads) most = wanted / threads;
    a->part_rows = qmmi_parts(to->block_rows, most < 1 ? 1 : most);
    a->parts = qmmi_parts(to->block_rows, a->part_rows);
    a->walk = (qmmi_cuda_walk){ .rows = to->param_rows * a->parts, .tiles = x->cols / a->piece, .span = 1 };
    a->walk.items = x->batch * a->walk.rows * a->walk.tiles;
}

/* Queues a kernel that does something to each block of parameters. */
static qmm_status for_each_block(qmm_context *context, qmmi_cuda_kernel kernel, qmmi_cuda_quantize_dynamic *a) {
    qmmi_cuda_quantize_dynamic blocks = *a;
    blocks.walk = walk_over_blocks(&a->p, 0);
    if (blocks.walk.items == 0) return QMM_OK;
    return qmmi_cuda_launch(context, kernel, qmmi_cuda_walk_blocks(&blocks.walk, QMMI_CUDA_RUN_THREADS),
                            QMMI_CUDA_RUN_THREADS, 0, &blocks);
}

/* The ranges of the blocks; of columns that are not cut, the parameters too. */
static qmm_status find_in_columns(qmm_context *context, qmmi_cuda_quantize_dynamic *a) {
    return qmmi_cuda_launch(context, QMMI_CUDA_quantize_dynamic_columns_kernel,
                            qmmi_cuda_walk_blocks(&a->walk, QMMI_CUDA_RUN_THREADS), QMMI_CUDA_RUN_THREADS, 0, a);
}

static qmm_status find_in_rows(qmm_context *context, qmmi_cuda_quantize_dynamic *a) {
    const qmmi_view *x = &a->p.source;
    int64_t blocks;
    a->piece = qmmi_cuda_piece(x, x);
    a->walk = (qmmi_cuda_walk){ .rows = x->rows * a->p.target_quant.param_cols,
                                .tiles = qmmi_parts(a->length, QMMI_CUDA_RUN * 32),
                                .lanes_log2 = 5 };
    a->walk.items = x->batch * a->walk.rows * a->walk.tiles;
    blocks = qmmi_cuda_set_span(context, &a->walk, QMMI_CUDA_RUN_THREADS, QMMI_CUDA_RUN_BLOCKS);
    return qmmi_cuda_launch(context, QMMI_CUDA_quantize_dynamic_rows_kernel, blocks, QMMI_CUDA_RUN_THREADS, 0, a);
}

qmm_status qmmi_cuda_quantize_dynamic_two_pass(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                               size_t workspace_offset) {
    qmmi_cuda_quantize_dynamic a = begin(problem);
    const bool columns = a.length > 0 && a.p.target_quant.block_cols == 1;
    (void)workspace, (void)workspace_offset;
    if (columns) cut_columns(context, &a);
    if (columns && a.parts == 1) {
        QMMI_TRY(find_in_columns(context, &a));
    } else {
        QMMI_TRY(for_each_block(context, QMMI_CUDA_quantize_dynamic_begin_kernel, &a));
        if (columns)
            QMMI_TRY(find_in_columns(context, &a));
        else if (a.length > 0)
            QMMI_TRY(find_in_rows(context, &a));
        QMMI_TRY(for_each_block(context, QMMI_CUDA_quantize_dynamic_end_kernel, &a));
    }
    return qmmi_cuda_quantize(context, problem, NULL, 0);
}
