/* SPDX-License-Identifier: Apache-2.0
 *
 * qmm: quantize, dequantize and multiply int8 and int4 matrices, with int32 accumulation, on a CPU or a GPU.
 * The same call gives the same bytes on every device; the CPU reference is the specification.
 *
 * A first program
 *
 *     qmm_context *ctx;
 *     qmm_context_open("auto", NULL, &ctx);
 *     qmm_buffer *a, *b, *c;                              create and upload int8 a (m x k), b (k x n); create float c
 *     qmm_tensor ta = qmm_matrix(a, QMM_S8, m, k), tb = qmm_matrix(b, QMM_S8, k, n), tc = qmm_matrix(c, QMM_F32, m, n);
 *     qmm_quant qa = QMM_QUANT_INIT, qb = QMM_QUANT_INIT;
 *     qa.scale_value = 0.02f, qb.scale_value = 0.01f;
 *     qmm_matmul_desc desc = QMM_MATMUL_DESC_INIT;
 *     desc.quant_a = &qa, desc.quant_b = &qb;
 *     if (qmm_matmul(ctx, &desc, &ta, &tb, &tc) != QMM_OK) puts(qmm_context_error(ctx));
 *
 * Contents
 *     1 status   2 types   3 devices   4 contexts   5 buffers   6 tensors   7 quantization parameters
 *     8 quantize, dequantize, requantize   9 ranges and calibration   10 matmul   11 packed weights
 *     12 kernels and plans   13 verification   14 timing and tuning
 *
 * Rules that hold for every declaration, and are not said again
 *     Order     Operations are queued on the context's in-order queue and return before they are done on a GPU; the CPU
 *               device finishes before it returns. Functions that give values to the host wait for them.
 *     Errors    Everything is checked before anything is queued: a call that fails its checks queued nothing and changed
 *               no output. Only a device or a vendor's library that fails at its work (QMM_DEVICE_FAILED, or
 *               QMM_OUT_OF_MEMORY of its own) can leave an output partly written. The text of the last error is
 *               qmm_context_error(). QMM_DEVICE_FAILED is sticky. The library never aborts, exits, prints, or moves work
 *               to the CPU unasked.
 *     Threads   One context belongs to one thread at a time; different contexts are independent. Buffers and weights may
 *               be used by any context on their device (of OpenCL: with the same cl_context); the caller orders the
 *               uses, and frees them on the thread of the context they were made with.
 *     Memory    After qmm_context_prepare, or once the kernel row that runs it has run on the context, a call of the same
 *               or a smaller need of workspace allocates nothing, and with a caller's workspace none does.
 *               Functions that give values to the host may allocate while they work, and oneDNN's gemm, the CPU's fast
 *               row, has memory of its own that no allocator here sees. Only qmm_matmul has a workspace that grows.
 *     Capture   On a CUDA stream under capture, the conversions and qmm_matmul may be called once the context is prepared
 *               and the workspace is the caller's or was reserved before (a workspace that grows is moved, and a graph
 *               would go on using the old one). So may qmm_buffer_copy and _fill, qmm_weights_create with the caller's
 *               storage, and qmm_buffer_upload_async and _download_async of page-locked host memory. What waits for the
 *               device, creates, or would test a kernel or grow the workspace first is refused with
 *               QMM_INVALID_ARGUMENT, and the capture goes on; nothing may be freed that lives on the device, and no
 *               context closed.
 *     Structs   A struct that begins with struct_size is set from its ..._INIT macro; fields are only ever appended.
 *     Sizes     Counts of elements are int64_t, bytes size_t. A dimension of 0 is legal: nothing is read; the matmul of
 *               K = 0 gives the epilogue of 0.
 *     Overlap   An output overlaps no input and not itself, except where said.
 *
 * Since 0.1 unless said otherwise.
 */
#ifndef QMM_QMM_H
#define QMM_QMM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(QMM_STATIC)
#define QMM_API
#elif defined(__GNUC__)
#define QMM_API __attribute__((visibility("default")))
#else
#define QMM_API
#endif

#define QMM_VERSION_MAJOR 0
#define QMM_VERSION_MINOR 1
#define QMM_VERSION_PATCH 0

/* The version of the library in use, as "major.minor.patch"; static storage. */
QMM_API const char *qmm_version(void);

/* ==== 1 status ==================================================================================================== */

/* What a call came to. The numbers are pinned. */
typedef enum qmm_status {
    QMM_OK = 0,
    QMM_INVALID_ARGUMENT = 1, /* a written rule is broken; the text names argument, value and rule */
    QMM_UNSUPPORTED = 2,      /* valid, but no kernel on this device; the text lists why each refused */
    QMM_NO_DEVICE = 3,        /* no such device, no driver, or no backend of that name in this build */
    QMM_OUT_OF_MEMORY = 4,    /* recoverable: free something, and the next call works */
    QMM_BUILD_FAILED = 5,     /* a kernel did not compile; the text holds the compiler's log */
    QMM_DEVICE_FAILED = 6,    /* sticky: every later call on the context says so until it is closed */
    QMM_INTERNAL = 7          /* a defect of qmm; please report the text */
} qmm_status;

/* "QMM_OK" ... "QMM_INTERNAL"; "unknown status" for any other number. Static storage. */
QMM_API const char *qmm_status_name(qmm_status status);

/* ==== 2 types ===================================================================================================== */

/* Element types. Codes: s4 u4 s8 u8 s16 u16. Reals: f32 f16 bf16. s32 holds accumulators and zero points.
 * Layout: 4-bit codes lie two to a byte, the even element in the low nibble; every row starts on a byte. Others are in
 * the machine's (little-endian) order and aligned to their own size. */
typedef enum qmm_type {
    QMM_S4 = 1,
    QMM_U4 = 2,
    QMM_S8 = 3,
    QMM_U8 = 4,
    QMM_S16 = 5,
    QMM_U16 = 6,
    QMM_S32 = 7,
    QMM_F32 = 8,
    QMM_F16 = 9,
    QMM_BF16 = 10
} qmm_type;

/* "s8", "f16" ...; "unknown type" for any other number. Static storage. */
QMM_API const char *qmm_type_name(qmm_type type);

/* Bits an element takes in memory: 4, 8, 16 or 32; 0 for an unknown type. */
QMM_API int qmm_type_bits(qmm_type type);

