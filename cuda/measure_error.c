/* SPDX-License-Identifier: Apache-2.0
 *
 * The slot measure_error. It waits, so it works in the context's workspace: what is found, then the sums of the blocks of
 * one level and of the next, in turn. */
#include "measure_error.h"

#include <string.h>

#include "../host/context.h"
#include "rows.h"
#include "share.h"

static const char function[] = "qmm_measure_error";

enum { FOUND_BYTES = 256 };

_Static_assert(sizeof(qmmi_cuda_error_found) <= FOUND_BYTES, "what is found has its place");

static int64_t blocks_of(int64_t terms) {
    return qmmi_parts(terms, QMMI_CUDA_ERROR_BLOCK);
}

static size_t sums_bytes(int64_t blocks) {
    return (size_t)blocks * QMMI_CUDA_ERROR_SUMS * sizeof(float);
}

static void set_terms(qmmi_cuda_error_pairs *a) {
    const int64_t rows = QMMI_CUDA_ERROR_LANES / a->got.cols;
    a->terms = a->got.batch * a->got.rows * a->got.cols;
    a->step_col = QMMI_CUDA_ERROR_LANES % a->got.cols;
    a->step_row = rows % a->got.rows;
    a->step_batch = rows / a->got.rows;
}

/* The sums of the blocks of one level lie at places[0], of the next at places[1], and so on in turn; the last one, of one
 * block, among what is found. */
static qmm_status sum_levels(qmm_context *context, qmmi_cuda_error_pairs *a, float *const places[2]) {
    qmmi_cuda_error_level level = { .blocks = blocks_of(a->terms) };
    level.to = a->sums = level.blocks == 1 ? a->found->sums : places[0];
    QMMI_TRY(qmmi_cuda_launch(context, QMMI_CUDA_measure_error_kernel, level.blocks, QMMI_CUDA_ERROR_LANES, 0, a));
    for (int n = 1; level.blocks > 1; n++) {
        level.from = level.to;
        level.terms = level.blocks;
        level.blocks = blocks_of(level.terms);
        level.to = level.blocks == 1 ? a->found->sums : places[n % 2];
        QMMI_TRY(qmmi_cuda_launch(context, QMMI_CUDA_measure_error_level_kernel, level.blocks, QMMI_CUDA_ERROR_LANES, 0,
                                  &level));
    }
    return QMM_OK;
}

static float float_of(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static qmmi_error_sums sums_of(const qmmi_cuda_error_found *found, int64_t terms) {
    return (qmmi_error_sums){ .count = (int64_t)found->count,
                              .skipped = terms - (int64_t)found->count,
                              .error_squared = found->sums[0],
                              .reference_squared = found->sums[1],
                              .got_squared = found->sums[2],
                              .product = found->sums[3],
                              .max_error = float_of(found->max_error),
                              .max_value = float_of(found->max_value) };
}

qmm_status qmmi_cuda_measure_error(qmm_context *context, const qmmi_view *reference, const qmmi_view *got, float factor,
                                   qmmi_error_sums *sums) {
    qmmi_cuda_error_pairs a = { .reference = *reference, .got = *got, .factor = factor };
    qmmi_cuda_error_found found;
    size_t first, second;
    unsigned char *work;
    set_terms(&a);
    first = FOUND_BYTES, second = first + sums_bytes(blocks_of(a.terms));
    QMMI_TRY(qmmi_workspace_reserve(context, second + sums_bytes(blocks_of(blocks_of(a.terms))), function));
    QMMI_TRY(qmmi_cuda_clear(context, context->workspace, 0, FOUND_BYTES));
    work = context->workspace;
    a.found = context->workspace;
    QMMI_TRY(
        sum_levels(context, &a, (float *const[]){ (float *)(void *)(work + first), (float *)(void *)(work + second) }));
    QMMI_TRY(context->backend->download(context, context->workspace, 0, &found, sizeof found, true));
    *sums = sums_of(&found, a.terms);
    return QMM_OK;
}
