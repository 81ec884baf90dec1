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
    unsigned count = 0;
};

/// Up to eight digits at once, as bytes of one word: the first digit is in the lowest byte.
[[gnu::always_inline]] inline Digits eight_digits(const char* at) {
    static_assert(std::endian::native == std::endian::little);
    constexpr std::uint64_t ones = 0x0101010101010101U;
    std::uint64_t word;
    std::memcpy(&word, at, sizeof word);
    word ^= ones * '0';
    // The top bit of each byte that is no digit; a carry only spoils bytes behind the first such.
    const std::uint64_t others = ((word + ones * (0x80 - 10)) | word) & ones * 0x80;
    const auto count = static_cast<unsigned>(std::countr_zero(others)) / 8;  // 8: all are digits
    // Zeros come in front; in two steps, for no shift by 64 is defined.
    word = word << 4 * (8 - count) << 4 * (8 - count);
    // Neighbours are joined: to numbers of two digits, of four, of eight.
    word = word * 10 + (word >> 8);
    word = ((word & 0x00ff00ff00ff00ffU) * ((100U << 16) + 1)) >> 16;
    word = ((word & 0x0000ffff0000ffffU) * ((std::uint64_t{10000} << 32) + 1)) >> 32;
    return {word, count};
}

/// Up to sixteen digits behind `number`, without a branch: how many there are cannot be foreseen.
[[gnu::always_inline]] inline Digits sixteen_digits(const char* at, std::uint64_t number) {
    const Digits first = eight_digits(at);
    Digits second = eight_digits(at + 8);
    const std::uint64_t all = first.count == 8 ? ~std::uint64_t{0} : 0;
    second.number &= all;
    second.count &= static_cast<unsigned>(all);
    number = number * integer_tens[first.count] + first.number;
    number = number * integer_tens[second.count] + second.number;
    return {number, first.count + second.count};
}

/// The number at `at`, as from_chars has it; null if it is none that a double holds.
const char* read_odd_number(const char* begin, const char* end, double& value) {
    const auto [stop, error] = std::from_chars(begin, end, value);
    return error == std::errc{} && stop == end ? end : nullptr;
}

const char* skip_digits(const char* at) {
    while (is_digit(*at))
        ++at;
    return at;
}

/// By the grammar of JSON. Behind the number; null: it is none, or none that a double holds.
[[gnu::always_inline]] inline const char* read_number(const char* at, double& value) {
    const char* const begin = at;
    const std::uint64_t negative = *at == '-' ? 1 : 0;
    at += negative;
    const char* const first = at;
    if (!is_digit(*at)) return nullptr;
    auto number = static_cast<std::uint64_t>(*at - '0');
    ++at;
    if (is_digit(*at)) {
        if (*first == '0') return nullptr;
        at = skip_digits(at);
        if (at - first > 18) number = largest_exact + 1;
        for (const char* digit = first + 1; number <= largest_exact && digit < at; ++digit)
            number = number * 10 + static_cast<std::uint64_t>(*digit - '0');
    }
    int exponent = 0;
    if (*at == '.') {
        const Digits digits = sixteen_digits(at + 1, number);
        if (digits.count == 0) return nullptr;
        // More than 19 in all may not fit into the word; then they are counted, not read.
        const bool fits = digits.count < 16 && (at - first) + digits.count <= 19;
        number = fits ? digits.number : largest_exact + 1;
        exponent = -static_cast<int>(digits.count);
        at += 1 + digits.count;
        if (digits.count == 16) at = skip_digits(at);
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
    if (number > largest_exact || exponent < -22 || exponent > 22) {
        return read_odd_number(begin, at, value);
    }
    // Both are exact, so the one rounding of the division or product is the right one.
    const auto exact = static_cast<double>(number);
    const double size = exponent <= 0 ? exact / exact_tens[static_cast<std::size_t>(-exponent)]
                                      : exact * exact_tens[static_cast<std::size_t>(exponent)];
    value = std::bit_cast<double>(std::bit_cast<std::uint64_t>(size) | negative << 63);
    return at;
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
        if (*at == 'n') {
            if (std::memcmp(at, "null", 4) != 0) return std::nullopt;
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
