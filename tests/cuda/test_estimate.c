/* SPDX-License-Identifier: Apache-2.0
 *
 * What the rows' estimates choose, on devices as NVIDIA's data sheets describe them. No driver, simulated or other: an
 * estimate is a function of the device's facts and the problem. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../cuda/context.h"
#include "kernel.h"
#include "api/support.h"

/* ---- devices ----------------------------------------------------------------------------------------------------- */

typedef struct model {
    const char *name;
    int major, minor, multiprocessors;
    double clock, memory;
    int l2_megabytes;
} model;

static const model models[] = {
    { "T4", 7, 5, 40, 1.59e9, 320e9, 4 },          { "A100", 8, 0, 108, 1.41e9, 2.039e12, 40 },
    { "RTX 3090", 8, 6, 82, 1.695e9, 936e9, 6 },   { "RTX 4090", 8, 9, 128, 2.52e9, 1.008e12, 72 },
    { "H100", 9, 0, 132, 1.98e9, 3.352e12, 50 },   { "B200", 10, 0, 148, 1.85e9, 8e12, 126 },
    { "RTX 5090", 12, 0, 170, 2.407e9, 1.792e12, 96 },
};

typedef struct rig {
    qmmi_cuda_facts facts;
    qmmi_cuda_state state;
    qmm_context context;
} rig;

/* A context that nothing but its device's facts can be asked of. */
static const qmm_context *open_rig(rig *r, const model *m) {
    memset(r, 0, sizeof *r);
    r->facts.device = (qmmi_cuda_device){ .compute_major = m->major,
                                          .compute_minor = m->minor,
                                          .multiprocessors = m->multiprocessors,
                                          .l2_bytes = m->l2_megabytes << 20 };
    r->facts.device.rates = qmmi_cuda_rates_of(m->major, m->minor, m->multiprocessors, m->clock, m->memory);
    r->facts.capabilities = QMMI_CUDA_DP4A | QMMI_CUDA_MMA_K16 | (m->major >= 8 ? QMMI_CUDA_MMA_K32 : 0u) |
                            (m->major == 9 ? QMMI_CUDA_WGMMA : 0u);
    r->state.facts = &r->facts;
    r->context.device_state = &r->state;
    r->context.capabilities = r->facts.capabilities;
    return &r->context;
}

/* ---- problems ---------------------------------------------------------------------------------------------------- */

/* s8 by s8, rows along K that lie as kernels want them, into f16. */
static qmmi_problem problem_of(int64_t m, int64_t n, int64_t k) {
    qmmi_problem problem = { .operation = QMMI_MATMUL };
    qmmi_matmul_problem *p = &problem.as.matmul;
    *p = (qmmi_matmul_problem){ .m = m, .n = n, .k = k, .batch = 1, .group_size = k, .groups = k > 0 };
    p->a = (qmmi_operand){ .type = QMM_S8, .outer_stride = (k + 15) / 16 * 16, .k_stride = 1 };
    p->b = p->a;
    p->c = (qmmi_view){ .type = QMM_F16, .rows = m, .cols = n, .row_stride = n, .batch = 1 };
    return problem;
}

static const qmmi_row *row_named(const char *name) {
    const qmmi_row *row = qmmi_cuda_backend.rows[QMMI_MATMUL];
    while (row->name && strcmp(strrchr(row->name, ':') + 1, name) != 0) row++;
    assert_non_null(row->name);
    return row;
}

static double seconds(const qmm_context *context, const char *row, int64_t m, int64_t n, int64_t k) {
    const qmmi_problem problem = problem_of(m, n, k);
    return row_named(row)->estimate(context, &problem);
}

/* The first row, or a later one that takes less; none of these declines any problem here. */
static const char *chosen(const qmm_context *context, int64_t m, int64_t n, int64_t k, bool library) {
    const qmmi_problem problem = problem_of(m, n, k);
    const char *name = NULL;
    double least = INFINITY;
    for (const qmmi_row *r = qmmi_cuda_backend.rows[QMMI_MATMUL]; r->name; r++) {
        const bool there = (r->needs & context->capabilities) == r->needs && (library || !strstr(r->name, "cublaslt"));
        const double estimate = there && r->estimate ? r->estimate(context, &problem) : INFINITY;
        if (estimate < least) name = strrchr(r->name, ':') + 1, least = estimate;
    }
    return name ? name : "";
}

