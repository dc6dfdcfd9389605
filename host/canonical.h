/* SPDX-License-Identifier: Apache-2.0
 *
 * The canonical form in which every fast matmul kernel of a backend for devices takes its operands, so that a kernel is
 * written once for all types, strides, transposes, groups and zero points. The backend's matmul_prepare.c makes it: an
 * operand that already has it is used where it lies, any other is rewritten into the workspace, packed weights have it
 * from the start. What a backend adds to it is in its matmul.h.
 *
 *   - Signed 8-bit codes along K, K being contiguous: element (outer, k) of matrix b is the byte at
 *     b * batch_stride + outer * outer_stride + k; the start and the strides are multiples of 16 bytes.
 *   - u8 and u4 are recentered: the byte is the code minus 128 (or 8), and so is the zero point that goes with it.
 *   - Each group of K is padded with zeros to a multiple of 32: group_k elements, k = groups * group_k in all. Without
 *     groups there is one group.
 *   - Packed 4-bit weights stay 4-bit where a kernel reads them: a run of 32 k is 16 bytes, word t (0 .. 3) of which
 *     holds in the low nibbles of its four bytes k = 4t .. 4t + 3 and in the high nibbles k = 16 + 4t .. 16 + 4t + 3,
 *     each a signed nibble. A kernel reads (word << 4) & 0xf0f0f0f0 and word & 0xf0f0f0f0: four s8 that are 16 times
 *     the codes. Its accumulators are then 16 times the sum; the epilogue divides them before it does anything else.
 *
 * With a' = a - recenter_a, za' = za - recenter_a and likewise for b, all sums over the real k of one group:
 *
 *     sum (a - za)(b - zb) = sum a' b' - za' sum b' - zb' sum a' + group_size za' zb'
 *
 * A kernel makes sum a' b' (the padding adds nothing); the epilogue adds the rest in 64 bits, from the sums of a' and
 * b'. |a' b'| is at most 2^14 (16 times a 4-bit code is an 8-bit code), so 131,071 k fit an int32: no accumulation is
 * longer, longer problems have no canonical form.
 *
 * Groups along K: with an s32 output one accumulator runs over all of K, and the epilogue takes the zero points out
 * group by group. With any other output each group has its own accumulator, which the kernel adds to a float (add_group
 * in the backend's epilogue) when the group ends, which is at a multiple of 32 of k.
 *
 * Compiled by C11, CUDA C++ and OpenCL C. */
#ifndef QMMI_CANONICAL_H
#define QMMI_CANONICAL_H

enum {
    QMMI_K_ALIGNMENT = 32, /* groups are padded to so many k */
    QMMI_K_LIMIT = 131071  /* k of one accumulation: 131,071 * 2^14 < 2^31 */
};

#ifndef __OPENCL_VERSION__

#include "problem.h"

/* Has the problem factors per group of K, so that a single accumulator does not serve it? */
static inline bool qmmi_grouped(const qmmi_matmul_problem *p) {
    return (p->a.grouped || p->b.grouped) && p->c.type != QMM_S32;
}

/* Length of a canonical group. */
static inline int64_t qmmi_group_k(int64_t group_size) {
    return (group_size + QMMI_K_ALIGNMENT - 1) / QMMI_K_ALIGNMENT * QMMI_K_ALIGNMENT;
}

/* What is taken from each code of a type. */
static inline int32_t qmmi_recenter(qmm_type type) {
    return type == QMM_U8 ? 128 : type == QMM_U4 ? 8 : 0;
}

/* NULL if the problem has a canonical form, else why it has none. */
const char *qmmi_canonical_accepts(const qmmi_matmul_problem *p);

/* Are groups as far apart in the canonical form as in memory? */
bool qmmi_groups_lie_direct(const qmmi_matmul_problem *p);

/* Codes per group in packed weights: their own groups, not A's. */
int64_t qmmi_packed_group(const qmmi_matmul_problem *p);

/* May the zero point be other than 0 once the codes are recentered? */
bool qmmi_zero_matters(const qmmi_operand *o);

/* Did sums come with the operand, one for each group? */
bool qmmi_sums_came(const qmmi_matmul_problem *p, const qmmi_operand *o);

/* How many there are in memory: 1 where one serves the whole batch. */
int64_t qmmi_matrices_of(const qmmi_matmul_problem *p, const qmmi_operand *o);

/* Groups of K in packed weights; K = 0 has one, which is empty, since its sums are owed. */
int64_t qmmi_group_count(int64_t k, int64_t group_size);

/* A backend's slot weights_bytes where packed weights are canonical rows, one after another. */
size_t qmmi_canonical_weights_bytes(int64_t n, int64_t k, int64_t batch, int64_t group_size, qmm_type type);

#endif
#endif
