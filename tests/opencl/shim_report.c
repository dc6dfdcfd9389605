/* SPDX-License-Identifier: Apache-2.0
 *
 * What the device says of itself. */
#define _POSIX_C_SOURCE 200809L
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shim_parts.h"

enum { OVERRIDES_MAX = 16, TEXT_MAX = 16384 };

/* Questions of the extensions. */
enum {
    NV_COMPUTE_MAJOR = 0x4000,
    NV_COMPUTE_MINOR = 0x4001,
    KHR_DOT_CAPABILITIES = 0x1073,
    KHR_DOT_ACCELERATION = 0x1074,
    KHR_DOT_ACCELERATION_PACKED = 0x1075,
    INTEL_SUB_GROUP_SIZES = 0x4108
};

/* ---- devices to be taken for ---------------------------------------------------------------------------------- */

typedef struct answer {
    cl_device_info question;
    size_t bytes;
    const void *value;
} answer;

typedef struct report {
    const char *name;
    const char *stand_ins;  /* the file; NULL: none */
    const char *platform;   /* NULL: the driver's own */
    const char *extensions; /* added to the driver's */
    answer answers[4];
} report;

static const cl_device_type gpu = CL_DEVICE_TYPE_GPU;
static const cl_uint nvidia = 0x10de, nine = 9, zero = 0;
static const cl_bitfield both = 3;
static const cl_bool accelerated[6] = { 1, 1, 1, 1, 1, 1 };
static const size_t sub_groups_8[] = { 8, 16, 32 }, sub_groups_16[] = { 16, 32 };

#define GPU { CL_DEVICE_TYPE, sizeof gpu, &gpu }

static const report reports[] = {
    { "gpu", NULL, NULL, "", { GPU } },
    { "nvidia",
      "ptx.cl",
      "NVIDIA CUDA",
      " cl_nv_device_attribute_query",
      { GPU,
        { CL_DEVICE_VENDOR_ID, sizeof nvidia, &nvidia },
        { NV_COMPUTE_MAJOR, sizeof nine, &nine },
        { NV_COMPUTE_MINOR, sizeof zero, &zero } } },
    { "arm",
      "dot.cl",
      NULL,
      " cl_arm_integer_dot_product_int8 cl_arm_integer_dot_product_accumulate_int8",
      { GPU } },
    { "khr_dot",
      "dot.cl",
      NULL,
      " cl_khr_integer_dot_product",
      { GPU,
        { KHR_DOT_CAPABILITIES, sizeof both, &both },
        { KHR_DOT_ACCELERATION, sizeof accelerated, accelerated },
        { KHR_DOT_ACCELERATION_PACKED, sizeof accelerated, accelerated } } },
    { "intel8",
      "dpas.cl",
      NULL,
      " cl_intel_required_subgroup_size cl_intel_subgroup_matrix_multiply_accumulate",
      { GPU, { INTEL_SUB_GROUP_SIZES, sizeof sub_groups_8, sub_groups_8 } } },
    { "intel16",
      "dpas.cl",
      NULL,
      " cl_intel_required_subgroup_size cl_intel_subgroup_matrix_multiply_accumulate",
      { GPU, { INTEL_SUB_GROUP_SIZES, sizeof sub_groups_16, sub_groups_16 } } },
};

static const report *reported;

void shim_set_report(const char *value) {
    for (size_t i = 0; i < sizeof reports / sizeof reports[0]; i++) {
        if (strcmp(reports[i].name, value) != 0) continue;
        reported = &reports[i];
        return;
    }
    shim_refuse("report", value);
}

const char *shim_stand_ins(void) {
    return reported ? reported->stand_ins : NULL;
}

/* ---- single answers ------------------------------------------------------------------------------------------- */

typedef struct override {
    cl_uint question;
    unsigned long long number;
    char text[256];
} override;

typedef struct overrides {
    int count;
    override list[OVERRIDES_MAX];
} overrides;

static overrides numbers, texts, platform_texts;

