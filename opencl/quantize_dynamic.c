/* SPDX-License-Identifier: Apache-2.0
 *
 * The rows of quantize_dynamic: opencl:quantize_dynamic:one_pass, for blocks of parameters that are a stretch of one
 * row, and opencl:quantize_dynamic:two_pass, which takes everything. */
#include "quantize_dynamic.h"

#include "../host/context.h"
#include "convert.h"
#include "patches.h"
#include "rows.h"

_Static_assert(sizeof(qmmi_cl_quantize_dynamic) % 8 == 0, "no padding that two compilers could see differently");

static bool is_empty(const qmmi_view *v) {
    return v->rows == 0 || v->cols == 0;
}

/* What both rows begin with: the problem, joined, and what the kernels take of it. */
typedef struct dynamic {
    qmmi_convert_problem p;
    qmmi_cl_quantize_dynamic a;
    qmmi_opencl_memory memory[QMMI_CL_DYNAMIC_MEMORY];
} dynamic;

static dynamic begin(const qmmi_problem *problem) {
    dynamic d = { .p = qmmi_joined(problem) };
    const qmmi_quant *const to = &d.p.target_quant;
    qmmi_opencl_memory all[QMMI_CL_CONVERT_MEMORY];
    bool whole_runs;
    qmmi_opencl_convert(&d.p, &d.a.p, all);
    d.memory[QMMI_CL_DYNAMIC_SCALE] = all[QMMI_CL_TARGET_SCALE];
    d.memory[QMMI_CL_DYNAMIC_ZERO] = all[QMMI_CL_TARGET_ZERO];
    d.memory[QMMI_CL_DYNAMIC_SOURCE] = all[QMMI_CL_SOURCE];
    d.memory[QMMI_CL_DYNAMIC_TARGET] = all[QMMI_CL_TARGET];
    d.memory[QMMI_CL_DYNAMIC_SUMS] = all[QMMI_CL_SUMS];
    d.a.blocks = d.p.source.batch * to->param_rows * to->param_cols;
    d.a.length = is_empty(&d.p.source) ? 0 : to->block_cols;
    whole_runs = to->block_cols == 1 || to->param_cols == 1 || to->block_cols % QMMI_CL_RUN == 0;
    d.a.source_aligned = whole_runs && qmmi_opencl_aligned(&d.p.source);
    d.a.target_aligned = whole_runs && qmmi_opencl_aligned(&d.p.target);
    return d;
}

static qmm_status launch(qmm_context *context, qmmi_opencl_kernel kernel, const qmmi_opencl_grid *grid,
                         const dynamic *d, int memory_count) {
    return qmmi_opencl_launch(context, kernel, grid, &d->a, sizeof d->a, d->memory, memory_count);
}

/* ---- one pass ----------------------------------------------------------------------------------------------------- */

/* Elements of the longest stretch: beyond, few caches keep it until it is read again. A work-item that has several
 * short ones has no more of them either. */
#define ONE_PASS 32768

_Static_assert(ONE_PASS <= QMMI_OPENCL_TURNS_MAX, "where there is no division, a work-item does a turn an element");

const char *qmmi_opencl_quantize_dynamic_one_pass_accepts(const qmm_context *context, const qmmi_problem *problem) {
    const dynamic d = begin(problem);
    const qmmi_quant *to = &d.p.target_quant;
    (void)context;
    if (d.a.length == 0) return NULL;
    if (to->block_rows > 1) return "several rows share their parameters";
    if (d.a.length > ONE_PASS) return "more than 32768 elements of a row share their parameters";
    if (qmm_type_bits(d.p.target.type) == 4 && to->param_cols > 1 && d.a.length % 2 != 0)
        return "4-bit groups of an odd length share bytes";
    return NULL;
}

/* Elements that are a long stretch for one work-group. */
#define LONG 8192

/* Work-groups that keep a compute unit busy while they do long stretches. A CPU's is, with one. */
static int64_t groups_of_unit(const qmm_context *context) {
    return qmmi_opencl_reduce_items(context) == 1 ? 1 : 4;
}

