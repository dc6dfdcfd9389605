// SPDX-License-Identifier: Apache-2.0
#include "fiber.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#if SIMULATOR_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if SIMULATOR_TSAN
#include <sanitizer/tsan_interface.h>

extern "C" void __tsan_read_range(void *, unsigned long);
extern "C" void __tsan_write_range(void *, unsigned long);
extern "C" void AnnotateIgnoreReadsBegin(const char *, int);
extern "C" void AnnotateIgnoreReadsEnd(const char *, int);
extern "C" void AnnotateIgnoreWritesBegin(const char *, int);
extern "C" void AnnotateIgnoreWritesEnd(const char *, int);
#endif

namespace simulator {

namespace context = boost::context::detail;

namespace {

// Sanitizers make frames several times as large. Only what is touched costs memory.
constexpr std::size_t usable_bytes = SIMULATOR_ASAN || SIMULATOR_TSAN ? 512 << 10 : 128 << 10;

} // namespace

__thread fiber *leaving __attribute__((tls_model("initial-exec")));
__thread fiber *arriving __attribute__((tls_model("initial-exec")));

#if SIMULATOR_TSAN
void announce_release(void *object) {
    __tsan_release(object);
}

void announce_acquire(void *object) {
    __tsan_acquire(object);
}

void announce_read(const void *memory, std::size_t bytes) {
    if (bytes > 0) __tsan_read_range(const_cast<void *>(memory), bytes);
}

void announce_write(void *memory, std::size_t bytes) {
    if (bytes > 0) __tsan_write_range(memory, bytes);
}

unseen_by_tsan::unseen_by_tsan() {
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
}

unseen_by_tsan::~unseen_by_tsan() {
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
}
#endif

fiber::fiber() {
#if SIMULATOR_TSAN
    tsan = __tsan_get_current_fiber();
#endif
}

// Stacks of equal alignment would all use the same sets of the cache; `color` moves each one's start.
fiber::fiber(void (*run)(), unsigned color) : entry(run), color_bytes(color % 32 * 192) {
    const std::size_t page = (std::size_t)sysconf(_SC_PAGESIZE);
    mapping_bytes = usable_bytes + page;
    void *memory =
        mmap(nullptr, mapping_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory, page, PROT_NONE) != 0) { // the guard page: an overflow faults
        std::fputs("simulator: no memory for a fiber's stack\n", stderr);
        std::abort();
    }
    mapping = static_cast<unsigned char *>(memory);
    stack = mapping + page;
    stack_bytes = usable_bytes - color_bytes;
    prepare();
}

fiber::~fiber() {
    if (!mapping) return;
#if SIMULATOR_TSAN
    if (tsan) __tsan_destroy_fiber(tsan);
#endif
#if SIMULATOR_ASAN
    ASAN_UNPOISON_MEMORY_REGION(stack, stack_bytes);
#endif
    munmap(mapping, mapping_bytes);
}

// A new fiber's first steps.
void fiber::enter(void *from) {
    leaving->context = from;
#if SIMULATOR_ASAN
    const void *bottom;
    std::size_t bytes;
    __sanitizer_finish_switch_fiber(nullptr, &bottom, &bytes);
    if (!leaving->mapping) { // the OS thread's own stack: learnt from the first switch away from it
        leaving->stack = static_cast<unsigned char *>(const_cast<void *>(bottom));
        leaving->stack_bytes = bytes;
    }
#endif
    arriving->entry();
    std::abort();
}

void fiber::prepare() {
#if SIMULATOR_ASAN
    ASAN_UNPOISON_MEMORY_REGION(stack, stack_bytes);
#endif
#if SIMULATOR_TSAN
    if (tsan) __tsan_destroy_fiber(tsan);
    tsan = __tsan_create_fiber(0);
#endif
    context = context::make_fcontext(stack + stack_bytes, stack_bytes, [](context::transfer_t t) { enter(t.fctx); });
    must_restart = false;
}

#if SIMULATOR_ASAN || SIMULATOR_TSAN
void fiber::announce_leaving([[maybe_unused]] bool for_good) {
#if SIMULATOR_ASAN
    __sanitizer_start_switch_fiber(for_good ? nullptr : &fake_stack, arriving->stack, arriving->stack_bytes);
#endif
#if SIMULATOR_TSAN
    __tsan_switch_to_fiber(arriving->tsan, __tsan_switch_to_fiber_no_sync);
#endif
}

void fiber::announce_return() {
#if SIMULATOR_ASAN
    __sanitizer_finish_switch_fiber(fake_stack, nullptr, nullptr);
#endif
}
#endif

void fiber::abandon(fiber &from, fiber &to) {
    from.must_restart = true;
    leaving = &from;
    arriving = &to;
    from.announce_leaving(true);
    context::jump_fcontext(to.context, nullptr);
    std::abort();
}

} // namespace simulator
