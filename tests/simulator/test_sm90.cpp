// SPDX-License-Identifier: Apache-2.0
//
// The asynchronous instructions of sm_90 on the simulated device: what they compute, against plain integers written
// apart from the bodies, and what is said of kernels/sm90.cu's defects.
#include <algorithm>
#include <cstring>

#include "test_rig.h"

namespace {

using options = std::vector<std::pair<std::string, long long>>;

struct generator {
    uint64_t state;
    uint32_t next() {
        state = state * 6364136223846793005u + 1442695040888963407u;
        return (uint32_t)(state >> 32);
    }
    int below(int bound) { return (int)(next() % (unsigned)bound); }
};

// A tensor in memory, and the map of it.
struct tensor {
    int type = CU_TENSOR_MAP_DATA_TYPE_UINT8;
    int element = 1;
    int64_t dims[3] = {1, 1, 1};
    int64_t strides[3] = {1, 0, 0}; // bytes
    uint32_t box[3] = {1, 1, 1};
    int swizzle = 0; // bytes

    std::size_t bytes() const { return (std::size_t)(dims[2] * strides[2]); }
    std::size_t box_bytes() const { return (std::size_t)box[0] * box[1] * box[2] * (std::size_t)element; }

    CUresult encode(CUdeviceptr base, qmmi_cuda_tensor_map *map) const {
        const uint64_t sizes[3] = {(uint64_t)dims[0], (uint64_t)dims[1], (uint64_t)dims[2]};
        const uint64_t steps[2] = {(uint64_t)strides[1], (uint64_t)strides[2]};
        const uint32_t ones[3] = {1, 1, 1};
        return cuTensorMapEncodeTiled(reinterpret_cast<CUtensorMap *>(map), type, 3, rig::as_pointer(base), sizes,
                                      steps, box, ones, CU_TENSOR_MAP_INTERLEAVE_NONE,
                                      swizzle == 128  ? CU_TENSOR_MAP_SWIZZLE_128B
                                      : swizzle == 64 ? CU_TENSOR_MAP_SWIZZLE_64B
                                                      : CU_TENSOR_MAP_SWIZZLE_NONE,
                                      CU_TENSOR_MAP_L2_PROMOTION_NONE, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    }
};

tensor tensor_of(int64_t x, int64_t y, int64_t z, uint32_t box_x, uint32_t box_y, uint32_t box_z, int swizzle,
                 int type = CU_TENSOR_MAP_DATA_TYPE_UINT8, int element = 1) {
    tensor t;
    t.type = type;
    t.element = element;
    const int64_t row = (x * element + 15) / 16 * 16 + 16; // gaps, which must never be seen nor written
    const int64_t strides[3] = {element, row, row * (y + 1)}, dims[3] = {x, y, z};
    const uint32_t box[3] = {box_x, box_y, box_z};
    memcpy(t.strides, strides, sizeof strides);
    memcpy(t.dims, dims, sizeof dims);
    memcpy(t.box, box, sizeof box);
    t.swizzle = swizzle;
    return t;
}

std::vector<int> noise(std::size_t bytes, uint64_t seed) {
    generator g = {seed};
    std::vector<int> words((bytes + 3) / 4);
    for (int &word : words) word = (int)g.next();
    return words;
}

// Where byte i of a row r of a box lies in shared memory.
std::size_t place_in_box(const tensor &t, std::size_t row, std::size_t i) {
    const std::size_t row_bytes = (std::size_t)t.box[0] * (std::size_t)t.element, linear = row * row_bytes + i;
    if (t.swizzle == 0) return linear;
    // 8 lines of 128 bytes take turns with 8 places for a chunk of 16 bytes; or 4 pairs of 64 bytes with 4 places.
    const std::size_t swizzle = (std::size_t)t.swizzle, chunk = linear % swizzle / 16;
    return linear / swizzle * swizzle + (chunk ^ linear / 128 % (swizzle / 16)) * 16 + linear % 16;
}

// f(byte in the box as it lies in shared memory, byte in the tensor or -1 where it is outside).
template <typename F>
void for_each_byte(const tensor &t, const int (&at)[3], const F &f) {
    const std::size_t row_bytes = (std::size_t)t.box[0] * (std::size_t)t.element;
    for (std::size_t z = 0; z < t.box[2]; z++)
        for (std::size_t y = 0; y < t.box[1]; y++)
            for (std::size_t i = 0; i < row_bytes; i++) {
                const int64_t x = at[0] + (int64_t)i / t.element, row = at[1] + (int64_t)y, matrix = at[2] + (int64_t)z;
                const bool inside = x >= 0 && x < t.dims[0] && row >= 0 && row < t.dims[1] && matrix >= 0 &&
                                    matrix < t.dims[2];
                f(place_in_box(t, z * t.box[1] + y, i),
                  inside ? x * t.element + (int64_t)i % t.element + row * t.strides[1] + matrix * t.strides[2]
                         : (int64_t)-1);
            }
}

const tensor tile_cases[] = {
    tensor_of(300, 40, 3, 128, 16, 1, 128),
    tensor_of(100, 9, 2, 128, 8, 2, 128),
    tensor_of(50, 9, 2, 64, 8, 2, 128),
    tensor_of(77, 5, 2, 48, 4, 3, 0),
    tensor_of(77, 50, 2, 32, 16, 1, 0, CU_TENSOR_MAP_DATA_TYPE_FLOAT16, 2),
    tensor_of(33, 20, 2, 32, 16, 1, 128, CU_TENSOR_MAP_DATA_TYPE_INT32, 4),
    tensor_of(50, 30, 2, 32, 16, 1, 64, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 2),
    tensor_of(100, 9, 2, 64, 16, 2, 64),
    tensor_of(1, 1, 1, 16, 1, 1, 0),
};

const int places[][3] = {{0, 0, 0}, {0, 3, 1}, {-5, -2, 0}, {-500, 0, 0}, {70, 30, 1}, {16, 2, -1}, {0, 0, 7}};

struct launched {
    CUresult result;
    std::vector<int> out;
};

// Runs a kernel whose maps are all of one tensor; `out` is its memory, or that of out_bytes noise.
launched run_tile(const char *kernel, const tensor &t, const int (&at)[3], int way, bool stores,
                  const options &o) {
    rig::session s(o);
    const std::size_t box = t.box_bytes();
    const CUdeviceptr memory = s.device_memory(noise(t.bytes(), 1)), in = s.device_memory(noise(box, 2)),
                      out = s.device_memory(noise(box, 3));
    sm90_arguments p = {};
    assert_int_equal(t.encode(memory, &p.a), CUDA_SUCCESS);
    p.b = p.a;
    p.c = p.a;
    p.out = rig::as_pointer(out);
    p.in = rig::as_pointer(in);
    p.n = (int)box;
    p.way = way;
    p.x = at[0], p.y = at[1], p.z = at[2];
    if (way == 19) memset(&p.c, 0, sizeof p.c);
    launched l;
    l.result = s.run(kernel, 1, 32, (unsigned)((box + 1023) / 1024 * 1024), p);
    if (l.result == CUDA_SUCCESS)
        l.out = stores ? s.contents(memory, (t.bytes() + 3) / 4) : s.contents(out, (box + 3) / 4);
    return l;
}

unsigned char byte_of(const std::vector<int> &words, std::size_t i) {
    return (unsigned char)((unsigned)words[i / 4] >> 8 * (i % 4));
}

void test_loads(void **) {
    for (const tensor &t : tile_cases) {
        const std::vector<int> memory = noise(t.bytes(), 1);
        for (const auto &at : places)
            for (long long seed = 1; seed <= 3; seed++) {
                const launched l = run_tile("load_kernel", t, at, 0, false, {{"seed", seed}});
                assert_int_equal(l.result, CUDA_SUCCESS);
                for_each_byte(t, at, [&](std::size_t here, int64_t there) {
                    assert_int_equal(byte_of(l.out, here), there < 0 ? 0 : byte_of(memory, (std::size_t)there));
                });
            }
    }
}

void test_stores(void **) {
    for (const tensor &t : tile_cases)
        for (const auto &at : places) {
            std::vector<int> expected = noise(t.bytes(), 1);
            const std::vector<int> in = noise(t.box_bytes(), 2);
            for_each_byte(t, at, [&](std::size_t here, int64_t there) {
                if (there < 0) return;
                unsigned char byte = byte_of(in, here);
                memcpy(reinterpret_cast<char *>(expected.data()) + there, &byte, 1);
            });
            const launched l = run_tile("store_kernel", t, at, 0, true, {});
            assert_int_equal(l.result, CUDA_SUCCESS);
            assert_true(l.out == expected);
        }
}

// ---- wgmma ----------------------------------------------------------------------------------------------------------

struct product {
    int n, types, start; // start: what the accumulators begin with; 0: the product alone
    std::vector<int> a, b;

