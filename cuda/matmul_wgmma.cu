/* SPDX-License-Identifier: Apache-2.0
 *
 * Matmul on the tensor cores of sm_90a: wgmma m64nNk32 on operands that the copy engine (TMA) brings. Operands are
 * canonical (host/canonical.h); A may be u8 as it is. Specification: host/cpu/matmul.c.
 *
 *     warpgroup 0, one thread         TMA: 128 k of both operands a step, into the next stage that is empty
 *     warpgroups 1, 2                 wgmma: each 64 (or 128) rows of the tall operand x all n of the wide one; then its
 *                                     part of the epilogue, as soon as it is done, while stages fill for the next tile
 *
 *                 wide operand, n rows                 A stage is full when its bytes have come (mbarrier full), and
 *               .----------------------.               empty when all math warps of all thread blocks that it is read in
 *     tall      |   128 k: a stage     |               or copied to are done with it (mbarrier empty).
 *     operand   '----------------------'
 *     .----.    .----------------------.               The grid is persistent: a cluster of thread blocks goes from tile
 *     |    |    |     warpgroup 1      |               to tile as matmul_tile.cuh deals them, and stages run on across
 *     |    |    |                      |               tiles.
 *     |----|    |----------------------|
 *     |    |    |     warpgroup 2      |               In a cluster of two, each thread block loads its own tall rows,
 *     |    |    |                      |               and half of the wide ones for both.
 *     '----'    '----------------------'
 *
 * The names tall, wide and swapped are those of matmul_wgmma.h. */
#include "matmul_tile.cuh"
#include "matmul_wgmma.h"
#include "ptx.cuh"

/* ---- configuration ----------------------------------------------------------------------------------------------- */

constexpr int STEP_K = QMMI_CUDA_WGMMA_K; /* of a step, and bytes of a row of a stage */
constexpr int SLICES = STEP_K / 32;       /* wgmmas along K in a step */
constexpr int MATH_WARPS = 8, GROUP_THREADS = 128;

/* Registers a thread, of the 168 that each of the 384 begins with: what the producer gives, the math warpgroups take. */
constexpr int PRODUCER_REGISTERS = 40, MATH_REGISTERS = 232;
static_assert(PRODUCER_REGISTERS + 2 * MATH_REGISTERS <= 3 * 168, "or the math warpgroups would wait for ever");

template <int BLOCKS_, int N_, int CLUSTER_, bool SWAPPED_>
struct wgmma_tile {
    static constexpr int BLOCKS = BLOCKS_, N = N_, CLUSTER = CLUSTER_;
    static constexpr bool SWAPPED = SWAPPED_;
    static constexpr int TALL = 2 * 64 * BLOCKS, SHARE = N / CLUSTER; /* rows that a thread block loads */
    static constexpr int ROWS = SWAPPED ? N : TALL * CLUSTER, COLS = SWAPPED ? TALL * CLUSTER : N; /* a cluster's, of C */
    static constexpr int STAGE = QMMI_CUDA_WGMMA_STAGE(BLOCKS, N), STAGES = QMMI_CUDA_WGMMA_STAGES(BLOCKS, N);
    static constexpr int WIDE = TALL * STEP_K; /* where in a stage the wide operand begins */
    static_assert(STAGES >= 3, "two stages at least are under way while one is read");
    static_assert(WIDE % 1024 == 0 && SHARE * STEP_K % 1024 == 0 && STAGE % 1024 == 0, "swizzles begin at 1,024 bytes");
};

#define TILE(name, blocks, n, cluster, swapped) using tile_##name = wgmma_tile<blocks, n, cluster, swapped>;
QMMI_CUDA_WGMMA_TILES(TILE)
#undef TILE

/* ---- stages ------------------------------------------------------------------------------------------------------ */

struct block_state {
    uint64_t full[QMMI_CUDA_WGMMA_STAGES_MAX], empty[QMMI_CUDA_WGMMA_STAGES_MAX];
    int finishes[QMMI_CUDA_WGMMA_GROUPS]; /* of each math warpgroup: it is the last at a split tile */
};

/* Where a warpgroup is in the ring of stages. The parity of the phase that it waits for at full changes with each round. */
template <class TILE>
struct ring {
    int stage = 0;
    uint32_t parity = 0;

    DEVICE void advance() {
        stage = stage + 1 < TILE::STAGES ? stage + 1 : 0;
        parity ^= stage == 0;
    }
};

DEVICE void wait_for(uint64_t *barrier, uint32_t parity) {
    while (!ptx_mbarrier_try_wait(barrier, parity)) {
    }
}

