// SPDX-License-Identifier: Apache-2.0
#include "launch.h"

#include <pthread.h>

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include "block.h"

namespace simulator {

namespace {

const kernel *first_kernel; // the list that the registrations make; zero before any of them runs

// ---- which cluster comes when ---------------------------------------------------------------------------------------

uint64_t greatest_common_divisor(uint64_t a, uint64_t b) {
    while (b) {
        const uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

// index -> (index * factor + shift) mod clusters: another order for each launch, without a table. The clusters of most
// kernels are of one block.
class cluster_order {
public:
    cluster_order(const launch &l) : clusters(l.blocks / l.kernel->cluster), order(l.how.order) {
        random_numbers random(l.how.seed + l.number);
        shift = random.next() % clusters;
        do factor = random.next() % clusters;
        while (greatest_common_divisor(factor, clusters) != 1);
    }

    uint64_t count() const { return clusters; }

    uint64_t operator[](uint64_t index) const {
        if (order == order::forward) return index;
        if (order == order::reverse) return clusters - 1 - index;
        return (index * factor + shift) % clusters; // clusters < 2^31: no overflow
    }

private:
    uint64_t clusters, factor, shift;
    simulator::order order;
};

struct share {
    explicit share(launch &l) : what(l), clusters(l) {}

    launch &what;
    cluster_order clusters;
    std::atomic<uint64_t> next{0};

    void work() {
        worker &w = worker::of_this_thread();
        w.begin(what);
        for (;;) {
            const uint64_t index = next++;
            if (index >= clusters.count() || what.failed) break;
            w.run_cluster(clusters[index]);
        }
        w.end();
    }
};

// ---- the other cores ------------------------------------------------------------------------------------------------

// Threads are made when first needed, and joined when the library goes.
class pool {
public:
    ~pool() {
        {
            const std::lock_guard<std::mutex> lock(mutex);
            stop = true;
        }
        changed.notify_all();
        for (std::thread &t : threads) t.join();
    }

    void help(share &s, unsigned helpers) {
        std::unique_lock<std::mutex> lock(mutex);
        while (threads.size() < helpers) threads.emplace_back([this] { serve(); });
        current = &s;
        wanted = helpers;
        lock.unlock();
        changed.notify_all();
        s.work();
        lock.lock();
        wanted = 0; // who has not begun need not
        finished.wait(lock, [this] { return busy == 0; });
        current = nullptr;
    }

private:
    void serve() {
        std::unique_lock<std::mutex> lock(mutex);
        for (;;) {
            changed.wait(lock, [this] { return stop || wanted > 0; });
            if (stop) return;
            wanted--;
            busy++;
            share &s = *current;
            lock.unlock();
            s.work();
            lock.lock();
            if (--busy == 0) finished.notify_all();
        }
    }

    std::mutex mutex;
    std::condition_variable changed, finished;
    std::vector<std::thread> threads;
    share *current = nullptr;
    unsigned wanted = 0, busy = 0;
    bool stop = false;
};

std::mutex pool_lock; // launches take turns
std::unique_ptr<pool> helpers;

// The threads of a process are not copied by fork.
void after_fork_in_child() {
    static_cast<void>(helpers.release());
    new (&pool_lock) std::mutex;
}

unsigned cores() {
    static const unsigned n = std::max(1u, std::thread::hardware_concurrency());
    return n;
}

} // namespace

kernel::kernel(const char *n, unsigned threads, unsigned blocks, unsigned together, std::size_t bytes,
               void (*function)(const void *)) noexcept
: name(n), max_threads(threads), resident(blocks), cluster(together), argument_bytes(bytes), run(function),
  next(first_kernel) {
    first_kernel = this;
}

const kernel *find_kernel(const char *name) {
    for (const kernel *k = first_kernel; k; k = k->next)
        if (std::strcmp(k->name, name) == 0) return k;
    return nullptr;
}

void launch::fail(int code, const std::string &text) {
    const std::lock_guard<std::mutex> lock(error_lock);
    if (error == 0) {
        error = code;
        report = text;
    }
    failed = true;
}

// A launch begins on this thread; the others are woken where its first blocks show that they are worth it.
void run(launch &l) {
    const std::lock_guard<std::mutex> lock(pool_lock);
    const faults_named named;
    share s(l);
    const unsigned workers = l.how.workers ? l.how.workers : cores();
    const auto start = std::chrono::steady_clock::now();
    worker &w = worker::of_this_thread();
    w.begin(l);
    bool worth_it = false;
    while (!l.failed && !worth_it) {
        const uint64_t index = s.next++;
        if (index >= s.clusters.count()) break;
        w.run_cluster(s.clusters[index]);
        worth_it = workers > 1 && s.clusters.count() - index > 1 &&
                   std::chrono::steady_clock::now() - start > std::chrono::microseconds(50);
    }
    w.end();
    if (worth_it && !l.failed) {
        if (!helpers) {
            helpers = std::make_unique<pool>();
            static const int registered = pthread_atfork(nullptr, nullptr, after_fork_in_child);
            static_cast<void>(registered);
        }
        helpers->help(s, workers - 1);
    }
}

} // namespace simulator
