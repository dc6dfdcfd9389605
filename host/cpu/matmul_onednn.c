/* SPDX-License-Identifier: Apache-2.0
 *
 * matmul by oneDNN's integer gemm, one panel of C at a time, then the common epilogue.
 *
 * oneDNN multiplies s8 or u8 by s8. Other weights are first unpacked to s8, a block of columns at a time: u8 less 128,
 * which its zero point then answers for. With b' = b - shift and zb' = zb - shift, over a piece of K of `length`,
 *
 *     sum (a - za)(b' - zb') = sum a b' - za sum b' - zb' sum a + length za zb'
 *
 * is reckoned modulo 2^32; the result fits an int32 because a piece is no longer than the problem's k_limit.
 * The specification is matmul.c. The library is trusted only after its known-answer test: without VNNI it saturates. */
#include "../checked.h"
#include "cpu.h"
#include "element.h"
#include "epilogue.h"
#include "onednn.h"
#include "../context.h"

/* ---- the plan ---------------------------------------------------------------------------------------------------- */

/* Panels small enough to stay near the cache, large enough that packing inside oneDNN is a small part of its work. */
#define PANEL_ELEMENTS (4 << 20)
#define PANEL_ROWS_MIN 64
#define PANEL_COLS_MAX (PANEL_ELEMENTS / PANEL_ROWS_MIN)
#define UNPACKED_BYTES (16 << 20)

/* Sizes of a panel, and where its parts lie in the workspace. */
typedef struct plan {
    int64_t rows, cols; /* of a panel of C */
    int64_t piece;      /* length of K at a time */
    bool direct;        /* oneDNN writes C itself */
    bool unpack;        /* B goes through `b` */
    bool k_major;       /* B's codes lie along K in memory */
    int32_t shift;      /* taken from every code of B */
    bool wide;          /* the sums of several pieces are added in `wide_acc` */
    bool grouped;
    bool corrected; /* there are zero points, or shifts, to take out */
    bool need_a_sums;
    size_t acc, wide_acc, y, b, a_sums, b_sums, bytes;
} plan;

static size_t part(size_t *end, bool needed, int64_t count, size_t bytes) {
    const size_t start = *end;
    if (needed) *end += qmmi_round_up((size_t)count * bytes, 64);
    return start;
}

static int64_t clamp(int64_t value, int64_t low, int64_t high) {
    return value < low ? low : value > high ? high : value;
}

static plan make_plan(const qmmi_matmul_problem *p) {
    plan s = { 0 };
    s.need_a_sums = p->b.has_zero || p->b.type == QMM_U8;
    s.corrected = p->a.has_zero || s.need_a_sums;
    s.unpack = p->b.type != QMM_S8;
    s.k_major = p->b.outer_stride != 1;
    s.shift = p->b.type == QMM_U8 ? 128 : 0;
    s.grouped = qmmi_cpu_grouped(p);
    s.piece = clamp(p->k_limit, 1, p->group_size);
    s.wide = s.piece < p->group_size || (p->groups > 1 && !s.grouped);
    s.direct = p->c.type == QMM_S32 && !s.corrected && !s.unpack && !s.wide && !p->bias.memory;
    if (s.direct) {
        s.rows = p->m;
        s.cols = p->n;
        return s;
    }
    /* An even number of columns, so that a panel begins on a byte of 4-bit codes. */
    s.cols = s.unpack ? clamp(UNPACKED_BYTES / s.piece / 2 * 2, 16, PANEL_COLS_MAX) : PANEL_COLS_MAX;
    if (s.cols > p->n) s.cols = p->n;
    s.rows = clamp(PANEL_ELEMENTS / s.cols, PANEL_ROWS_MIN, p->m);
    if (s.rows > p->m) s.rows = p->m;
    s.acc = part(&s.bytes, true, s.rows * s.cols, sizeof(int32_t));
    s.wide_acc = part(&s.bytes, s.wide, s.rows * s.cols, sizeof(int64_t));
    s.y = part(&s.bytes, s.grouped, s.rows * s.cols, sizeof(float));
    s.b = part(&s.bytes, s.unpack, s.cols * s.piece, 1);
    s.a_sums = part(&s.bytes, s.need_a_sums, s.rows, sizeof(uint32_t));
    s.b_sums = part(&s.bytes, true, s.cols, sizeof(uint32_t));
    return s;
}

