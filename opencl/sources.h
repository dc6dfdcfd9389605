/* SPDX-License-Identifier: Apache-2.0
 *
 * The kernels' sources, in the library: for each .cl file that is a program's, that file with all that it includes. */
#ifndef QMMI_OPENCL_SOURCES_H
#define QMMI_OPENCL_SOURCES_H

/* The text of X.cl, as OpenCL C; "" if there is none. Static storage. */
const char *qmmi_opencl_source(const char *name);

#endif
