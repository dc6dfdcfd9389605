/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "calls.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void cl_require(cl_int result, const char *what) {
    if (result == CL_SUCCESS) return;
    fprintf(stderr, "%s gave %d\n", what, (int)result);
    exit(1);
}

/* ---- a caller's own OpenCL ------------------------------------------------------------------------------------ */

void caller_open(caller *c) {
    cl_platform_id platform;
    cl_int result;
    c->api = qmmi_opencl_load();
    if (c->api->reason[0]) {
        fprintf(stderr, "%s\n", c->api->reason);
        exit(1);
    }
    cl_require(c->api->clGetPlatformIDs(1, &platform, NULL), "clGetPlatformIDs");
    cl_require(c->api->clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, 1, &c->device, NULL), "clGetDeviceIDs");
    c->context = c->api->clCreateContext(NULL, 1, &c->device, NULL, NULL, &result);
    cl_require(result, "clCreateContext");
    c->queue = caller_queue(c, 0);
}

void caller_close(caller *c) {
    cl_require(c->api->clFinish(c->queue), "clFinish");
    cl_require(c->api->clReleaseCommandQueue(c->queue), "clReleaseCommandQueue");
    cl_require(c->api->clReleaseContext(c->context), "clReleaseContext");
}

cl_command_queue caller_queue(const caller *c, cl_command_queue_properties properties) {
    cl_int result;
    const cl_command_queue queue = c->api->clCreateCommandQueue(c->context, c->device, properties, &result);
    cl_require(result, "clCreateCommandQueue");
    return queue;
}

/* ---- the shim ------------------------------------------------------------------------------------------------- */

/* ISO C has no cast from void * to a function pointer; POSIX promises that the bits serve. */
static void find(const char *name, void *function, size_t bytes) {
    const char *const shim = getenv("QMM_OPENCL_LIBRARY");
    void *const library = shim ? dlopen(shim, RTLD_NOW | RTLD_LOCAL) : NULL;
    void *const symbol = library ? dlsym(library, name) : NULL;
    if (!symbol) {
        fprintf(stderr, "QMM_OPENCL_LIBRARY does not name the shim: it has no %s\n", name);
        exit(1);
    }
    memcpy(function, &symbol, bytes);
}

void shim_set(const char *format, ...) {
    static void (*set)(const char *options);
    char options[1024];
    va_list arguments;
    if (!set) find("qmm_shim_set", &set, sizeof set);
    va_start(arguments, format);
    vsnprintf(options, sizeof options, format, arguments);
    va_end(arguments);
    set(options);
}

long long shim_get(const char *counter) {
    static long long (*get)(const char *counter);
    long long value;
    if (!get) find("qmm_shim_get", &get, sizeof get);
    value = get(counter);
    if (value != LLONG_MIN) return value;
    fprintf(stderr, "the shim has no counter '%s'\n", counter);
    exit(1);
}

/* ---- the log -------------------------------------------------------------------------------------------------- */

void log_keep(void *user, qmm_log_level level, const char *line) {
    log_text *const log = user;
    const size_t used = strlen(log->text);
    (void)level;
    snprintf(log->text + used, sizeof log->text - used, "%s\n", line);
}

qmm_status open_logged(const qmm_context_options *options, log_text *log, qmm_context **context) {
    qmm_context_options given = QMM_CONTEXT_OPTIONS_INIT;
    if (options) given = *options;
    given.log = log ? log_keep : NULL;
    given.log_user = log;
    return qmm_context_open("opencl", &given, context);
}
