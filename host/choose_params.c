/* SPDX-License-Identifier: Apache-2.0
 *
 * Static quantization parameters from a range. */
#include <float.h>
#include <math.h>

#include "qmm/qmm.h"

/* See qmmn_guard_scale: a scale is a normal float. */
static float guarded(double scale) {
    if (scale < (double)FLT_MIN) return FLT_MIN;
    return scale > (double)FLT_MAX ? FLT_MAX : (float)scale;
}

qmm_status qmm_choose_params(double min, double max, qmm_type type, int bits, int symmetric, float *scale,
                             int32_t *zero) {
    int32_t qmin, qmax;
    double step;
    if (!scale || !zero || !isfinite(min) || !isfinite(max) || min > max) return QMM_INVALID_ARGUMENT;
    if (qmm_type_range(type, bits, &qmin, &qmax) != QMM_OK) return QMM_INVALID_ARGUMENT;
    if (min > 0.0) min = 0.0;
    if (max < 0.0) max = 0.0;
    if (min == 0.0 && max == 0.0) {
        *scale = 1.0f;
        *zero = symmetric ? 0 : qmin;
        return QMM_OK;
    }
    if (symmetric) {
        *scale = guarded(fmax(-min, max) / qmax);
        *zero = 0;
        return QMM_OK;
    }
    /* Quotients first where max - min overflows. */
    step = isfinite(max - min) ? (max - min) / (qmax - qmin) : max / (qmax - qmin) - min / (qmax - qmin);
    *scale = guarded(step);
    /* The zero point belongs to the double scale, as in the derivation, unless that is no normal float. */
    if (step < (double)FLT_MIN) step = (double)*scale;
    *zero = (int32_t)fmin(fmax(rint(qmin - min / step), qmin), qmax);
    return QMM_OK;
}
