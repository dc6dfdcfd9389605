/* SPDX-License-Identifier: Apache-2.0
 *
 * matmul for every problem there is, straight from its own strides and types, packed weights included: the row that is
 * left when all others refuse. A work-item makes 8 columns of one row of C as host/cpu/matmul.c has it: products in 32
 * bits over pieces of K that cannot overflow, pieces in 64 bits. */
#include "epilogue.cl"
#include "matmul_generic.h"
#include "matmul_operand.cl"

/* Products summed in 32 bits at a time: PIECE * 255 * 255 < 2^31. */
enum { PIECE = 33025 };

/* Columns j .. j + count of row i of matrix b. */
typedef struct place {
    long b, i, j;
    int count;
} place;

/* Adds the k of one group to acc. */
static void multiply_group(const qmmi_cl_matmul_problem *p, const matmul_memory *memory, const place *at, long group,
                           long *acc) {
    const long first_a = group * p->group_size, packed_group = p->b.grouped ? p->group_size : p->k;
    const long first_b = p->b.packed ? packed_k(&p->b, packed_group, first_a) : first_a;
    const long row = operand_row(&p->a, at->b, at->i), column = operand_row(&p->b, at->b, at->j);
    const int za = zero_at(&p->a.zero, p->a.zero_min, p->a.zero_max, memory->a_zero, at->b, at->i, group);
    int zb[EPILOGUE_RUN];
    for (int n = 0; n < at->count; n++)
        zb[n] = zero_at(&p->b.zero, p->b.zero_min, p->b.zero_max, memory->b_zero, at->b, at->j + n, group);
    for (long start = 0; start < p->group_size; start += PIECE) {
        const long end = min(start + PIECE, p->group_size);
        int piece[EPILOGUE_RUN] = { 0 };
        for (long k = start; k < end; k++) {
            const int x = operand_code(&p->a, memory->a, row, first_a + k) - za;
            for (int n = 0; n < at->count; n++)
                piece[n] += x * (operand_code(&p->b, memory->b, column + n * p->b.outer_stride, first_b + k) - zb[n]);
        }
        for (int n = 0; n < at->count; n++) acc[n] += piece[n];
    }
}

/* A group's term of a grouped problem; acc begins anew. */
static void add_term(const qmmi_cl_matmul_problem *p, const matmul_memory *memory, const place *at, long group,
                     long *acc, float *y) {
    const float sa = p->a.grouped ? scale_at(&p->a.scale, memory->a_scale, at->b, at->i, group) : 1.0f;
    for (int n = 0; n < at->count; n++) {
        float term = (float)acc[n];
        if (p->b.grouped) term = term * scale_at(&p->b.scale, memory->b_scale, at->b, at->j + n, group);
        if (p->a.grouped) term = term * sa;
        y[n] = y[n] + term;
        acc[n] = 0;
    }
}

__kernel void matmul_generic_kernel(const qmmi_cl_matmul_problem p, MATMUL_PARAMETERS) {
    MATMUL_MEMORY(memory);
    const long item = get_global_id(0), runs = (p.n + EPILOGUE_RUN - 1) / EPILOGUE_RUN;
    const long row = quotient(item, runs), b = quotient(row, p.m), j = (item - row * runs) * EPILOGUE_RUN;
    const bool grouped = (p.a.grouped || p.b.grouped) && p.c.type != QMM_S32;
    const place at = { b, row - b * p.m, j, (int)min(p.n - j, (long)EPILOGUE_RUN) };
    long acc[EPILOGUE_RUN] = { 0 };
    float y[EPILOGUE_RUN] = { 0 };
    if (at.b >= p.batch) return;
    for (long group = 0; group < p.groups; group++) {
        multiply_group(&p, &memory, &at, group, acc);
        if (grouped) add_term(&p, &memory, &at, group, acc, y);
    }
    if (!grouped && epilogue_integer(&p, &memory, at.b, at.i, at.j, at.count, acc, y)) return;
    epilogue_finish(&p, &memory, at.b, at.i, at.j, at.count, y);
}
