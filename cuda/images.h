/* SPDX-License-Identifier: Apache-2.0
 *
 * The kernels' images (fatbins) that are embedded in this build, and which devices they are for. */
#ifndef QMMI_CUDA_IMAGES_H
#define QMMI_CUDA_IMAGES_H

#include <stdbool.h>

/* Has this build any? What to say where it has none. */
bool qmmi_cuda_images_exist(void);
extern const char qmmi_cuda_no_images[];

/* What most of them were compiled for, as QMM_CUDA_ARCHITECTURES has it: "75 80 90a 80-virtual". */
extern const char qmmi_cuda_architectures[];

/* The CUDA version a driver must be for to load them. */
int qmmi_cuda_images_need(void);

/* The architecture (10 * major + minor) of the code in such a list that the driver takes for a device of this compute
 * capability: the newest machine code that runs there, else the newest PTX, which it compiles. 0 if there is none. */
int qmmi_cuda_best_architecture(const char *architectures, int major, int minor);

/* The image of that name, and what it was compiled for, which may be less than the others; empty strings if this build
 * has it not. */
const void *qmmi_cuda_image(const char *name);
const char *qmmi_cuda_image_architectures(const char *name);

#endif
