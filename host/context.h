/* SPDX-License-Identifier: Apache-2.0
 *
 * What the public handles point to, and the checks every public function begins with. */
#ifndef QMMI_CONTEXT_H
#define QMMI_CONTEXT_H

#include "abi.h"
#include "backend.h"
#include "tuning.h"

#define QMMI_ERROR_TEXT_BYTES 4096
#define QMMI_ROWS_MAX 16     /* kernel rows of one operation */
#define QMMI_VARIANTS_MAX 12 /* of one row */
#define QMMI_ALIGNMENT 256u  /* of device memory and of a caller's workspace */

/* First field of every handle: says what it is, so that a wrong or dead one is found. */
typedef enum qmmi_magic {
    QMMI_MAGIC_CONTEXT = 0x716d6d63,
    QMMI_MAGIC_BUFFER = 0x716d6d62,
    QMMI_MAGIC_WEIGHTS = 0x716d6d77,
    QMMI_MAGIC_CALIBRATOR = 0x716d6d72,
    QMMI_MAGIC_TIMER = 0x716d6d74,
    QMMI_MAGIC_DEAD = 0x64656164
} qmmi_magic;

/* Header of an object that its context frees if nobody else does. */
typedef struct qmmi_object {
    qmmi_magic magic;
    qmm_context *context;
    struct qmmi_object *previous, *next;
    size_t bytes;                           /* of the object itself */
    void (*destroy)(struct qmmi_object *object); /* frees what it holds, not itself */
} qmmi_object;

struct qmm_buffer {
    qmmi_object object;
    void *memory;
    size_t bytes;
    bool owned;
};

/* Of a row, or one of its variants: refused after a wrong result, untestable where its known-answer test could not
 * run. */
typedef enum qmmi_trust { QMMI_UNTESTED, QMMI_TRUSTED, QMMI_REFUSED, QMMI_UNTESTABLE } qmmi_trust;

struct qmm_context {
    qmmi_magic magic;
    const qmmi_backend *backend;
    int device;
    void *device_state;
    uint32_t capabilities;
    const void *device_key; /* contexts with equal backend, device and key may share buffers */
    qmm_allocator allocator;
    qmm_log_function log;
    void *log_user;
    qmm_log_level log_level;

    qmm_status error_status;
    bool failed; /* the device is lost: every call says QMM_DEVICE_FAILED */
    char error_text[QMMI_ERROR_TEXT_BYTES];

    qmmi_object *objects;

    void *workspace;
    size_t workspace_bytes;

    const qmmi_row *forced[QMMI_OPERATION_COUNT];
    int forced_variant[QMMI_OPERATION_COUNT]; /* of the forced row; 0: its own choice */
    qmmi_trust trust[QMMI_OPERATION_COUNT][QMMI_ROWS_MAX][1 + QMMI_VARIANTS_MAX]; /* [0]: the row itself */
    qmmi_tuning tuning;
    int mistrusted; /* how many rows and variants have not passed their known-answer test */
};

/* Makes, links and frees an object of `bytes` bytes, zeroed behind its header. NULL if there is no memory. */
void *qmmi_object_create(qmm_context *context, qmmi_magic magic, size_t bytes, void (*destroy)(qmmi_object *object));
void qmmi_object_free(qmmi_object *object);

/* Device memory for what `what` says, as "a buffer". QMM_OUT_OF_MEMORY where there is none, another status where the
 * device failed in another way; *memory is NULL then. */
qmm_status qmmi_allocate_device(qmm_context *context, const char *function, const char *what, size_t bytes,
                                void **memory);

/* The context's workspace, at least `bytes`, grown if need be. */
qmm_status qmmi_workspace_reserve(qmm_context *context, size_t bytes, const char *function);

/* May the two share buffers and weights? */
static inline bool qmmi_same_device(const qmm_context *x, const qmm_context *y) {
    return x == y || (x->backend == y->backend && x->device == y->device && x->device_key == y->device_key);
}

/* A public function begins with this: the context is one, is alive, and its device has not failed. */
qmm_status qmmi_enter(qmm_context *context, const char *function);

#define QMMI_ENTER(context)                                        \
    do {                                                           \
        const qmm_status entered = qmmi_enter((context), __func__); \
        if (entered != QMM_OK) return entered;                     \
    } while (0)

/* Of one that waits for the device, or takes memory of it: its queue is not being captured either, which neither could
 * be part of. Nothing was asked of the device that would spoil the capture. */
bool qmmi_capturing(const qmm_context *context);
qmm_status qmmi_enter_waiting(qmm_context *context, const char *function);

#define QMMI_ENTER_WAITING(context)                                        \
    do {                                                                   \
        const qmm_status entered = qmmi_enter_waiting((context), __func__); \
        if (entered != QMM_OK) return entered;                             \
    } while (0)

/* Fails the public function it stands in. */
#define QMMI_FAIL(context, status, ...) qmmi_fail((context), (status), __func__, __VA_ARGS__)

#define QMMI_REQUIRE(context, condition, ...) \
    do {                                      \
        if (!(condition)) return QMMI_FAIL((context), QMM_INVALID_ARGUMENT, __VA_ARGS__); \
    } while (0)

#define QMMI_TRY(call)                                  \
    do {                                                \
        const qmm_status tried = (call);                \
        if (tried != QMM_OK) return tried;              \
    } while (0)

/* Copies a caller's struct, which may be of an older or newer header, over `target`, which holds the defaults. Both
 * begin with struct_size; `known` is sizeof(*target), `oldest` the size in version 0.1 (abi.h). */
qmm_status qmmi_read_struct(qmm_context *context, const char *function, const char *name, const void *source,
                            void *target, size_t known, size_t oldest);

/* A caller's result struct, which may be of an older or newer header: is it as large as version 0.1's, and the copy of
 * `found`, which is of `known` bytes, into what of it both know. */
bool qmmi_struct_size_fits(const void *result, size_t oldest);
void qmmi_write_struct(void *result, const void *found, size_t known);

#define QMMI_CHECK_RESULT(context, result, oldest)                                                  \
    QMMI_REQUIRE((context), qmmi_struct_size_fits((result), (oldest)),                              \
                 "struct_size %zu of " #result " is less than %zu: set it from its ..._INIT macro", \
                 (result)->struct_size, (oldest))

#endif
