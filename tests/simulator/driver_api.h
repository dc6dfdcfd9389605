// SPDX-License-Identifier: Apache-2.0
//
// The driver's interface as the stand-in exports it: types, values and declarations of the CUDA driver's stable ABI,
// written apart from cuda/driver.h, so that the two can differ and a test finds it. No CUDA header is needed.
#ifndef QMM_SIMULATOR_DRIVER_API_H
#define QMM_SIMULATOR_DRIVER_API_H

#include <cstddef>
#include <cstdint>

#define SIMULATOR_RESULTS(X) \
    X(CUDA_SUCCESS, 0)                                       \
    X(CUDA_ERROR_INVALID_VALUE, 1)                           \
    X(CUDA_ERROR_OUT_OF_MEMORY, 2)                           \
    X(CUDA_ERROR_NOT_INITIALIZED, 3)                         \
    X(CUDA_ERROR_DEINITIALIZED, 4)                           \
    X(CUDA_ERROR_PROFILER_DISABLED, 5)                       \
    X(CUDA_ERROR_PROFILER_NOT_INITIALIZED, 6)                \
    X(CUDA_ERROR_PROFILER_ALREADY_STARTED, 7)                \
    X(CUDA_ERROR_PROFILER_ALREADY_STOPPED, 8)                \
    X(CUDA_ERROR_STUB_LIBRARY, 34)                           \
    X(CUDA_ERROR_CALL_REQUIRES_NEWER_DRIVER, 36)             \
    X(CUDA_ERROR_DEVICE_UNAVAILABLE, 46)                     \
    X(CUDA_ERROR_NO_DEVICE, 100)                             \
    X(CUDA_ERROR_INVALID_DEVICE, 101)                        \
    X(CUDA_ERROR_DEVICE_NOT_LICENSED, 102)                   \
    X(CUDA_ERROR_INVALID_IMAGE, 200)                         \
    X(CUDA_ERROR_INVALID_CONTEXT, 201)                       \
    X(CUDA_ERROR_CONTEXT_ALREADY_CURRENT, 202)               \
    X(CUDA_ERROR_MAP_FAILED, 205)                            \
    X(CUDA_ERROR_UNMAP_FAILED, 206)                          \
    X(CUDA_ERROR_ARRAY_IS_MAPPED, 207)                       \
    X(CUDA_ERROR_ALREADY_MAPPED, 208)                        \
    X(CUDA_ERROR_NO_BINARY_FOR_GPU, 209)                     \
    X(CUDA_ERROR_ALREADY_ACQUIRED, 210)                      \
    X(CUDA_ERROR_NOT_MAPPED, 211)                            \
    X(CUDA_ERROR_NOT_MAPPED_AS_ARRAY, 212)                   \
    X(CUDA_ERROR_NOT_MAPPED_AS_POINTER, 213)                 \
    X(CUDA_ERROR_ECC_UNCORRECTABLE, 214)                     \
    X(CUDA_ERROR_UNSUPPORTED_LIMIT, 215)                     \
    X(CUDA_ERROR_CONTEXT_ALREADY_IN_USE, 216)                \
    X(CUDA_ERROR_PEER_ACCESS_UNSUPPORTED, 217)               \
    X(CUDA_ERROR_INVALID_PTX, 218)                           \
    X(CUDA_ERROR_INVALID_GRAPHICS_CONTEXT, 219)              \
    X(CUDA_ERROR_NVLINK_UNCORRECTABLE, 220)                  \
    X(CUDA_ERROR_JIT_COMPILER_NOT_FOUND, 221)                \
    X(CUDA_ERROR_UNSUPPORTED_PTX_VERSION, 222)               \
    X(CUDA_ERROR_JIT_COMPILATION_DISABLED, 223)              \
    X(CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY, 224)             \
    X(CUDA_ERROR_UNSUPPORTED_DEVSIDE_SYNC, 225)              \
    X(CUDA_ERROR_CONTAINED, 226)                             \
    X(CUDA_ERROR_INVALID_SOURCE, 300)                        \
    X(CUDA_ERROR_FILE_NOT_FOUND, 301)                        \
    X(CUDA_ERROR_SHARED_OBJECT_SYMBOL_NOT_FOUND, 302)        \
    X(CUDA_ERROR_SHARED_OBJECT_INIT_FAILED, 303)             \
    X(CUDA_ERROR_OPERATING_SYSTEM, 304)                      \
    X(CUDA_ERROR_INVALID_HANDLE, 400)                        \
    X(CUDA_ERROR_ILLEGAL_STATE, 401)                         \
    X(CUDA_ERROR_LOSSY_QUERY, 402)                           \
    X(CUDA_ERROR_NOT_FOUND, 500)                             \
    X(CUDA_ERROR_NOT_READY, 600)                             \
    X(CUDA_ERROR_ILLEGAL_ADDRESS, 700)                       \
    X(CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, 701)               \
    X(CUDA_ERROR_LAUNCH_TIMEOUT, 702)                        \
    X(CUDA_ERROR_LAUNCH_INCOMPATIBLE_TEXTURING, 703)         \
    X(CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED, 704)           \
    X(CUDA_ERROR_PEER_ACCESS_NOT_ENABLED, 705)               \
    X(CUDA_ERROR_PRIMARY_CONTEXT_ACTIVE, 708)                \
    X(CUDA_ERROR_CONTEXT_IS_DESTROYED, 709)                  \
    X(CUDA_ERROR_ASSERT, 710)                                \
    X(CUDA_ERROR_TOO_MANY_PEERS, 711)                        \
    X(CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED, 712)        \
    X(CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED, 713)            \
    X(CUDA_ERROR_HARDWARE_STACK_ERROR, 714)                  \
    X(CUDA_ERROR_ILLEGAL_INSTRUCTION, 715)                   \
    X(CUDA_ERROR_MISALIGNED_ADDRESS, 716)                    \
    X(CUDA_ERROR_INVALID_ADDRESS_SPACE, 717)                 \
    X(CUDA_ERROR_INVALID_PC, 718)                            \
    X(CUDA_ERROR_LAUNCH_FAILED, 719)                         \
    X(CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE, 720)          \
    X(CUDA_ERROR_TENSOR_MEMORY_LEAK, 721)                    \
    X(CUDA_ERROR_NOT_PERMITTED, 800)                         \
    X(CUDA_ERROR_NOT_SUPPORTED, 801)                         \
    X(CUDA_ERROR_SYSTEM_NOT_READY, 802)                      \
    X(CUDA_ERROR_SYSTEM_DRIVER_MISMATCH, 803)                \
    X(CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE, 804)        \
    X(CUDA_ERROR_MPS_CONNECTION_FAILED, 805)                 \
    X(CUDA_ERROR_MPS_RPC_FAILURE, 806)                       \
    X(CUDA_ERROR_MPS_SERVER_NOT_READY, 807)                  \
    X(CUDA_ERROR_MPS_MAX_CLIENTS_REACHED, 808)               \
    X(CUDA_ERROR_MPS_MAX_CONNECTIONS_REACHED, 809)           \
    X(CUDA_ERROR_MPS_CLIENT_TERMINATED, 810)                 \
    X(CUDA_ERROR_CDP_NOT_SUPPORTED, 811)                     \
    X(CUDA_ERROR_CDP_VERSION_MISMATCH, 812)                  \
    X(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, 900)            \
    X(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, 901)            \
    X(CUDA_ERROR_STREAM_CAPTURE_MERGE, 902)                  \
    X(CUDA_ERROR_STREAM_CAPTURE_UNMATCHED, 903)              \
    X(CUDA_ERROR_STREAM_CAPTURE_UNJOINED, 904)               \
    X(CUDA_ERROR_STREAM_CAPTURE_ISOLATION, 905)              \
    X(CUDA_ERROR_STREAM_CAPTURE_IMPLICIT, 906)               \
    X(CUDA_ERROR_CAPTURED_EVENT, 907)                        \
    X(CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD, 908)           \
    X(CUDA_ERROR_TIMEOUT, 909)                               \
    X(CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE, 910)             \
    X(CUDA_ERROR_EXTERNAL_DEVICE, 911)                       \
    X(CUDA_ERROR_INVALID_CLUSTER_SIZE, 912)                  \
    X(CUDA_ERROR_FUNCTION_NOT_LOADED, 913)                   \
    X(CUDA_ERROR_INVALID_RESOURCE_TYPE, 914)                 \
    X(CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION, 915)        \
    X(CUDA_ERROR_KEY_ROTATION, 916)                          \
    X(CUDA_ERROR_UNKNOWN, 999)

