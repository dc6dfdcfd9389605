/* SPDX-License-Identifier: Apache-2.0 */
#include "arithmetic.h"

#include <fenv.h>
#include <stddef.h>
#include <string.h>

#include "../host/numerics.h"
#include "context.h"

enum { CASES = QMMI_OPENCL_ARITHMETIC_CASES };

/* Host and device side of the test. */
typedef struct rig {
    float cases[CASES][3];
    float results[CASES][QMMI_CL_RESULTS];
} rig;

/* Bit patterns at random: half of the cases of any size at all (most products then overflow or vanish), the others with
 * x, y, z near 1, where a rounding too few shows. Of every eight, one has a subnormal x and a product near it, one has x
 * and z whose sum is subnormal, one has an x among the codes. */
static void fill(rig *r) {
    uint32_t state = 1;
    for (int n = 0; n < CASES; n++) {
        for (int i = 0; i < 3; i++) {
            uint32_t pattern;
            state = state * 1664525u + 1013904223u;
            pattern = state ^ state >> 15;
            if (n % 2 == 1) pattern = (pattern & 0x80ffffffu) | 0x3f000000u;
            if (n % 8 == 2 && i == 0) pattern &= 0x807fffffu;
            if (n % 8 == 2 && i == 1) pattern = (pattern & 0x83ffffffu) | 0x3c000000u;
            if (n % 8 == 4) pattern &= 0x80ffffffu;
            if (n % 8 == 6 && i == 0) pattern = (pattern & 0x83ffffffu) | 0x40000000u;
            memcpy(&r->cases[n][i], &pattern, sizeof pattern);
        }
    }
}

/* Equal bits, or both NaN. */
static bool same(float got, float wanted) {
    return (got != got && wanted != wanted) || memcmp(&got, &wanted, sizeof got) == 0;
}

static int32_t bits_of(float x) {
    int32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* By this library's own arithmetic, which is built without contraction. */
static void expect(const float in[3], float wanted[QMMI_CL_RESULTS]) {
    const float product = in[0] * in[1];
    wanted[QMMI_CL_DIVIDED] = in[0] / in[1];
    wanted[QMMI_CL_MULTIPLIED] = product;
    wanted[QMMI_CL_COMBINED] = product + in[2];
    wanted[QMMI_CL_ADDED] = in[0] + in[2];
    wanted[QMMI_CL_ROUNDED] = qmmn_round_even(in[0]);
    wanted[QMMI_CL_CODE] = (float)qmmn_round_to_code(in[0], 3, -128, 127);
    wanted[QMMI_CL_DIFFERENCE] = qmmn_dequantize(bits_of(in[0]), bits_of(in[1]), 1.0f);
    wanted[QMMI_CL_HALF] = qmmn_f16_to_f32((uint32_t)bits_of(in[2]) & 0xffffu);
    wanted[QMMI_CL_TO_HALF] = (float)qmmn_f32_to_f16(in[0]);
}

/* The caller's thread may flush subnormals or round otherwise; the device was not asked to. */
static void judge(const rig *r, bool *divides, bool *computes) {
    fenv_t callers;
    fegetenv(&callers);
    fesetenv(FE_DFL_ENV);
    *divides = *computes = true;
    for (int n = 0; n < CASES; n++) {
        float wanted[QMMI_CL_RESULTS];
        expect(r->cases[n], wanted);
        for (int i = 0; i < QMMI_CL_RESULTS; i++) {
            bool *verdict = i == QMMI_CL_DIVIDED ? divides : computes;
            *verdict = *verdict && same(r->results[n][i], wanted[i]);
        }
    }
    fesetenv(&callers);
}

static qmm_status run(qmm_context *context, rig *r, void *memory) {
    const qmmi_cl_arithmetic arguments = { .results = offsetof(rig, results), .cases = CASES };
    const qmmi_opencl_grid grid = { { CASES / QMMI_OPENCL_ARITHMETIC_LOCAL, 1, 1 },
                                    { QMMI_OPENCL_ARITHMETIC_LOCAL, 1, 1 } };
    QMMI_TRY(qmmi_opencl_upload(context, memory, 0, r->cases, sizeof r->cases, true));
    QMMI_TRY(qmmi_opencl_launch(context, QMMI_OPENCL_arithmetic_arithmetic_kernel, &grid, &arguments, sizeof arguments,
                                &memory, 1));
    return qmmi_opencl_download(context, memory, offsetof(rig, results), r->results, sizeof r->results, true);
}

qmm_status qmmi_opencl_test_arithmetic(qmm_context *context, bool *divides, bool *computes) {
    static const char what[] = "the test of the device's arithmetic";
    rig *r = qmmi_allocate(context, sizeof *r);
    void *memory;
    qmm_status status;
    if (!r) return qmmi_fail(context, QMM_OUT_OF_MEMORY, "OpenCL", "no host memory for %s", what);
    fill(r);
    status = qmmi_allocate_device(context, "OpenCL", what, sizeof *r, &memory);
    if (status == QMM_OK) {
        status = run(context, r, memory);
        if (status == QMM_OK) judge(r, divides, computes);
        qmmi_opencl_release(context, memory, sizeof *r);
    }
    qmmi_release(context, r, sizeof *r);
    return status;
}
