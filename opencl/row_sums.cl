/* SPDX-License-Identifier: Apache-2.0
 *
 * The sums that go with codes: sums[i,g] = sum over the run of q[i,j], modulo 2^32. Specification: host/cpu/row_sums.c.
 * A sum is made by neighbouring lanes of a work-group, which take runs of 16 codes in turn and then add up what they
 * have, in halves. */
#include "row_sums.h"

#include "run.cl"

static uint sum_of_run(uint16 q) {
    const uint8 s8 = q.lo + q.hi;
    const uint4 s4 = s8.lo + s8.hi;
    return s4.x + s4.y + s4.z + s4.w;
}

/* This lane's part of the sum of the codes from element `begin` on, up to `end`. */
static uint sum_part(const qmmi_cl_row_sums *a, const __global uchar *base, long begin, long end, int lane) {
    const long step = (long)QMMI_CL_RUN << a->lanes_log2;
    uint16 sums = 0;
    uint sum = 0;
    long first;
    /* 4-bit groups of an odd length may begin in the middle of a byte. */
    if (type_bits(a->codes.type) == 4 && (begin & 1) != 0) {
        if (lane == 0) sum = (uint)load_code(a->codes.type, base, begin);
        begin++;
    }
    for (first = begin + lane * QMMI_CL_RUN; first < end; first += step) {
        const int count = (int)min(end - first, (long)QMMI_CL_RUN);
        sums += as_uint16(load_codes(a->codes.type, base, first, count, a->aligned));
    }
    return sum + sum_of_run(sums);
}

__kernel __attribute__((reqd_work_group_size(QMMI_CL_ROW_SUMS_ITEMS, 1, 1))) void
row_sums_kernel(const qmmi_cl_row_sums a, MEMORY codes, MEMORY sums) {
    __local uint parts[QMMI_CL_ROW_SUMS_ITEMS];
    const int me = (int)get_local_id(0), lane = me & ((1 << a.lanes_log2) - 1);
    const long item = ((long)get_group_id(0) * QMMI_CL_ROW_SUMS_ITEMS + me) >> a.lanes_log2;
    const long row = quotient(item, a.groups), g = item - row * a.groups;
    const long b = quotient(row, a.codes.rows), i = row - b * a.codes.rows;
    const long begin = index_of(&a.codes, b, i, g * a.length);
    int half_lanes;
    parts[me] = item < a.items ? sum_part(&a, codes + a.codes.offset, begin, begin + a.length, lane) : 0;
    for (half_lanes = (1 << a.lanes_log2) / 2; half_lanes > 0; half_lanes /= 2) {
        barrier(CLK_LOCAL_MEM_FENCE);
        if (lane < half_lanes) parts[me] += parts[me + half_lanes];
    }
    if (item < a.items && lane == 0)
        ((__global uint *)(sums + a.sums.offset))[param_index(&a.sums, b, i, g)] = parts[me];
}
