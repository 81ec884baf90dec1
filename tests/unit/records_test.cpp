#include "core/records.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "core/trace.hpp"
#include "tests/unit/records_support.hpp"

namespace orch {
namespace {

TEST_F(RecordsTest, ACallOfOneRowIsOneLine) {
    const std::vector<float> values = {1, -2.5F, 3};
    write_call(trace(), Call(view_of(values, DType::f32, 1), 7).record);
    const std::vector<Json> records = finish();
    ASSERT_EQ(records.size(), 1U);
    const Json& r = records[0];
    EXPECT_EQ(keys_of(r), (std::vector<std::string>{"ts", "team", "checkpoint", "token_idx",
                                                    "dtype", "shape", "kind", "call", "op",
                                                    "positions", "first_position", "y", "values"}));
    EXPECT_EQ(r["team"], "team");
    EXPECT_EQ(r["checkpoint"], "logits");
    EXPECT_EQ(r["token_idx"], 7);
    EXPECT_EQ(r["dtype"], "f32");
    EXPECT_EQ(r["shape"], "[1,3]");
    EXPECT_EQ(r["kind"], "checkpoint");
    EXPECT_EQ(r["call"], 5);
    EXPECT_EQ(r["positions"], "row");
    EXPECT_EQ(r["values"], Json::parse("[1,-2.5,3]"));
    const Json& y = r["y"];
    EXPECT_EQ(y["rows"], 1);
    EXPECT_EQ(y["cols"], 3);
    EXPECT_EQ(y["energy"], 16.25);
    EXPECT_EQ(y["sum"], 1.5);
    EXPECT_EQ(y["mean"], 0.5);
    EXPECT_EQ(y["absmax"], 3);
    EXPECT_EQ(y["min"], -2.5);
    EXPECT_EQ(y["max"], 3);
    EXPECT_EQ(y["argmax"], 2);
    EXPECT_EQ(y["hash"].get<std::string>().size(), 16U);
    EXPECT_EQ(y["mixed"].size(), 16U);
    EXPECT_FALSE(y.contains("nan"));
    EXPECT_FALSE(y.contains("last_row"));
    EXPECT_EQ(classes("checkpoint")["recorded"], 1);
    EXPECT_EQ(ledger_["row_lines"], 0);
    EXPECT_EQ(ledger_["lines"], 1);
}

TEST_F(RecordsTest, AProductOfAGpuSaysWhereItRan) {
    const std::vector<float> last_row = {1, 2};
    // Three rows, of which the last one's values came back.
    Call call({last_row.data(), DType::f32, 3, 2, 0, 1});
    const DevicePlace place{1, 0x2a, 3, 7, 0, {}, -1, -1};
    call.record.device = &place;
    call.record.scalars_known = false;
    const std::vector<float> input = {3, 4, 5, 6, 7, 8};
    call.add_input(view_of(input, DType::f32, 3));
    write_call(trace(), call.record);
    const std::vector<Json> records = finish();
    ASSERT_GE(records.size(), 2U);
    const Json& r = records[0];
    EXPECT_EQ(r["device"], 1);
    EXPECT_EQ(r["stream"], "000000000000002a");
    EXPECT_EQ(r["graph"], 3);
    EXPECT_EQ(r["replay"], 7);
    EXPECT_EQ(r["scalars"], "device");
    EXPECT_FALSE(r.contains("bytes"));
    EXPECT_EQ(r["values"], Json::parse("[1,2]"));
    EXPECT_EQ(records[1]["kind"], "row");
    EXPECT_EQ(records[1]["values"], Json::array());
}

TEST_F(RecordsTest, EveryMemberOfAProductIsWritten) {
    const std::vector<float> values = {1, 2};
    Call call(view_of(values, DType::f32, 1));
    const std::vector<float> input = {3, 4, 5};
    call.add_input(view_of(input, DType::f32, 1));
    CallRecord& c = call.record;
    c.record_class = RecordClass::gemm;
    c.kind = "gemm";
    c.engine_name = "ffn_\"up\"";
    c.caller = "libx.so+0x10";
    c.weight = "w3";
    c.capture = "callback";
    c.pass = 2;
    c.batch_index = 4;
    c.alpha = 0.5;
    c.beta = 1;
    c.positions_known = true;
    const std::int64_t shape[] = {1, 1, 2};
    c.shape = shape;
    write_call(trace(), c);
    const std::vector<Json> records = finish();
    ASSERT_EQ(records.size(), 1U);
    const Json& r = records[0];
    EXPECT_EQ(keys_of(r), (std::vector<std::string>{
                              "ts",          "team",   "checkpoint", "token_idx",      "dtype",
                              "shape",       "kind",   "call",       "pass",           "name",
                              "op",          "caller", "positions",  "first_position", "capture",
                              "batch_index", "alpha",  "beta",       "weight",         "x",
                              "y",           "values"}));
    EXPECT_EQ(r["name"], "ffn_\"up\"");
    EXPECT_EQ(r["pass"], 2);
    EXPECT_EQ(r["shape"], "[1,1,2]");
    EXPECT_EQ(r["positions"], "token");
    EXPECT_EQ(r["alpha"], 0.5);
    EXPECT_EQ(r["beta"], 1);
    EXPECT_EQ(r["weight"], "w3");
    EXPECT_EQ(r["x"]["energy"], 50);
    EXPECT_FALSE(r["x"].contains("hash"));
    EXPECT_FALSE(r["x"].contains("argmax"));
    EXPECT_EQ(classes("gemm")["recorded"], 1);
}

TEST_F(RecordsTest, TheValuesOfACallAreThoseOfItsLastRow) {
    const std::vector<float> values = counting(12);
    write_call(trace(), Call(view_of(values, DType::f32, 3)).record);
    const std::vector<Json> records = finish();
    ASSERT_EQ(records.size(), 3U);
    EXPECT_EQ(records[0]["values"], Json::parse("[8,9,10,11]"));
    EXPECT_EQ(records[0]["token_idx"], 2);
    EXPECT_EQ(records[0]["y"]["last_row"]["sum"], 38);
}

TEST_F(RecordsTest, EachSelectedRowButTheLastHasALineOfItsOwn) {
    const std::vector<float> values = counting(20 * 3);
    Call call(view_of(values, DType::f32, 20));
    call.add_input(view_of(values, DType::f32, 20));
    write_call(trace(), call.record);
    const std::vector<Json> records = finish();
    std::vector<int> rows;
    for (std::size_t i = 1; i < records.size(); ++i) {
        const Json& r = records[i];
        const int row = r["token_idx"];
        rows.push_back(row);
        EXPECT_EQ(r["kind"], "row");
        EXPECT_EQ(r["call"], 5);
        EXPECT_EQ(r["checkpoint"], "logits");
        EXPECT_EQ(r["values"], Json({row * 3, row * 3 + 1, row * 3 + 2}));
        EXPECT_EQ(r["y"]["sum"], row * 9 + 3);
        EXPECT_EQ(r["x"]["sum"], row * 9 + 3);
        EXPECT_EQ(r["y"]["argmax"], 2);
        EXPECT_EQ(r["y"]["sketch"].size(), 16U);
    }
    EXPECT_EQ(rows, (std::vector<int>{0, 1, 2, 4, 8, 16}));
    EXPECT_EQ(ledger_["row_lines"], 6);
    EXPECT_EQ(ledger_["lines"], 7);
    EXPECT_EQ(classes("checkpoint")["recorded"], 1);
}

TEST_F(RecordsTest, WithRowsAllEveryRowHasItsLineInOrder) {
    config_.rows = all_rows;
    const std::vector<float> values = counting(150);
    Call call(view_of(values, DType::f32, 50), 100);
    call.add_input(view_of(values, DType::f32, 50));
    write_call(trace(), call.record);
    const std::vector<Json> records = finish();
    ASSERT_EQ(records.size(), 50U);
    for (int row = 0; row < 49; ++row) {
        const Json& r = records[static_cast<std::size_t>(row) + 1];
        EXPECT_EQ(r["token_idx"], 100 + row);
        EXPECT_EQ(r["values"], Json({row * 3, row * 3 + 1, row * 3 + 2}));
        EXPECT_EQ(r["y"]["sum"], row * 9 + 3);
        EXPECT_EQ(r["x"]["energy"], r["y"]["energy"]);
    }
    EXPECT_EQ(ledger_["row_lines"], 49);
}

TEST_F(RecordsTest, PositionsFromAListNameTheTokens) {
    const std::vector<float> values = counting(6);
    const std::int32_t positions[] = {4, 900, 17};
    Call call(view_of(values, DType::f32, 3));
    call.record.positions.list = positions;
    DigestRequest request;
    request.positions = call.record.positions;
    digest(call.record.result.matrix, request, call.y);
    write_call(trace(), call.record);
    const std::vector<Json> records = finish();
    ASSERT_EQ(records.size(), 2U);
    EXPECT_EQ(records[0]["token_idx"], 17);
    EXPECT_EQ(records[0]["first_position"], 4);
    EXPECT_EQ(records[1]["token_idx"], 4);
}

TEST_F(RecordsTest, ACallWithoutRowsIsCountedAsDropped) {
    Call call(MatrixView{});
    write_call(trace(), call.record);
    EXPECT_EQ(trace().ledger()[RecordClass::checkpoint].dropped, 1U);
    EXPECT_EQ(trace().ledger()[RecordClass::checkpoint].recorded, 0U);
    EXPECT_TRUE(finish().empty());
}

TEST_F(RecordsTest, AWeightIsWrittenWithItsRows) {
    const std::vector<float> values = counting(12);
    const MatrixView view = view_of(values, DType::f32, 4);
    DigestRequest request;
    request.sign_rows = false;
    request.selected_rows = 8;
    Digest d;
    digest(view, request, d);
    write_weight(trace(), {"blk.0.\"q\"", "blk.0.q", {view, &d, "q4_K"}});
    write_weight(trace(), {"", "w1", {view, &d, "f32"}});
    const std::vector<Json> records = finish();
    ASSERT_EQ(records.size(), 2U);
    EXPECT_EQ(keys_of(records[0]),
              (std::vector<std::string>{"ts", "team", "checkpoint", "token_idx", "dtype", "shape",
                                        "kind", "weight", "name", "energy", "sum", "absmax", "hash",
                                        "sketch", "row_digests", "values"}));
    EXPECT_EQ(records[0]["checkpoint"], "weight.blk.0.q");
    EXPECT_EQ(records[0]["name"], "blk.0.\"q\"");
    EXPECT_EQ(records[0]["dtype"], "q4_K");
    EXPECT_EQ(records[0]["shape"], "[4,3]");
    EXPECT_EQ(records[0]["sum"], 66);
    ASSERT_EQ(records[0]["row_digests"].size(), 4U);
    EXPECT_EQ(records[0]["row_digests"][3]["row"], 3);
    EXPECT_EQ(records[0]["row_digests"][3]["sum"], 30);
    EXPECT_EQ(records[0]["values"], Json::parse("[0,1,2]"));
    EXPECT_EQ(records[1]["checkpoint"], "weight.w1");
    EXPECT_FALSE(records[1].contains("name"));
    EXPECT_EQ(classes("weight")["recorded"], 2);
}

PassRecord pass_of(std::int64_t number, std::span<const std::int32_t> tokens,
                   std::span<const std::int32_t> positions,
                   std::span<const std::int32_t> sequences) {
    PassRecord pass;
    pass.pass = number;
    pass.op = "llama_decode";
    pass.n_tokens = static_cast<std::int64_t>(positions.size());
    pass.tokens = tokens;
    pass.positions = positions;
    pass.sequences = sequences;
    return pass;
}

TEST_F(RecordsTest, APassListsItsTokens) {
    const std::vector<std::int32_t> tokens = {1, -5, 32000};
    const std::vector<std::int32_t> positions = {10, 11, 12};
    const std::vector<std::int32_t> sequences = {0, 0, 1};
    PassRecord first = pass_of(3, tokens, positions, sequences);
    first.last_position = 12;
    first.kv_dtype = "q8_0,f16";
    write_pass(trace(), first);
    write_pass(trace(), pass_of(4, {}, positions, {}));
    write_pass(trace(), pass_of(5, {}, {}, {}));
    const std::vector<Json> records = finish();
    ASSERT_EQ(records.size(), 3U);
    EXPECT_EQ(records[0]["token_idx"], 12);
    EXPECT_EQ(records[0]["pass"], 3);
    EXPECT_EQ(records[0]["op"], "llama_decode");
    EXPECT_EQ(records[0]["n_tokens"], 3);
    EXPECT_EQ(records[0]["tokens"], Json(tokens));
    EXPECT_EQ(records[0]["token_positions"], Json(positions));
    EXPECT_EQ(records[0]["sequences"], Json(sequences));
    EXPECT_EQ(records[0]["kv_dtype"], "q8_0,f16");
    EXPECT_FALSE(records[1].contains("kv_dtype"));
    EXPECT_FALSE(records[1].contains("tokens"));
    EXPECT_FALSE(records[1].contains("sequences"));
    EXPECT_EQ(records[2]["token_idx"], 0);
    EXPECT_EQ(classes("pass")["recorded"], 3);
}

TEST_F(RecordsTest, APassOfTheLongestNumbersFits) {
    const std::vector<std::int32_t> widest(8192, std::numeric_limits<std::int32_t>::min());
    write_pass(trace(), pass_of(0, widest, widest, widest));
    const std::vector<Json> records = finish();
    ASSERT_EQ(records.size(), 1U);
    EXPECT_EQ(records[0]["tokens"], Json(widest));
    EXPECT_EQ(records[0]["sequences"], Json(widest));
}

TEST_F(RecordsTest, ALogRecordCarriesTheEnginesOwnWords) {
    const float values[] = {1.5F, -0.0F};
    write_log(trace(), {"my \"cp\"\n", "f32", "[1,\x80 2]", -3, DType::f32, values, 2});
    write_log(trace(), {"", "", "", 0, DType::f32, nullptr, 0});
    const std::vector<Json> records = finish();
    ASSERT_EQ(records.size(), 2U);
    EXPECT_EQ(keys_of(records[0]),
              (std::vector<std::string>{"ts", "team", "checkpoint", "token_idx", "dtype", "shape",
                                        "values"}));
    EXPECT_EQ(records[0]["checkpoint"], "my \"cp\"\n");
    EXPECT_EQ(records[0]["shape"], "[1,\xef\xbf\xbd 2]");
    EXPECT_EQ(records[0]["token_idx"], -3);
    EXPECT_TRUE(std::signbit(records[0]["values"][1].get<double>()));
    EXPECT_EQ(records[1]["values"], Json::array());
    EXPECT_EQ(classes("log")["recorded"], 2);
}

TEST_F(RecordsTest, ALogRecordWithLongWordsFitsAndOneThatIsTooLongIsCounted) {
    const float value = 1;
    const std::string words(20'000, '\x01');
    write_log(trace(), {words, words, words, 0, DType::f32, &value, 1});
    const std::string far_too_long(1 << 20, 'x');
    write_log(trace(), {far_too_long, "f32", "[1]", 0, DType::f32, &value, 1});
    const std::vector<Json> records = finish();
    ASSERT_EQ(records.size(), 1U);
    EXPECT_EQ(records[0]["shape"], words);
    EXPECT_EQ(classes("log")["recorded"], 1);
    EXPECT_EQ(classes("log")["dropped"], 1);
}

TEST_F(RecordsTest, ABlindSpotSaysWhatAndWhy) {
    write_blind_spot(trace(), "static \"BLAS\"", std::string(3000, 'y'));
    const std::vector<Json> records = finish();
    ASSERT_EQ(records.size(), 1U);
    EXPECT_EQ(records[0]["checkpoint"], "orchtrace.blind_spot");
    EXPECT_EQ(records[0]["kind"], "blind_spot");
    EXPECT_EQ(records[0]["what"], "static \"BLAS\"");
    EXPECT_EQ(records[0]["why"], std::string(3000, 'y'));
    EXPECT_EQ(ledger_["lines"], 1);
}

TEST_F(RecordsTest, TheLedgerListsEveryClassAndCounter) {
    const float value = 1;
    write_log(trace(), {"a", "f32", "[1]", 0, DType::f32, &value, 1});
    bump(trace().ledger()[RecordClass::gemm].seen);
    bump(trace().ledger()[RecordClass::gemm].filtered);
    bump(trace().ledger()[RecordClass::gemm].unselected);
    bump(trace().ledger().dropped_rows);
    finish();
    EXPECT_EQ(ledger_["checkpoint"], "orchtrace.ledger");
    EXPECT_EQ(ledger_["final"], true);
    EXPECT_EQ(keys_of(ledger_["classes"]),
              (std::vector<std::string>{"gemm", "checkpoint", "weight", "pass", "log", "copy"}));
    EXPECT_EQ(classes("gemm"), Json::parse(R"({"seen":2,"recorded":0,"filtered":2,"dropped":0})"));
    EXPECT_EQ(classes("log")["recorded"], 1);
    EXPECT_EQ(ledger_["dropped_rows"], 1);
    EXPECT_EQ(ledger_["lost_lines"], 0);
    EXPECT_FALSE(ledger_.contains("write_error"));
}

}  // namespace
}  // namespace orch
