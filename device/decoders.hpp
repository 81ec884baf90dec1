// From elements in memory to what the digest is made of: a value, and the bits that are hashed.
// Sixteen-bit and eight-bit elements are hashed as stored, an f64 as the f32 that it rounds to.
#pragma once
#include <bit>
#include <cstdint>

#include "device/protocol.hpp"
#include "device/target.hpp"

namespace orch::device {

/// A few consecutive columns of a row, in registers.
template <int Columns, int Bytes>
struct Chunk {
    static constexpr int columns = Columns;
    static constexpr int element_bytes = Bytes;
    static constexpr int bytes = Columns * Bytes;
    static constexpr int word_count = (bytes + 3) / 4;
    std::uint32_t words[word_count];

    ORCH_DEVICE std::uint32_t pattern(int k) const {
        if constexpr (Bytes == 4) return words[k];
        constexpr int in_word = 4 / Bytes;
        constexpr std::uint32_t mask = Bytes == 2 ? 0xffffU : 0xffU;
        return (words[k / in_word] >> (k % in_word * 8 * Bytes)) & mask;
    }

    /// `from` is aligned to 16 bytes, or to 8 where a chunk has no more.
    ORCH_DEVICE void load_aligned(const char* from) {
        if constexpr (bytes == 8) {
            target::load_8(words, from);
        } else {
            repeat<bytes / 16>([&](int i) { target::load_16(words + 4 * i, from + 16 * i); });
        }
    }

    using Element = Chunk<1, Bytes>;

    /// One element; the words that it does not fill are zero.
    ORCH_DEVICE void load(const char* from) {
        static_assert(Columns == 1);
        if constexpr (Bytes == 8) {
            const auto element = *reinterpret_cast<const std::uint64_t*>(from);
            words[0] = static_cast<std::uint32_t>(element);
            words[1] = static_cast<std::uint32_t>(element >> 32);
        } else if constexpr (Bytes == 4) {
            words[0] = *reinterpret_cast<const std::uint32_t*>(from);
        } else if constexpr (Bytes == 2) {
            words[0] = *reinterpret_cast<const std::uint16_t*>(from);
        } else {
            words[0] = *reinterpret_cast<const std::uint8_t*>(from);
        }
    }

    /// The first `count` elements, `stride` bytes apart; the others are zero.
    ORCH_DEVICE void load_elements(const char* from, std::int64_t stride, int count) {
        repeat<word_count>([&](int i) { words[i] = 0; });
        repeat<columns>([&](int k) {
            if (k >= count) return;
            Element element;
            element.load(from + k * stride);
            if constexpr (Bytes == 8) {
                words[2 * k] = element.words[0];
                words[2 * k + 1] = element.words[1];
            } else {
                constexpr int in_word = 4 / Bytes;
                words[k / in_word] |= element.words[0] << (k % in_word * 8 * Bytes % 32);
            }
        });
    }
};

/// Of the types whose bits are hashed as they are.
template <class WholeChunk>
struct HashedAsStored {
    using Data = WholeChunk;
    template <class Chunk>
    ORCH_DEVICE static std::uint32_t pattern(const Chunk& data, int k) {
        return data.pattern(k);
    }
};

/// f32 and i32 share their code, as all that are rare share some: they are told apart per value.
struct DecodeWord : HashedAsStored<Chunk<4, 4>> {
    ORCH_DEVICE static float value(Type type, std::uint32_t pattern) {
        if (type == Type::i32) return static_cast<float>(static_cast<std::int32_t>(pattern));
        return std::bit_cast<float>(pattern);
    }
};

struct DecodeBf16 : HashedAsStored<Chunk<8, 2>> {
    ORCH_DEVICE static float value(Type, std::uint32_t pattern) {
        return bf16_to_f32(static_cast<std::uint16_t>(pattern));
    }
};

struct DecodeF16 : HashedAsStored<Chunk<8, 2>> {
    ORCH_DEVICE static float value(Type, std::uint32_t pattern) {
        return target::f16_value(pattern);
    }
};

struct DecodeF64 {
    using Data = Chunk<4, 8>;

    /// A finite double beyond f32 stays finite. The bits of a NaN are cut, as a CPU does it: a
    /// GPU's own conversion forgets them.
    template <class Chunk>
    ORCH_DEVICE static std::uint32_t pattern(const Chunk& data, int k) {
        const std::uint32_t high = data.words[2 * k + 1];
        const std::uint32_t low = data.words[2 * k];
        const std::uint32_t magnitude = high & 0x7fffffffU;
        const std::uint32_t sign = high & 0x80000000U;
        if (magnitude >= 0x7ff00000U) {
            if (magnitude == 0x7ff00000U && low == 0) return sign | 0x7f800000U;
            return sign | 0x7fc00000U | ((magnitude & 0xfffffU) << 3) | (low >> 29);
        }
        const double value = std::bit_cast<double>(static_cast<std::uint64_t>(high) << 32 | low);
        constexpr double largest = 3.4028234663852886e38;
        const double clamped = value > largest ? largest : value < -largest ? -largest : value;
        return std::bit_cast<std::uint32_t>(static_cast<float>(clamped));
    }
    ORCH_DEVICE static float value(Type, std::uint32_t pattern) {
        return std::bit_cast<float>(pattern);
    }
};

struct DecodeByte : HashedAsStored<Chunk<8, 1>> {
    ORCH_DEVICE static float value(Type type, std::uint32_t pattern) {
        if (type == Type::i8) return static_cast<float>(static_cast<std::int8_t>(pattern));
        if (type == Type::e5m2) return target::f16_value(pattern << 8);
        // e4m3: four bits of exponent, bias 7; no infinities, and one NaN.
        const std::uint32_t sign = (pattern & 0x80U) << 24;
        const std::uint32_t magnitude = pattern & 0x7fU;
        const float small = static_cast<float>(magnitude) * 0x1p-9F;
        std::uint32_t bits = (magnitude << 20) + (120U << 23);
        if (magnitude < 8) bits = std::bit_cast<std::uint32_t>(small);
        if (magnitude == 0x7f) bits = 0x7fc00000U;
        return std::bit_cast<float>(sign | bits);
    }
};

ORCH_BOTH constexpr int columns_of_chunk(Type type) {
    return size_of(type) < 4 ? 8 : 4;
}

/// body(decoder), with the one of the type.
template <class Body>
ORCH_DEVICE auto with_decoder(Type type, Body body) {
    switch (type) {
        case Type::f32:
        case Type::i32:
            return body(DecodeWord{});
        case Type::f64:
            return body(DecodeF64{});
        case Type::f16:
            return body(DecodeF16{});
        case Type::bf16:
            return body(DecodeBf16{});
        case Type::e4m3:
        case Type::e5m2:
        case Type::i8:
            return body(DecodeByte{});
    }
    return decltype(body(DecodeWord{}))();
}

/// One element, of any type.
ORCH_DEVICE float element_value(Type type, const char* at) {
    return with_decoder(type, [&](auto decoder) {
        using Decoder = decltype(decoder);
        typename Decoder::Data::Element element;
        element.load(at);
        return Decoder::value(type, Decoder::pattern(element, 0));
    });
}

ORCH_BOTH bool has_elements(const Operand& o) {
    return o.data != 0 && o.rows > 0 && o.cols > 0;
}

/// Where the elements lie, once a pointer to them was followed.
ORCH_DEVICE std::uint64_t base_of(const Operand& o) {
    return o.indirect ? *reinterpret_cast<const std::uint64_t*>(o.data) : o.data;
}

}  // namespace orch::device
