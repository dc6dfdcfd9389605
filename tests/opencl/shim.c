/* SPDX-License-Identifier: Apache-2.0
 *
 * The calls: each is counted, may be made to fail, and is the real one otherwise. What is done to answers is in
 * shim_report.c, what is done to sources in shim_source.c. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shim_parts.h"

#define EXPORT __attribute__((visibility("default")))

/* ---- the real functions --------------------------------------------------------------------------------------- */

static struct {
    QMMI_OPENCL_CALLS(QMMI_OPENCL_FIELD)
} real;
static bool is_real;

static void load(void) {
    void *const library = dlopen("libOpenCL.so.1", RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    is_real = library != NULL;
#define FIND(name)                                          \
    {                                                       \
        void *address = library ? dlsym(library, #name) : NULL; \
        memcpy(&real.name, &address, sizeof real.name);     \
        is_real = is_real && address;                       \
    }
    QMMI_OPENCL_CALLS(FIND)
#undef FIND
    if (getenv("QMM_OPENCL_SHIM")) qmm_shim_set(getenv("QMM_OPENCL_SHIM"));
    if (!is_real) fprintf(stderr, "the shim finds no libOpenCL.so.1\n");
}

static bool start(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, load);
    return is_real;
}

/* ---- failures ------------------------------------------------------------------------------------------------- */

static struct {
    char function[64]; /* empty: none */
    long long countdown;
    int code;
    bool stays;
} failure;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long long calls;

static void set_failure(const char *text) {
    char plus = '\0';
    failure.function[0] = '\0';
    if (strcmp(text, "none") == 0) return;
    if (sscanf(text, "%63[^:]:%lld:%d%c", failure.function, &failure.countdown, &failure.code, &plus) < 3 ||
        failure.countdown < 1)
        shim_refuse("fail", text);
    failure.stays = plus == '+';
}

/* The result that this call of the function is to have instead of being made; 0: none. */
static cl_int failing(const char *function) {
    cl_int code = 0;
    const bool releases = strncmp(function, "clRelease", 9) == 0;
    pthread_mutex_lock(&lock);
    calls++;
    if (strcmp(failure.function, function) == 0 || (strcmp(failure.function, "any") == 0 && !releases)) {
        if (failure.countdown > 1) {
            failure.countdown--;
        } else {
            code = failure.code;
            if (!failure.stays) failure.function[0] = '\0';
        }
    }
    pthread_mutex_unlock(&lock);
    return code;
}

/* ---- options and counters ------------------------------------------------------------------------------------- */

void shim_refuse(const char *option, const char *value) {
    fprintf(stderr, "the shim does not understand %s=%s\n", option, value);
    exit(1);
}

static void set_option(char *option) {
    static const struct {
        const char *name;
        void (*set)(const char *value);
    } options[] = { { "fail", set_failure },
                    { "report", shim_set_report },
                    { "device", shim_set_device },
                    { "device_text", shim_set_device_text },
                    { "platform_text", shim_set_platform_text },
                    { "times", shim_set_times },
                    { "rewrite", shim_set_rewrite } };
    char *const value = strchr(option, '=');
    if (!value) shim_refuse(option, "");
    *value = '\0';
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        if (strcmp(option, options[i].name) != 0) continue;
        options[i].set(value + 1);
        return;
    }
    shim_refuse(option, value + 1);
}

EXPORT void qmm_shim_set(const char *options) {
    char copy[4096], *rest = NULL;
    if (snprintf(copy, sizeof copy, "%s", options) >= (int)sizeof copy) shim_refuse("options", "that are too long");
    pthread_mutex_lock(&lock);
    for (char *option = strtok_r(copy, ",", &rest); option; option = strtok_r(NULL, ",", &rest)) set_option(option);
    pthread_mutex_unlock(&lock);
}

enum { CONTEXTS, QUEUES, BUFFERS, PROGRAMS, KERNELS, EVENTS, BUILDS, BINARIES, COUNTERS };
static _Atomic long long counters[COUNTERS];

static void count(int which, bool done, int by) {
    if (done) atomic_fetch_add(&counters[which], by);
}

EXPORT long long qmm_shim_get(const char *counter) {
    static const char *const names[COUNTERS] = { "live_contexts", "live_queues", "live_buffers", "live_programs",
                                                 "live_kernels",  "live_events", "builds",       "binaries" };
    long long value = LLONG_MIN;
    for (int i = 0; i < COUNTERS; i++)
        if (strcmp(counter, names[i]) == 0) return atomic_load(&counters[i]);
    pthread_mutex_lock(&lock);
    if (strcmp(counter, "calls") == 0) value = calls;
    if (strcmp(counter, "failing") == 0) value = failure.function[0] != '\0';
    pthread_mutex_unlock(&lock);
    return value;
}

