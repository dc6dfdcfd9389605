/* SPDX-License-Identifier: Apache-2.0
 *
 * The one argument of the tests' own kernels. */
#ifndef QMM_SIMULATOR_TEST_ARGUMENTS_H
#define QMM_SIMULATOR_TEST_ARGUMENTS_H

typedef struct test_arguments {
    int *out;
    const int *in;
    int n;
    int way; /* which of the things that the kernel can do, right or wrong */
} test_arguments;

#endif
