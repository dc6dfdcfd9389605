/* SPDX-License-Identifier: Apache-2.0 */
#include "world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* ---- the world --------------------------------------------------------------------------------------------------- */

static void fill_inputs(world *w) {
    static const float scales[6] = { 0.5f, 0.25f, 1.0f, 2.0f, 0.125f, 0.0625f };
    static const int32_t zeros[6] = { 0, 1, -2, 3, -4, 127 };
    static const int32_t bias32[5] = { 1, -2, 3, -4, 5 };
    fill_random(w->in_copy, sizeof w->in_copy, 1);
    fill_reals(w->in_copy, QMM_F32, 48, 2);
    memcpy(w->in_copy + 768, scales, sizeof scales);
    memcpy(w->in_copy + 896, zeros, sizeof zeros);
    fill_reals(w->in_copy + 1024, QMM_F32, 5, 3);
    memcpy(w->in_copy + 1152, bias32, sizeof bias32);
    fill_reals(w->in_copy + 1280, QMM_F32, 30, 4);
}

static void set_tensors(world *w) {
    w->x = tensor_at(w->in, 0, QMM_F32, 6, 8, 8);
    w->codes = w->a = tensor_at(w->in, 256, QMM_S8, 6, 8, 8);
    w->b = tensor_at(w->in, 512, QMM_S8, 8, 5, 5);
    w->scales = tensor_at(w->in, 768, QMM_F32, 6, 1, 1);
    w->zeros = tensor_at(w->in, 896, QMM_S32, 6, 1, 1);
    w->bias = tensor_at(w->in, 1024, QMM_F32, 1, 5, 5);
    w->bias32 = tensor_at(w->in, 1152, QMM_S32, 1, 5, 5);
    w->residual = tensor_at(w->in, 1280, QMM_F32, 6, 5, 5);
    w->large_a = tensor_at(w->in, 8192, QMM_S8, 64, 64, 64);
    w->large_b = tensor_at(w->in, 16384, QMM_S8, 64, 64, 64);
    w->q = tensor_at(w->out, 0, QMM_S8, 6, 8, 8);
    w->real = tensor_at(w->out, 256, QMM_F32, 6, 8, 8);
    w->c = tensor_at(w->out, 512, QMM_S32, 6, 5, 5);
    w->c_real = tensor_at(w->out, 768, QMM_F32, 6, 5, 5);
    w->scales_out = tensor_at(w->out, 1024, QMM_F32, 6, 1, 1);
    w->zeros_out = tensor_at(w->out, 1152, QMM_S32, 6, 1, 1);
    w->c_codes = tensor_at(w->out, 1280, QMM_S8, 6, 5, 5);
    w->large_c = tensor_at(w->out, 16384, QMM_F16, 64, 64, 64);
}

static void set_quants(world *w) {
    const qmm_quant plain = QMM_QUANT_INIT;
    w->row_quant = w->row_quant_out = w->large_quant = plain;
    w->row_quant.granularity = w->row_quant_out.granularity = QMM_PER_ROW;
    w->row_quant.scale = &w->scales;
    w->row_quant.zero = &w->zeros;
    w->row_quant_out.scale = &w->scales_out;
    w->row_quant_out.zero = &w->zeros_out;
    w->large_quant.scale_value = 0.5f;
    w->large_quant.zero_value = 3;
}

void world_open(world *w, const qmm_context_options *options) {
    memset(w, 0, sizeof *w);
    fill_inputs(w);
    w->context = open_device(options);
    trust_all(w->context);
    w->in = make_buffer(w->context, w->in_copy, WORLD_BYTES);
    w->out = make_buffer(w->context, NULL, WORLD_BYTES);
    w->scratch = make_buffer(w->context, NULL, SCRATCH_BYTES);
    set_tensors(w);
    set_quants(w);
    assert_int_equal(qmm_weights_create(w->context, &w->b, NULL, &w->weights), QMM_OK);
    assert_int_equal(qmm_calibrator_create(w->context, NULL, &w->calibrator), QMM_OK);
    assert_int_equal(qmm_timer_create(w->context, &w->timer), QMM_OK);
    assert_int_equal(qmm_timer_start(w->timer), QMM_OK);
    assert_int_equal(qmm_timer_stop(w->timer), QMM_OK);
    world_poison(w);
    assert_int_equal(qmm_context_synchronize(w->context), QMM_OK); /* other contexts may use it at once */
}

