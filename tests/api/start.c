/* SPDX-License-Identifier: Apache-2.0 */
#include "start.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

void expect_cpu_works(const char *device) {
    static const int8_t a[6] = { 1, -2, 3, -4, 5, -128 }, b[6] = { 7, 8, -9, 10, 11, -128 };
    static const int32_t wanted[4] = { 1 * 7 - 2 * -9 + 3 * 11, 1 * 8 - 2 * 10 + 3 * -128, -4 * 7 + 5 * -9 - 128 * 11,
                                       -4 * 8 + 5 * 10 + 128 * 128 };
    qmm_context *context;
    qmm_device_info info = QMM_DEVICE_INFO_INIT;
    qmm_tensor ta, tb, tc;
    int32_t c[4] = { 0 };
    if (!expect(qmm_context_open(device, NULL, &context) == QMM_OK, "%s does not open", device)) return;
    expect_ok(context, qmm_context_get_device_info(context, &info), "info");
    expect(strcmp(info.name, "cpu") == 0, "%s is %s", device, info.name);
    ta = qmm_matrix(make_buffer(context, a, sizeof a), QMM_S8, 2, 3);
    tb = qmm_matrix(make_buffer(context, b, sizeof b), QMM_S8, 3, 2);
    tc = qmm_matrix(make_buffer(context, NULL, sizeof c), QMM_S32, 2, 2);
    expect_ok(context, qmm_matmul(context, NULL, &ta, &tb, &tc), "matmul");
    expect_ok(context, qmm_buffer_download(context, tc.buffer, 0, c, sizeof c), "download");
    expect_bytes(c, wanted, sizeof c, "c");
    qmm_context_close(context);
}

void find_backend(const char *name, qmm_backend_info *info) {
    bool found = false;
    for (int i = 0; i < qmm_backend_count() && !found; i++) {
        *info = (qmm_backend_info)QMM_BACKEND_INFO_INIT;
        expect(qmm_backend_get_info(i, info) == QMM_OK, "backend %d", i);
        found = strcmp(info->name, name) == 0;
    }
    expect(found, "there is no backend '%s'", name);
}

void expect_no_device(const char *name, const char *says) {
    qmm_backend_info info;
    qmm_context *context = NULL;
    qmm_context_options options = QMM_CONTEXT_OPTIONS_INIT;
    char text[512] = "", second[32];
    options.error_text = text;
    options.error_text_size = sizeof text;
    snprintf(second, sizeof second, "%s:1", name);
    find_backend(name, &info);
    print_message("             %s\n", info.reason);
    expect(info.devices == 0, "%d devices", (int)info.devices);
    expect(info.reason[0] != '\0' && (!says || strstr(info.reason, says)), "the reason is '%s', not '%s'", info.reason,
           says ? says : "any");
    expect(qmm_context_open(name, &options, &context) == QMM_NO_DEVICE && !context, "%s opens", name);
    expect(strstr(text, info.reason) != NULL, "the error is '%s'", text);
    expect(qmm_context_open(second, NULL, &context) == QMM_NO_DEVICE, "%s opens", second);
    expect(qmm_device_count() == 1, "%d devices in all", qmm_device_count());
    expect_cpu_works("cpu");
    expect_cpu_works("auto");
}
