// orchtrace align, as it is called.
#include <nlohmann/json.hpp>

#include "analyzer/util/text.hpp"
#include "tests/align/fake_model.hpp"
#include "tests/cli/cli_test_support.hpp"

namespace orch {
namespace {

class AlignCommand : public InDirectory {
  protected:
    AlignCommand() {
        const FakeModel model = fake_model();
        a_ = file("a.jsonl", run(model, llama()).whole());
        b_ = file("b.jsonl", run(model, torch()).whole());
    }
    std::string a_;
    std::string b_;
};

void expect_narrow(const std::string& text) {
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);)
        EXPECT_LE(columns(line), text_width) << line;
}

TEST_F(AlignCommand, ShowsTheMapping) {
    const Outcome outcome = orchtrace({"align", a_, b_});
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_TRUE(contains(outcome.out, "comparable: 66 products of 3 passes paired")) << outcome.out;
    EXPECT_TRUE(contains(outcome.out, "layer_0..2_attn_q")) << outcome.out;
    EXPECT_TRUE(contains(outcome.out,
                         "pytorch: 102 records = 66 matched + 0 merged + 36 dropped + 0 unmatched"))
        << outcome.out;
    expect_narrow(outcome.out);
    const Outcome verbose = orchtrace({"align", "--verbose", a_, b_});
    EXPECT_TRUE(contains(verbose.out, "layer_2_gate_up")) << verbose.out;
    expect_narrow(verbose.out);
}

TEST_F(AlignCommand, WritesJson) {
    const Outcome outcome = orchtrace({"align", "--format", "json", a_, b_});
    EXPECT_EQ(outcome.code, 0);
    const auto json = nlohmann::json::parse(outcome.out);
    EXPECT_EQ(json["schema_version"], 1);
    EXPECT_EQ(json["comparable"], true);
    EXPECT_EQ(json["weights"].size(), 22U);
    EXPECT_EQ(json["sites"][0]["label"], "layer_0_qkv");
    EXPECT_EQ(json["sites"][0]["products"][0]["a"][0]["checkpoint"], "gemm.blk.0.attn_q");
    EXPECT_EQ(json["ledgers"][1]["adds_up"], true);
}

TEST_F(AlignCommand, SaysWhyTracesAreNotComparable) {
    FakeEngine shorter = torch();
    shorter.passes = {3, 1};
    const std::string c = file("c.jsonl", run(fake_model(), shorter).whole());
    const Outcome outcome = orchtrace({"align", a_, c});
    EXPECT_EQ(outcome.code, 2);
    EXPECT_TRUE(contains(outcome.out, "not comparable\n  the prompts differ in length"))
        << outcome.out;
    expect_narrow(outcome.out);
}

TEST_F(AlignCommand, PointsAtTheFirstLineWithoutCounterpart) {
    std::string text;
    for (const std::string& line : run(fake_model(), torch()).lines()) {
        if (!contains(line, R"("checkpoint":"gemm.000020")")) text += line;
    }
    const Outcome outcome = orchtrace({"align", a_, file("c.jsonl", text)});
    EXPECT_EQ(outcome.code, 2);
    EXPECT_TRUE(contains(outcome.out, "a.jsonl:")) << outcome.out;
    EXPECT_TRUE(contains(outcome.out, "unmatched: ")) << outcome.out;
}

TEST_F(AlignCommand, NamesAWrongWeight) {
    const FakeModel model = fake_model();
    FakeEngine engine = torch();
    engine.weight_of = [&](int layer, const std::string& op) {
        if (layer < 0) return model.weights.at(op);
        return model.at(layer == 0 && op == "down" ? 1 : layer, op);
    };
    const Outcome outcome = orchtrace({"align", a_, file("c.jsonl", run(model, engine).whole())});
    EXPECT_EQ(outcome.code, 0);
    EXPECT_TRUE(
        contains(outcome.out, "pytorch multiplies the weight of layer_1_ffn_down in the place of"))
        << outcome.out;
    expect_narrow(outcome.out);
}

TEST_F(AlignCommand, TakesTheLastRunAndSaysSo) {
    const FakeModel model = fake_model();
    FakeEngine other = torch();
    other.passes = {5, 1};
    const std::string both =
        file("both.jsonl", run(model, other).whole() + run(model, torch()).whole());
    const Outcome last = orchtrace({"align", a_, both});
    EXPECT_EQ(last.code, 0);
    EXPECT_TRUE(contains(last.out, "both.jsonl holds 2 runs")) << last.out;
    const Outcome first = orchtrace({"align", "--run", "1", a_, both});
    EXPECT_EQ(first.code, 2);
    EXPECT_TRUE(contains(first.out, "the prompts differ in length")) << first.out;
    EXPECT_FALSE(contains(first.out, "holds 2 runs"));
    const Outcome none = orchtrace({"align", "--run", "3", a_, both});
    EXPECT_EQ(none.code, 2);
    EXPECT_TRUE(contains(none.err, "there is no run 3; it holds 1 run")) << none.err;
}

TEST_F(AlignCommand, RefusesWhatItCannotDo) {
    EXPECT_EQ(orchtrace({"align", a_}).code, 2);
    EXPECT_EQ(orchtrace({"align", a_, path("none.jsonl")}).code, 2);
    EXPECT_EQ(orchtrace({"align", a_, file("empty.jsonl", "")}).code, 2);
    EXPECT_EQ(orchtrace({"align", "--index", a_, a_, b_}).code, 2);
    EXPECT_TRUE(contains(orchtrace({"align", a_, b_, b_}).err, "two traces are wanted"));
}

/// Whatever is missing in a trace, nothing crashes, and nothing is lost from sight.
TEST_F(AlignCommand, AnyHalfOfATraceIsAlignedWithoutHarm) {
    const std::vector<std::string> lines = run(fake_model(), torch()).lines();
    for (unsigned seed = 0; seed < 40; ++seed) {
        unsigned state = seed * 2654435761U + 1;
        std::string text;
        for (const std::string& line : lines) {
            state = state * 1664525U + 1013904223U;
            if ((state >> 16) % 16 >= seed % 16) text += line;
        }
        const Outcome outcome =
            orchtrace({"align", "--format", "json", a_, file("half.jsonl", text)});
        if (outcome.out.empty()) continue;
        const auto json = nlohmann::json::parse(outcome.out);
        EXPECT_TRUE(json["ledgers"][0]["adds_up"]) << seed;
        EXPECT_TRUE(json["ledgers"][1]["adds_up"]) << seed;
    }
}

}  // namespace
}  // namespace orch
