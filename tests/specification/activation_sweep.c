/* SPDX-License-Identifier: Apache-2.0
 *
 * Measures the activations of host/numerics_activation.h against the C library's double functions, in ulp of the true
 * value, and holds them to the bounds that header states.
 *
 *     activation_sweep           every 977th float and the edge cases, 2 seconds
 *     activation_sweep --all     all 2^32 floats, minutes; on all cores if built with -fopenmp
 *     activation_sweep --pins    prints the pinned numbers as C, after a deliberate change of the functions
 *
 * Needs only the headers and libm. Build as the library is built: -ffp-contract=off.
 */
#include "numerics_activation.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

#define QUIET_NAN_BITS 0x7fc00000u
#define INFINITY_BITS 0x7f800000u
#define SIGN_BIT 0x80000000u
#define SUBSET_STRIDE 977u

/* ---- the true functions, arranged so that the negative tail keeps its relative accuracy -------------------------- */

static double true_relu(double x) {
    return x > 0.0 ? x : 0.0;
}

static double true_silu(double x) {
    return x / (1.0 + exp(-x));
}

static double true_gelu(double x) {
    return 0.5 * x * erfc(-x * 0.70710678118654752440);
}

static double true_gelu_tanh(double x) {
    return x / (1.0 + exp(-1.5957691216057307118 * (x + 0.044715 * x * x * x)));
}

/* ---- what is checked --------------------------------------------------------------------------------------------- */

typedef struct {
    uint32_t x, y;
} pinned_bits;

typedef struct {
    const char *name;
    float (*function)(float);
    double (*true_function)(double);
    double max_ulp;          /* the bound numerics_activation.h states */
    float decreasing_until;  /* at or below this x it decreases or is flat, at or above 0 it increases */
    uint32_t negative_limit; /* the bits of f(-Inf) */
    uint64_t checksum;       /* of the bits of f over the default subset */
    uint32_t pins[16];       /* the bits of f at pin_inputs */
} activation;

/* Both tails, the worst inputs, the border of gelu's two pieces, subnormal arguments and results, and two places
 * (-0x1.504ff4p-4 and -0x1.af3b9ep-3) where contraction into FMA changes all three. */
static const float pin_inputs[16] = {
    0x1p-149f,        -0x1.23456p-130f, 0x1.fffffep-13f,  -0x1.504ff4p-4f,  -0x1.6a99fap+0f,
    -0x1.af3b9ep-3f,  0x1p+0f,          -0x1.62c43cp+0f,  -0x1.4p+0f,       0x1.921fb6p+1f,
    -0x1.9b6e42p+1f,  -0x1.32e62cp+2f,  -0x1.4ccccp+3f,   -0x1.a7ap+3f,     -0x1.5d999ap+6f,
    0x1.fffffep+127f,
};

static float call_relu(float x) { return qmmn_relu(x); }
static float call_silu(float x) { return qmmn_silu(x); }
static float call_gelu(float x) { return qmmn_gelu(x); }
static float call_gelu_tanh(float x) { return qmmn_gelu_tanh(x); }

