#include <gtest/gtest.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <latch>
#include <map>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "core/trace.hpp"
#include "tests/unit/read_file.hpp"
#include "tests/unit/trace_support.hpp"

namespace orch {
namespace {

TEST_F(TraceTest, From32ThreadsKeepsEveryLineAndTheOrderOfEachThread) {
    constexpr int thread_count = 32;
    constexpr int count = 1500;
    Trace* trace = start();
    std::vector<std::thread> threads;
    std::latch together(thread_count);
    for (int t = 0; t < thread_count; ++t) {
        threads.emplace_back([&, t] {
            together.arrive_and_wait();
            for (int n = 0; n < count; ++n) {
                record(*trace, t, n, static_cast<std::size_t>((n * 7 + t) % 300));
                if (n % 500 == t) trace->flush();
            }
        });
    }
    for (std::thread& thread : threads)
        thread.join();
    trace->finish();
    const Read read(path());
    const std::map<int, int> counts = count_in_order(read.records);
    EXPECT_EQ(counts.size(), 32U);
    for (const auto& [thread, n] : counts)
        EXPECT_EQ(n, count) << "thread " << thread;
    expect_ledger(read.ledgers.back(), thread_count * count, 0);
}

TEST_F(TraceTest, LinesOfThreadsThatHaveEndedAreKept) {
    Trace* trace = start();
    for (int t = 0; t < 100; ++t)
        std::thread([&] { record(*trace, t, 0); }).join();
    trace->finish();
    const Read read(path());
    EXPECT_EQ(count_in_order(read.records).size(), 100U);
}

std::size_t virtual_size() {
    std::ifstream status("/proc/self/statm");
    std::size_t pages = 0;
    status >> pages;
    return pages * 4096;
}

TEST_F(TraceTest, ManyShortThreadsShareTheBuffersOfAFew) {
    // As many arenas of malloc, 64 MiB each, as threads happen to end at once: not ours to count.
    mallopt(M_ARENA_MAX, 1);
    Trace* trace = start();
    const auto run = [&](int first, int count) {
        for (int t = first; t < first + count; t += 8) {
            std::vector<std::thread> threads;
            for (int i = 0; i < 8; ++i)
                threads.emplace_back([&, t, i] { record(*trace, t + i, 0); });
            for (std::thread& thread : threads)
                thread.join();
        }
    };
    run(0, 64);
    const std::size_t before = virtual_size();
    run(64, 2000);
    // One buffer per thread would be 4 GiB.
    EXPECT_LT(virtual_size(), before + (400U << 20));
    trace->finish();
    EXPECT_EQ(count_in_order(Read(path()).records).size(), 2064U);
}

TEST_F(TraceTest, ItsOwnThreadTakesNoSignalsAndTheEnginesThreadKeepsItsMask) {
    sigset_t before;
    sigset_t after;
    pthread_sigmask(SIG_SETMASK, nullptr, &before);
    Trace* trace = start();
    pthread_sigmask(SIG_SETMASK, nullptr, &after);
    for (int s = 1; s < 32; ++s)
        EXPECT_EQ(sigismember(&before, s), sigismember(&after, s)) << s;
    record(*trace, 0, 0);
    trace->flush();  // now the thread runs for certain
    bool found = false;
    for (const auto& task : fs::directory_iterator("/proc/self/task")) {
        const std::string status = read_file(task.path() / "status");
        if (status.find("Name:\torchtrace\n") == std::string::npos) continue;
        found = true;
        const auto at = status.find("SigBlk:\t");
        ASSERT_NE(at, std::string::npos);
        const auto blocked = std::stoull(status.substr(at + 8, 16), nullptr, 16);
        for (int s : {SIGINT, SIGTERM, SIGPIPE, SIGXFSZ, SIGUSR1, SIGPROF, SIGCHLD})
            EXPECT_NE(blocked >> (s - 1) & 1, 0U) << s;
    }
    EXPECT_TRUE(found);
    trace->finish();
}

// A destructor of another library's thread-specific data may compute after ours has run.
void record_late(void* pointer) {
    auto* trace = static_cast<Trace*>(pointer);
    std::latch other_is_within(1);
    std::latch we_are_done(1);
    // This thread's buffer has been given back: the other one adopts it, and is within a line ...
    std::thread other([&] {
        trace->record(RecordClass::log, 4096, [&](JsonLine& line) {
            line.field("thread", 2);
            other_is_within.count_down();
            we_are_done.wait();
            line.field("n", 0);
        });
    });
    other_is_within.wait();
    // ... while this thread records once more.
    record(*trace, 3, 0);
    we_are_done.count_down();
    other.join();
}

TEST_F(TraceTest, AThreadThatRecordsWhileItEndsDoesNotTouchABufferThatAnotherHasAdopted) {
    Trace* trace = start();
    pthread_key_t key;
    ASSERT_EQ(pthread_key_create(&key, record_late), 0);  // behind the trace's own key
    std::thread([&] {
        record(*trace, 1, 0);
        pthread_setspecific(key, trace);
    }).join();
    trace->finish();
    pthread_key_delete(key);
    const Read read(path());
    EXPECT_EQ(count_in_order(read.records), (std::map<int, int>{{1, 1}, {2, 1}, {3, 1}}));
}

TEST_F(TraceTest, AForkedChildWritesATraceOfItsOwn) {
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
    // The child inherits the sanitizer's own locks as the drain thread holds them: seen to hang in
    // AddressSanitizer's allocator, 4 times in 9. tests/lifecycle forks without sanitizers.
    GTEST_SKIP() << "the sanitizers do not follow a fork with threads";
#endif
    Trace* trace = start();
    record(*trace, 0, 0);  // still in this process's ring when it forks
    const pid_t child = fork();
    if (child == 0) {
        trace->abandon();
        Trace* own = start();
        for (int n = 0; n < 100; ++n)
            record(*own, 1, n);
        std::thread([&] { record(*own, 2, 0); }).join();
        own->finish();
        _exit(0);
    }
    for (int n = 1; n < 100; ++n)
        record(*trace, 0, n);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
    trace->finish();
    const Read parents(path());
    EXPECT_EQ(count_in_order(parents.records), (std::map<int, int>{{0, 100}}));
    const Read childs(directory_ / ("trace." + std::to_string(child) + ".jsonl"));
    EXPECT_EQ(count_in_order(childs.records), (std::map<int, int>{{1, 100}, {2, 1}}));
    expect_ledger(childs.ledgers.back(), 101, 0);
}

TEST_F(TraceTest, AKilledProcessLeavesNothingButWholeLines) {
    for (unsigned round = 0; round < 100; ++round) {
        const fs::path file = directory_ / ("killed." + std::to_string(round));
        const pid_t child = fork();
        if (child == 0) {
            Trace* trace = start(file.string());
            std::vector<std::thread> threads;
            for (int t = 0; t < 4; ++t) {
                threads.emplace_back([&, t] {
                    // Up to 4,000 bytes: none is longer than a page. 3 MB in all, however late the
                    // end comes.
                    for (int n = 0; n < 400; ++n)
                        record(*trace, t, n, static_cast<std::size_t>(n * 131 % 3700));
                    for (;;)
                        pause();
                });
            }
            for (std::thread& thread : threads)
                thread.join();
        }
        // At a point that differs from round to round, up to two batches.
        const std::uintmax_t wanted = 1 + round * 7919 % 600'000;
        std::error_code error;
        std::uintmax_t size = 0;
        while (size < wanted) {
            sched_yield();
            size = fs::file_size(file, error);
            if (error) size = 0;
            ASSERT_EQ(waitpid(child, nullptr, WNOHANG), 0) << "the child ended by itself";
        }
        ASSERT_EQ(kill(child, SIGKILL), 0);
        int status = 0;
        ASSERT_EQ(waitpid(child, &status, 0), child);
        ASSERT_TRUE(WIFSIGNALED(status));
        const Read read(file);
        ASSERT_FALSE(HasFailure()) << "round " << round;
        count_in_order(read.records);
        ASSERT_FALSE(HasFailure()) << "round " << round;
        fs::remove(file);
    }
}

TEST_F(TraceTest, NumbersCallsOverAllThreads) {
    Trace* trace = start();
    std::vector<std::thread> threads;
    std::vector<std::vector<std::uint64_t>> numbers(4);
    for (auto& mine : numbers) {
        threads.emplace_back([&] {
            for (int i = 0; i < 1000; ++i)
                mine.push_back(trace->next_call());
        });
    }
    for (std::thread& thread : threads)
        thread.join();
    std::vector<bool> seen(4000);
    for (const auto& mine : numbers) {
        for (std::uint64_t n : mine)
            seen.at(n) = true;
    }
    EXPECT_EQ(seen, std::vector<bool>(4000, true));
    trace->finish();
}

TEST_F(TraceTest, TheSidecarTakesWholeVectorsFromManyThreads) {
    Trace* trace = start();
    std::vector<std::thread> threads;
    std::vector<std::vector<std::int64_t>> offsets(8);
    for (std::size_t t = 0; t < 8; ++t) {
        threads.emplace_back([&, t] {
            const std::vector<char> mine(1000 + t, static_cast<char>('a' + t));
            for (int i = 0; i < 50; ++i)
                offsets[t].push_back(trace->append_sidecar(mine.data(), mine.size()));
        });
    }
    for (std::thread& thread : threads)
        thread.join();
    const std::string text = read_file(path().string() + ".values");
    for (std::size_t t = 0; t < 8; ++t) {
        for (std::int64_t offset : offsets[t]) {
            ASSERT_GE(offset, 0);
            ASSERT_EQ(text.substr(static_cast<std::size_t>(offset), 1000 + t),
                      std::string(1000 + t, static_cast<char>('a' + t)));
        }
    }
    trace->finish();
}

}  // namespace
}  // namespace orch
