// SPDX-License-Identifier: Apache-2.0
//
// The driver's calls about modules, functions and launches. An image is not looked at: the kernels are in this library.
#include <cstring>

#include "driver.h"

using namespace simulator;

namespace {

// The driver's lock is held meanwhile: other threads wait, as they would for a device that is busy.
CUresult run_kernel(driver &d, const function &f, unsigned blocks, unsigned threads, unsigned shared_bytes,
                    const void *arguments) {
    launch l;
    l.kernel = f.kernel;
    l.arguments = arguments;
    l.blocks = blocks;
    l.threads = threads;
    l.shared_bytes = shared_bytes;
    l.number = d.launches++;
    l.how = d.set.execution();
    run(l);
    d.count.kernels_run++;
    d.count.blocks_run += blocks;
    d.count.threads_run += (long long)blocks * threads;
    if (l.error) d.report(l.report);
    return (CUresult)l.error;
}

} // namespace

CUresult cuModuleLoadData(CUmodule *result, const void *image) {
    return enter(needs_context | is_unsafe_in_capture, [&](driver &d) {
        if (!result || !image) return CUDA_ERROR_INVALID_VALUE;
        if (d.set.no_image) return CUDA_ERROR_NO_BINARY_FOR_GPU;
        if (d.fails_now(d.set.fail_module)) return CUDA_ERROR_OUT_OF_MEMORY;
        const auto m = std::make_shared<simulator::module>(simulator::module{d.current()});
        d.modules[m.get()] = m;
        d.count.modules++;
        d.count.live_modules++;
        *result = reinterpret_cast<CUmodule>(m.get());
        return CUDA_SUCCESS;
    });
}

CUresult cuModuleUnload(CUmodule handle) {
    return enter(needs_context | ends_something | is_unsafe_in_capture, [&](driver &d) {
        const auto found = d.modules.find(handle);
        if (found == d.modules.end()) return CUDA_ERROR_INVALID_HANDLE;
        d.drain_all(*found->second->device);
        for (auto f = d.functions.begin(); f != d.functions.end();)
            f = f->second->module == found->second.get() ? d.functions.erase(f) : std::next(f);
        d.modules.erase(found);
        d.count.live_modules--;
        return CUDA_SUCCESS;
    });
}

CUresult cuModuleGetFunction(CUfunction *result, CUmodule handle, const char *name) {
    return enter(needs_context, [&](driver &d) {
        const auto found = d.modules.find(handle);
        if (!result || !name) return CUDA_ERROR_INVALID_VALUE;
        if (found == d.modules.end()) return CUDA_ERROR_INVALID_HANDLE;
        const kernel *const k = find_kernel(name);
        if (!k) {
            d.report("cuModuleGetFunction: there is no kernel " + std::string(name));
            return CUDA_ERROR_NOT_FOUND;
        }
        const auto f = std::make_shared<function>(function{found->second.get(), k});
        d.functions[f.get()] = f;
        *result = reinterpret_cast<CUfunction>(f.get());
        return CUDA_SUCCESS;
    });
}

CUresult cuFuncLoad(CUfunction handle) {
    return enter(needs_context, [&](driver &d) {
        return d.functions.count(handle) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
    });
}

CUresult cuFuncGetAttribute(int *value, int attribute, CUfunction handle) {
    return enter(needs_context, [&](driver &d) {
        const auto found = d.functions.find(handle);
        if (!value) return CUDA_ERROR_INVALID_VALUE;
        if (found == d.functions.end()) return CUDA_ERROR_INVALID_HANDLE;
        switch (attribute) {
        case CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK:
            *value = (int)found->second->kernel->max_threads;
            return CUDA_SUCCESS;
        case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES:
            *value = found->second->max_dynamic_bytes;
            return CUDA_SUCCESS;
        default:
            d.report("cuFuncGetAttribute: attribute " + std::to_string(attribute) + " is not simulated");
            return CUDA_ERROR_NOT_SUPPORTED;
        }
    });
}

CUresult cuFuncSetAttribute(CUfunction handle, int attribute, int value) {
    return enter(needs_context, [&](driver &d) {
        const auto found = d.functions.find(handle);
        if (found == d.functions.end()) return CUDA_ERROR_INVALID_HANDLE;
        if (attribute != CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES) {
            d.report("cuFuncSetAttribute: attribute " + std::to_string(attribute) + " is not simulated");
            return CUDA_ERROR_NOT_SUPPORTED;
        }
        if (value < 0 || (std::size_t)value > shared_limit_of(d.set.compute)) return CUDA_ERROR_INVALID_VALUE;
        found->second->max_dynamic_bytes = value;
        return CUDA_SUCCESS;
    });
}

CUresult cuLaunchKernel(CUfunction handle, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                        unsigned block_y, unsigned block_z, unsigned shared_bytes, CUstream stream_handle,
                        void **parameters, void **extra) {
    return enter(needs_context, [&](driver &d) {
        std::shared_ptr<stream> s;
        const auto found = d.functions.find(handle);
        if (found == d.functions.end()) return CUDA_ERROR_INVALID_HANDLE;
        if (const CUresult r = d.stream_of(stream_handle, &s)) return r;
        const std::shared_ptr<function> f = found->second;
        if (grid_y != 1 || grid_z != 1 || block_y != 1 || block_z != 1 || extra) {
            d.report(std::string("cuLaunchKernel of ") + f->kernel->name +
                     ": only one-dimensional grids and blocks and plain "
                     "parameters are simulated");
            return CUDA_ERROR_NOT_SUPPORTED;
        }
        if (!parameters || !parameters[0] || grid_x < 1 || grid_x > 2147483647u || block_x < 1 ||
            block_x > f->kernel->max_threads || shared_bytes > (unsigned)f->max_dynamic_bytes)
            return CUDA_ERROR_INVALID_VALUE;
        if (grid_x % f->kernel->cluster != 0) {
            d.report(std::string("cuLaunchKernel of ") + f->kernel->name + ": a grid of " + std::to_string(grid_x) +
                     " blocks cannot be divided into clusters of " + std::to_string(f->kernel->cluster));
            return CUDA_ERROR_INVALID_CLUSTER_SIZE;
        }
        std::size_t offset;
        if (!d.set.host_addresses && d.names_host_memory(parameters[0], f->kernel->argument_bytes, &offset)) {
            d.report(std::string("cuLaunchKernel of ") + f->kernel->name +
                     ": the argument holds a host address, at byte " + std::to_string(offset));
            return CUDA_ERROR_INVALID_VALUE;
        }
        const bool fails = d.fails_now(d.set.fail_launch);
        const CUresult failure = (CUresult)d.set.fail_launch_error;
        if (fails && !is_sticky(failure)) return failure;
        d.count.launches++;
        if (fails) return d.enqueue(s, {"kernel", [failure] { return failure; }});

        // The kernel's argument, exactly as large as its type, so that nothing behind it can be read unseen.
        const std::shared_ptr<void> arguments(::operator new(f->kernel->argument_bytes, std::align_val_t(128)),
                                              [](void *p) { ::operator delete(p, std::align_val_t(128)); });
        std::memcpy(arguments.get(), parameters[0], f->kernel->argument_bytes);
        return d.enqueue(s, {"kernel", [&d, f, grid_x, block_x, shared_bytes, arguments] {
            return run_kernel(d, *f, grid_x, block_x, shared_bytes, arguments.get());
        }});
    });
}
