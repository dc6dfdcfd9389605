/* SPDX-License-Identifier: Apache-2.0
 *
 * The CUDA backend: its slots, and the table of kernel rows, fastest first. */
#include "../host/canonical.h"
#include "context.h"
#include "rows.h"

/* ---- rows -------------------------------------------------------------------------------------------------------- */

static const qmmi_row quantize_rows[] = {
    { .name = "cuda:quantize:vector", .run = qmmi_cuda_quantize },
    { 0 },
};

static const qmmi_row quantize_dynamic_rows[] = {
    { .name = "cuda:quantize_dynamic:one_pass",
      .accepts = qmmi_cuda_quantize_dynamic_one_pass_accepts,
      .run = qmmi_cuda_quantize_dynamic_one_pass },
    { .name = "cuda:quantize_dynamic:two_pass", .run = qmmi_cuda_quantize_dynamic_two_pass },
    { 0 },
};

static const qmmi_row dequantize_rows[] = {
    { .name = "cuda:dequantize:vector", .run = qmmi_cuda_dequantize },
    { 0 },
};

static const qmmi_row requantize_rows[] = {
    { .name = "cuda:requantize:vector", .run = qmmi_cuda_requantize },
    { 0 },
};

static const qmmi_row matmul_rows[] = {
    { .name = "cuda:matmul:small",
      .needs = QMMI_CUDA_DP4A,
      .accepts = qmmi_cuda_matmul_small_accepts,
      .variants = qmmi_cuda_matmul_small_variants,
      .estimate = qmmi_cuda_matmul_small_estimate,
      .split = qmmi_cuda_matmul_small_split,
      .workspace = qmmi_cuda_matmul_small_workspace,
      .run = qmmi_cuda_matmul_small,
      .self_test = true },
    { .name = "cuda:matmul:wgmma",
      .needs = QMMI_CUDA_WGMMA,
      .accepts = qmmi_cuda_matmul_wgmma_accepts,
      .variants = qmmi_cuda_matmul_wgmma_variants,
      .estimate = qmmi_cuda_matmul_wgmma_estimate,
      .picks = qmmi_cuda_matmul_wgmma_picks,
      .split = qmmi_cuda_matmul_wgmma_split,
      .workspace = qmmi_cuda_matmul_wgmma_workspace,
      .run = qmmi_cuda_matmul_wgmma,
      .self_test = true },
    { .name = "cuda:matmul:mma",
      .needs = QMMI_CUDA_MMA_K32,
      .accepts = qmmi_cuda_matmul_mma_accepts,
      .variants = qmmi_cuda_matmul_mma_variants,
      .estimate = qmmi_cuda_matmul_mma_estimate,
      .picks = qmmi_cuda_matmul_mma_picks,
      .split = qmmi_cuda_matmul_mma_split,
      .workspace = qmmi_cuda_matmul_mma_workspace,
      .run = qmmi_cuda_matmul_mma,
      .self_test = true },
    { .name = "cuda:matmul:mma_k16",
      .needs = QMMI_CUDA_MMA_K16,
      .accepts = qmmi_cuda_matmul_mma_k16_accepts,
      .estimate = qmmi_cuda_matmul_mma_k16_estimate,
      .split = qmmi_cuda_matmul_mma_k16_split,
      .workspace = qmmi_cuda_matmul_mma_k16_workspace,
      .run = qmmi_cuda_matmul_mma_k16,
      .self_test = true },
    { .name = "cuda:matmul:cublaslt",
      .accepts = qmmi_cuda_matmul_cublaslt_accepts,
      .estimate = qmmi_cuda_matmul_cublaslt_estimate,
      .workspace = qmmi_cuda_matmul_cublaslt_workspace,
      .run = qmmi_cuda_matmul_cublaslt,
      .self_test = true },
    { .name = "cuda:matmul:dp4a",
      .needs = QMMI_CUDA_DP4A,
      .accepts = qmmi_cuda_matmul_dp4a_accepts,
      .estimate = qmmi_cuda_matmul_dp4a_estimate,
      .split = qmmi_cuda_matmul_dp4a_split,
      .workspace = qmmi_cuda_matmul_dp4a_workspace,
      .run = qmmi_cuda_matmul_dp4a,
      .self_test = true },
    { .name = "cuda:matmul:generic", .run = qmmi_cuda_matmul_generic },
    { 0 },
};

/* ---- the table --------------------------------------------------------------------------------------------------- */

static uintptr_t address(const void *memory) {
    return (uintptr_t)memory;
}

static const void *host_view(const void *memory) {
    (void)memory;
    return NULL;
}

const qmmi_backend qmmi_cuda_backend = {
    .name = "cuda",
    .device_count = qmmi_cuda_device_count,
    .device_index = qmmi_cuda_device_index,
    .device_info = qmmi_cuda_device_info,
    .open = qmmi_cuda_open,
    .close = qmmi_cuda_close,
    .synchronize = qmmi_cuda_synchronize,
    .capturing = qmmi_cuda_capturing,
    .get_queue = qmmi_cuda_get_queue,
    .set_queue = qmmi_cuda_set_queue,
    .timer_create = qmmi_cuda_timer_create,
    .timer_record = qmmi_cuda_timer_record,
    .timer_seconds = qmmi_cuda_timer_seconds,
    .timer_free = qmmi_cuda_timer_free,
    .allocate = qmmi_cuda_allocate,
    .release = qmmi_cuda_release,
    .address = address,
    .host_view = host_view,
    .upload = qmmi_cuda_upload,
    .download = qmmi_cuda_download,
    .copy = qmmi_cuda_copy,
    .fill = qmmi_cuda_fill,
    .find_minmax = qmmi_cuda_find_minmax,
    .histogram = qmmi_cuda_histogram,
    .measure_error = qmmi_cuda_measure_error,
    .weights_bytes = qmmi_canonical_weights_bytes,
    .weights_pack = qmmi_cuda_weights_pack,
    .weights_gather = qmmi_cuda_weights_gather,
    .rows = {
        [QMMI_QUANTIZE] = quantize_rows,
        [QMMI_QUANTIZE_DYNAMIC] = quantize_dynamic_rows,
        [QMMI_DEQUANTIZE] = dequantize_rows,
        [QMMI_REQUANTIZE] = requantize_rows,
        [QMMI_MATMUL] = matmul_rows,
    },
};
