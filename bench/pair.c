/* SPDX-License-Identifier: Apache-2.0 */
#include "pair.h"

static double timed(bench_work run, void *state) {
    const double start = bench_now();
    run(state);
    return bench_now() - start;
}

void bench_pair(bench_work ours, bench_work peer, void *state, int runs, bench_timing *our_time,
                bench_timing *peer_time) {
    double a[BENCH_RUNS_MAX], b[BENCH_RUNS_MAX];
    ours(state);
    if (peer) peer(state);
    for (int i = 0; i < runs; i++) {
        a[i] = timed(ours, state);
        b[i] = peer ? timed(peer, state) : 0.0;
    }
    *our_time = bench_summarize(a, runs);
    *peer_time = bench_summarize(b, runs);
}

void bench_pair_head(void) {
    printf("| what | shape | qmm: median (slowest-fastest) | peer: median | qmm / peer |\n|---|---|---|---|---|\n");
}

void bench_pair_report(FILE *json, const char *name, const char *shape, double amount, const char *unit,
                       bench_timing ours, const char *peer, bench_timing theirs) {
    static int json_rows;
    printf("| %s | %s | %.4g (%.4g-%.4g) %s |", name, shape, amount / ours.median * 1e-9, amount / ours.slowest * 1e-9,
           amount / ours.fastest * 1e-9, unit);
    if (peer[0])
        printf(" %s %.4g | %.2f |\n", peer, amount / theirs.median * 1e-9, theirs.median / ours.median);
    else
        printf(" - | - |\n");
    fflush(stdout);
    if (!json) return;
    fprintf(json,
            "%s\n    {\"name\": \"%s\", \"shape\": \"%s\", \"unit\": \"%s\", \"median\": %.6g, \"slowest\": %.6g, "
            "\"fastest\": %.6g, \"peer\": \"%s\", \"peer_median\": %.6g, \"ratio\": %.4g}",
            json_rows++ ? "," : "", name, shape, unit, amount / ours.median * 1e-9, amount / ours.slowest * 1e-9,
            amount / ours.fastest * 1e-9, peer, peer[0] ? amount / theirs.median * 1e-9 : 0.0,
            peer[0] ? theirs.median / ours.median : 0.0);
}
