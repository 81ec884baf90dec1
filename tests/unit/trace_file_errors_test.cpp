#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "core/trace_file.hpp"
#include "tests/unit/read_file.hpp"
#include "tests/unit/trace_file_support.hpp"

namespace orch {
namespace {

TEST_F(TraceFileTest, WithoutAFileEveryLineIsCountedAsLost) {
    for (const char* bad : {"/nonexistent/directory/trace.jsonl", "", "/proc", "/dev/null/x"}) {
        Writer w(bad);
        EXPECT_FALSE(w.file.is_open()) << bad;
        EXPECT_NE(w.file.error(), 0) << bad;
        w.file.add("a\nb\nc\n");
        w.file.flush(false);
        EXPECT_EQ(w.file.take_lost_lines(), 3U) << bad;
        EXPECT_EQ(w.file.take_lost_lines(), 0U) << bad;
        EXPECT_EQ(w.file.bytes(), 0U);
        const float value = 1;
        EXPECT_EQ(w.file.append_sidecar(&value, 4), -1);
    }
    Writer w("/nonexistent/directory/trace.jsonl");
    EXPECT_EQ(w.file.error(), ENOENT);
}

TEST_F(TraceFileTest, AFullDeviceIsReportedAndItsLinesAreCounted) {
    Writer w("/dev/full");
    ASSERT_TRUE(w.file.is_open());
    w.file.add("a\nb\n");
    w.file.flush(false);
    EXPECT_EQ(w.file.error(), ENOSPC);
    EXPECT_EQ(w.file.take_lost_lines(), 2U);
    w.file.add("c\n");
    w.file.flush(true);
    EXPECT_EQ(w.file.take_lost_lines(), 1U);
}

TEST_F(TraceFileTest, WhatIsNotARegularFileIsNotPadded) {
    const fs::path fifo = directory_ / "fifo";
    ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
    const int reader = open(fifo.c_str(), O_RDONLY | O_NONBLOCK);
    Writer w(fifo.string());
    ASSERT_TRUE(w.file.is_open());
    w.file.add("one\n");
    w.file.flush(false);
    w.file.add("two\n");
    w.file.flush(false);
    char text[100] = {};
    EXPECT_EQ(read(reader, text, sizeof text), 8);
    EXPECT_STREQ(text, "one\ntwo\n");
    close(reader);
}

TEST_F(TraceFileTest, APipeThatNobodyReadsDoesNotHoldTheEngineUp) {
    const fs::path fifo = directory_ / "fifo";
    ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
    Writer w(fifo.string());
    EXPECT_EQ(w.file.error(), ENXIO);
}

/// A child writes `lines` under a limit of `limit` bytes; the result is how many it counts as lost.
int lost_under_limit(const fs::path& path, rlim_t limit, const std::vector<std::string>& lines,
                     std::size_t lines_per_flush) {
    return in_child([&] {
        signal(SIGXFSZ, SIG_IGN);  // the drain thread has it blocked
        const rlimit size{limit, limit};
        if (setrlimit(RLIMIT_FSIZE, &size) != 0) return 255;
        std::unique_ptr<char[]> staging(new char[TraceFile::staging_size]);
        TraceFile file;
        file.use_staging(staging.get());
        file.open(path.string(), getpid());
        for (std::size_t n = 0; n < lines.size(); ++n) {
            file.add(lines[n]);
            if ((n + 1) % lines_per_flush == 0) file.flush(false);
        }
        file.flush(true);
        if (file.error() != EFBIG) return 254;
        return static_cast<int>(file.take_lost_lines());
    });
}

TEST_F(TraceFileTest, AtAFileSizeLimitTheFileEndsOnAWholeLineAndTheRestIsCounted) {
    std::mt19937 random(2);
    for (int round = 0; round < 40; ++round) {
        fs::remove(path());
        std::vector<std::string> lines;
        std::string all;
        for (std::size_t n = 0; n < 100; ++n) {
            lines.push_back(numbered_line(n, 100 + random() % (round % 2 == 0 ? 2000 : 20'000)));
            all += lines.back();
        }
        const rlim_t limit = 1 + random() % (all.size() - 1000);
        const int lost = lost_under_limit(path(), limit, lines, 1 + random() % 30);
        ASSERT_LE(lost, 100);
        ASSERT_GT(lost, 0);
        const std::string text = read_file(path());
        ASSERT_LE(text.size(), limit);
        if (!text.empty()) {
            ASSERT_EQ(text.back(), '\n') << "limit " << limit;
        }
        const std::vector<std::string> kept = lines_of(text);
        ASSERT_EQ(kept.size() + static_cast<std::size_t>(lost), 100U);
        for (const std::string& line : kept) {  // whole, whichever they are
            const std::size_t number = std::stoul(line);
            ASSERT_EQ(line + '\n', lines[number]);
        }
    }
}

TEST_F(TraceFileTest, AFileThatTheEngineClosedIsOpenedAgain) {
    Writer w(path());
    w.file.add("before\n");
    w.file.flush(false);
    ASSERT_EQ(close(descriptor_of(path())), 0);
    w.file.add("after\n");
    w.file.flush(false);
    EXPECT_EQ(lines_of(read_file(path())), (std::vector<std::string>{"before", "after"}));
    EXPECT_EQ(w.file.take_lost_lines(), 0U);
    EXPECT_EQ(page_error(read_file(path()), 0), "");
}

TEST_F(TraceFileTest, AFileThatTheEngineOpenedUnderOurNumberIsNotWrittenTo) {
    Writer w(path());
    const int fd = descriptor_of(path());
    const fs::path engines = directory_ / "engines_own";
    const int other = open(engines.c_str(), O_WRONLY | O_CREAT, 0600);
    ASSERT_EQ(dup2(other, fd), fd);
    w.file.add("ours\n");
    w.file.flush(true);
    EXPECT_EQ(read_file(engines), "");
    EXPECT_EQ(read_file(path()), "ours\n");
    EXPECT_NE(fcntl(fd, F_GETFD), -1) << "the engine's descriptor was closed";
    close(other);
    close(fd);
}

TEST_F(TraceFileTest, AFileThatIsOpenedAgainIsStillLocked) {
    Writer w(path());
    close(descriptor_of(path()));
    w.file.add("ours\n");
    w.file.flush(true);
    EXPECT_EQ(in_child([&] {
                  Writer other(path(), 6);
                  return std::string(other.file.path()) == path() ? 1 : 0;
              }),
              0);
}

TEST_F(TraceFileTest, AFileThatWasClosedAndRemovedStartsItsPagesAnew) {
    Writer w(path());
    w.file.add(numbered_line(0, 1000));
    w.file.flush(true);
    close(descriptor_of(path()));
    fs::remove(path());
    for (std::size_t n = 0; n < 50; ++n)
        w.file.add(numbered_line(n, 700));
    w.file.flush(false);  // finds the new file; this batch was laid out for the old one
    const std::size_t from = (fs::file_size(path()) + page - 1) / page * page;
    for (std::size_t n = 0; n < 50; ++n)
        w.file.add(numbered_line(n, 700));
    w.file.flush(true);
    EXPECT_EQ(page_error(read_file(path()), from), "");
    EXPECT_EQ(lines_of(read_file(path())).size(), 100U);
}

TEST_F(TraceFileTest, DescriptorsAreHighAndNotInherited) {
    Writer w(path());
    const int fd = descriptor_of(path());
    EXPECT_GE(fd, 500);
    EXPECT_EQ(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
}

TEST_F(TraceFileTest, UnderASmallLimitOfDescriptorsTheFileStillOpens) {
    EXPECT_EQ(in_child([&] {
                  const rlimit few{64, 64};
                  setrlimit(RLIMIT_NOFILE, &few);
                  Writer w(path());
                  w.file.add("x\n");
                  w.file.flush(true);
                  return read_file(path()) == "x\n" ? 0 : 1;
              }),
              0);
}

}  // namespace
}  // namespace orch
