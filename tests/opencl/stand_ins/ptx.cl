/* SPDX-License-Identifier: Apache-2.0
 *
 * Stands in for opencl/ptx.cl: prepend this to the program's source. Written from the PTX ISA manual, "dp4a" and the
 * fragment figures of mma.m16n8k32 for 8-bit types: groupID = laneid >> 2, threadID_in_group = laneid % 4. A warp is 32
 * items with neighbouring local ids. */
#define QMM_PTX_CL

#define PTX_SCRATCH_WORDS 6 /* an item's a and b */
#define PTX_SCRATCH(items) __local int ptx_scratch[(items) * PTX_SCRATCH_WORDS];
#define PTX_SCRATCH_PARAMETER , __local int *ptx_scratch
#define PTX_SCRATCH_ARGUMENT , ptx_scratch

static int ptx_byte(int word, int n) {
    const int byte = (int)((uint)word >> 8 * n & 255u);
    return byte < 128 ? byte : byte - 256;
}

static int ptx_dp4a(int a, int b, int c) {
    for (int n = 0; n < 4; n++) c += ptx_byte(a, n) * ptx_byte(b, n);
    return c;
}

/* A[row][k]: a0, a1, a2, a3 are (row < 8, k < 16), (row >= 8, k < 16), (row < 8, k >= 16), (row >= 8, k >= 16). */
static int ptx_mma_a(const __local int *warp, int row, int k) {
    const int lane = row % 8 * 4 + k % 16 / 4, word = row / 8 + k / 16 * 2;
    return ptx_byte(warp[lane * PTX_SCRATCH_WORDS + word], k % 4);
}

/* B[k][column]: b0, b1 are (k < 16), (k >= 16). */
static int ptx_mma_b(const __local int *warp, int k, int column) {
    const int lane = column * 4 + k % 16 / 4, word = 4 + k / 16;
    return ptx_byte(warp[lane * PTX_SCRATCH_WORDS + word], k % 4);
}

static int ptx_mma_element(const __local int *warp, int row, int column, int d) {
    for (int k = 0; k < 32; k++) d += ptx_mma_a(warp, row, k) * ptx_mma_b(warp, k, column);
    return d;
}

/* Inlined at each call: else PoCL 3.1 keeps the one place for its scratch, and all threads of the device share it. */
static __attribute__((always_inline)) int4 ptx_mma_m16n8k32_s8(int4 a, int2 b, int4 d PTX_SCRATCH_PARAMETER) {
    const int item = (int)get_local_id(0), row = item % 32 / 4, column = item % 4 * 2;
    const __local int *warp = ptx_scratch + item / 32 * 32 * PTX_SCRATCH_WORDS;
    __local int *own = ptx_scratch + item * PTX_SCRATCH_WORDS;
    own[0] = a.x, own[1] = a.y, own[2] = a.z, own[3] = a.w;
    own[4] = b.x, own[5] = b.y;
    barrier(CLK_LOCAL_MEM_FENCE);
    d.x = ptx_mma_element(warp, row, column, d.x);
    d.y = ptx_mma_element(warp, row, column + 1, d.y);
    d.z = ptx_mma_element(warp, row + 8, column, d.z);
    d.w = ptx_mma_element(warp, row + 8, column + 1, d.w);
    barrier(CLK_LOCAL_MEM_FENCE);
    return d;
}