static void expect_chosen(const model *d, const qmm_context *context, int64_t m, int64_t n, int64_t k, bool library,
                          const char *wanted) {
    const char *const got = chosen(context, m, n, k, library);
    expect(strcmp(got, wanted) == 0, "%s, %lld x %lld x %lld, %s cuBLASLt: %s, not %s", d->name, (long long)m,
           (long long)n, (long long)k, library ? "with" : "without", got, wanted);
}

/* ---- tests ------------------------------------------------------------------------------------------------------- */

/* Of the weights of models' layers, for one token. */
static void test_decode(void **state) {
    static const int64_t layers[][2] = {
        { 4096, 4096 }, { 14336, 4096 }, { 4096, 14336 }, { 8192, 8192 }, { 1024, 4096 }
    };
    (void)state;
    for (size_t d = 0; d < COUNT_OF(models); d++) {
        static rig r;
        const qmm_context *const context = open_rig(&r, &models[d]);
        for (size_t i = 0; i < COUNT_OF(layers); i++)
            for (int library = 0; library < 2; library++)
                expect_chosen(&models[d], context, 1, layers[i][0], layers[i][1], library, "small");
    }
    end_of_test();
}

/* The best of ours. */
static const char *own_row(const model *m) {
    return m->major == 7 ? "mma_k16" : m->major == 9 ? "wgmma" : "mma";
}

/* Where the library has instructions that our kernels have not, it is chosen for what is large; nowhere else. */
static void test_large(void **state) {
    static const int64_t sizes[] = { 1024, 2048, 4096, 8192 };
    (void)state;
    for (size_t d = 0; d < COUNT_OF(models); d++) {
        static rig r;
        const qmm_context *const context = open_rig(&r, &models[d]);
        const char *const own = own_row(&models[d]);
        const bool newer = models[d].major == 10;
        for (size_t i = 0; i < COUNT_OF(sizes); i++) {
            expect_chosen(&models[d], context, sizes[i], sizes[i], sizes[i], false, own);
            if (!newer) expect_chosen(&models[d], context, sizes[i], sizes[i], sizes[i], true, own);
        }
        if (newer) expect_chosen(&models[d], context, 8192, 8192, 8192, true, "cublaslt");
    }
    end_of_test();
}

/* From one row of A to 64 the choice changes once. */
static void test_few_rows(void **state) {
    static const int64_t layers[][2] = { { 4096, 4096 }, { 14336, 4096 }, { 4096, 14336 }, { 8192, 8192 } };
    (void)state;
    for (size_t d = 0; d < COUNT_OF(models); d++) {
        static rig r;
        const qmm_context *const context = open_rig(&r, &models[d]);
        for (size_t i = 0; i < COUNT_OF(layers); i++) {
            const char *before = "small";
            int changes = 0;
            for (int64_t m = 1; m <= 64; m++) {
                const char *const now = chosen(context, m, layers[i][0], layers[i][1], false);
                changes += strcmp(now, before) != 0;
                before = now;
            }
            expect(changes == 1 && strcmp(before, own_row(&models[d])) == 0, "%s, %lld x %lld: %d changes, to %s",
                   models[d].name, (long long)layers[i][0], (long long)layers[i][1], changes, before);
        }
    }
    end_of_test();
}

/* More work never takes less time, within 64 of each dimension: a tile, or a part of one. N and K that are no multiples
 * of 4 have to be rewritten for the library, which does take time. */
static void test_monotone(void **state) {
    (void)state;
    for (size_t d = 0; d < COUNT_OF(models); d++) {
        static rig r;
        const qmm_context *const context = open_rig(&r, &models[d]);
        for (const qmmi_row *row = qmmi_cuda_backend.rows[QMMI_MATMUL]; row->name; row++) {
            if (!row->estimate || (row->needs & context->capabilities) != row->needs) continue;
            for (int64_t size = 64; size <= 1024; size += 64) {
                for (int64_t more = 0; more < 60; more += 4) {
                    const qmmi_problem less[] = { problem_of(size - 60 + more, 512, 1024),
                                                  problem_of(128, size - 60 + more, 1024),
                                                  problem_of(128, 512, size - 60 + more) };
                    const qmmi_problem large[] = { problem_of(size, 512, 1024), problem_of(128, size, 1024),
                                                   problem_of(128, 512, size) };
                    for (int way = 0; way < 3; way++) {
                        const double a = row->estimate(context, &less[way]), b = row->estimate(context, &large[way]);
                        expect(a > 0 && isfinite(b) && a <= b * (1 + 1e-12),
                               "%s, %s: dimension %d of %lld takes %g s, of %lld %g s", models[d].name, row->name, way,
                               (long long)(size - 60 + more), a, (long long)size, b);
                    }
                }
            }
        }
    }
    end_of_test();
}

