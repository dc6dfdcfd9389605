/* SPDX-License-Identifier: Apache-2.0
 *
 * What the tests of the API share: counted checks that go on after a failure, a watched allocator, random bytes,
 * tensors in one line. */
#ifndef QMM_TEST_SUPPORT_H
#define QMM_TEST_SUPPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "qmm/qmm.h"

#if defined(__GNUC__)
#define TEST_FORMAT(string, first) __attribute__((format(printf, string, first)))
#else
#define TEST_FORMAT(string, first)
#endif

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* ---- checks ------------------------------------------------------------------------------------------------------ */

/* Counts a check; says what is wrong if it does not hold, and gives back whether it held. */
bool expect(bool holds, const char *format, ...) TEST_FORMAT(2, 3);

/* Status and text of the call that just returned. text NULL: any that is not empty. */
bool expect_error(const qmm_context *context, qmm_status got, qmm_status wanted, const char *text);
bool expect_ok(const qmm_context *context, qmm_status got, const char *what);
bool expect_bytes(const void *got, const void *wanted, size_t bytes, const char *what);

int64_t check_count(void);
int64_t failure_count(void);

/* Ends a cmocka test: fails it if a check has failed since the last end, or if there was none. */
void end_of_test(void);

/* Seconds of a clock that only goes forward. */
double seconds_now(void);

/* ---- data -------------------------------------------------------------------------------------------------------- */

uint64_t next_random(uint64_t *state);
void fill_random(void *target, size_t bytes, uint64_t seed);

/* Reals of a type in -4 .. 4, some of them ties of a scale of 1/32. */
void fill_reals(void *target, qmm_type type, int64_t count, uint64_t seed);

/* rows x cols at `offset` bytes, rows `row_stride` elements apart. */
qmm_tensor tensor_at(qmm_buffer *buffer, size_t offset, qmm_type type, int64_t rows, int64_t cols,
                     int64_t row_stride);
qmm_tensor batched(qmm_tensor tensor, int64_t batch, int64_t batch_stride);

/* Bytes from the first element to the end of the last. */
size_t extent_of(const qmm_tensor *tensor);

/* ---- contexts ---------------------------------------------------------------------------------------------------- */

/* The device under test: "cpu", or what the environment variable QMM_TEST_DEVICE names: the simulated CUDA device. */
const char *device_name(void);
bool on_cpu(void);
qmm_context *open_device(const qmm_context_options *options);

/* Trusts every kernel row without its known-answer test, which takes seconds on a simulated device: for tests that open
 * many contexts and have another subject. Nothing on the cpu. */
void trust_all(qmm_context *context);

/* Forces every operation onto its reference row. */
void force_reference(qmm_context *context);

/* A buffer holding a copy of `bytes` bytes; source NULL: filled with 0x5a. */
qmm_buffer *make_buffer(qmm_context *context, const void *source, size_t bytes);

/* ---- a watched allocator ----------------------------------------------------------------------------------------- */

/* Counts, checks that what is released was allocated so, and fails one allocation of choice. One thread at a time. */
typedef struct watch {
    qmm_allocator allocator;
    int64_t calls;   /* allocations asked for */
    int64_t fail_at; /* the one to fail, counted from 1; 0: none */
    int64_t live;    /* not yet released, host and device */
    int64_t live_device;
    int64_t device_calls;
    size_t live_bytes;
    int64_t faults;  /* releases of other sizes, kinds or pointers */
    bool keep;       /* released memory stays readable, so that a dead handle can be tried */
    void *kept[4096];
    size_t kept_count;
} watch;

void watch_init(watch *w, bool device_functions);
void watch_free_kept(watch *w);

#endif
