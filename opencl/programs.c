/* SPDX-License-Identifier: Apache-2.0
 *
 * Building programs. Their memory is the process's own, not of some context's allocator, since they outlive contexts. */
#define _POSIX_C_SOURCE 200809L
#include "programs.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../host/timer.h"
#include "arithmetic.h"
#include "cache.h"
#include "context.h"
#include "sources.h"

static const struct {
    const char *name, *source, *options;
} programs[] = {
#define PROGRAM_LINE(program, source, options, needs) { #program, #source, options },
    QMMI_OPENCL_PROGRAMS(PROGRAM_LINE)
#undef PROGRAM_LINE
};

struct qmmi_opencl_programs {
    struct qmmi_opencl_programs *next;
    int users;
    const qmmi_opencl_facts *facts;
    cl_context context;
    bool callers; /* the cl_context is a caller's, and retained */
    pthread_mutex_t lock;
    qmmi_opencl_arithmetic arithmetic;
    cl_program built[QMMI_OPENCL_PROGRAM_COUNT];
    char *log[QMMI_OPENCL_PROGRAM_COUNT]; /* of those that did not build */
};

/* ---- sharing ------------------------------------------------------------------------------------------------------ */

static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static qmmi_opencl_programs *list;

static qmmi_opencl_programs *find(const qmmi_opencl_facts *facts, cl_context context) {
    for (qmmi_opencl_programs *p = list; p; p = p->next)
        if (p->facts == facts && (context ? p->context == context : !p->callers)) return p;
    return NULL;
}

static qmmi_opencl_programs *make(const qmmi_opencl_facts *facts, cl_context context, cl_int *result) {
    const qmmi_opencl_api *api = qmmi_opencl_load();
    const cl_context_properties properties[] = { CL_CONTEXT_PLATFORM, (cl_context_properties)facts->platform, 0 };
    qmmi_opencl_programs *p = calloc(1, sizeof *p);
    *result = CL_OUT_OF_HOST_MEMORY;
    if (!p) return NULL;
    p->facts = facts;
    p->context = context;
    p->callers = context != NULL;
    if (context)
        *result = api->clRetainContext(context);
    else
        p->context = api->clCreateContext(properties, 1, &facts->handle, NULL, NULL, result);
    if (*result != CL_SUCCESS || !p->context) {
        free(p);
        return NULL;
    }
    pthread_mutex_init(&p->lock, NULL);
    p->next = list;
    list = p;
    return p;
}

qmmi_opencl_programs *qmmi_opencl_programs_acquire(const qmmi_opencl_facts *facts, cl_context context, cl_int *result) {
    qmmi_opencl_programs *p;
    pthread_mutex_lock(&list_lock);
    p = find(facts, context);
    if (!p) p = make(facts, context, result);
    if (p) p->users++;
    pthread_mutex_unlock(&list_lock);
    return p;
}

static void unlink_from_list(const qmmi_opencl_programs *p) {
    qmmi_opencl_programs **at = &list;
    while (*at != p) at = &(*at)->next;
    *at = p->next;
}

