/* SPDX-License-Identifier: Apache-2.0
 *
 * The element types: names, widths, ranges of codes. */
#include "type.h"

typedef struct type_facts {
    const char *name;
    int bits;
    int bits_min, bits_max; /* of codes; 0 for other types */
    bool is_signed;
} type_facts;

static const type_facts facts[] = {
    [QMM_S4] = { "s4", 4, 2, 4, true },     [QMM_U4] = { "u4", 4, 2, 4, false },
    [QMM_S8] = { "s8", 8, 2, 8, true },     [QMM_U8] = { "u8", 8, 2, 8, false },
    [QMM_S16] = { "s16", 16, 9, 16, true }, [QMM_U16] = { "u16", 16, 9, 16, false },
    [QMM_S32] = { "s32", 32, 0, 0, true },  [QMM_F32] = { "f32", 32, 0, 0, true },
    [QMM_F16] = { "f16", 16, 0, 0, true },  [QMM_BF16] = { "bf16", 16, 0, 0, true },
};

const char *qmm_type_name(qmm_type type) {
    return qmmi_type_in(type, QMMI_ALL_TYPES) ? facts[type].name : "unknown type";
}

int qmm_type_bits(qmm_type type) {
    return qmmi_type_in(type, QMMI_ALL_TYPES) ? facts[type].bits : 0;
}

qmm_status qmm_type_range(qmm_type type, int bits, int32_t *qmin, int32_t *qmax) {
    if (!qmin || !qmax || !qmmi_type_in(type, QMMI_CODES)) return QMM_INVALID_ARGUMENT;
    if (bits == 0) bits = facts[type].bits;
    if (bits < facts[type].bits_min || bits > facts[type].bits_max) return QMM_INVALID_ARGUMENT;
    *qmin = facts[type].is_signed ? -(1 << (bits - 1)) : 0;
    *qmax = facts[type].is_signed ? (1 << (bits - 1)) - 1 : (1 << bits) - 1;
    return QMM_OK;
}

const char *qmm_device_kind_name(qmm_device_kind kind) {
    switch (kind) {
    case QMM_DEVICE_KIND_CPU: return "cpu";
    case QMM_DEVICE_KIND_GPU: return "gpu";
    case QMM_DEVICE_KIND_ACCELERATOR: return "accelerator";
    }
    return "unknown device kind";
}

const char *qmm_int8_class_name(qmm_int8_class int8_class) {
    switch (int8_class) {
    case QMM_INT8_NONE: return "none";
    case QMM_INT8_DP4A: return "dp4a";
    case QMM_INT8_MMA: return "mma";
    case QMM_INT8_WGMMA: return "wgmma";
    case QMM_INT8_TCGEN05: return "tcgen05";
    case QMM_INT8_REDUCED: return "reduced";
    case QMM_INT8_VNNI: return "vnni";
    }
    return "unknown class";
}