/* With a barrier. */
template <class TILE>
DEVICE void open_stages(block_state &state) {
    if (threadIdx.x == 0) {
        for (int stage = 0; stage < TILE::STAGES; stage++) {
            ptx_mbarrier_init(&state.full[stage], 1);
            ptx_mbarrier_init(&state.empty[stage], MATH_WARPS * TILE::CLUSTER);
        }
        ptx_fence_mbarrier_init(); /* all that the others must see: the arrival need not order anything */
    }
    if constexpr (TILE::CLUSTER > 1) {
        ptx_cluster_arrive_relaxed();
        ptx_cluster_wait();
    } else {
        __syncthreads();
    }
}

/* Nobody arrives at a thread block that has ended. */
template <class TILE>
DEVICE void close_stages() {
    if constexpr (TILE::CLUSTER > 1) {
        ptx_cluster_arrive();
        ptx_cluster_wait();
    }
}

/* A warp is done with a stage, and says so wherever bytes for it come from. */
template <class TILE>
DEVICE void release(block_state &state, int stage) {
    const uint32_t lane = threadIdx.x % 32;
    if constexpr (TILE::CLUSTER > 1) {
        if (lane < TILE::CLUSTER) ptx_mbarrier_arrive_cluster(&state.empty[stage], lane);
    } else {
        if (lane == 0) ptx_mbarrier_arrive(&state.empty[stage]);
    }
}

/* ---- the work ---------------------------------------------------------------------------------------------------- */

template <class TILE>
DEVICE int cluster_rank() {
    return TILE::CLUSTER > 1 ? (int)ptx_cluster_rank() : 0;
}

template <class TILE>
DEVICE tile_cursor first_of_cluster(const qmmi_cuda_matmul &m) {
    return first_segment(m, blockIdx.x / TILE::CLUSTER);
}

/* First row of the tall operand, and of the wide one, that the thread block has in a tile. */
template <class TILE>
DEVICE int tall_of(const tile_segment &s, int rank) {
    return (int)(TILE::SWAPPED ? s.j : s.i) + rank * TILE::TALL;
}

template <class TILE>
DEVICE int wide_of(const tile_segment &s) {
    return (int)(TILE::SWAPPED ? s.i : s.j);
}

/* ---- producer ---------------------------------------------------------------------------------------------------- */

template <class TILE>
DEVICE void load_step(const qmmi_cuda_wgmma &w, unsigned char *stage, uint64_t *full, int k, int tall, int wide, int b,
                      int rank) {
    const int tall_b = w.tall_batched ? b : 0, wide_b = w.wide_batched ? b : 0;
    ptx_mbarrier_arrive_expect_tx(full, TILE::STAGE);
    ptx_tma_load_3d(stage, &w.tall, full, k, tall, tall_b);
    if constexpr (TILE::CLUSTER > 1)
        ptx_tma_load_3d_multicast(stage + TILE::WIDE + rank * TILE::SHARE * STEP_K, &w.wide, full, k,
                                  wide + rank * TILE::SHARE, wide_b, (1 << TILE::CLUSTER) - 1);
    else
        ptx_tma_load_3d(stage + TILE::WIDE, &w.wide, full, k, wide, wide_b);
}

/* One thread. */
template <class TILE>
DEVICE void produce(const qmmi_cuda_wgmma &w, unsigned char *memory, block_state &state) {
    const int rank = cluster_rank<TILE>();
    tile_cursor cursor = first_of_cluster<TILE>(w.m);
    tile_segment s;
    ring<TILE> at;
    ptx_prefetch_tensor_map(&w.tall);
    ptx_prefetch_tensor_map(&w.wide);
    if (w.stores_c) ptx_prefetch_tensor_map(&w.c);
#pragma unroll 1
    while (next_segment<TILE::ROWS, TILE::COLS>(w.m, cursor, s)) {
        const int tall = tall_of<TILE>(s, rank), wide = wide_of<TILE>(s), b = (int)s.b, end = s.end;
#pragma unroll 1
        for (int step = s.step; step < end; step++) {
            wait_for(&state.empty[at.stage], at.parity ^ 1); /* the round before; at once in the first */
            load_step<TILE>(w, memory + at.stage * TILE::STAGE, &state.full[at.stage], step * STEP_K, tall, wide, b,
                            rank);
            at.advance();
        }
    }
}

/* ---- math -------------------------------------------------------------------------------------------------------- */

