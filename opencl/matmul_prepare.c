/* SPDX-License-Identifier: Apache-2.0
 *
 * The canonical form of a matmul (host/canonical.h): what of it is there already, and what must be made. A plan is made
 * twice, for the size of the workspace and for the run, and is the same both times. */
#include "matmul_prepare.h"

#include "../host/checked.h"
#include "../host/context.h"

_Static_assert(sizeof(qmmi_cl_codes) % 8 == 0 && sizeof(qmmi_cl_matmul) % 8 == 0 && sizeof(qmmi_cl_pack) % 8 == 0 &&
                   sizeof(qmmi_cl_sums) % 8 == 0,
               "no padding that two compilers could see differently");
_Static_assert(sizeof(qmmi_cl_matmul) + QMMI_CL_MATMUL_MEMORY * 8 <= 1024,
               "every device takes 1024 bytes of arguments");

typedef struct plan {
    qmmi_cl_matmul m;                        /* but for offsets in the workspace */
    int64_t a_rows, b_rows;                  /* of the canonical form: M and N, or more */
    bool pack_a, pack_b, sum_a, sum_b;       /* what prepare makes ... */
    size_t a_codes, b_codes, a_sums, b_sums; /* ... and where in the workspace */
    size_t bytes;
} plan;

/* ---- operands ---------------------------------------------------------------------------------------------------- */

/* A cl_mem begins at a multiple of 128 bytes at least. */
static bool is_multiple_of_16(const qmmi_operand *o, int64_t outer) {
    return o->offset % 16 == 0 && (outer == 1 || o->outer_stride % 16 == 0) && o->batch_stride % 16 == 0;
}

/* rows: how many the canonical form has of the `outer`. */
static bool is_direct(const qmmi_matmul_problem *p, const qmmi_operand *o, int64_t outer, int64_t rows,
                      const qmmi_opencl_matmul_shape *shape) {
    if (!is_multiple_of_16(o, outer) || rows != outer) return false;
    if (o->packed)
        return (qmm_type_bits(o->type) == 8 || shape->packed_4bit) &&
               (qmmi_packed_group(p) == p->group_size || qmmi_groups_lie_direct(p));
    return o->type == QMM_S8 && o->k_stride == 1 && p->k % QMMI_K_ALIGNMENT == 0 && qmmi_groups_lie_direct(p);
}

static qmmi_cl_codes direct_codes(const qmmi_operand *o, int64_t outer) {
    return (qmmi_cl_codes){ .offset = (cl_long)o->offset,
                            .outer_stride = outer == 1 ? 0 : o->outer_stride,
                            .batch_stride = o->batch_stride,
                            .bits = o->packed && qmm_type_bits(o->type) == 4 ? 4 : 8,
                            .recenter = qmmi_recenter(o->type) };
}

static qmmi_cl_codes rewritten_codes(const qmmi_operand *o, int64_t rows, int64_t k) {
    return (qmmi_cl_codes){
        .outer_stride = k, .batch_stride = o->batch_stride ? rows * k : 0, .bits = 8, .recenter = qmmi_recenter(o->type)
    };
}

static void set_sums(const qmmi_matmul_problem *p, const qmmi_operand *o, int64_t outer, qmmi_cl_codes *to) {
    if (qmmi_sums_came(p, o)) {
        to->sums_offset = (cl_long)o->sums.offset;
        to->sums_outer_stride = o->sums.row_stride;
        to->sums_group_stride = o->sums.col_stride;
        to->sums_batch_stride = o->sums.batch_stride;
        return;
    }
    to->sums_outer_stride = 1;
    to->sums_group_stride = outer;
    to->sums_batch_stride = o->batch_stride ? p->groups * outer : 0;
}

/* ---- the plan ---------------------------------------------------------------------------------------------------- */

static size_t part(size_t *end, bool needed, int64_t bytes) {
    const size_t start = *end;
    if (needed) *end += qmmi_round_up((size_t)bytes, QMMI_ALIGNMENT);
    return start;
}

static int64_t rows_of(int64_t outer, int32_t multiple) {
    return multiple > 1 ? qmmi_parts(outer, multiple) * multiple : outer;
}

