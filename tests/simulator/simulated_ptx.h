/* SPDX-License-Identifier: Apache-2.0
 *
 * The functions of cuda/ptx.cuh for the simulated device; the bodies are in ptx.cpp, and those of sm_90's in
 * barriers.cpp, tma.cpp and wgmma.cpp. */
#ifndef QMM_SIMULATED_PTX_H
#define QMM_SIMULATED_PTX_H

#include "../../cuda/tensor_map.h"
#include "simulated_device.h"

namespace simulator {

int dp4a(int a, int b, int c, place where);
int dp4a_u8_s8(uint32_t a, int b, int c, place where);
uint32_t cvt_f16x2(float low, float high);
uint32_t cvt_bf16x2(float low, float high);
void mma_m8n8k16_s8(int (&d)[2], uint32_t a, uint32_t b, place where);
void mma_m16n8k32_s8(int (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], place where);
void ldmatrix_x4(uint32_t (&r)[4], const void *row, place where);
void cp_async_16(void *shared, const void *global, uint32_t bytes, place where);
void cp_async_commit(place where);
void cp_async_wait(unsigned pending, place where);

void mbarrier_init(uint64_t *barrier, uint32_t count, place where);
void fence_mbarrier_init(place where);
void mbarrier_arrive(uint64_t *barrier, place where);
void mbarrier_arrive_expect_tx(uint64_t *barrier, uint32_t bytes, place where);
void mbarrier_arrive_cluster(uint64_t *barrier, uint32_t rank, place where);
bool mbarrier_try_wait(uint64_t *barrier, uint32_t parity, place where);
void barrier_sync(int barrier, int threads, place where);
uint32_t cluster_rank(place where);
void cluster_arrive(bool releases, place where);
void cluster_wait(place where);
void setmaxnreg(bool increases, unsigned registers, place where);

/* `ranks`: 0 for a load that is no multicast. */
void tma_load_3d(void *shared, const qmmi_cuda_tensor_map *map, uint64_t *barrier, int x, int y, int z, uint16_t ranks,
                 bool multicast, place where);
void tma_store_3d(const qmmi_cuda_tensor_map *map, const void *shared, int x, int y, int z, place where);
void bulk_commit(place where);
void bulk_wait_read(unsigned pending, place where);
void fence_proxy_async(place where);
void prefetch_tensor_map(const qmmi_cuda_tensor_map *map, place where);

/* What wgmma.mma_async multiplies: 64 rows of A by n columns of B, 32 deep. */
struct wgmma_shape {
    unsigned n;
    bool a_signed, b_signed;
};

uint64_t wgmma_descriptor(const void *shared, place where);
void wgmma_fence(place where);
void wgmma_commit(place where);
void wgmma_wait(unsigned pending, place where);
void wgmma_m64k32(wgmma_shape shape, int *d, uint64_t a, uint64_t b, bool accumulate, place where);

} /* namespace simulator */

inline int ptx_dp4a(int a, int b, int c, simulator::place where = simulator::place::here()) {
    return simulator::dp4a(a, b, c, where);
}

inline void ptx_red_add(int *address, int value, simulator::place where = simulator::place::here()) {
    atomicAdd(address, value, where);
}

inline uint32_t ptx_cvt_f16x2(float low, float high) {
    return simulator::cvt_f16x2(low, high);
}

inline uint32_t ptx_cvt_bf16x2(float low, float high) {
    return simulator::cvt_bf16x2(low, high);
}

inline int ptx_dp4a_u8_s8(uint32_t a, int b, int c, simulator::place where = simulator::place::here()) {
    return simulator::dp4a_u8_s8(a, b, c, where);
}

inline void ptx_mma_m8n8k16_s8(int (&d)[2], uint32_t a, uint32_t b, simulator::place where = simulator::place::here()) {
    simulator::mma_m8n8k16_s8(d, a, b, where);
}