void world_close(world *w) {
    qmm_context_close(w->context);
    w->context = NULL;
}

static void poison_results(host_results *r) {
    const qmm_device_info device = QMM_DEVICE_INFO_INIT;
    const qmm_error_measure measure = QMM_ERROR_MEASURE_INIT;
    const qmm_verify_result verified = QMM_VERIFY_RESULT_INIT;
    const qmm_compare_result compared = QMM_COMPARE_RESULT_INIT;
    const qmm_matmul_plan_info plan = QMM_MATMUL_PLAN_INFO_INIT;
    memset(r, 0x5a, sizeof *r);
    r->device.struct_size = device.struct_size;
    r->measure.struct_size = measure.struct_size;
    r->verified.struct_size = verified.struct_size;
    r->compared.struct_size = compared.struct_size;
    r->plan.struct_size = plan.struct_size;
}

void world_read(const world *w, const qmm_buffer *buffer, size_t offset, void *target, size_t bytes) {
    if (on_cpu()) /* a failed context could not be asked to */
        memcpy(target, (const char *)qmm_buffer_native(buffer) + offset, bytes);
    else
        assert_int_equal(qmm_buffer_download(w->context, buffer, offset, target, bytes), QMM_OK);
}

void world_poison(world *w) {
    if (on_cpu())
        memset(qmm_buffer_native(w->out), 0x5a, WORLD_BYTES);
    else
        assert_int_equal(qmm_buffer_fill(w->context, w->out, 0, 0x5a, WORLD_BYTES), QMM_OK);
    poison_results(&w->results);
}

bool world_unharmed(const world *w) {
    static unsigned char in[WORLD_BYTES], out[WORLD_BYTES];
    host_results poisoned;
    bool same;
    size_t at = 0;
    world_read(w, w->in, 0, in, WORLD_BYTES);
    world_read(w, w->out, 0, out, WORLD_BYTES);
    same = expect_bytes(in, w->in_copy, WORLD_BYTES, "the inputs");
    poison_results(&poisoned);
    same = expect_bytes(&w->results, &poisoned, sizeof poisoned, "the host's results") && same;
    while (at < WORLD_BYTES && out[at] == 0x5a) at++;
    return expect(at == WORLD_BYTES, "byte %zu of the outputs was written", at) && same;
}

bool world_works(world *w) {
    const signed char *a = (const signed char *)w->in_copy + w->a.offset;
    const signed char *b = (const signed char *)w->in_copy + w->b.offset;
    int32_t wanted[30], got[30];
    bool right;
    for (int i = 0; i < 6; i++) {
        for (int j = 0; j < 5; j++) {
            wanted[i * 5 + j] = 0;
            for (int k = 0; k < 8; k++) wanted[i * 5 + j] += a[i * 8 + k] * b[k * 5 + j];
        }
    }
    right = expect_ok(w->context, qmm_matmul(w->context, NULL, &w->a, &w->b, &w->c), "a good matmul");
    if (right) world_read(w, w->out, w->c.offset, got, sizeof got);
    right = right && expect_bytes(got, wanted, sizeof wanted, "a good matmul");
    world_poison(w);
    return right;
}

/* ---- every function ---------------------------------------------------------------------------------------------- */

static qmm_status get_device_info(world *w, qmm_context *context) {
    return qmm_context_get_device_info(context, &w->results.device);
}

static qmm_status synchronize(world *w, qmm_context *context) {
    (void)w;
    return qmm_context_synchronize(context);
}

static qmm_status prepare(world *w, qmm_context *context) {
    (void)w;
    return qmm_context_prepare(context);
}

static qmm_status reserve_workspace(world *w, qmm_context *context) {
    (void)w;
    return qmm_context_reserve_workspace(context, 40000);
}

