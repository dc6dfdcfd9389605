/* SPDX-License-Identifier: Apache-2.0
 *
 * A tensor the host can read: in place where the device's memory is the host's, else downloaded. For verification only;
 * no operation's hot path comes here. */
#ifndef QMMI_HOST_VIEW_H
#define QMMI_HOST_VIEW_H

#include "context.h"

typedef struct qmmi_host_view {
    const unsigned char *base; /* element (0, 0) of matrix 0 */
    void *copy;                /* NULL where read in place */
    size_t copy_bytes;
} qmmi_host_view;

/* `bytes` bytes of native memory from `offset`; waits. Where it fails there is nothing to close. */
qmm_status qmmi_host_view_open(qmm_context *context, const char *function, const void *memory, size_t offset,
                               size_t bytes, qmmi_host_view *view);
void qmmi_host_view_close(qmm_context *context, qmmi_host_view *view);

#endif
