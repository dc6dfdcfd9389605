/* SPDX-License-Identifier: Apache-2.0
 *
 * Finding the CUDA driver, once in a process. Its state is the library's only one that is not constant: a driver cannot
 * be initialised twice, nor unloaded with its threads running. */
#define _GNU_SOURCE /* RTLD_NODELETE */
#include "driver.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "images.h"

/* ---- messages ---------------------------------------------------------------------------------------------------- */

/* In words of our own where the driver has none for a code, which may be newer than it. */
void qmmi_cuda_describe(const qmmi_cuda_driver *driver, cu_result result, char *text, size_t bytes) {
    const char *name = NULL, *words = NULL;
    if (driver->cuGetErrorName(result, &name) != CU_SUCCESS || !name) name = "unknown error";
    if (driver->cuGetErrorString(result, &words) != CU_SUCCESS || !words) words = "no description";
    snprintf(text, bytes, "%s (%u: %s)", name, result, words);
}

/* ---- loading ----------------------------------------------------------------------------------------------------- */

static qmmi_cuda_driver loaded;

static void *open_library(qmmi_cuda_driver *driver) {
    const char *const wanted = getenv("QMM_CUDA_LIBRARY");
    void *library;
    if (wanted && strcmp(wanted, "none") == 0) {
        snprintf(driver->reason, sizeof driver->reason, "QMM_CUDA_LIBRARY is none");
        return NULL;
    }
    if (!wanted && !qmmi_cuda_images_exist()) { /* then the driver is of no use, and is left alone */
        snprintf(driver->reason, sizeof driver->reason, "%s", qmmi_cuda_no_images);
        return NULL;
    }
    library = dlopen(wanted ? wanted : "libcuda.so.1", RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!library)
        snprintf(driver->reason, sizeof driver->reason, "%s: %s", wanted ? "QMM_CUDA_LIBRARY" : "no CUDA driver",
                 dlerror());
    return library;
}

/* ISO C has no cast from void * to a function pointer; POSIX promises that the bits serve. */
static bool find(void *library, const char *name, void *field) {
    void *const address = dlsym(library, name);
    memcpy(field, &address, sizeof address);
    return address != NULL;
}

/* As many as there is room for. */
static void say_missing(qmmi_cuda_driver *driver, int before, const char *call) {
    const size_t used = strlen(driver->reason), room = sizeof driver->reason - used;
    if (before == 0)
        snprintf(driver->reason, room, "the CUDA driver is too old or broken: it lacks %s", call);
    else if (driver->reason[used - 1] != '.')
        snprintf(driver->reason + used, room, ", %s", strlen(call) + sizeof ", , ..." < room ? call : "...");
}

static bool find_calls(void *library, qmmi_cuda_driver *driver) {
    int missing = 0;
#define FIND(name, version, parameters) \
    if (!find(library, #name #version, &driver->name)) say_missing(driver, missing++, #name #version);
    QMMI_CUDA_CALLS(FIND)
#undef FIND
#define FIND_OPTIONAL(name, version, parameters) find(library, #name #version, &driver->name);
    QMMI_CUDA_OPTIONAL_CALLS(FIND_OPTIONAL)
#undef FIND_OPTIONAL
    driver->simulated = dlsym(library, "qmm_simulated_cuda") != NULL;
    return missing == 0;
}

/* cuDriverGetVersion and cuInit, in the order that gives the better message. */
static void start(qmmi_cuda_driver *driver) {
    char text[160];
    cu_result result = driver->cuDriverGetVersion(&driver->version);
    if (result == CU_SUCCESS && !driver->simulated && !qmmi_cuda_images_exist()) {
        snprintf(driver->reason, sizeof driver->reason, "%s", qmmi_cuda_no_images);
        return;
    }
    if (result == CU_SUCCESS && driver->version < qmmi_cuda_images_need()) {
        snprintf(driver->reason, sizeof driver->reason,
                 "the CUDA driver is too old: it is for CUDA %d.%d, the kernels of this build need CUDA %d.%d",
                 driver->version / 1000, driver->version % 1000 / 10, qmmi_cuda_images_need() / 1000,
                 qmmi_cuda_images_need() % 1000 / 10);
        return;
    }
    if (result == CU_SUCCESS) result = driver->cuInit(0);
    if (result == CU_SUCCESS || result == CU_ERROR_NO_DEVICE) return; /* device.c says the latter */
    qmmi_cuda_describe(driver, result, text, sizeof text);
    snprintf(driver->reason, sizeof driver->reason, "the CUDA driver does not start: cuInit gives %s", text);
}

static void load(void) {
    void *const library = open_library(&loaded);
    if (library && find_calls(library, &loaded)) start(&loaded);
}

const qmmi_cuda_driver *qmmi_cuda_driver_load(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, load);
    return &loaded;
}
