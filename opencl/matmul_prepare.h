/* SPDX-License-Identifier: Apache-2.0
 *
 * Brings a problem into the canonical form of host/canonical.h. A row of the table that runs on that form is then three
 * short functions:
 *
 *     accepts    qmmi_opencl_matmul_accepts, and what it asks beyond
 *     workspace  qmmi_opencl_matmul_workspace with its shape
 *     run        qmmi_opencl_matmul_prepare with its shape, then the launch, with the memory that it gave
 *
 * A row that wants B in yet another order asks for more workspace than that and makes it there, from the canonical
 * form, in a kernel of its own. Compiled by C11 and, for the kernels' arguments, by OpenCL C. */
#ifndef QMMI_OPENCL_MATMUL_PREPARE_H
#define QMMI_OPENCL_MATMUL_PREPARE_H

#include "matmul.h"

enum {
    QMMI_CL_PACK_RUN = 32,   /* k that one work-item rewrites: what groups are padded to */
    QMMI_CL_PACK_ROWS = 16,  /* ... where K lies across memory, of so many rows */
    QMMI_CL_PACK_ITEMS = 64, /* of a work-group */
    QMMI_CL_SUMS_ITEMS = 64
};

/* Rewrites `matrices` matrices of `outer` rows of `from` into canonical rows. Memory: from, target. */
typedef struct qmmi_cl_pack {
    qmmi_cl_operand from;
    cl_long outer, matrices;
    cl_long from_group;                         /* packed: codes per group in `from`; k_stride: their padded number */
    cl_long group_size, group_runs;             /* of the target: codes of a group, and runs that it takes */
    cl_long target_runs, target_outer;          /* of a row; rows: those beyond `outer` are zeros */
    cl_long offset, outer_stride, batch_stride; /* of the target, bytes */
    cl_int bits, recenter;
    cl_int across, unused; /* K lies across memory: neighbouring work-items do neighbouring rows, not runs */
} qmmi_cl_pack;

/* Sums of canonical codes per row and group, as the codes were given. Memory: codes, sums; the strides of both are in
 * `from`. */
typedef struct qmmi_cl_sums {
    qmmi_cl_codes from;
    cl_long outer, groups, matrices;
    cl_long group_size, group_k;
    cl_int lanes, unused; /* that share one sum: a power of 2 */
} qmmi_cl_sums;

#ifndef __OPENCL_VERSION__

#include "opencl.h"

/* What a row's kernel is made for. */
typedef struct qmmi_opencl_matmul_shape {
    /* 0 or 1, or what the number of rows of A, and of B, is to be a multiple of in canonical memory: rows of zeros
     * follow, so that a kernel may read whole tiles. An operand that is no such multiple is rewritten. */
    int32_t m_multiple, n_multiple;
    bool packed_4bit; /* reads packed 4-bit weights as they are; else they are unpacked before */
} qmmi_opencl_matmul_shape;

/* Groups of K that a work-item may do in so many turns of its loops: the epilogue takes less than 40 for each. */
static inline int64_t qmmi_opencl_groups_in(int64_t turns) {
    return turns / 40;
}

/* NULL if the problem has a canonical form and no more groups than a work-item can do, else why not. */
const char *qmmi_opencl_matmul_accepts(const qmm_context *context, const qmmi_matmul_problem *p);

/* Bytes of workspace that prepare needs, a multiple of 256: rewritten operands, sums. */
size_t qmmi_opencl_matmul_workspace(const qmm_context *context, const qmmi_matmul_problem *p,
                                    const qmmi_opencl_matmul_shape *shape);

/* Fills *m and the memory that a kernel takes after it, and queues what must run before: rewriting, sums. */
qmm_status qmmi_opencl_matmul_prepare(qmm_context *context, const qmmi_matmul_problem *p,
                                      const qmmi_opencl_matmul_shape *shape, void *workspace, size_t workspace_offset,
                                      qmmi_cl_matmul *m, qmmi_opencl_memory memory[QMMI_CL_MATMUL_MEMORY]);

qmm_status qmmi_opencl_run_pack(qmm_context *context, const qmmi_cl_pack *pack, qmmi_opencl_memory from,
                                qmmi_opencl_memory target);
qmm_status qmmi_opencl_run_sums(qmm_context *context, qmmi_cl_sums *sums, qmmi_opencl_memory codes,
                                qmmi_opencl_memory to);

#endif
#endif