/* Nothing to multiply, and what is not known of a device, are no numbers to choose by. */
static void test_edges(void **state) {
    static rig r;
    static const model unknown = { "unknown", 13, 0, 1, 0, 0, 0 };
    const qmm_context *const context = open_rig(&r, &unknown);
    (void)state;
    for (const qmmi_row *row = qmmi_cuda_backend.rows[QMMI_MATMUL]; row->name; row++) {
        const qmmi_problem empty[] = { problem_of(0, 8, 8), problem_of(8, 0, 8), problem_of(8, 8, 0) };
        const qmmi_problem some[] = { problem_of(1, 1, 1), problem_of(INT32_MAX, INT32_MAX, INT32_MAX) };
        if (!row->estimate || (row->needs & context->capabilities) != row->needs) continue;
        for (size_t i = 0; i < COUNT_OF(empty); i++)
            expect(row->estimate(context, &empty[i]) <= 0, "%s: time for nothing", row->name);
        for (size_t i = 0; i < COUNT_OF(some); i++) {
            const double estimate = row->estimate(context, &some[i]);
            expect(estimate > 0 && isfinite(estimate), "%s: %g s on a device not known", row->name, estimate);
        }
    }
    end_of_test();
}

/* Work that a row leaves to others to prepare is counted. */
static void test_preparation(void **state) {
    static rig r;
    const qmm_context *const context = open_rig(&r, &models[4]);
    const double direct = seconds(context, "mma", 512, 4096, 4096);
    qmmi_problem problem = problem_of(512, 4096, 4096);
    (void)state;
    problem.as.matmul.b.outer_stride = 1, problem.as.matmul.b.k_stride = 4096; /* along N: to be turned */
    expect(row_named("mma")->estimate(context, &problem) > direct, "turning B takes no time");
    problem = problem_of(512, 4096, 4096);
    problem.as.matmul.a.type = QMM_U8;
    expect(row_named("mma")->estimate(context, &problem) > direct, "rewriting A takes no time");
    end_of_test();
}

/* A variant's time is that of its tile, and the row's own choice, which it names, is the one that takes the least. */
static void expect_best_variant(const model *d, const qmm_context *context, const qmmi_row *row, const int64_t *size) {
    qmmi_problem problem = problem_of(size[0], size[1], size[2]);
    const double own = row->estimate(context, &problem);
    const int picked = row->picks(context, &problem);
    double least = INFINITY, of_picked = 0;
    for (int v = 0; row->variants[v]; v++) {
        double estimate;
        problem.as.matmul.variant = v + 1;
        estimate = row->estimate(context, &problem);
        least = fmin(least, estimate);
        if (v + 1 == picked) of_picked = estimate;
    }
    expect(fabs(least - own) <= 1e-12 * own && fabs(of_picked - own) <= 1e-12 * own,
           "%s, %s, %lld x %lld x %lld: %g s, the best variant %g s, variant %d %g s", d->name, row->name,
           (long long)size[0], (long long)size[1], (long long)size[2], own, least, picked, of_picked);
}

static void test_variants(void **state) {
    static const int64_t sizes[][3] = { { 64, 4096, 4096 }, { 8192, 8192, 8192 }, { 300, 260, 2048 },
                                        { 17, 8192, 1024 }, { 640, 640, 640 },    { 4096, 128, 16384 } };
    (void)state;
    for (size_t d = 1; d < COUNT_OF(models); d++) {
        static rig r;
        const qmm_context *const context = open_rig(&r, &models[d]);
        for (const qmmi_row *row = qmmi_cuda_backend.rows[QMMI_MATMUL]; row->name; row++) {
            if (!row->picks || (row->needs & context->capabilities) != row->needs) continue;
            for (int again = 0; again < 2; again++) /* what a context keeps of its choices changes none */
                for (size_t i = 0; i < COUNT_OF(sizes); i++) expect_best_variant(&models[d], context, row, sizes[i]);
        }
    }
    end_of_test();
}