const char *qmmi_opencl_quantize_dynamic_one_pass_declines(const qmm_context *context, const qmmi_problem *problem) {
    const dynamic d = begin(problem);
    const int64_t busy = qmmi_opencl_device_of(context)->compute_units * groups_of_unit(context);
    return d.a.length <= LONG || d.a.blocks >= busy ? NULL : "two passes share out few long stretches better";
}

/* A run for each lane; no more lanes than a group has work-items. */
static cl_int choose_lanes_log2(int64_t length, size_t items) {
    cl_int lanes_log2 = 0;
    while ((size_t)2 << lanes_log2 <= items && (int64_t)QMMI_CL_RUN << lanes_log2 < length) lanes_log2++;
    return lanes_log2;
}

/* Are the sums' stretches the blocks of parameters? */
static bool sums_by_block(const qmmi_convert_problem *p) {
    const qmmi_quant *to = &p->target_quant;
    const bool same_cols = p->target.cols == 0 ? to->param_cols == 1 : to->block_cols == p->sum_cols;
    return p->sums.memory && to->param_rows == p->target.rows && same_cols;
}

/* Groups for blocks of parameters, `together` of which one does at once: each has several to do where there are many.
 * */
static int64_t groups_for(const qmm_context *context, int64_t blocks, int64_t together, int64_t length) {
    const int64_t turns = qmmi_parts(blocks, together);
    const int64_t several = qmmi_parts(turns, qmmi_opencl_reduce_groups(context) * 4);
    return turns == 0 ? 0 : qmmi_parts(turns, qmmi_smaller(several, ONE_PASS / length));
}

qmm_status qmmi_opencl_quantize_dynamic_one_pass(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                                 size_t workspace_offset) {
    dynamic d = begin(problem);
    const size_t items = qmmi_opencl_reduce_items(context);
    qmmi_opencl_grid grid = { .groups = { 0, 1, 1 }, .local = { items, 1, 1 } };
    (void)workspace, (void)workspace_offset;
    d.a.lanes_log2 = choose_lanes_log2(d.a.length, items);
    d.a.sums = sums_by_block(&d.p);
    grid.groups[0] = groups_for(context, d.a.blocks, (int64_t)items >> d.a.lanes_log2, d.a.length > 0 ? d.a.length : 1);
    if (!d.a.sums) QMMI_TRY(qmmi_opencl_need_row_sums(context, problem));
    QMMI_TRY(launch(context, QMMI_OPENCL_quantize_dynamic_quantize_dynamic_one_pass_kernel, &grid, &d,
                    QMMI_CL_DYNAMIC_MEMORY));
    return d.a.sums ? QMM_OK : qmmi_opencl_row_sums(context, problem);
}

/* ---- two passes --------------------------------------------------------------------------------------------------- */

/* Rows of a block below which a column is not cut: a work-item then spends most of its time loading. Few work-items keep
 * a CPU busy, and there joining what they found costs more. */
#define PART_ROWS_MIN 16
#define PART_ROWS_MIN_OF_CPU 64

/* Queues a kernel that does something to each block of parameters. */
static qmm_status for_each_block(qmm_context *context, qmmi_opencl_kernel kernel, const dynamic *d) {
    const qmmi_opencl_grid grid = { .groups = { groups_for(context, d->a.blocks, QMMI_CL_REDUCE_ITEMS, 1), 1, 1 },
                                    .local = { QMMI_CL_REDUCE_ITEMS, 1, 1 } };
    return launch(context, kernel, &grid, d, QMMI_CL_DYNAMIC_ZERO + 1);
}

static int64_t larger(int64_t x, int64_t y) {
    return x > y ? x : y;
}

