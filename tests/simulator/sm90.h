// SPDX-License-Identifier: Apache-2.0
//
// What the instructions of sm_90 keep that go on while a kernel's threads do other things: clusters and barriers
// (barriers.cpp), the copy engine (tma.cpp), wgmma (wgmma.cpp). All of it is of the cluster that runs, and forgotten
// with it. A cluster whose kernel has none of these instructions does not come to have any of this.
//
// Each does what it does as late as it may. A load is complete at some scheduling point after it was issued, drawn
// anew; what a store or a wgmma reads is read when somebody waits for it. Until then targets hold noise.
#ifndef QMM_SIMULATOR_SM90_H
#define QMM_SIMULATOR_SM90_H

#include <memory>
#include <vector>

#include "fiber.h"
#include "launch.h"
#include "tile_map.h"

namespace simulator {

struct block;
struct thread;
class worker;

// ---- barriers -------------------------------------------------------------------------------------------------------

// PTX ISA, "Parallel Synchronization and Communication Instructions: mbarrier". The 64 bits in shared memory hold no
// more than which of these it is.
struct mbarrier {
    uint64_t *at;
    block *home;
    unsigned maker; // number of the thread that initialized it
    place made;
    bool fenced;                               // since then, by that thread
    bool released;                             // at the cluster's barrier
    uint64_t block_barriers, cluster_barriers; // that were passed when it was initialized
    uint32_t count, pending;                   // arrivals of a phase; that are still to come in this one
    int64_t bytes;  // tx-count: expected and not come; negative where they come before they are expected
    uint64_t phase; // that is under way
    uint64_t seen;  // phases before this one have been waited for
    bool loads;     // bytes come in this phase
    bool unseen;    // bytes came, and nobody has waited for them
    bool remote;    // a thread of another block has arrived: last in this phase, after so many cluster barriers
    uint64_t remote_phase, remote_barriers;
    std::vector<thread *> waiting; // for the end of this phase
    char clocks[2]; // what ThreadSanitizer knows its phases by
};

struct named_barrier {
    unsigned threads; // that it waits for
    std::vector<thread *> waiting;
    place where; // of the first
    unsigned phase = 0;
    char clocks[2];
};

struct cluster_barrier {
    unsigned arrived = 0;
    uint64_t passed = 0;
    place where = {}; // of the last that arrived
    std::vector<thread *> waiting;
    char clocks[2];
};

// ---- the copy engine ------------------------------------------------------------------------------------------------

// The box of a map at a place of its tensor.
struct tile_box {
    tile_map map;
    int at[3];
};

struct tma_load {
    tile_box source;
    block *home;
    unsigned char *target;
    std::size_t bytes;
    mbarrier *barrier;
    place where;
};

struct tma_store {
    tile_box target;
    const unsigned char *source;
    std::size_t bytes;
    uint64_t checksum; // of the source, when it was issued
    uint64_t group;
    place where;
};

// ---- wgmma ----------------------------------------------------------------------------------------------------------

// The 16 rows of a warp in a product of 64, while its registers are not to be touched.
struct accumulators {
    bool used = false;
    unsigned n = 0, users = 0; // operations that are not done
    uint32_t lanes = 0;        // that have come to the first of these
    int *d[32];
    int noise = 0; // what d holds meanwhile
    std::vector<uint32_t> values; // 16 rows of n
};

struct wgmma_operation {
    wgmma_shape shape;
    uint64_t a, b; // descriptors
    bool accumulate;
    place where;

