/* SPDX-License-Identifier: Apache-2.0
 *
 * How long a matmul is expected to take on a row, from what its tiles and its operands come to. No call of the driver,
 * no state. */
#ifndef QMMI_CUDA_MATMUL_ESTIMATE_H
#define QMMI_CUDA_MATMUL_ESTIMATE_H

#include "matmul_prepare.h"

/* Is there anything to be multiplied? What has nothing has no estimate. */
bool qmmi_cuda_matmul_has_products(const qmmi_matmul_problem *p);

/* What matmul_prepare.c queues before the kernel. */
double qmmi_cuda_preparation_seconds(const qmmi_cuda_device *device, const qmmi_matmul_problem *p,
                                     const qmmi_cuda_matmul_shape *shape);

/* Of canonical A and B; of C and the residual. Each goes through memory once. */
double qmmi_cuda_input_bytes(const qmmi_matmul_problem *p, const qmmi_cuda_matmul_shape *shape);
double qmmi_cuda_output_bytes(const qmmi_matmul_problem *p);

/* Products in whose time, at the full rate of its instruction, the busiest multiprocessor would be done with its tiles:
 *   - full rounds of tiles, then one more round, which is divided along K if it is done earlier so
 *     (matmul_prepare.c); each block then pays a pass over a tile through memory, worth about 512 k of multiplying it
 *   - what a tile loses of its time to other things than products (shape->efficiency)
 * Of the tile of a cluster, each of its blocks has its part. */
double qmmi_cuda_tile_products(const qmmi_cuda_device *device, const qmmi_matmul_problem *p,
                               const qmmi_cuda_matmul_shape *shape);

/* The tiles of a kernel, by an instruction that makes so many products a cycle, and what the epilogue adds; without the
 * outputs. */
qmmi_cuda_work qmmi_cuda_tile_work(const qmmi_cuda_device *device, const qmmi_matmul_problem *p,
                                   const qmmi_cuda_matmul_shape *shape, double products_per_cycle);

/* Seconds for all of it; 0: cannot say. */
double qmmi_cuda_matmul_estimate(const qmm_context *context, const qmmi_matmul_problem *p,
                                 const qmmi_cuda_matmul_shape *shape, double products_per_cycle);

#endif
