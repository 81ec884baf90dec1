// What the device code needs of the machine that it is compiled for: nvcc makes GPU code of it, any
// C++ compiler makes host code of the same text, which is what the tests run.
#pragma once
#include <bit>
#include <cstdint>
#include <cstring>

#include "core/half.hpp"

#if defined(__CUDACC__)
#define ORCH_DEVICE __device__ __forceinline__
#define ORCH_NOINLINE __device__ __noinline__
#define ORCH_BOTH __host__ __device__ inline
#else
#define ORCH_DEVICE inline
#define ORCH_NOINLINE inline
#define ORCH_BOTH inline
#endif

namespace orch::device {

/// body(0), body(1), ..., written out: what it indexes then stays in registers.
template <int Count, int From = 0, class Body>
ORCH_DEVICE void repeat(const Body& body) {
    if constexpr (From < Count) {
        body(From);
        repeat<Count, From + 1>(body);
    }
}

namespace target {

/// Tells the compiler where an object lies whose address went through a call.
template <class T>
ORCH_DEVICE T& in_shared(T& object) {
#if defined(__CUDACC__)
    __builtin_assume(__isShared(&object));
#endif
    return object;
}

ORCH_DEVICE float smaller(float a, float b) {
#if defined(__CUDACC__)
    return fminf(a, b);
#else
    return a < b ? a : b;
#endif
}

ORCH_DEVICE float larger(float a, float b) {
#if defined(__CUDACC__)
    return fmaxf(a, b);
#else
    return a > b ? a : b;
#endif
}

ORCH_DEVICE float f16_value(std::uint32_t bits) {
#if defined(__CUDACC__)
    float value;
    asm("{ .reg .b16 half; cvt.u16.u32 half, %1; cvt.f32.f16 %0, half; }"
        : "=f"(value)
        : "r"(bits));
    return value;
#else
    return f16_to_f32(static_cast<std::uint16_t>(bits));
#endif
}

/// Sixteen bytes in one load; `from` is aligned to that.
ORCH_DEVICE void load_16(std::uint32_t* to, const void* from) {
#if defined(__CUDACC__)
    const uint4 v = *static_cast<const uint4*>(from);
    to[0] = v.x;
    to[1] = v.y;
    to[2] = v.z;
    to[3] = v.w;
#else
    std::memcpy(to, from, 16);
#endif
}

ORCH_DEVICE void store_16(void* to, const std::uint32_t* from) {
#if defined(__CUDACC__)
    *static_cast<uint4*>(to) = make_uint4(from[0], from[1], from[2], from[3]);
#else
    std::memcpy(to, from, 16);
#endif
}

ORCH_DEVICE void load_8(std::uint32_t* to, const void* from) {
#if defined(__CUDACC__)
    const uint2 v = *static_cast<const uint2*>(from);
    to[0] = v.x;
    to[1] = v.y;
#else
    std::memcpy(to, from, 8);
#endif
}

/// What another block, another launch or the host may have written meanwhile.
template <class T>
ORCH_DEVICE T load_fresh(const T* from) {
#if defined(__CUDACC__)
    return *const_cast<const volatile T*>(from);
#else
    T value;
    __atomic_load(from, &value, __ATOMIC_ACQUIRE);
    return value;
#endif
}

template <class T>
ORCH_DEVICE void store_now(T* to, T value) {
#if defined(__CUDACC__)
    *const_cast<volatile T*>(to) = value;
#else
    __atomic_store(to, &value, __ATOMIC_RELEASE);
#endif
}

ORCH_DEVICE std::uint32_t fetch_add(std::uint32_t* to, std::uint32_t value) {
#if defined(__CUDACC__)
    return atomicAdd(to, value);
#else
    return __atomic_fetch_add(to, value, __ATOMIC_ACQ_REL);
#endif
}

ORCH_DEVICE std::uint64_t fetch_add(std::uint64_t* to, std::uint64_t value) {
#if defined(__CUDACC__)
    return atomicAdd(reinterpret_cast<unsigned long long*>(to), value);
#else
    return __atomic_fetch_add(to, value, __ATOMIC_ACQ_REL);
#endif
}

/// True if it was `expected`; else `expected` is what it was.
ORCH_DEVICE bool compare_exchange(std::uint32_t* at, std::uint32_t& expected,
                                  std::uint32_t desired) {
#if defined(__CUDACC__)
    const std::uint32_t seen = atomicCAS(at, expected, desired);
    const bool done = seen == expected;
    expected = seen;
    return done;
#else
    return __atomic_compare_exchange_n(at, &expected, desired, false, __ATOMIC_ACQ_REL,
                                       __ATOMIC_ACQUIRE);
#endif
}

/// What this thread wrote is seen by the other blocks before what it writes next. On the host the
/// atomic operations above see to that.
ORCH_DEVICE void fence() {
#if defined(__CUDACC__)
    __threadfence();
#endif
}

/// The same, and seen by the host.
ORCH_DEVICE void fence_system() {
#if defined(__CUDACC__)
    __threadfence_system();
#endif
}

}  // namespace target
}  // namespace orch::device
