/* SPDX-License-Identifier: Apache-2.0
 *
 * Built programs on disk, in a directory that the caller names. Drivers abort on a broken binary, so nothing reaches one
 * that is not byte for byte what was stored, for the same key. */
#ifndef QMMI_OPENCL_CACHE_H
#define QMMI_OPENCL_CACHE_H

#include "opencl.h"

/* 64 bits of a text or a binary; against accidents, not against attackers. */
uint64_t qmmi_opencl_cache_hash(const void *bytes, size_t length);

/* What was stored under the key; free() it. NULL if there is nothing, or it is not what was stored (the log says so). */
unsigned char *qmmi_opencl_cache_load(const qmm_context *context, const char *directory, const char *key,
                                      size_t *bytes);

/* Written under another name and renamed, so that nobody reads half of it. Failure is a line in the log. */
void qmmi_opencl_cache_store(const qmm_context *context, const char *directory, const char *key,
                             const unsigned char *binary, size_t bytes);

#endif