inline void ptx_mma_m16n8k32_s8(int (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                                simulator::place where = simulator::place::here()) {
    simulator::mma_m16n8k32_s8(d, a, b, where);
}

inline void ptx_ldmatrix_x4(uint32_t (&r)[4], const void *row, simulator::place where = simulator::place::here()) {
    simulator::ldmatrix_x4(r, row, where);
}

inline void ptx_cp_async_16(void *shared, const void *global, uint32_t bytes,
                            simulator::place where = simulator::place::here()) {
    simulator::cp_async_16(shared, global, bytes, where);
}

inline void ptx_cp_async_commit(simulator::place where = simulator::place::here()) {
    simulator::cp_async_commit(where);
}

template <int pending>
inline void ptx_cp_async_wait(simulator::place where = simulator::place::here()) {
    simulator::cp_async_wait(pending, where);
}

/* ---- sm_90: barriers --------------------------------------------------------------------------------------------- */

inline void ptx_mbarrier_init(uint64_t *barrier, uint32_t count, simulator::place where = simulator::place::here()) {
    simulator::mbarrier_init(barrier, count, where);
}

inline void ptx_fence_mbarrier_init(simulator::place where = simulator::place::here()) {
    simulator::fence_mbarrier_init(where);
}

inline void ptx_mbarrier_arrive(uint64_t *barrier, simulator::place where = simulator::place::here()) {
    simulator::mbarrier_arrive(barrier, where);
}

inline void ptx_mbarrier_arrive_expect_tx(uint64_t *barrier, uint32_t bytes,
                                          simulator::place where = simulator::place::here()) {
    simulator::mbarrier_arrive_expect_tx(barrier, bytes, where);
}

inline void ptx_mbarrier_arrive_cluster(uint64_t *barrier, uint32_t rank,
                                        simulator::place where = simulator::place::here()) {
    simulator::mbarrier_arrive_cluster(barrier, rank, where);
}

inline bool ptx_mbarrier_try_wait(uint64_t *barrier, uint32_t parity,
                                  simulator::place where = simulator::place::here()) {
    return simulator::mbarrier_try_wait(barrier, parity, where);
}

inline void ptx_barrier_sync(int barrier, int threads, simulator::place where = simulator::place::here()) {
    simulator::barrier_sync(barrier, threads, where);
}

inline uint32_t ptx_cluster_rank(simulator::place where = simulator::place::here()) {
    return simulator::cluster_rank(where);
}

inline void ptx_cluster_arrive(simulator::place where = simulator::place::here()) {
    simulator::cluster_arrive(true, where);
}

inline void ptx_cluster_arrive_relaxed(simulator::place where = simulator::place::here()) {
    simulator::cluster_arrive(false, where);
}

inline void ptx_cluster_wait(simulator::place where = simulator::place::here()) {
    simulator::cluster_wait(where);
}

template <int registers>
inline void ptx_setmaxnreg_inc(simulator::place where = simulator::place::here()) {
    static_assert(registers >= 24 && registers <= 256 && registers % 8 == 0, "as setmaxnreg demands");
    simulator::setmaxnreg(true, registers, where);
}

template <int registers>
inline void ptx_setmaxnreg_dec(simulator::place where = simulator::place::here()) {
    static_assert(registers >= 24 && registers <= 256 && registers % 8 == 0, "as setmaxnreg demands");
    simulator::setmaxnreg(false, registers, where);
}

/* ---- sm_90: the copy engine -------------------------------------------------------------------------------------- */

inline void ptx_tma_load_3d(void *shared, const qmmi_cuda_tensor_map *map, uint64_t *barrier, int x, int y, int z,
                            simulator::place where = simulator::place::here()) {
    simulator::tma_load_3d(shared, map, barrier, x, y, z, 0, false, where);
}

inline void ptx_tma_load_3d_multicast(void *shared, const qmmi_cuda_tensor_map *map, uint64_t *barrier, int x, int y,
                                      int z, uint16_t ranks, simulator::place where = simulator::place::here()) {
    simulator::tma_load_3d(shared, map, barrier, x, y, z, ranks, true, where);
}

inline void ptx_tma_store_3d(const qmmi_cuda_tensor_map *map, const void *shared, int x, int y, int z,
                             simulator::place where = simulator::place::here()) {
    simulator::tma_store_3d(map, shared, x, y, z, where);
}

inline void ptx_bulk_commit(simulator::place where = simulator::place::here()) {
    simulator::bulk_commit(where);
}

template <int pending>
inline void ptx_bulk_wait_read(simulator::place where = simulator::place::here()) {
    simulator::bulk_wait_read(pending, where);
}

inline void ptx_fence_proxy_async(simulator::place where = simulator::place::here()) {
    simulator::fence_proxy_async(where);
}

inline void ptx_prefetch_tensor_map(const qmmi_cuda_tensor_map *map,
                                    simulator::place where = simulator::place::here()) {
    simulator::prefetch_tensor_map(map, where);
}

/* ---- sm_90a: wgmma ----------------------------------------------------------------------------------------------- */

inline uint64_t ptx_wgmma_descriptor(const void *shared, simulator::place where = simulator::place::here()) {
    return simulator::wgmma_descriptor(shared, where);
}

inline void ptx_wgmma_fence(simulator::place where = simulator::place::here()) {
    simulator::wgmma_fence(where);
}

inline void ptx_wgmma_commit(simulator::place where = simulator::place::here()) {
    simulator::wgmma_commit(where);
}

template <int pending>
inline void ptx_wgmma_wait(simulator::place where = simulator::place::here()) {
    simulator::wgmma_wait(pending, where);
}

template <int N, class A, class B>
inline void ptx_wgmma_m64k32(int (&d)[N / 2], uint64_t a, uint64_t b, bool accumulate,
                             simulator::place where = simulator::place::here()) {
    static_assert(N == 8 || N == 24 || (N >= 16 && N <= 256 && N % 16 == 0), "as wgmma has them for 8-bit integers");
    static_assert(sizeof(A) == 1 && sizeof(B) == 1, "s8 or u8");
    simulator::wgmma_m64k32({N, std::is_signed<A>::value, std::is_signed<B>::value}, d, a, b, accumulate, where);
}

/* For the compiler alone: no instruction. */
template <int COUNT>
inline void ptx_wgmma_keep(int (&)[COUNT]) {}

#endif
