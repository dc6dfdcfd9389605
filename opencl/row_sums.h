/* SPDX-License-Identifier: Apache-2.0 */
#ifndef QMMI_OPENCL_ROW_SUMS_H
#define QMMI_OPENCL_ROW_SUMS_H

#include "arguments.h"

enum {
    QMMI_CL_ROW_SUMS_ITEMS_LOG2 = 7,
    QMMI_CL_ROW_SUMS_ITEMS = 1 << QMMI_CL_ROW_SUMS_ITEMS_LOG2 /* work-items of a group */
};

/* One sum after the other, each by 2^lanes_log2 work-items, a group at most. */
typedef struct qmmi_cl_row_sums {
    qmmi_cl_view codes;
    qmmi_cl_param sums;
    cl_long length; /* codes of a sum */
    cl_long groups; /* sums of a row */
    cl_long items;  /* sums in all */
    cl_int lanes_log2, aligned;
} qmmi_cl_row_sums;

#endif
