/* SPDX-License-Identifier: Apache-2.0
 *
 * What the copy engine of sm_90 (TMA) is told of a tensor in memory: a CUtensorMap, made on the host and handed to a
 * kernel in its argument. For the host that makes one and the kernels that name it. */
#ifndef QMMI_CUDA_TENSOR_MAP_H
#define QMMI_CUDA_TENSOR_MAP_H

#include <stdint.h>

/* The driver's CUtensorMap: 128 bytes that only it understands. CUDA 12 aligns it to 64, CUDA 13 to 128. */
typedef struct __attribute__((aligned(128))) qmmi_cuda_tensor_map {
    uint64_t opaque[16];
} qmmi_cuda_tensor_map;

#endif
