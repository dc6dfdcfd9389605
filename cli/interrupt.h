/* SPDX-License-Identifier: Apache-2.0
 *
 * An interrupt (SIGINT, Ctrl-C) that ends the work at its next good place, with what is known by then. */
#ifndef QMM_CLI_INTERRUPT_H
#define QMM_CLI_INTERRUPT_H

#include <stdbool.h>

/* From now on an interrupt waits to be asked for. */
void cli_hold_interrupts(void);

/* Did one come? */
bool cli_interrupted(void);

#endif
