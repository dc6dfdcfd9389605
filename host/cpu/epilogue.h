/* SPDX-License-Identifier: Apache-2.0
 *
 * The epilogue of matmul on the CPU, for `count` <= QMMI_CPU_RUN columns of one row of C, from column j on. Every
 * matmul row of the CPU ends in it, so they can only differ in their accumulators. */
#ifndef QMMI_CPU_EPILOGUE_H
#define QMMI_CPU_EPILOGUE_H

#include "chunk.h"

/* One accumulator an element: the whole epilogue, and the store. */
void qmmi_cpu_epilogue(const qmmi_matmul_problem *p, int64_t batch, int64_t i, int64_t j, int64_t count,
                       const int64_t *acc);

/* With groups along K: y[j] = y[j] + (term[j] * sb) * sa, term being (float)acc of the group, and each factor one that is
 * given per group. y begins as 0. Changes term. */
void qmmi_cpu_epilogue_add_group(const qmmi_matmul_problem *p, int64_t batch, int64_t i, int64_t j, int64_t count,
                                 int64_t group, float *term, float *y);

/* ... and what follows the last group, or y = (float)acc where there is none: the factors not given per group, and the
 * rest of the epilogue. Changes y. */
void qmmi_cpu_epilogue_finish(const qmmi_matmul_problem *p, int64_t batch, int64_t i, int64_t j, int64_t count,
                              float *y);

/* Has this problem factors per group, so that a single accumulator does not serve it? */
static inline bool qmmi_cpu_grouped(const qmmi_matmul_problem *p) {
    return (p->a.grouped || p->b.grouped) && p->c.type != QMM_S32;
}

#endif
