/* SPDX-License-Identifier: Apache-2.0
 *
 * dequantize: x[i,j] = (float)(q[i,j] - zero) * scale, then one rounding to f16 or bf16 if x is of that type; all types,
 * granularities, alignments and strides. Specification: host/cpu/dequantize.c. run.h has how the rows are shared out. */
#include "run.cl"

static void dequantize_item(const qmmi_cl_convert_run *a, const run *here, MEMORY source, MEMORY target,
                            const run_params *from) {
    const qmmi_cl_view *const q = &a->p.source, *const x = &a->p.target;
    const int16 codes = load_codes(q->type, source + q->offset, run_index(q, here), here->count, a->source_aligned);
    store_reals(x->type, target + x->offset, run_index(x, here), here->count, a->target_aligned,
                dequantize_run(codes, from->zero, from->scale));
}

/* A group has one row, and that has one block of parameters. */
RUN_KERNEL dequantize_kernel(const qmmi_cl_convert_run a, MEMORY source, MEMORY target, MEMORY scale, MEMORY zero) {
    run here;
    run_params from;
    if (!find_run_of_row(&a.walk, &here)) return;
    load_row_params(&a.p.source_quant, scale, zero, &here, &from);
    dequantize_item(&a, &here, source, target, &from);
}

/* Any rows, and any blocks. */
RUN_KERNEL dequantize_blocks_kernel(const qmmi_cl_convert_run a, MEMORY source, MEMORY target, MEMORY scale,
                                    MEMORY zero) {
    run here;
    run_params from;
    if (!find_run(&a.walk, &here)) return;
    load_block_params(&a.p.source_quant, scale, zero, &here, &from);
    dequantize_item(&a, &here, source, target, &from);
}
