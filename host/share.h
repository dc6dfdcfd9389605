/* SPDX-License-Identifier: Apache-2.0
 *
 * What backends need to share out a tensor among the threads of a device. */
#ifndef QMMI_SHARE_H
#define QMMI_SHARE_H

#include "problem.h"

/* How many parts of that size the whole takes. */
static inline int64_t qmmi_parts(int64_t whole, int64_t part) {
    return whole / part + (whole % part != 0);
}

static inline int64_t qmmi_smaller(int64_t x, int64_t y) {
    return x < y ? x : y;
}

/* Of 2^most_log2 lanes that take `run` elements of a row each, in turn: as many as leave at most a quarter of their
 * last places in a row empty, measured over the row. The logarithm of their number. */
int32_t qmmi_lanes_log2(int64_t cols, int64_t run, int32_t most_log2);

/* A copy of the problem in which rows that follow one another without a gap and share their parameters are one long
 * row; and matrices likewise. */
qmmi_convert_problem qmmi_joined(const qmmi_problem *problem);

/* The same for a tensor alone. */
void qmmi_join_view(qmmi_view *v);

#endif
