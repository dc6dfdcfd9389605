// SPDX-License-Identifier: Apache-2.0
//
// Device memory and pinned memory: each allocation is a block of its own of exactly the size asked for, so that ASan
// sees the first byte past it, and full of noise. Without ASan a guard behind it at least shows who wrote there.
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "block.h"
#include "driver.h"

#if SIMULATOR_ASAN
#include <sanitizer/asan_interface.h>
#endif

namespace simulator {

namespace {

constexpr std::size_t alignment = 256; // as cuMemAlloc gives
constexpr std::size_t guard_bytes = SIMULATOR_ASAN ? 0 : 64;
constexpr unsigned char guard_value = 0xc5;

// Of large blocks only so much at each end: their pages come when somebody writes to them.
constexpr std::size_t noise_bytes = 64 << 20;

void make_noise(unsigned char *memory, std::size_t bytes, uint64_t seed) {
    const int noise = (int)(random_numbers(seed).next() | 1); // never 0, nor the same byte in all blocks
    std::memset(memory, noise, std::min(bytes, noise_bytes));
    if (bytes > noise_bytes) {
        const std::size_t rest = std::min(bytes - noise_bytes, noise_bytes);
        std::memset(memory + bytes - rest, noise, rest);
    }
}

// The host may not touch device memory: under ASan it cannot, but while work runs. Very large blocks are left alone,
// because marking them takes long.
void set_access([[maybe_unused]] const allocation &a, [[maybe_unused]] bool allowed) {
#if SIMULATOR_ASAN
    if (a.on_host || a.bytes > noise_bytes) return;
    if (allowed)
        ASAN_UNPOISON_MEMORY_REGION(a.block, a.bytes);
    else
        ASAN_POISON_MEMORY_REGION(a.block, a.bytes);
#endif
}

// Where Linux puts programs, heaps, libraries and stacks; below, two small numbers side by side would look like
// addresses.
// And the last of it, where without address randomization the first stack is, looks like -32768 beside 32767.
constexpr uintptr_t lowest_host_address = 0x550000000000, end_of_host_addresses = 0x7fff00000000;

bool is_mapped(uintptr_t address) {
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    unsigned char resident;
    return mincore(reinterpret_cast<void *>(address / page * page), 1, &resident) == 0 || errno != ENOMEM;
}

} // namespace

void driver::let_access(device &d, bool allowed) {
    d.accesses += allowed ? 1u : -1u;
    if (d.accesses != (allowed ? 1 : 0)) return;
    for (const auto &[start, a] : allocations)
        if (a.owner == &d) set_access(a, allowed);
}

// Whether an argument holds the address of memory that the host has and the device has not: it would be accessible
// here, and nowhere else.
bool driver::names_host_memory(const void *arguments, std::size_t bytes, std::size_t *offset) const {
    for (*offset = 0; *offset + sizeof(uintptr_t) <= bytes; *offset += sizeof(uintptr_t)) {
        uintptr_t word;
        std::memcpy(&word, static_cast<const char *>(arguments) + *offset, sizeof word);
        const void *const address = reinterpret_cast<const void *>(word);
        if (word >= lowest_host_address && word < end_of_host_addresses && !find(address, 0, false) &&
            !find(address, 0, true) && is_mapped(word))
            return true;
    }
    return false;
}

CUresult driver::allocate(device &d, std::size_t bytes, bool on_host, void **memory) {
    if (!memory || bytes == 0) return CUDA_ERROR_INVALID_VALUE;
    if (fails_now(on_host ? set.fail_host_allocation : set.fail_allocation)) return CUDA_ERROR_OUT_OF_MEMORY;
    const std::size_t total = (std::size_t)set.memory;
    if (!on_host && (d.used > total || bytes > total - d.used)) return CUDA_ERROR_OUT_OF_MEMORY;
    void *block;
    if (posix_memalign(&block, alignment, bytes + guard_bytes) != 0) return CUDA_ERROR_OUT_OF_MEMORY;
    unsigned char *const start = static_cast<unsigned char *>(block);
    make_noise(start, bytes, (uint64_t)set.seed + (uint64_t)(count.allocations + count.host_allocations));
    std::memset(start + bytes, guard_value, guard_bytes);
    allocations[(uintptr_t)start] = {&d, bytes, on_host, block};
    if (d.accesses == 0) set_access(allocations[(uintptr_t)start], false);
    if (on_host) {
        count.host_allocations++;
        count.live_host_allocations++;
    } else {
        count.allocations++;
        count.live_allocations++;
        count.live_bytes += (long long)bytes;
        d.used += bytes;
    }
    *memory = start;
    return CUDA_SUCCESS;
}

// Work that is queued may use it: the driver waits for that first.
CUresult driver::release(device &d, void *memory, bool on_host) {
    if (!memory) return CUDA_SUCCESS;
    const auto found = allocations.find((uintptr_t)memory);
    if (found == allocations.end() || found->second.on_host != on_host) return CUDA_ERROR_INVALID_VALUE;
    drain_all(*found->second.owner);
    check_guards(d);
    const allocation a = found->second;
    allocations.erase(found);
    if (on_host) {
        count.live_host_allocations--;
    } else {
        count.live_allocations--;
        count.live_bytes -= (long long)a.bytes;
        a.owner->used -= a.bytes;
    }
    set_access(a, true);
    std::free(a.block);
    return CUDA_SUCCESS;
}

const allocation *driver::find(const void *address, std::size_t bytes, bool on_host) const {
    auto next = allocations.upper_bound((uintptr_t)address);
    if (next == allocations.begin()) return nullptr;
    const auto &[start, a] = *--next;
    const std::size_t offset = (uintptr_t)address - start;
    return a.on_host == on_host && offset <= a.bytes && bytes <= a.bytes - offset ? &a : nullptr;
}

void driver::check_guards(device &d) {
    for (const auto &[start, a] : allocations) {
        const unsigned char *const guard = reinterpret_cast<const unsigned char *>(start) + a.bytes;
        for (std::size_t i = 0; i < guard_bytes; i++)
            if (guard[i] != guard_value) {
                report("byte " + std::to_string(i) + " past the end of a block of " + std::to_string(a.bytes) +
                       " bytes of " + (a.on_host ? "pinned" : "device") + " memory was written");
                std::memset(const_cast<unsigned char *>(guard), guard_value, guard_bytes);
                fail(d, CUDA_ERROR_ILLEGAL_ADDRESS);
                return;
            }
    }
}

} // namespace simulator
