/* SPDX-License-Identifier: Apache-2.0
 *
 * The OpenCL backend: its slots, and the table of kernel rows, fastest first. */
#include "../host/canonical.h"
#include "context.h"
#include "matmul_panels.h"
#include "rows.h"

/* ---- rows -------------------------------------------------------------------------------------------------------- */

static const qmmi_row quantize_rows[] = {
    { .name = "opencl:quantize:vector", .run = qmmi_opencl_quantize },
    { 0 },
};

static const qmmi_row quantize_dynamic_rows[] = {
    { .name = "opencl:quantize_dynamic:one_pass",
      .accepts = qmmi_opencl_quantize_dynamic_one_pass_accepts,
      .declines = qmmi_opencl_quantize_dynamic_one_pass_declines,
      .run = qmmi_opencl_quantize_dynamic_one_pass },
    { .name = "opencl:quantize_dynamic:two_pass", .run = qmmi_opencl_quantize_dynamic_two_pass },
    { 0 },
};

static const qmmi_row dequantize_rows[] = {
    { .name = "opencl:dequantize:vector", .run = qmmi_opencl_dequantize },
    { 0 },
};

static const qmmi_row requantize_rows[] = {
    { .name = "opencl:requantize:vector", .run = qmmi_opencl_requantize },
    { 0 },
};

static const qmmi_row matmul_rows[] = {
    { .name = "opencl:matmul:small",
      .accepts = qmmi_opencl_matmul_small_accepts,
      .declines = qmmi_opencl_matmul_small_declines,
      .workspace = qmmi_opencl_matmul_small_workspace,
      .run = qmmi_opencl_matmul_small,
      .self_test = true },
    { .name = "opencl:matmul:small_cpu",
      .accepts = qmmi_opencl_matmul_small_accepts,
      .declines = qmmi_opencl_matmul_small_cpu_declines,
      .workspace = qmmi_opencl_matmul_small_workspace,
      .run = qmmi_opencl_matmul_small_cpu,
      .self_test = true },
    { .name = "opencl:matmul:nv_mma",
      .needs = QMMI_OPENCL_NV_MMA,
      .accepts = qmmi_opencl_matmul_nv_mma_accepts,
      .declines = qmmi_opencl_matmul_nv_mma_declines,
      .workspace = qmmi_opencl_matmul_nv_mma_workspace,
      .run = qmmi_opencl_matmul_nv_mma,
      .self_test = true },
    { .name = "opencl:matmul:nv_mma_small",
      .needs = QMMI_OPENCL_NV_MMA,
      .accepts = qmmi_opencl_matmul_nv_mma_small_accepts,
      .workspace = qmmi_opencl_matmul_nv_mma_workspace,
      .run = qmmi_opencl_matmul_nv_mma_small,
      .self_test = true },
    { .name = "opencl:matmul:intel_dpas8",
      .needs = QMMI_OPENCL_INTEL_DPAS8,
      .accepts = qmmi_opencl_matmul_intel_dpas_accepts,
      .workspace = qmmi_opencl_matmul_intel_dpas_workspace,
      .run = qmmi_opencl_matmul_intel_dpas8,
      .self_test = true },
    { .name = "opencl:matmul:intel_dpas16",
      .needs = QMMI_OPENCL_INTEL_DPAS16,
      .accepts = qmmi_opencl_matmul_intel_dpas_accepts,
      .workspace = qmmi_opencl_matmul_intel_dpas_workspace,
      .run = qmmi_opencl_matmul_intel_dpas16,
      .self_test = true },
    { .name = "opencl:matmul:x86_vnni",
      .needs = QMMI_OPENCL_X86_VNNI,
      .accepts = qmmi_opencl_matmul_x86_vnni_accepts,
      .variants = qmmi_opencl_matmul_panels_variants,
      .workspace = qmmi_opencl_matmul_x86_vnni_workspace,
      .run = qmmi_opencl_matmul_x86_vnni,
      .self_test = true },
    { .name = "opencl:matmul:exact_f32",
      .needs = QMMI_OPENCL_CPU,
      .accepts = qmmi_opencl_matmul_exact_f32_accepts,
      .variants = qmmi_opencl_matmul_panels_variants,
      .workspace = qmmi_opencl_matmul_exact_f32_workspace,
      .run = qmmi_opencl_matmul_exact_f32,
      .self_test = true },
    { .name = "opencl:matmul:nv_dp4a",
      .needs = QMMI_OPENCL_NV_DP4A,
      .accepts = qmmi_opencl_matmul_dot_accepts,
      .workspace = qmmi_opencl_matmul_dot_workspace,
      .run = qmmi_opencl_matmul_nv_dp4a,
      .self_test = true },
    { .name = "opencl:matmul:integer_dot",
      .needs = QMMI_OPENCL_INTEGER_DOT,
      .accepts = qmmi_opencl_matmul_dot_accepts,
      .workspace = qmmi_opencl_matmul_dot_workspace,
      .run = qmmi_opencl_matmul_integer_dot,
      .self_test = true },
    { .name = "opencl:matmul:arm_dot",
      .needs = QMMI_OPENCL_ARM_DOT,
      .accepts = qmmi_opencl_matmul_dot_accepts,
      .workspace = qmmi_opencl_matmul_dot_workspace,
      .run = qmmi_opencl_matmul_arm_dot,
      .self_test = true },
    { .name = "opencl:matmul:dot",
      .accepts = qmmi_opencl_matmul_dot_accepts,
      .workspace = qmmi_opencl_matmul_dot_workspace,
      .run = qmmi_opencl_matmul_dot,
      .self_test = true },
    { .name = "opencl:matmul:generic",
      .accepts = qmmi_opencl_matmul_generic_accepts,
      .run = qmmi_opencl_matmul_generic,
      .self_test = true },
    { 0 },
};