size_t qmmi_cpu_onednn_workspace(const qmm_context *context, const qmmi_problem *problem) {
    (void)context;
    return make_plan(&problem->as.matmul).bytes;
}

/* ---- what it takes ----------------------------------------------------------------------------------------------- */

const char *qmmi_cpu_onednn_accepts(const qmm_context *context, const qmmi_problem *problem) {
    const qmmi_matmul_problem *p = &problem->as.matmul;
    if (p->k == 0) return "K is 0";
    return qmmi_onednn_load(context->device_state);
}

const char *qmmi_cpu_onednn_declines(const qmm_context *context, const qmmi_problem *problem) {
    const qmmi_matmul_problem *p = &problem->as.matmul;
    /* Measured on 2 cores, s8 to s32, medians: 8^3 1.7 us against the reference's 1.8, 16^3 2.1 against 5.6. */
    const bool too_small = (double)p->m * (double)p->n * (double)p->k < 512.0;
    (void)context;
    return too_small ? "below 512 products the call costs more than the reference's loops" : NULL;
}

/* ---- a panel ----------------------------------------------------------------------------------------------------- */

/* A block of C: rows i.. and columns j.. of matrix `batch`, and the run of K at work. */
typedef struct panel {
    int64_t batch, i, rows, j, cols;
    int64_t group, k0, length;
} panel;

/* An operand as the gemm takes it: its first byte, the distance of its rows, and whether it is turned. */
typedef struct matrix {
    const void *codes;
    int64_t ld;
    char transpose;
} matrix;

static matrix a_matrix(const qmmi_matmul_problem *p, const panel *t) {
    const qmmi_operand *a = &p->a;
    const bool turned = a->k_stride != 1 || a->outer_stride < p->k;
    const int64_t first = t->batch * a->batch_stride + t->i * a->outer_stride + t->k0 * a->k_stride;
    return (matrix){ qmmi_cpu_at(a->memory, a->offset) + first, turned ? a->k_stride : a->outer_stride,
                     turned ? 'T' : 'N' };
}

static matrix b_matrix(const qmmi_matmul_problem *p, const plan *s, const panel *t, const int8_t *unpacked) {
    const qmmi_operand *b = &p->b;
    const bool turned = b->k_stride == 1 && b->outer_stride >= p->k;
    const int64_t first = t->batch * b->batch_stride + t->j * b->outer_stride + t->k0 * b->k_stride;
    if (s->unpack && s->k_major) return (matrix){ unpacked, t->length, 'T' };
    if (s->unpack) return (matrix){ unpacked, t->cols, 'N' };
    return (matrix){ qmmi_cpu_at(b->memory, b->offset) + first, turned ? b->outer_stride : b->k_stride,
                     turned ? 'T' : 'N' };
}

/* A run of codes of B as s8. Codes that lie next to one another are the common case, and the fast one. */
QMMI_CPU_CLONES static void unpack_run(qmm_type type, const unsigned char *base, int64_t first, int64_t stride,
                                       int32_t shift, int64_t count, int8_t *to) {
    const int flip = type == QMM_S4 ? 8 : 0; /* (nibble ^ 8) - 8 extends its sign */
    if (stride == 1 && first % 2 == 0 && (type == QMM_S4 || type == QMM_U4)) {
        const unsigned char *pairs = base + first / 2;
        for (int64_t k = 0; k < count / 2; k++) {
            to[2 * k] = (int8_t)(((pairs[k] & 15) ^ flip) - flip);
            to[2 * k + 1] = (int8_t)(((pairs[k] >> 4) ^ flip) - flip);
        }
        if (count % 2) to[count - 1] = (int8_t)(((pairs[count / 2] & 15) ^ flip) - flip);
        return;
    }
    if (stride == 1 && type == QMM_U8) {
        for (int64_t k = 0; k < count; k++) to[k] = (int8_t)(base[first + k] - shift);
        return;
    }
    for (int64_t k = 0; k < count; k++) to[k] = (int8_t)(qmmi_cpu_load_code(type, base, first + k * stride) - shift);
}

