/* SPDX-License-Identifier: Apache-2.0
 *
 * quantize_dynamic: finds scale and zero point of every block of elements that share them, stores them, and quantizes
 * with what was stored. Specification: host/cpu/quantize_dynamic.c.
 *
 *     one pass     a block is a stretch of one row, which some lanes of a work-group go through twice; the second time it
 *                  is in a cache, so memory is read once.
 *     two passes   ranges of stretches of rows, or of columns, are gathered by atomic maxima; then parameters are made of
 *                  them; then the kernel of quantize.cl reads everything again.
 *
 * A range holds 0, so -min and max are at least 0 and their patterns are ordered as integers; a range is kept as these
 * two. Scales that are written are f32 and zero points s32 (host/validate.c): a pattern has room in the place of
 * either. */
#include "quantize_dynamic.h"

#include "reduce.cl"

/* ---- ranges ------------------------------------------------------------------------------------------------------- */

/* The patterns of x and of -x, of which the positive one's is a positive integer; of what is not finite, those of 0. */
static int16 positive(float16 x) {
    const int16 bits = as_int16(x);
    return bits & ((bits & 0x7f800000) != 0x7f800000);
}

static int16 negative(int16 bits) {
    return bits ^ (int)0x80000000;
}

static int largest(int16 x) {
    const int8 x8 = max(x.lo, x.hi);
    const int4 x4 = max(x8.lo, x8.hi);
    return max(max(x4.x, x4.y), max(x4.z, x4.w));
}

/* What a lane has seen: the patterns of max and of -min. */
typedef struct lane_range {
    KEPT(int) high, low;
} lane_range;

/* A stretch of a row, seen by a lane that takes every col_step / 16th run of it. */
static void widen_by_row(lane_range *range, const qmmi_cl_view *x, const __global uchar *row, long col, long col_end,
                         int col_step, int aligned) {
    for (; col < col_end; col += col_step) {
        const int count = (int)min(col_end - col, (long)QMMI_CL_RUN);
        const int16 bits = positive(load_reals(x->type, row, col, count, aligned));
        range->high = max(range->high, JOIN_RUN(largest, bits));
        range->low = max(range->low, JOIN_RUN(largest, negative(bits)));
    }
}

static int2 joined_range(const lane_range *range) {
    return (int2)(JOIN_KEPT(largest, range->high), JOIN_KEPT(largest, range->low));
}

/* ---- parameters --------------------------------------------------------------------------------------------------- */

/* Block (r, c) of matrix b. */
typedef struct block {
    long b, r, c;
} block;

static block block_at(const qmmi_cl_quant *to, long number) {
    const long row = quotient(number, to->param_cols), b = quotient(row, to->param_rows);
    const block here = { b, row - b * to->param_rows, number - row * to->param_cols };
    return here;
}

/* The places of a block's parameters. */
static __global int *scale_place(const qmmi_cl_quant *to, MEMORY scale, const block *here) {
    return (__global int *)(scale + to->scale.offset) + param_index(&to->scale, here->b, here->r, here->c);
}

static __global int *zero_place(const qmmi_cl_quant *to, MEMORY zero, const block *here) {
    return (__global int *)(zero + to->zero.offset) + param_index(&to->zero, here->b, here->r, here->c);
}

typedef struct block_params {
    float scale;
    int zero;
} block_params;

/* The parameters of the range -low .. high. */
static block_params choose(const qmmi_cl_quant *to, int high, int low) {
    const float most = as_float(high), least = 0.0f - as_float(low); /* no -0 */
    block_params params = { 0.0f, to->zero.integer_value };
    if (!to->zero.in_memory) {
        params.scale = qmmn_symmetric_scale(as_float(max(high, low)), to->qmax);
        return params;
    }
    params.scale = qmmn_asymmetric_scale(least, most, to->qmin, to->qmax);
    params.zero = qmmn_asymmetric_zero(least, params.scale, to->qmin, to->qmax);
    return params;
}

static void store_params(const qmmi_cl_quant *to, MEMORY scale, MEMORY zero, const block *here,
                         const block_params *params) {
    *scale_place(to, scale, here) = as_int(params->scale);
    if (to->zero.in_memory) *zero_place(to, zero, here) = params->zero;
}

/* ---- one pass ----------------------------------------------------------------------------------------------------- */