/* Gives the problem's own memory; prepare puts the workspace in its place where it is used. */
static void make_plan(const qmmi_matmul_problem *p, const qmmi_opencl_matmul_shape *shape, plan *s,
                      qmmi_opencl_memory memory[QMMI_CL_MATMUL_MEMORY]) {
    qmmi_cl_matmul *m = &s->m;
    *s = (plan){ 0 };
    qmmi_opencl_matmul_problem(p, &m->p, memory);
    m->group_k = qmmi_group_k(p->group_size);
    m->k = p->groups * m->group_k;
    m->corrects_a = qmmi_zero_matters(&p->a);
    m->corrects_b = qmmi_zero_matters(&p->b);
    m->grouped = qmmi_grouped(p);
    s->a_rows = rows_of(p->m, shape->m_multiple);
    s->b_rows = rows_of(p->n, shape->n_multiple);
    s->pack_a = !is_direct(p, &p->a, p->m, s->a_rows, shape);
    s->pack_b = !is_direct(p, &p->b, p->n, s->b_rows, shape);
    s->sum_a = m->corrects_b && !qmmi_sums_came(p, &p->a);
    s->sum_b = m->corrects_a && !qmmi_sums_came(p, &p->b);
    m->a = s->pack_a ? rewritten_codes(&p->a, s->a_rows, m->k) : direct_codes(&p->a, p->m);
    m->b = s->pack_b ? rewritten_codes(&p->b, s->b_rows, m->k) : direct_codes(&p->b, p->n);
    set_sums(p, &p->a, p->m, &m->a);
    set_sums(p, &p->b, p->n, &m->b);
    s->a_codes = part(&s->bytes, s->pack_a, qmmi_matrices_of(p, &p->a) * s->a_rows * m->k);
    s->b_codes = part(&s->bytes, s->pack_b, qmmi_matrices_of(p, &p->b) * s->b_rows * m->k);
    s->a_sums = part(&s->bytes, s->sum_a, qmmi_matrices_of(p, &p->a) * p->groups * p->m * 4);
    s->b_sums = part(&s->bytes, s->sum_b, qmmi_matrices_of(p, &p->b) * p->groups * p->n * 4);
}

const char *qmmi_opencl_matmul_accepts(const qmm_context *context, const qmmi_matmul_problem *p) {
    if (p->groups > qmmi_opencl_groups_in(qmmi_opencl_device_of(context)->max_turns))
        return "this driver stops work-items that have so many groups to do";
    return qmmi_canonical_accepts(p);
}

size_t qmmi_opencl_matmul_workspace(const qmm_context *context, const qmmi_matmul_problem *p,
                                    const qmmi_opencl_matmul_shape *shape) {
    qmmi_opencl_memory memory[QMMI_CL_MATMUL_MEMORY];
    plan s;
    (void)context;
    make_plan(p, shape, &s, memory);
    return s.bytes;
}

/* ---- what is queued ---------------------------------------------------------------------------------------------- */

qmm_status qmmi_opencl_run_pack(qmm_context *context, const qmmi_cl_pack *pack, qmmi_opencl_memory from,
                                qmmi_opencl_memory target) {
    const int64_t blocks = pack->across ? qmmi_parts(pack->target_outer, QMMI_CL_PACK_ROWS) : pack->target_outer;
    const int64_t items = pack->matrices * blocks * pack->target_runs;
    const qmmi_opencl_grid grid = { .groups = { qmmi_parts(items, QMMI_CL_PACK_ITEMS), 1, 1 },
                                    .local = { QMMI_CL_PACK_ITEMS, 1, 1 } };
    const qmmi_opencl_memory memory[2] = { from, target };
    if (items == 0) return QMM_OK;
    return qmmi_opencl_launch(context, QMMI_OPENCL_matmul_prepare_matmul_pack_kernel, &grid, pack, sizeof *pack, memory,
                              2);
}

