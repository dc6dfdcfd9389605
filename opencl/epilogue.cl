/* SPDX-License-Identifier: Apache-2.0
 *
 * The epilogue of matmul on an OpenCL device, for runs of 8 columns of one row of C. Specification: host/cpu/epilogue.c
 * and docs/numerics.md; the zero points come out of the accumulators as host/canonical.h derives.
 *
 * Every kernel ends in epilogue_run, or with factors per group of K in add_group and epilogue_finish_run, so kernels
 * can only differ in their accumulators. What varies between problems (types, strides, what there is) is a run-time
 * switch, uniform over a launch. */
#ifndef QMM_OPENCL_EPILOGUE_CL
#define QMM_OPENCL_EPILOGUE_CL

#include "element.cl"
#include "matmul.h"

#include "../host/numerics_activation.h"

enum { EPILOGUE_RUN = 8 };

/* QMM_ROLLED_EPILOGUE: loops over a run stay loops, for kernels whose accumulators want the registers. */
#ifdef QMM_ROLLED_EPILOGUE
#define EACH_OF_RUN(n) _Pragma("unroll 1") for (int n = 0; n < EPILOGUE_RUN; n++)
#else
#define EACH_OF_RUN(n) for (int n = 0; n < EPILOGUE_RUN; n++)
#endif

/* The memory of a matmul, in the order of QMMI_CL_A ... */
typedef struct matmul_memory {
    const __global uchar *a, *b, *a_sums, *b_sums, *a_scale, *a_zero, *b_scale, *b_zero;
    __global uchar *c;
    const __global uchar *c_scale, *c_zero, *bias, *residual;
} matmul_memory;

/* A matmul kernel is (const qmmi_cl_matmul m, MATMUL_PARAMETERS), and begins with `MATMUL_MEMORY(memory);`. */
#define MATMUL_PARAMETERS                                                                                            \
    const MEMORY at_a, const MEMORY at_b, const MEMORY at_a_sums, const MEMORY at_b_sums, const MEMORY at_a_scale,   \
        const MEMORY at_a_zero, const MEMORY at_b_scale, const MEMORY at_b_zero, MEMORY at_c,                        \
        const MEMORY at_c_scale, const MEMORY at_c_zero, const MEMORY at_bias, const MEMORY at_residual
#define MATMUL_MEMORY(name)                                                                                          \
    const matmul_memory name = { at_a,      at_b,      at_a_sums, at_b_sums,  at_a_scale, at_a_zero, at_b_scale,     \
                                 at_b_zero, at_c,      at_c_scale, at_c_zero, at_bias,    at_residual }

/* ---- zero points ------------------------------------------------------------------------------------------------- */

/* What one row of A, or one column of B, brings to the accumulators of one group. */
typedef struct matmul_side {
    int zero;    /* za', zb' */
    int sum;     /* of A: sum a' - group_size za'; of B: sum b' */
    float scale; /* 1 unless given per group */
} matmul_side;

INLINE int recentered_zero(const qmmi_cl_operand *o, int recenter, const __global uchar *memory, long b, long outer,
                           long group) {
    return zero_at(&o->zero, o->zero_min, o->zero_max, memory, b, outer, group) - recenter;
}

INLINE int recentered_sum(const qmmi_cl_codes *codes, const __global uchar *memory, long group_size, long b,
                          long outer, long group) {
    const __global int *sums = (const __global int *)(memory + codes->sums_offset);
    const long index =
        b * codes->sums_batch_stride + group * codes->sums_group_stride + outer * codes->sums_outer_stride;
    return sums[index] - codes->recenter * (int)group_size;
}

INLINE matmul_side side_of_a(const qmmi_cl_matmul *m, const matmul_memory *memory, long b, long i, long group) {
    const int size = (int)m->p.group_size;
    matmul_side side;
    side.zero = m->corrects_a ? recentered_zero(&m->p.a, m->a.recenter, memory->a_zero, b, i, group) : 0;
    side.sum = m->corrects_b ? recentered_sum(&m->a, memory->a_sums, size, b, i, group) - size * side.zero : 0;
    side.scale = m->p.a.grouped ? scale_at(&m->p.a.scale, memory->a_scale, b, i, group) : 1.0f;
    return side;
}