/* All that is launched, before the first of them writes parameters. */
static qmm_status need_all(qmm_context *context, const qmmi_problem *problem) {
    static const qmmi_opencl_kernel ranges[] = { QMMI_OPENCL_quantize_dynamic_quantize_dynamic_begin_kernel,
                                                 QMMI_OPENCL_quantize_dynamic_quantize_dynamic_columns_kernel,
                                                 QMMI_OPENCL_quantize_dynamic_quantize_dynamic_rows_kernel,
                                                 QMMI_OPENCL_quantize_dynamic_quantize_dynamic_end_kernel };
    static const qmmi_opencl_kernel codes[] = { QMMI_OPENCL_quantize_quantize_kernel,
                                                QMMI_OPENCL_quantize_quantize_blocks_kernel };
    for (size_t k = 0; k < sizeof ranges / sizeof ranges[0]; k++)
        QMMI_TRY(qmmi_opencl_need(context, ranges[k], QMMI_CL_REDUCE_ITEMS));
    for (size_t k = 0; k < sizeof codes / sizeof codes[0]; k++)
        QMMI_TRY(qmmi_opencl_need(context, codes[k], QMMI_CL_RUN_ITEMS));
    return qmmi_opencl_need_row_sums(context, problem);
}

/* Columns are cut until the device is busy. Of a work-group, `together` work-items have the same columns. */
static qmmi_opencl_grid cut_columns(const qmm_context *context, dynamic *d) {
    const qmmi_view *x = &d->p.source;
    const qmmi_quant *to = &d->p.target_quant;
    const size_t items = QMMI_CL_REDUCE_ITEMS;
    const bool cpu = qmmi_opencl_reduce_items(context) == 1;
    const cl_int lanes_log2 =
        cpu ? QMMI_CL_RUN_ITEMS_LOG2 : qmmi_lanes_log2(x->cols, QMMI_CL_RUN, QMMI_CL_REDUCE_ITEMS_LOG2);
    const int64_t across = qmmi_parts(x->cols, (int64_t)QMMI_CL_RUN << lanes_log2);
    const int64_t down = x->batch * to->param_rows, together = (int64_t)items >> lanes_log2;
    const int64_t wanted = qmmi_parts(qmmi_opencl_reduce_groups(context) * together, across * down);
    const int64_t most = larger(to->block_rows / (cpu ? PART_ROWS_MIN_OF_CPU : PART_ROWS_MIN), 1);
    const int64_t least = qmmi_parts(to->block_rows, QMMI_OPENCL_TURNS_MAX);
    int64_t turns;
    d->a.lanes_log2 = lanes_log2;
    d->a.part_rows = qmmi_parts(to->block_rows, larger(qmmi_smaller(wanted, most), least));
    d->a.parts = qmmi_parts(to->block_rows, d->a.part_rows);
    turns = qmmi_parts(down * d->a.parts, together);
    return (qmmi_opencl_grid){ .groups = { across, qmmi_smaller(turns, QMMI_CL_RUN_GROUPS_MAX), 1 },
                               .local = { items, 1, 1 } };
}

qmm_status qmmi_opencl_quantize_dynamic_two_pass(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                                 size_t workspace_offset) {
    dynamic d = begin(problem);
    const qmmi_quant *to = &d.p.target_quant;
    const bool columns = to->block_cols == 1;
    qmmi_opencl_grid grid = { { 0, 0, 0 }, { 1, 1, 1 } };
    (void)workspace, (void)workspace_offset;
    QMMI_TRY(need_all(context, problem));
    if (d.a.length > 0 && columns)
        grid = cut_columns(context, &d);
    else if (d.a.length > 0)
        d.a.patches = qmmi_opencl_patches(context, to->block_rows, d.a.length, d.a.blocks, &grid);
    if (columns && d.a.parts == 1) { /* parameters are stored where ranges are found */
        QMMI_TRY(launch(context, QMMI_OPENCL_quantize_dynamic_quantize_dynamic_columns_kernel, &grid, &d,
                        QMMI_CL_DYNAMIC_SOURCE + 1));
    } else {
        QMMI_TRY(for_each_block(context, QMMI_OPENCL_quantize_dynamic_quantize_dynamic_begin_kernel, &d));
        QMMI_TRY(launch(context,
                        columns ? QMMI_OPENCL_quantize_dynamic_quantize_dynamic_columns_kernel
                                : QMMI_OPENCL_quantize_dynamic_quantize_dynamic_rows_kernel,
                        &grid, &d, QMMI_CL_DYNAMIC_SOURCE + 1));
        QMMI_TRY(for_each_block(context, QMMI_OPENCL_quantize_dynamic_quantize_dynamic_end_kernel, &d));
    }
    return qmmi_opencl_quantize(context, problem, NULL, 0);
}
