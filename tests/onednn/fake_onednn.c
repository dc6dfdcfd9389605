/* SPDX-License-Identifier: Apache-2.0
 *
 * A stand-in for libdnnl whose behaviour the environment variable FAKE_ONEDNN chooses:
 *     saturate   as on a CPU without VNNI: pairs of products are added in 16 bits, saturating
 *     fail       every call gives a status other than success
 *     right      plain loops, exact */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int dnnl_gemm_s8s8s32(char ta, char tb, char oc, int64_t m, int64_t n, int64_t k, float alpha, const int8_t *a,
                      int64_t lda, int8_t ao, const int8_t *b, int64_t ldb, int8_t bo, float beta, int32_t *c,
                      int64_t ldc, const int32_t *co);
int dnnl_gemm_u8s8s32(char ta, char tb, char oc, int64_t m, int64_t n, int64_t k, float alpha, const uint8_t *a,
                      int64_t lda, uint8_t ao, const int8_t *b, int64_t ldb, int8_t bo, float beta, int32_t *c,
                      int64_t ldc, const int32_t *co);

static int32_t saturate(int32_t x) {
    return x > 32767 ? 32767 : x < -32768 ? -32768 : x;
}

/* a_is_signed tells what the bytes of A are. */
static int gemm(int a_is_signed, char ta, char tb, int64_t m, int64_t n, int64_t k, const void *a, int64_t lda,
                const int8_t *b, int64_t ldb, int32_t *c, int64_t ldc) {
    const char *mode = getenv("FAKE_ONEDNN");
    const int saturating = mode && strcmp(mode, "saturate") == 0;
    if (mode && strcmp(mode, "fail") == 0) return 1;
    for (int64_t i = 0; i < m; i++) {
        for (int64_t j = 0; j < n; j++) {
            int32_t sum = 0, pair = 0;
            for (int64_t l = 0; l < k; l++) {
                const int64_t at = ta == 'T' ? l * lda + i : i * lda + l;
                const int32_t x = a_is_signed ? ((const int8_t *)a)[at] : ((const uint8_t *)a)[at];
                const int32_t product = x * b[tb == 'T' ? j * ldb + l : l * ldb + j];
                pair = l % 2 ? (saturating ? saturate(pair + product) : pair + product) : product;
                if (l % 2 || l + 1 == k) sum += pair;
            }
            c[i * ldc + j] = sum;
        }
    }
    return 0;
}

int dnnl_gemm_s8s8s32(char ta, char tb, char oc, int64_t m, int64_t n, int64_t k, float alpha, const int8_t *a,
                      int64_t lda, int8_t ao, const int8_t *b, int64_t ldb, int8_t bo, float beta, int32_t *c,
                      int64_t ldc, const int32_t *co) {
    (void)oc, (void)alpha, (void)ao, (void)bo, (void)beta, (void)co;
    return gemm(1, ta, tb, m, n, k, a, lda, b, ldb, c, ldc);
}

int dnnl_gemm_u8s8s32(char ta, char tb, char oc, int64_t m, int64_t n, int64_t k, float alpha, const uint8_t *a,
                      int64_t lda, uint8_t ao, const int8_t *b, int64_t ldb, int8_t bo, float beta, int32_t *c,
                      int64_t ldc, const int32_t *co) {
    (void)oc, (void)alpha, (void)ao, (void)bo, (void)beta, (void)co;
    return gemm(0, ta, tb, m, n, k, a, lda, b, ldb, c, ldc);
}
