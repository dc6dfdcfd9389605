/* SPDX-License-Identifier: Apache-2.0
 *
 * Finding oneDNN at run time. */
#define _GNU_SOURCE /* RTLD_NODELETE */
#include "onednn.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ISO C has no cast from void * to a function pointer; POSIX promises that the bits serve. */
static qmmi_onednn_gemm symbol(void *library, const char *name) {
    void *address = dlsym(library, name);
    qmmi_onednn_gemm function;
    memcpy(&function, &address, sizeof function);
    return function;
}

/* Never unloaded: its OpenMP threads outlive any call. */
static void *open_library(const char *name) {
    return dlopen(name, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
}

static void *find_library(qmmi_onednn *library) {
    static const char *const names[] = { "libdnnl.so.3", "libdnnl.so.2" };
    const char *const wanted = getenv("QMM_ONEDNN_LIBRARY");
    void *handle = NULL;
    if (wanted && strcmp(wanted, "none") == 0) {
        snprintf(library->reason, sizeof library->reason, "QMM_ONEDNN_LIBRARY is none");
        return NULL;
    }
    if (wanted) {
        handle = open_library(wanted);
        if (!handle) snprintf(library->reason, sizeof library->reason, "QMM_ONEDNN_LIBRARY: %s", dlerror());
        return handle;
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0] && !handle; i++) handle = open_library(names[i]);
    if (!handle) snprintf(library->reason, sizeof library->reason, "neither libdnnl.so.3 nor libdnnl.so.2 was found");
    return handle;
}

const char *qmmi_onednn_load(qmmi_onednn *library) {
    void *handle;
    if (library->tried) return library->reason[0] ? library->reason : NULL;
    library->tried = true;
    handle = find_library(library);
    if (!handle) return library->reason;
    library->gemm_s8 = symbol(handle, "dnnl_gemm_s8s8s32");
    library->gemm_u8 = symbol(handle, "dnnl_gemm_u8s8s32");
    if (!library->gemm_s8 || !library->gemm_u8)
        snprintf(library->reason, sizeof library->reason, "the oneDNN found has no integer gemm");
    return library->reason[0] ? library->reason : NULL;
}
