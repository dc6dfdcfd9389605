// SPDX-License-Identifier: Apache-2.0
//
// The driver's call that makes a tensor map: cuda.h, "cuTensorMapEncodeTiled", says what it demands.
#include <string>

#include "driver.h"
#include "tile_map.h"

namespace simulator {

namespace {

// Sizes and the like never look like addresses (memory.cpp searches a kernel's argument for those).
constexpr uint64_t no_address = 1ull << 63, magic = 0xd1e5c0de5eed0001u;

uint64_t checksum(const uint64_t (&words)[16]) {
    uint64_t sum = magic;
    for (unsigned i = 1; i < 15; i++) sum = (sum ^ words[i]) * 0x9e3779b97f4a7c15u;
    return sum | no_address;
}

} // namespace

void pack_tile_map(const tile_map &m, uint64_t (&words)[16]) {
    words[0] = magic;
    words[1] = (uint64_t)(uintptr_t)m.base;
    for (unsigned i = 0; i < 5; i++) {
        words[2 + i] = no_address | m.dims[i];
        words[7 + i] = no_address | m.strides[i];
    }
    words[12] = no_address | (uint64_t)m.box[0] | (uint64_t)m.box[1] << 16 | (uint64_t)m.box[2] << 32;
    words[13] = no_address | (uint64_t)m.box[3] | (uint64_t)m.box[4] << 16;
    words[14] = no_address | m.rank | (uint64_t)m.swizzle << 8;
    words[15] = checksum(words);
}

bool unpack_tile_map(const uint64_t (&words)[16], tile_map *m) {
    if (words[0] != magic || words[15] != checksum(words)) return false;
    m->base = reinterpret_cast<unsigned char *>((uintptr_t)words[1]);
    for (unsigned i = 0; i < 5; i++) {
        m->dims[i] = words[2 + i] & ~no_address;
        m->strides[i] = words[7 + i] & ~no_address;
        m->box[i] = (uint32_t)(words[12 + i / 3] >> 16 * (i % 3)) & 0xffff;
    }
    m->rank = (unsigned)(words[14] & 0xff);
    m->swizzle = (uint32_t)(words[14] >> 8) & 0xff;
    return true;
}

} // namespace simulator

using namespace simulator;

