// Checks write_f64 on many random doubles:
//
//   float_text_f64_random [count [seed]]      (100 million of seed 1)
//
// Each text must equal that of std::to_chars, negative values included. Equal shares are random bit
// patterns, patterns of ordinary magnitude, decimal numbers of 1 to 17 digits with a neighbour, and
// integers with and without a binary fraction. Takes minutes; not part of the normal tests.

#include <array>
#include <bit>
#include <charconv>
#include <cinttypes>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "core/float_text.hpp"

namespace {

/// A counter through a 64-bit mixer: cheap next to what it tests.
class Random {
  public:
    explicit Random(std::uint64_t seed) : state_(seed * 0xd1342543de82ef95ull) {}

    std::uint64_t operator()() {
        state_ += 0x9e3779b97f4a7c15ull;
        std::uint64_t x = state_;
        x = (x ^ (x >> 32)) * 0xd6e8feb86659fd93ull;
        x = (x ^ (x >> 32)) * 0xd6e8feb86659fd93ull;
        return x ^ (x >> 32);
    }

  private:
    std::uint64_t state_;
};

constexpr std::uint64_t sign = std::uint64_t{1} << 63;

/// A decimal number of 1 to 17 digits, or a double next to it; it need not be the nearest one.
std::uint64_t decimal_pattern(std::uint64_t a, std::uint64_t b) {
    std::uint64_t unit = 10;
    for (std::uint64_t digits = a % 17; digits > 0; --digits)
        unit *= 10;
    // Half of them near 1, where texts are fixed.
    const int power =
        b % 2 != 0 ? static_cast<int>((b >> 8) % 632) - 340 : static_cast<int>((b >> 8) % 48) - 26;
    char text[48];
    const int length = std::snprintf(text, sizeof text, "%" PRIu64 "e%d", (a >> 5) % unit, power);
    double value = 0;
    std::from_chars(text, text + length, value);
    const auto bits = std::bit_cast<std::uint64_t>(value);
    return (b >> 40) % 4 == 0 && bits != 0 ? bits + (b >> 50) % 3 - 1 : bits;
}

std::uint64_t pattern(std::uint64_t i, Random& random) {
    const std::uint64_t a = random();
    switch (i % 4) {
        case 0:
            return a;
        case 1:  // 2^-44 to 2^84
            return (a & ~(std::uint64_t{0x7ff} << 52)) | ((979 + (a >> 20) % 128) << 52);
        case 2:
            return decimal_pattern(a, random());
        default: {
            const std::uint64_t b = random();
            const auto integer = static_cast<double>(a >> 10 >> b % 54);
            const int shift = b & 64 ? 0 : static_cast<int>((b >> 8) % 40) - 16;
            return std::bit_cast<std::uint64_t>(std::ldexp(integer, shift)) | (b & sign);
        }
    }
}

bool check(std::uint64_t bits) {
    const auto value = std::bit_cast<double>(bits);
    std::array<char, orch::max_f64_text + 1> mine;
    mine.back() = '#';
    const char* const end = orch::write_f64(mine.data(), value);
    const auto length = static_cast<std::size_t>(end - mine.data());
    char reference[64] = "-0.0";
    const char* const reference_end =
        bits == sign ? reference + 4
                     : std::to_chars(reference, reference + sizeof reference, value).ptr;
    if (mine.back() == '#' && length == static_cast<std::size_t>(reference_end - reference) &&
        std::memcmp(mine.data(), reference, length) == 0) {
        return true;
    }
    std::printf("%016" PRIx64 ": %.*s, std::to_chars %.*s\n", bits, static_cast<int>(length),
                mine.data(), static_cast<int>(reference_end - reference), reference);
    return false;
}

}  // namespace

int main(int argc, char** argv) {
    const std::uint64_t count = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 100'000'000;
    const std::uint64_t seed = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1;
    Random random(seed);
    std::uint64_t checked = 0;
    std::uint64_t bad = 0;
    for (std::uint64_t i = 0; i < count && bad < 100; ++i) {
        const std::uint64_t bits = pattern(i, random);
        if ((bits & ~sign) >= std::uint64_t{0x7ff} << 52) continue;  // not finite
        ++checked;
        bad += !check(bits);
        if (i % 50'000'000 == 0) std::fprintf(stderr, "%" PRIu64 " / %" PRIu64 "\n", i, count);
    }
    std::printf("%" PRIu64 " doubles of seed %" PRIu64 ", %" PRIu64 " wrong\n", checked, seed, bad);
    return bad != 0;
}