static qmm_status buffer_create(world *w, qmm_context *context) {
    qmm_buffer *buffer = NULL;
    const qmm_status status = qmm_buffer_create(context, 1000, &buffer);
    (void)w;
    expect((status == QMM_OK) == (buffer != NULL), "qmm_buffer_create: a handle and a status that disagree");
    qmm_buffer_free(buffer);
    return status;
}

static qmm_status buffer_wrap(world *w, qmm_context *context) {
    qmm_buffer *buffer = NULL;
    const qmm_status status = qmm_buffer_wrap(context, qmm_buffer_native(w->in), WORLD_BYTES, &buffer);
    expect((status == QMM_OK) == (buffer != NULL), "qmm_buffer_wrap: a handle and a status that disagree");
    qmm_buffer_free(buffer);
    return status;
}

static qmm_status buffer_upload(world *w, qmm_context *context) {
    return qmm_buffer_upload(context, w->out, 4096, w->in_copy, 64);
}

static qmm_status buffer_download(world *w, qmm_context *context) {
    return qmm_buffer_download(context, w->in, 64, w->results.copied, 64);
}

static qmm_status buffer_copy(world *w, qmm_context *context) {
    return qmm_buffer_copy(context, w->out, 4160, w->in, 128, 64);
}

static qmm_status buffer_fill(world *w, qmm_context *context) {
    return qmm_buffer_fill(context, w->out, 4224, 7, 64);
}

static qmm_status buffer_upload_async(world *w, qmm_context *context) {
    return qmm_buffer_upload_async(context, w->out, 4288, w->in_copy, 64);
}

static qmm_status buffer_download_async(world *w, qmm_context *context) {
    return qmm_buffer_download_async(context, w->in, 64, w->results.copied, 64);
}

static qmm_status quantize(world *w, qmm_context *context) {
    return qmm_quantize(context, &w->x, &w->row_quant, &w->q);
}

static qmm_status quantize_dynamic(world *w, qmm_context *context) {
    return qmm_quantize_dynamic(context, &w->x, &w->row_quant_out, &w->q);
}

static qmm_status dequantize(world *w, qmm_context *context) {
    return qmm_dequantize(context, &w->codes, &w->row_quant, &w->real);
}

static qmm_status requantize(world *w, qmm_context *context) {
    return qmm_requantize(context, &w->codes, &w->row_quant, &w->q, &w->large_quant);
}

static qmm_status find_range(world *w, qmm_context *context) {
    return qmm_find_range(context, &w->x, NULL, &w->results.min, &w->results.max);
}

static qmm_status calibrator_create(world *w, qmm_context *context) {
    qmm_calibrator *calibrator = NULL;
    const qmm_status status = qmm_calibrator_create(context, NULL, &calibrator);
    (void)w;
    expect((status == QMM_OK) == (calibrator != NULL), "qmm_calibrator_create: a handle and a status that disagree");
    qmm_calibrator_free(calibrator);
    return status;
}

static qmm_status calibrator_observe(world *w, qmm_context *context) {
    (void)context;
    return qmm_calibrator_observe(w->calibrator, &w->x);
}

static qmm_status calibrator_range(world *w, qmm_context *context) {
    (void)context;
    return qmm_calibrator_range(w->calibrator, &w->results.min, &w->results.max);
}

static qmm_status measure_error(world *w, qmm_context *context) {
    return qmm_measure_error(context, &w->x, &w->x, &w->results.measure);
}

static qmm_status matmul(world *w, qmm_context *context) {
    return qmm_matmul(context, NULL, &w->a, &w->b, &w->c);
}

static qmm_matmul_desc large_desc(const world *w) {
    qmm_matmul_desc desc = QMM_MATMUL_DESC_INIT;
    desc.quant_a = &w->large_quant;
    return desc;
}

static qmm_status matmul_large(world *w, qmm_context *context) {
    const qmm_matmul_desc desc = large_desc(w);
    return qmm_matmul(context, &desc, &w->large_a, &w->large_b, &w->large_c);
}

static qmm_status matmul_packed(world *w, qmm_context *context) {
    qmm_matmul_desc desc = QMM_MATMUL_DESC_INIT;
    desc.weights = w->weights;
    desc.quant_a = &w->row_quant;
    desc.activation = QMM_ACTIVATION_GELU;
    return qmm_matmul(context, &desc, &w->a, NULL, &w->c_codes);
}

