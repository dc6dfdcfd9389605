// SPDX-License-Identifier: Apache-2.0
#include "driver.h"

#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "simulator.h"

namespace simulator {

thread_local bool inside_host_function;
thread_local std::unique_lock<std::mutex> *held_lock;

driver &driver::one() {
    static driver *const only = new driver; // lives as long as the process: others may call from their destructors
    return *only;
}

driver::driver() {
    set.parse(std::getenv("QMM_SIMULATOR"));
}

std::vector<device *> &driver::contexts() {
    static thread_local std::vector<device *> stack;
    return stack;
}

device *driver::device_of(CUcontext context) const {
    for (const auto &d : devices)
        if (reinterpret_cast<CUcontext>(d.get()) == context) return d.get();
    return nullptr;
}

device *driver::device_of(CUdevice ordinal) const {
    return ordinal >= 0 && (std::size_t)ordinal < devices.size() ? devices[(std::size_t)ordinal].get() : nullptr;
}

void driver::report(const std::string &text) {
    last_report = text;
    std::fprintf(stderr, "simulated CUDA device: %s\n", text.c_str());
}

bool driver::fails_now(long long &option) {
    return option > 0 && --option == 0;
}

// The results that the driver's documentation describes as leaving the process, or the context, unusable.
bool is_sticky(CUresult result) {
    switch (result) {
    case CUDA_ERROR_ECC_UNCORRECTABLE:
    case CUDA_ERROR_NVLINK_UNCORRECTABLE:
    case CUDA_ERROR_CONTAINED:
    case CUDA_ERROR_ILLEGAL_ADDRESS:
    case CUDA_ERROR_LAUNCH_TIMEOUT:
    case CUDA_ERROR_ASSERT:
    case CUDA_ERROR_HARDWARE_STACK_ERROR:
    case CUDA_ERROR_ILLEGAL_INSTRUCTION:
    case CUDA_ERROR_MISALIGNED_ADDRESS:
    case CUDA_ERROR_INVALID_ADDRESS_SPACE:
    case CUDA_ERROR_INVALID_PC:
    case CUDA_ERROR_LAUNCH_FAILED:
    case CUDA_ERROR_TENSOR_MEMORY_LEAK:
    case CUDA_ERROR_EXTERNAL_DEVICE:
    case CUDA_ERROR_UNKNOWN: return true;
    default: return false;
    }
}

CUresult enter(unsigned needs, const std::function<CUresult(driver &)> &body) {
    if (inside_host_function) return CUDA_ERROR_NOT_PERMITTED;
    driver &d = driver::one();
    std::unique_lock<std::mutex> lock(d.lock);
    held_lock = &lock;
    d.count.calls++;
    const CUresult result = [&] {
        if (d.fails_now(d.set.fail_call)) return (CUresult)d.set.fail_call_error;
        if (needs != needs_nothing && !d.initialized) return CUDA_ERROR_NOT_INITIALIZED;
        if (!(needs & needs_context)) return body(d);
        device *const current = d.current();
        if (!current) return CUDA_ERROR_INVALID_CONTEXT;
        if (current->references == 0) return CUDA_ERROR_CONTEXT_IS_DESTROYED;
        if (d.set.sticky) d.fail(*current, (CUresult)d.set.sticky);
        if (current->sticky && !(needs & ends_something)) return current->sticky;
        if (needs & is_unsafe_in_capture)
            if (const CUresult refused = d.unsafe_call()) return refused;
        const CUresult result = body(d);
        return current->sticky ? current->sticky : result;
    }();
    held_lock = nullptr;
    return result;
}

} // namespace simulator

using namespace simulator;

// ---- the controls: simulator.h --------------------------------------------------------------------------------------

#define CONTROL __attribute__((visibility("default")))

CONTROL extern const int qmm_simulated_cuda = 1;

CONTROL int qmm_simulator_set(const char *name, long long value) {
    driver &d = driver::one();
    const std::lock_guard<std::mutex> lock(d.lock);
    if (std::strcmp(name, "reset") != 0) {
        options changed = d.set;
        if (!changed.set(name, value)) return 1;
        d.set = changed;
        return 0;
    }
    const counters &c = d.count;
    if (value != 1 || c.live_allocations + c.live_host_allocations + c.live_streams + c.live_events + c.live_modules +
                              c.live_graphs + c.live_executables > 0)
        return 1;
    for (const auto &one : d.devices) one->sticky = CUDA_SUCCESS;
    d.count = {};
    d.launches = 0;
    const options first;
    for (long long options::*failure : {&options::init_error, &options::no_image, &options::fail_allocation,
                                        &options::fail_host_allocation, &options::fail_stream, &options::fail_event,
                                        &options::fail_module, &options::fail_graph, &options::fail_call,
                                        &options::fail_call_error, &options::fail_launch, &options::fail_launch_error,
                                        &options::sticky})
        d.set.*failure = first.*failure;
    return 0;
}

CONTROL long long qmm_simulator_get(const char *name) {
    driver &d = driver::one();
    const std::lock_guard<std::mutex> lock(d.lock);
#define SIMULATOR_COUNTER(member) \
    if (std::strcmp(name, #member) == 0) return d.count.member;
    SIMULATOR_COUNTERS(SIMULATOR_COUNTER)
#undef SIMULATOR_COUNTER
#define SIMULATOR_OPTION(member, first, least, most) \
    if (std::strcmp(name, #member) == 0) return d.set.member;
    SIMULATOR_OPTIONS(SIMULATOR_OPTION)
#undef SIMULATOR_OPTION
    return LLONG_MIN;
}

CONTROL const char *qmm_simulator_report(void) {
    static thread_local std::string text;
    driver &d = driver::one();
    const std::lock_guard<std::mutex> lock(d.lock);
    text = d.last_report;
    return text.c_str();
}
