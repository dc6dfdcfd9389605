/* SPDX-License-Identifier: Apache-2.0
 *
 * Specification of the sums behind measure_error. Pairs are numbered in row-major order over the batch; a pair with a
 * non-finite value counts as zeros. In float32, both sides times a power of two that the host chose:
 *
 *     e = got - reference;   terms e * e, reference * reference, got * got, reference * got;   maximum of |e|
 *
 * Each sum runs over one fixed tree, so that any device can make it: blocks of 4096 consecutive terms (the last is
 * filled up with zeros); in a block, lane l of 256 adds terms l, l + 256, l + 512 ... in that order; the lanes are
 * halved, s[l] = s[l] + s[l + 128], then 64, 32 ... 1. The sums of the blocks are the terms of the next level, until
 * one is left. */
#include <math.h>
#include <string.h>

#include "cpu.h"
#include "element.h"

#define BLOCK 4096
#define LANES 256
#define LEVELS 6 /* 4096^6 = 2^72 terms */

/* A sum under way: per level, the lanes of its open block, and how many terms are in. */
typedef struct tree {
    float lanes[LEVELS][LANES];
    int filled[LEVELS];
} tree;

static void clear_level(tree *t, int level) {
    memset(t->lanes[level], 0, sizeof t->lanes[level]);
    t->filled[level] = 0;
}

static float halve(float *lanes) {
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int l = 0; l < half; l++) lanes[l] = lanes[l] + lanes[l + half];
    return lanes[0];
}

static void add_term(tree *t, int level, float term) {
    float *lane = &t->lanes[level][t->filled[level] % LANES];
    *lane = *lane + term;
    if (++t->filled[level] < BLOCK) return;
    term = halve(t->lanes[level]);
    clear_level(t, level);
    if (level + 1 < LEVELS) add_term(t, level + 1, term);
}

static bool has_terms_above(const tree *t, int level) {
    for (int above = level + 1; above < LEVELS; above++)
        if (t->filled[above] > 0) return true;
    return false;
}

/* Closes the open blocks from the bottom up; a sum that fills the block above opens one above that. */
static float finish(tree *t) {
    for (int level = 0; level < LEVELS; level++) {
        float sum;
        if (t->filled[level] == 0) continue;
        sum = halve(t->lanes[level]);
        if (!has_terms_above(t, level)) return sum;
        add_term(t, level + 1, sum);
    }
    return 0.0f;
}

typedef enum term { ERROR_SQUARED, REFERENCE_SQUARED, GOT_SQUARED, PRODUCT, TERMS } term;

qmm_status qmmi_cpu_measure_error(qmm_context *context, const qmmi_view *reference, const qmmi_view *got, float factor,
                                  qmmi_error_sums *sums) {
    const unsigned char *reference_base = qmmi_cpu_at(reference->memory, reference->offset);
    const unsigned char *got_base = qmmi_cpu_at(got->memory, got->offset);
    tree *trees = qmmi_allocate(context, TERMS * sizeof *trees);
    if (!trees) return qmmi_fail(context, QMM_OUT_OF_MEMORY, "qmm_measure_error", "no host memory for the sums");
    memset(trees, 0, TERMS * sizeof *trees);
    *sums = (qmmi_error_sums){ 0 };
    for (int64_t b = 0; b < reference->batch; b++) {
        for (int64_t i = 0; i < reference->rows; i++) {
            for (int64_t j = 0; j < reference->cols; j++) {
                float r = qmmi_cpu_load_real(reference->type, reference_base, qmmi_cpu_index(reference, b, i, j));
                float g = qmmi_cpu_load_real(got->type, got_base, qmmi_cpu_index(got, b, i, j));
                float e;
                if (!qmmn_is_finite(r) || !qmmn_is_finite(g)) {
                    sums->skipped++;
                    r = g = 0.0f;
                } else {
                    sums->count++;
                }
                sums->max_value = fmaxf(sums->max_value, fmaxf(fabsf(r), fabsf(g)));
                r = r * factor;
                g = g * factor;
                e = g - r;
                sums->max_error = fabsf(e) > sums->max_error ? fabsf(e) : sums->max_error;
                add_term(&trees[ERROR_SQUARED], 0, e * e);
                add_term(&trees[REFERENCE_SQUARED], 0, r * r);
                add_term(&trees[GOT_SQUARED], 0, g * g);
                add_term(&trees[PRODUCT], 0, r * g);
            }
        }
    }
    sums->error_squared = finish(&trees[ERROR_SQUARED]);
    sums->reference_squared = finish(&trees[REFERENCE_SQUARED]);
    sums->got_squared = finish(&trees[GOT_SQUARED]);
    sums->product = finish(&trees[PRODUCT]);
    qmmi_release(context, trees, TERMS * sizeof *trees);
    return QMM_OK;
}
