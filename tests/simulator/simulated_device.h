/* SPDX-License-Identifier: Apache-2.0
 *
 * CUDA C++ for the host compiler: what the kernels of cuda/ use of it, and nothing else. A name that is not here does
 * not compile: it is added with a body that is known to be right, never with one that merely compiles.
 *
 * A kernel's threads are fibers (block.h). They change places only inside the functions declared here, so between
 * two of these a thread runs undisturbed, and which one goes on is drawn anew each time. */
#ifndef QMM_SIMULATED_DEVICE_H
#define QMM_SIMULATED_DEVICE_H

#include <float.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <type_traits>

#if defined(__FAST_MATH__) || (defined(FLT_EVAL_METHOD) && FLT_EVAL_METHOD != 0 && FLT_EVAL_METHOD != 16)
#error "kernels need IEEE arithmetic: no -ffast-math, and float evaluated in float"
#endif

/* ---- the language ------------------------------------------------------------------------------------------------ */

#define __device__
#define __forceinline__ inline

/* Shared memory is said with SHARED_ARRAY or DYNAMIC_SHARED, so that each array gets bounds. */
#define __shared__ _Pragma("GCC error \"use SHARED_ARRAY or DYNAMIC_SHARED (cuda/device.cuh) instead of __shared__\"")
#define __global__ _Pragma("GCC error \"use KERNEL (cuda/device.cuh) instead of __global__\"")

struct uint3 { unsigned x, y, z; };
struct dim3 { unsigned x, y, z; };

namespace simulator {

/* Where in the kernel's source a function of the device was called. */
struct place {
    const char *file;
    unsigned line;

    static constexpr place here(const char *file = __builtin_FILE(), unsigned line = __builtin_LINE()) {
        return {file, line};
    }
};

struct kernel {
    kernel(const char *name, unsigned max_threads, unsigned resident, unsigned cluster, size_t argument_bytes,
           void (*run)(const void *arguments)) noexcept;

    const char *name;
    unsigned max_threads;
    unsigned resident; /* blocks of so many threads for which a multiprocessor must have registers */
    unsigned cluster;  /* blocks that run together */
    size_t argument_bytes;
    void (*run)(const void *arguments);
    const kernel *next;
};

/* One array of static shared memory; each block has its own. */
struct shared_site {
    const char *name;
    size_t bytes, alignment;
    place where;
};

void *shared_memory(const shared_site &site);
unsigned char *dynamic_shared_memory();

void barrier(place where);
void warp_barrier(uint32_t mask, place where);
enum class shuffle { to, exclusive_or, up, down };
uint64_t exchange(shuffle how, uint32_t mask, uint64_t value, unsigned operand, int width, place where);
uint32_t ballot(const char *name, uint32_t mask, bool predicate, place where);
void memory_fence();
[[noreturn]] void trap(place where);
[[noreturn]] void misaligned(const char *what, uintptr_t address, size_t alignment, place where);

inline void require_alignment(const char *what, const void *pointer, size_t alignment, place where) {
    uintptr_t address = (uintptr_t)pointer;
    asm("" : "+r"(address)); /* the compiler takes a pointer's alignment for granted */
    if (address % alignment != 0) misaligned(what, address, alignment, where);
}

} /* namespace simulator */

#define KERNEL(name, threads, blocks, arguments, parameter) \
    CLUSTER_KERNEL(name, threads, blocks, 1, arguments, parameter)

#define CLUSTER_KERNEL(name, threads, blocks, cluster, arguments, parameter)                                      \
    static_assert(sizeof(arguments) <= 4000, "a kernel's argument is at most 4000 bytes");                        \
    static_assert(std::is_trivially_copyable<arguments>::value, "a kernel's argument is copied as bytes");        \
    static_assert(alignof(arguments) <= 128, "a kernel's argument is aligned to 128 bytes");                      \
    static_assert((threads) >= 1 && (threads) <= 1024 && (blocks) >= 1, "a block has 1 to 1024 threads");         \
    static_assert((cluster) >= 1 && (cluster) <= 8, "a cluster has 1 to 8 blocks on every device that has any");  \
    void name(const arguments &parameter);                                                                        \
    const simulator::kernel name##_registered(#name, threads, blocks, cluster, sizeof(arguments),                 \
                                              [](const void *p) { name(*static_cast<const arguments *>(p)); });   \
    void name(const arguments &parameter)

