/* SPDX-License-Identifier: Apache-2.0
 *
 * Which OpenCL devices there are, and what is known of them. Asked of the drivers once in a process. */
#include "device.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache.h"

#define PLATFORMS_MAX 16
#define DEVICES_MAX 64 /* more than any machine has */

typedef struct device_list {
    int count;
    qmmi_opencl_facts devices[DEVICES_MAX];
    char reason[256]; /* why there is none */
} device_list;

static device_list list;

/* ---- questions to a device ---------------------------------------------------------------------------------------- */

/* Of the extensions, not in every header. */
#define NV_COMPUTE_MAJOR 0x4000
#define NV_COMPUTE_MINOR 0x4001
#define KHR_DOT_CAPABILITIES 0x1073
#define KHR_DOT_PACKED (1u << 0)
#define KHR_DOT_ACCELERATION_PACKED 0x1075
#define INTEL_SUB_GROUP_SIZES 0x4108
#define PLATFORM_NOT_FOUND (-1001)

/* Zero where the device does not know the question. */
#define ASK(name, type, question)                                                                              \
    static type name(cl_device_id device) {                                                                    \
        type value = 0;                                                                                        \
        if (qmmi_opencl_load()->clGetDeviceInfo(device, (question), sizeof value, &value, NULL) != CL_SUCCESS) \
            return 0;                                                                                          \
        return value;                                                                                          \
    }

ASK(type_of, cl_device_type, CL_DEVICE_TYPE)
ASK(is_available, cl_bool, CL_DEVICE_AVAILABLE)
ASK(has_compiler, cl_bool, CL_DEVICE_COMPILER_AVAILABLE)
ASK(is_little_endian, cl_bool, CL_DEVICE_ENDIAN_LITTLE)
ASK(float_config, cl_device_fp_config, CL_DEVICE_SINGLE_FP_CONFIG)
ASK(compute_units, cl_uint, CL_DEVICE_MAX_COMPUTE_UNITS)
ASK(vendor_id, cl_uint, CL_DEVICE_VENDOR_ID)
ASK(max_items, size_t, CL_DEVICE_MAX_WORK_GROUP_SIZE)
ASK(parameter_bytes, size_t, CL_DEVICE_MAX_PARAMETER_SIZE)
ASK(local_bytes, cl_ulong, CL_DEVICE_LOCAL_MEM_SIZE)
ASK(memory_bytes, cl_ulong, CL_DEVICE_GLOBAL_MEM_SIZE)
ASK(ask_nv_major, cl_uint, NV_COMPUTE_MAJOR)
ASK(ask_nv_minor, cl_uint, NV_COMPUTE_MINOR)
ASK(khr_dot, cl_bitfield, KHR_DOT_CAPABILITIES)

/* Texts longer than asked for are cut; drivers would give none. */
enum { TEXT_BYTES = 16384 };

static void text_of(cl_device_id device, cl_device_info question, char *text, size_t bytes) {
    char whole[TEXT_BYTES];
    if (qmmi_opencl_load()->clGetDeviceInfo(device, question, sizeof whole - 1, whole, NULL) != CL_SUCCESS)
        whole[0] = '\0';
    whole[TEXT_BYTES - 1] = '\0';
    snprintf(text, bytes, "%s", whole);
}

static void platform_text(cl_platform_id platform, cl_platform_info question, char *text, size_t bytes) {
    char whole[TEXT_BYTES];
    if (qmmi_opencl_load()->clGetPlatformInfo(platform, question, sizeof whole - 1, whole, NULL) != CL_SUCCESS)
        whole[0] = '\0';
    whole[TEXT_BYTES - 1] = '\0';
    snprintf(text, bytes, "%s", whole);
}

/* A whole word of the list. */
static bool has_extension(const char *extensions, const char *name) {
    const size_t length = strlen(name);
    for (const char *at = extensions; (at = strstr(at, name)) != NULL; at += length)
        if ((at == extensions || at[-1] == ' ') && (at[length] == ' ' || at[length] == '\0')) return true;
    return false;
}

static bool extends(cl_device_id device, const char *name) {
    char extensions[TEXT_BYTES];
    text_of(device, CL_DEVICE_EXTENSIONS, extensions, sizeof extensions);
    return has_extension(extensions, name);
}

