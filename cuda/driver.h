/* SPDX-License-Identifier: Apache-2.0
 *
 * The CUDA driver, found at run time. The declarations are our own, of the driver's stable ABI, so that the backend is
 * compiled where no CUDA header is; tests/packaging/check_driver_header.c compares them with a real cuda.h. */
#ifndef QMMI_CUDA_DRIVER_H
#define QMMI_CUDA_DRIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The driver's types. Its enums are unsigned int, a device is its ordinal, an address has 64 bits. */
typedef unsigned cu_result;
typedef int cu_device;
typedef unsigned long long cu_pointer;
typedef struct CUctx_st *cu_context;
typedef struct CUmod_st *cu_module;
typedef struct CUfunc_st *cu_function;
typedef struct CUstream_st *cu_stream;
typedef struct CUevent_st *cu_event;
typedef struct CUtensorMap_st cu_tensor_map;

/* Results that are looked at; errors.c has those that are only classified. */
enum {
    CU_SUCCESS = 0,
    CU_ERROR_OUT_OF_MEMORY = 2,
    CU_ERROR_NO_DEVICE = 100,
    CU_ERROR_STREAM_CAPTURE_IMPLICIT = 906
};

/* Values of the driver's enums that are passed. */
enum {
    CU_DEVICE_CLOCK_KHZ = 13,
    CU_DEVICE_MULTIPROCESSORS = 16,
    CU_DEVICE_MEMORY_CLOCK_KHZ = 36,
    CU_DEVICE_MEMORY_BUS_BITS = 37,
    CU_DEVICE_L2_BYTES = 38,
    CU_DEVICE_COMPUTE_MAJOR = 75,
    CU_DEVICE_COMPUTE_MINOR = 76,
    CU_DEVICE_SHARED_BYTES_MAX = 97, /* static and dynamic, of a block that is allowed them */
    CU_FUNCTION_MAX_DYNAMIC_SHARED_BYTES = 8,
    CU_POINTER_MEMORY_TYPE = 2,
    CU_MEMORY_TYPE_HOST = 1,
    CU_STREAM_NON_BLOCKING_FLAG = 1,
    CU_EVENT_DEFAULT_FLAGS = 0,
    CU_EVENT_NO_TIMING_FLAG = 2,
    CU_CAPTURE_NONE = 0,
    CU_CAPTURE_MODE_RELAXED = 2,
    CU_TENSOR_UINT8 = 0,
    CU_TENSOR_UINT16 = 1,
    CU_TENSOR_INTERLEAVE_NO = 0,
    CU_TENSOR_SWIZZLE_NO = 0,
    CU_TENSOR_SWIZZLE_64_BYTES = 2,
    CU_TENSOR_SWIZZLE_128_BYTES = 3,
    CU_TENSOR_PROMOTION_NO = 0,
    CU_TENSOR_PROMOTION_256_BYTES = 3,
    CU_TENSOR_FILL_ZEROS = 0
};

