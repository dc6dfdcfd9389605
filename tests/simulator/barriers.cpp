// SPDX-License-Identifier: Apache-2.0
//
// What threads of sm_90 wait at, from the PTX ISA manual: "Parallel Synchronization and Communication Instructions"
// (bar, barrier.cluster, mbarrier), "Miscellaneous Instructions: setmaxnreg"; and what ends with a thread or a block.
#include "block.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>

#include "driver_api.h"

namespace simulator {

namespace {

// In the upper half of an mbarrier's word; below, which one it is.
constexpr uint64_t mbarrier_mark = 0x6d626172ull << 32;

constexpr int64_t most_bytes = (1 << 20) - 1; // of a tx-count

void release_all(worker &w, std::vector<thread *> &waiting) {
    for (thread *t : waiting) w.make_ready(*t);
    waiting.clear();
}

} // namespace

// ---- sm90 -----------------------------------------------------------------------------------------------------------

sm90 &sm90::use(worker &w) {
    const unseen_by_tsan unseen;
    used = true;
    block_warps = (w.what().threads + 31) / 32;
    blocks.resize(w.cluster().size());
    threads.resize(w.all_threads().size());
    warps.resize(blocks.size() * block_warps);
    for (sm90_block &b : blocks) b.warpgroups.resize((block_warps + 3) / 4);
    return *this;
}

// What takes memory keeps it for the next cluster.
void sm90::clear() {
    const unseen_by_tsan unseen;
    used = false;
    for (sm90_thread &t : threads) {
        std::vector<tma_store> stores = std::move(t.stores);
        stores.clear();
        t = {};
        t.stores = std::move(stores);
    }
    for (sm90_warp &w : warps) {
        w.issued.clear();
        w.done = 0;
        w.registers = 0;
        for (const auto &a : w.pool) a->used = false;
    }
    for (sm90_block &b : blocks) {
        b.mbarrier_count = 0;
        for (named_barrier &n : b.named) n.waiting.clear();
        for (sm90_warpgroup &g : b.warpgroups) {
            g.parts.clear();
            g.first_part = 0;
        }
    }
    cluster.arrived = 0;
    cluster.passed = 0;
    cluster.waiting.clear();
    loads.clear();
}

sm90_thread &sm90::of(const thread &t) {
    return threads[t.number];
}

sm90_warp &sm90::warp_of(const thread &t) {
    return warps[t.home->rank * block_warps + t.index / 32];
}

sm90_block &sm90::of(const block &b) {
    return blocks[b.rank];
}

void sm90::progress(worker &w) {
    while (!loads.empty()) {
        if (w.anybody_can_go_on() && (w.how().order != order::random || w.random().below(4) != 0)) return;
        const std::size_t chosen = w.how().order == order::random ? w.random().below((unsigned)loads.size())
                                   : w.how().order == order::forward ? 0
                                                                     : loads.size() - 1;
        const unseen_by_tsan unseen;
        const tma_load load = loads[chosen];
        remove(loads, chosen, 1);
        complete_load(w, load);
    }
}

void require_sm90(worker &w, const char *name, place where) {
    if (w.how().capability < 90)
        w.fail(CUDA_ERROR_ILLEGAL_INSTRUCTION, name, where, "illegal instruction: it needs sm_90, this is sm_%d",
               w.how().capability);
}

void require_sm90a(worker &w, const char *name, place where) {
    if (w.how().capability != 90)
        w.fail(CUDA_ERROR_ILLEGAL_INSTRUCTION, name, where, "illegal instruction: it needs sm_90a, this is sm_%d",
               w.how().capability);
}

short_text name_of(const block &b, const void *address) {
    short_text name;
    const unsigned char *const at = static_cast<const unsigned char *>(address);
    std::snprintf(name.text, sizeof name.text, "%p", address);
    for (const shared_block &s : b.shared_blocks)
        if (at >= s.start && at < s.start + s.bytes)
            std::snprintf(name.text, sizeof name.text, "%s, byte %zu", s.name(), (std::size_t)(at - s.start));
    return name;
}

// ---- mbarriers ------------------------------------------------------------------------------------------------------

namespace {

void require_place(worker &w, uint64_t *barrier, const char *name, place where) {
    require_sm90(w, name, where);
    require_alignment(name, barrier, 8, where);
    if (!w.is_shared(barrier, 8))
        w.fail(CUDA_ERROR_ILLEGAL_ADDRESS, name, where, "the barrier at %p is not inside one array of shared memory",
               static_cast<void *>(barrier));
}

// The barrier whose place this is, though its word may have changed.
mbarrier *made_at(sm90_block &b, const uint64_t *at) {
    for (std::size_t i = 0; i < b.mbarrier_count; i++)
        if (b.mbarriers[i]->at == at) return b.mbarriers[i].get();
    return nullptr;
}

// A thread knows of an initialization once a barrier of its block, or of the cluster, lies between.
void require_barrier_since(worker &w, const mbarrier &b, const char *name, place where) {
    const thread &t = w.thread();
    const bool same_block = t.home == b.home;
    if (t.number == b.maker || (same_block && b.home->barriers_passed > b.block_barriers)) return;
    if (w.async().cluster.passed > b.cluster_barriers) {
        if (!b.released) require_visible(w, b, name, where);
        return;
    }
    w.fail(CUDA_ERROR_LAUNCH_FAILED, name, where,
           "no barrier of the %s since the mbarrier (%s) was initialized (%s), so this thread cannot rely on it",
           same_block ? "block" : "cluster", name_of(*b.home, b.at).text, text_of(b.made));
}

void end_phase_if_due(worker &w, mbarrier &b) {
    if (b.pending != 0 || b.bytes != 0) return;
    b.phase++;
    b.pending = b.count;
    b.unseen = b.unseen || b.loads;
    b.loads = false;
    release_all(w, b.waiting);
}

void arrive(worker &w, mbarrier &b, const char *name, place where) {
    if (b.pending == 0)
        w.fail(CUDA_ERROR_LAUNCH_FAILED, name, where,
               "more arrivals in phase %llu than the %u of the mbarrier (%s, initialized at %s)",
               (unsigned long long)b.phase, b.count, name_of(*b.home, b.at).text, text_of(b.made));
    announce_release(&b.clocks[b.phase & 1]);
    b.pending--;
    end_phase_if_due(w, b);
}

} // namespace

mbarrier &find_mbarrier(worker &w, unsigned rank, uint64_t *at, const char *name, place where) {
    block &home = w.cluster()[rank];
    sm90_block &b = w.async().of(home);
    const uint64_t number = *at ^ mbarrier_mark;
    if (number < b.mbarrier_count && b.mbarriers[number]->at == at) {
        require_barrier_since(w, *b.mbarriers[number], name, where);
        return *b.mbarriers[number];
    }
    if (const mbarrier *const lost = made_at(b, at))
        w.fail(CUDA_ERROR_LAUNCH_FAILED, name, where, "the mbarrier (%s, initialized at %s) was overwritten",
               name_of(home, at).text, text_of(lost->made));
    w.fail(CUDA_ERROR_LAUNCH_FAILED, name, where, "the mbarrier (%s, of block %llu) is not initialized",
           name_of(home, at).text, (unsigned long long)home.index);
}

void require_visible(worker &w, const mbarrier &b, const char *name, place where) {
    if (!b.fenced)
        w.fail(CUDA_ERROR_LAUNCH_FAILED, name, where,
               "missing fence: nothing shows the initialization of the mbarrier (%s, %s) to the copy engine or to the "
               "cluster (fence.mbarrier_init)",
               name_of(*b.home, b.at).text, text_of(b.made));
}

void complete_bytes(worker &w, mbarrier &b, std::size_t bytes) {
    b.bytes -= (int64_t)bytes;
    b.loads = true;
    end_phase_if_due(w, b);
}

void mbarrier_init(uint64_t *barrier, uint32_t count, place where) {
    const char *const name = "mbarrier.init";
    worker &w = worker::here();
    require_place(w, barrier, name, where);
    if (count < 1 || count > most_bytes)
        w.fail(CUDA_ERROR_LAUNCH_FAILED, name, where, "a count of %u is not 1 to 2^20 - 1", count);
    block &home = *w.thread().home;
    sm90_block &b = w.async().of(home);
    if (const mbarrier *const before = made_at(b, barrier))
        w.fail(CUDA_ERROR_LAUNCH_FAILED, name, where, "the mbarrier (%s) is initialized already (%s)",
               name_of(home, barrier).text, text_of(before->made));
    if (b.mbarrier_count == b.mbarriers.size()) {
        const unseen_by_tsan unseen;
        b.mbarriers.push_back(std::make_unique<mbarrier>());
    }
    mbarrier &m = *b.mbarriers[b.mbarrier_count];
    m.at = barrier;
    m.home = &home;
    m.maker = w.thread().number;
    m.made = where;
    w.async().of(w.thread()).has_mbarriers = true;
    m.fenced = m.released = m.remote = m.loads = m.unseen = false;
    m.block_barriers = home.barriers_passed;
    m.cluster_barriers = w.async().cluster.passed;
    m.count = m.pending = count;
    m.bytes = 0;
    m.phase = m.seen = 0;
    m.waiting.clear();
    *barrier = mbarrier_mark | b.mbarrier_count++;
}

void fence_mbarrier_init(place where) {
    worker &w = worker::here();
    require_sm90(w, "fence.mbarrier_init", where);
    sm90_block &b = w.async().of(*w.thread().home);
    for (std::size_t i = 0; i < b.mbarrier_count; i++)
        if (b.mbarriers[i]->maker == w.thread().number) b.mbarriers[i]->fenced = true;
}

void mbarrier_arrive(uint64_t *barrier, place where) {
    const char *const name = "mbarrier.arrive";
    worker &w = worker::here();
    require_place(w, barrier, name, where);
    arrive(w, find_mbarrier(w, w.thread().home->rank, barrier, name, where), name, where);
}

void mbarrier_arrive_expect_tx(uint64_t *barrier, uint32_t bytes, place where) {
    const char *const name = "mbarrier.arrive.expect_tx";
    worker &w = worker::here();
    require_place(w, barrier, name, where);
    mbarrier &b = find_mbarrier(w, w.thread().home->rank, barrier, name, where);
    b.bytes += bytes;
    if (b.bytes > most_bytes)
        w.fail(CUDA_ERROR_LAUNCH_FAILED, name, where, "%lld bytes are more than an mbarrier counts",
               (long long)b.bytes);
    arrive(w, b, name, where);
}

void mbarrier_arrive_cluster(uint64_t *barrier, uint32_t rank, place where) {
    const char *const name = "mbarrier.arrive.shared::cluster";
    worker &w = worker::here();
    require_place(w, barrier, name, where);
    if (rank >= w.cluster().size())
        w.fail(CUDA_ERROR_LAUNCH_FAILED, name, where, "there is no block %u in a cluster of %zu", rank,
               w.cluster().size());
    const block &there = w.cluster()[rank];
    if (there.exited == w.what().threads)
        w.fail(CUDA_ERROR_LAUNCH_FAILED, name, where, "block %llu of the cluster has ended, and its memory with it",
               (unsigned long long)there.index);
    uint64_t *const at = reinterpret_cast<uint64_t *>(w.in_block(rank, barrier));
    mbarrier &b = find_mbarrier(w, rank, at, name, where);
    if (b.home != w.thread().home) {
        require_visible(w, b, name, where);
        b.remote = true;
        b.remote_phase = b.phase;
        b.remote_barriers = w.async().cluster.passed;
    }
    arrive(w, b, name, where);
}

// A thread that has to wait does so until the phase ends; now and then, as on a device, no more than a while.
bool mbarrier_try_wait(uint64_t *barrier, uint32_t parity, place where) {
    const char *const name = "mbarrier.try_wait";
    worker &w = worker::here();
    require_place(w, barrier, name, where);
    if (parity > 1) w.fail(CUDA_ERROR_LAUNCH_FAILED, name, where, "%u is no parity", parity);
    mbarrier &b = find_mbarrier(w, w.thread().home->rank, barrier, name, where);
    if ((b.phase & 1) == parity) {
        if (w.how().order == order::random && w.random().below(8) == 0) {
            w.yield();
            if ((b.phase & 1) == parity) return false;
        } else {
            const uint64_t phase = b.phase;
            w.async().of(w.thread()).waits_at = where;
            append(b.waiting, &w.thread());
            w.suspend();
            if (b.phase != phase + 1)
                w.fail(CUDA_ERROR_LAUNCH_FAILED, name, where,
                       "the mbarrier (%s) went on to phase %llu before this thread has seen the end of phase %llu",
                       name_of(*b.home, b.at).text, (unsigned long long)b.phase, (unsigned long long)phase);
        }
    }
    announce_acquire(&b.clocks[(b.phase - 1) & 1]);
    b.unseen = false;
    b.seen = b.phase;
    return true;
}

// ---- named barriers -------------------------------------------------------------------------------------------------

namespace {

// All lanes of a warp take part, at one place: bar.sync is for whole warps.
void require_whole_warps(worker &w, const named_barrier &b, const char *name, place where) {
    uint32_t lanes[32] = {};
    for (const thread *t : b.waiting) lanes[t->index / 32] |= 1u << t->index % 32;
    for (unsigned i = 0; i < 32; i++)
        if (lanes[i] != 0 && lanes[i] != ~0u)
            w.fail(CUDA_ERROR_LAUNCH_FAILED, name, where, "divergence: of warp %u only the lanes %08x have come", i,
                   lanes[i]);
}

} // namespace

void barrier_sync(int barrier, int threads, place where) {
    const char *const name = "bar.sync";
    worker &w = worker::here();
    const thread &self = w.thread();
    if (barrier < 0 || barrier > 15)
        w.fail(CUDA_ERROR_LAUNCH_FAILED, name, where, "there is no barrier %d", barrier);
    if (barrier == 0) w.fail(CUDA_ERROR_LAUNCH_FAILED, name, where, "barrier 0 is that of __syncthreads");
    if (threads < 32 || threads % 32 != 0 || (unsigned)threads > w.what().threads)
        w.fail(CUDA_ERROR_LAUNCH_FAILED, name, where, "%d is no number of threads of whole warps of a block of %u",
               threads, w.what().threads);
    named_barrier &b = w.async().of(*self.home).named[barrier];
    if (b.waiting.empty()) {
        b.threads = (unsigned)threads;
        b.where = where;
    }
    if (b.threads != (unsigned)threads)
        w.fail(CUDA_ERROR_LAUNCH_FAILED, name, where, "barrier %d waits for %u threads at %s, and here for %d", barrier,
               b.threads, text_of(b.where), threads);
    const unsigned phase = b.phase;
    announce_release(&b.clocks[phase]);
    append(b.waiting, &w.thread());
    if (b.waiting.size() == b.threads) {
        require_whole_warps(w, b, name, where);
        b.phase ^= 1;
        release_all(w, b.waiting);
    }
    w.suspend();
    announce_acquire(&b.clocks[phase]);
}

// ---- clusters -------------------------------------------------------------------------------------------------------

uint32_t cluster_rank(place where) {
    worker &w = worker::here();
    require_sm90(w, "%cluster_ctarank", where);
    return w.thread().home->rank;
}

namespace {

// What the thread has initialized is known where its arrival at the cluster's barrier is.
void release_mbarriers(worker &w) {
    const thread &t = w.thread();
    sm90_block &b = w.async().of(*t.home);
    if (!w.async().of(t).has_mbarriers) return;
    for (std::size_t i = 0; i < b.mbarrier_count; i++)
        if (b.mbarriers[i]->maker == t.number) b.mbarriers[i]->released = true;
}

} // namespace

void cluster_arrive(bool releases, place where) {
    const char *const name = releases ? "barrier.cluster.arrive" : "barrier.cluster.arrive.relaxed";
    worker &w = worker::here();
    require_sm90(w, name, where);
    cluster_barrier &c = w.async().cluster;
    sm90_thread &self = w.async().of(w.thread());
    if (self.at_cluster_barrier)
        w.fail(CUDA_ERROR_LAUNCH_FAILED, name, where, "the thread has arrived before (%s), and not waited",
               text_of(self.cluster_place));
    for (const block &b : w.cluster())
        if (b.exited > 0)
            w.fail(CUDA_ERROR_LAUNCH_FAILED, name, where, "%u threads of block %llu have ended and will not arrive",
                   b.exited, (unsigned long long)b.index);
    self.at_cluster_barrier = true;
    self.cluster_phase = c.passed;
    self.cluster_place = c.where = where;
    if (releases) {
        release_mbarriers(w);
        announce_release(&c.clocks[c.passed & 1]);
    }
    if (++c.arrived < w.all_threads().size()) return;
    c.arrived = 0;
    c.passed++;
    release_all(w, c.waiting);
}

void cluster_wait(place where) {
    const char *const name = "barrier.cluster.wait";
    worker &w = worker::here();
    require_sm90(w, name, where);
    cluster_barrier &c = w.async().cluster;
    sm90_thread &self = w.async().of(w.thread());
    if (!self.at_cluster_barrier)
        w.fail(CUDA_ERROR_LAUNCH_FAILED, name, where, "the thread waits at the cluster's barrier without an arrival");
    if (c.passed == self.cluster_phase) {
        append(c.waiting, &w.thread());
        w.suspend();
    }
    self.at_cluster_barrier = false;
    announce_acquire(&c.clocks[self.cluster_phase & 1]);
}

// ---- registers ------------------------------------------------------------------------------------------------------

namespace {

struct setmaxnreg_arrival : arrival {
    bool increases;
    unsigned registers;
};

// What ptxas may give each thread of a block of the kernel's size.
unsigned registers_at_launch(const worker &w) {
    const kernel &k = *w.what().kernel;
    const unsigned warps = (k.max_threads + 31) / 32;
    return std::min(255u, 65536u / (32 * warps * k.resident)) / 8 * 8;
}

void complete_setmaxnreg(arrival *const lanes[32], uint32_t) {
    worker &w = worker::here();
    const setmaxnreg_arrival &a = *static_cast<setmaxnreg_arrival *>(lanes[0]);
    sm90_warp &warp = w.async().warp_of(w.thread());
    const unsigned before = warp.registers ? warp.registers : registers_at_launch(w);
    if (a.increases ? a.registers < before : a.registers > before)
        w.fail(CUDA_ERROR_LAUNCH_FAILED, a.name, a.where, "from %u registers to %u is the wrong way", before,
               a.registers);
    warp.registers = a.registers;
}

} // namespace

void setmaxnreg(bool increases, unsigned registers, place where) {
    worker &w = worker::here();
    setmaxnreg_arrival a;
    a.name = increases ? "setmaxnreg.inc" : "setmaxnreg.dec";
    require_sm90a(w, a.name, where);
    a.mask = ~0u;
    a.where = where;
    a.complete = complete_setmaxnreg;
    a.increases = increases;
    a.registers = registers;
    w.async();
    w.collect(a);
}

// A block that asks for more registers than it was launched with waits for ever; here it is told in the end.
void check_registers(worker &w) {
    const unsigned first = registers_at_launch(w), warps = (w.what().threads + 31) / 32;
    const sm90_warp *const own = &w.async().warp_of(w.thread().home->threads[0]);
    unsigned total = 0;
    for (unsigned i = 0; i < warps; i++) {
        const unsigned registers = own[i].registers;
        total += registers ? registers : first;
        if (registers != own[i / 4 * 4].registers)
            w.fail(CUDA_ERROR_LAUNCH_FAILED, "setmaxnreg", {},
                   "the warps of warpgroup %u have set different numbers of registers", i / 4);
    }
    if (total > first * warps)
        w.fail(CUDA_ERROR_LAUNCH_FAILED, "setmaxnreg", {},
               "the block has asked for %u registers, and was launched with %u", total * 32, first * warps * 32);
}

// ---- ends, and deadlocks --------------------------------------------------------------------------------------------

namespace {

// What came to the block from elsewhere must have been waited for: it might come after the end of the block as well.
void check_end_of_block(worker &w, sm90_block &b) {
    for (std::size_t i = 0; i < b.mbarrier_count; i++) {
        const mbarrier &m = *b.mbarriers[i];
        const bool arrival = m.remote && m.seen <= m.remote_phase && w.async().cluster.passed <= m.remote_barriers;
        if (m.unseen || m.loads || arrival)
            w.fail(CUDA_ERROR_LAUNCH_FAILED, nullptr, {},
                   "was the block's last, and nobody has waited for %s that came at the mbarrier (%s, initialized at "
                   "%s)",
                   arrival ? "an arrival from another block" : "bytes", name_of(*m.home, m.at).text, text_of(m.made));
    }
    for (const tma_load &load : w.async().loads)
        if (load.home == w.thread().home)
            w.fail(CUDA_ERROR_LAUNCH_FAILED, nullptr, {},
                   "was the block's last, while a load (%s) into its memory is under way", text_of(load.where));
    check_end_of_block_wgmma(w);
    check_registers(w);
}

// Up to so many lines about waiting threads: a report is not endless.
class waiting_text {
public:
    explicit waiting_text(char *to, std::size_t bytes) : at(to), left(bytes) { *to = '\0'; }

