/* SPDX-License-Identifier: Apache-2.0
 *
 * The checker: cases of descriptors, on every kernel row of a device. */
#ifndef QMM_VALIDATE_HARNESS_H
#define QMM_VALIDATE_HARNESS_H

#include <stdio.h>

#include "descriptor.h"

typedef enum validate_mode {
    VALIDATE_CORRECTNESS, /* against the oracle */
    VALIDATE_BITWISE,     /* the same call again, and on a second context: the same bytes */
    VALIDATE_PERFORMANCE, /* how long it takes; judges nothing */
    VALIDATE_FUZZ         /* correctness of cases of all operations in turn, until the time is over */
} validate_mode;

typedef enum validate_tier { VALIDATE_QUICK, VALIDATE_FULL, VALIDATE_SOAK } validate_tier;

typedef struct validate_options {
    const char *device;
    const validate_descriptor *const *descriptors; /* ended by NULL */
    const char *kernel; /* a row's name, or "auto": the device's own choice; NULL: that and every row in turn */
    validate_mode mode;
    validate_tier tier;
    uint64_t seed;
    int64_t start, cases; /* cases below 0: as many as the tier has */
    double seconds;       /* a limit for all; 0: none */
    double oracle_limit;  /* a case of more operations is compared with the cpu's reference rows instead */
    bool json, verbose;
    FILE *out;
} validate_options;

/* 2^28: a second of the oracle. */
#define VALIDATE_ORACLE_LIMIT 268435456.0

#define VALIDATE_OPTIONS_INIT                                                                                          \
    {                                                                                                                  \
        "cpu", validate_descriptors, NULL, VALIDATE_CORRECTNESS, VALIDATE_QUICK, 1, 0, -1, 0.0, VALIDATE_ORACLE_LIMIT, \
            false, false, NULL                                                                                         \
    }

/* Exit codes: 0 all passed, 1 something failed or nothing was run, 2 no such kernel, 3 no such device. */
int validate_run(const validate_options *options);

/* Prints operations, case counts and the device's kernels. The same codes. */
int validate_list(const validate_options *options);

#endif