/* The codes of `bits` bits in `type`: s8 with 8 bits is -128..127, with 4 bits -8..7; u8 with 4 bits 0..15.
 * Limits: 4-bit types 2..4 bits, 8-bit types 2..8, 16-bit types 9..16; bits 0 means all of the type's.
 * Errors: QMM_INVALID_ARGUMENT, leaving *qmin and *qmax alone. */
QMM_API qmm_status qmm_type_range(qmm_type type, int bits, int32_t *qmin, int32_t *qmax);

/* ==== 3 devices =================================================================================================== */

/* How fast a device multiplies int8, in words of the field; REDUCED: tensor cores whose int8 rate was cut. */
typedef enum qmm_int8_class {
    QMM_INT8_NONE = 0,
    QMM_INT8_DP4A = 1,
    QMM_INT8_MMA = 2,
    QMM_INT8_WGMMA = 3,
    QMM_INT8_TCGEN05 = 4,
    QMM_INT8_REDUCED = 5,
    QMM_INT8_VNNI = 6
} qmm_int8_class;

/* "none", "dp4a", "mma", ...; static storage. */
QMM_API const char *qmm_int8_class_name(qmm_int8_class int8_class);

typedef enum qmm_device_kind {
    QMM_DEVICE_KIND_CPU = 1,
    QMM_DEVICE_KIND_GPU = 2,
    QMM_DEVICE_KIND_ACCELERATOR = 3
} qmm_device_kind;

/* "cpu", "gpu", "accelerator"; "unknown device kind" for any other number. Static storage. */
QMM_API const char *qmm_device_kind_name(qmm_device_kind kind);

typedef struct qmm_device_info {
    size_t struct_size;
    char name[32];            /* what qmm_context_open takes: "cpu", "cuda:0", "opencl:1" */
    char description[128];    /* the maker's name of it */
    char driver[128];         /* driver and its version, of OpenCL the platform first; empty where there is none */
    int32_t compute_units;    /* cores or multiprocessors */
    int32_t compute_major;    /* CUDA compute capability; 0 elsewhere */
    int32_t compute_minor;
    qmm_int8_class int8_class;
    uint64_t memory_bytes;    /* 0 if unknown */
    uint64_t memory_bandwidth; /* bytes per second on paper; 0 if unknown */
    qmm_device_kind kind;     /* an OpenCL device may be a CPU */
    int32_t reserved;         /* 0 */
} qmm_device_info;

#define QMM_DEVICE_INFO_INIT \
    { sizeof(qmm_device_info), { 0 }, { 0 }, { 0 }, 0, 0, 0, QMM_INT8_NONE, 0, 0, QMM_DEVICE_KIND_CPU, 0 }

/* A family of devices this library was built with, present or not. */
typedef struct qmm_backend_info {
    size_t struct_size;
    char name[32];     /* "cpu", "cuda", "opencl" */
    int32_t devices;   /* how many were found */
    char reason[260];  /* why none, in a sentence: no driver, driver too old, no device; empty if there are some */
} qmm_backend_info;

#define QMM_BACKEND_INFO_INIT { sizeof(qmm_backend_info), { 0 }, 0, { 0 } }

/* Number of backends in this build, and the facts of one.
 * Errors: QMM_INVALID_ARGUMENT for an index outside 0..count-1, a NULL or a wrong struct_size. */
QMM_API int qmm_backend_count(void);
QMM_API qmm_status qmm_backend_get_info(int index, qmm_backend_info *info);

/* Number of devices over all backends, best first, the CPU last, and the facts of one.
 * Errors: QMM_INVALID_ARGUMENT for an index outside 0..count-1, a NULL or a wrong struct_size. */
QMM_API int qmm_device_count(void);
QMM_API qmm_status qmm_device_get_info(int index, qmm_device_info *info);

/* ==== 4 contexts ================================================================================================== */

/* One device, one in-order queue, one last error. */
typedef struct qmm_context qmm_context;

/* Where memory comes from. A NULL function pointer means the library's own choice (aligned malloc; the driver).
 * allocate gives NULL when there is none; alignment is a power of two; release gets what allocate gave.
 * allocate_device and release_device handle device memory in the backend's own form: a host pointer on the CPU, a
 * CUdeviceptr, a cl_mem. They are called from the thread that uses the context. */
typedef struct qmm_allocator {
    size_t struct_size;
    void *user;
    void *(*allocate)(void *user, size_t bytes, size_t alignment);
    void (*release)(void *user, void *pointer, size_t bytes);
    void *(*allocate_device)(void *user, size_t bytes, size_t alignment);
    void (*release_device)(void *user, void *pointer, size_t bytes);
} qmm_allocator;

#define QMM_ALLOCATOR_INIT { sizeof(qmm_allocator), NULL, NULL, NULL, NULL, NULL }

typedef enum qmm_log_level {
    QMM_LOG_ERROR = 1,
    QMM_LOG_WARNING = 2,
    QMM_LOG_INFO = 3,
    QMM_LOG_DEBUG = 4
} qmm_log_level;

/* Called with one line without its newline, on the thread that uses the context. It must not call the context. */
typedef void (*qmm_log_function)(void *user, qmm_log_level level, const char *line);

typedef struct qmm_context_options {
    size_t struct_size;
    void *native_context;       /* OpenCL: the caller's cl_context; CUDA: unused, the primary context is; else NULL */
    void *native_queue;         /* the caller's CUstream or cl_command_queue; NULL: the context makes its own. CUDA's
                                 * default streams have numbers: CU_STREAM_LEGACY (1), CU_STREAM_PER_THREAD (2) */
    const qmm_allocator *allocator; /* copied; NULL: the library's own */
    qmm_log_function log;       /* NULL: silent */
    void *log_user;
    qmm_log_level log_level;    /* lines above this level are not made */
    const char *tuning_file;    /* kernel choices measured earlier (section 14); NULL: what QMM_TUNING_FILE names, if
                                 * anything; "": none. A file that cannot be used is ignored with a line in the log */
    const char *cache_directory; /* OpenCL: an existing directory for built kernels, which nobody else should be able to
                                  * write to; NULL: they are not kept */
    char *error_text;           /* receives the text when opening fails; NULL: not wanted */
    size_t error_text_size;     /* bytes at error_text; longer texts are cut, always ended by a zero byte */
    int32_t profile;            /* nonzero: a queue that the context makes keeps times for qmm_timer; only OpenCL's have
                                 * to be made for it */
    int32_t reserved;           /* 0 */
} qmm_context_options;