/* Begins all steps of a segment of the warpgroup's rows. The step before is done, and its stage given back, when the
 * first wgmmas of a step have been issued behind it. */
template <class TILE, class TALL_TYPE, class WIDE_TYPE>
DEVICE void begin_steps(unsigned char *memory, block_state &state, int group, int steps, ring<TILE> &at,
                        int (&acc)[TILE::BLOCKS][TILE::N / 2]) {
    const uint64_t first = ptx_wgmma_descriptor(memory);
    int before = 0; /* the stage of the step before */
#pragma unroll
    for (int r = 0; r < TILE::BLOCKS; r++) ptx_wgmma_keep(acc[r]);
#pragma unroll 1
    for (int step = 0; step < steps; step++) {
        const uint64_t stage = first + (uint32_t)(at.stage * (TILE::STAGE / 16));
        const uint64_t tall = stage + (uint32_t)(group * TILE::BLOCKS * (64 * STEP_K / 16)), wide = stage + TILE::WIDE / 16;
        wait_for(&state.full[at.stage], at.parity);
        ptx_wgmma_fence();
#pragma unroll
        for (int slice = 0; slice < SLICES; slice++) {
#pragma unroll
            for (int r = 0; r < TILE::BLOCKS; r++)
                ptx_wgmma_m64k32<TILE::N, TALL_TYPE, WIDE_TYPE>(acc[r], tall + r * (64 * STEP_K / 16) + slice * (32 / 16),
                                                                wide + slice * (32 / 16), step > 0 || slice > 0);
            if (slice == 0) {
                ptx_wgmma_commit();
                ptx_wgmma_wait<1>();
                if (step > 0) release<TILE>(state, before);
            }
        }
        ptx_wgmma_commit();
        before = at.stage;
        at.advance();
    }
}

/* Waits for the last of them, and gives its stage back. */
template <class TILE>
DEVICE void end_steps(block_state &state, const ring<TILE> &at, int (&acc)[TILE::BLOCKS][TILE::N / 2]) {
    ptx_wgmma_wait<0>();
#pragma unroll
    for (int r = 0; r < TILE::BLOCKS; r++) ptx_wgmma_keep(acc[r]);
    release<TILE>(state, at.stage > 0 ? at.stage - 1 : TILE::STAGES - 1);
}

/* ---- parts of a tile along K ------------------------------------------------------------------------------------- */

/* The sums of a split tile lie in memory as they do in registers. Adds the warpgroup's, and says so. Is its part of the
 * tile complete? Then all of its sums are in the accumulators. */
template <class TILE>
DEVICE bool join_parts(const qmmi_cuda_matmul &m, const tile_segment &s, block_state &state, int rank, int group,
                       int (&acc)[TILE::BLOCKS][TILE::N / 2]) {
    const int64_t part = ((int64_t)s.split_tile * TILE::CLUSTER + rank) * QMMI_CUDA_WGMMA_GROUPS + group;
    const int thread = threadIdx.x % GROUP_THREADS;
    int32_t *sums = m.partials + part * (64 * TILE::BLOCKS * TILE::N) + thread;
#pragma unroll
    for (int r = 0; r < TILE::BLOCKS; r++)
#pragma unroll
        for (int e = 0; e < TILE::N / 2; e++) ptx_red_add(sums + (r * (TILE::N / 2) + e) * GROUP_THREADS, acc[r][e]);
    __threadfence();
    ptx_barrier_sync(1 + group, GROUP_THREADS);
    if (thread == 0) {
        const uint32_t steps = (uint32_t)(s.end - s.step);
        state.finishes[group] = atomicAdd(m.arrived + part, steps) + steps == (uint32_t)m.steps;
        __threadfence();
    }
    ptx_barrier_sync(1 + group, GROUP_THREADS);
    if (!state.finishes[group]) return false;
#pragma unroll
    for (int r = 0; r < TILE::BLOCKS; r++)
#pragma unroll
        for (int e = 0; e < TILE::N / 2; e++) acc[r][e] = __ldcg(sums + (r * (TILE::N / 2) + e) * GROUP_THREADS);
    return true;
}

/* ---- epilogue ---------------------------------------------------------------------------------------------------- */

/* A warp has 16 rows of each 64 of the tall operand. They go to the epilogue in pieces of 16 tall x WIDTH wide, through
 * shared memory of the warp's own, since a run of C is 8 columns of a row, which no thread has. */
