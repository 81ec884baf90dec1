#include "core/json_line.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <string_view>

namespace orch {
namespace {

using Json = nlohmann::json;

std::string line_of(const std::function<void(JsonLine&)>& fill) {
    std::string space(1 << 16, '#');
    JsonLine line{space};
    fill(line);
    EXPECT_FALSE(line.overflowed());
    return space.substr(0, line.size());
}

std::string string_text(std::string_view text) {
    return line_of([&](JsonLine& line) { line.string(text); });
}

void fill_everything(JsonLine& line) {
    line.open_object();
    line.field("signed", std::numeric_limits<std::int64_t>::min());
    line.field("unsigned", std::numeric_limits<std::uint64_t>::max());
    line.field("int", -7);
    line.field("double", -2.2250738585072014e-308);
    line.field("float", -1.17549435e-38F);
    line.field("nan", std::nan(""));
    line.field("inf", std::numeric_limits<float>::infinity());
    line.field("true", true);
    line.field("false", false);
    line.field("text", "quote\" back\\ line\n \x01 \xff \xc3\xa9");
    line.key("hash");
    line.hex64(0x0123456789abcdefU);
    line.key("empty");
    line.open_array();
    line.close_array();
    line.key("nested");
    line.open_array();
    line.number(1);
    line.open_array();
    line.number(2);
    line.number(3);
    line.close_array();
    line.open_object();
    line.field("a", std::int64_t{4});
    line.field("b", 5);
    line.close_object();
    line.string("six");
    line.boolean(true);
    line.close_array();
    line.key("bulk");
    line.open_array();
    const float values[] = {1, 2.5F, -3};
    if (char* out = line.reserve(3 * (max_f32_text + 1))) {
        line.advance_to(write_f32_list(out, values, 3));
    }
    line.close_array();
    line.field("last", 0);
    line.close_object();
    line.newline();
}

constexpr std::string_view everything =
    "{\"signed\":-9223372036854775808,\"unsigned\":18446744073709551615,\"int\":-7,"
    "\"double\":-2.2250738585072014e-308,\"float\":-1.1754944e-38,\"nan\":null,\"inf\":null,"
    "\"true\":true,\"false\":false,"
    "\"text\":\"quote\\\" back\\\\ line\\u000a \\u0001 \\ufffd \xc3\xa9\","
    "\"hash\":\"0123456789abcdef\",\"empty\":[],\"nested\":[1,[2,3],{\"a\":4,\"b\":5},\"six\",true]"
    ","
    "\"bulk\":[1,2.5,-3],\"last\":0}\n";

TEST(JsonLine, WritesEveryKindOfMemberWithItsCommas) {
    EXPECT_EQ(line_of(fill_everything), everything);
    const Json parsed = Json::parse(everything);
    EXPECT_EQ(parsed["nested"], Json::parse(R"([1,[2,3],{"a":4,"b":5},"six",true])"));
    EXPECT_EQ(parsed["unsigned"], 18446744073709551615U);
}

TEST(JsonLine, AtEverySizeOfItsSpaceItIsWholeOrOverflows) {
    // The spaces lie on the heap at their exact size: a sanitizer sees a byte too many.
    const std::size_t enough = everything.size() + 80;
    std::size_t smallest_that_fits = 0;
    for (std::size_t size = 0; size <= enough; ++size) {
        const std::unique_ptr<char[]> space(new char[size]);
        JsonLine line{{space.get(), size}};
        fill_everything(line);
        if (line.overflowed()) {
            ASSERT_EQ(line.size(), 0U) << size;
            ASSERT_EQ(smallest_that_fits, 0U) << "fits at a smaller size than " << size;
        } else {
            if (smallest_that_fits == 0) smallest_that_fits = size;
            ASSERT_EQ(std::string_view(space.get(), line.size()), everything) << size;
        }
    }
    EXPECT_GE(smallest_that_fits, everything.size());
    EXPECT_LE(smallest_that_fits, enough) << "asks for more slack than one number needs";
}

TEST(JsonLine, EachWriterAloneStaysWithinASpaceOfAnySize) {
    const std::function<void(JsonLine&)> writers[] = {
        [](JsonLine& l) { l.number(std::numeric_limits<std::int64_t>::min()); },
        [](JsonLine& l) { l.number(std::numeric_limits<std::uint64_t>::max()); },
        [](JsonLine& l) { l.number(-2.2250738585072014e-308); },
        [](JsonLine& l) { l.number(-1.17549435e-38F); },
        [](JsonLine& l) { l.number(std::nan("")); },
        [](JsonLine& l) { l.boolean(false); },
        [](JsonLine& l) { l.hex64(~0ULL); },
        [](JsonLine& l) { l.string("\x01\x02\x03\xff\xfe\"\\"); },
        [](JsonLine& l) { l.string(""); },
        [](JsonLine& l) { l.key("name"); },
        [](JsonLine& l) { l.open_array(); },
        [](JsonLine& l) { l.newline(); },
    };
    for (const auto& write : writers) {
        const std::string second = line_of([&](JsonLine& line) {
            line.number(1);
            write(line);
        });
        for (std::size_t size = 0; size < 90; ++size) {
            const std::unique_ptr<char[]> space(new char[size]);
            JsonLine line{{space.get(), size}};
            line.number(1);
            write(line);
            if (line.overflowed()) continue;
            ASSERT_EQ(std::string_view(space.get(), line.size()), second) << size;
        }
    }
}

TEST(JsonLine, NothingIsWrittenBehindAnOverflow) {
    char space[32];
    JsonLine line{space};
    line.string("far too long for a space of 32 bytes");
    EXPECT_TRUE(line.overflowed());
    line.number(1);
    line.newline();
    line.close_object();
    EXPECT_TRUE(line.overflowed());
    EXPECT_EQ(line.size(), 0U);
    EXPECT_EQ(line.reserve(1), nullptr);
}

TEST(JsonLine, ASpaceOfNoBytesOverflowsAtOnce) {
    JsonLine line{{}};
    line.open_object();
    EXPECT_TRUE(line.overflowed());
}

TEST(JsonLine, EveryCharacterBelow0x80ReadsBack) {
    std::string text;
    for (int c = 0; c < 0x80; ++c)
        text += static_cast<char>(c);
    EXPECT_EQ(Json::parse(string_text(text)).get<std::string>(), text);
}

TEST(JsonLine, ALineHoldsNeitherNulNorNewlineButItsOwn) {
    std::string text;
    for (int c = 0; c < 256; ++c)
        text += static_cast<char>(c);
    const std::string written = string_text(text);
    EXPECT_EQ(written.find('\n'), std::string::npos);
    EXPECT_EQ(written.find('\0'), std::string::npos);
}

TEST(JsonLine, ValidUtf8PassesUnchanged) {
    // The first and last character of each length, and the neighbours of the surrogates.
    for (const char* text : {"\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80",
                             "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"}) {
        EXPECT_EQ(string_text(text), '"' + std::string(text) + '"');
    }
}

TEST(JsonLine, BytesThatAreNoUtf8BecomeTheReplacementCharacter) {
    const std::string r = "\\ufffd";
    const struct {
        std::string_view text;
        std::string wanted;
    } cases[] = {
        {"\x80", r},                  // continuation without a lead
        {"\xc0\x80", r + r},          // overlong NUL
        {"\xc1\xbf", r + r},          // overlong
        {"\xe0\x9f\xbf", r + r + r},  // overlong, three bytes
        {"\xf0\x8f\xbf\xbf", r + r + r + r},
        {"\xed\xa0\x80", r + r + r},          // surrogate
        {"\xf4\x90\x80\x80", r + r + r + r},  // beyond U+10FFFF
        {"\xf5\x80\x80\x80", r + r + r + r},
        {"\xff", r},
        {"a\xc3", "a" + r},  // cut off
        {"a\xe2\x82", "a" + r + r},
        {"a\xf0\x9f\x98", "a" + r + r + r},
        {"\xc3(", r + "("},
    };
    for (const auto& c : cases)
        EXPECT_EQ(string_text(c.text), '"' + c.wanted + '"');
}

TEST(JsonLine, RandomBytesAlwaysParse) {
    std::mt19937 random(1);
    for (int i = 0; i < 20'000; ++i) {
        std::string text(random() % 12, ' ');
        for (char& c : text)
            c = static_cast<char>(random() % 3 == 0 ? random() % 128 : 0x80 + random() % 128);
        const std::string written = string_text(text);
        ASSERT_TRUE(Json::accept(written)) << written;
        if (Json::accept('"' + text + '"')) {
            ASSERT_EQ(written, '"' + text + '"');
        }
    }
}

/// Writes a random document and builds the same one for comparison.
Json random_document(JsonLine& line, std::mt19937& random, int depth) {
    const auto kind = random() % (depth > 4 ? 5 : 7);
    switch (kind) {
        case 0: {
            const std::int64_t value = static_cast<std::int64_t>(random()) - (1LL << 31);
            line.number(value);
            return value;
        }
        case 1: {
            const auto value = static_cast<float>(random()) / 7.0F;
            line.number(value);
            // A reader that parses a double and narrows it gets the same float.
            return static_cast<double>(value);
        }
        case 2: {
            std::string text(random() % 9, ' ');
            for (char& c : text)
                c = static_cast<char>(random() % 128);
            line.string(text);
            return text;
        }
        case 3:
            line.boolean(true);
            return true;
        case 4:
            line.number(std::nan(""));
            return nullptr;
        case 5: {
            Json array = Json::array();
            line.open_array();
            for (auto n = random() % 5; n > 0; --n)
                array.push_back(random_document(line, random, depth + 1));
            line.close_array();
            return array;
        }
        default: {
            Json object = Json::object();
            line.open_object();
            for (auto n = random() % 5; n > 0; --n) {
                const std::string name = "k" + std::to_string(n);
                line.key(name);
                object[name] = random_document(line, random, depth + 1);
            }
            line.close_object();
            return object;
        }
    }
}

void narrow_floats(Json& json) {
    if (json.is_number_float() || json.is_number_integer()) {
        json = static_cast<double>(json.get<float>());
    }
    if (json.is_structured()) {
        for (Json& element : json)
            narrow_floats(element);
    }
}

TEST(JsonLine, RandomDocumentsReadBackAsTheyWereWritten) {
    std::mt19937 random(2);
    for (int i = 0; i < 3000; ++i) {
        Json wanted;
        const std::string text =
            line_of([&](JsonLine& line) { wanted = random_document(line, random, 0); });
        Json parsed = Json::parse(text);
        narrow_floats(parsed);
        narrow_floats(wanted);
        ASSERT_EQ(parsed, wanted) << text;
    }
}

TEST(JsonLine, NumbersKeepTheirExactValue) {
    EXPECT_EQ(line_of([](JsonLine& l) { l.number(-0.0F); }), "-0.0");
    EXPECT_EQ(line_of([](JsonLine& l) { l.number(0.1); }), "0.1");
    EXPECT_EQ(line_of([](JsonLine& l) { l.number(0.1F); }), "0.1");
    EXPECT_EQ(line_of([](JsonLine& l) { l.number(-std::numeric_limits<double>::infinity()); }),
              "null");
    EXPECT_EQ(line_of([](JsonLine& l) { l.hex64(0); }), "\"0000000000000000\"");
}

}  // namespace
}  // namespace orch