/* ---- wgmma ------------------------------------------------------------------------------------------------------- */

static const model *const h100 = &models[4];

static const char *tile_of(const qmm_context *context, int64_t m, int64_t n, int64_t k) {
    const qmmi_problem problem = problem_of(m, n, k);
    const qmmi_row *const row = row_named("wgmma");
    return row->variants[row->picks(context, &problem) - 1];
}

/* Large tiles in pairs, but not for a single wave; the operands swapped for few rows of A; widths that waste less. */
static void test_tiles(void **state) {
    static const struct {
        int64_t m, n, k;
        const char *tiles; /* that are right */
    } cases[] = {
        { 8192, 8192, 8192, "128x256c2" },   { 4096, 4096, 4096, "128x256c2" }, { 16384, 28672, 8192, "128x256c2" },
        { 2048, 2048, 8192, "128x256 256x128" }, /* 128 tiles for 132 multiprocessors */
        { 512, 8192, 8192, "128x256 256x128" },  { 1024, 8192, 8192, "128x256c2" }, /* twice as many */
        { 5, 4096, 4096, "16x128" },         { 16, 4096, 4096, "16x128" },      { 16, 14336, 4096, "16x128" },
        { 17, 4096, 4096, "32x128" },        { 32, 4096, 4096, "32x128" },
        { 64, 4096, 4096, "16x128 32x128 64x128" }, /* 16 rows, four times, fill the device without a split */
        { 64, 14336, 4096, "64x128" },       { 48, 16384, 4096, "64x128" },
        { 131072, 192, 4096, "128x192 128x192c2" }, { 131072, 160, 4096, "128x160" }, { 4096, 192, 8192, "128x192" },
        { 1920, 4096, 4096, "128x160" },     /* 15 x 26 tiles in 3 waves; of 256 columns, the last is half empty */
    };
    static rig r;
    const qmm_context *const context = open_rig(&r, h100);
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const char *const got = tile_of(context, cases[i].m, cases[i].n, cases[i].k), *at = cases[i].tiles;
        bool found = false;
        while (*at && !found) {
            const size_t length = strcspn(at, " ");
            found = strlen(got) == length && strncmp(at, got, length) == 0;
            at += length + strspn(at + length, " ");
        }
        expect(found, "%lld x %lld x %lld: %s, not %s", (long long)cases[i].m, (long long)cases[i].n,
               (long long)cases[i].k, got, cases[i].tiles);
    }
    end_of_test();
}

/* A tile of 128 x 256, alone and in a pair: an odd tile in M costs the pair a half of its work, a single wave more than
 * it saves. */
static void test_pairs(void **state) {
    static rig r;
    const qmm_context *const context = open_rig(&r, h100);
    const qmmi_row *const row = row_named("wgmma");
    const int pair = qmmi_row_find_variant(row, "128x256c2"), single = qmmi_row_find_variant(row, "128x256");
    static const struct {
        int64_t m, n;
        bool pays;
    } cases[] = { { 12 * 128, 11 * 256, false }, { 24 * 128, 11 * 256, true }, { 96 * 128, 22 * 256, true },
                  { 11 * 128, 12 * 256, false }, { 128, 132 * 256, false } };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        qmmi_problem problem = problem_of(cases[i].m, cases[i].n, 16384);
        double in_pairs, alone;
        problem.as.matmul.variant = pair;
        in_pairs = row->estimate(context, &problem);
        problem.as.matmul.variant = single;
        alone = row->estimate(context, &problem);
        expect((in_pairs < alone) == cases[i].pays, "%lld x %lld: %g s in pairs, %g s alone", (long long)cases[i].m,
               (long long)cases[i].n, in_pairs, alone);
    }
    end_of_test();
}

