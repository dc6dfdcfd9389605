/* SPDX-License-Identifier: Apache-2.0
 *
 * Launches matmul_generic.cl. It takes everything that the driver lets a work-item do, needs no workspace, and is
 * slow. */
#include "matmul_generic.h"

#include "matmul_prepare.h"
#include "opencl.h"
#include "rows.h"

/* Turns of the kernel's loops for a k: more than there are. */
#define K_TURNS 9

const char *qmmi_opencl_matmul_generic_accepts(const qmm_context *context, const qmmi_problem *problem) {
    const qmmi_matmul_problem *p = &problem->as.matmul;
    const int64_t most = qmmi_opencl_device_of(context)->max_turns;
    const bool fits = p->groups <= qmmi_opencl_groups_in(most / 2) && p->k <= most / 2 / K_TURNS;
    return fits ? NULL : "this driver stops work-items that do so long a K";
}

qmm_status qmmi_opencl_matmul_generic(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                      size_t workspace_offset) {
    const qmmi_matmul_problem *p = &problem->as.matmul;
    const int64_t items = p->batch * p->m * qmmi_parts(p->n, 8);
    const qmmi_opencl_grid grid = { .groups = { qmmi_parts(items, QMMI_CL_GENERIC_ITEMS), 1, 1 },
                                    .local = { QMMI_CL_GENERIC_ITEMS, 1, 1 } };
    qmmi_opencl_memory memory[QMMI_CL_MATMUL_MEMORY];
    qmmi_cl_matmul_problem arguments;
    (void)workspace, (void)workspace_offset;
    qmmi_opencl_matmul_problem(p, &arguments, memory);
    return qmmi_opencl_launch(context, QMMI_OPENCL_matmul_generic_matmul_generic_kernel, &grid, &arguments,
                              sizeof arguments, memory, QMMI_CL_MATMUL_MEMORY);
}