#define QMM_CONTEXT_OPTIONS_INIT \
    { sizeof(qmm_context_options), NULL, NULL, NULL, NULL, NULL, QMM_LOG_INFO, NULL, NULL, NULL, 0, 0, 0 }

/* Opens a device by name: "cpu", "cuda" (its first), "cuda:1", "opencl:0", or "auto": the first of qmm_device_get_info,
 * passing over OpenCL devices that are CPUs or do not promise to keep subnormal numbers, so "cpu" only where no GPU is
 * usable. CUDA devices have the driver's numbers (CUDA_VISIBLE_DEVICES applied), also where this build has no kernels
 * for some of them; OpenCL devices are numbered GPUs and accelerators first, then CPUs, each in the drivers' order.
 * options may be NULL. On failure *context is NULL.
 * Ownership: the caller closes it. Threads: safe to call at any time.
 * Errors: QMM_INVALID_ARGUMENT (NULL, name not understood, struct_size), QMM_NO_DEVICE, QMM_OUT_OF_MEMORY,
 * QMM_DEVICE_FAILED. */
QMM_API qmm_status qmm_context_open(const char *device, const qmm_context_options *options, qmm_context **context);

/* Waits for the queue, frees every buffer, weights, calibrator and timer of the context that is still alive (their handles
 * die with it), closes it. NULL is ignored. A wrapped native pointer or a caller's queue is left to the caller. */
QMM_API void qmm_context_close(qmm_context *context);

/* The text of the last call that failed on this context, as `qmm_matmul: row stride 60 of a is less than its 64
 * columns`; "" before any. Ownership: the context's, until its next failing call. */
QMM_API const char *qmm_context_error(const qmm_context *context);

/* The last status given by a call on this context that failed; QMM_OK before any. */
QMM_API qmm_status qmm_context_error_status(const qmm_context *context);

/* The device's facts. Errors: QMM_INVALID_ARGUMENT. */
QMM_API qmm_status qmm_context_get_device_info(qmm_context *context, qmm_device_info *info);

/* Waits until all queued work is done. Errors: QMM_DEVICE_FAILED if any of it failed. */
QMM_API qmm_status qmm_context_synchronize(qmm_context *context);

/* The queue in native form, to order other work with: a CUstream, a cl_command_queue; NULL on the CPU, which has none. */
QMM_API void *qmm_context_native_queue(qmm_context *context);

/* From now on the context works on this queue of the caller's, which must outlive its use. Work queued before stays where
 * it is; the caller orders the two queues.
 * Errors: QMM_INVALID_ARGUMENT (NULL, or a device without queues: the CPU), QMM_DEVICE_FAILED. */
QMM_API qmm_status qmm_context_set_queue(qmm_context *context, void *native_queue);

/* Does now what first uses would do later: builds kernels and runs the known-answer test of every kernel row, once per
 * context.
 * A row that fails its test is refused from then on, with that as its reason; that is no error of this call.
 * Errors: QMM_BUILD_FAILED, QMM_OUT_OF_MEMORY, QMM_DEVICE_FAILED. */
QMM_API qmm_status qmm_context_prepare(qmm_context *context);

/* Makes the context's own workspace at least this large, so that no later call allocates. Errors: QMM_OUT_OF_MEMORY. */
QMM_API qmm_status qmm_context_reserve_workspace(qmm_context *context, size_t bytes);

/* ==== 5 buffers =================================================================================================== */

/* Device memory. On the CPU device, host memory. */
typedef struct qmm_buffer qmm_buffer;

/* Allocates uninitialised device memory, aligned to at least 256 bytes (a cl_mem: to what its driver gives, which is at
 * least 128). bytes 0 is legal.
 * Ownership: the caller frees it. Errors: QMM_INVALID_ARGUMENT, QMM_OUT_OF_MEMORY. */
QMM_API qmm_status qmm_buffer_create(qmm_context *context, size_t bytes, qmm_buffer **buffer);

/* Uses the caller's memory: a host pointer on the CPU, a CUdeviceptr cast to a pointer, a cl_mem.
 * Ownership: the memory stays the caller's and must outlive the buffer; the buffer is freed by the caller.
 * OpenCL: a buffer, or a sub-buffer, of the context's cl_context (native_context). One that uses host memory
 * (CL_MEM_USE_HOST_PTR) needs that aligned to 128 bytes. Sub-buffers that overlap in their parent are not seen to.
 * Errors: QMM_INVALID_ARGUMENT (NULL with bytes > 0, a range past the end of the address space; no buffer of this
 * cl_context, or one of less than `bytes`). */
QMM_API qmm_status qmm_buffer_wrap(qmm_context *context, void *native, size_t bytes, qmm_buffer **buffer);

/* Frees it once queued work no longer needs it. NULL is ignored. */
QMM_API void qmm_buffer_free(qmm_buffer *buffer);

/* Its size in bytes, and its memory in native form (see qmm_buffer_wrap). 0 and NULL for a NULL buffer. */
QMM_API size_t qmm_buffer_bytes(const qmm_buffer *buffer);
QMM_API void *qmm_buffer_native(const qmm_buffer *buffer);

/* Copies between host and device, on the queue of `context`.
 * upload returns when `source` may be changed; download returns when `target` is filled; copy and fill are queued.
 * Limits: offset + bytes at most the buffer's size; bytes 0 is legal with a NULL host pointer.
 * Overlap: a copy within one buffer needs disjoint ranges.
 * Errors: QMM_INVALID_ARGUMENT, QMM_DEVICE_FAILED. */
QMM_API qmm_status qmm_buffer_upload(qmm_context *context, qmm_buffer *buffer, size_t offset, const void *source,
                                     size_t bytes);
QMM_API qmm_status qmm_buffer_download(qmm_context *context, const qmm_buffer *buffer, size_t offset, void *target,
                                       size_t bytes);
QMM_API qmm_status qmm_buffer_copy(qmm_context *context, qmm_buffer *target, size_t target_offset,
                                   const qmm_buffer *source, size_t source_offset, size_t bytes);
