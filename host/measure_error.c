/* SPDX-License-Identifier: Apache-2.0
 *
 * measure_error: the public body; the quotients of the device's sums. */
#include <math.h>

#include "context.h"
#include "type.h"
#include "validate.h"

/* e such that 2^-e brings the largest value measured below 2, kept where 2^-e is a normal float. */
static int exponent_of(float largest) {
    return largest > 0.0f ? (int)fmin(fmax(ilogb((double)largest), -126), 126) : 0;
}

static qmm_error_measure quotients(const qmmi_error_sums *sums, int exponent) {
    const double length = sqrt((double)sums->reference_squared) * sqrt((double)sums->got_squared);
    qmm_error_measure found = QMM_ERROR_MEASURE_INIT;
    found.count = sums->count;
    found.skipped = sums->skipped;
    if (sums->count) found.mse = ldexp((double)sums->error_squared / (double)sums->count, 2 * exponent);
    found.max_error = ldexp((double)sums->max_error, exponent);
    /* 0 / 0 is "equal", not NaN. */
    found.sqnr_db = sums->error_squared == 0.0f
                        ? INFINITY
                        : 10.0 * log10((double)sums->reference_squared / (double)sums->error_squared);
    found.cosine = length > 0.0 ? (double)sums->product / length
                                : sums->reference_squared == sums->got_squared ? 1.0 : 0.0;
    return found;
}

qmm_status qmm_measure_error(qmm_context *context, const qmm_tensor *reference, const qmm_tensor *got,
                             qmm_error_measure *measure) {
    const qmmi_call call = { context, __func__, false };
    qmmi_view r, g;
    qmmi_error_sums sums = { 0 };
    qmm_error_measure found;
    int exponent = 0;
    QMMI_ENTER_WAITING(context);
    QMMI_REQUIRE(context, measure, "measure is NULL");
    QMMI_CHECK_RESULT(context, measure, QMMI_OLDEST_ERROR_MEASURE);
    QMMI_TRY(qmmi_check_tensor(&call, "reference", reference, QMMI_REALS, false, &r));
    QMMI_TRY(qmmi_check_tensor(&call, "got", got, QMMI_REALS, false, &g));
    QMMI_TRY(qmmi_check_same_shape(&call, "got", &g, "reference", &r));
    if (r.rows > 0 && r.cols > 0) {
        /* Once for the largest value, once for the sums. */
        QMMI_TRY(context->backend->measure_error(context, &r, &g, 1.0f, &sums));
        exponent = exponent_of(sums.max_value);
        QMMI_TRY(context->backend->measure_error(context, &r, &g, ldexpf(1.0f, -exponent), &sums));
    }
    found = quotients(&sums, exponent);
    qmmi_write_struct(measure, &found, sizeof found);
    return QMM_OK;
}
