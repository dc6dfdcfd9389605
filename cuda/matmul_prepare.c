/* SPDX-License-Identifier: Apache-2.0
 *
 * The canonical form of a matmul (host/canonical.h): what of it is there already, what must be made, and how the work
 * is divided among the blocks. A plan is made twice, for the size of the workspace and for the run, and is the same
 * both times. */
#include "matmul_prepare.h"

#include "../host/checked.h"
#include "../host/context.h"

/* u8 by s8 in one accumulator: 255 * 128 * 65,793 < 2^31. */
#define UNSIGNED_K_LIMIT (INT32_MAX / (255 * 128))

/* ---- operands ---------------------------------------------------------------------------------------------------- */

static const unsigned char *address(const void *memory, size_t offset) {
    return (const unsigned char *)memory + offset;
}

static bool is_multiple_of_16(const void *memory, size_t offset, int64_t outer, const qmmi_operand *o) {
    return (uintptr_t)address(memory, offset) % 16 == 0 && (outer == 1 || o->outer_stride % 16 == 0) &&
           o->batch_stride % 16 == 0;
}

/* Are the codes of an operand that is not packed what kernels multiply? */
static bool has_the_type(const qmmi_matmul_problem *p, const qmmi_operand *o, const qmmi_cuda_matmul_shape *shape) {
    return o->type == QMM_S8 || (o == &p->a && o->type == QMM_U8 && shape->direct_u8 && p->k <= UNSIGNED_K_LIMIT);
}

/* Of a tensor map, each stride is a multiple of the one before, and no less than what that one steps over (CUDA driver API,
 * cuTensorMapEncodeTiled). */
static bool steps_of_map(const qmmi_operand *o, int64_t outer, int64_t k) {
    const int64_t row = outer > 1 ? o->outer_stride : k;
    return o->batch_stride == 0 || (o->batch_stride >= outer * row && (outer == 1 || o->batch_stride % row == 0));
}

/* rows: how many the canonical form has of the `outer`. */
static bool is_direct(const qmmi_matmul_problem *p, const qmmi_operand *o, int64_t outer, int64_t rows,
                      const qmmi_cuda_matmul_shape *shape) {
    if (!is_multiple_of_16(o->memory, o->offset, outer, o) || rows != outer) return false;
    if (shape->multiple && !o->packed && p->k % shape->multiple != 0) return false;
    if (shape->maps && !steps_of_map(o, outer, p->k)) return false;
    if (!o->packed) return has_the_type(p, o, shape) && (o->k_stride == 1 || p->k == 1) && qmmi_groups_lie_direct(p);
    return (qmm_type_bits(o->type) == 8 || shape->packed_4bit) &&
           (qmmi_packed_group(p) == p->group_size || qmmi_groups_lie_direct(p));
}

qmmi_cuda_needs qmmi_cuda_matmul_needs(const qmmi_matmul_problem *p, const qmmi_cuda_matmul_shape *shape) {
    const int64_t b_rows = shape->multiple ? qmmi_parts(p->n, shape->multiple) * shape->multiple : p->n;
    const bool a_direct = is_direct(p, &p->a, p->m, p->m, shape), unsigned_a = a_direct && p->a.type == QMM_U8;
    const bool corrects_a = unsigned_a ? p->a.zero.memory || p->a.zero.integer_value != 0 : qmmi_zero_matters(&p->a);
    const bool corrects_b = qmmi_zero_matters(&p->b);
    return (qmmi_cuda_needs){ .b_rows = b_rows,
                              .unsigned_a = unsigned_a,
                              .corrects_a = corrects_a,
                              .corrects_b = corrects_b,
                              .pack_a = !a_direct,
                              .pack_b = !is_direct(p, &p->b, p->n, b_rows, shape),
                              .sum_a = corrects_b && !qmmi_sums_came(p, &p->a),
                              .sum_b = corrects_a && !qmmi_sums_came(p, &p->b) };
}