INLINE matmul_side side_of_b(const qmmi_cl_matmul *m, const matmul_memory *memory, long b, long j, long group) {
    const int size = (int)m->p.group_size;
    matmul_side side;
    side.zero = m->corrects_b ? recentered_zero(&m->p.b, m->b.recenter, memory->b_zero, b, j, group) : 0;
    side.sum = m->corrects_a ? recentered_sum(&m->b, memory->b_sums, size, b, j, group) : 0;
    side.scale = m->p.b.grouped ? scale_at(&m->p.b.scale, memory->b_scale, b, j, group) : 1.0f;
    return side;
}

/* sum a' b' of what the kernel accumulated. */
static int plain_sum(const qmmi_cl_matmul *m, int acc) {
    return m->b.bits == 4 ? acc >> 4 : acc;
}

/* What zero points take from sum a' b': za' sum b' + zb' (sum a' - group_size za'). */
static long correction(const matmul_side *a, const matmul_side *b) {
    return (long)a->zero * b->sum + (long)b->zero * a->sum;
}

/* ---- groups along K ---------------------------------------------------------------------------------------------- */

/* y + ((float)acc * sb) * sa, with the factors that are given per group. y begins as 0; a kernel loads a side once per
 * row, or column, and group. */
INLINE float add_group(const qmmi_cl_matmul *m, const matmul_side *a, const matmul_side *b, int acc, float y) {
    float term;
    if (m->corrects_a || m->corrects_b)
        term = (float)(plain_sum(m, acc) - correction(a, b));
    else
        term = (float)plain_sum(m, acc);
    if (m->p.b.grouped) term = term * b->scale;
    if (m->p.a.grouped) term = term * a->scale;
    return y + term;
}

/* ---- runs of 8 --------------------------------------------------------------------------------------------------- */

/* Whole runs that are aligned go by 16 bytes, any other element by element: GPUs do as many accesses as are written. */

static bool is_aligned(const __global uchar *address) {
    return ((size_t)address & 15) == 0;
}

/* The 32-bit words at first, first + step, ...; `count` of them, zeros behind. */
static void load_words(const __global uchar *first, long step, int count, uint *v) {
    const __global uint *word = (const __global uint *)first;
    if (count == EPILOGUE_RUN && step == 1 && is_aligned(first)) {
        const uint4 low = ((const __global uint4 *)first)[0], high = ((const __global uint4 *)first)[1];
        vstore4(low, 0, v);
        vstore4(high, 1, v);
        return;
    }
    EACH_OF_RUN(n) v[n] = n < count ? word[n * step] : 0;
}

/* The reals at index, index + step, ...; `count` of them. */
static void load_run(int type, const __global uchar *base, long index, long step, int count, float *v) {
    if (type == QMM_F32) {
        uint word[EPILOGUE_RUN];
        load_words(base + index * 4, step, count, word);
        EACH_OF_RUN(n) v[n] = as_float(word[n]);
        return;
    }
    EACH_OF_RUN(n) v[n] = n < count ? load_real(type, base, index + n * step) : 0.0f;
}

/* Stores the low `bytes` (1, 2, 4) of `count` words from index on. */
static void store_run(__global uchar *base, long index, int bytes, int count, const uint *word) {
    __global uchar *to = base + index * bytes;
    const uint8 whole = vload8(0, word);
    if (bytes == 4) {
        if (count == EPILOGUE_RUN && is_aligned(to)) {
            ((__global uint4 *)to)[0] = whole.lo;
            ((__global uint4 *)to)[1] = whole.hi;
            return;
        }
        EACH_OF_RUN(n)
            if (n < count) ((__global uint *)to)[n] = word[n];
    } else if (bytes == 2) {
        if (count == EPILOGUE_RUN && is_aligned(to)) {
            *(__global ushort8 *)to = convert_ushort8(whole & 0xffffu);
            return;
        }
        EACH_OF_RUN(n)
            if (n < count) ((__global ushort *)to)[n] = (ushort)word[n];
    } else {
        if (count == EPILOGUE_RUN && ((size_t)to & 7) == 0) {
            *(__global uchar8 *)to = convert_uchar8(whole & 0xffu);
            return;
        }
        EACH_OF_RUN(n)
            if (n < count) to[n] = (uchar)word[n];
    }
}

/* ---- factors, bias, residual, activation ------------------------------------------------------------------------- */

INLINE void multiply_by_b(const qmmi_cl_param *scale, const __global uchar *memory, long b, long j, int count,
                          float *y) {
    float s[EPILOGUE_RUN];
    if (!scale->in_memory || scale->row_stride == 0) {
        const float one = scale_at(scale, memory, b, 0, 0);
        EACH_OF_RUN(n) y[n] = y[n] * one;
        return;
    }
    load_run(scale->type, memory + scale->offset, param_index(scale, b, j, 0), scale->row_stride, count, s);
    EACH_OF_RUN(n) y[n] = y[n] * s[n];
}

