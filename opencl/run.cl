/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs of 16 elements: what the kernels that are limited by memory are made of. run.h has how rows are cut into them.
 *
 * A run is a vector of 16, so that a CPU device works on all its elements at once; other devices take it apart. The element
 * types and the alignment are run-time values, the same for the whole launch: a branch costs little beside 16 elements of
 * memory traffic, and one program serves all types.
 *
 * The arithmetic is that of host/numerics.h with every operation done 16 times: the functions here have its operations in
 * its order, and each element sees nothing of its neighbours, so the results are the same bits. */
#ifndef QMM_OPENCL_RUN_CL
#define QMM_OPENCL_RUN_CL

#include "element.cl"
#include "run.h"

/* Compiled for a CPU? Only what is faster depends on it; a CPU device whose compiler does not say so works as well. */
#if defined(__x86_64__) || defined(__aarch64__)
#define ON_CPU 1
#else
#define ON_CPU 0
#endif

#define RUN_KERNEL __kernel __attribute__((reqd_work_group_size(QMMI_CL_RUN_ITEMS, 1, 1))) void

/* ---- where a run is ----------------------------------------------------------------------------------------------- */

/* Columns [first, first + count) of row i of matrix b; count is QMMI_CL_RUN but at the end of a row. */
typedef struct run {
    long b, i, first;
    int count;
} run;

/* Row of the batch -> here->b and here->i. */
static void find_row(const qmmi_cl_walk *w, long row, run *here) {
    here->b = row < w->rows ? 0 : quotient(row, w->rows);
    here->i = row - here->b * w->rows;
}

static long group_across(void) {
    return (long)get_group_id(2) * (long)get_num_groups(1) + (long)get_group_id(1);
}

static void find_columns(const qmmi_cl_walk *w, int lane, run *here) {
    here->first = (((long)get_group_id(0) << w->lanes_log2) + lane) * QMMI_CL_RUN;
    here->count = (int)min(w->cols - here->first, (long)QMMI_CL_RUN);
}

/* The run of this work-item; false if it has none. */
static bool find_run(const qmmi_cl_walk *w, run *here) {
    const int me = (int)get_local_id(0);
    find_row(w, (group_across() * QMMI_CL_RUN_ITEMS + me) >> w->lanes_log2, here);
    find_columns(w, me & ((1 << w->lanes_log2) - 1), here);
    return here->b < w->batch && here->count > 0;
}

/* The same where each group has one row: a CPU device then finds most of what is below once a group. */
static bool find_run_of_row(const qmmi_cl_walk *w, run *here) {
    find_row(w, group_across(), here);
    find_columns(w, (int)get_local_id(0), here);
    return here->b < w->batch && here->count > 0;
}

static long run_index(const qmmi_cl_view *v, const run *here) {
    return index_of(v, here->b, here->i, here->first);
}

/* ---- bits --------------------------------------------------------------------------------------------------------- */

/* A run as it is in memory, each element zero-extended. `aligned`: to 16 bytes, 8 where elements have 4 bits. */
static uint16 load_whole_bits(int bits, const __global uchar *from, int aligned) {
    if (bits == 4) {
        const uint8 pairs = convert_uint8(aligned ? *(const __global uchar8 *)from : vload8(0, from));
        uint16 x;
        x.even = pairs & 15;
        x.odd = pairs >> 4;
        return x;
    }
    if (bits == 8) return convert_uint16(aligned ? *(const __global uchar16 *)from : vload16(0, from));
    if (bits == 16) {
        const __global ushort8 *const pieces = (const __global ushort8 *)from;
        return convert_uint16(aligned ? (ushort16)(pieces[0], pieces[1]) : vload16(0, (const __global ushort *)from));
    } else {
        const __global uint4 *const pieces = (const __global uint4 *)from;
        return aligned ? (uint16)(pieces[0], pieces[1], pieces[2], pieces[3]) : vload16(0, (const __global uint *)from);
    }
}

