// Everything at once, for the sanitizers: threads that record, flush, come and go.
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <latch>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "core/digest.hpp"
#include "core/records.hpp"
#include "core/trace.hpp"
#include "core/weights.hpp"

namespace orch {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr int thread_count = 32;

class TraceStress : public testing::Test {
  protected:
    void SetUp() override {
        std::string name = (fs::temp_directory_path() / "trace_stress.XXXXXX").string();
        ASSERT_NE(mkdtemp(name.data()), nullptr);
        directory_ = fs::canonical(name);
        Config config;
        config.log_file = FixedString<1023>{path().string()};
        config.values = 40'000;
        PathFacts facts;
        facts.pid = getpid();
        trace_ = Trace::start(config, facts);
        ASSERT_NE(trace_, nullptr);
    }
    void TearDown() override { fs::remove_all(directory_); }

    fs::path path() const { return directory_ / "trace.jsonl"; }

    void record(int thread, int n, std::size_t padding) const {
        trace_->record(RecordClass::log, 300 + padding, [&](JsonLine& line) {
            line.field("thread", thread);
            line.field("n", n);
            line.key("padding");
            line.open_array();
            for (std::size_t i = 0; i + 30 < padding; i += 2)
                line.number(1);
            line.close_array();
        });
    }

    /// Checks the order of each thread's lines and the ledger; gives back the lines per thread.
    std::map<int, int> check() const {
        trace_->finish();
        std::map<int, int> next;
        std::uint64_t lines = 0;
        Json ledger;
        std::ifstream in(path());
        for (std::string text; std::getline(in, text);) {
            const Json json = Json::parse(text, nullptr, false);
            EXPECT_TRUE(json.is_object()) << text.substr(0, 200);
            if (!json.is_object()) continue;
            if (json.value("kind", "") == "ledger") {
                ledger = json;
                continue;
            }
            ++lines;
            if (!json.contains("thread")) continue;
            const int thread = json["thread"];
            EXPECT_EQ(json["n"], next[thread]) << "thread " << thread;
            ++next[thread];
        }
        EXPECT_EQ(ledger["lines"], lines);
        EXPECT_EQ(ledger["lost_lines"], 0);
        for (const auto& counts : ledger["classes"])
            EXPECT_EQ(counts["dropped"], 0);
        return next;
    }

    fs::path directory_;
    Trace* trace_ = nullptr;
};

TEST_F(TraceStress, ThreadsThatRecordAndFlushAtOnceLoseNothing) {
    constexpr int count = 400;
    std::vector<std::thread> threads;
    std::latch together(thread_count);
    for (int t = 0; t < thread_count; ++t) {
        threads.emplace_back([&, t] {
            std::mt19937 random(static_cast<unsigned>(t));
            together.arrive_and_wait();
            for (int n = 0; n < count; ++n) {
                const bool large = random() % 400 == 0;
                record(t, n, large ? random() % 900'000 : random() % 2000);
                if (random() % 50 == 0) trace_->flush();
            }
        });
    }
    for (std::thread& thread : threads)
        thread.join();
    const std::map<int, int> lines = check();
    ASSERT_EQ(lines.size(), 32U);
    for (const auto& [thread, n] : lines)
        EXPECT_EQ(n, count) << "thread " << thread;
}

TEST_F(TraceStress, ThreadsThatComeAndGoWhileOthersRecordLoseNothing) {
    constexpr int generations = 20;
    std::atomic<bool> done{false};
    std::vector<std::thread> steady;
    std::vector<int> written(4);
    for (int t = 0; t < 4; ++t) {
        steady.emplace_back([&, t] {
            int n = 0;
            while (!done.load() && n < 20'000)
                record(1000 + t, n++, 100);
            written[static_cast<std::size_t>(t)] = n;
        });
    }
    for (int g = 0; g < generations; ++g) {
        std::vector<std::thread> threads;
        for (int t = 0; t < thread_count; ++t) {
            threads.emplace_back([&, t] {
                for (int n = 0; n < 10; ++n)
                    record(g * thread_count + t, n, 300);
                if (t == 0) trace_->flush();
            });
        }
        for (std::thread& thread : threads)
            thread.join();
    }
    done = true;
    for (std::thread& thread : steady)
        thread.join();
    const std::map<int, int> lines = check();
    ASSERT_EQ(lines.size(), 20U * 32U + 4U);
    for (const auto& [thread, n] : lines)
        EXPECT_EQ(n, thread < 1000 ? 10 : written[static_cast<std::size_t>(thread - 1000)]);
}

TEST_F(TraceStress, CallsWeightsSidecarsAndLogsFromAllThreadsAddUp) {
    constexpr int count = 20;
    const auto table = std::make_unique<WeightTable>();
    const std::vector<float> shared(64 * 96, 0.25F);
    const std::vector<float> wide(40'000, 2);
    std::vector<std::thread> threads;
    std::latch together(thread_count);
    for (int t = 0; t < thread_count; ++t) {
        threads.emplace_back([&, t] {
            std::vector<float> own(static_cast<std::size_t>(9 * 1100), static_cast<float>(t));
            together.arrive_and_wait();
            for (int n = 0; n < count; ++n) {
                const MatrixView weight{
                    shared.data() + n % 8 * 96, DType::f32, 8, 96, 96, 1, nullptr, 0, 1};
                const WeightName id = table->identify(*trace_, weight, "f32", {}).id;
                const MatrixView view{own.data(), DType::f32, 9, 1100, 1100, 1, nullptr, 0, 1};
                Digest d;
                digest(view, {}, d);
                CallRecord call;
                call.kind = "gemm";
                call.checkpoint = "gemm";
                call.op = "sgemm";
                call.weight = id;
                call.call = trace_->next_call();
                call.result = {view, &d, "f32"};
                write_call(*trace_, call);
                if (n % 5 == 0)
                    write_log(*trace_,
                              {"wide", "f32", "[40000]", n, DType::f32, wide.data(), 40'000});
            }
        });
    }
    for (std::thread& thread : threads)
        thread.join();
    check();
    EXPECT_EQ(trace_->ledger()[RecordClass::gemm].recorded, 640U);
    EXPECT_EQ(trace_->ledger()[RecordClass::log].recorded, 128U);
    EXPECT_EQ(trace_->ledger()[RecordClass::weight].recorded, 8U);
    EXPECT_EQ(trace_->ledger().row_lines, 640U * 4U);  // rows 0, 1, 2 and 4; 8 is the last
    EXPECT_EQ(fs::file_size(path().string() + ".values"), 128U * 160'000U);
}

}  // namespace
}  // namespace orch