INLINE void multiply_by_a(const qmmi_cl_param *scale, const __global uchar *memory, long b, long i, float *y) {
    const float s = scale_at(scale, memory, b, i, 0);
    EACH_OF_RUN(n) y[n] = y[n] * s;
}

/* An f32 bias. */
INLINE void add_bias(const qmmi_cl_param *bias, const __global uchar *memory, long b, long j, int count, float *y) {
    float s[EPILOGUE_RUN];
    load_run(QMM_F32, memory + bias->offset, param_index(bias, b, 0, j), bias->col_stride, count, s);
    EACH_OF_RUN(n) y[n] = y[n] + s[n];
}

INLINE void add_residual(const qmmi_cl_view *r, const __global uchar *memory, long b, long i, long j, int count,
                         float *y) {
    float s[EPILOGUE_RUN];
    load_run(r->type, memory + r->offset, index_of(r, b, i, j), 1, count, s);
    EACH_OF_RUN(n) y[n] = y[n] + s[n];
}

static void activate(int activation, float *y) {
    switch (activation) {
    case QMM_ACTIVATION_RELU:
        EACH_OF_RUN(n) y[n] = qmmn_relu(y[n]);
        break;
    case QMM_ACTIVATION_GELU:
        EACH_OF_RUN(n) y[n] = qmmn_gelu(y[n]);
        break;
    case QMM_ACTIVATION_GELU_TANH:
        EACH_OF_RUN(n) y[n] = qmmn_gelu_tanh(y[n]);
        break;
    case QMM_ACTIVATION_SILU:
        EACH_OF_RUN(n) y[n] = qmmn_silu(y[n]);
        break;
    default: break;
    }
}

/* ---- the store --------------------------------------------------------------------------------------------------- */

/* Block of `index`; 0 where the parameter does not vary this way. */
static long block_of(long index, long block, bool varies) {
    return !varies ? 0 : block == 1 ? index : quotient(index, block);
}

/* Floats become codes. */
INLINE void quantize_run(const qmmi_cl_quant *quant, const matmul_memory *memory, long b, long i, long j, int count,
                         const float *y, uint *word) {
    const long r = block_of(i, quant->block_rows, quant->scale.row_stride || quant->zero.row_stride);
    const bool vary = quant->scale.col_stride || quant->zero.col_stride;
    float scale = 1.0f;
    int zero = 0;
    EACH_OF_RUN(n) {
        if (n == 0 || (vary && n < count)) {
            const long c = block_of(j + n, quant->block_cols, vary);
            scale = scale_at(&quant->scale, memory->c_scale, b, r, c);
            zero = zero_at(&quant->zero, quant->zero_min, quant->zero_max, memory->c_zero, b, r, c);
        }
        word[n] = (uint)qmmn_quantize(y[n], scale, zero, quant->qmin, quant->qmax);
    }
}

INLINE void store_y(const qmmi_cl_matmul_problem *p, const matmul_memory *memory, long b, long i, long j, int count,
                    const float *y) {
    const int type = p->c.type;
    uint word[EPILOGUE_RUN];
    int bytes = 4;
    if (type == QMM_F32) {
        EACH_OF_RUN(n) word[n] = as_uint(y[n]);
    } else if (type == QMM_F16 || type == QMM_BF16) {
        bytes = 2;
        EACH_OF_RUN(n)
            word[n] = type == QMM_F16 ? qmmn_f32_to_f16(y[n]) : qmmn_f32_to_bf16(y[n]);
    } else {
        bytes = type == QMM_S8 || type == QMM_U8 ? 1 : 2;
        quantize_run(&p->c_quant, memory, b, i, j, count, y, word);
    }
    store_run(memory->c + p->c.offset, index_of(&p->c, b, i, j), bytes, count, word);
}

static void store_s32(const qmmi_cl_view *c, __global uchar *memory, long b, long i, long j, int count,
                      const long *acc) {
    uint word[EPILOGUE_RUN];
    EACH_OF_RUN(n)
        word[n] = (uint)(acc[n] < INT_MIN ? INT_MIN : acc[n] > INT_MAX ? INT_MAX : (int)acc[n]);
    store_run(memory + c->offset, index_of(c, b, i, j), 4, count, word);
}

