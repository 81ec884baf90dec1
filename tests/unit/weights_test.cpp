#include "core/weights.hpp"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <latch>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "core/trace.hpp"

namespace orch {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

class WeightsTest : public testing::Test {
  protected:
    void SetUp() override {
        std::string name = (fs::temp_directory_path() / "weights_test.XXXXXX").string();
        ASSERT_NE(mkdtemp(name.data()), nullptr);
        directory_ = fs::canonical(name);
        config_.log_file = FixedString<1023>{path().string()};
    }
    void TearDown() override { fs::remove_all(directory_); }

    fs::path path() const { return directory_ / "trace.jsonl"; }

    Trace& trace() {
        if (trace_ == nullptr) {
            PathFacts facts;
            facts.pid = getpid();
            trace_ = Trace::start(config_, facts);
        }
        return *trace_;
    }

    std::string identify(const MatrixView& m, std::string_view name = {}) {
        return std::string(
            std::string_view(table_->identify(trace(), m, dtype_name(m.dtype), name).id));
    }

    std::vector<Json> records() {
        trace().finish();
        std::vector<Json> result;
        std::ifstream in(path());
        for (std::string line; std::getline(in, line);) {
            Json json = Json::parse(line);
            if (json.at("kind") == "weight") result.push_back(std::move(json));
        }
        return result;
    }

    const ClassCounts& counts() { return trace().ledger()[RecordClass::weight]; }

    fs::path directory_;
    Config config_;
    std::unique_ptr<WeightTable> table_ = std::make_unique<WeightTable>();

