// SPDX-License-Identifier: Apache-2.0
//
// The threads of one block, or of the blocks of one cluster, as fibers on one OS thread.
//
// A thread runs until it reaches a point where the device may make it wait: a barrier, a collective of its warp. There
// the next one is drawn among all that can go on and all that have not begun, so each such point sees another order,
// and what a kernel leaves to chance comes out differently with each seed. A thread that has ended leaves its fiber to
// one that has not begun: a kernel without barriers runs on one fiber.
#ifndef QMM_SIMULATOR_BLOCK_H
#define QMM_SIMULATOR_BLOCK_H

#include <cfenv>
#include <memory>
#include <vector>

#include "fiber.h"
#include "launch.h"
#include "sm90.h"

namespace simulator {

// A lane that has reached a collective, and waits for the others of its mask. The last one runs it for all.
struct arrival {
    const char *name;
    uint32_t mask;
    place where;
    void (*complete)(arrival *const lanes[32], uint32_t mask);
};

// One cp.async under way.
struct async_copy {
    void *target;
    const void *source;
    uint32_t bytes;
    uint64_t group;
};

struct block;

struct thread {
    unsigned index = 0;  // in its block
    unsigned number = 0; // in its cluster
    block *home = nullptr;
    fiber *on = nullptr;
    bool exited = false;
    std::vector<async_copy> copies;
    uint64_t open_group = 0;
};

struct warp {
    uint32_t lanes = 0;   // that exist
    uint32_t exited = 0, arrived = 0;
    arrival *arrivals[32];
    unsigned phase = 0;
    char clocks[2]; // as barrier_clocks
};

struct shared_block {
    const shared_site *site; // null: the dynamic one
    unsigned char *memory, *start;
    std::size_t bytes;

    const char *name() const { return site ? site->name : "the dynamic array"; }
};

// One of the blocks of a cluster: for most kernels the only one.
struct block {
    uint64_t index = 0; // in the grid
    unsigned rank = 0;  // in the cluster
    thread *threads = nullptr;
    warp *warps = nullptr;
    unsigned waiting_at_barrier = 0, exited = 0;
    place barrier_place = {};
    unsigned barrier_phase = 0;
    uint64_t barriers_passed = 0;
    char barrier_clocks[2]; // what ThreadSanitizer knows the barrier by; of two in turn, since some are still leaving
    std::vector<shared_block> shared_blocks;
    std::size_t static_shared_bytes = 0;
    unsigned char *dynamic_start = nullptr;
};

class random_numbers {
public:
    explicit random_numbers(uint64_t seed = 1) : state(seed * 0x9e3779b97f4a7c15u + 0x632be59bd9b4e019u) { next(); }

    uint64_t next() { // splitmix64
        uint64_t z = state += 0x9e3779b97f4a7c15u;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
        z = (z ^ z >> 27) * 0x94d049bb133111ebu;
        return z ^ z >> 31;
    }

    unsigned below(unsigned bound) { return (unsigned)((next() >> 32) * bound >> 32); }

private:
    uint64_t state;
};

// What one OS thread needs to run blocks; kept from launch to launch.
class worker {
public:
    static worker &of_this_thread();
    ~worker();

    void begin(launch &); // then run_cluster for some clusters, then end
    void run_cluster(uint64_t cluster);
    void end();

    // For the functions of the device: called on a thread's fiber.
    static worker *running_here(); // null where no kernel runs on this OS thread
    static worker &here() { return *running_here(); }
    void synchronize(place);
    void collect(arrival &);
    void synchronize_warp(arrival &);
    void *shared(const shared_site &);
    unsigned char *dynamic_shared() const { return current->home->dynamic_start; }
    bool is_shared(const void *address, std::size_t bytes) const; // of the block
    // The array of shared memory of the running thread's block that these bytes are in; null if in none.
    const shared_block *array_of(const void *address, std::size_t bytes) const;
    // The same place in the shared memory of another block of the cluster.
    unsigned char *in_block(unsigned rank, const void *address);
    [[noreturn]] void fail(int code, const char *name, place, const char *format, ...)
        __attribute__((format(printf, 5, 6)));
    simulator::thread &thread() { return *current; }
    const execution &how() const { return request->how; }
    const launch &what() const { return *request; }
    random_numbers &random() { return numbers; }
    std::string location() const; // which kernel, block and thread is running

    // For what has its own ways of waiting: sm90.h.
    sm90 &async() { return asynchronous.is_used() ? asynchronous : asynchronous.use(*this); }
    std::vector<block> &cluster() { return blocks; }
    std::vector<simulator::thread> &all_threads() { return threads; }
    void make_ready(simulator::thread &); // has been waiting
    void suspend();                       // until somebody makes the running thread ready
    bool anybody_can_go_on() const { return ready + unstarted > 0; }
    void yield();                         // lets others go on

private:
    worker() = default;
    static void fiber_entry();
    [[noreturn]] void run_threads();
    void resume(simulator::thread &); // makes it the one that the builtins speak of
    void wait();
    void go_on(simulator::thread *next);
    simulator::thread *draw();
    void finish();
    fiber &free_fiber();
    [[noreturn]] void report_deadlock();
    [[noreturn]] void abandon();
    std::string location_of(const block &) const;
    void *shared(block &, const shared_site &);
    unsigned char *allocate_shared(block &, const shared_site *, std::size_t bytes, std::size_t alignment);
    void poison_shared(block &);
    void check_guards();
    void release_shared();

    fiber root;
    fiber *running = &root;
    std::vector<std::unique_ptr<fiber>> fibers;
    std::vector<fiber *> idle;
    std::size_t fiber_set = 0; // under ThreadSanitizer: the first fiber of this block's

    launch *request = nullptr;
    std::fenv_t callers_environment;
    std::vector<block> blocks; // of the cluster; the threads and warps of one are side by side
    std::vector<simulator::thread> threads;
    std::vector<warp> warps;
    // Threads that can go on or begin: those of the first `ready` have a fiber, the others have not begun.
    std::vector<simulator::thread *> turns;
    std::size_t ready = 0, unstarted = 0;
    simulator::thread *current = nullptr, *starting = nullptr;
    std::size_t exited = 0; // of all threads
    bool cancelled = false;
    random_numbers numbers;
    sm90 asynchronous;
};

} // namespace simulator

#endif