static qmmi_cuda_operand direct_operand(const qmmi_matmul_problem *p, const qmmi_operand *o, int64_t outer, int64_t k) {
    const bool nibbles = o->packed && qmm_type_bits(o->type) == 4;
    return (qmmi_cuda_operand){ .codes = address(o->memory, o->offset),
                                .outer_stride = outer == 1 ? 0 : o->outer_stride,
                                .batch_stride = o->batch_stride,
                                .k_bytes = !o->packed ? p->k : nibbles ? k / 2 : k,
                                .bits = nibbles ? 4 : 8,
                                .recenter = qmmi_recenter(o->type) };
}

static qmmi_cuda_operand rewritten_operand(const qmmi_operand *o, int64_t rows, int64_t k) {
    return (qmmi_cuda_operand){ .outer_stride = k,
                                .batch_stride = o->batch_stride ? rows * k : 0,
                                .k_bytes = k,
                                .bits = 8,
                                .recenter = qmmi_recenter(o->type) };
}

static void set_sums(const qmmi_matmul_problem *p, const qmmi_operand *o, int64_t outer, qmmi_cuda_operand *to) {
    if (qmmi_sums_came(p, o)) {
        to->sums = (const int32_t *)(const void *)address(o->sums.memory, o->sums.offset);
        to->sums_outer_stride = o->sums.row_stride;
        to->sums_group_stride = o->sums.col_stride;
        to->sums_batch_stride = o->sums.batch_stride;
        return;
    }
    to->sums_outer_stride = 1;
    to->sums_group_stride = outer;
    to->sums_batch_stride = o->batch_stride ? p->groups * outer : 0;
}

/* ---- the work ---------------------------------------------------------------------------------------------------- */

/* K as the kernels see it. */
static int64_t canonical_k(const qmmi_matmul_problem *p) {
    return p->groups * qmmi_group_k(p->group_size);
}

/* Blocks, or clusters, that run at a time. */
static int64_t resident_of(const qmmi_cuda_device *device, const qmmi_cuda_matmul_shape *shape) {
    const int64_t clusters = (int64_t)device->multiprocessors * shape->blocks_per_multiprocessor / shape->cluster;
    return clusters > 0 ? clusters : 1;
}

/* Tiles in full rounds of all blocks stay whole. What is left over is split if it is done earlier so, with what the parts
 * cost; with factors per group it is not, since the order of the floats' sum is fixed. */
qmmi_cuda_division qmmi_cuda_divide(const qmmi_cuda_device *device, const qmmi_matmul_problem *p,
                                    const qmmi_cuda_matmul_shape *shape) {
    qmmi_cuda_division d = { .tiles_m = qmmi_parts(p->m, shape->tile_m),
                             .tiles_n = qmmi_parts(p->n, shape->tile_n),
                             .resident = resident_of(device, shape),
                             .steps = (int32_t)qmmi_parts(canonical_k(p), shape->tile_k) };
    int64_t sharers, k;
    d.tiles = p->batch * d.tiles_m * d.tiles_n;
    d.full = d.tiles / d.resident;
    d.rest = d.tiles % d.resident;
    k = (int64_t)d.steps * shape->tile_k;
    sharers = qmmi_smaller(d.resident, d.rest * k / QMMI_CUDA_PART_K);
    if (shape->splits && !qmmi_grouped(p) && sharers > d.rest && d.rest * k / sharers + QMMI_CUDA_PART_K < k)
        d.sharers = sharers;
    return d;
}

qmmi_split qmmi_cuda_matmul_split(const qmm_context *context, const qmmi_matmul_problem *p,
                                  const qmmi_cuda_matmul_shape *shape) {
    const qmmi_cuda_division d = qmmi_cuda_divide(qmmi_cuda_device_of(context), p, shape);
    return (qmmi_split){ d.sharers ? d.rest : 0, d.sharers };
}

static void divide(const qmm_context *context, const qmmi_cuda_matmul_shape *shape, qmmi_cuda_matmul *m) {
    const qmmi_cuda_division d = qmmi_cuda_divide(qmmi_cuda_device_of(context), &m->p, shape);
    m->tiles_m = d.tiles_m;
    m->tiles_n = d.tiles_n;
    m->steps = d.steps;
    m->split_tiles = d.sharers ? (int32_t)d.rest : 0;
    m->split_blocks = (int32_t)d.sharers;
    m->whole_tiles = d.tiles - m->split_tiles;
    m->blocks = qmmi_smaller(d.resident, m->whole_tiles);
    if (m->blocks < m->split_blocks) m->blocks = m->split_blocks;
}