static qmm_status matmul_own_workspace(world *w, qmm_context *context) {
    qmm_matmul_desc desc = large_desc(w);
    desc.workspace = w->scratch;
    desc.workspace_bytes = SCRATCH_BYTES;
    return qmm_matmul(context, &desc, &w->large_a, &w->large_b, &w->large_c);
}

static qmm_status matmul_workspace(world *w, qmm_context *context) {
    const qmm_matmul_desc desc = large_desc(w);
    return qmm_matmul_workspace(context, &desc, &w->large_a, &w->large_b, &w->large_c, &w->results.bytes);
}

static qmm_status weights_bytes(world *w, qmm_context *context) {
    return qmm_weights_bytes(context, &w->b, NULL, &w->results.bytes);
}

static qmm_status weights_create(world *w, qmm_context *context) {
    qmm_weights *weights = NULL;
    const qmm_status status = qmm_weights_create(context, &w->large_b, NULL, &weights);
    expect((status == QMM_OK) == (weights != NULL), "qmm_weights_create: a handle and a status that disagree");
    qmm_weights_free(weights);
    return status;
}

static qmm_status kernel_force(world *w, qmm_context *context) {
    (void)w;
    return qmm_kernel_force(context, NULL);
}

static void ignore_row(void *user, const char *kernel, const char *reason) {
    (void)user, (void)kernel, (void)reason;
}

static qmm_status matmul_explain(world *w, qmm_context *context) {
    const qmm_matmul_desc desc = large_desc(w);
    return qmm_matmul_explain(context, &desc, &w->large_a, &w->large_b, &w->large_c, ignore_row, NULL);
}

static qmm_status matmul_plan(world *w, qmm_context *context) {
    const qmm_matmul_desc desc = large_desc(w);
    return qmm_matmul_plan(context, &desc, &w->large_a, &w->large_b, &w->large_c, &w->results.plan);
}

static qmm_status timer_create(world *w, qmm_context *context) {
    qmm_timer *timer = NULL;
    const qmm_status status = qmm_timer_create(context, &timer);
    (void)w;
    expect((status == QMM_OK) == (timer != NULL), "qmm_timer_create: a handle and a status that disagree");
    qmm_timer_free(timer);
    return status;
}

static qmm_status timer_start(world *w, qmm_context *context) {
    (void)context;
    return qmm_timer_start(w->timer);
}

static qmm_status timer_stop(world *w, qmm_context *context) {
    (void)context;
    return qmm_timer_stop(w->timer);
}

/* Another number each time: it is no result of the world. */
static qmm_status timer_seconds(world *w, qmm_context *context) {
    double seconds;
    (void)context;
    return qmm_timer_seconds(w->timer, &seconds);
}

/* The output's poison is no product: the result says so, and that is no error. */
static qmm_status verify_matmul(world *w, qmm_context *context) {
    return qmm_verify_matmul(context, NULL, &w->a, &w->b, &w->c, NULL, &w->results.verified);
}

static qmm_status verify_large(world *w, qmm_context *context) {
    const qmm_matmul_desc desc = large_desc(w);
    return qmm_verify_matmul(context, &desc, &w->large_a, &w->large_b, &w->large_c, NULL, &w->results.verified);
}

static qmm_status compare(world *w, qmm_context *context) {
    return qmm_compare(context, &w->codes, &w->q, &w->results.compared);
}

static qmm_status tune_matmul(world *w, qmm_context *context) {
    return qmm_tune_matmul(context, NULL, &w->a, &w->b, &w->c, NULL, NULL, NULL);
}

static qmm_status tuning_save(world *w, qmm_context *context) {
    (void)w;
    return qmm_tuning_save(context, "nosuchfolder/tuned");
}

static qmm_status tuning_load(world *w, qmm_context *context) {
    (void)w;
    return qmm_tuning_load(context, "nosuchfolder/tuned");
}

