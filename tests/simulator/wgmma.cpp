// SPDX-License-Identifier: Apache-2.0
//
// wgmma.mma_async of 8-bit integers, from the PTX ISA manual, "Asynchronous Warpgroup Level Matrix Multiply-Accumulate
// Instructions": "Matrix Descriptor Format", "Shared Memory Matrix Layout" with 128-byte swizzling, K-major, and the
// figure of D for .m64nNk32.
//
// A warp's 16 rows are a product of their own, which is made when the warp waits for it; that the four warps of the
// warpgroup have issued the same is seen to when they do.
#include "block.h"

#include <algorithm>
#include <cstring>

#include "driver_api.h"

#define NOT_SANITIZED __attribute__((no_sanitize("address", "undefined")))

namespace simulator {

namespace {

constexpr uint32_t all_lanes = ~0u;
constexpr std::size_t pattern_bytes = 1024; // 8 rows of 128, over which the swizzle repeats itself

// Where dynamic shared memory begins in the shared window of a block: behind the static arrays. The field of an address
// in a descriptor has room for 2^18 bytes.
constexpr uint64_t window_start = 4096, window_end = 1 << 18;

// ---- descriptors ----------------------------------------------------------------------------------------------------

uint64_t bits(uint64_t descriptor, unsigned first, unsigned count) {
    return descriptor >> first & ((1ull << count) - 1);
}

uint64_t start_of(uint64_t descriptor) {
    return bits(descriptor, 0, 14) << 4;
}

// What is wrong with a descriptor; null if nothing.
const char *wrong_field(uint64_t descriptor) {
    if (bits(descriptor, 62, 2) != 1) return "its swizzle mode is not that of 128 bytes";
    if (bits(descriptor, 14, 2) || bits(descriptor, 30, 2) || bits(descriptor, 46, 3) || bits(descriptor, 52, 10))
        return "one of its reserved bits is set";
    if (bits(descriptor, 32, 14) << 4 != pattern_bytes) return "its stride byte offset is not that of 8 rows, 1,024";
    if (bits(descriptor, 16, 14) > 1) return "its leading byte offset, which a swizzled operand has not, is not 0 or 1";
    if (bits(descriptor, 49, 3) != 0) return "its base offset is not 0";
    if (start_of(descriptor) % 128 % 32 != 0) return "its start address is in the middle of 32 k";
    if (start_of(descriptor) % pattern_bytes >= 128)
        return "its start address is not in the first row of a swizzle pattern of 1,024 bytes";
    return nullptr;
}

// The rows from `first` on (a multiple of 8) of an operand, without the place in the row: memory of the block.
unsigned char *rows_of(const block &b, uint64_t descriptor, unsigned first) {
    return b.dynamic_start + (start_of(descriptor) / pattern_bytes * pattern_bytes - window_start) + first * 128;
}

void check_operand(worker &w, const char *which, uint64_t descriptor, unsigned rows, place where) {
    const block &b = *w.thread().home;
    const char *const name = "wgmma.mma_async";
    if (const char *const wrong = wrong_field(descriptor))
        w.fail(CUDA_ERROR_ILLEGAL_INSTRUCTION, name, where, "wrong descriptor %016llx of %s: %s",
               (unsigned long long)descriptor, which, wrong);
    const uint64_t start = start_of(descriptor) / pattern_bytes * pattern_bytes;
    if (start < window_start || start + rows * 128 > window_start + w.what().shared_bytes)
        w.fail(CUDA_ERROR_ILLEGAL_ADDRESS, name, where,
               "wrong descriptor %016llx of %s: its start address, byte %lld of the dynamic array of %zu bytes, leaves "
               "no room for %u rows",
               (unsigned long long)descriptor, which, (long long)start_of(descriptor) - (long long)window_start,
               w.what().shared_bytes, rows);
    const unsigned char *const memory = rows_of(b, descriptor, 0);
    for (const tma_load &load : w.async().loads)
        if (load.home == &b && overlap(load.target, load.bytes, memory, rows * 128))
            w.fail(CUDA_ERROR_LAUNCH_FAILED, name, where,
                   "operand %s is read while a load (%s) into it is under way: nobody has waited for it", which,
                   text_of(load.where));
}

// ---- products -------------------------------------------------------------------------------------------------------

// 32 k of up to ROWS rows, as 16-bit integers, without the rows that are all zero.
template <unsigned ROWS>
struct operand {
    unsigned count;
    uint16_t row[ROWS];
    int16_t values[ROWS][32];
};

// Two chunks of 16 bytes, of which chunk c of row r is in place c ^ r % 8.
template <unsigned ROWS>
NOT_SANITIZED void gather(operand<ROWS> &to, const unsigned char *rows, unsigned count, unsigned first_chunk,
                          bool is_signed) {
    to.count = 0;
    for (unsigned r = 0; r < count; r++) {
        alignas(16) unsigned char bytes[32];
        uint64_t words[4];
        memcpy(bytes, rows + r * 128 + 16 * (first_chunk ^ r % 8), 16);
        memcpy(bytes + 16, rows + r * 128 + 16 * ((first_chunk + 1) ^ r % 8), 16);
        memcpy(words, bytes, 32);
        if ((words[0] | words[1] | words[2] | words[3]) == 0) continue;
        int16_t *const values = to.values[to.count];
        if (is_signed)
            for (unsigned k = 0; k < 32; k++) values[k] = (int8_t)bytes[k];
        else
            for (unsigned k = 0; k < 32; k++) values[k] = bytes[k];
        to.row[to.count++] = (uint16_t)r;
    }
}

NOT_SANITIZED int dot(const int16_t *a, const int16_t *b) {
    int sum = 0;
    for (unsigned k = 0; k < 32; k++) sum += a[k] * b[k];
    return sum;
}

// The sums wrap, as the instruction's do without .satfinite.
NOT_SANITIZED void multiply(const block &home, unsigned warp, const wgmma_operation &o, std::vector<uint32_t> &d) {
    operand<16> a;
    operand<256> b;
    if (!o.accumulate) std::fill(d.begin(), d.end(), 0u);
    gather(a, rows_of(home, o.a, 16 * (warp % 4)), 16, (unsigned)(start_of(o.a) % 128 / 16), o.shape.a_signed);
    if (a.count == 0) return;
    gather(b, rows_of(home, o.b, 0), o.shape.n, (unsigned)(start_of(o.b) % 128 / 16), o.shape.b_signed);
    for (unsigned i = 0; i < a.count; i++) {
        uint32_t *const row = d.data() + a.row[i] * o.shape.n;
        for (unsigned j = 0; j < b.count; j++) row[b.row[j]] += (uint32_t)dot(a.values[i], b.values[j]);
    }
}

// ---- accumulators ---------------------------------------------------------------------------------------------------

// With groupID g = lane / 4 and threadID_in_group t = lane % 4: element 4j + e of a lane is in row g for e < 2, else
// g + 8, of the warp's 16, and in column 8j + 2t + e % 2.
std::size_t place_of(unsigned lane, unsigned element, unsigned n) {
    const unsigned e = element % 4;
    return (lane / 4 + (e < 2 ? 0 : 8)) * n + element / 4 * 8 + lane % 4 * 2 + e % 2;
}

accumulators &free_accumulators(worker &w, sm90_warp &warp, unsigned n) {
    const unseen_by_tsan unseen;
    accumulators *chosen = nullptr;
    for (const auto &a : warp.pool)
        if (!a->used) chosen = a.get();
    if (!chosen) {
        warp.pool.push_back(std::make_unique<accumulators>());
        chosen = warp.pool.back().get();
    }
    chosen->used = true;
    chosen->n = n;
    chosen->users = 0;
    chosen->lanes = 0;
    chosen->noise = (int)(w.random().next() | 1);
    chosen->values.resize(16 * n);
    return *chosen;
}

void require_untouched(worker &w, const accumulators &a, unsigned lane, const char *name, place where) {
    bool same = true;
    for (unsigned i = 0; i < a.n / 2; i++) same = same && a.d[lane][i] == a.noise;
    if (!same)
        w.fail(CUDA_ERROR_LAUNCH_FAILED, name, where,
               "lane %u has written to the accumulators of a wgmma before it was waited for", lane);
}

// The lane gives its registers away; they hold noise until they come back. A fence is to lie between what it has done
// with them and this, but not between one wgmma and the next on the same registers.
void take(worker &w, accumulators &a, unsigned lane, int *d, const wgmma_operation &o) {
    if (!w.async().of(w.thread()).fenced_wgmma)
        w.fail(CUDA_ERROR_LAUNCH_FAILED, "wgmma.mma_async", o.where,
               "missing fence: no wgmma.fence since the thread has had its registers to itself");
    a.d[lane] = d;
    a.lanes |= 1u << lane;
    for (unsigned i = 0; i < a.n / 2; i++) {
        if (o.accumulate) a.values[place_of(lane, i, a.n)] = (uint32_t)d[i];
        d[i] = a.noise;
    }
}

void give_back(worker &w, accumulators &a, place where) {
    const thread *const lanes = &w.thread().home->threads[w.thread().index / 32 * 32];
    for (unsigned lane = 0; lane < 32; lane++) {
        require_untouched(w, a, lane, "wgmma.wait_group", where);
        w.async().of(lanes[lane]).fenced_wgmma = false;
        for (unsigned i = 0; i < a.n / 2; i++) a.d[lane][i] = (int)a.values[place_of(lane, i, a.n)];
        if (w.how().lies & lie_wgmma) a.d[lane][0] ^= 1;
    }
    a.used = false;
}

// ---- issuing --------------------------------------------------------------------------------------------------------

[[noreturn]] void diverges(worker &w, const wgmma_operation &here, const wgmma_operation &there, const char *who) {
    w.fail(CUDA_ERROR_LAUNCH_FAILED, "wgmma.mma_async", here.where,
           "divergence: n %u, descriptors %016llx and %016llx, accumulate %d; %s issued one (%s) of n %u, %016llx and "
           "%016llx, accumulate %d",
           here.shape.n, (unsigned long long)here.a, (unsigned long long)here.b, here.accumulate, who,
           text_of(there.where), there.shape.n, (unsigned long long)there.a, (unsigned long long)there.b,
           there.accumulate);
}

void join_warpgroup(worker &w, const wgmma_operation &o, uint64_t number) {
    thread &t = w.thread();
    sm90_warpgroup &g = w.async().of(*t.home).warpgroups[t.index / 128];
    const std::size_t i = (std::size_t)(number - g.first_part);
    if (i == g.parts.size()) append(g.parts, {o, 0});
    if (!(g.parts[i].what == o)) diverges(w, o, g.parts[i].what, "another warp of the warpgroup");
    if (++g.parts[i].warps < 4) return;
    remove(g.parts, 0, 1); // the others are before this one, or it would not be their fourth
    g.first_part++;
}

// The first lane of a warp comes to it.
void begin(worker &w, const wgmma_operation &o, int *d) {
    thread &t = w.thread();
    const unsigned lane = t.index % 32;
    sm90_warp &warp = w.async().warp_of(t);
    const char *const name = "wgmma.mma_async";
    if (t.home->warps[t.index / 32].lanes != all_lanes || t.index / 128 * 128 + 128 > w.what().threads)
        w.fail(CUDA_ERROR_LAUNCH_FAILED, name, o.where, "the block of %u threads has no whole warpgroup here",
               w.what().threads);
    check_operand(w, "A", o.a, 64, o.where);
    check_operand(w, "B", o.b, o.shape.n, o.where);
    join_warpgroup(w, o, w.async().of(t).wgmmas);
    accumulators *into = nullptr;
    for (const auto &a : warp.pool)
        if (a->used && a->lanes >> lane & 1 && a->d[lane] == d) into = a.get();
    if (!into) into = &free_accumulators(w, warp, o.shape.n);
    if (into->n != o.shape.n)
        w.fail(CUDA_ERROR_LAUNCH_FAILED, name, o.where, "its accumulators are under way in one of n %u", into->n);
    into->users++;
    append(warp.issued, {o, w.async().of(t).open_wgmma_group, into});
}

} // namespace

uint64_t wgmma_descriptor(const void *shared, place where) {
    worker &w = worker::here();
    const char *const name = "wgmma descriptor";
    require_alignment(name, shared, 16, where);
    const shared_block *const array = w.array_of(shared, 1);
    if (!array || array->site)
        w.fail(CUDA_ERROR_ILLEGAL_ADDRESS, name, where, "%p is not in the dynamic array of shared memory", shared);
    const uint64_t address = window_start + (uint64_t)(static_cast<const unsigned char *>(shared) - array->start);
    static_assert(window_start % pattern_bytes == 0 && window_start + (227 << 10) <= window_end, "the window has room");
    return 1ull << 62 | (uint64_t)(pattern_bytes >> 4) << 32 | 1ull << 16 | address >> 4;
}

void wgmma_fence(place where) {
    worker &w = worker::here();
    require_sm90a(w, "wgmma.fence", where);
    w.async().of(w.thread()).fenced_wgmma = true;
}

void wgmma_m64k32(wgmma_shape shape, int *d, uint64_t a, uint64_t b, bool accumulate, place where) {
    const char *const name = "wgmma.mma_async";
    worker &w = worker::here();
    require_sm90a(w, name, where);
    thread &t = w.thread();
    sm90_thread &self = w.async().of(t);
    sm90_warp &warp = w.async().warp_of(t);
    const unsigned lane = t.index % 32;
    const wgmma_operation o = {shape, a, b, accumulate, where};
    const std::size_t i = (std::size_t)(self.wgmmas - warp.done);
    if (i == warp.issued.size()) begin(w, o, d);
    const wgmma_issue &issue = warp.issued[i];
    if (!(issue.what == o)) diverges(w, o, issue.what, "another lane of the warp");
    if (issue.group != self.open_wgmma_group)
        w.fail(CUDA_ERROR_LAUNCH_FAILED, name, where, "divergence: another lane of the warp has it in another group");
    accumulators &into = *issue.into;
    if (!(into.lanes >> lane & 1))
        take(w, into, lane, d, o);
    else if (into.d[lane] != d)
        w.fail(CUDA_ERROR_LAUNCH_FAILED, name, where, "divergence: other lanes accumulate in other registers");
    else
        require_untouched(w, into, lane, name, where);
    self.wgmmas++;
}

void wgmma_commit(place where) {
    worker &w = worker::here();
    require_sm90a(w, "wgmma.commit_group", where);
    w.async().of(w.thread()).open_wgmma_group++;
}

// ---- waiting --------------------------------------------------------------------------------------------------------

namespace {

struct wait_arrival : arrival {
    unsigned pending;
    const sm90_thread *self;
};

void complete_wait(arrival *const lanes[32], uint32_t) {
    worker &w = worker::here();
    thread &t = w.thread();
    sm90_warp &warp = w.async().warp_of(t);
    const wait_arrival &first = *static_cast<wait_arrival *>(lanes[0]);
    for (unsigned lane = 1; lane < 32; lane++) {
        const wait_arrival &other = *static_cast<wait_arrival *>(lanes[lane]);
        if (other.pending != first.pending || other.self->wgmmas != first.self->wgmmas ||
            other.self->open_wgmma_group != first.self->open_wgmma_group)
            w.fail(CUDA_ERROR_LAUNCH_FAILED, first.name, first.where,
                   "divergence: lane %u has issued %llu wgmmas in %llu groups, lane 0 %llu in %llu", lane,
                   (unsigned long long)other.self->wgmmas, (unsigned long long)other.self->open_wgmma_group,
                   (unsigned long long)first.self->wgmmas, (unsigned long long)first.self->open_wgmma_group);
    }
    std::size_t done = 0;
    while (done < warp.issued.size() && warp.issued[done].group + first.pending < first.self->open_wgmma_group) {
        wgmma_issue &issue = warp.issued[done++];
        const unseen_by_tsan unseen;
        multiply(*t.home, t.index / 32, issue.what, issue.into->values);
        if (--issue.into->users == 0) give_back(w, *issue.into, first.where);
    }
    remove(warp.issued, 0, done);
    warp.done += done;
}

// For ThreadSanitizer: the warp has read this once any of its lanes has waited. One byte of 8 rows is enough to meet
// whoever overwrites the stage.
[[maybe_unused]] void announce_operands(worker &w) {
    const thread &t = w.thread();
    if (t.index % 32 != 0) return;
    for (const wgmma_issue &issue : w.async().warp_of(t).issued) {
        const unsigned first = 16 * (t.index / 32 % 4);
        for (unsigned row = first; row < first + 16; row += 8) announce_read(rows_of(*t.home, issue.what.a, row), 1);
        for (unsigned row = 0; row < issue.what.shape.n; row += 8)
            announce_read(rows_of(*t.home, issue.what.b, row), 1);
    }
}

} // namespace

void wgmma_wait(unsigned pending, place where) {
    worker &w = worker::here();
    wait_arrival a;
    a.name = "wgmma.wait_group";
    require_sm90a(w, a.name, where);
    a.mask = all_lanes;
    a.where = where;
    a.complete = complete_wait;
    a.pending = pending;
    a.self = &w.async().of(w.thread());
    if (SIMULATOR_TSAN) announce_operands(w);
    w.synchronize_warp(a);
}

// ---- for the others -------------------------------------------------------------------------------------------------

const wgmma_issue *wgmma_that_reads(worker &w, const block &home, const unsigned char *start, std::size_t bytes) {
    const unsigned warps = w.what().threads / 32;
    for (unsigned i = 0; i < warps; i++)
        for (const wgmma_issue &issue : w.async().warp_of(home.threads[32 * i]).issued) {
            const wgmma_operation &o = issue.what;
            if (overlap(rows_of(home, o.a, 16 * (i % 4)), 16 * 128, start, bytes) ||
                overlap(rows_of(home, o.b, 0), o.shape.n * 128, start, bytes))
                return &issue;
        }
    return nullptr;
}

void check_end_of_wgmma(worker &w) {
    const thread &t = w.thread();
    const sm90_warp &warp = w.async().warp_of(t);
    const sm90_thread &self = w.async().of(t);
    if (self.wgmmas > warp.done)
        w.fail(CUDA_ERROR_LAUNCH_FAILED, nullptr, {}, "has ended, while a wgmma (%s) that it has not %s is under way",
               text_of(warp.issued[0].what.where),
               warp.issued[0].group == self.open_wgmma_group ? "committed" : "waited for");
}

void check_end_of_block_wgmma(worker &w) {
    for (const sm90_warpgroup &g : w.async().of(*w.thread().home).warpgroups)
        if (!g.parts.empty())
            w.fail(CUDA_ERROR_LAUNCH_FAILED, "wgmma.mma_async", g.parts[0].what.where,
                   "divergence: %u warps of the 4 of the warpgroup have issued it", g.parts[0].warps);
}

} // namespace simulator
