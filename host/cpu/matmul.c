/* SPDX-License-Identifier: Apache-2.0
 *
 * Specification of matmul:
 *
 *     acc[i,j] = sum over k of (a[i,k] - za) * (b[k,j] - zb)      the exact integer, in 64 bits
 *     c[i,j]   = epilogue(acc[i,j])                               epilogue.c
 *
 * za belongs to row i of A and the group of k, zb to column j of B and the group of k. With groups along K there is one
 * acc per group, and the epilogue adds them in order of k in float32. Source: ONNX MatMulInteger. */
#include "cpu.h"
#include "epilogue.h"
#include "loops.h"

/* Products summed in 32 bits at a time: PIECE * 255 * 255 < 2^31. */
enum { PIECE = 33025 };

/* A run of codes along K: element k is at index + k * stride. */
typedef struct codes {
    const unsigned char *base;
    int64_t index, stride;
} codes;

/* One acc over `length` k. */
QMMI_CPU_INLINE int64_t dot(qmm_type a_type, codes a, int32_t za, qmm_type b_type, codes b, int32_t zb,
                            int64_t length) {
    int64_t sum = 0;
    for (int64_t start = 0; start < length; start += PIECE) {
        const int64_t end = start + PIECE < length ? start + PIECE : length;
        int32_t piece = 0;
        for (int64_t k = start; k < end; k++)
            piece += (qmmi_cpu_load_code(a_type, a.base, a.index + k * a.stride) - za) *
                     (qmmi_cpu_load_code(b_type, b.base, b.index + k * b.stride) - zb);
        sum += piece;
    }
    return sum;
}

/* The acc of `count` columns that lie side by side in memory, each with its zb. */
QMMI_CPU_INLINE void dots(qmm_type a_type, codes a, int32_t za, qmm_type b_type, codes b, const int32_t *zb,
                          int64_t length, int64_t count, int64_t *acc) {
    for (int64_t start = 0; start < length; start += PIECE) {
        const int64_t end = start + PIECE < length ? start + PIECE : length;
        int32_t piece[QMMI_CPU_RUN] = { 0 };
        for (int64_t k = start; k < end; k++) {
            const int32_t x = qmmi_cpu_load_code(a_type, a.base, a.index + k * a.stride) - za;
            for (int64_t n = 0; n < count; n++)
                piece[n] += x * (qmmi_cpu_load_code(b_type, b.base, b.index + k * b.stride + n) - zb[n]);
        }
        for (int64_t n = 0; n < count; n++) acc[n] += piece[n];
    }
}

/* Adds columns j .. j + count of row i over one group to acc. Constant types make a loop of their own for each pair. */
QMMI_CPU_INLINE void multiply_types(const qmmi_matmul_problem *p, qmm_type a_type, qmm_type b_type, int64_t batch,
                                    int64_t i, int64_t j, int64_t count, int64_t group, int64_t *acc) {
    const int64_t k0 = group * p->group_size;
    const codes a = { qmmi_cpu_at(p->a.memory, p->a.offset),
                      batch * p->a.batch_stride + i * p->a.outer_stride + k0 * p->a.k_stride, p->a.k_stride };
    codes b = { qmmi_cpu_at(p->b.memory, p->b.offset),
                batch * p->b.batch_stride + j * p->b.outer_stride + k0 * p->b.k_stride, p->b.k_stride };
    const int32_t za = qmmi_cpu_zero(&p->a.zero, p->a.zero_min, p->a.zero_max, batch, i, group);
    int32_t zb[QMMI_CPU_RUN];
    for (int64_t n = 0; n < count; n++)
        zb[n] = qmmi_cpu_zero(&p->b.zero, p->b.zero_min, p->b.zero_max, batch, j + n, group);
    if (p->b.outer_stride == 1 && p->b.k_stride != 1) {
        dots(a_type, a, za, b_type, b, zb, p->group_size, count, acc);
        return;
    }
    for (int64_t n = 0; n < count; n++, b.index += p->b.outer_stride) {
        if (a.stride == 1 && b.stride == 1)
            acc[n] += dot(a_type, (codes){ a.base, a.index, 1 }, za, b_type, (codes){ b.base, b.index, 1 }, zb[n],
                          p->group_size);
        else
            acc[n] += dot(a_type, a, za, b_type, b, zb[n], p->group_size);
    }
}

QMMI_CPU_INLINE void multiply(const qmmi_matmul_problem *p, qmm_type a_type, int64_t batch, int64_t i, int64_t j,
                              int64_t count, int64_t group, int64_t *acc) {
    switch (p->b.type) {
    case QMM_S4: multiply_types(p, a_type, QMM_S4, batch, i, j, count, group, acc); break;
    case QMM_U4: multiply_types(p, a_type, QMM_U4, batch, i, j, count, group, acc); break;
    case QMM_S8: multiply_types(p, a_type, QMM_S8, batch, i, j, count, group, acc); break;
    case QMM_U8: multiply_types(p, a_type, QMM_U8, batch, i, j, count, group, acc); break;
    case QMM_S16:
    case QMM_U16:
    case QMM_S32:
    case QMM_F32:
    case QMM_F16:
    case QMM_BF16: break; /* no operand's type */
    }
}

/* Columns j .. j + count of row i. */
QMMI_CPU_CLONES static void multiply_run(const qmmi_matmul_problem *p, int64_t batch, int64_t i, int64_t j,
                                         int64_t count) {
    const bool grouped = qmmi_cpu_grouped(p);
    int64_t acc[QMMI_CPU_RUN] = { 0 };
    float y[QMMI_CPU_RUN] = { 0 }, term[QMMI_CPU_RUN];
    for (int64_t g = 0; g < p->groups; g++) {
        if (p->a.type == QMM_S8)
            multiply(p, QMM_S8, batch, i, j, count, g, acc);
        else
            multiply(p, QMM_U8, batch, i, j, count, g, acc);
        if (!grouped) continue;
        for (int64_t n = 0; n < count; n++) term[n] = (float)acc[n];
        qmmi_cpu_epilogue_add_group(p, batch, i, j, count, g, term, y);
        memset(acc, 0, sizeof acc);
    }
    if (grouped)
        qmmi_cpu_epilogue_finish(p, batch, i, j, count, y);
    else
        qmmi_cpu_epilogue(p, batch, i, j, count, acc);
}

qmm_status qmmi_cpu_matmul_reference(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                     size_t workspace_offset) {
    const qmmi_matmul_problem *p = &problem->as.matmul;
    (void)context, (void)workspace, (void)workspace_offset;
    QMMI_CPU_PARALLEL_FOR(p->m * p->n > 4096)
    for (int64_t row = 0; row < p->batch * p->m; row++) {
        for (int64_t j = 0; j < p->n; j += QMMI_CPU_RUN)
            multiply_run(p, row / p->m, row % p->m, j, p->n - j < QMMI_CPU_RUN ? p->n - j : QMMI_CPU_RUN);
    }
    return QMM_OK;
}
