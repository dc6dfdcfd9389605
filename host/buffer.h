/* SPDX-License-Identifier: Apache-2.0
 *
 * The check of a buffer argument. */
#ifndef QMMI_BUFFER_H
#define QMMI_BUFFER_H

#include "context.h"

/* `name` is a live buffer on the context's device with `bytes` bytes at `offset`. */
qmm_status qmmi_check_buffer(qmm_context *context, const char *function, const char *name, const qmm_buffer *buffer,
                             size_t offset, size_t bytes);

#endif
