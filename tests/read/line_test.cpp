// The scanner and the JSON parser find the same in every line that the scanner takes.
#include "analyzer/read/line.hpp"

#include <gtest/gtest.h>

#include <random>

#include "analyzer/read/line_pattern.hpp"
#include "tests/read/trace_lines.hpp"

namespace orch {
namespace {

/// A line with what stands behind it in a file.
struct Padded {
    explicit Padded(const std::string& text) : size(text.size()), bytes(text + '\n') {
        bytes.append(64, '7');
    }
    std::string_view line() const { return {bytes.data(), size}; }
    std::size_t size;
    std::string bytes;
};

struct BothWays {
    bool is_scanned = false;
    bool is_record = false;
    LineFacts scanned;
    LineFacts parsed;
};

class Line : public testing::Test {
  protected:
    /// What the scanner takes, and the parser as well, must be the same to both.
    BothWays read(const Padded& padded) {
        BothWays both;
        const char* end = scan_line(padded.bytes.data(), both.scanned);
        both.is_scanned = end == padded.bytes.data() + padded.size;
        both.is_record = parser_.parse(padded.line(), both.parsed).empty();
        if (both.is_scanned && both.is_record) {
            expect_same(both.scanned, both.parsed, padded.line());
        }
        return both;
    }

    static void expect_same(const LineFacts& a, const LineFacts& b, std::string_view line) {
        EXPECT_EQ(a.team, b.team) << line;
        EXPECT_EQ(a.checkpoint, b.checkpoint) << line;
        EXPECT_EQ(a.weight, b.weight) << line;
        EXPECT_EQ(a.dtype, b.dtype) << line;
        EXPECT_EQ(a.shape, b.shape) << line;
        expect_same(a.entry, b.entry, line);
    }
    static void expect_same(const Entry& a, const Entry& b, std::string_view line) {
        EXPECT_EQ(a.kind, b.kind) << line;
        EXPECT_EQ(a.call, b.call) << line;
        EXPECT_EQ(a.pass, b.pass) << line;
        EXPECT_EQ(a.token_idx, b.token_idx) << line;
        EXPECT_EQ(a.first_position, b.first_position) << line;
        EXPECT_EQ(a.token_positions, b.token_positions) << line;
        EXPECT_EQ(a.nonfinite, b.nonfinite) << line;
        EXPECT_EQ(a.rows, b.rows) << line;
        EXPECT_EQ(a.x_cols, b.x_cols) << line;
        EXPECT_EQ(a.y_cols, b.y_cols) << line;
        EXPECT_EQ(a.x_key, b.x_key) << line;
        EXPECT_EQ(a.y_key, b.y_key) << line;
        EXPECT_EQ(a.values, b.values) << line;
    }

