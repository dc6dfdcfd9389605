/* SPDX-License-Identifier: Apache-2.0
 *
 * The checker: cases of descriptors, or matmuls of given shapes, on every kernel row of a device. */
#ifndef QMM_VALIDATE_HARNESS_H
#define QMM_VALIDATE_HARNESS_H

#include <stdio.h>

#include "../call.h"
#include "../cli.h"
#include "descriptor.h"

typedef enum validate_mode {
    VALIDATE_CORRECTNESS, /* against the oracle */
    VALIDATE_BITWISE,     /* the same call again, and on a second context: the same bytes */
    VALIDATE_DETERMINISM, /* the same call many times, on two contexts, rows, variants, workspaces: the same bytes */
    VALIDATE_PERFORMANCE, /* how long it takes; judges nothing */
    VALIDATE_FUZZ         /* correctness of cases of all operations in turn, until the time or the count is over */
} validate_mode;

typedef enum validate_tier { VALIDATE_QUICK, VALIDATE_FULL, VALIDATE_SOAK } validate_tier;

typedef enum validate_format {
    VALIDATE_FORMAT_TEXT,
    VALIDATE_FORMAT_JSON,
    VALIDATE_FORMAT_CSV,
    VALIDATE_FORMAT_JUNIT
} validate_format;

/* As qmm_matmul. */
typedef qmm_status validate_multiply(qmm_context *context, const qmm_matmul_desc *desc, const qmm_tensor *a,
                                     const qmm_tensor *b, const qmm_tensor *c);

/* Matmuls of these shapes, in place of the descriptors' cases. */
typedef struct validate_shapes {
    cli_call call;
    cli_shapes list;
    const char *arguments;       /* the options that make this call, for repro lines: " --types s8,s8,s32 --plain" */
    validate_multiply *multiply; /* NULL: qmm_matmul; a test puts a faulty device here */
} validate_shapes;

typedef struct validate_options {
    const char *device;
    const validate_descriptor *const *descriptors; /* ended by NULL */
    const validate_shapes *shapes;                 /* NULL: none */
    const char *kernel; /* a row's name, also with "/variant", or "auto": the device's own choice; NULL: all in turn */
    validate_mode mode;
    validate_tier tier;
    uint64_t seed;
    int64_t start, cases; /* cases below 0: as many as the tier has */
    int64_t repeat;       /* runs of each case; 0: as many as the mode has */
    double seconds;       /* a limit for all; 0: none */
    double oracle_limit;  /* a case of more operations is compared with the cpu's reference rows instead */
    bool allow_distrusted; /* a row that fails its known-answer test is refused, not failed */
    double exact_limit;   /* a shape of more operations is checked by Freivalds' method instead */
    validate_format format;
    bool verbose;
    FILE *out;
    const char *save; /* an existing directory for the tensors of failures; NULL: not wanted */
} validate_options;

/* 2^28: a second of the oracle. */
#define VALIDATE_ORACLE_LIMIT 268435456.0

enum { VALIDATE_REPEAT = 100 }; /* of determinism */

#define VALIDATE_OPTIONS_INIT                                                                                 \
    {                                                                                                         \
        .device = "cpu", .descriptors = validate_descriptors, .mode = VALIDATE_CORRECTNESS,                   \
        .tier = VALIDATE_QUICK, .seed = 1, .cases = -1, .oracle_limit = VALIDATE_ORACLE_LIMIT,                \
        .exact_limit = CLI_EXACT_LIMIT, .format = VALIDATE_FORMAT_TEXT                                   \
    }

/* Exit codes: 0 all passed, 1 something failed or nothing was run, 2 no such kernel, 3 no such device. */
int validate_run(const validate_options *options);

/* Prints operations, case counts and the device's kernels. The same codes. */
int validate_list(const validate_options *options);

#endif
