/* SPDX-License-Identifier: Apache-2.0
 *
 * The exact comparer. */
#include "cpu/element.h"
#include "host_view.h"
#include "type.h"
#include "validate.h"

/* An element as bits and as a value. */
typedef struct element {
    uint32_t bits;
    double value;
} element;

static element read_element(qmm_type type, const unsigned char *base, int64_t index) {
    element e;
    if (qmmi_type_in(type, QMMI_REALS)) {
        const float value = qmmi_cpu_load_real(type, base, index);
        e.value = (double)value;
        e.bits = value == value ? QMMN_AS_UINT(value) : 0x7fc00000u; /* two NaNs are equal */
    } else {
        const int32_t code = qmmi_cpu_load_code(type, base, index);
        e.value = code;
        e.bits = (uint32_t)code;
    }
    return e;
}

static void compare_element(const qmmi_view *x, const unsigned char *x_base, const qmmi_view *y,
                            const unsigned char *y_base, int64_t b, int64_t i, int64_t j, qmm_compare_result *result) {
    const element expected = read_element(x->type, x_base, qmmi_cpu_index(x, b, i, j));
    const element got = read_element(y->type, y_base, qmmi_cpu_index(y, b, i, j));
    result->count++;
    if (expected.bits == got.bits || result->mismatches++ > 0) return;
    result->batch = b;
    result->row = i;
    result->col = j;
    result->expected = expected.value;
    result->got = got.value;
}

qmm_status qmm_compare(qmm_context *context, const qmm_tensor *expected, const qmm_tensor *got,
                       qmm_compare_result *result) {
    const qmmi_call call = { context, __func__, false };
    qmmi_host_view x_host = { 0 }, y_host = { 0 };
    qmm_compare_result found = QMM_COMPARE_RESULT_INIT;
    qmmi_view x, y;
    qmm_status status;
    QMMI_ENTER_WAITING(context);
    QMMI_REQUIRE(context, result, "result is NULL");
    QMMI_CHECK_RESULT(context, result, QMMI_OLDEST_COMPARE_RESULT);
    QMMI_TRY(qmmi_check_tensor(&call, "expected", expected, QMMI_ALL_TYPES, false, &x));
    QMMI_TRY(qmmi_check_tensor(&call, "got", got, QMMI_ALL_TYPES, false, &y));
    QMMI_TRY(qmmi_check_same_shape(&call, "got", &y, "expected", &x));
    QMMI_REQUIRE(context, x.type == y.type, "type %s of got is not the %s of expected", qmm_type_name(y.type),
                 qmm_type_name(x.type));
    status = qmmi_host_view_open(context, __func__, x.memory, x.offset, x.bytes, &x_host);
    if (status == QMM_OK)
        status = qmmi_host_view_open(context, __func__, y.memory, y.offset, y.bytes, &y_host);
    if (status == QMM_OK) {
        for (int64_t b = 0; b < x.batch && x.rows > 0 && x.cols > 0; b++)
            for (int64_t i = 0; i < x.rows; i++)
                for (int64_t j = 0; j < x.cols; j++)
                    compare_element(&x, x_host.base, &y, y_host.base, b, i, j, &found);
    }
    if (status == QMM_OK) qmmi_write_struct(result, &found, sizeof found);
    qmmi_host_view_close(context, &x_host);
    qmmi_host_view_close(context, &y_host);
    return status;
}
