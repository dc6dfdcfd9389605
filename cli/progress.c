/* SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L
#include "progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "cli.h"

enum { WIDTH = 30 };
static const double QUIET_SECONDS = 1.0, REDRAW_SECONDS = 0.1;

void progress_start(progress *p, const char *title) {
    *p = (progress){ .title = title, .started = cli_now(), .terminal = isatty(STDERR_FILENO) != 0 };
}

/* Is it time to draw? */
static bool is_due(progress *p) {
    double t;
    if (!p->terminal) return false;
    t = cli_now();
    if (t - p->started < QUIET_SECONDS || t - p->drawn < REDRAW_SECONDS) return false;
    p->drawn = t;
    return true;
}

static double bounded(double share) {
    return share > 0.0 ? share < 1.0 ? share : 1.0 : 0.0;
}

static void draw(const progress *p, double share) {
    static const char full[WIDTH + 1] = "##############################";
    static const char empty[WIDTH + 1] = "..............................";
    const int bar = (int)(share * WIDTH);
    fprintf(stderr, "\r\033[K%s [%.*s%.*s] %3d %%", p->title, bar, full, WIDTH - bar, empty, (int)(share * 100.0));
}

void progress_show(progress *p, int64_t done, int64_t total) {
    if (total <= 0 || !is_due(p)) return;
    draw(p, bounded((double)done / (double)total));
    fflush(stderr);
}

static void draw_time_left(double seconds) {
    const int64_t s = seconds < 1e9 ? (int64_t)(seconds + 0.5) : 1000000000;
    if (s >= 3600)
        fprintf(stderr, ", %" PRId64 ":%02d:%02d left", s / 3600, (int)(s / 60 % 60), (int)(s % 60));
    else
        fprintf(stderr, ", %d:%02d left", (int)(s / 60), (int)(s % 60));
}

void progress_show_rate(progress *p, const char *unit, int64_t done, int64_t total, double share) {
    double elapsed, rate;
    if (!is_due(p)) return;
    elapsed = p->drawn - p->started;
    rate = (double)done / elapsed;
    share = bounded(share);
    draw(p, share);
    fprintf(stderr, "  %" PRId64, done);
    if (total >= 0) fprintf(stderr, "/%" PRId64, total);
    fprintf(stderr, " %s, %.*f/s", unit, rate < 10.0 ? 2 : 0, rate);
    if (share > 0.0) draw_time_left(elapsed * (1.0 - share) / share);
    fflush(stderr);
}

void progress_end(progress *p) {
    if (p->drawn > 0.0) fputs("\r\033[K", stderr);
    p->drawn = 0.0;
}
