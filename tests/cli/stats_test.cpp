// orchtrace stats: numbers of what is sane, counts of what is not.
#include <nlohmann/json.hpp>

#include "analyzer/stats/value_stats.hpp"
#include "tests/cli/cli_test_support.hpp"

namespace orch {
namespace {

using Json = nlohmann::json;

std::string line(const std::string& checkpoint, int token, const std::string& values,
                 const std::string& more = "") {
    return R"({"ts":"2026-01-31T12:00:00.000Z","team":"a","checkpoint":")" + checkpoint +
           R"(","token_idx":)" + std::to_string(token) + R"(,"dtype":"f32","shape":"[4]",)" + more +
           R"("values":[)" + values + "]}\n";
}

class Stats : public InDirectory {
  protected:
    Json json(const std::string& trace, std::vector<std::string> more = {}) {
        std::vector<std::string> arguments{"stats", "--format", "json", trace};
        arguments.insert(arguments.end(), more.begin(), more.end());
        const Outcome outcome = orchtrace(arguments);
        EXPECT_EQ(outcome.code, 0) << outcome.err;
        return Json::parse(outcome.out)["files"][0];
    }
};

TEST_F(Stats, MomentsOfAPosition) {
    const Json file = json(this->file("t.jsonl", line("logits", 3, "1,2,3,6")));
    const Json& checkpoint = file["checkpoints"][0];
    EXPECT_EQ(checkpoint["checkpoint"], "logits");
    const Json& row = checkpoint["positions"][0];
    EXPECT_EQ(row["token_idx"], 3);
    EXPECT_EQ(row["values"], 4);
    EXPECT_EQ(row["min"], 1);
    EXPECT_EQ(row["max"], 6);
    EXPECT_EQ(row["mean"], 3);
    EXPECT_DOUBLE_EQ(row["std"], std::sqrt(14.0 / 4));
}

TEST_F(Stats, RecordsOfOnePositionAreOneGroup) {
    const std::string trace =
        line("logits", 0, "1,2") + line("logits", 0, "3,6") + line("logits", 1, "5");
    const Json file = json(this->file("t.jsonl", trace));
    const Json& checkpoint = file["checkpoints"][0];
    EXPECT_EQ(checkpoint["records"], 3);
    EXPECT_EQ(checkpoint["positions"][0]["records"], 2);
    EXPECT_EQ(checkpoint["positions"][0]["mean"], 3);
    EXPECT_DOUBLE_EQ(checkpoint["positions"][0]["std"], std::sqrt(14.0 / 4));
    EXPECT_EQ(checkpoint["positions"][1]["std"], 0);
}

// Uninitialised memory beside sane values, as logs of real engines have shown it.
TEST_F(Stats, HugeValuesAreGarbageAndSpoilNoMean) {
    const std::string trace = line("logits", 0, "1,2,3,2") + line("logits", 7, "1,1.01e18,3,2") +
                              line("logits", 8, "-3e15,2,2,2");
    const Json file = json(this->file("t.jsonl", trace));
    EXPECT_EQ(file["all"]["garbage"], 2);
    EXPECT_DOUBLE_EQ(file["all"]["garbage_rate"], 2.0 / 12);
    EXPECT_EQ(file["all"]["worst_garbage"], 1.01e18);
    EXPECT_EQ(file["all"]["max"], 3);
    EXPECT_EQ(file["all"]["mean"], 2);
    EXPECT_EQ(file["garbage"][0]["line"], 2);
    EXPECT_EQ(file["garbage"][0]["index"], 1);
    EXPECT_EQ(file["garbage"][1]["token_idx"], 8);
}

TEST_F(Stats, TheLimitIsTheUsers) {
    const std::string trace = this->file("t.jsonl", line("logits", 0, "1,46000,2,-46000"));
    EXPECT_EQ(json(trace)["all"]["garbage"], 0);
    EXPECT_EQ(json(trace, {"--limit", "1e4"})["all"]["garbage"], 2);
}

TEST_F(Stats, AFloodOfSubnormalsIsGarbageAFewAreNot) {
    const std::string few = line("a", 0, "1e-40,1,2,3,4,5,6,7");
    const std::string flood = line("b", 0, "1e-40,2e-41,1,2");
    const Json file = json(this->file("t.jsonl", few + flood));
    EXPECT_EQ(file["checkpoints"][0]["garbage"], 0);
    EXPECT_EQ(file["checkpoints"][1]["garbage"], 2);
}

TEST_F(Stats, NanAndInfinitiesAreCountedApart) {
    const std::string trace =
        line("a", 0, "null,null,null,5", R"("nonfinite":[[0,"nan"],[1,"inf"],[2,"-inf"]],)");
    const Json file = json(this->file("t.jsonl", trace));
    EXPECT_EQ(file["all"]["nan"], 1);
    EXPECT_EQ(file["all"]["infinite"], 2);
    EXPECT_EQ(file["all"]["sane"], 1);
    EXPECT_EQ(file["all"]["mean"], 5);
}

