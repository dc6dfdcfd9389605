/* SPDX-License-Identifier: Apache-2.0
 *
 * Whether the result of a measured matmul is right: bit for bit against the reference row of the cpu device, or by
 * Freivalds' check where that would take too long. */
#ifndef QMM_BENCH_VERIFY_H
#define QMM_BENCH_VERIFY_H

#include "call.h"

/* Operations up to which it compares: a tenth of a second of the reference row. */
#define BENCH_EXACT_LIMIT 2147483648.0

typedef struct bench_verifier {
    qmm_context *cpu;
    cli_operands expected; /* of the case at hand; no copies: not made yet */
    double limit;          /* of operations */
    uint64_t seed;
} bench_verifier;

/* Nothing is opened yet. */
void bench_verifier_open(bench_verifier *v, uint64_t seed);
void bench_verifier_close(bench_verifier *v);

/* A new case begins. */
void bench_verifier_next(bench_verifier *v);

/* Looks at C of the first copy of *operands, which were made from the verifier's seed. Gives "exact", "freivalds" (it
 * is right) or "wrong", with the place in `text`; NULL where it cannot be checked, with the reason in `text`. Waits
 * for the device. */
const char *bench_verify(bench_verifier *v, const cli_operands *operands, char *text, size_t bytes);

#endif
