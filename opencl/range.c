/* SPDX-License-Identifier: Apache-2.0
 *
 * The slots find_minmax and histogram. They wait, so they work in the context's workspace. */
#include "range.h"

#include <math.h>
#include <string.h>

#include "../host/context.h"
#include "convert.h"
#include "patches.h"
#include "rows.h"

static const char function[] = "qmm_find_range";

_Static_assert(QMMI_CL_HISTOGRAM_HALF == QMMI_HISTOGRAM_HALF, "the kernel has the bins of the contract");
_Static_assert(sizeof(qmmi_cl_range) % 8 == 0, "no padding that two compilers could see differently");

/* The tensor shared out, `times` times, to a kernel that finds something in `bytes` bytes of the workspace. */
static qmm_status find(qmm_context *context, const qmmi_view *x, qmmi_opencl_kernel kernel, int64_t times,
                       float inverse_width, void *found, size_t bytes) {
    qmmi_view view = *x;
    qmmi_cl_range a = { .inverse_width = inverse_width };
    qmmi_opencl_grid grid;
    qmmi_join_view(&view);
    a.x = qmmi_opencl_view(&view);
    a.aligned = qmmi_opencl_aligned(&view);
    a.patches = qmmi_opencl_patches(context, view.batch * view.rows, view.cols, times, &grid);
    QMMI_TRY(qmmi_workspace_reserve(context, bytes, function));
    QMMI_TRY(context->backend->fill(context, context->workspace, 0, 0, bytes));
    QMMI_TRY(qmmi_opencl_launch(context, kernel, &grid, &a, sizeof a,
                                (const qmmi_opencl_memory[]){ view.memory, context->workspace }, 2));
    return context->backend->download(context, context->workspace, 0, found, bytes, true);
}

static uint64_t count_of(const cl_uint halves[2]) {
    return (uint64_t)halves[1] << 32 | halves[0];
}

static float from_ordered(uint32_t pattern) {
    const uint32_t bits = pattern >> 31 ? pattern & 0x7fffffffu : ~pattern;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

qmm_status qmmi_opencl_find_minmax(qmm_context *context, const qmmi_view *x, int64_t *count, float *min, float *max) {
    qmmi_cl_minmax found;
    QMMI_TRY(find(context, x, QMMI_OPENCL_range_find_minmax_kernel, 1, 0.0f, &found, sizeof found));
    *count = x->batch * x->rows * x->cols - (int64_t)count_of(found.skipped);
    *min = *count ? from_ordered(~found.min) + 0.0f : 0.0f; /* -0 becomes 0 */
    *max = *count ? from_ordered(found.max) + 0.0f : 0.0f;
    return QMM_OK;
}

qmm_status qmmi_opencl_histogram(qmm_context *context, const qmmi_view *x, int exponent, uint64_t *bins) {
    const size_t bytes = QMMI_HISTOGRAM_BINS * 2 * sizeof(cl_uint);
    cl_uint *counts = qmmi_allocate(context, bytes);
    qmm_status status;
    if (!counts) return qmmi_fail(context, QMM_OUT_OF_MEMORY, function, "no host memory for a histogram");
    status = find(context, x, QMMI_OPENCL_range_histogram_kernel, 2, ldexpf(1.0f, -exponent), counts, bytes);
    for (int n = 0; n < QMMI_HISTOGRAM_BINS && status == QMM_OK; n++) bins[n] += count_of(counts + 2 * n);
    qmmi_release(context, counts, bytes);
    return status;
}