/* B of the panel as s8, in the order it has in memory: length rows of cols codes, or cols rows of length. */
static void unpack(const qmmi_matmul_problem *p, const plan *s, const panel *t, int8_t *to) {
    const qmmi_operand *b = &p->b;
    const unsigned char *base = qmmi_cpu_at(b->memory, b->offset);
    const int64_t first = t->batch * b->batch_stride + t->j * b->outer_stride + t->k0 * b->k_stride;
    const int64_t runs = s->k_major ? t->cols : t->length, run = s->k_major ? t->length : t->cols;
    const int64_t step = s->k_major ? b->outer_stride : b->k_stride,
                  stride = s->k_major ? b->k_stride : b->outer_stride;
    QMMI_CPU_PARALLEL_FOR(t->cols * t->length > 16384)
    for (int64_t n = 0; n < runs; n++) unpack_run(b->type, base, first + n * step, stride, s->shift, run, to + n * run);
}

/* Sum of a run of codes, modulo 2^32. */
QMMI_CPU_CLONES static uint32_t sum_run(qmm_type type, const unsigned char *base, int64_t first, int64_t stride,
                                        int64_t count) {
    uint32_t total = 0;
    for (int64_t start = 0; start < count; start += 1 << 20) {
        const int64_t end = start + (1 << 20) < count ? start + (1 << 20) : count;
        int32_t sum = 0;
        if (stride == 1 && type == QMM_S8)
            for (int64_t k = start; k < end; k++) sum += ((const int8_t *)base)[first + k];
        else if (stride == 1 && type == QMM_U8)
            for (int64_t k = start; k < end; k++) sum += base[first + k];
        else
            for (int64_t k = start; k < end; k++) sum += qmmi_cpu_load_code(type, base, first + k * stride);
        total += (uint32_t)sum;
    }
    return total;
}

static void sum_a(const qmmi_matmul_problem *p, const panel *t, uint32_t *sums) {
    const qmmi_operand *a = &p->a;
    const unsigned char *base = qmmi_cpu_at(a->memory, a->offset);
    for (int64_t r = 0; r < t->rows; r++)
        sums[r] =
            sum_run(a->type, base, t->batch * a->batch_stride + (t->i + r) * a->outer_stride + t->k0 * a->k_stride,
                    a->k_stride, t->length);
}

/* Sums of the codes of B along K, walking memory as it lies. */
QMMI_CPU_CLONES static void sum_codes_of_b(const qmmi_matmul_problem *p, const panel *t, uint32_t *sums) {
    const qmmi_operand *b = &p->b;
    const unsigned char *base = qmmi_cpu_at(b->memory, b->offset);
    const int64_t first = t->batch * b->batch_stride + t->j * b->outer_stride + t->k0 * b->k_stride;
    memset(sums, 0, (size_t)t->cols * sizeof *sums);
    if (b->outer_stride == 1 && b->type == QMM_S8) {
        const int8_t *codes = (const int8_t *)base + first;
        for (int64_t k = 0; k < t->length; k++) {
            for (int64_t n = 0; n < t->cols; n++) {
                const int32_t code = codes[k * b->k_stride + n];
                sums[n] += (uint32_t)code;
            }
        }
        return;
    }
    for (int64_t n = 0; n < t->cols; n++)
        sums[n] = sum_run(b->type, base, first + n * b->outer_stride, b->k_stride, t->length);
}

/* Sums of b', from the packed weights where they hold just these. */
static void sum_b(const qmmi_matmul_problem *p, const plan *s, const panel *t, uint32_t *sums) {
    const qmmi_operand *b = &p->b;
    const bool ready = b->sums.memory && t->length == (b->grouped ? p->group_size : p->k);
    if (!ready) sum_codes_of_b(p, t, sums);
    for (int64_t n = 0; n < t->cols; n++) {
        if (ready)
            sums[n] = (uint32_t)qmmi_cpu_load_code(
                QMM_S32, qmmi_cpu_at(b->sums.memory, b->sums.offset),
                qmmi_cpu_param_index(&b->sums, t->batch, t->j + n, b->grouped ? t->group : 0));
        sums[n] -= (uint32_t)s->shift * (uint32_t)t->length;
    }
}

