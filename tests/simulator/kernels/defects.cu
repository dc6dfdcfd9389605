/* SPDX-License-Identifier: Apache-2.0
 *
 * Small kernels that are right or, by the argument's `way`, wrong in one of the ways that the simulated device must
 * notice. way 0 is always right. test_defects.cpp says what each must come to. */
#include "../../../cuda/device.cuh"
#include "../../../cuda/ptx.cuh"
#include "arguments.h"

/* ---- ordering ---------------------------------------------------------------------------------------------------- */

/* out[i] = in[255 - i], through shared memory. 1: no barrier. */
KERNEL(reverse_kernel, 256, 1, test_arguments, p) {
    SHARED_ARRAY(int, tile, 256);
    tile[threadIdx.x] = p.in[threadIdx.x];
    if (p.way != 1) __syncthreads();
    p.out[threadIdx.x] = tile[255 - threadIdx.x];
}

/* Eight rotations by one. 1: no barrier before the tile is written again. */
KERNEL(rotate_kernel, 256, 1, test_arguments, p) {
    SHARED_ARRAY(int, tile, 256);
    int value = p.in[threadIdx.x];
    for (int i = 0; i < 8; i++) {
        tile[threadIdx.x] = value;
        __syncthreads();
        value = tile[(threadIdx.x + 1) % 256];
        if (p.way != 1) __syncthreads();
    }
    p.out[threadIdx.x] = value;
}

/* The same within a warp. 1: the shuffle that is there instead orders no memory (a matter for ThreadSanitizer). */
KERNEL(warp_reverse_kernel, 32, 1, test_arguments, p) {
    SHARED_ARRAY(int, tile, 32);
    tile[threadIdx.x] = p.in[threadIdx.x];
    if (p.way == 0)
        __syncwarp();
    else
        p.out[32] = __shfl_sync(0xffffffffu, 1, 0);
    p.out[threadIdx.x] = tile[31 - threadIdx.x];
}

/* The last block to arrive adds up what all have written. 1: no fence before the arrival is announced. */
KERNEL(last_block_kernel, 1, 1, test_arguments, p) {
    unsigned *const arrived = (unsigned *)p.out;
    int *const parts = p.out + 2;
    parts[blockIdx.x] = (int)blockIdx.x;
    if (p.way != 1) __threadfence();
    if (atomicAdd(arrived, 1u) != gridDim.x - 1) return;
    __threadfence();
    int sum = 0;
    for (unsigned i = 0; i < gridDim.x; i++) sum += parts[i];
    p.out[1] = sum;
}

/* ---- collectives that not all reach ------------------------------------------------------------------------------ */