const entry entries[] = {
    { "qmm_context_get_device_info", get_device_info, HOT },
    { "qmm_context_synchronize", synchronize, HOT | NO_OUTPUT },
    { "qmm_context_prepare", prepare, HOT | NO_OUTPUT },
    { "qmm_context_reserve_workspace", reserve_workspace, HOT | NO_OUTPUT },
    { "qmm_buffer_create", buffer_create, NO_OUTPUT },
    { "qmm_buffer_wrap", buffer_wrap, NO_OUTPUT },
    { "qmm_buffer_upload", buffer_upload, HOT },
    { "qmm_buffer_download", buffer_download, HOT },
    { "qmm_buffer_copy", buffer_copy, HOT },
    { "qmm_buffer_fill", buffer_fill, HOT },
    { "qmm_buffer_upload_async", buffer_upload_async, HOT },
    { "qmm_buffer_download_async", buffer_download_async, HOT },
    { "qmm_quantize", quantize, HOT },
    { "qmm_quantize_dynamic", quantize_dynamic, HOT },
    { "qmm_dequantize", dequantize, HOT },
    { "qmm_requantize", requantize, HOT },
    { "qmm_find_range", find_range, 0 },
    { "qmm_calibrator_create", calibrator_create, NO_OUTPUT },
    { "qmm_calibrator_observe", calibrator_observe, HOT | BY_HANDLE | NO_OUTPUT },
    { "qmm_calibrator_range", calibrator_range, HOT | BY_HANDLE },
    { "qmm_measure_error", measure_error, 0 },
    { "qmm_matmul", matmul, HOT },
    { "qmm_matmul", matmul_large, HOT },
    { "qmm_matmul", matmul_packed, HOT },
    { "qmm_matmul", matmul_own_workspace, HOT },
    { "qmm_matmul_workspace", matmul_workspace, HOT },
    { "qmm_weights_bytes", weights_bytes, HOT },
    { "qmm_weights_create", weights_create, NO_OUTPUT },
    { "qmm_kernel_force", kernel_force, HOT | NO_OUTPUT },
    { "qmm_matmul_explain", matmul_explain, HOT | NO_OUTPUT },
    { "qmm_matmul_plan", matmul_plan, HOT },
    { "qmm_verify_matmul", verify_matmul, 0 },
    { "qmm_verify_matmul", verify_large, 0 },
    { "qmm_compare", compare, HOT },
    { "qmm_timer_create", timer_create, NO_OUTPUT },
    { "qmm_timer_seconds", timer_seconds, HOT | BY_HANDLE | NO_OUTPUT },
    { "qmm_timer_stop", timer_stop, HOT | BY_HANDLE | NO_OUTPUT },
    { "qmm_timer_start", timer_start, HOT | BY_HANDLE | NO_OUTPUT },
};
const size_t entry_count = COUNT_OF(entries);

const entry tuning_entries[TUNING_ENTRIES] = {
    { "qmm_tune_matmul", tune_matmul, 0 },
    { "qmm_tuning_save", tuning_save, NO_OUTPUT },
    { "qmm_tuning_load", tuning_load, NO_OUTPUT },
};

void world_run(world *w, const entry *e, outcome *o) {
    world_poison(w);
    expect_ok(w->context, e->call(w, w->context), e->name);
    expect_ok(w->context, qmm_context_synchronize(w->context), e->name);
    world_read(w, w->out, 0, o->out, WORLD_BYTES);
    o->results = w->results;
}

void world_expect_same(const entry *e, const outcome *got, const outcome *right) {
    expect_bytes(got->out, right->out, WORLD_BYTES, e->name);
    expect_bytes(&got->results, &right->results, sizeof got->results, e->name);
}

int world_fail_allocations(world *w, const entry *e, watch *a) {
    enum { ALLOCATIONS_MAX = 400 };
    static outcome right, after;
    world_run(w, e, &right);
    for (int n = 1; n < ALLOCATIONS_MAX; n++) {
        qmm_status status;
        world_poison(w);
        a->fail_at = a->calls + n;
        status = e->call(w, w->context);
        a->fail_at = 0;
        if (status == QMM_OK) return n - 1;
        expect_error(w->context, status, QMM_OUT_OF_MEMORY, NULL);
        world_run(w, e, &after);
        world_expect_same(e, &after, &right);
    }
    expect(false, "%s never succeeds", e->name);
    return ALLOCATIONS_MAX;
}
