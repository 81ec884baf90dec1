#include <array>
#include <bit>
#include <cstring>

#include "core/float_text.hpp"
#include "core/float_text_digits.hpp"

// std::to_chars would do most of this, but an injected library with a static libstdc++ pays for it
// with a load-time constructor, libm and 700 KB. Integer arithmetic only: rounding modes and
// flushed denormals of the program around make no difference.

namespace orch {
namespace {

static_assert(std::endian::native == std::endian::little, "digits are assembled in registers");

// ---------------------------------------------------------------------------------------------
// Powers of ten, computed by the compiler.

constexpr int min_power = -293;  // one less than used, to prove that
constexpr int max_power = 324;

/// floor(log2(10^n)); the table's maker proves it.
constexpr int binary_exponent(int n) {
    return (n * 1741647) >> 19;
}

/// 10^n * 2^(127 - binary_exponent(n)), rounded down.
struct PowerOfTen {
    std::uint64_t high;
    std::uint64_t low;
};

/// An integer of 832 bits, lowest word first: 5^324 fits with room to spare, and 2^831 / 5^293
/// still has 151 bits.
struct Big {
    std::array<std::uint64_t, 13> words{};

    constexpr void times5() {
        u128 carry = 0;
        for (std::uint64_t& word : words) {
            carry += u128{word} * 5;
            word = static_cast<std::uint64_t>(carry);
            carry >>= 64;
        }
    }

    constexpr void divide_by5() {
        u128 rest = 0;
        for (std::size_t i = words.size(); i-- > 0;) {
            rest = (rest << 64) | words[i];
            words[i] = static_cast<std::uint64_t>(rest / 5);
            rest %= 5;
        }
    }

    constexpr int bit_length() const {
        int length = static_cast<int>(64 * words.size());
        for (std::size_t i = words.size(); i-- > 0; length -= 64) {
            if (words[i] != 0) return length - std::countl_zero(words[i]);
        }
        return 0;
    }

    constexpr std::uint64_t word_at(int bit) const {
        const auto bits_from = [this](int i) {
            return i < 0 ? 0 : words[static_cast<std::size_t>(i)];
        };
        const int word = (bit + 64 * 13) / 64 - 13;  // rounds down, also below zero
        const int shift = bit - 64 * word;
        if (shift == 0) return bits_from(word);
        return (bits_from(word) >> shift) | (bits_from(word + 1) << (64 - shift));
    }

