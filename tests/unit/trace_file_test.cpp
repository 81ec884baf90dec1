#include "core/trace_file.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "tests/unit/read_file.hpp"
#include "tests/unit/trace_file_support.hpp"

namespace orch {
namespace {

TEST_F(TraceFileTest, WritesNothingBeforeAFlush) {
    Writer w(path());
    ASSERT_TRUE(w.file.is_open());
    w.file.add("one\ntwo\n");
    EXPECT_EQ(read_file(path()), "");
    w.file.flush(true);
    EXPECT_EQ(read_file(path()), "one\ntwo\n");
    EXPECT_EQ(w.file.bytes(), 8U);
}

TEST_F(TraceFileTest, AFlushThatIsNotFinalFillsThePageWithSpacesBeforeTheNewline) {
    Writer w(path());
    w.file.add("{\"a\":1}\n");
    w.file.flush(false);
    EXPECT_EQ(read_file(path()), "{\"a\":1}" + std::string(4088, ' ') + '\n');
    w.file.add("b\n");
    w.file.flush(true);
    EXPECT_EQ(read_file(path()), "{\"a\":1}" + std::string(4088, ' ') + "\nb\n");
}

TEST_F(TraceFileTest, ALineThatWouldCrossAPageStartsOnTheNext) {
    Writer w(path());
    const std::string first(4000, 'a');
    w.file.add(first + '\n');
    w.file.add(std::string(95, 'b') + '\n');  // one byte too many
    w.file.flush(true);
    EXPECT_EQ(read_file(path()), first + std::string(95, ' ') + '\n' + std::string(95, 'b') + '\n');
}

TEST_F(TraceFileTest, ALineThatJustFillsAPageIsNotPadded) {
    Writer w(path());
    const std::string text = std::string(4000, 'a') + '\n' + std::string(94, 'b') + '\n' +
                             std::string(4095, 'c') + '\n' + "d\n";
    w.file.add(text);
    w.file.flush(true);
    EXPECT_EQ(read_file(path()), text);
}

TEST_F(TraceFileTest, NoShortLineCrossesAPageWhateverLengthsFlushesAndOffset) {
    std::mt19937 random(1);
    for (int round = 0; round < 60; ++round) {
        const std::size_t existing = round % 4 == 0 ? 0 : random() % 10'000;
        fill(existing);
        std::vector<std::string> wanted = lines_of(read_file(path()));
        Writer w(path());
        const std::size_t count = 50 + random() % 1500;
        for (std::size_t n = 0; n < count; ++n) {
            std::size_t size = 2 + random() % 600;
            if (random() % 8 == 0) size = 4080 + random() % 40;  // about a page
            if (random() % 60 == 0) size = 4097 + random() % 9000;
            if (random() % 300 == 0) size = 200'000 + random() % 200'000;
            const std::string line = numbered_line(n, size);
            wanted.push_back(line.substr(0, line.size() - 1));
            w.file.add(line);
            if (random() % 40 == 0) w.file.flush(false);
        }
        w.file.flush(true);
        const std::string text = read_file(path());
        ASSERT_EQ(page_error(text, (existing + page - 1) / page * page), "")
            << "round " << round << ", existing " << existing;
        ASSERT_TRUE(lines_of(text) == wanted) << "round " << round;
        ASSERT_EQ(w.file.bytes(), text.size() - existing);
        ASSERT_EQ(w.file.take_lost_lines(), 0U);
    }
}

TEST_F(TraceFileTest, ManyLinesInOneAddAreTreatedOneByOne) {
    std::string lines;
    for (std::size_t n = 0; n < 5000; ++n)
        lines += numbered_line(n, 300);
    Writer w(path());
    w.file.add(lines);
    w.file.flush(true);
    const std::string text = read_file(path());
    EXPECT_EQ(page_error(text, 0), "");
    EXPECT_TRUE(lines_of(text) == lines_of(lines));
}

TEST_F(TraceFileTest, AFullBatchIsWrittenWithoutAFlush) {
    Writer w(path());
    for (std::size_t n = 0; n < 300; ++n)
        w.file.add(numbered_line(n, 1024));
    EXPECT_GE(fs::file_size(path()), 250'000U);
}

TEST_F(TraceFileTest, LinesOfAMebibyteSurvive) {
    Writer w(path());
    std::vector<std::string> wanted;
    for (std::size_t n = 0; n < 6; ++n) {
        const std::string line = numbered_line(n, n % 2 == 0 ? TraceFile::max_line : 100);
        wanted.push_back(line.substr(0, line.size() - 1));
        w.file.add(line);
    }
    w.file.flush(false);
    const std::string text = read_file(path());
    EXPECT_EQ(page_error(text, 0), "");
    EXPECT_TRUE(lines_of(text) == wanted);
    EXPECT_EQ(text.size() % page, 0U);
}

TEST_F(TraceFileTest, AppendsToWhatIsThere) {
    std::ofstream(path()) << "old\n";
    Writer w(path());
    w.file.add("new\n");
    w.file.flush(true);
    EXPECT_EQ(read_file(path()), "old\nnew\n");
    EXPECT_EQ(w.file.bytes(), 4U);
}

TEST_F(TraceFileTest, ALineThatAnEarlierProcessLeftTornDoesNotSwallowTheFirstNewOne) {
    std::ofstream(path()) << "{\"whole\":1}\n{\"torn\":[1,2,";
    Writer w(path());
    w.file.add("{\"new\":1}\n");
    w.file.flush(true);
    EXPECT_EQ(lines_of(read_file(path())),
              (std::vector<std::string>{"{\"whole\":1}", "{\"torn\":[1,2,", "{\"new\":1}"}));
}

TEST_F(TraceFileTest, ASecondWritingProcessGetsAFileOfItsOwn) {
    Writer w(path());
    const int status = in_child([&] {
        Writer other(path(), 4711);
        other.file.add("child\n");
        other.file.flush(true);
        return other.file.path() == (directory_ / "trace.4711.jsonl").string() ? 0 : 1;
    });
    EXPECT_EQ(status, 0);
    w.file.add("parent\n");
    w.file.flush(true);
    EXPECT_EQ(read_file(path()), "parent\n");
    EXPECT_EQ(read_file(directory_ / "trace.4711.jsonl"), "child\n");
}

TEST_F(TraceFileTest, AFileThatHasLinesAlreadyIsLockedTooTornOrNot) {
    for (const char* existing : {"old\n", "old\ntorn"}) {
        std::ofstream(path()) << existing;
        Writer w(path());
        EXPECT_EQ(in_child([&] {
                      Writer other(path(), 8);
                      return std::string(other.file.path()) == path() ? 1 : 0;
                  }),
                  0)
            << existing;
    }
}

TEST_F(TraceFileTest, TheNumberOfASecondProcessGoesBeforeTheExtensionOfTheName) {
    const struct {
        const char* path;
        const char* with_pid;
    } cases[] = {{"trace", "trace.12"},
                 {"a.b.jsonl", "a.b.12.jsonl"},
                 {"d.ir/trace", "d.ir/trace.12"},
                 {"d.ir/.hidden", "d.ir/.hidden.12"}};
    fs::create_directory(directory_ / "d.ir");
    for (const auto& c : cases) {
        Writer w((directory_ / c.path).string());
        EXPECT_EQ(in_child([&] {
                      Writer other((directory_ / c.path).string(), 12);
                      return other.file.path() == (directory_ / c.with_pid).string() ? 0 : 1;
                  }),
                  0)
            << c.path;
    }
}

TEST_F(TraceFileTest, AProcessThatComesAfterTheFirstHasEndedAppendsToTheSameFile) {
    EXPECT_EQ(in_child([&] {
                  Writer first(path());
                  first.file.add("first\n");
                  first.file.flush(true);
                  return 0;
              }),
              0);
    Writer second(path());
    second.file.add("second\n");
    second.file.flush(true);
    EXPECT_EQ(read_file(path()), "first\nsecond\n");
}

TEST_F(TraceFileTest, AForkedChildThatAbandonsTheFileLeavesTheParentItsLock) {
    Writer w(path());
    w.file.add("staged\n");
    EXPECT_EQ(in_child([&] {
                  w.file.abandon();
                  return w.file.is_open() ? 1 : 0;
              }),
              0);
    // Looked at by size: a file that this process opens and closes loses its record lock.
    EXPECT_EQ(fs::file_size(path()), 0U) << "the child wrote what the parent had staged";
    EXPECT_EQ(in_child([&] {
                  Writer other(path(), 5);
                  return std::string(other.file.path()) == path() ? 1 : 0;
              }),
              0)
        << "the lock is gone";
    w.file.flush(true);
    EXPECT_EQ(read_file(path()), "staged\n");
}

}  // namespace
}  // namespace orch
