/* SPDX-License-Identifier: Apache-2.0
 *
 * A tensor the host can read. */
#include "host_view.h"

qmm_status qmmi_host_view_open(qmm_context *context, const char *function, const void *memory, size_t offset,
                               size_t bytes, qmmi_host_view *view) {
    qmm_status status;
    *view = (qmmi_host_view){ 0 };
    if (bytes == 0 || !memory) return QMM_OK;
    QMMI_TRY(context->backend->synchronize(context));
    view->base = context->backend->host_view(memory);
    if (view->base) {
        view->base += offset;
        return QMM_OK;
    }
    view->copy = qmmi_allocate(context, bytes);
    if (!view->copy)
        return qmmi_fail(context, QMM_OUT_OF_MEMORY, function, "no host memory for %zu bytes to look at", bytes);
    view->copy_bytes = bytes;
    view->base = view->copy;
    status = context->backend->download(context, memory, offset, view->copy, bytes, true);
    if (status != QMM_OK) qmmi_host_view_close(context, view);
    return status;
}

void qmmi_host_view_close(qmm_context *context, qmmi_host_view *view) {
    qmmi_release(context, view->copy, view->copy_bytes);
    *view = (qmmi_host_view){ 0 };
}