void qmmi_opencl_programs_release(qmmi_opencl_programs *p) {
    const qmmi_opencl_api *api = qmmi_opencl_load();
    bool last;
    pthread_mutex_lock(&list_lock);
    last = --p->users == 0;
    if (last) unlink_from_list(p);
    pthread_mutex_unlock(&list_lock);
    if (!last) return;
    for (int i = 0; i < QMMI_OPENCL_PROGRAM_COUNT; i++) {
        if (p->built[i]) api->clReleaseProgram(p->built[i]);
        free(p->log[i]);
    }
    api->clReleaseContext(p->context);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

cl_context qmmi_opencl_programs_context(const qmmi_opencl_programs *p) {
    return p->context;
}

/* ---- building ------------------------------------------------------------------------------------------------------ */

enum { OPTIONS_BYTES = 256, KEY_BYTES = 1024 };

static void write_options(const qmmi_opencl_programs *p, int program, qmmi_opencl_arithmetic arithmetic,
                          char options[OPTIONS_BYTES]) {
    snprintf(options, OPTIONS_BYTES, "%s%s%s",
             p->facts->exact_division ? "-cl-fp32-correctly-rounded-divide-sqrt " : "",
             arithmetic == QMMI_OPENCL_ARITHMETIC_EXACT ? "-DQMM_EXACT_DIVISION=1 " : "", programs[program].options);
}

/* All that a built program depends on. */
static void write_key(const qmmi_opencl_programs *p, int program, const char *options, char key[KEY_BYTES]) {
    const char *const source = qmmi_opencl_source(programs[program].source);
    snprintf(key, KEY_BYTES, "qmm %s\n%s\n%s\n%016" PRIx64 "\n%s\n%s\n%016" PRIx64, qmm_version(),
             p->facts->info.description, p->facts->info.driver, p->facts->identity, programs[program].name, options,
             qmmi_opencl_cache_hash(source, strlen(source)));
}

/* The compiler's log; NULL if there is no memory. */
static char *read_log(const qmmi_opencl_programs *p, cl_program program) {
    const qmmi_opencl_api *api = qmmi_opencl_load();
    size_t bytes = 0;
    char *log;
    if (api->clGetProgramBuildInfo(program, p->facts->handle, CL_PROGRAM_BUILD_LOG, 0, NULL, &bytes) != CL_SUCCESS)
        bytes = 0;
    log = calloc(1, bytes + 1);
    if (log && bytes) api->clGetProgramBuildInfo(program, p->facts->handle, CL_PROGRAM_BUILD_LOG, bytes, log, NULL);
    return log;
}

/* From the cache; NULL if it is not there, or the driver does not like it any more. */
static cl_program build_cached(qmm_context *context, const qmmi_opencl_programs *p, const char *key,
                               const char *options) {
    const qmmi_opencl_state *s = qmmi_opencl_state_of(context);
    cl_int status = CL_SUCCESS, result;
    size_t bytes;
    unsigned char *binary = qmmi_opencl_cache_load(context, s->cache_directory, key, &bytes);
    const unsigned char *const_binary = binary;
    cl_program program;
    if (!binary) return NULL;
    program =
        s->api->clCreateProgramWithBinary(p->context, 1, &p->facts->handle, &bytes, &const_binary, &status, &result);
    free(binary);
    if (program && result == CL_SUCCESS && status == CL_SUCCESS &&
        s->api->clBuildProgram(program, 1, &p->facts->handle, options, NULL, NULL) == CL_SUCCESS)
        return program;
    if (program) s->api->clReleaseProgram(program);
    qmmi_log(context, QMM_LOG_WARNING, "OpenCL: the driver refuses a program from the cache; it is built anew");
    return NULL;
}

/* Devices of the program's cl_context may be several; only ours has a binary. */
static void keep(qmm_context *context, const qmmi_opencl_programs *p, const char *key, cl_program program) {
    const qmmi_opencl_state *s = qmmi_opencl_state_of(context);
    size_t sizes[64] = { 0 };
    unsigned char *binaries[64] = { NULL };
    cl_device_id devices[64];
    size_t length = 0, ours = 0;
    if (s->api->clGetProgramInfo(program, CL_PROGRAM_DEVICES, sizeof devices, devices, &length) != CL_SUCCESS ||
        s->api->clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, sizeof sizes, sizes, NULL) != CL_SUCCESS)
        return;
    while (ours < length / sizeof *devices && devices[ours] != p->facts->handle) ours++;
    if (ours == length / sizeof *devices || sizes[ours] == 0) return;
    binaries[ours] = malloc(sizes[ours]);
    if (binaries[ours] &&
        s->api->clGetProgramInfo(program, CL_PROGRAM_BINARIES, length / sizeof *devices * sizeof *binaries, binaries,
                                 NULL) == CL_SUCCESS)
        qmmi_opencl_cache_store(context, s->cache_directory, key, binaries[ours], sizes[ours]);
    free(binaries[ours]);
}

static qmm_status fail_to_build(qmm_context *context, const qmmi_opencl_programs *p, int program, const char *log) {
    return qmmi_fail(context, QMM_BUILD_FAILED, programs[program].name, "this program does not build on %s:\n%s",
                     p->facts->info.description, log && *log ? log : "(the compiler gave no log)");
}

/* *log, where it does not build: the compiler's, to be freed. */
static qmm_status build_source(qmm_context *context, const qmmi_opencl_programs *p, int program, const char *options,
                               cl_program *built, char **log) {
    const qmmi_opencl_state *s = qmmi_opencl_state_of(context);
    const char *source = qmmi_opencl_source(programs[program].source);
    cl_int result;
    cl_program made = s->api->clCreateProgramWithSource(p->context, 1, &source, NULL, &result);
    if (!made) return qmmi_opencl_fail_to_make(context, "clCreateProgramWithSource", result);
    result = s->api->clBuildProgram(made, 1, &p->facts->handle, options, NULL, NULL);
    if (result == CL_SUCCESS) {
        *built = made;
        return QMM_OK;
    }
    if (result != CL_OUT_OF_HOST_MEMORY) *log = read_log(p, made); /* any other failure will be one again */
    s->api->clReleaseProgram(made);
    if (*log) return fail_to_build(context, p, program, *log);
    return qmmi_fail(context, QMM_OUT_OF_MEMORY, programs[program].name, "clBuildProgram found no memory (%d)",
                     (int)result);
}

