/* SPDX-License-Identifier: Apache-2.0
 *
 * The row of matmul_wgmma.cu: which of its tiles a problem gets, and what the copy engine is told of the operands.
 *
 * The choice is the tile with the least estimate (matmul_estimate.h). What is particular to wgmma is the share of its
 * time in which a tile multiplies, and what a cluster costs. Nothing of it is measured with these kernels. */
#include "matmul_wgmma.h"

#include "context.h"
#include "matmul_estimate.h"
#include "rows.h"

typedef struct tile {
    int rows, n, cluster; /* of the tall operand, in a thread block; of the wide one */
    bool swapped;
    unsigned shared_bytes;
    qmmi_cuda_kernel kernel, kernel_u8; /* by A's codes */
} tile;

/* A problem's variant is one more than the index here. */
static const tile tiles[] = {
#define TILE(name, blocks, n, cluster, swapped)                                                                    \
    { 128 * (blocks), (n), (cluster), (swapped), QMMI_CUDA_WGMMA_SHARED(blocks, n),                                \
      QMMI_CUDA_matmul_s8_wgmma_##name##_kernel, QMMI_CUDA_matmul_u8_wgmma_##name##_kernel },
    QMMI_CUDA_WGMMA_TILES(TILE)
#undef TILE
};

enum { TILES = sizeof tiles / sizeof tiles[0] };

const char *const qmmi_cuda_matmul_wgmma_variants[TILES + 1] = {
#define TILE(name, blocks, n, cluster, swapped) #name,
    QMMI_CUDA_WGMMA_TILES(TILE)
#undef TILE
};

/* ---- the shape of a tile ----------------------------------------------------------------------------------------- */

/* A wgmma of 64 x n x 32 makes 64 * n * 32 products, 4,096 a cycle: n / 2 cycles. Meanwhile it reads the 64 + n rows of
 * 32 bytes from shared memory, 128 bytes a cycle: 16 + n / 4 cycles. */
static double of_shared_memory(const tile *t) {
    const double multiplying = t->n / 2.0, reading = 16 + t->n / 4.0;
    return multiplying < reading ? multiplying / reading : 1.0;
}

/* Time that a tile takes for each byte it loads for a product, in times of the product. DeepGEMM's fp8 kernels for 9.0
 * reach 1404, 1470 and 1500 TFLOPS with tiles of 128 x 128, 128 x 160 and 256 x 128 (pull requests 74 and 81, M 4096,
 * N 7168, K 16384). Incomplete waves of 132 tiles taken out, that is 1.068, 1.039 and 1 of the time, at 1/64, 9/640 and
 * 3/256 bytes for a product: a straight line, of this slope. The rate that the estimates have is of the last one. */
#define LOADING 17.0
#define LOADED_BY_256X128 (3.0 / 256)

/* Of a cluster: from the second-level cache a tile's rows come once, but the shared ones go into each block's memory.
 * How much either counts is not known. */
static double loaded(const tile *t) {
    const double each = (double)t->rows * t->n;
    return 0.5 * ((t->rows + t->n) / each + (t->rows + (double)t->n / t->cluster) / each);
}

/* Share of its time in which a tile multiplies. */
static double efficiency(const tile *t) {
    const double shared = of_shared_memory(t), loading = 1.0 / (1.0 + LOADING * (loaded(t) - LOADED_BY_256X128));
    return shared < 1.0 && shared < loading ? shared : loading;
}

static qmmi_cuda_matmul_shape shape_of(const tile *t) {
    const int32_t tall = t->rows * t->cluster;
    return (qmmi_cuda_matmul_shape){ .tile_m = t->swapped ? t->n : tall,
                                     .tile_n = t->swapped ? tall : t->n,
                                     .tile_k = QMMI_CUDA_WGMMA_K,
                                     .blocks_per_multiprocessor = 1,
                                     .cluster = t->cluster,
                                     .arrivals = t->cluster * QMMI_CUDA_WGMMA_GROUPS,
                                     .direct_u8 = true,
                                     .maps = true,
                                     .splits = true,
                                     .efficiency = efficiency(t) };
}

/* ---- the choice -------------------------------------------------------------------------------------------------- */

/* The blocks of a cluster begin and end together, and the faster waits for the slower: once in a launch, this much of
 * a tile's time. Set so that a pair of 128 x 256, which saves 3.3 % of a tile's time by what it does not load, loses
 * where there is a single wave of tiles and wins from two on. A pair with rows for one block alone pays for both. */
#define PAIRING 0.05

/* Time, and where that is the memory's, what the multiprocessors do in it. */
typedef struct cost {
    double seconds, cycles;
} cost;

/* Of the kernel; what is prepared before it is the same for all tiles. */
static cost cost_of(const qmmi_cuda_device *device, const qmmi_matmul_problem *p, const tile *t) {
    const qmmi_cuda_matmul_shape shape = shape_of(t);
    const qmmi_cuda_rates *const rates = &device->rates;
    qmmi_cuda_work work = qmmi_cuda_tile_work(device, p, &shape, rates->wgmma);
    work.memory_bytes += qmmi_cuda_output_bytes(p);
    if (t->cluster > 1)
        work.cycles += PAIRING * (double)p->k * t->rows * t->n / shape.efficiency / rates->wgmma;
    return (cost){ qmmi_cuda_seconds(rates, &work), work.cycles };
}

static bool is_less(const cost *x, const cost *y) {
    return x->seconds < y->seconds || (!(x->seconds > y->seconds) && x->cycles < y->cycles);
}

static int find_best(const qmmi_cuda_device *device, const qmmi_matmul_problem *p) {
    int best = 0;
    cost least = cost_of(device, p, &tiles[0]);
    for (int i = 1; i < TILES; i++) {
        const cost c = cost_of(device, p, &tiles[i]);
        if (is_less(&c, &least)) best = i, least = c;
    }
    return best;
}

/* What the choice depends on. */
static qmmi_cuda_wgmma_pick key_of(const qmmi_matmul_problem *p) {
    const uint32_t residual_bits = p->residual.memory ? (uint32_t)qmm_type_bits(p->residual.type) : 0;
    return (qmmi_cuda_wgmma_pick){ .m = p->m,
                                   .n = p->n,
                                   .k = p->k,
                                   .canonical_k = p->groups * qmmi_group_k(p->group_size),
                                   .batch = p->batch,
                                   .kinds = (uint32_t)qmm_type_bits(p->c.type) | residual_bits << 8 |
                                            (uint32_t)(p->residual.batch_stride != 0) << 16 |
                                            (uint32_t)(p->a.batch_stride != 0) << 17 |
                                            (uint32_t)(p->b.batch_stride != 0) << 18 };
}

static bool is_same(const qmmi_cuda_wgmma_pick *x, const qmmi_cuda_wgmma_pick *y) {
    return x->m == y->m && x->n == y->n && x->k == y->k && x->canonical_k == y->canonical_k && x->batch == y->batch &&
           x->kinds == y->kinds;
}

static uint64_t hash_of(const qmmi_cuda_wgmma_pick *key) {
    const uint64_t odd = UINT64_C(0x9e3779b97f4a7c15);
    return ((((uint64_t)key->m * odd + (uint64_t)key->n) * odd + (uint64_t)key->k) * odd + key->kinds) * odd >> 32;
}

/* A choice takes an estimate of every tile, several times in each call on the host: so choices are kept. */
int qmmi_cuda_matmul_wgmma_picks(const qmm_context *context, const qmmi_problem *problem) {
    qmmi_cuda_wgmma_pick key = key_of(&problem->as.matmul);
    qmmi_cuda_wgmma_pick *const kept =
        &qmmi_cuda_state_of(context)->wgmma_picks[hash_of(&key) % QMMI_CUDA_WGMMA_PICKS];
    if (kept->variant && is_same(kept, &key)) return kept->variant;
    key.variant = 1 + find_best(qmmi_cuda_device_of(context), &problem->as.matmul);
    *kept = key;
    return key.variant;
}

static const tile *choose(const qmm_context *context, const qmmi_problem *problem) {
    const int given = problem->as.matmul.variant;
    return &tiles[(given ? given : qmmi_cuda_matmul_wgmma_picks(context, problem)) - 1];
}

/* ---- what the row says ------------------------------------------------------------------------------------------- */

/* Coordinates are 32-bit, and those of a tile go past the end. */
#define COORDINATE_LIMIT (INT32_MAX - 1024)

/* Of an operand where it lies, or rewritten: can the copy engine step from one matrix to the next? */
static bool strides_fit(const qmmi_operand *o, int64_t rows, int64_t k) {
    return o->outer_stride < QMMI_CUDA_TENSOR_STRIDE_END && o->batch_stride < QMMI_CUDA_TENSOR_STRIDE_END &&
           rows < QMMI_CUDA_TENSOR_STRIDE_END / k;
}

const char *qmmi_cuda_matmul_wgmma_accepts(const qmm_context *context, const qmmi_problem *problem) {
    const qmmi_matmul_problem *p = &problem->as.matmul;
    const char *reason = qmmi_canonical_accepts(p);
    const int64_t k = p->groups * qmmi_group_k(p->group_size);
    (void)context;
    if (reason) return reason;
    if (qmmi_grouped(p)) return "factors per group of K need accumulators of their own";
    if (p->m > COORDINATE_LIMIT || p->n > COORDINATE_LIMIT || p->batch > COORDINATE_LIMIT)
        return "M, N or the batch is more than the copy engine counts";
    if (!strides_fit(&p->a, p->m, k) || !strides_fit(&p->b, p->n, k))
        return "rows or matrices are farther apart than the copy engine steps";
    return NULL;
}

double qmmi_cuda_matmul_wgmma_estimate(const qmm_context *context, const qmmi_problem *problem) {
    const qmmi_cuda_device *const device = qmmi_cuda_device_of(context);
    const qmmi_matmul_problem *const p = &problem->as.matmul;
    qmmi_cuda_matmul_shape shape;
    const tile *t;
    if (!qmmi_cuda_matmul_has_products(p) || qmmi_grouped(p) || !(device->rates.wgmma > 0)) return 0;
    t = choose(context, problem);
    shape = shape_of(t);
    return qmmi_cuda_preparation_seconds(device, p, &shape) + cost_of(device, p, t).seconds;
}

qmmi_split qmmi_cuda_matmul_wgmma_split(const qmm_context *context, const qmmi_problem *problem) {
    const qmmi_cuda_matmul_shape shape = shape_of(choose(context, problem));
    return qmmi_cuda_matmul_split(context, &problem->as.matmul, &shape);
}

size_t qmmi_cuda_matmul_wgmma_workspace(const qmm_context *context, const qmmi_problem *problem) {
    const qmmi_cuda_matmul_shape shape = shape_of(choose(context, problem));
    return qmmi_cuda_matmul_workspace(context, &problem->as.matmul, &shape);
}

/* ---- the launch -------------------------------------------------------------------------------------------------- */

/* box_rows: of a thread block's tile, or its share of it. */
static qmmi_cuda_tensor operand_tensor(const qmmi_cuda_operand *o, int64_t rows, int64_t matrices, int box_rows) {
    return (qmmi_cuda_tensor){ .memory = o->codes,
                               .element_bytes = 1,
                               .cols = o->k_bytes,
                               .rows = rows,
                               .matrices = matrices,
                               .row_stride = o->outer_stride,
                               .matrix_stride = o->batch_stride,
                               .box_cols = QMMI_CUDA_WGMMA_K,
                               .box_rows = box_rows,
                               .swizzle = QMMI_CUDA_WGMMA_K,
                               .promoted = true };
}

static qmmi_cuda_tensor c_tensor(const qmmi_matmul_problem *p) {
    const int bytes = qmm_type_bits(p->c.type) / 8;
    return (qmmi_cuda_tensor){ .memory = (const unsigned char *)p->c.memory + p->c.offset,
                               .element_bytes = bytes,
                               .cols = p->n,
                               .rows = p->m,
                               .matrices = p->batch,
                               .row_stride = p->c.row_stride * bytes,
                               .matrix_stride = p->c.batch_stride * bytes,
                               .box_cols = QMMI_CUDA_WGMMA_STORE_COLS,
                               .box_rows = QMMI_CUDA_WGMMA_STORE_ROWS,
                               .swizzle = bytes == 2 ? 64 : 0 };
}

/* Is all of the epilogue a product with scales that the short one of the kernel knows? */
static bool has_only_scales(const qmmi_cuda_matmul *m) {
    const qmmi_matmul_problem *const p = &m->p;
    const qmmi_param *const of_b = &p->b.scale;
    const bool b_fits = !of_b->memory || of_b->row_stride == 0 || (of_b->type == QMM_F32 && of_b->row_stride == 1);
    return (p->c.type == QMM_F16 || p->c.type == QMM_BF16) && b_fits && !m->corrects_a && !m->corrects_b &&
           !p->bias.memory && !p->residual.memory && p->activation == QMM_ACTIVATION_NONE;
}

/* The kernel's argument, from what is planned and placed. */
static qmm_status describe(qmm_context *context, const qmmi_cuda_plan *plan, const tile *t, qmmi_cuda_wgmma *w) {
    const qmmi_cuda_matmul *const m = &plan->m;
    const qmmi_matmul_problem *const p = &m->p;
    const int64_t a_matrices = qmmi_matrices_of(p, &p->a), b_matrices = qmmi_matrices_of(p, &p->b);
    const int share = t->n / t->cluster;
    const qmmi_cuda_tensor a = operand_tensor(&m->a, p->m, a_matrices, t->swapped ? share : t->rows);
    const qmmi_cuda_tensor b = operand_tensor(&m->b, p->n, b_matrices, t->swapped ? t->rows : share);
    const qmmi_cuda_tensor c = c_tensor(p);
    w->m = *m;
    w->tall_batched = (t->swapped ? b_matrices : a_matrices) > 1;
    w->wide_batched = (t->swapped ? a_matrices : b_matrices) > 1;
    w->stores_c = !t->swapped && c.element_bytes <= 2 && qmmi_cuda_tensor_fits(&c);
    w->only_scales = w->stores_c && has_only_scales(m);
    QMMI_TRY(qmmi_cuda_tensor_map_make(context, t->swapped ? &b : &a, &w->tall));
    QMMI_TRY(qmmi_cuda_tensor_map_make(context, t->swapped ? &a : &b, &w->wide));
    return w->stores_c ? qmmi_cuda_tensor_map_make(context, &c, &w->c) : QMM_OK;
}

/* The maps come first: where one fails, nothing is queued. */
qmm_status qmmi_cuda_matmul_wgmma(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                  size_t workspace_offset) {
    const tile *const t = choose(context, problem);
    const qmmi_cuda_matmul_shape shape = shape_of(t);
    qmmi_cuda_wgmma w = { .stores_c = false };
    qmmi_cuda_plan plan;
    qmmi_cuda_matmul_plan(context, &problem->as.matmul, &shape, &plan);
    qmmi_cuda_matmul_place(&plan, workspace, workspace_offset);
    QMMI_TRY(describe(context, &plan, t, &w));
    QMMI_TRY(qmmi_cuda_matmul_queue(context, &plan, workspace, workspace_offset));
    return qmmi_cuda_launch(context, plan.m.a.is_unsigned ? t->kernel_u8 : t->kernel, plan.m.blocks * t->cluster,
                            QMMI_CUDA_WGMMA_THREADS, t->shared_bytes, &w);
}
