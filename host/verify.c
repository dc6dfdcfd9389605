/* SPDX-License-Identifier: Apache-2.0
 *
 * Freivalds' check of a matmul, over the prime field of p = 2^61 - 1.
 *
 * For a vector r of N uniform elements of the field, A (B r) = C r holds if C = A B. If some c[i,j] is wrong, row i of
 * A B - C has an entry d with 0 < |d| < p, and for any choice of the other elements of r just one value of r[j] makes
 * the row vanish: a wrong row passes one round with probability at most 1 / p. Zero points come out of each operand
 * first, so C is the exact integer accumulator.
 *
 * An output that is no accumulator is checked in two steps: the context's own kernels make the accumulators, block by
 * block; these are checked as above; then the epilogue of the specification is applied to them and compared bit for
 * bit. K is taken in pieces: one per group, none longer than int32 allows. */
#include <string.h>

#include "context.h"
#include "cpu/element.h"
#include "cpu/epilogue.h"
#include "host_view.h"
#include "kernel.h"

/* ---- the field --------------------------------------------------------------------------------------------------- */

#define PRIME ((UINT64_C(1) << 61) - 1)

__extension__ typedef __int128 wide; /* sums of 2^31 products of a code (9 bits) and an element (61 bits) fit */

static uint64_t reduce(wide x) {
    const wide p = (wide)PRIME;
    const wide rest = x % p;
    return (uint64_t)(rest < 0 ? rest + p : rest);
}

/* splitmix64 (Steele, Lea, Flood 2014), the top 61 bits, what is not below p drawn again: uniform. */
static uint64_t draw(uint64_t *state) {
    for (;;) {
        uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        z = (z ^ (z >> 31)) >> 3;
        if (z < PRIME) return z;
    }
}

/* ---- the problem, as the host reads it --------------------------------------------------------------------------- */

enum { VIEWS_MAX = 12, ROUNDS_MAX = 64, BLOCK_ELEMENTS = 1 << 20 };

typedef struct verifier {
    qmmi_call call;
    const qmmi_matmul_problem *device; /* as a kernel takes it */
    qmmi_matmul_problem host;          /* the same, its memory readable here */
    qmmi_host_view views[VIEWS_MAX];
    int view_count;
    int rounds;
    uint64_t *r, *u;   /* rounds x N random elements; rounds x K elements of B r */
    size_t vector_bytes;
    qmm_verify_result *result;

    /* Only for outputs that are no accumulators: a block of rows. */
    int64_t block_rows;
    void *device_acc;
    int32_t *acc;      /* block_rows x N of one piece */
    int64_t *wide_acc; /* block_rows x N of one group, or of all K */
    float *y;          /* block_rows x N: the groups' sum */
    unsigned char *row; /* N elements of C */
    size_t block_bytes; /* of the four together */
} verifier;

/* Replaces native memory by host memory; `offset` then counts from there. */
static qmm_status bring(verifier *v, void **memory, size_t *offset, size_t bytes) {
    qmmi_host_view *view = &v->views[v->view_count];
    if (!*memory) return QMM_OK;
    QMMI_TRY(qmmi_host_view_open(v->call.context, v->call.function, *memory, *offset, bytes, view));
    v->view_count++;
    *memory = (void *)(uintptr_t)view->base;
    *offset = 0;
    return QMM_OK;
}

static qmm_status bring_param(verifier *v, qmmi_param *p) {
    return bring(v, &p->memory, &p->offset, p->bytes);
}

static qmm_status bring_operand(verifier *v, qmmi_operand *o) {
    QMMI_TRY(bring_param(v, &o->scale));
    QMMI_TRY(bring_param(v, &o->zero));
    if (o->packed && o->memory && !v->call.context->backend->host_view(o->memory))
        return qmmi_fail(v->call.context, QMM_UNSUPPORTED, v->call.function,
                         "weights of desc are packed in a layout of this device: give b itself");
    return bring(v, &o->memory, &o->offset, o->bytes);
}

