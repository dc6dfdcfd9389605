/* SPDX-License-Identifier: Apache-2.0
 *
 * THE CONTRACT between the host layer and the backends.
 *
 * Data flows one way: public call -> validate -> problem (problem.h) -> kernel row -> kernel.
 *
 * A backend is one const table: memory and queue slots, and for each operation a list of kernel rows, fastest first,
 * ended by a row without a name. host/cpu/ fills every slot and is the specification.
 */
#ifndef QMMI_BACKEND_H
#define QMMI_BACKEND_H

#include "problem.h"

/* ---- kernel rows ------------------------------------------------------------------------------------------------- */

/* So many tiles among so many; 0, 0: every tile is whole. */
typedef struct qmmi_split {
    int64_t tiles, sharers;
} qmmi_split;

/* One way to run one operation. */
typedef struct qmmi_row {
    const char *name; /* "cpu:matmul:reference"; NULL ends a list */

    /* Capability bits of the device (the backend's own) without which the row cannot run; 0: none. */
    uint32_t needs;

    /* NULL if the row takes this problem, else why not, in static words. Without it the row takes everything. */
    const char *(*accepts)(const qmm_context *context, const qmmi_problem *problem);

    /* NULL, or why a later row is faster here, though this one would be right. Not asked when the row is forced. */
    const char *(*declines)(const qmm_context *context, const qmmi_problem *problem);

    /* Names of tile variants, ended by NULL; without it there are none. A matmul problem asks for variants[variant - 1],
     * or with variant 0 leaves it to the row; accepts refuses a variant that is not made for the problem. */
    const char *const *variants;

    /* The variant that the row, which accepts the problem, chooses for it by itself; 0: one without a name. Of a row that
     * says so each variant is tested when it is first chosen (self_test), of any other all at the row's first use. */
    int (*picks)(const qmm_context *context, const qmmi_problem *problem);

    /* How the last tiles of a matmul, too few to keep the device busy, are shared along K; without it they are not. */
    qmmi_split (*split)(const qmm_context *context, const qmmi_problem *problem);

    /* Seconds that the problem is expected to take, reckoned from waves, bytes and cycles; 0: cannot say. It is asked
     * before accepts. Of the rows that accept and do not decline, a later one runs in place of an earlier one only where
     * both have an estimate and its own is less. */
    double (*estimate)(const qmm_context *context, const qmmi_problem *problem);

    /* Bytes of workspace the run needs. Without it, none. */
    size_t (*workspace)(const qmm_context *context, const qmmi_problem *problem);

    /* Queues the work. The workspace is native memory, aligned to 256 bytes, at least as large as asked for. */
    qmm_status (*run)(qmm_context *context, const qmmi_problem *problem, void *workspace, size_t workspace_offset);

    /* Set for rows that rely on a vendor's library or instructions: before its first use on a context the row, and the
     * variant that is to run, must pass the known-answer test of its operation (host/self_test.c), or the row is refused
     * with that reason. */
    bool self_test;
} qmmi_row;

/* ---- backends ---------------------------------------------------------------------------------------------------- */

/* Bins of a histogram: bin 4096 + floor(x / width) for x >= 0, 4095 - floor(-x / width) below; width = 2^exponent. */
#define QMMI_HISTOGRAM_HALF 4096
#define QMMI_HISTOGRAM_BINS (2 * QMMI_HISTOGRAM_HALF)

/* Sums behind qmm_measure_error, each over the fixed tree of docs/numerics.md. */
typedef struct qmmi_error_sums {
    int64_t count, skipped;
    float error_squared, reference_squared, got_squared, product;
    float max_error;
    float max_value; /* of either side, as it is, before the factor */
} qmmi_error_sums;

/* Slots give QMM_OK or set the context's text by qmmi_fail. Native memory is what buffers hold: a host pointer, a
 * CUdeviceptr, a cl_mem. "Waits" means: returns when the work is done. */
