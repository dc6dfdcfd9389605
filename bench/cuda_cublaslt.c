/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "cuda_cublaslt.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../cuda/cublaslt.h"
#include "cuda_driver.h"

/* What the library is told it may use; as much as qmm gives it. */
#define WORKSPACE_MAX ((size_t)32 << 20)

struct bench_cublaslt {
#define FIELD(result, field, name, parameters) result(*field) parameters;
    QMMI_CUBLASLT_CALLS(FIELD)
#undef FIELD
    void *library, *handle, *desc, *preference;
    void *a, *b, *d; /* layouts of the plan */
    qmmi_cublaslt_heuristic choice;
    void *workspace;
    size_t workspace_bytes;
};

static bool find(bench_cublaslt *l) {
#define FIND(result, field, name, parameters)          \
    {                                                  \
        void *const symbol = dlsym(l->library, #name); \
        if (!symbol) return false;                     \
        memcpy(&l->field, &symbol, sizeof symbol);     \
    }
    QMMI_CUBLASLT_CALLS(FIND)
#undef FIND
    return true;
}

static bool prepare(bench_cublaslt *l) {
    const int32_t transposed = QMMI_CUBLAS_OP_T;
    const uint64_t bytes = l->workspace_bytes;
    return l->create(&l->handle) == 0 && l->desc_create(&l->desc, QMMI_CUBLAS_COMPUTE_32I, QMMI_CUDA_R_32I) == 0 &&
           l->desc_set(l->desc, QMMI_CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof transposed) == 0 &&
           l->preference_create(&l->preference) == 0 &&
           l->preference_set(l->preference, QMMI_CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &bytes, sizeof bytes) == 0;
}

bench_cublaslt *bench_cublaslt_open(void *workspace, size_t workspace_bytes, char *reason, size_t reason_bytes) {
    const char *const given = getenv("QMM_CUBLASLT_LIBRARY");
    bench_cublaslt *l = calloc(1, sizeof *l);
    if (!l) return NULL;
    l->workspace = workspace;
    l->workspace_bytes = workspace_bytes < WORKSPACE_MAX ? workspace_bytes : WORKSPACE_MAX;
    l->library = dlopen(given ? given : "libcublasLt.so.13", RTLD_NOW | RTLD_LOCAL);
    if (!l->library && !given) l->library = dlopen("libcublasLt.so.12", RTLD_NOW | RTLD_LOCAL);
    if (!l->library)
        snprintf(reason, reason_bytes, "%s", dlerror());
    else if (!find(l))
        snprintf(reason, reason_bytes, "it lacks a function that is called");
    else if (!prepare(l))
        snprintf(reason, reason_bytes, "it gives no handle");
    else
        return l;
    free(l);
    return NULL;
}

static void free_layouts(bench_cublaslt *l) {
    void **const layouts[] = { &l->a, &l->b, &l->d };
    for (int i = 0; i < 3; i++) {
        if (*layouts[i]) l->layout_destroy(*layouts[i]);
        *layouts[i] = NULL;
    }
}

void bench_cublaslt_close(bench_cublaslt *l) {
    if (!l) return;
    free_layouts(l);
    l->preference_destroy(l->preference);
    l->desc_destroy(l->desc);
    l->destroy(l->handle);
    free(l);
}

/* Row-major C = A B^T is column-major C^T = (B^T)^T A^T: the weights are the first operand. */
const char *bench_cublaslt_plan(bench_cublaslt *l, int64_t n, int64_t m, int64_t k) {
    int found = 0;
    free_layouts(l);
    if (l->layout_create(&l->a, QMMI_CUDA_R_8I, (uint64_t)k, (uint64_t)n, k) != 0 ||
        l->layout_create(&l->b, QMMI_CUDA_R_8I, (uint64_t)k, (uint64_t)m, k) != 0 ||
        l->layout_create(&l->d, QMMI_CUDA_R_32I, (uint64_t)n, (uint64_t)m, n) != 0)
        return "no layout";
    if (l->get_heuristic(l->handle, l->desc, l->a, l->b, l->d, l->d, l->preference, 1, &l->choice, &found) != 0 ||
        found == 0)
        return "cuBLASLt has no algorithm";
    return NULL;
}

void bench_cublaslt_run(bench_cublaslt *l, const void *b, const void *a, void *c, void *stream) {
    const int32_t one = 1, none = 0;
    bench_driver_require(l->matmul(l->handle, l->desc, &one, b, l->a, a, l->b, &none, c, l->d, c, l->d,
                                   &l->choice.algorithm, l->workspace, l->workspace_bytes, stream),
                         "cublasLtMatmul");
}
