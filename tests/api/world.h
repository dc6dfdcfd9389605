/* SPDX-License-Identifier: Apache-2.0
 *
 * One context with good arguments for every function of the API, and the list of all functions called with them.
 * Inputs lie in one buffer, outputs in another that is poisoned: what a failing call touched shows. */
#ifndef QMM_TEST_WORLD_H
#define QMM_TEST_WORLD_H

#include "support.h"

enum { WORLD_BYTES = 64 * 1024, SCRATCH_BYTES = 256 * 1024 };

/* What functions give to the host. */
typedef struct host_results {
    double min, max;
    size_t bytes;
    qmm_device_info device;
    qmm_error_measure measure;
    qmm_verify_result verified;
    qmm_compare_result compared;
    qmm_matmul_plan_info plan;
    unsigned char copied[64];
} host_results;

typedef struct world {
    qmm_context *context;
    qmm_buffer *in, *out, *scratch; /* scratch: a caller's workspace; its content counts for nothing */
    qmm_weights *weights;           /* of b */
    qmm_calibrator *calibrator;
    qmm_timer *timer;               /* started and stopped */
    unsigned char in_copy[WORLD_BYTES];
    host_results results;

    /* 6 x 8 */
    qmm_tensor x, codes;      /* f32 and s8, inputs */
    qmm_tensor q, real;       /* s8 and f32, outputs */
    /* 6 x 8 times 8 x 5 */
    qmm_tensor a, b, bias, bias32, residual; /* s8, s8, f32 and s32 1 x 5, f32 6 x 5: inputs */
    qmm_tensor c, c_real, c_codes;           /* s32, f32, s8: outputs */
    /* 64 x 64 x 64, which a vendor's kernel takes and which needs workspace */
    qmm_tensor large_a, large_b, large_c; /* s8, s8, f16 */
    /* vectors of parameters */
    qmm_tensor scales, zeros;         /* 6 x 1, f32 and s32, inputs */
    qmm_tensor scales_out, zeros_out; /* the same, outputs */
    qmm_quant row_quant;              /* scales and zeros per row */
    qmm_quant row_quant_out;
    qmm_quant large_quant;            /* scale 0.5, zero 3 */
} world;

void world_open(world *w, const qmm_context_options *options);
void world_close(world *w);

/* Bytes of a buffer, once what is queued is done. */
void world_read(const world *w, const qmm_buffer *buffer, size_t offset, void *target, size_t bytes);

/* Poisons the output buffer and the host's results. */
void world_poison(world *w);

/* Inputs as they were, outputs and results still poison. */
bool world_unharmed(const world *w);

/* The context still works: a small matmul gives the right numbers. Poisons again afterwards. */
bool world_works(world *w);

/* A function of the API with good arguments. */
typedef struct entry {
    const char *name;
    qmm_status (*call)(world *w, qmm_context *context);
    unsigned flags;
} entry;

enum {
    BY_HANDLE = 1u, /* the context comes from a calibrator or a timer: the argument is not used */
    HOT = 2u,       /* its second call allocates nothing: all but what makes handles or works on the host */
    NO_OUTPUT = 4u  /* nothing of the world changes */
};

extern const entry entries[];
extern const size_t entry_count;

/* Those of tuning, for contexts that refuse everything: a row that fails is no failure of tuning, and files are not of the
 * world. */
enum { TUNING_ENTRIES = 3 };
extern const entry tuning_entries[TUNING_ENTRIES];

/* What an entry gives when nothing fails. */
typedef struct outcome {
    unsigned char out[WORLD_BYTES];
    host_results results;
} outcome;

/* Poisons, calls and waits; the call must succeed. */
void world_run(world *w, const entry *e, outcome *o);
void world_expect_same(const entry *e, const outcome *got, const outcome *right);

/* Fails the first allocation of the entry's call, then the second, until it needs no more: each failure is
 * QMM_OUT_OF_MEMORY, and the call after it gives what it gives. `a` is the watch that the world was opened with. Gives how
 * many failed. */
int world_fail_allocations(world *w, const entry *e, watch *a);

#endif