TEST_F(Stats, NothingSaneHasNoMean) {
    const Json file = json(this->file("t.jsonl", line("a", 0, "1e20,2e20")));
    EXPECT_TRUE(file["all"]["mean"].is_null());
    EXPECT_TRUE(file["all"]["min"].is_null());
}

TEST_F(Stats, HistogramByPowersOfTen) {
    Histogram histogram;
    for (const double value : {0.0, 1.0, 9.99, 10.0, 0.1, -0.0999, -1e300, 1e-300, 1000.0, 999.9})
        histogram.add(value);
    const auto at = [](int decade) { return static_cast<std::size_t>(decade - Histogram::lowest); };
    EXPECT_EQ(histogram.zeros, 1);
    EXPECT_EQ(histogram.positive[at(0)], 2);
    EXPECT_EQ(histogram.positive[at(1)], 1);
    EXPECT_EQ(histogram.positive[at(2)], 1);
    EXPECT_EQ(histogram.positive[at(3)], 1);
    EXPECT_EQ(histogram.positive[at(-1)], 1);
    EXPECT_EQ(histogram.negative[at(-2)], 1);
    EXPECT_EQ(histogram.negative[at(Histogram::highest)], 1);
    EXPECT_EQ(histogram.positive[at(Histogram::lowest)], 1);
}

TEST_F(Stats, TheNumberOfThreadsChangesNoBit) {
    std::string trace;
    for (int i = 0; i < 20000; ++i)
        trace += line("c" + std::to_string(i % 7), i % 50,
                      std::to_string(0.1 * (i % 97)) + "," + std::to_string(1.7 * (i % 13)));
    const std::string name = this->file("t.jsonl", trace);
    EXPECT_EQ(json(name, {"--threads", "1"}), json(name, {"--threads", "4"}));
}

TEST_F(Stats, AGlobChoosesAndAWrongOneIsAnError) {
    const std::string trace =
        this->file("t.jsonl", line("layer_0_output", 0, "1") + line("logits", 0, "2"));
    EXPECT_EQ(json(trace, {"--checkpoint", "layer_*"})["checkpoints"].size(), 1);
    const Outcome outcome = orchtrace({"stats", trace, "--checkpoint", "lgits"});
    EXPECT_EQ(outcome.code, 2);
    EXPECT_TRUE(contains(outcome.err, "lgits")) << outcome.err;
}

TEST_F(Stats, TextFitsTheTerminalAndSaysHowMuchIsGarbage) {
    std::string trace;
    for (int i = 0; i < 30; ++i)
        trace += line("a_rather_long_checkpoint_name_of_some_engine", i, "-1.23456e-7,2.5e14,3");
    const Outcome outcome =
        orchtrace({"stats", "--histogram", this->file("t.jsonl", trace + line("x", 1, "1e18"))});
    EXPECT_TRUE(contains(outcome.out, "(1.1 %) garbage, up to 1e+18")) << outcome.out;
    EXPECT_TRUE(contains(outcome.out, "1e14")) << outcome.out;
    std::istringstream lines(outcome.out.substr(outcome.out.find('\n') + 1));
    for (std::string text; std::getline(lines, text);)
        EXPECT_LE(text.size(), 100) << text;
}

TEST_F(Stats, GarbageIsListedByFileAndLine) {
    const std::string trace = this->file("t.jsonl", line("a", 0, "1") + line("a", 1, "2,4e16"));
    const Outcome outcome = orchtrace({"stats", "--garbage", trace});
    EXPECT_EQ(outcome.out, trace + ":2: a token 1 value 1 is 4e+16\n");
}

TEST_F(Stats, CsvHasALinePerPosition) {
    const std::string trace =
        this->file("t.jsonl", line("a", 0, "1,3") + line("a", 1, "null") + line("b", 0, "5"));
    const Outcome outcome = orchtrace({"stats", "--format", "csv", trace});
    std::istringstream lines(outcome.out);
    std::vector<std::string> all;
    for (std::string text; std::getline(lines, text);)
        all.push_back(text);
    ASSERT_EQ(all.size(), 4);
    EXPECT_EQ(all[1], trace + ",a,a,0,1,2,1,3,2,1,0,0,0,0");
    EXPECT_EQ(all[2], trace + ",a,a,1,1,1,,,,,1,0,0,0");
}

TEST_F(Stats, ProductsWithoutANameAreOneGroup) {
    std::string trace;
    for (int i = 0; i < 5; ++i)
        trace += line("gemm.00000" + std::to_string(i), 0, "1", R"("kind":"gemm",)");
    const Json file = json(this->file("t.jsonl", trace + line("gemm.blk.0.q", 0, "1")));
    ASSERT_EQ(file["checkpoints"].size(), 2);
    EXPECT_EQ(file["checkpoints"][0]["checkpoint"], "gemm.*");
    EXPECT_EQ(file["checkpoints"][0]["records"], 5);
}

}  // namespace
}  // namespace orch
