/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QMMI_OPENCL_MATMUL_SMALL_H
#define QMMI_OPENCL_MATMUL_SMALL_H

enum {
    QMMI_CL_SMALL_ITEMS = 64,  /* of a work-group, but where one item does a tile */
    QMMI_CL_SMALL_COLUMNS = 8, /* of a tile */
    QMMI_CL_SMALL_ROWS = 4     /* of a tile, if there is more than one */
};

#endif