#define SHARED_ARRAY(type, name, count)                                                                           \
    static const simulator::shared_site name##_site = {#name, sizeof(type[count]), alignof(type),                 \
                                                       {__FILE__, __LINE__}};                                     \
    type(&name)[count] = *static_cast<type(*)[count]>(simulator::shared_memory(name##_site))

#define DYNAMIC_SHARED(name) unsigned char *const name = simulator::dynamic_shared_memory()

/* ---- indices and barriers ---------------------------------------------------------------------------------------- */

#define SIMULATOR_PER_THREAD extern __thread __attribute__((tls_model("initial-exec"), visibility("hidden")))
SIMULATOR_PER_THREAD uint3 threadIdx, blockIdx;
SIMULATOR_PER_THREAD dim3 blockDim, gridDim;

constexpr int warpSize = 32;

inline void __syncthreads(simulator::place where = simulator::place::here()) {
    simulator::barrier(where);
}

inline void __syncwarp(unsigned mask = 0xffffffffu, simulator::place where = simulator::place::here()) {
    simulator::warp_barrier(mask, where);
}

inline void __threadfence() {
    simulator::memory_fence();
}

[[noreturn]] inline void __trap(simulator::place where = simulator::place::here()) {
    simulator::trap(where);
}

/* ---- shuffles and votes ------------------------------------------------------------------------------------------ */

namespace simulator {

template <typename T>
inline T exchange_as(shuffle how, unsigned mask, T value, unsigned operand, int width, place where) {
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof value);
    bits = exchange(how, mask, bits, operand, width, where);
    memcpy(&value, &bits, sizeof value);
    return value;
}

} /* namespace simulator */

#define SIMULATOR_SHUFFLES(T)                                                                                     \
    inline T __shfl_sync(unsigned mask, T value, int lane, int width = 32,                                        \
                         simulator::place where = simulator::place::here()) {                                     \
        return simulator::exchange_as(simulator::shuffle::to, mask, value, (unsigned)lane, width, where);         \
    }                                                                                                             \
    inline T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32,                                   \
                             simulator::place where = simulator::place::here()) {                                 \
        return simulator::exchange_as(simulator::shuffle::exclusive_or, mask, value, (unsigned)lanes, width, where); \
    }                                                                                                             \
    inline T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32,                               \
                            simulator::place where = simulator::place::here()) {                                  \
        return simulator::exchange_as(simulator::shuffle::up, mask, value, delta, width, where);                  \
    }                                                                                                             \
    inline T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32,                             \
                              simulator::place where = simulator::place::here()) {                                \
        return simulator::exchange_as(simulator::shuffle::down, mask, value, delta, width, where);                \
    }
SIMULATOR_SHUFFLES(int)
SIMULATOR_SHUFFLES(unsigned)
SIMULATOR_SHUFFLES(float)
SIMULATOR_SHUFFLES(long)
SIMULATOR_SHUFFLES(unsigned long)
SIMULATOR_SHUFFLES(long long)
SIMULATOR_SHUFFLES(unsigned long long)

inline unsigned __ballot_sync(unsigned mask, int predicate, simulator::place where = simulator::place::here()) {
    return simulator::ballot("__ballot_sync", mask, predicate != 0, where);
}

inline int __any_sync(unsigned mask, int predicate, simulator::place where = simulator::place::here()) {
    return simulator::ballot("__any_sync", mask, predicate != 0, where) != 0;
}

inline int __all_sync(unsigned mask, int predicate, simulator::place where = simulator::place::here()) {
    return simulator::ballot("__all_sync", mask, predicate != 0, where) == mask;
}

/* ---- atomics: relaxed, as on the device -------------------------------------------------------------------------- */

#define SIMULATOR_ATOMIC_ADD(T)                                                                                   \
    inline T atomicAdd(T *address, T value, simulator::place where = simulator::place::here()) {                  \
        simulator::require_alignment("atomicAdd", address, sizeof(T), where);                                     \
        return (T)__atomic_fetch_add((std::make_unsigned<T>::type *)address, (std::make_unsigned<T>::type)value,  \
                                     __ATOMIC_RELAXED);                                                           \
    }
SIMULATOR_ATOMIC_ADD(int)
SIMULATOR_ATOMIC_ADD(unsigned)
SIMULATOR_ATOMIC_ADD(unsigned long long)

