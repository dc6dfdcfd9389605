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

/* Takes the bar away. */
void progress_end(progress *p);

#endif
