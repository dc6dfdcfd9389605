/* SPDX-License-Identifier: Apache-2.0
 *
 * Launches matmul_epilogue.cu. */
#include "matmul_epilogue.h"

qmm_status qmmi_cuda_run_epilogue(qmm_context *context, const qmmi_cuda_epilogue *epilogue) {
    const int64_t items = epilogue->batches * epilogue->rows * ((epilogue->m.p.n + 7) / 8);
    const int64_t blocks = (items + QMMI_CUDA_EPILOGUE_THREADS - 1) / QMMI_CUDA_EPILOGUE_THREADS;
    return qmmi_cuda_launch(context, QMMI_CUDA_matmul_epilogue_kernel, blocks < INT32_MAX ? blocks : INT32_MAX,
                            QMMI_CUDA_EPILOGUE_THREADS, 0, epilogue);
}
