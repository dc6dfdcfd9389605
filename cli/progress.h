/* SPDX-License-Identifier: Apache-2.0
 *
 * A progress bar on standard error: only on a terminal, and only once the work has lasted over a second. */
#ifndef QMM_CLI_PROGRESS_H
#define QMM_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct progress {
    const char *title;
    double started; /* seconds */
    double drawn;   /* when the bar was last drawn; 0 if never */
    bool terminal;
} progress;

void progress_start(progress *p, const char *title);

/* Call as often as is convenient; it draws ten times a second at most. */
void progress_show(progress *p, int64_t done, int64_t total);

/* The same, with what was done in numbers: `120/8000 cases, 850/s, 0:09 left`, where unit is "cases". total below 0:
 * nobody knows. share is how much of the whole is done, 0 to 1, by the count or by the time: what is left is reckoned
 * from it. */
void progress_show_rate(progress *p, const char *unit, int64_t done, int64_t total, double share);

/* Takes the bar away. */
void progress_end(progress *p);

#endif
