#include <unistd.h>

#include <algorithm>
#include <cmath>

#include "analyzer/read/records.hpp"
#include "tests/cli/cli_test_support.hpp"

namespace orch {
namespace {

using namespace std::string_literals;

constexpr std::string_view seven_keys =
    R"({"ts":"2026-01-31T12:00:00Z","team":"llama.cpp","checkpoint":"logits","token_idx":4,)"
    R"("dtype":"f32","shape":"[4]","values":[1.5,null,-2,3e9]})";

struct Read {
    std::vector<std::string> checkpoints;
    std::vector<std::uint64_t> lines;
    std::vector<BadLine> bad;
    ReadCounts counts;
};

class TraceFileLines : public InDirectory {
  protected:
    /// What must hold for every file: each line is a record, bad or blank.
    static Read read_path(const std::string& path) {
        const Trace trace{path};
        Read read{{}, {}, trace.bad_lines(), trace.counts()};
        for (const Entry& entry : trace.entries()) {
            read.checkpoints.emplace_back(trace.string(entry.checkpoint));
            read.lines.push_back(entry.line);
        }
        const ReadCounts& c = read.counts;
        EXPECT_EQ(c.lines, c.records + c.bad_lines + c.blank_lines);
        EXPECT_EQ(c.records, read.lines.size());
        EXPECT_EQ(std::min<std::size_t>(c.bad_lines, max_bad_lines_shown), read.bad.size());
        return read;
    }
    Read read(std::string_view text) { return read_path(file("trace.jsonl", text)); }

