/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files that check arguments share. */
#ifndef QMMI_VALIDATE_PARTS_H
#define QMMI_VALIDATE_PARTS_H

#include "context.h"
#include "validate.h"

#define REJECT(call, ...) qmmi_fail((call)->context, QMM_INVALID_ARGUMENT, (call)->function, __VA_ARGS__)

#define REQUIRE(call, condition, ...)                        \
    do {                                                     \
        if (!(condition)) return REJECT((call), __VA_ARGS__); \
    } while (0)

/* "per row" ...; NULL for no granularity at all. */
const char *qmmi_granularity_name(qmm_granularity granularity);
bool qmmi_is_group(qmm_granularity granularity);

/* Places to compare: a stretch of bytes, and parameters as one (none if they are values). */
qmmi_view qmmi_bytes_view(void *memory, size_t offset, size_t bytes);
qmmi_view qmmi_param_view(const qmmi_param *param);

/* Two views of the same shape that are the same elements, whichever handles they came by. */
bool qmmi_same_place(const qmm_context *context, const qmmi_view *x, const qmmi_view *y);

/* The sums of a quant that was checked, rows x groups; without them, no memory. */
qmm_status qmmi_check_sums(const qmmi_call *call, const qmmi_quant_names *names, const qmm_quant *given, int64_t rows,
                           int64_t groups, int64_t batch, bool written, qmmi_param *sums);

/* An output is apart from the parameters of a quant, or, if these are written, they from an input. */
qmm_status qmmi_check_quant_disjoint(const qmmi_call *call, const qmmi_quant_names *names, const qmmi_quant *quant,
                                       bool params_written, const char *other_name,
                                       const qmmi_view *other);

#endif