/* Takes the zero points out of columns n .. n + count of row r of the panel. */
QMMI_CPU_CLONES static void correct(const qmmi_matmul_problem *p, const plan *s, const panel *t, const int32_t *raw,
                                    uint32_t a_sum, const uint32_t *b_sums, int64_t r, int64_t n, int64_t count,
                                    int32_t *acc) {
    const qmmi_param *zero = &p->b.zero;
    const uint32_t za = (uint32_t)qmmi_cpu_zero(&p->a.zero, p->a.zero_min, p->a.zero_max, t->batch, t->i + r, t->group);
    const uint32_t length = (uint32_t)t->length;
    /* raw - za sum_b - zb sum_a + length za zb, the last two as zb times what is the same for the whole row */
    const uint32_t per_zb = length * za - a_sum;
    for (int64_t c = 0; c < count; c++) acc[c] = (int32_t)((uint32_t)raw[c] - za * b_sums[c]);
    if (!zero->memory || zero->row_stride == 0) {
        const int32_t zb = qmmi_cpu_zero(zero, p->b.zero_min, p->b.zero_max, t->batch, 0, t->group) - s->shift;
        const uint32_t constant = (uint32_t)zb * per_zb;
        for (int64_t c = 0; c < count; c++) acc[c] = (int32_t)((uint32_t)acc[c] + constant);
        return;
    }
    for (int64_t c = 0; c < count; c++) {
        const int32_t zb =
            qmmi_cpu_zero(zero, p->b.zero_min, p->b.zero_max, t->batch, t->j + n + c, t->group) - s->shift;
        acc[c] = (int32_t)((uint32_t)acc[c] + (uint32_t)zb * per_zb);
    }
}

/* Where in a piece's group, or in K if there are no groups, it lies. */
static bool is_first(const qmmi_matmul_problem *p, const plan *s, const panel *t) {
    return t->k0 == (s->grouped ? t->group * p->group_size : 0);
}

static bool is_last(const qmmi_matmul_problem *p, const plan *s, const panel *t) {
    return t->k0 + t->length == (s->grouped ? (t->group + 1) * p->group_size : p->k);
}

/* Accumulators in 32 bits, on their way to a float. */
static void finish_narrow(const qmmi_matmul_problem *p, const plan *s, const panel *t, int64_t r, int64_t n,
                          int64_t count, const int32_t *acc, float *y) {
    float term[QMMI_CPU_RUN];
    for (int64_t c = 0; c < count; c++) term[c] = (float)acc[c];
    if (s->grouped)
        qmmi_cpu_epilogue_add_group(p, t->batch, t->i + r, t->j + n, count, t->group, term, y);
    else
        qmmi_cpu_epilogue_finish(p, t->batch, t->i + r, t->j + n, count, term);
}

/* Accumulators that are sums of several pieces, are wanted as integers, or meet an integer bias. */
static void finish_wide(const qmmi_matmul_problem *p, const plan *s, const panel *t, int64_t r, int64_t n,
                        int64_t count, const int32_t *acc, int64_t *wide, float *y) {
    int64_t sum[QMMI_CPU_RUN];
    float term[QMMI_CPU_RUN];
    for (int64_t c = 0; c < count; c++) sum[c] = acc[c];
    if (s->wide && !is_first(p, s, t))
        for (int64_t c = 0; c < count; c++) sum[c] += wide[c];
    if (s->wide) memcpy(wide, sum, (size_t)count * sizeof *wide);
    if (!is_last(p, s, t)) return;
    if (!s->grouped) {
        qmmi_cpu_epilogue(p, t->batch, t->i + r, t->j + n, count, sum);
        return;
    }
    for (int64_t c = 0; c < count; c++) term[c] = (float)sum[c];
    qmmi_cpu_epilogue_add_group(p, t->batch, t->i + r, t->j + n, count, t->group, term, y);
}

/* One row of a panel whose piece has been multiplied. */
static void consume_row(const qmmi_matmul_problem *p, const plan *s, const panel *t, unsigned char *work, int64_t r) {
    const int32_t *raw = (const int32_t *)(const void *)(work + s->acc) + r * t->cols;
    int64_t *wide = (int64_t *)(void *)(work + s->wide_acc) + r * t->cols;
    float *y = (float *)(void *)(work + s->y) + r * t->cols;
    const uint32_t a_sum = s->need_a_sums ? ((const uint32_t *)(const void *)(work + s->a_sums))[r] : 0;
    const uint32_t *b_sums = (const uint32_t *)(const void *)(work + s->b_sums);
    const bool narrow = !s->wide && p->c.type != QMM_S32 && !(p->bias.memory && p->bias.type == QMM_S32);
    for (int64_t n = 0; n < t->cols; n += QMMI_CPU_RUN) {
        const int64_t count = t->cols - n < QMMI_CPU_RUN ? t->cols - n : QMMI_CPU_RUN;
        const int32_t *acc = raw + n;
        int32_t corrected[QMMI_CPU_RUN];
        if (s->corrected) {
            correct(p, s, t, raw + n, a_sum, b_sums + n, r, n, count, corrected);
            acc = corrected;
        }
        if (narrow)
            finish_narrow(p, s, t, r, n, count, acc, y + n);
        else
            finish_wide(p, s, t, r, n, count, acc, wide + n, y + n);
    }
}

