/* SPDX-License-Identifier: Apache-2.0
 *
 * Matmuls of given shapes on every row and variant. A result is compared bit for bit with the cpu's reference row where
 * that takes about a second, and checked by Freivalds' method (qmm_verify_matmul) beyond: its cost is that of reading
 * the matrices. The reference row's own results are always checked by the latter: nothing is compared with itself. */
#include "../shapes.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "../cli.h"
#include "../host_memory.h"
#include "generate.h"
#include "matmul.h"
#include "session.h"

enum { GUARD = 256, POISON = 0xa5 };

/* The call on one context. C is a buffer of our own, with guards around. */
typedef struct side {
    qmm_context *context;
    cli_operands operands;
    qmm_buffer *c;
} side;

/* A shape under way. */
typedef struct job {
    validate_session *s;
    const validate_shapes *shapes;
    const cli_shape *shape;
    bool exact;         /* there is, or will be, a result to compare with */
    bool repeating;     /* bitwise, determinism: that is the first result */
    bool known;         /* it is in c.want */
    side first, second; /* the second only where it is repeating */
    validate_tensor c;  /* as bytes with its guards; `after` is the latest result */
    char description[VALIDATE_TEXT];
    const char *status, *check; /* of the latest cell: see validate_shape_result */
} job;

/* ---- memory ------------------------------------------------------------------------------------------------------ */

/* Bytes on the device for the call and its result, and of the result. */
static double side_bytes(const job *j, double *result) {
    const cli_shape *h = j->shape;
    const cli_call *call = &j->shapes->call;
    const double weights = (double)h->k * (double)h->n * (double)h->batch * qmm_type_bits(call->b) / 8.0;
    cli_operands plan;
    *result = (double)h->m * (double)h->n * (double)h->batch * qmm_type_bits(call->c) / 8.0 + 2.0 * GUARD;
    cli_operands_plan(call, h, &plan);
    return cli_operands_bytes(&plan) + *result + (call->packed ? weights : 0.0);
}

static bool fits(const job *j, char *why, size_t bytes) {
    enum { MIB = 1 << 20 };
    qmm_device_info info = QMM_DEVICE_INFO_INIT;
    const double available = cli_memory_available();
    double result, device = side_bytes(j, &result), host = 2.0 * result;
    if (j->exact || !j->s->host_device) host += device; /* the reference's operands, or what Freivalds' check brings */
    if (j->repeating) device *= 2.0;
    if (j->s->host_device) host += device;
    if (available >= 0.0 && host > 0.9 * available) {
        validate_append(why, bytes, "it does not fit the host's memory: it takes %.0f MiB, and %.0f are available",
                        host / MIB, available / MIB);
        return false;
    }
    if (qmm_context_get_device_info(j->s->context, &info) != QMM_OK || info.memory_bytes == 0) return true;
    if (device <= (double)info.memory_bytes) return true;
    validate_append(why, bytes, "it does not fit the device's memory: it takes %.0f MiB of %.0f", device / MIB,
                    (double)info.memory_bytes / MIB);
    return false;
}

/* ---- one call ---------------------------------------------------------------------------------------------------- */

static void free_side(side *x) {
    cli_operands_free(&x->operands);
    qmm_buffer_free(x->c);
    x->c = NULL;
}

/* On failure `why` says what is wrong, and nothing is left behind. */
static bool create_side(const job *j, qmm_context *context, bool packed, side *x, char *why, size_t bytes) {
    cli_call call = j->shapes->call;
    qmm_status status = qmm_kernel_force(context, NULL);
    *x = (side){ .context = context };
    call.packed = packed;
    if (status == QMM_OK) status = cli_operands_create(context, &call, j->shape, 1, j->s->options->seed, &x->operands);
    if (status == QMM_OK) {
        status = qmm_buffer_create(context, j->c.bytes, &x->c);
        if (status != QMM_OK) cli_operands_free(&x->operands);
    }
    if (status != QMM_OK) validate_append(why, bytes, "%s", cli_why(context, status));
    return status == QMM_OK;
}