    bool operator==(const wgmma_operation &other) const {
        return shape.n == other.shape.n && shape.a_signed == other.shape.a_signed &&
               shape.b_signed == other.shape.b_signed && a == other.a && b == other.b &&
               accumulate == other.accumulate && where.line == other.where.line && where.file == other.where.file;
    }
};

// One that a warp has issued.
struct wgmma_issue {
    wgmma_operation what;
    uint64_t group;
    accumulators *into;
};

// One that some warps of a warpgroup have issued, and others are still to.
struct wgmma_part {
    wgmma_operation what;
    unsigned warps;
};

struct sm90_warp {
    std::vector<wgmma_issue> issued; // and not done
    uint64_t done = 0;
    std::vector<std::unique_ptr<accumulators>> pool;
    unsigned registers = 0; // a thread's, as setmaxnreg has set them; 0: as launched
};

struct sm90_warpgroup {
    std::vector<wgmma_part> parts;
    uint64_t first_part = 0;
};

inline bool overlap(const unsigned char *a, std::size_t a_bytes, const unsigned char *b, std::size_t b_bytes) {
    return a < b + b_bytes && b < a + a_bytes;
}

// What is kept here is no memory of the kernel's.
template <typename T>
void append(std::vector<T> &list, const T &what) {
    const unseen_by_tsan unseen;
    list.push_back(what);
}

template <typename T>
void remove(std::vector<T> &list, std::size_t first, std::size_t count) {
    const unseen_by_tsan unseen;
    const auto from = list.begin() + (std::ptrdiff_t)first;
    list.erase(from, from + (std::ptrdiff_t)count);
}

// ---- all of it ------------------------------------------------------------------------------------------------------

struct sm90_thread {
    place waits_at = {}; // an mbarrier, if it does
    bool has_mbarriers = false; // that it has initialized
    bool at_cluster_barrier = false; // has arrived there, and not waited
    uint64_t cluster_phase = 0;
    place cluster_place = {};
    bool fenced_proxy = false;
    std::vector<tma_store> stores; // that still read shared memory
    uint64_t open_store_group = 0;
    bool fenced_wgmma = false;
    uint64_t wgmmas = 0, open_wgmma_group = 0;
};

struct sm90_block {
    std::vector<std::unique_ptr<mbarrier>> mbarriers; // a pool
    std::size_t mbarrier_count = 0;
    named_barrier named[16];
    std::vector<sm90_warpgroup> warpgroups;
};

class sm90 {
public:
    bool is_used() const { return used; }
    sm90 &use(worker &);
    void clear();

    // For the scheduler: whether something may happen by itself, and to let it. It must if no thread can go on.
    bool has_work() const { return !loads.empty(); }
    void progress(worker &);
    void check_end(worker &); // the running thread has ended, and perhaps its block
    void describe_waiting(worker &, char *text, std::size_t bytes) const; // for the report of a deadlock

    std::vector<sm90_thread> threads; // by number
    std::vector<sm90_warp> warps;     // block by block
    std::vector<sm90_block> blocks;
    simulator::cluster_barrier cluster;
    std::vector<tma_load> loads; // under way

    sm90_thread &of(const thread &);
    sm90_warp &warp_of(const thread &);
    sm90_block &of(const block &);

private:
    bool used = false;
    unsigned block_warps = 0;
};

// For messages. No string, because a thread that fails never comes back to destroy it; nor anything that is static,
// because there is little room for that in a library that is loaded late.
struct short_text {
    char text[96];
};

// What the files of this header share. name: the instruction, for reports.
void require_sm90(worker &, const char *name, place);
void require_sm90a(worker &, const char *name, place);
mbarrier &find_mbarrier(worker &, unsigned rank, uint64_t *at, const char *name, place);
void require_visible(worker &, const mbarrier &, const char *name, place); // to the cluster or to the copy engine
void complete_bytes(worker &, mbarrier &, std::size_t bytes);
short_text name_of(const block &, const void *address); // array and byte
void complete_load(worker &, const tma_load &);
const wgmma_issue *wgmma_that_reads(worker &, const block &, const unsigned char *start, std::size_t bytes);
void check_end_of_wgmma(worker &);
void check_end_of_block_wgmma(worker &);
void check_end_of_tma(worker &);
void check_registers(worker &);
const char *text_of(place); // of the last four

} // namespace simulator

#endif
