/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QMMI_OPENCL_MATMUL_GENERIC_H
#define QMMI_OPENCL_MATMUL_GENERIC_H

enum { QMMI_CL_GENERIC_ITEMS = 64 };

#endif