static qmm_status bring_problem(verifier *v) {
    qmmi_matmul_problem *p = &v->host;
    *p = *v->device;
    QMMI_TRY(bring_operand(v, &p->a));
    QMMI_TRY(bring_operand(v, &p->b));
    QMMI_TRY(bring_param(v, &p->bias));
    QMMI_TRY(bring_param(v, &p->c_quant.scale));
    QMMI_TRY(bring_param(v, &p->c_quant.zero));
    QMMI_TRY(bring(v, &p->residual.memory, &p->residual.offset, p->residual.bytes));
    return bring(v, &p->c.memory, &p->c.offset, p->c.bytes);
}

static int32_t code_at(const qmmi_operand *o, int64_t batch, int64_t outer, int64_t k) {
    return qmmi_cpu_load_code(o->type, qmmi_cpu_at(o->memory, o->offset),
                              batch * o->batch_stride + outer * o->outer_stride + k * o->k_stride);
}

static int32_t zero_at(const qmmi_operand *o, int64_t batch, int64_t outer, int64_t group) {
    return qmmi_cpu_zero(&o->zero, o->zero_min, o->zero_max, batch, outer, group);
}

/* ---- the check --------------------------------------------------------------------------------------------------- */

static int64_t group_of(const qmmi_matmul_problem *p, int64_t k) {
    return p->group_size > 0 ? k / p->group_size : 0;
}

/* u[k] = sum over j of (b[k,j] - zb) r[j], a run of k at a time: whichever way B lies, its cache lines are used whole. */
static void multiply_by_r(const verifier *v, int64_t batch, const uint64_t *r, uint64_t *u) {
    enum { RUN = 64 };
    const qmmi_matmul_problem *p = &v->host;
    for (int64_t k0 = 0; k0 < p->k; k0 += RUN) {
        const int64_t end = k0 + RUN < p->k ? k0 + RUN : p->k;
        wide sums[RUN] = { 0 };
        for (int64_t j = 0; j < p->n; j++)
            for (int64_t k = k0; k < end; k++)
                sums[k - k0] +=
                    (wide)(code_at(&p->b, batch, j, k) - zero_at(&p->b, batch, j, group_of(p, k))) * (wide)r[j];
        for (int64_t k = k0; k < end; k++) u[k] = reduce(sums[k - k0]);
    }
}

/* r, and u = (B - zb) r, for one matrix of the batch. */
static void draw_vectors(verifier *v, int64_t batch, uint64_t *state) {
    const qmmi_matmul_problem *p = &v->host;
    for (int round = 0; round < v->rounds; round++) {
        uint64_t *r = v->r + round * p->n;
        for (int64_t j = 0; j < p->n; j++) r[j] = draw(state);
        multiply_by_r(v, batch, r, v->u + round * p->k);
    }
}

/* Does row i of the accumulators over k0 .. k0 + length agree? */
static bool row_holds(const verifier *v, int64_t batch, int64_t i, int64_t k0, int64_t length, const int32_t *acc) {
    const qmmi_matmul_problem *p = &v->host;
    for (int round = 0; round < v->rounds; round++) {
        const uint64_t *r = v->r + round * p->n, *u = v->u + round * p->k;
        wide left = 0, right = 0;
        for (int64_t k = k0; k < k0 + length; k++)
            left += (wide)(code_at(&p->a, batch, i, k) - zero_at(&p->a, batch, i, group_of(p, k))) * (wide)u[k];
        for (int64_t j = 0; j < p->n; j++) right += (wide)acc[j] * (wide)r[j];
        if (reduce(left) != reduce(right)) return false;
    }
    return true;
}

static void report(verifier *v, int64_t batch, int64_t row, int64_t col) {
    qmm_verify_result *result = v->result;
    if (result->wrong_rows++ > 0) return;
    result->passed = 0;
    result->batch = batch;
    result->row = row;
    result->col = col;
}

static void verify_accumulators(verifier *v, int64_t batch) {
    const qmmi_matmul_problem *p = &v->host;
    const int32_t *c = (const int32_t *)(const void *)qmmi_cpu_at(p->c.memory, p->c.offset);
    for (int64_t i = 0; i < p->m; i++)
        if (!row_holds(v, batch, i, 0, p->k, c + qmmi_cpu_index(&p->c, batch, i, 0))) report(v, batch, i, -1);
}

/* ---- outputs behind an epilogue ---------------------------------------------------------------------------------- */

static void move_param(qmmi_param *p, int64_t elements) {
    if (p->memory) p->offset += (size_t)elements * (size_t)qmm_type_bits(p->type) / 8;
}

