// SPDX-License-Identifier: Apache-2.0
//
// This file, device.cpp, fiber.cpp and ptx.cpp are built without ThreadSanitizer: their data is shared by fibers that
// it takes for threads. A kernel's threads are ordered by what CUDA promises and no more, and that is announced here:
// the launch, barriers, warp barriers, fences. ThreadSanitizer so finds every race of a kernel's threads that a run
// meets, whatever the order.
#include "block.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "driver_api.h"

#if SIMULATOR_ASAN
#include <sanitizer/asan_interface.h>
#endif

#if SIMULATOR_TSAN
extern "C" void AnnotateIgnoreReadsBegin(const char *, int);
extern "C" void AnnotateIgnoreReadsEnd(const char *, int);
extern "C" void AnnotateIgnoreWritesBegin(const char *, int);
extern "C" void AnnotateIgnoreWritesEnd(const char *, int);
#endif

#define PER_THREAD __thread __attribute__((tls_model("initial-exec")))
PER_THREAD uint3 threadIdx, blockIdx;
PER_THREAD dim3 blockDim, gridDim;

namespace simulator {

namespace {

PER_THREAD worker *running_worker; // set while a kernel runs

// Behind each shared array where ASan does not watch: whoever writes past the end changes these.
constexpr std::size_t guard_bytes = SIMULATOR_ASAN ? 0 : 32;
constexpr unsigned char guard_value = 0xc5;

// ThreadSanitizer knows 8,000 threads at most.
[[maybe_unused]] constexpr std::size_t tsan_fibers = 512;

// What happens to shared memory between blocks is no access of theirs.
struct unseen_by_tsan {
    unseen_by_tsan() {
#if SIMULATOR_TSAN
        AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
        AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
#endif
    }
    ~unseen_by_tsan() {
#if SIMULATOR_TSAN
        AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
        AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
#endif
    }
};

std::string print(const char *format, ...) __attribute__((format(printf, 1, 2)));

std::string print_list(const char *format, va_list arguments) {
    char text[1024];
    std::vsnprintf(text, sizeof text, format, arguments);
    return text;
}

std::string print(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const std::string text = print_list(format, arguments);
    va_end(arguments);
    return text;
}

// For messages: of the last four. No string, because a thread that fails never comes back to destroy it.
const char *text_of(place where) {
    static thread_local char texts[4][256];
    static thread_local unsigned last;
    char *const text = texts[last++ % 4];
    std::snprintf(text, sizeof texts[0], "%s:%u", where.file ? where.file : "", where.line);
    return text;
}

} // namespace

worker &worker::of_this_thread() {
    static thread_local worker one;
    return one;
}

worker::~worker() {
    release_shared();
}

worker *worker::running_here() {
    return running_worker;
}

// ---- a launch -------------------------------------------------------------------------------------------------------

void worker::begin(launch &l) {
    request = &l;
    std::fegetenv(&callers_environment); // a device knows no rounding mode but its own, and keeps subnormals
    std::fesetenv(FE_DFL_ENV);
    threads.resize(l.threads);
    for (unsigned i = 0; i < l.threads; i++) threads[i].index = i;
    warps.resize((l.threads + 31) / 32);
    turns.resize(l.threads);
    idle.reserve(l.threads); // on this thread, not on a fiber
    while (SIMULATOR_TSAN && fibers.size() < std::max<std::size_t>(tsan_fibers, 2 * l.threads))
        fibers.push_back(std::make_unique<fiber>(fiber_entry, (unsigned)fibers.size()));
    blockDim = {l.threads, 1, 1};
    gridDim = {(unsigned)l.blocks, 1, 1};
    running_worker = this;
}

void worker::end() {
    announce_acquire(&request->clock);
    running_worker = nullptr;
    release_shared();
    request = nullptr;
    std::fesetenv(&callers_environment);
}

// ---- turns ----------------------------------------------------------------------------------------------------------

void worker::fiber_entry() {
    running_worker->run_threads();
}

// A fiber that has nothing to do. ThreadSanitizer takes a fiber for a thread: there each thread has its own.
fiber &worker::free_fiber() {
    if (SIMULATOR_TSAN) return *fibers[fiber_set + starting->index];
    if (idle.empty()) {
        fibers.push_back(std::make_unique<fiber>(fiber_entry, (unsigned)fibers.size()));
        idle.push_back(fibers.back().get());
    }
    fiber *const chosen = idle.back();
    idle.pop_back();
    return *chosen;
}

inline void worker::resume(simulator::thread &t) {
    current = &t;
    threadIdx = {t.index, 0, 0};
    blockIdx = {(unsigned)block, 0, 0};
}

inline void worker::make_ready(simulator::thread &t) {
    turns[ready + unstarted] = turns[ready];
    turns[ready++] = &t;
}

// Takes a thread out of those that can go on or begin; null if there is none.
inline thread *worker::draw() {
    const std::size_t choices = ready + unstarted;
    if (choices == 0) return nullptr;
    std::size_t chosen = 0;
    if (request->how.order == order::random) {
        chosen = numbers.below((unsigned)choices);
    } else {
        const bool forward = request->how.order == order::forward;
        for (std::size_t i = 1; i < choices; i++)
            if ((turns[i]->index < turns[chosen]->index) == forward) chosen = i;
    }
    simulator::thread *const t = turns[chosen];
    if (chosen < ready) { // the last that is ready fills the gap, and the last of all fills that one's place
        turns[chosen] = turns[--ready];
        turns[ready] = turns[choices - 1];
    } else {
        turns[chosen] = turns[choices - 1];
        unstarted--;
    }
    return t;
}

// Leaves what is running for a thread, or for the worker itself.
inline __attribute__((always_inline)) void worker::go_on(simulator::thread *next) {
    fiber &from = *running;
    if (next && !next->on) starting = next;
    running = !next ? &root : next->on ? next->on : &free_fiber();
    fiber::change(from, *running);
}

// Called by a thread that cannot go on, or has put itself among those that can.
inline __attribute__((always_inline)) void worker::wait() {
    simulator::thread &self = *current;
    simulator::thread *const next = draw();
    if (!next) report_deadlock();
    if (next != &self) {
        go_on(next);
        if (cancelled) abandon();
        resume(self);
    }
}

void worker::run_threads() {
    for (;;) {
        simulator::thread &self = *starting;
        self.on = running;
        resume(self);
        announce_acquire(this);
        request->kernel->run(request->arguments);
        announce_release(&request->clock);
        finish();

        simulator::thread *const next = draw();
        if (next && !next->on && !SIMULATOR_TSAN) {
            starting = next;
            continue;
        }
        if (!next && exited < threads.size()) report_deadlock();
        if (!SIMULATOR_TSAN) idle.push_back(running);
        go_on(next);
    }
}

void worker::finish() {
    simulator::thread &self = *current;
    warp &w = warps[self.index / 32];
    const uint32_t bit = 1u << self.index % 32;
    self.exited = true;
    self.on = nullptr;
    exited++;
    w.exited |= bit;
    if (waiting_at_barrier > 0)
        fail(CUDA_ERROR_LAUNCH_FAILED, nullptr, {}, "has ended, while %u threads wait for it at __syncthreads (%s)",
             waiting_at_barrier, text_of(barrier_place));
    for (unsigned lane = 0; lane < 32; lane++)
        if (w.arrived >> lane & 1 && w.arrivals[lane]->mask & bit)
            fail(CUDA_ERROR_LAUNCH_FAILED, nullptr, {}, "has ended, while lane %u waits for it at %s (%s)", lane,
                 w.arrivals[lane]->name, text_of(w.arrivals[lane]->where));
}

void worker::run_block(uint64_t index) {
    block = index;
    numbers = random_numbers(request->how.seed ^ random_numbers(request->number << 32 ^ index).next());
    ready = 0;
    unstarted = threads.size();
    for (simulator::thread &t : threads) {
        turns[t.index] = &t;
        t.on = nullptr;
        t.exited = false;
        t.copies.clear();
        t.open_group = 0;
    }
    for (std::size_t w = 0; w < warps.size(); w++) {
        const unsigned lanes = std::min(32u, request->threads - (unsigned)w * 32);
        warps[w] = {};
        warps[w].lanes = lanes == 32 ? ~0u : (1u << lanes) - 1;
    }
    waiting_at_barrier = exited = 0;
    cancelled = false;
    poison_shared();

    // Another set than the last block's, so that what races between blocks is seen.
    if (SIMULATOR_TSAN) fiber_set = fiber_set + 2 * threads.size() > fibers.size() ? 0 : fiber_set + threads.size();
    announce_release(this);
    go_on(draw());
    // All threads have ended; or one failed, and those that wait are now to be ended.
    for (simulator::thread &t : threads)
        if (cancelled && t.on && !t.exited) go_on(&t);
    if (!cancelled) check_guards();
    if (SIMULATOR_TSAN) release_shared();
}

// ---- barriers and collectives ---------------------------------------------------------------------------------------

void worker::synchronize(place where) {
    if (exited > 0) {
        const auto gone =
            std::find_if(threads.begin(), threads.end(), [](const simulator::thread &t) { return t.exited; });
        fail(CUDA_ERROR_LAUNCH_FAILED, "__syncthreads", where, "thread %u has ended and will not reach it",
             gone->index);
    }
    if (waiting_at_barrier > 0 && (where.line != barrier_place.line || where.file != barrier_place.file))
        fail(CUDA_ERROR_LAUNCH_FAILED, "__syncthreads", where, "%u threads wait at another one (%s)",
             waiting_at_barrier, text_of(barrier_place));
    barrier_place = where;
    const unsigned phase = barrier_phase;
    announce_release(&barrier_clocks[phase]);
    if (++waiting_at_barrier == threads.size()) {
        for (simulator::thread &t : threads) make_ready(t);
        waiting_at_barrier = 0;
        barrier_phase ^= 1;
    }
    wait();
    announce_acquire(&barrier_clocks[phase]);
}

void worker::collect(arrival &self) {
    simulator::thread &t = *current;
    const unsigned lane = t.index % 32;
    warp &w = warps[t.index / 32];
    if (!(self.mask >> lane & 1))
        fail(CUDA_ERROR_LAUNCH_FAILED, self.name, self.where, "its mask %08x does not name the lane itself", self.mask);
    if (self.mask & ~w.lanes)
        fail(CUDA_ERROR_LAUNCH_FAILED, self.name, self.where,
             "its mask %08x names lanes that the warp does not have (%08x)", self.mask, w.lanes);
    if (self.mask & w.exited)
        fail(CUDA_ERROR_LAUNCH_FAILED, self.name, self.where, "its mask %08x names lanes that have ended (%08x)",
             self.mask, self.mask & w.exited);
    if (const uint32_t others = w.arrived & self.mask) {
        const unsigned first = (unsigned)__builtin_ctz(others);
        const arrival &other = *w.arrivals[first];
        if (other.complete != self.complete || other.mask != self.mask || other.where.line != self.where.line ||
            other.where.file != self.where.file)
            fail(CUDA_ERROR_LAUNCH_FAILED, self.name, self.where,
                 "divergence: with mask %08x; lane %u is at %s (%s), mask %08x", self.mask, first, other.name,
                 text_of(other.where), other.mask);
    }
    w.arrivals[lane] = &self;
    w.arrived |= 1u << lane;
    if ((w.arrived & self.mask) == self.mask) {
        self.complete(w.arrivals, self.mask);
        w.arrived &= ~self.mask;
        w.phase ^= 1;
        for (uint32_t left = self.mask; left; left &= left - 1)
            make_ready(threads[t.index - lane + (unsigned)__builtin_ctz(left)]);
    }
    wait();
}

// A collective that also orders memory.
void worker::synchronize_warp(arrival &self) {
    warp &w = warps[current->index / 32];
    char *const clock = &w.clocks[w.phase];
    announce_release(clock);
    collect(self);
    announce_acquire(clock);
}

void worker::report_deadlock() {
    for (std::size_t w = 0; w < warps.size(); w++)
        if (const uint32_t arrived = warps[w].arrived) {
            const unsigned lane = (unsigned)__builtin_ctz(arrived);
            const arrival &a = *warps[w].arrivals[lane];
            fail(CUDA_ERROR_LAUNCH_FAILED, nullptr, {},
                 "no thread of the block can go on: thread %u waits at %s (%s) for the lanes %08x, and %u of %u "
                 "threads at "
                 "__syncthreads (%s)",
                 (unsigned)w * 32 + lane, a.name, text_of(a.where), a.mask & ~arrived, waiting_at_barrier,
                 (unsigned)threads.size(), text_of(barrier_place));
        }
    fail(CUDA_ERROR_LAUNCH_FAILED, nullptr, {}, "no thread of the block can go on: %u of %u wait at __syncthreads (%s)",
         waiting_at_barrier, (unsigned)threads.size(), text_of(barrier_place));
}

// ---- failures -------------------------------------------------------------------------------------------------------

std::string worker::location() const {
    if (!request) return "";
    std::string text = print("kernel %s, block %llu", request->kernel->name, (unsigned long long)block);
    if (current)
        text += print(", thread %u (warp %u, lane %u)", current->index, current->index / 32, current->index % 32);
    return text;
}

void worker::fail(int code, const char *name, place where, const char *format, ...) {
    { // nothing that is destroyed may be left here: nobody comes back
        va_list arguments;
        va_start(arguments, format);
        const std::string text = print_list(format, arguments);
        va_end(arguments);
        request->fail(code, location() + (where.file ? std::string(", ") + text_of(where) : "") + ": " +
                                (name ? name : "") + (name ? ": " : "") + text);
    }
    cancelled = true;
    current->exited = true;
    abandon();
}

// Ends the running fiber's thread where it stands.
void worker::abandon() {
    fiber &from = *running;
    if (!SIMULATOR_TSAN) idle.push_back(running);
    running = &root;
    announce_release(&request->clock);
    fiber::abandon(from, root);
}

// ---- shared memory --------------------------------------------------------------------------------------------------

// Exactly as large as asked for, and no better aligned than its type demands (under ASan than 8 bytes: its unit).
unsigned char *worker::allocate_shared(const shared_site *site, std::size_t bytes, std::size_t alignment) {
    const unseen_by_tsan unseen;
    const std::size_t offset = !site ? 0 : SIMULATOR_ASAN ? std::max<std::size_t>(alignment, 8) : alignment;
    void *memory;
    if (posix_memalign(&memory, std::max<std::size_t>(2 * offset, 1024), offset + bytes + guard_bytes) != 0)
        std::abort();
    unsigned char *const start = static_cast<unsigned char *>(memory) + offset;
#if SIMULATOR_ASAN
    ASAN_POISON_MEMORY_REGION(memory, offset);
#endif
    std::memset(start + bytes, guard_value, guard_bytes);
    std::memset(start, (int)(numbers.next() | 1), bytes);
    shared_blocks.push_back({site, static_cast<unsigned char *>(memory), start, bytes});
    return start;
}

// New blocks find noise. The first one finds none of the arrays yet, only the dynamic one.
void worker::poison_shared() {
    const unseen_by_tsan unseen;
    for (const shared_block &s : shared_blocks) std::memset(s.start, (int)(numbers.next() | 1), s.bytes);
    if (shared_blocks.empty()) {
        static_shared_bytes = 0;
        dynamic_start = allocate_shared(nullptr, request->shared_bytes, 1024);
    }
}

void worker::check_guards() {
    for (const shared_block &s : shared_blocks)
        for (std::size_t i = 0; i < guard_bytes; i++)
            if (s.start[s.bytes + i] != guard_value) {
                current = nullptr;
                request->fail(CUDA_ERROR_ILLEGAL_ADDRESS,
                              location() + print(": shared memory was written %zu bytes past the end of %s (%zu bytes)",
                                                 i + 1, s.site ? s.site->name : "the dynamic array", s.bytes));
                return;
            }
}

void worker::release_shared() {
    const unseen_by_tsan unseen;
    for (const shared_block &s : shared_blocks) {
#if SIMULATOR_ASAN
        ASAN_UNPOISON_MEMORY_REGION(s.memory, (std::size_t)(s.start - s.memory));
#endif
        std::free(s.memory);
    }
    shared_blocks.clear();
}

void *worker::shared(const shared_site &site) {
    for (const shared_block &s : shared_blocks)
        if (s.site == &site) return s.start;
    static_shared_bytes += site.bytes;
    if (static_shared_bytes > request->how.static_shared_limit ||
        static_shared_bytes + request->shared_bytes > request->how.shared_limit)
        fail(CUDA_ERROR_INVALID_VALUE, site.name, site.where,
             "%zu bytes of static shared memory, and %zu dynamic ones, are more "
             "than a block has",
             static_shared_bytes, request->shared_bytes);
    return allocate_shared(&site, site.bytes, site.alignment);
}

bool worker::is_shared(const void *address, std::size_t bytes) const {
    const unsigned char *const first = static_cast<const unsigned char *>(address);
    for (const shared_block &s : shared_blocks)
        if (first >= s.start && first <= s.start + s.bytes && bytes <= (std::size_t)(s.start + s.bytes - first))
            return true;
    return false;
}

} // namespace simulator
