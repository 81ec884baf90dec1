#pragma once

#include <bit>
#include <cstdint>

namespace orch {

/// Widens a bfloat16 bit pattern; exact, since bfloat16 is the upper half of a float.
constexpr float bf16_to_f32(std::uint16_t bits) noexcept {
    return std::bit_cast<float>(std::uint32_t{bits} << 16);
}

/// Widens an IEEE binary16 bit pattern; exact for every finite value, denormals included.
constexpr float f16_to_f32(std::uint16_t bits) noexcept {
    const std::uint32_t sign = (bits & 0x8000u) << 16;
    const std::uint32_t exponent = (bits >> 10) & 0x1fu;
    const std::uint32_t fraction = bits & 0x3ffu;
    std::uint32_t magnitude = 0;
    if (exponent == 0) {
        // Every half denormal is a normal float (or zero), so the product is exact and also
        // safe in programs that flush denormals.
        magnitude = std::bit_cast<std::uint32_t>(static_cast<float>(fraction) * 0x1p-24f);
    } else if (exponent == 0x1f) {
        magnitude = 0x7f800000u | (fraction << 13);
    } else {
        magnitude = ((exponent + (127 - 15)) << 23) | (fraction << 13);
    }
    return std::bit_cast<float>(sign | magnitude);
}

}  // namespace orch