static qmm_tensor result_of(const job *j, const side *x) {
    return (qmm_tensor){ .buffer = x->c,
                         .offset = j->c.offset,
                         .type = j->c.type,
                         .rows = j->c.rows,
                         .cols = j->c.cols,
                         .row_stride = j->c.row_stride,
                         .batch = j->c.batch,
                         .batch_stride = j->c.batch_stride };
}

static qmm_status run_in_own_workspace(qmm_context *context, validate_multiply *multiply, const cli_operands_call *call,
                                       const qmm_tensor *c, char *complaint, size_t bytes) {
    qmm_matmul_desc desc = *call->desc;
    size_t workspace;
    qmm_status status = qmm_matmul_workspace(context, &desc, call->a, call->b, c, &workspace);
    if (status != QMM_OK) return status;
    desc.workspace = matmul_guard_create(context, workspace);
    if (!desc.workspace) return qmm_context_error_status(context);
    desc.workspace_offset = 256; /* matmul_guard_create's */
    desc.workspace_bytes = workspace;
    status = multiply(context, &desc, call->a, call->b, c);
    if (!matmul_guard_check(context, desc.workspace, workspace))
        validate_append(complaint, bytes, "workspace: bytes outside its %zu are not as before", workspace);
    qmm_buffer_free(desc.workspace);
    return status;
}

/* The result is brought to c.after, also after a failure: nothing may then have been written. */
static qmm_status run(const job *j, const side *x, validate_multiply *multiply, bool own_workspace, char *complaint,
                      size_t bytes) {
    const cli_operands_call call = cli_operands_at(&x->operands, 0);
    const qmm_tensor c = result_of(j, x);
    qmm_status status = qmm_buffer_fill(x->context, x->c, 0, POISON, j->c.bytes), fetched;
    if (status != QMM_OK) return status;
    if (own_workspace)
        status = run_in_own_workspace(x->context, multiply, &call, &c, complaint, bytes);
    else
        status = multiply(x->context, call.desc, call.a, call.b, &c);
    fetched = qmm_buffer_download(x->context, x->c, 0, j->c.after, j->c.bytes);
    return status == QMM_OK ? fetched : status;
}

static validate_multiply *multiply_of(const job *j) {
    return j->shapes->multiply ? j->shapes->multiply : qmm_matmul;
}

/* ---- judging ----------------------------------------------------------------------------------------------------- */

static bool is_poison(const unsigned char *bytes, size_t count) {
    for (size_t n = 0; n < count; n++)
        if (bytes[n] != POISON) return false;
    return true;
}

static bool guards_hold(const job *j, char *text, size_t bytes) {
    const validate_tensor *c = &j->c;
    if (is_poison(c->after, GUARD) && is_poison(c->after + c->bytes - GUARD, GUARD)) return true;
    validate_append(text, bytes, "c: bytes outside its elements were written");
    return false;
}

/* By the context's own choice of rows, whichever row made the result. */
static bool freivalds_holds(const job *j, char *text, size_t bytes) {
    const side *x = &j->first;
    const cli_operands_call call = cli_operands_at(&x->operands, 0);
    const qmm_tensor c = result_of(j, x);
    qmm_verify_options options = QMM_VERIFY_OPTIONS_INIT;
    qmm_verify_result result = QMM_VERIFY_RESULT_INIT;
    qmm_status status = qmm_kernel_force(x->context, NULL);
    if (!guards_hold(j, text, bytes)) return false;
    options.seed = j->s->options->seed;
    if (status == QMM_OK)
        status = qmm_verify_matmul(x->context, call.plain_desc, call.a, call.plain_b, &c, &options, &result);
    if (status != QMM_OK)
        validate_append(text, bytes, "it could not be checked: %s", cli_why(x->context, status));
    else if (!result.passed && result.col < 0)
        validate_append(text, bytes, "c: Freivalds' check finds %" PRId64 " of %" PRId64 " rows wrong, first [%" PRId64
                        "][%" PRId64 "]", result.wrong_rows, c.rows * c.batch, result.batch, result.row);
    else if (!result.passed)
        validate_append(text, bytes, "c: the check of accumulators and epilogue finds %" PRId64 " of %" PRId64
                        " rows wrong, first [%" PRId64 "][%" PRId64 ",%" PRId64 "]", result.wrong_rows,
                        c.rows * c.batch, result.batch, result.row, result.col);
    return text[0] == '\0';
}

