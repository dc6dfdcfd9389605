/* SPDX-License-Identifier: Apache-2.0
 *
 * Specification of the sums that go with codes, for every row i and run of sum_cols columns, from column g * sum_cols on:
 *
 *     sums[i,g] = sum over the run of q[i,j]      the codes as they are, modulo 2^32
 *
 * A matmul whose B has zero points needs them of A: sum (a - za)(b - zb) has the term -zb * sum a. */
#include "cpu.h"
#include "element.h"
#include "loops.h"

void qmmi_cpu_row_sums(const qmmi_convert_problem *p) {
    const qmmi_view *q = &p->target;
    const unsigned char *base = qmmi_cpu_at(q->memory, q->offset);
    unsigned char *to = qmmi_cpu_at(p->sums.memory, p->sums.offset);
    const int64_t groups = q->cols > 0 ? q->cols / p->sum_cols : 1;
    if (!p->sums.memory) return;
    QMMI_CPU_PARALLEL_FOR(q->batch * q->rows * q->cols > 65536)
    for (int64_t row = 0; row < q->batch * q->rows; row++) {
        const int64_t b = row / q->rows, i = row % q->rows;
        for (int64_t g = 0; g < groups; g++) {
            const int64_t begin = g * p->sum_cols, end = q->cols > 0 ? begin + p->sum_cols : 0;
            uint32_t sum = 0;
            for (int64_t j = begin; j < end; j++)
                sum += (uint32_t)qmmi_cpu_load_code(q->type, base, qmmi_cpu_index(q, b, i, j));
            qmmi_cpu_store_code(QMM_S32, to, qmmi_cpu_param_index(&p->sums, b, i, g), (int32_t)sum);
        }
    }
}