/* ---- the plan ---------------------------------------------------------------------------------------------------- */

static size_t part(size_t *end, bool needed, int64_t bytes) {
    const size_t start = *end;
    if (needed) *end += qmmi_round_up((size_t)bytes, QMMI_ALIGNMENT);
    return start;
}

void qmmi_cuda_matmul_plan(const qmm_context *context, const qmmi_matmul_problem *p,
                           const qmmi_cuda_matmul_shape *shape, qmmi_cuda_plan *s) {
    qmmi_cuda_matmul *m = &s->m;
    *s = (qmmi_cuda_plan){ .m.p = *p };
    m->group_k = qmmi_group_k(p->group_size);
    m->k = canonical_k(p);
    s->needs = qmmi_cuda_matmul_needs(p, shape);
    m->corrects_a = s->needs.corrects_a;
    m->corrects_b = s->needs.corrects_b;
    m->a = s->needs.pack_a ? rewritten_operand(&p->a, p->m, m->k) : direct_operand(p, &p->a, p->m, m->k);
    m->b = s->needs.pack_b ? rewritten_operand(&p->b, s->needs.b_rows, m->k) : direct_operand(p, &p->b, p->n, m->k);
    if (s->needs.unsigned_a) m->a.is_unsigned = true, m->a.recenter = 0;
    set_sums(p, &p->a, p->m, &m->a);
    set_sums(p, &p->b, p->n, &m->b);
    divide(context, shape, m);
    s->a_codes = part(&s->bytes, s->needs.pack_a, qmmi_matrices_of(p, &p->a) * p->m * m->k);
    s->b_codes = part(&s->bytes, s->needs.pack_b, qmmi_matrices_of(p, &p->b) * s->needs.b_rows * m->k);
    s->a_sums = part(&s->bytes, s->needs.sum_a, qmmi_matrices_of(p, &p->a) * p->groups * p->m * 4);
    s->b_sums = part(&s->bytes, s->needs.sum_b, qmmi_matrices_of(p, &p->b) * p->groups * p->n * 4);
    s->partials = part(&s->bytes, true, (int64_t)m->split_tiles * shape->tile_m * shape->tile_n * 4);
    s->arrived = part(&s->bytes, true, (int64_t)m->split_tiles * shape->arrivals * 4);
}

size_t qmmi_cuda_matmul_workspace(const qmm_context *context, const qmmi_matmul_problem *p,
                                  const qmmi_cuda_matmul_shape *shape) {
    qmmi_cuda_plan s;
    qmmi_cuda_matmul_plan(context, p, shape, &s);
    return s.bytes;
}

void qmmi_cuda_matmul_place(qmmi_cuda_plan *s, void *workspace, size_t workspace_offset) {
    unsigned char *const base = (unsigned char *)workspace + workspace_offset;
    qmmi_cuda_matmul *const m = &s->m;
    if (s->needs.pack_a) m->a.codes = base + s->a_codes;
    if (s->needs.pack_b) m->b.codes = base + s->b_codes;
    if (s->needs.sum_a) m->a.sums = (const int32_t *)(const void *)(base + s->a_sums);
    if (s->needs.sum_b) m->b.sums = (const int32_t *)(const void *)(base + s->b_sums);
    m->partials = (int32_t *)(void *)(base + s->partials);
    m->arrived = (uint32_t *)(void *)(base + s->arrived);
}

/* ---- what is queued ---------------------------------------------------------------------------------------------- */

/* Blocks of a kernel whose blocks go on to further items. */
static int64_t grid(int64_t items) {
    return qmmi_smaller(items, INT32_MAX);
}

qmm_status qmmi_cuda_run_pack(qmm_context *context, const qmmi_cuda_pack *pack) {
    const int64_t tiles = pack->matrices * qmmi_parts(pack->target_outer, QMMI_CUDA_PACK_OUTER) *
                          qmmi_parts(pack->target_k, QMMI_CUDA_PACK_K);
    if (tiles == 0) return QMM_OK;
    return qmmi_cuda_launch(context, QMMI_CUDA_matmul_pack_kernel, grid(tiles), QMMI_CUDA_PACK_THREADS, 0, pack);
}

