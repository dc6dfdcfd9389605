/* SPDX-License-Identifier: Apache-2.0
 *
 * OpenCL, found at run time. Compiled against the headers alone; nothing is linked. */
#ifndef QMMI_OPENCL_API_H
#define QMMI_OPENCL_API_H

#define CL_TARGET_OPENCL_VERSION 120 /* the oldest that is used */
#define CL_USE_DEPRECATED_OPENCL_1_2_APIS /* clCreateCommandQueue: later drivers have it, older ones nothing else */
#include <CL/cl.h>
#include <stdbool.h>
#include <stddef.h>

/* Every call that is used, once: the table's fields and the names that are looked up. All are of OpenCL 1.2. */
#define QMMI_OPENCL_CALLS(X)       \
    X(clGetPlatformIDs)            \
    X(clGetPlatformInfo)           \
    X(clGetDeviceIDs)              \
    X(clGetDeviceInfo)             \
    X(clCreateContext)             \
    X(clRetainContext)             \
    X(clReleaseContext)            \
    X(clGetContextInfo)            \
    X(clCreateCommandQueue)        \
    X(clReleaseCommandQueue)       \
    X(clGetCommandQueueInfo)       \
    X(clCreateBuffer)              \
    X(clReleaseMemObject)          \
    X(clGetMemObjectInfo)          \
    X(clCreateProgramWithSource)   \
    X(clCreateProgramWithBinary)   \
    X(clBuildProgram)              \
    X(clGetProgramInfo)            \
    X(clGetProgramBuildInfo)       \
    X(clReleaseProgram)            \
    X(clCreateKernel)              \
    X(clReleaseKernel)             \
    X(clGetKernelWorkGroupInfo)    \
    X(clSetKernelArg)              \
    X(clEnqueueNDRangeKernel)      \
    X(clEnqueueReadBuffer)         \
    X(clEnqueueWriteBuffer)        \
    X(clEnqueueCopyBuffer)         \
    X(clEnqueueFillBuffer)         \
    X(clEnqueueMarkerWithWaitList) \
    X(clWaitForEvents)             \
    X(clGetEventProfilingInfo)     \
    X(clReleaseEvent)              \
    X(clFinish)

/* The headers declare functions; their types are what the table holds. */
#define QMMI_OPENCL_FIELD(name) __typeof__(&name) name;

typedef struct qmmi_opencl_api {
    QMMI_OPENCL_CALLS(QMMI_OPENCL_FIELD)
    char reason[256]; /* why there is none; empty: all of the above can be called */
} qmmi_opencl_api;

/* The table, filled once in a process: from the library that QMM_OPENCL_LIBRARY names and no other ("none": nothing), or
 * from what the process has loaded already (tools that are preloaded, an application's own), or from libOpenCL.so.1, or
 * libOpenCL.so. Never unloaded: drivers have threads. */
const qmmi_opencl_api *qmmi_opencl_load(void);

#endif
