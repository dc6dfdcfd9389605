/* SPDX-License-Identifier: Apache-2.0
 *
 * quantize: q[i,j] = clamp(rint(x[i,j] / scale) + zero, qmin, qmax), all types, granularities, alignments and strides.
 * Specification: host/cpu/quantize.c. run.h has how the rows are shared out. */
#include "run.cl"

static void quantize_item(const qmmi_cl_convert_run *a, const run *here, MEMORY source, MEMORY target,
                          const run_params *to) {
    const qmmi_cl_view *const x = &a->p.source, *const q = &a->p.target;
    const float16 reals = load_reals(x->type, source + x->offset, run_index(x, here), here->count, a->source_aligned);
    store_codes(q->type, target + q->offset, run_index(q, here), here->count, a->target_aligned,
                quantize_run(reals, to->scale, to->zero, a->p.target_quant.qmin, a->p.target_quant.qmax));
}

/* A group has one row, and that has one block of parameters. */
RUN_KERNEL quantize_kernel(const qmmi_cl_convert_run a, MEMORY source, MEMORY target, MEMORY scale, MEMORY zero) {
    run here;
    run_params to;
    if (!find_run_of_row(&a.walk, &here)) return;
    load_row_params(&a.p.target_quant, scale, zero, &here, &to);
    quantize_item(&a, &here, source, target, &to);
}

/* Any rows, and any blocks. */
RUN_KERNEL quantize_blocks_kernel(const qmmi_cl_convert_run a, MEMORY source, MEMORY target, MEMORY scale,
                                  MEMORY zero) {
    run here;
    run_params to;
    if (!find_run(&a.walk, &here)) return;
    load_block_params(&a.p.target_quant, scale, zero, &here, &to);
    quantize_item(&a, &here, source, target, &to);
}
