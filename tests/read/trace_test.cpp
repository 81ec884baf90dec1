#include "analyzer/read/trace.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "analyzer/read/file_descriptor.hpp"
#include "analyzer/read/mapping.hpp"
#include "analyzer/read/records.hpp"
#include "tests/cli/cli_test_support.hpp"
#include "tests/read/trace_lines.hpp"

namespace orch {
namespace {

std::string header_of(const std::string& team) {
    std::string line = header_line;
    line.replace(line.find("\"engine\""), 8, '"' + team + '"');
    return line + '\n';
}

std::string row_of(int call, int position) {
    std::string line = row_line;
    line.replace(line.find("\"call\":0"), 8, fmt::format("\"call\":{}", call));
    line.replace(line.find("\"token_idx\":0"), 13, fmt::format("\"token_idx\":{}", position));
    return line + '\n';
}

/// Several chunks of lines of every kind, good and bad, long and short.
std::string mixed_trace(std::size_t size) {
    std::string text;
    for (int i = 0; text.size() < size; ++i) {
        text += log_line(i, fmt::format("layer_{}_output", i % 32)) + '\n';
        if (i % 3 == 0)
            text += gemm_line + std::string(static_cast<std::size_t>(i % 500), ' ') + '\n';
        if (i % 7 == 0) text += row_of(i, i % 5);
        if (i % 100 == 0) text += weight_line + "\r\n";
        if (i % 250 == 0) text += "\n";
        if (i % 300 == 0) text += "not a record\n";
        if (i % 400 == 0) text += "  " + log_line(i, "a\\u0062c") + '\n';
        if (i % 1000 == 0) text += header_of("engine " + std::to_string(i));
        if (i % 1500 == 0) text += log_line(i, "big", std::string(70000, '1')) + '\n';
    }
    return text;
}

void expect_equal(const Trace& a, const Trace& b) {
    EXPECT_EQ(a.counts().lines, b.counts().lines);
    EXPECT_EQ(a.counts().records, b.counts().records);
    EXPECT_EQ(a.counts().bad_lines, b.counts().bad_lines);
    EXPECT_EQ(a.counts().blank_lines, b.counts().blank_lines);
    EXPECT_EQ(a.counts().truncated, b.counts().truncated);
    ASSERT_EQ(a.bad_lines().size(), b.bad_lines().size());
    for (std::size_t i = 0; i < a.bad_lines().size(); ++i) {
        EXPECT_EQ(a.bad_lines()[i].line, b.bad_lines()[i].line);
        EXPECT_EQ(a.bad_lines()[i].why, b.bad_lines()[i].why);
    }
    ASSERT_EQ(a.runs().size(), b.runs().size());
    for (std::size_t i = 0; i < a.runs().size(); ++i) {
        EXPECT_EQ(a.runs()[i].begin, b.runs()[i].begin);
        EXPECT_EQ(a.runs()[i].end, b.runs()[i].end);
    }
    ASSERT_EQ(a.entries().size(), b.entries().size());
    for (std::size_t i = 0; i < a.entries().size(); ++i) {
        const Entry& x = a.entries()[i];
        const Entry& y = b.entries()[i];
        ASSERT_EQ(x.line, y.line);
        ASSERT_EQ(x.offset, y.offset);
        ASSERT_EQ(x.length, y.length);
        ASSERT_EQ(x.kind, y.kind);
        ASSERT_EQ(x.call, y.call);
        ASSERT_EQ(x.values, y.values);
        ASSERT_EQ(x.x_key, y.x_key);
        ASSERT_EQ(a.string(x.team), b.string(y.team));
        ASSERT_EQ(a.string(x.checkpoint), b.string(y.checkpoint));
        ASSERT_EQ(a.string(x.shape), b.string(y.shape));
    }
}

class TraceTest : public InDirectory {};

TEST_F(TraceTest, TheNumberOfThreadsMakesNoDifference) {
    const std::string path = file("t.jsonl", mixed_trace(std::size_t{6} << 20));
    const Trace one{path, {.threads = 1}};
    EXPECT_GT(one.counts().bad_lines, 5U);
    EXPECT_GT(one.runs().size(), 5U);
    for (const unsigned threads : {2U, 3U, 8U}) {
        expect_equal(one, Trace{path, {.threads = threads}});
    }
}

// Each line is parsed on its own: neither chunks nor the line before may change what it is.
TEST_F(TraceTest, AnEntryIsWhatItsLineSays) {
    const Trace trace{file("t.jsonl", mixed_trace(std::size_t{3} << 20)), {.threads = 2}};
    for (const Entry& entry : trace.entries()) {
        const Trace alone{file("one.jsonl", trace.text(entry))};
        ASSERT_EQ(alone.entries().size(), 1U);
        const Entry& same = alone.entries()[0];
        ASSERT_EQ(same.kind, entry.kind);
        ASSERT_EQ(same.token_idx, entry.token_idx);
        ASSERT_EQ(same.values, entry.values);
        ASSERT_EQ(same.y_key, entry.y_key);
        ASSERT_EQ(alone.string(same.checkpoint), trace.string(entry.checkpoint));
        ASSERT_EQ(alone.string(same.team), trace.string(entry.team));
        ASSERT_EQ(alone.string(same.weight), trace.string(entry.weight));
        ASSERT_EQ(alone.string(same.dtype), trace.string(entry.dtype));
        ASSERT_EQ(alone.string(same.shape), trace.string(entry.shape));
        if (entry.line > 600) break;
    }
}

TEST_F(TraceTest, ALineMayReachOverManyChunks) {
    const std::string big = log_line(1, "big", std::string(std::size_t{5} << 20, '1'));
    for (const std::string& text : {log_line(0) + '\n' + big + '\n' + log_line(2) + '\n',
                                    big + '\n' + big, big.substr(0, 3 << 20)}) {
        const std::string path = file("t.jsonl", text);
        expect_equal(Trace{path, {.threads = 1}}, Trace{path, {.threads = 4}});
    }
    const Trace trace{file("t.jsonl", log_line(0) + '\n' + big + '\n' + log_line(2) + '\n')};
    ASSERT_EQ(trace.entries().size(), 3U);
    EXPECT_EQ(trace.text(trace.entries()[1]), big);
    EXPECT_EQ(trace.entries()[2].line, 3U);
}

TEST_F(TraceTest, RunsStartAtHeadersAndWhereAnotherLoggerGoesOn) {
    const std::string own = header_of("engine") + gemm_line + '\n';
    std::string plain = log_line(1) + '\n';
    const auto runs_of = [&](const std::string& text) {
        std::vector<std::size_t> begins;
        const Trace trace{file("t.jsonl", text)};
        for (const RunRange& run : trace.runs())
            begins.push_back(run.begin);
        EXPECT_TRUE(trace.runs().empty() || trace.runs().back().end == trace.entries().size());
        return begins;
    };
    using Begins = std::vector<std::size_t>;
    EXPECT_EQ(runs_of(""), Begins{});
    EXPECT_EQ(runs_of(plain + plain), Begins{0});
    EXPECT_EQ(runs_of(own + own), (Begins{0, 2}));
    EXPECT_EQ(runs_of(own + plain + plain), (Begins{0, 2}));
    EXPECT_EQ(runs_of(own + plain + own + plain), (Begins{0, 2, 3, 5}));
    EXPECT_EQ(runs_of(plain + own), (Begins{0, 1}));
    EXPECT_EQ(runs_of(gemm_line + '\n' + plain + own), (Begins{0, 2}));
    // The engine's own plain lines belong to its run.
    const std::string same_team = header_of("llama.cpp") + plain + gemm_line + '\n' + plain;
    EXPECT_EQ(runs_of(same_team + same_team), (Begins{0, 4}));
    // Behind many lines, in another chunk.
    std::string many = header_of("engine");
    for (int i = 0; i < 2000; ++i)
        many += gemm_line + '\n';
    EXPECT_EQ(runs_of(many + plain + many), (Begins{0, 2001, 2002}));
}

TEST_F(TraceTest, RowsBelongToTheirCallAndRun) {
    const std::string run = header_of("e") + row_of(7, 0) + row_of(3, 0) + row_of(7, 1);
    const Trace trace{file("t.jsonl", run + run)};
    ASSERT_EQ(trace.runs().size(), 2U);
    for (const RunRange& range : trace.runs()) {
        const auto rows = trace.rows_of(range, 7);
        ASSERT_EQ(rows.size(), 2U);
        EXPECT_EQ(rows[0], &trace.entries()[range.begin + 1]);
        EXPECT_EQ(rows[1], &trace.entries()[range.begin + 3]);
        EXPECT_TRUE(trace.rows_of(range, 8).empty());
    }
}

TEST_F(TraceTest, TextsAreFoundByNumberAndByText) {
    const Trace trace{file("t.jsonl", gemm_line + '\n')};
    const Entry& entry = trace.entries()[0];
    EXPECT_EQ(trace.find("blk.0.attn_q.weight"), entry.weight);
    EXPECT_EQ(trace.string(entry.weight), "blk.0.attn_q.weight");
    EXPECT_EQ(trace.find("nothing"), std::nullopt);
    EXPECT_EQ(trace.find(""), 0U);
    EXPECT_EQ(trace.string(12345), "");
}

TEST_F(TraceTest, CanBeMoved) {
    Trace first{file("t.jsonl", log_line(1) + '\n')};
    Trace second = std::move(first);
    EXPECT_EQ(second.text(second.entries()[0]), log_line(1));
    first = std::move(second);
    EXPECT_EQ(first.text(first.entries()[0]), log_line(1));
}

TEST_F(TraceTest, AFileMayGrowWhileItIsRead) {
    const std::string path = file("t.jsonl", log_line(1) + '\n');
    const Trace trace{path};
    std::ofstream{path, std::ios::app} << std::string(100000, ' ') << log_line(2) << '\n';
    EXPECT_EQ(trace.entries().size(), 1U);
    EXPECT_EQ(RecordParser{trace}.values(trace.entries()[0]).size(), 3U);
}

// What is gone reads as zeros, and no signal ends the program.
TEST_F(TraceTest, AFileMayBeCutAfterItWasRead) {
    std::string text;
    while (text.size() < 100000)
        text += log_line(1) + '\n';
    const std::string path = file("t.jsonl", text);
    const Trace trace{path};
    std::filesystem::resize_file(path, 10000);
    RecordParser parser{trace};
    EXPECT_EQ(parser.values(trace.entries().front()).size(), 3U);
    EXPECT_TRUE(parser.values(trace.entries().back()).empty());
    EXPECT_EQ(parser.problem(), "not valid JSON (it holds NUL bytes)");
    EXPECT_EQ(parser.bad_records(), 1U);
}

TEST_F(TraceTest, AMappingThatIsCutSaysSo) {
    const std::string path = file("big", std::string(100000, 'x'));
    const FileDescriptor fd{::open(path.c_str(), O_RDONLY)};
    const Mapping mapping{fd.get(), 100000};
    EXPECT_EQ(mapping.bytes()[99999], 'x');
    mapping.forget(0, 100000);
    EXPECT_EQ(mapping.bytes()[0], 'x');
    EXPECT_FALSE(mapping.is_cut());
    mapping.forget(0, 100000);
    std::filesystem::resize_file(path, 4096);
    EXPECT_EQ(mapping.bytes()[50000], '\0');
    EXPECT_TRUE(mapping.is_cut());
    EXPECT_EQ(mapping.bytes()[0], 'x');
}

// A file that shrinks under the reader's hands is an error, or was read before it shrank.
TEST_F(TraceTest, AFileThatIsCutWhileItIsReadDoesNotEndTheProgram) {
    const std::string text = mixed_trace(std::size_t{4} << 20);
    const std::string path = this->path("t.jsonl");
    for (int i = 0; i < 20; ++i) {
        write_file(path, text);
        std::jthread cutter{[&] {
            for (std::size_t size = text.size(); size > 0; size /= 2)
                std::filesystem::resize_file(path, size);
        }};
        try {
            const Trace trace{path, {.threads = 2, .sidecar_index = false}};
            EXPECT_LE(trace.counts().bytes, text.size());
        } catch (const UnreadableFile& error) {
            EXPECT_TRUE(contains(error.what(), "cut short")) << error.what();
        }
    }
}

TEST_F(TraceTest, StandardInputIsAPathToo) {
    for (const std::string name : {"-", "/dev/stdin"}) {
        const int saved = ::dup(STDIN_FILENO);
        int ends[2];
        ASSERT_EQ(::pipe(ends), 0);
        const std::string text = log_line(1) + '\n' + log_line(2) + '\n';
        ASSERT_EQ(::write(ends[1], text.data(), text.size()), static_cast<ssize_t>(text.size()));
        ::close(ends[1]);
        ::dup2(ends[0], STDIN_FILENO);
        ::close(ends[0]);
        const Trace trace{name};
        ::dup2(saved, STDIN_FILENO);
        ::close(saved);
        EXPECT_EQ(trace.entries().size(), 2U) << name;
        EXPECT_EQ(trace.text(trace.entries()[1]), log_line(2)) << name;
    }
}

}  // namespace
}  // namespace orch
