/* SPDX-License-Identifier: Apache-2.0
 *
 * Every program: its name, the .cl file that is its source, the build options that make it of that source, and the
 * capability bits of the device without which it is not built. And every kernel: its program and its name. */
#ifndef QMMI_OPENCL_KERNELS_H
#define QMMI_OPENCL_KERNELS_H

/* X(program, source, options, needs) */
#define QMMI_OPENCL_PROGRAMS(X)               \
    X(arithmetic, arithmetic, "", 0)          \
    X(quantize, quantize, "", 0)              \
    X(dequantize, dequantize, "", 0)          \
    X(requantize, requantize, "", 0)          \
    X(row_sums, row_sums, "", 0)              \
    X(quantize_dynamic, quantize_dynamic, "", 0) \
    X(range, range, "", 0)                    \
    X(measure_error, measure_error, "", 0)    \
    X(weights, weights, "", 0)                \
    X(matmul_prepare, matmul_prepare, "", 0)  \
    X(matmul_panels, matmul_panels, "", QMMI_OPENCL_CPU) \
    X(matmul_exact_f32, matmul_exact_f32, "", QMMI_OPENCL_CPU) \
    X(matmul_x86_vnni, matmul_x86_vnni, "", QMMI_OPENCL_X86_VNNI) \
    X(matmul_nv_mma, matmul_nv_mma, "-cl-nv-maxrregcount=128", QMMI_OPENCL_NV_MMA) \
    X(matmul_nv_mma_small, matmul_nv_mma, "-DQMM_NV_MMA_SMALL", QMMI_OPENCL_NV_MMA) \
    X(matmul_intel_dpas8, matmul_intel_dpas, "-DQMM_DPAS_SUBGROUP=8", QMMI_OPENCL_INTEL_DPAS8) \
    X(matmul_intel_dpas16, matmul_intel_dpas, "-DQMM_DPAS_SUBGROUP=16", QMMI_OPENCL_INTEL_DPAS16) \
    X(matmul_nv_dp4a, matmul_dot, "-DQMM_DOT_NV", QMMI_OPENCL_NV_DP4A) \
    X(matmul_integer_dot, matmul_dot, "-DQMM_DOT_INTEGER -cl-std=CL3.0", QMMI_OPENCL_INTEGER_DOT) \
    X(matmul_arm_dot, matmul_dot, "-DQMM_DOT_ARM", QMMI_OPENCL_ARM_DOT) \
    X(matmul_dot, matmul_dot, "", 0)          \
    X(matmul_generic, matmul_generic, "", 0)  \
    X(matmul_small_1, matmul_small, "-DROWS=1", 0) \
    X(matmul_small_4, matmul_small, "-DROWS=4", 0) \
    X(matmul_small_1_nv_dp4a, matmul_small, "-DROWS=1 -DQMM_DOT_NV", QMMI_OPENCL_NV_DP4A) \
    X(matmul_small_4_nv_dp4a, matmul_small, "-DROWS=4 -DQMM_DOT_NV", QMMI_OPENCL_NV_DP4A) \
    X(matmul_small_1_integer_dot, matmul_small, "-DROWS=1 -DQMM_DOT_INTEGER -cl-std=CL3.0", QMMI_OPENCL_INTEGER_DOT) \
    X(matmul_small_4_integer_dot, matmul_small, "-DROWS=4 -DQMM_DOT_INTEGER -cl-std=CL3.0", QMMI_OPENCL_INTEGER_DOT) \
    X(matmul_small_1_arm_dot, matmul_small, "-DROWS=1 -DQMM_DOT_ARM", QMMI_OPENCL_ARM_DOT) \
    X(matmul_small_4_arm_dot, matmul_small, "-DROWS=4 -DQMM_DOT_ARM", QMMI_OPENCL_ARM_DOT) \
    X(matmul_small_cpu_1, matmul_small, "-DROWS=1 -DONE_ITEM", 0) \
    X(matmul_small_cpu_4, matmul_small, "-DROWS=4 -DONE_ITEM", 0)