enum CUresult : unsigned {
#define SIMULATOR_RESULT(name, value) name = value,
    SIMULATOR_RESULTS(SIMULATOR_RESULT)
#undef SIMULATOR_RESULT
};

struct CUctx_st;
struct CUmod_st;
struct CUfunc_st;
struct CUstream_st;
struct CUevent_st;
struct CUgraph_st;
struct CUgraphExec_st;

struct alignas(64) CUtensorMap {
    uint64_t opaque[16];
};

typedef int CUdevice;
typedef unsigned long long CUdeviceptr;
typedef CUctx_st *CUcontext;
typedef CUmod_st *CUmodule;
typedef CUfunc_st *CUfunction;
typedef CUstream_st *CUstream;
typedef CUevent_st *CUevent;
typedef CUgraph_st *CUgraph;
typedef CUgraphExec_st *CUgraphExec;
typedef void (*CUhostFn)(void *data);

enum {
    CU_STREAM_LEGACY = 1, // as handles
    CU_STREAM_PER_THREAD = 2,

    CU_STREAM_NON_BLOCKING = 1,
    CU_EVENT_BLOCKING_SYNC = 1,
    CU_EVENT_DISABLE_TIMING = 2,

    CU_STREAM_CAPTURE_STATUS_NONE = 0,
    CU_STREAM_CAPTURE_STATUS_ACTIVE = 1,
    CU_STREAM_CAPTURE_STATUS_INVALIDATED = 2,
    CU_STREAM_CAPTURE_MODE_GLOBAL = 0,
    CU_STREAM_CAPTURE_MODE_THREAD_LOCAL = 1,
    CU_STREAM_CAPTURE_MODE_RELAXED = 2,

    CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK = 0,
    CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES = 8,

    CU_POINTER_ATTRIBUTE_CONTEXT = 1,
    CU_POINTER_ATTRIBUTE_MEMORY_TYPE = 2,
    CU_POINTER_ATTRIBUTE_DEVICE_POINTER = 3,
    CU_POINTER_ATTRIBUTE_HOST_POINTER = 4,
    CU_POINTER_ATTRIBUTE_IS_MANAGED = 8,
    CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL = 9,
    CU_POINTER_ATTRIBUTE_RANGE_START_ADDR = 11,
    CU_POINTER_ATTRIBUTE_RANGE_SIZE = 12,
    CU_MEMORYTYPE_HOST = 1,
    CU_MEMORYTYPE_DEVICE = 2,

    CU_TENSOR_MAP_DATA_TYPE_UINT8 = 0,
    CU_TENSOR_MAP_DATA_TYPE_UINT16 = 1,
    CU_TENSOR_MAP_DATA_TYPE_UINT32 = 2,
    CU_TENSOR_MAP_DATA_TYPE_INT32 = 3,
    CU_TENSOR_MAP_DATA_TYPE_FLOAT16 = 6,
    CU_TENSOR_MAP_DATA_TYPE_FLOAT32 = 7,
    CU_TENSOR_MAP_DATA_TYPE_FLOAT64 = 8,
    CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 = 9,
    CU_TENSOR_MAP_DATA_TYPE_16U6_ALIGN16B = 15,
    CU_TENSOR_MAP_INTERLEAVE_NONE = 0,
    CU_TENSOR_MAP_INTERLEAVE_32B = 2,
    CU_TENSOR_MAP_SWIZZLE_NONE = 0,
    CU_TENSOR_MAP_SWIZZLE_64B = 2,
    CU_TENSOR_MAP_SWIZZLE_128B = 3,
    CU_TENSOR_MAP_L2_PROMOTION_NONE = 0,
    CU_TENSOR_MAP_L2_PROMOTION_L2_256B = 3,
    CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE = 0
};

#define SIMULATOR_EXPORT extern "C" __attribute__((visibility("default")))

SIMULATOR_EXPORT CUresult cuInit(unsigned flags);
SIMULATOR_EXPORT CUresult cuDriverGetVersion(int *version);
SIMULATOR_EXPORT CUresult cuGetErrorName(CUresult result, const char **name);
SIMULATOR_EXPORT CUresult cuGetErrorString(CUresult result, const char **text);
SIMULATOR_EXPORT CUresult cuDeviceGetCount(int *count);
SIMULATOR_EXPORT CUresult cuDeviceGet(CUdevice *device, int ordinal);
SIMULATOR_EXPORT CUresult cuDeviceGetName(char *name, int bytes, CUdevice device);
SIMULATOR_EXPORT CUresult cuDeviceGetAttribute(int *value, int attribute, CUdevice device);
SIMULATOR_EXPORT CUresult cuDeviceTotalMem_v2(std::size_t *bytes, CUdevice device);
SIMULATOR_EXPORT CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device);
SIMULATOR_EXPORT CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device);
SIMULATOR_EXPORT CUresult cuCtxGetCurrent(CUcontext *context);
SIMULATOR_EXPORT CUresult cuCtxSetCurrent(CUcontext context);
SIMULATOR_EXPORT CUresult cuCtxPushCurrent_v2(CUcontext context);
SIMULATOR_EXPORT CUresult cuCtxPopCurrent_v2(CUcontext *context);
SIMULATOR_EXPORT CUresult cuCtxGetDevice(CUdevice *device);
SIMULATOR_EXPORT CUresult cuCtxSynchronize(void);
SIMULATOR_EXPORT CUresult cuModuleLoadData(CUmodule *module, const void *image);
SIMULATOR_EXPORT CUresult cuModuleUnload(CUmodule module);
SIMULATOR_EXPORT CUresult cuModuleGetFunction(CUfunction *function, CUmodule module, const char *name);
SIMULATOR_EXPORT CUresult cuFuncGetAttribute(int *value, int attribute, CUfunction function);
SIMULATOR_EXPORT CUresult cuFuncSetAttribute(CUfunction function, int attribute, int value);
SIMULATOR_EXPORT CUresult cuFuncLoad(CUfunction function);
SIMULATOR_EXPORT CUresult cuLaunchKernel(CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                                         unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared_bytes,
                                         CUstream stream, void **parameters, void **extra);