QMM_API qmm_status qmm_buffer_fill(qmm_context *context, qmm_buffer *buffer, size_t offset, uint8_t value,
                                   size_t bytes);

/* The same, only queued: the host memory must stay as it is until qmm_context_synchronize. */
QMM_API qmm_status qmm_buffer_upload_async(qmm_context *context, qmm_buffer *buffer, size_t offset, const void *source,
                                           size_t bytes);
QMM_API qmm_status qmm_buffer_download_async(qmm_context *context, const qmm_buffer *buffer, size_t offset,
                                             void *target, size_t bytes);

/* ==== 6 tensors =================================================================================================== */

/* A matrix, or a batch of them, in a buffer: a plain value, owning nothing. Row-major; a sub-matrix is a tensor with a
 * larger offset and its parent's row_stride. Strides count elements.
 * Limits: offset a multiple of the element size (1 for codes of 8 bits or fewer); row_stride >= cols; batch >= 1;
 *         4-bit types: row_stride and batch_stride even; everything inside the buffer.
 * Overlap: inputs may repeat (batch_stride 0 uses one matrix for all); an output's matrices and rows may not overlap. */
typedef struct qmm_tensor {
    qmm_buffer *buffer;   /* may be NULL only where there is no element */
    size_t offset;        /* bytes from the buffer's start to element (0, 0) */
    qmm_type type;
    int64_t rows;
    int64_t cols;
    int64_t row_stride;   /* elements from a row to the next */
    int64_t batch;        /* number of matrices */
    int64_t batch_stride; /* elements from a matrix to the next */
} qmm_tensor;

/* A dense rows x cols matrix at the start of a buffer (4-bit rows padded to a whole byte); never fails. */
QMM_API qmm_tensor qmm_matrix(qmm_buffer *buffer, qmm_type type, int64_t rows, int64_t cols);

/* Bytes a dense batch of matrices needs, 4-bit rows padded to a whole byte.
 * Errors: QMM_INVALID_ARGUMENT (negative size, unknown type, more than PTRDIFF_MAX bytes), leaving *bytes alone. */
QMM_API qmm_status qmm_matrix_bytes(qmm_type type, int64_t rows, int64_t cols, int64_t batch, size_t *bytes);

/* ==== 7 quantization parameters =================================================================================== */

/* Which elements of a tensor, as it is stored, share one scale and one zero point.
 * The shape of the scale tensor (and of the zero tensor) of a rows x cols tensor:
 *     PER_TENSOR        1 x 1
 *     PER_ROW           rows x 1               per token, for activations stored token by row
 *     PER_COLUMN        1 x cols               per output channel, for weights stored K x N
 *     PER_ROW_GROUP     rows x (cols / group)  groups of consecutive elements of a row; group divides cols
 *     PER_COLUMN_GROUP  (rows / group) x cols  groups of consecutive elements of a column; group divides rows
 * A PER_ROW vector may also be given as 1 x rows, a PER_COLUMN vector as cols x 1. */
typedef enum qmm_granularity {
    QMM_PER_TENSOR = 0,
    QMM_PER_ROW = 1,
    QMM_PER_COLUMN = 2,
    QMM_PER_ROW_GROUP = 3,
    QMM_PER_COLUMN_GROUP = 4
} qmm_granularity;

/* The affine map real = scale * (code - zero): where its parameters live.
 * Where:  on the device, in `scale` and `zero`; or on the host, where the device tensor is NULL: scale_value, per tensor
 *         only, and zero_value, one for all whatever the granularity.
 * Types:  scale f32, f16 or bf16 (the last two convert exactly); zero s32, s8 or u8. Batch 1, or the tensor's batch.
 * Limits: a host scale is finite and above 0, a host zero point lies in the range of the tensor's type; both are
 *         checked. Device values are the caller's promise; a zero point outside the type's range is taken as the
 *         nearest end of it.
 * Symmetric: no zero tensor and zero_value 0.
 * Sums:   the sums of the codes of each row, over each group where the scales are per row group: s32, rows x 1 or rows x
 *         groups, in the tensor's batch, modulo 2^32. qmm_quantize and qmm_quantize_dynamic write them with the codes;
 *         as quant_a of a matmul whose B has zero points they save a pass over A, and are the caller's promise. Nothing
 *         else takes them, nor does a transposed A. */
typedef struct qmm_quant {
    size_t struct_size;
    qmm_granularity granularity;
    int64_t group_size;      /* elements per group; 0 unless granularity is a group */
    int32_t bits;            /* narrows the codes' range, see qmm_type_range; 0: all bits of the type */
    float scale_value;
    int32_t zero_value;
    const qmm_tensor *scale; /* read during the call only, like every pointer here */
    const qmm_tensor *zero;
    const qmm_tensor *sums;  /* NULL: not wanted, or not known */
} qmm_quant;

#define QMM_QUANT_INIT { sizeof(qmm_quant), QMM_PER_TENSOR, 0, 0, 1.0f, 0, NULL, NULL, NULL }

/* Static parameters from a range, on the host, in double, rounded to float once.
 *     symmetric   scale = max(|min|, |max|) / qmax, zero = 0
 *     asymmetric  scale = (max - min) / (qmax - qmin), zero = clamp(rint(qmin - min / scale), qmin, qmax)
 * with the range first widened to contain 0. An all-zero range gives scale 1 and zero 0 (symmetric) or qmin.
 * A scale below 2^-126 becomes 2^-126, one above FLT_MAX becomes FLT_MAX.
 * Limits: min <= max, both finite; type a code type; bits as in qmm_type_range.
 * Errors: QMM_INVALID_ARGUMENT, leaving the outputs alone.
 * Source: ONNX QuantizeLinear and DynamicQuantizeLinear; Jacob et al., arXiv 1712.05877, section 2.1. */
QMM_API qmm_status qmm_choose_params(double min, double max, qmm_type type, int bits, int symmetric, float *scale,
                                     int32_t *zero);

/* ==== 8 quantize, dequantize, requantize ========================================================================== */

