/* SPDX-License-Identifier: Apache-2.0
 *
 * requantize: y = (float)(p[i,j] - zero) * scale, q[i,j] = clamp(rint(y / scale') + zero', qmin, qmax); all types,
 * granularities, alignments and strides. Specification: host/cpu/requantize.c. run.h has how the rows are shared out. */
#include "run.cl"

static void requantize_item(const qmmi_cl_convert_run *a, const run *here, MEMORY source, MEMORY target,
                            const run_params *from, const run_params *to) {
    const qmmi_cl_view *const p = &a->p.source, *const q = &a->p.target;
    const int16 codes = load_codes(p->type, source + p->offset, run_index(p, here), here->count, a->source_aligned);
    const float16 y = dequantize_run(codes, from->zero, from->scale);
    store_codes(q->type, target + q->offset, run_index(q, here), here->count, a->target_aligned,
                quantize_run(y, to->scale, to->zero, a->p.target_quant.qmin, a->p.target_quant.qmax));
}

/* A group has one row, and that has one block of parameters. */
RUN_KERNEL requantize_kernel(const qmmi_cl_convert_run a, MEMORY source, MEMORY target, MEMORY source_scale,
                             MEMORY source_zero, MEMORY target_scale, MEMORY target_zero) {
    run here;
    run_params from, to;
    if (!find_run_of_row(&a.walk, &here)) return;
    load_row_params(&a.p.source_quant, source_scale, source_zero, &here, &from);
    load_row_params(&a.p.target_quant, target_scale, target_zero, &here, &to);
    requantize_item(&a, &here, source, target, &from, &to);
}

/* Any rows, and any blocks. */
RUN_KERNEL requantize_blocks_kernel(const qmmi_cl_convert_run a, MEMORY source, MEMORY target, MEMORY source_scale,
                                    MEMORY source_zero, MEMORY target_scale, MEMORY target_zero) {
    run here;
    run_params from, to;
    if (!find_run(&a.walk, &here)) return;
    load_block_params(&a.p.source_quant, source_scale, source_zero, &here, &from);
    load_block_params(&a.p.target_quant, target_scale, target_zero, &here, &to);
    requantize_item(&a, &here, source, target, &from, &to);
}
