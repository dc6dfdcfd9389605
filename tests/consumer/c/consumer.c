/* SPDX-License-Identifier: Apache-2.0
 *
 * A program of somebody else: a 2 x 3 by 3 x 2 int8 product on the CPU, with scales, in float.
 */
#include <qmm/qmm.h>

#include <stdio.h>
#include <string.h>

#define TRY(call)                                                                              \
    do {                                                                                       \
        if ((call) != QMM_OK) {                                                                \
            fprintf(stderr, "%s\n%s\n", #call, ctx ? qmm_context_error(ctx) : "no context");   \
            qmm_context_close(ctx);                                                            \
            return 1;                                                                          \
        }                                                                                      \
    } while (0)

int main(void) {
    static const int8_t a[6] = { 1, -2, 3, 127, -128, 0 };
    static const int8_t b[6] = { 4, -5, 6, 7, -128, 127 };
    static const float want[4] = { -392 * 0.125f, 362 * 0.125f, -260 * 0.125f, -1531 * 0.125f };
    float got[4] = { 0 };
    qmm_context *ctx = NULL;
    qmm_buffer *buffer_a, *buffer_b, *buffer_c;

    TRY(qmm_context_open("cpu", NULL, &ctx));
    TRY(qmm_buffer_create(ctx, sizeof a, &buffer_a));
    TRY(qmm_buffer_create(ctx, sizeof b, &buffer_b));
    TRY(qmm_buffer_create(ctx, sizeof got, &buffer_c));
    TRY(qmm_buffer_upload(ctx, buffer_a, 0, a, sizeof a));
    TRY(qmm_buffer_upload(ctx, buffer_b, 0, b, sizeof b));

    qmm_tensor ta = qmm_matrix(buffer_a, QMM_S8, 2, 3);
    qmm_tensor tb = qmm_matrix(buffer_b, QMM_S8, 3, 2);
    qmm_tensor tc = qmm_matrix(buffer_c, QMM_F32, 2, 2);
    qmm_quant qa = QMM_QUANT_INIT, qb = QMM_QUANT_INIT;
    qa.scale_value = 0.25f;
    qb.scale_value = 0.5f;
    qmm_matmul_desc desc = QMM_MATMUL_DESC_INIT;
    desc.quant_a = &qa;
    desc.quant_b = &qb;
    TRY(qmm_matmul(ctx, &desc, &ta, &tb, &tc));
    TRY(qmm_buffer_download(ctx, buffer_c, 0, got, sizeof got));
    qmm_context_close(ctx); /* frees the buffers */

    printf("qmm %s: %g %g %g %g\n", qmm_version(), (double)got[0], (double)got[1], (double)got[2], (double)got[3]);
    return memcmp(got, want, sizeof got) != 0;
}
