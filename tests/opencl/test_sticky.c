/* SPDX-License-Identifier: Apache-2.0
 *
 * A device that fails: a kernel at fault, a lost device. Every later call of the context says QMM_DEVICE_FAILED, closing
 * returns, the cpu device works, and another context does where the device does. Needs the shim. */
#define _POSIX_C_SOURCE 200809L
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/world.h"
#include "calls.h"

static world the_world;
static world *const w = &the_world;

typedef struct fault {
    const char *function;
    int code;
    const char *said;
} fault;

static const fault faults[] = {
    { "clFinish", CL_OUT_OF_RESOURCES, "CL_OUT_OF_RESOURCES" }, /* what NVIDIA says of a kernel at fault */
    { "clFinish", -9999, "-9999" },
    { "clFinish", CL_INVALID_COMMAND_QUEUE, "CL_INVALID_COMMAND_QUEUE" },
    { "clFinish", CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST, "CL_EXEC_STATUS_ERROR" },
    { "clEnqueueNDRangeKernel", CL_DEVICE_NOT_AVAILABLE, "CL_DEVICE_NOT_AVAILABLE" },
};

static qmm_status small_matmul(void) {
    const qmm_status status = qmm_matmul(w->context, NULL, &w->a, &w->b, &w->c);
    return status == QMM_OK ? qmm_context_synchronize(w->context) : status;
}

static void expect_other_works(const char *device) {
    static world other;
    setenv("QMM_TEST_DEVICE", device, 1);
    world_open(&other, NULL);
    world_works(&other);
    world_close(&other);
    setenv("QMM_TEST_DEVICE", "opencl", 1);
}

static void check_sticky(const fault *f, bool stays) {
    qmm_status status;
    world_open(w, NULL);
    expect(world_works(w), "nothing works from the start");
    shim_set("fail=%s:1:%d%s", f->function, f->code, stays ? "+" : "");
    status = small_matmul();
    expect_error(w->context, status, QMM_DEVICE_FAILED, NULL);
    expect(strstr(qmm_context_error(w->context), f->said) != NULL, "said: %s", qmm_context_error(w->context));
    for (size_t i = 0; i < entry_count; i++)
        expect(entries[i].call(w, w->context) == QMM_DEVICE_FAILED, "%s: %s", entries[i].name,
               qmm_context_error(w->context));
    for (size_t i = 0; i < TUNING_ENTRIES; i++)
        expect(tuning_entries[i].call(w, w->context) == QMM_DEVICE_FAILED, "%s: %s", tuning_entries[i].name,
               qmm_context_error(w->context));
    expect_other_works("cpu");
    if (!stays) expect_other_works("opencl");
    world_close(w); /* with buffers, weights, a calibrator */
    shim_set("fail=none");
    expect_other_works("opencl");
}

static void test_sticky(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT_OF(faults); i++) {
        check_sticky(&faults[i], false);
        check_sticky(&faults[i], true);
    }
    end_of_test();
}

/* The first launch of each function that launches, not only of a matmul. */
static void test_each_entry(void **state) {
    int launches = 0;
    (void)state;
    for (size_t i = 0; i < entry_count; i++) {
        const entry *e = &entries[i];
        bool failed;
        world_open(w, NULL);
        expect_ok(w->context, qmm_context_prepare(w->context), "prepare");
        shim_set("fail=clEnqueueNDRangeKernel:1:%d", CL_DEVICE_NOT_AVAILABLE);
        e->call(w, w->context);
        failed = shim_get("failing") == 0;
        shim_set("fail=none");
        launches += failed;
        expect(failed == (qmm_context_error_status(w->context) == QMM_DEVICE_FAILED), "%s: %s", e->name,
               qmm_context_error(w->context));
        world_close(w);
    }
    expect(launches >= 8, "only %d functions launch", launches);
    end_of_test();
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_sticky), cmocka_unit_test(test_each_entry) };
    qmm_context *keeper; /* of the programs, so that they are built once */
    int failed;
    if (setenv("QMM_TEST_DEVICE", "opencl", 1) != 0) return 2;
    if (qmm_context_open("opencl", NULL, &keeper) != QMM_OK || qmm_context_prepare(keeper) != QMM_OK) return 2;
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    qmm_context_close(keeper);
    return failed;
}
