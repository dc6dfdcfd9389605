/* SPDX-License-Identifier: Apache-2.0
 *
 * The check of a buffer argument. */
#ifndef QMMI_BUFFER_H
#define QMMI_BUFFER_H

#include "context.h"

/* A live buffer on the context's device with `bytes` bytes at `offset`. `owner` is what messages call it, `prefix` what
 * stands before that where the buffer itself is meant: "buffer of " for a tensor's, "" for a buffer argument. */
qmm_status qmmi_check_buffer(qmm_context *context, const char *function, const char *prefix, const char *owner,
                             const qmm_buffer *buffer, size_t offset, size_t bytes);

#endif
