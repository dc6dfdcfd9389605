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
    size_t bytes; /* of the storage; 0 for a caller's, which is not freed */
};

#endif
