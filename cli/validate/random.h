/* SPDX-License-Identifier: Apache-2.0
 *
 * Random numbers of a case: splitmix64 (Steele, Lea, Flood 2014), the same on every machine. */
#ifndef QMM_VALIDATE_RANDOM_H
#define QMM_VALIDATE_RANDOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct validate_random {
    uint64_t state;
} validate_random;

/* A sequence of its own for each seed, operation and number. */
void validate_random_start(validate_random *r, uint64_t seed, const char *operation, int64_t index);

uint64_t validate_draw(validate_random *r);
int64_t validate_between(validate_random *r, int64_t low, int64_t high); /* both may come */
bool validate_one_in(validate_random *r, int64_t n);
double validate_unit(validate_random *r);   /* 0 <= x < 1 */
double validate_normal(validate_random *r); /* about normal: a sum of uniform numbers */
void validate_noise(validate_random *r, unsigned char *bytes, size_t count);

/* One of an array. */
#define VALIDATE_PICK(r, array) ((array)[validate_between((r), 0, (int64_t)(sizeof(array) / sizeof((array)[0])) - 1)])

#endif
