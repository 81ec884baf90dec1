#include "core/float_text.hpp"

#include <array>
#include <atomic>
#include <bit>
#include <cstring>

#include "core/float_text_digits.hpp"
#include "core/half.hpp"

namespace orch {
namespace {

static_assert(std::endian::native == std::endian::little, "digits are assembled in registers");

// ---------------------------------------------------------------------------------------------
// Tables, computed by the compiler.

constexpr int f32_min_exponent =
    -149;                       // value = c * 2^q with an integer c, and this is the least q
constexpr int min_log10 = -46;  // somewhat below the least k

constexpr auto make_powers_of_five() {
    std::array<u128, 47> powers{};  // the last one is below 2^107
    u128 p = 1;
    for (u128& power : powers) {
        power = p;
        p *= 5;
    }
    return powers;
}

constexpr auto powers_of_five = make_powers_of_five();

constexpr u128 pow5(int n) {
    return powers_of_five[static_cast<std::size_t>(n)];
}

constexpr int bit_length(u128 v) {
    int length = 0;
    for (; v != 0; v >>= 1)
        ++length;
    return length;
}

/// a * 2^e <= b, for a and b that are not zero, and without overflow.
constexpr bool scaled_at_most(u128 a, int e, u128 b) {
    if (e < 0) return bit_length(b) - e > 128 || a <= (b << -e);
    return bit_length(a) + e <= 128 && (a << e) <= b;
}

/// 10^k <= w * 2^q
constexpr bool power_of_ten_at_most(int k, u128 w, int q) {
    return k >= 0 ? scaled_at_most(pow5(k), k - q, w) : scaled_at_most(1, k - q, w * pow5(-k));
}

/// 10^n * 2^(63 - exponent), rounded up, where the exponent is the one that gives 64 bits.
struct PowerOfTen {
    std::uint64_t significand;
    int exponent;
};

constexpr PowerOfTen power_of_ten(int n) {
    if (n >= 0) {
        const u128 p = pow5(n);
        const int length = bit_length(p);
        if (length <= 64) return {static_cast<std::uint64_t>(p << (64 - length)), n + length - 1};
        const int dropped = length - 64;
        const bool inexact = (p & ((u128{1} << dropped) - 1)) != 0;
        return {static_cast<std::uint64_t>(p >> dropped) + inexact, n + length - 1};
    }
    // Long division of a power of two by 5^-n, one bit at a time; the remainder is never zero.
    const u128 divisor = pow5(-n);
    const int length = bit_length(divisor);
    u128 remainder = u128{1} << (length - 1);
    std::uint64_t quotient = 0;
    for (int i = 0; i < 64; ++i) {
        remainder <<= 1;
        const bool bit = remainder >= divisor;
        quotient = (quotient << 1) | bit;
        if (bit) remainder -= divisor;
    }
    return {quotient + 1, n - length};
}

/// For one binary exponent q: 10^k is the largest power of ten within the width of the rounding
/// interval, and `unit` is 2^q / 10^k (from 1 to less than 16) with 60 bits behind the point,
/// rounded up.
struct Scale {
    std::uint64_t unit;
    std::int64_t k;
};

constexpr auto make_scales() {
    // [0] for ordinary values, whose interval is 2^q wide; [1] for powers of two, where it is three
    // quarters of that because the neighbour below is nearer. By biased exponent; 255 is NaN and
    // infinity: out of contract, but it must not read out of bounds.
    std::array<std::array<Scale, 256>, 2> scales{};
    for (std::size_t kind = 0; kind < 2; ++kind) {
        int k = min_log10;
        PowerOfTen p = power_of_ten(-k);
        for (int biased = 0; biased < 256; ++biased) {
            const int q = f32_min_exponent + (biased > 0 ? biased - 1 : 0);
            while (power_of_ten_at_most(k + 1, kind == 0 ? 1 : 3, kind == 0 ? q : q - 2)) {
                p = power_of_ten(-++k);
            }
            const int dropped = 3 - p.exponent - q;
            const std::uint64_t round_up = (std::uint64_t{1} << dropped) - 1;
            // In this order the sum cannot overflow.
            const std::uint64_t unit =
                (p.significand >> dropped) + ((p.significand & round_up) != 0 ? 1 : 0);
            scales[kind][static_cast<std::size_t>(biased)] = {unit, k};
        }
    }
    return scales;
}

constexpr auto scales = make_scales();

/// Fixed notation of nine digits (zeros in front) times 10^k, for values below 1 with "0.00" before
/// them and otherwise with a point inside: the bytes under `keep` stay, the others move up by
/// `shift` bits, `fixed` supplies the rest.
struct FixedLayout {
    std::uint64_t keep;
    std::uint64_t fixed;
    std::int64_t shift;
    std::int64_t length;
    std::int64_t strippable;  // digits before the point, but for the last one
    std::int64_t zero_limit;  // with fewer zeros at the end there is a fraction of several digits
};

constexpr int min_fixed_k = -12;
constexpr int max_fixed_k = -2;  // the point must be one of the first eight bytes

constexpr auto make_fixed_layouts() {
    std::array<FixedLayout, max_fixed_k - min_fixed_k + 1> layouts{};
    for (int k = min_fixed_k; k <= max_fixed_k; ++k) {
        FixedLayout& layout = layouts[static_cast<std::size_t>(k - min_fixed_k)];
        const int before_point = 9 + k;
        layout.zero_limit = -k < 6 ? -k : 6;
        if (before_point > 0) {
            layout.keep = ~std::uint64_t{0} >> (64 - 8 * before_point);
            layout.fixed = std::uint64_t{'.'} << (8 * before_point);
            layout.shift = 8;
            layout.length = 10;
            layout.strippable = before_point - 1;
        } else {
            const int prefix = 2 - before_point;
            layout.fixed = '0' | (std::uint64_t{'.'} << 8);
            for (int i = 2; i < prefix; ++i)
                layout.fixed |= std::uint64_t{'0'} << (8 * i);
            layout.shift = 8 * prefix;
            layout.length = prefix + 9;
        }
    }
    return layouts;
}

constexpr auto fixed_layouts = make_fixed_layouts();

// ---------------------------------------------------------------------------------------------
// Float to decimal digits.

/// digits * 10^k. At most nine digits, at most 1.7e8; seven or more for normal values.
struct Decimal {
    std::uint32_t digits;
    std::int64_t k;
};

/// a < b as 0 or 1, for values less than 2^63 apart. Compilers make branches of comparisons, or set
/// bytes of registers that then wait for the register's previous use, the preceding value's text.
[[gnu::always_inline]] inline std::uint64_t is_less(std::uint64_t a, std::uint64_t b) {
    return (a - b) >> 63;
}

/// The shortest decimal within the rounding interval of a magnitude that is not zero, the nearest
/// one if there are several. The idea is that of Giulietti's Schubfach: with 10^k just below the
/// width of the interval, only one multiple of 10^(k+1) and the two multiples of 10^k around the
/// value need a look. Both lengths are computed and selected without branches, since which one wins
/// is close to random.
///
/// The arithmetic is fixed point, in units of 10^k with 36 bits behind the point, and up to two
/// units in the last place off. Where a boundary or a middle between candidates is hit, it is hit
/// exactly, and otherwise missed by more than `slack`; float_text_all shows it for all floats.
[[gnu::always_inline]] inline Decimal shortest_decimal(std::uint32_t magnitude) {
    constexpr int point = 36;
    constexpr std::uint64_t half = std::uint64_t{1} << (point - 1);
    constexpr std::uint64_t slack = 4;

    const std::uint32_t biased = magnitude >> 23;
    const std::uint32_t fraction = magnitude & 0x7fffffu;
    const std::uint64_t c = fraction | (biased != 0 ? 0x800000u : 0);
    const std::uint32_t power_of_two = ((fraction - 1) >> 31) & std::uint32_t{biased > 1};
    const Scale& scale = scales[power_of_two][biased];

    const auto value =
        static_cast<std::uint64_t>((static_cast<u128>(scale.unit) * (c << (point + 4))) >> 64);
    const std::uint64_t half_width = scale.unit >> (60 - point + 1);
    // A tie reads back as the even neighbour, so the ends belong to the interval where c is even.
    const std::uint64_t ends = slack - 2 * slack * (c & 1);
    const std::uint64_t low = value - (half_width >> power_of_two) - ends;
    const std::uint64_t high = value + half_width + ends;

    // 10^(k+1) is wider than the interval: if a multiple of it fits in, it is the only one and the
    // answer (its zeros go later).
    const std::uint64_t short_digits = (high >> point) / 10 * 10;
    const std::uint64_t short_misses = 0 - is_less(short_digits << point, low);  // a mask
    // Otherwise the nearest multiple of 10^k, the even one in a tie. It fits in, except below a
    // power of two.
    const std::uint64_t rounded = value + half + slack;
    const std::uint64_t tie = is_less(rounded & (2 * half - 1), 2 * slack);
    std::uint64_t long_digits = rounded >> point;
    long_digits -= tie & long_digits;
    long_digits += is_less(long_digits << point, low);
    return {
        static_cast<std::uint32_t>((short_digits & ~short_misses) | (long_digits & short_misses)),
        scale.k};
}

/// Stores 15 bytes, so that a sign before them still stays within 16.
[[gnu::always_inline]] inline void store15(char* out, std::uint64_t low, std::uint64_t high) {
    const std::uint64_t tail = (low >> 56) | (high << 8);
    std::memcpy(out, &low, 8);
    std::memcpy(out + 7, &tail, 8);
}

/// Any finite magnitude, without hurry; `out` is behind the sign.
[[gnu::noinline]] char* write_general(char* out, std::uint32_t magnitude, bool negative) {
    if (magnitude == 0) {
        std::memcpy(out, "0.0", 3);
        return out + (negative ? 3 : 1);
    }
    Decimal decimal = shortest_decimal(magnitude);
    // The only float whose shortest text, 7.038531e-26, lies so close to the middle between two
    // floats that rounding to double first lands on the wrong one.
    if (magnitude == 0x15ae43fdu) decimal = {70385307, -33};
    std::int64_t exponent = decimal.k + 8;
    for (; decimal.digits < 100'000'000; decimal.digits *= 10)
        --exponent;

    const std::uint64_t v = split_digits(decimal.digits % 100'000'000);
    const std::int64_t count = 9 - std::countl_zero(v) / 8;
    const std::uint64_t first8 = (decimal.digits / 100'000'000 | (v << 8)) | ascii_zeros;
    const std::uint64_t last = (v >> 56) | '0';

    const std::int64_t point = exponent + 1;  // digits before the point
    const std::int64_t scientific_length = count + (count > 1) + 4;
    if (point >= count && point <= scientific_length) {
        // From 2^24 on the shortest digits filled up with zeros would not be the exact integer,
        // which is no longer and at least as close.
        if (magnitude >= std::bit_cast<std::uint32_t>(0x1p24f)) {
            const std::uint64_t c = (magnitude & 0x7fffffu) | 0x800000u;
            return write_u64(out, c << ((magnitude >> 23) - 150));
        }
        store15(out, first8, last);
        return out + point;
    }
    if (point > 0 && point < count) {
        const int shift = static_cast<int>(8 * point);  // a fraction leaves seven at most
        const std::uint64_t keep = (std::uint64_t{1} << shift) - 1;
        const std::uint64_t moved = first8 & ~keep;
        store15(out, (first8 & keep) | (std::uint64_t{'.'} << shift) | (moved << 8),
                (moved >> 56) | (last << 8));
        return out + count + 1;
    }
    if (point <= 0 && 2 - point + count <= scientific_length) {
        const int shift = static_cast<int>(8 * (2 - point));
        const std::uint64_t prefix = (ascii_zeros & ~0xff00ull) | ('.' << 8);
        store15(out, (prefix & ((std::uint64_t{1} << shift) - 1)) | (first8 << shift),
                (first8 >> (64 - shift)) | (last << shift));
        return out + 2 - point + count;
    }
    store15(out, (first8 & 0xff) | ('.' << 8) | ((first8 & ~0xffull) << 8),
            (first8 >> 56) | (last << 8));
    out += count + (count > 1);
    out[0] = 'e';
    out[1] = exponent < 0 ? '-' : '+';
    const auto shown = static_cast<std::size_t>(exponent < 0 ? -exponent : exponent);
    std::memcpy(out + 2, &digit_pairs[2 * shown], 2);
    return out + 4;
}

constexpr std::uint32_t fixed_begin = std::bit_cast<std::uint32_t>(1e-4f);
constexpr std::uint32_t fixed_end = std::bit_cast<std::uint32_t>(0x1p20f);  // from here k is -1

/// What most values of most tensors need: fixed notation with a fraction. How the digits are laid
/// out depends on the binary exponent alone, and so do not the branches.
[[gnu::always_inline]] inline char* write_f32_inline(char* out, float value) {
    const auto bits = std::bit_cast<std::uint32_t>(value);
    const std::uint32_t magnitude = bits & 0x7fffffffu;
    const bool negative = (bits >> 31) != 0;
    *out = '-';
    out += bits >> 31;
    if (magnitude - fixed_begin >= fixed_end - fixed_begin) [[unlikely]] {
        return write_general(out, magnitude, negative);
    }
    const Decimal decimal = shortest_decimal(magnitude);
    const FixedLayout& layout = fixed_layouts[static_cast<std::size_t>(decimal.k - min_fixed_k)];
    // A ninth digit in front can only be a 1.
    const std::uint64_t missing9 = is_less(decimal.digits, 100'000'000);
    const std::uint64_t missing8 = is_less(decimal.digits, 10'000'000);
    const std::uint64_t v =
        split_digits(decimal.digits - (static_cast<std::uint32_t>(missing9 - 1) & 100'000'000u));
    const std::int64_t zeros = std::countl_zero(v) / 8;  // at the end
    // Integers and the shortest texts, which may be scientific.
    if (zeros >= layout.zero_limit) [[unlikely]]
        return write_general(out, magnitude, negative);

    const std::uint64_t digits = ((1 - missing9) | (v << 8)) | ascii_zeros;
    const std::uint64_t last = (v >> 56) | '0';
    const std::uint64_t moved = digits & ~layout.keep;
    const std::uint64_t low = (digits & layout.keep) | layout.fixed | (moved << layout.shift);
    const std::uint64_t high = (moved >> (64 - layout.shift)) | (last << layout.shift);
    const auto missing = static_cast<std::int64_t>(missing9 + missing8);
    const std::int64_t strip = missing < layout.strippable ? missing : layout.strippable;
    store15(out, (low >> (8 * strip)) | ((high << 1) << (63 - 8 * strip)), high >> (8 * strip));
    return out + layout.length - zeros - strip;
}

// ---------------------------------------------------------------------------------------------
// 16-bit formats.

/// The text of one bit pattern, its length in the last byte; all zero until it is first needed.
/// Threads that meet on an empty slot all compute the same text, so nobody ever waits.
struct TextSlot {
    std::atomic<std::uint64_t> low;
    std::atomic<std::uint64_t> high;
};

static_assert(std::atomic<std::uint64_t>::is_always_lock_free && sizeof(TextSlot) == 16);

// Without initialisers these lie in .bss: pages nobody touches cost nothing.
constinit TextSlot f16_texts[65536];
constinit TextSlot bf16_texts[65536];

[[gnu::noinline]] std::uint64_t fill_slot(TextSlot& slot, float value) {
    char text[max_half_text] = {};
    const char* end = write_f32(text, value);
    text[15] = static_cast<char>(end - text);
    std::uint64_t low;
    std::uint64_t high;
    std::memcpy(&low, text, 8);
    std::memcpy(&high, text + 8, 8);
    slot.low.store(low, std::memory_order_relaxed);
    slot.high.store(high, std::memory_order_release);  // publishes both words
    return high;
}

template <float (*widen)(std::uint16_t) noexcept>
[[gnu::always_inline]] inline char* write_slot(char* out, TextSlot* slots, std::uint16_t bits) {
    TextSlot& slot = slots[bits];
    std::uint64_t high = slot.high.load(std::memory_order_acquire);
    if (high == 0) [[unlikely]]
        high = fill_slot(slot, widen(bits));
    const std::uint64_t low = slot.low.load(std::memory_order_relaxed);
    std::memcpy(out, &low, 8);
    std::memcpy(out + 8, &high, 8);
    return out + (high >> 56);
}

/// The writers leave room for it: no text has more than 15 bytes.
template <class T, class Write>
[[gnu::always_inline]] inline char* write_list(char* out, const T* values, std::size_t count,
                                               Write write) {
    if (count == 0) return out;
    for (std::size_t i = 0; i < count; ++i) {
        out = write(out, values[i]);
        *out++ = ',';
    }
    return out - 1;
}

}  // namespace

char* write_f32(char* out, float value) noexcept {
    return write_f32_inline(out, value);
}

char* write_f16(char* out, std::uint16_t bits) noexcept {
    return write_slot<f16_to_f32>(out, f16_texts, bits);
}

char* write_bf16(char* out, std::uint16_t bits) noexcept {
    return write_slot<bf16_to_f32>(out, bf16_texts, bits);
}

char* write_u64(char* out, std::uint64_t value) noexcept {
    const int length = decimal_length(value);
    write_digits(out, value, length);
    return out + length;
}

char* write_i64(char* out, std::int64_t value) noexcept {
    auto magnitude = static_cast<std::uint64_t>(value);
    if (value < 0) {
        *out++ = '-';
        magnitude = 0 - magnitude;
    }
    return write_u64(out, magnitude);
}

char* write_f32_list(char* out, const float* values, std::size_t count) noexcept {
    return write_list(out, values, count,
                      [](char* p, float value) { return write_f32_inline(p, value); });
}

char* write_f16_list(char* out, const std::uint16_t* values, std::size_t count) noexcept {
    return write_list(out, values, count, [](char* p, std::uint16_t bits) {
        return write_slot<f16_to_f32>(p, f16_texts, bits);
    });
}

char* write_bf16_list(char* out, const std::uint16_t* values, std::size_t count) noexcept {
    return write_list(out, values, count, [](char* p, std::uint16_t bits) {
        return write_slot<bf16_to_f32>(p, bf16_texts, bits);
    });
}

}  // namespace orch