/* ---- the whole: columns j .. j + count of row i of matrix b, count <= 8 ------------------------------------------ */

/* What follows the last group, or y = (float)acc where there is none: the factors not given per group, and the rest of
 * the epilogue. Changes y. */
INLINE void epilogue_finish(const qmmi_cl_matmul_problem *p, const matmul_memory *memory, long b, long i, long j,
                            int count, float *y) {
    if (!p->b.grouped) multiply_by_b(&p->b.scale, memory->b_scale, b, j, count, y);
    if (!p->a.grouped) multiply_by_a(&p->a.scale, memory->a_scale, b, i, y);
    if (p->bias.in_memory && p->bias.type == QMM_F32) add_bias(&p->bias, memory->bias, b, j, count, y);
    if (p->residual.in_memory) add_residual(&p->residual, memory->residual, b, i, j, count, y);
    activate(p->activation, y);
    store_y(p, memory, b, i, j, count, y);
}

INLINE void epilogue_finish_run(const qmmi_cl_matmul *m, const matmul_memory *memory, long b, long i, long j,
                                int count, float *y) {
    epilogue_finish(&m->p, memory, b, i, j, count, y);
}

/* From exact accumulators: an s32 bias, and an s32 C; is that all? Else y = (float)acc. */
INLINE bool epilogue_integer(const qmmi_cl_matmul_problem *p, const matmul_memory *memory, long b, long i, long j,
                             int count, long *acc, float *y) {
    if (p->bias.in_memory && p->bias.type == QMM_S32) {
        uint bias[EPILOGUE_RUN];
        load_words(memory->bias + p->bias.offset + param_index(&p->bias, b, 0, j) * 4, p->bias.col_stride, count,
                   bias);
        EACH_OF_RUN(n) acc[n] += (int)bias[n];
    }
    if (p->c.type == QMM_S32) {
        store_s32(&p->c, memory->c, b, i, j, count, acc);
        return true;
    }
    EACH_OF_RUN(n) y[n] = (float)acc[n];
    return false;
}

/* Takes the zero points of one group out of a run of sums. */
INLINE void correct_group(const qmmi_cl_matmul *m, const matmul_memory *memory, long b, long i, long j, int count,
                          long group, long *acc) {
    const matmul_side a = side_of_a(m, memory, b, i, group);
    EACH_OF_RUN(n) {
        if (n < count) {
            const matmul_side column = side_of_b(m, memory, b, j + n, group);
            acc[n] -= correction(&a, &column);
        }
    }
}

/* Raw accumulators as y, or all done: an s32 C. */
INLINE bool epilogue_raw(const qmmi_cl_matmul *m, const matmul_memory *memory, long b, long i, long j, int count,
                         const int *acc, float *y) {
    const bool corrects = m->corrects_a || m->corrects_b;
    const bool s32_bias = m->p.bias.in_memory && m->p.bias.type == QMM_S32;
    if (corrects || s32_bias || m->p.c.type == QMM_S32) {
        long wide[EPILOGUE_RUN];
        EACH_OF_RUN(n) wide[n] = plain_sum(m, acc[n]);
        if (corrects)
            for (long group = 0; group < m->p.groups; group++)
                correct_group(m, memory, b, i, j, count, group, wide);
        return epilogue_integer(&m->p, memory, b, i, j, count, wide, y);
    }
    EACH_OF_RUN(n) y[n] = (float)plain_sum(m, acc[n]);
    return false;
}

/* One raw accumulator an element: the whole epilogue, and the store. */
INLINE void epilogue_run(const qmmi_cl_matmul *m, const matmul_memory *memory, long b, long i, long j, int count,
                         const int *acc) {
    float y[EPILOGUE_RUN];
    if (!epilogue_raw(m, memory, b, i, j, count, acc, y)) epilogue_finish_run(m, memory, b, i, j, count, y);
}

/* ... and where the words may be the floats of a grouped problem, as bits. */
INLINE void epilogue_words(const qmmi_cl_matmul *m, const matmul_memory *memory, bool grouped, long b, long i, long j,
                           int count, const int *word) {
    float y[EPILOGUE_RUN];
    if (grouped) {
        EACH_OF_RUN(n) y[n] = as_float(word[n]);
    } else if (epilogue_raw(m, memory, b, i, j, count, word, y)) {
        return;
    }
    epilogue_finish_run(m, memory, b, i, j, count, y);
}

#endif
