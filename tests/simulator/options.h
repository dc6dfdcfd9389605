// SPDX-License-Identifier: Apache-2.0
//
// What can be set (simulator.h documents each), and what is counted.
#ifndef QMM_SIMULATOR_OPTIONS_H
#define QMM_SIMULATOR_OPTIONS_H

#include <string>

#include "driver_api.h"
#include "launch.h"

namespace simulator {

// name, first value, least, most
#define SIMULATOR_OPTIONS(X)                        \
    X(compute, 90, 30, 129)                         \
    X(executes, 0, 0, 129)                          \
    X(multiprocessors, 4, 1, 1024)                  \
    X(memory, 4ll << 30, 1, 1ll << 50)              \
    X(devices, 1, 0, 16)                            \
    X(driver_version, 13000, 1000, 99999)           \
    X(seed, 1, 0, (1ll << 62))                      \
    X(order, 0, 0, 2)                               \
    X(workers, 0, 0, 256)                           \
    X(deferred, 1, 0, 1)                            \
    X(init_error, 0, 0, 999)                        \
    X(no_image, 0, 0, 1)                            \
    X(fail_allocation, 0, 0, 1ll << 62)             \
    X(fail_host_allocation, 0, 0, 1ll << 62)        \
    X(fail_stream, 0, 0, 1ll << 62)                 \
    X(fail_event, 0, 0, 1ll << 62)                  \
    X(fail_module, 0, 0, 1ll << 62)                 \
    X(fail_graph, 0, 0, 1ll << 62)                  \
    X(fail_call, 0, 0, 1ll << 62)                   \
    X(fail_call_error, CUDA_ERROR_OUT_OF_MEMORY, 1, 999) \
    X(fail_launch, 0, 0, 1ll << 62)                 \
    X(fail_launch_error, CUDA_ERROR_LAUNCH_FAILED, 1, 999) \
    X(sticky, 0, 0, 999)                            \
    X(lie_dp4a, 0, 0, 1)                            \
    X(lie_mma, 0, 0, 1)                             \
    X(lie_mma_k16, 0, 0, 1)                         \
    X(lie_mma_k32, 0, 0, 1)                         \
    X(lie_ldmatrix, 0, 0, 1)                        \
    X(lie_cp_async, 0, 0, 1)                        \
    X(lie_wgmma, 0, 0, 1)                           \
    X(lie_tma, 0, 0, 1)                             \
    X(host_addresses, 1, 0, 1)

#define SIMULATOR_COUNTERS(X)                                                                                       \
    X(allocations) X(host_allocations) X(streams) X(events) X(modules) X(graphs) X(executables)                     \
    X(live_allocations) X(live_host_allocations) X(live_streams) X(live_events) X(live_modules) X(live_graphs)      \
    X(live_executables) X(live_bytes) X(calls) X(launches) X(copies) X(fills) X(kernels_run) X(blocks_run)          \
    X(threads_run) X(synchronizations) X(leaks)

struct options {
#define SIMULATOR_OPTION(name, value, least, most) long long name = value;
    SIMULATOR_OPTIONS(SIMULATOR_OPTION)
#undef SIMULATOR_OPTION
    std::string name; // empty: one that says what it is

    // False, with a line in `refusals`, for an unknown name or a bad value.
    bool set(const std::string &name, long long value);
    bool set(const std::string &name, const std::string &value); // as in the environment
    void parse(const char *list);
    std::string refusals;

    simulator::execution execution() const;
};

struct counters {
#define SIMULATOR_COUNTER(name) long long name = 0;
    SIMULATOR_COUNTERS(SIMULATOR_COUNTER)
#undef SIMULATOR_COUNTER
};

// What a device of a capability has.
std::size_t shared_limit_of(long long compute); // dynamic shared memory of a block that asks for it
bool is_known_compute(long long compute);

} // namespace simulator

#endif
