// SPDX-License-Identifier: Apache-2.0
//
// The driver's calls about memory. Copies obey the manual's chapter "API synchronization behavior": pinned memory is
// read and written when the stream gets there; pageable memory is read during the call, and written before it returns.
#include <cstring>

#include "driver.h"

using namespace simulator;

namespace {

template <typename T>
T *pointer(CUdeviceptr address) {
    return reinterpret_cast<T *>((uintptr_t)address);
}

// Device memory is looked for again when the work runs: a graph may outlive what it was captured with.
CUresult still_there(driver &d, const void *address, std::size_t bytes, const char *call) {
    if (d.find(address, bytes, false)) return CUDA_SUCCESS;
    d.report(std::string(call) + ": the device memory is gone");
    return CUDA_ERROR_ILLEGAL_ADDRESS;
}

template <typename T>
CUresult fill(const char *call, CUdeviceptr target, T value, std::size_t count, CUstream handle) {
    return enter(needs_context, [&](driver &d) {
        std::shared_ptr<stream> s;
        if (const CUresult r = d.stream_of(handle, &s)) return r;
        if (count == 0) return CUDA_SUCCESS;
        if (target % sizeof(T) != 0 || count > SIZE_MAX / sizeof(T) ||
            !d.find(pointer<void>(target), count * sizeof(T), false))
            return CUDA_ERROR_INVALID_VALUE;
        d.count.fills++;
        return d.enqueue(s, {call, [&d, call, target, value, count] {
            if (const CUresult r = still_there(d, pointer<void>(target), count * sizeof(T), call)) return r;
            T *const memory = pointer<T>(target);
            for (std::size_t i = 0; i < count; i++) memory[i] = value;
            return CUDA_SUCCESS;
        }});
    });
}

// One attribute of the allocation; none: zero.
CUresult tell(driver &d, const allocation *a, CUdeviceptr address, int attribute, void *value) {
    const auto put = [&](auto known) {
        *static_cast<decltype(known) *>(value) = a ? known : decltype(known)();
        return CUDA_SUCCESS;
    };
    switch (attribute) {
    case CU_POINTER_ATTRIBUTE_CONTEXT: return put(a ? reinterpret_cast<CUcontext>(a->owner) : nullptr);
    case CU_POINTER_ATTRIBUTE_MEMORY_TYPE:
        return put((unsigned)(a && a->on_host ? CU_MEMORYTYPE_HOST : CU_MEMORYTYPE_DEVICE));
    case CU_POINTER_ATTRIBUTE_DEVICE_POINTER: return put(address);
    case CU_POINTER_ATTRIBUTE_HOST_POINTER: return put(a && a->on_host ? pointer<void>(address) : nullptr);
    case CU_POINTER_ATTRIBUTE_IS_MANAGED: return put(0);
    case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL: return put(a ? a->owner->ordinal : 0);
    case CU_POINTER_ATTRIBUTE_RANGE_START_ADDR: return put(a ? (CUdeviceptr)(uintptr_t)a->block : 0);
    case CU_POINTER_ATTRIBUTE_RANGE_SIZE: return put(a ? a->bytes : 0);
    default:
        d.report("cuPointerGetAttributes: attribute " + std::to_string(attribute) + " is not simulated");
        return CUDA_ERROR_NOT_SUPPORTED;
    }
}

} // namespace

CUresult cuMemGetInfo_v2(std::size_t *free, std::size_t *total) {
    return enter(needs_context, [&](driver &d) {
        if (!free || !total) return CUDA_ERROR_INVALID_VALUE;
        const std::size_t all = (std::size_t)d.set.memory, used = d.current()->used;
        *total = all;
        *free = used < all ? all - used : 0;
        return CUDA_SUCCESS;
    });
}

CUresult cuMemAlloc_v2(CUdeviceptr *memory, std::size_t bytes) {
    return enter(needs_context | is_unsafe_in_capture, [&](driver &d) {
        void *block = nullptr;
        const CUresult result = memory ? d.allocate(*d.current(), bytes, false, &block) : CUDA_ERROR_INVALID_VALUE;
        if (result == CUDA_SUCCESS) *memory = (CUdeviceptr)(uintptr_t)block;
        return result;
    });
}

CUresult cuMemFree_v2(CUdeviceptr memory) {
    return enter(needs_context | ends_something | is_unsafe_in_capture,
                 [&](driver &d) { return d.release(*d.current(), pointer<void>(memory), false); });
}