static bool tells_nv(cl_device_id device) {
    return extends(device, "cl_nv_device_attribute_query");
}

static cl_uint nv_major(cl_device_id device) {
    return tells_nv(device) ? ask_nv_major(device) : 0;
}

static cl_uint nv_minor(cl_device_id device) {
    return tells_nv(device) ? ask_nv_minor(device) : 0;
}

/* All our groups have one dimension; that may have a limit of its own. */
static size_t max_group(cl_device_id device) {
    size_t sizes[16] = { 0 };
    const size_t most = max_items(device);
    if (qmmi_opencl_load()->clGetDeviceInfo(device, CL_DEVICE_MAX_WORK_ITEM_SIZES, sizeof sizes, sizes, NULL) !=
        CL_SUCCESS)
        return most;
    return sizes[0] < most ? sizes[0] : most;
}

/* Mesa's llvmpipe (22.3, at least) leaves a work-item's loops after 65,535 turns of them all. */
static int64_t max_turns(cl_device_id device) {
    char name[16];
    text_of(device, CL_DEVICE_NAME, name, sizeof name);
    return strncmp(name, "llvmpipe", 8) == 0 ? 65535 : INT64_MAX;
}

/* ---- what it can do ------------------------------------------------------------------------------------------------ */

/* Of the six flags of the acceleration properties, the first: signed, not saturating. */
static bool khr_dot_accelerated(cl_device_id device) {
    cl_bool flags[6] = { 0 };
    return qmmi_opencl_load()->clGetDeviceInfo(device, KHR_DOT_ACCELERATION_PACKED, sizeof flags, flags, NULL) ==
               CL_SUCCESS &&
           flags[0];
}

static bool has_sub_groups_of(cl_device_id device, size_t wanted) {
    size_t sizes[16] = { 0 };
    if (qmmi_opencl_load()->clGetDeviceInfo(device, INTEL_SUB_GROUP_SIZES, sizeof sizes, sizes, NULL) != CL_SUCCESS)
        return false;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        if (sizes[i] == wanted) return true;
    return false;
}

/* By the names of platform and vendor, never by a build that succeeds: other drivers build PTX too, and run nonsense. */
static bool is_nvidia(cl_platform_id platform, cl_device_id device) {
    char name[64];
    platform_text(platform, CL_PLATFORM_NAME, name, sizeof name);
    return strcmp(name, "NVIDIA CUDA") == 0 && vendor_id(device) == 0x10de;
}

/* PoCL runs kernels on the CPU that this code runs on, so its instructions can be asked for here. */
static bool is_pocl_with_vnni(cl_platform_id platform, cl_device_id device) {
    char name[64];
    platform_text(platform, CL_PLATFORM_NAME, name, sizeof name);
    if (strcmp(name, "Portable Computing Language") != 0 || !(type_of(device) & CL_DEVICE_TYPE_CPU)) return false;
#if defined(__x86_64__)
    return __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl");
#else
    return false;
#endif
}

/* DPAS was never run on a device by us: only for those who ask for it. */
static bool wants_dpas(void) {
    const char *const wanted = getenv("QMM_OPENCL_DPAS");
    return wanted && strcmp(wanted, "1") == 0;
}

static uint32_t capabilities(cl_platform_id platform, cl_device_id device) {
    uint32_t bits = type_of(device) & CL_DEVICE_TYPE_CPU ? QMMI_OPENCL_CPU : 0;
    if (extends(device, "cl_khr_integer_dot_product") && (khr_dot(device) & KHR_DOT_PACKED) &&
        khr_dot_accelerated(device))
        bits |= QMMI_OPENCL_INTEGER_DOT;
    if (extends(device, "cl_arm_integer_dot_product_accumulate_int8")) bits |= QMMI_OPENCL_ARM_DOT;
    if (is_nvidia(platform, device)) {
        const cl_uint capability = 10 * nv_major(device) + nv_minor(device);
        if (capability >= 61) bits |= QMMI_OPENCL_NV_DP4A;
        if (capability >= 80) bits |= QMMI_OPENCL_NV_MMA;
    }
    if (extends(device, "cl_intel_subgroup_matrix_multiply_accumulate") && wants_dpas()) {
        if (has_sub_groups_of(device, 8))
            bits |= QMMI_OPENCL_INTEL_DPAS8;
        else if (has_sub_groups_of(device, 16))
            bits |= QMMI_OPENCL_INTEL_DPAS16;
    }
    if (is_pocl_with_vnni(platform, device)) bits |= QMMI_OPENCL_X86_VNNI;
    return bits;
}

