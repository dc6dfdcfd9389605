/* SPDX-License-Identifier: Apache-2.0
 *
 * The registry of backends, and devices by name. */
#include "device.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "context.h"

/* Best first: "auto" takes the first device. A new backend is one row here. */
static const qmmi_backend *const backends[] = {
    &qmmi_cuda_backend,
#ifdef QMMI_OPENCL_BUILT
    &qmmi_opencl_backend,
#endif
    &qmmi_cpu_backend,
};

#define BACKEND_COUNT ((int)(sizeof backends / sizeof backends[0]))

int qmm_backend_count(void) {
    return BACKEND_COUNT;
}

qmm_status qmm_backend_get_info(int index, qmm_backend_info *info) {
    qmm_backend_info found = QMM_BACKEND_INFO_INIT;
    if (index < 0 || index >= BACKEND_COUNT || !info || !qmmi_struct_size_fits(info, QMMI_OLDEST_BACKEND_INFO))
        return QMM_INVALID_ARGUMENT;
    snprintf(found.name, sizeof found.name, "%s", backends[index]->name);
    found.devices = backends[index]->device_count(found.reason, sizeof found.reason);
    qmmi_write_struct(info, &found, sizeof found);
    return QMM_OK;
}

static int devices_of(int backend) {
    char reason[256];
    return backends[backend]->device_count(reason, sizeof reason);
}

int qmm_device_count(void) {
    int count = 0;
    for (int i = 0; i < BACKEND_COUNT; i++) count += devices_of(i);
    return count;
}

qmm_status qmm_device_get_info(int index, qmm_device_info *info) {
    qmm_device_info found = QMM_DEVICE_INFO_INIT;
    if (index < 0 || !info || !qmmi_struct_size_fits(info, QMMI_OLDEST_DEVICE_INFO))
        return QMM_INVALID_ARGUMENT;
    for (int i = 0; i < BACKEND_COUNT; i++) {
        const int devices = devices_of(i);
        if (index < devices) {
            backends[i]->device_info(index, &found);
            qmmi_write_struct(info, &found, sizeof found);
            return QMM_OK;
        }
        index -= devices;
    }
    return QMM_INVALID_ARGUMENT;
}

enum { FIRST_DEVICE = -1, NO_NUMBER = -2 };

/* Splits "cuda:1" into its length before the colon and 1. "cuda" is the first that is usable, whatever its number. */
static int device_number(const char *name, size_t *kind_length) {
    const char *colon = strchr(name, ':');
    char *end;
    long number;
    *kind_length = colon ? (size_t)(colon - name) : strlen(name);
    if (!colon) return FIRST_DEVICE;
    if (colon[1] < '0' || colon[1] > '9') return NO_NUMBER;
    number = strtol(colon + 1, &end, 10);
    return *end == '\0' && number < INT_MAX ? (int)number : NO_NUMBER;
}

/* The index of a backend's device; -1: none, and why. */
static int device_index(const qmmi_backend *backend, int number, char *reason, size_t reason_bytes) {
    const int count = backend->device_count(reason, reason_bytes);
    if (number == FIRST_DEVICE) return count > 0 ? 0 : -1;
    if (backend->device_index) return backend->device_index(number, reason, reason_bytes);
    if (number < count) return number;
    if (count > 0) snprintf(reason, reason_bytes, "there are %d, numbered from 0", count);
    return -1;
}

/* Our CPU device, the last, is always one. */
static void find_auto(const qmmi_backend **backend, int *device) {
    for (int i = 0; i < BACKEND_COUNT; i++) {
        const int devices = devices_of(i);
        for (int d = 0; d < devices; d++) {
            if (backends[i]->device_auto && !backends[i]->device_auto(d)) continue;
            *backend = backends[i];
            *device = d;
            return;
        }
    }
}

qmm_status qmmi_device_find(qmm_context *reporter, const char *name, const qmmi_backend **backend, int *device) {
    static const char function[] = "qmm_context_open";
    char reason[256] = "";
    size_t kind_length;
    int number;
    if (!name) return qmmi_fail(reporter, QMM_INVALID_ARGUMENT, function, "device is NULL");
    if (strcmp(name, "auto") == 0) {
        find_auto(backend, device);
        return QMM_OK;
    }
    number = device_number(name, &kind_length);
    if (number == NO_NUMBER || kind_length == 0)
        return qmmi_fail(reporter, QMM_INVALID_ARGUMENT, function,
                         "device '%.64s' is not auto, a backend, or a backend:number", name);
    for (int i = 0; i < BACKEND_COUNT; i++) {
        if (strlen(backends[i]->name) != kind_length || strncmp(name, backends[i]->name, kind_length) != 0) continue;
        *backend = backends[i];
        *device = device_index(backends[i], number, reason, sizeof reason);
        if (*device >= 0) return QMM_OK;
        return qmmi_fail(reporter, QMM_NO_DEVICE, function, "no device '%.64s': %s", name, reason);
    }
    return qmmi_fail(reporter, QMM_NO_DEVICE, function, "no device '%.64s': this build has no such backend", name);
}
