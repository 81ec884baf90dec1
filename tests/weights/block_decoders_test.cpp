#include "analyzer/weights/block_decoders.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <vector>

#include "analyzer/weights/element_type.hpp"
#include "core/half.hpp"
#include "core/hash.hpp"
#include "tests/weights/ggml_blocks.hpp"

namespace orch {
namespace {

struct Golden {
    GgmlType type;
    std::uint64_t hash;
};

/// What ggml's own to_float makes of the same blocks (version 3.22.1 of node-llama-cpp, x86-64);
/// ggml_library_test.cpp asks it again where it is installed.
constexpr Golden golden[] = {
    {GgmlType::q4_0, 0x99d6214b334ec648ULL}, {GgmlType::q4_1, 0xccf0fe93b6df3172ULL},
    {GgmlType::q5_0, 0xec8768b7c32eb9f8ULL}, {GgmlType::q5_1, 0x5ad1c323fd376ce9ULL},
    {GgmlType::q8_0, 0xd3e93e7fe4d22597ULL}, {GgmlType::q4_k, 0x222195d32a5eb006ULL},
    {GgmlType::q5_k, 0x0b33422faa642ce8ULL}, {GgmlType::q6_k, 0x0d5dd7089b24530bULL},
};

std::uint64_t hash_of(const std::vector<float>& values) {
    std::uint64_t hash = 0;
    for (const float value : values)
        hash = mix64(hash ^ std::bit_cast<std::uint32_t>(value));
    return hash;
}

TEST(BlockDecoders, DecodeToTheBitWhatGgmlDoes) {
    for (const Golden& each : golden) {
        const ElementType type = ggml_element_type(static_cast<std::uint32_t>(each.type));
        const auto blocks = some_blocks(type, 64);
        std::vector<float> values(static_cast<std::size_t>(64 * type.block_values));
        type.decode(blocks.data(), values.data(), static_cast<std::int64_t>(values.size()));
        EXPECT_EQ(hash_of(values), each.hash) << type.name;
    }
}

TEST(BlockDecoders, OneBlockByHand) {
    // q4_0: a scale of 0.5; byte i holds value i in its low half, value 16 + i in its high half.
    std::vector<std::uint8_t> block = {0x00, 0x38, 0xf0};
    block.resize(18, 0x88);
    std::vector<float> values(32);
    built_in_decoder(GgmlType::q4_0)(block.data(), values.data(), 32);
    EXPECT_EQ(values[0], -4);
    EXPECT_EQ(values[16], 3.5F);
    EXPECT_EQ(values[1], 0);
    // q8_0: a scale of -2.
    block = {0x00, 0xc0, 0x01, 0x80, 0x7f};
    block.resize(34, 0);
    built_in_decoder(GgmlType::q8_0)(block.data(), values.data(), 32);
    EXPECT_EQ(values[0], -2);
    EXPECT_EQ(values[1], 256);
    EXPECT_EQ(values[2], -254);
}

TEST(BlockDecoders, OthersHaveNone) {
    for (const std::uint32_t id : {0U, 1U, 10U, 16U, 30U, 39U, 4711U})
        EXPECT_EQ(built_in_decoder(static_cast<GgmlType>(id)), nullptr) << id;
}

float e4m3(std::uint8_t byte) {
    float value = 0;
    decode_f8_e4m3(&byte, &value, 1);
    return value;
}

float e5m2(std::uint8_t byte) {
    float value = 0;
    decode_f8_e5m2(&byte, &value, 1);
    return value;
}

TEST(BlockDecoders, Fp8) {
    for (int byte = 0; byte < 128; ++byte) {
        const int exponent = byte >> 3;
        const int fraction = byte & 7;
        const double expected =
            exponent == 0 ? std::ldexp(fraction, -9) : std::ldexp(8 + fraction, exponent - 10);
        const auto bits = static_cast<std::uint8_t>(byte);
        if (byte == 127) {
            EXPECT_TRUE(std::isnan(e4m3(bits)));
            EXPECT_TRUE(std::isnan(e4m3(0xff)));
        } else {
            EXPECT_EQ(e4m3(bits), expected) << byte;
            EXPECT_EQ(e4m3(bits | 0x80), -expected) << byte;
        }
    }
    EXPECT_EQ(e4m3(0x7e), 448);
    EXPECT_EQ(e5m2(0x3c), 1);
    EXPECT_EQ(e5m2(0x7b), 57344);
    EXPECT_EQ(e5m2(0x01), 0x1p-16F);
    EXPECT_EQ(e5m2(0xfc), -INFINITY);
    EXPECT_TRUE(std::isnan(e5m2(0x7d)));
}

}  // namespace
}  // namespace orch
