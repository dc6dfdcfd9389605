/* SPDX-License-Identifier: Apache-2.0
 *
 * cl_intel_subgroup_matrix_multiply_accumulate, and what of subgroups goes with it. QMM_DPAS_SUBGROUP, a build option,
 * is 8 or 16: the items of a subgroup, and the columns of the instruction.
 *
 * To run a kernel without the device, tests define QMM_DPAS_CL before this text, and all of these names; PoCL has no
 * subgroups. Their function needs local memory, which only a kernel can declare: DPAS_SCRATCH does it there, and the
 * other two hand it on. All items of a work-group make the call together. */
#ifndef QMM_DPAS_CL
#define QMM_DPAS_CL

#define DPAS_KERNEL __attribute__((intel_reqd_sub_group_size(QMM_DPAS_SUBGROUP)))
#define DPAS_SCRATCH(items)
#define DPAS_SCRATCH_PARAMETER
#define DPAS_SCRATCH_ARGUMENT

/* Which subgroup of its work-group the item is in, and which lane of the subgroup it is. */
static int dpas_subgroup(void) {
    return (int)get_sub_group_id();
}

static int dpas_lane(void) {
    return (int)get_sub_group_local_id();
}

/* d[8 x lanes] + a[8 x 32] b[32 x lanes], s8 into s32, over one subgroup. Lane l holds of a: of each of the 8 rows,
 * the l-th of as many equal parts as there are lanes; of b: column l, 4 k a component; of d: column l, a row a
 * component. */
#if QMM_DPAS_SUBGROUP == 8
typedef int dpas_part;
typedef int8 dpas_a;
#else
typedef short dpas_part;
typedef short8 dpas_a;
#endif

static int8 dpas_i8_k32(dpas_a a, int8 b, int8 d DPAS_SCRATCH_PARAMETER) {
    return intel_sub_group_i8_i8_matrix_mad_k32(a, b, d);
}

#endif
