#include <stdio.h>
#include <qmm/qmm.h>

/* A rows x cols tensor in a buffer of its own, filled with `values` unless that is NULL. Nonzero: it failed. */
static int make(qmm_context *ctx, qmm_tensor *tensor, qmm_type type, int64_t rows, int64_t cols, const void *values) {
    size_t bytes;
    qmm_buffer *buffer;
    if (qmm_matrix_bytes(type, rows, cols, 1, &bytes) || qmm_buffer_create(ctx, bytes, &buffer)) return 1;
    *tensor = qmm_matrix(buffer, type, rows, cols);
    return values && qmm_buffer_upload(ctx, buffer, 0, values, bytes);
}

int main(void) {
    const float tokens[2][4] = { { 0.1f, -0.7f, 1.5f, 0.3f }, { 2.0f, 0.4f, -1.1f, 0.9f } };
    const int8_t weights[4][3] = { { 12, -7, 127 }, { 90, 3, -55 }, { -128, 64, 8 }, { 31, -31, 70 } };
    const float weight_scales[3] = { 0.010f, 0.020f, 0.015f }; /* one per output channel */
    float result[2][3];
    qmm_context *ctx;
    qmm_tensor x, x_codes, x_scale, w, w_scale, y;
    qmm_quant per_token = QMM_QUANT_INIT, per_channel = QMM_QUANT_INIT;
    qmm_matmul_desc desc = QMM_MATMUL_DESC_INIT;
    per_token.granularity = QMM_PER_ROW;
    per_token.scale = &x_scale; /* qmm_quantize_dynamic writes it, qmm_matmul reads it */
    per_channel.granularity = QMM_PER_COLUMN;
    per_channel.scale = &w_scale;
    desc.quant_a = &per_token;
    desc.quant_b = &per_channel;
    desc.activation = QMM_ACTIVATION_RELU;

    const qmm_status opened = qmm_context_open("auto", NULL, &ctx);
    if (opened != QMM_OK) {
        fprintf(stderr, "no device: %s\n", qmm_status_name(opened));
        return 1;
    }
    const int failed = make(ctx, &x, QMM_F32, 2, 4, tokens) ||
                       make(ctx, &x_codes, QMM_S8, 2, 4, NULL) ||
                       make(ctx, &x_scale, QMM_F32, 2, 1, NULL) ||
                       make(ctx, &w, QMM_S8, 4, 3, weights) ||
                       make(ctx, &w_scale, QMM_F32, 1, 3, weight_scales) ||
                       make(ctx, &y, QMM_F32, 2, 3, NULL) ||
                       qmm_quantize_dynamic(ctx, &x, &per_token, &x_codes) ||
                       qmm_matmul(ctx, &desc, &x_codes, &w, &y) ||
                       qmm_buffer_download(ctx, y.buffer, 0, result, sizeof result);
    if (failed) fprintf(stderr, "%s\n", qmm_context_error(ctx));
    for (int i = 0; i < 2 && !failed; i++) printf("%9.5f %9.5f %9.5f\n", result[i][0], result[i][1], result[i][2]);
    qmm_context_close(ctx); /* frees the buffers too */
    return failed;
}