    std::string why(const std::string& line) {
        const Read result = read(line + "\n");
        return result.bad.size() == 1 ? result.bad[0].why : "";
    }
};

TEST_F(TraceFileLines, ReadsASevenKeyLine) {
    const Trace trace{file("trace.jsonl", std::string{seven_keys} + "\n")};
    ASSERT_EQ(trace.entries().size(), 1U);
    const Entry& entry = trace.entries()[0];
    EXPECT_EQ(trace.text(entry), seven_keys);
    EXPECT_EQ(entry.kind, RecordKind::log);
    EXPECT_EQ(trace.string(entry.team), "llama.cpp");
    EXPECT_EQ(trace.string(entry.checkpoint), "logits");
    EXPECT_EQ(trace.string(entry.dtype), "f32");
    EXPECT_EQ(trace.string(entry.shape), "[4]");
    EXPECT_EQ(entry.token_idx, 4);
    const auto values = RecordParser{trace}.values(entry);
    ASSERT_EQ(values.size(), 4U);
    EXPECT_EQ(values[0], 1.5);
    EXPECT_TRUE(std::isnan(values[1]));
    EXPECT_EQ(values[2], -2.0);
    EXPECT_EQ(values[3], 3e9);
}

TEST_F(TraceFileLines, SkipsBadLinesAndReportsTheirNumbers) {
    const std::string good{seven_keys};
    const Read result = read(good + "\nnonsense\n" + good + "\n[1]\n{\"a\":1}\n" + good + "\n");
    EXPECT_EQ(result.lines, (std::vector<std::uint64_t>{1, 3, 6}));
    ASSERT_EQ(result.bad.size(), 3U);
    EXPECT_EQ(result.bad[0].line, 2U);
    EXPECT_EQ(result.bad[1].line, 4U);
    EXPECT_EQ(result.bad[1].why, "not a JSON object");
    EXPECT_EQ(result.bad[2].line, 5U);
    EXPECT_EQ(result.bad[2].why, "not a record (no \"checkpoint\")");
    EXPECT_FALSE(result.counts.truncated);
}

TEST_F(TraceFileLines, SaysWhatIsWrongWithALine) {
    EXPECT_EQ(why(R"({"checkpoint":"a","values":[1,2)"), "not valid JSON (unexpected end)");
    EXPECT_EQ(why(R"({"checkpoint":"a)"), "not valid JSON (unexpected end inside a string)");
    EXPECT_EQ(why(R"({"checkpoint":"a","values":[NaN]})"),
              "not valid JSON (nan and inf are no JSON numbers; use null)");
    EXPECT_EQ(why(R"({"checkpoint":"a","values":[1,-inf]})"),
              "not valid JSON (nan and inf are no JSON numbers; use null)");
    EXPECT_EQ(why("{\"checkpoint\":\"\xFF\"}"), "not valid JSON (not UTF-8)");
    EXPECT_EQ(why(R"({"checkpoint":"a"} {"checkpoint":"b"})"), "not valid JSON (wrong structure)");
    EXPECT_EQ(why(R"({"checkpoint":7})"), "not a record (no \"checkpoint\")");
    EXPECT_EQ(why(std::string(5000, '[') + std::string(5000, ']')),
              "not valid JSON (nested too deeply)");
}

TEST_F(TraceFileLines, ReportsNulBytes) {
    const Read result = read(std::string{seven_keys} + "\n" + std::string(100, '\0') + "\n" +
                             "{\"checkpoint\":\"a\0b\"}\n"s + std::string{seven_keys} + "\n");
    EXPECT_EQ(result.lines, (std::vector<std::uint64_t>{1, 4}));
    ASSERT_EQ(result.bad.size(), 2U);
    for (const BadLine& bad : result.bad) {
        EXPECT_EQ(bad.why, "not valid JSON (it holds NUL bytes)");
    }
}

TEST_F(TraceFileLines, AnEmptyFileHoldsNothing) {
    EXPECT_EQ(read("").counts.lines, 0U);
    EXPECT_EQ(read("\n  \n\r\n").counts.blank_lines, 3U);
}

TEST_F(TraceFileLines, TheLastLineNeedsNoNewline) {
    const Read result = read(std::string{seven_keys} + "\n" + std::string{seven_keys});
    EXPECT_EQ(result.counts.records, 2U);
    EXPECT_FALSE(result.counts.truncated);
}

TEST_F(TraceFileLines, ALastLineThatIsCutOffIsToldApart) {
    const std::string line{seven_keys};
    for (std::size_t cut = 1; cut < line.size(); ++cut) {
        const Read result = read(line + "\n" + line.substr(0, cut));
        EXPECT_EQ(result.counts.records, 1U) << cut;
        EXPECT_TRUE(result.counts.truncated) << cut;
        ASSERT_EQ(result.bad.size(), 1U) << cut;
        EXPECT_TRUE(result.bad[0].truncated) << cut;
    }
}

TEST_F(TraceFileLines, AcceptsSpacePaddingCarriageReturnsAndAByteOrderMark) {
    const std::string line{seven_keys};
    const Read result = read("\xEF\xBB\xBF" + line + std::string(4000, ' ') + "\n" + line + "\r\n");
    EXPECT_EQ(result.counts.records, 2U);
    EXPECT_EQ(result.counts.bad_lines, 0U);
}

// The parser may read past the end of a line: here nothing is mapped behind it.
TEST_F(TraceFileLines, ReadsFilesThatEndAtAPage) {
    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    for (const std::size_t short_by : {0U, 1U, 31U, 63U, 64U, 65U}) {
        for (const bool newline : {true, false}) {
            std::string text{seven_keys};
            text.insert(text.find("logits"), 2 * page - short_by - text.size() - newline, 'x');
            if (newline) text += '\n';
            ASSERT_EQ(text.size(), 2 * page - short_by);
            EXPECT_EQ(read(text).counts.records, 1U) << short_by << newline;
            text.back() = '"';
            text[text.size() - 2] = '"';
            EXPECT_EQ(read(text).counts.bad_lines, 1U) << short_by << newline;
        }
    }
}

TEST_F(TraceFileLines, ReadsALineOfAMebibyte) {
    std::string line = R"({"checkpoint":"big","values":[0)";
    while (line.size() < (1U << 20))
        line += ",1.25";
    const Read result = read(line + "]}\n" + std::string{seven_keys} + "\n");
    EXPECT_EQ(result.checkpoints, (std::vector<std::string>{"big", "logits"}));
}

TEST_F(TraceFileLines, ALineThatNoTraceHasIsNotParsed) {
    const Read result = read(std::string((64U << 20) + 1, '[') + "\n" + std::string{seven_keys});
    EXPECT_EQ(result.lines, (std::vector<std::uint64_t>{2}));
    ASSERT_EQ(result.bad.size(), 1U);
    EXPECT_EQ(result.bad[0].why, "longer than 64 MiB");
}

TEST_F(TraceFileLines, ReadsAPipe) {
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    const std::string text = std::string{seven_keys} + "\n";
    ASSERT_EQ(::write(ends[1], text.data(), text.size()), static_cast<ssize_t>(text.size()));
    ::close(ends[1]);
    EXPECT_EQ(read_path("/dev/fd/" + std::to_string(ends[0])).counts.records, 1U);
    ::close(ends[0]);
}

TEST_F(TraceFileLines, NamesAFileThatCannotBeRead) {
    for (const auto& [name, reason] : {std::pair{path("none.jsonl"), "No such file"},
                                       std::pair{directory_.string(), "Is a directory"}}) {
        try {
            read_path(name);
            FAIL() << name;
        } catch (const UnreadableFile& error) {
            EXPECT_TRUE(contains(error.what(), name)) << error.what();
            EXPECT_TRUE(contains(error.what(), reason)) << error.what();
        }
    }
}

// Every byte of a line damaged in turn: nothing but a report may come of it.
TEST_F(TraceFileLines, SurvivesAnyDamagedByte) {
    const std::string line{seven_keys};
    std::string text;
    for (std::size_t i = 0; i < line.size(); ++i) {
        for (char c : {'\0', '"', '{', '\\', '\xC3', ','}) {
            std::string damaged = line;
            damaged[i] = c;
            text += damaged + "\n";
        }
    }
    const Read result = read(text);
    EXPECT_EQ(result.counts.lines, line.size() * 6);
    EXPECT_GT(result.counts.bad_lines, line.size());
}

}  // namespace
}  // namespace orch