    void add(const char *format, ...) __attribute__((format(printf, 2, 3))) {
        va_list arguments;
        va_start(arguments, format);
        const int length = std::vsnprintf(at, left, format, arguments);
        va_end(arguments);
        const std::size_t used = std::min((std::size_t)length, left - 1);
        at += used;
        left -= used;
    }

private:
    char *at;
    std::size_t left;
};

} // namespace

void sm90::check_end(worker &w) {
    const thread &t = w.thread();
    const sm90_thread &self = of(t);
    if (self.at_cluster_barrier)
        w.fail(CUDA_ERROR_LAUNCH_FAILED, nullptr, {},
               "has ended between its arrival at the cluster's barrier (%s) and the wait", text_of(self.cluster_place));
    if (cluster.arrived > 0)
        w.fail(CUDA_ERROR_LAUNCH_FAILED, nullptr, {},
               "has ended, while %u threads have arrived at the cluster's barrier (%s) and it has not", cluster.arrived,
               text_of(cluster.where));
    check_end_of_tma(w);
    check_end_of_wgmma(w);
    if (t.home->exited == w.what().threads) check_end_of_block(w, of(*t.home));
}

void sm90::describe_waiting(worker &w, char *text, std::size_t bytes) const {
    waiting_text out(text, bytes);
    for (const block &home : w.cluster()) {
        const sm90_block &b = blocks[home.rank];
        for (std::size_t i = 0; i < b.mbarrier_count; i++) {
            const mbarrier &m = *b.mbarriers[i];
            if (m.waiting.empty()) continue;
            const thread &first = *m.waiting[0];
            out.add("; block %llu, thread %u (%zu threads in all) waits at %s for the end of phase %llu of the "
                    "mbarrier (%s, initialized at %s): %u of %u arrivals and %lld bytes are to come",
                    (unsigned long long)home.index, first.index, m.waiting.size(),
                    text_of(threads[first.number].waits_at), (unsigned long long)m.phase, name_of(home, m.at).text,
                    text_of(m.made), m.pending, m.count, (long long)m.bytes);
        }
        for (unsigned i = 0; i < 16; i++)
            if (!b.named[i].waiting.empty())
                out.add("; block %llu: %zu of %u threads wait at barrier %u (%s)", (unsigned long long)home.index,
                        b.named[i].waiting.size(), b.named[i].threads, i, text_of(b.named[i].where));
    }
    if (cluster.arrived > 0)
        out.add("; %u of %zu threads have arrived at the cluster's barrier (%s)", cluster.arrived, threads.size(),
                text_of(cluster.where));
}

} // namespace simulator
