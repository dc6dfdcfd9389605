/* SPDX-License-Identifier: Apache-2.0
 *
 * Ours beside a peer: the two take turns, so that a machine that slows down slows both; figures are medians, with the
 * fastest and slowest run beside them. */
#ifndef QMM_BENCH_PAIR_H
#define QMM_BENCH_PAIR_H

#include "common.h"

typedef void (*bench_work)(void *state);

/* Times of `runs` turns of each, after one turn that is not timed. peer may be NULL. */
void bench_pair(bench_work ours, bench_work peer, void *state, int runs, bench_timing *our_time, bench_timing *peer_time);

/* The head of the Markdown table, and a line of it, also to `json` unless that is NULL: `amount` operations or bytes in
 * `unit`, per second. peer is "" where there is none. */
void bench_pair_head(void);
void bench_pair_report(FILE *json, const char *name, const char *shape, double amount, const char *unit,
                       bench_timing ours, const char *peer, bench_timing theirs);

#endif