static qmm_status build(qmm_context *context, const qmmi_opencl_programs *p, int program,
                        qmmi_opencl_arithmetic arithmetic, cl_program *built, char **log) {
    const qmmi_opencl_state *s = qmmi_opencl_state_of(context);
    const double start = qmmi_now();
    char options[OPTIONS_BYTES], key[KEY_BYTES];
    write_options(p, program, arithmetic, options);
    write_key(p, program, options, key);
    if (s->cache_directory) *built = build_cached(context, p, key, options);
    if (*built) {
        qmmi_log(context, QMM_LOG_INFO, "OpenCL: loaded %s from the cache in %.0f ms", programs[program].name,
                 1e3 * (qmmi_now() - start));
        return QMM_OK;
    }
    QMMI_TRY(build_source(context, p, program, options, built, log));
    qmmi_log(context, QMM_LOG_INFO, "OpenCL: built %s in %.0f ms", programs[program].name, 1e3 * (qmmi_now() - start));
    if (s->cache_directory) keep(context, p, key, *built);
    return QMM_OK;
}

/* ---- arithmetic ---------------------------------------------------------------------------------------------------- */

static qmmi_opencl_arithmetic known_arithmetic(qmmi_opencl_programs *p) {
    qmmi_opencl_arithmetic known;
    pthread_mutex_lock(&p->lock);
    known = p->arithmetic;
    pthread_mutex_unlock(&p->lock);
    return known;
}

/* Of two threads here, both find the same. */
static qmm_status find_arithmetic(qmm_context *context, qmmi_opencl_programs *p, qmmi_opencl_arithmetic *found) {
    bool divides, computes;
    QMMI_TRY(qmmi_opencl_test_arithmetic(context, &divides, &computes));
    *found = !computes                             ? QMMI_OPENCL_ARITHMETIC_OTHER
             : divides && p->facts->exact_division ? QMMI_OPENCL_ARITHMETIC_EXACT
                                                   : QMMI_OPENCL_ARITHMETIC_NO_DIVISION;
    pthread_mutex_lock(&p->lock);
    p->arithmetic = *found;
    pthread_mutex_unlock(&p->lock);
    if (*found == QMMI_OPENCL_ARITHMETIC_NO_DIVISION)
        qmmi_log(context, QMM_LOG_INFO, "OpenCL: %s does not promise exact division; it is done in integers",
                 p->facts->info.description);
    return QMM_OK;
}

qmm_status qmmi_opencl_know_arithmetic(qmm_context *context) {
    qmmi_opencl_programs *p = qmmi_opencl_state_of(context)->programs;
    qmmi_opencl_arithmetic found = known_arithmetic(p);
    if (found == QMMI_OPENCL_ARITHMETIC_UNKNOWN) QMMI_TRY(find_arithmetic(context, p, &found));
    if (found != QMMI_OPENCL_ARITHMETIC_OTHER) return QMM_OK;
    return qmmi_fail(context, QMM_UNSUPPORTED, "OpenCL",
                     "the float arithmetic of %s is not IEEE-754's (it loses subnormal numbers, contracts, or converts "
                     "otherwise)",
                     p->facts->info.description);
}

/* ---- the list of programs ------------------------------------------------------------------------------------------ */

/* *log is not NULL if it did not build before. */
static cl_program look_up(qmmi_opencl_programs *p, qmmi_opencl_program program, const char **log) {
    cl_program built;
    pthread_mutex_lock(&p->lock);
    built = p->built[program];
    *log = p->log[program];
    pthread_mutex_unlock(&p->lock);
    return built;
}

/* Another thread may have been faster: then its program is the one, and ours goes. */
static cl_program enter(qmmi_opencl_programs *p, qmmi_opencl_program program, cl_program built, char *log) {
    cl_program now_built;
    pthread_mutex_lock(&p->lock);
    if (built && !p->built[program]) {
        p->built[program] = built;
        built = NULL;
    }
    if (log && !p->log[program]) {
        p->log[program] = log;
        log = NULL;
    }
    now_built = p->built[program];
    pthread_mutex_unlock(&p->lock);
    if (built) qmmi_opencl_load()->clReleaseProgram(built);
    free(log);
    return now_built;
}

/* The lock is not held while a program is built: that takes long, and calls the caller's log, which may wait for others. */
qmm_status qmmi_opencl_program_get(qmm_context *context, qmmi_opencl_program program, cl_program *built) {
    qmmi_opencl_programs *p = qmmi_opencl_state_of(context)->programs;
    const char *old_log;
    char *log = NULL;
    cl_program made = NULL;
    qmm_status status;
    *built = look_up(p, program, &old_log);
    if (*built) return QMM_OK;
    if (old_log) return fail_to_build(context, p, (int)program, old_log);
    if (program != QMMI_OPENCL_PROGRAM_arithmetic) QMMI_TRY(qmmi_opencl_know_arithmetic(context));
    status = build(context, p, (int)program, known_arithmetic(p), &made, &log);
    *built = enter(p, program, made, log);
    return status;
}