static qmm_int8_class int8_class(uint32_t bits) {
    if (bits & (QMMI_OPENCL_NV_MMA | QMMI_OPENCL_INTEL_DPAS8 | QMMI_OPENCL_INTEL_DPAS16)) return QMM_INT8_MMA;
    if (bits & (QMMI_OPENCL_NV_DP4A | QMMI_OPENCL_INTEGER_DOT | QMMI_OPENCL_ARM_DOT)) return QMM_INT8_DP4A;
    return bits & QMMI_OPENCL_X86_VNNI ? QMM_INT8_VNNI : QMM_INT8_NONE;
}

/* NULL, or what a device lacks that every kernel needs. */
static const char *unfit(cl_device_id device) {
    char version[64];
    int major = 0, minor = 0;
    text_of(device, CL_DEVICE_VERSION, version, sizeof version);
    if (!is_available(device)) return "it is not available";
    if (!has_compiler(device)) return "it has no compiler";
    if (!is_little_endian(device)) return "it is big-endian";
    if (sscanf(version, "OpenCL %d.%d", &major, &minor) != 2 || 10 * major + minor < 12)
        return "it is older than OpenCL 1.2";
    if (max_group(device) == 0 || compute_units(device) == 0) return "it says nothing of its size";
    if (parameter_bytes(device) < 1024)
        return "it has less than 1,024 bytes for a kernel's parameters, as embedded profiles do";
    if ((float_config(device) & (CL_FP_ROUND_TO_NEAREST | CL_FP_INF_NAN)) != (CL_FP_ROUND_TO_NEAREST | CL_FP_INF_NAN))
        return "its floats do not round to nearest, or have no infinities";
    return NULL;
}

/* ---- the list ------------------------------------------------------------------------------------------------------ */

static qmm_device_kind kind_of(cl_device_id device) {
    const cl_device_type type = type_of(device);
    return type & CL_DEVICE_TYPE_CPU   ? QMM_DEVICE_KIND_CPU
           : type & CL_DEVICE_TYPE_GPU ? QMM_DEVICE_KIND_GPU
                                       : QMM_DEVICE_KIND_ACCELERATOR;
}

static void read_info(qmmi_opencl_facts *f) {
    qmm_device_info *info = &f->info;
    char platform[48], version[16], driver[48];
    platform_text(f->platform, CL_PLATFORM_NAME, platform, sizeof platform);
    text_of(f->handle, CL_DEVICE_VERSION, version, sizeof version); /* "OpenCL 3.0 ", and much else behind it */
    version[strcspn(version + sizeof "OpenCL " - 1, " ") + sizeof "OpenCL " - 1] = '\0';
    text_of(f->handle, CL_DRIVER_VERSION, driver, sizeof driver);
    *info = (qmm_device_info)QMM_DEVICE_INFO_INIT;
    text_of(f->handle, CL_DEVICE_NAME, info->description, sizeof info->description);
    snprintf(info->driver, sizeof info->driver, "%s, %s, driver %s", platform, version, driver);
    info->kind = kind_of(f->handle);
    info->compute_units = (int32_t)compute_units(f->handle);
    info->compute_major = (int32_t)nv_major(f->handle);
    info->compute_minor = (int32_t)nv_minor(f->handle);
    info->int8_class = int8_class(f->capabilities);
    info->memory_bytes = memory_bytes(f->handle);
}

/* Everything the platform and the driver say of themselves, uncut: where one of them is updated, so is this. */
static uint64_t identity_of(cl_platform_id platform, cl_device_id device) {
    static const cl_device_info questions[] = { CL_DEVICE_NAME, CL_DEVICE_VENDOR, CL_DEVICE_VERSION,
                                                CL_DRIVER_VERSION };
    char text[TEXT_BYTES];
    uint64_t identity;
    platform_text(platform, CL_PLATFORM_VERSION, text, sizeof text);
    identity = qmmi_opencl_cache_hash(text, strlen(text));
    for (size_t i = 0; i < sizeof questions / sizeof questions[0]; i++) {
        text_of(device, questions[i], text, sizeof text);
        identity = identity * 31 + qmmi_opencl_cache_hash(text, strlen(text));
    }
    return identity;
}