SIMULATOR_EXPORT CUresult cuLaunchHostFunc(CUstream stream, CUhostFn function, void *data);
SIMULATOR_EXPORT CUresult cuTensorMapEncodeTiled(CUtensorMap *map, int type, unsigned rank, void *base,
                                                 const uint64_t *dims, const uint64_t *strides, const uint32_t *box,
                                                 const uint32_t *element_strides, int interleave, int swizzle,
                                                 int promotion, int fill);
SIMULATOR_EXPORT CUresult cuMemGetInfo_v2(std::size_t *free, std::size_t *total);
SIMULATOR_EXPORT CUresult cuMemAlloc_v2(CUdeviceptr *memory, std::size_t bytes);
SIMULATOR_EXPORT CUresult cuMemFree_v2(CUdeviceptr memory);
SIMULATOR_EXPORT CUresult cuMemHostAlloc(void **memory, std::size_t bytes, unsigned flags);
SIMULATOR_EXPORT CUresult cuMemFreeHost(void *memory);
SIMULATOR_EXPORT CUresult cuPointerGetAttributes(unsigned count, int *attributes, void **values, CUdeviceptr pointer);
SIMULATOR_EXPORT CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr target, const void *source, std::size_t bytes,
                                               CUstream stream);
SIMULATOR_EXPORT CUresult cuMemcpyDtoHAsync_v2(void *target, CUdeviceptr source, std::size_t bytes, CUstream stream);
SIMULATOR_EXPORT CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr target, CUdeviceptr source, std::size_t bytes,
                                               CUstream stream);
SIMULATOR_EXPORT CUresult cuMemsetD8Async(CUdeviceptr target, unsigned char value, std::size_t count, CUstream stream);
SIMULATOR_EXPORT CUresult cuMemsetD32Async(CUdeviceptr target, unsigned value, std::size_t count, CUstream stream);
SIMULATOR_EXPORT CUresult cuStreamCreate(CUstream *stream, unsigned flags);
SIMULATOR_EXPORT CUresult cuStreamDestroy_v2(CUstream stream);
SIMULATOR_EXPORT CUresult cuStreamSynchronize(CUstream stream);
SIMULATOR_EXPORT CUresult cuThreadExchangeStreamCaptureMode(int *mode);
SIMULATOR_EXPORT CUresult cuStreamQuery(CUstream stream);
SIMULATOR_EXPORT CUresult cuStreamGetCtx(CUstream stream, CUcontext *context);
SIMULATOR_EXPORT CUresult cuStreamWaitEvent(CUstream stream, CUevent event, unsigned flags);
SIMULATOR_EXPORT CUresult cuStreamIsCapturing(CUstream stream, int *status);
SIMULATOR_EXPORT CUresult cuStreamBeginCapture_v2(CUstream stream, int mode);
SIMULATOR_EXPORT CUresult cuStreamEndCapture(CUstream stream, CUgraph *graph);
SIMULATOR_EXPORT CUresult cuGraphInstantiateWithFlags(CUgraphExec *executable, CUgraph graph, unsigned long long flags);
SIMULATOR_EXPORT CUresult cuGraphGetNodes(CUgraph graph, void **nodes, std::size_t *count);
SIMULATOR_EXPORT CUresult cuGraphLaunch(CUgraphExec executable, CUstream stream);
SIMULATOR_EXPORT CUresult cuGraphDestroy(CUgraph graph);
SIMULATOR_EXPORT CUresult cuGraphExecDestroy(CUgraphExec executable);
SIMULATOR_EXPORT CUresult cuEventCreate(CUevent *event, unsigned flags);
SIMULATOR_EXPORT CUresult cuEventDestroy_v2(CUevent event);
SIMULATOR_EXPORT CUresult cuEventRecord(CUevent event, CUstream stream);
SIMULATOR_EXPORT CUresult cuEventQuery(CUevent event);
SIMULATOR_EXPORT CUresult cuEventSynchronize(CUevent event);
SIMULATOR_EXPORT CUresult cuEventElapsedTime(float *milliseconds, CUevent start, CUevent end);

#endif
