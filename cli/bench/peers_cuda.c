/* SPDX-License-Identifier: Apache-2.0
 *
 * cuBLASLt as a peer of CUDA devices: int8, int8 and what it leaves to do, and f16. */
#include <stdlib.h>
#include <string.h>

#include "cuda_cublaslt.h"
#include "peers.h"

typedef struct cublas_state {
    bench_cublaslt *library;
    qmm_context *context;
    int64_t m, n, k;
    int copies;
    size_t a_step, b_step, c_step; /* bytes from a copy to the next */
    qmm_buffer *a, *b, *c;
    qmm_buffer *scale, *half; /* of the separate dequantization; NULL: there is none */
} cublas_state;

static unsigned char *at(const qmm_buffer *buffer, size_t offset) {
    return (unsigned char *)qmm_buffer_native(buffer) + offset;
}

static qmm_status dequantize(const cublas_state *s, size_t offset) {
    const qmm_tensor scale = qmm_matrix(s->scale, QMM_F32, s->m, 1);
    qmm_tensor q = qmm_matrix(s->c, QMM_S32, s->m, s->n), x = qmm_matrix(s->half, QMM_F16, s->m, s->n);
    qmm_quant quant = QMM_QUANT_INIT;
    quant.granularity = QMM_PER_ROW;
    quant.scale = &scale;
    q.offset = offset;
    return qmm_dequantize(s->context, &q, &quant, &x);
}

qmm_status bench_run_cublas(void *state, int turn) {
    const cublas_state *s = state;
    const size_t copy = (size_t)(turn % s->copies);
    const int result = bench_cublaslt_run(s->library, at(s->b, copy * s->b_step), at(s->a, copy * s->a_step),
                                          at(s->c, copy * s->c_step), qmm_context_native_queue(s->context));
    if (result != 0) return QMM_DEVICE_FAILED;
    return s->half ? dequantize(s, copy * s->c_step) : QMM_OK;
}

void bench_close_cublas(void *state) {
    cublas_state *s = state;
    bench_cublaslt_close(s->library);
    qmm_buffer_free(s->a), qmm_buffer_free(s->b), qmm_buffer_free(s->c);
    qmm_buffer_free(s->scale), qmm_buffer_free(s->half);
    free(s);
}

static qmm_status allocate(cublas_state *s, bool half, bool then_dequantize) {
    const size_t copies = (size_t)s->copies;
    const qmm_type type = half ? QMM_F16 : QMM_S8;
    qmm_status status = bench_device_random(s->context, type, s->a_step * copies, &s->a);
    if (status == QMM_OK) status = bench_device_random(s->context, type, s->b_step * copies, &s->b);
    if (status == QMM_OK) status = qmm_buffer_create(s->context, s->c_step * copies, &s->c);
    if (!then_dequantize) return status;
    if (status == QMM_OK) status = bench_device_random(s->context, QMM_F32, (size_t)s->m * 4, &s->scale);
    if (status == QMM_OK) status = qmm_buffer_create(s->context, (size_t)(s->m * s->n) * 2, &s->half);
    return status;
}

static bool fail(cublas_state *s, bench_peer_run *run, const char *reason) {
    snprintf(run->reason, sizeof run->reason, "%s", reason);
    bench_close_cublas(s);
    return false;
}

/* What is to be read and written, each once: a product between two steps is neither, since one step would do too. */
static double least_bytes(const cublas_state *s, bool half, bool then_dequantize) {
    const double inputs = (double)(s->m * s->k + s->n * s->k), outputs = (double)(s->m * s->n);
    if (half) return 2.0 * inputs + 2.0 * outputs;
    return then_dequantize ? inputs + 4.0 * (double)s->m + 2.0 * outputs : inputs + 4.0 * outputs;
}

static bool open_any(bench_session *session, const bench_case *c, bool half, bool then_dequantize,
                     bench_peer_run *run) {
    const qmm_buffer *const plug = session->device.rig.plug; /* filled before the runs, on the same stream */
    const cli_shape *shape = &c->shape;
    const size_t size = half ? 2 : 1, out_size = half ? 2 : 4;
    cublas_state *s = calloc(1, sizeof *s);
    const char *reason;
    qmm_status status;
    snprintf(run->reason, sizeof run->reason, "no host memory");
    if (!s) return false;
    *s = (cublas_state){ .context = session->device.context, .m = shape->m, .n = shape->n, .k = shape->k };
    s->a_step = bench_aligned((size_t)(s->m * s->k) * size), s->b_step = bench_aligned((size_t)(s->n * s->k) * size);
    s->c_step = bench_aligned((size_t)(s->m * s->n) * out_size);
    run->bytes = least_bytes(s, half, then_dequantize);
    run->operations = bench_matmul_operations(shape);
    run->other_peak = half;
    s->copies = bench_device_copies(&session->device, (double)(s->a_step + s->b_step + s->c_step));
    run->state = s;
    run->context = s->context;
    run->on_device = true;
    if (shape->batch != 1) return fail(s, run, "only one matrix is given to it, no batch");
    if (s->m * s->n * s->k == 0) return fail(s, run, "the shape is empty");
    s->library = bench_cublaslt_open(half, session->device.driver.version, qmm_buffer_native(plug),
                                     qmm_buffer_bytes(plug), run->reason, sizeof run->reason);
    if (!s->library) {
        free(s);
        return false;
    }
    if ((reason = bench_cublaslt_plan(s->library, s->n, s->m, s->k)) != NULL) return fail(s, run, reason);
    status = allocate(s, half, then_dequantize);
    return status == QMM_OK || fail(s, run, bench_why(s->context, status));
}

/* s4 weights stand beside s8 ones too, since it has no kernel for s4: what they save is the point. */
bool bench_open_cublaslt(bench_session *s, const bench_case *c, bench_peer_run *run) {
    snprintf(run->what, sizeof run->what, "s8 x s8 -> s32");
    return open_any(s, c, false, false, run);
}

bool bench_open_cublaslt_dequantize(bench_session *s, const bench_case *c, bench_peer_run *run) {
    snprintf(run->what, sizeof run->what, "s8 x s8 -> s32, then dequantize");
    return open_any(s, c, false, true, run);
}

bool bench_open_cublas_f16(bench_session *s, const bench_case *c, bench_peer_run *run) {
    snprintf(run->what, sizeof run->what, "f16 x f16 -> f16, by cuBLASLt");
    return open_any(s, c, true, false, run);
}
