/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "cuda_cublaslt.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../cuda/cublaslt.h"

/* What the library is told it may use; as much as qmm gives it. */
#define WORKSPACE_MAX ((size_t)32 << 20)

/* Of library_types.h and cublas_api.h, beside what cuda/cublaslt.h has. */
enum { CUDA_R_32F = 0, CUDA_R_16F = 2, CUBLAS_COMPUTE_32F = 68 };

struct bench_cublaslt {
#define FIELD(result, field, name, parameters) result(*field) parameters;
    QMMI_CUBLASLT_CALLS(FIELD)
#undef FIELD
    bool half;
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
    const int compute = l->half ? CUBLAS_COMPUTE_32F : QMMI_CUBLAS_COMPUTE_32I;
    const int scale = l->half ? CUDA_R_32F : QMMI_CUDA_R_32I;
    return l->create(&l->handle) == 0 && l->desc_create(&l->desc, compute, scale) == 0 &&
           l->desc_set(l->desc, QMMI_CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof transposed) == 0 &&
           l->preference_create(&l->preference) == 0 &&
           l->preference_set(l->preference, QMMI_CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &bytes, sizeof bytes) == 0;
}

/* Never unloaded, and found as cuda/cublaslt.c finds it: version 13 wants a driver for CUDA 13. */
static void *load(const char *name) {
    return dlopen(name, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
}

static void *find_library(int driver_version, char *reason, size_t reason_bytes) {
    const char *const given = getenv("QMM_CUBLASLT_LIBRARY");
    const bool is_none = given && strcmp(given, "none") == 0, takes_13 = driver_version >= 13000;
    void *library = NULL;
    if (is_none) {
        snprintf(reason, reason_bytes, "QMM_CUBLASLT_LIBRARY is none");
    } else if (given) {
        library = load(given);
        if (!library) snprintf(reason, reason_bytes, "QMM_CUBLASLT_LIBRARY: %s", dlerror());
    } else {
        if (takes_13) library = load("libcublasLt.so.13");
        if (!library) library = load("libcublasLt.so.12");
        if (!library)
            snprintf(reason, reason_bytes, "there is no cuBLASLt: %s",
                     takes_13 ? "neither libcublasLt.so.13 nor .12 loads" : "libcublasLt.so.12 does not load");
    }
    return library;
}

bench_cublaslt *bench_cublaslt_open(bool half, int driver_version, void *workspace, size_t workspace_bytes,
                                    char *reason, size_t reason_bytes) {
    bench_cublaslt *l = calloc(1, sizeof *l);
    snprintf(reason, reason_bytes, "no host memory");
    if (!l) return NULL;
    l->half = half;
    l->workspace = workspace;
    l->workspace_bytes = workspace_bytes < WORKSPACE_MAX ? workspace_bytes : WORKSPACE_MAX;
    l->library = find_library(driver_version, reason, reason_bytes);
    if (l->library && find(l)) {
        if (prepare(l)) return l;
        snprintf(reason, reason_bytes, "cuBLASLt gives no handle");
    } else if (l->library) {
        snprintf(reason, reason_bytes, "cuBLASLt lacks a function that is called");
    }
    bench_cublaslt_close(l);
    return NULL;
}

static void free_layouts(bench_cublaslt *l) {
    void **const layouts[] = { &l->a, &l->b, &l->d };
    for (int i = 0; i < 3; i++) {
        if (*layouts[i]) l->layout_destroy(*layouts[i]);
        *layouts[i] = NULL;
    }
}

/* The library stays loaded: qmm may use it too, and loading it takes half a second. */
void bench_cublaslt_close(bench_cublaslt *l) {
    if (!l) return;
    free_layouts(l);
    if (l->preference) l->preference_destroy(l->preference);
    if (l->desc) l->desc_destroy(l->desc);
    if (l->handle) l->destroy(l->handle);
    free(l);
}

/* Row-major C = A B^T is column-major C^T = (B^T)^T A^T: B is the first operand. */
const char *bench_cublaslt_plan(bench_cublaslt *l, int64_t n, int64_t m, int64_t k) {
    const int in = l->half ? CUDA_R_16F : QMMI_CUDA_R_8I, out = l->half ? CUDA_R_16F : QMMI_CUDA_R_32I;
    int found = 0;
    free_layouts(l);
    if (l->layout_create(&l->a, in, (uint64_t)k, (uint64_t)n, k) != 0 ||
        l->layout_create(&l->b, in, (uint64_t)k, (uint64_t)m, k) != 0 ||
        l->layout_create(&l->d, out, (uint64_t)n, (uint64_t)m, n) != 0)
        return "cuBLASLt makes no layout of this shape";
    if (l->get_heuristic(l->handle, l->desc, l->a, l->b, l->d, l->d, l->preference, 1, &l->choice, &found) != 0 ||
        found == 0)
        return "cuBLASLt has no algorithm for this shape";
    return NULL;
}

int bench_cublaslt_run(bench_cublaslt *l, const void *b, const void *a, void *c, void *stream) {
    const int32_t one = 1, none = 0;
    const float real_one = 1.0f, real_none = 0.0f;
    const void *const alpha = l->half ? (const void *)&real_one : &one;
    const void *const beta = l->half ? (const void *)&real_none : &none;
    return l->matmul(l->handle, l->desc, alpha, b, l->a, a, l->b, beta, c, l->d, c, l->d, &l->choice.algorithm,
                     l->workspace, l->workspace_bytes, stream);
}