  private:
    Trace* trace_ = nullptr;
};

MatrixView view_of(const std::vector<float>& values, std::int64_t rows) {
    MatrixView view;
    view.data = values.data();
    view.rows = rows;
    view.cols = static_cast<std::int64_t>(values.size()) / rows;
    view.row_stride = view.cols;
    return view;
}

std::vector<float> counting(std::size_t count, float first = 0) {
    std::vector<float> values(count);
    std::iota(values.begin(), values.end(), first);
    return values;
}

TEST_F(WeightsTest, TheSameOperandHasOneIdAndOneRecord) {
    const std::vector<float> values = counting(64);
    const std::string id = identify(view_of(values, 4));
    EXPECT_EQ(id, "w1");
    for (int i = 0; i < 10; ++i)
        EXPECT_EQ(identify(view_of(values, 4)), id);
    const std::vector<Json> all = records();
    ASSERT_EQ(all.size(), 1U);
    EXPECT_EQ(all[0].at("weight"), "w1");
    EXPECT_EQ(all[0].at("sum"), 2016);
    EXPECT_EQ(counts().seen, 1U);
    EXPECT_EQ(counts().recorded, 1U);
}

TEST_F(WeightsTest, AnotherAddressShapeOrLayoutIsAnotherWeight) {
    const std::vector<float> a = counting(64);
    const std::vector<float> b = counting(64);
    MatrixView strided = view_of(a, 4);
    strided.cols = 8;
    strided.col_stride = 2;
    std::set<std::string> ids;
    for (const MatrixView& view : {view_of(a, 4), view_of(a, 8), view_of(b, 4), strided})
        ids.insert(identify(view));
    EXPECT_EQ(ids, (std::set<std::string>{"w1", "w2", "w3", "w4"}));
    EXPECT_EQ(records().size(), 4U);
}

TEST_F(WeightsTest, AnOperandWhoseContentChangedIsANewWeight) {
    std::vector<float> values = counting(64);
    const std::string first = identify(view_of(values, 4));
    for (float& v : values)
        v += 1;
    const std::string second = identify(view_of(values, 4));
    EXPECT_NE(first, second);
    EXPECT_EQ(identify(view_of(values, 4)), second);
    const std::vector<Json> all = records();
    ASSERT_EQ(all.size(), 2U);
    EXPECT_EQ(all[0].at("sum"), 2016);
    EXPECT_EQ(all[1].at("sum"), 2080);
}

TEST_F(WeightsTest, ANameIsTheId) {
    const std::vector<float> values = counting(64);
    EXPECT_EQ(identify(view_of(values, 4), "blk.0.attn_q"), "blk.0.attn_q");
    EXPECT_EQ(identify(view_of(values, 4), "blk.0.attn_q"), "blk.0.attn_q");
    const std::vector<Json> all = records();
    ASSERT_EQ(all.size(), 1U);
    EXPECT_EQ(all[0].at("checkpoint"), "weight.blk.0.attn_q");
    EXPECT_EQ(all[0].at("name"), "blk.0.attn_q");
}

TEST_F(WeightsTest, ALongNameIsCutInTheIdAndWholeInTheRecord) {
    const std::vector<float> values = counting(64);
    const std::string name(200, 'n');
    EXPECT_EQ(identify(view_of(values, 4), name), std::string(95, 'n'));
    const std::vector<Json> all = records();
    ASSERT_EQ(all.size(), 1U);
    EXPECT_EQ(all[0].at("weight"), std::string(95, 'n'));
    EXPECT_EQ(all[0].at("name"), name);
}

TEST_F(WeightsTest, ByNamesAloneNothingIsWritten) {
    config_.weights = WeightMode::names;
    const std::vector<float> values = counting(64);
    EXPECT_EQ(identify(view_of(values, 4), "q"), "q");
    EXPECT_EQ(identify(view_of(values, 4)), "w1");
    EXPECT_EQ(counts().seen, 1U);
    EXPECT_EQ(counts().filtered, 1U);
    EXPECT_EQ(records().size(), 0U);
}

TEST_F(WeightsTest, SwitchedOffOnlyTheNameIsLeft) {
    config_.weights = WeightMode::off;
    const std::vector<float> values = counting(64);
    EXPECT_EQ(identify(view_of(values, 4), "q"), "q");
    EXPECT_EQ(identify(view_of(values, 4)), "");
    EXPECT_EQ(counts().seen, 0U);
    EXPECT_EQ(records().size(), 0U);
}

TEST_F(WeightsTest, WhatHasNoDataHasNoId) {
    EXPECT_EQ(identify(MatrixView{}), "");
    const std::vector<float> values = counting(4);
    MatrixView empty = view_of(values, 1);
    empty.rows = 0;
    EXPECT_EQ(identify(empty, "named"), "named");
    EXPECT_EQ(counts().seen, 0U);
}

TEST_F(WeightsTest, OfOneElementOrOneShortBlockReadsNothingBehindIt) {
    // On the heap at exact size: a sanitizer sees a byte too many.
    const std::unique_ptr<float[]> one(new float[1]{5});
    MatrixView view;
    view.data = one.get();
    view.rows = view.cols = view.row_stride = 1;
    EXPECT_EQ(identify(view), "w1");
    const std::unique_ptr<char[]> block(new char[6]{1, 2, 3, 4, 5, 6});
    MatrixView blocks;
    blocks.data = block.get();
    blocks.dtype = DType::block;
    blocks.rows = 1;
    blocks.cols = 4;
    blocks.row_stride = blocks.block_bytes = 6;
    blocks.block_values = 4;
    blocks.decode = [](const void* row, float* out, std::int64_t count) {
        for (std::int64_t i = 0; i < count; ++i)
            out[i] = static_cast<const char*>(row)[2 + i];
    };
    EXPECT_EQ(identify(blocks), "w2");
    EXPECT_EQ(records().size(), 2U);
}

TEST_F(WeightsTest, MoreOperandsThanTheTableHoldsAreCounted) {
    config_.weights = WeightMode::names;
    const std::vector<float> values = counting(20'000);
    std::uint64_t without_id = 0;
    for (std::size_t i = 0; i < 20'000; ++i) {
        MatrixView view;
        view.data = values.data() + i;
        view.rows = view.cols = view.row_stride = 1;
        without_id += identify(view).empty();
    }
    EXPECT_GE(without_id, 20'000U - 16'384U);
    EXPECT_EQ(counts().seen, 20'000U);
    EXPECT_EQ(counts().dropped, without_id);
    EXPECT_EQ(counts().filtered, 20'000U - without_id);
}

TEST_F(WeightsTest, From32ThreadsEachOperandHasOneIdAndOneRecord) {
    constexpr std::size_t thread_count = 32;
    constexpr std::size_t operands = 1000;
    const std::vector<float> values = counting(operands * 8);
    std::vector<std::vector<std::string>> ids(thread_count);
    std::vector<std::thread> threads;
    trace();
    std::latch together(thread_count);
    for (auto& mine : ids) {
        threads.emplace_back([&] {
            together.arrive_and_wait();
            for (std::size_t i = 0; i < operands; ++i) {
                MatrixView view;
                view.data = values.data() + i * 8;
                view.rows = 2;
                view.cols = view.row_stride = 4;
                mine.push_back(identify(view));
            }
        });
    }
    for (std::thread& thread : threads)
        thread.join();
    std::set<std::string> different;
    for (const auto& mine : ids) {
        ASSERT_EQ(mine, ids[0]);
        different.insert(mine.begin(), mine.end());
    }
    EXPECT_EQ(different.size(), operands);
    EXPECT_FALSE(different.contains("w0"));
    EXPECT_EQ(counts().recorded, operands);
    std::map<std::string, int> written;
    for (const Json& record : records())
        ++written[record.at("weight")];
    EXPECT_EQ(written.size(), operands);
    for (const auto& [id, times] : written)
        ASSERT_EQ(times, 1) << id;
}

}  // namespace
}  // namespace orch
