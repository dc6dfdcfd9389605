/* SPDX-License-Identifier: Apache-2.0
 *
 * For the launchers of the kernels that use matmul_tile.cl. */
#ifndef QMMI_OPENCL_MATMUL_TILE_H
#define QMMI_OPENCL_MATMUL_TILE_H

#include "opencl.h"

/* How many tiles of C there are. A work-group makes one, as tile_of_group has it. */
static inline int64_t qmmi_opencl_tiles(const qmmi_matmul_problem *p, int64_t tile_m, int64_t tile_n) {
    return p->batch * qmmi_parts(p->m, tile_m) * qmmi_parts(p->n, tile_n);
}

#endif
