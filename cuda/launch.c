/* SPDX-License-Identifier: Apache-2.0
 *
 * Launching a kernel: everything was looked up when the context was opened, and nothing is here. */
#include "context.h"

static const char *const names[] = {
#define KERNEL_NAME(image, kernel, shared_bytes) #kernel,
    QMMI_CUDA_KERNELS(KERNEL_NAME)
#undef KERNEL_NAME
};

const qmmi_cuda_device *qmmi_cuda_device_of(const qmm_context *context) {
    return &qmmi_cuda_state_of(context)->facts->device;
}

qmm_status qmmi_cuda_launch(qmm_context *context, qmmi_cuda_kernel kernel, int64_t blocks, unsigned threads,
                            unsigned shared_bytes, const void *arguments) {
    const qmmi_cuda_state *s = qmmi_cuda_state_of(context);
    void *parameters[1] = { (void *)(uintptr_t)arguments }; /* read, though the driver does not say const */
    cu_result result;
    bool entered;
    if (!s->functions[kernel])
        return qmmi_fail(context, QMM_INTERNAL, names[kernel], "this kernel is not in the images of this build");
    result = qmmi_cuda_enter(s, &entered);
    if (result == CU_SUCCESS)
        result = s->driver->cuLaunchKernel(s->functions[kernel], (unsigned)blocks, 1, 1, threads, 1, 1, shared_bytes,
                                           s->stream, parameters, NULL);
    qmmi_cuda_leave(s, entered);
    return result == CU_SUCCESS ? QMM_OK : qmmi_cuda_fail(context, names[kernel], result);
}
