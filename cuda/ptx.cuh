/* SPDX-License-Identifier: Apache-2.0
 *
 * The only home of inline PTX: one function an instruction, named after it. Fragment layouts are those of the PTX ISA
 * manual, chapters "Warp-level matrix instructions" and "Asynchronous warpgroup level matrix instructions"; the simulator
 * has a body for each of these written from the same chapters (tests/simulator).
 *
 * Where an instruction needs a newer architecture than the one compiled for, the function traps: a kernel that calls it
 * is launched only where its row's capability bit says it may. */
#ifndef QMM_CUDA_PTX_CUH
#define QMM_CUDA_PTX_CUH

#include "device.cuh"
#include "tensor_map.h"

#if defined(QMM_SIMULATED_CUDA)

#include "simulated_ptx.h"

#else

/* c + a.0 * b.0 + a.1 * b.1 + a.2 * b.2 + a.3 * b.3, four s8 each. sm_61. */
DEVICE int ptx_dp4a(int a, int b, int c) {
    int d;
    asm("dp4a.s32.s32 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(b), "r"(c));
    return d;
}

/* ... with four u8 of a. */
DEVICE int ptx_dp4a_u8_s8(uint32_t a, int b, int c) {
    int d;
    asm("dp4a.u32.s32 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(b), "r"(c));
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

/* ---- sm_90a -------------------------------------------------------------------------------------------------------
 *
 * What follows is for kernels that are compiled for sm_90a alone. Pointers are generic ones into shared memory. */

DEVICE uint32_t shared_address(const void *shared) {
    return (uint32_t)__cvta_generic_to_shared(shared);
}

/* mbarriers: a phase is complete when `count` arrivals and all bytes expected have come; the next begins at once. */

DEVICE void ptx_mbarrier_init(uint64_t *barrier, uint32_t count) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(count) : "memory");
}

/* Shows the barriers that this thread has initialized to the copy engine and, past a barrier, to the cluster. */
DEVICE void ptx_fence_mbarrier_init() {
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

DEVICE void ptx_mbarrier_arrive(uint64_t *barrier) {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier)) : "memory");
}

/* Arrives, and has the phase wait for so many bytes more. */
DEVICE void ptx_mbarrier_arrive_expect_tx(uint64_t *barrier, uint32_t bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)), "r"(bytes)
                 : "memory");
}

/* Arrives at the barrier in the same place of the shared memory of thread block `rank` of the cluster. Orders nothing for
 * the other threads of the cluster: .release.cluster would be a fence of the whole device. */
DEVICE void ptx_mbarrier_arrive_cluster(uint64_t *barrier, uint32_t rank) {
    asm volatile("{\n"
                 ".reg .b32 there;\n"
                 "mapa.shared::cluster.u32 there, %0, %1;\n"
                 "mbarrier.arrive.shared::cluster.b64 _, [there];\n"
                 "}" ::"r"(shared_address(barrier)), "r"(rank)
                 : "memory");
}

/* Is the phase of that parity complete? Waits for it a while. */
DEVICE bool ptx_mbarrier_try_wait(uint64_t *barrier, uint32_t parity) {
    uint32_t complete;
    asm volatile("{\n"
                 ".reg .pred complete;\n"
                 "mbarrier.try_wait.parity.shared::cta.b64 complete, [%1], %2;\n"
                 "selp.u32 %0, 1, 0, complete;\n"
                 "}"
                 : "=r"(complete)
                 : "r"(shared_address(barrier)), "r"(parity)
                 : "memory");
    return complete != 0;
}

/* The copy engine. Boxes are those of the map, at coordinates x (innermost), y, z; what is outside the tensor reads as
 * zeros, and is not written. */

DEVICE void ptx_prefetch_tensor_map(const qmmi_cuda_tensor_map *map) {
    asm volatile("prefetch.tensormap [%0];" ::"l"((uint64_t)map) : "memory");
}

/* Loads a box, and counts its bytes at the barrier. */
DEVICE void ptx_tma_load_3d(void *shared, const qmmi_cuda_tensor_map *map, uint64_t *barrier, int x, int y, int z) {
    asm volatile("cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes "
                 "[%0], [%1, {%3, %4, %5}], [%2];" ::"r"(shared_address(shared)),
                 "l"((uint64_t)map), "r"(shared_address(barrier)), "r"(x), "r"(y), "r"(z)
                 : "memory");
}

/* ... to the same place of every thread block of the cluster whose bit is in `ranks`, and at the barrier of each. */
DEVICE void ptx_tma_load_3d_multicast(void *shared, const qmmi_cuda_tensor_map *map, uint64_t *barrier, int x, int y,
                                      int z, uint16_t ranks) {
    asm volatile("cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster "
                 "[%0], [%1, {%3, %4, %5}], [%2], %6;" ::"r"(shared_address(shared)),
                 "l"((uint64_t)map), "r"(shared_address(barrier)), "r"(x), "r"(y), "r"(z), "h"(ranks)
                 : "memory");
}

