/* SPDX-License-Identifier: Apache-2.0
 *
 * The CUDA devices of this process that this build has kernels for. */
#ifndef QMMI_CUDA_DEVICE_H
#define QMMI_CUDA_DEVICE_H

#include "cuda.h"
#include "driver.h"

/* The backend's slots of these names. Devices are numbered by the driver, CUDA_VISIBLE_DEVICES applied, so that "cuda:1"
 * is everybody's device 1; an index counts only those that are usable. */
int qmmi_cuda_device_count(char *reason, size_t reason_bytes);
int qmmi_cuda_device_index(int number, char *reason, size_t reason_bytes);
void qmmi_cuda_device_info(int index, qmm_device_info *info);

/* What a context needs to know of a device: the driver's handle, capability bits, facts. */
typedef struct qmmi_cuda_facts {
    cu_device handle;
    uint32_t capabilities;
    qmmi_cuda_device device;
} qmmi_cuda_facts;

const qmmi_cuda_facts *qmmi_cuda_device_facts(int index);

#endif
