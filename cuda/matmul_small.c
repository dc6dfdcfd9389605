/* SPDX-License-Identifier: Apache-2.0
 *
 * The row of matmul_small.cu. */
#include "matmul_small.h"

#include "../host/context.h"
#include "matmul_estimate.h"
#include "rows.h"

/* Loads of A, and the sums across lanes, take what is left of a warp's time. Expected, not measured. */
#define EFFICIENCY 0.6

/* K of one step of a warp, if B is read as packed 4-bit codes or as 8-bit ones. */
enum { STEP_K_4 = 2 * QMMI_CUDA_SMALL_STEP, STEP_K_8 = QMMI_CUDA_SMALL_STEP };

/* One of the kernels, and how a problem is divided for it. */
typedef struct division {
    qmmi_cuda_kernel kernel;
    int32_t rows; /* of a tile */
    int64_t tiles;
    int32_t parts; /* of a tile, along K */
} division;

/* Variants: parts of a tile. A problem's variant is one more than the index here. */
enum { VARIANTS = 4 };
static const int32_t variant_parts[VARIANTS] = { 1, 2, 4, 8 };
const char *const qmmi_cuda_matmul_small_variants[VARIANTS + 1] = { "split1", "split2", "split4", "split8" };

static int64_t steps_of(const qmmi_matmul_problem *p) {
    const bool may_be_4bit = p->b.packed && qmm_type_bits(p->b.type) == 4;
    return p->k / (may_be_4bit ? STEP_K_4 : STEP_K_8);
}

/* Parts of a tile cost a launch that zeroes their sums and a pass through memory. Expected, not measured: that is
 * worth it where whole tiles leave a multiprocessor with less than 4 warps, so with less than some 10 KB under way;
 * a part is to be of 4 steps at least. Factors per group fix the order of K, so there is one part. */
static int32_t parts_of(const qmm_context *context, const qmmi_matmul_problem *p, int64_t tiles) {
    const int64_t multiprocessors = qmmi_cuda_device_of(context)->multiprocessors;
    const bool too_few = QMMI_CUDA_SMALL_WARPS * tiles < 4 * multiprocessors;
    const int64_t most = steps_of(p) / 4;
    if (tiles == 0 || !too_few || qmmi_grouped(p) || most < 2) return 1;
    return (int32_t)qmmi_smaller(4 * multiprocessors / tiles, most);
}

static division divide(const qmm_context *context, const qmmi_matmul_problem *p) {
    division d = { .kernel = QMMI_CUDA_matmul_small_16_kernel, .rows = 16 };
    if (p->m == 1)
        d.kernel = QMMI_CUDA_matmul_small_1_kernel, d.rows = 1;
    else if (p->m <= 4)
        d.kernel = QMMI_CUDA_matmul_small_4_kernel, d.rows = 4;
    d.tiles = p->batch * qmmi_parts(p->m, d.rows) * qmmi_parts(p->n, QMMI_CUDA_SMALL_TILE_N);
    d.parts = p->variant ? variant_parts[p->variant - 1] : parts_of(context, p, d.tiles);
    return d;
}

static qmmi_cuda_matmul_shape shape_of(const division *d) {
    return (qmmi_cuda_matmul_shape){ .tile_m = d->rows,
                                     .tile_n = QMMI_CUDA_SMALL_TILE_N,
                                     .tile_k = STEP_K_8,
                                     .blocks_per_multiprocessor = 1,
                                     .cluster = 1,
                                     .arrivals = 1,
                                     .packed_4bit = true,
                                     .splits = false,
                                     .efficiency = EFFICIENCY };
}

/* Partial sums, then arrivals. */
static size_t partial_bytes(const division *d) {
    return (size_t)d->tiles * (size_t)d->rows * QMMI_CUDA_SMALL_TILE_N * sizeof(int32_t);
}

static size_t parts_bytes(const division *d) {
    return d->parts > 1 ? partial_bytes(d) + (size_t)d->tiles * sizeof(uint32_t) : 0;
}

/* Of a variant: can each of its parts have a step? */
static const char *why_not_in_parts(const qmmi_matmul_problem *p, const division *d) {
    if (d->parts == 1) return NULL;
    if (qmmi_grouped(p)) return "factors per group fix the order of K, which is not split then";
    return steps_of(p) < d->parts ? "K is too short for so many parts" : NULL;
}

