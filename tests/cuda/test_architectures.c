/* SPDX-License-Identifier: Apache-2.0
 *
 * Which of the kernels' images a device takes: CUDA's rules of compatibility (programming guide, "Binary Compatibility",
 * "PTX Compatibility"), and what this build has. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../cuda/images.h"
#include "api/support.h"

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
    end_of_test();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_this_build),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