/* Does an operand's element lie on a byte of its own? Where it does not, a piece cannot begin with it. */
static bool begins_on_a_byte(const qmmi_operand *o, int64_t batch, int64_t outer, int64_t k0) {
    const int64_t elements = batch * o->batch_stride + outer * o->outer_stride + k0 * o->k_stride;
    return qmm_type_bits(o->type) != 4 || elements % 2 == 0;
}

/* One operand of a piece: its rows from `outer` on, its codes from k0 on, its parameters of one group. */
static void cut_operand(qmmi_operand *o, int64_t batch, int64_t outer, int64_t k0, int64_t group) {
    o->offset += (size_t)(batch * o->batch_stride + outer * o->outer_stride + k0 * o->k_stride) *
                 (size_t)qmm_type_bits(o->type) / 8;
    move_param(&o->zero, batch * o->zero.batch_stride + outer * o->zero.row_stride + group * o->zero.col_stride);
    o->zero.col_stride = 0;
    o->scale = (qmmi_param){ .real_value = 1.0f };
    o->sums.memory = NULL;
    o->grouped = false;
}

/* The accumulators of a block, made here: for a piece that begins inside a byte. */
static void accumulate_here(verifier *v, int64_t batch, int64_t i, int64_t rows, int64_t k0, int64_t length) {
    const qmmi_matmul_problem *p = &v->host;
    const int64_t group = group_of(p, k0);
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t j = 0; j < p->n; j++) {
            const int32_t za = zero_at(&p->a, batch, i + r, group), zb = zero_at(&p->b, batch, j, group);
            int32_t sum = 0;
            for (int64_t k = k0; k < k0 + length; k++)
                sum += (code_at(&p->a, batch, i + r, k) - za) * (code_at(&p->b, batch, j, k) - zb);
            v->acc[r * p->n + j] = sum;
        }
    }
}

/* The accumulators of a block of rows over k0 .. k0 + length, by the context's own kernels. */
static qmm_status accumulate_on_device(verifier *v, int64_t batch, int64_t i, int64_t rows, int64_t k0,
                                       int64_t length) {
    const qmmi_matmul_problem *p = v->device;
    const int64_t group = group_of(p, k0);
    const size_t bytes = (size_t)(rows * p->n) * sizeof(int32_t);
    qmmi_problem piece = { .operation = QMMI_MATMUL, .as.matmul = {
        .m = rows, .n = p->n, .k = length, .batch = 1, .a = p->a, .b = p->b, .group_size = length, .groups = 1,
        .k_limit = p->k_limit,
        .c = { .memory = v->device_acc, .type = QMM_S32, .rows = rows, .cols = p->n, .row_stride = p->n, .batch = 1 },
    } };
    cut_operand(&piece.as.matmul.a, batch, i, k0, p->a.grouped ? group : 0);
    cut_operand(&piece.as.matmul.b, batch, 0, k0, p->b.grouped ? group : 0);
    QMMI_TRY(qmmi_run(&v->call, &piece, NULL));
    return v->call.context->backend->download(v->call.context, v->device_acc, 0, v->acc, bytes, true);
}

/* ... into v->acc, checked. */
static qmm_status make_accumulators(verifier *v, int64_t batch, int64_t i, int64_t rows, int64_t k0, int64_t length) {
    const qmmi_matmul_problem *p = &v->host;
    if (begins_on_a_byte(&v->device->b, batch, 0, k0))
        QMMI_TRY(accumulate_on_device(v, batch, i, rows, k0, length));
    else
        accumulate_here(v, batch, i, rows, k0, length);
    for (int64_t r = 0; r < rows; r++)
        if (!row_holds(v, batch, i + r, k0, length, v->acc + r * p->n))
            return qmmi_fail(v->call.context, QMM_INTERNAL, v->call.function,
                             "the accumulators this context made for row %lld fail Freivalds' check",
                             (long long)(i + r));
    return QMM_OK;
}

static int64_t chunk_at(const qmmi_matmul_problem *p, int64_t j) {
    return p->n - j < QMMI_CPU_RUN ? p->n - j : QMMI_CPU_RUN;
}

