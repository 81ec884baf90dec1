#include "analyzer/weights/block_decoders.hpp"

#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "core/digest.hpp"
#include "core/half.hpp"

namespace orch {
namespace {

// Every decoder is a struct with the size of its block and the decoding of one. The loops have
// constant bounds and cannot alias, so that they vectorise. Sums and products are in ggml's order.
#define ORCH_INLINE [[gnu::always_inline]] static inline

using Bytes = const std::uint8_t* __restrict;
using Floats = float* __restrict;

ORCH_INLINE float half_at(const std::uint8_t* at) {
    std::uint16_t bits;
    std::memcpy(&bits, at, sizeof bits);
    return f16_to_f32(bits);
}

ORCH_INLINE std::uint32_t word_at(const std::uint8_t* at) {
    std::uint32_t word;
    std::memcpy(&word, at, sizeof word);
    return word;
}

/// The low halves of 16 bytes are the first 16 values, the high halves the last.
struct Q4_0 {
    static constexpr int values = 32;
    static constexpr int bytes = 18;
    ORCH_INLINE void decode(Bytes block, Floats out) {
        const float d = half_at(block);
        Bytes quants = block + 2;
        for (int i = 0; i < 16; ++i)
            out[i] = static_cast<float>((quants[i] & 0x0f) - 8) * d;
        for (int i = 0; i < 16; ++i)
            out[16 + i] = static_cast<float>((quants[i] >> 4) - 8) * d;
    }
};

struct Q4_1 {
    static constexpr int values = 32;
    static constexpr int bytes = 20;
    ORCH_INLINE void decode(Bytes block, Floats out) {
        const float d = half_at(block);
        const float least = half_at(block + 2);
        Bytes quants = block + 4;
        for (int i = 0; i < 16; ++i)
            out[i] = static_cast<float>(quants[i] & 0x0f) * d + least;
        for (int i = 0; i < 16; ++i)
            out[16 + i] = static_cast<float>(quants[i] >> 4) * d + least;
    }
};

/// The fifth bits of all 32 values stand in one word.
struct Q5_0 {
    static constexpr int values = 32;
    static constexpr int bytes = 22;
    ORCH_INLINE void decode(Bytes block, Floats out) {
        const float d = half_at(block);
        const std::uint32_t fifth = word_at(block + 2);
        Bytes quants = block + 6;
        for (int i = 0; i < 16; ++i) {
            const int high = static_cast<int>((fifth >> i) & 1U) << 4;
            out[i] = static_cast<float>(((quants[i] & 0x0f) | high) - 16) * d;
        }
        for (int i = 0; i < 16; ++i) {
            const int high = static_cast<int>((fifth >> (i + 16)) & 1U) << 4;
            out[16 + i] = static_cast<float>(((quants[i] >> 4) | high) - 16) * d;
        }
    }
};

struct Q5_1 {
    static constexpr int values = 32;
    static constexpr int bytes = 24;
    ORCH_INLINE void decode(Bytes block, Floats out) {
        const float d = half_at(block);
        const float least = half_at(block + 2);
        const std::uint32_t fifth = word_at(block + 4);
        Bytes quants = block + 8;
        for (int i = 0; i < 16; ++i) {
            const int high = static_cast<int>((fifth >> i) & 1U) << 4;
            out[i] = static_cast<float>((quants[i] & 0x0f) | high) * d + least;
        }
        for (int i = 0; i < 16; ++i) {
            const int high = static_cast<int>((fifth >> (i + 16)) & 1U) << 4;
            out[16 + i] = static_cast<float>((quants[i] >> 4) | high) * d + least;
        }
    }
};

struct Q8_0 {
    static constexpr int values = 32;
    static constexpr int bytes = 34;
    ORCH_INLINE void decode(Bytes block, Floats out) {
        const float d = half_at(block);
        Bytes quants = block + 2;
        for (int i = 0; i < 32; ++i)
            out[i] = static_cast<float>(static_cast<std::int8_t>(quants[i])) * d;
    }
};

/// Eight scales and eight minima of six bits in twelve bytes: the first four of each lie whole in
/// the low bits of eight bytes, the others are put together from the last four bytes and the two
/// high bits of the first eight.
struct ScalesAndMinima {
    float scale[8];
    float least[8];