    LineParser parser_;
};

TEST_F(Line, EveryKindOfOrchtraceIsScanned) {
    for (const std::string& line : lines_of_all_kinds) {
        const BothWays both = read(Padded{line});
        EXPECT_TRUE(both.is_scanned) << line;
        EXPECT_TRUE(both.is_record) << line;
    }
}

TEST_F(Line, AProductIsUnderstood) {
    const Padded padded{gemm_line};
    const LineFacts facts = read(padded).scanned;
    const Entry& entry = facts.entry;
    EXPECT_EQ(entry.kind, RecordKind::gemm);
    EXPECT_EQ(facts.team, "llama.cpp");
    EXPECT_EQ(facts.checkpoint, "gemm.blk.0.attn_q");
    EXPECT_EQ(facts.weight, "blk.0.attn_q.weight");
    EXPECT_EQ(facts.dtype, "f32");
    EXPECT_EQ(facts.shape, "[20,128]");
    EXPECT_EQ(entry.token_idx, 19);
    EXPECT_EQ(entry.call, 17);
    EXPECT_EQ(entry.pass, 2);
    EXPECT_EQ(entry.first_position, 3);
    EXPECT_TRUE(entry.token_positions);
    EXPECT_TRUE(entry.nonfinite);
    EXPECT_EQ(entry.rows, 20U);
    EXPECT_EQ(entry.x_cols, 96U);
    EXPECT_EQ(entry.y_cols, 128U);
    EXPECT_NE(entry.x_key, 0U);
    EXPECT_NE(entry.y_key, 0U);
    EXPECT_NE(entry.x_key, entry.y_key);
    EXPECT_EQ(padded.line().substr(entry.values), "[1.8366414,null,null,0.5]}");
}

TEST_F(Line, DigestsOfTheSameTextHaveTheSameKey) {
    const auto x = std::string{R"({"rows":2,"sum":1.25})"};
    const Padded one{R"({"checkpoint":"a","x":)" + x + R"(,"y":{"rows":2}})"};
    const Padded two{R"({"checkpoint":"b","call":4,"y":)" + x + "}"};
    EXPECT_EQ(read(one).scanned.entry.x_key, read(two).scanned.entry.y_key);
    EXPECT_NE(read(one).scanned.entry.y_key, read(two).scanned.entry.y_key);
}

TEST_F(Line, OddKeysAndValuesAreReadAlike) {
    for (const char* line : {
             R"({"checkpoint":"a"})",
             R"({"values":[],"checkpoint":"a"})",
             R"({"checkpoint":"a","checkpoint":"b"})",
             R"({"ts":"1","team":"2","checkpoint":"3","token_idx":4,"team":"5"})",
             R"({"ts":"1","team":"2","checkpoint":"3","token_idx":4,"dtype":"5","shape":"6",)"
             R"("values":[1],"values":[2]})",
             R"({"checkpoint":"a","x":{"rows":1,"rows":2,"cols":3},"y":{"cols":4,"cols":5}})",
             R"({"checkpoint":"a","y":{"dtype":"rows","name":"nan","rows":7}})",
             R"({"checkpoint":"a","y":{"z":{"rows":7,"nan":1},"cols":[{"rows":8}]}})",
             R"({"checkpoint":"a","y":{"rows" :7}})",
             R"({"checkpoint":"a","y":{"rows": 7 ,"cols": -3}})",
             R"({"checkpoint":"a","y":{"nan":null}})",
             R"({"checkpoint":"a","x":7,"y":[1,2]})",
             R"({"checkpoint":"a","x":{},"y":{}})",
             R"({"checkpoint":"a","kind":"new","unknown":{"a":[true,false,null]}})",
             R"({"checkpoint":"a","kind":7,"call":"x","pass":1.5,"weight":null,"team":[]})",
             R"({"checkpoint":"a","token_idx":-0,"call":00})",
             R"({"checkpoint":"a","token_idx":-12,"call":1e3})",
             R"({"checkpoint":"a","token_idx":999999999999999999,"call":9223372036854775807})",
             R"({"checkpoint":"a","token_idx":9223372036854775808})",
             R"({"checkpoint":"a","pass":2147483648,"y":{"rows":4294967296}})",
             R"({"checkpoint":"a\u0062","dtype":"\n","shape":"é"})",
             R"({"chec\u006bpoint":"a"})",
             R"({"checkpoint":"a","values":{"not":"a list"}})",
             R"({"checkpoint":"a","values":[1,[2],"3",true]})",
             R"({"checkpoint":"a","values":[1 , 2,null ]})",
             R"({"checkpoint":"a","values":[nul]})",
             R"({ "checkpoint" : "a" , "call" : 3 })",
             R"({"checkpoint":"","positions":"token","positions2":"token"})",
             R"({"checkpoint":"a",})",
             R"({"checkpoint":"a"}})",
             R"({"checkpoint":"a"]})",
             R"({"checkpoint":"a","y":{"rows":[1}}})",
             R"({"checkpoint":"a","nonfinite":[[0,"inf"]]})",
         }) {
        read(Padded{line});
    }
}

TEST_F(Line, DeepNestingIsLeftToTheParser) {
    for (const int depth : {60, 63, 64, 65, 200}) {
        const std::string nested = std::string(static_cast<std::size_t>(depth), '[') +
                                   std::string(static_cast<std::size_t>(depth), ']');
        const BothWays both = read(Padded{R"({"checkpoint":"a","deep":)" + nested + "}"});
        EXPECT_TRUE(both.is_record) << depth;
        EXPECT_EQ(both.is_scanned, depth < 64) << depth;
    }
}

/// Strings, brackets and nulls at every place in the blocks that the scanner looks at.
TEST_F(Line, WhereALineIsCutIntoBlocksDoesNotMatter) {
    for (std::size_t shift = 0; shift < 130; ++shift) {
        std::string line = gemm_line;
        line.insert(line.find("\"x\":") - 1, ",\"pad\":\"" + std::string(shift, 'p') + '"');
        EXPECT_TRUE(read(Padded{line}).is_scanned) << shift;
        line.insert(line.find("\"energy\"", line.find("\"y\":")),
                    "\"pad\":\"" + std::string(shift, '{') + "\",");
        EXPECT_TRUE(read(Padded{line}).is_scanned) << shift;
    }
}

/// Bytes changed, dropped, doubled and moved at random.
class Damage {
  public:
    explicit Damage(unsigned seed) : random_(seed) {}

