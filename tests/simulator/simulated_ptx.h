/* SPDX-License-Identifier: Apache-2.0
 *
 * The functions of cuda/ptx.cuh for the simulated device; the bodies are in ptx.cpp. */
#ifndef QMM_SIMULATED_PTX_H
#define QMM_SIMULATED_PTX_H

#include "simulated_device.h"

namespace simulator {

int dp4a(int a, int b, int c, place where);
void mma_m8n8k16_s8(int (&d)[2], uint32_t a, uint32_t b, place where);
void mma_m16n8k32_s8(int (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], place where);
void ldmatrix_x4(uint32_t (&r)[4], const void *row, place where);
void cp_async_16(void *shared, const void *global, uint32_t bytes, place where);
void cp_async_commit(place where);
void cp_async_wait(unsigned pending, place where);

} /* namespace simulator */

inline int ptx_dp4a(int a, int b, int c, simulator::place where = simulator::place::here()) {
    return simulator::dp4a(a, b, c, where);
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

#endif
