// SPDX-License-Identifier: Apache-2.0
//
// The copy engine of sm_90, from the PTX ISA manual: "Data Movement and Conversion Instructions: cp.async.bulk.tensor,
// cp.async.bulk.commit_group, cp.async.bulk.wait_group", "Tensors: swizzling modes"; the map is tile_map.h's.
#include "block.h"

#include <algorithm>
#include <cstring>

#include "driver_api.h"

namespace simulator {

namespace {

constexpr std::size_t most_row_bytes = 256 * 4; // of a box

// The place of byte `offset` of a box whose first is at `start`: chunks of 16 bytes change places within 128 bytes by
// the address bits 7 to 9, within 64 by the bits 7 and 8.
unsigned char *swizzled(const tile_map &m, unsigned char *start, std::size_t offset) {
    const uintptr_t address = (uintptr_t)start + offset;
    return reinterpret_cast<unsigned char *>(address ^ (address >> 7 & (m.swizzle / 16 - 1)) << 4);
}

// The rows of a box one by one: f(offset of the row in the box, its first byte in the tensor, how many of its bytes are
// before the tensor, how many are in it). A row that is outside has none in it.
template <typename F>
void for_each_row(const tile_box &b, const F &f) {
    const tile_map &m = b.map;
    const int64_t x = b.at[0], before = std::min<int64_t>(std::max<int64_t>(-x, 0), m.box[0]);
    const int64_t end = std::max(before, std::min<int64_t>((int64_t)m.dims[0] - x, m.box[0]));
    std::size_t offset = 0;
    for (uint32_t z = 0; z < m.box[2]; z++)
        for (uint32_t y = 0; y < m.box[1]; y++, offset += m.row_bytes()) {
            const int64_t row = (int64_t)b.at[1] + y, matrix = (int64_t)b.at[2] + z;
            const bool inside = row >= 0 && row < (int64_t)m.dims[1] && matrix >= 0 && matrix < (int64_t)m.dims[2];
            const std::size_t count = inside ? (std::size_t)(end - before) * m.element_bytes() : 0;
            unsigned char *const first = count == 0 ? nullptr
                                                    : m.base + row * (int64_t)m.strides[1] +
                                                          matrix * (int64_t)m.strides[2] +
                                                          (x + before) * (int64_t)m.element_bytes();
            f(offset, first, (std::size_t)before * m.element_bytes(), count);
        }
}

// The one copy of a map that a kernel may name is in its argument.
tile_map map_at(worker &w, const qmmi_cuda_tensor_map *map, const char *name, place where) {
    const char *const arguments = static_cast<const char *>(w.what().arguments);
    const char *const at = reinterpret_cast<const char *>(map);
    require_alignment(name, map, 64, where);
    if (at < arguments || at + sizeof *map > arguments + w.what().kernel->argument_bytes)
        w.fail(CUDA_ERROR_ILLEGAL_ADDRESS, name, where, "the tensor map is not in the kernel's argument");
    tile_map m;
    if (!unpack_tile_map(map->opaque, &m))
        w.fail(CUDA_ERROR_ILLEGAL_INSTRUCTION, name, where, "the tensor map was not made by cuTensorMapEncodeTiled");
    return m;
}

tile_box box_of(worker &w, const qmmi_cuda_tensor_map *map, int x, int y, int z, const void *shared, const char *name,
                place where) {
    const tile_map m = map_at(w, map, name, where);
    if (m.rank != 3)
        w.fail(CUDA_ERROR_ILLEGAL_INSTRUCTION, name, where, "three coordinates for a tensor map of rank %u", m.rank);
    require_alignment(name, shared, 128, where);
    if (m.swizzle && (uintptr_t)shared % (8 * m.swizzle) != 0)
        w.fail(CUDA_ERROR_MISALIGNED_ADDRESS, name, where,
               "the box of a tensor map swizzled over %u bytes begins in the middle of a pattern of %u bytes (%s)",
               m.swizzle, 8 * m.swizzle, name_of(*w.thread().home, shared).text);
    if (!w.is_shared(shared, m.box_bytes()))
        w.fail(CUDA_ERROR_ILLEGAL_ADDRESS, name, where,
               "the box (%s, %zu bytes) is not inside one array of shared memory",
               name_of(*w.thread().home, shared).text, m.box_bytes());
    return {m, {x, y, z}};
}

// ---- loads ----------------------------------------------------------------------------------------------------------

// Nobody else may be at the target: a load replaces what others read, or write, at a time of its own.
void require_free(worker &w, const block &home, const unsigned char *target, std::size_t bytes, const char *name,
                  place where) {
    for (const tma_load &load : w.async().loads)
        if (load.home == &home && overlap(load.target, load.bytes, target, bytes))
            w.fail(CUDA_ERROR_LAUNCH_FAILED, name, where, "another load (%s) into its target (%s) is under way",
                   text_of(load.where), name_of(home, target).text);
    if (const wgmma_issue *const reader = wgmma_that_reads(w, home, target, bytes))
        w.fail(CUDA_ERROR_LAUNCH_FAILED, name, where,
               "its target (%s) is overwritten while a wgmma (%s) that nobody has waited for reads it",
               name_of(home, target).text, text_of(reader->what.where));
    for (unsigned i = 0; i < w.what().threads; i++)
        for (const tma_store &store : w.async().of(home.threads[i]).stores)
            if (overlap(store.source, store.bytes, target, bytes))
                w.fail(CUDA_ERROR_LAUNCH_FAILED, name, where,
                       "its target (%s) is overwritten while a store (%s) that nobody has waited for reads it",
                       name_of(home, target).text, text_of(store.where));
}

void begin_load(worker &w, const tile_box &source, unsigned rank, const void *shared, uint64_t *barrier,
                const char *name, place where) {
    block &home = w.cluster()[rank];
    if (home.exited == w.what().threads)
        w.fail(CUDA_ERROR_LAUNCH_FAILED, name, where, "block %llu of the cluster has ended, and its memory with it",
               (unsigned long long)home.index);
    mbarrier &b =
        find_mbarrier(w, rank, reinterpret_cast<uint64_t *>(w.in_block(rank, barrier)), name, where);
    require_visible(w, b, name, where);
    unsigned char *const target = w.in_block(rank, shared);
    const std::size_t bytes = source.map.box_bytes();
    require_free(w, home, target, bytes, name, where);
    announce_write(target, bytes); // by the thread that issues it: who waits at the barrier comes after
    announce_release(&b.clocks[b.phase & 1]);
    const unseen_by_tsan unseen;
    std::memset(target, (int)(w.random().next() | 1), bytes);
    append(w.async().loads, {source, &home, target, bytes, &b, where});
}

// Where the source is out of bounds, this is the place that ASan should name.
void look_at(const tile_box &source) {
    for_each_row(source, [](std::size_t, const unsigned char *first, std::size_t, std::size_t count) {
        announce_read(first, count);
        unsigned char probe[most_row_bytes];
        if (SIMULATOR_ASAN && count > 0) std::memcpy(probe, first, count);
        asm volatile("" : : "r"(probe) : "memory");
    });
}

} // namespace

void tma_load_3d(void *shared, const qmmi_cuda_tensor_map *map, uint64_t *barrier, int x, int y, int z, uint16_t ranks,
                 bool multicast, place where) {
    const char *const name = multicast ? "cp.async.bulk.tensor.multicast::cluster" : "cp.async.bulk.tensor (load)";
    worker &w = worker::here();
    require_sm90(w, name, where);
    w.async();
    const tile_box source = box_of(w, map, x, y, z, shared, name, where);
    if (!w.is_shared(barrier, 8))
        w.fail(CUDA_ERROR_ILLEGAL_ADDRESS, name, where, "the barrier at %p is not inside one array of shared memory",
               static_cast<void *>(barrier));
    const unsigned blocks = (unsigned)w.cluster().size(), own = w.thread().home->rank;
    if (multicast && (ranks == 0 || ranks >> blocks != 0))
        w.fail(CUDA_ERROR_LAUNCH_FAILED, name, where, "mask %x names no block, or one that a cluster of %u has not",
               ranks, blocks);
    look_at(source);
    for (unsigned rank = 0; rank < blocks; rank++)
        if (multicast ? ranks >> rank & 1 : rank == own) begin_load(w, source, rank, shared, barrier, name, where);
}

void complete_load(worker &w, const tma_load &load) {
    const unseen_by_tsan unseen;
    const tile_map &m = load.source.map;
    const auto copy_row = [&](std::size_t offset, const unsigned char *first, std::size_t before, std::size_t count) {
        alignas(16) unsigned char row[most_row_bytes] = {};
        if (count > 0) std::memcpy(row + before, first, count);
        if (!m.swizzle) std::memcpy(load.target + offset, row, m.row_bytes());
        for (std::size_t i = 0; m.swizzle && i < m.row_bytes(); i += 16)
            std::memcpy(swizzled(m, load.target, offset + i), row + i, 16);
    };
    for_each_row(load.source, copy_row);
    if (w.how().lies & lie_tma) *load.target ^= 1;
    complete_bytes(w, *load.barrier, load.bytes);
}

void prefetch_tensor_map(const qmmi_cuda_tensor_map *map, place where) {
    worker &w = worker::here();
    require_sm90(w, "prefetch.tensormap", where);
    map_at(w, map, "prefetch.tensormap", where);
}

// ---- stores ---------------------------------------------------------------------------------------------------------

namespace {

// What the lanes of the warp have written to shared memory is seen by the copy engine once each has fenced it off.
void require_fences(worker &w, const char *name, place where) {
    thread &t = w.thread();
    const sm90_thread &self = w.async().of(t);
    for (const tma_store &store : self.stores)
        if (store.group == self.open_store_group) return; // of the same group: seen to for the first one
    thread *const first = &t.home->threads[t.index / 32 * 32];
    const uint32_t lanes = t.home->warps[t.index / 32].lanes & ~t.home->warps[t.index / 32].exited;
    for (unsigned lane = 0; lane < 32; lane++)
        if (lanes >> lane & 1 && !w.async().of(first[lane]).fenced_proxy)
            w.fail(CUDA_ERROR_LAUNCH_FAILED, name, where,
                   "missing fence: lane %u has not shown what it wrote to the copy engine since the warp's last store "
                   "(fence.proxy.async)",
                   lane);
    for (unsigned lane = 0; lane < 32; lane++)
        if (lanes >> lane & 1) w.async().of(first[lane]).fenced_proxy = false;
}

uint64_t checksum(const unsigned char *memory, std::size_t bytes) {
    uint64_t sum = 0, word;
    for (std::size_t i = 0; i < bytes; i += sizeof word) { // a multiple of 16
        std::memcpy(&word, memory + i, sizeof word);
        sum = (sum ^ word) * 0x9e3779b97f4a7c15u;
        sum ^= sum >> 32;
    }
    return sum;
}

void announce_store(const tma_store &store) {
    announce_read(store.source, store.bytes);
    for_each_row(store.target, [](std::size_t, unsigned char *first, std::size_t, std::size_t count) {
        announce_write(first, count);
    });
}

void complete_store(worker &w, const tma_store &store) {
    announce_store(store); // the reading: whoever wrote in between has not waited for it
    if (checksum(store.source, store.bytes) != store.checksum)
        w.fail(CUDA_ERROR_LAUNCH_FAILED, "cp.async.bulk.tensor (store)", store.where,
               "its source (%s) was written to before anybody had waited for the store",
               name_of(*w.thread().home, store.source).text);
    const unseen_by_tsan unseen;
    const tile_map &m = store.target.map;
    unsigned char *const source = const_cast<unsigned char *>(store.source);
    const bool lies = (w.how().lies & lie_tma) != 0;
    for_each_row(store.target, [&](std::size_t offset, unsigned char *first, std::size_t before, std::size_t count) {
        if (count == 0) return;
        alignas(16) unsigned char row[most_row_bytes];
        if (!m.swizzle) std::memcpy(row, source + offset, m.row_bytes());
        for (std::size_t i = 0; m.swizzle && i < m.row_bytes(); i += 16)
            std::memcpy(row + i, swizzled(m, source, offset + i), 16);
        if (lies) row[before] ^= 1;
        std::memcpy(first, row + before, count);
    });
}

} // namespace

void tma_store_3d(const qmmi_cuda_tensor_map *map, const void *shared, int x, int y, int z, place where) {
    const char *const name = "cp.async.bulk.tensor (store)";
    worker &w = worker::here();
    require_sm90(w, name, where);
    sm90_thread &self = w.async().of(w.thread());
    const tile_box target = box_of(w, map, x, y, z, shared, name, where);
    require_fences(w, name, where);
    look_at(target);
    const unsigned char *const source = static_cast<const unsigned char *>(shared);
    const std::size_t bytes = target.map.box_bytes();
    append(self.stores, {target, source, bytes, checksum(source, bytes), self.open_store_group, where});
    announce_store(self.stores.back());
}

void bulk_commit(place where) {
    worker &w = worker::here();
    require_sm90(w, "cp.async.bulk.commit_group", where);
    w.async().of(w.thread()).open_store_group++;
}

void bulk_wait_read(unsigned pending, place where) {
    worker &w = worker::here();
    require_sm90(w, "cp.async.bulk.wait_group.read", where);
    sm90_thread &self = w.async().of(w.thread());
    std::size_t kept = 0;
    for (const tma_store &store : self.stores) {
        if (store.group + pending >= self.open_store_group)
            self.stores[kept++] = store;
        else
            complete_store(w, store);
    }
    remove(self.stores, kept, self.stores.size() - kept);
}

void fence_proxy_async(place where) {
    worker &w = worker::here();
    require_sm90(w, "fence.proxy.async", where);
    w.async().of(w.thread()).fenced_proxy = true;
}

void check_end_of_tma(worker &w) {
    const sm90_thread &self = w.async().of(w.thread());
    if (!self.stores.empty())
        w.fail(CUDA_ERROR_LAUNCH_FAILED, nullptr, {},
               "has ended, while a store (%s) that it has not %s reads shared memory", text_of(self.stores[0].where),
               self.stores[0].group == self.open_store_group ? "committed" : "waited for");
}

} // namespace simulator