template <class TILE>
struct piece {
    static constexpr int WIDTH = TILE::N < 32 ? TILE::N : 32, COUNT = TILE::N / WIDTH;
    static constexpr int ROWS = TILE::SWAPPED ? WIDTH : 16, COLS = TILE::SWAPPED ? 16 : WIDTH; /* of C */
    static constexpr int STRIDE = TILE::SWAPPED ? 20 : 40; /* words; so that the lanes that store at a time meet all banks */
    static_assert(ROWS * STRIDE * 4 <= QMMI_CUDA_WGMMA_PATCH && TILE::N % WIDTH == 0, "a piece fits its memory");
};

/* Puts piece `number` of a warp's into shared memory. It is compared, not computed with, so that registers have constant
 * indices. */
template <class TILE>
DEVICE void put_piece(int *patch, const int (&acc)[TILE::BLOCKS][TILE::N / 2], int number) {
    constexpr int STRIDE = piece<TILE>::STRIDE, WIDTH = piece<TILE>::WIDTH;
    const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
#pragma unroll
    for (int n = 0; n < TILE::BLOCKS * piece<TILE>::COUNT; n++) {
        if (n != number) continue;
#pragma unroll
        for (int j = 0; j < WIDTH / 8; j++) {
            const int *d = acc[n / piece<TILE>::COUNT] + (n % piece<TILE>::COUNT * (WIDTH / 8) + j) * 4;
            if constexpr (TILE::SWAPPED) {
                int *to = patch + (j * 8 + 2 * t) * STRIDE + g;
                to[0] = d[0], to[STRIDE] = d[1], to[8] = d[2], to[STRIDE + 8] = d[3];
            } else {
                int *to = patch + g * STRIDE + j * 8 + 2 * t;
                *(int2 *)to = make_int2(d[0], d[1]);
                *(int2 *)(to + 8 * STRIDE) = make_int2(d[2], d[3]);
            }
        }
    }
}

/* A warp's own memory, for a piece at a time. */
template <class TILE>
DEVICE unsigned char *memory_of_warp(unsigned char *memory) {
    const int warp = ((int)threadIdx.x - GROUP_THREADS) / 32;
    return memory + TILE::STAGES * TILE::STAGE + warp * QMMI_CUDA_WGMMA_WARP;
}

/* Place of piece number n of a warp in the tall and wide rows. */
template <class TILE>
DEVICE int tall_of_piece(int tall, int group, int n) {
    return tall + (group * TILE::BLOCKS + n / piece<TILE>::COUNT) * 64 + (int)threadIdx.x / 32 % 4 * 16;
}

template <class TILE>
DEVICE int wide_of_piece(int wide, int n) {
    return wide + n % piece<TILE>::COUNT * piece<TILE>::WIDTH;
}

/* A staged piece, 32 elements a row, as the copy engine has it: of 2 bytes an element swizzled over 64 bytes, so that the
 * chunk c of 16 bytes of row r is in place c ^ r / 2 % 4. */
DEVICE int staged_offset(int row, int col, int bytes) {
    const int offset = (row * QMMI_CUDA_WGMMA_STORE_COLS + col) * bytes;
    return bytes == 2 ? offset ^ (row / 2 % 4 * 16) : offset;
}

/* Stores a staged piece, which all lanes have written, in the background; nothing where it is outside of C. */
DEVICE void store_piece(const qmmi_cuda_wgmma &w, const unsigned char *staged, int64_t b, int i, int j, bool inside) {
    ptx_fence_proxy_async();
    __syncwarp();
    if (threadIdx.x % 32 == 0) {
        if (inside) ptx_tma_store_3d(&w.c, staged, j, i, (int)b);
        ptx_bulk_commit(); /* of nothing, too: wait_for_stores counts */
    }
}

/* Of the stores of pieces at most `pending` still read what was staged. */
template <int pending>
DEVICE void wait_for_stores() {
    if (threadIdx.x % 32 == 0) ptx_bulk_wait_read<pending>();
    __syncwarp();
}

/* ---- epilogue: only scales, and C in halves ---------------------------------------------------------------------- */

/* A thread's share of the scales of a tile. They are fetched while the last wgmmas are under way. */
template <class TILE>
struct tile_scales {
    static constexpr int COLUMNS = (TILE::N + GROUP_THREADS - 1) / GROUP_THREADS;
    float of_b[COLUMNS];        /* of columns threadIdx.x % 128 and 128 further on */
    float of_a[TILE::BLOCKS][2]; /* of the lane's rows in each 64: g and g + 8 */

