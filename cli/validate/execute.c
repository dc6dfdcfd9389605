/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "session.h"

/* On the host's own device a tensor without a guard behind it is wrapped in memory of just that size, so that a
 * sanitizer sees who reads past its end. */
static qmm_status create_buffer(const validate_session *s, const validate_tensor *t, int n, validate_execution *e) {
    if (!s->host_device || !t->exact_end) return qmm_buffer_create(e->context, t->bytes, &e->buffers[n]);
    e->memory[n] = malloc(t->bytes);
    return e->memory[n] ? qmm_buffer_wrap(e->context, e->memory[n], t->bytes, &e->buffers[n]) : QMM_OUT_OF_MEMORY;
}

qmm_status validate_prepare(const validate_session *s, const validate_case *c, qmm_context *context,
                            validate_execution *e) {
    *e = (validate_execution){ .context = context };
    for (int n = 0; n < c->tensor_count; n++) {
        const validate_tensor *t = &c->tensors[n];
        qmm_status status = create_buffer(s, t, n, e);
        if (status == QMM_OK) status = qmm_buffer_upload(context, e->buffers[n], 0, t->before, t->bytes);
        if (status != QMM_OK) return status;
    }
    return QMM_OK;
}

void validate_finish(const validate_case *c, validate_execution *e) {
    for (int n = 0; n < c->tensor_count; n++) {
        qmm_buffer_free(e->buffers[n]);
        free(e->memory[n]);
    }
}

static qmm_status download(const validate_case *c, const validate_execution *e) {
    qmm_status status = qmm_context_synchronize(e->context);
    for (int n = 0; n < c->tensor_count && status == QMM_OK; n++)
        status = qmm_buffer_download(e->context, e->buffers[n], 0, c->tensors[n].after, c->tensors[n].bytes);
    return status;
}

qmm_status validate_execute(const validate_session *s, const validate_case *c, qmm_context *context,
                            validate_execution *e) {
    qmm_status status = validate_prepare(s, c, context, e), fetched;
    if (status == QMM_OK) {
        status = c->descriptor->run(c, e);
        /* Also after a failure: the outputs must be as they were. */
        fetched = download(c, e);
        if (status == QMM_OK) status = fetched;
    }
    validate_finish(c, e);
    return status;
}
