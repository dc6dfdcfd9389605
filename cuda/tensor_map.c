/* SPDX-License-Identifier: Apache-2.0
 *
 * Tensor maps, made by the driver. What it asks of them: CUDA driver API, "Tensor Map Object Management",
 * cuTensorMapEncodeTiled. */
#include "context.h"

enum { RANK = 3, ALIGNMENT = 16 };

/* A stride that nobody steps by is ours to choose. */
static int64_t row_stride(const qmmi_cuda_tensor *t) {
    const int64_t row = t->cols * t->element_bytes;
    if (t->rows > 1) return t->row_stride;
    return t->matrices > 1 ? t->matrix_stride : (row + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static int64_t matrix_stride(const qmmi_cuda_tensor *t) {
    return t->matrices > 1 ? t->matrix_stride : row_stride(t);
}

static bool stride_fits(int64_t stride) {
    return stride > 0 && stride < QMMI_CUDA_TENSOR_STRIDE_END && stride % ALIGNMENT == 0;
}

bool qmmi_cuda_tensor_fits(const qmmi_cuda_tensor *t) {
    return (uintptr_t)t->memory % ALIGNMENT == 0 && stride_fits(row_stride(t)) && stride_fits(matrix_stride(t)) &&
           matrix_stride(t) % row_stride(t) == 0;
}

static unsigned swizzle_of(const qmmi_cuda_tensor *t) {
    if (t->swizzle == 128) return CU_TENSOR_SWIZZLE_128_BYTES;
    return t->swizzle == 64 ? CU_TENSOR_SWIZZLE_64_BYTES : CU_TENSOR_SWIZZLE_NO;
}

static cu_result make(const qmmi_cuda_driver *driver, const qmmi_cuda_tensor *t, cu_tensor_map *map) {
    const uint64_t dimensions[RANK] = { (uint64_t)t->cols, (uint64_t)t->rows, (uint64_t)t->matrices };
    const uint64_t strides[RANK - 1] = { (uint64_t)row_stride(t), (uint64_t)matrix_stride(t) };
    const uint32_t box[RANK] = { (uint32_t)t->box_cols, (uint32_t)t->box_rows, 1 }, ones[RANK] = { 1, 1, 1 };
    return driver->cuTensorMapEncodeTiled(
        map, t->element_bytes == 1 ? CU_TENSOR_UINT8 : CU_TENSOR_UINT16, RANK, (void *)(uintptr_t)t->memory, dimensions,
        strides, box, ones, CU_TENSOR_INTERLEAVE_NO, swizzle_of(t),
        t->promoted ? CU_TENSOR_PROMOTION_256_BYTES : CU_TENSOR_PROMOTION_NO, CU_TENSOR_FILL_ZEROS);
}

qmm_status qmmi_cuda_tensor_map_make(qmm_context *context, const qmmi_cuda_tensor *tensor, qmmi_cuda_tensor_map *map) {
    const qmmi_cuda_state *s = qmmi_cuda_state_of(context);
    bool entered;
    cu_result result = qmmi_cuda_enter(s, &entered);
    if (result == CU_SUCCESS) result = make(s->driver, tensor, (cu_tensor_map *)(void *)map);
    qmmi_cuda_leave(s, entered);
    return result == CU_SUCCESS ? QMM_OK : qmmi_cuda_fail(context, "cuTensorMapEncodeTiled", result);
}