    /* tall: the warp's first row. Ones outside of C. */
    DEVICE void load(const qmmi_matmul_problem &p, int64_t b, int tall, int wide) {
        const qmmi_param &from = p.b.scale;
        const bool vary = from.memory && from.row_stride != 0;
        const float one = vary ? 1.0f : scale_at(from, b, 0, 0);
        const float *first = (const float *)at(from.memory, from.offset) + b * from.batch_stride;
#pragma unroll
        for (int n = 0; n < COLUMNS; n++) {
            const int column = wide + n * GROUP_THREADS + (int)(threadIdx.x % GROUP_THREADS);
            of_b[n] = vary && column < p.n ? __ldg(first + column) : one;
        }
#pragma unroll
        for (int n = 0; n < TILE::BLOCKS * 2; n++) {
            const int row = tall + n / 2 * 64 + n % 2 * 8 + (int)(threadIdx.x % 32 / 4);
            of_a[n / 2][n % 2] = row < p.m ? scale_at(p.a.scale, b, row, 0) : 1.0f;
        }
    }
};

/* The two elements of columns 2t, 2t + 1 of a block of 8: y = (float)acc * sb * sa, as halves. */
template <bool F16>
DEVICE uint32_t scaled_pair(const int *acc, float2 sb, float sa) {
    const float low = (float)acc[0] * sb.x * sa, high = (float)acc[1] * sb.y * sa;
    return F16 ? ptx_cvt_f16x2(low, high) : ptx_cvt_bf16x2(low, high);
}

/* Where in a staged piece a lane's elements of each block of 8 columns go, in its first row; those of its second are
 * 8 rows, a period of the swizzle, further on. */
template <int BLOCKS>
struct staged_places {
    unsigned char *first[BLOCKS];

    DEVICE staged_places(unsigned char *staged) {
        const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
#pragma unroll
        for (int n = 0; n < BLOCKS; n++) first[n] = staged + staged_offset(g, n * 8 + 2 * t, 2);
    }
};

/* A piece from the registers into a staged one, `offset` bytes from the places. sb: of the lane's first two columns. */
template <bool F16, int BLOCKS>
DEVICE void stage_scaled(const staged_places<BLOCKS> &to, int offset, const int *acc, const float *sb,
                         const float (&sa)[2]) {
    constexpr int EIGHT_ROWS = 8 * QMMI_CUDA_WGMMA_STORE_COLS * 2;
#pragma unroll
    for (int n = 0; n < BLOCKS; n++) {
        const float2 scale = *(const float2 *)(sb + n * 8);
        *(uint32_t *)(to.first[n] + offset) = scaled_pair<F16>(acc + 4 * n, scale, sa[0]);
        *(uint32_t *)(to.first[n] + offset + EIGHT_ROWS) = scaled_pair<F16>(acc + 4 * n + 2, scale, sa[1]);
    }
}

/* A warp stages pieces in three places in turn; behind these there is room for 128 scales of B. Those of a tile have two
 * such places of their warpgroup, and those of the next tile the other two: so that one barrier a tile is enough. */
constexpr int STAGED = 3;
static_assert(STAGED * QMMI_CUDA_WGMMA_STORE + GROUP_THREADS * 4 <= QMMI_CUDA_WGMMA_WARP, "they fit a warp's memory");

template <class TILE>
DEVICE float *shared_scales(unsigned char *memory, int group, int turn) {
    return (float *)(memory + TILE::STAGES * TILE::STAGE + (group * 4 + turn * 2) * QMMI_CUDA_WGMMA_WARP +
                     STAGED * QMMI_CUDA_WGMMA_STORE);
}

template <class TILE>
DEVICE void share_scales(float *shared, int group, const tile_scales<TILE> &scales) {
    const int thread = threadIdx.x % GROUP_THREADS;
#pragma unroll
    for (int n = 0; n < tile_scales<TILE>::COLUMNS; n++)
        if (n * GROUP_THREADS + thread < TILE::N) shared[n * (QMMI_CUDA_WGMMA_WARP / 4) + thread] = scales.of_b[n];
    ptx_barrier_sync(1 + group, GROUP_THREADS);
}

