/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QMMI_CUDA_MATMUL_GENERIC_H
#define QMMI_CUDA_MATMUL_GENERIC_H

enum { QMMI_CUDA_GENERIC_THREADS = 128 };

#endif