/* Is nearly all of the result zero or at an end of its codes? Of large ones 65,536 elements are looked at. */
static bool proves_little(const job *j) {
    enum { ENOUGH = 16, SAMPLE = 65536, K_ENOUGH = 4 };
    const validate_tensor *c = &j->c;
    const int64_t elements = c->rows * c->cols * c->batch, step = elements / SAMPLE + 1;
    int64_t trivial = 0, seen = 0;
    int32_t qmin, qmax;
    validate_code_range(c->type, 0, &qmin, &qmax);
    if (elements < ENOUGH || j->shape->k < K_ENOUGH) return false;
    for (int64_t n = 0; n < elements; n += step, seen++) {
        const int64_t b = n / (c->rows * c->cols), i = n / c->cols % c->rows;
        const double value = validate_load(c, c->after, b, i, n % c->cols);
        trivial += value == 0.0 || (qmin < qmax && (value == qmin || value == qmax));
    }
    return (double)trivial > 0.9 * (double)seen;
}

/* ---- saving ------------------------------------------------------------------------------------------------------ */

enum { SAVED_MAX = 11 };

typedef struct saved {
    validate_image images[SAVED_MAX];
    validate_tensor tensors[SAVED_MAX];
    unsigned char *bytes[SAVED_MAX];
    int count;
} saved;

static void bring(qmm_context *context, const char *name, const qmm_tensor *t, saved *to) {
    const size_t bytes = t ? qmm_buffer_bytes(t->buffer) : 0;
    validate_tensor *v = &to->tensors[to->count];
    unsigned char *image = t ? malloc(bytes + 1) : NULL;
    if (!image || qmm_buffer_download(context, t->buffer, 0, image, bytes) != QMM_OK) {
        free(image);
        return;
    }
    *v = (validate_tensor){ .name = name, .type = t->type, .rows = t->rows, .cols = t->cols, .offset = t->offset,
                            .row_stride = t->row_stride, .batch = t->batch, .batch_stride = t->batch_stride };
    to->bytes[to->count] = image;
    to->images[to->count] = (validate_image){ .tensor = v, .bytes = image };
    validate_append(to->images[to->count].name, sizeof to->images[0].name, "%s", name);
    to->count++;
}

static void add_result(const job *j, const char *name, const unsigned char *bytes, saved *to) {
    to->images[to->count] = (validate_image){ .tensor = &j->c, .bytes = bytes };
    validate_append(to->images[to->count].name, sizeof to->images[0].name, "%s", name);
    to->count++;
}

static void save(const job *j, const validate_failure *failure) {
    const cli_operands_call call = cli_operands_at(&j->first.operands, 0);
    const qmm_matmul_desc *d = call.plain_desc;
    qmm_context *context = j->first.context;
    saved to = { .count = 0 };
    bring(context, "a", call.a, &to);
    bring(context, "b", call.plain_b, &to);
    bring(context, "scale-a", d->quant_a ? d->quant_a->scale : NULL, &to);
    bring(context, "zero-a", d->quant_a ? d->quant_a->zero : NULL, &to);
    bring(context, "scale-b", d->quant_b ? d->quant_b->scale : NULL, &to);
    bring(context, "zero-b", d->quant_b ? d->quant_b->zero : NULL, &to);
    bring(context, "bias", d->bias, &to);
    bring(context, "residual", d->residual, &to);
    if (j->known) add_result(j, "c.expected", j->c.want, &to);
    add_result(j, "c.got", j->c.after, &to);
    validate_save(j->s, failure, to.images, to.count);
    for (int n = 0; n < to.count; n++) free(to.bytes[n]);
}

