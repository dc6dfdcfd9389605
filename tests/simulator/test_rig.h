// SPDX-License-Identifier: Apache-2.0
//
// What the simulator's own tests share. They are linked with the simulator itself and with kernels of their own, and
// use it as a program uses the driver.
#ifndef QMM_SIMULATOR_TEST_RIG_H
#define QMM_SIMULATOR_TEST_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <functional>
#include <string>
#include <vector>

extern "C" { // its printing functions are not said to be C
#include <cmocka.h>
}

#include "driver_api.h"
#include "kernels/arguments.h"
#include "simulator.h"

namespace rig {

// A context with a stream, current on this thread, of a device that has these options; everything goes with it.
class session {
public:
    explicit session(const std::vector<std::pair<std::string, long long>> &options = {});
    ~session();

    CUdeviceptr device_memory(const std::vector<int> &contents);
    std::vector<int> contents(CUdeviceptr memory, std::size_t count);

    CUfunction function(const char *kernel);
    template <typename ARGUMENTS>
    CUresult queue(const char *kernel, unsigned blocks, unsigned threads, unsigned shared_bytes,
                   const ARGUMENTS &arguments) {
        ARGUMENTS copy = arguments;
        void *parameters[] = {&copy};
        return cuLaunchKernel(function(kernel), blocks, 1, 1, threads, 1, 1, shared_bytes, stream, parameters, nullptr);
    }
    template <typename ARGUMENTS> // also waits
    CUresult run(const char *kernel, unsigned blocks, unsigned threads, unsigned shared_bytes,
                 const ARGUMENTS &arguments) {
        const CUresult result = queue(kernel, blocks, threads, shared_bytes, arguments);
        return result ? result : cuStreamSynchronize(stream);
    }

    CUstream stream = nullptr;
    CUmodule module = nullptr;

private:
    std::vector<CUdeviceptr> memory;
    std::vector<std::pair<std::string, long long>> restored;
};

// Shorthand: runs a kernel over copies of `in` and `out`; the new `out` is valid if the result is CUDA_SUCCESS.
CUresult run(const char *kernel, unsigned blocks, unsigned threads, unsigned shared_bytes, int way, int n,
             const std::vector<int> &in, std::vector<int> *out,
             const std::vector<std::pair<std::string, long long>> &options = {});

// Runs it in a child process, and gives what that wrote to standard error. The status is wait's.
std::string output_of(const std::function<void()> &, int *status);

int *as_pointer(CUdeviceptr);
std::vector<int> count_up(std::size_t count, int first = 0);

extern const bool has_asan, has_tsan;

} // namespace rig

#endif
