/* SPDX-License-Identifier: Apache-2.0
 *
 * Facts of the element types, and sets of them. */
#ifndef QMMI_TYPE_H
#define QMMI_TYPE_H

#include <stdbool.h>

#include "qmm/qmm.h"

#define QMMI_TYPE_BIT(type) (1u << (type))
#define QMMI_CODES_8 (QMMI_TYPE_BIT(QMM_S8) | QMMI_TYPE_BIT(QMM_U8))
#define QMMI_CODES_4 (QMMI_TYPE_BIT(QMM_S4) | QMMI_TYPE_BIT(QMM_U4))
#define QMMI_CODES_16 (QMMI_TYPE_BIT(QMM_S16) | QMMI_TYPE_BIT(QMM_U16))
#define QMMI_CODES (QMMI_CODES_4 | QMMI_CODES_8 | QMMI_CODES_16)
#define QMMI_REALS (QMMI_TYPE_BIT(QMM_F32) | QMMI_TYPE_BIT(QMM_F16) | QMMI_TYPE_BIT(QMM_BF16))
#define QMMI_S32 QMMI_TYPE_BIT(QMM_S32)
#define QMMI_ALL_TYPES (QMMI_CODES | QMMI_REALS | QMMI_S32)

static inline bool qmmi_type_in(qmm_type type, unsigned set) {
    return type >= QMM_S4 && type <= QMM_BF16 && (set & QMMI_TYPE_BIT(type)) != 0;
}

#endif
