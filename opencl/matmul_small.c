/* SPDX-License-Identifier: Apache-2.0
 *
 * The rows of matmul_small.cl: work-groups whose items share K, and for CPUs single items. Both are right on every
 * device. */
#include "matmul_small.h"

#include "../host/context.h"
#include "matmul_prepare.h"
#include "rows.h"

/* More rows of A than this are expected to make the products, not the reading of the weights, what takes the time. On a
 * CPU, where a tile of more rows would read the weights again, panels of B are then expected to be worth making. */
#define ROWS_MAX 16
#define ROWS_MAX_CPU 4

static const qmmi_opencl_matmul_shape shape = { .packed_4bit = true };

/* A B whose K lies across memory is rewritten for this kernel; panels are made of it directly. */
static bool panels_read_directly(const qmmi_operand *b) {
    return !b->packed && b->type == QMM_S8 && b->k_stride != 1;
}

const char *qmmi_opencl_matmul_small_accepts(const qmm_context *context, const qmmi_problem *problem) {
    return qmmi_opencl_matmul_accepts(context, &problem->as.matmul);
}

const char *qmmi_opencl_matmul_small_declines(const qmm_context *context, const qmmi_problem *problem) {
    if (context->capabilities & QMMI_OPENCL_CPU) return "a CPU reads weights best with one work-item along a row";
    if (problem->as.matmul.m <= ROWS_MAX) return NULL;
    return "with more than 16 rows its products take longer than reading the weights";
}

const char *qmmi_opencl_matmul_small_cpu_declines(const qmm_context *context, const qmmi_problem *problem) {
    if (!(context->capabilities & QMMI_OPENCL_CPU)) return "it is made for CPUs";
    if (problem->as.matmul.m > ROWS_MAX_CPU) return "with more than 4 rows, panels of B should be worth making";
    return panels_read_directly(&problem->as.matmul.b) ? "B would have to be rewritten, panels of it need not" : NULL;
}

size_t qmmi_opencl_matmul_small_workspace(const qmm_context *context, const qmmi_problem *problem) {
    return qmmi_opencl_matmul_workspace(context, &problem->as.matmul, &shape);
}

/* kernel: of tiles of so many rows. */
static qmm_status run(qmm_context *context, const qmmi_problem *problem, void *workspace, size_t workspace_offset,
                      qmmi_opencl_kernel kernel, int64_t rows, size_t items) {
    const qmmi_matmul_problem *p = &problem->as.matmul;
    const int64_t tiles = p->batch * qmmi_parts(p->m, rows) * qmmi_parts(p->n, QMMI_CL_SMALL_COLUMNS);
    const qmmi_opencl_grid grid = { .groups = { tiles, 1, 1 }, .local = { items, 1, 1 } };
    qmmi_opencl_memory memory[QMMI_CL_MATMUL_MEMORY];
    qmmi_cl_matmul m;
    QMMI_TRY(qmmi_opencl_matmul_prepare(context, p, &shape, workspace, workspace_offset, &m, memory));
    return qmmi_opencl_launch(context, kernel, &grid, &m, sizeof m, memory, QMMI_CL_MATMUL_MEMORY);
}

/* The program for the device's instruction (dot.cl); `needs` 0: for any. If one does not build or computes nonsense,
 * the row's known-answer test fails, and rows of tiles take its problems. */
static const struct {
    uint32_t needs;
    qmmi_opencl_kernel one, tile; /* of 1 row, of QMMI_CL_SMALL_ROWS */
} kernels[] = {
    { QMMI_OPENCL_NV_DP4A, QMMI_OPENCL_matmul_small_1_nv_dp4a_matmul_small_kernel,
      QMMI_OPENCL_matmul_small_4_nv_dp4a_matmul_small_kernel },
    { QMMI_OPENCL_INTEGER_DOT, QMMI_OPENCL_matmul_small_1_integer_dot_matmul_small_kernel,
      QMMI_OPENCL_matmul_small_4_integer_dot_matmul_small_kernel },
    { QMMI_OPENCL_ARM_DOT, QMMI_OPENCL_matmul_small_1_arm_dot_matmul_small_kernel,
      QMMI_OPENCL_matmul_small_4_arm_dot_matmul_small_kernel },
    { 0, QMMI_OPENCL_matmul_small_1_matmul_small_kernel, QMMI_OPENCL_matmul_small_4_matmul_small_kernel },
};

qmm_status qmmi_opencl_matmul_small(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                    size_t workspace_offset) {
    const bool one = problem->as.matmul.m == 1;
    int n = 0;
    while ((kernels[n].needs & context->capabilities) != kernels[n].needs) n++;
    return run(context, problem, workspace, workspace_offset, one ? kernels[n].one : kernels[n].tile,
               one ? 1 : QMMI_CL_SMALL_ROWS, QMMI_CL_SMALL_ITEMS);
}

qmm_status qmmi_opencl_matmul_small_cpu(qmm_context *context, const qmmi_problem *problem, void *workspace,
                                        size_t workspace_offset) {
    const bool one = problem->as.matmul.m == 1;
    return run(context, problem, workspace, workspace_offset,
               one ? QMMI_OPENCL_matmul_small_cpu_1_matmul_small_kernel
                   : QMMI_OPENCL_matmul_small_cpu_4_matmul_small_kernel,
               one ? 1 : QMMI_CL_SMALL_ROWS, 1);
}
