/* SPDX-License-Identifier: Apache-2.0
 *
 * find_minmax and histogram, over the finite values of x. Specification: host/cpu/range.c. Counts are integers and the
 * extremes do not depend on an order, so atomics give the same result in any.
 *
 * An extreme is kept as a pattern whose order as an integer is that of the floats, so that an atomic maximum finds it:
 * the sign bit of a positive float is set, all bits of a negative one are turned over. That of max is larger the
 * larger the value, that of min the smaller; 0 is less than either of any finite value. */
#include "range.h"

#include "count.cl"
#include "reduce.cl"

/* 1 for an element that is not finite, else 0: no other exponent becomes 2^31 by adding one to it. */
static uint16 not_finite(float16 x) {
    return ((as_uint16(x) & 0x7f800000u) + 0x00800000u) >> 31;
}

/* All bits of an element, or none: is it one of the first `count`? */
static uint16 inside(int count) {
    return as_uint16((int16)(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15) < count);
}

/* Where row `row` of all begins. */
static const __global uchar *row_at(const qmmi_cl_view *x, const __global uchar *memory, long row) {
    const long b = row < x->rows ? 0 : quotient(row, x->rows);
    return memory + x->offset + byte_of(x->type, index_of(x, b, row - b * x->rows, 0));
}

/* ---- find_minmax -------------------------------------------------------------------------------------------------- */

static uint largest(uint16 x) {
    const uint8 x8 = max(x.lo, x.hi);
    const uint4 x4 = max(x8.lo, x8.hi);
    return max(max(x4.x, x4.y), max(x4.z, x4.w));
}

static uint sum(uint16 x) {
    const uint8 x8 = x.lo + x.hi;
    const uint4 x4 = x8.lo + x8.hi;
    return x4.x + x4.y + x4.z + x4.w;
}

/* Of a work-item: the patterns of min and max, and how many elements were skipped. */
static uint4 find_in_patch(const qmmi_cl_range *a, const __global uchar *memory) {
    const patch here = patch_at(&a->patches, get_group_id(0));
    KEPT(uint) min_found = 0, max_found = 0, skipped = 0;
    long row, col;
    for (row = here.row; row < here.row_end; row += here.row_step) {
        const __global uchar *const base = row_at(&a->x, memory, row);
        for (col = here.col; col < here.col_end; col += here.col_step) {
            const int count = run_count(&here, col);
            const float16 x = load_reals(a->x.type, base, col, count, a->aligned);
            const uint16 bits = as_uint16(x), skip = not_finite(x), use = (skip - 1u) & inside(count);
            const uint16 ordered = bits ^ (as_uint16(as_int16(bits) >> 31) | 0x80000000u);
            min_found = max(min_found, JOIN_RUN(largest, ~ordered & use));
            max_found = max(max_found, JOIN_RUN(largest, ordered & use));
            skipped += JOIN_RUN(sum, skip); /* elements beyond the row are 0, which is finite */
        }
    }
    return (uint4)(JOIN_KEPT(largest, min_found), JOIN_KEPT(largest, max_found), JOIN_KEPT(sum, skipped), 0);
}

static uint4 join_found(uint4 x, uint4 y) {
    return (uint4)(max(x.s0, y.s0), max(x.s1, y.s1), x.s2 + y.s2, 0);
}

__kernel void find_minmax_kernel(const qmmi_cl_range a, MEMORY x, MEMORY work) {
    __local uint4 found[QMMI_CL_REDUCE_ITEMS];
    const uint me = (uint)get_local_id(0);
    uint step;
    found[me] = find_in_patch(&a, x);
    for (step = (uint)get_local_size(0) / 2; step > 0; step /= 2) {
        barrier(CLK_LOCAL_MEM_FENCE);
        if (me < step) found[me] = join_found(found[me], found[me + step]);
    }
    if (me == 0) {
        volatile __global qmmi_cl_minmax *const to = (volatile __global qmmi_cl_minmax *)work;
        atomic_max(&to->min, found[0].s0);
        atomic_max(&to->max, found[0].s1);
        add_count(to->skipped, found[0].s2);
    }
}

/* ---- histogram ---------------------------------------------------------------------------------------------------- */

/* `use` is all bits or none. A work-item that is alone does without the branch, which is foretold wrongly as often as
 * signs change. */
static void count_one(volatile __local uint *count, uint use) {
    if (get_local_size(0) == 1)
        *count -= use;
    else if (use)
        atomic_inc(count);
}

/* Counts the elements of a patch on one side of 0; zeros, of which there may be very many, in local memory only at the
 * end. No patch is so large that a count could leave 32 bits (patches.h). */
static void count_patch(const qmmi_cl_range *a, const __global uchar *memory, bool negative,
                        volatile __local uint *counts) {
    const patch here = patch_at(&a->patches, get_group_id(0));
    KEPT(uint) zeros = 0;
    long row, col;
    int e;
    for (row = here.row; row < here.row_end; row += here.row_step) {
        const __global uchar *const base = row_at(&a->x, memory, row);
        for (col = here.col; col < here.col_end; col += here.col_step) {
            const int count = run_count(&here, col);
            const float16 x = load_reals(a->x.type, base, col, count, a->aligned);
            const uint16 side = as_uint16(negative ? x < 0.0f : x > 0.0f);
            const uint16 finite = not_finite(x) - 1u, use = side & finite & inside(count);
            const float16 magnitude = as_float16(as_uint16(x) & finite & 0x7fffffffu);
            uint bins[QMMI_CL_RUN], uses[QMMI_CL_RUN];
            vstore16(convert_uint16(magnitude * a->inverse_width), 0, bins);
            vstore16(use, 0, uses);
            for (e = 0; e < QMMI_CL_RUN; e++) count_one(counts + bins[e], uses[e]);
            zeros -= JOIN_RUN(sum, as_uint16(x == 0.0f) & inside(count));
        }
    }
    if (!negative) atomic_add(counts, JOIN_KEPT(sum, zeros));
}

/* The groups of row 0 count the values that are at least 0, those of row 1 the others. Bins are numbered away from 0.
 * */
__kernel void histogram_kernel(const qmmi_cl_range a, MEMORY x, MEMORY work) {
    __local uint counts[QMMI_CL_HISTOGRAM_HALF];
    volatile __global uint *const bins = (volatile __global uint *)work;
    const bool negative = get_group_id(1) == 1;
    const int me = (int)get_local_id(0), items = (int)get_local_size(0);
    int n;
    for (n = me; n < QMMI_CL_HISTOGRAM_HALF; n += items) counts[n] = 0;
    barrier(CLK_LOCAL_MEM_FENCE);
    count_patch(&a, x, negative, counts);
    barrier(CLK_LOCAL_MEM_FENCE);
    for (n = me; n < QMMI_CL_HISTOGRAM_HALF; n += items)
        add_count(bins + 2 * (negative ? QMMI_CL_HISTOGRAM_HALF - 1 - n : QMMI_CL_HISTOGRAM_HALF + n), counts[n]);
}
