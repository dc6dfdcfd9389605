/* SPDX-License-Identifier: Apache-2.0
 *
 * The instructions of sm_90 that go on by themselves, in small kernels that are right (way 0) or wrong in a way that
 * the simulated device must notice. test_sm90.cpp says what each must come to. */
#include "../../../cuda/device.cuh"
#include "../../../cuda/ptx.cuh"
#include "arguments.h"

DEVICE void wait_for(uint64_t *barrier, uint32_t parity) {
    while (!ptx_mbarrier_try_wait(barrier, parity)) {
    }
}

/* ---- the copy engine --------------------------------------------------------------------------------------------- */

/* One box of map a to shared memory, and its n bytes as they lie there to out. */
KERNEL(load_kernel, 32, 1, sm90_arguments, p) {
    DYNAMIC_SHARED(memory);
    SHARED_ARRAY(uint64_t, full, 1);
    const int way = p.way, lane = (int)threadIdx.x;
    unsigned char *target = memory + (way == 4 ? 64 : way == 5 ? 128 : way == 10 ? 1024 * ((p.n + 1023) / 1024) : 0);
    if (lane == 0) {
        if (way != 6) ptx_mbarrier_init(full, 1);
        if (way == 14) ptx_mbarrier_init(full, 1);
        if (way == 15) full[0] = 1;
        if (way != 3) ptx_fence_mbarrier_init();
    }
    if (way != 12) __syncthreads();
    if (lane == (way == 12 ? 31 : 0)) {
        ptx_prefetch_tensor_map(&p.a);
        ptx_mbarrier_arrive_expect_tx(full, (uint32_t)(way == 2 ? p.n / 2 : way == 18 ? 2 * p.n : p.n));
        if (way == 11) {
            const qmmi_cuda_tensor_map copy = p.a;
            ptx_tma_load_3d(target, &copy, full, p.x, p.y, p.z);
        } else {
            ptx_tma_load_3d(target, way == 19 ? &p.c : &p.a, full, p.x, p.y, p.z);
        }
        if (way == 8) ptx_mbarrier_arrive(full);
        if (way == 16) ptx_tma_load_3d_multicast(target, &p.a, full, p.x, p.y, p.z, 2);
        if (way == 17) ptx_tma_load_3d(target, &p.a, full, p.x, p.y, p.z);
    }
    /* 1, 9: nobody waits; 7: for the parity of the phase before the first, which is always complete */
    if (way != 1 && way != 9) wait_for(full, way == 7 ? 1 : way == 13 ? 2 : 0);
    for (int i = lane; i < p.n / 4; i += 32) p.out[i] = ((const int *)memory)[i];
}

/* The n bytes of `in` through shared memory to a box of map c. */
KERNEL(store_kernel, 32, 1, sm90_arguments, p) {
    DYNAMIC_SHARED(memory);
    const int way = p.way, lane = (int)threadIdx.x;
    for (int i = lane; i < p.n / 4; i += 32) ((int *)memory)[i] = p.in[i];
    if (way != 1 && (way != 2 || lane != 17)) ptx_fence_proxy_async(); /* 1: none fences, 2: one does not */
    __syncwarp();
    if (lane == 0) {
        ptx_tma_store_3d(&p.c, memory, p.x, p.y, p.z);
        if (way != 3) ptx_bulk_commit();
        if (way < 3 || way > 5) ptx_bulk_wait_read<0>(); /* 4: too late, 5: never */
    }
    if (way != 6) __syncwarp();
    if (way != 3) ((int *)memory)[lane] = -1;
    if (way == 4 && lane == 0) ptx_bulk_wait_read<0>();
    if (way == 7) { /* again, without a fence */
        __syncwarp();
        if (lane == 0) {
            ptx_tma_store_3d(&p.c, memory, p.x, p.y, p.z);
            ptx_bulk_commit();
            ptx_bulk_wait_read<0>();
        }
    }
}

/* ---- wgmma ------------------------------------------------------------------------------------------------------- */