/* q = clamp(rint(x / scale) + zero, qmin, qmax): true division, ties to even, the zero point added after rounding.
 * Shapes: x and q the same rows, cols and batch. Types: x f32, f16, bf16; q any code type.
 * Exactness: bit for bit on every device. NaN gives zero (the code of 0.0), infinities saturate.
 * Overlap: q and the sums overlap nothing. quant NULL means scale 1 and zero 0.
 * Errors: QMM_INVALID_ARGUMENT, QMM_UNSUPPORTED, QMM_DEVICE_FAILED. Source: ONNX QuantizeLinear. */
QMM_API qmm_status qmm_quantize(qmm_context *context, const qmm_tensor *x, const qmm_quant *quant,
                                const qmm_tensor *q);

/* Finds the parameters of every row, column, group or the tensor from its finite values in float32, writes them to
 * quant->scale (f32) and quant->zero (s32), and quantizes with them as qmm_quantize does.
 *     symmetric (quant->zero NULL)  scale = absmax / qmax
 *     asymmetric                    scale = (max - min) / (qmax - qmin), zero = clamp(rint(qmin - min / scale), ...)
 * with the range widened to contain 0, a scale below 2^-126 raised to it, and scale 1 and zero 0 or qmin where every
 * finite value is 0 or there is none. NaN and infinities are passed over, then quantized as qmm_quantize does.
 * Shapes, types: as qmm_quantize; scale and zero have the shape of the granularity, and x's batch.
 * Overlap: x, q, scale, zero and sums are disjoint. Errors: as qmm_quantize. Source: ONNX DynamicQuantizeLinear. */
QMM_API qmm_status qmm_quantize_dynamic(qmm_context *context, const qmm_tensor *x, const qmm_quant *quant,
                                        const qmm_tensor *q);

/* x = (float)(q - zero) * scale, then one rounding to f16 or bf16 if x is of that type.
 * Shapes: as qmm_quantize. Types: q any code type or s32 (whose zero point must be 0: no zero tensor, zero_value 0);
 * x f32, f16, bf16. Exactness: bit for bit on every device. Errors: as qmm_quantize. Source: ONNX DequantizeLinear. */
QMM_API qmm_status qmm_dequantize(qmm_context *context, const qmm_tensor *q, const qmm_quant *quant,
                                  const qmm_tensor *x);

/* Codes to codes in one pass: y = (float)(source - zero) * scale, then target = clamp(rint(y / scale') + zero', ...).
 * Shapes: as qmm_quantize. Types: source any code type or s32 (zero point 0), target any code type.
 * Exactness: the bits of qmm_dequantize to f32 followed by qmm_quantize. Errors: as qmm_quantize. */
QMM_API qmm_status qmm_requantize(qmm_context *context, const qmm_tensor *source, const qmm_quant *source_quant,
                                  const qmm_tensor *target, const qmm_quant *target_quant);

/* ==== 9 ranges, calibration, error ================================================================================ */

/* How a range is chosen from data. Non-finite values are passed over.
 *     MINMAX      the smallest and the largest value; if symmetric, -absmax and absmax
 *     PERCENTILE  cuts (100 - percentile) % of the values: at both ends, or of |x| if symmetric
 *     MSE         of the whole range and its shrinkings to 99 %, 98 % ... 1 %, the one with the least mean squared error
 *     ENTROPY     the clipping range with the least Kullback-Leibler divergence (symmetric only)
 * The last three work on a histogram of 2 x 4096 bins whose width is a power of two and doubles as larger values come. */
typedef enum qmm_range_method {
    QMM_RANGE_MINMAX = 0,
    QMM_RANGE_PERCENTILE = 1,
    QMM_RANGE_MSE = 2,
    QMM_RANGE_ENTROPY = 3
} qmm_range_method;

typedef struct qmm_range_options {
    size_t struct_size;
    qmm_range_method method;
    int32_t symmetric;     /* nonzero: the range is -t .. t */
    qmm_type type;         /* of the codes to come; MSE and ENTROPY use it */
    int32_t bits;          /* as in qmm_type_range */
    double percentile;     /* above 50, at most 100 */
    double moving_average; /* MINMAX of many batches: weight of each new batch, above 0, at most 1; 0: the union */
} qmm_range_options;

#define QMM_RANGE_OPTIONS_INIT { sizeof(qmm_range_options), QMM_RANGE_MINMAX, 1, QMM_S8, 0, 99.99, 0.0 }

/* The range of one tensor (f32, f16, bf16). Symmetric gives min = -max. No finite value gives 0 and 0.
 * options NULL means QMM_RANGE_OPTIONS_INIT. Waits for the device.
 * Exactness: the same on every device. Errors: QMM_INVALID_ARGUMENT, QMM_OUT_OF_MEMORY, QMM_DEVICE_FAILED. */
QMM_API qmm_status qmm_find_range(qmm_context *context, const qmm_tensor *x, const qmm_range_options *options,
                                  double *min, double *max);

/* The same over many batches: create, observe each, ask the range (as often as wanted), free.
 * The result of MINMAX without moving average, PERCENTILE, MSE and ENTROPY does not depend on the batches' order,
 * except that bins merged for a large value stay merged.
 * Ownership: the caller frees it. Errors: as qmm_find_range. */
typedef struct qmm_calibrator qmm_calibrator;
QMM_API qmm_status qmm_calibrator_create(qmm_context *context, const qmm_range_options *options,
                                         qmm_calibrator **calibrator);
QMM_API qmm_status qmm_calibrator_observe(qmm_calibrator *calibrator, const qmm_tensor *x);
QMM_API qmm_status qmm_calibrator_range(qmm_calibrator *calibrator, double *min, double *max);
QMM_API void qmm_calibrator_free(qmm_calibrator *calibrator);

/* How far `got` is from `reference`. Pairs with a NaN or an infinity on either side are left out and counted. */
typedef struct qmm_error_measure {
    size_t struct_size;
    int64_t count;     /* pairs measured */
    int64_t skipped;   /* pairs left out */
    double mse;        /* mean of (got - reference)^2; 0 if count is 0 */
    double max_error;  /* largest |got - reference| */
    double sqnr_db;    /* 10 log10(sum reference^2 / sum (got - reference)^2); +infinity if equal, or nearer than 2^-75
                        * of the largest value */
    double cosine;     /* of the angle between the two; 1 if both are all zero */
} qmm_error_measure;

