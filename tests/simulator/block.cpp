// SPDX-License-Identifier: Apache-2.0
//
// This file, device.cpp, fiber.cpp, ptx.cpp and those of sm90.h are built without ThreadSanitizer: their data is shared
// by fibers that it takes for threads. A kernel's threads are ordered by what CUDA promises and no more, and that is
// announced here: the launch, barriers, warp barriers, fences. ThreadSanitizer so finds every race of a kernel's
// threads that a run meets, whatever the order.
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

} // namespace

// For messages: of the last four. No string, because a thread that fails never comes back to destroy it.
const char *text_of(place where) {
    static thread_local char texts[4][256];
    static thread_local unsigned last;
    char *const text = texts[last++ % 4];
    std::snprintf(text, sizeof texts[0], "%s:%u", where.file ? where.file : "", where.line);
    return text;
}

worker &worker::of_this_thread() {
    static thread_local const std::unique_ptr<worker> one(new worker); // there is little room for what is static
    return *one;
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
    const unsigned together = l.kernel->cluster, total = together * l.threads, block_warps = (l.threads + 31) / 32;
    threads.resize(total);
    warps.resize(together * block_warps);
    blocks.resize(together);
    for (unsigned rank = 0; rank < together; rank++) {
        blocks[rank].rank = rank;
        blocks[rank].threads = &threads[rank * l.threads];
        blocks[rank].warps = &warps[rank * block_warps];
        for (unsigned i = 0; i < l.threads; i++) {
            simulator::thread &t = blocks[rank].threads[i];
            t.index = i;
            t.number = rank * l.threads + i;
            t.home = &blocks[rank];
        }
    }
    turns.resize(total);
    idle.reserve(total); // on this thread, not on a fiber
    while (SIMULATOR_TSAN && fibers.size() < std::max<std::size_t>(tsan_fibers, 2 * total))
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
    if (SIMULATOR_TSAN) return *fibers[fiber_set + starting->number];
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
    blockIdx = {(unsigned)t.home->index, 0, 0};
}

void worker::make_ready(simulator::thread &t) {
    turns[ready + unstarted] = turns[ready];
    turns[ready++] = &t;
}

