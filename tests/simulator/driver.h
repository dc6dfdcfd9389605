// SPDX-License-Identifier: Apache-2.0
//
// The state behind the driver's entry points. One lock guards all of it; it is let go only while a host function runs.
#ifndef QMM_SIMULATOR_DRIVER_H
#define QMM_SIMULATOR_DRIVER_H

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "driver_api.h"
#include "options.h"

namespace simulator {

struct stream;
struct capture;

// A device and its primary context; the handle of the context is the address of this.
struct device {
    int ordinal;
    unsigned references = 0;
    CUresult sticky = CUDA_SUCCESS;
    std::size_t used = 0;
    unsigned accesses = 0; // for how many pieces of work under way its memory is accessible
    std::shared_ptr<stream> legacy;
    std::map<std::thread::id, std::shared_ptr<stream>> per_thread;
};

struct allocation {
    device *owner;
    std::size_t bytes;
    bool on_host; // pinned
    void *block;  // what to free
};

// Work of a stream. It may run more than once: a graph's does.
struct operation {
    const char *name;
    std::function<CUresult()> run;
};

struct stream {
    simulator::device *device;
    bool waits_for_legacy; // a "blocking" stream
    std::deque<operation> queue;
    uint64_t queued = 0, done = 0; // operations, ever
    bool draining = false;         // by some thread
    std::shared_ptr<simulator::capture> capture;
};

struct event {
    simulator::device *device;
    bool has_time;
    std::shared_ptr<stream> on; // where it was recorded last, after so many operations
    uint64_t ticket = 0;
    std::chrono::steady_clock::time_point time;
    std::shared_ptr<simulator::capture> captured; // recorded last in this
};

struct capture {
    int mode;
    std::thread::id thread;
    std::shared_ptr<stream> origin;
    bool invalid = false;
    std::vector<operation> operations;
    // Streams that an event brought in: whether the origin has waited for all they did.
    std::map<std::shared_ptr<stream>, bool> joined;
};

struct module {
    simulator::device *device;
};

struct function {
    simulator::module *module;
    const simulator::kernel *kernel;
    int max_dynamic_bytes = 48 << 10;
};

struct graph {
    std::vector<operation> operations;
};

template <typename T>
using table = std::unordered_map<void *, std::shared_ptr<T>>; // by handle

class driver {
public:
    static driver &one();

    options set;
    counters count;
    bool initialized = false;
    std::vector<std::unique_ptr<device>> devices;
    std::map<uintptr_t, allocation> allocations;
    table<stream> streams;
    table<event> events;
    table<module> modules;
    table<function> functions;
    table<graph> graphs, executables;
    std::vector<std::weak_ptr<capture>> captures;
    uint64_t launches = 0;

    std::mutex lock;
    std::condition_variable drained;

    // The context of the calling thread; null if there is none.
    static std::vector<device *> &contexts();
    device *current() const { return contexts().empty() ? nullptr : contexts().back(); }

    device *device_of(CUcontext) const;
    device *device_of(CUdevice) const;

    // memory.cpp
    CUresult allocate(device &, std::size_t bytes, bool on_host, void **memory);
    CUresult release(device &, void *memory, bool on_host);
    const allocation *find(const void *address, std::size_t bytes, bool on_host) const;
    void check_guards(device &);
    void let_access(device &, bool allowed);
    bool names_host_memory(const void *arguments, std::size_t bytes, std::size_t *offset) const;

    // stream.cpp
    CUresult stream_of(CUstream, std::shared_ptr<stream> *);
    CUresult enqueue(const std::shared_ptr<stream> &, operation);
    void drain(const std::shared_ptr<stream> &, uint64_t ticket);
    void drain_all(device &);
    void fail(device &, CUresult); // sticky: nothing that is queued runs any more
    CUresult unsafe_call();        // a call that no thread may make during certain captures
    void destroy_context(device &);

    // Says on standard error, and to qmm_simulator_report, what went wrong.
    void report(const std::string &text);
    std::string last_report;

    // The failure that the n-th call of a kind is to have; counts down.
    bool fails_now(long long &option);

private:
    driver();
};

bool is_sticky(CUresult);

enum need : unsigned {
    needs_nothing = 0,
    needs_init = 1,
    needs_context = 2,      // current, not destroyed, and not failed
    ends_something = 4,     // done even after a sticky error, which is still what it gives
    is_unsafe_in_capture = 8
};

// What every entry point does first and last.
CUresult enter(unsigned needs, const std::function<CUresult(driver &)> &body);

// Set while a host function runs: it may not call the driver.
extern thread_local bool inside_host_function;
extern thread_local std::unique_lock<std::mutex> *held_lock;

} // namespace simulator

#endif
