/* SPDX-License-Identifier: Apache-2.0
 *
 * Brings a problem into the canonical form of host/canonical.h, and divides its work. A row of the table that runs on
 * that form is then three short functions:
 *
 *     accepts    qmmi_canonical_accepts, and what it asks beyond
 *     workspace  qmmi_cuda_matmul_workspace with its shape
 *     run        qmmi_cuda_matmul_prepare with its shape, then the launch of m.blocks blocks */
#ifndef QMMI_CUDA_MATMUL_PREPARE_H
#define QMMI_CUDA_MATMUL_PREPARE_H

#include "cuda.h"
#include "matmul.h"

/* What a row's kernel is made for. */
typedef struct qmmi_cuda_matmul_shape {
    int32_t tile_m, tile_n, tile_k;    /* tile_n: a multiple of 8; tile_k: of 32 */
    int32_t blocks_per_multiprocessor; /* that run at a time */
    int32_t cluster;                   /* blocks that make a tile together */
    int32_t arrivals;                  /* parts of a tile that are finished apart: counters, where K is shared */
    bool packed_4bit;                  /* reads packed 4-bit weights as they are; else they are unpacked before */
    bool direct_u8;                    /* multiplies an A of u8 as it is */
    bool maps;                         /* reads by tensor maps, whose matrices do not lie in one another */
    bool splits;                       /* can do a part of a tile: has the partial path of matmul_tile.cuh */
    int32_t multiple;                  /* 0, or what a library asks of B's rows and of all rows' readable bytes: to be
                                        * multiples of this. Rows of B beyond N are zeros */
    double efficiency;                 /* share of its time in which a tile multiplies: expected, not measured */
} qmmi_cuda_matmul_shape;

/* What prepare makes: operands in canonical form, B's of so many rows; sums, where zero points may be other than 0. */
typedef struct qmmi_cuda_needs {
    int64_t b_rows;
    bool unsigned_a; /* A is used as u8 */
    bool corrects_a, corrects_b;
    bool pack_a, pack_b, sum_a, sum_b;
} qmmi_cuda_needs;

/* A part of a tile costs its block a pass over the tile through memory, as long as multiplying so many k of it. Reckoned,
 * not measured: 512 k of a 128 x 128 tile are a few microseconds of multiplying, as is the pass. */
enum { QMMI_CUDA_PART_K = 512 };

/* How the tiles are divided among the blocks, or clusters, that run at a time: full rounds of whole tiles, then a rest,
 * which is split along K, sharing it among so many blocks, or is not. */
typedef struct qmmi_cuda_division {
    int64_t tiles_m, tiles_n, tiles; /* tiles: of the batch */
    int64_t resident, full, rest;    /* blocks, or clusters; rounds; tiles of the last round */
    int64_t sharers;                 /* of the rest; 0: it is not split */
    int32_t steps;                   /* of tile_k, along K */
} qmmi_cuda_division;

qmmi_cuda_division qmmi_cuda_divide(const qmmi_cuda_device *device, const qmmi_matmul_problem *p,
                                    const qmmi_cuda_matmul_shape *shape);

/* The same as a row's slot has it. */
qmmi_split qmmi_cuda_matmul_split(const qmm_context *context, const qmmi_matmul_problem *p,
                                  const qmmi_cuda_matmul_shape *shape);

qmmi_cuda_needs qmmi_cuda_matmul_needs(const qmmi_matmul_problem *p, const qmmi_cuda_matmul_shape *shape);

/* Bytes of workspace that prepare needs: rewritten operands, sums, partial sums. */
size_t qmmi_cuda_matmul_workspace(const qmm_context *context, const qmmi_matmul_problem *p,
                                  const qmmi_cuda_matmul_shape *shape);

/* What prepare does, in two parts. */
typedef struct qmmi_cuda_plan {
    qmmi_cuda_matmul m;                      /* but for the addresses in the workspace */
    qmmi_cuda_needs needs;                   /* what prepare makes ... */
    size_t a_codes, b_codes, a_sums, b_sums; /* ... and where in the workspace */
    size_t partials, arrived, bytes;
} qmmi_cuda_plan;

/* Finds all of it out, but for the addresses in the workspace; places them there; then queues what must run before the
 * kernel: rewriting, sums, clears. */
void qmmi_cuda_matmul_plan(const qmm_context *context, const qmmi_matmul_problem *p,
                           const qmmi_cuda_matmul_shape *shape, qmmi_cuda_plan *plan);
void qmmi_cuda_matmul_place(qmmi_cuda_plan *plan, void *workspace, size_t workspace_offset);
qmm_status qmmi_cuda_matmul_queue(qmm_context *context, const qmmi_cuda_plan *plan, void *workspace,
                                  size_t workspace_offset);

/* All of it; *m is the kernel's argument. */
qmm_status qmmi_cuda_matmul_prepare(qmm_context *context, const qmmi_matmul_problem *p,
                                    const qmmi_cuda_matmul_shape *shape, void *workspace, size_t workspace_offset,
                                    qmmi_cuda_matmul *m);

/* ---- the kernels' arguments -------------------------------------------------------------------------------------- */

enum { QMMI_CUDA_PACK_OUTER = 128, QMMI_CUDA_PACK_K = 64, QMMI_CUDA_PACK_THREADS = 256, QMMI_CUDA_SUMS_THREADS = 256 };

/* Rewrites `matrices` matrices of `outer` rows of `from` into canonical rows. */
typedef struct qmmi_cuda_pack {
    qmmi_operand from;
    int64_t outer, k, matrices;
    int64_t from_group;          /* packed: codes per group in `from`; its k_stride is their padded number */
    int64_t group_size, group_k; /* of the target */
    int64_t target_k;            /* all groups, padded */
    int64_t target_outer;        /* rows of it: those beyond `outer` are zeros */
    void *codes;                 /* ... of the target; strides in bytes */
    int64_t outer_stride, batch_stride;
    int32_t bits, recenter;
} qmmi_cuda_pack;

/* Sums of canonical codes per row and group, as the codes were given. */
typedef struct qmmi_cuda_sums {
    qmmi_cuda_operand from;
    int64_t outer, groups, matrices;
    int64_t group_size, group_k;
    int32_t lanes; /* that share one sum: a power of 2, at most 32 */
    int32_t *sums;
    int64_t outer_stride, group_stride, batch_stride;
} qmmi_cuda_sums;

qmm_status qmmi_cuda_run_pack(qmm_context *context, const qmmi_cuda_pack *pack);
qmm_status qmmi_cuda_run_sums(qmm_context *context, qmmi_cuda_sums *sums);

#endif
