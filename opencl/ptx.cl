/* SPDX-License-Identifier: Apache-2.0
 *
 * The only home of inline PTX, which NVIDIA's compiler takes in OpenCL C: one function an instruction, named after it.
 * Fragment layouts are those of the PTX ISA manual, chapter "Warp-level matrix instructions". A program that includes
 * this is built only where its row's capability bit says it may be: other compilers may take the text and compute
 * nonsense.
 *
 * To run a kernel without the device, tests define QMM_PTX_CL before this text, and functions of the same names. Those
 * that stand in for an instruction of a whole warp need local memory, which only a kernel can declare: PTX_SCRATCH does
 * it there, and the other two hand it on. All items of a work-group make such a call together. */
#ifndef QMM_PTX_CL
#define QMM_PTX_CL

#define PTX_SCRATCH(items)
#define PTX_SCRATCH_PARAMETER
#define PTX_SCRATCH_ARGUMENT

/* c + a.0 * b.0 + a.1 * b.1 + a.2 * b.2 + a.3 * b.3, four s8 each. sm_61. */
static int ptx_dp4a(int a, int b, int c) {
    int d;
    asm("dp4a.s32.s32 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(b), "r"(c));
    return d;
}

/* d[16 x 8] + a[16 x 32] b[32 x 8], s8 into s32, over one warp: 32 items with neighbouring local ids. sm_80.
 * With g = l / 4 and t = l % 4, lane l holds of a: x row g, y row g + 8, both k = 4t .. + 3; z, w the same rows,
 * k = 16 + 4t .. + 3; of b: column g, x k = 4t .. + 3, y k = 16 + 4t .. + 3; of d: x, y row g, columns 2t, 2t + 1;
 * z, w row g + 8. */
static int4 ptx_mma_m16n8k32_s8(int4 a, int2 b, int4 d PTX_SCRATCH_PARAMETER) {
    int x = d.x, y = d.y, z = d.z, w = d.w;
    asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
                 "{%0, %1, %2, %3};"
                 : "+r"(x), "+r"(y), "+r"(z), "+r"(w)
                 : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "r"(b.x), "r"(b.y));
    return (int4)(x, y, z, w);
}

#endif
