// SPDX-License-Identifier: Apache-2.0
//
// One launch of a kernel: all blocks of its grid, over the machine's cores.
#ifndef QMM_SIMULATOR_LAUNCH_H
#define QMM_SIMULATOR_LAUNCH_H

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>

#include "simulated_device.h"

namespace simulator {

// The order in which threads go on, and blocks begin.
enum class order { random, forward, reverse };

// What the device's instructions get wrong on purpose.
enum lie : unsigned {
    lie_dp4a = 1,
    lie_mma_k16 = 2,
    lie_mma_k32 = 4,
    lie_ldmatrix = 8,
    lie_cp_async = 16,
    lie_wgmma = 32,
    lie_tma = 64
};

// How kernels are executed; options.h.
struct execution {
    int capability = 90; // 10 * major + minor of what the instructions obey, whatever the device says of itself
    unsigned lies = 0;
    simulator::order order = simulator::order::random;
    uint64_t seed = 1;
    unsigned workers = 0; // 0: one a core
    std::size_t static_shared_limit = 48 << 10, shared_limit = 227 << 10;
};

struct launch {
    const simulator::kernel *kernel = nullptr;
    const void *arguments = nullptr;
    uint64_t blocks = 1;
    unsigned threads = 1;
    std::size_t shared_bytes = 0;
    uint64_t number = 0; // of this launch: every launch has an order of its own
    execution how;

    // The first thing that went wrong: a CUresult, and what to say about it.
    int error = 0;
    std::string report;
    std::atomic<bool> failed{false};
    std::mutex error_lock;
    char clock = 0; // what ThreadSanitizer knows the end of the launch's threads by

    void fail(int code, const std::string &text);
};

// While one of these exists, a fault of the process says which kernel's thread it is in.
struct faults_named {
    faults_named();
    ~faults_named();
    faults_named(const faults_named &) = delete;
    faults_named &operator=(const faults_named &) = delete;
};

// Returns when all blocks have run, or one failed.
void run(launch &);

const kernel *find_kernel(const char *name);

} // namespace simulator

#endif
