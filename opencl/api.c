/* SPDX-License-Identifier: Apache-2.0
 *
 * Finding OpenCL at run time. */
#define _GNU_SOURCE /* RTLD_DEFAULT, RTLD_NODELETE */
#include "api.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static qmmi_opencl_api api;

static void *open_library(const char *name) {
    return dlopen(name, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
}

/* A handle to look names up in. It may be RTLD_DEFAULT, which is NULL, so success is told apart. */
static bool find_library(void **library) {
    const char *const wanted = getenv("QMM_OPENCL_LIBRARY");
    if (wanted && strcmp(wanted, "none") == 0) {
        snprintf(api.reason, sizeof api.reason, "QMM_OPENCL_LIBRARY is none");
        return false;
    }
    if (wanted && *wanted) {
        *library = open_library(wanted);
        if (!*library) snprintf(api.reason, sizeof api.reason, "QMM_OPENCL_LIBRARY: %s", dlerror());
        return *library != NULL;
    }
    *library = RTLD_DEFAULT;
    if (dlsym(RTLD_DEFAULT, "clGetPlatformIDs")) return true;
    *library = open_library("libOpenCL.so.1");
    if (!*library) *library = open_library("libOpenCL.so"); /* which development packages bring */
    if (!*library)
        snprintf(api.reason, sizeof api.reason, "no OpenCL loader: neither libOpenCL.so.1 nor libOpenCL.so was found");
    return *library != NULL;
}

/* ISO C has no cast from void * to a function pointer; POSIX promises that the bits serve. */
static bool look_up(void *library, const char *name, void *function, size_t bytes) {
    void *const address = dlsym(library, name);
    if (!address) {
        snprintf(api.reason, sizeof api.reason, "the OpenCL loader has no %s: it is older than OpenCL 1.2", name);
        return false;
    }
    memcpy(function, &address, bytes);
    return true;
}

static void load(void) {
    void *library;
    bool found = find_library(&library);
#define LOOK_UP(name) found = found && look_up(library, #name, &api.name, sizeof api.name);
    QMMI_OPENCL_CALLS(LOOK_UP)
#undef LOOK_UP
}

const qmmi_opencl_api *qmmi_opencl_load(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, load);
    return &api;
}
