/* SPDX-License-Identifier: Apache-2.0
 *
 * matmul for every problem there is, straight from its own strides and types, packed weights included: the row that is
 * left when all others refuse. A thread makes 8 columns of one row of C as host/cpu/matmul.c has it: products in 32
 * bits over pieces of K that cannot overflow, pieces in 64 bits. */
#include "epilogue.cuh"
#include "matmul_generic.h"
#include "matmul_operand.cuh"

/* Products summed in 32 bits at a time: PIECE * 255 * 255 < 2^31. */
constexpr int PIECE = 33025;

/* 8 columns of B, or fewer, and the zero points of one group. */
struct columns {
    operand_row row[8];
    int zero[8];
};

/* Adds the k of one group, which begins at first_a and first_b in the operands, to acc. */
DEVICE void multiply_group(const qmmi_matmul_problem &p, const operand_row &a, int za, const columns &b, int count,
                           int64_t first_a, int64_t first_b, long long (&acc)[8]) {
    for (int64_t start = 0; start < p.group_size; start += PIECE) {
        const int64_t end = start + PIECE < p.group_size ? start + PIECE : p.group_size;
        int piece[8] = { 0, 0, 0, 0, 0, 0, 0, 0 };
        for (int64_t k = start; k < end; k++) {
            const int x = operand_code(p.a, a, first_a + k) - za;
#pragma unroll
            for (int n = 0; n < 8; n++)
                if (n < count) piece[n] += x * (operand_code(p.b, b.row[n], first_b + k) - b.zero[n]);
        }
#pragma unroll
        for (int n = 0; n < 8; n++) acc[n] += piece[n];
    }
}

/* A group's term of a grouped problem; acc begins anew. */
DEVICE void add_term(const qmmi_matmul_problem &p, int64_t b, int64_t i, int64_t j, int count, int64_t group,
                     long long (&acc)[8], float (&y)[8]) {
    const float sa = p.a.grouped ? scale_at(p.a.scale, b, i, group) : 1.0f;
#pragma unroll
    for (int n = 0; n < 8; n++) {
        float term = (float)acc[n];
        if (p.b.grouped && n < count) term = term * scale_at(p.b.scale, b, j + n, group);
        if (p.a.grouped) term = term * sa;
        y[n] = y[n] + term;
        acc[n] = 0;
    }
}

KERNEL(matmul_generic_kernel, QMMI_CUDA_GENERIC_THREADS, 2, qmmi_matmul_problem, p) {
    const int64_t runs = (p.n + 7) / 8, items = p.batch * p.m * runs;
    const int64_t packed_group = p.b.grouped ? p.group_size : p.k;
    const bool grouped = epilogue_grouped(p);
    const int64_t first = (int64_t)blockIdx.x * blockDim.x + threadIdx.x, step = (int64_t)gridDim.x * blockDim.x;
    for (int64_t item = first; item < items; item += step) {
        const int64_t row = item / runs, j = item % runs * 8, batch = row / p.m, i = row % p.m;
        const int count = p.n - j < 8 ? (int)(p.n - j) : 8;
        const operand_row a = row_of(p.a, batch, i);
        long long acc[8] = { 0, 0, 0, 0, 0, 0, 0, 0 };
        float y[8] = { 0, 0, 0, 0, 0, 0, 0, 0 };
        columns b;
#pragma unroll
        for (int n = 0; n < 8; n++) b.row[n] = row_of(p.b, batch, j + n);
        for (int64_t group = 0; group < p.groups; group++) {
            const int64_t first_a = group * p.group_size;
            const int64_t first_b = p.b.packed ? packed_k(p.b, packed_group, first_a) : first_a;
            const int za = zero_at(p.a.zero, p.a.zero_min, p.a.zero_max, batch, i, group);
#pragma unroll
            for (int n = 0; n < 8; n++)
                b.zero[n] = n < count ? zero_at(p.b.zero, p.b.zero_min, p.b.zero_max, batch, j + n, group) : 0;
            multiply_group(p, a, za, b, count, first_a, first_b, acc);
            if (grouped) add_term(p, batch, i, j, count, group, acc, y);
        }
        const run_of_c c = { p.c, batch, i, j, count };
        if (!grouped && epilogue_integer_run(p, batch, j, count, c, acc, y)) continue;
        epilogue_finish_run(p, batch, i, j, count, c, y);
    }
}