/* ---- what came of it --------------------------------------------------------------------------------------------- */

static void fail(const job *j, validate_cell *cell, const char *mismatch) {
    const validate_options *o = j->s->options;
    validate_failure f = { .cell = cell };
    char shape[100];
    cli_shape_sizes(j->shape, shape, sizeof shape);
    cell->failed++;
    validate_append(f.label, sizeof f.label, "matmul-%s-%s", cell->kernel, shape);
    validate_append(f.repro, sizeof f.repro, "qmm validate --device %s --kernel %s --seed %" PRIu64 " --shapes %s%s",
                    o->device, cell->kernel, o->seed, shape, j->shapes->arguments);
    if (j->repeating) validate_append(f.repro, sizeof f.repro, " --mode %s", validate_mode_name(o->mode));
    if (o->repeat > 0) validate_append(f.repro, sizeof f.repro, " --repeat %" PRId64, o->repeat);
    if (!j->repeating && o->exact_limit != CLI_EXACT_LIMIT)
        validate_append(f.repro, sizeof f.repro, " --exact-limit %.0f", o->exact_limit);
    validate_append(f.description, sizeof f.description, "%s", j->description);
    validate_append(f.mismatch, sizeof f.mismatch, "%s", mismatch);
    validate_report_failure(j->s, &f);
    if (o->save && j->s->failure_count <= VALIDATE_FAILURES_KEPT) save(j, &f);
}

static void report(job *j, const validate_cell *cell, const char *status, const char *check, const char *why) {
    char line[VALIDATE_TEXT + 200] = "";
    j->status = status;
    j->check = check;
    validate_append(line, sizeof line, "%s: %s%s", j->description, check, why);
    validate_report_line(j->s, cell, status, line);
}

static void refuse(job *j, validate_cell *cell, const char *why) {
    if (validate_distrusts(j->s, cell, why)) {
        fail(j, cell, "it failed its known-answer test on this device");
        report(j, cell, "FAILED", "", "");
        return;
    }
    report(j, cell, "REFUSED", "", validate_count_refusal(cell, why));
}

static void settle(job *j, validate_cell *cell, const char *mismatch, const char *check) {
    const bool little = !mismatch[0] && proves_little(j);
    if (mismatch[0])
        fail(j, cell, mismatch);
    else if (little)
        cell->mistrusted++;
    else
        cell->passed++;
    report(j, cell, mismatch[0] ? "FAILED" : little ? "MISTRUSTED" : "PASSED", check, "");
}

/* A call that is no use here: the row does not take it, a rule forbids it, or memory is short. */
static bool is_refusal(qmm_status status) {
    return status == QMM_UNSUPPORTED || status == QMM_INVALID_ARGUMENT || status == QMM_OUT_OF_MEMORY;
}

/* One run; false: refused. Anything wrong with the call itself is in the mismatch. */
static bool run_once(const job *j, const side *x, bool own_workspace, char *mismatch, size_t bytes) {
    const qmm_status status = run(j, x, multiply_of(j), own_workspace, mismatch, bytes);
    if (status == QMM_OK || mismatch[0]) return true;
    if (is_refusal(status) && is_poison(j->c.after, j->c.bytes)) return false;
    validate_append(mismatch, bytes, "%s%s: %s", is_refusal(status) ? "c was written by a call that failed: " : "",
                    qmm_status_name(status), cli_why(x->context, status));
    for (char *p = mismatch; *p; p++)
        if (*p == '\n') *p = ';';
    return true;
}

/* ---- correctness ------------------------------------------------------------------------------------------------- */

