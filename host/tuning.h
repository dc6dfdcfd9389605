/* SPDX-License-Identifier: Apache-2.0
 *
 * The tuned choices of a context: a table sorted by call, and its search. */
#ifndef QMMI_TUNING_H
#define QMMI_TUNING_H

#include "backend.h"

#define QMMI_TUNED_MAX 2048 /* choices in a table */

/* Matmuls of one kind, with M from above half of m up to m, run on this variant of this row. */
typedef struct qmmi_tuned {
    int64_t n, k, batch;
    int64_t group_size; /* 0: no groups */
    uint32_t kinds;     /* types, transposes, packing: below */
    int variant;        /* as a problem's */
    int64_t m;
    const qmmi_row *row;
} qmmi_tuned;

typedef struct qmmi_tuning {
    qmmi_tuned *choices;
    int count, capacity;
} qmmi_tuning;

/* What `kinds` packs. A matrix that runs along K is plain as A and transposed as B; packed weights are neither. */
typedef struct qmmi_kinds {
    qmm_type a, b, c;
    bool a_transposed, b_transposed, b_packed;
} qmmi_kinds;

uint32_t qmmi_kinds_pack(const qmmi_kinds *kinds);
qmmi_kinds qmmi_kinds_unpack(uint32_t packed);

/* The call of a problem, without row and variant. */
qmmi_tuned qmmi_tuned_call(const qmmi_matmul_problem *problem);

/* The order of the table: by call, by m last. 0: the same call. */
int qmmi_tuned_order(const qmmi_tuned *x, const qmmi_tuned *y);

/* The choice for this problem, or just the one measured at its very M; NULL: there is none. */
const qmmi_tuned *qmmi_tuning_find(const qmmi_tuning *tuning, const qmmi_matmul_problem *problem);
const qmmi_tuned *qmmi_tuning_find_exact(const qmmi_tuning *tuning, const qmmi_matmul_problem *problem);

/* Room for one more; false: there is no memory. Then a choice is put in, over one of the same call, or taken out. */
bool qmmi_tuning_reserve(qmm_context *context);
void qmmi_tuning_put(qmmi_tuning *tuning, const qmmi_tuned *choice);
void qmmi_tuning_remove(qmmi_tuning *tuning, const qmmi_tuned *choice);

/* All of these, which are in order, over those of the same calls. *reason says why not: too many, no memory. */
qmm_status qmmi_tuning_merge(qmm_context *context, const qmmi_tuned *choices, int count, const char **reason);

void qmmi_tuning_free(qmm_context *context);

#endif
