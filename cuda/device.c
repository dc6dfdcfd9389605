/* SPDX-License-Identifier: Apache-2.0
 *
 * Which CUDA devices there are, and what is known of them. Asked of the driver once in a process: it fixes the list at
 * its start, too. */
#include "device.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "images.h"

#define DEVICES_MAX 64 /* more than any machine has */

typedef struct entry {
    qmmi_cuda_facts facts;
    qmm_device_info info;
    bool usable;
} entry;

typedef struct device_list {
    int count;  /* as the driver counts */
    int usable;
    entry entries[DEVICES_MAX];
    char reason[256]; /* why none is usable */
} device_list;

/* ---- facts ------------------------------------------------------------------------------------------------------- */

/* By compute capability: the major version, and the minor ones from .. to. */
static const struct {
    int major, minor_from, minor_to;
    qmm_int8_class class;
} int8_classes[] = {
    { 6, 1, 99, QMM_INT8_DP4A },     { 7, 0, 4, QMM_INT8_DP4A },  { 7, 5, 99, QMM_INT8_MMA },
    { 8, 0, 99, QMM_INT8_MMA },      { 9, 0, 99, QMM_INT8_WGMMA }, { 10, 0, 1, QMM_INT8_TCGEN05 },
    { 10, 2, 99, QMM_INT8_REDUCED }, /* B300: about 1/30 of B200's int8 rate */
    { 11, 0, 99, QMM_INT8_TCGEN05 }, { 12, 0, 99, QMM_INT8_MMA },
};

static qmm_int8_class int8_class(int major, int minor) {
    for (size_t i = 0; i < sizeof int8_classes / sizeof int8_classes[0]; i++)
        if (major == int8_classes[i].major && minor >= int8_classes[i].minor_from && minor <= int8_classes[i].minor_to)
            return int8_classes[i].class;
    return major > 12 ? QMM_INT8_MMA : QMM_INT8_NONE; /* mma.sync is in every newer instruction set so far */
}

/* By the code that the driver will take, not by the device: PTX for sm_75 has no instruction of sm_80 in it. The image
 * for sm_90a is one of its own. */
static uint32_t capabilities(const qmmi_cuda_driver *driver, int architecture, int wgmma_architecture) {
    const bool wgmma = wgmma_architecture == 90 && driver->cuTensorMapEncodeTiled != NULL;
    return (architecture >= 61 ? QMMI_CUDA_DP4A : 0u) | (architecture >= 75 ? QMMI_CUDA_MMA_K16 : 0u) |
           (architecture >= 80 ? QMMI_CUDA_MMA_K32 : 0u) | (wgmma ? QMMI_CUDA_WGMMA : 0u);
}

/* Of the code that the device takes from a list; the simulated driver brings its own kernels. */
static int architecture_of(const qmmi_cuda_driver *driver, const char *list, const qmm_device_info *info) {
    if (driver->simulated) return 10 * info->compute_major + info->compute_minor;
    return qmmi_cuda_best_architecture(list, info->compute_major, info->compute_minor);
}

static int attribute(const qmmi_cuda_driver *driver, unsigned which, cu_device device) {
    int value = 0;
    return driver->cuDeviceGetAttribute(&value, which, device) == CU_SUCCESS && value > 0 ? value : 0;
}

/* Two transfers a clock. Newest drivers tell no clock: unknown. */
static uint64_t bandwidth(const qmmi_cuda_driver *driver, cu_device device) {
    const uint64_t khz = (uint64_t)attribute(driver, CU_DEVICE_MEMORY_CLOCK_KHZ, device);
    return 2 * khz * 1000 * (uint64_t)attribute(driver, CU_DEVICE_MEMORY_BUS_BITS, device) / 8;
}

static void read_info(const qmmi_cuda_driver *driver, int number, entry *e) {
    const cu_device handle = e->facts.handle;
    qmm_device_info *info = &e->info;
    size_t bytes = 0;
    *info = (qmm_device_info)QMM_DEVICE_INFO_INIT;
    snprintf(info->name, sizeof info->name, "cuda:%d", number);
    if (driver->cuDeviceGetName(info->description, sizeof info->description, handle) != CU_SUCCESS)
        snprintf(info->description, sizeof info->description, "a CUDA device");
    snprintf(info->driver, sizeof info->driver, "CUDA driver %d.%d", driver->version / 1000,
             driver->version % 1000 / 10);
    info->kind = QMM_DEVICE_KIND_GPU;
    info->compute_major = attribute(driver, CU_DEVICE_COMPUTE_MAJOR, handle);
    info->compute_minor = attribute(driver, CU_DEVICE_COMPUTE_MINOR, handle);
    info->compute_units = attribute(driver, CU_DEVICE_MULTIPROCESSORS, handle);
    info->int8_class = int8_class(info->compute_major, info->compute_minor);
    if (driver->cuDeviceTotalMem(&bytes, handle) == CU_SUCCESS) info->memory_bytes = bytes;
    info->memory_bandwidth = bandwidth(driver, handle);
}

