/* SPDX-License-Identifier: Apache-2.0
 *
 * What the tests share: OpenCL as a caller has it beside the library, and the controls of the shim where it is loaded. */
#ifndef QMM_TEST_OPENCL_CALLS_H
#define QMM_TEST_OPENCL_CALLS_H

#include "api/support.h"
#include "opencl/api.h"

/* A cl_context of the first device, and an in-order queue. */
typedef struct caller {
    const qmmi_opencl_api *api;
    cl_device_id device;
    cl_context context;
    cl_command_queue queue;
} caller;

/* Ends the program where there is no device. */
void caller_open(caller *c);
void caller_close(caller *c);
cl_command_queue caller_queue(const caller *c, cl_command_queue_properties properties);

/* Ends the program where a call did not succeed. */
void cl_require(cl_int result, const char *what);

/* shim.h's functions, in the library that QMM_OPENCL_LIBRARY names. */
void shim_set(const char *format, ...) TEST_FORMAT(1, 2);
long long shim_get(const char *counter);

/* The context's log lines, joined. */
typedef struct log_text {
    char text[32768];
} log_text;

void log_keep(void *user, qmm_log_level level, const char *line);

/* Opens "opencl" with these options, or with none, and the log kept where there is one. */
qmm_status open_logged(const qmm_context_options *options, log_text *log, qmm_context **context);

#endif
