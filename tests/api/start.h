/* SPDX-License-Identifier: Apache-2.0
 *
 * What must hold on machines where a backend cannot be used. */
#ifndef QMM_TEST_START_H
#define QMM_TEST_START_H

#include "support.h"

/* The device, by this name, is the cpu, and multiplies. */
void expect_cpu_works(const char *device);

/* The backend must be in the library. */
void find_backend(const char *name, qmm_backend_info *info);

/* The backend has no device, and says why wherever it is asked for one; the reason has `says` in it (NULL: any).
 * The cpu works. */
void expect_no_device(const char *name, const char *says);

#endif
