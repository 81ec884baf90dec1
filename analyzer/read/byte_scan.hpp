// Steps over runs of bytes of one class, 16 at a time. All functions may read up to 63 bytes past
// the byte that they stop at.
#pragma once
#include <bit>
#include <cstdint>
#include <cstring>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace orch {

/// Inside of a string: any ASCII that needs no look. It ends at a quote, a backslash, a control
/// character or a byte of UTF-8.
struct PlainText {
    static bool has(char c) { return c >= 0x20 && c != '"' && c != '\\'; }
#ifdef __SSE2__
    /// Bits of the bytes that are not of the class.
    static unsigned others(__m128i bytes) {
        const __m128i low = _mm_cmplt_epi8(bytes, _mm_set1_epi8(0x20));  // signed: UTF-8 as well
        const __m128i quote = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('"'));
        const __m128i backslash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\'));
        return static_cast<unsigned>(
            _mm_movemask_epi8(_mm_or_si128(low, _mm_or_si128(quote, backslash))));
    }
#endif
};

/// What lists of numbers are made of: digits, + - . e E, commas, spaces; colons and slashes too,
/// which costs nothing and is for the reader of the numbers to refuse.
struct NumberText {
    static bool has(char c) { return (c >= '+' && c <= ':') || c == ' ' || c == 'e' || c == 'E'; }
#ifdef __SSE2__
    static __m128i members(__m128i bytes) {
        const __m128i shifted = _mm_sub_epi8(bytes, _mm_set1_epi8('+'));
        const __m128i range =
            _mm_cmpeq_epi8(_mm_min_epu8(shifted, _mm_set1_epi8(':' - '+')), shifted);
        const __m128i space = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(' '));
        const __m128i exponent =
            _mm_cmpeq_epi8(_mm_or_si128(bytes, _mm_set1_epi8(0x20)), _mm_set1_epi8('e'));
        return _mm_or_si128(range, _mm_or_si128(space, exponent));
    }
    static unsigned others(__m128i bytes) {
        return static_cast<unsigned>(_mm_movemask_epi8(members(bytes))) ^ 0xffffU;
    }
#endif
};

struct Spaces {
    static bool has(char c) { return c == ' '; }
#ifdef __SSE2__
    static unsigned others(__m128i bytes) {
        const __m128i space = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(' '));
        return static_cast<unsigned>(_mm_movemask_epi8(space)) ^ 0xffffU;
    }
#endif
};

/// The first byte from `at` on that is not of the class. There must be one.
template <class Class>
inline const char* end_of_run(const char* at) {
#ifdef __SSE2__
    for (;; at += 16) {
        const unsigned others =
            Class::others(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at)));
        if (others != 0) return at + std::countr_zero(others);
    }
#else
    while (Class::has(*at))
        ++at;
    return at;
#endif
}

/// How many bytes from `at` on are plain text; 32: that many or more.
inline std::size_t plain_of_32(const char* at) {
#ifdef __SSE2__
    const auto* vectors = reinterpret_cast<const __m128i*>(at);
    const unsigned others = PlainText::others(_mm_loadu_si128(vectors)) |
                            PlainText::others(_mm_loadu_si128(vectors + 1)) << 16;
    return static_cast<std::size_t>(std::countr_zero(others));
#else
    std::size_t count = 0;
    while (count < 32 && PlainText::has(at[count]))
        ++count;
    return count;
#endif
}

/// 64 bytes of JSON, a bit for each, the first byte in the lowest bit.
struct BlockBits {
    std::uint64_t quotes = 0;
    std::uint64_t opening = 0;  ///< { [
    std::uint64_t closing = 0;  ///< } ]
    std::uint64_t numbers = 0;  ///< NumberText
    std::uint64_t odd = 0;      ///< what neither a string nor anything around it may hold here

    explicit BlockBits(const char* at) {
#ifdef __SSE2__
        for (int i = 0; i < 4; ++i) {
            const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at) + i);
            // Brackets and braces differ in one bit.
            const __m128i lower = _mm_or_si128(bytes, _mm_set1_epi8(0x20));
            const __m128i quote = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('"'));
            const __m128i low = _mm_cmplt_epi8(bytes, _mm_set1_epi8(0x20));
            const __m128i backslash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\'));
            const auto put = [i](std::uint64_t& bits, unsigned mask) {
                bits |= static_cast<std::uint64_t>(mask) << (16 * i);
            };
            const auto mask_of = [](__m128i lanes) {
                return static_cast<unsigned>(_mm_movemask_epi8(lanes));
            };
            put(quotes, mask_of(quote));
            put(opening, mask_of(_mm_cmpeq_epi8(lower, _mm_set1_epi8('{'))));
            put(closing, mask_of(_mm_cmpeq_epi8(lower, _mm_set1_epi8('}'))));
            put(numbers, NumberText::others(bytes) ^ 0xffffU);
            put(odd, mask_of(_mm_or_si128(low, backslash)));
        }
#else
        for (int i = 0; i < 64; ++i) {
            const char c = at[i];
            const std::uint64_t bit = std::uint64_t{1} << i;
            if (c == '"') quotes |= bit;
            if (c == '{' || c == '[') opening |= bit;
            if (c == '}' || c == ']') closing |= bit;
            if (NumberText::has(c)) numbers |= bit;
            if (!PlainText::has(c) && c != '"') odd |= bit;
        }
#endif
    }
};

/// Bit i: whether an odd number of the bits up to i is set. Between quotes, that is.
inline std::uint64_t parity_so_far(std::uint64_t bits) {
    for (int shift = 1; shift < 64; shift *= 2)
        bits ^= bits << shift;
    return bits;
}

/// At most 18 digits, as JSON has them, with a comma or a brace behind; null: it is none of that.
inline const char* read_integer(const char* at, std::int64_t& value) {
    const bool negative = *at == '-';
    const char* const begin = at + (negative ? 1 : 0);
    std::uint64_t sum = 0;  // one digit more than is taken does not fit into a signed one
    for (at = begin; *at >= '0' && *at <= '9' && at - begin <= 18; ++at)
        sum = sum * 10 + static_cast<std::uint64_t>(*at - '0');
    const auto digits = at - begin;
    const bool is_plain = digits > 0 && digits <= 18 && (digits == 1 || *begin != '0');
    value = static_cast<std::int64_t>(negative ? 0 - sum : sum);
    return is_plain && (*at == ',' || *at == '}') ? at : nullptr;
}

/// Behind as many blocks of 64 bytes as hold nothing but numbers: lists are long, and wait for
/// memory unless it is asked for early.
inline const char* skip_number_blocks(const char* at) {
#ifdef __SSE2__
    for (;; at += 64) {
        const auto* vectors = reinterpret_cast<const __m128i*>(at);
        __m128i all = NumberText::members(_mm_loadu_si128(vectors));
        for (int i = 1; i < 4; ++i)
            all = _mm_and_si128(all, NumberText::members(_mm_loadu_si128(vectors + i)));
        _mm_prefetch(at + 2048, _MM_HINT_T0);
        if (_mm_movemask_epi8(all) != 0xffff) return at;
    }
#else
    return at;
#endif
}

/// From '[' to behind ']'; null: what is between is not made of numbers and nulls.
inline const char* skip_number_list(const char* at) {
    if (*at != '[') return nullptr;
    for (++at;;) {
        at = end_of_run<NumberText>(skip_number_blocks(at));
        if (*at == ']') return at + 1;
        if (std::memcmp(at, "null", 4) != 0) return nullptr;
        at += 4;
    }
}

}  // namespace orch
