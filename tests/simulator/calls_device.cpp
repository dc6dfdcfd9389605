// SPDX-License-Identifier: Apache-2.0
//
// The driver's calls about itself, devices and contexts.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "driver.h"

using namespace simulator;

namespace {

// CUDA_VISIBLE_DEVICES: ordinals; the first that is none ends the list.
unsigned visible_devices(unsigned present) {
    const char *list = std::getenv("CUDA_VISIBLE_DEVICES");
    if (!list) return present;
    unsigned visible = 0;
    while (*list) {
        char *end;
        const long ordinal = std::strtol(list, &end, 10);
        if (end == list || ordinal < 0 || ordinal >= (long)present || (*end != ',' && *end != '\0')) break;
        visible++;
        list = *end ? end + 1 : end;
    }
    return visible;
}

struct attribute {
    int number;
    long long value;
};

// Of a device that is alike for every capability but where they are known to differ. Small, so that grids stay small.
bool attribute_of(const options &set, int number, int *value) {
    const attribute attributes[] = {
        {1, 1024},                      // MAX_THREADS_PER_BLOCK
        {2, 1024}, {3, 1024}, {4, 64},  // MAX_BLOCK_DIM_X, Y, Z
        {5, 2147483647}, {6, 65535}, {7, 65535}, // MAX_GRID_DIM_X, Y, Z
        {8, 48 << 10},                  // MAX_SHARED_MEMORY_PER_BLOCK
        {10, 32},                       // WARP_SIZE
        {12, 65536},                    // MAX_REGISTERS_PER_BLOCK
        {13, 1000000},                  // CLOCK_RATE, kHz
        {16, set.multiprocessors},      // MULTIPROCESSOR_COUNT
        {18, 0},                        // INTEGRATED
        {31, 1},                        // CONCURRENT_KERNELS
        {36, 1000000},                  // MEMORY_CLOCK_RATE, kHz
        {37, 256},                      // GLOBAL_MEMORY_BUS_WIDTH, bits
        {38, 4 << 20},                  // L2_CACHE_SIZE
        {39, 2048},                     // MAX_THREADS_PER_MULTIPROCESSOR
        {41, 1},                        // UNIFIED_ADDRESSING
        {75, set.compute / 10},         // COMPUTE_CAPABILITY_MAJOR
        {76, set.compute % 10},         // COMPUTE_CAPABILITY_MINOR
        {81, (long long)shared_limit_of(set.compute) + 1024}, // MAX_SHARED_MEMORY_PER_MULTIPROCESSOR
        {82, 65536},                    // MAX_REGISTERS_PER_MULTIPROCESSOR
        {97, (long long)shared_limit_of(set.compute)}, // MAX_SHARED_MEMORY_PER_BLOCK_OPTIN
    };
    for (const attribute &a : attributes)
        if (a.number == number) {
            *value = (int)a.value;
            return true;
        }
    return false;
}

const struct {
    CUresult result;
    const char *name, *text;
} results[] = {
#define SIMULATOR_RESULT(name, value) {name, #name, "simulated: " #name},
    SIMULATOR_RESULTS(SIMULATOR_RESULT)
#undef SIMULATOR_RESULT
};

} // namespace

CUresult cuInit(unsigned flags) {
    return enter(needs_nothing, [&](driver &d) {
        if (flags != 0) return CUDA_ERROR_INVALID_VALUE;
        if (!d.set.refusals.empty()) {
            d.report("QMM_SIMULATOR: " + d.set.refusals.substr(0, d.set.refusals.size() - 1));
            return CUDA_ERROR_INVALID_VALUE;
        }
        if (d.set.init_error) return (CUresult)d.set.init_error;
        if (!d.initialized) {
            const unsigned visible = visible_devices((unsigned)d.set.devices);
            for (unsigned i = 0; i < visible; i++) {
                d.devices.push_back(std::make_unique<device>());
                d.devices.back()->ordinal = (int)i;
            }
        }
        d.initialized = !d.devices.empty();
        return d.initialized ? CUDA_SUCCESS : CUDA_ERROR_NO_DEVICE;
    });
}

CUresult cuDriverGetVersion(int *version) {
    return enter(needs_nothing, [&](driver &d) {
        if (!version) return CUDA_ERROR_INVALID_VALUE;
        *version = (int)d.set.driver_version;
        return CUDA_SUCCESS;
    });
}

