// SPDX-License-Identifier: Apache-2.0
//
// The instructions of cuda/ptx.cuh, from the PTX ISA manual: "Integer Arithmetic Instructions: dp4a", "Warp Level
// Matrix Multiply-Accumulate Instructions" with the fragment figures of mma.m8n8k16 and mma.m16n8k32 for 8-bit types
// and of ldmatrix, "Data Movement and Conversion Instructions: cp.async". In the manual's words, a lane's groupID is
// laneid >> 2 and its threadID_in_group laneid % 4.
#include "simulated_ptx.h"

#include <cstring>

#include "../../host/numerics.h"
#include "block.h"
#include "driver_api.h"

#define NOT_SANITIZED __attribute__((no_sanitize("address", "undefined")))

namespace simulator {

namespace {

// An instruction that the device does not have.
void require(worker &w, int capability, const char *instruction, place where) {
    const int here = w.how().capability;
    if (here < capability)
        w.fail(CUDA_ERROR_ILLEGAL_INSTRUCTION, instruction, where, "illegal instruction: it needs sm_%d, this is sm_%d",
               capability, here);
}

int8_t byte_of(uint32_t word, unsigned index) {
    return (int8_t)(word >> 8 * index);
}

// d[rows x 8] += a[rows x depth] b[depth x 8], b given by column. Products of two s8 in s32, and the sum wraps as the
// instruction's does without .satfinite.
template <int rows, int depth>
NOT_SANITIZED void multiply(uint32_t (&d)[rows][8], const int16_t (&a)[rows][depth], const int16_t (&b)[8][depth]) {
    for (int row = 0; row < rows; row++)
        for (int column = 0; column < 8; column++) {
            int sum = 0;
            for (int k = 0; k < depth; k++) sum += a[row][k] * b[column][k];
            d[row][column] += (uint32_t)sum;
        }
}

// mma.m8n8k16: .s8 A one register, row groupID, columns 4 * threadID_in_group + i; B the rows 4 * threadID_in_group + i
// of column groupID; C and D row groupID, columns 2 * threadID_in_group + i.
struct mma_k16_arrival : arrival {
    int *d;
    uint32_t a, b;
};

NOT_SANITIZED void complete_mma_k16(arrival *const lanes[32], uint32_t) {
    int16_t a[8][16], b[8][16];
    uint32_t d[8][8];
    for (unsigned lane = 0; lane < 32; lane++) {
        const mma_k16_arrival &m = *static_cast<const mma_k16_arrival *>(lanes[lane]);
        const unsigned group = lane >> 2, in_group = lane % 4;
        for (unsigned i = 0; i < 4; i++) {
            a[group][4 * in_group + i] = byte_of(m.a, i);
            b[group][4 * in_group + i] = byte_of(m.b, i);
        }
        for (unsigned i = 0; i < 2; i++) d[group][2 * in_group + i] = (uint32_t)m.d[i];
    }
    multiply(d, a, b);
    for (unsigned lane = 0; lane < 32; lane++)
        for (unsigned i = 0; i < 2; i++)
            static_cast<mma_k16_arrival *>(lanes[lane])->d[i] = (int)d[lane >> 2][2 * (lane % 4) + i];
}

// mma.m16n8k32: element i of .s8 A (register i / 4, byte i % 4) is in row groupID for i < 4 and 8 <= i < 12, else
// groupID + 8, and in column 4 * threadID_in_group + (i & 3), from i = 8 on 16 more; element i of B in row
// 4 * threadID_in_group + (i & 3), from i = 4 on 16 more, and column groupID; C and D in row groupID for i < 2, else
// groupID + 8, and column 2 * threadID_in_group + (i & 1).
struct mma_k32_arrival : arrival {
    int *d;
    const uint32_t *a, *b;
};

NOT_SANITIZED void complete_mma_k32(arrival *const lanes[32], uint32_t) {
    int16_t a[16][32], b[8][32];
    uint32_t d[16][8];
    for (unsigned lane = 0; lane < 32; lane++) {
        const mma_k32_arrival &m = *static_cast<const mma_k32_arrival *>(lanes[lane]);
        const unsigned group = lane >> 2, in_group = lane % 4;
        for (unsigned i = 0; i < 16; i++) {
            const unsigned row = i < 4 || (i >= 8 && i < 12) ? group : group + 8;
            a[row][4 * in_group + (i & 3) + (i >= 8 ? 16 : 0)] = byte_of(m.a[i / 4], i % 4);
        }
        for (unsigned i = 0; i < 8; i++)
            b[group][4 * in_group + (i & 3) + (i >= 4 ? 16 : 0)] = byte_of(m.b[i / 4], i % 4);
        for (unsigned i = 0; i < 4; i++) d[i < 2 ? group : group + 8][2 * in_group + (i & 1)] = (uint32_t)m.d[i];
    }
    multiply(d, a, b);
    for (unsigned lane = 0; lane < 32; lane++) {
        const unsigned group = lane >> 2, in_group = lane % 4;
        for (unsigned i = 0; i < 4; i++)
            static_cast<mma_k32_arrival *>(lanes[lane])->d[i] =
                (int)d[i < 2 ? group : group + 8][2 * in_group + (i & 1)];
    }
}

// ldmatrix .x4: lanes 8m .. 8m + 7 give the rows of matrix m; of each row, 8 elements of 16 bits, lane l gets elements
// 2 * (l % 4) and the next, of row l / 4.
struct ldmatrix_arrival : arrival {
    unsigned char row[16];
    uint32_t *r;
};

void complete_ldmatrix(arrival *const lanes[32], uint32_t) {
    for (unsigned lane = 0; lane < 32; lane++)
        for (unsigned matrix = 0; matrix < 4; matrix++) {
            const ldmatrix_arrival &row = *static_cast<const ldmatrix_arrival *>(lanes[8 * matrix + lane / 4]);
            memcpy(&static_cast<ldmatrix_arrival *>(lanes[lane])->r[matrix], row.row + 4 * (lane % 4), 4);
        }
}

template <typename T>
void prepare(T &a, const char *name, place where, void (*complete)(arrival *const[32], uint32_t)) {
    a.name = name;
    a.mask = 0xffffffffu; // .sync.aligned: the whole warp
    a.where = where;
    a.complete = complete;
}

} // namespace

int dp4a(int a, int b, int c, place where) {
    worker &w = worker::here();
    require(w, 61, "dp4a", where);
    uint32_t sum = (uint32_t)c;
    for (unsigned i = 0; i < 4; i++) sum += (uint32_t)(byte_of((uint32_t)a, i) * byte_of((uint32_t)b, i));
    if (w.how().lies & lie_dp4a) sum ^= 1;
    return (int)sum;
}

// A NaN may have other bits on the device, which are not promised.
uint32_t cvt_f16x2(float low, float high) {
    return qmmn_f32_to_f16(low) | qmmn_f32_to_f16(high) << 16;
}

uint32_t cvt_bf16x2(float low, float high) {
    return qmmn_f32_to_bf16(low) | qmmn_f32_to_bf16(high) << 16;
}

int dp4a_u8_s8(uint32_t a, int b, int c, place where) {
    worker &w = worker::here();
    require(w, 61, "dp4a", where);
    uint32_t sum = (uint32_t)c;
    for (unsigned i = 0; i < 4; i++) sum += (uint32_t)((int)(uint8_t)(a >> 8 * i) * byte_of((uint32_t)b, i));
    if (w.how().lies & lie_dp4a) sum ^= 1;
    return (int)sum;
}

void mma_m8n8k16_s8(int (&d)[2], uint32_t a, uint32_t b, place where) {
    worker &w = worker::here();
    require(w, 75, "mma.m8n8k16", where);
    mma_k16_arrival m;
    prepare(m, "mma.m8n8k16", where, complete_mma_k16);
    m.d = d;
    m.a = a;
    m.b = b;
    w.collect(m);
    if (w.how().lies & lie_mma_k16) d[0] ^= 1;
}

void mma_m16n8k32_s8(int (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], place where) {
    worker &w = worker::here();
    require(w, 80, "mma.m16n8k32", where);
    mma_k32_arrival m;
    prepare(m, "mma.m16n8k32", where, complete_mma_k32);
    m.d = d;
    m.a = a;
    m.b = b;
    w.collect(m);
    if (w.how().lies & lie_mma_k32) d[3] ^= 1;
}

void ldmatrix_x4(uint32_t (&r)[4], const void *row, place where) {
    worker &w = worker::here();
    require(w, 75, "ldmatrix", where);
    require_alignment("ldmatrix", row, 16, where);
    if (!w.is_shared(row, 16))
        w.fail(CUDA_ERROR_ILLEGAL_ADDRESS, "ldmatrix", where, "the row at %p is not inside one array of shared memory",
               row);
    ldmatrix_arrival m;
    prepare(m, "ldmatrix", where, complete_ldmatrix);
    announce_read(row, 16);
    memcpy(m.row, row, 16); // by the lane that names the row, before any other lane goes on
    m.r = r;
    w.collect(m);
    if (w.how().lies & lie_ldmatrix) r[0] ^= 1;
}

// Until the wait the target holds noise, and the source is read when the wait is over: both early readers of the one
// and early writers of the other get what the device may give them.
void cp_async_16(void *shared, const void *global, uint32_t bytes, place where) {
    worker &w = worker::here();
    require(w, 80, "cp.async", where);
    require_alignment("cp.async", shared, 16, where);
    require_alignment("cp.async", global, 16, where);
    if (bytes > 16)
        w.fail(CUDA_ERROR_LAUNCH_FAILED, "cp.async", where, "%u bytes are more than the 16 of a copy", bytes);
    if (!w.is_shared(shared, 16))
        w.fail(CUDA_ERROR_ILLEGAL_ADDRESS, "cp.async", where, "the target %p is not inside one array of shared memory",
               shared);
    if (bytes > 0 && w.is_shared(global, 1))
        w.fail(CUDA_ERROR_ILLEGAL_ADDRESS, "cp.async", where, "the source %p is shared memory", global);
    unsigned char probe[16];
    memcpy(probe, global, bytes); // where the source is out of bounds, this is the place that ASan should name
    asm volatile("" : : "r"(probe) : "memory");
    announce_write(shared, 16);
    memset(shared, (int)(w.random().next() | 1), 16);
    thread &t = w.thread();
    t.copies.push_back({shared, global, bytes, t.open_group});
}

void cp_async_commit(place where) {
    worker &w = worker::here();
    require(w, 80, "cp.async.commit_group", where);
    w.thread().open_group++;
}

void cp_async_wait(unsigned pending, place where) {
    worker &w = worker::here();
    require(w, 80, "cp.async.wait_group", where);
    thread &t = w.thread();
    std::size_t kept = 0;
    for (const async_copy &copy : t.copies) {
        if (copy.group + pending >= t.open_group) { // still under way, or not committed
            t.copies[kept++] = copy;
            continue;
        }
        announce_write(copy.target, 16);
        announce_read(copy.source, copy.bytes);
        memset(copy.target, 0, 16);
        memcpy(copy.target, copy.source, copy.bytes);
        if (w.how().lies & lie_cp_async) *static_cast<unsigned char *>(copy.target) ^= 1;
    }
    t.copies.resize(kept);
}

} // namespace simulator