/* u8 in A is read where it lies, at no cost; beyond the K of an int32, and as B, it is rewritten. */
static void test_unsigned(void **state) {
    static rig r;
    const qmm_context *const context = open_rig(&r, h100);
    const qmmi_row *const row = row_named("wgmma");
    qmmi_problem problem = problem_of(4096, 4096, 4096), longer = problem_of(64, 64, 65793), longest = longer;
    const double plain = row->estimate(context, &problem), plain_longer = row->estimate(context, &longer);
    (void)state;
    problem.as.matmul.a.type = longer.as.matmul.a.type = longest.as.matmul.a.type = QMM_U8;
    expect(fabs(row->estimate(context, &problem) - plain) <= 0, "u8 costs time");
    expect(row->workspace(context, &problem) == 0, "u8 needs a workspace");
    expect(fabs(row->estimate(context, &longer) - plain_longer) <= 0, "u8 costs time, at the longest K");
    longest.as.matmul.k = longest.as.matmul.group_size = 65794;
    expect(row->estimate(context, &longest) > plain_longer * 1.01, "more than the longest K is not rewritten");
    problem.as.matmul.a.zero.integer_value = 7; /* sums of B */
    expect(row->estimate(context, &problem) > plain && row->workspace(context, &problem) >= 4096 * 4,
           "a zero point is free");
    problem.as.matmul.a.zero.integer_value = 0;
    problem.as.matmul.b.type = QMM_U8;
    expect(row->workspace(context, &problem) >= (size_t)4096 * 4096, "u8 in B is not rewritten");
    end_of_test();
}

/* A split tile has its sums and, for each thread block of the cluster and each of its warpgroups, a counter. */
static void test_split_workspace(void **state) {
    static rig r;
    const qmm_context *const context = open_rig(&r, h100);
    const qmmi_row *const row = row_named("wgmma");
    qmmi_problem problem = problem_of(8192, 28672, 8192);
    qmmi_split split;
    size_t least;
    (void)state;
    problem.as.matmul.variant = qmmi_row_find_variant(row, "128x256c2");
    split = row->split(context, &problem);
    least = (size_t)split.tiles * (256 * 256 * 4 + 4 * 4);
    expect(split.tiles == 3584 % 66 && split.sharers == 66, "%lld tiles among %lld", (long long)split.tiles,
           (long long)split.sharers);
    expect(row->workspace(context, &problem) >= least, "%zu bytes, less than %zu", row->workspace(context, &problem),
           least);
    problem = problem_of(8192, 8192, 8192); /* 34 tiles for 66 clusters: the others would be idle for 4,000 k */
    problem.as.matmul.variant = qmmi_row_find_variant(row, "128x256c2");
    split = row->split(context, &problem);
    expect(split.tiles == 1024 % 66 && split.sharers == 66, "%lld tiles among %lld", (long long)split.tiles,
           (long long)split.sharers);
    problem = problem_of(4096, 4096, 4096); /* 58 of 66 in the last wave: parts would cost more than they save */
    problem.as.matmul.variant = qmmi_row_find_variant(row, "128x256c2");
    split = row->split(context, &problem);
    expect(split.tiles == 0 && row->workspace(context, &problem) == 0, "%lld tiles are split", (long long)split.tiles);
    end_of_test();
}

/* Matrices of a batch that lie in one another, or not at a whole number of rows, are rewritten for the copy engine. */
static void test_batches(void **state) {
    static const struct {
        int64_t m, row_stride, batch_stride;
        bool direct;
    } cases[] = { { 64, 256, 64 * 256, true },  { 64, 256, 80 * 256, true },       { 64, 256, 0, true },
                  { 64, 256, 32 * 256, false }, { 64, 272, 64 * 272 + 16, false }, { 1, 256, 256, true },
                  { 1, 256, 16, false } };
    static rig r;
    const qmm_context *const context = open_rig(&r, h100);
    const qmmi_row *const row = row_named("wgmma");
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        qmmi_problem problem = problem_of(cases[i].m, 64, 256);
        problem.as.matmul.batch = 3;
        problem.as.matmul.variant = qmmi_row_find_variant(row, "64x128");
        problem.as.matmul.a.outer_stride = cases[i].row_stride, problem.as.matmul.a.batch_stride = cases[i].batch_stride;
        expect((row->workspace(context, &problem) == 0) == cases[i].direct, "case %zu: %zu bytes", i,
               row->workspace(context, &problem));
    }
    end_of_test();
}

