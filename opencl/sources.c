/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of sources. The build joins X.cl with what it includes, and lists the X in qmm_opencl_sources.inc, both in the
 * build folder; this file is where they become part of the library. */
#include "sources.h"

#include <string.h>

/* Read by the assembler, of gcc and of clang alike; ended by a zero byte. */
#define EMBED(name)                                                               \
    extern const char qmmi_opencl_source_##name[];                                \
    __asm__(".pushsection .rodata\n"                                              \
            ".globl qmmi_opencl_source_" #name "\n"                               \
            ".hidden qmmi_opencl_source_" #name "\n"                              \
            ".type qmmi_opencl_source_" #name ", %object\n"                       \
            "qmmi_opencl_source_" #name ":\n"                                     \
            ".incbin \"" QMMI_OPENCL_SOURCE_FOLDER "/" #name ".cl\"\n"            \
            ".byte 0\n"                                                           \
            ".size qmmi_opencl_source_" #name ", . - qmmi_opencl_source_" #name "\n" \
            ".popsection\n");
#define QMMI_OPENCL_SOURCE(name) EMBED(name)
#include "qmm_opencl_sources.inc"
#undef QMMI_OPENCL_SOURCE

static const struct {
    const char *name, *text;
} sources[] = {
#define QMMI_OPENCL_SOURCE(name) { #name, qmmi_opencl_source_##name },
#include "qmm_opencl_sources.inc"
};

const char *qmmi_opencl_source(const char *name) {
    for (unsigned i = 0; i < sizeof sources / sizeof sources[0]; i++)
        if (strcmp(sources[i].name, name) == 0) return sources[i].text;
    return "";
}