/* First element of the row that differs from C, -1 if none. The expected row is in v->row. */
static int64_t first_difference(const verifier *v, int64_t batch, int64_t i) {
    const qmmi_view *c = &v->host.c;
    const unsigned char *base = qmmi_cpu_at(c->memory, c->offset);
    const int64_t start = qmmi_cpu_index(c, batch, i, 0);
    const bool real = c->type == QMM_F32 || c->type == QMM_F16 || c->type == QMM_BF16;
    for (int64_t j = 0; j < c->cols; j++) {
        if (real) {
            const float x = qmmi_cpu_load_real(c->type, v->row, j), y = qmmi_cpu_load_real(c->type, base, start + j);
            if (QMMN_AS_UINT(x) != QMMN_AS_UINT(y) && (x == x || y == y)) return j;
        } else if (qmmi_cpu_load_code(c->type, v->row, j) != qmmi_cpu_load_code(c->type, base, start + j)) {
            return j;
        }
    }
    return -1;
}

/* Epilogue of the block's rows, compared with C. */
static void compare_block(verifier *v, int64_t batch, int64_t i, int64_t rows) {
    qmmi_matmul_problem p = v->host;
    p.c.memory = v->row; /* one row, whatever its number */
    p.c.offset = 0;
    p.c.row_stride = p.c.batch_stride = 0;
    for (int64_t r = 0; r < rows; r++) {
        int64_t col;
        for (int64_t j = 0; j < p.n; j += QMMI_CPU_RUN) {
            if (qmmi_cpu_grouped(&p))
                qmmi_cpu_epilogue_finish(&p, batch, i + r, j, chunk_at(&p, j), v->y + r * p.n + j);
            else
                qmmi_cpu_epilogue(&p, batch, i + r, j, chunk_at(&p, j), v->wide_acc + r * p.n + j);
        }
        col = first_difference(v, batch, i + r);
        if (col >= 0) report(v, batch, i + r, col);
    }
}

/* The sums of a group are whole: add them to y. */
static void add_group(verifier *v, int64_t batch, int64_t i, int64_t rows, int64_t group) {
    const qmmi_matmul_problem *p = &v->host;
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t j = 0; j < p->n; j += QMMI_CPU_RUN) {
            float term[QMMI_CPU_RUN];
            for (int64_t n = 0; n < chunk_at(p, j); n++) term[n] = (float)v->wide_acc[r * p->n + j + n];
            qmmi_cpu_epilogue_add_group(p, batch, i + r, j, chunk_at(p, j), group, term, v->y + r * p->n + j);
        }
    }
    memset(v->wide_acc, 0, (size_t)(rows * p->n) * sizeof *v->wide_acc);
}

static qmm_status verify_block(verifier *v, int64_t batch, int64_t i, int64_t rows) {
    const qmmi_matmul_problem *p = &v->host;
    memset(v->wide_acc, 0, (size_t)(rows * p->n) * sizeof *v->wide_acc);
    memset(v->y, 0, (size_t)(rows * p->n) * sizeof *v->y);
    for (int64_t group = 0; group < p->groups; group++) {
        const int64_t end = (group + 1) * p->group_size;
        for (int64_t k0 = group * p->group_size, length; k0 < end; k0 += length) {
            length = end - k0 < p->k_limit ? end - k0 : p->k_limit - p->k_limit % 2; /* even: see begins_on_a_byte */
            QMMI_TRY(make_accumulators(v, batch, i, rows, k0, length));
            for (int64_t n = 0; n < rows * p->n; n++) v->wide_acc[n] += v->acc[n];
        }
        if (qmmi_cpu_grouped(p)) add_group(v, batch, i, rows, group);
    }
    compare_block(v, batch, i, rows);
    return QMM_OK;
}

/* ---- memory and the whole ---------------------------------------------------------------------------------------- */

static qmm_status no_memory(const verifier *v) {
    return qmmi_fail(v->call.context, QMM_OUT_OF_MEMORY, v->call.function, "no memory to verify in");
}

static qmm_status allocate_vectors(verifier *v) {
    const qmmi_matmul_problem *p = &v->host;
    v->vector_bytes = (size_t)v->rounds * (size_t)(p->n + p->k) * sizeof(uint64_t);
    v->r = qmmi_allocate(v->call.context, v->vector_bytes);
    if (!v->r) return no_memory(v);
    v->u = v->r + v->rounds * p->n;
    return QMM_OK;
}

