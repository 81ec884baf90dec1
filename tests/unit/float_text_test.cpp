#include "core/float_text.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <latch>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "core/half.hpp"
#include "tests/unit/float_text_support.hpp"

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace orch {
namespace {

constexpr std::uint32_t double_rounding_float = 0x15ae43fdu;

bool is_finite_pattern(std::uint32_t bits) {
    return (bits & 0x7f800000u) != 0x7f800000u;
}

/// Through both kinds of reader; says what went wrong, or nothing.
std::string round_trip_error(float value) {
    const std::string text = f32_text(value);
    const float as_float = std::strtof(text.c_str(), nullptr);
    const auto as_double = static_cast<float>(std::strtod(text.c_str(), nullptr));
    if (bits_of(as_float) == bits_of(value) && bits_of(as_double) == bits_of(value)) return {};
    return text + " for pattern " + std::to_string(bits_of(value));
}

std::string expected_text(float value) {
    if (bits_of(value) == 0x80000000u) return "-0.0";
    if (bits_of(value) == double_rounding_float) return "7.0385307e-26";
    if (bits_of(value) == (double_rounding_float | 0x80000000u)) return "-7.0385307e-26";
    return to_chars_text(value);
}

std::vector<float> special_floats() {
    std::vector<float> values = {0.0f,
                                 -0.0f,
                                 1e-4f,
                                 1e-5f,
                                 1e7f,
                                 1e6f,
                                 100000.0f,
                                 123456.0f,
                                 16777216.0f,
                                 33554448.0f,
                                 9999999.0f,
                                 0.3f,
                                 1.0f / 3,
                                 std::numeric_limits<float>::max(),
                                 std::numeric_limits<float>::min(),
                                 std::numeric_limits<float>::denorm_min(),
                                 std::numeric_limits<float>::epsilon(),
                                 float_of(double_rounding_float)};
    for (std::uint32_t exponent = 0; exponent < 255; ++exponent) {
        for (std::uint32_t offset = 0; offset < 5; ++offset) {
            const std::uint32_t bits = (exponent << 23) + offset - 2;
            if (is_finite_pattern(bits)) values.push_back(float_of(bits));
        }
    }
    for (std::uint32_t bit = 0; bit < 23; ++bit) {
        values.push_back(float_of(1u << bit));
        values.push_back(float_of((1u << bit) - 1));
    }
    for (int power = -45; power <= 38; ++power) {
        const auto nearest = std::strtof(("1e" + std::to_string(power)).c_str(), nullptr);
        values.push_back(nearest);
        values.push_back(std::nextafterf(nearest, 1e38f));
        values.push_back(std::nextafterf(nearest, 0.0f));
    }
    const std::size_t positive = values.size();
    for (std::size_t i = 0; i < positive; ++i)
        values.push_back(-values[i]);
    return values;
}

TEST(FloatText, EveryExponentReadsBackBitForBitAsFloatAndAsDouble) {
    std::mt19937 random(1);
    for (std::uint32_t high = 0; high < 512; ++high) {
        if ((high & 0xff) == 0xff) continue;
        for (int i = 0; i < 400; ++i) {
            const float value = float_of(high << 23 | (random() & 0x7fffffu));
            ASSERT_EQ(round_trip_error(value), "");
        }
    }
}

TEST(FloatText, PowersOfTwoDenormalsAndLimitsReadBackBitForBit) {
    for (float value : special_floats())
        ASSERT_EQ(round_trip_error(value), "");
}

TEST(FloatText, SpecialValuesHaveTheTextOfToChars) {
    for (float value : special_floats())
        ASSERT_EQ(f32_text(value), expected_text(value));
}

TEST(FloatText, RandomBitPatternsHaveTheTextOfToChars) {
    std::mt19937 random(2);
    for (int i = 0; i < 3'000'000; ++i) {
        const std::uint32_t bits = static_cast<std::uint32_t>(random());
        if (!is_finite_pattern(bits)) continue;
        char mine[max_f32_text];
        char reference[32];
        const std::string_view text(mine, write_f32(mine, float_of(bits)));
        const std::string_view wanted(reference,
                                      std::to_chars(reference, reference + 32, float_of(bits)).ptr);
        if (text != wanted) {
            ASSERT_EQ(text, expected_text(float_of(bits))) << bits;
        }
    }
}

TEST(FloatText, RandomNormalValuesHaveTheTextOfToChars) {
    std::mt19937 random(3);
    std::normal_distribution<float> normal;
    for (int i = 0; i < 500'000; ++i) {
        const float value = normal(random);
        ASSERT_EQ(f32_text(value), expected_text(value));
    }
}

TEST(FloatText, TheFloatThatDoubleRoundingBreaksGetsOneMoreDigit) {
    const float value = float_of(double_rounding_float);
    ASSERT_EQ(to_chars_text(value), "7.038531e-26");
    ASSERT_NE(static_cast<float>(std::strtod("7.038531e-26", nullptr)), value);
    EXPECT_EQ(f32_text(value), "7.0385307e-26");
    EXPECT_EQ(f32_text(-value), "-7.0385307e-26");
    EXPECT_EQ(round_trip_error(value), "");
    EXPECT_EQ(round_trip_error(-value), "");
}

TEST(FloatText, TextsLookAsExpected) {
    EXPECT_EQ(f32_text(0.0f), "0");
    EXPECT_EQ(f32_text(-0.0f), "-0.0");
    EXPECT_EQ(f32_text(1.0f), "1");
    EXPECT_EQ(f32_text(-1.5f), "-1.5");
    EXPECT_EQ(f32_text(0.1f), "0.1");
    EXPECT_EQ(f32_text(0.001f), "0.001");
    EXPECT_EQ(f32_text(1e-4f), "1e-04");
    EXPECT_EQ(f32_text(-0.00012f), "-0.00012");
    EXPECT_EQ(f32_text(100000.0f), "1e+05");
    EXPECT_EQ(f32_text(120000.0f), "120000");
    EXPECT_EQ(f32_text(33554448.0f), "33554448");
    EXPECT_EQ(f32_text(1e-45f), "1e-45");
    EXPECT_EQ(f32_text(-std::numeric_limits<float>::max()), "-3.4028235e+38");
    EXPECT_EQ(f32_text(-1.17549435e-38f), "-1.1754944e-38");
}

TEST(FloatText, NegativeZeroKeepsItsSignInAJsonReader) {
    EXPECT_TRUE(std::signbit(nlohmann::json::parse(f32_text(-0.0f)).get<float>()));
    EXPECT_TRUE(std::signbit(nlohmann::json::parse(f64_text(-0.0)).get<double>()));
    EXPECT_TRUE(std::signbit(nlohmann::json::parse(f16_text(0x8000)).get<float>()));
    EXPECT_TRUE(std::signbit(nlohmann::json::parse(bf16_text(0x8000)).get<float>()));
}

TEST(FloatText, TextsAreValidJson) {
    const auto valid = [](const std::string& text) { return nlohmann::json::accept(text); };
    for (float value : special_floats())
        ASSERT_TRUE(valid(f32_text(value))) << f32_text(value);
    std::mt19937_64 random(4);
    for (int i = 0; i < 100'000; ++i) {
        const std::uint64_t bits = random();
        const auto high = static_cast<std::uint32_t>(bits >> 32);
        if (is_finite_pattern(high)) {
            ASSERT_TRUE(valid(f32_text(float_of(high))));
        }
        if (std::isfinite(std::bit_cast<double>(bits))) {
            ASSERT_TRUE(valid(f64_text(std::bit_cast<double>(bits))));
        }
    }
}

TEST(FloatText, ValuesOutOfContractStayWithinTheirRoom) {
    for (std::uint32_t bits : {0x7f800000u, 0xff800000u, 0x7fc00000u, 0xffffffffu, 0x7f800001u}) {
        EXPECT_LE(f32_text(float_of(bits)).size(), max_f32_text);
    }
}

TEST(FloatText, ReadsBackTheSameWhereDenormalsAreFlushed) {
#if defined(__SSE2__)
    const unsigned before = _mm_getcsr();
    _mm_setcsr(before | 0x8040u);  // flush to zero, denormals are zero
    const std::string f32 = f32_text(float_of(1));
    const std::string f64 = f64_text(std::bit_cast<double>(std::uint64_t{3}));
    const std::string f16 = f16_text(0x0001);
    const unsigned after = _mm_getcsr();
    _mm_setcsr(before);
    EXPECT_EQ(f32, "1e-45");
    EXPECT_EQ(f64, "1.5e-323");
    EXPECT_EQ(f16, "5.9604645e-08");
    EXPECT_EQ(after & 0x8040u, 0x8040u) << "the program's own mode must survive";
#else
    GTEST_SKIP() << "needs x86";
#endif
}

TEST(HalfText, WideningIsExact) {
    static_assert(f16_to_f32(0x3c00) == 1.0f && f16_to_f32(0xc000) == -2.0f);
    static_assert(f16_to_f32(0x7bff) == 65504.0f && bf16_to_f32(0x3f80) == 1.0f);
    for (std::uint32_t bits = 0; bits < 0x7c00; ++bits) {
        const auto exponent = static_cast<int>(bits >> 10);
        const auto fraction = static_cast<float>(bits & 0x3ffu);
        const float wanted = exponent == 0 ? std::ldexp(fraction, -24)
                                           : std::ldexp(1024.0f + fraction, exponent - 25);
        ASSERT_EQ(f16_to_f32(static_cast<std::uint16_t>(bits)), wanted);
        ASSERT_EQ(bits_of(f16_to_f32(static_cast<std::uint16_t>(bits | 0x8000))), bits_of(-wanted));
    }
    EXPECT_TRUE(std::isinf(f16_to_f32(0x7c00)));
    EXPECT_TRUE(std::isnan(f16_to_f32(0x7c01)));
}

// In a process of its own (ctest runs each test in one) this is the first use of the tables.
TEST(HalfText, ThreadsThatFillTheTablesTogetherAllReadTheRightTexts) {
    constexpr int thread_count = 4;
    std::latch start(thread_count);
    std::vector<int> wrong(thread_count);
    std::vector<std::thread> threads;
    for (int id = 0; id < thread_count; ++id) {
        threads.emplace_back([&start, &wrong, id] {
            int errors = 0;
            start.arrive_and_wait();
            for (std::uint32_t i = 0; i < 65536; ++i) {
                // Half of the threads run backwards, so that they collide and overtake.
                const auto bits = static_cast<std::uint16_t>(id % 2 != 0 ? 65535 - i : i);
                const float from_f16 = f16_to_f32(bits);
                const float from_bf16 = bf16_to_f32(bits);
                if (std::isfinite(from_f16)) errors += f16_text(bits) != f32_text(from_f16);
                if (std::isfinite(from_bf16)) errors += bf16_text(bits) != f32_text(from_bf16);
            }
            wrong[static_cast<std::size_t>(id)] = errors;
        });
    }
    for (std::thread& thread : threads)
        thread.join();
    EXPECT_EQ(wrong, std::vector<int>(thread_count));
}

TEST(HalfText, EveryFinitePatternReadsBackBitForBitOnEveryUse) {
    for (int use = 0; use < 2; ++use) {  // the second one comes from the table
        for (std::uint32_t i = 0; i < 65536; ++i) {
            const auto bits = static_cast<std::uint16_t>(i);
            const auto check = [](float value, const std::string& text) {
                if (!std::isfinite(value)) return true;
                const float back = std::strtof(text.c_str(), nullptr);
                const auto narrowed = static_cast<float>(std::strtod(text.c_str(), nullptr));
                return text == expected_text(value) && bits_of(back) == bits_of(value) &&
                       bits_of(narrowed) == bits_of(value) && nlohmann::json::accept(text);
            };
            ASSERT_TRUE(check(f16_to_f32(bits), f16_text(bits))) << f16_text(bits);
            ASSERT_TRUE(check(bf16_to_f32(bits), bf16_text(bits))) << bf16_text(bits);
        }
    }
}

TEST(NumberLists, AreTheSingleTextsWithCommasBetweenThem) {
    std::mt19937 random(6);
    std::normal_distribution<float> normal;
    for (std::size_t count : {0u, 1u, 2u, 3u, 17u, 1000u}) {
        std::vector<float> floats(count);
        std::vector<std::uint16_t> halves(count);
        std::string f32;
        std::string f16;
        std::string bf16;
        for (std::size_t i = 0; i < count; ++i) {
            floats[i] = normal(random) * (i % 3 == 0 ? 1e-9f : 1.0f);
            halves[i] = static_cast<std::uint16_t>(random() & 0xbbff);  // finite in both formats
            const std::string comma = i == 0 ? "" : ",";
            f32 += comma + f32_text(floats[i]);
            f16 += comma + f16_text(halves[i]);
            bf16 += comma + bf16_text(halves[i]);
        }
        const auto list_text = [count](auto write, const auto& values) {
            std::vector<char> room(count * max_f32_text + 1, '#');
            char* const end = write(room.data(), values.data(), count);
            EXPECT_EQ(room.back(), '#');
            return std::string(room.data(), end);
        };
        EXPECT_EQ(list_text(write_f32_list, floats), f32);
        EXPECT_EQ(list_text(write_f16_list, halves), f16);
        EXPECT_EQ(list_text(write_bf16_list, halves), bf16);
    }
}

TEST(NumberLists, TheLongestTextsFitTheRoom) {
    // Nine digits, a sign and an exponent: 15 bytes.
    const float longest = -1.00000075e-36f;
    ASSERT_EQ(f32_text(longest).size(), max_f32_text - 1);
    const std::vector<float> values(100, longest);
    std::vector<char> room(values.size() * max_f32_text + 1, '#');
    const char* const end = write_f32_list(room.data(), values.data(), values.size());
    EXPECT_EQ(end - room.data(), 100 * 16 - 1);
    EXPECT_EQ(room.back(), '#');
}

TEST(IntegerText, HasTheTextOfToChars) {
    std::vector<std::uint64_t> values = {0, 1, 9, 10, 99, 100, ~std::uint64_t{0}};
    for (std::uint64_t power = 10; power < 10'000'000'000'000'000'000u; power *= 10) {
        values.insert(values.end(), {power - 1, power, power + 1});
    }
    for (int bit = 0; bit < 64; ++bit) {
        values.insert(values.end(), {std::uint64_t{1} << bit, (std::uint64_t{1} << bit) - 1});
    }
    values.insert(values.end(), {10'000'000'000'000'000'000u, 9'999'999'999'999'999'999u});
    std::mt19937_64 random(8);
    for (int i = 0; i < 100'000; ++i)
        values.push_back(random() >> (i % 64));
    for (std::uint64_t value : values) {
        ASSERT_EQ(text_of<max_int_text>(write_u64, value), to_chars_text(value));
        const auto as_signed = static_cast<std::int64_t>(value);
        ASSERT_EQ(text_of<max_int_text>(write_i64, as_signed), to_chars_text(as_signed));
    }
}

}  // namespace
}  // namespace orch
