/* SPDX-License-Identifier: Apache-2.0
 *
 * Sizes of matmul_dot.cl, for the kernel and its launcher. Compiled by C11 and OpenCL C. */
#ifndef QMMI_OPENCL_MATMUL_DOT_H
#define QMMI_OPENCL_MATMUL_DOT_H

enum {
    QMMI_CL_DOT_TILE_M = 64,
    QMMI_CL_DOT_TILE_N = 64,
    QMMI_CL_DOT_ITEMS = 256,
    QMMI_CL_DOT_ROWS = 4, /* of the tile, that an item multiplies ... */
    QMMI_CL_DOT_COLUMNS = 4,
    QMMI_CL_DOT_STRIDE = 68, /* words from row to row, in a stage and in the finished tile */
    QMMI_CL_DOT_PART_M = 32  /* rows of the finished tile that the stages' memory takes at a time */
};

#endif
