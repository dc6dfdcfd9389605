/* SPDX-License-Identifier: Apache-2.0
 *
 * Machines where CUDA cannot be used: no driver, a broken or too old one, no device, a driver that does not start, no
 * kernels for the device. Each says which, and the cpu device works. The driver is looked for once in a process, so
 * each case is a process of its own. argv: a shared library that is no driver. */
#define _POSIX_C_SOURCE 200809L
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "api/start.h"
#include "process.h"

static const char *simulator, *no_driver;

typedef struct machine {
    const char *library; /* QMM_CUDA_LIBRARY; NULL: not set */
    const char *options; /* QMM_SIMULATOR; NULL: not set */
    const char *says;    /* part of the reason; NULL: any */
    const char *visible; /* CUDA_VISIBLE_DEVICES; NULL: not set */
} machine;

/* ---- what must hold on every such machine -------------------------------------------------------------------------- */

static void expect_unusable(void *argument) {
    const machine *m = argument;
    expect_no_device("cuda", m->says);
}

/* A device is listed; opening it fails with these words. */
static void expect_refused(void *argument) {
    const machine *m = argument;
    qmm_backend_info cuda;
    qmm_context *context = NULL;
    qmm_context_options options = QMM_CONTEXT_OPTIONS_INIT;
    char text[512] = "";
    options.error_text = text;
    options.error_text_size = sizeof text;
    find_backend("cuda", &cuda);
    expect(cuda.devices == 1, "%d devices: %s", (int)cuda.devices, cuda.reason);
    for (int again = 0; again < 2; again++) {
        expect(qmm_context_open("cuda", &options, &context) == QMM_NO_DEVICE && !context, "cuda opens");
        expect(strstr(text, m->says) != NULL, "the error is '%s'", text);
    }
    print_message("             %s\n", text);
    expect_cpu_works("cpu");
}

static void on_machine(void (*check)(void *machine), machine m) {
    const char *const variables[] = { "QMM_CUDA_LIBRARY", m.library, "QMM_SIMULATOR", m.options, "CUDA_VISIBLE_DEVICES",
                                      m.visible,          NULL };
    in_process(variables, check, &m);
}

static void unusable(const char *library, const char *options, const char *says) {
    on_machine(expect_unusable, (machine){ library, options, says, NULL });
}

/* ---- the machines -------------------------------------------------------------------------------------------------- */

static void no_library(void **state) {
    (void)state;
    unusable("/nonexistent/libcuda.so", NULL, "QMM_CUDA_LIBRARY: /nonexistent/libcuda.so");
    unusable("none", NULL, "QMM_CUDA_LIBRARY is none");
    unusable("", NULL, NULL);
    end_of_test();
}

static void broken_library(void **state) {
    char text_file[] = "/tmp/qmm_no_library_XXXXXX";
    const int file = mkstemp(text_file);
    (void)state;
    assert_true(file >= 0);
    assert_int_equal(write(file, "no library\n", 11), 11);
    close(file);
    unusable(no_driver, NULL, "the CUDA driver is too old or broken: it lacks cuInit");
    unusable(text_file, NULL, text_file);
    unlink(text_file);
    end_of_test();
}

static void old_driver(void **state) {
    (void)state;
    unusable(simulator, "driver_version=11040", "the CUDA driver is too old: it is for CUDA 11.4");
    end_of_test();
}

static void no_device(void **state) {
    /* What a driver answers to a CUDA_VISIBLE_DEVICES that names none of its devices. */
    const machine hidden = { simulator, "devices=0", "no device (CUDA_VISIBLE_DEVICES is '7')", "7" };
    (void)state;
    unusable(simulator, "devices=0", "the CUDA driver has no device");
    unusable(simulator, "init_error=100", "the CUDA driver has no device");
    on_machine(expect_unusable, hidden);
    end_of_test();
}

static void driver_that_does_not_start(void **state) {
    (void)state;
    unusable(simulator, "init_error=999", "the CUDA driver does not start: cuInit gives CUDA_ERROR_UNKNOWN");
    unusable(simulator, "init_error=803", "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH");
    unusable(simulator, "init_error=2", "CUDA_ERROR_OUT_OF_MEMORY");
    unusable(simulator, "nosuch=1", "the CUDA driver does not start");
    end_of_test();
}

static void no_image(void **state) {
    const machine m = { simulator, "no_image=1", "CUDA_ERROR_NO_BINARY_FOR_GPU", NULL };
    (void)state;
    on_machine(expect_refused, m);
    end_of_test();
}

/* The driver that is on this machine, or is not: whatever it is, nothing breaks. */
static void check_as_it_is(void *argument) {
    qmm_backend_info cuda;
    (void)argument;
    find_backend("cuda", &cuda);
    expect((cuda.devices == 0) == (cuda.reason[0] != '\0'), "%d devices, '%s'", (int)cuda.devices, cuda.reason);
    expect_cpu_works("cpu");
}

static void as_it_is(void **state) {
    const machine m = { NULL, NULL, NULL, NULL };
    (void)state;
    on_machine(check_as_it_is, m);
    end_of_test();
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_library),
        cmocka_unit_test(broken_library),
        cmocka_unit_test(old_driver),
        cmocka_unit_test(no_device),
        cmocka_unit_test(driver_that_does_not_start),
        cmocka_unit_test(no_image),
        cmocka_unit_test(as_it_is),
    };
    simulator = getenv("QMM_CUDA_LIBRARY");
    if (argc != 2 || !simulator) return 2;
    simulator = strdup(simulator);
    no_driver = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
