/* SPDX-License-Identifier: Apache-2.0
 *
 * Kernels that ask each function of the simulated device for its value; test_builtins.cpp knows what it must be. */
#include "../../../cuda/device.cuh"
#include "../../../cuda/ptx.cuh"
#include "arguments.h"

/* out[i] = in[i] + way, i < n. */
KERNEL(add_kernel, 256, 1, test_arguments, p) {
    const int i = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    if (i < p.n) p.out[i] = p.in[i] + p.way;
}

/* out[lane] of every shuffle: way 0 to, 1 xor, 2 up, 3 down; n holds the width, in[0] the lane or distance. */
KERNEL(shuffle_kernel, 32, 1, test_arguments, p) {
    const int value = 100 + (int)threadIdx.x;
    int result = 0;
    switch (p.way) {
    case 0: result = __shfl_sync(0xffffffffu, value, p.in[0], p.n); break;
    case 1: result = __shfl_xor_sync(0xffffffffu, value, p.in[0], p.n); break;
    case 2: result = __shfl_up_sync(0xffffffffu, value, (unsigned)p.in[0], p.n); break;
    case 3: result = __shfl_down_sync(0xffffffffu, value, (unsigned)p.in[0], p.n); break;
    case 4: result = (int)__shfl_xor_sync(0xffffffffu, (float)value, p.in[0], p.n); break;
    case 5: result = (int)(__shfl_xor_sync(0xffffffffu, (long long)value << 32, p.in[0], p.n) >> 32); break;
    case 6: result = (int)__shfl_xor_sync(0xffffffffu, (unsigned)value, p.in[0], p.n); break;
    default: break;
    }
    p.out[threadIdx.x] = result;
}

/* Votes of the lanes whose bit is set in in[0]. */
KERNEL(vote_kernel, 32, 1, test_arguments, p) {
    const int predicate = p.in[0] >> threadIdx.x & 1;
    p.out[threadIdx.x] = (int)__ballot_sync(0xffffffffu, predicate);
    p.out[32 + threadIdx.x] = __any_sync(0xffffffffu, predicate);
    p.out[64 + threadIdx.x] = __all_sync(0xffffffffu, predicate);
}

/* All blocks count and compare into the same words. */
KERNEL(atomic_kernel, 128, 1, test_arguments, p) {
    const int i = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    atomicAdd(p.out, 1);
    atomicAdd((unsigned *)p.out + 1, 2u);
    atomicAdd((unsigned long long *)(p.out + 2), 3ull << 32);
    atomicMin(p.out + 4, -i);
    atomicMax(p.out + 5, i);
    atomicMin((unsigned *)p.out + 6, (unsigned)i);
    atomicMax((unsigned *)p.out + 7, (unsigned)i);
    unsigned *const lock = (unsigned *)p.out + 8;
    for (unsigned old = atomicAdd(lock, 0u), seen; (seen = atomicCAS(lock, old, old + 5)) != old; old = seen) {
    }
}

/* The order in which threads come: out[i] is the number of the i-th. */
KERNEL(order_kernel, 256, 1, test_arguments, p) {
    const int number = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    p.out[1 + atomicAdd(p.out, 1)] = number;
    if (p.way == 1) {
        __syncthreads();
        p.out[1 + atomicAdd(p.out, 1)] = number;
    }
}

/* out[i] = float arithmetic on in, as it must round: no contraction, subnormals kept. */
KERNEL(float_kernel, 1, 1, test_arguments, p) {
    const float a = __int_as_float(p.in[0]), b = __int_as_float(p.in[1]), c = __int_as_float(p.in[2]);
    p.out[0] = __float_as_int(a * b + c);
    p.out[1] = __float_as_int(__fdiv_rn(a, b));
    p.out[2] = __float_as_int(min(a, b));
    p.out[3] = __float_as_int(max(a, b));
}

KERNEL(integer_kernel, 1, 1, test_arguments, p) {
    p.out[0] = __clz(p.in[0]);
    p.out[1] = __popc((unsigned)p.in[0]);
    p.out[2] = (int)__byte_perm((unsigned)p.in[0], (unsigned)p.in[1], (unsigned)p.in[2]);
    p.out[3] = min(p.in[0], p.in[1]);
    p.out[4] = (int)max((unsigned)p.in[0], (unsigned)p.in[1]);
    p.out[5] = (int)min(p.in[0], (unsigned)p.in[1]);
    const int4 v = __ldg((const int4 *)p.in);
    __stcs((int2 *)(p.out + 6), make_int2(v.w, v.z));
}

/* out[i] = dp4a(in[3i], in[3i + 1], in[3i + 2]); way 1: the first is unsigned */
KERNEL(dp4a_kernel, 256, 1, test_arguments, p) {
    for (int i = (int)(blockIdx.x * 256 + threadIdx.x); i < p.n; i += (int)gridDim.x * 256)
        p.out[i] = p.way == 1 ? ptx_dp4a_u8_s8((unsigned)p.in[3 * i], p.in[3 * i + 1], p.in[3 * i + 2])
                              : ptx_dp4a(p.in[3 * i], p.in[3 * i + 1], p.in[3 * i + 2]);
}

/* Registers of one mma for each of n blocks of 32 threads: in and out are [block][register][lane], in order a, b, d. */
KERNEL(mma_k16_kernel, 32, 1, test_arguments, p) {
    const int *const in = p.in + blockIdx.x * 4 * 32 + threadIdx.x;
    int d[2] = {in[2 * 32], in[3 * 32]};
    ptx_mma_m8n8k16_s8(d, (uint32_t)in[0], (uint32_t)in[32]);
    for (int i = 0; i < 2; i++) p.out[(blockIdx.x * 2 + (unsigned)i) * 32 + threadIdx.x] = d[i];
}

KERNEL(mma_k32_kernel, 32, 1, test_arguments, p) {
    const int *const in = p.in + blockIdx.x * 10 * 32 + threadIdx.x;
    uint32_t a[4], b[2];
    int d[4];
    for (int i = 0; i < 4; i++) a[i] = (uint32_t)in[i * 32];
    for (int i = 0; i < 2; i++) b[i] = (uint32_t)in[(4 + i) * 32];
    for (int i = 0; i < 4; i++) d[i] = in[(6 + i) * 32];
    ptx_mma_m16n8k32_s8(d, a, b);
    for (int i = 0; i < 4; i++) p.out[(blockIdx.x * 4 + (unsigned)i) * 32 + threadIdx.x] = d[i];
}

/* Four matrices of 8 rows of 16 bytes, one after the other in `in`; out[4 * lane + i]. */
KERNEL(ldmatrix_kernel, 32, 1, test_arguments, p) {
    SHARED_ARRAY(int4, rows, 32);
    rows[threadIdx.x] = ((const int4 *)p.in)[threadIdx.x];
    __syncwarp();
    uint32_t r[4];
    ptx_ldmatrix_x4(r, rows + threadIdx.x);
    for (unsigned i = 0; i < 4; i++) p.out[4 * threadIdx.x + i] = (int)r[i];
}