static qmm_status allocate_block(verifier *v) {
    const qmmi_matmul_problem *p = &v->host;
    qmm_context *context = v->call.context;
    size_t elements;
    unsigned char *block;
    v->block_rows = BLOCK_ELEMENTS / p->n > 1 ? BLOCK_ELEMENTS / p->n : 1;
    if (v->block_rows > p->m) v->block_rows = p->m;
    elements = (size_t)(v->block_rows * p->n);
    v->block_bytes = elements * (sizeof *v->wide_acc + sizeof *v->acc + sizeof *v->y) + (size_t)p->n * 4;
    QMMI_TRY(qmmi_allocate_device(context, v->call.function, "accumulators", elements * sizeof(int32_t),
                                  &v->device_acc));
    block = qmmi_allocate(context, v->block_bytes);
    v->wide_acc = (int64_t *)(void *)block;
    if (!block) return no_memory(v);
    v->acc = (int32_t *)(void *)(v->wide_acc + elements);
    v->y = (float *)(void *)(v->acc + elements);
    v->row = (unsigned char *)(v->y + elements);
    return QMM_OK;
}

static void free_verifier(verifier *v) {
    qmm_context *context = v->call.context;
    for (int i = 0; i < v->view_count; i++) qmmi_host_view_close(context, &v->views[i]);
    qmmi_release(context, v->r, v->vector_bytes);
    if (v->device_acc)
        context->backend->release(context, v->device_acc,
                                  (size_t)(v->block_rows * v->host.n) * sizeof(int32_t));
    qmmi_release(context, v->wide_acc, v->block_bytes);
}

static qmm_status verify(verifier *v, uint64_t seed) {
    const qmmi_matmul_problem *p = &v->host;
    const bool accumulators = v->device->c.type == QMM_S32 && !v->device->bias.memory;
    QMMI_TRY(bring_problem(v));
    if (p->m == 0 || p->n == 0) return QMM_OK;
    QMMI_TRY(allocate_vectors(v));
    if (!accumulators) QMMI_TRY(allocate_block(v));
    for (int64_t batch = 0; batch < p->batch; batch++) {
        draw_vectors(v, batch, &seed);
        if (accumulators) {
            verify_accumulators(v, batch);
            continue;
        }
        for (int64_t i = 0; i < p->m; i += v->block_rows)
            QMMI_TRY(verify_block(v, batch, i, p->m - i < v->block_rows ? p->m - i : v->block_rows));
    }
    return QMM_OK;
}

qmm_status qmm_verify_matmul(qmm_context *context, const qmm_matmul_desc *desc, const qmm_tensor *a,
                             const qmm_tensor *b, const qmm_tensor *c, const qmm_verify_options *given,
                             qmm_verify_result *result) {
    qmm_verify_options options = QMM_VERIFY_OPTIONS_INIT;
    qmm_verify_result found = QMM_VERIFY_RESULT_INIT;
    verifier v = { .call = { context, __func__, false }, .result = &found };
    qmm_matmul_desc checked;
    qmmi_problem problem;
    const qmmi_matmul_problem *p = &problem.as.matmul;
    qmm_status status;
    QMMI_ENTER_WAITING(context);
    QMMI_REQUIRE(context, result, "result is NULL");
    QMMI_CHECK_RESULT(context, result, QMMI_OLDEST_VERIFY_RESULT);
    QMMI_TRY(qmmi_read_struct(context, __func__, "options", given, &options, sizeof options,
                              QMMI_OLDEST_VERIFY_OPTIONS));
    QMMI_REQUIRE(context, options.rounds >= 1 && options.rounds <= ROUNDS_MAX,
                 "rounds %lld of options is not between 1 and %d", (long long)options.rounds, (int)ROUNDS_MAX);
    QMMI_TRY(qmmi_check_matmul(&v.call, desc, a, b, c, &checked, &problem));
    QMMI_REQUIRE(context, !qmmi_residual_is_c(context, p),
                 "residual of desc is c itself: what was added is no longer there");
    v.device = p;
    v.rounds = (int)options.rounds;
    found.passed = 1;
    found.rounds = (int32_t)options.rounds;
    status = verify(&v, options.seed);
    free_verifier(&v);
    if (status == QMM_OK) qmmi_write_struct(result, &found, sizeof found);
    return status;
}