CUresult cuGetErrorName(CUresult result, const char **name) {
    *name = nullptr;
    for (const auto &r : results)
        if (r.result == result) *name = r.name;
    return *name ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuGetErrorString(CUresult result, const char **text) {
    *text = nullptr;
    for (const auto &r : results)
        if (r.result == result) *text = r.text;
    return *text ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

// ---- devices --------------------------------------------------------------------------------------------------------

CUresult cuDeviceGetCount(int *count) {
    return enter(needs_init, [&](driver &d) {
        if (!count) return CUDA_ERROR_INVALID_VALUE;
        *count = (int)d.devices.size();
        return CUDA_SUCCESS;
    });
}

CUresult cuDeviceGet(CUdevice *result, int ordinal) {
    return enter(needs_init, [&](driver &d) {
        if (!result) return CUDA_ERROR_INVALID_VALUE;
        if (!d.device_of(ordinal)) return CUDA_ERROR_INVALID_DEVICE;
        *result = ordinal;
        return CUDA_SUCCESS;
    });
}

CUresult cuDeviceGetName(char *name, int bytes, CUdevice ordinal) {
    return enter(needs_init, [&](driver &d) {
        if (!name || bytes <= 0) return CUDA_ERROR_INVALID_VALUE;
        if (!d.device_of(ordinal)) return CUDA_ERROR_INVALID_DEVICE;
        if (d.set.name.empty())
            std::snprintf(name, (std::size_t)bytes, "simulated CUDA device (sm_%lld)", d.set.compute);
        else
            std::snprintf(name, (std::size_t)bytes, "%s", d.set.name.c_str());
        return CUDA_SUCCESS;
    });
}

CUresult cuDeviceTotalMem_v2(std::size_t *bytes, CUdevice ordinal) {
    return enter(needs_init, [&](driver &d) {
        if (!bytes) return CUDA_ERROR_INVALID_VALUE;
        if (!d.device_of(ordinal)) return CUDA_ERROR_INVALID_DEVICE;
        *bytes = (std::size_t)d.set.memory;
        return CUDA_SUCCESS;
    });
}

CUresult cuDeviceGetAttribute(int *value, int attribute, CUdevice ordinal) {
    return enter(needs_init, [&](driver &d) {
        if (!value) return CUDA_ERROR_INVALID_VALUE;
        if (!d.device_of(ordinal)) return CUDA_ERROR_INVALID_DEVICE;
        if (attribute_of(d.set, attribute, value)) return CUDA_SUCCESS;
        d.report("cuDeviceGetAttribute: attribute " + std::to_string(attribute) + " is not simulated");
        return CUDA_ERROR_NOT_SUPPORTED;
    });
}

// ---- contexts -------------------------------------------------------------------------------------------------------

CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice ordinal) {
    return enter(needs_init, [&](driver &d) {
        device *const one = d.device_of(ordinal);
        if (!context) return CUDA_ERROR_INVALID_VALUE;
        if (!one) return CUDA_ERROR_INVALID_DEVICE;
        one->references++;
        *context = reinterpret_cast<CUcontext>(one);
        return CUDA_SUCCESS;
    });
}

CUresult cuDevicePrimaryCtxRelease_v2(CUdevice ordinal) {
    return enter(needs_init, [&](driver &d) {
        device *const one = d.device_of(ordinal);
        if (!one) return CUDA_ERROR_INVALID_DEVICE;
        if (one->references == 0) return CUDA_ERROR_INVALID_CONTEXT;
        if (--one->references == 0) d.destroy_context(*one);
        return CUDA_SUCCESS;
    });
}

CUresult cuCtxGetCurrent(CUcontext *context) {
    return enter(needs_init, [&](driver &d) {
        if (!context) return CUDA_ERROR_INVALID_VALUE;
        *context = reinterpret_cast<CUcontext>(d.current());
        return CUDA_SUCCESS;
    });
}

CUresult cuCtxSetCurrent(CUcontext context) {
    return enter(needs_init, [&](driver &d) {
        device *const one = d.device_of(context);
        if (context && (!one || one->references == 0)) return CUDA_ERROR_INVALID_CONTEXT;
        if (!d.contexts().empty()) d.contexts().pop_back();
        if (one) d.contexts().push_back(one);
        return CUDA_SUCCESS;
    });
}

CUresult cuCtxPushCurrent_v2(CUcontext context) {
    return enter(needs_init, [&](driver &d) {
        device *const one = d.device_of(context);
        if (!one || one->references == 0) return CUDA_ERROR_INVALID_CONTEXT;
        d.contexts().push_back(one);
        return CUDA_SUCCESS;
    });
}

CUresult cuCtxPopCurrent_v2(CUcontext *context) {
    return enter(needs_init, [&](driver &d) {
        if (d.contexts().empty()) return CUDA_ERROR_INVALID_CONTEXT;
        if (context) *context = reinterpret_cast<CUcontext>(d.current());
        d.contexts().pop_back();
        return CUDA_SUCCESS;
    });
}

CUresult cuCtxGetDevice(CUdevice *ordinal) {
    return enter(needs_context, [&](driver &d) {
        if (!ordinal) return CUDA_ERROR_INVALID_VALUE;
        *ordinal = d.current()->ordinal;
        return CUDA_SUCCESS;
    });
}

CUresult cuCtxSynchronize(void) {
    return enter(needs_context | is_unsafe_in_capture, [&](driver &d) {
        d.count.synchronizations++;
        d.drain_all(*d.current());
        d.check_guards(*d.current());
        return CUDA_SUCCESS;
    });
}
