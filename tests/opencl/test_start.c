/* SPDX-License-Identifier: Apache-2.0
 *
 * Machines where OpenCL cannot be used: no loader, a broken one, no driver, a driver without a device or with one of no
 * use, a device that does not open. Each says which, and the cpu device works. OpenCL is looked for once in a process, so
 * each case is a process of its own. argv: a shared library that is no loader, an empty folder. */
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
#include "cuda/process.h"

static const char *shim, *no_loader, *empty_folder;

typedef struct machine {
    const char *library; /* QMM_OPENCL_LIBRARY; NULL: not set */
    const char *options; /* QMM_OPENCL_SHIM; NULL: not set */
    const char *vendors; /* OCL_ICD_VENDORS; NULL: as it is */
    const char *says;    /* part of the reason; NULL: any */
    qmm_status status;   /* of opening a device that is there */
} machine;

/* ---- what must hold on every such machine --------------------------------------------------------------------- */

static void expect_unusable(void *argument) {
    const machine *m = argument;
    expect_no_device("opencl", m->says);
}

/* A device is listed; opening it fails, again and again. */
static void expect_refused(void *argument) {
    const machine *m = argument;
    qmm_backend_info opencl;
    qmm_context *context = NULL;
    qmm_context_options options = QMM_CONTEXT_OPTIONS_INIT;
    char text[512] = "";
    options.error_text = text;
    options.error_text_size = sizeof text;
    find_backend("opencl", &opencl);
    expect(opencl.devices >= 1, "no device: %s", opencl.reason);
    for (int again = 0; again < 2; again++) {
        const qmm_status status = qmm_context_open("opencl", &options, &context);
        expect(status == m->status && !context, "opening gives %s", qmm_status_name(status));
        expect(strstr(text, m->says) != NULL, "the error is '%s'", text);
    }
    print_message("             %s\n", text);
    expect_cpu_works("cpu");
}

static void on_machine(void (*check)(void *machine), machine m) {
    const char *const variables[] = { "QMM_OPENCL_LIBRARY", m.library, "QMM_OPENCL_SHIM", m.options,
                                      m.vendors ? "OCL_ICD_VENDORS" : NULL, m.vendors, NULL };
    in_process(variables, check, &m);
}

static void unusable(const char *library, const char *says) {
    on_machine(expect_unusable, (machine){ .library = library, .says = says });
}

static void unusable_shim(const char *options, const char *says) {
    on_machine(expect_unusable, (machine){ .library = shim, .options = options, .says = says });
}

static void refused(const char *options, qmm_status status, const char *says) {
    on_machine(expect_refused, (machine){ .library = shim, .options = options, .says = says, .status = status });
}

/* ---- the machines --------------------------------------------------------------------------------------------- */

static void no_library(void **state) {
    (void)state;
    unusable("/nonexistent/libOpenCL.so", "QMM_OPENCL_LIBRARY: /nonexistent/libOpenCL.so");
    unusable("none", "QMM_OPENCL_LIBRARY is none");
    end_of_test();
}

static void broken_library(void **state) {
    char text_file[] = "/tmp/qmm_no_library_XXXXXX";
    const int file = mkstemp(text_file);
    (void)state;
    assert_true(file >= 0);
    assert_int_equal(write(file, "no library\n", 11), 11);
    close(file);
    unusable(no_loader, "has no clGetPlatformIDs");
    unusable(text_file, text_file);
    unlink(text_file);
    end_of_test();
}

static void no_driver(void **state) {
    (void)state;
    on_machine(expect_unusable, (machine){ .vendors = empty_folder, .says = "no OpenCL driver is installed" });
    unusable_shim("fail=clGetPlatformIDs:1:-1001+", "no OpenCL driver is installed");
    unusable_shim("fail=clGetPlatformIDs:1:-6+", "clGetPlatformIDs failed with -6");
    end_of_test();
}

static void no_device(void **state) {
    (void)state;
    unusable_shim("fail=clGetDeviceIDs:1:-1+", "has no device (clGetDeviceIDs: -1)");
    unusable_shim("fail=clGetDeviceIDs:1:-30+", "has no device (clGetDeviceIDs: -30)");
    end_of_test();
}

static void device_of_no_use(void **state) {
    (void)state;
    unusable_shim("device=0x1027:0", "not available");
    unusable_shim("device=0x1028:0", "no compiler");
    unusable_shim("device=0x1026:0", "big-endian");
    unusable_shim("device_text=0x102f:OpenCL 1.1 old", "older than OpenCL 1.2");
    unusable_shim("device_text=0x102f:", "older than OpenCL 1.2");
    unusable_shim("device=0x1017:256", "parameters");
    unusable_shim("device=0x101b:1", "floats");
    /* It answers no question at all. */
    unusable_shim("fail=clGetDeviceInfo:1:-6+", "not available");
    end_of_test();
}

static void device_that_does_not_open(void **state) {
    (void)state;
    refused("fail=clCreateContext:1:-6+", QMM_OUT_OF_MEMORY, "clCreateContext: CL_OUT_OF_HOST_MEMORY");
    refused("fail=clCreateContext:1:-2+", QMM_DEVICE_FAILED, "clCreateContext: CL_DEVICE_NOT_AVAILABLE");
    refused("fail=clCreateCommandQueue:1:-6+", QMM_OUT_OF_MEMORY, "clCreateCommandQueue: CL_OUT_OF_HOST_MEMORY");
    end_of_test();
}

/* What is on this machine, or is not: whatever it is, nothing breaks. */
static void check_as_it_is(void *argument) {
    qmm_backend_info opencl;
    (void)argument;
    find_backend("opencl", &opencl);
    expect((opencl.devices == 0) == (opencl.reason[0] != '\0'), "%d devices, '%s'", (int)opencl.devices, opencl.reason);
    expect_cpu_works("cpu");
}

static void as_it_is(void **state) {
    (void)state;
    on_machine(check_as_it_is, (machine){ .library = NULL });
    end_of_test();
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_library),       cmocka_unit_test(broken_library),
        cmocka_unit_test(no_driver),        cmocka_unit_test(no_device),
        cmocka_unit_test(device_of_no_use), cmocka_unit_test(device_that_does_not_open),
        cmocka_unit_test(as_it_is),
    };
    shim = getenv("QMM_OPENCL_LIBRARY");
    if (argc != 3 || !shim) return 2;
    shim = strdup(shim);
    no_loader = argv[1], empty_folder = argv[2];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