static const activation activations[] = {
    {"relu", call_relu, true_relu, 0.0, -INFINITY, 0u, UINT64_C(0x80e0a497894cc7cd),
        {0x00000001u, 0x00000000u, 0x397fffffu, 0x00000000u, 0x00000000u, 0x00000000u, 0x3f800000u, 0x00000000u,
         0x00000000u, 0x40490fdbu, 0x00000000u, 0x00000000u, 0x00000000u, 0x00000000u, 0x00000000u, 0x7f7fffffu}},
    {"silu", call_silu, true_silu, 2.76, -1.5f, SIGN_BIT, UINT64_C(0xf5912e2649692dc0),
        {0x00000000u, 0x80048d16u, 0x39000400u, 0xbd2141b0u, 0xbe8d93d9u, 0xbdc0ffe2u, 0x3f3b26a8u, 0xbe8df644u,
         0xbe8e8731u, 0x4040bbb1u, 0xbdfe4dcfu, 0xbd211328u, 0xb9a5ee8fu, 0xb7c5cab2u, 0x83a40d68u, 0x7f7fffffu}},
    {"gelu", call_gelu, true_gelu, 2.85, -1.0f, SIGN_BIT, UINT64_C(0x2afc7503d79d81e9),
        {0x00000001u, 0x80048d16u, 0x39000662u, 0xbd1d26f9u, 0xbde33692u, 0xbdb3a861u, 0x3f57625eu, 0xbdeb4a20u,
         0xbe073b51u, 0x4048e49cu, 0xbb09ba05u, 0xb682ae13u, 0x97c783ccu, 0x802603aeu, 0x80000000u, 0x7f7fffffu}},
    {"gelu_tanh", call_gelu_tanh, true_gelu_tanh, 2.78, -1.0f, SIGN_BIT, UINT64_C(0x9e679337bae15629),
        {0x00000000u, 0x80048d16u, 0x39000661u, 0xbd1d26fdu, 0xbde3afe5u, 0xbdb3a8b6u, 0x3f57585cu, 0xbdebc46du,
         0xbe0775eeu, 0x4048ea6eu, 0xbae92336u, 0xb56a0858u, 0x800018e9u, 0x80000000u, 0x80000000u, 0x7f7fffffu}},
};

typedef struct {
    double worst_ulp;
    float worst_x;
    uint64_t checksum;
    uint64_t broken; /* inputs where a rule other than the bound is broken */
    float broken_x;
} findings;

/* The distance between floats next to v. */
static double ulp(double v) {
    int exponent;
    (void)frexp(v, &exponent);
    return ldexp(1.0, exponent < -125 ? -149 : exponent - 24);
}

/* The rules for x = NaN, +-Inf and +-0. */
static int special_value_is_right(const activation *f, float x, uint32_t y_bits) {
    if (x != x) return y_bits == QUIET_NAN_BITS;
    if (x == INFINITY) return y_bits == INFINITY_BITS;
    if (x == -INFINITY) return y_bits == f->negative_limit;
    return y_bits == (qmmn_as_uint(x) & f->negative_limit); /* zero keeps its sign, but for relu */
}

/* y lies between x and 0, and f increases from the float 2^14 steps nearer to 0 (decreases, left of its minimum). */
static int shape_is_right(const activation *f, float x, float y) {
    const uint32_t bits = qmmn_as_uint(x), magnitude = bits & ~SIGN_BIT;
    const float nearer = qmmn_as_float(magnitude < (1u << 14) ? bits & SIGN_BIT : bits - (1u << 14));
    if (x > 0.0f) return y >= 0.0f && y <= x && y >= f->function(nearer);
    return y <= 0.0f && y >= x && (nearer > f->decreasing_until || y >= f->function(nearer));
}

static void check_one(const activation *f, uint32_t bits, findings *found) {
    const float x = qmmn_as_float(bits);
    const float y = f->function(x);
    const uint64_t mixed = ((uint64_t)bits << 32 | qmmn_as_uint(y)) * UINT64_C(0x9e3779b97f4a7c15);
    int right;
    found->checksum += mixed ^ mixed >> 32; /* a sum, so that the order of the threads does not matter */
    if (x != x || x == 0.0f || !qmmn_is_finite(x)) {
        right = special_value_is_right(f, x, qmmn_as_uint(y));
    } else {
        const double exact = f->true_function((double)x);
        const double error = fabs((double)y - exact) / ulp(exact);
        right = shape_is_right(f, x, y) && error == error;
        if (error > found->worst_ulp) {
            found->worst_ulp = error;
            found->worst_x = x;
        }
    }
    if (!right) {
        if (found->broken == 0) found->broken_x = x;
        found->broken++;
    }
}

static void merge(findings *into, const findings *from) {
    if (from->worst_ulp > into->worst_ulp) {
        into->worst_ulp = from->worst_ulp;
        into->worst_x = from->worst_x;
    }
    into->checksum += from->checksum;
    if (into->broken == 0) into->broken_x = from->broken_x;
    into->broken += from->broken;
}