namespace {

struct request {
    int type;
    unsigned rank;
    const void *base;
    const uint64_t *dims, *strides;
    const uint32_t *box, *element_strides;
    int interleave, swizzle, promotion, fill;
};

// 0: a type that is not simulated. By the number of the type.
constexpr unsigned element_bytes[] = {1, 2, 4, 4, 0, 0, 2, 4, 0, 2, 0, 0, 0, 0, 0, 0};

std::string number(uint64_t n) {
    return std::to_string(n);
}

std::string wrong_sizes(const request &r) {
    for (unsigned i = 0; i < r.rank; i++) {
        const std::string which = " of dimension " + number(i) + " is ";
        if (r.dims[i] < 1 || r.dims[i] > 1ull << 32) return "the size" + which + number(r.dims[i]);
        if (i > 0 && (r.strides[i - 1] % 16 != 0 || r.strides[i - 1] >= 1ull << 40))
            return "the stride" + which + number(r.strides[i - 1]) + " bytes, no multiple of 16 below 2^40";
        if (i > 1 && r.strides[i - 1] % r.strides[i - 2] != 0)
            return "the stride" + which + number(r.strides[i - 1]) + " bytes, no multiple of the one before";
        if (r.box[i] < 1 || r.box[i] > 256) return "the box" + which + number(r.box[i]) + ", not 1 to 256";
        if (r.element_strides[i] < 1 || r.element_strides[i] > 8)
            return "the element stride" + which + number(r.element_strides[i]) + ", not 1 to 8";
    }
    return "";
}

std::string wrong_modes(const request &r) {
    if (r.interleave < 0 || r.interleave > CU_TENSOR_MAP_INTERLEAVE_32B) return "there is no such interleave";
    if (r.swizzle < 0 || r.swizzle > 6) return "there is no such swizzle";
    if (r.promotion < 0 || r.promotion > CU_TENSOR_MAP_L2_PROMOTION_L2_256B) return "there is no such L2 promotion";
    if (r.fill < 0 || r.fill > 1) return "there is no such fill";
    if (r.interleave != CU_TENSOR_MAP_INTERLEAVE_NONE && r.rank < 3) return "an interleaved tensor has rank 3 at least";
    const unsigned row = r.box[0] * element_bytes[r.type];
    if (r.interleave != CU_TENSOR_MAP_INTERLEAVE_NONE || row == 0) return "";
    if (row % 16 != 0) return "a row of the box has " + number(row) + " bytes, no multiple of 16";
    const unsigned most = r.swizzle == 0 ? row : r.swizzle == 1 ? 32 : r.swizzle == 2 ? 64 : 128;
    return row <= most ? "" : "a row of the box has " + number(row) + " bytes, more than its swizzle's " + number(most);
}

std::string wrong(const request &r, const void *map) {
    if (!map || (uintptr_t)map % 64 != 0) return "the map is not aligned to 64 bytes";
    if (r.type < 0 || r.type > CU_TENSOR_MAP_DATA_TYPE_16U6_ALIGN16B) return "there is no such type";
    if (r.rank < 1 || r.rank > 5) return "the rank is " + number(r.rank) + ", not 1 to 5";
    if (!r.base || (uintptr_t)r.base % 16 != 0) return "the tensor is not aligned to 16 bytes";
    if (!r.dims || (!r.strides && r.rank > 1) || !r.box || !r.element_strides) return "an array is missing";
    const std::string sizes = wrong_sizes(r);
    return sizes.empty() ? wrong_modes(r) : sizes;
}

std::string not_simulated(const request &r) {
    if (element_bytes[r.type] == 0) return "type " + number((uint64_t)r.type);
    if (r.interleave != CU_TENSOR_MAP_INTERLEAVE_NONE) return "an interleave";
    if (r.swizzle != CU_TENSOR_MAP_SWIZZLE_NONE && r.swizzle != CU_TENSOR_MAP_SWIZZLE_64B &&
        r.swizzle != CU_TENSOR_MAP_SWIZZLE_128B)
        return "another swizzle";
    if (r.fill != CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) return "a fill with NaNs";
    for (unsigned i = 0; i < r.rank; i++)
        if (r.element_strides[i] != 1) return "an element stride other than 1";
    return "";
}

tile_map map_of(const request &r) {
    tile_map m = {};
    m.base = static_cast<unsigned char *>(const_cast<void *>(r.base));
    m.rank = r.rank;
    for (unsigned i = 0; i < r.rank; i++) {
        m.dims[i] = r.dims[i];
        m.strides[i] = i == 0 ? element_bytes[r.type] : r.strides[i - 1];
        m.box[i] = r.box[i];
    }
    m.swizzle = r.swizzle == CU_TENSOR_MAP_SWIZZLE_128B ? 128 : r.swizzle == CU_TENSOR_MAP_SWIZZLE_64B ? 64 : 0;
    return m;
}

} // namespace

CUresult cuTensorMapEncodeTiled(CUtensorMap *map, int type, unsigned rank, void *base, const uint64_t *dims,
                                const uint64_t *strides, const uint32_t *box, const uint32_t *element_strides,
                                int interleave, int swizzle, int promotion, int fill) {
    return enter(needs_init, [&](driver &d) {
        const request r = {type, rank, base, dims, strides, box, element_strides, interleave, swizzle, promotion, fill};
        if (const std::string what = wrong(r, map); !what.empty()) {
            d.report("cuTensorMapEncodeTiled: " + what);
            return CUDA_ERROR_INVALID_VALUE;
        }
        if (const std::string what = not_simulated(r); !what.empty()) {
            d.report("cuTensorMapEncodeTiled: " + what + " is not simulated");
            return CUDA_ERROR_NOT_SUPPORTED;
        }
        pack_tile_map(map_of(r), map->opaque);
        return CUDA_SUCCESS;
    });
}
