/* SPDX-License-Identifier: Apache-2.0
 *
 * Which of the kernels' images a device takes: CUDA's rules of compatibility (programming guide, "Binary Compatibility",
 * "PTX Compatibility"), and what this build has; and which a context loads, on simulated devices. argv: a simulated
 * driver that makes no tensor maps, as those of before CUDA 12. */
#define _POSIX_C_SOURCE 200809L
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../cuda/context.h"
#include "../cuda/images.h"
#include "api/support.h"
#include "calls.h"
#include "process.h"

#define EVERY "75 80 86 89 90a 100 120 80-virtual"

static void test_rules(void **state) {
    static const struct {
        const char *list;
        int major, minor, best;
    } cases[] = {
        { EVERY, 6, 1, 0 },      { EVERY, 7, 0, 0 },      { EVERY, 7, 5, 75 },    { EVERY, 8, 0, 80 },
        { EVERY, 8, 6, 86 },     { EVERY, 8, 7, 86 },     { EVERY, 8, 9, 89 },    { EVERY, 9, 0, 90 },
        { EVERY, 10, 0, 100 },   { EVERY, 10, 3, 100 },   { EVERY, 12, 0, 120 },  { EVERY, 12, 1, 120 },
        { EVERY, 11, 0, 80 }, /* in no family: PTX */
        { EVERY, 13, 0, 80 },
        { "90a", 9, 0, 90 },     { "90a", 10, 0, 0 },     { "90a", 8, 9, 0 },     { "90a-virtual", 9, 0, 90 },
        { "90a-virtual", 12, 0, 0 },
        { "75-virtual", 7, 5, 75 }, { "75-virtual", 9, 0, 75 }, { "80-virtual", 7, 5, 0 },
        { "75 75-virtual 80-virtual", 9, 0, 80 }, /* the newer PTX */
        { "80 75-virtual", 8, 6, 80 },            /* machine code, though PTX would do */
        { "86", 8, 0, 0 },       { "", 8, 0, 0 },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const int best = qmmi_cuda_best_architecture(cases[i].list, cases[i].major, cases[i].minor);
        expect(best == cases[i].best, "of '%s' %d.%d takes %d, not %d", cases[i].list, cases[i].major, cases[i].minor,
               best, cases[i].best);
    }
    end_of_test();
}

static void test_this_build(void **state) {
    (void)state;
    expect(qmmi_cuda_images_exist() == (qmmi_cuda_architectures[0] != '\0'), "images and '%s'", qmmi_cuda_architectures);
    expect(((const char *)qmmi_cuda_image("nosuch"))[0] == '\0', "an image that is not there");
    if (qmmi_cuda_images_exist())
        expect(memcmp(qmmi_cuda_image("quantize"), "\x50\xed\x55\xba", 4) == 0, "the image is no fatbin");
    expect(qmmi_cuda_images_need() >= 12000, "CUDA %d", qmmi_cuda_images_need());
    expect(qmmi_cuda_image_architectures("nosuch")[0] == '\0', "an image that is not there has architectures");
    expect(strcmp(qmmi_cuda_image_architectures("quantize"), qmmi_cuda_architectures) == 0, "quantize is for '%s'",
           qmmi_cuda_image_architectures("quantize"));
    end_of_test();
}

/* The image for sm_90a is there where the build is for it, and has nothing else, which a driver could take for another
 * device. */
static void test_wgmma_image(void **state) {
    const char *const list = qmmi_cuda_image_architectures("matmul_wgmma");
    (void)state;
    expect((list[0] != '\0') == (strstr(qmmi_cuda_architectures, "90a") != NULL), "'%s' of '%s'", list,
           qmmi_cuda_architectures);
    for (int device = 50; device < 150; device++)
        if (device != 90)
            expect(qmmi_cuda_best_architecture(list, device / 10, device % 10) == 0, "%d takes '%s'", device, list);
    end_of_test();
}

/* ---- what is loaded ---------------------------------------------------------------------------------------------- */

typedef struct machine {
    const char *options;
    bool wgmma;
} machine;

static int count_images(void) {
    static const char *const images[] = {
#define IMAGE_NAME(image, kernel, shared_bytes) #image,
        QMMI_CUDA_KERNELS(IMAGE_NAME)
#undef IMAGE_NAME
    };
    int count = 0;
    for (size_t i = 0; i < COUNT_OF(images); i++) {
        size_t same = 0;
        while (strcmp(images[same], images[i]) != 0) same++;
        count += same == i;
    }
    return count;
}

static void check_loaded(void *argument) {
    const machine *const m = argument;
    qmm_context *context;
    qmm_buffer *buffer;
    qmm_tensor a, c;
    if (!expect(qmm_context_open("cuda", NULL, &context) == QMM_OK, "cuda does not open")) return;
    expect(((context->capabilities & QMMI_CUDA_WGMMA) != 0) == m->wgmma, "capabilities %x",
           (unsigned)context->capabilities);
    expect(simulator_get("live_modules") == count_images() - !m->wgmma, "%lld modules of %d images",
           simulator_get("live_modules"), count_images());
    trust_all(context);
    buffer = make_buffer(context, NULL, 64 * 64 * 5);
    expect_ok(context, qmm_buffer_fill(context, buffer, 0, 1, 64 * 64 * 5), "fill");
    a = tensor_at(buffer, 0, QMM_S8, 64, 64, 64);
    c = tensor_at(buffer, 64 * 64, QMM_S32, 64, 64, 64);
    expect_ok(context, qmm_matmul(context, NULL, &a, &a, &c), "matmul");
    expect_ok(context, qmm_kernel_force(context, "cuda:matmul:wgmma"), "force");
    expect(qmm_matmul(context, NULL, &a, &a, &c) == (m->wgmma ? QMM_OK : QMM_UNSUPPORTED), "forced: %s",
           qmm_context_error(context));
    if (!m->wgmma)
        expect(strstr(qmm_context_error(context), "the device lacks what it needs") != NULL, "said: %s",
               qmm_context_error(context));
    qmm_context_close(context);
}

static const char *simulator, *without_maps;

/* wgmma is of 9.0 alone: neither older nor newer devices have it. */
static void test_loaded(void **state) {
    static const machine machines[] = { { "compute=75", false }, { "compute=89", false },  { "compute=90", true },
                                        { "compute=100", false }, { "compute=120", false } };
    static const machine old_driver = { "compute=90", false };
    const char *variables[] = { "QMM_CUDA_LIBRARY", simulator, "QMM_SIMULATOR", NULL, NULL };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(machines); i++) {
        variables[3] = machines[i].options;
        in_process(variables, check_loaded, (void *)(uintptr_t)&machines[i]);
    }
    variables[1] = without_maps;
    variables[3] = old_driver.options;
    in_process(variables, check_loaded, (void *)(uintptr_t)&old_driver);
    end_of_test();
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_this_build),
        cmocka_unit_test(test_wgmma_image),
        cmocka_unit_test(test_loaded),
    };
    simulator = getenv("QMM_CUDA_LIBRARY");
    if (argc != 2 || !simulator || setenv("QMM_TEST_DEVICE", "cuda", 1) != 0) return 2;
    simulator = strdup(simulator);
    without_maps = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