/* out[64 x N] = a[64 x 128] b[N x 128] transposed + way-dependent start, by the register layout of the PTX manual. */
template <int N, class A, class B>
DEVICE void product(const sm90_arguments &p, unsigned char *memory, uint64_t *full) {
    const int way = p.way, thread = (int)threadIdx.x, warp = thread / 32, g = thread % 32 / 4, t = thread % 4;
    unsigned char *const b_rows = memory + 64 * 128;
    int d[N / 2];
    for (int i = 0; i < N / 2; i++) d[i] = p.z; /* where it accumulates from the start */
    if (thread == 0) {
        ptx_mbarrier_init(full, 1);
        ptx_fence_mbarrier_init();
    }
    __syncthreads();
    if (thread == 0) {
        ptx_mbarrier_arrive_expect_tx(full, (64 + N) * 128);
        ptx_tma_load_3d(memory, &p.a, full, 0, 0, 0);
        ptx_tma_load_3d(b_rows, &p.b, full, 0, 0, 0);
    }
    if (way != 14) wait_for(full, 0);
    uint64_t a = ptx_wgmma_descriptor(memory), b = ptx_wgmma_descriptor(b_rows);
    switch (way) {
    case 5: b += 1ull << 32; break;              /* stride */
    case 6: a -= 1ull << 62; break;              /* no swizzle */
    case 7: a += 1ull << 49; break;              /* base offset */
    case 8: a += 1; break;                       /* 16 bytes further */
    case 9: b += 1024; break;                    /* beyond the end */
    case 15: a += thread == 77 ? 2 : 0; break;   /* one lane of another opinion */
    case 16: a += 1ull << 14; break;             /* reserved */
    case 17: b += 128 / 16; break;               /* a row further */
    case 18: b += 2ull << 16; break;             /* leading byte offset */
    case 19: a -= 2048 / 16; break;              /* before the beginning */
    default: break;
    }
    if (way != 1) ptx_wgmma_fence();
    for (int slice = 0; slice < 4; slice++) {
        if (way == 10 && warp == 2 && slice == 3) continue;          /* a warp less */
        if (way == 11 && thread == 77 && slice == 3) continue;       /* a lane less */
        if (way == 12 && thread == 77 && slice == 2) d[3] = 0;       /* registers that are away */
        if (way == 20) ptx_wgmma_m64k32<N, A, B>(d, a + 2 * slice, b, true); /* always the same part of b */
        else ptx_wgmma_m64k32<N, A, B>(d, a + 2 * slice, b + 2 * slice, p.x != 0 || slice > 0);
    }
    if (way != 3) ptx_wgmma_commit();
    if (way == 13 && thread == 0) { /* the next stage comes before this one was read */
        ptx_mbarrier_arrive_expect_tx(full, 64 * 128);
        ptx_tma_load_3d(memory, &p.a, full, 0, 0, 0);
    }
    if (way == 2) {
        p.out[0] = d[0];
    } else if (way != 4) {
        ptx_wgmma_wait<0>();
    }
    for (int j = 0; j < N / 8; j++)
        for (int e = 0; e < 4; e++)
            p.out[(16 * warp + g + e / 2 * 8) * N + 8 * j + 2 * t + e % 2] = d[4 * j + e];
    if (way == 2) ptx_wgmma_wait<0>();
    if (way == 21) ptx_wgmma_m64k32<N, A, B>(d, a, b, true); /* no fence since the wait */
    if (way == 13) wait_for(full, 1);
}

template <int N>
DEVICE void product_of_types(const sm90_arguments &p, unsigned char *memory, uint64_t *full) {
    switch (p.y) {
    case 0: product<N, int8_t, int8_t>(p, memory, full); break;
    case 1: product<N, uint8_t, int8_t>(p, memory, full); break;
    case 2: product<N, int8_t, uint8_t>(p, memory, full); break;
    default: product<N, uint8_t, uint8_t>(p, memory, full); break;
    }
}

KERNEL(wgmma_kernel, 128, 1, sm90_arguments, p) {
    DYNAMIC_SHARED(memory);
    SHARED_ARRAY(uint64_t, full, 1);
    switch (p.n) {
    case 8: product_of_types<8>(p, memory, full); break;
    case 16: product_of_types<16>(p, memory, full); break;
    case 32: product_of_types<32>(p, memory, full); break;
    case 64: product_of_types<64>(p, memory, full); break;
    case 128: product_of_types<128>(p, memory, full); break;
    case 160: product_of_types<160>(p, memory, full); break;
    case 192: product_of_types<192>(p, memory, full); break;
    default: product_of_types<256>(p, memory, full); break;
    }
}

/* ---- a ring of stages -------------------------------------------------------------------------------------------- */

/* A warpgroup loads n boxes of 64 x 128 bytes, two stages ahead; another multiplies each with itself, and adds all up:
 * out[block][64 x 64]. */
