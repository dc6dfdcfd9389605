/* SPDX-License-Identifier: Apache-2.0
 *
 * 64-bit counts in global memory, by 32-bit atomics: a low half and a high half. */
#ifndef QMM_OPENCL_COUNT_CL
#define QMM_OPENCL_COUNT_CL

/* The low half goes past its end in one addition of all; the work-item that made it carries. */
static void add_count(volatile __global uint *halves, uint count) {
    uint before;
    if (count == 0) return;
    before = atomic_add(halves, count);
    if (before > 0xffffffffu - count) atomic_inc(halves + 1);
}

#endif
