/* SPDX-License-Identifier: Apache-2.0 */
#include "matmul_estimate.h"

bool qmmi_cuda_matmul_has_products(const qmmi_matmul_problem *p) {
    return p->m > 0 && p->n > 0 && p->k > 0 && p->batch > 0;
}

/* ---- operands ---------------------------------------------------------------------------------------------------- */

static double matrix_bytes(int64_t rows, int64_t cols, int64_t matrices, qmm_type type) {
    return (double)rows * (double)cols * (double)matrices * qmm_type_bits(type) / 8;
}

/* What an operand costs before the kernel runs: rewriting it, which reads it and writes bytes, and its sums. */
static void add_preparation(const qmmi_matmul_problem *p, const qmmi_operand *o, int64_t outer, bool pack, bool sum,
                            qmmi_cuda_work *work) {
    const int64_t matrices = qmmi_matrices_of(p, o);
    const double bytes = matrix_bytes(outer, p->k, matrices, QMM_S8);
    work->launches += pack + sum;
    if (pack) work->memory_bytes += matrix_bytes(outer, p->k, matrices, o->type) + bytes;
    if (sum) work->memory_bytes += bytes;
}

double qmmi_cuda_preparation_seconds(const qmmi_cuda_device *device, const qmmi_matmul_problem *p,
                                     const qmmi_cuda_matmul_shape *shape) {
    const qmmi_cuda_needs needs = qmmi_cuda_matmul_needs(p, shape);
    qmmi_cuda_work work = { .launches = 0 };
    add_preparation(p, &p->a, p->m, needs.pack_a, needs.sum_a, &work);
    add_preparation(p, &p->b, p->n, needs.pack_b, needs.sum_b, &work);
    return qmmi_cuda_seconds(&device->rates, &work);
}

double qmmi_cuda_input_bytes(const qmmi_matmul_problem *p, const qmmi_cuda_matmul_shape *shape) {
    const bool nibbles = p->b.packed && shape->packed_4bit;
    return matrix_bytes(p->m, p->k, qmmi_matrices_of(p, &p->a), QMM_S8) +
           matrix_bytes(p->n, p->k, qmmi_matrices_of(p, &p->b), nibbles ? p->b.type : QMM_S8);
}

double qmmi_cuda_output_bytes(const qmmi_matmul_problem *p) {
    double bytes = matrix_bytes(p->m, p->n, p->batch, p->c.type);
    if (p->residual.memory)
        bytes += matrix_bytes(p->m, p->n, p->residual.batch_stride ? p->batch : 1, p->residual.type);
    return bytes;
}

/* ---- tiles ------------------------------------------------------------------------------------------------------- */

/* Of an element: some 12 instructions, and a multiprocessor has 128 a cycle. Reckoned, not measured. */
#define EPILOGUE_CYCLES 0.1

/* A block's part of the last round: how much the busiest multiprocessor has of it. */
static double held_of_rest(const qmmi_cuda_device *device, const qmmi_cuda_matmul_shape *shape,
                           const qmmi_cuda_division *d) {
    const int64_t clusters = d->sharers ? d->sharers : d->rest;
    return (double)qmmi_parts(clusters * shape->cluster, device->multiprocessors);
}

/* k of the tiles, or blocks' parts of them, that the busiest multiprocessor has at a time, over all rounds. */
static double busiest_k(const qmmi_cuda_device *device, const qmmi_matmul_problem *p,
                        const qmmi_cuda_matmul_shape *shape, const qmmi_cuda_division *d) {
    const double k = (double)p->k, of_full = (double)d->full * k * shape->blocks_per_multiprocessor;
    const double of_rest = d->sharers ? (double)d->rest / (double)d->sharers * k + QMMI_CUDA_PART_K : k;
    return of_full + held_of_rest(device, shape, d) * of_rest;
}

/* Elements of C that a block has of a tile. */
static double block_elements(const qmmi_cuda_matmul_shape *shape) {
    return (double)shape->tile_m * shape->tile_n / shape->cluster;
}

static double products(const qmmi_cuda_device *device, const qmmi_matmul_problem *p,
                       const qmmi_cuda_matmul_shape *shape, const qmmi_cuda_division *d) {
    return busiest_k(device, p, shape, d) * block_elements(shape) / shape->efficiency;
}

/* While its tile passes through the epilogue, a block multiplies nothing. Others of the multiprocessor do, where it has
 * several, but not in the last round. */
static double epilogue_cycles(const qmmi_cuda_device *device, const qmmi_cuda_matmul_shape *shape,
                              const qmmi_cuda_division *d) {
    const double held = held_of_rest(device, shape, d), several = shape->blocks_per_multiprocessor;
    const double tiles = several < 2 ? (double)d->full + held : d->full > 0 ? several : held;
    return tiles * block_elements(shape) * EPILOGUE_CYCLES;
}

/* The busiest multiprocessor multiplies, or waits for its share of the second-level cache. */
static double tile_cycles(const qmmi_cuda_device *device, const qmmi_matmul_problem *p,
                          const qmmi_cuda_matmul_shape *shape, const qmmi_cuda_division *d, double products_per_cycle) {
    const double row_bytes = (double)(shape->tile_m + shape->tile_n) / shape->cluster;
    const double multiplying = products(device, p, shape, d) / products_per_cycle;
    const double loading = busiest_k(device, p, shape, d) * row_bytes / QMMI_CUDA_L2_EACH;
    return (multiplying > loading ? multiplying : loading) + epilogue_cycles(device, shape, d);
}

double qmmi_cuda_tile_products(const qmmi_cuda_device *device, const qmmi_matmul_problem *p,
                               const qmmi_cuda_matmul_shape *shape) {
    const qmmi_cuda_division d = qmmi_cuda_divide(device, p, shape);
    return products(device, p, shape, &d);
}

/* A tile's rows of A and columns of B come from the second-level cache, for all blocks of a cluster once; the sums of a
 * split one are cleared before. */
qmmi_cuda_work qmmi_cuda_tile_work(const qmmi_cuda_device *device, const qmmi_matmul_problem *p,
                                   const qmmi_cuda_matmul_shape *shape, double products_per_cycle) {
    const qmmi_cuda_division d = qmmi_cuda_divide(device, p, shape);
    return (qmmi_cuda_work){ .launches = d.sharers ? 2 : 1,
                             .memory_bytes = qmmi_cuda_input_bytes(p, shape),
                             .l2_bytes = (double)d.tiles * (shape->tile_m + shape->tile_n) * (double)p->k,
                             .cycles = tile_cycles(device, p, shape, &d, products_per_cycle) };
}

double qmmi_cuda_matmul_estimate(const qmm_context *context, const qmmi_matmul_problem *p,
                                 const qmmi_cuda_matmul_shape *shape, double products_per_cycle) {
    const qmmi_cuda_device *const device = qmmi_cuda_device_of(context);
    qmmi_cuda_work work;
    if (!qmmi_cuda_matmul_has_products(p)) return 0;
    work = qmmi_cuda_tile_work(device, p, shape, products_per_cycle);
    work.memory_bytes += qmmi_cuda_output_bytes(p);
    return qmmi_cuda_preparation_seconds(device, p, shape) + qmmi_cuda_seconds(&device->rates, &work);
}