    constexpr PowerOfTen leading_bits() const {
        const int length = bit_length();
        return {word_at(length - 64), word_at(length - 128)};
    }
};

struct PowerTable {
    std::array<PowerOfTen, max_power - min_power + 1> powers{};
    bool exponents_are_right = true;
};

consteval PowerTable make_power_table() {
    PowerTable table;
    const auto put = [&table](int n, const Big& big, int scale) {
        table.powers[static_cast<std::size_t>(n - min_power)] = big.leading_bits();
        table.exponents_are_right &= big.bit_length() - 1 - scale == binary_exponent(n);
    };
    Big big;
    big.words[0] = 1;
    for (int n = 0; n <= max_power; ++n) {
        put(n, big, -n);
        big.times5();
    }
    // Rounding down after every step gives the same as rounding down once at the end.
    big = {};
    big.words[12] = std::uint64_t{1} << 63;
    for (int n = -1; n >= min_power; --n) {
        big.divide_by5();
        put(n, big, 831 - n);
    }
    return table;
}

constexpr PowerTable power_table = make_power_table();
static_assert(power_table.exponents_are_right);

constexpr const PowerOfTen& power_of_ten(int n) {
    return power_table.powers[static_cast<std::size_t>(n - min_power)];
}

// ---------------------------------------------------------------------------------------------
// Double to decimal digits.

constexpr int min_exponent = -1074;  // value = c * 2^q with an integer c, and this is the least q
constexpr int max_exponent = 971;

/// The k of the largest power of ten within the width of the rounding interval: 2^q, or three
/// quarters of that for powers of two, where the neighbour below is nearer.
constexpr int width_log10(int q, int power_of_two) {
    return (q * 1262611 - power_of_two * 524031) >> 22;
}

consteval bool width_log10_is_right() {
    for (int q = min_exponent; q <= max_exponent; ++q) {
        // 1 <= 2^q / 10^k
        const auto fits = [q](int k) { return binary_exponent(-k) + q >= 0; };
        // 4/3 <= 2^q / 10^k; no significand comes so close to 4/3 that its upper half cannot tell.
        const auto fits_three_quarters = [q](int k) {
            const int exponent = binary_exponent(-k) + q;
            return exponent > 0 || (exponent == 0 && power_of_ten(-k).high > 0xaaaaaaaaaaaaaaaaull);
        };
        const int k = width_log10(q, 0);
        const int k3 = width_log10(q, 1);
        if (!fits(k) || fits(k + 1)) return false;
        if (!fits_three_quarters(k3) || fits_three_quarters(k3 + 1)) {
            if (q != min_exponent) return false;  // denormals: the neighbour below is as far
        }
    }
    return true;
}

static_assert(width_log10_is_right());

/// digits * 10^k, at most 17 digits.
struct Decimal {
    std::uint64_t digits;
    int k;
};

/// a < b as 0 or 1, for values less than 2^127 apart; without a branch, as it would be random.
[[gnu::always_inline]] inline std::uint64_t is_less(u128 a, u128 b) {
    return static_cast<std::uint64_t>((a - b) >> 127);
}

/// The shortest decimal within the rounding interval of a magnitude that is not zero, the nearest
/// one if there are several; the same idea as for floats (see float_text.cpp).
///
/// The arithmetic is fixed point, in units of 10^k with 71 bits behind the point, and up to three
/// units in the last place off. Where a boundary or a middle between candidates is hit, it is hit
/// exactly, and otherwise missed by 2^-64.6 or more, far more than `slack`: the continued fractions
/// of the 2 * 2046 quotients 2^q / 10^k show it, for all numerators up to 2^54.
[[gnu::always_inline]] inline Decimal shortest_decimal(std::uint64_t magnitude) {
    constexpr int point = 71;
    constexpr u128 half = u128{1} << (point - 1);
    constexpr u128 slack = 4;

    const auto biased = static_cast<int>(magnitude >> 52);
    const std::uint64_t fraction = magnitude & ((std::uint64_t{1} << 52) - 1);
    const std::uint64_t c = fraction | (std::uint64_t{biased != 0} << 52);
    const int power_of_two = static_cast<int>(fraction == 0) & static_cast<int>(biased > 1);
    const int q = min_exponent + (biased > 0 ? biased - 1 : 0);
    const int k = width_log10(q, power_of_two);
    const PowerOfTen& power = power_of_ten(-k);
    const int exponent = binary_exponent(-k) + q;  // 0 to 3

    // c * 2^q / 10^k, below 2^57, from the upper two of three words.
    const std::uint64_t scaled = c << (exponent + point - 63);
    const u128 value =
        u128{power.high} * scaled + static_cast<std::uint64_t>((u128{power.low} * scaled) >> 64);
    const u128 half_width = ((u128{power.high} << 64) | power.low) >> (128 - point - exponent);
    // A tie reads back as the even neighbour, so the ends belong to the interval where c is even.
    const u128 ends = slack - 2 * slack * (c & 1);
    const u128 low = value - (half_width >> power_of_two) - ends;
    const u128 high = value + half_width + ends;

    // 10^(k+1) is wider than the interval: if a multiple of it fits in, it is the only one and the
    // answer (its zeros go later).
    const std::uint64_t short_digits = static_cast<std::uint64_t>(high >> point) / 10 * 10;
    const std::uint64_t short_misses = 0 - is_less(u128{short_digits} << point, low);  // a mask
    // Otherwise the nearest multiple of 10^k, the even one in a tie. It fits in, except below a
    // power of two.
    const u128 rounded = value + half + slack;
    const std::uint64_t tie = is_less(rounded & (2 * half - 1), 2 * slack);
    auto long_digits = static_cast<std::uint64_t>(rounded >> point);
    long_digits -= tie & long_digits;
    long_digits += is_less(u128{long_digits} << point, low);
    return {(short_digits & ~short_misses) | (long_digits & short_misses), k};
}

// ---------------------------------------------------------------------------------------------
// Digits to text.

/// c * 2^shift for integers that are less than 10^22.
char* write_large_integer(char* out, std::uint64_t c, int shift) {
    // By halves of c, since dividing 128 bits would call a library function.
    constexpr std::uint64_t unit = 100'000'000;
    const std::uint64_t lower = (c % unit) << shift;
    const std::uint64_t upper = ((c / unit) << shift) + lower / unit;
    out = write_u64(out, upper);
    write_digits(out, lower % unit, 8);
    return out + 8;
}

char* write_exponent(char* out, int exponent) {
    out[0] = 'e';
    out[1] = exponent < 0 ? '-' : '+';
    out += 2;
    auto shown = static_cast<std::size_t>(exponent < 0 ? -exponent : exponent);
    if (shown >= 100) {
        *out++ = static_cast<char>('0' + shown / 100);
        shown %= 100;
    }
    std::memcpy(out, &digit_pairs[2 * shown], 2);
    return out + 2;
}

}  // namespace

char* write_f64(char* out, double value) noexcept {
    const auto bits = std::bit_cast<std::uint64_t>(value);
    const std::uint64_t magnitude = bits & ~(std::uint64_t{1} << 63);
    *out = '-';
    out += bits >> 63;
    if (magnitude == 0) {
        std::memcpy(out, "0.0", 3);
        return out + (bits != 0 ? 3 : 1);
    }
    constexpr std::uint64_t implicit = std::uint64_t{1} << 52;
    const std::uint64_t c = (magnitude & (implicit - 1)) | implicit;
    const int exponent2 = static_cast<int>(magnitude >> 52) - 1075;
    if (exponent2 >= -52 && exponent2 <= 0) {
        // Integers are their own shortest digits, and longer than the scientific text only if they
        // end in five zeros or more.
        const std::uint64_t integer = c >> -exponent2;
        if (integer << -exponent2 == c && integer % 100'000 != 0) return write_u64(out, integer);
    }
    const Decimal decimal = shortest_decimal(magnitude);

    // Seventeen digits with zeros behind: one, eight and eight.
    const int length = decimal_length(decimal.digits);
    const std::uint64_t digits = decimal.digits * powers_u64[17 - static_cast<std::size_t>(length)];
    const std::uint64_t upper = digits / 100'000'000;
    const std::uint64_t middle = split_digits(static_cast<std::uint32_t>(upper % 100'000'000));
    const std::uint64_t end = split_digits(static_cast<std::uint32_t>(digits % 100'000'000));
    const auto first = static_cast<char>('0' + upper / 100'000'000);
    const u128 others =
        ((u128{end | ascii_zeros}) << 64) | (middle | ascii_zeros);  // lowest byte first
    const int count = 1 + (end != 0 ? 16 - std::countl_zero(end) / 8
                                    : 8 - std::countl_zero(middle) / 8);  // without zeros behind

    const int exponent = decimal.k + length - 1;
    const int point = exponent + 1;  // digits before the point
    const int scientific_length = count + (count > 1) + (exponent > -100 && exponent < 100 ? 4 : 5);
    if (point >= count && point <= scientific_length) {
        // From 2^53 on the shortest digits filled up with zeros would not be the exact integer,
        // which is no longer and at least as close.
        if (exponent2 > 0) return write_large_integer(out, c, exponent2);
        *out = first;
        std::memcpy(out + 1, &others, 16);
        return out + point;
    }
    if (point > 0 && point < count) {
        // What is behind the point moves up by a byte.
        const u128 kept = ((~u128{0}) >> 8) >> (8 * (16 - point));
        const u128 moved = others & ~kept;
        const u128 text = (others & kept) | (moved << 8);
        *out = first;
        std::memcpy(out + 1, &text, 16);
        out[17] = static_cast<char>(static_cast<std::uint64_t>(others >> 120));
        out[point] = '.';
        return out + count + 1;
    }
    if (point <= 0 && 2 - point + count <= scientific_length) {
        std::memcpy(out, "0.000000", 8);
        char* const digits_begin = out + (2 - point);  // after three zeros at most
        *digits_begin = first;
        std::memcpy(digits_begin + 1, &others, 16);
        return digits_begin + count;
    }
    out[0] = first;
    out[1] = '.';
    std::memcpy(out + 2, &others, 16);
    return write_exponent(out + count + (count > 1), exponent);
}

}  // namespace orch
