/* SPDX-License-Identifier: Apache-2.0
 *
 * The device's own float operations, and what host/numerics.h makes of them, for arithmetic.c to look at. */
#include "device.cl"
#include "arithmetic.h"

__kernel void arithmetic_kernel(const qmmi_cl_arithmetic a, MEMORY memory) {
    const int n = (int)get_global_id(0);
    const __global float *in = (const __global float *)memory + 3 * n;
    __global float *out = (__global float *)(memory + a.results) + QMMI_CL_RESULTS * n;
    if (n >= a.cases) return;
    out[QMMI_CL_DIVIDED] = in[0] / in[1];
    out[QMMI_CL_MULTIPLIED] = in[0] * in[1];
    out[QMMI_CL_COMBINED] = in[0] * in[1] + in[2];
    out[QMMI_CL_ADDED] = in[0] + in[2];
    out[QMMI_CL_ROUNDED] = qmmn_round_even(in[0]);
    out[QMMI_CL_CODE] = (float)qmmn_round_to_code(in[0], 3, -128, 127);
    out[QMMI_CL_DIFFERENCE] = qmmn_dequantize(as_int(in[0]), as_int(in[1]), 1.0f);
    out[QMMI_CL_HALF] = qmmn_f16_to_f32(as_uint(in[2]) & 0xffffu);
    out[QMMI_CL_TO_HALF] = (float)qmmn_f32_to_f16(in[0]);
}