    int value(const std::vector<int> &from, bool is_unsigned, int row, int k) const {
        const unsigned char byte = byte_of(from, (std::size_t)(row * 128 + k));
        return is_unsigned ? byte : (int8_t)byte;
    }
    int expected(int row, int col) const {
        uint32_t sum = (uint32_t)start;
        for (int k = 0; k < 128; k++)
            sum += (uint32_t)(value(a, types & 1, row, k) * value(b, types & 2, col, k));
        return (int)sum;
    }
};

CUresult run_product(const product &c, int way, std::vector<int> *out,
                     const options &o) {
    rig::session s(o);
    tensor a, b;
    a.dims[0] = b.dims[0] = a.strides[1] = b.strides[1] = 128;
    a.dims[1] = 64, b.dims[1] = c.n;
    a.strides[2] = 64 * 128, b.strides[2] = c.n * 128;
    a.box[0] = b.box[0] = 128, a.box[1] = 64, b.box[1] = (uint32_t)c.n;
    a.swizzle = b.swizzle = 128;
    sm90_arguments p = {};
    assert_int_equal(a.encode(s.device_memory(c.a), &p.a), CUDA_SUCCESS);
    assert_int_equal(b.encode(s.device_memory(c.b), &p.b), CUDA_SUCCESS);
    const CUdeviceptr target = s.device_memory(*out);
    p.out = rig::as_pointer(target);
    p.n = c.n;
    p.way = way;
    p.x = c.start != 0;
    p.y = c.types;
    p.z = c.start;
    const CUresult result = s.run("wgmma_kernel", 1, 128, (unsigned)(64 + c.n) * 128, p);
    if (result == CUDA_SUCCESS) *out = s.contents(target, out->size());
    return result;
}

void test_products(void **) {
    for (const int n : {8, 16, 32, 64, 128, 160, 192, 256})
        for (int types = 0; types < 4; types++) {
            product c = {n, types, types == 1 ? 2147480000 : 0, noise(64 * 128, 7), noise((std::size_t)n * 128, 8)};
            if (types == 3) std::fill(c.a.begin(), c.a.end(), -1); // 255 and -128: the extremes
            if (types == 2) std::fill(c.a.begin(), c.a.end(), (int)0x80808080);
            std::fill(c.b.begin() + 32, c.b.begin() + 96, 0); // rows that are skipped
            std::vector<int> out((std::size_t)n * 64, 0);
            assert_int_equal(run_product(c, 0, &out, {{"seed", n + types}}), CUDA_SUCCESS);
            for (int row = 0; row < 64; row++)
                for (int col = 0; col < n; col++)
                    assert_int_equal(out[(std::size_t)(row * n + col)], c.expected(row, col));
        }
}

// Each element of A by itself, so that none can stand for another.
void test_single_elements(void **) {
    product c = {32, 0, 0, std::vector<int>(64 * 32, 0), noise(32 * 128, 9)};
    for (int i = 0; i < 64 * 128; i += 37) {
        std::fill(c.a.begin(), c.a.end(), 0);
        c.a[(std::size_t)i / 4] = 1 << 8 * (i % 4);
        std::vector<int> out(64 * 32, -1);
        assert_int_equal(run_product(c, 0, &out, {}), CUDA_SUCCESS);
        for (int row = 0; row < 64; row++)
            for (int col = 0; col < 32; col++) {
                const int expected = row == i / 128 ? (int8_t)byte_of(c.b, (std::size_t)(col * 128 + i % 128)) : 0;
                assert_int_equal(out[(std::size_t)(row * 32 + col)], expected);
            }
    }
}

// ---- rings, barriers, clusters --------------------------------------------------------------------------------------

CUresult run_ring(int steps, int way, std::vector<int> *out,
                  const options &o) {
    rig::session s(o);
    tensor t;
    t.dims[0] = t.strides[1] = 128;
    t.dims[1] = 64, t.dims[2] = steps;
    t.strides[2] = 64 * 128;
    t.box[0] = 128, t.box[1] = 64;
    t.swizzle = 128;
    sm90_arguments p = {};
    assert_int_equal(t.encode(s.device_memory(noise(t.bytes(), 11)), &p.a), CUDA_SUCCESS);
    const unsigned blocks = 3;
    const CUdeviceptr target = s.device_memory(std::vector<int>(blocks * 64 * 64, 0));
    p.out = rig::as_pointer(target);
    p.n = steps;
    p.way = way;
    const CUresult result = s.run("ring_kernel", blocks, 256, 2 * 64 * 128, p);
    if (result == CUDA_SUCCESS) *out = s.contents(target, blocks * 64 * 64);
    return result;
}

std::vector<int> ring_expected(int steps) {
    const std::vector<int> in = noise((std::size_t)steps * 64 * 128, 11);
    std::vector<int> out(64 * 64, 0), of_each_block;
    for (int step = 0; step < steps; step++)
        for (int i = 0; i < 64 * 64; i++)
            for (int k = 0; k < 128; k++) {
                const std::size_t first = (std::size_t)step * 64 * 128;
                out[(std::size_t)i] += (int8_t)byte_of(in, first + (std::size_t)(i / 64 * 128 + k)) *
                                       (int8_t)byte_of(in, first + (std::size_t)(i % 64 * 128 + k));
            }
    for (int block = 0; block < 3; block++) of_each_block.insert(of_each_block.end(), out.begin(), out.end());
    return of_each_block;
}

void test_ring(void **) {
    for (const int steps : {1, 2, 5, 8}) {
        const std::vector<int> expected = ring_expected(steps);
        for (long long seed = 1; seed <= 10; seed++) {
            std::vector<int> out;
            const int way = seed % 2 ? 0 : 7;
            assert_int_equal(run_ring(steps, way, &out, {{"seed", seed}, {"order", seed % 3}}), CUDA_SUCCESS);
            assert_true(out == expected);
        }
    }
}

std::vector<int> run_named(unsigned threads, int way, const options &o) {
    rig::session s(o);
    const CUdeviceptr in = s.device_memory(rig::count_up(256)), out = s.device_memory(std::vector<int>(256, 0));
    sm90_arguments p = {};
    p.in = rig::as_pointer(in);
    p.out = rig::as_pointer(out);
    p.way = way;
    assert_int_equal(s.run("named_kernel", 1, threads, 0, p), CUDA_SUCCESS);
    return s.contents(out, 256);
}

void test_named_barriers(void **) {
    std::vector<int> expected(256);
    for (int i = 0; i < 256; i++) expected[(std::size_t)i] = i / 128 * 128 + 127 - i % 128 + 2;
    for (long long seed = 1; seed <= 20; seed++) {
        assert_true(run_named(256, 0, {{"seed", seed}}) == expected);
        if (!rig::has_tsan) assert_true(run_named(256, 1, {{"seed", seed}}) != expected);
    }
}

CUresult run_cluster(unsigned blocks, int relaxed, int way, std::vector<int> *out,
                     const options &o) {
    rig::session s(o);
    tensor t;
    t.dims[0] = t.strides[1] = 128;
    t.dims[1] = 16, t.dims[2] = blocks / 2 + 1;
    t.strides[2] = 16 * 128;
    t.box[0] = 128, t.box[1] = 8;
    sm90_arguments p = {};
    assert_int_equal(t.encode(s.device_memory(noise(t.bytes(), 12)), &p.a), CUDA_SUCCESS);
    const CUdeviceptr target = s.device_memory(std::vector<int>(blocks * (16 * 32 + 1), -1));
    p.out = rig::as_pointer(target);
    p.n = relaxed;
    p.way = way;
    const CUresult result = s.run("cluster_kernel", blocks, 32, 2048, p);
    if (result == CUDA_SUCCESS) *out = s.contents(target, blocks * (16 * 32 + 1));
    return result;
}

void test_clusters(void **) {
    const std::vector<int> in = noise(16 * 128 * 5, 12);
    for (long long seed = 1; seed <= 10; seed++) {
        std::vector<int> out;
        const options o = {{"seed", seed}, {"order", seed % 3}, {"workers", 2}};
        assert_int_equal(run_cluster(8, seed % 2, 0, &out, o), CUDA_SUCCESS);
        for (std::size_t block = 0; block < 8; block++) {
            for (std::size_t i = 0; i < 16 * 32; i++)
                assert_int_equal(out[block * 16 * 32 + i], in[block / 2 * 16 * 32 + i]);
            assert_int_equal(out[8 * 16 * 32 + block], block % 2);
        }
    }
    std::vector<int> out;
    assert_int_equal(run_cluster(7, 0, 0, &out, {}), CUDA_ERROR_INVALID_CLUSTER_SIZE);
    assert_non_null(strstr(qmm_simulator_report(), "a grid of 7 blocks cannot be divided into clusters of 2"));
}

// ---- defects --------------------------------------------------------------------------------------------------------

struct defect {
    int way;
    CUresult error;
    const char *text; // in the report; null: only the result is wrong
    bool races = false; // ThreadSanitizer has something to say too: test_races
};

const defect load_defects[] = {
    {1, CUDA_ERROR_LAUNCH_FAILED, "nobody has waited for bytes|is under way", true},
    {2, CUDA_ERROR_LAUNCH_FAILED, "0 of 1 arrivals and -1024 bytes are to come"},
    {3, CUDA_ERROR_LAUNCH_FAILED, "missing fence: nothing shows the initialization"},
    {4, CUDA_ERROR_MISALIGNED_ADDRESS, "is no multiple of 128"},
    {5, CUDA_ERROR_MISALIGNED_ADDRESS, "in the middle of a pattern of 1024 bytes (the dynamic array, byte 128)"},
    {6, CUDA_ERROR_LAUNCH_FAILED, "(full, byte 0, of block 0) is not initialized"},
    {7, CUDA_ERROR_LAUNCH_FAILED, "nobody has waited for bytes|is under way|the end of phase 1", true},
    {8, CUDA_ERROR_LAUNCH_FAILED, "more arrivals in phase 0 than the 1 of the mbarrier"},
    {9, CUDA_ERROR_LAUNCH_FAILED, "nobody has waited for bytes|is under way", true},
    {10, CUDA_ERROR_ILLEGAL_ADDRESS, "is not inside one array of shared memory"},
    {11, CUDA_ERROR_ILLEGAL_ADDRESS, "the tensor map is not in the kernel's argument"},
    {12, CUDA_ERROR_LAUNCH_FAILED, "no barrier of the block since|is not initialized"},
    {13, CUDA_ERROR_LAUNCH_FAILED, "2 is no parity"},
    {14, CUDA_ERROR_LAUNCH_FAILED, "is initialized already"},
    {15, CUDA_ERROR_LAUNCH_FAILED, "was overwritten"},
    {16, CUDA_ERROR_LAUNCH_FAILED, "mask 2 names no block, or one that a cluster of 1 has not"},
    {17, CUDA_ERROR_LAUNCH_FAILED, "another load"},
    {18, CUDA_ERROR_LAUNCH_FAILED, "0 of 1 arrivals and 2048 bytes are to come"},
    {19, CUDA_ERROR_ILLEGAL_INSTRUCTION, "was not made by cuTensorMapEncodeTiled"},
};

const defect store_defects[] = {
    {1, CUDA_ERROR_LAUNCH_FAILED, "missing fence: lane 0"},
    {2, CUDA_ERROR_LAUNCH_FAILED, "missing fence: lane 17"},
    {3, CUDA_ERROR_LAUNCH_FAILED, "it has not committed"},
    {4, CUDA_ERROR_LAUNCH_FAILED, "was written to before anybody had waited for the store", true},
    {5, CUDA_ERROR_LAUNCH_FAILED, "it has not waited for"},
    {7, CUDA_ERROR_LAUNCH_FAILED, "missing fence: lane"},
};

const defect product_defects[] = {
    {1, CUDA_ERROR_LAUNCH_FAILED, "missing fence: no wgmma.fence"},
    {2, CUDA_SUCCESS, nullptr},
    {3, CUDA_ERROR_LAUNCH_FAILED, "it has not committed"},
    {4, CUDA_ERROR_LAUNCH_FAILED, "it has not waited for"},
    {5, CUDA_ERROR_ILLEGAL_INSTRUCTION, "of B: its stride byte offset is not that of 8 rows"},
    {6, CUDA_ERROR_ILLEGAL_INSTRUCTION, "of A: its swizzle mode"},
    {7, CUDA_ERROR_ILLEGAL_INSTRUCTION, "of A: its base offset"},
    {8, CUDA_ERROR_ILLEGAL_INSTRUCTION, "of A: its start address is in the middle of 32 k"},
    {9, CUDA_ERROR_ILLEGAL_ADDRESS, "of B: its start address, byte 24576 of the dynamic array"},
    {10, CUDA_ERROR_LAUNCH_FAILED, "divergence: "},
    {11, CUDA_ERROR_LAUNCH_FAILED, "divergence: "},
    {12, CUDA_ERROR_LAUNCH_FAILED, "lane 13 has written to the accumulators"},
    {13, CUDA_ERROR_LAUNCH_FAILED, "is overwritten while a wgmma"},
    {14, CUDA_ERROR_LAUNCH_FAILED, "is read while a load|is overwritten while a wgmma"},
    {15, CUDA_ERROR_LAUNCH_FAILED, "divergence: n 64"},
    {16, CUDA_ERROR_ILLEGAL_INSTRUCTION, "of A: one of its reserved bits"},
    {17, CUDA_ERROR_ILLEGAL_INSTRUCTION, "of B: its start address is not in the first row of a swizzle pattern"},
    {18, CUDA_ERROR_ILLEGAL_INSTRUCTION, "of B: its leading byte offset"},
    {19, CUDA_ERROR_ILLEGAL_ADDRESS, "of A: its start address, byte -2048 of the dynamic array"},
    {20, CUDA_SUCCESS, nullptr},
    {21, CUDA_ERROR_LAUNCH_FAILED, "missing fence: no wgmma.fence"},
};

const defect ring_defects[] = {
    {1, CUDA_ERROR_LAUNCH_FAILED, "another load|is overwritten while|more arrivals|went on to phase|can go on"},
    {2, CUDA_ERROR_LAUNCH_FAILED, "is read while|went on to phase|can go on|is overwritten|more arrivals|nobody has"},
    {3, CUDA_ERROR_LAUNCH_FAILED, "is overwritten while a wgmma"},
    {4, CUDA_ERROR_LAUNCH_FAILED, "1 of 5 arrivals and 0 bytes"},
    {5, CUDA_ERROR_LAUNCH_FAILED, "and -4096 bytes are to come|is read while a load|is under way|nobody has waited"},
    {6, CUDA_ERROR_LAUNCH_FAILED, "the block has asked for"},
    {8, CUDA_ERROR_LAUNCH_FAILED, "more arrivals|is overwritten while|another load|went on to phase"},
    {9, CUDA_ERROR_LAUNCH_FAILED, "96 of 128 threads wait at barrier 1"},
    {10, CUDA_ERROR_LAUNCH_FAILED, "barrier 1 waits for"},
    {11, CUDA_ERROR_LAUNCH_FAILED, "barrier 0 is that of __syncthreads"},
    {12, CUDA_ERROR_LAUNCH_FAILED, "divergence: of warp|threads wait at barrier 2"},
    {13, CUDA_ERROR_LAUNCH_FAILED, "100 is no number of threads of whole warps"},
};

const defect cluster_defects[] = {
    {1, CUDA_ERROR_LAUNCH_FAILED, "waits at the cluster's barrier without an arrival"},
    {2, CUDA_ERROR_LAUNCH_FAILED, "no barrier of the cluster since|is not initialized"},
    {3, CUDA_ERROR_LAUNCH_FAILED, "no barrier of the|is not initialized|threads have arrived at the cluster's barrier"},
    {4, CUDA_ERROR_LAUNCH_FAILED, "has arrived before"},
    {5, CUDA_ERROR_LAUNCH_FAILED, "mask 7 names no block"},
    {6, CUDA_ERROR_LAUNCH_FAILED, "can go on"},
    {7, CUDA_ERROR_LAUNCH_FAILED, "there is no block 2 in a cluster of 2"},
    {8, CUDA_ERROR_LAUNCH_FAILED, "missing fence: nothing shows the initialization"},
    {9, CUDA_ERROR_LAUNCH_FAILED, "of the cluster has ended|nobody has waited for an arrival from another block"},
    {10, CUDA_ERROR_LAUNCH_FAILED, "between its arrival at the cluster's barrier"},
    {11, CUDA_ERROR_LAUNCH_FAILED, "missing fence: nothing shows the initialization"},
};

bool holds_one_of(const std::string &report, std::string texts) {
    while (true) {
        const std::size_t bar = texts.find('|');
        if (report.find(texts.substr(0, bar)) != std::string::npos) return true;
        if (bar == std::string::npos) return false;
        texts = texts.substr(bar + 1);
    }
}

// run: a kernel's, with a way and options; gives its result and output. Whether a defect is reported must not depend on
// the order; only what is said first may.
template <typename RUN>
void expect_defects(const char *kernel, const defect *first, std::size_t count, const RUN &run) {
    std::vector<int> right;
    int missed = 0;
    assert_int_equal(run(0, &right, {}), CUDA_SUCCESS);
    for (const defect *d = first; d < first + count; d++)
        for (long long seed = 1; seed <= (rig::has_tsan ? 1 : 12); seed++) { // failures take long under TSan
            if (rig::has_tsan && (d->races || !d->text)) continue;
            std::vector<int> out;
            const CUresult result = run(d->way, &out, {{"seed", seed}, {"order", seed % 3}, {"workers", 1}});
            const std::string report = qmm_simulator_report();
            const bool named = d->text && holds_one_of(report, d->text) &&
                               report.find(std::string("kernel ") + kernel + ", block ") == 0;
            if (result == d->error && (d->text ? named : out != right)) continue;
            print_error("%s, way %d, seed %lld: %d, %s\n", kernel, d->way, seed, (int)result, report.c_str());
            missed++;
        }
    assert_int_equal(missed, 0);
}

#define EXPECT_DEFECTS(kernel, defects, run) expect_defects(kernel, defects, sizeof defects / sizeof *defects, run)

void test_defects(void **) {
    const tensor t = tensor_of(300, 40, 3, 128, 16, 1, 128);
    const int at[3] = {0, 0, 0};
    EXPECT_DEFECTS("load_kernel", load_defects, [&](int way, std::vector<int> *out, const options &o) {
        const launched l = run_tile("load_kernel", t, at, way, false, o);
        *out = l.out;
        return l.result;
    });
    EXPECT_DEFECTS("store_kernel", store_defects, [&](int way, std::vector<int> *out, const options &o) {
        const launched l = run_tile("store_kernel", t, at, way, true, o);
        *out = l.out;
        return l.result;
    });
    const product c = {64, 0, 0, noise(64 * 128, 7), noise(64 * 128, 8)};
    EXPECT_DEFECTS("wgmma_kernel", product_defects, [&](int way, std::vector<int> *out, const options &o) {
        out->assign(64 * 64, 0);
        return run_product(c, way, out, o);
    });
    EXPECT_DEFECTS("ring_kernel", ring_defects,
                   [&](int way, std::vector<int> *out, const options &o) { return run_ring(6, way, out, o); });
    EXPECT_DEFECTS("cluster_kernel", cluster_defects,
                   [&](int way, std::vector<int> *out, const options &o) { return run_cluster(4, 0, way, out, o); });
}

// What ThreadSanitizer finds, with some order or other: it forgets what lies too far back.
void test_races(void **) {
    if (!rig::has_tsan) skip();
    const tensor t = tensor_of(300, 40, 3, 128, 16, 1, 128);
    const int at[3] = {0, 0, 0};
    using run = std::function<void(bool wrong, const options &)>;
    const std::pair<const char *, run> cases[] = {
        {"load", [&](bool wrong, const options &o) { run_tile("load_kernel", t, at, wrong ? 1 : 0, false, o); }},
        {"store", [&](bool wrong, const options &o) { run_tile("store_kernel", t, at, wrong ? 4 : 0, true, o); }},
        {"lanes", [&](bool wrong, const options &o) { run_tile("store_kernel", t, at, wrong ? 6 : 0, true, o); }},
        {"named", [&](bool wrong, const options &o) { run_named(128, wrong ? 1 : 0, o); }},
    };
    for (const auto &[name, body] : cases)
        for (const bool wrong : {false, true}) {
            int status;
            const std::string text = rig::output_of([&, &run_case = body] {
                for (long long seed = 1; seed <= 10; seed++) run_case(wrong, {{"seed", seed}});
            }, &status);
            const bool raced = text.find("ThreadSanitizer: data race") != std::string::npos;
            print_message("%s, %s: %s\n", name, wrong ? "wrong" : "right", raced ? "a race" : "no race");
            assert_int_equal(raced, wrong);
        }
}

// A barrier that is waited for in vain is described in full.
void test_deadlock_report(void **) {
    std::vector<int> out;
    assert_int_equal(run_ring(6, 4, &out, {{"order", 1}, {"workers", 1}}), CUDA_ERROR_LAUNCH_FAILED);
    const std::string report = qmm_simulator_report();
    for (const char *part : {"no thread of the block can go on; block ", ", thread 0 (1 threads in all) waits at ",
                             " for the end of phase 0 of the mbarrier (empty, byte 0, initialized at ",
                             "): 1 of 5 arrivals and 0 bytes are to come"})
        if (report.find(part) == std::string::npos) fail_msg("'%s' is not in: %s", part, report.c_str());
}

// Every order, and ASan: a load that reaches outside a tensor's memory.
void test_capabilities(void **) {
    for (int way = 1; way <= 22; way++) {
        const bool a = way >= 17 && way != 20 ? true : way == 20;
        for (const long long compute : {80, 100}) {
            rig::session s({{"compute", compute}});
            const CUdeviceptr out = s.device_memory(std::vector<int>(32, 0));
            sm90_arguments p = {};
            p.out = rig::as_pointer(out);
            p.way = way;
            const CUresult result = s.run("sm90_capability_kernel", 1, 32, 1024, p);
            const bool lacks = compute < 90 || a;
            assert_int_equal(result == CUDA_ERROR_ILLEGAL_INSTRUCTION &&
                                 strstr(qmm_simulator_report(), a ? "it needs sm_90a" : "it needs sm_90") != nullptr,
                             lacks);
        }
    }
}

void test_lies(void **) {
    const tensor t = tensor_of(300, 40, 3, 128, 16, 1, 128);
    const int at[3] = {0, 0, 0};
    for (const bool stores : {false, true}) {
        const char *const kernel = stores ? "store_kernel" : "load_kernel";
        const launched honest = run_tile(kernel, t, at, 0, stores, {});
        const launched lie = run_tile(kernel, t, at, 0, stores, {{"lie_tma", 1}});
        assert_true(honest.out != lie.out);
    }
    const product c = {16, 0, 0, noise(64 * 128, 7), noise(16 * 128, 8)};
    std::vector<int> honest(64 * 16, 0), lie(64 * 16, 0);
    assert_int_equal(run_product(c, 0, &honest, {}), CUDA_SUCCESS);
    assert_int_equal(run_product(c, 0, &lie, {{"lie_wgmma", 1}}), CUDA_SUCCESS);
    assert_true(lie != honest);
}

// ---- tensor maps ----------------------------------------------------------------------------------------------------

// A map that is right but for one thing.
struct encoding {
    int type = CU_TENSOR_MAP_DATA_TYPE_UINT8;
    unsigned rank = 3;
    uintptr_t base = 0x10000;
    uint64_t dims[5] = {300, 40, 3, 1, 1};
    uint64_t strides[4] = {304, 304 * 40, 304 * 120, 304 * 120};
    uint32_t box[5] = {128, 16, 1, 1, 1};
    uint32_t steps[5] = {1, 1, 1, 1, 1};
    int interleave = 0, swizzle = CU_TENSOR_MAP_SWIZZLE_128B, promotion = 0, fill = 0;
    std::size_t offset = 0; // of the map from an address aligned to 64

