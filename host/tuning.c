/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of tuned choices. It is searched at every matmul of a context that has one, so it is sorted. */
#include "tuning.h"

#include <string.h>

#include "context.h"

/* ---- calls ------------------------------------------------------------------------------------------------------- */

uint32_t qmmi_kinds_pack(const qmmi_kinds *kinds) {
    return (uint32_t)kinds->a | (uint32_t)kinds->b << 4 | (uint32_t)kinds->c << 8 |
           (uint32_t)kinds->a_transposed << 12 | (uint32_t)kinds->b_transposed << 13 | (uint32_t)kinds->b_packed << 14;
}

qmmi_kinds qmmi_kinds_unpack(uint32_t packed) {
    return (qmmi_kinds){
        .a = (qmm_type)(packed & 15),
        .b = (qmm_type)(packed >> 4 & 15),
        .c = (qmm_type)(packed >> 8 & 15),
        .a_transposed = packed >> 12 & 1,
        .b_transposed = packed >> 13 & 1,
        .b_packed = packed >> 14 & 1,
    };
}

qmmi_tuned qmmi_tuned_call(const qmmi_matmul_problem *p) {
    const qmmi_kinds kinds = {
        .a = p->a.type,
        .b = p->b.type,
        .c = p->c.type,
        .a_transposed = p->a.k_stride != 1,
        .b_transposed = !p->b.packed && p->b.k_stride == 1,
        .b_packed = p->b.packed,
    };
    return (qmmi_tuned){
        .n = p->n,
        .k = p->k,
        .batch = p->batch,
        .group_size = p->a.grouped || p->b.grouped ? p->group_size : 0,
        .kinds = qmmi_kinds_pack(&kinds),
        .m = p->m,
    };
}

static int order(int64_t x, int64_t y) {
    return (x > y) - (x < y);
}

static int order_of_kind(const qmmi_tuned *x, const qmmi_tuned *y) {
    const int64_t pairs[][2] = { { x->n, y->n },
                                 { x->k, y->k },
                                 { x->batch, y->batch },
                                 { x->group_size, y->group_size },
                                 { x->kinds, y->kinds } };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
        if (pairs[i][0] != pairs[i][1]) return order(pairs[i][0], pairs[i][1]);
    return 0;
}

int qmmi_tuned_order(const qmmi_tuned *x, const qmmi_tuned *y) {
    const int by_kind = order_of_kind(x, y);
    return by_kind ? by_kind : order(x->m, y->m);
}

/* ---- searching --------------------------------------------------------------------------------------------------- */

/* Index of the first that does not come before the call. */
static int lower_bound(const qmmi_tuning *tuning, const qmmi_tuned *call) {
    int first = 0, last = tuning->count;
    while (first < last) {
        const int middle = first + (last - first) / 2;
        if (qmmi_tuned_order(&tuning->choices[middle], call) < 0)
            first = middle + 1;
        else
            last = middle;
    }
    return first;
}

const qmmi_tuned *qmmi_tuning_find(const qmmi_tuning *tuning, const qmmi_matmul_problem *problem) {
    const qmmi_tuned call = qmmi_tuned_call(problem), *found;
    const int at = lower_bound(tuning, &call);
    if (at == tuning->count) return NULL;
    found = &tuning->choices[at];
    if (order_of_kind(found, &call) != 0) return NULL;
    return call.m > found->m / 2 ? found : NULL; /* m / 2 rounds down: M * 2 > m, without overflow */
}

const qmmi_tuned *qmmi_tuning_find_exact(const qmmi_tuning *tuning, const qmmi_matmul_problem *problem) {
    const qmmi_tuned *found = qmmi_tuning_find(tuning, problem);
    return found && found->m == problem->m ? found : NULL;
}

/* ---- changing ---------------------------------------------------------------------------------------------------- */

/* A table of that capacity instead of the present one; what it holds is the caller's business. */
static qmmi_tuned *allocate(const qmm_context *context, int capacity) {
    return qmmi_allocate(context, (size_t)capacity * sizeof(qmmi_tuned));
}

static void replace(qmm_context *context, qmmi_tuned *choices, int count, int capacity) {
    qmmi_tuning_free(context);
    context->tuning = (qmmi_tuning){ choices, count, capacity };
}

void qmmi_tuning_free(qmm_context *context) {
    qmmi_tuning *const t = &context->tuning;
    qmmi_release(context, t->choices, (size_t)t->capacity * sizeof *t->choices);
    *t = (qmmi_tuning){ .choices = NULL };
}

bool qmmi_tuning_reserve(qmm_context *context) {
    const qmmi_tuning *const t = &context->tuning;
    const int capacity = t->capacity ? 2 * t->capacity : 16;
    qmmi_tuned *choices;
    if (t->count < t->capacity) return true;
    choices = allocate(context, capacity);
    if (!choices) return false;
    if (t->count) memcpy(choices, t->choices, (size_t)t->count * sizeof *choices);
    replace(context, choices, t->count, capacity);
    return true;
}

void qmmi_tuning_put(qmmi_tuning *tuning, const qmmi_tuned *choice) {
    const int at = lower_bound(tuning, choice);
    qmmi_tuned *const place = &tuning->choices[at];
    if (at == tuning->count || qmmi_tuned_order(place, choice) != 0) {
        memmove(place + 1, place, (size_t)(tuning->count - at) * sizeof *place);
        tuning->count++;
    }
    *place = *choice;
}

void qmmi_tuning_remove(qmmi_tuning *tuning, const qmmi_tuned *choice) {
    qmmi_tuned *const place = tuning->choices + (choice - tuning->choices);
    const int behind = tuning->count - (int)(choice - tuning->choices) - 1;
    memmove(place, place + 1, (size_t)behind * sizeof *place);
    tuning->count--;
}

/* Of two sorted lists one; where both have a call, the second's choice. Gives back how many. */
static int merge(const qmmi_tuned *x, int x_count, const qmmi_tuned *y, int y_count, qmmi_tuned *merged) {
    int count = 0, i = 0, j = 0;
    while (i < x_count || j < y_count) {
        const int which = i == x_count ? 1 : j == y_count ? -1 : qmmi_tuned_order(&x[i], &y[j]);
        merged[count++] = which < 0 ? x[i] : y[j];
        i += which <= 0;
        j += which >= 0;
    }
    return count;
}

qmm_status qmmi_tuning_merge(qmm_context *context, const qmmi_tuned *choices, int count, const char **reason) {
    const qmmi_tuning *const t = &context->tuning;
    const int capacity = t->count + count;
    qmmi_tuned *merged;
    int merged_count;
    if (count == 0) return QMM_OK;
    merged = allocate(context, capacity);
    if (!merged) {
        *reason = "cannot be used: no memory for its choices";
        return QMM_OUT_OF_MEMORY;
    }
    merged_count = merge(t->choices, t->count, choices, count, merged);
    if (merged_count > QMMI_TUNED_MAX) {
        qmmi_release(context, merged, (size_t)capacity * sizeof *merged);
        *reason = "would make the table longer than its limit";
        return QMM_INVALID_ARGUMENT;
    }
    replace(context, merged, merged_count, capacity);
    return QMM_OK;
}