/* All pieces of the warp, straight from the registers. */
template <class TILE, bool F16>
DEVICE void finish_scaled(const qmmi_cuda_wgmma &w, unsigned char *memory, int group, int turn, int64_t b, int tall,
                          int wide, const tile_scales<TILE> &scales, const int (&acc)[TILE::BLOCKS][TILE::N / 2]) {
    constexpr int COUNT = piece<TILE>::COUNT, WIDTH = piece<TILE>::WIDTH;
    float *const shared = shared_scales<TILE>(memory, group, turn);
    const float *const first = shared + threadIdx.x % 4 * 2;
    unsigned char *const staged = memory_of_warp<TILE>(memory);
    const staged_places<WIDTH / 8> places(staged);
    wait_for_stores<0>();
    share_scales<TILE>(shared, group, scales);
#pragma unroll
    for (int n = 0; n < TILE::BLOCKS * COUNT; n++) {
        const int buffer = n % STAGED * QMMI_CUDA_WGMMA_STORE, column = n % COUNT * WIDTH;
        const int i = tall_of_piece<TILE>(tall, group, n), j = wide + column;
        wait_for_stores<STAGED - 1>();
        stage_scaled<F16>(places, buffer, acc[n / COUNT] + column / 2,
                          first + column / GROUP_THREADS * (QMMI_CUDA_WGMMA_WARP / 4) + column % GROUP_THREADS,
                          scales.of_a[n / COUNT]);
        store_piece(w, staged + buffer, b, i, j, i < w.m.p.m && j < w.m.p.n);
    }
}

/* ---- epilogue: any ----------------------------------------------------------------------------------------------- */

/* Where a run of a piece goes: to C, or to `staged`. */
struct run_of_piece {
    run_of_c c;
    unsigned char *staged;
    int row, col, count; /* in the piece */

    DEVICE unsigned char *first(int bytes) const {
        return staged ? staged + staged_offset(row, col, bytes) : c.first(bytes);
    }
};

/* The epilogue of a piece that lies in `patch`, whose first element is C's (i, j). */
template <class TILE>
DEVICE void finish_piece(const qmmi_cuda_matmul &m, const int *patch, unsigned char *staged, int64_t b, int64_t i,
                         int64_t j) {
    constexpr int RUNS = piece<TILE>::COLS / EPILOGUE_RUN;
#pragma unroll 1
    for (int run = threadIdx.x % 32; run < piece<TILE>::ROWS * RUNS; run += 32) {
        const int row = run / RUNS, col = run % RUNS * EPILOGUE_RUN;
        const int64_t columns = m.p.n - j - col;
        if (i + row >= m.p.m || columns <= 0) continue;
        const int count = columns < EPILOGUE_RUN ? (int)columns : EPILOGUE_RUN;
        const run_of_piece to = { { m.p.c, b, i + row, j + col, count }, staged, row, col,
                                  staged ? EPILOGUE_RUN : count };
        const int *from = patch + row * piece<TILE>::STRIDE + col;
        const int4 x = *(const int4 *)from, y = *(const int4 *)(from + 4);
        const int acc[8] = { x.x, x.y, x.z, x.w, y.x, y.y, y.z, y.w };
        epilogue_run(m, b, i + row, j + col, count, to, acc);
    }
}

/* All pieces of the warp. The copy engine reads a staged piece while the next one is put into the patch. */
template <class TILE>
DEVICE void finish_any(const qmmi_cuda_wgmma &w, unsigned char *memory, int group, int64_t b, int tall, int wide,
                       const int (&acc)[TILE::BLOCKS][TILE::N / 2]) {
    unsigned char *patch = memory_of_warp<TILE>(memory), *staged = patch + QMMI_CUDA_WGMMA_PATCH;
    const bool by_copy = !TILE::SWAPPED && w.stores_c;
#pragma unroll 1
    for (int n = 0; n < TILE::BLOCKS * piece<TILE>::COUNT; n++) {
        const int tall_row = tall_of_piece<TILE>(tall, group, n), wide_row = wide_of_piece<TILE>(wide, n);
        const int64_t i = TILE::SWAPPED ? wide_row : tall_row, j = TILE::SWAPPED ? tall_row : wide_row;
        if (i >= w.m.p.m || j >= w.m.p.n) continue;
        put_piece<TILE>((int *)patch, acc, n);
        wait_for_stores<0>();
        finish_piece<TILE>(w.m, (const int *)patch, by_copy ? staged : nullptr, b, i, j);
        if (by_copy) store_piece(w, staged, b, (int)i, (int)j, true);
        __syncwarp(); /* the patch has been read */
    }
}

/* ---- the kernels ------------------------------------------------------------------------------------------------- */