#define QMM_ERROR_MEASURE_INIT { sizeof(qmm_error_measure), 0, 0, 0.0, 0.0, 0.0, 0.0 }

/* Shapes: the same rows, cols, batch. Types: f32, f16, bf16 each. Waits for the device.
 * Exactness: the same on every device: differences, squares and sums in float32, scaled by a power of two so that nothing
 * overflows, summed in one fixed tree (docs/numerics.md), the quotients in double.
 * Errors: QMM_INVALID_ARGUMENT, QMM_OUT_OF_MEMORY, QMM_DEVICE_FAILED. */
QMM_API qmm_status qmm_measure_error(qmm_context *context, const qmm_tensor *reference, const qmm_tensor *got,
                                     qmm_error_measure *measure);

/* ==== 10 matmul =================================================================================================== */

/* GELU is x Phi(x) (ONNX Gelu); GELU_TANH its tanh form; SILU x / (1 + exp(-x)). Made of + - * / only, so they are the
 * same bits everywhere; docs/numerics.md has their error in ulp over all floats. */
typedef enum qmm_activation {
    QMM_ACTIVATION_NONE = 0,
    QMM_ACTIVATION_RELU = 1,
    QMM_ACTIVATION_GELU = 2,
    QMM_ACTIVATION_GELU_TANH = 3,
    QMM_ACTIVATION_SILU = 4
} qmm_activation;

typedef struct qmm_weights qmm_weights;

/* Everything about a matmul but its three tensors. Pointers are read during the call only; NULL means "none". */
typedef struct qmm_matmul_desc {
    size_t struct_size;
    int32_t transpose_a;         /* nonzero: a is stored K x M */
    int32_t transpose_b;         /* nonzero: b is stored N x K */
    qmm_activation activation;
    const qmm_quant *quant_a;    /* per tensor, per row of A, or groups along K */
    const qmm_quant *quant_b;    /* per tensor, per column of B, or groups along K; NULL with weights */
    const qmm_quant *quant_c;    /* code outputs only: per tensor, per row or per column */
    const qmm_tensor *bias;      /* 1 x N (or N x 1), f32 or s32; batch 1 or C's */
    const qmm_tensor *residual;  /* M x N, f32, f16 or bf16, batch 1 or C's; may be c itself */
    const qmm_weights *weights;  /* packed B; the argument b is then NULL */
    qmm_buffer *workspace;       /* NULL: the context's own */
    size_t workspace_offset;     /* bytes, a multiple of 256 */
    size_t workspace_bytes;      /* at least qmm_matmul_workspace() */
} qmm_matmul_desc;

#define QMM_MATMUL_DESC_INIT \
    { sizeof(qmm_matmul_desc), 0, 0, QMM_ACTIVATION_NONE, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, 0 }

/* C = epilogue(A B), A of M x K codes, B of K x N codes:
 *     acc[i,j] = sum over k of (a[i,k] - za) * (b[k,j] - zb)      the exact integer
 *     acc      = acc + bias[j]                                    s32 bias only
 *     y        = (float)acc;  y = y * sb[j];  y = y * sa[i]       one rounding per operation, no FMA
 *     y        = y + bias[j]                                      f32 bias only
 *     y        = y + residual[i,j];  y = activation(y)
 *     c        = y rounded once to f32, f16 or bf16; or clamp(rint(y / sc) + zc, qmin, qmax)
 * With groups along K: y = sum over groups in order of k, from 0, of ((float)acc_group * sb) * sa, each factor that is
 * given per group; the factors that are not follow once after the sum, sb before sa.
 * An s32 c receives acc itself, saturated only if an s32 bias takes it out of range; scales are not applied, and an
 * activation, a residual or an f32 bias is refused.
 * Types:  a s8, u8; b s8, u8, s4, u4; c s32, f32, f16, bf16, s8, u8, s16, u16.
 * Shapes: a M x K (K x M if transpose_a), b K x N (N x K), c M x N. a and b have C's batch, or batch 1 for all.
 *         desc NULL means QMM_MATMUL_DESC_INIT.
 * Limits: s32 output needs K <= qmm_matmul_k_limit(). Beyond it the other outputs are exact all the same: partial sums
 *         are added in 64 bits. An s32 bias excludes groups. Groups of a and b along K are equal.
 * Overlap: c overlaps nothing, but may be the residual itself (same place, type and strides).
 * Exactness: the same bytes for every kernel, device, split and batch size.
 * Errors: QMM_INVALID_ARGUMENT, QMM_UNSUPPORTED, QMM_OUT_OF_MEMORY (the context's workspace), QMM_DEVICE_FAILED.
 * Source: ONNX MatMulInteger, QLinearMatMul; Jacob et al., arXiv 1712.05877, section 2.3. */
QMM_API qmm_status qmm_matmul(qmm_context *context, const qmm_matmul_desc *desc, const qmm_tensor *a,
                              const qmm_tensor *b, const qmm_tensor *c);

/* Bytes of workspace that call would use, 0 if none. Tensors may have NULL buffers, and are then taken to lie at addresses
 * that are multiples of 256: less aligned ones may need more. Nothing runs but, at its first use, a
 * kernel's known-answer test. Errors: as qmm_matmul. */
QMM_API qmm_status qmm_matmul_workspace(qmm_context *context, const qmm_matmul_desc *desc, const qmm_tensor *a,
                                        const qmm_tensor *b, const qmm_tensor *c, size_t *bytes);

/* The largest K whose accumulator cannot leave int32: floor((2^31 - 1) / (A * B)), with A and B the largest size of a
 * code minus its zero point. s8 x s8: 131,071; u8 x s8: 65,793; u8 x u8, or zero points on both sides: 33,025.
 * 0 for types qmm_matmul does not take. */
QMM_API int64_t qmm_matmul_k_limit(qmm_type a, int a_has_zero, qmm_type b, int b_has_zero);

/* ==== 11 packed weights =========================================================================================== */

/* B laid out once for a device, with its scales and zero points; immutable, usable by every context on the device.
 * The layout is the library's own. Memory: qmm_weights_bytes, about that of b plus its parameters and column sums. */