static bool is_reference(const validate_cell *cell) {
    const char *end = strrchr(cell->kernel, ':');
    return end && strcmp(end, ":reference") == 0;
}

static void check(job *j, validate_cell *cell) {
    const validate_options *o = j->s->options;
    const bool exact = j->exact && strcmp(cell->kernel, "cpu:matmul:reference") != 0;
    const int64_t runs = validate_runs(o);
    char mismatch[VALIDATE_TEXT] = "";
    if (!j->exact && is_reference(cell) && !o->kernel) {
        refuse(j, cell, "beyond --exact-limit the specification takes too long: --kernel runs it all the same");
        return;
    }
    for (int64_t n = 1; n <= runs && !mismatch[0]; n++) {
        char text[VALIDATE_TEXT] = "";
        if (validate_force(j->first.context, cell) != QMM_OK ||
            !run_once(j, &j->first, false, text, sizeof text)) {
            refuse(j, cell, qmm_context_error(j->first.context));
            return;
        }
        if (!text[0] && exact) validate_tensor_holds(&j->c, text, sizeof text);
        if (!text[0] && !exact) freivalds_holds(j, text, sizeof text);
        if (text[0] && runs > 1)
            validate_append(mismatch, sizeof mismatch, "run %" PRId64 " of %" PRId64 ": ", n, runs);
        validate_append(mismatch, sizeof mismatch, "%s", text);
    }
    cell->exact += exact;
    cell->freivalds += !exact;
    settle(j, cell, mismatch, exact ? "exact" : "freivalds");
}

/* The reference's result becomes what is wanted. */
static bool make_want(job *j, char *why, size_t bytes) {
    char complaint[VALIDATE_TEXT] = "";
    side x;
    qmm_status status;
    if (!create_side(j, j->s->reference, false, &x, why, bytes)) return false;
    qmm_kernel_force(x.context, "cpu:matmul:reference");
    status = run(j, &x, qmm_matmul, false, complaint, sizeof complaint);
    if (status != QMM_OK) validate_append(why, bytes, "%s", cli_why(x.context, status));
    memcpy(j->c.want, j->c.after, j->c.bytes);
    j->known = status == QMM_OK;
    free_side(&x);
    return j->known;
}

/* ---- determinism ------------------------------------------------------------------------------------------------- */

static bool same_bytes(const job *j, char *text, size_t bytes) {
    if (memcmp(j->c.want, j->c.after, j->c.bytes) == 0) return true;
    validate_append(text, bytes, "other bytes: ");
    if (validate_tensor_holds(&j->c, text + strlen(text), bytes - strlen(text)))
        validate_append(text, bytes, "c: NaNs of other bits");
    return false;
}

static void check_repetition(job *j, validate_cell *cell) {
    const int64_t runs = validate_runs(j->s->options);
    char mismatch[VALIDATE_TEXT] = "";
    bool forced = validate_force(j->first.context, cell) == QMM_OK;
    forced = forced && validate_force(j->second.context, cell) == QMM_OK;
    for (int64_t n = 0; n < runs && !mismatch[0]; n++) {
        const side *x = n % 2 ? &j->second : &j->first;
        const bool own_workspace = n / 2 % 2;
        char text[VALIDATE_TEXT] = "";
        if (!forced || !run_once(j, x, own_workspace, text, sizeof text)) {
            refuse(j, cell, qmm_context_error(x->context));
            return;
        }
        if (!j->known) memcpy(j->c.want, j->c.after, j->c.bytes);
        j->known = true;
        if (text[0] || !same_bytes(j, text, sizeof text))
            validate_append(mismatch, sizeof mismatch, "run %" PRId64 " of %" PRId64 "%s%s: %s", n + 1, runs,
                            x == &j->second ? ", on a second context" : "",
                            own_workspace ? ", in a workspace of its own" : "", text);
    }
    settle(j, cell, mismatch, "repeated");
}

