/* SPDX-License-Identifier: Apache-2.0
 *
 * Checks in a process of their own: the CUDA driver is found once in a process, and a failed device stays failed. */
#ifndef QMM_TEST_CUDA_PROCESS_H
#define QMM_TEST_CUDA_PROCESS_H

/* Forks; the child sets the variables (name and value in turn, a NULL value unsets, a NULL name ends), runs `check` and
 * fails the test where a check of api/support.h failed or none was made. Nothing may have touched the driver before. */
void in_process(const char *const *variables, void (*check)(void *argument), void *argument);

#endif
