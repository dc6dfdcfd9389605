/* SPDX-License-Identifier: Apache-2.0
 *
 * The sums behind measure_error, over the fixed tree of host/cpu/measure_error.c, which is the specification: a
 * work-item is a lane of a block of 4096 terms. The first kernel makes the terms and sums their blocks; the second
 * sums blocks of those sums, level after level, until one is left. The four sums go through the tree side by side. */
#include "count.cl"
#include "element.cl"
#include "measure_error.h"

enum {
    BLOCK = QMMI_CL_ERROR_BLOCK,
    LANES = QMMI_CL_ERROR_LANES,
    TERMS = BLOCK / LANES /* of a work-item */
};

/* What is not a sum: skipped pairs, and the patterns of the largest error and value. */
static uint4 join_seen(uint4 x, uint4 y) {
    return (uint4)(x.s0 + y.s0, max(x.s1, y.s1), max(x.s2, y.s2), 0);
}

static uint magnitude(float x) {
    return as_uint(x) & 0x7fffffffu;
}

static void add_pair(float r, float g, float factor, float4 *sums, uint4 *seen) {
    const bool measured = qmmn_is_finite(r) && qmmn_is_finite(g);
    float e;
    r = measured ? r : 0.0f;
    g = measured ? g : 0.0f;
    seen->s0 += !measured;
    seen->s2 = max(seen->s2, max(magnitude(r), magnitude(g)));
    r = r * factor;
    g = g * factor;
    e = g - r;
    seen->s1 = max(seen->s1, magnitude(e));
    *sums = *sums + (float4)(e * e, r * r, g * g, r * g);
}

__kernel __attribute__((reqd_work_group_size(QMMI_CL_ERROR_LANES, 1, 1)))
void measure_error_kernel(const qmmi_cl_error_pairs a, MEMORY reference, MEMORY got, MEMORY work) {
    __local float4 sums[QMMI_CL_ERROR_LANES];
    __local uint4 seen[QMMI_CL_ERROR_LANES];
    const uint lane = (uint)get_local_id(0);
    const long first = (long)get_group_id(0) * BLOCK + lane, rows = a.got.rows, cols = a.got.cols;
    const long row = first / cols;
    long b = row / rows, i = row - b * rows, j = first - row * cols;
    float4 s = (float4)(0.0f);
    uint4 here = (uint4)(0);
    for (int n = 0; n < TERMS; n++) {
        if (first + n * LANES < a.terms)
            add_pair(load_real(a.reference.type, reference + a.reference.offset, index_of(&a.reference, b, i, j)),
                     load_real(a.got.type, got + a.got.offset, index_of(&a.got, b, i, j)), a.factor, &s, &here);
        j += a.step_col;
        i += a.step_row + (j >= cols);
        j -= j >= cols ? cols : 0;
        b += a.step_batch + (i >= rows);
        i -= i >= rows ? rows : 0;
    }
    sums[lane] = s;
    seen[lane] = here;
    for (uint half_lanes = LANES / 2; half_lanes > 0; half_lanes /= 2) {
        barrier(CLK_LOCAL_MEM_FENCE);
        if (lane >= half_lanes) continue;
        sums[lane] = sums[lane] + sums[lane + half_lanes];
        seen[lane] = join_seen(seen[lane], seen[lane + half_lanes]);
    }
    if (lane == 0) {
        volatile __global qmmi_cl_error_found *found = (volatile __global qmmi_cl_error_found *)work;
        add_count(found->skipped, seen[0].s0);
        atomic_max(&found->max_error, seen[0].s1);
        atomic_max(&found->max_value, seen[0].s2);
        ((__global float4 *)(work + a.to))[get_group_id(0)] = sums[0];
    }
}

__kernel __attribute__((reqd_work_group_size(QMMI_CL_ERROR_LANES, 1, 1)))
void measure_error_level_kernel(const qmmi_cl_error_level a, MEMORY work) {
    __local float4 sums[QMMI_CL_ERROR_LANES];
    const __global float4 *terms = (const __global float4 *)(work + a.from);
    const uint lane = (uint)get_local_id(0);
    const long first = (long)get_group_id(0) * BLOCK + lane;
    float4 s = (float4)(0.0f);
    for (int n = 0; n < TERMS; n++)
        if (first + n * LANES < a.terms) s = s + terms[first + n * LANES];
    sums[lane] = s;
    for (uint half_lanes = LANES / 2; half_lanes > 0; half_lanes /= 2) {
        barrier(CLK_LOCAL_MEM_FENCE);
        if (lane < half_lanes) sums[lane] = sums[lane] + sums[lane + half_lanes];
    }
    if (lane == 0) ((__global float4 *)(work + a.to))[get_group_id(0)] = sums[0];
}