/* The last one given for the question. */
static const override *find(const overrides *all, cl_uint question) {
    for (int i = all->count; i-- > 0;)
        if (all->list[i].question == question) return &all->list[i];
    return NULL;
}

/* QUESTION:VALUE */
static void add(overrides *all, const char *option, const char *value) {
    char *end;
    override *o = &all->list[all->count];
    if (all->count == OVERRIDES_MAX) shim_refuse(option, value);
    o->question = (cl_uint)strtoul(value, &end, 0);
    if (end == value || *end != ':') shim_refuse(option, value);
    o->number = strtoull(end + 1, NULL, 0);
    snprintf(o->text, sizeof o->text, "%s", end + 1);
    all->count++;
}

void shim_set_device(const char *value) {
    add(&numbers, "device", value);
}

void shim_set_device_text(const char *value) {
    add(&texts, "device_text", value);
}

void shim_set_platform_text(const char *value) {
    add(&platform_texts, "platform_text", value);
}

/* ---- answering ------------------------------------------------------------------------------------------------ */

cl_int shim_answer(const void *given, size_t bytes, size_t size, void *value, size_t *size_given) {
    if (value && size < bytes) return CL_INVALID_VALUE;
    if (value) memcpy(value, given, bytes);
    if (size_given) *size_given = bytes;
    return CL_SUCCESS;
}

const char *shim_platform_text(cl_platform_info question) {
    const override *o = find(&platform_texts, question);
    if (o) return o->text;
    return reported && question == CL_PLATFORM_NAME ? reported->platform : NULL;
}

static cl_int answer_extensions(shim_ask_device ask, cl_device_id device, size_t size, void *value,
                                size_t *size_given) {
    char text[TEXT_MAX] = "";
    const size_t added = strlen(reported->extensions) + 1;
    const cl_int result = ask(device, CL_DEVICE_EXTENSIONS, sizeof text - added, text, NULL);
    if (result != CL_SUCCESS) return result;
    memcpy(text + strlen(text), reported->extensions, added);
    return shim_answer(text, strlen(text) + 1, size, value, size_given);
}

/* Machines are little-endian here, so the first bytes of the number are the number. */
static cl_int answer_number(shim_ask_device ask, cl_device_id device, const override *o, size_t size, void *value,
                            size_t *size_given) {
    size_t bytes = 0;
    if (ask(device, o->question, 0, NULL, &bytes) != CL_SUCCESS || bytes > sizeof o->number) bytes = sizeof o->number;
    return shim_answer(&o->number, bytes, size, value, size_given);
}

cl_int shim_device_info(shim_ask_device ask, cl_device_id device, cl_device_info question, size_t size, void *value,
                        size_t *size_given) {
    const override *const number = find(&numbers, question), *const text = find(&texts, question);
    if (number) return answer_number(ask, device, number, size, value, size_given);
    if (text) return shim_answer(text->text, strlen(text->text) + 1, size, value, size_given);
    if (reported && question == CL_DEVICE_EXTENSIONS) return answer_extensions(ask, device, size, value, size_given);
    for (int i = 0; reported && i < 4 && reported->answers[i].value; i++) {
        const answer *a = &reported->answers[i];
        if (a->question == question) return shim_answer(a->value, a->bytes, size, value, size_given);
    }
    return ask(device, question, size, value, size_given);
}

/* ---- times ---------------------------------------------------------------------------------------------------- */

enum { RIGHT, CONSTANT, BACKWARDS, SLOW, TIMES };
static int times = RIGHT;

void shim_set_times(const char *value) {
    static const char *const names[TIMES] = { "right", "constant", "backwards", "slow" };
    int found = 0;
    while (found < TIMES && strcmp(names[found], value) != 0) found++;
    if (found == TIMES) shim_refuse("times", value);
    times = found;
}

void shim_change_time(void *nanoseconds) {
    cl_ulong *const time = nanoseconds;
    if (times == CONSTANT) *time = 5;
    if (times == BACKWARDS) *time = ~*time;
    if (times == SLOW) *time *= 1000;
}