/* Every call used: X(name, suffix of the version that the declaration is of, parameters). */
#define QMMI_CUDA_CALLS(X)                                                                                            \
    X(cuInit, , (unsigned flags))                                                                                     \
    X(cuDriverGetVersion, , (int *version))                                                                           \
    X(cuGetErrorName, , (cu_result result, const char **name))                                                        \
    X(cuGetErrorString, , (cu_result result, const char **text))                                                      \
    X(cuDeviceGetCount, , (int *count))                                                                               \
    X(cuDeviceGet, , (cu_device *device, int ordinal))                                                                \
    X(cuDeviceGetName, , (char *name, int bytes, cu_device device))                                                   \
    X(cuDeviceTotalMem, _v2, (size_t *bytes, cu_device device))                                                       \
    X(cuDeviceGetAttribute, , (int *value, unsigned attribute, cu_device device))                                     \
    X(cuDevicePrimaryCtxRetain, , (cu_context *context, cu_device device))                                            \
    X(cuDevicePrimaryCtxRelease, _v2, (cu_device device))                                                             \
    X(cuCtxGetCurrent, , (cu_context *context))                                                                       \
    X(cuCtxPushCurrent, _v2, (cu_context context))                                                                    \
    X(cuCtxPopCurrent, _v2, (cu_context *context))                                                                    \
    X(cuModuleLoadData, , (cu_module *module, const void *image))                                                     \
    X(cuModuleUnload, , (cu_module module))                                                                           \
    X(cuModuleGetFunction, , (cu_function *function, cu_module module, const char *name))                             \
    X(cuFuncSetAttribute, , (cu_function function, unsigned attribute, int value))                                    \
    X(cuStreamCreate, , (cu_stream *stream, unsigned flags))                                                          \
    X(cuStreamDestroy, _v2, (cu_stream stream))                                                                       \
    X(cuStreamSynchronize, , (cu_stream stream))                                                                      \
    X(cuStreamIsCapturing, , (cu_stream stream, unsigned *status))                                                    \
    X(cuThreadExchangeStreamCaptureMode, , (unsigned *mode))                                                          \
    X(cuStreamGetCtx, , (cu_stream stream, cu_context *context))                                                      \
    X(cuEventCreate, , (cu_event *event, unsigned flags))                                                             \
    X(cuEventDestroy, _v2, (cu_event event))                                                                          \
    X(cuEventRecord, , (cu_event event, cu_stream stream))                                                            \
    X(cuEventSynchronize, , (cu_event event))                                                                         \
    X(cuEventElapsedTime, , (float *milliseconds, cu_event start, cu_event end))                                      \
    X(cuMemAlloc, _v2, (cu_pointer *memory, size_t bytes))                                                            \
    X(cuMemFree, _v2, (cu_pointer memory))                                                                            \
    X(cuMemHostAlloc, , (void **memory, size_t bytes, unsigned flags))                                                \
    X(cuMemFreeHost, , (void *memory))                                                                                \
    X(cuPointerGetAttributes, , (unsigned count, unsigned *attributes, void **values, cu_pointer pointer))            \
    X(cuMemcpyHtoDAsync, _v2, (cu_pointer target, const void *source, size_t bytes, cu_stream stream))                \
    X(cuMemcpyDtoHAsync, _v2, (void *target, cu_pointer source, size_t bytes, cu_stream stream))                      \
    X(cuMemcpyDtoDAsync, _v2, (cu_pointer target, cu_pointer source, size_t bytes, cu_stream stream))                 \
    X(cuMemsetD8Async, , (cu_pointer target, unsigned char value, size_t bytes, cu_stream stream))                    \
    X(cuMemsetD32Async, , (cu_pointer target, unsigned value, size_t count, cu_stream stream))                        \
    X(cuLaunchKernel, ,                                                                                               \
      (cu_function function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y,   \
       unsigned block_z, unsigned shared_bytes, cu_stream stream, void **parameters, void **extra))

/* Calls that older drivers lack, and that are NULL there. cuFuncLoad: CUDA 12.4; cuTensorMapEncodeTiled: 12.0. */
#define QMMI_CUDA_OPTIONAL_CALLS(X)                                                                                   \
    X(cuFuncLoad, , (cu_function function))                                                                           \
    X(cuTensorMapEncodeTiled, ,                                                                                       \
      (cu_tensor_map *map, unsigned type, uint32_t rank, void *memory, const uint64_t *dimensions,                    \
       const uint64_t *strides, const uint32_t *box, const uint32_t *element_strides, unsigned interleave,            \
       unsigned swizzle, unsigned promotion, unsigned fill))

typedef struct qmmi_cuda_driver {
#define QMMI_CUDA_CALL_FIELD(name, version, parameters) cu_result(*name) parameters;
    QMMI_CUDA_CALLS(QMMI_CUDA_CALL_FIELD)
    QMMI_CUDA_OPTIONAL_CALLS(QMMI_CUDA_CALL_FIELD)
#undef QMMI_CUDA_CALL_FIELD
    int version;    /* of CUDA it is for: 1000 * major + 10 * minor */
    bool simulated; /* tests/simulator: it brings its own kernels, whatever images this build has */
    char reason[256]; /* why there is no driver; empty if there is */
} qmmi_cuda_driver;

/* The driver, loaded and initialised at the first call in this process, on whatever thread, and never unloaded: the
 * library that the environment variable QMM_CUDA_LIBRARY names, and no other, or else libcuda.so.1. "none" in the
 * variable means: no CUDA. Never NULL; see `reason`. */
const qmmi_cuda_driver *qmmi_cuda_driver_load(void);

/* "CUDA_ERROR_LAUNCH_FAILED (unspecified launch failure)" into text. */
void qmmi_cuda_describe(const qmmi_cuda_driver *driver, cu_result result, char *text, size_t bytes);

#endif