static void add(cl_platform_id platform, cl_device_id device) {
    const char *const reason = unfit(device);
    qmmi_opencl_facts *f = &list.devices[list.count];
    if (reason) {
        char name[64];
        text_of(device, CL_DEVICE_NAME, name, sizeof name);
        snprintf(list.reason, sizeof list.reason, "%s is of no use: %s", name, reason);
        return;
    }
    if (list.count == DEVICES_MAX) return;
    *f = (qmmi_opencl_facts){ .platform = platform,
                              .handle = device,
                              .capabilities = capabilities(platform, device),
                              .exact_division = float_config(device) & CL_FP_CORRECTLY_ROUNDED_DIVIDE_SQRT,
                              .keeps_subnormals = float_config(device) & CL_FP_DENORM,
                              .identity = identity_of(platform, device),
                              .device = { .compute_units = (int)compute_units(device),
                                          .local_bytes = (size_t)local_bytes(device),
                                          .max_group = max_group(device),
                                          .max_turns = max_turns(device) } };
    read_info(f);
    snprintf(f->info.name, sizeof f->info.name, "opencl:%d", list.count++);
}

/* Adds the devices of a platform that are CPUs, or those that are not. */
static void add_platform(cl_platform_id platform, bool cpus) {
    const qmmi_opencl_api *api = qmmi_opencl_load();
    cl_device_id devices[DEVICES_MAX];
    cl_uint count = 0;
    const cl_int result = api->clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, DEVICES_MAX, devices, &count);
    if (result != CL_SUCCESS) {
        char name[64];
        platform_text(platform, CL_PLATFORM_NAME, name, sizeof name);
        snprintf(list.reason, sizeof list.reason, "the OpenCL platform '%s' has no device (clGetDeviceIDs: %d)", name,
                 (int)result);
        return;
    }
    for (cl_uint i = 0; i < count && i < DEVICES_MAX; i++)
        if (((type_of(devices[i]) & CL_DEVICE_TYPE_CPU) != 0) == cpus) add(platform, devices[i]);
}

static void read_list(void) {
    const qmmi_opencl_api *api = qmmi_opencl_load();
    cl_platform_id platforms[PLATFORMS_MAX];
    cl_uint count = 0;
    cl_int result;
    snprintf(list.reason, sizeof list.reason, "%s", api->reason);
    if (api->reason[0]) return;
    result = api->clGetPlatformIDs(PLATFORMS_MAX, platforms, &count);
    if (result == PLATFORM_NOT_FOUND || (result == CL_SUCCESS && count == 0)) {
        snprintf(list.reason, sizeof list.reason, "there is an OpenCL loader, but no OpenCL driver is installed");
        return;
    }
    if (result != CL_SUCCESS) {
        snprintf(list.reason, sizeof list.reason, "clGetPlatformIDs failed with %d", (int)result);
        return;
    }
    if (count > PLATFORMS_MAX) count = PLATFORMS_MAX;
    for (int cpus = 0; cpus < 2; cpus++)
        for (cl_uint i = 0; i < count; i++) add_platform(platforms[i], cpus);
    if (list.count > 0) list.reason[0] = '\0';
}

static const device_list *devices(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, read_list);
    return &list;
}

int qmmi_opencl_device_count(char *reason, size_t reason_bytes) {
    snprintf(reason, reason_bytes, "%s", devices()->reason);
    return devices()->count;
}

void qmmi_opencl_device_info(int index, qmm_device_info *info) {
    *info = devices()->devices[index].info;
}

/* What computes on a CPU by way of OpenCL is slower than our own device; and a device that may lose subnormal numbers may
 * turn out to be of no use once its arithmetic is tried. */
bool qmmi_opencl_device_auto(int index) {
    const qmmi_opencl_facts *f = &devices()->devices[index];
    return f->info.kind != QMM_DEVICE_KIND_CPU && f->keeps_subnormals;
}

const qmmi_opencl_facts *qmmi_opencl_device_facts(int index) {
    return &devices()->devices[index];
}

int qmmi_opencl_device_find(cl_device_id handle) {
    for (int i = 0; i < devices()->count; i++)
        if (devices()->devices[i].handle == handle) return i;
    return -1;
}