KERNEL(divergence_kernel, 64, 1, test_arguments, p) {
    int value = (int)threadIdx.x;
    switch (p.way) {
    case 1: /* half of a warp takes part */
        if (threadIdx.x % 32 < 16) value = __shfl_xor_sync(0xffffffffu, value, 1);
        break;
    case 2: /* each half at another place */
        if (threadIdx.x % 32 < 16)
            value = __shfl_xor_sync(0xffffffffu, value, 1);
        else
            value = __shfl_xor_sync(0xffffffffu, value, 1);
        break;
    case 3: /* one thread at a barrier, the others of its warp at a shuffle */
        if (threadIdx.x == 5)
            __syncthreads();
        else if (threadIdx.x < 32)
            value = __shfl_sync(0xffffffffu, value, 0);
        __syncthreads();
        break;
    case 4: /* a barrier that one thread does not reach */
        if (threadIdx.x != 63) __syncthreads();
        break;
    case 5: /* barriers at two places */
        if (threadIdx.x < 32)
            __syncthreads();
        else
            __syncthreads();
        break;
    case 6: /* lanes that have ended are still named */
        if (threadIdx.x % 32 >= 16) return;
        value = __shfl_sync(0xffffffffu, value, 0);
        break;
    case 7: /* a lane that is not named itself */
        value = __shfl_sync(0x7fffffffu, value, 0);
        break;
    case 8: /* reads a lane that is not named */
        if (threadIdx.x % 32 < 16) value = __shfl_xor_sync(0x0000ffffu, value, 16);
        break;
    case 9: /* masks that disagree */
        value = __any_sync(threadIdx.x % 32 < 16 ? 0x0000ffffu : 0xffffffffu, value);
        break;
    case 10: /* a tensor instruction by half a warp */
        if (threadIdx.x % 32 < 16) {
            int d[2] = {0, 0};
            ptx_mma_m8n8k16_s8(d, 1, 1);
        }
        break;
    default:
        if (threadIdx.x % 32 < 16)
            value = __shfl_xor_sync(0x0000ffffu, value, 1);
        else
            value = __shfl_xor_sync(0xffff0000u, value, 1);
        __syncthreads();
    }
    p.out[threadIdx.x] = value;
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

/* out[i] = in[i] for n elements. */
KERNEL(bounds_kernel, 64, 1, test_arguments, p) {
    SHARED_ARRAY(int, fixed, 64);
    DYNAMIC_SHARED(bytes);
    int *const dynamic = (int *)bytes; /* 64 of them */
    const int i = (int)threadIdx.x;
    volatile int *in_fixed = fixed;
    fixed[i] = p.in[i];
    dynamic[i] = fixed[i];
    __syncthreads();
    switch (p.way) {
    case 1: p.out[i] = p.in[i + 1]; break;                 /* reads one element past a tensor */
    case 2: p.out[i + 1] = p.in[i]; break;                 /* writes one past it */
    case 3: p.out[i] = fixed[i + 1]; break;                /* an index one past an array in shared memory */
    case 4: p.out[i] = in_fixed[i + 1]; break;             /* the same by a pointer */
    case 5: p.out[i] = dynamic[i + 1]; break;              /* and in dynamic shared memory */
    case 6: in_fixed[i + 1] = 0; break;                    /* and written */
    case 7: dynamic[i + 1] = 0; break;
    case 8: p.out[i] = ((const unsigned char *)p.in)[4 * i + 4]; break; /* one byte past */
    case 9: p.out[i] = in_fixed[i - 1]; break;             /* one before */
    default: p.out[i] = dynamic[63 - i] + 0 * fixed[i]; break;
    }
}

KERNEL(alignment_kernel, 32, 1, test_arguments, p) {
    SHARED_ARRAY(int4, aligned, 64);
    SHARED_ARRAY(signed char, bytes, 1024); /* no better aligned than its type */
    const unsigned i = threadIdx.x;
    const int4 *const in = (const int4 *)(p.in + (p.way == 0 ? 0 : 1));
    uint32_t r[4] = {0, 0, 0, 0};
    aligned[i] = ((const int4 *)p.in)[i];
    bytes[i] = 0;
    __syncwarp();
    switch (p.way) {
    case 1: p.out[i] = in[i].x; break;
    case 2: p.out[i] = __ldg(in + i).x; break;
    case 3: ptx_ldmatrix_x4(r, (const char *)(aligned + i) + 8); break;
    case 4: ptx_ldmatrix_x4(r, bytes + 16 * i); break;
    case 5: ptx_cp_async_16((char *)(aligned + i) + 4, p.in, 16); break;
    case 6: ptx_cp_async_16(aligned + i, p.in + 1, 16); break;
    case 7: ptx_cp_async_16(aligned + i, p.in, 17); break;
    case 8: ptx_ldmatrix_x4(r, aligned + 48 + i); break; /* past the end */
    case 9: ptx_cp_async_16(aligned + 48 + i, p.in, 16); break;
    case 10: ptx_ldmatrix_x4(r, p.in); break; /* not shared memory */
    case 11: ptx_cp_async_16(aligned + i, aligned, 16); break;
    case 12: atomicAdd((int *)((char *)p.out + 2), 1); break;
    default: ptx_ldmatrix_x4(r, aligned + i); p.out[i] = aligned[i].x; break;
    }
    if (r[0] == 0x12345678u) p.out[0] = (int)r[0];
}

/* ---- instructions ------------------------------------------------------------------------------------------------ */

/* Two stages of 512 bytes through cp.async: out[i] = in[i] + in[128 + i], i < 128. */
KERNEL(cp_async_kernel, 32, 1, test_arguments, p) {
    DYNAMIC_SHARED(bytes);
    unsigned *const stage[2] = {(unsigned *)bytes, (unsigned *)(bytes + 512)};
    const unsigned i = threadIdx.x;
    ptx_cp_async_16(stage[0] + 4 * i, p.in + 4 * i, 16);
    if (p.way != 2) ptx_cp_async_commit(); /* 2: both copies in one group, of which none is waited for */
    ptx_cp_async_16(stage[1] + 4 * i, p.in + 128 + 4 * i, p.way == 5 ? 12 : 16);
    ptx_cp_async_commit();
    ptx_cp_async_wait<1>();
    if (p.way != 3) __syncwarp(); /* 3: the other lanes' copies are read without a barrier */
    unsigned sum[4];
    for (int j = 0; j < 4; j++) sum[j] = stage[0][32 * j + (31 - i)];
    if (p.way != 1) ptx_cp_async_wait<0>(); /* 1: the second stage is read too early */
    if (p.way != 4) __syncwarp();
    for (int j = 0; j < 4; j++) p.out[32 * j + (31 - i)] = (int)(sum[j] + stage[1][32 * j + (31 - i)]);
}

/* One 16 x 8 x 32 product, a row-major in, b column-major behind it: 1: b's fragment with group and thread exchanged,
 * 2: a's registers 1 and 2 exchanged, 3: ldmatrix rows of the wrong matrix. */
KERNEL(fragment_kernel, 32, 1, test_arguments, p) {
    SHARED_ARRAY(int4, a_tile, 32); /* 16 rows of 32 bytes */
    const unsigned lane = threadIdx.x, g = lane / 4, t = lane % 4;
    a_tile[lane] = ((const int4 *)p.in)[lane];
    __syncwarp();
    uint32_t a[4], b[2];
    /* matrices: rows 0..7 k 0..15, rows 8..15 k 0..15, then k 16..31 */
    const unsigned matrix = p.way == 3 ? (lane / 8) ^ 1 : lane / 8;
    ptx_ldmatrix_x4(a, a_tile + (matrix % 2 * 8 + lane % 8) * 2 + matrix / 2);
    if (p.way == 2) {
        const uint32_t swapped = a[1];
        a[1] = a[2];
        a[2] = swapped;
    }
    const uint32_t *const words = (const uint32_t *)(p.in + 128); /* 8 columns of 8 words */
    for (unsigned half = 0; half < 2; half++)
        b[half] = p.way == 1 ? words[(lane % 8) * 8 + half * 4 + lane / 8] : words[g * 8 + half * 4 + t];
    int d[4] = {0, 0, 0, 0};
    ptx_mma_m16n8k32_s8(d, a, b);
    for (unsigned i = 0; i < 4; i++) p.out[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = d[i];
}

/* Each instruction, so that a device without it is seen to stop there. */
KERNEL(capability_kernel, 32, 1, test_arguments, p) {
    SHARED_ARRAY(int4, memory, 32);
    int small[2] = {0, 0}, large[4] = {0, 0, 0, 0};
    uint32_t r[4] = {1, 1, 1, 1};
    const uint32_t b[2] = {1, 1};
    memory[threadIdx.x] = make_int4(0, 0, 0, 0);
    switch (p.way) {
    case 1: p.out[threadIdx.x] = ptx_dp4a(1, 1, 0); break;
    case 2: ptx_mma_m8n8k16_s8(small, 1, 1); break;
    case 3: ptx_ldmatrix_x4(r, memory + threadIdx.x); break;
    case 4: ptx_mma_m16n8k32_s8(large, r, b); break;
    case 5: ptx_cp_async_16(memory + threadIdx.x, p.in, 16); break;
    case 6: ptx_cp_async_commit(); break;
    case 7: ptx_cp_async_wait<0>(); break;
    case 8: __trap();
    default: break;
    }
    p.out[threadIdx.x] = small[0] + large[0] + (int)r[0];
}

/* ---- resources --------------------------------------------------------------------------------------------------- */

KERNEL(static_shared_kernel, 32, 1, test_arguments, p) {
    SHARED_ARRAY(int, half, 8192);
    half[threadIdx.x] = 1;
    if (p.way == 1) {
        SHARED_ARRAY(int, rest, 8192);
        rest[threadIdx.x] = half[threadIdx.x];
    }
    p.out[threadIdx.x] = half[threadIdx.x];
}
