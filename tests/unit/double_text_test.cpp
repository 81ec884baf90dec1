#include <gtest/gtest.h>

#include <bit>
#include <cfenv>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "core/float_text.hpp"
#include "tests/unit/float_text_support.hpp"

namespace orch {
namespace {

TEST(DoubleText, RandomAndSpecialValuesHaveTheTextOfToChars) {
    std::mt19937_64 random(5);
    std::vector<double> values = {1.0,
                                  0.1,
                                  5e-324,
                                  1e22,
                                  1e21,
                                  1e23,
                                  0x1p53,
                                  0x1p53 + 2,
                                  0x1p63,
                                  0x1p64,
                                  123456789012345678.0,
                                  1.2345678901234567e21,
                                  std::numeric_limits<double>::max(),
                                  std::numeric_limits<double>::min()};
    for (int exponent = -1074; exponent <= 1023; ++exponent) {
        values.push_back(std::ldexp(1.0, exponent));
        values.push_back(std::nextafter(values.back(), 0.0));
    }
    for (int i = 0; i < 200'000; ++i) {
        values.push_back(std::bit_cast<double>(random()));
        // Integers beyond 2^53, where to_chars would call printf.
        values.push_back(std::ldexp(static_cast<double>(random() >> 11), static_cast<int>(i % 24)));
    }
    for (double value : values) {
        if (!std::isfinite(value)) continue;
        ASSERT_EQ(f64_text(value), to_chars_text(value));
        ASSERT_EQ(f64_text(-value), value == 0 ? "-0.0" : to_chars_text(-value));
        const double back = std::strtod(f64_text(value).c_str(), nullptr);
        ASSERT_EQ(bits_of(back), bits_of(value));
    }
    EXPECT_EQ(f64_text(0.0), "0");
    EXPECT_EQ(f64_text(-0.0), "-0.0");
}

/// Writes into exactly the room of the contract, with either sign; says what differs, or nothing.
std::string f64_error(double value) {
    for (const double signed_value : {value, -value}) {
        char mine[max_f64_text + 1];
        mine[max_f64_text] = '#';
        char reference[64];
        const std::string_view text(mine, write_f64(mine, signed_value));
        std::string_view wanted(reference,
                                std::to_chars(reference, reference + 64, signed_value).ptr);
        if (wanted == "-0") wanted = "-0.0";
        if (text != wanted) return std::string(text) + " instead of " + std::string(wanted);
        if (mine[max_f64_text] != '#') return std::string(text) + " wrote past its room";
    }
    return {};
}

/// Of the value and its ten nearest neighbours.
std::string f64_error_around(double value) {
    const std::uint64_t bits = bits_of(std::fabs(value));
    for (std::uint64_t near = bits < 5 ? 0 : bits - 5; near <= bits + 5; ++near) {
        const auto neighbour = std::bit_cast<double>(near);
        if (!std::isfinite(neighbour)) continue;
        if (std::string error = f64_error(neighbour); !error.empty()) return error;
    }
    return {};
}

TEST(DoubleText, RandomBitPatternsHaveTheTextOfToChars) {
    std::mt19937_64 random(9);
    for (int i = 0; i < 5'000'000; ++i) {
        std::uint64_t bits = random();
        // Every other one of ordinary magnitude: 2^-32 to 2^96.
        if (i % 2 != 0) bits = (bits >> 12) | ((991 + bits % 128) << 52);
        if (!std::isfinite(std::bit_cast<double>(bits))) continue;
        ASSERT_EQ(f64_error(std::bit_cast<double>(bits)), "") << bits;
    }
}

TEST(DoubleText, PowersAndTheirNeighboursHaveTheTextOfToChars) {
    for (int exponent = -1074; exponent <= 1023; ++exponent)
        ASSERT_EQ(f64_error_around(std::ldexp(1.0, exponent)), "");
    for (int power = -325; power <= 308; ++power) {
        for (int digit = 1; digit <= 9; ++digit) {
            const std::string text = std::to_string(digit) + "e" + std::to_string(power);
            const double value = std::strtod(text.c_str(), nullptr);
            if (std::isfinite(value)) {
                ASSERT_EQ(f64_error_around(value), "");
            }
        }
    }
    ASSERT_EQ(f64_error_around(std::numeric_limits<double>::max()), "");
}

TEST(DoubleText, DenormalsHaveTheTextOfToChars) {
    for (std::uint64_t bits = 0; bits < 20'000; ++bits)
        ASSERT_EQ(f64_error(std::bit_cast<double>(bits)), "") << bits;
    std::mt19937_64 random(10);
    for (unsigned i = 0; i < 200'000; ++i) {
        const std::uint64_t bits = random() >> (12 + i % 52);
        ASSERT_EQ(f64_error(std::bit_cast<double>(bits)), "") << bits;
    }
}

TEST(DoubleText, IntegersAndHalvesHaveTheTextOfToChars) {
    for (std::uint64_t i = 0; i < 200'000; ++i) {
        const auto value = static_cast<double>(i);
        ASSERT_EQ(f64_error(value), "");
        ASSERT_EQ(f64_error(value + 0.5), "");
        ASSERT_EQ(f64_error(value * 1e10), "");
    }
    std::mt19937_64 random(11);
    for (unsigned i = 0; i < 500'000; ++i) {
        const auto value = static_cast<double>(random() >> (10 + i % 54));  // below 2^54
        ASSERT_EQ(f64_error(value), "");
        ASSERT_EQ(f64_error(value + 0.5), "");
    }
}

TEST(DoubleText, DecimalsOfOneToSeventeenDigitsHaveTheTextOfToChars) {
    std::mt19937_64 random(12);
    std::uint64_t power = 1;
    for (int digits = 1; digits <= 17; ++digits) {
        power *= 10;
        for (int i = 0; i < 30'000; ++i) {
            // A third of them in all the range, the others where the notation changes.
            const int exponent = i % 3 == 0 ? static_cast<int>(random() % 632) - 340
                                            : static_cast<int>(random() % 32) - 22;
            const std::string text =
                std::to_string(random() % power) + "e" + std::to_string(exponent);
            const double value = std::strtod(text.c_str(), nullptr);
            if (!std::isfinite(value)) continue;
            ASSERT_EQ(f64_error(value), "");
            ASSERT_EQ(std::strtod(f64_text(value).c_str(), nullptr), value);
        }
    }
}

TEST(DoubleText, TextsLookAsExpected) {
    EXPECT_EQ(f64_text(5e-324), "5e-324");
    EXPECT_EQ(f64_text(0.1), "0.1");
    EXPECT_EQ(f64_text(1e-4), "1e-04");
    EXPECT_EQ(f64_text(0.0001234), "0.0001234");
    EXPECT_EQ(f64_text(100000.0), "1e+05");
    EXPECT_EQ(f64_text(1e23), "1e+23");
    EXPECT_EQ(f64_text(9007199254740993.0), "9007199254740992");
    EXPECT_EQ(f64_text(1.2345678901234567e21), "1234567890123456774144");
    EXPECT_EQ(f64_text(-2.2250738585072014e-308), "-2.2250738585072014e-308");
    EXPECT_EQ(f64_text(1.7976931348623157e308), "1.7976931348623157e+308");
}

TEST(DoubleText, ValuesOutOfContractStayWithinTheirRoom) {
    for (std::uint64_t high : {0x7ff0u, 0xfff0u, 0x7ff8u, 0xffffu}) {
        const auto value = std::bit_cast<double>(high << 48);
        EXPECT_LE(f64_text(value).size(), max_f64_text);
        EXPECT_NE(f64_text(value), "wrote past its room");
    }
}

TEST(DoubleText, IsTheSameInEveryRoundingMode) {
    std::mt19937_64 random(13);
    std::vector<double> values = {0.1, 1e23, 5e-324, 1.0 / 3, 9007199254740993.0};
    for (int i = 0; i < 10'000; ++i) {
        const auto value = std::bit_cast<double>(random());
        if (std::isfinite(value)) values.push_back(value);
    }
    const auto all_texts = [&values] {
        std::string texts;
        for (double value : values)
            texts += f64_text(value) + ",";
        return texts;
    };
    const std::string wanted = all_texts();
    const int before = std::fegetround();
    for (int mode : {FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO}) {
        ASSERT_EQ(std::fesetround(mode), 0);
        const std::string texts = all_texts();
        std::fesetround(before);
        EXPECT_TRUE(texts == wanted) << mode;
    }
}

}  // namespace
}  // namespace orch