DEVICE void ptx_tma_store_3d(const qmmi_cuda_tensor_map *map, const void *shared, int x, int y, int z) {
    asm volatile("cp.async.bulk.tensor.3d.global.shared::cta.bulk_group [%0, {%2, %3, %4}], [%1];" ::"l"((uint64_t)map),
                 "r"(shared_address(shared)), "r"(x), "r"(y), "r"(z)
                 : "memory");
}

/* Closes a group of the stores this thread has begun; then waits until at most `pending` of its groups still read shared
 * memory. */
DEVICE void ptx_bulk_commit() {
    asm volatile("cp.async.bulk.commit_group;" ::: "memory");
}

template <int pending>
DEVICE void ptx_bulk_wait_read() {
    asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(pending) : "memory");
}

/* Shows what this thread has written to shared memory to the copy engine, past a barrier. */
DEVICE void ptx_fence_proxy_async() {
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

/* wgmma: d[64 x N] += a[64 x 32] b[32 x N] over a warpgroup, by descriptors of a and b in shared memory, both with k
 * innermost. With warp w of the four, g = lane / 4 and t = lane % 4, a thread holds of d: d[4j], d[4j + 1] row 16w + g,
 * columns 8j + 2t, 8j + 2t + 1; d[4j + 2], d[4j + 3] the same columns of row 16w + g + 8. */

/* Rows of 128 bytes, swizzled as the copy engine does over 128: its chunk c of 16 bytes of row r is in place c ^ r % 8;
 * 8 rows are 1,024 bytes, and begin at a multiple of these. Bytes further on are (bytes / 16) more: 32 k are 2, 64 rows
 * 512. (PTX ISA, "Matrix descriptor": address / 16; stride of 8 rows / 16 from bit 32; 128-byte swizzle 1 from bit 62.) */
DEVICE uint64_t ptx_wgmma_descriptor(const void *shared) {
    return (uint64_t)1 << 62 | (uint64_t)(1024 / 16) << 32 | (uint64_t)1 << 16 | (shared_address(shared) & 0x3ffff) >> 4;
}

/* Before the first wgmma, and wherever other instructions have touched its registers. */
DEVICE void ptx_wgmma_fence() {
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}

/* Closes a group of wgmmas; waits until at most `pending` groups are under way. Until then their d and what the
 * descriptors name are not to be touched. */
DEVICE void ptx_wgmma_commit() {
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

template <int pending>
DEVICE void ptx_wgmma_wait() {
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(pending) : "memory");
}

/* No instruction: keeps the compiler from moving what it does with d across this place, since it does not know that d
 * changes until the wait. */
template <int COUNT>
DEVICE void ptx_wgmma_keep(int (&d)[COUNT]) {
#pragma unroll
    for (int n = 0; n < COUNT; n++) asm volatile("" : "+r"(d[n])::"memory");
}

/* accumulate: false: d = a b. A and B: int8_t or uint8_t. */
template <int N, class A, class B>
DEVICE void ptx_wgmma_m64k32(int (&d)[N / 2], uint64_t a, uint64_t b, bool accumulate);

/* Ten registers from 10 t on; so many operands from d[n] on. */
#define PTX_TEN(t) \
    "%" #t "0, %" #t "1, %" #t "2, %" #t "3, %" #t "4, %" #t "5, %" #t "6, %" #t "7, %" #t "8, %" #t "9, "
#define PTX_D8(n)                                                                                                \
    "+r"(d[(n)]), "+r"(d[(n) + 1]), "+r"(d[(n) + 2]), "+r"(d[(n) + 3]), "+r"(d[(n) + 4]), "+r"(d[(n) + 5]),      \
        "+r"(d[(n) + 6]), "+r"(d[(n) + 7])
#define PTX_D16(n) PTX_D8(n), PTX_D8((n) + 8)
#define PTX_D32(n) PTX_D16(n), PTX_D16((n) + 16)
#define PTX_D64(n) PTX_D32(n), PTX_D32((n) + 32)

/* d_operands: the name of what gives the operands for d; then the numbers of the operands behind them. */
#define PTX_WGMMA(N, A, a_type, B, b_type, registers, d_operands, a_operand, b_operand, flag)                       \
    template <>                                                                                                     \
    DEVICE void ptx_wgmma_m64k32<N, A, B>(int (&d)[N / 2], uint64_t a, uint64_t b, bool accumulate) {               \
        asm volatile("{\n"                                                                                          \
                     ".reg .pred accumulate;\n"                                                                     \
                     "setp.ne.b32 accumulate, " flag ", 0;\n"                                                       \
                     "wgmma.mma_async.sync.aligned.m64n" #N "k32.s32." a_type "." b_type " {" registers "}, "       \
                     a_operand ", " b_operand ", accumulate;\n"                                                     \
                     "}"                                                                                            \
                     : d_operands()                                                                                 \
                     : "l"(a), "l"(b), "r"((int)accumulate)                                                         \
                     : "memory");                                                                                   \
    }
#define PTX_WGMMA_TYPES(N, ...)                           \
    PTX_WGMMA(N, int8_t, "s8", int8_t, "s8", __VA_ARGS__) \
    PTX_WGMMA(N, uint8_t, "u8", int8_t, "s8", __VA_ARGS__) \
    PTX_WGMMA(N, int8_t, "s8", uint8_t, "u8", __VA_ARGS__)

#define PTX_D_16() PTX_D8(0)
#define PTX_D_32() PTX_D16(0)
#define PTX_D_64() PTX_D32(0)
#define PTX_D_128() PTX_D64(0)
#define PTX_D_160() PTX_D64(0), PTX_D16(64)
#define PTX_D_192() PTX_D64(0), PTX_D32(64)
#define PTX_D_256() PTX_D64(0), PTX_D64(64)
#define PTX_THIRTY PTX_TEN() PTX_TEN(1) PTX_TEN(2)
#define PTX_SIXTY PTX_THIRTY PTX_TEN(3) PTX_TEN(4) PTX_TEN(5)
#define PTX_NINETY PTX_SIXTY PTX_TEN(6) PTX_TEN(7) PTX_TEN(8)
PTX_WGMMA_TYPES(16, "%0, %1, %2, %3, %4, %5, %6, %7", PTX_D_16, "%8", "%9", "%10")
PTX_WGMMA_TYPES(32, PTX_TEN() "%10, %11, %12, %13, %14, %15", PTX_D_32, "%16", "%17", "%18")
PTX_WGMMA_TYPES(64, PTX_THIRTY "%30, %31", PTX_D_64, "%32", "%33", "%34")
PTX_WGMMA_TYPES(128, PTX_SIXTY "%60, %61, %62, %63", PTX_D_128, "%64", "%65", "%66")
PTX_WGMMA_TYPES(160, PTX_SIXTY PTX_TEN(6) "%70, %71, %72, %73, %74, %75, %76, %77, %78, %79", PTX_D_160, "%80", "%81",
                "%82")
PTX_WGMMA_TYPES(192, PTX_NINETY "%90, %91, %92, %93, %94, %95", PTX_D_192, "%96", "%97", "%98")
PTX_WGMMA_TYPES(256, PTX_NINETY PTX_TEN(9) PTX_TEN(10) PTX_TEN(11) "%120, %121, %122, %123, %124, %125, %126, %127",
                PTX_D_256, "%128", "%129", "%130")

/* Adds to global memory, without an answer: of atomicAdd before a fence the compiler makes an instruction that has one. */
DEVICE void ptx_red_add(int *address, int value) {
    asm volatile("red.relaxed.gpu.global.add.s32 [%0], %1;" ::"l"(__cvta_generic_to_global(address)), "r"(value)
                 : "memory");
}

/* ---- sm_90a: conversions ------------------------------------------------------------------------------------------ */

/* Two floats as f16, or bf16, rounded to nearest even: low in the low half. */
DEVICE uint32_t ptx_cvt_f16x2(float low, float high) {
    uint32_t pair;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
    return pair;
}

DEVICE uint32_t ptx_cvt_bf16x2(float low, float high) {
    uint32_t pair;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
    return pair;
}

/* ---- sm_90a: warpgroups, named barriers, clusters ---------------------------------------------------------------- */

/* Takes the warpgroup's registers a thread up, or down, to so many: a multiple of 8. Up waits for what others give. */
template <int registers>
DEVICE void ptx_setmaxnreg_inc() {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(registers));
}

template <int registers>
DEVICE void ptx_setmaxnreg_dec() {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(registers));
}

/* A barrier of `threads` threads of the block, whole warps; number 0 is __syncthreads. */
DEVICE void ptx_barrier_sync(int barrier, int threads) {
    asm volatile("bar.sync %0, %1;" ::"r"(barrier), "r"(threads) : "memory");
}

/* Number of this thread block in its cluster. */
DEVICE uint32_t ptx_cluster_rank() {
    uint32_t rank;
    asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    return rank;
}

/* A barrier of all threads of the cluster, in two halves. Relaxed: it orders nothing that the thread has done. */
DEVICE void ptx_cluster_arrive() {
    asm volatile("barrier.cluster.arrive.release;" ::: "memory");
}

DEVICE void ptx_cluster_arrive_relaxed() {
    asm volatile("barrier.cluster.arrive.relaxed;" ::: "memory");
}

DEVICE void ptx_cluster_wait() {
    asm volatile("barrier.cluster.wait.acquire;" ::: "memory");
}

#endif

#endif
