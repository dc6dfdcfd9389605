/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of the shim give one another. */
#ifndef QMM_TEST_OPENCL_SHIM_PARTS_H
#define QMM_TEST_OPENCL_SHIM_PARTS_H

#include "opencl/api.h"
#include "shim.h"

/* Ends the program. */
void shim_refuse(const char *option, const char *value);

/* ---- answers (shim_report.c) ---------------------------------------------------------------------------------- */

typedef __typeof__(&clGetDeviceInfo) shim_ask_device;

void shim_set_report(const char *value);
void shim_set_device(const char *value);
void shim_set_device_text(const char *value);
void shim_set_platform_text(const char *value);
void shim_set_times(const char *value);

/* A time that the driver gives, in nanoseconds, becomes what it is to be. */
void shim_change_time(void *nanoseconds);

/* The file of functions that stand in for the reported device's instructions; NULL: none. */
const char *shim_stand_ins(void);

/* As the clGet...Info functions give an answer. */
cl_int shim_answer(const void *given, size_t bytes, size_t size, void *value, size_t *size_given);

/* NULL: the driver's own. */
const char *shim_platform_text(cl_platform_info question);
cl_int shim_device_info(shim_ask_device ask, cl_device_id device, cl_device_info question, size_t size, void *value,
                        size_t *size_given);

/* ---- sources (shim_source.c) ---------------------------------------------------------------------------------- */

void shim_set_rewrite(const char *value);

/* The program's text as it goes to the driver, and its build options. The caller frees them. */
char *shim_source(cl_uint number, const char **texts, const size_t *lengths);
char *shim_build_options(const char *options);

#endif
