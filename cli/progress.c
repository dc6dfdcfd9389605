/* SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L
#include "progress.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { WIDTH = 30 };
static const double QUIET_SECONDS = 1.0, REDRAW_SECONDS = 0.1;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void progress_start(progress *p, const char *title) {
    *p = (progress){ .title = title, .started = now(), .terminal = isatty(STDERR_FILENO) != 0 };
}

void progress_show(progress *p, int64_t done, int64_t total) {
    static const char full[WIDTH + 1] = "##############################";
    static const char empty[WIDTH + 1] = "..............................";
    double share, t;
    int bar;
    if (!p->terminal || total <= 0) return;
    t = now();
    if (t - p->started < QUIET_SECONDS || t - p->drawn < REDRAW_SECONDS) return;
    p->drawn = t;
    share = done < 0 ? 0.0 : done > total ? 1.0 : (double)done / (double)total;
    bar = (int)(share * WIDTH);
    fprintf(stderr, "\r%s [%.*s%.*s] %3d %%", p->title, bar, full, WIDTH - bar, empty, (int)(share * 100.0));
    fflush(stderr);
}

void progress_end(progress *p) {
    if (p->drawn > 0.0) fputs("\r\033[K", stderr);
    p->drawn = 0.0;
}
