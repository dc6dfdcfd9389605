/* SPDX-License-Identifier: Apache-2.0
 *
 * requantize: y = (float)(p[i,j] - zero) * scale, q[i,j] = clamp(rint(y / scale') + zero', qmin, qmax); all types,
 * granularities, alignments and strides. Specification: host/cpu/requantize.c. run.h has how the rows are shared out. */
#include "run.cuh"

template <typename params_type> DEVICE void requantize_tile(const qmmi_cuda_convert &a) {
    const qmmi_convert_problem &p = a.p;
    const int64_t item = first_item(a.walk);
    if (item >= a.walk.items) return;
    const place here = place_of(a.walk, item);
    const tile t = tile_at(a.walk, here, p.source.cols, a.piece);
    params_type params;
    float y[QMMI_CUDA_RUN];
    int q[QMMI_CUDA_RUN];
    load_params(p.source_quant, here, t, params);
    load_codes(p.source, here, t, q);
    dequantize_run(p.source_quant, params, q, y);
    load_params(p.target_quant, here, t, params);
    quantize_run(p.target_quant, params, y, q);
    store_codes(p.target, here, t, q);
}

/* A row has one block of parameters. */
KERNEL(requantize_kernel, QMMI_CUDA_RUN_THREADS, QMMI_CUDA_RUN_BLOCKS, qmmi_cuda_convert, a) {
    requantize_tile<row_params>(a);
}

/* It has any number of blocks. */
KERNEL(requantize_blocks_kernel, QMMI_CUDA_RUN_THREADS, 1, qmmi_cuda_convert, a) {
    requantize_tile<block_params>(a);
}
