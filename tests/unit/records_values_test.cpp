#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "core/records.hpp"
#include "tests/unit/read_file.hpp"
#include "tests/unit/records_support.hpp"

namespace orch {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();

constexpr auto longest = static_cast<std::size_t>(max_inline_values);

TEST_F(RecordsTest, OnlyTheFirstValuesAreWritten) {
    config_.values = 4;
    const std::vector<float> values = counting(100);
    write_call(trace(), Call(view_of(values, DType::f32, 1)).record);
    const std::vector<Json> records = finish();
    EXPECT_EQ(records.at(0)["values"], Json::parse("[0,1,2,3]"));
    EXPECT_FALSE(records.at(0).contains("sidecar"));
}

TEST_F(RecordsTest, NonfiniteValuesAreNullAndNamedByTheirIndex) {
    const std::vector<float> values = {1, not_a_number, 2, infinity, -infinity, 3};
    write_call(trace(), Call(view_of(values, DType::f32, 1)).record);
    const std::vector<Json> records = finish();
    ASSERT_EQ(records.size(), 1U);
    EXPECT_EQ(records[0]["values"], Json::parse("[1,null,2,null,null,3]"));
    EXPECT_EQ(records[0]["nonfinite"], Json::parse(R"([[1,"nan"],[3,"inf"],[4,"-inf"]])"));
    const Json& y = records[0]["y"];
    EXPECT_EQ(y["nan"], 1);
    EXPECT_EQ(y["pos_inf"], 1);
    EXPECT_EQ(y["neg_inf"], 1);
    EXPECT_EQ(y["sum"], 6);
    EXPECT_EQ(y["argmax"], 5);
}

TEST_F(RecordsTest, ARowOfNothingButNonfiniteValuesIsRecordedWhateverItsLength) {
    config_.values = max_inline_values;
    for (DType type : {DType::f32, DType::f64}) {
        for (std::size_t count : {std::size_t{1}, std::size_t{1000}, longest}) {
            const std::vector<float> f32(count, -infinity);
            const std::vector<double> f64(count, -infinity);
            const MatrixView view =
                type == DType::f32 ? view_of(f32, type, 1) : view_of(f64, type, 1);
            Call call(view);
            write_call(trace(), call.record);
        }
    }
    const std::vector<Json> records = finish();
    EXPECT_EQ(classes("checkpoint")["dropped"], 0);
    ASSERT_EQ(records.size(), 6U);
    EXPECT_EQ(records[2]["values"].size(), longest);
    EXPECT_EQ(records[2]["nonfinite"].size(), longest);
    EXPECT_EQ(records[2]["nonfinite"][longest - 1], Json({longest - 1, "-inf"}));
}

TEST_F(RecordsTest, TheLongestTextsOfValuesFit) {
    config_.values = max_inline_values;
    const std::vector<float> f32(longest, -1.00000075e-36F);
    const std::vector<double> f64(longest, -2.2250738585072014e-308);
    write_call(trace(), Call(view_of(f32, DType::f32, 1)).record);
    write_log(trace(), {"double", "f64", "[32768]", 1, DType::f64, f64.data(), max_inline_values});
    const std::vector<Json> records = finish();
    ASSERT_EQ(records.size(), 2U);
    EXPECT_EQ(records[0]["values"][longest - 1].get<float>(), -1.00000075e-36F);
    EXPECT_EQ(records[1]["values"][longest - 1].get<double>(), -2.2250738585072014e-308);
}

TEST_F(RecordsTest, MoreValuesThanALineHoldsGoToTheSidecar) {
    config_.values = 100'000;
    const std::vector<float> values = counting(40'000);
    write_call(trace(), Call(view_of(values, DType::f32, 1)).record);
    write_log(trace(), {"again", "f32", "[40000]", 0, DType::f32, values.data(), 40'000});
    const std::vector<Json> records = finish();
    ASSERT_EQ(records.size(), 2U);
    EXPECT_EQ(
        records[0]["sidecar"],
        Json::parse(R"({"file":"trace.jsonl.values","offset":0,"count":40000,"dtype":"f32"})"));
    EXPECT_EQ(records[1]["sidecar"]["offset"], 160'000);
    EXPECT_EQ(records[0]["values"], Json::parse("[0,1,2,3,4,5,6,7,8,9]"));
    const std::string raw = read_file(path().string() + ".values");
    ASSERT_EQ(raw.size(), 320'000U);
    EXPECT_EQ(std::memcmp(raw.data(), values.data(), 160'000), 0);
    EXPECT_EQ(std::memcmp(raw.data() + 160'000, values.data(), 160'000), 0);
}

TEST_F(RecordsTest, TheSidecarTakesTheLastRowAndItsType) {
    config_.values = 100'000;
    std::vector<std::uint16_t> values(2 * 33'000);
    std::iota(values.begin(), values.end(), std::uint16_t{1});
    Call call(view_of(values, DType::bf16, 2), 3);
    write_call(trace(), call.record);
    const std::vector<Json> records = finish();
    ASSERT_EQ(records.size(), 1U);  // rows 3 and 4: the second is the last
    EXPECT_EQ(records[0]["sidecar"]["dtype"], "bf16");
    EXPECT_EQ(records[0]["sidecar"]["count"], 33'000);
    const std::string raw = read_file(path().string() + ".values");
    ASSERT_EQ(raw.size(), 66'000U);
    EXPECT_EQ(std::memcmp(raw.data(), values.data() + 33'000, 66'000), 0);
}

TEST_F(RecordsTest, ExactlyAsManyValuesAsALineHoldsStayInIt) {
    config_.values = max_inline_values;
    const std::vector<float> values = counting(50'000);
    write_call(trace(), Call(view_of(values, DType::f32, 1)).record);
    const std::vector<Json> records = finish();
    EXPECT_EQ(records.at(0)["values"].size(), longest);
    EXPECT_FALSE(records.at(0).contains("sidecar"));
    EXPECT_FALSE(fs::exists(path().string() + ".values"));
}

TEST_F(RecordsTest, ColumnsThatAreStridedOrInBlocksStayInTheLineAsFarAsTheyFit) {
    config_.values = 100'000;
    const std::vector<float> values = counting(80'000);
    MatrixView view = view_of(values, DType::f32, 1);
    view.cols = 40'000;
    view.col_stride = 2;
    write_call(trace(), Call(view).record);
    const std::vector<Json> records = finish();
    ASSERT_EQ(records.size(), 1U);
    EXPECT_FALSE(records[0].contains("sidecar"));
    ASSERT_EQ(records[0]["values"].size(), longest);
    EXPECT_EQ(records[0]["values"][longest - 1], 2 * (longest - 1));
}

TEST_F(RecordsTest, ASidecarThatCannotBeWrittenIsSaidToBeEmpty) {
    config_.values = 100'000;
    ASSERT_TRUE(fs::create_directory(path().string() + ".values"));
    const std::vector<float> values = counting(40'000);
    write_call(trace(), Call(view_of(values, DType::f32, 1)).record);
    const std::vector<Json> records = finish();
    EXPECT_EQ(records.at(0)["sidecar"]["offset"], -1);
    EXPECT_EQ(records.at(0)["sidecar"]["count"], 0);
}

TEST_F(RecordsTest, HalvesDoublesAndBlocksAreWrittenAsTheirValues) {
    const std::vector<std::uint16_t> f16 = {0x3c00, 0xc000, 0x0001, 0x7bff};
    const std::vector<std::uint16_t> bf16 = {0x3f80, 0xc000, 0x4049, 0xff80};
    const std::vector<double> f64 = {0.1, -2, 1e300};
    struct Block {
        float scale;
        signed char q[32];
    } blocks[2] = {{0.5F, {1, 2, 3}}, {2, {-4}}};
    MatrixView block;
    block.data = blocks;
    block.dtype = DType::block;
    block.rows = 1;
    block.cols = 64;
    block.row_stride = sizeof blocks;
    block.block_bytes = sizeof(Block);
    block.block_values = 32;
    block.decode = [](const void* row, float* out, std::int64_t count) {
        for (std::int64_t i = 0; i < count; ++i) {
            const Block& b = static_cast<const Block*>(row)[i / 32];
            out[i] = b.scale * b.q[i % 32];
        }
    };
    config_.values = 34;
    write_call(trace(), Call(view_of(f16, DType::f16, 1)).record);
    write_call(trace(), Call(view_of(bf16, DType::bf16, 1)).record);
    write_call(trace(), Call(view_of(f64, DType::f64, 1)).record);
    Call of_blocks(block);
    of_blocks.record.result.dtype = "q8_0";
    write_call(trace(), of_blocks.record);
    const std::vector<Json> records = finish();
    ASSERT_EQ(records.size(), 4U);
    EXPECT_EQ(records[0]["values"], Json::parse("[1,-2,5.9604645e-08,65504]"));
    EXPECT_EQ(records[1]["values"], Json::parse("[1,-2,3.140625,null]"));
    EXPECT_EQ(records[1]["nonfinite"], Json::parse(R"([[3,"-inf"]])"));
    EXPECT_EQ(records[2]["values"], Json::parse("[0.1,-2,1e+300]"));
    EXPECT_EQ(records[3]["dtype"], "q8_0");
    EXPECT_EQ(records[3]["values"].size(), 34U);
    EXPECT_EQ(records[3]["values"][2], 1.5);
    EXPECT_EQ(records[3]["values"][32], -8);
    EXPECT_EQ(records[3]["y"]["sum"], -5);
}

TEST_F(RecordsTest, HugeNumbersStayNumbersOrBecomeNull) {
    const std::vector<double> values = {1e308, -1e308};  // beyond float: its largest, in the digest
    write_call(trace(), Call(view_of(values, DType::f64, 1)).record);
    const std::vector<Json> records = finish();
    EXPECT_EQ(records.at(0)["values"], Json::parse("[1e308,-1e308]"));
    EXPECT_EQ(records.at(0)["y"]["max"], 3.4028235e38);
    EXPECT_EQ(records.at(0)["y"]["min"], -3.4028235e38);
    EXPECT_FALSE(records.at(0)["y"].contains("pos_inf"));
}

}  // namespace
}  // namespace orch
