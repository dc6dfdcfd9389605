/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "cuda_driver.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A kernel without parameters that returns at once, for every architecture from sm_75 on. */
static const char empty_image[] = ".version 6.3\n"
                                  ".target sm_75\n"
                                  ".address_size 64\n"
                                  ".visible .entry empty_kernel()\n"
                                  "{\n"
                                  "    ret;\n"
                                  "}\n";

static void fail(const char *what, const char *why) {
    fprintf(stderr, "benchmark: %s: %s\n", what, why);
    exit(1);
}

void bench_driver_require(int result, const char *what) {
    char number[32];
    if (result == 0) return;
    snprintf(number, sizeof number, "CUDA error %d", result);
    fail(what, number);
}

static void find(const bench_driver *d, const char *name, void *function, size_t bytes) {
    void *const symbol = dlsym(d->library, name);
    if (!symbol) fail(name, "the driver does not have it");
    memcpy(function, &symbol, bytes);
}

static void load_empty_kernel(bench_driver *d) {
    bench_driver_require(d->module_load(&d->empty_module, empty_image), "cuModuleLoadData");
    bench_driver_require(d->module_function(&d->empty_kernel, d->empty_module, "empty_kernel"), "cuModuleGetFunction");
}

void bench_driver_open(bench_driver *d, int ordinal, void *stream) {
    const char *const given = getenv("QMM_CUDA_LIBRARY");
    void *context;
    *d = (bench_driver){ .stream = stream };
    d->library = dlopen(given ? given : "libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!d->library) fail("the CUDA driver", dlerror());
    d->simulated = dlsym(d->library, "qmm_simulated_cuda") != NULL;
#define FIND(member, name, parameters) find(d, name, &d->member, sizeof d->member);
    BENCH_DRIVER_FUNCTIONS(FIND)
    if (!d->simulated) {
        BENCH_DRIVER_COMPILER(FIND)
    }
#undef FIND
    bench_driver_require(d->device_get(&d->device, ordinal), "cuDeviceGet");
    bench_driver_require(d->primary_retain(&context, d->device), "cuDevicePrimaryCtxRetain");
    bench_driver_require(d->set_current(context), "cuCtxSetCurrent");
    if (!d->simulated) load_empty_kernel(d);
}

void bench_driver_close(bench_driver *d) {
    if (d->empty_module) d->module_unload(d->empty_module);
    d->primary_release(d->device);
    dlclose(d->library);
}

void bench_driver_empty(const bench_driver *d) {
    bench_driver_require(d->launch(d->empty_kernel, 1, 1, 1, 32, 1, 1, 0, d->stream, NULL, NULL), "cuLaunchKernel");
}

int bench_driver_attribute(const bench_driver *d, int attribute) {
    int value = 0;
    return d->attribute(&value, attribute, d->device) == 0 ? value : 0;
}

/* ---- clocks ------------------------------------------------------------------------------------------------------ */

enum { NVML_CLOCK_SM = 1, NVML_CLOCK_MEMORY = 2, PCI_DOMAIN = 50, PCI_BUS = 33, PCI_DEVICE = 34 };

typedef struct nvml {
    int (*init)(void);
    int (*by_bus)(const char *bus, void **device);
    int (*clock)(void *device, int which, unsigned *megahertz);
    int (*power)(void *device, unsigned *milliwatts);
    void *device;
} nvml;

static bool find_nvml(const bench_driver *d, nvml *n) {
    static const char *const names[] = { "nvmlInit_v2", "nvmlDeviceGetHandleByPciBusId_v2", "nvmlDeviceGetClockInfo",
                                         "nvmlDeviceGetPowerUsage" };
    void *symbols[4], *const library = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    char bus[32];
    if (!library) return false;
    for (int i = 0; i < 4; i++) {
        symbols[i] = dlsym(library, names[i]);
        if (!symbols[i]) return false;
    }
    memcpy(&n->init, &symbols[0], sizeof symbols[0]);
    memcpy(&n->by_bus, &symbols[1], sizeof symbols[1]);
    memcpy(&n->clock, &symbols[2], sizeof symbols[2]);
    memcpy(&n->power, &symbols[3], sizeof symbols[3]);
    snprintf(bus, sizeof bus, "%08x:%02x:%02x.0", (unsigned)bench_driver_attribute(d, PCI_DOMAIN),
             (unsigned)bench_driver_attribute(d, PCI_BUS), (unsigned)bench_driver_attribute(d, PCI_DEVICE));
    return n->init() == 0 && n->by_bus(bus, &n->device) == 0;
}

bench_clocks bench_driver_clocks(const bench_driver *d) {
    static nvml n;
    static enum { UNKNOWN, FOUND, MISSING } state = UNKNOWN;
    bench_clocks clocks = { 0, 0, 0.0 };
    unsigned milliwatts = 0;
    if (state == UNKNOWN) state = !d->simulated && find_nvml(d, &n) ? FOUND : MISSING;
    if (state == MISSING) return clocks;
    n.clock(n.device, NVML_CLOCK_SM, &clocks.multiprocessor);
    n.clock(n.device, NVML_CLOCK_MEMORY, &clocks.memory);
    n.power(n.device, &milliwatts);
    clocks.watts = milliwatts * 1e-3;
    return clocks;
}
