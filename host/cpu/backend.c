/* SPDX-License-Identifier: Apache-2.0
 *
 * The CPU as a device: host memory, calls that are done when they return, and the table of kernel rows. */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../checked.h"
#include "../context.h"
#include "cpu.h"
#include "onednn.h"

/* ---- device ------------------------------------------------------------------------------------------------------ */

static int device_count(char *reason, size_t reason_bytes) {
    (void)reason, (void)reason_bytes;
    return 1;
}

static qmm_int8_class int8_class(void) {
#if defined(__x86_64__) && defined(__GNUC__)
    return __builtin_cpu_supports("avx512vnni") ? QMM_INT8_VNNI : QMM_INT8_NONE;
#else
    return QMM_INT8_NONE;
#endif
}

/* The maker's name, where the system tells. */
static void describe(char *text, size_t bytes) {
    char line[256];
    FILE *file = fopen("/proc/cpuinfo", "r");
    snprintf(text, bytes, "CPU");
    while (file && fgets(line, sizeof line, file)) {
        const char *value = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || !value) continue;
        snprintf(text, bytes, "%.*s", (int)strcspn(value + 2, "\n"), value + 2);
        break;
    }
    if (file) fclose(file);
}

static void device_info(int device, qmm_device_info *info) {
    const long cores = sysconf(_SC_NPROCESSORS_ONLN), pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    (void)device;
    *info = (qmm_device_info)QMM_DEVICE_INFO_INIT;
    snprintf(info->name, sizeof info->name, "cpu");
    describe(info->description, sizeof info->description);
    info->compute_units = cores > 0 ? (int32_t)cores : 1;
    info->int8_class = int8_class();
    info->memory_bytes = pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : 0;
}

static qmm_status open_device(qmm_context *context, int device, const qmm_context_options *options) {
    qmmi_onednn *library;
    (void)device;
    if (options->native_context || options->native_queue)
        return qmmi_fail(context, QMM_INVALID_ARGUMENT, "qmm_context_open",
                         "native_context and native_queue of options must be NULL: the CPU has neither");
    library = qmmi_allocate(context, sizeof *library);
    if (!library) return qmmi_fail(context, QMM_OUT_OF_MEMORY, "qmm_context_open", "no memory for the CPU device");
    *library = (qmmi_onednn){ 0 };
    context->device_state = library;
    return QMM_OK;
}

static void close_device(qmm_context *context) {
    qmmi_release(context, context->device_state, sizeof(qmmi_onednn));
}

static qmm_status synchronize(qmm_context *context) {
    (void)context;
    return QMM_OK;
}

static void *get_queue(const qmm_context *context) {
    (void)context;
    return NULL;
}

static qmm_status set_queue(qmm_context *context, void *native_queue) {
    (void)native_queue;
    return qmmi_fail(context, QMM_INVALID_ARGUMENT, "qmm_context_set_queue", "the CPU has no queue to set");
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

static qmm_status allocate(qmm_context *context, size_t bytes, void **memory) {
    const qmm_allocator *a = &context->allocator;
    *memory = (a->allocate_device ? a->allocate_device : a->allocate)(a->user, bytes, QMMI_ALIGNMENT);
    return *memory ? QMM_OK : QMM_OUT_OF_MEMORY;
}

static void release(qmm_context *context, void *memory, size_t bytes) {
    const qmm_allocator *a = &context->allocator;
    if (a->release_device)
        a->release_device(a->user, memory, bytes);
    else
        a->release(a->user, memory, bytes);
}

static uintptr_t address(const void *memory) {
    return (uintptr_t)memory;
}

static const void *host_view(const void *memory) {
    return memory;
}

static qmm_status upload(qmm_context *context, void *memory, size_t offset, const void *source, size_t bytes,
                         bool wait) {
    (void)context, (void)wait;
    memmove((char *)memory + offset, source, bytes);
    return QMM_OK;
}

static qmm_status download(qmm_context *context, const void *memory, size_t offset, void *target, size_t bytes,
                           bool wait) {
    (void)context, (void)wait;
    memmove(target, (const char *)memory + offset, bytes);
    return QMM_OK;
}

static qmm_status copy(qmm_context *context, void *target, size_t target_offset, const void *source,
                       size_t source_offset, size_t bytes) {
    (void)context;
    memmove((char *)target + target_offset, (const char *)source + source_offset, bytes);
    return QMM_OK;
}

static qmm_status fill(qmm_context *context, void *memory, size_t offset, uint8_t value, size_t bytes) {
    (void)context;
    memset((char *)memory + offset, value, bytes);
    return QMM_OK;
}

/* ---- the table --------------------------------------------------------------------------------------------------- */

static const qmmi_row quantize_rows[] = {
    { .name = "cpu:quantize:chunked", .run = qmmi_cpu_quantize_chunked },
    { .name = "cpu:quantize:reference", .run = qmmi_cpu_quantize_reference },
    { 0 },
};

static const qmmi_row quantize_dynamic_rows[] = {
    { .name = "cpu:quantize_dynamic:chunked", .run = qmmi_cpu_quantize_dynamic_chunked },
    { .name = "cpu:quantize_dynamic:reference", .run = qmmi_cpu_quantize_dynamic_reference },
    { 0 },
};

static const qmmi_row dequantize_rows[] = {
    { .name = "cpu:dequantize:chunked", .run = qmmi_cpu_dequantize_chunked },
    { .name = "cpu:dequantize:reference", .run = qmmi_cpu_dequantize_reference },
    { 0 },
};

static const qmmi_row requantize_rows[] = {
    { .name = "cpu:requantize:chunked", .run = qmmi_cpu_requantize_chunked },
    { .name = "cpu:requantize:reference", .run = qmmi_cpu_requantize_reference },
    { 0 },
};

static const qmmi_row matmul_rows[] = {
    { .name = "cpu:matmul:onednn",
      .accepts = qmmi_cpu_onednn_accepts,
      .declines = qmmi_cpu_onednn_declines,
      .workspace = qmmi_cpu_onednn_workspace,
      .run = qmmi_cpu_matmul_onednn,
      .self_test = true },
    { .name = "cpu:matmul:reference", .run = qmmi_cpu_matmul_reference },
    { 0 },
};

const qmmi_backend qmmi_cpu_backend = {
    .name = "cpu",
    .device_count = device_count,
    .device_info = device_info,
    .open = open_device,
    .close = close_device,
    .synchronize = synchronize,
    .get_queue = get_queue,
    .set_queue = set_queue,
    .allocate = allocate,
    .release = release,
    .address = address,
    .host_view = host_view,
    .upload = upload,
    .download = download,
    .copy = copy,
    .fill = fill,
    .find_minmax = qmmi_cpu_find_minmax,
    .histogram = qmmi_cpu_histogram,
    .measure_error = qmmi_cpu_measure_error,
    .weights_bytes = qmmi_cpu_weights_bytes,
    .weights_pack = qmmi_cpu_weights_pack,
    .weights_gather = qmmi_cpu_weights_gather,
    .rows = {
        [QMMI_QUANTIZE] = quantize_rows,
        [QMMI_QUANTIZE_DYNAMIC] = quantize_dynamic_rows,
        [QMMI_DEQUANTIZE] = dequantize_rows,
        [QMMI_REQUANTIZE] = requantize_rows,
        [QMMI_MATMUL] = matmul_rows,
    },
};