/* ---- the calls ------------------------------------------------------------------------------------------------ */

/* A call that gives its result, one that does so by a pointer, and one that is counted too. */
#define STATUS(name, parameters, ...)                       \
    EXPORT cl_int name parameters {                         \
        const cl_int code = start() ? failing(#name) : -1;  \
        return code ? code : real.name(__VA_ARGS__);        \
    }
#define COUNTED(name, which, by, parameters, ...)           \
    EXPORT cl_int name parameters {                         \
        const cl_int code = start() ? failing(#name) : -1;  \
        const cl_int result = code ? code : real.name(__VA_ARGS__); \
        count(which, result == CL_SUCCESS, by);             \
        return result;                                      \
    }

/* Gives what was made, or NULL and the code by the pointer. */
#define MAKE(type, name, which, error, ...)                 \
    const cl_int code = start() ? failing(#name) : -1;      \
    type made = NULL;                                       \
    if (code) {                                             \
        if (error) *(error) = code;                         \
        return NULL;                                        \
    }                                                       \
    made = real.name(__VA_ARGS__);                          \
    count(which, made != NULL, 1);                          \
    return made;

EXPORT cl_int clGetPlatformIDs(cl_uint entries, cl_platform_id *platforms, cl_uint *number) {
    const cl_int code = start() ? failing("clGetPlatformIDs") : -1001;
    if (code && number) *number = 0;
    return code ? code : real.clGetPlatformIDs(entries, platforms, number);
}

EXPORT cl_int clGetPlatformInfo(cl_platform_id platform, cl_platform_info question, size_t size, void *value,
                                size_t *size_given) {
    const cl_int code = start() ? failing("clGetPlatformInfo") : -1;
    const char *const text = shim_platform_text(question);
    if (code) return code;
    if (text) return shim_answer(text, strlen(text) + 1, size, value, size_given);
    return real.clGetPlatformInfo(platform, question, size, value, size_given);
}

STATUS(clGetDeviceIDs,
       (cl_platform_id platform, cl_device_type type, cl_uint entries, cl_device_id *devices, cl_uint *number), platform,
       type, entries, devices, number)

EXPORT cl_int clGetDeviceInfo(cl_device_id device, cl_device_info question, size_t size, void *value,
                              size_t *size_given) {
    const cl_int code = start() ? failing("clGetDeviceInfo") : -1;
    return code ? code : shim_device_info(real.clGetDeviceInfo, device, question, size, value, size_given);
}

EXPORT cl_context clCreateContext(const cl_context_properties *properties, cl_uint number, const cl_device_id *devices,
                                  void(CL_CALLBACK *notify)(const char *, const void *, size_t, void *), void *user,
                                  cl_int *error) {
    MAKE(cl_context, clCreateContext, CONTEXTS, error, properties, number, devices, notify, user, error)
}

COUNTED(clRetainContext, CONTEXTS, 1, (cl_context context), context)
COUNTED(clReleaseContext, CONTEXTS, -1, (cl_context context), context)
STATUS(clGetContextInfo, (cl_context context, cl_context_info question, size_t size, void *value, size_t *size_given),
       context, question, size, value, size_given)

EXPORT cl_command_queue clCreateCommandQueue(cl_context context, cl_device_id device,
                                             cl_command_queue_properties properties, cl_int *error) {
    MAKE(cl_command_queue, clCreateCommandQueue, QUEUES, error, context, device, properties, error)
}

COUNTED(clReleaseCommandQueue, QUEUES, -1, (cl_command_queue queue), queue)
STATUS(clGetCommandQueueInfo,
       (cl_command_queue queue, cl_command_queue_info question, size_t size, void *value, size_t *size_given), queue,
       question, size, value, size_given)

EXPORT cl_mem clCreateBuffer(cl_context context, cl_mem_flags flags, size_t size, void *host, cl_int *error) {
    MAKE(cl_mem, clCreateBuffer, BUFFERS, error, context, flags, size, host, error)
}

COUNTED(clReleaseMemObject, BUFFERS, -1, (cl_mem memory), memory)
STATUS(clGetMemObjectInfo, (cl_mem memory, cl_mem_info question, size_t size, void *value, size_t *size_given), memory,
       question, size, value, size_given)

EXPORT cl_program clCreateProgramWithSource(cl_context context, cl_uint number, const char **texts,
                                            const size_t *lengths, cl_int *error) {
    const cl_int code = start() ? failing("clCreateProgramWithSource") : -1;
    cl_program made = NULL;
    char *text;
    if (code) {
        if (error) *error = code;
        return NULL;
    }
    text = shim_source(number, texts, lengths);
    made = real.clCreateProgramWithSource(context, 1, (const char *[]){ text }, NULL, error);
    free(text);
    count(PROGRAMS, made != NULL, 1);
    count(BUILDS, made != NULL, 1);
    return made;
}

EXPORT cl_program clCreateProgramWithBinary(cl_context context, cl_uint number, const cl_device_id *devices,
                                            const size_t *lengths, const unsigned char **binaries, cl_int *statuses,
                                            cl_int *error) {
    count(BINARIES, true, 1);
    MAKE(cl_program, clCreateProgramWithBinary, PROGRAMS, error, context, number, devices, lengths, binaries, statuses,
         error)
}

EXPORT cl_int clBuildProgram(cl_program program, cl_uint number, const cl_device_id *devices, const char *options,
                             void(CL_CALLBACK *notify)(cl_program, void *), void *user) {
    const cl_int code = start() ? failing("clBuildProgram") : -1;
    char *own;
    cl_int result;
    if (code) return code;
    own = shim_build_options(options);
    result = real.clBuildProgram(program, number, devices, own, notify, user);
    free(own);
    return result;
}

STATUS(clGetProgramInfo, (cl_program program, cl_program_info question, size_t size, void *value, size_t *size_given),
       program, question, size, value, size_given)
STATUS(clGetProgramBuildInfo,
       (cl_program program, cl_device_id device, cl_program_build_info question, size_t size, void *value,
        size_t *size_given),
       program, device, question, size, value, size_given)
COUNTED(clReleaseProgram, PROGRAMS, -1, (cl_program program), program)

EXPORT cl_kernel clCreateKernel(cl_program program, const char *name, cl_int *error) {
    MAKE(cl_kernel, clCreateKernel, KERNELS, error, program, name, error)
}

COUNTED(clReleaseKernel, KERNELS, -1, (cl_kernel kernel), kernel)
STATUS(clGetKernelWorkGroupInfo,
       (cl_kernel kernel, cl_device_id device, cl_kernel_work_group_info question, size_t size, void *value,
        size_t *size_given),
       kernel, device, question, size, value, size_given)
STATUS(clSetKernelArg, (cl_kernel kernel, cl_uint index, size_t size, const void *value), kernel, index, size, value)
STATUS(clEnqueueNDRangeKernel,
       (cl_command_queue queue, cl_kernel kernel, cl_uint dimensions, const size_t *offset, const size_t *global,
        const size_t *local, cl_uint events, const cl_event *wait, cl_event *event),
       queue, kernel, dimensions, offset, global, local, events, wait, event)
STATUS(clEnqueueReadBuffer,
       (cl_command_queue queue, cl_mem memory, cl_bool blocks, size_t offset, size_t size, void *target, cl_uint events,
        const cl_event *wait, cl_event *event),
       queue, memory, blocks, offset, size, target, events, wait, event)
STATUS(clEnqueueWriteBuffer,
       (cl_command_queue queue, cl_mem memory, cl_bool blocks, size_t offset, size_t size, const void *source,
        cl_uint events, const cl_event *wait, cl_event *event),
       queue, memory, blocks, offset, size, source, events, wait, event)
STATUS(clEnqueueCopyBuffer,
       (cl_command_queue queue, cl_mem source, cl_mem target, size_t source_offset, size_t target_offset, size_t size,
        cl_uint events, const cl_event *wait, cl_event *event),
       queue, source, target, source_offset, target_offset, size, events, wait, event)
STATUS(clEnqueueFillBuffer,
       (cl_command_queue queue, cl_mem memory, const void *pattern, size_t pattern_size, size_t offset, size_t size,
        cl_uint events, const cl_event *wait, cl_event *event),
       queue, memory, pattern, pattern_size, offset, size, events, wait, event)
EXPORT cl_int clEnqueueMarkerWithWaitList(cl_command_queue queue, cl_uint events, const cl_event *wait,
                                          cl_event *event) {
    const cl_int code = start() ? failing("clEnqueueMarkerWithWaitList") : -1;
    const cl_int result = code ? code : real.clEnqueueMarkerWithWaitList(queue, events, wait, event);
    count(EVENTS, result == CL_SUCCESS && event, 1);
    return result;
}

STATUS(clWaitForEvents, (cl_uint number, const cl_event *events), number, events)

EXPORT cl_int clGetEventProfilingInfo(cl_event event, cl_profiling_info question, size_t size, void *value,
                                      size_t *size_given) {
    const cl_int code = start() ? failing("clGetEventProfilingInfo") : -1;
    const cl_int result = code ? code : real.clGetEventProfilingInfo(event, question, size, value, size_given);
    if (result == CL_SUCCESS && value && size == sizeof(cl_ulong)) shim_change_time(value);
    return result;
}

COUNTED(clReleaseEvent, EVENTS, -1, (cl_event event), event)
STATUS(clFinish, (cl_command_queue queue), queue)
