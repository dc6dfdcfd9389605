/* SPDX-License-Identifier: Apache-2.0
 *
 * Elements on an OpenCL device, one at a time, as host/cpu/element.h has them. 16-bit floats are bit patterns, so
 * cl_khr_fp16 is not needed. The element types are run-time values: a switch is uniform over a launch, and it keeps the
 * number of programs small. */
#ifndef QMM_OPENCL_ELEMENT_CL
#define QMM_OPENCL_ELEMENT_CL

#include "device.cl"

/* Both at least 0. 32-bit divisions are shorter on every device. */
static long quotient(long x, long y) {
    return ((x | y) >> 31) == 0 ? (long)((uint)x / (uint)y) : x / y;
}

/* Index of element (i, j) of matrix b from the view's start. */
static long index_of(const qmmi_cl_view *v, long b, long i, long j) {
    return b * v->batch_stride + i * v->row_stride + j;
}

static int type_bits(int type) {
    if (type == QMM_S4 || type == QMM_U4) return 4;
    if (type == QMM_S8 || type == QMM_U8) return 8;
    return type == QMM_S32 || type == QMM_F32 ? 32 : 16;
}

/* ---- one element -------------------------------------------------------------------------------------------------- */

/* An integer element. 4-bit: the even element is the low nibble. */
static int load_code(int type, const __global uchar *base, long index) {
    switch (type) {
    case QMM_S4: return (((base[index / 2] >> ((index & 1) * 4)) & 15) ^ 8) - 8;
    case QMM_U4: return (base[index / 2] >> ((index & 1) * 4)) & 15;
    case QMM_S8: return ((const __global char *)base)[index];
    case QMM_U8: return base[index];
    case QMM_S16: return ((const __global short *)base)[index];
    case QMM_U16: return ((const __global ushort *)base)[index];
    default: return ((const __global int *)base)[index];
    }
}

/* Not for 4-bit types: two work-items may own one byte. Those are stored by runs (run.cl). */
static void store_code(int type, __global uchar *base, long index, int code) {
    if (type == QMM_S8 || type == QMM_U8)
        base[index] = (uchar)code;
    else if (type == QMM_S16 || type == QMM_U16)
        ((__global ushort *)base)[index] = (ushort)code;
    else
        ((__global int *)base)[index] = code;
}

/* A real element, as f32: exact. */
static float load_real(int type, const __global uchar *base, long index) {
    if (type == QMM_F16) return qmmn_f16_to_f32(((const __global ushort *)base)[index]);
    if (type == QMM_BF16) return qmmn_bf16_to_f32(((const __global ushort *)base)[index]);
    return ((const __global float *)base)[index];
}

static void store_real(int type, __global uchar *base, long index, float value) {
    if (type == QMM_F16)
        ((__global ushort *)base)[index] = (ushort)qmmn_f32_to_f16(value);
    else if (type == QMM_BF16)
        ((__global ushort *)base)[index] = (ushort)qmmn_f32_to_bf16(value);
    else
        ((__global float *)base)[index] = value;
}

/* ---- parameters --------------------------------------------------------------------------------------------------- */

static long param_index(const qmmi_cl_param *p, long b, long r, long c) {
    return b * p->batch_stride + r * p->row_stride + c * p->col_stride;
}

static float scale_at(const qmmi_cl_param *p, const __global uchar *memory, long b, long r, long c) {
    return p->in_memory ? load_real(p->type, memory + p->offset, param_index(p, b, r, c)) : p->real_value;
}

static int zero_at(const qmmi_cl_param *p, int low, int high, const __global uchar *memory, long b, long r, long c) {
    int zero;
    if (!p->in_memory) return p->integer_value;
    zero = load_code(p->type, memory + p->offset, param_index(p, b, r, c));
    return zero < low ? low : zero > high ? high : zero;
}

#endif