/* Over the lanes of a block; each gets it. All work-items come here. */
static int2 join_lanes(__local int2 *ranges, int2 range, int lanes_log2) {
    const int me = (int)get_local_id(0), lane = me & ((1 << lanes_log2) - 1);
    int step;
    if (lanes_log2 == 0) return range;
    ranges[me] = range;
    for (step = 1 << lanes_log2 >> 1; step > 0; step /= 2) {
        barrier(CLK_LOCAL_MEM_FENCE);
        if (lane < step) ranges[me] = max(ranges[me], ranges[me + step]);
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    range = ranges[me - lane];
    barrier(CLK_LOCAL_MEM_FENCE); /* until the next block's are written */
    return range;
}

static uint add_lanes(__local uint *parts, uint sum, int lanes_log2) {
    const int me = (int)get_local_id(0), lane = me & ((1 << lanes_log2) - 1);
    int step;
    if (lanes_log2 == 0) return sum;
    parts[me] = sum;
    for (step = 1 << lanes_log2 >> 1; step > 0; step /= 2) {
        barrier(CLK_LOCAL_MEM_FENCE);
        if (lane < step) parts[me] += parts[me + step];
    }
    return parts[me];
}

static uint sum_of_run(int16 q, int count) {
    uint all[QMMI_CL_RUN], sum = 0;
    int e;
    if (count == QMMI_CL_RUN) {
        const uint8 s8 = as_uint8(q.lo) + as_uint8(q.hi);
        const uint4 s4 = s8.lo + s8.hi;
        return s4.x + s4.y + s4.z + s4.w;
    }
    vstore16(as_uint16(q), 0, all);
    for (e = 0; e < count; e++) sum += all[e];
    return sum;
}

/* Blocks of one row, each by 2^lanes_log2 lanes. */
__kernel void quantize_dynamic_one_pass_kernel(const qmmi_cl_quantize_dynamic a, MEMORY scale, MEMORY zero,
                                               MEMORY source, MEMORY target, MEMORY sums) {
    __local int2 ranges[QMMI_CL_REDUCE_ITEMS];
    __local uint parts[QMMI_CL_REDUCE_ITEMS];
    const qmmi_cl_view *const x = &a.p.source, *const q = &a.p.target;
    const qmmi_cl_quant *const to = &a.p.target_quant;
    const int me = (int)get_local_id(0), lanes = 1 << a.lanes_log2, lane = me & (lanes - 1);
    const long together = (long)get_local_size(0) >> a.lanes_log2, step = (long)get_num_groups(0) * together;
    long first;
    for (first = (long)get_group_id(0) * together; first < a.blocks; first += step) {
        const long number = first + (me >> a.lanes_log2);
        const bool active = number < a.blocks;
        const block here = block_at(to, active ? number : 0);
        const long col = here.c * a.length + lane * QMMI_CL_RUN, col_end = active ? (here.c + 1) * a.length : 0;
        const __global uchar *const from =
            source + x->offset + byte_of(x->type, index_of(x, here.b, here.r, 0));
        __global uchar *const codes = target + q->offset + byte_of(q->type, index_of(q, here.b, here.r, 0));
        lane_range range = { 0, 0 };
        block_params params;
        int2 joined;
        uint sum = 0;
        long j;
        widen_by_row(&range, x, from, col, col_end, lanes * QMMI_CL_RUN, a.source_aligned);
        joined = join_lanes(ranges, joined_range(&range), a.lanes_log2);
        params = choose(to, joined.x, joined.y);
        if (active && lane == 0) store_params(to, scale, zero, &here, &params);
        for (j = col; j < col_end; j += lanes * QMMI_CL_RUN) {
            const int count = (int)min(col_end - j, (long)QMMI_CL_RUN);
            const int16 run = quantize_run(load_reals(x->type, from, j, count, a.source_aligned), params.scale,
                                           params.zero, to->qmin, to->qmax);
            store_codes(q->type, codes, j, count, a.target_aligned, run);
            if (a.sums) sum += sum_of_run(run, count);
        }
        if (!a.sums) continue;
        sum = add_lanes(parts, sum, a.lanes_log2);
        if (active && lane == 0)
            ((__global uint *)(sums + a.p.sums.offset))[param_index(&a.p.sums, here.b, here.r, here.c)] = sum;
    }
}

/* ---- two passes --------------------------------------------------------------------------------------------------- */

/* A range under way lies where its parameters go: the pattern of the maximum in the place of the scale, and of -min in
 * that of the zero point; symmetric, the larger of the two alone. */
static void join_range(const qmmi_cl_quant *to, MEMORY scale, MEMORY zero, const block *here, int high, int low) {
    atomic_max((volatile __global int *)scale_place(to, scale, here), to->zero.in_memory ? high : max(high, low));
    if (to->zero.in_memory) atomic_max((volatile __global int *)zero_place(to, zero, here), low);
}

/* Every block begins with the range 0 .. 0. */
__kernel void quantize_dynamic_begin_kernel(const qmmi_cl_quantize_dynamic a, MEMORY scale, MEMORY zero) {
    const block_params none = { 0.0f, 0 };
    long n;
    for (n = (long)get_global_id(0); n < a.blocks; n += (long)get_global_size(0)) {
        const block here = block_at(&a.p.target_quant, n);
        store_params(&a.p.target_quant, scale, zero, &here, &none);
    }
}

/* The rows of one block after the other, of which a work-group has a patch. */
__kernel void quantize_dynamic_rows_kernel(const qmmi_cl_quantize_dynamic a, MEMORY scale, MEMORY zero,
                                           MEMORY source) {
    __local int2 ranges[QMMI_CL_REDUCE_ITEMS];
    const qmmi_cl_view *const x = &a.p.source;
    const qmmi_cl_quant *const to = &a.p.target_quant;
    const patch where = patch_at(&a.patches, get_group_id(0));
    const int me = (int)get_local_id(0);
    long n, row;
    int step;
    for (n = (long)get_group_id(1); n < a.blocks; n += (long)get_num_groups(1)) {
        const block here = block_at(to, n);
        const long shift = here.c * a.length;
        lane_range range = { 0, 0 };
        for (row = where.row; row < where.row_end; row += where.row_step) {
            const long i = here.r * to->block_rows + row;
            widen_by_row(&range, x, source + x->offset + byte_of(x->type, index_of(x, here.b, i, shift)), where.col,
                         where.col_end, where.col_step, a.source_aligned);
        }
        ranges[me] = joined_range(&range);
        for (step = (int)get_local_size(0) / 2; step > 0; step /= 2) {
            barrier(CLK_LOCAL_MEM_FENCE);
            if (me < step) ranges[me] = max(ranges[me], ranges[me + step]);
        }
        if (me == 0) join_range(to, scale, zero, &here, ranges[0].x, ranges[0].y);
        barrier(CLK_LOCAL_MEM_FENCE); /* until the next block's are written */
    }
}

/* Each work-item walks down the columns of a run, through one stretch of rows; 2^lanes_log2 lanes of a group have
 * neighbouring runs, the others stretches that follow. Where a stretch is all rows of a block, its parameters are
 * stored at once. */
__kernel void quantize_dynamic_columns_kernel(const qmmi_cl_quantize_dynamic a, MEMORY scale, MEMORY zero,
                                              MEMORY source) {
    const qmmi_cl_view *const x = &a.p.source;
    const qmmi_cl_quant *const to = &a.p.target_quant;
    const int me = (int)get_local_id(0), lanes = 1 << a.lanes_log2;
    const long col = (((long)get_group_id(0) << a.lanes_log2) + (me & (lanes - 1))) * QMMI_CL_RUN;
    const int count = (int)min(x->cols - col, (long)QMMI_CL_RUN);
    const long together = (long)get_local_size(0) >> a.lanes_log2, step = (long)get_num_groups(1) * together;
    const long stretches = x->batch * to->param_rows * a.parts;
    long n;
    if (count <= 0) return;
    for (n = (long)get_group_id(1) * together + (me >> a.lanes_log2); n < stretches; n += step) {
        const long block_row = quotient(n, a.parts), b = quotient(block_row, to->param_rows);
        const long r = block_row - b * to->param_rows;
        const long begin = (n - block_row * a.parts) * a.part_rows, end = min(begin + a.part_rows, to->block_rows);
        int high[QMMI_CL_RUN], low[QMMI_CL_RUN], e;
        int16 highs = 0, lows = 0;
        long row;
        for (row = begin; row < end; row++) {
            const long index = index_of(x, b, r * to->block_rows + row, col);
            const int16 bits = positive(load_reals(x->type, source + x->offset, index, count, a.source_aligned));
            highs = max(highs, bits);
            lows = max(lows, negative(bits));
        }
        vstore16(highs, 0, high);
        vstore16(lows, 0, low);
        for (e = 0; e < count; e++) {
            const block here = { b, r, col + e };
            if (a.parts > 1) {
                join_range(to, scale, zero, &here, high[e], low[e]);
            } else {
                const block_params params = choose(to, high[e], low[e]);
                store_params(to, scale, zero, &here, &params);
            }
        }
    }
}

/* The parameters of each block, from its range. */
__kernel void quantize_dynamic_end_kernel(const qmmi_cl_quantize_dynamic a, MEMORY scale, MEMORY zero) {
    const qmmi_cl_quant *const to = &a.p.target_quant;
    long n;
    for (n = (long)get_global_id(0); n < a.blocks; n += (long)get_global_size(0)) {
        const block here = block_at(to, n);
        const int high = *scale_place(to, scale, &here);
        const int low = to->zero.in_memory ? *zero_place(to, zero, &here) : 0;
        const block_params params = choose(to, high, low);
        store_params(to, scale, zero, &here, &params);
    }
}
