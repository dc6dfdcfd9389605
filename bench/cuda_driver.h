/* SPDX-License-Identifier: Apache-2.0
 *
 * What the benchmark asks of the CUDA driver beside the library: events, fills, an empty kernel, graphs, facts of the
 * device. Loaded as the library loads it: libcuda.so.1, or what QMM_CUDA_LIBRARY names. Its types are opaque pointers,
 * and its functions are declared here, since the benchmark is built without CUDA. */
#ifndef QMM_BENCH_CUDA_DRIVER_H
#define QMM_BENCH_CUDA_DRIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* member, the name the driver exports, parameters */
#define BENCH_DRIVER_FUNCTIONS(X)                                                                                   \
    X(device_get, "cuDeviceGet", (int *device, int ordinal))                                                        \
    X(primary_retain, "cuDevicePrimaryCtxRetain", (void **context, int device))                                     \
    X(primary_release, "cuDevicePrimaryCtxRelease_v2", (int device))                                                \
    X(set_current, "cuCtxSetCurrent", (void *context))                                                              \
    X(attribute, "cuDeviceGetAttribute", (int *value, int attribute, int device))                                   \
    X(event_create, "cuEventCreate", (void **event, unsigned flags))                                                \
    X(event_destroy, "cuEventDestroy_v2", (void *event))                                                            \
    X(event_record, "cuEventRecord", (void *event, void *stream))                                                   \
    X(event_elapsed, "cuEventElapsedTime", (float *milliseconds, void *begin, void *end))                           \
    X(fill, "cuMemsetD8Async", (uint64_t memory, unsigned char value, size_t bytes, void *stream))                  \
    X(copy, "cuMemcpyDtoDAsync_v2", (uint64_t target, uint64_t source, size_t bytes, void *stream))                 \
    X(begin_capture, "cuStreamBeginCapture_v2", (void *stream, int mode))                                           \
    X(end_capture, "cuStreamEndCapture", (void *stream, void **graph))                                              \
    X(graph_instantiate, "cuGraphInstantiateWithFlags", (void **executable, void *graph, unsigned long long flags)) \
    X(graph_launch, "cuGraphLaunch", (void *executable, void *stream))                                              \
    X(graph_free, "cuGraphDestroy", (void *graph))                                                                  \
    X(executable_free, "cuGraphExecDestroy", (void *executable))

/* These need a real driver: it compiles the empty kernel. */
#define BENCH_DRIVER_COMPILER(X)                                                                              \
    X(module_load, "cuModuleLoadData", (void **module, const void *image))                                    \
    X(module_unload, "cuModuleUnload", (void *module))                                                        \
    X(module_function, "cuModuleGetFunction", (void **function, void *module, const char *name))              \
    X(launch, "cuLaunchKernel",                                                                               \
      (void *function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y, \
       unsigned block_z, unsigned shared_bytes, void *stream, void **parameters, void **extra))

typedef struct bench_driver {
    void *library;
    bool simulated; /* the stand-in of the tests: its times mean nothing */
    int device;
    void *stream; /* the context's */
#define BENCH_DRIVER_MEMBER(member, name, parameters) int(*member) parameters;
    BENCH_DRIVER_FUNCTIONS(BENCH_DRIVER_MEMBER)
    BENCH_DRIVER_COMPILER(BENCH_DRIVER_MEMBER)
#undef BENCH_DRIVER_MEMBER
    void *empty_module, *empty_kernel; /* NULL where there is none */
} bench_driver;

/* Makes the primary context of device `ordinal` current. Ends the program where something is missing. */
void bench_driver_open(bench_driver *d, int ordinal, void *stream);
void bench_driver_close(bench_driver *d);

/* Ends the program where a driver's call failed. */
void bench_driver_require(int result, const char *what);

/* Queues a kernel that does nothing. */
void bench_driver_empty(const bench_driver *d);

int bench_driver_attribute(const bench_driver *d, int attribute); /* CUdevice_attribute; 0 where it is unknown */

/* Clocks of the multiprocessors and the memory (MHz) and power of the board (W) now, where there is NVML; else 0. */
typedef struct bench_clocks {
    unsigned multiprocessor, memory;
    double watts;
} bench_clocks;

bench_clocks bench_driver_clocks(const bench_driver *d);

#endif
