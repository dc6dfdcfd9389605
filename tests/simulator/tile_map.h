// SPDX-License-Identifier: Apache-2.0
//
// What the simulated driver puts into a CUtensorMap, and the simulated copy engine takes out of it.
#ifndef QMM_SIMULATOR_TILE_MAP_H
#define QMM_SIMULATOR_TILE_MAP_H

#include <cstdint>

#include "simulated_ptx.h"

namespace simulator {

struct tile_map {
    unsigned char *base;
    unsigned rank;
    uint64_t dims[5];
    uint64_t strides[5]; // bytes; the first is an element's
    uint32_t box[5];
    uint32_t swizzle; // over so many bytes: 128, 64; 0: not

    unsigned element_bytes() const { return (unsigned)strides[0]; }
    unsigned row_bytes() const { return box[0] * element_bytes(); }
    std::size_t box_bytes() const {
        std::size_t bytes = element_bytes();
        for (unsigned i = 0; i < rank; i++) bytes *= box[i];
        return bytes;
    }
};

void pack_tile_map(const tile_map &, uint64_t (&words)[16]);

// False for what pack_tile_map has not made.
bool unpack_tile_map(const uint64_t (&words)[16], tile_map *);

} // namespace simulator

#endif