CUresult cuMemHostAlloc(void **memory, std::size_t bytes, unsigned flags) {
    return enter(needs_context | is_unsafe_in_capture, [&](driver &d) {
        if (flags & ~7u) return CUDA_ERROR_INVALID_VALUE; // PORTABLE, DEVICEMAP, WRITECOMBINED
        return d.allocate(*d.current(), bytes, true, memory);
    });
}

CUresult cuMemFreeHost(void *memory) {
    return enter(needs_context | ends_something | is_unsafe_in_capture,
                 [&](driver &d) { return d.release(*d.current(), memory, true); });
}

// Memory that the driver does not know has zeros for all attributes, and is no error.
CUresult cuPointerGetAttributes(unsigned count, int *attributes, void **values, CUdeviceptr address) {
    return enter(needs_context, [&](driver &d) {
        const allocation *a = d.find(pointer<void>(address), 1, false);
        if (!a) a = d.find(pointer<void>(address), 1, true);
        if (count == 0 || !attributes || !values) return CUDA_ERROR_INVALID_VALUE;
        for (unsigned i = 0; i < count; i++)
            if (const CUresult r = tell(d, a, address, attributes[i], values[i])) return r;
        return CUDA_SUCCESS;
    });
}

CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr target, const void *source, std::size_t bytes, CUstream handle) {
    return enter(needs_context, [&](driver &d) {
        std::shared_ptr<stream> s;
        if (const CUresult r = d.stream_of(handle, &s)) return r;
        if (bytes == 0) return CUDA_SUCCESS;
        if (!source || !d.find(pointer<void>(target), bytes, false)) return CUDA_ERROR_INVALID_VALUE;
        d.count.copies++;
        std::shared_ptr<std::vector<unsigned char>> staged;
        if (!s->capture && !d.find(source, bytes, true)) {
            const unsigned char *const first = static_cast<const unsigned char *>(source);
            staged = std::make_shared<std::vector<unsigned char>>(first, first + bytes);
        }
        return d.enqueue(s, {"copy to the device", [&d, target, source, bytes, staged] {
            if (const CUresult r = still_there(d, pointer<void>(target), bytes, "cuMemcpyHtoDAsync")) return r;
            std::memcpy(pointer<void>(target), staged ? staged->data() : source, bytes);
            return CUDA_SUCCESS;
        }});
    });
}

CUresult cuMemcpyDtoHAsync_v2(void *target, CUdeviceptr source, std::size_t bytes, CUstream handle) {
    return enter(needs_context, [&](driver &d) {
        std::shared_ptr<stream> s;
        if (const CUresult r = d.stream_of(handle, &s)) return r;
        if (bytes == 0) return CUDA_SUCCESS;
        if (!target || !d.find(pointer<void>(source), bytes, false)) return CUDA_ERROR_INVALID_VALUE;
        d.count.copies++;
        const CUresult result = d.enqueue(s, {"copy to the host", [&d, target, source, bytes] {
            if (const CUresult r = still_there(d, pointer<void>(source), bytes, "cuMemcpyDtoHAsync")) return r;
            std::memcpy(target, pointer<void>(source), bytes);
            return CUDA_SUCCESS;
        }});
        if (result == CUDA_SUCCESS && !s->capture && !d.find(target, bytes, true)) {
            d.count.synchronizations++;
            d.drain(s, s->queued);
        }
        return result;
    });
}

CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr target, CUdeviceptr source, std::size_t bytes, CUstream handle) {
    return enter(needs_context, [&](driver &d) {
        std::shared_ptr<stream> s;
        if (const CUresult r = d.stream_of(handle, &s)) return r;
        if (bytes == 0) return CUDA_SUCCESS;
        if (!d.find(pointer<void>(target), bytes, false) || !d.find(pointer<void>(source), bytes, false))
            return CUDA_ERROR_INVALID_VALUE;
        d.count.copies++;
        return d.enqueue(s, {"copy on the device", [&d, target, source, bytes] {
            if (const CUresult r = still_there(d, pointer<void>(target), bytes, "cuMemcpyDtoDAsync")) return r;
            if (const CUresult r = still_there(d, pointer<void>(source), bytes, "cuMemcpyDtoDAsync")) return r;
            std::memmove(pointer<void>(target), pointer<void>(source), bytes);
            return CUDA_SUCCESS;
        }});
    });
}

CUresult cuMemsetD8Async(CUdeviceptr target, unsigned char value, std::size_t count, CUstream handle) {
    return fill("cuMemsetD8Async", target, value, count, handle);
}

CUresult cuMemsetD32Async(CUdeviceptr target, unsigned value, std::size_t count, CUstream handle) {
    return fill("cuMemsetD32Async", target, value, count, handle);
}
