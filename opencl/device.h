/* SPDX-License-Identifier: Apache-2.0
 *
 * The OpenCL devices of this process that can run our kernels. */
#ifndef QMMI_OPENCL_DEVICE_H
#define QMMI_OPENCL_DEVICE_H

#include "opencl.h"

/* The backend's slots of these names. GPUs and accelerators come first, CPUs behind, each in the drivers' order. */
int qmmi_opencl_device_count(char *reason, size_t reason_bytes);
void qmmi_opencl_device_info(int index, qmm_device_info *info);
bool qmmi_opencl_device_auto(int index);

/* What a context needs to know of a device. */
typedef struct qmmi_opencl_facts {
    cl_platform_id platform;
    cl_device_id handle;
    uint32_t capabilities;
    bool exact_division; /* says the device */
    bool keeps_subnormals; /* says it, too */
    uint64_t identity; /* of device, driver and platform, for the key of what was built for it */
    qmmi_opencl_device device;
    qmm_device_info info;
} qmmi_opencl_facts;

const qmmi_opencl_facts *qmmi_opencl_device_facts(int index);

/* The index of that handle; -1 if it is none of ours. */
int qmmi_opencl_device_find(cl_device_id handle);

#endif
