/* SPDX-License-Identifier: Apache-2.0 */
#include "canonical.h"

#include "checked.h"

/* Shorter groups would mostly be padding. */
#define GROUP_SIZE_MIN 8

/* Kernels count k in 32 bits, and may go as far past the end as a tile is deep. */
#define PADDED_K_LIMIT (INT32_MAX - 64)

/* ---- operands ---------------------------------------------------------------------------------------------------- */

const char *qmmi_canonical_accepts(const qmmi_matmul_problem *p) {
    if (p->k == 0) return "K is 0";
    if ((qmmi_grouped(p) ? p->group_size : p->k) > QMMI_K_LIMIT)
        return "K is longer than the 131,071 of one accumulation";
    if (p->k > INT32_MAX) return "K is beyond 2^31";
    if (p->groups * qmmi_group_k(p->group_size) > PADDED_K_LIMIT) return "K with its groups padded is beyond 2^31";
    if (p->groups > 1 && p->group_size < GROUP_SIZE_MIN) return "groups of less than 8 would mostly be padding";
    return NULL;
}

bool qmmi_groups_lie_direct(const qmmi_matmul_problem *p) {
    return p->groups == 1 || p->group_size % QMMI_K_ALIGNMENT == 0;
}

int64_t qmmi_packed_group(const qmmi_matmul_problem *p) {
    return p->b.grouped ? p->group_size : p->k;
}

bool qmmi_zero_matters(const qmmi_operand *o) {
    return o->zero.memory || o->zero.integer_value != qmmi_recenter(o->type);
}

bool qmmi_sums_came(const qmmi_matmul_problem *p, const qmmi_operand *o) {
    return o->sums.memory && (!o->packed || o->grouped || p->groups == 1);
}

int64_t qmmi_matrices_of(const qmmi_matmul_problem *p, const qmmi_operand *o) {
    return o->batch_stride ? p->batch : 1;
}

/* ---- packed weights ---------------------------------------------------------------------------------------------- */

int64_t qmmi_group_count(int64_t k, int64_t group_size) {
    return k > 0 ? k / group_size : 1;
}

static bool row_bytes_overflow(int64_t k, int64_t group_size, qmm_type type, int64_t *bytes) {
    const int64_t length = k > 0 ? group_size : 0;
    int64_t codes;
    if (length > INT64_MAX - QMMI_K_ALIGNMENT ||
        qmmi_mul_overflows(qmmi_group_count(k, group_size), qmmi_group_k(length), &codes))
        return true;
    *bytes = qmm_type_bits(type) == 4 ? codes / 2 : codes;
    return false;
}

size_t qmmi_canonical_weights_bytes(int64_t n, int64_t k, int64_t batch, int64_t group_size, qmm_type type) {
    int64_t row, rows, bytes;
    if (row_bytes_overflow(k, group_size, type, &row) || qmmi_mul_overflows(n, batch, &rows) ||
        qmmi_mul_overflows(rows, row, &bytes))
        return SIZE_MAX;
    return (size_t)bytes;
}
