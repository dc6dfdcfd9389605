/* SPDX-License-Identifier: Apache-2.0
 *
 * Sizes of matmul_intel_dpas.cl, for the kernel and its launcher. Compiled by C11 and OpenCL C. */
#ifndef QMMI_OPENCL_MATMUL_INTEL_DPAS_H
#define QMMI_OPENCL_MATMUL_INTEL_DPAS_H

enum {
    QMMI_CL_DPAS_TILE = 64, /* rows and columns */
    QMMI_CL_DPAS_ITEMS = 128,
    QMMI_CL_DPAS_STRIDE = 68 /* words from row to row, of B's strip and of the finished tile */
};

#endif