typedef struct qmm_weights_options {
    size_t struct_size;
    int32_t transpose_b;     /* nonzero: b is stored N x K */
    const qmm_quant *quant;  /* as quant_b of qmm_matmul; its device tensors are copied. NULL: scale 1, zero 0 */
    qmm_buffer *storage;     /* NULL: the weights' own memory; else the caller's, which must outlive them */
    size_t storage_offset;   /* bytes, a multiple of 256 */
} qmm_weights_options;

#define QMM_WEIGHTS_OPTIONS_INIT { sizeof(qmm_weights_options), 0, NULL, NULL, 0 }

/* Bytes of storage the weights of b will take. Tensors may have NULL buffers. options NULL means
 * QMM_WEIGHTS_OPTIONS_INIT.
 * Errors: QMM_INVALID_ARGUMENT. */
QMM_API qmm_status qmm_weights_bytes(qmm_context *context, const qmm_tensor *b, const qmm_weights_options *options,
                                     size_t *bytes);

/* Packs b. When the queue has passed this point, b and its parameters are no longer needed.
 * Types: b s8, u8, s4, u4. Ownership: the caller frees it.
 * Errors: QMM_INVALID_ARGUMENT, QMM_UNSUPPORTED, QMM_OUT_OF_MEMORY, QMM_DEVICE_FAILED. */
QMM_API qmm_status qmm_weights_create(qmm_context *context, const qmm_tensor *b, const qmm_weights_options *options,
                                      qmm_weights **weights);

/* Frees it once queued work no longer needs it. NULL is ignored. */
QMM_API void qmm_weights_free(qmm_weights *weights);

/* ==== 12 kernels and plans ======================================================================================== */

/* An operation runs on the first kernel row of the device's table that accepts it, unless a later one that accepts
 * expects to take less time, or one was tuned (section 14). Rows are named device kind, operation, way:
 * "cpu:matmul:onednn". The rows of a context, in the order they are tried; "" past the end. */
QMM_API int qmm_kernel_count(qmm_context *context);
QMM_API const char *qmm_kernel_name(qmm_context *context, int index);

/* Tile variants of a row, which it otherwise chooses among by itself: the name of the variant-th; "" past the end, and
 * for rows that have none. */
QMM_API const char *qmm_kernel_variant_name(qmm_context *context, int index, int variant);

/* From now on the operation named in the row's name runs on that row or not at all (QMM_UNSUPPORTED with its reason).
 * With a slash and a variant's name behind it ("cuda:matmul:mma/large"), with that variant.
 * NULL takes back every such choice. Errors: QMM_INVALID_ARGUMENT for a name that is not in the table. */
QMM_API qmm_status qmm_kernel_force(qmm_context *context, const char *name);

/* Called once per row of the operation in the order tried: reason is NULL if it accepts, else why not, or that it
 * is slower. The first that accepts is the one that would run. Strings live during the call. */
typedef void (*qmm_explain_function)(void *user, const char *kernel, const char *reason);

/* Which kernel would run that call, and why every other would not. Tensors may have NULL buffers: nothing runs but, at
 * its first use, a kernel's known-answer test. Errors: as qmm_matmul, but never QMM_UNSUPPORTED. */
QMM_API qmm_status qmm_matmul_explain(qmm_context *context, const qmm_matmul_desc *desc, const qmm_tensor *a,
                                      const qmm_tensor *b, const qmm_tensor *c, qmm_explain_function explain,
                                      void *user);

/* What qmm_matmul would do. */
typedef struct qmm_matmul_plan_info {
    size_t struct_size;
    char kernel[64];          /* the row's name; empty where nothing would run: M or N is 0 */
    char variant[32];         /* of the row, where it was forced or tuned; empty: the row's own choice */
    int32_t tuned;            /* nonzero: a tuned choice (section 14) */
    int32_t reserved;         /* 0 */
    size_t workspace_bytes;   /* that this kernel needs */
    double estimate;          /* seconds that the row expects to take; 0: it has no estimate */
    char tile[32];            /* the variant that runs: as above, or the row's own choice; empty: that has no name */
    int64_t split_tiles;      /* tiles at the end of the work whose K is shared; 0: every tile is whole */
    int64_t split_blocks;     /* blocks, or clusters of them, that share those */
} qmm_matmul_plan_info;

#define QMM_MATMUL_PLAN_INFO_INIT { sizeof(qmm_matmul_plan_info), { 0 }, { 0 }, 0, 0, 0, 0.0, { 0 }, 0, 0 }

/* Tensors may have NULL buffers, as for qmm_matmul_workspace. Errors: as qmm_matmul. */
QMM_API qmm_status qmm_matmul_plan(qmm_context *context, const qmm_matmul_desc *desc, const qmm_tensor *a,
                                   const qmm_tensor *b, const qmm_tensor *c, qmm_matmul_plan_info *plan);

/* ==== 13 verification ============================================================================================= */

typedef struct qmm_verify_options {
    size_t struct_size;
    uint64_t seed;   /* of the random vectors */
    int64_t rounds;  /* 1 to 64 */
} qmm_verify_options;

#define QMM_VERIFY_OPTIONS_INIT { sizeof(qmm_verify_options), 1, 1 }

typedef struct qmm_verify_result {
    size_t struct_size;
    int32_t passed;      /* nonzero: every check held */
    int32_t rounds;      /* of Freivalds' check that were run */
    int64_t wrong_rows;  /* rows of C, over the batch, that failed */
    int64_t batch;       /* place of the first failure; col is -1 for accumulators: their check speaks of whole rows */
    int64_t row;
    int64_t col;
} qmm_verify_result;

#define QMM_VERIFY_RESULT_INIT { sizeof(qmm_verify_result), 0, 0, 0, -1, -1, -1 }

/* Is c the result of that matmul, whoever computed it?
 * s32 c without a bias: Freivalds' check of A (B r) = C r modulo 2^61 - 1 with r uniform: a wrong c passes a round with
 * probability at most 1 / (2^61 - 1), at a cost of O(MK + KN + MN). Other outputs: the accumulators are computed by the
 * context's own kernels in blocks of rows, verified the same way, and the epilogue is then compared element by element,
 * bit for bit.
 * The inputs are brought to the host if they are not there; `c` is only read. Waits for the device.
 * Limits: the residual may not be c itself, whose old values are gone. Packed weights on devices whose layout the host
 * cannot read are QMM_UNSUPPORTED: give b itself.
 * A failed check is a result, not an error: QMM_OK with passed = 0.
 * Errors: as qmm_matmul. QMM_INTERNAL if the context's own accumulators fail the check.
 * Source: Freivalds 1977; the bound over a prime field is derived in docs/numerics.md. */
