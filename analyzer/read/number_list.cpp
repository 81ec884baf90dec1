#include "analyzer/read/number_list.hpp"

#include <array>
#include <bit>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <limits>

namespace orch {
namespace {

/// Powers of ten that a double holds exactly.
constexpr std::array<double, 23> exact_tens = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                               1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                               1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
constexpr std::array<std::uint64_t, 9> integer_tens = {1,      10,      100,      1000,     10000,
                                                       100000, 1000000, 10000000, 100000000};
constexpr std::uint64_t largest_exact = std::uint64_t{1} << 53;

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

struct Digits {
    std::uint64_t number = 0;
    int count = 0;  ///< counted even where `number` has overflowed
};

/// Up to eight at a time, as bytes of one word. The first digit is in the lowest byte.
const char* read_digits(const char* at, Digits& digits) {
    static_assert(std::endian::native == std::endian::little);
    constexpr std::uint64_t ones = 0x0101010101010101U;
    for (;;) {
        std::uint64_t word;
        std::memcpy(&word, at, sizeof word);
        word ^= ones * '0';
        // The top bit of each byte that is no digit; carries only spoil bytes behind the first.
        const std::uint64_t others = ((word + ones * (0x80 - 10)) | word) & ones * 0x80;
        const int count = others == 0 ? 8 : std::countr_zero(others) / 8;
        if (count == 0) return at;
        word <<= 64 - 8 * count;  // zeros come in front
        word = word * 10 + (word >> 8);
        word = (word & 0x00ff00ff00ff00ffU) * ((100U << 16) + 1) >> 16;
        // NOLINTNEXTLINE(readability-magic-numbers)
        word = (word & 0x0000ffff0000ffffU) * ((std::uint64_t{10000} << 32) + 1) >> 32;
        digits.number = digits.number * integer_tens[static_cast<std::size_t>(count)] + word;
        digits.count += count;
        at += count;
        if (count < 8) return at;
    }
}

/// Behind the number; null: it is none, or none that a double holds.
const char* read_number(const char* at, double& value) {
    const char* const begin = at;
    const bool negative = *at == '-';
    at += negative ? 1 : 0;
    const char* const first = at;
    Digits digits;
    at = read_digits(at, digits);
    if (digits.count == 0 || (digits.count > 1 && *first == '0')) return nullptr;
    int exponent = 0;
    if (*at == '.') {
        const int before = digits.count;
        at = read_digits(at + 1, digits);
        exponent = before - digits.count;
        if (exponent == 0) return nullptr;
    }
    if (*at == 'e' || *at == 'E') {
        ++at;
        const bool down = *at == '-';
        at += *at == '-' || *at == '+' ? 1 : 0;
        if (!is_digit(*at)) return nullptr;
        int written = 0;
        for (; is_digit(*at); ++at)
            written = written < 10000 ? written * 10 + (*at - '0') : written;
        exponent += down ? -written : written;
    }
    constexpr int most_digits = 19;  // that a word holds
    const bool is_exact = digits.count <= most_digits && digits.number <= largest_exact &&
                          exponent >= -22 && exponent <= 22;
    if (is_exact) {
        // Both are exact, so the one rounding of the division or product is the right one.
        const auto number = static_cast<double>(digits.number);
        const double size = exponent < 0 ? number / exact_tens[static_cast<std::size_t>(-exponent)]
                                         : number * exact_tens[static_cast<std::size_t>(exponent)];
        value = negative ? -size : size;
        return at;
    }
    const auto [end, error] = std::from_chars(begin, at, value);
    return error == std::errc{} && end == at ? at : nullptr;
}

const char* skip_spaces(const char* at) {
    while (*at == ' ')
        ++at;
    return at;
}

}  // namespace

std::optional<NumberList> reading::read_number_list(const char* at, double* out) {
    NumberList list;
    if (*at != '[') return std::nullopt;
    at = skip_spaces(at + 1);
    if (*at == ']') return list;
    for (;;) {
        double& value = out[list.count++];
        if (std::memcmp(at, "null", 4) == 0) {
            value = std::numeric_limits<double>::quiet_NaN();
            list.has_null = true;
            at += 4;
        } else {
            at = read_number(at, value);
            if (at == nullptr) return std::nullopt;
        }
        at = skip_spaces(at);
        if (*at == ']') return list;
        if (*at != ',') return std::nullopt;
        at = skip_spaces(at + 1);
    }
}

}  // namespace orch
