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

static bool find(void *library, const char *name, void *function, size_t bytes) {
    void *const symbol = dlsym(library, name);
    memcpy(function, &symbol, bytes);
    return symbol != NULL;
}

static bool find_all(bench_driver *d) {
#define FIND(member, name, parameters) \
    if (!find(d->library, name, &d->member, sizeof d->member)) return false;
    BENCH_DRIVER_FUNCTIONS(FIND)
    if (!d->simulated) {
        BENCH_DRIVER_COMPILER(FIND)
    }
#undef FIND
    return true;
}

/* Without it there is no launch to compare with; the rest works. */
static void load_empty_kernel(bench_driver *d) {
    if (d->module_load(&d->empty_module, empty_image) != 0)
        d->empty_module = NULL;
    else if (d->module_function(&d->empty_kernel, d->empty_module, "empty_kernel") != 0)
        d->empty_kernel = NULL;
}

static void open_nvml(bench_driver *d) {
    void *const library = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    bench_nvml *n = &d->nvml;
    char bus[32];
    if (!library) return;
    snprintf(bus, sizeof bus, "%08x:%02x:%02x.0", (unsigned)bench_driver_attribute(d, BENCH_CU_PCI_DOMAIN),
             (unsigned)bench_driver_attribute(d, BENCH_CU_PCI_BUS),
             (unsigned)bench_driver_attribute(d, BENCH_CU_PCI_DEVICE));
    if (!find(library, "nvmlInit_v2", &n->init, sizeof n->init) ||
        !find(library, "nvmlDeviceGetHandleByPciBusId_v2", &n->by_bus, sizeof n->by_bus) ||
        !find(library, "nvmlDeviceGetClockInfo", &n->clock, sizeof n->clock) ||
        !find(library, "nvmlDeviceGetPowerUsage", &n->power, sizeof n->power) || n->init() != 0 ||
        n->by_bus(bus, &n->device) != 0)
        n->device = NULL;
}

void bench_driver_open(bench_driver *d, int ordinal, void *stream) {
    const char *const given = getenv("QMM_CUDA_LIBRARY");
    void *context;
    *d = (bench_driver){ .stream = stream };
    d->library = dlopen(given ? given : "libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!d->library) return;
    d->simulated = dlsym(d->library, "qmm_simulated_cuda") != NULL;
    if (!find_all(d) || d->device_get(&d->device, ordinal) != 0 || d->primary_retain(&context, d->device) != 0) {
        dlclose(d->library);
        d->library = NULL;
        return;
    }
    if (!find(d->library, "cuGraphGetNodes", &d->graph_nodes, sizeof d->graph_nodes)) d->graph_nodes = NULL;
    if (d->get_version(&d->version) != 0) d->version = 0;
    if (d->set_current(context) == 0 && !d->simulated) load_empty_kernel(d);
    if (!d->simulated) open_nvml(d);
}

void bench_driver_close(bench_driver *d) {
    if (!d->library) return;
    if (d->empty_module) d->module_unload(d->empty_module);
    d->primary_release(d->device);
    dlclose(d->library);
    d->library = NULL;
}

int bench_driver_empty(const bench_driver *d) {
    return d->launch(d->empty_kernel, 1, 1, 1, 32, 1, 1, 0, d->stream, NULL, NULL);
}

int bench_driver_attribute(const bench_driver *d, int attribute) {
    int value = 0;
    return d->library && d->attribute(&value, attribute, d->device) == 0 ? value : 0;
}

bench_clocks bench_driver_clocks(const bench_driver *d) {
    enum { MULTIPROCESSOR = 1, MEMORY = 2 }; /* nvmlClockType_t */
    bench_clocks clocks = { 0, 0, 0.0 };
    unsigned milliwatts = 0;
    if (!d->nvml.device) return clocks;
    d->nvml.clock(d->nvml.device, MULTIPROCESSOR, &clocks.multiprocessor);
    d->nvml.clock(d->nvml.device, MEMORY, &clocks.memory);
    d->nvml.power(d->nvml.device, &milliwatts);
    clocks.watts = milliwatts * 1e-3;
    return clocks;
}
