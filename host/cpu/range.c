/* SPDX-License-Identifier: Apache-2.0
 *
 * Specification of the two reductions behind ranges and calibration, over the finite values of x:
 *
 *     find_minmax   count, min, max
 *     histogram     bin 4096 + floor(x / width) for x >= 0, 4095 - floor(-x / width) below; width = 2^exponent
 *
 * Multiplying by the power of two 1 / width is exact (or loses only what floor drops), so bins are the same anywhere. */
#include <math.h>

#include "chunk.h"
#include "cpu.h"

qmm_status qmmi_cpu_find_minmax(qmm_context *context, const qmmi_view *x, int64_t *count, float *min, float *max) {
    const unsigned char *base = qmmi_cpu_at(x->memory, x->offset);
    bool found = false;
    (void)context;
    *count = 0;
    *min = *max = 0.0f;
    for (int64_t b = 0; b < x->batch; b++) {
        for (int64_t i = 0; i < x->rows; i++) {
            for (int64_t j = 0; j < x->cols; j++) {
                const float value = qmmi_cpu_load_real(x->type, base, qmmi_cpu_index(x, b, i, j));
                if (!qmmn_is_finite(value)) continue;
                if (!found || value < *min) *min = value;
                if (!found || value > *max) *max = value;
                found = true;
                ++*count;
            }
        }
    }
    *min = *min + 0.0f; /* -0 is +0 here: which of the two came first is no device's business */
    *max = *max + 0.0f;
    return QMM_OK;
}

qmm_status qmmi_cpu_histogram(qmm_context *context, const qmmi_view *x, int exponent, uint64_t *bins) {
    const unsigned char *base = qmmi_cpu_at(x->memory, x->offset);
    const float inverse_width = ldexpf(1.0f, -exponent);
    (void)context;
    for (int64_t b = 0; b < x->batch; b++) {
        for (int64_t i = 0; i < x->rows; i++) {
            for (int64_t j = 0; j < x->cols; j++) {
                const float value = qmmi_cpu_load_real(x->type, base, qmmi_cpu_index(x, b, i, j));
                if (!qmmn_is_finite(value)) continue;
                if (value >= 0.0f)
                    bins[QMMI_HISTOGRAM_HALF + (int)(value * inverse_width)]++;
                else
                    bins[QMMI_HISTOGRAM_HALF - 1 - (int)(-value * inverse_width)]++;
            }
        }
    }
    return QMM_OK;
}