/* X(program, kernel) */
#define QMMI_OPENCL_KERNELS(X)                \
    X(arithmetic, arithmetic_kernel)          \
    X(quantize, quantize_kernel)              \
    X(quantize, quantize_blocks_kernel)       \
    X(dequantize, dequantize_kernel)          \
    X(dequantize, dequantize_blocks_kernel)   \
    X(requantize, requantize_kernel)          \
    X(requantize, requantize_blocks_kernel)   \
    X(row_sums, row_sums_kernel)              \
    X(quantize_dynamic, quantize_dynamic_one_pass_kernel) \
    X(quantize_dynamic, quantize_dynamic_begin_kernel) \
    X(quantize_dynamic, quantize_dynamic_rows_kernel) \
    X(quantize_dynamic, quantize_dynamic_columns_kernel) \
    X(quantize_dynamic, quantize_dynamic_end_kernel) \
    X(range, find_minmax_kernel)              \
    X(range, histogram_kernel)                \
    X(measure_error, measure_error_kernel)    \
    X(measure_error, measure_error_level_kernel) \
    X(weights, weights_gather_kernel)         \
    X(matmul_prepare, matmul_pack_kernel)     \
    X(matmul_prepare, matmul_sums_kernel)     \
    X(matmul_panels, matmul_panels_kernel)    \
    X(matmul_panels, matmul_panel_sums_kernel) \
    X(matmul_exact_f32, matmul_exact_f32_kernel) \
    X(matmul_x86_vnni, matmul_x86_vnni_kernel) \
    X(matmul_nv_mma, matmul_nv_mma_kernel)    \
    X(matmul_nv_mma_small, matmul_nv_mma_kernel) \
    X(matmul_intel_dpas8, matmul_intel_dpas_kernel) \
    X(matmul_intel_dpas16, matmul_intel_dpas_kernel) \
    X(matmul_nv_dp4a, matmul_dot_kernel)      \
    X(matmul_integer_dot, matmul_dot_kernel)  \
    X(matmul_arm_dot, matmul_dot_kernel)      \
    X(matmul_dot, matmul_dot_kernel)          \
    X(matmul_generic, matmul_generic_kernel)  \
    X(matmul_small_1, matmul_small_kernel)    \
    X(matmul_small_4, matmul_small_kernel)    \
    X(matmul_small_1_nv_dp4a, matmul_small_kernel) \
    X(matmul_small_4_nv_dp4a, matmul_small_kernel) \
    X(matmul_small_1_integer_dot, matmul_small_kernel) \
    X(matmul_small_4_integer_dot, matmul_small_kernel) \
    X(matmul_small_1_arm_dot, matmul_small_kernel) \
    X(matmul_small_4_arm_dot, matmul_small_kernel) \
    X(matmul_small_cpu_1, matmul_small_kernel) \
    X(matmul_small_cpu_4, matmul_small_kernel)

typedef enum qmmi_opencl_program {
#define QMMI_OPENCL_PROGRAM_ID(program, source, options, needs) QMMI_OPENCL_PROGRAM_##program,
    QMMI_OPENCL_PROGRAMS(QMMI_OPENCL_PROGRAM_ID)
#undef QMMI_OPENCL_PROGRAM_ID
    QMMI_OPENCL_PROGRAM_COUNT
} qmmi_opencl_program;

/* A kernel is named with its program, since programs made of one source have kernels of one name. */
typedef enum qmmi_opencl_kernel {
#define QMMI_OPENCL_KERNEL_ID(program, kernel) QMMI_OPENCL_##program##_##kernel,
    QMMI_OPENCL_KERNELS(QMMI_OPENCL_KERNEL_ID)
#undef QMMI_OPENCL_KERNEL_ID
    QMMI_OPENCL_KERNEL_COUNT
} qmmi_opencl_kernel;

#endif
