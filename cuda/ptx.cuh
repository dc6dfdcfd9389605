/* SPDX-License-Identifier: Apache-2.0
 *
 * The only home of inline PTX: one function an instruction, named after it. Fragment layouts are those of the PTX ISA
 * manual, chapter "Warp-level matrix instructions"; the simulator has a body for each of these written from the same
 * chapter (tests/simulator/ptx.cpp).
 *
 * Where an instruction needs a newer architecture than the one compiled for, the function traps: a kernel that calls it
 * is launched only where its row's capability bit says it may. */
#ifndef QMM_CUDA_PTX_CUH
#define QMM_CUDA_PTX_CUH

#include "device.cuh"

#if defined(QMM_SIMULATED_CUDA)

#include "simulated_ptx.h"

#else

/* c + a.0 * b.0 + a.1 * b.1 + a.2 * b.2 + a.3 * b.3, four s8 each. sm_61. */
DEVICE int ptx_dp4a(int a, int b, int c) {
    int d;
    asm("dp4a.s32.s32 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(b), "r"(c));
    return d;
}

/* d[8 x 8] += a[8 x 16] b[16 x 8], s8 into s32, over one warp. sm_75.
 * Lane l holds of a: row l / 4, k = l % 4 * 4 .. + 3; of b: column l / 4, the same k; of d: row l / 4, columns
 * l % 4 * 2 .. + 1. */
DEVICE void ptx_mma_m8n8k16_s8(int (&d)[2], uint32_t a, uint32_t b) {
    asm volatile("mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32 {%0, %1}, {%2}, {%3}, {%0, %1};"
        : "+r"(d[0]), "+r"(d[1])
        : "r"(a), "r"(b));
}

/* d[16 x 8] += a[16 x 32] b[32 x 8], s8 into s32, over one warp. sm_80.
 * With g = l / 4 and t = l % 4, lane l holds of a: a[0] row g, a[1] row g + 8, both k = 4t .. + 3; a[2], a[3] the same
 * rows, k = 16 + 4t .. + 3; of b: column g, b[0] k = 4t .. + 3, b[1] k = 16 + 4t .. + 3; of d: d[0], d[1] row g,
 * columns 2t, 2t + 1; d[2], d[3] row g + 8. */
DEVICE void ptx_mma_m16n8k32_s8(int (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
#if __CUDA_ARCH__ >= 800
    asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
    __trap();
#endif
}

/* Four matrices of 8 rows of 16 bytes from shared memory: lane l gives the address of row l % 8 of matrix l / 8, and
 * gets bytes l % 4 * 4 .. + 3 of row l / 4 of each. Addresses are 16-byte aligned. sm_75. */
DEVICE void ptx_ldmatrix_x4(uint32_t (&r)[4], const void *row) {
    const uint32_t address = (uint32_t)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address)
                 : "memory");
}

/* Copies `bytes` (0 .. 16) from global to shared memory and fills up to 16 with zeros, without waiting. Both addresses
 * are 16-byte aligned; with 0 bytes the source is not read. sm_80. */
DEVICE void ptx_cp_async_16(void *shared, const void *global, uint32_t bytes) {
#if __CUDA_ARCH__ >= 800
    const uint32_t address = (uint32_t)__cvta_generic_to_shared(shared);
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(global), "r"(bytes) : "memory");
#else
    __trap();
#endif
}

/* Closes a group of the copies this thread has begun; then waits until at most `pending` of its groups are under way.
 * Other threads' copies are seen after a barrier that follows their waits. sm_80. */
DEVICE void ptx_cp_async_commit() {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.commit_group;" ::: "memory");
#else
    __trap();
#endif
}

template <int pending>
DEVICE void ptx_cp_async_wait() {
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
#else
    __trap();
#endif
}

#endif

#endif
