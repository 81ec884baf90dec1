#include "core/trace.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <ctime>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "tests/unit/read_file.hpp"
#include "tests/unit/trace_support.hpp"

namespace orch {
namespace {

TEST_F(TraceTest, AFlushedLineIsInTheFile) {
    Trace* trace = start();
    ASSERT_TRUE(record(*trace, 1, 0));
    trace->flush();
    const Read read(path());
    ASSERT_EQ(read.records.size(), 1U);
    EXPECT_EQ(read.records[0].at("n"), 0);
    EXPECT_EQ(read.records[0].at("team"), "team");
    trace->finish();
}

TEST_F(TraceTest, FromOneThreadKeepsEveryLineInOrder) {
    constexpr int count = 20'000;
    Trace* trace = start();
    for (int n = 0; n < count; ++n) {
        ASSERT_TRUE(record(*trace, 0, n, static_cast<std::size_t>(n % 700)));
        if (n % 5000 == 0) trace->flush();
    }
    trace->finish();
    const Read read(path());
    EXPECT_EQ(count_in_order(read.records), (std::map<int, int>{{0, count}}));
    ASSERT_EQ(read.ledgers.empty(), false);
    expect_ledger(read.ledgers.back(), count, 0);
}

TEST_F(TraceTest, MoreThanTheRingHoldsWaitsInsteadOfDropping) {
    constexpr int count = 40;
    constexpr std::size_t size = 900'000;
    Trace* trace = start();
    for (int n = 0; n < count; ++n)
        ASSERT_TRUE(record(*trace, 0, n, size));
    trace->finish();
    const Read read(path());
    EXPECT_EQ(count_in_order(read.records), (std::map<int, int>{{0, count}}));
    for (const Json& r : read.records)
        ASSERT_EQ(r.at("padding").at(0).get<std::string>().size(), size - 1);
}

TEST_F(TraceTest, TheTimestampIsUtcWithMillisecondsAndNow) {
    using namespace std::chrono;
    Trace* trace = start();
    const auto before = floor<milliseconds>(system_clock::now());
    record(*trace, 0, 0);
    const auto after = floor<milliseconds>(system_clock::now());
    trace->finish();
    const std::string ts = Read(path()).records.at(0).at("ts");
    std::string shape = ts;
    std::replace_if(
        shape.begin(), shape.end(), [](unsigned char c) { return std::isdigit(c); }, '0');
    ASSERT_EQ(shape, "0000-00-00T00:00:00.000Z");
    std::tm date = {};
    ASSERT_NE(strptime(ts.c_str(), "%Y-%m-%dT%H:%M:%S", &date), nullptr);
    const auto written =
        sys_time<milliseconds>{seconds{timegm(&date)}} + milliseconds{std::stoi(ts.substr(20, 3))};
    EXPECT_GE(written, before);
    EXPECT_LE(written, after);
}

TEST_F(TraceTest, ALineStartsWithItsTimestampAndTeam) {
    Trace* trace = start();
    record(*trace, 0, 0);
    trace->finish();
    const std::string text = read_file(path());
    EXPECT_EQ(text.substr(0, 7), "{\"ts\":\"");
    EXPECT_EQ(text.substr(31, 26), "\",\"team\":\"team\",\"thread\":0");
}

TEST_F(TraceTest, TheNameOfTheTeamIsEscaped) {
    Trace* trace = start(path().string(), "a\"b\\c\n\xff\xc3\xa9");
    record(*trace, 0, 0);
    trace->finish();
    EXPECT_EQ(Read(path()).records.at(0).at("team"), "a\"b\\c\n\xef\xbf\xbd\xc3\xa9");
}

TEST_F(TraceTest, TheLongestNameOfATeamFitsEvenIfAllOfItIsEscaped) {
    const std::string team(255, '\x01');
    Trace* trace = start(path().string(), team);
    ASSERT_TRUE(
        trace->record(RecordClass::log, 4096, [](JsonLine& line) { line.field("thread", 0); }));
    trace->finish();
    const Read read(path());
    EXPECT_EQ(read.records.at(0).at("team"), team);
    EXPECT_EQ(read.ledgers.at(0).at("team"), team);
}

TEST_F(TraceTest, ErrnoIsTheEnginesOwn) {
    errno = 4242;
    Trace* trace = start();
    EXPECT_EQ(errno, 4242);
    record(*trace, 0, 0);
    EXPECT_EQ(errno, 4242);
    record(*trace, 0, 1, 1 << 20);  // too long
    EXPECT_EQ(errno, 4242);
    for (int n = 0; n < 10; ++n)
        record(*trace, 0, n, 900'000);  // waits for room
    EXPECT_EQ(errno, 4242);
    trace->flush();
    EXPECT_EQ(errno, 4242);
    trace->append_sidecar("x", 1);
    EXPECT_EQ(errno, 4242);
    trace->finish();
    EXPECT_EQ(errno, 4242);
}

TEST_F(TraceTest, ErrnoSurvivesThatNoTimeZoneFileCanBeRead) {
    // In a new process, where nothing has looked at the time zone yet.
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    setenv("TZ", ":/nonexistent/zone", 1);
    EXPECT_EXIT(
        {
            Trace* trace = start();
            errno = 4242;
            record(*trace, 0, 0);
            const bool kept = errno == 4242;
            fs::remove_all(directory_);  // this process has one of its own
            _exit(kept ? 0 : 1);
        },
        testing::ExitedWithCode(0), "");
    unsetenv("TZ");
}

TEST_F(TraceTest, LinesThatAreTooLongAreDroppedAndCounted) {
    Trace* trace = start();
    EXPECT_TRUE(record(*trace, 0, 0));
    EXPECT_FALSE(trace->record(RecordClass::log, 40, [](JsonLine& l) { l.field("thread", 1); }));
    EXPECT_FALSE(trace->record(RecordClass::log, 300, [](JsonLine& l) {
        l.field("text", std::string_view{std::string(300, 'x')});
    }));
    EXPECT_FALSE(record(*trace, 0, 1, TraceFile::max_line));
    EXPECT_TRUE(record(*trace, 0, 1));
    trace->finish();
    const Read read(path());
    EXPECT_EQ(count_in_order(read.records), (std::map<int, int>{{0, 2}}));
    expect_ledger(read.ledgers.back(), 2, 3);
}

TEST_F(TraceTest, WithNothingButDropsStillEndsWithALedgerThatSaysSo) {
    Trace* trace = start();
    EXPECT_FALSE(trace->record(RecordClass::log, 40, [](JsonLine& l) { l.field("thread", 1); }));
    trace->finish();
    const Read read(path());
    ASSERT_EQ(read.ledgers.size(), 1U);
    expect_ledger(read.ledgers[0], 0, 1);
}

TEST_F(TraceTest, ALineThatComesAfterTheEndIsWrittenWithALedgerThatCountsIt) {
    Trace* trace = start();
    record(*trace, 0, 0);
    trace->finish();
    record(*trace, 0, 1);
    record(*trace, 0, 2);
    trace->flush();
    const Read read(path());
    EXPECT_EQ(count_in_order(read.records), (std::map<int, int>{{0, 3}}));
    expect_ledger(read.ledgers.back(), 3, 0);
}

TEST_F(TraceTest, FinishingTwiceIsNoHarm) {
    Trace* trace = start();
    record(*trace, 0, 0);
    trace->finish();
    trace->finish();
    const std::vector<Json> ledgers = Read(path()).ledgers;
    const auto is_final = [](const Json& ledger) { return ledger.at("final") == true; };
    EXPECT_EQ(std::count_if(ledgers.begin(), ledgers.end(), is_final), 1);
}

TEST_F(TraceTest, WithoutAFileCountsEveryLineAsLost) {
    Trace* trace = start("/nonexistent/directory/trace.jsonl");
    for (int n = 0; n < 1000; ++n)
        EXPECT_TRUE(record(*trace, 0, n, 2000));
    trace->flush();
    EXPECT_EQ(trace->file().error(), ENOENT);
    EXPECT_EQ(trace->ledger().lines, 1000U);
    EXPECT_EQ(trace->ledger().lost_lines, 1000U);
    trace->finish();
    std::thread([&] { record(*trace, 1, 0); }).join();
}

TEST_F(TraceTest, OnAFullDeviceCountsEveryLineAsLost) {
    Trace* trace = start("/dev/full");
    for (int n = 0; n < 1000; ++n)
        EXPECT_TRUE(record(*trace, 0, n, 2000));
    trace->flush();
    EXPECT_EQ(trace->file().error(), ENOSPC);
    EXPECT_EQ(trace->ledger().lost_lines, 1000U);
    trace->finish();
}

TEST_F(TraceTest, AReaderOfAPipeThatGoesAwayDoesNotEndTheEngine) {
    const fs::path fifo = directory_ / "fifo";
    ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
    const int reader = open(fifo.c_str(), O_RDONLY | O_NONBLOCK);
    Trace* trace = start(fifo.string());
    close(reader);
    record(*trace, 0, 0);
    trace->flush();
    EXPECT_EQ(trace->file().error(), EPIPE);
    EXPECT_EQ(trace->ledger().lost_lines, 1U);
    trace->finish();
}

}  // namespace
}  // namespace orch