/* ---- a shape ----------------------------------------------------------------------------------------------------- */

static void describe(job *j) {
    char shape[100];
    cli_shape_sizes(j->shape, shape, sizeof shape);
    validate_append(j->description, sizeof j->description, "%s%s%s, ", j->shape->name, j->shape->name[0] ? " " : "",
                    shape);
    cli_call_describe(&j->shapes->call, j->description + strlen(j->description),
                      sizeof j->description - strlen(j->description));
}

/* C as bytes: a guard, its elements, a guard. */
static bool lay_out_result(job *j, char *why, size_t bytes) {
    const cli_shape *h = j->shape;
    const qmm_type type = j->shapes->call.c;
    size_t elements;
    if (qmm_matrix_bytes(type, h->m, h->n, h->batch, &elements) != QMM_OK) {
        validate_append(why, bytes, "C has more bytes than there are addresses");
        return false;
    }
    j->c = (validate_tensor){ .name = "c", .output = true, .type = type, .rows = h->m, .cols = h->n, .row_stride = h->n,
                              .batch = h->batch, .batch_stride = h->m * h->n, .offset = GUARD,
                              .bytes = elements + 2 * GUARD };
    j->c.want = malloc(2 * j->c.bytes);
    if (!j->c.want) validate_append(why, bytes, "the host has no memory for C");
    j->c.after = j->c.want ? j->c.want + j->c.bytes : NULL;
    return j->c.want != NULL;
}

/* False: why this shape cannot be run. */
static bool prepare(job *j, char *why, size_t bytes) {
    if (!fits(j, why, bytes) || !lay_out_result(j, why, bytes)) return false;
    if (!create_side(j, j->s->context, j->shapes->call.packed, &j->first, why, bytes)) return false;
    if (j->repeating) return create_side(j, j->s->second, j->shapes->call.packed, &j->second, why, bytes);
    return !j->exact || make_want(j, why, bytes);
}

static void check_cell(job *j, bool ready, const char *why, validate_cell *cell) {
    if (!ready)
        refuse(j, cell, why);
    else if (j->repeating)
        check_repetition(j, cell);
    else
        check(j, cell);
}

static void keep_result(validate_session *s, const job *j, const validate_cell *cell, double seconds) {
    validate_shape_result *all = realloc(s->shape_results, (size_t)(s->shape_result_count + 1) * sizeof *all);
    if (!all) return;
    s->shape_results = all;
    all[s->shape_result_count++] = (validate_shape_result){ j->shape, cell, j->status, j->check, seconds };
}

static void check_shape(validate_session *s, const cli_shape *shape, int64_t total) {
    const validate_options *o = s->options;
    job j = { .s = s, .shapes = o->shapes, .shape = shape };
    char why[VALIDATE_TEXT] = "";
    bool ready;
    j.repeating = o->mode == VALIDATE_BITWISE || o->mode == VALIDATE_DETERMINISM;
    j.exact = !j.repeating && cli_shape_operations(shape) <= o->exact_limit;
    describe(&j);
    ready = prepare(&j, why, sizeof why);
    for (int n = 0; n < s->cell_count && !validate_is_over(s); n++) {
        const double begin = cli_now();
        double seconds;
        check_cell(&j, ready, why, &s->cells[n]);
        seconds = cli_now() - begin;
        s->cells[n].seconds += seconds;
        keep_result(s, &j, &s->cells[n], seconds);
        s->cases_done++;
        validate_show_progress(s, total);
    }
    free_side(&j.first);
    free_side(&j.second);
    free(j.c.want);
}

void validate_check_shapes(validate_session *s) {
    const cli_shapes *list = &s->options->shapes->list;
    const int64_t total = (int64_t)list->count * s->cell_count;
    s->bar.title = "shapes";
    for (int n = 0; n < list->count && !validate_is_over(s); n++) check_shape(s, &list->items[n], total);
    s->cut_short = s->cases_done < total;
}
