/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "calls.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static cuda_calls calls;
static void *library, *primary;
static int (*set_option)(const char *name, long long value);
static long long (*get_counter)(const char *name);

/* ISO C has no cast from void * to a function pointer; POSIX promises that the bits serve. */
static bool find(const char *name, void *function, size_t bytes) {
    void *const symbol = dlsym(library, name);
    memcpy(function, &symbol, bytes);
    return symbol != NULL;
}

static bool load(void) {
    const char *const given = getenv("QMM_CUDA_LIBRARY");
    if (library) return true;
    library = dlopen(given ? given : "libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        fprintf(stderr, "no CUDA driver: %s\n", dlerror());
        return false;
    }
    calls.simulated = dlsym(library, "qmm_simulated_cuda") != NULL;
    find("qmm_simulator_set", &set_option, sizeof set_option);
    find("qmm_simulator_get", &get_counter, sizeof get_counter);
    return true;
}

const cuda_calls *cuda_calls_open(void) {
    if (primary) return &calls;
    if (!load()) return NULL;
#define FIND(member, name, parameters)                        \
    if (!find(name, &calls.member, sizeof calls.member)) {    \
        fprintf(stderr, "the CUDA driver has no %s\n", name); \
        return NULL;                                          \
    }
    CUDA_CALLS(FIND)
#undef FIND
    cuda_require(calls.init(0), "cuInit");
    cuda_require(calls.primary_retain(&primary, 0), "cuDevicePrimaryCtxRetain");
    cuda_require(calls.set_current(primary), "cuCtxSetCurrent");
    return &calls;
}

void *cuda_primary_context(void) {
    return primary;
}

void cuda_require(int result, const char *what) {
    if (result == 0) return;
    fprintf(stderr, "%s gave CUDA error %d\n", what, result);
    exit(1);
}

void simulator_set(const char *name, long long value) {
    if (load() && set_option && set_option(name, value) == 0) return;
    fprintf(stderr, "the simulated device has no option '%s', or not with %lld\n", name, value);
    exit(1);
}

long long simulator_get(const char *name) {
    const long long value = load() && get_counter ? get_counter(name) : LLONG_MIN;
    if (value != LLONG_MIN) return value;
    fprintf(stderr, "the simulated device has no counter '%s'\n", name);
    exit(1);
}
