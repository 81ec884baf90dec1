#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

// Digit writers that the number writers share; nobody else should include this.

namespace orch {

__extension__ using u128 = unsigned __int128;

constexpr auto make_digit_pairs() {
    std::array<char, 200> pairs{};
    for (std::size_t i = 0; i < 100; ++i) {
        pairs[2 * i] = static_cast<char>('0' + i / 10);
        pairs[2 * i + 1] = static_cast<char>('0' + i % 10);
    }
    return pairs;
}

inline constexpr auto digit_pairs = make_digit_pairs();

constexpr auto make_powers_u64() {
    std::array<std::uint64_t, 20> powers{};
    std::uint64_t p = 1;
    for (auto& power : powers) {
        power = p;
        p *= 10;
    }
    return powers;
}

inline constexpr auto powers_u64 = make_powers_u64();

/// Eight digits, one a byte, the first one lowest.
[[gnu::always_inline]] inline std::uint64_t split_digits(std::uint32_t digits) {
    // Halve the group size three times, each step on all groups of the word at once.
    std::uint64_t v = digits / 10'000u | (std::uint64_t{digits % 10'000u} << 32);
    const std::uint64_t hundreds = ((v * 5243) >> 19) & 0x0000007f0000007full;
    v = hundreds | ((v - hundreds * 100) << 16);
    const std::uint64_t tens = ((v * 103) >> 10) & 0x000f000f000f000full;
    return tens | ((v - tens * 10) << 8);
}

inline constexpr std::uint64_t ascii_zeros = 0x3030303030303030ull;

inline int decimal_length(std::uint64_t value) {
    // log10(2) is about 1233 / 4096; the estimate is at most one too low.
    const int estimate = ((64 - std::countl_zero(value | 1)) * 1233) >> 12;
    return estimate + ((value | 1) >= powers_u64[static_cast<std::size_t>(estimate)]);
}

/// Exactly `length` digits, zeros in front.
inline void write_digits(char* out, std::uint64_t value, int length) {
    char* p = out + length;
    for (; p - out >= 2; value /= 100) {
        p -= 2;
        std::memcpy(p, &digit_pairs[2 * (value % 100)], 2);
    }
    if (p != out) *out = static_cast<char>('0' + value % 10);
}

}  // namespace orch
