// SPDX-License-Identifier: Apache-2.0
#include "test_rig.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "fiber.h"

namespace rig {

const bool has_asan = SIMULATOR_ASAN, has_tsan = SIMULATOR_TSAN;

int *as_pointer(CUdeviceptr memory) {
    return reinterpret_cast<int *>((uintptr_t)memory);
}

std::vector<int> count_up(std::size_t count, int first) {
    std::vector<int> numbers(count);
    for (std::size_t i = 0; i < count; i++) numbers[i] = first + (int)i;
    return numbers;
}

session::session(const std::vector<std::pair<std::string, long long>> &options) {
    CUcontext context;
    for (const auto &[name, value] : options) {
        restored.emplace_back(name, qmm_simulator_get(name.c_str()));
        assert_int_equal(qmm_simulator_set(name.c_str(), value), 0);
    }
    assert_int_equal(cuInit(0), CUDA_SUCCESS);
    assert_int_equal(cuDevicePrimaryCtxRetain(&context, 0), CUDA_SUCCESS);
    assert_int_equal(cuCtxPushCurrent_v2(context), CUDA_SUCCESS);
    assert_int_equal(cuModuleLoadData(&module, ""), CUDA_SUCCESS);
    assert_int_equal(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
}

session::~session() {
    CUcontext context;
    for (const CUdeviceptr m : memory) cuMemFree_v2(m);
    cuStreamDestroy_v2(stream);
    cuModuleUnload(module);
    cuCtxPopCurrent_v2(&context);
    cuDevicePrimaryCtxRelease_v2(0);
    assert_int_equal(qmm_simulator_set("reset", 1), 0);
    for (const auto &[name, value] : restored) qmm_simulator_set(name.c_str(), value);
}

CUdeviceptr session::device_memory(const std::vector<int> &contents) {
    CUdeviceptr block = 0;
    assert_int_equal(cuMemAlloc_v2(&block, contents.size() * sizeof(int)), CUDA_SUCCESS);
    assert_int_equal(cuMemcpyHtoDAsync_v2(block, contents.data(), contents.size() * sizeof(int), stream), CUDA_SUCCESS);
    memory.push_back(block);
    return block;
}

std::vector<int> session::contents(CUdeviceptr block, std::size_t count) {
    std::vector<int> numbers(count);
    assert_int_equal(cuMemcpyDtoHAsync_v2(numbers.data(), block, count * sizeof(int), stream), CUDA_SUCCESS);
    return numbers;
}

CUfunction session::function(const char *kernel) {
    CUfunction f = nullptr;
    assert_int_equal(cuModuleGetFunction(&f, module, kernel), CUDA_SUCCESS);
    return f;
}

CUresult run(const char *kernel, unsigned blocks, unsigned threads, unsigned shared_bytes, int way, int n,
             const std::vector<int> &in, std::vector<int> *out,
             const std::vector<std::pair<std::string, long long>> &options) {
    session s(options);
    const CUdeviceptr source = s.device_memory(in), target = s.device_memory(*out);
    const CUresult result =
        s.run(kernel, blocks, threads, shared_bytes,
              test_arguments{as_pointer(target), as_pointer(source), n, way});
    if (result == CUDA_SUCCESS) *out = s.contents(target, out->size());
    return result;
}

std::string output_of(const std::function<void()> &body, int *status) {
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    std::fflush(nullptr);
    const pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        dup2(ends[1], STDERR_FILENO);
        body();
        std::fflush(nullptr);
        _exit(0);
    }
    close(ends[1]);
    std::string text;
    char piece[4096];
    for (ssize_t got; (got = read(ends[0], piece, sizeof piece)) > 0;) text.append(piece, (std::size_t)got);
    close(ends[0]);
    waitpid(child, status, 0);
    return text;
}

} // namespace rig
