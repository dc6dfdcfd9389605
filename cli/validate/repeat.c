/* SPDX-License-Identifier: Apache-2.0
 *
 * The same call must give the same bytes: the modes bitwise and determinism, for the cases of descriptors. */
#include <inttypes.h>
#include <string.h>

#include "generate.h"
#include "session.h"

/* The first result becomes what is wanted, byte for byte, NaNs too. */
static void keep_result(validate_case *c, const validate_execution *e, qmm_status status) {
    c->want_status = status;
    for (int n = 0; n < c->tensor_count; n++) memcpy(c->tensors[n].want, c->tensors[n].after, c->tensors[n].bytes);
    memcpy(c->want_values, e->values, sizeof e->values);
}

static bool same_status(const validate_case *c, const validate_execution *e, qmm_status status, char *text,
                        size_t bytes) {
    if (status != c->want_status)
        validate_append(text, bytes, "%s after %s", qmm_status_name(status), qmm_status_name(c->want_status));
    else if (e->complaint[0])
        validate_append(text, bytes, "%s", e->complaint);
    return text[0] == '\0';
}

static bool same_bytes(const validate_case *c, const validate_execution *e, qmm_status status, char *text,
                       size_t bytes) {
    if (!same_status(c, e, status, text, bytes)) return false;
    for (int n = 0; n < c->tensor_count; n++) {
        const validate_tensor *t = &c->tensors[n];
        if (memcmp(t->want, t->after, t->bytes) == 0) continue;
        validate_append(text, bytes, "other bytes: ");
        if (validate_tensor_holds(t, text + strlen(text), bytes - strlen(text)))
            validate_append(text, bytes, "%s: NaNs of other bits", t->name);
        return false;
    }
    if (memcmp(c->want_values, e->values, sizeof e->values) != 0) validate_append(text, bytes, "other values");
    return text[0] == '\0';
}

static void settle(validate_session *s, const validate_case *c, validate_cell *cell, const char *mismatch) {
    if (mismatch[0])
        validate_fail(s, c, cell, mismatch);
    else
        cell->passed++;
    validate_report_case(s, c, cell, mismatch[0] ? "FAILED" : "PASSED");
}

/* The row, on both contexts. */
static bool force_both(validate_session *s, const validate_case *c, validate_cell *cell) {
    if (validate_force(s->context, cell) == QMM_OK && validate_force(s->second, cell) == QMM_OK) return true;
    validate_fail(s, c, cell, "the row cannot be forced");
    return false;
}

/* ---- bitwise ----------------------------------------------------------------------------------------------------- */

void validate_check_bitwise(validate_session *s, validate_case *c, validate_cell *cell) {
    char text[VALIDATE_TEXT] = "", mismatch[VALIDATE_TEXT] = "";
    validate_execution e;
    qmm_status status;
    if (!force_both(s, c, cell)) return;
    status = validate_execute(s, c, s->context, &e);
    if (status == QMM_UNSUPPORTED) {
        validate_refuse(s, c, cell);
        return;
    }
    keep_result(c, &e, status);
    status = validate_execute(s, c, s->context, &e);
    if (!same_bytes(c, &e, status, text, sizeof text)) {
        validate_append(mismatch, sizeof mismatch, "again: %s", text);
    } else {
        status = validate_execute(s, c, s->second, &e);
        if (!same_bytes(c, &e, status, text, sizeof text))
            validate_append(mismatch, sizeof mismatch, "on a second context: %s", text);
    }
    settle(s, c, cell, mismatch);
}

/* ---- determinism ------------------------------------------------------------------------------------------------- */

/* Every second run on the other context, whose queue is another; every second pair with what else may not matter
 * changed. */
static qmm_status run_varied(const validate_session *s, const validate_case *c, int64_t run, validate_execution *e) {
    validate_case varied = *c; /* its tensors are those of c */
    if (c->descriptor->vary && run / 2 % 2) c->descriptor->vary(&varied);
    return validate_execute(s, &varied, run % 2 ? s->second : s->context, e);
}

static bool repeats(const validate_session *s, const validate_case *c, char *mismatch, size_t bytes) {
    const int64_t runs = validate_runs(s->options);
    for (int64_t run = 1; run < runs; run++) {
        char text[VALIDATE_TEXT] = "";
        validate_execution e;
        const qmm_status status = run_varied(s, c, run, &e);
        if (same_bytes(c, &e, status, text, sizeof text)) continue;
        validate_append(mismatch, bytes, "run %" PRId64 " of %" PRId64 "%s%s: %s", run + 1, runs,
                        run % 2 ? ", on a second context" : "",
                        c->descriptor->vary && run / 2 % 2 ? ", in another workspace" : "", text);
        return false;
    }
    return true;
}

/* Another row's first result against that of the row before: NaNs are one class here, and where several values are
 * right two rows may differ. */
static bool agrees(const validate_case *c, const validate_execution *e, qmm_status status, char *mismatch,
                   size_t bytes) {
    char text[VALIDATE_TEXT] = "";
    if (!same_status(c, e, status, text, sizeof text) || !validate_tensors_hold(c, text, sizeof text) ||
        !(c->descriptor->judge || validate_values_hold(c, e, false, text, sizeof text)))
        validate_append(mismatch, bytes, "not as the row before: %s", text);
    return mismatch[0] == '\0';
}

void validate_check_determinism(validate_session *s, validate_case *c, validate_cell *cell, bool *known) {
    char mismatch[VALIDATE_TEXT] = "";
    validate_execution e;
    qmm_status status;
    if (!force_both(s, c, cell)) return;
    status = validate_execute(s, c, s->context, &e);
    if (status == QMM_UNSUPPORTED) {
        validate_refuse(s, c, cell);
        return;
    }
    validate_append(mismatch, sizeof mismatch, "%s", e.complaint);
    if (!mismatch[0] && *known && agrees(c, &e, status, mismatch, sizeof mismatch))
        status = validate_execute(s, c, s->context, &e); /* once more: comparing made NaNs alike */
    if (!mismatch[0]) {
        keep_result(c, &e, status);
        *known = true;
        repeats(s, c, mismatch, sizeof mismatch);
    }
    settle(s, c, cell, mismatch);
}