KERNEL(ring_kernel, 256, 1, sm90_arguments, p) {
    constexpr int STAGES = 2, BYTES = 64 * 128;
    DYNAMIC_SHARED(memory);
    SHARED_ARRAY(uint64_t, full, STAGES);
    SHARED_ARRAY(uint64_t, empty, STAGES);
    const int way = p.way, thread = (int)threadIdx.x, lane = thread % 32;
    if (thread == 0) {
        for (int i = 0; i < STAGES; i++) {
            ptx_mbarrier_init(&full[i], 1);
            ptx_mbarrier_init(&empty[i], way == 4 ? 5 : 4); /* 4: waits for one warp more than there are */
        }
        ptx_fence_mbarrier_init();
    }
    __syncthreads();
    if (thread < 128) {
        if (way != 6) ptx_setmaxnreg_dec<40>(); /* 6: the others ask for registers that nobody gives */
        for (int step = 0; thread == 0 && step < p.n; step++) {
            const int stage = step % STAGES;
            const uint32_t parity = (uint32_t)(step / STAGES % 2);
            wait_for(&empty[stage], way == 1 ? 1 : parity ^ 1); /* 1: does not wait after the first round */
            ptx_mbarrier_arrive_expect_tx(&full[stage], way == 5 && step == 3 ? BYTES / 2 : BYTES);
            ptx_tma_load_3d(memory + stage * BYTES, &p.a, &full[stage], 0, 0, step);
        }
    } else {
        ptx_setmaxnreg_inc<256>();
        int d[32];
        for (int step = 0; step < p.n; step++) {
            const int stage = step % STAGES;
            const uint64_t rows = ptx_wgmma_descriptor(memory + stage * BYTES);
            wait_for(&full[stage], way == 2 ? 0 : (uint32_t)(step / STAGES % 2)); /* 2: the parity of the first round */
            ptx_wgmma_fence();
            for (int slice = 0; slice < 4; slice++) {
                ptx_wgmma_m64k32<64, int8_t, int8_t>(d, rows + 2 * slice, rows + 2 * slice, step > 0 || slice > 0);
                if (way == 7 && slice == 0) { /* right: d is away all the time, so that no fence is missing */
                    ptx_wgmma_commit();
                    ptx_wgmma_wait<1>();
                }
            }
            ptx_wgmma_commit();
            if (way == 3 && lane == 0) ptx_mbarrier_arrive(&empty[stage]); /* 3: released before it was read */
            ptx_wgmma_wait<1>();
            if (way != 3 && step > 0 && lane == 0) ptx_mbarrier_arrive(&empty[(step - 1) % STAGES]);
            if (way == 8 && step > 0 && lane == 0) ptx_mbarrier_arrive(&empty[(step - 1) % STAGES]); /* 8: twice */
        }
        ptx_wgmma_wait<0>();
        if (way == 9 && thread >= 160) /* 9: one warp does not come */
            ptx_barrier_sync(1, 128);
        if (way == 10) ptx_barrier_sync(1, thread < 160 ? 96 : 128);
        if (way == 11) ptx_barrier_sync(0, 128);
        if (way == 12 && thread != 200) ptx_barrier_sync(2, 96);
        if (way == 13) ptx_barrier_sync(1, 100);
        if (way == 0 || way == 7) ptx_barrier_sync(1, 128);
        const int warp = thread / 32 - 4, g = lane / 4, t = lane % 4;
        for (int i = 0; i < 32; i++)
            p.out[(int)blockIdx.x * 4096 + (16 * warp + g + i % 4 / 2 * 8) * 64 + i / 4 * 8 + 2 * t + i % 2] = d[i];
    }
}

/* out[i] = in[127 - i] for the 128 threads of each half, through shared memory and a barrier of its own. 1: none. */
KERNEL(named_kernel, 256, 1, sm90_arguments, p) {
    SHARED_ARRAY(int, tile, 256);
    const int half = (int)threadIdx.x / 128, i = (int)threadIdx.x % 128;
    for (int round = 0; round < 3; round++) {
        tile[half * 128 + i] = p.in[half * 128 + i] + round;
        if (p.way != 1) ptx_barrier_sync(1 + half, 128);
        p.out[half * 128 + i] = tile[half * 128 + 127 - i];
        if (p.way != 1) ptx_barrier_sync(1 + half, 128);
    }
}

/* ---- clusters ---------------------------------------------------------------------------------------------------- */

/* Each of two blocks loads half of 16 rows of 128 bytes, for both; then each tells the other that it has read them.
 * out[block][16 x 32 words], and the blocks' ranks behind all of them. */
