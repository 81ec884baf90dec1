// The counter-based hashes behind every sketch, defined once: any reader, any engine, the CPU and a
// GPU kernel compute the same signs. docs/FORMAT.md, "Sketches", is the written contract.
#pragma once
#include <cstdint>

namespace orch {

/// A 32-bit finaliser with low bias: every input bit reaches every output bit.
constexpr std::uint32_t mix32(std::uint32_t x) {
    x ^= x >> 16;
    x *= 0x7feb352dU;
    x ^= x >> 15;
    x *= 0x846ca68bU;
    x ^= x >> 16;
    return x;
}

constexpr std::uint64_t mix64(std::uint64_t x) {
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9ULL;
    x ^= x >> 27;
    x *= 0x94d049bb133111ebULL;
    x ^= x >> 31;
    return x;
}

/// Takes one more number into a hash.
constexpr std::uint64_t combine64(std::uint64_t hash, std::uint64_t value) {
    return mix64(hash ^ (value + 0x9e3779b97f4a7c15ULL));
}

/// Hash of a feature index. Its top bit is the sketch sign of that feature (set = minus); with the
/// lowest bit set, it is the feature's multiplier in the buffer hash.
constexpr std::uint32_t feature_hash(std::uint32_t feature) {
    return mix32(feature + 0x9e3779b9U);
}

/// Sign of a feature in a sketch.
constexpr float sketch_sign(std::uint32_t feature) {
    return (feature_hash(feature) >> 31) != 0 ? -1.0F : 1.0F;
}

/// Sign of a token's row in the mixed sketch; keyed by the token's position, so that prefill chunks
/// and single decode steps add up to the same sum.
constexpr float position_sign(std::int64_t position) {
    return (mix64(static_cast<std::uint64_t>(position) + 0x51ed2701a5f1c4b7ULL) >> 63) != 0 ? -1.0F
                                                                                            : 1.0F;
}

/// Multiplier of a token's row in the buffer hash.
constexpr std::uint64_t position_multiplier(std::int64_t position) {
    return mix64(static_cast<std::uint64_t>(position) + 0x9e3779b97f4a7c15ULL) | 1U;
}

}  // namespace orch
