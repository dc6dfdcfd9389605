/* SPDX-License-Identifier: Apache-2.0
 *
 * Compiled, not run, where NVIDIA's cuda.h is at hand: our own declarations of the driver (cuda/driver.h) are those of
 * the header, versions of the calls and numbers included. */
#include <cuda.h>

/* The header's names for the current version of each call are macros; ours name the version. */
#undef cuDeviceTotalMem
#undef cuDevicePrimaryCtxRelease
#undef cuCtxPushCurrent
#undef cuCtxPopCurrent
#undef cuStreamDestroy
#undef cuEventDestroy
#undef cuMemAlloc
#undef cuMemFree
#undef cuMemcpyHtoDAsync
#undef cuMemcpyDtoHAsync
#undef cuMemcpyDtoDAsync

#include "../../cuda/driver.h"
#include "../../cuda/tensor_map.h"

#define CHECK_CALL(name, version, parameters)                                            \
    _Static_assert(_Generic(&name##version, cu_result(*) parameters: 1, default: 0),     \
                   #name #version " of cuda/driver.h is not that of cuda.h");
QMMI_CUDA_CALLS(CHECK_CALL)
#if CUDA_VERSION >= 12040
QMMI_CUDA_OPTIONAL_CALLS(CHECK_CALL)
#endif

#define CHECK_TYPE(ours, theirs) \
    _Static_assert(_Generic((theirs *)0, ours *: 1, default: 0), #ours " of cuda/driver.h is not " #theirs " of cuda.h")
CHECK_TYPE(cu_result, CUresult);
CHECK_TYPE(cu_device, CUdevice);
CHECK_TYPE(cu_pointer, CUdeviceptr);
CHECK_TYPE(cu_context, CUcontext);
CHECK_TYPE(cu_module, CUmodule);
CHECK_TYPE(cu_function, CUfunction);
CHECK_TYPE(cu_stream, CUstream);
CHECK_TYPE(cu_event, CUevent);
CHECK_TYPE(cu_tensor_map, CUtensorMap);
_Static_assert(sizeof(qmmi_cuda_tensor_map) == sizeof(CUtensorMap) &&
                   _Alignof(qmmi_cuda_tensor_map) >= _Alignof(CUtensorMap),
               "qmmi_cuda_tensor_map of cuda/tensor_map.h is not as large as CUtensorMap of cuda.h, or less aligned");

#define CHECK_VALUE(ours, theirs) \
    _Static_assert((int)(ours) == (int)(theirs), #ours " of cuda/driver.h is not " #theirs " of cuda.h")
CHECK_VALUE(CU_SUCCESS, CUDA_SUCCESS);
CHECK_VALUE(CU_ERROR_OUT_OF_MEMORY, CUDA_ERROR_OUT_OF_MEMORY);
CHECK_VALUE(CU_ERROR_NO_DEVICE, CUDA_ERROR_NO_DEVICE);
CHECK_VALUE(CU_ERROR_STREAM_CAPTURE_IMPLICIT, CUDA_ERROR_STREAM_CAPTURE_IMPLICIT);
CHECK_VALUE(CU_DEVICE_CLOCK_KHZ, CU_DEVICE_ATTRIBUTE_CLOCK_RATE);
CHECK_VALUE(CU_DEVICE_MULTIPROCESSORS, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
CHECK_VALUE(CU_DEVICE_MEMORY_CLOCK_KHZ, CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE);
CHECK_VALUE(CU_DEVICE_MEMORY_BUS_BITS, CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH);
CHECK_VALUE(CU_DEVICE_L2_BYTES, CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE);
CHECK_VALUE(CU_DEVICE_COMPUTE_MAJOR, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR);
CHECK_VALUE(CU_DEVICE_COMPUTE_MINOR, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
CHECK_VALUE(CU_DEVICE_SHARED_BYTES_MAX, CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN);
CHECK_VALUE(CU_FUNCTION_MAX_DYNAMIC_SHARED_BYTES, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES);
CHECK_VALUE(CU_POINTER_MEMORY_TYPE, CU_POINTER_ATTRIBUTE_MEMORY_TYPE);
CHECK_VALUE(CU_MEMORY_TYPE_HOST, CU_MEMORYTYPE_HOST);
CHECK_VALUE(CU_STREAM_NON_BLOCKING_FLAG, CU_STREAM_NON_BLOCKING);
CHECK_VALUE(CU_EVENT_DEFAULT_FLAGS, CU_EVENT_DEFAULT);
CHECK_VALUE(CU_EVENT_NO_TIMING_FLAG, CU_EVENT_DISABLE_TIMING);
CHECK_VALUE(CU_CAPTURE_NONE, CU_STREAM_CAPTURE_STATUS_NONE);
CHECK_VALUE(CU_CAPTURE_MODE_RELAXED, CU_STREAM_CAPTURE_MODE_RELAXED);
CHECK_VALUE(CU_TENSOR_UINT8, CU_TENSOR_MAP_DATA_TYPE_UINT8);
CHECK_VALUE(CU_TENSOR_UINT16, CU_TENSOR_MAP_DATA_TYPE_UINT16);
CHECK_VALUE(CU_TENSOR_INTERLEAVE_NO, CU_TENSOR_MAP_INTERLEAVE_NONE);
CHECK_VALUE(CU_TENSOR_SWIZZLE_NO, CU_TENSOR_MAP_SWIZZLE_NONE);
CHECK_VALUE(CU_TENSOR_SWIZZLE_64_BYTES, CU_TENSOR_MAP_SWIZZLE_64B);
CHECK_VALUE(CU_TENSOR_SWIZZLE_128_BYTES, CU_TENSOR_MAP_SWIZZLE_128B);
CHECK_VALUE(CU_TENSOR_PROMOTION_NO, CU_TENSOR_MAP_L2_PROMOTION_NONE);
CHECK_VALUE(CU_TENSOR_PROMOTION_256_BYTES, CU_TENSOR_MAP_L2_PROMOTION_L2_256B);
CHECK_VALUE(CU_TENSOR_FILL_ZEROS, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