CLUSTER_KERNEL(cluster_kernel, 32, 1, 2, sm90_arguments, p) {
    DYNAMIC_SHARED(memory);
    SHARED_ARRAY(uint64_t, full, 1);
    SHARED_ARRAY(uint64_t, read, 1);
    const int way = p.way, lane = (int)threadIdx.x, block = (int)blockIdx.x;
    const uint32_t rank = ptx_cluster_rank();
    if (lane == 0) {
        ptx_mbarrier_init(full, 1);
        ptx_mbarrier_init(read, 2);
        if (way != 8 && way != 11) ptx_fence_mbarrier_init();
    }
    if (way == 1 && rank == 1) { /* a block that does not arrive: waits all the same */
        ptx_cluster_wait();
    } else if (way == 2) { /* only a barrier of the block */
        __syncthreads();
    } else if (way == 3 && lane == 7) { /* one thread goes without */
    } else {
        if (p.n || way == 11)
            ptx_cluster_arrive_relaxed(); /* enough for what the fence is for; 11: there is none */
        else
            ptx_cluster_arrive();
        if (way == 4 && lane == 7) ptx_cluster_arrive();
        ptx_cluster_wait();
    }
    if (lane == 0) {
        ptx_mbarrier_arrive_expect_tx(full, 16 * 128);
        ptx_tma_load_3d_multicast(memory + rank * 1024, &p.a, full, 0, (int)rank * 8, block / 2, way == 5 ? 7 : 3);
    }
    wait_for(full, 0);
    for (int i = lane; i < 16 * 32; i += 32) p.out[block * 16 * 32 + i] = ((const int *)memory)[i];
    __syncwarp();
    if (way != 6 && lane < 2) ptx_mbarrier_arrive_cluster(read, (uint32_t)lane);
    if (way == 7 && lane == 2) ptx_mbarrier_arrive_cluster(read, 2);
    if (way != 9 || rank == 0) wait_for(read, 0); /* 6: deadlock */
    if (lane == 0) p.out[(int)gridDim.x * 16 * 32 + block] = (int)rank;
    if (way == 9 && rank == 1) return; /* another block may still arrive here */
    if (way != 9) {
        ptx_cluster_arrive();
        if (way != 10) ptx_cluster_wait();
    } else {
        for (int i = 0; i < 20; i++) __syncthreads();
        if (lane < 2) ptx_mbarrier_arrive_cluster(full, (uint32_t)lane);
    }
}

/* ---- instructions ------------------------------------------------------------------------------------------------ */

/* Each, so that a device without it is seen to stop there. */
KERNEL(sm90_capability_kernel, 32, 1, sm90_arguments, p) {
    DYNAMIC_SHARED(memory);
    SHARED_ARRAY(uint64_t, barrier, 1);
    int d[4] = {0, 0, 0, 0};
    switch (p.way) {
    case 1: ptx_mbarrier_init(barrier, 1); break;
    case 2: ptx_fence_mbarrier_init(); break;
    case 3: ptx_mbarrier_arrive(barrier); break;
    case 4: ptx_mbarrier_arrive_expect_tx(barrier, 1); break;
    case 5: ptx_mbarrier_arrive_cluster(barrier, 0); break;
    case 6: ptx_mbarrier_try_wait(barrier, 0); break;
    case 7: ptx_tma_load_3d(memory, &p.a, barrier, 0, 0, 0); break;
    case 8: ptx_tma_load_3d_multicast(memory, &p.a, barrier, 0, 0, 0, 1); break;
    case 9: ptx_tma_store_3d(&p.a, memory, 0, 0, 0); break;
    case 10: ptx_bulk_commit(); break;
    case 11: ptx_bulk_wait_read<0>(); break;
    case 12: ptx_fence_proxy_async(); break;
    case 13: ptx_prefetch_tensor_map(&p.a); break;
    case 14: ptx_cluster_rank(); break;
    case 15: ptx_cluster_arrive(); break;
    case 16: ptx_cluster_wait(); break;
    case 17: ptx_wgmma_fence(); break;
    case 18: ptx_wgmma_commit(); break;
    case 19: ptx_wgmma_wait<0>(); break;
    case 20: ptx_wgmma_m64k32<8, int8_t, int8_t>(d, 0, 0, true); break;
    case 21: ptx_setmaxnreg_inc<256>(); break;
    case 22: ptx_setmaxnreg_dec<24>(); break;
    default: break;
    }
    p.out[threadIdx.x] = d[0];
}