    ORCH_INLINE ScalesAndMinima read(const std::uint8_t* block) {
        const float d = half_at(block);
        const float d_least = half_at(block + 2);
        const std::uint8_t* packed = block + 4;
        ScalesAndMinima result;
        for (int i = 0; i < 4; ++i) {
            const int low_scale = packed[i];
            const int low_least = packed[i + 4];
            const int rest = packed[i + 8];
            result.scale[i] = d * static_cast<float>(low_scale & 63);
            result.least[i] = d_least * static_cast<float>(low_least & 63);
            result.scale[i + 4] = d * static_cast<float>((rest & 0x0f) | (low_scale >> 6) << 4);
            result.least[i + 4] = d_least * static_cast<float>((rest >> 4) | (low_least >> 6) << 4);
        }
        return result;
    }
};

/// 256 values: each run of 32 bytes holds 32 values in its low halves and the next 32 in its high.
struct Q4_K {
    static constexpr int values = 256;
    static constexpr int bytes = 144;
    ORCH_INLINE void decode(Bytes block, Floats out) {
        const ScalesAndMinima s = ScalesAndMinima::read(block);
        for (int run = 0; run < 4; ++run) {
            Bytes quants = block + 16 + 32 * run;
            Floats low = out + 64 * run;
            Floats high = low + 32;
            for (int i = 0; i < 32; ++i)
                low[i] = s.scale[2 * run] * static_cast<float>(quants[i] & 0x0f) - s.least[2 * run];
            for (int i = 0; i < 32; ++i)
                high[i] = s.scale[2 * run + 1] * static_cast<float>(quants[i] >> 4) -
                          s.least[2 * run + 1];
        }
    }
};

/// As Q4_K, and a fifth bit: byte i of 32 holds those of the values i, 32 + i, 64 + i, …
struct Q5_K {
    static constexpr int values = 256;
    static constexpr int bytes = 176;
    ORCH_INLINE void decode(Bytes block, Floats out) {
        const ScalesAndMinima s = ScalesAndMinima::read(block);
        Bytes fifth = block + 16;
        for (int run = 0; run < 4; ++run) {
            Bytes quants = block + 48 + 32 * run;
            Floats low = out + 64 * run;
            Floats high = low + 32;
            for (int i = 0; i < 32; ++i) {
                const int quant = (quants[i] & 0x0f) | ((fifth[i] >> (2 * run)) & 1) << 4;
                low[i] = s.scale[2 * run] * static_cast<float>(quant) - s.least[2 * run];
            }
            for (int i = 0; i < 32; ++i) {
                const int quant = (quants[i] >> 4) | ((fifth[i] >> (2 * run + 1)) & 1) << 4;
                high[i] = s.scale[2 * run + 1] * static_cast<float>(quant) - s.least[2 * run + 1];
            }
        }
    }
};

/// Two halves of 128 values. In each, 64 bytes hold the four low bits of value i and i + 64, and 32
/// bytes the two high bits of the values i, i + 32, i + 64 and i + 96. 16 values share a scale.
struct Q6_K {
    static constexpr int values = 256;
    static constexpr int bytes = 210;
    ORCH_INLINE void decode(Bytes block, Floats out) {
        const float d = half_at(block + 208);
        for (int half = 0; half < 2; ++half) {
            Bytes low = block + 64 * half;
            Bytes high = block + 128 + 32 * half;
            float scale[8];
            for (int i = 0; i < 8; ++i)
                scale[i] =
                    d * static_cast<float>(static_cast<std::int8_t>(block[192 + 8 * half + i]));
            for (int part = 0; part < 4; ++part) {
                Bytes four = low + 32 * (part % 2);
                const int four_shift = part < 2 ? 0 : 4;
                Floats to = out + 128 * half + 32 * part;
                for (int side = 0; side < 2; ++side) {
                    for (int i = 16 * side; i < 16 * side + 16; ++i) {
                        const int quant =
                            ((four[i] >> four_shift) & 0x0f) | ((high[i] >> (2 * part)) & 3) << 4;
                        to[i] = scale[2 * part + side] * static_cast<float>(quant - 32);
                    }
                }
            }
        }
    }
};

template <class Type>
[[gnu::always_inline]] inline void decode_blocks(const void* row, float* out, std::int64_t count) {
    const auto* block = static_cast<const std::uint8_t*>(row);
    for (std::int64_t done = 0; done < count; done += Type::values, block += Type::bytes) {
        alignas(64) float values[Type::values];
        Type::decode(block, values);
        std::memcpy(out + done, values, sizeof values);
    }
}

template <class Type>
void decode_baseline(const void* row, float* out, std::int64_t count) {
    decode_blocks<Type>(row, out, count);
}

// AVX2 has no fused multiply-add, which would round otherwise than ggml does.
#if defined(__x86_64__)
template <class Type>
[[gnu::target("avx2")]] void decode_avx2(const void* row, float* out, std::int64_t count) {
    decode_blocks<Type>(row, out, count);
}
#endif

template <class Type>
BlockDecoder decoder() {
#if defined(__x86_64__)
    static const bool has_avx2 = __builtin_cpu_supports("avx2") != 0;
    if (has_avx2) return decode_avx2<Type>;
#endif
    return decode_baseline<Type>;
}

/// e4m3fn: no infinities, one NaN of each sign, bias 7.
constexpr float f8_e4m3(std::uint32_t byte) {
    const std::uint32_t exponent = (byte >> 3) & 0x0f;
    const std::uint32_t fraction = byte & 7;
    const std::uint32_t sign = (byte & 0x80) << 24;
    if ((byte & 0x7f) == 0x7f) return std::bit_cast<float>(sign | 0x7fc00000U);
    const std::uint32_t magnitude =
        exponent == 0 ? std::bit_cast<std::uint32_t>(static_cast<float>(fraction) * 0x1p-9F)
                      : (exponent + 120) << 23 | fraction << 20;
    return std::bit_cast<float>(sign | magnitude);
}

/// The upper half of a binary16.
constexpr float f8_e5m2(std::uint32_t byte) {
    return f16_to_f32(static_cast<std::uint16_t>(byte << 8));
}

template <class OfByte>
constexpr std::array<float, 256> table_of(OfByte of_byte) {
    std::array<float, 256> table{};
    for (std::uint32_t byte = 0; byte < 256; ++byte)
        table[byte] = of_byte(byte);
    return table;
}

constexpr std::array<float, 256> f8_e4m3_values = table_of(f8_e4m3);
constexpr std::array<float, 256> f8_e5m2_values = table_of(f8_e5m2);

void look_up(const std::array<float, 256>& table, const void* row, float* out, std::int64_t count) {
    const auto* bytes = static_cast<const std::uint8_t*>(row);
    for (std::int64_t i = 0; i < count; ++i)
        out[i] = table[bytes[i]];
}

}  // namespace

BlockDecoder built_in_decoder(GgmlType type) {
    switch (type) {
        case GgmlType::q4_0:
            return decoder<Q4_0>();
        case GgmlType::q4_1:
            return decoder<Q4_1>();
        case GgmlType::q5_0:
            return decoder<Q5_0>();
        case GgmlType::q5_1:
            return decoder<Q5_1>();
        case GgmlType::q8_0:
            return decoder<Q8_0>();
        case GgmlType::q4_k:
            return decoder<Q4_K>();
        case GgmlType::q5_k:
            return decoder<Q5_K>();
        case GgmlType::q6_k:
            return decoder<Q6_K>();
        default:
            return nullptr;
    }
}

void decode_f8_e4m3(const void* row, float* out, std::int64_t count) {
    look_up(f8_e4m3_values, row, out, count);
}

void decode_f8_e5m2(const void* row, float* out, std::int64_t count) {
    look_up(f8_e5m2_values, row, out, count);
}

}  // namespace orch
