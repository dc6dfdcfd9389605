/* SPDX-License-Identifier: Apache-2.0
 *
 * The CUDA driver as the tests use it beside the library: streams, events, graphs; and the controls of the simulated
 * device where it is that. Loaded as the library loads it: libcuda.so.1, or what QMM_CUDA_LIBRARY names. Neither cmocka
 * nor a CUDA header, so that the programs of tests/on_gpu.sh are built from this too. */
#ifndef QMM_TEST_CUDA_CALLS_H
#define QMM_TEST_CUDA_CALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* member, the name the driver exports, parameters. 0 is success everywhere. */
#define CUDA_CALLS(X)                                                                                               \
    X(init, "cuInit", (unsigned flags))                                                                             \
    X(primary_retain, "cuDevicePrimaryCtxRetain", (void **context, int device))                                     \
    X(primary_release, "cuDevicePrimaryCtxRelease_v2", (int device))                                                \
    X(set_current, "cuCtxSetCurrent", (void *context))                                                              \
    X(stream_create, "cuStreamCreate", (void **stream, unsigned flags))                                             \
    X(stream_destroy, "cuStreamDestroy_v2", (void *stream))                                                         \
    X(stream_wait, "cuStreamWaitEvent", (void *stream, void *event, unsigned flags))                                \
    X(stream_synchronize, "cuStreamSynchronize", (void *stream))                                                    \
    X(event_create, "cuEventCreate", (void **event, unsigned flags))                                                \
    X(event_destroy, "cuEventDestroy_v2", (void *event))                                                            \
    X(event_record, "cuEventRecord", (void *event, void *stream))                                                   \
    X(begin_capture, "cuStreamBeginCapture_v2", (void *stream, int mode))                                           \
    X(end_capture, "cuStreamEndCapture", (void *stream, void **graph))                                              \
    X(is_capturing, "cuStreamIsCapturing", (void *stream, int *status))                                             \
    X(graph_instantiate, "cuGraphInstantiateWithFlags", (void **executable, void *graph, unsigned long long flags)) \
    X(graph_launch, "cuGraphLaunch", (void *executable, void *stream))                                              \
    X(graph_destroy, "cuGraphDestroy", (void *graph))                                                               \
    X(executable_destroy, "cuGraphExecDestroy", (void *executable))                                                 \
    X(memory_allocate, "cuMemAlloc_v2", (uint64_t * memory, size_t bytes))                                          \
    X(memory_free, "cuMemFree_v2", (uint64_t memory))                                                               \
    X(host_allocate, "cuMemHostAlloc", (void **memory, size_t bytes, unsigned flags))                               \
    X(host_free, "cuMemFreeHost", (void *memory))

typedef struct cuda_calls {
#define CUDA_CALLS_MEMBER(member, name, parameters) int(*member) parameters;
    CUDA_CALLS(CUDA_CALLS_MEMBER)
#undef CUDA_CALLS_MEMBER
    bool simulated;
} cuda_calls;

/* The driver's calls, found at the first call, with the primary context of device 0 current on this thread. NULL, with
 * the reason on standard error, where there is none. */
const cuda_calls *cuda_calls_open(void);
void *cuda_primary_context(void);

/* The simulated device's options and counters, by name (tests/simulator/options.h). Ends the program for a name it does
 * not know, and on a real device. */
void simulator_set(const char *name, long long value);
long long simulator_get(const char *name);

/* Ends the program where a call of the driver did not succeed. */
void cuda_require(int result, const char *what);

#endif
