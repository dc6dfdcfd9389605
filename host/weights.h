/* SPDX-License-Identifier: Apache-2.0
 *
 * What packed weights hold. */
#ifndef QMMI_WEIGHTS_H
#define QMMI_WEIGHTS_H

#include "context.h"
#include "validate.h"

struct qmm_weights {
    qmmi_object object;
    qmmi_operand operand; /* packed, its parameters gathered */
    qmmi_operand_shape shape;
    void *storage;
    size_t offset, bytes; /* of the part of the storage that is used */
    bool owned;           /* a caller's storage is not freed */
};

#endif