static qmm_status multiply(qmm_context *context, const qmmi_matmul_problem *p, const plan *s, const panel *t,
                           const int8_t *unpacked, int32_t *c, int64_t ldc) {
    const qmmi_onednn *library = context->device_state;
    const qmmi_onednn_gemm gemm = p->a.type == QMM_S8 ? library->gemm_s8 : library->gemm_u8;
    const matrix a = a_matrix(p, t), b = b_matrix(p, s, t, unpacked);
    const int32_t no_offset = 0;
    const int status = gemm(a.transpose, b.transpose, 'F', t->rows, t->cols, t->length, 1.0f, a.codes, a.ld, 0, b.codes,
                            b.ld, 0, 0.0f, c, ldc, &no_offset);
    if (status != 0) return qmmi_fail(context, QMM_OUT_OF_MEMORY, "qmm_matmul", "oneDNN's gemm gave status %d", status);
    return QMM_OK;
}

static qmm_status run_piece(qmm_context *context, const qmmi_matmul_problem *p, const plan *s, const panel *t,
                            unsigned char *work) {
    int8_t *unpacked = (int8_t *)(work + s->b);
    if (s->unpack) unpack(p, s, t, unpacked);
    QMMI_TRY(multiply(context, p, s, t, unpacked, (int32_t *)(void *)(work + s->acc), t->cols));
    if (s->need_a_sums) sum_a(p, t, (uint32_t *)(void *)(work + s->a_sums));
    if (p->a.has_zero)
        sum_b(p, s, t, (uint32_t *)(void *)(work + s->b_sums));
    else
        memset(work + s->b_sums, 0, (size_t)t->cols * sizeof(uint32_t));
    QMMI_CPU_PARALLEL_FOR(t->rows * t->cols > 16384)
    for (int64_t r = 0; r < t->rows; r++) consume_row(p, s, t, work, r);
    return QMM_OK;
}

static qmm_status run_panel(qmm_context *context, const qmmi_matmul_problem *p, const plan *s, panel t,
                            unsigned char *work) {
    float *y = (float *)(void *)(work + s->y);
    if (s->grouped) memset(y, 0, (size_t)(t.rows * t.cols) * sizeof *y);
    for (t.group = 0; t.group < p->groups; t.group++) {
        const int64_t end = (t.group + 1) * p->group_size;
        for (t.k0 = t.group * p->group_size; t.k0 < end; t.k0 += t.length) {
            t.length = end - t.k0 < s->piece ? end - t.k0 : s->piece;
            QMMI_TRY(run_piece(context, p, s, &t, work));
        }
    }
    if (!s->grouped) return QMM_OK;
    for (int64_t r = 0; r < t.rows; r++)
        for (int64_t n = 0; n < t.cols; n += QMMI_CPU_RUN)
            qmmi_cpu_epilogue_finish(p, t.batch, t.i + r, t.j + n,
                                     t.cols - n < QMMI_CPU_RUN ? t.cols - n : QMMI_CPU_RUN, y + r * t.cols + n);
    return QMM_OK;
}

qmm_status qmmi_cpu_matmul_onednn(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                  size_t workspace_offset) {
    const qmmi_matmul_problem *p = &problem->as.matmul;
    const plan s = make_plan(p);
    for (int64_t batch = 0; batch < p->batch; batch++) {
        if (s.direct) {
            const panel all = { batch, 0, p->m, 0, p->n, 0, 0, p->k };
            int32_t *c = (int32_t *)(void *)qmmi_cpu_at(p->c.memory, p->c.offset) + batch * p->c.batch_stride;
            QMMI_TRY(multiply(context, p, &s, &all, NULL, c, p->c.row_stride));
            continue;
        }
        for (int64_t j = 0; j < p->n; j += s.cols) {
            for (int64_t i = 0; i < p->m; i += s.rows) {
                const panel t = { .batch = batch,
                                  .i = i,
                                  .rows = clamp(p->m - i, 1, s.rows),
                                  .j = j,
                                  .cols = clamp(p->n - j, 1, s.cols) };
                QMMI_TRY(run_panel(context, p, &s, t, qmmi_cpu_at(workspace, workspace_offset)));
            }
        }
    }
    return QMM_OK;
}
