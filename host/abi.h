/* SPDX-License-Identifier: Apache-2.0
 *
 * Sizes of the public structs in version 0.1, the oldest a caller can bring. Never edited: fields are only appended, and
 * a new one must not fall into trailing padding, so there is none. */
#ifndef QMMI_ABI_H
#define QMMI_ABI_H

#include "qmm/qmm.h"

/* On a machine with 64-bit pointers; elsewhere there is no older version. */
#if UINTPTR_MAX == UINT64_MAX
#define QMMI_OLDEST(type, bytes) ((size_t)(bytes))
#else
#define QMMI_OLDEST(type, bytes) sizeof(type)
#endif

#define QMMI_OLDEST_DEVICE_INFO QMMI_OLDEST(qmm_device_info, 328)
#define QMMI_OLDEST_BACKEND_INFO QMMI_OLDEST(qmm_backend_info, 304)
#define QMMI_OLDEST_ALLOCATOR QMMI_OLDEST(qmm_allocator, 48)
#define QMMI_OLDEST_CONTEXT_OPTIONS QMMI_OLDEST(qmm_context_options, 88)
#define QMMI_OLDEST_QUANT QMMI_OLDEST(qmm_quant, 64)
#define QMMI_OLDEST_RANGE_OPTIONS QMMI_OLDEST(qmm_range_options, 40)
#define QMMI_OLDEST_ERROR_MEASURE QMMI_OLDEST(qmm_error_measure, 56)
#define QMMI_OLDEST_MATMUL_DESC QMMI_OLDEST(qmm_matmul_desc, 96)
#define QMMI_OLDEST_MATMUL_PLAN_INFO QMMI_OLDEST(qmm_matmul_plan_info, 128)
#define QMMI_OLDEST_WEIGHTS_OPTIONS QMMI_OLDEST(qmm_weights_options, 40)
#define QMMI_OLDEST_VERIFY_OPTIONS QMMI_OLDEST(qmm_verify_options, 24)
#define QMMI_OLDEST_VERIFY_RESULT QMMI_OLDEST(qmm_verify_result, 48)
#define QMMI_OLDEST_COMPARE_RESULT QMMI_OLDEST(qmm_compare_result, 64)
#define QMMI_OLDEST_TUNE_OPTIONS QMMI_OLDEST(qmm_tune_options, 24)

_Static_assert(sizeof(qmm_device_info) >= QMMI_OLDEST_DEVICE_INFO, "fields are only appended");
_Static_assert(sizeof(qmm_backend_info) >= QMMI_OLDEST_BACKEND_INFO, "fields are only appended");
_Static_assert(sizeof(qmm_allocator) >= QMMI_OLDEST_ALLOCATOR, "fields are only appended");
_Static_assert(sizeof(qmm_context_options) >= QMMI_OLDEST_CONTEXT_OPTIONS, "fields are only appended");
_Static_assert(sizeof(qmm_quant) >= QMMI_OLDEST_QUANT, "fields are only appended");
_Static_assert(sizeof(qmm_range_options) >= QMMI_OLDEST_RANGE_OPTIONS, "fields are only appended");
_Static_assert(sizeof(qmm_error_measure) >= QMMI_OLDEST_ERROR_MEASURE, "fields are only appended");
_Static_assert(sizeof(qmm_matmul_desc) >= QMMI_OLDEST_MATMUL_DESC, "fields are only appended");
_Static_assert(sizeof(qmm_matmul_plan_info) >= QMMI_OLDEST_MATMUL_PLAN_INFO, "fields are only appended");
_Static_assert(sizeof(qmm_weights_options) >= QMMI_OLDEST_WEIGHTS_OPTIONS, "fields are only appended");
_Static_assert(sizeof(qmm_verify_options) >= QMMI_OLDEST_VERIFY_OPTIONS, "fields are only appended");
_Static_assert(sizeof(qmm_verify_result) >= QMMI_OLDEST_VERIFY_RESULT, "fields are only appended");
_Static_assert(sizeof(qmm_compare_result) >= QMMI_OLDEST_COMPARE_RESULT, "fields are only appended");
_Static_assert(sizeof(qmm_tune_options) >= QMMI_OLDEST_TUNE_OPTIONS, "fields are only appended");

#endif
