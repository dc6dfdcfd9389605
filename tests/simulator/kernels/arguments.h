/* SPDX-License-Identifier: Apache-2.0
 *
 * The arguments of the tests' own kernels. */
#ifndef QMM_SIMULATOR_TEST_ARGUMENTS_H
#define QMM_SIMULATOR_TEST_ARGUMENTS_H

#include "../../../cuda/tensor_map.h"

typedef struct test_arguments {
    int *out;
    const int *in;
    int n;
    int way; /* which of the things that the kernel can do, right or wrong */
} test_arguments;

/* Of those in sm90.cu. */
typedef struct sm90_arguments {
    qmmi_cuda_tensor_map a, b, c;
    int *out;
    const int *in;
    int n, way;
    int x, y, z; /* of a box */
} sm90_arguments;

#endif
