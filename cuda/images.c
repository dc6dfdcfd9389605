/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of images. The build compiles X.cu to X.fatbin, and lists the X in qmm_cuda_images.inc, both in the build
 * folder; this file is where they become part of the library. */
#include "images.h"

#include <stdlib.h>
#include <string.h>

typedef struct image {
    const char *name;
    const unsigned char *data;
    const char *architectures;
} image;

#if defined(QMMI_CUDA_IMAGE_FOLDER)

/* Read by the assembler, of gcc and of clang alike; aligned as the driver likes it. */
#define EMBED(name)                                                             \
    extern const unsigned char qmmi_cuda_image_##name[];                        \
    __asm__(".pushsection .rodata\n"                                            \
            ".balign 64\n"                                                      \
            ".globl qmmi_cuda_image_" #name "\n"                                \
            ".hidden qmmi_cuda_image_" #name "\n"                               \
            ".type qmmi_cuda_image_" #name ", %object\n"                        \
            "qmmi_cuda_image_" #name ":\n"                                      \
            ".incbin \"" QMMI_CUDA_IMAGE_FOLDER "/" #name ".fatbin\"\n"         \
            ".size qmmi_cuda_image_" #name ", . - qmmi_cuda_image_" #name "\n"  \
            ".popsection\n");
#define QMMI_CUDA_IMAGE(name, architectures) EMBED(name)
#include "qmm_cuda_images.inc"
#undef QMMI_CUDA_IMAGE

static const image images[] = {
#define QMMI_CUDA_IMAGE(name, architectures) { #name, qmmi_cuda_image_##name, architectures },
#include "qmm_cuda_images.inc"
    { NULL, NULL, NULL },
};

const char qmmi_cuda_architectures[] = QMMI_CUDA_ARCHITECTURES;

#else

#define QMMI_CUDA_TOOLKIT_MAJOR 12 /* the oldest that compiles them: the simulator asks no more than a device */

static const image images[] = { { NULL, NULL, NULL } };

const char qmmi_cuda_architectures[] = "";

#endif

const char qmmi_cuda_no_images[] = "this build of qmm has no CUDA kernels: it was made without nvcc, or with QMM_CUDA=OFF";

bool qmmi_cuda_images_exist(void) {
    return images[0].name != NULL;
}

/* Machine code made by any CUDA N.x loads with every driver for N.0 or newer. */
int qmmi_cuda_images_need(void) {
    return QMMI_CUDA_TOOLKIT_MAJOR * 1000;
}

/* Machine code of X.Y runs on X.Z, Z >= Y, and with an "a" only on X.Y; PTX runs on everything from X.Y on. */
static bool runs(int architecture, bool only_there, bool ptx, int major, int minor) {
    const int device = 10 * major + minor;
    if (only_there) return architecture == device;
    return architecture <= device && (ptx || architecture / 10 == major);
}

int qmmi_cuda_best_architecture(const char *architectures, int major, int minor) {
    int machine_code = 0, ptx = 0;
    for (const char *at = architectures; *at;) {
        char *end;
        const int architecture = (int)strtol(at, &end, 10);
        const bool only_there = *end == 'a';
        const bool is_ptx = strncmp(end + only_there, "-virtual", 8) == 0;
        int *best = is_ptx ? &ptx : &machine_code;
        if (runs(architecture, only_there, is_ptx, major, minor) && architecture > *best) *best = architecture;
        at = end + strcspn(end, " ");
        at += strspn(at, " ");
    }
    return machine_code ? machine_code : ptx;
}

/* NULL: this build has it not. */
static const image *find(const char *name) {
    for (const image *i = images; i->name; i++)
        if (strcmp(i->name, name) == 0) return i;
    return NULL;
}

const void *qmmi_cuda_image(const char *name) {
    const image *const found = find(name);
    return found ? (const void *)found->data : "";
}

const char *qmmi_cuda_image_architectures(const char *name) {
    const image *const found = find(name);
    return found ? found->architectures : "";
}