qmm_status qmmi_cuda_run_sums(qmm_context *context, qmmi_cuda_sums *sums) {
    const int64_t items = sums->outer * sums->groups * sums->matrices;
    /* 16 bytes a lane and turn */
    sums->lanes = 1;
    while (sums->lanes < 32 && sums->lanes * 16 < sums->group_k * sums->from.bits / 8) sums->lanes *= 2;
    if (items == 0) return QMM_OK;
    return qmmi_cuda_launch(context, QMMI_CUDA_matmul_sums_kernel,
                            grid(qmmi_parts(items, QMMI_CUDA_SUMS_THREADS / sums->lanes)), QMMI_CUDA_SUMS_THREADS, 0,
                            sums);
}

static qmm_status pack(qmm_context *context, const qmmi_matmul_problem *p, const qmmi_operand *o, int64_t outer,
                       int64_t rows, const qmmi_cuda_matmul *m, const qmmi_cuda_operand *to) {
    const qmmi_cuda_pack work = { .from = *o,
                                  .outer = outer,
                                  .k = p->k,
                                  .matrices = qmmi_matrices_of(p, o),
                                  .from_group = qmmi_packed_group(p),
                                  .group_size = p->group_size,
                                  .group_k = m->group_k,
                                  .target_k = m->k,
                                  .target_outer = rows,
                                  .codes = (void *)(uintptr_t)to->codes,
                                  .outer_stride = to->outer_stride,
                                  .batch_stride = to->batch_stride,
                                  .bits = to->bits,
                                  .recenter = to->recenter };
    return qmmi_cuda_run_pack(context, &work);
}

static qmm_status sum(qmm_context *context, const qmmi_matmul_problem *p, const qmmi_operand *o, int64_t outer,
                      const qmmi_cuda_matmul *m, const qmmi_cuda_operand *from) {
    qmmi_cuda_sums work = { .from = *from,
                            .outer = outer,
                            .groups = p->groups,
                            .matrices = qmmi_matrices_of(p, o),
                            .group_size = p->group_size,
                            .group_k = m->group_k,
                            .sums = (int32_t *)(uintptr_t)from->sums,
                            .outer_stride = from->sums_outer_stride,
                            .group_stride = from->sums_group_stride,
                            .batch_stride = from->sums_batch_stride };
    return qmmi_cuda_run_sums(context, &work);
}

qmm_status qmmi_cuda_matmul_queue(qmm_context *context, const qmmi_cuda_plan *s, void *workspace,
                                  size_t workspace_offset) {
    const qmmi_cuda_matmul *const m = &s->m;
    const qmmi_matmul_problem *const p = &m->p;
    if (s->needs.pack_a) QMMI_TRY(pack(context, p, &p->a, p->m, p->m, m, &m->a));
    if (s->needs.pack_b) QMMI_TRY(pack(context, p, &p->b, p->n, s->needs.b_rows, m, &m->b));
    if (s->needs.sum_a) QMMI_TRY(sum(context, p, &p->a, p->m, m, &m->a));
    if (s->needs.sum_b) QMMI_TRY(sum(context, p, &p->b, p->n, m, &m->b));
    if (m->split_tiles > 0)
        QMMI_TRY(qmmi_cuda_clear(context, workspace, workspace_offset + s->partials, s->bytes - s->partials));
    return QMM_OK;
}

qmm_status qmmi_cuda_matmul_prepare(qmm_context *context, const qmmi_matmul_problem *p,
                                    const qmmi_cuda_matmul_shape *shape, void *workspace, size_t workspace_offset,
                                    qmmi_cuda_matmul *m) {
    qmmi_cuda_plan s;
    qmmi_cuda_matmul_plan(context, p, shape, &s);
    qmmi_cuda_matmul_place(&s, workspace, workspace_offset);
    QMMI_TRY(qmmi_cuda_matmul_queue(context, &s, workspace, workspace_offset));
    *m = s.m;
    return QMM_OK;
}
