/* SPDX-License-Identifier: Apache-2.0
 *
 * Rewrites an operand of a matmul into the canonical form of host/canonical.h, and sums canonical codes along K.
 *
 * pack: a work-item makes one run of 32 k of one row, which lies in one group: 32 bytes, or 16 of 4-bit codes. Where K
 * lies across memory (a plain B), it makes that of 16 rows, so that both sides are read and written by 16 bytes.
 *
 * sums: so many lanes share a sum, 16 bytes a turn each; the first of them adds up what they have. */
#include "matmul.h"
#include "matmul_operand.cl"
#include "matmul_prepare.h"

/* ---- pack -------------------------------------------------------------------------------------------------------- */

/* 16 bytes, which GPUs load as such only from an aligned address: the question is uniform. */
static uchar16 load16(const __global uchar *from) {
    return ((size_t)from & 15) == 0 ? *(const __global uchar16 *)from : vload16(0, from);
}

/* The run of row `outer` whose first k, in the source, is `first`; `count` of its codes are real, zeros follow. */
static void load_elements(const qmmi_cl_pack *p, const __global uchar *memory, long b, long outer, long first,
                          int count, uchar *run) {
    const long row = operand_row(&p->from, b, outer);
    for (int n = 0; n < QMMI_CL_PACK_RUN; n++) {
        const long k = p->from.packed && n < count ? packed_k(&p->from, p->from_group, first + n) : first + n;
        run[n] = n < count ? (uchar)(operand_code(&p->from, memory, row, k) - p->recenter) : 0;
    }
}

/* ... of 8-bit codes, all of them real. */
static void load_bytes(const qmmi_cl_pack *p, const __global uchar *memory, long b, long outer, long first,
                       uchar *run) {
    const long stride = p->from.k_stride;
    const __global uchar *from = memory + p->from.offset + operand_row(&p->from, b, outer) + first * stride;
    const uchar flip = p->recenter ? 0x80 : 0; /* a code less 128 */
    if (stride == 1) {
        vstore16(load16(from) ^ (uchar16)flip, 0, run);
        vstore16(load16(from + 16) ^ (uchar16)flip, 1, run);
        return;
    }
    for (int n = 0; n < QMMI_CL_PACK_RUN; n++) run[n] = from[n * stride] ^ flip;
}

/* The run at canonical k = 32 r of row `outer`, to where it belongs. */
static void pack_run(const qmmi_cl_pack *p, const __global uchar *from, long b, long outer, long r,
                     __global uchar *to) {
    const long group = quotient(r, p->group_runs), start = (r - group * p->group_runs) * QMMI_CL_PACK_RUN;
    const long left = outer < p->outer ? p->group_size - start : 0;
    const int count = left < QMMI_CL_PACK_RUN ? (int)left : QMMI_CL_PACK_RUN;
    uchar run[QMMI_CL_PACK_RUN];
    if (count == QMMI_CL_PACK_RUN && !p->from.packed && (p->from.type == QMM_S8 || p->from.type == QMM_U8))
        load_bytes(p, from, b, outer, group * p->group_size + start, run);
    else
        load_elements(p, from, b, outer, group * p->group_size + start, count, run);
    if (p->bits == 8) {
        ((__global uchar16 *)to)[0] = vload16(0, run);
        ((__global uchar16 *)to)[1] = vload16(1, run);
    } else {
        *(__global uchar16 *)to = (vload16(0, run) & (uchar16)15) | (vload16(1, run) << (uchar16)4);
    }
}

static uchar16 zip(uchar8 even, uchar8 odd) {
    uchar16 v;
    v.even = even;
    v.odd = odd;
    return v;
}

/* Turns 16 rows of 16 bytes. A stage rotates the 8 bits of an element's place (row, column) by one. */
INLINE void transpose(uchar16 *v) {
#pragma unroll
    for (int stage = 0; stage < 4; stage++) {
        uchar16 next[16];
#pragma unroll
        for (int n = 0; n < 8; n++) {
            next[2 * n] = zip(v[n].lo, v[n + 8].lo);
            next[2 * n + 1] = zip(v[n].hi, v[n + 8].hi);
        }
#pragma unroll
        for (int n = 0; n < 16; n++) v[n] = next[n];
    }
}

/* 8-bit codes, 16 rows that are neighbours in memory, a run without padding? */
static bool is_block(const qmmi_cl_pack *p, long outer, long r) {
    const bool bytes = p->from.type == QMM_S8 || p->from.type == QMM_U8;
    return bytes && p->from.outer_stride == 1 && outer + QMMI_CL_PACK_ROWS <= p->outer &&
           (r - quotient(r, p->group_runs) * p->group_runs + 1) * QMMI_CL_PACK_RUN <= p->group_size;
}

