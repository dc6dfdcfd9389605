/* SPDX-License-Identifier: Apache-2.0
 *
 * The slots find_minmax and histogram. They wait, so they work in the context's workspace. */
#include "range.h"

#include <math.h>
#include <string.h>

#include "../host/context.h"
#include "rows.h"
#include "share.h"

static const char function[] = "qmm_find_range";

_Static_assert(QMMI_CUDA_HISTOGRAM_BINS == QMMI_HISTOGRAM_BINS, "the kernel has the bins of the contract");

/* The tensor shared out; the workspace, `bytes` large, cleared. */
static qmm_status begin(qmm_context *context, const qmmi_view *x, size_t bytes, qmmi_cuda_range *a) {
    *a = (qmmi_cuda_range){ .x = *x };
    qmmi_join_view(&a->x);
    a->walk = qmmi_cuda_walk_over(a->x.batch, a->x.rows, a->x.cols);
    a->piece = qmmi_cuda_piece(&a->x, &a->x);
    QMMI_TRY(qmmi_workspace_reserve(context, bytes, function));
    return qmmi_cuda_clear(context, context->workspace, 0, bytes);
}

static float from_ordered(uint32_t pattern) {
    const uint32_t bits = pattern >> 31 ? pattern & 0x7fffffffu : ~pattern;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

qmm_status qmmi_cuda_find_minmax(qmm_context *context, const qmmi_view *x, int64_t *count, float *min, float *max) {
    qmmi_cuda_minmax found;
    qmmi_cuda_range a;
    QMMI_TRY(begin(context, x, sizeof found, &a));
    a.minmax = context->workspace;
    QMMI_TRY(qmmi_cuda_launch(context, QMMI_CUDA_find_minmax_kernel,
                              qmmi_cuda_set_span(context, &a.walk, QMMI_CUDA_RUN_THREADS, QMMI_CUDA_RUN_BLOCKS),
                              QMMI_CUDA_RUN_THREADS, 0, &a));
    QMMI_TRY(context->backend->download(context, context->workspace, 0, &found, sizeof found, true));
    *count = (int64_t)found.count;
    *min = found.count ? from_ordered(~found.min) + 0.0f : 0.0f; /* -0 becomes 0 */
    *max = found.count ? from_ordered(found.max) + 0.0f : 0.0f;
    return QMM_OK;
}

/* A thread's elements, so that the counts of a block stay below 2^32. */
#define SPAN_MAX (INT64_C(0xffffffff) / (QMMI_CUDA_HISTOGRAM_THREADS * QMMI_CUDA_RUN))

qmm_status qmmi_cuda_histogram(qmm_context *context, const qmmi_view *x, int exponent, uint64_t *bins) {
    const size_t bytes = QMMI_HISTOGRAM_BINS * sizeof *bins;
    qmm_status status;
    uint64_t *counts;
    qmmi_cuda_range a;
    QMMI_TRY(begin(context, x, bytes, &a));
    a.bins = context->workspace;
    a.inverse_width = ldexpf(1.0f, -exponent);
    qmmi_cuda_set_span(context, &a.walk, QMMI_CUDA_HISTOGRAM_THREADS, QMMI_CUDA_HISTOGRAM_BLOCKS);
    if (a.walk.span > SPAN_MAX) a.walk.span = SPAN_MAX;
    QMMI_TRY(qmmi_cuda_launch(context, QMMI_CUDA_histogram_kernel,
                              qmmi_cuda_walk_blocks(&a.walk, QMMI_CUDA_HISTOGRAM_THREADS), QMMI_CUDA_HISTOGRAM_THREADS,
                              0, &a));
    counts = qmmi_allocate(context, bytes);
    if (!counts) return qmmi_fail(context, QMM_OUT_OF_MEMORY, function, "no host memory for a histogram");
    status = context->backend->download(context, context->workspace, 0, counts, bytes, true);
    for (int n = 0; n < QMMI_HISTOGRAM_BINS && status == QMM_OK; n++) bins[n] += counts[n];
    qmmi_release(context, counts, bytes);
    return status;
}