const char *qmmi_cuda_matmul_small_accepts(const qmm_context *context, const qmmi_problem *problem) {
    const qmmi_matmul_problem *p = &problem->as.matmul;
    const char *reason = qmmi_canonical_accepts(p);
    division d;
    if (reason) return reason;
    d = divide(context, p);
    if (d.tiles > INT32_MAX / d.parts) return "C has more tiles than a grid has blocks";
    return why_not_in_parts(p, &d);
}

/* The blocks are dealt to the multiprocessors in turn. A row of A that is not there is not multiplied; one that is goes
 * to the multiprocessors once for each tile. */
static qmmi_cuda_work work_of(const qmmi_cuda_device *device, const qmmi_matmul_problem *p, const division *d,
                              const qmmi_cuda_matmul_shape *shape) {
    const double blocks = (double)qmmi_parts(d->tiles * d->parts, device->multiprocessors);
    const double rows = (double)qmmi_smaller(p->m, d->rows), k = (double)p->k;
    const double products = blocks / d->parts * rows * QMMI_CUDA_SMALL_TILE_N * k;
    return (qmmi_cuda_work){ .launches = d->parts > 1 ? 2 : 1,
                             .memory_bytes = qmmi_cuda_input_bytes(p, shape) + qmmi_cuda_output_bytes(p),
                             .l2_bytes = (double)d->tiles * (rows + QMMI_CUDA_SMALL_TILE_N) * k,
                             .cycles = products / shape->efficiency / device->rates.dp4a };
}

double qmmi_cuda_matmul_small_estimate(const qmm_context *context, const qmmi_problem *problem) {
    const qmmi_cuda_device *const device = qmmi_cuda_device_of(context);
    const qmmi_matmul_problem *const p = &problem->as.matmul;
    const division d = divide(context, p);
    const qmmi_cuda_matmul_shape shape = shape_of(&d);
    qmmi_cuda_work work;
    if (!qmmi_cuda_matmul_has_products(p)) return 0;
    work = work_of(device, p, &d, &shape);
    return qmmi_cuda_preparation_seconds(device, p, &shape) + qmmi_cuda_seconds(&device->rates, &work);
}

qmmi_split qmmi_cuda_matmul_small_split(const qmm_context *context, const qmmi_problem *problem) {
    const division d = divide(context, &problem->as.matmul);
    return d.parts > 1 ? (qmmi_split){ d.tiles, d.tiles * d.parts } : (qmmi_split){ 0, 0 };
}

size_t qmmi_cuda_matmul_small_workspace(const qmm_context *context, const qmmi_problem *problem) {
    const division d = divide(context, &problem->as.matmul);
    const qmmi_cuda_matmul_shape shape = shape_of(&d);
    return qmmi_cuda_matmul_workspace(context, &problem->as.matmul, &shape) + parts_bytes(&d);
}

/* Dynamic shared memory: the groups of K that a warp has at a time. */
static unsigned shared_bytes(const qmmi_cuda_matmul *m, const division *d) {
    const int64_t chunks = m->group_k / (m->b.bits == 4 ? 32 : 16);
    return qmmi_grouped(&m->p) ? (unsigned)QMMI_CUDA_SMALL_SHARED(d->rows, 32 / QMMI_CUDA_SMALL_LANES(chunks)) : 0;
}

qmm_status qmmi_cuda_matmul_small(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                  size_t workspace_offset) {
    const qmmi_matmul_problem *p = &problem->as.matmul;
    const division d = divide(context, p);
    const qmmi_cuda_matmul_shape shape = shape_of(&d);
    const size_t partials = workspace_offset + qmmi_cuda_matmul_workspace(context, p, &shape);
    qmmi_cuda_matmul m;
    QMMI_TRY(qmmi_cuda_matmul_prepare(context, p, &shape, workspace, workspace_offset, &m));
    m.steps = (int32_t)qmmi_parts(m.k, m.b.bits == 4 ? STEP_K_4 : STEP_K_8);
    m.split_blocks = d.parts;
    if (d.parts > 1) {
        m.partials = (int32_t *)(void *)((unsigned char *)workspace + partials);
        m.arrived = (uint32_t *)(void *)((unsigned char *)workspace + partials + partial_bytes(&d));
        QMMI_TRY(qmmi_cuda_clear(context, workspace, partials, parts_bytes(&d)));
    }
    return qmmi_cuda_launch(context, d.kernel, d.tiles * d.parts, QMMI_CUDA_SMALL_THREADS, shared_bytes(&m, &d), &m);
}
