/* SPDX-License-Identifier: Apache-2.0
 *
 * Stands in for opencl/dpas.cl: prepend this to the program's source. Written from the specification of
 * cl_intel_subgroup_matrix_multiply_accumulate. A subgroup is QMM_DPAS_SUBGROUP items with neighbouring local ids; a
 * subgroup's operands lie in local memory as matrices: A[8][32] bytes, then B[column][32] bytes. */
#ifdef QMM_DPAS_SUBGROUP /* an option of the programs that have dpas.cl */
#define QMM_DPAS_CL

#define DPAS_KERNEL
#define DPAS_SUBGROUP_BYTES (8 * 32 + 32 * QMM_DPAS_SUBGROUP)
#define DPAS_SCRATCH(items) __local uchar dpas_scratch[(items) / QMM_DPAS_SUBGROUP * DPAS_SUBGROUP_BYTES];
#define DPAS_SCRATCH_PARAMETER , __local uchar *dpas_scratch
#define DPAS_SCRATCH_ARGUMENT , dpas_scratch

#if QMM_DPAS_SUBGROUP == 8
typedef int dpas_part;
typedef int8 dpas_a;
#else
typedef short dpas_part;
typedef short8 dpas_a;
#endif

static int dpas_subgroup(void) {
    return (int)get_local_id(0) / QMM_DPAS_SUBGROUP;
}

static int dpas_lane(void) {
    return (int)get_local_id(0) % QMM_DPAS_SUBGROUP;
}

static int dpas_value(uchar byte) {
    return byte < 128 ? byte : byte - 256;
}

/* Inlined at each call: else PoCL 3.1 keeps the one place for its scratch, and all threads of the device share it. */
static __attribute__((always_inline)) int8 dpas_i8_k32(dpas_a a, int8 b, int8 d DPAS_SCRATCH_PARAMETER) {
    const int lane = dpas_lane(), part_bytes = (int)sizeof(dpas_part);
    __local uchar *rows = dpas_scratch + dpas_subgroup() * DPAS_SUBGROUP_BYTES, *columns = rows + 8 * 32;
    dpas_part part[8];
    int of_column[8], sum[8];
    vstore8(a, 0, part);
    vstore8(b, 0, of_column);
    vstore8(d, 0, sum);
    for (int row = 0; row < 8; row++)
        for (int n = 0; n < part_bytes; n++)
            rows[row * 32 + lane * part_bytes + n] = (uchar)((uint)part[row] >> 8 * n);
    for (int k = 0; k < 32; k++) columns[lane * 32 + k] = (uchar)((uint)of_column[k / 4] >> 8 * (k % 4));
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int row = 0; row < 8; row++)
        for (int k = 0; k < 32; k++) sum[row] += dpas_value(rows[row * 32 + k]) * dpas_value(columns[lane * 32 + k]);
    barrier(CLK_LOCAL_MEM_FENCE);
    return vload8(0, sum);
}

#endif
