// SPDX-License-Identifier: Apache-2.0
//
// Fibers: stacks that take turns on one OS thread. The switch itself is Boost.Context's; this adds what the sanitizers
// must be told about it.
#ifndef QMM_SIMULATOR_FIBER_H
#define QMM_SIMULATOR_FIBER_H

#include <boost/context/detail/fcontext.hpp>
#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
#define SIMULATOR_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SIMULATOR_ASAN 1
#endif
#endif
#ifndef SIMULATOR_ASAN
#define SIMULATOR_ASAN 0
#endif

// The scheduler itself is built without ThreadSanitizer (see block.cpp), so the build says whether the rest has it.
#ifndef SIMULATOR_TSAN
#define SIMULATOR_TSAN 0
#endif

namespace simulator {

class fiber {
public:
    fiber(); // the OS thread that makes it: what is running now
    fiber(void (*entry)(), unsigned color); // a new stack, on which entry runs at the first switch; it never returns
    ~fiber();
    fiber(const fiber &) = delete;
    fiber &operator=(const fiber &) = delete;

    // Leaves `from`, which is running, and goes on with `to`. Returns when something switches back to `from`.
    static void change(fiber &from, fiber &to);

    // Leaves `from` for good: what is on its stack is forgotten. It can be switched to again, and starts anew.
    [[noreturn]] static void abandon(fiber &from, fiber &to);

private:
    static void enter(void *from);
    void prepare();
    void announce_leaving(bool for_good); // to the sanitizers
    void announce_return();

    void (*entry)() = nullptr;
    void *context = nullptr; // where to go on
    unsigned char *mapping = nullptr, *stack = nullptr;
    std::size_t mapping_bytes = 0, stack_bytes = 0;
    std::size_t color_bytes = 0;
    [[maybe_unused]] void *fake_stack = nullptr; // ASan's
    [[maybe_unused]] void *tsan = nullptr;
    bool must_restart = false;
};

// The switch under way. Not on a stack: the one that is left may be gone before the other is reached.
extern __thread fiber *leaving __attribute__((tls_model("initial-exec")));
extern __thread fiber *arriving __attribute__((tls_model("initial-exec")));

// Here, so that it becomes part of its callers: after a switch the processor mispredicts each return.
inline void fiber::change(fiber &from, fiber &to) {
    if (to.must_restart) to.prepare();
    leaving = &from;
    arriving = &to;
    from.announce_leaving(false);
    const boost::context::detail::transfer_t back = boost::context::detail::jump_fcontext(to.context, nullptr);
    leaving->context = back.fctx;
    from.announce_return();
}

#if !SIMULATOR_ASAN && !SIMULATOR_TSAN
inline void fiber::announce_leaving(bool) {}
inline void fiber::announce_return() {}
#endif

// The happens-before edges that ThreadSanitizer cannot see, because the scheduler is not instrumented.
// What the scheduler's part does to a kernel's memory on behalf of the running thread is announced likewise.
#if SIMULATOR_TSAN
void announce_release(void *object);
void announce_acquire(void *object);
void announce_read(const void *memory, std::size_t bytes);
void announce_write(void *memory, std::size_t bytes);

// While one exists, what this thread does is no access of the kernel's.
class unseen_by_tsan {
public:
    unseen_by_tsan();
    ~unseen_by_tsan();
    unseen_by_tsan(const unseen_by_tsan &) = delete;
    unseen_by_tsan &operator=(const unseen_by_tsan &) = delete;
};
#else
struct unseen_by_tsan {
    unseen_by_tsan() {}
};
inline void announce_release(void *) {}
inline void announce_acquire(void *) {}
inline void announce_read(const void *, std::size_t) {}
inline void announce_write(void *, std::size_t) {}
#endif

} // namespace simulator

#endif
