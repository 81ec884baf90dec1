// PATH.orchidx: used when it is of this very trace, and ignored whatever else it is.
#include "analyzer/read/sidecar_index.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <chrono>
#include <functional>
#include <random>

#include "tests/cli/cli_test_support.hpp"
#include "tests/read/trace_lines.hpp"

namespace orch {
namespace {

namespace fs = std::filesystem;

class SidecarIndex : public InDirectory {
  protected:
    SidecarIndex() {
        std::string text = header_line + '\n';
        for (int i = 0; i < 300; ++i)
            text += (i % 3 == 0 ? gemm_line : log_line(i)) + '\n';
        trace_ = file("t.jsonl", text + "bad\n\n" + header_line + '\n' + log_line(300, "last"));
    }

    Trace open() const { return Trace{trace_, {.threads = 2, .big_file = 1}}; }
    std::string sidecar() const { return sidecar_path(trace_).string(); }
    bool is_used() const { return load_sidecar(trace_, Content{trace_}, 1).has_value(); }

    std::string trace_;
};

TEST_F(SidecarIndex, HoldsWhatTheTraceHolds) {
    const Trace fresh = open();
    ASSERT_TRUE(fs::exists(sidecar()));
    ASSERT_TRUE(is_used());
    const Trace again = open();
    EXPECT_EQ(again.counts().bytes, fresh.counts().bytes);
    EXPECT_EQ(again.counts().lines, fresh.counts().lines);
    EXPECT_EQ(again.counts().records, fresh.counts().records);
    EXPECT_EQ(again.counts().blank_lines, 1U);
    ASSERT_EQ(again.bad_lines().size(), 1U);
    EXPECT_EQ(again.bad_lines()[0].line, fresh.bad_lines()[0].line);
    EXPECT_EQ(again.bad_lines()[0].why, fresh.bad_lines()[0].why);
    ASSERT_EQ(again.runs().size(), 4U);
    ASSERT_EQ(again.entries().size(), fresh.entries().size());
    for (std::size_t i = 0; i < fresh.entries().size(); ++i) {
        const Entry& a = again.entries()[i];
        const Entry& b = fresh.entries()[i];
        ASSERT_EQ(again.text(a), fresh.text(b));
        ASSERT_EQ(a.line, b.line);
        ASSERT_EQ(a.kind, b.kind);
        ASSERT_EQ(a.x_key, b.x_key);
        ASSERT_EQ(again.string(a.checkpoint), fresh.string(b.checkpoint));
    }
    EXPECT_EQ(again.find("last"), fresh.find("last"));
}

// Shown by a sidecar that says something else than the trace: what it says comes back.
TEST_F(SidecarIndex, IsUsedInsteadOfReadingTheTrace) {
    const auto changed = fs::last_write_time(trace_);
    open();
    std::string text = read_file(trace_);
    text.replace(text.find("Qcur-0", text.size() / 2), 6, "Qcur-1");
    const std::size_t checkpoint = text.find("\"checkpoint\":\"logits\"", text.size() / 2);
    ASSERT_GT(checkpoint, std::size_t{64} << 10)
        << "it must lie between the ends that are compared";
    ASSERT_GT(text.size() - checkpoint, std::size_t{64} << 10);
    text.replace(checkpoint, 21, "\"checkpoint\":\"LOGITS\"");
    write_file(trace_, text);
    fs::last_write_time(trace_, changed);
    EXPECT_EQ(open().find("LOGITS"), std::nullopt);
    fs::remove(sidecar());
    EXPECT_NE(open().find("LOGITS"), std::nullopt);
}

TEST_F(SidecarIndex, ATraceThatHasChangedIsReadAgain) {
    open();
    std::ofstream{trace_, std::ios::app} << '\n' << log_line(301, "later") << '\n';
    EXPECT_FALSE(is_used());
    EXPECT_NE(open().find("later"), std::nullopt);
    EXPECT_TRUE(is_used());
    fs::last_write_time(trace_, fs::last_write_time(trace_) + std::chrono::nanoseconds{1000});
    EXPECT_FALSE(is_used());
}

TEST_F(SidecarIndex, OnlyBigFilesHaveOne) {
    const Trace small{trace_, {.threads = 1}};
    EXPECT_FALSE(fs::exists(sidecar()));
    const Trace off{trace_, {.threads = 1, .sidecar_index = false, .big_file = 1}};
    EXPECT_FALSE(fs::exists(sidecar()));
}

TEST_F(SidecarIndex, ADirectoryThatCannotBeWrittenIsNoError) {
    if (::geteuid() == 0) {
        // Root may write anywhere: a directory of that name stands in the way instead.
        fs::create_directory(sidecar());
    } else {
        fs::permissions(directory_, fs::perms::owner_read | fs::perms::owner_exec);
    }
    EXPECT_EQ(open().entries().size(), 303U);
    fs::permissions(directory_, fs::perms::owner_all);
    EXPECT_EQ(std::distance(fs::directory_iterator{directory_}, fs::directory_iterator{}),
              ::geteuid() == 0 ? 2 : 1);
}

TEST_F(SidecarIndex, ADamagedOneIsIgnored) {
    open();
    const std::string good = read_file(sidecar());
    std::mt19937 random{1};
    for (int i = 0; i < 300; ++i) {
        std::string damaged = good;
        const std::size_t at = i < 150 ? random() % 1000 : random() % damaged.size();
        damaged[at] = static_cast<char>(damaged[at] ^ (1 << random() % 8));
        write_file(sidecar(), damaged);
        ASSERT_FALSE(is_used()) << at;
    }
    for (std::size_t size = 0; size < good.size(); size += 1 + size / 7) {
        write_file(sidecar(), good.substr(0, size));
        ASSERT_FALSE(is_used()) << size;
    }
    write_file(sidecar(), good + "more");
    EXPECT_FALSE(is_used());
    write_file(sidecar(), good);
    EXPECT_TRUE(is_used());
}

// Written by somebody who knows the format, and means ill: what leads out of the trace is refused.
TEST_F(SidecarIndex, OneThatLeadsAstrayIsIgnored) {
    const Content content{trace_};
    const auto with = [&](const std::function<void(std::span<Entry>, TraceIndex&)>& change) {
        TraceIndex index = index_of(content, 1);
        const std::span<const Entry> entries = index.entries.entries();
        change({const_cast<Entry*>(entries.data()), entries.size()}, index);
        save_sidecar(trace_, content, index, 1);
        return load_sidecar(trace_, content, 1).has_value();
    };
    const std::uint64_t size = content.bytes().size();
    EXPECT_TRUE(with([](auto, auto&) {}));
    EXPECT_TRUE(with([](auto entries, auto&) { entries[7].token_idx = -1; }));
    EXPECT_FALSE(with([&](auto entries, auto&) { entries[7].offset = size + 1; }));
    EXPECT_FALSE(with([&](auto entries, auto&) { entries[7].offset = ~std::uint64_t{0}; }));
    EXPECT_FALSE(with([&](auto entries, auto&) { entries.back().length += 1; }));
    EXPECT_FALSE(with([](auto entries, auto&) { entries[0].values = entries[0].length; }));
    EXPECT_FALSE(with([](auto entries, auto&) { entries[0].team = 1000; }));
    EXPECT_FALSE(with([](auto entries, auto&) { entries[0].shape = 1000; }));
    EXPECT_FALSE(with([](auto entries, auto&) { entries[9].kind = static_cast<RecordKind>(15); }));
    EXPECT_FALSE(with([](auto, auto& index) { index.runs[0].end += 1; }));
    EXPECT_FALSE(with([](auto, auto& index) { index.runs.back().end += 1; }));
    EXPECT_FALSE(with([](auto, auto& index) { index.runs.clear(); }));
    EXPECT_FALSE(with([](auto, auto& index) { index.counts.records += 1; }));
}

TEST_F(SidecarIndex, APipeOfThatNameIsNotWaitedFor) {
    ASSERT_EQ(::mkfifo(sidecar().c_str(), 0600), 0);
    EXPECT_FALSE(is_used());
}

}  // namespace
}  // namespace orch
