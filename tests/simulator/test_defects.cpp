// SPDX-License-Identifier: Apache-2.0
//
// The simulated device can fail: each kind of defect that it is there to find is found, in the kernels of
// kernels/defects.cu, and the same kernels without the defect pass.
#include <sys/wait.h>

#include "test_rig.h"

namespace {

constexpr int seeds = 20;

struct ordering_case {
    const char *kernel;
    unsigned threads, shared_bytes;
    int ways;        // 1 .. ways are wrong
    std::size_t in, out;
    int seen_by_tsan_only; // this way has no effect that an order of fibers could show
};

const ordering_case ordering_cases[] = {
    {"reverse_kernel", 256, 0, 1, 256, 256, 0},
    {"rotate_kernel", 256, 0, 1, 256, 256, 0},
    {"warp_reverse_kernel", 32, 0, 1, 32, 33, 1},
    {"cp_async_kernel", 32, 1024, 5, 256, 128, 0},
    {"fragment_kernel", 32, 0, 3, 192, 128, 0},
};

std::vector<int> noise(std::size_t count) {
    std::vector<int> numbers(count);
    uint32_t state = 12345;
    for (int &n : numbers) n = (int)((state = state * 1664525 + 1013904223) & 0x3f3f3f3f); // sums fit
    return numbers;
}

std::vector<int> result_of(const ordering_case &c, int way, long long seed) {
    std::vector<int> out(c.out, 0);
    assert_int_equal(rig::run(c.kernel, 1, c.threads, c.shared_bytes, way, 0, noise(c.in), &out, {{"seed", seed}}),
                     CUDA_SUCCESS);
    return out;
}

// Wrong results come with nearly every seed; right ones with each.
void test_wrong_order_shows(void **) {
    if (rig::has_tsan) skip(); // it would report the races: test_races_are_reported
    for (const ordering_case &c : ordering_cases) {
        const std::vector<int> right = result_of(c, 0, 1);
        for (long long seed = 2; seed <= seeds; seed++) assert_true(result_of(c, 0, seed) == right);
        for (int way = 1; way <= c.ways; way++) {
            int wrong = 0;
            for (long long seed = 1; seed <= seeds; seed++) wrong += result_of(c, way, seed) != right;
            print_message("%s, way %d: wrong with %d of %d seeds\n", c.kernel, way, wrong, seeds);
            if (way != c.seen_by_tsan_only) assert_true(wrong >= seeds - 2);
        }
    }
}

// ThreadSanitizer needs no lucky order.
void test_races_are_reported(void **) {
    if (!rig::has_tsan) skip();
    for (const ordering_case &c : ordering_cases) {
        if (std::string(c.kernel) == "fragment_kernel") continue; // no race
        for (int way = 0; way <= c.ways; way++) {
            if (std::string(c.kernel) == "cp_async_kernel" && (way == 1 || way == 2 || way == 5)) continue; // nor here
            int status;
            const std::string text = rig::output_of([&] { result_of(c, way, 1); }, &status);
            const bool raced = text.find("ThreadSanitizer: data race") != std::string::npos;
            print_message("%s, way %d: %s\n", c.kernel, way, raced ? "a race" : "no race");
            assert_int_equal(raced, way != 0);
        }
    }
    for (int way = 0; way <= 1; way++) {
        int status;
        const std::string text = rig::output_of([&] {
            std::vector<int> out(10, 0);
            rig::run("last_block_kernel", 8, 1, 0, way, 0, {0}, &out, {{"workers", 2}});
            assert_int_equal(out[1], 28);
        }, &status);
        assert_int_equal(text.find("ThreadSanitizer: data race") != std::string::npos, way == 1);
    }
}

struct error_case {
    const char *kernel;
    int way;
    unsigned threads, shared_bytes;
    long long compute;
    CUresult error;
    const char *text; // in the report
};

const error_case error_cases[] = {
    {"divergence_kernel", 0, 64, 0, 90, CUDA_SUCCESS, ""},
    {"divergence_kernel", 1, 64, 0, 90, CUDA_ERROR_LAUNCH_FAILED, "__shfl_xor_sync"},
    {"divergence_kernel", 2, 64, 0, 90, CUDA_ERROR_LAUNCH_FAILED, "divergence"},
    {"divergence_kernel", 3, 64, 0, 90, CUDA_ERROR_LAUNCH_FAILED, "__sync"},
    {"divergence_kernel", 4, 64, 0, 90, CUDA_ERROR_LAUNCH_FAILED, "__syncthreads"},
    {"divergence_kernel", 5, 64, 0, 90, CUDA_ERROR_LAUNCH_FAILED, "wait at another one"},
    {"divergence_kernel", 6, 64, 0, 90, CUDA_ERROR_LAUNCH_FAILED, "ended"},
    {"divergence_kernel", 7, 64, 0, 90, CUDA_ERROR_LAUNCH_FAILED, "__shfl_sync"},
    {"divergence_kernel", 8, 64, 0, 90, CUDA_ERROR_LAUNCH_FAILED, "does not name"},
    {"divergence_kernel", 9, 64, 0, 90, CUDA_ERROR_LAUNCH_FAILED, "__any_sync"},
    {"divergence_kernel", 10, 64, 0, 90, CUDA_ERROR_LAUNCH_FAILED, "mma.m8n8k16"},
    {"divergence_kernel", 0, 40, 0, 90, CUDA_ERROR_LAUNCH_FAILED, "lanes that the warp does not have"},
    {"alignment_kernel", 0, 32, 0, 90, CUDA_SUCCESS, ""},
    {"alignment_kernel", 1, 32, 0, 90, CUDA_ERROR_MISALIGNED_ADDRESS, "int4"},
    {"alignment_kernel", 2, 32, 0, 90, CUDA_ERROR_MISALIGNED_ADDRESS, "__ldg"},
    {"alignment_kernel", 3, 32, 0, 90, CUDA_ERROR_MISALIGNED_ADDRESS, "ldmatrix"},
    {"alignment_kernel", 4, 32, 0, 90, CUDA_ERROR_MISALIGNED_ADDRESS, "ldmatrix"},
    {"alignment_kernel", 5, 32, 0, 90, CUDA_ERROR_MISALIGNED_ADDRESS, "cp.async"},
    {"alignment_kernel", 6, 32, 0, 90, CUDA_ERROR_MISALIGNED_ADDRESS, "cp.async"},
    {"alignment_kernel", 7, 32, 0, 90, CUDA_ERROR_LAUNCH_FAILED, "17 bytes"},
    {"alignment_kernel", 8, 32, 0, 90, CUDA_ERROR_ILLEGAL_ADDRESS, "ldmatrix"},
    {"alignment_kernel", 9, 32, 0, 90, CUDA_ERROR_ILLEGAL_ADDRESS, "cp.async"},
    {"alignment_kernel", 10, 32, 0, 90, CUDA_ERROR_ILLEGAL_ADDRESS, "ldmatrix"},
    {"alignment_kernel", 11, 32, 0, 90, CUDA_ERROR_ILLEGAL_ADDRESS, "is shared memory"},
    {"alignment_kernel", 12, 32, 0, 90, CUDA_ERROR_MISALIGNED_ADDRESS, "atomicAdd"},
    {"capability_kernel", 1, 32, 0, 61, CUDA_SUCCESS, ""},
    {"capability_kernel", 1, 32, 0, 60, CUDA_ERROR_ILLEGAL_INSTRUCTION, "dp4a: illegal instruction: it needs sm_61"},
    {"capability_kernel", 2, 32, 0, 75, CUDA_SUCCESS, ""},
    {"capability_kernel", 2, 32, 0, 70, CUDA_ERROR_ILLEGAL_INSTRUCTION, "mma.m8n8k16"},
    {"capability_kernel", 3, 32, 0, 75, CUDA_SUCCESS, ""},
    {"capability_kernel", 3, 32, 0, 70, CUDA_ERROR_ILLEGAL_INSTRUCTION, "ldmatrix"},
    {"capability_kernel", 4, 32, 0, 80, CUDA_SUCCESS, ""},
    {"capability_kernel", 4, 32, 0, 75, CUDA_ERROR_ILLEGAL_INSTRUCTION, "mma.m16n8k32"},
    {"capability_kernel", 5, 32, 0, 80, CUDA_SUCCESS, ""},
    {"capability_kernel", 5, 32, 0, 75, CUDA_ERROR_ILLEGAL_INSTRUCTION, "cp.async"},
    {"capability_kernel", 6, 32, 0, 75, CUDA_ERROR_ILLEGAL_INSTRUCTION, "cp.async.commit_group"},
    {"capability_kernel", 7, 32, 0, 75, CUDA_ERROR_ILLEGAL_INSTRUCTION, "cp.async.wait_group"},
    {"capability_kernel", 8, 32, 0, 90, CUDA_ERROR_LAUNCH_FAILED, "__trap"},
    {"static_shared_kernel", 0, 32, 0, 90, CUDA_SUCCESS, ""},
    {"static_shared_kernel", 1, 32, 0, 90, CUDA_ERROR_INVALID_VALUE, "static shared memory"},
    {"bounds_kernel", 0, 64, 256, 90, CUDA_SUCCESS, ""},
    {"bounds_kernel", 3, 64, 256, 90, CUDA_ERROR_ILLEGAL_ADDRESS, "index 64 is out of bounds"},
};

// With every order: whether a defect is reported must not depend on luck, only what is said first may.
void test_errors_are_named(void **) {
    for (const error_case &c : error_cases)
        for (long long order = 0; order <= 2; order++) {
            std::vector<int> out(128, 0);
            qmm_simulator_set("order", order);
            const CUresult result = rig::run(c.kernel, 2, c.threads, c.shared_bytes, c.way, 0, rig::count_up(256), &out,
                                             {{"compute", c.compute}});
            qmm_simulator_set("order", 0);
            if (result != c.error) print_error("%s, way %d, order %lld\n", c.kernel, c.way, order);
            assert_int_equal(result, c.error);
            if (c.error == CUDA_SUCCESS) continue;
            const std::string report = qmm_simulator_report();
            if (report.find(c.text) == std::string::npos) print_error("'%s' is not in: %s\n", c.text, report.c_str());
            assert_true(report.find(c.text) != std::string::npos);
            assert_true(report.find(std::string("kernel ") + c.kernel + ", block ") == 0);
            assert_true(report.find(", thread ") != std::string::npos);
            if (report.find("has ended") == std::string::npos &&
                report.find("no thread of the block") == std::string::npos)
                assert_true(report.find("defects.cu:") != std::string::npos);
        }
}

// Under ASan the process ends, and the thread is named.
void test_bounds(void **) {
    for (int way = 1; way <= 9; way++) {
        if (way == 3) continue; // an index: among error_cases
        int status = 0;
        CUresult result = CUDA_SUCCESS;
        const auto body = [&] {
            std::vector<int> out(64, 0);
            result = rig::run("bounds_kernel", 1, 64, 256, way, 0, rig::count_up(64), &out);
            fprintf(stderr, "result %u", result);
        };
        const std::string text = rig::output_of(body, &status);
        const bool writes = way == 2 || way == 6 || way == 7;
        if (rig::has_asan) {
            if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
                print_error("bounds_kernel, way %d: %s\n", way, text.c_str());
            assert_false(WIFEXITED(status) && WEXITSTATUS(status) == 0);
            assert_true(text.find("AddressSanitizer") != std::string::npos);
            assert_true(text.find("kernel bounds_kernel, block 0, thread ") != std::string::npos);
        } else if (writes) { // the guard behind each block of memory
            assert_true(text.find("result 700") != std::string::npos);
            assert_true(text.find("past the end of") != std::string::npos);
        }
    }
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_wrong_order_shows),
        cmocka_unit_test(test_races_are_reported),
        cmocka_unit_test(test_errors_are_named),
        cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
