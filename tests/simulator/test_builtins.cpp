// SPDX-License-Identifier: Apache-2.0
//
// The functions of the simulated device give what their definitions say: here in plain integers, written apart from the
// bodies, and with the fragment layouts in the form that cuda/ptx.cuh states them.
#include <cfenv>
#include <cmath>
#include <cstring>
#include <set>

#include "test_rig.h"

namespace {

struct generator {
    uint64_t state;
    uint32_t next() {
        state = state * 6364136223846793005u + 1442695040888963407u;
        return (uint32_t)(state >> 32);
    }
};

int8_t byte_of(int word, int i) {
    return (int8_t)((uint32_t)word >> 8 * i);
}

std::vector<int> run_one(const char *kernel, unsigned blocks, unsigned threads, int way, int n,
                         const std::vector<int> &in, std::size_t out_count,
                         const std::vector<std::pair<std::string, long long>> &options = {}) {
    std::vector<int> out(out_count, 0);
    assert_int_equal(rig::run(kernel, blocks, threads, 0, way, n, in, &out, options), CUDA_SUCCESS);
    return out;
}

void test_shuffles(void **) {
    for (int width = 1; width <= 32; width *= 2)
        for (int distance = 0; distance < 32; distance++)
            for (int way = 0; way <= 6; way++) {
                const std::vector<int> out = run_one("shuffle_kernel", 1, 32, way, width, {distance}, 32);
                for (int lane = 0; lane < 32; lane++) {
                    const int segment = lane - lane % width;
                    int from = lane;
                    if (way == 0) from = segment + distance % width;
                    if (way == 1 || way >= 4) from = (lane ^ distance) < segment + width ? lane ^ distance : lane;
                    if (way == 2) from = lane - distance >= segment ? lane - distance : lane;
                    if (way == 3) from = lane + distance < segment + width ? lane + distance : lane;
                    assert_int_equal(out[(size_t)lane], 100 + from);
                }
            }
}

void test_votes(void **) {
    for (const int votes : {0, -1, 1, (int)0x80000000, 0x12345678}) {
        const std::vector<int> out = run_one("vote_kernel", 1, 32, 0, 0, {votes}, 96);
        for (size_t lane = 0; lane < 32; lane++) {
            assert_int_equal(out[lane], votes);
            assert_int_equal(out[32 + lane], votes != 0);
            assert_int_equal(out[64 + lane], votes == -1);
        }
    }
}

void test_atomics(void **) {
    const int threads = 128 * 40;
    const std::vector<int> out = [&] {
        std::vector<int> o = {0, 0, 0, 0, 0, 0, -1, 0, 0, 0};
        assert_int_equal(rig::run("atomic_kernel", 40, 128, 0, 0, 0, {0}, &o, {{"workers", 2}}), CUDA_SUCCESS);
        return o;
    }();
    assert_int_equal(out[0], threads);
    assert_int_equal(out[1], 2 * threads);
    assert_int_equal(out[2], 0);
    assert_int_equal(out[3], 3 * threads);
    assert_int_equal(out[4], 1 - threads);
    assert_int_equal(out[5], threads - 1);
    assert_int_equal(out[6], 0);
    assert_int_equal(out[7], threads - 1);
    assert_int_equal(out[8], 5 * threads);
}

std::vector<int> order_of(long long order, long long seed, int way) {
    return run_one("order_kernel", 3, 64, way, 0, {0}, 1 + 2 * 192, {{"order", order}, {"seed", seed}, {"workers", 1}});
}

void test_order(void **) {
    const std::vector<int> forward = order_of(1, 1, 0), backward = order_of(2, 1, 0);
    for (int i = 0; i < 192; i++) {
        assert_int_equal(forward[(size_t)i + 1], i);
        assert_int_equal(backward[(size_t)i + 1], 191 - i);
    }
    std::set<std::vector<int>> orders;
    for (long long seed = 1; seed <= 10; seed++) {
        const std::vector<int> once = order_of(0, seed, 1);
        assert_true(once == order_of(0, seed, 1)); // a seed repeats itself
        orders.insert(once);
        std::vector<int> before(once.begin() + 1, once.begin() + 65), after(once.begin() + 65, once.begin() + 129);
        assert_true(before != after); // and every point has an order of its own
    }
    assert_int_equal(orders.size(), 10);
}

int bits_of(float x) {
    int bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

void test_floats(void **) {
    volatile float a = 1.0f + 0x1p-12f, c = -1.0f;
    volatile float product = a * a, sum = product + c;
    assert_true(bits_of(sum) != bits_of(fmaf(a, a, c))); // so that a contraction would show
    std::vector<int> out = run_one("float_kernel", 1, 1, 0, 0, {bits_of(a), bits_of(a), bits_of(c)}, 4);
    assert_int_equal(out[0], bits_of(sum));
    assert_int_equal(out[1], bits_of(1.0f));

    volatile float tiny = 0x1p-140f, half = 0.5f, zero = 0.0f, half_tiny = tiny * half;
    out = run_one("float_kernel", 1, 1, 0, 0, {bits_of(tiny), bits_of(half), bits_of(zero)}, 4);
    assert_true(half_tiny != 0.0f);
    assert_int_equal(out[0], bits_of(half_tiny)); // subnormals stay
    assert_int_equal(out[2], bits_of(tiny));
    assert_int_equal(out[3], bits_of(half));

    fesetround(FE_UPWARD); // the program's own business
    out = run_one("float_kernel", 1, 1, 0, 0, {bits_of(5.0f), bits_of(3.0f), bits_of(zero)}, 4);
    assert_int_equal(fegetround(), FE_UPWARD);
    fesetround(FE_TONEAREST);
    assert_int_equal(out[1], 0x3fd55555); // 5 / 3 to nearest, which is below it

    out = run_one("float_kernel", 1, 1, 0, 0, {bits_of(NAN), bits_of(half), bits_of(zero)}, 4);
    assert_int_equal(out[2], bits_of(half)); // a NaN loses
    assert_int_equal(out[3], bits_of(half));
}

void test_integers(void **) {
    std::vector<int> out = run_one("integer_kernel", 1, 1, 0, 0, {0x00abcdef, -5, 0x7610, 77}, 8);
    assert_int_equal(out[0], 8);
    assert_int_equal(out[1], 17);
    assert_int_equal(out[2], (int)0xffffcdef);
    assert_int_equal(out[3], -5);
    assert_int_equal(out[4], -5);
    assert_int_equal(out[5], 0x00abcdef);
    assert_int_equal(out[6], 77);
    assert_int_equal(out[7], 0x7610);
    out = run_one("integer_kernel", 1, 1, 0, 0, {0, 0, 0, 0}, 8);
    assert_int_equal(out[0], 32);
    out = run_one("integer_kernel", 1, 1, 0, 0, {0x33221100, 0x77665544, 0x0426, 0}, 8);
    assert_int_equal(out[2], 0x00442266);
}

// All products of two s8, in each lane, on noise in the other lanes.
void test_dp4a(void **) {
    generator random{1};
    std::vector<int> in;
    for (int lane = 0; lane < 4; lane++)
        for (int a = 0; a < 256; a++)
            for (int b = 0; b < 256; b++) {
                const uint32_t others = ~(0xffu << 8 * lane);
                in.push_back((int)((random.next() & others) | (uint32_t)a << 8 * lane));
                in.push_back((int)((random.next() & others) | (uint32_t)b << 8 * lane));
                in.push_back((int)random.next());
            }
    const int n = (int)in.size() / 3;
    assert_int_equal(n, 4 * 65536);
    for (int way = 0; way <= 1; way++) {
        const std::vector<int> out = run_one("dp4a_kernel", 64, 256, way, n, in, (size_t)n);
        for (size_t i = 0; i < (size_t)n; i++) {
            int64_t sum = in[3 * i + 2];
            for (int lane = 0; lane < 4; lane++) {
                const int a = byte_of(in[3 * i], lane);
                sum += (way == 1 ? a & 0xff : a) * byte_of(in[3 * i + 1], lane);
            }
            if (out[i] != (int)(uint32_t)(uint64_t)sum) fail_msg("product %zu", i);
        }
    }
}

// One product, from and to registers as ptx.cuh describes them.
struct fragments {
    int rows, depth;                  // d[rows x 8] += a[rows x depth] b[depth x 8]
    int a_registers, b_registers, d_registers;
};

const fragments k16 = {8, 16, 1, 1, 2}, k32 = {16, 32, 4, 2, 4};

struct product {
    int8_t a[16][32], b[32][8];
    int d[16][8];
};

std::vector<int> pack(const fragments &f, const product &p) {
    std::vector<int> registers;
    const auto word = [](const std::function<int8_t(int)> &at) {
        uint32_t w = 0;
        for (int i = 0; i < 4; i++) w |= (uint32_t)(uint8_t)at(i) << 8 * i;
        return (int)w;
    };
    for (int r = 0; r < f.a_registers;
         r++) // k32: a[0] row g, a[1] row g + 8, k = 4t ..; a[2], a[3] the same, k = 16 + 4t ..
        for (int l = 0; l < 32; l++)
            registers.push_back(word([&](int i) { return p.a[l / 4 + r % 2 * 8][l % 4 * 4 + i + r / 2 * 16]; }));
    for (int r = 0; r < f.b_registers; r++)
        for (int l = 0; l < 32; l++)
            registers.push_back(word([&](int i) { return p.b[r * 16 + l % 4 * 4 + i][l / 4]; }));
    for (int r = 0; r < f.d_registers; r++)
        for (int l = 0; l < 32; l++) registers.push_back(p.d[l / 4 + r / 2 * 8][l % 4 * 2 + r % 2]);
    return registers;
}

// Every element of a meets every element of b that it has to do with: one by one, then noise, then the extremes.
void test_mma(const fragments &f, const char *kernel) {
    generator random{7};
    std::vector<product> products;
    for (int row = 0; row < f.rows; row++)
        for (int k = 0; k < f.depth; k++) {
            product p = {};
            p.a[row][k] = 1;
            for (int j = 0; j < f.depth; j++)
                for (int column = 0; column < 8; column++) p.b[j][column] = (int8_t)random.next();
            products.push_back(p);
        }
    for (int i = 0; i < 300; i++) {
        product p;
        const int fill = i < 16 ? i : 99;
        const int8_t extremes[] = {-128, 127, -1, 0};
        for (auto &row : p.a)
            for (int8_t &e : row) e = fill < 16 ? extremes[fill / 4] : (int8_t)random.next();
        for (auto &row : p.b)
            for (int8_t &e : row) e = fill < 16 ? extremes[fill % 4] : (int8_t)random.next();
        for (auto &row : p.d)
            for (int &e : row) e = (int)random.next();
        products.push_back(p);
    }
    std::vector<int> in;
    for (const product &p : products) {
        const std::vector<int> registers = pack(f, p);
        in.insert(in.end(), registers.begin(), registers.end());
    }
    const size_t per_product = (size_t)f.d_registers * 32;
    const std::vector<int> out =
        run_one(kernel, (unsigned)products.size(), 32, 0, 0, in, products.size() * per_product);
    for (size_t i = 0; i < products.size(); i++)
        for (int r = 0; r < f.d_registers; r++)
            for (int l = 0; l < 32; l++) {
                const int row = l / 4 + r / 2 * 8, column = l % 4 * 2 + r % 2;
                int64_t sum = products[i].d[row][column];
                for (int k = 0; k < f.depth; k++) sum += products[i].a[row][k] * products[i].b[k][column];
                assert_int_equal(out[i * per_product + (size_t)(r * 32 + l)], (int)(uint32_t)(uint64_t)sum);
            }
}

void test_mma_k16(void **) {
    test_mma(k16, "mma_k16_kernel");
}

void test_mma_k32(void **) {
    test_mma(k32, "mma_k32_kernel");
}

void test_ldmatrix(void **) {
    const std::vector<int> in = rig::count_up(128), out = run_one("ldmatrix_kernel", 1, 32, 0, 0, in, 128);
    for (size_t lane = 0; lane < 32; lane++)
        for (size_t matrix = 0; matrix < 4; matrix++)
            assert_int_equal(out[4 * lane + matrix], in[matrix * 32 + lane / 4 * 4 + lane % 4]);
}

// A device that lies is found by whoever checks.
void test_lies(void **) {
    const struct {
        const char *option, *kernel;
        size_t in, out;
    } lies[] = {{"lie_dp4a", "dp4a_kernel", 3, 1},
                {"lie_mma", "mma_k16_kernel", 128, 64},
                {"lie_mma", "mma_k32_kernel", 320, 128},
                {"lie_mma_k16", "mma_k16_kernel", 128, 64},
                {"lie_mma_k32", "mma_k32_kernel", 320, 128},
                {"lie_ldmatrix", "ldmatrix_kernel", 128, 128}};
    for (const auto &l : lies) {
        const std::vector<int> in = rig::count_up(l.in);
        assert_true(run_one(l.kernel, 1, 32, 0, 1, in, l.out) !=
                    run_one(l.kernel, 1, 32, 0, 1, in, l.out, { { l.option, 1 } }));
    }
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(test_shuffles), cmocka_unit_test(test_votes),   cmocka_unit_test(test_atomics),
        cmocka_unit_test(test_order),    cmocka_unit_test(test_floats),  cmocka_unit_test(test_integers),
        cmocka_unit_test(test_dp4a),     cmocka_unit_test(test_mma_k16), cmocka_unit_test(test_mma_k32),
        cmocka_unit_test(test_ldmatrix), cmocka_unit_test(test_lies),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
