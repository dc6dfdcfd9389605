/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QMM_CLI_HOST_MEMORY_H
#define QMM_CLI_HOST_MEMORY_H

/* Bytes that the host can still give; below 0 where nobody knows. */
double cli_memory_available(void);

#endif
