#include <stdio.h>
#include <qmm/qmm.h>

int main(void) {
    const float x[2][4] = { { 0.1f, -0.7f, 1.5f, 0.3f }, { 2.0f, 0.4f, -1.1f, 0.9f } }; /* two tokens */
    const int8_t w[4][3] = { { 12, -7, 127 }, { 90, 3, -55 }, { -128, 64, 8 }, { 31, -31, 70 } };
    const float w_scale[3] = { 0.010f, 0.020f, 0.015f }; /* one per output channel */
    float y[2][3];
    qmm_context *ctx;
    qmm_buffer *m; /* one buffer for everything: x 0, codes 64, scales 128, w 192, scales of w 256, y 320 */
    if (qmm_context_open("auto", NULL, &ctx) != QMM_OK || qmm_buffer_create(ctx, 512, &m) != QMM_OK) return 1;
    qmm_tensor tx = qmm_matrix(m, QMM_F32, 2, 4), tq = qmm_matrix(m, QMM_S8, 2, 4), ts = qmm_matrix(m, QMM_F32, 2, 1);
    qmm_tensor tw = qmm_matrix(m, QMM_S8, 4, 3), tws = qmm_matrix(m, QMM_F32, 1, 3), ty = qmm_matrix(m, QMM_F32, 2, 3);
    tq.offset = 64, ts.offset = 128, tw.offset = 192, tws.offset = 256, ty.offset = 320;
    qmm_quant per_token = QMM_QUANT_INIT, per_channel = QMM_QUANT_INIT;
    per_token.granularity = QMM_PER_ROW, per_token.scale = &ts;
    per_channel.granularity = QMM_PER_COLUMN, per_channel.scale = &tws;
    qmm_matmul_desc desc = QMM_MATMUL_DESC_INIT;
    desc.quant_a = &per_token, desc.quant_b = &per_channel, desc.activation = QMM_ACTIVATION_RELU;
    if (qmm_buffer_upload(ctx, m, 0, x, sizeof x) || qmm_buffer_upload(ctx, m, 192, w, sizeof w) ||
        qmm_buffer_upload(ctx, m, 256, w_scale, sizeof w_scale) || qmm_quantize_dynamic(ctx, &tx, &per_token, &tq) ||
        qmm_matmul(ctx, &desc, &tq, &tw, &ty) || qmm_buffer_download(ctx, m, 320, y, sizeof y))
        printf("%s\n", qmm_context_error(ctx));
    for (int i = 0; i < 2; i++) printf("%9.5f %9.5f %9.5f\n", y[i][0], y[i][1], y[i][2]);
    qmm_context_close(ctx);
    return 0;
}
