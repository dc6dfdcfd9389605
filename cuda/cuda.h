/* SPDX-License-Identifier: Apache-2.0
 *
 * What the host files of the CUDA backend give one another. Plain C11: no CUDA header, no CUDA library. */
#ifndef QMMI_CUDA_H
#define QMMI_CUDA_H

#include "../host/backend.h"
#include "../host/share.h"
#include "estimate.h"
#include "kernels.h"

/* context->capabilities */
enum {
    QMMI_CUDA_DP4A = 1 << 0,    /* from sm_61 on */
    QMMI_CUDA_MMA_K16 = 1 << 1, /* mma.m8n8k16 s8: from sm_75 on */
    QMMI_CUDA_MMA_K32 = 1 << 2, /* mma.m16n8k32 s8, ldmatrix, cp.async: from sm_80 on */
    QMMI_CUDA_WGMMA = 1 << 3    /* wgmma, TMA, clusters: sm_90a, which is 9.0 alone, and a driver that makes tensor maps */
};

/* What rows may ask of the device. */
typedef struct qmmi_cuda_device {
    int compute_major, compute_minor;
    int multiprocessors;
    int l2_bytes;
    qmmi_cuda_rates rates;
} qmmi_cuda_device;

const qmmi_cuda_device *qmmi_cuda_device_of(const qmm_context *context);

/* Queues one kernel on the context's stream: a one-dimensional grid of 1 .. 2^31 - 1 blocks, and the kernel's argument
 * struct, which is copied. Errors name the kernel. */
qmm_status qmmi_cuda_launch(qmm_context *context, qmmi_cuda_kernel kernel, int64_t blocks, unsigned threads,
                            unsigned shared_bytes, const void *arguments);

/* Queues a fill with zeros; the address is memory + offset, `bytes` a multiple of 4. */
qmm_status qmmi_cuda_clear(qmm_context *context, void *memory, size_t offset, size_t bytes);

#endif
