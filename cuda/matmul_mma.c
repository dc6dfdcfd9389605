/* SPDX-License-Identifier: Apache-2.0
 *
 * The row of matmul_mma.cu: which of its tiles a problem gets. */
#include "matmul_mma.h"

#include "../host/context.h"
#include "matmul_estimate.h"
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

/* A small tile loads twice the bytes for each product, more than the second-level cache may give. */
#define SMALL_EFFICIENCY 0.7

static tile large_tile(const qmmi_cuda_device *device) {
    return (tile){ .shape = { .tile_m = QMMI_CUDA_MMA_LARGE_M,
                              .tile_n = QMMI_CUDA_MMA_LARGE_N,
                              .tile_k = QMMI_CUDA_MMA_K,
                              .blocks_per_multiprocessor = has_little_shared(device) ? 1 : QMMI_CUDA_MMA_LARGE_BLOCKS,
                              .cluster = 1,
                              .arrivals = 1,
                              .packed_4bit = true,
                              .splits = true,
                              .efficiency = 1.0 },
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
                              .cluster = 1,
                              .arrivals = 1,
                              .packed_4bit = true,
                              .splits = true,
                              .efficiency = SMALL_EFFICIENCY },
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
                              .cluster = 1,
                              .arrivals = 1,
                              .packed_4bit = true,
                              .efficiency = SMALL_EFFICIENCY },
                   .threads = QMMI_CUDA_MMA_SMALL_THREADS,
                   .shared_bytes = QMMI_CUDA_MMA_SMALL_SHARED,
                   .kernel = QMMI_CUDA_matmul_s8_mma_grouped_kernel,
                   .kernel_4bit = QMMI_CUDA_matmul_s4_mma_grouped_kernel };
}

/* ---- the choice -------------------------------------------------------------------------------------------------- */

/* A problem's variant is one more than the number here; 0 leaves the choice to the row. */
enum { LARGE, SMALL, TILES };

const char *const qmmi_cuda_matmul_mma_variants[TILES + 1] = { [LARGE] = "large", [SMALL] = "small" };

static double seconds_of(const qmm_context *context, const qmmi_matmul_problem *p, const tile *t) {
    return qmmi_cuda_matmul_estimate(context, p, &t->shape, qmmi_cuda_device_of(context)->rates.mma);
}

/* The tile that takes less time by the row's own estimate; where that is the memory's, the one that multiplies less. */
static int faster_tile(const qmm_context *context, const qmmi_matmul_problem *p, const tile tiles[TILES]) {
    const qmmi_cuda_device *const device = qmmi_cuda_device_of(context);
    const double large = seconds_of(context, p, &tiles[LARGE]), small = seconds_of(context, p, &tiles[SMALL]);
    if (large < small || small < large) return large < small ? LARGE : SMALL;
    return qmmi_cuda_tile_products(device, p, &tiles[LARGE].shape) <=
                   qmmi_cuda_tile_products(device, p, &tiles[SMALL].shape)
               ? LARGE
               : SMALL;
}

int qmmi_cuda_matmul_mma_picks(const qmm_context *context, const qmmi_problem *problem) {
    const qmmi_cuda_device *const device = qmmi_cuda_device_of(context);
    const qmmi_matmul_problem *const p = &problem->as.matmul;
    const tile tiles[TILES] = { [LARGE] = large_tile(device), [SMALL] = small_tile(device) };
    return qmmi_grouped(p) ? 0 : 1 + faster_tile(context, p, tiles);
}

static tile choose(const qmm_context *context, const qmmi_problem *problem) {
    const qmmi_cuda_device *const device = qmmi_cuda_device_of(context);
    const int given = problem->as.matmul.variant;
    if (qmmi_grouped(&problem->as.matmul)) return grouped_tile();
    return (given ? given : qmmi_cuda_matmul_mma_picks(context, problem)) == 1 + LARGE ? large_tile(device)
                                                                                       : small_tile(device);
}

/* ---- the row ----------------------------------------------------------------------------------------------------- */

const char *qmmi_cuda_matmul_mma_accepts(const qmm_context *context, const qmmi_problem *problem) {
    const qmmi_matmul_problem *p = &problem->as.matmul;
    (void)context;
    if (p->variant != 0 && qmmi_grouped(p)) return "factors per group of K have one tile, which is no variant";
    return qmmi_canonical_accepts(p);
}

double qmmi_cuda_matmul_mma_estimate(const qmm_context *context, const qmmi_problem *problem) {
    const tile t = choose(context, problem);
    return seconds_of(context, &problem->as.matmul, &t);
}

qmmi_split qmmi_cuda_matmul_mma_split(const qmm_context *context, const qmmi_problem *problem) {
    const tile t = choose(context, problem);
    return qmmi_cuda_matmul_split(context, &problem->as.matmul, &t.shape);
}

size_t qmmi_cuda_matmul_mma_workspace(const qmm_context *context, const qmmi_problem *problem) {
    const tile t = choose(context, problem);
    return qmmi_cuda_matmul_workspace(context, &problem->as.matmul, &t.shape);
}

qmm_status qmmi_cuda_matmul_mma(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                size_t workspace_offset) {
    const tile t = choose(context, problem);
    qmmi_cuda_matmul m;
    QMMI_TRY(qmmi_cuda_matmul_prepare(context, &problem->as.matmul, &t.shape, workspace, workspace_offset, &m));
    return qmmi_cuda_launch(context, m.b.bits == 4 ? t.kernel_4bit : t.kernel, m.blocks, t.threads, t.shared_bytes, &m);
}