static uint load_bits_of_one(int bits, const __global uchar *from, int e) {
    if (bits == 4) return (uint)(from[e / 2] >> (e & 1) * 4) & 15;
    if (bits == 8) return from[e];
    return bits == 16 ? ((const __global ushort *)from)[e] : ((const __global uint *)from)[e];
}

/* On CPUs, asks for the memory of runs that follow: a run is so much work that few of its neighbours' loads and stores are
 * under way beside its own, so that most of the time is expected to go by waiting for them. OpenCL's own prefetch does
 * nothing on PoCL. */
static void look_ahead(const __global uchar *memory) {
#if ON_CPU
    __builtin_prefetch(memory + 2048);
#else
    (void)memory;
#endif
}

/* Elements beyond `count` are 0. */
static uint16 load_bits(int bits, const __global uchar *from, int count, int aligned) {
    uint x[QMMI_CL_RUN];
    int e;
    if (count == QMMI_CL_RUN) {
        look_ahead(from);
        return load_whole_bits(bits, from, aligned);
    }
    for (e = 0; e < QMMI_CL_RUN; e++) x[e] = e < count ? load_bits_of_one(bits, from, e) : 0;
    return vload16(0, x);
}

/* Bits of x beyond an element's are left out. */
static void store_whole_bits(int bits, __global uchar *to, int aligned, uint16 x) {
    if (bits == 4) {
        const uchar8 pairs = convert_uchar8((x.even & 15) | (x.odd & 15) << 4);
        if (aligned)
            *(__global uchar8 *)to = pairs;
        else
            vstore8(pairs, 0, to);
    } else if (bits == 8) {
        /* Devices that take vectors apart would store bytes; they are little-endian, all of them (device.c). */
        if (aligned && !ON_CPU)
            *(__global uint4 *)to = (x.s048c & 255) | (x.s159d & 255) << 8 | (x.s26ae & 255) << 16 | x.s37bf << 24;
        else if (aligned)
            *(__global uchar16 *)to = convert_uchar16(x & 0xff);
        else
            vstore16(convert_uchar16(x & 0xff), 0, to);
    } else if (bits == 16) {
        __global ushort8 *const pieces = (__global ushort8 *)to;
        const ushort16 halves = convert_ushort16(x & 0xffff);
        if (aligned)
            pieces[0] = halves.lo, pieces[1] = halves.hi;
        else
            vstore16(halves, 0, (__global ushort *)to);
    } else {
        __global uint4 *const pieces = (__global uint4 *)to;
        if (aligned)
            pieces[0] = x.s0123, pieces[1] = x.s4567, pieces[2] = x.s89ab, pieces[3] = x.scdef;
        else
            vstore16(x, 0, (__global uint *)to);
    }
}

/* Where a row ends in the middle of a byte, its other half stays: no run of the tensor has it. */
static void store_few_bits(int bits, __global uchar *to, int count, const uint *x) {
    int e;
    for (e = 0; e < count; e++) {
        if (bits == 8) {
            to[e] = (uchar)x[e];
        } else if (bits == 16) {
            ((__global ushort *)to)[e] = (ushort)x[e];
        } else if (bits == 32) {
            ((__global uint *)to)[e] = x[e];
        } else if (e % 2 == 0) {
            const uint high = e + 1 < count ? x[e + 1] : (uint)to[e / 2] >> 4;
            to[e / 2] = (uchar)((x[e] & 15) | high << 4);
        }
    }
}

static void store_bits(int bits, __global uchar *to, int count, int aligned, uint16 x) {
    uint single[QMMI_CL_RUN];
    if (count == QMMI_CL_RUN) {
        look_ahead(to);
        store_whole_bits(bits, to, aligned, x);
        return;
    }
    vstore16(x, 0, single);
    store_few_bits(bits, to, count, single);
}

/* ---- numerics.h, 16 at a time ------------------------------------------------------------------------------------- */

/* qmmn_f16_to_f32 */
static float16 f16_to_f32(uint16 pattern) {
    const uint16 sign = (pattern & 0x8000u) << 16;
    const uint16 magnitude = (pattern & 0x7fffu) << 13;
    const uint16 finite = as_uint16(as_float16(magnitude) * 5.192296858534828e+33f);
    return as_float16(sign | (magnitude >= 0x0f800000u ? magnitude | 0x7f800000u : finite));
}

