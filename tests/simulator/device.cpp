// SPDX-License-Identifier: Apache-2.0
//
// The functions of simulated_device.h that concern more than their own thread.
#include <cstring>

#include "block.h"
#include "driver_api.h"

namespace simulator {

namespace {

[[maybe_unused]] char fence_clock; // what ThreadSanitizer knows all fences by

worker &self() {
    return worker::here();
}

struct exchange_arrival : arrival {
    shuffle how;
    uint64_t value, result;
    unsigned operand;
    int width;
};

const char *name_of(shuffle how) {
    switch (how) {
    case shuffle::to: return "__shfl_sync";
    case shuffle::exclusive_or: return "__shfl_xor_sync";
    case shuffle::up: return "__shfl_up_sync";
    case shuffle::down: return "__shfl_down_sync";
    }
    return "";
}

// The lane that `lane` reads; it reads itself where the segment of `width` lanes ends.
unsigned source_of(const exchange_arrival &a, unsigned lane) {
    const unsigned width = (unsigned)a.width, begin = lane / width * width, end = begin + width;
    unsigned source = lane;
    switch (a.how) {
    case shuffle::to: return begin + a.operand % width;
    case shuffle::exclusive_or: source = lane ^ a.operand; return source < end ? source : lane;
    case shuffle::up: return a.operand <= lane - begin ? lane - a.operand : lane;
    case shuffle::down: return a.operand < end - lane ? lane + a.operand : lane;
    }
    return source;
}

template <shuffle>
void complete_exchange(arrival *const lanes[32], uint32_t mask) {
    for (uint32_t left = mask; left; left &= left - 1) {
        const unsigned lane = (unsigned)__builtin_ctz(left);
        exchange_arrival &a = *static_cast<exchange_arrival *>(lanes[lane]);
        const unsigned source = source_of(a, lane);
        if (!(mask >> source & 1))
            self().fail(CUDA_ERROR_LAUNCH_FAILED, a.name, a.where,
                        "lane %u reads lane %u, which its mask %08x does not name", lane, source, mask);
        a.result = static_cast<exchange_arrival *>(lanes[source])->value;
    }
}

struct ballot_arrival : arrival {
    bool predicate;
    uint32_t result;
};

void complete_ballot(arrival *const lanes[32], uint32_t mask) {
    uint32_t votes = 0;
    for (uint32_t left = mask; left; left &= left - 1) {
        const unsigned lane = (unsigned)__builtin_ctz(left);
        votes |= (uint32_t)static_cast<ballot_arrival *>(lanes[lane])->predicate << lane;
    }
    for (uint32_t left = mask; left; left &= left - 1)
        static_cast<ballot_arrival *>(lanes[__builtin_ctz(left)])->result = votes;
}

void complete_nothing(arrival *const[32], uint32_t) {}

} // namespace

void *shared_memory(const shared_site &site) {
    return self().shared(site);
}

unsigned char *dynamic_shared_memory() {
    return self().dynamic_shared();
}

void barrier(place where) {
    self().synchronize(where);
}

void warp_barrier(uint32_t mask, place where) {
    arrival a{"__syncwarp", mask, where, complete_nothing};
    self().synchronize_warp(a);
}

uint64_t exchange(shuffle how, uint32_t mask, uint64_t value, unsigned operand, int width, place where) {
    static void (*const completions[])(arrival *const[32], uint32_t) = {
        complete_exchange<shuffle::to>, complete_exchange<shuffle::exclusive_or>, complete_exchange<shuffle::up>,
        complete_exchange<shuffle::down>};
    if (width < 1 || width > 32 || (width & (width - 1)) != 0)
        self().fail(CUDA_ERROR_LAUNCH_FAILED, name_of(how), where, "width %d is no power of two up to 32", width);
    exchange_arrival a;
    a.name = name_of(how);
    a.mask = mask;
    a.where = where;
    a.complete = completions[(int)how];
    a.how = how;
    a.value = a.result = value;
    a.operand = operand;
    a.width = width;
    self().collect(a);
    return a.result;
}

uint32_t ballot(const char *name, uint32_t mask, bool predicate, place where) {
    ballot_arrival a;
    a.name = name;
    a.mask = mask;
    a.where = where;
    a.complete = complete_ballot;
    a.predicate = predicate;
    a.result = 0;
    self().collect(a);
    return a.result;
}

void memory_fence() {
#if SIMULATOR_TSAN
    announce_release(&fence_clock); // it has no fences: any two are taken to meet
    announce_acquire(&fence_clock);
#else
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

void trap(place where) {
    self().fail(CUDA_ERROR_LAUNCH_FAILED, "__trap", where, "the kernel gave up");
}

void misaligned(const char *what, uintptr_t address, size_t alignment, place where) {
    self().fail(CUDA_ERROR_MISALIGNED_ADDRESS, what, where, "address %#llx is no multiple of %zu",
                (unsigned long long)address, alignment);
}

} // namespace simulator