QMM_API qmm_status qmm_verify_matmul(qmm_context *context, const qmm_matmul_desc *desc, const qmm_tensor *a,
                                     const qmm_tensor *b, const qmm_tensor *c, const qmm_verify_options *options,
                                     qmm_verify_result *result);

typedef struct qmm_compare_result {
    size_t struct_size;
    int64_t count;       /* elements compared */
    int64_t mismatches;  /* elements whose bits differ; two NaNs are equal */
    int64_t batch;       /* the first mismatch, -1 if none */
    int64_t row;
    int64_t col;
    double expected;     /* the two values there */
    double got;
} qmm_compare_result;

#define QMM_COMPARE_RESULT_INIT { sizeof(qmm_compare_result), 0, 0, -1, -1, -1, 0.0, 0.0 }

/* Compares two tensors of one type and shape bit for bit, on the host. Waits for the device. Any type.
 * Errors: QMM_INVALID_ARGUMENT, QMM_OUT_OF_MEMORY, QMM_DEVICE_FAILED. */
QMM_API qmm_status qmm_compare(qmm_context *context, const qmm_tensor *expected, const qmm_tensor *got,
                               qmm_compare_result *result);

/* ==== 14 timing and tuning ======================================================================================== */

/* Time between two places of a context's queue. */
typedef struct qmm_timer qmm_timer;

/* Ownership: the caller frees it. Errors: QMM_INVALID_ARGUMENT, QMM_OUT_OF_MEMORY, QMM_DEVICE_FAILED. */
QMM_API qmm_status qmm_timer_create(qmm_context *context, qmm_timer **timer);

/* "device" where the device takes the times itself, by events in its queue: CUDA, OpenCL queues that keep them (`profile`
 * of the options). "host" elsewhere: start and stop then wait for the queue and read the host's clock. */
QMM_API const char *qmm_timer_clock(const qmm_timer *timer);

/* Marks the place that the queue has reached. Errors: QMM_INVALID_ARGUMENT (under capture; stop before there was a start),
 * QMM_DEVICE_FAILED. */
QMM_API qmm_status qmm_timer_start(qmm_timer *timer);
QMM_API qmm_status qmm_timer_stop(qmm_timer *timer);

/* Seconds between the two, once the queue has passed them; waits for that.
 * Errors: QMM_INVALID_ARGUMENT before there was a start and a stop, QMM_DEVICE_FAILED. */
QMM_API qmm_status qmm_timer_seconds(qmm_timer *timer, double *seconds);

/* NULL is ignored. */
QMM_API void qmm_timer_free(qmm_timer *timer);

/* Tuning changes which row, and which variant of it, runs a matmul: never a byte of its result. A context has a table of
 * choices: those of its tuning file, those measured on it by qmm_tune_matmul. A choice is for one N, K, batch, pair of
 * operand types, output type, transposes, packing and group size, and for M from above half of the M it was measured at
 * up to that. A forced row goes before it. A chosen row leaves a call to the usual order if it refuses it, if it needs
 * more workspace than the caller gave (qmm_matmul_workspace tells what the choice needs), or if under capture it is not
 * tested yet or the context's workspace is too small for it. A table has room for 2,048 choices. */

typedef struct qmm_tune_options {
    size_t struct_size;
    double seconds;     /* spent on each row or variant, above 0. After a first run, which is not counted, at least 3 are
                         * timed, and their median counts; but no further one after one that takes longer than this and
                         * 8 times the fastest before, nor after such a first one that takes longer than 2 seconds, too.
                         * What takes less time than the clock shows is run more often */
    size_t flush_bytes; /* memory overwritten before each run, so that operands come from beyond the caches; 0: none, or
                         * where the device's clock is read, 1 MiB over and over, while the host queues the run */
} qmm_tune_options;

#define QMM_TUNE_OPTIONS_INIT { sizeof(qmm_tune_options), 0.05, 0 }

/* Called for every row and variant that was tried: seconds is the median of a run, reason NULL; or seconds is 0 and reason
 * says why the row refuses. Strings live during the call. It must not call the context. */
typedef void (*qmm_tune_function)(void *user, const char *kernel, const char *variant, double seconds,
                                  const char *reason);

/* Measures every row and variant that accepts this call, on these tensors, and keeps the fastest in the context's table. A
 * choice within 2 % of the one that would be made anyhow is not kept, and takes an older one of the same call away.
 * c holds the result afterwards; the residual may not be c itself. Runs have workspace of their own, given back in the
 * end. desc NULL means QMM_MATMUL_DESC_INIT, options NULL QMM_TUNE_OPTIONS_INIT; report may be NULL. Waits for the device.
 * Where M or N is 0 there is nothing to tune, and nothing is reported.
 * Errors: as qmm_matmul; QMM_INVALID_ARGUMENT while a row is forced, or where the table is full. */
QMM_API qmm_status qmm_tune_matmul(qmm_context *context, const qmm_matmul_desc *desc, const qmm_tensor *a,
                                   const qmm_tensor *b, const qmm_tensor *c, const qmm_tune_options *options,
                                   qmm_tune_function report, void *user);

/* Number of choices in the context's table. */
QMM_API int qmm_tuning_count(qmm_context *context);

/* Writes the table to a file, for contexts on the same device with the same driver and version of this library. A reader
 * sees the old file or the new one, never a part. A file that is there keeps its mode; of a link, the file it leads to is
 * written.
 * Errors: QMM_INVALID_ARGUMENT (NULL or empty path; it cannot be written: the text has the system's reason),
 * QMM_OUT_OF_MEMORY. */
QMM_API qmm_status qmm_tuning_save(qmm_context *context, const char *path);

/* Adds a file's choices to the table, over those of the same calls.
 * Errors: QMM_INVALID_ARGUMENT for a file that cannot be read, is damaged, was made on another device, driver or version,
 * or would make the table longer than 2,048: the text says which, and the table is as it was. QMM_OUT_OF_MEMORY. */
QMM_API qmm_status qmm_tuning_load(qmm_context *context, const char *path);

#ifdef __cplusplus
}
#endif

#endif
