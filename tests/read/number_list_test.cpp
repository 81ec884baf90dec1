#include "analyzer/read/number_list.hpp"

#include <gtest/gtest.h>
#include <simdjson.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "core/float_text.hpp"

namespace orch {
namespace {

struct Read {
    bool is_list = false;
    bool has_null = false;
    std::vector<double> values;
};

Read read(std::string text) {
    std::vector<double> values(text.size() / 2 + 1);
    text.append(17, '7');
    const auto list = read_number_list(text.data(), values.data());
    if (!list) return {};
    values.resize(list->count);
    return {true, list->has_null, values};
}

double one(const std::string& number) {
    const Read list = read('[' + number + ']');
    EXPECT_TRUE(list.is_list) << number;
    return list.values.size() == 1 ? list.values[0] : NAN;
}

TEST(NumberList, ReadsWhatJsonAllows) {
    EXPECT_EQ(read("[]").values.size(), 0U);
    EXPECT_EQ(read("[ ]").values.size(), 0U);
    EXPECT_EQ(read("[1,2.5,-3e2]").values, (std::vector<double>{1, 2.5, -300}));
    EXPECT_EQ(read("[ 1 ,  2 ]").values, (std::vector<double>{1, 2}));
    EXPECT_EQ(one("0"), 0);
    EXPECT_TRUE(std::signbit(one("-0.0")));
    EXPECT_EQ(one("1E+2"), 100);
    EXPECT_EQ(one("7.0385307e-26"), 7.0385307e-26);
    EXPECT_EQ(one("12345678901234567890123"), 12345678901234567890123.0);
    EXPECT_EQ(one("1.7976931348623157e308"), 1.7976931348623157e308);
    EXPECT_EQ(one("5e-324"), 5e-324);
    EXPECT_EQ(one("9007199254740993"), 9007199254740992.0);
    EXPECT_EQ(one("0.1234567890123456789012345"), 0.1234567890123456789012345);
}

TEST(NumberList, NullIsNotANumber) {
    const Read list = read("[1,null]");
    ASSERT_EQ(list.values.size(), 2U);
    EXPECT_TRUE(list.has_null);
    EXPECT_TRUE(std::isnan(list.values[1]));
    EXPECT_FALSE(read("[1]").has_null);
}

TEST(NumberList, RefusesAllElse) {
    for (const char* text :
         {"",      "1",     "[",     "[1",      "[1,",     "[1,]",     "[,1]",
          "[1 2]", "[01]",  "[-]",   "[-01]",   "[.5]",    "[1.]",     "[1.e3]",
          "[1e]",  "[1e+]", "[+1]",  "[--1]",   "[1.2.3]", "[0x1]",    "[NaN]",
          "[nan]", "[inf]", "[nul]", "[nulll]", "[true]",  "[\"1\"]",  "[[1]]",
          "[{}]",  "[1/2]", "[1:2]", "[1\t]",   "[1e999]", "[-1e999]", "[1,,2]"}) {
        EXPECT_FALSE(read(text).is_list) << text;
    }
}

TEST(NumberList, EveryFloatComesBackAsItWasWritten) {
    std::mt19937 random{1};
    for (int i = 0; i < 200000; ++i) {
        const auto bits = static_cast<std::uint32_t>(random());
        const auto value = std::bit_cast<float>(bits);
        if (!std::isfinite(value)) continue;
        char text[max_f32_text];
        const std::string written{text, write_f32(text, value)};
        ASSERT_EQ(std::bit_cast<std::uint32_t>(static_cast<float>(one(written))), bits) << written;
    }
}

TEST(NumberList, AgreesWithSimdjsonOnRandomNumbers) {
    std::mt19937_64 random{2};
    simdjson::dom::parser parser;
    const auto below = [&](std::uint64_t n) { return random() % n; };
    const auto digits = [&](std::uint64_t most) {
        std::string text;
        for (std::uint64_t i = below(most) + 1; i > 0; --i)
            text += static_cast<char>('0' + below(10));
        return text;
    };
    int compared = 0;
    for (int i = 0; i < 100000; ++i) {
        std::string number = below(2) == 0 ? "-" : "";
        number += below(4) == 0 ? "0" : digits(20);
        if (below(3) != 0) number += '.' + digits(22);
        if (below(3) == 0) number += (below(2) == 0 ? "e-" : "e") + digits(3);
        double wanted = 0;
        const std::string text = '[' + number + ']';
        const bool is_known = parser.parse(text).at(0).get(wanted) == simdjson::SUCCESS;
        const Read list = read(text);
        if (!is_known || !list.is_list) continue;  // of two refusals one is enough
        ++compared;
        ASSERT_EQ(list.values[0], wanted) << number;
    }
    EXPECT_GT(compared, 50000);
}

}  // namespace
}  // namespace orch
