/* SPDX-License-Identifier: Apache-2.0
 *
 * What qmm bench asks of the CUDA driver beside the library: an empty kernel, graphs, facts of the device, its clocks
 * by NVML. Loaded as the library loads it: libcuda.so.1, or what QMM_CUDA_LIBRARY names. Its types are opaque
 * pointers, and its functions are declared here, since the command is built without CUDA. */
#ifndef QMM_BENCH_CUDA_DRIVER_H
#define QMM_BENCH_CUDA_DRIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* member, the name the driver exports, parameters */
#define BENCH_DRIVER_FUNCTIONS(X)                                                                                   \
    X(get_version, "cuDriverGetVersion", (int *version))                                                            \
    X(device_get, "cuDeviceGet", (int *device, int ordinal))                                                        \
    X(primary_retain, "cuDevicePrimaryCtxRetain", (void **context, int device))                                     \
    X(primary_release, "cuDevicePrimaryCtxRelease_v2", (int device))                                                \
    X(set_current, "cuCtxSetCurrent", (void *context))                                                              \
    X(attribute, "cuDeviceGetAttribute", (int *value, int attribute, int device))                                   \
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

/* Of NVML; device NULL: there is none. */
typedef struct bench_nvml {
    int (*init)(void);
    int (*by_bus)(const char *bus, void **device);
    int (*clock)(void *device, int which, unsigned *megahertz);
    int (*power)(void *device, unsigned *milliwatts);
    void *device;
} bench_nvml;

/* NULL where a driver does not have it. */
typedef int bench_graph_nodes(void *graph, void **nodes, size_t *count);

typedef struct bench_driver {
    void *library;
    bool simulated; /* the stand-in of the tests: its times mean nothing */
    int device;
    int version;  /* as 12040, of CUDA 12.4; 0: unknown */
    void *stream; /* the context's */
#define BENCH_DRIVER_MEMBER(member, name, parameters) int(*member) parameters;
    BENCH_DRIVER_FUNCTIONS(BENCH_DRIVER_MEMBER)
    BENCH_DRIVER_COMPILER(BENCH_DRIVER_MEMBER)
#undef BENCH_DRIVER_MEMBER
    bench_graph_nodes *graph_nodes;
    void *empty_module, *empty_kernel; /* NULL where there is none */
    bench_nvml nvml;
} bench_driver;

/* Makes the primary context of device `ordinal` current. Where something is missing, nothing is left open, and
 * d->library is NULL. */
void bench_driver_open(bench_driver *d, int ordinal, void *stream);
void bench_driver_close(bench_driver *d);

/* Queues a kernel that does nothing; the driver's result, 0 if all is well. */
int bench_driver_empty(const bench_driver *d);

enum {
    BENCH_CU_CLOCK_KHZ = 13,
    BENCH_CU_PCI_BUS = 33,
    BENCH_CU_PCI_DEVICE = 34,
    BENCH_CU_L2_BYTES = 38,
    BENCH_CU_PCI_DOMAIN = 50
};
int bench_driver_attribute(const bench_driver *d, int attribute); /* CUdevice_attribute; 0 where it is unknown */

/* Clocks of the multiprocessors and the memory (MHz) and power of the board (W) now; 0 where there is no NVML. */
typedef struct bench_clocks {
    unsigned multiprocessor, memory;
    double watts;
} bench_clocks;

bench_clocks bench_driver_clocks(const bench_driver *d);

#endif