template <class TILE, class TALL_TYPE, class WIDE_TYPE>
DEVICE void compute(const qmmi_cuda_wgmma &w, unsigned char *memory, block_state &state, int group) {
    const int rank = cluster_rank<TILE>();
    const bool scaled = !TILE::SWAPPED && w.only_scales;
    int acc[TILE::BLOCKS][TILE::N / 2];
    int turn = 0;
    tile_cursor cursor = first_of_cluster<TILE>(w.m);
    tile_segment s;
    ring<TILE> at;
#pragma unroll 1
    while (next_segment<TILE::ROWS, TILE::COLS>(w.m, cursor, s)) {
        const int tall = tall_of<TILE>(s, rank), wide = wide_of<TILE>(s);
        tile_scales<TILE> scales;
        begin_steps<TILE, TALL_TYPE, WIDE_TYPE>(memory, state, group, s.end - s.step, at, acc);
        if (scaled) scales.load(w.m.p, s.b, tall_of_piece<TILE>(tall, group, 0), wide);
        end_steps<TILE>(state, at, acc);
        if (s.split_tile >= 0 && !join_parts<TILE>(w.m, s, state, rank, group, acc)) continue;
        if (!scaled)
            finish_any<TILE>(w, memory, group, s.b, tall, wide, acc);
        else if (w.m.p.c.type == QMM_F16)
            finish_scaled<TILE, true>(w, memory, group, turn, s.b, tall, wide, scales, acc);
        else
            finish_scaled<TILE, false>(w, memory, group, turn, s.b, tall, wide, scales, acc);
        turn ^= 1;
    }
    wait_for_stores<0>(); /* shared memory goes with the thread block */
}

/* A_TYPE: int8_t or uint8_t, what A's codes are. B's are s8. */
template <class TILE, class A_TYPE>
DEVICE void multiply_tiles(const qmmi_cuda_wgmma &w, unsigned char *memory) {
    SHARED_ARRAY(block_state, state, 1);
    const int warpgroup = (int)threadIdx.x / GROUP_THREADS;
    open_stages<TILE>(state[0]);
    if (warpgroup == 0) {
        ptx_setmaxnreg_dec<PRODUCER_REGISTERS>();
        if (threadIdx.x == 0) produce<TILE>(w, memory, state[0]);
    } else {
        ptx_setmaxnreg_inc<MATH_REGISTERS>();
        if constexpr (TILE::SWAPPED)
            compute<TILE, int8_t, A_TYPE>(w, memory, state[0], warpgroup - 1);
        else
            compute<TILE, A_TYPE, int8_t>(w, memory, state[0], warpgroup - 1);
    }
    close_stages<TILE>();
}

CLUSTER_KERNEL(matmul_s8_wgmma_128x256c2_kernel, QMMI_CUDA_WGMMA_THREADS, 1, 2, qmmi_cuda_wgmma, w) {
    DYNAMIC_SHARED(memory);
    multiply_tiles<tile_128x256c2, int8_t>(w, memory);
}

KERNEL(matmul_s8_wgmma_128x256_kernel, QMMI_CUDA_WGMMA_THREADS, 1, qmmi_cuda_wgmma, w) {
    DYNAMIC_SHARED(memory);
    multiply_tiles<tile_128x256, int8_t>(w, memory);
}

KERNEL(matmul_s8_wgmma_256x128_kernel, QMMI_CUDA_WGMMA_THREADS, 1, qmmi_cuda_wgmma, w) {
    DYNAMIC_SHARED(memory);
    multiply_tiles<tile_256x128, int8_t>(w, memory);
}

CLUSTER_KERNEL(matmul_s8_wgmma_128x192c2_kernel, QMMI_CUDA_WGMMA_THREADS, 1, 2, qmmi_cuda_wgmma, w) {
    DYNAMIC_SHARED(memory);
    multiply_tiles<tile_128x192c2, int8_t>(w, memory);
}

KERNEL(matmul_s8_wgmma_128x192_kernel, QMMI_CUDA_WGMMA_THREADS, 1, qmmi_cuda_wgmma, w) {
    DYNAMIC_SHARED(memory);
    multiply_tiles<tile_128x192, int8_t>(w, memory);
}

KERNEL(matmul_s8_wgmma_128x160_kernel, QMMI_CUDA_WGMMA_THREADS, 1, qmmi_cuda_wgmma, w) {
    DYNAMIC_SHARED(memory);
    multiply_tiles<tile_128x160, int8_t>(w, memory);
}

CLUSTER_KERNEL(matmul_s8_wgmma_128x128c2_kernel, QMMI_CUDA_WGMMA_THREADS, 1, 2, qmmi_cuda_wgmma, w) {
    DYNAMIC_SHARED(memory);
    multiply_tiles<tile_128x128c2, int8_t>(w, memory);
}

