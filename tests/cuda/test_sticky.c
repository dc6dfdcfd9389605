/* SPDX-License-Identifier: Apache-2.0
 *
 * A device that fails: a kernel at fault, a lost device. Every later call says QMM_DEVICE_FAILED, closing returns, the
 * cpu device works. What is not sticky leaves the context in use. Each fault is a process of its own. */
#define _POSIX_C_SOURCE 200809L
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/world.h"
#include "calls.h"
#include "process.h"

static world the_world;
static world *const w = &the_world;

typedef struct fault {
    const char *option; /* of the simulated device: fail_launch, or sticky */
    int error;          /* CUresult */
    const char *name;
} fault;

static qmm_status small_matmul(void) {
    const qmm_status status = qmm_matmul(w->context, NULL, &w->a, &w->b, &w->c);
    return status == QMM_OK ? qmm_context_synchronize(w->context) : status;
}

static void set_fault(const fault *f) {
    if (strcmp(f->option, "sticky") == 0) {
        simulator_set("sticky", f->error);
        return;
    }
    simulator_set("fail_launch_error", f->error);
    simulator_set(f->option, 1);
}

static void expect_cpu_works(void) {
    static world cpu;
    setenv("QMM_TEST_DEVICE", "cpu", 1);
    world_open(&cpu, NULL);
    world_works(&cpu);
    world_close(&cpu);
}

/* ---- sticky ------------------------------------------------------------------------------------------------------- */

static void check_sticky(void *argument) {
    const fault *f = argument;
    qmm_context *other = NULL, *second = NULL;
    qmm_context_options options = QMM_CONTEXT_OPTIONS_INIT;
    qmm_status status;
    char text[512] = "";
    world_open(w, NULL);
    expect(qmm_context_open("cuda", NULL, &other) == QMM_OK, "a second context");
    expect(world_works(w), "nothing works from the start");
    set_fault(f);
    status = small_matmul();
    expect_error(w->context, status, QMM_DEVICE_FAILED, NULL);
    expect(strstr(qmm_context_error(w->context), f->name) != NULL, "said: %s", qmm_context_error(w->context));
    for (size_t i = 0; i < entry_count; i++)
        expect(entries[i].call(w, w->context) == QMM_DEVICE_FAILED, "%s: %s", entries[i].name,
               qmm_context_error(w->context));
    for (size_t i = 0; i < TUNING_ENTRIES; i++)
        expect(tuning_entries[i].call(w, w->context) == QMM_DEVICE_FAILED, "%s: %s", tuning_entries[i].name,
               qmm_context_error(w->context));
    expect(qmm_context_native_queue(w->context) == NULL, "a queue of a failed device");
    expect(qmm_context_synchronize(other) == QMM_DEVICE_FAILED, "the other context does not know");
    qmm_context_close(other);
    world_close(w); /* with buffers, weights, a calibrator */
    options.error_text = text;
    options.error_text_size = sizeof text;
    status = qmm_context_open("cuda", &options, &second);
    expect(status == QMM_DEVICE_FAILED && !second, "opened again: %s", qmm_status_name(status));
    expect(strstr(text, f->name) != NULL, "opened again: '%s'", text);
    expect_cpu_works();
}

static void test_sticky(void **state) {
    static fault faults[] = {
        { "fail_launch", 719, "CUDA_ERROR_LAUNCH_FAILED" },      { "fail_launch", 700, "CUDA_ERROR_ILLEGAL_ADDRESS" },
        { "fail_launch", 716, "CUDA_ERROR_MISALIGNED_ADDRESS" }, { "fail_launch", 710, "CUDA_ERROR_ASSERT" },
        { "sticky", 214, "CUDA_ERROR_ECC_UNCORRECTABLE" },       { "sticky", 46, "CUDA_ERROR_DEVICE_UNAVAILABLE" },
    };
    const char *const variables[] = { "QMM_TEST_DEVICE", "cuda", NULL };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(faults); i++) in_process(variables, check_sticky, &faults[i]);
    end_of_test();
}

/* The n-th launch of each function that launches, not only the first of a matmul. */
static void check_each_launch(void *argument) {
    const entry *e = argument;
    world_open(w, NULL);
    expect_ok(w->context, qmm_context_prepare(w->context), "prepare");
    simulator_set("fail_launch_error", 719);
    simulator_set("fail_launch", 1);
    e->call(w, w->context);
    if (simulator_get("fail_launch") != 0) {
        expect(true, "it launches nothing");
    } else {
        qmm_context_synchronize(w->context);
        expect(qmm_context_error_status(w->context) == QMM_DEVICE_FAILED, "%s: %s", e->name,
               qmm_context_error(w->context));
    }
    world_close(w);
}

static void test_each_entry(void **state) {
    const char *const variables[] = { "QMM_TEST_DEVICE", "cuda", NULL };
    (void)state;
    for (size_t i = 0; i < entry_count; i++) {
        entry e = entries[i];
        in_process(variables, check_each_launch, &e);
    }
    end_of_test();
}

/* ---- not sticky --------------------------------------------------------------------------------------------------- */

static void check_recoverable(void *argument) {
    const fault *f = argument;
    qmm_status status;
    world_open(w, NULL);
    set_fault(f);
    status = small_matmul();
    expect(status != QMM_OK && status != QMM_DEVICE_FAILED, "%s", qmm_status_name(status));
    expect(strstr(qmm_context_error(w->context), f->name) != NULL, "said: %s", qmm_context_error(w->context));
    expect(world_works(w), "the next call fails");
    world_close(w);
}

static void test_recoverable(void **state) {
    static fault faults[] = { { "fail_launch", 2, "CUDA_ERROR_OUT_OF_MEMORY" },
                              { "fail_launch", 701, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES" } };
    const char *const variables[] = { "QMM_TEST_DEVICE", "cuda", NULL };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(faults); i++) in_process(variables, check_recoverable, &faults[i]);
    end_of_test();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sticky),
        cmocka_unit_test(test_each_entry),
        cmocka_unit_test(test_recoverable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