/* qmmn_f32_to_f16 */
static uint16 f32_to_f16(float16 x) {
    const uint16 bits = as_uint16(x);
    const uint16 sign = (bits >> 16) & 0x8000u;
    const uint16 magnitude = bits & 0x7fffffffu;
    const uint16 normal = (magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
    const uint16 subnormal = as_uint16(as_float16(magnitude) + 0.5f) - 0x3f000000u;
    uint16 half_bits = magnitude < 0x38800000u ? subnormal : normal;
    half_bits = magnitude >= 0x477ff000u ? 0x7c00u : half_bits;
    half_bits = magnitude > 0x7f800000u ? 0x7e00u : half_bits;
    return sign | half_bits;
}

/* qmmn_f32_to_bf16 */
static uint16 f32_to_bf16(float16 x) {
    const uint16 bits = as_uint16(x);
    const uint16 rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    return (bits & 0x7fffffffu) > 0x7f800000u ? ((bits >> 16) & 0x8000u) | 0x7fc0u : rounded;
}

static float16 quotients(float16 x, float16 y) {
#ifdef QMM_EXACT_DIVISION
    return x / y;
#else
    float a[QMMI_CL_RUN], b[QMMI_CL_RUN];
    int e;
    vstore16(x, 0, a);
    vstore16(y, 0, b);
    for (e = 0; e < QMMI_CL_RUN; e++) a[e] = QMMN_DIV(a[e], b[e]);
    return vload16(0, a);
#endif
}

/* qmmn_quantize, but for the end of its qmmn_round_even: v + 1.5 * 2^23 lies in [2^23, 2^24), where patterns count as the
 * integers do, so the integer that is nearest to v is the pattern less that of 1.5 * 2^23. */
static int16 quantize_run(float16 x, float16 scale, int16 zero, int qmin, int qmax) {
    const float16 low = convert_float16(qmin - zero);
    const float16 high = convert_float16(qmax - zero);
    float16 v = quotients(x, scale);
    v = v == v ? v : 0.0f;
    v = v < low ? low : v;
    v = v > high ? high : v;
    return as_int16(v + 12582912.0f) - 0x4b400000 + zero;
}

/* qmmn_dequantize without 64 bits: the difference of a code of at most 16 bits and a clamped zero point fits an int, and
 * the zero point of s32 is 0. */
static float16 dequantize_run(int16 q, int16 zero, float16 scale) {
    return convert_float16(q - zero) * scale;
}

/* ---- elements ----------------------------------------------------------------------------------------------------- */

/* The byte of an element that begins one. */
static long byte_of(int type, long index) {
    return index * type_bits(type) >> 3;
}

/* Of a code's bits, the sign; 0 where codes have none: (bits ^ sign) - sign is the code. */
static uint sign_bit(int type) {
    return type == QMM_S4 || type == QMM_S8 || type == QMM_S16 ? 1u << (type_bits(type) - 1) : 0;
}

static float16 reals_of_bits(int type, uint16 bits) {
    if (type == QMM_F16) return f16_to_f32(bits);
    return as_float16(type == QMM_BF16 ? bits << 16 : bits);
}

/* Elements [index, index + count) of base; those beyond are 0. `index` is even where elements have 4 bits. */
static int16 load_codes(int type, const __global uchar *base, long index, int count, int aligned) {
    const uint sign = sign_bit(type);
    const uint16 bits = load_bits(type_bits(type), base + byte_of(type, index), count, aligned);
    return as_int16((bits ^ sign) - sign);
}

static void store_codes(int type, __global uchar *base, long index, int count, int aligned, int16 q) {
    store_bits(type_bits(type), base + byte_of(type, index), count, aligned, as_uint16(q));
}

static float16 load_reals(int type, const __global uchar *base, long index, int count, int aligned) {
    return reals_of_bits(type, load_bits(type_bits(type), base + byte_of(type, index), count, aligned));
}

static void store_reals(int type, __global uchar *base, long index, int count, int aligned, float16 x) {
    uint16 bits = as_uint16(x);
    if (type == QMM_F16) bits = f32_to_f16(x);
    if (type == QMM_BF16) bits = f32_to_bf16(x);
    store_bits(type_bits(type), base + byte_of(type, index), count, aligned, bits);
}

/* ---- parameters --------------------------------------------------------------------------------------------------- */

typedef struct run_params {
    float16 scale;
    int16 zero;
} run_params;

/* Row of blocks that row i lies in: a division only for groups of rows. */
static long block_row(const qmmi_cl_quant *q, long i) {
    return q->param_rows == 1 ? 0 : q->block_rows == 1 ? i : quotient(i, q->block_rows);
}

/* Of a run that lies in column c of blocks. Inline, as are the functions that call it, though requantize does it twice:
 * 128 bytes of vectors are more than a compiler likes to hand back. */
INLINE void load_params_of_one(const qmmi_cl_quant *q, const __global uchar *scale, const __global uchar *zero, long r,
                               long c, const run *here, run_params *params) {
    params->scale = scale_at(&q->scale, scale, here->b, r, c);
    params->zero = zero_at(&q->zero, q->zero_min, q->zero_max, zero, here->b, r, c);
}

/* The parameters of a run in tensors of one column a block, side by side in memory. */
static void load_params_by_column(const qmmi_cl_quant *q, const __global uchar *scale, const __global uchar *zero,
                                  long r, const run *here, run_params *params) {
    const qmmi_cl_param *const s = &q->scale, *const z = &q->zero;
    params->scale = s->real_value;
    params->zero = z->integer_value;
    if (s->in_memory)
        params->scale = load_reals(s->type, scale + s->offset, param_index(s, here->b, r, here->first), here->count, 0);
    if (z->in_memory)
        params->zero =
            clamp(load_codes(z->type, zero + z->offset, param_index(z, here->b, r, here->first), here->count, 0),
                  (int16)q->zero_min, (int16)q->zero_max);
}

/* The same for any blocks: the parameters of a block are loaded where the run enters it. */
static void load_params_by_block(const qmmi_cl_quant *q, const __global uchar *scale, const __global uchar *zero,
                                 long r, long c, const run *here, run_params *params) {
    long left = 0; /* columns to the end of the block */
    float scales[QMMI_CL_RUN], s = 1.0f;
    int zeros[QMMI_CL_RUN], z = 0, e;
    for (e = 0; e < QMMI_CL_RUN; e++) {
        if (left == 0 && e < here->count) {
            s = scale_at(&q->scale, scale, here->b, r, c);
            z = zero_at(&q->zero, q->zero_min, q->zero_max, zero, here->b, r, c);
            c++;
            left = e == 0 ? c * q->block_cols - here->first : q->block_cols;
        }
        left--;
        scales[e] = s;
        zeros[e] = z;
    }
    params->scale = vload16(0, scales);
    params->zero = vload16(0, zeros);
}

static bool side_by_side(const qmmi_cl_param *p) {
    return !p->in_memory || p->col_stride == 1;
}

/* Where a row has one block of parameters; and where it has several. Elements beyond the row have any. */
INLINE void load_row_params(const qmmi_cl_quant *q, const __global uchar *scale, const __global uchar *zero,
                            const run *here, run_params *params) {
    load_params_of_one(q, scale, zero, block_row(q, here->i), 0, here, params);
}

INLINE void load_block_params(const qmmi_cl_quant *q, const __global uchar *scale, const __global uchar *zero,
                              const run *here, run_params *params) {
    const long r = block_row(q, here->i), c = q->param_cols == 1 ? 0 : quotient(here->first, q->block_cols);
    if (q->param_cols == 1 || (c + 1) * q->block_cols - here->first >= here->count)
        load_params_of_one(q, scale, zero, r, c, here, params);
    else if (q->block_cols == 1 && side_by_side(&q->scale) && side_by_side(&q->zero))
        load_params_by_column(q, scale, zero, r, here, params);
    else
        load_params_by_block(q, scale, zero, r, c, here, params);
}

#endif