/* What the copy engine cannot step over, and factors per group. */
static void test_refusals(void **state) {
    static rig r;
    const qmm_context *const context = open_rig(&r, h100);
    const qmmi_row *const row = row_named("wgmma");
    qmmi_problem wide = problem_of(64, 64, 64), high = wide, many = wide, grouped = wide, far = wide;
    (void)state;
    expect(row->accepts(context, &wide) == NULL, "it does not accept what is plain");
    wide.as.matmul.n = high.as.matmul.m = many.as.matmul.batch = INT32_MAX - 512;
    far.as.matmul.a.batch_stride = (int64_t)1 << 40;
    grouped.as.matmul.b.grouped = true;
    grouped.as.matmul.group_size = 32, grouped.as.matmul.groups = 2;
    expect(row->accepts(context, &wide) && row->accepts(context, &high) && row->accepts(context, &many) &&
               row->accepts(context, &far) && row->accepts(context, &grouped),
           "it accepts what it cannot do");
    expect(row->estimate(context, &grouped) <= 0, "it has an estimate of what it does not do");
    far.as.matmul.a.batch_stride = ((int64_t)1 << 40) - 16;
    expect(row->accepts(context, &far) == NULL, "it does not accept the farthest");
    end_of_test();
}

/* Factors per group fix the order of K, so that a tile stays whole: it takes some times as long as one that many blocks
 * share, and with twice the K twice as long. */
static void test_groups_are_not_split(void **state) {
    static const char *const rows[] = { "dp4a", "mma_k16", "mma" };
    (void)state;
    for (size_t d = 1; d < COUNT_OF(models); d++) {
        static rig r;
        const qmm_context *const context = open_rig(&r, &models[d]);
        for (size_t i = 0; i < COUNT_OF(rows); i++) {
            qmmi_problem problem = problem_of(128, 128, 65536);
            const double plain = row_named(rows[i])->estimate(context, &problem);
            double one, two;
            problem.as.matmul.b.grouped = true;
            problem.as.matmul.group_size = 128, problem.as.matmul.groups = 512;
            one = row_named(rows[i])->estimate(context, &problem);
            problem.as.matmul.k *= 2, problem.as.matmul.groups *= 2;
            two = row_named(rows[i])->estimate(context, &problem);
            expect(one > 4 * plain && two > 1.9 * one, "%s, %s: %g s in groups, %g s of twice the K, %g s without",
                   models[d].name, rows[i], one, two, plain);
        }
    }
    end_of_test();
}

/* A round that gives a multiprocessor one tile takes less than one that gives it two. */
static void test_last_round(void **state) {
    (void)state;
    for (size_t d = 1; d < COUNT_OF(models); d++) {
        static rig r;
        const qmm_context *const context = open_rig(&r, &models[d]);
        const int64_t n = 128 * (int64_t)models[d].multiprocessors;
        qmmi_problem one = problem_of(64, n / 2, 512), two = problem_of(64, n, 512); /* of small tiles, at least */
        one.as.matmul.variant = two.as.matmul.variant = 2;
        expect(row_named("mma")->estimate(context, &one) < row_named("mma")->estimate(context, &two),
               "%s: half a round takes as long as a round", models[d].name);
    }
    end_of_test();
}

/* A batch of matrices that are done one by one costs the library's launches each. */
static void test_library_launches(void **state) {
    static rig r;
    const qmm_context *const context = open_rig(&r, &models[4]);
    const qmmi_row *const row = row_named("cublaslt");
    qmmi_problem one = problem_of(4096, 4096, 64), many = one;
    double single, all;
    (void)state;
    many.as.matmul.batch = 16;
    many.as.matmul.a.batch_stride = many.as.matmul.b.batch_stride = 4096 * 64;
    single = row->estimate(context, &one), all = row->estimate(context, &many);
    expect(all > 15 * single, "16 matrices take %g s, one %g s", all, single);
    end_of_test();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decode),   cmocka_unit_test(test_large), cmocka_unit_test(test_few_rows),
        cmocka_unit_test(test_monotone), cmocka_unit_test(test_edges), cmocka_unit_test(test_preparation),
        cmocka_unit_test(test_variants), cmocka_unit_test(test_groups_are_not_split),
        cmocka_unit_test(test_tiles),    cmocka_unit_test(test_pairs), cmocka_unit_test(test_unsigned),
        cmocka_unit_test(test_split_workspace), cmocka_unit_test(test_batches), cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_last_round), cmocka_unit_test(test_library_launches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
