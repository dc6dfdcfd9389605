/* SPDX-License-Identifier: Apache-2.0
 *
 * The registry of backends, and devices by name. */
#ifndef QMMI_DEVICE_H
#define QMMI_DEVICE_H

#include "backend.h"

/* Finds "cpu", "cuda", "cuda:1", "auto"; failures are reported on `reporter` as qmm_context_open's. */
qmm_status qmmi_device_find(qmm_context *reporter, const char *name, const qmmi_backend **backend, int *device);

#endif
