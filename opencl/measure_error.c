/* SPDX-License-Identifier: Apache-2.0
 *
 * The slot measure_error. It waits, so it works in the context's workspace: what is found, then the sums of the blocks
 * of one level and of the next, in turn. */
#include "measure_error.h"

#include <string.h>

#include "../host/context.h"
#include "convert.h"
#include "rows.h"

static const char function[] = "qmm_measure_error";

enum { FOUND_BYTES = 256 };

_Static_assert(sizeof(qmmi_cl_error_found) <= FOUND_BYTES, "what is found has its place");
_Static_assert(sizeof(qmmi_cl_error_pairs) % 8 == 0 && sizeof(qmmi_cl_error_level) % 8 == 0,
               "no padding that two compilers could see differently");

static int64_t blocks_of(int64_t terms) {
    return qmmi_parts(terms, QMMI_CL_ERROR_BLOCK);
}

static size_t sums_bytes(int64_t blocks) {
    return ((size_t)blocks * QMMI_CL_ERROR_SUMS * sizeof(float) + 255) / 256 * 256;
}

/* One long row of either, where both can be. */
static void join(qmmi_view *reference, qmmi_view *got) {
    qmmi_view r = *reference, g = *got;
    qmmi_join_view(&r);
    qmmi_join_view(&g);
    if (r.rows != g.rows || r.batch != g.batch) return;
    *reference = r;
    *got = g;
}

static qmmi_cl_error_pairs pairs_of(qmmi_view reference, qmmi_view got, float factor) {
    qmmi_cl_error_pairs a = { .factor = factor };
    int64_t rows;
    join(&reference, &got);
    a.reference = qmmi_opencl_view(&reference);
    a.got = qmmi_opencl_view(&got);
    a.terms = got.batch * got.rows * got.cols;
    rows = QMMI_CL_ERROR_LANES / got.cols;
    a.step_col = QMMI_CL_ERROR_LANES % got.cols;
    a.step_row = rows % got.rows;
    a.step_batch = rows / got.rows;
    return a;
}

static qmmi_opencl_grid grid_of(int64_t blocks) {
    return (qmmi_opencl_grid){ { blocks, 1, 1 }, { QMMI_CL_ERROR_LANES, 1, 1 } };
}

/* The sums of the blocks of one level lie at places[0], of the next at places[1], and so on in turn. Gives where those
 * of the last are, of one block. */
static qmm_status sum_levels(qmm_context *context, qmmi_cl_error_pairs *a, const qmmi_opencl_memory memory[3],
                             const int64_t places[2], int64_t *sums) {
    int64_t blocks = blocks_of(a->terms);
    qmmi_opencl_grid grid = grid_of(blocks);
    *sums = a->to = places[0];
    QMMI_TRY(
        qmmi_opencl_launch(context, QMMI_OPENCL_measure_error_measure_error_kernel, &grid, a, sizeof *a, memory, 3));
    for (int n = 1; blocks > 1; n++) {
        const qmmi_cl_error_level level = { .terms = blocks, .from = *sums, .to = places[n % 2] };
        *sums = level.to;
        blocks = blocks_of(blocks);
        grid = grid_of(blocks);
        QMMI_TRY(qmmi_opencl_launch(context, QMMI_OPENCL_measure_error_measure_error_level_kernel, &grid, &level,
                                    sizeof level, memory + 2, 1));
    }
    return QMM_OK;
}

static float float_of(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

qmm_status qmmi_opencl_measure_error(qmm_context *context, const qmmi_view *reference, const qmmi_view *got,
                                     float factor, qmmi_error_sums *sums) {
    qmmi_cl_error_pairs a = pairs_of(*reference, *got, factor);
    const int64_t blocks = blocks_of(a.terms);
    const int64_t places[2] = { FOUND_BYTES, FOUND_BYTES + (int64_t)sums_bytes(blocks) };
    float found_sums[QMMI_CL_ERROR_SUMS];
    qmmi_cl_error_found found;
    int64_t skipped, at;
    QMMI_TRY(qmmi_workspace_reserve(context, (size_t)places[1] + sums_bytes(blocks_of(blocks)), function));
    QMMI_TRY(context->backend->fill(context, context->workspace, 0, 0, FOUND_BYTES));
    QMMI_TRY(sum_levels(context, &a, (const qmmi_opencl_memory[]){ reference->memory, got->memory, context->workspace },
                        places, &at));
    QMMI_TRY(context->backend->download(context, context->workspace, 0, &found, sizeof found, true));
    QMMI_TRY(context->backend->download(context, context->workspace, (size_t)at, found_sums, sizeof found_sums, true));
    skipped = (int64_t)((uint64_t)found.skipped[1] << 32 | found.skipped[0]);
    *sums = (qmmi_error_sums){ .count = a.terms - skipped,
                               .skipped = skipped,
                               .error_squared = found_sums[0],
                               .reference_squared = found_sums[1],
                               .got_squared = found_sums[2],
                               .product = found_sums[3],
                               .max_error = float_of(found.max_error),
                               .max_value = float_of(found.max_value) };
    return QMM_OK;
}
