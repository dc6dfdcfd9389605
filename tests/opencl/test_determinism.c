/* SPDX-License-Identifier: Apache-2.0
 *
 * test_determinism [AGAIN]: every job of tests/cuda/jobs.h on every kernel row, AGAIN times (20): the bytes that the cpu
 * device gives, each time; on the context's own queue, on a caller's, and with a second context that reads meanwhile. */
#define _POSIX_C_SOURCE 200809L
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "calls.h"
#include "cuda/jobs.h"

static job_world device, reference;
static unsigned char *wanted[32]; /* of each job */
static int again_count = 20;

static void test_rows(void **state) {
    int refused = 0, ran = 0;
    (void)state;
    for (int i = 0; i < job_count; i++) {
        job_kernel row;
        for (int n = 0; job_row(device.context, &jobs[i], n, &row); n++) {
            qmm_status status = QMM_OK;
            bool held = true;
            expect_ok(device.context, qmm_kernel_force(device.context, NULL), "force");
            if (row.name[0]) expect_ok(device.context, qmm_kernel_force(device.context, row.name), "force");
            for (int again = 0; again < again_count && held && status == QMM_OK; again++) {
                job_poison(&device, device.context);
                status = jobs[i].run(&device, device.context);
                if (status == QMM_OK) held = job_holds(&device, device.context, wanted[i], jobs[i].name);
            }
            expect(held, "%s, %s", jobs[i].name, row.name);
            expect(status == QMM_OK || (status == QMM_UNSUPPORTED && row.name[0]), "%s, %s: %s", jobs[i].name, row.name,
                   qmm_context_error(device.context));
            refused += status != QMM_OK, ran += status == QMM_OK;
        }
    }
    expect_ok(device.context, qmm_kernel_force(device.context, NULL), "force");
    print_message("             %d ran, %d were refused\n", ran, refused);
    expect(ran >= 2 * job_count, "only %d ran", ran);
    end_of_test();
}

/* Queued one behind the other, nothing waited for. */
static void test_queued(void **state) {
    (void)state;
    for (int i = 0; i < job_count; i++) {
        qmm_status status = QMM_OK;
        for (int again = 0; again < again_count && status == QMM_OK; again++) {
            job_poison(&device, device.context);
            status = jobs[i].run(&device, device.context);
        }
        expect_ok(device.context, status, jobs[i].name);
        expect(job_holds(&device, device.context, wanted[i], jobs[i].name), "%s", jobs[i].name);
    }
    end_of_test();
}

/* One context writes, another reads. */
static void test_two_contexts(void **state) {
    qmm_context *reader = open_device(NULL);
    unsigned char *const got = malloc(device.out_bytes);
    (void)state;
    assert_non_null(got);
    for (int i = 0; i < job_count; i++) {
        job_poison(&device, device.context);
        expect_ok(device.context, jobs[i].run(&device, device.context), jobs[i].name);
        expect_ok(device.context, qmm_context_synchronize(device.context), "synchronize");
        expect_ok(reader, qmm_buffer_download(reader, device.out, 0, got, device.out_bytes), "download");
        expect_bytes(got, wanted[i], device.out_bytes, jobs[i].name);
        job_poison(&device, reader);
        expect_ok(reader, jobs[i].run(&device, reader), jobs[i].name); /* with the other's weights */
        expect(job_holds(&device, reader, wanted[i], jobs[i].name), "%s", jobs[i].name);
    }
    free(got);
    qmm_context_close(reader);
    end_of_test();
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_rows), cmocka_unit_test(test_queued),
                                        cmocka_unit_test(test_two_contexts) };
    const job_sizes sizes = JOB_SIZES_SMALL;
    int failed;
    if (argc > 1) again_count = atoi(argv[1]);
    if (setenv("QMM_TEST_DEVICE", "opencl", 1) != 0) return 2;
    job_world_open(&device, "opencl", NULL, sizes);
    job_world_open(&reference, "cpu", NULL, sizes);
    for (int i = 0; i < job_count; i++) {
        job_poison(&reference, reference.context);
        if (jobs[i].run(&reference, reference.context) != QMM_OK) return 2;
        wanted[i] = job_result(&reference, reference.context);
    }
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    for (int i = 0; i < job_count; i++) free(wanted[i]);
    job_world_close(&reference);
    job_world_close(&device);
    return failed;
}