// Takes a thread out of those that can go on or begin; null if there is none.
inline thread *worker::draw() {
    if (__builtin_expect(asynchronous.has_work(), 0)) asynchronous.progress(*this);
    const std::size_t choices = ready + unstarted;
    if (choices == 0) return nullptr;
    std::size_t chosen = 0;
    if (request->how.order == order::random) {
        chosen = numbers.below((unsigned)choices);
    } else {
        const bool forward = request->how.order == order::forward;
        for (std::size_t i = 1; i < choices; i++)
            if ((turns[i]->number < turns[chosen]->number) == forward) chosen = i;
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

void worker::suspend() {
    wait();
}

void worker::yield() {
    make_ready(*current);
    wait();
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
    block &b = *self.home;
    warp &w = b.warps[self.index / 32];
    const uint32_t bit = 1u << self.index % 32;
    self.exited = true;
    self.on = nullptr;
    exited++;
    b.exited++;
    w.exited |= bit;
    if (b.waiting_at_barrier > 0)
        fail(CUDA_ERROR_LAUNCH_FAILED, nullptr, {}, "has ended, while %u threads wait for it at __syncthreads (%s)",
             b.waiting_at_barrier, text_of(b.barrier_place));
    for (unsigned lane = 0; lane < 32; lane++)
        if (w.arrived >> lane & 1 && w.arrivals[lane]->mask & bit)
            fail(CUDA_ERROR_LAUNCH_FAILED, nullptr, {}, "has ended, while lane %u waits for it at %s (%s)", lane,
                 w.arrivals[lane]->name, text_of(w.arrivals[lane]->where));
    if (asynchronous.is_used()) asynchronous.check_end(*this);
}

void worker::run_cluster(uint64_t index) {
    numbers = random_numbers(request->how.seed ^ random_numbers(request->number << 32 ^ index).next());
    ready = 0;
    unstarted = threads.size();
    for (simulator::thread &t : threads) {
        turns[t.number] = &t;
        t.on = nullptr;
        t.exited = false;
        t.copies.clear();
        t.open_group = 0;
    }
    for (block &b : blocks) {
        for (unsigned first = 0; first < request->threads; first += 32) {
            const unsigned lanes = std::min(32u, request->threads - first);
            b.warps[first / 32] = {};
            b.warps[first / 32].lanes = lanes == 32 ? ~0u : (1u << lanes) - 1;
        }
        b.index = index * blocks.size() + b.rank;
        b.waiting_at_barrier = b.exited = 0;
        b.barriers_passed = 0;
        poison_shared(b);
    }
    exited = 0;
    cancelled = false;
    if (asynchronous.is_used()) asynchronous.clear();

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
    block &b = *current->home;
    const unsigned all = request->threads;
    if (b.exited > 0) {
        const auto gone = std::find_if(b.threads, b.threads + all, [](const simulator::thread &t) { return t.exited; });
        fail(CUDA_ERROR_LAUNCH_FAILED, "__syncthreads", where, "thread %u has ended and will not reach it",
             gone->index);
    }
    if (b.waiting_at_barrier > 0 && (where.line != b.barrier_place.line || where.file != b.barrier_place.file))
        fail(CUDA_ERROR_LAUNCH_FAILED, "__syncthreads", where, "%u threads wait at another one (%s)",
             b.waiting_at_barrier, text_of(b.barrier_place));
    b.barrier_place = where;
    const unsigned phase = b.barrier_phase;
    announce_release(&b.barrier_clocks[phase]);
    if (++b.waiting_at_barrier == all) {
        for (unsigned i = 0; i < all; i++) make_ready(b.threads[i]);
        b.waiting_at_barrier = 0;
        b.barrier_phase ^= 1;
        b.barriers_passed++;
    }
    wait();
    announce_acquire(&b.barrier_clocks[phase]);
}

void worker::collect(arrival &self) {
    simulator::thread &t = *current;
    const unsigned lane = t.index % 32;
    warp &w = t.home->warps[t.index / 32];
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
            make_ready(t.home->threads[t.index - lane + (unsigned)__builtin_ctz(left)]);
    }
    wait();
}

// A collective that also orders memory.
void worker::synchronize_warp(arrival &self) {
    warp &w = current->home->warps[current->index / 32];
    char *const clock = &w.clocks[w.phase];
    announce_release(clock);
    collect(self);
    announce_acquire(clock);
}

void worker::report_deadlock() {
    const block *at_barrier = nullptr;
    for (const block &b : blocks)
        if (b.waiting_at_barrier > 0) at_barrier = &b;
    char elsewhere[700] = "";
    if (asynchronous.is_used()) asynchronous.describe_waiting(*this, elsewhere, sizeof elsewhere);
    for (const block &b : blocks)
        for (unsigned w = 0; w < (request->threads + 31) / 32; w++)
            if (const uint32_t arrived = b.warps[w].arrived) {
                const unsigned lane = (unsigned)__builtin_ctz(arrived);
                const arrival &a = *b.warps[w].arrivals[lane];
                fail(CUDA_ERROR_LAUNCH_FAILED, nullptr, {},
                     "no thread of the block can go on: thread %u waits at %s (%s) for the lanes %08x, and %u of %u "
                     "threads at __syncthreads (%s)%s",
                     w * 32 + lane, a.name, text_of(a.where), a.mask & ~arrived,
                     at_barrier ? at_barrier->waiting_at_barrier : 0, request->threads,
                     text_of(at_barrier ? at_barrier->barrier_place : place{}), elsewhere);
            }
    if (at_barrier)
        fail(CUDA_ERROR_LAUNCH_FAILED, nullptr, {},
             "no thread of the block can go on: %u of %u wait at __syncthreads (%s)%s", at_barrier->waiting_at_barrier,
             request->threads, text_of(at_barrier->barrier_place), elsewhere);
    fail(CUDA_ERROR_LAUNCH_FAILED, nullptr, {}, "no thread of the block can go on%s", elsewhere);
}

// ---- failures -------------------------------------------------------------------------------------------------------

std::string worker::location_of(const block &b) const {
    return print("kernel %s, block %llu", request->kernel->name, (unsigned long long)b.index);
}

std::string worker::location() const {
    if (!request || !current) return "";
    return location_of(*current->home) +
           print(", thread %u (warp %u, lane %u)", current->index, current->index / 32, current->index % 32);
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
unsigned char *worker::allocate_shared(block &b, const shared_site *site, std::size_t bytes, std::size_t alignment) {
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
    b.shared_blocks.push_back({site, static_cast<unsigned char *>(memory), start, bytes});
    return start;
}

// New blocks find noise. The first one finds none of the arrays yet, only the dynamic one.
void worker::poison_shared(block &b) {
    const unseen_by_tsan unseen;
    for (const shared_block &s : b.shared_blocks) std::memset(s.start, (int)(numbers.next() | 1), s.bytes);
    if (b.shared_blocks.empty()) {
        b.static_shared_bytes = 0;
        b.dynamic_start = allocate_shared(b, nullptr, request->shared_bytes, 1024);
    }
}

void worker::check_guards() {
    for (const block &b : blocks)
        for (const shared_block &s : b.shared_blocks)
            for (std::size_t i = 0; i < guard_bytes; i++)
                if (s.start[s.bytes + i] != guard_value) {
                    request->fail(CUDA_ERROR_ILLEGAL_ADDRESS,
                                  location_of(b) +
                                      print(": shared memory was written %zu bytes past the end of %s (%zu bytes)",
                                            i + 1, s.name(), s.bytes));
                    return;
                }
}

void worker::release_shared() {
    const unseen_by_tsan unseen;
    for (block &b : blocks) {
        for (const shared_block &s : b.shared_blocks) {
#if SIMULATOR_ASAN
            ASAN_UNPOISON_MEMORY_REGION(s.memory, (std::size_t)(s.start - s.memory));
#endif
            std::free(s.memory);
        }
        b.shared_blocks.clear();
    }
}

void *worker::shared(const shared_site &site) {
    return shared(*current->home, site);
}

void *worker::shared(block &b, const shared_site &site) {
    for (const shared_block &s : b.shared_blocks)
        if (s.site == &site) return s.start;
    b.static_shared_bytes += site.bytes;
    if (b.static_shared_bytes > request->how.static_shared_limit ||
        b.static_shared_bytes + request->shared_bytes > request->how.shared_limit)
        fail(CUDA_ERROR_INVALID_VALUE, site.name, site.where,
             "%zu bytes of static shared memory, and %zu dynamic ones, are more "
             "than a block has",
             b.static_shared_bytes, request->shared_bytes);
    return allocate_shared(b, &site, site.bytes, site.alignment);
}

const shared_block *worker::array_of(const void *address, std::size_t bytes) const {
    const unsigned char *const first = static_cast<const unsigned char *>(address);
    for (const shared_block &s : current->home->shared_blocks)
        if (first >= s.start && first <= s.start + s.bytes && bytes <= (std::size_t)(s.start + s.bytes - first))
            return &s;
    return nullptr;
}

bool worker::is_shared(const void *address, std::size_t bytes) const {
    return array_of(address, bytes) != nullptr;
}

// An array that the other block has not come to yet is there all the same, with noise in it.
unsigned char *worker::in_block(unsigned rank, const void *address) {
    const shared_block *const mine = array_of(address, 0);
    if (!mine) return nullptr;
    const std::ptrdiff_t offset = static_cast<const unsigned char *>(address) - mine->start;
    void *const theirs = mine->site ? shared(blocks[rank], *mine->site) : blocks[rank].dynamic_start;
    return static_cast<unsigned char *>(theirs) + offset;
}

} // namespace simulator