KERNEL(matmul_s8_wgmma_128x128_kernel, QMMI_CUDA_WGMMA_THREADS, 1, qmmi_cuda_wgmma, w) {
    DYNAMIC_SHARED(memory);
    multiply_tiles<tile_128x128, int8_t>(w, memory);
}

KERNEL(matmul_s8_wgmma_64x128_kernel, QMMI_CUDA_WGMMA_THREADS, 1, qmmi_cuda_wgmma, w) {
    DYNAMIC_SHARED(memory);
    multiply_tiles<tile_64x128, int8_t>(w, memory);
}

KERNEL(matmul_s8_wgmma_32x128_kernel, QMMI_CUDA_WGMMA_THREADS, 1, qmmi_cuda_wgmma, w) {
    DYNAMIC_SHARED(memory);
    multiply_tiles<tile_32x128, int8_t>(w, memory);
}

KERNEL(matmul_s8_wgmma_16x128_kernel, QMMI_CUDA_WGMMA_THREADS, 1, qmmi_cuda_wgmma, w) {
    DYNAMIC_SHARED(memory);
    multiply_tiles<tile_16x128, int8_t>(w, memory);
}

CLUSTER_KERNEL(matmul_u8_wgmma_128x256c2_kernel, QMMI_CUDA_WGMMA_THREADS, 1, 2, qmmi_cuda_wgmma, w) {
    DYNAMIC_SHARED(memory);
    multiply_tiles<tile_128x256c2, uint8_t>(w, memory);
}

KERNEL(matmul_u8_wgmma_128x256_kernel, QMMI_CUDA_WGMMA_THREADS, 1, qmmi_cuda_wgmma, w) {
    DYNAMIC_SHARED(memory);
    multiply_tiles<tile_128x256, uint8_t>(w, memory);
}

KERNEL(matmul_u8_wgmma_256x128_kernel, QMMI_CUDA_WGMMA_THREADS, 1, qmmi_cuda_wgmma, w) {
    DYNAMIC_SHARED(memory);
    multiply_tiles<tile_256x128, uint8_t>(w, memory);
}

CLUSTER_KERNEL(matmul_u8_wgmma_128x192c2_kernel, QMMI_CUDA_WGMMA_THREADS, 1, 2, qmmi_cuda_wgmma, w) {
    DYNAMIC_SHARED(memory);
    multiply_tiles<tile_128x192c2, uint8_t>(w, memory);
}

KERNEL(matmul_u8_wgmma_128x192_kernel, QMMI_CUDA_WGMMA_THREADS, 1, qmmi_cuda_wgmma, w) {
    DYNAMIC_SHARED(memory);
    multiply_tiles<tile_128x192, uint8_t>(w, memory);
}

KERNEL(matmul_u8_wgmma_128x160_kernel, QMMI_CUDA_WGMMA_THREADS, 1, qmmi_cuda_wgmma, w) {
    DYNAMIC_SHARED(memory);
    multiply_tiles<tile_128x160, uint8_t>(w, memory);
}

CLUSTER_KERNEL(matmul_u8_wgmma_128x128c2_kernel, QMMI_CUDA_WGMMA_THREADS, 1, 2, qmmi_cuda_wgmma, w) {
    DYNAMIC_SHARED(memory);
    multiply_tiles<tile_128x128c2, uint8_t>(w, memory);
}

KERNEL(matmul_u8_wgmma_128x128_kernel, QMMI_CUDA_WGMMA_THREADS, 1, qmmi_cuda_wgmma, w) {
    DYNAMIC_SHARED(memory);
    multiply_tiles<tile_128x128, uint8_t>(w, memory);
}

KERNEL(matmul_u8_wgmma_64x128_kernel, QMMI_CUDA_WGMMA_THREADS, 1, qmmi_cuda_wgmma, w) {
    DYNAMIC_SHARED(memory);
    multiply_tiles<tile_64x128, uint8_t>(w, memory);
}

KERNEL(matmul_u8_wgmma_32x128_kernel, QMMI_CUDA_WGMMA_THREADS, 1, qmmi_cuda_wgmma, w) {
    DYNAMIC_SHARED(memory);
    multiply_tiles<tile_32x128, uint8_t>(w, memory);
}

KERNEL(matmul_u8_wgmma_16x128_kernel, QMMI_CUDA_WGMMA_THREADS, 1, qmmi_cuda_wgmma, w) {
    DYNAMIC_SHARED(memory);
    multiply_tiles<tile_16x128, uint8_t>(w, memory);
}