qmm_status qmmi_opencl_run_sums(qmm_context *context, qmmi_cl_sums *sums, qmmi_opencl_memory codes,
                                qmmi_opencl_memory to) {
    const int64_t items = sums->outer * sums->groups * sums->matrices;
    const qmmi_opencl_memory memory[2] = { codes, to };
    qmmi_opencl_grid grid = { .groups = { 1, 1, 1 }, .local = { QMMI_CL_SUMS_ITEMS, 1, 1 } };
    if (items == 0) return QMM_OK;
    /* 16 bytes a lane and turn; a CPU reads a row best from one lane. */
    sums->lanes = 1;
    if (!(context->capabilities & QMMI_OPENCL_CPU))
        while (sums->lanes < QMMI_CL_SUMS_ITEMS && sums->lanes * 16 < sums->group_k * sums->from.bits / 8)
            sums->lanes *= 2;
    grid.groups[0] = qmmi_parts(items, QMMI_CL_SUMS_ITEMS / sums->lanes);
    return qmmi_opencl_launch(context, QMMI_OPENCL_matmul_prepare_matmul_sums_kernel, &grid, sums, sizeof *sums, memory,
                              2);
}

static qmm_status pack(qmm_context *context, const qmmi_matmul_problem *p, const qmmi_operand *o, int64_t outer,
                       int64_t rows, const qmmi_cl_matmul *m, const qmmi_cl_codes *to, qmmi_opencl_memory target) {
    const qmmi_cl_pack work = { .from = qmmi_opencl_operand(o),
                                .outer = outer,
                                .matrices = qmmi_matrices_of(p, o),
                                .from_group = o->packed ? qmmi_packed_group(p) : 0,
                                .group_size = p->group_size,
                                .group_runs = m->group_k / QMMI_CL_PACK_RUN,
                                .target_runs = m->k / QMMI_CL_PACK_RUN,
                                .target_outer = rows,
                                .offset = to->offset,
                                .outer_stride = to->outer_stride,
                                .batch_stride = to->batch_stride,
                                .bits = to->bits,
                                .recenter = to->recenter,
                                .across = !o->packed && o->k_stride != 1 };
    return qmmi_opencl_run_pack(context, &work, o->memory, target);
}

static qmm_status sum(qmm_context *context, const qmmi_matmul_problem *p, const qmmi_operand *o, int64_t outer,
                      const qmmi_cl_matmul *m, const qmmi_cl_codes *from, qmmi_opencl_memory codes,
                      qmmi_opencl_memory to) {
    qmmi_cl_sums work = { .from = *from,
                          .outer = outer,
                          .groups = p->groups,
                          .matrices = qmmi_matrices_of(p, o),
                          .group_size = p->group_size,
                          .group_k = m->group_k };
    return qmmi_opencl_run_sums(context, &work, codes, to);
}

qmm_status qmmi_opencl_matmul_prepare(qmm_context *context, const qmmi_matmul_problem *p,
                                      const qmmi_opencl_matmul_shape *shape, void *workspace, size_t workspace_offset,
                                      qmmi_cl_matmul *m, qmmi_opencl_memory memory[QMMI_CL_MATMUL_MEMORY]) {
    plan s;
    make_plan(p, shape, &s, memory);
    *m = s.m;
    if (s.pack_a) memory[QMMI_CL_A] = workspace, m->a.offset = (cl_long)(workspace_offset + s.a_codes);
    if (s.pack_b) memory[QMMI_CL_B] = workspace, m->b.offset = (cl_long)(workspace_offset + s.b_codes);
    if (s.sum_a) memory[QMMI_CL_A_SUMS] = workspace, m->a.sums_offset = (cl_long)(workspace_offset + s.a_sums);
    if (s.sum_b) memory[QMMI_CL_B_SUMS] = workspace, m->b.sums_offset = (cl_long)(workspace_offset + s.b_sums);
    if (s.pack_a) QMMI_TRY(pack(context, p, &p->a, p->m, s.a_rows, m, &m->a, workspace));
    if (s.pack_b) QMMI_TRY(pack(context, p, &p->b, p->n, s.b_rows, m, &m->b, workspace));
    if (s.sum_a) QMMI_TRY(sum(context, p, &p->a, p->m, m, &m->a, memory[QMMI_CL_A], workspace));
    if (s.sum_b) QMMI_TRY(sum(context, p, &p->b, p->n, m, &m->b, memory[QMMI_CL_B], workspace));
    return QMM_OK;
}
