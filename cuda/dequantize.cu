/* SPDX-License-Identifier: Apache-2.0
 *
 * dequantize: x[i,j] = (float)(q[i,j] - zero) * scale, then one rounding to f16 or bf16 if x is of that type; all types,
 * granularities, alignments and strides. Specification: host/cpu/dequantize.c. run.h has how the rows are shared out. */
#include "run.cuh"

template <typename params_type> DEVICE void dequantize_tile(const qmmi_cuda_convert &a) {
    const qmmi_convert_problem &p = a.p;
    const int64_t item = first_item(a.walk);
    if (item >= a.walk.items) return;
    const place here = place_of(a.walk, item);
    const tile t = tile_at(a.walk, here, p.source.cols, a.piece);
    params_type params;
    float x[QMMI_CUDA_RUN];
    int q[QMMI_CUDA_RUN];
    load_params(p.source_quant, here, t, params);
    load_codes(p.source, here, t, q);
    dequantize_run(p.source_quant, params, q, x);
    store_reals(p.target, here, t, x);
}

/* A row has one block of parameters. */
KERNEL(dequantize_kernel, QMMI_CUDA_RUN_THREADS, QMMI_CUDA_RUN_BLOCKS, qmmi_cuda_convert, a) {
    dequantize_tile<row_params>(a);
}

/* It has any number of blocks. */
KERNEL(dequantize_blocks_kernel, QMMI_CUDA_RUN_THREADS, 1, qmmi_cuda_convert, a) {
    dequantize_tile<block_params>(a);
}
