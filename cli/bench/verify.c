/* SPDX-License-Identifier: Apache-2.0 */
#include "verify.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "device.h"
#include "plan.h"

void bench_verifier_open(bench_verifier *v, uint64_t seed) {
    *v = (bench_verifier){ .limit = BENCH_EXACT_LIMIT, .seed = seed };
}

void bench_verifier_next(bench_verifier *v) {
    cli_operands_free(&v->expected);
}

void bench_verifier_close(bench_verifier *v) {
    bench_verifier_next(v);
    qmm_context_close(v->cpu);
    v->cpu = NULL;
}

static const char *failed(const char *reason, char *text, size_t bytes) {
    snprintf(text, bytes, "%s", reason);
    return NULL;
}

/* ---- bit for bit ------------------------------------------------------------------------------------------------- */

/* The same call on the same operands, on the rows that are the specification. */
static qmm_status compute_expected(bench_verifier *v, const cli_operands *operands) {
    cli_call call = operands->call;
    qmm_status status = QMM_OK;
    if (v->expected.copies > 0) return QMM_OK;
    if (!v->cpu) status = qmm_context_open("cpu", NULL, &v->cpu);
    call.packed = false; /* the fill of B is the same */
    if (status == QMM_OK) status = qmm_kernel_force(v->cpu, "cpu:matmul:reference");
    if (status == QMM_OK) status = cli_operands_create(v->cpu, &call, &operands->shape, 1, v->seed, &v->expected);
    if (status == QMM_OK) status = cli_operands_run(&v->expected, 0);
    return status;
}

/* c, from the device that is measured, as a tensor of the cpu; on which context a failure is told. */
static qmm_status fetch(bench_verifier *v, qmm_context *from, const qmm_tensor *c, qmm_tensor *got,
                        const qmm_context **told) {
    const size_t bytes = qmm_buffer_bytes(c->buffer);
    qmm_status status;
    *got = *c;
    *told = v->cpu;
    status = qmm_buffer_create(v->cpu, bytes, &got->buffer);
    if (status != QMM_OK) return status;
    *told = from;
    return qmm_buffer_download(from, c->buffer, 0, qmm_buffer_native(got->buffer), bytes);
}

static const char *compare(bench_verifier *v, const cli_operands *operands, char *text, size_t bytes) {
    const qmm_tensor *c = cli_operands_at(operands, 0).c;
    qmm_compare_result result = QMM_COMPARE_RESULT_INIT;
    qmm_tensor got = { .buffer = NULL };
    qmm_status status = compute_expected(v, operands);
    const qmm_context *told = v->cpu;
    if (!told) return failed("the cpu device does not open", text, bytes);
    if (status == QMM_OK) status = fetch(v, operands->context, c, &got, &told);
    if (status == QMM_OK) {
        told = v->cpu;
        status = qmm_compare(v->cpu, cli_operands_at(&v->expected, 0).c, &got, &result);
    }
    qmm_buffer_free(got.buffer);
    if (status != QMM_OK) return failed(bench_why(told, status), text, bytes);
    if (result.mismatches == 0) return "exact";
    snprintf(text, bytes, "%" PRId64 " of %" PRId64 " elements differ, first (%" PRId64 ", %" PRId64 "): %g, not %g",
             result.mismatches, result.count, result.row, result.col, result.got, result.expected);
    return "wrong";
}

/* ---- Freivalds --------------------------------------------------------------------------------------------------- */

static const char *check(const bench_verifier *v, const cli_operands *operands, char *text, size_t bytes) {
    const cli_operands_call call = cli_operands_at(operands, 0);
    qmm_verify_options options = QMM_VERIFY_OPTIONS_INIT;
    qmm_verify_result result = QMM_VERIFY_RESULT_INIT;
    qmm_status status;
    options.seed = v->seed;
    status = qmm_verify_matmul(operands->context, call.plain_desc, call.a, call.plain_b, call.c, &options, &result);
    if (status == QMM_OK && result.passed) return "freivalds";
    if (status == QMM_INTERNAL) {
        snprintf(text, bytes, "%s", bench_why(operands->context, status));
        return "wrong";
    }
    if (status != QMM_OK) return failed(bench_why(operands->context, status), text, bytes);
    snprintf(text, bytes, "%" PRId64 " rows are wrong, the first is %" PRId64, result.wrong_rows, result.row);
    return "wrong";
}

const char *bench_verify(bench_verifier *v, const cli_operands *operands, char *text, size_t bytes) {
    return bench_matmul_operations(&operands->shape) <= v->limit ? compare(v, operands, text, bytes)
                                                                 : check(v, operands, text, bytes);
}