static void read_entry(const qmmi_cuda_driver *driver, int number, entry *e) {
    const qmm_device_info *info = &e->info;
    int architecture, wgmma_architecture;
    if (driver->cuDeviceGet(&e->facts.handle, number) != CU_SUCCESS) return;
    read_info(driver, number, e);
    architecture = architecture_of(driver, qmmi_cuda_architectures, info);
    wgmma_architecture = architecture_of(driver, qmmi_cuda_image_architectures("matmul_wgmma"), info);
    e->usable = architecture > 0;
    e->facts.capabilities = capabilities(driver, architecture, wgmma_architecture);
    e->facts.device = (qmmi_cuda_device){ .compute_major = info->compute_major,
                                          .compute_minor = info->compute_minor,
                                          .multiprocessors = info->compute_units > 0 ? info->compute_units : 1,
                                          .l2_bytes = attribute(driver, CU_DEVICE_L2_BYTES, e->facts.handle) };
    e->facts.device.rates =
        qmmi_cuda_rates_of(info->compute_major, info->compute_minor, e->facts.device.multiprocessors,
                           1e3 * attribute(driver, CU_DEVICE_CLOCK_KHZ, e->facts.handle),
                           (double)info->memory_bandwidth);
}

/* ---- the list ---------------------------------------------------------------------------------------------------- */

static void say_no_device(char *reason, size_t bytes) {
    const char *const visible = getenv("CUDA_VISIBLE_DEVICES");
    if (visible)
        snprintf(reason, bytes, "the CUDA driver has no device (CUDA_VISIBLE_DEVICES is '%.64s')", visible);
    else
        snprintf(reason, bytes, "the CUDA driver has no device");
}

static void say_no_image(const entry *e, char *reason, size_t bytes) {
    snprintf(reason, bytes, "this build has no kernels for %.64s of compute capability %d.%d, but for %.64s",
             e->info.description, (int)e->info.compute_major, (int)e->info.compute_minor, qmmi_cuda_architectures);
}

static device_list list;

static void read_list(void) {
    const qmmi_cuda_driver *driver = qmmi_cuda_driver_load();
    if (driver->reason[0]) {
        snprintf(list.reason, sizeof list.reason, "%s", driver->reason);
        return;
    }
    if (driver->cuDeviceGetCount(&list.count) != CU_SUCCESS || list.count <= 0) {
        list.count = 0;
        say_no_device(list.reason, sizeof list.reason);
        return;
    }
    if (list.count > DEVICES_MAX) list.count = DEVICES_MAX;
    for (int i = 0; i < list.count; i++) {
        read_entry(driver, i, &list.entries[i]);
        list.usable += list.entries[i].usable;
    }
    if (list.usable == 0) say_no_image(&list.entries[0], list.reason, sizeof list.reason);
}

static const device_list *devices(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, read_list);
    return &list;
}

int qmmi_cuda_device_count(char *reason, size_t reason_bytes) {
    snprintf(reason, reason_bytes, "%s", devices()->reason);
    return devices()->usable;
}

int qmmi_cuda_device_index(int number, char *reason, size_t reason_bytes) {
    const device_list *all = devices();
    int index = 0;
    snprintf(reason, reason_bytes, "%s", all->reason);
    if (number >= all->count) {
        if (all->count > 0) snprintf(reason, reason_bytes, "there are %d, numbered from 0", all->count);
        return -1;
    }
    if (!all->entries[number].usable) {
        say_no_image(&all->entries[number], reason, reason_bytes);
        return -1;
    }
    for (int i = 0; i < number; i++) index += all->entries[i].usable;
    return index;
}

static const entry *usable_entry(int index) {
    const entry *e = devices()->entries;
    while (!e->usable || index-- > 0) e++;
    return e;
}

void qmmi_cuda_device_info(int index, qmm_device_info *info) {
    *info = usable_entry(index)->info;
}

const qmmi_cuda_facts *qmmi_cuda_device_facts(int index) {
    return &usable_entry(index)->facts;
}