typedef struct qmmi_backend {
    const char *name;

    /* Number of devices that this build can use; where 0, why, in `reason`. Facts of one. */
    int (*device_count)(char *reason, size_t reason_bytes);
    void (*device_info)(int device, qmm_device_info *info);
    /* Is it one for "auto"? Without it, every device is. */
    bool (*device_auto)(int device);
    /* Which of these "name:number" means; -1: none, and why. Without it the number itself. */
    int (*device_index)(int number, char *reason, size_t reason_bytes);

    /* Opens and closes context->device_state; open sets context->capabilities and context->device_key. */
    qmm_status (*open)(qmm_context *context, int device, const qmm_context_options *options);
    void (*close)(qmm_context *context);
    qmm_status (*synchronize)(qmm_context *context);

    /* Does now what the kernels' first use would do later, and says in the log how it goes. Without it, nothing. */
    qmm_status (*prepare)(qmm_context *context);

    /* Is the queue being captured into a graph? Nothing may wait, allocate or free then. Without it, never. */
    bool (*capturing)(const qmm_context *context);

    /* The queue in native form, and another one from the caller; NULL where the device has none. */
    void *(*get_queue)(const qmm_context *context);
    qmm_status (*set_queue)(qmm_context *context, void *native_queue);

    /* Times taken by the device: an event pair; records its start (end = false) or its end in the queue; the seconds
     * between them, which waits; frees it. Without these, or where create gives *pair = NULL (a queue that keeps no
     * times), the host's clock is read. */
    qmm_status (*timer_create)(qmm_context *context, void **pair);
    qmm_status (*timer_record)(qmm_context *context, void *pair, bool end);
    qmm_status (*timer_seconds)(qmm_context *context, void *pair, double *seconds);
    void (*timer_free)(qmm_context *context, void *pair);

    /* Device memory, aligned to at least 256 bytes (a cl_mem: 128). Where there is none, allocate gives
     * QMM_OUT_OF_MEMORY and leaves the text to the caller, who knows what it is for. */
    qmm_status (*allocate)(qmm_context *context, size_t bytes, void **memory);
    void (*release)(qmm_context *context, void *memory, size_t bytes);

    /* Is this native memory of the caller's, usable by the context, and so large? Without it, that cannot be found out. */
    qmm_status (*check_memory)(qmm_context *context, const char *function, void *memory, size_t bytes);

    /* Address of native memory as far as alignment and overlap go; 0 where the form has none (cl_mem). */
    uintptr_t (*address)(const void *memory);
    /* The host can read this memory in place: a pointer to it. NULL: it must be downloaded. */
    const void *(*host_view)(const void *memory);

    qmm_status (*upload)(qmm_context *context, void *memory, size_t offset, const void *source, size_t bytes,
                         bool wait);
    qmm_status (*download)(qmm_context *context, const void *memory, size_t offset, void *target, size_t bytes,
                           bool wait);
    qmm_status (*copy)(qmm_context *context, void *target, size_t target_offset, const void *source,
                       size_t source_offset, size_t bytes);
    qmm_status (*fill)(qmm_context *context, void *memory, size_t offset, uint8_t value, size_t bytes);

    /* Reductions to the host; each waits. x is not empty.
     * find_minmax: over finite values; count of those, and min, max (0, 0 if none).
     * histogram: adds to QMMI_HISTOGRAM_BINS bins; every finite |x| is below 4096 * 2^exponent.
     * measure_error: both tensors times `factor`, a power of two, so that squares neither overflow nor vanish. */
    qmm_status (*find_minmax)(qmm_context *context, const qmmi_view *x, int64_t *count, float *min, float *max);
    qmm_status (*histogram)(qmm_context *context, const qmmi_view *x, int exponent, uint64_t *bins);
    qmm_status (*measure_error)(qmm_context *context, const qmmi_view *reference, const qmmi_view *got, float factor,
                                qmmi_error_sums *sums);

    /* Packed weights of an n x k operand (batch matrices of it; group_size is k where there are no groups): bytes of
     * codes (SIZE_MAX: too many), and the packing, with the codes' sums (s32, [batch][groups][n]). The parameters stay as
     * they are. Sets the strides of `packed` for its own use. */
    size_t (*weights_bytes)(int64_t n, int64_t k, int64_t batch, int64_t group_size, qmm_type type);
    qmm_status (*weights_pack)(qmm_context *context, const qmmi_operand *b, int64_t n, int64_t k, int64_t batch,
                               int64_t group_size, qmmi_operand *packed);

    /* Gathers parameters into dense [batch][groups][n] memory: f32 from scales, s32 (clamped) from zero points. */
    qmm_status (*weights_gather)(qmm_context *context, const qmmi_operand *b, int64_t n, int64_t groups,
                                 int64_t batch, const qmmi_param *scale, const qmmi_param *zero);

    const qmmi_row *rows[QMMI_OPERATION_COUNT];
} qmmi_backend;

extern const qmmi_backend qmmi_cpu_backend;
extern const qmmi_backend qmmi_cuda_backend;
extern const qmmi_backend qmmi_opencl_backend;

/* ---- what a backend may call ------------------------------------------------------------------------------------- */

#if defined(__GNUC__)
#define QMMI_FORMAT(string, first) __attribute__((format(printf, string, first)))
#else
#define QMMI_FORMAT(string, first)
#endif

/* Keeps the text `function: ...` as the context's last error and gives back `status`. */
qmm_status qmmi_fail(qmm_context *context, qmm_status status, const char *function, const char *format, ...)
    QMMI_FORMAT(4, 5);

/* A line for the log callback. */
void qmmi_log(const qmm_context *context, qmm_log_level level, const char *format, ...) QMMI_FORMAT(3, 4);

/* Host memory from the context's allocator; NULL if there is none. Release takes the same size. */
void *qmmi_allocate(const qmm_context *context, size_t bytes);
void qmmi_release(const qmm_context *context, void *pointer, size_t bytes);

#endif