INLINE void pack_block(const qmmi_cl_pack *p, const __global uchar *from, long b, long outer, long r,
                       __global uchar *to) {
    const long group = quotient(r, p->group_runs);
    const long k = group * p->group_size + (r - group * p->group_runs) * QMMI_CL_PACK_RUN;
    const uchar16 flip = p->recenter ? 0x80 : 0; /* a code less 128 */
    for (int part = 0; part < 2; part++) {
        const __global uchar *first =
            from + p->from.offset + operand_row(&p->from, b, outer) + (k + part * 16) * p->from.k_stride;
        uchar16 v[16];
#pragma unroll
        for (int n = 0; n < 16; n++) v[n] = load16(first + n * p->from.k_stride) ^ flip;
        transpose(v);
#pragma unroll
        for (int n = 0; n < 16; n++) ((__global uchar16 *)(to + n * p->outer_stride))[part] = v[n];
    }
}

__kernel void matmul_pack_kernel(const qmmi_cl_pack p, const MEMORY from, MEMORY target) {
    const int rows = p.across ? QMMI_CL_PACK_ROWS : 1;
    const long item = get_global_id(0), runs = p.target_runs, blocks = (p.target_outer + rows - 1) / rows;
    const long b = quotient(item, blocks * runs), rest = item - b * blocks * runs;
    const long inner = p.across ? blocks : runs, major = quotient(rest, inner), minor = rest - major * inner;
    const long block = p.across ? minor : major, r = p.across ? major : minor;
    const long outer = block * rows;
    __global uchar *to = target + p.offset + b * p.batch_stride + outer * p.outer_stride + r * p.bits * 4;
    if (b >= p.matrices) return;
    if (p.across && is_block(&p, outer, r)) {
        pack_block(&p, from, b, outer, r, to);
        return;
    }
    for (int n = 0; n < rows && outer + n < p.target_outer; n++)
        pack_run(&p, from, b, outer + n, r, to + n * p.outer_stride);
}

/* ---- sums -------------------------------------------------------------------------------------------------------- */

/* Sums of 16 bytes, or of their 32 nibbles. */
static int16 sum_codes(const __global char *codes, int bits, int16 sum) {
    const char16 byte = *(const __global char16 *)codes; /* canonical codes are aligned */
    if (bits == 8) return sum + convert_int16(byte);
    return sum + convert_int16((byte << (char16)4) >> (char16)4) + convert_int16(byte >> (char16)4);
}

static int sum_of(int16 v) {
    const int8 v8 = v.lo + v.hi;
    const int4 v4 = v8.lo + v8.hi;
    return v4.x + v4.y + v4.z + v4.w;
}

/* A lane's part of the sum over one group of a row. */
static int sum_lane(const qmmi_cl_sums *p, const __global uchar *memory, long b, long outer, long group, int lane) {
    const long group_bytes = p->group_k * p->from.bits / 8;
    const __global char *row = (const __global char *)memory + p->from.offset + b * p->from.batch_stride +
                               outer * p->from.outer_stride + group * group_bytes;
    int16 sum = 0;
    for (long n = lane * 16; n < group_bytes; n += p->lanes * 16) sum = sum_codes(row + n, p->from.bits, sum);
    return sum_of(sum);
}

__kernel void matmul_sums_kernel(const qmmi_cl_sums p, const MEMORY codes, MEMORY sums) {
    __local int part[QMMI_CL_SUMS_ITEMS];
    const int local_id = (int)get_local_id(0), lane = local_id & (p.lanes - 1);
    const long item = (long)get_global_id(0) / p.lanes;
    const long row = quotient(item, p.groups), group = item - row * p.groups;
    const long b = quotient(row, p.outer), outer = row - b * p.outer;
    const bool there = b < p.matrices;
    part[local_id] = there ? sum_lane(&p, codes, b, outer, group, lane) : 0;
    barrier(CLK_LOCAL_MEM_FENCE);
    if (there && lane == 0) {
        uint sum = (uint)p.from.recenter * (uint)p.group_size;
        for (int n = 0; n < p.lanes; n++) sum += (uint)part[local_id + n];
        ((__global uint *)(sums + p.from.sums_offset))[b * p.from.sums_batch_stride + group * p.from.sums_group_stride +
                                                      outer * p.from.sums_outer_stride] = sum;
    }
}