    CUresult result() const {
        alignas(64) unsigned char memory[256];
        return cuTensorMapEncodeTiled(reinterpret_cast<CUtensorMap *>(memory + offset), type, rank,
                                      reinterpret_cast<void *>(base), dims, strides, box, steps, interleave, swizzle,
                                      promotion, fill);
    }
};

void test_encoding(void **) {
    rig::session s;
    const struct {
        void (*change)(encoding &);
        CUresult result;
        const char *text;
    } cases[] = {
        {[](encoding &) {}, CUDA_SUCCESS, ""},
        {[](encoding &e) { e.rank = 5; }, CUDA_SUCCESS, ""},
        {[](encoding &e) { e.rank = 1; }, CUDA_SUCCESS, ""},
        {[](encoding &e) { e.dims[0] = 1ull << 32; }, CUDA_SUCCESS, ""},
        {[](encoding &e) { e.promotion = 3; }, CUDA_SUCCESS, ""},
        {[](encoding &e) { e.offset = 32; }, CUDA_ERROR_INVALID_VALUE, "not aligned to 64 bytes"},
        {[](encoding &e) { e.type = 16; }, CUDA_ERROR_INVALID_VALUE, "no such type"},
        {[](encoding &e) { e.type = CU_TENSOR_MAP_DATA_TYPE_FLOAT64; }, CUDA_ERROR_NOT_SUPPORTED, "type 8"},
        {[](encoding &e) { e.rank = 0; }, CUDA_ERROR_INVALID_VALUE, "rank is 0"},
        {[](encoding &e) { e.rank = 6; }, CUDA_ERROR_INVALID_VALUE, "rank is 6"},
        {[](encoding &e) { e.base += 8; }, CUDA_ERROR_INVALID_VALUE, "not aligned to 16 bytes"},
        {[](encoding &e) { e.dims[1] = 0; }, CUDA_ERROR_INVALID_VALUE, "size of dimension 1 is 0"},
        {[](encoding &e) { e.dims[2] = (1ull << 32) + 1; }, CUDA_ERROR_INVALID_VALUE, "size of dimension 2"},
        {[](encoding &e) { e.strides[0] = 300; }, CUDA_ERROR_INVALID_VALUE, "stride of dimension 1 is 300 bytes"},
        {[](encoding &e) { e.strides[1] = 1ull << 40; }, CUDA_ERROR_INVALID_VALUE, "stride of dimension 2"},
        {[](encoding &e) { e.strides[1] += 16; }, CUDA_ERROR_INVALID_VALUE, "no multiple of the one before"},
        {[](encoding &e) { e.box[1] = 0; }, CUDA_ERROR_INVALID_VALUE, "box of dimension 1 is 0"},
        {[](encoding &e) { e.box[2] = 257; }, CUDA_ERROR_INVALID_VALUE, "box of dimension 2 is 257"},
        {[](encoding &e) { e.box[0] = 120; }, CUDA_ERROR_INVALID_VALUE, "no multiple of 16"},
        {[](encoding &e) { e.box[0] = 144; }, CUDA_ERROR_INVALID_VALUE, "more than its swizzle's 128"},
        {[](encoding &e) { e.box[0] = 48, e.swizzle = 1; }, CUDA_ERROR_INVALID_VALUE, "more than its swizzle's 32"},
        {[](encoding &e) { e.box[0] = 32, e.swizzle = 1; }, CUDA_ERROR_NOT_SUPPORTED, "another swizzle"},
        {[](encoding &e) { e.swizzle = 9; }, CUDA_ERROR_INVALID_VALUE, "no such swizzle"},
        {[](encoding &e) { e.steps[1] = 0; }, CUDA_ERROR_INVALID_VALUE, "element stride of dimension 1"},
        {[](encoding &e) { e.steps[1] = 2; }, CUDA_ERROR_NOT_SUPPORTED, "element stride"},
        {[](encoding &e) { e.interleave = 1; }, CUDA_ERROR_NOT_SUPPORTED, "interleave"},
        {[](encoding &e) { e.interleave = 3; }, CUDA_ERROR_INVALID_VALUE, "interleave"},
        {[](encoding &e) { e.interleave = 1, e.rank = 2; }, CUDA_ERROR_INVALID_VALUE, "rank 3 at least"},
        {[](encoding &e) { e.promotion = 4; }, CUDA_ERROR_INVALID_VALUE, "L2 promotion"},
        {[](encoding &e) { e.fill = 1; }, CUDA_ERROR_NOT_SUPPORTED, "NaNs"},
        {[](encoding &e) { e.fill = 2; }, CUDA_ERROR_INVALID_VALUE, "fill"},
    };
    for (const auto &c : cases) {
        encoding e;
        c.change(e);
        assert_int_equal(e.result(), c.result);
        if (c.result) assert_non_null(strstr(qmm_simulator_report(), c.text));
    }
}

// Under ASan: a map of a tensor that is larger than its memory.
void test_bounds(void **) {
    if (!rig::has_asan) skip();
    int status;
    const std::string text = rig::output_of([] {
        rig::session s;
        tensor t = tensor_of(128, 16, 1, 128, 16, 1, 128);
        const CUdeviceptr memory = s.device_memory(noise(t.bytes() - 64, 1));
        t.dims[1] = 17;
        sm90_arguments p = {};
        t.encode(memory, &p.a);
        p.n = 2048;
        p.y = 2;
        p.out = rig::as_pointer(s.device_memory(noise(2048, 2)));
        s.run("load_kernel", 1, 32, 2048, p);
    }, &status);
    assert_true(text.find("AddressSanitizer") != std::string::npos);
    assert_true(text.find("kernel load_kernel, block 0, thread 0") != std::string::npos);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_races), // before others fill ThreadSanitizer's memory
        cmocka_unit_test(test_loads),
        cmocka_unit_test(test_stores),
        cmocka_unit_test(test_products),
        cmocka_unit_test(test_single_elements),
        cmocka_unit_test(test_ring),
        cmocka_unit_test(test_named_barriers),
        cmocka_unit_test(test_clusters),
        cmocka_unit_test(test_defects),
        cmocka_unit_test(test_deadlock_report),
        cmocka_unit_test(test_capabilities),
        cmocka_unit_test(test_lies),
        cmocka_unit_test(test_encoding),
        cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
