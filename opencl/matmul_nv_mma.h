/* SPDX-License-Identifier: Apache-2.0
 *
 * Sizes of matmul_nv_mma.cl, for the kernel and its launcher. Compiled by C11 and OpenCL C.
 *
 * Two tiles of C: a large one for problems that fill the device with it, and a small one for those that do not, and for
 * factors per group of K, which need a second register per element. */
#ifndef QMMI_OPENCL_MATMUL_NV_MMA_H
#define QMMI_OPENCL_MATMUL_NV_MMA_H

enum {
    QMMI_CL_NV_MMA_LARGE_TILE = 128, /* rows and columns: 8 warps, each 64 x 32 */
    QMMI_CL_NV_MMA_LARGE_WARP_M = 64,
    QMMI_CL_NV_MMA_LARGE_ITEMS = 256,
    QMMI_CL_NV_MMA_LARGE_SLICES = 2, /* of 32 k, in a step */

    QMMI_CL_NV_MMA_SMALL_TILE = 64, /* 4 warps, each 32 x 32 */
    QMMI_CL_NV_MMA_SMALL_WARP_M = 32,
    QMMI_CL_NV_MMA_SMALL_ITEMS = 128,
    QMMI_CL_NV_MMA_SMALL_SLICES = 1, /* so that groups of K end where a step does */

    QMMI_CL_NV_MMA_WARP_N = 32
};

#endif