static findings sweep(const activation *f, uint32_t stride) {
    static const float borders[] = {
        0.0f,  0x1p-149f, 0x1p-126f, 0x1p-25f, 0x1p-12f, 1.0f,  1.25f,  8.0f,   10.5f, 11.0f,
        13.0f, 14.0f,     14.5f,     15.0f,    87.0f,    88.0f, 104.0f, 112.0f, 0x1.fffffep+127f,
    };
    findings all = {0.0, 0.0f, 0, 0, 0.0f};
#ifdef _OPENMP
#pragma omp parallel for schedule(dynamic)
#endif
    for (int block = 0; block < 4096; block++) { /* 2^20 consecutive floats each */
        findings own = {0.0, 0.0f, 0, 0, 0.0f};
        const uint64_t end = (uint64_t)(block + 1) << 20;
        uint64_t bits = ((uint64_t)block << 20) + stride - 1;
        for (bits -= bits % stride; bits < end; bits += stride) check_one(f, (uint32_t)bits, &own);
#ifdef _OPENMP
#pragma omp critical
#endif
        merge(&all, &own);
    }
    for (size_t i = 0; i < LENGTH(borders); i++) {
        for (uint32_t offset = 0; offset <= 64; offset++) {
            const uint32_t magnitude = qmmn_as_uint(borders[i]) + offset - 32u; /* below 0 it wraps to NaN and Inf */
            check_one(f, magnitude & ~SIGN_BIT, &all);
            check_one(f, magnitude | SIGN_BIT, &all);
        }
    }
    return all;
}

static int wrong_pins(const activation *f) {
    int wrong = 0;
    for (size_t i = 0; i < LENGTH(pin_inputs); i++) {
        const uint32_t y = qmmn_as_uint(f->function(pin_inputs[i]));
        if (y == f->pins[i]) continue;
        printf("%s: at x=%a the bits are %08" PRIx32 ", pinned %08" PRIx32 "\n", f->name, (double)pin_inputs[i], y,
               f->pins[i]);
        wrong++;
    }
    return wrong;
}

static void print_pins(const activation *f) {
    printf("%s: checksum UINT64_C(0x%016" PRIx64 "), pins", f->name, sweep(f, SUBSET_STRIDE).checksum);
    for (size_t i = 0; i < LENGTH(pin_inputs); i++)
        printf(" 0x%08" PRIx32 "u,", qmmn_as_uint(f->function(pin_inputs[i])));
    printf("\n");
}

int main(int argc, char **argv) {
    const int print = argc == 2 && strcmp(argv[1], "--pins") == 0;
    const int all = argc == 2 && strcmp(argv[1], "--all") == 0;
    int failed = 0;
    if (argc > 1 && !all && !print) {
        fprintf(stderr, "usage: %s [--all | --pins]\n", argv[0]);
        return 2;
    }
    for (size_t i = 0; i < LENGTH(activations); i++) {
        const activation *f = &activations[i];
        if (print) {
            print_pins(f);
            continue;
        }
        failed |= wrong_pins(f) != 0;
        const findings found = sweep(f, all ? 1u : SUBSET_STRIDE);
        printf("%s: max %.3f ulp at x=%a\n", f->name, found.worst_ulp, (double)found.worst_x);
        if (!all && found.checksum != f->checksum) {
            printf("%s: FAILED, the checksum is %016" PRIx64 ", pinned %016" PRIx64 "\n", f->name,
                   found.checksum, f->checksum);
            failed = 1;
        }
        if (found.worst_ulp > f->max_ulp) {
            printf("%s: FAILED, the bound is %.3f ulp\n", f->name, f->max_ulp);
            failed = 1;
        }
        if (found.broken != 0) {
            printf("%s: FAILED, a rule is broken at %" PRIu64 " inputs, one is x=%a\n", f->name, found.broken,
                   (double)found.broken_x);
            failed = 1;
        }
        fflush(stdout);
    }
    return failed;
}