/* ---- the table --------------------------------------------------------------------------------------------------- */

/* A cl_mem is a handle, not an address. */
static uintptr_t address(const void *memory) {
    (void)memory;
    return 0;
}

static const void *host_view(const void *memory) {
    (void)memory;
    return NULL;
}

const qmmi_backend qmmi_opencl_backend = {
    .name = "opencl",
    .device_count = qmmi_opencl_device_count,
    .device_info = qmmi_opencl_device_info,
    .device_auto = qmmi_opencl_device_auto,
    .open = qmmi_opencl_open,
    .close = qmmi_opencl_close,
    .synchronize = qmmi_opencl_synchronize,
    .prepare = qmmi_opencl_prepare,
    .get_queue = qmmi_opencl_get_queue,
    .set_queue = qmmi_opencl_set_queue,
    .timer_create = qmmi_opencl_timer_create,
    .timer_record = qmmi_opencl_timer_record,
    .timer_seconds = qmmi_opencl_timer_seconds,
    .timer_free = qmmi_opencl_timer_free,
    .allocate = qmmi_opencl_allocate,
    .release = qmmi_opencl_release,
    .check_memory = qmmi_opencl_check_memory,
    .address = address,
    .host_view = host_view,
    .upload = qmmi_opencl_upload,
    .download = qmmi_opencl_download,
    .copy = qmmi_opencl_copy,
    .fill = qmmi_opencl_fill,
    .find_minmax = qmmi_opencl_find_minmax,
    .histogram = qmmi_opencl_histogram,
    .measure_error = qmmi_opencl_measure_error,
    .weights_bytes = qmmi_canonical_weights_bytes,
    .weights_pack = qmmi_opencl_weights_pack,
    .weights_gather = qmmi_opencl_weights_gather,
    .rows = {
        [QMMI_QUANTIZE] = quantize_rows,
        [QMMI_QUANTIZE_DYNAMIC] = quantize_dynamic_rows,
        [QMMI_DEQUANTIZE] = dequantize_rows,
        [QMMI_REQUANTIZE] = requantize_rows,
        [QMMI_MATMUL] = matmul_rows,
    },
};