    std::string of(std::string line) {
        for (std::size_t i = below(4) + 1; i > 0; --i)
            once(line);
        return line;
    }

  private:
    std::size_t below(std::size_t n) { return random_() % n; }

    void once(std::string& line) {
        static constexpr std::string_view marks = "\"{}[]:,-+.eE0159 n\\tu/\xC3\x80";
        if (line.empty()) return;
        const std::size_t at = below(line.size());
        switch (below(5)) {
            case 0:
                line[at] = marks[below(marks.size())];
                break;
            case 1:
                line.erase(at, 1 + below(3));
                break;
            case 2:
                line.insert(at, 1, marks[below(marks.size())]);
                break;
            case 3:
                line.insert(at, line.substr(below(line.size()), below(40)));
                break;
            default:
                line[at] = static_cast<char>(below(256));
                if (line[at] == '\n') line[at] = ' ';
        }
    }

    std::mt19937 random_;
};

TEST_F(Line, DamagedLinesAreReadAlike) {
    constexpr int rounds = 20000;
    int scanned = 0;
    int both_take = 0;
    for (int i = 0; i < rounds; ++i) {
        const std::string& line =
            lines_of_all_kinds[static_cast<std::size_t>(i) % lines_of_all_kinds.size()];
        const BothWays both = read(Padded{Damage{static_cast<unsigned>(i)}.of(line)});
        scanned += both.is_scanned ? 1 : 0;
        both_take += both.is_scanned && both.is_record ? 1 : 0;
        if (HasFailure()) return;
    }
    // Or the comparison above has compared nothing.
    EXPECT_GT(both_take, rounds / 20);
    EXPECT_GT(scanned, both_take);
}

class Pattern : public Line {
  protected:
    /// `line` by the pattern of `first`; true if it is taken. It then is what scan_line() finds.
    bool matches(const std::string& first, const std::string& line) {
        const Padded model{first};
        const Padded padded{line};
        LineFacts facts;
        if (scan_line(model.bytes.data(), facts) == nullptr || !facts.is_usual) return false;
        LinePattern pattern;
        pattern.learn(model.line(), facts);
        std::string_view name;
        std::int64_t token = 0;
        std::uint32_t values = 0;
        const char* end = pattern.match(padded.bytes.data(), name, token, values);
        if (end == nullptr) return false;
        LineFacts scanned;
        EXPECT_EQ(scan_line(padded.bytes.data(), scanned), end) << line;
        EXPECT_EQ(scanned.checkpoint, name) << line;
        EXPECT_EQ(scanned.team, facts.team) << line;
        EXPECT_EQ(scanned.dtype, facts.dtype) << line;
        EXPECT_EQ(scanned.shape, facts.shape) << line;
        Entry entry = facts.entry;
        entry.token_idx = token;
        entry.values = values;
        expect_same(entry, scanned.entry, line);
        return end == padded.bytes.data() + padded.size;
    }
};

TEST_F(Pattern, TakesTheLinesThatFollow) {
    EXPECT_TRUE(matches(log_line(7), log_line(8)));
    EXPECT_TRUE(matches(log_line(7), log_line(-123456, "layer_31_output", "")));
    EXPECT_TRUE(matches(spaced_line(1), spaced_line(99)));
    EXPECT_TRUE(matches(log_line(7), log_line(8, "a", std::string(5000, '1'))));
}

TEST_F(Pattern, RefusesWhatDiffersElsewhere) {
    EXPECT_FALSE(matches(log_line(7), spaced_line(7)));
    EXPECT_FALSE(matches(log_line(7), gemm_line));
    std::string line = log_line(7);
    line.replace(line.find("[1,320]"), 7, "[1,321]");
    EXPECT_FALSE(matches(log_line(7), line));
    EXPECT_FALSE(matches(log_line(7), log_line(7, "a\\u0062")));
    EXPECT_FALSE(matches(log_line(7), log_line(7, "a", "NaN")));
}

TEST_F(Pattern, DamagedLinesAreWhatTheScannerFinds) {
    int taken = 0;
    for (unsigned i = 0; i < 20000; ++i) {
        const std::string line = i % 2 == 0 ? log_line(7) : spaced_line(7);
        taken += matches(line, Damage{i}.of(line)) ? 1 : 0;
        if (HasFailure()) return;
    }
    EXPECT_GT(taken, 500);
}

}  // namespace
}  // namespace orch
