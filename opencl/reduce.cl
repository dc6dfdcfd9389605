/* SPDX-License-Identifier: Apache-2.0
 *
 * Where a work-item is in a patch: reduce.h has the picture. */
#ifndef QMM_OPENCL_REDUCE_CL
#define QMM_OPENCL_REDUCE_CL

#include "reduce.h"
#include "run.cl"

/* Rows row, row + row_step ... before row_end; in each, the runs from columns col, col + col_step ... on, before
 * col_end. */
typedef struct patch {
    long row, row_end, col, col_end;
    int row_step, col_step;
} patch;

static patch patch_at(const qmmi_cl_patches *p, long number) {
    const int me = (int)get_local_id(0), lanes = 1 << p->lanes_log2;
    const long down = quotient(number, p->across), across = number - down * p->across;
    const long row = down * p->patch_rows, col = across * p->patch_cols;
    patch here;
    here.row = row + (me >> p->lanes_log2);
    here.row_end = min(row + p->patch_rows, p->rows);
    here.row_step = (int)get_local_size(0) >> p->lanes_log2;
    here.col = col + (me & (lanes - 1)) * QMMI_CL_RUN;
    here.col_end = min(col + p->patch_cols, p->cols);
    here.col_step = lanes * QMMI_CL_RUN;
    return here;
}

/* What a work-item keeps of the runs it has seen. On a CPU that is a vector, joined once, at the end; elsewhere 16
 * values of each kind would take registers that many work-items share, so a run is joined before it is kept. */
#if ON_CPU
#define KEPT(type) type##16
#define JOIN_RUN(join, x) (x)
#define JOIN_KEPT(join, x) join(x)
#else
#define KEPT(type) type
#define JOIN_RUN(join, x) join(x)
#define JOIN_KEPT(join, x) (x)
#endif

static int run_count(const patch *here, long col) {
    return (int)min(here->col_end - col, (long)QMMI_CL_RUN);
}

#endif
