/* SPDX-License-Identifier: Apache-2.0
 *
 * The row of matmul_mma.cu: which of its tiles a problem gets. */
#include "matmul_mma.h"

#include "../host/context.h"
#include "matmul_prepare.h"
#include "rows.h"

/* A tile, and the kernels of it that read B as 8 bits and as 4. */
typedef struct tile {
    qmmi_cuda_matmul_shape shape;
    unsigned threads, shared_bytes;
    qmmi_cuda_kernel kernel, kernel_4bit;
} tile;

/* 100 KB of shared memory on a multiprocessor, not 164 or more. */
static bool has_little_shared(const qmmi_cuda_device *device) {
    return (device->compute_major == 8 && (device->compute_minor == 6 || device->compute_minor == 9)) ||
           device->compute_major == 12;
}

static tile large_tile(const qmmi_cuda_device *device) {
    return (tile){ .shape = { .tile_m = QMMI_CUDA_MMA_LARGE_M,
                              .tile_n = QMMI_CUDA_MMA_LARGE_N,
                              .tile_k = QMMI_CUDA_MMA_K,
                              .blocks_per_multiprocessor = has_little_shared(device) ? 1 : QMMI_CUDA_MMA_LARGE_BLOCKS,
                              .packed_4bit = true,
                              .splits = true },
                   .threads = QMMI_CUDA_MMA_LARGE_THREADS,
                   .shared_bytes = QMMI_CUDA_MMA_LARGE_SHARED,
                   .kernel = QMMI_CUDA_matmul_s8_mma_large_kernel,
                   .kernel_4bit = QMMI_CUDA_matmul_s4_mma_large_kernel };
}

static tile small_tile(const qmmi_cuda_device *device) {
    return (tile){ .shape = { .tile_m = QMMI_CUDA_MMA_SMALL_M,
                              .tile_n = QMMI_CUDA_MMA_SMALL_N,
                              .tile_k = QMMI_CUDA_MMA_K,
                              .blocks_per_multiprocessor = has_little_shared(device) ? 3 : QMMI_CUDA_MMA_SMALL_BLOCKS,
                              .packed_4bit = true,
                              .splits = true },
                   .threads = QMMI_CUDA_MMA_SMALL_THREADS,
                   .shared_bytes = QMMI_CUDA_MMA_SMALL_SHARED,
                   .kernel = QMMI_CUDA_matmul_s8_mma_small_kernel,
                   .kernel_4bit = QMMI_CUDA_matmul_s4_mma_small_kernel };
}

static tile grouped_tile(void) {
    return (tile){ .shape = { .tile_m = QMMI_CUDA_MMA_SMALL_M,
                              .tile_n = QMMI_CUDA_MMA_SMALL_N,
                              .tile_k = QMMI_CUDA_MMA_K,
                              .blocks_per_multiprocessor = QMMI_CUDA_MMA_GROUPED_BLOCKS,
                              .packed_4bit = true },
                   .threads = QMMI_CUDA_MMA_SMALL_THREADS,
                   .shared_bytes = QMMI_CUDA_MMA_SMALL_SHARED,
                   .kernel = QMMI_CUDA_matmul_s8_mma_grouped_kernel,
                   .kernel_4bit = QMMI_CUDA_matmul_s4_mma_grouped_kernel };
}

/* ---- the choice -------------------------------------------------------------------------------------------------- */

/* Time that a problem is expected to take with a tile, in products that one multiprocessor makes meanwhile. All of what
 * follows is reckoned, not measured:
 *   - full rounds of tiles, then one more round, which is divided along K if it would leave half of the blocks idle
 *     (matmul_prepare.c); each block then pays a pass over a tile through memory, worth about 512 k of multiplying it
 *   - `efficiency`, the share of its time in which a tile multiplies. */
static double expected_time(const qmmi_cuda_matmul_shape *shape, double efficiency, const qmmi_cuda_device *device,
                            const qmmi_matmul_problem *p) {
    const int64_t resident = (int64_t)device->multiprocessors * shape->blocks_per_multiprocessor;
    const int64_t tiles = p->batch * qmmi_parts(p->m, shape->tile_m) * qmmi_parts(p->n, shape->tile_n);
    const int64_t rest = tiles % resident;
    const bool splits = 2 * rest <= resident;
    const double of_split = (double)rest / (double)resident * (double)p->k + (rest > 0 ? 512.0 : 0.0);
    const double of_rest = splits && of_split < (double)p->k ? of_split : rest > 0 ? (double)p->k : 0.0;
    const double k = (double)(tiles / resident) * (double)p->k + of_rest;
    return k * shape->blocks_per_multiprocessor * shape->tile_m * shape->tile_n / efficiency;
}

static tile choose(const qmm_context *context, const qmmi_matmul_problem *p) {
    const qmmi_cuda_device *device = qmmi_cuda_device_of(context);
    const tile large = large_tile(device), small = small_tile(device);
    /* A small tile loads twice the bytes for each product, more than the second-level cache may give. */
    const double large_efficiency = 1.0, small_efficiency = 0.7;
    const bool large_is_faster = expected_time(&large.shape, large_efficiency, device, p) <=
                                 expected_time(&small.shape, small_efficiency, device, p);
    if (qmmi_grouped(p)) return grouped_tile();
    return large_is_faster ? large : small;
}

/* ---- the row ----------------------------------------------------------------------------------------------------- */

const char *qmmi_cuda_matmul_mma_accepts(const qmm_context *context, const qmmi_problem *problem) {
    (void)context;
    return qmmi_canonical_accepts(&problem->as.matmul);
}

size_t qmmi_cuda_matmul_mma_workspace(const qmm_context *context, const qmmi_problem *problem) {
    const tile t = choose(context, &problem->as.matmul);
    return qmmi_cuda_matmul_workspace(context, &problem->as.matmul, &t.shape);
}

qmm_status qmmi_cuda_matmul_mma(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                size_t workspace_offset) {
    const tile t = choose(context, &problem->as.matmul);
    qmmi_cuda_matmul m;
    QMMI_TRY(qmmi_cuda_matmul_prepare(context, &problem->as.matmul, &t.shape, workspace, workspace_offset, &m));
    return qmmi_cuda_launch(context, m.b.bits == 4 ? t.kernel_4bit : t.kernel, m.blocks, t.threads, t.shared_bytes, &m);
}
