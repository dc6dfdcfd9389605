/* SPDX-License-Identifier: Apache-2.0
 *
 * What a driver's result means for a context. After a sticky one, CUDA answers every further call in the process with
 * it: nothing that was on the device is left. Any other leaves the device as it was. */
#include <stdlib.h>

#include "context.h"
#include "images.h"

static const struct {
    cu_result result;
    qmm_status status;
} meanings[] = {
    { CU_ERROR_OUT_OF_MEMORY, QMM_OUT_OF_MEMORY },

    /* The device is gone, or the CUDA context with all it held. */
    { 4, QMM_DEVICE_FAILED },   /* DEINITIALIZED */
    { 46, QMM_DEVICE_FAILED },  /* DEVICE_UNAVAILABLE */
    { 100, QMM_DEVICE_FAILED }, /* NO_DEVICE */
    { 101, QMM_DEVICE_FAILED }, /* INVALID_DEVICE */
    { 201, QMM_DEVICE_FAILED }, /* INVALID_CONTEXT */
    { 214, QMM_DEVICE_FAILED }, /* ECC_UNCORRECTABLE */
    { 220, QMM_DEVICE_FAILED }, /* NVLINK_UNCORRECTABLE */
    { 226, QMM_DEVICE_FAILED }, /* CONTAINED */
    { 700, QMM_DEVICE_FAILED }, /* ILLEGAL_ADDRESS */
    { 702, QMM_DEVICE_FAILED }, /* LAUNCH_TIMEOUT */
    { 709, QMM_DEVICE_FAILED }, /* CONTEXT_IS_DESTROYED: somebody reset the device */
    { 710, QMM_DEVICE_FAILED }, /* ASSERT */
    { 714, QMM_DEVICE_FAILED }, /* HARDWARE_STACK_ERROR */
    { 715, QMM_DEVICE_FAILED }, /* ILLEGAL_INSTRUCTION */
    { 716, QMM_DEVICE_FAILED }, /* MISALIGNED_ADDRESS */
    { 717, QMM_DEVICE_FAILED }, /* INVALID_ADDRESS_SPACE */
    { 718, QMM_DEVICE_FAILED }, /* INVALID_PC */
    { 719, QMM_DEVICE_FAILED }, /* LAUNCH_FAILED */
    { 721, QMM_DEVICE_FAILED }, /* TENSOR_MEMORY_LEAK */
    { 810, QMM_DEVICE_FAILED }, /* MPS_CLIENT_TERMINATED */
    { 911, QMM_DEVICE_FAILED }, /* EXTERNAL_DEVICE */
    { 999, QMM_DEVICE_FAILED }, /* UNKNOWN */

    /* The images do not suit the device or the driver. */
    { 200, QMM_NO_DEVICE }, /* INVALID_IMAGE */
    { 209, QMM_NO_DEVICE }, /* NO_BINARY_FOR_GPU */
    { 218, QMM_NO_DEVICE }, /* INVALID_PTX */
    { 221, QMM_NO_DEVICE }, /* JIT_COMPILER_NOT_FOUND */
    { 222, QMM_NO_DEVICE }, /* UNSUPPORTED_PTX_VERSION */
    { 223, QMM_NO_DEVICE }, /* JIT_COMPILATION_DISABLED */

    /* The caller's memory, or the caller's stream, is not what was said. */
    { 1, QMM_INVALID_ARGUMENT },   /* INVALID_VALUE */
    { 400, QMM_INVALID_ARGUMENT }, /* INVALID_HANDLE */
    { 900, QMM_INVALID_ARGUMENT }, /* STREAM_CAPTURE_UNSUPPORTED */
    { 901, QMM_INVALID_ARGUMENT }, /* STREAM_CAPTURE_INVALIDATED */
    { 905, QMM_INVALID_ARGUMENT }, /* STREAM_CAPTURE_ISOLATION */
    { 906, QMM_INVALID_ARGUMENT }, /* STREAM_CAPTURE_IMPLICIT */
    { 908, QMM_INVALID_ARGUMENT }, /* STREAM_CAPTURE_WRONG_THREAD */
};

static qmm_status status_of(cu_result result) {
    for (size_t i = 0; i < sizeof meanings / sizeof meanings[0]; i++)
        if (meanings[i].result == result) return meanings[i].status;
    return QMM_INTERNAL;
}

qmm_status qmmi_cuda_fail(qmm_context *context, const char *call, cu_result result) {
    const qmm_status status = status_of(result);
    char text[256];
    qmmi_cuda_describe(qmmi_cuda_state_of(context)->driver, result, text, sizeof text);
    if (status == QMM_DEVICE_FAILED)
        return qmmi_fail(context, status, call, "%s, which may be of work queued earlier", text);
    if (status == QMM_NO_DEVICE)
        return qmmi_fail(context, status, call, "%s; the kernels of this build are for %s", text,
                         qmmi_cuda_architectures[0] ? qmmi_cuda_architectures : "no device");
    return qmmi_fail(context, status, call, "%s", text);
}