#define SIMULATOR_ATOMIC_EXTREME(name, T, better)                                                                 \
    inline T name(T *address, T value, simulator::place where = simulator::place::here()) {                       \
        simulator::require_alignment(#name, address, sizeof(T), where);                                           \
        T old = __atomic_load_n(address, __ATOMIC_RELAXED);                                                       \
        while (value better old &&                                                                                \
               !__atomic_compare_exchange_n(address, &old, value, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {    \
        }                                                                                                         \
        return old;                                                                                               \
    }
SIMULATOR_ATOMIC_EXTREME(atomicMin, int, <)
SIMULATOR_ATOMIC_EXTREME(atomicMin, unsigned, <)
SIMULATOR_ATOMIC_EXTREME(atomicMax, int, >)
SIMULATOR_ATOMIC_EXTREME(atomicMax, unsigned, >)

inline unsigned atomicCAS(unsigned *address, unsigned expected, unsigned desired,
                          simulator::place where = simulator::place::here()) {
    simulator::require_alignment("atomicCAS", address, sizeof *address, where);
    __atomic_compare_exchange_n(address, &expected, desired, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    return expected;
}

/* ---- vectors, wide loads and stores ------------------------------------------------------------------------------ */

#define SIMULATOR_VECTOR_2(name, T)                                                                               \
    struct alignas(2 * sizeof(T)) name { T x, y; };                                                               \
    inline name make_##name(T x, T y) { return {x, y}; }
#define SIMULATOR_VECTOR_4(name, T)                                                                               \
    struct alignas(4 * sizeof(T)) name { T x, y, z, w; };                                                         \
    inline name make_##name(T x, T y, T z, T w) { return {x, y, z, w}; }
SIMULATOR_VECTOR_2(int2, int)
SIMULATOR_VECTOR_2(uint2, unsigned)
SIMULATOR_VECTOR_2(float2, float)
SIMULATOR_VECTOR_4(int4, int)
SIMULATOR_VECTOR_4(uint4, unsigned)
SIMULATOR_VECTOR_4(float4, float)

#define SIMULATOR_LOAD(name)                                                                                      \
    template <typename T>                                                                                         \
    inline T name(const T *address, simulator::place where = simulator::place::here()) {                          \
        simulator::require_alignment(#name, address, alignof(T), where);                                          \
        return *address;                                                                                          \
    }
#define SIMULATOR_STORE(name)                                                                                     \
    template <typename T>                                                                                         \
    inline void name(T *address, typename std::common_type<T>::type value,                                        \
                     simulator::place where = simulator::place::here()) {                                         \
        simulator::require_alignment(#name, address, alignof(T), where);                                          \
        *address = value;                                                                                         \
    }
SIMULATOR_LOAD(__ldg)
SIMULATOR_LOAD(__ldcg)
SIMULATOR_LOAD(__ldcs)
SIMULATOR_STORE(__stcg)
SIMULATOR_STORE(__stcs)

/* ---- arithmetic -------------------------------------------------------------------------------------------------- */

inline unsigned __float_as_uint(float x) {
    unsigned bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

inline int __float_as_int(float x) {
    return (int)__float_as_uint(x);
}

inline float __uint_as_float(unsigned bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

inline float __int_as_float(int bits) {
    return __uint_as_float((unsigned)bits);
}

inline float __fdiv_rn(float a, float b) {
    return a / b;
}

inline int __clz(int x) {
    return x == 0 ? 32 : __builtin_clz((unsigned)x);
}

inline int __popc(unsigned x) {
    return __builtin_popcount(x);
}

/* Byte i of the result is the byte of y:x that bits 4i .. 4i + 2 of the selector name. */
inline unsigned __byte_perm(unsigned x, unsigned y, unsigned selector) {
    const uint64_t bytes = (uint64_t)y << 32 | x;
    unsigned result = 0;
    for (unsigned i = 0; i < 4; i++) result |= ((unsigned)(bytes >> (selector >> 4 * i & 7) * 8) & 0xff) << 8 * i;
    return result;
}

/* The mixed forms are CUDA's: signed and unsigned compare as unsigned. */
#define SIMULATOR_MIN_MAX(R, A, B)                                                                                \
    inline R min(A a, B b) { return (R)a < (R)b ? (R)a : (R)b; }                                                  \
    inline R max(A a, B b) { return (R)a > (R)b ? (R)a : (R)b; }
SIMULATOR_MIN_MAX(int, int, int)
SIMULATOR_MIN_MAX(unsigned, unsigned, unsigned)
SIMULATOR_MIN_MAX(unsigned, int, unsigned)
SIMULATOR_MIN_MAX(unsigned, unsigned, int)
SIMULATOR_MIN_MAX(long, long, long)
SIMULATOR_MIN_MAX(unsigned long, unsigned long, unsigned long)
SIMULATOR_MIN_MAX(long long, long long, long long)
SIMULATOR_MIN_MAX(unsigned long long, unsigned long long, unsigned long long)

/* IEEE minNum and maxNum: a NaN loses. */
inline float min(float a, float b) {
    return b != b || a < b ? a : b;
}

inline float max(float a, float b) {
    return b != b || a > b ? a : b;
}

#endif
