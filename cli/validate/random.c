/* SPDX-License-Identifier: Apache-2.0 */
#include "random.h"

#include <string.h>

uint64_t validate_draw(validate_random *r) {
    uint64_t z = r->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

void validate_random_start(validate_random *r, uint64_t seed, const char *operation, int64_t index) {
    r->state = seed;
    r->state = validate_draw(r);
    for (; *operation; operation++) {
        r->state += (uint64_t)(unsigned char)*operation;
        r->state = validate_draw(r);
    }
    r->state += (uint64_t)index;
    r->state = validate_draw(r);
}

int64_t validate_between(validate_random *r, int64_t low, int64_t high) {
    const uint64_t count = (uint64_t)high - (uint64_t)low + 1;
    return low + (int64_t)(validate_draw(r) % count);
}

bool validate_one_in(validate_random *r, int64_t n) {
    return validate_between(r, 1, n) == 1;
}

double validate_unit(validate_random *r) {
    return (double)(validate_draw(r) >> 11) * 0x1p-53;
}

double validate_normal(validate_random *r) {
    double sum = -6.0;
    for (int i = 0; i < 12; i++) sum += validate_unit(r);
    return sum;
}

void validate_noise(validate_random *r, unsigned char *bytes, size_t count) {
    for (size_t i = 0; i < count; i += 8) {
        const uint64_t z = validate_draw(r);
        memcpy(bytes + i, &z, count - i < 8 ? count - i : 8);
    }
}
